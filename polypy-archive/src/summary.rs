//! What stands at a file's end: what there is in it, and where.

use std::collections::BTreeMap;

use crate::chunk::{Bounds, ChunkRow, widen};
use crate::entry::SCHEMAS;
use crate::format::{ChannelName, DATA_END, HEAD, MAGIC, by_channel, bytes, op, record, text};

/// What is known of a file's content: written at its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Summary {
    pub(crate) channels: BTreeMap<u16, ChannelName>,
    pub(crate) chunks: Vec<ChunkRow>,
    /// Place, length and name of each record about the file itself.
    pub(crate) metadata: Vec<(u64, u64, String)>,
    /// Readers find no chunk by it, and read from the beginning.
    pub(crate) has_no_index: bool,
}

impl Summary {
    /// Messages by channel.
    pub(crate) fn counts(&self) -> BTreeMap<u16, u64> {
        let mut counts = BTreeMap::new();
        for (channel, count) in self.chunks.iter().flat_map(|chunk| &chunk.counts) {
            *counts.entry(*channel).or_default() += count;
        }
        counts
    }

    /// The earliest and the latest time of a message.
    pub(crate) fn bounds(&self) -> Bounds {
        let bounds = self.chunks.iter().filter_map(|chunk| chunk.bounds);
        bounds.fold(None, |all, (first, last)| widen(widen(all, first), last))
    }

    /// What makes a file of `length` bytes, which have this checksum, a finished one.
    pub(crate) fn ending(&self, length: u64, checksum: u32) -> Vec<u8> {
        let mut out = Vec::new();
        record(&mut out, op::DATA_END, |out| {
            out.extend_from_slice(&checksum.to_le_bytes());
        });
        debug_assert_eq!(out.len(), DATA_END, "the record that ends the data");
        let mut summary = Vec::new();
        let begin = length + DATA_END as u64;
        let mut groups = Vec::new();
        let mut group = |summary: &mut Vec<u8>, kind, write: &dyn Fn(&mut Vec<u8>)| {
            let from = summary.len();
            write(summary);
            if summary.len() > from {
                groups.push((kind, begin + from as u64, (summary.len() - from) as u64));
            }
        };
        group(&mut summary, op::SCHEMA, &|out| write_schemas(out));
        group(&mut summary, op::CHANNEL, &|out| {
            self.channels
                .iter()
                .for_each(|(number, name)| name.write(*number, out));
        });
        group(&mut summary, op::STATISTICS, &|out| {
            self.write_statistics(out)
        });
        group(&mut summary, op::CHUNK_INDEX, &|out| {
            let chunks = self.chunks.iter();
            chunks
                .filter(|_| !self.has_no_index)
                .for_each(|chunk| write_chunk_index(chunk, out));
        });
        group(&mut summary, op::METADATA_INDEX, &|out| {
            for (offset, length, name) in &self.metadata {
                record(out, op::METADATA_INDEX, |out| {
                    out.extend_from_slice(&offset.to_le_bytes());
                    out.extend_from_slice(&length.to_le_bytes());
                    text(out, name);
                });
            }
        });
        let offsets = begin + summary.len() as u64;
        for (kind, start, length) in groups {
            record(&mut summary, op::SUMMARY_OFFSET, |out| {
                out.push(kind);
                out.extend_from_slice(&start.to_le_bytes());
                out.extend_from_slice(&length.to_le_bytes());
            });
        }
        // The checksum covers the footer as far as itself.
        record(&mut summary, op::FOOTER, |out| {
            out.extend_from_slice(&begin.to_le_bytes());
            out.extend_from_slice(&offsets.to_le_bytes());
            out.extend_from_slice(&[0; 4]);
        });
        let covered = summary.len() - 4;
        let checksum = crc32fast::hash(&summary[..covered]);
        summary.truncate(covered);
        summary.extend_from_slice(&checksum.to_le_bytes());
        out.append(&mut summary);
        out.extend_from_slice(MAGIC);
        out
    }

    fn write_statistics(&self, out: &mut Vec<u8>) {
        let counts = self.counts();
        let (first, last) = self.bounds().unwrap_or((0, 0));
        let few = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes();
        record(out, op::STATISTICS, |out| {
            out.extend_from_slice(&counts.values().sum::<u64>().to_le_bytes());
            let schemas = u16::try_from(SCHEMAS.len()).unwrap_or(u16::MAX);
            out.extend_from_slice(&schemas.to_le_bytes());
            out.extend_from_slice(&few(self.channels.len()));
            out.extend_from_slice(&few(0));
            out.extend_from_slice(&few(self.metadata.len()));
            out.extend_from_slice(&few(self.chunks.len()));
            out.extend_from_slice(&first.to_le_bytes());
            out.extend_from_slice(&last.to_le_bytes());
            by_channel(out, &counts);
        });
    }
}

fn write_chunk_index(chunk: &ChunkRow, out: &mut Vec<u8>) {
    let (first, last) = chunk.bounds.unwrap_or((0, 0));
    record(out, op::CHUNK_INDEX, |out| {
        for number in [first, last, chunk.offset, chunk.length] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        by_channel(out, &chunk.indexes);
        out.extend_from_slice(&chunk.indexes_length.to_le_bytes());
        text(out, crate::format::COMPRESSION);
        out.extend_from_slice(&chunk.compressed.to_le_bytes());
        out.extend_from_slice(&chunk.uncompressed.to_le_bytes());
    });
}

/// Appends the schemas of all channels that have one.
pub(crate) fn write_schemas(out: &mut Vec<u8>) {
    for (number, (name, schema)) in (1_u16..).zip(SCHEMAS) {
        record(out, op::SCHEMA, |out| {
            out.extend_from_slice(&number.to_le_bytes());
            text(out, name);
            text(out, "jsonschema");
            bytes(out, schema.as_bytes());
        });
    }
}

/// Bytes of the shortest ending: anything shorter than that behind the data was cut.
pub(crate) const SHORTEST_ENDING: usize = DATA_END + HEAD + 20 + MAGIC.len();
