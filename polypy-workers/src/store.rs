//! The readers' side of the books.
//!
//! A book is shown as live only if nothing that has reached the process speaks
//! against it, whether or not its worker has got to it: the mark of a dropped
//! event, the closing of its feed and the death of its worker are looked up at
//! the moment of the read.

use std::sync::Arc;
use std::time::Instant;

use polypy_core::{AssetKey, BookState, BookView, StaleReason};

use crate::book_slot::BookSlot;
use crate::shared::Shared;
use crate::stats::BookCounts;
use crate::worker::Worker;

/// Copies of books. Cheap to clone, usable from any thread at any time.
#[derive(Debug, Clone)]
pub struct BookStore {
    shared: Arc<Shared>,
}

impl BookStore {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// A copy of one book with at most `depth` levels a side. `None` before its
    /// first snapshot and after it was forgotten.
    ///
    /// Waits for the batch its worker is applying, and holds the worker up for
    /// the time of the copy.
    pub fn book(&self, asset: AssetKey, depth: usize) -> Option<BookView> {
        let worker = self.worker(asset);
        let partition = worker.books();
        let slot = partition.slot(asset)?;
        let state = self.state_of(slot, worker)?;
        slot.view(depth, state, Instant::now())
    }

    /// How far a book is to be trusted; `None` if nothing is known of it.
    pub fn state(&self, asset: AssetKey) -> Option<BookState> {
        let worker = self.worker(asset);
        let partition = worker.books();
        self.state_of(partition.slot(asset)?, worker)
    }

    /// Books by state, as the workers have marked them so far. Costs the same
    /// for any number of books.
    pub fn counts(&self) -> BookCounts {
        self.shared
            .workers
            .iter()
            .map(|worker| worker.stats().books())
            .fold(BookCounts::default(), BookCounts::plus)
    }

    fn worker(&self, asset: AssetKey) -> &Worker {
        &self.shared.workers[self.shared.worker_of(asset)]
    }

    /// The state with everything that the worker has not seen yet; `None` if
    /// the asset is forgotten.
    fn state_of(&self, slot: &BookSlot, worker: &Worker) -> Option<BookState> {
        let queue = worker.queue();
        let notice = queue.control_message(slot.key).unwrap_or_default();
        if notice.forgotten {
            return None;
        }
        if notice.settled {
            return Some(BookState::Settled);
        }
        let BookState::Live = slot.state() else {
            return Some(slot.state());
        };
        let feeds = &self.shared.feeds;
        let mark = notice.mark.filter(|mark| mark.stamp > slot.stamp());
        // What is said of its feed concerns the book if no other feed tells it.
        let lost = || {
            let feed = slot.feed()?;
            let lost = notice.lost_on(feed);
            let lost = lost.filter(|mark| mark.stamp > slot.stamp());
            let reason = lost.map(|mark| mark.reason);
            let reason = reason
                .or_else(|| slot.held_for())
                .or_else(|| feeds.closed(feed))?;
            let supported = slot.is_supported_by(feeds, |feed| notice.lost_on(feed));
            (!supported).then_some(reason)
        };
        let dead = || (!queue.is_running()).then_some(StaleReason::WorkerDied);
        let against = mark.map(|mark| mark.reason).or_else(lost).or_else(dead);
        Some(against.map_or(BookState::Live, BookState::Stale))
    }
}
