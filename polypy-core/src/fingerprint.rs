//! The venue's own fingerprint of a book, recomputed.
//!
//! Every `book` and every entry of a `price_change` carries the SHA-1 of a
//! compact JSON text of the token's whole book. The text, in this order:
//! `market, asset_id, timestamp, hash (""), bids (ascending), asks (descending),
//! min_order_size, tick_size, neg_risk, last_trade_price[, version]`.
//! The venue hashes a new last trade price before it announces the price, and the
//! price is the last thing hashed. [`Fingerprint`] therefore keeps the SHA-1 state
//! before it: another candidate price costs one or two SHA-1 blocks, not the whole
//! book.

use std::fmt;

use serde::{Serialize, Serializer};
use sha1::{Digest, Sha1};

use crate::book::OrderBook;
use crate::hex;
use crate::level::{Level, Side};
use crate::market::AssetInfo;
use crate::render::{RENDER_ROOM, render_millionths};
use crate::time::Timestamp;

/// SHA-1 of a book's text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BookHash([u8; 20]);

impl BookHash {
    /// Reads 40 hexadecimal digits; `None` for anything else.
    #[inline(always)]
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        hex::bytes(text.try_into().ok()?).map(Self)
    }

    /// The first eight bytes: enough to recognise a state of one book.
    #[inline]
    pub fn prefix(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// The 20 bytes.
    pub fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

impl Serialize for BookHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for BookHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BookHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BookHash({self})")
    }
}

/// The hash format: which fields the text has. The venue changed it without notice;
/// the older formats occur in recordings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// All ten fields, today's.
    Ten,
    /// Without `last_trade_price`: autumn 2025.
    Nine,
    /// `market, asset_id, timestamp, hash, bids, asks` only: 2024.
    Six,
}

/// What the text holds besides the levels.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    /// The token and its market.
    pub info: &'a AssetInfo,
    /// Exchange time of the state.
    pub timestamp: Timestamp,
    /// Smallest price step.
    pub tick_size: &'a str,
    /// Smallest order.
    pub min_order_size: &'a str,
    /// Negative risk.
    pub neg_risk: bool,
    /// `version` of a protocol-V2 book.
    pub version: Option<&'a str>,
    /// Which fields there are.
    pub form: Form,
}

/// The SHA-1 of a book's text up to its last trade price.
#[derive(Clone)]
pub struct Fingerprint {
    before_price: Sha1,
    form: Form,
    version: Option<Box<str>>,
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fingerprint")
            .field("form", &self.form)
            .finish_non_exhaustive()
    }
}

impl Fingerprint {
    /// Hashes the text before the last trade price.
    pub fn new(book: &OrderBook, attributes: &Attributes<'_>) -> Self {
        let mut text = Text::default();
        text.push(b"{\"market\":\"");
        text.push(attributes.info.condition_id.as_str().as_bytes());
        text.push(b"\",\"asset_id\":\"");
        text.push(attributes.info.asset_id.as_str().as_bytes());
        text.push(b"\",\"timestamp\":\"");
        text.push(attributes.timestamp.millis().to_string().as_bytes());
        text.push(b"\",\"hash\":\"\",\"bids\":");
        text.levels(book.worst_first(Side::Bid));
        text.push(b",\"asks\":");
        text.levels(book.worst_first(Side::Ask));
        if attributes.form != Form::Six {
            text.push(b",\"min_order_size\":\"");
            text.push(attributes.min_order_size.as_bytes());
            text.push(b"\",\"tick_size\":\"");
            text.push(attributes.tick_size.as_bytes());
            text.push(b"\",\"neg_risk\":");
            text.push(if attributes.neg_risk {
                b"true"
            } else {
                b"false"
            });
        }
        if attributes.form == Form::Ten {
            text.push(b",\"last_trade_price\":\"");
        }
        Self {
            before_price: text.hashed(),
            form: attributes.form,
            version: attributes.version.map(Into::into),
        }
    }

    /// The hash with this last trade price (empty before any trade). The older
    /// formats do not contain the price.
    pub fn with_last_trade_price(&self, price: &str) -> BookHash {
        let mut hasher = self.before_price.clone();
        if self.form == Form::Ten {
            hasher.update(price.as_bytes());
            hasher.update(b"\"");
        }
        if let Some(version) = &self.version {
            hasher.update(b",\"version\":\"");
            hasher.update(version.as_bytes());
            hasher.update(b"\"");
        }
        hasher.update(b"}");
        BookHash(hasher.finalize().into())
    }
}

/// Bytes of a SHA-1 block. SHA-1 gets whole blocks where possible.
const BLOCK: usize = 64;
/// Text collected before it is hashed.
const BUFFER: usize = 32 * BLOCK;

/// The text before, between and after the numbers of a level. A `[` or `,` precedes
/// it.
const PRICE: &[u8; 10] = b"{\"price\":\"";
const SIZE: &[u8; 10] = b"\",\"size\":\"";
const END: &[u8; 2] = b"\"}";
/// Bytes of the longest level, with what rendering writes past its end.
const LEVEL: usize = 1 + PRICE.len() + SIZE.len() + END.len() + 2 * RENDER_ROOM;

/// Collects the text in a buffer on the stack, so that SHA-1 gets long pieces and
/// nothing is allocated.
struct Text {
    hasher: Sha1,
    buffer: [u8; BUFFER],
    length: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self {
            hasher: Sha1::new(),
            buffer: [0; BUFFER],
            length: 0,
        }
    }
}

impl Text {
    fn push(&mut self, bytes: &[u8]) {
        match self.buffer.get_mut(self.length..self.length + bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.length += bytes.len();
            }
            None => {
                self.hasher.update(&self.buffer[..self.length]);
                self.hasher.update(bytes);
                self.length = 0;
            }
        }
    }

    /// Adds a side with its brackets.
    fn levels(&mut self, levels: impl ExactSizeIterator<Item = Level>) {
        let is_empty = levels.len() == 0;
        let mut before = b'[';
        for level in levels {
            if self.length + LEVEL > self.buffer.len() {
                self.flush();
            }
            if let Some(place) = self.buffer[self.length..].first_chunk_mut() {
                self.length += render_level(before, &level, place);
            }
            before = b',';
        }
        self.push(if is_empty { b"[]" } else { b"]" });
    }

    /// Hashes the whole blocks and keeps the rest.
    fn flush(&mut self) {
        let whole = self.length - self.length % BLOCK;
        self.hasher.update(&self.buffer[..whole]);
        self.buffer.copy_within(whole..self.length, 0);
        self.length -= whole;
    }

    fn hashed(mut self) -> Sha1 {
        self.hasher.update(&self.buffer[..self.length]);
        self.hasher
    }
}

/// Writes a level to the front of `out` and returns its length.
fn render_level(before: u8, level: &Level, out: &mut [u8; LEVEL]) -> usize {
    out[0] = before;
    let mut at = 1;
    for (name, units) in [
        (PRICE, u64::from(level.price.millionths())),
        (SIZE, level.size.millionths()),
    ] {
        out[at..at + name.len()].copy_from_slice(name);
        at += name.len();
        if let Some(place) = out[at..].first_chunk_mut() {
            at += render_millionths(units, place);
        }
    }
    out[at..at + END.len()].copy_from_slice(END);
    at + END.len()
}

#[cfg(test)]
#[path = "fingerprint_tests.rs"]
mod tests;
