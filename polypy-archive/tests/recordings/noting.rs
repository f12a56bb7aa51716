//! What a repair notes in the manifest, since no file can say it: a file that is lost, one that
//! was changed. And a line that cannot be read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use polypy_archive::manifest::{LOST, MANIFEST};
use polypy_archive::testing::FaultyDisk;
use polypy_archive::{
    CompactError, Compacted, Disk, Fault, FaultKind, Header, Manifest, Mended, Recording, Repaired,
    Segment, compact, repair_recording,
};
use polypy_core::Owner;
use polypy_core::recording::Recorded;

use crate::common::{self, BEGIN};
use crate::reading::{names, open, place, read, recorded};

/// What each file became, unless it was as the manifest has it.
fn repaired(disk: &FaultyDisk) -> Vec<(String, Result<Repaired, String>)> {
    let mut done = Vec::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let told = &mut |mended: &Mended| {
        if !mended.is_known {
            let result = mended.result.as_ref();
            let result = result.cloned().map_err(ToString::to_string);
            done.push((mended.file.clone(), result));
        }
    };
    repair_recording(shared, &open(disk), BEGIN, told).unwrap();
    done
}

fn faults(disk: &FaultyDisk) -> Vec<Fault> {
    read(open(disk)).1
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}.{suffix}", path.display()))
}

/// Makes each file smaller; what became of it.
fn compacted(disk: &FaultyDisk) -> Vec<Result<(), CompactError>> {
    let smaller = |path: &PathBuf| {
        let done = compact(disk, path, BEGIN)?;
        assert!(matches!(done, Compacted::Smaller(..)), "{done:?}");
        Ok(())
    };
    names(disk).iter().map(smaller).collect()
}

/// Another file of this name, with these entries.
fn rewritten(disk: &FaultyDisk, path: &Path, entries: &[Recorded]) {
    let header = Header {
        number: 2,
        ..Header::default()
    };
    let elsewhere = PathBuf::from("elsewhere.mcap");
    let mut segment = Segment::create(disk, &elsewhere, &header).unwrap();
    entries
        .iter()
        .for_each(|entry| assert!(segment.write(entry)));
    segment.finish(disk).map_err(|(error, _)| error).unwrap();
    disk.put(path, &disk.content(&elsewhere).unwrap());
}

#[test]
fn a_lost_file_is_noted_once_with_its_gap_until_it_is_put_back() {
    let disk = FaultyDisk::default();
    let all = recorded(&disk, "a");
    let second = names(&disk)[1].clone();
    let bytes = disk.content(&second).unwrap();
    disk.remove(&second).unwrap();
    let told = faults(&disk);
    assert!(told.len() == 1 && told[0].is_damage(), "{told:?}");
    assert!(told[0].to_string().contains("polypy repair"), "{}", told[0]);

    let done = repaired(&disk);
    let [(file, Ok(Repaired::Lost(gap)))] = &done[..] else {
        panic!("{done:?}");
    };
    assert!(second.ends_with(file));
    let times = [all[100].at, all[199].at].map(|at| Some(at / 1_000));
    assert_eq!((&*gap.reason, gap.owner), (LOST, Owner::Us));
    assert_eq!([gap.from_ts, gap.to_ts], times);
    assert!(gap.size > Some(80) && gap.size < Some(100), "{gap:?}");

    // Said where it should have been, and no error any more.
    let told = faults(&disk);
    assert_eq!((told.len(), told[0].what), (1, FaultKind::Lost));
    assert!(told[0].is_noted && !told[0].is_damage());
    assert!(told[0].what.loses_entries());
    assert_eq!(open(&disk).gaps, std::slice::from_ref(gap));
    let manifest = disk.content(&place().join(MANIFEST));
    assert_eq!(repaired(&disk), []);
    assert_eq!(disk.content(&place().join(MANIFEST)), manifest);

    disk.put(&second, &bytes);
    assert_eq!((faults(&disk), open(&disk).gaps), (vec![], vec![]));
}

#[test]
fn a_folder_without_a_file_left_says_what_is_lost() {
    let disk = FaultyDisk::default();
    recorded(&disk, "a");
    for name in names(&disk) {
        disk.remove(&name).unwrap();
    }
    assert_eq!(repaired(&disk).len(), 3);
    assert_eq!(open(&disk).gaps.len(), 3);
    assert!(faults(&disk).iter().all(|fault| fault.is_noted));
}

