//! The whole program as one value.
//!
//! ```text
//! start: registry, recorder, flight recorder, stream, workers, router, pool, lifecycle, recycler,
//!        audit, http, admin
//! stop:  admin, audit, recycler, http, lifecycle, pool, recorder, flight recorder, router, workers,
//!        stream, registry
//! ```
//!
//! A failed start stops what had started and is an error; the HTTP server alone
//! may fail without stopping the rest, and is tried again. `stop` has one deadline over everything.
//! What the parts do is theirs: here is only their order, their common health
//! and statistics, and the way to their books.

mod admin;
mod books;
mod builder;
#[cfg(feature = "api")]
mod catalogue;
mod error;
mod fan_out;
#[cfg(feature = "archive")]
mod flight;
mod http;
mod incidents;
mod legacy;
mod overview;
mod parts;
mod preview;
mod probes;
mod process;
mod progress;
#[cfg(feature = "api")]
mod published;
#[cfg(not(feature = "api"))]
#[path = "published_absent.rs"]
mod published;
#[cfg(feature = "archive")]
mod recorder;
#[cfg(feature = "archive")]
mod recorders;
#[cfg(not(feature = "archive"))]
#[path = "recorders_absent.rs"]
mod recorders;
mod reload;
mod selection;
mod sequence;
mod socket_file;
mod sockets;
mod verdict;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
#[cfg(feature = "api")]
use std::time::Duration;

use parking_lot::Mutex;
#[cfg(feature = "api")]
use polypy_api::{Filter, FollowError, NotLive, Streams, Subscription};
use polypy_core::probe::{Check, Probe, ProbeSource};
use polypy_core::{BookSource, Clock, Component, Health, HealthSource, MarketSource, StatsSource};
use polypy_http::{Access, HttpServer, Listener, Route, Tls};
use polypy_net::pool::ConnectionPool;
use polypy_net::recycler::ConnectionRecycler;
use polypy_net::registry::AssetRegistry;
use polypy_workers::{BookCounts, WorkerManager};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::config::{Config, Loaded};
use admin::Administration;
pub use builder::PolyPyBuilder;
pub use error::{BuildError, RunError, StartError};
use overview::{Overview, Phase};
use parts::Parts;
pub use preview::{Preview, preview};
pub use progress::Progress;
use published::Instance;
use selection::SelectionControl;
pub use selection::{InForce, Reloaded, Selected, SelectionError, warnings};
use socket_file::SocketFile;

/// The Polymarket market-data server.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let app = polypy::PolyPy::builder()
///     .num_workers(2)
///     .enable_http(true)
///     .http_port(0)
///     .build()?;
/// app.start().await?;
/// println!("{:?} {}", app.http_addr(), app.stats()["running"]);
/// app.stop().await;
/// # Ok(())
/// # }
/// ```
pub struct PolyPy {
    config: Config,
    overview: Arc<Overview>,
    books: Arc<dyn BookSource>,
    clock: Arc<dyn Clock>,
    /// There from a start with HTTP enabled to the stop; not if it failed.
    http_server: Mutex<Option<Arc<HttpServer>>>,
    /// Who may ask the HTTP server; everyone if there is none.
    access: Option<Arc<Access>>,
    /// The HTTP server's certificate; TCP is plain if there is none.
    tls: Option<Arc<Tls>>,
    /// Opened elsewhere, for the HTTP server.
    listeners: Vec<Listener>,
    /// What the HTTP server has beside its own.
    routes: Vec<Route>,
    /// Where the HTTP server runs, if not where everything does.
    clients: Option<Handle>,
    /// There while the HTTP server listens at it.
    socket_file: Mutex<Option<SocketFile>>,
    /// The HTTP server could not listen, for a reason that may pass.
    http_awaited: AtomicBool,
    /// Why it does not listen, for people.
    http_failure: Mutex<Option<String>>,
    admin: Administration,
    selection: Arc<SelectionControl>,
    /// This process, in its answers.
    instance: Instance,
    /// Waits for the venue to be listed to its end, to say what is named and not there.
    looks_at_names: Mutex<Option<AbortHandle>>,
    /// Held by `start` and `stop`, so that neither overtakes the other.
    turn: tokio::sync::Mutex<()>,
}

