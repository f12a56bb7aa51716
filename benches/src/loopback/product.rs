//! The program's own way: connections, pool, registry, router and workers, put
//! together as the program does, on the runtime that it uses.
//!
//! Discovery, recycling, audits and the HTTP server are left out: they do nothing
//! for a frame.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use polypy_core::{
    AssetId, AssetKey, BoxFuture, Clock, Component, EventSink, FeedId, Interner, LifecycleEvent,
    Market, MarketEvent, Purpose, ResyncSink, StaleReason, StatsSource, Timestamp, Token,
};
use polypy_net::clob::{BookFetch, Fetched};
use polypy_net::connection::ConnectionConfig;
use polypy_net::pool::{ConnectionPool, PoolConfig};
use polypy_net::registry::AssetRegistry;
use polypy_net::resync::{ResyncConfig, ResyncQueue};
use polypy_net::venue::{LifecycleListener, Venue};
use polypy_net::wire::WireStats;
use polypy_workers::{HashChecking, IntegrityConfig, MessageRouter, WorkerManager, WorkersConfig};
use tokio::runtime::{Builder, Runtime};

use super::bare::Listening;
use super::stamps::Ages;
use super::{Failure, Sent};
use crate::checksum::Checksum;
use crate::clock::{machine_nanos, wall_millis};

/// Runtime threads of the program, at most.
const MOST_RUNTIME_THREADS: usize = 4;
/// The longest that books take to come, and a queue takes to run dry.
const PATIENCE: Duration = Duration::from_secs(30);

/// The machine's wall clock.
#[derive(Debug)]
struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(wall_millis())
    }
}

/// The program's parts, running.
#[derive(Debug)]
pub struct Product {
    runtime: Runtime,
    registry: Arc<AssetRegistry>,
    workers: Arc<WorkerManager>,
    router: Arc<MessageRouter>,
    pool: Arc<ConnectionPool>,
    watch: Arc<Watch>,
    wire: Arc<WireStats>,
    books: u64,
}

impl Product {
    /// Starts the parts, which connect and subscribe.
    ///
    /// # Errors
    /// When a part cannot be built or started.
    pub fn start(to: &Listening) -> Result<Self, Failure> {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let runtime = Builder::new_multi_thread()
            .worker_threads(cores.min(MOST_RUNTIME_THREADS))
            .thread_name("polypy-io")
            .enable_all()
            .build()?;
        let registry = Arc::new(AssetRegistry::default());
        for market in markets(to) {
            registry.upsert(market);
        }
        let books = to.corpus.books().len();
        let resync = Arc::new(ResyncQueue::new(ResyncConfig::default()));
        let defaults = WorkersConfig::default();
        let config = WorkersConfig {
            integrity: IntegrityConfig {
                // The hashes carry the time.
                hash: HashChecking::Off,
                ..defaults.integrity
            },
            ..defaults
        };
        let workers = WorkerManager::new(config, Arc::clone(&resync) as Arc<dyn ResyncSink>);
        let workers = Arc::new(workers);
        let router = Arc::new(MessageRouter::new(&workers));
        let watch = Arc::new(Watch {
            router: Arc::clone(&router),
            events: AtomicU64::new(0),
            ages: to.aged.then(Mutex::default),
        });
        let wire = Arc::new(WireStats::default());
        let venue = Venue {
            url: to.url.clone(),
            dialer: Arc::clone(&to.dialer),
            books: Arc::new(Absent),
            sink: Arc::clone(&watch) as Arc<dyn EventSink>,
            frames: None,
            lifecycle: Arc::new(Absent),
            resync,
            early_audits: Arc::default(),
            suspension: Arc::default(),
            wire: Arc::clone(&wire),
            clock: Arc::new(WallClock),
        };
        let target = books / to.connections.max(1);
        let pool = ConnectionPool::new(
            PoolConfig {
                target,
                cap: target,
                ..PoolConfig::default()
            },
            ConnectionConfig {
                // This exchange does not mind bursts of upgrades.
                pace: Duration::from_millis(1),
                ..ConnectionConfig::default()
            },
            Arc::clone(&registry),
            venue,
        );
        let product = Self {
            runtime,
            registry,
            workers,
            router,
            pool: Arc::new(pool),
            watch,
            wire,
            books: books.try_into()?,
        };
        product.runtime.block_on(async {
            product.workers.start().await?;
            product.router.start().await?;
            product.pool.start().await
        })?;
        Ok(product)
    }

    /// Waits until every book is live.
    ///
    /// # Errors
    /// When that takes too long.
    pub fn wait_for_books(&self) -> Result<(), Failure> {
        let store = self.workers.store();
        until("books", || store.counts().live == self.books)
    }

    /// Waits until all that was sent is applied; when it was.
    ///
    /// # Errors
    /// When that takes too long.
    pub fn wait_for(&self, sent: &Sent) -> Result<u64, Failure> {
        let events = self.books + sent.changes;
        until("events", || {
            self.watch.events.load(Ordering::Relaxed) >= events && self.router.backlog() == 0
        })
        .map_err(|error| format!("{error}: {:#}", self.router.stats()))?;
        let end = machine_nanos();
        if let Some(ages) = &self.watch.ages {
            ages.lock().applied(end);
        }
        Ok(end)
    }

    /// The ages taken.
    pub fn take_ages(&self) -> Ages {
        let ages = self.watch.ages.as_ref();
        ages.map_or_else(Ages::default, |ages| std::mem::take(&mut *ages.lock()))
    }

