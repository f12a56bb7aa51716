//! `/v1/ws`: subscriptions that come and go over one WebSocket.

use std::pin::Pin;
use std::sync::Arc;

use polypy_core::BoxFuture;
use polypy_http::{Route, Upgraded};
use tokio::time::Instant;

use super::ws::{
    BadOperation, Message, Operation, Pace, Socket, SocketLimits, Turn, Verdict, upgrade,
};
use super::{Doors, STOPPING, leave, unopened};
use crate::client::{Client, Door, Streams, SubscribeError};
use crate::message::{Closing, ErrorMessage, Event, Published};
use crate::outbox::Batch;

const SUMMARY: &str = "WebSocket: every change, by subscriptions that come and go";
/// About what is handed to the socket at once.
const PIECE: usize = 64 * 1024;

/// The route.
pub(super) fn route(doors: &Doors, streams: &Streams) -> Route {
    let (origins, streams) = (Arc::clone(&doors.origins), streams.clone());
    let config = streams.config();
    let (burst, per_second) = (config.operations_burst, config.operations_per_second);
    let limits = SocketLimits {
        most_bytes: config.max_message,
        ..doors.limits
    };
    Route::get("/v1/ws", SUMMARY, move |call| {
        if let Some(refusal) = origins.refusal(call) {
            return refusal;
        }
        let client = match streams.open(Door::WebSocket) {
            Ok(client) => client,
            Err(error) => return unopened(call, error),
        };
        let connection = Connection {
            client,
            most_tokens: streams.config().max_tokens,
            pace: Pace::new(burst, per_second),
            stopping: Some(Box::pin(call.stopping())),
        };
        upgrade(call, move |upgraded| {
            Box::pin(connection.serve(upgraded, limits))
        })
    })
}

/// One client and what it may.
struct Connection {
    client: Client,
    most_tokens: usize,
    pace: Pace,
    /// Until the server stops.
    stopping: Option<BoxFuture<'static, ()>>,
}

impl Connection {
    /// Serves the client until it leaves, or is to leave.
    async fn serve(mut self, upgraded: Upgraded, limits: SocketLimits) {
        let mut socket = Socket::new(upgraded, limits).await;
        loop {
            let turn = tokio::select! {
                biased;
                () = stopped(&mut self.stopping) => {
                    self.stop();
                    continue;
                }
                turn = socket.turn() => turn,
                batch = self.client.next(PIECE), if socket.is_idle() => {
                    match batch {
                        Batch::Messages(items) => {
                            let texts = items.iter().map(|item| item.message.text().clone());
                            socket.push(texts.map(Message::Text));
                        }
                        Batch::End(closing) => return say_goodbye(socket, closing).await,
                    }
                    continue;
                }
            };
            match turn {
                Turn::Ended(end) => return leave(socket, end).await,
                Turn::Written => {}
                Turn::Text(text) => self.hear(Some(&text)).await,
                Turn::Binary(_) => self.hear(None).await,
                Turn::Control => self.count(),
            }
        }
    }

    /// Heeds a message of the client; `None` for one that is no text.
    async fn hear(&mut self, text: Option<&str>) {
        // It is told why it has to leave, and has nothing more to say.
        if self.client.outbox().is_closed() {
            return;
        }
        match self.pace.take(Instant::now()) {
            Verdict::Fine => {}
            Verdict::TooMany => {
                return self.answer(Event::Error(Box::new(ErrorMessage {
                    id: None,
                    code: "too_fast",
                    is_temporary: true,
                    message: "too many messages: hello.limits says how many are heeded".to_owned(),
                })));
            }
            Verdict::Enough => return self.end("too many messages"),
        }
        let operation = match text {
            Some(text) => Operation::read(text, self.most_tokens),
            None => Err(BadOperation::binary()),
        };
        match operation {
            Err(error) => self.answer(error.into_event()),
            Ok(Operation::Ping) => self.client.ask_heartbeat(),
            Ok(Operation::Subscribe { id, filter, cursor }) => {
                let asking = self.client.subscribe(id, filter, cursor);
                let answer = answered(asking, &mut self.stopping).await;
                self.finish(id, answer);
            }
            Ok(Operation::Unsubscribe { id }) => {
                let asking = self.client.unsubscribe(id);
                let answer = answered(asking, &mut self.stopping).await;
                self.finish(id, answer);
            }
        }
    }

    /// What the hub said to an operation. Success comes as a message by itself.
    fn finish(&mut self, id: u64, answer: Option<Result<(), SubscribeError>>) {
        match answer {
            Some(Ok(())) => {}
            Some(Err(error)) => self.answer(error.into_event(Some(id))),
            None => self.stop(),
        }
    }

    /// Counts a ping or a pong.
    fn count(&mut self) {
        if self.pace.take(Instant::now()) == Verdict::Enough {
            self.end("too many messages");
        }
    }

    fn answer(&self, event: Event) {
        if !self.client.outbox().push_own(event) {
            let reason = "answers are not read";
            let closing = Closing::with_retry(Closing::LATER, reason);
            self.client.outbox().close(closing);
        }
    }

    /// Ends the client for what it did.
    fn end(&self, reason: &str) {
        self.client.outbox().close(Closing::refused(reason));
    }

    /// Ends the client because the server stops: what waits goes out first, and nothing
    /// is added to it. This needs no hub.
    fn stop(&mut self) {
        self.stopping = None;
        let closing = Closing::with_retry(Closing::AWAY, STOPPING);
        self.client.outbox().close(closing);
    }
}

/// Resolves when the server stops, unless that is known already.
async fn stopped(stopping: &mut Option<BoxFuture<'static, ()>>) {
    match stopping {
        Some(stopping) => Pin::new(stopping).await,
        None => std::future::pending().await,
    }
}

/// The hub's answer; `None` if the server stops meanwhile.
async fn answered<T>(
    asking: impl Future<Output = T>,
    stopping: &mut Option<BoxFuture<'static, ()>>,
) -> Option<T> {
    tokio::select! {
        biased;
        answer = asking => Some(answer),
        () = stopped(stopping) => None,
    }
}

/// The last message, and the close frame behind it.
async fn say_goodbye(mut socket: Socket<Upgraded>, closing: Closing) {
    let (code, reason) = (closing.code, closing.reason.clone());
    let last = Published::own(Event::Closing(Box::new(closing)));
    socket.push([Message::Text(last.text().clone())]);
    socket.close(code, &reason).await;
}
