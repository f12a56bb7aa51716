//! Starts the worker threads, restarts those that die, joins them all.
//!
//! A dead worker is unhealthy and its books are stale from the moment it dies.
//! The supervisor, one task, restarts it after a moment, marks every book of
//! its partition and asks for fresh ones. A worker that keeps dying stays down.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use polypy_core::{
    BoxFuture, Component, ComponentError, ComponentState, Health, HealthSource, ResyncSink, Scope,
    StaleReason, StatsSource,
};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::WorkersConfig;
use crate::counter::{HistogramSum, count};
use crate::shared::Shared;
use crate::store::BookStore;
use crate::worker;

const NAME: &str = "workers";

/// Owns the worker threads and their books.
#[derive(Debug)]
pub struct WorkerManager {
    shared: Arc<Shared>,
    crew: Arc<Crew>,
    supervision: Mutex<Option<Supervision>>,
}

/// The supervisor's task, and what ends it.
#[derive(Debug)]
struct Supervision {
    stop: Arc<Notify>,
    task: tokio::task::JoinHandle<()>,
}

/// The threads themselves.
#[derive(Debug)]
struct Crew {
    state: Mutex<ComponentState>,
    threads: Mutex<Vec<Option<JoinHandle<()>>>>,
}

impl WorkerManager {
    /// Workers that ask `resync` for what they find missing. They run once
    /// started; readers may ask before.
    pub fn new(config: WorkersConfig, resync: Arc<dyn ResyncSink>) -> Self {
        Self {
            shared: Arc::new(Shared::new(config, resync)),
            crew: Arc::new(Crew {
                state: Mutex::new(ComponentState::Stopped),
                threads: Mutex::default(),
            }),
            supervision: Mutex::default(),
        }
    }

    /// The readers' side of the books.
    pub fn store(&self) -> BookStore {
        BookStore::new(Arc::clone(&self.shared))
    }

    /// Worker threads that run.
    pub fn alive_count(&self) -> usize {
        self.shared.alive()
    }

    /// Makes a worker's thread panic, in the midst of its next batch or at once
    /// when it has none. For drills: this is how it is shown that nobody is
    /// lied to when it happens. Does nothing for a number that no worker has.
    pub fn inject_panic(&self, worker: usize) {
        if let Some(worker) = self.shared.workers.get(worker) {
            worker.lane.want_panic();
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Whether every worker that should run does.
    fn is_healthy(&self) -> bool {
        *self.crew.state.lock() == ComponentState::Running
            && self.shared.alive() == self.shared.workers.len()
    }

    /// Starts every thread, or none.
    fn start_all(&self) -> Result<(), ComponentError> {
        let mut threads = Vec::new();
        for number in 0..self.shared.workers.len() {
            self.shared.workers[number].lane.set_stopping(false);
            match spawn(&self.shared, number) {
                Ok(thread) => threads.push(Some(thread)),
                Err(error) => {
                    *self.crew.threads.lock() = threads;
                    self.ask_threads_to_stop();
                    join_all(&self.crew);
                    return Err(ComponentError::new(NAME, error));
                }
            }
        }
        *self.crew.threads.lock() = threads;
        Ok(())
    }

    fn ask_threads_to_stop(&self) {
        for worker in &self.shared.workers {
            worker.lane.set_stopping(true);
        }
    }
}

/// Whoever drops the manager without stopping it leaves no thread behind.
impl Drop for WorkerManager {
    fn drop(&mut self) {
        self.ask_threads_to_stop();
        if let Some(supervision) = self.supervision.lock().take() {
            supervision.task.abort();
        }
    }
}

impl Component for WorkerManager {
    fn name(&self) -> &'static str {
        NAME
    }

    fn start(&self) -> BoxFuture<'_, Result<(), ComponentError>> {
        Box::pin(async move {
            {
                let mut state = self.crew.state.lock();
                if *state != ComponentState::Stopped {
                    tracing::warn!(component = NAME, state = ?*state, "start while not stopped");
                    return Ok(());
                }
                *state = ComponentState::Starting;
            }
            let started = self.start_all();
            *self.crew.state.lock() = match started {
                Ok(()) => ComponentState::Running,
                Err(_) => ComponentState::Stopped,
            };
            started?;
            let stop = Arc::new(Notify::new());
            let supervisor = Supervisor {
                shared: Arc::clone(&self.shared),
                crew: Arc::clone(&self.crew),
                stop: Arc::clone(&stop),
                deaths: vec![VecDeque::new(); self.shared.workers.len()],
            };
            let task = tokio::spawn(supervisor.run());
            *self.supervision.lock() = Some(Supervision { stop, task });
            tracing::info!(workers = self.shared.workers.len(), "workers started");
            Ok(())
        })
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            {
                let mut state = self.crew.state.lock();
                if *state != ComponentState::Running {
                    tracing::warn!(component = NAME, state = ?*state, "stop while not running");
                    return;
                }
                *state = ComponentState::Stopping;
            }
            self.ask_threads_to_stop();
            let supervision = self.supervision.lock().take();
            if let Some(Supervision { stop, task }) = supervision {
                stop.notify_one();
                if let Err(error) = task.await {
                    tracing::error!(%error, "supervisor of the workers failed");
                }
            }
            let crew = Arc::clone(&self.crew);
            if let Err(error) = tokio::task::spawn_blocking(move || join_all(&crew)).await {
                tracing::error!(%error, "worker threads could not be joined");
            }
            for worker in &self.shared.workers {
                let left = worker.lane.discard();
                worker.stats.lost.add(count(left));
            }
            *self.crew.state.lock() = ComponentState::Stopped;
        })
    }

    fn state(&self) -> ComponentState {
        *self.crew.state.lock()
    }
}

