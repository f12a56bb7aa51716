//! `/ws/orderbook`: one book, sent at an interval, in the messages of the original program.
//!
//! | the client says | |
//! |---|---|
//! | `{"subscribe": "ASSET", "interval_ms": 500}` | sends that book from now on, instead of any other |
//! | `{"unsubscribe": true}` | sends none |
//! | anything else | an error; what was sent goes on |
//!
//! | it is told | |
//! |---|---|
//! | `{"type": "orderbook", "asset_id", "bids", "asks", "metrics", "last_update_ts", ...}` | the ten best levels of each side, as `/orderbook/{asset_id}` writes them |
//! | `{"type": "error", "error"}` | |
//!
//! `state` and `reason` are additions: a book that is not to be trusted is not shown as one
//! that is. A book that has no snapshot yet is waited for. What happens between two looks
//! is not seen: who has to see each change uses `/v1/ws`.

use std::sync::Arc;
use std::time::Duration;

use polypy_core::{
    BookLookup, BookSource, BookState, BookView, Price, SignedDecimal, Size, StaleReason, Timestamp,
};
use polypy_http::{Route, Upgraded};
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use crate::door::ws::{Message, Pace, Socket, SocketLimits, Turn, Utf8Bytes, Verdict, upgrade};
use crate::door::{Doors, STOPPING, leave};

/// Levels of each side.
const DEPTH: usize = 10;
/// How often a book is sent unless the client says so, in milliseconds.
const INTERVAL_MS: u64 = 500;
const LEAST_INTERVAL_MS: u64 = 50;
const MOST_INTERVAL_MS: u64 = 60_000;
/// What a client may say at once, and a second on average.
const BURST: u32 = 50;
const PER_SECOND: u32 = 10;
/// Requests are short.
const MOST_BYTES: usize = 4 * 1024;

const SUMMARY: &str = "WebSocket: one book at an interval, in the original program's messages";

/// The route.
pub(super) fn route(doors: &Doors) -> Route {
    let (books, origins) = (Arc::clone(&doors.books), Arc::clone(&doors.origins));
    let limits = SocketLimits {
        most_bytes: MOST_BYTES,
        ..doors.limits
    };
    Route::get("/ws/orderbook", SUMMARY, move |call| {
        if let Some(refusal) = origins.refusal(call) {
            return refusal;
        }
        let client = Client {
            books: Arc::clone(&books),
            followed: None,
            pace: Pace::new(BURST, PER_SECOND),
        };
        let stopping = call.stopping();
        upgrade(call, move |upgraded| {
            Box::pin(client.serve(upgraded, limits, stopping))
        })
    })
    .answers(super::ANSWERS)
}

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Request {
    Subscribe { asset_id: String, every: Duration },
    Unsubscribe,
}

impl Request {
    /// Reads a client's text; what is wrong with it, for the client.
    fn read(text: &str) -> Result<Self, String> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))?;
        let Some(asset_id) = value.get("subscribe") else {
            if value.get("unsubscribe").is_some() {
                return Ok(Self::Unsubscribe);
            }
            return Err("a message has to contain 'subscribe' or 'unsubscribe'".to_owned());
        };
        let Some(asset_id) = asset_id.as_str() else {
            return Err("'subscribe' has to be an asset id, as text".to_owned());
        };
        let millis = match value.get("interval_ms") {
            None => INTERVAL_MS,
            Some(given) => given
                .as_u64()
                .filter(|millis| (LEAST_INTERVAL_MS..=MOST_INTERVAL_MS).contains(millis))
                .ok_or_else(|| {
                    format!(
                        "'interval_ms' has to be a whole number from {LEAST_INTERVAL_MS} to \
                         {MOST_INTERVAL_MS}"
                    )
                })?,
        };
        Ok(Self::Subscribe {
            asset_id: asset_id.to_owned(),
            every: Duration::from_millis(millis),
        })
    }
}

/// The book that is being sent.
#[derive(Debug)]
struct Followed {
    asset_id: String,
    every: Duration,
    next: Instant,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Said<'a> {
    Orderbook {
        asset_id: &'a str,
        bids: Vec<(Price, Size)>,
        asks: Vec<(Price, Size)>,
        metrics: Metrics,
        last_update_ts: Timestamp,
        state: &'static str,
        reason: Option<StaleReason>,
    },
    Error {
        error: &'a str,
    },
}

#[derive(Serialize)]
struct Metrics {
    spread: Option<SignedDecimal>,
    mid_price: Option<SignedDecimal>,
    imbalance: Option<f64>,
}

impl Said<'_> {
    fn message(&self) -> Message {
        let text = serde_json::to_string(self).unwrap_or_else(|error| {
            tracing::error!(%error, "book could not be written as json");
            r#"{"type":"error","error":"the book could not be written as JSON"}"#.to_owned()
        });
        Message::Text(Utf8Bytes::from(text))
    }
}

fn error(error: &str) -> Message {
    Said::Error { error }.message()
}

