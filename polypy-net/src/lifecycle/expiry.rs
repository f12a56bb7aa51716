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
/// the registry: a market is buried once, when it ends.
#[derive(Debug, Default)]
pub(super) struct Graveyard {
    /// The earliest first: all stay equally long.
    buried: Mutex<VecDeque<(Instant, ConditionId)>>,
    wake: Notify,
}

impl Graveyard {
    pub(super) fn bury(&self, condition: ConditionId, forget_after: Duration) {
        let now = Instant::now();
        // Ages beyond what the clock can hold: never.
        let Some(due) = now.checked_add(forget_after) else {
            return;
        };
        self.buried.lock().push_back((due, condition));
        self.wake.notify_one();
    }

    /// A market is not to be forgotten after all.
    pub(super) fn exhume(&self, condition: &ConditionId) {
        self.buried.lock().retain(|(_, buried)| buried != condition);
    }

    pub(super) fn len(&self) -> usize {
        self.buried.lock().len()
    }

    fn next_due(&self) -> Option<Instant> {
        self.buried.lock().front().map(|(due, _)| *due)
    }

    fn take_due(&self, now: Instant) -> Option<ConditionId> {
        let mut buried = self.buried.lock();
        let due = buried.front().is_some_and(|(due, _)| *due <= now);
        due.then(|| buried.pop_front())?
            .map(|(_, condition)| condition)
    }
}

/// Forgets what is due, for ever.
pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        match shared.graveyard.next_due() {
            Some(due) => sleep_until(due).await,
            None => shared.graveyard.wake.notified().await,
        }
        while let Some(condition) = shared.graveyard.take_due(Instant::now()) {
            let assets = shared.registry.forget(&condition);
            shared.books.forget(&assets);
            shared.absences.forget(&condition);
            shared.closings.forget(&condition);
            stats::count(&shared.stats.forgotten);
            tracing::debug!(%condition, "market forgotten");
        }
    }
}
