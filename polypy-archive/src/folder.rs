//! A folder of files that are one recording: who writes it, what its files are called, and
//! which of them are kept.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use polypy_core::Timestamp;
use polypy_core::recording::Gap;

use crate::chunk::LIVE_LEVEL;
use crate::disk::{Disk, DiskFile};
use crate::header::Header;
use crate::loss::is_full;
use crate::manifest::{FileLine, Line, Manifest, append};
use crate::recovery::Recovery;
use crate::segment::{Finished, Segment, part_of};

/// What is locked while somebody writes to the folder.
const LOCK: &str = "_lock";
pub(crate) const EXTENSION: &str = "mcap";
/// Files that are removed for each that is finished. A clock that jumps a year ahead must
/// not empty the folder.
const MOST_REMOVED: usize = 2;

/// Why a folder cannot be written to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// Somebody does.
    #[error("another process records to {folder} or repairs it: stop it, or name another folder")]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The disk failed.
    #[error("cannot use {folder} for a recording: {error}{}", remedy(.error))]
    Disk {
        /// The folder.
        folder: PathBuf,
        /// What the disk says.
        error: io::Error,
    },
}

/// What an operator does about it, where that is always the same.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; let the user that the program runs as write there (chown, chmod), or name another \
             folder"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "; that is no folder: name another one"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "; name a folder that can be written to (a systemd unit has ReadWritePaths= for that)"
        }
        _ if is_full(error) => "; make room, or name a folder on another disk",
        _ => "",
    }
}

/// Which files are kept. `None` is all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// Those whose latest entry is younger than this.
    pub keep_for: Option<Duration>,
    /// The youngest, which are this many bytes together.
    pub keep_bytes: Option<u64>,
}

/// What a folder has of a recording, as far as its manifest says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// The earliest time of an entry, in microseconds since the epoch.
    pub(crate) from_ts: Option<u64>,
    /// Frames.
    pub(crate) frames: u64,
}

/// A folder that this process alone writes to.
#[derive(Debug)]
pub struct Folder {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// Held for as long as the folder is; not while it is gone, or the disk has no room for it.
    lock: Option<Box<dyn DiskFile>>,
    session: String,
    version: String,
    /// When the folder was opened, in nanoseconds since the epoch.
    began: u64,
    /// Whether the manifest says that this run has begun.
    is_noted: bool,
    next: u32,
    left: Vec<String>,
    /// Of zstd, for the files that begin from now on.
    level: i32,
}

impl Folder {
    /// Takes the folder, which is created if it is not there, for a run of the program
    /// with this id. `now` is in nanoseconds since the epoch, here and elsewhere.
    ///
    /// # Errors
    /// Another process has it, or the disk fails.
    pub fn open(
        disk: Arc<dyn Disk>,
        path: &Path,
        run: (&str, &str),
        now: u64,
    ) -> Result<Self, FolderError> {
        match Self::open_or_wait(disk, path, run, now)? {
            (folder, None) => Ok(folder),
            (folder, Some(error)) => Err(FolderError::Disk {
                folder: folder.path,
                error,
            }),
        }
    }

    /// The same for those who can wait. Where the disk has no room for what says that the folder
    /// is taken, that comes with it: it is to be taken [again](Self::take_again) before anything
    /// is written.
    ///
    /// # Errors
    /// Another process has it, or the disk fails otherwise.
    pub(crate) fn open_or_wait(
        disk: Arc<dyn Disk>,
        path: &Path,
        run: (&str, &str),
        now: u64,
    ) -> Result<(Self, Option<io::Error>), FolderError> {
        let failed = |error| FolderError::Disk {
            folder: path.to_owned(),
            error,
        };
        let created = disk.create_folder(path);
        let (lock, mut full) = match created.and_then(|()| take_lock(&*disk, path)) {
            Ok(Some(lock)) => (Some(lock), None),
            Ok(None) => {
                return Err(FolderError::InUse {
                    folder: path.to_owned(),
                });
            }
            Err(error) if is_full(&error) => (None, Some(error)),
            Err(error) => return Err(failed(error)),
        };
        let mut folder = Self::found(disk, path, lock, run, now).map_err(failed)?;
        if full.is_none()
            && let Err(error) = folder.note_session(now)
        {
            if !is_full(&error) {
                return Err(failed(error));
            }
            full = Some(error);
        }
        Ok((folder, full))
    }

