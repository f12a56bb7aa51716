//! An [`Instant`] in eight bytes, for what many books each keep one of.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// When the first moment was told.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds after [`ORIGIN`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CompactInstant(u64);

impl CompactInstant {
    /// How long before `now` it was.
    pub(crate) fn age(self, now: Instant) -> Duration {
        let age = Self::from(now).0.saturating_sub(self.0);
        Duration::from_nanos(age)
    }
}

impl From<CompactInstant> for Instant {
    /// One that is too late for the system's clock is its origin.
    fn from(compact: CompactInstant) -> Self {
        let since = Duration::from_nanos(compact.0);
        ORIGIN.checked_add(since).unwrap_or(*ORIGIN)
    }
}

impl From<Instant> for CompactInstant {
    /// An instant before [`ORIGIN`] counts as that.
    fn from(instant: Instant) -> Self {
        let since = instant.saturating_duration_since(*ORIGIN);
        Self(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_as_instants_do() {
        let first = CompactInstant::from(Instant::now());
        let now = Instant::now();
        let later = now + Duration::from_secs(600);
        assert_eq!(
            CompactInstant::from(now).age(later),
            Duration::from_secs(600)
        );
        assert_eq!(CompactInstant::from(later).age(now), Duration::ZERO);
        assert!(first.age(now) < Duration::from_secs(60));
        assert_eq!(Instant::from(CompactInstant::from(later)), later);
    }
}
