//! Joins a book that was fetched over REST to the changes its feed sends.
//!
//! The two come by different ways, and either may be ahead by a second. What
//! joins them is the hash: a change states the hash of the whole book after it,
//! so the change that states the fetched book's hash is the last one already
//! in it. Everything up to it is left out, the rest follows the book.
//!
//! | the book's hash | the join |
//! |---|---|
//! | is stated by a kept change, or was by the last one before them | by hash |
//! | is not, and the feed is past the book's time | by time: what is older is left out |
//! | is not, and the feed has not reached the book | waited for, not for long, then by time |
//! | is not, and the book is older than changes that were let go | refused: they would be missing |
//!
//! Time alone cannot tell apart the changes of one millisecond. By hash, a book
//! that comes back to an earlier state within it is joined at its last
//! occurrence; any other would do, since equal hashes are equal books.

use std::time::Duration;

use polypy_core::{BookEvent, BookHash, MarketEvent, Timestamp};
use tokio::time::Instant;

/// Changes kept while REST is asked; a hot token has some 200 a second.
pub(super) const KEPT: usize = 4_096;
/// REST was seen ahead of the feed by up to 1.08 s.
const CATCH_UP: Duration = Duration::from_secs(2);
/// Books in a row that may be refused for being behind. They are a second
/// behind at most: whoever seems so for longer states hashes that are wrong,
/// and the check of every change must decide.
const MOST_REFUSED: u32 = 3;

/// What the feed says of one asset while it has no book.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// The newest state announced by a change that was let go.
    before: Option<State>,
    /// Everything said since REST was asked.
    kept: Option<Vec<MarketEvent>>,
    parked: Option<Parked>,
    refused: u32,
}

/// A state of the book, as far as a message names it.
#[derive(Debug, Clone, Copy)]
struct State {
    at: Timestamp,
    hash: Option<BookHash>,
}

/// A book that waits for its place among the changes.
#[derive(Debug)]
struct Parked {
    book: Box<BookEvent>,
    until: Instant,
}

/// What became of a fetched book.
#[derive(Debug)]
pub(super) enum Joined {
    /// The book, and the changes that follow it.
    ByHash(Vec<MarketEvent>),
    /// The same, told apart by time.
    ByTime(Vec<MarketEvent>),
    /// Changes between the book and those kept were let go.
    Refused,
}

/// Where a book belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the change with this index, which its hash tells.
    Before(usize),
    /// The feed is past it.
    Passed,
    /// The feed has not reached it.
    Ahead,
    /// Older than what was let go.
    Behind,
}

impl Run {
    /// REST is being asked: everything is kept from now on.
    pub(super) fn begin(&mut self) {
        self.kept = Some(Vec::new());
        self.parked = None;
    }

    /// Whether everything is being kept.
    pub(super) fn is_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// Whether a book waits for its place.
    pub(super) fn is_parked(&self) -> bool {
        self.parked.is_some()
    }

    /// The feed said this.
    pub(super) fn hear(&mut self, event: &MarketEvent) {
        match &mut self.kept {
            Some(kept) if kept.len() < KEPT => kept.push(event.clone()),
            Some(_) => {}
            None => self.before = state(event).or(self.before),
        }
    }

    /// Something is missing in what was heard.
    pub(super) fn break_off(&mut self) {
        *self = Self {
            refused: self.refused,
            ..Self::default()
        };
    }

    /// REST gave nothing: what was kept is let go.
    pub(super) fn end(&mut self) {
        let kept = self.kept.take().unwrap_or_default();
        self.before = kept.iter().rev().find_map(state).or(self.before);
        self.parked = None;
    }

    /// REST gave this book. `false` if more was heard than could be kept: the
    /// next round gets a run without a hole.
    pub(super) fn park(&mut self, book: BookEvent, now: Instant) -> bool {
        if self.kept.as_ref().is_none_or(|kept| kept.len() >= KEPT) {
            self.end();
            return false;
        }
        self.parked = Some(Parked {
            book: Box::new(book),
            until: now + CATCH_UP,
        });
        true
    }

    /// Joins the book, if its place is known or waiting for it has no end.
    pub(super) fn join(&mut self, now: Instant) -> Option<Joined> {
        let parked = self.parked.as_ref()?;
        let kept = self.kept.as_deref().unwrap_or_default();
        let place = match place(&parked.book, self.before, kept) {
            Place::Ahead if now < parked.until => return None,
            // The feed will not reach it, or was there before anything was kept.
            Place::Ahead if is_past(&parked.book, self.before) => Place::Behind,
            place => place,
        };
        let is_full = kept.len() >= KEPT;
        let refuses = place == Place::Behind && self.refused < MOST_REFUSED;
        if refuses || is_full {
            self.refused += u32::from(refuses);
            self.end();
            return Some(Joined::Refused);
        }
        let Parked { book, .. } = self.parked.take()?;
        let kept = self.kept.take().unwrap_or_default();
        let at = book.timestamp;
        let mut events = vec![MarketEvent::Book(book)];
        Some(match place {
            Place::Before(first) => {
                events.extend(kept.into_iter().skip(first));
                Joined::ByHash(events)
            }
            Place::Passed | Place::Ahead | Place::Behind => {
                events.extend(kept.into_iter().filter(|event| time(event) >= at));
                Joined::ByTime(events)
            }
        })
    }
}

/// Where `book` belongs among `kept`, what was let go before them ending in
/// `before`.
fn place(book: &BookEvent, before: Option<State>, kept: &[MarketEvent]) -> Place {
    let states_it = |stated: Option<BookHash>| stated.is_some() && stated == book.hash;
    let last = kept
        .iter()
        .rposition(|event| state(event).is_some_and(|state| states_it(state.hash)));
    if let Some(last) = last {
        return Place::Before(last + 1);
    }
    if let Some(before) = before {
        if states_it(before.hash) {
            return Place::Before(0);
        }
        if before.at > book.timestamp {
            return Place::Behind;
        }
    }
    let newest = kept.iter().rev().find_map(state);
    if newest.is_none_or(|newest| newest.at <= book.timestamp) {
        Place::Ahead
    } else if is_past(book, before) {
        Place::Behind
    } else {
        Place::Passed
    }
}

/// Whether what was let go ended in another state of the book's millisecond:
/// as long as no change states the book's hash it is an earlier one, and the
/// changes between were let go.
fn is_past(book: &BookEvent, before: Option<State>) -> bool {
    before.is_some_and(|before| {
        before.at == book.timestamp && before.hash.is_some() && book.hash.is_some()
    })
}

/// The state of the book that this leads to.
fn state(event: &MarketEvent) -> Option<State> {
    match event {
        MarketEvent::PriceChange(change) => Some(State {
            at: change.timestamp,
            hash: change.hash,
        }),
        MarketEvent::Book(book) => Some(State {
            at: book.timestamp,
            hash: book.hash,
        }),
        MarketEvent::Trade(_) | MarketEvent::TickSizeChange(_) | MarketEvent::BestBidAsk(_) => None,
    }
}

fn time(event: &MarketEvent) -> Timestamp {
    match event {
        MarketEvent::PriceChange(change) => change.timestamp,
        MarketEvent::Book(book) => book.timestamp,
        MarketEvent::Trade(trade) => trade.timestamp,
        MarketEvent::TickSizeChange(change) => change.timestamp,
        MarketEvent::BestBidAsk(top) => top.timestamp,
    }
}

#[cfg(test)]
#[path = "join_tests.rs"]
mod tests;
