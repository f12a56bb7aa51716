//! One book: what is shown of it, how far that may be trusted, and what other feeds
//! have sent of it.
//!
//! | file | type | |
//! |---|---|---|
//! | `slot` | [`BookSlot`] | takes events to the parts below, and does what follows |
//! | `trust` | [`Trust`] | whether the book is live: one table of states and inputs |
//! | `shown` | [`Shown`] | levels, epoch, sequence, history: what readers see |
//! | `changes` | [`ChangeLog`] | what of that has changed, for whoever follows it |
//! | `standby` | [`Standbys`] | copies of other feeds, changes before a snapshot, gaps |
//! | `feed_book` | [`FeedBook`] | one feed's copy: what is in order, a copy, left out |
//!
//! Several feeds may keep a book: during a hand-over, and always where each token is
//! on two connections. Each feed's copy begins with a whole book and is changed by
//! that feed alone. The one that has come furthest is shown. A live book thus never
//! moves back in time, and stays live while any open feed keeps it whole.
//!
//! A type's fields are touched in the file that declares it, and nowhere else.

mod changes;
mod feed_book;
mod shown;
mod slot;
mod standby;
mod trust;

use std::time::Instant;

use polypy_core::{AssetKey, FeedId, StaleReason};

pub(crate) use self::changes::{ChangeLog, Update};
pub(crate) use self::feed_book::FeedBook;
pub(crate) use self::slot::{BookSlot, Mirrored, Rest};
use crate::feeds::Feeds;
use crate::integrity::Checker;
use crate::moment::Moment;
use crate::stats::WorkerStats;

/// Where a batch came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) feed: FeedId,
    pub(crate) stamp: u64,
    /// Why the feed is closed, if it is.
    pub(crate) closed: Option<StaleReason>,
    pub(crate) received: Moment,
}

/// What a slot needs from its partition.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) checker: Checker<'a>,
    pub(crate) stats: &'a WorkerStats,
    pub(crate) feeds: &'a Feeds,
    /// Books to be asked for once the partition is free again.
    pub(crate) resyncs: &'a mut Vec<(AssetKey, StaleReason)>,
    /// The same, on one feed only: another keeps the book as it should be.
    pub(crate) feed_resyncs: &'a mut Vec<(FeedId, AssetKey, StaleReason)>,
    /// When to see whether a book is still stale.
    pub(crate) retries: &'a mut Vec<(Instant, AssetKey)>,
    /// Books to be looked at when time has passed.
    pub(crate) watched: &'a mut Vec<AssetKey>,
    /// What has changed of the shown books.
    pub(crate) log: &'a mut ChangeLog,
}

#[cfg(test)]
mod arrival_tests;
#[cfg(test)]
mod fast_path_tests;
#[cfg(test)]
mod slot_tests;
