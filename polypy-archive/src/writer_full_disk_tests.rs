//! What a recording says of a disk that is full or fails, and what repairs make of that.

use super::*;
use crate::disk::Disk;
use crate::listing::Recording;
use crate::mend::repair_recording;
use crate::reader::{FaultKind, Found, Reader};
use crate::repair::Repaired;

/// No room, and for the manifest there is some.
const FULL: Faults = Faults {
    room: Some(0),
    error: None,
    short_writes: false,
    syncs: None,
    only_parts: true,
    no_names: false,
};

fn bench() -> Bench {
    Bench::new(WriterConfig {
        disk_reserve: 0,
        ..WriterConfig::default()
    })
}

fn opened(disk: &FaultyDisk) -> Recording {
    Recording::open(Arc::new(disk.clone()), Path::new("recording")).unwrap()
}

/// Repairs all, and says what was done.
fn repaired(disk: &FaultyDisk) -> Vec<io::Result<Repaired>> {
    let mut done = Vec::new();
    let recording = opened(disk);
    repair_recording(Arc::new(disk.clone()), &recording, BEGIN, &mut |mended| {
        done.push(match &mended.result {
            Ok(repaired) => Ok(repaired.clone()),
            Err(error) => Err(error.kind().into()),
        });
    })
    .unwrap();
    done
}

/// Reason and length of what is missing of all, as the files say, in seconds.
fn losses(entries: &[Recorded]) -> Vec<(String, Option<u64>)> {
    let all = gaps(entries)
        .into_iter()
        .filter(|gap| gap.scope == GapScope::Recording);
    let length = |gap: &Gap| Some((gap.to_ts? - gap.from_ts?).div_ceil(1_000_000));
    all.map(|gap| (gap.reason.to_string(), length(&gap)))
        .collect()
}

/// Two frames are on the disk, and two come when it has no room.
fn failed(faults: Faults) -> (Bench, Box<dyn SocketSink>) {
    let mut bench = bench();
    let mut socket = bench.open(1);
    say(&mut socket, &["[0]", "[1]"], bench.now);
    bench.pass(4 * SECOND);
    bench.disk.set(faults);
    say(&mut socket, &["[2]", "[3]"], bench.now);
    (bench, socket)
}

#[test]
fn a_repair_keeps_what_the_manifest_says_of_the_disk() {
    for is_stopped in [true, false] {
        let (mut bench, _socket) = failed(FULL);
        bench.pass(3 * SECOND);
        assert_eq!(bench.numbers.errors.get(), 1);
        let disk = bench.disk.clone();
        if is_stopped {
            bench.stop();
        } else {
            // By a kill.
            drop(bench);
        }
        disk.set(Faults::default());
        let done = repaired(&disk);
        let Ok(Repaired::Ended { gap: Some(gap), .. }) = &done[0] else {
            panic!("{done:?}");
        };
        assert_eq!((&*gap.reason, gap.owner), ("disk_full", Owner::Us));
        assert!(gap.from_ts >= Some(BEGIN / 1_000), "{gap:?}");
        assert_eq!(gap.also.iter().any(|also| **also == *"stopped"), is_stopped);
        assert_eq!(losses(&all(&disk)), [("disk_full".to_owned(), None)]);
    }
}

#[test]
fn a_file_that_was_left_because_the_disk_failed_was_not_killed() {
    // The manifest says so, and so does the file that comes next.
    for has_manifest in [true, false] {
        let (mut bench, mut socket) = failed(FULL);
        bench.pass(3 * SECOND);
        bench.disk.set(Faults::default());
        bench.pass(4 * SECOND);
        say(&mut socket, &["[4]"], bench.now);
        bench.pass(20 * SECOND);
        let disk = bench.stop();
        if !has_manifest {
            disk.remove(Path::new("recording/_manifest.jsonl")).unwrap();
        }
        let names = names(&disk);
        assert!(names.len() == 2 && names[0].ends_with(".part"), "{names:?}");
        let done = repaired(&disk);
        assert!(matches!(&done[0], Ok(Repaired::Ended { .. })), "{done:?}");
        let losses = losses(&all(&disk));
        assert!(losses.iter().all(|loss| loss.0 != "killed"), "{losses:?}");
        let of_disk = losses.iter().filter(|loss| loss.0 == "disk_full");
        assert!(of_disk.clone().count() > 1, "{losses:?}");
        assert!(of_disk.clone().all(|loss| loss.1 < Some(10)), "{losses:?}");
    }
}

