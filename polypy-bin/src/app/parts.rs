//! The parts, and who is told of whom.
//!
//! ```text
//! recorder, flight recorder ◄── resync, lifecycle, pool; workers, whose books they copy;
//!                               those that there are
//!
//!             stream
//!                ▲
//! resync queue ◄── workers ◄── router ◄── lifecycle ──► registry
//!       ▲                        ▲            ▲            ▲
//!       └──────────── pool ──────┴────────────┴────────────┘
//!                      ▲
//!                   recycler
//! ```
//!
//! Nothing runs here. The order of life is that of `start` and `stop`.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;

use polypy_core::catalogue::Selection;
use polypy_core::{
    AuditSink, BookControl, CatalogueSink, Clock, Component, EventSink, FrameSink, ResyncSink,
    SuspensionWatch,
};
use polypy_net::audit::BookAuditor;
use polypy_net::clob::{BookFetch, ClobClient, ClobConfig};
use polypy_net::dial::Dial;
use polypy_net::early_audit::EarlyAudits;
use polypy_net::gamma::GammaClient;
use polypy_net::lifecycle::{LifecycleConfig, LifecycleController, SocketBudget};
use polypy_net::pool::ConnectionPool;
use polypy_net::recycler::ConnectionRecycler;
use polypy_net::registry::AssetRegistry;
use polypy_net::rest::RestClient;
use polypy_net::resync::ResyncQueue;
use polypy_net::venue::Venue;
use polypy_net::wire::WireStats;
use polypy_workers::{MessageRouter, WorkerManager};

use super::error::BuildError;
use super::fan_out::fan_out;
use super::incidents::Incidents;
use super::published::Published;
use super::recorders::{FlightPart, RecorderPart};
use crate::clock::since_start;
use crate::config::{Config, conversion};

/// Every part of the program but the HTTP server.
pub(super) struct Parts {
    pub(super) registry: Arc<AssetRegistry>,
    /// Takes what sockets say, if that is recorded.
    pub(super) recorder: Option<Arc<RecorderPart>>,
    /// Keeps the last of it for when something goes wrong, unless that is off.
    pub(super) flight: Option<Arc<FlightPart>>,
    /// Streams, and what is read beside the owner's routes.
    pub(super) published: Published,
    pub(super) workers: Arc<WorkerManager>,
    pub(super) router: Arc<MessageRouter>,
    pub(super) pool: Arc<ConnectionPool>,
    pub(super) lifecycle: Arc<LifecycleController>,
    pub(super) recycler: Arc<ConnectionRecycler>,
    /// Whether it is started is for the configuration to say.
    pub(super) audit: Arc<BookAuditor>,
    audited: bool,
    /// Filled by those who find a book wrong, emptied by the pool.
    pub(super) resync: Arc<ResyncQueue>,
    /// Asked by connections and by the resync of books; here for its numbers.
    pub(super) clob: Arc<ClobClient>,
    /// Written by every connection's decoder.
    pub(super) wire: Arc<WireStats>,
}