    /// Whether it is this process's, and its manifest says so.
    pub(crate) fn is_taken(&self) -> bool {
        self.lock.is_some() && self.is_noted
    }

    /// Whether a file that this process writes is still where it was begun.
    pub(crate) fn has(&self, segment: &Segment) -> bool {
        let found = self.disk.read(segment.part());
        !matches!(found, Err(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// Whether it is not this process's: it was removed, moved, or could not be taken again.
    pub(crate) fn is_gone(&self) -> bool {
        self.lock.is_none() || self.is_removed()
    }

    /// Whether the folder has been removed since it was taken, or moved.
    pub(crate) fn is_removed(&self) -> bool {
        let found = self.disk.read(&self.path.join(LOCK));
        matches!(found, Err(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// What is in it.
    pub(crate) fn held(&self) -> io::Result<Held> {
        let manifest = Manifest::read(&*self.disk, &self.path)?;
        let mut held = Held::default();
        for file in manifest.kept() {
            let first = held.from_ts.into_iter().chain(file.from_ts);
            held.from_ts = first.min();
            held.frames += file.frames;
        }
        Ok(held)
    }

    /// Takes the folder once more, and creates it, after it was removed or a file in it was, or
    /// where the disk had no room for that. Somebody else may record there by now.
    ///
    /// # Errors
    /// Another process has it, or the disk fails.
    pub(crate) fn take_again(&mut self, now: u64) -> io::Result<()> {
        // What was locked is no file of this folder any more.
        self.lock = None;
        self.disk.create_folder(&self.path)?;
        let lock = take_lock(&*self.disk, &self.path)?;
        let lock = lock.ok_or_else(|| {
            let folder = self.path.clone();
            io::Error::new(io::ErrorKind::ResourceBusy, FolderError::InUse { folder })
        })?;
        let names = self.disk.list(&self.path)?;
        let used = next_number(names.iter().map(|(name, _)| &**name));
        self.next = self.next.max(used);
        self.note_session(now)?;
        self.lock = Some(lock);
        Ok(())
    }

    /// Says in the manifest that this run has begun, if that is still to be said.
    ///
    /// # Errors
    /// Those of the disk.
    pub(crate) fn note_begun(&mut self, now: u64) -> io::Result<()> {
        if self.is_noted {
            return Ok(());
        }
        self.note_session(now)
    }

    fn note_session(&mut self, now: u64) -> io::Result<()> {
        self.note(&self.session_line(now))?;
        self.is_noted = true;
        Ok(())
    }

    fn session_line(&self, now: u64) -> Line {
        Line::Session {
            at: now / 1_000,
            session: self.session.clone(),
            version: self.version.clone(),
        }
    }

    /// What the manifest says; this run is the last one in it, also where the disk has not
    /// taken that yet.
    fn manifest(&self) -> io::Result<Manifest> {
        let mut manifest = Manifest::read(&*self.disk, &self.path)?;
        if !self.is_noted {
            manifest.lines.push(self.session_line(self.began));
        }
        Ok(manifest)
    }

    fn found(
        disk: Arc<dyn Disk>,
        path: &Path,
        lock: Option<Box<dyn DiskFile>>,
        (session, version): (&str, &str),
        began: u64,
    ) -> io::Result<Self> {
        let manifest = Manifest::read(&*disk, path)?;
        let names = match disk.list(path) {
            // There was no room to create it.
            Err(error) if lock.is_none() && error.kind() == io::ErrorKind::NotFound => Vec::new(),
            names => names?,
        };
        let names: Vec<_> = names.into_iter().map(|(name, _)| name).collect();
        let known = || manifest.files().map(|file| &*file.file);
        let used = names.iter().map(|name| &**name).chain(known());
        let next = next_number(used);
        let told: BTreeSet<_> = known().collect();
        let removed: BTreeSet<_> = manifest.removed().collect();
        let is_left = |name: &&String| {
            let is_finished = name.ends_with(&format!(".{EXTENSION}"));
            number_of(name).is_some() && (!is_finished || !told.contains(&***name))
                || removed.contains(&***name)
        };
        // Nobody may touch them who does not hold the lock.
        let left = names.iter().filter(|_| lock.is_some());
        let left = left.filter(is_left).cloned().collect();
        Ok(Self {
            disk,
            path: path.to_owned(),
            lock,
            session: session.to_owned(),
            version: version.to_owned(),
            began,
            is_noted: false,
            next,
            left,
            level: LIVE_LEVEL,
        })
    }

    /// When it was opened, in nanoseconds since the epoch.
    pub(crate) fn began(&self) -> u64 {
        self.began
    }

    /// The files that begin from now on are compressed at this level of zstd, from 1 to 19.
    pub fn compress_at(&mut self, level: i32) {
        self.level = level;
    }

    /// Begins the next file.
    ///
    /// # Errors
    /// Those of the disk. The number is not used again.
    pub fn begin(&mut self, now: u64) -> io::Result<Segment> {
        let number = self.next;
        self.next += 1;
        let header = Header {
            session: self.session.clone(),
            number,
            started: now,
            version: self.version.clone(),
        };
        let path = self.path.join(file_name(number, now));
        let created = Segment::create_at(self.level, &*self.disk, &path, &header);
        // Of one that could not begin nothing is left.
        created.inspect_err(|_| drop(self.disk.remove(&part_of(&path))))
    }

    /// Ends a file and says so in the manifest, if anything was recorded to it.
    ///
    /// # Errors
    /// Those of the disk. The file may be finished all the same; then the next run says so.
    pub fn finish(&self, segment: Segment, now: u64) -> io::Result<Finished> {
        let finished = segment
            .finish(&*self.disk)
            .map_err(|(error, _left)| error)?;
        self.note(&file_line(&finished, now))?;
        Ok(finished)
    }

    /// The latest time of an entry in a finished file, in microseconds since the epoch, as
    /// far as the manifest knows.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn last_entry(&self) -> io::Result<Option<u64>> {
        let manifest = self.manifest()?;
        Ok(manifest.last_entry())
    }

    /// What is missing behind the newest file: as the run before has said in the manifest,
    /// or a repair, if the file was cut.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn open_gap(&self) -> io::Result<Option<Gap>> {
        let manifest = self.manifest()?;
        if let Some(gap) = manifest.gap_of_run_before(self.next.saturating_sub(1)) {
            return Ok(Some(gap.clone()));
        }
        let newest = manifest.files().map(|file| file.file.as_str()).max();
        let of_newest = |line: &Line| match line {
            Line::Truncation { file, gap, .. } if Some(file.as_str()) == newest => {
                Some(gap.clone())
            }
            Line::Repair { file, gaps, .. } if Some(file.as_str()) == newest => {
                Some(gaps.last().cloned())
            }
            _ => None,
        };
        let gap = manifest.lines.iter().rev().find_map(of_newest).flatten();
        Ok(gap.filter(|gap| gap.to_ts.is_none()))
    }

    /// Whether the run before has ended by itself, and was not killed.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn was_run_before_stopped(&self) -> io::Result<bool> {
        let manifest = self.manifest()?;
        Ok(manifest.was_run_before_stopped())
    }

    /// When the run before began, in microseconds since the epoch, if there was one.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn run_before_began(&self) -> io::Result<Option<u64>> {
        let manifest = self.manifest()?;
        Ok(manifest.run_before_began())
    }

    /// Bytes that can still be written to its disk.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn free(&self) -> io::Result<u64> {
        self.disk.free(&self.path)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What earlier runs left to do, which may be done while this one records.
    pub fn recovery(&mut self) -> Recovery {
        Recovery::new(&self.disk, &self.path, std::mem::take(&mut self.left))
    }

    /// Removes the oldest finished files that are not to be kept, two at most, and never
    /// the youngest. Returns their names.
    ///
    /// # Errors
    /// Those of the disk. A file whose line is there is removed by the next run.
    pub fn retain(&self, retention: &Retention, now: u64) -> io::Result<Vec<String>> {
        let manifest = Manifest::read(&*self.disk, &self.path)?;
        let mut files = self.disk.list(&self.path)?;
        files.retain(|(name, _)| {
            number_of(name).is_some() && name.ends_with(&format!(".{EXTENSION}"))
        });
        files.sort_by_key(|(name, _)| number_of(name));
        let mut total: u64 = files.iter().map(|(_, bytes)| bytes).sum();
        files.pop();
        let mut removed = Vec::new();
        for (name, bytes) in files.into_iter().take(MOST_REMOVED) {
            let last = manifest.files().filter(|file| file.file == name).last();
            let last = last.and_then(|file| file.to_ts);
            let age = last.map(|last| Duration::from_micros((now / 1_000).saturating_sub(last)));
            let is_old = age
                .zip(retention.keep_for)
                .is_some_and(|(age, keep)| age >= keep);
            let rule = match retention.keep_bytes {
                _ if is_old => "age",
                Some(keep) if total > keep => "bytes",
                _ => break,
            };
            // The line first: a file that is gone without one counts as lost.
            self.note(&Line::Retention {
                at: now / 1_000,
                file: name.clone(),
                rule: rule.to_owned(),
            })?;
            self.disk.remove(&self.path.join(&name))?;
            total -= bytes;
            removed.push(name);
        }
        Ok(removed)
    }

    /// Says in the manifest what is missing behind a file, which nobody writes any more.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn note_gap(&self, gap: Gap, file: Option<String>, now: u64) -> io::Result<()> {
        let at = now / 1_000;
        self.note(&Line::Gap { at, gap, file })
    }

    /// Removes a file that was begun, and in which nothing is whole.
    pub(crate) fn remove_begun(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    /// Says in the manifest that this run ends by itself.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn note_stopped(&self, now: u64) -> io::Result<()> {
        self.note(&Line::Stopped { at: now / 1_000 })
    }

    fn note(&self, line: &Line) -> io::Result<()> {
        append(&*self.disk, &self.path, line)
    }
}

pub(crate) fn file_line(finished: &Finished, now: u64) -> Line {
    Line::File {
        at: now / 1_000,
        file: FileLine::of(finished),
    }
}

/// The number of the next file, where these are.
fn next_number<'a>(names: impl Iterator<Item = &'a str>) -> u32 {
    names.filter_map(number_of).max().unwrap_or(0) + 1
}

