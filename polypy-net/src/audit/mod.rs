//! The slow check that finds silent tokens: every book against CLOB's, in turn.
//!
//! A token whose changes never arrive says nothing, and nothing that arrives can
//! contradict its book. So the auditor asks CLOB REST for the books of all
//! subscribed assets, a chunk at a time, spread evenly over its period, and
//! hands each answer to the workers, which compare it with what they hold by
//! hash. It judges nothing and applies nothing. Assets of which the venue has no
//! book are named to discovery, which asks whether their market has ended; one
//! of which it has none time and again is resubscribed, for then the feed
//! says whether it still has one. Beside its rounds it compares at once what was
//! asked for before its turn ([`EarlyAudits`]).

mod stats;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use polypy_core::metrics::{Sheet, count, millis};
use polypy_core::{
    AssetId, AssetKey, AuditSink, BoxFuture, Component, ComponentError, ComponentState,
    HealthSource, Purpose, ResyncSink, Scope, StaleReason, StatsSource,
};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::clob::{BookFetch, Fetched};
use crate::early_audit::EarlyAudits;
use crate::reason::chain;
use crate::registry::{AssetRegistry, AssetStatus};
use crate::task::TaskLife;
use crate::venue::LifecycleListener;

use stats::Counters;

/// How thoroughly books are audited, and at what cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditConfig {
    /// The time over which every book is compared once. The venue's 93,000
    /// tokens make 930 requests; over five minutes that is three a second, of
    /// the fifty it allows.
    pub period: Duration,
    /// Assets in one request.
    pub chunk: usize,
    /// Shortest time between two requests, should the catalogue outgrow the period.
    pub pace: Duration,
    /// Shortest time between two sweeps of a small catalogue.
    pub rest: Duration,
    /// What one request may take.
    pub deadline: Duration,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            period: Duration::from_secs(300),
            chunk: 100,
            // A fifth of what the venue allows for `/books`: resyncs come first.
            pace: Duration::from_millis(100),
            rest: Duration::from_secs(1),
            deadline: Duration::from_secs(30),
        }
    }
}

/// Rounds in a row without a book after which the feed is asked. One may meet a
/// market in the moment of its ending; a power of two.
const DENIALS: u32 = 2;

/// Compares every book with CLOB's, slowly and for ever.
pub struct BookAuditor {
    work: Arc<Work>,
    life: TaskLife,
}

struct Work {
    config: AuditConfig,
    registry: Arc<AssetRegistry>,
    books: Arc<dyn BookFetch>,
    sink: Arc<dyn AuditSink>,
    lifecycle: Arc<dyn LifecycleListener>,
    resync: Arc<dyn ResyncSink>,
    early: Arc<EarlyAudits>,
    /// Rounds in a row in which the venue had no book, by asset.
    denials: Mutex<HashMap<AssetKey, u32>>,
    /// No answer came last.
    is_failing: AtomicBool,
    counters: Counters,
}

impl std::fmt::Debug for BookAuditor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BookAuditor")
            .field("state", &self.state())
            .field("counters", &self.work.counters)
            .finish_non_exhaustive()
    }
}

impl BookAuditor {
    /// An auditor of what `registry` has subscribed.
    pub fn new(
        config: AuditConfig,
        registry: Arc<AssetRegistry>,
        books: Arc<dyn BookFetch>,
        sink: Arc<dyn AuditSink>,
        lifecycle: Arc<dyn LifecycleListener>,
        resync: Arc<dyn ResyncSink>,
        early: Arc<EarlyAudits>,
    ) -> Self {
        Self {
            work: Arc::new(Work {
                config,
                registry,
                books,
                sink,
                lifecycle,
                resync,
                early,
                denials: Mutex::default(),
                is_failing: AtomicBool::new(false),
                counters: Counters::default(),
            }),
            life: TaskLife::default(),
        }
    }
}

impl Work {
    async fn run(self: Arc<Self>, mut stop: oneshot::Receiver<()>) {
        tokio::select! {
            biased;
            // A dropped sender means the same.
            _ = &mut stop => {}
            () = self.sweep_for_ever() => {}
            () = self.compare_early_for_ever() => {}
        }
    }

    /// What was asked for before its turn. It keeps a pace of its own: together
    /// with the rounds two fifths of what the venue allows.
    async fn compare_early_for_ever(&self) {
        loop {
            let due = self.early.due(self.config.chunk).await;
            let assets = self.known(due);
            if !assets.is_empty() {
                // Not a round: a denial here says nothing about the rounds.
                self.compare(&assets).await;
                sleep(self.config.pace).await;
            }
        }
    }

    async fn sweep_for_ever(&self) {
        loop {
            let began = Instant::now();
            self.sweep().await;
            let left = self.config.period.saturating_sub(began.elapsed());
            // A catalogue of one chunk has no pauses of its own.
            sleep(left.max(self.config.rest)).await;
        }
    }

