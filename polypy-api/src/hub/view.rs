//! A book as one mode shows it: each change or the latest state, all levels or the best
//! ones.
//!
//! Where that is not the copy itself, what was told last is kept from the first change
//! on, and compared with the copy when it is time to tell. Whoever joins is given what
//! was told last, so that everybody's next delta is the same.

use std::borrow::Cow;
use std::time::Instant;

use polypy_core::{BookState, Level, LevelChange, OrderBook, Price, Side, Timestamp};

use super::token::{Kept, ModeId, Watcher};
use crate::filter::Mode;
use crate::message::Conflated;

/// A book as one mode shows it.
#[derive(Debug)]
pub(super) struct View {
    pub(super) id: ModeId,
    pub(super) mode: Mode,
    /// From which place on its deltas were published.
    pub(super) book_since: Option<u64>,
    /// From which place on its tops were.
    pub(super) top_since: Option<u64>,
    /// The sequence that its followers have.
    pub(super) sequence: u64,
    /// What they have, where that is not the copy.
    told: Option<Told>,
    told_top: Option<ToldTop>,
    /// Clients that were given another top than the others have, and which.
    ahead: Vec<(u32, TopOfBook)>,
    /// States of the venue since it was told last, if it is told at intervals.
    pub(super) states: u32,
    /// It is in the list of those that are due at the mode's next tick.
    pub(super) is_due: bool,
    /// Since when nobody needs it. Those of each change stay while clients may come
    /// back for them.
    pub(super) idle_since: Option<Instant>,
}

/// What was told.
#[derive(Debug)]
struct Told {
    book: OrderBook,
    at: Timestamp,
    received: Instant,
}

/// Best levels and state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TopOfBook {
    pub(super) bid: Option<Level>,
    pub(super) ask: Option<Level>,
    pub(super) state: BookState,
}

impl TopOfBook {
    pub(super) fn of(kept: &Kept) -> Self {
        Self {
            bid: kept.book.best_bid(),
            ask: kept.book.best_ask(),
            state: kept.status.state,
        }
    }
}

/// A top as it is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct ToldTop {
    pub(super) top: TopOfBook,
    pub(super) sequence: u64,
    pub(super) at: Timestamp,
    pub(super) received: Instant,
}

impl ToldTop {
    pub(super) fn of(kept: &Kept) -> Self {
        Self {
            top: TopOfBook::of(kept),
            sequence: kept.sequence,
            at: kept.at,
            received: kept.received,
        }
    }
}

/// A book as a view shows it.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) sequence: u64,
    pub(super) at: Timestamp,
    pub(super) received: Instant,
    pub(super) bids: Vec<Level>,
    pub(super) asks: Vec<Level>,
}

/// Levels to set for the followers of a view.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) previous: u64,
    pub(super) sequence: u64,
    pub(super) changes: Vec<LevelChange>,
    pub(super) at: Timestamp,
    pub(super) received: Instant,
    pub(super) best_bid: Option<Price>,
    pub(super) best_ask: Option<Price>,
}

impl Step {
    /// Whether it is more than one of the venue's states, of so many that passed. One
    /// that sets a level twice is told as merged, too: its changes are fewer than its
    /// numbers.
    pub(super) fn conflated(&self, states: u32, depth: Option<u16>) -> Option<Conflated> {
        let levels = u64::try_from(self.changes.len()).unwrap_or(u64::MAX);
        let is_exact = depth.is_some() || levels == self.sequence - self.previous;
        (states > 1 || !is_exact).then_some(Conflated::Interval)
    }
}

impl View {
    pub(super) fn new(id: ModeId, mode: Mode) -> Self {
        Self {
            id,
            mode,
            book_since: None,
            top_since: None,
            sequence: 0,
            told: None,
            told_top: None,
            ahead: Vec::new(),
            states: 0,
            is_due: false,
            idle_since: None,
        }
    }

    /// Somebody wants its deltas or its tops, of this book if it is there.
    pub(super) fn begin(&mut self, book: bool, top: bool, kept: Option<&Kept>, position: u64) {
        if book && self.book_since.is_none() {
            self.book_since = Some(position);
            self.sequence = kept.map_or(0, |kept| kept.sequence);
        }
        if top && self.top_since.is_none() {
            self.top_since = Some(position);
            self.told_top = kept.map(ToldTop::of);
        }
    }

    /// Whether the copy's changes are its own.
    fn is_copy(&self) -> bool {
        self.mode == Mode::default()
    }

    /// A level of the copy is about to change.
    pub(super) fn before_change(&mut self, kept: &Kept) {
        if self.is_copy() || self.told.is_some() || self.book_since.is_none() {
            return;
        }
        self.told = Some(Told {
            book: self.limited(&kept.book),
            at: kept.at,
            received: kept.received,
        });
    }

