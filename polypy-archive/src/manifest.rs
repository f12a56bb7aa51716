//! A folder's manifest: what became of its files, a line of JSON each.
//!
//! A file that is missing was removed by a rule if a line says so, and is lost if none
//! does. Each line is on the disk before anybody relies on it. A last line that was cut
//! by a kill is cut off, and said.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use polypy_core::Owner;
use polypy_core::recording::{Gap, GapScope};
use serde::{Deserialize, Serialize};

use crate::disk::{Disk, DiskFile};
use crate::folder::number_of;
use crate::segment::Finished;

/// The manifest's name in its folder.
pub const MANIFEST: &str = "_manifest.jsonl";

/// The reason of a gap of a file that is lost.
pub const LOST: &str = "lost";

/// A line. Times are in microseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Line {
    /// A run of the program began to record.
    Session {
        /// When.
        at: u64,
        /// Its id.
        session: String,
        /// The program's version.
        version: String,
    },
    /// A file was finished.
    File {
        /// When.
        at: u64,
        /// What it is.
        #[serde(flatten)]
        file: FileLine,
    },
    /// A file that nobody finished was cut behind its last whole chunk, and ended.
    Truncation {
        /// When.
        at: u64,
        /// Its name.
        file: String,
        /// How many bytes were cut off.
        bytes: u64,
        /// What it says is missing.
        gap: Option<Gap>,
    },
    /// A copy without what was damaged took the place of a file.
    Repair {
        /// When.
        at: u64,
        /// Its name.
        file: String,
        /// The name that the damaged file has now.
        damaged: String,
        /// What the copy says is missing.
        gaps: Vec<Gap>,
    },
    /// Nothing is written from now on, since the disk fails or is full. Said at once, for a
    /// kill would say nothing, and again where a run ends so. Of a run that was killed when no
    /// file could say it a repair says so.
    Gap {
        /// When.
        at: u64,
        /// What is missing, until the next file begins or the next run.
        gap: Gap,
        /// The file behind which it is, which nobody writes any more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<String>,
    },
    /// A run of the program ended by itself. One without this line was killed.
    Stopped {
        /// When.
        at: u64,
    },
    /// A file is removed by a rule.
    Retention {
        /// When.
        at: u64,
        /// Its name.
        file: String,
        /// Which rule: `age` or `bytes`.
        rule: String,
    },
    /// A file that was finished is not there, and no rule has removed it. A repair has found so.
    Lost {
        /// When.
        at: u64,
        /// Its name.
        file: String,
        /// What is missing with it. It does not count while the file is there again.
        gap: Gap,
    },
    /// A file was changed after it was finished, and can be read to its end. A repair has found
    /// so. What it is now is in the line behind this one.
    Changed {
        /// When.
        at: u64,
        /// Its name.
        file: String,
        /// The SHA-256 that the manifest had of it till then.
        was_sha256: String,
    },
    /// A file is made smaller. What it is then is in the line behind this one.
    Compaction {
        /// When.
        at: u64,
        /// Its name.
        file: String,
        /// Its SHA-256 till then.
        was_sha256: String,
    },
    /// Something that a later version writes.
    #[serde(other)]
    Other,
}

/// What the manifest says of a finished file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileLine {
    /// Its name.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// The earliest time of an entry; `None` if there is none.
    pub from_ts: Option<u64>,
    /// The latest.
    pub to_ts: Option<u64>,
    /// Entries.
    pub entries: u64,
    /// Those that are frames of sockets.
    pub frames: u64,
    /// Chunks.
    pub chunks: usize,
}

impl FileLine {
    pub(crate) fn of(finished: &Finished) -> Self {
        Self {
            file: name_of(&finished.path),
            bytes: finished.bytes,
            sha256: finished.sha256.clone(),
            from_ts: finished.times.map(|(first, _)| first / 1_000),
            to_ts: finished.times.map(|(_, last)| last / 1_000),
            entries: finished.entries,
            frames: finished.frames,
            chunks: finished.chunks,
        }
    }
}

