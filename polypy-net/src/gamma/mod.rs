//! Gamma: discovery of markets.
//!
//! [`GammaClient::crawl`] walks the keyset listing of open markets and hands
//! each page over as it comes, so that the first markets can be subscribed
//! while the crawl goes on. [`GammaClient::by_condition`] asks for single
//! markets, open or closed. What the listing is known to do, and what is done
//! about it:
//!
//! | the venue | here |
//! |---|---|
//! | offsets beyond 2000 are refused | keyset only: `after_cursor` |
//! | unknown cursor names are ignored: page 1 for ever | a cursor seen before, or a few pages without a new row, end the crawl as incomplete |
//! | a cursor is bound to its filters | they are repeated on each page |
//! | pages are clamped silently, and may be empty | the end is a cursor that is missing, empty, null or `LTE=`, never a short page |
//! | tags come only when asked for, and an older venue may refuse the question | they are asked for; a crawl whose first page is refused goes on without |
//! | rows are half filled in | see [`row`]: skipped one by one, with a reason |
//!
//! Nothing here decides what becomes of a market, and an incomplete crawl says
//! so: see [`CrawlEnd`].

pub mod row;

use std::collections::HashSet;
use std::fmt::{self, Write};
use std::ops::ControlFlow;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use polypy_core::catalogue::SeatOrder;
use polypy_core::metrics::Sheet;
use polypy_core::{ConditionId, StatsSource};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep_until};

use crate::batch::{Batches, Blame};
use crate::reason::chain;
use crate::rest::{RestClient, RestError};

pub use row::{Row, SkipReason};

/// What lists markets, whole or by id.
const LISTING: &str = "/markets/keyset";

/// The cursor after the last page, in the venue's older lists: -1 in base64.
const LAST_CURSOR: &str = "LTE=";

/// Pages in a row without a new row, each under a cursor of its own, that are
/// followed at most. One was seen, where a page came again; a listing that is
/// stuck goes on like that for ever.
const MAX_FRUITLESS: usize = 5;

/// Ids in one look-up at most: the venue's own limit.
pub const MAX_LOOKUP: usize = 100;

/// How the listing is walked.
#[derive(Debug, Clone)]
pub struct GammaConfig {
    /// Rows asked for in a page; the venue gives at most 100.
    pub page_size: usize,
    /// Pages of one crawl at most: a guard against a listing without end. Ten
    /// times what the whole venue needed in 2026.
    pub max_pages: usize,
    /// Least time between two page requests: 300 in 10 s are allowed.
    pub page_interval: Duration,
}

impl Default for GammaConfig {
    fn default() -> Self {
        Self {
            page_size: 100,
            max_pages: 5_000,
            page_interval: Duration::from_millis(35),
        }
    }
}

/// In which order open markets are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// The venue's own, which holds still: for crawls of everything.
    Steady,
    /// The first in this order first: for crawls that are cut short. It moves while it
    /// is being walked, so that rows may slip through.
    FirstBy(SeatOrder),
}

/// Which markets a look-up is about: Gamma answers for one kind at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarketState {
    /// Not closed.
    Open,
    /// Closed: the venue's word that they have ended.
    Closed,
}

/// Why Gamma gave no usable answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GammaError {
    /// No answer.
    #[error("gamma did not answer")]
    Rest(#[from] RestError),
    /// An answer that is not a page of markets.
    #[error("gamma's answer is not a page of markets")]
    Shape(#[source] serde_json::Error),
}

impl GammaError {
    /// Who is to blame when a look-up fails so.
    fn blame(&self) -> Blame {
        match self {
            Self::Rest(error) => error.blame(),
            // A firewall answers with a page of its own.
            Self::Shape(_) => Blame::Request,
        }
    }
}

/// How a crawl ended. Only [`Self::Complete`] speaks of markets not seen.
#[derive(Debug)]
pub enum CrawlEnd {
    /// The last page was reached: every open market was listed.
    Complete,
    /// The reader of the pages had enough.
    Stopped,
    /// The listing gave a cursor again that it had given before.
    RepeatedCursor,
    /// Page after page had no row that had not been listed before.
    NothingNew,
    /// More pages than a crawl may have.
    TooManyPages,
    /// A page could not be had.
    Failed(GammaError),
}

impl CrawlEnd {
    /// Its name in `/stats`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Stopped => "stopped",
            Self::RepeatedCursor => "repeated_cursor",
            Self::NothingNew => "nothing_new",
            Self::TooManyPages => "too_many_pages",
            Self::Failed(_) => "failed",
        }
    }
}

