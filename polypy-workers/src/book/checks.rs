//! What the checks know of one book.
//!
//! The checks themselves stand in `integrity`. What they have in common stands here:
//! whose book it is, which copy of it they look at, and when what they know is void.

use std::sync::Arc;
use std::time::Instant;

use polypy_core::{AssetInfo, BestBidAsk, BookEvent, BookHash, PriceChange, TickSizeChange};

use super::feed_book::{FeedBook, Tried};
use super::trust::Cause;
use crate::config::HashChecking;
use crate::integrity::{
    AuditCheck, Checker, Expectation, Finding, HashCheck, Ours, Outcome, Stage, Subject, TopCheck,
    Verdict, is_coarser,
};

/// One book's standing with every check.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    hash: HashCheck,
    top: TopCheck,
    audit: AuditCheck,
    /// Known since the first whole book, without which nothing can be checked.
    info: Option<Arc<AssetInfo>>,
}

/// What a copy's own hash says of it, from the worst to the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verification {
    Refuted,
    /// Not to be judged, or not now.
    Unknown,
    Proven,
}

impl Checks {
    /// A whole book is to be shown.
    pub(crate) fn take(&mut self, event: &BookEvent) {
        self.levels_replaced();
        self.hash.take(event);
        self.info = Some(Arc::clone(&event.info));
    }

    pub(crate) fn info(&self) -> Option<&Arc<AssetInfo>> {
        self.info.as_ref()
    }

    /// What the hashes have shown.
    pub(crate) fn hash(&self) -> &HashCheck {
        &self.hash
    }

    /// The same, for what concerns no other check.
    pub(crate) fn hash_mut(&mut self) -> &mut HashCheck {
        &mut self.hash
    }

    /// What fetched books have shown.
    #[inline]
    pub(crate) fn audit_check(&self) -> &AuditCheck {
        &self.audit
    }

    /// The same, for what concerns no other check.
    pub(crate) fn audit_check_mut(&mut self) -> &mut AuditCheck {
        &mut self.audit
    }

    /// The levels are others: what was expected of those before does not matter.
    pub(crate) fn levels_replaced(&mut self) {
        self.hash.forget_expectation();
        self.top.reset();
    }

    /// The levels are right.
    pub(crate) fn levels_proven(&mut self) {
        self.top.reset();
    }

    /// Nothing is expected of the book any more.
    pub(crate) fn forget(&mut self) {
        self.levels_replaced();
        self.audit.forget();
    }

    /// The price grid changes. Whether to a coarser one, which moves levels. The hash may
    /// have shown the new grid before it is announced: then the levels are proven on it.
    pub(crate) fn change_tick(&mut self, event: &TickSizeChange) -> bool {
        let known = self.hash.tick_size();
        self.hash.set_tick_size(event.new);
        let before = known.or(event.old);
        known != Some(event.new) && before.is_some_and(|old| is_coarser(event.new, old))
    }

    /// Compares the state after a frame's last change with the stated top and the hash.
    pub(crate) fn frame(
        &mut self,
        copy: &FeedBook,
        change: &PriceChange,
        checker: &mut Checker,
    ) -> (Finding, Outcome) {
        let top = self.top.check(copy.levels(), change, checker.stats());
        let stage = match top {
            Finding::Disagrees => Stage::Unfinished,
            Finding::Agrees | Finding::Unstated => Stage::Frame,
        };
        (top, self.levels(copy, stage, checker))
    }

    /// Compares a state with its hash.
    pub(crate) fn levels(
        &mut self,
        copy: &FeedBook,
        stage: Stage,
        checker: &mut Checker,
    ) -> Outcome {
        match self.info.as_deref() {
            Some(info) => self.hash.check(&subject(copy, info, stage), checker),
            None => Outcome::NotApplicable,
        }
    }

    /// Whether a book that we found wrong is right by now.
    pub(crate) fn reproves(&mut self, copy: &FeedBook, checker: &mut Checker) -> bool {
        let Some(info) = self.info.as_deref() else {
            return false;
        };
        let subject = subject(copy, info, Stage::Frame);
        self.hash.reproves(&subject, checker)
    }

