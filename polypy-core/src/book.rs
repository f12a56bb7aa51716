//! One token's order book.
//!
//! Each side is a vector sorted worst to best, so that the best level is the
//! last and a change near the top moves little memory: real books hold 20 to
//! 260 levels a side and change near the touch. Level sizes are absolute: a
//! change sets the size at a price, and zero removes the level. The top is
//! always computed from the levels.

use std::hint::black_box;

use serde::Serialize;

use crate::decimal::SignedDecimal;
use crate::price::Price;
use crate::size::Size;

/// The side of the book a level stands on. The venue's `BUY` is [`Side::Bid`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Orders to buy; the highest price is the best.
    Bid,
    /// Orders to sell; the lowest price is the best.
    Ask,
}

impl Side {
    /// The other side, on which the market's other outcome shows the same order.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::Bid => Self::Ask,
            Self::Ask => Self::Bid,
        }
    }
}

/// All the shares resting at one price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Level {
    /// Price of one share.
    pub price: Price,
    /// Shares resting there; never zero inside a book.
    pub size: Size,
}

impl Level {
    /// A level of `size` shares at `price`.
    pub fn new(price: Price, size: Size) -> Self {
        Self { price, size }
    }
}

/// What [`OrderBook::apply_change`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A level appeared.
    Inserted,
    /// A level has a new size.
    Resized,
    /// A level is gone.
    Removed,
    /// Nothing moved: the same size again, or the removal of a missing level.
    Unchanged,
}

/// The resting orders of one token, by price.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OrderBook {
    /// Ascending: the best bid is last.
    bids: Vec<Level>,
    /// Descending: the best ask is last.
    asks: Vec<Level>,
}

impl OrderBook {
    /// Replaces everything. Levels may come in any order; zero sizes are left
    /// out; of two levels at one price the later wins.
    pub fn apply_snapshot(&mut self, bids: Vec<Level>, asks: Vec<Level>) {
        self.bids = sorted(bids, Side::Bid);
        self.asks = sorted(asks, Side::Ask);
    }

    /// Sets the absolute size at a price; zero removes the level.
    pub fn apply_change(&mut self, side: Side, price: Price, size: Size) -> Change {
        match side {
            Side::Bid => set(&mut self.bids, price, size, |level| level > price),
            Side::Ask => set(&mut self.asks, price, size, |level| level < price),
        }
    }

    /// The shares at a price, zero for a level that is not there.
    pub fn size_at(&self, side: Side, price: Price) -> Size {
        let levels = self.worst_first(side);
        let found = levels.binary_search_by(|level| match side {
            Side::Bid => level.price.cmp(&price),
            Side::Ask => price.cmp(&level.price),
        });
        found.map_or(Size::default(), |at| levels[at].size)
    }

    /// The highest bid.
    pub fn best_bid(&self) -> Option<Level> {
        self.bids.last().copied()
    }

    /// The lowest ask.
    pub fn best_ask(&self) -> Option<Level> {
        self.asks.last().copied()
    }

    /// Best ask less best bid; zero when locked, negative when crossed, `None`
    /// while a side is empty.
    pub fn spread(&self) -> Option<SignedDecimal> {
        let (bid, ask) = self.top()?;
        Some(SignedDecimal::from_ten_millionths((ask - bid) * 10))
    }

    /// The mean of best bid and best ask, `None` while a side is empty.
    pub fn mid(&self) -> Option<SignedDecimal> {
        let (bid, ask) = self.top()?;
        Some(SignedDecimal::from_ten_millionths((ask + bid) * 5))
    }

    /// Whether the best bid is above the best ask.
    pub fn is_crossed(&self) -> bool {
        self.top().is_some_and(|(bid, ask)| bid > ask)
    }

