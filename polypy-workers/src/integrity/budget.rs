//! A budget for work that is dear: a token bucket.

use std::time::Instant;

/// Allows `per_second` uses a second on average, and as many at once.
#[derive(Debug)]
pub(crate) struct Budget {
    per_second: u32,
    /// In millionths of a use, so that slow refills lose nothing to rounding.
    left: u64,
    refilled: Instant,
}

const WHOLE: u64 = 1_000_000;

impl Budget {
    /// A full budget.
    pub(crate) fn new(per_second: u32, now: Instant) -> Self {
        Self {
            per_second,
            left: u64::from(per_second) * WHOLE,
            refilled: now,
        }
    }

    /// Uses one, if there is one left.
    pub(crate) fn spend(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.refilled).as_micros();
        let gained = u64::try_from(elapsed)
            .unwrap_or(u64::MAX)
            .saturating_mul(u64::from(self.per_second));
        self.left = self
            .left
            .saturating_add(gained)
            .min(u64::from(self.per_second) * WHOLE);
        self.refilled = now.max(self.refilled);
        match self.left.checked_sub(WHOLE) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn spends_a_burst_and_then_the_rate() {
        let start = Instant::now();
        let mut budget = Budget::new(10, start);
        let spent = |budget: &mut Budget, at| (0..100).filter(|_| budget.spend(at)).count();
        assert_eq!(spent(&mut budget, start), 10);
        assert_eq!(spent(&mut budget, start + Duration::from_millis(99)), 0);
        assert_eq!(spent(&mut budget, start + Duration::from_millis(200)), 2);
        assert_eq!(spent(&mut budget, start + Duration::from_secs(3_600)), 10);
        assert!(!Budget::new(0, start).spend(start + Duration::from_secs(9)));
    }
}
