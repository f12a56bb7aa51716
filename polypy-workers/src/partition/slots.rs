//! Where the slots of a partition stand.
//!
//! Entries stand where the asset's key says, so that finding one costs an index.
//! A forgotten asset leaves a tombstone until its number is given out again:
//! events still on their way cannot bring it back.

use std::hint::black_box;
use std::mem::size_of;

use polypy_core::book::LEVEL_BYTES;
use polypy_core::metrics::count;
use polypy_core::{AssetKey, BookState, Change, MarketEvent, PriceChange};

use crate::book::fast_path::{self, Rest};
use crate::book::{BookSlot, Context, FeedBook, Origin, Seen};
use crate::integrity::Past;
use crate::stats::{BookCounts, WorkerStats};

#[derive(Debug, Default)]
enum Entry {
    #[default]
    Vacant,
    Forgotten(AssetKey),
    Kept(Box<BookSlot>),
}

/// Events whose slots are fetched into the cache together before the first of
/// them is applied: enough for the waiting to overlap, and few enough for all of
/// it to be there still when its turn comes.
pub(super) const EVENTS_AHEAD: usize = 40;

/// The slots, counted by state.
#[derive(Debug, Default)]
pub(super) struct Slots {
    entries: Vec<Entry>,
    books: BookCounts,
    levels: u64,
}

impl Slots {
    /// The asset's slot, if there is one.
    #[inline]
    pub(super) fn get(&self, asset: AssetKey) -> Option<&BookSlot> {
        match self.entries.get(asset.slot())? {
            Entry::Kept(slot) if slot.key() == asset => Some(slot),
            Entry::Kept(_) | Entry::Vacant | Entry::Forgotten(_) => None,
        }
    }

    /// The asset's slot, to be altered in ways that are not counted.
    fn get_mut(&mut self, asset: AssetKey) -> Option<&mut BookSlot> {
        match self.entries.get_mut(asset.slot())? {
            Entry::Kept(slot) if slot.key() == asset => Some(slot),
            Entry::Kept(_) | Entry::Vacant | Entry::Forgotten(_) => None,
        }
    }

    /// Has come into the cache what these events, [`EVENTS_AHEAD`] at most, will look
    /// at. Where the slots are first, then the slots, then what they point to, so that
    /// none waits for another.
    #[inline(always)]
    pub(super) fn prefetch(&self, events: &[MarketEvent]) {
        let mut near = [None; EVENTS_AHEAD];
        for (near, event) in near.iter_mut().zip(events) {
            if let MarketEvent::PriceChange(change) = event
                && let Some(Entry::Kept(slot)) = self.entries.get(change.asset.slot())
            {
                *near = Some((&**slot, change));
            }
        }
        let slots = || near.iter().flatten();
        black_box(slots().fold(0, |all, (slot, _)| all | slot.book().prefetch()));
        black_box(slots().fold(0, |all, (slot, change)| {
            all | slot.book().prefetch_further(change)
        }));
    }

    /// Entries, the empty ones included.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The slot of an entry.
    pub(super) fn at(&self, entry: usize) -> Option<&BookSlot> {
        match self.entries.get(entry)? {
            Entry::Kept(slot) => Some(slot),
            Entry::Vacant | Entry::Forgotten(_) => None,
        }
    }

    /// Applies a level's change.
    #[inline(always)]
    pub(super) fn change(&mut self, change: &PriceChange, origin: Origin, cx: &mut Context) {
        if let Some(Entry::Kept(slot)) = self.entries.get_mut(change.asset.slot())
            && slot.key() == change.asset
            && fast_path::is_open(slot.book(), origin)
        {
            let (done, left) = fast_path::change(slot.book_mut(), change, origin, cx);
            match done {
                Change::Inserted => self.levels += 1,
                Change::Removed => self.levels -= 1,
                Change::Resized | Change::Unchanged => {}
            }
            if left != Rest::Nothing || cx.checker.found.is_some() {
                self.finish(left, change, cx);
            }
            return;
        }
        self.change_generally(change, origin, cx);
    }

