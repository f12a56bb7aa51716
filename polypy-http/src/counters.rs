//! What the server has done, as counters that only grow.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value, json};

use crate::route::{RouteIndex, Routes};

/// Statuses that are likely; anything else is counted as `other`.
const STATUSES: [u16; 17] = [
    101, 200, 204, 304, 400, 401, 403, 404, 405, 413, 414, 417, 421, 426, 429, 500, 503,
];
const COLUMNS: usize = STATUSES.len() + 1;

/// All counters, in one place, without a lock.
#[derive(Debug)]
pub(crate) struct Counters {
    /// A row per route, and one for what matched none.
    requests: Vec<[AtomicU64; COLUMNS]>,
    paths: Vec<&'static str>,
    pub(crate) accepted: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) evicted: AtomicU64,
    pub(crate) accept_errors: AtomicU64,
    pub(crate) protocol_errors: AtomicU64,
    pub(crate) head_timeouts: AtomicU64,
    pub(crate) idle_timeouts: AtomicU64,
    pub(crate) slow_readers: AtomicU64,
    pub(crate) handler_panics: AtomicU64,
    pub(crate) drained: AtomicU64,
    pub(crate) aborted: AtomicU64,
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn new(routes: &Routes) -> Self {
        let row = || std::array::from_fn(|_| AtomicU64::new(0));
        let paths: Vec<_> = routes.iter().map(|route| route.path).collect();
        Self {
            requests: (0..=paths.len()).map(|_| row()).collect(),
            paths,
            accepted: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            accept_errors: AtomicU64::new(0),
            protocol_errors: AtomicU64::new(0),
            head_timeouts: AtomicU64::new(0),
            idle_timeouts: AtomicU64::new(0),
            slow_readers: AtomicU64::new(0),
            handler_panics: AtomicU64::new(0),
            drained: AtomicU64::new(0),
            aborted: AtomicU64::new(0),
        }
    }

    /// Counts an answer; `None` stands for a request that matched no route.
    pub(crate) fn answered(&self, route: Option<RouteIndex>, status: u16) {
        let row = route.map_or(self.paths.len(), RouteIndex::get);
        let column = STATUSES
            .iter()
            .position(|known| *known == status)
            .unwrap_or(STATUSES.len());
        if let Some(counter) = self.requests.get(row).and_then(|row| row.get(column)) {
            count(counter);
        }
    }

    /// The counters as JSON. Routes and statuses that never occurred are left out.
    pub(crate) fn to_json(&self) -> Map<String, Value> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut requests = Map::new();
        for (at, row) in self.requests.iter().enumerate() {
            let mut statuses = Map::new();
            for (column, counter) in row.iter().enumerate() {
                let name = STATUSES
                    .get(column)
                    .map_or_else(|| "other".to_owned(), u16::to_string);
                match read(counter) {
                    0 => {}
                    times => {
                        statuses.insert(name, json!(times));
                    }
                }
            }
            if !statuses.is_empty() {
                let path = self.paths.get(at).copied().unwrap_or("unmatched");
                requests.insert(path.to_owned(), Value::Object(statuses));
            }
        }
        let mut all = Map::new();
        all.insert("requests".into(), Value::Object(requests));
        for (name, counter) in [
            ("accepted_connections", &self.accepted),
            ("rejected_connections", &self.rejected),
            ("evicted_connections", &self.evicted),
            ("accept_errors", &self.accept_errors),
            ("protocol_errors", &self.protocol_errors),
            ("head_timeouts", &self.head_timeouts),
            ("idle_timeouts", &self.idle_timeouts),
            ("slow_readers_closed", &self.slow_readers),
            ("handler_panics", &self.handler_panics),
            ("drained_connections", &self.drained),
            ("aborted_connections", &self.aborted),
        ] {
            all.insert(name.into(), json!(read(counter)));
        }
        all
    }
}