impl fmt::Display for CrawlEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Complete => "complete",
            Self::Stopped => "stopped",
            Self::RepeatedCursor => "a cursor came twice",
            Self::NothingNew => "page after page without a new row",
            Self::TooManyPages => "more pages than there can be",
            Self::Failed(error) => return f.write_str(&chain(error)),
        })
    }
}

/// What a crawl came to; the rows themselves went to its caller.
#[derive(Debug)]
pub struct Crawl {
    /// Pages received.
    pub pages: usize,
    /// Rows received, skipped ones included.
    pub rows: usize,
    /// How it ended.
    pub end: CrawlEnd,
}

/// What look-ups by name came to.
#[derive(Debug, Default)]
pub struct Found {
    /// The rows of those that Gamma lists.
    pub rows: Vec<Row>,
    /// Those about which nothing is known: Gamma refused to look them up, or
    /// failed before it was their turn.
    pub unanswered: Vec<ConditionId>,
    /// Why nothing more was asked, if Gamma is at fault.
    pub failure: Option<GammaError>,
}

/// Asks Gamma.
#[derive(Debug)]
pub struct GammaClient {
    rest: RestClient,
    config: GammaConfig,
    lookups: Batches<ConditionId>,
    /// Whether the last crawl had to do without tags: look-ups then do, too.
    without_tags: AtomicBool,
    /// What Gamma said when it was first asked for tags and refused.
    refusal: OnceLock<String>,
}

/// The keyset envelope.
#[derive(Debug, Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    markets: Vec<&'a RawValue>,
    /// Text; a number stands for its digits.
    #[serde(borrow, default)]
    next_cursor: Option<&'a RawValue>,
}

/// What tells a page from another: a row's own id.
#[derive(Debug, Deserialize)]
struct Identity<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "conditionId")]
    condition_id: Option<&'a RawValue>,
}

impl GammaClient {
    /// A client over `rest`.
    pub fn new(rest: RestClient, config: GammaConfig) -> Self {
        Self {
            rest: rest.with_endpoints(&[LISTING]),
            config,
            lookups: Batches::new("gamma", MAX_LOOKUP),
            without_tags: AtomicBool::new(false),
            refusal: OnceLock::new(),
        }
    }

    /// Walks all open markets, handing over page by page, until the end or
    /// until `on_page` breaks off.
    pub async fn crawl(
        &self,
        listing: Listing,
        mut on_page: impl FnMut(Vec<Row>) -> ControlFlow<()>,
    ) -> Crawl {
        let mut crawl = Crawl {
            pages: 0,
            rows: 0,
            end: CrawlEnd::TooManyPages,
        };
        let mut cursors = HashSet::new();
        let mut firsts = HashSet::new();
        let mut fruitless = 0;
        let mut cursor: Option<String> = None;
        let mut next_page_at = Instant::now();
        while crawl.pages < self.config.max_pages {
            sleep_until(next_page_at).await;
            next_page_at = Instant::now() + self.config.page_interval;
            let page = match &cursor {
                None => self.first_page(listing).await,
                Some(cursor) => self.page(&self.path(listing, Some(cursor))).await,
            };
            let page = match page {
                Ok(page) => page,
                Err(error) => {
                    crawl.end = CrawlEnd::Failed(error);
                    break;
                }
            };
            crawl.pages += 1;
            let is_repeated = page.first.is_some_and(|first| !firsts.insert(first));
            let is_new = !is_repeated && !page.rows.is_empty();
            fruitless = if is_new { 0 } else { fruitless + 1 };
            let mut enough = false;
            if is_new {
                crawl.rows += page.rows.len();
                enough = on_page(page.rows).is_break();
            }
            cursor = page.next_cursor;
            crawl.end = match &cursor {
                None => CrawlEnd::Complete,
                Some(_) if enough => CrawlEnd::Stopped,
                Some(next) if !cursors.insert(next.clone()) => CrawlEnd::RepeatedCursor,
                Some(_) if fruitless > MAX_FRUITLESS => CrawlEnd::NothingNew,
                Some(_) => continue,
            };
            return crawl;
        }
        crawl
    }

    /// The rows of these markets among the open or among the closed ones; those
    /// Gamma does not list are missing. What Gamma refuses is divided.
    pub async fn by_condition(&self, conditions: &[ConditionId], state: MarketState) -> Found {
        let mut found = Found::default();
        let mut division = self.lookups.divide(conditions, Instant::now());
        let mut next_set_at = Instant::now();
        while let Some(set) = division.next() {
            sleep_until(next_set_at).await;
            next_set_at = Instant::now() + self.config.page_interval;
            let answer = self.page(&self.lookup_path(&set, state)).await;
            let now = Instant::now();
            match answer {
                Ok(mut page) => {
                    division.accepted(&set, now);
                    found.rows.append(&mut page.rows);
                }
                Err(error) => {
                    if division.failed(set, error.blame(), &error, now) {
                        found.failure = Some(error);
                    }
                }
            }
        }
        found.unanswered = division.finish(Instant::now());
        found
    }

