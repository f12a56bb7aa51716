//! A level of a book, the side it stands on, and what a change did to it.

use serde::Serialize;

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

/// A level and the size that it is set to: what a follower of a book has to apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LevelChange {
    /// The side the level stands on.
    pub side: Side,
    /// The level.
    pub price: Price,
    /// Its new size; zero removes it.
    pub size: Size,
}

/// What [`OrderBook::apply_change`](crate::OrderBook::apply_change) did.
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

/// Bytes that a book takes for a level, as long as prices are on the venue's grids
/// and no level has more than half a billion shares.
pub const LEVEL_BYTES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_has_the_other_opposite() {
        assert_eq!(Side::Bid.opposite(), Side::Ask);
        assert_eq!(Side::Ask.opposite(), Side::Bid);
    }
}
