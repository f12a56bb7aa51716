//! The list of markets, rendered once for all who read it.
//!
//! One piece of memory holds the whole answer and is shared by every client that
//! is being sent it; a page is a slice out of the middle between a head and a
//! tail of its own. The compressed form is made when it is first asked for. A
//! rendering lasts for as long as the source's version stays, and at least for
//! [`PAUSE`] times as long as it took, so that a catalogue that changes all the
//! time keeps a thread busy for a tenth of the time at most.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{AGE, CONTENT_ENCODING, HeaderValue, VARY};
use parking_lot::Mutex;
use polypy_core::{ConditionId, DecimalText, Market, MarketSource, Timestamp, Token};
use serde::Serialize;
use tokio::time::Instant;

use crate::body::Body;
use crate::budget::{Memory, counted};
use crate::encoding::{BY_ENCODING, GZIP, gzip};
use crate::reply::Reply;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

const HEAD: &[u8] = b"{\"markets\":[";
/// How much longer a rendering lasts than it took.
const PAUSE: u32 = 10;
/// When a rendering that found no room is tried again.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct Entry<'a> {
    condition_id: &'a ConditionId,
    question: &'a str,
    outcomes: Outcomes<'a>,
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
            outcomes: Outcomes(&market.tokens),
            tokens: &market.tokens,
            end_date_iso: market.end_date_iso.as_deref(),
            end_timestamp: market.end_timestamp,
            tick_size: market.tick_size,
            min_order_size: market.min_order_size,
            neg_risk: market.neg_risk,
        }
    }
}

/// The tokens' outcomes as a list.
struct Outcomes<'a>(&'a [Token]);

impl Serialize for Outcomes<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|token| &token.outcome))
    }
}

/// A part of the list, in the order of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) offset: usize,
    pub(crate) limit: usize,
}

/// Why there is no list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoList {
    /// What clients are being sent leaves no room for it.
    NoRoom,
    /// It could not be written as JSON.
    Unwritable,
}

/// See the module.
pub(crate) struct MarketList {
    source: Arc<dyn MarketSource>,
    memory: Memory,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    newest: Option<Arc<Listing>>,
    /// Until then the newest is good enough, whatever the source's version.
    enough_until: Option<Instant>,
}

impl fmt::Debug for MarketList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MarketList")
            .field("newest", &self.state.lock().newest)
            .finish_non_exhaustive()
    }
}

impl MarketList {
    pub(crate) fn new(source: Arc<dyn MarketSource>, memory: Memory) -> Self {
        Self {
            source,
            memory,
            state: Mutex::default(),
        }
    }

    /// The list, if that takes nothing but a look.
    pub(crate) fn ready(&self) -> Option<Arc<Listing>> {
        let state = self.state.lock();
        let newest = state.newest.as_ref()?;
        let enough = state
            .enough_until
            .is_some_and(|until| Instant::now() < until);
        (enough || newest.version == self.source.version()).then(|| Arc::clone(newest))
    }

