//! What readers may ask: books and markets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

use crate::book;
use crate::change::{BookPosition, TradeKept};
use crate::decimal::{DecimalText, SignedDecimal};
use crate::feed::{FeedId, StaleReason};
use crate::fingerprint::BookHash;
use crate::history::HistoryPoint;
use crate::id::AssetId;
use crate::key::AssetKey;
use crate::level::{Level, Side};
use crate::market::Market;
use crate::price::Price;
use crate::size::Size;
use crate::time::Timestamp;

/// How far a book can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "reason")]
pub enum BookState {
    /// Known to the catalogue, no snapshot yet.
    Pending,
    /// Kept by an open feed; nothing speaks against it.
    Live,
    /// Readable, and not to be trusted, for this reason.
    Stale(StaleReason),
    /// The market is settled; the book is its last one.
    Settled,
}

impl BookState {
    /// The state's name as JSON shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Live => "live",
            Self::Stale(_) => "stale",
            Self::Settled => "settled",
        }
    }
}

/// A copy of one book at one moment.
///
/// Serialized, prices and sizes are texts, durations are numbers of milliseconds, and `state` has its
/// `reason` beside it; when it was looked at (`at`) means nothing elsewhere and is left out.
#[derive(Debug, Clone, Serialize)]
pub struct BookView {
    /// The asset.
    pub asset_id: AssetId,
    /// How far to trust it.
    #[serde(flatten)]
    pub state: BookState,
    /// Where it stands. Two views of one `key_life` with equal positions and states are
    /// equal, but for how long ago everything was.
    pub position: BookPosition,
    /// Which of the books it is that its id had, one after the other, in this process:
    /// one that was forgotten and found again counts epoch and sequence from the start.
    pub key_life: u64,
    /// Best first.
    pub bids: Vec<Level>,
    /// Best first.
    pub asks: Vec<Level>,
    /// Levels on the bid side in all, whatever depth was asked for.
    pub bid_levels: usize,
    /// Levels on the ask side in all.
    pub ask_levels: usize,
    /// Best ask less best bid.
    pub spread: Option<SignedDecimal>,
    /// Mean of the two.
    pub mid_price: Option<SignedDecimal>,
    /// (bids − asks) / (bids + asks) over the levels asked for.
    pub imbalance: Option<f64>,
    /// Exchange time of the last change.
    pub last_update: Timestamp,
    /// When it was looked at: what is said to be some time ago was so before this.
    #[serde(skip)]
    pub at: Instant,
    /// How long ago the last change reached us.
    #[serde(rename = "received_ms", serialize_with = "millis")]
    pub received: Duration,
    /// For how long it has been live, or not, without a break. A new reason for being
    /// stale does not start again.
    #[serde(rename = "lasted_ms", serialize_with = "millis")]
    pub lasted: Duration,
    /// Price grid.
    pub tick_size: Option<DecimalText>,
    /// The token's own last trade that was announced while it was followed.
    pub last_trade: Option<LastTrade>,
    /// The venue's hash that came with the last change.
    pub hash: Option<BookHash>,
    /// Whether the venue's hash came out of the levels at the last check. `None` is
    /// unverified: no hash was sent, checks are off, or none ever came out, and nothing
    /// follows from it. Never `Some(false)` while live.
    pub hash_verified: Option<bool>,
    /// How long ago it came out the last time, while it is verified.
    #[serde(rename = "verified_ago_ms", serialize_with = "maybe_millis")]
    pub verified_ago: Option<Duration>,
    /// Whose copy is shown: of a feed that is gone, perhaps, if the book is stale. `None`
    /// while another feed's copy is to come as far.
    pub feed: Option<FeedId>,
    /// Top of book over time, oldest first.
    pub history: Vec<HistoryPoint>,
}

fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

fn maybe_millis<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => millis(duration, serializer),
        None => serializer.serialize_none(),
    }
}

/// The top of one book at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BookTop {
    /// Whose book.
    pub asset: AssetKey,
    /// The highest bid.
    pub bid: Option<Level>,
    /// The lowest ask.
    pub ask: Option<Level>,
    /// How far to trust it.
    pub state: BookState,
    /// Whether the venue's hash came out, as in [`BookView`].
    pub verified: Option<bool>,
    /// Where the book stands, as in [`BookView`].
    pub position: BookPosition,
    /// Exchange time of the last change.
    pub last_update: Timestamp,
}

impl BookTop {
    /// Best ask less best bid.
    pub fn spread(&self) -> Option<SignedDecimal> {
        self.prices().map(|(bid, ask)| book::spread(bid, ask))
    }

    /// Mean of the two.
    pub fn mid_price(&self) -> Option<SignedDecimal> {
        self.prices().map(|(bid, ask)| book::mid(bid, ask))
    }

    fn prices(&self) -> Option<(Price, Price)> {
        Some((self.bid?.price, self.ask?.price))
    }
}

/// A trade of one token, as the venue announced it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LastTrade {
    /// Exchange time.
    pub timestamp: Timestamp,
    /// Price of one share.
    pub price: Price,
    /// Shares that changed hands.
    pub size: Size,
    /// The taker's side, if it was stated: [`Side::Bid`] bought.
    pub side: Option<Side>,
}

/// The answer to a question for one book.
#[derive(Debug, Clone)]
pub enum BookLookup {
    /// No such asset.
    Unknown,
    /// Known, and no connection has asked for it yet.
    Pending,
    /// A connection has asked for it, and no snapshot has arrived yet.
    Requested,
    /// Its market is settled, and no snapshot of it ever arrived.
    Ended,
    /// The book.
    Found(Box<BookView>),
}

