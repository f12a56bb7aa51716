//! The control interface, for tests and for people with `curl`.
//!
//! | route | answer |
//! |---|---|
//! | `GET /sim/assets?limit=` | every asset: id, market, outcome, status |
//! | `GET /sim/book/{asset_id}` | the true book with sequence, time stamp and hash, best levels first |
//! | `GET /sim/stats` | counts |
//! | `GET /sim/faults` | the faults that are on and whom they hit, those a script has yet to switch on, and all there are |
//! | `POST /sim/faults` | switches one on: `{"id":1}` |
//! | `DELETE /sim/faults/{id}`, `/sim/faults` | switches one or all off |
//! | `POST /sim/pause`, `/sim/resume` | whether the flow is paused now |
//! | `POST /sim/rate` | the flow's rate from now on: `{"events_per_second":5000}` |

use hyper::{Method, StatusCode};
use polypy_core::{AssetId, Level};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::config;
use crate::exchange::Exchange;
use crate::fault::{self, Fault, FaultError};
use crate::fault_table::FAULTS;
use crate::http::{Answer, Query, error, json_text, not_found, ok};
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
    body: &[u8],
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
        (&Method::POST, "rate") => set_rate(exchange, body),
        (&Method::GET, _) if rest.starts_with("book/") => book(exchange, &rest["book/".len()..]),
        (&Method::GET, "faults") => faults(exchange),
        (&Method::POST, "faults") => add_fault(exchange, body),
        (&Method::DELETE, "faults") => ok(&json!({ "removed": exchange.faults.clear() })),
        (&Method::DELETE, _) if rest.starts_with("faults/") => {
            remove_fault(exchange, &rest["faults/".len()..])
        }
        (_, "assets" | "stats" | "pause" | "resume" | "rate" | "faults") => {
            error(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
        }
        _ => not_found(),
    }
}

/// What is on, and what there is.
fn faults(exchange: &Exchange) -> Answer {
    let known: Vec<Value> = FAULTS
        .iter()
        .map(|info| {
            let parameters: Map<String, Value> = info
                .parameters
                .iter()
                .map(|parameter| (parameter.name.to_owned(), fault::default_value(parameter)))
                .collect();
            json!({
                "name": info.name,
                "scope": info.scope.name(),
                "target_fields": info.scope.target_fields(),
                "summary": info.summary,
                "parameters": parameters,
            })
        })
        .collect();
    let now = Instant::now();
    ok(&json!({
        "active": exchange.faults.list(&exchange.venue, exchange.sessions.keys(), now),
        "script": exchange.cues(now),
        "known": known,
    }))
}

fn add_fault(exchange: &mut Exchange, body: &[u8]) -> Answer {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return error(StatusCode::BAD_REQUEST, "body: not JSON");
    };
    let read =
        Fault::from_json(&body).and_then(|fault| match fault.unknown_assets(&exchange.venue) {
            Some(error) => Err(error),
            None => Ok(fault),
        });
    match read {
        Ok(fault) => ok(&json!({ "id": exchange.add_fault(fault, None) })),
        Err(FaultError { field, reason }) => {
            let body = json!({ "error": format!("{field}: {reason}"), "field": field });
            json_text(StatusCode::BAD_REQUEST, body.to_string())
        }
    }
}

fn remove_fault(exchange: &mut Exchange, id: &str) -> Answer {
    match id.parse::<u64>() {
        Ok(id) if exchange.faults.remove(id) => ok(&json!({ "removed": 1 })),
        Ok(_) => error(StatusCode::NOT_FOUND, "no such fault is on"),
        Err(_) => error(StatusCode::BAD_REQUEST, "id: not a number"),
    }
}

fn set_paused(exchange: &mut Exchange, paused: bool) -> Answer {
    exchange.paused = paused;
    exchange.wake.notify_one();
    ok(&json!({ "paused": paused }))
}

fn set_rate(exchange: &mut Exchange, body: &[u8]) -> Answer {
    let named: Option<Value> = serde_json::from_slice(body).ok();
    let rate = named.and_then(|body| body.get("events_per_second")?.as_f64());
    match rate.filter(|rate| config::check_rate(*rate).is_ok()) {
        Some(rate) => {
            exchange.set_rate(rate);
            ok(&json!({ "events_per_second": rate }))
        }
        None => error(
            StatusCode::BAD_REQUEST,
            "events_per_second: not a number from 0 to 10000000",
        ),
    }
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
