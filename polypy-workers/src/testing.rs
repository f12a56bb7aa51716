//! What the tests share: a small venue with true books, and a router whose
//! workers are turned by hand, so that every interleaving can be written down.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use polypy_core::fingerprint::{Attributes, Fingerprint, Form};
use polypy_core::{
    AssetId, AssetInfo, AssetKey, AuditSink, BookChange, BookEvent, BookHash, BookState, BookView,
    ChangeSink, ChangeSource, Component, ConditionId, DecimalText, EventSink, FeedId, Interner,
    Lane, Level, MarketEvent, OrderBook, Price, PriceChange, ResyncSink, Scope, Side, Size,
    StaleReason, StatsSource, SuspensionWatch, TickSizeChange, Timestamp, Top, Trade,
};

use crate::config::{IntegrityConfig, WorkersConfig};
use crate::manager::WorkerManager;
use crate::queue::{Liveness, Transition};
use crate::router::MessageRouter;
use crate::store::BookStore;
use crate::worker::Worker;

pub(crate) const START: u64 = 1_795_000_000_000;

pub(crate) fn text(text: &str) -> DecimalText {
    DecimalText::new(text).unwrap()
}

pub(crate) fn price(text: &str) -> Price {
    text.parse().unwrap()
}

pub(crate) fn size(text: &str) -> Size {
    text.parse().unwrap()
}

/// A view without what the clock says in it.
pub(crate) fn timeless(mut view: BookView) -> BookView {
    static MOMENT: LazyLock<Instant> = LazyLock::new(Instant::now);
    view.at = *MOMENT;
    (view.received, view.lasted) = (Duration::ZERO, Duration::ZERO);
    view.verified_ago = view.verified_ago.map(|_| Duration::ZERO);
    view
}

pub(crate) fn stale(reason: StaleReason) -> Option<BookState> {
    Some(BookState::Stale(reason))
}

pub(crate) const LIVE: Option<BookState> = Some(BookState::Live);

/// Both tokens of `count` markets.
pub(crate) fn assets(count: usize) -> Vec<Arc<AssetInfo>> {
    let mut interner = Interner::default();
    let mut keys = Vec::new();
    for market in 0..count {
        let condition = ConditionId::new(&format!("0x{market:064x}")).unwrap();
        for token in 1..=2 {
            let id = AssetId::new(&format!("{market}{token}")).unwrap();
            let info = interner.insert(&id.clone(), &condition.clone(), |key| {
                AssetInfo::new(key, id, condition.clone())
            });
            keys.push(info.key);
        }
    }
    for (at, key) in keys.iter().enumerate() {
        let mut info = AssetInfo::clone(interner.info(*key).unwrap());
        info.complement = Some(keys[at ^ 1]);
        info.tick_size = Some(text("0.01"));
        info.min_order_size = Some(text("5"));
        interner.update(*key, info).unwrap();
    }
    keys.iter()
        .map(|key| Arc::clone(interner.info(*key).unwrap()))
        .collect()
}

/// One token's true book at the venue.
#[derive(Debug, Clone)]
pub(crate) struct Truth {
    pub(crate) info: Arc<AssetInfo>,
    pub(crate) book: OrderBook,
    pub(crate) now: u64,
    pub(crate) last_trade_price: &'static str,
    pub(crate) tick: &'static str,
    pub(crate) min_order_size: &'static str,
    pub(crate) neg_risk: bool,
    pub(crate) version: Option<&'static str>,
    pub(crate) form: Form,
}

impl Truth {
    pub(crate) fn new(info: &Arc<AssetInfo>) -> Self {
        let mut book = OrderBook::default();
        let level = |p, s| Level::new(price(p), size(s));
        book.apply_snapshot(
            vec![level("0.47", "250"), level("0.48", "100")],
            vec![level("0.53", "300"), level("0.52", "120")],
        );
        Self {
            info: Arc::clone(info),
            book,
            now: START,
            last_trade_price: "0.500",
            tick: "0.01",
            min_order_size: "5",
            neg_risk: false,
            version: None,
            form: Form::Ten,
        }
    }

    pub(crate) fn key(&self) -> AssetKey {
        self.info.key
    }

    pub(crate) fn hash(&self) -> BookHash {
        let attributes = Attributes {
            info: &self.info,
            timestamp: Timestamp::from_millis(self.now),
            tick_size: self.tick,
            min_order_size: self.min_order_size,
            neg_risk: self.neg_risk,
            version: self.version,
            form: self.form,
        };
        Fingerprint::new(&self.book, &attributes).with_last_trade_price(self.last_trade_price)
    }

