//! Which files a recording consists of, as they are found: in a folder with or without a
//! manifest, or a single file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use polypy_core::recording::Gap;

use crate::disk::Disk;
use crate::folder::{EXTENSION, is_locked, number_of};
use crate::manifest::{FileLine, Manifest, UnreadableLine, name_of};
use crate::repair::DAMAGED;
use crate::segment::PART;

/// Tries to find a folder's files and its manifest as they are at one moment.
const TRIES: usize = 100;

/// Why there is no recording to read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is nothing of this name.
    #[error("there is no {path}")]
    NotFound {
        /// As it was named.
        path: PathBuf,
    },
    /// There is a folder, and no file of a recording in it.
    #[error("no file in {path} is one of a recording: they end in .mcap")]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// The disk failed.
    #[error("cannot read {path}: {error}")]
    Disk {
        /// What was to be read.
        path: PathBuf,
        /// What the disk says.
        error: io::Error,
    },
}

/// A file of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its name as the manifest has it: without what is behind it while it is written.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// What the manifest says of it.
    pub line: Option<FileLine>,
    /// The SHA-256 that it had before it was compacted; it has one or the other.
    pub former: Option<String>,
    /// Whether it has the name of a file that nobody has finished.
    pub is_unfinished: bool,
    /// Whether a repair has found that it was changed after it was finished.
    pub is_changed: bool,
}

/// A file that the manifest has, that no rule removed, and that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostFile {
    /// What the manifest says of it.
    pub line: FileLine,
    /// What is missing with it, if a repair has said so.
    pub gap: Option<Gap>,
}

/// What became of a file since it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LookedAgain {
    /// It was finished, and has another name.
    Renamed,
    /// By a rule, or since nothing was in it: nothing is lost with it.
    Removed,
    /// Nobody says why.
    Missing,
}

/// The files of a recording, in their order.
#[derive(Clone)]
pub struct Recording {
    pub(crate) disk: Arc<dyn Disk>,
    /// As it was named.
    pub path: PathBuf,
    /// Those that are there.
    pub files: Vec<ListedFile>,
    /// Those that are lost.
    pub lost: Vec<LostFile>,
    /// Those that a rule removed.
    pub removed: Vec<FileLine>,
    /// What the manifest says is missing, and no file could say.
    pub gaps: Vec<Gap>,
    /// What the last run lacks, if it has not ended by itself, nobody has said so, and it
    /// does not run any more.
    pub untold_kill: Option<Gap>,
    /// Lines of the manifest that cannot be read.
    pub unreadable_lines: Vec<UnreadableLine>,
    /// Whether somebody writes to it at the moment.
    pub is_written: bool,
    /// Files that the recorder has given up: nobody writes to these.
    pub(crate) given_up: BTreeSet<String>,
}

