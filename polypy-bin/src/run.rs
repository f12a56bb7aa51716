//! `polypy run`: the server, from the configuration to the exit code.

use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use polypy::PolyPy;
use polypy::clock::SystemClock;
use polypy::config::{self, Config, Loaded, Sources};
use polypy::exit::Exit;
use polypy::logging;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::cli::Run;
use crate::demo;
use crate::signals::Signals;
use crate::terminal;

/// More threads than this only take cores from the workers: sockets of the
/// whole venue keep one busy.
const MOST_RUNTIME_THREADS: usize = 4;

/// What tasks get that outlived everything that owned them. There are none
/// after a clean end.
const RUNTIME_DEADLINE: Duration = Duration::from_millis(500);

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
    with_runtime(&loaded.config.clone(), async move |drain| {
        announce(&loaded);
        if demo {
            demo::serve(loaded.config, drain).await
        } else {
            serve(loaded.config, drain).await
        }
    })
}

fn announce(loaded: &Loaded) {
    match &loaded.file {
        Some(file) => tracing::info!(file = ?file, "configuration read"),
        None => tracing::debug!("no configuration file"),
    }
}

async fn serve(config: Config, drain: oneshot::Receiver<()>) -> Exit {
    match PolyPy::builder().config(config).build() {
        Ok(app) => drive(&app, drain).await,
        Err(error) => {
            tracing::error!(%error, "polypy cannot be built");
            Exit::Config
        }
    }
}

/// Runs `app` until `drain` resolves.
pub(crate) async fn drive(app: &PolyPy, drain: oneshot::Receiver<()>) -> Exit {
    let shutdown = async {
        if drain.await.is_err() {
            tracing::debug!("nobody is left to ask for the end");
        }
    };
    match app.run(shutdown).await {
        Ok(()) => Exit::Clean,
        Err(error) => {
            tracing::error!(%error, "polypy failed");
            Exit::Failure
        }
    }
}

/// Opens the log, catches signals, and drives `work` to its end or to the
/// second signal. `work` is told of the first one.
pub(crate) fn with_runtime<F>(
    config: &Config,
    work: impl FnOnce(oneshot::Receiver<()>) -> F,
) -> Exit
where
    F: Future<Output = Exit>,
{
    let clock = Arc::new(SystemClock);
    let _log = match logging::init(&config.log, clock) {
        Ok(guard) => guard,
        Err(error) => {
            terminal::say(&error);
            return Exit::Failure;
        }
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime");
            return Exit::Failure;
        }
    };
    let exit = runtime.block_on(async {
        let signals = match Signals::install() {
            Ok(signals) => signals,
            Err(error) => {
                tracing::error!(%error, "signals cannot be caught");
                return Exit::Failure;
            }
        };
        let (drain, drained) = oneshot::channel();
        tokio::select! {
            exit = work(drained) => exit,
            exit = signals.watch(drain) => exit,
        }
    });
    runtime.shutdown_timeout(RUNTIME_DEADLINE);
    exit
}

fn runtime() -> std::io::Result<Runtime> {
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    Builder::new_multi_thread()
        .worker_threads(cores.min(MOST_RUNTIME_THREADS))
        .thread_name("polypy-io")
        .enable_all()
        .build()
}
