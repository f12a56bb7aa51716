//! Frames a second of a recording that is played to a bare client: `make bench-replay`.
//!
//! The release binary plays a recording of the corpus (2,000 tokens, 650 B a frame, one
//! socket) with `--speed max`. One client subscribes every token on one
//! connection, takes frames off what it reads, and does nothing else. The clock runs from
//! the first byte of a frame to the last frame; reading the recording for its tokens, which
//! the program does before it listens, is not in it, and is printed.
//!
//! The first play is not counted: in it each frame is held against what was recorded, byte
//! for byte and in order. Of the others the median counts. The program fails below 300,000
//! frames a second. `POLYPY_BENCH_PROGRAM` is the program, `POLYPY_BENCH_FRAMES`
//! (1,000,000) the length of the recording, `POLYPY_BENCH_RUNS` (5) how often it is played.

#![expect(clippy::print_stdout, reason = "a benchmark's result is its output")]

use std::path::Path;
use std::process::ExitCode;

use polypy_benches::clock::{machine_nanos, thread_nanos};
use polypy_benches::corpus::Corpus;
use polypy_benches::recording::Failure;
use polypy_benches::recording::bare::Bare;
use polypy_benches::recording::folder::{Scratch, write};
use polypy_benches::recording::replay::Replay;
use polypy_benches::runs::{note, number};
use polypy_benches::stream::program::process_cpu;
use serde::Serialize;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TOKENS: usize = 2_000;
const FRAMES: usize = 1_000_000;
const RUNS: usize = 5;
/// Nanoseconds between two frames of the recording.
const EVERY: u64 = 10_000;
/// Frames a second.
const BAR: u64 = 300_000;

fn main() -> ExitCode {
    match measure() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("replay: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One play.
#[derive(Debug, Clone, Copy, Serialize)]
struct Played {
    frames: u64,
    bytes: u64,
    nanos: u64,
    /// Processor time.
    program_nanos: u64,
    client_nanos: u64,
    /// From the program's start until it listened.
    start_nanos: u64,
}

impl Played {
    fn rate(&self) -> u64 {
        let frames = u128::from(self.frames) * 1_000_000_000;
        u64::try_from(frames / u128::from(self.nanos.max(1))).unwrap_or(u64::MAX)
    }
}

/// Whether the bar holds.
fn measure() -> Result<bool, Failure> {
    let program = std::env::var("POLYPY_BENCH_PROGRAM").map_err(
        |_unset| "POLYPY_BENCH_PROGRAM is the path of the program: run `make bench-replay`",
    )?;
    let frames = number("POLYPY_BENCH_FRAMES", 1).unwrap_or(FRAMES);
    let runs = number("POLYPY_BENCH_RUNS", 1).unwrap_or(RUNS);
    let corpus = Corpus::seeded(TOKENS, frames);
    let scratch = Scratch::new("replay")?;
    let folder = scratch.join("recording");
    let all = || corpus.openings.iter().chain(&corpus.frames);
    write(&folder, all().cloned(), EVERY)?;
    let tokens: Vec<_> = corpus
        .books()
        .map(|(info, _)| info.asset_id.to_string())
        .collect();
    let (mut expected, count) = (all(), all().count());
    let (mut at, mut wrong) = (0, None);
    play(&program, &folder, &tokens, count, |text| {
        if expected.next().map(String::as_bytes) != Some(text) {
            wrong.get_or_insert(at);
        }
        at += 1;
    })?;
    if let Some(at) = wrong {
        return Err(format!("frame {at} is not what was recorded").into());
    }

    println!(
        "replay: {count} frames of {} B, {TOKENS} tokens",
        corpus.frame_bytes()
    );
    println!("   frames/s   µs a frame: program, client   s until it listens");
    let mut rates = Vec::new();
    for _ in 0..runs {
        let played = play(&program, &folder, &tokens, count, |_| {})?;
        println!(
            "  {:>9} {:>21} {:>7} {:>20}",
            played.rate(),
            thousandths(played.program_nanos / played.frames),
            thousandths(played.client_nanos / played.frames),
            thousandths(played.start_nanos / 1_000_000),
        );
        note(&played);
        rates.push(played.rate());
    }
    rates.sort_unstable();
    let median = rates[rates.len() / 2];
    let holds = median >= BAR;
    let verdict = if holds { "holds" } else { "is missed" };
    println!("  median {median}; the bar of {BAR} {verdict}");
    Ok(holds)
}

fn thousandths(number: u64) -> String {
    format!("{}.{:03}", number / 1_000, number % 1_000)
}

fn play(
    program: &str,
    folder: &Path,
    tokens: &[String],
    texts: usize,
    mut each: impl FnMut(&[u8]),
) -> Result<Played, Failure> {
    let begun = machine_nanos();
    let replay = Replay::start(program, folder, "max")?;
    let start_nanos = machine_nanos() - begun;
    let mut client = Bare::connect(replay.address)?;
    client.subscribe(tokens)?;
    let mut bytes = 0;
    let mut take = |text: &[u8]| {
        bytes += u64::try_from(text.len()).unwrap_or(u64::MAX);
        each(text);
    };
    client.read(1, &mut take)?;
    let before = (machine_nanos(), process_cpu(replay.id())?, thread_nanos());
    client.read(texts - 1, take)?;
    let after = (machine_nanos(), process_cpu(replay.id())?, thread_nanos());
    Ok(Played {
        frames: u64::try_from(texts)?,
        bytes,
        nanos: after.0 - before.0,
        program_nanos: after.1 - before.1,
        client_nanos: after.2 - before.2,
        start_nanos,
    })
}
