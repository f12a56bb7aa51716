//! Polls what is mostly quiet only after it has woken somebody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// Stands between a task and a source that it polls beside others.
///
/// A task that waits for several sources polls all of them whichever woke it. Looking at a
/// client's socket costs reads of memory that nobody has touched for long, for each message
/// to each of a thousand clients that say nothing. This wakes the task for its source and
/// remembers that it did; while it has not, there is nothing to look for.
pub(super) struct Notice {
    signal: Arc<Signal>,
    /// What the source is polled with.
    waker: Waker,
}

#[derive(Default)]
struct Signal {
    was_woken: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Before the task is woken: it looks at this next.
        self.was_woken.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl Notice {
    /// The source is polled at the first occasion.
    pub(super) fn new() -> Self {
        let signal = Arc::new(Signal::default());
        signal.was_woken.store(true, Ordering::Release);
        let waker = Waker::from(Arc::clone(&signal));
        Self { signal, waker }
    }

    /// Has the source polled at the next occasion, whether it wakes or not: for when its
    /// wakers may have been taken by somebody else.
    pub(super) fn set(&self) {
        self.signal.was_woken.store(true, Ordering::Release);
    }

    /// Polls the source if it has woken this since it was last pending.
    pub(super) fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        source: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        // Registered before the flag is read: a wake in between is not lost.
        self.signal.task.register(cx.waker());
        if !self.signal.was_woken.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let polled = source(&mut Context::from_waker(&self.waker));
        if polled.is_ready() {
            // It may have more, and has kept no waker.
            self.set();
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_source_is_polled_at_first_then_when_it_wakes_and_after_it_was_ready() {
        let count = Arc::new(Count::default());
        let task = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&task);
        let notice = Notice::new();
        let mut kept = None;
        let mut polls = 0;
        let mut poll = |notice: &Notice, answer: Poll<()>| {
            let before = polls;
            let polled = notice.poll(&mut cx, |cx| {
                polls += 1;
                kept = Some(cx.waker().clone());
                answer
            });
            (polled.is_ready(), polls > before, kept.clone().unwrap())
        };
        let (is_ready, was_polled, waker) = poll(&notice, Poll::Pending);
        assert!(!is_ready && was_polled);
        let (is_ready, was_polled, _) = poll(&notice, Poll::Ready(()));
        assert!(!is_ready && !was_polled, "it has not woken");
        waker.wake();
        assert_eq!(count.0.load(Ordering::Relaxed), 1, "its task is woken");
        let (is_ready, was_polled, _) = poll(&notice, Poll::Ready(()));
        assert!(is_ready && was_polled);
        let (is_ready, was_polled, _) = poll(&notice, Poll::Pending);
        assert!(!is_ready && was_polled, "what was ready may have more");
        let (_, was_polled, _) = poll(&notice, Poll::Pending);
        assert!(!was_polled);
        notice.set();
        let (_, was_polled, _) = poll(&notice, Poll::Pending);
        assert!(was_polled, "its wakers may be elsewhere");
    }

    #[test]
    fn a_source_that_wakes_while_it_is_polled_is_polled_again() {
        let count = Arc::new(Count::default());
        let task = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&task);
        let notice = Notice::new();
        let wakes_itself = |cx: &mut Context<'_>| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        };
        assert!(notice.poll(&mut cx, wakes_itself).is_pending());
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(notice.poll(&mut cx, |_cx| Poll::Ready(())).is_ready());
    }
}
