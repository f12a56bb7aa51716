//! `GET /health`: the verdict as of now, in the status and in the body.
//!
//! Two forms, by `Accept`: ours, and that of the draft "Health Check Response Format
//! for HTTP APIs" (`application/health+json`), which some monitors read.

use std::ops::Range;

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue, VARY};
use parking_lot::Mutex;
use polypy_core::{Health, Timestamp};
use serde::{Serialize, Serializer};

use crate::call::Call;
use crate::negotiate::{Offer, best};
use crate::reply::{JSON, Reply, json};
use crate::sources::Sources;

/// What is not acceptable is answered in the first: a probe looks at the status.
const OFFERS: [Offer; 2] = [
    Offer {
        kind: "application",
        subtype: "json",
        versions: &[],
        by_name: false,
    },
    Offer {
        kind: "application",
        subtype: "health+json",
        versions: &[],
        by_name: false,
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

/// The verdict in our form, as a JSON object: for those who tell it in another way.
///
/// # Errors
/// None that can be met: a verdict can be written.
pub fn health_json(health: Health, at: Timestamp) -> serde_json::Result<String> {
    serde_json::to_string(&ours(health, at.to_string()))
}

pub(super) fn get(sources: &Sources, newest: &Newest, call: &Call) -> Reply {
    let health = sources.health.health();
    let status = if health.healthy {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let at = sources.clock.now();
    let reply = match best(call.headers(), &OFFERS) {
        Some(1) => {
            let body = draft(health, &at.to_string());
            Reply::json(status, &body).with_header(CONTENT_TYPE, HEALTH_JSON)
        }
        Some(_) | None => match newest.body(health, at) {
            Ok(body) => Reply::bytes(status, JSON, body),
            Err(error) => Reply::unwritable(&error),
        },
    };
    reply.with_header(VARY, BY_ACCEPT)
}

/// The newest verdict as it was sent. Verdicts seldom change, and then an answer differs
/// from the one before by its time alone, which is written over.
#[derive(Debug, Default)]
pub(super) struct Newest(Mutex<Option<Sent>>);

#[derive(Debug)]
struct Sent {
    health: Health,
    at: Timestamp,
    body: Vec<u8>,
    /// Where its time stands in it.
    time: Range<usize>,
}

impl Newest {
    /// A verdict in our form.
    fn body(&self, health: Health, at: Timestamp) -> serde_json::Result<Vec<u8>> {
        let mut newest = self.0.lock();
        let known = newest.as_mut().filter(|sent| sent.health == health);
        if let Some(sent) = known {
            sent.set_time(at);
            return Ok(sent.body.clone());
        }
        let sent = Sent::new(health, at)?;
        let body = sent.body.clone();
        *newest = Some(sent);
        Ok(body)
    }
}

impl Sent {
    fn new(health: Health, at: Timestamp) -> serde_json::Result<Self> {
        let time = at.to_string();
        let body = json(&ours(health.clone(), time.clone()))?;
        // What stands before it is no time.
        let mut places = body.windows(time.len());
        let start = places.position(|bytes| bytes == time.as_bytes());
        let start = start.unwrap_or(body.len());
        let end = body.len().min(start + time.len());
        Ok(Self {
            health,
            at,
            body,
            time: start..end,
        })
    }

    fn set_time(&mut self, at: Timestamp) {
        /// `2026-11-23T10:30:00.000Z`, and where its milliseconds stand.
        const LENGTH: usize = 24;
        const MILLIS: Range<usize> = 20..23;
        if at.millis() / 1_000 == self.at.millis() / 1_000 && self.time.len() == LENGTH {
            let mut rest = at.millis() % 1_000;
            for digit in self.body[self.time.clone()][MILLIS].iter_mut().rev() {
                let [lowest, ..] = (rest % 10).to_le_bytes();
                *digit = b'0' + lowest;
                rest /= 10;
            }
        } else {
            let time = at.to_string();
            let end = self.time.start + time.len();
            self.body.splice(self.time.clone(), time.into_bytes());
            self.time.end = end;
        }
        self.at = at;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What would be sent if nothing were kept.
    fn rendered(health: &Health, at: Timestamp) -> String {
        let body = json(&ours(health.clone(), at.to_string())).unwrap();
        String::from_utf8(body).unwrap()
    }

    #[test]
    fn what_is_kept_is_what_would_be_rendered() {
        let well = Health::of(true)
            .with("pool", true)
            .with_counts("books", [("live", 4), ("stale", 0)]);
        let worse = Health {
            counts: vec![("books", vec![("live", 3), ("stale", 1)])],
            ..well.clone()
        };
        let ill = Health::of(false).because("at", "not since 2026-11-23T10:30:00.000Z");
        let second = 1_795_429_800_000;
        let newest = Newest::default();
        for at in [
            second,
            second,
            second + 7,
            second + 999,
            second + 1_000,
            second + 61_050,
            second,
            u64::MAX,
            u64::MAX - 1,
            12,
            second + 1,
        ] {
            let at = Timestamp::from_millis(at);
            for health in [&well, &well, &worse, &ill, &ill, &well] {
                let sent = newest.body(health.clone(), at).unwrap();
                let sent = String::from_utf8(sent).unwrap();
                assert_eq!(sent, rendered(health, at));
            }
        }
        // Of one verdict at many times.
        for at in (0..4_000).step_by(37).chain([u64::MAX, second, second + 1]) {
            let at = Timestamp::from_millis(at);
            let sent = newest.body(well.clone(), at).unwrap();
            assert_eq!(String::from_utf8(sent).unwrap(), rendered(&well, at));
        }
    }
}
