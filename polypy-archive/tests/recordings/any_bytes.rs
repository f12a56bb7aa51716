//! Any bytes, as a file and as what a chunk with a right checksum holds: read, repaired, and
//! read again. The fuzz target `recording` checks the same, from this file.

use std::io::Cursor;
use std::path::Path;

use polypy_archive::testing::FaultyDisk;
use polypy_archive::{Piece, Repaired, Scanner, repair};

const FILE: &str = "recording/00000001-20261118T110640Z.mcap";
const PART: &str = "recording/00000001-20261118T110640Z.mcap.part";
/// When it is repaired, in nanoseconds since the epoch.
const NOW: u64 = 1_795_003_600_000_000_000;

/// What a message is: when, on which channel, with which number, and its data.
type Raw = (u64, String, u32, Vec<u8>);

#[derive(Debug, Default)]
struct Found {
    messages: Vec<Raw>,
    is_clean: bool,
}

/// Reads these bytes both ways, and repairs them.
///
/// # Panics
/// When something is lost or made up on the way.
pub(crate) fn check(bytes: &[u8]) {
    check_file(bytes);
    check_file(&in_a_chunk(bytes));
}

fn check_file(bytes: &[u8]) {
    let before = read(bytes);
    let disk = FaultyDisk::default();
    disk.put(Path::new(PART), bytes);
    let repaired = repair(&disk, Path::new(PART), NOW).expect("the disk works");
    if repaired == Repaired::Empty {
        assert_eq!(before.messages, []);
        assert_eq!(disk.content(Path::new(PART)).as_deref(), Some(bytes));
        return;
    }
    let content = disk.content(Path::new(FILE)).expect("it has its name");
    let after = read(&content);
    assert!(after.is_clean, "{repaired:?}");
    // The gaps that the repair wrote are the last of their chunk.
    let mut rest = after.messages.into_iter();
    for message in before.messages {
        assert!(rest.any(|found| found == message), "{message:?} is gone");
    }
    let again = repair(&disk, Path::new(FILE), NOW).expect("the disk works");
    assert!(matches!(again, Repaired::Whole(_)), "{again:?}");
}

fn read(bytes: &[u8]) -> Found {
    let length = bytes.len() as u64;
    let mut scanner = Scanner::new(Cursor::new(bytes)).expect("memory");
    let mut found = Found {
        is_clean: true,
        ..Found::default()
    };
    let (mut at, mut is_over) = (0, false);
    while let Some(piece) = scanner.next_piece().expect("memory") {
        assert!(!is_over, "behind the end: {piece:?}");
        match piece {
            Piece::Header(_) => {}
            Piece::Chunk(chunk) => {
                assert!(chunk.offset() >= at && chunk.end() <= length);
                at = chunk.end();
                // What cannot be understood is said, and no more.
                chunk.entries().for_each(drop);
                found.messages.extend(chunk.raw_entries().map(|entry| {
                    let data = entry.data.to_vec();
                    (entry.at, entry.channel.to_owned(), entry.sequence, data)
                }));
            }
            Piece::Damaged(damaged) => {
                assert!(damaged.from <= damaged.to && damaged.to <= length);
                found.is_clean = false;
            }
            Piece::Torn(torn) => {
                assert!(torn.from <= torn.to && torn.to == length);
                found.is_clean = false;
                is_over = true;
            }
            Piece::Finished => is_over = true,
            _ => {}
        }
    }
    found
}

/// A file that was cut behind a chunk with these records.
fn in_a_chunk(records: &[u8]) -> Vec<u8> {
    let compressed = zstd::bulk::compress(records, 1).expect("memory");
    let mut chunk = Vec::new();
    chunk.extend_from_slice(&[0; 16]);
    chunk.extend_from_slice(&(records.len() as u64).to_le_bytes());
    chunk.extend_from_slice(&crc32fast::hash(records).to_le_bytes());
    chunk.extend_from_slice(b"\x04\0\0\0zstd");
    chunk.extend_from_slice(&(compressed.len() as u64).to_le_bytes());
    chunk.extend_from_slice(&compressed);
    let mut file = b"\x89MCAP0\r\n\x06".to_vec();
    file.extend_from_slice(&(chunk.len() as u64).to_le_bytes());
    file.extend_from_slice(&chunk);
    file
}