    /// (bid size − ask size) / (bid size + ask size) over the best `depth`
    /// levels of each side: −1 to 1, `None` for an empty book.
    pub fn imbalance(&self, depth: usize) -> Option<f64> {
        let total = |levels: &[Level]| -> u128 {
            levels
                .iter()
                .rev()
                .take(depth)
                .map(|level| u128::from(level.size.millionths()))
                .sum()
        };
        let (bid, ask) = (total(&self.bids), total(&self.asks));
        if bid + ask == 0 {
            return None;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a ratio for display, not a quantity"
        )]
        let (bid, ask) = (bid as f64, ask as f64);
        Some((bid - ask) / (bid + ask))
    }

    /// Has come into the cache what a change on `side` will look at: the levels
    /// near that side's best, and the other side's best. For who knows some
    /// changes ahead that they come: the waiting for several books overlaps.
    /// Changes nothing else.
    #[inline]
    pub fn touch(&self, side: Side) {
        let (near, far) = match side {
            Side::Bid => (&self.bids, &self.asks),
            Side::Ask => (&self.asks, &self.bids),
        };
        // Copies, for a reference alone fetches nothing.
        let from_best = |levels: &[Level], at: usize| {
            let level = levels.len().checked_sub(at).and_then(|at| levels.get(at));
            level.map(|level| level.price)
        };
        for line in 0..LINES_AHEAD {
            black_box(from_best(near, 1 + line * LEVELS_A_LINE));
        }
        black_box(from_best(far, 1));
    }

    /// A side's levels, best first.
    pub fn levels(&self, side: Side) -> impl ExactSizeIterator<Item = Level> + '_ {
        self.worst_first(side).iter().rev().copied()
    }

    /// A side's levels, worst first: bids ascending, asks descending, the
    /// order of the venue's own books and of the text it hashes.
    pub fn worst_first(&self, side: Side) -> &[Level] {
        match side {
            Side::Bid => &self.bids,
            Side::Ask => &self.asks,
        }
    }

    /// The same orders seen from the market's other outcome: sides swapped,
    /// prices complemented.
    #[must_use]
    pub fn mirror(&self) -> Self {
        let flip = |levels: &[Level]| {
            levels
                .iter()
                .map(|level| Level::new(level.price.complement(), level.size))
                .collect()
        };
        Self {
            bids: flip(&self.asks),
            asks: flip(&self.bids),
        }
    }

    /// Whether neither side has a level.
    pub fn is_empty(&self) -> bool {
        self.bids.is_empty() && self.asks.is_empty()
    }

    /// Best bid and best ask in millionths, when both sides have a level.
    fn top(&self) -> Option<(i64, i64)> {
        let bid = self.best_bid()?.price.millionths();
        let ask = self.best_ask()?.price.millionths();
        Some((i64::from(bid), i64::from(ask)))
    }
}

/// Levels that share a cache line, and the lines in which most changes fall: of
/// real ones two in three are among the best twelve levels.
const LEVELS_A_LINE: usize = 64 / size_of::<Level>();
const LINES_AHEAD: usize = 3;

/// Levels that a full side grows by, or an eighth of it: doubling would waste the
/// memory of tens of thousands of books, most of which is levels.
const GROWTH: usize = 4;

/// Sets the size at `price` in a side whose better levels `is_better` knows.
#[inline]
fn set(
    levels: &mut Vec<Level>,
    price: Price,
    size: Size,
    is_better: impl Fn(Price) -> bool,
) -> Change {
    // From the touch inwards: that is where changes are.
    let mut behind = levels.len();
    while let Some(level) = levels[..behind].last()
        && is_better(level.price)
    {
        behind -= 1;
    }
    match levels[..behind].last_mut() {
        Some(level) if level.price == price => {
            if size.is_zero() {
                levels.remove(behind - 1);
                Change::Removed
            } else if level.size == size {
                Change::Unchanged
            } else {
                level.size = size;
                Change::Resized
            }
        }
        _ if size.is_zero() => Change::Unchanged,
        _ => {
            if levels.len() == levels.capacity() {
                levels.reserve_exact(GROWTH.max(levels.len() / 8));
            }
            levels.insert(behind, Level::new(price, size));
            Change::Inserted
        }
    }
}

/// Whether `a` is the better price for an order on `side`.
fn is_better(side: Side, a: Price, b: Price) -> bool {
    match side {
        Side::Bid => a > b,
        Side::Ask => a < b,
    }
}

/// Sorts worst to best, keeps the last of equal prices, leaves out zero sizes.
fn sorted(mut levels: Vec<Level>, side: Side) -> Vec<Level> {
    let in_order = levels
        .windows(2)
        .all(|pair| is_better(side, pair[1].price, pair[0].price));
    if !in_order {
        match side {
            Side::Bid => levels.sort_by_key(|level| level.price),
            Side::Ask => levels.sort_by_key(|level| std::cmp::Reverse(level.price)),
        }
        // The sort is stable, so the later of two equal prices follows.
        levels.dedup_by(|later, kept| {
            let same = later.price == kept.price;
            if same {
                *kept = *later;
            }
            same
        });
    }
    levels.retain(|level| !level.size.is_zero());
    levels
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
