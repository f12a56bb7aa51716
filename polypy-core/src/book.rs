//! One token's order book.
//!
//! Each side is sorted, and its spare room is next to its best level, so that a
//! change near the top moves little memory: real books hold 20 to 260 levels a side
//! and change near the top. Level sizes are absolute: a change sets the size at a
//! price, and zero removes the level. The top is always computed from the levels.

use crate::decimal::SignedDecimal;
use crate::level::{Change, Level, LevelChange, Side};
use crate::levels::Levels;
use crate::price::Price;
use crate::size::Size;

pub use crate::level::LEVEL_BYTES;

/// The resting orders of one token, by price.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OrderBook {
    levels: Levels,
}

impl OrderBook {
    /// Replaces all levels. They may come in any order; a level of size zero is left
    /// out; of two levels at one price the later counts.
    pub fn apply_snapshot(&mut self, bids: Vec<Level>, asks: Vec<Level>) {
        let (bids, asks) = (sorted(bids, Side::Bid), sorted(asks, Side::Ask));
        self.levels = Levels::of(bids.iter().copied(), asks.iter().copied());
    }

    /// Sets the absolute size at a price; zero removes the level.
    #[inline]
    pub fn apply_change(&mut self, side: Side, price: Price, size: Size) -> Change {
        self.levels.set(side, price, size)
    }

    /// The shares at a price, zero for a level that is not there.
    pub fn size_at(&self, side: Side, price: Price) -> Size {
        self.levels.size_at(side, price).unwrap_or_default()
    }

    /// The highest bid.
    pub fn best_bid(&self) -> Option<Level> {
        self.levels(Side::Bid).next()
    }

    /// The lowest ask.
    pub fn best_ask(&self) -> Option<Level> {
        self.levels(Side::Ask).next()
    }

    /// The price of the best level of a side. Reads no level.
    #[inline]
    pub fn best_price(&self, side: Side) -> Option<Price> {
        self.levels.best_price(side)
    }

    /// Best ask less best bid; zero when locked, negative when crossed, `None`
    /// while a side is empty.
    pub fn spread(&self) -> Option<SignedDecimal> {
        let (bid, ask) = self.top()?;
        Some(spread(bid, ask))
    }

    /// The mean of best bid and best ask, `None` while a side is empty.
    pub fn mid(&self) -> Option<SignedDecimal> {
        let (bid, ask) = self.top()?;
        Some(mid(bid, ask))
    }

    /// Whether the best bid is above the best ask.
    pub fn is_crossed(&self) -> bool {
        self.top().is_some_and(|(bid, ask)| bid > ask)
    }

    /// (bid size − ask size) / (bid size + ask size) over the best `depth`
    /// levels of each side: −1 to 1, `None` for an empty book.
    pub fn imbalance(&self, depth: usize) -> Option<f64> {
        let total = |side| -> u128 {
            let best = self.levels(side).take(depth);
            best.map(|level| u128::from(level.size.millionths())).sum()
        };
        let (bid, ask) = (total(Side::Bid), total(Side::Ask));
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

    /// Reads the levels near a side's best, so that they are in the cache when a
    /// change of that side is applied. A worker that has several changes calls it for
    /// all of them first, so that the cache misses of several books overlap. The
    /// value returned means nothing: it keeps the compiler from removing the reads.
    #[inline]
    pub fn prefetch(&self, side: Side) -> u64 {
        self.levels.prefetch(side)
    }

    /// A side's levels, best first.
    pub fn levels(&self, side: Side) -> impl ExactSizeIterator<Item = Level> + '_ {
        self.worst_first(side).rev()
    }

    /// A side's levels, worst first: bids ascending, asks descending, the
    /// order of the venue's own books and of the text it hashes.
    pub fn worst_first(
        &self,
        side: Side,
    ) -> impl DoubleEndedIterator<Item = Level> + ExactSizeIterator + Clone + '_ {
        self.levels.worst_first(side)
    }

    /// How many levels a side has.
    #[inline]
    pub fn depth(&self, side: Side) -> usize {
        self.levels.len(side)
    }

    /// The same orders seen from the market's other outcome: sides swapped,
    /// prices complemented.
    #[must_use]
    pub fn mirror(&self) -> Self {
        let flipped = |side| {
            let levels = self.worst_first(side);
            levels.map(|level| Level::new(level.price.complement(), level.size))
        };
        Self {
            levels: Levels::of(flipped(Side::Ask), flipped(Side::Bid)),
        }
    }

    /// Whether this is the book of the market's other outcome: [`Self::mirror`] of
    /// `other`, without making it.
    pub fn is_mirror_of(&self, other: &Self) -> bool {
        self.levels.is_mirror_of(&other.levels)
    }

    /// Calls `emit` with each level that has to be set in this book to make `new` of it,
    /// and with no other.
    ///
    /// ```
    /// use polypy_core::{OrderBook, Side};
    /// let (mut old, mut new) = (OrderBook::default(), OrderBook::default());
    /// old.apply_change(Side::Bid, "0.48".parse()?, "10".parse()?);
    /// new.apply_change(Side::Bid, "0.49".parse()?, "25".parse()?);
    /// let mut made = old.clone();
    /// old.for_each_difference(&new, |level| {
    ///     made.apply_change(level.side, level.price, level.size);
    /// });
    /// assert_eq!(made, new);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn for_each_difference(&self, new: &Self, emit: impl FnMut(LevelChange)) {
        self.levels.for_each_difference(&new.levels, emit);
    }

    /// Whether neither side has a level.
    pub fn is_empty(&self) -> bool {
        self.depth(Side::Bid) + self.depth(Side::Ask) == 0
    }

    /// Best bid and best ask, when both sides have a level.
    fn top(&self) -> Option<(Price, Price)> {
        self.best_price(Side::Bid).zip(self.best_price(Side::Ask))
    }
}

pub(crate) fn spread(bid: Price, ask: Price) -> SignedDecimal {
    let [bid, ask] = [bid, ask].map(|price| i64::from(price.millionths()));
    SignedDecimal::from_ten_millionths((ask - bid) * 10)
}

pub(crate) fn mid(bid: Price, ask: Price) -> SignedDecimal {
    let [bid, ask] = [bid, ask].map(|price| i64::from(price.millionths()));
    SignedDecimal::from_ten_millionths((ask + bid) * 5)
}

/// Whether `a` is the better price for an order on `side`.
fn is_better(side: Side, a: Price, b: Price) -> bool {
    match side {
        Side::Bid => a > b,
        Side::Ask => a < b,
    }
}

/// Sorts worst to best, keeps the last of equal prices, removes sizes of zero.
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
