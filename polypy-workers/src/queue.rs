//! A worker's queue: everything that waits to be applied to its books.
//!
//! | module | |
//! |---|---|
//! | `batches` | events: in order, within bounds |
//! | `control` | control messages: what is said of books apart from their events |
//! | `liveness` | whether the worker runs |
//!
//! One lock guards all three, and one number orders the first two. Every batch and
//! every staleness mark takes the next number, so that a snapshot that was queued
//! before a mark cannot lift it, and a snapshot queued after it can.
//!
//! Nobody waits here for room. The worker's thread alone waits for work.

mod batches;
mod control;
mod liveness;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use polypy_core::{AssetKey, BookEvent, FeedId, MarketEvent, Scope, StaleReason};
use tokio::sync::Notify;

pub(crate) use self::batches::Batch;
use self::batches::Batches;
pub(crate) use self::control::{ControlMessage, ControlMessages, StalenessMark};
pub(crate) use self::liveness::{Liveness, Transition};

/// What became of a delivery.
#[derive(Debug, Default)]
pub(crate) struct Pushed {
    pub(crate) accepted: usize,
    pub(crate) dropped: usize,
    /// The assets of dropped events, each once.
    pub(crate) marked: Vec<AssetKey>,
}

#[derive(Debug)]
pub(crate) struct WorkerQueue {
    contents: Mutex<Contents>,
    /// Wakes the worker's thread.
    wakeup: Condvar,
    /// Tells a stopping router that the queue may be drained.
    drained: Notify,
    // What is looked at without the lock.
    events: AtomicUsize,
    control_messages: AtomicUsize,
    is_running: AtomicBool,
}

#[derive(Debug)]
struct Contents {
    /// The newest that was given out.
    number: u64,
    batches: Batches,
    control: ControlMessages,
    liveness: Liveness,
}

impl WorkerQueue {
    pub(crate) fn new(most_events: usize) -> Self {
        Self {
            contents: Mutex::new(Contents {
                number: 0,
                batches: Batches::new(most_events),
                control: ControlMessages::default(),
                liveness: Liveness::Stopped,
            }),
            wakeup: Condvar::new(),
            drained: Notify::new(),
            events: AtomicUsize::new(0),
            control_messages: AtomicUsize::new(0),
            is_running: AtomicBool::new(false),
        }
    }

    /// Queues the events that fit, in order, and marks the assets of the rest.
    /// Leaves `events` empty.
    pub(crate) fn push(&self, feed: FeedId, events: &mut Vec<MarketEvent>) -> Pushed {
        self.add(|contents| {
            let number = contents.next_number();
            let accepted = contents.batches.push(feed, number, events);
            let mut marked: Vec<_> = events.iter().map(MarketEvent::asset).collect();
            marked.sort_unstable();
            marked.dedup();
            contents.mark(Scope::Feed(feed), &marked, StaleReason::Dropped);
            let dropped = events.len();
            events.clear();
            Pushed {
                accepted,
                dropped,
                marked,
            }
        })
    }

    /// The feed has answered after a suspension, behind all that it brought before.
    pub(crate) fn push_resumed(&self, feed: FeedId, suspensions: u64) {
        self.add(|contents| {
            let number = contents.next_number();
            contents.batches.push_resumed(feed, number, suspensions);
        });
    }

    /// Queues a book to be compared with ours, behind the events that are queued
    /// already; `false` if there is no room for it.
    pub(crate) fn push_audit(&self, book: Box<BookEvent>, requested: Instant) -> bool {
        self.add(|contents| {
            let number = contents.next_number();
            contents.batches.push_audit(number, book, requested)
        })
    }

    /// Marks copies of books as stale. Readers see it when this returns.
    pub(crate) fn mark(&self, scope: Scope, assets: &[AssetKey], reason: StaleReason) {
        self.add(|contents| contents.mark(scope, assets, reason));
    }

    /// Says something else of books. Readers see it when this returns.
    pub(crate) fn tell(&self, assets: &[AssetKey], change: impl Fn(&mut ControlMessage)) {
        self.add(|contents| contents.control.change(assets, change));
    }

    /// Has the books of a closed feed looked for.
    pub(crate) fn close_feed(&self, feed: FeedId, reason: StaleReason) {
        self.add(|contents| contents.control.close(feed, reason));
    }

    /// The control message that waits for an asset. The caller holds the partition,
    /// or the answer is out of date when it arrives.
    pub(crate) fn control_message(&self, asset: AssetKey) -> Option<ControlMessage> {
        if self.control_messages.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.contents.lock().control.get(asset).cloned()
    }

    /// A number for events that are applied without being queued; `None` unless the
    /// worker runs and nothing waits. The caller holds the partition.
    pub(crate) fn claim(&self) -> Option<u64> {
        let mut contents = self.contents.lock();
        let is_idle = contents.liveness == Liveness::Running && !contents.has_work();
        is_idle.then(|| contents.next_number())
    }

