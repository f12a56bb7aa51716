//! Frames of a made-up venue in which every statement is true.
//!
//! Whoever starts from [`Corpus::openings`] and applies [`Corpus::frames`] in
//! their order finds every stated top and every hash, so that all of the
//! program's checks pass, and ends with [`Corpus::books`]. The traffic is after
//! the venue's: its key order, ids that are random 256-bit numbers, frames of
//! about 650 bytes with 2.2 changes, few markets with most of the frames (Zipf's
//! law), 30 % of markets on the fine grid. The same sizes give the same corpus.
//!
//! Not told: trades, new price grids, later whole books, other feeds.

use std::sync::Arc;

use fastrand::Rng;
use polypy_core::{AssetInfo, AssetKey, Interner, Level, OrderBook, Side};

use crate::checksum::Checksum;
use crate::market::Market;

const SEED: u64 = 42;
/// How often every market moves before busy ones do.
const ROUNDS: usize = 6;
/// Exchange time of the openings, in milliseconds: some November.
const START: u64 = 1_795_000_000_000;

/// A venue's frames, and its books after the last of them.
#[derive(Debug)]
pub struct Corpus {
    /// Knows every token; the two of a market know each other.
    pub interner: Interner,
    /// A frame with the whole book of each token.
    pub openings: Vec<String>,
    /// One `price_change` each.
    pub frames: Vec<String>,
    /// How many of them come first and only have every book move: see
    /// [`Corpus::warmed`].
    pub warm_up: usize,
    /// Level changes in all of [`Self::frames`].
    pub changes: usize,
    /// In the order of `openings`.
    books: Vec<(Arc<AssetInfo>, OrderBook)>,
}

impl Corpus {
    /// A venue of this many tokens, at least two, and this many frames of it.
    pub fn seeded(tokens: usize, frames: usize) -> Self {
        let (corpus, markets, _) = Self::told(tokens, 0, frames, Traffic::Zipf);
        corpus.with_books(markets)
    }

    /// The same, after frames in which every market moves some times: a book that
    /// moves for the first times takes memory for its history, as it does once in
    /// the life of the program, and many tokens seldom move.
    pub fn warmed(tokens: usize, frames: usize) -> Self {
        let (corpus, markets, _) = Self::told(tokens, ROUNDS, frames, Traffic::Zipf);
        corpus.with_books(markets)
    }

    /// The same, with all markets equally busy, so that hardly anything is where it
    /// was left a moment ago: the worst case for the caches.
    pub fn even(tokens: usize, frames: usize) -> Self {
        let (corpus, markets, _) = Self::told(tokens, ROUNDS, frames, Traffic::Even);
        corpus.with_books(markets)
    }

    /// As [`Self::seeded`], followed by frames that bring every book back to its opening,
    /// the markets taking turns. With later times in it, all of it can be told
    /// again and again, and but for the hashes it is true each time.
    pub fn cyclic(tokens: usize, frames: usize) -> Self {
        let (mut corpus, mut markets, mut millis) = Self::told(tokens, 0, frames, Traffic::Zipf);
        let mut left: Vec<_> = (0..markets.len()).collect();
        while !left.is_empty() {
            left.retain(|&market| {
                millis += 1;
                // One frame in ten of two orders, as before.
                let orders = if corpus.frames.len() % 10 == 0 { 2 } else { 1 };
                let told = markets[market].revert(orders, millis);
                let goes_on = told.is_some();
                if let Some((frame, orders)) = told {
                    corpus.frames.push(frame);
                    corpus.changes += 2 * orders;
                }
                goes_on
            });
        }
        corpus.with_books(markets)
    }

    /// A venue without books yet, its markets, and the time of its last frame. As
    /// many `rounds` come first.
    fn told(
        tokens: usize,
        rounds: usize,
        frames: usize,
        traffic: Traffic,
    ) -> (Self, Vec<Market>, u64) {
        let mut interner = Interner::default();
        let mut telling = Telling::new(tokens, traffic, &mut interner);
        let openings = telling.openings();
        let warm_up = rounds * telling.markets.len();
        let frames = (0..warm_up + frames)
            .map(|at| {
                let market = (at < warm_up).then(|| at % telling.markets.len());
                telling.frame(market)
            })
            .collect();
        let corpus = Self {
            interner,
            openings,
            frames,
            warm_up,
            changes: telling.changes,
            books: Vec::new(),
        };
        (corpus, telling.markets, telling.millis)
    }

