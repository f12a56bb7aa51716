//! `polypy run`: the server, from the configuration to the exit code.

use polypy::PolyPy;
use polypy::config::{self, Loaded, Sources};
use polypy::exit::Exit;
use polypy::limits::{Shares, System};

use crate::cli::Run;
#[cfg(feature = "sim")]
use crate::demo;
use crate::runtime::{Wishes, drive, with_runtime};
use crate::systemd;
use crate::terminal;

/// Runs the server until it is told to end.
pub(crate) fn run(typed: Run, variables: Vec<(String, String)>) -> Exit {
    let demo = typed.demo;
    let sources = Sources {
        named_file: typed.file.config,
        variables,
        demo: if demo {
            config::demo_defaults()
        } else {
            config::Layer::default()
        },
        flags: typed.keys.0,
    };
    let loaded = match sources.load() {
        Ok(loaded) => loaded,
        Err(error) => return terminal::refuse(&error),
    };
    let shares = Shares::of(&loaded.config, System::raise(), demo);
    with_runtime(&loaded.config.clone(), async move |wishes| {
        announce(&loaded);
        shares.log();
        #[cfg(feature = "sim")]
        if demo {
            return demo::serve(loaded, shares, wishes, &sources).await;
        }
        serve(loaded, shares, wishes, &sources).await
    })
}

fn announce(loaded: &Loaded) {
    match &loaded.file {
        Some(file) => tracing::info!(file = %file.display(), "configuration read"),
        None => tracing::debug!("no configuration file"),
    }
    for renamed in &loaded.renamed {
        tracing::warn!("{renamed}");
    }
    for passed_over in &loaded.passed_over {
        tracing::warn!("{passed_over}");
    }
}

async fn serve(loaded: Loaded, shares: Shares, wishes: Wishes, sources: &Sources) -> Exit {
    match PolyPy::builder()
        .loaded(loaded.clone())
        .shares(shares)
        .listeners(systemd::sockets())
        .log_level(wishes.log_level.clone())
        .serve_clients_on(wishes.clients.clone())
        .build()
    {
        Ok(app) => drive(&app, wishes, sources).await,
        Err(error) => {
            let error = error.located(&loaded);
            tracing::error!(error, "polypy cannot be built");
            Exit::Config
        }
    }
}
