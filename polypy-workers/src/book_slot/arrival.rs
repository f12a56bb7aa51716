//! First arrival: of the feeds that tell a live book, the one that has come
//! furthest is shown.
//!
//! | the other feed's book | the shown one | follows |
//! |---|---|---|
//! | further in exchange time, and its hash is not contradicted | live | it is shown: same book, same epoch |
//! | as far, and its hash is proven | in doubt | it is shown, and the doubt is over, unless that is of something neither has been told |
//! | as far | its feed is gone | it is shown |
//! | further behind | its feed is gone | the shown one is *held* until the other has come as far, not longer than [`HOLD`] |
//! | same state, proven here, other levels there | | it is wrong: dropped, and asked for on its own feed |
//!
//! Frames are whole or absent: a book is compared and shown after the last
//! change of a frame only.

use std::time::{Duration, Instant};

use polypy_core::{AssetInfo, BookState, FeedId, StaleReason, Timestamp};

use super::doubt::Doubt;
use super::verify::subject;
use super::{BookSlot, Context, Origin};
use crate::config::HashChecking;
use crate::feeds::Feeds;
use crate::integrity::{Extent, Stage};
use crate::queue::Mark;
use crate::stream::Stream;

/// How long a book whose feed is gone is shown as it was, with another open feed
/// on its way to the same state. Connections that trail by more are replaced.
const HOLD: Duration = Duration::from_secs(2);

/// A live book whose feed is gone, told on by another that is not as far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    since: Instant,
    reason: StaleReason,
    /// Whether something was lost on its feed: what follows has a hole before it.
    pub(super) torn: bool,
}

/// Where one telling of a book stands against another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Behind,
    Level,
    Ahead,
}

/// What a book's own hash says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    Proven,
    Refuted,
    /// Not to be judged, or not now.
    Unknown,
}

impl BookSlot {
    /// Another feed's book has come to a state of its own.
    pub(super) fn weigh(&mut self, origin: Origin, extent: Extent, cx: &mut Context<'_>) {
        let Some(place) = self.place(origin.feed) else {
            return;
        };
        if cx.feeds.closed(origin.feed).is_some() {
            return;
        }
        if place == Place::Level {
            self.compare(origin.feed, cx);
        }
        let doubted = self.doubts.about_levels().is_some();
        // What neither was told is not in a copy that is only as far.
        let told_more = place == Place::Ahead || !self.lacks_word();
        let (wanted, proof_needed) = match (self.state, place) {
            _ if !told_more && self.held.is_none() => (false, false),
            (BookState::Live, Place::Ahead) => (true, doubted),
            (BookState::Live, Place::Level) => (doubted || self.held.is_some(), doubted),
            (BookState::Stale(_), Place::Ahead | Place::Level) => {
                (self.is_past_all(origin.feed), self.diverged)
            }
            (BookState::Live | BookState::Stale(_), Place::Behind)
            | (BookState::Pending | BookState::Settled, _) => (false, false),
        };
        if !wanted {
            return;
        }
        match self.proof(origin.feed, cx) {
            Proof::Proven => self.show(origin.feed, Proof::Proven, extent, cx),
            Proof::Unknown if !proof_needed => {
                self.show(origin.feed, Proof::Unknown, extent, cx);
            }
            Proof::Unknown | Proof::Refuted => {}
        }
    }

    /// The shown book's feed is gone, or something was lost on it. Whether
    /// another feed keeps the book live.
    pub(super) fn lean_on_others(
        &mut self,
        reason: StaleReason,
        torn: bool,
        cx: &mut Context<'_>,
    ) -> bool {
        if self.state != BookState::Live || !self.is_supported(cx.feeds) {
            return false;
        }
        self.held = Some(Held {
            since: cx.checker.now,
            reason,
            torn,
        });
        self.watch(cx);
        let candidates = self.supporters(cx.feeds);
        for feed in candidates.into_iter().flatten() {
            let level = self.place(feed).is_some_and(|place| place != Place::Behind);
            if level && self.proof(feed, cx) != Proof::Refuted {
                self.show(feed, Proof::Unknown, Extent::Whole, cx);
                break;
            }
        }
        true
    }

