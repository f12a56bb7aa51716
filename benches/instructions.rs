//! How many instructions the hot path takes, held against a committed baseline:
//! `make instructions`.
//!
//! Machines are noisy and instructions are not: `valgrind --tool=callgrind` counts
//! them to within a fraction of a per cent. Each figure is the difference of two
//! runs of this program, one of which does the same and then a known amount more,
//! so that nothing else is in it.
//!
//! With clients of the streams the threads are counted apart: what the feed's threads
//! take is held against the baseline; what the hub and the reading of all clients take
//! depends on how the threads alternate, and is only shown.
//!
//! The program fails if a figure has grown by more than 5 %. `POLYPY_BLESS=1`
//! writes the baseline instead. Without valgrind it says so and succeeds,
//! unless `POLYPY_INSTRUCTIONS=required`, as in CI.
//!
//! Counted is what valgrind's processor runs, which has no instructions for SHA-1:
//! a hash counts for several times what it is.

#![expect(clippy::print_stdout, reason = "a benchmark's result is its output")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Instant;

use polypy_archive::testing::FaultyDisk;
use polypy_archive::{FlightConfig, FlightRecorder};
use polypy_benches::clock::wall_millis;
use polypy_benches::corpus::Corpus;
use polypy_benches::listeners::Hub;
use polypy_benches::ours::{Applied, Pipeline};
use polypy_benches::reads::{FRAMES_A_READ, Reads};
use polypy_core::{Clock, FrameSink as _, Opened, SocketId, SocketSink, Timestamp};
use polypy_workers::HashChecking;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TOKENS: usize = 200;
const FRAMES: usize = 1_000;
/// Bytes that are kept of a socket: less than the frames have.
const RING: usize = 128 << 10;
/// In per cent. What valgrind counts moves by less than one.
const TOLERANCE: f64 = 5.0;

/// What is counted.
#[derive(Debug, Clone, Copy)]
struct Figure {
    /// As in the baseline.
    name: &'static str,
    threads: Threads,
    /// Does it, with the work to be counted or without, and returns its amount.
    run: fn(&Corpus, Work) -> usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    LeftOut,
    Done,
}

/// Whose instructions are the figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Threads {
    All,
    /// Those that were started before there were clients: the one that reads, the worker's.
    Feed,
}

/// Whose changes are written for somebody who follows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Followed {
    None,
    All,
}

const FIGURES: [Figure; 10] = [
    Figure {
        name: "decode_a_change",
        threads: Threads::All,
        run: decode,
    },
    Figure {
        name: "decode_and_apply_a_change",
        threads: Threads::All,
        run: |corpus, work| apply(corpus, work, HashChecking::Off, Followed::None),
    },
    Figure {
        name: "decode_and_apply_a_followed_change",
        threads: Threads::All,
        run: |corpus, work| apply(corpus, work, HashChecking::Off, Followed::All),
    },
    Figure {
        name: "feed_a_change_to_1_listener",
        threads: Threads::Feed,
        run: |corpus, work| serve(corpus, work, 1),
    },
    Figure {
        name: "feed_a_change_to_10_listeners",
        threads: Threads::Feed,
        run: |corpus, work| serve(corpus, work, 10),
    },
    Figure {
        name: "feed_a_change_to_100_listeners",
        threads: Threads::Feed,
        run: |corpus, work| serve(corpus, work, 100),
    },
    Figure {
        name: "decode_apply_and_hash_a_change",
        threads: Threads::All,
        run: |corpus, work| apply(corpus, work, HashChecking::All, Followed::None),
    },
    Figure {
        name: "decode_and_apply_a_level_of_a_book",
        threads: Threads::All,
        run: open,
    },
    Figure {
        name: "keep_a_frame_for_incidents",
        threads: Threads::All,
        run: keep,
    },
    Figure {
        name: "read_a_top_among_many",
        threads: Threads::All,
        run: tops,
    },
];

/// Tells this program that it is the one to be counted.
const CHILD: &str = "--count";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [flag, name, work] = &arguments[..]
        && flag == CHILD
    {
        let figure = FIGURES.iter().find(|figure| figure.name == name);
        let work = match &**work {
            "done" => Work::Done,
            _ => Work::LeftOut,
        };
        if let Some(figure) = figure {
            black_box((figure.run)(&corpus(), work));
        }
        return ExitCode::SUCCESS;
    }
    match gate() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            println!("instructions: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn corpus() -> Corpus {
    Corpus::warmed(TOKENS, FRAMES)
}

