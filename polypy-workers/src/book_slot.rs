//! One asset's book with everything that decides whether it is live.
//!
//! | from | to | on |
//! |---|---|---|
//! | pending | live | a snapshot |
//! | live | in doubt, shown as stale | something contradicts it |
//! | in doubt | live | what contradicted it is settled: same book, same epoch |
//! | live, in doubt | stale | its feed closed, a mark, a doubt that lasted, a coarser grid, crossed too long |
//! | stale | live | a snapshot stamped after the mark; catching up with what was already seen; a hash that proves what we had found wrong |
//! | any | settled | the market's end; never live again |
//!
//! Several feeds may tell a book: during a hand-over, and always where each
//! token is on two connections. Each feed's telling is a book of its own, begun
//! by a snapshot and changed by nobody else. One is shown; the *others* follow
//! beside it, and the one that has come furthest is shown (`arrival`). A live
//! book thus never moves back in time, and stays live while any of its feeds does.

mod arrival;
mod audit;
mod calm;
mod doubt;
mod handover;
mod loss;
mod others;
mod pace;
mod shown;
mod verify;

use std::mem::take;
use std::sync::Arc;
use std::time::Instant;

use polypy_core::{
    AssetInfo, AssetKey, BookEvent, BookState, DecimalText, FeedId, OrderBook, PriceChange, Size,
    StaleReason, TickSizeChange, Timestamp, TopHistory, Trade,
};

use self::arrival::Held;
use self::arrival::is_of_lost_word;
use self::audit::Expected;
pub(crate) use self::calm::Left;
use self::doubt::{Doubt, Doubts};
use self::handover::Fate;
use self::others::Others;
use self::pace::Pace;
pub(crate) use self::verify::Mirrored;
use crate::counter::count;
use crate::feeds::Feeds;
use crate::integrity::{Changed, Checker, Extent, HashCheck, Past, Recent, TopCheck, is_coarser};
use crate::moment::Moment;
use crate::queue::Mark;
use crate::stats::WorkerStats;
use crate::stream::{Applied, Stream};

/// Where a batch came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) feed: FeedId,
    pub(crate) stamp: u64,
    /// Why the feed is closed, if it is.
    pub(crate) closed: Option<StaleReason>,
    pub(crate) received: Moment,
}

/// What a slot needs from its partition.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) checker: Checker<'a>,
    pub(crate) stats: &'a WorkerStats,
    pub(crate) feeds: &'a Feeds,
    /// Books to be asked for once the partition is free again.
    pub(crate) resyncs: &'a mut Vec<(AssetKey, StaleReason)>,
    /// The same, on one feed only: another tells the book as it should be.
    pub(crate) feed_resyncs: &'a mut Vec<(FeedId, AssetKey, StaleReason)>,
    /// When to see whether a book is still stale.
    pub(crate) retries: &'a mut Vec<(Instant, AssetKey)>,
    /// Books to be looked at when time has passed.
    pub(crate) watched: &'a mut Vec<AssetKey>,
    /// What is to be compared with the market's other token.
    pub(crate) changed: &'a mut Vec<Changed>,
}

impl Context<'_> {
    fn note_change(&mut self, asset: AssetKey, extent: Extent) {
        self.note_size(asset, extent, Size::default());
    }

    fn note_size(&mut self, asset: AssetKey, extent: Extent, size: Size) {
        self.changed.push(Changed {
            asset,
            extent,
            size,
        });
    }
}

/// The book is stale until it reaches what was seen before.
#[derive(Debug, Clone, Copy)]
struct Awaited {
    /// That exchange time.
    time: Timestamp,
    since: Instant,
}

