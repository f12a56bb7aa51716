//! The short way: what a socket delivers is applied on the socket's own thread,
//! if its worker has nothing else to do.
//!
//! Waking a thread that sleeps takes longer than all the rest of a frame's way,
//! so an idle worker is not woken for a handful of events: whoever brings them
//! takes the partition's lock and applies them himself. Books are written under
//! that lock either way, one batch at a time, and in the order of the stamps:
//! while anything is queued, being applied or said of a book, everything else is
//! queued behind it.
//!
//! A long delivery is queued in any case. Its socket is behind, and reading on
//! while the worker applies what was read makes use of two cores.
//!
//! What follows from a batch (requests for fresh books, looks at the time) stays
//! with the worker: nothing here calls anybody else. A panic does not reach the
//! socket: it leaves the partition torn, and the worker dies of that as it would
//! of its own (`worker`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use polypy_core::{FeedId, MarketEvent};

use crate::counter::count;
use crate::lane::Batch;
use crate::shared::Worker;
use crate::worker;

/// Applies up to `most` events here and now and leaves them empty, with their
/// memory; the number of them, or `None` if they have to be queued.
pub(crate) fn apply(
    worker: &Worker,
    most: usize,
    feed: FeedId,
    events: &mut Vec<MarketEvent>,
) -> Option<usize> {
    if events.len() > most {
        return None;
    }
    let mut partition = worker.partition.try_lock()?;
    if partition.is_torn() {
        return None;
    }
    let stamp = worker.lane.claim()?;
    let (now, number) = (Instant::now(), events.len());
    let mut batch = Batch {
        feed,
        stamp,
        queued_at: now,
        events: std::mem::take(events),
        audit: None,
    };
    let drill = worker.lane.takes_panic();
    let applied = catch_unwind(AssertUnwindSafe(|| {
        partition.apply(&mut batch, now, || worker::fail_if(drill));
    }));
    batch.events.clear();
    if applied.is_ok() {
        worker::record(worker, &batch, count(number), now);
    } else {
        worker.stats.lost.add(count(number));
    }
    let wanted = applied.is_err() || partition.has_resyncs();
    drop(partition);
    *events = batch.events;
    if wanted {
        worker.lane.want_look();
    }
    Some(number)
}

#[cfg(test)]
#[path = "direct_tests.rs"]
mod tests;
