//! Single values: raw JSON text to the types of core.
//!
//! Every function takes the raw value and the field's name for the error. A
//! value is *absent* when it is missing, `null` or `""`. Strings and numbers
//! are the same to all of them, digit by digit.

use std::borrow::Cow;

use polypy_core::{BookHash, DecimalError, DecimalText, Price, Side, Size, Timestamp, Top};
use serde_json::value::RawValue;

use super::error::WireError;

/// A field as it was found.
pub(super) type Value<'a> = Option<&'a RawValue>;

/// The text of a string or number, `None` when absent.
pub(super) fn text<'a>(
    value: Value<'a>,
    field: &'static str,
) -> Result<Option<Cow<'a, str>>, WireError> {
    let Some(raw) = value.map(RawValue::get) else {
        return Ok(None);
    };
    match raw.as_bytes() {
        [b'"', inner @ .., b'"'] => {
            let text = if inner.contains(&b'\\') {
                Cow::Owned(serde_json::from_str(raw)?)
            } else {
                Cow::Borrowed(&raw[1..raw.len() - 1])
            };
            Ok(Some(text).filter(|text| !text.is_empty()))
        }
        [b'-' | b'0'..=b'9', ..] => Ok(Some(Cow::Borrowed(raw))),
        b"null" => Ok(None),
        _ => Err(WireError::WrongType(field)),
    }
}

/// What tells the trades of one transaction from those of another: FNV-1a of its text.
pub(super) fn print(transaction: &[u8]) -> u64 {
    if transaction.is_empty() {
        return 0;
    }
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    transaction.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

/// The text of a string or number that has to be there.
pub(super) fn required<'a>(
    value: Value<'a>,
    field: &'static str,
) -> Result<Cow<'a, str>, WireError> {
    text(value, field)?.ok_or(WireError::Missing(field))
}

/// The raw text of an array that has to be there.
pub(super) fn array<'a>(value: Value<'a>, field: &'static str) -> Result<&'a str, WireError> {
    match value.map(RawValue::get) {
        Some(raw) if raw.starts_with('[') => Ok(raw),
        None | Some("null") => Err(WireError::Missing(field)),
        Some(_) => Err(WireError::WrongType(field)),
    }
}

/// A price, 0 to 1.
pub(super) fn price(value: Value<'_>, field: &'static str) -> Result<Price, WireError> {
    let text = required(value, field)?;
    Price::parse(text.as_bytes()).map_err(decimal(field))
}

/// A number of shares.
pub(super) fn size(value: Value<'_>, field: &'static str) -> Result<Size, WireError> {
    let text = required(value, field)?;
    Size::parse(text.as_bytes()).map_err(decimal(field))
}

/// Milliseconds since the epoch.
pub(super) fn timestamp(value: Value<'_>) -> Result<Timestamp, WireError> {
    const FIELD: &str = "timestamp";
    let text = required(value, FIELD)?;
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
        .map(Timestamp::from_millis)
        .ok_or(WireError::Timestamp(FIELD))
}

/// A decimal whose very text matters.
pub(super) fn decimal_text(
    value: Value<'_>,
    field: &'static str,
) -> Result<Option<DecimalText>, WireError> {
    text(value, field)?
        .map(|text| DecimalText::new(&text).map_err(decimal(field)))
        .transpose()
}

/// The side of an order: `BUY` rests among the bids.
pub(super) fn side(value: Value<'_>) -> Result<Option<Side>, WireError> {
    match text(value, "side")? {
        None => Ok(None),
        Some(text) if text.eq_ignore_ascii_case("buy") => Ok(Some(Side::Bid)),
        Some(text) if text.eq_ignore_ascii_case("sell") => Ok(Some(Side::Ask)),
        Some(_) => Err(WireError::Side),
    }
}

/// A book's hash.
pub(super) fn hash(value: Value<'_>) -> Result<Option<BookHash>, WireError> {
    text(value, "hash")?
        .map(|text| BookHash::from_hex(text.as_bytes()).ok_or(WireError::Hash))
        .transpose()
}

/// The best price of `side`.
pub(super) fn top(value: Value<'_>, side: Side, field: &'static str) -> Result<Top, WireError> {
    let Some(text) = text(value, field)? else {
        return Ok(Top::Unstated);
    };
    let price = Price::parse(text.as_bytes()).map_err(decimal(field))?;
    Ok(top_at(side, price))
}

/// What a price says of the top of `side`. The venue marks an empty side by a
/// price behind which nothing can stand: bid 0, ask 1. The opposite marks (ask
/// 0, seen as `"0"/"0"` in `best_bid_ask`) are no prices either, and say nothing.
pub(super) fn top_at(side: Side, price: Price) -> Top {
    match (side, price) {
        (Side::Bid, Price::ZERO) | (Side::Ask, Price::ONE) => Top::Empty,
        (Side::Bid, Price::ONE) | (Side::Ask, Price::ZERO) => Top::Unstated,
        (_, price) => Top::At(price),
    }
}

/// A JSON boolean, or one written as text.
pub(super) fn boolean(value: Value<'_>, field: &'static str) -> Result<Option<bool>, WireError> {
    match value.map(RawValue::get) {
        None | Some("null" | "\"\"") => Ok(None),
        Some("true" | "\"true\"") => Ok(Some(true)),
        Some("false" | "\"false\"") => Ok(Some(false)),
        Some(_) => Err(WireError::WrongType(field)),
    }
}

/// Longest text kept of a field that is neither decimal nor id; `"v2"` is the
/// only one known.
const SHORT_TEXT: usize = 16;

/// A short text kept as it is.
pub(super) fn short_text(
    value: Value<'_>,
    field: &'static str,
) -> Result<Option<Box<str>>, WireError> {
    match text(value, field)? {
        Some(text) if is_short(&text) => Ok(Some(text.into())),
        Some(_) => Err(WireError::TooLong(field)),
        None => Ok(None),
    }
}

/// Whether a text is short enough to be kept.
pub(super) fn is_short(text: &str) -> bool {
    text.len() <= SHORT_TEXT
}

fn decimal(field: &'static str) -> impl FnOnce(DecimalError) -> WireError {
    move |source| WireError::Decimal { field, source }
}
