//! From one request to one answer.
//!
//! Every request gets an answer and none can end another: a handler that
//! panics is a 500 of its own request. In this order: the request id, the
//! rules of RFC 9112 for `Host` and the target, `Expect`, the route, whether the
//! connection has a place, the method, the query, the body (there is none to send
//! here: it is refused unread and the connection closed), the handler.

use std::any::Any;
use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::header::{
    CACHE_CONTROL, CONTENT_ENCODING, EXPECT, HOST, HeaderValue, SERVER, TRANSFER_ENCODING, UPGRADE,
    VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::service::Service as HyperService;
use hyper::{Method, Request, Response, StatusCode, Version};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use crate::activity::Activity;
use crate::body::Body;
use crate::budget::{Memory, counted};
use crate::catalogue::BY_ENCODING;
use crate::counters::{Counters, count};
use crate::encoding::{WORTH_COMPRESSING, gzip, wants_gzip};
use crate::handler;
use crate::host::{Host, Names};
use crate::peer::Peer;
use crate::places::{Place, Places, Refused};
use crate::query::{Query, shown};
use crate::queue::Queue;
use crate::reply::{ErrorBody, Reply, Service, Task, X_REQUEST_ID};
use crate::request_id::{RequestId, RequestIds};
use crate::route::{Call, Handler, Matched, NoMatch, READ, Route, Routes};

/// Longest target accepted: what most proxies pass on.
const MAX_TARGET: usize = 8 * 1024;
/// Advice when the server is busy: a moment.
const BUSY_SECONDS: u32 = 1;

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) service: Service,
    pub(crate) routes: Routes,
    /// One for each route.
    pub(crate) queues: Vec<Option<Queue>>,
    pub(crate) names: Names,
    pub(crate) counters: Counters,
    pub(crate) memory: Memory,
    pub(crate) places: Arc<Places>,
    pub(crate) request_ids: RequestIds,
    pub(crate) answer_timeout: Duration,
    /// Answers close their connection: its client should find another server.
    pub(crate) leaving: AtomicBool,
}

/// What a connection may ask for.
#[derive(Debug, Clone)]
pub(crate) enum Admission {
    /// Everything; the place is the connection's.
    Place(Arc<Place>),
    /// What probes ask for, once; anything else is refused for this reason.
    Reserved(Refused),
}

/// The task that an upgrade leaves for its connection.
pub(crate) type UpgradeSlot = Arc<Mutex<Option<Task>>>;

/// The service of one connection.
#[derive(Clone)]
pub(crate) struct Responder {
    pub(crate) shared: Arc<Shared>,
    pub(crate) activity: Arc<Activity>,
    pub(crate) peer: Peer,
    pub(crate) admission: Admission,
    pub(crate) upgrade: UpgradeSlot,
    /// True once the server is stopping: answers then close their connection.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl HyperService<Request<Incoming>> for Responder {
    type Response = Response<Outgoing>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.activity.begin_answering();
        let responder = self.clone();
        Box::pin(async move { Ok(responder.answer(request).await) })
    }
}

/// The body of an answer, which is being given until this is dropped.
#[derive(Debug)]
pub(crate) struct Outgoing {
    body: Body,
    activity: Arc<Activity>,
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.activity.answered();
    }
}

impl hyper::body::Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Responder {
    async fn answer(&self, request: Request<Incoming>) -> Response<Outgoing> {
        let started = Instant::now();
        let has_body = !request.body().is_end_stream();
        let (parts, _unread) = request.into_parts();
        let request_id = parts
            .headers
            .get(X_REQUEST_ID)
            .and_then(|value| RequestId::from_client(value.as_bytes()))
            .unwrap_or_else(|| self.shared.request_ids.next());

        let (index, mut reply) = match self.accept(&parts, &request_id) {
            Err(reply) => (None, *reply),
            Ok(matched) => {
                let index = matched.index;
                let reply = self.serve(&parts, matched, has_body, &request_id).await;
                (Some(index), self.keep_place(reply, &parts, &request_id))
            }
        };
        let once = matches!(self.admission, Admission::Reserved(_));
        let leaving = self.shared.leaving.load(Ordering::Relaxed);
        if has_body || once || leaving || reply.is_lasting() || *self.stopping.borrow() {
            reply = reply.closing();
        }
        let took = started.elapsed();
        self.shared
            .counters
            .answered(index, reply.status.as_u16(), took);
        tracing::debug!(
            %request_id,
            method = %parts.method,
            path = shown(parts.uri.path()),
            status = reply.status.as_u16(),
            elapsed_ms = took.as_secs_f64() * 1e3,
            "request answered"
        );
        self.respond(reply, &request_id)
    }

