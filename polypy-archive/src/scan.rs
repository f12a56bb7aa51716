//! Reads a file of a recording piece by piece, whatever became of it.
//!
//! Nothing is believed but checksums. A chunk counts with its own or not at all; behind
//! one that is damaged the next whole one is searched for. The ending counts if its
//! checksum and that of all data before it hold.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};

use memchr::memmem;
use polypy_core::recording::Recorded;
use zstd::bulk::Decompressor;

use crate::chunk::{Bounds, MOST_BYTES, WholeChunk, write_indexes};
use crate::entry::{EntryError, decode, socket_of};
use crate::format::{CHUNK_FIELDS, COMPRESSION, DATA_END, Fields, HEAD, MAGIC, op};
use crate::header::Header;
use crate::summary::SHORTEST_ENDING;

/// Nothing but a chunk is longer; and no chunk is, not even if nothing in it could be
/// compressed.
const LONGEST_RECORD: u64 = MOST_BYTES as u64 + (1 << 20);
/// Bytes that are searched at once.
const WINDOW: usize = 1 << 20;

/// What there is at one place of a file.
#[derive(Debug)]
#[non_exhaustive]
pub enum Piece {
    /// What the file is.
    Header(Header),
    /// A whole chunk.
    Chunk(Chunk),
    /// Something that cannot be read.
    Damaged(Damaged),
    /// The file ends here without an ending: it was cut, or is still written.
    Torn(Torn),
    /// The file ends as it should.
    Finished,
}

/// A part of a file that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged {
    /// Where it begins.
    pub from: u64,
    /// Where the file can be read again.
    pub to: u64,
    /// What it was.
    pub what: DamagedPart,
    /// The latest time of an entry before it, in nanoseconds since the epoch.
    pub after: Option<u64>,
}

/// What is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamagedPart {
    /// Entries may have been there.
    Entries,
    /// No entry is concerned: an index, a chunk's times, the file's header or ending.
    Description,
}

/// The end of a file that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Torn {
    /// Where what is whole ends.
    pub from: u64,
    /// How long the file is.
    pub to: u64,
    /// The latest time of an entry before it, in nanoseconds since the epoch.
    pub after: Option<u64>,
    /// Whether all entries had been written, and only the file's ending is missing.
    pub has_all_entries: bool,
}

/// A whole chunk of entries.
#[derive(Debug)]
pub struct Chunk {
    pub(crate) whole: WholeChunk,
}

impl Chunk {
    /// Where it is in the file.
    pub fn offset(&self) -> u64 {
        self.whole.row.offset
    }

    /// Where what is behind it begins, but for its index.
    pub fn end(&self) -> u64 {
        self.whole.row.end()
    }

    /// The earliest and the latest time of an entry, in nanoseconds since the epoch.
    pub fn times(&self) -> Option<(u64, u64)> {
        self.whole.row.bounds
    }

    /// How many entries there are in it.
    pub fn len(&self) -> u64 {
        self.whole.row.counts.values().sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its entries as they stand in the file, undecoded, in the order in which they were
    /// written.
    pub fn raw_entries(&self) -> impl Iterator<Item = RawEntry<'_>> + '_ {
        self.whole.messages().map(|message| {
            let channel = self.whole.channels.get(&message.channel);
            RawEntry {
                at: message.at,
                channel: channel.map_or("", |channel| &channel.topic),
                sequence: message.sequence,
                data: message.data,
            }
        })
    }

    /// Its entries, in the order in which they were written.
    pub fn entries(&self) -> impl Iterator<Item = Result<Recorded, EntryError>> + '_ {
        self.raw_entries().map(RawEntry::decode)
    }
}

/// An entry as it stands in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawEntry<'a> {
    /// When it was received or happened, in nanoseconds since the epoch.
    pub at: u64,
    /// The name of its channel: see [`entry`](crate::entry).
    pub channel: &'a str,
    /// Of a frame, its number among those of its socket.
    pub sequence: u32,
    /// A frame as it was received; else JSON.
    pub data: &'a [u8],
}

