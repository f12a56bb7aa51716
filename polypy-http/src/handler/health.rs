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
    components: Components,
}

/// An object in the source's order.
struct Components(Vec<(&'static str, bool)>);

impl Serialize for Components {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

pub(crate) fn get(sources: &Sources, _call: &Call) -> Reply {
    let health = sources.health.health();
    let status = if health.healthy {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = Body {
        healthy: health.healthy,
        timestamp: sources.clock.now().to_string(),
        components: Components(health.components),
    };
    Reply::json(status, &body)
}
