//! Counters that can be read at any moment.
//!
//! Relaxed throughout: a reader wants a number that is current, not one that is
//! in step with another. Most counters have a single writer, for which a load
//! and a store are enough and cost no locked instruction.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds, as the only writer. Where others write too, counts are lost: see
    /// [`Self::add_shared`].
    #[inline]
    pub fn add(&self, amount: u64) {
        self.0
            .store(self.get().wrapping_add(amount), Ordering::Relaxed);
    }

    /// Adds one, as the only writer.
    #[inline]
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds while others may do so too.
    #[inline]
    pub fn add_shared(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// The number as of now.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes both ways.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Replaces the number.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The number as of now.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number of things as a counter takes it.
#[inline]
pub fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Whole milliseconds.
#[inline]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// `part / whole` for display, zero when there is no whole.
#[expect(
    clippy::cast_precision_loss,
    reason = "a figure for display, not a quantity"
)]
pub fn ratio(part: u64, whole: u64) -> f64 {
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
    fn a_counter_adds_and_a_gauge_shows_what_was_set_last() {
        let (counter, gauge) = (Counter::default(), Gauge::default());
        assert_eq!((counter.get(), gauge.get()), (0, 0));
        counter.increment();
        counter.add(5);
        assert_eq!(counter.get(), 6);
        gauge.set(7);
        gauge.set(3);
        assert_eq!(gauge.get(), 3);
    }

    #[test]
    fn several_threads_that_add_lose_nothing() {
        let counter = Counter::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1_000).for_each(|_| counter.add_shared(2)));
            }
        });
        assert_eq!(counter.get(), 8_000);
    }

    #[test]
    fn numbers_are_taken_as_they_are_and_durations_as_whole_milliseconds() {
        assert_eq!(count(12), 12);
        assert_eq!(millis(Duration::from_micros(2_999)), 2);
        assert_eq!(
            millis(Duration::MAX),
            u64::MAX,
            "the most there is room for"
        );
    }

    #[test]
    fn a_part_of_nothing_is_nothing() {
        assert!((ratio(3, 4) - 0.75).abs() < f64::EPSILON);
        assert!(ratio(3, 0).abs() < f64::EPSILON);
    }
}