fn gate() -> Result<(), String> {
    if let Some(missing) = missing() {
        let required = std::env::var("POLYPY_INSTRUCTIONS").is_ok_and(|how| how == "required");
        if required {
            return Err(missing);
        }
        println!("instructions: skipped: {missing}");
        return Ok(());
    }
    let corpus = corpus();
    let mut counted = BTreeMap::new();
    for figure in FIGURES {
        let amount = (figure.run)(&corpus, Work::Done);
        let (without, with) = (count(figure, "left-out")?, count(figure, "done")?);
        let a_unit = |with: u64, without| ratio(with.saturating_sub(without), amount);
        let own = a_unit(with.own, without.own);
        counted.insert(figure.name.to_owned(), own);
        if figure.threads != Threads::All {
            let others = a_unit(with.others, without.others);
            println!(
                "instructions: {:36} {others:9.1} in other threads",
                figure.name
            );
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.toml");
    if std::env::var_os("POLYPY_BLESS").is_some() {
        std::fs::write(&file, rendered(&counted)).map_err(|error| error.to_string())?;
        println!("instructions: the baseline is written");
        return Ok(());
    }
    let baseline = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
    judge(&baseline, &counted)
}

/// Compares with the baseline and says what changed.
fn judge(baseline: &str, counted: &BTreeMap<String, f64>) -> Result<(), String> {
    let mut grown = Vec::new();
    for (name, now) in counted {
        let Some(before) = value(baseline, name) else {
            return Err(format!("the baseline does not have {name}; {BLESS}"));
        };
        let change = (now / before - 1.0) * 100.0;
        println!("instructions: {name:36} {now:9.1}, baseline {before:9.1}, {change:+.1} %");
        if change > TOLERANCE {
            grown.push(format!("{name} grew by {change:.1} %"));
        } else if change < -TOLERANCE {
            println!("  shrank by more than {TOLERANCE} %: {BLESS}, so that it stays so");
        }
    }
    if grown.is_empty() {
        Ok(())
    } else {
        Err(format!("{}; if that is wanted, {BLESS}", grown.join(", ")))
    }
}

const BLESS: &str = "write the baseline with `POLYPY_BLESS=1 make instructions`";

/// Why nothing can be counted.
fn missing() -> Option<String> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Some("the baseline is of x86-64 Linux".to_owned());
    }
    match Command::new("valgrind").arg("--version").output() {
        Ok(output) if output.status.success() => None,
        _ => Some("valgrind is not installed (Debian: apt-get install valgrind)".to_owned()),
    }
}

/// Instructions of one run of this program.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    /// Of the threads whose instructions are the figure.
    own: u64,
    others: u64,
}

fn count(figure: Figure, work: &str) -> Result<Counted, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let folder = Folder::new()?;
    let file = folder.0.join("counted");
    let output = Command::new("valgrind")
        // A long copy is one instruction that valgrind counts for each byte.
        .env(
            "GLIBC_TUNABLES",
            "glibc.cpu.x86_rep_movsb_threshold=100000000",
        )
        .args(["--tool=callgrind", "--separate-threads=yes"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(own)
        .args([CHILD, figure.name, work])
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}: {}: {said}", figure.name, output.status));
    }
    let feed = [1, 2];
    let mut counted = Counted::default();
    for (thread, instructions) in folder.threads()? {
        match figure.threads {
            Threads::Feed if !feed.contains(&thread) => counted.others += instructions,
            Threads::All | Threads::Feed => counted.own += instructions,
        }
    }
    if counted.own == 0 {
        return Err(format!("{}: valgrind counted nothing", figure.name));
    }
    Ok(counted)
}

/// Where valgrind writes a file for each thread. It is removed again.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, String> {
        let name = format!("polypy-instructions-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).map_err(|error| error.to_string())?;
        Ok(Self(path))
    }

    /// The threads by the order in which they were started, from one on, and what each took.
    fn threads(&self) -> Result<Vec<(u32, u64)>, String> {
        let files = std::fs::read_dir(&self.0).map_err(|error| error.to_string())?;
        let mut threads = Vec::new();
        for file in files {
            let path = file.map_err(|error| error.to_string())?.path();
            let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
            threads.extend(thread(&text));
        }
        Ok(threads)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _result = std::fs::remove_dir_all(&self.0);
    }
}

/// What one file says: the first one is of no thread, and is empty.
fn thread(file: &str) -> Option<(u32, u64)> {
    let after = |name| file.lines().find_map(|line| line.strip_prefix(name));
    let number = after("thread: ")?.trim().parse().ok()?;
    let instructions = after("totals: ")?.trim().parse().ok()?;
    Some((number, instructions))
}

fn rendered(counted: &BTreeMap<String, f64>) -> String {
    let mut text = String::from(
        "# Instructions on x86-64, counted by `make instructions`, which fails if one of\n\
         # them grows by more than 5 %. Written by `POLYPY_BLESS=1 make instructions`.\n",
    );
    for (name, value) in counted {
        let written = writeln!(text, "{name} = {value:.1}");
        debug_assert!(written.is_ok(), "a string takes all");
    }
    text
}

/// A number of the baseline.
fn value(baseline: &str, name: &str) -> Option<f64> {
    let mut entries = baseline.lines().filter_map(|line| line.split_once(" = "));
    let (_, value) = entries.find(|(key, _)| *key == name)?;
    value.trim().parse().ok()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "far below where a float loses a unit"
)]
fn ratio(instructions: u64, amount: usize) -> f64 {
    instructions as f64 / amount.max(1) as f64
}

