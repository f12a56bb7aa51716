//! Full-jitter exponential backoff: what keeps many clients that failed
//! together from coming back together.
//!
//! It only computes delays. When to reset is the caller's decision: after a
//! period of stable success, not at the first sign of it.

use std::time::Duration;

/// Delays between attempts.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    attempt: u32,
}

impl Backoff {
    /// Delays uniform in 0 ..= min(cap, base·2ⁿ).
    pub fn new(base: Duration, cap: Duration) -> Self {
        Self {
            base,
            cap,
            attempt: 0,
        }
    }

    /// The next delay.
    pub fn next_delay(&mut self) -> Duration {
        let ceiling = doubled(self.base, self.attempt, self.cap);
        self.attempt = self.attempt.saturating_add(1);
        // 64 bits of nanoseconds are five centuries.
        let nanos = u64::try_from(ceiling.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(fastrand::u64(0..=nanos))
    }

    /// Starts over, after a stable period.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }

    /// Attempts since the last reset.
    pub fn attempts(&self) -> u32 {
        self.attempt
    }
}

/// `base` doubled so many times, at most `cap`.
pub(crate) fn doubled(base: Duration, times: u32, cap: Duration) -> Duration {
    base.saturating_mul(2u32.saturating_pow(times)).min(cap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap_and_start_over_after_a_reset() {
        let base = Duration::from_millis(100);
        let cap = Duration::from_secs(1);
        let mut longest = [Duration::ZERO; 8];
        for _ in 0..500 {
            let mut backoff = Backoff::new(base, cap);
            for longest in &mut longest {
                *longest = (*longest).max(backoff.next_delay());
            }
            backoff.reset();
            assert_eq!(backoff.attempts(), 0);
            assert!(backoff.next_delay() <= base);
        }
        for (attempt, longest) in (0u32..).zip(longest) {
            let ceiling = (base * 2u32.pow(attempt)).min(cap);
            assert!(longest <= ceiling, "attempt {attempt}: {longest:?}");
            // Half the ceiling is missed by all of 500 with chance 2^-500.
            assert!(longest > ceiling / 2, "attempt {attempt}: {longest:?}");
        }
    }

    #[test]
    fn never_overflows() {
        let mut backoff = Backoff::new(Duration::MAX, Duration::MAX);
        for _ in 0..100 {
            backoff.next_delay();
        }
        assert_eq!(backoff.attempts(), 100);
    }
}
