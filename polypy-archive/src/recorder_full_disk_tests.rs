//! A recorder that starts where the disk has no room.

use super::*;
use crate::manifest::{Line, Manifest};

const SECONDS: u64 = 1_000_000_000;
/// A moment of the recording, in microseconds since the epoch.
const fn second(number: u64) -> u64 {
    BEGIN / 1_000 + number * 1_000_000
}

fn full(only_parts: bool, no_names: bool) -> Faults {
    Faults {
        room: Some(0),
        only_parts,
        no_names,
        ..Faults::default()
    }
}

/// Without room for the first file; nor for a line of the manifest; nor for any name.
fn ways() -> [Faults; 3] {
    [full(true, false), full(false, false), full(false, true)]
}

/// Writes each frame at once.
fn prompt(disk: &FaultyDisk, wall: &Arc<Wall>) -> Recorder {
    let mut config = RecorderConfig::new(Path::new("recording"));
    let moment = Duration::from_millis(1);
    (config.writer.disk_reserve, config.writer.chunk) = (0, 1);
    (config.writer.chunk_after, config.writer.sync) = (moment, moment);
    let clock = Arc::clone(wall) as Arc<dyn Clock>;
    Recorder::new(config, Arc::new(disk.clone()), clock)
}

fn state(recorder: &Recorder) -> (RecorderState, Option<String>) {
    recorder.numbers().state(Instant::now())
}

/// Frames come until one of them is on the disk.
fn record(recorder: &Recorder) {
    let mut socket = recorder.inlet().opened(&Opened {
        socket: SocketId(2),
        connection: "conn-2",
        is_replacement: false,
        at: Instant::now(),
    });
    until("it records", || {
        socket.received(b"[0]", &[3], true, Instant::now());
        state(recorder).0 == RecorderState::Recording && recorder.numbers().synced() > 0
    });
}

/// What is missing of all by the files, and by the manifest, each once: why, from when, and
/// until when.
fn losses(disk: &FaultyDisk) -> Vec<(String, Option<u64>, Option<u64>)> {
    let in_files = entries(disk).into_iter().filter_map(|entry| match entry {
        Entry::Gap(gap) if gap.scope == GapScope::Recording => Some(gap),
        _ => None,
    });
    let manifest = Recording::open(Arc::new(disk.clone()), Path::new("recording"));
    let all = in_files.chain(manifest.unwrap().gaps);
    let mut all: Vec<_> = all
        .map(|gap| (gap.reason.to_string(), gap.from_ts, gap.to_ts))
        .collect();
    all.sort_by_key(|(reason, from, to)| (*from, reason.clone(), *to));
    all.dedup();
    all
}

fn sessions(disk: &FaultyDisk) -> usize {
    let manifest = Manifest::read(disk, Path::new("recording")).unwrap();
    let lines = manifest.lines.iter();
    lines
        .filter(|line| matches!(line, Line::Session { .. }))
        .count()
}

#[test]
fn a_disk_without_room_at_the_start_costs_a_gap_and_recording_begins_when_there_is_room() {
    for faults in ways() {
        let (disk, wall) = (FaultyDisk::default(), Arc::<Wall>::default());
        disk.set(faults);
        let recorder = prompt(&disk, &wall);
        let running = recorder.start(("a-session", "0")).unwrap();
        let (state, reason) = state(&recorder);
        assert_eq!(state, RecorderState::Failed, "{faults:?}");
        let reason = reason.unwrap();
        assert!(reason.contains("make room"), "{reason}");
        open(&recorder).received(b"[0][1]", &[3, 6], true, Instant::now());
        until("counted", || recorder.numbers().frames().1 == 2);
        disk.set(Faults::default());
        record(&recorder);
        assert!(running.stop(), "{faults:?}");
        assert_eq!(sessions(&disk), 1, "{faults:?}");
        assert_full_from(&disk, second(0));
    }
}

