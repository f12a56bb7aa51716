//! The way from the router to one worker.
//!
//! A worker that has nothing to do can be spared the way (`direct`); all others
//! are reached as follows.
//!
//! Two things travel on it. *Batches* of events queue in order, bounded by the
//! number of events and of snapshot levels in them. *Notices* (this book is
//! stale, this market is settled, that feed is closed) never wait in the queue
//! and are never dropped: they are kept by asset, which bounds them, and readers
//! look at them before the worker does.
//!
//! A stamp puts the two in order. Every batch and every mark takes the next
//! one, so that a snapshot that was queued before a mark cannot lift it, and a
//! snapshot queued after it can.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use polypy_core::{AssetKey, BookEvent, FeedId, MarketEvent, StaleReason};
use tokio::sync::Notify;

/// Snapshot levels a queue holds for each event it may hold: the mean of real
/// price changes to snapshots leaves it far from reach, and it bounds memory.
const LEVELS_PER_EVENT: usize = 32;

/// Events of one read of one socket that belong to one worker.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) feed: FeedId,
    pub(crate) stamp: u64,
    pub(crate) queued_at: Instant,
    pub(crate) events: Vec<MarketEvent>,
    /// A book to be compared with ours once the events are applied.
    pub(crate) audit: Option<Box<BookEvent>>,
}

impl Batch {
    /// What it takes of the queue's bound.
    pub(crate) fn weight(&self) -> usize {
        self.events.len() + usize::from(self.audit.is_some())
    }

    /// Levels of the snapshots in it.
    fn levels(&self) -> usize {
        let audited = self.audit.as_deref().map_or(0, levels_in);
        audited + self.events.iter().map(levels_of).sum::<usize>()
    }
}

/// A book is stale until a snapshot whose batch has a greater stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) stamp: u64,
    pub(crate) reason: StaleReason,
}

/// What was said of one asset apart from its events.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notice {
    pub(crate) mark: Option<Mark>,
    /// The same by feed: what others tell of the book is not concerned. At most
    /// one a feed.
    pub(crate) lost: Vec<(FeedId, Mark)>,
    pub(crate) settled: bool,
    pub(crate) forgotten: bool,
}

/// Everything that waits for the worker's next look.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    pub(crate) assets: HashMap<AssetKey, Notice>,
    pub(crate) closed: Vec<(FeedId, StaleReason)>,
}

/// What became of a delivery.
#[derive(Debug, Default)]
pub(crate) struct Pushed {
    pub(crate) accepted: usize,
    pub(crate) dropped: usize,
    /// The assets of dropped events, each once.
    pub(crate) marked: Vec<AssetKey>,
}

#[derive(Debug)]
pub(crate) struct Lane {
    queue: Mutex<Queue>,
    ready: Condvar,
    most_events: usize,
    /// Notices waiting; lets a reader skip the lock in the usual case.
    notices: AtomicUsize,
    /// Events queued or being applied.
    depth: AtomicUsize,
    /// Levels of their snapshots.
    levels: AtomicUsize,
    /// Whether the worker's thread runs. Cleared by the dying thread itself.
    alive: AtomicBool,
    /// Tells a stopping router that the queue may have run dry.
    drained: Notify,
    panic_wanted: AtomicBool,
    /// Whether the worker stays down: nothing that is dropped need be fetched.
    given_up: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    batches: VecDeque<Batch>,
    /// Events queued or being applied.
    events: usize,
    /// Levels of queued snapshots, those being applied included.
    levels: usize,
    /// Events and levels of the batch being applied.
    in_flight: (usize, usize),
    stamp: u64,
    notices: Notices,
    spares: Spares,
    /// Whether the worker is to look at its books though nothing is queued.
    look: bool,
    stopping: bool,
}

/// Emptied batches, kept for their memory: as much as the queue may hold, so that
/// one that has been as long before allocates nothing.
#[derive(Debug, Default)]
struct Spares {
    batches: Vec<Vec<MarketEvent>>,
    /// Events that all of them have room for.
    room: usize,
}

