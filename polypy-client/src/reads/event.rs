//! An event and its markets.

use serde::Deserialize;
use serde_json::Value;

use super::market::Market;
use super::pages::Listed;

/// An event: the question that its markets divide. Dollars are exact decimal texts, sums
/// over those of its markets that state any.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// Its name in the venue's addresses.
    pub slug: String,
    /// Its title.
    pub title: String,
    /// One of its markets wins.
    pub neg_risk: bool,
    /// Markets may be added to it.
    pub neg_risk_augmented: bool,
    /// Its markets that are listed.
    pub market_count: u64,
    /// Those of them that match what was asked; not of one event that was named.
    #[serde(default)]
    pub matched_count: Option<u64>,
    /// Those of them whose books are kept.
    pub followed_count: u64,
    /// Dollars traded.
    pub volume: Option<String>,
    /// Dollars traded within a day.
    pub volume_day: Option<String>,
    /// Dollars in the books.
    pub liquidity: Option<String>,
    /// When the last of its markets ends, in milliseconds since 1970.
    pub end_ms: Option<i64>,
    /// The same as people write it.
    pub end: Option<String>,
}

/// An event with all its markets.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct EventMarkets {
    /// The event.
    #[serde(flatten)]
    pub event: Event,
    /// Its markets in the venue's order, with their best prices.
    pub markets: Vec<Market>,
    /// Sum of the best bids of the first outcomes of its open markets; `None` unless the
    /// book of each of them is live and has one.
    pub sum_best_bid: Option<String>,
    /// The same of the best asks.
    pub sum_best_ask: Option<String>,
    /// Its markets that are open.
    pub open_count: u64,
}

impl Listed for Event {
    const ROUTE: &'static str = "/v1/events";
    const KEY: &'static str = "events";

    fn name(&self) -> &str {
        &self.slug
    }
}

/// An event as it came, with the fields that are not known here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct RawEvent(pub Value);

impl Listed for RawEvent {
    const ROUTE: &'static str = Event::ROUTE;
    const KEY: &'static str = Event::KEY;

    fn name(&self) -> &str {
        self.0["slug"].as_str().unwrap_or_default()
    }
}
