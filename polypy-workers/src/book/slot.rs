//! One asset's book with everything that decides whether it is live.
//!
//! A slot only brings its parts together: it takes an event to the part that it
//! concerns, what that finds to [`Trust`], and does what follows. A change of an
//! undisturbed book takes the fast path ([`BookSlot::change_fast`]), which does what
//! [`BookSlot::change`] would, less what could have no effect.

use std::mem::take;
use std::time::{Duration, Instant};

use polypy_core::metrics::count;
use polypy_core::{
    AssetKey, BestBidAsk, BookEvent, BookState, BookView, Change, DecimalText, FeedId, OrderBook,
    Price, PriceChange, Side, StaleReason, TickSizeChange, Top, Trade,
};

use super::checks::{Checks, Verification};
use super::feed_book::{Applied, FeedBook, Tried};
use super::shown::{Epoch, Shown};
use super::standby::{Failover, Replayed, SnapshotUse, Standbys};
use super::trust::{
    Cause, Check, Effects, Input, Progress, Trust, Unseen, Want, as_read, is_of_missing_change,
};
use super::{Context, Origin};
use crate::config::HashChecking;
use crate::feeds::Feeds;
use crate::integrity::{Expectation, Extent, Finding, Outcome, Stage, Verdict, agrees};
use crate::queue::{ControlMessage, StalenessMark};
use crate::stats::WorkerStats;

/// Between two looks at a stale book that was asked for: how long a subscription takes
/// to answer on a bad day. How often it is really fetched is for the pool to say.
const RETRY: Duration = Duration::from_secs(5);
/// How much longer than usual a book may be suspect for want of an affordable search.
const SEARCH_PATIENCE: u32 = 5;

/// Down to the head of `trust` stands what nearly every change reads, in three cache
/// lines; a test holds that. A hash that is checked reads `checks` besides, and costs
/// a hundred times as much.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct BookSlot {
    shown: Shown,
    key: AssetKey,
    /// The market's other token.
    complement: Option<AssetKey>,
    trust: Trust,
    checks: Checks,
    standbys: Standbys,
    /// Whether the partition will look at it when time has passed.
    is_watched: bool,
    /// Whether the partition will see whether it is still stale.
    is_retry_planned: bool,
}

/// How the two tokens of a market compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mirrored {
    Agrees,
    /// At the same exchange time they differ: one of them is wrong.
    Disagrees,
    /// The other one was not sent what this one was.
    OtherBehind,
    NotApplicable,
}

/// What is left to do after the fast path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    Nothing,
    /// What follows from its having been left out.
    LeftOut(Applied),
    /// To look at the new top, and to check the book.
    Everything,
    /// What follows from its hash; the top agrees.
    Checked(Outcome),
}

impl BookSlot {
    pub(crate) fn new(key: AssetKey, now: Instant) -> Self {
        Self {
            shown: Shown::new(now),
            key,
            complement: None,
            trust: Trust::new(now),
            checks: Checks::default(),
            standbys: Standbys::default(),
            is_watched: false,
            is_retry_planned: false,
        }
    }

    #[inline]
    pub(crate) fn key(&self) -> AssetKey {
        self.key
    }

    #[inline]
    pub(crate) fn complement(&self) -> Option<AssetKey> {
        self.complement
    }

