//! What is published beside the owner's routes, from `polypy-api`: the streams, `/v1`, the page.

use std::sync::{Arc, Weak};

use polypy_api::door::Doors;
use polypy_api::{FailureLog, StreamHub, Streams, Watched};
use polypy_core::metrics::{Part, Sheet};
use polypy_core::{
    BookSource, CatalogueSink, ChangeSink, Clock, Component, ResyncSink, StatsSource,
    SuspensionWatch,
};
use polypy_http::{HttpConfig, HttpServerBuilder, Route};
use polypy_net::lifecycle::LifecycleController;
use polypy_net::pool::ConnectionPool;
use polypy_net::registry::AssetRegistry;
use polypy_workers::WorkerManager;

pub(super) use polypy_api::Instance;

use super::catalogue::Names;
use super::overview::Overview;
use crate::config::{Config, conversion};

static STREAM: Part = Part::new("stream", "Streams of changes and their clients.");

/// The hub of the streams, and what `/v1` reads beside it.
pub(super) struct Published {
    /// Which books were asked for again.
    failures: Arc<FailureLog>,
    /// Follows what the workers write.
    hub: Arc<StreamHub>,
}

impl Published {
    /// For so many workers; wishes for books are passed on.
    pub(super) fn new(config: &Config, workers: usize, passed_on: Arc<dyn ResyncSink>) -> Self {
        Self {
            failures: Arc::new(FailureLog::new(passed_on)),
            hub: Arc::new(StreamHub::new(
                conversion::stream(&config.stream, &config.http),
                u16::try_from(workers).unwrap_or(u16::MAX),
                concat!("polypy/", env!("CARGO_PKG_VERSION")),
            )),
        }
    }

    /// Where wishes for books are told.
    pub(super) fn wishes(&self) -> Arc<dyn ResyncSink> {
        Arc::clone(&self.failures) as Arc<dyn ResyncSink>
    }

    /// Whom workers tell of changes.
    pub(super) fn changes(&self) -> Option<Arc<dyn ChangeSink>> {
        Some(self.hub.sink())
    }

    /// Whom the catalogue tells of markets.
    pub(super) fn markets(&self) -> Option<Arc<dyn CatalogueSink>> {
        Some(self.hub.market_sink())
    }

    /// Gives the hub what it reads.
    pub(super) fn connect(
        &self,
        workers: &WorkerManager,
        registry: &Arc<AssetRegistry>,
        lifecycle: &LifecycleController,
        clock: &Arc<dyn Clock>,
        suspension: &Arc<SuspensionWatch>,
    ) {
        self.hub.connect(
            workers.changes(),
            Arc::new(Names::new(Arc::clone(registry), lifecycle.source())),
            Arc::clone(clock),
            Arc::clone(suspension),
        );
    }

    /// Gives the hub what it publishes of the program.
    pub(super) fn watch(&self, overview: &Arc<Overview>, clock: Arc<dyn Clock>) {
        let shown: Weak<Overview> = Arc::downgrade(overview);
        let pool: Weak<ConnectionPool> = Arc::downgrade(&overview.parts.pool);
        self.hub.watch(Watched {
            stats: shown.clone(),
            health: shown,
            connections: pool,
            clock,
        });
    }

    /// The hub, to be started and stopped.
    pub(super) fn part(&self) -> Option<Arc<dyn Component>> {
        Some(Arc::clone(&self.hub) as Arc<dyn Component>)
    }

    /// Where clients of the streams are opened.
    pub(super) fn streams(&self) -> Streams {
        self.hub.streams()
    }

    /// Its numbers.
    pub(super) fn show(&self, sheet: &mut dyn Sheet) {
        sheet.part(&STREAM, |sheet| self.hub.show(sheet));
    }

    /// The routes of `/v1` and of the streams.
    pub(super) fn routes(
        &self,
        config: &HttpConfig,
        books: &Arc<dyn BookSource>,
        (registry, lifecycle): (&Arc<AssetRegistry>, &LifecycleController),
        clock: &Arc<dyn Clock>,
        instance: Instance,
    ) -> Vec<Route> {
        let listed = lifecycle.source();
        let names = Arc::new(Names::new(Arc::clone(registry), Arc::clone(&listed)));
        Doors::new(config, Arc::clone(books))
            .with_streams(self.streams())
            .with_reads(names, listed, Arc::clone(clock), instance)
            .with_samples(self.hub.samples(), Arc::clone(clock))
            .with_failures(Arc::clone(&self.failures))
            .routes()
    }
}

/// Serves the description of all routes.
pub(super) fn described(server: HttpServerBuilder, title: &'static str) -> HttpServerBuilder {
    server.describe(polypy_api::openapi::route(title, env!("CARGO_PKG_VERSION")))
}

/// Serves the page.
pub(super) fn with_page(server: HttpServerBuilder) -> HttpServerBuilder {
    server.page(polypy_api::page::assets())
}