    /// Takes the control messages. The caller holds the partition until it has
    /// applied them, or a reader would find them in neither place.
    pub(crate) fn take_control(&self) -> Option<ControlMessages> {
        if self.control_messages.load(Ordering::Acquire) == 0 {
            return None;
        }
        Some(self.change(|contents| std::mem::take(&mut contents.control)))
    }

    /// Takes the control messages, and the oldest batch to be applied behind them; the
    /// caller as for each of both. At once: a frame that a full queue has cut is not taken
    /// before the mark which says so.
    pub(crate) fn take_next(&self) -> (Option<ControlMessages>, Option<Batch>) {
        self.change(|contents| {
            let control = &mut contents.control;
            let control = (!control.is_empty()).then(|| std::mem::take(control));
            (control, contents.batches.take())
        })
    }

    /// The oldest batch was taken, and is not applied yet.
    pub(crate) fn put_back(&self, batch: Batch) {
        self.change(|contents| contents.batches.put_back(batch));
    }

    /// Takes the oldest batch. The caller holds the partition until it has applied
    /// it, or a younger batch could overtake it.
    pub(crate) fn take(&self) -> Option<Batch> {
        self.contents.lock().batches.take()
    }

    /// The batch from [`Self::take`] is done with.
    pub(crate) fn finish(&self, batch: Batch) {
        self.change(|contents| contents.batches.finish(batch));
    }

    /// When the oldest batch that waits was queued, or now: everything that was queued
    /// before is applied. `None` while the worker does not run. The caller holds the
    /// partition, or a batch may be with somebody who is applying it.
    pub(crate) fn applied_before(&self) -> Option<Instant> {
        let contents = self.contents.lock();
        let oldest = contents.batches.oldest();
        // Now, with the queue held: what is queued from here on is younger.
        let is_running = contents.liveness == Liveness::Running;
        is_running.then(|| oldest.unwrap_or_else(Instant::now))
    }

    /// Waits until there is work, at most `timeout`; `false` once the worker is
    /// stopped.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let mut contents = self.contents.lock();
        let waits = match contents.liveness {
            Liveness::Running | Liveness::GivenUp => !contents.has_work(),
            Liveness::Failed => true,
            Liveness::Stopped => false,
        };
        if waits {
            self.wakeup.wait_for(&mut contents, timeout);
        }
        contents.liveness != Liveness::Stopped
    }

    /// Whether more than so many eighths of a bound are queued or being applied.
    pub(crate) fn is_beyond(&self, eighths: usize) -> bool {
        self.contents.lock().batches.is_beyond(eighths)
    }

    /// Events queued or being applied.
    pub(crate) fn depth(&self) -> usize {
        self.events.load(Ordering::Relaxed)
    }

    /// A number that is younger than all that were given out.
    pub(crate) fn next_number(&self) -> u64 {
        self.contents.lock().next_number()
    }

    /// Whether nothing waits or is being applied.
    pub(crate) fn is_drained(&self) -> bool {
        let contents = self.contents.lock();
        contents.batches.is_drained() && contents.control.is_empty()
    }

    /// Woken when the queue may be drained, or will not be.
    pub(crate) fn drained(&self) -> &Notify {
        &self.drained
    }

    /// Wakes those who wait for that.
    pub(crate) fn tell_if_drained(&self) {
        if self.depth() == 0 || !self.is_running() {
            self.drained.notify_waiters();
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.is_running.load(Ordering::Acquire)
    }

    pub(crate) fn liveness(&self) -> Liveness {
        self.contents.lock().liveness
    }

    pub(crate) fn transit(&self, transition: Transition) {
        self.add(|contents| {
            contents.liveness = contents.liveness.after(transition);
            let is_running = contents.liveness == Liveness::Running;
            self.is_running.store(is_running, Ordering::Release);
        });
    }

    /// Changes what is kept, and wakes the worker's thread.
    fn add<T>(&self, change: impl FnOnce(&mut Contents) -> T) -> T {
        let answer = self.change(change);
        self.wakeup.notify_one();
        answer
    }

    /// Changes what is kept, and publishes what is looked at without the lock.
    fn change<T>(&self, change: impl FnOnce(&mut Contents) -> T) -> T {
        let mut contents = self.contents.lock();
        let answer = change(&mut contents);
        let (events, control) = (contents.batches.events(), contents.control.len());
        self.events.store(events, Ordering::Relaxed);
        self.control_messages.store(control, Ordering::Release);
        answer
    }
}

impl Contents {
    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// Whether something waits to be applied.
    fn has_work(&self) -> bool {
        !self.batches.is_empty() || !self.control.is_empty()
    }

    fn mark(&mut self, scope: Scope, assets: &[AssetKey], reason: StaleReason) {
        let number = self.next_number();
        self.control
            .mark(scope, assets, StalenessMark { number, reason });
    }
}