impl Lane {
    pub(crate) fn new(most_events: usize) -> Self {
        Self {
            queue: Mutex::default(),
            ready: Condvar::new(),
            most_events,
            notices: AtomicUsize::new(0),
            depth: AtomicUsize::new(0),
            levels: AtomicUsize::new(0),
            alive: AtomicBool::new(false),
            drained: Notify::new(),
            panic_wanted: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
        }
    }

    /// Queues what fits, in order, and marks the assets of the rest. Leaves
    /// `events` empty.
    pub(crate) fn push(&self, feed: FeedId, events: &mut Vec<MarketEvent>) -> Pushed {
        let mut queue = self.queue.lock();
        let mut levels = queue.levels;
        let room = self.most_events.saturating_sub(queue.events);
        let most_levels = self.most_events.saturating_mul(LEVELS_PER_EVENT);
        // An empty queue takes any event, or one larger than the bound would
        // never pass.
        let empty = queue.events == 0;
        let accepted = events
            .iter()
            .take(room)
            .enumerate()
            .take_while(|(at, event)| {
                levels += levels_of(event);
                levels <= most_levels || (empty && *at == 0)
            })
            .count();
        let mut pushed = Pushed {
            accepted,
            ..Pushed::default()
        };
        if accepted > 0 {
            let mut batch = queue.spares.take(accepted);
            if accepted == events.len() {
                std::mem::swap(&mut batch, events);
            } else {
                batch.extend(events.drain(..accepted));
            }
            queue.append(feed, batch, None);
        }
        if !events.is_empty() {
            pushed.dropped = events.len();
            pushed.marked = events.drain(..).map(|event| event.asset()).collect();
            pushed.marked.sort_unstable();
            pushed.marked.dedup();
            let reason = StaleReason::Dropped;
            self.mark_locked(&mut queue, Some(feed), &pushed.marked, reason);
        }
        self.publish(&queue);
        drop(queue);
        self.ready.notify_one();
        pushed
    }

    /// A stamp for events that are applied without being queued; `None` unless
    /// the worker lives and has nothing to do. The caller holds the partition.
    pub(crate) fn claim(&self) -> Option<u64> {
        if !self.is_alive() {
            return None;
        }
        let mut queue = self.queue.lock();
        if queue.events > 0 || !queue.is_idle() {
            return None;
        }
        queue.stamp += 1;
        Some(queue.stamp)
    }

    /// Asks the worker to look at its books.
    pub(crate) fn want_look(&self) {
        self.queue.lock().look = true;
        self.ready.notify_one();
    }

    /// Queues a book to be compared with ours, behind the events that are
    /// queued already; `false` if there is no room for it.
    pub(crate) fn audit(&self, book: Box<BookEvent>) -> bool {
        let mut queue = self.queue.lock();
        let levels = queue.levels + levels_in(&book);
        let most_levels = self.most_events.saturating_mul(LEVELS_PER_EVENT);
        if queue.events >= self.most_events || levels > most_levels {
            return false;
        }
        let events = queue.spares.take(0);
        queue.append(FeedId::default(), events, Some(book));
        self.publish(&queue);
        drop(queue);
        self.ready.notify_one();
        true
    }

    /// Marks books as stale, visible to readers when this returns.
    pub(crate) fn mark(&self, assets: &[AssetKey], reason: StaleReason) {
        let mut queue = self.queue.lock();
        self.mark_locked(&mut queue, None, assets, reason);
        self.publish(&queue);
        drop(queue);
        self.ready.notify_one();
    }

    /// The same for what one feed tells of them.
    pub(crate) fn mark_feed(&self, feed: FeedId, assets: &[AssetKey], reason: StaleReason) {
        let mut queue = self.queue.lock();
        self.mark_locked(&mut queue, Some(feed), assets, reason);
        self.publish(&queue);
        drop(queue);
        self.ready.notify_one();
    }

    /// Says something else of assets, visible to readers when this returns.
    pub(crate) fn notify(&self, assets: &[AssetKey], change: impl Fn(&mut Notice)) {
        let mut queue = self.queue.lock();
        for &asset in assets {
            change(queue.notices.assets.entry(asset).or_default());
        }
        self.publish(&queue);
        drop(queue);
        self.ready.notify_one();
    }

