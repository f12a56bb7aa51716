//! The entries of a recording for those who play it: what cannot be read is a gap.

use std::collections::{BTreeSet, VecDeque};

use polypy_core::Owner;
use polypy_core::recording::{Entry, Gap, Recorded, RecordingError, RecordingSource, SocketEvent};

use crate::header::Header;
use crate::listing::Recording;
use crate::manifest::LOST;
use crate::reader::{Fault, FaultKind, Found, Reader};

/// The entries of a recording, again and again.
#[derive(Debug)]
pub struct Entries {
    recording: Recording,
    reader: Reader,
    session: Option<String>,
    /// Sockets that are open.
    open: BTreeSet<u64>,
    /// The latest time so far.
    last: u64,
    ready: VecDeque<Recorded>,
}

impl Entries {
    /// Of this recording.
    pub fn of(recording: Recording) -> Self {
        Self {
            reader: Reader::new(recording.clone()),
            recording,
            session: None,
            open: BTreeSet::new(),
            last: 0,
            ready: VecDeque::new(),
        }
    }

    /// Another run of the program wrote what comes now: sockets of before are gone.
    fn header(&mut self, header: Header) {
        let known = self.session.replace(header.session.clone());
        if known.is_none_or(|known| known == header.session) {
            return;
        }
        let at = self.last;
        for socket in std::mem::take(&mut self.open) {
            let entry = Entry::Socket(SocketEvent::Closed {
                socket,
                reason: "session_ended".into(),
                owner: Owner::Us,
            });
            self.ready.push_back(Recorded { at, entry });
        }
    }

    fn fault(&mut self, fault: &Fault) {
        if fault.what.loses_entries() {
            let at = fault.after.unwrap_or(self.last);
            let reason = match fault.what {
                FaultKind::Lost => LOST,
                FaultKind::Cut => "killed",
                _ => "damaged",
            };
            let from = Some(at / 1_000).filter(|at| *at > 0);
            let gap = Gap::of_recording(reason, Owner::Us, (from, None), at / 1_000);
            let entry = Entry::Gap(gap);
            self.ready.push_back(Recorded { at, entry });
        }
    }

    fn entry(&mut self, recorded: Recorded) {
        self.last = self.last.max(recorded.at);
        match &recorded.entry {
            Entry::Frame(frame) => drop(self.open.insert(frame.socket)),
            Entry::Socket(
                SocketEvent::Opened { socket, .. } | SocketEvent::Open { socket, .. },
            ) => {
                self.open.insert(*socket);
            }
            Entry::Socket(SocketEvent::Closed { socket, .. }) => drop(self.open.remove(socket)),
            _ => {}
        }
        self.ready.push_back(recorded);
    }
}

impl RecordingSource for Entries {
    fn rewind(&mut self) -> Result<(), RecordingError> {
        *self = Self::of(self.recording.clone());
        Ok(())
    }

    fn read(&mut self, out: &mut Vec<Recorded>) -> Result<bool, RecordingError> {
        while self.ready.is_empty() {
            match self.reader.next_found() {
                None => return Ok(false),
                Some(Found::File(_)) => {}
                Some(Found::Header(header)) => self.header(header),
                Some(Found::Fault(fault)) => self.fault(&fault),
                Some(Found::Chunk(chunk)) => {
                    // Those of a later version say nothing to a reader that does not know them.
                    chunk
                        .entries()
                        .flatten()
                        .for_each(|entry| self.entry(entry));
                    self.reader.reuse(chunk);
                }
            }
        }
        out.extend(self.ready.drain(..));
        Ok(true)
    }
}
