//! What decoding costs: `cargo bench -p polypy-net --bench decode`.
//!
//! Nanoseconds of the thread's own time for a level change (for a level, in
//! whole books), medians of seven runs in which the ways take turns. Frames are
//! copied to a place of their own first, as a socket's read does; what that costs
//! is timed apart and taken off. Linux only, where a thread can ask how long it
//! has run.
//!
//! - `fast`: as the program decodes;
//! - `general`: the way behind it, which reads every frame;
//! - `typed serde_json`: into structs of `String`s, as clients commonly do, with
//!   neither a number parsed nor an asset looked up;
//! - `fast, applied`: `fast`, and each change applied to its book.
//!
//! The frames are made up after the venue's (650 bytes, 2.2 changes) with 2,000
//! and with 50,000 tokens. Set `POLYPY_CAPTURES` to a directory of recordings to
//! time one of those, too; set `POLYPY_BENCH_ONCE` to a way's name to run that
//! way alone, once, under a profiler.

#![expect(clippy::print_stdout, reason = "a benchmark's result is its output")]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "averages and random choices, far below where a float loses a unit"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;

use fastrand::Rng;
use polypy_core::{
    AssetId, AssetInfo, ConditionId, Interner, Level, MarketEvent, OrderBook, Price, Side, Size,
};
use polypy_net::wire::{Decoded, Reading, WireStats, decode_generally};
use serde::Deserialize;

const RUNS: usize = 7;
/// Too many for the branch predictor to know by heart.
const FRAMES: usize = 20_000;
/// Copied together to where they are decoded: near, as after a socket's read.
const FRAMES_A_COPY: usize = 256;
/// Frames that one read of a busy socket returns.
const FRAMES_A_READ: usize = 16;
/// The clock of a running thread moves with the kernel's tick, of up to 4 ms: a
/// run takes at least fifty of them.
const SHORTEST_RUN_NANOS: u64 = 200_000_000;
const LEVELS_A_SIDE: u32 = 30;
const SEED: u64 = 42;

