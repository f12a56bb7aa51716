//! How a book is checked against what the venue says of it.
//!
//! | check | against | module |
//! |---|---|---|
//! | hash | the SHA-1 that comes with every book and every change | [`hash`], with [`hash_format`] and [`price`] for what the text contains besides the levels, and [`format_doubt`] |
//! | top | the best prices that come with every change | [`top`] |
//! | mirror | the market's other token at the same exchange time | [`mirror`] |
//! | audit | a whole book fetched apart from the feed | [`audit`], with [`recent`] for what REST may still show |
//!
//! A check only finds out; what follows from a finding is for the book to decide.
//! Checks are made when an asset's last change of a frame is applied. Frames
//! that share timestamp and hash are one state: a failure counts when the venue
//! has moved on to another state without it having healed.

mod audit;
mod budget;
mod format_doubt;
mod hash;
mod hash_format;
mod mirror;
mod pace;
mod price;
mod recent;
mod top;

pub(crate) use audit::{AuditCheck, Expectation, Verdict};
pub(crate) use budget::CpuBudget;
pub(crate) use format_doubt::FormatDoubt;
pub(crate) use hash::{HashCheck, Outcome, Stage, Subject};
pub(crate) use hash_format::is_coarser;
pub(crate) use mirror::{Extent, Mirrored, compare};
pub(crate) use recent::{Past, Recent};
pub(crate) use top::{Finding, TopCheck};

#[cfg(test)]
mod evidence_tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use polypy_core::{BookHash, DecimalText, OrderBook, Timestamp, TokenBucket};

use crate::config::IntegrityConfig;
use crate::stats::{IntegrityStats, WorkerStats};

/// The state that a book of ours is in.
#[derive(Debug)]
pub(crate) struct Ours<'a> {
    pub(crate) levels: &'a OrderBook,
    pub(crate) newest: Timestamp,
    pub(crate) hash: Option<BookHash>,
    /// Whether its hashes can be reproduced.
    pub(crate) is_verifiable: bool,
    pub(crate) is_proven: bool,
    pub(crate) is_kept_whole: bool,
}

impl Ours<'_> {
    /// Whether states are compared by their levels: a hash that cannot be reproduced
    /// may be another here than there.
    fn is_told_by_levels(&self) -> bool {
        self.hash.is_none() || !self.is_verifiable
    }
}

/// What every check of one worker shares.
#[derive(Debug)]
pub(crate) struct Checker {
    pub(crate) config: IntegrityConfig,
    pub(crate) searches: TokenBucket,
    pub(crate) cpu: CpuBudget,
    /// Whether failures are to be blamed on what is hashed.
    pub(crate) format_doubt: FormatDoubt,
    /// A last trade price that was found by trying: the market's other token
    /// is hashed with it, too.
    pub(crate) found: Option<DecimalText>,
    pub(crate) now: Instant,
    pub(crate) stats: Arc<WorkerStats>,
}

impl Checker {
    pub(crate) fn new(config: &IntegrityConfig, stats: Arc<WorkerStats>, now: Instant) -> Self {
        Self {
            config: config.clone(),
            searches: TokenBucket::new(config.searches_per_second, Duration::from_secs(1)),
            cpu: CpuBudget::new(config.hash_cpu_percent, now),
            format_doubt: FormatDoubt::default(),
            found: None,
            now,
            stats,
        }
    }

    /// What the checks have found so far.
    pub(crate) fn stats(&self) -> &IntegrityStats {
        &self.stats.integrity
    }
}
