//! One file of a recording while it is written.
//!
//! Entries are collected in memory; [`Segment::end_chunk`] compresses them and appends
//! them in one write, together with the index of their places. Only what is written
//! whole is kept: after an error nothing of the file is trusted but its whole chunks, and
//! [`Segment::fail`] cuts it there.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use polypy_core::recording::{Entry, Recorded};
use ring::digest::{Context, SHA256};

use crate::chunk::{ChunkBuilder, LIVE_LEVEL, MOST_BYTES, message_bytes};
use crate::disk::{Disk, DiskFile, folder_of};
use crate::entry::{FIRST_SOCKET, encode, frames_topic};
use crate::format::{ChannelName, MAGIC, op, record, text};
use crate::header::Header;
use crate::summary::{Summary, write_schemas};

/// Sockets of which a file can have frames; beyond, a new file has to begin.
pub const MOST_SOCKETS: usize = 30_000;
/// The longest frame that is recorded.
pub const LONGEST_FRAME: usize = 48 << 20;
/// What is behind a file's name while it is written.
pub const PART: &str = "part";

/// A file that is being written.
pub struct Segment {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    part: PathBuf,
    chunk: ChunkBuilder,
    summary: Summary,
    /// Channel by socket.
    sockets: HashMap<u64, (u16, ChannelName)>,
    /// Bytes of the file that are whole: its beginning and its chunks.
    whole: u64,
    checksum: crc32fast::Hasher,
    digest: Context,
    state: State,
    /// The frames of all chunks and of the one that is collected.
    frames: u64,
    out: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Writing,
    /// The disk failed. What it holds beyond the whole chunks nobody knows, and nothing
    /// is written or synced again.
    Failed,
}

/// A file that was finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Its path.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// The earliest and the latest time of an entry, in nanoseconds since the epoch.
    pub times: Option<(u64, u64)>,
    /// Entries.
    pub entries: u64,
    /// Those that are frames of sockets.
    pub frames: u64,
    /// Chunks.
    pub chunks: usize,
}

/// A file that was given up.
#[derive(Debug)]
pub struct Failed {
    /// The path that it has kept: the file is to be repaired.
    pub path: PathBuf,
    /// Bytes that are whole.
    pub whole: u64,
    /// Chunks among these.
    pub chunks: usize,
    /// Entries that were collected and are lost.
    pub lost_bytes: usize,
    /// Why it could not even be cut, if it could not. Whoever repairs it will.
    pub error: Option<io::Error>,
}

impl Segment {
    /// Begins a file that will be called `path`, and is called `path.part` till then.
    ///
    /// # Errors
    /// Those of the disk; a file of that name may be left, with nothing in it.
    pub fn create(disk: &dyn Disk, path: &Path, header: &Header) -> io::Result<Self> {
        Self::create_at(LIVE_LEVEL, disk, path, header)
    }

    /// The same, compressed at this level of zstd, from 1 to 19.
    ///
    /// # Errors
    /// As for [`create`](Self::create).
    pub fn create_at(
        level: i32,
        disk: &dyn Disk,
        path: &Path,
        header: &Header,
    ) -> io::Result<Self> {
        let part = part_of(path);
        let chunk = ChunkBuilder::new(level)?;
        let mut file = disk.create(&part)?;
        let (beginning, summary) = beginning(header);
        file.write_all(&beginning)?;
        disk.sync_folder(folder_of(&part))?;
        let mut checksum = crc32fast::Hasher::new();
        let mut digest = Context::new(&SHA256);
        checksum.update(&beginning);
        digest.update(&beginning);
        Ok(Self {
            file,
            path: path.to_owned(),
            part,
            chunk,
            summary,
            sockets: HashMap::new(),
            whole: beginning.len() as u64,
            checksum,
            digest,
            state: State::Writing,
            frames: 0,
            out: Vec::new(),
        })
    }

    /// The name that the file will have.
    pub fn name(&self) -> String {
        crate::manifest::name_of(&self.path)
    }

    /// Where it is while it is written.
    pub(crate) fn part(&self) -> &Path {
        &self.part
    }

    /// Frames, those that wait among them.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Sockets of which it has frames.
    pub fn sockets(&self) -> usize {
        self.sockets.len()
    }

    /// Bytes of the file, without those that wait.
    pub fn bytes(&self) -> u64 {
        self.whole
    }

    /// Bytes that wait for the end of the chunk.
    pub fn waiting(&self) -> usize {
        self.chunk.len()
    }

    /// Whether the frames of a further socket fit in.
    pub fn has_channel_for(&self, socket: u64) -> bool {
        self.sockets.len() < MOST_SOCKETS || self.sockets.contains_key(&socket)
    }