impl RawEntry<'_> {
    /// What it says.
    ///
    /// # Errors
    /// It is of a channel of a later version, or is not what its channel holds.
    pub fn decode(self) -> Result<Recorded, EntryError> {
        decode(&self)
    }

    /// The socket whose frame it is, if it is a frame.
    pub fn socket(&self) -> Option<u64> {
        socket_of(self.channel).map(|(_, socket)| socket)
    }
}

/// Reads pieces, one after the other.
pub struct Scanner<R> {
    input: R,
    length: u64,
    at: u64,
    /// Of all data before `at`.
    checksum: crc32fast::Hasher,
    buffer: Vec<u8>,
    decompressor: Decompressor<'static>,
    /// Memory for the next chunk's records.
    spare: Vec<u8>,
    last: Bounds,
    /// Whether anything was named as damaged: then the checksum of all data says no more.
    has_damage: bool,
    /// Where the data were found to end, all of them being there.
    data_end: Option<u64>,
    /// Place, length and name of each record about the file itself.
    metadata: Vec<(u64, u64, String)>,
    /// What was found and is told next.
    ready: VecDeque<Piece>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Beginning,
    Data,
    End,
}

impl<R: Read + Seek> Scanner<R> {
    /// Reads this file from its beginning.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn new(mut input: R) -> io::Result<Self> {
        let length = input.seek(SeekFrom::End(0))?;
        input.seek(SeekFrom::Start(0))?;
        Ok(Self {
            input,
            length,
            at: 0,
            checksum: crc32fast::Hasher::new(),
            buffer: Vec::new(),
            decompressor: Decompressor::new()?,
            spare: Vec::new(),
            last: None,
            has_damage: false,
            data_end: None,
            metadata: Vec::new(),
            ready: VecDeque::new(),
            state: State::Beginning,
        })
    }

    /// The next piece; after [`Piece::Torn`] and [`Piece::Finished`] there is none.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn next_piece(&mut self) -> io::Result<Option<Piece>> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Ok(Some(piece));
            }
            match self.state {
                State::Beginning => self.begin()?,
                State::Data => {
                    if let Some(piece) = self.record()? {
                        return Ok(Some(piece));
                    }
                }
                State::End => return Ok(None),
            }
        }
    }

    /// A chunk is wanted no more: the next one takes its memory, or the system clears more.
    pub(crate) fn reuse(&mut self, chunk: Chunk) {
        self.spare = chunk.whole.records;
    }

    /// How far it has come.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Place, length and name of each record about the file itself that was passed.
    pub(crate) fn metadata(&self) -> &[(u64, u64, String)] {
        &self.metadata
    }

    fn begin(&mut self) -> io::Result<()> {
        self.state = State::Data;
        let mut magic = [0; MAGIC.len()];
        if self.length < MAGIC.len() as u64 {
            return Ok(());
        }
        self.input.read_exact(&mut magic)?;
        if &magic == MAGIC {
            self.checksum.update(&magic);
            self.at = MAGIC.len() as u64;
        } else {
            let piece = self.search(0, DamagedPart::Description)?;
            self.ready.push_back(piece);
        }
        Ok(())
    }

    /// Reads one record. `None`: there was nothing in it to tell.
    fn record(&mut self) -> io::Result<Option<Piece>> {
        let begin = self.at;
        let left = self.length - begin;
        self.input.seek(SeekFrom::Start(begin))?;
        let mut head = [0; HEAD];
        if left < HEAD as u64 {
            return Ok(Some(self.torn(begin)));
        }
        self.input.read_exact(&mut head)?;
        let mut fields = Fields(&head);
        let (kind, length) = (fields.u8().unwrap_or(0), fields.u64().unwrap_or(u64::MAX));
        // What a file is stands in front of its chunks, and their indexes are passed with
        // them: anything else here is something whose kind was damaged.
        let is_known = match kind {
            op::CHUNK | op::DATA_END => true,
            op::HEADER | op::SCHEMA | op::METADATA => self.last.is_none(),
            _ => false,
        };
        let end = begin
            .checked_add(HEAD as u64)
            .and_then(|at| at.checked_add(length));
        let end = end.filter(|_| is_known && length <= LONGEST_RECORD);
        let Some(end) = end else {
            return self.search(begin, DamagedPart::Entries).map(Some);
        };
        if end > self.length {
            // Cut, if nothing that can be read comes behind it.
            return self.search(begin, DamagedPart::Entries).map(Some);
        }
        self.fill(length)?;
        let content = std::mem::take(&mut self.buffer);
        let piece = match kind {
            op::DATA_END => Some(self.ending(begin, &content)?),
            op::CHUNK => Some(self.chunk(begin, &content, &head)?),
            _ => {
                let described = match kind {
                    op::METADATA => Header::read(Fields(&content)).map(Some),
                    _ => Some(None),
                };
                match described {
                    Some(described) => {
                        self.passed(&head, &content);
                        described.and_then(|(name, header)| {
                            self.metadata.push((begin, end - begin, name));
                            header.map(Piece::Header)
                        })
                    }
                    None => Some(self.skip(begin, end, DamagedPart::Description)),
                }
            }
        };
        self.buffer = content;
        Ok(piece)
    }

    /// Reads so many bytes, which the file has.
    fn fill(&mut self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        self.buffer.clear();
        self.buffer.resize(length, 0);
        self.input.read_exact(&mut self.buffer)
    }

    /// This record counts, and was read.
    fn passed(&mut self, head: &[u8], content: &[u8]) {
        self.checksum.update(head);
        self.checksum.update(content);
        self.at += (head.len() + content.len()) as u64;
    }

    fn chunk(&mut self, begin: u64, content: &[u8], head: &[u8]) -> io::Result<Piece> {
        let read = WholeChunk::read(content, begin, &mut self.decompressor, &mut self.spare);
        let Some(mut whole) = read else {
            let end = begin + (HEAD + content.len()) as u64;
            // Where the length leads to a record, it is right, and what is damaged ends
            // there. Elsewhere it has to be searched for: what is in a damaged chunk may
            // be anything, also what looks like another chunk.
            return match self.behind_indexes(end)? {
                Some(end) => Ok(self.skip(begin, end, DamagedPart::Entries)),
                None => self.search(begin, DamagedPart::Entries),
            };
        };
        self.passed(head, content);
        self.last = whole.row.bounds.map(|(first, last)| {
            let (earliest, latest) = self.last.unwrap_or((first, last));
            (earliest.min(first), latest.max(last))
        });
        // A file that was compacted has no indexes.
        if self.is_unindexed()? {
            return Ok(self.told_with_times(whole, begin, self.at));
        }
        // The indexes behind it can be made again from the chunk: they are as they should
        // be, or are damage of no consequence.
        let mut expected = Vec::new();
        write_indexes(&whole.index, &mut whole.row, &mut expected);
        let left = usize::try_from(self.length - self.at).unwrap_or(usize::MAX);
        let mut found = vec![0; expected.len().min(left)];
        self.input.read_exact(&mut found)?;
        let from = self.at;
        if found == expected {
            self.checksum.update(&found);
            self.at += found.len() as u64;
        } else {
            whole.row.indexes.clear();
            whole.row.indexes_length = 0;
            if found.len() < expected.len() && expected.starts_with(&found) {
                let torn = self.torn(from);
                self.ready.push_back(torn);
            } else if let Some(end) = self.behind_indexes(from + found.len() as u64)? {
                let damaged = self.skip(from, end, DamagedPart::Description);
                self.ready.push_back(damaged);
            }
        }
        Ok(self.told_with_times(whole, begin, from))
    }

    /// A whole chunk, and damage if its record says other times than its messages.
    fn told_with_times(&mut self, whole: WholeChunk, begin: u64, end: u64) -> Piece {
        // Said once, and before what ends the file: a repair has to know.
        if !whole.times_agree && !matches!(self.ready.front(), Some(Piece::Damaged(_))) {
            let read = self.at;
            let damaged = self.skip(begin, end, DamagedPart::Description);
            self.at = read;
            self.ready.push_front(damaged);
        }
        Piece::Chunk(Chunk { whole })
    }

    /// Whether what comes next is another chunk, or the end of the data: by more than its
    /// kind, for one bit makes that of an index.
    fn is_unindexed(&mut self) -> io::Result<bool> {
        let mut begin = Vec::with_capacity(HEAD + CHUNK_FIELDS);
        self.input.seek(SeekFrom::Start(self.at))?;
        (&mut self.input)
            .take((HEAD + CHUNK_FIELDS) as u64)
            .read_to_end(&mut begin)?;
        self.input.seek(SeekFrom::Start(self.at))?;
        let mut fields = Fields(&begin);
        let (Some(kind), Some(length)) = (fields.u8(), fields.u64()) else {
            return Ok(false);
        };
        Ok(match kind {
            op::DATA_END => length == (DATA_END - HEAD) as u64,
            op::CHUNK => fields
                .take(CHUNK_FIELDS - COMPRESSION.len() - 8)
                .and_then(|_| fields.take(COMPRESSION.len()))
                .is_some_and(|name| name == COMPRESSION.as_bytes()),
            _ => false,
        })
    }

    /// Where the next chunk or the end of the data begins, if nothing but indexes is
    /// before it, as far as can be seen; or the file's end.
    fn behind_indexes(&mut self, mut at: u64) -> io::Result<Option<u64>> {
        loop {
            if at == self.length {
                return Ok(Some(at));
            }
            if at > self.length || self.length - at < HEAD as u64 {
                return Ok(None);
            }
            self.input.seek(SeekFrom::Start(at))?;
            let mut head = [0; HEAD];
            self.input.read_exact(&mut head)?;
            let mut fields = Fields(&head);
            let (kind, length) = (fields.u8().unwrap_or(0), fields.u64().unwrap_or(u64::MAX));
            if length > LONGEST_RECORD || length > self.length - at - HEAD as u64 {
                return Ok(None);
            }
            match kind {
                op::CHUNK | op::DATA_END => return Ok(Some(at)),
                op::MESSAGE_INDEX => at += HEAD as u64 + length,
                _ => return Ok(None),
            }
        }
    }

    /// Names what is damaged and goes on behind it.
    fn skip(&mut self, from: u64, to: u64, what: DamagedPart) -> Piece {
        self.at = to;
        self.has_damage = true;
        let after = self.after();
        Piece::Damaged(Damaged {
            from,
            to,
            what,
            after,
        })
    }

    /// Searches the next whole chunk, or the ending, and names what is before it.
    fn search(&mut self, from: u64, what: DamagedPart) -> io::Result<Piece> {
        let mut at = from + 1;
        // A chunk's record has its compression's name here.
        let mut name = (u32::try_from(COMPRESSION.len()).unwrap_or(0))
            .to_le_bytes()
            .to_vec();
        name.extend_from_slice(COMPRESSION.as_bytes());
        let before = (HEAD + CHUNK_FIELDS - 8 - name.len()) as u64;
        let mut window = Vec::new();
        while at < self.length {
            self.input.seek(SeekFrom::Start(at))?;
            window.clear();
            (&mut self.input)
                .take(WINDOW as u64)
                .read_to_end(&mut window)?;
            for place in memmem::find_iter(&window, &name) {
                let Some(begin) = (at + place as u64).checked_sub(before) else {
                    continue;
                };
                if begin > from && self.is_whole_chunk(begin)? {
                    return Ok(self.skip(from, begin, what));
                }
            }
            let read = window.len();
            // What begins in this window may end in the next one.
            at += (read.saturating_sub(name.len() - 1)).max(1) as u64;
            if read < WINDOW {
                break;
            }
        }
        match self.find_ending(from)? {
            Some(begin) => Ok(self.skip(from, begin, what)),
            None => Ok(self.torn(from)),
        }
    }

    fn is_whole_chunk(&mut self, begin: u64) -> io::Result<bool> {
        self.input.seek(SeekFrom::Start(begin))?;
        let mut head = [0; HEAD];
        if self.length - begin < HEAD as u64 {
            return Ok(false);
        }
        self.input.read_exact(&mut head)?;
        let mut fields = Fields(&head);
        let (kind, length) = (fields.u8().unwrap_or(0), fields.u64().unwrap_or(u64::MAX));
        let left = self.length - begin - HEAD as u64;
        if kind != op::CHUNK || length > left || length > LONGEST_RECORD {
            return Ok(false);
        }
        self.fill(length)?;
        let read = WholeChunk::read(&self.buffer, begin, &mut self.decompressor, &mut self.spare);
        Ok(read.is_some())
    }

    /// Where the ending begins, if the file has one behind `from`.
    fn find_ending(&mut self, from: u64) -> io::Result<Option<u64>> {
        let length = self.length;
        if length < SHORTEST_ENDING as u64 {
            return Ok(None);
        }
        let footer = crate::format::FOOTER + MAGIC.len();
        self.input.seek(SeekFrom::Start(length - footer as u64))?;
        self.fill(footer as u64)?;
        let mut fields = Fields(&self.buffer);
        let Some((op::FOOTER, mut fields)) = fields.record() else {
            return Ok(None);
        };
        let begin = fields
            .u64()
            .and_then(|begin| begin.checked_sub(DATA_END as u64));
        Ok(begin.filter(|begin| *begin > from && *begin < length && self.buffer.ends_with(MAGIC)))
    }

    /// The file's data end here, and its ending has to be whole.
    fn ending(&mut self, begin: u64, content: &[u8]) -> io::Result<Piece> {
        self.state = State::End;
        let data = Fields(content).u32();
        let from = begin + (HEAD + content.len()) as u64;
        let left = self.length - from;
        if left > LONGEST_RECORD {
            return self.damaged_ending(begin);
        }
        self.fill(left)?;
        let is_whole = ending_of(&self.buffer) == Some(from);
        let agree = data.is_some_and(|data| data == self.checksum.clone().finalize());
        self.data_end = agree.then_some(begin);
        match (is_whole, agree || self.has_damage) {
            (true, true) => Ok(Piece::Finished),
            // Something before it is damaged that no other checksum covers.
            (true, false) => {
                self.ready.push_back(Piece::Finished);
                Ok(self.skip(0, begin, DamagedPart::Description))
            }
            (false, _) => self.damaged_ending(begin),
        }
    }

    /// The ending was cut, or is damaged: either way the data before it are all there.
    fn damaged_ending(&mut self, begin: u64) -> io::Result<Piece> {
        // A chunk behind it means that the record that ends the data is none.
        self.state = State::Data;
        let piece = self.search(begin, DamagedPart::Description)?;
        Ok(match piece {
            Piece::Damaged(damaged) if damaged.to >= self.length => self.torn(begin),
            other => other,
        })
    }

    fn torn(&mut self, from: u64) -> Piece {
        self.state = State::End;
        Piece::Torn(Torn {
            from,
            to: self.length,
            after: self.after(),
            has_all_entries: self.data_end == Some(from),
        })
    }

    fn after(&self) -> Option<u64> {
        self.last.map(|(_, last)| last)
    }
}

/// Where the summary of this ending begins, by its footer, if its checksum holds.
fn ending_of(ending: &[u8]) -> Option<u64> {
    let all = ending.strip_suffix(MAGIC)?;
    let covered = all.len().checked_sub(4)?;
    let begin = all.len().checked_sub(crate::format::FOOTER)?;
    let (kind, mut fields) = Fields(&all[begin..]).record()?;
    let (summary, _offsets, checksum) = (fields.u64()?, fields.u64()?, fields.u32()?);
    let holds = kind == op::FOOTER && crc32fast::hash(&all[..covered]) == checksum;
    holds.then_some(summary)
}

impl<R> fmt::Debug for Scanner<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scanner")
            .field("at", &self.at)
            .field("length", &self.length)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
