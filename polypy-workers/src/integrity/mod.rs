//! How a book is checked against what the venue says of it.
//!
//! | check | against | module |
//! |---|---|---|
//! | hash | the SHA-1 that comes with every book and every change | [`hash`], with [`recipe`] and [`price`] for what the text contains besides the levels |
//! | top | the best prices that come with every change | [`top`] |
//!
//! A check only finds out; what follows from a finding is decided by the slot.
//! Checks are made when an asset's last change of a frame is applied. Frames
//! that share timestamp and hash are one state: a failure counts when the venue
//! has moved on to another state without it having healed.

mod budget;
mod hash;
mod price;
mod recipe;
mod top;

pub(crate) use budget::Budget;
pub(crate) use hash::{HashCheck, Outcome, Subject};
pub(crate) use recipe::is_coarser;
pub(crate) use top::{Finding, TopCheck};

use crate::config::IntegrityConfig;
use crate::stats::IntegrityStats;

/// What every check of one worker shares.
#[derive(Debug)]
pub(crate) struct Checker<'a> {
    pub(crate) config: &'a IntegrityConfig,
    pub(crate) stats: &'a IntegrityStats,
    pub(crate) searches: &'a mut Budget,
    pub(crate) now: std::time::Instant,
}
