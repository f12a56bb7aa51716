//! What a socket's thread does for a worker that is behind: it applies the oldest
//! of what is queued, at least as many events as it has just brought.
//!
//! A socket is read faster than its events are applied. Without this, whatever
//! comes faster than a worker works, be it the backlog of a second's standstill,
//! would fill the queue within some 30 ms and be shed, while the thread that brings
//! it could as well work. With it, a queue grows beyond half only by what the
//! sockets bring at one time; what is too much for all threads together waits in
//! the sockets, where the venue sees it and closes what does not keep up.
//!
//! The partition is held meanwhile, and batches are taken while it is, so that they
//! are applied in the order of their stamps, whoever applies them. As in `direct`,
//! a panic does not reach the socket, and nothing here calls anybody else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use parking_lot::MutexGuard;

use crate::shared::Worker;
use crate::worker;

/// How long help lasts, if it has given back what was brought: a change of hands
/// costs some 40 µs, and readers wait for the end of it.
const SPELL: Duration = Duration::from_millis(1);

/// Eighths of a queue's bounds beyond which there is help, and at which it ends.
const HELPED: usize = 4;
const ENOUGH: usize = 3;

/// Applies some of what is queued if that is more than half of what may be, after
/// `brought` events were queued. The queue is left shorter than it was before them,
/// and is no longer than three eighths of its bound if a millisecond is enough.
pub(crate) fn relieve(worker: &Worker, brought: usize) {
    let lane = &worker.lane;
    if !lane.is_beyond(HELPED) || !lane.is_alive() {
        return;
    }
    let mut partition = worker.partition.lock();
    let began = Instant::now();
    let (mut now, mut applied, mut wanted) = (began, 0, false);
    while lane.is_beyond(ENOUGH) && lane.is_alive() && !partition.is_torn() {
        let drill = lane.takes_panic();
        let done = catch_unwind(AssertUnwindSafe(|| {
            worker::apply_oldest(worker, &mut partition, now, drill)
        }));
        wanted |= done.is_err() || partition.has_resyncs();
        let Ok(events @ 1..) = done else {
            break;
        };
        applied += events;
        now = Instant::now();
        if applied >= brought && now.saturating_duration_since(began) >= SPELL {
            break;
        }
    }
    // The worker and readers wait for this lock.
    MutexGuard::unlock_fair(partition);
    if wanted {
        lane.want_look();
    }
    lane.tell_if_dry();
}

#[cfg(test)]
#[path = "relief_tests.rs"]
mod tests;
