//! What is in a recording, told without decoding a frame of the venue.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use polypy_archive::{EntryError, Fault, FaultKind, Found, Header, Reader, Recording};
use polypy_core::AssetId;
use polypy_core::recording::{Entry, Gap, GapScope, Recorded, SocketEvent};
use serde_json::{Value, json};

use super::gaps::Gaps;
use super::moment::shown;
use super::report::{ORDERLY, fault_json, is_unsettled};

/// Rows of each list on the page for people.
const MOST_ROWS: usize = 40;

/// What is in a recording.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// Its files.
    pub files: Vec<FileRow>,
    /// What cannot be read of them.
    pub faults: Vec<Fault>,
    /// Files that a rule removed.
    pub removed: Vec<String>,
    /// Runs of the program that wrote it.
    pub sessions: Vec<String>,
    /// Entries by channel; those of all sockets' frames together.
    pub entries: BTreeMap<String, u64>,
    /// Bytes of frames as they were received.
    pub frame_bytes: u64,
    /// Sockets, in their order.
    pub sockets: Vec<SocketRow>,
    /// What is missing, and why.
    pub gaps: Vec<Gap>,
    /// When the recorded clock was set, and by how many nanoseconds.
    pub clock_steps: Vec<(u64, i64)>,
}

/// A file.
#[derive(Debug, Clone, Default)]
pub struct FileRow {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
    /// Frames among them.
    pub frames: u64,
    /// The earliest and the latest time of an entry, in nanoseconds since the epoch.
    pub times: Option<(u64, u64)>,
    /// Whether something is wrong with it.
    pub is_damaged: bool,
    /// Whether it is being written.
    pub is_written: bool,
    /// Whether another file is the same, and this one was not read.
    pub is_copy: bool,
}

/// A life of a socket.
#[derive(Debug, Clone, Default)]
pub struct SocketRow {
    /// The run of the program that it was one of.
    pub session: usize,
    /// Its number.
    pub socket: u64,
    /// Its connection.
    pub connection: String,
    /// When it opened, or was first seen.
    pub from: u64,
    /// When it closed; `None` if that is not recorded.
    pub to: Option<u64>,
    /// Why.
    pub reason: Option<String>,
    /// Its frames.
    pub frames: u64,
    /// Tokens that it was asked to bring, and from when on.
    pub tokens: BTreeMap<AssetId, u64>,
}

impl Inventory {
    /// Reads all of a recording. `told` is told at times how many bytes of how many were
    /// read.
    pub fn of(recording: Recording, told: &mut dyn FnMut(u64, u64)) -> Self {
        let mut inventory = Self {
            removed: recording
                .removed
                .iter()
                .map(|line| line.file.clone())
                .collect(),
            ..Self::default()
        };
        let mut reader = Reader::new(recording);
        // Sockets that are open, by number: where they are in the list.
        let mut open = BTreeMap::new();
        let mut gaps = Gaps::default();
        while let Some(found) = reader.next_found() {
            match found {
                Found::File(at) => {
                    let file = &reader.recording().files[at];
                    inventory.files.push(FileRow {
                        name: file.name.clone(),
                        bytes: file.bytes,
                        ..FileRow::default()
                    });
                }
                Found::Header(header) => inventory.header(&header, &mut open),
                Found::Fault(fault) => inventory.fault(fault),
                Found::Chunk(chunk) => {
                    if let (Some(file), Some((first, last))) =
                        (inventory.files.last_mut(), chunk.times())
                    {
                        let (from, to) = file.times.unwrap_or((first, last));
                        file.times = Some((from.min(first), to.max(last)));
                    }
                    for entry in chunk.raw_entries() {
                        inventory.count(entry.channel, entry.data.len());
                        if let Some(socket) = entry.socket() {
                            let row = inventory.row(&mut open, socket, entry.at);
                            row.frames += 1;
                            continue;
                        }
                        match entry.decode() {
                            Ok(Recorded {
                                entry: Entry::Gap(gap),
                                ..
                            }) => drop(gaps.note(&gap)),
                            Ok(recorded) => {
                                inventory.take(recorded.at, recorded.entry, &mut open);
                            }
                            Err(EntryError::UnknownChannel(_)) => {}
                            Err(_) => inventory.count("unreadable", 0),
                        }
                    }
                    let (read, all) = reader.progress(&chunk);
                    told(read, all);
                }
                _ => {}
            }
        }
        gaps.add_untold(&reader.recording().gaps);
        inventory.gaps = gaps.into_list();
        inventory
    }

