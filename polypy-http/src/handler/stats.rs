//! `GET /stats`: the source's object as it is. Always 200: what is wrong is
//! the business of `/health`.

use hyper::StatusCode;
use polypy_core::metrics::JsonSheet;

use crate::call::Call;
use crate::encoding::wants_gzip;
use crate::reply::{JSON, Reply};
use crate::sources::Sources;

/// The answer, if it takes microseconds.
pub(super) fn ready(sources: &Sources, call: &Call) -> Option<Reply> {
    let is_quick = super::is_quick(sources) && !wants_gzip(&call.headers);
    is_quick.then(|| get(sources))
}

/// The answer.
pub(super) fn get(sources: &Sources) -> Reply {
    let expected = sources.stats.quick_bytes().unwrap_or(1024);
    let mut sheet = JsonSheet::with_capacity(expected + expected / 8);
    sources.stats.show(&mut sheet);
    let mut body = sheet.finish();
    // A terminal shows the prompt on a line of its own.
    body.push(b'\n');
    Reply::bytes(StatusCode::OK, JSON, body)
}