/// A file's name without its folder.
pub(crate) fn name_of(path: &Path) -> String {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_default()
}

/// A line of a manifest that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnreadableLine {
    /// Its number, from 1.
    pub number: u64,
    /// Where it begins and ends in the manifest.
    pub bytes: (u64, u64),
}

/// The lines that a manifest has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    /// In their order.
    pub lines: Vec<Line>,
    /// Lines that cannot be read. A last one that was cut is none of them.
    pub unreadable: Vec<UnreadableLine>,
    /// Whether the last line was cut.
    pub is_torn: bool,
}

impl Manifest {
    /// Reads a folder's manifest; there are no lines if there is none.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn read(disk: &dyn Disk, folder: &Path) -> io::Result<Self> {
        let mut bytes = Vec::new();
        match disk.read(&path_in(folder)) {
            Ok(mut file) => file.read_to_end(&mut bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        let (mut manifest, mut from) = (Self::default(), 0);
        for (number, line) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
            let to = from + line.len() as u64;
            let is_whole = line.ends_with(b"\n");
            match serde_json::from_slice(line) {
                Ok(line) if is_whole => manifest.lines.push(line),
                _ if !is_whole => manifest.is_torn = true,
                _ => manifest.unreadable.push(UnreadableLine {
                    number,
                    bytes: (from, to),
                }),
            }
            from = to;
        }
        Ok(manifest)
    }

    /// What it says of each finished file, the last word if there are several.
    pub fn files(&self) -> impl Iterator<Item = &FileLine> {
        files_of(&self.lines)
    }

    /// The SHA-256 that a file had before it was compacted last.
    pub fn former(&self, name: &str) -> Option<&str> {
        self.lines.iter().rev().find_map(|line| match line {
            Line::Compaction {
                file, was_sha256, ..
            } if file == name => Some(&**was_sha256),
            _ => None,
        })
    }

    /// What is missing by its own word. The file that comes next ends it, or the run that does.
    pub fn gaps(&self) -> Vec<Gap> {
        self.losses().into_iter().map(|(_, gap)| gap).collect()
    }

    /// What is missing behind this file, as far as the recorder has said so.
    pub(crate) fn gap_behind(&self, name: &str) -> Option<Gap> {
        let losses = self.losses().into_iter().rev();
        let mut behind = losses.filter(|(file, _)| *file == Some(name));
        behind.next().map(|(_, gap)| gap)
    }

    /// What is missing with a file that is lost, if a repair has said so.
    pub(crate) fn gap_of_lost(&self, name: &str) -> Option<&Gap> {
        self.lines.iter().rev().find_map(|line| match line {
            Line::Lost { file, gap, .. } if file == name => Some(gap),
            _ => None,
        })
    }

    /// The files that were changed after they were finished, as repairs have found, and that are
    /// not again what they were.
    pub(crate) fn changed(&self) -> BTreeSet<&str> {
        let mut changed = BTreeMap::new();
        for line in &self.lines {
            match line {
                Line::Changed {
                    file, was_sha256, ..
                } => {
                    changed.entry(&**file).or_insert(was_sha256);
                }
                // Put back, whatever is made of it later.
                Line::File { file, .. } if changed.get(&*file.file) == Some(&&file.sha256) => {
                    changed.remove(&*file.file);
                }
                _ => {}
            }
        }
        changed.into_keys().collect()
    }

    /// The files behind which something is missing: nobody writes them any more.
    pub(crate) fn given_up(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter_map(|line| match line {
            Line::Gap { file, .. } => file.as_deref(),
            _ => None,
        })
    }

