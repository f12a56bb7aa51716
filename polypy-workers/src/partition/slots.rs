//! Where the slots of a partition stand.
//!
//! Entries stand where the asset's key says, so that finding one costs an index.
//! A forgotten asset leaves a tombstone until its number is given out again:
//! events still on their way cannot bring it back.

use std::mem::size_of;

use polypy_core::{AssetKey, Level, MarketEvent};

use crate::book_slot::{BookSlot, Context};
use crate::counter::count;
use crate::integrity::Recent;
use crate::stats::{BookCounts, WorkerStats};

#[derive(Debug, Default)]
enum Entry {
    #[default]
    Vacant,
    Forgotten(AssetKey),
    Kept(Box<BookSlot>),
}

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
            Entry::Kept(slot) if slot.key == asset => Some(slot),
            Entry::Kept(_) | Entry::Vacant | Entry::Forgotten(_) => None,
        }
    }

    /// The asset's slot, to be altered in ways that are not counted.
    fn get_mut(&mut self, asset: AssetKey) -> Option<&mut BookSlot> {
        match self.entries.get_mut(asset.slot())? {
            Entry::Kept(slot) if slot.key == asset => Some(slot),
            Entry::Kept(_) | Entry::Vacant | Entry::Forgotten(_) => None,
        }
    }

    /// Has come into the cache what these events will look at. The slots first
    /// and then what they point to, so that neither waits for the other.
    pub(super) fn touch<'a>(&self, events: impl Iterator<Item = &'a MarketEvent> + Clone) {
        let changes = || {
            events.clone().filter_map(|event| match event {
                MarketEvent::PriceChange(change) => Some(change),
                _ => None,
            })
        };
        let slot = |asset: AssetKey| match self.entries.get(asset.slot()) {
            Some(Entry::Kept(slot)) => Some(slot),
            Some(Entry::Vacant | Entry::Forgotten(_)) | None => None,
        };
        for change in changes() {
            if let Some(slot) = slot(change.asset) {
                slot.touch();
            }
        }
        for change in changes() {
            if let Some(slot) = slot(change.asset) {
                slot.touch_levels(change.side);
            }
        }
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

    /// Lets `change` work on a slot and keeps the counts in step.
    #[inline]
    pub(super) fn with<T>(
        &mut self,
        asset: AssetKey,
        cx: &mut Context<'_>,
        change: impl FnOnce(&mut BookSlot, &mut Context<'_>) -> T,
    ) -> Option<T> {
        let Entry::Kept(slot) = self.entries.get_mut(asset.slot())? else {
            return None;
        };
        if slot.key != asset {
            return None;
        }
        let (state, levels) = (slot.state(), slot.levels());
        let answer = change(slot, cx);
        if slot.state() != state {
            slot.note_shown(state, cx.stats, cx.checker.now);
            self.books.leave(state);
            self.books.enter(slot.state());
        }
        self.levels = self.levels.wrapping_sub(levels).wrapping_add(slot.levels());
        if let Some(price) = cx.checker.found.take()
            && let Some(complement) = slot.complement
            && let Some(other) = self.get_mut(complement)
        {
            other.hear(price);
        }
        Some(answer)
    }

    /// Makes a slot unless the asset has one, or is forgotten.
    pub(super) fn ensure(&mut self, asset: AssetKey, cx: &Context<'_>) {
        let at = asset.slot();
        if at >= self.entries.len() {
            self.entries.resize_with(at + 1, Entry::default);
        }
        match &self.entries[at] {
            Entry::Forgotten(key) if *key == asset => {
                cx.stats.events.events_for_forgotten.increment();
                return;
            }
            // Of two assets with one number the greater key is the newer.
            Entry::Kept(slot) if slot.key == asset => return,
            Entry::Kept(slot) if slot.key > asset => {
                cx.stats.events.events_for_forgotten.increment();
                return;
            }
            Entry::Kept(slot) => {
                let replaced = slot.key;
                self.forget(replaced);
            }
            Entry::Vacant | Entry::Forgotten(_) => {}
        }
        let slot = BookSlot::new(asset, cx.checker.now);
        self.books.enter(slot.state());
        self.entries[at] = Entry::Kept(Box::new(slot));
    }

    pub(super) fn forget(&mut self, asset: AssetKey) {
        let at = asset.slot();
        if at >= self.entries.len() {
            self.entries.resize_with(at + 1, Entry::default);
        }
        match &self.entries[at] {
            Entry::Kept(slot) if slot.key != asset => return,
            Entry::Kept(slot) => {
                self.books.leave(slot.state());
                self.levels -= slot.levels();
            }
            Entry::Vacant | Entry::Forgotten(_) => {}
        }
        self.entries[at] = Entry::Forgotten(asset);
    }

    /// Calls `alter` on every slot and counts them all anew.
    pub(super) fn alter_all(&mut self, mut alter: impl FnMut(&mut BookSlot)) {
        (self.books, self.levels) = (BookCounts::default(), 0);
        for entry in &mut self.entries {
            if let Entry::Kept(slot) = entry {
                alter(slot);
                self.books.enter(slot.state());
                self.levels += slot.levels();
            }
        }
    }

    pub(super) fn publish(&self, stats: &WorkerStats) {
        stats.set_books(self.books);
        let slots = self.books.pending + self.books.readable();
        let slot_bytes = count(size_of::<BookSlot>() + Recent::BYTES);
        let entry_bytes = count(self.entries.capacity() * size_of::<Entry>());
        let level_bytes = self.levels * count(size_of::<Level>());
        stats
            .memory_bytes
            .set(slots * slot_bytes + entry_bytes + level_bytes);
    }
}
