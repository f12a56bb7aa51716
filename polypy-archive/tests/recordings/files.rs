//! What was written whole is read, whatever happened to the file, and the rest is named.

use crate::common::{
    entries, finished, indexed, is_full, is_within, length_at, part, path, read, write,
};
use fastrand::Rng;
use polypy_archive::testing::{Faults, FaultyDisk};
use polypy_archive::{Disk, Segment};

const PER_CHUNK: usize = 25;

#[test]
fn a_finished_file_has_everything_as_it_was_written() {
    let entries = entries(1_500);
    let bytes = finished(&entries, PER_CHUNK);
    let read = read(&bytes);
    assert!(read.is_clean(), "{:?} {:?}", read.damaged, read.torn);
    assert_eq!(read.chunks.len(), 60);
    assert_eq!(read.header, Some(crate::common::header()));
    assert!(read.entries == entries);
}

#[test]
fn a_file_cut_anywhere_has_all_whole_chunks() {
    let entries = entries(400);
    let bytes = finished(&entries, PER_CHUNK);
    let whole = read(&bytes);
    // A chunk is whole once its record is; its index can be made again.
    let ends: Vec<u64> = whole
        .chunks
        .iter()
        .map(|at| at + length_at(&bytes, *at))
        .collect();
    let first = bytes.len().saturating_sub(64 << 10);
    let mut cuts = 0;
    for cut in first..bytes.len() {
        let near = |end: &u64| end.abs_diff(cut as u64) <= 64;
        if !is_full() && cut % 101 > 0 && !ends.iter().any(near) {
            continue;
        }
        cuts += 1;
        let read = read(&bytes[..cut]);
        let chunks = ends.iter().filter(|end| **end <= cut as u64).count();
        assert_eq!(read.chunks.len(), chunks, "cut at {cut}");
        assert!(
            read.entries == entries[..chunks * PER_CHUNK],
            "cut at {cut}"
        );
        let torn = read.torn.expect("it is said that it was cut");
        assert_eq!(
            (torn.to, read.damaged.len()),
            (cut as u64, 0),
            "cut at {cut}"
        );
        assert!(!read.is_finished);
    }
    assert!(cuts > 1_500, "{cuts}");
}

/// A reader of another language goes from the row of a chunk to the index of each channel, and
/// finds messages there.
#[test]
fn the_rows_of_chunks_and_the_indexes_behind_them_lead_to_every_message() {
    let entries = entries(500);
    let bytes = finished(&entries, PER_CHUNK);
    assert_eq!(indexed(&bytes), entries.len() as u64);
}

#[test]
fn a_file_with_a_flipped_bit_is_whole_or_says_what_is_not() {
    let entries = entries(500);
    let bytes = finished(&entries, PER_CHUNK);
    let mut rng = Rng::with_seed(5);
    let mut lost = 0;
    for _ in 0..1_000 {
        let mut flipped = bytes.clone();
        let (at, bit) = (rng.usize(..bytes.len()), rng.u8(..8));
        flipped[at] ^= 1 << bit;
        let read = read(&flipped);
        assert!(
            !read.is_clean(),
            "bit {bit} of byte {at} was flipped, and nobody says so"
        );
        assert!(is_within(&read.entries, &entries), "bit {bit} of byte {at}");
        // One chunk at most, of all that stand for themselves.
        let missing = entries.len() - read.entries.len();
        assert!(
            missing == 0 || missing == PER_CHUNK,
            "bit {bit} of byte {at}: {missing}"
        );
        lost += missing / PER_CHUNK;
    }
    assert!(lost > 300, "most of a file are entries: {lost}");
}

