//! Moments of the monotonic clock as wall-clock time.

use std::time::Instant;

use polypy_core::Clock;

/// A moment of both clocks. Between two moments wall-clock time goes as the monotonic
/// clock does, so that what follows each other has times that do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Anchor {
    pair: Pair,
    /// What the clocks said when they had parted, the last time they were looked at.
    parted: Option<Pair>,
}

/// What both clocks say at a moment.
#[derive(Debug, Clone, Copy)]
struct Pair {
    at: Instant,
    wall_us: u64,
}

/// By how much the clocks may part before the anchor follows the wall clock.
const TOLERANCE_US: u64 = 10_000;

impl Anchor {
    pub(crate) fn new(clock: &dyn Clock, now: Instant) -> Self {
        Self {
            pair: Pair::read(clock, now),
            parted: None,
        }
    }

    /// Follows the wall clock if that was set: if the clocks are found as far apart twice in
    /// a row. Once may be a thread that had to wait between its looks at the two. `false`:
    /// they have parted, and have to be looked at again.
    pub(crate) fn renew(&mut self, clock: &dyn Clock, now: Instant) -> bool {
        let fresh = Pair::read(clock, now);
        let goes_on = |pair: &Pair| fresh.wall_us.abs_diff(pair.micros(now)) <= TOLERANCE_US;
        let is_apart = !goes_on(&self.pair);
        let parted = self.parted.take();
        match parted.filter(goes_on) {
            Some(_) if is_apart => self.pair = fresh,
            None if is_apart => self.parted = Some(fresh),
            Some(_) | None => {}
        }
        self.parted.is_none()
    }

    /// Microseconds since 1970.
    pub(crate) fn micros(&self, moment: Instant) -> u64 {
        self.pair.micros(moment)
    }

    /// Milliseconds since 1970.
    pub(crate) fn millis(&self, moment: Instant) -> u64 {
        self.micros(moment) / 1_000
    }
}

impl Pair {
    fn read(clock: &dyn Clock, now: Instant) -> Self {
        Self {
            at: now,
            wall_us: clock.now().millis().saturating_mul(1_000),
        }
    }

    fn micros(&self, moment: Instant) -> u64 {
        let micros =
            |duration: std::time::Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        match moment.checked_duration_since(self.at) {
            Some(after) => self.wall_us.saturating_add(micros(after)),
            None => self.wall_us.saturating_sub(micros(self.at - moment)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use polypy_core::Timestamp;

    use super::*;

    #[derive(Default)]
    struct Wall(AtomicU64);

    impl Clock for Wall {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.load(Ordering::SeqCst))
        }
    }

    #[test]
    fn times_follow_the_monotonic_clock_until_the_wall_clock_is_set() {
        let (wall, start) = (Wall::default(), Instant::now());
        wall.0.store(1_000, Ordering::SeqCst);
        let mut anchor = Anchor::new(&wall, start);
        let later = start + Duration::from_micros(1_500);
        assert_eq!(anchor.micros(later), 1_001_500);
        if let Some(earlier) = start.checked_sub(Duration::from_micros(250)) {
            assert_eq!(anchor.micros(earlier), 999_750);
        }
        assert_eq!(anchor.millis(later), 1_001);

        wall.0.store(1_011, Ordering::SeqCst);
        assert!(anchor.renew(&wall, later));
        assert_eq!(anchor.micros(later), 1_001_500, "within the tolerance");
        wall.0.store(1_012, Ordering::SeqCst);
        assert!(!anchor.renew(&wall, later));
        assert_eq!(
            anchor.micros(later),
            1_001_500,
            "beyond it, for the first time"
        );
        assert!(anchor.renew(&wall, later));
        assert_eq!(anchor.micros(later), 1_012_000, "and again");
    }

    #[test]
    fn a_thread_that_waits_between_the_clocks_moves_no_time() {
        let (wall, start) = (Wall::default(), Instant::now());
        let mut anchor = Anchor::new(&wall, start);
        // What the thread reads of the wall clock comes so much later.
        for (waited, is_settled) in [(0, true), (56, false), (0, true), (56, false), (90, false)] {
            wall.0.store(waited, Ordering::SeqCst);
            assert_eq!(anchor.renew(&wall, start), is_settled, "{waited}");
            assert_eq!(anchor.micros(start), 0);
        }
        // A clock that is set is set back, too.
        let later = start + Duration::from_secs(9);
        wall.0.store(1, Ordering::SeqCst);
        assert!(!anchor.renew(&wall, later) && anchor.renew(&wall, later));
        assert_eq!(anchor.millis(later), 1);
    }
}
