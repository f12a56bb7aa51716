//! The machine's clocks: the wall's, which is core's, and the time since the machine started.

use std::time::Duration;

pub use polypy_core::SystemClock;
use rustix::time::{ClockId, clock_gettime};

/// The time since the machine started, sleep included. Where the system has no such
/// clock, without: there a machine's sleep is not noticed, a stopped process is.
pub fn since_start() -> Duration {
    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::Monotonic;
    let time = clock_gettime(CLOCK);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanos)
}
