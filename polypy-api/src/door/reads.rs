//! `/v1/books/{token_id}` and `/v1/trades/{token_id}`: a book at a moment and its newest
//! trades, with what they are of, and an `ETag` by which a client that has them already is
//! spared the rest.
//!
//! | the token is | status |
//! |---|---|
//! | no 1 to 78 decimal digits | 400 |
//! | unknown, or was over before a snapshot came | 404 |
//! | known, without a snapshot yet | 503, `Retry-After`; no trades |
//! | kept, and the client has this very answer | 304 |
//! | kept | 200 |
//!
//! All times are moments and no ages: two answers of one `ETag` are equal.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use polypy_core::{
    AssetId, BookLookup, BookSource, BookState, BookView, CatalogueSource, Clock, DecimalText,
    IdError, LastTrade, Level, Market, Price, Selector, Side, SignedDecimal, Size, StaleReason,
    Timestamp, TokenInfo, TradesLookup,
};
use polypy_http::header::{CACHE_CONTROL, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use polypy_http::{Call, QueryError, Reply, Route, StatusCode};
use serde::Serialize;

use crate::anchor::Anchor;

const BOOK: &str = "one book with all its levels, its market, and an ETag";
const BOOK_PARAMETERS: &[&str] = &["depth"];
const TRADES: &str = "the newest trades of a token, numbered";
const TRADES_PARAMETERS: &[&str] = &["limit"];
/// Most trades that can be asked for: as many as can be kept.
const MOST_TRADES: usize = 1_000;
const UNKNOWN: &str = "unknown token; /markets lists those that are followed";
/// Most levels that can be asked for: the finest grid has 9,999 prices.
const MOST_DEPTH: usize = 10_000;
/// Up to so many levels a side are written on the event loop, some tens of microseconds.
const QUICK_DEPTH: usize = 100;
/// Whole books written at once.
const THREADS: u32 = 2;
/// When a book without a snapshot is worth asking for again.
const RETRY_SECONDS: u32 = 1;
/// A cache may keep the answer, and has to ask whether it is the newest.
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// Where the answers come from.
pub(super) struct Reads {
    books: Arc<dyn BookSource>,
    catalogue: Arc<dyn CatalogueSource>,
    clock: Arc<dyn Clock>,
    anchor: Mutex<Anchor>,
    /// This process: another one counts from the start.
    instance: u64,
}

impl Reads {
    pub(super) fn new(
        books: Arc<dyn BookSource>,
        catalogue: Arc<dyn CatalogueSource>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            books,
            catalogue,
            anchor: Mutex::new(Anchor::new(&*clock, Instant::now())),
            clock,
            instance: fastrand::u64(..),
        }
    }
}

/// The routes.
pub(super) fn routes(reads: &Arc<Reads>) -> [Route; 2] {
    let (quick, whole, trades) = (Arc::clone(reads), Arc::clone(reads), Arc::clone(reads));
    [
        Route::kept(
            "/v1/books/{token_id}",
            BOOK,
            THREADS,
            move |call| quick.ready(call),
            move |call| whole.answer(call),
        )
        .with_parameters(BOOK_PARAMETERS),
        Route::get("/v1/trades/{token_id}", TRADES, move |call| {
            trades.trades(call)
        })
        .with_parameters(TRADES_PARAMETERS),
    ]
}

#[derive(Serialize)]
struct Book<'a> {
    token_id: &'a AssetId,
    condition_id: Option<String>,
    outcome: Option<&'a str>,
    /// The market's other token.
    complement: Option<&'a AssetId>,
    question: Option<&'a str>,
    slug: Option<&'a str>,
    event_slug: Option<&'a str>,
    winner: Option<&'a AssetId>,
    state: &'static str,
    reason: Option<StaleReason>,
    verified: Option<bool>,
    since_ms: u64,
    since: String,
    epoch: u64,
    sequence: u64,
    revision: u32,
    ts_event_ms: u64,
    ts_event: String,
    ts_recv_us: u64,
    tick_size: Option<DecimalText>,
    hash: Option<String>,
    depth: Option<usize>,
    bid_levels: usize,
    ask_levels: usize,
    spread: Option<SignedDecimal>,
    mid_price: Option<SignedDecimal>,
    last_trade: Option<Traded>,
    bids: Vec<(Price, Size)>,
    asks: Vec<(Price, Size)>,
}

#[derive(Serialize)]
struct Traded {
    price: Price,
    size: Size,
    aggressor_side: Option<&'static str>,
    ts_event_ms: u64,
}

#[derive(Serialize)]
struct Trades<'a> {
    token_id: &'a str,
    condition_id: Option<String>,
    outcome: Option<&'a str>,
    trade_sequence: u64,
    trades: Vec<Numbered>,
}

