//! A process that records is killed at random moments: what it had synced is there.
//!
//! The process is this test program again, with a folder in its environment.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use polypy_archive::testing::until;
use polypy_archive::{Folder, Manifest, Recorder, RecorderConfig, SystemDisk};
use polypy_core::recording::{Entry, Recorded};
use polypy_core::{Clock, FrameSink, Opened, SocketId, Timestamp};

use crate::common::{BEGIN, is_full, read};

const PLACE: &str = "POLYPY_ARCHIVE_TEST_FOLDER";
const RECORDER_PLACE: &str = "POLYPY_ARCHIVE_TEST_RECORDER";
const RUN: (&str, &str) = ("a-session", "0.1.0");

/// Records numbered frames of four sockets for as long as it lives, if it is told where.
#[test]
fn a_process_that_records_until_it_is_killed() {
    let Ok(place) = std::env::var(PLACE) else {
        return;
    };
    let mut folder = Folder::open(Arc::new(SystemDisk), Path::new(&place), RUN, BEGIN).unwrap();
    let mut rng = Rng::new();
    let mut number = 0_u32;
    loop {
        let now = BEGIN + u64::from(number) * 1_000;
        let mut segment = folder.begin(now).unwrap();
        for _ in 0..40 {
            for _ in 0..rng.u32(1..2_000) {
                let socket = u64::from(number % 4) + 1;
                let frame = format!(r#"{{"number":{number},"noise":"{}"}}"#, rng.u64(..));
                let at = BEGIN + u64::from(number) * 1_000;
                assert!(segment.frame(("connection", socket), number / 4, at, frame.as_bytes()));
                number += 1;
            }
            segment.end_chunk().unwrap();
            segment.sync().unwrap();
            println!("synced {number}");
            std::io::stdout().flush().unwrap();
        }
        folder.finish(segment, now).unwrap();
    }
}

#[test]
fn all_that_was_synced_before_a_kill_is_read_after_it() {
    let mut rng = Rng::with_seed(17);
    let place = std::env::temp_dir().join(format!("polypy-killed-{}", std::process::id()));
    let rounds = if is_full() { 100 } else { 15 };
    let (mut cut, mut files) = (0, 0);
    for round in 0..rounds {
        let synced = record_and_kill(&place, Duration::from_millis(rng.u64(1..250)));
        let mut folder = Folder::open(Arc::new(SystemDisk), &place, RUN, BEGIN).unwrap();
        folder.recovery().run(BEGIN).unwrap();
        let numbers = numbers_in(&place);
        assert!(
            numbers.len() >= synced,
            "round {round}: {} of {synced}",
            numbers.len()
        );
        let in_order = numbers
            .iter()
            .zip(0..)
            .all(|(found, number)| *found == number);
        assert!(in_order, "round {round}: a hole or another order");
        let manifest = Manifest::read(&SystemDisk, &place).unwrap();
        cut += usize::from(manifest.lines.iter().any(|line| {
            matches!(
                line,
                polypy_archive::manifest::Line::Truncation { gap: Some(_), .. }
            )
        }));
        files += manifest.files().count();
        drop(folder);
        std::fs::remove_dir_all(&place).unwrap();
    }
    assert!(
        cut > rounds / 2 && files >= rounds,
        "{cut} cut, {files} files"
    );
}

/// As far from `BEGIN` as the process has run.
struct Wall(Instant);

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now_nanos() / 1_000_000)
    }
    fn now_nanos(&self) -> u64 {
        BEGIN + u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

fn recorder(place: &Path) -> Recorder {
    let mut config = RecorderConfig::new(place);
    config.writer.disk_reserve = 0;
    config.writer.chunk = 64 << 10;
    config.writer.chunk_after = Duration::from_millis(10);
    config.writer.sync = Duration::from_millis(10);
    config.writer.rotate_after = Duration::from_millis(120);
    Recorder::new(config, Arc::new(SystemDisk), Arc::new(Wall(Instant::now())))
}

/// Sixteen sockets that speak for as long as the process lives.
#[test]
fn a_recorder_that_runs_until_it_is_killed() {
    let Ok(place) = std::env::var(RECORDER_PLACE) else {
        return;
    };
    let recorder = recorder(Path::new(&place));
    let _running = recorder.start(RUN).unwrap();
    for number in 1..=16 {
        let inlet = recorder.inlet();
        std::thread::spawn(move || {
            let mut socket = inlet.opened(&Opened {
                socket: SocketId(number),
                connection: "connection",
                is_replacement: false,
                at: Instant::now(),
            });
            for at in 0_u64.. {
                let frame = format!(r#"{{"number":{at},"noise":"{}"}}"#, fastrand::u64(..));
                socket.received(frame.as_bytes(), &[frame.len()], true, Instant::now());
                if at % 64 == 0 {
                    // As a socket does that has nothing to read.
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
    }
    let mut synced = 0;
    loop {
        println!("synced {synced}");
        std::io::stdout().flush().unwrap();
        until("the disk takes more", || {
            recorder.numbers().synced() > synced
        });
        synced = recorder.numbers().synced();
    }
}

#[test]
fn what_a_recorder_had_synced_is_there_after_a_kill_and_the_rest_is_a_gap() {
    let mut rng = Rng::with_seed(19);
    let place = std::env::temp_dir().join(format!("polypy-recorder-{}", std::process::id()));
    let rounds = if is_full() { 100 } else { 20 };
    for round in 0..rounds {
        let child = ("a_recorder_that_runs_until_it_is_killed", RECORDER_PLACE);
        // Every other one so early that the disk may have nothing yet.
        let least = if round % 2 == 0 { 1_000 } else { 0 };
        let after = Duration::from_millis(rng.u64(5..400));
        let synced = run_and_kill(child, &place, (least, after));
        recorder(&place).start(RUN).unwrap().stop();
        let mut next = [0_u64; 17];
        let mut killed = Vec::new();
        for recorded in entries_in(&place) {
            match recorded.entry {
                Entry::Frame(frame) => {
                    let value: serde_json::Value = serde_json::from_slice(&frame.bytes).unwrap();
                    let next = &mut next[usize::try_from(frame.socket).unwrap()];
                    assert_eq!(value["number"], *next, "round {round}: {}", frame.socket);
                    assert_eq!(u64::from(frame.sequence), *next);
                    *next += 1;
                }
                Entry::Gap(gap) if &*gap.reason == "killed" => killed.push(gap),
                _ => {}
            }
        }
        let found: u64 = next.iter().sum();
        assert!(found >= synced as u64, "round {round}: {found} of {synced}");
        // It is said by the file that was cut, and by the one that goes on, if anything was
        // recorded before.
        assert!(
            found == 0 || killed.iter().any(|gap| gap.to_ts.is_some()),
            "round {round}: {killed:?}"
        );
        let left = std::fs::read_dir(&place).unwrap();
        let left = left.filter_map(|entry| entry.unwrap().file_name().into_string().ok());
        assert!(left.into_iter().all(|name| !name.ends_with(".part")));
        std::fs::remove_dir_all(&place).unwrap();
    }
}

/// Returns the number of frames of which the process said that they were synced.
fn record_and_kill(place: &Path, after: Duration) -> usize {
    let child = ("a_process_that_records_until_it_is_killed", PLACE);
    run_and_kill(child, place, (1, after))
}

/// Has a test record, and kills it so long after it has said that this many frames were synced.
/// A busy machine starts slowly.
fn run_and_kill(
    (test, variable): (&str, &str),
    place: &Path,
    (least, after): (usize, Duration),
) -> usize {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([test, "--nocapture"])
        .env(variable, place)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let synced_of = |line: String| line.strip_prefix("synced ")?.parse().ok();
    let mut told = lines.map_while(Result::ok).filter_map(synced_of);
    let synced = told
        .find(|synced| *synced >= least)
        .expect("it records, and ends if it cannot");
    // Then at any moment, whatever it is about.
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    // What it had said till then.
    told.last().unwrap_or(synced)
}

/// All that finished files have, in their order.
fn entries_in(place: &Path) -> Vec<Recorded> {
    let mut names: Vec<_> = std::fs::read_dir(place)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "mcap")
        })
        .collect();
    names.sort();
    let mut entries = Vec::new();
    for name in names {
        let read = read(&std::fs::read(name).unwrap());
        assert!(read.is_clean());
        entries.extend(read.entries);
    }
    entries
}

/// The numbers of all frames in a folder.
fn numbers_in(place: &Path) -> Vec<u32> {
    let number = |recorded: Recorded| match recorded.entry {
        Entry::Frame(frame) => {
            let value: serde_json::Value = serde_json::from_slice(&frame.bytes).unwrap();
            let number = value["number"].as_u64()?;
            u32::try_from(number).ok()
        }
        _ => None,
    };
    entries_in(place).into_iter().filter_map(number).collect()
}