    /// The book as an opening snapshot shows it.
    pub(crate) fn opening(&self) -> MarketEvent {
        let MarketEvent::Book(mut event) = self.snapshot() else {
            unreachable!()
        };
        event.tick_size = Some(text(self.tick));
        event.last_trade_price = Some(text(self.last_trade_price));
        MarketEvent::Book(event)
    }

    /// The book as a later snapshot shows it.
    pub(crate) fn snapshot(&self) -> MarketEvent {
        MarketEvent::Book(Box::new(BookEvent {
            info: Arc::clone(&self.info),
            timestamp: Timestamp::from_millis(self.now),
            hash: Some(self.hash()),
            bids: self.book.worst_first(Side::Bid).collect(),
            asks: self.book.worst_first(Side::Ask).collect(),
            tick_size: None,
            last_trade_price: None,
            min_order_size: None,
            neg_risk: None,
            version: self.version.map(Into::into),
        }))
    }

    /// Changes one level a millisecond later, and says so.
    pub(crate) fn change(&mut self, side: Side, at: &str, to: &str) -> MarketEvent {
        self.now += 1;
        self.change_within(side, at, to)
    }

    /// Changes one level within the same millisecond, and says so.
    pub(crate) fn change_within(&mut self, side: Side, at: &str, to: &str) -> MarketEvent {
        self.book.apply_change(side, price(at), size(to));
        self.say(side, at, to)
    }

    /// What the venue says of a level, with the present hash and top.
    pub(crate) fn say(&self, side: Side, at: &str, to: &str) -> MarketEvent {
        let top = |level: Option<Level>| level.map_or(Top::Empty, |level| Top::At(level.price));
        MarketEvent::PriceChange(PriceChange {
            asset: self.key(),
            timestamp: Timestamp::from_millis(self.now),
            side,
            price: price(at),
            size: size(to),
            hash: Some(self.hash()),
            best_bid: top(self.book.best_bid()),
            best_ask: top(self.book.best_ask()),
            last_in_frame: true,
        })
    }

    pub(crate) fn trade(&self, at: &str) -> MarketEvent {
        MarketEvent::Trade(Trade {
            asset: self.key(),
            timestamp: Timestamp::from_millis(self.now + 70),
            price: price(at),
            price_text: text(at),
            size: size("12.345678"),
            side: Some(Side::Bid),
            print: 0,
        })
    }

    pub(crate) fn tick_change(&self, new: &str) -> MarketEvent {
        MarketEvent::TickSizeChange(TickSizeChange {
            asset: self.key(),
            timestamp: Timestamp::from_millis(self.now),
            old: Some(text(self.tick)),
            new: text(new),
        })
    }

    pub(crate) fn equals(&self, view: &BookView) -> bool {
        self.book.levels(Side::Bid).eq(view.bids.iter().copied())
            && self.book.levels(Side::Ask).eq(view.asks.iter().copied())
    }
}

/// An event with a change made to its price change.
pub(crate) fn altered(event: &MarketEvent, alter: impl FnOnce(&mut PriceChange)) -> MarketEvent {
    let MarketEvent::PriceChange(mut change) = event.clone() else {
        panic!("not a price change")
    };
    alter(&mut change);
    MarketEvent::PriceChange(change)
}

/// Remembers what was asked for.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    asked: Mutex<Vec<(AssetKey, StaleReason)>>,
    /// Panics instead.
    pub(crate) is_broken: AtomicBool,
}

impl ResyncSink for Asked {
    fn resync(&self, _scope: Scope, assets: &[AssetKey], reason: StaleReason) {
        assert!(!self.is_broken.load(Ordering::SeqCst), "broken");
        let mut asked = self.asked.lock();
        asked.extend(assets.iter().map(|asset| (*asset, reason)));
    }
}

impl Asked {
    pub(crate) fn take(&self) -> Vec<(AssetKey, StaleReason)> {
        std::mem::take(&mut *self.asked.lock())
    }

    pub(crate) fn len(&self) -> usize {
        self.asked.lock().len()
    }
}

/// Remembers what is written of followed books, over all lanes.
#[derive(Debug, Default)]
pub(crate) struct Written {
    changes: Mutex<Vec<BookChange>>,
    /// Panics instead.
    pub(crate) is_broken: AtomicBool,
}

impl ChangeSink for Written {
    fn append(&self, _lane: Lane, changes: &mut Vec<BookChange>) {
        assert!(!self.is_broken.load(Ordering::SeqCst), "broken");
        self.changes.lock().append(changes);
    }

    fn wake(&self) {}
}

impl Written {
    pub(crate) fn take(&self) -> Vec<BookChange> {
        std::mem::take(&mut *self.changes.lock())
    }
}

/// A router and workers, without threads usually.
pub(crate) struct Harness {
    pub(crate) manager: WorkerManager,
    pub(crate) router: MessageRouter,
    pub(crate) store: BookStore,
    pub(crate) asked: Arc<Asked>,
    pub(crate) written: Arc<Written>,
    pub(crate) source: Arc<dyn ChangeSource>,
}

