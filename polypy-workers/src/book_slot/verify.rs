//! What a slot does with its checks: when they are made, what follows.

use polypy_core::{AssetInfo, BookState, PriceChange, StaleReason};

use super::doubt::Doubt;
use super::{BookSlot, Context};
use crate::integrity::{Extent, Finding, Outcome, Stage, Subject};
use crate::stream::Stream;

/// How the two tokens of a market compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mirrored {
    Agrees,
    /// At the same exchange time they differ: one of them is wrong.
    Disagrees,
    /// The other one has not been told what this one has.
    OtherBehind,
    NotApplicable,
}

impl BookSlot {
    /// Whether the book has been crossed or locked for too long, with no hash
    /// to say that the venue's is, too.
    pub(super) fn check_crossing(&mut self, cx: &mut Context<'_>) {
        let Some(since) = self.crossed_since else {
            return;
        };
        let lasted = cx.checker.now.saturating_duration_since(since);
        if lasted <= cx.checker.config.crossed_patience || self.state != BookState::Live {
            return;
        }
        if self.main.as_ref().is_some_and(|main| main.proven) {
            return;
        }
        cx.checker.stats.crossed_failed.increment();
        self.crossed_since = None;
        self.diverge(StaleReason::Crossed, cx);
    }

    /// Makes a check that had been left out, once there is time for it.
    pub(super) fn check_late(&mut self, cx: &mut Context<'_>) {
        if self.state == BookState::Live && self.hash.is_unchecked() {
            let stage = if self.doubts.has(Doubt::Top) {
                Stage::Unfinished
            } else {
                Stage::Frame
            };
            let outcome = self.check_hash(stage, cx);
            self.conclude(outcome, cx);
        }
    }

    /// Checks a book that is shown from now on. One that is only being waited for is
    /// checked like a live one: its levels are the venue's own.
    pub(super) fn verify_whole(&mut self, cx: &mut Context<'_>) {
        let outcome = self.check_hash(Stage::Whole, cx);
        self.conclude(outcome, cx);
        cx.note_change(self.key, Extent::Whole);
        self.note_state(cx);
    }

    /// Checks another feed's book that is shown from now on, within the budget.
    pub(super) fn verify_shown(&mut self, extent: Extent, cx: &mut Context<'_>) {
        let outcome = self.check_hash(Stage::Frame, cx);
        self.conclude(outcome, cx);
        cx.note_change(self.key, extent);
        self.note_state(cx);
    }

    /// Checks a book after a frame's last change.
    pub(super) fn verify_change(&mut self, change: &PriceChange, cx: &mut Context<'_>) {
        match self.state {
            BookState::Live => self.verify_live(change, cx),
            BookState::Stale(_) if self.diverged => self.verify_diverged(cx),
            BookState::Stale(_) | BookState::Pending | BookState::Settled => {}
        }
        self.note_state(cx);
    }

    fn verify_live(&mut self, change: &PriceChange, cx: &mut Context<'_>) {
        let Some(main) = &self.main else {
            return;
        };
        let top = self.top.check(&main.book, change, cx.checker.stats);
        let stage = match top {
            Finding::Disagrees => Stage::Unfinished,
            Finding::Agrees | Finding::Unstated => Stage::Frame,
        };
        let outcome = self.check_hash(stage, cx);
        self.verified(top, outcome, cx);
    }

    /// Sees to what both checks of a live book have found.
    pub(super) fn verified(&mut self, top: Finding, mut outcome: Outcome, cx: &mut Context<'_>) {
        if matches!(outcome, Outcome::Open | Outcome::Reopened) && self.reconsiders(cx) {
            outcome = Outcome::Proven;
        }
        self.conclude(outcome, cx);
        // A top that disagrees with a book that is proven was stated wrongly.
        if outcome != Outcome::Proven {
            match top {
                Finding::Disagrees => self.raise(Doubt::Top, cx),
                Finding::Agrees => self.doubts.settle(Doubt::Top),
                Finding::Unstated => {}
            }
        }
    }

    /// Whether a change that was left out as a copy was none: with it the book
    /// is what its hash says.
    fn reconsiders(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(before) = self.main.as_mut().and_then(Stream::reconsider) else {
            return false;
        };
        let (Some(main), Some(info)) = (&self.main, &self.info) else {
            return false;
        };
        let subject = subject(main, info, Stage::Frame);
        let proven = self.hash.recheck(&subject, &mut cx.checker) == Outcome::Proven;
        if !proven && let Some(main) = self.main.as_mut() {
            main.restore(before);
        }
        proven
    }

    /// A book that we found wrong may have come right since: what was missing
    /// is often overwritten. Only its hash can say so.
    fn verify_diverged(&mut self, cx: &mut Context<'_>) {
        let (Some(main), Some(info)) = (&self.main, &self.info) else {
            return;
        };
        let open = cx.feeds.closed(main.feed).is_none();
        let subject = subject(main, info, Stage::Frame);
        if open && self.hash.reproves(&subject, &mut cx.checker) {
            self.state = BookState::Live;
            self.diverged = false;
            self.conclude(Outcome::Proven, cx);
        }
    }

    /// A change out of order was applied: it may have been the missing one.
    pub(super) fn verify_again(&mut self, cx: &mut Context<'_>) {
        if self.state != BookState::Live {
            return;
        }
        if let (Some(main), Some(info)) = (&self.main, &self.info) {
            let subject = subject(main, info, Stage::Frame);
            let outcome = self.hash.recheck(&subject, &mut cx.checker);
            self.conclude(outcome, cx);
        }
    }

