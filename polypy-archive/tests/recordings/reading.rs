//! A whole recording: with and without a manifest, with files that are cut, damaged, lost.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fastrand::Rng;
use polypy_archive::manifest::MANIFEST;
use polypy_archive::testing::FaultyDisk;
use polypy_archive::{
    Compacted, Disk, Entries, Fault, FaultKind, Folder, Found, Header, Manifest, OpenError, Reader,
    Recording, Repaired, Retention, Segment, SystemDisk, compact, repair_recording,
};
use polypy_core::recording::{Entry, Recorded, RecordingSource, SocketEvent};

use crate::common::{BEGIN, entries, is_within};

const SECOND: u64 = 1_000_000_000;

pub(crate) fn place() -> PathBuf {
    PathBuf::from("recording")
}

/// Three files with a hundred entries each.
pub(crate) fn recorded(disk: &FaultyDisk, session: &str) -> Vec<Recorded> {
    let all = entries(300);
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut folder = Folder::open(disk, &place(), (session, "0.1.0"), BEGIN).unwrap();
    for (entries, number) in all.chunks(100).zip(0..) {
        let now = BEGIN + number * SECOND;
        let mut segment = folder.begin(now).unwrap();
        for entries in entries.chunks(20) {
            entries
                .iter()
                .for_each(|entry| assert!(segment.write(entry)));
            segment.end_chunk().unwrap();
        }
        folder.finish(segment, now).unwrap();
    }
    folder.note_stopped(BEGIN + 3 * SECOND).unwrap();
    all
}

pub(crate) fn names(disk: &FaultyDisk) -> Vec<PathBuf> {
    let files = disk.list(&place()).unwrap();
    let files = files.into_iter().filter(|(name, _)| name.contains(".mcap"));
    files.map(|(name, _)| place().join(name)).collect()
}

pub(crate) fn open(disk: &FaultyDisk) -> Recording {
    Recording::open(Arc::new(disk.clone()), &place()).unwrap()
}

pub(crate) fn read(recording: Recording) -> (Vec<Recorded>, Vec<Fault>) {
    let mut reader = Reader::new(recording);
    reader.check_digests();
    let (mut entries, mut faults) = (Vec::new(), Vec::new());
    while let Some(found) = reader.next_found() {
        match found {
            Found::Chunk(chunk) => entries.extend(chunk.entries().map(Result::unwrap)),
            Found::Fault(fault) => faults.push(fault),
            _ => {}
        }
    }
    (entries, faults)
}

fn kinds(faults: &[Fault]) -> Vec<FaultKind> {
    faults.iter().map(|fault| fault.what).collect()
}

#[test]
fn all_files_are_read_in_their_order_also_without_a_manifest() {
    let disk = FaultyDisk::default();
    let all = recorded(&disk, "a");
    assert_eq!(read(open(&disk)), (all.clone(), Vec::new()));
    disk.remove(&place().join(MANIFEST)).unwrap();
    assert_eq!(read(open(&disk)), (all.clone(), Vec::new()));
    // One file alone.
    let one = Recording::open(Arc::new(disk.clone()), &names(&disk)[1]);
    assert_eq!(one.unwrap().files.len(), 1);
}