impl PolyPy {
    /// A program with the defaults, to be changed before it is built.
    pub fn builder() -> PolyPyBuilder {
        PolyPyBuilder::default()
    }

    fn new(
        config: Config,
        loaded: Loaded,
        parts: Parts,
        clock: Arc<dyn Clock>,
        admin: Administration,
    ) -> Self {
        let books = books::Books::new(Arc::clone(&parts.registry), parts.workers.store());
        let lifecycle = Arc::clone(&parts.lifecycle);
        let instance = Instance::random();
        let selection = SelectionControl::new(loaded, lifecycle, Arc::clone(&clock), instance);
        let selection = Arc::new(selection);
        let overview = Overview::new(parts, Arc::clone(&selection), &config, Arc::clone(&clock));
        Self {
            config,
            overview,
            books: Arc::new(books),
            clock,
            http_server: Mutex::default(),
            access: None,
            tls: None,
            listeners: Vec::new(),
            routes: Vec::new(),
            clients: None,
            socket_file: Mutex::default(),
            http_awaited: AtomicBool::new(false),
            http_failure: Mutex::default(),
            admin,
            selection,
            instance,
            looks_at_names: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Starts every part in order. A second start logs a warning and changes
    /// nothing. A start whose future is dropped has to be stopped.
    ///
    /// # Errors
    /// When a part fails; nothing runs then. The HTTP server's failure is
    /// an error in the log, and the program runs without it; [`run`](Self::run) tries
    /// again to listen where the port was taken.
    pub async fn start(&self) -> Result<(), StartError> {
        let _turn = self.turn.lock().await;
        {
            let mut phase = self.overview.phase.lock();
            if *phase != Phase::Stopped {
                tracing::warn!("start while not stopped");
                return Ok(());
            }
            *phase = Phase::Starting;
            self.overview.draining.store(false, Ordering::SeqCst);
        }
        let deadline = self.config.shutdown.deadline;
        let parts = self.parts().in_start_order();
        if let Err(error) = sequence::start_all(&parts, deadline).await {
            *self.overview.phase.lock() = Phase::Stopped;
            return Err(error.into());
        }
        let control = Arc::clone(&self.selection);
        let looks = tokio::spawn(async move { control.name_unknown_once_listed().await });
        *self.looks_at_names.lock() = Some(looks.abort_handle());
        self.refresh_process().await;
        let with_http = self.start_http().await;
        self.start_admin().await;
        *self.overview.phase.lock() = Phase::Running {
            since: Instant::now(),
        };
        let version = env!("CARGO_PKG_VERSION");
        if with_http {
            tracing::info!(version, "polypy started");
        } else {
            tracing::info!(version, "polypy started without http");
        }
        Ok(())
    }

    /// Stops every part in order, all under one deadline. What did not end in
    /// time is aborted, counted and named in the last line of the log. A stop
    /// while stopped logs a warning and changes nothing.
    pub async fn stop(&self) {
        let _turn = self.turn.lock().await;
        {
            let mut phase = self.overview.phase.lock();
            if *phase == Phase::Stopped {
                tracing::warn!("stop while stopped");
                return;
            }
            *phase = Phase::Stopping;
        }
        if let Some(looks) = self.looks_at_names.lock().take() {
            looks.abort();
        }
        let before = Instant::now();
        if let Some(recorder) = &self.parts().recorder {
            recorder.ending();
        }
        if let Some(flight) = &self.parts().flight {
            flight.ending();
        }
        self.http_awaited.store(false, Ordering::SeqCst);
        let http = self.http_server.lock().take();
        let http = http.map(|server| server as Arc<dyn Component>);
        let parts = self.parts().in_stop_order(self.admin.take(), http);
        let report = sequence::stop_all(&parts, self.config.shutdown.deadline).await;
        self.remove_socket_file();
        self.admin.remove_file();
        *self.overview.phase.lock() = Phase::Stopped;
        let took_ms = before.elapsed().as_secs_f64() * 1e3;
        if report.is_clean() {
            tracing::info!(took_ms, "polypy stopped");
        } else {
            tracing::error!(
                took_ms,
                aborted = report.aborted.join(", "),
                failed = report.failed.join(", "),
                unclean = report.aborted.len() + report.failed.len(),
                "polypy stopped, not all of it cleanly"
            );
        }
    }

    /// Says by `/readyz` that requests should go elsewhere, and serves on until those who
    /// ask it have had the time to notice.
    async fn drain(&self) {
        self.overview.draining.store(true, Ordering::SeqCst);
        let delay = self.config.http.drain_delay;
        let Some(server) = self.http_server() else {
            return;
        };
        if delay.is_zero() {
            return;
        }
        server.send_clients_away();
        tracing::info!(
            delay_ms = delay.as_secs_f64() * 1e3,
            "draining: not ready any more, serving on"
        );
        tokio::time::sleep(delay).await;
        tracing::info!("drained, stopping");
    }

    /// Starts, runs until `shutdown` resolves, drains, and stops. A shutdown during the
    /// start stops what has started and is no error. An HTTP server whose port is taken is
    /// tried again, from a second to half a minute apart.
    ///
    /// # Errors
    /// When the start fails, or a part dies; what was left is stopped then. When the disk does
    /// not take the last of what is recorded.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        let mut shutdown = std::pin::pin!(shutdown);
        let started = tokio::select! {
            biased;
            () = &mut shutdown => None,
            started = self.start() => Some(started),
        };
        let mut result = Ok(());
        match started {
            Some(Err(error)) => return Err(error.into()),
            None => tracing::info!("ending before the start was through"),
            Some(Ok(())) => {
                let parts = self.parts().in_start_order();
                let ending = async {
                    shutdown.await;
                    self.drain().await;
                };
                tokio::select! {
                    () = ending => {}
                    () = progress::report(self) => {}
                    () = self.keep_listening() => {}
                    component = sequence::failure(&parts) => {
                        tracing::error!(component, "a part ended without being asked to");
                        result = Err(RunError::Ended { component });
                    }
                }
            }
        }
        // A start that was cut short before its first step has left nothing.
        if *self.overview.phase.lock() != Phase::Stopped {
            self.stop().await;
        }
        let recorder = self.parts().recorder.as_ref();
        if result.is_ok() && recorder.is_some_and(|recorder| recorder.is_cut()) {
            result = Err(RunError::RecordingCut);
        }
        result
    }

    /// Whether the start is through and no stop has begun.
    pub fn is_running(&self) -> bool {
        self.overview.is_running()
    }

    /// The verdict that `/health` gives.
    pub fn is_healthy(&self) -> bool {
        self.overview.health().healthy
    }

    /// What `/livez`, `/readyz` and `/startupz` look at.
    pub fn checks(&self, probe: Probe) -> Vec<Check> {
        ProbeSource::checks(&*self.overview, probe)
    }

    /// The verdict with those on the parts.
    pub fn health(&self) -> Health {
        self.overview.health()
    }

    /// What `/stats` shows.
    pub fn stats(&self) -> Value {
        self.overview.stats()
    }

    /// How far discovery and subscription have come.
    pub fn progress(&self) -> Progress {
        let parts = self.parts();
        let (pending, subscribed, _expired) = parts.registry.counts();
        let BookCounts { live, .. } = parts.workers.store().counts();
        Progress {
            markets: parts.registry.live_market_count(),
            assets: pending + subscribed,
            subscribed,
            connections: parts.pool.active_connections(),
            live_books: usize::try_from(live).unwrap_or(usize::MAX),
        }
    }

    /// Where the HTTP server listens; `None` while it does not.
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http_server.lock().as_ref()?.local_addr()
    }

