//! What each route answers: a small function from sources and a request to a
//! reply. Handlers decide no health and compute no statistics; they read a
//! trait of `polypy-core` and write JSON.

mod index;

mod health;

mod probe;

mod version;

mod login;

mod stats;

mod metrics;

mod markets;

mod orderbook;

use std::sync::Arc;

use hyper::StatusCode;
use polypy_core::probe::Probe;

use crate::budget::Memory;
use crate::describe::{Answer, Content};
use crate::market_list::MarketList;
use crate::query::QueryError;
use crate::reply::{ErrorBody, Reply};
use crate::request_id::RequestId;
use crate::route::Route;
use crate::sources::Sources;

pub use self::health::health_json;

/// Statistics computed at once.
const STATS_THREADS: u32 = 4;
/// Scrapes are few.
const METRICS_THREADS: u32 = 2;
/// Who waited for the list of markets finds what the one before made.
const MARKETS_THREADS: u32 = 1;
/// Bytes of statistics that are written on the event loop at most, some tens of
/// microseconds.
const QUICK: usize = 64 * 1024;

const HEALTH: &[Answer] = &[
    Answer::json("health", "healthy"),
    Answer::new(503, Content::Json("health"), "not healthy"),
];
const PROBE: &[Answer] = &[
    Answer::json("probe", "yes"),
    Answer::new(503, Content::Json("probe"), "no"),
];
const STATS: &[Answer] = &[Answer::json("stats", "the statistics")];
const METRICS: &[Answer] = &[
    Answer::new(200, Content::Other("text/plain"), "Prometheus' text"),
    Answer::new(
        200,
        Content::Other("application/openmetrics-text"),
        "OpenMetrics, for those who name it",
    ),
];
const MARKETS: &[Answer] = &[
    Answer::json("market_list", "the markets"),
    Answer::error(503, "there is no catalogue, or no room for the list"),
];
const ORDERBOOK: &[Answer] = &[
    Answer::json("orderbook", "the book"),
    Answer::new(404, Content::Json("orderbook"), "there is none"),
    Answer::new(503, Content::Json("orderbook"), "it has yet to come"),
];

/// The routes that every server has but the landing page and `/version`.
///
/// | path | answer |
/// |---|---|
/// | `/health` | 200 when healthy, 503 when not, with the verdict on each part |
/// | `/livez` | 200 while a restart would not help, 503 when it would |
/// | `/readyz` | 200 when requests should come, 503 when not |
/// | `/startupz` | 503 until the start is over, then 200 |
/// | `/stats` | the statistics object, always 200 |
/// | `/metrics` | the same numbers for Prometheus, as text or OpenMetrics |
/// | `/markets` | the catalogue |
/// | `/orderbook/{asset_id}` | one book |
pub(crate) fn routes(sources: &Sources, memory: &Memory, metric_details: bool) -> Vec<Route> {
    let markets = sources
        .markets
        .clone()
        .map(|source| Arc::new(MarketList::new(source, memory.clone())));
    let kept = markets.clone();
    let (health, stats, books) = (sources.clone(), sources.clone(), sources.clone());
    let quick = sources.clone();
    let newest = health::Newest::default();
    let probe = |path, summary, probe| {
        let source = Arc::clone(&sources.probes);
        Route::get(path, summary, move |call| probe::get(&*source, probe, call))
            .with_parameters(probe::PARAMETERS)
            .answers(PROBE)
            .for_probes()
    };
    let metrics = Arc::new(metrics::Metrics::new(sources.clone(), metric_details));
    let scraped = Arc::clone(&metrics);
    vec![
        Route::get(
            "/health",
            "200 when healthy, 503 when not, with the verdict on each part",
            move |call| health::get(&health, &newest, call),
        )
        .answers(HEALTH)
        .for_probes(),
        probe(
            "/livez",
            "200 while a restart would not help, 503 when it would",
            Probe::Live,
        ),
        probe(
            "/readyz",
            "200 when requests should come, 503 when not",
            Probe::Ready,
        ),
        probe(
            "/startupz",
            "503 until the start is over, then 200",
            Probe::Started,
        ),
        Route::kept(
            "/stats",
            "the statistics object, always 200",
            STATS_THREADS,
            move |call| stats::ready(&quick, call),
            move |_call| stats::get(&stats),
        )
        .answers(STATS),
        Route::kept(
            "/metrics",
            "the same numbers for Prometheus, as text or OpenMetrics",
            METRICS_THREADS,
            move |call| scraped.ready(call),
            move |call| metrics.get(call),
        )
        .answers(METRICS),
        Route::kept(
            "/markets",
            "the catalogue",
            MARKETS_THREADS,
            move |call| markets::ready(kept.as_deref(), call),
            move |call| markets::compute(markets.as_deref(), call),
        )
        .with_parameters(markets::PARAMETERS)
        .answers(MARKETS),
        Route::get("/orderbook/{asset_id}", "one book", move |call| {
            orderbook::get(&books, call)
        })
        .with_parameters(orderbook::PARAMETERS)
        .answers(ORDERBOOK),
    ]
}

