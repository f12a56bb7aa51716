//! The hub as a part of the program: its thread, its start and its end.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use polypy_core::{
    BoxFuture, CatalogueSink, CatalogueSource, ChangeSink, ChangeSource, Clock, Component,
    ComponentError, ComponentState, Lifecycle, StatsSource, SuspensionWatch,
};

use crate::client::{Command, Shared, Streams};
use crate::config::StreamConfig;
use crate::cursor::Instance;
use crate::hub::{Asked, Brought, Hub, Lanes, Markets, Numbers};
use crate::message::Closing;

const NAME: &str = "stream";

/// Between two rounds while there is something to do.
const ROUND: Duration = Duration::from_micros(500);
/// So long after the last change the hub goes on looking before it sleeps.
const AWAKE: Duration = Duration::from_millis(2);
/// Longest sleep: the hub looks at workers and at what is due.
const SLEEP: Duration = Duration::from_millis(10);
/// Between two stats.
const STATS: Duration = Duration::from_secs(1);

/// The hub of the streams, as a part of the program.
///
/// Made before the workers, which write into [`sink`](Self::sink), and connected with
/// them before it is started.
pub struct StreamHub {
    brought: Brought,
    numbers: Arc<Numbers>,
    asked: Mutex<Option<Asked>>,
    /// Shows what the channel `stats` brings.
    stats: Mutex<Option<Arc<dyn Fn() -> String + Send + Sync>>>,
    life: Lifecycle<Life>,
}

/// What runs.
struct Life {
    thread: JoinHandle<()>,
    stop: Arc<AtomicBool>,
    stats: tokio::task::JoinHandle<()>,
}

impl StreamHub {
    /// A hub for so many workers, which tells its clients that `server` serves.
    pub fn new(config: StreamConfig, lanes: u16, server: &str) -> Self {
        let (entries, bytes) = (config.lane_entries, config.lane_book_bytes);
        let shared = Arc::new(Shared::new(config, server));
        let waker = Arc::clone(&shared.waker);
        let lanes = Arc::new(Lanes::new(lanes, entries, bytes, Arc::clone(&waker)));
        let markets = Arc::new(Markets::new(waker));
        Self {
            brought: Brought {
                lanes,
                markets,
                shared,
            },
            numbers: Arc::default(),
            asked: Mutex::default(),
            stats: Mutex::default(),
            life: Lifecycle::default(),
        }
    }

    /// Where the workers write.
    pub fn sink(&self) -> Arc<dyn ChangeSink> {
        Arc::clone(&self.brought.lanes) as Arc<dyn ChangeSink>
    }

    /// Where discovery says what happens to markets.
    pub fn market_sink(&self) -> Arc<dyn CatalogueSink> {
        Arc::clone(&self.brought.markets) as Arc<dyn CatalogueSink>
    }

    /// Whom it asks: who says which books are followed, the catalogue, the wall clock,
    /// and whether the process stood still.
    pub fn connect(
        &self,
        changes: Arc<dyn ChangeSource>,
        catalogue: Arc<dyn CatalogueSource>,
        clock: Arc<dyn Clock>,
        suspension: Arc<SuspensionWatch>,
    ) {
        *self.asked.lock() = Some(Asked {
            changes,
            catalogue,
            clock,
            suspension,
        });
    }

    /// Gives the JSON object that the channel `stats` brings. Asked once a second while
    /// somebody wants it, on a thread that may wait.
    pub fn show_stats(&self, stats: impl Fn() -> String + Send + Sync + 'static) {
        *self.stats.lock() = Some(Arc::new(stats));
    }

    /// Where clients are opened.
    pub fn streams(&self) -> Streams {
        Streams::new(Arc::clone(&self.brought.shared))
    }

    pub(crate) fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.brought.shared
    }

    fn begin(&self) -> Result<Life, ComponentError> {
        let asked = self.asked.lock().clone();
        let asked = asked.ok_or_else(|| ComponentError::new(NAME, "it is not connected"))?;
        let stop = Arc::new(AtomicBool::new(false));
        let thread = HubThread {
            asked,
            brought: self.brought.clone(),
            numbers: Arc::clone(&self.numbers),
            stop: Arc::clone(&stop),
        };
        // From here on clients can be opened: the thread takes them in its first round.
        let instance = new_instance();
        self.brought.shared.begin(instance);
        let thread = std::thread::Builder::new()
            .name("polypy-stream".to_owned())
            .spawn(move || thread.run(instance))
            .map_err(|error| ComponentError::new(NAME, error))?;
        let stats = show_stats(Arc::clone(&self.brought.shared), self.stats.lock().clone());
        Ok(Life {
            thread,
            stop,
            stats: tokio::spawn(stats),
        })
    }

    /// Asks what runs to end.
    fn end(&self, life: &Life) {
        life.stop.store(true, Ordering::SeqCst);
        self.brought.shared.waker.wake();
        life.stats.abort();
    }
}

