//! What happened to markets and the hub has not read.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use polypy_core::{CatalogueSink, MarketChange};

use crate::waker::Waker;

/// Changes that may wait: a venue lists a few thousand markets at once at most.
const MOST: usize = 16_384;

/// A queue, bounded. What does not fit is lost and said to be.
pub(crate) struct Markets {
    queue: Mutex<Queue>,
    waker: Arc<Waker>,
}

#[derive(Debug, Default)]
struct Queue {
    changes: Vec<MarketChange>,
    lost: u64,
}

impl Markets {
    pub(crate) fn new(waker: Arc<Waker>) -> Self {
        Self {
            queue: Mutex::default(),
            waker,
        }
    }

    /// What happened since the last time, in order, and how much of it is lost.
    pub(crate) fn take(&self) -> (Vec<MarketChange>, u64) {
        let mut queue = self.queue.lock();
        (
            std::mem::take(&mut queue.changes),
            std::mem::take(&mut queue.lost),
        )
    }

    pub(crate) fn has_any(&self) -> bool {
        let queue = self.queue.lock();
        !queue.changes.is_empty() || queue.lost > 0
    }
}

impl CatalogueSink for Markets {
    fn changed(&self, change: MarketChange) {
        {
            let mut queue = self.queue.lock();
            if queue.changes.len() < MOST {
                queue.changes.push(change);
            } else {
                queue.lost += 1;
            }
        }
        self.waker.wake_for_change();
    }
}

impl fmt::Debug for Markets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Markets").finish_non_exhaustive()
    }
}
