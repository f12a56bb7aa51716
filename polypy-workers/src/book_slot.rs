//! One asset's book with everything that decides whether it is live.
//!
//! | from | to | on |
//! |---|---|---|
//! | pending | live | a snapshot |
//! | live | stale | its feed closed, a mark, a check that diverged, a coarser grid, crossed too long |
//! | stale | live | a snapshot stamped after the mark; catching up with what was already seen |
//! | any | settled | the market's end; never live again |
//!
//! A book belongs to the feed of its snapshot, and a snapshot of a younger feed
//! takes it over. During a hand-over two feeds tell the same book; the one that
//! is not shown is kept as the *standby*: a younger feed that has not reached
//! the time of the live book yet takes over when it has, and an older one that
//! was taken over fills in should the younger close first. A live book thus
//! never moves back in time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use polypy_core::{
    AssetInfo, AssetKey, BookEvent, BookState, BookView, FeedId, OrderBook, PriceChange, Side,
    StaleReason, TickSizeChange, Timestamp, TopHistory, Trade,
};

use crate::counter::count;
use crate::feeds::Feeds;
use crate::integrity::{Checker, Finding, HashCheck, Outcome, Subject, TopCheck, is_coarser};
use crate::lane::Mark;
use crate::stats::WorkerStats;
use crate::stream::{Applied, Stream};

/// Between two requests for the same book, doubled each time. Five seconds is
/// the time a subscription takes to answer on a bad day.
const FIRST_RETRY: Duration = Duration::from_secs(5);
/// The retry interval grows up to this, and starts anew after as long without one.
const LAST_RETRY: Duration = Duration::from_secs(600);

/// Where a batch came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) feed: FeedId,
    pub(crate) stamp: u64,
    /// Why the feed is closed, if it is.
    pub(crate) closed: Option<StaleReason>,
    pub(crate) received: Instant,
}

/// What a slot needs from its partition.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) checker: Checker<'a>,
    pub(crate) stats: &'a WorkerStats,
    pub(crate) feeds: &'a Feeds,
    /// Books to be asked for once the partition is free again.
    pub(crate) resyncs: &'a mut Vec<(AssetKey, StaleReason)>,
    /// When to see whether a book is still stale.
    pub(crate) retries: &'a mut Vec<(Instant, AssetKey)>,
    /// Books that became crossed.
    pub(crate) crossed: &'a mut Vec<AssetKey>,
}

/// What is to be done with a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It becomes the book.
    Shown,
    /// It is kept aside, replacing what is there.
    KeptAside,
    /// It is of no use.
    Ignored,
}

#[derive(Debug)]
pub(crate) struct BookSlot {
    pub(crate) key: AssetKey,
    info: Option<Arc<AssetInfo>>,
    /// What is shown.
    main: Option<Stream>,
    standby: Option<Box<Stream>>,
    state: BookState,
    /// Stale until the book reaches this exchange time, which was seen before.
    awaited: Option<Timestamp>,
    mark: Option<Mark>,
    epoch: u64,
    sequence: u64,
    received: Instant,
    crossed_since: Option<Instant>,
    history: TopHistory,
    hash: HashCheck,
    top: TopCheck,
    /// When a snapshot was last asked for, and how long to wait before the next.
    asked: Option<(Instant, Duration)>,
    retry_pending: bool,
}

impl BookSlot {
    pub(crate) fn new(key: AssetKey, now: Instant) -> Self {
        Self {
            key,
            info: None,
            main: None,
            standby: None,
            state: BookState::Pending,
            awaited: None,
            mark: None,
            epoch: 0,
            sequence: 0,
            received: now,
            crossed_since: None,
            history: TopHistory::default(),
            hash: HashCheck::default(),
            top: TopCheck::default(),
            asked: None,
            retry_pending: false,
        }
    }

    pub(crate) fn state(&self) -> BookState {
        self.state
    }

