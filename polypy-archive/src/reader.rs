//! Reads all files of a recording, one after the other, whatever became of them.
//!
//! Each thing that cannot be read is said where it is, and what stands behind it is read.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use polypy_core::Timestamp;
use ring::digest::{Context, SHA256};

use crate::disk::{Disk, DiskFile, SystemDisk};
use crate::folder::EXTENSION;
use crate::format::MAGIC;
use crate::header::Header;
use crate::listing::{ListedFile, LookedAgain, Recording};
use crate::manifest::MANIFEST;
use crate::scan::{Chunk, DamagedPart, Piece, Scanner};
use crate::segment::hex;

/// What comes next in a recording.
#[derive(Debug)]
#[non_exhaustive]
pub enum Found {
    /// Another file begins: its place among [`Recording::files`].
    File(usize),
    /// What it says of itself.
    Header(Header),
    /// Entries.
    Chunk(Chunk),
    /// Something that cannot be read.
    Fault(Fault),
}

/// Something of a recording that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The name of the file.
    pub file: String,
    /// What is wrong.
    pub what: FaultKind,
    /// Where in the file it begins and ends.
    pub bytes: (u64, u64),
    /// The latest time of an entry before it in the file, in nanoseconds since the epoch.
    pub after: Option<u64>,
    /// What the disk says, if it is the disk; of a copy, which file it is one of.
    pub error: Option<String>,
    /// The line's number, of a line of the manifest.
    pub line: Option<u64>,
    /// Whether the manifest says so since a repair: what is missing is told, and nothing is left
    /// to do.
    pub is_noted: bool,
}

impl Fault {
    fn of(file: &str, what: FaultKind) -> Self {
        Self {
            file: file.to_owned(),
            what,
            bytes: (0, 0),
            after: None,
            error: None,
            line: None,
            is_noted: false,
        }
    }

    /// Whether something is wrong, and the recording does not say so itself.
    pub fn is_damage(&self) -> bool {
        !self.is_noted && self.what.is_damage()
    }
}

/// What is wrong with a part of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// The whole file is not there, and no rule has removed it.
    Lost,
    /// The disk does not give it.
    Unreadable,
    /// Entries may have been there.
    Entries,
    /// The file was cut here, and may have gone on.
    Cut,
    /// It does not begin as such a file does, and nothing in it can be read.
    Foreign,
    /// Only what stands at a file's end is missing; every entry is there.
    Unended,
    /// An index, a header: no entry is concerned.
    Description,
    /// Every checksum of the file holds, and it is not the one that was finished: somebody
    /// has written it again.
    Changed,
    /// The last run has not ended by itself, and nothing says what is missing behind it.
    Killed,
    /// A line of the manifest.
    Line,
    /// Nothing is wrong: somebody writes to it at the moment, and more will come.
    Written,
    /// Nothing is wrong: another file of the recording is the same, and this one is left out.
    Copy,
}

