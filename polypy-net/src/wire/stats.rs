//! What the decoders have seen, in numbers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use polypy_core::StatsSource;
use polypy_core::metrics::{DROPPED, Entry, Kind, Row, Sheet};
use tokio::time::Instant;

use crate::counter::add;

use super::error::{CAUSES, WireError};
use super::kind::{EventKind, PerKind};
use super::renaming::{Outnumbered, RenamingWatch};

/// What is counted of good frames, which are nearly all: apart from
/// [`WireStats`] until a read is through, since every decoder writes there.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) frames: u64,
    pub(super) bytes: u64,
    pub(super) fast_frames: u64,
    pub(super) general_frames: u64,
    pub(super) level_changes: u64,
    events: PerKind<u64>,
}

impl Counts {
    pub(super) fn count_event(&mut self, kind: EventKind) {
        *self.events.of_mut(kind) += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.frames += other.frames;
        self.bytes += other.bytes;
        self.fast_frames += other.fast_frames;
        self.general_frames += other.general_frames;
        self.level_changes += other.level_changes;
        for (kind, other) in other.events.iter() {
            *self.events.of_mut(kind) += other;
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
    events: PerKind<AtomicU64>,
    errors_by_event: PerKind<AtomicU64>,
    /// Errors in what broke before its type could be told.
    errors_of_no_event: AtomicU64,
    errors_by_cause: [AtomicU64; CAUSES.len()],
    unknown_events: NameCounts,
    control_texts: NameCounts,
    renaming: Mutex<RenamingWatch>,
}

/// [`WireStats`] as of one moment, for programs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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
        let by_event = |counters: &PerKind<AtomicU64>| -> BTreeMap<_, _> {
            let counters = counters.iter();
            counters
                .map(|(kind, count)| (kind.name(), load(count)))
                .collect()
        };
        let mut parse_errors_by_event = by_event(&self.errors_by_event);
        parse_errors_by_event.insert(NO_EVENT, load(&self.errors_of_no_event));
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
            events: by_event(&self.events),
            level_changes: load(&self.level_changes),
            parse_errors: parse_errors_by_cause.values().sum(),
            parse_errors_by_cause,
            parse_errors_by_event,
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
        let events = counts.events.iter();
        let events = events.map(|(kind, count)| (self.events.of(kind), *count));
        for (counter, amount) in single.into_iter().chain(events) {
            if amount > 0 {
                add(counter, amount);
            }
        }
    }