    fn count(&mut self, channel: &str, bytes: usize) {
        let kind = channel.split('/').next().unwrap_or_default();
        let is_frame = kind.len() < channel.len();
        if let Some(file) = self.files.last_mut() {
            file.entries += 1;
            file.frames += u64::from(is_frame);
        }
        if is_frame {
            self.frame_bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
        }
        match self.entries.get_mut(kind) {
            Some(count) => *count += 1,
            None => drop(self.entries.insert(kind.to_owned(), 1)),
        }
    }

    fn header(&mut self, header: &Header, open: &mut BTreeMap<u64, usize>) {
        if self.sessions.last() != Some(&header.session) {
            self.sessions.push(header.session.clone());
            open.clear();
        }
    }

    fn fault(&mut self, fault: Fault) {
        if let Some(file) = self.files.iter_mut().find(|file| file.name == fault.file) {
            file.is_damaged |= fault.is_damage();
            file.is_written |= fault.what == FaultKind::Written;
            file.is_copy |= fault.what == FaultKind::Copy;
        }
        self.faults.push(fault);
    }

    fn row(&mut self, open: &mut BTreeMap<u64, usize>, socket: u64, at: u64) -> &mut SocketRow {
        let place = *open.entry(socket).or_insert_with(|| {
            self.sockets.push(SocketRow {
                session: self.sessions.len().saturating_sub(1),
                socket,
                from: at,
                ..SocketRow::default()
            });
            self.sockets.len() - 1
        });
        &mut self.sockets[place]
    }

    fn take(&mut self, at: u64, entry: Entry, open: &mut BTreeMap<u64, usize>) {
        match entry {
            Entry::Socket(SocketEvent::Opened {
                socket, connection, ..
            })
            | Entry::Socket(SocketEvent::Open {
                socket, connection, ..
            }) => self.row(open, socket, at).connection = connection.into(),
            Entry::Socket(SocketEvent::Carries { socket, tokens }) => {
                let row = self.row(open, socket, at);
                for token in tokens {
                    row.tokens.entry(token).or_insert(at);
                }
            }
            Entry::Socket(SocketEvent::Closed { socket, reason, .. }) => {
                let row = self.row(open, socket, at);
                row.to = Some(at);
                row.reason = Some(reason.into());
                open.remove(&socket);
            }
            Entry::Clock(step) => self.clock_steps.push((at, step.step)),
            _ => {}
        }
    }

    /// Whether there are entries, nothing of them is damaged, and nothing was left out of which
    /// nobody knows what it was.
    pub fn is_whole(&self) -> bool {
        !self.entries.is_empty()
            && !self.gaps.iter().any(is_unsettled)
            && !self.faults.iter().any(Fault::is_damage)
    }

    /// Whether no entry could be read, and nothing says what is missing.
    pub fn is_unreadable(&self) -> bool {
        self.entries.is_empty() && self.gaps.is_empty()
    }

    /// The tokens that sockets were asked to bring.
    pub fn tokens(&self) -> BTreeSet<&AssetId> {
        let tokens = self.sockets.iter().flat_map(|socket| socket.tokens.keys());
        tokens.collect()
    }

    /// Leaves only the sockets that carried this token, and what is missing of it.
    pub fn keep_token(&mut self, token: &AssetId) {
        self.sockets.retain(|row| row.tokens.contains_key(token));
        for row in &mut self.sockets {
            row.tokens.retain(|known, _| known == token);
        }
        let sockets: BTreeSet<_> = self.sockets.iter().map(|row| row.socket).collect();
        self.gaps.retain(|gap| match gap.scope {
            GapScope::Recording => true,
            GapScope::Socket => gap.socket.is_some_and(|socket| sockets.contains(&socket)),
            GapScope::Token => gap.token_id.as_ref() == Some(token),
        });
    }

