//! What decoding costs: `cargo bench -p polypy-benches --bench decode`.
//!
//! Nanoseconds of the thread's own time for a level change (for a level, in
//! whole books), medians of seven runs in which the ways take turns. Frames are
//! copied to a place of their own first, as a socket's read does; that is not on
//! the clock.
//!
//! - `fast`: as the program decodes;
//! - `general`: the way behind it, which reads every frame;
//! - `typed serde_json`: into structs of `String`s, as clients commonly do, with
//!   neither a number parsed nor an asset looked up.
//!
//! The frames are the made-up venue's with 2,000 and with 50,000 tokens. Set
//! `POLYPY_CAPTURES` to a directory of recordings to time one of those, too.

#![expect(clippy::print_stdout, reason = "a benchmark's result is its output")]

use std::hint::black_box;

use polypy_benches::captured::{Absent, Captured};
use polypy_benches::corpus::Corpus;
use polypy_benches::reads::Reads;
use polypy_benches::runs::{Repeat, Title, Way, measure};
use polypy_benches::spent::Spent;
use polypy_benches::typed::Event;
use polypy_core::{Interner, MarketEvent};
use polypy_net::wire::{Decoded, Reading, WireStats, decode_generally};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Too many for the branch predictor to know by heart.
const FRAMES: usize = 20_000;
const BOOKS: usize = 2_000;

const WAYS: [Way<Bench>; 3] = [
    ("fast", Bench::fast),
    ("general", Bench::general),
    ("typed serde_json", Bench::typed),
];

fn main() {
    for tokens in [2_000, 50_000] {
        let corpus = Corpus::seeded(tokens, FRAMES);
        let on = format!("{tokens} tokens");
        time(Bench::new(corpus.frames, corpus.interner), &on, "change");
    }
    let corpus = Corpus::seeded(BOOKS, 0);
    time(
        Bench::new(corpus.openings, corpus.interner),
        "books of 60 levels",
        "level",
    );
    match Captured::price_changes(FRAMES) {
        Ok(Captured { frames, interner }) => {
            time(
                Bench::new(frames, interner),
                "recorded, 12 tokens",
                "change",
            );
        }
        Err(Absent(reason)) => println!("no recording: {reason}"),
    }
}

fn time(mut bench: Bench, on: &str, each: &str) {
    let bytes: usize = bench.frames.iter().map(String::len).sum();
    let units = bench.fast().units;
    assert_eq!(units, bench.general().units, "both read the same");
    let frames = bench.frames.len();
    let on = format!(
        "{on}, {frames} frames of {} bytes, {units} {each}s",
        bytes / frames
    );
    let title = Title {
        bench: "decode",
        on: &on,
        each,
    };
    measure(&mut bench, &title, Repeat::Long, &WAYS);
}

struct Bench {
    frames: Vec<String>,
    assets: Interner,
    stats: WireStats,
    decoded: Decoded,
    reads: Reads,
}

impl Bench {
    fn new(frames: Vec<String>, assets: Interner) -> Self {
        Self {
            frames,
            assets,
            stats: WireStats::default(),
            decoded: Decoded::default(),
            reads: Reads::default(),
        }
    }

    fn fast(&mut self) -> Spent {
        let Self {
            frames,
            assets,
            stats,
            decoded,
            reads,
        } = self;
        reads.each(frames, |read| {
            decoded.clear();
            let mut reading = Reading::new(assets, stats, decoded);
            read.frames().for_each(|frame| reading.expect(frame));
            for frame in read.frames() {
                reading.frame(frame);
            }
            drop(reading);
            weigh(black_box(&decoded.events))
        })
    }

    fn general(&mut self) -> Spent {
        let Self {
            frames,
            assets,
            stats,
            decoded,
            reads,
        } = self;
        reads.each(frames, |read| {
            decoded.clear();
            for frame in read.frames() {
                decode_generally(frame, assets, stats, decoded);
            }
            weigh(black_box(&decoded.events))
        })
    }

    fn typed(&mut self) -> Spent {
        self.reads.each(&self.frames, |read| {
            let events = read.frames().flat_map(|frame| black_box(Event::of(frame)));
            events.map(|event| event.weight()).sum()
        })
    }
}

/// Changes or levels.
fn weigh(events: &[MarketEvent]) -> usize {
    let weights = events.iter().map(|event| match event {
        MarketEvent::Book(book) => book.bids.len() + book.asks.len(),
        _ => 1,
    });
    weights.sum()
}