#[test]
fn a_changed_file_that_can_be_read_is_noted_with_its_new_digest_and_stays_marked() {
    let disk = FaultyDisk::default();
    let all = recorded(&disk, "a");
    let second = names(&disk)[1].clone();
    let before = open(&disk).files[1].line.clone().unwrap();
    let original = disk.content(&second).unwrap();
    rewritten(&disk, &second, &all[100..150]);
    let bytes = disk.content(&second);
    let told = faults(&disk);
    assert!(told.len() == 1 && told[0].is_damage(), "{told:?}");
    assert!(told[0].to_string().contains("polypy repair"), "{}", told[0]);

    let done = repaired(&disk);
    let [(_, Ok(Repaired::Changed { file, was_sha256 }))] = &done[..] else {
        panic!("{done:?}");
    };
    assert_eq!(*was_sha256, before.sha256);
    assert_eq!(disk.content(&second), bytes, "not a byte is touched");
    let now = open(&disk).files[1].clone();
    assert!(now.is_changed);
    assert_eq!(now.line.unwrap().sha256, file.sha256);
    let told = faults(&disk);
    assert_eq!((told.len(), told[0].what), (1, FaultKind::Changed));
    assert!(told[0].is_noted && !told[0].is_damage());
    assert_eq!(repaired(&disk), []);
    // And changed once more.
    rewritten(&disk, &second, &all[100..140]);
    assert!(faults(&disk)[0].is_damage());
    repaired(&disk);
    assert!(faults(&disk)[0].is_noted);
    // As it was.
    disk.put(&second, &original);
    repaired(&disk);
    assert_eq!(faults(&disk), []);
}

#[test]
fn a_file_that_became_a_copy_of_another_stays_and_says_what_to_do() {
    let disk = FaultyDisk::default();
    recorded(&disk, "a");
    let [first, second, _] = &names(&disk)[..] else {
        unreachable!()
    };
    disk.put(second, &disk.content(first).unwrap());
    let done = repaired(&disk);
    let [(_, Err(why))] = &done[..] else {
        panic!("{done:?}");
    };
    assert!(why.contains("remove the copy"), "{why}");
    let told = faults(&disk);
    assert!(told.len() == 1 && told[0].is_damage(), "{told:?}");
    let text = told[0].to_string();
    assert!(text.contains("remove the copy"), "{text}");
    disk.remove(second).unwrap();
    let done = repaired(&disk);
    assert!(
        matches!(&done[..], [(_, Ok(Repaired::Lost(_)))]),
        "{done:?}"
    );
}

#[test]
fn a_line_of_the_manifest_that_cannot_be_read_is_named_and_what_files_say_is_written_again() {
    let disk = FaultyDisk::default();
    let all = recorded(&disk, "a");
    let manifest = place().join(MANIFEST);
    let whole = disk.content(&manifest).unwrap();
    // Session, and three files: the second one's.
    let lines: Vec<_> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    let from = lines[0].len() + lines[1].len();
    let mut broken = whole.clone();
    broken[from] = b'?';
    disk.put(&manifest, &broken);

    let (found, told) = read(open(&disk));
    assert_eq!(found, all);
    let [fault] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!((&*fault.file, fault.what), (MANIFEST, FaultKind::Line));
    assert_eq!(fault.line, Some(3));
    let to = from + lines[2].len();
    assert_eq!(fault.bytes, (from as u64, to as u64));
    assert!(fault.is_damage() && !fault.what.loses_entries());
    assert!(
        fault.to_string().contains("line 3 cannot be read"),
        "{fault}"
    );

    let done = repaired(&disk);
    let [(second, Ok(Repaired::Whole(_))), (file, Err(why))] = &done[..] else {
        panic!("{done:?}");
    };
    assert!(second.starts_with("00000002") && file == MANIFEST);
    assert!(why.contains("line 3"), "{why}");
    assert_eq!(Manifest::read(&disk, &place()).unwrap().files().count(), 3);
    // It stays as it is: nobody knows what it was.
    assert_eq!(faults(&disk).len(), 1);
    let kept = disk.content(&manifest).unwrap();
    assert!(kept.starts_with(&broken), "nothing is taken from it");
}

