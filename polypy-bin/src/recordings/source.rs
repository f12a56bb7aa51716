//! Where recorded frames are: in a folder of files, in one of them, or in lines of JSON.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use polypy_archive::{EntryError, Found, OpenError, Reader, Recording, SystemDisk, is_recording};

use super::lines::Lines;
use super::report::Report;
use super::verify::Verifier;

/// Something that holds recorded frames.
#[derive(Debug)]
#[non_exhaustive]
pub enum Source {
    /// A folder, or one file of it.
    Recording(Recording),
    /// Lines of JSON.
    Lines(PathBuf, Lines),
}

/// Why there is nothing to read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// There is no recording.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The disk failed, or a packed file is damaged.
    #[error("cannot read {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: io::Error,
    },
}

impl SourceError {
    /// Whether there is nothing of that name, as opposed to something unreadable.
    pub fn is_missing(&self) -> bool {
        matches!(
            self,
            Self::Open(OpenError::NotFound { .. } | OpenError::Empty { .. })
        )
    }
}

impl Source {
    /// Finds out what is at this place.
    ///
    /// # Errors
    /// Says why there is nothing to read.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let read = |error| SourceError::Read {
            path: path.to_owned(),
            error,
        };
        let disk = Arc::new(SystemDisk);
        let recording = Recording::open(disk, path)?;
        if path.is_dir() || is_recording(path).map_err(read)? {
            return Ok(Self::Recording(recording));
        }
        let lines = Lines::open(path).map_err(read)?;
        Ok(Self::Lines(path.to_owned(), lines))
    }
}

/// Verifies what is at some place. `told` is told at times how many bytes of how many were
/// read.
///
/// # Errors
/// Those of the disk, of lines; what is wrong with a recording's own files is in the report.
pub fn verify_source(
    source: Source,
    told: &mut dyn FnMut(u64, u64),
) -> Result<Report, SourceError> {
    match source {
        Source::Recording(recording) => Ok(verify_recording(recording, told)),
        Source::Lines(path, lines) => {
            verify_lines(lines).map_err(|error| SourceError::Read { path, error })
        }
    }
}

fn verify_recording(recording: Recording, told: &mut dyn FnMut(u64, u64)) -> Report {
    let mut reader = Reader::new(recording);
    reader.check_digests();
    let mut verifier = None;
    // What comes before the first entry.
    let mut begun = Begun::default();
    while let Some(found) = reader.next_found() {
        match found {
            Found::File(_) => begun.files += 1,
            Found::Header(header) => match &mut verifier {
                Some(verifier) => Verifier::file(verifier, &header),
                None => begun.header = Some(header),
            },
            Found::Fault(fault) => match &mut verifier {
                Some(verifier) => Verifier::fault(verifier, fault),
                None => begun.faults.push(fault),
            },
            Found::Chunk(chunk) => {
                let first = chunk.times().map_or(0, |(first, _)| first);
                for entry in chunk.entries() {
                    let verifier = verifier.get_or_insert_with(|| begun.verifier(first));
                    match entry {
                        Ok(entry) => verifier.take(&entry),
                        Err(EntryError::UnknownChannel(_)) => verifier.unknown_entry(),
                        Err(_) => verifier.unreadable_entry(),
                    }
                }
                let (read, all) = reader.progress(&chunk);
                told(read, all);
            }
            _ => {}
        }
    }
    let is_empty = verifier.is_none();
    let mut verifier = verifier.unwrap_or_else(|| begun.verifier(0));
    verifier.add_untold(&reader.recording().gaps);
    let mut report = verifier.finish();
    report.is_empty = is_empty;
    report.files = begun.files;
    report
}

#[derive(Default)]
struct Begun {
    files: u64,
    header: Option<polypy_archive::Header>,
    faults: Vec<polypy_archive::Fault>,
}

impl Begun {
    fn verifier(&mut self, at: u64) -> Verifier {
        let mut verifier = Verifier::new(at);
        if let Some(header) = &self.header {
            verifier.file(header);
        }
        self.faults
            .drain(..)
            .for_each(|fault| verifier.fault(fault));
        verifier
    }
}

/// Verifies frames that were kept as lines of JSON.
///
/// # Errors
/// Those of the disk, and of what is packed.
pub(crate) fn verify_lines(mut lines: Lines) -> io::Result<Report> {
    let mut verifier: Option<Verifier> = None;
    while let Some(entry) = lines.next_entry()? {
        verifier
            .get_or_insert_with(|| Verifier::new(entry.at))
            .take(&entry);
    }
    let is_empty = verifier.is_none();
    let mut report = verifier.unwrap_or_else(|| Verifier::new(0)).finish();
    report.is_empty = is_empty;
    report.left_out = lines.left_out().clone();
    Ok(report)
}