    #[inline(never)]
    fn change_generally(&mut self, change: &PriceChange, origin: Origin, cx: &mut Context) {
        // Without a slot, a whole book that follows could not have it.
        self.ensure(change.asset, cx);
        self.with(change.asset, cx, |slot, cx| slot.change(change, origin, cx));
    }

    #[cold]
    fn finish(&mut self, left: Rest, change: &PriceChange, cx: &mut Context) {
        let before = match left {
            Rest::Checked(_, before) => Some(before),
            Rest::Nothing | Rest::LeftOut(_) | Rest::Everything => None,
        };
        self.with_since(change.asset, before, cx, |slot, cx| {
            slot.finish(left, change, cx);
        });
    }

    /// Lets `change` work on a slot and keeps the counts in step.
    #[inline]
    pub(super) fn with<T>(
        &mut self,
        asset: AssetKey,
        cx: &mut Context,
        change: impl FnOnce(&mut BookSlot, &mut Context) -> T,
    ) -> Option<T> {
        self.with_since(asset, None, cx, change)
    }

    /// The same for work that began when readers saw `before`.
    #[inline]
    fn with_since<T>(
        &mut self,
        asset: AssetKey,
        before: Option<Seen>,
        cx: &mut Context,
        change: impl FnOnce(&mut BookSlot, &mut Context) -> T,
    ) -> Option<T> {
        let slot = self.get_mut(asset)?;
        let seen = before.unwrap_or_else(|| slot.book().seen());
        let levels = slot.held_levels();
        let answer = change(slot, cx);
        if seen.state != BookState::Live && slot.state() == BookState::Live {
            slot.catch_up(cx);
        }
        let grown = slot.held_levels().wrapping_sub(levels);
        self.levels = self.levels.wrapping_add(grown);
        self.close(asset, seen, cx);
        Some(answer)
    }

    /// Sees to what follows from work on a slot, of which readers saw `before`.
    fn close(&mut self, asset: AssetKey, before: Seen, cx: &mut Context) {
        let Some(Entry::Kept(slot)) = self.entries.get_mut(asset.slot()) else {
            return;
        };
        slot.book_mut().note_seen(before, cx);
        let after = slot.book().seen();
        if after != before {
            self.books.leave(before);
            self.books.enter(after);
        }
        if let Some(price) = cx.checker.found.take()
            && let Some(complement) = slot.book().complement()
            && let Some(other) = self.get_mut(complement)
        {
            other.book_mut().add_candidate(price);
        }
    }

    /// Makes a slot unless the asset has one, or is forgotten.
    pub(super) fn ensure(&mut self, asset: AssetKey, cx: &mut Context) {
        let at = asset.slot();
        if at >= self.entries.len() {
            self.entries.resize_with(at + 1, Entry::default);
        }
        if self.is_forgotten(asset) {
            cx.stats.events.events_for_forgotten.increment();
            return;
        }
        match &self.entries[at] {
            Entry::Kept(slot) if slot.key() == asset => return,
            Entry::Kept(slot) => {
                let replaced = slot.key();
                self.forget(replaced, cx);
            }
            Entry::Vacant | Entry::Forgotten(_) => {}
        }
        let slot = BookSlot::new(asset, cx.checker.now);
        self.books.enter(slot.book().seen());
        self.entries[at] = Entry::Kept(Box::new(slot));
    }

    /// Whether the asset is forgotten: it is, or one that has had its number since.
    fn is_forgotten(&self, asset: AssetKey) -> bool {
        match self.entries.get(asset.slot()) {
            Some(Entry::Forgotten(key)) => *key == asset || key.is_after(asset),
            Some(Entry::Kept(slot)) => slot.key().is_after(asset),
            Some(Entry::Vacant) | None => false,
        }
    }