#[derive(Serialize)]
struct Numbered {
    trade_sequence: u64,
    #[serde(flatten)]
    trade: Traded,
    ts_event: String,
    ts_recv_us: u64,
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

impl Reads {
    /// What is answered without waiting: everything but long books.
    fn ready(&self, call: &Call) -> Option<Reply> {
        let depth = match depth(call) {
            Ok(depth) => depth,
            Err(refusal) => return Some(*refusal),
        };
        if depth.is_some_and(|depth| depth <= QUICK_DEPTH) {
            return Some(self.answer(call));
        }
        // Without its levels a book says whether it has many, and whether the client has it.
        match self.books.book(call.segment("token_id"), 0) {
            BookLookup::Found(view) if view.state != BookState::Pending => {
                let is_short = view.bid_levels.max(view.ask_levels) <= QUICK_DEPTH;
                let unchanged = || has_it(call.headers(), &self.etag(&view));
                if unchanged() {
                    return Some(not_modified(&self.etag(&view)));
                }
                is_short.then(|| self.answer(call))
            }
            _ => Some(self.answer(call)),
        }
    }

    fn answer(&self, call: &Call) -> Reply {
        let depth = match depth(call) {
            Ok(depth) => depth,
            Err(refusal) => return *refusal,
        };
        let token_id = match token_id(call) {
            Ok(token_id) => token_id,
            Err(refusal) => return *refusal,
        };
        let not_yet = || {
            let text = "no snapshot of this book has arrived yet";
            call.error(StatusCode::SERVICE_UNAVAILABLE, text)
                .with_retry_after(RETRY_SECONDS)
        };
        let view = match self.books.book(token_id, depth.unwrap_or(MOST_DEPTH)) {
            BookLookup::Found(view) if view.state != BookState::Pending => view,
            BookLookup::Found(_) | BookLookup::Pending | BookLookup::Requested => return not_yet(),
            BookLookup::Unknown => return call.error(StatusCode::NOT_FOUND, UNKNOWN),
            BookLookup::Ended => {
                let text = "the market is over, and no snapshot of this book ever arrived";
                return call.error(StatusCode::NOT_FOUND, text);
            }
        };
        let etag = self.etag(&view);
        if has_it(call.headers(), &etag) {
            return not_modified(&etag);
        }
        with_etag(self.found(&view, depth), &etag)
    }

    /// What the catalogue knows of a token, and its market.
    fn names(&self, token_id: &str) -> (Option<TokenInfo>, Option<Arc<Market>>) {
        let keys = self.catalogue.resolve(&Selector::Token(token_id.into()));
        let key = keys.first().copied();
        let token = key.and_then(|key| self.catalogue.token(key));
        (token, key.and_then(|key| self.catalogue.market(key)))
    }

    fn anchor(&self) -> Anchor {
        let mut anchor = self.anchor.lock();
        anchor.renew(&*self.clock, Instant::now());
        *anchor
    }

    fn trades(&self, call: &Call) -> Reply {
        let limit = match call.query().number("limit", 1..=MOST_TRADES) {
            Ok(limit) => limit.unwrap_or(MOST_TRADES),
            Err(error) => return call.bad_parameter(error.parameter(), &error.to_string()),
        };
        let token_id = match token_id(call) {
            Ok(token_id) => token_id,
            Err(refusal) => return *refusal,
        };
        let view = match self.books.trades(token_id, limit) {
            TradesLookup::Found(view) => view,
            TradesLookup::Unknown => return call.error(StatusCode::NOT_FOUND, UNKNOWN),
        };
        let (instance, life, sequence) = (self.instance, view.key_life, view.sequence);
        let oldest = view.trades.last().map_or(0, |trade| trade.sequence);
        let etag = format!("W/\"{instance:x}-{life:x}-{oldest}-{sequence}\"");
        if has_it(call.headers(), &etag) {
            return not_modified(&etag);
        }
        let (token, market) = self.names(token_id);
        let anchor = self.anchor();
        let numbered = view.trades.iter().map(|kept| Numbered {
            trade_sequence: kept.sequence,
            trade: Traded::from(kept.trade),
            ts_event: kept.trade.timestamp.to_string(),
            ts_recv_us: anchor.micros(kept.received),
        });
        let body = Trades {
            token_id,
            condition_id: market.as_ref().map(|it| it.condition_id.to_string()),
            outcome: token.as_ref().and_then(|token| token.outcome.as_deref()),
            trade_sequence: view.sequence,
            trades: numbered.collect(),
        };
        with_etag(Reply::json(StatusCode::OK, &body), &etag)
    }

