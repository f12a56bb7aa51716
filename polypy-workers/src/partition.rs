//! The books of one worker.
//!
//! Written by the worker's thread under the partition's lock, one batch at a
//! time; read under the same lock. Entries stand where the asset's key says, so
//! that finding one costs an index. A forgotten asset leaves a tombstone until
//! its number is given out again: events still on their way cannot bring it back.

mod mirror;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::mem::size_of;
use std::sync::Arc;
use std::time::{Duration, Instant};

use polypy_core::{
    AssetKey, BookEvent, BookState, FeedId, Level, MarketEvent, PriceChange, StaleReason,
};

use crate::book_slot::{BookSlot, Context, Origin};
use crate::config::IntegrityConfig;
use crate::counter::count;
use crate::feeds::Feeds;
use crate::integrity::{Budget, Changed, Checker, CpuBudget, Recent};
use crate::lane::{Batch, Mark, Notice, Notices};
use crate::stats::{BookCounts, WorkerStats};

/// Between two looks at what only time changes.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Events that a frame of the same state may come behind. Frames carry an entry
/// of each token of a market.
const FRAME_AHEAD: usize = 4;

/// Books to be fetched anew: on which feed, if not on all of theirs, and why.
pub(crate) type Resyncs = HashMap<(Option<FeedId>, StaleReason), Vec<AssetKey>>;

#[derive(Debug, Default)]
enum Entry {
    #[default]
    Vacant,
    Forgotten(AssetKey),
    Kept(Box<BookSlot>),
}

#[derive(Debug)]
pub(crate) struct Partition {
    entries: Vec<Entry>,
    books: BookCounts,
    levels: u64,
    /// Set while something is being applied. A reader that finds it set looks
    /// at what a dead thread left half done.
    applying: bool,
    /// The assets of that batch.
    touched: Vec<AssetKey>,
    resyncs: Vec<(AssetKey, StaleReason)>,
    feed_resyncs: Vec<(FeedId, AssetKey, StaleReason)>,
    new_retries: Vec<(Instant, AssetKey)>,
    retries: BinaryHeap<Reverse<(Instant, AssetKey)>>,
    /// Books to be looked at when time has passed, each once.
    watched: Vec<AssetKey>,
    /// What is to be compared between tokens at the end of the batch.
    changed: Vec<Changed>,
    /// Comparisons of single levels until the next of whole books.
    until_whole: u32,
    searches: Budget,
    cpu: CpuBudget,
    looked: Instant,
    config: IntegrityConfig,
    feeds: Arc<Feeds>,
    stats: Arc<WorkerStats>,
}

impl Partition {
    pub(crate) fn new(
        config: &IntegrityConfig,
        feeds: Arc<Feeds>,
        stats: Arc<WorkerStats>,
    ) -> Self {
        let now = Instant::now();
        Self {
            entries: Vec::new(),
            books: BookCounts::default(),
            levels: 0,
            applying: false,
            touched: Vec::new(),
            resyncs: Vec::new(),
            feed_resyncs: Vec::new(),
            new_retries: Vec::new(),
            retries: BinaryHeap::new(),
            watched: Vec::new(),
            changed: Vec::new(),
            until_whole: mirror::LEVELS_PER_WHOLE,
            searches: Budget::new(config.searches_per_second, now),
            cpu: CpuBudget::new(config.hash_cpu_percent, now),
            looked: now,
            config: config.clone(),
            feeds,
            stats,
        }
    }

    /// The asset's slot, if there is one.
    pub(crate) fn slot(&self, asset: AssetKey) -> Option<&BookSlot> {
        match self.entries.get(asset.slot())? {
            Entry::Kept(slot) if slot.key == asset => Some(slot),
            Entry::Kept(_) | Entry::Vacant | Entry::Forgotten(_) => None,
        }
    }

    /// Whether a thread died in the middle of a batch.
    pub(crate) fn is_torn(&self) -> bool {
        self.applying
    }

    /// Applies a batch. `drill` is called once in its midst.
    pub(crate) fn apply(&mut self, batch: &mut Batch, now: Instant, drill: impl FnOnce()) {
        self.applying = true;
        self.touched.clear();
        self.touched
            .extend(batch.events.iter().map(MarketEvent::asset));
        let origin = Origin {
            feed: batch.feed,
            stamp: batch.stamp,
            closed: self.feeds.closed(batch.feed),
            received: batch.queued_at,
        };
        let mut drill = Some(drill);
        let mut events = batch.events.drain(..);
        while let Some(mut event) = events.next() {
            if let MarketEvent::PriceChange(change) = &mut event
                && is_continued(change, events.as_slice())
            {
                change.last_in_frame = false;
            }
            self.apply_event(event, origin, now);
            if let Some(drill) = drill.take() {
                drill();
            }
        }
        drop(events);
        if let Some(book) = batch.audit.take() {
            self.audit(*book, now);
        }
        self.compare_tokens(now);
        self.applying = false;
        self.publish();
    }

