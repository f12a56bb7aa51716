//! From one request to one answer.
//!
//! Every request gets an answer and none can end another: a handler that
//! panics is a 500 of its own request. In this order: the request id, the
//! `Host` rules of RFC 9112 section 3.2, the length of the target, the route,
//! the method, the query, the body (there is none to send here: it is refused
//! unread and the connection closed), the handler.

use std::any::Any;
use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::header::{HOST, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::service::Service;
use hyper::{Method, Request, Response, StatusCode, Version};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use crate::activity::Activity;
use crate::budget::Budget;
use crate::counters::{Counters, count};
use crate::handler;
use crate::query::{Query, shown};
use crate::reply::{ErrorBody, Reply, X_REQUEST_ID};
use crate::request_id::{RequestId, RequestIds};
use crate::route::{self, Call, Handler, Matched, NoMatch, ROUTES};
use crate::sources::Sources;

/// Longest target accepted: what most proxies pass on.
const MAX_TARGET: usize = 8 * 1024;
/// What any target accepts, for `OPTIONS *`.
const ALLOW_ALL: &str = "GET, HEAD, OPTIONS";
/// Advice when the server is busy: a moment.
const BUSY_SECONDS: u32 = 1;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) sources: Sources,
    pub(crate) counters: Counters,
    pub(crate) budget: Budget,
    pub(crate) request_ids: RequestIds,
    pub(crate) answer_timeout: Duration,
}

/// The service of one connection.
#[derive(Debug, Clone)]
pub(crate) struct Responder {
    shared: Arc<Shared>,
    activity: Arc<Activity>,
    /// True once the server is stopping: answers then close their connection.
    stopping: watch::Receiver<bool>,
}

impl Service<Request<Incoming>> for Responder {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.activity.begin_answering();
        let responder = self.clone();
        Box::pin(async move {
            let response = responder.answer(request).await;
            responder.activity.answered();
            Ok(response)
        })
    }
}

impl Responder {
    pub(crate) fn new(
        shared: Arc<Shared>,
        activity: Arc<Activity>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self {
            shared,
            activity,
            stopping,
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let started = Instant::now();
        let has_body = !request.body().is_end_stream();
        let (parts, _unread) = request.into_parts();
        let request_id = parts
            .headers
            .get(X_REQUEST_ID)
            .and_then(|value| RequestId::from_client(value.as_bytes()))
            .unwrap_or_else(|| self.shared.request_ids.next());

        let (index, mut reply) = match accept(&parts, &request_id) {
            Err(reply) => (None, reply),
            Ok(matched) => {
                let index = matched.index;
                let reply = self.serve(&parts, matched, has_body, &request_id).await;
                (Some(index), reply)
            }
        };
        if has_body {
            self.activity.refuse_body();
            reply = reply.closing();
        }
        if *self.stopping.borrow() {
            reply = reply.closing();
        }
        self.shared.counters.answered(index, reply.status.as_u16());
        tracing::debug!(
            %request_id,
            method = %parts.method,
            path = ?shown(parts.uri.path()),
            status = reply.status.as_u16(),
            elapsed_ms = started.elapsed().as_secs_f64() * 1e3,
            "request answered"
        );
        reply.into_response(&request_id)
    }

    async fn serve(
        &self,
        parts: &Parts,
        matched: Matched,
        has_body: bool,
        request_id: &RequestId,
    ) -> Reply {
        let route = matched.route;
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
            Some(raw) if !route.parameters.is_empty() => Query::parse(raw, route.parameters),
            _ => Ok(Query::default()),
        };
        let call = match query {
            Ok(query) => Call {
                request_id: request_id.clone(),
                segment: matched.segment,
                query,
            },
            Err(error) => return handler::bad_query(&error, request_id),
        };
        match route.handler {
            Handler::Inline(handle) => {
                catch_unwind(AssertUnwindSafe(|| handle(&self.shared.sources, &call)))
                    .unwrap_or_else(|panic| self.panicked(route.path, &*panic, request_id))
            }
            Handler::Blocking(handle) => self.off_loop(route.path, handle, call).await,
        }
    }