impl HealthSource for WorkerManager {
    fn health(&self) -> Health {
        Health::of(self.is_healthy())
    }
}

impl StatsSource for WorkerManager {
    fn stats(&self) -> Value {
        let mut by_worker = Map::new();
        let mut events = Map::new();
        let mut integrity = Map::new();
        let mut restarts = 0;
        let (mut doubt, mut stale) = (HistogramSum::default(), HistogramSum::default());
        for (number, worker) in self.shared.workers.iter().enumerate() {
            by_worker.insert(
                number.to_string(),
                worker.stats.to_json(worker.lane.is_alive()),
            );
            worker.stats.events.add_to(&mut events);
            worker.stats.integrity.add_to(&mut integrity);
            worker.stats.doubt_time.add_to(&mut doubt);
            worker.stats.stale_time.add_to(&mut stale);
            restarts += worker.stats.restarts.get();
        }
        for (name, sum) in [("doubt", doubt), ("stale", stale)] {
            integrity.insert(format!("{name}_p50_ms"), sum.percentile_ms(50).into());
            integrity.insert(format!("{name}_p99_ms"), sum.percentile_ms(99).into());
            integrity.insert(format!("{name}_mean_ms"), sum.mean_ms().into());
        }
        json!({
            "alive_count": self.alive_count(),
            "is_healthy": self.is_healthy(),
            "worker_stats": by_worker,
            "worker_count": self.shared.workers.len(),
            "restarts": restarts,
            "books": self.store().counts().to_json(),
            "events": events,
            "integrity": integrity,
        })
    }
}

/// Restarts what dies, until told to stop.
struct Supervisor {
    shared: Arc<Shared>,
    crew: Arc<Crew>,
    /// Ends it.
    stop: Arc<Notify>,
    /// When each worker was restarted lately.
    deaths: Vec<VecDeque<Instant>>,
}

impl Supervisor {
    async fn run(mut self) {
        loop {
            tokio::select! {
                () = self.stop.notified() => return,
                () = self.shared.died.notified() => {}
            }
            tokio::select! {
                () = self.stop.notified() => return,
                () = tokio::time::sleep(self.shared.config.restart_delay) => {}
            }
            for number in 0..self.shared.workers.len() {
                if !self.shared.workers[number].lane.is_alive() {
                    self.restart(number);
                }
            }
        }
    }

    fn restart(&mut self, number: usize) {
        // A worker that was given up has no thread any more.
        let Some(dead) = self.crew.threads.lock()[number].take() else {
            return;
        };
        tracing::error!(worker = number, cause = ?cause_of(dead), "worker died");
        let shared = Arc::clone(&self.shared);
        let worker = &shared.workers[number];
        let assets = {
            let mut partition = worker.partition.lock();
            // With the partition, lest a batch that another thread applies be
            // taken for the dead one's.
            worker.stats.lost.add(count(worker.lane.abandon()));
            partition.recover(worker.lane.stamp(), std::time::Instant::now())
        };
        if !self.may_restart(number) {
            worker.lane.give_up();
            tracing::error!(worker = number, "worker keeps dying and stays down");
            return;
        }
        match spawn(&self.shared, number) {
            Ok(thread) => {
                self.crew.threads.lock()[number] = Some(thread);
                worker.stats.restarts.increment();
                tracing::warn!(worker = number, books = assets.len(), "worker restarted");
                let resync = &self.shared.resync;
                resync.resync(Scope::AllFeeds, &assets, StaleReason::WorkerDied);
            }
            Err(error) => {
                worker.lane.give_up();
                tracing::error!(worker = number, %error, "worker stays down");
            }
        }
    }

    /// Whether the worker has not been restarted too often lately; counts this one.
    fn may_restart(&mut self, number: usize) -> bool {
        let (config, now) = (&self.shared.config, Instant::now());
        let deaths = &mut self.deaths[number];
        deaths.retain(|at| now.duration_since(*at) < config.restart_window);
        deaths.push_back(now);
        count(deaths.len()) <= u64::from(config.restart_limit.get())
    }
}

/// Starts a worker's thread. It counts as alive from here on.
fn spawn(shared: &Arc<Shared>, number: usize) -> io::Result<JoinHandle<()>> {
    let lane = &shared.workers[number].lane;
    lane.set_alive(true);
    let own = Arc::clone(shared);
    let thread = std::thread::Builder::new()
        .name(format!("polypy-worker-{number}"))
        .spawn(move || worker::run(&own, number));
    if thread.is_err() {
        lane.set_alive(false);
    }
    thread
}

/// What a dead thread panicked with. Waits for its last moments.
fn cause_of(thread: JoinHandle<()>) -> String {
    match thread.join() {
        Ok(()) => "it ended unasked".into(),
        Err(payload) => {
            let text = payload.downcast_ref::<&str>().map(ToString::to_string);
            text.or_else(|| payload.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "a panic without a message".into())
        }
    }
}

fn join_all(crew: &Crew) {
    let threads: Vec<_> = crew.threads.lock().drain(..).flatten().collect();
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("worker died while it was to end");
        }
    }
}

#[cfg(test)]
#[path = "manager_tests.rs"]
mod tests;