    /// Takes in what was said apart from the events.
    pub(crate) fn take(&mut self, notices: Notices, now: Instant) {
        self.applying = true;
        self.touched.clear();
        for (asset, notice) in notices.assets {
            self.take_notice(asset, notice, now);
        }
        if !notices.closed.is_empty() {
            let closed: HashMap<_, _> = notices.closed.iter().copied().collect();
            for at in 0..self.entries.len() {
                let Some(Entry::Kept(slot)) = self.entries.get(at) else {
                    continue;
                };
                let key = slot.key;
                let feeds: Vec<_> = slot
                    .feeds()
                    .filter_map(|feed| closed.get(&feed).map(|reason| (feed, *reason)))
                    .collect();
                for (feed, reason) in feeds {
                    self.with(key, now, |slot, cx| slot.close_feed(feed, reason, cx));
                }
            }
            for (feed, _) in notices.closed {
                self.feeds.closing_applied(feed);
            }
        }
        self.compare_tokens(now);
        self.applying = false;
        self.publish();
    }

    /// Looks at what only time changes, if it is time to.
    pub(crate) fn look(&mut self, now: Instant) {
        if now.saturating_duration_since(self.looked) < LOOK_INTERVAL {
            return;
        }
        self.looked = now;
        let mut watched = std::mem::take(&mut self.watched);
        watched.retain(|&key| self.with(key, now, BookSlot::look).unwrap_or(false));
        // Some are watched from this look on.
        self.watched.append(&mut watched);
        while let Some(Reverse((at, key))) = self.retries.peek().copied()
            && at <= now
        {
            self.retries.pop();
            self.with(key, now, BookSlot::retry_at_last);
        }
        self.compare_tokens(now);
        self.publish();
    }

    /// Whether requests came up.
    pub(crate) fn has_resyncs(&self) -> bool {
        !self.resyncs.is_empty() || !self.feed_resyncs.is_empty()
    }

    /// The requests that came up, by reason. To be made without the lock.
    pub(crate) fn take_resyncs(&mut self) -> Option<Resyncs> {
        if !self.has_resyncs() {
            return None;
        }
        let mut by_reason = Resyncs::new();
        for (asset, reason) in self.resyncs.drain(..) {
            by_reason.entry((None, reason)).or_default().push(asset);
        }
        for (feed, asset, reason) in self.feed_resyncs.drain(..) {
            let part = by_reason.entry((Some(feed), reason)).or_default();
            part.push(asset);
        }
        Some(by_reason)
    }

    /// Picks up after a dead thread: no book can be trusted until a snapshot
    /// stamped after `stamp`. The assets to be fetched anew are those with a
    /// book and those of the batch that was lost.
    pub(crate) fn recover(&mut self, stamp: u64, now: Instant) -> Vec<AssetKey> {
        let torn = std::mem::take(&mut self.applying);
        let mut assets = std::mem::take(&mut self.touched);
        if !torn {
            assets.clear();
        }
        self.resyncs.clear();
        self.feed_resyncs.clear();
        self.new_retries.clear();
        self.retries.clear();
        self.watched.clear();
        self.changed.clear();
        (self.books, self.levels) = (BookCounts::default(), 0);
        for entry in &mut self.entries {
            let Entry::Kept(slot) = entry else {
                continue;
            };
            let (reason, before) = (StaleReason::WorkerDied, slot.state());
            if let Some(at) = slot.orphan(Mark { stamp, reason }, now) {
                self.retries.push(Reverse((at, slot.key)));
            }
            slot.note_shown(before, &self.stats, now);
            if matches!(slot.state(), BookState::Stale(_)) {
                assets.push(slot.key);
            }
            self.books.enter(slot.state());
            self.levels += slot.levels();
        }
        assets.sort_unstable();
        assets.dedup();
        self.publish();
        assets
    }

    fn apply_event(&mut self, event: MarketEvent, origin: Origin, now: Instant) {
        self.stats.messages_processed.increment();
        let asset = event.asset();
        match event {
            MarketEvent::Book(event) => {
                self.stats.snapshots_received.increment();
                self.ensure(asset, now);
                self.with(asset, now, |slot, cx| slot.snapshot(*event, origin, cx));
            }
            MarketEvent::PriceChange(change) => {
                let known = self.with(asset, now, |slot, cx| slot.change(&change, origin, cx));
                if known.is_none() {
                    self.stats.events.deltas_without_book.increment();
                }
            }
            MarketEvent::Trade(trade) => {
                self.stats.events.trades.increment();
                // One announcement stands for both tokens of the market.
                let complement = self.with(asset, now, |slot, _| {
                    slot.trade(&trade);
                    slot.complement()
                });
                if let Some(complement) = complement.flatten() {
                    self.with(complement, now, |slot, _| slot.trade(&trade));
                }
            }
            MarketEvent::TickSizeChange(event) => {
                self.stats.events.tick_size_changes.increment();
                self.with(asset, now, |slot, cx| slot.change_tick(&event, cx));
            }
            // It runs ahead of the changes it reflects, so that it proves
            // nothing against a book.
            MarketEvent::BestBidAsk(_) => {}
        }
    }

