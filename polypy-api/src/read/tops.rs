//! `/v1/tops`: the best bid and ask of all books that are followed, or of those that a filter
//! means; and `/v1/tops/{token_id}`: one of them, and what it was before.
//!
//! The tops of all are read and written once for all who ask. They change all the time, so
//! what was written lasts for [`PAUSE`] times as long as it took: a thread is busy with them
//! for a tenth of the time at most, and the answer says how old it is.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use polypy_core::{
    AssetKey, BookTop, HistoryPoint, Level, MarketEntry, Price, SignedDecimal, Size, StaleReason,
};
use polypy_http::header::{AGE, HeaderValue};
use polypy_http::{
    Answer, CachedBody, Call, Kind, Memory, Parameter, Query, Rendering, Reply, Route, StatusCode,
};
use serde::Serialize;

use super::book::{NO_BOOK, NO_SNAPSHOT, NOT_MODIFIED, RETRY_SECONDS};
use super::books::NoRoom;
use super::query::{FILTER, Wanted};
use super::tag::Tagging;
use super::{JSON, Reads, has_it, not_modified, reason, with_etag, without_book};
use crate::render::{push_number, push_plain, push_price, push_size, push_text};

const ALL: &str = "the best bid and ask of all books, or of those that a filter means";
const ONE: &str = "the best bid and ask of one book, and what they were before";
/// Filtered answers written at once, and the one of all.
const THREADS: u32 = 2;
/// How much longer the answer of all lasts than it took.
const PAUSE: u32 = 10;
/// When one that found no room is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Points of a history at most.
const MOST_POINTS: usize = polypy_core::history::CAPACITY;
const ONE_PARAMETERS: &[Parameter] = &[Parameter::new(
    "limit",
    Kind::Whole {
        least: 1,
        most: MOST_POINTS,
    },
    "points of the history at most, the newest",
)
.or("all that are kept")];
/// Markets whose tops are read at once.
const BATCH: usize = 256;
/// What a market takes in the answer, about.
const MARKET_BYTES: usize = 480;
const NO_ROOM: &str = "these tops do not fit into http.answer_memory beside what clients still \
                       read: ask for fewer by a filter";

/// What stands where in a row of a market, and in that of a top.
const MARKET_COLUMNS: &[&str] = &["condition_id", "slug", "tops"];
const TOP_COLUMNS: &[&str] = &[
    "token_id",
    "outcome",
    "state",
    "reason",
    "best_bid",
    "best_bid_size",
    "best_ask",
    "best_ask_size",
    "ts_event_ms",
    "epoch",
    "sequence",
    "revision",
    "verified",
];

/// The answer of all, as it was last written.
#[derive(Default)]
pub(super) struct SharedTops {
    newest: Mutex<Option<Arc<Tops>>>,
    /// Held by who writes the next one.
    turn: Mutex<()>,
}

/// Tops as they were written once.
pub(super) struct Tops {
    body: CachedBody,
    etag: String,
    begun: Instant,
    /// Until then they are new enough.
    pub(super) until: Mutex<Instant>,
}

/// The routes.
pub(super) fn routes(reads: &Arc<Reads>) -> [Route; 2] {
    let (quick, whole, one) = (Arc::clone(reads), Arc::clone(reads), Arc::clone(reads));
    [
        Route::kept(
            "/v1/tops",
            ALL,
            THREADS,
            move |call| quick.tops_at_once(call),
            move |call| whole.tops_answer(call),
        )
        .with_parameters(&FILTER)
        .answers(const { &[Answer::json("tops", "the tops, by market"), NOT_MODIFIED] }),
        Route::get("/v1/tops/{token_id}", ONE, move |call| one.top(call))
            .with_parameters(ONE_PARAMETERS)
            .answers(
                const {
                    &[
                        Answer::json("top", "the top, and its history"),
                        NOT_MODIFIED,
                        NO_BOOK,
                        NO_SNAPSHOT,
                    ]
                },
            ),
    ]
}

impl Tops {
    fn is_new(&self) -> bool {
        Instant::now() < *self.until.lock()
    }

    /// The answer for a client; may pack it, which blocks.
    fn reply(&self, call: &Call) -> Reply {
        if has_it(call.headers(), &self.etag) {
            return not_modified(&self.etag);
        }
        let reply = with_etag(self.body.reply(JSON, call.headers()), &self.etag);
        match self.begun.elapsed().as_secs() {
            0 => reply,
            age => reply.with_header(AGE, HeaderValue::from(age)),
        }
    }
}

impl SharedTops {
    fn newest(&self) -> Option<Arc<Tops>> {
        self.newest.lock().clone()
    }

