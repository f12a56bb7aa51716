//! A number of shares, exactly.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::decimal::{self, DecimalError};

/// A number of shares in millionths (10⁻⁶), up to 18.4 trillion shares; the
/// largest level seen on the venue holds 21 million.
///
/// ```
/// use polypy_core::Size;
/// assert_eq!("0.29".parse::<Size>()?.millionths(), 290_000);
/// assert_eq!("1350.60".parse::<Size>()?.to_string(), "1350.6");
/// # Ok::<(), polypy_core::DecimalError>(())
/// ```
// In two halves, the upper one first: a level then takes twelve bytes and not
// sixteen, and the order of the halves is that of comparison.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Size([u32; 2]);

impl Size {
    /// No shares: on the wire, the level is gone.
    pub const ZERO: Self = Self([0, 0]);

    /// Parses decimal text.
    ///
    /// # Errors
    /// As [`decimal::parse_millionths`].
    pub fn parse(text: &[u8]) -> Result<Self, DecimalError> {
        decimal::parse_millionths(text).map(Self::from_millionths)
    }

    /// From millionths of a share.
    #[inline]
    pub fn from_millionths(millionths: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = millionths.to_be_bytes();
        Self([
            u32::from_be_bytes([a, b, c, d]),
            u32::from_be_bytes([e, f, g, h]),
        ])
    }

    /// The size in millionths of a share (10⁻⁶).
    #[inline]
    pub fn millionths(self) -> u64 {
        let [high, low] = self.0;
        u64::from(high) << 32 | u64::from(low)
    }

    /// The nearest binary number of shares, for charts and statistics. What is added up or
    /// compared is better left in [`millionths`](Self::millionths).
    ///
    /// ```
    /// assert_eq!("1350.60".parse::<polypy_core::Size>()?.to_f64(), 1350.6);
    /// # Ok::<(), polypy_core::DecimalError>(())
    /// ```
    #[must_use]
    pub fn to_f64(self) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "the nearest one is asked for; up to nine thousand million shares it is exact"
        )]
        let millionths = self.millionths() as f64;
        millionths / 1e6
    }

    /// Whether there are no shares.
    pub fn is_zero(self) -> bool {
        self.0 == [0, 0]
    }
}

impl FromStr for Size {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text.as_bytes())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = [0; decimal::MAX_TEXT];
        f.pad(decimal::write_millionths(self.millionths(), &mut buffer))
    }
}

impl fmt::Debug for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Size({self})")
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut buffer = [0; decimal::MAX_TEXT];
        serializer.serialize_str(decimal::write_millionths(self.millionths(), &mut buffer))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn print_then_parse_is_identity(millionths: u64) {
            let size = Size::from_millionths(millionths);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }
    }

    #[test]
    fn is_shown_as_the_venue_writes_it() {
        let size: Size = "1350.60".parse().unwrap();
        assert_eq!(
            format!("{size} {size:>7} {size:?}"),
            "1350.6  1350.6 Size(1350.6)"
        );
        assert_eq!(serde_json::to_value(size).unwrap(), "1350.6");
        assert!(Size::ZERO.is_zero() && !size.is_zero());
        // Either half alone makes a size.
        assert!(!Size::from_millionths(1).is_zero());
        assert!(!Size::from_millionths(1 << 32).is_zero());
    }

    #[test]
    fn sizes_are_ordered_as_their_numbers() {
        let numbers = [
            0,
            1,
            2,
            u64::from(u32::MAX),
            1 << 32,
            (1 << 32) + 1,
            u64::MAX,
        ];
        for pair in numbers.windows(2) {
            let [less, more] = [pair[0], pair[1]].map(Size::from_millionths);
            assert!(less < more, "{less} {more}");
        }
    }

    /// Scaling by a truncating float loses a unit on thousands of these.
    #[test]
    fn every_two_decimal_size_up_to_a_thousand_is_exact() {
        for cents in 0..100_000u64 {
            let text = format!("{}.{:02}", cents / 100, cents % 100);
            assert_eq!(
                text.parse(),
                Ok(Size::from_millionths(cents * 10_000)),
                "{text}"
            );
        }
    }
}