fn new_instance() -> Instance {
    Instance(fastrand::u64(..))
}

/// Brings the stats once a second while somebody wants them.
async fn show_stats(shared: Arc<Shared>, show: Option<Arc<dyn Fn() -> String + Send + Sync>>) {
    let Some(show) = show else { return };
    let mut ticks = tokio::time::interval(STATS);
    loop {
        ticks.tick().await;
        // A hub that has not taken the last ones gets no more.
        if !shared.wants_stats() || shared.has_commands() {
            continue;
        }
        let show = Arc::clone(&show);
        if let Ok(stats) = tokio::task::spawn_blocking(move || show()).await {
            shared.ask(Command::Stats {
                stats: stats.into(),
            });
        }
    }
}

/// What the hub's thread holds.
struct HubThread {
    asked: Asked,
    brought: Brought,
    numbers: Arc<Numbers>,
    stop: Arc<AtomicBool>,
}

impl HubThread {
    /// Rounds until it is to stop. A hub that panics ends its clients, who come back, and
    /// another one begins.
    fn run(&self, first: Instance) {
        self.brought.shared.waker.adopt();
        let mut instance = first;
        while !self.is_stopping() {
            let rounds = AssertUnwindSafe(|| self.rounds(instance));
            if catch_unwind(rounds).is_err() {
                self.numbers.restarts.add_shared(1);
                tracing::error!("the streams' hub failed by a defect: clients end and come back");
                let shared = &self.brought.shared;
                shared.end(Closing::LATER, "the stream is restarted after a defect");
                instance = new_instance();
                shared.begin(instance);
            }
        }
        let shared = &self.brought.shared;
        shared.end(Closing::AWAY, "the server is stopping");
    }

    fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    fn rounds(&self, instance: Instance) {
        let mut hub = Hub::new(
            instance,
            self.asked.clone(),
            self.brought.clone(),
            Arc::clone(&self.numbers),
            Instant::now(),
        );
        let mut last_work = Instant::now();
        while !self.is_stopping() {
            let now = Instant::now();
            if hub.step(now) {
                last_work = now;
            }
            if now.saturating_duration_since(last_work) < AWAKE {
                std::thread::sleep(ROUND);
            } else {
                let waker = &self.brought.shared.waker;
                waker.park(SLEEP, || self.brought.has_any() || self.is_stopping());
            }
        }
    }
}

impl Component for StreamHub {
    fn name(&self) -> &'static str {
        NAME
    }

    fn start(&self) -> BoxFuture<'_, Result<(), ComponentError>> {
        Box::pin(async move {
            match self.life.begin_start() {
                Ok(starting) => starting.running(self.begin()?),
                Err(state) => {
                    let state = state.name();
                    tracing::warn!(component = NAME, state, "start while not stopped");
                }
            }
            Ok(())
        })
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let (_stopping, life) = match self.life.begin_stop() {
                Ok(begun) => begun,
                Err(state) => {
                    let state = state.name();
                    tracing::warn!(component = NAME, state, "stop while not running");
                    return;
                }
            };
            self.end(&life);
            let thread = life.thread;
            let joined = tokio::task::spawn_blocking(move || thread.join().is_ok()).await;
            if !matches!(joined, Ok(true)) {
                tracing::error!("the streams' thread ended by a panic");
            }
        })
    }

    fn state(&self) -> ComponentState {
        self.life.state()
    }
}

/// A hub that is dropped without being stopped asks its thread to end.
impl Drop for StreamHub {
    fn drop(&mut self) {
        self.life.read(|life| self.end(life));
    }
}

impl fmt::Debug for StreamHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamHub")
            .field("state", &self.life.state())
            .finish_non_exhaustive()
    }
}

/// What `/stats` shows of it.
impl StatsSource for StreamHub {
    fn show(&self, sheet: &mut dyn polypy_core::metrics::Sheet) {
        crate::stats::show(self, sheet);
    }
}

#[cfg(test)]
#[path = "component_tests.rs"]
mod tests;
