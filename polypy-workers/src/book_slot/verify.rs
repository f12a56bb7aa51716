//! What a slot does with its checks: when they are made, what follows.

use polypy_core::{AssetInfo, BookState, PriceChange, StaleReason};

use super::{BookSlot, Context};
use crate::integrity::{Finding, Outcome, Subject};
use crate::stream::Stream;

impl BookSlot {
    /// Whether the book has been crossed for `patience`, with no hash to say
    /// that the venue's is too. `None` once it is not crossed any more.
    pub(crate) fn check_crossing(&mut self, cx: &mut Context<'_>) -> Option<()> {
        let since = self.crossed_since?;
        let lasted = cx.checker.now.saturating_duration_since(since);
        if lasted > cx.checker.config.crossed_patience
            && self.state == BookState::Live
            && !self.main.as_ref().is_some_and(|main| main.proven)
        {
            self.diverge(StaleReason::Crossed, cx);
        }
        Some(())
    }

    /// Checks a book that is shown from now on. One that is only being waited for is
    /// checked like a live one: its levels are the venue's own.
    pub(super) fn verify_whole(&mut self, cx: &mut Context<'_>) {
        let outcome = self.check_hash(true, cx);
        self.conclude(outcome, cx);
    }

    /// Checks a live book after a frame's last change.
    pub(super) fn verify_change(&mut self, change: &PriceChange, cx: &mut Context<'_>) {
        if self.state != BookState::Live {
            return;
        }
        let Some(main) = &self.main else {
            return;
        };
        let top = self.top.check(&main.book, change, &cx.checker);
        let complete = matches!(top, Finding::Agrees | Finding::Unstated);
        let outcome = self.check_hash(complete, cx);
        if outcome == Outcome::Proven {
            // The whole book agrees: a top that does not was stated wrongly.
            self.top.reset();
        } else if top == Finding::Diverged {
            self.diverge(StaleReason::Top, cx);
            return;
        }
        self.conclude(outcome, cx);
    }

    /// A change out of order was applied: it may have been the missing one.
    pub(super) fn verify_again(&mut self, cx: &mut Context<'_>) {
        if self.state != BookState::Live {
            return;
        }
        if let (Some(main), Some(info)) = (&self.main, &self.info) {
            let subject = subject(main, info, true);
            let outcome = self.hash.recheck(&subject, &mut cx.checker);
            self.conclude(outcome, cx);
        }
    }

    fn check_hash(&mut self, complete: bool, cx: &mut Context<'_>) -> Outcome {
        match (&self.main, &self.info) {
            (Some(main), Some(info)) => {
                let subject = subject(main, info, complete);
                self.hash.check(&subject, &mut cx.checker)
            }
            (None, _) | (_, None) => Outcome::NotApplicable,
        }
    }

    fn conclude(&mut self, outcome: Outcome, cx: &mut Context<'_>) {
        match outcome {
            Outcome::Proven => {
                if let Some(main) = self.main.as_mut() {
                    main.proven = true;
                }
            }
            Outcome::Diverged => self.diverge(StaleReason::Hash, cx),
            Outcome::Open | Outcome::NotApplicable => {}
        }
    }

    /// Notes when the book became crossed, and when it no longer is.
    pub(super) fn watch_crossing(&mut self, cx: &mut Context<'_>) {
        let crossed = self
            .main
            .as_ref()
            .is_some_and(|main| main.book.is_crossed());
        match (crossed, self.crossed_since) {
            (true, None) => {
                self.crossed_since = Some(cx.checker.now);
                cx.crossed.push(self.key);
            }
            (false, Some(_)) => self.crossed_since = None,
            (true, Some(_)) | (false, None) => {}
        }
    }
}

fn subject<'a>(main: &'a Stream, info: &'a AssetInfo, complete: bool) -> Subject<'a> {
    Subject {
        book: &main.book,
        info,
        timestamp: main.newest,
        hash: main.hash,
        complete,
    }
}