    /// A feed that told the book beside the shown one tells it no longer.
    pub(super) fn support_lost(&mut self, cx: &mut Context<'_>) {
        if let Some(held) = self.held
            && !self.is_supported(cx.feeds)
        {
            self.held = None;
            self.become_stale(held.reason, cx);
            self.ask(held.reason, cx);
        }
    }

    /// The other feed had its time to come as far.
    pub(super) fn check_held(&mut self, cx: &mut Context<'_>) {
        let Some(held) = self.held else { return };
        if cx.checker.now.saturating_duration_since(held.since) >= HOLD {
            self.held = None;
            self.promote(held.reason, cx);
        }
    }

    /// The shown book is wrong. Whether another feed's is proven and as far.
    pub(super) fn heal_by_other(&mut self, reason: StaleReason, cx: &mut Context<'_>) -> bool {
        let Some(wrong) = self.feed() else {
            return false;
        };
        // A book that is right and behind is not healed by another copy of it.
        if reason == StaleReason::Silent {
            return false;
        }
        let behind = is_of_lost_word(reason);
        let candidates = self.supporters(cx.feeds);
        for feed in candidates.into_iter().flatten() {
            let fit = match self.place(feed) {
                Some(Place::Ahead) => true,
                Some(Place::Level) => !behind,
                Some(Place::Behind) | None => false,
            };
            if fit && self.proof(feed, cx) == Proof::Proven {
                cx.stats.events.healed_by_other_feed.increment();
                self.show(feed, Proof::Proven, Extent::Whole, cx);
                self.others.take(wrong);
                cx.feed_resyncs.push((wrong, self.key, reason));
                return true;
            }
        }
        false
    }

    /// Whether what speaks against the book is that it was not told something.
    fn lacks_word(&self) -> bool {
        let reason = match self.state {
            BookState::Live => self.doubts.about_levels().map(Doubt::reason),
            BookState::Stale(reason) if self.diverged => Some(reason),
            BookState::Stale(_) | BookState::Pending | BookState::Settled => None,
        };
        reason.is_some_and(is_of_lost_word)
    }

    /// Why the shown book's feed no longer speaks for it, if another does.
    pub(crate) fn held_for(&self) -> Option<StaleReason> {
        self.held.map(|held| held.reason)
    }

    /// Whether an open feed other than the shown one tells the book, with
    /// nothing lost since.
    fn is_supported(&self, feeds: &Feeds) -> bool {
        self.is_supported_by(feeds, |_| None)
    }

    /// The same, with marks that the worker has not seen yet.
    pub(crate) fn is_supported_by(
        &self,
        feeds: &Feeds,
        unseen: impl Fn(FeedId) -> Option<Mark>,
    ) -> bool {
        let mut streams = self.others.streams().iter();
        streams.any(|stream| {
            let lost = unseen(stream.feed).is_some_and(|mark| mark.stamp > stream.rare.stamp);
            stream.rare.suspect.is_none() && !lost && feeds.closed(stream.feed).is_none()
        })
    }

    fn supporters(&self, feeds: &Feeds) -> [Option<FeedId>; 2] {
        let supports =
            |stream: &Stream| stream.rare.suspect.is_none() && feeds.closed(stream.feed).is_none();
        let first = self.others.furthest(supports);
        let second = self
            .others
            .furthest(|stream| supports(stream) && Some(stream.feed) != first);
        [first, second]
    }

    /// Where another feed's book stands; `None` if it tells none.
    fn place(&self, feed: FeedId) -> Option<Place> {
        let (main, other) = (self.main.as_ref()?, self.others.get(feed)?);
        Some(if other.newest > main.newest {
            Place::Ahead
        } else if other.newest < main.newest {
            Place::Behind
        } else if other.hash == main.hash {
            Place::Level
        } else {
            // Two states of one millisecond: the one that was shown is older.
            match other.hash {
                Some(hash) if self.recent.contains(hash, &self.past) => Place::Behind,
                Some(_) | None => Place::Level,
            }
        })
    }

