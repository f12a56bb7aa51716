//! What is missing, and why.

use std::sync::Arc;

use polypy_core::{Owner, StaleReason, TokenInfo};

/// What a gap concerns.
#[derive(Debug, Clone)]
pub enum GapScope {
    /// One token.
    Token(Arc<TokenInfo>),
    /// A subscription.
    Subscription(u64),
    /// All of the connection.
    Connection,
}

/// Why something is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapReason {
    /// For this the book was stale.
    Stale(StaleReason),
    /// The client read too slowly.
    Slow,
    /// A defect here, or more changes at once than could be published.
    Internal,
    /// The cursor is of another life of the hub.
    Restarted,
    /// The cursor is older than what is kept.
    Expired,
    /// A token was not followed all the time.
    NotFollowed,
    /// The client, of a conflated stream, read too slowly, and trades did not wait.
    TradesLeftOut,
}

impl GapReason {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stale(reason) => reason.name(),
            Self::Slow => "slow",
            Self::Internal => "internal",
            Self::Restarted => "restarted",
            Self::Expired => "expired",
            Self::NotFollowed => "not_followed",
            Self::TradesLeftOut => "trades_left_out",
        }
    }

    /// Whose doing it is.
    pub fn owner(self) -> Owner {
        match self {
            Self::Stale(reason) => reason.owner(),
            Self::Slow | Self::Expired | Self::TradesLeftOut => Owner::Client,
            Self::Internal | Self::Restarted | Self::NotFollowed => Owner::Us,
        }
    }
}

/// Something is missing here.
#[derive(Debug, Clone)]
pub struct Gap {
    /// What it concerns.
    pub scope: GapScope,
    /// Why.
    pub reason: GapReason,
    /// The last epoch before it.
    pub epoch: Option<u64>,
    /// The last sequence before it.
    pub after: Option<u64>,
    /// The first one after it.
    pub before: Option<u64>,
    /// Messages that are missing, if that is known.
    pub missing: Option<u64>,
    /// From when on, in microseconds since 1970.
    pub from_us: Option<u64>,
    /// Until when; `None`: it goes on.
    pub to_us: Option<u64>,
    /// Whether a snapshot comes for what is missing.
    pub next_is_snapshot: bool,
}
