//! What one connection brought of a set of books, kept to be held against what
//! another brought of the same.
//!
//! While two connections carry the same assets, each writes the price changes it
//! decodes on a *tape*: per change the asset, the exchange time and a
//! fingerprint of everything it says. Two tapes are compared over the exchange
//! time both have covered ([`Comparison::of`]).
//!
//! A tape covers an asset from the exchange time of its opening book on, or,
//! on a connection that was open already, from the first change it brought of
//! anything. Taken off and named anew, the asset is covered from its next opening
//! book; taken off for good, or lost with the socket, it is covered no longer.
//! A tape is bounded: once full, it covers nothing later.
//!
//! Nothing is recorded while nobody holds a tape.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use polypy_core::{AssetKey, MarketEvent, PriceChange, Timestamp};
use serde::Serialize;

/// Changes on one tape, 24 bytes each: about a minute of a busy connection.
const MOST: usize = 32_768;

/// The newest part of what both tapes cover is left out: entries of one
/// millisecond come up to 120 ms apart on one socket.
const STRAGGLERS_MS: u64 = 200;

/// Which part of an asset's changes a tape has from the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// Everything since the tape began: the books were open.
    Given,
    /// What follows the asset's opening book.
    Awaited,
}

/// One connection's record.
#[derive(Debug)]
pub(crate) struct Tape {
    opening: Opening,
    recording: Mutex<Recording>,
}

#[derive(Debug, Default)]
struct Recording {
    entries: Vec<Entry>,
    /// Since when assets are covered, where that differs from the tape's own
    /// beginning; `None` while an asset is not.
    starts: HashMap<AssetKey, Option<Timestamp>>,
    /// The newest exchange time of the first read.
    began: Option<Timestamp>,
    newest: Timestamp,
    ended: bool,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    asset: AssetKey,
    timestamp: Timestamp,
    print: u64,
}

impl Tape {
    pub(crate) fn new(opening: Opening) -> Arc<Self> {
        Arc::new(Self {
            opening,
            recording: Mutex::default(),
        })
    }

    /// Takes down what one read held.
    pub(crate) fn record(&self, events: &[MarketEvent]) {
        let mut recording = self.recording.lock();
        if recording.ended {
            return;
        }
        let mut newest = recording.newest;
        for event in events {
            match event {
                MarketEvent::Book(book) if book.tick_size.is_some() => {
                    recording.starts.insert(book.info.key, Some(book.timestamp));
                }
                MarketEvent::PriceChange(change) => {
                    if recording.entries.len() == MOST {
                        recording.ended = true;
                        break;
                    }
                    newest = newest.max(change.timestamp);
                    recording.entries.push(Entry {
                        asset: change.asset,
                        timestamp: change.timestamp,
                        print: print(change),
                    });
                }
                MarketEvent::Book(_)
                | MarketEvent::Trade(_)
                | MarketEvent::TickSizeChange(_)
                | MarketEvent::BestBidAsk(_) => {}
            }
        }
        recording.newest = newest;
        if !recording.entries.is_empty() {
            recording.began.get_or_insert(newest);
        }
    }

    /// Changes of these may be missing until their next opening books.
    pub(crate) fn gap(&self, assets: impl IntoIterator<Item = AssetKey>) {
        let mut recording = self.recording.lock();
        // What is lost after the end was not covered anyway.
        if recording.ended {
            return;
        }
        for asset in assets {
            recording.starts.insert(asset, None);
        }
    }

    /// Nothing later is covered.
    pub(crate) fn end(&self) {
        self.recording.lock().ended = true;
    }
}

impl Recording {
    /// Since when an asset is covered; `None` if it is not.
    fn start(&self, asset: AssetKey, opening: Opening) -> Option<Timestamp> {
        match (self.starts.get(&asset), opening) {
            (Some(start), _) => *start,
            (None, Opening::Given) => self.began,
            (None, Opening::Awaited) => None,
        }
    }
}

/// How two connections told the same books.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Comparison {
    /// Exchange time compared, in milliseconds; zero when nothing could be.
    pub compared_ms: u64,
    /// Changes only the old connection brought. Copies count once.
    pub old_only: u64,
    /// Changes only the new one brought.
    pub new_only: u64,
    /// Changes both brought.
    pub both: u64,
    /// Books that changed in that time.
    pub books_compared: u64,
    /// Those of them of which both brought the same changes.
    pub books_equal: u64,
    /// Whether both brought the same of every book; `None` when no book changed.
    pub digests_equal: Option<bool>,
}

