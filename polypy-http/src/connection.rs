//! One connection, from its first byte to its close.
//!
//! hyper speaks HTTP/1 on it; this module decides how it ends:
//!
//! | what ends it | how |
//! |---|---|
//! | the client, or `Connection: close` | closed, once the client has closed or a moment has passed: closing with unread bytes would reset the connection and could destroy the answer on its way |
//! | no request, too long | closed |
//! | half a request, too long | 408, closed |
//! | an answer that its client takes too slowly | reset, so that the system forgets the unsent rest too |
//! | a change of protocol | the new one's task goes on with the socket |
//! | another connection that needs its reserved place | 503, closed |
//! | the server stops, nothing in flight | closed at once |
//! | the server stops, a request in flight | answered with `Connection: close` |

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hyper::StatusCode;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::activity::{Activity, Expired, Phase};
use crate::call::Client;
use crate::config::{HttpConfig, MIN_HEADER_BYTES};
use crate::counters::count;
use crate::io::{DeadlineStream, Limits};
use crate::peer::Peer;
use crate::places::{Place, Refused};
use crate::reply::canned;
use crate::reserve::Notice;
use crate::responder::{Admission, Connected, Shared, UpgradeSlot};
use crate::service::Responder;
use crate::socket::{DirectWriter, Socket};

/// How long, and how much, is read from a client after its last answer.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 * 1024;
/// What a client says first that will speak HTTP/2 and nothing else.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The same when the server stops.
const LINGER_AT_STOP: Duration = Duration::from_millis(100);

/// How long a client in a reserved place has to send its request. A probe sends
/// it with the connection.
const RESERVED_PATIENCE: Duration = Duration::from_secs(2);

/// A request whose bytes lie in the system's buffer is in flight too: at the
/// server's stop, an idle connection gets one round of the event loop to show it.
const IDLE_GRACE: Duration = Duration::from_millis(5);

/// What a stream's client gets to take what waits for it, and the last word, when the
/// server stops: one that does not read would hold up the others' stop.
const STREAM_GRACE: Duration = Duration::from_secs(1);

/// A socket that has left HTTP behind.
#[derive(Debug)]
pub struct Upgraded {
    stream: Socket,
    /// What arrived with the request, before the change of protocol.
    early: Bytes,
}

impl Upgraded {
    /// Lets another thread write to it as well, if it is TCP that is not encrypted: it is
    /// closed once no [`DirectWriter`] is left.
    pub fn shared(self) -> (Self, Option<DirectWriter>) {
        let (stream, writer) = self.stream.shared();
        let early = self.early;
        (Self { stream, early }, writer)
    }

    /// Closes it at once, and has the system forget what was not sent yet: for a client
    /// that does not read.
    pub fn reset(self) {
        forget_unsent(&self.stream);
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let fits = self.early.len().min(buffer.remaining());
        buffer.put_slice(&self.early[..fits]);
        self.early.advance(fits);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// While the server ran.
    Closed,
    /// At the server's stop, with nothing in flight.
    ClosedIdle,
    /// After the server's stop, its last request answered.
    Drained,
    /// After the server's stop, in the midst of a stream that was not read.
    Cut,
}

/// How connections are served, made once.
#[derive(Debug, Clone)]
pub(crate) struct Protocol {
    http: http1::Builder,
    limits: Limits,
}

impl Protocol {
    pub(crate) fn new(config: &HttpConfig) -> Self {
        let head = config.max_header_bytes.max(MIN_HEADER_BYTES);
        let mut http = http1::Builder::new();
        // The stream has a deadline for each state; hyper's own would take a new timer
        // for each request.
        http.header_read_timeout(None)
            // A client that closes its sending side still gets its answer.
            .half_close(true)
            .keep_alive(true)
            .max_header_size(head)
            .max_buf_size(head);
        let window = config.write_timeout.as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "bytes in a window of minutes, for a rate that is no exact number anyway"
        )]
        let rate = (config.min_send_rate as f64 * window) as usize;
        Self {
            http,
            limits: Limits {
                head: config.header_read_timeout,
                idle: config.idle_timeout,
                write: config.write_timeout,
                rate: rate.max(1),
            },
        }
    }

    /// Serves a connection that has a place, until it ends.
    pub(crate) async fn serve(
        &self,
        stream: Socket,
        peer: Peer,
        place: Place,
        shared: Arc<Shared>,
        stopping: watch::Receiver<bool>,
    ) -> Ended {
        let activity = Arc::new(Activity::default());
        let admission = Admission::Place(Arc::new(place));
        let never = std::future::pending();
        let secured = secured(stream, self.limits.head, &shared, stopping.clone(), never);
        let Ok(stream) = secured.await else {
            return Ended::Closed;
        };
        let run = Run::new(
            stream,
            self.limits,
            peer,
            admission,
            shared,
            activity,
            stopping,
        );
        run.serve(&self.http, std::future::pending()).await
    }

    /// Answers one request of a connection without one, if it is a probe's.
    pub(crate) async fn serve_reserved(
        &self,
        stream: Socket,
        peer: Peer,
        why: Refused,
        notice: Notice,
        shared: Arc<Shared>,
        stopping: watch::Receiver<bool>,
    ) -> Ended {
        let patience = RESERVED_PATIENCE;
        let limits = Limits {
            head: self.limits.head.min(patience),
            idle: patience,
            write: patience,
            rate: usize::MAX,
        };
        let activity = notice.activity();
        let admission = Admission::Reserved(why);
        let mut given = Box::pin(notice.given());
        let secured = secured(stream, patience, &shared, stopping.clone(), &mut given);
        let Ok(stream) = secured.await else {
            return Ended::Closed;
        };
        let run = Run::new(stream, limits, peer, admission, shared, activity, stopping);
        run.serve(&self.http, given).await
    }
}