    /// Whether a book is right with changes in it that had been left out: all of them,
    /// against the hash that waits for a change, or those of the last state, against
    /// its own.
    pub(crate) fn proves_left_out(
        &mut self,
        copy: &FeedBook,
        tried: Tried,
        checker: &mut Checker,
    ) -> bool {
        let Some(info) = self.info.as_deref() else {
            return false;
        };
        let subject = subject(copy, info, Stage::Frame);
        match (tried, copy.left_out_state()) {
            (Tried::All, _) => self.hash.recheck(&subject, checker) == Outcome::Proven,
            (Tried::LastState, Some((timestamp, hash))) => {
                let subject = Subject {
                    timestamp,
                    hash,
                    ..subject
                };
                self.hash.reproves(&subject, checker)
            }
            (Tried::LastState, None) => false,
        }
    }

    /// What its own hash says of another feed's copy.
    pub(crate) fn verify(&mut self, copy: &FeedBook, checker: &mut Checker) -> Verification {
        let is_judged = self.proves(copy, checker) && checker.cpu.allows(checker.now);
        match is_judged {
            false if copy.is_doubtful() || copy.has_left_out() => Verification::Refuted,
            false => Verification::Unknown,
            true if self.reproves(copy, checker) => Verification::Proven,
            true => Verification::Refuted,
        }
    }

    /// What contradicts the levels has lasted: whether it stands, after a search.
    pub(crate) fn decide(
        &mut self,
        cause: Cause,
        copy: &FeedBook,
        checker: &mut Checker,
    ) -> Outcome {
        match (cause, self.info.as_deref()) {
            (Cause::Hash, Some(info)) => {
                let subject = subject(copy, info, Stage::Frame);
                self.hash.decide(&subject, checker)
            }
            _ => Outcome::Diverged,
        }
    }

    /// Whether best prices that are stated apart from changes contradict the book, and
    /// have for long.
    pub(crate) fn best_prices(
        &mut self,
        copy: &FeedBook,
        event: &BestBidAsk,
        now: Instant,
    ) -> bool {
        let (levels, newest) = (copy.levels(), copy.newest());
        event.timestamp > newest && self.top.contradicts_for_long(levels, newest, event, now)
    }

    /// Compares a fetched book with ours. `was_in` tells whether ours was in a state
    /// lately.
    pub(crate) fn audit(
        &mut self,
        event: &BookEvent,
        ours: &Ours<'_>,
        was_in: impl FnOnce(BookHash) -> bool,
        checker: &Checker,
    ) -> Verdict {
        let (now, patience) = (checker.now, checker.config.audit_patience);
        let verdict = self.audit.judge(event, ours, was_in, now, patience);
        if verdict == Verdict::Proven {
            self.hash.trust_levels(event, checker.stats());
        }
        verdict
    }

    /// The book has come to a state: what that says of the one that is expected.
    pub(crate) fn reached(
        &mut self,
        copy: &FeedBook,
        ours: &Ours<'_>,
        checker: &Checker,
    ) -> Expectation {
        let awaits_proof = self.proves(copy, checker);
        self.audit.reached(ours, awaits_proof)
    }

    /// Whether a fetched book has been ahead of the feed for too long.
    pub(crate) fn is_audit_overdue(&self, checker: &Checker) -> bool {
        let patience = checker.config.audit_patience;
        self.audit.is_overdue(checker.now, patience)
    }

    /// Whether the hash of a state says something of its levels.
    fn proves(&self, copy: &FeedBook, checker: &Checker) -> bool {
        checker.config.hash == HashChecking::All
            && self.hash.is_format_known()
            && copy.hash().is_some()
    }
}

fn subject<'a>(copy: &'a FeedBook, info: &'a AssetInfo, stage: Stage) -> Subject<'a> {
    Subject {
        book: copy.levels(),
        info,
        timestamp: copy.newest(),
        hash: copy.hash(),
        stage,
    }
}