#[test]
fn nothing_is_believed_of_what_is_no_recording() {
    let bytes = finished(&entries(300), PER_CHUNK);
    let mut rng = Rng::with_seed(8);
    // Lengths of everything and of nothing, in places where lengths are.
    for at in [9_usize, 17, 30, 200] {
        for length in [u64::MAX, 1 << 63, 1 << 40, (bytes.len() as u64) - 1, 0] {
            let mut broken = bytes.clone();
            broken[at..at + 8].copy_from_slice(&length.to_le_bytes());
            assert!(!read(&broken).is_clean());
        }
    }
    for length in [0, 1, 7, 8, 9, 17, 500, 100_000] {
        let noise: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(length).collect();
        let read = read(&noise);
        assert!(read.entries.is_empty() && !read.is_clean());
    }
    // What becomes more than there may be, and says so. But for its size it is whole: nine
    // zeros are an empty record.
    let zeros = vec![0; 9 << 23];
    let bomb = zstd::bulk::compress(&zeros, 1).expect("memory");
    let checksum = crc32fast::hash(&zeros);
    let mut record = vec![6];
    record.extend_from_slice(&(48 + bomb.len() as u64).to_le_bytes());
    record.extend_from_slice(&[0; 16]);
    record.extend_from_slice(&(zeros.len() as u64).to_le_bytes());
    record.extend_from_slice(&checksum.to_le_bytes());
    record.extend_from_slice(b"\x04\0\0\0zstd");
    record.extend_from_slice(&(bomb.len() as u64).to_le_bytes());
    record.extend_from_slice(&bomb);
    let at = usize::try_from(read(&bytes).chunks[3]).expect("small");
    let read = read(&[&bytes[..at], &record, &bytes[at..]].concat());
    assert_eq!((read.entries.len(), read.chunks.len()), (300, 12));
    assert_eq!(
        (read.damaged[0].from, read.damaged[0].to),
        (at as u64, (at + record.len()) as u64)
    );
}

#[test]
fn a_chunk_of_a_wrong_length_costs_itself_alone() {
    let entries = entries(300);
    let bytes = finished(&entries, PER_CHUNK);
    let chunks = read(&bytes).chunks;
    let at = usize::try_from(chunks[3]).expect("small");
    for length in [0, 1, 700, u64::MAX] {
        let mut broken = bytes.clone();
        broken[at + 1..at + 9].copy_from_slice(&length.to_le_bytes());
        let read = read(&broken);
        assert!(
            read.entries == [&entries[..75], &entries[100..]].concat(),
            "{length}"
        );
        assert_eq!(read.damaged[0].from, chunks[3], "{length}");
        assert_eq!(read.damaged[0].to, chunks[4], "{length}");
    }
}

#[test]
fn what_looks_like_a_chunk_inside_a_damaged_one_is_not_read() {
    use polypy_core::recording::{Entry, Frame, Recorded};

    // Random bytes in it and around it keep the compressor from changing it.
    let mut rng = Rng::with_seed(3);
    let mut noise =
        |length| -> Vec<u8> { std::iter::repeat_with(|| rng.u8(..)).take(length).collect() };
    let frame_of = |bytes: Vec<u8>| {
        Entry::Frame(Frame {
            socket: 1,
            connection: "connection-1".into(),
            sequence: 9,
            bytes: bytes.into(),
        })
    };
    let entry = frame_of(noise(20_000));
    let inner = finished(&[Recorded { at: 1, entry }], PER_CHUNK);
    let first = read(&inner).chunks[0];
    let end = usize::try_from(first + length_at(&inner, first)).expect("small");
    let inner = &inner[usize::try_from(first).expect("small")..end];
    let mut all = entries(100);
    let bytes = [&noise(150_000)[..], inner, &noise(300_000)].concat();
    all[60] = Recorded {
        at: all[60].at,
        entry: frame_of(bytes),
    };
    let mut file = finished(&all, PER_CHUNK);
    let at = read(&file).chunks[2];
    let at = usize::try_from(at).expect("small");
    assert!(
        memchr::memmem::find(&file[at..], inner).is_some(),
        "it is there, byte for byte"
    );
    file[at + 100_000] ^= 1;
    let read = read(&file);
    assert_eq!(read.damaged.len(), 1);
    assert!(read.entries == [&all[..50], &all[75..]].concat());
}

