//! Frames of a recording, if there is one: `POLYPY_CAPTURES` names a folder of
//! them.

use std::path::Path;
use std::process::Command;

use polypy_core::Interner;
use serde::Deserialize;

use crate::market::intern;

/// Twelve tokens for half an hour, as one line a frame.
const FILE: &str = "events/tickscope_20260607_0130.reframed.jsonl.gz";

/// Price changes as they were received.
#[derive(Debug)]
pub struct Captured {
    /// Knows every token named; the two of a market know each other.
    pub interner: Interner,
    /// One `price_change` each.
    pub frames: Vec<String>,
}

/// Why there are no recorded frames; to be printed.
#[derive(Debug)]
pub struct Absent(pub String);

impl Captured {
    /// The first `most` recorded price changes.
    ///
    /// # Errors
    /// [`Absent`] if no folder is named, or its recording cannot be read.
    pub fn price_changes(most: usize) -> Result<Self, Absent> {
        let folder = std::env::var_os("POLYPY_CAPTURES")
            .ok_or_else(|| Absent("POLYPY_CAPTURES is not set".to_owned()))?;
        read(&Path::new(&folder).join(FILE), most)
            .ok_or_else(|| Absent(format!("{FILE} cannot be read")))
    }
}

fn read(file: &Path, most: usize) -> Option<Captured> {
    let unpacked = Command::new("zcat").arg(file).output().ok()?;
    let text = String::from_utf8(unpacked.stdout).ok()?;
    let lines = text.lines().filter(|line| line.contains("price_changes"));
    let frames: Vec<_> = lines.take(most).map(str::to_owned).collect();
    let mut interner = Interner::default();
    for frame in &frames {
        let named: Named = serde_json::from_str(frame).ok()?;
        let ids: Vec<_> = named.entries.iter().map(|entry| &*entry.asset_id).collect();
        intern(&mut interner, &named.market, &ids);
    }
    (!frames.is_empty()).then_some(Captured { interner, frames })
}

/// Which tokens a frame is of.
#[derive(Deserialize)]
struct Named {
    market: String,
    #[serde(rename = "price_changes")]
    entries: Vec<NamedEntry>,
}

#[derive(Deserialize)]
struct NamedEntry {
    asset_id: String,
}
