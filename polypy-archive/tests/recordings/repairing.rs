//! What `repair` makes of files that were cut or damaged.

use std::path::PathBuf;

use polypy_archive::testing::{Faults, FaultyDisk};
use polypy_archive::{Repaired, repair};
use polypy_core::recording::{Entry, Gap, Recorded};

use crate::common::{
    self, BEGIN, entries, finished, indexed, is_full, is_within, part, path, read,
};

const PER_CHUNK: usize = 25;
const NOW: u64 = BEGIN + 3_600_000_000_000;

/// A disk with this file, still called `.part`.
fn disk_with(bytes: &[u8]) -> FaultyDisk {
    let disk = FaultyDisk::default();
    disk.put(&part(), bytes);
    disk
}

/// The entries, and apart from them the gaps that a repair wrote.
fn apart(all: Vec<Recorded>) -> (Vec<Recorded>, Vec<Gap>) {
    let mut gaps = Vec::new();
    let mut rest = Vec::new();
    for recorded in all {
        match recorded.entry {
            Entry::Gap(gap) if gap.detected_ts == NOW / 1_000 => gaps.push(gap),
            _ => rest.push(recorded),
        }
    }
    (rest, gaps)
}

#[test]
fn a_file_cut_anywhere_is_ended_with_a_gap_and_a_second_time_nothing_changes() {
    let entries = entries(300);
    let bytes = finished(&entries, PER_CHUNK);
    let first = read(&bytes).chunks[0];
    let from = usize::try_from(first).unwrap();
    let mut cuts: Vec<usize> = (0..bytes.len()).collect();
    if !is_full() {
        cuts.retain(|cut| cut % 97 == 0 || bytes.len() - cut < 80 || cut.abs_diff(from) < 3);
    }
    for cut in cuts {
        let before = read(&bytes[..cut]);
        let disk = disk_with(&bytes[..cut]);
        let repaired = repair(&disk, &part(), NOW).unwrap();
        if before.entries.is_empty() {
            assert_eq!(repaired, Repaired::Empty, "cut at {cut}");
            continue;
        }
        let Repaired::Ended { file, gap, .. } = &repaired else {
            unreachable!("cut at {cut}: {repaired:?}");
        };
        assert!(!common::exists(&disk, &part()));
        let content = disk.content(&path()).unwrap();
        let after = read(&content);
        assert!(
            after.is_clean(),
            "cut at {cut}: {:?} {:?}",
            after.damaged,
            after.torn
        );
        let (rest, gaps) = apart(after.entries);
        assert!(rest == before.entries, "cut at {cut}");
        assert_eq!(
            gaps,
            gap.clone().into_iter().collect::<Vec<_>>(),
            "cut at {cut}"
        );
        let last = before.entries.last().unwrap().at;
        match gap {
            Some(gap) => {
                assert_eq!((&*gap.reason, gap.to_ts), ("killed", None));
                assert_eq!(gap.from_ts, Some(last / 1_000));
            }
            None => assert!(rest.len() == entries.len(), "cut at {cut}"),
        }
        // Where the ending alone was cut nothing is missing.
        let lacks = before.torn.is_some_and(|torn| !torn.has_all_entries);
        assert_eq!(gap.is_some(), lacks, "cut at {cut}");
        assert_eq!(file.times.map(|(_, last)| last), Some(last), "cut at {cut}");
        // Readers in other languages find messages by the index behind each chunk alone.
        assert_eq!(indexed(&content), file.entries, "cut at {cut}");
        assert_eq!(file.bytes, content.len() as u64);

        let again = repair(&disk, &path(), NOW + 1).unwrap();
        assert!(
            matches!(&again, Repaired::Whole(same) if same == file),
            "cut at {cut}"
        );
        assert_eq!(disk.content(&path()).unwrap(), content, "cut at {cut}");
    }
}

