//! A folder: who has it, what its files are called, what a kill left, what is kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use polypy_archive::manifest::{Line, MANIFEST, append};
use polypy_archive::testing::{Faults, FaultyDisk};
use polypy_archive::{
    Disk, Folder, FolderError, Manifest, Recovered, Repaired, Retention, SystemDisk,
};
use polypy_core::recording::Recorded;

use crate::common::{BEGIN, entries, exists, read};

const RUN: (&str, &str) = ("a-session", "0.1.0");
const SECOND: u64 = 1_000_000_000;

fn place() -> PathBuf {
    PathBuf::from("recording")
}

fn open(disk: &FaultyDisk, now: u64) -> Folder {
    Folder::open(Arc::new(disk.clone()), &place(), RUN, now).expect("nobody has it")
}

/// A file with these entries, a chunk for each five and twenty.
fn record(folder: &mut Folder, entries: &[Recorded], now: u64) -> polypy_archive::Segment {
    let mut segment = folder.begin(now).expect("a disk that works");
    for entries in entries.chunks(25) {
        entries
            .iter()
            .for_each(|entry| assert!(segment.write(entry)));
        segment.end_chunk().expect("a disk that works");
    }
    segment
}

fn names(disk: &FaultyDisk) -> Vec<String> {
    let files = disk.list(&place()).unwrap();
    files
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| !name.starts_with('_'))
        .collect()
}

#[test]
fn files_are_numbered_and_what_they_hold_is_in_the_manifest() {
    let disk = FaultyDisk::default();
    let entries = entries(60);
    let mut folder = open(&disk, BEGIN);
    for number in 0..2 {
        let now = BEGIN + number * SECOND;
        let segment = record(&mut folder, &entries, now);
        folder.finish(segment, now + 5).unwrap();
    }
    assert_eq!(
        names(&disk),
        [
            "00000001-20261118T110640Z.mcap",
            "00000002-20261118T110641Z.mcap"
        ]
    );
    let manifest = Manifest::read(&disk, &place()).unwrap();
    assert!(matches!(&manifest.lines[0], Line::Session { session, .. } if session == RUN.0));
    let files: Vec<_> = manifest.files().collect();
    assert_eq!((files.len(), files[0].entries), (2, 60));
    assert_eq!(files[0].from_ts, Some(entries[0].at / 1_000));
    assert_eq!(files[0].to_ts, Some(entries[59].at / 1_000));
    let content = disk
        .content(&place().join(names(&disk)[0].as_str()))
        .unwrap();
    assert_eq!(files[0].bytes, content.len() as u64);
    assert_eq!(read(&content).header.unwrap().number, 1);

    // The next run goes on behind it, also if the files are gone.
    disk.remove(&place().join(names(&disk)[1].as_str()))
        .unwrap();
    let mut folder = open(&disk, BEGIN + 10 * SECOND);
    drop(record(&mut folder, &entries, BEGIN + 10 * SECOND));
    assert!(
        names(&disk)[1].starts_with("00000003-"),
        "{:?}",
        names(&disk)
    );
}

#[test]
fn a_folder_is_one_writers_and_the_error_says_what_to_do() {
    let place = std::env::temp_dir().join(format!("polypy-archive-{}", std::process::id()));
    let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
    let folder = Folder::open(Arc::clone(&disk), &place, RUN, BEGIN).unwrap();
    let error = Folder::open(Arc::clone(&disk), &place, RUN, BEGIN).unwrap_err();
    assert!(matches!(error, FolderError::InUse { .. }));
    let said = error.to_string();
    assert!(
        said.contains(place.to_str().unwrap()) && said.contains("name another folder"),
        "{said}"
    );
    drop(folder);
    Folder::open(disk, &place, RUN, BEGIN).unwrap();
    std::fs::remove_dir_all(&place).unwrap();
}

