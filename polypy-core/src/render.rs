//! Decimals to text, fast enough for hashing.
//!
//! The hash check renders a whole book each time: by far the most numbers that this
//! program prints. Three digits at a time come from a table and are written forward
//! into a buffer of fixed size. The text is that of
//! [`decimal::write_millionths`](crate::decimal::write_millionths).

use crate::decimal::{MAX_TEXT, UNITS, write_millionths};

/// Bytes that [`render_millionths`] needs: the longest text, and what it may write
/// past the end of a shorter one.
pub(crate) const RENDER_ROOM: usize = MAX_TEXT + 3;

/// Writes the text of [`write_millionths`] to the front of `out` and returns its
/// length. Overwrites bytes behind the text, too.
pub(crate) fn render_millionths(units: u64, out: &mut [u8; RENDER_ROOM]) -> usize {
    let (whole, fraction) = (units / UNITS, units % UNITS);
    let mut at = if whole < 1_000 {
        render_first(whole, out)
    } else if whole < 1_000_000 {
        let at = render_first(whole / 1_000, out);
        put(out, at, triple(whole).digits);
        at + 3
    } else {
        let mut digits = [0; MAX_TEXT];
        let text = write_millionths(whole * UNITS, &mut digits).as_bytes();
        out[..text.len()].copy_from_slice(text);
        text.len()
    };
    if fraction != 0 {
        out[at] = b'.';
        at += 1;
        let (high, low) = (triple(fraction / 1_000), triple(fraction));
        put(out, at, high.digits);
        if low.significant == 0 {
            at += high.significant;
        } else {
            put(out, at + 3, low.digits);
            at += 3 + low.significant;
        }
    }
    at
}

/// Writes the first one to three digits of a number, without leading zeros.
fn render_first(value: u64, out: &mut [u8; RENDER_ROOM]) -> usize {
    let [hundreds, tens, ones] = triple(value).digits;
    match value {
        0..10 => {
            out[0] = ones;
            1
        }
        10..100 => {
            put(out, 0, [tens, ones, 0]);
            2
        }
        _ => {
            put(out, 0, [hundreds, tens, ones]);
            3
        }
    }
}

fn put(out: &mut [u8; RENDER_ROOM], at: usize, digits: [u8; 3]) {
    out[at..at + 3].copy_from_slice(&digits);
}

/// Three digits.
#[derive(Clone, Copy)]
struct Triple {
    digits: [u8; 3],
    /// How many of them stand before the trailing zeros.
    significant: usize,
}

static TRIPLES: [Triple; 1_000] = {
    const DIGITS: &[u8; 10] = b"0123456789";
    let none = Triple {
        digits: [b'0'; 3],
        significant: 0,
    };
    let mut triples = [none; 1_000];
    let mut value = 1;
    while value < 1_000 {
        triples[value] = Triple {
            digits: [
                DIGITS[value / 100],
                DIGITS[value / 10 % 10],
                DIGITS[value % 10],
            ],
            significant: if !value.is_multiple_of(10) {
                3
            } else if !value.is_multiple_of(100) {
                2
            } else {
                1
            },
        };
        value += 1;
    }
    triples
};

/// The last three digits of `value`.
fn triple(value: u64) -> &'static Triple {
    &TRIPLES[usize::try_from(value % 1_000).unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rendered(units: u64) -> String {
        let mut out = [b'#'; RENDER_ROOM];
        let length = render_millionths(units, &mut out);
        String::from_utf8(out[..length].to_vec()).unwrap()
    }

    fn written(units: u64) -> String {
        write_millionths(units, &mut [0; MAX_TEXT]).to_owned()
    }

    #[test]
    fn every_price_is_rendered_as_it_is_written() {
        for units in 0..=UNITS {
            assert_eq!(rendered(units), written(units));
        }
    }

    #[test]
    fn whole_numbers_of_every_length_are() {
        for digits in 0..14 {
            for units in [10_u64.pow(digits), 10_u64.pow(digits) - 1] {
                let units = units * UNITS;
                assert_eq!(rendered(units), written(units));
                assert_eq!(rendered(units + 50_000), written(units + 50_000));
            }
        }
        assert_eq!(rendered(u64::MAX), "18446744073709.551615");
    }

    proptest! {
        #[test]
        fn sizes_are(units in any::<u64>(), shift in 0..64_u32) {
            let units = units >> shift;
            prop_assert_eq!(rendered(units), written(units));
        }
    }
}
