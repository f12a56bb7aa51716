//! Forty hexadecimal digits to twenty bytes: every change to a book carries a
//! SHA-1 in this form.
//!
//! Accepts digits of either case and nothing else. Written so that the compiler
//! vectorises it: a length that is a multiple of 16, no branch, and only operations
//! that vector instructions have for single bytes.

/// Digits of a SHA-1.
const DIGITS: usize = 40;
const BYTES: usize = DIGITS / 2;
/// The next multiple of 16.
const ROOM: usize = 48;

/// The bytes that the digits stand for; `None` if one is no digit. Inlined, because
/// a call would return them through memory.
#[inline(always)]
pub(crate) fn bytes(text: &[u8; DIGITS]) -> Option<[u8; BYTES]> {
    let mut padded = [b'0'; ROOM];
    padded[..DIGITS].copy_from_slice(text);
    let mut values = [0; ROOM];
    let mut all_hex = true;
    for (to, digit) in values.iter_mut().zip(padded) {
        *to = value(digit);
        all_hex &= *to < 16;
    }
    let mut bytes = [0; ROOM / 2];
    for (byte, pair) in bytes.iter_mut().zip(values.chunks_exact(2)) {
        *byte = (pair[0] << 4) | pair[1];
    }
    let bytes = bytes.first_chunk()?;
    all_hex.then_some(*bytes)
}

/// A digit's value; 16 or more for a byte that is no digit.
#[inline]
fn value(digit: u8) -> u8 {
    // Maps `0` to `9` to the upper end, 0xf6 to 0xff, which no other byte reaches;
    // then six down and to the lower end, which leaves other bytes at 16 or more.
    let high = digit.wrapping_add(0xff - b'9');
    let decimal = high.saturating_sub(6).wrapping_sub(0xf0);
    let letter = (digit & 0xdf).wrapping_sub(b'A').saturating_add(10);
    decimal.min(letter)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The plain definition, one digit after the other.
    fn defined(text: &[u8; DIGITS]) -> Option<[u8; BYTES]> {
        let digit = |byte: u8| {
            let digit = char::from(byte).to_digit(16)?;
            u8::try_from(digit).ok()
        };
        let mut bytes = [0; BYTES];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks(2)) {
            *byte = 16 * digit(pair[0])? + digit(pair[1])?;
        }
        Some(bytes)
    }

    fn check(text: &[u8; DIGITS]) {
        assert_eq!(bytes(text), defined(text), "{text:?}");
    }

    #[test]
    fn every_byte_at_every_place_is_a_digit_or_refused() {
        for at in 0..DIGITS {
            for byte in 0..=u8::MAX {
                let mut text = *b"0123456789abcdefABCDEF00ff90af7e5a6b4c3d";
                text[at] = byte;
                check(&text);
            }
        }
    }

    proptest! {
        #[test]
        fn any_digits_are_read_as_defined(text in "[0-9a-fA-F]{40}|[/-:@-G`-g]{40}") {
            check(&text.into_bytes().try_into().expect("is forty bytes"));
        }

        #[test]
        fn any_bytes_are_read_as_defined(text in prop::array::uniform32(any::<u8>())) {
            let mut all = *b"0123456789abcdefABCDEF00ff90af7e5a6b4c3d";
            all[4..36].copy_from_slice(&text);
            check(&all);
        }
    }
}
