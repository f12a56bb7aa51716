//! What becomes of a snapshot, and of a book whose feed has to be replaced.

use std::time::{Duration, Instant};

use polypy_core::{BookState, PriceChange, StaleReason, Timestamp};

use super::{Awaited, BookSlot, Context, Origin};
use crate::feeds::Feeds;
use crate::integrity::Extent;
use crate::stream::{Stream, is_copy};

/// How long a snapshot that is behind what was seen before has to catch up.
/// Sockets lag by seconds at most; what is sent whole after that is the truth,
/// whatever its time says.
const CATCH_UP: Duration = Duration::from_secs(5);

/// What is to be done with a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It becomes the book.
    Shown,
    /// It is kept aside, replacing what is there.
    KeptAside,
    /// It is of no use.
    Ignored,
}

impl BookSlot {
    /// What is to be done with a snapshot of `timestamp`.
    pub(super) fn fate(&self, timestamp: Timestamp, origin: Origin, feeds: &Feeds) -> Fate {
        let Some(main) = &self.main else {
            return Fate::Shown;
        };
        let live = self.state == BookState::Live;
        let torn = self.held.is_some_and(|held| held.torn);
        if origin.feed == main.feed && !torn {
            let back = live && main.is_ahead_of(timestamp);
            let gone = self.held.is_some();
            return if back || gone {
                Fate::Ignored
            } else {
                Fate::Shown
            };
        }
        let lost = self.others.lost_on(origin.feed);
        if lost.is_some_and(|mark| mark.stamp > origin.stamp) {
            return Fate::Ignored;
        }
        let older = origin.feed < main.feed;
        match (self.state, origin.closed) {
            // Which of the two is shown is a matter of who has come further.
            (BookState::Live, None) => Fate::KeptAside,
            (BookState::Live, Some(_)) => Fate::Ignored,
            (BookState::Settled, _) if older => Fate::Ignored,
            // Whatever is open is better than what is not.
            (_, None) => Fate::Shown,
            (_, Some(_)) if older || feeds.closed(main.feed).is_none() => Fate::Ignored,
            (_, Some(_)) => Fate::Shown,
        }
    }

    /// Shows `stream` from now on.
    pub(super) fn replace(&mut self, stream: Stream, origin: Origin, cx: &mut Context<'_>) {
        let newest = stream.newest;
        let old = self.main.replace(stream);
        self.awaited = old
            .as_ref()
            .and_then(|old| self.awaited_by(newest, old.newest, cx.checker.now));
        if let Some(old) = old.filter(|old| old.feed != origin.feed) {
            cx.stats.events.takeovers.increment();
            // One in doubt could not stand in.
            let trusted = self.state() == BookState::Live;
            if cx.feeds.closed(old.feed).is_none() && trusted {
                self.others.keep(old, cx.feeds);
            }
        }
        self.others.take(origin.feed);
        self.held = None;
        self.epoch += 1;
        self.sequence += 1;
        self.received = origin.received;
        self.top.reset();
        self.doubts.settle_levels();
        self.diverged = false;
        self.expect_anew(cx.checker.now);
        let mark = self.mark_on(origin.feed);
        self.state = match (self.state, origin.closed, mark) {
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

    /// What a book of `newest` that follows one of `before` has to catch up with.
    fn awaited_by(&self, newest: Timestamp, before: Timestamp, now: Instant) -> Option<Awaited> {
        let known = self.awaited;
        let time = known.map_or(before, |awaited| awaited.time.max(before));
        let since = known.map_or(now, |awaited| awaited.since);
        let patient = now.saturating_duration_since(since) < CATCH_UP;
        let behind = is_copy(newest, time) && patient && !self.is_settled();
        behind.then_some(Awaited { time, since })
    }

    /// A change of a feed that is not shown.
    pub(super) fn change_other(
        &mut self,
        change: &PriceChange,
        origin: Origin,
        cx: &mut Context<'_>,
    ) {
        let Some(other) = self.others.get_mut(origin.feed) else {
            cx.stats.events.late_frames.increment();
            return;
        };
        cx.stats.events.other_feed_changes.increment();
        other.apply(change, false);
        if change.last_in_frame {
            self.weigh(origin, Extent::Level(change.side, change.price), cx);
        }
    }

    /// Shows another feed's book instead, the furthest, though it is no proven
    /// copy: live, if nothing newer was seen already.
    pub(super) fn promote(&mut self, reason: StaleReason, cx: &mut Context<'_>) {
        let open = |other: &Stream| cx.feeds.closed(other.feed).is_none();
        let next = self.others.furthest(open);
        let Some(next) = next.and_then(|feed| self.others.take(feed)) else {
            self.become_stale(reason, cx);
            self.ask(reason, cx);
            return;
        };
        let newest = next.newest;
        let Some(old) = self.main.replace(next) else {
            return;
        };
        let level = !old.is_ahead_of(newest);
        self.held = None;
        cx.stats.events.takeovers.increment();
        self.epoch += 1;
        self.sequence += 1;
        self.hash.forget_expectation();
        self.top.reset();
        self.doubts.settle_levels();
        self.diverged = false;
        self.expect_anew(cx.checker.now);
        self.crossed_since = None;
        self.watch_crossing(cx);
        if level {
            self.verify_whole(cx);
        } else {
            self.become_stale(reason, cx);
            self.awaited = self.awaited_by(newest, old.newest, cx.checker.now);
            self.ask(reason, cx);
        }
    }

    /// Live again once the book has reached what was seen before.
    pub(super) fn catch_up(&mut self, feeds: &Feeds) {
        let Some(main) = &self.main else {
            return;
        };
        if self
            .awaited
            .is_some_and(|awaited| main.newest >= awaited.time)
            && feeds.closed(main.feed).is_none()
        {
            self.awaited = None;
            let mark = self.mark_on(main.feed);
            let lifted = mark.is_none_or(|mark| mark.stamp < main.rare.stamp);
            if lifted && matches!(self.state, BookState::Stale(_)) {
                self.state = BookState::Live;
            }
        }
    }
}
