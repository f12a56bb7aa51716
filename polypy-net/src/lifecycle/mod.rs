//! Which markets there are, from the first sight of them to the last.
//!
//! [`LifecycleController`] runs five tasks over one shared state, a file each:
//!
//! | task | does |
//! |---|---|
//! | `discovery` | lists all open markets, again and again; notices which are missing |
//! | `hints` | takes what the feed announces: new markets, resolved ones |
//! | `lookup` | asks Gamma for single markets: announced, missing, or said to be gone |
//! | `expiry` | forgets ended markets after a while, everywhere |
//! | `changes` | changes which markets are followed, and judges them again after each round |
//!
//! What they decide is done in one place, `selecting`, under one lock.
//!
//! A market ends for one of two reasons: it was resolved, or Gamma calls it
//! closed (`closing`: where Gamma calls many closed, the CLOB has to agree, and
//! one that is open again comes back). Its end date ends nothing (trading goes on
//! after it), nor does its absence from a listing, nor a failed or short listing:
//! those lead to look-ups at most. One that the whole venue denies for long
//! enough is unknown (`absent`): taken off, and not settled. Nobody here
//! subscribes: the pool does, from the registry.

mod absent;
mod additions;
mod budget;
mod changes;
mod closing;
mod discovery;
mod expiry;
mod hints;
mod lookup;
mod plan;
mod selecting;
mod stats;

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use polypy_core::catalogue::{Selection, VerdictCounts};
use polypy_core::metrics::Sheet;
use polypy_core::{
    BookControl, BoxFuture, CatalogueSink, Clock, Component, ComponentError, ComponentState,
    Health, HealthSource, Lifecycle, LifecycleEvent, StatsSource,
};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::clob::BookFetch;
use crate::gamma::GammaClient;
use crate::registry::AssetRegistry;
use crate::task::{not_started, not_stopped};

use absent::Delistings;
use additions::Additions;
pub use budget::SocketBudget;
use changes::{CHANGES, Change};
pub use changes::{Keep, LISTING_PATIENCE, SelectError, Selected};
use closing::Closings;
use expiry::RetentionQueue;
pub use hints::LifecycleHints;
use lookup::Lookups;
use selecting::Selecting;
use stats::LifecycleStats;

const NAME: &str = "lifecycle";

/// The name of events that say how far a start has come. A log that stands beside something that
/// shows it may leave them out.
pub const START_PROGRESS: &str = "start progress";

/// When things are asked and forgotten.
#[derive(Debug, Clone)]
pub struct LifecycleConfig {
    /// Pause between two listings. Announcements on the feed are faster; this
    /// is what catches those that were missed.
    pub discovery_interval: Duration,
    /// Which markets are followed, at first ([`LifecycleController::select`]).
    pub selection: Selection,
    /// What the markets that are followed may take of connections; no bound if there is
    /// none.
    pub sockets: Option<SocketBudget>,
    /// How long an ended market stays readable.
    pub forget_after: Duration,
    /// Announcements queued at most. The venue's busiest minute had 566.
    pub hint_queue: usize,
}

impl Default for LifecycleConfig {
    fn default() -> Self {
        Self {
            discovery_interval: Duration::from_secs(60),
            selection: Selection::default(),
            sockets: None,
            forget_after: Duration::from_secs(3_600),
            hint_queue: 4_096,
        }
    }
}

/// Finds markets and ends them.
pub struct LifecycleController {
    shared: Arc<Shared>,
    hints: LifecycleHints,
    /// Held by the task that reads it, for as long as it runs.
    announced: Arc<tokio::sync::Mutex<mpsc::Receiver<LifecycleEvent>>>,
    life: Lifecycle<Running>,
}

/// Dropping it aborts the tasks.
struct Running {
    stop: watch::Sender<bool>,
    changes: mpsc::Sender<Change>,
    tasks: JoinSet<()>,
    /// A task has ended that was not told to.
    has_failed: Arc<AtomicBool>,
}

