//! Wall-clock time as the venue writes it, and the clock that is handed in.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// A wall-clock instant in milliseconds since the Unix epoch, the unit of every
/// timestamp on the wire. Displays as RFC 3339 in UTC: `2026-11-23T10:30:00.000Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Milliseconds from `earlier` to `self`, zero when the clocks disagree.
    pub fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Parses RFC 3339 (`2026-11-23T10:30:00Z`), as Gamma writes dates.
    /// `None` for anything else, or before the epoch.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let instant: jiff::Timestamp = text.parse().ok()?;
        u64::try_from(instant.as_millisecond()).ok().map(Self)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant = i64::try_from(self.0)
            .ok()
            .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        match instant {
            Some(instant) => write!(f, "{instant:.3}"),
            None => write!(f, "{}ms", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({self})")
    }
}

/// The wall clock, handed in so that tests can move it. Durations are measured
/// with monotonic clocks elsewhere; this one only stamps.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;

    /// The same in nanoseconds since the Unix epoch, as exactly as the clock has it.
    fn now_nanos(&self) -> u64 {
        self.now().millis().saturating_mul(1_000_000)
    }
}

/// The wall clock of the machine: what a program hands in where a test hands in its own.
/// Nothing in this crate asks it.
///
/// ```
/// use polypy_core::{Clock, SystemClock, Timestamp};
///
/// let of_2024 = Timestamp::from_rfc3339("2024-01-01T00:00:00Z").unwrap();
/// assert!(SystemClock.now() > of_2024);
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(u64::try_from(since_epoch().as_millis()).unwrap_or(u64::MAX))
    }

    fn now_nanos(&self) -> u64 {
        u64::try_from(since_epoch().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A clock set before 1970 reads as 1970: stamps are for people.
fn since_epoch() -> Duration {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that is handed to everything else"
    )]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displays_as_rfc_3339_in_utc() {
        assert_eq!(
            Timestamp::from_millis(1_765_189_800_000).to_string(),
            "2025-12-08T10:30:00.000Z"
        );
        assert_eq!(
            Timestamp::from_millis(u64::MAX).to_string(),
            format!("{}ms", u64::MAX)
        );
    }

    #[test]
    fn time_since_something_later_is_none() {
        let [early, late] = [1_000, 1_250].map(Timestamp::from_millis);
        assert_eq!(late.millis_since(early), 250);
        assert_eq!(early.millis_since(late), 0);
        assert_eq!(format!("{early:?}"), "Timestamp(1970-01-01T00:00:01.000Z)");
    }

    #[test]
    fn the_machines_clock_gives_the_same_moment_in_both_units() {
        let before = SystemClock.now().millis();
        let nanos = SystemClock.now_nanos();
        let after = SystemClock.now().millis();
        assert!((before..=after).contains(&(nanos / 1_000_000)));
    }

    #[test]
    fn reads_what_gamma_writes() {
        let stamp = Timestamp::from_rfc3339("2026-10-03T09:29:01.328428Z").unwrap();
        assert_eq!(stamp.millis() % 1_000, 328);
        assert_eq!(
            Timestamp::from_rfc3339("2026-10-04 14:25:00+00"),
            Timestamp::from_rfc3339("2026-10-04T14:25:00Z")
        );
        assert_eq!(Timestamp::from_rfc3339("not a date"), None);
    }
}
