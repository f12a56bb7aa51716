//! What a connection shows of itself, to scrapers and to the pool.
//!
//! Written by the connection's task once per read, read by anyone at any time.
//! The field names of the JSON object are those of the original program, which
//! calls an asset a "market".

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use polypy_core::{AssetKey, FeedId, object};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::registry::{ConnectionId, ConnectionLoad};

use super::rungs::Rungs;

/// Close codes told apart; the rest is counted as `other`. The venue uses five.
const CODES: usize = 16;

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ConnectionStatus {
    /// Its first socket is being opened.
    Connecting,
    /// Its socket is open.
    Connected,
    /// It lost its socket, or never got one, and tries again.
    Reconnecting,
    /// It serves until its replacement has settled in, and does not reopen.
    Draining,
    /// It carries nothing, so it has no socket.
    Idle,
    /// It has ended.
    Closed,
}

/// One connection's state and counters.
#[derive(Debug)]
pub struct ConnectionStats {
    id: ConnectionId,
    created: Instant,
    first_book_deadline: Duration,
    inner: Mutex<Counters>,
    /// Another connection that carries the same assets.
    partner: Mutex<Weak<ConnectionStats>>,
}

/// The values behind [`ConnectionStats`].
#[derive(Debug, Clone)]
pub(super) struct Counters {
    pub(super) status: ConnectionStatus,
    pub(super) retired: bool,
    pub(super) feed: FeedId,
    /// The same, kept after its end.
    pub(super) last_feed: FeedId,
    /// Assets that are free to go elsewhere.
    pub(super) departed: Vec<AssetKey>,
    pub(super) opened: Option<Instant>,
    pub(super) closed: Option<Instant>,
    pub(super) took_over: Option<Instant>,
    pub(super) last_data: Option<Instant>,
    pub(super) carried: usize,
    pub(super) life_messages: u64,
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) parse_errors: u64,
    pub(super) sockets: u64,
    pub(super) open_failures: u64,
    pub(super) refusals: BTreeMap<u16, u64>,
    pub(super) closes: BTreeMap<&'static str, u64>,
    pub(super) close_codes: BTreeMap<u16, u64>,
    pub(super) slow_consumer: u64,
    pub(super) refused_frames: u64,
    pub(super) pings: u64,
    pub(super) pongs: u64,
    pub(super) probes: u64,
    pub(super) resubscribes: u64,
    pub(super) rungs: Rungs,
    pub(super) overflowed: bool,
    /// It trails the other connection of its pair.
    pub(super) lagging: bool,
    /// Assets without any book.
    pub(super) bookless: Vec<AssetKey>,
    /// Those of them that REST has not denied.
    pub(super) hoped_for: Vec<AssetKey>,
    /// Assets that have nothing left to hope for on this socket.
    pub(super) stranded: Vec<AssetKey>,
}

impl ConnectionStats {
    pub(super) fn new(id: ConnectionId, first_book_deadline: Duration) -> Self {
        Self {
            id,
            created: Instant::now(),
            first_book_deadline,
            partner: Mutex::default(),
            inner: Mutex::new(Counters {
                status: ConnectionStatus::Connecting,
                retired: false,
                feed: FeedId::default(),
                last_feed: FeedId::default(),
                departed: Vec::new(),
                opened: None,
                closed: None,
                took_over: None,
                last_data: None,
                carried: 0,
                life_messages: 0,
                messages: 0,
                bytes: 0,
                parse_errors: 0,
                sockets: 0,
                open_failures: 0,
                refusals: BTreeMap::new(),
                closes: BTreeMap::new(),
                close_codes: BTreeMap::new(),
                slow_consumer: 0,
                refused_frames: 0,
                pings: 0,
                pongs: 0,
                probes: 0,
                resubscribes: 0,
                rungs: Rungs::default(),
                overflowed: false,
                lagging: false,
                bookless: Vec::new(),
                hoped_for: Vec::new(),
                stranded: Vec::new(),
            }),
        }
    }

    pub(super) fn update(&self, write: impl FnOnce(&mut Counters)) {
        write(&mut self.inner.lock());
    }

    /// Its number.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// Where it stands.
    pub fn status(&self) -> ConnectionStatus {
        self.inner.lock().status
    }

    /// Time since it was made, over all its sockets.
    pub fn age(&self) -> Duration {
        Instant::now().saturating_duration_since(self.created)
    }

    /// Whether its socket is open, handshake done.
    pub fn is_open(&self) -> bool {
        self.inner.lock().is_open()
    }

    /// Whether its socket is open and has said something since, or has not had
    /// the time to.
    pub fn is_healthy(&self) -> bool {
        let inner = self.inner.lock();
        let waited = inner
            .opened
            .map(|opened| Instant::now().saturating_duration_since(opened));
        inner.is_open()
            && (inner.life_messages > 0
                || waited.is_some_and(|waited| waited <= self.first_book_deadline))
    }

    /// The feed it delivers under; zero while none.
    pub(crate) fn feed(&self) -> FeedId {
        self.inner.lock().feed
    }

    /// The last feed that it delivered under.
    pub(crate) fn last_feed(&self) -> FeedId {
        self.inner.lock().last_feed
    }

    /// Assets told to depart that did, with the last feed that may have served
    /// them: whoever carries them next needs a younger one.
    pub(crate) fn take_departed(&self) -> (Vec<AssetKey>, FeedId) {
        let mut inner = self.inner.lock();
        (std::mem::take(&mut inner.departed), inner.last_feed)
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.inner.lock().retired
    }

