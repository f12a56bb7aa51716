//! A worker: books, a queue of what is to be applied to them, and one executor.
//!
//! The executor is the thread that holds the books' lock: the worker's thread, which waits
//! for work, or a thread that brings events. This is known as *flat combining*. All
//! of them apply control messages first, then batches in the order of their
//! numbers, through one panic boundary ([`Worker::contain`]) and one end
//! ([`Worker::release`]).
//!
//! | who | when | applies |
//! |---|---|---|
//! | the worker's thread | something is queued, or time has passed | one batch, then what only time changes |
//! | a socket's thread, *inline* | a short delivery, nothing queued, the lock is free | what it brings |
//! | a socket's thread, *helping* | more than half of the queue is taken | what is queued, at least as many events as it brought |
//!
//! A panic fails the worker, on whichever thread it happens, and goes no further:
//! the books are half done, stale for every reader and touched by nobody until the
//! supervisor has restarted the worker. The batch is counted as lost and not tried
//! again: what made it panic once would do so for ever.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use polypy_core::metrics::{Entry, Kind, List, Unit, count, millis, ratio};
use polypy_core::{AssetKey, ChangeSink, FeedId, Lane, MarketEvent, ResyncSink, Scope};
use tokio::sync::Notify;

use crate::config::WorkersConfig;
use crate::feeds::Feeds;
use crate::partition::{Partition, Resyncs};
use crate::queue::{Batch, Liveness, Pushed, Transition, WorkerQueue};
use crate::stats::WorkerStats;

/// How long an idle worker sleeps: the grain of everything that only time changes.
const TIMEOUT: Duration = Duration::from_millis(250);

/// How long a helper waits for the books: more than a batch takes that was read at
/// once, with every hash checked.
const HELPER_WAITS: Duration = Duration::from_millis(5);

/// How long help lasts, if it has given back what was brought: a change of hands
/// costs some 40 µs, and readers wait for the end of it.
const HELP_LASTS: Duration = Duration::from_millis(1);

/// How long those wait for the books who want to follow or to copy some.
const FOLLOWER_WAITS: Duration = Duration::from_millis(1);

/// Eighths of a queue's bounds beyond which there is help, and at which it ends.
const HELPED: usize = 4;
const ENOUGH: usize = 3;

/// See the module's documentation.
pub(crate) struct Worker {
    number: usize,
    queue: WorkerQueue,
    partition: Mutex<Partition>,
    feeds: Arc<Feeds>,
    stats: Arc<WorkerStats>,
    /// When it was made: its heartbeat counts from then.
    made: Instant,
    resync: Arc<dyn ResyncSink>,
    /// Where the changes of followed books go, and in which lane.
    changes: Option<Arc<dyn ChangeSink>>,
    lane: Lane,
    /// Events up to which a delivery is applied inline; zero: sockets apply nothing.
    inline_events: usize,
    /// Wakes the supervisor.
    failed: Arc<Notify>,
}

impl Worker {
    pub(crate) fn new(
        number: usize,
        config: &WorkersConfig,
        feeds: &Arc<Feeds>,
        resync: &Arc<dyn ResyncSink>,
        changes: Option<&Arc<dyn ChangeSink>>,
        failed: &Arc<Notify>,
    ) -> Self {
        let stats = Arc::new(WorkerStats::default());
        let (feeds, made) = (Arc::clone(feeds), Instant::now());
        let partition = Partition::new(config, Arc::clone(&feeds), Arc::clone(&stats), made);
        Self {
            number,
            queue: WorkerQueue::new(config.queue_events.get()),
            partition: Mutex::new(partition),
            feeds,
            stats,
            made,
            resync: Arc::clone(resync),
            changes: changes.map(Arc::clone),
            // There are far fewer workers than that.
            lane: Lane(u16::try_from(number).unwrap_or(u16::MAX)),
            inline_events: config.direct_events,
            failed: Arc::clone(failed),
        }
    }

    pub(crate) fn queue(&self) -> &WorkerQueue {
        &self.queue
    }

    pub(crate) fn stats(&self) -> &WorkerStats {
        &self.stats
    }