    /// The list, rendered now unless it is ready. Blocks; one caller at a time.
    pub(crate) fn list(&self) -> Result<Arc<Listing>, NoList> {
        if let Some(ready) = self.ready() {
            return Ok(ready);
        }
        let begun = Instant::now();
        // Before the markets: what changes in between is rendered the next time.
        let version = self.source.version();
        let rendered = Listing::render(&self.source.markets(), version, &self.memory);
        let mut state = self.state.lock();
        match (rendered, &state.newest) {
            (Ok(listing), _) => {
                let listing = Arc::new(listing);
                state.newest = Some(Arc::clone(&listing));
                state.enough_until = Some(Instant::now() + begun.elapsed() * PAUSE);
                Ok(listing)
            }
            (Err(NoList::NoRoom), Some(newest)) => {
                let newest = Arc::clone(newest);
                state.enough_until = Some(Instant::now() + RETRY);
                Ok(newest)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Makes what an answer to this needs beside the list. Blocks; one caller at a time.
    pub(crate) fn prepare(&self, listing: &Listing, page: Page, packed: bool) {
        if listing.is_ready(page, packed) {
            return;
        }
        let begun = Instant::now();
        drop(listing.packed(page));
        let pause = begun.elapsed() * PAUSE;
        let mut state = self.state.lock();
        state.enough_until = state.enough_until.map(|until| until + pause);
    }

    /// The answer to a request for a part of the list.
    pub(crate) fn reply(&self, listing: &Listing, page: Page, packed: bool) -> Reply {
        let packed = if packed { listing.packed(page) } else { None };
        let body = match &packed {
            Some(packed) => Body::from(packed.clone()),
            None => listing.page(page),
        };
        let mut reply = Reply::bytes(StatusCode::OK, JSON, body).with_header(VARY, BY_ENCODING);
        if packed.is_some() {
            reply = reply.with_header(CONTENT_ENCODING, GZIP);
        }
        let age = listing.rendered.elapsed().as_secs();
        if age > 0 && listing.version != self.source.version() {
            reply = reply.with_header(AGE, HeaderValue::from(age));
        }
        reply
    }
}

/// The list as it was at one version.
pub(crate) struct Listing {
    version: u64,
    rendered: Instant,
    /// The answer to a request for the whole list.
    whole: Bytes,
    /// Where each market's object ends in it; the next begins one comma later.
    ends: Vec<usize>,
    memory: Memory,
    /// `None` when there was no room for it.
    packed: OnceLock<Option<Bytes>>,
}

impl fmt::Debug for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listing")
            .field("version", &self.version)
            .field("markets", &self.ends.len())
            .field("bytes", &self.whole.len())
            .finish_non_exhaustive()
    }
}

impl Listing {
    fn render(markets: &[Arc<Market>], version: u64, memory: &Memory) -> Result<Self, NoList> {
        // Written twice, first into nothing: the memory is counted before it is
        // taken, and is never moved into a larger piece while it grows.
        let mut length = Length(0);
        let mut ends = Vec::new();
        write(markets, &mut length, |_| {})?;
        let share = memory
            .take(length.0 + markets.len() * size_of::<usize>())
            .ok_or(NoList::NoRoom)?;
        ends.reserve_exact(markets.len());
        let mut whole = Vec::with_capacity(length.0);
        write(markets, &mut whole, |whole: &Vec<u8>| {
            ends.push(whole.len());
        })?;
        Ok(Self {
            version,
            rendered: Instant::now(),
            whole: counted(whole, share),
            ends,
            memory: memory.clone(),
            packed: OnceLock::new(),
        })
    }

    /// Whether an answer to this takes nothing but a look.
    pub(crate) fn is_ready(&self, page: Page, packed: bool) -> bool {
        !packed || !self.is_whole(page) || self.packed.get().is_some()
    }

    fn is_whole(&self, page: Page) -> bool {
        page.offset == 0 && page.limit >= self.ends.len()
    }

    fn page(&self, page: Page) -> Body {
        if self.is_whole(page) {
            return Body::from(self.whole.clone());
        }
        let total = self.ends.len();
        let first = page.offset.min(total);
        let after = first.saturating_add(page.limit).min(total);
        let end_of = |count: usize| count.checked_sub(1).and_then(|last| self.ends.get(last));
        // The first object follows the head; every other one follows a comma.
        let begin = end_of(first).map_or(HEAD.len(), |end| end + 1);
        let end = end_of(after).copied().unwrap_or(HEAD.len());
        let middle = if begin < end {
            self.whole.slice(begin..end)
        } else {
            Bytes::new()
        };
        let tail = tail(total, page.offset);
        Body::pieces([Bytes::from_static(HEAD), middle, tail.into()])
    }

    /// The whole list compressed. Pages are not: each would be compressed for one
    /// client alone.
    fn packed(&self, page: Page) -> Option<Bytes> {
        if !self.is_whole(page) {
            return None;
        }
        let make = || {
            let packed = gzip(&self.whole)?;
            let share = self.memory.take(packed.len())?;
            Some(counted(packed, share))
        };
        self.packed.get_or_init(make).clone()
    }
}

fn tail(total: usize, offset: usize) -> Vec<u8> {
    format!("],\"total\":{total},\"offset\":{offset}}}\n").into_bytes()
}

/// Writes the whole answer; `after` sees the writer behind each market.
fn write<W: io::Write>(
    markets: &[Arc<Market>],
    into: &mut W,
    mut after: impl FnMut(&W),
) -> Result<(), NoList> {
    let failed = |error: io::Error| {
        tracing::error!(%error, "markets could not be written as json");
        NoList::Unwritable
    };
    into.write_all(HEAD).map_err(failed)?;
    for (at, market) in markets.iter().enumerate() {
        if at > 0 {
            into.write_all(b",").map_err(failed)?;
        }
        serde_json::to_writer(&mut *into, &Entry::new(market))
            .map_err(|error| failed(error.into()))?;
        after(into);
    }
    into.write_all(&tail(markets.len(), 0)).map_err(failed)
}

/// Counts what is written.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "market_list_tests.rs"]
mod tests;
