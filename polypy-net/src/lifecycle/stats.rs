//! What the controller has found, asked and ended.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use polypy_core::{ComponentState, Timestamp};
use serde_json::{Map, Value, json};

use super::Shared;
use super::lookup::Lookup;
use crate::gamma::SkipReason;

/// Counters, and the last listing.
#[derive(Debug, Default)]
pub(super) struct LifecycleStats {
    pub(super) markets_added: AtomicU64,
    pub(super) hints_received: AtomicU64,
    pub(super) hints_dropped: AtomicU64,
    pub(super) hints_new_market: AtomicU64,
    pub(super) hints_resolved: AtomicU64,
    pub(super) lookup_requests: AtomicU64,
    pub(super) lookup_failures: AtomicU64,
    pub(super) lookups_found: AtomicU64,
    pub(super) lookups_given_up: AtomicU64,
    pub(super) lookups_dropped: AtomicU64,
    pub(super) expired_resolved: AtomicU64,
    pub(super) expired_closed: AtomicU64,
    pub(super) expired_unknown: AtomicU64,
    pub(super) returned: AtomicU64,
    pub(super) closings_doubted: AtomicU64,
    pub(super) tokens_delisted: AtomicU64,
    pub(super) forgotten: AtomicU64,
    discovery: Mutex<Discovery>,
}

#[derive(Debug, Default)]
struct Discovery {
    successes: u64,
    failures: u64,
    complete: u64,
    last_success: Option<Timestamp>,
    missing: usize,
    last: Option<CrawlOutcome>,
}

/// What one listing came to.
#[derive(Debug)]
pub(super) struct CrawlOutcome {
    pub(super) pages: usize,
    pub(super) rows: usize,
    pub(super) duration: Duration,
    pub(super) end: &'static str,
    pub(super) complete: bool,
    /// By [`SkipReason::index`].
    pub(super) skipped: [u64; SkipReason::ALL.len()],
}

/// Adds one.
pub(super) fn count(counter: &AtomicU64) {
    add(counter, 1);
}

/// Adds so many.
pub(super) fn add(counter: &AtomicU64, number: usize) {
    counter.fetch_add(u64::try_from(number).unwrap_or(u64::MAX), Ordering::Relaxed);
}

impl LifecycleStats {
    pub(super) fn crawled(&self, outcome: &CrawlOutcome) {
        let mut discovery = self.discovery.lock();
        discovery.complete += u64::from(outcome.complete);
        discovery.last = Some(CrawlOutcome { ..*outcome });
    }

    /// Books a success; whether it is the first.
    pub(super) fn round_succeeded(&self, now: Timestamp) -> bool {
        let mut discovery = self.discovery.lock();
        discovery.successes += 1;
        discovery.last_success = Some(now);
        discovery.successes == 1
    }

    pub(super) fn round_failed(&self) {
        self.discovery.lock().failures += 1;
    }

    pub(super) fn missing(&self, markets: usize) {
        self.discovery.lock().missing = markets;
    }

    pub(super) fn has_succeeded(&self) -> bool {
        self.discovery.lock().successes > 0
    }

    /// Whether discovery has succeeded once, or has not failed yet.
    pub(super) fn is_hopeful(&self) -> bool {
        let discovery = self.discovery.lock();
        discovery.successes > 0 || discovery.failures == 0
    }
}

impl Discovery {
    fn to_json(&self, now: Timestamp) -> Value {
        let age = self.last_success.map(|success| now.millis_since(success));
        let last = self.last.as_ref();
        let skipped: Map<String, Value> = SkipReason::ALL
            .into_iter()
            .map(|reason| {
                let rows = last.map_or(0, |last| last.skipped[reason.index()]);
                (reason.name().to_owned(), rows.into())
            })
            .collect();
        json!({
            "rounds": self.successes + self.failures,
            "failures": self.failures,
            "complete_crawls": self.complete,
            "last_success": self.last_success.map(|success| success.to_string()),
            "last_success_age_ms": age,
            "last_crawl": last.map(|last| json!({
                "complete": last.complete,
                "end": last.end,
                "pages": last.pages,
                "rows": last.rows,
                "seconds": last.duration.as_secs_f64(),
                "skipped": skipped,
            })),
            "missing_markets": self.missing,
        })
    }
}

impl Shared {
    pub(super) fn to_json(&self) -> Value {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let stats = &self.stats;
        let is_running = *self.state.lock() == ComponentState::Running;
        json!({
            "is_running": is_running,
            "known_market_count": self.registry.market_count(),
            "live_market_count": self.registry.live_market_count(),
            "markets_added": get(&stats.markets_added),
            "expired_resolved": get(&stats.expired_resolved),
            "expired_closed": get(&stats.expired_closed),
            "expired_unknown": get(&stats.expired_unknown),
            "returned": get(&stats.returned),
            "closings_doubted": get(&stats.closings_doubted),
            "tokens_delisted": get(&stats.tokens_delisted),
            "forgotten": get(&stats.forgotten),
            "awaiting_forget": self.retention.len(),
            "discovery": stats.discovery.lock().to_json(self.clock.now()),
            "hints": {
                "received": get(&stats.hints_received),
                "dropped": get(&stats.hints_dropped),
                "new_market": get(&stats.hints_new_market),
                "resolved": get(&stats.hints_resolved),
            },
            "lookups": {
                "requests": get(&stats.lookup_requests),
                "failures": get(&stats.lookup_failures),
                "found": get(&stats.lookups_found),
                "given_up": get(&stats.lookups_given_up),
                "dropped": get(&stats.lookups_dropped),
                "pending_open": self.lookups.len(Lookup::IsOpen),
                "pending_closed": self.lookups.len(Lookup::IsClosed),
            },
            "gamma": self.gamma.stats(),
        })
    }
}