type Way = (&'static str, fn(&mut Bench) -> usize);

const WAYS: [Way; 5] = [
    ("copy", Bench::copy),
    ("fast", Bench::fast),
    ("general", Bench::general),
    ("typed serde_json", Bench::typed),
    ("fast, applied", Bench::applied),
];

fn main() {
    for tokens in [2_000, 50_000] {
        let mut bench = Bench::changes(tokens);
        bench.measure(&format!("{tokens} tokens"), "change");
    }
    Bench::books(2_000).measure("books of 60 levels, 2,000 tokens", "level");
    match std::env::var_os("POLYPY_CAPTURES") {
        Some(captures) => {
            let file = "events/tickscope_20260607_0130.reframed.jsonl.gz";
            match Bench::recorded(&Path::new(&captures).join(file)) {
                Some(mut bench) => bench.measure("recorded, 12 tokens", "change"),
                None => println!("skipped: {file} cannot be read"),
            }
        }
        None => println!("skipped: POLYPY_CAPTURES is not set"),
    }
}

struct Bench {
    frames: Vec<String>,
    assets: Interner,
    stats: WireStats,
    decoded: Decoded,
    /// Frames as they were read, and where each ends.
    near: Vec<u8>,
    ends: Vec<usize>,
    /// By slot.
    books: Vec<OrderBook>,
}

impl Bench {
    fn new(frames: Vec<String>, assets: Interner) -> Self {
        let books = (0..assets.len()).map(|_| book()).collect();
        Self {
            frames,
            assets,
            stats: WireStats::default(),
            decoded: Decoded::default(),
            near: Vec::new(),
            ends: Vec::new(),
            books,
        }
    }

    fn changes(tokens: usize) -> Self {
        let mut rng = Rng::with_seed(SEED);
        let (assets, markets) = markets(&mut rng, tokens / 2);
        let frames = (0..FRAMES).map(|_| price_change(&mut rng, &markets));
        Self::new(frames.collect(), assets)
    }

    fn books(tokens: usize) -> Self {
        let mut rng = Rng::with_seed(SEED);
        let (assets, markets) = markets(&mut rng, tokens / 2);
        let frames = (0..FRAMES / 10).map(|_| snapshot(&mut rng, &markets));
        Self::new(frames.collect(), assets)
    }

    fn recorded(file: &Path) -> Option<Self> {
        let unpacked = Command::new("zcat").arg(file).output().ok()?;
        let text = String::from_utf8(unpacked.stdout).ok()?;
        let lines = text.lines().filter(|line| line.contains("price_changes"));
        let frames: Vec<String> = lines.take(FRAMES).map(str::to_owned).collect();
        let mut assets = Interner::default();
        for frame in &frames {
            let Typed {
                market, entries, ..
            } = serde_json::from_str(frame).ok()?;
            let entries = entries?;
            let ids: Vec<_> = entries
                .iter()
                .map(|entry| entry.asset_id.as_str())
                .collect();
            intern(&mut assets, &market, &ids);
        }
        (!frames.is_empty()).then(|| Self::new(frames, assets))
    }

    /// Prints what each way costs, `each` change or level.
    fn measure(&mut self, title: &str, each: &str) {
        let only = std::env::var("POLYPY_BENCH_ONCE").ok();
        let bytes: usize = self.frames.iter().map(String::len).sum();
        let bytes = bytes / self.frames.len();
        let count = self.general();
        println!(
            "{title}: {} frames of {bytes} bytes, {count} {each}s",
            self.frames.len()
        );
        let ways: Vec<_> = WAYS
            .into_iter()
            .filter(|way| only.as_deref().is_none_or(|only| only == way.0))
            .filter(|way| each == "change" || way.0 != "fast, applied")
            .collect();
        if only.is_some() {
            for (_, way) in ways {
                black_box(way(self));
            }
            return;
        }
        let mut costs = vec![Vec::new(); ways.len()];
        for _ in 0..RUNS {
            for ((_, way), costs) in ways.iter().zip(&mut costs) {
                let (mut changes, start) = (0, running_nanos());
                let spent = loop {
                    way(self);
                    changes += count;
                    let spent = running_nanos() - start;
                    if spent > SHORTEST_RUN_NANOS {
                        break spent;
                    }
                };
                costs.push(spent as f64 / changes as f64);
            }
        }
        let copying = costs[0].clone();
        for ((name, _), mut costs) in ways.iter().zip(costs).skip(1) {
            for (cost, copying) in costs.iter_mut().zip(&copying) {
                *cost -= copying;
            }
            costs.sort_by(f64::total_cmp);
            let (least, median, most) = (costs[0], costs[RUNS / 2], costs[RUNS - 1]);
            println!("  {name:18} {median:7.1} ns a {each} ({least:.1}..{most:.1})");
        }
    }

    /// Copies frames to where they are decoded, and says how many changes are
    /// in all of them.
    fn each_copy(&mut self, mut decode: impl FnMut(&mut Self) -> usize) -> usize {
        let mut changes = 0;
        let frames = std::mem::take(&mut self.frames);
        for frames in frames.chunks(FRAMES_A_COPY) {
            self.near.clear();
            self.ends.clear();
            for frame in frames {
                self.near.extend_from_slice(frame.as_bytes());
                self.ends.push(self.near.len());
            }
            changes += decode(self);
        }
        self.frames = frames;
        changes
    }

    fn copy(&mut self) -> usize {
        self.each_copy(|bench| {
            black_box(&bench.near);
            0
        })
    }

    fn fast(&mut self) -> usize {
        self.each_copy(|bench| bench.each_read(|_, events| weigh(events)))
    }

    fn applied(&mut self) -> usize {
        self.each_copy(|bench| bench.each_read(apply))
    }

    /// Decodes what is near as if a socket had returned it read by read.
    fn each_read(&mut self, then: fn(&mut [OrderBook], &[MarketEvent]) -> usize) -> usize {
        let (mut changes, mut start) = (0, 0);
        for ends in self.ends.chunks(FRAMES_A_READ) {
            self.decoded.clear();
            let mut reading = Reading::new(&self.assets, &self.stats, &mut self.decoded);
            let mut from = start;
            for &end in ends {
                reading.expect(&self.near[from..end]);
                from = end;
            }
            for &end in ends {
                reading.frame(&self.near[start..end]);
                start = end;
            }
            drop(reading);
            changes += then(&mut self.books, black_box(&self.decoded.events));
        }
        changes
    }

    fn general(&mut self) -> usize {
        self.each_copy(|bench| {
            let start = std::iter::once(0).chain(bench.ends.iter().copied());
            bench.decoded.clear();
            for (start, &end) in start.zip(&bench.ends) {
                let (frame, decoded) = (&bench.near[start..end], &mut bench.decoded);
                decode_generally(frame, &bench.assets, &bench.stats, decoded);
            }
            weigh(black_box(&bench.decoded.events))
        })
    }

    fn typed(&mut self) -> usize {
        self.each_copy(|bench| {
            let start = std::iter::once(0).chain(bench.ends.iter().copied());
            let mut changes = 0;
            for (start, &end) in start.zip(&bench.ends) {
                let frame: Typed =
                    serde_json::from_slice(&bench.near[start..end]).expect("is JSON");
                let frame = black_box(frame);
                changes += frame.entries.as_ref().map_or(0, Vec::len);
                changes += frame.bids.as_ref().map_or(0, Vec::len);
                changes += frame.asks.as_ref().map_or(0, Vec::len);
            }
            changes
        })
    }
}

fn apply(books: &mut [OrderBook], events: &[MarketEvent]) -> usize {
    for event in events {
        if let MarketEvent::PriceChange(change) = event
            && let Some(book) = books.get_mut(change.asset.slot())
        {
            black_box(book.apply_change(change.side, change.price, change.size));
        }
    }
    events.len()
}

/// Changes or levels.
fn weigh(events: &[MarketEvent]) -> usize {
    let weights = events.iter().map(|event| match event {
        MarketEvent::Book(book) => book.bids.len() + book.asks.len(),
        _ => 1,
    });
    weights.sum()
}

/// How long this thread has run.
fn running_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat");
    text.ok()
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .expect("Linux says how long a thread has run")
}

