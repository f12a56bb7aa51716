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
    fn word(&self, at: usize) -> Option<u64> {
        self.bytes(at).map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// Expects a text of 8 to 16 bytes, and says where it ends.
    #[inline]
    pub(super) fn expect<const M: usize>(&mut self, at: usize, text: &[u8; M]) -> Option<usize> {
        let (first, last) = (text.first_chunk()?, text.last_chunk()?);
        let found: &[u8; M] = self.bytes(at)?;
        let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
        self.differing |= word(found.first_chunk()?) ^ word(first);
        // Some bytes are looked at twice: two words need no third.
        self.differing |= word(found.last_chunk()?) ^ word(last);
        Some(at + M)
    }

    /// The price that stands here, and where it ends. Whether it ends with a quote
    /// is for the next text expected.
    #[inline]
    pub(super) fn price(&mut self, at: usize) -> Option<(Price, usize)> {
        if self.bytes(at)? != b"0." {
            return self.odd_price(at);
        }
        let (millionths, count) = self.millionths(at + 2)?;
        Some((Price::from_millionths(millionths)?, at + 2 + count))
    }

    /// `0` and `1`, mostly.
    #[inline]
    fn odd_price(&self, at: usize) -> Option<(Price, usize)> {
        let (price, length) = odd_price(self.bytes(at)?)?;
        Some((price, at + length.min(8)))
    }

    /// The best price of a side.
    #[inline]
    pub(super) fn top(&mut self, at: usize, side: Side) -> Option<(Top, usize)> {
        if self.bytes(at)? == b"\"" {
            return Some((Top::Unstated, at));
        }
        let (price, end) = self.price(at)?;
        Some((scalar::top_at(side, price), end))
    }

    /// The size that stands here, and where it ends, as with [`Self::price`].
    #[inline]
    pub(super) fn size(&mut self, at: usize) -> Option<(Size, usize)> {
        let (values, count) = number::digits(self.word(at)?);
        let whole = number::whole(values, count)?;
        let point = at + count;
        let is_point = self.bytes(point)? == b".";
        // With no point this is what stands behind the quote and begins with no
        // digit; if it does, the next text is not what is expected.
        let (millionths, count) = self.millionths(point + 1)?;
        let size = Size::from_millionths(whole * 1_000_000 + u64::from(millionths));
        let end = if is_point { point + 1 + count } else { point };
        Some((size, end))
    }

    /// Digits behind a point, and their number.
    #[inline]
    fn millionths(&mut self, at: usize) -> Option<(u32, usize)> {
        let (values, count) = number::digits(self.word(at)?);
        // Beyond the sixth, zeros alone.
        self.differing |= values >> 48;
        Some((number::millionths(values), count))
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

/// A price that does not begin as most do, and the number of its bytes.
#[cold]
fn odd_price(text: &[u8; 9]) -> Option<(Price, usize)> {
    let length = text.iter().position(|byte| *byte == b'"')?;
    Some((Price::parse(text.get(..length)?).ok()?, length))
}