/// There is a gap for the full disk, from this moment on, and it has ended: at once, where the
/// writer was not run for a while and has read the wall's clock again, which stands still.
fn assert_full_from(disk: &FaultyDisk, from: u64) {
    let losses = losses(disk);
    let of_disk = losses.iter().filter(|loss| loss.0 == "disk_full");
    let is_it =
        |loss: &&(String, Option<u64>, Option<u64>)| loss.1 == Some(from) && loss.2 >= loss.1;
    assert!(of_disk.clone().count() > 0, "{losses:?}");
    assert!(of_disk.clone().all(|loss| is_it(&loss)), "{losses:?}");
}

/// A file that a killed run left, with one frame.
fn leave_a_part(disk: &FaultyDisk) {
    let path = Path::new("recording/00000001-20261118T110640Z.mcap");
    let mut left = crate::Segment::create(disk, path, &crate::Header::default()).unwrap();
    left.frame(("conn-1", 1), 0, BEGIN, b"[0]");
    left.end_chunk().unwrap();
    // The lock that it had lies about.
    disk.put(Path::new("recording/_lock"), b"");
}

#[test]
fn what_an_earlier_run_left_is_told_though_there_was_no_room_when_the_next_one_began() {
    for faults in ways() {
        for is_killed in [false, true] {
            let (disk, wall) = (FaultyDisk::default(), Arc::<Wall>::default());
            if is_killed {
                leave_a_part(&disk);
            } else {
                let first = prompt(&disk, &wall);
                let running = first.start(("first", "0")).unwrap();
                record(&first);
                assert!(running.stop());
            }
            wall.0.store(60 * SECONDS, Ordering::SeqCst);
            disk.set(faults);
            let recorder = prompt(&disk, &wall);
            let running = recorder.start(("second", "0")).unwrap();
            assert_eq!(state(&recorder).0, RecorderState::Failed);
            disk.set(Faults::default());
            record(&recorder);
            until("the file that was left is repaired", || {
                let names = disk.list(Path::new("recording")).unwrap();
                let parts = names.iter().filter(|(name, _)| name.ends_with("part"));
                parts.count() == 1
            });
            assert!(running.stop());
            let reason = if is_killed { "killed" } else { "stopped" };
            let losses = losses(&disk);
            let told = losses.iter().any(|(why, from, to)| {
                why == reason && *from < Some(second(60)) && *to == Some(second(60))
            });
            assert!(told, "{faults:?} {losses:?}");
            assert_full_from(&disk, second(60));
        }
    }
}

#[test]
fn a_run_that_never_had_room_leaves_the_next_one_all_that_is_missing() {
    for faults in ways() {
        let (disk, wall) = (FaultyDisk::default(), Arc::<Wall>::default());
        let run = |name: &str, at: u64, faults: Faults, is_recording: bool| {
            wall.0.store(at * SECONDS, Ordering::SeqCst);
            disk.set(faults);
            let recorder = prompt(&disk, &wall);
            let running = recorder.start((name, "0")).unwrap();
            if is_recording {
                record(&recorder);
            }
            assert_eq!(running.stop(), is_recording, "{name} {faults:?}");
        };
        run("first", 0, Faults::default(), true);
        run("second", 60, faults, false);
        run("third", 90, Faults::default(), true);
        // From the end of the first to the begin of the third something is said to be missing.
        let losses = losses(&disk);
        let mut covered = second(30);
        for (_, from, to) in &losses {
            if from.is_some_and(|from| from <= covered) {
                covered = covered.max(to.unwrap_or(0));
            }
        }
        assert!(covered >= second(90), "{faults:?} {losses:?}");
    }
}

#[test]
fn a_folder_that_cannot_be_used_otherwise_is_an_error_with_a_remedy() {
    let disk = FaultyDisk::default();
    disk.put(Path::new("recording"), b"a file");
    let recorder = prompt(&disk, &Arc::<Wall>::default());
    let refused = recorder.start(("a-session", "0")).unwrap_err().to_string();
    assert!(refused.contains("name another one"), "{refused}");
    assert_eq!(state(&recorder).0, RecorderState::Off);
}
