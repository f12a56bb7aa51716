//! One WebSocket, as this crate needs it: opening under a deadline, reading all
//! that is there, writing without ever waiting.
//!
//! What is written goes into a buffer and is flushed while reading, so that a
//! peer that does not read cannot keep us from reading. Nothing here knows what
//! the frames say.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use futures_util::{Sink, Stream};
use hyper::Uri;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::dial::{Dial, Stream as Bytes};

use super::config::ConnectionConfig;

/// Frames taken in one go. Enough to share a lock and a hand-over among a
/// burst, few enough to look at commands and timers every millisecond or so.
const BATCH_FRAMES: usize = 256;
/// Bytes taken in one go, against a burst of huge frames.
const BATCH_BYTES: usize = 1 << 20;
/// Bytes read at once: some fifty frames, so that a busy socket asks the system
/// seldom. The WebSocket layer clears as much memory before each read and keeps
/// it for good, which with 500 quiet sockets would cost more than their frames:
/// its default of 128 KiB took a sixth more processor time and 50 MB.
const READ_BUFFER: usize = 32 << 10;
/// What may wait to be written. The longest burst of ours, 500 ids
/// unsubscribed and resubscribed, is 80 KB.
const WRITE_BUFFER: usize = 4 << 20;

/// Why a socket could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No byte stream: name, TCP or TLS.
    #[error("could not connect")]
    Dial(#[source] io::Error),
    /// An HTTP answer other than 101.
    #[error("upgrade refused with status {status}")]
    Refused {
        /// The answer's status.
        status: u16,
        /// Its `Retry-After`, when given in seconds.
        retry_after: Option<Duration>,
    },
    /// The upgrade broke off or was wrong.
    #[error("handshake failed")]
    Handshake(#[source] Box<WsError>),
    /// All of it took too long.
    #[error("not open within the deadline")]
    Deadline,
}

/// How a socket ended, seen from here.
#[derive(Debug)]
pub(super) enum End {
    /// The venue said good-bye.
    Closed {
        /// The close code, when it gave one.
        code: Option<u16>,
        /// Its text.
        reason: String,
    },
    /// The stream ended without a close frame.
    Dropped,
    /// It broke: I/O, or something that is not WebSocket.
    Broken(Box<WsError>),
}

/// An open socket.
pub(super) struct Socket {
    ws: WebSocketStream<Box<dyn Bytes>>,
    unflushed: bool,
    end: Option<End>,
}

impl Socket {
    /// Connects and upgrades.
    pub(super) async fn open(
        dialer: &dyn Dial,
        url: &Uri,
        config: &ConnectionConfig,
    ) -> Result<Self, OpenError> {
        let limits = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .max_message_size(Some(config.max_message_bytes))
            .max_frame_size(Some(config.max_message_bytes))
            // Every frame of ours is small and wants to leave at once.
            .write_buffer_size(0)
            .max_write_buffer_size(WRITE_BUFFER);
        let opening = async {
            let request = url
                .clone()
                .into_client_request()
                .map_err(|error| OpenError::Handshake(Box::new(error)))?;
            let stream = dialer.dial(url).await.map_err(OpenError::Dial)?;
            client_async_with_config(request, stream, Some(limits))
                .await
                .map_err(refusal)
        };
        let (ws, _) = timeout(config.handshake_deadline, opening)
            .await
            .unwrap_or(Err(OpenError::Deadline))?;
        Ok(Self {
            ws,
            unflushed: false,
            end: None,
        })
    }

    /// Accepts a text frame for writing. It leaves while the socket is read. `false`: the
    /// socket has ended.
    pub(super) fn send(&mut self, text: Utf8Bytes) -> bool {
        self.enqueue(Message::Text(text))
    }

    /// Says good-bye, as far as the peer takes it without waiting.
    pub(super) async fn part(mut self) {
        let _accepted = self.enqueue(Message::Close(Some(CloseFrame {
            code: CloseCode::Normal,
            reason: "".into(),
        })));
        poll_fn(|poller| {
            self.flush(poller);
            Poll::Ready(())
        })
        .await;
    }

    /// Waits for frames, then has `take` see all that are there, in order, and whether
    /// each is text or binary. Cancel-safe: what `take` saw was the last of this wait.
    pub(super) async fn read(&mut self, mut take: impl FnMut((&[u8], bool))) -> Result<(), End> {
        poll_fn(|poller| self.poll_read(poller, &mut take)).await
    }

    fn enqueue(&mut self, message: Message) -> bool {
        self.unflushed = true;
        // What cannot be accepted ends the socket at the next read: only there
        // is an end reported.
        match Pin::new(&mut self.ws).start_send(message) {
            Ok(()) => true,
            Err(error) => {
                self.end.get_or_insert(End::Broken(Box::new(error)));
                false
            }
        }
    }

    fn flush(&mut self, poller: &mut Poller<'_>) {
        if self.unflushed {
            match Pin::new(&mut self.ws).poll_flush(poller) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => {
                    self.unflushed = false;
                    self.end.get_or_insert(End::Broken(Box::new(error)));
                }
                Poll::Pending => {}
            }
        }
    }

    fn poll_read(
        &mut self,
        poller: &mut Poller<'_>,
        mut take: impl FnMut((&[u8], bool)),
    ) -> Poll<Result<(), End>> {
        self.flush(poller);
        let (mut frames, mut bytes) = (0, 0);
        while self.end.is_none() && frames < BATCH_FRAMES && bytes < BATCH_BYTES {
            match Pin::new(&mut self.ws).poll_next(poller) {
                Poll::Pending => break,
                Poll::Ready(None) => self.end = Some(End::Dropped),
                Poll::Ready(Some(Err(error))) => self.end = Some(ending(error)),
                Poll::Ready(Some(Ok(message))) => match message {
                    Message::Text(text) => {
                        (frames, bytes) = (frames + 1, bytes + text.len());
                        take((text.as_bytes(), true));
                    }
                    Message::Binary(binary) => {
                        (frames, bytes) = (frames + 1, bytes + binary.len());
                        take((&binary, false));
                    }
                    Message::Close(frame) => {
                        self.end = Some(End::Closed {
                            code: frame.as_ref().map(|frame| frame.code.into()),
                            reason: frame
                                .map_or_else(String::new, |frame| frame.reason.to_string()),
                        });
                        self.unflushed = true;
                        self.flush(poller);
                    }
                    // A ping's answer is queued already and leaves with the next flush.
                    Message::Ping(_) => {
                        self.unflushed = true;
                        self.flush(poller);
                    }
                    Message::Pong(_) | Message::Frame(_) => {}
                },
            }
        }
        if frames > 0 {
            return Poll::Ready(Ok(()));
        }
        match self.end.take() {
            Some(end) => Poll::Ready(Err(end)),
            None => Poll::Pending,
        }
    }
}

fn ending(error: WsError) -> End {
    use tokio_tungstenite::tungstenite::error::ProtocolError;
    match error {
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => End::Dropped,
        error => End::Broken(Box::new(error)),
    }
}

fn refusal(error: WsError) -> OpenError {
    match error {
        WsError::Http(response) => OpenError::Refused {
            status: response.status().as_u16(),
            retry_after: response
                .headers()
                .get(hyper::header::RETRY_AFTER)
                .and_then(|value| value.to_str().ok()?.trim().parse().ok())
                .map(Duration::from_secs),
        },
        WsError::Io(error) => OpenError::Dial(error),
        error => OpenError::Handshake(Box::new(error)),
    }
}
