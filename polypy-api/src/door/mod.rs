//! The doors: how clients follow books over HTTP.
//!
//! | route | |
//! |---|---|
//! | `/v1/stream` | every change, as Server-Sent Events |
//! | `/v1/ws` | every change, over a WebSocket |
//! | `/v1/books`, `/v1/tops`, `/v1/trades`, `/v1/markets`, `/v1/events`, `/v1/tokens` | what books and the catalogue have at a moment |
//! | `/v1/connections`, `/v1/history`, `/v1/failures` | the program itself |
//! | `/ws/orderbook` | one book at an interval, in the original program's messages |

mod notice;
mod orderbook;
pub mod origin;
mod sse;
mod websocket;
pub mod ws;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use polypy_core::catalogue::SelectionSource;
use polypy_core::{BookSource, CatalogueSource, Clock};
use polypy_http::{Answer, Call, Content, HttpConfig, Reply, Route, StatusCode, Upgraded};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::client::{OpenError, Streams};
use crate::cursor::Instance;
use crate::failures::FailureLog;
use crate::read::{self, Reads};
use crate::samples::Samples;
use origin::Origins;
use ws::{End, Message, Socket, SocketLimits};

/// What a WebSocket's route answers.
const ANSWERS: &[Answer] = &[
    Answer::new(101, Content::Empty, "the WebSocket"),
    FOREIGN,
    Answer::error(426, "the request is no WebSocket handshake"),
    Answer::error(503, "there are too many streams"),
];
const FOREIGN: Answer = Answer::error(403, "a page of another origin asks");

/// What clients are told when the server stops.
const STOPPING: &str = "the server is stopping";
/// What a client gets to take what waits for it then, as over Server-Sent Events.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// What the doors need, and how patient they are with their clients.
#[derive(Clone)]
pub struct Doors {
    books: Arc<dyn BookSource>,
    answer_memory: usize,
    streams: Option<Streams>,
    reads: Option<Arc<Reads>>,
    own: Option<(Arc<Samples>, Arc<dyn Clock>)>,
    failures: Option<Arc<FailureLog>>,
    origins: Arc<Origins>,
    limits: SocketLimits,
}

impl Doors {
    /// Doors of a server of this configuration: who reads too slowly for it is no better
    /// off over a WebSocket.
    pub fn new(config: &HttpConfig, books: Arc<dyn BookSource>) -> Self {
        Self {
            books,
            answer_memory: config.answer_memory,
            streams: None,
            reads: None,
            own: None,
            failures: None,
            origins: Arc::new(Origins::new(&config.cors_origins)),
            limits: SocketLimits {
                write: config.write_timeout,
                rate: config.min_send_rate,
                ..SocketLimits::default()
            },
        }
    }

    /// Opens the doors to the streams as well.
    #[must_use]
    pub fn with_streams(mut self, streams: Streams) -> Self {
        self.streams = Some(streams);
        self
    }

    /// Serves what can be read at a moment as well: of what is followed and of what is
    /// listed. The clock stamps it, and `instance` names the process that answers.
    #[must_use]
    pub fn with_reads(
        mut self,
        catalogue: Arc<dyn CatalogueSource>,
        listed: Arc<dyn SelectionSource>,
        clock: Arc<dyn Clock>,
        instance: Instance,
    ) -> Self {
        let books = Arc::clone(&self.books);
        let memory = self.answer_memory;
        let reads = Reads::new(books, catalogue, listed, (clock, instance), memory);
        self.reads = Some(Arc::new(reads));
        self
    }

    /// Serves what the program says of itself as well: its connections, and its numbers
    /// over time. The clock stamps it.
    #[must_use]
    pub fn with_samples(mut self, samples: Arc<Samples>, clock: Arc<dyn Clock>) -> Self {
        self.own = Some((samples, clock));
        self
    }

    /// Serves which books were asked for again as well, beside the reads.
    #[must_use]
    pub fn with_failures(mut self, log: Arc<FailureLog>) -> Self {
        self.failures = Some(log);
        self
    }

    /// The routes, for a [`polypy_http::HttpServerBuilder`].
    pub fn routes(&self) -> Vec<Route> {
        let mut routes = Vec::new();
        if let Some(streams) = &self.streams {
            routes.push(sse::route(self, streams));
            routes.push(websocket::route(self, streams));
        }
        if let Some(reads) = &self.reads {
            routes.extend(read::routes(reads));
        }
        if let Some((samples, clock)) = &self.own {
            routes.extend(read::own_routes(samples, clock));
        }
        if let (Some(reads), Some(log)) = (&self.reads, &self.failures) {
            routes.push(read::failures_route(reads, log));
        }
        routes.push(orderbook::route(self));
        routes
    }
}

impl fmt::Debug for Doors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doors")
            .field("streams", &self.streams.is_some())
            .field("reads", &self.reads.is_some())
            .field("origins", &self.origins)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// 503 for a client that could not be opened.
fn unopened(call: &Call, error: OpenError) -> Reply {
    call.error(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())
        .with_retry_after(1)
}

/// What there is to do with a socket that ended by itself; `last` as for [`Socket::end`].
async fn leave<S>(socket: Socket<S>, end: End, last: impl FnOnce(u16, &str) -> Option<Message>)
where
    S: AsyncRead + AsyncWrite + Unpin + Into<Upgraded>,
{
    let is_slow = end == End::Slow;
    let upgraded: Upgraded = socket.end(end, last).await.into();
    if is_slow {
        tracing::debug!("slow websocket client reset");
        upgraded.reset();
    }
}

#[cfg(test)]
pub(crate) mod tests;
