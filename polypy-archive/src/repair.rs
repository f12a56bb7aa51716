//! Makes a file that was cut or damaged one that every reader reads, and says in it what
//! is missing.
//!
//! A file that was only cut is ended in place: behind its last whole chunk come the index
//! of that chunk, if it was cut, a gap, and the ending. Of a file that is damaged a copy
//! takes the place, with a gap where each damaged part was; the file itself stays, as
//! `.damaged`. A repair that is killed between the two leaves that name alone, and the next
//! one makes the copy.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use polypy_core::Owner;
use polypy_core::recording::{Entry, Gap, GapScope, Recorded};
use ring::digest::{Context, SHA256};

use crate::chunk::{ChunkBuilder, Index, LIVE_LEVEL, write_indexes};
use crate::disk::{Disk, DiskFile, folder_of};
use crate::entry::encode;
use crate::format::HEAD;
use crate::header::Header;
use crate::known::Known;
use crate::scan::{Chunk, Damaged, DamagedPart, Piece, Scanner, Torn};
use crate::segment::{Finished, PART, beginning, hex};
use crate::summary::Summary;

/// What is behind the name of a copy that is being made.
pub(crate) const COPY: &str = "repair";
/// What is behind the name of a file in whose place a copy is.
pub(crate) const DAMAGED: &str = "damaged";

/// What was done to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Repaired {
    /// Nothing: it is whole.
    Whole(Finished),
    /// Nothing: there is not one entry in it that can be read, and nobody knows what it was.
    Empty,
    /// Nothing: the file of this name is the same.
    CopyOf(String),
    /// Nothing: it can be read to its end, and is not the file that was finished.
    Changed {
        /// The file.
        file: Finished,
        /// The SHA-256 of the one that was finished.
        was_sha256: String,
    },
    /// It was cut, and ended in place.
    Ended {
        /// The file.
        file: Finished,
        /// Bytes behind its last whole chunk, which are gone.
        cut: u64,
        /// What it says is missing; `None` if only the ending was.
        gap: Option<Gap>,
    },
    /// It was damaged, and a copy is in its place.
    Copied {
        /// The copy.
        file: Finished,
        /// Where the damaged file is.
        damaged: PathBuf,
        /// What the copy says is missing.
        gaps: Vec<Gap>,
    },
    /// It is not there, and the manifest says now what is missing with it.
    Lost(Gap),
    /// No file can say that this is missing, and the manifest says it now.
    Noted(Gap),
}

impl Repaired {
    /// The file as it is now, if there is one.
    pub fn file(&self) -> Option<&Finished> {
        match self {
            Self::Empty | Self::CopyOf(_) | Self::Lost(_) | Self::Noted(_) => None,
            Self::Whole(file)
            | Self::Changed { file, .. }
            | Self::Ended { file, .. }
            | Self::Copied { file, .. } => Some(file),
        }
    }
}

/// Repairs one file, which nobody may be writing. `now` is in nanoseconds since the epoch.
///
/// # Errors
/// Those of the disk. Whatever was done till then, another try does the rest.
pub fn repair(disk: &dyn Disk, path: &Path, now: u64) -> io::Result<Repaired> {
    check_place(disk, path)?;
    let survey = Survey::of(disk, path)?;
    let known = Known::of(disk, path, survey.header.as_ref())?;
    if let Some(name) = known.copy_of {
        return Ok(Repaired::CopyOf(name));
    }
    let is_nothing_whole = survey.summary.chunks.is_empty();
    let is_lost = survey.torn.is_some() || !survey.damaged.is_empty();
    match survey.torn {
        // What was finished had something in it, and there is a gap where that was.
        _ if is_nothing_whole && known.line.is_some() && is_lost => copy(disk, path, &known, now),
        _ if is_nothing_whole && is_lost => Ok(Repaired::Empty),
        _ if !survey.damaged.is_empty() => copy(disk, path, &known, now),
        Some(torn) => end(disk, path, (survey, torn), &known, now),
        None => {
            let name = final_name(path);
            if name != path {
                disk.rename(path, &name)?;
                sync_folder_of(disk, &name)?;
            }
            let mut file = disk.read(&name)?;
            let (_, digest) = checksums(&mut file, u64::MAX)?;
            let file = survey.finished(name, disk, &digest)?;
            Ok(match known.should_have(&file.sha256).map(str::to_owned) {
                Some(was_sha256) => Repaired::Changed { file, was_sha256 },
                None => Repaired::Whole(file),
            })
        }
    }
}