impl Comparison {
    /// Holds two tapes against each other.
    pub(crate) fn of(old: &Tape, new: &Tape) -> Self {
        let (ours, theirs) = (old.recording.lock(), new.recording.lock());
        let reached = ours.newest.min(theirs.newest).millis();
        let end = Timestamp::from_millis(reached.saturating_sub(STRAGGLERS_MS));
        let Some(began) = ours.began else {
            return Self::default();
        };
        let mut begin = end;
        let mut windows: HashMap<AssetKey, Option<Timestamp>> = HashMap::new();
        let mut select = |recording: &Recording| {
            let mut selected: Vec<(AssetKey, u64)> = Vec::new();
            for entry in &recording.entries {
                let window = windows.entry(entry.asset).or_insert_with(|| {
                    let old = ours.start(entry.asset, old.opening)?;
                    let new = theirs.start(entry.asset, new.opening)?;
                    Some(began.max(old).max(new))
                });
                let Some(start) = *window else { continue };
                // What shares the opening book's millisecond may be in it.
                if start < entry.timestamp && entry.timestamp <= end {
                    begin = begin.min(start);
                    selected.push((entry.asset, entry.print));
                }
            }
            selected.sort_unstable();
            selected.dedup();
            selected
        };
        let (old, new) = (select(&ours), select(&theirs));
        let mut comparison = Self::merge(&old, &new);
        comparison.compared_ms = end.millis_since(begin);
        comparison
    }

    /// Compares two sorted sets, book by book.
    fn merge(old: &[(AssetKey, u64)], new: &[(AssetKey, u64)]) -> Self {
        let mut found = Self::default();
        let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
        let mut book: Option<(AssetKey, bool)> = None;
        loop {
            let (asset, same) = match (old.peek(), new.peek()) {
                (Some(one), Some(other)) if one == other => {
                    let asset = one.0;
                    found.both += 1;
                    old.next();
                    new.next();
                    (asset, true)
                }
                (Some(one), other) if other.is_none_or(|other| one < other) => {
                    let asset = one.0;
                    found.old_only += 1;
                    old.next();
                    (asset, false)
                }
                (_, Some(other)) => {
                    let asset = other.0;
                    found.new_only += 1;
                    new.next();
                    (asset, false)
                }
                (_, None) => break,
            };
            match &mut book {
                Some((known, equal)) if *known == asset => *equal &= same,
                _ => {
                    found.count_book(book.replace((asset, same)));
                }
            }
        }
        found.count_book(book);
        found.digests_equal =
            (found.books_compared > 0).then_some(found.books_compared == found.books_equal);
        found
    }

    fn count_book(&mut self, book: Option<(AssetKey, bool)>) {
        if let Some((_, equal)) = book {
            self.books_compared += 1;
            self.books_equal += u64::from(equal);
        }
    }
}

/// Everything a change says, in 64 bits; alike for both connections.
pub(crate) fn print(change: &PriceChange) -> u64 {
    let mut hasher = DefaultHasher::new();
    let said = (
        change.asset,
        change.timestamp,
        change.side,
        change.price,
        change.size,
        change.hash,
    );
    said.hash(&mut hasher);
    hasher.finish()
}

/// A connection's side of a tape: writes while someone holds it.
#[derive(Debug, Default)]
pub(super) struct Recorder(Option<Weak<Tape>>);

impl Recorder {
    pub(super) fn begin(&mut self, tape: &Arc<Tape>) {
        self.0 = Some(Arc::downgrade(tape));
    }

    pub(super) fn record(&mut self, events: &[MarketEvent]) {
        if let Some(tape) = self.tape() {
            tape.record(events);
        }
    }

    pub(super) fn gap(&mut self, assets: impl IntoIterator<Item = AssetKey>) {
        if let Some(tape) = self.tape() {
            tape.gap(assets);
        }
    }

    pub(super) fn end(&mut self) {
        if let Some(tape) = self.tape() {
            tape.end();
        }
    }

    fn tape(&mut self) -> Option<Arc<Tape>> {
        let tape = self.0.as_ref()?.upgrade();
        if tape.is_none() {
            self.0 = None;
        }
        tape
    }
}

#[cfg(test)]
#[path = "tape_tests.rs"]
mod tests;
