//! What checking costs: `cargo bench -p polypy-benches --bench hash`.
//!
//! Three figures, each the best of several runs, because whatever else a
//! machine does can only slow a run down:
//!
//! - the fingerprint of a book of 60 levels, on warm caches;
//! - frames a second through one worker with the hash of every batch checked,
//!   and with hashes off. A frame is what the venue sends for one order: a change
//!   of each token of a market, so two books changed and two hashes checked.
//!   What counts is the time the worker's thread ran, queue and all, as Linux
//!   accounts for it (elsewhere, the time it was busy): whatever a socket does
//!   to decode a frame happens on another thread.
//!
//! A run in which not every check passed is no measurement, and ends the program.

#![expect(clippy::print_stdout, reason = "a benchmark's result is its output")]

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use polypy_core::fingerprint::{Attributes, Fingerprint, Form};
use polypy_core::{
    AssetId, AssetInfo, AssetKey, BookEvent, Component, ConditionId, DecimalText, EventSink,
    FeedId, Interner, Level, MarketEvent, OrderBook, Price, PriceChange, ResyncSink, Scope, Side,
    Size, StaleReason, StatsSource, Timestamp, Top,
};
use polypy_workers::{HashChecking, IntegrityConfig, MessageRouter, WorkerManager, WorkersConfig};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Levels of a book, both sides together.
const LEVELS: u32 = 60;
/// Markets that take turns, so that books do not all stay in the nearest cache.
const MARKETS: u32 = 200;
const FRAMES: u32 = 60_000;
/// Frames that one read of a busy socket returns.
const FRAMES_A_READ: usize = 16;
const RUNS: u32 = 5;
const START: u64 = 1_795_000_000_000;
const TICK: &str = "0.001";
const LAST_TRADE: &str = "0.500";

fn main() {
    println!("books of {LEVELS} levels, one core, best of {RUNS} runs");
    println!("fingerprint: {:.2} us a book", fingerprint());
    let (openings, frames) = flow();
    let on = throughput(HashChecking::All, &openings, &frames);
    println!("every batch checked: {on:.0} frames/s, two checks a frame");
    let off = throughput(HashChecking::Off, &openings, &frames);
    println!("hashes off: {off:.0} frames/s");
}

/// Microseconds for one book.
fn fingerprint() -> f64 {
    // Short enough to run undisturbed on a busy machine now and then.
    const ROUNDS: u32 = 500;
    let token = Token::new(&infos(1)[0]);
    let run = || {
        let start = Instant::now();
        for round in 0..ROUNDS {
            let at = Timestamp::from_millis(START + u64::from(round));
            black_box(token.hash(black_box(at)));
        }
        start.elapsed()
    };
    let best = (0..RUNS * 40).map(|_| run()).min().unwrap_or_default();
    best.as_secs_f64() * 1e6 / f64::from(ROUNDS)
}

/// Frames a second of the worker's own time.
fn throughput(hash: HashChecking, openings: &[MarketEvent], frames: &[MarketEvent]) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime can be built");
    (0..RUNS)
        .map(|_| runtime.block_on(run(hash, openings, frames)))
        .fold(0.0, f64::max)
}

async fn run(hash: HashChecking, openings: &[MarketEvent], frames: &[MarketEvent]) -> f64 {
    let config = WorkersConfig {
        count: NonZeroUsize::MIN,
        direct_events: 0,
        integrity: IntegrityConfig {
            hash,
            // A thousand cores: nothing is left out.
            hash_cpu_percent: 100_000,
            ..IntegrityConfig::default()
        },
        ..WorkersConfig::default()
    };
    let manager = WorkerManager::new(config, Arc::new(Nobody));
    let router = MessageRouter::new(&manager);
    manager.start().await.expect("workers start");
    router.start().await.expect("the router starts");
    router.feed_opened(FeedId(1));
    for opening in openings {
        router.deliver(FeedId(1), &mut vec![opening.clone()]);
    }
    wait_for(&manager, openings.len());
    let before = busy(&manager);
    let mut read = Vec::new();
    for (at, events) in frames.chunks(2 * FRAMES_A_READ).enumerate() {
        read.extend_from_slice(events);
        router.deliver(FeedId(1), &mut read);
        if at % 256 == 0 {
            wait_for(&manager, openings.len() + at * 2 * FRAMES_A_READ);
        }
    }
    wait_for(&manager, openings.len() + frames.len());
    let spent = busy(&manager) - before;
    let integrity = &manager.stats()["integrity"];
    let expected = match hash {
        HashChecking::All => openings.len() + frames.len(),
        HashChecking::Off => 0,
    };
    assert_eq!(integrity["hash"]["passed"], expected, "{integrity:#}");
    router.stop().await;
    manager.stop().await;
    f64::from(FRAMES) / spent
}

/// Seconds the worker's thread has run.
fn busy(manager: &WorkerManager) -> f64 {
    running_time("polypy-worker-0").unwrap_or_else(|| {
        let worker = &manager.stats()["worker_stats"]["0"];
        let each = worker["avg_processing_time_us"].as_f64().unwrap_or(0.0);
        let events = worker["messages_processed"].as_f64().unwrap_or(0.0);
        each * events / 1e6
    })
}