impl Recording {
    /// Finds the files of this folder; or this one file alone.
    ///
    /// # Errors
    /// Says why there is nothing to read.
    pub fn open(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, OpenError> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => OpenError::NotFound {
                path: path.to_owned(),
            },
            _ => OpenError::Disk {
                path: path.to_owned(),
                error,
            },
        };
        match disk.list(path) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Self::of_file(disk, path).map_err(failed);
            }
            Err(error) => return Err(failed(error)),
        }
        let recording = Self::now(disk, path).map_err(failed)?;
        if recording.files.is_empty() && recording.lost.is_empty() {
            return Err(OpenError::Empty {
                path: path.to_owned(),
            });
        }
        Ok(recording)
    }

    /// What a folder says now. Somebody may write to it meanwhile: files, manifest and lock are
    /// those of one moment if the manifest says the same before and behind the others.
    fn now(disk: Arc<dyn Disk>, folder: &Path) -> io::Result<Self> {
        let mut manifest = Manifest::read(&*disk, folder)?;
        for _ in 0..TRIES {
            let names = disk.list(folder)?;
            let mut found = Self::found(Arc::clone(&disk), folder, names, &manifest);
            let kill = manifest.untold_kill(0);
            let has_unfinished = found.files.iter().any(|file| file.is_unfinished);
            found.is_written = (has_unfinished || kill.is_some()) && is_locked(&*disk, folder)?;
            // That one was cut is said of the file.
            let is_cut = found.files.last().is_some_and(|file| file.is_unfinished);
            found.untold_kill = kill.filter(|_| !found.is_written && !is_cut);
            let before = std::mem::replace(&mut manifest, Manifest::read(&*disk, folder)?);
            if manifest == before {
                return Ok(found);
            }
        }
        let error = "its manifest changes faster than it can be read: try again";
        Err(io::Error::new(io::ErrorKind::ResourceBusy, error))
    }

    /// Looks again for a file that is no longer where it was found: it may have been finished
    /// since, or removed.
    pub(crate) fn look_again(&mut self, at: usize) -> io::Result<LookedAgain> {
        let known = &self.files[at];
        let manifest = Manifest::read(&*self.disk, &self.path)?;
        if manifest.removed().any(|name| *name == known.name) {
            self.removed.extend(known.line.clone());
            return Ok(LookedAgain::Removed);
        }
        let now = Self::now(Arc::clone(&self.disk), &self.path)?;
        let is_recorded = self.is_written || now.is_written;
        let found = now.files.into_iter().find(|file| file.name == known.name);
        Ok(match found {
            Some(found) if found.path != known.path => {
                self.files[at] = found;
                LookedAgain::Renamed
            }
            // By the recorder: nothing was in it, or it would have been finished.
            None if known.is_unfinished && is_recorded => LookedAgain::Removed,
            Some(_) | None => LookedAgain::Missing,
        })
    }

    /// Whether somebody writes to this file at the moment: to the newest one, unless that
    /// was given up.
    pub(crate) fn is_being_written(&self, at: usize) -> bool {
        let file = &self.files[at];
        self.is_written
            && file.is_unfinished
            && at + 1 == self.files.len()
            && !self.given_up.contains(&file.name)
    }

    fn of_file(disk: Arc<dyn Disk>, path: &Path) -> io::Result<Self> {
        let bytes = disk.read(path)?.seek(SeekFrom::End(0))?;
        let name = name_of(path);
        let is_unfinished = name.ends_with(&format!(".{PART}"));
        let file = ListedFile {
            path: path.to_owned(),
            name: finished_name(&name).to_owned(),
            bytes,
            line: None,
            former: None,
            is_unfinished,
            is_changed: false,
        };
        Ok(Self {
            disk,
            path: path.to_owned(),
            files: vec![file],
            lost: Vec::new(),
            removed: Vec::new(),
            gaps: Vec::new(),
            untold_kill: None,
            unreadable_lines: Vec::new(),
            is_written: false,
            given_up: BTreeSet::new(),
        })
    }

    fn found(
        disk: Arc<dyn Disk>,
        folder: &Path,
        names: Vec<(String, u64)>,
        manifest: &Manifest,
    ) -> Self {
        // The last word of each.
        let lines: BTreeMap<_, _> = manifest
            .files()
            .map(|line| (line.file.clone(), line.clone()))
            .collect();
        let by_rule: BTreeSet<_> = manifest.removed().map(str::to_owned).collect();
        let changed = manifest.changed();
        let mut files: BTreeMap<_, ListedFile> = BTreeMap::new();
        for (name, bytes) in names {
            let finished = finished_name(&name).to_owned();
            if !finished.ends_with(&format!(".{EXTENSION}")) || by_rule.contains(&finished) {
                continue;
            }
            let order = (number_of(&finished).unwrap_or(u32::MAX), finished.clone());
            let file = ListedFile {
                path: folder.join(&name),
                line: lines.get(&finished).cloned(),
                former: manifest.former(&finished).map(str::to_owned),
                is_unfinished: name.ends_with(&format!(".{PART}")),
                is_changed: changed.contains(&*finished),
                name: finished,
                bytes,
            };
            // Of one that was moved aside there is a copy, but for a moment of its repair.
            let is_better = |known: &ListedFile| rank(&file.path) < rank(&known.path);
            if files.get(&order).is_none_or(is_better) {
                files.insert(order, file);
            }
        }
        let files: Vec<_> = files.into_values().collect();
        let is_there = |name: &str| files.iter().any(|file| file.name == name);
        let gone = lines.into_values().filter(|line| !is_there(&line.file));
        let (removed, lost): (Vec<_>, Vec<_>) = gone.partition(|line| by_rule.contains(&line.file));
        let lost: Vec<_> = lost
            .into_iter()
            .map(|line| LostFile {
                gap: manifest.gap_of_lost(&line.file).cloned(),
                line,
            })
            .collect();
        let mut gaps = manifest.gaps();
        gaps.extend(lost.iter().filter_map(|lost| lost.gap.clone()));
        Self {
            disk,
            path: folder.to_owned(),
            files,
            lost,
            removed,
            gaps,
            untold_kill: None,
            unreadable_lines: manifest.unreadable.clone(),
            is_written: false,
            given_up: manifest.given_up().map(str::to_owned).collect(),
        }
    }
}

/// A file is read under the first of these names that there is.
fn rank(path: &Path) -> usize {
    let suffixes = [EXTENSION, PART, DAMAGED];
    let extension = path.extension();
    let found = suffixes
        .iter()
        .position(|suffix| extension.is_some_and(|extension| extension == *suffix));
    found.unwrap_or(suffixes.len())
}

/// What a file is called once it is finished.
fn finished_name(name: &str) -> &str {
    [PART, DAMAGED]
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix)?.strip_suffix('.'))
        .unwrap_or(name)
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording")
            .field("path", &self.path)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}
