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
use tokio::time::MissedTickBehavior;

use crate::client::{Command, Shared, Streams, Told};
use crate::config::StreamConfig;
use crate::cursor::Instance;
use crate::filter::Channel;
use crate::hub::{Asked, Brought, Hub, Lanes, Markets, Numbers, Rest};
use crate::message::Closing;
use crate::samples::{Samples, Watched};
use crate::waker::Wakes;

const NAME: &str = "stream";

/// Between two samples.
const SECOND: Duration = Duration::from_secs(1);

/// The hub of the streams, as a part of the program.
///
/// Made before the workers, which write into [`sink`](Self::sink), and connected with
/// them before it is started.
pub struct StreamHub {
    brought: Brought,
    numbers: Arc<Numbers>,
    asked: Mutex<Option<Asked>>,
    /// What the channels `health` and `stats` bring.
    samples: Arc<Samples>,
    life: Lifecycle<Life>,
}

/// What runs.
struct Life {
    thread: JoinHandle<()>,
    stop: Arc<AtomicBool>,
    telling: tokio::task::JoinHandle<()>,
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
            samples: Arc::default(),
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

    /// Of whom samples are taken, once a second from the start on; the channels `health`
    /// and `stats` bring what these say of themselves.
    pub fn watch(&self, watched: Watched) {
        self.samples.watch(watched);
    }

    /// What the program has said of itself.
    pub fn samples(&self) -> Arc<Samples> {
        Arc::clone(&self.samples)
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
        let instance = Instance::random();
        self.brought.shared.begin(instance);
        let thread = std::thread::Builder::new()
            .name("polypy-stream".to_owned())
            .spawn(move || thread.run(instance))
            .map_err(|error| ComponentError::new(NAME, error))?;
        let telling = tell(Arc::clone(&self.brought.shared), self.samples());
        Ok(Life {
            thread,
            stop,
            telling: tokio::spawn(telling),
        })
    }

    /// Asks what runs to end.
    fn end(&self, life: &Life) {
        life.stop.store(true, Ordering::SeqCst);
        self.brought.shared.waker.wake();
        life.telling.abort();
    }
}

/// Takes a sample once a second, and brings what somebody wants of it.
async fn tell(shared: Arc<Shared>, samples: Arc<Samples>) {
    let mut ticks = tokio::time::interval(SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        samples.take(Instant::now());
        // A hub that has not taken the last ones gets no more.
        if shared.has_commands() {
            continue;
        }
        if shared.wants(Channel::Health)
            && let Some(told) = samples.told()
        {
            shared.ask(Command::Tell(told));
        }
        if shared.wants(Channel::Stats) {
            let samples = Arc::clone(&samples);
            let stats = tokio::task::spawn_blocking(move || samples.stats_json());
            if let Ok(Some(stats)) = stats.await {
                shared.ask(Command::Tell(Told::Stats(stats.into())));
            }
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
                instance = Instance::random();
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
        while !self.is_stopping() {
            hub.step(Instant::now());
            self.rest(hub.rest(Instant::now()));
        }
    }

    fn rest(&self, rest: Rest) {
        let shared = &self.brought.shared;
        match rest {
            Rest::Sleep(time) => std::thread::sleep(time),
            Rest::UntilChange(most) => {
                let has_work = || self.brought.has_any() || self.is_stopping();
                shared.waker.park(Wakes::Changes, most, has_work);
            }
            Rest::UntilAsked(most) => {
                let has_work = || shared.has_commands() || self.is_stopping();
                shared.waker.park(Wakes::Asking, most, has_work);
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
