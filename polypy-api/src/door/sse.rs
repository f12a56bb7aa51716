//! `/v1/stream`: Server-Sent Events, one subscription a connection.
//!
//! An event has the message's type as its name, the message as its data, and the
//! connection's place as its id: that is what a browser sends when it comes back.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::Frame;
use polypy_core::BoxFuture;
use polypy_http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use polypy_http::{Answer, Body, Call, Content, Kind, Parameter, Reply, Route, StatusCode};

use super::{Doors, STOPPING, unopened};
use crate::client::{Client, Door, Streams};
use crate::cursor::{Cursor, Instance};
use crate::filter::{BadParameter, Channel, Filter, FilterBuilder};
use crate::message::{Closing, Published};
use crate::outbox::{Batch, Item, Outbox};
use crate::read::Missing;

const SUMMARY: &str = "every change as Server-Sent Events";
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
/// Proxies hold answers back until they have some kilobytes, unless they are told.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const NO: HeaderValue = HeaderValue::from_static("no");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// As many as fit into a target; what is too many otherwise, the filter says.
const NAMES: Kind = Kind::List { most: 8_192 };
const PARAMETERS: &[Parameter] = &[
    Parameter::new("tokens", NAMES, "token ids").or("everything"),
    Parameter::new("markets", NAMES, "condition ids or slugs of markets").or("everything"),
    Parameter::new("events", NAMES, "slugs of events").or("everything"),
    Parameter::new(
        "channels",
        Kind::Words(&Channel::NAMES),
        "book, top, trade, state, market, stats, health",
    )
    .or("book,trade,state,market"),
    Parameter::new(
        "mode",
        Kind::OneOf(&["every", "conflated"]),
        "every change, or the latest state at an interval",
    )
    .or("every"),
    Parameter::new(
        "interval_ms",
        Kind::Whole {
            least: 16,
            most: 60_000,
        },
        "the shortest time between two messages of a token, with mode=conflated alone",
    )
    .or("500"),
    Parameter::new(
        "depth",
        Kind::Whole {
            least: 1,
            most: 100,
        },
        "levels a side: 1, 5, 10, 20, 50 or 100",
    )
    .or("all"),
    Parameter::new(
        CURSOR,
        Kind::Cursor,
        "the place to go on from; the header Last-Event-ID outranks it",
    ),
];
const CURSOR: &str = "cursor";
const SHORTER: &str = "some 95 token ids fit; name markets= or events= instead, or subscribe over \
                       the WebSocket /v1/ws";

/// The subscription of a connection that has one alone.
const ID: u64 = 0;
/// About what is copied into one piece of the answer.
const PIECE: usize = 64 * 1024;
/// When a browser comes back after a connection that broke, in milliseconds. One that was
/// told to go is told when to come back, too.
const RETRY_MS: u64 = 2_000;

const ANSWERS: &[Answer] = &[
    Answer::new(
        200,
        Content::Other("text/event-stream"),
        "events, of docs/schemas/messages.json",
    ),
    super::FOREIGN,
    Answer::error(404, "nothing that is named is known"),
    Answer::error(
        503,
        "there are too many streams, or they are being restarted",
    ),
];

/// The route.
pub(super) fn route(doors: &Doors, streams: &Streams) -> Route {
    let (origins, streams) = (Arc::clone(&doors.origins), streams.clone());
    Route::awaited("/v1/stream", SUMMARY, move |call| {
        let opened = match origins.refusal(&call) {
            Some(refusal) => Err(Box::new(refusal)),
            None => asked(&call, &streams),
        };
        async move {
            let (client, filter, cursor) = match opened {
                Ok(opened) => opened,
                Err(refusal) => return *refusal,
            };
            match client.subscribe(ID, filter, cursor).await {
                Ok(()) => stream(&call, client),
                Err(error) if error.is_temporary => call
                    .error(StatusCode::SERVICE_UNAVAILABLE, &error.message)
                    .with_retry_after(1),
                Err(error) if matches!(error.code, "unknown_token" | Missing::NOT_FOLLOWED) => {
                    call.problem(StatusCode::NOT_FOUND, error.code, &error.message)
                }
                Err(error) => call.error(StatusCode::BAD_REQUEST, &error.message),
            }
        }
    })
    .with_parameters(PARAMETERS)
    .answers(ANSWERS)
    .with_shorter(SHORTER)
}