    /// What is missing, and the file behind which it is, if that is known.
    fn losses(&self) -> Vec<(Option<&str>, Gap)> {
        let mut losses: Vec<(usize, Option<&str>, Gap)> = Vec::new();
        for (place, line) in self.lines.iter().enumerate() {
            match line {
                Line::Gap { gap, file, .. } => {
                    // It is said when it begins, and again with what has become of it.
                    let is_it = |of: &Gap| (of.scope, of.from_ts) == (gap.scope, gap.from_ts);
                    losses.retain(|(_, _, known)| known.to_ts.is_some() || !is_it(known));
                    losses.push((place, file.as_deref(), gap.clone()));
                }
                Line::Session { at, .. } => {
                    let open = losses.iter_mut().filter(|(_, _, gap)| gap.to_ts.is_none());
                    open.for_each(|(_, _, gap)| end(gap, *at, "restart"));
                }
                _ => {}
            }
        }
        let ended = losses.into_iter().map(|(place, file, mut gap)| {
            if let Some(next) = self.next_began(place, file, gap.from_ts)
                && gap.to_ts.is_none_or(|to| next < to)
            {
                end(&mut gap, next, "next_file");
            }
            (file, gap)
        });
        ended.collect()
    }

    /// When the file began that comes next behind what the line at this place says is missing
    /// from a moment on. `None`: there is none yet, or the clock was set back before it began,
    /// and nobody knows how long that was.
    fn next_began(&self, place: usize, behind: Option<&str>, from: Option<u64>) -> Option<u64> {
        let is_since = |began: &u64| from.is_none_or(|from| from <= *began);
        let Some(behind) = behind else {
            // The run had no file yet. The next one is new since, and no older one that a
            // repair has finished meanwhile.
            let (before, since) = self.lines.split_at(place);
            let is_new = |line: &&FileLine| !files_of(before).any(|old| old.file == line.file);
            let files = files_of(since).filter(is_new);
            let began = files.filter_map(|line| Some((number_of(&line.file)?, line.from_ts?)));
            let next = began.filter(|(_, began)| is_since(began)).min();
            return next.map(|(_, began)| began);
        };
        let number = number_of(behind)?;
        let began = self
            .files()
            .filter_map(|line| Some((number_of(&line.file)?, line.from_ts?)));
        let (_, next) = began.filter(|(of, _)| *of > number).min()?;
        Some(next).filter(is_since)
    }

    /// What the last run but one has said that it lacks, if that is behind the newest file,
    /// which has this number; the last one has just begun.
    pub(crate) fn gap_of_run_before(&self, newest: u32) -> Option<&Gap> {
        // One that has ended is of the run before that one.
        let (place, gap, file) = self.run_before().find_map(|(place, line)| match line {
            Line::Gap { gap, file, .. } if gap.to_ts.is_none() => Some((place, gap, file)),
            _ => None,
        })?;
        let is_last = match file.as_deref().and_then(number_of) {
            Some(number) => number == newest,
            // The run had none yet.
            None => self.next_began(place, None, gap.from_ts).is_none(),
        };
        is_last.then_some(gap)
    }

    /// What is missing behind all that the last run has finished, if it has not ended by
    /// itself, and neither a file nor a line says what it lacks: it was killed, or runs still.
    /// `now` is in microseconds since the epoch.
    pub(crate) fn untold_kill(&self, now: u64) -> Option<Gap> {
        let is_session = |line: &Line| matches!(line, Line::Session { .. });
        let run = &self.lines[self.lines.iter().rposition(is_session)?..];
        let Some(Line::Session { at: began, .. }) = run.first() else {
            return None;
        };
        let newest = self.files().filter_map(|file| number_of(&file.file)).max();
        let is_open = |gap: &Gap| gap.scope == GapScope::Recording && gap.to_ts.is_none();
        // Where this run has repaired what an earlier one left, that says nothing of its own end.
        let is_end = |file: &str, gap: &Gap| {
            is_open(gap)
                && number_of(file) == newest
                && gap.from_ts.is_none_or(|from| from >= *began)
        };
        let is_told = run.iter().any(|line| match line {
            Line::Stopped { .. } => true,
            Line::Truncation { file, gap, .. } => gap.iter().any(|gap| is_end(file, gap)),
            Line::Repair { file, gaps, .. } => gaps.last().is_some_and(|gap| is_end(file, gap)),
            _ => false,
        });
        let is_told = is_told || self.losses().iter().any(|(_, gap)| is_open(gap));
        (!is_told).then(|| killed(self.last_entry().unwrap_or(*began), now))
    }

