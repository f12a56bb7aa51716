//! An event from its fields, in whatever order they come.

use std::sync::Arc;

use polypy_core::{
    AssetKey, BestBidAsk, BookEvent, BookHash, DecimalText, Interner, Level, MarketEvent, Price,
    Side, Size, TickSizeChange, Timestamp, Top, Trade,
};

use super::{EventKind, Reader, number};
use crate::wire::scalar;

/// A string as it stands in the frame, if it was there.
type Text<'a> = Option<&'a [u8]>;

/// What an event of any type may have.
#[derive(Debug, Default)]
struct Fields<'a> {
    event_type: Text<'a>,
    asset_id: Text<'a>,
    timestamp: Text<'a>,
    hash: Text<'a>,
    bids: Option<Vec<Level>>,
    asks: Option<Vec<Level>>,
    tick_size: Text<'a>,
    last_trade_price: Text<'a>,
    min_order_size: Text<'a>,
    version: Text<'a>,
    price: Text<'a>,
    size: Text<'a>,
    side: Text<'a>,
    transaction_hash: Text<'a>,
    best_bid: Text<'a>,
    best_ask: Text<'a>,
    old_tick_size: Text<'a>,
    new_tick_size: Text<'a>,
}

impl<'a> Fields<'a> {
    /// The field of this key; `None` if no event reads it.
    fn text(&mut self, key: &[u8]) -> Option<&mut Text<'a>> {
        Some(match key {
            b"event_type" => &mut self.event_type,
            b"asset_id" => &mut self.asset_id,
            b"timestamp" => &mut self.timestamp,
            b"hash" => &mut self.hash,
            b"tick_size" => &mut self.tick_size,
            b"last_trade_price" => &mut self.last_trade_price,
            b"min_order_size" => &mut self.min_order_size,
            b"version" => &mut self.version,
            b"price" => &mut self.price,
            b"size" => &mut self.size,
            b"side" => &mut self.side,
            b"transaction_hash" => &mut self.transaction_hash,
            b"best_bid" => &mut self.best_bid,
            b"best_ask" => &mut self.best_ask,
            b"old_tick_size" => &mut self.old_tick_size,
            b"new_tick_size" => &mut self.new_tick_size,
            _ => return None,
        })
    }
}

