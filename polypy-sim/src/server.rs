//! The one port: accepts, routes, upgrades.
//!
//! | path | goes to |
//! |---|---|
//! | `/ws/market` | the market socket; every other path below `/ws` is 404 |
//! | `/sim/...` | the control interface |
//! | `/book`, `/books`, `/time`, ... | CLOB |
//! | `/markets`, `/events`, `/status` ... | Gamma |

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::fault_kind::FaultKind;
use crate::http::{Answer, Query, error, not_found};
use crate::socket::{self, stopped};
use crate::world::World;
use crate::{clob, control, gamma};

/// `POST /books` with 500 ids takes 50 KiB.
const MAX_BODY: usize = 1 << 20;
/// How long a client may take over its request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a request in flight may take once the exchange stops.
const DRAIN: Duration = Duration::from_secs(1);
/// Pause after a failed accept, which is nearly always want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Between two lines about that: it may last, and fails twenty times a second.
const FAILURE_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Failed accepts, of which a line now and then gives the number.
#[derive(Debug, Default)]
struct FailedAccepts {
    unsaid: u64,
    said: Option<Instant>,
}

impl FailedAccepts {
    /// Counts one; how many there were since the last line if it is time for another.
    fn note(&mut self, now: Instant) -> Option<u64> {
        self.unsaid += 1;
        let is_due = |said| now.saturating_duration_since(said) >= FAILURE_LOG_INTERVAL;
        if !self.said.is_none_or(is_due) {
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

/// Accepts until the exchange stops.
pub(crate) async fn accept(listener: TcpListener, world: Arc<World>) {
    let mut stop = world.stop.clone();
    let mut failed = FailedAccepts::default();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _peer)) => {
                    world.tasks.spawn(serve(stream, Arc::clone(&world)));
                }
                Err(error) => {
                    if let Some(times) = failed.note(Instant::now()) {
                        tracing::warn!(%error, times, "the exchange cannot accept connections, trying on");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            () = stopped(&mut stop) => return,
        }
    }
}

async fn serve(stream: TcpStream, world: Arc<World>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot disable Nagle's algorithm");
    }
    let mut stop = world.stop.clone();
    let service = service_fn(|request| {
        let world = Arc::clone(&world);
        async move { Ok::<_, Infallible>(handle(request, world).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            match timeout(DRAIN, connection).await {
                Ok(ended) => ended,
                Err(_elapsed) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "http connection broke");
    }
}

async fn handle(request: Request<Incoming>, world: Arc<World>) -> Answer {
    world.counters.http_requests.increment();
    let path = request.uri().path().to_owned();
    if path == "/ws/market" {
        if world
            .exchange
            .lock()
            .refuses(FaultKind::Handshake429)
            .is_some()
        {
            world.counters.handshakes_refused.increment();
            return error(StatusCode::TOO_MANY_REQUESTS, "too many requests");
        }
        return upgrade(request, world);
    }
    let query = Query::parse(request.uri().query());
    let method = request.method().clone();
    let body = match Limited::new(request.into_body(), MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return error(StatusCode::PAYLOAD_TOO_LARGE, "body too large"),
    };
    let mut exchange = world.exchange.lock();
    let faults: &[FaultKind] = if clob::owns(&path) {
        &[FaultKind::Clob5xx, FaultKind::Clob429, FaultKind::Clob425]
    } else if gamma::owns(&path) {
        &[FaultKind::Gamma5xx, FaultKind::Gamma429]
    } else {
        &[]
    };
    if let Some(status) = faults.iter().find_map(|&kind| exchange.refuses(kind)) {
        return error(status, "fault");
    }
    if control::owns(&path) {
        control::answer(&mut exchange, &method, &path, &query, &body)
    } else if clob::owns(&path) {
        clob::answer(&mut exchange, &method, &path, &query, &body)
    } else if gamma::owns(&path) {
        match method {
            Method::GET => gamma::answer(&mut exchange, &path, &query),
            _ => error(StatusCode::METHOD_NOT_ALLOWED, "method not allowed"),
        }
    } else {
        not_found()
    }
}

/// Answers the WebSocket handshake and spawns the socket's task.
fn upgrade(mut request: Request<Incoming>, world: Arc<World>) -> Answer {
    let names = |header, word: &str| {
        request
            .headers()
            .get(header)
            .and_then(|value: &HeaderValue| value.to_str().ok())
            .is_some_and(|value| value.to_ascii_lowercase().contains(word))
    };
    let key = request
        .headers()
        .get(SEC_WEBSOCKET_KEY)
        .map(|key| derive_accept_key(key.as_bytes()));
    let version = names(SEC_WEBSOCKET_VERSION, "13");
    let asked = names(CONNECTION, "upgrade") && names(UPGRADE, "websocket") && version;
    let (Some(accept), true) = (key, asked && request.method() == Method::GET) else {
        return error(
            StatusCode::UPGRADE_REQUIRED,
            "a WebSocket handshake is needed",
        );
    };
    let Ok(accept) = HeaderValue::from_str(&accept) else {
        return error(StatusCode::BAD_REQUEST, "bad Sec-WebSocket-Key");
    };
    let upgraded = hyper::upgrade::on(&mut request);
    let socket_world = Arc::clone(&world);
    world.tasks.spawn(async move {
        let mut stop = socket_world.stop.clone();
        let upgraded = tokio::select! {
            upgraded = upgraded => upgraded,
            () = stopped(&mut stop) => return,
        };
        match upgraded {
            Ok(upgraded) => {
                let stream = WebSocketStream::from_raw_socket(
                    TokioIo::new(upgraded),
                    Role::Server,
                    Some(socket::websocket_config()),
                )
                .await;
                let link = socket_world.exchange.lock().connect();
                socket::serve(stream, link, socket_world).await;
            }
            Err(error) => tracing::debug!(%error, "upgrade failed"),
        }
    });
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_accepts_are_said_at_once_and_then_counted() {
        let (begun, mut failed) = (Instant::now(), FailedAccepts::default());
        let after = |millis| begun + Duration::from_millis(millis);
        assert_eq!(failed.note(begun), Some(1));
        let later = (1..=400).map(|at| after(at * 50));
        let lines: Vec<_> = later.filter_map(|now| failed.note(now)).collect();
        assert_eq!(lines, [200, 200]);
    }
}