impl Harness {
    /// Whatever is delivered is applied by hand.
    pub(crate) fn new(config: WorkersConfig) -> Self {
        Self::watched(config, Arc::default())
    }

    /// The same for a process that may stand still.
    pub(crate) fn watched(config: WorkersConfig, suspension: Arc<SuspensionWatch>) -> Self {
        let harness = Self::stopped(config, suspension);
        let shared = harness.manager.shared();
        shared.accepting.store(true, Ordering::SeqCst);
        for worker in &shared.workers {
            worker.begin(Transition::Start);
        }
        harness
    }

    /// With the workers' threads.
    pub(crate) async fn start(config: WorkersConfig) -> Self {
        let harness = Self::stopped(config, Arc::default());
        harness.manager.start().await.unwrap();
        harness.router.start().await.unwrap();
        harness
    }

    fn stopped(config: WorkersConfig, suspension: Arc<SuspensionWatch>) -> Self {
        let asked = Arc::new(Asked::default());
        let written = Arc::new(Written::default());
        let sink = Arc::clone(&written) as _;
        let manager =
            WorkerManager::watched(config, Arc::clone(&asked) as _, suspension, Some(sink));
        Self {
            store: manager.store(),
            router: MessageRouter::new(&manager),
            source: manager.changes(),
            manager,
            asked,
            written,
        }
    }

    /// Has a book followed; whether that was done.
    pub(crate) fn follow(&self, truth: &Truth) -> bool {
        let lane = self.source.lane_of(truth.key());
        self.source.follow(lane, &[truth.key()])
    }

    /// Has it followed no longer.
    pub(crate) fn unfollow(&self, truth: &Truth) -> bool {
        let lane = self.source.lane_of(truth.key());
        self.source.unfollow(lane, &[truth.key()])
    }

    pub(crate) fn open(&self, feed: u64) {
        self.router.feed_opened(FeedId(feed));
    }

    pub(crate) fn close(&self, feed: u64) {
        self.router
            .feed_closed(FeedId(feed), StaleReason::Disconnected);
    }

    /// Delivers without applying.
    pub(crate) fn queue(&self, feed: u64, events: impl Into<Vec<MarketEvent>>) {
        let mut events = events.into();
        self.router.deliver(FeedId(feed), &mut events);
        assert!(events.is_empty());
    }

    /// Delivers and applies.
    pub(crate) fn send(&self, feed: u64, events: impl Into<Vec<MarketEvent>>) {
        self.queue(feed, events);
        self.settle_down();
    }

    /// Events queued or being applied.
    pub(crate) fn depth(&self) -> usize {
        self.router.backlog()
    }

    /// Events for which the only worker's queue has room.
    pub(crate) fn room(&self) -> usize {
        self.manager.shared().config.queue_events.get() - self.depth()
    }

    /// The number of the worker that keeps this book.
    pub(crate) fn worker_of(&self, truth: &Truth) -> usize {
        self.manager.shared().worker_of(truth.key())
    }

    /// The first worker, of one usually.
    pub(crate) fn worker(&self) -> &Worker {
        &self.manager.shared().workers[0]
    }

    /// One iteration of the worker, without waiting for work.
    pub(crate) fn iterate(&self) {
        self.worker().iterate(Duration::ZERO);
    }

    /// Applies what is queued as if that much time had passed.
    pub(crate) fn apply_after(&self, passed: Duration) {
        self.apply_at(Instant::now() + passed);
    }

    /// Applies what is queued at this moment.
    pub(crate) fn apply_at(&self, now: Instant) {
        let queue = self.worker().queue();
        self.worker().execute(|books| {
            if let Some(control) = queue.take_control() {
                books.take(control, now);
            }
            while let Some(mut batch) = queue.take() {
                books.apply(&mut batch, now);
                queue.finish(batch);
            }
        });
    }

    /// The worker dies in the middle of the oldest batch, and is back, at this moment.
    pub(crate) fn die_at(&self, now: Instant) {
        let queue = self.worker().queue();
        self.worker().execute(|books| {
            let mut batch = queue.take().expect("something is queued");
            books.inject_panic();
            let dies = AssertUnwindSafe(|| books.apply(&mut batch, now));
            catch_unwind(dies).unwrap_err();
            queue.finish(batch);
            books.recover(queue.next_number(), now);
        });
    }

    /// Keeps everybody from the books, as a reader does, until it is dropped.
    pub(crate) fn hold_books(&self) -> impl Drop {
        self.worker().books()
    }

