//! How often one book is checked, and searched for, when not at every change.

use std::time::{Duration, Instant};

/// A check that the budget does not allow is made all the same after as many
/// changes, or as long: every book is proven now and then, at a hundredth of
/// the cost.
const MOST_UNCHECKED: u32 = 100;
const UNCHECKED_FOR: Duration = Duration::from_secs(1);
/// Most checks between two searches for a book on which searching keeps failing.
const MOST_UNSEARCHED: u32 = 1_024;

/// When a book has to be checked, whatever it costs.
#[derive(Debug, Default)]
pub(super) struct CheckPace {
    /// Changes since the last check, and when that was.
    unchecked: u32,
    checked: Option<Instant>,
}

impl CheckPace {
    /// Whether the book has changed since its last check.
    pub(super) fn is_behind(&self) -> bool {
        self.unchecked > 0
    }

    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        let since = |at| now.saturating_duration_since(at);
        self.unchecked >= MOST_UNCHECKED || self.checked.is_none_or(|at| since(at) >= UNCHECKED_FOR)
    }

    pub(super) fn skip(&mut self) {
        self.unchecked = self.unchecked.saturating_add(1);
    }

    /// Something depends on the next check.
    pub(super) fn force_next(&mut self) {
        self.checked = None;
    }

    pub(super) fn made(&mut self, now: Instant) {
        (self.unchecked, self.checked) = (0, Some(now));
    }

    /// What was not checked does not matter any more.
    pub(super) fn forget(&mut self) {
        self.unchecked = 0;
    }
}

/// When a search is worth while: ever more rarely, until one has helped.
#[derive(Debug, Default)]
pub(super) struct SearchPace {
    /// Checks to let pass before the next search, and how many it was last time.
    wait: u32,
    every: u32,
}

impl SearchPace {
    /// Whether it is time for one; counts as a check that passed if not.
    pub(super) fn is_due(&mut self) -> bool {
        let left = self.wait.checked_sub(1);
        self.wait = left.unwrap_or(0);
        left.is_none()
    }

    pub(super) fn made(&mut self) {
        self.wait = self.every;
        self.every = (self.every * 2 + 1).min(MOST_UNSEARCHED);
    }
}