    /// Every subscribed asset once.
    async fn sweep(&self) {
        let began = Instant::now();
        let assets = self.subscribed();
        if assets.is_empty() {
            return;
        }
        {
            let known: HashSet<AssetKey> = assets.iter().map(|(key, _)| *key).collect();
            self.denials.lock().retain(|key, _| known.contains(key));
        }
        let chunks = assets.len().div_ceil(self.config.chunk.max(1));
        let chunks = u32::try_from(chunks).unwrap_or(u32::MAX);
        let pause = (self.config.period / chunks).max(self.config.pace);
        for (at, chunk) in assets.chunks(self.config.chunk.max(1)).enumerate() {
            if at > 0 {
                sleep(pause).await;
            }
            let compared = self.compare(chunk).await;
            let doubted = self.note_denials(&compared);
            if !doubted.is_empty() {
                self.counters.resubscribed.add_shared(count(doubted.len()));
                self.resync
                    .resync(Scope::AllFeeds, &doubted, StaleReason::Silent);
            }
        }
        self.counters.sweeps.add_shared(1);
        let took = millis(began.elapsed());
        self.counters.last_sweep_ms.set(took);
    }

    fn subscribed(&self) -> Vec<(AssetKey, AssetId)> {
        let mut assets = Vec::new();
        for condition in self.registry.live_conditions() {
            assets.extend(self.known(self.registry.assets_of(&condition)));
        }
        assets
    }

    /// Those of them that are subscribed, with their ids.
    fn known(&self, keys: Vec<AssetKey>) -> Vec<(AssetKey, AssetId)> {
        let mut assets: Vec<_> = {
            let interner = self.registry.interner().read();
            let with_id = |key| Some((key, interner.info(key)?.asset_id.clone()));
            keys.into_iter().filter_map(with_id).collect()
        };
        assets.retain(|(key, _)| self.registry.status(*key) == Some(AssetStatus::Subscribed));
        assets
    }

    async fn compare(&self, chunk: &[(AssetKey, AssetId)]) -> Compared {
        let ids: Vec<AssetId> = chunk.iter().map(|(_, id)| id.clone()).collect();
        self.counters.requests.add_shared(1);
        let requested = Instant::now().into_std();
        let answer = self
            .books
            .books(&ids, self.registry.interner(), Purpose::Audit);
        let Fetched {
            books,
            unanswered,
            failure,
        } = match timeout(self.config.deadline, answer).await {
            Ok(fetched) => fetched,
            Err(_elapsed) => {
                self.counters.unanswered.add_shared(count(chunk.len()));
                self.note_failure(Some("no answer in time".to_owned()));
                return Compared::default();
            }
        };
        self.note_failure(failure.map(|error| chain(&error)));
        self.counters.unanswered.add_shared(count(unanswered.len()));
        // No answer is no news of a token.
        let unanswered: HashSet<AssetId> = unanswered.into_iter().collect();
        let there: HashSet<AssetKey> = books.iter().map(|book| book.info.key).collect();
        let missing: Vec<AssetKey> = chunk
            .iter()
            .filter(|(key, id)| !there.contains(key) && !unanswered.contains(id))
            .map(|(key, _)| *key)
            .collect();
        self.counters.compared.add_shared(count(books.len()));
        for book in books {
            self.sink.audit(Box::new(book), requested);
        }
        if !missing.is_empty() {
            self.counters.missing.add_shared(count(missing.len()));
            self.lifecycle.confirm_gone(&missing);
        }
        Compared { there, missing }
    }
}

/// What the venue said of a chunk; of neither what it did not answer for.
#[derive(Debug, Default)]
struct Compared {
    there: HashSet<AssetKey>,
    missing: Vec<AssetKey>,
}

impl Work {
    /// Counts rounds without a book; those that have had enough of them.
    fn note_denials(&self, compared: &Compared) -> Vec<AssetKey> {
        let mut denials = self.denials.lock();
        denials.retain(|key, _| !compared.there.contains(key));
        let mut doubted = Vec::new();
        for key in &compared.missing {
            let rounds = denials.entry(*key).or_default();
            *rounds = rounds.saturating_add(1);
            // Ever more seldom: REST may be what is wrong.
            if *rounds >= DENIALS && rounds.is_power_of_two() {
                doubted.push(*key);
            }
        }
        doubted
    }

    /// Counts a failure; the first of several is told, and their end.
    fn note_failure(&self, error: Option<String>) {
        let is_failing = error.is_some();
        let was_failing = self.is_failing.swap(is_failing, Ordering::Relaxed);
        if let Some(error) = error {
            self.counters.failures.add_shared(1);
            if !was_failing {
                tracing::warn!(error, "audit cannot fetch books");
            }
        } else if was_failing {
            tracing::info!("audit fetches books again");
        }
    }
}

impl Component for BookAuditor {
    fn name(&self) -> &'static str {
        "audit"
    }

    fn start(&self) -> BoxFuture<'_, Result<(), ComponentError>> {
        Box::pin(async {
            self.life
                .start("audit", |stop| Arc::clone(&self.work).run(stop));
            Ok(())
        })
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.life.stop("audit"))
    }

    fn state(&self) -> ComponentState {
        self.life.state()
    }
}

impl HealthSource for BookAuditor {
    fn health(&self) -> polypy_core::Health {
        polypy_core::Health::of(self.state() == ComponentState::Running)
    }
}

impl StatsSource for BookAuditor {
    fn show(&self, sheet: &mut dyn Sheet) {
        let Work {
            counters, early, ..
        } = &*self.work;
        counters.show(early.requested(), sheet);
    }
}

#[cfg(test)]
mod tests;
