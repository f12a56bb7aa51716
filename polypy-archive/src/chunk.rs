//! A chunk of a recording: messages that are compressed together and stand or fall with
//! one checksum.
//!
//! A chunk names each channel that it holds messages of, so that it can be read without
//! any other.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::CParameter;

use crate::format::{
    CHUNK_FIELDS, COMPRESSION, ChannelName, Fields, HEAD, MESSAGE_FIELDS, op, record, text,
};

/// More than this is in no chunk: the largest group of frames and a chunk beside it.
pub(crate) const MOST_BYTES: usize = 64 << 20;

/// The level of zstd for files that are kept.
const COMPACT_LEVEL: i32 = 16;
/// The level of zstd for files that are written as frames come.
pub(crate) const LIVE_LEVEL: i32 = 1;

/// Where the messages of each channel are: time and place among the uncompressed records.
pub(crate) type Index = BTreeMap<u16, Vec<(u64, u64)>>;

/// The first and the last time, if there is any.
pub(crate) type Bounds = Option<(u64, u64)>;

/// What a summary says of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChunkRow {
    pub(crate) bounds: Bounds,
    /// Where it is in the file.
    pub(crate) offset: u64,
    /// Bytes of its record.
    pub(crate) length: u64,
    /// Where the index of each channel is in the file.
    pub(crate) indexes: BTreeMap<u16, u64>,
    /// Bytes of these.
    pub(crate) indexes_length: u64,
    pub(crate) compressed: u64,
    pub(crate) uncompressed: u64,
    /// Messages by channel.
    pub(crate) counts: BTreeMap<u16, u64>,
}

impl ChunkRow {
    /// Where its record ends, and its indexes begin.
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.length
    }
}

/// Widens the bounds.
pub(crate) fn widen(bounds: Bounds, at: u64) -> Bounds {
    let (first, last) = bounds.unwrap_or((at, at));
    Some((first.min(at), last.max(at)))
}

/// Collects messages and compresses them.
pub(crate) struct ChunkBuilder {
    records: Vec<u8>,
    index: Index,
    bounds: Bounds,
    compressor: Compressor<'static>,
    compressed: Vec<u8>,
    /// Whether the places of its messages stand behind a chunk.
    is_indexed: bool,
}

impl ChunkBuilder {
    /// # Errors
    /// When memory for compressing is not there.
    pub(crate) fn new(level: i32) -> io::Result<Self> {
        let mut compressor = Compressor::new(level)?;
        // Measured: hashes are random digits, which short matches only make longer; ids
        // come again within a chunk, so that the window is as large. The table with more
        // entries than the level has finds them.
        compressor.set_parameter(CParameter::WindowLog(23))?;
        if level == LIVE_LEVEL {
            compressor.set_parameter(CParameter::HashLog(18))?;
        }
        compressor.set_parameter(CParameter::MinMatch(7))?;
        Ok(Self::with(compressor, true))
    }

    /// The same for files that are kept: it takes longer, and no index is written.
    ///
    /// # Errors
    /// When memory for compressing is not there.
    pub(crate) fn compact() -> io::Result<Self> {
        let mut compressor = Compressor::new(COMPACT_LEVEL)?;
        compressor.set_parameter(CParameter::WindowLog(25))?;
        // As above.
        compressor.set_parameter(CParameter::MinMatch(7))?;
        // Measured: to look on for longer matches takes twice the time, for 2 %.
        compressor.set_parameter(CParameter::SearchLog(1))?;
        Ok(Self::with(compressor, false))
    }

    fn with(compressor: Compressor<'static>, is_indexed: bool) -> Self {
        Self {
            records: Vec::new(),
            index: Index::new(),
            bounds: None,
            compressor,
            compressed: Vec::new(),
            is_indexed,
        }
    }

