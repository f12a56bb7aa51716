//! How the hub's thread is woken, at no cost while it is awake.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::Thread;
use std::time::Duration;

use parking_lot::Mutex;

/// Wakes the hub's thread where it has gone to sleep.
#[derive(Default)]
pub(crate) struct Waker {
    /// Set before the last look for work: whoever brings work after that look sees it.
    state: AtomicU8,
    thread: Mutex<Option<Thread>>,
}

/// What ends a sleep before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wakes {
    /// A change, and a client that asks for something.
    Changes,
    /// Whoever asks for something, alone.
    Asking,
}

const AWAKE: u8 = 0;

impl Wakes {
    fn code(self) -> u8 {
        match self {
            Self::Changes => 1,
            Self::Asking => 2,
        }
    }
}

impl Waker {
    /// Somebody asks for something, which stands where the hub looks for it.
    pub(crate) fn wake(&self) {
        let is_mine = self.state.load(Ordering::SeqCst) != AWAKE
            && self.state.swap(AWAKE, Ordering::SeqCst) != AWAKE;
        if is_mine && let Some(thread) = &*self.thread.lock() {
            thread.unpark();
        }
    }

    /// Something has changed, and stands where the hub looks for it.
    pub(crate) fn wake_for_change(&self) {
        // A load first: while the hub is awake, sockets share the line and do not
        // write to it.
        if self.state.load(Ordering::SeqCst) == Wakes::Changes.code() {
            self.wake();
        }
    }

    /// The calling thread is the one to be woken.
    pub(crate) fn adopt(&self) {
        *self.thread.lock() = Some(std::thread::current());
    }

    /// Sleeps until it is woken, for `most` at the longest, unless `has_work` after
    /// everybody has been told that it sleeps. Whether somebody woke it.
    pub(crate) fn park(
        &self,
        wakes: Wakes,
        most: Duration,
        has_work: impl FnOnce() -> bool,
    ) -> bool {
        self.state.store(wakes.code(), Ordering::SeqCst);
        if !has_work() {
            std::thread::park_timeout(most);
        }
        self.state.swap(AWAKE, Ordering::SeqCst) == AWAKE
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waker")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Sleeps, is told something after its last look, and says whether that woke it.
    fn sleep(wakes: Wakes, most: Duration, tell: fn(&Waker)) -> bool {
        let waker = Arc::new(Waker::default());
        waker.adopt();
        let theirs = Arc::clone(&waker);
        waker.park(wakes, most, || {
            // Looked, and found nothing; now it comes.
            std::thread::spawn(move || tell(&theirs)).join().unwrap();
            false
        })
    }

    #[test]
    fn work_that_comes_after_the_last_look_is_not_slept_through() {
        let long = Duration::from_secs(60);
        assert!(sleep(Wakes::Changes, long, Waker::wake));
        assert!(sleep(Wakes::Changes, long, Waker::wake_for_change));
        assert!(sleep(Wakes::Asking, long, Waker::wake));
        let waker = Waker::default();
        assert!(
            !waker.park(Wakes::Changes, Duration::ZERO, || true),
            "nobody came"
        );
    }

    #[test]
    fn changes_wake_nobody_who_waits_to_be_asked() {
        let short = Duration::from_millis(1);
        assert!(!sleep(Wakes::Asking, short, Waker::wake_for_change));
    }
}
