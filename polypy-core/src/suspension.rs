//! Whether the process has run without a break.
//!
//! A process that was stopped, or a machine that slept, wakes with books of
//! before, and nothing in them says so. So each part that runs beats, several times a
//! second; a beat that comes late ends a suspension, and a reader before the
//! first beat sees that it is due. The clock is handed in: it has to go on while
//! the machine sleeps.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts the suspensions of the process. Shared by those who beat and those who
/// read.
pub struct SuspensionWatch {
    /// The time since some fixed moment, sleep included.
    clock: Box<dyn Fn() -> Duration + Send + Sync>,
    /// When it last beat, in milliseconds and one: zero while nobody has to.
    last_beat: AtomicU64,
    suspensions: AtomicU64,
}

impl SuspensionWatch {
    /// A beat that comes later than this ends a suspension. A busy machine delays
    /// timers by hundreds of milliseconds; and whatever the cause, a process that did
    /// nothing for seconds has books that are as old.
    pub const LIMIT: Duration = Duration::from_secs(2);
    /// Beats come at least this often.
    pub const PERIOD: Duration = Duration::from_secs(1);

    /// A watch that reads this clock.
    pub fn new(clock: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self {
            clock: Box::new(clock),
            last_beat: AtomicU64::new(0),
            suspensions: AtomicU64::new(0),
        }
    }

    /// From now on somebody beats.
    pub fn begin(&self) {
        self.last_beat.store(self.now(), Ordering::SeqCst);
    }

    /// Nobody beats any more: silence says nothing.
    pub fn end(&self) {
        self.last_beat.store(0, Ordering::SeqCst);
    }

    /// The process runs. If it did not for longer than the limit: for how long. Of
    /// those who beat after a suspension one is told so.
    pub fn beat(&self) -> Option<Duration> {
        let now = self.now();
        let last = self.last_beat.load(Ordering::SeqCst);
        if last == 0 || now <= last {
            return None;
        }
        if !is_beyond_limit(last, now) {
            // Fails where another one has beaten, or ended it, meanwhile.
            let (done, failed) = (Ordering::SeqCst, Ordering::SeqCst);
            let _another = self.last_beat.compare_exchange(last, now, done, failed);
            return None;
        }
        // The count first: a reader that sees the fresh beat has to see it, too. If
        // two come at once it grows by two, which is as good.
        self.suspensions.fetch_add(1, Ordering::SeqCst);
        let (done, failed) = (Ordering::SeqCst, Ordering::SeqCst);
        let is_first = self.last_beat.compare_exchange(last, now, done, failed);
        is_first.ok().map(|last| Duration::from_millis(now - last))
    }

    /// Whether the process is waking up: a beat is long due.
    pub fn is_late(&self) -> bool {
        let last = self.last_beat.load(Ordering::SeqCst);
        last != 0 && is_beyond_limit(last, self.now())
    }

    /// Suspensions that have ended so far. What was confirmed at another count may
    /// be old.
    pub fn count(&self) -> u64 {
        self.suspensions.load(Ordering::SeqCst)
    }

    fn now(&self) -> u64 {
        let millis = u64::try_from((self.clock)().as_millis()).unwrap_or(u64::MAX);
        millis.saturating_add(1)
    }
}

fn is_beyond_limit(last: u64, now: u64) -> bool {
    let limit = SuspensionWatch::LIMIT + SuspensionWatch::PERIOD;
    u128::from(now.saturating_sub(last)) > limit.as_millis()
}

/// A watch whose clock stands: it never finds anything.
impl Default for SuspensionWatch {
    fn default() -> Self {
        Self::new(|| Duration::ZERO)
    }
}

impl fmt::Debug for SuspensionWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SuspensionWatch")
            .field("suspensions", &self.count())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn watch() -> (SuspensionWatch, impl Fn(u64)) {
        let time = Arc::new(AtomicU64::new(5));
        let clock = Arc::clone(&time);
        let watch =
            SuspensionWatch::new(move || Duration::from_millis(clock.load(Ordering::SeqCst)));
        let pass = move |millis| {
            time.fetch_add(millis, Ordering::SeqCst);
        };
        (watch, pass)
    }

    #[test]
    fn delays_of_a_busy_machine_are_no_suspension_and_seconds_are() {
        let (watch, pass) = watch();
        watch.begin();
        for _ in 0..100 {
            pass(3_000);
            assert!(!watch.is_late());
            assert_eq!(watch.beat(), None);
        }
        pass(3_001);
        assert!(watch.is_late(), "a reader may come before the first beat");
        assert_eq!(watch.count(), 0);
        assert_eq!(watch.beat(), Some(Duration::from_millis(3_001)));
        assert_eq!((watch.count(), watch.is_late()), (1, false));
        assert_eq!(watch.beat(), None, "told once");
    }

    #[test]
    fn where_nobody_beats_silence_says_nothing() {
        let (watch, pass) = watch();
        pass(60_000);
        assert_eq!((watch.is_late(), watch.beat()), (false, None));
        watch.begin();
        watch.end();
        pass(60_000);
        assert_eq!(
            (watch.is_late(), watch.beat(), watch.count()),
            (false, None, 0)
        );
        watch.begin();
        pass(60_000);
        assert_eq!(watch.beat(), Some(Duration::from_mins(1)));
        assert_eq!(SuspensionWatch::default().beat(), None);
    }
}