    /// Adds a frame. `false`: it was left out, for it is longer than [`LONGEST_FRAME`],
    /// the socket has no channel, or the chunk has to end first.
    pub fn frame(
        &mut self,
        (connection, socket): (&str, u64),
        sequence: u32,
        at: u64,
        bytes: &[u8],
    ) -> bool {
        let fits = self.chunk.len() + message_bytes(bytes.len()) <= MOST_BYTES - (1 << 20);
        if bytes.len() > LONGEST_FRAME || !fits || !self.has_channel_for(socket) {
            return false;
        }
        let next = usize::from(FIRST_SOCKET) + self.sockets.len();
        let (number, name) = self.sockets.entry(socket).or_insert_with(|| {
            let topic = frames_topic(connection, socket);
            let name = ChannelName { schema: 0, topic };
            // There are fewer sockets than numbers.
            (u16::try_from(next).unwrap_or(u16::MAX), name)
        });
        let (number, name) = (*number, &*name);
        self.chunk.message((number, name), (sequence, at), |out| {
            out.extend_from_slice(bytes)
        });
        self.summary
            .channels
            .entry(number)
            .or_insert_with(|| name.clone());
        self.frames += 1;
        true
    }

    /// Adds an entry. `false`: as for [`frame`](Self::frame).
    pub fn write(&mut self, recorded: &Recorded) -> bool {
        if let Entry::Frame(frame) = &recorded.entry {
            let socket = (&*frame.connection, frame.socket);
            return self.frame(socket, frame.sequence, recorded.at, &frame.bytes);
        }
        let Some((number, name, data)) = encode(&recorded.entry) else {
            return false;
        };
        if self.chunk.len() + message_bytes(data.len()) > MOST_BYTES - (1 << 20) {
            return false;
        }
        self.chunk
            .message((number, &name), (0, recorded.at), |out| {
                out.extend_from_slice(&data)
            });
        self.summary.channels.entry(number).or_insert(name);
        true
    }

    /// Appends what waits to the file, if anything does. Returns how long the file is.
    ///
    /// # Errors
    /// Those of the disk, after which there is only [`fail`](Self::fail).
    pub fn end_chunk(&mut self) -> io::Result<u64> {
        self.check()?;
        if self.chunk.is_empty() {
            return Ok(self.whole);
        }
        self.out.clear();
        let row = self.chunk.end(self.whole, &mut self.out)?;
        let written = self.file.write_all(&self.out);
        self.keep(written)?;
        self.checksum.update(&self.out);
        self.digest.update(&self.out);
        self.whole += self.out.len() as u64;
        self.summary.chunks.push(row);
        Ok(self.whole)
    }

    /// Waits until the disk has all chunks that have ended.
    ///
    /// # Errors
    /// As for [`end_chunk`](Self::end_chunk).
    pub fn sync(&mut self) -> io::Result<()> {
        self.check()?;
        let synced = self.file.sync_data();
        self.keep(synced)
    }

    /// Ends the file: the last chunk, what there is in it and where, its name.
    ///
    /// # Errors
    /// Those of the disk, and what is left of the file.
    pub fn finish(mut self, disk: &dyn Disk) -> Result<Finished, (io::Error, Failed)> {
        match self.try_finish(disk) {
            Ok(finished) => Ok(finished),
            Err(error) => {
                self.state = State::Failed;
                Err((error, self.fail()))
            }
        }
    }

    fn try_finish(&mut self, disk: &dyn Disk) -> io::Result<Finished> {
        self.end_chunk()?;
        let ending = self
            .summary
            .ending(self.whole, self.checksum.clone().finalize());
        self.file.write_all(&ending)?;
        self.file.sync_data()?;
        disk.rename(&self.part, &self.path)?;
        disk.sync_folder(folder_of(&self.path))?;
        self.digest.update(&ending);
        Ok(Finished {
            path: self.path.clone(),
            bytes: self.whole + ending.len() as u64,
            sha256: hex(self.digest.clone().finish().as_ref()),
            times: self.summary.bounds(),
            entries: self.summary.counts().values().sum(),
            frames: self.frames,
            chunks: self.summary.chunks.len(),
        })
    }

    /// Gives the file up: cuts it behind its last whole chunk, and does not sync it.
    pub fn fail(mut self) -> Failed {
        let error = self.file.set_len(self.whole).err();
        Failed {
            path: self.part,
            whole: self.whole,
            chunks: self.summary.chunks.len(),
            lost_bytes: self.chunk.len(),
            error,
        }
    }

    fn check(&self) -> io::Result<()> {
        match self.state {
            State::Writing => Ok(()),
            State::Failed => Err(io::Error::other("the file was given up")),
        }
    }

    fn keep(&mut self, done: io::Result<()>) -> io::Result<()> {
        if done.is_err() {
            self.state = State::Failed;
        }
        done
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment")
            .field("path", &self.path)
            .field("whole", &self.whole)
            .field("chunk", &self.chunk)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// The name that a file has while it is written.
pub(crate) fn part_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(PART);
    name.into()
}

/// What a file begins with, and what its summary says of that.
pub(crate) fn beginning(header: &Header) -> (Vec<u8>, Summary) {
    let mut out = MAGIC.to_vec();
    record(&mut out, op::HEADER, |out| {
        text(out, "polypy");
        text(out, concat!("polypy-archive ", env!("CARGO_PKG_VERSION")));
    });
    let from = out.len() as u64;
    header.write(&mut out);
    let length = out.len() as u64 - from;
    write_schemas(&mut out);
    let mut summary = Summary::default();
    summary.metadata.push((from, length, Header::name()));
    (out, summary)
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // A text takes all.
        let _taken = write!(text, "{byte:02x}");
        text
    })
}
