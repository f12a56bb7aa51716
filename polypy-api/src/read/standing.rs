//! Where followed markets stand in the orders of books: read once for all who ask for many.
//!
//! Tops change all the time, and to put 50,000 markets in order takes the tops of all. What
//! was read lasts for [`PAUSE`] times as long as it took, so that a thread is busy with it for
//! a tenth of the time at most, however many ask.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use polypy_core::catalogue::CatalogueView;
use polypy_core::{BookTop, MarketEntry};

use super::order::{Key, Sort};
use super::query::STATES;
use super::render::Tops;
use super::{Reads, without_book};

/// Up to so many markets are looked at again for each request: less than a millisecond.
pub(super) const FEW: usize = 2_000;
/// How much longer it lasts than it took.
const PAUSE: u32 = 10;

/// A followed market's places, by its number.
#[derive(Debug, Clone, Copy)]
struct Row {
    number: u64,
    by_spread: Key,
    by_change: Key,
    /// How its books stand: a bit for each of [`STATES`].
    states: u8,
}

/// The places of all at a moment, by number.
#[derive(Debug, Default)]
pub(super) struct Standing(Vec<Row>);

/// The newest one.
#[derive(Debug, Default)]
pub(super) struct Standings {
    newest: Mutex<Option<(Arc<Standing>, Instant)>>,
    /// Held by who reads the next one.
    turn: Mutex<()>,
}

impl Standing {
    /// Of these markets, in the order of their numbers.
    fn of(reads: &Reads, entries: &[&MarketEntry]) -> Self {
        let tops = Tops::read(&*reads.books, entries.iter().copied());
        let rows = entries.iter().enumerate().map(|(at, entry)| {
            let key = |sort: Sort| sort.key_of_books(tops.of(at).iter().flatten());
            Row {
                number: entry.number.get(),
                by_spread: key(Sort::Spread),
                by_change: key(Sort::Change),
                states: tops
                    .of(at)
                    .iter()
                    .fold(0, |all, top| all | bit(entry, top.as_ref())),
            }
        });
        Self(rows.collect())
    }

    /// Whether a book of a market stands so.
    pub(super) fn has(&self, state: usize, number: u64) -> bool {
        let found = self.0.binary_search_by_key(&number, |row| row.number);
        found.is_ok_and(|at| self.0[at].states & 1 << state != 0)
    }

    /// A market's place; that of one without books if it was not followed then.
    pub(super) fn key(&self, sort: Sort, number: u64) -> Key {
        let Ok(at) = self.0.binary_search_by_key(&number, |row| row.number) else {
            return Key::MAX;
        };
        match sort {
            Sort::Spread => self.0[at].by_spread,
            _ => self.0[at].by_change,
        }
    }
}

/// The bit of a book of a market.
fn bit(entry: &MarketEntry, top: Option<&BookTop>) -> u8 {
    let name = top.map_or(without_book(entry), |top| top.state).name();
    let at = STATES.iter().position(|state| *state == name);
    at.map_or(0, |at| 1 << at)
}

impl Standings {
    fn fresh(&self) -> Option<Arc<Standing>> {
        let newest = self.newest.lock();
        let (standing, until) = newest.as_ref()?;
        (Instant::now() < *until).then(|| Arc::clone(standing))
    }

    fn renewed(&self, read: impl FnOnce() -> Standing) -> Arc<Standing> {
        let _turn = self.turn.lock();
        if let Some(standing) = self.fresh() {
            return standing;
        }
        let begun = Instant::now();
        let standing = Arc::new(read());
        let until = Instant::now() + (begun.elapsed() * PAUSE).max(Duration::from_millis(1));
        *self.newest.lock() = Some((Arc::clone(&standing), until));
        standing
    }
}

impl Reads {
    /// Where these markets stand, in the order of their numbers: as it is now if they are
    /// few, or else as it was a moment ago.
    pub(super) fn standing(&self, view: &CatalogueView, entries: &[&MarketEntry]) -> Arc<Standing> {
        if entries.len() <= FEW {
            return Arc::new(Standing::of(self, entries));
        }
        self.standings.fresh().unwrap_or_else(|| {
            self.standings.renewed(|| {
                let followed = view.iter().map(|found| found.entry);
                let followed: Vec<_> = followed.filter(|entry| entry.keys.is_some()).collect();
                Standing::of(self, &followed)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_there_for_who_asks_until_its_time_is_over() {
        let standings = Standings::default();
        let row = |key| Row {
            number: 7,
            by_spread: key,
            by_change: key + 1,
            states: 0b0010,
        };
        let lasts = |moment: Instant| {
            if let Some((_, until)) = &mut *standings.newest.lock() {
                *until = moment;
            }
        };
        let first = standings.renewed(|| Standing(vec![row(1)]));
        assert_eq!(
            (first.key(Sort::Spread, 7), first.key(Sort::Change, 7)),
            (1, 2)
        );
        assert_eq!(first.key(Sort::Spread, 8), Key::MAX);
        let states: Vec<_> = (0..STATES.len()).filter(|at| first.has(*at, 7)).collect();
        assert_eq!(states, [1]);
        assert!(!first.has(1, 8), "nobody follows it");
        lasts(Instant::now() + Duration::from_secs(3_600));
        // Whoever waited for its turn meanwhile finds it.
        let again = standings.renewed(|| Standing(vec![row(3)]));
        assert_eq!(again.key(Sort::Spread, 7), 1);
        lasts(Instant::now());
        assert!(standings.fresh().is_none());
        let later = standings.renewed(|| Standing(vec![row(5)]));
        assert_eq!(later.key(Sort::Spread, 7), 5);
    }
}
