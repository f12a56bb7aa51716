//! What each route answers: a small function from sources and a request to a
//! reply. Handlers decide no health and compute no statistics; they read a
//! trait of `polypy-core` and write JSON.

pub(crate) mod index;

pub(crate) mod health;

pub(crate) mod stats;

pub(crate) mod markets;

pub(crate) mod orderbook;

use hyper::StatusCode;

use crate::query::QueryError;
use crate::reply::{ErrorBody, Reply};
use crate::request_id::RequestId;

/// 400 for a query parameter, naming it.
pub(crate) fn bad_query(error: &QueryError, request_id: &RequestId) -> Reply {
    let text = error.to_string();
    ErrorBody {
        parameter: Some(error.parameter()),
        ..ErrorBody::new(StatusCode::BAD_REQUEST, request_id, &text)
    }
    .reply()
}

/// 503 for a route whose source was not handed to the server.
fn absent(what: &str, request_id: &RequestId) -> Reply {
    let text = format!("{what} are not served here");
    Reply::error(StatusCode::SERVICE_UNAVAILABLE, request_id, &text)
}
