//! `/login` and `/logout`: a browser's session, begun with the token.

use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, LOCATION, SET_COOKIE, WWW_AUTHENTICATE,
};
use polypy_core::Clock;
use serde::Deserialize;

use crate::access::{Access, INVALID, end_session};
use crate::call::Call;
use crate::describe::{Answer, Content};
use crate::parameter::{Kind, Parameter};
use crate::query::Query;
use crate::reply::Reply;
use crate::route::Route;

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
/// Relative, so that it is right below the path of a proxy, too.
const HOME: HeaderValue = HeaderValue::from_static("./");
/// The form may be sent here, and nothing else happens on the page.
const FORM_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
);
const FORM: &str = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
    <title>Log in</title>\n<form method=\"post\" action=\"login\">\n\
    <label>Token <input type=\"password\" name=\"token\" autocomplete=\"current-password\" \
    required autofocus></label>\n<button>Log in</button>\n</form>\n";
/// A form with a token of any length that makes sense.
const MOST_BYTES: usize = 4 * 1024;
const FIELDS: &[Parameter] = &[Parameter::new(
    "token",
    Kind::Text { most: MOST_BYTES },
    "the token",
)];

const SEEN: Answer = Answer::new(303, Content::Empty, "done, for a form: to the page at /");
const DONE: Answer = Answer::new(204, Content::Empty, "done, for JSON");
const ANSWERS: &[Answer] = &[
    Answer::new(200, Content::Other("text/html"), "the form").to("GET"),
    SEEN.to("POST"),
    DONE.to("POST"),
    Answer::error(401, "that is not the token").to("POST"),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    token: String,
}

/// Both routes.
pub(crate) fn routes(access: &Arc<Access>, clock: &Arc<dyn Clock>) -> [Route; 2] {
    let (access, clock) = (Arc::clone(access), Arc::clone(clock));
    let login = Route::get(
        "/login",
        "a browser's session, begun with the token",
        |_| {
            let form = Bytes::from_static(FORM.as_bytes());
            Reply::bytes(StatusCode::OK, HTML, form)
                .with_header(CONTENT_SECURITY_POLICY, FORM_POLICY)
        },
    )
    .with_post(MOST_BYTES, move |call, body| {
        let is_form = is_form(call);
        let Some(token) = token(is_form, body) else {
            let text = "the body is a form with the field token, or JSON: {\"token\": \"...\"}";
            return Reply::error(StatusCode::BAD_REQUEST, &call.request_id, text);
        };
        // As it comes from a clipboard, and as the token of a file is taken.
        if !access.is_token(token.trim()) {
            let text = "that is not the token";
            let reply = Reply::error(StatusCode::UNAUTHORIZED, &call.request_id, text);
            return reply.with_header(WWW_AUTHENTICATE, INVALID);
        }
        let cookie = access.begin_session(clock.now(), call.is_secure());
        with_cookie(is_form, &cookie)
    })
    .takes(Content::Json("login"))
    .answers(ANSWERS)
    .open();
    let logout = Route::post(
        "/logout",
        "ends a browser's session",
        MOST_BYTES,
        |call, _| with_cookie(is_form(call), &end_session(call.is_secure())),
    )
    .answers(const { &[SEEN, DONE] })
    .open();
    [login, logout]
}

fn is_form(call: &Call) -> bool {
    let kind = call.headers().get(CONTENT_TYPE);
    kind.and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| {
            let kind = kind.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        })
}

fn token(is_form: bool, body: &Bytes) -> Option<String> {
    if is_form {
        let text = std::str::from_utf8(body).ok()?;
        let form = Query::parse(text, FIELDS).ok()?;
        return form.text("token").map(str::to_owned);
    }
    let credentials: Credentials = serde_json::from_slice(body).ok()?;
    Some(credentials.token)
}

/// To the landing page for a person, nothing more for a program.
fn with_cookie(is_form: bool, cookie: &str) -> Reply {
    let reply = if is_form {
        Reply::empty(StatusCode::SEE_OTHER).with_header(LOCATION, HOME)
    } else {
        Reply::empty(StatusCode::NO_CONTENT)
    };
    match HeaderValue::from_str(cookie) {
        Ok(cookie) => reply.with_header(SET_COOKIE, cookie),
        // It is made of digits and fixed words.
        Err(_) => Reply::empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}