#[test]
fn what_a_killed_run_left_is_repaired_renamed_or_removed() {
    let disk = FaultyDisk::default();
    let entries = entries(100);
    let mut folder = open(&disk, BEGIN);
    // Complete, but for its name.
    let segment = record(&mut folder, &entries, BEGIN);
    let complete = folder.finish(segment, BEGIN).unwrap();
    let whole = disk.content(&complete.path).unwrap();
    let part = PathBuf::from(format!("{}.part", complete.path.display()));
    disk.rename(&complete.path, &part).unwrap();
    let manifest = place().join(MANIFEST);
    disk.remove(&manifest).unwrap();
    // Cut, and empty.
    drop(record(&mut folder, &entries, BEGIN + SECOND));
    drop(record(&mut folder, &[], BEGIN + 2 * SECOND));
    drop(folder);

    let mut folder = open(&disk, BEGIN + 60 * SECOND);
    // The new run records before the old files are looked at.
    let segment = record(&mut folder, &entries, BEGIN + 60 * SECOND);
    let recovered = folder.recovery().run(BEGIN + 61 * SECOND).unwrap();
    assert!(folder.recovery().is_empty());
    folder.finish(segment, BEGIN + 62 * SECOND).unwrap();
    let [
        Recovered::Repaired(first),
        Recovered::Repaired(second),
        Recovered::Removed(_),
    ] = &recovered[..]
    else {
        unreachable!("{recovered:?}");
    };
    assert!(matches!(**first, Repaired::Whole(_)), "{first:?}");
    assert!(matches!(**second, Repaired::Ended { .. }), "{second:?}");
    assert_eq!(
        disk.content(&complete.path).unwrap(),
        whole,
        "not a byte was cut"
    );
    let found = names(&disk);
    assert_eq!(found.len(), 3, "{found:?}");
    for name in &found {
        let read = read(&disk.content(&place().join(name)).unwrap());
        assert!(read.is_clean() && read.entries.len() >= 100, "{name}");
    }
    let manifest = Manifest::read(&disk, &place()).unwrap();
    assert_eq!(manifest.files().count(), 3);
    let cut = |line: &Line| matches!(line, Line::Truncation { gap: Some(_), .. });
    assert_eq!(manifest.lines.iter().filter(|line| cut(line)).count(), 1);
    let mut folder = open(&disk, BEGIN + 70 * SECOND);
    assert!(folder.recovery().is_empty(), "all is done");
}

#[test]
fn a_copy_whose_file_made_room_takes_its_place_and_another_is_made_anew() {
    let disk = FaultyDisk::default();
    let mut folder = open(&disk, BEGIN);
    let segment = record(&mut folder, &entries(100), BEGIN);
    let file = folder.finish(segment, BEGIN).unwrap().path;
    let bytes = disk.content(&file).unwrap();
    let with = |suffix: &str| PathBuf::from(format!("{}.{suffix}", file.display()));
    disk.rename(&file, &with("damaged")).unwrap();
    disk.put(&with("repair"), &bytes);
    drop(folder);
    let mut folder = open(&disk, BEGIN);
    folder.recovery().run(BEGIN).unwrap();
    assert!(exists(&disk, &file) && !exists(&disk, &with("repair")));
    assert!(exists(&disk, &with("damaged")), "the damaged one stays");
    drop(folder);

    disk.put(&with("repair"), b"half");
    let mut folder = open(&disk, BEGIN);
    let recovered = folder.recovery().run(BEGIN).unwrap();
    assert!(
        matches!(&recovered[..], [Recovered::Removed(_)]),
        "{recovered:?}"
    );
    assert_eq!(disk.content(&file).unwrap(), bytes);
}