impl FaultKind {
    /// Its name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Unreadable => "unreadable",
            Self::Entries => "damaged",
            Self::Cut => "cut",
            Self::Foreign => "foreign",
            Self::Unended => "unended",
            Self::Description => "description",
            Self::Changed => "changed",
            Self::Killed => "killed",
            Self::Line => "line",
            Self::Written => "written",
            Self::Copy => "copy",
        }
    }

    fn is_damage(self) -> bool {
        !matches!(self, Self::Written | Self::Copy)
    }

    /// Whether entries may be missing among those that there are.
    pub fn loses_entries(self) -> bool {
        match self {
            Self::Lost | Self::Unreadable | Self::Entries | Self::Cut | Self::Foreign => true,
            // Behind all that there is.
            Self::Killed => false,
            Self::Changed | Self::Unended | Self::Description => false,
            Self::Line | Self::Written | Self::Copy => false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = self.bytes;
        write!(f, "{}: ", self.file)?;
        match self.what {
            FaultKind::Lost if self.is_noted => write!(
                f,
                "is lost, and a gap says what is missing with it, until the file is put back"
            ),
            FaultKind::Lost => write!(
                f,
                "the manifest has it, and it is not there: put it back, or polypy repair notes what \
                 is missing with it"
            ),
            FaultKind::Unreadable => write!(
                f,
                "the disk does not give what is behind byte {from}: {}",
                self.error.as_deref().unwrap_or("it does not say why")
            ),
            FaultKind::Entries => write!(f, "bytes {from} to {to} are damaged"),
            FaultKind::Cut => write!(
                f,
                "cut at byte {from}: polypy repair ends it, or the next recorder that starts here"
            ),
            FaultKind::Foreign => {
                write!(
                    f,
                    "is no recording: it does not begin as an MCAP file (polypy import makes one of \
                     lines of JSON)"
                )
            }
            FaultKind::Unended => {
                write!(f, "lacks its ending, and no entry: polypy repair writes it")
            }
            FaultKind::Description => write!(
                f,
                "bytes {from} to {to} of its description are damaged; no entry is missing"
            ),
            FaultKind::Changed if self.is_noted => write!(
                f,
                "was changed after it was finished, as the manifest says since a repair"
            ),
            FaultKind::Changed => {
                write!(f, "was changed after it was finished: ")?;
                match &self.error {
                    Some(other) => write!(
                        f,
                        "it is a copy of {other} now. Put the original back, or remove the copy and \
                         polypy repair notes what is missing"
                    ),
                    None => write!(
                        f,
                        "its SHA-256 is not the one in the manifest. Put the original back, or \
                         polypy repair notes what it is now"
                    ),
                }
            }
            FaultKind::Killed => {
                let from = Timestamp::from_millis(self.after.unwrap_or(0) / 1_000_000);
                write!(
                    f,
                    "the last run did not end by itself, and nothing says what is missing behind {from}: \
                     polypy repair says it, or the next recorder that starts here"
                )
            }
            FaultKind::Line => write!(
                f,
                "line {} cannot be read, and what it said is lost: that a file was finished or \
                 removed, that a run began or ended, or what is missing. polypy repair writes again \
                 what the files say; remove the line after that",
                self.line.unwrap_or(0)
            ),
            FaultKind::Written => write!(f, "is being written"),
            FaultKind::Copy => write!(
                f,
                "is a copy of {}, and left out",
                self.error.as_deref().unwrap_or("another file")
            ),
        }
    }
}

type Scanning = Scanner<Box<dyn DiskFile>>;

/// Reads a recording from its beginning to its end.
pub struct Reader {
    recording: Recording,
    next: usize,
    /// What is told in front of the first file.
    manifest: std::vec::IntoIter<Fault>,
    lost: std::vec::IntoIter<Fault>,
    /// What is told behind the last file.
    killed: Option<Fault>,
    now: Option<(usize, Scanning)>,
    /// The latest time of an entry of the file so far.
    after: Option<u64>,
    /// A file's times are all before this: it is passed over, as far as the manifest says.
    from: Option<u64>,
    checks_digests: bool,
    /// Which files there were, by what they say of themselves: run and number.
    known: HashMap<(String, u32), usize>,
}

impl Reader {
    /// Reads this recording from its beginning.
    pub fn new(recording: Recording) -> Self {
        let lines = recording.unreadable_lines.iter().map(|line| Fault {
            bytes: line.bytes,
            line: Some(line.number),
            ..Fault::of(MANIFEST, FaultKind::Line)
        });
        let lost = recording.lost.iter().map(|lost| Fault {
            bytes: (0, lost.line.bytes),
            is_noted: lost.gap.is_some(),
            ..Fault::of(&lost.line.file, FaultKind::Lost)
        });
        let killed = recording.untold_kill.as_ref().map(|gap| Fault {
            after: gap.from_ts.map(|from| from.saturating_mul(1_000)),
            ..Fault::of(MANIFEST, FaultKind::Killed)
        });
        Self {
            manifest: lines.collect::<Vec<_>>().into_iter(),
            lost: lost.collect::<Vec<_>>().into_iter(),
            recording,
            next: 0,
            killed,
            now: None,
            after: None,
            from: None,
            checks_digests: false,
            known: HashMap::new(),
        }
    }

