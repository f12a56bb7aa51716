//! Since when readers have seen a book's state, and for how long it lasts.

use std::time::{Duration, Instant};

use polypy_core::BookState;

use super::trust::Trust;
use crate::stats::WorkerStats;

/// How long a book has been shown as live, or as not.
#[derive(Debug)]
pub(crate) struct StateTimer {
    since: Instant,
    /// Whether it has been stale, and not only suspect, since it was last shown as live.
    was_stale: bool,
}

impl StateTimer {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            since: now,
            was_stale: false,
        }
    }

    /// It is stale, though perhaps only for now.
    pub(crate) fn note_stale(&mut self) {
        self.was_stale = true;
    }

    /// Since when it has been shown as what the worker knows.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// For how long it has been shown so; of `state`, which may be newer than `known`,
    /// the worker's.
    pub(crate) fn lasted(&self, state: BookState, known: BookState, now: Instant) -> Duration {
        if state.name() == known.name() {
            now.saturating_duration_since(self.since)
        } else {
            Duration::ZERO
        }
    }

    /// What readers see may have changed since it was `before`.
    pub(crate) fn note(
        &mut self,
        before: BookState,
        trust: &Trust,
        stats: &WorkerStats,
        now: Instant,
    ) {
        let after = trust.state();
        if before.name() == after.name() {
            return;
        }
        let lasted = now.saturating_duration_since(self.since);
        self.since = now;
        match (before, after) {
            (_, BookState::Stale(_)) if trust.is_kept_whole() => {
                stats.integrity.suspected.increment();
                self.was_stale = false;
            }
            (BookState::Stale(_), BookState::Live) if self.was_stale => {
                stats.stale_time.record(lasted, 1);
            }
            (BookState::Stale(_), BookState::Live) => {
                stats.integrity.healed.increment();
                stats.suspect_time.record(lasted, 1);
            }
            (_, _) => {}
        }
    }
}
