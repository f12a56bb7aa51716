//! The way of nearly every change: a book with nothing out of the ordinary, told
//! by its own feed in order.
//!
//! A slot is *calm* while everything that a change could have to deal with is
//! absent: it is live, nothing speaks against it or is waited for, and it is
//! neither crossed nor held over. Whether it is, is found out anew after
//! everything else that was done with it, so that here one flag stands for all.
//! A change of a calm slot does what [`BookSlot::change`] would do, less what
//! could not have an effect; what is out of the ordinary about the change itself
//! is left to that way, from the point where it shows.
//!
//! `both_ways_do_the_same` holds the two against each other.

use polypy_core::{BookState, Change, Price, PriceChange, Side, Top};

use super::{BookSlot, Context, Origin};
use crate::config::HashChecking;
use crate::integrity::{Extent, Finding, Outcome, Stage};
use crate::stream::Applied;

/// What is left to do about a change that was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    Nothing,
    /// What follows from its having been left out.
    Applied(Applied),
    /// To look at the new top, and to check the book.
    Everything,
    /// What follows from its hash; the top agrees.
    Consequences(Outcome),
}

impl BookSlot {
    /// Finds out whether nothing is. What is awaited or expected makes a book stale,
    /// and so does a top or a hash that speaks against it.
    pub(crate) fn weigh_calm(&mut self) {
        self.calm = self.state() == BookState::Live
            && self.main.is_some()
            && self.held.is_none()
            && self.crossed_since.is_none();
        #[cfg(test)]
        {
            self.calm &= !FORBIDDEN.get();
        }
    }

    /// Whether a change can be applied by [`Self::follow`].
    #[inline(always)]
    pub(crate) fn can_follow(&self, change: &PriceChange, origin: Origin) -> bool {
        let in_order = self
            .main
            .as_ref()
            .is_some_and(|main| main.feed == origin.feed && main.newest <= change.timestamp);
        self.calm && in_order
    }

    /// Applies such a change; what it did to the level, and what is left to do.
    #[inline(always)]
    pub(crate) fn follow(
        &mut self,
        change: &PriceChange,
        origin: Origin,
        cx: &mut Context<'_>,
    ) -> (Change, Left) {
        let Some(main) = self.main.as_mut() else {
            return (Change::Unchanged, Left::Nothing);
        };
        let (applied, done) = if main.newest < change.timestamp {
            (Applied::InOrder, main.advance(change))
        } else {
            main.apply_within(change)
        };
        if applied != Applied::InOrder {
            return (done, Left::Applied(applied));
        }
        self.history.record(main.newest, &main.book);
        cx.stats.updates_applied.increment();
        self.sequence += 1;
        self.received = origin.received;
        let level = Extent::Level(change.side, change.price);
        cx.note_size(self.key, level, change.size);
        let bid = main.book.best_price(Side::Bid);
        let ask = main.book.best_price(Side::Ask);
        if bid >= ask && ask.is_some() {
            return (done, Left::Everything);
        }
        if !change.last_in_frame {
            return (done, Left::Nothing);
        }
        if !(states(change.best_bid, bid) && states(change.best_ask, ask)) {
            return (done, Left::Everything);
        }
        cx.checker.stats.top_passed.increment();
        if cx.checker.config.hash == HashChecking::Off || change.hash.is_none() {
            cx.checker.stats.not_applicable.increment();
        } else if let Some(outcome) = self.prove_calmly(cx) {
            return (done, Left::Consequences(outcome));
        }
        if let Some(hash) = change.hash {
            self.recent.push(hash, &mut self.past);
        }
        (done, Left::Nothing)
    }

    /// Checks the hash; what it found, if something follows from that.
    #[inline(never)]
    fn prove_calmly(&mut self, cx: &mut Context<'_>) -> Option<Outcome> {
        match self.check_hash(Stage::Frame, cx) {
            Outcome::NotApplicable => {}
            Outcome::Proven => {
                if let Some(main) = self.main.as_mut() {
                    main.proven = true;
                    main.settle_copies();
                }
            }
            Outcome::Skipped => self.watch(cx),
            outcome @ (Outcome::Open | Outcome::Reopened | Outcome::Diverged) => {
                return Some(outcome);
            }
        }
        None
    }

    /// Whether nothing is out of the ordinary about either of a market's tokens and
    /// both are at one time.
    #[inline]
    pub(crate) fn agrees_calmly_with(&self, other: &Self) -> bool {
        match (&self.main, &other.main) {
            (Some(main), Some(its)) => self.calm && other.calm && main.newest == its.newest,
            (None, _) | (_, None) => false,
        }
    }

    /// Does what is left.
    #[cold]
    pub(crate) fn finish(
        &mut self,
        left: Left,
        change: &PriceChange,
        origin: Origin,
        cx: &mut Context<'_>,
    ) {
        match left {
            Left::Nothing => {}
            Left::Applied(applied) => self.applied(applied, change, origin, cx),
            Left::Everything => {
                self.watch_crossing(cx);
                if change.last_in_frame {
                    self.verify_change(change, cx);
                }
            }
            Left::Consequences(outcome) => {
                self.verified(Finding::Agrees, outcome, cx);
                self.note_state(cx);
            }
        }
    }
}

#[cfg(test)]
thread_local! {
    /// Has everything that this thread applies go the general way.
    static FORBIDDEN: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Whether a best price is stated, and is this one. A book with a side that
/// nothing is stated of is not for here.
#[inline]
fn states(stated: Top, best: Option<Price>) -> bool {
    match stated {
        Top::At(price) => best == Some(price),
        Top::Empty => best.is_none(),
        Top::Unstated => false,
    }
}

#[cfg(test)]
#[path = "calm_tests.rs"]
mod tests;