    /// Bytes that wait to be compressed.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Adds a message of a channel, whose data `fill` appends.
    pub(crate) fn message(
        &mut self,
        (number, name): (u16, &ChannelName),
        (sequence, at): (u32, u64),
        fill: impl FnOnce(&mut Vec<u8>),
    ) {
        let places = self.index.entry(number).or_default();
        if places.is_empty() {
            name.write(number, &mut self.records);
        }
        places.push((at, self.records.len() as u64));
        self.bounds = widen(self.bounds, at);
        record(&mut self.records, op::MESSAGE, |out| {
            out.extend_from_slice(&number.to_le_bytes());
            out.extend_from_slice(&sequence.to_le_bytes());
            out.extend_from_slice(&at.to_le_bytes());
            out.extend_from_slice(&at.to_le_bytes());
            fill(out);
        });
    }

    /// Appends the chunk with its indexes to `out`, for a file that is `offset` bytes
    /// long, and begins the next one. There has to be a message in it.
    ///
    /// # Errors
    /// When memory for compressing is not there.
    pub(crate) fn end(&mut self, offset: u64, out: &mut Vec<u8>) -> io::Result<ChunkRow> {
        let begin = out.len();
        self.compressed.clear();
        let most = zstd::zstd_safe::compress_bound(self.records.len());
        self.compressed.reserve(most);
        self.compressor
            .compress_to_buffer(&self.records[..], &mut self.compressed)?;
        let (first, last) = self.bounds.unwrap_or((0, 0));
        record(out, op::CHUNK, |out| {
            out.extend_from_slice(&first.to_le_bytes());
            out.extend_from_slice(&last.to_le_bytes());
            out.extend_from_slice(&(self.records.len() as u64).to_le_bytes());
            out.extend_from_slice(&crc32fast::hash(&self.records).to_le_bytes());
            text(out, COMPRESSION);
            out.extend_from_slice(&(self.compressed.len() as u64).to_le_bytes());
            out.extend_from_slice(&self.compressed);
        });
        let length = (out.len() - begin) as u64;
        let counted = self.index.iter().filter(|(_, places)| !places.is_empty());
        let counts = counted.map(|(channel, places)| (*channel, places.len() as u64));
        let mut row = ChunkRow {
            bounds: self.bounds.take(),
            offset,
            length,
            indexes: BTreeMap::new(),
            indexes_length: 0,
            compressed: self.compressed.len() as u64,
            uncompressed: self.records.len() as u64,
            counts: counts.collect(),
        };
        if self.is_indexed {
            write_indexes(&self.index, &mut row, out);
        }
        self.records.clear();
        self.index.values_mut().for_each(Vec::clear);
        Ok(row)
    }
}

impl fmt::Debug for ChunkBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ChunkBuilder");
        shown.field("bytes", &self.len()).finish_non_exhaustive()
    }
}

/// Appends a record with the places of each channel's messages, which stand behind the
/// chunk, and says in `row` where.
pub(crate) fn write_indexes(index: &Index, row: &mut ChunkRow, out: &mut Vec<u8>) {
    let begin = out.len();
    let mut content = Vec::new();
    row.indexes.clear();
    for (channel, places) in index.iter().filter(|(_, places)| !places.is_empty()) {
        let offset = row.offset + row.length + (out.len() - begin) as u64;
        row.indexes.insert(*channel, offset);
        content.clear();
        for (at, place) in places {
            content.extend_from_slice(&at.to_le_bytes());
            content.extend_from_slice(&place.to_le_bytes());
        }
        record(out, op::MESSAGE_INDEX, |out| {
            out.extend_from_slice(&channel.to_le_bytes());
            crate::format::bytes(out, &content);
        });
    }
    row.indexes_length = (out.len() - begin) as u64;
}

/// A message as a chunk holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) channel: u16,
    pub(crate) sequence: u32,
    pub(crate) at: u64,
    pub(crate) data: &'a [u8],
}

impl<'a> Message<'a> {
    fn read(mut fields: Fields<'a>) -> Option<Self> {
        let (channel, sequence) = (fields.u16()?, fields.u32()?);
        let (at, _published) = (fields.u64()?, fields.u64()?);
        let data = fields.0;
        Some(Self {
            channel,
            sequence,
            at,
            data,
        })
    }
}

