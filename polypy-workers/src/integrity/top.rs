//! The venue's best prices against ours.
//!
//! Every change states the top after its batch. A disagreement speaks against
//! the book from the moment it arrives, though the rest of a batch may still
//! settle it; it is counted as failed when the venue moves on to another state.

use polypy_core::{BookHash, Level, OrderBook, PriceChange, Timestamp, Top};

use crate::stats::IntegrityStats;

/// One book's standing with the stated top.
#[derive(Debug, Default)]
pub(crate) struct TopCheck {
    /// The state whose top disagreed and may still heal: its time, and the first
    /// bytes of its hash.
    open: Option<(Timestamp, u64)>,
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Nothing was stated.
    Unstated,
    /// Both tops are the same.
    Agrees,
    /// They are not, or not yet.
    Disagrees,
}

impl TopCheck {
    /// The book is to be replaced: its past does not matter.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Compares the top after a frame's last change.
    pub(crate) fn check(
        &mut self,
        book: &OrderBook,
        change: &PriceChange,
        stats: &IntegrityStats,
    ) -> Finding {
        let prefix = change.hash.as_ref().map_or(0, BookHash::prefix);
        let state = (change.timestamp, prefix);
        if let Some(open) = self.open.take()
            && (open != state || change.hash.is_none())
        {
            stats.top_failed.increment();
        }
        let bid = agrees(change.best_bid, book.best_bid());
        let ask = agrees(change.best_ask, book.best_ask());
        match (bid, ask) {
            (None, None) => {
                stats.top_not_applicable.increment();
                Finding::Unstated
            }
            (Some(false), _) | (_, Some(false)) => {
                self.open = Some(state);
                Finding::Disagrees
            }
            _ => {
                stats.top_passed.increment();
                Finding::Agrees
            }
        }
    }
}

/// Whether a side's best level is the stated one; `None` if none was stated.
fn agrees(stated: Top, best: Option<Level>) -> Option<bool> {
    match stated {
        Top::Unstated => None,
        Top::Empty => Some(best.is_none()),
        Top::At(price) => Some(best.is_some_and(|level| level.price == price)),
    }
}
