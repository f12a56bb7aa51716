//! The readers' side of the books.
//!
//! A book is shown as live only if nothing that has reached the process speaks
//! against it, whether or not its worker has got to it: the mark of a dropped
//! event, the closing of its feed, a suspension of the process and the death of its
//! worker are looked up at the moment of the read.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::MutexGuard;
use polypy_core::{AssetKey, BookState, BookTop, BookView, StaleReason, TradesView};

use crate::book::BookSlot;
use crate::partition::Partition;
use crate::shared::Shared;
use crate::stats::BookCounts;
use crate::worker::Worker;

/// Books that are read while a worker is held up: some tens of microseconds.
const HELD: usize = 128;

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
        view(&partition, slot, state, depth)
    }

    /// Copies of many books, in the order of `assets`; otherwise each as
    /// [`book`](Self::book) would have it.
    ///
    /// Tokens of one market that stand side by side in `assets` are read under one hold of
    /// their worker, which holds it up for 128 copies or one more.
    pub fn books(&self, assets: &[AssetKey], depth: usize) -> Vec<Option<BookView>> {
        self.each(assets, |partition, slot, state| {
            view(partition, slot, state, depth)
        })
    }

    /// The tops of many books: as [`books`](Self::books), and much cheaper.
    pub fn tops(&self, assets: &[AssetKey]) -> Vec<Option<BookTop>> {
        self.each(assets, |_, slot, state| slot.book().top(state))
    }

    /// Reads many books, worker by worker, with the states that readers see.
    fn each<T>(
        &self,
        assets: &[AssetKey],
        read: impl Fn(&Partition, &BookSlot, BookState) -> Option<T>,
    ) -> Vec<Option<T>> {
        let worker_of = |at: usize| assets.get(at).map(|asset| self.shared.worker_of(*asset));
        let mut order: Vec<_> = (0..assets.len()).collect();
        // Stable: what stands side by side stays so.
        order.sort_by_key(|at| worker_of(*at));
        let mut found: Vec<_> = assets.iter().map(|_| None).collect();
        for of_worker in order.chunk_by(|one, other| worker_of(*one) == worker_of(*other)) {
            let mut rest = of_worker.iter().peekable();
            while let Some(first) = rest.peek() {
                let worker = self.worker(assets[**first]);
                let partition = worker.books();
                let mut held = 0;
                let mut other_token = None;
                while let Some(at) = rest.next_if(|at| {
                    held < HELD || other_token.is_some() && other_token == Some(assets[**at])
                }) {
                    held += 1;
                    other_token = None;
                    if let Some(slot) = partition.slot(assets[*at]) {
                        other_token = slot.book().complement();
                        let state = self.state_of(slot, worker);
                        found[*at] = state.and_then(|state| read(&partition, slot, state));
                    }
                }
                // Whoever waits is next: a reader of many books would come first each time.
                MutexGuard::unlock_fair(partition);
            }
        }
        found
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

    /// The workers, each of which has a lane.
    pub(crate) fn workers(&self) -> &[Arc<Worker>] {
        &self.shared.workers
    }

    fn worker(&self, asset: AssetKey) -> &Worker {
        &self.shared.workers[self.shared.worker_of(asset)]
    }

    /// The state with everything that the worker has not seen yet; `None` if
    /// the asset is forgotten.
    pub(crate) fn state_of(&self, slot: &BookSlot, worker: &Worker) -> Option<BookState> {
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

/// What readers see of a book.
fn view(
    partition: &Partition,
    slot: &BookSlot,
    state: BookState,
    depth: usize,
) -> Option<BookView> {
    let view = slot.book().view(depth, state, Instant::now())?;
    Some(BookView {
        last_trade: partition.last_trade(slot.key()),
        ..view
    })
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
