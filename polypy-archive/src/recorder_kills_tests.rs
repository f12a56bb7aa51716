//! What a start, and a repair, say of a run that was killed.

use super::*;
use crate::Segment;
use crate::header::Header;
use crate::mend::repair_recording;
use crate::reader::{FaultKind, Found, Reader};

/// Leaves what a kill does: a file with a frame, and without its ending.
fn leave_as_a_kill(disk: &FaultyDisk) {
    let path = Path::new("recording/00000001-20261118T110640Z.mcap");
    let mut left = Segment::create(disk, path, &Header::default()).unwrap();
    left.frame(("conn-1", 1), 0, BEGIN, b"[0]");
    left.end_chunk().unwrap();
}

#[test]
fn a_start_says_until_when_nothing_was_recorded_after_a_kill_and_after_a_stop() {
    let (disk, wall) = (FaultyDisk::default(), Arc::<Wall>::default());
    leave_as_a_kill(&disk);
    wall.0.store(60_000_000_000, Ordering::SeqCst);
    let recorder = recorder(&disk, &wall);
    recorder.start(("second", "0")).unwrap().stop();
    wall.0.store(90_000_000_000, Ordering::SeqCst);
    recorder.start(("third", "0")).unwrap().stop();
    let gaps = entries(&disk).into_iter().filter_map(|entry| match entry {
        Entry::Gap(gap) => Some((gap.reason.to_string(), gap.from_ts, gap.to_ts)),
        _ => None,
    });
    let micros = |seconds: u64| Some((BEGIN + seconds * 1_000_000_000) / 1_000);
    let gaps: Vec<_> = gaps.collect();
    let expected = |reason: &str, from, to| (reason.to_owned(), from, to);
    // In the file that was cut, and in the one that goes on.
    let killed = expected("killed", micros(0), micros(60));
    let told = gaps.iter().filter(|gap| **gap == killed);
    assert_eq!(told.count(), 2, "{gaps:?}");
    let stopped = |gap: &&(String, Option<u64>, Option<u64>)| gap.0 == "stopped";
    let stopped: Vec<_> = gaps.iter().filter(stopped).collect();
    // Said when it stopped, by either, and again by the one that went on.
    assert_eq!(stopped.len(), 3, "{gaps:?}");
    assert_eq!(stopped[0].1, stopped[1].1, "the same gap");
    assert_eq!((stopped[0].2, stopped[1].2), (None, micros(90)));
}

/// A run that is killed when its last file is whole has left nothing to repair.
#[test]
fn a_kill_between_two_files_is_one() {
    for is_in_the_manifest in [true, false] {
        killed_between_two_files(is_in_the_manifest);
    }
}

fn killed_between_two_files(is_in_the_manifest: bool) {
    let (disk, wall) = (FaultyDisk::default(), Arc::<Wall>::default());
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let path = Path::new("recording");
    let mut folder = Folder::open(shared, path, ("first", "0"), BEGIN).unwrap();
    let mut file = folder.begin(BEGIN).unwrap();
    file.frame(("conn-1", 1), 0, BEGIN, b"[0]");
    file.end_chunk().unwrap();
    if is_in_the_manifest {
        folder.finish(file, BEGIN).unwrap();
    } else {
        file.finish(&disk).map_err(|(error, _)| error).unwrap();
    }
    drop(folder);
    let after = |seconds: u64| {
        wall.0.store(seconds * 1_000_000_000, Ordering::SeqCst);
        let run = recorder(&disk, &wall).start(("another", "0")).unwrap();
        run.stop();
        let gaps = entries(&disk).into_iter().filter_map(|entry| match entry {
            Entry::Gap(gap) if gap.to_ts.is_some() => Some(gap.reason.to_string()),
            _ => None,
        });
        gaps.filter(|reason| reason != "starting")
            .collect::<Vec<_>>()
    };
    assert_eq!(after(60), ["killed"]);
    assert_eq!(after(90), ["killed", "stopped"]);
}

#[test]
fn a_kill_that_was_repaired_before_the_next_start_stays_one() {
    let (disk, wall) = (FaultyDisk::default(), Arc::<Wall>::default());
    leave_as_a_kill(&disk);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let recording = Recording::open(Arc::clone(&shared), Path::new("recording")).unwrap();
    repair_recording(shared, &recording, BEGIN, &mut |_| {}).unwrap();
    wall.0.store(60_000_000_000, Ordering::SeqCst);
    recorder(&disk, &wall)
        .start(("second", "0"))
        .unwrap()
        .stop();
    let gaps = entries(&disk).into_iter().filter_map(|entry| match entry {
        Entry::Gap(gap) if gap.from_ts == Some(BEGIN / 1_000) => Some(gap),
        _ => None,
    });
    let gaps: Vec<_> = gaps.collect();
    assert!(gaps.iter().all(|gap| &*gap.reason == "killed"), "{gaps:?}");
    let healed = gaps.last().unwrap();
    assert_eq!(healed.to_ts, Some((BEGIN + 60_000_000_000) / 1_000));
    assert_eq!(healed.healed_by.as_deref(), Some("restart"));
}

