//! What a file is: said in front of its chunks, so that no damage of theirs concerns it.

use std::collections::BTreeMap;

use crate::format::{Fields, op, record, text, texts};

/// The version of what is in the files.
pub(crate) const FORMAT: &str = "1";
const NAME: &str = "polypy.recording";

/// Which file of which recording it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// The run of the program that wrote it.
    pub session: String,
    /// The number of the file in its folder, from 1.
    pub number: u32,
    /// When it began, in nanoseconds since the epoch.
    pub started: u64,
    /// The program's version.
    pub version: String,
}

impl Header {
    /// Appends the record.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let values = [
            ("format", FORMAT.to_owned()),
            ("session", self.session.clone()),
            ("number", self.number.to_string()),
            ("started", self.started.to_string()),
            ("version", self.version.clone()),
        ];
        let values = values.map(|(key, value)| (key.to_owned(), value));
        record(out, op::METADATA, |out| {
            text(out, NAME);
            texts(out, &BTreeMap::from(values));
        });
    }

    /// Reads such a record's content, whose name is returned as well.
    pub(crate) fn read(mut fields: Fields<'_>) -> Option<(String, Option<Self>)> {
        let name = fields.text()?.to_owned();
        let values = fields.texts()?;
        let get = |key: &str| values.get(key).cloned().unwrap_or_default();
        let is_ours = name == NAME;
        let header = is_ours.then(|| Self {
            session: get("session"),
            number: get("number").parse().unwrap_or_default(),
            started: get("started").parse().unwrap_or_default(),
            version: get("version"),
        });
        Some((name, header))
    }

    /// The record's name.
    pub(crate) fn name() -> String {
        NAME.to_owned()
    }
}
