//! Sockets that have yet to come as far as the checkpoint that a book began with.
//!
//! A checkpoint stands in a recording behind frames that are in it, and behind some that
//! may not be: these had been recorded, and not applied yet. So a reader begins some
//! frames before it, and what is in it already has to be left out. Older changes are in
//! it. Of those that share its time stamp nobody can tell until the one with its hash
//! comes, or a later one: they are held back for that long.

use std::collections::HashMap;
use std::mem::take;
use std::time::{Duration, Instant};

use polypy_core::{AssetKey, BookEvent, BookHash, FeedId, MarketEvent, Timestamp};

use crate::book::is_shortly_before;

/// How long a socket has to come as far: what is older than that by its stamp is no
/// duplicate either. Sockets lag by a second at most.
const PATIENCE: Duration = Duration::from_secs(10);
/// Events held back of one token and socket.
const MOST_HELD: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Beginnings {
    open: HashMap<(AssetKey, FeedId), Beginning>,
}

#[derive(Debug)]
struct Beginning {
    timestamp: Timestamp,
    hash: Option<BookHash>,
    since: Instant,
    progress: Progress,
}

#[derive(Debug)]
enum Progress {
    /// It may be anywhere. Events with the checkpoint's time stamp.
    Behind(Vec<MarketEvent>),
    /// It has come to the checkpoint's state.
    There,
}

/// What becomes of an event.
#[derive(Debug, PartialEq, Eq)]
enum Sifted {
    LeftOut,
    Held,
    /// The beginning goes on: the socket is there.
    Kept,
    /// The socket has gone past the checkpoint.
    Passed,
}

impl Beginnings {
    /// A book begins with a checkpoint on a socket.
    pub(super) fn begin(&mut self, feed: FeedId, book: &BookEvent, now: Instant) {
        let beginning = Beginning {
            timestamp: book.timestamp,
            hash: book.hash,
            since: now,
            progress: Progress::Behind(Vec::new()),
        };
        self.open.insert((book.info.key, feed), beginning);
    }

    /// Whether there is a socket that may have something to come.
    pub(super) fn are_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// A socket is gone: what it has not said is in the checkpoint, or is lost.
    pub(super) fn close(&mut self, feed: FeedId) {
        self.open.retain(|(_, of), _| *of != feed);
    }

    /// Leaves out what is in the checkpoints already.
    pub(super) fn sift(&mut self, feed: FeedId, events: &mut Vec<MarketEvent>, now: Instant) {
        if self.open.is_empty() {
            return;
        }
        let mut sifted = Vec::with_capacity(events.len());
        for event in events.drain(..) {
            let at = (event.asset(), feed);
            let (Some(beginning), Some(stamp)) = (self.open.get_mut(&at), stamp_of(&event)) else {
                sifted.push(event);
                continue;
            };
            match beginning.judge(&event, stamp, now) {
                Sifted::LeftOut => {}
                Sifted::Held => beginning.hold(event),
                Sifted::Kept => sifted.push(event),
                Sifted::Passed => {
                    sifted.append(&mut beginning.take_held());
                    sifted.push(event);
                    self.open.remove(&at);
                }
            }
        }
        *events = sifted;
    }

    /// What was held back of sockets that have had their time.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<(FeedId, Vec<MarketEvent>)> {
        let mut due = Vec::new();
        self.open.retain(|(_, feed), beginning| {
            let is_due = beginning.is_due(now);
            if is_due {
                due.push((*feed, beginning.take_held()));
            }
            !is_due
        });
        due.sort_unstable_by_key(|(feed, _)| *feed);
        due
    }
}

impl Beginning {
    fn is_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= PATIENCE
    }

    fn judge(&mut self, event: &MarketEvent, stamp: Timestamp, now: Instant) -> Sifted {
        if self.is_due(now) || stamp > self.timestamp {
            return Sifted::Passed;
        }
        if is_shortly_before(stamp, self.timestamp) {
            return Sifted::LeftOut;
        }
        if stamp < self.timestamp {
            // The venue's clock was set back.
            return Sifted::Passed;
        }
        match &mut self.progress {
            Progress::There => Sifted::Kept,
            Progress::Behind(held) => {
                let hash = hash_of(event);
                if hash.is_some() && hash == self.hash {
                    held.clear();
                    self.progress = Progress::There;
                    // Applying it again changes nothing, for sizes are absolute; and the
                    // checkpoint may be of the midst of its state.
                    return Sifted::Kept;
                }
                if !has_state(event) {
                    Sifted::Kept
                } else if held.len() == MOST_HELD {
                    Sifted::Passed
                } else {
                    Sifted::Held
                }
            }
        }
    }

    fn hold(&mut self, event: MarketEvent) {
        if let Progress::Behind(held) = &mut self.progress {
            held.push(event);
        }
    }

    fn take_held(&mut self) -> Vec<MarketEvent> {
        match &mut self.progress {
            Progress::Behind(held) => take(held),
            Progress::There => Vec::new(),
        }
    }
}

/// When the venue says that it was; `None` of a trade, of which nothing in a book depends.
fn stamp_of(event: &MarketEvent) -> Option<Timestamp> {
    match event {
        MarketEvent::Book(event) => Some(event.timestamp),
        MarketEvent::PriceChange(event) => Some(event.timestamp),
        MarketEvent::TickSizeChange(event) => Some(event.timestamp),
        MarketEvent::BestBidAsk(event) => Some(event.timestamp),
        MarketEvent::Trade(_) => None,
    }
}

/// Whether it leads a book to a state.
fn has_state(event: &MarketEvent) -> bool {
    match event {
        MarketEvent::Book(_) | MarketEvent::PriceChange(_) => true,
        MarketEvent::TickSizeChange(_) | MarketEvent::BestBidAsk(_) | MarketEvent::Trade(_) => {
            false
        }
    }
}

fn hash_of(event: &MarketEvent) -> Option<BookHash> {
    match event {
        MarketEvent::Book(event) => event.hash,
        MarketEvent::PriceChange(event) => event.hash,
        MarketEvent::TickSizeChange(_) | MarketEvent::BestBidAsk(_) | MarketEvent::Trade(_) => None,
    }
}

#[cfg(test)]
#[path = "beginning_tests.rs"]
mod tests;
