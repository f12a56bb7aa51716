//! Decimals and times as the venue writes them, eight digits at a time.
//!
//! Arithmetic on whole words, without a branch on any digit: lengths differ from
//! number to number, and a wrongly predicted branch costs more than the
//! arithmetic. What a text means is defined by core's own parser.

use polypy_core::Timestamp;

use super::cursor::{spread, word};

const ZEROS: u64 = spread(b'0');

/// The digits at the front of a word, each as its value, with zeros behind them,
/// and their number.
#[inline]
pub(super) fn digits(text: u64) -> (u64, usize) {
    let values = text ^ ZEROS;
    let others = others(values);
    // All bits below the first mark but those of its own byte. With no mark the
    // subtraction makes ones of all.
    let front = ((others & others.wrapping_neg()) >> 7).wrapping_sub(1);
    (values & front, (others.trailing_zeros() / 8) as usize)
}

/// Bit 7 of every byte that is no digit's value. Exact up to the first one; of
/// those behind a byte beyond ASCII some may be marked in error.
#[inline]
fn others(values: u64) -> u64 {
    // From 10 to 127 the sum reaches bit 7; above, it is there already.
    (values.wrapping_add(spread(0x76)) | values) & spread(0x80)
}

/// The number that all of one to eight digits make, from [`digits`].
#[inline]
pub(super) fn whole(values: u64, count: usize) -> Option<u64> {
    let missing = 64 - 8 * u32::try_from(count).ok()?;
    // Zeros before the digits, not behind them. Of no digits, none are left.
    Some(eight(values.checked_shl(missing)?))
}

/// What up to six digits behind a point are in millionths, from [`digits`].
#[inline]
pub(super) fn millionths(values: u64) -> u32 {
    // Tens and units, then the first four digits, then all six.
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8) & 0x00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100 << 16 | 1) >> 16 & 0xffff;
    u32::try_from(fours * 100 + (pairs >> 32)).unwrap_or(u32::MAX)
}

/// The number of eight digits' values, the first byte being the highest.
#[inline]
fn eight(values: u64) -> u64 {
    // Tens and units, hundreds and below, then both halves.
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff
}

/// The value of eight digits. `None` if one of them is no digit.
fn eight_digits(text: u64) -> Option<u64> {
    let values = text ^ ZEROS;
    (others(values) == 0).then(|| eight(values))
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
