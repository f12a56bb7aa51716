//! `GET /metrics`: the numbers of `/stats` for Prometheus, in the format that the
//! client likes best.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{HeaderValue, VARY};
use parking_lot::Mutex;

use crate::encoding::wants_gzip;
use crate::exposition::{Exposition, Format};
use crate::negotiate::{Offer, best};
use crate::reply::Reply;
use crate::route::Call;
use crate::sources::Sources;

/// What is not acceptable is answered all the same: a scraper that cannot read the
/// oldest format has to be told so by its own error.
const OFFERS: [Offer; 2] = [
    Offer {
        kind: "text",
        subtype: "plain",
        versions: &["0.0.4", "1.0.0"],
    },
    Offer {
        kind: "application",
        subtype: "openmetrics-text",
        versions: &["1.0.0", "0.0.1"],
    },
];
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
const BY_ACCEPT: HeaderValue = HeaderValue::from_static("accept");

/// Where metrics come from, and the memory in which they are written.
#[derive(Debug)]
pub(super) struct Metrics {
    sources: Sources,
    details: bool,
    /// Taken while it is used: a request meanwhile makes one of its own.
    kept: Mutex<Option<Box<Exposition>>>,
}

impl Metrics {
    pub(super) fn new(sources: Sources, details: bool) -> Self {
        Self {
            sources,
            details,
            kept: Mutex::default(),
        }
    }

    /// The answer, if it takes microseconds.
    pub(super) fn ready(&self, call: &Call) -> Option<Reply> {
        let is_quick = super::is_quick(&self.sources) && !wants_gzip(&call.headers);
        is_quick.then(|| self.get(call))
    }

    /// The answer.
    pub(super) fn get(&self, call: &Call) -> Reply {
        let (format, content_type) = match best(&call.headers, &OFFERS) {
            Some(1) => (Format::OpenMetrics, OPEN_METRICS),
            Some(_) | None => (Format::Text, TEXT),
        };
        let kept = self.kept.lock().take();
        let mut exposition = kept.unwrap_or_else(|| Box::new(Exposition::new(self.details)));
        let text = exposition.render(format, &*self.sources.stats);
        *self.kept.lock() = Some(exposition);
        Reply::bytes(StatusCode::OK, content_type, Bytes::from(text)).with_header(VARY, BY_ACCEPT)
    }
}