/// What the tasks work on.
struct Shared {
    config: LifecycleConfig,
    gamma: GammaClient,
    clob: Arc<dyn BookFetch>,
    registry: Arc<AssetRegistry>,
    books: Arc<dyn BookControl>,
    /// Who is told what happens to markets.
    told: Vec<Arc<dyn CatalogueSink>>,
    clock: Arc<dyn Clock>,
    selecting: Selecting,
    /// What is followed is to be judged again.
    reviews: Notify,
    /// There was a complete listing since the last review.
    is_listed_anew: AtomicBool,
    /// The venue was listed to its end.
    is_listed: watch::Sender<bool>,
    lookups: Lookups,
    retention: RetentionQueue,
    delistings: Delistings,
    closings: Closings,
    additions: Additions,
    /// Whether announcements come: a connection is open that brings them.
    is_heard: OnceLock<Box<dyn Fn() -> bool + Send + Sync>>,
    stats: LifecycleStats,
}

impl Shared {
    /// Whether what the venue announces is heard at this moment.
    fn is_heard(&self) -> bool {
        self.is_heard.get().is_some_and(|is_heard| is_heard())
    }
}

impl fmt::Debug for LifecycleController {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LifecycleController")
            .field("config", &self.shared.config)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl LifecycleController {
    /// A controller that writes markets into `registry` and tells `books`
    /// which of them are settled or forgotten, and each of `told`, in that order, what
    /// happens to them. `clob` is asked where Gamma alone is not enough.
    pub fn new(
        config: LifecycleConfig,
        gamma: GammaClient,
        clob: Arc<dyn BookFetch>,
        registry: Arc<AssetRegistry>,
        books: Arc<dyn BookControl>,
        told: Vec<Arc<dyn CatalogueSink>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(config.hint_queue.max(1));
        let shared = Arc::new(Shared {
            selecting: Selecting::new(config.selection.clone()),
            reviews: Notify::new(),
            is_listed_anew: AtomicBool::new(false),
            is_listed: watch::Sender::new(false),
            config,
            gamma,
            clob,
            registry,
            books,
            told,
            clock,
            lookups: Lookups::default(),
            retention: RetentionQueue::default(),
            delistings: Delistings::default(),
            closings: Closings::default(),
            additions: Additions::default(),
            is_heard: OnceLock::new(),
            stats: LifecycleStats::default(),
        });
        Self {
            hints: LifecycleHints::new(Arc::clone(&shared), sender),
            shared,
            announced: Arc::new(tokio::sync::Mutex::new(receiver)),
            life: Lifecycle::failing_when(|running: &Running| {
                running.has_failed.load(Ordering::Relaxed)
            }),
        }
    }

    /// Where connections say what they hear about markets. Works at any moment;
    /// what is said while stopped is read after the start.
    pub fn hints(&self) -> LifecycleHints {
        self.hints.clone()
    }

    /// Says how it is learned whether announcements come at a moment: whether a
    /// connection is open. The first word counts; without one none comes, and each round
    /// of discovery is a listing.
    pub fn heard_if(&self, is_heard: impl Fn() -> bool + Send + Sync + 'static) {
        if self.shared.is_heard.set(Box::new(is_heard)).is_err() {
            tracing::debug!("it is known already whether announcements come");
        }
    }

    /// How many of the listed markets that are open are followed, and how many are not.
    pub fn verdicts(&self) -> VerdictCounts {
        self.shared.selecting.counts()
    }

    /// Tokens that a change or a review has added within a minute, and whose books may be on
    /// their way.
    pub fn recently_added(&self) -> usize {
        self.shared.additions.count(Instant::now())
    }

    /// Whether a crawl of the catalogue has succeeded since it was made.
    pub fn has_discovered(&self) -> bool {
        self.shared.stats.has_succeeded()
    }

    /// Whether the venue was listed to its end since it was made.
    pub fn has_listed(&self) -> bool {
        *self.shared.is_listed.borrow()
    }

    /// Waits until it was.
    pub fn listed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut is_listed = self.shared.is_listed.subscribe();
        // Held here, or nobody would be left to say it.
        let shared = Arc::clone(&self.shared);
        async move {
            if is_listed.wait_for(|is_listed| *is_listed).await.is_err() {
                tracing::debug!("the venue is listed by nobody any more");
            }
            drop(shared);
        }
    }

