//! Text in the venue's own form, read at places that are worked out on the way.
//!
//! Its first `N` bytes are there for certain, so that steps need hardly look
//! where it ends. What differs from what is expected is collected, and asked for
//! once: [`Window::is_as_expected`]. Until then whatever was read may mean
//! nothing. A step that leaves the window, or meets a form that is none of the
//! usual ones, says `None`.

use polypy_core::{BookHash, Price, Side, Size, Top};

use super::number;
use crate::wire::scalar;

#[derive(Debug)]
pub(super) struct Window<'a, const N: usize> {
    text: &'a [u8; N],
    /// Bits that are not as expected.
    differing: u64,
}

impl<'a, const N: usize> Window<'a, N> {
    pub(super) fn at_front(text: &'a [u8]) -> Option<Self> {
        let text = text.first_chunk()?;
        Some(Self { text, differing: 0 })
    }

    /// Whether everything that was read is what was expected there.
    #[inline]
    pub(super) fn is_as_expected(&self) -> bool {
        self.differing == 0
    }

    #[inline]
    pub(super) fn bytes<const M: usize>(&self, at: usize) -> Option<&'a [u8; M]> {
        self.text.get(at..at + M)?.first_chunk()
    }

    #[inline]
    pub(super) fn word(&self, at: usize) -> Option<u64> {
        self.bytes(at).map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// Expects a text of eight bytes or more, and says where it ends.
    #[inline]
    pub(super) fn expect<const M: usize>(&mut self, at: usize, text: &[u8; M]) -> Option<usize> {
        let found: &[u8; M] = self.bytes(at)?;
        let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
        let ((found_words, _), (words, _)) = (found.as_chunks(), text.as_chunks());
        for (found, expected) in found_words.iter().zip(words) {
            self.differing |= word(found) ^ word(expected);
        }
        // What is left is the end of a last word, of which the rest is known.
        self.differing |= word(found.last_chunk()?) ^ word(text.last_chunk()?);
        Some(at + M)
    }

    /// The price that stands here, and where it ends. Whether it ends with a quote
    /// is for the next text expected.
    #[inline]
    pub(super) fn price(&mut self, at: usize) -> Option<(Price, usize)> {
        if self.bytes(at)? != b"0." {
            let (price, length) = odd_price(self.bytes(at)?)?;
            return Some((price, at + length.min(8)));
        }
        let (millionths, end) = self.fraction(at + 2)?;
        Some((Price::from_millionths(millionths)?, end))
    }

    /// The best price of a side, as with [`Self::price`].
    #[inline]
    pub(super) fn top(&mut self, at: usize, side: Side) -> Option<(Top, usize)> {
        if self.bytes(at)? == b"0." {
            let (millionths, end) = self.fraction(at + 2)?;
            if millionths != 0 {
                return Some((Top::At(Price::from_millionths(millionths)?), end));
            }
        }
        let (top, length) = odd_top(self.bytes(at)?, side)?;
        Some((top, at + length.min(8)))
    }

    /// The size that stands here, as with [`Self::price`].
    #[inline]
    pub(super) fn size(&mut self, at: usize) -> Option<(Size, usize)> {
        let (whole, count) = number::whole(self.word(at)?)?;
        let point = at + count;
        let is_point = self.bytes(point)? == b".";
        // With no point this is what stands behind the quote and begins with no
        // digit; if it does, the next text is not what is expected.
        let (millionths, end) = self.fraction(point + 1)?;
        let size = Size::from_millionths(whole * 1_000_000 + u64::from(millionths));
        Some((size, if is_point { end } else { point }))
    }

    /// Digits behind a point, and where they end.
    #[inline]
    fn fraction(&mut self, at: usize) -> Option<(u32, usize)> {
        let fraction = number::fraction(self.word(at)?);
        self.differing |= fraction.beyond;
        Some((fraction.millionths, at + fraction.count))
    }

    /// The side that stands here, the hash that may follow it, and where the best
    /// bid begins.
    #[inline]
    pub(super) fn side_and_hash(&mut self, at: usize) -> Option<(Side, Option<BookHash>, usize)> {
        // Without a branch on which it is: of a frame's first entry nobody knows.
        let word = self.word(at)?;
        let is_sell = word & 1 == 1;
        let expected =
            |sell: &[u8; 8], buy| word ^ u64::from_le_bytes(if is_sell { *sell } else { buy });
        // Behind the comma.
        let key = at + 5 + usize::from(is_sell);
        let (hash, end) = if self.bytes(key)? == br#""hash":""# {
            self.differing |= expected(br#"SELL","h"#, *br#"BUY","ha"#);
            let hash = BookHash::from_hex(self.bytes::<40>(key + 8)?)?;
            (Some(hash), self.expect(key + 48, br#"","best_bid":""#)?)
        } else {
            self.differing |= expected(br#"SELL","b"#, *br#"BUY","be"#);
            (None, self.expect(key, br#""best_bid":""#)?)
        };
        Some((if is_sell { Side::Ask } else { Side::Bid }, hash, end))
    }
}

/// Eight bytes of a price, and a quote at the latest behind them.
type Odd = [u8; 9];

/// A price that does not begin as most do (`1`), and the number of its bytes.
#[cold]
fn odd_price(text: &Odd) -> Option<(Price, usize)> {
    let length = text.iter().position(|byte| *byte == b'"')?;
    Some((Price::parse(text.get(..length)?).ok()?, length))
}

/// A best price that is none (`0`, nothing), or does not begin as most do.
#[cold]
fn odd_top(text: &Odd, side: Side) -> Option<(Top, usize)> {
    if text.starts_with(b"\"") {
        return Some((Top::Unstated, 0));
    }
    let (price, length) = odd_price(text)?;
    Some((scalar::top_at(side, price), length))
}
