//! What the decoders have seen, in numbers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::Serialize;

use super::error::{CAUSES, WireError};

/// What an event was recognised as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// `book`, and the REST form without `event_type`.
    Book,
    /// `price_change`, of any number of entries.
    PriceChange,
    /// `last_trade_price`.
    LastTradePrice,
    /// `tick_size_change`.
    TickSizeChange,
    /// `best_bid_ask`.
    BestBidAsk,
    /// `new_market`.
    NewMarket,
    /// `market_resolved`.
    MarketResolved,
    /// Broken before its type could be told. Counts errors only.
    Unrecognised,
}

impl EventKind {
    /// Every kind, in the order of the counters.
    pub const ALL: [Self; 8] = [
        Self::Book,
        Self::PriceChange,
        Self::LastTradePrice,
        Self::TickSizeChange,
        Self::BestBidAsk,
        Self::NewMarket,
        Self::MarketResolved,
        Self::Unrecognised,
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Book => "book",
            Self::PriceChange => "price_change",
            Self::LastTradePrice => "last_trade_price",
            Self::TickSizeChange => "tick_size_change",
            Self::BestBidAsk => "best_bid_ask",
            Self::NewMarket => "new_market",
            Self::MarketResolved => "market_resolved",
            Self::Unrecognised => "unrecognised",
        }
    }

    /// The kind of that name on the wire.
    pub(super) fn of(event_type: &str) -> Option<Self> {
        match event_type {
            "book" => Some(Self::Book),
            "price_change" => Some(Self::PriceChange),
            "last_trade_price" => Some(Self::LastTradePrice),
            "tick_size_change" => Some(Self::TickSizeChange),
            "best_bid_ask" => Some(Self::BestBidAsk),
            "new_market" => Some(Self::NewMarket),
            "market_resolved" => Some(Self::MarketResolved),
            _ => None,
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Book => 0,
            Self::PriceChange => 1,
            Self::LastTradePrice => 2,
            Self::TickSizeChange => 3,
            Self::BestBidAsk => 4,
            Self::NewMarket => 5,
            Self::MarketResolved => 6,
            Self::Unrecognised => 7,
        }
    }
}

/// What is counted of good frames, which are nearly all: apart from
/// [`WireStats`] until a read is through, since every decoder writes there.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) frames: u64,
    pub(super) bytes: u64,
    pub(super) fast_frames: u64,
    pub(super) general_frames: u64,
    pub(super) level_changes: u64,
    events: [u64; EventKind::ALL.len()],
}

impl Counts {
    pub(super) fn count_event(&mut self, kind: EventKind) {
        if let Some(count) = self.events.get_mut(kind.index()) {
            *count += 1;
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.frames += other.frames;
        self.bytes += other.bytes;
        self.fast_frames += other.fast_frames;
        self.general_frames += other.general_frames;
        self.level_changes += other.level_changes;
        for (count, other) in self.events.iter_mut().zip(other.events) {
            *count += other;
        }
    }
}

/// Counters shared by all decoders; they only grow.
#[derive(Debug, Default)]
pub struct WireStats {
    frames: AtomicU64,
    bytes: AtomicU64,
    fast_frames: AtomicU64,
    general_frames: AtomicU64,
    level_changes: AtomicU64,
    unknown_assets: AtomicU64,
    events: [AtomicU64; EventKind::ALL.len()],
    errors_by_event: [AtomicU64; EventKind::ALL.len()],
    errors_by_cause: [AtomicU64; CAUSES.len()],
    unknown_events: NameCounts,
    control_texts: NameCounts,
}

/// [`WireStats`] as of one moment, as `/stats` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct WireSnapshot {
    /// Frames, control texts included.
    pub frames: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Frames read the fast way.
    pub fast_frames: u64,
    /// Frames read the general way: other shapes, unknown assets, errors. The
    /// rest are control texts.
    pub general_frames: u64,
    /// Events by type, whether or not they could be decoded.
    pub events: BTreeMap<&'static str, u64>,
    /// Level changes decoded: the entries of all `price_change`s.
    pub level_changes: u64,
    /// Frames, events, entries and optional fields that could not be read.
    pub parse_errors: u64,
    /// The same by cause.
    pub parse_errors_by_cause: BTreeMap<&'static str, u64>,
    /// The same by type of event; `unrecognised` where it could not be told.
    pub parse_errors_by_event: BTreeMap<&'static str, u64>,
    /// Events of types this program does not know. No errors.
    pub unknown_events: u64,
    /// The same by type; types beyond the first 32 count as `(other)`.
    pub unknown_events_by_name: BTreeMap<String, u64>,
    /// Events and entries of assets that are not known. No errors.
    pub unknown_assets: u64,
    /// Plain-text frames by text; texts beyond the first 32 count as `(other)`.
    pub control_texts: BTreeMap<String, u64>,
}