    /// The HTTP message.
    fn respond(&self, mut reply: Reply, request_id: &RequestId) -> Response<Outgoing> {
        *self.upgrade.lock() = reply.task.take();
        let mut response = Response::new(Outgoing {
            body: reply.body,
            activity: Arc::clone(&self.activity),
        });
        *response.status_mut() = reply.status;
        let mut headers = reply.headers;
        headers.entry(CACHE_CONTROL).or_insert(NO_STORE);
        headers
            .entry(SERVER)
            .or_insert_with(|| self.shared.service.product.clone());
        headers.entry(X_CONTENT_TYPE_OPTIONS).or_insert(NOSNIFF);
        if let Ok(value) = HeaderValue::from_str(request_id.as_str()) {
            headers.insert(X_REQUEST_ID, value);
        }
        *response.headers_mut() = headers;
        response
    }

    /// Everything that is checked before the method: an error, `OPTIONS *`, or the route.
    fn accept(&self, parts: &Parts, request_id: &RequestId) -> Result<Matched, Box<Reply>> {
        let fragment = self.activity.take_fragment();
        let refuse = |status, why: &str| Box::new(Reply::error(status, request_id, why).closing());
        if let Some(problem) = bad_framing(parts, fragment) {
            return Err(refuse(StatusCode::BAD_REQUEST, problem));
        }
        let target = &parts.uri;
        let authority = target
            .authority()
            .map(|authority| authority.as_str().as_bytes());
        // An authority in the target counts instead of the header (section 3.2.2).
        let host = authority.or_else(|| parts.headers.get(HOST).map(HeaderValue::as_bytes));
        let Some(host) = Host::parse(host.unwrap_or_default()) else {
            return Err(refuse(
                StatusCode::BAD_REQUEST,
                "the host of the request is not a host",
            ));
        };
        let length = authority.map_or(0, <[u8]>::len)
            + target
                .path_and_query()
                .map_or(0, |path| path.as_str().len());
        if length > MAX_TARGET {
            let text = format!("the request target is longer than {MAX_TARGET} bytes");
            return Err(refuse(StatusCode::URI_TOO_LONG, &text));
        }
        if parts.method == Method::CONNECT {
            return Err(Box::new(
                method_not_allowed(parts, READ, request_id).closing(),
            ));
        }
        if !self.shared.names.includes(&host) {
            return Err(Box::new(misdirected(&host, request_id)));
        }
        if let Some(expected) = parts.headers.get(EXPECT)
            && !expected.as_bytes().eq_ignore_ascii_case(b"100-continue")
        {
            return Err(refuse(
                StatusCode::EXPECTATION_FAILED,
                "the expectation is not one that can be met here",
            ));
        }
        if parts.method == Method::OPTIONS && target.path() == "*" {
            return Err(Box::new(
                Reply::empty(StatusCode::NO_CONTENT).with_allow(READ),
            ));
        }
        let routes = &self.shared.routes;
        let found = routes.find(target.path());
        if let Admission::Reserved(why) = &self.admission {
            let route = found
                .as_ref()
                .ok()
                .and_then(|found| routes.get(found.index));
            if !route.is_some_and(|route| route.probe) {
                return Err(Box::new(busy(request_id, why.text())));
            }
        }
        found.map_err(|reason| {
            Box::new(match reason {
                NoMatch::Encoding => ErrorBody {
                    path: Some(shown(target.path())),
                    ..ErrorBody::new(
                        StatusCode::BAD_REQUEST,
                        request_id,
                        "the path is not valid percent-encoded UTF-8",
                    )
                }
                .reply(),
                NoMatch::Unknown => ErrorBody {
                    path: Some(shown(target.path())),
                    routes: routes.iter().map(|route| route.path).collect(),
                    ..ErrorBody::new(StatusCode::NOT_FOUND, request_id, "no such route")
                }
                .reply(),
            })
        })
    }

