//! Which feeds are open.
//!
//! Readers and workers ask here whether the feed a book belongs to is still
//! open, so that the closing of a socket is visible on all of its books at once
//! without a walk over them. A closed feed stays in the table, with its reason,
//! until every worker has marked its own books; after that, a feed that is not
//! in the table is closed.

use std::collections::HashMap;

use parking_lot::RwLock;
use polypy_core::{FeedId, StaleReason};

#[derive(Debug)]
pub(crate) struct Feeds {
    table: RwLock<HashMap<FeedId, FeedState>>,
    workers: usize,
}

#[derive(Debug)]
enum FeedState {
    Open,
    Closed {
        reason: StaleReason,
        /// Workers that have not marked their books yet.
        workers_left: usize,
    },
}

impl Feeds {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            table: RwLock::default(),
            workers,
        }
    }

    /// A feed begins. One that was closed stays closed: feeds never come back.
    pub(crate) fn open(&self, feed: FeedId) {
        self.table.write().entry(feed).or_insert(FeedState::Open);
    }

    /// A feed ends; `false` if it was not open.
    pub(crate) fn close(&self, feed: FeedId, reason: StaleReason) -> bool {
        let mut table = self.table.write();
        match table.get_mut(&feed) {
            Some(state @ FeedState::Open) => {
                *state = FeedState::Closed {
                    reason,
                    workers_left: self.workers,
                };
                true
            }
            Some(FeedState::Closed { .. }) | None => false,
        }
    }

    /// Why the feed is closed, `None` while it is open.
    pub(crate) fn closed(&self, feed: FeedId) -> Option<StaleReason> {
        match self.table.read().get(&feed) {
            Some(FeedState::Open) => None,
            Some(FeedState::Closed { reason, .. }) => Some(*reason),
            None => Some(StaleReason::Disconnected),
        }
    }

    /// One more worker has marked the feed's books.
    pub(crate) fn closing_applied(&self, feed: FeedId) {
        let mut table = self.table.write();
        if let Some(FeedState::Closed { workers_left, .. }) = table.get_mut(&feed) {
            *workers_left = workers_left.saturating_sub(1);
            if *workers_left == 0 {
                table.remove(&feed);
            }
        }
    }

    /// Feeds open now.
    pub(crate) fn open_count(&self) -> usize {
        let table = self.table.read();
        table
            .values()
            .filter(|state| matches!(state, FeedState::Open))
            .count()
    }

    /// Feeds of which something is remembered.
    #[cfg(test)]
    pub(crate) fn known_count(&self) -> usize {
        self.table.read().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_feed_keeps_its_reason_until_every_worker_has_seen_it() {
        let feeds = Feeds::new(2);
        let feed = FeedId(1);
        assert_eq!(feeds.closed(feed), Some(StaleReason::Disconnected));
        feeds.open(feed);
        assert_eq!(feeds.closed(feed), None);
        assert!(feeds.close(feed, StaleReason::Silent));
        assert!(!feeds.close(feed, StaleReason::Tick));
        feeds.open(feed);
        for _ in 0..2 {
            assert_eq!(feeds.closed(feed), Some(StaleReason::Silent));
            feeds.closing_applied(feed);
        }
        assert_eq!(feeds.closed(feed), Some(StaleReason::Disconnected));
        assert!(feeds.table.read().is_empty());
    }
}