    /// New ones, written now unless another caller just has. Those from before where there
    /// is no room for others.
    pub(super) fn renewed(
        &self,
        write: impl FnOnce() -> Result<(CachedBody, String), NoRoom>,
    ) -> Result<Arc<Tops>, NoRoom> {
        let _turn = self.turn.lock();
        let newest = self.newest();
        if let Some(newest) = newest.as_ref().filter(|newest| newest.is_new()) {
            return Ok(Arc::clone(newest));
        }
        let begun = Instant::now();
        match (write(), newest) {
            (Ok((body, etag)), _) => {
                let tops = Arc::new(Tops {
                    body,
                    etag,
                    begun,
                    until: Mutex::new(Instant::now() + begun.elapsed() * PAUSE),
                });
                *self.newest.lock() = Some(Arc::clone(&tops));
                Ok(tops)
            }
            (Err(NoRoom), Some(newest)) => {
                *newest.until.lock() = Instant::now() + RETRY;
                Ok(newest)
            }
            (Err(NoRoom), None) => Err(NoRoom),
        }
    }
}

impl Reads {
    /// The answer of all, if it is there.
    fn tops_at_once(&self, call: &Call) -> Option<Reply> {
        if is_filtered(call.query()) {
            return None;
        }
        let newest = self.tops.newest().filter(|newest| newest.is_new())?;
        let is_ready = has_it(call.headers(), &newest.etag) || newest.body.is_ready(call.headers());
        is_ready.then(|| newest.reply(call))
    }

    fn tops_answer(&self, call: &Call) -> Reply {
        let wanted = match Wanted::read(call.query()) {
            Ok(wanted) => wanted,
            Err(error) => return call.bad_parameter(error.name, &error.to_string()),
        };
        let write = || self.write_tops(&wanted, call.memory());
        let written = if is_filtered(call.query()) {
            write().map(|(body, etag)| {
                if has_it(call.headers(), &etag) {
                    return not_modified(&etag);
                }
                with_etag(body.reply(JSON, call.headers()), &etag)
            })
        } else {
            self.tops.renewed(write).map(|tops| {
                let begun = Instant::now();
                let reply = tops.reply(call);
                // Packing counts like writing.
                *tops.until.lock() += begun.elapsed() * PAUSE;
                reply
            })
        };
        written.unwrap_or_else(|NoRoom| {
            call.error(StatusCode::SERVICE_UNAVAILABLE, NO_ROOM)
                .with_retry_after(RETRY_SECONDS)
        })
    }

    /// The tops of the followed markets that are meant, and their `ETag`.
    pub(super) fn write_tops(
        &self,
        wanted: &Wanted,
        memory: &Memory,
    ) -> Result<(CachedBody, String), NoRoom> {
        let view = self.listed.view();
        let mut entries: Vec<&MarketEntry> = Vec::new();
        wanted.each(&view, self.clock.now(), |found, _| {
            if found.entry.keys.is_some() {
                entries.push(found.entry);
            }
        });
        let room = Rendering::new(memory, (entries.len() + 4) * MARKET_BYTES);
        let mut into = room.ok_or(NoRoom)?;
        let mut tag = Tagging::new(self.instance);
        // What stands for the names of all that is listed.
        tag.add((view.version(), entries.len()));
        let mut write = || -> io::Result<()> {
            let mut text = head();
            let mut tokens = 0;
            for (number, batch) in entries.chunks(BATCH).enumerate() {
                let keys = batch.iter().flat_map(|entry| entry.keys.iter());
                let keys: Vec<AssetKey> = keys.flat_map(|keys| keys.iter().copied()).collect();
                let mut tops = self.books.tops(&keys).into_iter().zip(&keys);
                tokens += keys.len();
                for (at, entry) in batch.iter().enumerate() {
                    if number > 0 || at > 0 {
                        text.push(',');
                    }
                    let own = entry.keys.as_ref().map_or(0, |keys| keys.len());
                    push_market(&mut text, entry, tops.by_ref().take(own), &mut tag);
                }
                into.write_all(text.as_bytes())?;
                text.clear();
            }
            text.push_str("],\"unknown_tags\":[");
            for (at, name) in wanted.unknown_tags(&view).iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                push_text(&mut text, name);
            }
            into.write_all(text.as_bytes())?;
            writeln!(
                into,
                "],\"markets\":{},\"tokens\":{tokens}}}",
                entries.len()
            )
        };
        write().map_err(|_no_memory| NoRoom)?;
        Ok((into.finish(), tag.finish()))
    }

    fn top(&self, call: &Call) -> Reply {
        let limit = call.query().whole("limit").unwrap_or(MOST_POINTS);
        let view = match self.one_book(call, 1) {
            Ok(view) => view,
            Err(refusal) => return *refusal,
        };
        let named = self.names(view.asset_id.as_str());
        let etag = self.book_etag(&view, &named);
        if has_it(call.headers(), &etag) {
            return not_modified(&etag);
        }
        let (bid, ask) = (view.bids.first(), view.asks.first());
        let older = view.history.len().saturating_sub(limit);
        let points = view.history.iter().skip(older);
        let top = Top {
            token_id: view.asset_id.as_str(),
            condition_id: named.condition_id(),
            outcome: named.outcome(),
            slug: named.slug(),
            state: view.state.name(),
            reason: reason(view.state),
            verified: view.hash_verified,
            epoch: view.position.epoch,
            sequence: view.position.sequence,
            revision: view.position.revision,
            best_bid: bid.map(|level| level.price),
            best_bid_size: bid.map(|level| level.size),
            best_ask: ask.map(|level| level.price),
            best_ask_size: ask.map(|level| level.size),
            spread: view.spread,
            mid_price: view.mid_price,
            ts_event_ms: view.last_update.millis(),
            ts_event: view.last_update.to_string(),
            history: points.copied().map(Point::from).collect(),
        };
        with_etag(Reply::json(StatusCode::OK, &top), &etag)
    }
}

