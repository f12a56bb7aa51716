//! Full-jitter exponential backoff.
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
        let ceiling = self
            .base
            .saturating_mul(2u32.saturating_pow(self.attempt))
            .min(self.cap);
        self.attempt = self.attempt.saturating_add(1);
        ceiling.mul_f64(fastrand::f64())
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