    pub(super) fn forget(&mut self, asset: AssetKey, cx: &mut Context) {
        let at = asset.slot();
        if at >= self.entries.len() {
            self.entries.resize_with(at + 1, Entry::default);
        }
        match &mut self.entries[at] {
            Entry::Kept(slot) if slot.key() != asset => return,
            Entry::Forgotten(key) if key.is_after(asset) => return,
            Entry::Kept(slot) => {
                if slot.book().shown().is_followed() {
                    cx.log.published_mut().gone(asset);
                }
                self.books.leave(slot.book().seen());
                slot.release(&cx.stats);
                self.levels -= slot.held_levels();
            }
            Entry::Vacant | Entry::Forgotten(_) => {}
        }
        self.entries[at] = Entry::Forgotten(asset);
    }

    /// From now on somebody follows this book, which may have yet to come.
    pub(super) fn follow(&mut self, asset: AssetKey, cx: &mut Context) {
        if self.is_forgotten(asset) {
            cx.log.published_mut().gone(asset);
            return;
        }
        self.ensure(asset, cx);
        if let Some(slot) = self.get_mut(asset) {
            slot.book_mut().follow(cx);
        }
    }

    /// Nobody does any more.
    pub(super) fn unfollow(&mut self, asset: AssetKey, cx: &mut Context) {
        if let Some(slot) = self.get_mut(asset) {
            slot.book_mut().unfollow(cx);
        }
    }

    /// Writes what is due to those who follow books.
    pub(super) fn write(&mut self, cx: &mut Context) {
        for asset in cx.log.published_mut().take_touched() {
            if let Some(slot) = self.get_mut(asset) {
                slot.write(cx);
            }
        }
    }

    /// Calls `alter` on every slot and counts them all again.
    pub(super) fn alter_all(
        &mut self,
        cx: &mut Context,
        mut alter: impl FnMut(&mut BookSlot, &mut Context),
    ) {
        (self.books, self.levels) = (BookCounts::default(), 0);
        for entry in &mut self.entries {
            if let Entry::Kept(slot) = entry {
                let before = slot.book().seen();
                alter(slot, cx);
                slot.book_mut().note_seen(before, cx);
                self.books.enter(slot.book().seen());
                self.levels += slot.held_levels();
            }
        }
    }

    /// Publishes how many books there are, and what they take with `more` beside them.
    pub(super) fn publish(&self, stats: &WorkerStats, more: u64) {
        stats.set_books(self.books);
        let slots = self.books.pending + self.books.readable();
        let slot_bytes = count(size_of::<BookSlot>() + FeedBook::COLD_BYTES + Past::BYTES);
        let entry_bytes = count(self.entries.capacity() * size_of::<Entry>());
        let level_bytes = self.levels * count(LEVEL_BYTES);
        stats
            .memory_bytes
            .set(slots * slot_bytes + entry_bytes + level_bytes + more);
    }
}

#[cfg(test)]
mod tests {
    use polypy_core::{AssetId, AssetInfo, BookControl, ConditionId, Interner, Side};

    use super::{BookSlot, Entry, FeedBook, LEVEL_BYTES, Past, count, size_of};
    use crate::testing::{Harness, Truth, assets, one_worker, text};

    /// Lives of one number, one after the other: the `lives` of them that are asked for.
    fn lives_of_one_number(lives: &[usize]) -> Vec<Truth> {
        let mut names = Interner::default();
        let (id, condition) = (
            AssetId::new("1").unwrap(),
            ConditionId::new("0xa1").unwrap(),
        );
        let last = lives.iter().max().unwrap();
        let mut truths = Vec::new();
        for life in 1..=*last {
            let info = names.insert(&id, &condition, |key| {
                AssetInfo::new(key, id.clone(), condition.clone())
            });
            if lives.contains(&life) {
                truths.push(Truth::new(&info));
            }
            names.remove(info.key);
        }
        truths
    }

