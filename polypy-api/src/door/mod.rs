//! The doors: how clients follow books over HTTP.
//!
//! | route | |
//! |---|---|
//! | `/v1/stream` | every change, as Server-Sent Events |
//! | `/v1/ws` | every change, over a WebSocket |
//! | `/v1/books/{token_id}`, `/v1/trades/{token_id}` | a book at a moment, its newest trades |
//! | `/ws/orderbook` | one book at an interval, in the original program's messages |

mod orderbook;
pub mod origin;
mod reads;
mod sse;
mod websocket;
pub mod ws;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use polypy_core::{BookSource, CatalogueSource, Clock};
use polypy_http::{Call, HttpConfig, Reply, Route, StatusCode, Upgraded};

use crate::client::{OpenError, Streams};
use origin::Origins;
use reads::Reads;
use ws::{End, Socket, SocketLimits};

/// What clients are told when the server stops.
const STOPPING: &str = "the server is stopping";
/// What a client gets to take what waits for it then, as over Server-Sent Events.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// What the doors need, and how patient they are with their clients.
#[derive(Clone)]
pub struct Doors {
    books: Arc<dyn BookSource>,
    streams: Option<Streams>,
    reads: Option<Arc<Reads>>,
    origins: Arc<Origins>,
    limits: SocketLimits,
}

impl Doors {
    /// Doors of a server of this configuration: who reads too slowly for it is no better
    /// off over a WebSocket.
    pub fn new(config: &HttpConfig, books: Arc<dyn BookSource>) -> Self {
        Self {
            books,
            streams: None,
            reads: None,
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

    /// Serves single books and their trades as well; the clock stamps them.
    #[must_use]
    pub fn with_reads(
        mut self,
        catalogue: Arc<dyn CatalogueSource>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let books = Arc::clone(&self.books);
        self.reads = Some(Arc::new(Reads::new(books, catalogue, clock)));
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
            routes.extend(reads::routes(reads));
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

/// What there is to do with a socket that ended by itself.
async fn leave(socket: Socket<Upgraded>, end: End) {
    let is_slow = end == End::Slow;
    let upgraded = socket.end(end).await;
    if is_slow {
        tracing::debug!("slow websocket client reset");
        upgraded.reset();
    }
}

#[cfg(test)]
mod tests;