    /// Tells the worker to look for books of a closed feed.
    pub(crate) fn close_feed(&self, feed: FeedId, reason: StaleReason) {
        let mut queue = self.queue.lock();
        queue.notices.closed.push((feed, reason));
        self.publish(&queue);
        drop(queue);
        self.ready.notify_one();
    }

    /// What was said of an asset and not yet seen by the worker. The caller
    /// holds the partition, or the answer is out of date when it arrives.
    pub(crate) fn notice(&self, asset: AssetKey) -> Option<Notice> {
        if self.notices.load(Ordering::SeqCst) == 0 {
            return None;
        }
        self.queue.lock().notices.assets.get(&asset).cloned()
    }

    /// Waits for something to do, at most `patience`; `false` to end.
    pub(crate) fn wait(&self, patience: Duration) -> bool {
        let mut queue = self.queue.lock();
        if queue.is_idle() && !self.panic_wanted.load(Ordering::SeqCst) {
            self.ready.wait_for(&mut queue, patience);
        }
        queue.look = false;
        !queue.stopping
    }

    /// The oldest batch, to be applied after the notices. The caller holds the
    /// partition until it has applied it, so that batches are applied in the order
    /// of their stamps.
    pub(crate) fn take(&self) -> Option<Batch> {
        let mut queue = self.queue.lock();
        let batch = queue.batches.pop_front()?;
        queue.in_flight = (batch.weight(), batch.levels());
        Some(batch)
    }

    /// Whether more is queued or being applied than so many eighths of either bound.
    pub(crate) fn is_beyond(&self, eighths: usize) -> bool {
        let beyond = |is: usize, most: usize| is.saturating_mul(8) > most.saturating_mul(eighths);
        let most_levels = self.most_events.saturating_mul(LEVELS_PER_EVENT);
        beyond(self.depth(), self.most_events)
            || beyond(self.levels.load(Ordering::Relaxed), most_levels)
    }

    /// Takes the notices. The caller holds the partition until it has applied
    /// them, so that no reader finds them in neither place.
    pub(crate) fn take_notices(&self) -> Option<Notices> {
        if self.notices.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let mut queue = self.queue.lock();
        let notices = std::mem::take(&mut queue.notices);
        self.publish(&queue);
        Some(notices)
    }

    /// The batch from [`Self::take`] is applied; takes its memory back.
    pub(crate) fn finish(&self, mut events: Vec<MarketEvent>) {
        events.clear();
        let mut queue = self.queue.lock();
        queue.land();
        queue.spares.keep(events, self.most_events);
        self.publish(&queue);
    }

    /// The batch from [`Self::take`] is lost with the thread that applied it.
    pub(crate) fn abandon(&self) -> usize {
        let mut queue = self.queue.lock();
        let lost = queue.in_flight.0;
        queue.land();
        self.publish(&queue);
        lost
    }

    /// Empties the queue; the number of events lost by it.
    pub(crate) fn discard(&self) -> usize {
        let mut queue = self.queue.lock();
        let lost = queue.batches.drain(..).map(|batch| batch.weight()).sum();
        (queue.events, queue.levels, queue.in_flight) = (0, 0, (0, 0));
        self.publish(&queue);
        lost
    }

    /// Events queued or being applied.
    pub(crate) fn depth(&self) -> usize {
        self.depth.load(Ordering::Relaxed)
    }

    /// The newest stamp given out.
    pub(crate) fn stamp(&self) -> u64 {
        self.queue.lock().stamp
    }

    /// Whether nothing is left for the worker, events and notices.
    pub(crate) fn is_dry(&self) -> bool {
        let queue = self.queue.lock();
        queue.events == 0 && queue.notices.is_empty()
    }

    /// Woken when the lane may have run dry.
    pub(crate) fn drained(&self) -> &Notify {
        &self.drained
    }

    /// Wakes whoever waits for that.
    pub(crate) fn tell_if_dry(&self) {
        if self.depth() == 0 {
            self.drained.notify_waiters();
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::SeqCst)
    }

