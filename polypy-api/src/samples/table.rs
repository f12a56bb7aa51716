//! The fields of a sample, and which rows of `/metrics` each is made of.

use std::sync::LazyLock;

use polypy_core::StaleReason;

/// What a field is made of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// The sum of gauges as they are.
    Sum(Rows),
    /// The greatest of them.
    Greatest(Rows),
    /// Counters, as what they have grown by in a second.
    Rate(Rows),
    /// What so many in a hundred of those of that second took less than, in milliseconds,
    /// exact to a factor of two.
    Quantile(&'static str, u64),
}

/// Rows of a metric.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows {
    /// Their name; the key in `/stats` of a row that has none.
    pub(super) metric: &'static str,
    /// One of these has to stand in their labels; any may if there is none.
    pub(super) labels: &'static [&'static str],
    /// Of numbers by name this one alone; all of them if it is empty.
    pub(super) member: &'static str,
}

/// What a minute keeps of its seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fold {
    Least,
    Most,
    Mean,
}

/// A field of a sample.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: Box<str>,
    pub(super) source: Source,
    pub(super) fold: Fold,
}

/// The same as it is written here.
struct Own {
    name: &'static str,
    source: Source,
    fold: Fold,
}

const fn rows(metric: &'static str, labels: &'static [&'static str]) -> Rows {
    Rows {
        metric,
        labels,
        member: "",
    }
}

const fn field(name: &'static str, source: Source, fold: Fold) -> Own {
    Own { name, source, fold }
}

/// A gauge of which the least of a minute matters.
const fn least(name: &'static str, metric: &'static str, labels: &'static [&'static str]) -> Own {
    field(name, Source::Sum(rows(metric, labels)), Fold::Least)
}

/// A gauge of which the most of a minute matters.
const fn most(name: &'static str, metric: &'static str, labels: &'static [&'static str]) -> Own {
    field(name, Source::Sum(rows(metric, labels)), Fold::Most)
}

/// A counter by the second.
const fn rate(name: &'static str, metric: &'static str, labels: &'static [&'static str]) -> Own {
    field(name, Source::Rate(rows(metric, labels)), Fold::Mean)
}

const CHECKS: &str = "polypy_integrity_checks_total";

static OWN: &[Own] = &[
    least("books_live", "polypy_books", &["state=\"live\""]),
    least("books_verified", "polypy_books_verified", &[]),
    most("books_suspect", "polypy_books_suspect", &[]),
    most("books_stale", "polypy_books", &["state=\"stale\""]),
    most("books_pending", "polypy_books", &["state=\"pending\""]),
    most("books_settled", "polypy_books", &["state=\"settled\""]),
    most(
        "tokens",
        "polypy_tokens",
        &["state=\"pending\"", "state=\"subscribed\""],
    ),
    most("markets_live", "polypy_markets", &["state=\"live\""]),
    most("markets_listed", "polypy_markets_listed", &[]),
    most("connections", "polypy_connections", &[]),
    least("connections_open", "polypy_connections_open", &[]),
    least("connections_healthy", "polypy_connections_healthy", &[]),
    rate(
        "changes_per_second",
        "polypy_worker_level_changes_total",
        &[],
    ),
    rate(
        "trades_per_second",
        "polypy_book_events_total",
        &["outcome=\"trades\""],
    ),
    rate("frames_per_second", "polypy_wire_frames_total", &[]),
    rate("bytes_per_second", "polypy_wire_received_bytes_total", &[]),
    rate(
        "hashes_passed_per_second",
        CHECKS,
        &["check=\"hash\",result=\"passed"],
    ),
    rate(
        "tops_passed_per_second",
        CHECKS,
        &["check=\"top\",result=\"passed\""],
    ),
    rate(
        "mirrors_passed_per_second",
        CHECKS,
        &["check=\"mirror\",result=\"passed\""],
    ),
    rate("checks_failed_per_second", CHECKS, &["result=\"failed\""]),
    rate("suspected_per_second", "polypy_books_suspected_total", &[]),
    rate(
        "resyncs_per_second",
        "polypy_resyncs_total",
        &["step=\"dispatched\""],
    ),
    rate("dropped_per_second", "polypy_events_dropped_total", &[]),
    field(
        "queue_events",
        Source::Greatest(rows("polypy_worker_queue_events", &[])),
        Fold::Most,
    ),
    most(
        "queue_capacity_events",
        "polypy_router_queue_capacity_events",
        &[],
    ),
    field(
        "route_p50_ms",
        Source::Quantile("polypy_receive_to_applied_seconds", 50),
        Fold::Most,
    ),
    field(
        "route_p99_ms",
        Source::Quantile("polypy_receive_to_applied_seconds", 99),
        Fold::Most,
    ),
    least("workers", "polypy_workers", &[]),
    least("workers_running", "polypy_workers_running", &[]),
    most("stream_clients", "polypy_stream_clients", &[]),
    rate(
        "stream_messages_per_second",
        "polypy_stream_delivered_total",
        &[],
    ),
    rate(
        "stream_gaps_us_per_second",
        "polypy_stream_gaps_total",
        &["owner=\"us\""],
    ),
    most("http_connections", "polypy_http_connections", &[]),
    rate(
        "http_requests_per_second",
        "polypy_http_requests_total",
        &[],
    ),
    rate(
        "http_refused_per_second",
        "polypy_http_connections_rejected_total",
        &[],
    ),
    rate(
        "recorder_frames_per_second",
        "polypy_recorder_frames_total",
        &[],
    ),
    rate(
        "recorder_bytes_per_second",
        "polypy_recorder_file_bytes_total",
        &[],
    ),
    rate(
        "recorder_lost_per_second",
        "polypy_recorder_lost_frames_total",
        &[],
    ),
    most("recorder_queue_bytes", "polypy_recorder_queue_bytes", &[]),
    least("recorder_free_bytes", "polypy_recorder_free_bytes", &[]),
    rate("cpu_cores", "process_cpu_seconds_total", &[]),
    most("resident_bytes", "process_resident_memory_bytes", &[]),
    most("open_descriptors", "process_open_fds", &[]),
    least("max_descriptors", "process_max_fds", &[]),
    least("uptime_seconds", "uptime_seconds", &[]),
];

/// All fields, in the order in which they are shown: after those above the stale books by
/// reason.
pub(super) static FIELDS: LazyLock<Vec<Field>> = LazyLock::new(|| {
    let own = OWN.iter().map(|own| Field {
        name: own.name.into(),
        source: own.source,
        fold: own.fold,
    });
    let stale = StaleReason::ALL.into_iter().map(|reason| Field {
        name: format!("stale_{}", reason.name()).into(),
        source: Source::Sum(Rows {
            metric: "polypy_books_stale",
            labels: &[],
            member: reason.name(),
        }),
        fold: Fold::Most,
    });
    own.chain(stale).collect()
});
