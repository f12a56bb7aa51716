//! Which file of a recording to begin with, for those who want to know all from a moment
//! on: the last one that has told by then everything that an earlier file would.
//!
//! A file tells at its beginning which sockets are open, what they carry and whose books
//! they keep, and seconds later it has a copy of each of these books. Files that were made
//! of frames kept otherwise tell nothing of that, and need those before them.

use std::collections::{BTreeSet, HashSet};

use polypy_core::AssetId;
use polypy_core::recording::{Entry, Recorded, SocketEvent};

use crate::folder::number_of;
use crate::listing::Recording;
use crate::reader::{Found, Reader};

/// Where the books came from that a socket kept when the file began.
const EARLIER: &str = "earlier";

impl Recording {
    /// Leaves out the files in front that nobody needs who wants to know all from this
    /// moment on, in nanoseconds since the epoch. None of these is read.
    #[must_use]
    pub fn reaching(mut self, from: u64) -> Self {
        let mut files = (1..self.files.len()).rev();
        let Some(first) = files.find(|at| self.tells_all(*at, from)) else {
            return self;
        };
        self.files.drain(..first);
        let number = number_of(&self.files[0].name);
        self.lost
            .retain(|lost| number_of(&lost.line.file) >= number);
        self
    }

    /// Whether this file tells by that moment all that a reader has to know.
    fn tells_all(&self, at: usize, from: u64) -> bool {
        let alone = Self {
            files: vec![self.files[at].clone()],
            lost: Vec::new(),
            unreadable_lines: Vec::new(),
            untold_kill: None,
            ..self.clone()
        };
        let mut reader = Reader::new(alone);
        let mut told = Told::default();
        while let Some(found) = reader.next_found() {
            match found {
                Found::Header(header) if header.started > from => return false,
                Found::Fault(fault) if fault.what.loses_entries() => return false,
                Found::Chunk(chunk) => {
                    for entry in chunk.entries().flatten() {
                        if entry.at > from {
                            return told.is_all();
                        }
                        told.note(&entry);
                    }
                }
                Found::File(_) | Found::Header(_) | Found::Fault(_) => {}
            }
        }
        told.is_all()
    }
}

/// What a file has told so far.
#[derive(Debug, Default)]
struct Told {
    /// Sockets that it has named.
    named: HashSet<u64>,
    /// Those that were open when it began, and of which it has not said what they carry.
    unsaid: BTreeSet<u64>,
    /// Tokens whose books such a socket keeps, and of which there is no copy yet.
    awaited: HashSet<AssetId>,
    /// A socket spoke that it has not named.
    is_lacking: bool,
}

impl Told {
    fn is_all(&self) -> bool {
        !self.is_lacking && self.unsaid.is_empty() && self.awaited.is_empty()
    }

