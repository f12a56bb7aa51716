//! Moments of the monotonic clock as wall-clock time.

use std::time::Instant;

use polypy_core::Clock;

/// A moment of both clocks. Between two moments wall-clock time goes as the monotonic
/// clock does, so that what follows each other has times that do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Anchor {
    at: Instant,
    wall_us: u64,
}

/// By how much the clocks may part before the anchor follows the wall clock.
const TOLERANCE_US: u64 = 10_000;

impl Anchor {
    pub(crate) fn new(clock: &dyn Clock, now: Instant) -> Self {
        Self {
            at: now,
            wall_us: clock.now().millis().saturating_mul(1_000),
        }
    }

    /// Follows the wall clock if that was set.
    pub(crate) fn renew(&mut self, clock: &dyn Clock, now: Instant) {
        let fresh = Self::new(clock, now);
        if fresh.wall_us.abs_diff(self.micros(now)) > TOLERANCE_US {
            *self = fresh;
        }
    }

    /// Microseconds since 1970.
    pub(crate) fn micros(&self, moment: Instant) -> u64 {
        let micros =
            |duration: std::time::Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        match moment.checked_duration_since(self.at) {
            Some(after) => self.wall_us.saturating_add(micros(after)),
            None => self.wall_us.saturating_sub(micros(self.at - moment)),
        }
    }

    /// Milliseconds since 1970.
    pub(crate) fn millis(&self, moment: Instant) -> u64 {
        self.micros(moment) / 1_000
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
        anchor.renew(&wall, later);
        assert_eq!(anchor.micros(later), 1_001_500, "within the tolerance");
        wall.0.store(1_012, Ordering::SeqCst);
        anchor.renew(&wall, later);
        assert_eq!(anchor.micros(later), 1_012_000, "beyond it");
    }
}