    pub(crate) fn set_alive(&self, alive: bool) {
        self.alive.store(alive, Ordering::SeqCst);
    }

    /// The worker stays down.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::SeqCst)
    }

    /// Asks the worker to end, or allows the next one to run.
    pub(crate) fn set_stopping(&self, stopping: bool) {
        self.queue.lock().stopping = stopping;
        self.given_up.store(false, Ordering::SeqCst);
        self.ready.notify_one();
    }

    /// Asks the worker to panic at its next batch, or at once when idle.
    pub(crate) fn want_panic(&self) {
        // Under the lock, or a worker about to wait would not see it.
        let queue = self.queue.lock();
        self.panic_wanted.store(true, Ordering::SeqCst);
        drop(queue);
        self.ready.notify_one();
    }

    /// Whether a panic was asked for; asks once.
    pub(crate) fn takes_panic(&self) -> bool {
        self.panic_wanted.load(Ordering::SeqCst) && self.panic_wanted.swap(false, Ordering::SeqCst)
    }

    fn mark_locked(
        &self,
        queue: &mut Queue,
        feed: Option<FeedId>,
        assets: &[AssetKey],
        reason: StaleReason,
    ) {
        queue.stamp += 1;
        let mark = Mark {
            stamp: queue.stamp,
            reason,
        };
        for &asset in assets {
            let notice = queue.notices.assets.entry(asset).or_default();
            match feed {
                None => notice.mark = Some(mark),
                Some(feed) => notice.lose(feed, mark),
            }
        }
    }

    fn publish(&self, queue: &Queue) {
        let notices = queue.notices.assets.len() + queue.notices.closed.len();
        self.notices.store(notices, Ordering::SeqCst);
        self.depth.store(queue.events, Ordering::Relaxed);
        self.levels.store(queue.levels, Ordering::Relaxed);
    }
}

impl Queue {
    fn is_idle(&self) -> bool {
        self.batches.is_empty() && self.notices.is_empty() && !self.look && !self.stopping
    }

    fn append(&mut self, feed: FeedId, events: Vec<MarketEvent>, audit: Option<Box<BookEvent>>) {
        self.stamp += 1;
        let batch = Batch {
            feed,
            stamp: self.stamp,
            queued_at: Instant::now(),
            events,
            audit,
        };
        self.events += batch.weight();
        self.levels += batch.levels();
        self.batches.push_back(batch);
    }

    fn land(&mut self) {
        let (events, levels) = std::mem::take(&mut self.in_flight);
        self.events = self.events.saturating_sub(events);
        self.levels = self.levels.saturating_sub(levels);
    }
}

impl Spares {
    /// One of them, or a new one for so many events.
    fn take(&mut self, events: usize) -> Vec<MarketEvent> {
        let Some(spare) = self.batches.pop() else {
            return Vec::with_capacity(events);
        };
        self.room -= spare.capacity();
        spare
    }

    fn keep(&mut self, events: Vec<MarketEvent>, most: usize) {
        if events.capacity() > 0 && self.room + events.capacity() <= most {
            self.room += events.capacity();
            self.batches.push(events);
        }
    }
}

impl Notice {
    fn lose(&mut self, feed: FeedId, mark: Mark) {
        self.lost.retain(|(known, _)| *known != feed);
        self.lost.push((feed, mark));
    }

    /// What was said of one feed's telling.
    pub(crate) fn lost_on(&self, feed: FeedId) -> Option<Mark> {
        let found = self.lost.iter().find(|(known, _)| *known == feed);
        found.map(|(_, mark)| *mark)
    }
}

impl Notices {
    fn is_empty(&self) -> bool {
        self.assets.is_empty() && self.closed.is_empty()
    }
}

fn levels_of(event: &MarketEvent) -> usize {
    match event {
        MarketEvent::Book(event) => levels_in(event),
        MarketEvent::PriceChange(_)
        | MarketEvent::Trade(_)
        | MarketEvent::TickSizeChange(_)
        | MarketEvent::BestBidAsk(_) => 0,
    }
}

fn levels_in(book: &BookEvent) -> usize {
    book.bids.len() + book.asks.len()
}
