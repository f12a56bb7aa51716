//! A budget for work that is dear.

use std::time::{Duration, Instant};

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
