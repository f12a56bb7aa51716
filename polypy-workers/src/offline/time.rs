//! Recorded time, as the books measure it.

use std::time::{Duration, Instant};

use crate::compact_instant::CompactInstant;

/// Where recorded time stands, as an instant that never goes back.
#[derive(Debug)]
pub(super) struct RecordedTime {
    recorded: u64,
    now: Instant,
}

impl RecordedTime {
    pub(super) fn new(began: u64) -> Self {
        Self {
            recorded: began,
            // The earliest that books can tell from others.
            now: CompactInstant::default().into(),
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }

    /// It is that late by the recorded clock. One that was set back has stood still.
    pub(super) fn pass(&mut self, at: u64) -> Instant {
        let passed = Duration::from_nanos(at.saturating_sub(self.recorded));
        self.now = self.now.checked_add(passed).unwrap_or(self.now);
        self.recorded = at;
        self.now
    }

    /// What the recorded clock showed at a moment since it was last set back.
    pub(super) fn recorded(&self, moment: Instant) -> u64 {
        let ago = self.now.saturating_duration_since(moment).as_nanos();
        let ago = u64::try_from(ago).unwrap_or(u64::MAX);
        self.recorded.saturating_sub(ago)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_as_recorded_and_stands_still_where_the_clock_is_set_back() {
        let mut time = RecordedTime::new(1_000);
        let began = time.now();
        let after = |nanos| began + Duration::from_nanos(nanos);
        assert_eq!(time.pass(1_500), after(500));
        assert_eq!(time.recorded(after(200)), 1_200);
        assert_eq!(time.pass(300), after(500));
        assert_eq!(time.pass(310), after(510));
        assert_eq!(time.recorded(after(505)), 305);
        assert_eq!(time.pass(0), after(510));
        let late = time.pass(u64::MAX);
        assert_eq!(late, after(510) + Duration::from_nanos(u64::MAX));
        assert_eq!(time.recorded(late), u64::MAX);
    }
}
