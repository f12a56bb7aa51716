//! The last that a socket said, in memory that is bounded.
//!
//! Frames lie one behind the other in one block that is written round and round: in the
//! long run nothing is allocated for them. What the socket carried before the oldest of it is
//! kept apart, so that a file can begin there.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use polypy_core::{Asked, AssetId, AssetKey, FeedId};

use crate::item::{SentText, What};
use crate::segment::LONGEST_FRAME;

/// What is older is forgotten.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(30);
const ENTRY_BYTES: usize = size_of::<Entry>();
const LENGTH_BYTES: usize = size_of::<u32>();

/// What is kept of one socket.
#[derive(Debug)]
pub(super) struct Ring {
    /// How things were in front of the oldest entry.
    before: Carried,
    /// Since then something was forgotten or left out, the last of it at this time.
    lacks_before: Option<Instant>,
    /// The sequence of the oldest frame that is kept.
    first: u32,
    entries: VecDeque<Entry>,
    /// The frames of all entries, and how long each is.
    bytes: VecDeque<u8>,
    lengths: VecDeque<u32>,
    /// What the other entries take.
    said_bytes: usize,
    /// The names of all that it carries now.
    names: HashMap<AssetKey, AssetId>,
    closed: Option<Instant>,
    /// Entries that were forgotten for want of room, and not for their age.
    pushed_out: u64,
}

#[derive(Debug, Clone)]
struct Entry {
    at: Instant,
    what: Kept,
}

#[derive(Debug, Clone)]
enum Kept {
    /// So many frames; whether as text.
    Frames(u32, bool),
    Said(Arc<What>),
}

/// What a socket carries, and whose books it keeps.
#[derive(Debug, Clone, Default)]
pub(super) struct Carried {
    pub(super) feed: Option<FeedId>,
    pub(super) tokens: BTreeMap<AssetId, bool>,
}

/// A copy of what is kept of a socket.
#[derive(Debug)]
pub(super) struct Frozen {
    pub(super) before: Carried,
    pub(super) first: u32,
    /// Something of before this is not there.
    pub(super) lacks_before: Option<Instant>,
    entries: VecDeque<Entry>,
    bytes: VecDeque<u8>,
    lengths: VecDeque<u32>,
}

/// One thing that a socket said.
#[derive(Debug)]
pub(super) enum Said {
    /// A frame, its sequence, and whether it came as text. They are a nanosecond apart.
    Frame {
        sequence: u32,
        bytes: Vec<u8>,
        is_text: bool,
        /// Which it is of its group.
        place: u32,
    },
    Other(Arc<What>),
}

impl Ring {
    pub(super) fn new() -> Self {
        Self {
            before: Carried::default(),
            lacks_before: None,
            first: 0,
            entries: VecDeque::new(),
            bytes: VecDeque::new(),
            lengths: VecDeque::new(),
            said_bytes: 0,
            names: HashMap::new(),
            closed: None,
            pushed_out: 0,
        }
    }

    /// Takes a group of frames, and forgets what there is no room for within `share`.
    pub(super) fn frames(
        &mut self,
        bytes: &[u8],
        ends: &[usize],
        is_text: bool,
        (at, share): (Instant, usize),
    ) {
        let count = u32::try_from(ends.len()).unwrap_or(u32::MAX);
        let added = bytes.len() + ends.len() * LENGTH_BYTES + ENTRY_BYTES;
        if added > share || bytes.len() > LONGEST_FRAME {
            // Nothing can be kept beside it, nor before it: a file has no holes.
            while self.forget_oldest() {}
            self.first = self.first.wrapping_add(count);
            self.lacks_before = Some(at);
            return;
        }
        self.keep_within(share - added, at);
        self.make_room(bytes.len(), share);
        self.bytes.extend(bytes);
        let mut begin = 0;
        self.lengths.extend(ends.iter().map(|&end| {
            let length = u32::try_from(end - begin).unwrap_or(u32::MAX);
            begin = end;
            length
        }));
        self.entries.push_back(Entry {
            at,
            what: Kept::Frames(count, is_text),
        });
    }

    /// Takes something else.
    pub(super) fn said(&mut self, what: What, (at, share): (Instant, usize)) {
        if let What::Closed(..) = what {
            self.closed = Some(at);
        }
        let added = what.bytes() + ENTRY_BYTES;
        self.keep_within(share.saturating_sub(added), at);
        self.said_bytes += what.bytes();
        self.entries.push_back(Entry {
            at,
            what: Kept::Said(Arc::new(what)),
        });
    }

    /// Names the tokens that it is asked for.
    pub(super) fn name(&mut self, asked: Asked, tokens: &[(AssetKey, AssetId)]) {
        for (key, id) in tokens {
            match asked {
                Asked::Subscribe => drop(self.names.insert(*key, id.clone())),
                Asked::Unsubscribe => drop(self.names.remove(key)),
                Asked::Resubscribe(_) | Asked::Ping => {}
            }
        }
    }

    pub(super) fn named(&self, keys: &[AssetKey]) -> Vec<AssetId> {
        let names = keys.iter().filter_map(|key| self.names.get(key));
        names.cloned().collect()
    }

    /// The tokens that it carries.
    pub(super) fn names(&self) -> Vec<(AssetKey, AssetId)> {
        let names = self.names.iter();
        names.map(|(key, id)| (*key, id.clone())).collect()
    }