/// Down to `history` stands what nearly every change looks at, in three cache lines;
/// a test holds that.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct BookSlot {
    /// What is shown.
    main: Option<Stream>,
    pub(crate) key: AssetKey,
    /// The market's other token.
    pub(crate) complement: Option<AssetKey>,
    sequence: u64,
    received: Moment,
    /// Whether nothing is out of the ordinary: see `calm`.
    calm: bool,
    recent: Recent,
    past: Past,
    history: TopHistory,
    /// Apart from doubts.
    state: BookState,
    /// Whether it is stale by our own finding alone.
    diverged: bool,
    /// Whether it has been stale, and not only in doubt, since it was last live.
    fell: bool,
    /// Whether the partition will look at it when time has passed.
    watched: bool,
    /// What other feeds tell.
    others: Others,
    expected: Option<Box<Expected>>,
    doubts: Doubts,
    crossed_since: Option<Instant>,
    top: TopCheck,
    held: Option<Held>,
    awaited: Option<Awaited>,
    hash: HashCheck,
    info: Option<Arc<AssetInfo>>,
    mark: Option<Mark>,
    /// Since when it has been shown as live, or as not.
    since: Instant,
    epoch: u64,
    pace: Pace,
}

impl BookSlot {
    pub(crate) fn new(key: AssetKey, now: Instant) -> Self {
        Self {
            key,
            complement: None,
            info: None,
            main: None,
            others: Others::default(),
            held: None,
            state: BookState::Pending,
            doubts: Doubts::default(),
            diverged: false,
            since: now,
            fell: false,
            awaited: None,
            mark: None,
            epoch: 0,
            sequence: 0,
            received: now.into(),
            crossed_since: None,
            watched: false,
            calm: false,
            recent: Recent::default(),
            past: Past::default(),
            expected: None,
            history: TopHistory::default(),
            hash: HashCheck::default(),
            top: TopCheck::default(),
            pace: Pace::default(),
        }
    }

    /// The feed the book belongs to.
    pub(crate) fn feed(&self) -> Option<FeedId> {
        self.main.as_ref().map(|main| main.feed)
    }

