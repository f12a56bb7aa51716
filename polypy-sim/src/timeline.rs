//! What is to happen later: prints, opening books, repeats, ends.
//!
//! A heap by due time, entries of one instant in the order they were made.
//! Bounded: what does not fit is given up by its maker, who counts it.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use tokio::time::Instant;

/// Most entries that wait: prints of half a second at far more than any rate
/// this exchange is asked for.
const LIMIT: usize = 1_000_000;

#[derive(Debug)]
struct Entry<T> {
    due: Instant,
    order: u64,
    item: T,
}

impl<T> Ord for Entry<T> {
    /// The earliest is the greatest, as a heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.order).cmp(&(self.due, self.order))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}

/// Items by due time.
#[derive(Debug)]
pub(crate) struct Timeline<T> {
    heap: BinaryHeap<Entry<T>>,
    made: u64,
}

impl<T> Default for Timeline<T> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            made: 0,
        }
    }
}

impl<T> Timeline<T> {
    /// Schedules `item`; gives it back when too much waits already.
    pub(crate) fn schedule(&mut self, due: Instant, item: T) -> Result<(), T> {
        if self.heap.len() >= LIMIT {
            return Err(item);
        }
        self.made += 1;
        self.heap.push(Entry {
            due,
            order: self.made,
            item,
        });
        Ok(())
    }

    /// The earliest item, if its time has come.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<T> {
        let due = self.heap.peek().is_some_and(|entry| entry.due <= now);
        if due {
            self.heap.pop().map(|entry| entry.item)
        } else {
            None
        }
    }

    /// When the earliest item is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.heap.peek().map(|entry| entry.due)
    }

    /// Items that wait.
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn gives_the_earliest_first_and_ties_in_order() {
        let start = Instant::now();
        let mut timeline = Timeline::default();
        for (after, item) in [(20, 'c'), (10, 'a'), (10, 'b')] {
            timeline
                .schedule(start + Duration::from_millis(after), item)
                .unwrap();
        }
        assert_eq!(timeline.pop_due(start), None);
        let later = start + Duration::from_millis(15);
        assert_eq!(timeline.pop_due(later), Some('a'));
        assert_eq!(timeline.pop_due(later), Some('b'));
        assert_eq!(timeline.pop_due(later), None);
        assert_eq!(timeline.len(), 1);
    }
}
