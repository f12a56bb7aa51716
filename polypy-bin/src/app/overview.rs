//! What `/health` and `/stats` say: the parts' own words, gathered.
//!
//! Nothing is counted or remembered here but when the program started, so that
//! both answers are those of this moment, before the start and after the end too.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use polypy_core::metrics::{Entry, Kind, Part, Sheet};
use polypy_core::{Clock, Component, ComponentState, Health, HealthSource, StatsSource};
use polypy_http::HttpServer;
use tokio::time::Instant;

use super::legacy;
use super::parts::Parts;
use super::process::Process;
use super::recorders::{FlightNumbers, Numbers, RecorderState};
use super::selection::{CONFIGURATION, SelectionControl};
use super::verdict::Facts;
use crate::config::Config;

/// Where the program stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Stopped,
    Starting,
    Running { since: Instant },
    Stopping,
}

/// The program as others see it.
pub(super) struct Overview {
    pub(super) parts: Parts,
    selection: Arc<SelectionControl>,
    pub(super) phase: Mutex<Phase>,
    /// Set while the server runs. It reads from here, so it is not owned here.
    pub(super) http: Mutex<Weak<HttpServer>>,
    pub(super) process: Process,
    /// Requests are still served, and should go elsewhere.
    pub(super) draining: AtomicBool,
    /// The share of books that must be live for requests to come.
    pub(super) ready_live_share: f64,
    /// Whether the original program's metrics are shown too.
    legacy: bool,
}

impl Overview {
    pub(super) fn new(
        parts: Parts,
        selection: Arc<SelectionControl>,
        config: &Config,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let overview = Arc::new(Self {
            parts,
            selection,
            phase: Mutex::new(Phase::Stopped),
            http: Mutex::default(),
            process: Process::default(),
            draining: AtomicBool::new(false),
            ready_live_share: config.http.ready_live_share,
            legacy: config.metrics.legacy,
        });
        // What is published has these in it, and is a part of them.
        overview.parts.published.watch(&overview, clock);
        overview
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(*self.phase.lock(), Phase::Running { .. })
    }

    fn uptime_seconds(&self) -> u64 {
        match *self.phase.lock() {
            Phase::Running { since } => since.elapsed().as_secs(),
            Phase::Stopped | Phase::Starting | Phase::Stopping => 0,
        }
    }
}

impl HealthSource for Overview {
    fn health(&self) -> Health {
        let parts = &self.parts;
        let runs = |part: &dyn Component| part.state() == ComponentState::Running;
        let (pending, subscribed, _expired) = parts.registry.counts();
        let books = parts.workers.store().counts();
        let verdicts = parts.lifecycle.verdicts();
        let is_empty = verdicts.followed() == 0 && parts.lifecycle.has_listed();
        Facts {
            running: self.is_running(),
            registry: runs(&*parts.registry),
            router: runs(&*parts.router),
            workers: parts.workers.health().healthy,
            lifecycle: parts.lifecycle.health().healthy,
            recycler: runs(&*parts.recycler),
            connected: parts.pool.is_connected(),
            wanted_assets: pending + subscribed,
            live_books: books.live,
            stale_books: books.stale,
            formats_unknown: parts.workers.formats_unknown(),
            left_out: if is_empty { verdicts.open() } else { 0 },
            recorder: parts
                .recorder
                .as_ref()
                .map_or(RecorderState::Off, |recorder| recorder.condition()),
        }
        .judge()
    }
}

type Program = Entry<Overview>;

