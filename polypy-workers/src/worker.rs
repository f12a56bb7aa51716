//! A worker's thread: wait, apply, ask for what is missing.
//!
//! A panic ends the thread. Its [`Guard`] says so at once to readers and to the
//! health check, and wakes the supervisor; the queue, the books and the counters
//! are not the thread's own and outlive it. The batch that was being applied is
//! not tried again: what made it panic once would do so for ever.

use std::sync::Arc;
use std::time::{Duration, Instant};

use polypy_core::Scope;

use crate::counter::count;
use crate::lane::Batch;
use crate::partition::Partition;
use crate::shared::{Shared, Worker};

/// How long an idle worker sleeps: the grain of everything that only time changes.
const PATIENCE: Duration = Duration::from_millis(250);

/// Runs worker `number` until it is asked to stop.
pub(crate) fn run(shared: &Arc<Shared>, number: usize) {
    let Some(worker) = shared.workers.get(number) else {
        return;
    };
    let _guard = Guard { shared, worker };
    while turn(shared, worker, PATIENCE) {}
}

/// Does what there is to do, or waits for it; `false` when asked to stop.
pub(crate) fn turn(shared: &Shared, worker: &Worker, patience: Duration) -> bool {
    if !worker.lane.wait(patience) {
        return false;
    }
    let now = Instant::now();
    let resyncs = {
        let mut partition = worker.partition.lock();
        fail_if_torn(partition.is_torn());
        let drill = worker.lane.takes_panic();
        apply_oldest(worker, &mut partition, now, drill);
        partition.look(now);
        let resyncs = partition.take_resyncs();
        // Readers wait for this lock: the next batch is not to overtake them.
        parking_lot::MutexGuard::unlock_fair(partition);
        resyncs
    };
    for ((feed, reason), assets) in resyncs.into_iter().flatten() {
        tracing::debug!(
            ?reason,
            ?feed,
            assets = assets.len(),
            "asking for fresh books"
        );
        let scope = feed.map_or(Scope::AllFeeds, Scope::Feed);
        shared.resync.resync(scope, &assets, reason);
    }
    worker.lane.tell_if_dry();
    true
}

/// Applies what was said of books, then the oldest batch that is queued; how much of
/// the queue that was. `drill` makes it panic in its midst.
pub(crate) fn apply_oldest(
    worker: &Worker,
    partition: &mut Partition,
    now: Instant,
    drill: bool,
) -> usize {
    if let Some(notices) = worker.lane.take_notices() {
        partition.take(notices, now);
    }
    let Some(mut batch) = worker.lane.take() else {
        fail_if(drill);
        return 0;
    };
    let (weight, events) = (batch.weight(), count(batch.events.len()));
    partition.apply(&mut batch, now, || fail_if(drill));
    record(worker, &batch, events, now);
    worker.lane.finish(batch.events);
    weight
}

/// Counts a batch that was taken at `taken` and is applied now.
pub(crate) fn record(worker: &Worker, batch: &Batch, events: u64, taken: Instant) {
    let stats = &worker.stats;
    let busy = u64::try_from(taken.elapsed().as_nanos()).unwrap_or(u64::MAX);
    stats.batches.increment();
    stats.processing_nanos.add(busy);
    let waited = taken.saturating_duration_since(batch.queued_at);
    stats.queue_time.record(waited, events);
}

/// A batch that another thread applied was left half done (`direct`): this thread
/// dies of it, for that is what the supervisor knows how to heal.
#[expect(clippy::panic, reason = "the other thread's panic is passed on")]
fn fail_if_torn(torn: bool) {
    if torn {
        std::panic::panic_any("a socket's thread panicked while it applied a batch");
    }
}

/// A drill: dies as a defect would.
#[expect(clippy::panic, reason = "panicking is what a drill is for")]
pub(crate) fn fail_if(drill: bool) {
    if drill {
        std::panic::panic_any("a panic was injected");
    }
}

/// Says that the thread has ended, however it did.
struct Guard<'a> {
    shared: &'a Shared,
    worker: &'a Worker,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.worker.lane.set_alive(false);
        self.shared.died.notify_one();
    }
}
