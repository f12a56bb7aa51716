//! What recording costs, and whom: `make bench-record`.
//!
//! The release binary keeps the books of 2,000 tokens that a replay of the made-up venue
//! sends at 100,000 frames a second, 650 B each, every hash true. It does so three times: without
//! a recording, with one, and without. Nothing is pinned: the replay, the feed and the
//! recorder share the machine.
//!
//! | word | meaning |
//! |---|---|
//! | feed | threads `polypy-io` and `polypy-worker-*`: sockets, the copy for the recorder, decoding, books |
//! | recorder | the thread `polypy-record` |
//! | live | bytes of the folder as the program left it, for each frame in it |
//! | compact | the same after `polypy compact` |
//! | gzip | bytes that `gzip -6` makes of lines `{"t_ms":..,"frame":..}` of the same frames |
//!
//! The program fails if a bar is missed. `POLYPY_BENCH_PROGRAM` is the program,
//! `POLYPY_BENCH_SECONDS` (60) the length of each of the three, `POLYPY_BENCH_RATE` (100,000)
//! the frames a second.

#![expect(clippy::print_stdout, reason = "a benchmark's result is its output")]

use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use polypy_benches::clock::machine_nanos;
use polypy_benches::corpus::{Corpus, Telling};
use polypy_benches::recording::Failure;
use polypy_benches::recording::folder::{Scratch, bytes, run, write};
use polypy_benches::recording::packed::gzipped;
use polypy_benches::recording::replay::Replay;
use polypy_benches::runs::{note, number};
use polypy_benches::stream::program::{Part, Program, process_cpu};
use serde::Serialize;
use serde_json::Value;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TOKENS: usize = 2_000;
const SECONDS: usize = 60;
const RATE: usize = 100_000;
/// From the moment at which every book is live.
const SETTLE: Duration = Duration::from_secs(2);
/// What the program may take from the first frame until every book is live.
const OPENING: usize = 15;

/// The feed's processor time a frame with a recording, to that without.
const FEED: f64 = 1.10;
/// Bytes a frame, to those of gzip.
const LIVE: f64 = 0.85;
const COMPACT: f64 = 0.6;
/// The share of the rate that has to come.
const CAME: f64 = 0.98;

