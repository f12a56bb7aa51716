//! What the workers have written and the hub has not read.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use polypy_core::{BookChange, ChangeSink, LEVEL_BYTES, Lane, Side, WholeBook};

use crate::waker::Waker;

/// A queue for each worker, bounded in entries and in bytes of whole books. What does
/// not fit empties the queue: the hub then follows the lane's books again.
pub(crate) struct Lanes {
    lanes: Vec<Mutex<Queue>>,
    waker: Arc<Waker>,
    most_entries: usize,
    most_book_bytes: usize,
}

/// What was written in a lane.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// In order.
    pub(crate) entries: Vec<BookChange>,
    /// After how many of them an append ended.
    pub(crate) ends: Vec<usize>,
    book_bytes: usize,
    /// There was more, which is lost.
    pub(crate) is_lost: bool,
}

impl Queue {
    fn clear(&mut self) {
        self.entries.clear();
        self.ends.clear();
        self.book_bytes = 0;
    }
}

impl Lanes {
    pub(crate) fn new(
        lanes: u16,
        most_entries: usize,
        most_book_bytes: usize,
        waker: Arc<Waker>,
    ) -> Self {
        Self {
            lanes: (0..lanes).map(|_| Mutex::default()).collect(),
            waker,
            most_entries,
            most_book_bytes,
        }
    }

    /// Takes what was written, and leaves `spare`, which is empty, in its place.
    pub(crate) fn take(&self, lane: Lane, spare: &mut Queue) {
        spare.clear();
        spare.is_lost = false;
        if let Some(queue) = self.lanes.get(usize::from(lane.0)) {
            std::mem::swap(&mut *queue.lock(), spare);
        }
    }

    pub(crate) fn has_entries(&self) -> bool {
        let has_any = |queue: &Mutex<Queue>| {
            let queue = queue.lock();
            queue.is_lost || !queue.entries.is_empty()
        };
        self.lanes.iter().any(has_any)
    }
}

impl ChangeSink for Lanes {
    fn append(&self, lane: Lane, changes: &mut Vec<BookChange>) {
        let Some(queue) = self.lanes.get(usize::from(lane.0)) else {
            changes.clear();
            return;
        };
        let mut queue = queue.lock();
        if queue.is_lost {
            // Nothing is whole before the lane's books are followed again.
            changes.clear();
            return;
        }
        let bytes: usize = changes.iter().map(book_bytes).sum();
        queue.book_bytes += bytes;
        let entries = queue.entries.len() + changes.len();
        if entries > self.most_entries || queue.book_bytes > self.most_book_bytes {
            queue.clear();
            queue.is_lost = true;
            changes.clear();
            return;
        }
        if queue.entries.is_empty() {
            // No copy where the hub keeps up.
            std::mem::swap(&mut queue.entries, changes);
        } else {
            queue.entries.append(changes);
        }
        let end = queue.entries.len();
        queue.ends.push(end);
    }

    fn wake(&self) {
        self.waker.wake_for_change();
    }
}

/// What an entry takes beside itself.
fn book_bytes(change: &BookChange) -> usize {
    match change {
        BookChange::Whole(whole) => {
            let levels = whole.book.depth(Side::Bid) + whole.book.depth(Side::Ask);
            size_of::<WholeBook>() + LEVEL_BYTES * levels
        }
        _ => 0,
    }
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes")
            .field("lanes", &self.lanes.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_empties_the_lane_until_it_is_read() {
        let lanes = Lanes::new(2, 3, 1 << 20, Arc::default());
        let write = |count: usize| {
            let mut changes: Vec<_> = (0..count).map(|_| BookChange::Reset).collect();
            lanes.append(Lane(1), &mut changes);
            assert!(changes.is_empty());
        };
        let read = || {
            let mut queue = Queue::default();
            lanes.take(Lane(1), &mut queue);
            (queue.entries.len(), queue.ends.clone(), queue.is_lost)
        };
        write(1);
        write(2);
        assert!(lanes.has_entries());
        assert_eq!(read(), (3, vec![1, 3], false));
        assert!(!lanes.has_entries());
        write(3);
        write(1);
        write(1);
        assert!(lanes.has_entries(), "that something is lost is something");
        assert_eq!(read(), (0, vec![], true));
        write(3);
        assert_eq!(read(), (3, vec![3], false));
    }
}
