//! `polypy sim`: the exchange alone.

use std::sync::Arc;

use polypy::clock::SystemClock;
use polypy::config::{Config, Layer, Overlay, Sources, exchange_config};
use polypy::exit::Exit;
use polypy_sim::{Sim, SimError, SimHandle};
use tokio::sync::oneshot;

use crate::cli;
use crate::runtime::with_runtime;
use crate::terminal;

/// Runs the exchange until it is told to end.
pub(crate) fn run(typed: cli::Sim, variables: Vec<(String, String)>) -> Exit {
    let sources = Sources {
        named_file: typed.file.config,
        variables,
        demo: Layer::default(),
        flags: typed.keys.0,
    };
    let loaded = match sources.load_with(Overlay::default()) {
        Ok(loaded) => loaded,
        Err(error) => return terminal::refuse(&error),
    };
    with_runtime(&loaded.config.clone(), async move |wishes| {
        // It has no files to read again.
        drop(wishes.reload);
        serve(&loaded.config, wishes.drain).await
    })
}

async fn serve(config: &Config, drain: oneshot::Receiver<()>) -> Exit {
    let sim = match start(config).await {
        Ok(sim) => sim,
        Err(exit) => return exit,
    };
    let written = terminal::print(&format!(
        "gamma_url = \"{}\"\nclob_url = \"{}\"\nws_url = \"{}\"\n",
        sim.gamma_url(),
        sim.clob_url(),
        sim.ws_url()
    ));
    if drain.await.is_err() {
        tracing::debug!("nobody is left to ask for the end");
    }
    sim.stop().await;
    written
}

/// Starts the exchange. A file that cannot be used is a mistake in the
/// configuration, and is named with its lines.
pub(crate) async fn start(config: &Config) -> Result<SimHandle, Exit> {
    let started = Sim::start(exchange_config(&config.sim), Arc::new(SystemClock)).await;
    started.map_err(|error| {
        let cause: &(dyn std::error::Error + 'static) = &error;
        tracing::error!(error = cause, "the exchange could not start");
        match error {
            SimError::Config { .. }
            | SimError::Recording { .. }
            | SimError::RecordingLine { .. }
            | SimError::EmptyRecording { .. }
            | SimError::ScriptFile { .. }
            | SimError::Script { .. } => Exit::Config,
            // What is left has to do with the machine.
            _ => Exit::Failure,
        }
    })
}
