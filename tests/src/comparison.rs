//! Books the program shows, held against the exchange's.

use serde_json::Value;

use crate::http::Answer;

/// An asset's book as the exchange knows it, in the form `/orderbook` has.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// Its market is over.
    pub settled: bool,
    /// The venue's hash.
    pub hash: Value,
    /// Price and size of each level, best first.
    pub bids: Value,
    /// The same of the other side.
    pub asks: Value,
    /// The price grid.
    pub tick_size: Value,
}

impl Truth {
    /// From an answer of the exchange's `/sim/book`.
    pub fn read(mut book: Value) -> Self {
        Self {
            settled: book["status"] == "settled",
            hash: book["hash"].take(),
            bids: book["bids"].take(),
            asks: book["asks"].take(),
            tick_size: book["tick_size"].take(),
        }
    }
}

/// What a comparison of all books found.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Books shown as live.
    pub live: usize,
    /// Of those, the ones that were not as the exchange's.
    pub differing: Vec<String>,
    /// Assets that trade and have no live book.
    pub not_live: Vec<String>,
    /// Assets of settled markets, none of them shown as live.
    pub settled: usize,
}

impl Comparison {
    /// Compares one answer of `/orderbook` with the truth.
    ///
    /// # Panics
    /// When the answer is no JSON.
    pub fn note(&mut self, asset: &str, answer: &Answer, truth: &Truth) {
        let shown = answer.json();
        let status = answer.status.as_u16();
        match (status, shown["state"].as_str(), truth.settled) {
            (200, Some("live"), true) => {
                self.not_live.push(format!("{asset}: live though settled"));
            }
            (200, Some("live"), false) => {
                self.live += 1;
                // A new grid makes a new hash, which is told with the next
                // change only: until then the last one proves the levels.
                let proven = shown["hash"] == truth.hash || shown["hash_verified"] == true;
                let same = shown["bids"] == truth.bids
                    && shown["asks"] == truth.asks
                    && shown["tick_size"] == truth.tick_size
                    && proven;
                if !same {
                    self.differing
                        .push(format!("{asset}: {shown} against {truth:?}"));
                }
            }
            (_, _, true) => self.settled += 1,
            (status, state, false) => self
                .not_live
                .push(format!("{asset}: {status} {state:?} {:?}", shown["reason"])),
        }
    }

    /// Adds what another part of the assets came to.
    pub fn add(&mut self, other: Self) {
        self.live += other.live;
        self.differing.extend(other.differing);
        self.not_live.extend(other.not_live);
        self.settled += other.settled;
    }

    /// The figures, and the first of what is not as it should be.
    pub fn summary(&self) -> String {
        format!(
            "{} live, {} differing {:#?}, {} not live {:#?}",
            self.live,
            self.differing.len(),
            self.differing.iter().take(2).collect::<Vec<_>>(),
            self.not_live.len(),
            self.not_live.iter().take(8).collect::<Vec<_>>(),
        )
    }
}
