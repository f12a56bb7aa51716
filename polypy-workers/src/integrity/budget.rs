//! Budgets for work that is dear: token buckets.

use std::time::{Duration, Instant};

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

/// A share of one core. What was spent is charged after the fact, as measured;
/// a debt is paid back before anything more is allowed.
#[derive(Debug)]
pub(crate) struct CpuBudget {
    percent: u32,
    /// Negative while in debt.
    left_nanos: i64,
    refilled: Instant,
}

/// The time whose share may be spent at once, and owed: a burst of this length
/// is not worth leaving anything out for.
const BURST: Duration = Duration::from_millis(200);

impl CpuBudget {
    /// A full budget of this much of a core.
    pub(crate) fn new(percent: u32, now: Instant) -> Self {
        Self {
            percent,
            left_nanos: share_of(BURST, percent),
            refilled: now,
        }
    }

    /// Whether anything is left.
    pub(crate) fn allows(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.refilled);
        if !elapsed.is_zero() {
            let gained = share_of(elapsed, self.percent);
            let most = share_of(BURST, self.percent);
            self.left_nanos = self.left_nanos.saturating_add(gained).min(most);
            self.refilled = now;
        }
        self.left_nanos > 0
    }

    /// Takes off what was spent.
    pub(crate) fn charge(&mut self, spent: Duration) {
        let spent = i64::try_from(spent.as_nanos()).unwrap_or(i64::MAX);
        let least = -share_of(BURST, self.percent);
        self.left_nanos = self.left_nanos.saturating_sub(spent).max(least);
    }
}

/// Nanoseconds in `percent` of `time`.
fn share_of(time: Duration, percent: u32) -> i64 {
    let share = time.as_nanos().saturating_mul(u128::from(percent)) / 100;
    i64::try_from(share).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_share_of_a_core_is_kept_over_time_whatever_one_use_costs() {
        let start = Instant::now();
        let mut budget = CpuBudget::new(50, start);
        let cost = Duration::from_micros(700);
        let mut spent = Duration::ZERO;
        for micros in 0..10_000 {
            // Asked far more often than it can be afforded.
            if budget.allows(start + Duration::from_micros(micros * 500)) {
                budget.charge(cost);
                spent += cost;
            }
        }
        // Five seconds, half of them, and the burst at the start.
        let most = Duration::from_millis(2_500 + 100) + cost;
        assert!(spent <= most && spent + 2 * cost > most, "{spent:?}");
    }

    #[test]
    fn a_debt_is_paid_back_and_bounded() {
        let start = Instant::now();
        let mut budget = CpuBudget::new(50, start);
        budget.charge(Duration::from_secs(3_600));
        assert!(!budget.allows(start + Duration::from_millis(199)));
        assert!(budget.allows(start + Duration::from_millis(201)));
        assert!(!CpuBudget::new(0, start).allows(start + Duration::from_secs(9)));
    }
}
