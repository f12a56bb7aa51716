//! What a recorded frame says, as far as the rest of the exchange needs to know it: which
//! tokens it concerns and what it does to their books. The frame itself keeps its bytes.
//!
//! What cannot be read in a frame plays no part in that.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use polypy_core::{
    AssetId, BookHash, ConditionId, DecimalText, Level, Price, Side, Size, Timestamp,
};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::mixer::Mixing;
use crate::publication::hashed_price;

/// Where a token stands: market, token.
pub(crate) type Place = (usize, usize);

/// What a frame does to a book.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    Book(Place, Box<RecordedBook>),
    Change {
        place: Place,
        side: Side,
        price: Price,
        size: Size,
        stamp: Timestamp,
        hash: Option<BookHash>,
    },
    LastPrice(usize, DecimalText),
    Tick(usize, DecimalText),
    Resolved(usize, usize),
}

impl Effect {
    /// It is of another time, so many milliseconds later, and no hash is known.
    pub(crate) fn shift(&mut self, by: i64) {
        match self {
            Self::Book(_, book) => {
                book.stamp = shifted(book.stamp, by);
                book.hash = None;
                book.rest = None;
            }
            Self::Change { stamp, hash, .. } => {
                *stamp = shifted(*stamp, by);
                *hash = None;
            }
            Self::LastPrice(..) | Self::Tick(..) | Self::Resolved(..) => {}
        }
    }
}

/// So many milliseconds later.
pub(crate) fn shifted(stamp: Timestamp, by: i64) -> Timestamp {
    Timestamp::from_millis(stamp.millis().saturating_add_signed(by))
}

/// A whole book as a frame holds it.
#[derive(Debug, Clone, Default)]
pub(crate) struct RecordedBook {
    pub(crate) bids: Vec<Level>,
    pub(crate) asks: Vec<Level>,
    pub(crate) stamp: Timestamp,
    pub(crate) hash: Option<BookHash>,
    pub(crate) tick_size: Option<DecimalText>,
    pub(crate) last_trade_price: Option<DecimalText>,
    pub(crate) min_order_size: Option<DecimalText>,
    pub(crate) neg_risk: Option<bool>,
    pub(crate) version: Option<String>,
    /// Present when it was a REST answer: its text.
    pub(crate) rest: Option<String>,
}

impl From<&polypy_core::recording::RecordedBook> for RecordedBook {
    fn from(book: &polypy_core::recording::RecordedBook) -> Self {
        let decimal = |text: &Option<Box<str>>| DecimalText::new(text.as_deref()?).ok();
        Self {
            bids: book.bids.clone(),
            asks: book.asks.clone(),
            stamp: Timestamp::from_millis(book.timestamp),
            hash: book.hash(),
            tick_size: decimal(&book.tick_size),
            last_trade_price: decimal(&book.last_trade_price),
            min_order_size: decimal(&book.min_order_size),
            neg_risk: book.neg_risk,
            version: book.version.as_deref().map(str::to_owned),
            rest: None,
        }
    }
}

/// The markets and tokens of a recording, by id.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(crate) by_condition: HashMap<String, usize, Mixing>,
    pub(crate) by_asset: HashMap<String, Place, Mixing>,
}

/// One event of a frame.
#[derive(serde::Deserialize, Debug, Default)]
#[serde(default)]
pub(crate) struct Event<'a> {
    #[serde(borrow)]
    pub(crate) event_type: Text<'a>,
    #[serde(borrow)]
    pub(crate) market: Text<'a>,
    #[serde(borrow)]
    pub(crate) asset_id: Text<'a>,
    #[serde(borrow)]
    timestamp: Text<'a>,
    #[serde(borrow)]
    hash: Text<'a>,
    #[serde(borrow)]
    pub(crate) bids: Option<Vec<Row<'a>>>,
    #[serde(borrow)]
    asks: Option<Vec<Row<'a>>>,
    #[serde(borrow)]
    pub(crate) tick_size: Text<'a>,
    #[serde(borrow)]
    new_tick_size: Text<'a>,
    #[serde(borrow)]
    min_order_size: Text<'a>,
    #[serde(borrow)]
    last_trade_price: Text<'a>,
    #[serde(borrow)]
    price: Text<'a>,
    #[serde(borrow)]
    version: Text<'a>,
    neg_risk: Option<bool>,
    #[serde(borrow)]
    pub(crate) price_changes: Vec<Row<'a>>,
    #[serde(borrow)]
    pub(crate) assets_ids: Vec<Text<'a>>,
    #[serde(borrow)]
    winning_asset_id: Text<'a>,
}

/// A level, or a change of one.
#[derive(serde::Deserialize, Debug, Default)]
#[serde(default)]
pub(crate) struct Row<'a> {
    #[serde(borrow)]
    pub(crate) asset_id: Text<'a>,
    #[serde(borrow)]
    price: Text<'a>,
    #[serde(borrow)]
    size: Text<'a>,
    #[serde(borrow)]
    side: Text<'a>,
    #[serde(borrow)]
    hash: Text<'a>,
}

/// A text, or a number as it is written; whatever else stands there is none.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Text<'a>(Option<Cow<'a, str>>);

