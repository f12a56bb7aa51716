//! The program's own way from frames to books, in the parts that it runs:
//! decoder, router, worker.
//!
//! One worker, and a router that applies what one read brought in place of it.
//! All checks are on, but that of hashes is for the caller to choose. After a run
//! [`Pipeline::verify`] holds what happened against the corpus: a run in which
//! anything was dropped, doubted or asked for again is no measurement.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use polypy_core::{
    AssetKey, BookChange, BookState, ChangeSink, ChangeSource, Component, EventSink, FeedId,
    Interner, Lane, MarketEvent, ResyncSink, Scope, Side, StaleReason, StatsSource,
};
use polypy_net::wire::{Decoded, Reading, WireStats};
use polypy_workers::{HashChecking, IntegrityConfig, MessageRouter, WorkerManager, WorkersConfig};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::checksum::Checksum;
use crate::corpus::Corpus;
use crate::reads::Read;

const FEED: FeedId = FeedId(1);
/// Events that may wait for the worker's thread: half of its queue.
const MOST_WAITING: usize = 32_768;

/// Takes what is written of followed books by swapping lists, as cheaply as can be.
#[derive(Debug, Default)]
struct Swapped(Mutex<Vec<BookChange>>);

impl ChangeSink for Swapped {
    fn append(&self, _lane: Lane, changes: &mut Vec<BookChange>) {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.clear();
        std::mem::swap(&mut *taken, changes);
    }

    fn wake(&self) {}
}

/// Decoder, router, worker and books. Dropping it stops them.
#[derive(Debug)]
pub struct Pipeline {
    runtime: Runtime,
    manager: WorkerManager,
    router: MessageRouter,
    asked: Arc<Asked>,
    hash: HashChecking,
    stats: WireStats,
    decoded: Decoded,
}

/// Where events are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// On the thread that brings them, as after a short read.
    InPlace,
    /// On the worker's thread, behind its queue.
    Queued,
}

impl Pipeline {
    /// Parts without books. What is written of followed books, nobody reads.
    pub fn start(hash: HashChecking, applied: Applied) -> Self {
        Self::writing_to(Arc::new(Swapped::default()), hash, applied)
    }

    /// Parts without books, which write what changes in followed ones into this sink.
    ///
    /// # Panics
    /// If something does not start.
    pub fn writing_to(changes: Arc<dyn ChangeSink>, hash: HashChecking, applied: Applied) -> Self {
        let defaults = WorkersConfig::default();
        let config = WorkersConfig {
            count: NonZeroUsize::MIN,
            direct_events: match applied {
                Applied::InPlace => defaults.direct_events,
                Applied::Queued => 0,
            },
            integrity: IntegrityConfig {
                hash,
                // A thousand cores: no check is left out.
                hash_cpu_percent: 100_000,
                ..defaults.integrity
            },
            ..defaults
        };
        let runtime = Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime can be built");
        let asked = Arc::new(Asked::default());
        let sink: Arc<dyn ResyncSink> = Arc::clone(&asked) as _;
        let manager = WorkerManager::watched(config, sink, Arc::default(), Some(changes));
        let router = MessageRouter::new(&manager);
        runtime.block_on(async {
            manager.start().await.expect("workers start");
            router.start().await.expect("the router starts");
        });
        router.feed_opened(FEED);
        Self {
            runtime,
            manager,
            router,
            asked,
            hash,
            stats: WireStats::default(),
            decoded: Decoded::default(),
        }
    }

    /// Where books are followed.
    pub fn changes(&self) -> Arc<dyn ChangeSource> {
        self.manager.changes()
    }

    /// Has these books followed from now on: their changes are written for somebody who
    /// takes the list and does nothing with it.
    ///
    /// # Panics
    /// If the books are held for long by somebody else.
    pub fn follow(&self, assets: impl Iterator<Item = AssetKey>) {
        let changes = self.manager.changes();
        for asset in assets {
            let lane = changes.lane_of(asset);
            let is_followed = (0..1_000).any(|_| changes.follow(lane, &[asset]));
            assert!(is_followed, "the books are busy");
        }
    }

    /// Decodes and delivers what a read returned, and says how many events that
    /// was.
    pub fn read(&mut self, assets: &Interner, read: Read<'_>) -> usize {
        self.decode(assets, read);
        let mut events = std::mem::take(&mut self.decoded.events);
        let number = self.deliver(&mut events);
        self.decoded.events = events;
        number
    }