#[derive(Serialize)]
struct Top<'a> {
    token_id: &'a str,
    condition_id: Option<&'a str>,
    outcome: Option<&'a str>,
    slug: Option<&'a str>,
    state: &'static str,
    reason: Option<StaleReason>,
    verified: Option<bool>,
    epoch: u64,
    sequence: u64,
    revision: u32,
    best_bid: Option<Price>,
    best_bid_size: Option<Size>,
    best_ask: Option<Price>,
    best_ask_size: Option<Size>,
    spread: Option<SignedDecimal>,
    mid_price: Option<SignedDecimal>,
    ts_event_ms: u64,
    ts_event: String,
    history: Vec<Point>,
}

#[derive(Serialize)]
struct Point {
    ts_event_ms: u64,
    ts_event: String,
    best_bid: Option<Price>,
    best_ask: Option<Price>,
    spread: Option<SignedDecimal>,
    mid_price: Option<SignedDecimal>,
}

impl From<HistoryPoint> for Point {
    fn from(point: HistoryPoint) -> Self {
        Self {
            ts_event_ms: point.timestamp.millis(),
            ts_event: point.timestamp.to_string(),
            best_bid: point.best_bid,
            best_ask: point.best_ask,
            spread: point.spread,
            mid_price: point.mid_price,
        }
    }
}

fn is_filtered(query: &Query) -> bool {
    FILTER.iter().any(|one| query.text(one.name).is_some())
}

/// Everything before the rows.
fn head() -> String {
    let mut text = "{\"consistent\":\"market\",\"columns\":{\"market\":".to_owned();
    push_words(&mut text, MARKET_COLUMNS);
    text.push_str(",\"top\":");
    push_words(&mut text, TOP_COLUMNS);
    text.push_str("},\"rows\":[");
    text
}

fn push_words(text: &mut String, words: &[&str]) {
    for (at, word) in words.iter().enumerate() {
        text.push(if at == 0 { '[' } else { ',' });
        push_plain(text, word);
    }
    text.push(']');
}

/// A row of a market, and what it is made of.
fn push_market<'a>(
    text: &mut String,
    entry: &MarketEntry,
    tops: impl Iterator<Item = (Option<BookTop>, &'a AssetKey)>,
    tag: &mut Tagging,
) {
    let market = &*entry.market;
    text.push('[');
    push_plain(text, market.condition_id.as_str());
    text.push(',');
    match &market.slug {
        Some(slug) => push_text(text, slug),
        None => text.push_str("null"),
    }
    text.push_str(",[");
    for (at, ((top, key), token)) in tops.zip(&market.tokens).enumerate() {
        if at > 0 {
            text.push(',');
        }
        text.push('[');
        push_plain(text, token.token_id.as_str());
        text.push(',');
        push_text(text, &token.outcome);
        tag.add((key.life(), top.map(|top| (top.position, top.state))));
        match top {
            Some(top) => push_top(text, &top),
            None => {
                text.push(',');
                push_plain(text, without_book(entry).name());
                text.push_str(",null,null,null,null,null,null,null,null,null,null");
            }
        }
        text.push(']');
    }
    text.push_str("]]");
}

fn push_top(text: &mut String, top: &BookTop) {
    text.push(',');
    push_plain(text, top.state.name());
    text.push(',');
    match reason(top.state) {
        Some(reason) => push_plain(text, reason.name()),
        None => text.push_str("null"),
    }
    for level in [top.bid, top.ask] {
        push_level(text, level);
    }
    for number in [
        top.last_update.millis(),
        top.position.epoch,
        top.position.sequence,
        top.position.revision.into(),
    ] {
        text.push(',');
        push_number(text, number);
    }
    text.push_str(match top.verified {
        Some(true) => ",true",
        Some(false) => ",false",
        None => ",null",
    });
}

fn push_level(text: &mut String, level: Option<Level>) {
    match level {
        Some(level) => {
            text.push(',');
            push_price(text, level.price);
            text.push(',');
            push_size(text, level.size);
        }
        None => text.push_str(",null,null"),
    }
}
