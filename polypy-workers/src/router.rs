//! From sockets to workers.
//!
//! One pass over a delivery splits it by worker, in order. Each worker applies its
//! part at once or queues it (`worker`). Nothing here waits for room. The router
//! drops what a queue cannot take, and what comes while it is not running: it counts
//! the events, marks their books before the call returns, and, while running, asks
//! for them again.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use polypy_core::metrics::{Entry, Kind, Part, Reading, Row, Sheet, Span, count};
use polypy_core::{
    AssetKey, AuditSink, BookControl, BookEvent, BoxFuture, Component, ComponentError,
    ComponentState, EventSink, FeedId, Health, HealthSource, Lifecycle, MarketEvent, Scope,
    StaleReason, StatsSource,
};

use crate::manager::WorkerManager;
use crate::queue::{Pushed, WorkerQueue};
use crate::shared::{RoutingStats, Shared};

const NAME: &str = "router";

thread_local! {
    /// A delivery's parts by worker, empty between deliveries; kept for its memory.
    static PARTS: Cell<Vec<Vec<MarketEvent>>> = const { Cell::new(Vec::new()) };
}

/// Splits what sockets deliver among the workers. See the module's documentation.
#[derive(Debug)]
pub struct MessageRouter {
    shared: Arc<Shared>,
    life: Lifecycle<()>,
}

impl MessageRouter {
    /// A router to the workers of `manager`.
    pub fn new(manager: &WorkerManager) -> Self {
        Self {
            shared: Arc::clone(manager.shared()),
            life: Lifecycle::default(),
        }
    }

    /// Events that are queued or being applied, over all workers. Zero: whatever
    /// was delivered before is in the books.
    pub fn backlog(&self) -> usize {
        let workers = self.shared.workers.iter();
        workers.map(|worker| worker.queue().depth()).sum()
    }

    /// Gives one worker its part; the assets to be fetched again.
    fn push(&self, number: usize, feed: FeedId, part: &mut Vec<MarketEvent>) -> Vec<AssetKey> {
        let (worker, stats) = (&self.shared.workers[number], &self.shared.routing);
        let Pushed {
            accepted,
            dropped,
            marked,
        } = worker.deliver(feed, part);
        if accepted > 0 {
            stats.messages_routed.add_shared(count(accepted));
            stats.batches_sent.add_shared(1);
        }
        if dropped > 0 {
            stats.messages_dropped.add_shared(count(dropped));
            stats.queue_full_events.add_shared(1);
            let assets = marked.len();
            tracing::debug!(worker = number, dropped, assets, "queue is full");
        }
        marked
    }

    /// Asks for fresh books in place of dropped events.
    fn ask(&self, feed: FeedId, assets: &[AssetKey]) {
        if !assets.is_empty() {
            let reason = StaleReason::Dropped;
            let resync = &self.shared.resync;
            resync.resync(Scope::Feed(feed), assets, reason);
        }
    }

    /// Drops a delivery that comes while nothing is to be routed.
    fn refuse(&self, events: &mut Vec<MarketEvent>) {
        let refused = count(events.len());
        self.shared.routing.routing_errors.add_shared(refused);
        self.shared.routing.messages_dropped.add_shared(refused);
        let assets: Vec<_> = events.drain(..).map(|event| event.asset()).collect();
        self.mark_stale(&assets, StaleReason::Dropped);
    }

    /// Calls `tell` once for every worker concerned, with its assets.
    fn by_worker(&self, assets: &[AssetKey], tell: impl Fn(&WorkerQueue, &[AssetKey])) {
        if let [asset] = assets {
            tell(self.queue_of(*asset), assets);
            return;
        }
        let mut parts = vec![Vec::new(); self.shared.workers.len()];
        for &asset in assets {
            parts[self.shared.worker_of(asset)].push(asset);
        }
        for (worker, part) in self.shared.workers.iter().zip(&parts) {
            if !part.is_empty() {
                tell(worker.queue(), part);
            }
        }
    }