/// Refuses a file that was moved aside while its copy is in its place: that is what is read, and
/// may have been made smaller since.
fn check_place(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    let is_aside = path.extension().is_some_and(|ending| ending == DAMAGED);
    let name = final_name(path);
    if !is_aside || disk.read(&name).is_err() {
        return Ok(());
    }
    let copy = name.display();
    let text = format!("a repair has put {copy} in its place: move that elsewhere to repair again");
    Err(io::Error::new(io::ErrorKind::AlreadyExists, text))
}

/// What is known of a file once it was read.
#[derive(Debug, Default)]
struct Survey {
    summary: Summary,
    /// The places in its last chunk.
    last_index: Index,
    header: Option<Header>,
    /// What its last chunk says is missing from there on, if that says nothing else: an
    /// earlier repair has got so far, or the run was stopped.
    said: Option<Gap>,
    damaged: Vec<Damaged>,
    torn: Option<Torn>,
}

impl Survey {
    fn of(disk: &dyn Disk, path: &Path) -> io::Result<Self> {
        let mut scanner = Scanner::new(disk.read(path)?)?;
        let mut survey = Self::default();
        while let Some(piece) = scanner.next_piece()? {
            match piece {
                Piece::Chunk(chunk) => {
                    survey.said = open_gap_alone(&chunk);
                    let whole = chunk.whole;
                    survey.summary.channels.extend(whole.channels);
                    survey.summary.chunks.push(whole.row);
                    survey.last_index = whole.index;
                }
                Piece::Damaged(damaged) => survey.damaged.push(damaged),
                Piece::Torn(torn) => survey.torn = Some(torn),
                Piece::Header(header) => survey.header = Some(header),
                Piece::Finished => {}
            }
        }
        survey.summary.metadata = scanner.metadata().to_vec();
        Ok(survey)
    }

    fn finished(&self, path: PathBuf, disk: &dyn Disk, digest: &Context) -> io::Result<Finished> {
        let bytes = disk.read(&path)?.seek(SeekFrom::End(0))?;
        let channels = &self.summary.channels;
        let is_frames = |channel: &u16| channels.get(channel).is_some_and(|name| name.schema == 0);
        let counts = self.summary.counts();
        let frames = counts.iter().filter(|(channel, _)| is_frames(channel));
        Ok(Finished {
            path,
            bytes,
            sha256: hex(digest.clone().finish().as_ref()),
            times: self.summary.bounds(),
            entries: counts.values().sum(),
            frames: frames.map(|(_, count)| count).sum(),
            chunks: self.summary.chunks.len(),
        })
    }
}

/// Ends a file that was cut.
fn end(
    disk: &dyn Disk,
    path: &Path,
    (mut survey, torn): (Survey, Torn),
    known: &Known,
    now: u64,
) -> io::Result<Repaired> {
    let mut out = Vec::new();
    // Of the index of the last chunk there may be a part.
    let before = survey.summary.chunks.iter().rev().nth(1);
    let is_indexed = before.is_none_or(|row| !row.indexes.is_empty());
    let mut length = torn.from;
    if let Some(last) = survey.summary.chunks.last_mut()
        && last.indexes.is_empty()
        && is_indexed
    {
        length = last.end();
        write_indexes(&survey.last_index, last, &mut out);
    }
    let said = survey.said.take();
    let new = (said.is_none() && !torn.has_all_entries).then(|| known.gap_behind(torn.after, now));
    if let Some(gap) = &new {
        let at = torn.after.unwrap_or(now);
        append_gap(gap, at, length, &mut survey.summary, &mut out)?;
    }
    let gap = said.or(new);
    let mut file = disk.open(path)?;
    file.set_len(length)?;
    file.seek(SeekFrom::Start(0))?;
    let (mut checksum, mut digest) = checksums(&mut file, length)?;
    checksum.update(&out);
    let ending = survey
        .summary
        .ending(length + out.len() as u64, checksum.finalize());
    out.extend_from_slice(&ending);
    file.seek(SeekFrom::Start(length))?;
    file.write_all(&out)?;
    file.sync_data()?;
    let name = final_name(path);
    if name != path {
        disk.rename(path, &name)?;
        sync_folder_of(disk, &name)?;
    }
    digest.update(&out);
    Ok(Repaired::Ended {
        file: survey.finished(name, disk, &digest)?,
        cut: torn.to - length,
        gap,
    })
}