impl Text<'_> {
    pub(crate) fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }

    fn parse<T: std::str::FromStr>(&self) -> Option<T> {
        self.as_str()?.parse().ok()
    }

    fn decimal(&self) -> Option<DecimalText> {
        DecimalText::new(self.as_str()?).ok()
    }

    fn hash(&self) -> Option<BookHash> {
        BookHash::from_hex(self.as_str()?.as_bytes())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text(Some(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text(Some(Cow::Owned(text.to_owned()))))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Text(Some(Cow::Owned(number.to_string()))))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Text(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Text(None))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Text(None))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Text(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }
}

/// The events of a frame; none if it is none.
pub(crate) fn events(text: &str) -> Vec<Event<'_>> {
    if text.trim_start().starts_with('[') {
        serde_json::from_str(text).unwrap_or_default()
    } else {
        serde_json::from_str(text).map_or_else(|_| Vec::new(), |event| vec![event])
    }
}

impl Event<'_> {
    pub(crate) fn stamp(&self) -> Option<Timestamp> {
        self.timestamp.parse().map(Timestamp::from_millis)
    }

    /// Whether it is a whole book, by its name or its shape.
    fn is_book(&self) -> bool {
        matches!(self.event_type.as_str(), Some("book") | None)
    }

    /// Opening books bear the stamps of changes long past.
    pub(crate) fn is_opening(&self, among: usize) -> bool {
        among > 1 || self.tick_size != Text::default()
    }

    pub(crate) fn condition(&self) -> Option<ConditionId> {
        ConditionId::new(self.market.as_str()?).ok()
    }

    pub(crate) fn book(&self) -> Option<RecordedBook> {
        let levels = |rows: &Option<Vec<Row<'_>>>| -> Option<Vec<Level>> {
            let level = |row: &Row<'_>| Some(Level::new(row.price.parse()?, row.size.parse()?));
            rows.as_ref()?.iter().map(level).collect()
        };
        Some(RecordedBook {
            bids: levels(&self.bids)?,
            asks: levels(&self.asks)?,
            stamp: self.stamp().unwrap_or_default(),
            hash: self.hash.hash(),
            tick_size: self.tick_size.decimal(),
            last_trade_price: self.last_trade_price.decimal(),
            min_order_size: self.min_order_size.decimal(),
            neg_risk: self.neg_risk,
            version: self.version.as_str().map(str::to_owned),
            rest: None,
        })
    }
}

impl Places {
    pub(crate) fn asset(&self, id: &Text<'_>) -> Option<Place> {
        self.by_asset.get(id.as_str()?).copied()
    }

    pub(crate) fn market(&self, event: &Event<'_>) -> Option<usize> {
        self.by_condition.get(event.market.as_str()?).copied()
    }

    /// The tokens that an event concerns, where it stands for itself.
    pub(crate) fn of<'b>(&'b self, event: &'b Event<'_>) -> impl Iterator<Item = Place> + 'b {
        let entries = event.price_changes.iter();
        let own = self.asset(&event.asset_id);
        own.into_iter()
            .chain(entries.filter_map(|entry| self.asset(&entry.asset_id)))
    }

    /// What an event does. `rest`: the text of the answer that it is.
    pub(crate) fn effects(&self, event: &Event<'_>, rest: Option<&str>, effects: &mut Vec<Effect>) {
        let stamp = event.stamp().unwrap_or_default();
        if event.is_book()
            && let Some(place) = self.asset(&event.asset_id)
            && let Some(mut book) = event.book()
        {
            book.rest = rest.map(|text| text.trim_end().to_owned());
            effects.push(Effect::Book(place, Box::new(book)));
            return;
        }
        match (event.event_type.as_str(), self.market(event)) {
            (Some("price_change"), _) => {
                let entries = event.price_changes.iter();
                effects.extend(entries.filter_map(|entry| self.change(entry, stamp)));
            }
            (Some("last_trade_price"), Some(market)) => {
                let price = event.price.parse();
                effects.extend(price.map(|price| Effect::LastPrice(market, hashed_price(price))));
            }
            (Some("tick_size_change"), Some(market)) => {
                let tick = event.new_tick_size.decimal();
                effects.extend(tick.map(|tick| Effect::Tick(market, tick)));
            }
            (Some("market_resolved"), Some(market)) => {
                let winner = self.asset(&event.winning_asset_id);
                effects.push(Effect::Resolved(market, winner.map_or(0, |place| place.1)));
            }
            _ => {}
        }
    }

    fn change(&self, entry: &Row<'_>, stamp: Timestamp) -> Option<Effect> {
        let side = entry.side.as_str()?;
        let side = if side.eq_ignore_ascii_case("BUY") {
            Side::Bid
        } else if side.eq_ignore_ascii_case("SELL") {
            Side::Ask
        } else {
            return None;
        };
        Some(Effect::Change {
            place: self.asset(&entry.asset_id)?,
            side,
            price: entry.price.parse()?,
            size: entry.size.parse()?,
            stamp,
            hash: entry.hash.hash(),
        })
    }
}

/// An asset's id, if it is one.
pub(crate) fn asset_id(text: &Text<'_>) -> Option<AssetId> {
    AssetId::new(text.as_str()?).ok()
}
