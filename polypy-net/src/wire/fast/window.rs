//! Text in the venue's own form, read at places that are worked out on the way.
//!
//! Its first `N` bytes are there for certain, so that steps need not look where it
//! ends: the compiler works out that they cannot get there. That takes all steps in
//! one function, so they are inlined always. Each is given a place and gives the
//! next one. A step that meets something else than is expected, or a form of
//! number that is none of the usual ones, says `None`.

use polypy_core::{BookHash, Price, Side, Size, Top};

use super::number;
use crate::wire::scalar;

#[derive(Debug, Clone, Copy)]
pub(super) struct Window<'a, const N: usize> {
    text: &'a [u8; N],
}

impl<'a, const N: usize> Window<'a, N> {
    pub(super) fn at_front(text: &'a [u8]) -> Option<Self> {
        let text = text.first_chunk()?;
        Some(Self { text })
    }

    #[inline(always)]
    pub(super) fn bytes<const M: usize>(&self, at: usize) -> Option<&'a [u8; M]> {
        self.text.get(at..at + M)?.first_chunk()
    }

    #[inline(always)]
    pub(super) fn word(&self, at: usize) -> Option<u64> {
        self.bytes(at).map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// Where a text of eight bytes or more that stands here ends.
    #[inline(always)]
    pub(super) fn expect<const M: usize>(&self, at: usize, text: &[u8; M]) -> Option<usize> {
        let found: &[u8; M] = self.bytes(at)?;
        let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
        let ((found_words, _), (words, _)) = (found.as_chunks(), text.as_chunks());
        for (found, expected) in found_words.iter().zip(words) {
            if word(found) != word(expected) {
                return None;
            }
        }
        // What is left is the end of a last word, of which the rest is known.
        (word(found.last_chunk()?) == word(text.last_chunk()?)).then_some(at + M)
    }

    /// The price behind `before`, which holds its usual beginning, and where it
    /// ends. Whether it ends with a quote is for the next text expected.
    #[inline(always)]
    pub(super) fn price<const M: usize>(
        &self,
        at: usize,
        before: &[u8; M],
    ) -> Option<(Price, usize)> {
        if let Some(at) = self.expect(at, before) {
            let (millionths, end) = self.fraction(at)?;
            return Some((Price::from_millionths(millionths)?, end));
        }
        let (price, length) = odd_price(self.text.get(at..)?, before)?;
        Some((price, at + length.min(M + USUAL)))
    }

    /// The best price of a side, as with [`Self::price`].
    #[inline(always)]
    pub(super) fn top<const M: usize>(
        &self,
        at: usize,
        before: &[u8; M],
        side: Side,
    ) -> Option<(Top, usize)> {
        if let Some(at) = self.expect(at, before) {
            let (millionths, end) = self.fraction(at)?;
            if millionths != 0 {
                return Some((Top::At(Price::from_millionths(millionths)?), end));
            }
        }
        let (top, length) = odd_top(self.text.get(at..)?, before, side)?;
        Some((top, at + length.min(M + USUAL)))
    }

    /// The size that stands here, as with [`Self::price`].
    #[inline(always)]
    pub(super) fn size(&self, at: usize) -> Option<(Size, usize)> {
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
    #[inline(always)]
    fn fraction(&self, at: usize) -> Option<(u32, usize)> {
        let fraction = number::fraction(self.word(at)?);
        // Finer than a millionth is an error, zeros are none.
        (fraction.beyond == 0).then_some((fraction.millionths, at + fraction.count))
    }

    /// The side that stands here, the hash that may follow it, and where the last
    /// of them ends.
    #[inline(always)]
    pub(super) fn side_and_hash(&self, at: usize) -> Option<(Side, Option<BookHash>, usize)> {
        // Without a branch on which it is: of a frame's first entry nobody knows.
        let is_sell = self.bytes(at)? == b"S";
        let either = |sell, buy| u64::from_le_bytes(if is_sell { sell } else { buy });
        let end = at + 3 + usize::from(is_sell);
        // With what follows that a word has room for.
        let (hash, expected, end) = if self.bytes(end + 2)? == br#""hash":""# {
            let hash = BookHash::from_hex(self.bytes::<40>(end + 10)?)?;
            (
                Some(hash),
                either(*br#"SELL","h"#, *br#"BUY","ha"#),
                end + 50,
            )
        } else {
            (None, either(*br#"SELL","b"#, *br#"BUY","be"#), end)
        };
        let side = if is_sell { Side::Ask } else { Side::Bid };
        (self.word(at)? == expected).then_some((side, hash, end))
    }
}

/// Digits of a price that are looked at.
const USUAL: usize = 8;

/// A price that does not begin as most do (`1`), and where it ends.
#[cold]
fn odd_price(text: &[u8], before: &[u8]) -> Option<(Price, usize)> {
    let before = before.strip_suffix(b"0.")?;
    let text = text.strip_prefix(before)?.get(..=USUAL)?;
    let length = text.iter().position(|byte| *byte == b'"')?;
    let price = Price::parse(text.get(..length)?).ok()?;
    Some((price, before.len() + length))
}

/// A best price that is none (`0`, nothing), or does not begin as most do.
#[cold]
fn odd_top(text: &[u8], before: &[u8], side: Side) -> Option<(Top, usize)> {
    let quote = before.strip_suffix(b"0.")?;
    if text.strip_prefix(quote)?.starts_with(b"\"") {
        return Some((Top::Unstated, quote.len()));
    }
    let (price, length) = odd_price(text, before)?;
    Some((scalar::top_at(side, price), length))
}
