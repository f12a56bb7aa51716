//! Recordings of the venue as files: written so that a kill at any byte costs seconds, read
//! whatever became of them, repaired, and never silent about what is missing.
//!
//! A file is [MCAP](https://mcap.dev), which readers in five languages read. What its
//! channels hold is in [`entry`], why it is as it is in
//! `docs/decisions/0015-recordings.md`.
//!
//! | module | idea |
//! |---|---|
//! | [`segment`] | one file while it is written |
//! | [`scan`] | one file as it is found, piece by piece |
//! | [`repair`](mod@repair) | makes a file that was cut or damaged one that every reader reads |
//! | [`compact`](mod@compact) | makes a finished file smaller, for keeping |
//! | [`mend`] | all of them, while nobody records |
//! | [`listing`] | which files a recording consists of, as they are found |
//! | [`reader`] | all of them, one after the other |
//! | [`source`] | the same, for those who play it |
//! | `start` | which of them to begin with, for those who want to know all from a moment on |
//! | [`recorder`] | records what sockets say to a folder, on a thread of its own |
//! | [`writer`] | that thread's state machine: which file, and what is written when |
//! | [`queue`] | from the sockets to that thread |
//! | [`flight`] | the last that sockets said, in memory, for when something goes wrong |
//! | [`folder`] | the files that are one recording: their names, what a kill left, which are kept |
//! | [`manifest`] | what became of them, a line each |
//! | [`entry`] | what each channel holds |
//! | [`header`] | what a file says of itself |
//! | [`numbers`] | what a recorder has done so far |
//! | [`disk`] | the disk, so that tests can have one that fails |
//! | [`testing`] | that one, and waiting for threads |
//!
//! Written, and read again:
//!
//! ```
//! use std::io::Cursor;
//! use std::path::Path;
//! use polypy_archive::testing::FaultyDisk;
//! use polypy_archive::{Header, Piece, Scanner, Segment};
//!
//! let disk = FaultyDisk::default();
//! let path = Path::new("recording/00000001-20261118T110640Z.mcap");
//! let mut segment = Segment::create(&disk, path, &Header::default())?;
//! let at = 1_795_000_000_000_000_000;
//! segment.frame(("connection-1", 1), 0, at, br#"{"event_type":"book"}"#);
//! segment.finish(&disk).map_err(|(error, _left)| error)?;
//!
//! let bytes = disk.content(path).expect("it was finished");
//! let mut scanner = Scanner::new(Cursor::new(bytes))?;
//! let mut entries = Vec::new();
//! while let Some(piece) = scanner.next_piece()? {
//!     if let Piece::Chunk(chunk) = piece {
//!         entries.extend(chunk.entries().map(|entry| entry.expect("a frame")));
//!     }
//! }
//! assert_eq!((entries.len(), entries[0].at), (1, at));
//! # Ok::<(), std::io::Error>(())
//! ```

mod anchor;
mod audits;
mod beginning;
mod checkpoints;
mod chunk;
pub mod compact;
mod coverage;
pub mod disk;
pub mod entry;
mod files;
pub mod flight;
pub mod folder;
mod format;
pub mod header;
mod item;
mod known;
pub mod listing;
mod loss;
pub mod manifest;
mod markets;
pub mod mend;
pub mod numbers;
pub mod queue;
pub mod reader;
pub mod recorder;
pub mod recovery;
pub mod repair;
pub mod scan;
pub mod segment;
pub mod source;
mod stall;
mod start;
mod summary;
pub mod testing;
#[cfg(test)]
mod testing_books;
pub mod writer;
mod writer_config;

pub use compact::{CompactError, Compacted, check_compacted, compact};
pub use disk::{Disk, DiskFile, SystemDisk, hold};
pub use entry::EntryError;
pub use flight::{FlightConfig, FlightInlet, FlightNumbers, FlightRecorder, FlightRunning};
pub use folder::{Folder, FolderError, Retention};
pub use header::Header;
pub use listing::{ListedFile, LostFile, OpenError, Recording};
pub use manifest::Manifest;
pub use mend::{Mended, repair_recording};
pub use numbers::{Numbers, RecorderState};
pub use queue::{Inlet, Outlet};
pub use reader::{Fault, FaultKind, Found, Reader, is_recording};
pub use recorder::{Recorder, RecorderConfig, Running};
pub use recovery::{Recovered, Recovery};
pub use repair::{Repaired, repair};
pub use scan::{Chunk, Damaged, DamagedPart, Piece, RawEntry, Scanner, Torn};
pub use segment::{Failed, Finished, Segment};
pub use source::Entries;
pub use writer::{Stopped, Writer};
pub use writer_config::WriterConfig;
