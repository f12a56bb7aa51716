//! What a POST or a PUT does with the body that is sent to it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::CONTENT_ENCODING;
use hyper::{Method, StatusCode};
use polypy_core::BoxFuture;
use tokio::time::timeout;

use crate::call::Call;
use crate::handler::bad_query;
use crate::query::Query;
use crate::refusal::method_not_allowed;
use crate::reply::Reply;
use crate::responder::{Asked, Connected};
use crate::route::{Matched, Route};

type Action = Arc<dyn Fn(Call, Bytes) -> BoxFuture<'static, Reply> + Send + Sync>;
type Compute = Arc<dyn Fn(&Call, &Bytes) -> Reply + Send + Sync>;

/// What a POST or a PUT does once its body is here.
#[derive(Clone)]
pub(crate) struct Change {
    pub(crate) method: Method,
    /// Longest body.
    pub(crate) most_bytes: usize,
    pub(crate) does: Does,
}

/// How that is answered.
#[derive(Clone)]
pub(crate) enum Does {
    /// On the event loop.
    Action(Action),
    /// On the blocking pool, by the threads of its route.
    Compute(Compute),
}

impl Does {
    /// Something that does not wait.
    pub(crate) fn at_once(answer: impl Fn(&Call, &Bytes) -> Reply + Send + Sync + 'static) -> Self {
        let answer = Arc::new(answer);
        Self::Action(Arc::new(move |call, body| {
            let answer = Arc::clone(&answer);
            Box::pin(async move { answer(&call, &body) })
        }))
    }

    /// Something that waits.
    pub(crate) fn action<F>(answer: impl Fn(Call, Bytes) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        Self::Action(Arc::new(move |call, body| Box::pin(answer(call, body))))
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change")
            .field("method", &self.method)
            .field("most_bytes", &self.most_bytes)
            .finish_non_exhaustive()
    }
}

impl Connected {
    /// Reads the body, and does what it asks for.
    pub(crate) async fn change(
        &self,
        route: &Route,
        asked: &mut Asked,
        matched: Matched,
        body: Incoming,
    ) -> Reply {
        let request_id = asked.request_id.clone();
        let Some(change) = &route.change else {
            return method_not_allowed(&asked.parts, route.allow, &request_id);
        };
        if asked.parts.headers.contains_key(CONTENT_ENCODING) {
            let text = "an encoded body is not read here";
            return Reply::error(StatusCode::UNSUPPORTED_MEDIA_TYPE, &request_id, text);
        }
        // Before anything is done: a misspelt `dry_run` would be done in earnest.
        let query = asked.parts.uri.query().unwrap_or_default();
        let query = match Query::none(query, change.method.as_str()) {
            Ok(query) => query,
            Err(error) => return bad_query(&error, &request_id),
        };
        let body = match self.read(body, change.most_bytes).await {
            Ok(body) => body,
            Err((status, text)) => return Reply::error(status, &request_id, &text),
        };
        // All of it was read: the connection can go on.
        asked.has_body = false;
        let headers = asked.parts.headers.clone();
        let call = self.call(headers, matched.segments, query, &request_id);
        match &change.does {
            Does::Action(action) => {
                let answer = self.guarded(route, &request_id, || action(call, body));
                self.wait_for(answer, route, &request_id).await
            }
            Does::Compute(compute) => {
                let compute = Arc::clone(compute);
                let compute = move |call: &Call| compute(call, &body);
                self.compute(matched.index, call, None, compute).await
            }
        }
    }

    async fn read(&self, body: Incoming, most: usize) -> Result<Bytes, (StatusCode, String)> {
        let body = Limited::new(body, most).collect();
        match timeout(self.shared.answer_timeout, body).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let text = match most {
                    0 => "no body is read here".to_owned(),
                    most => format!("the body has more than {most} bytes"),
                };
                Err((StatusCode::PAYLOAD_TOO_LARGE, text))
            }
            Ok(Err(_)) => Err((
                StatusCode::BAD_REQUEST,
                "the body cannot be read".to_owned(),
            )),
            Err(_elapsed) => Err((
                StatusCode::REQUEST_TIMEOUT,
                "the body did not arrive in time".to_owned(),
            )),
        }
    }
}