    /// The books. Its holder keeps every executor from them.
    pub(crate) fn books(&self) -> MutexGuard<'_, Partition> {
        self.partition.lock()
    }

    /// The same for those who leave them alone while others hold them for longer than a
    /// moment.
    pub(crate) fn try_books(&self) -> Option<MutexGuard<'_, Partition>> {
        self.partition.try_lock_for(FOLLOWER_WAITS)
    }

    /// The worker's thread: runs until the worker is stopped.
    pub(crate) fn run(&self) {
        let _end = EndOfThread(&self.queue);
        while self.iterate(TIMEOUT) {}
    }

    /// Waits for work and does a share of it; `false` once the worker is stopped.
    pub(crate) fn iterate(&self, timeout: Duration) -> bool {
        if !self.queue.wait(timeout) {
            return false;
        }
        // Before the books are waited for: who holds them for ever stops this clock.
        self.stats.beat_ms.set(millis(self.made.elapsed()));
        let mut partition = self.partition.lock();
        self.drain(&mut partition, |_| false);
        if self.queue.is_running() {
            self.contain(0, || partition.look(Instant::now()));
        } else if self.queue.liveness() == Liveness::GivenUp {
            // What is queued must not grow for ever, nor what it says be lost: settled
            // and forgotten books are so whatever became of the worker.
            self.discard();
            if let Some(control) = self.queue.take_control() {
                self.contain(0, || partition.take(control, Instant::now()));
            }
        }
        self.release(partition);
        self.queue.tell_if_drained();
        true
    }

    /// Takes what one read of a socket brought. Leaves `events` empty.
    pub(crate) fn deliver(&self, feed: FeedId, events: &mut Vec<MarketEvent>) -> Pushed {
        if events.len() <= self.inline_events
            && let Some(accepted) = self.apply_inline(feed, events)
        {
            return Pushed {
                accepted,
                ..Pushed::default()
            };
        }
        let pushed = self.queue.push(feed, events);
        if self.inline_events > 0 && self.queue.is_beyond(HELPED) {
            self.help(pushed.accepted);
        }
        pushed
    }

    /// Applies events without queueing them, and leaves `events` empty, with its
    /// memory; how many, or `None` if they have to be queued.
    fn apply_inline(&self, feed: FeedId, events: &mut Vec<MarketEvent>) -> Option<usize> {
        let mut partition = self.partition.try_lock()?;
        // With the books held, so that nothing can be numbered before these events
        // and applied after them.
        let number = self.queue.claim()?;
        let accepted = events.len();
        let mut batch = Batch::new(feed, number, std::mem::take(events));
        let now = batch.queued_at;
        self.apply(&mut partition, &mut batch, now);
        self.release(partition);
        *events = batch.events;
        events.clear();
        Some(accepted)
    }

    /// Applies some of what is queued, after `brought` events were queued. The queue
    /// is left shorter than it was before them, and is no longer than three eighths
    /// of its bound if a millisecond is enough.
    fn help(&self, brought: usize) {
        let Some(mut partition) = self.partition.try_lock_for(HELPER_WAITS) else {
            return;
        };
        let began = Instant::now();
        self.drain(&mut partition, |applied| {
            self.queue.is_beyond(ENOUGH) && (applied < brought || began.elapsed() < HELP_LASTS)
        });
        self.release(partition);
        self.queue.tell_if_drained();
    }

    /// Applies control messages and the oldest batch, and so on while `goes_on` says
    /// so of the events that were applied.
    fn drain(&self, partition: &mut Partition, goes_on: impl Fn(usize) -> bool) {
        let mut applied = 0;
        while self.queue.is_running() {
            let now = Instant::now();
            let (control, batch) = self.queue.take_next();
            if let Some(control) = control
                && !self.contain(0, || partition.take(control, now))
            {
                batch
                    .into_iter()
                    .for_each(|batch| self.queue.put_back(batch));
                return;
            }
            let Some(mut batch) = batch else {
                return;
            };
            applied += batch.weight();
            self.apply(partition, &mut batch, now);
            self.queue.finish(batch);
            if !goes_on(applied) {
                return;
            }
        }
    }

    /// Applies a batch and records it.
    fn apply(&self, partition: &mut Partition, batch: &mut Batch, now: Instant) {
        let (events, weight) = (count(batch.events.len()), batch.weight());
        if !self.contain(weight, || partition.apply(batch, now)) {
            return;
        }
        let stats = &self.stats;
        let busy = now.elapsed();
        stats.batches.increment();
        let nanos = u64::try_from(busy.as_nanos()).unwrap_or(u64::MAX);
        stats.processing_nanos.add(nanos);
        let waited = now.saturating_duration_since(batch.queued_at);
        stats.applied_after.record(waited + busy, events);
    }

    /// Hands over what was written for those who follow books, lets go of the books, then
    /// sends what came up: apart from that list's taker nobody else is called while they
    /// are held.
    fn release(&self, mut partition: MutexGuard<'_, Partition>) {
        let is_appended = self.append(&mut partition);
        // Those of a worker that failed are asked for as a whole, once it is restarted.
        let resyncs = self.queue.is_running().then(|| partition.take_resyncs());
        // Readers wait for this lock: the next executor is not to overtake them.
        MutexGuard::unlock_fair(partition);
        if is_appended {
            self.wake_followers();
        }
        if let Some(resyncs) = resyncs.flatten() {
            self.contain(0, || self.ask(resyncs));
        }
    }

    /// Hands over what was written for those who follow books, with the books held: the
    /// order in the lane is that in which they were. Whether there was something.
    fn append(&self, partition: &mut Partition) -> bool {
        let Some(changes) = partition.written() else {
            return false;
        };
        let Some(sink) = &self.changes else {
            changes.clear();
            return false;
        };
        // It may end with half a change. Its restart has every book followed again.
        if self.queue.liveness() == Liveness::Failed {
            changes.clear();
            return false;
        }
        self.contain(0, || sink.append(self.lane, changes))
    }

    /// With no books held.
    fn wake_followers(&self) {
        if let Some(sink) = &self.changes {
            self.contain(0, || sink.wake());
        }
    }

    /// Does something with the books for those who follow them; `None` if others hold
    /// them, or they are half done.
    pub(crate) fn attend<T>(&self, act: impl FnOnce(&mut Partition, Instant) -> T) -> Option<T> {
        let mut partition = self.try_books()?;
        if self.queue.liveness() == Liveness::Failed {
            return None;
        }
        let mut answer = None;
        self.contain(0, || answer = Some(act(&mut partition, Instant::now())));
        self.release(partition);
        answer
    }

    /// Does something with the books as an executor does.
    #[cfg(test)]
    pub(crate) fn execute(&self, act: impl FnOnce(&mut Partition)) {
        let mut partition = self.partition.lock();
        act(&mut partition);
        self.release(partition);
    }

    /// Whether there is somebody who might follow books.
    pub(crate) fn is_watched(&self) -> bool {
        self.changes.is_some()
    }

    fn ask(&self, resyncs: Resyncs) {
        for ((feed, reason), assets) in resyncs {
            let number = assets.len();
            let on_feed = feed.map(|feed| feed.0);
            tracing::debug!(
                reason = reason.name(),
                feed = on_feed,
                assets = number,
                "asking for fresh books"
            );
            let scope = feed.map_or(Scope::AllFeeds, Scope::Feed);
            self.resync.resync(scope, &assets, reason);
        }
    }

    /// The panic boundary: does something that belongs to the worker, on whichever
    /// thread; `false` if it panicked. Then the worker has failed, and `events` are
    /// counted as lost.
    fn contain(&self, events: usize, work: impl FnOnce()) -> bool {
        let Err(panic) = catch_unwind(AssertUnwindSafe(work)) else {
            return true;
        };
        // First of all, and with the books held if they are half done: no reader may take
        // them for whole.
        self.queue.transit(Transition::Fail);
        self.stats.lost.add_shared(count(events));
        let cause = message_of(&*panic);
        tracing::error!(worker = self.number, cause, lost = events, "worker failed");
        self.failed.notify_one();
        false
    }

    /// Has the worker run, again usually, or stay down. No book that it has is trusted
    /// until a snapshot that is still to come, and none is followed; the assets to be
    /// fetched again.
    pub(crate) fn begin(&self, transition: Transition) -> Vec<AssetKey> {
        let mut partition = self.partition.lock();
        // Of its own: a whole book of the batch that was lost must not be taken for one that
        // came later.
        let (number, mut assets) = (self.queue.next_number(), Vec::new());
        let is_whole = self.contain(0, || assets = partition.recover(number, Instant::now()));
        // With broken books it stays failed, and the supervisor tries again.
        if is_whole || !matches!(transition, Transition::Restart) {
            self.queue.transit(transition);
        }
        self.release(partition);
        assets
    }

    /// Drops what is still queued and counts it as lost.
    pub(crate) fn discard(&self) {
        while let Some(batch) = self.queue.take() {
            if let Some(suspensions) = batch.resumed {
                self.feeds.resume_applied(batch.feed, suspensions);
            }
            self.stats.lost.add_shared(count(batch.weight()));
            self.queue.finish(batch);
        }
    }
}

