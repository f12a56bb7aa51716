//! `/v1/books/{token_id}`: a book at a moment with what it is of, and an `ETag` by which a
//! client that has it already is spared the rest.
//!
//! | the token is | status |
//! |---|---|
//! | no 1 to 78 decimal digits | 400 |
//! | unknown, of a market that is not followed, or was over before a snapshot came | 404 |
//! | known, without a snapshot yet | 503, `Retry-After` |
//! | kept, and the client has this very answer | 304 |
//! | kept | 200 |
//!
//! All times are moments and no ages: two answers of one `ETag` are equal.

use std::sync::Arc;
use std::time::Duration;

use polypy_core::{
    AssetId, AssetKey, BookLookup, BookState, BookView, DecimalText, FeedId, Level, Market, Price,
    Selector, SignedDecimal, Size, StaleReason, Timestamp, TokenInfo,
};
use polypy_http::{Answer, Call, Kind, Parameter, Reply, Route, StatusCode};
use serde::Serialize;

use super::resolve::Missing;
use super::tag::Tagging;
use super::trades::Traded;
use super::{Reads, has_it, not_modified, reason, with_etag};
use crate::anchor::Anchor;

const SUMMARY: &str = "one book with all its levels, its market, and an ETag";
const PARAMETERS: &[Parameter] = &[Parameter::new(
    "depth",
    Kind::Whole {
        least: 1,
        most: MOST_DEPTH,
    },
    "levels a side at most",
)
.or("all")];
pub(super) const ANSWERS: &[Answer] = &[
    Answer::json("book", "the book"),
    NOT_MODIFIED,
    NO_BOOK,
    NO_SNAPSHOT,
];
pub(super) const NOT_MODIFIED: Answer = Answer::new(
    304,
    polypy_http::Content::Empty,
    "the client has this answer",
)
.to("GET");
pub(super) const NO_BOOK: Answer = Answer::error(
    404,
    "unknown, listed and not followed, or over before there was a book",
);
pub(super) const NO_SNAPSHOT: Answer = Answer::error(503, "no snapshot has arrived yet");

/// Most levels that can be asked for: the finest grid has 9,999 prices.
pub(super) const MOST_DEPTH: usize = 10_000;
/// Up to so many levels a side are written on the event loop, some tens of microseconds.
const QUICK_DEPTH: usize = 100;
/// Whole books written at once.
const THREADS: u32 = 2;
/// When a book without a snapshot is worth asking for again.
pub(super) const RETRY_SECONDS: u32 = 1;

/// The route.
pub(super) fn route(reads: &Arc<Reads>) -> Route {
    let (quick, whole) = (Arc::clone(reads), Arc::clone(reads));
    Route::kept(
        "/v1/books/{token_id}",
        SUMMARY,
        THREADS,
        move |call| quick.book_at_once(call),
        move |call| whole.book_answer(call),
    )
    .with_parameters(PARAMETERS)
    .answers(ANSWERS)
}

/// A book in an answer.
#[derive(Serialize)]
pub(super) struct Book<'a> {
    token_id: &'a AssetId,
    condition_id: Option<&'a str>,
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
    verified_at_ms: Option<u64>,
    verified_at: Option<String>,
    feed: Option<FeedId>,
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

/// What the catalogue knows of a token.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) token: Option<TokenInfo>,
    pub(super) market: Option<Arc<Market>>,
}

impl Named {
    pub(super) fn winner(&self) -> Option<&AssetId> {
        self.token.as_ref()?.winner.as_ref()
    }

    pub(super) fn outcome(&self) -> Option<&str> {
        self.token.as_ref()?.outcome.as_deref()
    }

    pub(super) fn condition_id(&self) -> Option<&str> {
        Some(self.market.as_ref()?.condition_id.as_str())
    }

    pub(super) fn slug(&self) -> Option<&str> {
        self.market.as_ref()?.slug.as_deref()
    }
}