    /// Passes over files all of whose entries are older than this, in nanoseconds since the
    /// epoch, if the manifest says so.
    pub fn pass_before(&mut self, from: u64) {
        self.from = Some(from);
    }

    /// The recording that is read.
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    /// Bytes that stand before this chunk's end, which was read last, and bytes in all.
    pub fn progress(&self, chunk: &Chunk) -> (u64, u64) {
        let files = &self.recording.files;
        let bytes = |files: &[ListedFile]| files.iter().map(|file| file.bytes).sum::<u64>();
        let before = self.now.as_ref().map_or(self.next, |(at, _)| *at);
        (bytes(&files[..before]) + chunk.end(), bytes(files))
    }

    /// Holds each file against the digest that the manifest has of it, once it was read.
    pub fn check_digests(&mut self) {
        self.checks_digests = true;
    }

    /// A chunk is wanted no more: the next one takes its memory.
    pub(crate) fn reuse(&mut self, chunk: Chunk) {
        if let Some((_, scanner)) = &mut self.now {
            scanner.reuse(chunk);
        }
    }

    /// What comes next; `None` at the end.
    pub fn next_found(&mut self) -> Option<Found> {
        if let Some(fault) = self.manifest.next() {
            return Some(Found::Fault(fault));
        }
        while let Some((at, mut scanner)) = self.now.take() {
            match scanner.next_piece() {
                Ok(Some(Piece::Finished)) => {
                    if let Some(fault) = self.changed(at) {
                        return Some(Found::Fault(fault));
                    }
                }
                Ok(Some(piece)) => {
                    if let Piece::Header(header) = &piece
                        && let Some(other) = self.copied(at, header)
                    {
                        // By the manifest it was another file.
                        let what = match self.recording.files[at].line {
                            Some(_) => FaultKind::Changed,
                            None => FaultKind::Copy,
                        };
                        let mut fault = self.fault(at, what, (0, 0), None);
                        fault.error = Some(other);
                        return Some(Found::Fault(fault));
                    }
                    let found = self.found(at, piece);
                    self.now = Some((at, scanner));
                    return Some(found);
                }
                Ok(None) => {}
                Err(error) => {
                    let fault = self.unreadable(at, scanner.at(), &error);
                    return Some(Found::Fault(fault));
                }
            }
        }
        // Where a file should have been that is lost, what comes next is behind it.
        let next = self.recording.files.get(self.next).map(|file| &file.name);
        let lost = self.lost.as_slice().first();
        if lost.is_some_and(|lost| next.is_none_or(|next| lost.file < *next)) {
            return self.lost.next().map(Found::Fault);
        }
        let begun = self.begin();
        begun.or_else(|| self.killed.take().map(Found::Fault))
    }

    fn begin(&mut self) -> Option<Found> {
        loop {
            let at = self.next;
            let file = self.recording.files.get(at)?;
            self.next += 1;
            if self.from.is_some_and(|from| is_before(file, from)) {
                continue;
            }
            self.after = None;
            return Some(match self.read(at).map(|file| file.map(Scanner::new)) {
                Ok(None) => continue,
                Ok(Some(Ok(scanner))) => {
                    self.now = Some((at, scanner));
                    Found::File(at)
                }
                Ok(Some(Err(error))) | Err(error) => Found::Fault(self.unreadable(at, 0, &error)),
            });
        }
    }

    /// Opens a file, under the name that it has now; `None` if it was removed.
    fn read(&mut self, at: usize) -> io::Result<Option<Box<dyn DiskFile>>> {
        loop {
            let path = &self.recording.files[at].path;
            let error = match self.recording.disk.read(path) {
                Ok(file) => return Ok(Some(file)),
                Err(error) => error,
            };
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
            match self.recording.look_again(at)? {
                LookedAgain::Renamed => {}
                LookedAgain::Removed => return Ok(None),
                LookedAgain::Missing => {
                    let text = "somebody has removed it since it was found";
                    return Err(io::Error::new(error.kind(), text));
                }
            }
        }
    }

