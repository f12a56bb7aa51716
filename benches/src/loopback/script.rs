//! A venue's frames as they go over the wire: rendered before, stamped in place.
//!
//! A frame's exchange time grows from telling to telling. The first sixteen
//! digits of its hashes say when it was to be sent, the next sixteen when it was,
//! on the machine's clock; the rest is the true hash's, so that two states of a
//! book never have the same one.

use std::collections::HashMap;

use polypy_core::{AssetId, OrderBook, Side};
use polypy_net::wire::{Decoded, WireStats, decode};

use super::Failure;
use crate::checksum::Checksum;
use crate::corpus::Corpus;

/// Digits of a stamp, and of an exchange time.
const STAMP: usize = 16;
const MILLIS: usize = 13;
/// As if the frame were about an asset of another time.
const NOTHING: &str = "a frame is not as the corpus tells it";

/// One connection's frames, again and again.
#[derive(Debug)]
pub struct Script {
    bytes: Vec<u8>,
    told: Vec<Told>,
    /// By how much exchange time grows with each telling.
    span: u64,
    lap: u64,
    next: usize,
}

#[derive(Debug)]
struct Told {
    /// Where it ends in the bytes.
    end: usize,
    /// Of the first telling.
    millis: u64,
    millis_at: usize,
    hashes_at: Vec<usize>,
    changes: u64,
    /// Its number in the corpus.
    number: usize,
}

impl Script {
    /// The frames of a corpus that are about these tokens.
    ///
    /// # Errors
    /// When a frame is not as a corpus tells it.
    pub fn of(corpus: &Corpus, tokens: &[String]) -> Result<Self, Failure> {
        let tokens: HashMap<&str, ()> = tokens.iter().map(|token| (&**token, ())).collect();
        let mut script = Self {
            bytes: Vec::new(),
            told: Vec::new(),
            span: 0,
            lap: 0,
            next: 0,
        };
        let (mut first, mut last) = (u64::MAX, 0);
        for (number, frame) in corpus.frames.iter().enumerate() {
            let asset = field(frame, 0, "\"asset_id\":\"").ok_or(NOTHING)?;
            let (id, _) = frame[asset..].split_once('"').ok_or(NOTHING)?;
            let millis_at = field(frame, asset, "\"timestamp\":\"").ok_or(NOTHING)?;
            let millis = frame.get(millis_at..millis_at + MILLIS).ok_or(NOTHING)?;
            let millis: u64 = millis.parse()?;
            (first, last) = (first.min(millis), last.max(millis));
            if tokens.contains_key(id) {
                script.add(number, frame, millis, millis_at);
            }
        }
        script.span = last.saturating_sub(first) + 1;
        if script.told.is_empty() {
            return Err("a connection without a frame".into());
        }
        Ok(script)
    }

    fn add(&mut self, number: usize, frame: &str, millis: u64, millis_at: usize) {
        head(frame.len(), &mut self.bytes);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(frame.as_bytes());
        let hashes = frame.match_indices("\"hash\":\"");
        let hashes_at: Vec<_> = hashes.map(|(at, mark)| start + at + mark.len()).collect();
        self.told.push(Told {
            end: self.bytes.len(),
            millis,
            millis_at: start + millis_at,
            changes: hashes_at.len().try_into().unwrap_or(u64::MAX),
            hashes_at,
            number,
        });
    }

    /// Takes frames while `more` agrees (it is asked with the bytes taken before
    /// each) and the telling lasts; `planned` says for each when it was to be
    /// sent. Their bytes, and how many frames and changes they are.
    pub fn take(
        &mut self,
        now: u64,
        mut more: impl FnMut(usize) -> Option<u64>,
    ) -> (&[u8], u64, u64) {
        let start = match self.next.checked_sub(1).and_then(|at| self.told.get(at)) {
            Some(before) => before.end,
            None => 0,
        };
        let (mut end, mut frames, mut changes) = (start, 0, 0);
        while let Some(told) = self.told.get(self.next)
            && let Some(planned) = more(end - start)
        {
            let millis = told.millis + self.lap * self.span;
            write_decimal(&mut self.bytes[told.millis_at..][..MILLIS], millis);
            let (mut plan, mut sent) = ([0; STAMP], [0; STAMP]);
            write_hex(&mut plan, planned);
            write_hex(&mut sent, now);
            for &at in &told.hashes_at {
                self.bytes[at..][..STAMP].copy_from_slice(&plan);
                self.bytes[at + STAMP..][..STAMP].copy_from_slice(&sent);
            }
            end = told.end;
            frames += 1;
            changes += told.changes;
            self.next += 1;
        }
        if self.next == self.told.len() {
            self.next = 0;
            self.lap += 1;
        }
        (&self.bytes[start..end], frames, changes)
    }

    /// Adds the books of these tokens as they stand after what was taken.
    ///
    /// # Errors
    /// When a frame is not as a corpus tells it.
    pub fn add_books(
        &self,
        corpus: &Corpus,
        tokens: &[String],
        sum: &mut Checksum,
    ) -> Result<(), Failure> {
        let mut books = Books::default();
        let wanted: HashMap<&str, ()> = tokens.iter().map(|token| (&**token, ())).collect();
        for (opening, (info, _)) in corpus.openings.iter().zip(corpus.books()) {
            if wanted.contains_key(info.asset_id.as_str()) {
                books.hear(corpus, opening);
            }
        }
        for told in self.told.iter().take(self.next) {
            books.hear(corpus, &corpus.frames[told.number]);
        }
        for token in tokens {
            let asset: AssetId = token.parse()?;
            let info = corpus.interner.get(asset.as_str()).ok_or(NOTHING)?;
            let book = books.of.get(info.key.slot()).ok_or(NOTHING)?;
            let units = |level: polypy_core::Level| -> (u64, u64) {
                (level.price.millionths().into(), level.size.millionths())
            };
            let (bids, asks) = (book.levels(Side::Bid), book.levels(Side::Ask));
            sum.add_book(token, bids.map(units), asks.map(units));
        }
        Ok(())
    }
}