    #[test]
    fn what_comes_late_for_an_earlier_life_brings_nothing_back() {
        for lives in [[1, 2, 3], [65_534, 65_535, 65_536]] {
            let [first, second, third] = lives_of_one_number(&lives).try_into().unwrap();
            let bench = Harness::new(one_worker());
            bench.open(1);
            let is_known = |truth: &Truth| bench.state(truth).is_some();
            bench.send(1, [first.opening()]);
            bench.send(1, [second.opening()]);
            assert!(!is_known(&first) && is_known(&second));
            bench.send(1, [first.opening()]);
            assert!(!is_known(&first) && is_known(&second), "{lives:?}");
            let mut late = first.clone();
            let change = late.change(Side::Bid, "0.48", "7");
            bench.send(1, [change, first.tick_change("0.001")]);
            assert!(second.equals(&bench.view(&second)), "{lives:?}");
            assert_eq!(bench.view(&second).tick_size, Some(text("0.01")));
            bench.router.forget(&[first.key()]);
            bench.settle_down();
            assert!(is_known(&second), "{lives:?}");
            bench.router.forget(&[second.key()]);
            bench.settle_down();
            bench.send(1, [first.opening(), second.opening()]);
            assert!(!is_known(&first) && !is_known(&second), "{lives:?}");
            // Nor does its forgetting, said late, let the later one come back.
            bench.router.forget(&[first.key()]);
            bench.settle_down();
            bench.send(1, [second.opening()]);
            assert!(!is_known(&second), "{lives:?}");
            assert!(bench.count("events_for_forgotten") > 0);
            bench.send(1, [third.opening()]);
            bench.send(1, [first.opening(), second.opening()]);
            assert!(is_known(&third), "{lives:?}");
        }
    }

    #[test]
    fn what_is_forgotten_before_anything_came_of_it_does_not_come_any_more() {
        let bench = Harness::new(one_worker());
        bench.open(1);
        for info in assets(2) {
            let truth = Truth::new(&info);
            bench.router.forget(&[truth.key()]);
            bench.settle_down();
            bench.send(1, [truth.opening()]);
            assert_eq!(bench.state(&truth), None);
        }
        // A later life of which nothing came either.
        let [first, second] = lives_of_one_number(&[1, 2]).try_into().unwrap();
        bench.router.forget(&[second.key()]);
        bench.settle_down();
        bench.send(1, [second.opening(), first.opening()]);
        assert_eq!((bench.state(&first), bench.state(&second)), (None, None));
    }

    #[test]
    fn numbers_that_no_book_has_take_memory_too() {
        let bench = Harness::new(one_worker());
        let tokens = assets(50);
        let last = Truth::new(tokens.last().unwrap());
        bench.router.forget(&[last.key()]);
        bench.settle_down();
        let entry = count(size_of::<Entry>());
        let taken = bench.memory_bytes();
        assert!((100 * entry..250 * entry).contains(&taken), "{taken}");
    }

    #[test]
    fn a_book_takes_its_memory_while_it_is_there_and_each_level_its_own() {
        let bench = Harness::new(one_worker());
        let market = assets(1);
        let (mut one, mut other) = (Truth::new(&market[0]), Truth::new(&market[1]));
        other.book = one.book.mirror();
        bench.open(1);
        bench.send(1, [one.opening()]);
        let with_one = bench.memory_bytes();
        bench.send(1, [other.opening()]);
        // Where the slots are there was room for both.
        let level = count(LEVEL_BYTES);
        let slot = count(size_of::<BookSlot>() + FeedBook::COLD_BYTES + Past::BYTES);
        assert_eq!(bench.memory_bytes() - with_one, slot + 4 * level);
        assert!((with_one - slot - 4 * level) < 100, "{with_one}");

        let with_both = bench.memory_bytes();
        for (at, mirrored) in [("0.44", "0.56"), ("0.43", "0.57"), ("0.42", "0.58")] {
            let yes = one.change(Side::Bid, at, "5");
            bench.send(1, [yes, other.change(Side::Ask, mirrored, "5")]);
        }
        assert_eq!(bench.memory_bytes() - with_both, 6 * level);
        let yes = one.change(Side::Bid, "0.43", "0");
        bench.send(1, [yes, other.change(Side::Ask, "0.57", "0")]);
        assert_eq!(bench.memory_bytes() - with_both, 4 * level);

        bench.router.forget(&[other.key()]);
        bench.settle_down();
        assert_eq!(bench.memory_bytes() - with_one, 2 * level);
    }
}