/// A frame as structs of strings.
#[derive(Deserialize)]
#[expect(
    dead_code,
    reason = "parsed and not read: what parsing costs is the point"
)]
struct Typed {
    market: String,
    timestamp: String,
    event_type: String,
    #[serde(rename = "price_changes")]
    entries: Option<Vec<TypedEntry>>,
    asset_id: Option<String>,
    hash: Option<String>,
    bids: Option<Vec<TypedLevel>>,
    asks: Option<Vec<TypedLevel>>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "as above")]
struct TypedEntry {
    asset_id: String,
    price: String,
    size: String,
    side: String,
    hash: Option<String>,
    best_bid: Option<String>,
    best_ask: Option<String>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "as above")]
struct TypedLevel {
    price: String,
    size: String,
}

/// A market as frames name it.
struct Names {
    market: String,
    tokens: [String; 2],
    /// Whether its prices have three decimals.
    fine: bool,
}

/// Markets with ids that are random 256-bit numbers.
fn markets(rng: &mut Rng, count: usize) -> (Interner, Vec<Names>) {
    let mut assets = Interner::default();
    let mut markets = Vec::new();
    for _ in 0..count {
        let names = Names {
            market: format!("0x{}", text(rng, 16, 64)),
            tokens: [(); 2].map(|()| {
                let length = [76, 77, 77, 77, 77, 77, 77, 78][rng.usize(..8)];
                format!("{}{}", rng.u8(1..10), text(rng, 10, length - 1))
            }),
            fine: rng.u8(..10) < 3,
        };
        let [yes, no] = &names.tokens;
        intern(&mut assets, &names.market, &[yes, no]);
        markets.push(names);
    }
    (assets, markets)
}

fn text(rng: &mut Rng, base: u32, length: usize) -> String {
    (0..length).map(|_| rng.digit(base)).collect()
}

