//! The venue's best prices against ours.
//!
//! Every change states the top after its batch. A disagreement is judged when
//! the venue moves on to another state, since the rest of a batch may be to
//! come; and only one that persists means something, because the venue itself
//! is off for a few messages now and then.

use std::time::{Duration, Instant};

use polypy_core::{BookHash, Level, OrderBook, PriceChange, Timestamp, Top};

use super::Checker;

/// One book's standing with the stated top.
#[derive(Debug, Default)]
pub(crate) struct TopCheck {
    /// The state whose top disagreed and may still heal.
    open: Option<(Timestamp, Option<BookHash>)>,
    /// Disagreements in a row, and when the first of them was.
    failures: u32,
    since: Option<Instant>,
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
    /// They have not been for too long.
    Diverged,
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
        checker: &Checker<'_>,
    ) -> Finding {
        let stats = checker.stats;
        let state = (change.timestamp, change.hash);
        if let Some(open) = self.open.take()
            && (open != state || change.hash.is_none())
        {
            stats.top_failed.increment();
            self.failures = self.failures.saturating_add(1);
            self.since.get_or_insert(checker.now);
        }
        let bid = agrees(change.best_bid, book.best_bid());
        let ask = agrees(change.best_ask, book.best_ask());
        match (bid, ask) {
            (None, None) => Finding::Unstated,
            (Some(false), _) | (_, Some(false)) => {
                self.open = Some(state);
                let lasted = self.since.map_or(Duration::ZERO, |since| {
                    checker.now.saturating_duration_since(since)
                });
                if self.failures >= checker.config.top_failures.get()
                    && lasted > checker.config.top_patience
                {
                    Finding::Diverged
                } else {
                    Finding::Disagrees
                }
            }
            _ => {
                stats.top_passed.increment();
                self.reset();
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