    async fn serve(
        &self,
        parts: &Parts,
        matched: Matched,
        has_body: bool,
        request_id: &RequestId,
    ) -> Reply {
        let Some(route) = self.shared.routes.get(matched.index) else {
            return Reply::error(StatusCode::NOT_FOUND, request_id, "no such route");
        };
        if parts.method == Method::OPTIONS {
            return Reply::empty(StatusCode::NO_CONTENT).with_allow(route.allow);
        }
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            return method_not_allowed(parts, route.allow, request_id);
        }
        if has_body {
            return Reply::error(
                StatusCode::PAYLOAD_TOO_LARGE,
                request_id,
                "requests carry no body here",
            );
        }
        let query = match parts.uri.query() {
            Some(raw) if route.probe => Ok(Query::parse_known(raw, route.parameters)),
            Some(raw) if !route.parameters.is_empty() => Query::parse(raw, route.parameters),
            _ => Ok(Query::default()),
        };
        let call = match query {
            Ok(query) => Call {
                request_id: request_id.clone(),
                segments: matched.segments,
                query,
                headers: parts.headers.clone(),
                peer: self.peer,
                stopping: self.stopping.clone(),
            },
            Err(error) => return handler::bad_query(&error, request_id),
        };
        match &route.handler {
            Handler::Inline(answer) => self
                .guarded(route, request_id, || answer(&call))
                .unwrap_or_else(|panicked| *panicked),
            Handler::Computed { ready, compute, .. } => {
                let ready = |call: &Call| {
                    let ready = ready.as_ref()?;
                    self.guarded(route, request_id, || ready(call))
                        .unwrap_or_else(|panicked| Some(*panicked))
                };
                let queue = self.shared.queues.get(matched.index.get());
                match (ready(&call), queue.and_then(Option::as_ref)) {
                    (Some(reply), _) => finished(reply, &call, &self.shared.memory),
                    (None, Some(queue)) => {
                        let compute = self.compute(route, queue, ready, Arc::clone(compute), call);
                        let limit = self.shared.answer_timeout;
                        timeout(limit, compute).await.unwrap_or_else(|_elapsed| {
                            busy(request_id, "the answer took too long to compute")
                        })
                    }
                    (None, None) => busy(request_id, "the answer cannot be computed"),
                }
            }
        }
    }

    /// Runs a handler on the blocking pool. What takes too long is left to
    /// finish there, counted by its permit, and its client told 503.
    async fn compute(
        &self,
        route: &Route,
        queue: &Queue,
        ready: impl Fn(&Call) -> Option<Reply>,
        compute: Arc<dyn Fn(&Call) -> Reply + Send + Sync>,
        call: Call,
    ) -> Reply {
        let request_id = call.request_id.clone();
        let Some(thread) = queue.thread().await else {
            return busy(&request_id, "too many wait for this answer already");
        };
        // The one before may have left what this one came for.
        if let Some(reply) = ready(&call) {
            return reply;
        }
        let memory = self.shared.memory.clone();
        let job = spawn_blocking(move || {
            let reply = finished(compute(&call), &call, &memory);
            drop(thread);
            reply
        });
        match job.await {
            Ok(reply) => reply,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => self.panicked(route, &*panic, &request_id),
                // The runtime is going down.
                Err(_cancelled) => busy(&request_id, "the server is stopping"),
            },
        }
    }

    /// What stays takes a place among the streams, and is an answer to GET alone.
    fn keep_place(&self, reply: Reply, parts: &Parts, request_id: &RequestId) -> Reply {
        if !reply.is_lasting() {
            return reply;
        }
        let head = parts.method == Method::HEAD;
        if reply.task.is_some() && (head || !parts.headers.contains_key(UPGRADE)) {
            let text = "this route speaks another protocol: the request needs an Upgrade header";
            return Reply::error(StatusCode::UPGRADE_REQUIRED, request_id, text);
        }
        if head {
            return reply;
        }
        let place = match &self.admission {
            Admission::Place(place) => place.become_stream(),
            Admission::Reserved(_) => false,
        };
        if place {
            reply
        } else {
            busy(request_id, "too many streams")
        }
    }

    /// Runs code that may panic; the panic is a 500 then.
    fn guarded<T>(
        &self,
        route: &Route,
        request_id: &RequestId,
        code: impl FnOnce() -> T,
    ) -> Result<T, Box<Reply>> {
        catch_unwind(AssertUnwindSafe(code))
            .map_err(|panic| Box::new(self.panicked(route, &*panic, request_id)))
    }

    fn panicked(&self, route: &Route, panic: &(dyn Any + Send), request_id: &RequestId) -> Reply {
        let path = route.path;
        let message = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        count(&self.shared.counters.handler_panics);
        tracing::error!(%request_id, path, panic = message, "handler panicked");
        Reply::error(
            StatusCode::INTERNAL_SERVER_ERROR,
            request_id,
            "the server failed to answer; its log has the reason under this request id",
        )
    }
}

