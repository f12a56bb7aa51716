//! Whole books: off the wire and from REST, which share one shape.
//!
//! REST adds `min_order_size` and `neg_risk` and leaves `event_type` out. A
//! book stands or falls as a whole: one bad level refuses it.

use std::fmt;
use std::sync::Arc;

use polypy_core::{AssetInfo, BookEvent, DecimalText, Interner, Level};
use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;
use tracing::debug;

use super::elements::Elements;
use super::error::WireError;
use super::object::{self, Event, RawLevel};
use super::scalar::{self, Value};

/// What a REST answer of many books decoded to.
#[derive(Debug, Default)]
pub struct Books {
    /// The good ones, in the answer's order.
    pub books: Vec<BookEvent>,
    /// One error for each of the others.
    pub refused: Vec<WireError>,
}

/// Decodes a REST `/book` body.
///
/// # Errors
/// [`WireError`] names the first thing that does not fit;
/// [`WireError::UnknownAsset`] if `assets` does not know the asset. The venue's
/// error object (`{"error":"…"}`) is [`WireError::Missing`]`("asset_id")`.
pub fn decode_book(body: &[u8], assets: &Interner) -> Result<BookEvent, WireError> {
    decode_text(std::str::from_utf8(body)?, assets)
}

/// Decodes a REST `/books` body: an array, of which one bad book costs none of
/// the others. A single object counts as an array of one.
///
/// # Errors
/// [`WireError`] when the body as a whole is neither, or when a single object
/// is no book. An array that breaks off is a refused element behind the others.
pub fn decode_books(body: &[u8], assets: &Interner) -> Result<Books, WireError> {
    let text = std::str::from_utf8(body)?;
    let mut books = Books::default();
    let Some(elements) = Elements::of(text) else {
        books.books.push(decode_text(text, assets)?);
        return Ok(books);
    };
    for element in elements {
        match element
            .map_err(|_rest| WireError::BrokenArray)
            .and_then(|text| decode_text(text, assets))
        {
            Ok(book) => books.books.push(book),
            Err(error) => books.refused.push(error),
        }
    }
    Ok(books)
}

fn decode_text(text: &str, assets: &Interner) -> Result<BookEvent, WireError> {
    let event: Event<'_> = object::parse(text)?;
    let asset_id = scalar::required(event.asset_id, "asset_id")?;
    let info = assets.get(&asset_id).ok_or(WireError::UnknownAsset)?;
    decode(&event, info, &mut |error| {
        debug!(asset = %info.asset_id, %error, "field of a rest book left out");
    })
}

/// Whether an object without `event_type` is a book all the same.
pub(super) fn has_shape_of_book(event: &Event<'_>) -> bool {
    event.asset_id.is_some() && event.bids.is_some() && event.asks.is_some()
}

/// Makes a book of an object. Optional fields that cannot be read go to `left_out`.
pub(super) fn decode(
    event: &Event<'_>,
    info: &Arc<AssetInfo>,
    left_out: &mut dyn FnMut(WireError),
) -> Result<BookEvent, WireError> {
    Ok(BookEvent {
        info: Arc::clone(info),
        timestamp: scalar::timestamp(event.timestamp)?,
        bids: levels(event.bids, "bids")?,
        asks: levels(event.asks, "asks")?,
        hash: lenient(scalar::hash(event.hash), left_out),
        tick_size: lenient(scalar::decimal_text(event.tick_size, "tick_size"), left_out),
        last_trade_price: lenient(last_trade_price(event.last_trade_price), left_out),
        min_order_size: lenient(
            scalar::decimal_text(event.min_order_size, "min_order_size"),
            left_out,
        ),
        neg_risk: lenient(scalar::boolean(event.neg_risk, "neg_risk"), left_out),
        version: lenient(scalar::short_text(event.version, "version"), left_out),
    })
}

/// The value, or its absence if it could not be read; then `left_out` is told.
pub(super) fn lenient<T: Default>(
    value: Result<T, WireError>,
    left_out: &mut dyn FnMut(WireError),
) -> T {
    value.unwrap_or_else(|error| {
        left_out(error);
        T::default()
    })
}

/// Before the first trade the price is the empty text, and is hashed as such;
/// that differs from not being said.
fn last_trade_price(value: Value<'_>) -> Result<Option<DecimalText>, WireError> {
    if value.is_some_and(|raw| raw.get() == "\"\"") {
        return Ok(Some(DecimalText::default()));
    }
    scalar::decimal_text(value, "last_trade_price")
}

/// One side. The venue's encoder writes a side without levels as `[]`, and its
/// language a list that was never made as `null`; a missing side is an error,
/// since a book replaces all levels.
fn levels(side: Value<'_>, field: &'static str) -> Result<Vec<Level>, WireError> {
    match side.map(RawValue::get) {
        None => Err(WireError::Missing(field)),
        Some("null") => Ok(Vec::new()),
        Some(raw) if raw.starts_with('[') => object::parse::<Levels>(raw)?.0,
        Some(_) => Err(WireError::WrongType(field)),
    }
}

/// The levels of one side, or why one of them was refused. The inner result
/// keeps our own error whole, which a deserializer's would flatten to text.
struct Levels(Result<Vec<Level>, WireError>);

impl<'de> Deserialize<'de> for Levels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(LevelsVisitor)
    }
}

struct LevelsVisitor;

impl<'de> Visitor<'de> for LevelsVisitor {
    type Value = Levels;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of levels")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut levels = Vec::new();
        let mut refused = None;
        while let Some(raw) = array.next_element::<RawLevel<'de>>()? {
            // To the end even if refused: the parser wants the whole array.
            if refused.is_none() {
                match level(&raw) {
                    Ok(level) => levels.push(level),
                    Err(error) => refused = Some(error),
                }
            }
        }
        Ok(Levels(refused.map_or(Ok(levels), Err)))
    }
}

fn level(raw: &RawLevel<'_>) -> Result<Level, WireError> {
    Ok(Level {
        price: scalar::price(raw.price, "price")?,
        size: scalar::size(raw.size, "size")?,
    })
}
