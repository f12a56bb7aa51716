//! What stands in for streams, `/v1` and the page in a build without them: nobody listens.

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;

use polypy_core::metrics::Sheet;
use polypy_core::{
    BookSource, CatalogueSink, ChangeSink, Clock, Component, ResyncSink, SuspensionWatch,
};
use polypy_http::{HttpConfig, HttpServerBuilder, Route};
use polypy_net::lifecycle::LifecycleController;
use polypy_net::registry::AssetRegistry;
use polypy_workers::WorkerManager;

use super::overview::Overview;
use crate::config::Config;

/// This process, in its answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Instance(u64);

impl Instance {
    /// Another one than all before.
    pub(super) fn random() -> Self {
        Self(RandomState::new().build_hasher().finish())
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Passes on wishes for books, and does nothing else.
pub(super) struct Published(Arc<dyn ResyncSink>);

impl Published {
    pub(super) fn new(_config: &Config, _workers: usize, passed_on: Arc<dyn ResyncSink>) -> Self {
        Self(passed_on)
    }

    pub(super) fn wishes(&self) -> Arc<dyn ResyncSink> {
        Arc::clone(&self.0)
    }

    pub(super) fn changes(&self) -> Option<Arc<dyn ChangeSink>> {
        None
    }

    pub(super) fn markets(&self) -> Option<Arc<dyn CatalogueSink>> {
        None
    }

    pub(super) fn connect(
        &self,
        _workers: &WorkerManager,
        _registry: &Arc<AssetRegistry>,
        _lifecycle: &LifecycleController,
        _clock: &Arc<dyn Clock>,
        _suspension: &Arc<SuspensionWatch>,
    ) {
    }

    pub(super) fn watch(&self, _overview: &Arc<Overview>, _clock: Arc<dyn Clock>) {}

    pub(super) fn part(&self) -> Option<Arc<dyn Component>> {
        None
    }

    pub(super) fn show(&self, _sheet: &mut dyn Sheet) {}

    pub(super) fn routes(
        &self,
        _config: &HttpConfig,
        _books: &Arc<dyn BookSource>,
        _catalogue: (&Arc<AssetRegistry>, &LifecycleController),
        _clock: &Arc<dyn Clock>,
        _instance: Instance,
    ) -> Vec<Route> {
        Vec::new()
    }
}

/// There is no description in this build.
pub(super) fn described(server: HttpServerBuilder, _title: &'static str) -> HttpServerBuilder {
    server
}

/// There is no page in this build.
pub(super) fn with_page(server: HttpServerBuilder) -> HttpServerBuilder {
    server
}
