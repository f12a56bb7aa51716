//! `GET /orderbook/{asset_id}`: one book, with how far to trust it.
//!
//! | the asset is | status | `found` | `state` |
//! |---|---|---|---|
//! | no 1 to 78 decimal digits | 400 | | |
//! | unknown | 404 | `false` | `null` |
//! | settled before a snapshot came | 404 | `false` | `"settled"` |
//! | known, and not asked for yet | 503, `Retry-After` | `false` | `"pending"` |
//! | asked for, without a snapshot yet | 503, `Retry-After` | `false` | `"requested"` |
//! | kept | 200 | `true` | `"live"`, `"stale"` (with `reason`), `"settled"` |
//!
//! All but the first have the same fields, so that a client reads one shape.
//! Prices and sizes are decimal strings, exactly as kept; zero is `"0"`, and
//! `null` means that there is none.

use hyper::StatusCode;
use polypy_core::metrics::millis;
use polypy_core::{
    AssetId, BookLookup, BookState, BookView, DecimalText, HistoryPoint, LastTrade, Level, Price,
    Side, SignedDecimal, Size, StaleReason, Timestamp,
};
use serde::Serialize;

use crate::call::Call;
use crate::handler;
use crate::parameter::{Kind, Parameter};
use crate::reply::Reply;
use crate::sources::Sources;

/// Levels a side when the request names none.
const DEFAULT_DEPTH: usize = 10;
/// Most levels a side: a price grid of 0.001 has no more than 999 prices.
const MAX_DEPTH: usize = 1_000;
/// Points of history in an answer, the newest.
const HISTORY_POINTS: usize = 50;
/// When a book that has no snapshot yet is worth asking for again: the venue
/// sends it within a second of the subscription.
const RETRY_SECONDS: u32 = 1;

/// The state of a book that a connection has asked for.
const REQUESTED: &str = "requested";
const NO_SNAPSHOT: &str = "no snapshot of this book has arrived yet";

pub(super) const PARAMETERS: &[Parameter] = &[Parameter::new(
    "depth",
    Kind::Whole {
        least: 1,
        most: MAX_DEPTH,
    },
    "levels a side at most, best first",
)
.or("10")];

#[derive(Serialize)]
struct Body<'a> {
    request_id: &'a str,
    asset_id: &'a str,
    found: bool,
    state: Option<&'static str>,
    reason: Option<StaleReason>,
    epoch: Option<u64>,
    sequence: Option<u64>,
    age_ms: Option<u64>,
    since_ms: Option<u64>,
    bids: Vec<(Price, Size)>,
    asks: Vec<(Price, Size)>,
    bid_levels: usize,
    ask_levels: usize,
    metrics: Metrics,
    last_update_ts: Option<Timestamp>,
    tick_size: Option<DecimalText>,
    last_trade_price: Option<Price>,
    last_trade: Option<Traded>,
    hash: Option<String>,
    hash_verified: Option<bool>,
    history: &'a [HistoryPoint],
    error: Option<&'static str>,
}

#[derive(Serialize)]
struct Metrics {
    spread: Option<SignedDecimal>,
    mid_price: Option<SignedDecimal>,
    imbalance: Option<f64>,
}

#[derive(Serialize)]
struct Traded {
    price: Price,
    size: Size,
    /// As the venue writes it.
    side: Option<&'static str>,
    timestamp: Timestamp,
}

impl From<LastTrade> for Traded {
    fn from(trade: LastTrade) -> Self {
        Self {
            price: trade.price,
            size: trade.size,
            side: trade.side.map(|side| match side {
                Side::Bid => "BUY",
                Side::Ask => "SELL",
            }),
            timestamp: trade.timestamp,
        }
    }
}

impl<'a> Body<'a> {
    /// A book that cannot be shown.
    fn missing(call: &'a Call, state: Option<&'static str>, error: &'static str) -> Self {
        Self {
            request_id: call.request_id.as_str(),
            asset_id: call.segment("asset_id"),
            found: false,
            state,
            reason: None,
            epoch: None,
            sequence: None,
            age_ms: None,
            since_ms: None,
            bids: Vec::new(),
            asks: Vec::new(),
            bid_levels: 0,
            ask_levels: 0,
            metrics: Metrics {
                spread: None,
                mid_price: None,
                imbalance: None,
            },
            last_update_ts: None,
            tick_size: None,
            last_trade_price: None,
            last_trade: None,
            hash: None,
            hash_verified: None,
            history: &[],
            error: Some(error),
        }
    }

    fn found(call: &'a Call, view: &'a BookView) -> Self {
        let reason = match view.state {
            BookState::Stale(reason) => Some(reason),
            BookState::Pending | BookState::Live | BookState::Settled => None,
        };
        let older = view.history.len().saturating_sub(HISTORY_POINTS);
        Self {
            request_id: call.request_id.as_str(),
            asset_id: view.asset_id.as_str(),
            found: true,
            state: Some(view.state.name()),
            reason,
            epoch: Some(view.position.epoch),
            sequence: Some(view.position.sequence),
            age_ms: Some(millis(view.received)),
            since_ms: Some(millis(view.lasted)),
            bids: pairs(&view.bids),
            asks: pairs(&view.asks),
            bid_levels: view.bid_levels,
            ask_levels: view.ask_levels,
            metrics: Metrics {
                spread: view.spread,
                mid_price: view.mid_price,
                imbalance: view.imbalance,
            },
            last_update_ts: Some(view.last_update),
            tick_size: view.tick_size,
            last_trade_price: view.last_trade.map(|trade| trade.price),
            last_trade: view.last_trade.map(Traded::from),
            hash: view.hash.map(|hash| hash.to_string()),
            hash_verified: view.hash_verified,
            history: view.history.get(older..).unwrap_or_default(),
            error: None,
        }
    }
}

fn pairs(levels: &[Level]) -> Vec<(Price, Size)> {
    levels
        .iter()
        .map(|level| (level.price, level.size))
        .collect()
}

pub(super) fn get(sources: &Sources, call: &Call) -> Reply {
    let depth = call.query.whole("depth").unwrap_or(DEFAULT_DEPTH);
    if let Err(error) = AssetId::new(call.segment("asset_id")) {
        return call.bad_parameter("asset_id", &error.to_string());
    }
    let Some(source) = &sources.books else {
        return handler::absent("order books", &call.request_id);
    };
    match source.book(call.segment("asset_id"), depth) {
        BookLookup::Unknown => Reply::json(
            StatusCode::NOT_FOUND,
            &Body::missing(call, None, "unknown asset"),
        ),
        BookLookup::Ended => Reply::json(
            StatusCode::NOT_FOUND,
            &Body::missing(
                call,
                Some(BookState::Settled.name()),
                "the market is settled, and no snapshot of this book ever arrived",
            ),
        ),
        BookLookup::Pending => not_yet(
            call,
            BookState::Pending.name(),
            "no connection has asked for this book yet",
        ),
        BookLookup::Requested => not_yet(call, REQUESTED, NO_SNAPSHOT),
        BookLookup::Found(view) if view.state == BookState::Pending => {
            not_yet(call, REQUESTED, NO_SNAPSHOT)
        }
        BookLookup::Found(view) => Reply::json(StatusCode::OK, &Body::found(call, &view)),
    }
}

/// A book that will be there before long.
fn not_yet(call: &Call, state: &'static str, error: &'static str) -> Reply {
    let body = Body::missing(call, Some(state), error);
    Reply::json(StatusCode::SERVICE_UNAVAILABLE, &body).with_retry_after(RETRY_SECONDS)
}
