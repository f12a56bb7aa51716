//! One market socket: its task reads, writes, notices idleness and ends it.
//!
//! What frames mean is the exchange's business; this file moves them. Writing
//! may block on a slow client for as long as its send queue holds; the queue's
//! overflow, like a stop of the exchange, interrupts even a blocked write.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use crate::exchange::Link;
use crate::outbox::{Ending, Next};
use crate::world::World;

/// How long a client has to read what was written and answer the close frame.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);

/// The same when the exchange stops: nobody should wait for a client that left.
const STOP_DEADLINE: Duration = Duration::from_millis(500);

/// Client frames are small: a subscribe frame of 2,000 ids takes 160 KiB.
const MAX_CLIENT_FRAME: usize = 4 << 20;

/// Why the loop of a socket ended.
enum End {
    /// The client closed, or the socket broke.
    Client,
    /// The exchange wants it so.
    Exchange(Ending),
    /// No traffic for too long.
    Idle,
    /// The exchange stops.
    Stop,
}

/// The WebSocket settings of the exchange's side. Small buffers: there may be
/// hundreds of sockets.
pub(crate) fn websocket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(8 << 10)
        .write_buffer_size(64 << 10)
        .max_message_size(Some(MAX_CLIENT_FRAME))
        .max_frame_size(Some(MAX_CLIENT_FRAME))
}

/// Serves one socket until it ends, and forgets it.
pub(crate) async fn serve<S>(mut socket: WebSocketStream<S>, link: Arc<Link>, world: Arc<World>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let end = run(&mut socket, &link, &world).await;
    world.exchange.lock().disconnect(link.id);
    let patience = if matches!(end, End::Stop) {
        STOP_DEADLINE
    } else {
        CLOSE_DEADLINE
    };
    let frame = match end {
        End::Client | End::Exchange(Ending::Drop | Ending::DropAfterQueue) => None,
        End::Idle => {
            world.counters.closed_idle.increment();
            None
        }
        End::Exchange(Ending::Close(code, reason) | Ending::CloseAfterQueue(code, reason)) => {
            Some(CloseFrame {
                code: CloseCode::from(code),
                reason: Utf8Bytes::from(&*reason),
            })
        }
        End::Stop => Some(CloseFrame {
            code: CloseCode::Away,
            reason: Utf8Bytes::from_static("exchange stops"),
        }),
    };
    if let Some(frame) = frame {
        match timeout(patience, close(&mut socket, frame)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(connection = link.id, %error, "close failed"),
            Err(_elapsed) => tracing::debug!(connection = link.id, "client ignores the close"),
        }
    }
}

/// Sends a close frame and waits for the client's.
async fn close<S>(socket: &mut WebSocketStream<S>, frame: CloseFrame) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    socket.close(Some(frame)).await?;
    while let Some(message) = socket.next().await {
        message?;
    }
    Ok(())
}

async fn run<S>(socket: &mut WebSocketStream<S>, link: &Link, world: &World) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stop = world.stop.clone();
    let idle = world.config.idle_timeout;
    let mut deadline = Instant::now() + idle;
    loop {
        tokio::select! {
            incoming = socket.next() => match incoming {
                Some(Ok(Message::Text(text))) => {
                    deadline = Instant::now() + idle;
                    world.exchange.lock().receive(link.id, &text);
                }
                // Protocol pings are answered by the WebSocket layer itself.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Binary(_))) => {
                    deadline = Instant::now() + idle;
                }
                Some(Ok(Message::Frame(_) | Message::Close(_))) | None => return End::Client,
                Some(Err(error)) => {
                    tracing::debug!(connection = link.id, %error, "socket broke");
                    return End::Client;
                }
            },
            next = link.outbox.next() => match next {
                Next::End(ending) => return End::Exchange(ending),
                Next::Frames(frames) => {
                    tokio::select! {
                        written = write(socket, frames, world) => match written {
                            Ok(()) => deadline = Instant::now() + idle,
                            Err(error) => {
                                tracing::debug!(connection = link.id, %error, "write failed");
                                return End::Client;
                            }
                        },
                        ending = link.outbox.ended_at_once() => return End::Exchange(ending),
                        () = stopped(&mut stop) => return End::Stop,
                    }
                }
            },
            () = sleep_until(deadline) => return End::Idle,
            () = stopped(&mut stop) => return End::Stop,
        }
    }
}

async fn write<S>(
    socket: &mut WebSocketStream<S>,
    frames: Vec<Utf8Bytes>,
    world: &World,
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut count, mut bytes) = (0, 0);
    for frame in frames {
        count += 1;
        bytes += u64::try_from(frame.len()).unwrap_or(u64::MAX);
        socket.feed(Message::Text(frame)).await?;
    }
    socket.flush().await?;
    world.counters.frames_sent.add(count);
    world.counters.bytes_sent.add(bytes);
    Ok(())
}

/// Resolves when the exchange stops, or who could stop it is gone.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone: nobody will need an answer.
    if stop.wait_for(|stop| *stop).await.is_err() {
        tracing::debug!("the exchange's handle is gone");
    }
}
