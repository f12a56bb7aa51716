//! One client: takes the frames off what it read, holds each sequence against the last,
//! and notes how old the change is.

use std::collections::HashMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::frame::{self, Glance, Token};
use super::{age_of, stamp};

/// Longest age told apart: a minute, in microseconds.
const LONGEST: u64 = 60_000_000;

/// What clients talk to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Door {
    /// The program: every sequence is checked.
    Stream,
    /// The loop that writes the program's messages of another time: the first of a token
    /// is as good as a snapshot.
    Prepared,
    /// The exchange, or what stands before it.
    Venue,
}

/// What all clients together have got.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Texts, and their bytes.
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// Level changes in them.
    pub(crate) changes: u64,
    /// Reads that returned something.
    pub(crate) reads: u64,
    /// Since they were sent, in microseconds.
    pub(crate) ages: Histogram<u64>,
    /// Since the clients were opened: openings that came, clients that had theirs, gaps,
    /// sequences that do not follow and texts that cannot be read, books that were said
    /// not to be live, clients that ended.
    pub(crate) snapshots: u64,
    pub(crate) ready: u64,
    pub(crate) gaps: u64,
    pub(crate) faults: u64,
    pub(crate) not_live: u64,
    pub(crate) ended: u64,
    /// How often something of this was written to the standard error.
    told: u32,
}

/// So much of what went wrong is written to the standard error, for each group of clients.
const MOST_TOLD: u32 = 3;
const LONGEST_TOLD: usize = 600;

impl Default for Tally {
    fn default() -> Self {
        let ages = Histogram::new_with_bounds(1, LONGEST, 3).expect("these bounds are allowed");
        Self {
            messages: 0,
            bytes: 0,
            changes: 0,
            reads: 0,
            ages,
            snapshots: 0,
            ready: 0,
            gaps: 0,
            faults: 0,
            not_live: 0,
            ended: 0,
            told: 0,
        }
    }
}

impl Tally {
    /// Counts what comes from here on, and what went wrong further.
    pub(crate) fn restart(&mut self) {
        (self.messages, self.bytes, self.changes, self.reads) = (0, 0, 0, 0);
        self.ages.reset();
    }

    /// Writes what went wrong, if it is one of the first.
    #[expect(clippy::print_stderr, reason = "the table has numbers alone")]
    pub(crate) fn tell(&mut self, what: &str, text: &[u8]) {
        if self.told < MOST_TOLD {
            self.told += 1;
            let text = text.get(..LONGEST_TOLD).unwrap_or(text);
            eprintln!("stream: {what}: {}", String::from_utf8_lossy(text));
        }
    }

    fn age(&mut self, size: Option<u64>) {
        if let Some(age) = size.and_then(|size| age_of(size, stamp())) {
            self.ages.saturating_record(age.max(1));
        }
    }
}

/// Messages that are kept, to be sent by somebody else.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// When what it says reached the program, in microseconds, and the message.
    pub(crate) messages: Vec<(u64, Vec<u8>)>,
}

impl Kept {
    fn add(&mut self, text: &[u8]) {
        let before = self.messages.last().map_or(0, |(at, _)| *at);
        // A state has no such time, and goes with what was before it.
        let at = frame::received_us(text).unwrap_or(before);
        self.messages.push((at.max(before), text.to_vec()));
    }
}

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    door: Door,
    /// Epoch and sequence of each token's book.
    books: HashMap<Token, (u64, u64)>,
    /// Whether its messages are those that are kept.
    is_kept: bool,
}

/// What a client has to do after a read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Bytes of whole frames.
    pub(crate) bytes: usize,
    /// Is to be sent.
    pub(crate) answer: Vec<u8>,
    pub(crate) is_over: bool,
}

impl Client {
    pub(crate) fn new(door: Door, is_kept: bool) -> Self {
        Self {
            door,
            books: HashMap::new(),
            is_kept,
        }
    }

