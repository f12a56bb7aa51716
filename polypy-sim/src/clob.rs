//! CLOB REST: the books and what is derived from them.
//!
//! | route | answer |
//! |---|---|
//! | `GET /book?token_id=` | the whole book; 404 for settled and unknown tokens |
//! | `POST /books` | an array; settled and unknown tokens are left out |
//! | `GET /midpoint`, `/price?side=`, `/spread`, `/last-trade-price` | one figure |
//! | `GET /tick-size`, `/neg-risk` | one property |
//! | `GET /time`, `/ok` | Unix seconds; `"OK"` |

use hyper::{Method, StatusCode};
use polypy_core::{Price, Side};
use serde::Deserialize;
use serde_json::json;

use crate::exchange::Exchange;
use crate::fault_kind::FaultKind;
use crate::http::{Answer, Query, error, json_text, ok};
use crate::render;
use crate::venue::{MarketState, TokenRef};

/// Most tokens of one `POST /books`.
const BATCH_LIMIT: usize = 500;

const NO_BOOK: &str = "No orderbook exists for the requested token id";

/// Whether a path is one of CLOB's.
pub(crate) fn owns(path: &str) -> bool {
    matches!(
        path,
        "/book"
            | "/books"
            | "/midpoint"
            | "/price"
            | "/spread"
            | "/last-trade-price"
            | "/tick-size"
            | "/neg-risk"
            | "/time"
            | "/ok"
    )
}

/// Answers a request for one of CLOB's paths.
pub(crate) fn answer(
    exchange: &mut Exchange,
    method: &Method,
    path: &str,
    query: &Query,
    body: &[u8],
) -> Answer {
    match (method, path) {
        (&Method::POST, "/books") => books(exchange, body),
        // The venue's own words for a plural end point asked by GET.
        (_, "/books") => error(StatusCode::BAD_REQUEST, "Invalid payload"),
        (&Method::GET, "/time") => ok(&json!(exchange.clock.now().millis() / 1_000)),
        (&Method::GET, "/ok") => ok(&json!("OK")),
        (&Method::GET, _) => of_token(exchange, path, query),
        _ => error(StatusCode::METHOD_NOT_ALLOWED, "method not allowed"),
    }
}

fn of_token(exchange: &mut Exchange, path: &str, query: &Query) -> Answer {
    let Some(token_id) = query.get("token_id").filter(|id| !id.is_empty()) else {
        return error(StatusCode::BAD_REQUEST, "Invalid token id");
    };
    let denied = |place: &TokenRef| {
        let strike = || exchange.faults.on_place(FaultKind::ClobDenies, *place);
        path == "/book" && strike().is_some()
    };
    let Some(place) = live(exchange, token_id).filter(|place| !denied(place)) else {
        let message = if path == "/tick-size" {
            "market not found"
        } else {
            NO_BOOK
        };
        return error(StatusCode::NOT_FOUND, message);
    };
    if path == "/book" {
        return match exchange.rest_book(place) {
            Some(text) => json_text(StatusCode::OK, text),
            None => error(StatusCode::NOT_FOUND, NO_BOOK),
        };
    }
    figure(
        &exchange.venue.markets[place.market],
        place.outcome,
        path,
        query,
    )
}

fn figure(market: &MarketState, outcome: usize, path: &str, query: &Query) -> Answer {
    let token = &market.tokens[outcome];
    let book = &token.book;
    let at = |side| match side {
        Side::Bid => book.best_bid().map_or(Price::ZERO, |level| level.price),
        Side::Ask => book.best_ask().map_or(Price::ONE, |level| level.price),
    };
    match path {
        "/midpoint" => match book.mid() {
            Some(mid) => ok(&json!({ "mid": mid })),
            None => error(StatusCode::NOT_FOUND, NO_BOOK),
        },
        "/spread" => match book.spread() {
            Some(spread) => ok(&json!({ "spread": spread })),
            None => error(StatusCode::NOT_FOUND, NO_BOOK),
        },
        "/price" => match query.get("side").map(str::to_ascii_uppercase).as_deref() {
            Some("BUY") => ok(&json!({ "price": at(Side::Bid) })),
            Some("SELL") => ok(&json!({ "price": at(Side::Ask) })),
            _ => error(StatusCode::BAD_REQUEST, "Invalid side"),
        },
        "/last-trade-price" => {
            let price = match market.last_trade_price.as_str() {
                "" => "0.5",
                price => price,
            };
            let side = market.last_trade_side.map_or("", render::side_name);
            ok(&json!({ "price": price, "side": side }))
        }
        "/tick-size" => {
            // A JSON number, written exactly as the text.
            let tick = market.tick_size;
            json_text(StatusCode::OK, format!("{{\"minimum_tick_size\":{tick}}}"))
        }
        "/neg-risk" => ok(&json!({ "neg_risk": market.listing.neg_risk })),
        _ => error(StatusCode::NOT_FOUND, "not found"),
    }
}

#[derive(Deserialize)]
struct Wanted {
    token_id: String,
}

fn books(exchange: &mut Exchange, body: &[u8]) -> Answer {
    let wanted: Vec<Wanted> = match serde_json::from_slice(body) {
        Ok(wanted) => wanted,
        Err(_) => return error(StatusCode::BAD_REQUEST, "Invalid payload"),
    };
    if wanted.len() > BATCH_LIMIT {
        return error(StatusCode::BAD_REQUEST, "Payload exceeds the limit");
    }
    let named: Vec<TokenRef> = wanted
        .iter()
        .filter_map(|wanted| exchange.venue.find(&wanted.token_id))
        .collect();
    let refused = exchange.refuses_batch(
        FaultKind::ClobBatch,
        FaultKind::ClobPoisoned,
        wanted.len(),
        &named,
    );
    if let Some(status) = refused {
        return error(status, "fault");
    }
    let mut text = String::from("[");
    for Wanted { token_id } in wanted {
        let Some(place) = live(exchange, &token_id) else {
            continue;
        };
        let denied = exchange.faults.on_place(FaultKind::ClobDenies, place);
        if denied.is_some() {
            continue;
        }
        if let Some(book) = exchange.rest_book(place) {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&book);
        }
    }
    text.push(']');
    json_text(StatusCode::OK, text)
}

fn live(exchange: &Exchange, token_id: &str) -> Option<TokenRef> {
    let place = exchange.venue.find(token_id)?;
    exchange.venue.markets[place.market]
        .is_live()
        .then_some(place)
}