    /// Whether another feed's book is younger than every mark and not older than
    /// anything that was seen of the book.
    fn is_past_all(&self, feed: FeedId) -> bool {
        let Some(other) = self.others.get(feed) else {
            return false;
        };
        let seen = self
            .awaited
            .map_or(Timestamp::default(), |awaited| awaited.time);
        self.mark.is_none_or(|mark| mark.stamp < other.rare.stamp) && other.newest >= seen
    }

    fn proof(&mut self, feed: FeedId, cx: &mut Context<'_>) -> Proof {
        let (Some(other), Some(info)) = (self.others.get(feed), &self.info) else {
            return Proof::Refuted;
        };
        if other.rare.suspect.is_some() && other.hash.is_none() {
            return Proof::Refuted;
        }
        let info: &AssetInfo = info;
        let judged = cx.checker.config.hash == HashChecking::All
            && self.hash.has_recipe()
            && other.hash.is_some()
            && cx.checker.cpu.allows(cx.checker.now);
        if !judged {
            return if other.rare.suspect.is_some() {
                Proof::Refuted
            } else {
                Proof::Unknown
            };
        }
        let subject = subject(other, info, Stage::Frame);
        if self.hash.reproves(&subject, &mut cx.checker) {
            Proof::Proven
        } else {
            Proof::Refuted
        }
    }

    /// Both are in one state, and the shown book is proven: the other one has
    /// the same levels or is wrong. A batch may come in several frames, so that
    /// it is given until the next state.
    fn compare(&mut self, feed: FeedId, cx: &mut Context<'_>) {
        let (Some(main), Some(other)) = (&self.main, self.others.get_mut(feed)) else {
            return;
        };
        if !main.proven || main.hash.is_none() || main.hash != other.hash {
            return;
        }
        if main.book == other.book {
            other.rare.suspect = None;
            return;
        }
        let since = *other.rare.suspect.get_or_insert(other.newest);
        if since != other.newest {
            cx.stats.events.other_feed_wrong.increment();
            self.others.take(feed);
            cx.feed_resyncs.push((feed, self.key, StaleReason::Hash));
            self.support_lost(cx);
        }
    }

    /// Shows another feed's book from now on: the same book, in the same epoch.
    fn show(&mut self, feed: FeedId, proof: Proof, extent: Extent, cx: &mut Context<'_>) {
        let Some(mut stream) = self.others.take(feed) else {
            return;
        };
        stream.proven |= proof == Proof::Proven;
        stream.rare.suspect = None;
        let held = self.held.take();
        let doubted = self.doubts.about_levels().is_some();
        let behind = self.doubts.has(Doubt::Mirror);
        let Some(mut old) = self.main.replace(stream) else {
            return;
        };
        let advanced = self
            .main
            .as_ref()
            .is_some_and(|main| main.newest > old.newest);
        cx.stats.events.first_arrivals.increment();
        self.sequence += 1;
        self.received = cx.checker.now.into();
        self.hash.forget_expectation();
        self.top.reset();
        self.doubts.settle_levels();
        if behind && !advanced {
            self.raise(Doubt::Mirror, cx);
        }
        self.diverged = false;
        self.awaited = None;
        if held.is_none() && cx.feeds.closed(old.feed).is_none() {
            if doubted && !old.proven {
                old.rare.suspect.get_or_insert(old.newest);
            }
            self.others.keep(old, cx.feeds);
        }
        if matches!(self.state, BookState::Stale(_)) {
            self.state = BookState::Live;
        }
        if let Some(main) = &self.main {
            self.history.record(main.newest, &main.book);
        }
        self.crossed_since = None;
        self.watch_crossing(cx);
        if proof == Proof::Proven {
            self.hash.replaced_by_proven(cx.checker.now);
            cx.note_change(self.key, extent);
            self.note_state(cx);
        } else {
            self.verify_shown(extent, cx);
        }
    }
}

/// Whether a book that is stale for this reason may be a right one of before.
pub(super) fn is_of_lost_word(reason: StaleReason) -> bool {
    matches!(
        reason,
        StaleReason::Mirror | StaleReason::Silent | StaleReason::Audit
    )
}

#[cfg(test)]
#[path = "arrival_tests.rs"]
mod tests;
