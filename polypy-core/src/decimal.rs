//! Exact decimals: text to integer and back, never through a binary float.
//!
//! Everything the venue quotes fits in millionths: prices 0 to 1 on grids down
//! to 0.0001, level sizes with two decimals, trade sizes with six. The parser
//! accepts digits with at most one point (`"5"`, `"0.25"`, `".48"`, `"7."`) and
//! nothing else: no sign, no exponent, no white space. Text that does not fit
//! is a typed error and never rounded.

use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};

/// Decimal places of every integer in this crate.
pub const SCALE_DIGITS: u32 = 6;
/// Units in one: 10⁶.
pub const UNITS: u64 = 1_000_000;

/// Why a decimal text was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecimalError {
    /// No digit at all: `""` or `"."`.
    #[error("decimal is empty")]
    Empty,
    /// A leading `-` (or `+`): neither prices nor sizes carry a sign.
    #[error("decimal has a sign")]
    Signed,
    /// A byte that is neither digit nor point, such as an exponent.
    #[error("decimal has an unexpected byte 0x{0:02x}")]
    UnexpectedByte(u8),
    /// More significant decimals than 10⁻⁶; trailing zeros do not count.
    #[error("decimal is finer than one millionth")]
    TooFine,
    /// Larger than the type can hold.
    #[error("decimal is out of range")]
    OutOfRange,
}

/// Parses decimal text into millionths.
///
/// # Errors
/// [`DecimalError`] names the first thing that does not fit.
pub fn parse_millionths(text: &[u8]) -> Result<u64, DecimalError> {
    match text.first() {
        None => return Err(DecimalError::Empty),
        Some(b'-' | b'+') => return Err(DecimalError::Signed),
        Some(_) => {}
    }
    let mut units: u64 = 0;
    let mut digits = 0usize;
    let mut decimals: Option<u32> = None;
    for &byte in text {
        match (byte, decimals) {
            // Not counted: six decimals were.
            (b'0'..=b'9', Some(SCALE_DIGITS)) => {
                if byte != b'0' {
                    return Err(DecimalError::TooFine);
                }
            }
            (b'0'..=b'9', _) => {
                digits += 1;
                units = units
                    .checked_mul(10)
                    .and_then(|u| u.checked_add(u64::from(byte - b'0')))
                    .ok_or(DecimalError::OutOfRange)?;
                if let Some(count) = decimals.as_mut() {
                    *count += 1;
                }
            }
            (b'.', None) => decimals = Some(0),
            (other, _) => return Err(DecimalError::UnexpectedByte(other)),
        }
    }
    if digits == 0 {
        return Err(DecimalError::Empty);
    }
    units
        .checked_mul(10u64.pow(SCALE_DIGITS - decimals.unwrap_or(0)))
        .ok_or(DecimalError::OutOfRange)
}

/// Most places that an exponent may move the point: more than fit in any
/// integer of this crate, and few enough to be written out.
const MOST_PLACES: u32 = 32;

/// A number as JSON may write it, in plain digits: `5e-05` is `0.00005`. Exact,
/// whatever its value. `None` when it is no number or far out of range.
pub fn without_exponent(number: &str) -> Option<Cow<'_, str>> {
    let Some((mantissa, exponent)) = number.split_once(['e', 'E']) else {
        return Some(Cow::Borrowed(number));
    };
    let places: i32 = exponent.parse().ok()?;
    let (sign, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", mantissa),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = (whole.bytes().chain(fraction.bytes())).all(|byte| byte.is_ascii_digit());
    if !is_number || whole.is_empty() || places.unsigned_abs() > MOST_PLACES {
        return None;
    }
    let shift = usize::try_from(places.unsigned_abs()).ok()?;
    let zeros = "0".repeat(shift);
    // Enough zeros on the side to which the point moves, then the point.
    let (digits, point) = if places < 0 {
        (format!("{zeros}{whole}{fraction}"), whole.len())
    } else {
        (format!("{whole}{fraction}{zeros}"), whole.len() + shift)
    };
    let (whole, fraction) = digits.split_at(point);
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if fraction.is_empty() { "" } else { "." };
    Some(Cow::Owned(format!("{sign}{whole}{point}{fraction}")))
}