    /// What the supervisor does with a worker that failed.
    pub(crate) fn restart_worker(&self) {
        let assets = self.worker().begin(Transition::Restart);
        self.asked
            .resync(Scope::AllFeeds, &assets, StaleReason::WorkerDied);
    }

    /// What the supervisor does with a worker that keeps failing.
    pub(crate) fn give_up_worker(&self) {
        self.worker().queue().transit(Transition::Fail);
        self.worker().begin(Transition::GiveUp);
    }

    /// Feeds that are open, or whose closing has yet to be applied.
    pub(crate) fn feeds_known(&self) -> usize {
        self.manager.shared().feeds.known_count()
    }

    pub(crate) fn is_running(&self) -> bool {
        self.worker().queue().is_running()
    }

    /// Whether the worker stays down.
    pub(crate) fn is_given_up(&self) -> bool {
        self.worker().queue().liveness() == Liveness::GivenUp
    }

    /// A number of the worker's own statistics.
    pub(crate) fn worker_count(&self, name: &str) -> u64 {
        let stats = self.manager.stats();
        let count = stats["worker_stats"]["0"].get(name);
        count.and_then(serde_json::Value::as_u64).unwrap()
    }

    /// How many books the worker looks at from time to time.
    pub(crate) fn watched_books(&self) -> usize {
        self.worker().books().watched()
    }

    /// What the worker's books take.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.worker().stats().memory_bytes.get()
    }

    /// The last trade price that its hashes are made with.
    pub(crate) fn hashed_price(&self, truth: &Truth) -> Option<DecimalText> {
        let partition = self.worker().books();
        partition.slot(truth.key()).unwrap().book().hashed_price()
    }

    /// The book as a reader would see it when that much time has passed.
    pub(crate) fn view_after(&self, truth: &Truth, passed: Duration) -> BookView {
        let partition = self.worker().books();
        let slot = partition.slot(truth.key()).unwrap();
        let now = Instant::now() + passed;
        slot.book().view(usize::MAX, slot.state(), now).unwrap()
    }

    /// Lets every worker do what it has to do.
    pub(crate) fn settle_down(&self) {
        for worker in &self.manager.shared().workers {
            while !worker.queue().is_drained() {
                assert!(worker.queue().is_running(), "the worker has failed");
                worker.iterate(Duration::ZERO);
            }
        }
    }

    /// What the worker does when nothing has come for this long.
    pub(crate) fn look_after(&self, passed: Duration) {
        self.look_at(Instant::now() + passed);
    }

    /// The same at this moment.
    pub(crate) fn look_at(&self, now: Instant) {
        for worker in &self.manager.shared().workers {
            worker.execute(|books| books.look(now));
        }
    }

    /// Hands over a book that was fetched apart from the feeds, and compares it.
    pub(crate) fn audit(&self, event: MarketEvent) {
        self.audit_requested(event, Instant::now());
    }

    /// The same for one that was asked for earlier.
    pub(crate) fn audit_requested(&self, event: MarketEvent, requested: Instant) {
        let MarketEvent::Book(book) = event else {
            panic!("not a book")
        };
        self.router.audit(book, requested);
        self.settle_down();
    }

    pub(crate) fn state(&self, truth: &Truth) -> Option<BookState> {
        self.store.state(truth.key())
    }

    pub(crate) fn view(&self, truth: &Truth) -> BookView {
        self.store.book(truth.key(), usize::MAX).unwrap()
    }

    /// A counter of the `events` or `integrity` part of the statistics: `trades`,
    /// `hash.passed`.
    pub(crate) fn count(&self, name: &str) -> u64 {
        let stats = self.manager.stats();
        let part = ["events", "integrity"]
            .iter()
            .find_map(|part| stats[part].pointer(&format!("/{}", name.replace('.', "/"))));
        part.and_then(serde_json::Value::as_u64).unwrap()
    }
}

/// One worker that is given everything by its queue, to be turned by hand. It checks
/// every hash, however long that takes here: on a busy machine, checks would be left out.
pub(crate) fn one_worker() -> WorkersConfig {
    WorkersConfig {
        count: std::num::NonZeroUsize::MIN,
        direct_events: 0,
        integrity: IntegrityConfig {
            hash_cpu_percent: u32::MAX,
            ..IntegrityConfig::default()
        },
        ..WorkersConfig::default()
    }
}

/// One worker, one open feed, one book that it has just opened.
pub(crate) fn opened() -> (Harness, Truth) {
    opened_with(one_worker())
}

/// The same with workers of another kind.
pub(crate) fn opened_with(config: WorkersConfig) -> (Harness, Truth) {
    let bench = Harness::new(config);
    let truth = Truth::new(&assets(1)[0]);
    bench.open(1);
    bench.send(1, [truth.opening()]);
    assert_eq!(bench.state(&truth), LIVE);
    (bench, truth)
}
