//! One asset's book: the one that is shown, and what other feeds have sent of it.
//!
//! A slot takes an event to the feed's copy that it concerns. It decides which copy is
//! shown, and what happens when the feed of that is gone, has lost something, or is
//! found wrong. Whether what is shown may be trusted is decided by [`CheckedBook`].

use std::cmp::Ordering;
use std::mem::take;
use std::time::Instant;

use polypy_core::metrics::count;
use polypy_core::{
    AssetKey, BookEvent, BookState, BookStatus, FeedId, OrderBook, PriceChange, StaleReason,
    TickSizeChange,
};

use super::checked_book::{CheckedBook, Refuted};
use super::checks::Verification;
use super::fast_path::{self, Rest};
use super::feed_book::FeedBook;
use super::standby::{Replayed, SnapshotUse, Standbys};
use super::trust::{Cause, Input, as_read};
use super::{Context, Origin, order};
use crate::feeds::Feeds;
use crate::integrity::{Extent, Mirrored, compare};
use crate::queue::{ControlMessage, StalenessMark};
use crate::stats::WorkerStats;

#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct BookSlot {
    book: CheckedBook,
    standbys: Standbys,
}

impl BookSlot {
    pub(crate) fn new(key: AssetKey, now: Instant) -> Self {
        Self {
            book: CheckedBook::new(key, now),
            standbys: Standbys::default(),
        }
    }

    /// What is shown.
    #[inline]
    pub(crate) fn book(&self) -> &CheckedBook {
        &self.book
    }

    /// The same, for what concerns no other copy.
    #[inline]
    pub(crate) fn book_mut(&mut self) -> &mut CheckedBook {
        &mut self.book
    }

    #[inline]
    pub(crate) fn key(&self) -> AssetKey {
        self.book.key()
    }