    fn found(&self, view: &BookView, depth: Option<usize>) -> Reply {
        let (token, market) = self.names(view.asset_id.as_str());
        let others = market.as_ref().map(|market| market.tokens.iter());
        let complement = others.and_then(|mut tokens| {
            let other = tokens.find(|token| token.token_id != view.asset_id)?;
            Some(&other.token_id)
        });
        let anchor = self.anchor();
        // Exact, since the ages are: the same book has the same times whenever it is asked for.
        let moment = |ago: Duration| view.at.checked_sub(ago).unwrap_or(view.at);
        let since_ms = anchor.millis(moment(view.lasted));
        let pairs = |levels: &[Level]| {
            let levels = levels.iter();
            levels.map(|level| (level.price, level.size)).collect()
        };
        Reply::json(
            StatusCode::OK,
            &Book {
                token_id: &view.asset_id,
                condition_id: market.as_ref().map(|it| it.condition_id.to_string()),
                outcome: token.as_ref().and_then(|token| token.outcome.as_deref()),
                complement,
                question: market.as_ref().map(|it| it.question.as_str()),
                slug: market.as_ref().and_then(|it| it.slug.as_deref()),
                event_slug: market
                    .as_ref()
                    .and_then(|it| Some(&*it.event.as_ref()?.slug)),
                winner: token.as_ref().and_then(|token| token.winner.as_ref()),
                state: view.state.name(),
                reason: reason(view.state),
                verified: view.hash_verified,
                since_ms,
                since: Timestamp::from_millis(since_ms).to_string(),
                epoch: view.position.epoch,
                sequence: view.position.sequence,
                revision: view.position.revision,
                ts_event_ms: view.last_update.millis(),
                ts_event: view.last_update.to_string(),
                ts_recv_us: anchor.micros(moment(view.received)),
                tick_size: view.tick_size,
                hash: view.hash.map(|hash| hash.to_string()),
                depth,
                bid_levels: view.bid_levels,
                ask_levels: view.ask_levels,
                spread: view.spread,
                mid_price: view.mid_price,
                last_trade: view.last_trade.map(Traded::from),
                bids: pairs(&view.bids),
                asks: pairs(&view.asks),
            },
        )
    }

    /// What stands for all that an answer says: the process, which of the books it is that
    /// the id had, where the book stands, and its state as read, of which the worker may
    /// know nothing yet.
    fn etag(&self, view: &BookView) -> String {
        let (instance, life, at) = (self.instance, view.key_life, view.position);
        let (epoch, sequence, revision) = (at.epoch, at.sequence, at.revision);
        let reason = reason(view.state).map_or("", StaleReason::name);
        let state = view.state.name();
        format!("W/\"{instance:x}-{life:x}-{epoch}-{sequence}-{revision}-{state}.{reason}\"")
    }
}

fn reason(state: BookState) -> Option<StaleReason> {
    match state {
        BookState::Stale(reason) => Some(reason),
        BookState::Pending | BookState::Live | BookState::Settled => None,
    }
}

fn depth(call: &Call) -> Result<Option<usize>, Box<Reply>> {
    let depth = call.query().number("depth", 1..=MOST_DEPTH);
    let bad = |error: QueryError| call.bad_parameter(error.parameter(), &error.to_string());
    depth.map_err(|error| Box::new(bad(error)))
}

fn token_id(call: &Call) -> Result<&str, Box<Reply>> {
    let token_id = call.segment("token_id");
    let bad = |error: IdError| call.bad_parameter("token_id", &error.to_string());
    match AssetId::new(token_id) {
        Ok(_) => Ok(token_id),
        Err(error) => Err(Box::new(bad(error))),
    }
}

/// Whether the client says that it has this one (RFC 9110, section 13.1.2).
fn has_it(headers: &HeaderMap, etag: &str) -> bool {
    let given = headers.get_all(IF_NONE_MATCH).iter();
    let mut tags = given
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let strong = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    tags.any(|tag| tag.trim() == "*" || strong(tag.trim()) == strong(etag))
}

fn not_modified(etag: &str) -> Reply {
    with_etag(Reply::empty(StatusCode::NOT_MODIFIED), etag)
}

fn with_etag(reply: Reply, etag: &str) -> Reply {
    let reply = reply.with_header(CACHE_CONTROL, NO_CACHE);
    match HeaderValue::from_str(etag) {
        Ok(etag) => reply.with_header(ETAG, etag),
        // It is made of digits, letters and dashes.
        Err(_) => reply,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly_and_by_any_of_a_list() {
        let has = |given: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in given {
                headers.append(IF_NONE_MATCH, HeaderValue::from_str(value).unwrap());
            }
            has_it(&headers, "W/\"a-1\"")
        };
        for given in [
            vec!["W/\"a-1\""],
            vec!["\"a-1\""],
            vec!["\"b\", W/\"a-1\""],
            vec!["\"b\"", "\"a-1\""],
            vec!["*"],
        ] {
            assert!(has(&given), "{given:?}");
        }
        for given in [vec![], vec![""], vec!["a-1"], vec!["\"a-11\""], vec!["W/"]] {
            assert!(!has(&given), "{given:?}");
        }
    }
}