type Own = Entry<Arc<Worker>>;

impl Worker {
    /// Workers by number.
    pub(crate) const LIST: List = List::by_name("worker_stats", "worker", "Each worker.");

    pub(crate) const ROWS: &'static [Own] = &[
        Own::counter(
            "messages_processed",
            "polypy_worker_events_total",
            "Events applied.",
            |worker| worker.stats.messages_processed.get().into(),
        ),
        Own::counter(
            "updates_applied",
            "polypy_worker_level_changes_total",
            "Changes of levels applied.",
            |worker| worker.stats.updates_applied.get().into(),
        ),
        Own::counter(
            "snapshots_received",
            "polypy_worker_snapshots_total",
            "Whole books received.",
            |worker| worker.stats.snapshots_received.get().into(),
        ),
        Own::shown(
            "avg_processing_time_us",
            "The mean time that applying an event took.",
            |worker| {
                let (busy, events) = (
                    &worker.stats.processing_nanos,
                    &worker.stats.messages_processed,
                );
                (ratio(busy.get(), events.get()) / 1_000.0).into()
            },
        )
        .unit(Unit::Micros),
        Own::exported(
            Kind::Counter,
            "polypy_worker_busy_seconds_total",
            "Time spent applying events.",
            |worker| worker.stats.processing_nanos.get().into(),
        )
        .unit(Unit::Nanos),
        Own::gauge(
            "orderbook_count",
            "polypy_worker_books",
            "Books that can be read.",
            |worker| worker.stats.books().readable().into(),
        ),
        Own::shown("memory_usage_mb", "What the books take.", |worker| {
            ratio(worker.stats.memory_bytes.get(), 1_000_000).into()
        })
        .unit(Unit::Megabytes),
        Own::exported(
            Kind::Gauge,
            "polypy_worker_book_memory_bytes",
            "What the books take.",
            |worker| worker.stats.memory_bytes.get().into(),
        )
        .unit(Unit::Bytes),
        Own::gauge(
            "alive",
            "polypy_worker_running",
            "Whether it runs.",
            |worker| worker.queue.is_running().into(),
        ),
        Own::exported(
            Kind::Gauge,
            "polypy_worker_queue_events",
            "Events queued or being applied.",
            |worker| worker.queue.depth().into(),
        ),
        Own::counter(
            "batches_processed",
            "polypy_worker_batches_total",
            "Batches of events applied.",
            |worker| worker.stats.batches.get().into(),
        ),
        Own::shown(
            "messages_lost",
            "Events lost by its failure, or left over at its end.",
            |worker| worker.stats.lost.get().into(),
        ),
        Own::counter(
            "restarts",
            "polypy_worker_restarts_total",
            "Times it was restarted.",
            |worker| worker.stats.restarts.get().into(),
        ),
        Own::gauge(
            "heartbeat_age_ms",
            "polypy_worker_heartbeat_age_seconds",
            "Since its thread last looked for work; zero while it does not run.",
            |worker| worker.heartbeat_age_ms().into(),
        )
        .unit(Unit::Millis),
    ];

    /// Since its thread last looked for work; zero while it does not run.
    pub(crate) fn heartbeat_age_ms(&self) -> u64 {
        let age = millis(self.made.elapsed()).saturating_sub(self.stats.beat_ms.get());
        if self.queue.is_running() { age } else { 0 }
    }
}

/// The worker does not run without its thread, however that ended.
struct EndOfThread<'a>(&'a WorkerQueue);

impl Drop for EndOfThread<'_> {
    fn drop(&mut self) {
        self.0.transit(Transition::Stop);
    }
}

/// What was panicked with.
fn message_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message")
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
