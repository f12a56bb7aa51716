//! What earlier runs left in a folder: files that nobody finished are repaired and get their
//! names, what a rule or a kill left is removed, and the manifest says so.
//!
//! It may go on while another run records to the folder, whose lock is held by then.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use polypy_core::Owner;
use polypy_core::recording::Gap;

use crate::disk::Disk;
use crate::folder::{EXTENSION, file_line};
use crate::manifest::{FileLine, LOST, Line, Manifest, append, name_of};
use crate::repair::{COPY, DAMAGED, Repaired, repair, with_suffix};
use crate::segment::PART;

/// What earlier runs left to do in a folder.
#[derive(Debug)]
pub struct Recovery {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    /// Names of files, of which those that were seen to are gone.
    left: VecDeque<String>,
}

/// What was done about one file that an earlier run left.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recovered {
    /// It was repaired, or is whole, and the manifest says so.
    Repaired(Box<Repaired>),
    /// It was removed: nothing was in it, a rule had said so, or it was half of a copy.
    Removed(String),
}

impl Recovery {
    /// These files of a folder are to be seen to.
    pub(crate) fn new(disk: &Arc<dyn Disk>, folder: &Path, left: Vec<String>) -> Self {
        Self {
            disk: Arc::clone(disk),
            folder: folder.to_owned(),
            left: left.into(),
        }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// Repairs what was not finished, gives complete files their names, removes what a
    /// rule said is removed, and notes it in the manifest.
    ///
    /// # Errors
    /// Those of the disk. The next run does the rest.
    pub fn run(mut self, now: u64) -> io::Result<Vec<Recovered>> {
        let mut done = Vec::new();
        self.go_on(now, &mut done)?;
        Ok(done)
    }

    /// The same of what is still left to do. After an error it may be called again, and begins
    /// with the file that could not be seen to.
    pub(crate) fn go_on(&mut self, now: u64, done: &mut Vec<Recovered>) -> io::Result<()> {
        let removed: Vec<String> = {
            let manifest = Manifest::read(&*self.disk, &self.folder)?;
            manifest.removed().map(str::to_owned).collect()
        };
        while let Some(name) = self.left.front() {
            let path = self.folder.join(name);
            if removed.contains(name) {
                self.disk.remove(&path)?;
                done.push(Recovered::Removed(name.clone()));
            } else if name.ends_with(&format!(".{COPY}")) {
                done.extend(self.copy(&path, now)?);
            } else if name.ends_with(&format!(".{PART}")) || name.ends_with(EXTENSION) {
                done.push(self.file(&path, now)?);
            }
            self.left.pop_front();
        }
        Ok(())
    }

    /// Nothing to do in this folder yet.
    pub(crate) fn of(disk: &Arc<dyn Disk>, folder: &Path) -> Self {
        Self::new(disk, folder, Vec::new())
    }

    fn file(&self, path: &Path, now: u64) -> io::Result<Recovered> {
        // It may have its name by now, where there was no room for its line.
        let named = path.with_extension("");
        let is_named = path.extension().is_some_and(|end| end == PART) && !self.has(path);
        let path = if is_named && self.has(&named) {
            &named
        } else {
            path
        };
        let repaired = repair(&*self.disk, path, now)?;
        if repaired == Repaired::Empty {
            self.disk.remove(path)?;
            return Ok(Recovered::Removed(name_of(path)));
        }
        self.note_repaired(&repaired, now)?;
        Ok(Recovered::Repaired(Box::new(repaired)))
    }

    /// Says in the manifest what was done to a file.
    pub(crate) fn note_repaired(&self, repaired: &Repaired, now: u64) -> io::Result<()> {
        let file = match repaired {
            Repaired::Empty | Repaired::CopyOf(_) | Repaired::Lost(_) | Repaired::Noted(_) => {
                return Ok(());
            }
            Repaired::Whole(file) => file,
            Repaired::Changed { file, was_sha256 } => {
                self.note(&Line::Changed {
                    at: now / 1_000,
                    file: name_of(&file.path),
                    was_sha256: was_sha256.clone(),
                })?;
                file
            }
            Repaired::Ended { file, cut, gap } => {
                self.note(&Line::Truncation {
                    at: now / 1_000,
                    file: name_of(&file.path),
                    bytes: *cut,
                    gap: gap.clone(),
                })?;
                file
            }
            Repaired::Copied {
                file,
                damaged,
                gaps,
            } => {
                self.note(&Line::Repair {
                    at: now / 1_000,
                    file: name_of(&file.path),
                    damaged: name_of(damaged),
                    gaps: gaps.clone(),
                })?;
                file
            }
        };
        self.note(&file_line(file, now))
    }

    /// Says in the manifest what is missing with a file that is lost. Returns what it said.
    pub(crate) fn note_lost(&self, line: &FileLine, now: u64) -> io::Result<Gap> {
        let at = now / 1_000;
        let times = (line.from_ts, line.to_ts);
        let mut gap = Gap::of_recording(LOST, Owner::Us, times, at);
        gap.size = Some(line.frames);
        self.note(&Line::Lost {
            at,
            file: line.file.clone(),
            gap: gap.clone(),
        })?;
        Ok(gap)
    }

    /// Says in the manifest what the last run lacks, if it was killed and nothing says so.
    /// Returns what it said. Nobody may be recording.
    pub(crate) fn note_kill(&self, now: u64) -> io::Result<Option<Gap>> {
        let at = now / 1_000;
        let Some(gap) = Manifest::read(&*self.disk, &self.folder)?.untold_kill(at) else {
            return Ok(None);
        };
        self.note(&Line::Gap {
            at,
            gap: gap.clone(),
            file: None,
        })?;
        Ok(Some(gap))
    }

    /// A copy that took no place yet. If the damaged file has made room for it, it is
    /// whole; else it is made again.
    fn copy(&self, path: &Path, now: u64) -> io::Result<Option<Recovered>> {
        let name = path.with_extension("");
        let has = |path: &Path| self.has(path);
        if has(&name) || has(&with_suffix(&name, PART)) || !has(&with_suffix(&name, DAMAGED)) {
            self.disk.remove(path)?;
            return Ok(Some(Recovered::Removed(name_of(path))));
        }
        self.disk.rename(path, &name)?;
        self.disk.sync_folder(&self.folder)?;
        self.file(&name, now).map(Some)
    }

    fn has(&self, path: &Path) -> bool {
        self.disk.read(path).is_ok()
    }

    fn note(&self, line: &Line) -> io::Result<()> {
        append(&*self.disk, &self.folder, line)
    }
}