#[test]
fn a_disk_that_fails_in_the_last_moment_is_told_by_the_manifest_and_to_who_stops() {
    let (bench, _socket) = failed(FULL);
    let wall = bench.wall();
    let stopped = bench.writer.stop(bench.now, wall);
    assert!(stopped.is_cut);
    let told = opened(&bench.disk).gaps;
    assert_eq!(told.len(), 1, "{told:?}");
    let gap = &told[0];
    assert_eq!((&*gap.reason, gap.to_ts), ("disk_full", None), "{gap:?}");
    assert!(gap.also.iter().any(|also| **also == *"stopped"), "{gap:?}");

    let (bench, _socket) = failed(Faults::default());
    let wall = bench.wall();
    assert!(!bench.writer.stop(bench.now, wall).is_cut);
    assert_eq!(opened(&bench.disk).gaps, []);
}

#[test]
fn a_full_disk_that_takes_the_first_bytes_of_a_file_stays_one_failure() {
    let (mut bench, mut socket) = failed(FULL);
    bench.pass(3 * SECOND);
    // There is room for what a file begins with, and for no chunk.
    let (began, mut changes) = (bench.now, 0);
    let mut before = crate::RecorderState::Failed;
    while bench.now < began + 120 * SECOND {
        bench.disk.set(Faults {
            room: Some(60_000),
            ..FULL
        });
        let random = std::iter::repeat_with(fastrand::alphanumeric);
        let frame = format!("[\"{}\"]", random.take(100_000).collect::<String>());
        say(&mut socket, &[&frame], bench.now);
        bench.pass(SECOND);
        let (state, _) = bench.numbers.state(bench.now);
        changes += u32::from(state != std::mem::replace(&mut before, state));
    }
    assert_eq!((changes, before), (0, crate::RecorderState::Failed));
    let errors = bench.numbers.errors.get();
    assert!(
        (3..10).contains(&errors),
        "{errors} failures in two minutes"
    );
    // One file has something in it, and nothing is left of the others.
    assert_eq!(bench.names().len(), 1, "{:?}", bench.names());
    bench.disk.set(Faults::default());
    bench.pass(60 * SECOND);
    assert_eq!(
        bench.numbers.state(bench.now).0,
        crate::RecorderState::Recording
    );
    let disk = bench.stop();
    let losses = losses(&all(&disk));
    let told = losses.iter().map(|loss| (&*loss.0, loss.1.is_some()));
    let told: Vec<_> = told.collect();
    assert_eq!(told, [("disk_full", true), ("stopped", false)]);
}

#[test]
fn of_a_folder_that_is_recorded_to_the_newest_file_alone_is_being_written() {
    let (mut bench, mut socket) = failed(FULL);
    bench.pass(3 * SECOND);
    let found = |bench: &Bench| {
        let mut recording = opened(&bench.disk);
        recording.is_written = true;
        let mut reader = Reader::new(recording);
        let found = std::iter::from_fn(move || reader.next_found());
        let faults = found.filter_map(|found| match found {
            Found::Fault(fault) => Some(fault.what),
            _ => None,
        });
        faults.collect::<Vec<_>>()
    };
    // Nobody writes while the disk is full.
    assert_eq!(found(&bench), [FaultKind::Cut]);
    bench.disk.set(Faults::default());
    bench.pass(3 * SECOND);
    say(&mut socket, &["[4]"], bench.now);
    bench.pass(3 * SECOND);
    assert_eq!(found(&bench), [FaultKind::Cut, FaultKind::Written]);
}

#[test]
fn a_repair_that_the_disk_has_no_room_for_says_the_same_when_it_is_tried_again() {
    let (bench, _socket) = failed(FULL);
    let disk = bench.disk.clone();
    drop(bench);
    let part = Path::new("recording").join(&names(&disk)[0]);
    let before = disk.content(&part).unwrap();
    for room in (0..100_000).step_by(97) {
        disk.put(&part, &before);
        disk.set(Faults {
            room: Some(room),
            ..FULL
        });
        let first = repaired(&disk);
        disk.set(Faults::default());
        if first[0].is_ok() {
            assert!(room > 500, "{room}");
            return;
        }
        let again = repaired(&disk);
        let Ok(Repaired::Ended { gap: Some(gap), .. }) = &again[0] else {
            panic!("{room}: {again:?}");
        };
        assert_eq!(&*gap.reason, "killed");
        let losses = losses(&all(&disk));
        assert_eq!(losses.len(), 1, "{room}: {losses:?}");
        disk.remove(&part.with_extension("")).unwrap();
        // What the first one had noted.
        disk.remove(Path::new("recording/_manifest.jsonl")).unwrap();
    }
    panic!("it never has room enough");
}