#[test]
fn what_is_cut_damaged_lost_or_changed_is_named_and_the_rest_is_read() {
    let disk = FaultyDisk::default();
    let all = recorded(&disk, "a");
    let [first, second, third] = &names(&disk)[..] else {
        unreachable!()
    };
    let bytes = disk.content(second).unwrap();
    // Cut in the midst.
    let part = PathBuf::from(format!("{}.part", second.display()));
    disk.remove(second).unwrap();
    disk.put(&part, &bytes[..bytes.len() / 2]);
    let (found, faults) = read(open(&disk));
    assert_eq!(kinds(&faults), [FaultKind::Cut], "{faults:?}");
    assert!(is_within(&found, &all) && found.len() > 200);
    assert_eq!(found.last(), all.last());
    // Not there, and no rule has removed it.
    disk.remove(&part).unwrap();
    let (found, faults) = read(open(&disk));
    assert_eq!(kinds(&faults), [FaultKind::Lost]);
    assert_eq!(found.len(), 200);
    // Another file of the same name, all of whose checksums hold: it is read once.
    disk.put(second, &disk.content(first).unwrap());
    let (found, faults) = read(open(&disk));
    assert_eq!(kinds(&faults), [FaultKind::Changed]);
    assert_eq!(found.len(), 200);
    // One that was written again.
    let header = Header {
        number: 2,
        ..Header::default()
    };
    let elsewhere = PathBuf::from("elsewhere.mcap");
    let mut again = Segment::create(&disk, &elsewhere, &header).unwrap();
    all[100..150]
        .iter()
        .for_each(|entry| assert!(again.write(entry)));
    let again = again.finish(&disk).map_err(|(error, _)| error).unwrap();
    disk.put(second, &disk.content(&again.path).unwrap());
    let (found, faults) = read(open(&disk));
    assert_eq!(kinds(&faults), [FaultKind::Changed]);
    assert_eq!(found.len(), 250);
    // Damaged in the midst of a chunk.
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 4;
    disk.put(second, &damaged);
    let (found, faults) = read(open(&disk));
    assert!(faults[0].is_damage() && faults[0].file.starts_with("00000002"));
    assert!(is_within(&found, &all) && found.len() >= 280);
    // Nothing of it can be read.
    disk.put(second, &vec![0; 5_000]);
    assert_eq!(read(open(&disk)).0.len(), 200);
    disk.remove(third).unwrap();
    disk.remove(first).unwrap();
    disk.remove(second).unwrap();
    disk.remove(&place().join(MANIFEST)).unwrap();
    let gone = Recording::open(Arc::new(disk.clone()), &place()).unwrap_err();
    assert!(matches!(gone, OpenError::Empty { .. }), "{gone}");
}

#[test]
fn a_file_that_a_rule_removed_is_not_lost() {
    let disk = FaultyDisk::default();
    recorded(&disk, "a");
    let run = ("b", "0.1.0");
    let folder = Folder::open(Arc::new(disk.clone()), &place(), run, BEGIN).unwrap();
    let rule = Retention {
        keep_bytes: Some(1),
        ..Retention::default()
    };
    assert_eq!(folder.retain(&rule, BEGIN).unwrap().len(), 2);
    let recording = open(&disk);
    assert_eq!((recording.removed.len(), recording.lost.len()), (2, 0));
    assert_eq!(read(recording).0.len(), 100);
}

#[test]
fn what_is_being_written_is_read_as_far_as_it_goes_and_is_no_damage() {
    let place = std::env::temp_dir().join(format!("polypy-written-{}", std::process::id()));
    let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
    let mut folder = Folder::open(Arc::clone(&disk), &place, ("a", "0.1.0"), BEGIN).unwrap();
    let all = entries(60);
    let mut segment = folder.begin(BEGIN).unwrap();
    all.iter().for_each(|entry| assert!(segment.write(entry)));
    segment.end_chunk().unwrap();
    let recording = Recording::open(Arc::clone(&disk), &place).unwrap();
    assert!(recording.is_written);
    let (found, faults) = read(recording);
    assert_eq!(found, all);
    assert_eq!(kinds(&faults), [FaultKind::Written]);
    assert!(!faults[0].is_damage());
    // Nobody repairs it meanwhile.
    let recording = Recording::open(Arc::clone(&disk), &place).unwrap();
    let refused = repair_recording(Arc::clone(&disk), &recording, BEGIN, &mut |_| {});
    assert!(refused.unwrap_err().to_string().contains("another process"));
    drop((segment, folder));
    let recording = Recording::open(Arc::clone(&disk), &place).unwrap();
    assert!(!recording.is_written);
    assert_eq!(kinds(&read(recording).1), [FaultKind::Cut]);
    std::fs::remove_dir_all(&place).unwrap();
}

