//! The books as those see them who follow their changes.
//!
//! What is written of a followed book, and when, is the books' own affair (`book`). Here
//! stands who may say which books are followed: anybody, at any time, who waits for the
//! books for a moment and leaves them alone while they are half done.

use std::sync::Arc;

use polypy_core::{AssetKey, ChangeSource, Lane};

use crate::shared::Shared;
use crate::worker::Worker;

/// One lane a worker.
pub(crate) struct Following {
    shared: Arc<Shared>,
}

impl Following {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn worker(&self, lane: Lane) -> Option<&Worker> {
        let worker = self.shared.workers.get(usize::from(lane.0))?;
        Some(worker)
    }

    /// Those of them that are in the lane: another worker knows nothing of the others.
    fn own(&self, lane: Lane, assets: &[AssetKey]) -> impl Iterator<Item = AssetKey> {
        let is_own = move |asset: &AssetKey| self.lane_of(*asset) == lane;
        assets.iter().copied().filter(is_own)
    }
}

impl ChangeSource for Following {
    fn lanes(&self) -> u16 {
        u16::try_from(self.shared.workers.len()).unwrap_or(u16::MAX)
    }

    fn lane_of(&self, asset: AssetKey) -> Lane {
        let number = self.shared.worker_of(asset);
        Lane(u16::try_from(number).unwrap_or(u16::MAX))
    }

    fn is_running(&self, lane: Lane) -> bool {
        self.worker(lane)
            .is_some_and(|worker| worker.queue().is_running())
    }

    fn follow(&self, lane: Lane, assets: &[AssetKey]) -> bool {
        let Some(worker) = self.worker(lane) else {
            return false;
        };
        // What nobody takes is not written.
        let is_done = worker
            .is_watched()
            .then(|| worker.attend(|books, now| books.follow(self.own(lane, assets), now)));
        is_done.is_none_or(|done| done.is_some())
    }

    fn unfollow(&self, lane: Lane, assets: &[AssetKey]) -> bool {
        let Some(worker) = self.worker(lane) else {
            return false;
        };
        let done = worker.attend(|books, _| books.unfollow(self.own(lane, assets)));
        done.is_some()
    }

    fn review(&self, lane: Lane) -> Option<bool> {
        self.worker(lane)?.attend(|books, now| books.review(now))
    }
}

#[cfg(test)]
#[path = "following_tests.rs"]
mod tests;
