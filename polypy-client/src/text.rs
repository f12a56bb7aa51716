//! Values that stand in messages as text: ids, prices, sizes, sides.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use polypy_core::{Level, LevelChange, Price, Side, Size};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// A value from its text.
pub(crate) fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let text: Text<'_> = Text::deserialize(deserializer)?;
    text.parse()
}

/// A value from its text, or `null`.
pub(crate) fn optional<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let text: Option<Text<'_>> = Option::deserialize(deserializer)?;
    text.map(|text| text.parse()).transpose()
}

/// `[[price, size], ...]`
pub(crate) fn levels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Level>, D::Error> {
    let pairs: Vec<(Text<'_>, Text<'_>)> = Vec::deserialize(deserializer)?;
    let levels = pairs.iter().map(|(price, size)| {
        let (price, size): (Price, Size) = (price.parse()?, size.parse()?);
        Ok(Level::new(price, size))
    });
    levels.collect()
}

/// `[[side, price, size], ...]`
pub(crate) fn changes<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<LevelChange>, D::Error> {
    let triples: Vec<(Text<'_>, Text<'_>, Text<'_>)> = Vec::deserialize(deserializer)?;
    let changes = triples.iter().map(|(side, price, size)| {
        let side = match &*side.0 {
            "bid" => Side::Bid,
            "ask" => Side::Ask,
            other => return Err(Error::custom(format_args!("no side {other:?}"))),
        };
        Ok(LevelChange {
            side,
            price: price.parse()?,
            size: size.parse()?,
        })
    });
    changes.collect()
}

/// `"BUY"`, `"SELL"` or `null`.
pub(crate) fn aggressor<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Side>, D::Error> {
    let text: Option<Text<'_>> = Option::deserialize(deserializer)?;
    match text.as_ref().map(|text| &*text.0) {
        None => Ok(None),
        Some("BUY") => Ok(Some(Side::Bid)),
        Some("SELL") => Ok(Some(Side::Ask)),
        Some(other) => Err(Error::custom(format_args!("no side {other:?}"))),
    }
}

/// Text of the message, copied only if it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Text<'_> {
    fn parse<T: FromStr<Err: fmt::Display>, E: Error>(&self) -> Result<T, E> {
        let text = &self.0;
        text.parse()
            .map_err(|error| E::custom(format_args!("{text:?}: {error}")))
    }
}
