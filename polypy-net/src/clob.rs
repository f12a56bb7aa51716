//! CLOB REST: whole books, and the venue's clock.
//!
//! Behind [`BookFetch`], which is all that the resyncing of a book knows of it.
//! Bodies are decoded by [`crate::wire`], as frames are. Tokens without a book
//! (settled, or unknown to the venue) are left out of an answer: that is an
//! answer, not an error. It joins nothing to a feed: which book is newer is for
//! the caller to say. A recorder, if there is one, gets the answers as they came.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;
use parking_lot::RwLock;
use polypy_core::metrics::{Counter, Entry, Part, Sheet, count};
use polypy_core::{
    Answer, AssetId, BookEvent, BoxFuture, FrameSink, Interner, Purpose, StatsSource, Timestamp,
};
use serde::Serialize;
use tokio::time::Instant;

use crate::batch::{Batches, Blame};
use crate::reason::chain;
use crate::rest::{RestClient, RestError};
use crate::wire::{self, WireError};

const BOOK: &str = "/book";
const MANY: &str = "/books";
const TIME: &str = "/time";

/// Why a REST answer could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClobError {
    /// No answer.
    #[error("clob did not answer")]
    Rest(#[from] RestError),
    /// An answer that is no book.
    #[error("clob's answer is no book")]
    Decode(#[from] WireError),
    /// An answer that is no time in seconds.
    #[error("clob's answer is no time")]
    Time(#[source] serde_json::Error),
}

impl ClobError {
    /// Who is to blame when a request for many books fails so.
    fn blame(&self) -> Blame {
        match self {
            Self::Rest(error) => error.blame(),
            Self::Decode(_) | Self::Time(_) => Blame::Request,
        }
    }
}

/// What a request for many books came to.
#[derive(Debug, Default)]
pub struct Fetched {
    /// The books of those that have one.
    pub books: Vec<BookEvent>,
    /// Those about which nothing is known: the CLOB refused to answer for
    /// them, or failed before it was their turn. All others have no book.
    pub unanswered: Vec<AssetId>,
    /// Why nothing more was asked, if the CLOB is at fault.
    pub failure: Option<ClobError>,
}

/// Where whole books can be fetched. Handed to what resyncs books.
pub trait BookFetch: Send + Sync {
    /// `POST /books`, for some purpose. Assets without a book are left out of the
    /// answer. What the CLOB refuses is divided.
    fn books<'a>(
        &'a self,
        assets: &'a [AssetId],
        known: &'a RwLock<Interner>,
        purpose: Purpose,
    ) -> BoxFuture<'a, Fetched>;
}

/// Limits of a [`ClobClient`].
#[derive(Debug, Clone)]
pub struct ClobConfig {
    /// Tokens in one `POST /books`. The venue is believed to take 500; a
    /// hundred busy books are a megabyte already.
    pub chunk: usize,
}

impl Default for ClobConfig {
    fn default() -> Self {
        Self { chunk: 100 }
    }
}

/// Asks the CLOB.
pub struct ClobClient {
    rest: RestClient,
    frames: Option<Arc<dyn FrameSink>>,
    batches: Batches<AssetId>,
    counters: Counters,
}

polypy_core::counters! {
    /// Books asked for, by what the answer had.
    Answers is "polypy_clob_books_total" with "" by "outcome" {
        /// Books that came.
        received,
        /// Books that there are not.
        missing,
        /// Books that could not be read.
        refused,
    }
}

#[derive(Debug, Default)]
struct Counters {
    asked: Counter,
    answers: Answers,
}

type Counted = Entry<Counters>;

static ASKED: &[Counted] = &[Counted::counter(
    "books_asked",
    "polypy_clob_books_asked_total",
    "Books asked for.",
    |counters| counters.asked.get().into(),
)];
static BOOKS: Part = Part::new("books", "Books asked for, by what the answer had.");

/// One entry of a `POST /books` body.
#[derive(Debug, Serialize)]
struct Wanted<'a> {
    token_id: &'a AssetId,
}

impl ClobClient {
    /// A client over `rest`.
    pub fn new(rest: RestClient, config: ClobConfig) -> Self {
        Self {
            rest: rest.with_endpoints(&[BOOK, MANY, TIME]),
            batches: Batches::new("clob", config.chunk),
            frames: None,
            counters: Counters::default(),
        }
    }

