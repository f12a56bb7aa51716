//! Starts the workers' threads, restarts workers that fail, joins the threads.
//!
//! A worker that has failed is unhealthy and its books are stale from that moment.
//! The supervisor, one task, restarts it after a while, marks every book of its
//! partition and asks for fresh ones. A worker that keeps failing stays down. Its
//! thread outlives all that.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use polypy_core::metrics::{Entry, Sheet, count};
use polypy_core::{
    BoxFuture, ChangeSink, ChangeSource, CheckpointSource, Component, ComponentError,
    ComponentState, Health, HealthSource, Lifecycle, ResyncSink, Scope, StaleReason, StatsSource,
    SuspensionWatch,
};
use tokio::sync::Notify;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use crate::checkpointing::Checkpointing;
use crate::config::WorkersConfig;
use crate::following::Following;
use crate::queue::{Liveness, Transition};
use crate::shared::Shared;
use crate::stats::WorkerStats;
use crate::store::BookStore;
use crate::worker::Worker;

const NAME: &str = "workers";

/// Between two looks at whether the venue's hashes are reproduced.
const LOOK: Duration = Duration::from_secs(5);
/// Books whose hashes are not reproduced any more, before a line says so: single ones
/// are counted, and the log is for what an operator should know.
const MANY_BOOKS: u64 = 8;

/// Owns the worker threads and their books.
#[derive(Debug)]
pub struct WorkerManager {
    shared: Arc<Shared>,
    life: Lifecycle<Running>,
}

/// The workers' threads; the supervisor's task, and what ends it.
#[derive(Debug)]
struct Running {
    threads: Vec<JoinHandle<()>>,
    stop: Arc<Notify>,
    supervisor: tokio::task::JoinHandle<()>,
}

impl WorkerManager {
    /// Workers that ask `resync` for what they find missing. They run once
    /// started; readers may ask before.
    pub fn new(config: WorkersConfig, resync: Arc<dyn ResyncSink>) -> Self {
        Self::watched(config, resync, Arc::default(), None)
    }

    /// The same, whose readers see no book as live that a suspension of the process
    /// may have made old, and whose changes go to `changes`, of the books that are
    /// followed ([`Self::changes`]).
    pub fn watched(
        config: WorkersConfig,
        resync: Arc<dyn ResyncSink>,
        suspension: Arc<SuspensionWatch>,
        changes: Option<Arc<dyn ChangeSink>>,
    ) -> Self {
        let shared = Shared::new(config, resync, suspension, changes.as_ref());
        Self {
            shared: Arc::new(shared),
            life: Lifecycle::default(),
        }
    }

    /// The readers' side of the books.
    pub fn store(&self) -> BookStore {
        BookStore::new(Arc::clone(&self.shared))
    }

    /// Which books are followed, and how they are shown. Without a sink that was handed
    /// in none ever is, and nothing is written.
    pub fn changes(&self) -> Arc<dyn ChangeSource> {
        Arc::new(Following::new(Arc::clone(&self.shared)))
    }

    /// Copies of the books for a recorder.
    pub fn checkpoints(&self) -> Arc<dyn CheckpointSource> {
        Arc::new(Checkpointing::new(self.store()))
    }

    /// Workers that run.
    pub fn alive_count(&self) -> usize {
        self.shared.alive()
    }

    /// The longest that any worker's thread has not looked for work.
    pub fn oldest_heartbeat(&self) -> Duration {
        let workers = self.shared.workers.iter();
        let ages = workers.map(|worker| worker.heartbeat_age_ms());
        Duration::from_millis(ages.max().unwrap_or_default())
    }

    /// Workers that failed so often that they are restarted no more.
    pub fn given_up_count(&self) -> usize {
        let workers = self.shared.workers.iter();
        let given_up = |worker: &&Arc<Worker>| worker.queue().liveness() == Liveness::GivenUp;
        workers.filter(given_up).count()
    }

    /// Books whose hashes were reproduced once and are not now. They may be live, and
    /// are unverified.
    pub fn formats_unknown(&self) -> u64 {
        self.shared.formats_unknown()
    }

    /// Has a worker's next batch panic in its midst: this is how it is shown that
    /// no reader is lied to when that happens. Does nothing for a number that no
    /// worker has.
    #[cfg(any(test, feature = "fault-injection"))]
    pub fn inject_panic(&self, worker: usize) {
        if let Some(worker) = self.shared.workers.get(worker) {
            worker.books().inject_panic();
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Whether every worker that should run does.
    fn is_healthy(&self) -> bool {
        self.life.is_running() && self.shared.alive() == self.shared.workers.len()
    }

    /// Starts every worker, or none.
    fn start_all(&self) -> Result<Vec<JoinHandle<()>>, ComponentError> {
        let mut threads = Vec::with_capacity(self.shared.workers.len());
        for (number, worker) in self.shared.workers.iter().enumerate() {
            worker.begin(Transition::Start);
            let own = Arc::clone(worker);
            let thread = std::thread::Builder::new()
                .name(format!("polypy-worker-{number}"))
                .spawn(move || own.run());
            match thread {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    self.ask_threads_to_stop();
                    join_all(threads);
                    return Err(ComponentError::new(NAME, error));
                }
            }
        }
        Ok(threads)
    }

    fn ask_threads_to_stop(&self) {
        for worker in &self.shared.workers {
            worker.queue().transit(Transition::Stop);
        }
    }
}

/// A manager that is dropped without being stopped asks its threads to end.
impl Drop for WorkerManager {
    fn drop(&mut self) {
        self.ask_threads_to_stop();
        self.life.read(|running| running.supervisor.abort());
    }
}

impl Component for WorkerManager {
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
            let threads = self.start_all()?;
            let stop = Arc::new(Notify::new());
            let supervisor = Supervisor {
                shared: Arc::clone(&self.shared),
                stop: Arc::clone(&stop),
                failures: vec![VecDeque::new(); self.shared.workers.len()],
                formats_reported: false,
            };
            let supervisor = tokio::spawn(supervisor.run());
            starting.running(Running {
                threads,
                stop,
                supervisor,
            });
            tracing::info!(workers = self.shared.workers.len(), "workers started");
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
            self.ask_threads_to_stop();
            running.stop.notify_one();
            if let Err(error) = running.supervisor.await {
                tracing::error!(%error, "supervisor of the workers failed");
            }
            let threads = running.threads;
            if let Err(error) = tokio::task::spawn_blocking(move || join_all(threads)).await {
                tracing::error!(%error, "worker threads could not be joined");
            }
            for worker in &self.shared.workers {
                worker.discard();
            }
        })
    }

    fn state(&self) -> ComponentState {
        self.life.state()
    }
}

