//! Answers as values: a status, a body, and the headers that vary.
//!
//! Handlers make a [`Reply`] and cannot fail; the server adds the headers that
//! every answer carries. Every error is one JSON object with the
//! same first fields, so that a client needs one way to read them:
//! `{"error": "...", "status": 404, "request_id": "...", ...}`. Below `/v1` the fields of
//! RFC 9457 stand before them.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, RETRY_AFTER, UPGRADE, X_CONTENT_TYPE_OPTIONS,
};
use polypy_core::BoxFuture;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::body::Body;
use crate::budget::Share;
use crate::connection::Upgraded;
use crate::describe::Deprecation;
use crate::request_id::RequestId;

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
/// What the type of a problem that has one begins with.
const PROBLEM_TYPE: &str = "urn:polypy:problem:";
const PROBLEM_INSTANCE: &str = "urn:polypy:request:";
/// As much as most answers have, so that their memory is asked for once.
const JSON_ROOM: usize = 512;
const HEADERS: usize = 12;
const CLOSE: HeaderValue = HeaderValue::from_static("close");
const SWITCH: HeaderValue = HeaderValue::from_static("upgrade");
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
/// An answer is data: where a browser shows it as a page, nothing of it is carried out.
const NO_PAGE: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");

/// The headers of an answer without a body, and with one: what every answer has, and room
/// for what its own is put into. A copy costs half of what setting each of them does.
static UNTYPED: LazyLock<HeaderMap> = LazyLock::new(|| {
    let mut headers = HeaderMap::with_capacity(HEADERS);
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    headers.insert(CONTENT_SECURITY_POLICY, NO_PAGE);
    headers.insert(RESOURCE_POLICY, SAME_ORIGIN);
    headers
});
static TYPED: LazyLock<HeaderMap> = LazyLock::new(|| {
    let mut headers = HeaderMap::with_capacity(HEADERS);
    headers.insert(CONTENT_TYPE, JSON);
    headers.extend(UNTYPED.clone());
    headers
});

/// What goes on over a connection that is no longer HTTP.
pub(crate) type Task = Box<dyn FnOnce(Upgraded) -> BoxFuture<'static, ()> + Send>;

/// An answer.
pub struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    pub(crate) task: Option<Task>,
    /// What its memory was taken as before it was made.
    pub(crate) share: Option<Share>,
    /// Written once it is known which way: see [`Reply::written`].
    error: Option<Box<ErrorBody>>,
}

impl Reply {
    /// A JSON answer.
    pub fn json<T: Serialize>(status: StatusCode, value: &T) -> Self {
        match json(value) {
            Ok(body) => Self::bytes(status, JSON, body),
            Err(error) => Self::unwritable(&error),
        }
    }

    /// 500 for a value that is not to be had as JSON.
    pub(crate) fn unwritable(error: &serde_json::Error) -> Self {
        tracing::error!(%error, "answer could not be written as json");
        let text = b"{\"error\":\"the answer could not be written as JSON\",\"status\":500}\n";
        let body = Bytes::from_static(text);
        Self::bytes(StatusCode::INTERNAL_SERVER_ERROR, JSON, body)
    }

    /// Any bytes, with what they are.
    pub fn bytes(status: StatusCode, content_type: HeaderValue, body: impl Into<Body>) -> Self {
        Self {
            status,
            headers: TYPED.clone(),
            body: body.into(),
            task: None,
            share: None,
            error: None,
        }
        .with_header(CONTENT_TYPE, content_type)
    }

    /// A stream of any length. It takes a place among the streams, or is refused.
    pub fn stream(content_type: HeaderValue, body: Body) -> Self {
        Self::bytes(StatusCode::OK, content_type, body)
    }

    /// Leaves HTTP for another protocol: once 101 is sent, the connection is
    /// `task`'s, for as long as it runs. The task takes a place among the streams;
    /// it should end soon after [`Call::stopping`](crate::Call::stopping) says so,
    /// and is cut off when the server's patience ends.
    pub fn upgrade<F>(protocol: HeaderValue, task: F) -> Self
    where
        F: FnOnce(Upgraded) -> BoxFuture<'static, ()> + Send + 'static,
    {
        Self {
            task: Some(Box::new(task)),
            ..Self::empty(StatusCode::SWITCHING_PROTOCOLS)
        }
        .with_header(CONNECTION, SWITCH)
        .with_header(UPGRADE, protocol)
    }