    /// Every feed that has sent something of the book.
    pub(crate) fn feeds(&self) -> impl Iterator<Item = FeedId> + '_ {
        let shown = self.book.shown().feed();
        shown.into_iter().chain(self.standbys.feeds())
    }

    /// Levels held, those of copies included, and what takes as much.
    #[inline]
    pub(crate) fn held_levels(&self) -> u64 {
        count(self.book.shown().depth() + self.standbys.held_levels())
    }

    /// The state that readers see, as far as the worker knows.
    #[inline]
    pub(crate) fn state(&self) -> BookState {
        self.book.state()
    }

    /// The state that readers see now, with what has reached the process and not the
    /// worker yet.
    pub(crate) fn state_with(
        &self,
        message: &ControlMessage,
        feeds: &Feeds,
        is_dead: bool,
    ) -> BookState {
        let batch = self.book.copy().map_or(0, FeedBook::batch);
        let unseen = |mark: Option<StalenessMark>| {
            let mark = mark.filter(|mark| mark.number > batch)?;
            Some(mark.reason)
        };
        // What happened to its feed concerns the book if no other feed keeps it.
        let lost = self.book.shown().feed().and_then(|feed| {
            let reason = unseen(message.gap_on(feed))
                .or_else(|| self.book.trust().detached())
                .or_else(|| feeds.closed(feed))?;
            let is_kept = self.standbys.is_kept(feeds, |feed| message.gap_on(feed));
            (!is_kept).then_some(reason)
        });
        let dead = is_dead.then_some(StaleReason::WorkerDied);
        let against = unseen(message.mark).or(lost).or(dead);
        as_read(self.state(), message.settled, against)
    }

    /// Whether a feed that has sent something of the book has not answered since the
    /// process last stood still: it may be the one that is to bring what was missed.
    pub(crate) fn is_suspended(&self, feeds: &Feeds) -> bool {
        self.feeds().any(|feed| feeds.is_suspended(feed))
    }

    /// Writes what is due to those who follow the book.
    pub(crate) fn write(&mut self, cx: &mut Context) {
        let status = self.status(cx);
        self.book.write(status, cx);
    }

    /// What readers see of the book now, apart from its levels, as they see it once all
    /// is applied that has reached the process.
    fn status(&self, cx: &Context) -> BookStatus {
        let known = self.book.status();
        let mut state = known.state;
        if self.book.trust().detached().is_some() {
            state = self.state_with(&ControlMessage::default(), &cx.feeds, false);
        }
        if state == BookState::Live && self.is_suspended(&cx.feeds) {
            state = BookState::Stale(StaleReason::Suspended);
        }
        if state == known.state {
            return known;
        }
        let since = cx.log.published().since(self.key(), state);
        BookStatus {
            state,
            since: since.unwrap_or(cx.checker.now),
            ..known
        }
    }

    // ---- a whole book -------------------------------------------------------

    /// A whole book arrived. Its levels are taken from it.
    pub(crate) fn snapshot(&mut self, event: &mut BookEvent, origin: Origin, cx: &mut Context) {
        let mut levels = OrderBook::default();
        levels.apply_snapshot(take(&mut event.bids), take(&mut event.asks));
        let (feed, batch) = (origin.feed, origin.number);
        let mut copy = FeedBook::new(feed, batch, levels, event.timestamp, event.hash);
        let replayed = self.standbys.replay(&mut copy);
        let (shown, trust) = (self.book.shown(), self.book.trust());
        match self
            .standbys
            .snapshot_use(&copy, origin, shown, trust, &cx.feeds, cx.checker.now)
        {
            SnapshotUse::Show => {
                self.book.take_attributes(event);
                self.show_whole(copy, replayed, origin, cx);
            }
            SnapshotUse::Keep if replayed == Replayed::Whole => {
                cx.stats.events.snapshots_awaited.increment();
                self.standbys.keep(copy, &cx.feeds);
                self.weigh_copy(feed, cx);
            }
            SnapshotUse::Keep => {
                self.count_ignored(origin, cx);
                self.ask_feed(feed, StaleReason::Dropped, cx);
            }
            SnapshotUse::Ignore => self.count_ignored(origin, cx),
            SnapshotUse::Unknown => {
                self.count_ignored(origin, cx);
                self.book.take_in(Input::Contradicted(Cause::Hash), cx);
            }
        }
    }

    /// Shows a whole book from now on.
    fn show_whole(&mut self, copy: FeedBook, replayed: Replayed, origin: Origin, cx: &mut Context) {
        let was_live = self.state() == BookState::Live;
        let void = self.standbys.void(origin, replayed).or_else(|| {
            // What its feed sent since is not sent again.
            let ours = self.book.copy().filter(|ours| ours.feed() == origin.feed)?;
            let is_behind = copy.newest() < ours.newest();
            let (at, now) = (ours.newest(), cx.checker.now);
            let is_awaited = self.book.trust().goal_beyond(copy.newest(), at, now);
            (is_behind && is_awaited.is_some()).then_some(StaleReason::Dropped)
        });
        if void.is_none() {
            self.standbys.forget_early(origin.feed);
        }
        // The copy's own standby, if it has one, is older than it.
        self.standbys.take(origin.feed);
        let old = self.book.show_whole(copy, void, origin, cx);
        if let Some(old) = old.filter(|old| old.feed() != origin.feed) {
            // A suspect one could not stand in.
            if was_live && cx.feeds.closed(old.feed()).is_none() {
                self.standbys.keep(old, &cx.feeds);
            } else {
                self.standbys.give_up(old.feed(), &cx.feeds);
            }
        }
        let refuted = self.book.check_whole(cx);
        self.see_to(refuted, cx);
        let has_left_out = self.book.copy().is_some_and(FeedBook::has_left_out);
        if has_left_out || replayed == Replayed::Unclear {
            self.book.take_in(Input::Contradicted(Cause::Return), cx);
        }
    }

    fn count_ignored(&mut self, origin: Origin, cx: &mut Context) {
        if self.book.shown().feed() == Some(origin.feed) {
            cx.stats.events.snapshots_ignored.increment();
            return;
        }
        cx.stats.events.late_frames.increment();
        // A stale book was sent the wrong feed's snapshot: it still needs one.
        if self.book.trust().is_stale() {
            self.book.retry_later(cx);
        }
    }

    // ---- a change -----------------------------------------------------------

    /// Does what the fast path has left.
    #[cold]
    pub(crate) fn finish(&mut self, left: Rest, change: &PriceChange, cx: &mut Context) {
        let refuted = fast_path::finish(&mut self.book, left, change, cx);
        self.see_to(refuted, cx);
    }

    /// One level changed.
    pub(crate) fn change(&mut self, change: &PriceChange, origin: Origin, cx: &mut Context) {
        let Some(shown) = self.book.shown().feed() else {
            cx.stats.events.deltas_without_book.increment();
            let is_first = self.standbys.marked_for().is_none();
            self.standbys
                .keep_early(change, origin.feed, is_first, &cx.feeds);
            return;
        };
        if shown != origin.feed {
            self.change_copy(change, origin, cx);
            return;
        }
        if self.book.trust().is_stale() {
            // It goes on, and a whole book that is to come may be older than this.
            self.standbys.keep_early(change, shown, false, &cx.feeds);
        }
        let refuted = order::change(&mut self.book, change, origin, cx);
        self.see_to(refuted, cx);
        self.forget_early(shown);
    }

    /// A book that is kept whole waits for none: its feed's changes are not kept any more.
    fn forget_early(&mut self, feed: FeedId) {
        if self.book.trust().is_kept_whole() {
            self.standbys.forget_early(feed);
        }
    }

    // ---- other feeds --------------------------------------------------------

    /// A change of a feed that the book is not shown from.
    fn change_copy(&mut self, change: &PriceChange, origin: Origin, cx: &mut Context) {
        let is_settled = self.book.trust().is_settled();
        if is_settled || !self.standbys.change(change, origin.feed) {
            let is_kept = !is_settled
                && self
                    .standbys
                    .keep_early(change, origin.feed, true, &cx.feeds);
            cx.stats.events.late_frames.add(u64::from(!is_kept));
            return;
        }
        cx.stats.events.other_feed_changes.increment();
        if change.last_in_frame {
            self.weigh_copy(origin.feed, cx);
        }
    }

    /// Another feed's copy has come to a state of its own: it may be shown.
    fn weigh_copy(&mut self, feed: FeedId, cx: &mut Context) {
        let Some(progress) = self.standbys.progress(feed, self.book.shown()) else {
            return;
        };
        if cx.feeds.closed(feed).is_some() {
            return;
        }
        if progress == Ordering::Equal && self.standbys.compare(feed, self.book.shown()) {
            cx.stats.events.other_feed_wrong.increment();
            self.standbys.give_up(feed, &cx.feeds);
            self.ask_feed(feed, StaleReason::Hash, cx);
            self.standby_lost(cx);
        }
        let trust = self.book.trust();
        if trust.is_stale() && !self.standbys.has_reached(feed, trust.goal()) {
            return;
        }
        self.show_if(feed, trust.wants(progress), cx);
    }

    /// The book is live again. While it was not, other feeds' copies may have gone past it:
    /// of those that are whole the furthest is shown.
    pub(crate) fn catch_up(&mut self, cx: &mut Context) {
        let is_further = |at: &Ordering| *at == Ordering::Greater;
        self.show_best(
            |slot, at| {
                Some(at)
                    .filter(is_further)
                    .and_then(|at| slot.book.trust().wants(at))
            },
            cx,
        );
    }

    /// Shows the furthest of the copies that are wanted; whether there is one.
    fn show_best(
        &mut self,
        wants: impl Fn(&Self, Ordering) -> Option<Verification>,
        cx: &mut Context,
    ) -> bool {
        let candidates = self.standbys.candidates(&cx.feeds);
        candidates.into_iter().flatten().any(|feed| {
            let progress = self.standbys.progress(feed, self.book.shown());
            let wanted = progress.and_then(|progress| wants(self, progress));
            self.show_if(feed, wanted, cx)
        })
    }

    /// Shows another feed's copy from now on, if its own hash says as much of it as is
    /// `wanted`.
    fn show_if(&mut self, feed: FeedId, wanted: Option<Verification>, cx: &mut Context) -> bool {
        let (Some(wanted), Some(copy)) = (wanted, self.standbys.get(feed)) else {
            return false;
        };
        let verification = self.book.verify(copy, cx);
        let is_fit = verification >= wanted;
        if is_fit {
            self.show_copy(feed, verification, cx);
        }
        is_fit
    }

    fn show_copy(&mut self, feed: FeedId, verification: Verification, cx: &mut Context) {
        let Some(mut copy) = self.standbys.take(feed) else {
            return;
        };
        let is_proven = verification == Verification::Proven;
        if is_proven {
            copy.prove();
        }
        copy.settle_difference();
        let trust = self.book.trust();
        let was_live = trust.is_kept_whole();
        let was_suspect = trust.suspect_levels().is_some();
        if let Some(mut old) = self.book.show_copy(copy, cx) {
            if !was_live {
                // It was wrong, or has a hole: no other book may be shown from it.
                self.standbys.give_up(old.feed(), &cx.feeds);
                self.ask_feed(old.feed(), StaleReason::Hash, cx);
            } else if cx.feeds.closed(old.feed()).is_none() {
                if was_suspect && !old.is_proven() {
                    old.note_difference();
                }
                self.standbys.keep(old, &cx.feeds);
            }
        }
        let refuted = self.book.check_copy(is_proven, cx);
        self.see_to(refuted, cx);
    }

    /// What contradicts the book may stand: another feed's copy is shown instead, if one
    /// is proven and as far.
    fn see_to(&mut self, refuted: Refuted, cx: &mut Context) {
        let (Some(reason), Some(wrong)) = (refuted, self.book.shown().feed()) else {
            return;
        };
        if !self.show_best(|slot, at| slot.book.trust().wants_instead(reason, at), cx) {
            self.book.take_in(Input::Refuted(reason), cx);
            return;
        }
        cx.stats.events.healed_by_other_feed.increment();
        self.standbys.give_up(wrong, &cx.feeds);
        self.ask_feed(wrong, reason, cx);
    }

    /// Asks for a whole book on one feed, if that is open.
    fn ask_feed(&self, feed: FeedId, reason: StaleReason, cx: &mut Context) {
        if cx.feeds.closed(feed).is_none() {
            cx.resyncs.push((Some(feed), self.key(), reason));
        }
    }

    // ---- losses -------------------------------------------------------------

    /// The feed of the shown book is gone, or has lost something. Whether another
    /// keeps the book live: its copy is shown, now or once it has come as far.
    fn shown_lost(&mut self, reason: StaleReason, cx: &mut Context) -> bool {
        let is_live = self.book.trust().is_kept_whole();
        if !is_live || !self.standbys.is_kept(&cx.feeds, |_| None) {
            self.book.take_in(Input::Lost(reason), cx);
            return false;
        }
        if let Some(ours) = self.book.copy() {
            self.standbys
                .note_sent(ours.feed(), ours.newest(), &cx.feeds);
        }
        self.book.detach(reason, cx);
        self.show_best(|slot, at| slot.book.trust().wants(at), cx);
        true
    }

    /// A copy is gone that may have been what kept the book.
    fn standby_lost(&mut self, cx: &mut Context) {
        if let Some(reason) = self.book.trust().detached()
            && !self.standbys.is_kept(&cx.feeds, |_| None)
        {
            self.lose(reason, cx);
        }
    }

    /// Nobody keeps the book any more.
    fn lose(&mut self, reason: StaleReason, cx: &mut Context) {
        self.book.take_in(Input::Lost(reason), cx);
        self.book.ask(reason, cx);
    }

    /// The book is stale until a whole book of a later batch. Others ask for that;
    /// it is asked for again if it does not come.
    pub(crate) fn mark(&mut self, mark: StalenessMark, cx: &mut Context) {
        if !self.standbys.mark(mark) {
            return;
        }
        let shown = self.book.copy();
        if shown.is_some_and(|ours| ours.batch() >= mark.number) {
            self.standby_lost(cx);
        } else if !self.shown_lost(mark.reason, cx) {
            self.book.retry_later(cx);
        }
    }

    /// Something was lost on a feed: its copy is not to be trusted until a whole book
    /// of its own, of a later batch. What others have sent is not concerned.
    pub(crate) fn mark_feed(&mut self, feed: FeedId, mark: StalenessMark, cx: &mut Context) {
        let Some(ours) = self.book.copy() else {
            // No feed has sent it yet: whichever whole book comes first must be younger.
            self.mark(mark, cx);
            return;
        };
        let is_shown = ours.feed() == feed && ours.batch() < mark.number;
        self.standbys.note_gap(feed, mark, &cx.feeds);
        if !is_shown {
            self.standby_lost(cx);
        } else if self.shown_lost(mark.reason, cx) {
            cx.stats.events.losses_covered.increment();
        } else {
            self.book.retry_later(cx);
        }
    }

    /// A feed closed.
    pub(crate) fn close_feed(&mut self, feed: FeedId, reason: StaleReason, cx: &mut Context) {
        let is_shown = self.book.shown().feed() == Some(feed);
        if is_shown && self.shown_lost(reason, cx) {
            cx.stats.events.closings_covered.increment();
        } else if is_shown && self.standbys.feeds().any(|other| other != feed) {
            // Another feed goes on without a copy, and was asked for one once.
            self.book.retry_later(cx);
        }
        self.standbys.close(feed);
        self.standby_lost(cx);
    }

    /// The market has ended.
    pub(crate) fn settle(&mut self, cx: &mut Context) {
        self.book.settle(cx);
        self.standbys.clear();
    }

    /// It is forgotten.
    pub(crate) fn release(&mut self, stats: &WorkerStats) {
        self.book.release(stats);
    }

    /// The thread that wrote the book died: what it left may be half a change, and
    /// whatever it was to do later is forgotten.
    pub(crate) fn worker_died(&mut self, mark: StalenessMark, cx: &mut Context) {
        self.standbys.mark(mark);
        self.book.worker_died(cx);
    }

    // ---- what else is said --------------------------------------------------

    /// The price grid changes. A finer one leaves every level where it is.
    pub(crate) fn change_tick(&mut self, event: &TickSizeChange, cx: &mut Context) {
        let refuted = self.book.change_tick(event);
        self.see_to(refuted, cx);
    }

    /// Compares a book that was fetched, when it was `requested`, with ours.
    pub(crate) fn audit(&mut self, event: &BookEvent, requested: Instant, cx: &mut Context) {
        let refuted = self.book.audit(event, requested, cx);
        self.see_to(refuted, cx);
    }

    /// Whether the book shows at `extent` what the market's other token does.
    pub(crate) fn mirrors(&self, other: &Self, extent: Extent) -> Mirrored {
        let (Some(ours), Some(its)) = (self.book.copy(), other.book.copy()) else {
            return Mirrored::NotApplicable;
        };
        // Its copy of the feed that gave ours, if it is not the one that is shown.
        let elsewhere = other.standbys.get(ours.feed());
        let of_one_feed = ours.feed() == its.feed()
            || elsewhere.is_some_and(|copy| copy.newest() < ours.newest());
        match (self.book.ours(), other.book.ours()) {
            (Some(ours), Some(its)) => compare(&ours, &its, of_one_feed, extent),
            (None, _) | (_, None) => Mirrored::NotApplicable,
        }
    }

    /// Takes in how it compared. Only the one that is behind learns that it is.
    pub(crate) fn compared(&mut self, mirrored: Mirrored, cx: &mut Context) {
        let input = match mirrored {
            Mirrored::Agrees => Input::Cleared(Cause::Mirror),
            // Whatever its hash says of the time it has come to.
            Mirrored::OtherBehind => Input::Contradicted(Cause::Mirror),
            Mirrored::Disagrees => {
                let refuted = self.book.check_now(cx);
                self.see_to(refuted, cx);
                // A book that its hash has proven is right, and the other one is wrong.
                if self.book.copy().is_none() || self.book.shown().is_proven() {
                    return;
                }
                Input::Contradicted(Cause::Mirror)
            }
            Mirrored::NotApplicable => return,
        };
        self.book.take_in(input, cx);
    }

    // ---- time ---------------------------------------------------------------

    /// Time has passed. Whether it is to be looked at again.
    pub(crate) fn look(&mut self, cx: &mut Context) -> bool {
        if let Some(reason) = self.book.trust().detached_for_long(cx.checker.now) {
            self.lose(reason, cx);
        }
        let refuted = self.book.look(cx);
        self.see_to(refuted, cx);
        self.book.watch_on()
    }

    /// The time has come to see whether it is still stale.
    pub(crate) fn retry(&mut self, cx: &mut Context) {
        self.book.end_retry();
        let reason = match self.state() {
            BookState::Stale(reason) if self.book.trust().is_stale() => Some(reason),
            // Its first whole book was lost.
            BookState::Pending => self.standbys.marked_for(),
            BookState::Stale(_) | BookState::Live | BookState::Settled => None,
        };
        if let Some(reason) = reason {
            self.book.ask(reason, cx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_small_enough_for_every_token_of_the_venue() {
        let size = size_of::<BookSlot>();
        assert!(size <= 640, "{size} bytes");
        // With 30 levels a side, room for four more, and what an allocator adds.
        let levels = (2 * 30 + 4) * polypy_core::book::LEVEL_BYTES;
        let all = size + FeedBook::COLD_BYTES + levels + 3 * 16;
        assert!(all <= 1_200, "{all} bytes");
        assert_eq!(align_of::<BookSlot>(), 64);
    }
}