    pub(super) fn count_event(&self, kind: EventKind) {
        add(self.events.of(kind), 1);
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

    /// An event of an unknown type is about tokens that are followed. The counts, if
    /// it is to be said that such events outnumber the changes.
    pub(super) fn note_unknown_of_known(&self, name: &str) -> Option<Outnumbered> {
        let known = load(self.events.of(EventKind::PriceChange));
        self.renaming.lock().note(name, known, Instant::now())
    }

    /// `kind` is `None` for what broke before its type could be told. Whether it is
    /// the first of its cause.
    pub(super) fn count_error(&self, kind: Option<EventKind>, error: &WireError) -> bool {
        let by_event = kind.map_or(&self.errors_of_no_event, |kind| {
            self.errors_by_event.of(kind)
        });
        add(by_event, 1);
        let by_cause = self.errors_by_cause.get(error.cause());
        by_cause.is_some_and(|counter| counter.fetch_add(1, Ordering::Relaxed) == 0)
    }
}

impl StatsSource for WireStats {
    fn show(&self, sheet: &mut dyn Sheet) {
        sheet.table(ROWS, self);
        let by_event = |counters: &PerKind<AtomicU64>| {
            let counters = counters.iter();
            counters
                .map(|(kind, count)| (kind.name(), load(count)))
                .collect::<ByKind>()
        };
        sheet.members(&EVENTS, &mut by_event(&self.events).into_iter());
        let by_cause = CAUSES
            .into_iter()
            .zip(self.errors_by_cause.iter().map(load));
        sheet.members(&ERRORS_BY_CAUSE, &mut by_cause.into_iter());
        let unrecognised = (NO_EVENT, load(&self.errors_of_no_event));
        let errors = by_event(&self.errors_by_event).into_iter();
        sheet.members(&ERRORS_BY_EVENT, &mut errors.chain([unrecognised]));
        self.unknown_events.show(&UNKNOWN_EVENTS, sheet);
        self.control_texts.show(&CONTROL_TEXTS, sheet);
    }
}

type ByKind = Vec<(&'static str, u64)>;
type Shown = Entry<WireStats>;

const DECODED: &str = "Frames decoded, by the way; the others are control texts.";
static ROWS: &[Shown] = &[
    Shown::counter(
        "frames",
        "polypy_wire_frames_total",
        "Frames, control texts included.",
        |stats| load(&stats.frames).into(),
    ),
    Shown::shown("bytes", "Their payload bytes.", |stats| {
        load(&stats.bytes).into()
    }),
    Shown::exported(
        Kind::Counter,
        "polypy_wire_received_bytes_total",
        "Payload bytes of frames.",
        |stats| load(&stats.bytes).into(),
    ),
    Shown::counter(
        "fast_frames",
        "polypy_wire_decoded_frames_total",
        "Frames read the fast way.",
        |stats| load(&stats.fast_frames).into(),
    )
    .label("path=\"fast\"")
    .family(DECODED),
    Shown::counter(
        "general_frames",
        "polypy_wire_decoded_frames_total",
        "Frames read the general way: other shapes, unknown assets, errors.",
        |stats| load(&stats.general_frames).into(),
    )
    .label("path=\"general\"")
    .family(DECODED),
    Shown::counter(
        "level_changes",
        "polypy_wire_level_changes_total",
        "Level changes decoded: the entries of all `price_change`s.",
        |stats| load(&stats.level_changes).into(),
    ),
    Shown::counter(
        "parse_errors",
        "polypy_events_dropped_total",
        "Frames, events, entries and optional fields that could not be read.",
        |stats| stats.parse_errors().into(),
    )
    .label("stage=\"decoding\"")
    .family(DROPPED),
    Shown::counter(
        "unknown_events",
        "polypy_wire_unknown_events_total",
        "Events of types that this program does not know. No errors.",
        |stats| stats.unknown_events.sum().into(),
    ),
    Shown::counter(
        "unknown_assets",
        "polypy_events_dropped_total",
        "Events and entries of assets that are not known. No errors.",
        |stats| load(&stats.unknown_assets).into(),
    )
    .label("stage=\"unknown_asset\"")
    .family(DROPPED),
];
static EVENTS: Row = Row::by(
    Kind::Counter,
    "events",
    "polypy_wire_events_total",
    "type",
    "Events by type, whether or not they could be decoded.",
);
static ERRORS_BY_CAUSE: Row = Row::by(
    Kind::Counter,
    "parse_errors_by_cause",
    "polypy_wire_parse_errors_total",
    "cause",
    "What could not be read, by cause. `/stats` has the causes that occurred.",
)
.sparse();
static ERRORS_BY_EVENT: Row = Row::by(
    Kind::Counter,
    "parse_errors_by_event",
    "polypy_wire_parse_errors_by_event_total",
    "event",
    "The same by type of event; `unrecognised` where it could not be told.",
)
.sparse();
// Names that a stranger chooses are no labels.
static UNKNOWN_EVENTS: Row = Row::by(
    Kind::Counter,
    "unknown_events_by_name",
    "",
    "",
    "Events of unknown types, by type; types beyond the first 32 count as `(other)`.",
)
.sparse();
static CONTROL_TEXTS: Row = Row::by(
    Kind::Counter,
    "control_texts",
    "",
    "",
    "Plain-text frames by text; texts beyond the first 32 count as `(other)`.",
);

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Where errors are shown that belong to no type of event.
const NO_EVENT: &str = "unrecognised";

/// Names kept. The venue has seven event types and about six texts; who sends
/// more than this sends noise, and noise must not fill the memory.
pub(super) const NAMES_KEPT: usize = 32;
/// Bytes kept of a name.
const NAME_LENGTH: usize = 64;
/// Under which all further names are counted.
const OTHER: &str = "(other)";

/// As much of a name as is kept.
pub(super) fn kept_of(name: &str) -> &str {
    &name[..name.floor_char_boundary(NAME_LENGTH)]
}

/// Counts by names that a stranger chooses.
#[derive(Debug, Default)]
struct NameCounts {
    by_name: Mutex<BTreeMap<Box<str>, u64>>,
    other: AtomicU64,
}

impl NameCounts {
    /// Counts one; whether it is the first of a name that is kept.
    fn count(&self, name: &str) -> bool {
        let name = kept_of(name);
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

    fn sum(&self) -> u64 {
        self.by_name.lock().values().sum::<u64>() + load(&self.other)
    }

    fn show(&self, row: &'static Row, sheet: &mut dyn Sheet) {
        let by_name = self.by_name.lock();
        let names = by_name.iter().map(|(name, count)| (&**name, *count));
        let other = Some(load(&self.other)).filter(|other| *other > 0);
        sheet.members(row, &mut names.chain(other.map(|other| (OTHER, other))));
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
        let stats = WireStats::default();
        for kind in EventKind::ALL {
            assert_eq!(EventKind::of(kind.name()), Some(kind));
            let before: u64 = stats.snapshot().events.values().sum();
            stats.count_event(kind);
            assert_eq!(stats.snapshot().events[kind.name()], 1);
            assert_eq!(stats.snapshot().events.values().sum::<u64>(), before + 1);
        }
        stats.count_error(Some(EventKind::Book), &WireError::Side);
        stats.count_error(None, &WireError::NotAnObject);
        let snapshot = stats.snapshot();
        assert_eq!(snapshot.parse_errors, 2);
        assert_eq!(stats.parse_errors(), 2);
        assert_eq!(snapshot.parse_errors_by_cause["side"], 1);
        assert_eq!(snapshot.parse_errors_by_cause["not_an_object"], 1);
        assert_eq!(snapshot.parse_errors_by_event["book"], 1);
        assert_eq!(snapshot.parse_errors_by_event["unrecognised"], 1);
    }
}