    fn queue_of(&self, asset: AssetKey) -> &WorkerQueue {
        self.shared.workers[self.shared.worker_of(asset)].queue()
    }

    /// Waits until every worker that runs has nothing left to do.
    async fn drain(&self) {
        for worker in &self.shared.workers {
            loop {
                let queue = worker.queue();
                let drained = queue.drained().notified();
                let mut drained = std::pin::pin!(drained);
                drained.as_mut().enable();
                if !queue.is_running() || queue.is_drained() {
                    break;
                }
                drained.await;
            }
        }
    }
}

impl EventSink for MessageRouter {
    fn deliver(&self, feed: FeedId, events: &mut Vec<MarketEvent>) {
        if events.is_empty() {
            return;
        }
        if !self.shared.is_accepting() {
            self.refuse(events);
            return;
        }
        if self.shared.workers.len() == 1 {
            self.ask(feed, &self.push(0, feed, events));
            return;
        }
        let mut missing = Vec::new();
        let mut parts = PARTS.take();
        if parts.len() < self.shared.workers.len() {
            parts.resize_with(self.shared.workers.len(), Vec::new);
        }
        for event in events.drain(..) {
            parts[self.shared.worker_of(event.asset())].push(event);
        }
        for (worker, part) in parts.iter_mut().enumerate() {
            if !part.is_empty() {
                missing.append(&mut self.push(worker, feed, part));
            }
        }
        PARTS.set(parts);
        self.ask(feed, &missing);
    }

    fn feed_opened(&self, feed: FeedId) {
        self.shared.feeds.open(feed);
    }

    fn feed_closed(&self, feed: FeedId, reason: StaleReason) {
        if self.shared.feeds.close(feed, reason) {
            for worker in &self.shared.workers {
                worker.queue().close_feed(feed, reason);
            }
        }
    }

    fn mark_feed_stale(&self, feed: FeedId, assets: &[AssetKey], reason: StaleReason) {
        self.by_worker(assets, |queue, assets| {
            queue.mark(Scope::Feed(feed), assets, reason);
        });
    }

    fn feed_resumed(&self, feed: FeedId, suspensions: u64) {
        // What was delivered before may still be queued: each worker says when it has
        // applied that.
        self.shared.feeds.resume(feed, suspensions);
        for worker in &self.shared.workers {
            worker.queue().push_resumed(feed, suspensions);
        }
    }
}

impl BookControl for MessageRouter {
    fn mark_stale(&self, assets: &[AssetKey], reason: StaleReason) {
        self.by_worker(assets, |queue, assets| {
            queue.mark(Scope::AllFeeds, assets, reason);
        });
    }

    fn settle(&self, assets: &[AssetKey]) {
        self.by_worker(assets, |queue, assets| {
            queue.tell(assets, |message| message.settled = true);
        });
    }

    fn forget(&self, assets: &[AssetKey]) {
        self.by_worker(assets, |queue, assets| {
            queue.tell(assets, |message| message.forgotten = true);
        });
    }
}

impl AuditSink for MessageRouter {
    fn audit(&self, book: Box<BookEvent>, requested: Instant) {
        let queue = self.queue_of(book.info.key);
        let is_open = self.shared.is_accepting() && queue.is_running();
        let queued = is_open && queue.push_audit(book, requested);
        let stats = &self.shared.routing;
        let counter = if queued {
            &stats.audits_routed
        } else {
            &stats.audits_dropped
        };
        counter.add_shared(1);
    }
}