static RUNNING: &[Program] = &[Program::gauge(
    "running",
    "polypy_running",
    "Whether the start is through and no stop has begun.",
    |overview| overview.is_running().into(),
)];
/// For rules and dashboards, which cannot ask `/health`.
static VERDICTS: &[Program] = &[
    Program::exported(
        Kind::Gauge,
        "polypy_healthy",
        "Whether `/health` says so.",
        |overview| overview.health().healthy.into(),
    ),
    Program::exported(
        Kind::Info,
        "polypy_build_info",
        "What was built, and by what.",
        |_| 1u64.into(),
    )
    .label(concat!(
        "version=\"",
        env!("CARGO_PKG_VERSION"),
        "\",revision=\"",
        env!("BUILD_REVISION"),
        "\",rustc=\"",
        env!("BUILD_RUSTC"),
        "\",target=\"",
        env!("BUILD_TARGET"),
        "\""
    )),
];
static ABOUT: &[Program] = &[
    Program::shown("version", "The program's version.", |_| {
        env!("CARGO_PKG_VERSION").into()
    }),
    Program::shown(
        "uptime_seconds",
        "Seconds since the start was through.",
        |overview| overview.uptime_seconds().into(),
    ),
];
static REGISTRY: Part = Part::new("registry", "Markets and their tokens.");
static POOL: Part = Part::new("pool", "Connections to the venue.");
static ROUTER: Part = Part::new("router", "From sockets to workers.");
static WORKERS: Part = Part::new(
    "workers",
    "The workers, their books and the checks of them.",
);
static LIFECYCLE: Part = Part::new("lifecycle", "Discovery and expiry of markets.");
static RECYCLER: Part = Part::new("recycler", "Replacements of connections.");
static RECORDER: Part = Part::new("recorder", "The recording of what sockets say.");
static FLIGHT_RECORDER: Part = Part::new(
    "flight_recorder",
    "The last of what sockets say, kept for incidents.",
);
static AUDIT: Part = Part::new("audit", "Books compared with those of the REST interface.");
pub(super) static HTTP: Part = Part::new("http", "This server.");
static WIRE: Part = Part::new("wire", "What the decoders have read.");
static CLOB: Part = Part::new("clob", "Requests for books to the CLOB.");

/// What `/stats` has without connections, and with each of them, when all is well.
const BASE_BYTES: usize = 10 * 1024;
const CONNECTION_BYTES: usize = 420;

impl Overview {
    fn show_parts(&self, sheet: &mut dyn Sheet) {
        let parts = &self.parts;
        sheet.table(RUNNING, self);
        sheet.table(VERDICTS, self);
        sheet.part(&REGISTRY, |sheet| parts.registry.show(sheet));
        sheet.part(&POOL, |sheet| parts.pool.show(sheet));
        sheet.part(&ROUTER, |sheet| parts.router.show(sheet));
        sheet.part(&WORKERS, |sheet| parts.workers.show(sheet));
        parts.published.show(sheet);
        sheet.part(&LIFECYCLE, |sheet| parts.lifecycle.show(sheet));
        sheet.part(&RECYCLER, |sheet| parts.recycler.show(sheet));
        sheet.part(&AUDIT, |sheet| parts.audit.show(sheet));
        self.show_recorders(sheet);
        sheet.table(ABOUT, self);
        sheet.part(&HTTP, |sheet| {
            if let Some(server) = self.http.lock().upgrade() {
                server.show(sheet);
            }
        });
        sheet.part(&CONFIGURATION, |sheet| self.selection.show(sheet));
        sheet.part(&WIRE, |sheet| parts.wire.show(sheet));
        sheet.part(&CLOB, |sheet| parts.clob.show(sheet));
        self.process.show(sheet);
    }
}

impl Overview {
    /// Each left out where there is none.
    fn show_recorders(&self, sheet: &mut dyn Sheet) {
        match &self.parts.recorder {
            Some(recorder) => sheet.part(&RECORDER, |sheet| recorder.show(sheet)),
            None if sheet.wants_every_row() => sheet.part(&RECORDER, |sheet| {
                Numbers::default().show(sheet, std::time::Instant::now());
            }),
            None => {}
        }
        match &self.parts.flight {
            Some(flight) => sheet.part(&FLIGHT_RECORDER, |sheet| flight.show(sheet)),
            None if sheet.wants_every_row() => sheet.part(&FLIGHT_RECORDER, |sheet| {
                FlightNumbers::default().show(sheet);
            }),
            None => {}
        }
    }
}

impl StatsSource for Overview {
    fn show(&self, sheet: &mut dyn Sheet) {
        self.show_parts(sheet);
        if self.legacy && legacy::is_wanted(sheet) {
            legacy::show(&self.stats(), sheet);
        }
    }

    /// Reading takes no lock for long, and nothing that grows with the books.
    fn quick_bytes(&self) -> Option<usize> {
        let connections = self.parts.pool.connection_count();
        Some(BASE_BYTES + connections * CONNECTION_BYTES)
    }
}