#[test]
fn a_repair_that_is_killed_anywhere_is_done_by_the_next_one() {
    let entries = entries(200);
    let bytes = finished(&entries, PER_CHUNK);
    // Within the index behind the fifth chunk, so that the repair writes all there is.
    let chunks = read(&bytes).chunks;
    let cut = usize::try_from(chunks[5]).unwrap() - 30;
    let before = read(&bytes[..cut]).entries;
    let step = if is_full() { 1 } else { 97 };
    for room in (0..60_000).step_by(step) {
        let disk = disk_with(&bytes[..cut]);
        disk.set(Faults {
            room: Some(room),
            ..Faults::default()
        });
        let failed = repair(&disk, &part(), NOW).is_err();
        disk.cut_power();
        disk.set(Faults::default());
        let name = if failed { part() } else { path() };
        let again = repair(&disk, &name, NOW).unwrap();
        let content = read(&disk.content(&path()).unwrap());
        assert!(content.is_clean());
        assert!(
            apart(content.entries).0 == before,
            "killed after {room} bytes"
        );
        if !failed {
            assert!(matches!(again, Repaired::Whole(_)));
            assert!(room > 1_000);
            return;
        }
    }
    unreachable!("there is room in the end");
}

#[test]
fn of_a_damaged_file_a_copy_takes_the_place_and_names_what_it_lacks() {
    let entries = entries(300);
    let bytes = finished(&entries, PER_CHUNK);
    let chunks = read(&bytes).chunks;
    let mut broken = bytes.clone();
    for chunk in [2, 3, 7] {
        broken[usize::try_from(chunks[chunk]).unwrap() + 100] ^= 4;
    }
    let disk = FaultyDisk::default();
    disk.put(&path(), &broken);
    let repaired = repair(&disk, &path(), NOW).unwrap();
    let Repaired::Copied {
        file,
        damaged,
        gaps,
    } = repaired
    else {
        unreachable!("{repaired:?}");
    };
    assert_eq!(
        damaged,
        PathBuf::from(format!("{}.damaged", path().display()))
    );
    assert_eq!(
        disk.content(&damaged).unwrap(),
        broken,
        "the file itself stays"
    );

    let content = disk.content(&path()).unwrap();
    let after = read(&content);
    assert!(after.is_clean(), "{:?} {:?}", after.damaged, after.torn);
    let (rest, written) = apart(after.entries);
    let kept = [&entries[..50], &entries[100..175], &entries[200..]].concat();
    assert!(rest == kept);
    assert_eq!(written, gaps);
    let span = |from: usize, to: usize| {
        let micros = |at: usize| Some(entries[at].at / 1_000);
        ("damaged", micros(from), micros(to))
    };
    let named: Vec<_> = gaps
        .iter()
        .map(|gap| (&*gap.reason, gap.from_ts, gap.to_ts))
        .collect();
    assert_eq!(named, [span(49, 100), span(174, 200)]);

    let again = repair(&disk, &path(), NOW).unwrap();
    assert_eq!(again, Repaired::Whole(file));
    assert_eq!(disk.content(&path()).unwrap(), content);
}

#[test]
fn a_file_with_a_flipped_bit_is_repaired_without_losing_what_is_whole() {
    let entries = entries(300);
    let bytes = finished(&entries, PER_CHUNK);
    let mut rng = fastrand::Rng::with_seed(21);
    for _ in 0..if is_full() { 1_000 } else { 100 } {
        let mut flipped = bytes.clone();
        let (at, bit) = (rng.usize(..bytes.len()), rng.u8(..8));
        flipped[at] ^= 1 << bit;
        let before = read(&flipped).entries;
        let disk = FaultyDisk::default();
        disk.put(&path(), &flipped);
        repair(&disk, &path(), NOW).unwrap();
        let after = read(&disk.content(&path()).unwrap());
        assert!(after.is_clean(), "bit {bit} of byte {at}");
        let (rest, gaps) = apart(after.entries);
        assert!(
            rest == before && is_within(&rest, &entries),
            "bit {bit} of byte {at}"
        );
        assert!(
            rest.len() == entries.len() || !gaps.is_empty(),
            "bit {bit} of byte {at}"
        );
    }
}
