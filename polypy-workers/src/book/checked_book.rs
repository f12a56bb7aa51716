//! The book that is shown, with what speaks for it and against it.
//!
//! It brings [`Shown`], [`Checks`] and [`Trust`] together: a change is applied, then
//! checked, and what the checks find is an input to `Trust`. It knows one copy. Where
//! a check leaves no way out, the methods return why the book is [`Refuted`], and
//! the slot, which knows the other copies, sees to that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use polypy_core::{
    AssetKey, BestBidAsk, BookChange, BookEvent, BookHash, BookPosition, BookState, BookStatus,
    BookTop, BookView, Checkpoint, DecimalText, FeedId, PriceChange, Side, StaleReason,
    StatusChange, TickSizeChange, Trade, TradeKept, WholeBook,
};

use super::checks::{Checks, Verification};
use super::feed_book::{FeedBook, Tried};
use super::shown::{Epoch, Shown};
use super::state_timer::StateTimer;
use super::trust::{Cause, Effects, Input, Trust};
use super::{Context, Origin};
use crate::compact_instant::CompactInstant;
use crate::integrity::{Expectation, Finding, Ours, Outcome, Stage, Verdict};
use crate::stats::WorkerStats;

/// Between two looks at a stale book that was asked for: how long a subscription takes
/// to answer on a bad day. How often it is really fetched is for the pool to say.
const RETRY: Duration = Duration::from_secs(5);
/// How much longer than usual a book may be suspect for want of an affordable search.
const SEARCH_PATIENCE: u32 = 5;

/// Why the book is wrong, as far as its own checks can say; the slot sees to that.
pub(crate) type Refuted = Option<StaleReason>;

/// What readers see of a book, as far as the worker knows, apart from its levels and
/// what came with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) state: BookState,
    pub(crate) verified: Option<bool>,
    pub(crate) tick_size: Option<DecimalText>,
    /// Something speaks against it, and it is not decided whether it is wrong. Nothing
    /// that readers are told: they see the reason.
    pub(crate) is_suspect: bool,
    /// Then the state depends on the copies of other feeds, too.
    pub(crate) is_detached: bool,
}

impl Seen {
    /// Whether it is live and its hash came out at the last check.
    pub(crate) fn is_verified(&self) -> bool {
        self.state == BookState::Live && self.verified == Some(true)
    }
}

/// Down to the head of `trust` stands what nearly every change reads, in three cache
/// lines; a test holds that. A hash that is checked reads `checks` besides, and costs
/// a hundred times as much.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct CheckedBook {
    shown: Shown,
    key: AssetKey,
    /// The market's other token.
    complement: Option<AssetKey>,
    trust: Trust,
    checks: Checks,
    timer: StateTimer,
    /// Whether the partition will look at it when time has passed.
    is_watched: bool,
    /// Whether the partition will see whether it is still stale.
    is_retry_planned: bool,
    /// Grows with what readers see that sets no level. Wraps around.
    revision: u32,
}

