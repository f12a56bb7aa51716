//! Which feeds are open, and whether they have answered since the process last
//! stood still.
//!
//! Readers and workers ask here whether the feed a book belongs to is still
//! open, so that the closing of a socket is visible on all of its books at once
//! without a walk over them. A closed feed stays in the table, with its reason,
//! until every worker has marked its own books; after that, a feed that is not
//! in the table is closed.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use polypy_core::{FeedId, StaleReason, SuspensionWatch};

#[derive(Debug)]
pub(crate) struct Feeds {
    table: RwLock<HashMap<FeedId, FeedState>>,
    workers: usize,
    suspension: Arc<SuspensionWatch>,
}

#[derive(Debug)]
enum FeedState {
    Open {
        /// The suspensions after which its socket has answered, and what it brought
        /// before that is in the books.
        confirmed: u64,
        /// Those after which it has answered, and the workers that have yet to come to
        /// that.
        answered: Option<(u64, usize)>,
    },
    Closed {
        reason: StaleReason,
        /// Workers that have not marked their books yet.
        workers_left: usize,
    },
}

impl Feeds {
    pub(crate) fn new(workers: usize, suspension: Arc<SuspensionWatch>) -> Self {
        Self {
            table: RwLock::default(),
            workers,
            suspension,
        }
    }

    /// A feed begins. One that was closed stays closed: feeds never come back.
    pub(crate) fn open(&self, feed: FeedId) {
        let confirmed = self.suspension.count();
        let open = FeedState::Open {
            confirmed,
            answered: None,
        };
        self.table.write().entry(feed).or_insert(open);
    }

    /// The feed's socket has answered after so many suspensions.
    pub(crate) fn resume(&self, feed: FeedId, suspensions: u64) {
        if let Some(FeedState::Open { answered, .. }) = self.table.write().get_mut(&feed) {
            *answered = Some((suspensions, self.workers));
        }
    }

    /// One more worker has applied all that the feed brought before that answer.
    pub(crate) fn resume_applied(&self, feed: FeedId, suspensions: u64) {
        if let Some(FeedState::Open {
            confirmed,
            answered,
        }) = self.table.write().get_mut(&feed)
            && let Some((after, workers_left)) = answered
            && *after == suspensions
        {
            *workers_left = workers_left.saturating_sub(1);
            if *workers_left == 0 {
                *confirmed = suspensions;
            }
        }
    }

    /// Whether what this feed brought may be from before a suspension. One that is
    /// closed has said all it will.
    pub(crate) fn is_suspended(&self, feed: FeedId) -> bool {
        // The lateness first: the beat that ends it makes the count grow before.
        self.suspension.is_late()
            || match self.table.read().get(&feed) {
                Some(FeedState::Open { confirmed, .. }) => *confirmed != self.suspension.count(),
                Some(FeedState::Closed { .. }) | None => false,
            }
    }

    /// Whether there is an open feed that has not answered since the last suspension.
    pub(crate) fn is_any_suspended(&self) -> bool {
        // The lateness first, as above.
        if self.suspension.is_late() {
            return true;
        }
        let count = self.suspension.count();
        let table = self.table.read();
        table.values().any(|state| match state {
            FeedState::Open { confirmed, .. } => *confirmed != count,
            FeedState::Closed { .. } => false,
        })
    }

    /// Whether no open feed has answered since the last suspension.
    pub(crate) fn are_all_suspended(&self) -> bool {
        if self.suspension.is_late() {
            return true;
        }
        let count = self.suspension.count();
        let table = self.table.read();
        let is_confirmed = |state: &FeedState| match state {
            FeedState::Open { confirmed, .. } => *confirmed == count,
            FeedState::Closed { .. } => false,
        };
        count > 0 && !table.values().any(is_confirmed)
    }

    /// A feed ends; `false` if it was not open.
    pub(crate) fn close(&self, feed: FeedId, reason: StaleReason) -> bool {
        let mut table = self.table.write();
        match table.get_mut(&feed) {
            Some(state @ FeedState::Open { .. }) => {
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
            Some(FeedState::Open { .. }) => None,
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
            .filter(|state| matches!(state, FeedState::Open { .. }))
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
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_closed_feed_keeps_its_reason_until_every_worker_has_seen_it() {
        let feeds = Feeds::new(2, Arc::default());
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

    #[test]
    fn a_feed_is_suspended_until_it_has_answered_after_the_last_suspension() {
        let time = Arc::new(AtomicU64::new(0));
        let clock = Arc::clone(&time);
        let read = move || Duration::from_secs(clock.load(Ordering::SeqCst));
        let watch = Arc::new(SuspensionWatch::new(read));
        let feeds = Feeds::new(2, Arc::clone(&watch));
        let [old, other, young] = [1, 2, 3].map(FeedId);
        watch.begin();
        feeds.open(old);
        feeds.open(other);
        assert!(!feeds.is_suspended(old) && !feeds.are_all_suspended());
        for suspensions in 1..=2 {
            time.fetch_add(10, Ordering::SeqCst);
            assert!(feeds.is_suspended(old), "before anybody has noticed");
            assert!(feeds.are_all_suspended());
            watch.beat();
            assert!(feeds.is_suspended(old) && feeds.is_suspended(other));
            assert!(feeds.are_all_suspended() && feeds.is_any_suspended());
            feeds.resume(old, suspensions - 1);
            (0..2).for_each(|_| feeds.resume_applied(old, suspensions - 1));
            assert!(feeds.is_suspended(old), "an earlier answer says nothing");
            feeds.resume(old, suspensions);
            feeds.resume_applied(old, suspensions);
            assert!(feeds.is_suspended(old), "a worker is behind");
            feeds.resume_applied(old, suspensions);
            assert!(!feeds.is_suspended(old) && feeds.is_suspended(other));
            assert!(!feeds.are_all_suspended() && feeds.is_any_suspended());
        }
        feeds.open(young);
        assert!(!feeds.is_suspended(young));
        feeds.close(other, StaleReason::Disconnected);
        feeds.resume(other, 2);
        assert!(!feeds.is_suspended(other) && !feeds.is_any_suspended());
    }
}
