//! The fast path: a change of a book that nothing has to be considered of.
//!
//! It does what [`order::change`] would, less what could have no effect.

use polypy_core::{Change, Price, PriceChange, Side, Top};

use super::checked_book::{CheckedBook, Refuted, Seen};
use super::feed_book::Applied;
use super::{Context, Origin, order};
use crate::config::HashChecking;
use crate::integrity::{Finding, Outcome, Stage};

/// What is left to do after the fast path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    Nothing,
    /// What follows from its having been left out.
    LeftOut(Applied),
    /// To look at the new top, and to check the book.
    Everything,
    /// What follows from its hash; the top agrees. With what readers saw before.
    Checked(Outcome, Seen),
}

/// Whether a change can be applied by [`change`].
#[inline(always)]
pub(crate) fn is_open(book: &CheckedBook, origin: Origin) -> bool {
    #[cfg(test)]
    if FAST_PATH_FORBIDDEN.get() {
        return false;
    }
    book.trust().is_undisturbed() && book.shown().feed() == Some(origin.feed)
}

/// Applies a change to a book that nothing has to be considered of; what it did to
/// the level, and what is left to do.
#[inline(always)]
pub(crate) fn change(
    book: &mut CheckedBook,
    change: &PriceChange,
    origin: Origin,
    cx: &mut Context,
) -> (Change, Rest) {
    let done = match book.shown_mut().apply(change, origin.received, &mut cx.log) {
        Applied::InOrder(done) => done,
        applied => return (Change::Unchanged, Rest::LeftOut(applied)),
    };
    if done == Change::Unchanged {
        book.revise();
    }
    cx.stats.updates_applied.increment();
    let Some(copy) = book.copy() else {
        return (done, Rest::Nothing);
    };
    let bid = copy.levels().best_price(Side::Bid);
    let ask = copy.levels().best_price(Side::Ask);
    if bid >= ask && ask.is_some() {
        return (done, Rest::Everything);
    }
    if !change.last_in_frame {
        return (done, Rest::Nothing);
    }
    if !(states(change.best_bid, bid) && states(change.best_ask, ask)) {
        return (done, Rest::Everything);
    }
    cx.stats.integrity.top.passed.increment();
    let says_nothing = || change.hash.is_none() && book.seen().verified.is_none();
    if cx.checker.config.hash == HashChecking::Off || says_nothing() {
        cx.stats.integrity.hash.not_applicable.increment();
    } else if let Some((outcome, before)) = prove_fast(book, cx) {
        return (done, Rest::Checked(outcome, before));
    }
    book.shown_mut().note_state();
    (done, Rest::Nothing)
}

/// Checks the hash; what it found and what readers saw before, if something follows from
/// that.
#[inline(never)]
fn prove_fast(book: &mut CheckedBook, cx: &mut Context) -> Option<(Outcome, Seen)> {
    let before = book.seen();
    let outcome = book.check_hash(Stage::Frame, cx);
    match outcome {
        outcome if book.seen() != before => return Some((outcome, before)),
        Outcome::NotApplicable => {}
        Outcome::Proven => book.shown_mut().prove(),
        Outcome::Skipped => book.watch(cx),
        outcome @ (Outcome::Open | Outcome::Reopened | Outcome::Diverged) => {
            return Some((outcome, before));
        }
    }
    None
}

/// Does what the fast path has left.
#[cold]
#[must_use]
pub(crate) fn finish(
    book: &mut CheckedBook,
    left: Rest,
    change: &PriceChange,
    cx: &mut Context,
) -> Refuted {
    match left {
        Rest::Nothing => None,
        Rest::LeftOut(applied) => order::after_left_out(book, applied, change, cx),
        Rest::Everything => order::after_change(book, change, cx),
        Rest::Checked(outcome, _) => book.conclude(Finding::Agrees, outcome, cx),
    }
}

/// Whether a best price is stated, and is this one. A book with a side that
/// nothing is stated of is not for the fast path.
#[inline]
fn states(stated: Top, best: Option<Price>) -> bool {
    match stated {
        Top::At(price) => best == Some(price),
        Top::Empty => best.is_none(),
        Top::Unstated => false,
    }
}

#[cfg(test)]
thread_local! {
    /// Has everything that this thread applies take the slow path.
    pub(super) static FAST_PATH_FORBIDDEN: std::cell::Cell<bool> =
        const { std::cell::Cell::new(false) };
}
