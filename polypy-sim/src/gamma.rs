//! Gamma REST: which markets and events there are.
//!
//! | route | answer |
//! |---|---|
//! | `GET /markets`, `/events` | an array; `limit` is clamped to 100, `offset` above 2000 is 422 |
//! | `GET /markets/keyset` | `{"markets":[..],"next_cursor":".."}`, `limit` 1 to 100, default 20; `offset` is 422 |
//! | `GET /events/keyset` | the same with `events`, `limit` up to 500 |
//! | `GET /markets/{id}`, `/markets/slug/{slug}`, and so for events | one object |
//! | `GET /status` | `"OK"` |
//!
//! A page is continued by `after_cursor`, which is bound to the filters it was
//! made for; `next_cursor` is absent on the last page; `cursor` and
//! `next_cursor` as parameters are ignored, as every unknown one is. `closed`
//! is false when omitted. Markets state their tags only where `include_tag` is
//! true; events always do. A market is listed some time after its announcement
//! and closed some time after its settlement.

use hyper::StatusCode;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::exchange::Exchange;
use crate::fault_kind::FaultKind;
use crate::gamma_filter::{Filter, Position, read_cursor, write_cursor};
use crate::gamma_row as row;
use crate::gamma_view::View;
use crate::http::{Answer, Query, error, json_text, not_found, ok};
use crate::venue::{TokenRef, Venue};

/// Most rows of a legacy page, whatever was asked.
const LEGACY_LIMIT: usize = 100;
/// Deepest offset of the legacy lists.
const MAX_OFFSET: usize = 2_000;
const DEFAULT_LIMIT: usize = 20;
pub(crate) const MARKETS_LIMIT: usize = 100;
const EVENTS_LIMIT: usize = 500;

/// Whether a path is one of Gamma's.
pub(crate) fn owns(path: &str) -> bool {
    path == "/status"
        || ["/markets", "/events"].iter().any(|list| {
            path.strip_prefix(list)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
}

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    Markets,
    Events,
}

/// Answers a request for one of Gamma's paths.
pub(crate) fn answer(exchange: &mut Exchange, path: &str, query: &Query) -> Answer {
    if path == "/status" {
        return ok(&json!("OK"));
    }
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let list = match parts.next() {
        Some("events") => List::Events,
        _ => List::Markets,
    };
    let by_name = Named::read(&exchange.venue, query);
    let refused = exchange.refuses_batch(
        FaultKind::GammaBatch,
        FaultKind::GammaPoisoned,
        by_name.ids,
        &by_name.tokens,
    );
    if let Some(status) = refused {
        return error(status, "fault");
    }
    let has_tags = match query.get("include_tag") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return validation_error("invalid include_tag"),
    };
    if has_tags && let Some(status) = exchange.refuses(FaultKind::GammaRefusesTag) {
        return error(status, "fault");
    }
    let turn = Turn::take(exchange);
    let view = View::new(exchange, Instant::now(), has_tags);
    match (parts.next(), parts.next(), parts.next()) {
        (None, None, None) => legacy(&view, list, query),
        (Some("keyset"), None, None) => keyset(&view, list, query, turn),
        (Some("slug"), Some(slug), None) => single(&view, list, |market| match list {
            List::Markets => view.slug(market) == slug,
            List::Events => view.venue.markets[market].listing.event.slug == slug,
        }),
        (Some(id), None, None) => single(&view, list, |market| {
            let listing = &view.venue.markets[market].listing;
            match list {
                List::Markets => listing.id.to_string() == id,
                List::Events => listing.event.id.to_string() == id,
            }
        }),
        _ => not_found(),
    }
}

/// The markets that a request asks for by name.
struct Named {
    /// Ids in the request, unknown ones included.
    ids: usize,
    /// The tokens of the markets they name.
    tokens: Vec<TokenRef>,
}

impl Named {
    fn read(venue: &Venue, query: &Query) -> Self {
        let conditions = query.all("condition_ids");
        let by_condition = conditions.filter_map(|id| venue.find_condition(id));
        let tokens = query.all("clob_token_ids");
        let by_token = tokens.filter_map(|id| Some(venue.find(id)?.market));
        let tokens = by_condition.chain(by_token).flat_map(|market| {
            let outcomes = 0..venue.markets[market].tokens.len();
            outcomes.map(move |outcome| TokenRef { market, outcome })
        });
        Self {
            ids: query.all("condition_ids").count() + query.all("clob_token_ids").count(),
            tokens: tokens.collect(),
        }
    }
}

/// What a fault makes of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Nothing.
    Right,
    /// Its cursor is always that of page one.
    Stuck,
    /// It is empty, and comes under its next cursor.
    Empty,
    /// It comes again under its next cursor.
    Again,
}

