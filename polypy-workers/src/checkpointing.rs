//! Copies of the books for a recorder, a page at a time.
//!
//! What the copies lack waits in the worker's queue while they are made, for whoever
//! takes a batch from it holds the books until that is applied. So the oldest batch that
//! waits says from when on something may be missing.

use std::time::Instant;

use parking_lot::MutexGuard;
use polypy_core::{AssetKey, BookPosition, BookStatus, Checkpoint, CheckpointSource, Copied, Lane};

use crate::book::BookSlot;
use crate::store::BookStore;
use crate::worker::Worker;

/// Places looked at under one hold of the books, and copies made: some ten microseconds.
const LOOKS: usize = 256;
const COPIES: usize = 16;

/// One lane a worker.
pub(crate) struct Checkpointing {
    store: BookStore,
}

impl Checkpointing {
    pub(crate) fn new(store: BookStore) -> Self {
        Self { store }
    }

    /// The book in the state that readers see; `None` if there is none.
    fn copy_of(&self, slot: &BookSlot, worker: &Worker, now: Instant) -> Option<Checkpoint> {
        let state = self.store.state_of(slot, worker)?;
        let known = slot.book().status();
        // What readers see before the worker does began just now.
        let is_known = state.name() == known.state.name();
        slot.book().checkpoint(BookStatus {
            state,
            since: if is_known { known.since } else { now },
            ..known
        })
    }
}

impl CheckpointSource for Checkpointing {
    fn lanes(&self) -> u16 {
        u16::try_from(self.store.workers().len()).unwrap_or(u16::MAX)
    }

    fn copy(
        &self,
        lane: Lane,
        from: usize,
        wanted: &dyn Fn(AssetKey, BookPosition) -> bool,
        out: &mut Vec<Checkpoint>,
    ) -> Option<Copied> {
        let worker = self.store.workers().get(usize::from(lane.0))?;
        let books = worker.try_books()?;
        let applied_before = worker.queue().applied_before()?;
        let now = Instant::now();
        let (mut at, mut copies) = (from, 0);
        let end = books.places().min(from.saturating_add(LOOKS));
        while at < end && copies < COPIES {
            let slot = books.slot_at(at);
            at += 1;
            if let Some(slot) = slot.filter(|slot| slot.book().copy().is_some())
                && wanted(slot.key(), slot.book().position())
                && let Some(copy) = self.copy_of(slot, worker, now)
            {
                out.push(copy);
                copies += 1;
            }
        }
        let next = (at < books.places()).then_some(at);
        // Whoever waits is next: a walk over all books would come first each time.
        MutexGuard::unlock_fair(books);
        Some(Copied {
            next,
            applied_before,
        })
    }
}

#[cfg(test)]
#[path = "checkpointing_tests.rs"]
mod tests;
