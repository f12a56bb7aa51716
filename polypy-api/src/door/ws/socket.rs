//! One WebSocket, from the change of protocol to its end.
//!
//! [`Socket::turn`] reads and writes at the same time, so that a client which is slow to
//! read can still say that it wants less. What ends a socket:
//!
//! | what | close frame | and then |
//! |---|---|---|
//! | the client closes, or is gone | its own, returned | closed |
//! | a frame that is against the protocol, or no UTF-8, or too long | 1002, 1007, 1009 | closed |
//! | not a word for long, nor an answer to a ping | 1013 | closed |
//! | what was written is not taken in time | none: it would stand behind the rest | for its owner to reset |
//! | its owner closes it | the owner's, behind everything that waits | closed |
//!
//! *Closed* is: the sending side first, then what still comes is read for a moment. Bytes
//! that nobody has read would make a reset of the close, and a reset destroys what is
//! under way to the client.

use std::collections::VecDeque;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};

/// Read buffer of a socket: its clients say little.
const READ_BUFFER: usize = 4 * 1024;
/// Bytes gathered before they are handed to the system; a flush does not wait for them.
const WRITE_BUFFER: usize = 64 * 1024;
/// What is read of a client, and thrown away, after the last word to it.
const LINGER_BYTES: usize = 256 * 1024;

/// How patient a [`Socket`] is.
#[derive(Debug, Clone, Copy)]
pub struct SocketLimits {
    /// Longest message of the client, in bytes.
    pub most_bytes: usize,
    /// How often the client is pinged.
    pub ping: Duration,
    /// Pings in a row after which a client that has said nothing, no pong either, is gone.
    /// Counted in pings and not in time: a process that was stopped for a while has itself
    /// to blame.
    pub pings: u32,
    /// How long the client may take over what it was sent,
    pub write: Duration,
    /// and a second more for each so many bytes of it.
    pub rate: usize,
    /// How long the client has for its part of the close.
    pub close: Duration,
}

impl Default for SocketLimits {
    /// For sockets that are mostly written to. A client that does not answer three pings
    /// is gone, or is so far behind in what its system holds for it that the ping has not
    /// been reached: worth no more than one that is gone.
    fn default() -> Self {
        Self {
            most_bytes: 64 * 1024,
            ping: Duration::from_secs(20),
            pings: 3,
            write: Duration::from_secs(30),
            rate: 4 * 1024,
            close: Duration::from_secs(1),
        }
    }
}

/// What happened next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// The client sent text.
    Text(Utf8Bytes),
    /// The client sent bytes.
    Binary(Bytes),
    /// A ping, which is answered already, or a pong. Each costs an answer: who lets
    /// clients in counts them.
    Control,
    /// All that was pushed has been handed to the system.
    Written,
    /// Nothing more will happen.
    Ended(End),
}

/// Why a socket ended by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The client closed, or is gone.
    Left,
    /// The client broke a rule of the protocol.
    Violation {
        /// Code of the close frame that it is sent.
        code: u16,
        /// What is said in it.
        reason: &'static str,
    },
    /// The client said nothing, and answered no ping.
    Silent,
    /// The client did not take what it was sent in time.
    Slow,
}

impl End {
    /// A word for the log.
    fn name(&self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Violation { .. } => "violation",
            Self::Silent => "silent",
            Self::Slow => "slow",
        }
    }
}

