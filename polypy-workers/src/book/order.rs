//! What follows from a change, by its place in the order of changes: in order, a
//! duplicate, or late.

use polypy_core::{Change, PriceChange};

use super::checked_book::{CheckedBook, Refuted};
use super::feed_book::{Applied, Tried};
use super::trust::{Cause, Input};
use super::{Context, Origin};
use crate::integrity::{Finding, Outcome};

/// A change of the feed that the book is shown from.
#[must_use]
pub(crate) fn change(
    book: &mut CheckedBook,
    change: &PriceChange,
    origin: Origin,
    cx: &mut Context,
) -> Refuted {
    match book.shown_mut().apply(change, origin.received, &mut cx.log) {
        Applied::InOrder(done) => {
            cx.stats.updates_applied.increment();
            if done == Change::Unchanged {
                book.revise();
            }
            after_change(book, change, cx)
        }
        applied => after_left_out(book, applied, change, cx),
    }
}

/// What follows from a change that is in the book.
pub(super) fn after_change(
    book: &mut CheckedBook,
    change: &PriceChange,
    cx: &mut Context,
) -> Refuted {
    book.watch_crossing(cx);
    if !change.last_in_frame {
        return None;
    }
    if book.trust().is_stale()
        && let Some(ours) = book.copy()
        && cx.feeds.closed(ours.feed()).is_none()
    {
        book.take_in(Input::Reached(ours.newest()), cx);
    }
    book.check_change(change, cx)
}

/// What follows from one that was left out.
pub(super) fn after_left_out(
    book: &mut CheckedBook,
    applied: Applied,
    change: &PriceChange,
    cx: &mut Context,
) -> Refuted {
    match applied {
        Applied::InOrder(_) => {}
        Applied::Older => return change_back(book, change, cx),
        Applied::Ambiguous => {
            cx.stats.events.ambiguous_copies.increment();
            book.take_in(Input::Contradicted(Cause::Return), cx);
        }
        Applied::Duplicate => {
            cx.stats.events.duplicates.increment();
            if !change.last_in_frame {
                return None;
            }
            if !book.shown().is_proven() {
                // The frame that it repeats may have left the check to this one.
                return book.check_change(change, cx);
            }
            if !book.awaits_change() {
                // Frames repeat in order: what led the book back was a duplicate.
                book.take_in(Input::Cleared(Cause::Return), cx);
            }
        }
    }
    None
}

/// A change that is older than the newest. It is a duplicate if the book was in its
/// state, or would not change. Otherwise another change overtook it, or the venue's
/// clock was set back, and its hash tells; or nobody can.
fn change_back(book: &mut CheckedBook, change: &PriceChange, cx: &mut Context) -> Refuted {
    let ours = book.copy()?;
    let is_before = ours.is_before_known(change.timestamp);
    let is_missing_one = book.awaits_change();
    let was_shown = change.hash.is_some_and(|hash| book.shown().was_in(hash));
    // Of a frame whose last change is in the book the others may not be.
    let state = (change.timestamp, change.hash);
    let ends_frame = change.last_in_frame && ours.left_out_state() == Some(state);
    let has_level = ours.has_level(change) && !is_missing_one && !ends_frame;
    if was_shown || has_level {
        count_duplicate(is_before, cx);
        return None;
    }
    book.shown_mut().leave_out(change);
    if !change.last_in_frame {
        return None;
    }
    // Of what was before that nothing is remembered: a change that was taken back
    // since would seem to be the next one.
    let is_found = if is_missing_one {
        book.try_left_out(Tried::All, cx)
    } else {
        !is_before && book.try_left_out(Tried::LastState, cx)
    };
    if is_found {
        cx.stats.events.out_of_order.increment();
        cx.stats.updates_applied.increment();
        book.watch_crossing(cx);
        return book.conclude(Finding::Unstated, Outcome::Proven, cx);
    }
    // The next state that is proven tells.
    count_duplicate(is_before, cx);
    book.take_in(Input::Contradicted(Cause::Hash), cx);
    None
}

/// Counts a change that was left out; whether it is older than the whole book.
fn count_duplicate(is_before: bool, cx: &Context) {
    let events = &cx.stats.events;
    if is_before {
        events.stale_deltas_skipped.increment();
    } else {
        events.duplicates.increment();
    }
}
