//! Makes a finished file smaller, for keeping: larger chunks, compressed longer, without an
//! index. Every reader still reads it, from its beginning.
//!
//! What was written is read back and held against what was there before it takes its place.

use std::collections::BTreeMap;
use std::io::{self, Seek, SeekFrom, Write as _};
use std::path::Path;

use ring::digest::{Context, SHA256};

use crate::chunk::{ChunkBuilder, message_bytes};
use crate::disk::{Disk, DiskFile, folder_of};
use crate::format::ChannelName;
use crate::header::Header;
use crate::known::known;
use crate::manifest::{FileLine, Line, append, name_of};
use crate::reader::digest as sha256;
use crate::repair::with_suffix;
use crate::scan::{Chunk, Piece, Scanner};
use crate::segment::{Finished, beginning, hex};
use crate::summary::Summary;

/// What is behind the name of a copy that is being made.
const COPY: &str = "compact";
/// Bytes of a chunk before it is compressed: what the window spans.
const CHUNK: usize = 32 << 20;

/// Why a file was not made smaller.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompactError {
    /// Something of it is damaged, or it is not finished.
    #[error("it is not whole: polypy repair first")]
    NotWhole,
    /// It was changed after it was finished, and nobody has noted so: the manifest's line of the
    /// smaller one would hide it.
    #[error("it was changed after it was finished: polypy repair first, which notes so")]
    Changed,
    /// Another file of the folder is the same.
    #[error("it is a copy of {0}")]
    CopyOf(String),
    /// Another process does the same.
    #[error("another process compacts it")]
    InUse,
    /// What was written is not what was there; that file stays as it was.
    #[error("what was written is not what was there, which stays as it was: please report it")]
    Differs,
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] io::Error),
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compacted {
    /// It is in its place, and was so many bytes long.
    Smaller(Finished, u64),
    /// It would not be smaller, and is as it was.
    AsItWas,
}

/// Makes a finished file smaller, and says so in the manifest of its folder. `now` is in
/// nanoseconds since the epoch. Others may record to the folder meanwhile.
///
/// # Errors
/// Says why it is as it was.
pub fn compact(disk: &dyn Disk, path: &Path, now: u64) -> Result<Compacted, CompactError> {
    let known = known(disk, path)?;
    if let Some(other) = &known.copy_of {
        return Err(CompactError::CopyOf(other.clone()));
    }
    let target = with_suffix(path, COPY);
    let mut to = match disk.create(&target) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => disk.open(&target)?,
        other => other?,
    };
    // What a run that was killed has left.
    if !to.try_lock()? {
        return Err(CompactError::InUse);
    }
    to.set_len(0)?;
    let written = Writing::new(to).and_then(|writing| writing.all(disk, path));
    let written = match written {
        Ok(written) => written,
        Err(error) => {
            disk.remove(&target)?;
            return Err(error);
        }
    };
    let mut was = disk.read(path)?;
    let bytes = was.seek(SeekFrom::End(0))?;
    was.rewind()?;
    let was_sha256 = sha256(was)?;
    let again = digest_of(disk.read(&target)?)?;
    let refused = if known.should_have(&was_sha256).is_some() {
        Some(CompactError::Changed)
    } else {
        (again != written.content).then_some(CompactError::Differs)
    };
    if let Some(refused) = refused {
        disk.remove(&target)?;
        return Err(refused);
    }
    let mut file = written.file.clone();
    if file.bytes >= bytes {
        disk.remove(&target)?;
        return Ok(Compacted::AsItWas);
    }
    file.path = path.to_owned();
    let folder = folder_of(path);
    // First: a reader that finds the file before its line takes it for one that was changed.
    let (at, name) = (now / 1_000, name_of(path));
    append(
        disk,
        folder,
        &Line::Compaction {
            at,
            file: name,
            was_sha256,
        },
    )?;
    let line = FileLine::of(&file);
    append(disk, folder, &Line::File { at, file: line })?;
    disk.rename(&target, path)?;
    disk.sync_folder(folder)?;
    Ok(Compacted::Smaller(file, bytes))
}

/// Looks whether a file that was compacted before can still be read.
///
/// # Errors
/// It cannot, or the disk fails.
pub fn check_compacted(disk: &dyn Disk, path: &Path) -> Result<(), CompactError> {
    let mut scanner = Scanner::new(disk.read(path)?)?;
    while let Some(piece) = scanner.next_piece()? {
        match piece {
            Piece::Header(_) | Piece::Chunk(_) | Piece::Finished => {}
            Piece::Damaged(_) | Piece::Torn(_) => return Err(CompactError::NotWhole),
        }
    }
    Ok(())
}

struct Written {
    /// Locked for as long as it is not in its place.
    _lock: Box<dyn DiskFile>,
    file: Finished,
    /// Of all messages.
    content: String,
}

