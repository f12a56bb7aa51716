//! The product's side of `make bench-peers`, which runs it.
//!
//! | arguments | what it does |
//! |---|---|
//! | `corpus FOLDER TOKENS` | writes the corpus for the rivals |
//! | `ours FOLDER TOKENS`, `typed FOLDER` | plays it once and says what was found |
//! | `compare FOLDER TOKENS PROGRAM..` | has ours, typed and the rivals' programs take turns, and prints their medians |
//!
//! All of them have the system's allocator: whoever uses a crate chooses another or not.

#![expect(clippy::print_stdout, reason = "a benchmark's result is its output")]
#![expect(clippy::print_stderr, reason = "so is its progress")]

use std::fmt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use polypy_benches::checksum::Checksum;
use polypy_benches::corpus::Corpus;
use polypy_benches::ours::{Applied, Pipeline};
use polypy_benches::reads::Read;
use polypy_benches::story::{Story, Way};
use polypy_benches::typed::Books;
use polypy_workers::HashChecking;
use serde::Deserialize;

const FRAMES: usize = 100_000;
/// Odd, so that there is a middle one.
const ROUNDS: usize = 7;

type Outcome = Result<ExitCode, Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["corpus", folder, tokens] => {
            story(&corpus(tokens)?).write(Path::new(folder))?;
        }
        ["ours", _, tokens] => {
            let corpus = corpus(tokens)?;
            let mut ours = Ours {
                pipeline: Pipeline::start(HashChecking::Off, Applied::InPlace),
                corpus: &corpus,
            };
            println!("{}", story(&corpus).time("PolyPy", &mut ours));
        }
        ["typed", folder] => {
            let story = Story::read(Path::new(folder))?;
            let mut typed = Typed(Books::default());
            println!("{}", story.time("typed serde_json + BTreeMap", &mut typed));
        }
        ["compare", folder, tokens, ref programs @ ..] => return compare(folder, tokens, programs),
        _ => return Err("see the table on top of side_by_side.rs".into()),
    }
    Ok(ExitCode::SUCCESS)
}

fn corpus(tokens: &str) -> Result<Corpus, std::num::ParseIntError> {
    Ok(Corpus::warmed(tokens.parse()?, FRAMES))
}

fn story(corpus: &Corpus) -> Story {
    let (warm_up, frames) = corpus.frames.split_at(corpus.warm_up);
    let count = |frames: &[String], word| -> usize {
        let counts = frames.iter().map(|frame| frame.matches(word).count());
        counts.sum()
    };
    Story {
        changes: count(frames, r#""side""#),
        levels: count(&corpus.openings, r#""price""#),
        openings: corpus.openings.clone(),
        warm_up: warm_up.to_vec(),
        frames: frames.to_vec(),
        truth: corpus.checksum(),
    }
}

/// The program's own parts, every check on but that of hashes.
struct Ours<'a> {
    pipeline: Pipeline,
    corpus: &'a Corpus,
}

impl Way for Ours<'_> {
    fn read(&mut self, read: Read<'_>) {
        self.pipeline.read(&self.corpus.interner, read);
    }

    fn checksum(&self) -> Checksum {
        let corpus = self.corpus;
        let (books, frames) = (corpus.openings.len(), corpus.frames.len());
        self.pipeline.verify(books, frames, corpus.changes);
        self.pipeline.checksum(corpus.keys())
    }
}

struct Typed(Books);

impl Way for Typed {
    fn read(&mut self, read: Read<'_>) {
        for frame in read.frames() {
            self.0.apply(frame);
        }
    }

    fn checksum(&self) -> Checksum {
        self.0.checksum()
    }
}

/// What a program said.
#[derive(Debug, Deserialize)]
struct Found {
    way: String,
    change_nanos: f64,
    level_nanos: f64,
    books_equal: bool,
}

fn compare(folder: &str, tokens: &str, programs: &[&str]) -> Outcome {
    let own = std::env::current_exe()?;
    let mut commands = Vec::new();
    for arguments in [&["ours", folder, tokens][..], &["typed", folder]] {
        let mut command = Command::new(&own);
        command.args(arguments);
        commands.push(command);
    }
    for program in programs {
        let mut command = Command::new(program);
        command.arg(folder);
        commands.push(command);
    }
    let mut found: Vec<Vec<Found>> = commands.iter().map(|_| Vec::new()).collect();
    for round in 1..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}");
        for (command, found) in commands.iter_mut().zip(&mut found) {
            let output = command.stderr(Stdio::inherit()).output()?;
            if !output.status.success() {
                return Err(format!("{command:?}: {}", output.status).into());
            }
            found.push(serde_json::from_slice(&output.stdout)?);
        }
    }
    println!("{tokens} tokens, {ROUNDS} rounds, ns of processor time: median (least..most)");
    let (change, level) = ("a change", "a level");
    println!("  {:42} {change:>24}        {level:>24}        books", "");
    let mut first = None;
    let mut all_equal = true;
    for found in &found {
        let change = Spread::of(found.iter().map(|found| found.change_nanos));
        let level = Spread::of(found.iter().map(|found| found.level_nanos));
        let (ours, ours_level) = *first.get_or_insert((change.median, level.median));
        let equal = found.iter().all(|found| found.books_equal);
        all_equal &= equal;
        println!(
            "  {:42} {:>24} {:5.1}x {:>24} {:5.1}x {}",
            found[0].way,
            change.to_string(),
            change.median / ours,
            level.to_string(),
            level.median / ours_level,
            if equal { "true" } else { "NOT true" },
        );
    }
    Ok(match all_equal {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Of the rounds.
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<_> = values.collect();
        values.sort_by(f64::total_cmp);
        Self {
            least: values[0],
            median: values[values.len() / 2],
            most: values[values.len() - 1],
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            least,
            median,
            most,
        } = self;
        write!(f, "{median:.0} ({least:.0}..{most:.0})")
    }
}
