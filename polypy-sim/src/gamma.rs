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
//! is false when omitted. A market is listed some time after its announcement
//! and closed some time after its settlement.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use hyper::StatusCode;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::exchange::Exchange;
use crate::fault_table::FaultKind;
use crate::gamma_row as row;
use crate::http::{Answer, Query, error, json_text, not_found, ok};
use crate::venue::{MarketState, Phase, TokenRef, Venue};

/// Most rows of a legacy page, whatever was asked.
const LEGACY_LIMIT: usize = 100;
/// Deepest offset of the legacy lists.
const MAX_OFFSET: usize = 2_000;
const DEFAULT_LIMIT: usize = 20;
const MARKETS_LIMIT: usize = 100;
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
enum List {
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
    let turn = Turn::take(exchange);
    let view = View::new(exchange, Instant::now());
    match (parts.next(), parts.next(), parts.next()) {
        (None, None, None) => legacy(&view, list, query),
        (Some("keyset"), None, None) => keyset(&view, list, query, turn),
        (Some("slug"), Some(slug), None) => single(&view, list, |market| match list {
            List::Markets => market.listing.slug == slug,
            List::Events => market.listing.event.slug == slug,
        }),
        (Some(id), None, None) => single(&view, list, |market| match list {
            List::Markets => market.listing.id.to_string() == id,
            List::Events => market.listing.event.id.to_string() == id,
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

/// What Gamma shows at one moment.
pub(crate) struct View<'a> {
    pub(crate) venue: &'a Venue,
    pub(crate) now: Instant,
    /// Markets that it wrongly calls closed, wherever it names them.
    wrong: HashSet<usize>,
    /// The same, in rows of lists of open ones.
    wrong_in_lists: HashSet<usize>,
    /// Tells the cursors of one page that comes again from each other.
    nonce: u32,
}

impl<'a> View<'a> {
    fn new(exchange: &'a mut Exchange, now: Instant) -> Self {
        let nonce = exchange.rng.u32(..);
        let (mut wrong, mut wrong_in_lists) = (HashSet::new(), HashSet::new());
        for active in exchange.faults.of(FaultKind::GammaCallsClosed) {
            let tokens = exchange.venue.tokens();
            let hit = tokens.filter(|(place, _)| active.hits_asset(*place));
            let markets = hit.map(|(place, _)| place.market);
            if active.fault.flag("in_open_lists") {
                wrong_in_lists.extend(markets);
            } else {
                wrong.extend(markets);
            }
            active.struck();
        }
        Self {
            venue: &exchange.venue,
            now,
            wrong,
            wrong_in_lists,
            nonce,
        }
    }

    /// Whether Gamma takes a market for closed.
    pub(crate) fn is_closed(&self, market: usize) -> bool {
        self.wrong.contains(&market) || is_closed(&self.venue.markets[market], self.now)
    }
}

fn validation_error(message: &str) -> Answer {
    let body = json!({ "type": "validation error", "error": message });
    json_text(StatusCode::UNPROCESSABLE_ENTITY, body.to_string())
}

/// Whether Gamma calls a market closed by now.
fn is_closed(market: &MarketState, now: Instant) -> bool {
    match market.phase {
        Phase::Trading => false,
        Phase::Settled { closed_at, .. } => now >= closed_at,
    }
}

fn single(view: &View<'_>, list: List, matches: impl Fn(&MarketState) -> bool) -> Answer {
    let found = view
        .venue
        .markets
        .iter()
        .position(|market| view.now >= market.listed_at && matches(market));
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
        if is_open_list && view.wrong_in_lists.contains(market) {
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

/// A row's place in the order asked for: its key (descending keys are
/// complemented) and its market.
type Position = (u64, usize);

/// Opaque to clients: the filters' digest and the last row's position; behind
/// that may stand what tells two cursors to one page from each other.
fn write_cursor((key, market): Position, binding: u64) -> String {
    format!("{binding:016x}{key:016x}{market:08x}")
}

fn read_cursor(cursor: &str, binding: u64) -> Option<Position> {
    if !matches!(cursor.len(), 40 | 48) || !cursor.is_ascii() {
        return None;
    }
    let bound = u64::from_str_radix(&cursor[..16], 16).ok()?;
    let key = u64::from_str_radix(&cursor[16..32], 16).ok()?;
    let market = usize::from_str_radix(&cursor[32..40], 16).ok()?;
    (bound == binding).then_some((key, market))
}

/// Which rows, and in which order.
#[derive(Debug, Default, Hash)]
struct Filter {
    closed: Option<bool>,
    neg_risk: Option<bool>,
    condition_ids: Vec<String>,
    clob_token_ids: Vec<String>,
    ids: Vec<String>,
    slugs: Vec<String>,
    order: Order,
    descending: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
enum Order {
    #[default]
    Id,
    Volume,
    Liquidity,
    Created,
    End,
}

impl Filter {
    fn parse(query: &Query, closed: Option<bool>) -> Result<Self, String> {
        let flag = |key: &str| match query.get(key) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(format!("invalid {key}")),
        };
        let list = |key| query.all(key).map(str::to_owned).collect::<Vec<_>>();
        let order = match query.get("order") {
            None | Some("id") => Order::Id,
            Some("volumeNum" | "volume24hr") => Order::Volume,
            Some("liquidityNum") => Order::Liquidity,
            Some("createdAt" | "startDate") => Order::Created,
            Some("endDate") => Order::End,
            Some(_) => return Err("order fields are not valid".to_owned()),
        };
        let filter = Self {
            closed: flag("closed")?.or(closed),
            neg_risk: flag("neg_risk")?,
            condition_ids: list("condition_ids"),
            clob_token_ids: list("clob_token_ids"),
            ids: list("id"),
            slugs: list("slug"),
            order,
            descending: flag("ascending")? == Some(false),
        };
        if filter.condition_ids.len() > MARKETS_LIMIT {
            return Err("condition_ids: at most 100".to_owned());
        }
        Ok(filter)
    }

    fn binding(&self, list: List) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        (list == List::Events).hash(&mut hasher);
        hasher.finish()
    }

    /// The rows that match, in order. Of an event's markets the first that
    /// matches stands for the event.
    fn select(&self, view: &View<'_>, list: List) -> Vec<Position> {
        let venue = view.venue;
        let mut named: HashSet<usize> = self
            .condition_ids
            .iter()
            .filter_map(|id| venue.find_condition(id))
            .collect();
        named.extend(
            self.clob_token_ids
                .iter()
                .filter_map(|id| venue.find(id))
                .map(|place| place.market),
        );
        let candidates: Vec<usize> = if self.is_by_name() {
            named.into_iter().collect()
        } else {
            (0..venue.markets.len()).collect()
        };
        let mut selected: Vec<Position> = candidates
            .into_iter()
            .filter(|&market| self.matches(view, market, list))
            .map(|market| (self.key(&venue.markets[market]), market))
            .collect();
        if list == List::Events {
            selected.sort_unstable_by_key(|(_, market)| *market);
            let mut seen = HashSet::new();
            selected.retain(|(_, market)| seen.insert(venue.markets[*market].listing.event.id));
        }
        selected.sort_unstable();
        selected
    }

    /// Whether it names the markets that are wanted.
    fn is_by_name(&self) -> bool {
        !self.condition_ids.is_empty() || !self.clob_token_ids.is_empty()
    }

    fn matches(&self, view: &View<'_>, market: usize, list: List) -> bool {
        let state = &view.venue.markets[market];
        let listing = &state.listing;
        let (id, slug) = match list {
            List::Markets => (listing.id, &listing.slug),
            List::Events => (listing.event.id, &listing.event.slug),
        };
        view.now >= state.listed_at
            && self
                .closed
                .is_none_or(|closed| closed == view.is_closed(market))
            && self
                .neg_risk
                .is_none_or(|neg_risk| neg_risk == listing.neg_risk)
            && (self.ids.is_empty() || self.ids.contains(&id.to_string()))
            && (self.slugs.is_empty() || self.slugs.contains(slug))
    }

    fn key(&self, market: &MarketState) -> u64 {
        let listing = &market.listing;
        let key = match self.order {
            Order::Id => listing.id,
            Order::Volume => listing.volume,
            Order::Liquidity => listing.liquidity,
            Order::Created => listing.created.millis(),
            Order::End => listing.end.millis(),
        };
        if self.descending { u64::MAX - key } else { key }
    }
}

#[cfg(test)]
#[path = "gamma_tests.rs"]
mod tests;
