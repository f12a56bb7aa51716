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
pub(crate) fn misdirected(host: &Host<'_>, request_id: &RequestId) -> Reply {
    let text = "this server does not answer to that name; if it is its own, list it in \
                http.allowed_hosts";
    ErrorBody {
        host: Some(shown(host.name()).to_owned()),
        ..ErrorBody::new(StatusCode::MISDIRECTED_REQUEST, request_id, text)
    }
    .reply()
    .closing()
}

/// The `Host` header, once it is sure that all is well with what hyper leaves to its
/// user: RFC 9112 sections 3.2 and 6.1. The error says what is wrong.
pub(crate) fn framed(
    parts: &Parts,
    fragment: bool,
    secure: bool,
) -> Result<Option<Host<'_>>, &'static str> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (None, _) if parts.version == Version::HTTP_11 => {
            return Err("an HTTP/1.1 request needs a Host header");
        }
        (None, _) => None,
        (_, Some(_)) => return Err("more than one Host header"),
        (Some(host), None) => {
            let host = Host::parse(host.as_bytes()).ok_or("the Host header is not a host")?;
            Some(host)
        }
    };
    if fragment {
        return Err("a request target has no fragment");
    }
    // CONNECT alone has an authority without a scheme, and is refused later.
    if parts
        .uri
        .scheme_str()
        .is_some_and(|scheme| scheme != "http" && !(secure && scheme == "https"))
    {
        return Err("a whole target has the scheme http here");
    }
    if parts.headers.get_all(TRANSFER_ENCODING).iter().count() > 1 {
        return Err("more than one Transfer-Encoding header");
    }
    Ok(host)
}

/// 405, with what would have been accepted.
pub(crate) fn method_not_allowed(
    parts: &Parts,
    allow: &'static str,
    request_id: &RequestId,
) -> Reply {
    ErrorBody {
        method: Some(shown(parts.method.as_str()).to_owned()),
        path: Some(shown(parts.uri.path()).to_owned()),
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