    /// Takes all whole frames off these bytes.
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        tally: &mut Tally,
        kept: &mut Option<Kept>,
    ) -> Taken {
        let mut taken = Taken::default();
        while let Some(found) = frame::first(&bytes[taken.bytes..]) {
            taken.bytes += found.length;
            match found.opcode {
                frame::TEXT => {
                    tally.messages += 1;
                    tally.bytes += u64::try_from(found.payload.len()).unwrap_or(u64::MAX);
                    self.hear(found.payload, tally, kept);
                }
                frame::PING => taken.answer.extend(frame::pong(found.payload)),
                frame::CLOSE => taken.is_over = true,
                _ => {}
            }
        }
        taken
    }

    fn hear(&mut self, text: &[u8], tally: &mut Tally, kept: &mut Option<Kept>) {
        if self.door == Door::Venue {
            return tally.age(frame::venue_size(text));
        }
        let Some(glance) = frame::glance(text) else {
            tally.faults += 1;
            tally.tell("a client cannot read", text);
            return;
        };
        if let Glance::Snapshot { live: false, .. }
        | Glance::State { live: false, .. }
        | Glance::Gap = glance
        {
            tally.tell("a client was told", text);
        }
        match glance {
            Glance::Snapshot {
                token,
                epoch,
                sequence,
                live,
            } => {
                tally.snapshots += 1;
                tally.not_live += u64::from(!live);
                self.books.insert(token, (epoch, sequence));
            }
            Glance::Delta {
                token,
                epoch,
                previous,
                sequence,
                changes,
                size,
            } => {
                tally.changes += changes;
                let before = self.books.insert(token, (epoch, sequence));
                let follows = match before {
                    Some(before) => before == (epoch, previous),
                    None => self.door == Door::Prepared,
                };
                if !follows || sequence - previous.min(sequence) != changes {
                    tally.faults += 1;
                    tally.tell("a client got, out of sequence", text);
                }
                if self.door == Door::Stream {
                    tally.age(size);
                }
            }
            Glance::State { live, .. } => tally.not_live += u64::from(!live),
            Glance::Ready => tally.ready += 1,
            Glance::Gap => tally.gaps += 1,
            Glance::Trade { .. } | Glance::Other => {}
        }
        if self.is_kept
            && let Some(kept) = kept
            && matches!(
                glance,
                Glance::Delta { .. } | Glance::State { .. } | Glance::Trade { .. }
            )
        {
            kept.add(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(previous: u64, sequence: u64) -> String {
        format!(
            r#"{{"type":"delta","token_id":"7","epoch":1,"prev_sequence":{previous},"sequence":{sequence},"ts_event_ms":1,"ts_recv_us":1,"changes":[["bid","0.1","5"]],"best_bid":"0.1","best_ask":null,"conflated":null,"depth":null}}"#
        )
    }

    fn framed(text: &str) -> Vec<u8> {
        let length = u16::try_from(text.len()).unwrap().to_be_bytes();
        let mut frame = vec![0x81, 126, length[0], length[1]];
        frame.extend_from_slice(text.as_bytes());
        frame
    }

    /// What a client of this door counts as faults when it hears these messages.
    fn faults(door: Door, messages: &[&str]) -> u64 {
        let mut client = Client::new(door, false);
        let mut tally = Tally::default();
        for message in messages {
            let bytes = framed(message);
            let taken = client.take(&bytes, &mut tally, &mut None);
            assert_eq!(taken.bytes, bytes.len());
        }
        tally.faults
    }

    #[test]
    fn a_delta_that_does_not_follow_is_a_fault() {
        let snapshot = r#"{"type":"snapshot","token_id":"7","condition_id":"0x1","outcome":"Yes","epoch":1,"sequence":4,"cause":"subscribed","state":"live","bids":[],"asks":[]}"#;
        let (next, after, late) = (delta(4, 5), delta(5, 6), delta(7, 8));
        assert_eq!(faults(Door::Stream, &[snapshot, &next, &after]), 0);
        assert_eq!(faults(Door::Stream, &[snapshot, &next, &late]), 1);
        assert_eq!(faults(Door::Stream, &[&next]), 1, "no snapshot before it");
        assert_eq!(faults(Door::Prepared, &[&next, &after]), 0);
        assert_eq!(faults(Door::Prepared, &[&next, &next]), 1, "it came twice");
        let short = delta(4, 6);
        assert_eq!(
            faults(Door::Stream, &[snapshot, &short]),
            1,
            "a change is missing"
        );
        assert_eq!(faults(Door::Stream, &["{}"]), 1);
    }

    #[test]
    fn half_a_frame_waits_and_a_ping_is_answered() {
        let mut client = Client::new(Door::Stream, false);
        let (mut tally, mut kept) = (Tally::default(), None);
        let mut bytes = framed(&delta(1, 2));
        let whole = bytes.len();
        bytes.extend_from_slice(&[0x89, 0]);
        let taken = client.take(&bytes[..whole - 1], &mut tally, &mut kept);
        assert_eq!(taken, Taken::default());
        let taken = client.take(&bytes, &mut tally, &mut kept);
        assert_eq!((taken.bytes, taken.is_over), (whole + 2, false));
        assert_eq!(taken.answer, [0x8a, 0x80, 0, 0, 0, 0]);
    }
}