    pub(crate) fn has_overflowed(&self) -> bool {
        self.inner.lock().overflowed
    }

    /// Whether it was found to trail the other connection that carries the same
    /// assets.
    pub fn is_lagging(&self) -> bool {
        self.inner.lock().lagging
    }

    pub(crate) fn set_lagging(&self) {
        self.inner.lock().lagging = true;
    }

    /// Assets for which it has no book at all.
    pub(crate) fn bookless(&self) -> Vec<AssetKey> {
        self.inner.lock().bookless.clone()
    }

    /// Assets for which it has no book, and which REST has not denied.
    pub(crate) fn hoped_for(&self) -> Vec<AssetKey> {
        self.inner.lock().hoped_for.clone()
    }

    /// Assets whose first book this socket does not bring, whatever is tried.
    pub(crate) fn stranded(&self) -> Vec<AssetKey> {
        self.inner.lock().stranded.clone()
    }

    /// How often each rung of the first-book ladder was taken.
    pub(crate) fn rungs(&self) -> Rungs {
        self.inner.lock().rungs
    }

    /// From now on `partner` carries the same assets, as far as it does.
    pub(crate) fn pair_with(&self, partner: &Arc<Self>) {
        *self.partner.lock() = Arc::downgrade(partner);
    }

    /// Books that the other connection tells at this moment.
    pub(super) fn covered(&self) -> usize {
        let partner = self.partner.lock().upgrade();
        partner.map_or(0, |partner| {
            let inner = partner.inner.lock();
            let told = inner.feed != FeedId::default();
            if told && inner.is_open() {
                inner.carried.saturating_sub(inner.bookless.len())
            } else {
                0
            }
        })
    }

    /// When a replacement began to deliver.
    pub(crate) fn took_over(&self) -> Option<Instant> {
        self.inner.lock().took_over
    }

    /// When its last socket ended, unless one is open.
    pub(crate) fn down_since(&self) -> Option<Instant> {
        let inner = self.inner.lock();
        (!inner.is_open()).then_some(inner.closed.unwrap_or(self.created))
    }

    /// Attempts to open a socket that failed, and sockets that ended.
    pub(crate) fn setbacks(&self) -> u64 {
        let inner = self.inner.lock();
        inner.open_failures + inner.sockets - u64::from(inner.is_open())
    }

    /// Closes for being too slow a reader, ever.
    pub(crate) fn slow_consumer_closes(&self) -> u64 {
        self.inner.lock().slow_consumer
    }

    /// A JSON object; `load` is the registry's word on its assets.
    pub(crate) fn json(&self, load: ConnectionLoad) -> Value {
        let now = Instant::now();
        let since = |then: Instant| now.saturating_duration_since(then);
        let healthy = self.is_healthy();
        let inner = self.inner.lock().clone();
        let total = inner.carried.max(load.total());
        object([
            ("connection_id", json!(self.id.to_string())),
            ("status", json!(inner.status)),
            ("is_draining", json!(inner.retired)),
            ("age_seconds", json!(since(self.created).as_secs_f64())),
            (
                "uptime",
                json!(
                    inner
                        .opened
                        .map_or(0.0, |opened| since(opened).as_secs_f64())
                ),
            ),
            ("messages_received", json!(inner.messages)),
            ("bytes_received", json!(inner.bytes)),
            ("parse_errors", json!(inner.parse_errors)),
            ("reconnect_count", json!(inner.sockets.saturating_sub(1))),
            ("is_healthy", json!(healthy)),
            ("total_markets", json!(total)),
            ("subscribed_markets", json!(load.subscribed)),
            ("expired_markets", json!(load.expired)),
            ("pollution_ratio", json!(ratio(load.expired, total))),
            ("feed", json!(inner.feed)),
            ("awaiting_books", json!(inner.bookless.len())),
            (
                "last_data_age_ms",
                json!(inner.last_data.map(|at| millis(since(at)))),
            ),
            ("open_failures", json!(inner.open_failures)),
            ("refusals", json!(inner.refusals)),
            ("closes", json!(inner.closes)),
            ("close_codes", json!(inner.close_codes)),
            ("refused_frames", json!(inner.refused_frames)),
            ("pings", json!(inner.pings)),
            ("pongs", json!(inner.pongs)),
            ("probes", json!(inner.probes)),
            ("resubscribes", json!(inner.resubscribes)),
            ("rest_seeds", json!(inner.rungs.seeded)),
            ("stranded", json!(inner.stranded.len())),
            ("ladder", json!(inner.rungs)),
            ("is_lagging", json!(inner.lagging)),
        ])
    }
}

impl Counters {
    fn is_open(&self) -> bool {
        self.opened.is_some()
    }

    pub(super) fn deliver_under(&mut self, feed: FeedId) {
        self.feed = feed;
        self.last_feed = feed;
    }

    /// Counts a code, within bounds.
    pub(super) fn count_code(codes: &mut BTreeMap<u16, u64>, code: u16) {
        let key = if codes.contains_key(&code) || codes.len() < CODES {
            code
        } else {
            // Zero is no code of anything: all the rest.
            0
        };
        *codes.entry(key).or_default() += 1;
    }
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// `part` of `whole`; zero of nothing.
pub(crate) fn ratio(part: usize, whole: usize) -> f64 {
    let float = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    if whole == 0 {
        0.0
    } else {
        float(part) / float(whole)
    }
}
