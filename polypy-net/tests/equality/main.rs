//! The fast way of decoding against the general one: the same answer for every
//! frame, or none.
//!
//! `POLYPY_EQUALITY_FRAMES` is the number of made-up frames (100,000 unless
//! said), `POLYPY_EQUALITY_SEED` where they begin, `POLYPY_CAPTURES` a directory
//! of recordings.

mod compare;
mod frames;

use std::path::Path;
use std::process::Command;

use polypy_core::{AssetId, AssetInfo, ConditionId, Interner};
use serde_json::Value;

use self::compare::compare;

/// Printed with a failure, together with the frame.
const SEED: u64 = 0x706f_6c79;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("is a number"))
}

#[test]
fn made_up_and_damaged_frames_mean_the_same() {
    let frames = number("POLYPY_EQUALITY_FRAMES", 100_000);
    let seed = number("POLYPY_EQUALITY_SEED", SEED);
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let counts: Vec<Counts> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || run(seed + thread, frames / threads)))
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    let sum = |count: fn(&Counts) -> u64| counts.iter().map(count).sum::<u64>();
    let (whole, damaged) = (sum(|c| c.whole), sum(|c| c.damaged));
    let (fast, fast_damaged) = (sum(|c| c.fast), sum(|c| c.fast_damaged));
    let (wrong, events) = (sum(|c| c.with_errors), sum(|c| c.events));
    println!(
        "seed {seed:#x}: {whole} whole frames, {fast} of them read the fast way; {damaged} damaged \
         ones, {fast_damaged} of them read the fast way; {wrong} with errors; {events} events"
    );
    // The comparison says nothing unless both ways are well trodden.
    assert!(fast * 2 > whole && fast_damaged * 20 > damaged && wrong * 10 > damaged);
}

#[derive(Default)]
struct Counts {
    whole: u64,
    fast: u64,
    damaged: u64,
    fast_damaged: u64,
    with_errors: u64,
    events: u64,
}

fn run(seed: u64, frames: u64) -> Counts {
    let assets = compare::interner();
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut counts = Counts::default();
    for _ in 0..frames {
        let mut frame = frames::frame(&mut rng);
        let damages = rng.usize(..4);
        for _ in 0..damages {
            frames::mutate(&mut rng, &mut frame);
        }
        let agreed = compare(&frame, &assets);
        let fast = agreed.stats.fast_frames;
        if damages == 0 {
            counts.whole += 1;
            counts.fast += fast;
        } else {
            counts.damaged += 1;
            counts.fast_damaged += fast;
        }
        counts.with_errors += u64::from(agreed.stats.parse_errors > 0);
        counts.events += agreed.events.len() as u64;
    }
    counts
}

#[test]
fn recorded_frames_mean_the_same() {
    let Some(captures) = std::env::var_os("POLYPY_CAPTURES") else {
        println!("skipped: POLYPY_CAPTURES is not set");
        return;
    };
    let mut files = Vec::new();
    for directory in ["frames", "events"] {
        let directory = Path::new(&captures).join(directory);
        files.extend(
            std::fs::read_dir(directory)
                .unwrap()
                .map(|file| file.unwrap().path()),
        );
    }
    let mut read = 0;
    for file in files {
        let lines = lines(&file);
        let assets = interner_for(&lines);
        let fast = lines
            .iter()
            .filter(|line| compare(line.as_bytes(), &assets).stats.fast_frames > 0)
            .count();
        println!("{}: {fast} of {} the fast way", file.display(), lines.len());
        read += lines.len();
    }
    assert!(read > 100_000);
}

/// The frames of a file, unpacked if need be. None if it cannot be unpacked.
fn lines(file: &Path) -> Vec<String> {
    let bytes = if file.extension().is_some_and(|extension| extension == "gz") {
        match Command::new("zcat").arg(file).output() {
            Ok(output) if output.status.success() => output.stdout,
            _ => Vec::new(),
        }
    } else {
        std::fs::read(file).expect("can be read")
    };
    let text = String::from_utf8(bytes).expect("is text");
    text.lines().map(str::to_owned).collect()
}

/// Interns every asset that the frames name, with its market's other token.
fn interner_for(lines: &[String]) -> Interner {
    let mut interner = compare::interner();
    for line in lines {
        let frame: Value = serde_json::from_str(line).expect("is JSON");
        let events = frame
            .as_array()
            .map_or(std::slice::from_ref(&frame), Vec::as_slice);
        for event in events {
            let entries = event["price_changes"]
                .as_array()
                .map_or(&[][..], Vec::as_slice);
            let named = entries.iter().chain([event]);
            let ids = named.filter_map(|object| object["asset_id"].as_str());
            let Some(condition) = event["market"].as_str() else {
                continue;
            };
            let condition: ConditionId = condition.parse().expect("is a condition id");
            let keys: Vec<_> = ids
                .map(|id| {
                    let asset: AssetId = id.parse().expect("is an asset id");
                    let describe = |key| AssetInfo::new(key, asset.clone(), condition.clone());
                    interner.insert(&asset, &condition, describe).key
                })
                .collect();
            if let [first, second, ..] = keys[..]
                && first != second
            {
                for (key, other) in [(first, second), (second, first)] {
                    let mut info = AssetInfo::clone(interner.info(key).expect("was interned"));
                    info.complement = Some(other);
                    interner.update(key, info).expect("was interned");
                }
            }
        }
    }
    interner
}
