//! An allowance over time: so many a period, of which one period's worth is saved up.

use std::time::{Duration, Instant};

/// Begins full.
///
/// ```
/// use std::time::{Duration, Instant};
/// use polypy_core::TokenBucket;
///
/// let (second, now) = (Duration::from_secs(1), Instant::now());
/// let mut searches = TokenBucket::new(2, second);
/// assert!(searches.take(now) && searches.take(now) && !searches.take(now));
/// assert!(searches.take(now + second / 2));
/// ```
#[derive(Debug)]
pub struct TokenBucket {
    allowance: f64,
    period: Duration,
    tokens: f64,
    refilled: Option<Instant>,
}

impl TokenBucket {
    /// So many every `period`.
    pub fn new(allowance: u32, period: Duration) -> Self {
        let allowance = f64::from(allowance);
        Self {
            allowance,
            period,
            tokens: allowance,
            refilled: None,
        }
    }

    /// Takes one, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        if let Some(before) = self.refilled {
            let passed = now.saturating_duration_since(before);
            let share = passed.as_secs_f64() / self.period.as_secs_f64();
            self.tokens = (self.tokens + share * self.allowance).min(self.allowance);
        }
        self.refilled = Some(self.refilled.map_or(now, |before| before.max(now)));
        let is_one = self.tokens >= 1.0;
        if is_one {
            self.tokens -= 1.0;
        }
        is_one
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_has_its_allowance_and_one_that_was_saved_up_has_twice() {
        let (period, start) = (Duration::from_secs(60), Instant::now());
        let mut bucket = TokenBucket::new(6, period);
        let mut taken = |after: Duration| {
            let now = start + after;
            (0..100).filter(|_| bucket.take(now)).count()
        };
        assert_eq!(taken(Duration::ZERO), 6);
        assert_eq!(taken(Duration::from_secs(9)), 0);
        assert_eq!(taken(Duration::from_secs(11)), 1);
        assert_eq!(taken(Duration::from_secs(60)), 5);
        // Hours of rest save up one period's worth.
        assert_eq!(taken(Duration::from_secs(7_200)), 6);
        assert!(!TokenBucket::new(0, period).take(start));
    }

    #[test]
    fn refills_too_small_for_one_add_up_and_a_clock_that_runs_back_gives_nothing() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(10, Duration::from_secs(1));
        assert_eq!((0..100).filter(|_| bucket.take(start)).count(), 10);
        let steps = (1..=1_000).map(|millis| start + Duration::from_millis(millis));
        let taken = steps.filter(|now| bucket.take(*now)).count();
        assert!((9..=10).contains(&taken), "{taken}");
        assert!(!bucket.take(start));
    }
}
