//! Numbers of different kinds, turned into those that statistics show.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number of things as a counter counts it.
pub(crate) fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Counts so many more, where order among counters does not matter.
pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// `part` of `whole`; zero of nothing.
pub(crate) fn ratio(part: usize, whole: usize) -> f64 {
    let float = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    if whole == 0 {
        0.0
    } else {
        float(part) / float(whole)
    }
}