    /// The earliest and the latest time of an entry.
    pub fn times(&self) -> Option<(u64, u64)> {
        let times = self.files.iter().filter_map(|file| file.times);
        times.reduce(|(from, to), (first, last)| (from.min(first), to.max(last)))
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let micros = |at: u64| at / 1_000;
        let files = self.files.iter().map(|file| {
            json!({
                "file": file.name,
                "bytes": file.bytes,
                "entries": file.entries,
                "frames": file.frames,
                "from_ts": file.times.map(|(from, _)| micros(from)),
                "to_ts": file.times.map(|(_, to)| micros(to)),
                "damaged": file.is_damaged,
                "written": file.is_written,
            })
        });
        let faults = self.faults.iter().map(fault_json);
        let sockets = self.sockets.iter().map(|row| {
            json!({
                "session": self.sessions.get(row.session),
                "socket": row.socket,
                "connection": row.connection,
                "from_ts": micros(row.from),
                "to_ts": row.to.map(micros),
                "reason": row.reason,
                "frames": row.frames,
                "tokens": row.tokens.len(),
                "carries_from_ts": row.tokens.values().min().map(|at| micros(*at)),
            })
        });
        let steps = self.clock_steps.iter();
        json!({
            "whole": self.is_whole(),
            "files": files.collect::<Vec<_>>(),
            "faults": faults.collect::<Vec<_>>(),
            "removed": self.removed,
            "sessions": self.sessions,
            "entries": self.entries,
            "frame_bytes": self.frame_bytes,
            "tokens": self.tokens().len(),
            "sockets": sockets.collect::<Vec<_>>(),
            "gaps": self.gaps,
            "clock_steps": steps
                .map(|(at, step)| json!({ "ts": micros(*at), "step_ns": step }))
                .collect::<Vec<_>>(),
        })
    }

    /// A page for people. `lists_sockets`: each of them, too.
    pub fn page(&self, lists_sockets: bool) -> String {
        let mut page = String::new();
        // Writing to a string does not fail.
        let _done = self.write(&mut page, lists_sockets);
        page
    }

    fn write(&self, page: &mut String, lists_sockets: bool) -> fmt::Result {
        let bytes: u64 = self.files.iter().map(|file| file.bytes).sum();
        let verdict = match (self.entries.is_empty(), self.is_whole()) {
            (true, _) => "not whole: there is no entry in it that can be read",
            (false, true) => "whole: each file can be read to its end",
            (false, false) => "not whole",
        };
        writeln!(page, "{verdict}")?;
        let frames = self.entries.get("frames").copied().unwrap_or(0);
        if let Some((from, to)) = self.times() {
            writeln!(page, "times        {} to {}", shown(from), shown(to))?;
        }
        writeln!(
            page,
            "frames       {frames}, {} bytes in {bytes} bytes of files",
            self.frame_bytes
        )?;
        let others = self
            .entries
            .iter()
            .filter(|(channel, _)| *channel != "frames");
        let others: Vec<_> = others
            .map(|(channel, count)| format!("{count} {channel}"))
            .collect();
        if !others.is_empty() {
            writeln!(page, "others       {}", others.join(", "))?;
        }
        writeln!(
            page,
            "sockets      {}, of {} runs of the program, asked for {} tokens",
            self.sockets.len(),
            self.sessions.len(),
            self.tokens().len()
        )?;
        for (at, step) in self.clock_steps.iter().take(MOST_ROWS) {
            let millis = step / 1_000_000;
            writeln!(page, "clock        set by {millis} ms at {}", shown(*at))?;
        }
        if !self.removed.is_empty() {
            writeln!(page, "removed      {} files by rule", self.removed.len())?;
        }
        for fault in self.faults.iter().take(MOST_ROWS) {
            let what = if fault.is_damage() {
                "damaged     "
            } else {
                "note        "
            };
            writeln!(page, "{what} {fault}")?;
        }
        self.write_gaps(page)?;
        writeln!(page)?;
        for file in &self.files {
            let times = file.times.map(|(from, to)| (shown(from), shown(to)));
            let (from, to) = times.unwrap_or_default();
            let note = match file {
                file if file.is_damaged => "  damaged",
                file if file.is_written => "  being written",
                file if file.is_copy => "  a copy",
                _ => "",
            };
            writeln!(
                page,
                "{}  {:>12} bytes  {:>9} frames  {from} {to}{note}",
                file.name, file.bytes, file.frames
            )?;
        }
        if lists_sockets {
            self.write_sockets(page)?;
        }
        Ok(())
    }

