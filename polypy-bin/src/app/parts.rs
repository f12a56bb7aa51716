//! The parts, and who is told of whom.
//!
//! ```text
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

use polypy_api::StreamHub;
use polypy_core::{
    AuditSink, BookControl, Clock, Component, EventSink, ResyncSink, SuspensionWatch,
};
use polypy_net::audit::BookAuditor;
use polypy_net::clob::{BookFetch, ClobClient, ClobConfig};
use polypy_net::dial::Dial;
use polypy_net::early_audit::EarlyAudits;
use polypy_net::gamma::{GammaClient, GammaConfig};
use polypy_net::lifecycle::LifecycleController;
use polypy_net::pool::ConnectionPool;
use polypy_net::recycler::ConnectionRecycler;
use polypy_net::registry::AssetRegistry;
use polypy_net::rest::RestClient;
use polypy_net::resync::ResyncQueue;
use polypy_net::venue::Venue;
use polypy_net::wire::WireStats;
use polypy_workers::{MessageRouter, WorkerManager};

use super::catalogue::Names;
use super::error::BuildError;
use crate::clock::since_start;
use crate::config::{Config, conversion};

/// Every part of the program but the HTTP server.
pub(super) struct Parts {
    pub(super) registry: Arc<AssetRegistry>,
    /// Follows what the workers write.
    pub(super) stream: Arc<StreamHub>,
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
        let resync = Arc::new(ResyncQueue::new(conversion::resync(&config.pool)));
        let cores = available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let suspension = Arc::new(SuspensionWatch::new(since_start));
        let settings = conversion::workers(&config.workers, &config.integrity, cores);
        let stream = Arc::new(StreamHub::new(
            conversion::stream(&config.stream, &config.http),
            u16::try_from(settings.count.get()).unwrap_or(u16::MAX),
            concat!("polypy/", env!("CARGO_PKG_VERSION")),
        ));
        let workers = Arc::new(WorkerManager::watched(
            settings,
            Arc::clone(&resync) as Arc<dyn ResyncSink>,
            Arc::clone(&suspension),
            Some(stream.sink()),
        ));
        stream.connect(
            workers.changes(),
            Arc::new(Names::new(Arc::clone(&registry))),
            Arc::clone(clock),
            Arc::clone(&suspension),
        );
        let router = Arc::new(MessageRouter::new(&workers));
        let clob = Arc::new(ClobClient::new(clob, ClobConfig::default()));
        let lifecycle = Arc::new(LifecycleController::new(
            conversion::lifecycle(config),
            GammaClient::new(gamma, GammaConfig::default()),
            Arc::clone(&clob) as Arc<dyn BookFetch>,
            Arc::clone(&registry),
            Arc::clone(&router) as Arc<dyn BookControl>,
            Some(stream.market_sink()),
            Arc::clone(clock),
        ));
        let wire = Arc::new(WireStats::default());
        let early_audits = Arc::new(EarlyAudits::default());
        let venue = Venue {
            url,
            dialer: Arc::clone(dialer),
            books: Arc::clone(&clob) as Arc<dyn BookFetch>,
            sink: Arc::clone(&router) as Arc<dyn EventSink>,
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
            Arc::clone(&resync) as Arc<dyn ResyncSink>,
            early_audits,
        ));
        Ok(Self {
            registry,
            stream,
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
        let mut parts = vec![
            Arc::clone(&self.registry) as Arc<dyn Component>,
            Arc::clone(&self.stream) as Arc<dyn Component>,
            Arc::clone(&self.workers) as Arc<dyn Component>,
            Arc::clone(&self.router) as Arc<dyn Component>,
            Arc::clone(&self.pool) as Arc<dyn Component>,
            Arc::clone(&self.lifecycle) as Arc<dyn Component>,
            Arc::clone(&self.recycler) as Arc<dyn Component>,
        ];
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
            Arc::clone(&self.router) as Arc<dyn Component>,
            Arc::clone(&self.workers) as Arc<dyn Component>,
            Arc::clone(&self.stream) as Arc<dyn Component>,
            Arc::clone(&self.registry) as Arc<dyn Component>,
        ]);
        parts
    }
}
