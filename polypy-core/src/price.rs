//! The price of one outcome share, exactly.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::decimal::{self, DecimalError};

/// A price from 0 to 1 in millionths (10⁻⁶), exact on every grid the venue has
/// used (0.1 down to 0.0001) and on finer ones.
///
/// `0` and `1` are legal values because the wire uses them as marks of an empty
/// side; order prices lie strictly between.
///
/// ```
/// use polypy_core::Price;
/// let price: Price = "0.0025".parse()?;
/// assert_eq!(price.millionths(), 2_500);
/// assert_eq!(price.complement().to_string(), "0.9975");
/// assert!("1.01".parse::<Price>().is_err());
/// # Ok::<(), polypy_core::DecimalError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Price(u32);

impl Price {
    /// Zero: on the wire, the best bid of an empty side.
    pub const ZERO: Self = Self(0);
    /// One: on the wire, the best ask of an empty side.
    pub const ONE: Self = Self(1_000_000);

    /// Parses decimal text.
    ///
    /// # Errors
    /// As [`decimal::parse_millionths`]; above 1 is [`DecimalError::OutOfRange`].
    pub fn parse(text: &[u8]) -> Result<Self, DecimalError> {
        let millionths = decimal::parse_millionths(text)?;
        u32::try_from(millionths)
            .ok()
            .and_then(Self::from_millionths)
            .ok_or(DecimalError::OutOfRange)
    }

    /// From millionths; `None` above 1.
    #[inline]
    pub fn from_millionths(millionths: u32) -> Option<Self> {
        (millionths <= Self::ONE.0).then_some(Self(millionths))
    }

    /// From the millionths of a price that a book has kept.
    #[inline]
    pub(crate) fn of_book(millionths: u32) -> Self {
        debug_assert!(millionths <= Self::ONE.0, "a book keeps prices only");
        Self(millionths)
    }

    /// The price in millionths (10⁻⁶).
    #[inline]
    pub fn millionths(self) -> u32 {
        self.0
    }

    /// The nearest binary number, for charts and statistics. What is added up or compared is
    /// better left in [`millionths`](Self::millionths).
    ///
    /// ```
    /// assert_eq!("0.48".parse::<polypy_core::Price>()?.to_f64(), 0.48);
    /// # Ok::<(), polypy_core::DecimalError>(())
    /// ```
    #[must_use]
    pub fn to_f64(self) -> f64 {
        f64::from(self.0) / 1e6
    }

    /// The same trade seen from the market's other outcome: 1 − p.
    #[must_use]
    pub fn complement(self) -> Self {
        Self(Self::ONE.0 - self.0)
    }
}

impl FromStr for Price {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text.as_bytes())
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = [0; decimal::MAX_TEXT];
        f.pad(decimal::write_millionths(u64::from(self.0), &mut buffer))
    }
}

impl fmt::Debug for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Price({self})")
    }
}

impl Serialize for Price {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut buffer = [0; decimal::MAX_TEXT];
        serializer.serialize_str(decimal::write_millionths(u64::from(self.0), &mut buffer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_price_of_every_grid_survives_print_and_parse() {
        for millionths in 0..=1_000_000 {
            let price = Price::from_millionths(millionths).unwrap();
            assert_eq!(price.to_string().parse(), Ok(price));
        }
    }

    #[test]
    fn is_shown_as_the_venue_writes_it() {
        let price: Price = "0.0250".parse().unwrap();
        assert_eq!(
            format!("{price} {price:>6} {price:?}"),
            "0.025  0.025 Price(0.025)"
        );
        assert_eq!(serde_json::to_value(price).unwrap(), "0.025");
        assert_eq!(price.complement().to_string(), "0.975");
        assert_eq!(Price::ONE.complement(), Price::ZERO);
    }

    #[test]
    fn refuses_more_than_one() {
        assert_eq!("1.000001".parse::<Price>(), Err(DecimalError::OutOfRange));
        assert_eq!("5000".parse::<Price>(), Err(DecimalError::OutOfRange));
        assert_eq!("1".parse(), Ok(Price::ONE));
    }
}
