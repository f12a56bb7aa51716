//! What a client has asked and what became of it.

use std::time::Duration;

use hyper::StatusCode;
use polypy_core::metrics::{Counter, Entry, Histogram, Kind, List, Part, Row, Sheet, Span};

use super::error::RestError;

/// Counters of one client, shared by all who use it.
#[derive(Debug, Default)]
pub(super) struct RestStats {
    /// Those that were named, and one for all others.
    endpoints: Vec<OfEndpoint>,
    pub(super) retries: Counter,
    pub(super) connections_opened: Counter,
    /// Requests sent once more because a kept connection had gone stale.
    pub(super) stale_connections: Counter,
    pub(super) bytes_received: Counter,
    failures: Failures,
}

/// A path, without its query.
#[derive(Debug)]
struct OfEndpoint {
    path: &'static str,
    requests: Counter,
    took: Histogram,
}

/// Under which requests are counted whose path has no name.
const OTHER: &str = "other";

/// Adds one.
pub(super) fn count(counter: &Counter) {
    counter.add_shared(1);
}

polypy_core::counters! {
    /// Attempts that failed, by what failed.
    Failures is "polypy_rest_failures_total" with "" by "class" {
        /// No connection.
        connect,
        /// The connection broke.
        transport,
        /// No answer in time.
        timeout,
        /// The service had enough (429).
        too_many_requests,
        /// The service failed (5xx).
        server_error,
        /// The service refused (any other status).
        client_error,
        /// An answer that could not be used.
        other,
    }
}

type Counted = Entry<RestStats>;

static REST: Part = Part::new("rest", "Requests over HTTP.");
static FAILURES: Part = Part::new("failures", "Attempts that failed.");
static ENDPOINTS: List = List::by_name("endpoints", "endpoint", "Requests by path.");
static REQUESTS: &[Entry<u64>] = &[Entry::<u64>::counter(
    "requests",
    "polypy_rest_requests_total",
    "Requests; one that was tried again is one.",
    |requests| (*requests).into(),
)];
static DURATION: Row = Row::histogram(
    "polypy_rest_request_duration_seconds",
    "How long an attempt of a request took, until its answer was there or it failed.",
    Span::NETWORK,
);
static ROWS: &[Counted] = &[
    Counted::shown("requests", "Requests in all.", |stats| {
        let requests = stats.endpoints.iter().map(|one| one.requests.get());
        requests.sum::<u64>().into()
    }),
    Counted::counter(
        "retries",
        "polypy_rest_retries_total",
        "Attempts after a failed one.",
        |stats| stats.retries.get().into(),
    ),
    Counted::counter(
        "connections_opened",
        "polypy_rest_connections_opened_total",
        "Connections opened.",
        |stats| stats.connections_opened.get().into(),
    ),
    Counted::counter(
        "stale_connections",
        "polypy_rest_stale_connections_total",
        "Kept connections that the service had closed.",
        |stats| stats.stale_connections.get().into(),
    ),
    Counted::shown(
        "bytes_received",
        "Bytes of answers, packed as they came.",
        |stats| stats.bytes_received.get().into(),
    ),
    Counted::exported(
        Kind::Counter,
        "polypy_rest_received_bytes_total",
        "Bytes of answers, packed as they came.",
        |stats| stats.bytes_received.get().into(),
    ),
];

impl RestStats {
    /// Names the paths that are counted apart.
    pub(super) fn name(&mut self, paths: &[&'static str]) {
        let paths = paths.iter().copied().chain([OTHER]);
        self.endpoints = paths
            .map(|path| OfEndpoint {
                path,
                requests: Counter::default(),
                took: Histogram::default(),
            })
            .collect();
    }

    fn endpoint(&self, path_and_query: &str) -> Option<&OfEndpoint> {
        let path = path_and_query.split('?').next().unwrap_or_default();
        let named = self.endpoints.iter().find(|one| one.path == path);
        named.or(self.endpoints.last())
    }

    /// Counts a request.
    pub(super) fn requested(&self, path_and_query: &str) {
        if let Some(endpoint) = self.endpoint(path_and_query) {
            count(&endpoint.requests);
        }
    }

    /// An attempt has ended.
    pub(super) fn attempted(&self, path_and_query: &str, took: Duration) {
        if let Some(endpoint) = self.endpoint(path_and_query) {
            endpoint.took.record_shared(took);
        }
    }

    /// Counts a failed attempt by class.
    pub(super) fn failed(&self, error: &RestError) {
        let failures = &self.failures;
        count(match error {
            RestError::Connect(_) => &failures.connect,
            RestError::Transport(_) => &failures.transport,
            RestError::Timeout(_) => &failures.timeout,
            RestError::Status { status, .. } => match *status {
                StatusCode::TOO_MANY_REQUESTS => &failures.too_many_requests,
                status if status.is_server_error() => &failures.server_error,
                _ => &failures.client_error,
            },
            RestError::Base(_)
            | RestError::Request(_)
            | RestError::TooLarge { .. }
            | RestError::Encoded
            | RestError::Packed(_) => &failures.other,
        });
    }

    pub(super) fn show(&self, sheet: &mut dyn Sheet) {
        sheet.part(&REST, |sheet| {
            sheet.table(ROWS, self);
            sheet.part(&FAILURES, |sheet| {
                sheet.table(Failures::ROWS, &self.failures);
            });
            sheet.begin(&ENDPOINTS);
            for endpoint in &self.endpoints {
                // Named, so that nothing is lost; not shown while nothing is there.
                if endpoint.path == OTHER && endpoint.requests.get() == 0 {
                    continue;
                }
                sheet.member(endpoint.path);
                sheet.table(REQUESTS, &endpoint.requests.get());
                sheet.histogram(&DURATION, &endpoint.took.reading());
                sheet.end_member();
            }
            sheet.end();
        });
    }
}