/// Warm is: decoded once before. Nobody keeps the frames, which is asked of each read.
fn decode(corpus: &Corpus, work: Work) -> usize {
    let mut nobody: Option<Box<dyn SocketSink>> = black_box(None);
    let mut pipeline = Pipeline::start(HashChecking::Off, Applied::InPlace);
    let (mut reads, mut changes) = (Reads::default(), 0);
    let passes = if work == Work::Done { 2 } else { 1 };
    for _ in 0..passes {
        let spent = reads.each(&corpus.frames, |read| {
            if let Some(sink) = black_box(&mut nobody) {
                sink.received(&[], &[], true, Instant::now());
            }
            black_box(pipeline.decode(&corpus.interner, read)).len()
        });
        changes = spent.units;
    }
    changes
}

fn apply(corpus: &Corpus, work: Work, hash: HashChecking, followed: Followed) -> usize {
    let mut pipeline = Pipeline::start(hash, Applied::InPlace);
    let mut reads = Reads::default();
    let rest = warm_up(corpus, &mut pipeline, &mut reads);
    if followed == Followed::All {
        pipeline.follow(corpus.keys());
    }
    let changes = match work {
        Work::Done => play(rest, corpus, &mut pipeline, &mut reads),
        Work::LeftOut => 0,
    };
    pipeline.settle();
    changes
}

/// As [`apply`], followed by clients that are each told of every change.
fn serve(corpus: &Corpus, work: Work, clients: usize) -> usize {
    let hub = Hub::new(clients);
    let mut pipeline = Pipeline::writing_to(hub.sink(), HashChecking::Off, Applied::InPlace);
    let mut reads = Reads::default();
    let rest = warm_up(corpus, &mut pipeline, &mut reads);
    let listeners = hub.listen(corpus, pipeline.changes(), clients);
    let changes = match work {
        Work::Done => play(rest, corpus, &mut pipeline, &mut reads),
        Work::LeftOut => 0,
    };
    listeners.read(changes);
    pipeline.settle();
    changes
}

/// Opens the books and plays the first frames. The frames that are left.
fn warm_up<'corpus>(
    corpus: &'corpus Corpus,
    pipeline: &mut Pipeline,
    reads: &mut Reads,
) -> &'corpus [String] {
    let (first, rest) = corpus.frames.split_at(corpus.warm_up);
    play(&corpus.openings, corpus, pipeline, reads);
    play(first, corpus, pipeline, reads);
    rest
}

/// Plays frames. The changes in them.
fn play(frames: &[String], corpus: &Corpus, pipeline: &mut Pipeline, reads: &mut Reads) -> usize {
    let spent = reads.each(frames, |read| pipeline.read(&corpus.interner, read));
    spent.units
}

fn open(corpus: &Corpus, work: Work) -> usize {
    let mut pipeline = Pipeline::start(HashChecking::Off, Applied::InPlace);
    let mut reads = Reads::default();
    let mut play = |frames: &[String]| {
        let spent = reads.each(frames, |read| pipeline.read(&corpus.interner, read));
        60 * spent.units
    };
    let (first, rest) = corpus.openings.split_at(TOKENS / 2);
    play(first);
    let levels = match work {
        Work::Done => play(rest),
        Work::LeftOut => 0,
    };
    pipeline.settle();
    levels
}

/// The tops of all books, again and again.
fn tops(corpus: &Corpus, work: Work) -> usize {
    const ROUNDS: usize = 100;
    let mut pipeline = Pipeline::start(HashChecking::Off, Applied::InPlace);
    let mut reads = Reads::default();
    reads.each(&corpus.openings, |read| {
        pipeline.read(&corpus.interner, read)
    });
    pipeline.settle();
    let keys: Vec<_> = corpus.keys().collect();
    let rounds = if work == Work::Done { ROUNDS } else { 0 };
    (0..rounds).map(|_| pipeline.tops(&keys)).sum()
}

struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(wall_millis())
    }
}

/// Frames in the groups in which a socket hands them over, to the flight recorder. Its ring
/// is full: each group pushes another one out.
fn keep(corpus: &Corpus, work: Work) -> usize {
    const ROUNDS: usize = 20;
    let groups: Vec<(Vec<u8>, Vec<usize>)> = corpus
        .frames
        .chunks(FRAMES_A_READ)
        .map(|frames| {
            let (mut bytes, mut ends) = (Vec::new(), Vec::new());
            for frame in frames {
                bytes.extend_from_slice(frame.as_bytes());
                ends.push(bytes.len());
            }
            (bytes, ends)
        })
        .collect();
    let config = FlightConfig {
        memory: RING,
        ..FlightConfig::new(Path::new("incidents"))
    };
    let disk = Arc::new(FaultyDisk::default());
    let recorder = FlightRecorder::new(config, ("a-run", "0"), disk, Arc::new(Wall));
    let mut sink = recorder.inlet().opened(&Opened {
        socket: SocketId(1),
        connection: "conn-1",
        is_replacement: false,
        at: Instant::now(),
    });
    let mut pass = || {
        for (bytes, ends) in &groups {
            sink.received(bytes, ends, true, Instant::now());
        }
        corpus.frames.len()
    };
    pass();
    let rounds = if work == Work::Done { ROUNDS } else { 0 };
    (0..rounds).map(|_| pass()).sum()
}