impl Component for MessageRouter {
    fn name(&self) -> &'static str {
        NAME
    }

    fn start(&self) -> BoxFuture<'_, Result<(), ComponentError>> {
        Box::pin(async move {
            match self.life.begin_start() {
                Ok(starting) => {
                    self.shared.accepting.store(true, Ordering::SeqCst);
                    starting.running(());
                }
                Err(state) => {
                    let state = state.name();
                    tracing::warn!(component = NAME, state, "start while not stopped");
                }
            }
            Ok(())
        })
    }

    /// Refuses new events at once, then waits until the queues are drained, at most
    /// [`crate::WorkersConfig::drain_deadline`].
    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let (_stopping, ()) = match self.life.begin_stop() {
                Ok(begun) => begun,
                Err(state) => {
                    let state = state.name();
                    tracing::warn!(component = NAME, state, "stop while not running");
                    return;
                }
            };
            self.shared.accepting.store(false, Ordering::SeqCst);
            let deadline = self.shared.config.drain_deadline;
            if tokio::time::timeout(deadline, self.drain()).await.is_err() {
                tracing::warn!(events = self.backlog(), "queues were not drained in time");
            }
        })
    }

    fn state(&self) -> ComponentState {
        self.life.state()
    }
}

impl HealthSource for MessageRouter {
    fn health(&self) -> Health {
        Health::of(self.shared.is_accepting())
    }
}

type Latency = Entry<Reading>;

static LATENCY: &[Latency] = &[
    Latency::shown(
        "avg_latency_ms",
        "The mean time from a socket's read until what it brought was in its book. Decoding, some microseconds a frame, comes before.",
        |latency| latency.mean_ms().into(),
    ),
    Latency::shown("latency_p50_ms", LATENCY_BOUND, |latency| {
        latency.percentile_ms(50).into()
    }),
    Latency::shown("latency_p99_ms", LATENCY_BOUND, |latency| {
        latency.percentile_ms(99).into()
    }),
];
const LATENCY_BOUND: &str =
    "The same: a bound for this share of the events, exact to a factor of two.";
static RECEIVE_TO_APPLIED: Row = Row::histogram(
    "polypy_receive_to_applied_seconds",
    "From a socket's read until what it brought was in its book, without decoding.",
    Span::INTERNAL,
);

type Router = Entry<MessageRouter>;

static QUEUE_DEPTHS: Part = Part::new("queue_depths", "Events queued or being applied now.");
static DEPTHS: &[Router] = &[
    Router::shown(
        "async_queue",
        "Nothing is queued before the workers' queues: always zero.",
        |_| 0u64.into(),
    ),
    Router::shown("worker_queue", "All workers' queues together.", |router| {
        router.backlog().into()
    }),
];
static BY_WORKER: Row = Row::by(
    Kind::Gauge,
    "*",
    "",
    "worker",
    "`worker_N`: the queue of one worker.",
);
static CAPACITY: &[Router] = &[
    Router::gauge(
        "queue_capacity_events",
        "polypy_router_queue_capacity_events",
        "Events that one worker's queue takes.",
        |router| router.shared.config.queue_events.get().into(),
    ),
    Router::gauge(
        "feeds_open",
        "polypy_router_feeds_open",
        "Feeds that are open.",
        |router| router.shared.feeds.open_count().into(),
    ),
];

impl StatsSource for MessageRouter {
    fn show(&self, sheet: &mut dyn Sheet) {
        let (workers, routing) = (&self.shared.workers, &self.shared.routing);
        let mut latency = Reading::default();
        for worker in workers {
            worker.stats().applied_after.add_to(&mut latency);
        }
        sheet.table(RoutingStats::ROWS, routing);
        sheet.table(LATENCY, &latency);
        sheet.histogram(&RECEIVE_TO_APPLIED, &latency);
        sheet.part(&QUEUE_DEPTHS, |sheet| {
            sheet.table(DEPTHS, self);
            for (number, worker) in workers.iter().enumerate() {
                let depth = count(worker.queue().depth());
                let name = format!("worker_{number}");
                sheet.members(&BY_WORKER, &mut [(name.as_str(), depth)].into_iter());
            }
        });
        sheet.table(CAPACITY, self);
        sheet.table(RoutingStats::AUDIT_ROWS, routing);
    }
}

#[cfg(test)]
#[path = "router_tests.rs"]
mod tests;