/// A WebSocket of which this is the server's side.
#[derive(Debug)]
pub struct Socket<S> {
    stream: WebSocketStream<S>,
    limits: SocketLimits,
    /// What waits to be written.
    queue: VecDeque<Message>,
    /// Whether something was written and not flushed yet.
    unflushed: bool,
    /// Until when it has to be flushed; counts while there is something to flush.
    write_by: Instant,
    ping_at: Instant,
    /// Pings since the client last said anything.
    unanswered: u32,
    /// The client has sent its close frame: nothing more may be sent to it.
    is_closing: bool,
    timer: Pin<Box<Sleep>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// Takes over a connection on which the handshake is done.
    pub async fn new(stream: S, limits: SocketLimits) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_message_size(Some(limits.most_bytes))
            .max_frame_size(Some(limits.most_bytes));
        let now = Instant::now();
        Self {
            stream: WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await,
            limits,
            queue: VecDeque::new(),
            unflushed: false,
            write_by: now,
            ping_at: now + limits.ping,
            unanswered: 0,
            is_closing: false,
            timer: Box::pin(sleep_until(now + limits.ping)),
        }
    }

    /// Has these messages written, behind what waits. Bounds are for the caller, who
    /// waits until the socket [is idle](Self::is_idle) before it pushes more.
    pub fn push(&mut self, messages: impl IntoIterator<Item = Message>) {
        if self.is_closing {
            return;
        }
        let was_idle = self.is_idle();
        let waited = self.queue.len();
        self.queue.extend(messages);
        let bytes: usize = self.queue.iter().skip(waited).map(Message::len).sum();
        let patience = self.limits.write + self.time_for(bytes);
        if was_idle {
            self.write_by = Instant::now() + patience;
        } else {
            self.write_by += self.time_for(bytes);
        }
    }

    /// Something of what another thread wrote is left, so many bytes: see that it goes out.
    pub(crate) fn take_over(&mut self, left: usize) {
        if self.is_idle() && !self.is_closing {
            self.write_by = Instant::now() + self.limits.write + self.time_for(left);
            self.unflushed = true;
        }
    }

    /// The time that the slowest client may take for so many bytes.
    fn time_for(&self, bytes: usize) -> Duration {
        let seconds = bytes / self.limits.rate.max(1);
        Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX))
    }

    /// Whether all that was pushed has been handed to the system.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && !self.unflushed
    }

    /// Waits for what happens next. Nothing is lost when the future is dropped.
    pub async fn turn(&mut self) -> Turn {
        poll_fn(|cx| self.poll_turn(cx)).await
    }

    /// Waits until all that was pushed is handed to the system, and reads nothing.
    ///
    /// # Errors
    /// The end, if the client leaves before, or is too slow.
    pub async fn flush(&mut self) -> Result<(), End> {
        poll_fn(|cx| {
            if self.is_idle() {
                return Poll::Ready(Ok(()));
            }
            if let Poll::Ready(written) = self.poll_write(cx) {
                return Poll::Ready(written);
            }
            self.poll_until(self.write_by, cx).map(|()| Err(End::Slow))
        })
        .await
    }

    /// Hands to the system what it takes now. What it does not is written by the next
    /// [turn](Self::turn), which says so.
    ///
    /// # Errors
    /// The end, if the client has left.
    pub async fn write_at_once(&mut self) -> Result<(), End> {
        poll_fn(|cx| match self.poll_write(cx) {
            Poll::Ready(written) => Poll::Ready(written),
            Poll::Pending => Poll::Ready(Ok(())),
        })
        .await
    }

    /// See [`Self::turn`].
    pub(crate) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        loop {
            if !self.is_idle()
                && let Poll::Ready(written) = self.poll_write(cx)
            {
                return Poll::Ready(written.map_or_else(Turn::Ended, |()| Turn::Written));
            }
            let message = match Pin::new(&mut self.stream).poll_next(cx) {
                Poll::Ready(Some(Ok(message))) => message,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Turn::Ended(end_of(&error))),
                Poll::Ready(None) => return Poll::Ready(Turn::Ended(End::Left)),
                Poll::Pending => match ready!(self.poll_timer(cx)) {
                    Some(end) => return Poll::Ready(Turn::Ended(end)),
                    None => continue,
                },
            };
            self.unanswered = 0;
            match message {
                Message::Text(text) => return Poll::Ready(Turn::Text(text)),
                Message::Binary(bytes) => return Poll::Ready(Turn::Binary(bytes)),
                Message::Ping(_) | Message::Pong(_) => return Poll::Ready(Turn::Control),
                // The answer is written while the stream is read to its end.
                Message::Close(_) => {
                    self.is_closing = true;
                    self.queue.clear();
                    self.unflushed = false;
                    self.write_by = Instant::now() + self.limits.close;
                }
                // Made for writing alone.
                Message::Frame(_) => {}
            }
        }
    }

    /// Ready when all is handed to the system.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let mut stream = Pin::new(&mut self.stream);
        while !self.queue.is_empty() {
            if let Err(error) = ready!(stream.as_mut().poll_ready(cx)) {
                return Poll::Ready(Err(end_of(&error)));
            }
            if let Some(message) = self.queue.pop_front() {
                self.unflushed = true;
                if let Err(error) = stream.as_mut().start_send(message) {
                    return Poll::Ready(Err(end_of(&error)));
                }
            }
        }
        let flushed = ready!(stream.poll_flush(cx));
        self.unflushed = false;
        Poll::Ready(flushed.map_err(|error| end_of(&error)))
    }

    /// Ready with the end when a deadline has passed, and with nothing when a ping was
    /// pushed. While something is written, how fast it is taken says that the client lives:
    /// a ping would stand behind it.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Option<End>> {
        if self.is_closing || !self.is_idle() {
            ready!(self.poll_until(self.write_by, cx));
            let is_closing = self.is_closing;
            return Poll::Ready(Some(if is_closing { End::Left } else { End::Slow }));
        }
        ready!(self.poll_until(self.ping_at, cx));
        if self.unanswered >= self.limits.pings {
            return Poll::Ready(Some(End::Silent));
        }
        self.unanswered += 1;
        self.ping_at = Instant::now() + self.limits.ping;
        self.push([Message::Ping(Bytes::new())]);
        Poll::Ready(None)
    }

    fn poll_until(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if self.timer.deadline() != deadline {
            self.timer.as_mut().reset(deadline);
        }
        self.timer.as_mut().poll(cx)
    }

    /// Sends what waits, then the close frame, and closes once the client has closed too or
    /// its time is up. The connection itself is returned, to be dropped.
    pub async fn close(mut self, code: u16, reason: &str) -> S {
        let patience = self.limits.close;
        let frame = CloseFrame {
            code: CloseCode::from(code),
            reason: Utf8Bytes::from(fitting(reason)),
        };
        // Nothing may follow a close frame.
        self.ping_at = Instant::now() + patience;
        let goodbye = timeout(patience, async {
            self.flush().await?;
            self.push([Message::Close(Some(frame))]);
            self.flush().await?;
            // Until its own close frame; what else it still says is for nobody.
            loop {
                if let Turn::Ended(end) = self.turn().await {
                    return Err::<(), End>(end);
                }
            }
        });
        match goodbye.await {
            Ok(end) => {
                let end = end.err().map(|end| end.name());
                tracing::debug!(code, end, "websocket closed");
            }
            Err(_elapsed) => tracing::debug!(code, "websocket client does not close"),
        }
        self.hang_up().await
    }

    /// What there is to do after [`Turn::Ended`]. The connection itself is returned, to be
    /// dropped, or to be reset after [`End::Slow`]. `last` is the message before a close
    /// frame of this code and reason, if there is one.
    pub async fn end(mut self, end: End, last: impl FnOnce(u16, &str) -> Option<Message>) -> S {
        // A reader that has failed may still be written to.
        let (code, reason) = match end {
            End::Left => return self.hang_up().await,
            End::Slow => return self.stream.into_inner(),
            End::Violation { code, reason } => (code, reason),
            End::Silent => (1013, "no answer to any ping"),
        };
        self.queue.clear();
        self.push(last(code, reason));
        self.close_unheard(code, reason).await
    }

    /// Sends a close frame to a client from which nothing can be read any more.
    async fn close_unheard(mut self, code: u16, reason: &'static str) -> S {
        let frame = CloseFrame {
            code: CloseCode::from(code),
            reason: Utf8Bytes::from_static(reason),
        };
        self.push([Message::Close(Some(frame))]);
        let patience = self.limits.close;
        match timeout(patience, self.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(end)) => tracing::debug!(code, end = end.name(), "close frame not sent"),
            Err(_elapsed) => tracing::debug!(code, "close frame not taken"),
        }
        self.hang_up().await
    }

    /// Closes the connection in a way that leaves the client what is under way to it.
    async fn hang_up(self) -> S {
        let patience = self.limits.close;
        let mut stream = self.stream.into_inner();
        let rest = timeout(patience, async {
            stream.shutdown().await?;
            let mut scratch = [0; 4096];
            let mut total = 0;
            while total < LINGER_BYTES {
                match stream.read(&mut scratch).await? {
                    0 => break,
                    read => total += read,
                }
            }
            std::io::Result::Ok(total)
        });
        match rest.await {
            Ok(Ok(bytes)) => tracing::trace!(bytes, "websocket client closed"),
            Ok(Err(error)) => tracing::trace!(%error, "websocket client left"),
            Err(_elapsed) => tracing::trace!("websocket client does not close its side"),
        }
        stream
    }
}

/// As much of a reason as a close frame has room for.
fn fitting(reason: &str) -> &str {
    const ROOM: usize = 123;
    reason
        .get(..reason.floor_char_boundary(ROOM))
        .unwrap_or(reason)
}

/// What an error of the WebSocket means. What the client is told is short: a close frame
/// has room for 123 bytes.
fn end_of(error: &WsError) -> End {
    let (code, reason) = match error {
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => return End::Left,
        WsError::Protocol(_) => (1002, "frame against the protocol"),
        WsError::Utf8(_) => (1007, "text that is not UTF-8"),
        WsError::Capacity(_) => (1009, "message too long"),
        // The connection is gone, or is no longer ours to write to.
        _ => return End::Left,
    };
    tracing::debug!(%error, code, "websocket client broke the protocol");
    End::Violation { code, reason }
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;