    fn found(&mut self, at: usize, piece: Piece) -> Found {
        let file = &self.recording.files[at];
        let (what, bytes, after) = match piece {
            Piece::Header(header) => return Found::Header(header),
            Piece::Chunk(chunk) => {
                self.after = self.after.max(chunk.times().map(|(_, last)| last));
                return Found::Chunk(chunk);
            }
            Piece::Damaged(damaged) => {
                let what = match damaged.what {
                    DamagedPart::Entries => FaultKind::Entries,
                    DamagedPart::Description => FaultKind::Description,
                };
                (what, (damaged.from, damaged.to), damaged.after)
            }
            Piece::Torn(torn) => {
                let what = if self.recording.is_being_written(at) {
                    FaultKind::Written
                } else if torn.from == 0 && !file.is_unfinished {
                    FaultKind::Foreign
                } else if torn.has_all_entries {
                    FaultKind::Unended
                } else {
                    FaultKind::Cut
                };
                (what, (torn.from, torn.to), torn.after)
            }
            // Told by the caller.
            Piece::Finished => (FaultKind::Description, (file.bytes, file.bytes), self.after),
        };
        Found::Fault(self.fault(at, what, bytes, after))
    }

    /// The file that says the same of itself, and was read.
    fn copied(&mut self, at: usize, header: &Header) -> Option<String> {
        let name = (header.session.clone(), header.number);
        let first = *self.known.entry(name).or_insert(at);
        (first != at).then(|| self.recording.files[first].name.clone())
    }

    fn fault(&self, at: usize, what: FaultKind, bytes: (u64, u64), after: Option<u64>) -> Fault {
        Fault {
            bytes,
            after,
            ..Fault::of(&self.recording.files[at].name, what)
        }
    }

    /// All checksums of a file hold; whether it is the file that was finished all the same.
    fn changed(&mut self, at: usize) -> Option<Fault> {
        let file = &self.recording.files[at];
        let changed = self.fault(at, FaultKind::Changed, (0, file.bytes), self.after);
        let noted = file.is_changed.then(|| Fault {
            is_noted: true,
            ..changed.clone()
        });
        if !self.checks_digests || file.line.is_none() {
            return noted;
        }
        let found = match self.read(at) {
            Ok(Some(file)) => digest(file),
            // It was read before it was removed.
            Ok(None) => return noted,
            Err(error) => Err(error),
        };
        let file = &self.recording.files[at];
        let line = file.line.as_ref()?;
        match found {
            Ok(found) if found == line.sha256 || file.former == Some(found.clone()) => noted,
            Ok(_) => Some(changed),
            Err(error) => Some(self.unreadable(at, 0, &error)),
        }
    }

    fn unreadable(&self, at: usize, from: u64, error: &io::Error) -> Fault {
        let bytes = (from, self.recording.files[at].bytes);
        Fault {
            error: Some(error.to_string()),
            ..self.fault(at, FaultKind::Unreadable, bytes, self.after)
        }
    }
}

/// Whether a file is one of a recording, by what it begins with.
///
/// # Errors
/// Those of the disk.
pub fn is_recording(path: &Path) -> io::Result<bool> {
    let mut begin = Vec::new();
    let length = MAGIC.len() as u64;
    SystemDisk
        .read(path)?
        .take(length)
        .read_to_end(&mut begin)?;
    let name = path.to_string_lossy();
    // One whose beginning is damaged is known by its name.
    Ok(begin == MAGIC || name.contains(&format!(".{EXTENSION}")))
}

/// Whether all entries of a file are older than this, as far as the manifest says.
fn is_before(file: &ListedFile, from: u64) -> bool {
    let last = file.line.as_ref().and_then(|line| line.to_ts);
    // Rounded down to microseconds.
    last.is_some_and(|last| last.saturating_add(1).saturating_mul(1_000) <= from)
}

/// The SHA-256 of a file, in hexadecimal digits.
pub(crate) fn digest(mut file: Box<dyn DiskFile>) -> io::Result<String> {
    let mut digest = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex(digest.finish().as_ref()));
        }
        digest.update(&buffer[..read]);
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("recording", &self.recording)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
