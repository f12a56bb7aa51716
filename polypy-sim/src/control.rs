//! The control interface, for tests and for people with `curl`.
//!
//! | route | answer |
//! |---|---|
//! | `GET /sim/assets?limit=` | every asset: id, market, outcome, status |
//! | `GET /sim/book/{asset_id}` | the true book with sequence, time stamp and hash, best levels first |
//! | `GET /sim/stats` | counts |
//! | `POST /sim/pause`, `/sim/resume` | whether the flow is paused now |

use hyper::{Method, StatusCode};
use polypy_core::{AssetId, Level};
use serde_json::{Value, json};

use crate::exchange::Exchange;
use crate::http::{Answer, Query, error, not_found, ok};
use crate::venue::TrueBook;

/// Whether a path is one of the control interface's.
pub(crate) fn owns(path: &str) -> bool {
    path == "/sim" || path.starts_with("/sim/")
}

/// Answers a request for one of the control interface's paths.
pub(crate) fn answer(
    exchange: &mut Exchange,
    method: &Method,
    path: &str,
    query: &Query,
    _body: &[u8],
) -> Answer {
    let rest = path
        .strip_prefix("/sim")
        .unwrap_or(path)
        .trim_start_matches('/');
    match (method, rest) {
        (&Method::GET, "assets") => assets(exchange, query),
        (&Method::GET, "stats") => ok(&json!(exchange.stats())),
        (&Method::POST, "pause") => set_paused(exchange, true),
        (&Method::POST, "resume") => set_paused(exchange, false),
        (&Method::GET, _) if rest.starts_with("book/") => book(exchange, &rest["book/".len()..]),
        (_, "assets" | "stats" | "pause" | "resume") => {
            error(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
        }
        _ => not_found(),
    }
}

fn set_paused(exchange: &mut Exchange, paused: bool) -> Answer {
    exchange.paused = paused;
    exchange.wake.notify_one();
    ok(&json!({ "paused": paused }))
}

fn assets(exchange: &Exchange, query: &Query) -> Answer {
    let limit = match query.get("limit").map(str::parse::<usize>) {
        None => usize::MAX,
        Some(Ok(limit)) => limit,
        Some(Err(_)) => return error(StatusCode::BAD_REQUEST, "limit: not a number"),
    };
    let rows: Vec<Value> = exchange
        .venue
        .tokens()
        .take(limit)
        .map(|(place, token)| {
            let market = &exchange.venue.markets[place.market];
            json!({
                "asset_id": token.info.asset_id.as_str(),
                "condition_id": market.listing.condition_id.as_str(),
                "question": market.listing.question,
                "outcome": market.listing.tokens[place.outcome].outcome,
                "status": if market.is_live() { "live" } else { "settled" },
            })
        })
        .collect();
    ok(&Value::Array(rows))
}

fn book(exchange: &mut Exchange, asset_id: &str) -> Answer {
    let Ok(id) = AssetId::new(asset_id) else {
        return error(
            StatusCode::BAD_REQUEST,
            "asset_id: not 1 to 78 decimal digits",
        );
    };
    match exchange.venue.true_book(&id) {
        Some(book) => ok(&true_book(&id, &book)),
        None => error(StatusCode::NOT_FOUND, "unknown asset"),
    }
}

fn true_book(asset_id: &AssetId, book: &TrueBook) -> Value {
    let levels = |levels: &[Level]| -> Vec<Value> {
        levels
            .iter()
            .map(|level| json!([level.price, level.size]))
            .collect()
    };
    json!({
        "asset_id": asset_id.as_str(),
        "status": if book.settled { "settled" } else { "live" },
        "sequence": book.sequence,
        "timestamp": book.timestamp.millis(),
        "hash": book.hash.to_string(),
        "bids": levels(&book.bids),
        "asks": levels(&book.asks),
        "tick_size": book.tick_size,
        "last_trade_price": book.last_trade_price,
    })
}
