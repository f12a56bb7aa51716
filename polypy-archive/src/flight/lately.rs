//! What happened lately apart from sockets: markets that ended, and that the process did not
//! run. It is kept as long as what sockets said.

use std::collections::VecDeque;
use std::time::Instant;

use polypy_core::MarketChange;

use super::ring::KEPT_FOR;

/// Of so many markets it is kept that they ended: more than ever do at once.
const MOST_ENDED: usize = 4_096;

/// What happened, each with its moment, the oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Lately {
    ended: VecDeque<(Instant, MarketChange)>,
    suspended: VecDeque<Instant>,
    /// Since when the program ends.
    pub(super) ending: Option<Instant>,
}

impl Lately {
    /// A market was decided, or is followed no longer.
    pub(super) fn ended(&mut self, change: MarketChange, at: Instant) {
        self.forget(at);
        if self.ended.len() == MOST_ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back((at, change));
    }

    /// The process did not run for seconds until now.
    pub(super) fn suspended(&mut self, at: Instant) {
        self.forget(at);
        self.suspended.push_back(at);
    }

    /// A copy of what there is.
    pub(super) fn freeze(&mut self, now: Instant) -> Self {
        self.forget(now);
        self.clone()
    }

    /// All of it.
    pub(super) fn into_parts(self) -> (VecDeque<(Instant, MarketChange)>, VecDeque<Instant>) {
        (self.ended, self.suspended)
    }

    fn forget(&mut self, now: Instant) {
        let is_old = |at: Instant| now.saturating_duration_since(at) > KEPT_FOR;
        while self.ended.front().is_some_and(|(at, _)| is_old(*at)) {
            self.ended.pop_front();
        }
        while self.suspended.front().is_some_and(|at| is_old(*at)) {
            self.suspended.pop_front();
        }
    }
}