impl CheckedBook {
    pub(crate) fn new(key: AssetKey, now: Instant) -> Self {
        Self {
            shown: Shown::new(now),
            key,
            complement: None,
            trust: Trust::new(),
            checks: Checks::default(),
            timer: StateTimer::new(now),
            is_watched: false,
            is_retry_planned: false,
            revision: 0,
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

    #[inline]
    pub(crate) fn shown(&self) -> &Shown {
        &self.shown
    }

    #[inline]
    pub(crate) fn copy(&self) -> Option<&FeedBook> {
        self.shown.copy()
    }

    #[inline]
    pub(crate) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The state that readers see, as far as the worker knows.
    #[inline]
    pub(crate) fn state(&self) -> BookState {
        self.trust.state()
    }

    /// The last trade price that hashes are made with, as far as it is known.
    #[cfg(test)]
    pub(crate) fn hashed_price(&self) -> Option<DecimalText> {
        self.checks.hash().last_trade_price()
    }

    /// What readers see, in this state, but for its last trade, which is not the
    /// book's; `None` before any whole book.
    pub(crate) fn view(&self, depth: usize, state: BookState, now: Instant) -> Option<BookView> {
        let (copy, info) = (self.copy()?, self.checks.info()?);
        let (levels, hash) = (copy.levels(), self.checks.hash());
        Some(BookView {
            asset_id: info.asset_id.clone(),
            state,
            position: self.position(),
            key_life: self.key.life(),
            bids: levels.levels(Side::Bid).take(depth).collect(),
            asks: levels.levels(Side::Ask).take(depth).collect(),
            bid_levels: levels.depth(Side::Bid),
            ask_levels: levels.depth(Side::Ask),
            spread: levels.spread(),
            mid_price: levels.mid(),
            imbalance: levels.imbalance(depth),
            last_update: copy.newest(),
            at: now,
            received: self.shown.age(now),
            lasted: self.timer.lasted(state, self.state(), now),
            tick_size: hash.tick_size(),
            last_trade: None,
            hash: copy.hash(),
            hash_verified: hash.last(),
            verified_ago: hash.proven_ago(now),
            feed: self.shown.feed().filter(|feed| *feed != FeedId::default()),
            history: self.shown.history().collect(),
        })
    }

    /// The top that readers see, in this state; `None` before any whole book.
    pub(crate) fn top(&self, state: BookState) -> Option<BookTop> {
        let copy = self.copy()?;
        let levels = copy.levels();
        Some(BookTop {
            asset: self.key,
            bid: levels.best_bid(),
            ask: levels.best_ask(),
            state,
            verified: self.checks.hash().last(),
            position: self.position(),
            last_update: copy.newest(),
        })
    }

    /// What readers see apart from the levels.
    #[inline]
    pub(crate) fn seen(&self) -> Seen {
        let (hash, state) = (self.checks.hash(), self.state());
        Seen {
            state,
            verified: hash.last(),
            tick_size: hash.tick_size(),
            is_suspect: state != BookState::Live && self.trust.is_kept_whole(),
            is_detached: self.trust.detached().is_some(),
        }
    }

    /// What readers see may have changed since it was `before`.
    pub(crate) fn note_seen(&mut self, before: Seen, cx: &mut Context) {
        let after = self.seen();
        let before = Seen {
            is_suspect: after.is_suspect,
            ..before
        };
        let is_other = after != before;
        if self.shown.is_followed() && (is_other || after.is_detached) {
            cx.log.published_mut().touch(self.key);
        }
        if is_other {
            self.timer
                .note(before.state, &self.trust, &cx.stats, cx.checker.now);
            self.revise();
        }
    }

    /// Something has changed that readers see and that set no level.
    #[inline]
    pub(crate) fn revise(&mut self) {
        self.revision = self.revision.wrapping_add(1);
    }

    // ---- who follows it -----------------------------------------------------

    /// From now on somebody follows the book. The whole of it is written at the end of
    /// what is being done, also if somebody did already.
    pub(crate) fn follow(&mut self, cx: &mut Context) {
        self.shown.follow(self.key, &mut cx.log);
    }

    /// Nobody does any more.
    pub(crate) fn unfollow(&mut self, cx: &mut Context) {
        self.shown.unfollow(self.key, &mut cx.log);
    }

    /// Where it stands.
    pub(crate) fn position(&self) -> BookPosition {
        BookPosition {
            epoch: self.shown.epoch(),
            sequence: self.shown.sequence(),
            revision: self.revision,
        }
    }

    /// What readers see of it as far as the worker knows.
    pub(crate) fn status(&self) -> BookStatus {
        let seen = self.seen();
        BookStatus {
            state: seen.state,
            verified: seen.verified,
            tick_size: seen.tick_size,
            since: self.timer.since(),
        }
    }

    /// Writes what is due to those who follow it, who see it with this status: the whole
    /// book, or the status if that is another one.
    pub(crate) fn write(&mut self, status: BookStatus, cx: &mut Context) {
        if !self.shown.is_followed() {
            return;
        }
        let is_whole_due = self.shown.take_whole_due();
        let published = cx.log.published_mut();
        let whole = is_whole_due.then(|| self.whole(status)).flatten();
        match whole {
            Some(whole) => published.whole(whole),
            None => {
                let change = StatusChange {
                    asset: self.key,
                    position: self.position(),
                    status,
                };
                published.status(change, is_whole_due);
            }
        }
    }

    /// Writes a trade of it to those who follow it.
    pub(crate) fn write_trade(&self, trade: TradeKept, cx: &mut Context) {
        if self.shown.is_followed() {
            let published = cx.log.published_mut();
            published.write(BookChange::Trade(Box::new(trade)));
        }
    }

    /// All of it; `None` before any whole book.
    fn whole(&self, status: BookStatus) -> Option<WholeBook> {
        let (copy, info) = (self.copy()?, self.checks.info()?);
        Some(WholeBook {
            info: Arc::clone(info),
            book: copy.levels().clone(),
            position: self.position(),
            status,
            hash: copy.hash(),
            at: copy.newest(),
            received: self.shown.received(),
        })
    }

    /// The same with what its hashes are made of.
    pub(crate) fn checkpoint(&self, status: BookStatus) -> Option<Checkpoint> {
        let whole = self.whole(status)?;
        Some(self.checks.hash().checkpoint(whole))
    }

    /// What the checks of other sources compare with.
    pub(crate) fn ours(&self) -> Option<Ours<'_>> {
        self.copy()
            .map(|copy| ours(copy, &self.trust, &self.checks))
    }

    // ---- another book is shown ----------------------------------------------

    /// Takes over what a whole book that is to be shown says besides its levels.
    pub(crate) fn take_attributes(&mut self, event: &BookEvent) {
        self.checks.take(event);
        self.complement = event.info.complement;
    }

    /// Shows a whole book, which cannot be trusted if it is `void`; the copy before.
    pub(crate) fn show_whole(
        &mut self,
        copy: FeedBook,
        void: Option<StaleReason>,
        origin: Origin,
        cx: &mut Context,
    ) -> Option<FeedBook> {
        let shown = self.copy().map(FeedBook::newest);
        let goal =
            shown.and_then(|shown| self.trust.goal_beyond(copy.newest(), shown, cx.checker.now));
        let input = match (void, goal) {
            (Some(reason), goal) => Input::WholeVoid { reason, goal },
            (None, Some(goal)) => Input::WholeBehind { goal },
            (None, None) => Input::Whole,
        };
        let old = self.show(copy, input, Some(origin.received), cx);
        if old.as_ref().is_some_and(|old| old.feed() != origin.feed) {
            self.checks
                .audit_check_mut()
                .expect_of_another_feed(cx.checker.now);
            cx.stats.events.takeovers.increment();
        }
        if self.trust.is_stale() && origin.closed.is_none() {
            self.retry_later(cx);
        }
        old
    }

    /// Shows another feed's copy; the one before.
    pub(crate) fn show_copy(&mut self, copy: FeedBook, cx: &mut Context) -> Option<FeedBook> {
        cx.stats.events.first_arrivals.increment();
        let newest = self.copy().map(FeedBook::newest);
        let is_ahead = newest.is_some_and(|ours| copy.newest() > ours);
        // One that is only as far brings nothing that has just been received.
        let received = is_ahead.then(|| cx.checker.now.into());
        let old = self.show(copy, Input::OtherCopy { is_ahead }, received, cx);
        self.checks.levels_replaced();
        old
    }

    /// `received`: when it reached us, if just now.
    fn show(
        &mut self,
        copy: FeedBook,
        input: Input,
        received: Option<CompactInstant>,
        cx: &mut Context,
    ) -> Option<FeedBook> {
        // Its time and its hash are others, whatever its levels.
        self.revise();
        // First what follows, then the levels: a new epoch is told as one change.
        let epoch = self.take_in_quietly(input, cx);
        self.shown
            .adopt(self.key, copy, epoch, received, &mut cx.log)
    }

    /// Checks a whole book that is shown from now on.
    #[must_use]
    pub(crate) fn check_whole(&mut self, cx: &mut Context) -> Refuted {
        self.watch_crossing(cx);
        self.check_levels(Stage::Whole, cx)
    }

    /// Checks another feed's copy that is shown from now on, unless it is proven already.
    #[must_use]
    pub(crate) fn check_copy(&mut self, is_proven: bool, cx: &mut Context) -> Refuted {
        self.watch_crossing(cx);
        if is_proven {
            self.checks.hash_mut().replaced_by_proven(cx.checker.now);
            self.note_state(cx)
        } else {
            self.check_levels(Stage::Frame, cx)
        }
    }

    /// What its own hash says of another feed's copy.
    pub(crate) fn verify(&mut self, copy: &FeedBook, cx: &mut Context) -> Verification {
        self.checks.verify(copy, &mut cx.checker)
    }

    /// The feed it is shown from speaks for it no longer, and another keeps it whole.
    pub(crate) fn detach(&mut self, reason: StaleReason, cx: &mut Context) {
        self.shown.detach();
        self.take_in(Input::Detached(reason), cx);
    }

    /// Nothing is to be done or expected any more: the thread that did it died.
    pub(crate) fn worker_died(&mut self, cx: &mut Context) {
        self.checks.forget();
        (self.is_watched, self.is_retry_planned) = (false, false);
        self.take_in(Input::WorkerDied, cx);
        if self.trust.is_settled() {
            self.shown.begin_epoch(self.key, &mut cx.log);
        }
        self.retry_later(cx);
    }

    /// Its market has ended.
    pub(crate) fn settle(&mut self, cx: &mut Context) {
        self.take_in(Input::MarketEnded, cx);
        self.checks.audit_check_mut().forget();
        self.checks.hash_mut().release(&cx.stats.integrity);
    }

    /// It is forgotten.
    pub(crate) fn release(&mut self, stats: &WorkerStats) {
        self.checks.hash_mut().release(&stats.integrity);
    }

    // ---- a change -----------------------------------------------------------

    /// Its levels, for what changes only them.
    #[inline]
    pub(super) fn shown_mut(&mut self) -> &mut Shown {
        &mut self.shown
    }

    /// Whether a hash waits for a change that has not come.
    pub(super) fn awaits_change(&self) -> bool {
        self.checks.hash().is_open()
    }

    /// Tries changes that were left out; whether the book is right with them.
    pub(super) fn try_left_out(&mut self, tried: Tried, cx: &mut Context) -> bool {
        let (checks, checker) = (&mut self.checks, &mut cx.checker);
        let is_right = self.shown.attempt(self.key, tried, &mut cx.log, |copy| {
            checks.proves_left_out(copy, tried, checker)
        });
        if is_right {
            self.revise();
        }
        is_right
    }

    // ---- checks -------------------------------------------------------------

    /// Checks a book after a frame's last change, as far as its state asks for.
    pub(super) fn check_change(&mut self, change: &PriceChange, cx: &mut Context) -> Refuted {
        let ours = self.shown.copy()?;
        if self.trust.is_kept_whole() {
            let (top, outcome) = self.checks.frame(ours, change, &mut cx.checker);
            return self.conclude(top, outcome, cx);
        }
        let is_open = cx.feeds.closed(ours.feed()).is_none();
        if self.trust.awaits_proof() && is_open && self.checks.reproves(ours, &mut cx.checker) {
            return self.conclude(Finding::Unstated, Outcome::Proven, cx);
        }
        self.note_state(cx)
    }

    /// Checks the levels that are shown. Those of a book that is catching up, too: they
    /// are the venue's own.
    fn check_levels(&mut self, stage: Stage, cx: &mut Context) -> Refuted {
        let outcome = self.check_hash(stage, cx);
        self.conclude(Finding::Unstated, outcome, cx)
    }

    pub(super) fn check_hash(&mut self, stage: Stage, cx: &mut Context) -> Outcome {
        match self.shown.copy() {
            Some(ours) => self.checks.levels(ours, stage, &mut cx.checker),
            None => Outcome::NotApplicable,
        }
    }

    /// Takes in what the checks of a state have found.
    pub(super) fn conclude(&mut self, top: Finding, found: Outcome, cx: &mut Context) -> Refuted {
        let outcome = match found {
            // Before anything follows from a failure: a change that was left out as a
            // duplicate may have been none.
            Outcome::Open | Outcome::Reopened if self.try_left_out(Tried::All, cx) => {
                Outcome::Proven
            }
            found => found,
        };
        match outcome {
            Outcome::Proven => {
                // With what had been left out the top may be the stated one.
                if top == Finding::Disagrees && found == Outcome::Proven {
                    cx.stats.integrity.top.refuted.increment();
                }
                self.shown.prove();
                self.checks.levels_proven();
                self.take_in(Input::Proven, cx);
            }
            Outcome::Diverged => {
                self.shown.note_state();
                return Some(StaleReason::Hash);
            }
            Outcome::Open => self.take_in(Input::Contradicted(Cause::Hash), cx),
            Outcome::Reopened => {
                // It was right at the state before: what contradicts it begins now.
                self.take_in(Input::Proven, cx);
                self.take_in(Input::Contradicted(Cause::Hash), cx);
            }
            Outcome::Skipped => self.watch(cx),
            Outcome::NotApplicable => {}
        }
        match top {
            // With a book that is proven it was stated wrongly.
            Finding::Disagrees if outcome != Outcome::Proven => {
                self.take_in(Input::Contradicted(Cause::Top), cx);
            }
            Finding::Agrees => self.take_in(Input::Cleared(Cause::Top), cx),
            Finding::Disagrees | Finding::Unstated => {}
        }
        self.note_state(cx)
    }

    /// The book has come to a state: remembered, and perhaps the expected one.
    fn note_state(&mut self, cx: &mut Context) -> Refuted {
        self.shown.note_state();
        if !self.checks.audit_check().is_expecting() {
            return None;
        }
        let copy = self.shown.copy()?;
        let ours = ours(copy, &self.trust, &self.checks);
        match self.checks.reached(copy, &ours, &cx.checker) {
            Expectation::Open => None,
            Expectation::Reached => {
                cx.stats.integrity.audit.passed.increment();
                self.forget_expected(cx);
                None
            }
            Expectation::Missed => Some(self.fail_audit(StaleReason::Audit, cx)),
        }
    }

    fn fail_audit(&mut self, reason: StaleReason, cx: &mut Context) -> StaleReason {
        cx.stats.integrity.audit.failed.increment();
        self.forget_expected(cx);
        reason
    }

    fn forget_expected(&mut self, cx: &mut Context) {
        self.checks.audit_check_mut().forget();
        self.take_in(Input::Cleared(Cause::Behind), cx);
    }

    /// Notes when the book became crossed or locked, and when it came apart.
    pub(super) fn watch_crossing(&mut self, cx: &mut Context) {
        match (self.shown.is_crossed(), self.trust.has(Cause::Crossed)) {
            (true, false) => self.take_in(Input::Contradicted(Cause::Crossed), cx),
            (false, true) => {
                cx.stats.integrity.crossed.passed.increment();
                self.take_in(Input::Cleared(Cause::Crossed), cx);
            }
            (true, true) | (false, false) => {}
        }
    }

    // ---- what other sources say ---------------------------------------------

    /// A trade of this market was announced.
    pub(crate) fn trade(&mut self, trade: &Trade) {
        self.checks.hash_mut().trade(trade);
    }

    /// The market's other token was hashed with this last trade price.
    pub(crate) fn add_candidate(&mut self, price: DecimalText) {
        self.checks.hash_mut().add_candidate(price);
    }

    /// The price grid changes. A finer one leaves every level where it is.
    #[must_use]
    pub(crate) fn change_tick(&mut self, event: &TickSizeChange) -> Refuted {
        self.checks.change_tick(event).then_some(StaleReason::Tick)
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

    /// Compares a book that was fetched, when it was `requested`, with ours. A stale one
    /// only learns how far it has to come.
    #[must_use]
    pub(crate) fn audit(
        &mut self,
        event: &BookEvent,
        requested: Instant,
        cx: &mut Context,
    ) -> Refuted {
        let is_outdated = self.trust.was_contradicted_after(requested);
        let awaited_change = self.awaits_change();
        let audit = &cx.stats.integrity.audit;
        let verdict = match self.shown.copy().filter(|_| !self.trust.is_settled()) {
            Some(copy) => {
                let ours = ours(copy, &self.trust, &self.checks);
                let was_in = |hash| self.shown.was_in(hash);
                self.checks.audit(event, &ours, was_in, &cx.checker)
            }
            None => Verdict::NotApplicable,
        };
        match verdict {
            Verdict::NotApplicable => audit.not_applicable.increment(),
            Verdict::Passed => audit.passed.increment(),
            // It may be the book of before that. Of its own state it still says that not
            // the levels are what is wrong with the hash.
            Verdict::Proven if is_outdated => {
                audit.passed.increment();
                if awaited_change {
                    self.take_in(Input::Cleared(Cause::Hash), cx);
                }
            }
            Verdict::Proven => {
                audit.passed.increment();
                return self.conclude(Finding::Unstated, Outcome::Proven, cx);
            }
            // Part of a batch is missing, and known to be.
            Verdict::Differs if self.trust.has(Cause::Hash) || self.trust.has(Cause::Return) => {
                audit.not_applicable.increment();
            }
            Verdict::Differs | Verdict::NeverReached => {
                audit.failed.increment();
                return Some(StaleReason::Audit);
            }
            Verdict::Leads => {
                audit.leading.increment();
                self.take_in(Input::Contradicted(Cause::Behind), cx);
            }
        }
        None
    }

    /// Whether this one and `other` are live and at the same exchange time.
    #[inline]
    pub(crate) fn is_at_one_time_with(&self, other: &Self) -> bool {
        let are_live = self.trust.is_kept_whole() && other.trust.is_kept_whole();
        match (self.copy(), other.copy()) {
            (Some(ours), Some(its)) => are_live && ours.newest() == its.newest(),
            (None, _) | (_, None) => false,
        }
    }

    /// The hash that its levels do not give, and the one that they do.
    pub(crate) fn open_hashes(&self) -> Option<(BookHash, BookHash)> {
        self.checks.hash().open_hashes()
    }

    /// Makes a check that was left out, whatever it costs: much depends on it.
    #[must_use]
    pub(crate) fn check_now(&mut self, cx: &mut Context) -> Refuted {
        self.checks.hash_mut().force_next_check();
        self.check_late(cx)
    }

    // ---- time ---------------------------------------------------------------

    /// Time has passed: makes checks that had been left out, and decides what has lasted.
    #[must_use]
    pub(crate) fn look(&mut self, cx: &mut Context) -> Refuted {
        // First what may prove it.
        self.check_late(cx)
            .or_else(|| self.decide_crossing(cx))
            .or_else(|| self.decide_levels(cx))
            .or_else(|| {
                let is_overdue =
                    self.trust.is_kept_whole() && self.checks.is_audit_overdue(&cx.checker);
                is_overdue.then(|| self.fail_audit(StaleReason::Silent, cx))
            })
    }

    /// Whether it is to be looked at again.
    pub(crate) fn watch_on(&mut self) -> bool {
        self.is_watched = self.trust.is_watched()
            || (self.trust.is_kept_whole() && self.checks.hash().is_unchecked());
        self.is_watched
    }

    /// Makes a check that had been left out, once there is time for it.
    fn check_late(&mut self, cx: &mut Context) -> Refuted {
        if !self.trust.is_kept_whole() || !self.checks.hash().is_unchecked() {
            return None;
        }
        let stage = if self.trust.has(Cause::Top) {
            Stage::Unfinished
        } else {
            Stage::Frame
        };
        self.check_levels(stage, cx)
    }

    /// It has been crossed for long: that stands, unless its hash proves it.
    fn decide_crossing(&mut self, cx: &mut Context) -> Refuted {
        let (config, now) = (&cx.checker.config, cx.checker.now);
        if !self.trust.is_crossed_for_long(config, now) || self.shown.is_proven() {
            return None;
        }
        cx.stats.integrity.crossed.failed.increment();
        self.take_in(Input::Cleared(Cause::Crossed), cx);
        Some(StaleReason::Crossed)
    }

    /// What contradicts the levels has lasted: it stands, unless a search finds them
    /// right, or cannot be afforded.
    fn decide_levels(&mut self, cx: &mut Context) -> Refuted {
        let (cause, lasted) = self.trust.overdue(&cx.checker.config, cx.checker.now)?;
        let ours = self.shown.copy()?;
        let is_given_up = lasted >= cx.checker.config.doubt_patience * SEARCH_PATIENCE;
        match self.checks.decide(cause, ours, &mut cx.checker) {
            Outcome::Proven => self.conclude(Finding::Unstated, Outcome::Proven, cx),
            Outcome::Diverged => Some(cause.reason()),
            Outcome::Open => is_given_up.then(|| cause.reason()),
            Outcome::Reopened | Outcome::NotApplicable | Outcome::Skipped => None,
        }
    }

    /// The time has come to see whether it is still stale.
    pub(crate) fn end_retry(&mut self) {
        self.is_retry_planned = false;
    }

    /// Asks for a whole book, and again if the book stays stale.
    pub(crate) fn ask(&mut self, reason: StaleReason, cx: &mut Context) {
        cx.stats.events.resyncs_requested.increment();
        cx.resyncs.push((None, self.key, reason));
        self.retry_later(cx);
    }

    pub(crate) fn retry_later(&mut self, cx: &mut Context) {
        if !self.is_retry_planned && !self.trust.is_settled() {
            self.is_retry_planned = true;
            cx.retries.push((cx.checker.now + RETRY, self.key));
        }
    }

    pub(super) fn watch(&mut self, cx: &mut Context) {
        if !self.is_watched {
            self.is_watched = true;
            cx.watched.push(self.key);
        }
    }

    // ---- trust --------------------------------------------------------------

    /// Takes an input to [`Trust`], and does what follows.
    pub(super) fn take_in(&mut self, input: Input, cx: &mut Context) {
        if self.take_in_quietly(input, cx) == Epoch::New {
            self.shown.begin_epoch(self.key, &mut cx.log);
        }
    }

    /// The same for an input that comes with other levels, which begin the epoch.
    fn take_in_quietly(&mut self, input: Input, cx: &mut Context) -> Epoch {
        let Effects {
            new_epoch,
            went_stale,
            ask,
            watch,
        } = self.trust.on(input, cx.checker.now);
        if self.trust.is_stale() {
            self.timer.note_stale();
        }
        if went_stale {
            cx.stats.events.went_stale.increment();
            self.checks.levels_replaced();
        }
        if let Some(reason) = ask {
            self.ask(reason, cx);
        }
        if watch {
            self.watch(cx);
        }
        if new_epoch { Epoch::New } else { Epoch::Same }
    }

    // ---- prefetching --------------------------------------------------------

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

fn ours<'a>(copy: &'a FeedBook, trust: &Trust, checks: &Checks) -> Ours<'a> {
    Ours {
        levels: copy.levels(),
        newest: copy.newest(),
        hash: copy.hash(),
        is_verifiable: checks.hash().is_format_known(),
        is_proven: copy.is_proven(),
        is_kept_whole: trust.is_kept_whole(),
    }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;
    use crate::book::trust::READ_BYTES;

    #[test]
    fn what_a_change_reads_stands_in_three_cache_lines() {
        let end = offset_of!(CheckedBook, trust) + READ_BYTES;
        assert_eq!(offset_of!(CheckedBook, shown), 0);
        assert!(end <= 3 * 64, "ends at {end}");
    }
}
