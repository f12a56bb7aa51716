//! `polypy sim`: the exchange alone.

use std::sync::Arc;

use polypy::clock::SystemClock;
use polypy::config::{Config, Layer, Sources, exchange_config};
use polypy::exit::Exit;
use polypy_sim::Sim;
use tokio::sync::oneshot;

use crate::cli;
use crate::run::with_runtime;
use crate::terminal;

/// Runs the exchange until it is told to end.
pub(crate) fn run(typed: cli::Sim, variables: Vec<(String, String)>) -> Exit {
    let sources = Sources {
        named_file: typed.file.config,
        variables,
        demo: Layer::default(),
        flags: typed.keys.0,
    };
    let loaded = match sources.load() {
        Ok(loaded) => loaded,
        Err(error) => return terminal::refuse(&error),
    };
    with_runtime(&loaded.config.clone(), async move |drain| {
        serve(&loaded.config, drain).await
    })
}

async fn serve(config: &Config, drain: oneshot::Receiver<()>) -> Exit {
    let sim = match Sim::start(exchange_config(&config.sim), Arc::new(SystemClock)).await {
        Ok(sim) => sim,
        Err(error) => {
            tracing::error!(error = chain(&error), "the exchange could not start");
            return Exit::Failure;
        }
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

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