#[test]
fn repairing_makes_every_file_whole_and_again_changes_nothing() {
    let disk = FaultyDisk::default();
    let all = recorded(&disk, "a");
    let [first, second, third] = &names(&disk)[..] else {
        unreachable!()
    };
    let bytes = disk.content(second).unwrap();
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 4;
    disk.put(second, &damaged);
    let part = PathBuf::from(format!("{}.part", third.display()));
    let bytes = disk.content(third).unwrap();
    disk.put(&part, &bytes[..bytes.len() / 2]);
    disk.remove(third).unwrap();
    let mend = || {
        let mut told = Vec::new();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        repair_recording(shared, &open(&disk), BEGIN, &mut |mended| {
            told.push((mended.is_known, mended.result.as_ref().unwrap().clone()));
        })
        .unwrap();
        told
    };
    let told = mend();
    assert!(matches!(told[0], (true, Repaired::Whole(_))));
    assert!(matches!(told[1], (false, Repaired::Copied { .. })));
    assert!(matches!(told[2], (false, Repaired::Ended { .. })));
    let (found, faults) = read(open(&disk));
    assert_eq!(faults, []);
    let is_gap = |entry: &Recorded| matches!(entry.entry, Entry::Gap(_));
    let rest: Vec<_> = found
        .iter()
        .filter(|entry| !is_gap(entry))
        .cloned()
        .collect();
    assert!(is_within(&rest, &all));
    let content = |path: &Path| disk.content(path);
    let before = names(&disk)
        .iter()
        .map(|name| content(name))
        .collect::<Vec<_>>();
    let manifest = content(&place().join(MANIFEST));
    let again = mend();
    assert!(again.iter().all(|(is_known, _)| *is_known), "{again:?}");
    let after = names(&disk)
        .iter()
        .map(|name| content(name))
        .collect::<Vec<_>>();
    assert_eq!(
        (after, content(&place().join(MANIFEST))),
        (before, manifest)
    );
    assert!(content(first).is_some());
}

#[test]
fn a_thousand_flipped_bits_are_each_named_or_change_nothing() {
    let disk = FaultyDisk::default();
    let all = recorded(&disk, "a");
    let mut files = names(&disk);
    files.push(place().join(MANIFEST));
    let mut rng = Rng::with_seed(31);
    let mut unnoticed = Vec::new();
    for _ in 0..1_000 {
        let file = &files[rng.usize(..files.len())];
        let whole = disk.content(file).unwrap();
        let mut flipped = whole.clone();
        let (at, bit) = (rng.usize(..whole.len()), rng.u32(..8));
        flipped[at] ^= 1 << bit;
        disk.put(file, &flipped);
        let (found, faults) = read(open(&disk));
        // What is said to be there is what was recorded, byte for byte.
        assert!(is_within(&found, &all), "{file:?} {at} {bit}");
        if found != all {
            assert!(faults.iter().any(|fault| fault.what.loses_entries()));
        } else if faults.is_empty() {
            unnoticed.push((file.clone(), at));
        }
        disk.put(file, &whole);
    }
    // A manifest's figures that nothing depends on: times, counts, names of runs.
    let manifest = |(file, _): &(PathBuf, usize)| file.ends_with(MANIFEST);
    assert!(unnoticed.iter().all(manifest), "{unnoticed:?}");
}

#[test]
fn compacting_keeps_every_entry_and_makes_the_file_smaller() {
    let disk = FaultyDisk::default();
    let all = recorded(&disk, "a");
    for path in names(&disk) {
        let was = disk.content(&path).unwrap().len() as u64;
        let Compacted::Smaller(now, before) = compact(&disk, &path, BEGIN).unwrap() else {
            panic!("as it was");
        };
        assert!(before == was && now.bytes < was, "{} of {was}", now.bytes);
    }
    assert_eq!(read(open(&disk)), (all, Vec::new()));
    assert_eq!(names(&disk).len(), 3, "nothing is left beside them");
    // A kill between the line and the new name leaves the file of before, which is whole.
    let path = &names(&disk)[0];
    let small = disk.content(path).unwrap();
    recorded(&FaultyDisk::default(), "a");
    let other = FaultyDisk::default();
    recorded(&other, "a");
    disk.put(path, &other.content(path).unwrap());
    assert_eq!(read(open(&disk)).1, []);
    disk.put(path, &small);
    // One that is damaged stays.
    let mut damaged = small.clone();
    damaged[small.len() / 2] ^= 1;
    disk.put(path, &damaged);
    assert!(compact(&disk, path, BEGIN).is_err());
    assert_eq!(disk.content(path).unwrap(), damaged);
    assert_eq!(names(&disk).len(), 3);
}

