//! Decimals and times as the venue writes them, eight digits at a time.
//!
//! The common forms are read by arithmetic on whole words, without a branch on
//! any digit: lengths differ from number to number, and a wrongly predicted
//! branch costs more than the arithmetic. All other forms are left to core's
//! own parser, whose answer is the definition of what a text means.

use polypy_core::{Price, Size, Timestamp};

use super::cursor::{Cursor, marks, spread, word};

const ZEROS: u64 = spread(b'0');

/// What one of the last decimal is worth in millionths, by decimals.
const SCALES: [u64; 7] = [1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];

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

/// All bits of the bytes before the first marked one, of which there is one.
fn before(marks: u64) -> u64 {
    // The mark is the highest bit of its byte.
    ((marks & marks.wrapping_neg()) >> 7).wrapping_sub(1)
}

/// The word with zeros in place of what is not `kept`.
fn padded(word: u64, kept: u64) -> u64 {
    (word & kept) | (ZEROS & !kept)
}

/// Sixteen bytes of which some are marked: the place of the first, 16 if there
/// is none.
fn place(low: u64, high: u64) -> u32 {
    // Without a branch: sizes are as often shorter than eight bytes as longer.
    let in_low = low.trailing_zeros() / 8;
    let in_high = high.trailing_zeros() / 8;
    in_low + (in_low / 8) * in_high
}

/// The first 16 bytes, in two words.
fn two_words(bytes: &[u8]) -> (u64, u64) {
    match bytes.first_chunk::<16>() {
        Some(chunk) => (word(chunk), word(&chunk[8..])),
        None => (word(bytes), word(bytes.get(8..).unwrap_or_default())),
    }
}

impl Cursor<'_> {
    /// Reads a price up to the quote behind it, which is not taken.
    #[inline]
    pub(super) fn price(&mut self) -> Option<Price> {
        const FIRST_TWO: u64 = 0xffff;
        const LESS_THAN_ONE: u64 = u64::from_le_bytes(*b"0.\0\0\0\0\0\0");
        const POINT_TO_ZERO: u64 = (b'.' ^ b'0') as u64 * 0x100;
        let word = word(self.rest());
        let quotes = marks(word, b'"');
        if word & FIRST_TWO == LESS_THAN_ONE && quotes >> 24 != 0 {
            // With the point turned to a zero these are eight digits, six of
            // which stand behind the point.
            let text = padded(word, before(quotes)) ^ POINT_TO_ZERO;
            let millionths = u32::try_from(eight_digits(text)?).ok()?;
            self.skip((quotes.trailing_zeros() / 8) as usize)?;
            return Price::from_millionths(millionths);
        }
        let text = self.up_to_quote()?;
        Price::parse(text).ok()
    }

    /// Reads a size up to the quote behind it, which is not taken.
    #[inline]
    pub(super) fn size(&mut self) -> Option<Size> {
        let word = word(self.rest());
        let quotes = marks(word, b'"');
        if quotes == 0 {
            return self.long_size();
        }
        let length = quotes.trailing_zeros() / 8;
        let text = before(quotes);
        let points = marks(word, b'.') & text;
        let point = points.trailing_zeros() / 8;
        let decimals = length.saturating_sub(point + 1);
        // What stands behind the point, if there is one, moves into its place.
        let whole = before(points) & text;
        let behind = text & !(whole << 8 | 0xff);
        let digits = (word & whole) | ((word & behind) >> 8);
        let count = length - u32::from(points != 0);
        // Zeros before the digits, not behind them.
        let missing = 64u32.checked_sub(8 * count).filter(|_| count > 0)?;
        let value = eight_digits((digits << missing) | (ZEROS >> (8 * count)))?;
        self.skip(length as usize)?;
        let scale = SCALES.get(decimals as usize)?;
        Some(Size::from_millionths(value * scale))
    }

    /// A size of more than seven bytes: one in twelve.
    fn long_size(&mut self) -> Option<Size> {
        let (low, high) = two_words(self.rest());
        let length = place(marks(low, b'"'), marks(high, b'"'));
        let point = place(marks(low, b'.'), marks(high, b'.')).min(length);
        // With no point, nothing stands behind it.
        let behind = length.min(point + 1);
        let decimals = length - behind;
        if point.wrapping_sub(1) < 8 && length < 16 && decimals <= 6 {
            // Zeros before the digits, not behind them.
            let missing = 64 - 8 * point;
            let whole = eight_digits((low << missing) | (ZEROS & !(u64::MAX << missing)))?;
            let window = u128::from(low) | u128::from(high) << 64;
            let fraction = u64::try_from((window >> (8 * behind)) & u128::from(u64::MAX)).ok()?;
            let fraction = padded(fraction, !(u64::MAX << (8 * decimals)));
            let fraction = eight_digits(fraction << 16 | ZEROS & 0xffff)?;
            self.skip(length as usize)?;
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
        let low = eight_digits(word(&low) << 24 | ZEROS & 0xff_ffff)?;
        high * 100_000 + low
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