impl Reader<'_> {
    /// Reads one event of any type.
    pub(super) fn event(&mut self) -> Option<()> {
        let first = self.events.len();
        let mut fields = Fields::default();
        let mut has_entries = false;
        self.cursor.token(b'{')?;
        loop {
            match self.cursor.key()? {
                b"market" => {
                    self.cursor.token(b'"')?;
                    self.cursor.long_string_end()?;
                }
                b"bids" if fields.bids.is_none() => fields.bids = Some(self.side()?),
                b"asks" if fields.asks.is_none() => fields.asks = Some(self.side()?),
                b"price_changes" if !has_entries => {
                    has_entries = true;
                    self.cursor.token(b'[')?;
                    self.entries(Timestamp::default())?;
                }
                // A list twice; and what only REST says, which is no string.
                b"bids" | b"asks" | b"price_changes" | b"neg_risk" => return None,
                key => set(fields.text(key), self.cursor.string()?)?,
            }
            if !self.cursor.goes_on(b'}')? {
                break;
            }
        }
        self.made_of(fields, first, has_entries)
    }

    /// Makes the event. Its entries, if any, are the events from `first` on.
    fn made_of(&mut self, fields: Fields<'_>, first: usize, has_entries: bool) -> Option<()> {
        let kind = EventKind::of(std::str::from_utf8(fields.event_type?).ok()?)?;
        let timestamp = number::timestamp(fields.timestamp?)?;
        if has_entries != (kind == EventKind::PriceChange) {
            return None;
        }
        if has_entries {
            self.price_changed(first, timestamp);
            return Some(());
        }
        let asset = asset(fields.asset_id?, self.assets)?;
        let event = match kind {
            EventKind::Book => MarketEvent::Book(Box::new(self.book(fields, asset, timestamp)?)),
            EventKind::LastTradePrice => MarketEvent::Trade(Trade {
                asset,
                timestamp,
                price: price(fields.price?)?,
                price_text: decimal_text(fields.price?)?,
                size: size(fields.size?)?,
                side: match fields.side {
                    None | Some(b"") => None,
                    Some(text) => Some(side(text)?),
                },
                print: fields.transaction_hash.map_or(0, scalar::print),
            }),
            EventKind::BestBidAsk => MarketEvent::BestBidAsk(BestBidAsk {
                asset,
                timestamp,
                best_bid: top(fields.best_bid, Side::Bid)?,
                best_ask: top(fields.best_ask, Side::Ask)?,
            }),
            EventKind::TickSizeChange => MarketEvent::TickSizeChange(TickSizeChange {
                asset,
                timestamp,
                old: optional(fields.old_tick_size, decimal_text)?,
                new: optional(fields.new_tick_size, decimal_text)??,
            }),
            // Its entries are its events, and were read. The others are too rare to
            // be worth a second reader.
            EventKind::PriceChange | EventKind::NewMarket | EventKind::MarketResolved => {
                return None;
            }
        };
        self.counts.count_event(kind);
        self.events.push(event);
        Some(())
    }

    fn book(&self, fields: Fields<'_>, asset: AssetKey, timestamp: Timestamp) -> Option<BookEvent> {
        Some(BookEvent {
            info: Arc::clone(self.assets.info(asset)?),
            timestamp,
            hash: hash(fields.hash)?,
            bids: fields.bids?,
            asks: fields.asks?,
            tick_size: optional(fields.tick_size, decimal_text)?,
            // Empty before the first trade, which differs from not being said.
            last_trade_price: match fields.last_trade_price {
                Some(text) => Some(decimal_text(text)?),
                None => None,
            },
            min_order_size: optional(fields.min_order_size, decimal_text)?,
            neg_risk: None,
            version: optional(fields.version, |text| {
                let text = std::str::from_utf8(text).ok();
                text.filter(|text| scalar::is_short(text)).map(Box::from)
            })?,
        })
    }
}

/// Fills a field, which may be filled once. A field that nobody reads may come
/// as often as it likes.
pub(super) fn set<'a>(field: Option<&mut Text<'a>>, value: &'a [u8]) -> Option<()> {
    match field {
        None => Some(()),
        Some(field @ None) => {
            *field = Some(value);
            Some(())
        }
        Some(Some(_)) => None,
    }
}

/// What `read` makes of a field; nothing of one that is missing or empty.
fn optional<'a, T>(field: Text<'a>, read: impl FnOnce(&'a [u8]) -> Option<T>) -> Option<Option<T>> {
    match field {
        None | Some(b"") => Some(None),
        Some(text) => read(text).map(Some),
    }
}

pub(super) fn asset(text: &[u8], assets: &Interner) -> Option<AssetKey> {
    let text = std::str::from_utf8(text).ok()?;
    assets.get(text).map(|info| info.key)
}

pub(super) fn price(text: &[u8]) -> Option<Price> {
    Price::parse(text).ok()
}

pub(super) fn size(text: &[u8]) -> Option<Size> {
    Size::parse(text).ok()
}

pub(super) fn side(text: &[u8]) -> Option<Side> {
    match text {
        b"BUY" => Some(Side::Bid),
        b"SELL" => Some(Side::Ask),
        _ => None,
    }
}

pub(super) fn hash(field: Text<'_>) -> Option<Option<BookHash>> {
    optional(field, BookHash::from_hex)
}

pub(super) fn top(field: Text<'_>, side: Side) -> Option<Top> {
    let price = optional(field, price)?;
    Some(price.map_or(Top::Unstated, |price| scalar::top_at(side, price)))
}

fn decimal_text(text: &[u8]) -> Option<DecimalText> {
    DecimalText::new(std::str::from_utf8(text).ok()?).ok()
}
