//! What the decoders have seen, in numbers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use crate::counter::add;

use super::error::{CAUSES, WireError};
use super::kind::{EventKind, PerKind};

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

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Where errors are shown that belong to no type of event.
const NO_EVENT: &str = "unrecognised";

/// Names kept. The venue has seven event types and about six texts; who sends
/// more than this sends noise, and noise must not fill the memory.
const NAMES_KEPT: usize = 32;
/// Bytes kept of a name.
const NAME_LENGTH: usize = 64;
/// Under which all further names are counted.
const OTHER: &str = "(other)";

/// As much of a name as is kept.
fn kept_of(name: &str) -> &str {
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

/// Whether events of one unknown type take the place of the changes.
#[derive(Debug, Default)]
struct RenamingWatch {
    window: Option<Window>,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    /// Changes counted before it.
    known_before: u64,
    /// Bounded like all names that a stranger chooses.
    by_name: BTreeMap<Box<str>, u64>,
    is_told: bool,
}

/// How many came within a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outnumbered {
    pub(super) unknown: u64,
    pub(super) known: u64,
}

/// What is compared, and how seldom it is said.
const WINDOW: Duration = Duration::from_secs(60);
/// Fewer than this prove nothing: a quiet market has a change an hour.
const ENOUGH: u64 = 20;

impl RenamingWatch {
    fn note(&mut self, name: &str, known: u64, now: Instant) -> Option<Outnumbered> {
        let is_over = |window: &mut Window| now.saturating_duration_since(window.since) >= WINDOW;
        self.window.take_if(is_over);
        let window = self.window.get_or_insert_with(|| Window {
            since: now,
            known_before: known,
            by_name: BTreeMap::new(),
            is_told: false,
        });
        let name = kept_of(name);
        if window.by_name.len() >= NAMES_KEPT && !window.by_name.contains_key(name) {
            return None;
        }
        let unknown = window.by_name.entry(name.into()).or_default();
        *unknown += 1;
        let counts = Outnumbered {
            unknown: *unknown,
            known: known.saturating_sub(window.known_before),
        };
        let is_news = !window.is_told && counts.unknown >= ENOUGH && counts.unknown > counts.known;
        window.is_told |= is_news;
        is_news.then_some(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_type_that_outnumbers_the_changes_is_told_once_a_window() {
        let (mut watch, start) = (RenamingWatch::default(), Instant::now());
        let told = |watch: &mut RenamingWatch, known, at| {
            let notes = (0..50).filter_map(|_| watch.note("delta", known, at));
            notes.collect::<Vec<_>>()
        };
        let found = Outnumbered {
            unknown: ENOUGH,
            known: 0,
        };
        assert_eq!(told(&mut watch, 7, start), [found]);
        assert_eq!(told(&mut watch, 7, start + WINDOW / 2), []);
        assert_eq!(told(&mut watch, 7, start + WINDOW), [found]);
        // Beside many changes it is a type like any other.
        assert_eq!(watch.note("delta", 7, start + 2 * WINDOW), None);
        assert_eq!(told(&mut watch, 500, start + 2 * WINDOW), []);
        for number in 0..1_000 {
            assert_eq!(
                watch.note(&number.to_string(), 500, start + 2 * WINDOW),
                None
            );
        }
        assert_eq!(watch.window.unwrap().by_name.len(), NAMES_KEPT);
    }

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