    /// An answer without a body.
    pub fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: UNTYPED.clone(),
            body: Body::default(),
            task: None,
            share: None,
            error: None,
        }
    }

    /// An error that is nothing but its text.
    pub(crate) fn error(status: StatusCode, request_id: &RequestId, error: &str) -> Self {
        ErrorBody::new(status, request_id, error).reply()
    }

    /// Sets a header; those that every answer carries, too.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Says in an error at which path there is more to read about it.
    #[must_use]
    pub fn with_explanation(mut self, path: &str) -> Self {
        if let Some(error) = &mut self.error {
            error.explain = Some(path.to_owned());
        }
        self
    }

    /// Holds memory that was taken before this answer was made, until it is sent.
    #[must_use]
    pub fn with_share(mut self, share: Share) -> Self {
        self.share = Some(share);
        self
    }

    /// Adds members of its own to the object that an error is. Nothing to any other answer.
    #[must_use]
    pub fn with_members(mut self, members: Map<String, Value>) -> Self {
        if let Some(error) = &mut self.error {
            error.members = members;
        }
        self
    }

    /// Says that the route is going to go (RFC 9745 and RFC 8594).
    pub(crate) fn with_deprecation(self, deprecation: Deprecation) -> Self {
        let Deprecation { since, sunset } = deprecation;
        let reply = match HeaderValue::from_str(&format!("@{since}")) {
            Ok(since) => self.with_header(DEPRECATION, since),
            Err(_) => self,
        };
        reply.with_header(SUNSET, HeaderValue::from_static(sunset))
    }

    /// Writes the error that this is, if it is one, for this path: below `/v1` as a problem
    /// of RFC 9457, elsewhere as it always was.
    pub(crate) fn written(mut self, path: &str) -> Self {
        let Some(error) = self.error.take() else {
            return self;
        };
        let is_problem = path == "/v1" || path.starts_with("/v1/");
        let written = if is_problem {
            json(&error.problem())
        } else {
            json(&*error)
        };
        match written {
            Ok(body) => self.body = body.into(),
            Err(error) => return Self::unwritable(&error),
        }
        if is_problem {
            return self.with_header(CONTENT_TYPE, PROBLEM);
        }
        self
    }

    /// Names the methods that the resource has.
    pub(crate) fn with_allow(self, allow: &'static str) -> Self {
        self.with_header(ALLOW, HeaderValue::from_static(allow))
    }

    /// Says when asking again makes sense.
    #[must_use]
    pub fn with_retry_after(self, seconds: u32) -> Self {
        self.with_header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Ends the connection after this answer.
    #[must_use]
    pub fn closing(mut self) -> Self {
        // An upgrade ends the exchange of requests anyway.
        if self.task.is_none() {
            self.headers.insert(CONNECTION, CLOSE);
        }
        self
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether it holds its connection for a time that nobody knows.
    pub(crate) fn is_lasting(&self) -> bool {
        self.task.is_some() || self.body.is_stream()
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .field("body", &self.body)
            .field("upgrade", &self.task.is_some())
            .finish()
    }
}

/// A value as it is sent.
pub(crate) fn json<T: Serialize>(value: &T) -> serde_json::Result<Vec<u8>> {
    let mut body = Vec::with_capacity(JSON_ROOM);
    serde_json::to_writer(&mut body, value)?;
    // A terminal shows the prompt on a line of its own.
    body.push(b'\n');
    Ok(body)
}

/// Who answers, in the headers and on the landing page.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) version: String,
    /// What else there is to say of the build, by name.
    pub(crate) details: Vec<(&'static str, String)>,
    /// `name/version`, as `Server` states it.
    pub(crate) product: HeaderValue,
}

impl Service {
    /// Whatever of the two cannot stand in a header is left out of it.
    pub(crate) fn new(name: &str, version: &str) -> Self {
        let product = HeaderValue::from_str(&format!("{name}/{version}"));
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            details: Vec::new(),
            product: product.unwrap_or(HeaderValue::from_static("polypy-http")),
        }
    }
}

/// The object that every error is.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorBody {
    pub(crate) error: String,
    pub(crate) status: u16,
    pub(crate) request_id: RequestId,
    /// The query parameter or path part at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parameter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    /// The methods that would have been accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) allow: Option<&'static str>,
    /// The routes there are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) routes: Vec<&'static str>,
    /// The hosts that the configuration would have to list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<String>,
    /// A path that says more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) explain: Option<String>,
    /// What programs tell it by, where its status does not say.
    #[serde(skip)]
    pub(crate) kind: Option<&'static str>,
    /// What the route has to say beside that.
    #[serde(flatten)]
    pub(crate) members: Map<String, Value>,
}

/// The same with the fields of RFC 9457.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: Cow<'static, str>,
    title: Cow<'static, str>,
    detail: &'a str,
    instance: String,
    #[serde(flatten)]
    error: &'a ErrorBody,
}

impl ErrorBody {
    /// With nothing but what every error has.
    pub(crate) fn new(status: StatusCode, request_id: &RequestId, error: &str) -> Self {
        Self {
            error: error.to_owned(),
            status: status.as_u16(),
            request_id: request_id.clone(),
            parameter: None,
            method: None,
            path: None,
            allow: None,
            routes: Vec::new(),
            host: None,
            explain: None,
            kind: None,
            members: Map::new(),
        }
    }

    /// The answer.
    pub(crate) fn reply(self) -> Reply {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        Reply {
            error: Some(Box::new(self)),
            ..Reply::bytes(status, JSON, Body::default())
        }
    }

    fn problem(&self) -> Problem<'_> {
        let (kind, title) = match self.kind {
            Some(kind) => {
                let mut title = kind.replace('_', " ");
                title[..1].make_ascii_uppercase();
                (format!("{PROBLEM_TYPE}{kind}").into(), title.into())
            }
            None => {
                let status = StatusCode::from_u16(self.status).ok();
                let title = status.and_then(|status| status.canonical_reason());
                ("about:blank".into(), title.unwrap_or("Error").into())
            }
        };
        Problem {
            r#type: kind,
            title,
            detail: &self.error,
            instance: format!("{PROBLEM_INSTANCE}{}", self.request_id),
            error: self,
        }
    }
}

/// A whole HTTP message for a client that never got as far as hyper, or that
/// hyper gave up on. It closes the connection.
pub(crate) fn canned(service: &Service, status: StatusCode, error: &str) -> Vec<u8> {
    let body = serde_json::json!({ "error": error, "status": status.as_u16() }).to_string() + "\n";
    // Another try will not make a client of HTTP/2 speak HTTP/1.1.
    let retry = match status {
        StatusCode::HTTP_VERSION_NOT_SUPPORTED => "",
        _ => "retry-after: 1\r\n",
    };
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncache-control: no-store\r\n\
         server: {product}\r\n{retry}connection: close\r\n\
         content-length: {length}\r\n\r\n{body}",
        product = service.product.to_str().unwrap_or("polypy-http"),
        length = body.len(),
    )
    .into_bytes()
}
