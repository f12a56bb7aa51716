//! Counters that can be read at any moment.
//!
//! Relaxed throughout: a reader wants a number that is current, not one that is
//! in step with another. Most counters have a single writer, for which a load
//! and a store are enough and cost no locked instruction.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that only its owner changes and everybody reads.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds, as the only writer.
    pub(crate) fn add(&self, amount: u64) {
        self.set(self.get().wrapping_add(amount));
    }

    /// Adds one, as the only writer.
    pub(crate) fn increment(&self) {
        self.add(1);
    }

    /// Adds while others may do so too.
    pub(crate) fn add_shared(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A count as a counter takes it.
pub(crate) fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Buckets of a [`Histogram`]: one per power of two microseconds, the last from
/// 35 minutes up.
const BUCKETS: usize = 32;

/// How long something took, by powers of two of microseconds: bucket `n` counts
/// what took less than 2ⁿ µs. One writer.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [Counter; BUCKETS],
    total_micros: Counter,
}

impl Histogram {
    /// Records `weight` events that each took `duration`.
    pub(crate) fn record(&self, duration: Duration, weight: u64) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bits = usize::try_from(u64::BITS - micros.leading_zeros()).unwrap_or(BUCKETS);
        self.buckets[bits.min(BUCKETS - 1)].add(weight);
        self.total_micros.add(micros.saturating_mul(weight));
    }

    /// Adds what was recorded to `sum`.
    pub(crate) fn add_to(&self, sum: &mut HistogramSum) {
        for (total, bucket) in sum.buckets.iter_mut().zip(&self.buckets) {
            *total += bucket.get();
        }
        sum.total_micros += self.total_micros.get();
    }
}

/// Several histograms, added up at one moment.
#[derive(Debug, Default)]
pub(crate) struct HistogramSum {
    buckets: [u64; BUCKETS],
    total_micros: u64,
}

impl HistogramSum {
    /// The mean in milliseconds, zero before anything was recorded.
    pub(crate) fn mean_ms(&self) -> f64 {
        ratio(self.total_micros, self.buckets.iter().sum()) / 1_000.0
    }

    /// An upper bound, exact to a factor of two, of the fastest `percent`.
    pub(crate) fn percentile_ms(&self, percent: u64) -> f64 {
        let total: u64 = self.buckets.iter().sum();
        let wanted = total.saturating_mul(percent).div_ceil(100);
        let mut seen = 0;
        for (at, bucket) in self.buckets.iter().enumerate() {
            seen += bucket;
            if total > 0 && seen >= wanted {
                return ratio(1 << at, 1_000);
            }
        }
        0.0
    }
}

/// `part / whole` for display, zero when there is no whole.
#[expect(
    clippy::cast_precision_loss,
    reason = "a figure for display, not a quantity"
)]
pub(crate) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_histogram_reads_as_zero() {
        let sum = HistogramSum::default();
        assert!(sum.mean_ms().abs() < f64::EPSILON);
        assert!(sum.percentile_ms(99).abs() < f64::EPSILON);
    }

    #[test]
    fn mean_is_exact_and_percentiles_are_bounds() {
        let histogram = Histogram::default();
        histogram.record(Duration::from_micros(1_000), 99);
        histogram.record(Duration::from_micros(101_000), 1);
        histogram.record(Duration::from_secs(100_000), 0);
        let mut sum = HistogramSum::default();
        histogram.add_to(&mut sum);
        assert!((sum.mean_ms() - 2.0).abs() < 1e-9);
        assert!((sum.percentile_ms(50) - 1.024).abs() < 1e-9);
        assert!((sum.percentile_ms(100) - 131.072).abs() < 1e-9);
    }
}
