//! The last live copies of the books that have changed, in memory that is bounded.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Instant;

use polypy_core::{AssetKey, BookPosition, BookState, Checkpoint, CheckpointSource, Lane};

/// Bytes of a level of a copy, and of what a copy has besides.
const LEVEL_BYTES: usize = 16;
const COPY_BYTES: usize = size_of::<BookCopy>() + 128;

/// A copy of a book.
#[derive(Debug, Clone)]
pub(super) struct BookCopy {
    pub(super) checkpoint: Checkpoint,
    /// When it was made.
    pub(super) at: Instant,
    /// All that was delivered before this is in it.
    pub(super) applied_before: Instant,
}

/// The copies, and where each book stood when it was last looked at.
#[derive(Debug, Default)]
pub(super) struct Copies {
    room: usize,
    bytes: usize,
    kept: HashMap<AssetKey, BookCopy>,
    /// The oldest first; one that was copied again is there twice.
    order: VecDeque<(AssetKey, Instant)>,
    seen: HashMap<AssetKey, BookPosition>,
    /// Where the walk of a lane goes on that had copied as much as there is room for.
    places: HashMap<u16, usize>,
}

impl Copies {
    /// None yet, and room for so many bytes.
    pub(super) fn new(room: usize) -> Self {
        Self {
            room,
            ..Self::default()
        }
    }

    /// Copies the books that have changed since they were last looked at, as many as there
    /// is room for. `pause` waits before each page; `false`: there is something else to do.
    pub(super) fn walk(&mut self, source: &dyn CheckpointSource, pause: impl Fn() -> bool) {
        let (mut copied, mut is_whole) = (0, self.places.is_empty());
        let found = RefCell::new(HashSet::new());
        for lane in 0..source.lanes() {
            let mut place = self.places.remove(&lane).unwrap_or(0);
            loop {
                if !pause() {
                    return;
                }
                if copied >= self.room {
                    self.places.insert(lane, place);
                    is_whole = false;
                    break;
                }
                let mut page = Vec::new();
                let is_wanted = |key: AssetKey, position: BookPosition| {
                    found.borrow_mut().insert(key);
                    self.seen.get(&key) != Some(&position)
                };
                // A worker that is busy is looked at the next time.
                let Some(done) = source.copy(Lane(lane), place, &is_wanted, &mut page) else {
                    is_whole = false;
                    break;
                };
                let at = Instant::now();
                for checkpoint in page {
                    copied += self.keep(checkpoint, at, done.applied_before);
                }
                match done.next {
                    Some(next) => place = next,
                    None => break,
                }
            }
        }
        if is_whole {
            // The others are forgotten.
            let found = found.into_inner();
            self.seen.retain(|key, _| found.contains(key));
        }
    }

    /// Those that are kept.
    pub(super) fn all(&self) -> impl Iterator<Item = &BookCopy> {
        self.kept.values()
    }

    /// Whether one is kept of this book.
    pub(super) fn has(&self, key: AssetKey) -> bool {
        self.kept.contains_key(&key)
    }

    /// Bytes that they take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps a copy, if the book was live. What it takes.
    fn keep(&mut self, checkpoint: Checkpoint, at: Instant, applied_before: Instant) -> usize {
        if checkpoint.whole.status.state != BookState::Live {
            // The copy of before is the last from which its frames lead on.
            return 0;
        }
        let key = checkpoint.whole.info.key;
        self.seen.insert(key, checkpoint.whole.position);
        let copy = BookCopy {
            checkpoint,
            at,
            applied_before,
        };
        let bytes = bytes_of(&copy);
        self.bytes += bytes;
        if let Some(before) = self.kept.insert(key, copy) {
            self.bytes -= bytes_of(&before);
        }
        self.order.push_back((key, at));
        while self.bytes > self.room
            && let Some((oldest, of)) = self.order.pop_front()
        {
            if self.kept.get(&oldest).is_some_and(|kept| kept.at == of)
                && let Some(gone) = self.kept.remove(&oldest)
            {
                self.bytes -= bytes_of(&gone);
            }
        }
        if self.order.len() > 2 * self.kept.len() + 1_024 {
            // Those that are there twice.
            let kept = &self.kept;
            let is_kept =
                |(key, of): &(AssetKey, Instant)| kept.get(key).is_some_and(|copy| copy.at == *of);
            self.order.retain(is_kept);
        }
        bytes
    }
}

fn bytes_of(copy: &BookCopy) -> usize {
    use polypy_core::Side;
    let book = &copy.checkpoint.whole.book;
    let levels = book.depth(Side::Bid) + book.depth(Side::Ask);
    COPY_BYTES + levels * LEVEL_BYTES
}

#[cfg(test)]
#[path = "copies_tests.rs"]
mod tests;
