//! From one request to one answer.
//!
//! Every request gets an answer and none can end another: a handler that
//! panics is a 500 of its own request. In this order: the request id, the
//! rules of RFC 9112 for `Host` and the target, `Expect`, the route, whether the
//! connection has a place, the method, the query, the body (there is none to send
//! here: it is refused unread and the connection closed), the handler.

use std::any::Any;
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::header::{EXPECT, HeaderMap, HeaderName, HeaderValue, SERVER, UPGRADE};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use parking_lot::Mutex;
use polypy_core::{BoxFuture, Clock};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use crate::access::Access;
use crate::activity::Activity;
use crate::budget::Memory;
use crate::call::{Call, Client};
use crate::cors::Origins;
use crate::counters::{Counters, count};
use crate::encoding::finished;
use crate::handler;
use crate::host::{Host, Names};
use crate::places::{Place, Places, Refused};
use crate::query::{Query, shown};
use crate::queue::Queue;
use crate::refusal::{busy, framed, method_not_allowed, misdirected, unauthorized};
use crate::reply::{ErrorBody, Reply, Service, Task, X_REQUEST_ID};
use crate::request_id::{RequestId, RequestIds};
use crate::route::{Handler, Matched, NoMatch, Open, READ, Ready, Route, RouteIndex, Routes};
use crate::service::Outgoing;
use crate::tls::Tls;

/// Longest target accepted: what most proxies pass on.
const MAX_TARGET: usize = 8 * 1024;

/// How a client came to the proxy in front. Who lies here gets a cookie that his own
/// browser will not send.
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// For routes that answer the server's own pages alone.
static OWN_ONLY: Origins = Origins::own_only();

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
    pub(crate) origins: Origins,
    /// Everyone is answered if there is none.
    pub(crate) access: Option<Guard>,
    /// TCP is plain if there is none.
    pub(crate) tls: Option<Arc<Tls>>,
}

/// Who may ask, and the clock by which sessions end.
pub(crate) struct Guard {
    pub(crate) access: Arc<Access>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.access.fmt(f)
    }
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

/// What one connection answers with.
pub(crate) struct Connected {
    pub(crate) shared: Arc<Shared>,
    pub(crate) activity: Arc<Activity>,
    pub(crate) client: Arc<Client>,
    pub(crate) admission: Admission,
    pub(crate) upgrade: UpgradeSlot,
}

/// A request, and when it came.
pub(crate) struct Asked {
    pub(crate) parts: Parts,
    pub(crate) request_id: RequestId,
    /// There is a body, of which something may not have been read.
    pub(crate) has_body: bool,
    since: Instant,
}

/// What became of a request without waiting.
pub(crate) enum Served {
    Reply(Reply),
    Later(Rest),
}

/// What is left to do for a request that waits.
pub(crate) enum Rest {
    /// Reading its body, and doing what it asks for.
    Change(Matched),
    /// Computing its answer, or waiting for the part of the program that has it.
    Answer(RouteIndex, Box<Call>),
}

impl Connected {
    pub(crate) fn asked(&self, request: Request<Incoming>) -> (Asked, Incoming) {
        let since = Instant::now();
        let has_body = !request.body().is_end_stream();
        let (parts, body) = request.into_parts();
        let request_id = parts
            .headers
            .get(X_REQUEST_ID)
            .and_then(|value| RequestId::from_client(value.as_bytes()))
            .unwrap_or_else(|| self.shared.request_ids.next());
        let asked = Asked {
            parts,
            request_id,
            has_body,
            since,
        };
        (asked, body)
    }

    /// Counts the answer, and makes the HTTP message of it. `index` is the route's.
    pub(crate) fn respond(
        &self,
        asked: Asked,
        index: Option<RouteIndex>,
        mut reply: Reply,
    ) -> Response<Outgoing> {
        let Asked {
            parts,
            request_id,
            has_body,
            since,
        } = asked;
        let shared = &*self.shared;
        let route = index.and_then(|index| shared.routes.get(index));
        reply = reply.written(route.map_or(parts.uri.path(), |route| route.path));
        if let Some(deprecation) = route.and_then(|route| route.deprecation) {
            reply = reply.with_deprecation(deprecation);
        }
        let once = matches!(self.admission, Admission::Reserved(_));
        let leaving = shared.leaving.load(Ordering::Relaxed);
        let stopping = || *self.client.stopping.borrow();
        if has_body || once || leaving || reply.is_lasting() || stopping() {
            reply = reply.closing();
        }
        let took = since.elapsed();
        shared.counters.answered(index, reply.status.as_u16(), took);
        tracing::debug!(
            %request_id,
            method = %parts.method,
            path = shown(parts.uri.path()),
            status = reply.status.as_u16(),
            elapsed_ms = took.as_secs_f64() * 1e3,
            "request answered"
        );
        if let Some(task) = reply.task.take() {
            *self.upgrade.lock() = Some(task);
        }
        if reply.body.is_stream() {
            self.activity.begin_streaming();
        }
        let body = Outgoing::new(reply.body, &self.activity);
        let mut response = Response::new(body);
        *response.status_mut() = reply.status;
        let mut headers = reply.headers;
        headers
            .entry(SERVER)
            .or_insert_with(|| shared.service.product.clone());
        shared.origins.allow(&parts, &mut headers);
        if let Ok(value) = HeaderValue::from_str(request_id.as_str()) {
            headers.insert(X_REQUEST_ID, value);
        }
        *response.headers_mut() = headers;
        response
    }

