use std::sync::atomic::{AtomicU64, Ordering};

use polypy_core::metrics::{Entry, Histogram, Kind, List, Part, Row, Sheet, Span};
use polypy_core::{Health, StaleReason};
use serde_json::Value;

use super::*;

/// A program that says what tests have it say.
#[derive(Default)]
pub(crate) struct Program {
    live: AtomicU64,
    applied: AtomicU64,
    took: Histogram,
    connections: Mutex<Vec<ConnectionReport>>,
}

type One = Entry<Program>;
type Worker = Entry<u64>;

static BOOKS: &[One] = &[
    One::gauge("live", "polypy_books", "Live.", |program| {
        program.live.load(Ordering::SeqCst).into()
    })
    .label("state=\"live\""),
    One::gauge("stale", "polypy_books", "Stale.", |_| 3u64.into()).label("state=\"stale\""),
    One::shown("uptime_seconds", "Seconds.", |_| 81u64.into()),
];
static STALE: Row = Row::by(
    Kind::Gauge,
    "stale_by_reason",
    "polypy_books_stale",
    "reason",
    "By.",
);
static WORKERS: List = List::by_name("worker_stats", "worker", "Each.");
static WORKER: &[Worker] = &[
    Worker::counter(
        "updates_applied",
        "polypy_worker_level_changes_total",
        "Applied.",
        |applied| (*applied).into(),
    ),
    Worker::gauge(
        "queue",
        "polypy_worker_queue_events",
        "Queued.",
        |applied| (*applied).into(),
    ),
];
static DETAIL: List = List::array("stats", "Each.")
    .labelled("connection")
    .detail();
static PART: Part = Part::new("workers", "Workers.");
static TOOK: Row = Row::histogram("polypy_receive_to_applied_seconds", "Took.", Span::INTERNAL);

impl StatsSource for Program {
    fn show(&self, sheet: &mut dyn Sheet) {
        let applied = self.applied.load(Ordering::SeqCst);
        sheet.part(&PART, |sheet| {
            sheet.table(BOOKS, self);
            let mut reasons = [("hash", 2), ("top", 1)].into_iter();
            sheet.members(&STALE, &mut reasons);
            let workers = [("0", applied), ("1", 2 * applied)].into_iter();
            sheet.each(&WORKERS, WORKER, workers);
            // Of each connection nothing is taken.
            sheet.each(&DETAIL, WORKER, [("conn-1", 1_000_000)].into_iter());
            sheet.histogram(&TOOK, &self.took.reading());
        });
    }
}

impl HealthSource for Program {
    fn health(&self) -> Health {
        Health::of(true)
    }
}

impl ConnectionSource for Program {
    fn connections(&self) -> Vec<ConnectionReport> {
        self.connections.lock().clone()
    }
}

struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_795_429_800_000)
    }
}

pub(crate) fn watched(program: &Arc<Program>) -> Watched {
    let stats: Weak<Program> = Arc::downgrade(program);
    Watched {
        stats: stats.clone(),
        health: stats.clone(),
        connections: stats,
        clock: Arc::new(Wall),
    }
}

impl Program {
    pub(crate) fn connect(&self, reports: Vec<ConnectionReport>) {
        *self.connections.lock() = reports;
    }
}

pub(crate) fn connection(name: &str, messages: u64, age_s: u64) -> ConnectionReport {
    ConnectionReport {
        name: name.to_owned(),
        status: "connected",
        is_open: true,
        is_draining: false,
        is_healthy: true,
        is_lagging: false,
        age: Duration::from_secs(age_s),
        open_for: Some(Duration::from_secs(age_s)),
        feed: Some(1),
        tokens: 10,
        ended_tokens: 0,
        awaited_books: 0,
        messages,
        bytes: 100 * messages,
        reconnects: 0,
        silent_for: Some(Duration::from_millis(20)),
        silence_limit: Some(Duration::from_secs(45)),
        last_end: None,
        next_attempt_in: None,
    }
}

fn newest(samples: &Samples) -> Value {
    serde_json::from_str(&samples.newest_json()).unwrap()
}

