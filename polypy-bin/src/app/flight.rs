//! The flight recorder as a part of the program.
//!
//! Nothing of it can end the program: one that has no thread, or whose thread died, keeps
//! nothing more than that from anybody.

use std::fmt;
use std::sync::Arc;

use polypy_archive::flight::{Described, MarketLookup};
use polypy_archive::{FlightInlet, FlightRecorder, FlightRunning, SystemDisk};
use polypy_core::metrics::Sheet;
use polypy_core::{
    AssetId, BoxFuture, CheckpointSource, Clock, Component, ComponentError, ComponentState,
    Lifecycle, StatsSource,
};
use polypy_net::registry::AssetRegistry;

use super::recorder::session;
use crate::config::{Config, conversion};

const NAME: &str = "flight_recorder";

/// Keeps the last of what sockets say, and writes it to a file after an incident.
pub(super) struct FlightPart {
    recorder: Arc<FlightRecorder>,
    /// It is never a failed part: the program goes on without.
    life: Lifecycle<FlightRunning>,
}

impl FlightPart {
    /// As configured; `None` if it is off, or there is no folder for its files.
    pub(super) fn of(
        config: &Config,
        clock: &Arc<dyn Clock>,
        registry: &Arc<AssetRegistry>,
    ) -> Option<Self> {
        let config = conversion::flight_recorder(config)?;
        let run = session(&**clock);
        let run = (&*run, env!("CARGO_PKG_VERSION"));
        let recorder = FlightRecorder::new(config, run, Arc::new(SystemDisk), Arc::clone(clock));
        recorder.describe_markets(lookup(registry));
        Some(Self {
            recorder: Arc::new(recorder),
            life: Lifecycle::default(),
        })
    }

    /// Where sockets speak, and incidents are told.
    pub(super) fn inlet(&self) -> FlightInlet {
        self.recorder.inlet()
    }

    /// The program ends: that sockets close from now on is no loss.
    pub(super) fn ending(&self) {
        self.recorder.ending();
    }

    /// These books are copied for its files.
    pub(super) fn copy_books(&self, books: Arc<dyn CheckpointSource>) {
        self.recorder.copy_books(books);
    }
}

/// Markets by their tokens, as they are followed at that moment.
fn lookup(registry: &Arc<AssetRegistry>) -> Arc<MarketLookup> {
    let registry = Arc::clone(registry);
    Arc::new(move |token: &AssetId| {
        let names = registry.interner().read();
        let condition = names.get(token.as_str())?.condition_id.clone();
        drop(names);
        Some(Described {
            market: registry.market(&condition)?,
            is_over: !registry.is_live(&condition),
        })
    })
}

impl Component for FlightPart {
    fn name(&self) -> &'static str {
        NAME
    }

    fn start(&self) -> BoxFuture<'_, Result<(), ComponentError>> {
        Box::pin(async move {
            let starting = match self.life.begin_start() {
                Ok(starting) => starting,
                Err(state) => {
                    let state = state.name();
                    tracing::warn!(component = NAME, state, "start while not stopped");
                    return Ok(());
                }
            };
            match self.recorder.start() {
                Ok(running) => {
                    starting.running(running);
                    let folder = self.recorder.folder().display();
                    tracing::debug!(%folder, "incidents become files");
                }
                Err(error) => {
                    tracing::error!(%error, "no file is made of incidents: there is no thread for it");
                }
            }
            Ok(())
        })
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let (_stopping, running) = match self.life.begin_stop() {
                Ok(begun) => begun,
                Err(state) => {
                    let state = state.name();
                    tracing::warn!(component = NAME, state, "stop while not running");
                    return;
                }
            };
            let stopped = tokio::task::spawn_blocking(move || running.stop()).await;
            if let Err(error) = stopped {
                tracing::error!(%error, "the flight recorder could not be stopped");
            }
        })
    }

    fn state(&self) -> ComponentState {
        self.life.state()
    }
}

impl StatsSource for FlightPart {
    fn show(&self, sheet: &mut dyn Sheet) {
        self.recorder.show(sheet);
    }
}

impl fmt::Debug for FlightPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlightPart")
            .field("recorder", &self.recorder)
            .finish_non_exhaustive()
    }
}
