//! The seam between the layer that reads sockets and the layer that writes books.
//!
//! A *feed* is one life of one socket: it begins when the socket opens and never
//! comes back; feed ids only grow. What a feed tells of a book begins with its
//! snapshot, is changed by that feed alone, and ends with it. Several feeds may
//! tell the same book: **of those that tell it whole, the one that has come
//! furthest in exchange time is shown**, and it is live while there is one.

use std::fmt;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::event::{BookEvent, MarketEvent};
use crate::key::AssetKey;

/// One life of one socket. Greater is younger; zero is nobody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct FeedId(pub u64);

impl fmt::Display for FeedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Why a book is not to be trusted until its next snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StaleReason {
    /// The socket it was fed by closed or was lost.
    Disconnected,
    /// We dropped an event for it: a full queue.
    Dropped,
    /// The thread that kept it died.
    WorkerDied,
    /// An event for it could not be decoded.
    Undecodable,
    /// Its levels do not give the venue's hash.
    Hash,
    /// Its best bid or best ask disagrees with the venue's.
    Top,
    /// It is not the mirror image of the market's other token.
    Mirror,
    /// A whole book fetched apart from the feed has other levels.
    Audit,
    /// It stayed crossed longer than a moment.
    Crossed,
    /// The price grid became coarser: old levels may be off it.
    Tick,
    /// It was taken off its feed, to be resubscribed.
    Resubscribing,
    /// Its feed is open, and is behind what is known of it or says nothing.
    Silent,
    /// The process stood still, and its socket has not answered since.
    Suspended,
}

impl StaleReason {
    /// Every reason, in the order of their declaration.
    pub const ALL: [Self; 13] = [
        Self::Disconnected,
        Self::Dropped,
        Self::WorkerDied,
        Self::Undecodable,
        Self::Hash,
        Self::Top,
        Self::Mirror,
        Self::Audit,
        Self::Crossed,
        Self::Tick,
        Self::Resubscribing,
        Self::Silent,
        Self::Suspended,
    ];

    /// The reason's name as JSON shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Dropped => "dropped",
            Self::WorkerDied => "worker_died",
            Self::Undecodable => "undecodable",
            Self::Hash => "hash",
            Self::Top => "top",
            Self::Mirror => "mirror",
            Self::Audit => "audit",
            Self::Crossed => "crossed",
            Self::Tick => "tick",
            Self::Resubscribing => "resubscribing",
            Self::Silent => "silent",
            Self::Suspended => "suspended",
        }
    }

    /// Whose doing it is, as far as that can be told from the reason. A failed check
    /// is the venue's until something else is known: what it sent does not agree.
    pub fn owner(self) -> Owner {
        match self {
            Self::Disconnected => Owner::Network,
            Self::Dropped | Self::WorkerDied | Self::Resubscribing | Self::Suspended => Owner::Us,
            Self::Undecodable
            | Self::Hash
            | Self::Top
            | Self::Mirror
            | Self::Audit
            | Self::Crossed
            | Self::Tick
            | Self::Silent => Owner::Venue,
        }
    }
}

/// Whose doing a loss is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// What the venue said was wrong, or it did not say what it should have.
    Venue,
    /// A connection failed.
    Network,
    /// This process: a full queue, a panic, a suspension, a decision of its own.
    Us,
    /// A client that reads too slowly.
    Client,
}

/// Which copies of a book a request concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Those of every feed that carries it.
    AllFeeds,
    /// One feed's copy only.
    Feed(FeedId),
}

/// Where a feed delivers its events and reports on itself. Implemented by the
/// router; called by sockets, each for its own feed.
///
/// No call ever waits for room: what cannot be queued is dropped, counted, and the
/// asset it concerned is shown as stale before the call returns. A call may do a
/// share of the work itself.
pub trait EventSink: Send + Sync {
    /// Hands over what one read of one socket returned, in order. Leaves
    /// `events` empty, with its memory.
    fn deliver(&self, feed: FeedId, events: &mut Vec<MarketEvent>);

    /// A socket opened; books may now belong to it.
    fn feed_opened(&self, feed: FeedId);

    /// A socket is gone; every book that no other open feed tells is stale from
    /// this call on.
    fn feed_closed(&self, feed: FeedId, reason: StaleReason);

    /// This feed's copy of these books is stale from this call on, until a
    /// snapshot of its own that is delivered after it. Other feeds' copies are
    /// not concerned.
    fn mark_feed_stale(&self, feed: FeedId, assets: &[AssetKey], reason: StaleReason);

    /// The feed's socket has answered a question that was put after so many
    /// suspensions of the process ([`SuspensionWatch::count`]), and everything that
    /// came before the answer was delivered. A feed that opens needs no such word:
    /// all it brings is newer.
    ///
    /// [`SuspensionWatch::count`]: crate::SuspensionWatch::count
    fn feed_resumed(&self, feed: FeedId, suspensions: u64);
}

/// What discovery says of books as a whole, whichever feeds carry them.
/// Implemented by the router; called by the lifecycle controller. No call waits.
pub trait BookControl: Send + Sync {
    /// These books are stale from this call on, every feed's copy of them, until
    /// a snapshot that is delivered after it.
    fn mark_stale(&self, assets: &[AssetKey], reason: StaleReason);

    /// The market is settled: its book is kept readable, and never live again.
    fn settle(&self, assets: &[AssetKey]);

    /// The asset is forgotten: its book and everything about it is freed.
    fn forget(&self, assets: &[AssetKey]);
}

/// Where books go that were fetched apart from any feed, to be compared with what
/// the feeds have made of them. Implemented by the router; called by the auditor.
pub trait AuditSink: Send + Sync {
    /// A whole book from REST. It is evidence and never applied: it can prove a
    /// book, or speak against it. One that cannot be queued is dropped and counted.
    ///
    /// `requested`: when it was asked for. The venue may have made it any time after
    /// that, so that it settles nothing that has contradicted the book since.
    fn audit(&self, book: Box<BookEvent>, requested: Instant);
}

/// Where a request for a fresh snapshot goes. Implemented by the pool's queue;
/// called by the thread that finds that a book is not right. Never blocks; asking twice is
/// asking once.
pub trait ResyncSink: Send + Sync {
    /// Asks for new snapshots of these assets, on one feed only where the others'
    /// copies are as they should be.
    fn resync(&self, scope: Scope, assets: &[AssetKey], reason: StaleReason);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_is_shown_as_its_number() {
        assert_eq!(FeedId(17).to_string(), "17");
    }

    #[test]
    fn a_reason_says_whose_doing_it_is() {
        assert_eq!(StaleReason::Disconnected.owner(), Owner::Network);
        assert_eq!(StaleReason::Dropped.owner(), Owner::Us);
        assert_eq!(StaleReason::Hash.owner(), Owner::Venue);
        assert_eq!(serde_json::to_value(Owner::Us).unwrap(), "us");
    }

    #[test]
    fn every_reason_stands_at_its_place_under_the_name_json_shows() {
        for (at, reason) in StaleReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at);
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.name());
        }
    }
}
