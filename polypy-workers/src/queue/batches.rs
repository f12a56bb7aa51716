//! The events of a worker's queue: batches in the order of their stamps, bounded
//! by the number of events and of snapshot levels in them.

use std::collections::VecDeque;
use std::time::Instant;

use polypy_core::{BookEvent, FeedId, MarketEvent};

/// Snapshot levels a queue holds for each event it may hold: the mean of real
/// price changes to snapshots leaves it far from reach, and it bounds memory.
const LEVELS_PER_EVENT: usize = 32;

/// Events of one read of one socket that belong to one worker.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) feed: FeedId,
    pub(crate) number: u64,
    pub(crate) queued_at: Instant,
    pub(crate) events: Vec<MarketEvent>,
    /// A book to be compared with ours once the events are applied.
    pub(crate) audit: Option<(Box<BookEvent>, Instant)>,
    /// The suspension after which the feed has answered, behind all it brought before.
    pub(crate) resumed: Option<u64>,
    /// What it took of the bounds when it was queued.
    pub(crate) load: Load,
}

/// Events and levels.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) events: usize,
    pub(crate) levels: usize,
}

#[derive(Debug)]
pub(super) struct Batches {
    most: Load,
    queued: VecDeque<Batch>,
    /// Of what is queued or being applied.
    load: Load,
    buffers: BufferPool,
}

/// Emptied batches, kept for their memory: as much as the queue may hold, so that
/// one that has been as long before allocates nothing.
#[derive(Debug, Default)]
struct BufferPool {
    buffers: Vec<Vec<MarketEvent>>,
    /// Events that all of them have room for.
    room: usize,
}

impl Batch {
    /// Events that are applied without being queued.
    pub(crate) fn new(feed: FeedId, number: u64, events: Vec<MarketEvent>) -> Self {
        Self::at(feed, number, events, Instant::now())
    }

    /// The same at that moment.
    pub(crate) fn at(
        feed: FeedId,
        number: u64,
        events: Vec<MarketEvent>,
        queued_at: Instant,
    ) -> Self {
        Self {
            feed,
            number,
            queued_at,
            events,
            audit: None,
            resumed: None,
            load: Load::default(),
        }
    }

    /// The number of its events, a book to be compared being one.
    pub(crate) fn weight(&self) -> usize {
        self.events.len() + usize::from(self.audit.is_some())
    }
}

impl Batches {
    pub(super) fn new(most_events: usize) -> Self {
        Self {
            most: Load {
                events: most_events,
                levels: most_events.saturating_mul(LEVELS_PER_EVENT),
            },
            queued: VecDeque::new(),
            load: Load::default(),
            buffers: BufferPool::default(),
        }
    }

    /// Queues the first of these events, as many as fit, and leaves the rest; how
    /// many fitted.
    pub(super) fn push(
        &mut self,
        feed: FeedId,
        number: u64,
        events: &mut Vec<MarketEvent>,
    ) -> usize {
        let room = self.most.events.saturating_sub(self.load.events);
        let mut load = Load::default();
        for event in events.iter().take(room) {
            let levels = load.levels + levels_of(event);
            // An empty queue takes any event, or one larger than the bound would
            // never pass.
            let is_first = self.load.events + load.events == 0;
            if self.load.levels + levels > self.most.levels && !is_first {
                break;
            }
            load.events += 1;
            load.levels = levels;
        }
        if load.events == 0 {
            return 0;
        }
        let mut queued = self.buffers.take(load.events);
        if load.events == events.len() {
            std::mem::swap(&mut queued, events);
        } else {
            queued.extend(events.drain(..load.events));
        }
        self.append(Batch::new(feed, number, queued), load);
        load.events
    }

    /// Queues a book to be compared; `false` if there is no room for it.
    pub(super) fn push_audit(
        &mut self,
        number: u64,
        book: Box<BookEvent>,
        requested: Instant,
    ) -> bool {
        let levels = levels_in(&book);
        let fits =
            self.load.events < self.most.events && self.load.levels + levels <= self.most.levels;
        if fits {
            let mut batch = Batch::new(FeedId::default(), number, Vec::new());
            batch.audit = Some((book, requested));
            self.append(batch, Load { events: 1, levels });
        }
        fits
    }

    /// Queues a feed's answer; without a bound, for it is said once a suspension.
    pub(super) fn push_resumed(&mut self, feed: FeedId, number: u64, suspensions: u64) {
        let mut batch = Batch::new(feed, number, Vec::new());
        batch.resumed = Some(suspensions);
        self.append(batch, Load::default());
    }

    /// The oldest batch. It counts as queued until [`Self::finish`] has it back.
    pub(super) fn take(&mut self) -> Option<Batch> {
        self.queued.pop_front()
    }

    /// When the oldest batch was queued.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.queued.front().map(|batch| batch.queued_at)
    }

    /// It was not applied, and is the oldest again.
    pub(super) fn put_back(&mut self, batch: Batch) {
        self.queued.push_front(batch);
    }

    /// Keeps the memory of a batch that is done with.
    pub(super) fn finish(&mut self, batch: Batch) {
        self.load.events -= batch.load.events;
        self.load.levels -= batch.load.levels;
        self.buffers.keep(batch.events, self.most.events);
    }

    /// Whether more than so many eighths of a bound are queued or being applied.
    pub(super) fn is_beyond(&self, eighths: usize) -> bool {
        let beyond = |is: usize, most: usize| is.saturating_mul(8) > most.saturating_mul(eighths);
        beyond(self.load.events, self.most.events) || beyond(self.load.levels, self.most.levels)
    }

    /// Whether nothing is queued.
    pub(super) fn is_empty(&self) -> bool {
        self.queued.is_empty()
    }

    /// Whether nothing is queued or being applied.
    pub(super) fn is_drained(&self) -> bool {
        self.load.events == 0
    }

    /// Events queued or being applied.
    pub(super) fn events(&self) -> usize {
        self.load.events
    }

    fn append(&mut self, mut batch: Batch, load: Load) {
        batch.load = load;
        self.load.events += load.events;
        self.load.levels += load.levels;
        self.queued.push_back(batch);
    }
}

impl BufferPool {
    /// One of them, or a new one for so many events.
    fn take(&mut self, events: usize) -> Vec<MarketEvent> {
        let Some(buffer) = self.buffers.pop() else {
            return Vec::with_capacity(events);
        };
        self.room -= buffer.capacity();
        buffer
    }

    fn keep(&mut self, mut buffer: Vec<MarketEvent>, most: usize) {
        buffer.clear();
        if buffer.capacity() > 0 && self.room + buffer.capacity() <= most {
            self.room += buffer.capacity();
            self.buffers.push(buffer);
        }
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