impl HealthSource for WorkerManager {
    fn health(&self) -> Health {
        Health::of(self.is_healthy())
    }
}

type Manager = Entry<WorkerManager>;

static STATE: &[Manager] = &[
    Manager::gauge(
        "alive_count",
        "polypy_workers_running",
        "Workers that run.",
        |manager| manager.alive_count().into(),
    ),
    Manager::shown("is_healthy", "Whether all of them do.", |manager| {
        manager.is_healthy().into()
    }),
];
static WORKERS: &[Manager] = &[
    Manager::gauge("worker_count", "polypy_workers", "Workers.", |manager| {
        manager.shared.workers.len().into()
    }),
    Manager::shown("restarts", "Times a worker was restarted.", |manager| {
        let workers = manager.shared.workers.iter();
        let restarts = workers.map(|worker| worker.stats().restarts.get());
        restarts.sum::<u64>().into()
    }),
];

impl StatsSource for WorkerManager {
    fn show(&self, sheet: &mut dyn Sheet) {
        let workers = &self.shared.workers;
        sheet.table(STATE, self);
        let members = workers.iter().enumerate();
        let members = members.map(|(number, worker)| (number.to_string(), Arc::clone(worker)));
        sheet.each(&Worker::LIST, Worker::ROWS, members);
        sheet.table(WORKERS, self);
        self.store().counts().show(sheet);
        WorkerStats::show_sum(sheet, workers.iter().map(|worker| worker.stats()));
    }
}

/// Restarts workers that fail, until told to stop.
struct Supervisor {
    shared: Arc<Shared>,
    /// Ends it.
    stop: Arc<Notify>,
    /// When each worker failed lately.
    failures: Vec<VecDeque<Instant>>,
    /// Whether the log says that hashes are not reproduced.
    formats_reported: bool,
}

impl Supervisor {
    async fn run(mut self) {
        let mut looks = looks();
        loop {
            tokio::select! {
                () = self.stop.notified() => return,
                () = self.shared.failed.notified() => {}
                _ = looks.tick() => {
                    self.report_formats();
                    continue;
                }
            }
            tokio::select! {
                () = self.stop.notified() => return,
                () = tokio::time::sleep(self.shared.config.restart_delay) => {}
            }
            for number in 0..self.shared.workers.len() {
                if self.shared.workers[number].queue().liveness() == Liveness::Failed {
                    self.restart(number);
                }
            }
        }
    }

    /// Says once that hashes are not reproduced any more, and once that they are.
    fn report_formats(&mut self) {
        let books = self.shared.formats_unknown();
        if books >= MANY_BOOKS && !self.formats_reported {
            self.formats_reported = true;
            tracing::warn!(
                books,
                "the venue's hashes are no longer reproduced: these books are unverified, and checked by top, mirror and audit only"
            );
        } else if books == 0 && self.formats_reported {
            self.formats_reported = false;
            tracing::info!("the venue's hashes are reproduced again");
        }
    }

    fn restart(&mut self, number: usize) {
        let may_restart = self.may_restart(number);
        let worker = &self.shared.workers[number];
        if !may_restart {
            worker.begin(Transition::GiveUp);
            tracing::error!(worker = number, "worker keeps failing and stays down");
            return;
        }
        let assets = worker.begin(Transition::Restart);
        worker.stats().restarts.increment();
        tracing::warn!(worker = number, books = assets.len(), "worker restarted");
        let resync = &self.shared.resync;
        resync.resync(Scope::AllFeeds, &assets, StaleReason::WorkerDied);
    }

    /// Whether the worker has not failed too often lately; counts this failure.
    fn may_restart(&mut self, number: usize) -> bool {
        let (config, now) = (&self.shared.config, Instant::now());
        let failures = &mut self.failures[number];
        failures.retain(|at| now.duration_since(*at) < config.restart_window);
        failures.push_back(now);
        count(failures.len()) <= u64::from(config.restart_limit.get())
    }
}

fn looks() -> Interval {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}

fn join_all(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a worker's thread ended by a panic");
        }
    }
}

#[cfg(test)]
#[path = "manager_tests.rs"]
mod tests;
