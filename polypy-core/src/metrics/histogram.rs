//! How long things took, by powers of two.

use std::time::Duration;

use super::counter::{Counter, ratio};

/// Buckets of a [`Histogram`]: one per power of two microseconds, the last from
/// 18 minutes up.
pub const BUCKETS: usize = 32;

/// How long something took: bucket `n` counts what took less than 2ⁿ µs, the last
/// one everything longer.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; BUCKETS],
    total_micros: Counter,
}

impl Histogram {
    /// Records `weight` events that each took `took`, as the only writer. Where
    /// others write too, counts are lost: see [`Self::record_shared`].
    #[inline]
    pub fn record(&self, took: Duration, weight: u64) {
        let micros = micros(took);
        self.buckets[bucket(micros)].add(weight);
        self.total_micros.add(micros.saturating_mul(weight));
    }

    /// Records one event while others may do so too.
    pub fn record_shared(&self, took: Duration) {
        let micros = micros(took);
        self.buckets[bucket(micros)].add_shared(1);
        self.total_micros.add_shared(micros);
    }

    /// Adds what was recorded to `sum`.
    pub fn add_to(&self, sum: &mut Reading) {
        for (total, bucket) in sum.buckets.iter_mut().zip(&self.buckets) {
            *total += bucket.get();
        }
        sum.total_micros = sum.total_micros.wrapping_add(self.total_micros.get());
    }

    /// What was recorded so far.
    pub fn reading(&self) -> Reading {
        let mut reading = Reading::default();
        self.add_to(&mut reading);
        reading
    }
}

#[inline]
fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

#[inline]
fn bucket(micros: u64) -> usize {
    let bits = usize::try_from(u64::BITS - micros.leading_zeros()).unwrap_or(BUCKETS);
    bits.min(BUCKETS - 1)
}

/// Several histograms, added up at one moment.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    buckets: [u64; BUCKETS],
    total_micros: u64,
}

impl Reading {
    /// Events recorded.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// How long they took in all, in microseconds.
    pub fn total_micros(&self) -> u64 {
        self.total_micros
    }

    /// What was recorded after an earlier reading of the same histograms.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let buckets = self.buckets.iter().zip(earlier.buckets);
        let mut since = Self::default();
        for (left, (later, earlier)) in since.buckets.iter_mut().zip(buckets) {
            *left = later.saturating_sub(earlier);
        }
        since.total_micros = self.total_micros.wrapping_sub(earlier.total_micros);
        since
    }

    /// The mean in milliseconds, zero before anything was recorded.
    pub fn mean_ms(&self) -> f64 {
        ratio(self.total_micros, self.count()) / 1_000.0
    }

    /// An upper bound, exact to a factor of two, of the fastest `percent`.
    pub fn percentile_ms(&self, percent: u64) -> f64 {
        let total = self.count();
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

    /// For each bound of `span`, as its power of two, how many took less than it.
    pub fn cumulative(&self, span: Span) -> impl Iterator<Item = (usize, u64)> + '_ {
        let (mut below, mut next) = (0, 0);
        (span.first..=span.last).step_by(2).map(move |power| {
            below += self.buckets[next..=power].iter().sum::<u64>();
            next = power + 1;
            (power, below)
        })
    }
}

/// Which bounds of a histogram are exposed: every other power of two microseconds
/// from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    first: usize,
    last: usize,
}

impl Span {
    /// What happens inside the program: 1 µs to 16.8 s.
    pub const INTERNAL: Self = Self { first: 0, last: 24 };
    /// What is answered: 64 µs to 4.2 s. There is one for each route.
    pub const SERVING: Self = Self { first: 6, last: 22 };
    /// What goes over a network: 1 ms to 67 s.
    pub const NETWORK: Self = Self {
        first: 10,
        last: 26,
    };
    /// What may last: 1 ms to 1,074 s.
    pub const LONG: Self = Self {
        first: 10,
        last: 30,
    };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metrics::count;

    #[test]
    fn an_empty_histogram_reads_as_zero() {
        let reading = Reading::default();
        assert!(reading.mean_ms().abs() < f64::EPSILON);
        assert!(reading.percentile_ms(99).abs() < f64::EPSILON);
        assert_eq!((reading.count(), reading.total_micros()), (0, 0));
    }

    #[test]
    fn mean_is_exact_and_percentiles_are_bounds() {
        let histogram = Histogram::default();
        histogram.record(Duration::from_micros(1_000), 99);
        histogram.record(Duration::from_micros(101_000), 1);
        histogram.record(Duration::from_secs(100_000), 0);
        let reading = histogram.reading();
        assert!((reading.mean_ms() - 2.0).abs() < 1e-9);
        assert!((reading.percentile_ms(50) - 1.024).abs() < 1e-9);
        assert!((reading.percentile_ms(100) - 131.072).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn bounds_count_what_took_less(micros in prop::collection::vec(0u64..1 << 40, 0..50)) {
            let (histogram, shared) = (Histogram::default(), Histogram::default());
            for &took in &micros {
                histogram.record(Duration::from_micros(took), 1);
                shared.record_shared(Duration::from_micros(took));
            }
            let reading = histogram.reading();
            for span in [Span::INTERNAL, Span::SERVING, Span::NETWORK, Span::LONG] {
                let naive: Vec<_> = (span.first..=span.last)
                    .step_by(2)
                    .map(|power| {
                        let below = micros.iter().filter(|took| **took < 1 << power).count();
                        (power, count(below))
                    })
                    .collect();
                prop_assert_eq!(reading.cumulative(span).collect::<Vec<_>>(), naive.clone());
                prop_assert_eq!(shared.reading().cumulative(span).collect::<Vec<_>>(), naive);
            }
            prop_assert_eq!(reading.count(), count(micros.len()));
            prop_assert_eq!(reading.total_micros(), micros.iter().sum::<u64>());
            prop_assert_eq!(shared.reading().total_micros(), micros.iter().sum::<u64>());
        }
    }
}