    fn write_gaps(&self, page: &mut String) -> fmt::Result {
        if self.gaps.is_empty() {
            return writeln!(page, "missing      nothing that it tells of");
        }
        let is_orderly = |gap: &&Gap| ORDERLY.contains(&&*gap.reason);
        for reason in ORDERLY {
            let count = self
                .gaps
                .iter()
                .filter(|gap| *gap.reason == *reason)
                .count();
            if count > 0 {
                writeln!(
                    page,
                    "not recorded {count} times, and nothing lost: {reason}"
                )?;
            }
        }
        let lost: Vec<_> = self.gaps.iter().filter(|gap| !is_orderly(gap)).collect();
        for gap in lost.iter().take(MOST_ROWS) {
            let owner = json!(gap.owner);
            let time = |at: Option<u64>| {
                at.map_or_else(
                    || "unknown".to_owned(),
                    |at| shown(at.saturating_mul(1_000)),
                )
            };
            let what = match (gap.scope, &gap.token_id, gap.socket) {
                (GapScope::Token, Some(token), _) => format!("token {token}"),
                (GapScope::Socket, _, Some(socket)) => format!("socket {socket}"),
                _ => "everything".to_owned(),
            };
            writeln!(
                page,
                "missing      {what}, {} to {}: {} ({})",
                time(gap.from_ts),
                time(gap.to_ts),
                gap.reason,
                owner.as_str().unwrap_or_default()
            )?;
        }
        let more = lost.len().saturating_sub(MOST_ROWS);
        if more > 0 {
            writeln!(page, "missing      and {more} gaps more: --json has them")?;
        }
        Ok(())
    }

    fn write_sockets(&self, page: &mut String) -> fmt::Result {
        writeln!(page)?;
        for row in &self.sockets {
            let until = row.to.map_or_else(|| "the end".to_owned(), shown);
            writeln!(
                page,
                "socket {} ({})  {} to {until}  {} frames  {}",
                row.socket,
                row.connection,
                shown(row.from),
                row.frames,
                row.reason.as_deref().unwrap_or_default()
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use polypy_core::Owner;

    use super::*;

    #[test]
    fn what_holds_no_entry_is_not_whole_and_is_unreadable_unless_a_gap_says_what_is_missing() {
        let mut inventory = Inventory::default();
        assert!(!inventory.is_whole() && inventory.is_unreadable());
        let gap = |reason| Gap::of_recording(reason, Owner::Us, (Some(1), Some(2)), 3);
        inventory.gaps.push(gap("killed"));
        assert!(!inventory.is_whole() && !inventory.is_unreadable());
        inventory.entries.insert("frames".to_owned(), 1);
        assert!(inventory.is_whole());
        inventory.gaps.push(gap("lost"));
        assert!(!inventory.is_whole());
    }

    #[test]
    fn the_page_names_what_is_missing_of_what_and_by_whose_doing() {
        let begun = 1_795_000_000_000_000;
        let gap = |reason, owner, to| Gap::of_recording(reason, owner, (Some(begun), to), begun);
        let full = gap("disk_full", Owner::Us, Some(begun + 2_000_000));
        let hash = Gap {
            scope: GapScope::Token,
            token_id: Some("12".parse().expect("an id")),
            ..gap("hash", Owner::Venue, None)
        };
        let behind = Gap {
            scope: GapScope::Socket,
            socket: Some(7),
            from_ts: None,
            ..gap("recorder_behind", Owner::Us, Some(begun))
        };
        let told = |gaps: &[Gap]| -> Vec<String> {
            let inventory = Inventory {
                gaps: gaps.to_vec(),
                ..Inventory::default()
            };
            assert_eq!(inventory.to_json()["gaps"], json!(gaps));
            let page = inventory.page(false);
            let is_told = |line: &&str| line.starts_with("missing") || line.starts_with("not rec");
            page.lines().filter(is_told).map(str::to_owned).collect()
        };
        assert_eq!(told(&[]), ["missing      nothing that it tells of"]);
        let stopped = gap("stopped", Owner::Us, None);
        let found = told(&[full.clone(), stopped, hash, behind]);
        let (from, to) = (shown(begun * 1_000), shown((begun + 2_000_000) * 1_000));
        assert_eq!(
            found,
            [
                "not recorded 1 times, and nothing lost: stopped".to_owned(),
                format!("missing      everything, {from} to {to}: disk_full (us)"),
                format!("missing      token 12, {from} to unknown: hash (venue)"),
                format!("missing      socket 7, unknown to {from}: recorder_behind (us)"),
            ]
        );
        let many = told(&vec![full; MOST_ROWS + 2]);
        assert_eq!(many.len(), MOST_ROWS + 1);
        assert_eq!(
            many[MOST_ROWS],
            "missing      and 2 gaps more: --json has them"
        );
    }
}