pub(crate) use index::{landing, wants_page};
pub(crate) use login::routes as login;
pub(crate) use probe::OfHealth;
pub(crate) use version::{PATH as VERSION_PATH, version};

/// 400 for a query parameter, naming it.
pub(crate) fn bad_query(error: &QueryError, request_id: &RequestId) -> Reply {
    let text = error.to_string();
    ErrorBody {
        parameter: Some(error.parameter().to_owned()),
        ..ErrorBody::new(StatusCode::BAD_REQUEST, request_id, &text)
    }
    .reply()
}

/// Whether statistics can be written on the event loop.
fn is_quick(sources: &Sources) -> bool {
    let bytes = sources.stats.quick_bytes();
    bytes.is_some_and(|bytes| bytes <= QUICK)
}

/// 503 for a route whose source was not handed to the server.
fn absent(what: &str, request_id: &RequestId) -> Reply {
    let text = format!("{what} are not served here");
    Reply::error(StatusCode::SERVICE_UNAVAILABLE, request_id, &text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use polypy_core::metrics::Sheet;
    use polypy_core::{Clock, Health, HealthSource, StatsSource, Timestamp};

    use super::*;
    use crate::parameter;

    struct Nothing;

    impl HealthSource for Nothing {
        fn health(&self) -> Health {
            Health::of(true)
        }
    }

    impl StatsSource for Nothing {
        fn show(&self, _sheet: &mut dyn Sheet) {}
    }

    impl Clock for Nothing {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(0)
        }
    }

    fn all() -> Vec<Route> {
        let nothing = Arc::new(Nothing);
        let sources = Sources::new(nothing.clone(), nothing.clone(), nothing);
        routes(&sources, &Memory::new(0), false)
    }

    #[test]
    fn the_documentation_lists_the_routes() {
        let documented: Vec<&str> = include_str!("handler.rs")
            .lines()
            .filter(|line| line.starts_with("/// | `"))
            .collect();
        let expected: Vec<String> = all()
            .iter()
            .map(|route| format!("/// | `{}` | {} |", route.path, route.summary))
            .collect();
        assert_eq!(documented, expected);
    }

    #[test]
    fn probes_are_answered_on_the_event_loop() {
        let probes: Vec<_> = all()
            .into_iter()
            .filter(|route| route.probe)
            .map(|route| route.path)
            .collect();
        assert_eq!(probes, ["/health", "/livez", "/readyz", "/startupz"]);
    }

    #[test]
    fn the_manual_has_a_section_for_each_route_and_no_other() {
        let manual = include_str!("../../docs/http-api.md");
        // Those of `polypy-api` are compared there.
        let elsewhere = |path: &&str| {
            path.starts_with("/v1/") || path.starts_with("/ws/") || *path == "/openapi.json"
        };
        let headings: Vec<&str> = manual
            .lines()
            .filter_map(|line| line.strip_prefix("### GET "))
            .filter(|path| !elsewhere(path))
            .collect();
        let mut paths = vec!["/", VERSION_PATH];
        paths.extend(all().iter().map(|route| route.path));
        assert_eq!(headings, paths);
    }

    #[test]
    fn the_manual_has_a_table_of_each_routes_parameters() {
        let manual = include_str!("../../docs/http-api.md");
        for route in all() {
            let mistakes = parameter::manual_mistakes(manual, route.path, route.parameters);
            assert_eq!(mistakes, Vec::<String>::new());
        }
    }
}
