//! Frames that somebody kept otherwise, made into a recording.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use polypy_archive::{Finished, Folder, FolderError, Segment, SystemDisk};
use polypy_core::Owner;
use polypy_core::recording::{Entry, Gap, Recorded};

use super::lines::{LeftOut, Lines};
use super::report::LEFT_OUT;

/// A chunk ends once this much waits.
const CHUNK: usize = 4 << 20;
/// A file ends once it is this long.
const ROTATE: u64 = 512 << 20;

/// Why frames could not be made into a recording.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The folder cannot be written to.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A file cannot be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: io::Error,
    },
    /// The recording cannot be written.
    #[error("cannot write to {path}: {error}")]
    Write {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        error: io::Error,
    },
}

/// What became of a file of lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The files that it became; none if there was nothing to record.
    pub files: Vec<Finished>,
    /// Lines that are no frames.
    pub left_out: LeftOut,
}

/// Adds what a file of lines holds to the recording in this folder, as a run of its own.
/// `now` is in nanoseconds since the epoch.
///
/// # Errors
/// Says what could not be read or written. What was written till then stays, and is repaired
/// by the next recorder of the folder.
pub fn import(path: &Path, folder: &Path, now: u64) -> Result<Imported, ImportError> {
    let read = |error| ImportError::Read {
        path: path.to_owned(),
        error,
    };
    let mut lines = Lines::open(path).map_err(read)?;
    let name = path.file_name().map(|name| name.to_string_lossy());
    let session = format!("import {} {now}", name.unwrap_or_default());
    let mut writing = Writing {
        folder,
        session,
        now,
        open: None,
        files: Vec::new(),
    };
    let (mut left_out, mut last) = (0, None);
    while let Some(entry) = lines.next_entry().map_err(read)? {
        let so_far = lines.left_out().lines;
        if so_far > std::mem::replace(&mut left_out, so_far) {
            writing.write(&lacking((last, Some(entry.at)), entry.at))?;
        }
        last = Some(entry.at);
        writing.write(&entry)?;
    }
    if let Some(at) = last.filter(|_| lines.left_out().lines > left_out) {
        writing.write(&lacking((last, None), at))?;
    }
    Ok(Imported {
        files: writing.finish()?,
        left_out: lines.left_out().clone(),
    })
}

/// Between these entries there were lines that are no frames: what they were nobody knows.
fn lacking((from, to): (Option<u64>, Option<u64>), at: u64) -> Recorded {
    let micros = |at: u64| at / 1_000;
    let times = (from.map(micros), to.map(micros));
    let gap = Gap::of_recording(LEFT_OUT, Owner::Us, times, micros(at));
    Recorded {
        at,
        entry: Entry::Gap(gap),
    }
}

/// A folder that is written to from the first entry on: where there is none, nothing is
/// left.
struct Writing<'a> {
    folder: &'a Path,
    session: String,
    now: u64,
    open: Option<(Folder, Segment)>,
    files: Vec<Finished>,
}

impl Writing<'_> {
    fn failed(&self) -> impl Fn(io::Error) -> ImportError + use<> {
        let path = self.folder.to_owned();
        move |error| ImportError::Write {
            path: path.clone(),
            error,
        }
    }

    fn write(&mut self, entry: &Recorded) -> Result<(), ImportError> {
        let failed = self.failed();
        let (mut folder, mut segment) = match self.open.take() {
            Some(open) => open,
            None => {
                let run = (&*self.session, env!("CARGO_PKG_VERSION"));
                let mut folder = Folder::open(Arc::new(SystemDisk), self.folder, run, self.now)?;
                let segment = folder.begin(entry.at).map_err(&failed)?;
                (folder, segment)
            }
        };
        if segment.waiting() >= CHUNK {
            segment.end_chunk().map_err(&failed)?;
            if segment.bytes() >= ROTATE {
                self.files
                    .push(folder.finish(segment, self.now).map_err(&failed)?);
                segment = folder.begin(entry.at).map_err(&failed)?;
            }
        }
        if !segment.write(entry) {
            segment.end_chunk().map_err(&failed)?;
            if !segment.write(entry) {
                return Err(failed(io::Error::other("an entry is too long")));
            }
        }
        self.open = Some((folder, segment));
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Finished>, ImportError> {
        if let Some((folder, segment)) = self.open.take() {
            let finished = folder.finish(segment, self.now).map_err(self.failed())?;
            self.files.push(finished);
            folder.note_stopped(self.now).map_err(self.failed())?;
        }
        Ok(self.files)
    }
}
