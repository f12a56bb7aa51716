//! `GET /health`: the verdict as of now, in the status and in the body.
//!
//! Two forms, by `Accept`: ours, and that of the draft "Health Check Response Format
//! for HTTP APIs" (`application/health+json`), which some monitors read.

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue, VARY};
use polypy_core::Health;
use serde::{Serialize, Serializer};

use crate::negotiate::{Offer, best};
use crate::reply::Reply;
use crate::route::Call;
use crate::sources::Sources;

/// What is not acceptable is answered in the first: a probe looks at the status.
const OFFERS: [Offer; 2] = [
    Offer {
        kind: "application",
        subtype: "json",
        versions: &[],
    },
    Offer {
        kind: "application",
        subtype: "health+json",
        versions: &[],
    },
];
const HEALTH_JSON: HeaderValue = HeaderValue::from_static("application/health+json");
const BY_ACCEPT: HeaderValue = HeaderValue::from_static("accept");

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

/// The same verdict in the draft's terms.
#[derive(Serialize)]
struct Draft {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    checks: Fields<[Measure; 1], String>,
}

/// What the draft says of a component or of a number.
#[derive(Serialize)]
struct Measure {
    #[serde(rename = "componentType", skip_serializing_if = "Option::is_none")]
    component_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(rename = "observedValue", skip_serializing_if = "Option::is_none")]
    observed_value: Option<u64>,
    #[serde(rename = "observedUnit", skip_serializing_if = "Option::is_none")]
    observed_unit: Option<&'static str>,
    time: String,
}

/// An object in the source's order.
struct Fields<T, N = &'static str>(Vec<(N, T)>);

impl<T: Serialize, N: Serialize> Serialize for Fields<T, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

pub(super) fn get(sources: &Sources, call: &Call) -> Reply {
    let health = sources.health.health();
    let status = if health.healthy {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let time = sources.clock.now().to_string();
    let reply = match best(call.headers(), &OFFERS) {
        Some(1) => {
            let body = draft(health, &time);
            Reply::json(status, &body).with_header(CONTENT_TYPE, HEALTH_JSON)
        }
        Some(_) | None => Reply::json(status, &ours(health, time)),
    };
    reply.with_header(VARY, BY_ACCEPT)
}

fn ours(health: Health, timestamp: String) -> Body {
    let reasons = health.reasons.into_iter().map(|reason| Entry {
        code: reason.code,
        text: reason.text,
    });
    let counts = health.counts.into_iter();
    let counts = counts.map(|(group, counts)| (group, Fields(counts)));
    Body {
        healthy: health.healthy,
        timestamp,
        components: Fields(health.components),
        reasons: reasons.collect(),
        counts: Fields(counts.collect()),
    }
}

fn draft(health: Health, time: &str) -> Draft {
    let status = match (health.healthy, health.reasons.is_empty()) {
        (true, true) => "pass",
        (true, false) => "warn",
        (false, _) => "fail",
    };
    let texts: Vec<_> = health
        .reasons
        .into_iter()
        .map(|reason| reason.text)
        .collect();
    let component = |(name, well): (&'static str, bool)| {
        let measure = Measure {
            component_type: Some("component"),
            status: Some(if well { "pass" } else { "fail" }),
            observed_value: None,
            observed_unit: None,
            time: time.to_owned(),
        };
        (name.to_owned(), [measure])
    };
    let number = |group: &'static str, (name, value): (&'static str, u64)| {
        let measure = Measure {
            component_type: None,
            status: None,
            observed_value: Some(value),
            observed_unit: Some(group),
            time: time.to_owned(),
        };
        (format!("{group}:{name}"), [measure])
    };
    let mut checks: Vec<_> = health.components.into_iter().map(component).collect();
    for (group, counts) in health.counts {
        checks.extend(counts.into_iter().map(|count| number(group, count)));
    }
    Draft {
        status,
        output: (!texts.is_empty()).then(|| texts.join("; ")),
        checks: Fields(checks),
    }
}