/// Records a second to one file, is killed before a chunk of the next one is written, and leaves
/// that one's beginning or nothing of it.
fn killed_soon_after_a_rotation(disk: &FaultyDisk, leaves_a_part: bool) {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut folder = Folder::open(shared, Path::new("recording"), ("first", "0"), BEGIN).unwrap();
    let mut file = folder.begin(BEGIN).unwrap();
    file.frame(("conn-1", 1), 0, BEGIN, b"[0]");
    let second = BEGIN + 1_000_000_000;
    file.frame(("conn-1", 1), 1, second, b"[1]");
    file.end_chunk().unwrap();
    folder.finish(file, second).unwrap();
    let mut next = folder.begin(second).unwrap();
    next.frame(("conn-1", 1), 2, second, b"[2]");
    if !leaves_a_part {
        folder.remove_begun(next.part()).unwrap();
    }
}

fn opened(disk: &FaultyDisk) -> Recording {
    Recording::open(Arc::new(disk.clone()), Path::new("recording")).unwrap()
}

fn faults(disk: &FaultyDisk) -> Vec<FaultKind> {
    let mut reader = Reader::new(opened(disk));
    let mut faults = Vec::new();
    while let Some(found) = reader.next_found() {
        if let Found::Fault(fault) = found {
            faults.push(fault.what);
        }
    }
    faults
}

fn repaired(disk: &FaultyDisk) -> Vec<Repaired> {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (recording, mut done) = (opened(disk), Vec::new());
    let now = BEGIN + 30_000_000_000;
    repair_recording(shared, &recording, now, &mut |mended| {
        done.push(mended.result.as_ref().unwrap().clone());
    })
    .unwrap();
    done
}

#[test]
fn a_kill_that_left_nothing_behind_its_last_file_is_told_by_a_repair() {
    let micros = |seconds: u64| Some((BEGIN + seconds * 1_000_000_000) / 1_000);
    for leaves_a_part in [true, false] {
        let (disk, wall) = (FaultyDisk::default(), Arc::<Wall>::default());
        killed_soon_after_a_rotation(&disk, leaves_a_part);
        let expected = [FaultKind::Killed, FaultKind::Cut][usize::from(leaves_a_part)];
        assert_eq!(faults(&disk), [expected]);
        let done = repaired(&disk);
        let Some(Repaired::Noted(gap)) = done.last() else {
            unreachable!("{done:?}");
        };
        assert_eq!(
            (&*gap.reason, gap.from_ts, gap.to_ts),
            ("killed", micros(1), None)
        );
        assert_eq!(faults(&disk), []);
        assert_eq!(opened(&disk).gaps.first(), Some(gap));
        assert!(
            matches!(repaired(&disk)[..], [Repaired::Whole(_)]),
            "told once"
        );
        // The next run ends that gap, and tells it in its own file.
        wall.0.store(60_000_000_000, Ordering::SeqCst);
        recorder(&disk, &wall)
            .start(("second", "0"))
            .unwrap()
            .stop();
        let is_it = |gap: &Gap| &*gap.reason == "killed" && gap.from_ts == micros(1);
        let told = entries(&disk).into_iter().filter_map(|entry| match entry {
            Entry::Gap(gap) if is_it(&gap) => Some(gap.to_ts),
            _ => None,
        });
        assert_eq!(told.collect::<Vec<_>>(), [micros(60)]);
        assert_eq!(opened(&disk).gaps[0].to_ts, micros(60));
        assert_eq!(faults(&disk), [], "it was stopped");
    }
}

#[test]
fn a_run_that_was_killed_before_its_first_entry_is_told_from_where_the_one_before_ended() {
    let (disk, wall) = (FaultyDisk::default(), Arc::<Wall>::default());
    let socket = || {
        let recorder = recorder(&disk, &wall);
        let running = recorder.start(("first", "0")).unwrap();
        drop(open(&recorder));
        running.stop();
    };
    socket();
    let stopped = opened(&disk).files[0].line.clone().unwrap().to_ts;
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let now = BEGIN + 20_000_000_000;
    drop(Folder::open(shared, Path::new("recording"), ("second", "0"), now).unwrap());
    assert_eq!(faults(&disk), [FaultKind::Killed]);
    let done = repaired(&disk);
    let Some(Repaired::Noted(gap)) = done.last() else {
        unreachable!("{done:?}");
    };
    assert_eq!((&*gap.reason, gap.from_ts), ("killed", stopped));
    assert_eq!(faults(&disk), []);
}