    /// Whether it carries one of these tokens.
    pub(super) fn carries_one_of(&self, tokens: &HashSet<&AssetId>) -> bool {
        self.names.values().any(|id| tokens.contains(id))
    }

    /// Entries that are kept.
    pub(super) fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Frames among them.
    pub(super) fn frame_count(&self) -> usize {
        self.lengths.len()
    }

    /// Entries that were forgotten so far because there was no room.
    pub(super) fn pushed_out(&self) -> u64 {
        self.pushed_out
    }

    /// Whether its socket closed so long ago that nothing of it is wanted.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let closed = self.closed;
        closed.is_some_and(|at| now.saturating_duration_since(at) > KEPT_FOR)
    }

    /// Bytes that it takes.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
            + self.lengths.len() * LENGTH_BYTES
            + self.entries.len() * ENTRY_BYTES
            + self.said_bytes
    }

    /// A copy of all that is kept, and has come lately: a socket that says nothing forgets
    /// nothing by itself. It stays, for the next incident may follow at once.
    pub(super) fn freeze(&mut self, now: Instant) -> Frozen {
        self.keep_within(usize::MAX, now);
        Frozen {
            before: self.before.clone(),
            first: self.first,
            lacks_before: self.lacks_before,
            entries: self.entries.clone(),
            bytes: self.bytes.clone(),
            lengths: self.lengths.clone(),
        }
    }

    // ---- how ----------------------------------------------------------------

    /// Forgets what is too old, and the oldest until no more than so many bytes are left.
    fn keep_within(&mut self, room: usize, now: Instant) {
        let is_old = |entry: &Entry| now.saturating_duration_since(entry.at) > KEPT_FOR;
        while self.size() > room || self.entries.front().is_some_and(is_old) {
            let is_old = self.entries.front().is_some_and(is_old);
            if !self.forget_oldest() {
                break;
            }
            self.pushed_out += u64::from(!is_old);
        }
    }

    /// Grows by doubling, and never beyond the share; shrinks where that has become less.
    fn make_room(&mut self, more: usize, share: usize) {
        let (wanted, there) = (self.bytes.len() + more, self.bytes.capacity());
        if wanted > there {
            let capacity = wanted.max(2 * there).min(share.max(wanted));
            self.bytes.reserve_exact(capacity - self.bytes.len());
        } else if there > 2 * share {
            self.bytes.shrink_to(share.max(wanted));
        }
    }

    fn forget_oldest(&mut self) -> bool {
        let Some(entry) = self.entries.pop_front() else {
            return false;
        };
        match &entry.what {
            Kept::Frames(count, _) => {
                let frames = usize::try_from(*count).unwrap_or(usize::MAX);
                let gone: usize = self
                    .lengths
                    .drain(..frames.min(self.lengths.len()))
                    .map(|length| usize::try_from(length).unwrap_or(usize::MAX))
                    .sum();
                self.bytes.drain(..gone.min(self.bytes.len()));
                self.first = self.first.wrapping_add(*count);
            }
            Kept::Said(what) => self.said_bytes -= what.bytes(),
        }
        self.before.take(&entry.what);
        self.lacks_before = Some(entry.at);
        true
    }
}

impl Carried {
    /// This has been said, too.
    fn take(&mut self, what: &Kept) {
        let Kept::Said(what) = what else {
            return;
        };
        match &**what {
            What::Sent(sent) => self.sent(sent),
            What::FirstBooks(tokens, _) => {
                self.tokens
                    .extend(tokens.iter().map(|token| (token.clone(), true)));
            }
            What::Delivers(feed) => self.feed = Some(*feed),
            _ => {}
        }
    }

    fn sent(&mut self, sent: &SentText) {
        for token in &sent.tokens {
            match sent.asked {
                Asked::Subscribe => {
                    self.tokens.entry(token.clone()).or_insert(false);
                }
                Asked::Unsubscribe => drop(self.tokens.remove(token)),
                Asked::Resubscribe(_) => drop(self.tokens.insert(token.clone(), false)),
                Asked::Ping => {}
            }
        }
    }
}

impl Frozen {
    /// When the oldest of it came.
    pub(super) fn begins(&self) -> Option<Instant> {
        self.entries.front().map(|entry| entry.at)
    }

    /// Hands out all of it, in order.
    pub(super) fn into_said(self) -> impl Iterator<Item = (Instant, Said)> {
        let (mut bytes, mut lengths) = (self.bytes, self.lengths);
        let mut sequence = self.first;
        self.entries.into_iter().flat_map(move |entry| {
            let mut said = Vec::new();
            match entry.what {
                Kept::Frames(count, is_text) => {
                    for place in 0..count {
                        let length = lengths.pop_front().unwrap_or_default();
                        let length = usize::try_from(length).unwrap_or(usize::MAX);
                        let frame = bytes.drain(..length.min(bytes.len())).collect();
                        said.push((
                            entry.at,
                            Said::Frame {
                                sequence,
                                bytes: frame,
                                is_text,
                                place,
                            },
                        ));
                        sequence = sequence.wrapping_add(1);
                    }
                }
                Kept::Said(what) => said.push((entry.at, Said::Other(what))),
            }
            said
        })
    }
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
