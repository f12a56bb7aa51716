//! How often one book may be asked for anew.
//!
//! At once the first time, then at growing intervals, so that a book that
//! cannot be set right costs little. Every request is followed by a look at
//! whether it helped: an answer that never comes is asked for again.

use std::time::{Duration, Instant};

/// Between two requests for the same book, doubled each time. Five seconds is
/// the time a subscription takes to answer on a bad day.
const FIRST: Duration = Duration::from_secs(5);
/// The interval grows up to this, and starts anew after as long without a request.
const LONGEST: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When a snapshot was last asked for, and how long to wait before the next.
    asked: Option<(Instant, Duration)>,
    /// Whether a look at the book is planned.
    pub(super) retry_pending: bool,
}

impl Pace {
    /// Whether it may be asked for now; counts it as asked.
    pub(super) fn may_ask(&mut self, now: Instant) -> bool {
        let since = |at| now.saturating_duration_since(at);
        let next = match self.asked {
            Some((at, wait)) if since(at) < wait => return false,
            Some((at, wait)) if since(at) < wait + LONGEST => (wait * 2).min(LONGEST),
            Some(_) | None => FIRST,
        };
        self.asked = Some((now, next));
        true
    }

    /// When to look at the book, unless that is planned already; plans it.
    pub(super) fn next_retry(&mut self, now: Instant) -> Option<Instant> {
        if self.retry_pending {
            return None;
        }
        self.retry_pending = true;
        Some(match self.asked {
            Some((at, wait)) => (at + wait).max(now),
            None => now + FIRST,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_double_their_distance_and_start_anew_after_a_rest() {
        let start = Instant::now();
        let mut pace = Pace::default();
        let mut allowed = Vec::new();
        for second in 0..1_000 {
            if pace.may_ask(start + Duration::from_secs(second)) {
                allowed.push(second);
            }
        }
        assert_eq!(allowed, [0, 5, 15, 35, 75, 155, 315, 635]);
        let rested = start + Duration::from_secs(10_000);
        assert!(pace.may_ask(rested));
        assert!(!pace.may_ask(rested + Duration::from_secs(4)));
        assert!(pace.may_ask(rested + Duration::from_secs(5)));
    }

    #[test]
    fn one_look_is_planned_at_a_time() {
        let now = Instant::now();
        let mut pace = Pace::default();
        assert_eq!(pace.next_retry(now), Some(now + FIRST));
        assert_eq!(pace.next_retry(now), None);
        pace.retry_pending = false;
        assert!(pace.may_ask(now));
        assert_eq!(pace.next_retry(now), Some(now + FIRST));
    }
}
