//! Whether the venue has renamed its changes.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::stats::{NAMES_KEPT, kept_of};

/// Whether events of one unknown type take the place of the changes.
#[derive(Debug, Default)]
pub(super) struct RenamingWatch {
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
    pub(super) fn note(&mut self, name: &str, known: u64, now: Instant) -> Option<Outnumbered> {
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
}