fn main() -> ExitCode {
    match measure() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("record: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What some seconds of the feed took.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Stretch {
    nanos: u64,
    frames: u64,
    feed_nanos: u64,
    recorder_nanos: u64,
    venue_nanos: u64,
    live: u64,
    went_stale: u64,
    hashes_failed: u64,
    /// Frames that the recorder did not write, and did not recover.
    lost: u64,
}

impl Stretch {
    fn rate(&self) -> f64 {
        1e9 * ratio(self.frames, self.nanos)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "far below where a float loses a unit"
)]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

struct Bench {
    program: String,
    tokens: Vec<String>,
    scratch: Scratch,
    length: Duration,
}

fn measure() -> Result<bool, Failure> {
    let program = std::env::var("POLYPY_BENCH_PROGRAM").map_err(
        |_unset| "POLYPY_BENCH_PROGRAM is the path of the program: run `make bench-record`",
    )?;
    let seconds = number("POLYPY_BENCH_SECONDS", 1).unwrap_or(SECONDS);
    let rate = number("POLYPY_BENCH_RATE", 1).unwrap_or(RATE);
    let scratch = Scratch::new("record")?;
    let (mut telling, frames) = (Telling::seeded(TOKENS), rate * (seconds + OPENING));
    let openings = telling.openings().into_iter();
    let told = openings.chain((0..frames).map(|_| telling.next_frame()));
    let nanos = 1_000_000_000 / u64::try_from(rate)?;
    write(&scratch.join("venue"), told, nanos)?;
    let bench = Bench {
        program,
        tokens: Corpus::seeded(TOKENS, 0)
            .books()
            .map(|(info, _)| info.asset_id.to_string())
            .collect(),
        scratch,
        length: Duration::from_secs(u64::try_from(seconds)?),
    };
    let recording = bench.scratch.join("recording");
    let before = bench.stretch(None)?;
    let recorded = bench.stretch(Some(&recording))?;
    let after = bench.stretch(None)?;

    println!("record: {rate} frames a second for {seconds} s, {TOKENS} tokens");
    println!(
        "  {:>10}  {:>9}  {:>12}  {:>16}  {:>13}  stale  lost",
        "", "frames/s", "feed, ns", "recorder, ns", "replay, ns"
    );
    let all = [("none", before), ("recording", recorded), ("none", after)];
    for (name, stretch) in &all {
        println!(
            "  {name:>10}  {:>9.0}  {:>12.0}  {:>16.0}  {:>13.0}  {:>5}  {:>4}",
            stretch.rate(),
            ratio(stretch.feed_nanos, stretch.frames),
            ratio(stretch.recorder_nanos, stretch.frames),
            ratio(stretch.venue_nanos, stretch.frames),
            stretch.went_stale,
            stretch.lost,
        );
        note(stretch);
    }
    let (frames, gzip) = gzipped(&bench.program, &recording)?;
    let live = bytes(&recording)?;
    run(&bench.program, &["compact".as_ref(), recording.as_ref()])?;
    let compact = bytes(&recording)?;
    println!(
        "  {frames} frames in the recording: {:.1} B a frame live, {:.1} compact, {:.1} gzip",
        ratio(live, frames),
        ratio(compact, frames),
        ratio(gzip, frames)
    );
    let feed = |stretch: &Stretch| ratio(stretch.feed_nanos, stretch.frames);
    let without = (feed(&before) + feed(&after)) / 2.0;
    let sum = |of: fn(&Stretch) -> u64| -> u64 { all.iter().map(|(_, each)| of(each)).sum() };
    let is_live = all
        .iter()
        .all(|(_, each)| usize::try_from(each.live).is_ok_and(|live| live == TOKENS));
    let wanted = ratio(u64::try_from(rate)?, 1) * CAME;
    let bars = [
        (
            "frames a second",
            recorded.rate(),
            recorded.rate() >= wanted,
        ),
        (
            "the feed with a recording, to none",
            feed(&recorded) / without,
            feed(&recorded) <= FEED * without,
        ),
        ("frames lost", ratio(recorded.lost, 1), recorded.lost == 0),
        (
            "books that went stale",
            ratio(sum(|each| each.went_stale), 1),
            sum(|each| each.went_stale) == 0 && is_live,
        ),
        (
            "hashes that failed",
            ratio(sum(|each| each.hashes_failed), 1),
            sum(|each| each.hashes_failed) == 0,
        ),
        (
            "bytes a frame live, to gzip",
            ratio(live, gzip),
            ratio(live, gzip) <= LIVE,
        ),
        (
            "bytes a frame compact, to gzip",
            ratio(compact, gzip),
            ratio(compact, gzip) <= COMPACT,
        ),
    ];
    for (name, is, holds) in bars {
        println!(
            "  {} {name}: {is:.3}",
            if holds { "holds    " } else { "is missed" }
        );
    }
    Ok(bars.iter().all(|(_, _, holds)| *holds))
}

impl Bench {
    /// Plays the venue to a program that records there, or nowhere.
    fn stretch(&self, record: Option<&Path>) -> Result<Stretch, Failure> {
        let venue = Replay::start(&self.program, &self.scratch.join("venue"), "1x")?;
        let record = record.map(|folder| format!("--record={}", folder.display()));
        let record: Vec<_> = record.into_iter().collect();
        let place = venue.place(self.tokens.clone());
        let program = Program::start_with(&self.program, &place, &record)?;
        thread::sleep(SETTLE);
        let (start, frames) = (machine_nanos(), frames_of(&program.stats()?)?);
        let (threads, before) = (program.threads()?, process_cpu(venue.id())?);
        let end = Instant::now() + self.length;
        thread::sleep(end.saturating_duration_since(Instant::now()));
        let (nanos, stats) = (machine_nanos() - start, program.stats()?);
        let after = program.threads()?;
        let stretch = Stretch {
            nanos,
            frames: frames_of(&stats)? - frames,
            feed_nanos: after.since(&threads, Part::Feed),
            recorder_nanos: after.since(&threads, Part::Recorder),
            venue_nanos: process_cpu(venue.id())? - before,
            live: count(&stats, "/workers/books/live")?,
            went_stale: count(&stats, "/workers/events/went_stale")?,
            hashes_failed: count(&stats, "/workers/integrity/hash/failed")?,
            lost: if record.is_empty() {
                0
            } else {
                let causes = ["behind", "too_long", "disk"];
                let lost = causes.map(|cause| count(&stats, &format!("/recorder/lost_{cause}")));
                lost.into_iter().sum::<Result<u64, _>>()?
            },
        };
        program.end()?;
        Ok(stretch)
    }
}

/// Frames that the program has read.
fn frames_of(stats: &Value) -> Result<u64, Failure> {
    Ok(count(stats, "/wire/fast_frames")? + count(stats, "/wire/general_frames")?)
}

fn count(stats: &Value, path: &str) -> Result<u64, Failure> {
    let found = stats.pointer(path).and_then(Value::as_u64);
    found.ok_or_else(|| format!("/stats has no {path}").into())
}
