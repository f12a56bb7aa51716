//! `/v1/ws`: subscriptions that come and go over one WebSocket.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use polypy_core::BoxFuture;
use polypy_http::{Route, Upgraded};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use super::notice::Notice;
use super::ws::{
    BadOperation, End, Line, Message, Operation, Pace, Socket, SocketLimits, Turn, Verdict, Wire,
    upgrade,
};
use super::{Doors, STOP_PATIENCE, STOPPING, leave, unopened};
use crate::client::{Client, Door, Streams, SubscribeError};
use crate::message::{Closing, ErrorMessage, Event, Published};
use crate::outbox::Batch;

const SUMMARY: &str = "WebSocket: every change, by subscriptions that come and go";
/// About what is handed to the socket at once.
const PIECE: usize = 64 * 1024;
/// The close code for a message that is longer than may be.
const TOO_LONG: u16 = 1009;

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
            cut_at: None,
            others: Notice::new(),
        };
        upgrade(call, move |upgraded| {
            Box::pin(connection.serve(upgraded, limits))
        })
    })
    .answers(super::ANSWERS)
}

/// What happens to a connection.
enum Next {
    /// The server stops.
    Stopping,
    /// The client said something, took all, or is gone.
    Turn(Turn),
    /// There is something for the client.
    Batch(Batch),
}

/// Why a connection is served no longer.
enum Last {
    /// The client is told this, and is to leave.
    Closing(Closing),
    /// The socket has ended by itself.
    End(End),
}

/// Looks whether the server stops, or the client did something.
fn poll_others<S>(
    others: &Notice,
    stopping: &mut Option<BoxFuture<'static, ()>>,
    socket: &mut Socket<S>,
    cx: &mut Context<'_>,
) -> Poll<Next>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if !socket.is_idle() {
        // It was written to by the task itself, whose waker the system has.
        others.set();
    }
    others.poll(cx, |cx| {
        if poll_stopped(stopping, cx).is_ready() {
            return Poll::Ready(Next::Stopping);
        }
        socket.poll_turn(cx).map(Next::Turn)
    })
}

/// One client and what it may.
struct Connection {
    client: Client,
    most_tokens: usize,
    pace: Pace,
    /// Until the server stops.
    stopping: Option<BoxFuture<'static, ()>>,
    /// From then on: until when what waits has to be taken.
    cut_at: Option<Instant>,
    /// Whether the server or the client has done something.
    others: Notice,
}

impl Connection {
    /// Serves the client until it leaves, or is to leave.
    async fn serve(mut self, upgraded: Upgraded, limits: SocketLimits) {
        let wire = Wire::new(upgraded);
        let line = wire.line();
        let mut socket = Socket::new(wire, limits).await;
        self.client.outbox().send_on(Arc::clone(&line));
        let last = self.follow(&mut socket, &line).await;
        // Nothing may follow the last word.
        line.close();
        match last {
            Last::Closing(closing) => say_goodbye(socket, closing).await,
            Last::End(end) => leave(socket, end, last_word).await,
        }
    }

    /// Feeds and hears the client until its end.
    async fn follow(&mut self, socket: &mut Socket<Wire>, line: &Line) -> Last {
        let mut was_fed = false;
        loop {
            let next = match self.cut_at {
                None => self.next(socket, line, was_fed).await,
                Some(at) => match timeout_at(at, self.next(socket, line, was_fed)).await {
                    Ok(next) => next,
                    Err(_elapsed) => Next::Turn(Turn::Ended(End::Slow)),
                },
            };
            was_fed = matches!(next, Next::Batch(_));
            match next {
                Next::Stopping => self.stop(),
                Next::Batch(Batch::End(closing)) => return Last::Closing(closing),
                Next::Batch(Batch::Messages(items)) => {
                    let texts = items.iter().map(|item| item.message.text().clone());
                    socket.push(texts.map(Message::Text));
                    // As a rule the system takes it all: then nothing else is looked at.
                    if let Err(end) = socket.write_at_once().await {
                        return Last::End(end);
                    }
                }
                Next::Turn(Turn::Ended(end)) => return Last::End(end),
                Next::Turn(Turn::Written) => {}
                Next::Turn(Turn::Text(text)) => self.hear(Some(&text)).await,
                Next::Turn(Turn::Binary(_)) => self.hear(None).await,
                Next::Turn(Turn::Control) => self.count(),
            }
        }
    }

