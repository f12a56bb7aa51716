//! The venue's own fingerprint of a book, recomputed.
//!
//! Every `book` and every entry of a `price_change` carries the SHA-1 of a
//! compact JSON text of the token's whole book. The text, in this order:
//! `market, asset_id, timestamp, hash (""), bids (ascending), asks (descending),
//! min_order_size, tick_size, neg_risk, last_trade_price[, version]`.
//! The last trade price runs ahead of its own announcement, and it is the last
//! thing hashed: [`Fingerprint`] therefore keeps the state before it, so that
//! another candidate costs one or two SHA-1 blocks and not the whole book.

use std::fmt;

use sha1::{Digest, Sha1};

use crate::book::{Level, OrderBook, Side};
use crate::decimal::{self, MAX_TEXT};
use crate::market::AssetInfo;
use crate::time::Timestamp;

/// SHA-1 of a book's text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BookHash([u8; 20]);

impl BookHash {
    /// Reads 40 hexadecimal digits; `None` for anything else.
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        let text: &[u8; 40] = text.try_into().ok()?;
        let mut bytes = [0; 20];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = (nibble(pair[0])? << 4) | nibble(pair[1])?;
        }
        Some(Self(bytes))
    }

    /// The 20 bytes.
    pub fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

fn nibble(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
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

/// Which fields the text has. The venue changed its recipe without notice; the
/// older forms occur in recordings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// All ten fields, today's.
    Ten,
    /// Without `last_trade_price`: autumn 2025.
    Nine,
    /// `market, asset_id, timestamp, hash, bids, asks` only: 2024.
    Six,
}

/// What goes into the text besides the levels.
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

/// A book hashed up to its last trade price.
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
    /// Hashes everything that stands before the last trade price.
    pub fn new(book: &OrderBook, attributes: &Attributes<'_>) -> Self {
        let mut text = Text::default();
        text.push(b"{\"market\":\"");
        text.push(attributes.info.condition_id.as_str().as_bytes());
        text.push(b"\",\"asset_id\":\"");
        text.push(attributes.info.asset_id.as_str().as_bytes());
        text.push(b"\",\"timestamp\":\"");
        text.push(attributes.timestamp.millis().to_string().as_bytes());
        text.push(b"\",\"hash\":\"\",\"bids\":[");
        text.levels(book.worst_first(Side::Bid));
        text.push(b"],\"asks\":[");
        text.levels(book.worst_first(Side::Ask));
        text.push(b"]");
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

    /// The hash with this last trade price (empty before any trade). The price
    /// plays no part in the older forms.
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

/// Collects the text in a buffer on the stack, so that SHA-1 sees long runs and
/// nothing is allocated.
struct Text {
    hasher: Sha1,
    buffer: [u8; 1024],
    length: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self {
            hasher: Sha1::new(),
            buffer: [0; 1024],
            length: 0,
        }
    }
}

impl Text {
    fn push(&mut self, bytes: &[u8]) {
        if self.length + bytes.len() > self.buffer.len() {
            self.hasher.update(&self.buffer[..self.length]);
            self.length = 0;
        }
        match self.buffer.get_mut(self.length..self.length + bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.length += bytes.len();
            }
            None => self.hasher.update(bytes),
        }
    }

    fn levels(&mut self, levels: &[Level]) {
        let mut digits = [0; MAX_TEXT];
        for (at, level) in levels.iter().enumerate() {
            self.push(if at == 0 {
                b"{\"price\":\""
            } else {
                b",{\"price\":\""
            });
            let price = u64::from(level.price.millionths());
            self.push(decimal::write_millionths(price, &mut digits).as_bytes());
            self.push(b"\",\"size\":\"");
            self.push(decimal::write_millionths(level.size.millionths(), &mut digits).as_bytes());
            self.push(b"\"}");
        }
    }

    fn hashed(mut self) -> Sha1 {
        self.hasher.update(&self.buffer[..self.length]);
        self.hasher
    }
}

#[cfg(test)]
#[path = "fingerprint_tests.rs"]
mod tests;