    /// The feed the book belongs to.
    pub(crate) fn feed(&self) -> Option<FeedId> {
        self.main.as_ref().map(|main| main.feed)
    }

    /// Every feed that tells the book.
    pub(crate) fn feeds(&self) -> [Option<FeedId>; 2] {
        [self.feed(), self.standby_feed()]
    }

    /// Stamp of the snapshot the book stands on.
    pub(crate) fn stamp(&self) -> u64 {
        self.main.as_ref().map_or(0, |main| main.stamp)
    }

    /// The market's other token.
    pub(crate) fn complement(&self) -> Option<AssetKey> {
        self.info.as_ref().and_then(|info| info.complement)
    }

    /// Levels held, those of the standby included.
    pub(crate) fn levels(&self) -> u64 {
        let main = self.main.as_ref().map_or(0, Stream::levels);
        let standby = self.standby.as_ref().map_or(0, |standby| standby.levels());
        count(main + standby)
    }

    /// A whole book arrived.
    pub(crate) fn snapshot(&mut self, event: BookEvent, origin: Origin, cx: &mut Context<'_>) {
        let fate = self.fate(event.timestamp, origin, cx.feeds);
        if fate == Fate::Ignored {
            self.count_ignored(origin, cx);
            return;
        }
        let mut book = OrderBook::default();
        if fate == Fate::Shown {
            self.hash.forget_expectation();
            self.hash.take(&event);
            self.info = Some(Arc::clone(&event.info));
        }
        book.apply_snapshot(event.bids, event.asks);
        let stream = Stream::new(origin.feed, origin.stamp, book, event.timestamp, event.hash);
        match fate {
            Fate::KeptAside => {
                cx.stats.events.snapshots_awaited.increment();
                self.standby = Some(Box::new(stream));
            }
            Fate::Shown | Fate::Ignored => {
                self.replace(stream, origin, cx);
                self.verify_snapshot(cx);
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
        if main.feed != origin.feed {
            cx.stats.events.late_frames.increment();
            self.change_standby(change, origin, cx);
            return;
        }
        let applied = main.apply(change, missing);
        match applied {
            Applied::OlderThanSnapshot => {
                cx.stats.events.stale_deltas_skipped.increment();
                return;
            }
            Applied::Duplicate => {
                cx.stats.events.duplicates.increment();
                return;
            }
            Applied::OutOfOrder => cx.stats.events.out_of_order.increment(),
            Applied::InOrder => self.history.record(main.newest, &main.book),
        }
        cx.stats.updates_applied.increment();
        self.sequence += 1;
        self.received = origin.received;
        self.watch_crossing(cx);
        if change.last_in_frame {
            self.catch_up();
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
        if self
            .standby
            .as_ref()
            .is_some_and(|standby| standby.stamp < mark.stamp)
        {
            self.standby = None;
        }
        if self.main.is_some() && self.stamp() < mark.stamp {
            self.become_stale(mark.reason, cx);
            self.retry_later(cx);
        }
    }

    /// The market is settled.
    pub(crate) fn settle(&mut self) {
        self.state = BookState::Settled;
        self.standby = None;
        self.awaited = None;
    }

    /// A feed closed.
    pub(crate) fn close_feed(&mut self, feed: FeedId, reason: StaleReason, cx: &mut Context<'_>) {
        if self.feed() == Some(feed) {
            if self.state == BookState::Settled {
                return;
            }
            if self.state == BookState::Live && self.standby.is_some() {
                self.promote(reason, cx);
            } else {
                self.become_stale(reason, cx);
            }
        } else if self.standby_feed() == Some(feed) {
            self.standby = None;
        }
    }

    /// The thread that wrote the book died: what it left may be half a change.
    pub(crate) fn orphan(&mut self, mark: Mark) {
        self.standby = None;
        self.awaited = None;
        self.mark = Some(mark);
        self.hash.forget_expectation();
        self.top.reset();
        self.retry_pending = false;
        self.crossed_since = None;
        if matches!(self.state, BookState::Live | BookState::Stale(_)) {
            self.state = BookState::Stale(mark.reason);
        }
    }

    /// Whether the book has been crossed for `patience`, with no hash to say
    /// that the venue's is too. `None` once it is not crossed any more.
    pub(crate) fn check_crossing(&mut self, cx: &mut Context<'_>) -> Option<()> {
        let since = self.crossed_since?;
        let lasted = cx.checker.now.saturating_duration_since(since);
        if lasted > cx.checker.config.crossed_patience
            && self.state == BookState::Live
            && self.hash.last() != Some(true)
        {
            self.diverge(StaleReason::Crossed, cx);
        }
        Some(())
    }

    /// The time for another request has come.
    pub(crate) fn retry_at_last(&mut self, cx: &mut Context<'_>) {
        self.retry_pending = false;
        if let BookState::Stale(reason) = self.state {
            self.ask(reason, cx);
        }
    }

    /// A copy, in the state the reader is to see; `None` before any snapshot.
    pub(crate) fn view(&self, depth: usize, state: BookState, now: Instant) -> Option<BookView> {
        let (main, info) = (self.main.as_ref()?, self.info.as_ref()?);
        let book = &main.book;
        let age = now.saturating_duration_since(self.received);
        Some(BookView {
            asset_id: info.asset_id.clone(),
            state,
            epoch: self.epoch,
            sequence: self.sequence,
            bids: book.levels(Side::Bid).take(depth).collect(),
            asks: book.levels(Side::Ask).take(depth).collect(),
            bid_levels: book.worst_first(Side::Bid).len(),
            ask_levels: book.worst_first(Side::Ask).len(),
            spread: book.spread(),
            mid_price: book.mid(),
            imbalance: book.imbalance(depth),
            last_update: main.newest,
            age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
            tick_size: self.hash.tick_size(),
            last_trade_price: self.hash.last_trade_price(),
            hash: main.hash,
            hash_verified: self.hash.last(),
            history: self.history.points().copied().collect(),
        })
    }

    fn standby_feed(&self) -> Option<FeedId> {
        self.standby.as_ref().map(|standby| standby.feed)
    }

    fn fate(&self, timestamp: Timestamp, origin: Origin, feeds: &Feeds) -> Fate {
        let Some(main) = &self.main else {
            return Fate::Shown;
        };
        let live = self.state == BookState::Live;
        let back = live && main.is_ahead_of(timestamp);
        if origin.feed == main.feed {
            return if back { Fate::Ignored } else { Fate::Shown };
        }
        let older = origin.feed < main.feed;
        if feeds.closed(main.feed).is_some() {
            // Whatever is open is better than what is not.
            let useful = origin.closed.is_none() || !older;
            return if useful { Fate::Shown } else { Fate::Ignored };
        }
        match (origin.closed, older) {
            (Some(_), _) => Fate::Ignored,
            (None, true) if live && self.standby_feed() == Some(origin.feed) => Fate::KeptAside,
            (None, true) => Fate::Ignored,
            (None, false) if back => Fate::KeptAside,
            (None, false) => Fate::Shown,
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

    /// Shows `stream` from now on.
    fn replace(&mut self, stream: Stream, origin: Origin, cx: &mut Context<'_>) {
        let newest = stream.newest;
        let old = self.main.replace(stream);
        self.awaited = None;
        if let Some(old) = old.filter(|old| old.feed != origin.feed) {
            cx.stats.events.takeovers.increment();
            let open = cx.feeds.closed(old.feed).is_none();
            if old.is_ahead_of(newest) && !self.is_settled() {
                // Something newer than this book was seen already.
                self.awaited = Some(old.newest);
            }
            self.standby = (open && self.state == BookState::Live).then(|| Box::new(old));
        }
        self.epoch += 1;
        self.sequence += 1;
        self.received = origin.received;
        self.top.reset();
        self.state = match (self.state, origin.closed, self.mark) {
            (BookState::Settled, _, _) => BookState::Settled,
            (_, Some(reason), _) => BookState::Stale(reason),
            (_, None, Some(mark)) if mark.stamp > origin.stamp => BookState::Stale(mark.reason),
            (BookState::Stale(reason), None, _) if self.awaited.is_some() => {
                BookState::Stale(reason)
            }
            (_, None, _) if self.awaited.is_some() => BookState::Stale(StaleReason::Disconnected),
            (_, None, _) => BookState::Live,
        };
        if self.awaited.is_some() {
            self.retry_later(cx);
        }
        self.crossed_since = None;
        self.watch_crossing(cx);
        if let Some(main) = &self.main {
            self.history.record(main.newest, &main.book);
        }
    }

    /// A change of a feed that is not shown.
    fn change_standby(&mut self, change: &PriceChange, origin: Origin, cx: &mut Context<'_>) {
        let Some(standby) = self
            .standby
            .as_mut()
            .filter(|standby| standby.feed == origin.feed)
        else {
            return;
        };
        standby.apply(change, false);
        let younger = self.feed().is_some_and(|feed| feed < origin.feed);
        if younger && change.last_in_frame && self.standby_is_level() {
            self.promote(StaleReason::Resubscribing, cx);
        }
    }

    /// Whether the standby has reached the time of what is shown.
    fn standby_is_level(&self) -> bool {
        match (&self.main, &self.standby) {
            (Some(main), Some(standby)) => !main.is_ahead_of(standby.newest),
            (None, _) | (_, None) => false,
        }
    }

    /// Shows the standby instead: live, if nothing newer was seen already.
    fn promote(&mut self, reason: StaleReason, cx: &mut Context<'_>) {
        let level = self.standby_is_level();
        let Some(standby) = self.standby.take() else {
            return;
        };
        let closed = cx.feeds.closed(standby.feed);
        let old = self.main.replace(*standby);
        cx.stats.events.takeovers.increment();
        self.epoch += 1;
        self.sequence += 1;
        self.hash.forget_expectation();
        self.top.reset();
        self.crossed_since = None;
        self.watch_crossing(cx);
        let Some(old) = old else {
            return;
        };
        if let Some(closed) = closed {
            self.become_stale(closed, cx);
        } else if !level {
            self.become_stale(reason, cx);
            self.awaited = Some(old.newest);
            self.ask(reason, cx);
        } else if cx.feeds.closed(old.feed).is_none() {
            self.standby = Some(Box::new(old));
        }
    }

    /// The book is wrong by our own finding: stale, and a snapshot is asked for.
    fn diverge(&mut self, reason: StaleReason, cx: &mut Context<'_>) {
        if self.state != BookState::Live {
            return;
        }
        let challenged = self.standby_feed() > self.feed();
        if challenged {
            self.promote(reason, cx);
        } else {
            self.become_stale(reason, cx);
            self.ask(reason, cx);
        }
    }

    fn become_stale(&mut self, reason: StaleReason, cx: &mut Context<'_>) {
        match self.state {
            BookState::Live => cx.stats.events.went_stale.increment(),
            BookState::Stale(_) => {}
            BookState::Pending | BookState::Settled => return,
        }
        self.state = BookState::Stale(reason);
        self.hash.forget_expectation();
        self.top.reset();
    }

    /// Live again once the book has reached what was seen before.
    fn catch_up(&mut self) {
        let Some(main) = &self.main else {
            return;
        };
        if self.awaited.is_some_and(|awaited| main.newest >= awaited) {
            self.awaited = None;
            let lifted = self.mark.is_none_or(|mark| mark.stamp < main.stamp);
            if lifted && matches!(self.state, BookState::Stale(_)) {
                self.state = BookState::Live;
            }
        }
    }

    fn verify_snapshot(&mut self, cx: &mut Context<'_>) {
        // A snapshot that is only being waited for is checked like a live one:
        // its levels are the venue's own.
        let outcome = self.check_hash(true, cx);
        self.conclude(outcome, cx);
    }

    fn verify_change(&mut self, change: &PriceChange, cx: &mut Context<'_>) {
        if self.state != BookState::Live {
            return;
        }
        let Some(main) = &self.main else {
            return;
        };
        let top = self.top.check(&main.book, change, &cx.checker);
        let complete = matches!(top, Finding::Agrees | Finding::Unstated);
        let outcome = self.check_hash(complete, cx);
        if outcome == Outcome::Proven {
            // The whole book agrees: a top that does not was stated wrongly.
            self.top.reset();
        } else if top == Finding::Diverged {
            self.diverge(StaleReason::Top, cx);
            return;
        }
        self.conclude(outcome, cx);
    }

    /// A change out of order was applied: it may have been the missing one.
    fn verify_again(&mut self, cx: &mut Context<'_>) {
        if self.state != BookState::Live {
            return;
        }
        if let (Some(main), Some(info)) = (&self.main, &self.info) {
            let subject = subject(main, info, true);
            let outcome = self.hash.recheck(&subject, &mut cx.checker);
            self.conclude(outcome, cx);
        }
    }

    fn check_hash(&mut self, complete: bool, cx: &mut Context<'_>) -> Outcome {
        match (&self.main, &self.info) {
            (Some(main), Some(info)) => {
                let subject = subject(main, info, complete);
                self.hash.check(&subject, &mut cx.checker)
            }
            (None, _) | (_, None) => Outcome::NotApplicable,
        }
    }

    fn conclude(&mut self, outcome: Outcome, cx: &mut Context<'_>) {
        match outcome {
            Outcome::Proven => {
                if let Some(main) = self.main.as_mut() {
                    main.proven = true;
                }
            }
            Outcome::Diverged => self.diverge(StaleReason::Hash, cx),
            Outcome::Open | Outcome::NotApplicable => {}
        }
    }

    fn watch_crossing(&mut self, cx: &mut Context<'_>) {
        let crossed = self
            .main
            .as_ref()
            .is_some_and(|main| main.book.is_crossed());
        match (crossed, self.crossed_since) {
            (true, None) => {
                self.crossed_since = Some(cx.checker.now);
                cx.crossed.push(self.key);
            }
            (false, Some(_)) => self.crossed_since = None,
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// Asks for a snapshot, now or when the last request is old enough.
    fn ask(&mut self, reason: StaleReason, cx: &mut Context<'_>) {
        let now = cx.checker.now;
        let next = match self.asked {
            Some((at, wait)) if now.saturating_duration_since(at) < wait => {
                self.retry_later(cx);
                return;
            }
            Some((at, wait)) if now.saturating_duration_since(at) < wait + LAST_RETRY => {
                (wait * 2).min(LAST_RETRY)
            }
            Some(_) | None => FIRST_RETRY,
        };
        self.asked = Some((now, next));
        cx.stats.events.resyncs_requested.increment();
        cx.resyncs.push((self.key, reason));
        self.retry_later(cx);
    }

    /// Sees to it that a book that stays stale is asked for again.
    fn retry_later(&mut self, cx: &mut Context<'_>) {
        if self.retry_pending {
            return;
        }
        self.retry_pending = true;
        let at = match self.asked {
            Some((at, wait)) => (at + wait).max(cx.checker.now),
            None => cx.checker.now + FIRST_RETRY,
        };
        cx.retries.push((at, self.key));
    }

    fn is_settled(&self) -> bool {
        self.state == BookState::Settled
    }
}

fn subject<'a>(main: &'a Stream, info: &'a AssetInfo, complete: bool) -> Subject<'a> {
    Subject {
        book: &main.book,
        info,
        timestamp: main.newest,
        hash: main.hash,
        complete,
    }
}

#[cfg(test)]
#[path = "book_slot_tests.rs"]
mod tests;
