//! What other feeds have sent of a book: copies in standby, changes that came before
//! a snapshot, and where something was lost.
//!
//! With two connections a token, the feeds are arbitrated state by state: whichever
//! copy has come furthest is shown, and the others follow beside it.
//!
//! Bounded: a token is on two connections at most, and one of them may be handed over
//! to a third. Takes no memory for a book that one feed alone keeps, and that was
//! never stale.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::time::Instant;

use polypy_core::book::LEVEL_BYTES;
use polypy_core::{FeedId, PriceChange, StaleReason, Timestamp};

use super::Origin;
use super::feed_book::{FeedBook, is_shortly_before};
use super::shown::Shown;
use super::trust::Trust;
use crate::feeds::Feeds;
use crate::queue::StalenessMark;

/// Copies beside the shown one.
const MOST_COPIES: usize = 2;
/// Gaps remembered: of every feed that may still bring something.
const MOST_GAPS: usize = 4;
/// Feeds whose early changes are kept, and changes kept of each: a snapshot comes
/// within half a second, one from REST within some seconds, and a busy token changes
/// forty times in one.
const MOST_EARLY_FEEDS: usize = 2;
const MOST_EARLY: usize = 256;
/// Feeds of which it is known whether what is kept has a hole before it.
const MOST_RECORDS: usize = 4;

/// Everything about a book that is not shown.
#[derive(Debug, Default)]
pub(crate) struct Standbys(Option<Box<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// At most one a feed.
    copies: Vec<FeedBook>,
    early: Vec<Early>,
    /// What came before is lost: on every feed, and on single ones.
    marked: Option<StalenessMark>,
    gaps: Vec<(FeedId, StalenessMark)>,
}

/// Changes that a feed has sent before its snapshot.
#[derive(Debug)]
struct Early {
    feed: FeedId,
    changes: VecDeque<PriceChange>,
    /// Whether the feed has sent more before the first of them, or some was lost: a
    /// whole book that is older than the first may lack that.
    has_hole: bool,
    /// How far what it has sent reaches that is in no copy of its own any more: a whole
    /// book that is older lacks some of that.
    sent_until: Option<Timestamp>,
}

/// What is to be done with a whole book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SnapshotUse {
    /// It is shown.
    Show,
    /// It is kept in standby.
    Keep,
    /// It is of no use.
    Ignore,
    /// It is not shown, and nobody can tell whether it should be.
    Unknown,
}

/// How a snapshot and the changes before it go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replayed {
    /// It has all that is known to be missing in it.
    Whole,
    /// It is older than changes that were not kept.
    Incomplete,
    /// Nobody can tell whether it has the last of them.
    Unclear,
}

impl Early {
    /// Something was lost: what is kept later has a hole before it, and what was kept is
    /// not sent again.
    fn lose(&mut self) {
        let last = self.changes.back().map(|last| last.timestamp);
        self.sent_until = self.sent_until.max(last);
        self.changes = VecDeque::new();
        self.has_hole = true;
    }
}

impl Standbys {
    fn copies(&self) -> &[FeedBook] {
        self.0.as_deref().map_or(&[], |inner| &inner.copies)
    }