    /// The last word on a hash that has been open for too long.
    pub(super) fn decide_hash(&mut self, cx: &mut Context<'_>) -> Outcome {
        match (&self.main, &self.info) {
            (Some(main), Some(info)) => {
                let subject = subject(main, info, Stage::Frame);
                self.hash.decide(&subject, &mut cx.checker)
            }
            (None, _) | (_, None) => Outcome::NotApplicable,
        }
    }

    /// Whether the book shows at `extent` what the market's other token does.
    ///
    /// The venue tells both tokens of an order in one message. So a level that
    /// this one was given is missing in the other one if the feed that gave it
    /// tells the other one, too; whatever else may be wrong with this one.
    pub(crate) fn mirrors(&self, other: &Self, extent: Extent) -> Mirrored {
        let (Some(main), Some(its)) = (&self.main, &other.main) else {
            return Mirrored::NotApplicable;
        };
        if other.state != BookState::Live {
            return Mirrored::NotApplicable;
        }
        let live = self.state == BookState::Live;
        let agrees = crate::integrity::agrees(&main.book, &its.book, extent);
        let elsewhere = other.others.get(main.feed);
        let told_by_both =
            main.feed == its.feed || elsewhere.is_some_and(|telling| telling.newest < main.newest);
        let leads = main.newest > its.newest && told_by_both;
        let whole = extent == Extent::Whole;
        match (agrees, leads) {
            (true, false) if live && main.newest == its.newest => Mirrored::Agrees,
            (false, false) if live && main.newest == its.newest => Mirrored::Disagrees,
            // What one level shows at another time says nothing of the rest.
            (true, true) if live && main.proven && whole => Mirrored::Agrees,
            (false, true) if !whole || (live && main.proven) => Mirrored::OtherBehind,
            (true | false, true | false) => Mirrored::NotApplicable,
        }
    }

    /// Whether this one and `other` are live and at the same exchange time.
    pub(crate) fn is_at_one_time_with(&self, other: &Self) -> bool {
        let live = self.state == BookState::Live && other.state == BookState::Live;
        match (&self.main, &other.main) {
            (Some(main), Some(its)) => live && main.newest == its.newest,
            (None, _) | (_, None) => false,
        }
    }

    /// Takes in how it compared. A book that its hash has proven is right, and
    /// the other one is wrong. Only the one that is behind is told that it is.
    pub(crate) fn compared(&mut self, mirrored: Mirrored, cx: &mut Context<'_>) {
        match mirrored {
            Mirrored::Agrees => self.doubts.settle(Doubt::Mirror),
            Mirrored::Disagrees => {
                self.hash.hurry();
                self.check_late(cx);
                if self.main.as_ref().is_some_and(|main| !main.proven) {
                    self.raise(Doubt::Mirror, cx);
                }
            }
            // Whatever its hash says of the time it has come to.
            Mirrored::OtherBehind => self.raise(Doubt::Mirror, cx),
            Mirrored::NotApplicable => {}
        }
    }

    /// Whether the other token speaks against it.
    pub(crate) fn mirror_is_in_doubt(&self) -> bool {
        self.doubts.has(Doubt::Mirror)
    }

    pub(super) fn check_hash(&mut self, stage: Stage, cx: &mut Context<'_>) -> Outcome {
        match (&self.main, &self.info) {
            (Some(main), Some(info)) => {
                let subject = subject(main, info, stage);
                self.hash.check(&subject, &mut cx.checker)
            }
            (None, _) | (_, None) => Outcome::NotApplicable,
        }
    }

    pub(super) fn conclude(&mut self, outcome: Outcome, cx: &mut Context<'_>) {
        match outcome {
            Outcome::Proven => {
                if let Some(main) = self.main.as_mut() {
                    main.proven = true;
                    main.settle_copies();
                }
                self.doubts.settle_levels();
                self.top.reset();
            }
            Outcome::Diverged => self.diverge(StaleReason::Hash, cx),
            Outcome::Open => self.raise(Doubt::Hash, cx),
            Outcome::Reopened => {
                self.doubts.settle_levels();
                self.raise(Doubt::Hash, cx);
            }
            Outcome::Skipped => self.watch(cx),
            Outcome::NotApplicable => {}
        }
    }

    /// Notes when the book became crossed or locked, and when it came apart.
    pub(super) fn watch_crossing(&mut self, cx: &mut Context<'_>) {
        let crossed = self.main.as_ref().is_some_and(|main| {
            match (main.book.best_bid(), main.book.best_ask()) {
                (Some(bid), Some(ask)) => bid.price >= ask.price,
                (None, _) | (_, None) => false,
            }
        });
        match (crossed, self.crossed_since) {
            (true, None) => {
                self.crossed_since = Some(cx.checker.now);
                self.watch(cx);
            }
            (false, Some(_)) => {
                cx.checker.stats.crossed_passed.increment();
                self.crossed_since = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
    }
}

pub(super) fn subject<'a>(main: &'a Stream, info: &'a AssetInfo, stage: Stage) -> Subject<'a> {
    Subject {
        book: &main.book,
        info,
        timestamp: main.newest,
        hash: main.hash,
        stage,
    }
}