    /// Everything that is checked before the method: an error, `OPTIONS *`, or the route.
    pub(crate) fn accept(&self, asked: &Asked) -> Result<Matched, Box<Reply>> {
        let Asked {
            parts, request_id, ..
        } = asked;
        let fragment = self.activity.take_fragment();
        let refuse = |status, why: &str| Box::new(Reply::error(status, request_id, why).closing());
        let host = match framed(parts, fragment, self.client.secure) {
            Ok(host) => host.unwrap_or_default(),
            Err(problem) => return Err(refuse(StatusCode::BAD_REQUEST, problem)),
        };
        let target = &parts.uri;
        let authority = target
            .authority()
            .map(|authority| authority.as_str().as_bytes());
        // An authority in the target counts instead of the header (section 3.2.2).
        let Some(host) = authority.map_or(Some(host), Host::parse) else {
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
            let route = self.shared.routes.find(target.path()).ok();
            let route = route.and_then(|found| self.shared.routes.get(found.index));
            let remedy = route.and_then(|route| route.shorter);
            let text = format!(
                "the request target is longer than {MAX_TARGET} bytes{}{}",
                if remedy.is_some() { ": " } else { "" },
                remedy.unwrap_or_default()
            );
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
        let route = found.as_ref().ok();
        let route = route.and_then(|found| routes.get(found.index));
        if let Some(refusal) = self.unauthorized(parts, route, request_id) {
            return Err(Box::new(refusal));
        }
        let origins = match route {
            Some(route) if route.own_pages_only => &OWN_ONLY,
            Some(_) | None => &self.shared.origins,
        };
        if origins.is_refused(parts, &host, authority) {
            let text = "a page of another site may do nothing here";
            return Err(refuse(StatusCode::FORBIDDEN, text));
        }
        found.map_err(|reason| {
            Box::new(match reason {
                NoMatch::Encoding => ErrorBody {
                    path: Some(shown(target.path()).to_owned()),
                    ..ErrorBody::new(
                        StatusCode::BAD_REQUEST,
                        request_id,
                        "the path is not valid percent-encoded UTF-8",
                    )
                }
                .reply(),
                NoMatch::Unknown => ErrorBody {
                    path: Some(shown(target.path()).to_owned()),
                    routes: routes.iter().map(|route| route.path).collect(),
                    ..ErrorBody::new(StatusCode::NOT_FOUND, request_id, "no such route")
                }
                .reply(),
            })
        })
    }

    /// 401 for a request that needs a token and has none, whether or not there is such
    /// a route.
    fn unauthorized(
        &self,
        parts: &Parts,
        route: Option<&Route>,
        request_id: &RequestId,
    ) -> Option<Reply> {
        let Guard { access, clock } = self.shared.access.as_ref()?;
        let open = |route: &Route| match route.open {
            Open::Everyone => true,
            Open::Pages => handler::wants_page(&parts.headers),
            Open::Never => route.probe && access.has_open_probes(),
        };
        // What is asked before a request brings no token.
        if parts.method == Method::OPTIONS || route.is_some_and(open) {
            return None;
        }
        unauthorized(
            access.proof(&parts.headers, clock.now()),
            access,
            request_id,
        )
    }

    /// Everything that needs no waiting; more is left of a change, and of an answer
    /// that is computed.
    pub(crate) fn at_once(&self, asked: &mut Asked, matched: Matched) -> Served {
        let Some(route) = self.shared.routes.get(matched.index) else {
            let text = "no such route";
            let reply = Reply::error(StatusCode::NOT_FOUND, &asked.request_id, text);
            return Served::Reply(reply);
        };
        let (method, request_id) = (&asked.parts.method, &asked.request_id);
        if *method == Method::OPTIONS {
            let reply = Reply::empty(StatusCode::NO_CONTENT).with_allow(route.allow);
            return Served::Reply(reply);
        }
        let change = route.change.as_ref();
        if change.is_some_and(|change| *method == change.method) {
            return Served::Later(Rest::Change(matched));
        }
        let reads = matches!(*method, Method::GET | Method::HEAD);
        if !reads || matches!(route.handler, Handler::Absent) {
            let reply = method_not_allowed(&asked.parts, route.allow, request_id);
            return Served::Reply(reply);
        }
        if asked.has_body {
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            let text = "requests carry no body here";
            return Served::Reply(Reply::error(status, request_id, text));
        }
        let query = match asked.parts.uri.query() {
            Some(raw) if route.probe => Ok(Query::parse_known(raw, route.parameters)),
            Some(raw) if !route.parameters.is_empty() => Query::parse(raw, route.parameters),
            _ => Ok(Query::default()),
        };
        let query = match query {
            Ok(query) => query,
            Err(error) => return Served::Reply(handler::bad_query(&error, request_id)),
        };
        // Lent to the handler, and wanted again for the answer.
        let headers = std::mem::take(&mut asked.parts.headers);
        let call = self.call(headers, matched.segments, query, request_id);
        let served = match &route.handler {
            Handler::Inline(answer) => {
                let reply = self.guarded(route, request_id, || answer(&call));
                Some(reply.unwrap_or_else(|panicked| *panicked))
            }
            Handler::Computed { ready, .. } => self
                .ready(route, ready.as_ref(), &call)
                .map(|reply| finished(reply, &call, &self.shared.memory)),
            Handler::Awaited(_) | Handler::Absent => None,
        };
        match served {
            Some(reply) => {
                asked.parts.headers = call.headers;
                Served::Reply(reply)
            }
            None => {
                asked.parts.headers = call.headers.clone();
                Served::Later(Rest::Answer(matched.index, Box::new(call)))
            }
        }
    }

    /// The rest of an answer.
    pub(crate) async fn later(&self, asked: &mut Asked, rest: Rest, body: Incoming) -> Reply {
        let request_id = &asked.request_id.clone();
        let gone = || Reply::error(StatusCode::NOT_FOUND, request_id, "no such route");
        match rest {
            Rest::Change(matched) => {
                let Some(route) = self.shared.routes.get(matched.index) else {
                    return gone();
                };
                self.change(route, asked, matched, body).await
            }
            Rest::Answer(index, call) => {
                let Some(route) = self.shared.routes.get(index) else {
                    return gone();
                };
                if let Handler::Awaited(answer) = &route.handler {
                    let answer = self.guarded(route, request_id, || answer(*call));
                    return self.wait_for(answer, route, request_id).await;
                }
                let Handler::Computed { ready, compute, .. } = &route.handler else {
                    return busy(request_id, "the answer cannot be computed");
                };
                let compute = Arc::clone(compute);
                self.compute(index, *call, ready.as_ref(), move |call| compute(call))
                    .await
            }
        }
    }

    /// What can be answered without computing anything, if there is such a thing.
    fn ready(&self, route: &Route, ready: Option<&Ready>, call: &Call) -> Option<Reply> {
        let ready = ready?;
        self.guarded(route, &call.request_id, || ready(call))
            .unwrap_or_else(|panicked| Some(*panicked))
    }

    pub(crate) fn call(
        &self,
        headers: HeaderMap,
        segments: Vec<(&'static str, String)>,
        query: Query,
        request_id: &RequestId,
    ) -> Call {
        let forwarded = headers.get(FORWARDED_PROTO);
        Call {
            request_id: request_id.clone(),
            segments,
            query,
            secure: self.client.secure || forwarded.is_some_and(|scheme| scheme == "https"),
            headers,
            client: Arc::clone(&self.client),
            memory: self.shared.memory.clone(),
        }
    }

    /// Waits for an answer, unless it could not even be begun.
    pub(crate) async fn wait_for(
        &self,
        answer: Result<BoxFuture<'static, Reply>, Box<Reply>>,
        route: &Route,
        request_id: &RequestId,
    ) -> Reply {
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(panicked) => return *panicked,
        };
        let answer = poll_fn(|cx| {
            self.guarded(route, request_id, || answer.as_mut().poll(cx))
                .unwrap_or_else(|panicked| Poll::Ready(*panicked))
        });
        let answer = timeout(self.shared.answer_timeout, answer).await;
        answer.unwrap_or_else(|_elapsed| busy(request_id, "it took too long and was given up"))
    }

    /// Runs a handler on the blocking pool. What takes too long is left to
    /// finish there, counted by its permit, and its client told 503.
    pub(crate) async fn compute(
        &self,
        index: RouteIndex,
        call: Call,
        ready: Option<&Ready>,
        compute: impl FnOnce(&Call) -> Reply + Send + 'static,
    ) -> Reply {
        let request_id = call.request_id.clone();
        let queue = self.shared.queues.get(index.get());
        let route = self.shared.routes.get(index);
        let Some((queue, route)) = queue.and_then(Option::as_ref).zip(route) else {
            return busy(&request_id, "the answer cannot be computed");
        };
        let computed = self.computed(route, queue, call, ready, compute);
        let limit = self.shared.answer_timeout;
        timeout(limit, computed)
            .await
            .unwrap_or_else(|_elapsed| busy(&request_id, "the answer took too long to compute"))
    }

    async fn computed(
        &self,
        route: &Route,
        queue: &Queue,
        call: Call,
        ready: Option<&Ready>,
        compute: impl FnOnce(&Call) -> Reply + Send + 'static,
    ) -> Reply {
        let request_id = call.request_id.clone();
        let Some(thread) = queue.thread().await else {
            return busy(&request_id, "too many wait for this answer already");
        };
        // The one before may have left what this one came for.
        if let Some(reply) = self.ready(route, ready, &call) {
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
    pub(crate) fn keep_place(&self, reply: Reply, asked: &Asked) -> Reply {
        if !reply.is_lasting() {
            return reply;
        }
        let Asked {
            parts, request_id, ..
        } = asked;
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
    pub(crate) fn guarded<T>(
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