    /// Every feed that tells the book.
    pub(crate) fn feeds(&self) -> impl Iterator<Item = FeedId> + '_ {
        let others = self.others.streams().iter().map(|other| other.feed);
        self.feed().into_iter().chain(others)
    }

    /// Stamp of the snapshot the book stands on.
    pub(crate) fn stamp(&self) -> u64 {
        self.main.as_ref().map_or(0, |main| main.rare.stamp)
    }

    /// Reads what a change will look at, so that it is in the cache by then. For
    /// who knows some changes ahead that one comes: the waiting for several slots
    /// overlaps. What it returns means nothing and keeps the compiler from leaving
    /// the reading out.
    #[inline]
    pub(crate) fn touch(&self) -> u64 {
        let stream = self.main.as_ref().map_or(0, |main| main.newest.millis());
        let book = self.main.as_ref().map_or(0, |main| main.touch());
        stream | book | u64::from(self.calm)
    }

    /// The same for what the slot only points to. Some slots later than
    /// [`Self::touch`], or it waits for that.
    #[inline]
    pub(crate) fn touch_further(&self, change: &PriceChange) -> u64 {
        let main = self.main.as_ref();
        let levels = main.map_or(0, |main| main.book.touch(change.side));
        let point = self.history.touch(change.timestamp);
        levels | point | self.recent.touch(&self.past)
    }

    /// Levels held, those of other feeds included.
    pub(crate) fn levels(&self) -> u64 {
        let main = self.main.as_ref().map_or(0, Stream::levels);
        let others: usize = self.others.streams().iter().map(Stream::levels).sum();
        count(main + others)
    }

    /// A whole book arrived. Its levels are taken from it.
    pub(crate) fn snapshot(&mut self, event: &mut BookEvent, origin: Origin, cx: &mut Context<'_>) {
        let fate = self.fate(event.timestamp, origin, cx.feeds);
        if fate == Fate::Ignored {
            self.count_ignored(origin, cx);
            return;
        }
        let mut book = OrderBook::default();
        if fate == Fate::Shown {
            self.hash.forget_expectation();
            self.hash.take(event);
            self.complement = event.info.complement;
            self.info = Some(Arc::clone(&event.info));
        }
        book.apply_snapshot(take(&mut event.bids), take(&mut event.asks));
        let stream = Stream::new(origin.feed, origin.stamp, book, event.timestamp, event.hash);
        match fate {
            Fate::KeptAside => {
                cx.stats.events.snapshots_awaited.increment();
                self.others.keep(stream, cx.feeds);
                self.weigh(origin, Extent::Whole, cx);
            }
            Fate::Shown | Fate::Ignored => {
                self.replace(stream, origin, cx);
                self.verify_whole(cx);
            }
        }
    }

    /// One level changed.
    pub(crate) fn change(&mut self, change: &PriceChange, origin: Origin, cx: &mut Context<'_>) {
        let missing = self.hash.is_open();
        let Some(main) = self.main.as_mut() else {
            cx.stats.events.deltas_without_book.increment();
            return;
        };
        if main.feed != origin.feed || self.held.is_some_and(|held| held.torn) {
            self.change_other(change, origin, cx);
            return;
        }
        let applied = main.apply(change, missing);
        self.applied(applied, change, origin, cx);
    }

    /// Sees to what became of a change.
    fn applied(
        &mut self,
        applied: Applied,
        change: &PriceChange,
        origin: Origin,
        cx: &mut Context<'_>,
    ) {
        let missing = self.hash.is_open();
        let Some(main) = self.main.as_mut() else {
            return;
        };
        match applied {
            Applied::OlderThanSnapshot => {
                cx.stats.events.stale_deltas_skipped.increment();
                return;
            }
            Applied::Duplicate => {
                cx.stats.events.duplicates.increment();
                // The frame it copies may have left the check to this one.
                let present = main.newest == change.timestamp;
                if present && !main.proven && change.last_in_frame {
                    self.verify_change(change, cx);
                } else if present && change.hash == main.hash && !missing {
                    // Wherever the book has been meanwhile, it is back.
                    main.settle_copies();
                    self.doubts.settle(Doubt::Hash);
                }
                return;
            }
            Applied::Ambiguous => {
                cx.stats.events.ambiguous_copies.increment();
                self.raise(Doubt::Hash, cx);
                return;
            }
            Applied::OutOfOrder => cx.stats.events.out_of_order.increment(),
            Applied::InOrder => self.history.record(main.newest, &main.book),
        }
        cx.stats.updates_applied.increment();
        self.sequence += 1;
        self.received = origin.received;
        self.watch_crossing(cx);
        let level = Extent::Level(change.side, change.price);
        cx.note_size(self.key, level, change.size);
        if change.last_in_frame {
            self.catch_up(cx.feeds);
            match applied {
                Applied::InOrder => self.verify_change(change, cx),
                _ => self.verify_again(cx),
            }
        }
    }

    /// A trade of this market was announced.
    pub(crate) fn trade(&mut self, trade: &Trade) {
        self.hash.trade(trade);
    }

    /// The market's other token was hashed with this last trade price.
    pub(crate) fn hear(&mut self, price: DecimalText) {
        self.hash.hear(price);
    }

    /// The price grid changes. A finer one leaves every level where it is.
    pub(crate) fn change_tick(&mut self, event: &TickSizeChange, cx: &mut Context<'_>) {
        // The hash may have shown the new grid before it is announced: then the
        // levels are proven on it, and nothing changes here.
        let known = self.hash.tick_size();
        if known == Some(event.new) {
            return;
        }
        self.hash.set_tick_size(event.new);
        if known
            .or(event.old)
            .is_some_and(|old| is_coarser(event.new, old))
        {
            self.diverge(StaleReason::Tick, cx);
        }
    }

    /// The book is stale until a snapshot stamped later. Others ask for that
    /// snapshot; it is asked for again if it does not come.
    pub(crate) fn mark(&mut self, mark: Mark, cx: &mut Context<'_>) {
        if self.mark.is_some_and(|known| known.stamp >= mark.stamp) {
            return;
        }
        self.mark = Some(mark);
        self.others.drop_before(mark.stamp);
        if self.stamp() < mark.stamp && !self.is_settled() {
            if self.lean_on_others(mark.reason, true, cx) {
                return;
            }
            self.held = None;
            self.become_stale(mark.reason, cx);
            self.retry_later(cx);
        }
    }

    /// The market is settled.
    pub(crate) fn settle(&mut self) {
        self.state = BookState::Settled;
        self.doubts = Doubts::default();
        self.others.clear();
        self.held = None;
        self.awaited = None;
        self.expected = None;
    }

    /// A feed closed.
    pub(crate) fn close_feed(&mut self, feed: FeedId, reason: StaleReason, cx: &mut Context<'_>) {
        if self.feed() == Some(feed) {
            if self.state == BookState::Settled {
                return;
            }
            if self.held.is_some() {
                // It is gone already.
            } else if self.lean_on_others(reason, false, cx) {
                cx.stats.events.closings_covered.increment();
            } else {
                self.become_stale(reason, cx);
            }
        }
        if self.others.take(feed).is_some() {
            self.support_lost(cx);
        }
    }

    /// The thread that wrote the book died: what it left may be half a change.
    /// The time to see whether it is still stale.
    pub(crate) fn orphan(&mut self, mark: Mark, now: Instant) -> Option<Instant> {
        self.others.clear();
        self.held = None;
        self.awaited = None;
        self.mark = Some(mark);
        self.hash.forget_expectation();
        self.top.reset();
        self.pace.retry_pending = false;
        self.crossed_since = None;
        self.watched = false;
        self.expected = None;
        self.doubts = Doubts::default();
        self.diverged = false;
        if matches!(self.state, BookState::Live | BookState::Stale(_)) {
            self.state = BookState::Stale(mark.reason);
        }
        self.pace.next_retry(now).filter(|_| !self.is_settled())
    }

    /// The time for another request has come.
    pub(crate) fn retry_at_last(&mut self, cx: &mut Context<'_>) {
        self.pace.retry_pending = false;
        match (self.state, self.mark) {
            (BookState::Stale(reason), _) => self.ask(reason, cx),
            // Its first snapshot was lost.
            (BookState::Pending, Some(mark)) => self.ask(mark.reason, cx),
            (BookState::Pending | BookState::Live | BookState::Settled, _) => {}
        }
    }

    fn count_ignored(&mut self, origin: Origin, cx: &mut Context<'_>) {
        if self.feed() == Some(origin.feed) {
            cx.stats.events.snapshots_ignored.increment();
            return;
        }
        cx.stats.events.late_frames.increment();
        // A stale book was sent the wrong feed's snapshot: it still needs one.
        if matches!(self.state, BookState::Stale(_)) {
            self.retry_later(cx);
        }
    }

    /// The book is wrong by our own finding: stale, and a snapshot is asked for.
    fn diverge(&mut self, reason: StaleReason, cx: &mut Context<'_>) {
        match self.state {
            BookState::Live => {}
            BookState::Stale(_) => {
                // Catching up no longer makes it right.
                if self.awaited.take().is_some() {
                    self.state = BookState::Stale(reason);
                    self.ask(reason, cx);
                }
                return;
            }
            BookState::Pending | BookState::Settled => return,
        }
        if self.heal_by_other(reason, cx) {
            return;
        }
        // A younger feed's telling is not the wrong one, unless both lack a word.
        let is_younger = |other: &Stream| Some(other.feed) > self.feed();
        if !is_of_lost_word(reason) && self.others.furthest(is_younger).is_some() {
            self.promote(reason, cx);
        } else {
            self.become_stale(reason, cx);
            self.diverged = true;
            self.ask(reason, cx);
        }
    }

    fn become_stale(&mut self, reason: StaleReason, cx: &mut Context<'_>) {
        self.held = None;
        match self.state {
            BookState::Live => cx.stats.events.went_stale.increment(),
            BookState::Stale(_) => {}
            BookState::Pending | BookState::Settled => return,
        }
        self.state = BookState::Stale(reason);
        self.diverged = false;
        self.fell = true;
        self.hash.forget_expectation();
        self.top.reset();
        // What the venue has come to stays true, whoever tells it.
        self.doubts.settle_levels();
    }

    /// Asks for a snapshot, unless one was asked for lately; and again if the
    /// book stays stale.
    fn ask(&mut self, reason: StaleReason, cx: &mut Context<'_>) {
        if self.pace.may_ask(cx.checker.now) {
            cx.stats.events.resyncs_requested.increment();
            cx.resyncs.push((self.key, reason));
        }
        self.retry_later(cx);
    }

    /// Sees to it that a book that stays stale is asked for.
    fn retry_later(&mut self, cx: &mut Context<'_>) {
        if let Some(at) = self.pace.next_retry(cx.checker.now) {
            cx.retries.push((at, self.key));
        }
    }

    fn is_settled(&self) -> bool {
        self.state == BookState::Settled
    }
}

#[cfg(test)]
#[path = "book_slot_tests.rs"]
mod tests;