    /// Whether exactly what was sent was applied, and nothing happened beside it.
    ///
    /// # Errors
    /// Says what did not hold.
    pub fn verify(&self, sent: &Sent, truth: Checksum) -> Result<(), Failure> {
        let manager = self.workers.stats();
        let (router, wire) = (self.router.stats(), self.wire.snapshot());
        let workers = manager["worker_stats"].as_object().ok_or("no workers")?;
        let total = |name: &str| {
            let counts = workers.values().map(|worker| worker[name].as_u64());
            counts.map(Option::unwrap_or_default).sum::<u64>()
        };
        let (events, integrity) = (&manager["events"], &manager["integrity"]);
        let equal = [
            ("general_frames", wire.general_frames, 0),
            ("updates_applied", total("updates_applied"), sent.changes),
            ("snapshots", total("snapshots_received"), self.books),
            ("lost", total("messages_lost"), 0),
            ("live books", self.workers.store().counts().live, self.books),
        ];
        let zero = [
            (&router, &["messages_dropped", "routing_errors"][..]),
            (events, &["went_stale", "resyncs_requested", "duplicates"]),
            (events, &["ambiguous_copies", "out_of_order"]),
            (&integrity["top"], &["failed"]),
            (&integrity["mirror"], &["failed", "behind"]),
            (&integrity["crossed"], &["failed"]),
            (integrity, &["suspected"]),
        ];
        let zero = zero.into_iter().flat_map(|(table, names)| {
            let value = |name: &'static str| table[name].as_u64().unwrap_or(u64::MAX);
            names.iter().map(move |name| (*name, value(name), 0))
        });
        for (name, found, wanted) in equal.into_iter().chain(zero) {
            if found != wanted {
                return Err(format!("{name}: {found}, not {wanted}: {manager:#}").into());
            }
        }
        let found = self.checksum();
        if found != truth {
            return Err(format!("books: {found:?}, not {truth:?}").into());
        }
        Ok(())
    }

    fn checksum(&self) -> Checksum {
        let (store, interner) = (self.workers.store(), self.registry.interner());
        let mut sum = Checksum::default();
        for condition in self.registry.live_conditions() {
            for key in self.registry.assets_of(&condition) {
                let Some(view) = store.book(key, usize::MAX) else {
                    continue;
                };
                let units = |level: polypy_core::Level| {
                    (level.price.millionths().into(), level.size.millionths())
                };
                let bids = view.bids.into_iter().map(units);
                let asks = view.asks.into_iter().map(units);
                let known = interner.read();
                if let Some(info) = known.info(key) {
                    sum.add_book(info.asset_id.as_str(), bids, asks);
                }
            }
        }
        sum
    }

    /// Stops the parts.
    pub fn stop(self) {
        self.runtime.block_on(async {
            self.pool.stop().await;
            self.router.stop().await;
            self.workers.stop().await;
        });
        self.runtime.shutdown_timeout(Duration::from_secs(1));
    }
}

fn until(what: &str, holds: impl Fn() -> bool) -> Result<(), Failure> {
    let start = Instant::now();
    while !holds() {
        if start.elapsed() > PATIENCE {
            return Err(format!("not within {PATIENCE:?}: {what}").into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// The markets that the corpus tells of, as discovery would describe them.
fn markets(to: &Listening) -> Vec<Market> {
    let tokens: Vec<_> = to.corpus.books().map(|(info, _)| info).collect();
    let market = |tokens: &[&polypy_core::AssetInfo]| {
        let token = |(info, outcome): (&&polypy_core::AssetInfo, &str)| Token {
            token_id: info.asset_id.clone(),
            outcome: outcome.into(),
        };
        Some(Market {
            question: "does it pay?".to_owned(),
            ..Market::new(
                tokens.first()?.condition_id.clone(),
                tokens.iter().zip(["Yes", "No"]).map(token).collect(),
            )
        })
    };
    tokens.chunks(2).filter_map(market).collect()
}

/// The router, watched.
#[derive(Debug)]
struct Watch {
    router: Arc<MessageRouter>,
    /// Events delivered.
    events: AtomicU64,
    ages: Option<Mutex<Ages>>,
}

impl EventSink for Watch {
    fn deliver(&self, feed: FeedId, events: &mut Vec<MarketEvent>) {
        let number = events.len().try_into().unwrap_or(u64::MAX);
        match &self.ages {
            None => self.router.deliver(feed, events),
            Some(ages) => {
                let mut ages = ages.lock();
                ages.note(events);
                self.router.deliver(feed, events);
                if self.router.backlog() == 0 {
                    ages.applied(machine_nanos());
                }
            }
        }
        self.events.fetch_add(number, Ordering::Relaxed);
    }

    fn feed_opened(&self, feed: FeedId) {
        self.router.feed_opened(feed);
    }

    fn feed_closed(&self, feed: FeedId, reason: StaleReason) {
        self.router.feed_closed(feed, reason);
    }

    fn mark_feed_stale(&self, feed: FeedId, assets: &[AssetKey], reason: StaleReason) {
        self.router.mark_feed_stale(feed, assets, reason);
    }

    fn feed_resumed(&self, feed: FeedId, suspensions: u64) {
        self.router.feed_resumed(feed, suspensions);
    }
}

/// Stands where the program has a REST client and discovery. Never asked: the
/// feed tells every book.
#[derive(Debug)]
struct Absent;

impl BookFetch for Absent {
    fn books<'a>(
        &'a self,
        _assets: &'a [AssetId],
        _known: &'a RwLock<Interner>,
        _purpose: Purpose,
    ) -> BoxFuture<'a, Fetched> {
        Box::pin(async { Fetched::default() })
    }
}

impl LifecycleListener for Absent {
    fn offer(&self, _event: LifecycleEvent) {}

    fn confirm_gone(&self, _assets: &[AssetKey]) {}
}