/// A client's handshake, which is not waited for once another needs its place. An error
/// is none of ours.
async fn secured(
    stream: Socket,
    patience: Duration,
    shared: &Shared,
    mut stopping: watch::Receiver<bool>,
    evicted: impl Future<Output = ()>,
) -> Result<Socket, ()> {
    let Some(tls) = shared.tls.as_deref() else {
        return Ok(stream);
    };
    let counters = &shared.counters;
    tokio::select! {
        biased;
        handshake = timeout(patience, stream.secured(Some(tls))) => match handshake {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => {
                count(&counters.protocol_errors);
                tracing::debug!(%error, "client did not speak tls");
                Err(())
            }
            Err(_elapsed) => {
                count(&counters.head_timeouts);
                Err(())
            }
        },
        () = stopped(&mut stopping) => Err(()),
        () = evicted => {
            count(&counters.evicted);
            Err(())
        }
    }
}

/// One connection being served.
struct Run {
    stream: DeadlineStream<Socket>,
    responder: Responder,
    upgrade: UpgradeSlot,
    stopping: watch::Receiver<bool>,
}

impl Run {
    fn new(
        stream: Socket,
        limits: Limits,
        peer: Peer,
        admission: Admission,
        shared: Arc<Shared>,
        activity: Arc<Activity>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let upgrade = UpgradeSlot::default();
        let secure = stream.is_tls();
        Self {
            stream: DeadlineStream::new(stream, limits, Arc::clone(&activity)),
            responder: Responder(Arc::new(Connected {
                shared,
                activity,
                client: Arc::new(Client {
                    peer,
                    secure,
                    stopping: stopping.clone(),
                }),
                admission,
                upgrade: Arc::clone(&upgrade),
            })),
            upgrade,
            stopping,
        }
    }

    /// Serves requests until the connection ends, or `evicted` resolves.
    async fn serve(self, http: &http1::Builder, evicted: impl Future<Output = ()>) -> Ended {
        let Self {
            stream,
            responder,
            upgrade,
            mut stopping,
        } = self;
        let shared = Arc::clone(&responder.0.shared);
        let activity = Arc::clone(&responder.0.activity);
        let admission = responder.0.admission.clone();
        let mut connection = http.serve_connection(TokioIo::new(stream), responder);
        let mut evicted = std::pin::pin!(evicted);

        let mut told = false;
        let mut cut_at = Instant::now();
        let result = loop {
            let finished = tokio::select! {
                biased;
                result = poll_fn(|cx| connection.poll_without_shutdown(cx)) => Some(result),
                () = stopped(&mut stopping), if !told => None,
                () = sleep_until(cut_at), if told && activity.is_streaming() => {
                    let stream = connection.into_parts().io.into_inner().into_inner();
                    forget_unsent(&stream);
                    return Ended::Cut;
                }
                () = &mut evicted => {
                    let stream = connection.into_parts().io.into_inner().into_inner();
                    give_way(stream, &admission, &activity, &shared);
                    return Ended::Closed;
                }
            };
            if let Some(result) = finished {
                break result;
            }
            told = true;
            cut_at = Instant::now() + STREAM_GRACE;
            if activity.phase() == Phase::Idle {
                let more = poll_fn(|cx| connection.poll_without_shutdown(cx));
                match timeout(IDLE_GRACE, more).await {
                    Ok(result) => break result,
                    Err(_elapsed) if activity.phase() == Phase::Idle => return Ended::ClosedIdle,
                    Err(_elapsed) => {}
                }
            }
            // While a head is arriving, hyper is left alone: it would cut one
            // that follows an answer. The responder closes after its answer.
            if activity.phase() == Phase::Answering {
                Pin::new(&mut connection).graceful_shutdown();
            }
        };
        let parts = connection.into_parts();
        let stream = parts.io.into_inner().into_inner();
        // Taken out first: the guard of a lock must not live over the task.
        let task = upgrade.lock().take();
        match (task, &result) {
            (Some(task), Ok(())) => {
                let early = parts.read_buf;
                task(Upgraded { stream, early }).await;
            }
            // A client that left before it was told has no use for the task.
            (Some(_), Err(_)) | (None, _) => {
                let speaks_http2 = parts.read_buf.starts_with(HTTP2_PREFACE);
                let ending = finish(stream, result, speaks_http2, &activity, &shared, told);
                tokio::select! {
                    () = ending => {}
                    () = evicted => {}
                }
            }
        }
        // The place is the connection's until here, however it was used.
        drop(admission);
        if told { Ended::Drained } else { Ended::Closed }
    }
}

