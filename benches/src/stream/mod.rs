//! A thousand clients of the streams, in processes of their own, and what they cost.
//!
//! | module | idea |
//! |---|---|
//! | [`helper`] | a process of this program's that takes orders by lines |
//! | [`venue`] | the embedded exchange; the sizes of its changes are the time |
//! | [`program`] | the release binary: what it says of itself, what its threads take |
//! | [`crowd`] | the clients, all of one process and one thread |
//! | [`client`] | one of them: reads frames, checks sequences, takes ages |
//! | [`frame`] | WebSocket frames, and a message at a glance |
//! | [`bare`] | a loop that writes prepared messages to the same clients |
//! | [`relay`] | forwards bytes unread |
//! | [`verdict`] | figures, bars and how they are printed |
//!
//! All of them read the same clock.

pub mod bare;
pub mod client;
pub mod crowd;
pub mod frame;
pub mod helper;
pub mod program;
pub mod relay;
pub mod venue;
pub mod verdict;

use crate::clock::machine_nanos;
pub use crate::loopback::Failure;

/// Stamps begin again after an hour, so that they are sizes as orders have them.
const STAMPS: u64 = 3_600_000_000;
/// What is older than this carries no stamp of the run's.
const OLDEST: u64 = 60_000_000;

/// Now, as the size of a change: microseconds of an hour.
pub fn stamp() -> u64 {
    machine_nanos() / 1_000 % STAMPS
}

/// Microseconds since a stamp; `None` if it is none.
pub(crate) fn age_of(stamp: u64, now: u64) -> Option<u64> {
    let age = (now + STAMPS).checked_sub(stamp)? % STAMPS;
    (stamp < STAMPS && age < OLDEST).then_some(age)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_across_the_hour_and_not_of_what_is_no_stamp() {
        assert_eq!(age_of(5, 25), Some(20));
        assert_eq!(age_of(STAMPS - 5, 25), Some(30));
        assert_eq!(age_of(25, 5), None, "an hour less a moment");
        assert_eq!(age_of(STAMPS, 25), None);
    }
}