/// Compresses a computed answer for a client that prefers it so, and counts its
/// memory; an answer that is kept has done both, and one that was ready on the event
/// loop is for a client that does not.
fn finished(mut reply: Reply, call: &Call, memory: &Memory) -> Reply {
    if reply.headers.get(VARY) == Some(&BY_ENCODING) {
        return reply;
    }
    let Some(bytes) = reply.body.as_bytes() else {
        return reply;
    };
    let mut bytes = bytes.clone();
    let packed = if bytes.len() >= WORTH_COMPRESSING && wants_gzip(&call.headers) {
        gzip(&bytes)
    } else {
        None
    };
    // Beside what else it varies by.
    reply.headers.append(VARY, BY_ENCODING);
    if let Some(packed) = packed {
        reply = reply.with_header(CONTENT_ENCODING, GZIP);
        bytes = packed;
    }
    match memory.take(bytes.len()) {
        Some(share) => {
            reply.body = counted(bytes, share).into();
            reply
        }
        None => busy(&call.request_id, "too many large answers are being sent"),
    }
}

/// 503, and when to come back.
fn busy(request_id: &RequestId, why: &str) -> Reply {
    Reply::error(StatusCode::SERVICE_UNAVAILABLE, request_id, why).with_retry_after(BUSY_SECONDS)
}

/// A request for a name that may be a stranger's.
fn misdirected(host: &Host, request_id: &RequestId) -> Reply {
    let text = "this server does not answer to that name; if it is its own, list it in \
                http.allowed_hosts";
    ErrorBody {
        host: Some(shown(host.name())),
        ..ErrorBody::new(StatusCode::MISDIRECTED_REQUEST, request_id, text)
    }
    .reply()
    .closing()
}

/// What hyper leaves to its user: RFC 9112 sections 3.2 and 6.1.
fn bad_framing(parts: &Parts, fragment: bool) -> Option<&'static str> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if parts.version == Version::HTTP_11 => {
            return Some("an HTTP/1.1 request needs a Host header");
        }
        (_, Some(_)) => return Some("more than one Host header"),
        (Some(host), None) if Host::parse(host.as_bytes()).is_none() => {
            return Some("the Host header is not a host");
        }
        _ => {}
    }
    if fragment {
        return Some("a request target has no fragment");
    }
    // CONNECT alone has an authority without a scheme, and is refused later.
    if parts
        .uri
        .scheme_str()
        .is_some_and(|scheme| scheme != "http")
    {
        return Some("a whole target has the scheme http here");
    }
    if parts.headers.get_all(TRANSFER_ENCODING).iter().count() > 1 {
        return Some("more than one Transfer-Encoding header");
    }
    None
}

fn method_not_allowed(parts: &Parts, allow: &'static str, request_id: &RequestId) -> Reply {
    ErrorBody {
        method: Some(shown(parts.method.as_str())),
        path: Some(shown(parts.uri.path())),
        allow: Some(allow),
        ..ErrorBody::new(
            StatusCode::METHOD_NOT_ALLOWED,
            request_id,
            "method not allowed",
        )
    }
    .reply()
    .with_allow(allow)
}
