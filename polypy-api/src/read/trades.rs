//! `/v1/trades/{token_id}` and `/v1/trades?market=`: the newest trades of a token, or of
//! both tokens of a market.

use std::cmp::Reverse;
use std::sync::Arc;

use polypy_core::{LastTrade, Price, Side, Size, TradeKept, TradesLookup, TradesView};
use polypy_http::{Answer, Call, Kind, Parameter, Reply, Route, StatusCode};
use serde::Serialize;

use super::book::{NOT_MODIFIED, token_id};
use super::tag::Tagging;
use super::{Reads, has_it, not_modified, with_etag};
use crate::anchor::Anchor;

const OF_TOKEN: &str = "the newest trades of a token, numbered";
const OF_MARKET: &str = "the newest trades of a market's tokens, numbered by token";
/// Most trades that can be asked for: as many as can be kept of a token.
const MOST_TRADES: usize = 1_000;
/// Trades of a market that are written on the event loop at most, some tens of microseconds.
const QUICK_TRADES: usize = 100;
/// Longer lists written at once.
const THREADS: u32 = 2;
/// Bytes of a condition id or slug.
const LONGEST_NAME: usize = 512;
const LIMIT: Parameter = Parameter::new(
    "limit",
    Kind::Whole {
        least: 1,
        most: MOST_TRADES,
    },
    "trades at most",
);
const TOKEN_PARAMETERS: &[Parameter] = &[LIMIT.or("all that are kept")];
const MARKET_PARAMETERS: &[Parameter] = &[
    Parameter::new(
        "market",
        Kind::Text { most: LONGEST_NAME },
        "condition id or slug of the market; has to be given",
    )
    .like("^.+$")
    .required(),
    LIMIT.or("1000"),
];
const UNKNOWN: Answer = Answer::error(404, "unknown, or listed and not followed");

/// The routes.
pub(super) fn routes(reads: &Arc<Reads>) -> [Route; 2] {
    let (token, quick, whole) = (Arc::clone(reads), Arc::clone(reads), Arc::clone(reads));
    [
        Route::kept(
            "/v1/trades",
            OF_MARKET,
            THREADS,
            move |call| (limit(call) <= QUICK_TRADES).then(|| quick.market_trades(call)),
            move |call| whole.market_trades(call),
        )
        .with_parameters(MARKET_PARAMETERS)
        .answers(
            const {
                &[
                    Answer::json("market_trades", "the trades, the newest first"),
                    NOT_MODIFIED,
                    UNKNOWN,
                ]
            },
        ),
        Route::get("/v1/trades/{token_id}", OF_TOKEN, move |call| {
            token.token_trades(call)
        })
        .with_parameters(TOKEN_PARAMETERS)
        .answers(
            const {
                &[
                    Answer::json("trades", "the trades, the newest first"),
                    NOT_MODIFIED,
                    UNKNOWN,
                ]
            },
        ),
    ]
}

/// A trade in an answer.
#[derive(Serialize)]
pub(super) struct Traded {
    price: Price,
    size: Size,
    aggressor_side: Option<&'static str>,
    ts_event_ms: u64,
}

impl From<LastTrade> for Traded {
    fn from(trade: LastTrade) -> Self {
        Self {
            price: trade.price,
            size: trade.size,
            aggressor_side: trade.side.map(|side| match side {
                Side::Bid => "BUY",
                Side::Ask => "SELL",
            }),
            ts_event_ms: trade.timestamp.millis(),
        }
    }
}

#[derive(Serialize)]
struct OfToken<'a> {
    token_id: &'a str,
    condition_id: Option<&'a str>,
    outcome: Option<&'a str>,
    trade_sequence: u64,
    trades: Vec<Numbered>,
}

#[derive(Serialize)]
struct OfMarket<'a> {
    condition_id: &'a str,
    question: &'a str,
    slug: Option<&'a str>,
    tokens: Vec<Counted<'a>>,
    trades: Vec<Told<'a>>,
}

/// A token of a market, and how many trades of it there were.
#[derive(Serialize)]
struct Counted<'a> {
    token_id: &'a str,
    outcome: &'a str,
    trade_sequence: u64,
}

#[derive(Serialize)]
struct Told<'a> {
    token_id: &'a str,
    outcome: &'a str,
    #[serde(flatten)]
    trade: Numbered,
}

