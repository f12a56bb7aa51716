//! What frames cost on their way into books:
//! `cargo bench -p polypy-benches --bench hot_path`.
//!
//! Nanoseconds of processor time for a level change (for a level, in whole
//! books), medians of seven runs in which the ways take turns. Each run begins
//! with fresh books and plays the venue's story once, the beginning of it off the
//! clock.
//!
//! - `ours`: decoded, routed, applied and checked as the program does, all on one
//!   thread; every check but that of hashes;
//! - `ours, every hash`: that one, too, for both tokens of every frame;
//! - `ours, decode`, `ours, apply`: the two parts of it, each by itself. With few
//!   tokens their sum is more than the whole, for in between the events are put away;
//!   with many it is less, for in the whole they take the caches from each other;
//! - `ours, queue`: what it costs the socket's thread to hand events to the
//!   worker's instead of applying them;
//! - `typed serde_json + BTreeMap`: as clients commonly do it, nothing checked.
//!
//! A few markets have most of the traffic, as at the venue. What it costs at worst,
//! when all of them are equally busy, is measured, too.
//!
//! `POLYPY_BENCH_TOKENS` takes another number of tokens instead of 2,000 and 50,000.
//! A run in which anything else was counted than changes applied and checks passed
//! ends the program, and so does the first of each venue if any book is not the
//! venue's own afterwards.

use std::hint::black_box;

use polypy_benches::checksum::Checksum;
use polypy_benches::corpus::Corpus;
use polypy_benches::ours::{Applied, Pipeline};
use polypy_benches::reads::{FRAMES_A_READ, Read, Reads};
use polypy_benches::runs::{Repeat, Title, Way, measure, number};
use polypy_benches::spent::Spent;
use polypy_benches::typed;
use polypy_core::MarketEvent;
use polypy_workers::HashChecking;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Enough for every busy book to be out of the nearest cache in between.
const FRAMES: usize = 100_000;
/// Of queued events: well below what a worker's queue takes.
const FRAMES_A_SETTLE: usize = 4_096;

const CHANGES: [Way<Bench>; 6] = [
    ("ours", Bench::ours),
    ("ours, every hash", Bench::ours_hashed),
    ("ours, decode", Bench::decode),
    ("ours, apply", Bench::apply),
    ("ours, queue", Bench::queue),
    ("typed serde_json + BTreeMap", Bench::typed),
];

const EVEN: [Way<Bench>; 3] = [
    ("ours", Bench::ours),
    ("ours, decode", Bench::decode),
    ("ours, apply", Bench::apply),
];

const BOOKS: [Way<Bench>; 3] = [
    ("ours", Bench::ours_opened),
    ("ours, every hash", Bench::ours_opened_hashed),
    ("typed serde_json + BTreeMap", Bench::typed_opened),
];

fn main() {
    let only = number("POLYPY_BENCH_TOKENS", 2);
    for tokens in only.map_or(vec![2_000, 50_000], |tokens| vec![tokens]) {
        let mut bench = Bench::new(Corpus::warmed(tokens, FRAMES));
        let bytes = bench.corpus.frame_bytes();
        let on = format!("{tokens} tokens, {FRAMES} frames of {bytes} bytes");
        bench.measure(&on, "change", &CHANGES);
        let on = format!("{tokens} tokens, first books of 60 levels");
        bench.measure(&on, "level", &BOOKS);
        let mut bench = Bench::new(Corpus::even(tokens, FRAMES));
        let on = format!("{tokens} tokens, all equally busy");
        bench.measure(&on, "change", &EVEN);
    }
}

struct Bench {
    corpus: Corpus,
    truth: Checksum,
    /// Levels in the openings.
    levels: usize,
    reads: Reads,
    /// Whether our books were compared with the venue's, which takes long.
    compared: bool,
}

impl Bench {
    fn new(corpus: Corpus) -> Self {
        Self {
            truth: corpus.checksum(),
            levels: 60 * corpus.openings.len(),
            corpus,
            reads: Reads::default(),
            compared: false,
        }
    }

    fn measure(&mut self, on: &str, each: &str, ways: &[Way<Self>]) {
        let bench = "hot path";
        measure(self, &Title { bench, on, each }, Repeat::Once, ways);
    }

    fn open(&mut self, hash: HashChecking, applied: Applied) -> (Pipeline, Spent) {
        let mut pipeline = Pipeline::start(hash, applied);
        let Corpus {
            interner, openings, ..
        } = &self.corpus;
        let mut spent = self.reads.each(openings, |read| {
            let number = pipeline.read(interner, read);
            if applied == Applied::Queued {
                pipeline.settle();
            }
            number
        });
        pipeline.settle();
        spent.units = self.levels;
        (pipeline, spent)
    }

    /// After the whole story was told.
    fn close(&mut self, pipeline: &Pipeline) {
        let corpus = &self.corpus;
        let (books, frames) = (corpus.openings.len(), corpus.frames.len());
        pipeline.verify(books, frames, corpus.changes);
        if !self.compared {
            self.compared = true;
            pipeline.compare(corpus);
        }
    }

