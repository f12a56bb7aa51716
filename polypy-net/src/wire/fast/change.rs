//! The entries of a `price_change`: what nearly all of the venue's bytes are.

use polypy_core::{AssetKey, BookHash, MarketEvent, PriceChange, Side, Timestamp, Top};

use super::cursor::{self, Cursor};
use super::{EventKind, Reader, event, number};
use crate::wire::scalar;

impl Reader<'_> {
    /// Reads entries from behind `[` to behind `]`. Their time is not known yet.
    pub(super) fn entries(&mut self) -> Option<()> {
        let mut before = None;
        if self.cursor.closes(b']') {
            return Some(());
        }
        loop {
            let start = self.cursor;
            before = match self.entry_in_order(before) {
                None => {
                    self.cursor = start;
                    Some(self.entry()?)
                }
                asset => asset,
            };
            if !self.cursor.goes_on(b']')? {
                return Some(());
            }
        }
    }

    /// Reads an entry in the venue's own form. Adds nothing unless it is one.
    #[inline]
    fn entry_in_order(&mut self, before: Option<AssetKey>) -> Option<AssetKey> {
        let cursor = &mut self.cursor;
        cursor.literal(b"{\"asset_id\":\"")?;
        let (asset, length) = self.assets.at_front(cursor.rest(), before)?;
        cursor.skip(length)?;
        cursor.literal(b"\",\"price\":\"")?;
        let price = cursor.price()?;
        cursor.literal(b"\",\"size\":\"")?;
        let size = cursor.size()?;
        cursor.literal(b"\",\"side\":\"")?;
        let side = cursor.side()?;
        let mut hash = None;
        if cursor.literal(b"hash\":\"").is_some() {
            hash = Some(BookHash::from_hex(cursor.take::<40>()?)?);
            cursor.literal(b"\",\"")?;
        }
        cursor.literal(b"best_bid\":\"")?;
        let best_bid = top(cursor, Side::Bid)?;
        cursor.literal(b"\",\"best_ask\":\"")?;
        let best_ask = top(cursor, Side::Ask)?;
        cursor.literal(b"\"}")?;
        self.events.push(MarketEvent::PriceChange(PriceChange {
            asset,
            timestamp: Timestamp::default(),
            side,
            price,
            size,
            hash,
            best_bid,
            best_ask,
            last_in_frame: false,
        }));
        Some(asset)
    }

    /// Reads an entry whatever the order of its keys.
    #[cold]
    fn entry(&mut self) -> Option<AssetKey> {
        let [mut asset, mut price, mut size, mut side] = [None; 4];
        let [mut hash, mut best_bid, mut best_ask] = [None; 3];
        self.cursor.token(b'{')?;
        loop {
            let field = match self.cursor.key()? {
                b"asset_id" => Some(&mut asset),
                b"price" => Some(&mut price),
                b"size" => Some(&mut size),
                b"side" => Some(&mut side),
                b"hash" => Some(&mut hash),
                b"best_bid" => Some(&mut best_bid),
                b"best_ask" => Some(&mut best_ask),
                _ => None,
            };
            event::set(field, self.cursor.string()?)?;
            if !self.cursor.goes_on(b'}')? {
                break;
            }
        }
        let asset = event::asset(asset?, self.assets)?;
        self.events.push(MarketEvent::PriceChange(PriceChange {
            asset,
            timestamp: Timestamp::default(),
            side: event::side(side?)?,
            price: event::price(price?)?,
            size: event::size(size?)?,
            hash: event::hash(hash)?,
            best_bid: event::top(best_bid, Side::Bid)?,
            best_ask: event::top(best_ask, Side::Ask)?,
            last_in_frame: false,
        }));
        Some(asset)
    }

    /// Behind the entries, in the venue's own order: the event's time.
    pub(super) fn end_in_order(&mut self) -> Option<Timestamp> {
        self.cursor.literal(b",\"timestamp\":\"")?;
        let timestamp = number::timestamp(self.cursor.string_end()?)?;
        self.cursor.literal(b",\"event_type\":\"price_change\"}")?;
        Some(timestamp)
    }

    /// Gives the entries from `first` on their time, and counts the event.
    pub(super) fn price_changed(&mut self, first: usize, timestamp: Timestamp) {
        let entries = self.events.get_mut(first..).unwrap_or_default();
        for event in &mut *entries {
            if let MarketEvent::PriceChange(change) = event {
                change.timestamp = timestamp;
            }
        }
        self.counts.level_changes += u64::try_from(entries.len()).unwrap_or(u64::MAX);
        self.counts.count_event(EventKind::PriceChange);
    }
}

impl Cursor<'_> {
    /// Reads a side, the quote and comma behind it, and the next quote.
    #[inline]
    fn side(&mut self) -> Option<Side> {
        const BUY: u64 = u64::from_le_bytes(*b"BUY\",\"\0\0");
        const SELL: u64 = u64::from_le_bytes(*b"SELL\",\"\0");
        // Without a branch on which it is: of a frame's first entry nobody knows.
        let word = cursor::word(self.rest());
        let is_buy = word << 16 == BUY << 16;
        let is_sell = word << 8 == SELL << 8;
        if !(is_buy | is_sell) {
            return None;
        }
        self.skip(6 + usize::from(is_sell))?;
        Some(if is_buy { Side::Bid } else { Side::Ask })
    }
}

/// The side's best price, up to the quote behind it.
#[inline]
fn top(cursor: &mut Cursor<'_>, side: Side) -> Option<Top> {
    if cursor.rest().first() == Some(&b'"') {
        return Some(Top::Unstated);
    }
    Some(scalar::top_at(side, cursor.price()?))
}