    /// Tells this one of each answer with books, before it is decoded.
    pub fn with_frames(self, frames: Option<Arc<dyn FrameSink>>) -> Self {
        Self { frames, ..self }
    }

    /// `GET /book`; `None` if the venue has no book of this token.
    ///
    /// # Errors
    /// [`ClobError`].
    pub async fn book(
        &self,
        asset: &AssetId,
        known: &RwLock<Interner>,
    ) -> Result<Option<BookEvent>, ClobError> {
        self.counters.asked.add_shared(1);
        let answers = &self.counters.answers;
        match self.rest.get(&format!("{BOOK}?token_id={asset}")).await {
            Ok(body) => {
                let book = wire::decode_book(&body, &known.read());
                let counter = match book {
                    Ok(_) => &answers.received,
                    Err(_) => &answers.refused,
                };
                counter.add_shared(1);
                Ok(Some(book?))
            }
            Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => {
                answers.missing.add_shared(1);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// `GET /time`: the venue's clock, in whole seconds.
    ///
    /// # Errors
    /// [`ClobError`].
    pub async fn time(&self) -> Result<Timestamp, ClobError> {
        let body = self.rest.get(TIME).await?;
        let seconds: u64 = serde_json::from_slice(&body).map_err(ClobError::Time)?;
        Ok(Timestamp::from_millis(seconds.saturating_mul(1_000)))
    }

    async fn chunk(
        &self,
        assets: &[AssetId],
        known: &RwLock<Interner>,
        purpose: Purpose,
    ) -> Result<Vec<BookEvent>, ClobError> {
        let wanted: Vec<_> = assets.iter().map(|token_id| Wanted { token_id }).collect();
        let body = serde_json::to_vec(&wanted).map_err(WireError::Json)?;
        self.counters.asked.add_shared(count(assets.len()));
        let (request, requested) = (Bytes::from(body), Instant::now());
        let answer = self.rest.post(MANY, request.clone()).await?;
        if let Some(frames) = &self.frames {
            frames.answered(&Answer {
                path: MANY,
                request: std::str::from_utf8(&request).unwrap_or_default(),
                // Any other one is an error.
                status: StatusCode::OK.as_u16(),
                body: &answer,
                purpose,
                requested: requested.into_std(),
                received: Instant::now().into_std(),
            });
        }
        let decoded = wire::decode_books(&answer, &known.read())?;
        for error in &decoded.refused {
            tracing::debug!(error = chain(error), "book in a rest answer refused");
        }
        // Only what was asked for, and each once: the answer is the venue's.
        let mut asked: HashSet<&AssetId> = assets.iter().collect();
        let mut books = decoded.books;
        books.retain(|book| asked.remove(&book.info.asset_id));
        let answers = &self.counters.answers;
        answers.received.add_shared(count(books.len()));
        answers.refused.add_shared(count(decoded.refused.len()));
        let missing = asked.len().saturating_sub(decoded.refused.len());
        answers.missing.add_shared(count(missing));
        Ok(books)
    }
}

impl BookFetch for ClobClient {
    fn books<'a>(
        &'a self,
        assets: &'a [AssetId],
        known: &'a RwLock<Interner>,
        purpose: Purpose,
    ) -> BoxFuture<'a, Fetched> {
        Box::pin(async move {
            let mut fetched = Fetched::default();
            let mut division = self.batches.divide(assets, Instant::now());
            while let Some(set) = division.next() {
                let answer = self.chunk(&set, known, purpose).await;
                let now = Instant::now();
                match answer {
                    Ok(mut books) => {
                        division.accepted(&set, now);
                        fetched.books.append(&mut books);
                    }
                    Err(error) => {
                        if division.failed(set, error.blame(), &error, now) {
                            fetched.failure = Some(error);
                        }
                    }
                }
            }
            fetched.unanswered = division.finish(Instant::now());
            fetched
        })
    }
}

impl fmt::Debug for ClobClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClobClient")
            .field("rest", &self.rest)
            .finish_non_exhaustive()
    }
}

impl StatsSource for ClobClient {
    fn show(&self, sheet: &mut dyn Sheet) {
        sheet.table(ASKED, &self.counters);
        sheet.part(&BOOKS, |sheet| {
            sheet.table(Answers::ROWS, &self.counters.answers)
        });
        sheet.with("service=\"clob\"");
        self.batches.show(sheet);
        self.rest.show(sheet);
        sheet.without();
    }
}

#[cfg(test)]
#[path = "clob_tests.rs"]
mod tests;
