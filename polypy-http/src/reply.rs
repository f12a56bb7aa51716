//! Answers as values: a status, JSON, and the few headers that vary.
//!
//! Handlers make a [`Reply`] and cannot fail; [`Reply::into_response`] adds the
//! headers that every answer carries. Every error is one JSON object with the
//! same first fields, so that a client needs one way to read them:
//! `{"error": "...", "status": 404, "request_id": "...", ...}`.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, SERVER,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::request_id::RequestId;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const CLOSE: HeaderValue = HeaderValue::from_static("close");
const PRODUCT: HeaderValue =
    HeaderValue::from_static(concat!("polypy/", env!("CARGO_PKG_VERSION")));
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What happens to the connection after the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Afterwards {
    /// It may carry another request.
    KeepAlive,
    /// It is closed.
    Close,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    pub(crate) allow: Option<&'static str>,
    /// Seconds.
    pub(crate) retry_after: Option<u32>,
    pub(crate) afterwards: Afterwards,
}

impl Reply {
    /// A JSON answer.
    pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(mut body) => {
                // A terminal shows the prompt on a line of its own.
                body.push(b'\n');
                Self {
                    status,
                    body: body.into(),
                    ..Self::empty(status)
                }
            }
            Err(error) => {
                tracing::error!(%error, "answer could not be written as json");
                Self {
                    body: Bytes::from_static(
                        b"{\"error\":\"the answer could not be written as JSON\",\"status\":500}\n",
                    ),
                    ..Self::empty(StatusCode::INTERNAL_SERVER_ERROR)
                }
            }
        }
    }

    /// An answer without a body.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            body: Bytes::new(),
            allow: None,
            retry_after: None,
            afterwards: Afterwards::KeepAlive,
        }
    }

    /// An error that is nothing but its text.
    pub(crate) fn error(status: StatusCode, request_id: &RequestId, error: &str) -> Self {
        ErrorBody::new(status, request_id, error).reply()
    }

    /// Names the methods that the resource has.
    pub(crate) fn with_allow(mut self, allow: &'static str) -> Self {
        self.allow = Some(allow);
        self
    }

    /// Says when asking again makes sense.
    pub(crate) fn with_retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Ends the connection after this answer.
    pub(crate) fn closing(mut self) -> Self {
        self.afterwards = Afterwards::Close;
        self
    }

    /// The HTTP message.
    pub(crate) fn into_response(self, request_id: &RequestId) -> Response<Full<Bytes>> {
        let has_body = self.status != StatusCode::NO_CONTENT;
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if has_body {
            headers.insert(CONTENT_TYPE, JSON);
        }
        headers.insert(CACHE_CONTROL, NO_STORE);
        headers.insert(SERVER, PRODUCT);
        headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        if let Ok(value) = HeaderValue::from_str(request_id.as_str()) {
            headers.insert(X_REQUEST_ID, value);
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.afterwards == Afterwards::Close {
            headers.insert(CONNECTION, CLOSE);
        }
        response
    }
}

/// The object that every error is.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorBody<'a> {
    pub(crate) error: &'a str,
    pub(crate) status: u16,
    pub(crate) request_id: &'a str,
    /// The query parameter or path part at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parameter: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<&'a str>,
    /// The methods that would have been accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) allow: Option<&'a str>,
    /// The routes there are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) routes: Vec<&'static str>,
}

impl<'a> ErrorBody<'a> {
    /// With nothing but what every error has.
    pub(crate) fn new(status: StatusCode, request_id: &'a RequestId, error: &'a str) -> Self {
        Self {
            error,
            status: status.as_u16(),
            request_id: request_id.as_str(),
            parameter: None,
            method: None,
            path: None,
            allow: None,
            routes: Vec::new(),
        }
    }

    /// The answer.
    pub(crate) fn reply(&self) -> Reply {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        Reply::json(status, self)
    }
}

/// A whole HTTP message for a client that never got as far as hyper, or that
/// hyper gave up on. It closes the connection.
pub(crate) fn canned(status: StatusCode, error: &str) -> Vec<u8> {
    let body = serde_json::json!({ "error": error, "status": status.as_u16() }).to_string() + "\n";
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncache-control: no-store\r\n\
         server: polypy/{version}\r\nretry-after: 1\r\nconnection: close\r\n\
         content-length: {length}\r\n\r\n{body}",
        version = env!("CARGO_PKG_VERSION"),
        length = body.len(),
    )
    .into_bytes()
}