#[test]
fn a_sample_has_gauges_as_they_are_and_counters_by_the_second() {
    let (program, samples) = (Arc::<Program>::default(), Samples::default());
    samples.watch(watched(&program));
    assert_eq!(newest(&samples), Value::Null, "before the first");
    let start = Instant::now();
    program.live.store(7, Ordering::SeqCst);
    program.applied.store(100, Ordering::SeqCst);
    program.took.record(Duration::from_millis(900), 50);
    samples.take(start);
    let first = newest(&samples);
    assert_eq!(first["ts_ms"], 1_795_429_800_000_u64);
    assert_eq!(
        (&first["books_live"], &first["books_stale"]),
        (&7.into(), &3.into())
    );
    assert_eq!(
        (&first["stale_hash"], &first["stale_top"]),
        (&2.into(), &1.into())
    );
    assert_eq!(first["queue_events"], 200, "the fullest worker's");
    assert_eq!(first["uptime_seconds"], 81, "a row that is in /stats alone");
    for rate in [
        "changes_per_second",
        "route_p99_ms",
        "cpu_cores",
        "recorder_free_bytes",
    ] {
        assert_eq!(first[rate], Value::Null, "{rate}");
    }
    // Half as much again as a second: what the counters grew by is told by the second.
    program.applied.store(150, Ordering::SeqCst);
    program.took.record(Duration::from_micros(90), 10);
    samples.take(start + Duration::from_millis(1_500));
    let second = newest(&samples);
    assert_eq!(second["changes_per_second"], 100, "of both workers");
    assert_eq!(second["route_p99_ms"], 0.128, "of that second alone");
    // A second is missing.
    program.applied.store(200, Ordering::SeqCst);
    samples.take(start + Duration::from_millis(5_000));
    assert_eq!(newest(&samples)["changes_per_second"], Value::Null);
    // A counter that began from the start.
    program.applied.store(5, Ordering::SeqCst);
    samples.take(start + Duration::from_millis(6_000));
    assert_eq!(newest(&samples)["changes_per_second"], Value::Null);
    assert_eq!(
        newest(&samples)["route_p99_ms"],
        Value::Null,
        "nothing took any time"
    );
}

#[test]
fn a_connection_has_the_rates_of_its_last_second_unless_it_is_another_one() {
    let (program, samples) = (Arc::<Program>::default(), Samples::default());
    samples.watch(watched(&program));
    let start = Instant::now();
    let rates = || {
        let connections = samples.connections();
        let messages = connections.iter().map(|(_, rates)| rates.messages);
        messages.collect::<Vec<_>>()
    };
    program.connect(vec![connection("conn-1", 100, 5)]);
    samples.take(start);
    assert_eq!(rates(), [None]);
    program.connect(vec![
        connection("conn-1", 150, 6),
        connection("conn-2", 7, 0),
    ]);
    samples.take(start + Duration::from_secs(1));
    assert_eq!(rates(), [Some(50.0), None]);
    assert_eq!(samples.connections()[0].1.bytes, Some(5_000.0));
    // The name has gone to another one, which has brought more.
    program.connect(vec![connection("conn-1", 400, 0)]);
    assert_eq!(rates(), [None]);
    samples.take(start + Duration::from_secs(2));
    assert_eq!(rates(), [None]);
}

#[test]
fn the_manual_has_every_column() {
    let manual = include_str!("../../../docs/http-api.md");
    let section = manual.split_once("\n### GET /v1/history\n").unwrap().1;
    let section = section.split("\n### ").next().unwrap();
    let own = fields().filter(|(name, _)| !name.starts_with("stale_"));
    let left_out: Vec<_> = own
        .map(|(name, _)| name)
        .filter(|name| !section.contains(&format!("`{name}`")))
        .collect();
    assert_eq!(left_out, Vec::<&str>::new());
    assert!(section.contains("`stale_REASON`"));
    let stale = fields().filter(|(name, _)| name.starts_with("stale_"));
    assert_eq!(stale.count(), StaleReason::ALL.len());
}

#[test]
fn values_are_written_as_people_do() {
    for (value, expected) in [
        (None, "null"),
        (Some(0.0), "0"),
        (Some(812.5), "812.5"),
        (Some(400.0), "400"),
        (Some(0.0004), "0"),
        (Some(1_000_000.0), "1000000"),
    ] {
        let mut out = String::new();
        write_value(&mut out, value);
        assert_eq!(out, expected);
    }
}