    /// Every feed that has sent something of the book.
    pub(crate) fn feeds(&self) -> impl Iterator<Item = FeedId> + '_ {
        self.shown.feed().into_iter().chain(self.standbys.feeds())
    }

    /// Levels held, those of copies included, and what takes as much.
    #[inline]
    pub(crate) fn held_levels(&self) -> u64 {
        count(self.shown.depth() + self.standbys.held_levels())
    }

    /// The state that readers see, as far as the worker knows.
    #[inline]
    pub(crate) fn state(&self) -> BookState {
        self.trust.state()
    }

    /// The state that readers see now, with what has reached the process and not the
    /// worker yet.
    pub(crate) fn state_with(
        &self,
        message: &ControlMessage,
        feeds: &Feeds,
        is_dead: bool,
    ) -> BookState {
        let batch = self.shown.copy().map_or(0, FeedBook::batch);
        let marked = message.mark.filter(|mark| mark.number > batch);
        // What happened to its feed concerns the book if no other feed keeps it.
        let lost = self.shown.feed().and_then(|feed| {
            let gap = message.gap_on(feed).filter(|mark| mark.number > batch);
            let failover = self.standbys.failover();
            let reason = gap.map(|mark| mark.reason);
            let reason = reason
                .or_else(|| failover.map(|failover| failover.reason))
                .or_else(|| feeds.closed(feed))?;
            let is_kept = self.standbys.is_kept(feeds, |feed| message.gap_on(feed));
            (!is_kept).then_some(reason)
        });
        let unseen = Unseen {
            is_ended: message.settled,
            marked: marked.map(|mark| mark.reason),
            lost,
            worker_died: is_dead,
        };
        as_read(self.state(), unseen)
    }

    /// The last trade price that hashes are made with, as far as it is known.
    #[cfg(test)]
    pub(crate) fn hashed_price(&self) -> Option<DecimalText> {
        self.checks.hash().last_trade_price()
    }

    /// What readers see, in this state, but for its last trade, which is not the
    /// slot's; `None` before any whole book.
    pub(crate) fn view(&self, depth: usize, state: BookState, now: Instant) -> Option<BookView> {
        let (copy, info) = (self.shown.copy()?, self.checks.info()?);
        let (levels, hash) = (copy.levels(), self.checks.hash());
        let millis = |passed: Duration| u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        Some(BookView {
            asset_id: info.asset_id.clone(),
            state,
            epoch: self.shown.epoch(),
            sequence: self.shown.sequence(),
            bids: levels.levels(Side::Bid).take(depth).collect(),
            asks: levels.levels(Side::Ask).take(depth).collect(),
            bid_levels: levels.depth(Side::Bid),
            ask_levels: levels.depth(Side::Ask),
            spread: levels.spread(),
            mid_price: levels.mid(),
            imbalance: levels.imbalance(depth),
            last_update: copy.newest(),
            age_ms: millis(self.shown.age(now)),
            since_ms: millis(self.trust.shown_for(state, now)),
            tick_size: hash.tick_size(),
            last_trade: None,
            hash: copy.hash(),
            hash_verified: hash.last(),
            history: self.shown.history().collect(),
        })
    }

    /// What readers see may have changed since it was `before`.
    pub(crate) fn note_shown(&mut self, before: BookState, stats: &WorkerStats, now: Instant) {
        self.trust.note_shown(before, stats, now);
    }

    // ---- a whole book -------------------------------------------------------

    /// A whole book arrived. Its levels are taken from it.
    pub(crate) fn snapshot(&mut self, event: &mut BookEvent, origin: Origin, cx: &mut Context) {
        let mut levels = OrderBook::default();
        levels.apply_snapshot(take(&mut event.bids), take(&mut event.asks));
        let (feed, batch) = (origin.feed, origin.number);
        let mut copy = FeedBook::new(feed, batch, levels, event.timestamp, event.hash);
        let replayed = self.standbys.replay(&mut copy);
        let is_of_use =
            self.standbys
                .snapshot_use(&copy, origin, &self.shown, &self.trust, &cx.feeds);
        match is_of_use {
            SnapshotUse::Show => {
                self.checks.take(event);
                self.complement = event.info.complement;
                self.show_whole(copy, replayed, origin, cx);
            }
            SnapshotUse::Keep if replayed == Replayed::Whole => {
                cx.stats.events.snapshots_awaited.increment();
                self.standbys.keep(copy, &cx.feeds);
                self.weigh_copy(feed, cx);
            }
            SnapshotUse::Keep => {
                self.count_ignored(origin, cx);
                cx.resyncs
                    .push((Some(feed), self.key, StaleReason::Dropped));
            }
            SnapshotUse::Ignore => self.count_ignored(origin, cx),
            SnapshotUse::Unknown => {
                self.count_ignored(origin, cx);
                self.take_in(Input::Contradicted(Cause::Hash), cx);
            }
        }
    }

    /// Shows a whole book from now on.
    fn show_whole(&mut self, copy: FeedBook, replayed: Replayed, origin: Origin, cx: &mut Context) {
        let was_live = self.state() == BookState::Live;
        let mark = self.standbys.mark_on(origin.feed);
        let void = match (origin.closed, mark, replayed) {
            (Some(reason), ..) => Some(reason),
            (None, Some(mark), _) if mark.number > origin.number => Some(mark.reason),
            (None, _, Replayed::Incomplete) => Some(StaleReason::Dropped),
            (None, _, Replayed::Whole | Replayed::Unclear) => None,
        };
        let shown = self.shown.copy().map(FeedBook::newest);
        let goal =
            shown.and_then(|shown| self.trust.goal_beyond(copy.newest(), shown, cx.checker.now));
        let input = match (void, goal) {
            (Some(reason), goal) => Input::WholeVoid { reason, goal },
            (None, Some(goal)) => Input::WholeBehind { goal },
            (None, None) => Input::Whole,
        };
        // The copy's own standby, if it has one, is older than it.
        self.standbys.take(origin.feed);
        self.standbys.end_failover();
        // First what follows, then the levels: a new epoch is told as one change.
        let epoch = self.take_in_quietly(input, cx);
        let old = self
            .shown
            .adopt(self.key, copy, epoch, Some(origin.received), &mut cx.log);
        if let Some(old) = old.filter(|old| old.feed() != origin.feed) {
            self.checks.feed_replaced(cx.checker.now);
            cx.stats.events.takeovers.increment();
            // A suspect one could not stand in.
            if cx.feeds.closed(old.feed()).is_none() && was_live {
                self.standbys.keep(old, &cx.feeds);
            }
        }
        match input {
            Input::WholeBehind { .. } => self.retry_later(cx),
            Input::WholeVoid { .. } if origin.closed.is_none() => self.retry_later(cx),
            _ => {}
        }
        self.watch_crossing(cx);
        let outcome = self.check_hash(Stage::Whole, cx);
        let outcome = self.reconsider(outcome, cx);
        self.conclude(outcome, cx);
        self.note_state(cx);
        if self.has_left_out() || replayed == Replayed::Unclear {
            self.take_in(Input::Contradicted(Cause::Return), cx);
        }
    }

    fn has_left_out(&self) -> bool {
        self.shown.copy().is_some_and(FeedBook::has_left_out)
    }

    fn count_ignored(&mut self, origin: Origin, cx: &mut Context) {
        if self.shown.feed() == Some(origin.feed) {
            cx.stats.events.snapshots_ignored.increment();
            return;
        }
        cx.stats.events.late_frames.increment();
        // A stale book was sent the wrong feed's snapshot: it still needs one.
        if self.trust.is_stale() {
            self.retry_later(cx);
        }
    }

    // ---- a change -----------------------------------------------------------

    /// Whether a change can be applied by [`Self::change_fast`].
    #[inline(always)]
    pub(crate) fn is_fast(&self, origin: Origin) -> bool {
        #[cfg(test)]
        if FAST_PATH_FORBIDDEN.get() {
            return false;
        }
        self.trust.is_undisturbed() && self.shown.feed() == Some(origin.feed)
    }

    /// Applies a change to a book that nothing has to be considered of; what it did to
    /// the level, and what is left to do.
    #[inline(always)]
    pub(crate) fn change_fast(
        &mut self,
        change: &PriceChange,
        origin: Origin,
        cx: &mut Context,
    ) -> (Change, Rest) {
        let done = match self.shown.apply(change, origin.received, &mut cx.log) {
            Applied::InOrder(done) => done,
            applied => {
                return (Change::Unchanged, Rest::LeftOut(applied));
            }
        };
        cx.stats.updates_applied.increment();
        let Some(copy) = self.shown.copy() else {
            return (done, Rest::Nothing);
        };
        let bid = copy.levels().best_price(Side::Bid);
        let ask = copy.levels().best_price(Side::Ask);
        if bid >= ask && ask.is_some() {
            return (done, Rest::Everything);
        }
        if !change.last_in_frame {
            return (done, Rest::Nothing);
        }
        if !(states(change.best_bid, bid) && states(change.best_ask, ask)) {
            return (done, Rest::Everything);
        }
        cx.stats.integrity.top.passed.increment();
        if cx.checker.config.hash == HashChecking::Off || change.hash.is_none() {
            cx.stats.integrity.hash.not_applicable.increment();
        } else if let Some(outcome) = self.prove_fast(cx) {
            return (done, Rest::Checked(outcome));
        }
        self.shown.note_state();
        (done, Rest::Nothing)
    }

    /// Checks the hash; what it found, if something follows from that.
    #[inline(never)]
    fn prove_fast(&mut self, cx: &mut Context) -> Option<Outcome> {
        match self.check_hash(Stage::Frame, cx) {
            Outcome::NotApplicable => {}
            Outcome::Proven => self.shown.prove(),
            Outcome::Skipped => self.watch(cx),
            outcome @ (Outcome::Open | Outcome::Reopened | Outcome::Diverged) => {
                return Some(outcome);
            }
        }
        None
    }

    /// Does what the fast path has left.
    #[cold]
    pub(crate) fn finish(&mut self, left: Rest, change: &PriceChange, cx: &mut Context) {
        match left {
            Rest::Nothing => {}
            Rest::LeftOut(applied) => self.after_left_out(applied, change, cx),
            Rest::Everything => self.after_change(change, cx),
            Rest::Checked(outcome) => {
                self.conclude_change(Finding::Agrees, outcome, cx);
                self.note_state(cx);
            }
        }
    }

    /// One level changed.
    pub(crate) fn change(&mut self, change: &PriceChange, origin: Origin, cx: &mut Context) {
        let Some(ours) = self.shown.copy() else {
            cx.stats.events.deltas_without_book.increment();
            self.standbys.change(change, origin.feed, &cx.feeds);
            return;
        };
        if ours.feed() != origin.feed {
            self.change_copy(change, origin, cx);
            return;
        }
        if self.trust.is_stale() {
            // It goes on, and a whole book that is to come may be older than this.
            self.standbys.keep_early(change, origin.feed, &cx.feeds);
        }
        match self.shown.apply(change, origin.received, &mut cx.log) {
            Applied::InOrder(_) => {
                cx.stats.updates_applied.increment();
                self.after_change(change, cx);
            }
            applied => self.after_left_out(applied, change, cx),
        }
    }

    /// What follows from a change that is in the book.
    fn after_change(&mut self, change: &PriceChange, cx: &mut Context) {
        self.watch_crossing(cx);
        if change.last_in_frame {
            self.reached(cx);
            self.check_change(change, cx);
        }
    }

    /// What follows from one that was left out.
    fn after_left_out(&mut self, applied: Applied, change: &PriceChange, cx: &mut Context) {
        match applied {
            Applied::InOrder(_) => {}
            Applied::Older => self.change_back(change, cx),
            Applied::Ambiguous => {
                cx.stats.events.ambiguous_copies.increment();
                self.take_in(Input::Contradicted(Cause::Return), cx);
            }
            Applied::Duplicate => {
                cx.stats.events.duplicates.increment();
                let ours = self.shown.copy();
                if !self.shown.is_proven() && change.last_in_frame {
                    // The frame that it repeats may have left the check to this one.
                    self.check_change(change, cx);
                } else if change.hash == ours.and_then(FeedBook::hash)
                    && !self.checks.hash().is_open()
                {
                    // Frames repeat in order: what led the book back was a duplicate.
                    self.take_in(Input::Cleared(Cause::Return), cx);
                }
            }
        }
    }

    /// A change of the shown book's feed that is older than its newest. It is a duplicate if
    /// the book was in its state, or would not change. Otherwise another change overtook
    /// it, or the venue's clock was set back, and its hash tells; or nobody can.
    fn change_back(&mut self, change: &PriceChange, cx: &mut Context) {
        let Some(ours) = self.shown.copy() else {
            return;
        };
        let is_before = ours.is_before_known(change.timestamp);
        let is_missing_one = self.checks.hash().is_open();
        let was_shown = change.hash.is_some_and(|hash| self.shown.was_in(hash));
        // Of a frame whose last change is in the book the others may not be.
        let state = (change.timestamp, change.hash);
        let ends_frame = change.last_in_frame && ours.left_out_state() == Some(state);
        let has_level = ours.has_level(change) && !is_missing_one && !ends_frame;
        if was_shown || has_level {
            count_duplicate(is_before, cx);
            return;
        }
        self.shown.leave_out(change);
        if !change.last_in_frame {
            return;
        }
        // Of what was before that nothing is remembered: a change that was taken back
        // since would seem to be the next one.
        let is_found = if is_missing_one {
            self.try_left_out(Tried::All, cx)
        } else {
            !is_before && self.try_left_out(Tried::LastState, cx)
        };
        if is_found {
            cx.stats.events.out_of_order.increment();
            cx.stats.updates_applied.increment();
            self.watch_crossing(cx);
            self.conclude(Outcome::Proven, cx);
            self.note_state(cx);
        } else {
            // The next state that is proven tells.
            count_duplicate(is_before, cx);
            self.take_in(Input::Contradicted(Cause::Hash), cx);
        }
    }

    /// Tries changes that were left out; whether the book is right with them.
    fn try_left_out(&mut self, tried: Tried, cx: &mut Context) -> bool {
        let (checks, checker) = (&mut self.checks, &mut cx.checker);
        self.shown.attempt(self.key, tried, &mut cx.log, |copy| {
            checks.proves_left_out(copy, tried, checker)
        })
    }

    // ---- other feeds --------------------------------------------------------

    /// A change of a feed that the book is not shown from.
    fn change_copy(&mut self, change: &PriceChange, origin: Origin, cx: &mut Context) {
        if self.trust.is_settled() || !self.standbys.change(change, origin.feed, &cx.feeds) {
            cx.stats.events.late_frames.increment();
            return;
        }
        cx.stats.events.other_feed_changes.increment();
        if change.last_in_frame {
            self.weigh_copy(origin.feed, cx);
        }
    }

    /// Another feed's copy has come to a state of its own: it may be shown.
    fn weigh_copy(&mut self, feed: FeedId, cx: &mut Context) {
        let Some(progress) = self.standbys.progress(feed, &self.shown) else {
            return;
        };
        if cx.feeds.closed(feed).is_some() {
            return;
        }
        if progress == Progress::Level && self.standbys.compare(feed, &self.shown) {
            cx.stats.events.other_feed_wrong.increment();
            cx.resyncs.push((Some(feed), self.key, StaleReason::Hash));
            self.standby_lost(cx);
        }
        if self.trust.is_stale() && !self.standbys.is_past_all(feed, self.trust.goal()) {
            return;
        }
        self.show_if_wanted(feed, progress, cx);
    }

    /// Shows another feed's copy if it is wanted, and as far verified as it has to be.
    fn show_if_wanted(&mut self, feed: FeedId, progress: Progress, cx: &mut Context) -> bool {
        let is_detached = self.standbys.failover().is_some();
        let want = self.trust.want(progress, is_detached);
        let is_wanted = want != Want::No;
        let verification = is_wanted.then(|| self.verify_copy(feed, cx));
        match (verification, want) {
            (Some(verification @ Verification::Proven), _)
            | (Some(verification @ Verification::Unknown), Want::Unrefuted) => {
                self.show_copy(feed, verification, cx);
                true
            }
            (None | Some(Verification::Refuted | Verification::Unknown), _) => false,
        }
    }

    /// What its own hash says of another feed's copy.
    fn verify_copy(&mut self, feed: FeedId, cx: &mut Context) -> Verification {
        match self.standbys.get(feed) {
            Some(copy) => self.checks.verify(copy, &mut cx.checker),
            None => Verification::Refuted,
        }
    }

    /// Shows another feed's copy from now on.
    fn show_copy(&mut self, feed: FeedId, verification: Verification, cx: &mut Context) {
        let (Some(mut copy), Some(ours)) = (self.standbys.take(feed), self.shown.copy()) else {
            return;
        };
        let is_proven = verification == Verification::Proven;
        if is_proven {
            copy.prove();
        }
        copy.settle_difference();
        let is_ahead = copy.newest() > ours.newest();
        let was_live = self.trust.is_kept_whole();
        let was_suspect = self.trust.suspect_levels().is_some();
        cx.stats.events.first_arrivals.increment();
        let epoch = self.take_in_quietly(Input::OtherCopy { is_ahead }, cx);
        // A copy that is only as far brings nothing that has just been received.
        let received = is_ahead.then(|| cx.checker.now.into());
        let old = self
            .shown
            .adopt(self.key, copy, epoch, received, &mut cx.log);
        self.checks.levels_replaced();
        let was_detached = self.standbys.end_failover().is_some();
        if let Some(mut old) = old
            && !was_detached
            && cx.feeds.closed(old.feed()).is_none()
        {
            if was_live {
                if was_suspect && !old.is_proven() {
                    old.note_difference();
                }
                self.standbys.keep(old, &cx.feeds);
            } else {
                // It was wrong, or has a hole: no other book may be shown from it.
                let wrong = (Some(old.feed()), self.key, StaleReason::Hash);
                cx.resyncs.push(wrong);
            }
        }
        self.watch_crossing(cx);
        if is_proven {
            self.checks.replaced_by_proven(cx.checker.now);
            self.note_state(cx);
        } else {
            self.check_levels(Stage::Frame, cx);
        }
    }

    /// The feed of the shown book is gone, or has lost something. Whether another
    /// keeps the book live: its copy is shown, now or once it has come as far.
    fn fail_over(&mut self, reason: StaleReason, cx: &mut Context) -> bool {
        if !self.trust.is_kept_whole() || !self.standbys.is_kept(&cx.feeds, |_| None) {
            return false;
        }
        self.shown.detach();
        self.standbys.begin_failover(Failover {
            since: cx.checker.now,
            reason,
        });
        self.watch(cx);
        for feed in self.standbys.candidates(&cx.feeds).into_iter().flatten() {
            let progress = self.standbys.progress(feed, &self.shown);
            if progress.is_some_and(|progress| self.show_if_wanted(feed, progress, cx)) {
                break;
            }
        }
        true
    }

    /// A copy is gone that may have been what kept the book.
    fn standby_lost(&mut self, cx: &mut Context) {
        if let Some(failover) = self.standbys.failover()
            && !self.standbys.is_kept(&cx.feeds, |_| None)
        {
            self.lose(failover.reason, cx);
        }
    }

    /// Nobody keeps the book any more.
    fn lose(&mut self, reason: StaleReason, cx: &mut Context) {
        self.standbys.end_failover();
        self.take_in(Input::Lost(reason), cx);
        self.ask(reason, cx);
    }

    /// The shown book is wrong. Whether another feed's copy is proven and as far.
    fn heal_by_copy(&mut self, reason: StaleReason, cx: &mut Context) -> bool {
        let Some(wrong) = self.shown.feed() else {
            return false;
        };
        let is_detached = self.standbys.failover().is_some();
        // A book that is right and behind is not healed by another copy of it.
        if reason == StaleReason::Silent {
            return false;
        }
        for feed in self.standbys.candidates(&cx.feeds).into_iter().flatten() {
            let fits = match self.standbys.progress(feed, &self.shown) {
                Some(Progress::Ahead) => true,
                Some(Progress::Level) => !is_of_missing_change(reason),
                Some(Progress::Behind) | None => false,
            };
            if fits && self.verify_copy(feed, cx) == Verification::Proven {
                cx.stats.events.healed_by_other_feed.increment();
                self.show_copy(feed, Verification::Proven, cx);
                self.standbys.take(wrong);
                if !is_detached {
                    cx.resyncs.push((Some(wrong), self.key, reason));
                }
                return true;
            }
        }
        false
    }

    // ---- losses -------------------------------------------------------------

    /// The book is stale until a whole book of a later batch. Others ask for that;
    /// it is asked for again if it does not come.
    pub(crate) fn mark(&mut self, mark: StalenessMark, cx: &mut Context) {
        if !self.standbys.mark(mark, self.shown.feed()) || self.trust.is_settled() {
            return;
        }
        let is_older = self
            .shown
            .copy()
            .is_none_or(|ours| ours.batch() < mark.number);
        if !is_older {
            self.standby_lost(cx);
        } else if !self.fail_over(mark.reason, cx) {
            self.take_in(Input::Lost(mark.reason), cx);
            self.retry_later(cx);
        }
    }

    /// Something was lost on a feed: its copy is not to be trusted until a whole book
    /// of its own, of a later batch. What others have sent is not concerned.
    pub(crate) fn mark_feed(&mut self, feed: FeedId, mark: StalenessMark, cx: &mut Context) {
        let Some(ours) = self.shown.copy() else {
            // No feed has sent it yet: whichever whole book comes first must be younger.
            self.mark(mark, cx);
            return;
        };
        let is_shown = ours.feed() == feed && ours.batch() < mark.number;
        self.standbys.note_gap(feed, mark, &cx.feeds);
        if !is_shown {
            self.standby_lost(cx);
        } else if self.fail_over(mark.reason, cx) {
            cx.stats.events.losses_covered.increment();
        } else if !self.trust.is_settled() {
            self.take_in(Input::Lost(mark.reason), cx);
            self.retry_later(cx);
        }
    }

    /// A feed closed.
    pub(crate) fn close_feed(&mut self, feed: FeedId, reason: StaleReason, cx: &mut Context) {
        if self.shown.feed() == Some(feed) && !self.trust.is_settled() {
            if self.fail_over(reason, cx) {
                cx.stats.events.closings_covered.increment();
            } else {
                self.take_in(Input::Lost(reason), cx);
            }
        }
        if self.standbys.close(feed) {
            self.standby_lost(cx);
        }
    }

    /// The market has ended.
    pub(crate) fn settle(&mut self, cx: &mut Context) {
        self.take_in(Input::MarketEnded, cx);
        self.standbys.clear();
        self.checks.forget_expected();
    }

    /// The thread that wrote the book died: what it left may be half a change, and
    /// whatever it was to do later is forgotten.
    pub(crate) fn worker_died(&mut self, mark: StalenessMark, cx: &mut Context) {
        self.standbys.mark(mark, None);
        self.standbys.clear();
        self.checks.forget();
        (self.is_watched, self.is_retry_planned) = (false, false);
        self.take_in(Input::WorkerDied, cx);
        if self.trust.is_settled() {
            self.shown.begin_epoch(self.key, &mut cx.log);
        } else {
            self.retry_later(cx);
        }
    }

    // ---- what else is said --------------------------------------------------

    /// A trade of this market was announced.
    pub(crate) fn trade(&mut self, trade: &Trade) {
        self.checks.trade(trade);
    }

    /// The market's other token was hashed with this last trade price.
    pub(crate) fn add_candidate(&mut self, price: DecimalText) {
        self.checks.add_candidate(price);
    }

    /// The price grid changes. A finer one leaves every level where it is.
    pub(crate) fn change_tick(&mut self, event: &TickSizeChange, cx: &mut Context) {
        if self.checks.change_tick(event) {
            self.refute(StaleReason::Tick, cx);
        }
    }

    /// The venue stated the best prices apart from the changes. They run ahead of the
    /// changes that they reflect, so that only what lasts is evidence.
    pub(crate) fn best_prices(&mut self, event: &BestBidAsk, cx: &mut Context) {
        if self.trust.is_kept_whole()
            && let Some(ours) = self.shown.copy()
            && self.checks.best_prices(ours, event, cx.checker.now)
        {
            self.take_in(Input::Contradicted(Cause::Top), cx);
        }
    }

    /// Compares a fetched book with ours. A stale one only learns how far it has to
    /// come.
    pub(crate) fn audit(&mut self, event: &BookEvent, cx: &mut Context) {
        let verdict = self
            .checks
            .audit(event, &self.shown, &self.trust, &cx.checker);
        match verdict {
            Verdict::NotApplicable => cx.stats.integrity.audit.not_applicable.increment(),
            Verdict::Passed => cx.stats.integrity.audit.passed.increment(),
            Verdict::Proven => {
                cx.stats.integrity.audit.passed.increment();
                self.conclude(Outcome::Proven, cx);
                self.note_state(cx);
            }
            // Part of a batch is missing, and known to be.
            Verdict::Differs if self.trust.has(Cause::Hash) || self.trust.has(Cause::Return) => {
                cx.stats.integrity.audit.not_applicable.increment();
            }
            Verdict::Differs | Verdict::NeverReached => {
                cx.stats.integrity.audit.failed.increment();
                self.refute(StaleReason::Audit, cx);
            }
            Verdict::Leads => {
                cx.stats.integrity.audit.leading.increment();
                self.take_in(Input::Contradicted(Cause::Behind), cx);
            }
        }
    }

    // ---- checks -------------------------------------------------------------

    /// Checks the levels that are shown. Those of a book that is catching up, too: they
    /// are the venue's own.
    fn check_levels(&mut self, stage: Stage, cx: &mut Context) {
        let outcome = self.check_hash(stage, cx);
        self.conclude(outcome, cx);
        self.note_state(cx);
    }

    /// Checks a book after a frame's last change, as far as its state asks for.
    fn check_change(&mut self, change: &PriceChange, cx: &mut Context) {
        let Some(ours) = self.shown.copy() else {
            return;
        };
        match self.trust.check() {
            Check::Full => {
                let (top, outcome) = self.checks.frame(ours, change, &mut cx.checker);
                self.conclude_change(top, outcome, cx);
            }
            // Whether a book that we found wrong is right by now.
            Check::Proof => {
                let is_open = cx.feeds.closed(ours.feed()).is_none();
                if is_open && self.checks.reproves(ours, &mut cx.checker) {
                    self.conclude(Outcome::Proven, cx);
                }
            }
            Check::Nothing => {}
        }
        self.note_state(cx);
    }

    fn check_hash(&mut self, stage: Stage, cx: &mut Context) -> Outcome {
        match self.shown.copy() {
            Some(ours) => self.checks.levels(ours, stage, &mut cx.checker),
            None => Outcome::NotApplicable,
        }
    }

    /// Before anything follows from a failure: a change that was left out as a duplicate
    /// may have been none.
    fn reconsider(&mut self, outcome: Outcome, cx: &mut Context) -> Outcome {
        match outcome {
            Outcome::Open | Outcome::Reopened if self.try_left_out(Tried::All, cx) => {
                Outcome::Proven
            }
            outcome => outcome,
        }
    }

    /// Takes in what both checks of a change have found.
    fn conclude_change(&mut self, top: Finding, mut outcome: Outcome, cx: &mut Context) {
        outcome = self.reconsider(outcome, cx);
        self.conclude(outcome, cx);
        // A top that disagrees with a book that is proven was stated wrongly; and one
        // that disagrees with a diverged book says nothing of what is shown instead.
        if !matches!(outcome, Outcome::Proven | Outcome::Diverged) {
            match top {
                Finding::Disagrees => self.take_in(Input::Contradicted(Cause::Top), cx),
                Finding::Agrees => self.take_in(Input::Cleared(Cause::Top), cx),
                Finding::Unstated => {}
            }
        }
    }

    /// Takes in what the hash has shown.
    fn conclude(&mut self, outcome: Outcome, cx: &mut Context) {
        match outcome {
            Outcome::Proven => {
                self.shown.prove();
                self.checks.levels_proven();
                self.take_in(Input::Proven, cx);
            }
            Outcome::Diverged => self.refute(StaleReason::Hash, cx),
            Outcome::Open => self.take_in(Input::Contradicted(Cause::Hash), cx),
            Outcome::Reopened => {
                // It was right at the state before: what contradicts it begins now.
                self.take_in(Input::Proven, cx);
                self.take_in(Input::Contradicted(Cause::Hash), cx);
            }
            Outcome::Skipped => self.watch(cx),
            Outcome::NotApplicable => {}
        }
    }

    /// What contradicts the book stands.
    fn refute(&mut self, reason: StaleReason, cx: &mut Context) {
        if self.trust.is_kept_whole() && self.heal_by_copy(reason, cx) {
            return;
        }
        self.take_in(Input::Refuted(reason), cx);
    }

    /// The book has come to a state: remembered, and perhaps the expected one.
    fn note_state(&mut self, cx: &mut Context) {
        self.shown.note_state();
        let Some(copy) = self.shown.copy().filter(|_| self.checks.is_expecting()) else {
            return;
        };
        match self.checks.reached(copy, &self.trust, &cx.checker) {
            Expectation::Open => {}
            Expectation::Reached => {
                cx.stats.integrity.audit.passed.increment();
                self.forget_expected(cx);
            }
            Expectation::Missed => {
                cx.stats.integrity.audit.failed.increment();
                self.forget_expected(cx);
                self.refute(StaleReason::Audit, cx);
            }
        }
    }

    fn forget_expected(&mut self, cx: &mut Context) {
        self.checks.forget_expected();
        self.take_in(Input::Cleared(Cause::Behind), cx);
    }

    /// The book has been brought as far as its newest change.
    fn reached(&mut self, cx: &mut Context) {
        let Some(ours) = self.shown.copy().filter(|_| self.trust.is_stale()) else {
            return;
        };
        let mark = self.standbys.mark_on(ours.feed());
        let is_lifted = mark.is_none_or(|mark| mark.number < ours.batch());
        if is_lifted && cx.feeds.closed(ours.feed()).is_none() {
            self.take_in(Input::Reached(ours.newest()), cx);
        }
    }

    /// Notes when the book became crossed or locked, and when it came apart.
    fn watch_crossing(&mut self, cx: &mut Context) {
        match (self.shown.is_crossed(), self.trust.has(Cause::Crossed)) {
            (true, false) => self.take_in(Input::Contradicted(Cause::Crossed), cx),
            (false, true) => {
                cx.stats.integrity.crossed.passed.increment();
                self.take_in(Input::Cleared(Cause::Crossed), cx);
            }
            (true, true) | (false, false) => {}
        }
    }

    // ---- the market's other token -------------------------------------------

    /// Whether nothing has to be considered of either of a market's tokens and both
    /// are at one time.
    #[inline]
    pub(crate) fn is_undisturbed_beside(&self, other: &Self) -> bool {
        self.trust.is_undisturbed()
            && other.trust.is_undisturbed()
            && self.is_at_one_time_with(other)
    }

    /// Whether this one and `other` are live and at the same exchange time.
    #[inline]
    pub(crate) fn is_at_one_time_with(&self, other: &Self) -> bool {
        let are_live = self.trust.is_kept_whole() && other.trust.is_kept_whole();
        match (self.shown.copy(), other.shown.copy()) {
            (Some(ours), Some(its)) => are_live && ours.newest() == its.newest(),
            (None, _) | (_, None) => false,
        }
    }

    /// Whether the book shows at `extent` what the market's other token does.
    ///
    /// The venue sends both tokens of an order in one message. So a level that
    /// this one was given is missing in the other one if the feed that gave it
    /// brings the other one, too; whatever else may be wrong with this one.
    pub(crate) fn mirrors(&self, other: &Self, extent: Extent) -> Mirrored {
        let (Some(ours), Some(its)) = (self.shown.copy(), other.shown.copy()) else {
            return Mirrored::NotApplicable;
        };
        if !other.trust.is_kept_whole() {
            return Mirrored::NotApplicable;
        }
        let is_live = self.trust.is_kept_whole();
        let agree = agrees(ours.levels(), its.levels(), extent);
        let elsewhere = other.standbys.get(ours.feed());
        let of_one_feed = ours.feed() == its.feed()
            || elsewhere.is_some_and(|copy| copy.newest() < ours.newest());
        let is_at_one_time = ours.newest() == its.newest();
        let leads = ours.newest() > its.newest() && of_one_feed;
        let is_whole = extent == Extent::Whole;
        match (agree, leads) {
            (true, false) if is_live && is_at_one_time => Mirrored::Agrees,
            (false, false) if is_live && is_at_one_time => Mirrored::Disagrees,
            // What one level shows at another time says nothing of the rest.
            (true, true) if is_live && ours.is_proven() && is_whole => Mirrored::Agrees,
            (false, true) if !is_whole || (is_live && ours.is_proven()) => Mirrored::OtherBehind,
            (true | false, true | false) => Mirrored::NotApplicable,
        }
    }

    /// Takes in how it compared. A book that its hash has proven is right, and
    /// the other one is wrong. Only the one that is behind learns that it is.
    pub(crate) fn compared(&mut self, mirrored: Mirrored, cx: &mut Context) {
        match mirrored {
            Mirrored::Agrees => self.take_in(Input::Cleared(Cause::Mirror), cx),
            Mirrored::Disagrees => {
                self.checks.force_next();
                self.check_late(cx);
                if self.shown.copy().is_some() && !self.shown.is_proven() {
                    self.take_in(Input::Contradicted(Cause::Mirror), cx);
                }
            }
            // Whatever its hash says of the time it has come to.
            Mirrored::OtherBehind => self.take_in(Input::Contradicted(Cause::Mirror), cx),
            Mirrored::NotApplicable => {}
        }
    }

    /// Whether the other token speaks against it.
    pub(crate) fn is_contradicted_by_mirror(&self) -> bool {
        self.trust.has(Cause::Mirror)
    }

    // ---- time ---------------------------------------------------------------

    /// Time has passed. Whether it is to be looked at again.
    pub(crate) fn look(&mut self, cx: &mut Context) -> bool {
        let now = cx.checker.now;
        if let Some(failover) = self.standbys.failover().filter(|one| one.is_overdue(now)) {
            self.lose(failover.reason, cx);
        }
        // First what may prove it.
        self.check_late(cx);
        let overdue = self.trust.overdue(&cx.checker.config, now);
        if overdue.crossed && !self.shown.is_proven() {
            cx.stats.integrity.crossed.failed.increment();
            self.take_in(Input::Cleared(Cause::Crossed), cx);
            self.refute(StaleReason::Crossed, cx);
        }
        if let Some((cause, lasted)) = self.trust.overdue(&cx.checker.config, now).suspect {
            self.decide(cause, lasted, cx);
        }
        if self.trust.is_kept_whole() && self.checks.is_audit_overdue(&cx.checker) {
            cx.stats.integrity.audit.failed.increment();
            self.forget_expected(cx);
            self.refute(StaleReason::Silent, cx);
        }
        self.is_watched = self.trust.is_watched()
            || self.standbys.failover().is_some()
            || self.checks.is_expecting()
            || (self.trust.is_kept_whole() && self.checks.hash().is_unchecked());
        self.is_watched
    }

    /// Makes a check that had been left out, once there is time for it.
    fn check_late(&mut self, cx: &mut Context) {
        if self.trust.is_kept_whole() && self.checks.hash().is_unchecked() {
            let stage = if self.trust.has(Cause::Top) {
                Stage::Unfinished
            } else {
                Stage::Frame
            };
            self.check_levels(stage, cx);
        }
    }

    /// What contradicts the levels has lasted: it stands, unless a search finds them
    /// right, or cannot be afforded.
    fn decide(&mut self, cause: Cause, lasted: Duration, cx: &mut Context) {
        let outcome = match self.shown.copy() {
            Some(ours) => self.checks.decide(cause, ours, &mut cx.checker),
            None => Outcome::Diverged,
        };
        let is_given_up = lasted >= cx.checker.config.doubt_patience * SEARCH_PATIENCE;
        match outcome {
            Outcome::Proven => {
                self.conclude(outcome, cx);
                self.note_state(cx);
            }
            Outcome::Diverged => self.refute(cause.reason(), cx),
            Outcome::Open if is_given_up => self.refute(cause.reason(), cx),
            Outcome::Open | Outcome::Reopened | Outcome::NotApplicable | Outcome::Skipped => {}
        }
    }

    /// The time has come to see whether it is still stale.
    pub(crate) fn retry(&mut self, cx: &mut Context) {
        self.is_retry_planned = false;
        match self.state() {
            BookState::Stale(reason) if self.trust.is_stale() => self.ask(reason, cx),
            // Its first whole book was lost.
            BookState::Pending => {
                if let Some(reason) = self.standbys.marked_for() {
                    self.ask(reason, cx);
                }
            }
            BookState::Stale(_) | BookState::Live | BookState::Settled => {}
        }
    }

    /// Asks for a whole book, and again if the book stays stale.
    fn ask(&mut self, reason: StaleReason, cx: &mut Context) {
        cx.stats.events.resyncs_requested.increment();
        cx.resyncs.push((None, self.key, reason));
        self.retry_later(cx);
    }

    fn retry_later(&mut self, cx: &mut Context) {
        if !self.is_retry_planned {
            self.is_retry_planned = true;
            cx.retries.push((cx.checker.now + RETRY, self.key));
        }
    }

    fn watch(&mut self, cx: &mut Context) {
        if !self.is_watched {
            self.is_watched = true;
            cx.watched.push(self.key);
        }
    }

    // ---- trust --------------------------------------------------------------

    /// Takes an input to [`Trust`], and does what follows.
    fn take_in(&mut self, input: Input, cx: &mut Context) {
        if self.take_in_quietly(input, cx) == Epoch::New {
            self.shown.begin_epoch(self.key, &mut cx.log);
        }
    }

    /// The same for an input that comes with other levels, which begin the epoch.
    #[must_use]
    fn take_in_quietly(&mut self, input: Input, cx: &mut Context) -> Epoch {
        let Effects {
            new_epoch,
            went_stale,
            ask,
            watch,
        } = self.trust.on(input, cx.checker.now);
        if went_stale {
            cx.stats.events.went_stale.increment();
            self.standbys.end_failover();
            self.checks.levels_replaced();
        }
        if new_epoch && let Some(feed) = self.shown.feed() {
            // Its changes are not kept for a whole book any more.
            self.standbys.forget_early(feed);
        }
        if let Some(reason) = ask {
            self.ask(reason, cx);
        }
        if watch {
            self.watch(cx);
        }
        if new_epoch { Epoch::New } else { Epoch::Same }
    }

    // ---- prefetching ----------------------------------------------------------

    /// Reads what a change will read, so that it is in the cache by then: a caller
    /// that knows some changes ahead has the waiting for several slots overlap. What
    /// it returns means nothing and keeps the compiler from leaving the reading out.
    #[inline]
    pub(crate) fn prefetch(&self) -> u64 {
        self.shown.prefetch() | u64::from(self.trust.is_undisturbed())
    }

    /// The same for what the slot only points to. Some slots later than
    /// [`Self::prefetch`], or it waits for that.
    #[inline]
    pub(crate) fn prefetch_further(&self, change: &PriceChange) -> u64 {
        self.shown.prefetch_further(change)
    }
}