    fn play(&mut self, hash: HashChecking) -> Spent {
        let (mut pipeline, _) = self.open(hash, Applied::InPlace);
        let Corpus {
            interner, frames, ..
        } = &self.corpus;
        let (first, rest) = frames.split_at(self.corpus.warm_up);
        let [_, spent] = [first, rest].map(|frames| {
            self.reads
                .each(frames, |read| pipeline.read(interner, read))
        });
        self.close(&pipeline);
        spent
    }

    fn ours(&mut self) -> Spent {
        self.play(HashChecking::Off)
    }

    fn ours_hashed(&mut self) -> Spent {
        self.play(HashChecking::All)
    }

    fn decode(&mut self) -> Spent {
        let mut pipeline = Pipeline::start(HashChecking::Off, Applied::InPlace);
        let Corpus {
            interner, frames, ..
        } = &self.corpus;
        let (first, rest) = frames.split_at(self.corpus.warm_up);
        let [_, spent] = [first, rest].map(|frames| {
            self.reads.each(frames, |read| {
                black_box(pipeline.decode(interner, read)).len()
            })
        });
        spent
    }

    fn apply(&mut self) -> Spent {
        let (mut pipeline, _) = self.open(HashChecking::Off, Applied::InPlace);
        let mut spent = Spent::default();
        self.each_decoded(&mut pipeline, &mut spent, |clock, pipeline, reads| {
            clock.on(|| deliver(pipeline, reads));
        });
        self.close(&pipeline);
        spent
    }

    fn queue(&mut self) -> Spent {
        let (mut pipeline, _) = self.open(HashChecking::Off, Applied::Queued);
        let (mut spent, mut frames) = (Spent::default(), 0);
        self.each_decoded(&mut pipeline, &mut spent, |clock, pipeline, reads| {
            clock.on_this_thread(|| deliver(pipeline, reads));
            frames += reads.len() * FRAMES_A_READ;
            if frames.is_multiple_of(FRAMES_A_SETTLE) {
                pipeline.settle();
            }
        });
        self.close(&pipeline);
        spent
    }

    /// Hands over events of several reads at a time, a vector for each read, with
    /// the clock to be used for them: `spent` once the warm-up is behind.
    fn each_decoded(
        &mut self,
        pipeline: &mut Pipeline,
        spent: &mut Spent,
        mut then: impl FnMut(&mut Spent, &mut Pipeline, &mut [Vec<MarketEvent>]),
    ) {
        let corpus = &self.corpus;
        let mut decoded = vec![Vec::new(); 16];
        let chunks = corpus.frames.chunks(decoded.len() * FRAMES_A_READ);
        let mut told = 0;
        for frames in chunks {
            let (is_warm, mut at) = (told >= corpus.warm_up, 0);
            told += frames.len();
            self.reads.each(frames, |read| {
                decoded[at].append(pipeline.decode(&corpus.interner, read));
                at += 1;
                0
            });
            let mut off_the_clock = Spent::default();
            let clock = if is_warm {
                &mut *spent
            } else {
                &mut off_the_clock
            };
            then(clock, pipeline, &mut decoded[..at]);
        }
    }

    fn typed(&mut self) -> Spent {
        let (mut books, _) = self.open_typed();
        let (first, rest) = self.corpus.frames.split_at(self.corpus.warm_up);
        let [_, spent] = [first, rest].map(|frames| {
            let apply = |read: Read<'_>| read.frames().map(|frame| books.apply(frame)).sum();
            self.reads.each(frames, apply)
        });
        assert_eq!(books.checksum(), self.truth, "the books are the venue's");
        spent
    }

    fn open_typed(&mut self) -> (typed::Books, Spent) {
        let mut books = typed::Books::default();
        let spent = self.reads.each(&self.corpus.openings, |read| {
            read.frames().map(|frame| books.apply(frame)).sum()
        });
        (books, spent)
    }

    fn ours_opened(&mut self) -> Spent {
        let (pipeline, spent) = self.open(HashChecking::Off, Applied::InPlace);
        pipeline.verify(self.corpus.openings.len(), 0, 0);
        spent
    }

    fn ours_opened_hashed(&mut self) -> Spent {
        let (pipeline, spent) = self.open(HashChecking::All, Applied::InPlace);
        pipeline.verify(self.corpus.openings.len(), 0, 0);
        spent
    }

    fn typed_opened(&mut self) -> Spent {
        let (books, spent) = self.open_typed();
        assert_eq!(books.checksum().levels, self.levels as u64);
        spent
    }
}

/// Delivers the events of several reads, and says how many they were.
fn deliver(pipeline: &mut Pipeline, reads: &mut [Vec<MarketEvent>]) -> usize {
    let delivered = reads.iter_mut().map(|events| pipeline.deliver(events));
    delivered.sum()
}