    /// The book, down to the view's depth.
    fn limited(&self, book: &OrderBook) -> OrderBook {
        let Some(depth) = self.mode.depth.map(usize::from) else {
            return book.clone();
        };
        let best = |side| book.levels(side).take(depth).collect();
        let mut limited = OrderBook::default();
        limited.apply_snapshot(best(Side::Bid), best(Side::Ask));
        limited
    }

    /// What its followers have to set now; `None` if that is nothing. `own` are the
    /// copy's levels of the state that ends.
    pub(super) fn step(&mut self, kept: &Kept, own: Option<&[LevelChange]>) -> Option<Step> {
        self.book_since?;
        let changes = if self.is_copy() {
            own?.to_vec()
        } else {
            let told = self.told.take()?;
            let mut changes = Vec::new();
            let new = self.limited(&kept.book);
            told.book
                .for_each_difference(&new, |change| changes.push(change));
            changes
        };
        if changes.is_empty() {
            return None;
        }
        let previous = std::mem::replace(&mut self.sequence, kept.sequence);
        Some(Step {
            previous,
            sequence: kept.sequence,
            changes,
            at: kept.at,
            received: kept.received,
            best_bid: kept.book.best_price(Side::Bid),
            best_ask: kept.book.best_price(Side::Ask),
        })
    }

    /// The top, if its followers have another one.
    pub(super) fn new_top(&mut self, kept: &Kept) -> Option<ToldTop> {
        self.top_since?;
        let new = ToldTop::of(kept);
        let old = self.told_top.replace(new);
        old.is_none_or(|old| old.top != new.top).then_some(new)
    }

    /// The top for a client that joins, or was behind: what the others have, so that the
    /// next one is news to all; but never an old state.
    pub(super) fn give_top(&mut self, client: u32, kept: &Kept) -> ToldTop {
        let new = ToldTop::of(kept);
        self.ahead.retain(|(ahead, _)| *ahead != client);
        match self.told_top {
            Some(told) if told.top != new.top && told.top.state == new.top.state => told,
            Some(told) if told.top != new.top => {
                self.ahead.push((client, new.top));
                new
            }
            _ => new,
        }
    }

    /// The top at the end of an interval, and the watchers to whom it is news, if it is to
    /// any: who was given it before the others has it.
    pub(super) fn due_top<'a>(
        &mut self,
        kept: &Kept,
        watchers: &'a [Watcher],
    ) -> Option<(ToldTop, Cow<'a, [Watcher]>)> {
        let news = self.new_top(kept);
        if self.ahead.is_empty() {
            return news.map(|top| (top, Cow::Borrowed(watchers)));
        }
        let top = ToldTop::of(kept);
        let ahead = std::mem::take(&mut self.ahead);
        let lacks_it = |watcher: &&Watcher| {
            let mut ahead = ahead.iter().filter(|(client, _)| *client == watcher.client);
            let given = ahead.next();
            given.map_or(news.is_some(), |(_, given)| *given != top.top)
        };
        let lacking: Vec<_> = watchers.iter().filter(lacks_it).copied().collect();
        (!lacking.is_empty()).then_some((top, Cow::Owned(lacking)))
    }

    /// Everything is told again.
    pub(super) fn restart(&mut self, kept: &Kept) {
        self.sequence = kept.sequence;
        self.told = None;
        self.told_top = Some(ToldTop::of(kept));
        self.ahead.clear();
        self.states = 0;
    }

    /// What its followers have.
    pub(super) fn shown(&self, kept: &Kept) -> Shown {
        let (book, at, received) = match &self.told {
            Some(told) => (&told.book, told.at, told.received),
            None => (&kept.book, kept.at, kept.received),
        };
        let depth = self.mode.depth.map_or(usize::MAX, usize::from);
        let best = |side| book.levels(side).take(depth).collect();
        Shown {
            sequence: self.sequence,
            at,
            received,
            bids: best(Side::Bid),
            asks: best(Side::Ask),
        }
    }

    /// What a client has to set that lacks changes at these levels, to have what the
    /// others have.
    pub(super) fn merged(&self, kept: &Kept, previous: u64, levels: Vec<(Side, Price)>) -> Step {
        let (book, at, received) = match &self.told {
            Some(told) => (told.book.clone(), told.at, told.received),
            None => (self.limited(&kept.book), kept.at, kept.received),
        };
        let changes = levels.into_iter().map(|(side, price)| LevelChange {
            side,
            price,
            size: book.size_at(side, price),
        });
        Step {
            previous,
            sequence: self.sequence,
            changes: changes.collect(),
            at,
            received,
            best_bid: book.best_price(Side::Bid),
            best_ask: book.best_price(Side::Ask),
        }
    }
}