/// A client, and what it asks for; or what is wrong with that.
fn asked(call: &Call, streams: &Streams) -> Result<(Client, Filter, Option<Cursor>), Box<Reply>> {
    let bad = |error: BadParameter| Box::new(call.bad_parameter(error.name, &error.to_string()));
    let mut filter = FilterBuilder::default();
    for Parameter { name, .. } in PARAMETERS {
        if let Some(value) = call.query().text(name) {
            filter.set(name, value).map_err(bad)?;
        }
    }
    let filter = filter.build(streams.config().max_tokens).map_err(bad)?;
    let cursor = match last_event_id(call) {
        Some(last) => Some(last),
        None => {
            let given = call.query().text(CURSOR).map(str::parse::<Cursor>);
            given.transpose().map_err(|error| {
                Box::new(call.bad_parameter(CURSOR, &format!("{CURSOR}: {error}")))
            })?
        }
    };
    let client = streams.open(Door::Sse);
    let client = client.map_err(|error| Box::new(unopened(call, error)))?;
    Ok((client, filter, cursor))
}

/// The place from which a browser comes back. It sends what it was last given, and gives
/// up for ever when that is refused: what cannot be read is a place of another life.
fn last_event_id(call: &Call) -> Option<Cursor> {
    let value = call.headers().get(LAST_EVENT_ID)?.as_bytes();
    let elsewhere = Cursor {
        instance: Instance(0),
        position: 0,
    };
    let text = std::str::from_utf8(value).unwrap_or("-");
    (!text.is_empty()).then(|| text.parse().unwrap_or(elsewhere))
}

fn stream(call: &Call, client: Client) -> Reply {
    let body = Body::stream(Events {
        outbox: Arc::clone(client.outbox()),
        _client: client,
        stopping: Some(Box::pin(call.stopping())),
        waiting: None,
        phase: Phase::Beginning,
    });
    Reply::stream(EVENT_STREAM, body)
        .with_header(CACHE_CONTROL, NO_CACHE)
        .with_header(BUFFERING, NO)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Beginning,
    Open,
    Ended,
}

/// The answer: what waits for the client, as fast as it reads.
struct Events {
    outbox: Arc<Outbox>,
    /// Ends with the answer.
    _client: Client,
    /// Until the server stops.
    stopping: Option<BoxFuture<'static, ()>>,
    /// For something to send.
    waiting: Option<BoxFuture<'static, Batch>>,
    phase: Phase,
}

impl Events {
    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Batch> {
        if let Some(stopping) = &mut self.stopping
            && stopping.as_mut().poll(cx).is_ready()
        {
            self.stopping = None;
            // What waits goes out first, and nothing is added to it: this needs no hub.
            self.outbox
                .close(Closing::with_retry(Closing::AWAY, STOPPING));
        }
        let outbox = &self.outbox;
        let waiting = self.waiting.get_or_insert_with(|| {
            let outbox = Arc::clone(outbox);
            Box::pin(async move { outbox.next(PIECE).await })
        });
        let batch = ready!(waiting.as_mut().poll(cx));
        self.waiting = None;
        Poll::Ready(batch)
    }
}

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.phase == Phase::Ended {
            return Poll::Ready(None);
        }
        let text = match ready!(self.poll_batch(cx)) {
            Batch::Messages(items) => {
                let was = std::mem::replace(&mut self.phase, Phase::Open);
                events(&items, was == Phase::Beginning)
            }
            Batch::End(closing) => {
                self.phase = Phase::Ended;
                last_event(&closing)
            }
        };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(text)))))
    }

    fn is_end_stream(&self) -> bool {
        self.phase == Phase::Ended
    }
}

/// Messages as events, the first ones with the time after which a browser comes back. That
/// stands in the block of the first message: one of its own is an event without a name and
/// without data to some clients. JSON has no line break in it.
fn events(items: &[Item], are_first: bool) -> String {
    let room = items.iter().map(|item| 128 + item.message.text().len());
    let mut text = String::with_capacity(room.sum());
    if are_first {
        text.push_str(&format!("retry: {RETRY_MS}\n"));
    }
    for item in items {
        event(&mut text, &item.message, item.cursor);
    }
    text
}

fn event(into: &mut String, message: &Published, cursor: Option<Cursor>) {
    into.push_str("event: ");
    into.push_str(message.event().name());
    if let Some(cursor) = cursor {
        let written = write!(into, "\nid: {cursor}");
        debug_assert!(written.is_ok(), "a string takes all");
    }
    into.push_str("\ndata: ");
    into.push_str(message.text());
    into.push_str("\n\n");
}

/// The last word, with the time after which a browser comes back by itself.
fn last_event(closing: &Closing) -> String {
    let mut text = String::new();
    if let Some(retry_ms) = closing.retry_ms {
        text = format!("retry: {retry_ms}\n");
    }
    let message = crate::message::Event::Closing(Box::new(closing.clone()));
    event(&mut text, &Published::own(message), None);
    text
}