#[test]
fn the_oldest_files_go_by_age_and_bytes_two_at_once_and_never_the_youngest() {
    let disk = FaultyDisk::default();
    let mut folder = open(&disk, BEGIN);
    let entries = entries(50);
    for number in 0..6 {
        let segment = record(&mut folder, &entries, BEGIN + number);
        folder.finish(segment, BEGIN).unwrap();
    }
    let all = names(&disk);
    let bytes = disk.list(&place()).unwrap()[0].1;
    let none = folder.retain(&Retention::default(), BEGIN).unwrap();
    assert!(none.is_empty());
    let by_bytes = Retention {
        keep_bytes: Some(bytes * 5 + bytes / 2),
        ..Retention::default()
    };
    assert_eq!(folder.retain(&by_bytes, BEGIN).unwrap(), all[..1]);
    assert!(folder.retain(&by_bytes, BEGIN).unwrap().is_empty());
    // A year ahead: two at once.
    let by_age = Retention {
        keep_for: Some(Duration::from_hours(24)),
        ..Retention::default()
    };
    let ahead = BEGIN + 365 * 86_400 * SECOND;
    assert!(
        folder
            .retain(&by_age, BEGIN + 3_600 * SECOND)
            .unwrap()
            .is_empty()
    );
    assert_eq!(folder.retain(&by_age, ahead).unwrap(), all[1..3]);
    assert_eq!(folder.retain(&by_age, ahead).unwrap(), all[3..5]);
    assert!(
        folder.retain(&by_age, ahead).unwrap().is_empty(),
        "the youngest stays"
    );
    assert_eq!(names(&disk), all[5..]);
    let manifest = Manifest::read(&disk, &place()).unwrap();
    assert_eq!(manifest.removed().collect::<Vec<_>>(), all[..5]);
}

#[test]
fn what_the_manifest_says_is_there_after_a_power_cut() {
    let disk = FaultyDisk::default();
    let mut folder = open(&disk, BEGIN);
    for number in 0..2 {
        let segment = record(&mut folder, &entries(50), BEGIN + number);
        folder.finish(segment, BEGIN).unwrap();
    }
    let keep_none = Retention {
        keep_bytes: Some(0),
        ..Retention::default()
    };
    folder.retain(&keep_none, BEGIN).unwrap();
    folder.note_stopped(BEGIN).unwrap();
    let said = Manifest::read(&disk, &place()).unwrap();
    assert_eq!(said.lines.len(), 1 + 2 + 1 + 1);
    drop(folder);
    disk.cut_power();
    assert_eq!(Manifest::read(&disk, &place()).unwrap(), said);
}

#[test]
fn no_file_goes_before_its_line_and_one_whose_line_is_there_goes_at_the_next_start() {
    let disk = FaultyDisk::default();
    let mut folder = open(&disk, BEGIN);
    for number in 0..2 {
        let segment = record(&mut folder, &entries(50), BEGIN + number);
        folder.finish(segment, BEGIN).unwrap();
    }
    let all = names(&disk);
    let keep_none = Retention {
        keep_bytes: Some(0),
        ..Retention::default()
    };
    disk.set(Faults {
        room: Some(10),
        ..Faults::default()
    });
    assert!(folder.retain(&keep_none, BEGIN).is_err());
    assert_eq!(names(&disk), all, "the line could not be written");
    disk.set(Faults::default());
    drop(folder);

    // Killed behind the line.
    let line = Line::Retention {
        at: 1,
        file: all[0].clone(),
        rule: "bytes".into(),
    };
    append(&disk, &place(), &line).unwrap();
    let mut folder = open(&disk, BEGIN);
    let recovered = folder.recovery().run(BEGIN).unwrap();
    assert_eq!(recovered, [Recovered::Removed(all[0].clone())]);
    assert_eq!(names(&disk), all[1..]);
}

