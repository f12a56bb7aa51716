//! What the server has done, as counters that only grow.

use std::time::Duration;

use polypy_core::metrics::{Counter, Entry, Histogram, Kind, List, Row, Sheet, Span};

use crate::route::{RouteIndex, Routes};

/// Statuses that are likely; anything else is counted as `other`.
const STATUSES: [(u16, &str); 18] = [
    (101, "101"),
    (200, "200"),
    (204, "204"),
    (304, "304"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (413, "413"),
    (414, "414"),
    (417, "417"),
    (421, "421"),
    (426, "426"),
    (429, "429"),
    (500, "500"),
    (503, "503"),
    (0, "other"),
];
const OTHER: usize = STATUSES.len() - 1;
/// Exposed from the start, so that the first one is an increase of its series and not the
/// beginning of it: what any route may answer. Others are there once they have occurred: of
/// each route all would be a third of the whole.
const OF_ANY_ROUTE: [u16; 3] = [200, 500, 503];
/// The same of what matched no route.
const OF_NO_ROUTE: [u16; 4] = [400, 404, 421, 503];
/// The same where a token is asked for.
const WITHOUT_TOKEN: u16 = 401;

/// All counters, in one place, without a lock.
#[derive(Debug)]
pub(crate) struct Counters {
    /// One for each route, and one for what matched none.
    routes: Vec<OfRoute>,
    pub(crate) accepted: Counter,
    pub(crate) rejected: Counter,
    pub(crate) evicted: Counter,
    pub(crate) accept_errors: Counter,
    pub(crate) protocol_errors: Counter,
    pub(crate) head_timeouts: Counter,
    pub(crate) idle_timeouts: Counter,
    pub(crate) slow_readers: Counter,
    pub(crate) handler_panics: Counter,
    pub(crate) drained: Counter,
    pub(crate) aborted: Counter,
}

#[derive(Debug)]
struct OfRoute {
    path: &'static str,
    /// Statuses that are exposed from the start.
    known: Vec<u16>,
    by_status: [Counter; STATUSES.len()],
    took: Histogram,
}

impl OfRoute {
    fn new(path: &'static str, known: &[u16], has_guard: bool) -> Self {
        let guard = has_guard.then_some(WITHOUT_TOKEN);
        Self {
            path,
            known: known.iter().copied().chain(guard).collect(),
            by_status: std::array::from_fn(|_| Counter::default()),
            took: Histogram::default(),
        }
    }
}

type Counted = Entry<Counters>;

static REQUESTS: List = List::by_name(
    "requests",
    "route",
    "Answers by route; `unmatched` is what matched none.",
);
static BY_STATUS: Row = Row::by(
    Kind::Counter,
    "*",
    "polypy_http_requests_total",
    "code",
    "Answers by status. `/stats` has those that occurred.",
)
.sparse();
static DURATION: Row = Row::histogram(
    "polypy_http_request_duration_seconds",
    "From a request's head until its answer's head, of routes that were asked for.",
    Span::SERVING,
)
// Of a route that nobody asks for a dozen lines would say nothing.
.sparse();
const TIMEOUTS: &str = "Connections closed because a client took too long, by what for.";
const AT_STOP: &str = "Connections that were busy when the server stopped, by how they ended.";
static ROWS: &[Counted] = &[
    Counted::counter(
        "accepted_connections",
        "polypy_http_connections_accepted_total",
        "Connections accepted.",
        |counters| counters.accepted.get().into(),
    ),
    Counted::counter(
        "rejected_connections",
        "polypy_http_connections_rejected_total",
        "Connections refused for want of a place.",
        |counters| counters.rejected.get().into(),
    ),
    Counted::counter(
        "evicted_connections",
        "polypy_http_connections_evicted_total",
        "Idle connections closed to make a place.",
        |counters| counters.evicted.get().into(),
    ),
    Counted::counter(
        "accept_errors",
        "polypy_http_accept_errors_total",
        "Connections that the system could not hand over.",
        |counters| counters.accept_errors.get().into(),
    ),
    Counted::counter(
        "protocol_errors",
        "polypy_http_protocol_errors_total",
        "Connections that spoke no HTTP.",
        |counters| counters.protocol_errors.get().into(),
    ),
    Counted::counter(
        "head_timeouts",
        "polypy_http_timeouts_total",
        "Heads that were not complete in time.",
        |counters| counters.head_timeouts.get().into(),
    )
    .label("phase=\"head\"")
    .family(TIMEOUTS),
    Counted::counter(
        "idle_timeouts",
        "polypy_http_timeouts_total",
        "Connections without a further request.",
        |counters| counters.idle_timeouts.get().into(),
    )
    .label("phase=\"idle\"")
    .family(TIMEOUTS),
    Counted::counter(
        "slow_readers_closed",
        "polypy_http_timeouts_total",
        "Clients that read their answer too slowly.",
        |counters| counters.slow_readers.get().into(),
    )
    .label("phase=\"write\"")
    .family(TIMEOUTS),
    Counted::counter(
        "handler_panics",
        "polypy_http_handler_panics_total",
        "Handlers that panicked; their clients got a 500.",
        |counters| counters.handler_panics.get().into(),
    ),
    Counted::counter(
        "drained_connections",
        "polypy_http_connections_ended_at_stop_total",
        "Connections that ended by themselves.",
        |counters| counters.drained.get().into(),
    )
    .label("how=\"drained\"")
    .family(AT_STOP),
    Counted::counter(
        "aborted_connections",
        "polypy_http_connections_ended_at_stop_total",
        "Connections that were cut off.",
        |counters| counters.aborted.get().into(),
    )
    .label("how=\"aborted\"")
    .family(AT_STOP),
];

/// Adds one, while others may.
pub(crate) fn count(counter: &Counter) {
    counter.add_shared(1);
}

impl Counters {
    /// `has_guard`: whether a token is asked for.
    pub(crate) fn new(routes: &Routes, has_guard: bool) -> Self {
        let each = |path, known| OfRoute::new(path, known, has_guard);
        let known = routes.iter().map(|route| each(route.path, &OF_ANY_ROUTE));
        let unmatched = each("unmatched", &OF_NO_ROUTE);
        Self {
            routes: known.chain([unmatched]).collect(),
            accepted: Counter::default(),
            rejected: Counter::default(),
            evicted: Counter::default(),
            accept_errors: Counter::default(),
            protocol_errors: Counter::default(),
            head_timeouts: Counter::default(),
            idle_timeouts: Counter::default(),
            slow_readers: Counter::default(),
            handler_panics: Counter::default(),
            drained: Counter::default(),
            aborted: Counter::default(),
        }
    }

    /// Counts an answer; `None` stands for a request that matched no route.
    pub(crate) fn answered(&self, route: Option<RouteIndex>, status: u16, took: Duration) {
        let row = route.map_or(self.routes.len() - 1, RouteIndex::get);
        let column = STATUSES.iter().position(|(known, _)| *known == status);
        if let Some(route) = self.routes.get(row) {
            count(&route.by_status[column.unwrap_or(OTHER)]);
            route.took.record_shared(took);
        }
    }

    /// Shows all of them.
    pub(crate) fn show(&self, sheet: &mut dyn Sheet) {
        sheet.begin(&REQUESTS);
        for route in &self.routes {
            sheet.member(route.path);
            let counts = STATUSES.iter().zip(&route.by_status);
            let mut counts = counts
                .map(|((status, name), counter)| (*status, *name, counter.get()))
                .filter(|(status, _, count)| *count > 0 || route.known.contains(status))
                .map(|(_, name, count)| (name, count));
            sheet.members(&BY_STATUS, &mut counts);
            sheet.histogram(&DURATION, &route.took.reading());
            sheet.end_member();
        }
        sheet.end();
        sheet.table(ROWS, self);
    }
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;
    use polypy_core::StatsSource;

    use super::*;
    use crate::exposition::{Exposition, Format};
    use crate::reply::Reply;
    use crate::route::Route;

    struct Shown(Counters);

    impl StatsSource for Shown {
        fn show(&self, sheet: &mut dyn Sheet) {
            self.0.show(sheet);
        }
    }

    fn exposed(has_guard: bool) -> String {
        let mut routes = Routes::default();
        let route = Route::get("/a", "", |_| Reply::empty(StatusCode::OK));
        routes.add(route).unwrap();
        let counters = Counters::new(&routes, has_guard);
        counters.answered(None, 405, Duration::ZERO);
        let mut out = Vec::new();
        Exposition::new(false).render(Format::Text, &Shown(counters), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_to_be_expected_is_there_at_zero_before_it_occurs() {
        for has_guard in [false, true] {
            let text = exposed(has_guard);
            let is_there = |route: &str, code: u16, count: u64| {
                let labels = format!("route=\"{route}\",code=\"{code}\"");
                let line = format!("polypy_http_requests_total{{{labels}}} {count}\n");
                text.contains(&line)
            };
            for code in [200, 500, 503] {
                assert!(is_there("/a", code, 0), "{code} in {text}");
            }
            for code in [400, 404, 421, 503] {
                assert!(is_there("unmatched", code, 0), "{code} in {text}");
            }
            assert!(is_there("unmatched", 405, 1), "{text}");
            assert!(!is_there("/a", 404, 0), "{text}");
            assert_eq!(is_there("/a", 401, 0), has_guard, "{text}");
            assert_eq!(is_there("unmatched", 401, 0), has_guard, "{text}");
        }
    }
}
