//! One connection, from its first byte to its close.
//!
//! hyper speaks HTTP/1 on it; this module decides how it ends:
//!
//! | what ends it | how |
//! |---|---|
//! | the client, or `Connection: close` | closed |
//! | no request, too long | closed |
//! | half a request, too long | 408, closed |
//! | an answer nobody reads, too long | reset, so that the system forgets the unsent rest too |
//! | a body that was refused, or bytes that are no HTTP | answered, then drained for a moment: closing with unread bytes would reset the connection and could destroy the answer on its way |
//! | the server stops, nothing in flight | closed at once |
//! | the server stops, a request in flight | answered with `Connection: close` |

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::activity::{Activity, Expired, Phase};
use crate::config::{HttpConfig, MIN_HEADER_BYTES};
use crate::counters::count;
use crate::io::{DeadlineStream, Limits};
use crate::reply::canned;
use crate::responder::{Responder, Shared};

/// How long, and how much, is read from a client whose request was refused.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 * 1024;

/// A request whose bytes lie in the system's buffer is in flight too: at the
/// server's stop, an idle connection gets one round of the event loop to show it.
const IDLE_GRACE: Duration = Duration::from_millis(5);

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// While the server ran.
    Closed,
    /// At the server's stop, with nothing in flight.
    ClosedIdle,
    /// After the server's stop, its last request answered.
    Drained,
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
        http.timer(TokioTimer::new())
            // The stream's own deadlines come first; this one is hyper's
            // safety net, which runs over idle time and head together.
            .header_read_timeout(config.idle_timeout + config.header_read_timeout * 2)
            // A client that closes its sending side still gets its answer.
            .half_close(true)
            .keep_alive(true)
            .max_header_size(head)
            .max_buf_size(head);
        Self {
            http,
            limits: Limits {
                head: config.header_read_timeout,
                idle: config.idle_timeout,
                write: config.write_timeout,
            },
        }
    }

    /// Serves one connection until it ends.
    pub(crate) async fn serve(
        &self,
        stream: TcpStream,
        shared: Arc<Shared>,
        mut stopping: watch::Receiver<bool>,
    ) -> Ended {
        let activity = Arc::new(Activity::default());
        let stream = DeadlineStream::new(stream, self.limits, Arc::clone(&activity));
        let responder =
            Responder::new(Arc::clone(&shared), Arc::clone(&activity), stopping.clone());
        let mut connection = self.http.serve_connection(TokioIo::new(stream), responder);

        let mut told = false;
        let result = loop {
            let finished = tokio::select! {
                biased;
                result = poll_fn(|cx| connection.poll_without_shutdown(cx)) => Some(result),
                () = stopped(&mut stopping), if !told => None,
            };
            if let Some(result) = finished {
                break result;
            }
            told = true;
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
        let stream = connection.into_parts().io.into_inner().into_inner();
        finish(stream, result, &activity, &shared).await;
        if told { Ended::Drained } else { Ended::Closed }
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
    mut stream: TcpStream,
    result: hyper::Result<()>,
    activity: &Activity,
    shared: &Shared,
) {
    let counters = &shared.counters;
    match activity.expired() {
        Some(Expired::Write) => {
            count(&counters.slow_readers);
            if let Err(error) = stream.set_zero_linger() {
                tracing::debug!(%error, "slow reader not reset");
            }
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
                refuse(&mut stream, StatusCode::REQUEST_TIMEOUT, text).await;
            }
            return;
        }
        None => {}
    }
    match result {
        Ok(()) if activity.has_refused_body() => linger(&mut stream).await,
        Ok(()) => {}
        // hyper has answered 400, 414 or 431 where it could.
        Err(error) if error.is_parse() || error.is_parse_too_large() => {
            count(&counters.protocol_errors);
            tracing::debug!(?error, "client did not speak http");
            linger(&mut stream).await;
        }
        Err(error) => tracing::debug!(?error, "connection ended early"),
    }
}

/// Sends a whole refusal and closes, giving the client a moment to read it.
pub(crate) async fn refuse(stream: &mut TcpStream, status: StatusCode, error: &str) {
    match timeout(LINGER, stream.write_all(&canned(status, error))).await {
        Ok(Ok(())) => linger(stream).await,
        Ok(Err(error)) => tracing::debug!(%error, "refusal not sent"),
        Err(_elapsed) => tracing::debug!("refusal not read"),
    }
}

/// Closes the sending side and reads what still comes, within bounds.
async fn linger(stream: &mut TcpStream) {
    let drained = timeout(LINGER, async {
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
    match drained.await {
        Ok(Ok(bytes)) => tracing::trace!(bytes, "drained a refused client"),
        Ok(Err(error)) => tracing::debug!(%error, "refused client left"),
        Err(_elapsed) => tracing::debug!("refused client did not close"),
    }
}