/// Longest text [`write_millionths`] makes: 14 digits, point, six decimals.
pub const MAX_TEXT: usize = 21;

/// Formats millionths as the venue does: no trailing zeros, no bare point
/// (`"0.5"`, `"153"`). Fills `buffer` from its end and returns the text.
pub fn write_millionths(units: u64, buffer: &mut [u8; MAX_TEXT]) -> &str {
    let mut at = MAX_TEXT;
    let mut fraction = units % UNITS;
    let mut whole = units / UNITS;
    if fraction != 0 {
        let mut places = SCALE_DIGITS;
        while fraction.is_multiple_of(10) {
            fraction /= 10;
            places -= 1;
        }
        for _ in 0..places {
            at -= 1;
            buffer[at] = digit(fraction % 10);
            fraction /= 10;
        }
        at -= 1;
        buffer[at] = b'.';
    }
    loop {
        at -= 1;
        buffer[at] = digit(whole % 10);
        whole /= 10;
        if whole == 0 {
            break;
        }
    }
    std::str::from_utf8(&buffer[at..]).unwrap_or("")
}

/// The ASCII digit of a value below ten.
fn digit(value: u64) -> u8 {
    b'0' + u8::try_from(value).unwrap_or(0)
}

/// A signed exact decimal, for what is derived from prices: a spread (negative
/// while a book is crossed) or a mid (half a price unit is a legal value).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignedDecimal {
    /// Value in ten-millionths (10⁻⁷).
    ten_millionths: i64,
}

impl SignedDecimal {
    /// From ten-millionths (10⁻⁷).
    pub fn from_ten_millionths(ten_millionths: i64) -> Self {
        Self { ten_millionths }
    }

    /// The value in ten-millionths (10⁻⁷).
    pub fn ten_millionths(self) -> i64 {
        self.ten_millionths
    }
}

impl fmt::Display for SignedDecimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.ten_millionths.unsigned_abs();
        let whole = magnitude / 10_000_000;
        let fraction = format!("{:07}", magnitude % 10_000_000);
        let fraction = fraction.trim_end_matches('0');
        let sign = if self.ten_millionths < 0 { "-" } else { "" };
        if fraction.is_empty() {
            f.pad(&format!("{sign}{whole}"))
        } else {
            f.pad(&format!("{sign}{whole}.{fraction}"))
        }
    }
}

impl Serialize for SignedDecimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A short decimal kept exactly as the venue wrote it, because the text itself
/// is hashed: `"0.850"` and `"0.85"` are the same number and different texts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct DecimalText {
    length: u8,
    bytes: [u8; Self::MAX],
}

impl DecimalText {
    /// Longest text held.
    pub const MAX: usize = 15;

