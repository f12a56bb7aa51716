//! `GET /health`: the verdict as of now, in the status and in the body.

use hyper::StatusCode;
use serde::{Serialize, Serializer};

use crate::reply::Reply;
use crate::route::Call;
use crate::sources::Sources;

#[derive(Serialize)]
struct Body {
    healthy: bool,
    timestamp: String,
    components: Fields<bool>,
    reasons: Vec<Entry>,
    #[serde(flatten)]
    counts: Fields<Fields<u64>>,
}

#[derive(Serialize)]
struct Entry {
    code: &'static str,
    text: String,
}

/// An object in the source's order.
struct Fields<T>(Vec<(&'static str, T)>);

impl<T: Serialize> Serialize for Fields<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

pub(super) fn get(sources: &Sources, _call: &Call) -> Reply {
    let health = sources.health.health();
    let status = if health.healthy {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let reasons = health.reasons.into_iter().map(|reason| Entry {
        code: reason.code,
        text: reason.text,
    });
    let counts = health.counts.into_iter();
    let counts = counts.map(|(group, counts)| (group, Fields(counts)));
    let body = Body {
        healthy: health.healthy,
        timestamp: sources.clock.now().to_string(),
        components: Fields(health.components),
        reasons: reasons.collect(),
        counts: Fields(counts.collect()),
    };
    Reply::json(status, &body)
}