    /// The feeds that have sent copies or changes.
    pub(crate) fn feeds(&self) -> impl Iterator<Item = FeedId> + '_ {
        let early = self.0.iter().flat_map(|inner| &inner.early);
        let copies = self.copies().iter().map(FeedBook::feed);
        copies.chain(early.map(|early| early.feed))
    }

    /// Levels of all copies, and as many as take the memory of the early changes.
    pub(crate) fn held_levels(&self) -> usize {
        const LEVELS_PER_CHANGE: usize = size_of::<PriceChange>() / LEVEL_BYTES;
        let early = self.0.iter().flat_map(|inner| &inner.early);
        let changes: usize = early.map(|early| early.changes.len()).sum();
        let levels: usize = self.copies().iter().map(FeedBook::depth).sum();
        levels + changes * LEVELS_PER_CHANGE
    }

    pub(crate) fn get(&self, feed: FeedId) -> Option<&FeedBook> {
        self.copies().iter().find(|copy| copy.feed() == feed)
    }

    fn get_mut(&mut self, feed: FeedId) -> Option<&mut FeedBook> {
        let copies = &mut self.0.as_deref_mut()?.copies;
        copies.iter_mut().find(|copy| copy.feed() == feed)
    }

    /// Keeps a copy in place of its feed's last one. With too many, one of a closed
    /// feed goes, or the one that is furthest behind.
    pub(crate) fn keep(&mut self, mut copy: FeedBook, feeds: &Feeds) {
        // From here on its changes are applied to it, and none is kept.
        self.forget_early(copy.feed());
        if let Some(older) = self.take(copy.feed()) {
            copy.remember_passed(&older);
        }
        let copies = &mut self.0.get_or_insert_default().copies;
        copies.push(copy);
        if copies.len() > MOST_COPIES {
            let is_open = |copy: &FeedBook| feeds.closed(copy.feed()).is_none();
            let last = copies
                .iter()
                .min_by_key(|copy| (is_open(copy), copy.newest()));
            if let Some(last) = last.map(FeedBook::feed) {
                self.give_up(last, feeds);
            }
        }
    }

    /// A feed that goes on has no copy any more: what it sends from now on has a hole
    /// before it.
    pub(crate) fn give_up(&mut self, feed: FeedId, feeds: &Feeds) {
        self.take(feed);
        if feeds.closed(feed).is_none() {
            self.early_of(feed).lose();
        }
    }

    /// Removes a feed's copy.
    pub(crate) fn take(&mut self, feed: FeedId) -> Option<FeedBook> {
        let copies = &mut self.0.as_deref_mut()?.copies;
        let at = copies.iter().position(|copy| copy.feed() == feed)?;
        Some(copies.swap_remove(at))
    }

    /// A feed has ended.
    pub(crate) fn close(&mut self, feed: FeedId) {
        self.forget_early(feed);
        self.take(feed);
    }

    /// Forgets what other feeds have sent.
    pub(crate) fn clear(&mut self) {
        if let Some(inner) = self.0.as_deref_mut() {
            inner.copies.clear();
            inner.early.clear();
        }
    }

    /// Applies a change to its feed's copy; `false` if there is none.
    pub(crate) fn change(&mut self, change: &PriceChange, feed: FeedId) -> bool {
        let Some(copy) = self.get_mut(feed) else {
            return false;
        };
        copy.apply_or_leave_out(change);
        true
    }

    /// Keeps a change for the whole book that its feed is to send; `false` if the feed
    /// is closed. `is_first`: whether its first one is the first that the feed has sent.
    pub(crate) fn keep_early(
        &mut self,
        change: &PriceChange,
        feed: FeedId,
        is_first: bool,
        feeds: &Feeds,
    ) -> bool {
        if feeds.closed(feed).is_some() {
            return false;
        }
        let early = self.early_of(feed);
        early.has_hole |= early.changes.is_empty() && !is_first;
        let Early {
            changes, has_hole, ..
        } = early;
        if changes.len() == MOST_EARLY {
            changes.pop_front();
            *has_hole = true;
        }
        changes.push_back(*change);
        true
    }

    fn early_of(&mut self, feed: FeedId) -> &mut Early {
        let early = &mut self.0.get_or_insert_default().early;
        let at = early.iter().position(|known| known.feed == feed);
        let at = at.unwrap_or_else(|| {
            // Those of the oldest go; that they have gone is remembered.
            let mut full = early.iter_mut().rev().filter(|one| !one.changes.is_empty());
            full.nth(MOST_EARLY_FEEDS - 1)
                .into_iter()
                .for_each(Early::lose);
            if early.len() == MOST_RECORDS {
                early.remove(0);
            }
            early.push(Early {
                feed,
                changes: VecDeque::new(),
                has_hole: false,
                sent_until: None,
            });
            early.len() - 1
        });
        &mut early[at]
    }

    /// A feed's changes are applied to its copy again: those kept are no whole run.
    pub(crate) fn forget_early(&mut self, feed: FeedId) {
        if let Some(inner) = self.0.as_deref_mut() {
            inner.early.retain(|early| early.feed != feed);
        }
    }

    /// Applies to a snapshot what its feed sent before it and the snapshot lacks: all
    /// that follows the change with its hash, or else all that is younger. What is kept
    /// stays kept until the snapshot is trusted.
    pub(crate) fn replay(&self, snapshot: &mut FeedBook) -> Replayed {
        let feed = snapshot.feed();
        let Some(early) = self
            .0
            .iter()
            .flat_map(|inner| &inner.early)
            .find(|early| early.feed == feed)
        else {
            return Replayed::Whole;
        };
        let (hash, began) = (snapshot.hash(), snapshot.newest());
        let mut changes = early.changes.iter();
        let known = changes.rposition(|change| hash.is_some() && change.hash == hash);
        let is_missing = |&(at, change): &(usize, &PriceChange)| {
            known.map_or(change.timestamp > began, |known| at > known)
        };
        let missing = early.changes.iter().enumerate().filter(is_missing);
        // Of what was not kept, some may be missing, too.
        let first = early.changes.front().map(|first| first.timestamp);
        if early.has_hole && known.is_none() && first.is_some_and(|first| began < first) {
            return Replayed::Incomplete;
        }
        let is_before = |until| is_shortly_before(began, until);
        if known.is_none() && early.sent_until.is_some_and(is_before) {
            return Replayed::Incomplete;
        }
        for (_, change) in missing {
            snapshot.apply_or_leave_out(change);
        }
        // One of the snapshot's own millisecond may be in it, or come next.
        let last = early.changes.back().filter(|_| known.is_none());
        let is_unclear =
            last.is_some_and(|last| last.timestamp == began && !snapshot.has_level(last));
        if is_unclear {
            return Replayed::Unclear;
        }
        Replayed::Whole
    }

    /// Whatever came before is lost, on every feed. Whether that is news.
    pub(crate) fn mark(&mut self, mark: StalenessMark) -> bool {
        if self
            .marked()
            .is_some_and(|known| known.number >= mark.number)
        {
            return false;
        }
        let lost = self
            .copies()
            .iter()
            .filter(|copy| copy.batch() < mark.number);
        let lost: Vec<_> = lost.map(FeedBook::feed).collect();
        for feed in lost {
            self.take(feed);
            self.early_of(feed);
        }
        let inner = self.0.get_or_insert_default();
        inner.marked = Some(mark);
        inner.early.iter_mut().for_each(Early::lose);
        true
    }

    /// What this feed has sent until then is shown, and the book is not the feed's any
    /// more.
    pub(crate) fn note_sent(&mut self, feed: FeedId, until: Timestamp, feeds: &Feeds) {
        if feeds.closed(feed).is_none() {
            let early = self.early_of(feed);
            early.sent_until = early.sent_until.max(Some(until));
        }
    }

    /// Something was lost on a feed.
    pub(crate) fn note_gap(&mut self, feed: FeedId, mark: StalenessMark, feeds: &Feeds) {
        if feeds.closed(feed).is_none() {
            self.early_of(feed).lose();
        }
        let inner = self.0.get_or_insert_default();
        inner
            .copies
            .retain(|copy| copy.feed() != feed || copy.batch() >= mark.number);
        inner
            .gaps
            .retain(|(known, _)| *known != feed && feeds.closed(*known).is_none());
        if inner.gaps.len() == MOST_GAPS {
            inner.gaps.remove(0);
        }
        inner.gaps.push((feed, mark));
    }

    fn marked(&self) -> Option<StalenessMark> {
        self.0.as_deref().and_then(|inner| inner.marked)
    }

    /// The newest gap on a feed.
    pub(crate) fn gap_on(&self, feed: FeedId) -> Option<StalenessMark> {
        let gaps = &self.0.as_deref()?.gaps;
        let found = gaps.iter().find(|(known, _)| *known == feed);
        found.map(|(_, mark)| *mark)
    }

    /// The mark that a snapshot of a feed has to be younger than.
    pub(crate) fn mark_on(&self, feed: FeedId) -> Option<StalenessMark> {
        let marks = [self.marked(), self.gap_on(feed)];
        marks.into_iter().flatten().max_by_key(|mark| mark.number)
    }

    /// Why a whole book that is shown cannot be trusted, if it cannot.
    pub(crate) fn void(&self, origin: Origin, replayed: Replayed) -> Option<StaleReason> {
        let mark = self.mark_on(origin.feed);
        let lost = mark.filter(|mark| mark.number > origin.number);
        let dropped = (replayed == Replayed::Incomplete).then_some(StaleReason::Dropped);
        origin.closed.or(lost.map(|mark| mark.reason)).or(dropped)
    }

    /// Whether a feed's copy has come as far as `goal`.
    pub(crate) fn has_reached(&self, feed: FeedId, goal: Timestamp) -> bool {
        self.get(feed).is_some_and(|copy| copy.newest() >= goal)
    }

    /// The reason why whatever came before is lost on every feed, if it is.
    pub(crate) fn marked_for(&self) -> Option<StaleReason> {
        self.marked().map(|mark| mark.reason)
    }

    /// Whether an open feed keeps a copy with nothing lost since, as far as the worker
    /// knows and by marks that it has not seen yet.
    pub(crate) fn is_kept(
        &self,
        feeds: &Feeds,
        unseen: impl Fn(FeedId) -> Option<StalenessMark>,
    ) -> bool {
        self.copies().iter().any(|copy| {
            let is_lost = unseen(copy.feed()).is_some_and(|mark| mark.number > copy.batch());
            can_stand_in(copy, feeds) && !is_lost
        })
    }

    /// The feeds whose copies could be shown, the furthest first.
    pub(crate) fn candidates(&self, feeds: &Feeds) -> [Option<FeedId>; 2] {
        let copies = self.copies().iter();
        let mut open = copies
            .filter(|copy| can_stand_in(copy, feeds))
            .map(|copy| (copy.newest(), copy.feed()));
        let mut found = [open.next(), open.next()];
        found.sort_unstable_by(|one, other| other.cmp(one));
        found.map(|copy| copy.map(|(_, feed)| feed))
    }

    /// How far a feed's copy has come beside the shown one: behind it, as far, or
    /// further; `None` if it has none.
    ///
    /// Two copies with one hash are in one state, and one whose state was shown is
    /// behind. Only where no hash tells does the time.
    pub(crate) fn progress(&self, feed: FeedId, shown: &Shown) -> Option<Ordering> {
        let (copy, ours) = (self.get(feed)?, shown.copy()?);
        Some(match copy.hash() {
            Some(hash) if Some(hash) == ours.hash() => Ordering::Equal,
            Some(hash) if shown.was_in(hash) => Ordering::Less,
            Some(_) | None => copy.newest().cmp(&ours.newest()),
        })
    }

    /// A copy and the shown book are in one state, and the shown one is proven: the
    /// copy has the same levels, or is wrong. A batch may come in several frames, so
    /// that it is given until the next state. Whether it is wrong.
    pub(crate) fn compare(&mut self, feed: FeedId, shown: &Shown) -> bool {
        let (Some(ours), Some(copy)) = (shown.copy(), self.get_mut(feed)) else {
            return false;
        };
        if !ours.is_proven() || ours.hash() != copy.hash() {
            return false;
        }
        if ours.levels() == copy.levels() {
            copy.settle_difference();
            copy.prove();
            return false;
        }
        copy.note_difference() != copy.newest()
    }

    /// Whether its feed's copy has come further than this whole book.
    fn is_late(&self, whole: &FeedBook) -> bool {
        self.get(whole.feed())
            .is_some_and(|copy| is_shortly_before(whole.newest(), copy.newest()))
    }

    /// What is to be done with a whole book.
    pub(crate) fn snapshot_use(
        &self,
        copy: &FeedBook,
        origin: Origin,
        shown: &Shown,
        trust: &Trust,
        feeds: &Feeds,
        now: Instant,
    ) -> SnapshotUse {
        let Some(ours) = shown.copy() else {
            return SnapshotUse::Show;
        };
        let is_live = trust.is_kept_whole();
        let was_shown = copy.hash().is_some_and(|hash| shown.was_in(hash));
        if origin.feed == ours.feed() {
            let is_behind = is_shortly_before(copy.newest(), ours.newest());
            if is_behind && trust.is_catching_up(now) {
                // What it has caught up with since is not sent again.
                return SnapshotUse::Ignore;
            }
            let is_same = copy.hash().is_some() && copy.hash() == ours.hash();
            let is_newer = match copy.newest().cmp(&ours.newest()) {
                Ordering::Greater => true,
                // Of the same millisecond, and not what we have come from.
                Ordering::Equal => !was_shown,
                Ordering::Less => false,
            };
            if !is_live || is_newer || is_same {
                return SnapshotUse::Show;
            }
            // It is stamped before the newest change. One that was shown, or is the
            // same, comes late; any other may be newer, whatever its time says. So may
            // one of the newest millisecond, to which the book may have come back.
            let is_older = copy.newest() < ours.newest();
            let is_late = (is_older && was_shown) || copy.levels() == ours.levels();
            return if is_late {
                SnapshotUse::Ignore
            } else {
                SnapshotUse::Unknown
            };
        }
        let gap = self.gap_on(origin.feed);
        if gap.is_some_and(|mark| mark.number > origin.number) {
            return SnapshotUse::Ignore;
        }
        let is_elder = origin.feed < ours.feed();
        let ours_is_open = feeds.closed(ours.feed()).is_none();
        match (is_live, origin.closed) {
            // What its feed has sent since is in its copy, and is not sent again.
            (true, None) if self.is_late(copy) => SnapshotUse::Ignore,
            // Which of the two is shown depends on which has come further.
            (true, None) => SnapshotUse::Keep,
            (true, Some(_)) => SnapshotUse::Ignore,
            _ if trust.is_settled() && is_elder => SnapshotUse::Ignore,
            // Whatever is open is better than what is not.
            (false, None) => SnapshotUse::Show,
            (false, Some(_)) if is_elder || ours_is_open => SnapshotUse::Ignore,
            (false, Some(_)) => SnapshotUse::Show,
        }
    }
}

/// Whether a copy could be shown at all.
fn can_stand_in(copy: &FeedBook, feeds: &Feeds) -> bool {
    !copy.is_doubtful() && feeds.closed(copy.feed()).is_none()
}