/// Seconds the thread of this name has run, where Linux says so.
fn running_time(thread: &str) -> Option<f64> {
    std::fs::read_dir("/proc/self/task")
        .ok()?
        .flatten()
        .map(|task| task.path())
        .find(|task| {
            std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == thread)
        })
        .and_then(|task| std::fs::read_to_string(task.join("schedstat")).ok())
        .and_then(|text| text.split(' ').next()?.parse::<f64>().ok())
        .map(|nanos| nanos / 1e9)
}

fn wait_for(manager: &WorkerManager, events: usize) {
    let processed = || manager.stats()["worker_stats"]["0"]["messages_processed"].as_u64();
    while processed().is_none_or(|processed| processed < events as u64) {
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// The openings of all books, and the frames that follow.
fn flow() -> (Vec<MarketEvent>, Vec<MarketEvent>) {
    let mut tokens: Vec<_> = infos(MARKETS).iter().map(Token::new).collect();
    let openings = tokens.iter().map(Token::opening).collect();
    let mut frames = Vec::new();
    for frame in 0..FRAMES {
        // A level near the touch, as most real changes.
        let price = price(LEVELS / 2 - frame % 4);
        let size = Size::from_millionths(10_000_000 + 10_000 * u64::from(frame));
        let market = 2 * (frame % MARKETS) as usize;
        let at = Timestamp::from_millis(START + 1 + u64::from(frame));
        frames.push(tokens[market].change(at, Side::Bid, price, size));
        frames.push(tokens[market + 1].change(at, Side::Ask, price.complement(), size));
    }
    (openings, frames)
}

/// The price `steps` above the worst bid.
fn price(steps: u32) -> Price {
    Price::from_millionths(400_000 + steps * 1_000).expect("is below one")
}

/// One token's book at the venue.
struct Token {
    info: Arc<AssetInfo>,
    book: OrderBook,
}

impl Token {
    fn new(info: &Arc<AssetInfo>) -> Self {
        let level = |step| {
            let size = Size::from_millionths(u64::from(step) * 123_450_000 + 5_000_000);
            Level::new(price(step), size)
        };
        let mut book = OrderBook::default();
        let half = LEVELS / 2;
        book.apply_snapshot(
            (1..=half).map(level).collect(),
            (half + 1..=LEVELS).map(level).collect(),
        );
        if info.key > info.complement.unwrap_or(info.key) {
            book = book.mirror();
        }
        Self {
            info: Arc::clone(info),
            book,
        }
    }

    fn hash(&self, timestamp: Timestamp) -> polypy_core::BookHash {
        let attributes = Attributes {
            info: &self.info,
            timestamp,
            tick_size: TICK,
            min_order_size: "5",
            neg_risk: false,
            version: None,
            form: Form::Ten,
        };
        Fingerprint::new(&self.book, &attributes).with_last_trade_price(LAST_TRADE)
    }

    fn opening(&self) -> MarketEvent {
        let timestamp = Timestamp::from_millis(START);
        MarketEvent::Book(Box::new(BookEvent {
            info: Arc::clone(&self.info),
            timestamp,
            hash: Some(self.hash(timestamp)),
            bids: self.book.worst_first(Side::Bid).collect(),
            asks: self.book.worst_first(Side::Ask).collect(),
            tick_size: DecimalText::new(TICK).ok(),
            last_trade_price: DecimalText::new(LAST_TRADE).ok(),
            min_order_size: None,
            neg_risk: None,
            version: None,
        }))
    }

    fn change(
        &mut self,
        timestamp: Timestamp,
        side: Side,
        price: Price,
        size: Size,
    ) -> MarketEvent {
        self.book.apply_change(side, price, size);
        let top = |level: Option<Level>| level.map_or(Top::Empty, |level| Top::At(level.price));
        MarketEvent::PriceChange(PriceChange {
            asset: self.info.key,
            timestamp,
            side,
            price,
            size,
            hash: Some(self.hash(timestamp)),
            best_bid: top(self.book.best_bid()),
            best_ask: top(self.book.best_ask()),
            last_in_frame: true,
        })
    }
}

/// Both tokens of `count` markets, with ids as long as real ones.
fn infos(count: u32) -> Vec<Arc<AssetInfo>> {
    let mut interner = Interner::default();
    let mut keys = Vec::new();
    for market in 0..count {
        let condition = ConditionId::new(&format!("0x{market:064x}")).expect("is an id");
        for token in 1..=2 {
            let id = AssetId::new(&format!("7{market:075}{token}")).expect("is an id");
            let info = interner.insert(&id.clone(), &condition.clone(), |key| {
                AssetInfo::new(key, id, condition.clone())
            });
            keys.push(info.key);
        }
    }
    for (at, key) in keys.iter().enumerate() {
        let mut info = AssetInfo::clone(interner.info(*key).expect("was inserted"));
        info.complement = Some(keys[at ^ 1]);
        interner.update(*key, info).expect("was inserted");
    }
    keys.iter()
        .map(|key| Arc::clone(interner.info(*key).expect("was inserted")))
        .collect()
}

/// Whoever is asked for fresh books and has none.
struct Nobody;

impl ResyncSink for Nobody {
    fn resync(&self, _scope: Scope, _assets: &[AssetKey], _reason: StaleReason) {}
}
