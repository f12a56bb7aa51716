//! What every long-running command needs around its work: the log, the runtime,
//! signals, and an exit code at the end.

use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use polypy::PolyPy;
use polypy::clock::SystemClock;
use polypy::config::{Config, Sources};
use polypy::exit::Exit;
use polypy::logging::{self, Log, LogLevel, StatusLine};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{mpsc, oneshot};

use crate::signals::Signals;
use crate::status;
use crate::systemd::Supervisor;
use crate::terminal;

/// More threads than this of either runtime only take cores from the workers: sockets of
/// the whole venue keep one busy.
const MOST_RUNTIME_THREADS: usize = 4;
/// Threads of the venue's sockets, and of everything that is not for clients.
const VENUE: &str = "polypy-io";
/// Threads that serve clients. Apart, so that no number of clients stands in the way of
/// a frame, and so that the system shows what they cost; half as many as there are cores, so
/// that clients take no more from the books than that.
const CLIENTS: &str = "polypy-http";

/// What tasks get that outlived everything that owned them. There are none
/// after a clean end.
const RUNTIME_DEADLINE: Duration = Duration::from_millis(500);

/// What is asked from outside: by signals, and of the log.
pub(crate) struct Wishes {
    /// Resolves when the program is to end.
    pub(crate) drain: oneshot::Receiver<()>,
    /// Has a word each time that files are to be read again.
    pub(crate) reload: mpsc::Receiver<()>,
    /// For those who may change it.
    pub(crate) log_level: LogLevel,
    /// What stands below the log, on a terminal.
    pub(crate) status: Option<StatusLine>,
    /// Where clients are served.
    pub(crate) clients: Handle,
}

/// Runs `app` until it is to end. `sources` are read again when that is asked for.
pub(crate) async fn drive(app: &PolyPy, wishes: Wishes, sources: &Sources) -> Exit {
    let Wishes {
        drain,
        mut reload,
        status,
        ..
    } = wishes;
    let supervisor = Supervisor::of_environment();
    let shutdown = async {
        if drain.await.is_err() {
            tracing::debug!("nobody is left to ask for the end");
        }
        supervisor.ending();
    };
    let reloads = async {
        while reload.recv().await.is_some() {
            app.reload_from(sources.clone()).await;
        }
        std::future::pending().await
    };
    let ended = tokio::select! {
        ended = app.run(shutdown) => ended,
        ended = reloads => ended,
        never = supervisor.follow(app) => match never {},
        never = status::follow(app, status) => match never {},
    };
    match ended {
        Ok(()) => Exit::Clean,
        Err(error) => {
            tracing::error!(%error, "polypy failed");
            Exit::Failure
        }
    }
}

/// Opens the log, catches signals, and drives `work` to its end or to the
/// second signal. `work` is told of the first one.
pub(crate) fn with_runtime<F>(config: &Config, work: impl FnOnce(Wishes) -> F) -> Exit
where
    F: Future<Output = Exit>,
{
    let clock = Arc::new(SystemClock);
    let Log {
        guard: log,
        level: log_level,
        status,
    } = match logging::init(&config.log, clock) {
        Ok(opened) => opened,
        Err(error) => {
            terminal::say(&error);
            return Exit::Failure;
        }
    };
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    let runtimes =
        runtime(VENUE, cores).and_then(|venue| Ok((venue, runtime(CLIENTS, cores.div_ceil(2))?)));
    let (runtime, clients) = match runtimes {
        Ok(runtimes) => runtimes,
        Err(error) => {
            tracing::error!(%error, "no runtime");
            return Exit::Failure;
        }
    };
    let mut log = Some(log);
    let exit = runtime.block_on(async {
        let signals = match Signals::install() {
            Ok(signals) => signals,
            Err(error) => {
                tracing::error!(%error, "signals cannot be caught");
                return Exit::Failure;
            }
        };
        let (drain, drained) = oneshot::channel();
        let (reload, reloaded) = mpsc::channel(1);
        let wishes = Wishes {
            drain: drained,
            reload: reloaded,
            log_level,
            status,
            clients: clients.handle().clone(),
        };
        let second_signal = async {
            let exit = signals.watch(drain, reload).await;
            // Before anything is torn down: what tasks and threads say of neighbours
            // that vanish in the middle of their work is no fault of theirs.
            drop(log.take());
            exit
        };
        tokio::select! {
            exit = work(wishes) => exit,
            exit = second_signal => exit,
        }
    });
    clients.shutdown_timeout(RUNTIME_DEADLINE);
    runtime.shutdown_timeout(RUNTIME_DEADLINE);
    tracing::debug!("runtime ended");
    exit
}

fn runtime(name: &str, threads: usize) -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(threads.min(MOST_RUNTIME_THREADS))
        .thread_name(name)
        .enable_all()
        .build()
}
