//! The venue's best prices against ours.
//!
//! Every change states the top after its batch. A disagreement speaks against
//! the book from the moment it arrives, though the rest of a batch may still
//! settle it; it is counted as failed when the venue moves on to another state.

use std::time::{Duration, Instant};

use polypy_core::{BestBidAsk, BookHash, Level, OrderBook, PriceChange, Timestamp, Top};

use crate::stats::IntegrityStats;

/// One book's standing with the stated top.
#[derive(Debug, Default)]
pub(crate) struct TopCheck {
    /// The state whose top disagreed and may still heal: its time, and the first
    /// bytes of its hash.
    open: Option<(Timestamp, u64)>,
    /// Since when the best prices that are stated apart from changes have been others,
    /// and the state of the book that they are not those of.
    contradicted: Option<(Instant, Timestamp)>,
}

/// How long best prices that are stated apart must have been others: they come up to
/// 0.6 s before the change that they reflect.
const STATED_APART: Duration = Duration::from_secs(2);

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

    /// Whether best prices stated apart from the changes, and after the newest, have
    /// for long been others than the book's.
    pub(crate) fn contradicts_for_long(
        &mut self,
        book: &OrderBook,
        newest: Timestamp,
        event: &BestBidAsk,
        now: Instant,
    ) -> bool {
        let sides = [
            agrees(event.best_bid, book.best_bid()),
            agrees(event.best_ask, book.best_ask()),
        ];
        if !sides.contains(&Some(false)) {
            self.contradicted = None;
            return false;
        }
        self.contradicted.take_if(|(_, state)| *state != newest);
        let (since, _) = *self.contradicted.get_or_insert((now, newest));
        now.saturating_duration_since(since) >= STATED_APART
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
            stats.top.failed.increment();
        }
        let bid = agrees(change.best_bid, book.best_bid());
        let ask = agrees(change.best_ask, book.best_ask());
        match (bid, ask) {
            (None, None) => {
                stats.top.not_applicable.increment();
                Finding::Unstated
            }
            (Some(false), _) | (_, Some(false)) => {
                self.open = Some(state);
                Finding::Disagrees
            }
            _ => {
                stats.top.passed.increment();
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
