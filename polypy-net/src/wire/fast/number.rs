//! Decimals and times as the venue writes them, eight digits at a time.
//!
//! Arithmetic on whole words, without a branch on any digit: lengths differ from
//! number to number, and a wrongly predicted branch costs more than the
//! arithmetic. What a text means is defined by core's own parser.

use polypy_core::Timestamp;

use super::cursor::spread;

const ZEROS: u64 = spread(b'0');

/// Bit 7 of every byte that is no digit's value. Exact up to the first one; of
/// those behind a byte beyond ASCII some may be marked in error.
#[inline]
fn others(values: u64) -> u64 {
    // From 10 to 127 the sum reaches bit 7; above, it is there already.
    (values.wrapping_add(spread(0x76)) | values) & spread(0x80)
}

/// The place of the first mark, 8 if there is none.
#[inline]
fn first(marks: u64) -> usize {
    (marks.trailing_zeros() / 8) as usize
}

/// The number that the one to eight digits at the front make, and how many they
/// are.
#[inline]
pub(super) fn whole(text: u64) -> Option<(u64, usize)> {
    let values = text ^ ZEROS;
    let count = first(others(values));
    // Zeros before the digits, nothing behind them. Of no digits, none are left.
    let missing = 64 - 8 * u32::try_from(count).ok()?;
    Some((eight(values.checked_shl(missing)?), count))
}

/// What stands behind a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fraction {
    /// In millionths, of the first six digits.
    pub(super) millionths: u32,
    /// Not zero if those behind them are not all zeros.
    pub(super) beyond: u64,
    /// The number of digits; eight may be more.
    pub(super) count: usize,
}

/// The digits at the front, as what stands behind a point.
#[inline]
pub(super) fn fraction(text: u64) -> Fraction {
    let values = text ^ ZEROS;
    let others = others(values);
    // All bits below the first mark but those of its own byte. With no mark the
    // subtraction makes ones of all.
    let digits = values & ((others & others.wrapping_neg()) >> 7).wrapping_sub(1);
    // Tens and units, then the first four digits, then all six.
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100 << 16 | 1) >> 16 & 0xffff;
    Fraction {
        millionths: u32::try_from(fours * 100 + (pairs >> 32)).unwrap_or(u32::MAX),
        beyond: digits >> 48,
        count: first(others),
    }
}

/// The number of eight digits' values, the first byte being the highest.
#[inline]
fn eight(values: u64) -> u64 {
    // Tens and units, hundreds and below, then both halves.
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff
}

/// The number of thirteen digits. `None` if one of them is no digit.
#[inline]
fn thirteen(text: &[u8; 13]) -> Option<u64> {
    let values = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes) ^ ZEROS;
    let (high, low) = (values(text.first_chunk()?), values(text.last_chunk()?));
    // Three digits are in both.
    let number = eight(high) * 100_000 + eight(low >> 24 << 24);
    (others(high) | others(low) == 0).then_some(number)
}

/// Milliseconds since the epoch.
#[inline]
pub(super) fn timestamp(text: &[u8]) -> Option<Timestamp> {
    // Thirteen digits until the year 2286.
    let millis = if let Ok(text) = text.try_into() {
        thirteen(text)?
    } else {
        let digits = text.iter().all(u8::is_ascii_digit);
        let text = std::str::from_utf8(text).ok().filter(|_| digits)?;
        text.parse().ok()?
    };
    Some(Timestamp::from_millis(millis))
}

#[cfg(test)]
#[path = "number_tests.rs"]
mod tests;
