//! The metrics of the original program, under its names: `metrics.legacy = true`.
//!
//! All of them can be read from `/stats`, whose fields of that time have stayed; so
//! they are. Some have no place among the conventions (gauges that end in `_total`), and
//! each has a better one beside it: `docs/metrics.md` says which.

use polypy_core::metrics::{Entry, Kind, List, Number, Row, Sheet};
use serde_json::Value;

type Old = Entry<Value>;

/// A number of the statistics, as it stands there.
fn at(stats: &Value, pointer: &str) -> Number<'static> {
    match stats.pointer(pointer) {
        Some(Value::Bool(flag)) => (*flag).into(),
        Some(Value::Number(number)) => {
            let whole = number.as_u64().map(Number::Count);
            whole
                .or(number.as_f64().map(Number::Amount))
                .unwrap_or(Number::Nothing)
        }
        _ => Number::Nothing,
    }
}

/// The product of two of them.
fn product(stats: &Value, pointers: [&str; 2], factor: f64) -> Number<'static> {
    let [one, other] = pointers.map(|pointer| amount(stats, pointer));
    (one * other * factor).into()
}

fn amount(stats: &Value, pointer: &str) -> f64 {
    stats
        .pointer(pointer)
        .and_then(Value::as_f64)
        .unwrap_or(0.0)
}

/// A row whose number stands in `/stats`.
macro_rules! old {
    ($kind:ident, $metric:literal, $pointer:literal, $labels:literal, $help:literal) => {
        Old::exported(Kind::$kind, $metric, $help, |stats| at(stats, $pointer)).label($labels)
    };
}

