//! The machine's clock: the one place in the program that reads it.

use std::time::{SystemTime, UNIX_EPOCH};

use polypy_core::{Clock, Timestamp};

/// The wall clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the clock that is handed to everything else"
        )]
        let now = SystemTime::now();
        // A clock set before 1970 reads as 1970: stamps are for people.
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}