    /// The latest time of an entry in the newest finished file that has any.
    pub(crate) fn last_entry(&self) -> Option<u64> {
        let last = self.files().filter(|file| file.to_ts.is_some());
        last.max_by_key(|file| number_of(&file.file))?.to_ts
    }

    /// When the last run but one began, if there was one.
    pub(crate) fn run_before_began(&self) -> Option<u64> {
        let mut sessions = self.lines.iter().rev().filter_map(|line| match line {
            Line::Session { at, .. } => Some(*at),
            _ => None,
        });
        sessions.nth(1)
    }

    /// Whether the last run but one ended by itself.
    pub(crate) fn was_run_before_stopped(&self) -> bool {
        self.run_before()
            .any(|(_, line)| matches!(line, Line::Stopped { .. }))
    }

    /// The lines of the last run but one with their places, the last one first.
    fn run_before(&self) -> impl Iterator<Item = (usize, &Line)> {
        let is_session = |(_, line): &(usize, &Line)| matches!(line, Line::Session { .. });
        let mut before = self
            .lines
            .iter()
            .enumerate()
            .rev()
            .skip_while(move |line| !is_session(line));
        let _this_run = before.next();
        before.take_while(move |line| !is_session(line))
    }

    /// What it says of the files that are neither removed by a rule nor lost: the last word of
    /// each.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &FileLine> {
        let lost = self.lines.iter().filter_map(|line| match line {
            Line::Lost { file, .. } => Some(&**file),
            _ => None,
        });
        let removed: BTreeSet<_> = self.removed().chain(lost).collect();
        let lines: BTreeMap<_, _> = self.files().map(|line| (&*line.file, line)).collect();
        let lines = lines.into_iter();
        lines.filter_map(move |(name, line)| (!removed.contains(name)).then_some(line))
    }

    /// The files that were removed by a rule.
    pub fn removed(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter_map(|line| match line {
            Line::Retention { file, .. } => Some(&**file),
            _ => None,
        })
    }
}

/// What a run lacks that was killed: all from this moment on, which is that of the latest
/// entry that is known.
pub(crate) fn killed(from: u64, now: u64) -> Gap {
    Gap::of_recording("killed", Owner::Us, (Some(from), None), now)
}

fn files_of(lines: &[Line]) -> impl Iterator<Item = &FileLine> {
    lines.iter().filter_map(|line| match line {
        Line::File { file, .. } => Some(file),
        _ => None,
    })
}

fn end(gap: &mut Gap, at: u64, by: &str) {
    gap.to_ts = Some(at);
    gap.healed_by = Some(by.into());
}

/// Appends a line to a folder's manifest, and waits until the disk has it. A line before
/// it that was cut is cut off. Several processes may do so at once.
///
/// # Errors
/// Those of the disk. The line is then there or not, and may be appended again.
pub fn append(disk: &dyn Disk, folder: &Path, line: &Line) -> io::Result<()> {
    let path = path_in(folder);
    let mut file = match disk.create(&path) {
        Ok(file) => {
            disk.sync_folder(folder)?;
            file
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => disk.open(&path)?,
        Err(error) => return Err(error),
    };
    // Another process appends, too: nobody but the one with the lock knows the end.
    file.lock()?;
    let end = end_of_lines(&mut file)?;
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end))?;
    let mut text = serde_json::to_vec(line).map_err(io::Error::other)?;
    text.push(b'\n');
    file.write_all(&text)?;
    file.sync_data()
}

/// Where the last line that is whole ends.
fn end_of_lines(file: &mut Box<dyn DiskFile>) -> io::Result<u64> {
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut buffer = [0; 4096];
    while end > 0 {
        let begin = end.saturating_sub(buffer.len() as u64);
        let length = usize::try_from(end - begin).map_err(io::Error::other)?;
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(&mut buffer[..length])?;
        if let Some(at) = memchr::memrchr(b'\n', &buffer[..length]) {
            return Ok(begin + at as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

fn path_in(folder: &Path) -> PathBuf {
    folder.join(MANIFEST)
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