    /// Runs a handler on the blocking pool. What takes too long is left to
    /// finish there, counted by its permit, and its client told 503.
    async fn off_loop(
        &self,
        path: &'static str,
        handle: fn(&Sources, &Call) -> Reply,
        call: Call,
    ) -> Reply {
        let request_id = call.request_id.clone();
        let busy = |why: &str| {
            Reply::error(StatusCode::SERVICE_UNAVAILABLE, &request_id, why)
                .with_retry_after(BUSY_SECONDS)
        };
        let shared = Arc::clone(&self.shared);
        let compute = async {
            let permit = Arc::clone(&shared.budget.computing).acquire_owned().await;
            let Ok(permit) = permit else {
                return busy("the server is stopping");
            };
            let sources = shared.sources.clone();
            let job = spawn_blocking(move || {
                let reply = handle(&sources, &call);
                drop(permit);
                reply
            });
            match job.await {
                Ok(reply) => reply,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => self.panicked(path, &*panic, &request_id),
                    // The runtime is going down.
                    Err(_cancelled) => busy("the server is stopping"),
                },
            }
        };
        let mut reply = match timeout(self.shared.answer_timeout, compute).await {
            Ok(reply) => reply,
            Err(_elapsed) => return busy("the answer took too long to compute"),
        };
        match self.shared.budget.admit(std::mem::take(&mut reply.body)) {
            Some(body) => Reply { body, ..reply },
            None => busy("too many large answers are being sent"),
        }
    }

    fn panicked(
        &self,
        path: &'static str,
        panic: &(dyn Any + Send),
        request_id: &RequestId,
    ) -> Reply {
        let message = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        count(&self.shared.counters.handler_panics);
        tracing::error!(%request_id, path, panic = ?message, "handler panicked");
        Reply::error(
            StatusCode::INTERNAL_SERVER_ERROR,
            request_id,
            "the server failed to answer; its log has the reason under this request id",
        )
    }
}

/// Everything that is checked before the method: an error, `OPTIONS *`, or the route.
fn accept(parts: &Parts, request_id: &RequestId) -> Result<Matched, Reply> {
    if let Some(problem) = bad_framing(parts) {
        return Err(Reply::error(StatusCode::BAD_REQUEST, request_id, problem).closing());
    }
    let target = &parts.uri;
    let length = target
        .authority()
        .map_or(0, |authority| authority.as_str().len())
        + target
            .path_and_query()
            .map_or(0, |path| path.as_str().len());
    if length > MAX_TARGET {
        let text = format!("the request target is longer than {MAX_TARGET} bytes");
        return Err(Reply::error(StatusCode::URI_TOO_LONG, request_id, &text).closing());
    }
    if parts.method == Method::CONNECT {
        return Err(method_not_allowed(parts, ALLOW_ALL, request_id).closing());
    }
    if parts.method == Method::OPTIONS && target.path() == "*" {
        return Err(Reply::empty(StatusCode::NO_CONTENT).with_allow(ALLOW_ALL));
    }
    route::find(target.path()).map_err(|reason| match reason {
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
            routes: ROUTES.iter().map(|route| route.path).collect(),
            ..ErrorBody::new(StatusCode::NOT_FOUND, request_id, "no such route")
        }
        .reply(),
    })
}

/// What hyper leaves to its user: RFC 9112 sections 3.2 and 6.1.
fn bad_framing(parts: &Parts) -> Option<&'static str> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if parts.version == Version::HTTP_11 => {
            return Some("an HTTP/1.1 request needs a Host header");
        }
        (_, Some(_)) => return Some("more than one Host header"),
        (Some(host), None) if !is_host(host.as_bytes()) => {
            return Some("the Host header is not a host");
        }
        _ => {}
    }
    if parts.headers.get_all(TRANSFER_ENCODING).iter().count() > 1 {
        return Some("more than one Transfer-Encoding header");
    }
    None
}

/// A host with an optional port. Empty is allowed: the target may have no authority.
fn is_host(value: &[u8]) -> bool {
    let plain = !value.contains(&b'@');
    value.is_empty() || (plain && Authority::try_from(value).is_ok())
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