    /// Keeps `text`; the empty text stands for "no trade yet".
    ///
    /// # Errors
    /// As [`parse_millionths`], and [`DecimalError::OutOfRange`] when longer
    /// than [`Self::MAX`] bytes.
    pub fn new(text: &str) -> Result<Self, DecimalError> {
        if !text.is_empty() {
            parse_millionths(text.as_bytes())?;
        }
        if text.len() > Self::MAX {
            return Err(DecimalError::OutOfRange);
        }
        let mut bytes = [0; Self::MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        let length = u8::try_from(text.len()).map_err(|_too_long| DecimalError::OutOfRange)?;
        Ok(Self { length, bytes })
    }

    /// The text as it came.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or("")
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl fmt::Debug for DecimalText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for DecimalText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for DecimalText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_every_form_the_venue_has_sent() {
        for (text, units) in [
            ("0", 0),
            ("1", 1_000_000),
            ("0.5", 500_000),
            (".48", 480_000),
            ("7.", 7_000_000),
            ("0.0025", 2_500),
            ("0.0001", 100),
            ("0.000001", 1),
            ("0.850", 850_000),
            ("0.5000000", 500_000),
            ("219.217767", 219_217_767),
            ("11005549.53", 11_005_549_530_000),
        ] {
            assert_eq!(parse_millionths(text.as_bytes()), Ok(units), "{text}");
        }
    }

    #[test]
    fn names_what_does_not_fit() {
        for (text, error) in [
            ("", DecimalError::Empty),
            (".", DecimalError::Empty),
            ("-1", DecimalError::Signed),
            ("+1", DecimalError::Signed),
            ("1e3", DecimalError::UnexpectedByte(b'e')),
            ("1.2.3", DecimalError::UnexpectedByte(b'.')),
            (" 1", DecimalError::UnexpectedByte(b' ')),
            ("NaN", DecimalError::UnexpectedByte(b'N')),
            ("0.0000001", DecimalError::TooFine),
            ("99999999999999999999", DecimalError::OutOfRange),
            ("18446744073709.551616", DecimalError::OutOfRange),
        ] {
            assert_eq!(parse_millionths(text.as_bytes()), Err(error), "{text}");
        }
    }

    #[test]
    fn an_exponent_moves_the_point_and_rounds_nothing() {
        for (number, plain) in [
            ("5e-05", "0.00005"),
            ("5E-5", "0.00005"),
            ("1.25e-3", "0.00125"),
            ("12.5e1", "125.0"),
            ("1e+2", "100"),
            ("5e0", "5"),
            ("0.001", "0.001"),
            ("-2e-1", "-0.2"),
            ("0e0", "0"),
            ("1e32", "100000000000000000000000000000000"),
        ] {
            assert_eq!(without_exponent(number).as_deref(), Some(plain), "{number}");
        }
        for bad in [
            "e5",
            "1e",
            "1e5e5",
            "1.2.3e1",
            "--1e1",
            "1e33",
            "1e99",
            "1e-2147483648",
        ] {
            assert_eq!(without_exponent(bad), None, "{bad}");
        }
    }

    #[test]
    fn largest_value_prints_within_the_buffer() {
        let mut buffer = [0; MAX_TEXT];
        assert_eq!(
            write_millionths(u64::MAX, &mut buffer),
            "18446744073709.551615"
        );
    }

    #[test]
    fn signed_decimals_keep_their_half_units() {
        for (value, text) in [
            (0, "0"),
            (-10_000, "-0.001"),
            (4_975_005, "0.4975005"),
            (10_000_000, "1"),
        ] {
            assert_eq!(SignedDecimal::from_ten_millionths(value).to_string(), text);
        }
    }

    #[test]
    fn signed_decimals_are_shown_like_other_decimals() {
        let spread = SignedDecimal::from_ten_millionths(-300_000);
        assert_eq!(spread.ten_millionths(), -300_000);
        assert_eq!(format!("{spread:>6}"), " -0.03");
        assert_eq!(serde_json::to_value(spread).unwrap(), "-0.03");
    }

    #[test]
    fn decimal_text_is_shown_as_it_came() {
        let text = DecimalText::new("0.850").unwrap();
        assert_eq!(
            format!("{text} {text:>6} {text:?}"),
            "0.850  0.850 \"0.850\""
        );
        assert_eq!(serde_json::to_value(text).unwrap(), "0.850");
        assert!(!text.is_empty());
        assert_eq!(
            DecimalText::new("1234567890.1234").unwrap().as_str(),
            "1234567890.1234"
        );
    }

    #[test]
    fn decimal_text_keeps_the_very_text() {
        assert_eq!(DecimalText::new("0.850").unwrap().as_str(), "0.850");
        assert!(DecimalText::new("").unwrap().is_empty());
        assert_eq!(
            DecimalText::new("0.85x"),
            Err(DecimalError::UnexpectedByte(b'x'))
        );
        assert_eq!(
            DecimalText::new("1234567890.12345"),
            Err(DecimalError::OutOfRange)
        );
    }
}