/// The newest trades of one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TradesView {
    /// Which of the books it is that its id had: as in [`BookView`].
    pub key_life: u64,
    /// How many trades of it were kept so far: the number of the newest. Two views of one
    /// `key_life` with the same are equal, as far as both go back.
    pub sequence: u64,
    /// The newest first, each with its number. Older ones may be forgotten.
    pub trades: Vec<TradeKept>,
}

/// The answer to a question for the trades of one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TradesLookup {
    /// No such asset.
    Unknown,
    /// Its trades; none before its first book has come.
    Found(TradesView),
}

/// Where books can be read.
pub trait BookSource: Send + Sync {
    /// Copies one book with at most `depth` levels a side. Holds a writer up
    /// for no longer than that copy.
    fn book(&self, asset_id: &str, depth: usize) -> BookLookup;

    /// Copies the newest `limit` trades of one token, as far as they are kept. Holds a
    /// writer up for no longer than that copy.
    fn trades(&self, asset_id: &str, limit: usize) -> TradesLookup;

    /// Copies many books with at most `depth` levels a side, in the order of `assets`.
    ///
    /// Tokens of one market that stand side by side there are read at one moment; between
    /// markets anything may happen. Lets writers in again and again meanwhile.
    fn books(&self, assets: &[AssetKey], depth: usize) -> Vec<BookLookup>;

    /// The tops of many books, in the order of `assets` and at such moments as
    /// [`books`](Self::books); `None` where there is no book.
    fn tops(&self, assets: &[AssetKey]) -> Vec<Option<BookTop>>;
}

/// Where the catalogue can be read.
pub trait MarketSource: Send + Sync {
    /// The markets with at least one subscribed token.
    fn markets(&self) -> Vec<Arc<Market>>;

    /// Grows whenever [`markets`](Self::markets) may have a new answer, so that
    /// one that was rendered can be shared until then. Cheap: asked for each request.
    fn version(&self) -> u64;
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::OrderBook;

    #[test]
    fn a_top_has_the_spread_and_the_middle_of_its_book() {
        let level = |price: &str| Level::new(price.parse().unwrap(), "1".parse().unwrap());
        let mut book = OrderBook::default();
        book.apply_snapshot(vec![level("0.489")], vec![level("0.5025")]);
        let mut names = crate::Interner::default();
        let asset = AssetId::new("1").unwrap();
        let condition = crate::ConditionId::new("0x1").unwrap();
        let describe = |key| crate::AssetInfo::new(key, asset.clone(), condition.clone());
        let mut top = BookTop {
            asset: names.insert(&asset, &condition, describe).key,
            bid: book.best_bid(),
            ask: book.best_ask(),
            state: BookState::Live,
            verified: None,
            position: BookPosition::default(),
            last_update: Timestamp::from_millis(0),
        };
        assert_eq!((top.spread(), top.mid_price()), (book.spread(), book.mid()));
        top.ask = None;
        assert_eq!((top.spread(), top.mid_price()), (None, None));
    }

    #[test]
    fn a_view_is_shown_with_texts_milliseconds_and_its_state() {
        let view = BookView {
            asset_id: AssetId::new("12").unwrap(),
            state: BookState::Stale(StaleReason::Hash),
            position: BookPosition {
                epoch: 2,
                sequence: 7,
                revision: 1,
            },
            key_life: 3,
            bids: vec![Level::new("0.48".parse().unwrap(), "1.5".parse().unwrap())],
            asks: Vec::new(),
            bid_levels: 9,
            ask_levels: 0,
            spread: None,
            mid_price: None,
            imbalance: None,
            last_update: Timestamp::from_millis(5),
            at: Instant::now(),
            received: Duration::from_micros(1_500),
            lasted: Duration::from_secs(2),
            tick_size: None,
            last_trade: Some(LastTrade {
                timestamp: Timestamp::from_millis(4),
                price: "0.5".parse().unwrap(),
                size: "2".parse().unwrap(),
                side: Some(Side::Bid),
            }),
            hash: None,
            hash_verified: Some(false),
            verified_ago: None,
            feed: None,
            history: Vec::new(),
        };
        let shown = serde_json::to_value(&view).unwrap();
        assert_eq!(
            shown,
            json!({
                "asset_id": "12", "state": "stale", "reason": "hash",
                "position": { "epoch": 2, "sequence": 7, "revision": 1 }, "key_life": 3,
                "bids": [{ "price": "0.48", "size": "1.5" }], "asks": [],
                "bid_levels": 9, "ask_levels": 0,
                "spread": null, "mid_price": null, "imbalance": null, "last_update": 5,
                "received_ms": 1, "lasted_ms": 2_000, "tick_size": null,
                "last_trade": { "timestamp": 4, "price": "0.5", "size": "2", "side": "bid" },
                "hash": null, "hash_verified": false, "verified_ago_ms": null, "feed": null,
                "history": [],
            })
        );
    }

    #[test]
    fn a_state_has_the_name_json_shows() {
        for (state, shown) in [
            (BookState::Pending, json!({ "state": "pending" })),
            (BookState::Live, json!({ "state": "live" })),
            (
                BookState::Stale(StaleReason::Hash),
                json!({ "state": "stale", "reason": "hash" }),
            ),
            (BookState::Settled, json!({ "state": "settled" })),
        ] {
            assert_eq!(serde_json::to_value(state).unwrap(), shown);
            assert_eq!(shown["state"], Value::from(state.name()));
        }
    }
}