#[test]
fn a_repair_that_was_killed_between_its_two_names_is_done_by_the_next_one() {
    let disk = FaultyDisk::default();
    let all = recorded(&disk, "a");
    let second = names(&disk)[1].clone();
    let (aside, copy) = (with(&second, "damaged"), with(&second, "repair"));
    let mut broken = disk.content(&second).unwrap();
    let chunk = common::read(&broken).chunks[2];
    broken[usize::try_from(chunk).unwrap() + 100] ^= 4;
    // The damaged file has made room, and what was to have its place does not have it yet.
    disk.remove(&second).unwrap();
    disk.put(&aside, &broken);
    disk.put(&copy, b"half");
    assert_eq!(open(&disk).files.len(), 3, "it is read under that name");

    let done = repaired(&disk);
    let [
        (
            file,
            Ok(Repaired::Copied {
                file: mended,
                damaged,
                gaps,
            }),
        ),
    ] = &done[..]
    else {
        panic!("{done:?}");
    };
    assert!(second.ends_with(file));
    assert_eq!((&mended.path, damaged), (&second, &aside));
    assert_eq!((gaps.len(), &*gaps[0].reason), (1, "damaged"));
    assert_eq!(
        disk.content(&aside).as_deref(),
        Some(&broken[..]),
        "it stays"
    );
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let there: Vec<_> = names(&disk).iter().map(name).collect();
    assert_eq!(there.len(), 4, "three files, and that one: {there:?}");
    let (found, told) = read(open(&disk));
    assert_eq!(told, []);
    let entries = found.iter().filter(|entry| all.contains(entry));
    assert!((280..300).contains(&entries.count()));
    assert_eq!(repaired(&disk), []);

    // It has a copy now, which a repair of this file alone does not replace.
    let kept = disk.content(&second);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let alone = Recording::open(Arc::clone(&shared), &aside).unwrap();
    let mut why = Vec::new();
    let told = &mut |mended: &Mended| why.push(mended.result.as_ref().unwrap_err().to_string());
    repair_recording(shared, &alone, BEGIN, told).unwrap();
    assert!(why.len() == 1 && why[0].contains("in its place"), "{why:?}");
    assert_eq!(disk.content(&second), kept);
}

#[test]
fn a_changed_file_is_made_smaller_only_once_that_is_noted_and_stays_marked() {
    let disk = FaultyDisk::default();
    let all = recorded(&disk, "a");
    let second = names(&disk)[1].clone();
    let original = disk.content(&second).unwrap();
    rewritten(&disk, &second, &all[100..150]);
    let changed = disk.content(&second);
    let manifest = disk.content(&place().join(MANIFEST));
    // Its line of the manifest would be that of the file that somebody has put there.
    let refused = compact(&disk, &second, BEGIN);
    assert!(matches!(refused, Err(CompactError::Changed)), "{refused:?}");
    assert_eq!(disk.content(&second), changed);
    assert_eq!(disk.content(&place().join(MANIFEST)), manifest);
    assert_eq!(names(&disk).len(), 3, "nothing is left beside it");
    assert!(faults(&disk)[0].is_damage());

    repaired(&disk);
    assert!(compacted(&disk).iter().all(Result::is_ok));
    let told = faults(&disk);
    assert_eq!((told.len(), told[0].what), (1, FaultKind::Changed));
    assert!(told[0].is_noted && second.ends_with(&told[0].file));

    // Put back and noted, it is what it was, also once it is made smaller.
    disk.put(&second, &original);
    repaired(&disk);
    assert_eq!(faults(&disk), []);
    compact(&disk, &second, BEGIN).unwrap();
    assert_eq!(read(open(&disk)), (all, vec![]));
    assert!(!open(&disk).files[1].is_changed);
}

#[test]
fn what_is_noted_of_a_lost_file_stays_while_the_others_are_made_smaller() {
    let disk = FaultyDisk::default();
    let all = recorded(&disk, "a");
    let second = names(&disk)[1].clone();
    let bytes = disk.content(&second).unwrap();
    disk.remove(&second).unwrap();
    repaired(&disk);
    let gaps = open(&disk).gaps;
    assert_eq!((gaps.len(), &*gaps[0].reason), (1, LOST));
    let done = compacted(&disk);
    assert!(
        done.len() == 2 && done.iter().all(Result::is_ok),
        "{done:?}"
    );
    assert_eq!(open(&disk).gaps, gaps);
    let told = faults(&disk);
    assert_eq!((told.len(), told[0].what), (1, FaultKind::Lost));
    assert!(told[0].is_noted);
    assert_eq!(repaired(&disk), []);
    disk.put(&second, &bytes);
    compact(&disk, &second, BEGIN).unwrap();
    assert_eq!(read(open(&disk)), (all, vec![]));
    assert_eq!(open(&disk).gaps, []);
}