impl WireStats {
    /// The counters as of now.
    pub fn snapshot(&self) -> WireSnapshot {
        let by_event = |counters: &[AtomicU64]| {
            let names = EventKind::ALL.into_iter().map(EventKind::name);
            names.zip(counters.iter().map(load)).collect()
        };
        let mut events: BTreeMap<_, _> = by_event(&self.events);
        events.remove(EventKind::Unrecognised.name());
        let parse_errors_by_cause: BTreeMap<_, _> = CAUSES
            .into_iter()
            .zip(self.errors_by_cause.iter().map(load))
            .collect();
        let (unknown_events, unknown_events_by_name) = self.unknown_events.snapshot();
        WireSnapshot {
            frames: load(&self.frames),
            bytes: load(&self.bytes),
            fast_frames: load(&self.fast_frames),
            general_frames: load(&self.general_frames),
            events,
            level_changes: load(&self.level_changes),
            parse_errors: parse_errors_by_cause.values().sum(),
            parse_errors_by_cause,
            parse_errors_by_event: by_event(&self.errors_by_event),
            unknown_events,
            unknown_events_by_name,
            unknown_assets: load(&self.unknown_assets),
            control_texts: self.control_texts.snapshot().1,
        }
    }

    /// Parse errors of every kind.
    pub fn parse_errors(&self) -> u64 {
        self.errors_by_cause.iter().map(load).sum()
    }

    pub(super) fn add(&self, counts: &Counts) {
        let single = [
            (&self.frames, counts.frames),
            (&self.bytes, counts.bytes),
            (&self.fast_frames, counts.fast_frames),
            (&self.general_frames, counts.general_frames),
            (&self.level_changes, counts.level_changes),
        ];
        let events = self.events.iter().zip(counts.events);
        for (counter, amount) in single.into_iter().chain(events) {
            if amount > 0 {
                add(counter, amount);
            }
        }
    }

    pub(super) fn count_event(&self, kind: EventKind) {
        increment(&self.events, kind.index());
    }

    pub(super) fn count_level_changes(&self, changes: u64) {
        add(&self.level_changes, changes);
    }

    pub(super) fn count_unknown_asset(&self) {
        add(&self.unknown_assets, 1);
    }

    /// Whether it is the first of its name.
    pub(super) fn count_unknown_event(&self, name: &str) -> bool {
        self.unknown_events.count(name)
    }

    /// Whether it is the first of its kind.
    pub(super) fn count_control_text(&self, text: &str) -> bool {
        self.control_texts.count(text)
    }

    pub(super) fn count_error(&self, kind: EventKind, error: &WireError) {
        increment(&self.errors_by_event, kind.index());
        increment(&self.errors_by_cause, error.cause());
    }
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

fn increment(counters: &[AtomicU64], index: usize) {
    if let Some(counter) = counters.get(index) {
        add(counter, 1);
    }
}

/// Names kept. The venue has seven event types and about six texts; who sends
/// more than this sends noise, and noise must not fill the memory.
const NAMES_KEPT: usize = 32;
/// Bytes kept of a name.
const NAME_LENGTH: usize = 64;
/// Under which all further names are counted.
const OTHER: &str = "(other)";

/// Counts by names that a stranger chooses.
#[derive(Debug, Default)]
struct NameCounts {
    by_name: Mutex<BTreeMap<Box<str>, u64>>,
    other: AtomicU64,
}

impl NameCounts {
    /// Counts one; whether it is the first of a name that is kept.
    fn count(&self, name: &str) -> bool {
        let name = &name[..name.floor_char_boundary(NAME_LENGTH)];
        let mut by_name = self.by_name.lock();
        if let Some(count) = by_name.get_mut(name) {
            *count += 1;
            return false;
        }
        let kept = by_name.len() < NAMES_KEPT;
        if kept {
            by_name.insert(name.into(), 1);
        } else {
            add(&self.other, 1);
        }
        kept
    }

    /// The sum, and the counts by name.
    fn snapshot(&self) -> (u64, BTreeMap<String, u64>) {
        let mut counts: BTreeMap<String, u64> = self
            .by_name
            .lock()
            .iter()
            .map(|(name, count)| (name.to_string(), *count))
            .collect();
        let other = load(&self.other);
        if other > 0 {
            *counts.entry(OTHER.to_owned()).or_default() += other;
        }
        (counts.values().sum(), counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_cannot_make_the_names_grow() {
        let names = NameCounts::default();
        assert!(names.count("a"));
        assert!(!names.count("a"));
        for number in 0..1_000 {
            names.count(&format!("{number}{}", "ü".repeat(1_000)));
        }
        let (sum, counts) = names.snapshot();
        assert_eq!(sum, 1_002);
        assert_eq!(counts.len(), NAMES_KEPT + 1);
        assert_eq!(counts[OTHER], 1_002 - 2 - 31);
        assert!(counts.keys().all(|name| name.len() <= NAME_LENGTH));
    }

    #[test]
    fn every_kind_and_cause_has_a_counter_of_its_own() {
        for (at, kind) in EventKind::ALL.into_iter().enumerate() {
            assert_eq!(kind.index(), at);
            let known = EventKind::of(kind.name());
            assert_eq!(known.is_none(), kind == EventKind::Unrecognised);
            assert!(known.is_none_or(|known| known == kind));
        }
        let stats = WireStats::default();
        stats.count_error(EventKind::Book, &WireError::Side);
        stats.count_error(EventKind::Unrecognised, &WireError::NotAnObject);
        let snapshot = stats.snapshot();
        assert_eq!(snapshot.parse_errors, 2);
        assert_eq!(stats.parse_errors(), 2);
        assert_eq!(snapshot.parse_errors_by_cause["side"], 1);
        assert_eq!(snapshot.parse_errors_by_cause["not_an_object"], 1);
        assert_eq!(snapshot.parse_errors_by_event["book"], 1);
        assert_eq!(snapshot.parse_errors_by_event["unrecognised"], 1);
    }
}