    /// Decodes what a read returned.
    pub fn decode(&mut self, assets: &Interner, read: Read<'_>) -> &mut Vec<MarketEvent> {
        self.decoded.clear();
        let mut reading = Reading::new(assets, &self.stats, &mut self.decoded);
        read.frames().for_each(|frame| reading.expect(frame));
        for frame in read.frames() {
            reading.frame(frame);
        }
        drop(reading);
        &mut self.decoded.events
    }

    /// Delivers events and empties the vector. While the worker is busy with
    /// something else they queue; long before the queue is full, it is waited for.
    pub fn deliver(&mut self, events: &mut Vec<MarketEvent>) -> usize {
        let number = events.len();
        self.router.deliver(FEED, events);
        if self.router.backlog() > MOST_WAITING {
            self.settle();
        }
        number
    }

    /// Waits until everything delivered is applied.
    pub fn settle(&self) {
        while self.router.backlog() > 0 {
            std::thread::sleep(Duration::from_micros(50));
        }
    }

    /// Fails unless every event of these openings and frames was applied, and
    /// nothing happened beside that.
    pub fn verify(&self, books: usize, frames: usize, changes: usize) {
        self.settle();
        let (manager, router) = (self.manager.stats(), self.router.stats());
        let wire = self.stats.snapshot();
        assert_eq!(wire.general_frames, 0, "{wire:?}");
        assert_eq!(router["messages_routed"], books + changes, "{router:#}");
        let worker = self.worker();
        assert_eq!(worker["updates_applied"], changes, "{worker:#}");
        assert_eq!(worker["snapshots_received"], books, "{worker:#}");
        assert_eq!(manager["books"]["live"], books, "{manager:#}");
        let (events, integrity) = (&manager["events"], &manager["integrity"]);
        for (table, nothing) in [
            (&router, &["messages_dropped", "routing_errors"][..]),
            (&worker, &["messages_lost", "restarts"]),
            (events, &["went_stale", "resyncs_requested", "duplicates"]),
            (events, &["ambiguous_copies", "out_of_order"]),
            (&integrity["top"], &["failed", "not_applicable"]),
            (&integrity["mirror"], &["failed", "behind"]),
            (&integrity["crossed"], &["failed"]),
            (&integrity["hash"], &["failed", "unverifiable", "skipped"]),
            (&integrity["hash"], &["late", "ambiguous"]),
            (integrity, &["suspected"]),
        ] {
            for name in nothing {
                assert_eq!(table[*name], 0, "{name}: {manager:#}");
            }
        }
        let checked = match self.hash {
            HashChecking::All => books + 2 * frames,
            HashChecking::Off => 0,
        };
        assert_eq!(integrity["hash"]["passed"], checked, "{integrity:#}");
        let asked = self.asked.0.load(Ordering::Relaxed);
        assert_eq!(asked, 0, "fresh books were asked for");
    }

    /// Fails unless every book is live and the venue's own.
    pub fn compare(&self, corpus: &Corpus) {
        let store = self.manager.store();
        for (info, truth) in corpus.books() {
            let view = store.book(info.key, usize::MAX).expect("it was told");
            assert_eq!(view.state, BookState::Live);
            let (bids, asks) = (truth.levels(Side::Bid), truth.levels(Side::Ask));
            assert!(view.bids.into_iter().eq(bids), "bids of {}", info.asset_id);
            assert!(view.asks.into_iter().eq(asks), "asks of {}", info.asset_id);
        }
    }

    /// Of all books of these assets.
    pub fn checksum(&self, keys: impl Iterator<Item = AssetKey>) -> Checksum {
        let store = self.manager.store();
        let mut sum = Checksum::default();
        for view in keys.filter_map(|key| store.book(key, usize::MAX)) {
            let units = |level: polypy_core::Level| {
                (level.price.millionths().into(), level.size.millionths())
            };
            let bids = view.bids.into_iter().map(units);
            let asks = view.asks.into_iter().map(units);
            sum.add_book(view.asset_id.as_str(), bids, asks);
        }
        sum
    }

    /// Reads the tops of all these books at once, and says how many there are.
    pub fn tops(&self, keys: &[AssetKey]) -> usize {
        black_box(self.manager.store().tops(keys))
            .iter()
            .flatten()
            .count()
    }

    fn worker(&self) -> Value {
        self.manager.stats()["worker_stats"]["0"].take()
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.runtime.block_on(async {
            self.router.stop().await;
            self.manager.stop().await;
        });
    }
}

/// Fresh books asked for. Nobody sends them.
#[derive(Debug, Default)]
struct Asked(AtomicUsize);

impl ResyncSink for Asked {
    fn resync(&self, _scope: Scope, assets: &[AssetKey], _reason: StaleReason) {
        self.0.fetch_add(assets.len(), Ordering::Relaxed);
    }
}
