//! Decimals and times as the venue writes them, eight digits at a time.
//!
//! The common forms are read by arithmetic on whole words, without a branch on
//! any digit: lengths differ from number to number, and a wrongly predicted
//! branch costs more than the arithmetic. All other forms are left to core's
//! own parser, whose answer is the definition of what a text means.

use polypy_core::{Price, Size, Timestamp};

use super::cursor::{Cursor, marks, spread, word};

const ZEROS: u64 = spread(b'0');

/// The value of eight digits, the first byte being the highest. `None` if one
/// of them is no digit.
fn eight_digits(text: u64) -> Option<u64> {
    let digits = text ^ ZEROS;
    // From 10 to 127 the sum reaches bit 7; above, it is there already.
    if (digits.wrapping_add(spread(0x76)) | digits) & spread(0x80) != 0 {
        return None;
    }
    // Tens and units, hundreds and below, then both halves.
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    let eight = fours.wrapping_mul(10_000).wrapping_add(fours >> 32);
    Some(eight & 0xffff_ffff)
}

/// All bits of the first `bytes` bytes, of at most eight.
fn first(bytes: usize) -> u64 {
    match u32::try_from(bytes) {
        Ok(bytes @ 0..8) => (1u64 << (bytes * 8)) - 1,
        _ => u64::MAX,
    }
}

/// The word with everything behind its first `bytes` bytes made zeros.
fn padded(word: u64, bytes: usize) -> u64 {
    let kept = first(bytes);
    (word & kept) | (ZEROS & !kept)
}

/// The place of the first marked byte.
fn place(marks: u64) -> usize {
    (marks.trailing_zeros() / 8) as usize
}

impl Cursor<'_> {
    /// Reads a price up to the quote behind it, which is not taken.
    #[inline]
    pub(super) fn price(&mut self) -> Option<Price> {
        const WHOLE: u64 = u64::from_le_bytes(*b"0.\0\0\0\0\0\0");
        let word = word(self.rest());
        let length = place(marks(word, b'"'));
        if word & first(2) == WHOLE && (3..8).contains(&length) {
            // With the point turned to a zero these are eight digits, six of
            // which stand behind the point.
            let point_to_zero = u64::from(b'.' ^ b'0') << 8;
            let millionths = eight_digits(padded(word, length) ^ point_to_zero)?;
            self.skip(length)?;
            return Price::from_millionths(u32::try_from(millionths).ok()?);
        }
        let text = self.up_to_quote()?;
        Price::parse(text).ok()
    }

    /// Reads a size up to the quote behind it, which is not taken.
    #[inline]
    pub(super) fn size(&mut self) -> Option<Size> {
        let rest = self.rest();
        let (low, high) = match rest.first_chunk::<16>() {
            Some(window) => (word(window), word(&window[8..])),
            None => (word(rest), word(rest.get(8..).unwrap_or_default())),
        };
        let both = |low: usize, high: usize| if low < 8 { low } else { 8 + high };
        let length = both(place(marks(low, b'"')), place(marks(high, b'"')));
        let point = both(place(marks(low, b'.')), place(marks(high, b'.'))).min(length);
        let decimals = length.saturating_sub(point + 1);
        if (1..=8).contains(&point) && length < 16 && decimals <= 6 {
            let missing = u32::try_from(8 * (8 - point)).ok()?;
            // Zeros before the digits, not behind them.
            let whole = eight_digits((low << missing) | (ZEROS & first(8 - point)))?;
            let window = u128::from(low) | u128::from(high) << 64;
            let behind_point = window >> (8 * (point + 1));
            let behind_point = u64::try_from(behind_point & u128::from(u64::MAX)).ok()?;
            let fraction = eight_digits(padded(behind_point, decimals) << 16 | ZEROS & first(2))?;
            self.skip(length)?;
            return Some(Size::from_millionths(whole * 1_000_000 + fraction));
        }
        let text = self.up_to_quote()?;
        Size::parse(text).ok()
    }

    /// The text up to the next quote. Whether it has a byte that may not stand
    /// in a string is for who parses it: no number has.
    #[cold]
    fn up_to_quote(&mut self) -> Option<&[u8]> {
        let rest = self.rest();
        let length = rest.iter().position(|byte| *byte == b'"')?;
        self.skip(length)?;
        rest.get(..length)
    }
}

/// Milliseconds since the epoch.
pub(super) fn timestamp(text: &[u8]) -> Option<Timestamp> {
    // Thirteen digits until the year 2286.
    let millis = if let Some((high, low)) = text.split_first_chunk::<8>()
        && let Ok(low) = <[u8; 5]>::try_from(low)
    {
        let high = eight_digits(u64::from_le_bytes(*high))?;
        let low = eight_digits(word(&low) << 24 | ZEROS & first(3))?;
        high * 100_000 + low
    } else {
        let digits = text.iter().all(u8::is_ascii_digit);
        let text = std::str::from_utf8(text).ok().filter(|_| digits)?;
        text.parse().ok()?
    };
    Some(Timestamp::from_millis(millis))
}
