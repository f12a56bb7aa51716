//! The two forms in which a book stores a level: packed into eight bytes where it
//! fits, and as it is.

use crate::level::Level;
use crate::price::Price;
use crate::size::Size;

/// A form in which a level is stored.
pub(crate) trait Cell: Copy + PartialEq {
    /// What a spare cell holds.
    const NONE: Self;

    /// The level in this form, if it fits.
    fn of(level: Level) -> Option<Self>;

    fn level(self) -> Level;

    fn has_price_of(self, other: Self) -> bool;

    /// Whether it stands at the complement of the other's price, with the same size.
    fn mirrors(self, other: Self) -> bool;

    /// One if its price is higher than the other's, else zero.
    fn above(self, other: Self) -> u64;

    /// One if its price is lower than the other's, else zero.
    fn below(self, other: Self) -> u64;
}

/// A level's price in ten-thousandths in the upper bits, its size in millionths in
/// the lower ones. The highest bit is never set, so that it is the sign of the
/// difference of two cells: the compiler turns that comparison into vector
/// instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packed(pub(crate) u64);

const SIZE_BITS: u32 = 49;
const SIZE: u64 = (1 << SIZE_BITS) - 1;
/// Millionths in a ten-thousandth.
const PRICE_UNIT: u32 = 100;
/// Ten-thousandths in one.
const PRICE_ONE: u64 = 10_000;

impl Cell for Packed {
    const NONE: Self = Self(0);

    #[inline]
    fn of(level: Level) -> Option<Self> {
        let (price, size) = (level.price.millionths(), level.size.millionths());
        let key = u64::from(price / PRICE_UNIT);
        let fits = price.is_multiple_of(PRICE_UNIT) & (size <= SIZE);
        fits.then_some(Self(key << SIZE_BITS | size))
    }

    #[inline]
    fn level(self) -> Level {
        // The upper 15 bits.
        let units = u32::try_from(self.0 >> SIZE_BITS).unwrap_or(u32::MAX);
        Level {
            price: Price::of_book(units * PRICE_UNIT),
            size: Size::from_millionths(self.0 & SIZE),
        }
    }

    #[inline]
    fn has_price_of(self, other: Self) -> bool {
        (self.0 ^ other.0) <= SIZE
    }

    #[inline]
    fn mirrors(self, other: Self) -> bool {
        // One less the price, and the same size, in one number.
        let sizes = 2 * (self.0 & SIZE);
        other.0 == ((PRICE_ONE << SIZE_BITS).wrapping_sub(self.0)).wrapping_add(sizes)
    }

    #[inline]
    fn above(self, other: Self) -> u64 {
        (other.0 | SIZE).wrapping_sub(self.0) >> 63
    }

    #[inline]
    fn below(self, other: Self) -> u64 {
        self.0.wrapping_sub(other.0 & !SIZE) >> 63
    }
}

impl Cell for Level {
    const NONE: Self = Self {
        price: Price::ZERO,
        size: Size::ZERO,
    };

    fn of(level: Level) -> Option<Self> {
        Some(level)
    }

    fn level(self) -> Level {
        self
    }

    fn has_price_of(self, other: Self) -> bool {
        self.price == other.price
    }

    fn mirrors(self, other: Self) -> bool {
        self.price == other.price.complement() && self.size == other.size
    }

    fn above(self, other: Self) -> u64 {
        u64::from(self.price > other.price)
    }

    fn below(self, other: Self) -> u64 {
        u64::from(self.price < other.price)
    }
}