    /// A book that was fetched apart from the feeds.
    fn audit(&mut self, book: BookEvent, now: Instant) {
        let asset = book.info.key;
        let known = self.with(asset, now, |slot, cx| slot.audit(book, cx));
        if known.is_none() {
            self.stats.integrity.audit_not_applicable.increment();
        }
    }

    fn take_notice(&mut self, asset: AssetKey, notice: Notice, now: Instant) {
        if notice.forgotten {
            self.forget(asset);
            return;
        }
        // Without a slot, a snapshot that is still queued could not know of it.
        self.ensure(asset, now);
        self.with(asset, now, |slot, cx| {
            if let Some(mark) = notice.mark {
                slot.mark(mark, cx);
            }
            for (feed, mark) in notice.lost {
                slot.mark_feed(feed, mark, cx);
            }
            if notice.settled {
                slot.settle();
            }
        });
    }

    /// Makes a slot unless the asset has one, or is forgotten.
    fn ensure(&mut self, asset: AssetKey, now: Instant) {
        let at = asset.slot();
        if at >= self.entries.len() {
            self.entries.resize_with(at + 1, Entry::default);
        }
        match &self.entries[at] {
            Entry::Forgotten(key) if *key == asset => {
                self.stats.events.events_for_forgotten.increment();
                return;
            }
            // Of two assets with one number the greater key is the newer.
            Entry::Kept(slot) if slot.key == asset => return,
            Entry::Kept(slot) if slot.key > asset => {
                self.stats.events.events_for_forgotten.increment();
                return;
            }
            Entry::Kept(slot) => {
                let replaced = slot.key;
                self.forget(replaced);
            }
            Entry::Vacant | Entry::Forgotten(_) => {}
        }
        let slot = BookSlot::new(asset, now);
        self.books.enter(slot.state());
        self.entries[at] = Entry::Kept(Box::new(slot));
    }

    fn forget(&mut self, asset: AssetKey) {
        let at = asset.slot();
        if at >= self.entries.len() {
            self.entries.resize_with(at + 1, Entry::default);
        }
        match &self.entries[at] {
            Entry::Kept(slot) if slot.key != asset => return,
            Entry::Kept(slot) => {
                self.books.leave(slot.state());
                self.levels -= slot.levels();
            }
            Entry::Vacant | Entry::Forgotten(_) => {}
        }
        self.entries[at] = Entry::Forgotten(asset);
    }

    /// Lets `change` work on a slot and keeps the counts in step.
    fn with<T>(
        &mut self,
        asset: AssetKey,
        now: Instant,
        change: impl FnOnce(&mut BookSlot, &mut Context<'_>) -> T,
    ) -> Option<T> {
        let Entry::Kept(slot) = self.entries.get_mut(asset.slot())? else {
            return None;
        };
        if slot.key != asset {
            return None;
        }
        let (state, levels) = (slot.state(), slot.levels());
        let mut found = None;
        let mut cx = Context {
            checker: Checker {
                config: &self.config,
                stats: &self.stats.integrity,
                searches: &mut self.searches,
                cpu: &mut self.cpu,
                found: &mut found,
                now,
            },
            stats: &self.stats,
            feeds: &self.feeds,
            resyncs: &mut self.resyncs,
            feed_resyncs: &mut self.feed_resyncs,
            retries: &mut self.new_retries,
            watched: &mut self.watched,
            changed: &mut self.changed,
        };
        let answer = change(slot, &mut cx);
        if slot.state() != state {
            slot.note_shown(state, &self.stats, now);
            self.books.leave(state);
            self.books.enter(slot.state());
        }
        self.levels = self.levels - levels + slot.levels();
        self.retries.extend(self.new_retries.drain(..).map(Reverse));
        if let (Some(price), Some(complement)) = (found, slot.complement())
            && let Some(Entry::Kept(other)) = self.entries.get_mut(complement.slot())
            && other.key == complement
        {
            other.hear(price);
        }
        Some(answer)
    }

    fn publish(&self) {
        self.stats.set_books(self.books);
        let slots = self.books.pending + self.books.readable();
        let slot_bytes = count(size_of::<BookSlot>() + Recent::BYTES);
        let entry_bytes = count(self.entries.capacity() * size_of::<Entry>());
        let level_bytes = self.levels * count(size_of::<Level>());
        self.stats
            .memory_bytes
            .set(slots * slot_bytes + entry_bytes + level_bytes);
    }
}

/// Whether another frame of the batch carries the same state of the asset on:
/// until then there is nothing to be checked.
fn is_continued(change: &PriceChange, ahead: &[MarketEvent]) -> bool {
    let state = |change: &PriceChange| (change.asset, change.timestamp, change.hash);
    change.hash.is_some()
        && ahead.iter().take(FRAME_AHEAD).any(|event| match event {
            MarketEvent::PriceChange(next) => state(next) == state(change),
            MarketEvent::Book(_)
            | MarketEvent::Trade(_)
            | MarketEvent::TickSizeChange(_)
            | MarketEvent::BestBidAsk(_) => false,
        })
}