/// Counts a change that was left out; whether it is older than the whole book.
fn count_duplicate(is_before: bool, cx: &Context) {
    let events = &cx.stats.events;
    if is_before {
        events.stale_deltas_skipped.increment();
    } else {
        events.duplicates.increment();
    }
}

/// Whether a best price is stated, and is this one. A book with a side that
/// nothing is stated of is not for the fast path.
#[inline]
fn states(stated: Top, best: Option<Price>) -> bool {
    match stated {
        Top::At(price) => best == Some(price),
        Top::Empty => best.is_none(),
        Top::Unstated => false,
    }
}

#[cfg(test)]
thread_local! {
    /// Has everything that this thread applies take the slow path.
    pub(super) static FAST_PATH_FORBIDDEN: std::cell::Cell<bool> =
        const { std::cell::Cell::new(false) };
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;
    use crate::book::trust::READ_BYTES;

    #[test]
    fn a_slot_is_small_enough_for_every_token_of_the_venue() {
        let size = size_of::<BookSlot>();
        assert!(size <= 640, "{size} bytes");
        // With 30 levels a side, room for four more, and what an allocator adds.
        let levels = (2 * 30 + 4) * polypy_core::book::LEVEL_BYTES;
        let all = size + FeedBook::COLD_BYTES + levels + 3 * 16;
        assert!(all <= 1_200, "{all} bytes");
    }

    #[test]
    fn what_a_change_reads_stands_in_three_cache_lines() {
        let end = offset_of!(BookSlot, trust) + READ_BYTES;
        assert_eq!(offset_of!(BookSlot, shown), 0);
        assert!(end <= 3 * 64, "ends at {end}");
        assert_eq!(align_of::<BookSlot>(), 64);
    }
}