/// The folder's lock; `None`: another process has it.
pub(crate) fn take_lock(disk: &dyn Disk, folder: &Path) -> io::Result<Option<Box<dyn DiskFile>>> {
    let path = folder.join(LOCK);
    let mut lock = match disk.create(&path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => disk.open(&path)?,
        other => other?,
    };
    Ok(lock.try_lock()?.then_some(lock))
}

/// Whether somebody writes to the folder, as far as can be told by asking for its lock.
pub(crate) fn is_locked(disk: &dyn Disk, folder: &Path) -> io::Result<bool> {
    match disk.read(&folder.join(LOCK)) {
        Ok(mut lock) => Ok(!lock.try_lock()?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// `00000001-20261129T084300Z.mcap`.
fn file_name(number: u32, now: u64) -> String {
    let stamp = Timestamp::from_millis(now / 1_000_000).to_string();
    let digits = stamp.split('.').next().unwrap_or_default();
    let digits: String = digits.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    format!("{number:08}-{digits}Z.{EXTENSION}")
}

/// The number of a file of a recording, by its name, whatever is behind it.
pub(crate) fn number_of(name: &str) -> Option<u32> {
    let (number, rest) = name.split_once('-')?;
    let is_ours = rest.contains(&format!(".{EXTENSION}"));
    number.parse().ok().filter(|_| is_ours && number.len() >= 8)
}
