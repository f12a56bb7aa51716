//! `GET /livez`, `/readyz` and `/startupz`: yes or no in the status, and why not.

use std::sync::Arc;

use hyper::StatusCode;
use polypy_core::HealthSource;
use polypy_core::probe::{Check, Probe, ProbeSource};
use serde::Serialize;

use crate::call::Call;
use crate::parameter::{Kind, Parameter};
use crate::reply::Reply;

pub(super) const PARAMETERS: &[Parameter] = &[Parameter::new(
    "verbose",
    Kind::Flag,
    "lists each check, also those that hold",
)
.or("off")];

#[derive(Serialize)]
struct Body<'a> {
    ok: bool,
    reasons: Vec<Reason<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Vec<Verdict<'a>>>,
}

#[derive(Serialize)]
struct Reason<'a> {
    code: &'a str,
    text: &'a str,
}

#[derive(Serialize)]
struct Verdict<'a> {
    name: &'a str,
    ok: bool,
    text: &'a str,
}

pub(super) fn get(source: &dyn ProbeSource, probe: Probe, call: &Call) -> Reply {
    let checks = source.checks(probe);
    let failed = checks.iter().filter(|check| !check.passed);
    let reasons: Vec<_> = failed
        .map(|check| Reason {
            code: check.name,
            text: &check.text,
        })
        .collect();
    let ok = reasons.is_empty();
    let status = if ok {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let verdicts = checks.iter().map(|check| Verdict {
        name: check.name,
        ok: check.passed,
        text: &check.text,
    });
    let is_verbose = call.query().flag("verbose").unwrap_or(false);
    let body = Body {
        ok,
        reasons,
        checks: is_verbose.then(|| verdicts.collect()),
    };
    Reply::json(status, &body)
}

/// Probes of a component that has health alone: it lives while it answers, and is ready
/// while it is healthy.
pub(crate) struct OfHealth(pub(crate) Arc<dyn HealthSource>);

impl ProbeSource for OfHealth {
    fn checks(&self, probe: Probe) -> Vec<Check> {
        match probe {
            Probe::Live => vec![Check::new("answering", true, "the process answers")],
            Probe::Ready | Probe::Started => {
                let health = self.0.health();
                let reasons = health.reasons.iter().map(|reason| reason.text.as_str());
                let reasons: Vec<_> = reasons.collect();
                let text = match (health.healthy, reasons.is_empty()) {
                    (true, true) => "healthy".to_owned(),
                    (false, true) => "not healthy".to_owned(),
                    (_, false) => reasons.join("; "),
                };
                vec![Check::new("healthy", health.healthy, text)]
            }
        }
    }
}