/// Interns the tokens of a market; the first two know each other.
fn intern(assets: &mut Interner, market: &str, tokens: &[&str]) {
    let condition: ConditionId = market.parse().expect("is a condition id");
    let keys: Vec<_> = tokens
        .iter()
        .map(|token| {
            let asset: AssetId = token.parse().expect("is an asset id");
            let describe = |key| AssetInfo::new(key, asset.clone(), condition.clone());
            assets.insert(&asset, &condition, describe).key
        })
        .collect();
    if let [first, second, ..] = keys[..]
        && first != second
    {
        for (key, other) in [(first, second), (second, first)] {
            let mut info = AssetInfo::clone(assets.info(key).expect("was interned"));
            info.complement = Some(other);
            assets.update(key, info).expect("was interned");
        }
    }
}

/// Few markets make most of the traffic.
fn busy<'a>(rng: &mut Rng, markets: &'a [Names]) -> &'a Names {
    let rank = rng.f64().powi(3) * markets.len() as f64;
    &markets[(rank as usize).min(markets.len() - 1)]
}

fn decimal(units: u32, fine: bool) -> String {
    let text = if fine {
        format!("{:.3}", f64::from(units) / 1e3)
    } else {
        format!("{:.2}", f64::from(units / 10) / 1e2)
    };
    text.trim_end_matches('0').to_owned()
}

fn size(rng: &mut Rng) -> String {
    match rng.u8(..10) {
        0 => "0".to_owned(),
        1..5 => rng.u32(5..100_000).to_string(),
        _ => format!("{}.{}", rng.u32(5..9_000), rng.u32(1..100)),
    }
}

/// Mostly one order, which changes a level of both tokens.
fn price_change(rng: &mut Rng, markets: &[Names]) -> String {
    let names = busy(rng, markets);
    let orders = if rng.u8(..10) == 0 { 2 } else { 1 };
    let mut entries = String::new();
    for order in 0..orders {
        // Near the touch, as most.
        let price = 500 - rng.u32(1..200) * rng.u32(1..3);
        let size = size(rng);
        for (at, token) in names.tokens.iter().enumerate() {
            let comma = if order + at > 0 { "," } else { "" };
            let (price, side) = if at == 0 {
                (price, "BUY")
            } else {
                (1_000 - price, "SELL")
            };
            let (hash, fine) = (text(rng, 16, 40), names.fine);
            let price = decimal(price, fine);
            let (bid, ask) = (decimal(490, fine), decimal(510 + rng.u32(..9), fine));
            write!(
                entries,
                r#"{comma}{{"asset_id":"{token}","price":"{price}","size":"{size}","side":"{side}","hash":"{hash}","best_bid":"{bid}","best_ask":"{ask}"}}"#
            )
            .expect("a string takes all");
        }
    }
    format!(
        r#"{{"market":"{}","price_changes":[{entries}],"timestamp":"17{}","event_type":"price_change"}}"#,
        names.market,
        text(rng, 10, 11)
    )
}

fn snapshot(rng: &mut Rng, markets: &[Names]) -> String {
    let names = busy(rng, markets);
    let mut side = |from: u32| {
        let levels: Vec<_> = (0..LEVELS_A_SIDE)
            .map(|step| {
                let (price, size) = (decimal(from + step * 10, names.fine), size(rng));
                format!(r#"{{"price":"{price}","size":"{size}"}}"#)
            })
            .collect();
        levels.join(",")
    };
    let (bids, asks) = (side(100), side(600));
    format!(
        r#"{{"market":"{}","asset_id":"{}","timestamp":"17{}","hash":"{}","bids":[{bids}],"asks":[{asks}],"event_type":"book"}}"#,
        names.market,
        names.tokens[0],
        text(rng, 10, 11),
        text(rng, 16, 40)
    )
}

fn book() -> OrderBook {
    let level = |price: u32| {
        let price = Price::from_millionths(price * 10_000).expect("is below one");
        Level::new(price, Size::from_millionths(5_000_000))
    };
    let mut book = OrderBook::default();
    book.apply_snapshot(
        (20..20 + LEVELS_A_SIDE).map(level).collect(),
        (51..51 + LEVELS_A_SIDE).map(level).collect(),
    );
    debug_assert_eq!(book.worst_first(Side::Bid).len(), 30);
    book
}
