//! From the clock that measures to the one on the wall.
//!
//! What comes is stamped by the monotonic clock, and recorded as wall time: as far from a
//! common reading of both as the monotonic clock says. When the two have parted, they are
//! read again.

use std::time::{Duration, Instant};

/// Clocks further apart than this have parted. Less is their drift, and the time between
/// reading the one and the other.
const APART: u64 = 10_000_000;

/// A common reading of both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Anchor {
    at: Instant,
    wall: u64,
}

impl Anchor {
    /// The monotonic clock showed `at` when the wall's showed `wall`, in nanoseconds since
    /// the epoch, as everywhere here.
    pub(crate) fn new(at: Instant, wall: u64) -> Self {
        Self { at, wall }
    }

    /// The wall time of a moment, before the reading or after it.
    pub(crate) fn wall(&self, moment: Instant) -> u64 {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        match moment.checked_duration_since(self.at) {
            Some(later) => self.wall.saturating_add(nanos(later)),
            None => {
                let earlier = self.at.saturating_duration_since(moment);
                self.wall.saturating_sub(nanos(earlier))
            }
        }
    }

    /// Both clocks were read again. If they have parted: how far the wall's moved, back if
    /// that is negative; from now on this reading counts.
    pub(crate) fn renew(&mut self, now: Instant, wall: u64) -> Option<i64> {
        let expected = self.wall(now);
        if wall.abs_diff(expected) <= APART {
            return None;
        }
        *self = Self::new(now, wall);
        let step = i128::from(wall) - i128::from(expected);
        let farthest = if step < 0 { i64::MIN } else { i64::MAX };
        Some(i64::try_from(step).unwrap_or(farthest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_moment_is_as_far_from_the_reading_as_the_clock_that_measures_says() {
        let now = Instant::now();
        let anchor = Anchor::new(now, 5_000 * MS);
        assert_eq!(anchor.wall(now), 5_000 * MS);
        assert_eq!(anchor.wall(now + Duration::from_nanos(17)), 5_000 * MS + 17);
        let before = now.checked_sub(Duration::from_millis(7)).unwrap();
        assert_eq!(anchor.wall(before), 4_993 * MS);
    }

    #[test]
    fn clocks_that_part_are_read_anew_and_drift_is_left_alone() {
        let now = Instant::now();
        let mut anchor = Anchor::new(now, 5_000 * MS);
        let later = now + Duration::from_millis(100);
        assert_eq!(anchor.renew(later, 5_110 * MS), None);
        assert_eq!(anchor.wall(later), 5_100 * MS);
        assert_eq!(anchor.renew(later, 5_111 * MS), Some(11_000_000));
        assert_eq!(anchor.wall(later), 5_111 * MS);
        assert_eq!(anchor.renew(later, 1_111 * MS), Some(-4_000_000_000));
        assert_eq!(anchor.wall(later + Duration::from_millis(1)), 1_112 * MS);
    }
}
