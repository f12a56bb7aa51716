//! What one connection brought of a set of books, kept to be held against what
//! another brought of the same.
//!
//! While two connections carry the same assets, each writes the price changes it
//! decodes in a *change log*: per change the asset, the exchange time and a
//! fingerprint of everything it says. Two logs are compared over the exchange
//! time both have covered ([`Comparison::of`]).
//!
//! A log covers an asset from the exchange time of its opening book on, or,
//! on a connection that was open already, from the first change it brought of
//! anything. Taken off and named again, the asset is covered from its next opening
//! book; taken off for good, or lost with the socket, it is covered no longer.
//! A log is bounded: once full, it covers nothing later.
//!
//! Nothing is recorded while nobody holds a log.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use polypy_core::{AssetKey, MarketEvent, PriceChange, Timestamp};

/// Changes on one log, 24 bytes each: about a minute of a busy connection.
const MAX_CHANGES: usize = 32_768;

/// The newest part of what both logs cover is left out: entries of one
/// millisecond come up to 120 ms apart on one socket.
const STRAGGLERS_MS: u64 = 200;

/// Which part of an asset's changes a log has from the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// Everything since the log began: the books were open.
    Given,
    /// What follows the asset's opening book.
    Awaited,
}

/// One connection's record.
#[derive(Debug)]
pub(crate) struct ChangeLog {
    opening: Opening,
    log: Mutex<Log>,
}

#[derive(Debug, Default)]
struct Log {
    entries: Vec<Entry>,
    /// Since when assets are covered, where that differs from the log's own
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
    fingerprint: u64,
}

impl ChangeLog {
    pub(crate) fn new(opening: Opening) -> Arc<Self> {
        Arc::new(Self {
            opening,
            log: Mutex::default(),
        })
    }

    /// Takes down what one read held.
    pub(crate) fn record(&self, events: &[MarketEvent]) {
        let mut log = self.log.lock();
        if log.ended {
            return;
        }
        let mut newest = log.newest;
        for event in events {
            match event {
                MarketEvent::Book(book) if book.tick_size.is_some() => {
                    log.starts.insert(book.info.key, Some(book.timestamp));
                }
                MarketEvent::PriceChange(change) => {
                    if log.entries.len() == MAX_CHANGES {
                        log.ended = true;
                        break;
                    }
                    newest = newest.max(change.timestamp);
                    log.entries.push(Entry {
                        asset: change.asset,
                        timestamp: change.timestamp,
                        fingerprint: fingerprint(change),
                    });
                }
                MarketEvent::Book(_)
                | MarketEvent::Trade(_)
                | MarketEvent::TickSizeChange(_)
                | MarketEvent::BestBidAsk(_) => {}
            }
        }
        log.newest = newest;
        if !log.entries.is_empty() {
            log.began.get_or_insert(newest);
        }
    }

    /// Changes of these may be missing until their next opening books.
    pub(crate) fn gap(&self, assets: impl IntoIterator<Item = AssetKey>) {
        let mut log = self.log.lock();
        // What is lost after the end was not covered anyway.
        if log.ended {
            return;
        }
        for asset in assets {
            log.starts.insert(asset, None);
        }
    }

    /// Nothing later is covered.
    pub(crate) fn end(&self) {
        self.log.lock().ended = true;
    }
}

impl Log {
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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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
    /// Holds two logs against each other.
    pub(crate) fn of(old: &ChangeLog, new: &ChangeLog) -> Self {
        let (ours, theirs) = (old.log.lock(), new.log.lock());
        let reached = ours.newest.min(theirs.newest).millis();
        let end = Timestamp::from_millis(reached.saturating_sub(STRAGGLERS_MS));
        let Some(began) = ours.began else {
            return Self::default();
        };
        let mut begin = end;
        let mut windows: HashMap<AssetKey, Option<Timestamp>> = HashMap::new();
        let mut select = |log: &Log| {
            let mut selected: Vec<(AssetKey, u64)> = Vec::new();
            for entry in &log.entries {
                let window = windows.entry(entry.asset).or_insert_with(|| {
                    let old = ours.start(entry.asset, old.opening)?;
                    let new = theirs.start(entry.asset, new.opening)?;
                    Some(began.max(old).max(new))
                });
                let Some(start) = *window else { continue };
                // What shares the opening book's millisecond may be in it.
                if start < entry.timestamp && entry.timestamp <= end {
                    begin = begin.min(start);
                    selected.push((entry.asset, entry.fingerprint));
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
pub(crate) fn fingerprint(change: &PriceChange) -> u64 {
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

/// A connection's side of a log: writes while someone holds it.
#[derive(Debug, Default)]
pub(super) struct LogWriter(Option<Weak<ChangeLog>>);

impl LogWriter {
    pub(super) fn begin(&mut self, log: &Arc<ChangeLog>) {
        self.0 = Some(Arc::downgrade(log));
    }

    pub(super) fn record(&mut self, events: &[MarketEvent]) {
        if let Some(log) = self.log() {
            log.record(events);
        }
    }

    pub(super) fn gap(&mut self, assets: impl IntoIterator<Item = AssetKey>) {
        if let Some(log) = self.log() {
            log.gap(assets);
        }
    }

    pub(super) fn end(&mut self) {
        if let Some(log) = self.log() {
            log.end();
        }
    }

    fn log(&mut self) -> Option<Arc<ChangeLog>> {
        let log = self.0.as_ref()?.upgrade();
        if log.is_none() {
            self.0 = None;
        }
        log
    }
}

#[cfg(test)]
#[path = "change_log_tests.rs"]
mod tests;