#[test]
fn a_manifest_cut_anywhere_has_all_whole_lines_and_goes_on() {
    let disk = FaultyDisk::default();
    let line = |at| Line::Session {
        at,
        session: "s".repeat(5_000),
        version: "0.1.0".into(),
    };
    let path = place().join(MANIFEST);
    for at in 0..3 {
        append(&disk, Path::new("recording"), &line(at)).unwrap();
    }
    let whole = disk.content(&path).unwrap();
    let lines = whole.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(lines, 3);
    for cut in (0..whole.len()).step_by(97).chain([whole.len() - 1]) {
        let disk = FaultyDisk::default();
        disk.put(&path, &whole[..cut]);
        let count = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
        let before = Manifest::read(&disk, &place()).unwrap();
        assert_eq!(before.lines.len(), count, "cut at {cut}");
        assert_eq!(
            before.is_torn,
            cut > 0 && whole[cut - 1] != b'\n',
            "cut at {cut}"
        );
        append(&disk, &place(), &line(9)).unwrap();
        let after = Manifest::read(&disk, &place()).unwrap();
        assert_eq!(
            (after.lines.len(), after.is_torn),
            (count + 1, false),
            "cut at {cut}"
        );
        assert_eq!(after.unreadable, []);
        assert_eq!(after.lines.last(), Some(&line(9)));
    }
    let disk = FaultyDisk::default();
    disk.put(&path, b"nonsense\n{\"kind\":\"of_later\",\"at\":1}\n");
    let manifest = Manifest::read(&disk, &place()).unwrap();
    let unreadable: Vec<_> = manifest.unreadable.iter().map(|line| line.number).collect();
    assert_eq!(
        (&unreadable[..], &manifest.lines[..]),
        (&[1][..], &[Line::Other][..])
    );
}

#[test]
fn a_manifest_that_is_cut_at_any_byte_is_read_as_far_as_it_is_whole_and_goes_on() {
    let disk = FaultyDisk::default();
    let entries = entries(30);
    let mut folder = open(&disk, BEGIN);
    for number in 0..3 {
        let now = BEGIN + number * SECOND;
        let segment = record(&mut folder, &entries, now);
        folder.finish(segment, now + 5).unwrap();
    }
    let keeps_none = Retention {
        keep_bytes: Some(0),
        ..Retention::default()
    };
    let removed = folder.retain(&keeps_none, BEGIN + 4 * SECOND).unwrap();
    assert_eq!(removed.len(), 2);
    drop(folder);
    let manifest = place().join(MANIFEST);
    let whole = disk.content(&manifest).unwrap();
    let all = Manifest::read(&disk, &place()).unwrap().lines;
    assert_eq!(all.len(), 1 + 3 + 2);
    let file = names(&disk).remove(0);
    let bytes = disk.content(&place().join(&file)).unwrap();
    for cut in 0..=whole.len() {
        let disk = FaultyDisk::default();
        disk.put(&manifest, &whole[..cut]);
        disk.put(&place().join(&file), &bytes);
        let count = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
        let before = Manifest::read(&disk, &place()).unwrap();
        let is_torn = cut > 0 && whole[cut - 1] != b'\n';
        assert_eq!(
            (&before.lines[..], before.is_torn),
            (&all[..count], is_torn)
        );
        // The next run: what no line tells of is found, and its number is not used again.
        let mut folder = open(&disk, BEGIN + 9 * SECOND);
        folder.recovery().run(BEGIN + 9 * SECOND).unwrap();
        let segment = record(&mut folder, &entries, BEGIN + 10 * SECOND);
        folder.finish(segment, BEGIN + 11 * SECOND).unwrap();
        let after = Manifest::read(&disk, &place()).unwrap();
        assert_eq!(
            (after.unreadable.len(), after.is_torn),
            (0, false),
            "cut at {cut}"
        );
        assert_eq!(&after.lines[..count], &all[..count], "cut at {cut}");
        let names = names(&disk);
        assert_eq!(names.len(), 2, "cut at {cut}: {names:?}");
        assert!(
            names[0] == file && names[1].starts_with("00000004-"),
            "{names:?}"
        );
        let told: Vec<_> = after.files().map(|line| line.file.as_str()).collect();
        for name in &names {
            assert!(told.contains(&name.as_str()), "cut at {cut}: {name}");
        }
    }
}
