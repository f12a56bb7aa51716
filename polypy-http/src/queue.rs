//! The threads and the queue of one route whose answers are computed.
//!
//! No two routes share one: while a large list is being rendered, and while a
//! source hangs, everything else is answered as before. Who would wait behind
//! more than [`MOST_WAITING`] others is told so at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Past it a wait would outlast the client's patience anyway: an answer that
/// takes a millisecond has an eighth of a second of work before it.
const MOST_WAITING: usize = 128;

/// See the module.
#[derive(Debug)]
pub(crate) struct Queue {
    threads: Arc<Semaphore>,
    all: u32,
    waiting: AtomicUsize,
}

impl Queue {
    pub(crate) fn new(threads: u32) -> Self {
        Self {
            threads: Arc::new(Semaphore::new(permits(threads))),
            all: threads,
            waiting: AtomicUsize::new(0),
        }
    }

    /// A thread, once one is free; `None` when too many wait already.
    pub(crate) async fn thread(&self) -> Option<OwnedSemaphorePermit> {
        let waiting = Waiting::behind(&self.waiting)?;
        let thread = Arc::clone(&self.threads).acquire_owned().await.ok();
        drop(waiting);
        thread
    }

    /// Resolves when nothing is being computed.
    pub(crate) async fn drained(&self) {
        // Nobody closes it, so that the error cannot be.
        drop(self.threads.acquire_many(self.all).await);
    }

    /// Answers that are being computed.
    pub(crate) fn computing(&self) -> usize {
        permits(self.all).saturating_sub(self.threads.available_permits())
    }
}

/// One that waits, however its wait ends.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn behind(number: &'a AtomicUsize) -> Option<Self> {
        let waiting = Self(number);
        // Undone by the drop if it was one too many.
        (number.fetch_add(1, Ordering::Relaxed) < MOST_WAITING).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn permits(number: u32) -> usize {
    usize::try_from(number).unwrap_or(Semaphore::MAX_PERMITS)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn past_a_bound_nobody_waits() {
        let queue = Arc::new(Queue::new(1));
        let thread = queue.thread().await.unwrap();
        assert_eq!(queue.computing(), 1);
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..MOST_WAITING {
            let queue = Arc::clone(&queue);
            waiting.spawn(async move { queue.thread().await.is_some() });
        }
        while queue.waiting.load(Ordering::Relaxed) < MOST_WAITING {
            tokio::task::yield_now().await;
        }
        // At once: one that waited would wait for ever.
        assert!(matches!(queue.thread().now_or_never(), Some(None)));
        drop(thread);
        while let Some(served) = waiting.join_next().await {
            assert!(served.unwrap());
        }
        assert_eq!(queue.waiting.load(Ordering::Relaxed), 0);
        queue.drained().await;
        assert_eq!(queue.computing(), 0);
    }
}