    fn note(&mut self, recorded: &Recorded) {
        match &recorded.entry {
            Entry::Frame(frame) => self.is_lacking |= !self.named.contains(&frame.socket),
            Entry::Socket(SocketEvent::Opened { socket, .. }) => {
                self.named.insert(*socket);
            }
            Entry::Socket(SocketEvent::Open { socket, .. }) => {
                self.named.insert(*socket);
                self.unsaid.insert(*socket);
            }
            Entry::Socket(SocketEvent::Carries { socket, .. }) => {
                self.unsaid.remove(socket);
            }
            Entry::Socket(SocketEvent::FirstBooks { tokens, origin, .. }) => {
                for token in tokens {
                    if &**origin == EARLIER {
                        self.awaited.insert(token.clone());
                    } else {
                        self.awaited.remove(token);
                    }
                }
            }
            Entry::Socket(SocketEvent::Closed { socket, .. }) => {
                self.unsaid.remove(socket);
            }
            Entry::Checkpoint(book) => {
                self.awaited.remove(&book.token_id);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use polypy_core::recording::RecordedBook;
    use serde_json::json;

    use super::*;
    use crate::folder::Folder;
    use crate::listing::LostFile;
    use crate::testing::FaultyDisk;

    const SECOND: u64 = 1_000_000_000;
    const BEGIN: u64 = 1_795_000_000 * SECOND;

    fn token() -> AssetId {
        AssetId::new("12").unwrap()
    }

    fn opened() -> Entry {
        Entry::Socket(SocketEvent::Opened {
            socket: 1,
            connection: "c".into(),
            is_replacement: false,
        })
    }

    /// What a file says of a socket that was open when it began.
    fn open() -> Vec<Entry> {
        let events = [
            SocketEvent::Open {
                socket: 1,
                connection: "c".into(),
                next_sequence: 1,
                feed_id: None,
            },
            SocketEvent::Carries {
                socket: 1,
                tokens: vec![token()],
            },
            SocketEvent::FirstBooks {
                socket: 1,
                tokens: vec![token()],
                origin: EARLIER.into(),
            },
        ];
        events.map(Entry::Socket).to_vec()
    }

    fn frame() -> Entry {
        Entry::Frame(polypy_core::recording::Frame {
            socket: 1,
            connection: "c".into(),
            sequence: 0,
            bytes: b"{}"[..].into(),
        })
    }

    fn checkpoint() -> Entry {
        let book: RecordedBook = serde_json::from_value(json!({
            "token_id": "12", "condition_id": "0xa1", "state": "live", "reason": null,
            "epoch": 1, "sequence": 4, "timestamp": 9, "received": 5, "hash": null,
            "verified": true, "tick_size": "0.01", "last_trade_price": "0.500",
            "min_order_size": null, "neg_risk": null, "version": null,
            "bids": [["0.4", "1"]], "asks": [],
        }))
        .unwrap();
        Entry::Checkpoint(Box::new(book))
    }

    /// A recording of these files, each entry a second behind the one before it.
    fn recording(files: &[Vec<Entry>]) -> Recording {
        let disk = Arc::new(FaultyDisk::default());
        let path = Path::new("recording");
        let mut folder = Folder::open(disk.clone(), path, ("s", "0"), BEGIN).unwrap();
        let mut at = BEGIN;
        for entries in files {
            let mut segment = folder.begin(at).unwrap();
            for entry in entries {
                let entry = entry.clone();
                assert!(segment.write(&Recorded { at, entry }));
                at += SECOND;
            }
            folder.finish(segment, at).unwrap();
        }
        Recording::open(disk, path).unwrap()
    }

    /// The number of the first file that is read for this moment, in seconds.
    fn first(recording: &Recording, at: u64) -> u32 {
        let reaching = recording.clone().reaching(BEGIN + at * SECOND);
        number_of(&reaching.files[0].name).unwrap()
    }

    #[test]
    fn a_file_is_begun_with_once_it_has_told_everything() {
        let mut second = open();
        second.extend([frame(), checkpoint(), frame()]);
        let recording = recording(&[vec![opened(), frame()], second.clone(), second]);
        // The second one has its checkpoint at 6, the third at 12.
        let found = [0, 1, 2, 5, 6, 8, 11, 12, 20].map(|at| first(&recording, at));
        assert_eq!(found, [1, 1, 1, 1, 2, 2, 2, 3, 3]);
    }

    #[test]
    fn a_file_without_its_sockets_or_with_a_book_missing_needs_the_one_before_it() {
        let frames = vec![frame(), frame()];
        let of_frames = recording(&[vec![opened(), frame()], frames.clone(), frames]);
        assert_eq!(first(&of_frames, 20), 1);
        let without_book = recording(&[vec![opened(), frame()], open()]);
        assert_eq!(first(&without_book, 20), 1);
        // Another run opens sockets of its own.
        let of_runs = recording(&[vec![opened(), frame()], vec![opened(), frame()]]);
        assert_eq!(first(&of_runs, 20), 2);
    }

    #[test]
    fn a_file_that_is_lost_in_front_of_the_first_is_not_missing() {
        let mut later = open();
        later.push(checkpoint());
        let mut recording = recording(&[vec![opened()], later.clone(), later]);
        let line = recording.files.remove(0).line.unwrap();
        recording.lost.push(LostFile { line, gap: None });
        assert_eq!(recording.clone().reaching(BEGIN).lost.len(), 1);
        assert_eq!(first(&recording, 20), 3);
        assert_eq!(recording.reaching(BEGIN + 20 * SECOND).lost.len(), 0);
    }
}
