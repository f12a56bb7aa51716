//! What speaks against a book that is otherwise live.
//!
//! From the moment something contradicts a book until it is settled, the book
//! is shown as stale, though nothing is asked for yet: usually the rest of a
//! batch or the next change settles it, and it is live again as it is, in the
//! same epoch. A doubt that lasts is a divergence.

use std::time::Instant;

use polypy_core::{BookState, StaleReason};

use super::{BookSlot, Context};
use crate::integrity::Outcome;

/// How much longer than usual a doubt may last for want of an affordable search.
const SEARCH_PATIENCE: u32 = 5;

/// Who speaks against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    Hash,
    Top,
    Mirror,
    /// A book fetched apart from the feed is ahead of it.
    Behind,
}

impl Doubt {
    /// The weightiest first.
    const ALL: [Self; 4] = [Self::Hash, Self::Top, Self::Mirror, Self::Behind];

    pub(super) fn reason(self) -> StaleReason {
        match self {
            Self::Hash => StaleReason::Hash,
            Self::Top => StaleReason::Top,
            Self::Mirror => StaleReason::Mirror,
            Self::Behind => StaleReason::Silent,
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::Hash => 1,
            Self::Top => 2,
            Self::Mirror => 4,
            Self::Behind => 8,
        }
    }
}

/// Everybody who does.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    bits: u8,
    /// When the levels came in doubt.
    since: Option<Instant>,
}

impl Doubts {
    pub(super) fn has(&self, doubt: Doubt) -> bool {
        self.bits & doubt.bit() != 0
    }

    /// Why the book is not shown as live, if it is not.
    pub(super) fn reason(&self) -> Option<StaleReason> {
        if self.bits == 0 {
            return None;
        }
        let doubt = Doubt::ALL.into_iter().find(|doubt| self.has(*doubt))?;
        Some(doubt.reason())
    }

    pub(super) fn raise(&mut self, doubt: Doubt, now: Instant) {
        self.bits |= doubt.bit();
        self.since.get_or_insert(now);
    }

    pub(super) fn settle(&mut self, doubt: Doubt) {
        if self.bits == 0 {
            return;
        }
        self.bits &= !doubt.bit();
        if self.about_levels().is_none() {
            self.since = None;
        }
    }

    /// The levels are right, or others.
    pub(super) fn settle_levels(&mut self) {
        if self.bits == 0 {
            return;
        }
        for doubt in [Doubt::Hash, Doubt::Top, Doubt::Mirror] {
            self.settle(doubt);
        }
    }

    /// Who speaks against the levels, as opposed to their being the newest.
    pub(super) fn about_levels(&self) -> Option<Doubt> {
        let mut doubts = Doubt::ALL.into_iter();
        doubts.find(|doubt| *doubt != Doubt::Behind && self.has(*doubt))
    }
}

impl BookSlot {
    /// Something speaks against the book.
    pub(super) fn raise(&mut self, doubt: Doubt, cx: &mut Context<'_>) {
        self.doubts.raise(doubt, cx.checker.now);
        self.watch(cx);
    }

    /// Sees to it that the book is looked at when time has passed.
    pub(super) fn watch(&mut self, cx: &mut Context<'_>) {
        if !self.watched {
            self.watched = true;
            cx.watched.push(self.key);
        }
    }

    /// Time has passed. Whether it is to be looked at again.
    pub(crate) fn look(&mut self, cx: &mut Context<'_>) -> bool {
        self.check_held(cx);
        self.check_crossing(cx);
        self.check_late(cx);
        self.check_doubt(cx);
        self.check_expected(cx);
        self.watched = self.crossed_since.is_some()
            || self.held.is_some()
            || self.expected.is_some()
            || (self.state == BookState::Live
                && (self.doubts.bits != 0 || self.hash.is_unchecked()));
        self.watched
    }

    /// A doubt that has lasted is a divergence.
    fn check_doubt(&mut self, cx: &mut Context<'_>) {
        let (Some(doubt), Some(since)) = (self.doubts.about_levels(), self.doubts.since) else {
            return;
        };
        let lasted = cx.checker.now.saturating_duration_since(since);
        let patience = cx.checker.config.doubt_patience;
        if self.state != BookState::Live || lasted < patience {
            return;
        }
        let outcome = match doubt {
            Doubt::Hash => self.decide_hash(cx),
            Doubt::Top | Doubt::Mirror | Doubt::Behind => Outcome::Diverged,
        };
        let given_up = outcome == Outcome::Open && lasted >= patience * SEARCH_PATIENCE;
        match outcome {
            Outcome::Proven => self.conclude(outcome, cx),
            Outcome::Diverged => self.diverge(doubt.reason(), cx),
            Outcome::Open if given_up => self.diverge(doubt.reason(), cx),
            Outcome::Open | Outcome::Reopened | Outcome::NotApplicable | Outcome::Skipped => {}
        }
    }
}