    fn with_books(mut self, markets: Vec<Market>) -> Self {
        self.books = markets.into_iter().flat_map(Market::into_books).collect();
        self
    }

    /// Every token's book after the last frame, both tokens of a market in turn.
    pub fn books(&self) -> impl ExactSizeIterator<Item = (&AssetInfo, &OrderBook)> {
        self.books.iter().map(|(info, book)| (&**info, book))
    }

    /// Every token, in the order of [`Self::openings`].
    pub fn keys(&self) -> impl ExactSizeIterator<Item = AssetKey> {
        self.books.iter().map(|(info, _)| info.key)
    }

    /// Of all books after the last frame.
    pub fn checksum(&self) -> Checksum {
        let units = |level: Level| -> (u64, u64) {
            (level.price.millionths().into(), level.size.millionths())
        };
        let mut sum = Checksum::default();
        for (info, book) in self.books() {
            let (bids, asks) = (book.levels(Side::Bid), book.levels(Side::Ask));
            sum.add_book(info.asset_id.as_str(), bids.map(units), asks.map(units));
        }
        sum
    }

    /// Bytes in a frame, on average.
    pub fn frame_bytes(&self) -> usize {
        let bytes: usize = self.frames.iter().map(String::len).sum();
        bytes / self.frames.len().max(1)
    }
}

/// The frames of [`Corpus::seeded`], one after the other: of more than memory holds.
#[derive(Debug)]
pub struct Telling {
    rng: Rng,
    markets: Vec<Market>,
    /// Where a market stands says nothing of how busy it is.
    by_rank: Vec<usize>,
    traffic: Traffic,
    changes: usize,
    millis: u64,
}

impl Telling {
    /// A venue of this many tokens, at least two.
    pub fn seeded(tokens: usize) -> Self {
        Self::new(tokens, Traffic::Zipf, &mut Interner::default())
    }

    fn new(tokens: usize, traffic: Traffic, interner: &mut Interner) -> Self {
        let mut rng = Rng::with_seed(SEED);
        let markets: Vec<_> = (0..(tokens / 2).max(1))
            .map(|_| Market::random(&mut rng, interner))
            .collect();
        let mut by_rank: Vec<_> = (0..markets.len()).collect();
        rng.shuffle(&mut by_rank);
        Self {
            rng,
            markets,
            by_rank,
            traffic,
            changes: 0,
            millis: START,
        }
    }

    /// A frame with the whole book of each token, before any other.
    pub fn openings(&self) -> Vec<String> {
        let openings = self
            .markets
            .iter()
            .flat_map(|market| market.openings(START));
        openings.collect()
    }

    /// The next `price_change`.
    pub fn next_frame(&mut self) -> String {
        self.frame(None)
    }

    /// The same, of this market.
    fn frame(&mut self, market: Option<usize>) -> String {
        let rng = &mut self.rng;
        // Mostly one order, which changes a level of both tokens.
        let orders = if rng.u8(..10) == 0 { 2 } else { 1 };
        self.changes += 2 * orders;
        self.millis += u64::from(self.changes == 2 * orders || rng.u8(..6) > 0);
        let market = market.unwrap_or_else(|| match self.traffic {
            Traffic::Zipf => self.by_rank[rank(rng, self.markets.len())],
            Traffic::Even => rng.usize(..self.markets.len()),
        });
        self.markets[market].change(rng, orders, self.millis)
    }
}

/// Which markets frames are of.
#[derive(Debug, Clone, Copy)]
enum Traffic {
    /// The busier a market the fewer there are of its kind, as at the venue.
    Zipf,
    /// All alike.
    Even,
}

/// The rank of the market that a frame is of, the busiest being zero: after Zipf's
/// law, by which each doubling of the rank has the same share of the traffic.
fn rank(rng: &mut Rng, markets: usize) -> usize {
    let doublings = markets.ilog2() + 1;
    loop {
        let first = 1 << rng.u32(..doublings);
        let rank = first + rng.usize(..first) - 1;
        if rank < markets {
            return rank;
        }
    }
}

#[cfg(test)]
#[path = "corpus_tests.rs"]
mod tests;
