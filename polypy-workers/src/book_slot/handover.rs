//! Which of two feeds is shown, and when the other takes its place.

use std::time::{Duration, Instant};

use polypy_core::{BookState, PriceChange, StaleReason, Timestamp};

use super::{Awaited, BookSlot, Context, Origin};
use crate::feeds::Feeds;
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

    /// Shows `stream` from now on.
    pub(super) fn replace(&mut self, stream: Stream, origin: Origin, cx: &mut Context<'_>) {
        let newest = stream.newest;
        let old = self.main.replace(stream);
        self.awaited = old
            .as_ref()
            .and_then(|old| self.awaited_by(newest, old.newest, cx.checker.now));
        if let Some(old) = old.filter(|old| old.feed != origin.feed) {
            cx.stats.events.takeovers.increment();
            let open = cx.feeds.closed(old.feed).is_none();
            // One in doubt could not stand in.
            let trusted = self.state() == BookState::Live;
            self.standby = (open && trusted).then(|| Box::new(old));
        }
        self.epoch += 1;
        self.sequence += 1;
        self.received = origin.received;
        self.top.reset();
        self.doubts.settle_levels();
        self.diverged = false;
        self.expect_anew(cx.checker.now);
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
    pub(super) fn change_standby(
        &mut self,
        change: &PriceChange,
        origin: Origin,
        cx: &mut Context<'_>,
    ) {
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
    pub(super) fn promote(&mut self, reason: StaleReason, cx: &mut Context<'_>) {
        let level = self.standby_is_level();
        let Some(standby) = self.standby.take() else {
            return;
        };
        let closed = cx.feeds.closed(standby.feed);
        let old = self.main.replace(*standby);
        cx.stats.events.takeovers.increment();
        self.epoch += 1;
        self.sequence += 1;
        let trusted = self.doubts.reason().is_none();
        self.hash.forget_expectation();
        self.top.reset();
        self.doubts.settle_levels();
        self.diverged = false;
        self.expect_anew(cx.checker.now);
        self.crossed_since = None;
        self.watch_crossing(cx);
        let Some(old) = old else {
            return;
        };
        if let Some(closed) = closed {
            self.become_stale(closed, cx);
        } else if !level {
            self.become_stale(reason, cx);
            let newest = self.main.as_ref().map_or(old.newest, |main| main.newest);
            self.awaited = self.awaited_by(newest, old.newest, cx.checker.now);
            self.ask(reason, cx);
        } else {
            if trusted && cx.feeds.closed(old.feed).is_none() {
                self.standby = Some(Box::new(old));
            }
            self.verify_whole(cx);
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
            let lifted = self.mark.is_none_or(|mark| mark.stamp < main.stamp);
            if lifted && matches!(self.state, BookState::Stale(_)) {
                self.state = BookState::Live;
            }
        }
    }
}
