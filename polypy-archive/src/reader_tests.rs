//! A recording that somebody writes to while it is read.

use std::sync::Arc;

use polypy_core::recording::{Entry, Frame, Recorded};

use super::*;
use crate::folder::{Folder, Retention};
use crate::segment::Segment;
use crate::testing::FaultyDisk;

const SECOND: u64 = 1_000_000_000;
const BEGIN: u64 = 1_795_000_000 * SECOND;
const PATH: &str = "recording";

/// A folder in which a recorder writes.
struct Recorder {
    disk: FaultyDisk,
    folder: Folder,
    at: u64,
}

impl Recorder {
    fn new() -> Self {
        let disk = FaultyDisk::default();
        let folder = Folder::open(Arc::new(disk.clone()), PATH.as_ref(), ("s", "0"), BEGIN);
        Self {
            disk,
            folder: folder.unwrap(),
            at: BEGIN,
        }
    }

    /// A file with an entry that is in a chunk of its own.
    fn begin(&mut self) -> Segment {
        self.at += SECOND;
        let mut segment = self.folder.begin(self.at).unwrap();
        let entry = Entry::Frame(Frame {
            socket: 1,
            connection: "c".into(),
            sequence: 0,
            bytes: b"{}"[..].into(),
        });
        assert!(segment.write(&Recorded { at: self.at, entry }));
        segment.end_chunk().unwrap();
        segment
    }

    fn finish(&mut self, segment: Segment) {
        self.folder.finish(segment, self.at).unwrap();
    }

    fn reader(&self) -> Reader {
        self.reader_while(false)
    }

    /// `is_written`: somebody holds the lock, as nobody does of a folder in memory.
    fn reader_while(&self, is_written: bool) -> Reader {
        let disk = Arc::new(self.disk.clone());
        let mut recording = Recording::open(disk, PATH.as_ref()).unwrap();
        recording.is_written = is_written;
        let mut reader = Reader::new(recording);
        reader.check_digests();
        reader
    }
}

/// Entries, and what is said to be wrong.
fn read(mut reader: Reader) -> (usize, Vec<FaultKind>) {
    let (mut entries, mut faults) = (0, Vec::new());
    while let Some(found) = reader.next_found() {
        match found {
            Found::Chunk(chunk) => entries += chunk.entries().count(),
            // Nobody holds the lock of a folder in memory: the run seems to have been killed.
            Found::Fault(fault) if fault.what == FaultKind::Killed => {}
            Found::Fault(fault) => faults.push(fault.what),
            Found::File(_) | Found::Header(_) => {}
        }
    }
    (entries, faults)
}

#[test]
fn a_file_that_is_finished_before_it_is_opened_is_read_by_its_new_name() {
    let mut recorder = Recorder::new();
    let (first, second) = (recorder.begin(), recorder.begin());
    let reader = recorder.reader();
    recorder.finish(first);
    recorder.finish(second);
    assert_eq!(read(reader), (2, vec![]));
}

#[test]
fn a_file_that_a_rule_removes_before_it_is_opened_or_while_it_is_read_is_not_damaged() {
    let mut recorder = Recorder::new();
    for _ in 0..3 {
        let segment = recorder.begin();
        recorder.finish(segment);
    }
    let mut reader = recorder.reader();
    assert!(matches!(reader.next_found(), Some(Found::File(0))));
    let all = Retention {
        keep_for: None,
        keep_bytes: Some(1),
    };
    let removed = recorder.folder.retain(&all, recorder.at).unwrap();
    assert_eq!(removed.len(), 2, "the first, which is read, and the second");
    let listed = reader.recording().removed.len();
    assert_eq!(listed, 0);
    // What of the first was not read before its file was opened is still there.
    assert_eq!(read(reader), (2, vec![]));
}

#[test]
fn an_unfinished_file_that_is_removed_was_empty_if_somebody_records_and_else_is_missing() {
    for (is_written, faults) in [(true, vec![]), (false, vec![FaultKind::Unreadable])] {
        let mut recorder = Recorder::new();
        let segment = recorder.begin();
        recorder.finish(segment);
        drop(recorder.folder.begin(recorder.at).unwrap());
        let reader = recorder.reader_while(is_written);
        let files = &reader.recording().files;
        let path = files.last().unwrap().path.clone();
        assert_eq!(files.len(), 2);
        recorder.folder.remove_begun(&path).unwrap();
        assert_eq!(read(reader), (1, faults));
    }
}

#[test]
fn a_file_that_somebody_else_removes_is_said_to_be_missing() {
    let mut recorder = Recorder::new();
    for _ in 0..2 {
        let segment = recorder.begin();
        recorder.finish(segment);
    }
    let reader = recorder.reader();
    let path = reader.recording().files[1].path.clone();
    recorder.folder.remove_begun(&path).unwrap();
    assert_eq!(read(reader), (1, vec![FaultKind::Unreadable]));
}