impl<'a> Book<'a> {
    /// A book as it is shown with at most so many levels a side.
    pub(super) fn new(
        view: &'a BookView,
        named: &'a Named,
        anchor: Anchor,
        depth: Option<usize>,
    ) -> Self {
        let market = named.market.as_ref();
        let others = market.map(|market| market.tokens.iter());
        let complement = others.and_then(|mut tokens| {
            let other = tokens.find(|token| token.token_id != view.asset_id)?;
            Some(&other.token_id)
        });
        // Exact, since the ages are: the same book has the same times whenever it is asked for.
        let moment = |ago: Duration| view.at.checked_sub(ago).unwrap_or(view.at);
        let since_ms = anchor.millis(moment(view.lasted));
        let verified_at_ms = view.verified_ago.map(|ago| anchor.millis(moment(ago)));
        let pairs = |levels: &[Level]| {
            let levels = levels.iter();
            levels.map(|level| (level.price, level.size)).collect()
        };
        Self {
            token_id: &view.asset_id,
            condition_id: named.condition_id(),
            outcome: named.outcome(),
            complement,
            question: market.map(|market| market.question.as_str()),
            slug: named.slug(),
            event_slug: market.and_then(|market| Some(&*market.event.as_ref()?.slug)),
            winner: named.winner(),
            state: view.state.name(),
            reason: reason(view.state),
            verified: view.hash_verified,
            verified_at_ms,
            verified_at: verified_at_ms.map(|at| Timestamp::from_millis(at).to_string()),
            feed: view.feed,
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
        }
    }
}

impl Missing {
    /// The error that it is where nothing else was asked for.
    pub(super) fn reply(&self, call: &Call) -> Reply {
        if self.code == Self::NO_SNAPSHOT {
            let reply = call.problem(StatusCode::SERVICE_UNAVAILABLE, self.code, &self.message);
            return reply.with_retry_after(RETRY_SECONDS);
        }
        let reply = call.problem(StatusCode::NOT_FOUND, self.code, &self.message);
        match &self.explain {
            Some(path) => reply.with_explanation(path),
            None => reply,
        }
    }
}

impl Reads {
    /// What is answered without waiting: everything but long books.
    fn book_at_once(&self, call: &Call) -> Option<Reply> {
        let depth = call.query().whole("depth");
        if depth.is_some_and(|depth| depth <= QUICK_DEPTH) {
            return Some(self.book_answer(call));
        }
        // Without its levels a book says whether it has many, and whether the client has it.
        match self.books.book(call.segment("token_id"), 0) {
            BookLookup::Found(view) if view.state != BookState::Pending => {
                let is_short = view.bid_levels.max(view.ask_levels) <= QUICK_DEPTH;
                let etag = self.book_etag(&view, &self.names(view.asset_id.as_str()));
                if has_it(call.headers(), &etag) {
                    return Some(not_modified(&etag));
                }
                is_short.then(|| self.book_answer(call))
            }
            _ => Some(self.book_answer(call)),
        }
    }

    fn book_answer(&self, call: &Call) -> Reply {
        let depth = call.query().whole("depth");
        let view = match self.one_book(call, depth.unwrap_or(MOST_DEPTH)) {
            Ok(view) => view,
            Err(refusal) => return *refusal,
        };
        let named = self.names(view.asset_id.as_str());
        let etag = self.book_etag(&view, &named);
        if has_it(call.headers(), &etag) {
            return not_modified(&etag);
        }
        let book = Book::new(&view, &named, self.anchor(), depth);
        with_etag(Reply::json(StatusCode::OK, &book), &etag)
    }

    /// The book of the token that the path names, or why there is none.
    pub(super) fn one_book(&self, call: &Call, depth: usize) -> Result<Box<BookView>, Box<Reply>> {
        let id = token_id(call)?;
        let missing = match self.books.book(id, depth) {
            BookLookup::Found(view) if view.state != BookState::Pending => return Ok(view),
            BookLookup::Found(_) | BookLookup::Pending | BookLookup::Requested => {
                Missing::no_snapshot(id)
            }
            BookLookup::Unknown => self.without_token(id),
            BookLookup::Ended => Missing::ended(id),
        };
        Err(Box::new(missing.reply(call)))
    }

    /// What the catalogue knows of a token by its id.
    pub(super) fn names(&self, token_id: &str) -> Named {
        let keys = self.catalogue.resolve(&Selector::Token(token_id.into()));
        keys.first()
            .map_or_else(Named::default, |key| self.named(*key))
    }

    /// The same by its key.
    pub(super) fn named(&self, key: AssetKey) -> Named {
        Named {
            token: self.catalogue.token(key),
            market: self.catalogue.market(key),
        }
    }

    /// What stands for all that an answer says: which of the books it is that the id had,
    /// where it stands and its state as read, and what it is called.
    pub(super) fn book_etag(&self, view: &BookView, named: &Named) -> String {
        let mut tag = Tagging::new(self.instance);
        tag.add_view(view);
        tag.add_market(named.market.as_deref(), named.winner());
        tag.finish()
    }
}

/// The token id in the path.
pub(super) fn token_id(call: &Call) -> Result<&str, Box<Reply>> {
    let token_id = call.segment("token_id");
    match AssetId::new(token_id) {
        Ok(_) => Ok(token_id),
        Err(error) => Err(Box::new(call.bad_parameter("token_id", &error.to_string()))),
    }
}