/// Puts a copy without what is damaged in the place of a file.
fn copy(disk: &dyn Disk, path: &Path, known: &Known, now: u64) -> io::Result<Repaired> {
    let name = final_name(path);
    let target = with_suffix(&name, COPY);
    if disk.read(&target).is_ok() {
        disk.remove(&target)?;
    }
    let mut copy = Copy {
        from: disk.read(path)?,
        to: disk.create(&target)?,
        survey: Survey::default(),
        length: 0,
        checksum: crc32fast::Hasher::new(),
        digest: Context::new(&SHA256),
        missing: None,
        gaps: Vec::new(),
        known,
        now,
    };
    copy.run(Scanner::new(disk.read(path)?)?)?;
    let damaged = with_suffix(&name, DAMAGED);
    // In this order: the file is there under one name or the other at any moment. A repair that
    // was killed in between has moved it aside already.
    if path != damaged {
        disk.rename(path, &damaged)?;
    }
    disk.rename(&target, &name)?;
    sync_folder_of(disk, &name)?;
    Ok(Repaired::Copied {
        file: copy.survey.finished(name, disk, &copy.digest)?,
        damaged,
        gaps: copy.gaps,
    })
}

struct Copy<'a> {
    from: Box<dyn DiskFile>,
    to: Box<dyn DiskFile>,
    survey: Survey,
    length: u64,
    checksum: crc32fast::Hasher,
    digest: Context,
    /// Entries were lost after this moment, and the gap is not written yet.
    missing: Option<Option<u64>>,
    gaps: Vec<Gap>,
    known: &'a Known,
    now: u64,
}