#[test]
fn whoever_plays_it_is_told_of_sockets_of_earlier_runs_and_of_what_is_missing() {
    let disk = FaultyDisk::default();
    let all = recorded(&disk, "a");
    recorded(&disk, "b");
    let [_, second, ..] = &names(&disk)[..] else {
        unreachable!()
    };
    disk.remove(second).unwrap();
    let mut source = Entries::of(open(&disk));
    let mut read = || {
        let mut entries = Vec::new();
        source.rewind().unwrap();
        while source.read(&mut entries).unwrap() {}
        entries
    };
    let entries = read();
    assert_eq!(entries, read(), "again");
    let closed = |entry: &&Recorded| matches!(&entry.entry, Entry::Socket(SocketEvent::Closed { reason, .. }) if &**reason == "session_ended");
    assert_eq!(entries.iter().filter(closed).count(), 2);
    let lost =
        |entry: &&Recorded| matches!(&entry.entry, Entry::Gap(gap) if &*gap.reason == "lost");
    assert_eq!(entries.iter().filter(lost).count(), 1);
    assert_eq!(entries.len(), 2 * all.len() - 100 + 3);
}

#[test]
fn a_file_that_is_copied_under_another_number_is_read_once_and_never_repaired() {
    let disk = FaultyDisk::default();
    let all = recorded(&disk, "a");
    let copy = place().join("00000007-20261118T110700Z.mcap");
    let first = names(&disk)[0].clone();
    disk.put(&copy, &disk.content(&first).unwrap());
    let (found, faults) = read(open(&disk));
    assert_eq!(kinds(&faults), [FaultKind::Copy]);
    assert!(!faults[0].is_damage() && found == all);
    let said = faults[0].to_string();
    assert!(
        said.starts_with("00000007") && said.contains("copy of 00000001"),
        "{said}"
    );
    let mut done = Vec::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    repair_recording(shared, &open(&disk), BEGIN, &mut |mended| {
        done.push(mended.result.as_ref().unwrap().clone());
    })
    .unwrap();
    assert!(matches!(&done[3], Repaired::CopyOf(name) if name.starts_with("00000001")));
    let manifest = Manifest::read(&disk, &place()).unwrap();
    assert_eq!(manifest.files().count(), 3, "it is in no line");
    // Nor by the recorder that starts next.
    let mut folder = Folder::open(Arc::new(disk.clone()), &place(), ("b", "0"), BEGIN).unwrap();
    folder.recovery().run(BEGIN).unwrap();
    let manifest = Manifest::read(&disk, &place()).unwrap();
    assert_eq!(manifest.files().count(), 3);
    assert!(disk.content(&copy).is_some());
}

#[test]
fn a_finished_file_in_which_nothing_is_whole_becomes_a_gap_as_long_as_it_was() {
    // Damaged in its only chunk, and cut there.
    for is_cut in [false, true] {
        let disk = FaultyDisk::default();
        let all = recorded(&disk, "a");
        let second = names(&disk)[1].clone();
        compact(&disk, &second, BEGIN).unwrap();
        let mut bytes = disk.content(&second).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        if is_cut {
            bytes.truncate(middle);
        }
        disk.put(&second, &bytes);
        assert!(compact(&disk, &second, BEGIN).is_err());
        let mut done = Vec::new();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        repair_recording(Arc::clone(&shared), &open(&disk), BEGIN, &mut |mended| {
            done.push(mended.result.as_ref().unwrap().clone());
        })
        .unwrap();
        let Repaired::Copied { gaps, damaged, .. } = &done[1] else {
            panic!("{done:?}");
        };
        let [gap] = &gaps[..] else {
            panic!("{gaps:?}");
        };
        let times = [all[100].at, all[199].at].map(|at| Some(at / 1_000));
        assert_eq!((&*gap.reason, [gap.from_ts, gap.to_ts]), ("damaged", times));
        assert_eq!(disk.content(damaged).unwrap(), bytes);
        let (found, faults) = read(open(&disk));
        assert_eq!((found.len(), kinds(&faults)), (201, Vec::new()));
        let mut again = Vec::new();
        repair_recording(shared, &open(&disk), BEGIN, &mut |mended| {
            again.push(mended.is_known);
        })
        .unwrap();
        assert_eq!(again, [true; 3], "nothing is left to do");
    }
}
