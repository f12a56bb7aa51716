//! What the simulated exchange can be told before it starts.
//!
//! The defaults are the demonstration: a busy, faithful venue. Tests shorten the
//! delays and choose rates; they leave the wire rules as they are.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::SimError;

/// Settings of one exchange.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// Where to listen; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Decides every market, every event and every fault's choice. The sequence
    /// of events depends on it and on the number of steps taken, on nothing else.
    pub seed: u64,
    /// Markets that trade at the start; each has two tokens.
    pub markets: usize,
    /// Order events and trades a second over all markets. An order event is one
    /// frame to each subscriber of its market; a trade is four.
    pub events_per_second: f64,
    /// How long after a subscribe frame its opening books come. The venue takes
    /// 130 to 520 ms. The books are those of the moment they are sent.
    pub snapshot_delay: RangeInclusive<Duration>,
    /// How long after the book shows a trade its print comes: 0 to 500 ms.
    pub print_delay: RangeInclusive<Duration>,
    /// Markets announced a minute. The venue announces about 60.
    pub new_markets_per_minute: f64,
    /// Markets settled a minute.
    pub resolve_per_minute: f64,
    /// How long after its announcement Gamma lists a market.
    pub listing_lag: Duration,
    /// How long after its settlement Gamma calls a market closed; the venue
    /// takes one to three minutes.
    pub closing_lag: Duration,
    /// Bytes that may wait for one socket before it is closed as a slow consumer.
    pub send_buffer: usize,
    /// The kernel's send buffer of each socket, if it is to be set. Small values
    /// make slow consumers show early.
    pub kernel_send_buffer: Option<u32>,
    /// Ids in one subscribe frame beyond which no opening books come.
    pub snapshot_id_limit: usize,
    /// Ids in one subscribe frame beyond which the socket is closed.
    pub frame_id_limit: usize,
    /// How long a socket may stay without traffic before it is dropped.
    pub idle_timeout: Duration,
    /// A script of faults, run from the start of the exchange.
    pub script: Option<PathBuf>,
    /// Newest published states kept of each asset, for [`crate::SimHandle::journal`];
    /// 0 keeps none, and then a state that nobody sees is never hashed.
    pub journal: usize,
    /// Asked at each change of a book, if there: the size of every level that the change
    /// sets is then this number of millionths. Who gives it the time can tell at the other
    /// end how old a change is; sizes are then no work of the seed's.
    pub stamp: Option<fn() -> u64>,
    /// A recording to play instead of a seeded flow.
    pub playback: Option<PathBuf>,
    /// 1 plays as recorded, 10 ten times faster, 0 as fast as it can be sent.
    pub playback_speed: f64,
    /// How long after the latest subscription playback begins, so that a client
    /// that subscribes in several frames misses nothing.
    pub playback_settle: Duration,
    /// Whether playback begins again at its end, with all sockets dropped.
    pub playback_loops: bool,
    /// Whether what is played is of now: time stamps of frames are shifted, and hashes,
    /// which cover them, left out. Of a recording whose times of arrival are known.
    pub playback_shifts: bool,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            seed: 1,
            markets: 500,
            events_per_second: 2_000.0,
            snapshot_delay: Duration::from_millis(130)..=Duration::from_millis(500),
            print_delay: Duration::ZERO..=Duration::from_millis(500),
            new_markets_per_minute: 6.0,
            resolve_per_minute: 2.0,
            listing_lag: Duration::from_secs(5),
            closing_lag: Duration::from_secs(60),
            // 500 tokens open with about 1 MiB; some seconds of a hot socket more.
            send_buffer: 8 << 20,
            kernel_send_buffer: None,
            // Above 750 ids a frame the venue sends no books; a few thousand
            // ids close the socket.
            snapshot_id_limit: 750,
            frame_id_limit: 2_000,
            // Measured on the venue: 125.1 s, four times of four.
            idle_timeout: Duration::from_secs(125),
            script: None,
            journal: 0,
            stamp: None,
            playback: None,
            playback_speed: 1.0,
            playback_settle: Duration::from_millis(500),
            playback_loops: false,
            playback_shifts: false,
        }
    }
}

/// Most markets of one exchange: 50,000 is the whole venue's count in 2026.
const MAX_MARKETS: usize = 100_000;

impl SimConfig {
    /// A venue without the waits that only cost a test time: books come 1 to 5 ms
    /// after the request, prints within 5 ms, nothing is announced or settled.
    pub fn for_tests() -> Self {
        Self {
            markets: 20,
            events_per_second: 200.0,
            snapshot_delay: Duration::from_millis(1)..=Duration::from_millis(5),
            print_delay: Duration::ZERO..=Duration::from_millis(5),
            new_markets_per_minute: 0.0,
            resolve_per_minute: 0.0,
            listing_lag: Duration::from_millis(50),
            closing_lag: Duration::from_millis(50),
            playback_speed: 0.0,
            playback_settle: Duration::from_millis(50),
            ..Self::default()
        }
    }

    pub(crate) fn validate(&self) -> Result<(), SimError> {
        let bad = |field, reason| Err(SimError::Config { field, reason });
        let rate = |value: f64| value.is_finite() && (0.0..=10_000_000.0).contains(&value);
        if self.playback.is_none() && self.markets == 0 {
            return bad("markets", "at least one market is needed");
        }
        if self.markets > MAX_MARKETS {
            return bad("markets", "at most 100000 markets");
        }
        check_rate(self.events_per_second)?;
        if !rate(self.new_markets_per_minute) {
            return bad("new_markets_per_minute", "must be 0 to 10000000");
        }
        if !rate(self.resolve_per_minute) {
            return bad("resolve_per_minute", "must be 0 to 10000000");
        }
        if !rate(self.playback_speed) {
            return bad("playback_speed", "must be 0 to 10000000");
        }
        if self.snapshot_delay.is_empty() {
            return bad("snapshot_delay", "the shortest delay is above the longest");
        }
        if self.print_delay.is_empty() {
            return bad("print_delay", "the shortest delay is above the longest");
        }
        if self.send_buffer == 0 {
            return bad("send_buffer", "must be above zero");
        }
        Ok(())
    }
}

/// Whether a flow can be asked to run at this rate.
pub(crate) fn check_rate(events_per_second: f64) -> Result<(), SimError> {
    if (0.0..=10_000_000.0).contains(&events_per_second) {
        Ok(())
    } else {
        Err(SimError::Config {
            field: "events_per_second",
            reason: "must be 0 to 10000000",
        })
    }
}

/// A duration within `range`, chosen by `rng`.
pub(crate) fn pick(range: &RangeInclusive<Duration>, rng: &mut fastrand::Rng) -> Duration {
    let micros = |duration: &Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(rng.u64(micros(range.start())..=micros(range.end())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_usable_and_bad_settings_are_named() {
        assert!(SimConfig::default().validate().is_ok());
        assert!(SimConfig::for_tests().validate().is_ok());
        for (config, field) in [
            (
                SimConfig {
                    markets: 0,
                    ..SimConfig::default()
                },
                "markets",
            ),
            (
                SimConfig {
                    events_per_second: f64::NAN,
                    ..SimConfig::default()
                },
                "events_per_second",
            ),
            (
                SimConfig {
                    playback_speed: -1.0,
                    ..SimConfig::default()
                },
                "playback_speed",
            ),
        ] {
            match config.validate() {
                Err(SimError::Config { field: named, .. }) => assert_eq!(named, field),
                other => panic!("{field}: {other:?}"),
            }
        }
    }
}