impl Copy<'_> {
    fn run(&mut self, mut scanner: Scanner<Box<dyn DiskFile>>) -> io::Result<()> {
        let mut has_begun = false;
        while let Some(piece) = scanner.next_piece()? {
            if !has_begun && !matches!(piece, Piece::Damaged(_)) {
                has_begun = true;
                let header = match &piece {
                    Piece::Header(header) => header.clone(),
                    _ => Header::default(),
                };
                let (out, summary) = beginning(&header);
                self.survey.summary = summary;
                self.append(&out)?;
            }
            match piece {
                Piece::Header(_) => {}
                Piece::Chunk(chunk) => {
                    let first = chunk.times().map(|(first, _)| first);
                    self.write_missing(first)?;
                    self.chunk(chunk.whole)?;
                }
                Piece::Damaged(damaged) if damaged.what == DamagedPart::Entries => {
                    // What is lost in a row is one gap.
                    let _known = self.missing.get_or_insert(damaged.after);
                }
                Piece::Damaged(_) => {}
                Piece::Torn(torn) => {
                    self.write_missing(None)?;
                    if !torn.has_all_entries {
                        let gap = self.known.gap_behind(torn.after, self.now);
                        self.gap(gap, torn.after)?;
                    }
                }
                Piece::Finished => self.write_missing(None)?,
            }
        }
        let checksum = self.checksum.clone().finalize();
        let ending = self.survey.summary.ending(self.length, checksum);
        self.append(&ending)?;
        self.to.sync_data()
    }

    fn append(&mut self, out: &[u8]) -> io::Result<()> {
        self.to.write_all(out)?;
        self.checksum.update(out);
        self.digest.update(out);
        self.length += out.len() as u64;
        Ok(())
    }

    /// The same bytes, in another place. The times in front are those of its entries, for
    /// no checksum covers them.
    fn chunk(&mut self, whole: crate::chunk::WholeChunk) -> io::Result<()> {
        let mut row = whole.row;
        let length = usize::try_from(row.length).map_err(io::Error::other)?;
        let mut out = vec![0; length];
        self.from.seek(SeekFrom::Start(row.offset))?;
        self.from.read_exact(&mut out)?;
        let (first, last) = row.bounds.unwrap_or((0, 0));
        out[HEAD..HEAD + 8].copy_from_slice(&first.to_le_bytes());
        out[HEAD + 8..HEAD + 16].copy_from_slice(&last.to_le_bytes());
        row.offset = self.length;
        write_indexes(&whole.index, &mut row, &mut out);
        self.append(&out)?;
        self.survey.summary.channels.extend(whole.channels);
        self.survey.summary.chunks.push(row);
        Ok(())
    }

    fn write_missing(&mut self, until: Option<u64>) -> io::Result<()> {
        let Some(after) = self.missing.take() else {
            return Ok(());
        };
        let micros = |at: Option<u64>| at.map(|at| at / 1_000);
        let line = self.known.line.as_ref();
        // Of what was finished the manifest knows the times.
        let times = (
            micros(after).or_else(|| line?.from_ts),
            micros(until).or_else(|| line?.to_ts),
        );
        let gap = Gap::of_recording("damaged", Owner::Us, times, self.now / 1_000);
        self.gap(gap, after.or(until))
    }

    fn gap(&mut self, gap: Gap, at: Option<u64>) -> io::Result<()> {
        let mut out = Vec::new();
        let at = at.unwrap_or(self.now);
        append_gap(&gap, at, self.length, &mut self.survey.summary, &mut out)?;
        self.append(&out)?;
        self.gaps.push(gap);
        Ok(())
    }
}

/// What a chunk says is missing from there on, if it says nothing else.
fn open_gap_alone(chunk: &Chunk) -> Option<Gap> {
    let mut entries = chunk.entries();
    match (entries.next()?.ok()?.entry, entries.next()) {
        (Entry::Gap(gap), None) if gap.scope == GapScope::Recording => Some(gap),
        _ => None,
    }
}

/// Appends a chunk with a gap to what is appended to a file of this length. Its time is
/// that of the entry before, so that the file's span stays as it was.
fn append_gap(
    gap: &Gap,
    at: u64,
    length: u64,
    summary: &mut Summary,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let recorded = Recorded {
        at,
        entry: Entry::Gap(gap.clone()),
    };
    let Some((number, name, data)) = encode(&recorded.entry) else {
        return Ok(());
    };
    let mut chunk = ChunkBuilder::new(LIVE_LEVEL)?;
    chunk.message((number, &name), (0, at), |out| out.extend_from_slice(&data));
    let row = chunk.end(length + out.len() as u64, out)?;
    summary.channels.entry(number).or_insert(name);
    summary.chunks.push(row);
    Ok(())
}

/// The checksum and the digest of a file's first bytes, from where it is read.
fn checksums(
    file: &mut Box<dyn DiskFile>,
    length: u64,
) -> io::Result<(crc32fast::Hasher, Context)> {
    let (mut checksum, mut digest) = (crc32fast::Hasher::new(), Context::new(&SHA256));
    let mut buffer = vec![0; 1 << 20];
    let mut rest = file.take(length);
    loop {
        let read = rest.read(&mut buffer)?;
        if read == 0 {
            return Ok((checksum, digest));
        }
        checksum.update(&buffer[..read]);
        digest.update(&buffer[..read]);
    }
}

/// The name of a file once it is finished, also of one that a repair has moved aside.
pub(crate) fn final_name(path: &Path) -> PathBuf {
    match path.extension() {
        Some(extension) if extension == PART || extension == DAMAGED => path.with_extension(""),
        _ => path.to_owned(),
    }
}

pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

fn sync_folder_of(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    disk.sync_folder(folder_of(path))
}
