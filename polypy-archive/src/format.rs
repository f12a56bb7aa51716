//! The records of MCAP that recordings consist of, as bytes: <https://mcap.dev/spec>.
//!
//! Written here and not by the crate `mcap`: a repair has to put an end to a file that is
//! there already, and a chunk is compressed in one call with parameters of our own, which
//! makes it a fifth smaller at less cost
//! (`docs/decisions/0015-recordings.md`). The readers of other languages are held against
//! what is written by `tests/python`.

use std::collections::BTreeMap;

/// What a file begins and ends with.
pub(crate) const MAGIC: &[u8; 8] = b"\x89MCAP0\r\n";
/// Kind and length, before each record's content.
pub(crate) const HEAD: usize = 9;
/// How chunks are compressed.
pub(crate) const COMPRESSION: &str = "zstd";
/// Bytes of a chunk's record between its head and the compressed records.
pub(crate) const CHUNK_FIELDS: usize = 8 + 8 + 8 + 4 + 4 + COMPRESSION.len() + 8;
/// Bytes of a message's record beside its data.
pub(crate) const MESSAGE_FIELDS: usize = 2 + 4 + 8 + 8;
/// Bytes of the footer's record, and of the magic behind it.
pub(crate) const FOOTER: usize = HEAD + 8 + 8 + 4;
/// Bytes of a record that ends the data.
pub(crate) const DATA_END: usize = HEAD + 4;

/// Kinds of records.
pub(crate) mod op {
    pub(crate) const HEADER: u8 = 0x01;
    pub(crate) const FOOTER: u8 = 0x02;
    pub(crate) const SCHEMA: u8 = 0x03;
    pub(crate) const CHANNEL: u8 = 0x04;
    pub(crate) const MESSAGE: u8 = 0x05;
    pub(crate) const CHUNK: u8 = 0x06;
    pub(crate) const MESSAGE_INDEX: u8 = 0x07;
    pub(crate) const CHUNK_INDEX: u8 = 0x08;
    pub(crate) const STATISTICS: u8 = 0x0b;
    pub(crate) const METADATA: u8 = 0x0c;
    pub(crate) const METADATA_INDEX: u8 = 0x0d;
    pub(crate) const SUMMARY_OFFSET: u8 = 0x0e;
    pub(crate) const DATA_END: u8 = 0x0f;
}

/// Appends a record whose content `fill` appends.
pub(crate) fn record(out: &mut Vec<u8>, kind: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    let at = out.len();
    out.extend_from_slice(&[0; 8]);
    fill(out);
    let length = (out.len() - at - 8) as u64;
    out[at..at + 8].copy_from_slice(&length.to_le_bytes());
}

/// Appends a text behind its length.
pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    bytes(out, text.as_bytes());
}

/// Appends bytes behind their length. What is written has 32 bits of it: names, schemas
/// and the maps of a summary.
pub(crate) fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Appends a map of numbers by channel behind its length.
pub(crate) fn by_channel(out: &mut Vec<u8>, map: &BTreeMap<u16, u64>) {
    let mut content = Vec::with_capacity(10 * map.len());
    for (channel, number) in map {
        content.extend_from_slice(&channel.to_le_bytes());
        content.extend_from_slice(&number.to_le_bytes());
    }
    bytes(out, &content);
}

/// Appends a map of texts behind its length.
pub(crate) fn texts(out: &mut Vec<u8>, map: &BTreeMap<String, String>) {
    let mut content = Vec::new();
    for (key, value) in map {
        text(&mut content, key);
        text(&mut content, value);
    }
    bytes(out, &content);
}

/// What a channel is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChannelName {
    /// Its schema's number; zero for none.
    pub(crate) schema: u16,
    /// Its topic.
    pub(crate) topic: String,
}

impl ChannelName {
    /// Appends the record that names the channel.
    pub(crate) fn write(&self, number: u16, out: &mut Vec<u8>) {
        record(out, op::CHANNEL, |out| {
            out.extend_from_slice(&number.to_le_bytes());
            out.extend_from_slice(&self.schema.to_le_bytes());
            text(out, &self.topic);
            text(out, "json");
            texts(out, &BTreeMap::new());
        });
    }

    /// Reads what [`write`](Self::write) wrote.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<(u16, Self)> {
        let (number, schema) = (fields.u16()?, fields.u16()?);
        let topic = fields.text()?.to_owned();
        Some((number, Self { schema, topic }))
    }
}

/// Reads the content of a record, field by field. `None`: there is less than that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.first_chunk().copied()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A text behind its length.
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let length = self.u32()?;
        let bytes = self.take(usize::try_from(length).ok()?)?;
        std::str::from_utf8(bytes).ok()
    }

    /// A map of texts behind its length.
    pub(crate) fn texts(&mut self) -> Option<BTreeMap<String, String>> {
        let length = self.u32()?;
        let mut content = Fields(self.take(usize::try_from(length).ok()?)?);
        let mut map = BTreeMap::new();
        while !content.0.is_empty() {
            let key = content.text()?.to_owned();
            map.insert(key, content.text()?.to_owned());
        }
        Some(map)
    }

    /// The next record's kind and content.
    pub(crate) fn record(&mut self) -> Option<(u8, Fields<'a>)> {
        let (kind, length) = (self.u8()?, self.u64()?);
        let content = self.take(usize::try_from(length).ok()?)?;
        Some((kind, Fields(content)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_less_than_that_is_nothing() {
        let name = ChannelName {
            schema: 3,
            topic: "gap".into(),
        };
        let mut bytes = Vec::new();
        name.write(6, &mut bytes);
        for length in 0..bytes.len() {
            assert!(Fields(&bytes[..length]).record().is_none(), "{length}");
        }
        let (kind, mut fields) = Fields(&bytes).record().unwrap();
        assert_eq!(
            (kind, ChannelName::read(&mut fields)),
            (op::CHANNEL, Some((6, name)))
        );

        let map = BTreeMap::from([("a".to_owned(), "b".to_owned()), ("c".into(), "".into())]);
        let mut bytes = Vec::new();
        texts(&mut bytes, &map);
        assert_eq!(Fields(&bytes).texts(), Some(map));
    }

    #[test]
    fn a_length_beyond_everything_is_refused() {
        let mut bytes = vec![op::CHUNK];
        for length in [u64::MAX, 1 << 63, 1] {
            bytes.truncate(1);
            bytes.extend_from_slice(&length.to_le_bytes());
            assert!(Fields(&bytes).record().is_none(), "{length}");
        }
        assert_eq!(Fields(b"\xff\xff\xff\xffabc").text(), None);
        assert_eq!(Fields(b"\x01\0\0\0\xff").text(), None, "no UTF-8");
    }
}