/// A chunk that was read, and found whole.
#[derive(Debug)]
pub(crate) struct WholeChunk {
    pub(crate) records: Vec<u8>,
    pub(crate) channels: BTreeMap<u16, ChannelName>,
    pub(crate) index: Index,
    /// Without its indexes, which stand behind it.
    pub(crate) row: ChunkRow,
    /// Whether the record says the same of the times as the messages.
    pub(crate) times_agree: bool,
}

impl WholeChunk {
    /// Reads the content of a chunk's record at this place of a file. `None`: it is not
    /// what was written, or is no chunk. The memory is that of `spare`, if there is enough.
    pub(crate) fn read(
        content: &[u8],
        offset: u64,
        decompressor: &mut Decompressor<'_>,
        spare: &mut Vec<u8>,
    ) -> Option<Self> {
        let mut fields = Fields(content);
        let stated = (fields.u64()?, fields.u64()?);
        let size = usize::try_from(fields.u64()?).ok()?;
        let checksum = fields.u32()?;
        if fields.text()? != COMPRESSION || size > MOST_BYTES {
            return None;
        }
        let compressed = fields.u64()?;
        if fields.0.len() as u64 != compressed || CHUNK_FIELDS > content.len() {
            return None;
        }
        let stated_inside = zstd::zstd_safe::get_frame_content_size(fields.0).ok()?;
        if stated_inside.is_some_and(|inside| inside != size as u64) {
            return None;
        }
        let mut records = std::mem::take(spare);
        records.clear();
        records.reserve_exact(size);
        decompressor
            .decompress_to_buffer(fields.0, &mut records)
            .ok()?;
        if records.len() != size || crc32fast::hash(&records) != checksum {
            return None;
        }
        let row = ChunkRow {
            bounds: None,
            offset,
            length: (HEAD + content.len()) as u64,
            indexes: BTreeMap::new(),
            indexes_length: 0,
            compressed,
            uncompressed: size as u64,
            counts: BTreeMap::new(),
        };
        let mut chunk = Self {
            records,
            channels: BTreeMap::new(),
            index: Index::new(),
            row,
            times_agree: false,
        };
        chunk.count()?;
        chunk.times_agree = chunk.row.bounds.unwrap_or((0, 0)) == stated;
        Some(chunk)
    }

    /// Goes through the records once. `None`: one of them is cut, or of a channel that
    /// the chunk does not name.
    fn count(&mut self) -> Option<()> {
        let mut rest = Fields(&self.records);
        while !rest.0.is_empty() {
            let place = (self.records.len() - rest.0.len()) as u64;
            let (kind, mut fields) = rest.record()?;
            match kind {
                op::CHANNEL => {
                    let (number, name) = ChannelName::read(&mut fields)?;
                    self.channels.insert(number, name);
                }
                op::MESSAGE => {
                    let message = Message::read(fields)?;
                    self.channels.get(&message.channel)?;
                    let places = self.index.entry(message.channel).or_default();
                    places.push((message.at, place));
                    self.row.bounds = widen(self.row.bounds, message.at);
                }
                _ => {}
            }
        }
        let counts = self.index.iter();
        self.row.counts = counts
            .map(|(channel, places)| (*channel, places.len() as u64))
            .collect();
        Some(())
    }

    /// Its messages, in the order of the file.
    pub(crate) fn messages(&self) -> impl Iterator<Item = Message<'_>> {
        let mut rest = Fields(&self.records);
        std::iter::from_fn(move || {
            loop {
                let (kind, fields) = rest.record()?;
                if kind == op::MESSAGE {
                    return Message::read(fields);
                }
            }
        })
    }
}

/// Bytes that a message takes in a chunk.
pub(crate) const fn message_bytes(data: usize) -> usize {
    HEAD + MESSAGE_FIELDS + data
}
