//! The readers' side of the books.
//!
//! A book is shown as live only if nothing that has reached the process speaks
//! against it, whether or not its worker has got to it: the mark of a dropped
//! event, the closing of its feed, a suspension of the process and the death of its
//! worker are looked up at the moment of the read.

use std::sync::Arc;
use std::time::Instant;

use polypy_core::{AssetKey, BookState, BookView, StaleReason, TradesView};

use crate::book::BookSlot;
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
        let view = slot.book().view(depth, state, Instant::now())?;
        Some(BookView {
            last_trade: partition.last_trade(asset),
            ..view
        })
    }

    /// The newest `limit` trades of a token, as far as they are kept. `None` if nothing is
    /// known of it, and after it was forgotten.
    pub fn trades(&self, asset: AssetKey, limit: usize) -> Option<TradesView> {
        let worker = self.worker(asset);
        let partition = worker.books();
        self.state_of(partition.slot(asset)?, worker)?;
        let (sequence, trades) = partition.newest_trades(asset, limit);
        Some(TradesView {
            key_life: asset.life(),
            sequence,
            trades,
        })
    }

    /// How far a book is to be trusted; `None` if nothing is known of it.
    pub fn state(&self, asset: AssetKey) -> Option<BookState> {
        let worker = self.worker(asset);
        let partition = worker.books();
        self.state_of(partition.slot(asset)?, worker)
    }

    /// Books by state, as the workers have marked them so far; while no feed has
    /// answered since a suspension of the process none is live. Costs the same for
    /// any number of books.
    pub fn counts(&self) -> BookCounts {
        let workers = self.shared.workers.iter();
        let counts = workers
            .map(|worker| worker.stats().books())
            .fold(BookCounts::default(), BookCounts::plus);
        if self.shared.feeds.are_all_suspended() {
            counts.with_live_as(StaleReason::Suspended)
        } else {
            counts
        }
    }

    fn worker(&self, asset: AssetKey) -> &Worker {
        &self.shared.workers[self.shared.worker_of(asset)]
    }

    /// The state with everything that the worker has not seen yet; `None` if
    /// the asset is forgotten.
    fn state_of(&self, slot: &BookSlot, worker: &Worker) -> Option<BookState> {
        let queue = worker.queue();
        let message = queue.control_message(slot.key()).unwrap_or_default();
        if message.forgotten {
            return None;
        }
        let feeds = &self.shared.feeds;
        let state = slot.state_with(&message, feeds, !queue.is_running());
        if state == BookState::Live && slot.is_suspended(feeds) {
            return Some(BookState::Stale(StaleReason::Suspended));
        }
        Some(state)
    }
}
