//! When something ends at the earliest, or at the latest.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::time::Timestamp;

/// A moment, or one that moves along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// This one.
    At(Timestamp),
    /// So long from now.
    FromNow(Duration),
}

/// Why a text is no moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a date such as 2026-12-31, a moment such as 2026-12-31T12:00:00Z, or how long from \
     now, such as 7d, 12h or 30m"
)]
pub struct BoundError;

const MINUTE: u64 = 60;
const UNITS: [(char, u64); 4] = [
    ('d', 24 * 60 * MINUTE),
    ('h', 60 * MINUTE),
    ('m', MINUTE),
    ('s', 1),
];

impl FromStr for Bound {
    type Err = BoundError;

    /// Reads `2026-12-31`, which is its first moment in UTC, `2026-12-31T12:00:00Z` and `7d`.
    fn from_str(text: &str) -> Result<Self, BoundError> {
        for (unit, seconds) in UNITS {
            if let Some(number) = text.strip_suffix(unit) {
                let is_digits = number.bytes().all(|byte| byte.is_ascii_digit());
                let number: Option<u32> = number.parse().ok().filter(|_| is_digits);
                let seconds = number.map(|number| u64::from(number) * seconds);
                let ahead = seconds.map(Duration::from_secs).ok_or(BoundError)?;
                return Ok(Self::FromNow(ahead));
            }
        }
        let moment = Timestamp::from_rfc3339(text)
            .or_else(|| Timestamp::from_rfc3339(&format!("{text}T00:00:00Z")));
        moment.map(Self::At).ok_or(BoundError)
    }
}

/// As it is read: the moment, or the time in the greatest unit that fits.
impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(moment) => moment.fmt(f),
            Self::FromNow(ahead) => {
                let whole = ahead.as_secs();
                let fits = |(_, seconds): &(char, u64)| whole.is_multiple_of(*seconds);
                let (unit, seconds) = UNITS.into_iter().find(fits).unwrap_or(('s', 1));
                write!(f, "{}{unit}", whole / seconds)
            }
        }
    }
}

impl Bound {
    pub(super) fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::FromNow(ahead) => {
                let ahead = u64::try_from(ahead.as_millis()).unwrap_or(u64::MAX);
                Timestamp::from_millis(now.millis().saturating_add(ahead))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_a_date_a_moment_or_so_long_from_now() {
        let at = |text| Bound::At(Timestamp::from_rfc3339(text).unwrap());
        let ahead = |seconds| Bound::FromNow(Duration::from_secs(seconds));
        for (text, bound) in [
            ("2026-12-31", at("2026-12-31T00:00:00Z")),
            ("2026-12-31T12:30:00+01:00", at("2026-12-31T11:30:00Z")),
            ("7d", ahead(7 * 86_400)),
            ("0d", ahead(0)),
            ("12h", ahead(43_200)),
            ("30m", ahead(1_800)),
            ("4294967295d", ahead(4_294_967_295 * 86_400)),
        ] {
            assert_eq!(text.parse(), Ok(bound), "{text}");
            assert_eq!(bound.to_string().parse(), Ok(bound), "{bound}");
        }
        for bad in [
            "",
            "d",
            "-1d",
            "+1d",
            "1.5d",
            "4294967296d",
            "tomorrow",
            "2026-13-01",
            "1969-01-01",
        ] {
            assert_eq!(bad.parse::<Bound>(), Err(BoundError), "{bad}");
        }
    }
}
