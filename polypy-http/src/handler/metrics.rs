//! `GET /metrics`: the numbers of `/stats` for Prometheus, in the format that the
//! client likes best.

use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{HeaderValue, VARY};
use parking_lot::Mutex;

use crate::call::Call;
use crate::encoding::wants_gzip;
use crate::exposition::{Exposition, Format};
use crate::negotiate::{Offer, best};
use crate::reply::Reply;
use crate::sources::Sources;

/// What is not acceptable is answered all the same: a scraper that cannot read the
/// oldest format has to be told so by its own error.
const OFFERS: [Offer; 2] = [
    Offer {
        kind: "text",
        subtype: "plain",
        versions: &["0.0.4", "1.0.0"],
        by_name: false,
    },
    Offer {
        kind: "application",
        subtype: "openmetrics-text",
        versions: &["1.0.0", "0.0.1"],
        // As Prometheus' own client libraries have it: `application/*` is a client that
        // hopes for JSON.
        by_name: true,
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
    spare: Arc<Spare>,
}

/// The memory of an answer that was sent, for the next one.
type Spare = Mutex<Vec<u8>>;

/// Memory past this is not kept. Without a series for each connection an answer has a
/// quarter of it.
const MOST_SPARE: usize = 256 * 1024;

/// An answer that leaves its memory to the next one.
struct Text {
    bytes: Vec<u8>,
    spare: Arc<Spare>,
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        if self.bytes.capacity() <= MOST_SPARE {
            self.bytes.clear();
            *self.spare.lock() = mem::take(&mut self.bytes);
        }
    }
}

impl Metrics {
    pub(super) fn new(sources: Sources, details: bool) -> Self {
        Self {
            sources,
            details,
            kept: Mutex::default(),
            spare: Arc::default(),
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
        let mut bytes = mem::take(&mut *self.spare.lock());
        exposition.render(format, &*self.sources.stats, &mut bytes);
        *self.kept.lock() = Some(exposition);
        let spare = Arc::clone(&self.spare);
        let text = Bytes::from_owner(Text { bytes, spare });
        Reply::bytes(StatusCode::OK, content_type, text).with_header(VARY, BY_ACCEPT)
    }
}