/// Closes at once in favour of another, with an answer if there was none.
fn give_way(stream: Socket, admission: &Admission, activity: &Activity, shared: &Shared) {
    count(&shared.counters.evicted);
    let Admission::Reserved(why) = admission else {
        return;
    };
    if activity.has_answered() {
        return;
    }
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let refusal = canned(&shared.service, status, why.text());
    // Nothing has been written, so that the system's buffer takes all of it.
    match stream.try_write(&refusal) {
        Ok(_) => forget_unread(&stream),
        Err(error) => tracing::debug!(%error, "evicted client not told"),
    }
}

/// Has the system forget what its client does not read.
fn forget_unsent(stream: &Socket) {
    if let Err(error) = stream.forget_unsent() {
        tracing::debug!(%error, "slow reader not reset");
    }
}

/// Takes what has arrived out of the system's buffer: bytes that nobody has read
/// would make a reset of the close.
fn forget_unread(stream: &Socket) {
    let mut scratch = [0; 4096];
    for _ in 0..LINGER_BYTES / scratch.len() {
        match stream.try_read(&mut scratch) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
}

/// Waits until the server stops. A sender that is gone counts as that.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    if let Err(closed) = stopping.wait_for(|stop| *stop).await {
        tracing::debug!(%closed, "server dropped without stop");
    }
}

/// Counts how the exchange of requests ended and closes the socket accordingly.
async fn finish(
    mut stream: Socket,
    result: hyper::Result<()>,
    speaks_http2: bool,
    activity: &Activity,
    shared: &Shared,
    stopping: bool,
) {
    let counters = &shared.counters;
    let patience = if stopping { LINGER_AT_STOP } else { LINGER };
    match activity.expired() {
        Some(Expired::Write) => {
            count(&counters.slow_readers);
            forget_unsent(&stream);
            return;
        }
        Some(Expired::Idle) => {
            count(&counters.idle_timeouts);
            return;
        }
        Some(Expired::Head) => {
            count(&counters.head_timeouts);
            if activity.is_receiving() {
                let text = "the request did not arrive in time";
                let refusal = canned(&shared.service, StatusCode::REQUEST_TIMEOUT, text);
                match timeout(LINGER, stream.write_all(&refusal)).await {
                    Ok(Ok(())) => linger(&mut stream, patience).await,
                    Ok(Err(error)) => tracing::debug!(%error, "refusal not sent"),
                    Err(_elapsed) => tracing::debug!("refusal not read"),
                }
            }
            return;
        }
        None => {}
    }
    match result {
        Ok(()) => linger(&mut stream, patience).await,
        // hyper has answered 400, 414 or 431 where it could.
        Err(error) if error.is_parse() || error.is_parse_too_large() => {
            count(&counters.protocol_errors);
            tracing::debug!(
                error = &error as &(dyn Error + 'static),
                "client did not speak http"
            );
            // The one whom hyper leaves without an answer.
            if speaks_http2 {
                let text = "this server speaks HTTP/1.1, not HTTP/2";
                let status = StatusCode::HTTP_VERSION_NOT_SUPPORTED;
                let refusal = canned(&shared.service, status, text);
                match timeout(LINGER, stream.write_all(&refusal)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::debug!(%error, "refusal not sent"),
                    Err(_elapsed) => tracing::debug!("refusal not read"),
                }
            }
            linger(&mut stream, patience).await;
        }
        Err(error) => tracing::debug!(
            error = &error as &(dyn Error + 'static),
            "connection ended early"
        ),
    }
}

/// Closes the sending side and reads what still comes, within bounds.
async fn linger(stream: &mut Socket, patience: Duration) {
    let drained = timeout(patience, async {
        stream.shutdown().await?;
        let mut scratch = [0; 4096];
        let mut total = 0;
        while total < LINGER_BYTES {
            match stream.read(&mut scratch).await? {
                0 => break,
                read => total += read,
            }
        }
        io::Result::Ok(total)
    });
    match drained.await {
        Ok(Ok(bytes)) => tracing::trace!(bytes, "client closed"),
        Ok(Err(error)) => tracing::debug!(%error, "client left"),
        Err(_elapsed) => {
            forget_unread(stream);
            tracing::debug!("client did not close");
        }
    }
}