    /// Waits for what happens next. Most often that is a message for the client, so that
    /// is looked for first; after one the others' turn comes, whatever waits.
    async fn next<S>(&mut self, socket: &mut Socket<S>, line: &Line, was_fed: bool) -> Next
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut batch = pin!(self.client.next(PIECE));
        let (others, stopping) = (&self.others, &mut self.stopping);
        let mut is_others_turn = was_fed;
        poll_fn(|cx| {
            // Of what the hub sent itself.
            match line.waiting() {
                0 => {}
                left => socket.take_over(left),
            }
            let others_first = std::mem::take(&mut is_others_turn);
            if others_first && let Poll::Ready(next) = poll_others(others, stopping, socket, cx) {
                return Poll::Ready(next);
            }
            if socket.is_idle()
                && let Poll::Ready(batch) = batch.as_mut().poll(cx)
            {
                return Poll::Ready(Next::Batch(batch));
            }
            if others_first {
                return Poll::Pending;
            }
            poll_others(others, stopping, socket, cx)
        })
        .await
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
        self.cut_at = Some(Instant::now() + STOP_PATIENCE);
        let closing = Closing::with_retry(Closing::AWAY, STOPPING);
        self.client.outbox().close(closing);
    }
}

/// Resolves when the server stops, unless that is known already.
async fn stopped(stopping: &mut Option<BoxFuture<'static, ()>>) {
    poll_fn(|cx| poll_stopped(stopping, cx)).await;
}

fn poll_stopped(stopping: &mut Option<BoxFuture<'static, ()>>, cx: &mut Context<'_>) -> Poll<()> {
    match stopping {
        Some(stopping) => stopping.as_mut().poll(cx),
        None => Poll::Pending,
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

/// The last message to a client that broke the protocol, or said nothing for long.
fn last_word(code: u16, reason: &str) -> Option<Message> {
    let closing = match code {
        Closing::LATER => Closing::with_retry(code, reason),
        code => {
            let mut reason = reason.to_owned();
            if code == TOO_LONG {
                reason.push_str(": hello.limits.message_bytes may be sent in one");
            }
            Closing {
                code,
                reason,
                retry_ms: None,
            }
        }
    };
    let last = Published::own(Event::Closing(Box::new(closing)));
    Some(Message::Text(last.text().clone()))
}

/// The last message, and the close frame behind it.
async fn say_goodbye(mut socket: Socket<Wire>, closing: Closing) {
    let (code, reason) = (closing.code, closing.reason.clone());
    let last = Published::own(Event::Closing(Box::new(closing)));
    socket.push([Message::Text(last.text().clone())]);
    socket.close(code, &reason).await;
}

#[cfg(test)]
mod tests {
    use futures_util::SinkExt as _;
    use tokio::io::duplex;
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;
    use crate::client::Shared;
    use crate::config::StreamConfig;
    use crate::cursor::Instance;

    #[tokio::test]
    async fn a_client_is_heard_and_a_stop_is_seen_whatever_waits_for_it() {
        let shared = Arc::new(Shared::new(StreamConfig::default(), "polypy/test"));
        shared.begin(Instance(1));
        let mut connection = Connection {
            client: Streams::new(shared).open(Door::WebSocket).unwrap(),
            most_tokens: 1,
            pace: Pace::new(1, 1),
            stopping: None,
            cut_at: None,
            others: Notice::new(),
        };
        let more = |connection: &Connection| connection.answer(BadOperation::binary().into_event());
        let (near, far) = duplex(1_000);
        let mut socket = Socket::new(near, SocketLimits::default()).await;
        let line = Line::new(None);
        let mut far = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
        for _ in 0..3 {
            far.send(Message::text("less")).await.unwrap();
            more(&connection);
            let next = connection.next(&mut socket, &line, false).await;
            assert!(matches!(next, Next::Batch(_)), "what waits goes first");
            more(&connection);
            let next = connection.next(&mut socket, &line, true).await;
            assert!(matches!(next, Next::Turn(Turn::Text(_))), "but not always");
        }
        connection.stopping = Some(Box::pin(std::future::ready(())));
        let next = connection.next(&mut socket, &line, true).await;
        assert!(matches!(next, Next::Stopping));
    }
}
