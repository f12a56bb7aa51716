//! Refusals that have more to say than a status, and the rules for requests that hyper
//! leaves to its user.

use hyper::header::{HOST, TRANSFER_ENCODING, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{StatusCode, Version};

use crate::access::{Access, CHALLENGE, INVALID, Proof};
use crate::host::Host;
use crate::query::shown;
use crate::reply::{ErrorBody, Reply};
use crate::request_id::RequestId;

/// Advice when the server is busy: a moment.
const BUSY_SECONDS: u32 = 1;

/// 503, and when to come back.
pub(crate) fn busy(request_id: &RequestId, why: &str) -> Reply {
    Reply::error(StatusCode::SERVICE_UNAVAILABLE, request_id, why).with_retry_after(BUSY_SECONDS)
}

/// 401, unless the request proved that it may ask.
pub(crate) fn unauthorized(proof: Proof, access: &Access, request_id: &RequestId) -> Option<Reply> {
    let (text, challenge) = match proof {
        Proof::Valid => return None,
        Proof::Missing if access.has_sessions() => (
            "a token is needed: Authorization: Bearer, or in a browser /login",
            CHALLENGE,
        ),
        Proof::Missing => ("a token is needed: Authorization: Bearer", CHALLENGE),
        Proof::Invalid => ("the token or the session is not valid", INVALID),
    };
    let reply = Reply::error(StatusCode::UNAUTHORIZED, request_id, text);
    Some(reply.with_header(WWW_AUTHENTICATE, challenge))
}

/// A request for a name that may be a stranger's.
pub(crate) fn misdirected(host: &Host, request_id: &RequestId) -> Reply {
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
pub(crate) fn bad_framing(parts: &Parts, fragment: bool, secure: bool) -> Option<&'static str> {
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
        .is_some_and(|scheme| scheme != "http" && !(secure && scheme == "https"))
    {
        return Some("a whole target has the scheme http here");
    }
    if parts.headers.get_all(TRANSFER_ENCODING).iter().count() > 1 {
        return Some("more than one Transfer-Encoding header");
    }
    None
}

/// 405, with what would have been accepted.
pub(crate) fn method_not_allowed(
    parts: &Parts,
    allow: &'static str,
    request_id: &RequestId,
) -> Reply {
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