    fn spawn(&self) -> Running {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let (shared, has_failed) = (&self.shared, Arc::default());
        let run =
            |work: BoxFuture<'static, ()>| watched(Arc::clone(&has_failed), stopped.clone(), work);
        tasks.spawn(run(Box::pin(discovery::run(Arc::clone(shared)))));
        tasks.spawn(run(Box::pin(lookup::run(Arc::clone(shared)))));
        tasks.spawn(run(Box::pin(expiry::run(Arc::clone(shared)))));
        tasks.spawn(run(Box::pin(hints::run(
            Arc::clone(shared),
            Arc::clone(&self.announced),
        ))));
        let (sender, asked) = mpsc::channel(CHANGES);
        tasks.spawn(run(Box::pin(changes::run(Arc::clone(shared), asked))));
        Running {
            stop,
            changes: sender,
            tasks,
            has_failed,
        }
    }
}

/// Does `work` until told to stop, wherever it is then. Work that ends by
/// itself, or by panic, is a failure of the component; being aborted is not.
async fn watched(
    has_failed: Arc<AtomicBool>,
    mut stopped: watch::Receiver<bool>,
    work: impl Future<Output = ()>,
) {
    struct OnPanic(Arc<AtomicBool>);
    impl Drop for OnPanic {
        fn drop(&mut self) {
            if std::thread::panicking() {
                self.0.store(true, Ordering::Relaxed);
            }
        }
    }
    let on_panic = OnPanic(has_failed);
    tokio::select! {
        biased;
        // An error means that the sender is gone, and so is the component.
        _ = stopped.wait_for(|stopped| *stopped) => {}
        () = work => on_panic.0.store(true, Ordering::Relaxed),
    }
}

impl Component for LifecycleController {
    fn name(&self) -> &'static str {
        NAME
    }

    /// Starts discovery; does not wait for its first result.
    fn start(&self) -> BoxFuture<'_, Result<(), ComponentError>> {
        Box::pin(async {
            match self.life.begin_start() {
                Ok(starting) => starting.running(self.spawn()),
                Err(state) => not_started(NAME, state),
            }
            Ok(())
        })
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            // Also when this future is dropped half-way: the tasks die with it.
            let (_stopping, mut running) = match self.life.begin_stop() {
                Ok(begun) => begun,
                Err(state) => return not_stopped(NAME, state),
            };
            running.stop.send_replace(true);
            while let Some(ended) = running.tasks.join_next().await {
                if let Err(error) = ended {
                    tracing::error!(%error, "lifecycle task ended badly");
                }
            }
        })
    }

    fn state(&self) -> ComponentState {
        self.life.state()
    }
}

impl HealthSource for LifecycleController {
    /// Running, and not without a single successful listing while they fail.
    fn health(&self) -> Health {
        Health::of(self.state() == ComponentState::Running && self.shared.stats.is_hopeful())
    }
}

impl StatsSource for LifecycleController {
    fn show(&self, sheet: &mut dyn Sheet) {
        sheet.table(stats::STATE, self);
        self.shared.show(sheet);
    }
}

/// Why a market ended here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EndReason {
    /// The feed said it is resolved.
    Resolved,
    /// Gamma says it is closed.
    Closed,
    /// Nobody knows it any more.
    Vanished,
}

impl EndReason {
    fn name(self) -> &'static str {
        match self {
            Self::Resolved => "resolved",
            Self::Closed => "closed",
            Self::Vanished => "vanished",
        }
    }
}

#[cfg(test)]
mod budget_tests;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod whole_tests;