static PROGRAM: &[Old] = &[
    old!(
        Gauge,
        "polypy_application_running",
        "/running",
        "",
        "Whether the program runs."
    ),
    old!(
        Gauge,
        "polypy_registry_markets_total",
        "/registry/total_markets",
        "status=\"total\"",
        "Tokens by status."
    ),
    old!(
        Gauge,
        "polypy_registry_markets_total",
        "/registry/pending",
        "status=\"pending\"",
        "Tokens by status."
    ),
    old!(
        Gauge,
        "polypy_registry_markets_total",
        "/registry/subscribed",
        "status=\"subscribed\"",
        "Tokens by status."
    ),
    old!(
        Gauge,
        "polypy_registry_markets_total",
        "/registry/expired",
        "status=\"expired\"",
        "Tokens by status."
    ),
    old!(
        Gauge,
        "polypy_pool_connections",
        "/pool/connection_count",
        "type=\"total\"",
        "Connections."
    ),
    old!(
        Gauge,
        "polypy_pool_connections",
        "/pool/active_connections",
        "type=\"active\"",
        "Connections."
    ),
    old!(
        Gauge,
        "polypy_pool_capacity",
        "/pool/total_capacity",
        "",
        "Tokens that the connections can carry."
    ),
    old!(
        Counter,
        "polypy_router_messages_routed_total",
        "/router/messages_routed",
        "",
        "Events routed."
    ),
    old!(
        Counter,
        "polypy_router_messages_dropped_total",
        "/router/messages_dropped",
        "",
        "Events dropped."
    ),
    old!(
        Counter,
        "polypy_router_batches_sent_total",
        "/router/batches_sent",
        "",
        "Deliveries to workers."
    ),
    old!(
        Counter,
        "polypy_router_queue_full_events_total",
        "/router/queue_full_events",
        "",
        "Deliveries that did not fit."
    ),
    old!(
        Counter,
        "polypy_router_routing_errors_total",
        "/router/routing_errors",
        "",
        "Events that came while the router did not run."
    ),
    Old::exported(
        Kind::Summary,
        "polypy_router_routing_latency_seconds_sum",
        "From a socket's read until what it brought was in its book.",
        |stats| {
            product(
                stats,
                ["/router/avg_latency_ms", "/router/messages_routed"],
                1e-3,
            )
        },
    ),
    old!(
        Summary,
        "polypy_router_routing_latency_seconds_count",
        "/router/messages_routed",
        "",
        "From a socket's read until what it brought was in its book."
    ),
    old!(
        Gauge,
        "polypy_workers_alive",
        "/workers/alive_count",
        "",
        "Workers that run."
    ),
    old!(
        Gauge,
        "polypy_workers_healthy",
        "/workers/is_healthy",
        "",
        "Whether all of them do."
    ),
    // `polypy_lifecycle_running` has kept its name.
    old!(
        Gauge,
        "polypy_lifecycle_known_markets",
        "/lifecycle/known_market_count",
        "",
        "Markets known."
    ),
    old!(
        Counter,
        "polypy_recycler_recycles_total",
        "/recycler/recycles_completed",
        "result=\"completed\"",
        "Replacements of connections."
    ),
    old!(
        Counter,
        "polypy_recycler_recycles_total",
        "/recycler/recycles_failed",
        "result=\"failed\"",
        "Replacements of connections."
    ),
    old!(
        Counter,
        "polypy_recycler_markets_migrated_total",
        "/recycler/markets_migrated",
        "",
        "Tokens that moved to a new connection."
    ),
    old!(
        Gauge,
        "polypy_recycler_success_rate",
        "/recycler/success_rate",
        "",
        "Share of the replacements that were done; absent while none has ended."
    ),
    Old::exported(
        Kind::Gauge,
        "polypy_recycler_active_recycles",
        "Replacements under way.",
        |stats| {
            let active = stats.pointer("/recycler/active_recycles");
            active.and_then(Value::as_array).map_or(0, Vec::len).into()
        },
    ),
    Old::exported(
        Kind::Gauge,
        "polypy_recycler_avg_downtime_seconds",
        "The mean time that a moved token was without a live feed.",
        |stats| (amount(stats, "/recycler/avg_downtime_ms") * 1e-3).into(),
    ),
    Old::exported(
        Kind::Summary,
        "polypy_recycler_downtime_seconds_sum",
        "That mean, once for each replacement.",
        |stats| {
            product(
                stats,
                ["/recycler/avg_downtime_ms", "/recycler/recycles_completed"],
                1e-3,
            )
        },
    ),
    old!(
        Summary,
        "polypy_recycler_downtime_seconds_count",
        "/recycler/recycles_completed",
        "",
        "That mean, once for each replacement."
    ),
];
static QUEUE_DEPTH: Row = Row::by(
    Kind::Gauge,
    "",
    "polypy_router_queue_depth",
    "queue_name",
    "Events in the queues.",
);
/// Without a key it is not in `/stats`.
static CONNECTIONS: List = List::by_name("", "connection_id", "Connections.");
static CONNECTION: &[Old] = &[
    old!(
        Counter,
        "polypy_connection_messages_received_total",
        "/messages_received",
        "",
        "Frames received."
    ),
    old!(
        Counter,
        "polypy_connection_bytes_received_total",
        "/bytes_received",
        "",
        "Their bytes."
    ),
    old!(
        Counter,
        "polypy_connection_parse_errors_total",
        "/parse_errors",
        "",
        "What could not be read."
    ),
    old!(
        Counter,
        "polypy_connection_reconnects_total",
        "/reconnect_count",
        "",
        "Sockets after the first one."
    ),
    Old::exported(
        Kind::Gauge,
        "polypy_connection_message_rate",
        "Frames a second since the connection was made.",
        |one| {
            let age = amount(one, "/age_seconds").max(1e-3);
            (amount(one, "/messages_received") / age).into()
        },
    ),
    old!(
        Gauge,
        "polypy_connection_pollution_ratio",
        "/pollution_ratio",
        "",
        "Share of its tokens whose market has ended."
    ),
    old!(
        Gauge,
        "polypy_connection_markets_total",
        "/total_markets",
        "type=\"total\"",
        "Tokens on it."
    ),
    old!(
        Gauge,
        "polypy_connection_markets_total",
        "/subscribed_markets",
        "type=\"subscribed\"",
        "Tokens on it."
    ),
    old!(
        Gauge,
        "polypy_connection_markets_total",
        "/expired_markets",
        "type=\"expired\"",
        "Tokens on it."
    ),
];
static HEALTHY: Row = Row::by(
    Kind::Gauge,
    "",
    "polypy_connection_healthy",
    "status",
    "Whether its socket is open and has said something since.",
);
static WORKERS: List = List::by_name("", "worker_id", "Workers.");
static WORKER: &[Old] = &[
    old!(
        Counter,
        "polypy_worker_messages_processed_total",
        "/messages_processed",
        "",
        "Events applied."
    ),
    old!(
        Counter,
        "polypy_worker_updates_applied_total",
        "/updates_applied",
        "",
        "Changes of levels applied."
    ),
    old!(
        Counter,
        "polypy_worker_snapshots_received_total",
        "/snapshots_received",
        "",
        "Whole books received."
    ),
    old!(
        Gauge,
        "polypy_worker_orderbook_count",
        "/orderbook_count",
        "",
        "Books that can be read."
    ),
    Old::exported(
        Kind::Gauge,
        "polypy_worker_memory_bytes",
        "What the books take.",
        |one| (amount(one, "/memory_usage_mb") * 1e6).into(),
    ),
    Old::exported(
        Kind::Summary,
        "polypy_worker_processing_seconds_sum",
        "How long applying events took.",
        |one| {
            product(
                one,
                ["/avg_processing_time_us", "/messages_processed"],
                1e-6,
            )
        },
    ),
    old!(
        Summary,
        "polypy_worker_processing_seconds_count",
        "/messages_processed",
        "",
        "How long applying events took."
    ),
];

/// Whether a sheet has a place for them.
pub(super) fn is_wanted(sheet: &dyn Sheet) -> bool {
    sheet.wants(&CONNECTIONS)
}

/// Shows them, as of these statistics.
pub(super) fn show(stats: &Value, sheet: &mut dyn Sheet) {
    sheet.table(PROGRAM, stats);
    let depths = stats
        .pointer("/router/queue_depths")
        .and_then(Value::as_object);
    let depths = depths.into_iter().flatten();
    let mut depths = depths.map(|(name, depth)| (&**name, depth.as_u64().unwrap_or(0)));
    sheet.members(&QUEUE_DEPTH, &mut depths);
    let connections = stats.pointer("/pool/stats").and_then(Value::as_array);
    let connections = connections.into_iter().flatten().map(|one| {
        let name = one["connection_id"].as_str().unwrap_or_default();
        (name.to_owned(), one.clone())
    });
    sheet.each_with(&CONNECTIONS, CONNECTION, connections, |sheet, one| {
        let one = one.unwrap_or(&Value::Null);
        let status = one["status"].as_str().unwrap_or_default();
        let is_healthy = one["is_healthy"].as_bool().unwrap_or(false);
        sheet.members(&HEALTHY, &mut [(status, u64::from(is_healthy))].into_iter());
    });
    let workers = stats
        .pointer("/workers/worker_stats")
        .and_then(Value::as_object);
    let workers = workers.into_iter().flatten();
    sheet.each(
        &WORKERS,
        WORKER,
        workers.map(|(name, one)| (name, one.clone())),
    );
}
