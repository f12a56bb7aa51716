//! The forgetting of ended markets.
//!
//! An ended market stays readable for a while, its last books with it. Then it
//! is forgotten everywhere: registry and interner first, so that no decoder can
//! name it any more, the books after. What the venue lists again later comes
//! back as a new market.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use polypy_core::ConditionId;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::{Shared, stats};

/// Ended markets, by the moment at which they are to be forgotten. Bounded by
/// the registry: a market is put in once, when it ends.
#[derive(Debug, Default)]
pub(super) struct RetentionQueue {
    /// The earliest first: all stay equally long.
    retained: Mutex<VecDeque<(Instant, ConditionId)>>,
    wake: Notify,
}

impl RetentionQueue {
    pub(super) fn retain(&self, condition: ConditionId, forget_after: Duration) {
        let now = Instant::now();
        // Ages beyond what the clock can hold: never.
        let Some(due) = now.checked_add(forget_after) else {
            return;
        };
        self.retained.lock().push_back((due, condition));
        self.wake.notify_one();
    }

    /// A market is not to be forgotten after all.
    pub(super) fn release(&self, condition: &ConditionId) {
        self.retained
            .lock()
            .retain(|(_, retained)| retained != condition);
    }

    pub(super) fn len(&self) -> usize {
        self.retained.lock().len()
    }

    fn next_due(&self) -> Option<Instant> {
        self.retained.lock().front().map(|(due, _)| *due)
    }

    fn take_due(&self, now: Instant) -> Option<ConditionId> {
        let mut retained = self.retained.lock();
        let due = retained.front().is_some_and(|(due, _)| *due <= now);
        due.then(|| retained.pop_front())?
            .map(|(_, condition)| condition)
    }
}

/// Forgets what is due, for ever.
pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        match shared.retention.next_due() {
            Some(due) => sleep_until(due).await,
            None => shared.retention.wake.notified().await,
        }
        // Each as one act: another may be about to take it back.
        let forget_one = || {
            let mut held = shared.hold();
            let condition = shared.retention.take_due(Instant::now())?;
            held.forget(&condition);
            Some(condition)
        };
        while let Some(condition) = forget_one() {
            shared.delistings.forget(&condition);
            shared.closings.forget(&condition);
            stats::count(&shared.stats.forgotten);
            tracing::debug!(%condition, "market forgotten");
        }
    }
}
