//! Ways to do the same work, taking turns.
//!
//! A machine's speed changes from second to second. The ways therefore run one
//! after the other, again and again, and what is compared is the median of each:
//! ratios of one table mean something, nanoseconds of two do not.
//!
//! | variable | effect |
//! |---|---|
//! | `POLYPY_BENCH_ONCE=way` | runs that way alone, once, and prints nothing: for a profiler |
//! | `POLYPY_BENCH_WAYS=way;way` | leaves the other ways out |
//! | `POLYPY_BENCH_JSON=file` | appends each result to the file, too, a line of JSON each |
//! | `POLYPY_BENCH_RUNS=number` | other than seven runs |

use std::fs::OpenOptions;
use std::hint::black_box;
use std::io::Write as _;

use serde::Serialize;

use crate::spent::Spent;

/// Odd, so that there is a middle one.
const RUNS: usize = 7;
/// A pass of some milliseconds is repeated until a run is long enough for the
/// caches and the branch predictor to be as they are in a busy program.
const SHORTEST_RUN_NANOS: u64 = 200_000_000;

/// A way's name, and one pass of it over the bench.
pub type Way<B> = (&'static str, fn(&mut B) -> Spent);

/// Whether a pass can be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Until a run takes long enough.
    Long,
    /// It plays a story that can be told once a run.
    Once,
}

/// What is measured, as it is printed.
#[derive(Debug, Clone)]
pub struct Title<'a> {
    /// The benchmark.
    pub bench: &'a str,
    /// What it is measured on.
    pub on: &'a str,
    /// What a figure is for: `change`.
    pub each: &'a str,
}

#[derive(Serialize)]
struct Line<'a> {
    bench: &'a str,
    on: &'a str,
    way: &'a str,
    each: &'a str,
    median_nanos: f64,
    least_nanos: f64,
    most_nanos: f64,
    runs: usize,
}

/// How often each way runs.
pub fn runs() -> usize {
    number("POLYPY_BENCH_RUNS", 1).unwrap_or(RUNS)
}

/// The number that a variable says, if it is set.
///
/// # Panics
/// If that is no number, or less than `least`.
pub fn number(variable: &str, least: usize) -> Option<usize> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse().ok().filter(|number| *number >= least);
    assert!(
        number.is_some(),
        "{variable} is a number from {least} on, not {text:?}"
    );
    number
}

/// Has the ways take turns and prints what each costs, in comparison with the
/// first.
#[expect(clippy::print_stdout, reason = "a benchmark's result is its output")]
pub fn measure<B>(bench: &mut B, title: &Title<'_>, repeat: Repeat, ways: &[Way<B>]) {
    if let Ok(only) = std::env::var("POLYPY_BENCH_ONCE") {
        for (_, way) in ways.iter().filter(|(name, _)| *name == only) {
            black_box(way(bench));
        }
        return;
    }
    let wanted = std::env::var("POLYPY_BENCH_WAYS").ok();
    let is_wanted = |name: &str| {
        let wanted = wanted.as_ref();
        wanted.is_none_or(|wanted| wanted.split(';').any(|wanted| wanted == name))
    };
    let ways: Vec<_> = ways.iter().filter(|(name, _)| is_wanted(name)).collect();
    if ways.is_empty() {
        println!("{}, {}: no way of that name", title.bench, title.on);
        return;
    }
    let runs = runs();
    println!(
        "{}, {}: ns a {}, {runs} runs",
        title.bench, title.on, title.each
    );
    let mut costs = vec![Vec::new(); ways.len()];
    for _ in 0..runs {
        for ((_, way), costs) in ways.iter().zip(&mut costs) {
            costs.push(run(bench, repeat, *way));
        }
    }
    let mut first = None;
    for ((name, _), mut costs) in ways.iter().zip(costs) {
        costs.sort_by(f64::total_cmp);
        let (least, median, most) = (costs[0], costs[runs / 2], costs[runs - 1]);
        let ratio = median / *first.get_or_insert(median);
        println!("  {name:28} {median:8.1} ({least:.1}..{most:.1})  {ratio:6.2}");
        note(&Line {
            bench: title.bench,
            on: title.on,
            way: name,
            each: title.each,
            median_nanos: median,
            least_nanos: least,
            most_nanos: most,
            runs,
        });
    }
}

/// Nanoseconds a unit.
fn run<B>(bench: &mut B, repeat: Repeat, way: fn(&mut B) -> Spent) -> f64 {
    let mut sum = Spent::default();
    loop {
        let Spent { nanos, units } = way(bench);
        sum.nanos += nanos;
        sum.units += units;
        if repeat == Repeat::Once || sum.nanos > SHORTEST_RUN_NANOS {
            return sum.each();
        }
    }
}

/// Appends a result to the file that is named, if one is.
#[expect(clippy::print_stdout, reason = "a benchmark's result is its output")]
pub fn note(line: &impl Serialize) {
    let Some(file) = std::env::var_os("POLYPY_BENCH_JSON") else {
        return;
    };
    let text = serde_json::to_string(line).expect("a line is JSON");
    let file = OpenOptions::new().create(true).append(true).open(file);
    if let Err(error) = file.and_then(|mut file| writeln!(file, "{text}")) {
        println!("  POLYPY_BENCH_JSON cannot be written: {error}");
    }
}