fn book(view: &BookView) -> Message {
    let pairs = |levels: &[polypy_core::Level]| {
        let levels = levels.iter();
        levels.map(|level| (level.price, level.size)).collect()
    };
    Said::Orderbook {
        asset_id: view.asset_id.as_str(),
        bids: pairs(&view.bids),
        asks: pairs(&view.asks),
        metrics: Metrics {
            spread: view.spread,
            mid_price: view.mid_price,
            imbalance: view.imbalance,
        },
        last_update_ts: view.last_update,
        state: view.state.name(),
        reason: match view.state {
            BookState::Stale(reason) => Some(reason),
            BookState::Pending | BookState::Live | BookState::Settled => None,
        },
    }
    .message()
}

/// One client.
struct Client {
    books: Arc<dyn BookSource>,
    followed: Option<Followed>,
    pace: Pace,
}

impl Client {
    /// What a client's word is answered with; `None` for nothing.
    fn hear(&mut self, text: &str) -> Option<Message> {
        match Request::read(text) {
            Ok(Request::Subscribe { asset_id, every }) => {
                let next = Instant::now();
                self.followed = Some(Followed {
                    asset_id,
                    every,
                    next,
                });
                None
            }
            Ok(Request::Unsubscribe) => {
                self.followed = None;
                None
            }
            Err(reason) => Some(error(&reason)),
        }
    }

    /// The book as it is now, once it is its turn.
    fn look(&mut self) -> Option<Message> {
        let followed = self.followed.as_mut()?;
        // A client that is slow to read skips looks, and is not owed them.
        followed.next = Instant::now() + followed.every;
        let gone = match self.books.book(&followed.asset_id, DEPTH) {
            BookLookup::Found(view) if view.state != BookState::Pending => {
                return Some(book(&view));
            }
            BookLookup::Found(_) | BookLookup::Pending | BookLookup::Requested => return None,
            BookLookup::Unknown => "unknown asset",
            BookLookup::Ended => "the market is settled, and no snapshot of this book ever arrived",
        };
        self.followed = None;
        Some(error(gone))
    }

    /// Serves the client until it leaves, or the server stops.
    async fn serve(
        mut self,
        upgraded: Upgraded,
        limits: SocketLimits,
        stopping: impl Future<Output = ()> + Send,
    ) {
        let mut socket = Socket::new(upgraded, limits).await;
        let mut stopping = std::pin::pin!(stopping);
        loop {
            let next = self.followed.as_ref().map(|followed| followed.next);
            let turn = tokio::select! {
                biased;
                () = &mut stopping => {
                    socket.close(1001, STOPPING).await;
                    return;
                }
                turn = socket.turn() => turn,
                () = due(next), if socket.is_idle() => {
                    socket.push(self.look());
                    continue;
                }
            };
            let verdict = match &turn {
                Turn::Text(_) | Turn::Binary(_) | Turn::Control => self.pace.take(Instant::now()),
                Turn::Written | Turn::Ended(_) => Verdict::Fine,
            };
            let answer = match (turn, verdict) {
                (Turn::Ended(end), _) => return leave(socket, end, |_, _| None).await,
                (_, Verdict::Enough) => {
                    socket.close(1008, "too many messages").await;
                    return;
                }
                (Turn::Written | Turn::Control, _) => None,
                (_, Verdict::TooMany) => Some(error("too many messages: ten a second are heeded")),
                (Turn::Text(text), Verdict::Fine) => self.hear(&text),
                (Turn::Binary(_), Verdict::Fine) => Some(error("messages are text")),
            };
            socket.push(answer);
        }
    }
}

/// Waits until it is time for the next look, if there is to be one.
async fn due(next: Option<Instant>) {
    match next {
        Some(next) => sleep_until(next).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_as_the_original_program_reads_them() {
        let subscribe = |asset_id: &str, millis| Request::Subscribe {
            asset_id: asset_id.to_owned(),
            every: Duration::from_millis(millis),
        };
        for (text, expected) in [
            (r#"{"subscribe":"11"}"#, subscribe("11", 500)),
            (
                r#"{"subscribe":"11","interval_ms":50}"#,
                subscribe("11", 50),
            ),
            (
                r#"{"interval_ms":60000,"subscribe":"11","unsubscribe":true}"#,
                subscribe("11", 60_000),
            ),
            (r#"{"unsubscribe":true}"#, Request::Unsubscribe),
            (r#"{"unsubscribe":null}"#, Request::Unsubscribe),
        ] {
            assert_eq!(Request::read(text), Ok(expected), "{text}");
        }
        for (text, part) in [
            ("", "no JSON"),
            ("{", "no JSON"),
            ("[]", "'subscribe' or 'unsubscribe'"),
            ("{}", "'subscribe' or 'unsubscribe'"),
            (r#"{"subscribe":11}"#, "as text"),
            (r#"{"subscribe":"11","interval_ms":49}"#, "from 50 to 60000"),
            (r#"{"subscribe":"11","interval_ms":60001}"#, "'interval_ms'"),
            (r#"{"subscribe":"11","interval_ms":"500"}"#, "'interval_ms'"),
            (r#"{"subscribe":"11","interval_ms":50.5}"#, "'interval_ms'"),
        ] {
            let refused = Request::read(text).unwrap_err();
            assert!(refused.contains(part), "{text}: {refused}");
        }
    }
}
