//! Values that do not go together, each of them right by itself.

use polypy_core::catalogue::Bound;

use super::table::Config;
use super::value::Setting;

/// What no value shows alone.
#[derive(Debug)]
pub(crate) struct Contradiction {
    /// The key to correct.
    pub(crate) key: &'static str,
    /// The key that it contradicts.
    pub(super) other: &'static str,
    /// Why.
    pub(crate) reason: String,
}

/// Every pair of keys that cannot both be meant.
pub(crate) fn contradictions(config: &Config) -> Vec<Contradiction> {
    let mut found = Vec::new();
    let mut ordered = |key, value: String, other, least: String, holds: bool| {
        if !holds {
            let reason = format!("must be at least {other} ({least}), not {value}");
            found.push(Contradiction { key, other, reason });
        }
    };
    let pool = &config.pool;
    ordered(
        "pool.cap",
        pool.cap.show(),
        "pool.target",
        pool.target.show(),
        pool.cap >= pool.target,
    );
    ordered(
        "pool.pong_deadline",
        pool.pong_deadline.show(),
        "pool.ping_interval",
        pool.ping_interval.show(),
        pool.pong_deadline >= pool.ping_interval,
    );
    ordered(
        "pool.silence_max",
        pool.silence_max.show(),
        "pool.silence_min",
        pool.silence_min.show(),
        pool.silence_max >= pool.silence_min,
    );
    ordered(
        "pool.backoff_cap",
        pool.backoff_cap.show(),
        "pool.backoff",
        pool.backoff.show(),
        pool.backoff_cap >= pool.backoff,
    );
    let (http, admin) = (&config.http, &config.admin);
    for (key, other, lacks) in [
        (
            "http.tls_key",
            "http.tls_cert",
            http.tls_cert.is_some() && http.tls_key.is_none(),
        ),
        (
            "http.tls_cert",
            "http.tls_key",
            http.tls_key.is_some() && http.tls_cert.is_none(),
        ),
        // Without it everyone who reaches the port could change things.
        (
            "admin.token_file",
            "admin.listen",
            admin.listen.is_some() && admin.token_file.is_none(),
        ),
    ] {
        if lacks {
            let reason = format!("must be set beside {other}");
            found.push(Contradiction { key, other, reason });
        }
    }
    if http.enabled && http.unix_socket.is_some() && http.unix_socket == admin.unix_socket {
        found.push(Contradiction {
            key: "admin.unix_socket",
            other: "http.unix_socket",
            reason: "must be another file than http.unix_socket".to_owned(),
        });
    }
    let flight = &config.flight_recorder;
    if flight.memory.0 > 0 && flight.dir.is_some() && flight.dir == config.record.dir {
        found.push(Contradiction {
            key: "flight_recorder.dir",
            other: "record.dir",
            // They would count as files of the recording.
            reason: "must be another folder than record.dir".to_owned(),
        });
    }
    found.extend(contradictions_of_markets(config));
    found
}

/// Those of the choice of markets.
fn contradictions_of_markets(config: &Config) -> Vec<Contradiction> {
    let mut found = Vec::new();
    let markets = &config.markets;
    let is_empty = match (markets.ends_after, markets.ends_before) {
        (Some(Bound::At(after)), Some(Bound::At(before))) => after > before,
        (Some(Bound::FromNow(after)), Some(Bound::FromNow(before))) => after > before,
        // Of the others the clock says which is later; and one alone is no window.
        (Some(_) | None, Some(_) | None) => false,
    };
    if is_empty {
        found.push(Contradiction {
            key: "markets.ends_before",
            other: "markets.ends_after",
            reason: format!(
                "must not be before markets.ends_after ({}), as {} is",
                markets.ends_after.show(),
                markets.ends_before.show()
            ),
        });
    }
    found
}