impl Parts {
    pub(super) fn new(
        config: &Config,
        selection: Selection,
        sockets: Option<SocketBudget>,
        clock: &Arc<dyn Clock>,
        dialer: &Arc<dyn Dial>,
    ) -> Result<Self, BuildError> {
        let unusable = |key| {
            move |error: &dyn std::fmt::Display| BuildError::Value {
                key,
                reason: error.to_string(),
            }
        };
        let rest = |key, url: &str| {
            RestClient::new(Arc::clone(dialer), url, conversion::rest(&config.venue))
                .map_err(|error| unusable(key)(&error))
        };
        let gamma = rest("venue.gamma_url", config.venue.gamma_url.as_str())?;
        let clob = rest("venue.clob_url", config.venue.clob_url.as_str())?;
        let url = config.venue.ws_url.as_str().parse();
        let url = url.map_err(|error| unusable("venue.ws_url")(&error))?;

        let registry = Arc::new(AssetRegistry::default());
        let recorder = RecorderPart::of(&config.record, clock).map(Arc::new);
        let inlet = recorder.as_ref().map(|recorder| recorder.inlet());
        let flight = FlightPart::of(config, clock, &registry).map(Arc::new);
        let flight_inlet = flight.as_ref().map(|flight| flight.inlet());
        let resync = Arc::new(ResyncQueue::new(conversion::resync(&config.pool)));
        let passed_on = Incidents::before(
            Arc::clone(&resync) as Arc<dyn ResyncSink>,
            (inlet.clone(), flight_inlet.clone()),
            &registry,
        );
        let cores = available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let suspension = Arc::new(SuspensionWatch::new(since_start));
        let settings = conversion::workers(&config.workers, &config.integrity, cores);
        let published = Published::new(config, settings.count.get(), passed_on);
        let wishes = published.wishes();
        let workers = Arc::new(WorkerManager::watched(
            settings,
            Arc::clone(&wishes),
            Arc::clone(&suspension),
            published.changes(),
        ));
        if let Some(recorder) = &recorder {
            recorder.copy_books(workers.checkpoints());
        }
        if let Some(flight) = &flight {
            flight.copy_books(workers.checkpoints());
        }
        let router = Arc::new(MessageRouter::new(&workers));
        let mut taken_by = Vec::new();
        taken_by.extend(inlet.clone().map(|it| Arc::new(it) as Arc<dyn FrameSink>));
        taken_by.extend(
            flight_inlet
                .clone()
                .map(|it| Arc::new(it) as Arc<dyn FrameSink>),
        );
        let frames = fan_out(taken_by);
        let clob = ClobClient::new(clob, ClobConfig::default()).with_frames(frames.clone());
        let clob = Arc::new(clob);
        let mut markets: Vec<_> = published.markets().into_iter().collect();
        markets.extend(inlet.map(|inlet| Arc::new(inlet) as Arc<dyn CatalogueSink>));
        markets.extend(flight_inlet.map(|inlet| Arc::new(inlet) as Arc<dyn CatalogueSink>));
        let lifecycle = Arc::new(LifecycleController::new(
            LifecycleConfig {
                selection,
                sockets,
                ..conversion::lifecycle(config)
            },
            GammaClient::new(gamma, conversion::gamma(config)),
            Arc::clone(&clob) as Arc<dyn BookFetch>,
            Arc::clone(&registry),
            Arc::clone(&router) as Arc<dyn BookControl>,
            markets,
            Arc::clone(clock),
        ));
        published.connect(&workers, &registry, &lifecycle, clock, &suspension);
        let wire = Arc::new(WireStats::default());
        let early_audits = Arc::new(EarlyAudits::default());
        let venue = Venue {
            url,
            dialer: Arc::clone(dialer),
            books: Arc::clone(&clob) as Arc<dyn BookFetch>,
            sink: Arc::clone(&router) as Arc<dyn EventSink>,
            frames,
            lifecycle: Arc::new(lifecycle.hints()),
            resync: Arc::clone(&resync),
            early_audits: Arc::clone(&early_audits),
            suspension,
            wire: Arc::clone(&wire),
            clock: Arc::clone(clock),
        };
        let pool = Arc::new(ConnectionPool::new(
            conversion::pool(&config.pool, &config.recycler),
            conversion::connection(&config.pool),
            Arc::clone(&registry),
            venue,
        ));
        lifecycle.heard_if({
            let pool = Arc::downgrade(&pool);
            move || pool.upgrade().is_some_and(|pool| pool.is_connected())
        });
        let recycler = Arc::new(ConnectionRecycler::new(
            conversion::recycler(&config.recycler),
            Arc::clone(&pool),
            Arc::clone(&registry),
        ));
        let audit = Arc::new(BookAuditor::new(
            conversion::audit(&config.audit),
            Arc::clone(&registry),
            Arc::clone(&clob) as Arc<dyn BookFetch>,
            Arc::clone(&router) as Arc<dyn AuditSink>,
            Arc::new(lifecycle.hints()),
            wishes,
            early_audits,
        ));
        Ok(Self {
            registry,
            recorder,
            flight,
            published,
            workers,
            router,
            pool,
            lifecycle,
            recycler,
            audit,
            audited: config.audit.enabled,
            resync,
            clob,
            wire,
        })
    }

    pub(super) fn in_start_order(&self) -> Vec<Arc<dyn Component>> {
        let mut parts = vec![Arc::clone(&self.registry) as Arc<dyn Component>];
        parts.extend(self.recorders());
        parts.extend(self.published.part());
        parts.extend([
            Arc::clone(&self.workers) as Arc<dyn Component>,
            Arc::clone(&self.router) as Arc<dyn Component>,
            Arc::clone(&self.pool) as Arc<dyn Component>,
            Arc::clone(&self.lifecycle) as Arc<dyn Component>,
            Arc::clone(&self.recycler) as Arc<dyn Component>,
        ]);
        if self.audited {
            parts.push(Arc::clone(&self.audit) as Arc<dyn Component>);
        }
        parts
    }

    /// What stops first is what would still ask something of the others.
    pub(super) fn in_stop_order(
        &self,
        admin: Option<Arc<dyn Component>>,
        http: Option<Arc<dyn Component>>,
    ) -> Vec<Arc<dyn Component>> {
        let mut parts: Vec<_> = admin.into_iter().collect();
        parts.extend([
            Arc::clone(&self.audit) as Arc<dyn Component>,
            Arc::clone(&self.recycler) as Arc<dyn Component>,
        ]);
        parts.extend(http);
        parts.extend([
            Arc::clone(&self.lifecycle) as Arc<dyn Component>,
            Arc::clone(&self.pool) as Arc<dyn Component>,
        ]);
        // After the sockets: that they close is recorded.
        parts.extend(self.recorders());
        parts.extend([
            Arc::clone(&self.router) as Arc<dyn Component>,
            Arc::clone(&self.workers) as Arc<dyn Component>,
        ]);
        parts.extend(self.published.part());
        parts.push(Arc::clone(&self.registry) as Arc<dyn Component>);
        parts
    }

    /// Those who keep what sockets say.
    fn recorders(&self) -> impl Iterator<Item = Arc<dyn Component>> {
        let recorder = self.recorder.clone();
        let flight = self.flight.clone();
        let recorder = recorder.map(|part| part as Arc<dyn Component>);
        let flight = flight.map(|part| part as Arc<dyn Component>);
        recorder.into_iter().chain(flight)
    }
}
