//! Best prices.

use std::ops::Deref;

use polypy_core::{AssetId, ConditionId, Price, SignedDecimal, Size};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Error as _};
use serde_json::Value;

use crate::message::Trust;
use crate::text;

/// The best prices of a book at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Top {
    /// How far to trust it.
    pub state: Trust,
    /// Why it is stale.
    pub reason: Option<String>,
    /// The highest price that is bid.
    #[serde(deserialize_with = "text::optional")]
    pub best_bid: Option<Price>,
    /// Shares bid at that price.
    #[serde(deserialize_with = "text::optional")]
    pub best_bid_size: Option<Size>,
    /// The lowest price that is asked.
    #[serde(deserialize_with = "text::optional")]
    pub best_ask: Option<Price>,
    /// Shares asked at that price.
    #[serde(deserialize_with = "text::optional")]
    pub best_ask_size: Option<Size>,
    /// The venue's time of the last change, milliseconds since 1970.
    pub ts_event_ms: Option<u64>,
    /// History without a known hole.
    pub epoch: Option<u64>,
    /// The book's sequence.
    pub sequence: Option<u64>,
    /// Grows with every change that can be seen.
    pub revision: Option<u64>,
}

impl Top {
    /// Whether it may be traded on.
    pub fn is_live(&self) -> bool {
        self.state == Trust::Live
    }

    /// Best ask less best bid.
    pub fn spread(&self) -> Option<SignedDecimal> {
        let ten_millionths = |price: Price| i64::from(price.millionths()) * 10;
        let (bid, ask) = (self.best_bid?, self.best_ask?);
        let spread = ten_millionths(ask) - ten_millionths(bid);
        Some(SignedDecimal::from_ten_millionths(spread))
    }
}

/// The best prices of a market's tokens, read at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MarketTops {
    /// The market's id.
    pub condition_id: ConditionId,
    /// Its name in the venue's addresses.
    pub slug: Option<String>,
    /// Of its tokens, in the venue's order.
    pub tokens: Vec<TokenTop>,
}

/// Best prices of many markets: a list of them that says more.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tops {
    /// A market each.
    pub markets: Vec<MarketTops>,
    /// Tags that were asked for and that nothing has: misspelt, perhaps.
    pub unknown_tags: Vec<String>,
}

impl Deref for Tops {
    type Target = [MarketTops];

    fn deref(&self) -> &[MarketTops] {
        &self.markets
    }
}

impl IntoIterator for Tops {
    type Item = MarketTops;
    type IntoIter = std::vec::IntoIter<MarketTops>;

    fn into_iter(self) -> Self::IntoIter {
        self.markets.into_iter()
    }
}

/// The best prices of a token.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct TokenTop {
    /// The token's id.
    #[serde(deserialize_with = "text::parsed")]
    pub token_id: AssetId,
    /// What it pays for.
    pub outcome: String,
    /// The best prices; without any, its book is `pending`, or `settled` if none comes any
    /// more.
    #[serde(flatten)]
    pub top: Top,
}

/// The answer of `/v1/tops`: rows, whose columns are named once.
#[derive(Deserialize)]
pub(super) struct Table {
    columns: Columns,
    rows: Vec<Vec<Value>>,
    #[serde(default)]
    unknown_tags: Vec<String>,
}

#[derive(Deserialize)]
struct Columns {
    market: Vec<String>,
    top: Vec<String>,
}

#[derive(Deserialize)]
struct Row {
    #[serde(deserialize_with = "text::parsed")]
    condition_id: ConditionId,
    slug: Option<String>,
    tops: Vec<Vec<Value>>,
}

impl Table {
    /// The rows by the columns' names: there may be more of them than are known here.
    pub(super) fn read(self) -> Result<Tops, serde_json::Error> {
        let Columns { market, top } = &self.columns;
        let rows = self.rows.into_iter().map(|row| {
            let Row {
                condition_id,
                slug,
                tops,
            } = named(market, row)?;
            let tokens = tops.into_iter().map(|row| named(top, row));
            Ok(MarketTops {
                condition_id,
                slug,
                tokens: tokens.collect::<Result<_, serde_json::Error>>()?,
            })
        });
        Ok(Tops {
            markets: rows.collect::<Result<_, serde_json::Error>>()?,
            unknown_tags: self.unknown_tags,
        })
    }
}

fn named<T: DeserializeOwned>(columns: &[String], row: Vec<Value>) -> Result<T, serde_json::Error> {
    if row.len() != columns.len() {
        let (found, said) = (row.len(), columns.len());
        let text = format!("a row of {found} columns where {said} are named");
        return Err(serde_json::Error::custom(text));
    }
    let object = columns.iter().cloned().zip(row).collect();
    serde_json::from_value(Value::Object(object))
}
