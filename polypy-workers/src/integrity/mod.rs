//! How a book is checked against what the venue says of it.
//!
//! | check | against | module |
//! |---|---|---|
//! | hash | the SHA-1 that comes with every book and every change | [`hash`], with [`recipe`] and [`price`] for what the text contains besides the levels |
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
mod mirror;
mod pace;
mod price;
mod recent;
mod recipe;
mod top;

pub(crate) use audit::{AuditCheck, Expectation, Ours, Verdict};
pub(crate) use budget::{Budget, CpuBudget};
pub(crate) use hash::{HashCheck, Outcome, Stage, Subject};
pub(crate) use mirror::{Extent, agrees};
pub(crate) use recent::{Past, Recent};
pub(crate) use recipe::is_coarser;
pub(crate) use top::{Finding, TopCheck};

#[cfg(test)]
mod evidence_tests;

use polypy_core::DecimalText;

use crate::config::IntegrityConfig;
use crate::stats::IntegrityStats;

/// What every check of one worker shares.
#[derive(Debug)]
pub(crate) struct Checker<'a> {
    pub(crate) config: &'a IntegrityConfig,
    pub(crate) stats: &'a IntegrityStats,
    pub(crate) searches: &'a mut Budget,
    pub(crate) cpu: &'a mut CpuBudget,
    /// A last trade price that was found by trying: the market's other token
    /// is hashed with it, too.
    pub(crate) found: &'a mut Option<DecimalText>,
    pub(crate) now: std::time::Instant,
}
