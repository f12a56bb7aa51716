//! How the hub's thread is woken, at no cost while it is awake.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::Duration;

use parking_lot::Mutex;

/// Wakes the hub's thread where it has gone to sleep.
#[derive(Default)]
pub(crate) struct Waker {
    /// Set before the last look for work: whoever brings work after that look sees it.
    is_parked: AtomicBool,
    thread: Mutex<Option<Thread>>,
}

impl Waker {
    /// There is work, which stands where the hub looks for it.
    pub(crate) fn wake(&self) {
        // A load first: while the hub is awake, sockets share the line and do not
        // write to it.
        let is_mine =
            self.is_parked.load(Ordering::SeqCst) && self.is_parked.swap(false, Ordering::SeqCst);
        if is_mine && let Some(thread) = &*self.thread.lock() {
            thread.unpark();
        }
    }

    /// The calling thread is the one to be woken.
    pub(crate) fn adopt(&self) {
        *self.thread.lock() = Some(std::thread::current());
    }

    /// Sleeps until it is woken, for `most` at the longest, unless `has_work` after
    /// everybody has been told that it sleeps. Whether somebody woke it.
    pub(crate) fn park(&self, most: Duration, has_work: impl FnOnce() -> bool) -> bool {
        self.is_parked.store(true, Ordering::SeqCst);
        if !has_work() {
            std::thread::park_timeout(most);
        }
        !self.is_parked.swap(false, Ordering::SeqCst)
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waker")
            .field("is_parked", &self.is_parked)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Work that comes between the last look and the sleep ends the sleep.
    #[test]
    fn work_that_comes_after_the_last_look_is_not_slept_through() {
        let waker = Arc::new(Waker::default());
        waker.adopt();
        let theirs = Arc::clone(&waker);
        let woken = waker.park(Duration::from_secs(1), || {
            // Looked, and found nothing; now it comes.
            std::thread::spawn(move || theirs.wake()).join().unwrap();
            false
        });
        assert!(woken);
        assert!(!waker.park(Duration::ZERO, || true), "nobody came");
    }
}