#[test]
fn a_disk_that_fails_at_any_byte_leaves_every_chunk_that_was_synced() {
    let entries = entries(600);
    let length = finished(&entries, PER_CHUNK).len();
    let step = if is_full() { 1 } else { 499 };
    for (room, short_writes) in (0..length)
        .step_by(step)
        .zip([true, false].into_iter().cycle())
    {
        let disk = FaultyDisk::default();
        disk.set(Faults {
            room: Some(room as u64),
            short_writes,
            ..Faults::default()
        });
        let synced = write_until_it_fails(&disk, &entries);
        let Some(bytes) = disk.content(&part()) else {
            assert!(
                synced == 0 && !crate::common::exists(&disk, &path()),
                "room for {room}"
            );
            continue;
        };
        let read = read(&bytes);
        assert!(
            read.damaged.is_empty() && !read.is_finished,
            "room for {room}"
        );
        assert!(
            read.entries == entries[..read.entries.len()],
            "room for {room}"
        );
        assert!(
            read.entries.len() >= synced,
            "room for {room}: {synced} were synced"
        );

        disk.cut_power();
        let bytes = disk.content(&part()).unwrap_or_default();
        let read = crate::common::read(&bytes);
        assert!(
            read.entries.len() >= synced,
            "room for {room}, after a power cut"
        );
    }
}

/// Writes and syncs chunk by chunk, and returns how many entries were synced. The file is
/// given up in the end.
fn write_until_it_fails(disk: &FaultyDisk, entries: &[polypy_core::recording::Recorded]) -> usize {
    let Ok(mut segment) = Segment::create(disk, &path(), &crate::common::header()) else {
        return 0;
    };
    let mut synced = 0;
    for chunk in entries.chunks(PER_CHUNK) {
        chunk.iter().for_each(|entry| assert!(segment.write(entry)));
        if segment.end_chunk().and_then(|_| segment.sync()).is_err() {
            let failed = segment.fail();
            assert!(failed.error.is_none());
            return synced;
        }
        synced += chunk.len();
    }
    let (_, failed) = segment.finish(disk).expect_err("the disk has no room");
    assert!(failed.error.is_none());
    synced
}

#[test]
fn a_file_whose_sync_failed_is_neither_written_nor_synced_again() {
    let disk = FaultyDisk::default();
    let entries = entries(50);
    let mut segment = write(&disk, &entries, PER_CHUNK).unwrap();
    disk.set(Faults {
        syncs: Some(0),
        ..Faults::default()
    });
    assert!(segment.sync().is_err());
    disk.set(Faults::default());
    let before = disk.syncs();
    assert!(segment.sync().is_err() && segment.write(&entries[0]));
    assert!(segment.end_chunk().is_err());
    assert_eq!(disk.syncs(), before);
    let failed = segment.fail();
    assert_eq!(failed.whole, disk.content(&part()).unwrap().len() as u64);
    assert!(failed.lost_bytes > 0 && failed.chunks == 2);
}

#[test]
fn what_does_not_fit_is_left_out_and_said() {
    let disk = FaultyDisk::default();
    let mut segment = Segment::create(&disk, &path(), &crate::common::header()).unwrap();
    let long = vec![b' '; (48 << 20) + 1];
    assert!(
        !segment.frame(("a", 1), 0, 1, &long),
        "longer than frames may be"
    );
    assert!(segment.frame(("a", 1), 1, 1, &long[1..]));
    assert!(
        !segment.frame(("a", 1), 2, 1, &long[1..]),
        "the chunk has to end first"
    );
    segment.end_chunk().unwrap();
    assert!(segment.frame(("a", 1), 2, 1, &long[1..]));
    segment.end_chunk().unwrap();
    let finished = segment.finish(&disk).unwrap();
    assert_eq!(
        (finished.frames, finished.entries, finished.chunks),
        (2, 2, 2)
    );
    let content = disk.content(&path()).unwrap();
    assert_eq!(content.len() as u64, finished.bytes);
    let digest = ring::digest::digest(&ring::digest::SHA256, &content);
    let digits: String = digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(finished.sha256, digits);
    assert!(disk.create(&path()).is_err(), "a name is given once");
}