    /// Where the administration listens on TCP; `None` while it does not.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.address()
    }

    /// Why the HTTP server does not listen, with what to do; `None` while it does, and where it
    /// is not meant to.
    pub fn http_failure(&self) -> Option<String> {
        self.http_failure.lock().clone()
    }

    /// The HTTP server; `None` when it is disabled, not started, or failed to start.
    pub fn http_server(&self) -> Option<Arc<HttpServer>> {
        self.http_server.lock().clone()
    }

    /// The configuration it was built with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The books, by asset id.
    pub fn books(&self) -> Arc<dyn BookSource> {
        Arc::clone(&self.books)
    }

    /// Follows books, tops, trades, states or markets in this process: first what is there,
    /// then every change. Works from the start on, with or without HTTP.
    ///
    /// ```no_run
    /// # async fn example(app: &polypy::PolyPy) -> Result<(), Box<dyn std::error::Error>> {
    /// use polypy::stream::{Channel, Channels, Event, Filter};
    ///
    /// let channels = Channels::NONE.with(Channel::Book);
    /// let mut stream = app.subscribe(Filter::everything(channels)).await?;
    /// while let Some(message) = stream.next().await {
    ///     if let Event::Delta(delta) = message.event() {
    ///         println!("{} {}", delta.token.info.asset_id, delta.sequence);
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Before the start and after the stop, with too many clients, and for a filter that
    /// names nothing known.
    #[cfg(feature = "api")]
    pub async fn subscribe(&self, filter: Filter) -> Result<Subscription, FollowError> {
        self.streams().subscribe(filter).await
    }

    /// Waits until every book that the filter names is live, and there is one.
    ///
    /// # Errors
    /// When that is not so in time, or they cannot be followed.
    #[cfg(feature = "api")]
    pub async fn wait_until_live(&self, filter: &Filter, most: Duration) -> Result<(), NotLive> {
        self.streams().wait_until_live(filter, most).await
    }

    /// Where clients of the streams are opened.
    #[cfg(feature = "api")]
    pub fn streams(&self) -> Streams {
        self.parts().published.streams()
    }

    /// The markets with a subscribed token.
    pub fn markets(&self) -> Arc<dyn MarketSource> {
        Arc::clone(&self.parts().registry) as Arc<dyn MarketSource>
    }

    /// The catalogue, for a program that needs more than [`Self::markets`].
    pub fn registry(&self) -> &Arc<AssetRegistry> {
        &self.parts().registry
    }

    /// The connections, for drills and inspection.
    pub fn pool(&self) -> &Arc<ConnectionPool> {
        &self.parts().pool
    }

    /// The recycler, for drills and inspection.
    pub fn recycler(&self) -> &Arc<ConnectionRecycler> {
        &self.parts().recycler
    }

    /// The worker threads, for drills and inspection.
    pub fn workers(&self) -> &Arc<WorkerManager> {
        &self.parts().workers
    }

    /// Reads again what the system says of this process.
    async fn refresh_process(&self) {
        let overview = Arc::clone(&self.overview);
        let refreshed = tokio::task::spawn_blocking(move || overview.process.refresh()).await;
        if let Err(error) = refreshed {
            tracing::error!(%error, "the process could not be read");
        }
    }

    fn parts(&self) -> &Parts {
        &self.overview.parts
    }
}

impl fmt::Debug for PolyPy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolyPy")
            .field("phase", &*self.overview.phase.lock())
            .field("http_addr", &self.http_addr())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod manual;
#[cfg(test)]
#[path = "app_tests.rs"]
mod tests;
