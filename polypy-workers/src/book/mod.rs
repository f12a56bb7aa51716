//! One book: what is shown of it, how far that may be trusted, and what other feeds
//! have sent of it.
//!
//! | file | type | |
//! |---|---|---|
//! | `slot` | [`BookSlot`] | takes events to the copy they concern; which copy is shown, and what becomes of a lost one |
//! | `standby` | [`Standbys`] | copies of other feeds, changes before a snapshot, gaps |
//! | `checked_book` | [`CheckedBook`] | the shown book: what the checks find of it, taken to `trust` |
//! | `order` | | its changes: in order, duplicate, late |
//! | `fast_path` | | the same for a book that nothing has to be considered of |
//! | `trust` | [`Trust`] | whether it is live: one table of states and inputs |
//! | `checks` | [`Checks`] | what the checks know of it, and find |
//! | `shown` | [`Shown`] | its levels, epoch, sequence, history: what readers see |
//! | `changes` | [`ChangeLog`] | what of that has changed in a batch |
//! | `published` | [`Published`] | what those are told who follow books |
//! | `state_timer` | [`StateTimer`] | since when it has been shown as live, or as not |
//! | `feed_book` | [`FeedBook`] | one feed's copy: what is in order, a duplicate, left out |
//!
//! Several feeds may keep a book: during a hand-over, and always where each token is
//! on two connections. Each feed's copy begins with a whole book and is changed by
//! that feed alone. The one that has come furthest is shown. A live book thus never
//! moves back in time, and stays live while any open feed keeps it whole.
//!
//! A type's fields are touched in the file that declares it, and nowhere else.

mod changes;
mod checked_book;
mod checks;
pub(crate) mod fast_path;
mod feed_book;
mod order;
mod published;
mod shown;
mod slot;
mod standby;
mod state_timer;
mod trust;

use std::sync::Arc;
use std::time::Instant;

use polypy_core::{AssetKey, FeedId, StaleReason};

pub(crate) use self::changes::{ChangeLog, Update};
pub(crate) use self::checked_book::Seen;
pub(crate) use self::feed_book::{FeedBook, is_shortly_before};
pub(crate) use self::slot::BookSlot;
pub(crate) use self::trust::Cause;
use crate::compact_instant::CompactInstant;
use crate::config::IntegrityConfig;
use crate::feeds::Feeds;
use crate::integrity::Checker;
use crate::stats::WorkerStats;

/// Where a batch came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) feed: FeedId,
    pub(crate) number: u64,
    /// Why the feed is closed, if it is.
    pub(crate) closed: Option<StaleReason>,
    pub(crate) received: CompactInstant,
}

/// What the slots of a partition work with, besides themselves.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) checker: Checker,
    pub(crate) stats: Arc<WorkerStats>,
    pub(crate) feeds: Arc<Feeds>,
    /// Books to be asked for once the partition is free again: on which feed, if not on
    /// all of theirs, and why.
    pub(crate) resyncs: Vec<(Option<FeedId>, AssetKey, StaleReason)>,
    /// When to see whether a book is still stale.
    pub(crate) retries: Vec<(Instant, AssetKey)>,
    /// Books to be looked at when time has passed, each once.
    pub(crate) watched: Vec<AssetKey>,
    /// What has changed of the shown books.
    pub(crate) log: ChangeLog,
}

impl Context {
    pub(crate) fn new(
        config: &IntegrityConfig,
        feeds: Arc<Feeds>,
        stats: Arc<WorkerStats>,
        now: Instant,
    ) -> Self {
        Self {
            checker: Checker::new(config, Arc::clone(&stats), now),
            stats,
            feeds,
            resyncs: Vec::new(),
            retries: Vec::new(),
            watched: Vec::new(),
            log: ChangeLog::default(),
        }
    }

    /// Nothing of what was asked for or written matters any more, and nobody follows
    /// a book.
    pub(crate) fn clear(&mut self) {
        self.resyncs.clear();
        self.retries.clear();
        self.watched.clear();
        self.log.end_batch();
        self.log.published_mut().reset();
        self.checker.found = None;
    }
}

#[cfg(test)]
mod arrival_tests;
#[cfg(test)]
mod checked_book_tests;
#[cfg(test)]
mod fast_path_tests;
#[cfg(test)]
mod hole_tests;
#[cfg(test)]
mod slot_tests;