struct Writing {
    to: Box<dyn DiskFile>,
    chunk: ChunkBuilder,
    summary: Summary,
    channels: BTreeMap<u16, ChannelName>,
    length: u64,
    frames: u64,
    checksum: crc32fast::Hasher,
    digest: Context,
    content: Context,
}

impl Writing {
    fn new(to: Box<dyn DiskFile>) -> Result<Self, CompactError> {
        Ok(Self {
            to,
            chunk: ChunkBuilder::compact()?,
            summary: Summary::default(),
            channels: BTreeMap::new(),
            length: 0,
            frames: 0,
            checksum: crc32fast::Hasher::new(),
            digest: Context::new(&SHA256),
            content: Context::new(&SHA256),
        })
    }

    fn all(mut self, disk: &dyn Disk, path: &Path) -> Result<Written, CompactError> {
        let mut scanner = Scanner::new(disk.read(path)?)?;
        while let Some(piece) = scanner.next_piece()? {
            match piece {
                Piece::Header(header) => self.begin(&header)?,
                Piece::Chunk(chunk) => self.take(&chunk)?,
                Piece::Finished => {}
                Piece::Damaged(_) | Piece::Torn(_) => return Err(CompactError::NotWhole),
            }
        }
        self.end_chunk()?;
        self.summary.has_no_index = true;
        let ending = self
            .summary
            .ending(self.length, self.checksum.clone().finalize());
        self.append(&ending)?;
        self.to.sync_data()?;
        let file = Finished {
            path: path.to_owned(),
            bytes: self.length,
            sha256: hex(self.digest.finish().as_ref()),
            times: self.summary.bounds(),
            entries: self.summary.counts().values().sum(),
            frames: self.frames,
            chunks: self.summary.chunks.len(),
        };
        let content = hex(self.content.finish().as_ref());
        Ok(Written {
            _lock: self.to,
            file,
            content,
        })
    }

    fn begin(&mut self, header: &Header) -> io::Result<()> {
        let (out, summary) = beginning(header);
        self.summary = summary;
        self.append(&out)
    }

    fn take(&mut self, chunk: &Chunk) -> Result<(), CompactError> {
        if self.length == 0 {
            return Err(CompactError::NotWhole);
        }
        for (number, name) in &chunk.whole.channels {
            let known = self.channels.entry(*number).or_insert_with(|| name.clone());
            if known != name {
                return Err(CompactError::NotWhole);
            }
        }
        for message in chunk.whole.messages() {
            let name = &self.channels[&message.channel];
            note(
                &mut self.content,
                &name.topic,
                message.sequence,
                message.at,
                message.data,
            );
            self.frames += u64::from(name.schema == 0);
            let waiting = self.chunk.len() + message_bytes(message.data.len());
            if waiting > CHUNK && !self.chunk.is_empty() {
                self.end_chunk()?;
            }
            let name = &self.channels[&message.channel];
            self.chunk.message(
                (message.channel, name),
                (message.sequence, message.at),
                |out| out.extend_from_slice(message.data),
            );
        }
        Ok(())
    }

    fn end_chunk(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let mut out = Vec::new();
        let row = self.chunk.end(self.length, &mut out)?;
        for channel in row.counts.keys() {
            let name = &self.channels[channel];
            self.summary
                .channels
                .entry(*channel)
                .or_insert_with(|| name.clone());
        }
        self.summary.chunks.push(row);
        self.append(&out)
    }

    fn append(&mut self, out: &[u8]) -> io::Result<()> {
        self.to.write_all(out)?;
        self.checksum.update(out);
        self.digest.update(out);
        self.length += out.len() as u64;
        Ok(())
    }
}

/// A message of a file counts towards its digest.
fn note(digest: &mut Context, topic: &str, sequence: u32, at: u64, data: &[u8]) {
    for text in [topic.as_bytes(), data] {
        digest.update(&(text.len() as u64).to_le_bytes());
        digest.update(text);
    }
    digest.update(&sequence.to_le_bytes());
    digest.update(&at.to_le_bytes());
}

/// The digest of all messages of a file, which has to be whole.
fn digest_of(file: Box<dyn DiskFile>) -> Result<String, CompactError> {
    let mut scanner = Scanner::new(file)?;
    let mut digest = Context::new(&SHA256);
    while let Some(piece) = scanner.next_piece()? {
        match piece {
            Piece::Chunk(chunk) => {
                for entry in chunk.raw_entries() {
                    note(
                        &mut digest,
                        entry.channel,
                        entry.sequence,
                        entry.at,
                        entry.data,
                    );
                }
            }
            Piece::Header(_) | Piece::Finished => {}
            Piece::Damaged(_) | Piece::Torn(_) => return Err(CompactError::Differs),
        }
    }
    Ok(hex(digest.finish().as_ref()))
}
