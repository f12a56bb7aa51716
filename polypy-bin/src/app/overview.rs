//! What `/health` and `/stats` say: the parts' own words, gathered.
//!
//! Nothing is counted or remembered here but when the program started, so that
//! both answers are those of this moment, before the start and after the end too.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use polypy_core::{Component, ComponentState, Health, HealthSource, StatsSource, object};
use polypy_http::HttpServer;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::parts::Parts;
use super::verdict::Facts;

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
    pub(super) phase: Mutex<Phase>,
    /// Set while the server runs. It reads from here, so it is not owned here.
    pub(super) http: Mutex<Weak<HttpServer>>,
}

impl Overview {
    pub(super) fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            parts,
            phase: Mutex::new(Phase::Stopped),
            http: Mutex::default(),
        })
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(*self.phase.lock(), Phase::Running { .. })
    }
}

impl HealthSource for Overview {
    fn health(&self) -> Health {
        let parts = &self.parts;
        let runs = |part: &dyn Component| part.state() == ComponentState::Running;
        let (pending, subscribed, _expired) = parts.registry.counts();
        let books = parts.workers.store().counts();
        Facts {
            running: self.is_running(),
            registry: runs(&*parts.registry),
            router: runs(&*parts.router),
            workers: parts.workers.health().healthy,
            lifecycle: parts.lifecycle.health().healthy,
            recycler: runs(&*parts.recycler),
            open_connections: parts.pool.active_connections(),
            wanted_assets: pending + subscribed,
            live_books: books.live,
            stale_books: books.stale,
        }
        .judge()
    }
}

impl StatsSource for Overview {
    fn stats(&self) -> Value {
        let parts = &self.parts;
        let phase = *self.phase.lock();
        let uptime = match phase {
            Phase::Running { since } => since.elapsed().as_secs(),
            Phase::Stopped | Phase::Starting | Phase::Stopping => 0,
        };
        let http = self.http.lock().upgrade();
        let http = http.map_or_else(|| Value::Object(Map::new()), |server| server.stats());
        let wire = serde_json::to_value(parts.wire.snapshot())
            .unwrap_or_else(|error| json!({ "error": error.to_string() }));
        object([
            ("running", json!(self.is_running())),
            ("registry", parts.registry.stats()),
            ("pool", parts.pool.stats()),
            ("router", parts.router.stats()),
            ("workers", parts.workers.stats()),
            ("lifecycle", parts.lifecycle.stats()),
            ("recycler", parts.recycler.stats()),
            ("audit", parts.audit.stats()),
            ("version", json!(env!("CARGO_PKG_VERSION"))),
            ("uptime_seconds", json!(uptime)),
            ("http", http),
            ("wire", wire),
            ("clob", parts.clob.stats()),
        ])
    }
}
