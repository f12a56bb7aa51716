//! Which pages of other origins may read the answers in a browser: those that the
//! configuration lists.
//!
//! Cookies are not sent across sites (`SameSite=Strict`), and so credentials are not
//! allowed here: such a page brings its token in the header.

use hyper::Method;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HOST,
    HeaderMap, HeaderValue, ORIGIN, VARY,
};
use hyper::http::request::Parts;

use crate::host::Host;

const READING: HeaderValue = HeaderValue::from_static("GET, HEAD");
const HEADERS: HeaderValue = HeaderValue::from_static("authorization, x-request-id");
const EXPOSED: HeaderValue = HeaderValue::from_static("x-request-id, retry-after, age");
/// Seconds for which a browser need not ask again.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
const ANY: HeaderValue = HeaderValue::from_static("*");
const BY_ORIGIN: HeaderValue = HeaderValue::from_static("origin");

/// The origins that may read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origins {
    any: bool,
    exact: Vec<String>,
    /// Nothing is answered to pages of other origins, whatever they ask.
    own_only: bool,
}

impl Origins {
    pub(crate) fn new(listed: &[String]) -> Self {
        Self {
            any: listed.iter().any(|origin| origin == "*"),
            exact: listed.to_vec(),
            own_only: false,
        }
    }

    /// Answers this server's own pages alone.
    pub(crate) const fn own_only() -> Self {
        Self {
            any: false,
            exact: Vec::new(),
            own_only: true,
        }
    }

    /// Whether a page of another site, or of another origin where that counts, sent this
    /// request. `authority` is that of the target, if it has one.
    pub(crate) fn is_refused(
        &self,
        parts: &Parts,
        host: &Host<'_>,
        authority: Option<&[u8]>,
    ) -> bool {
        if self.own_only {
            let own = authority.or_else(|| parts.headers.get(HOST).map(HeaderValue::as_bytes));
            return is_elsewhere(&parts.headers, own.unwrap_or_default());
        }
        let changes = matches!(parts.method, Method::POST | Method::PUT);
        changes && is_foreign(&parts.headers, host)
    }

    /// Adds what a browser wants to see, to the answer of any request.
    pub(crate) fn allow(&self, parts: &Parts, headers: &mut HeaderMap) {
        if self.exact.is_empty() {
            return;
        }
        if !self.any {
            headers.append(VARY, BY_ORIGIN);
        }
        let Some(origin) = parts.headers.get(ORIGIN) else {
            return;
        };
        let listed = |origin: &HeaderValue| {
            let is_it = |known: &String| known.as_bytes().eq_ignore_ascii_case(origin.as_bytes());
            self.exact.iter().any(is_it)
        };
        if self.any {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
        } else if listed(origin) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        } else {
            return;
        }
        if is_preflight(parts) {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, READING);
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
            headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        } else {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}

fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Whether a page of any other origin sent this request, be it from this host's next port.
/// `own` is the host and port that the request names.
fn is_elsewhere(headers: &HeaderMap, own: &[u8]) -> bool {
    headers.get_all(ORIGIN).iter().any(|origin| {
        let origin = origin.to_str().ok().and_then(|it| it.split_once("://"));
        !origin.is_some_and(|(_scheme, origin)| origin.as_bytes().eq_ignore_ascii_case(own))
    })
}

/// Whether a page of another site sent this request. What is not a browser says nothing.
fn is_foreign(headers: &HeaderMap, host: &Host<'_>) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        return false;
    };
    let Some((_scheme, authority)) = origin.to_str().ok().and_then(|it| it.split_once("://"))
    else {
        return true;
    };
    Host::parse(authority.as_bytes()).is_none_or(|origin| origin.name() != host.name())
}
