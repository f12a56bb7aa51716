//! `GET /markets`: the markets of which at least one token is subscribed.
//!
//! All of them by default. `limit` and `offset` cut a page out of the list in
//! the source's order, which may change between two requests.

use hyper::StatusCode;
use polypy_core::{ConditionId, DecimalText, Market, Timestamp, Token};
use serde::Serialize;

use crate::handler;
use crate::reply::Reply;
use crate::route::Call;
use crate::sources::Sources;

/// Largest accepted `limit` and `offset`: the venue lists some 46,500 active
/// markets, so this is "all" with room for growth.
const MOST: usize = 1_000_000;

pub(crate) const PARAMETERS: &[&str] = &["limit", "offset"];

#[derive(Serialize)]
struct Body<'a> {
    markets: Vec<Entry<'a>>,
    total: usize,
    offset: usize,
}

#[derive(Serialize)]
struct Entry<'a> {
    condition_id: &'a ConditionId,
    question: &'a str,
    outcomes: Vec<&'a str>,
    tokens: &'a [Token],
    end_date_iso: Option<&'a str>,
    end_timestamp: Option<Timestamp>,
    tick_size: Option<DecimalText>,
    min_order_size: Option<DecimalText>,
    neg_risk: bool,
}

impl<'a> Entry<'a> {
    fn new(market: &'a Market) -> Self {
        Self {
            condition_id: &market.condition_id,
            question: &market.question,
            outcomes: market
                .tokens
                .iter()
                .map(|token| token.outcome.as_str())
                .collect(),
            tokens: &market.tokens,
            end_date_iso: market.end_date_iso.as_deref(),
            end_timestamp: market.end_timestamp,
            tick_size: market.tick_size,
            min_order_size: market.min_order_size,
            neg_risk: market.neg_risk,
        }
    }
}

pub(crate) fn get(sources: &Sources, call: &Call) -> Reply {
    let page = call
        .query
        .number("limit", 1..=MOST)
        .and_then(|limit| Ok((limit, call.query.number("offset", 0..=MOST)?)));
    let (limit, offset) = match page {
        Ok((limit, offset)) => (limit.unwrap_or(MOST), offset.unwrap_or(0)),
        Err(error) => return handler::bad_query(&error, &call.request_id),
    };
    let Some(source) = &sources.markets else {
        return handler::absent("markets", &call.request_id);
    };
    let markets = source.markets();
    let body = Body {
        markets: markets
            .iter()
            .skip(offset)
            .take(limit)
            .map(|market| Entry::new(market))
            .collect(),
        total: markets.len(),
        offset,
    };
    Reply::json(StatusCode::OK, &body)
}
