//! How a book is checked against what the venue says of it.
//!
//! | check | against | module |
//! |---|---|---|
//! | hash | the SHA-1 that comes with every book and every change | [`hash`], with [`hash_format`] and [`price`] for what the text contains besides the levels |
//! | top | the best prices that come with every change | [`top`] |
//! | mirror | the market's other token at the same exchange time | [`mirror`] |
//! | audit | a whole book fetched apart from the feed | [`audit`], with [`recent`] for what REST may still show |
//!
//! A check only finds out; what follows from a finding is decided by the slot.
//! Checks are made when an asset's last change of a frame is applied. Frames
//! that share timestamp and hash are one state: a failure counts when the venue
//! has moved on to another state without it having healed.

mod audit;
mod budget;
mod hash;
mod hash_format;
mod mirror;
mod pace;
mod price;
mod recent;
mod top;

pub(crate) use audit::{AuditCheck, Expectation, Verdict};
pub(crate) use budget::{Budget, CpuBudget};
pub(crate) use hash::{HashCheck, Outcome, Stage, Subject};
pub(crate) use hash_format::is_coarser;
pub(crate) use mirror::{Extent, Mirrored, compare};
pub(crate) use recent::{Past, Recent};
pub(crate) use top::{Finding, TopCheck};

#[cfg(test)]
mod evidence_tests;

use std::sync::Arc;
use std::time::Instant;

use polypy_core::{BookHash, DecimalText, OrderBook, Timestamp};

use crate::config::IntegrityConfig;
use crate::stats::{IntegrityStats, WorkerStats};

/// The state that a book of ours is in.
#[derive(Debug)]
pub(crate) struct Ours<'a> {
    pub(crate) levels: &'a OrderBook,
    pub(crate) newest: Timestamp,
    pub(crate) hash: Option<BookHash>,
    pub(crate) is_proven: bool,
    pub(crate) is_kept_whole: bool,
}

/// What every check of one worker shares.
#[derive(Debug)]
pub(crate) struct Checker {
    pub(crate) config: IntegrityConfig,
    pub(crate) searches: Budget,
    pub(crate) cpu: CpuBudget,
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
            searches: Budget::new(config.searches_per_second, now),
            cpu: CpuBudget::new(config.hash_cpu_percent, now),
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
