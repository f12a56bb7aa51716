//! A market as it is listed.

use polypy_core::{AssetId, ConditionId};
use serde::Deserialize;
use serde_json::Value;

use super::pages::Listed;
use super::top::Top;
use crate::text;

/// A market. Dollars are exact decimal texts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Market {
    /// The market's id.
    #[serde(deserialize_with = "text::parsed")]
    pub condition_id: ConditionId,
    /// Its name in the venue's addresses.
    pub slug: Option<String>,
    /// What it asks.
    pub question: String,
    /// The event that it is a part of.
    pub event: Option<EventOf>,
    /// What it stands for in its event.
    pub group_title: Option<String>,
    /// Its category; most have tags instead.
    pub category: Option<String>,
    /// Its tags; `None`: the venue has not said.
    pub tags: Option<Vec<Tag>>,
    /// `open`, `resolved` or `closed`.
    pub status: String,
    /// Its books are kept.
    pub followed: bool,
    /// Why they are not.
    pub not_followed: Option<String>,
    /// Dollars traded.
    pub volume: Option<String>,
    /// Dollars traded within a day.
    pub volume_day: Option<String>,
    /// Dollars in the book.
    pub liquidity: Option<String>,
    /// When it began, in milliseconds since 1970.
    pub start_ms: Option<i64>,
    /// When it ends, in milliseconds since 1970.
    pub end_ms: Option<i64>,
    /// When it ends, as people write it.
    pub end: Option<String>,
    /// Whether it is one of negative risk.
    pub neg_risk: bool,
    /// Smallest step of a price.
    pub tick_size: Option<String>,
    /// Shares of the smallest order.
    pub min_order_size: Option<String>,
    /// Who won.
    pub resolution: Option<Resolution>,
    /// Its tokens, in the venue's order.
    pub tokens: Vec<Token>,
}

/// The event that a market is a part of.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct EventOf {
    /// Its name in the venue's addresses.
    pub slug: String,
    /// Its title.
    pub title: String,
    /// One of its markets wins.
    pub neg_risk: bool,
    /// Markets may be added to it.
    pub neg_risk_augmented: bool,
}

/// A tag of a market.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Tag {
    /// Its name in the venue's addresses.
    pub slug: Option<String>,
    /// Its name for people.
    pub label: Option<String>,
}

/// How a market ended.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Resolution {
    /// The token that won, if anybody said.
    #[serde(deserialize_with = "text::optional")]
    pub winner: Option<AssetId>,
    /// When, in milliseconds since 1970.
    pub at_ms: Option<i64>,
}

/// A token of a market.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Token {
    /// The token's id.
    #[serde(deserialize_with = "text::parsed")]
    pub token_id: AssetId,
    /// What it pays for.
    pub outcome: String,
    /// Its best prices, if they were asked for and a book is kept.
    #[serde(default)]
    pub top: Option<Top>,
}

impl Listed for Market {
    const ROUTE: &'static str = "/v1/markets";
    const KEY: &'static str = "markets";

    fn name(&self) -> &str {
        self.condition_id.as_str()
    }
}

/// A market as it came, with the fields that are not known here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct RawMarket(pub Value);

impl Listed for RawMarket {
    const ROUTE: &'static str = Market::ROUTE;
    const KEY: &'static str = Market::KEY;

    fn name(&self) -> &str {
        self.0["condition_id"].as_str().unwrap_or_default()
    }
}