    /// Until when Gamma is not asked about this market, because it refused to
    /// look it up alone.
    pub(crate) fn set_aside_until(&self, condition: &ConditionId) -> Option<Instant> {
        self.lookups.aside_until(condition, Instant::now())
    }

    /// How requests are to be spaced, for callers that make many.
    pub fn page_interval(&self) -> Duration {
        self.config.page_interval
    }

    /// The first page of a crawl. If Gamma refuses it, it is asked for without tags: they
    /// are the newest thing asked of it, and markets without tags are better than none.
    async fn first_page(&self, listing: Listing) -> Result<Page, GammaError> {
        self.without_tags.store(false, Ordering::Relaxed);
        let refusal = match self.page(&self.path(listing, None)).await {
            Err(GammaError::Rest(error)) if error.is_refusal() => error,
            answer => return answer,
        };
        self.without_tags.store(true, Ordering::Relaxed);
        let page = self.page(&self.path(listing, None)).await?;
        if self.refusal.set(chain(&refusal)).is_ok() {
            tracing::warn!(%refusal, "gamma refuses to state tags: markets are listed without");
        }
        Ok(page)
    }

    /// Why the last crawl had to do without tags, if it had.
    pub fn refuses_tags(&self) -> Option<&str> {
        let has_refused = self.without_tags.load(Ordering::Relaxed);
        let refusal = self.refusal.get().filter(|_| has_refused);
        refusal.map(String::as_str)
    }

    fn push_tags(&self, path: &mut String) {
        if !self.without_tags.load(Ordering::Relaxed) {
            path.push_str("&include_tag=true");
        }
    }

    fn path(&self, listing: Listing, cursor: Option<&str>) -> String {
        let mut path = format!("{LISTING}?limit={}&closed=false", self.config.page_size);
        self.push_tags(&mut path);
        match listing {
            Listing::Steady => {}
            Listing::FirstBy(order) => match order {
                SeatOrder::VolumeDay => path.push_str("&order=volume24hr&ascending=false"),
                SeatOrder::Volume => path.push_str("&order=volumeNum&ascending=false"),
                SeatOrder::Liquidity => path.push_str("&order=liquidityNum&ascending=false"),
                SeatOrder::End => path.push_str("&order=endDate&ascending=true"),
                SeatOrder::Listed => {}
            },
        }
        if let Some(cursor) = cursor {
            path.push_str("&after_cursor=");
            push_escaped(&mut path, cursor);
        }
        path
    }

    fn lookup_path(&self, conditions: &[ConditionId], state: MarketState) -> String {
        let closed = state == MarketState::Closed;
        let mut path = format!("{LISTING}?limit={MAX_LOOKUP}&closed={closed}");
        self.push_tags(&mut path);
        for condition in conditions {
            path.push_str("&condition_ids=");
            path.push_str(condition.as_str());
        }
        path
    }

    async fn page(&self, path: &str) -> Result<Page, GammaError> {
        let body = self.rest.get(path).await?;
        let envelope: Envelope<'_> = serde_json::from_slice(&body).map_err(GammaError::Shape)?;
        Ok(Page {
            first: envelope.markets.first().and_then(|row| identity(row)),
            next_cursor: row::text(envelope.next_cursor)
                .filter(|cursor| !cursor.is_empty() && cursor != LAST_CURSOR),
            rows: envelope
                .markets
                .into_iter()
                .map(|row| Row::parse(row.get()))
                .collect(),
        })
    }
}

impl StatsSource for GammaClient {
    fn show(&self, sheet: &mut dyn Sheet) {
        sheet.with("service=\"gamma\"");
        self.lookups.show(sheet);
        self.rest.show(sheet);
        sheet.without();
    }
}

struct Page {
    rows: Vec<Row>,
    first: Option<String>,
    next_cursor: Option<String>,
}

/// What the row is called by the venue; `None` if it does not say.
fn identity(row: &RawValue) -> Option<String> {
    let Identity { id, condition_id } = serde_json::from_str(row.get()).ok()?;
    id.or(condition_id).map(|name| name.get().to_owned())
}

/// Percent-encodes everything but what RFC 3986 calls unreserved.
fn push_escaped(path: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else if write!(path, "%{byte:02X}").is_err() {
            // Writing to a String cannot fail.
            return;
        }
    }
}

#[cfg(test)]
mod tests;