/// Books by slot, of whoever believes all it hears.
#[derive(Debug, Default)]
pub struct Books {
    of: Vec<OrderBook>,
    stats: WireStats,
    /// Of the frame heard last.
    pub decoded: Decoded,
}

impl Books {
    /// Decodes and applies a frame.
    pub fn hear(&mut self, corpus: &Corpus, frame: &str) {
        self.hear_bytes(&corpus.interner, frame.as_bytes());
    }

    /// The same.
    pub fn hear_bytes(&mut self, assets: &polypy_core::Interner, frame: &[u8]) {
        use polypy_core::MarketEvent;
        self.decoded.clear();
        decode(frame, assets, &self.stats, &mut self.decoded);
        for event in &mut self.decoded.events {
            let at = event.asset().slot();
            if at >= self.of.len() {
                self.of.resize_with(at + 1, OrderBook::default);
            }
            let book = &mut self.of[at];
            match event {
                MarketEvent::Book(event) => {
                    let bids = std::mem::take(&mut event.bids);
                    book.apply_snapshot(bids, std::mem::take(&mut event.asks));
                }
                MarketEvent::PriceChange(change) => {
                    book.apply_change(change.side, change.price, change.size);
                }
                MarketEvent::Trade(_)
                | MarketEvent::TickSizeChange(_)
                | MarketEvent::BestBidAsk(_) => {}
            }
        }
    }
}

/// Where a field's value begins.
fn field(frame: &str, from: usize, name: &str) -> Option<usize> {
    Some(from + frame.get(from..)?.find(name)? + name.len())
}

/// The first byte of a text frame that is whole.
const TEXT: u8 = 0x81;

/// How long the text frame is that these bytes begin with, head included.
pub(crate) fn length_of(bytes: &[u8]) -> Option<usize> {
    let rest = bytes.strip_prefix(&[TEXT])?;
    match *rest {
        [127, ref rest @ ..] => {
            let length = u64::from_be_bytes(*rest.first_chunk()?);
            Some(10 + usize::try_from(length).ok()?)
        }
        [126, high, low, ..] => Some(4 + usize::from(u16::from_be_bytes([high, low]))),
        [short, ..] => Some(2 + usize::from(short)),
        [] => None,
    }
}

/// The head of a server's text frame.
pub(crate) fn head(length: usize, out: &mut Vec<u8>) {
    out.push(TEXT);
    if let Ok(short @ ..126) = u8::try_from(length) {
        out.push(short);
    } else if let Ok(middle) = u16::try_from(length) {
        out.push(126);
        out.extend_from_slice(&middle.to_be_bytes());
    } else {
        out.push(127);
        out.extend_from_slice(&u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes());
    }
}

fn write_decimal(digits: &mut [u8], mut value: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
}

fn write_hex(digits: &mut [u8; STAMP], value: u64) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in digits.chunks_exact_mut(2).zip(value.to_be_bytes()) {
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 15)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loopback::stamps::stamps_of;

    #[test]
    fn a_frames_length_is_read_from_the_head_it_was_given() {
        for length in [0, 125, 126, 65_535, 65_536] {
            let mut bytes = Vec::new();
            head(length, &mut bytes);
            let whole = bytes.len() + length;
            assert_eq!(length_of(&bytes), Some(whole));
        }
        assert_eq!(length_of(b"HTTP/1.1 101"), None);
        assert_eq!(length_of(&[]), None);
    }

    #[test]
    fn every_telling_is_later_and_stamped_and_ends_where_it_began() {
        let corpus = Corpus::cyclic(4, 50);
        let tokens: Vec<_> = corpus
            .books()
            .map(|(info, _)| info.asset_id.to_string())
            .collect();
        let mut script = Script::of(&corpus, &tokens).unwrap();
        let (mut books, mut newest) = (Books::default(), 0);
        for opening in &corpus.openings {
            books.hear(&corpus, opening);
        }
        for telling in 0..3_u64 {
            let (mut changes, mut number) = (0, 0);
            while number < corpus.frames.len() {
                let mut left = 1;
                let more = |_| {
                    left -= 1;
                    (left >= 0).then_some(7 + telling)
                };
                let (bytes, frames, said) = script.take(1 << 40, more);
                assert_eq!(frames, 1);
                changes += said;
                // Behind the head of a frame of 126 to 65,535 bytes.
                books.hear_bytes(&corpus.interner, &bytes[4..]);
                for event in &books.decoded.events {
                    let polypy_core::MarketEvent::PriceChange(change) = event else {
                        unreachable!("{event:?}");
                    };
                    assert_eq!(stamps_of(change.hash.unwrap()), (7 + telling, 1 << 40));
                    assert!(change.timestamp.millis() >= newest);
                    newest = change.timestamp.millis();
                }
                number += 1;
            }
            assert_eq!(changes, corpus.changes as u64);
        }
        let (mut ours, mut theirs) = (Checksum::default(), corpus.checksum());
        script.add_books(&corpus, &tokens, &mut ours).unwrap();
        assert_eq!(ours, theirs);
        script.take(0, |bytes| (bytes == 0).then_some(0));
        theirs = Checksum::default();
        script.add_books(&corpus, &tokens, &mut theirs).unwrap();
        assert_ne!(ours, theirs);
    }
}
