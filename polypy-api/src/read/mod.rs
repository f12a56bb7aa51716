//! Reads: what the catalogue and the books have at a moment, over HTTP.
//!
//! | file | |
//! |---|---|
//! | `markets`, `market` | lists of markets; one of them |
//! | `events` | lists of events; one of them |
//! | `lists` | the page of a list that is asked for |
//! | `query` | what is asked of a list |
//! | `standing` | where markets stand by their books |
//! | `order`, `moment`, `cursor` | in which order, and where a page begins |
//! | `render` | markets as JSON |
//! | `books`, `book` | many books; one of them |
//! | `tops` | the best prices of all; of one book, with what they were before |
//! | `trades` | of a market, or of a token |
//! | `tokens` | which tokens have an id that begins so |
//! | `connections`, `history` | the program itself: its connections, its numbers over time |
//! | `failures` | which books were asked for again |
//! | `resolve` | which books are meant by tokens, markets and events |
//! | `tag`, `etag` | what an answer is made of, and those that a client has already |
//! | `kept` | answers that several clients are sent |

mod book;
mod books;
mod connections;
mod cursor;
mod etag;
mod events;
mod failures;
mod history;
mod kept;
mod lists;
mod market;
mod markets;
mod moment;
mod order;
mod query;
mod render;
mod resolve;
mod standing;
mod tag;
mod tokens;
mod tops;
mod trades;

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use polypy_core::catalogue::{MarketEntry, MarketStatus, SelectionSource};
use polypy_core::{BookSource, BookState, CatalogueSource, Clock, StaleReason};
use polypy_http::Route;
use polypy_http::header::HeaderValue;

pub(crate) use self::etag::{has_it, not_modified, with_etag};
use self::lists::Lists;
pub(crate) use self::resolve::Missing;
use self::standing::Standings;
use self::tops::SharedTops;
use crate::anchor::Anchor;
use crate::cursor::Instance;
use crate::failures::FailureLog;
use crate::samples::Samples;

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The routes, in the order of the manual.
pub(crate) fn routes(reads: &Arc<Reads>) -> Vec<Route> {
    let mut routes = vec![books::route(reads), book::route(reads)];
    routes.extend(tops::routes(reads));
    routes.extend(trades::routes(reads));
    let lists = Arc::new(Lists::new(reads));
    routes.extend([markets::route(&lists), market::route(reads)]);
    routes.extend(events::routes(&lists));
    routes.push(tokens::route(reads));
    routes
}

/// The routes about the program itself, in the order of the manual.
pub(crate) fn own_routes(samples: &Arc<Samples>, clock: &Arc<dyn Clock>) -> Vec<Route> {
    vec![connections::route(samples, clock), history::route(samples)]
}

/// The route of the books that were asked for again.
pub(crate) fn failures_route(reads: &Arc<Reads>, log: &Arc<FailureLog>) -> Route {
    failures::route(reads, log)
}

/// Where reads are answered from.
pub(crate) struct Reads {
    pub(crate) books: Arc<dyn BookSource>,
    /// What is followed, by name.
    pub(crate) catalogue: Arc<dyn CatalogueSource>,
    /// Everything that is listed, and what is chosen of it.
    pub(crate) listed: Arc<dyn SelectionSource>,
    pub(crate) clock: Arc<dyn Clock>,
    anchor: Mutex<Anchor>,
    tops: SharedTops,
    standings: Standings,
    /// This process: another one counts from the start.
    pub(crate) instance: u64,
    /// Bytes that all rendered answers may hold.
    pub(crate) answer_memory: usize,
}

impl Reads {
    pub(crate) fn new(
        books: Arc<dyn BookSource>,
        catalogue: Arc<dyn CatalogueSource>,
        listed: Arc<dyn SelectionSource>,
        (clock, instance): (Arc<dyn Clock>, Instance),
        answer_memory: usize,
    ) -> Self {
        Self {
            books,
            catalogue,
            listed,
            anchor: Mutex::new(Anchor::new(&*clock, Instant::now())),
            tops: SharedTops::default(),
            standings: Standings::default(),
            clock,
            instance: instance.0,
            answer_memory,
        }
    }

    /// What is said of a name that nothing listed has. Before the listing was read to its end
    /// that says little, and it is added.
    pub(crate) fn unlisted(&self, text: &str) -> String {
        if self.listed.view().is_complete() {
            return text.to_owned();
        }
        format!("{text}; the venue's listing has not been read to its end yet: ask again later")
    }

    /// What turns moments of the monotonic clock into times.
    pub(crate) fn anchor(&self) -> Anchor {
        let mut anchor = self.anchor.lock();
        // Two looks find out whether the wall clock was set; a third if there was a wait, too.
        for _ in 0..3 {
            if anchor.renew(&*self.clock, Instant::now()) {
                break;
            }
        }
        *anchor
    }
}

/// Why a book is not to be trusted.
pub(crate) fn reason(state: BookState) -> Option<StaleReason> {
    match state {
        BookState::Stale(reason) => Some(reason),
        BookState::Pending | BookState::Live | BookState::Settled => None,
    }
}

/// How a token of a market stands of which no book is here: none comes once it has ended.
fn without_book(entry: &MarketEntry) -> BookState {
    match entry.status {
        MarketStatus::Open => BookState::Pending,
        MarketStatus::Resolved | MarketStatus::Closed => BookState::Settled,
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
pub(crate) mod tests;
