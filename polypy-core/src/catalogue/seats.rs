//! Who is followed where not all can be: so many seats, given by rank.
//!
//! Ranks move all the time. A seat changes hands only where that is clear: one who ranks
//! within nine tenths of the seats takes the seat of one who ranks beyond eleven tenths,
//! of equals the one who sits is ahead, and a tenth of the seats changes hands in a round
//! at most. Free seats go to the first who have none.

use std::collections::HashSet;
use std::num::NonZeroUsize;

use super::entry::MarketNumber;
use super::selection::Rank;

/// Why seats are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Round {
    /// The markets have changed.
    Steady,
    /// The rule has changed, or all candidates are known for the first time: the first
    /// sit, regardless of which sat before.
    Fresh,
}

/// Who has got a seat, and who has lost one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeatChanges {
    /// The first first.
    pub seated: Vec<MarketNumber>,
    /// Those who are no candidates any more first.
    pub freed: Vec<MarketNumber>,
}

/// The seats.
#[derive(Debug, Clone)]
pub struct SeatTable {
    most: NonZeroUsize,
    sitting: HashSet<MarketNumber>,
}

impl SeatTable {
    /// So many seats, all of them free.
    pub fn new(most: NonZeroUsize) -> Self {
        Self {
            most,
            sitting: HashSet::new(),
        }
    }

    /// How many are taken.
    pub fn len(&self) -> usize {
        self.sitting.len()
    }

    /// Whether all are free.
    pub fn is_empty(&self) -> bool {
        self.sitting.is_empty()
    }

    /// Whether a market has one.
    pub fn has(&self, number: MarketNumber) -> bool {
        self.sitting.contains(&number)
    }

    /// Gives a market a seat if one is free. Whether it has one now.
    pub fn admit(&mut self, number: MarketNumber) -> bool {
        if !self.has(number) && self.len() < self.most.get() {
            self.sitting.insert(number);
        }
        self.has(number)
    }

    /// Takes a market's seat, if it has one.
    pub fn free(&mut self, number: MarketNumber) {
        self.sitting.remove(&number);
    }

    /// There are so many seats from now on; those who have one keep it until the next
    /// [`review`](Self::review).
    pub fn resize(&mut self, most: NonZeroUsize) {
        self.most = most;
    }

    /// Gives the seats among these candidates, who are all there are.
    pub fn review(
        &mut self,
        mut candidates: Vec<(Rank, MarketNumber)>,
        round: Round,
    ) -> SeatChanges {
        let most = self.most.get();
        let before = std::mem::take(&mut self.sitting);
        let sits = |number: &MarketNumber| before.contains(number);
        candidates.sort_unstable_by_key(|(rank, number)| (*rank, !sits(number), *number));
        let ranked: Vec<_> = candidates.into_iter().map(|(_, number)| number).collect();
        let mut sitting: Vec<bool> = ranked.iter().map(sits).collect();
        match round {
            Round::Fresh => {
                for (at, sits) in sitting.iter_mut().enumerate() {
                    *sits = at < most;
                }
            }
            Round::Steady => exchange(&mut sitting, most),
        }
        let mut changes = SeatChanges::default();
        for (number, sits_now) in ranked.iter().zip(&sitting) {
            if *sits_now {
                self.sitting.insert(*number);
            }
            match (before.contains(number), *sits_now) {
                (false, true) => changes.seated.push(*number),
                (true, false) => changes.freed.push(*number),
                (true, true) | (false, false) => {}
            }
        }
        let candidates: HashSet<_> = ranked.iter().collect();
        let mut gone: Vec<_> = before
            .into_iter()
            .filter(|number| !candidates.contains(number))
            .collect();
        gone.sort_unstable();
        gone.append(&mut changes.freed);
        changes.freed = gone;
        changes
    }
}

/// Gives seats to candidates by rank, of whom these sit.
fn exchange(sitting: &mut [bool], most: usize) {
    let seated = sitting.iter().filter(|sits| **sits).count();
    let mut free = most.saturating_sub(seated);
    for sits in sitting.iter_mut().filter(|sits| !**sits) {
        if free == 0 {
            break;
        }
        *sits = true;
        free -= 1;
    }
    // Too many sit where there are fewer seats than before, and nobody said so.
    let mut too_many = seated.saturating_sub(most);
    for sits in sitting.iter_mut().rev().filter(|sits| **sits) {
        if too_many == 0 {
            break;
        }
        *sits = false;
        too_many -= 1;
    }
    for _ in 0..(most / 10).max(1) {
        let first_out = sitting.iter().position(|sits| !sits);
        let last_in = sitting.iter().rposition(|sits| *sits);
        match (first_out, last_in) {
            (Some(enters), Some(leaves)) if enters * 10 < most * 9 && leaves * 10 >= most * 11 => {
                sitting.swap(enters, leaves);
            }
            _ => break,
        }
    }
}

#[cfg(test)]
#[path = "seats_tests.rs"]
mod tests;