#[derive(Serialize)]
struct Numbered {
    trade_sequence: u64,
    #[serde(flatten)]
    trade: Traded,
    ts_event: String,
    ts_recv_us: u64,
}

impl Numbered {
    fn new(kept: &TradeKept, anchor: Anchor) -> Self {
        Self {
            trade_sequence: kept.sequence,
            trade: Traded::from(kept.trade),
            ts_event: kept.trade.timestamp.to_string(),
            ts_recv_us: anchor.micros(kept.received),
        }
    }
}

impl Reads {
    fn token_trades(&self, call: &Call) -> Reply {
        let limit = call.query().whole("limit").unwrap_or(MOST_TRADES);
        let token_id = match token_id(call) {
            Ok(token_id) => token_id,
            Err(refusal) => return *refusal,
        };
        let view = match self.books.trades(token_id, limit) {
            TradesLookup::Found(view) => view,
            TradesLookup::Unknown => return self.without_token(token_id).reply(call),
        };
        let named = self.names(token_id);
        let mut tag = Tagging::new(self.instance);
        add(&mut tag, &view);
        tag.add_market(named.market.as_deref(), None);
        let etag = tag.finish();
        if has_it(call.headers(), &etag) {
            return not_modified(&etag);
        }
        let anchor = self.anchor();
        let trades = view.trades.iter();
        let body = OfToken {
            token_id,
            condition_id: named.condition_id(),
            outcome: named.outcome(),
            trade_sequence: view.sequence,
            trades: trades.map(|kept| Numbered::new(kept, anchor)).collect(),
        };
        with_etag(Reply::json(StatusCode::OK, &body), &etag)
    }

    fn market_trades(&self, call: &Call) -> Reply {
        let limit = limit(call);
        let named = call.query().text("market");
        let Some(name) = named.filter(|name| !name.is_empty()) else {
            let text = "market: name one by its condition id or slug";
            return call.bad_parameter("market", text);
        };
        let entry = match self.market(name) {
            Ok(entry) => entry,
            Err(missing) => return missing.reply(call),
        };
        let market = &*entry.market;
        let tokens = market.tokens.iter().map(|token| {
            let view = match self.books.trades(token.token_id.as_str(), limit) {
                TradesLookup::Found(view) => view,
                // Forgotten a moment ago.
                TradesLookup::Unknown => TradesView {
                    key_life: 0,
                    sequence: 0,
                    trades: Vec::new(),
                },
            };
            (token, view)
        });
        let tokens: Vec<_> = tokens.collect();
        let mut tag = Tagging::new(self.instance);
        tag.add_market(Some(market), None);
        for (_, view) in &tokens {
            add(&mut tag, view);
        }
        let etag = tag.finish();
        if has_it(call.headers(), &etag) {
            return not_modified(&etag);
        }
        let anchor = self.anchor();
        let all = tokens.iter().flat_map(|(token, view)| {
            let trades = view.trades.iter();
            trades.map(move |kept| (*token, kept))
        });
        let mut all: Vec<_> = all.collect();
        // Stable, and each token's are in order: what came at one moment stays so.
        all.sort_by_key(|(_, kept)| Reverse(kept.received));
        all.truncate(limit);
        let body = OfMarket {
            condition_id: market.condition_id.as_str(),
            question: &market.question,
            slug: market.slug.as_deref(),
            tokens: tokens
                .iter()
                .map(|(token, view)| Counted {
                    token_id: token.token_id.as_str(),
                    outcome: &token.outcome,
                    trade_sequence: view.sequence,
                })
                .collect(),
            trades: all
                .into_iter()
                .map(|(token, kept)| Told {
                    token_id: token.token_id.as_str(),
                    outcome: &token.outcome,
                    trade: Numbered::new(kept, anchor),
                })
                .collect(),
        };
        with_etag(Reply::json(StatusCode::OK, &body), &etag)
    }
}

fn limit(call: &Call) -> usize {
    call.query().whole("limit").unwrap_or(MOST_TRADES)
}

/// The trades of one token: how many there were, and as far as they go back.
fn add(tag: &mut Tagging, view: &TradesView) {
    let oldest = view.trades.last().map_or(0, |trade| trade.sequence);
    tag.add((view.key_life, oldest, view.sequence));
}
