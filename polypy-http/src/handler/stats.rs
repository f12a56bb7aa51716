//! `GET /stats`: the source's object as it is. Always 200: what is wrong is
//! the business of `/health`.

use hyper::StatusCode;

use crate::reply::Reply;
use crate::route::Call;
use crate::sources::Sources;

pub(super) fn get(sources: &Sources, _call: &Call) -> Reply {
    Reply::json(StatusCode::OK, &sources.stats.stats())
}