impl Turn {
    fn take(exchange: &mut Exchange) -> Self {
        let turns = [
            (FaultKind::GammaStuckCursor, Self::Stuck),
            (FaultKind::GammaEmptyPage, Self::Empty),
            (FaultKind::GammaRepeatedPage, Self::Again),
        ];
        let turn = turns
            .into_iter()
            .find(|(kind, _)| exchange.refuses(*kind).is_some());
        turn.map_or(Self::Right, |(_, turn)| turn)
    }
}

fn validation_error(message: &str) -> Answer {
    let body = json!({ "type": "validation error", "error": message });
    json_text(StatusCode::UNPROCESSABLE_ENTITY, body.to_string())
}

fn single(view: &View<'_>, list: List, matches: impl Fn(usize) -> bool) -> Answer {
    let mut all = 0..view.venue.markets.len();
    let found = all.find(|market| view.is_listed(*market) && matches(*market));
    match found {
        Some(market) => ok(&one(view, list, market)),
        None => not_found(),
    }
}

fn one(view: &View<'_>, list: List, market: usize) -> Value {
    match list {
        List::Markets => row::market(view, market),
        List::Events => row::event(view, market),
    }
}

fn legacy(view: &View<'_>, list: List, query: &Query) -> Answer {
    let number = |key, default| match query.get(key) {
        None => Ok(default),
        Some(text) => text.parse::<usize>().map_err(|_not_a_number| key),
    };
    let (limit, offset) = match (number("limit", DEFAULT_LIMIT), number("offset", 0)) {
        (Ok(limit), Ok(offset)) => (limit.min(LEGACY_LIMIT), offset),
        (Err(key), _) | (_, Err(key)) => return validation_error(&format!("invalid {key}")),
    };
    if offset > MAX_OFFSET {
        let message = match list {
            List::Markets => "offset too large, use /markets/keyset for deeper pagination",
            List::Events => "offset too large, use /events/keyset for deeper pagination",
        };
        return validation_error(message);
    }
    let filter = match Filter::parse(query, None) {
        Ok(filter) => filter,
        Err(message) => return validation_error(&message),
    };
    let rows: Vec<Value> = filter
        .select(view, list)
        .into_iter()
        .skip(offset)
        .take(limit)
        .map(|(_, market)| one(view, list, market))
        .collect();
    ok(&Value::Array(rows))
}

fn keyset(view: &View<'_>, list: List, query: &Query, turn: Turn) -> Answer {
    let (name, most) = match list {
        List::Markets => ("markets", MARKETS_LIMIT),
        List::Events => ("events", EVENTS_LIMIT),
    };
    if query.get("offset").is_some() {
        return validation_error("offset is not supported, use after_cursor");
    }
    let limit = match query.get("limit").map(str::parse::<usize>) {
        None => DEFAULT_LIMIT,
        Some(Ok(limit)) if limit >= 1 => limit.min(most),
        Some(_) => return validation_error("invalid limit"),
    };
    let filter = match Filter::parse(query, Some(false)) {
        Ok(filter) => filter,
        Err(message) => return validation_error(&message),
    };
    let binding = filter.binding(list);
    let after = match query
        .get("after_cursor")
        .filter(|cursor| !cursor.is_empty())
    {
        None => None,
        Some(cursor) => match read_cursor(cursor, binding) {
            Some(after) => Some(after),
            None => return validation_error("invalid after_cursor"),
        },
    };
    let selected = filter.select(view, list);
    let start = after.map_or(0, |after| {
        selected.partition_point(|position| *position <= after)
    });
    let page = &selected[start..selected.len().min(start + limit)];
    let is_open_list = filter.closed == Some(false) && !filter.is_by_name();
    let row = |(_, market): &Position| {
        let mut row = one(view, list, *market);
        if is_open_list && view.is_closed_in_lists(*market) {
            row["closed"] = true.into();
        }
        row
    };
    let is_last = start + page.len() >= selected.len();
    let after_page = page.last().filter(|_| !is_last);
    let (rows, next) = match (turn, after) {
        (Turn::Stuck, _) => (page, selected[..selected.len().min(limit)].last()),
        // Of a first page there is no cursor that leads to it.
        (Turn::Empty, Some(_)) => (&[][..], after.as_ref()),
        (Turn::Again, Some(_)) => (page, after.as_ref()),
        (Turn::Right | Turn::Empty | Turn::Again, _) => (page, after_page),
    };
    let mut body = Map::new();
    let rows = rows.iter().map(row).collect();
    body.insert(name.to_owned(), Value::Array(rows));
    if let Some(next) = next {
        let mut cursor = write_cursor(*next, binding);
        if matches!(turn, Turn::Empty | Turn::Again) && after == Some(*next) {
            cursor.push_str(&format!("{:08x}", view.nonce));
        }
        body.insert("next_cursor".to_owned(), cursor.into());
    }
    ok(&Value::Object(body))
}

#[cfg(test)]
#[path = "gamma_tests.rs"]
mod tests;
