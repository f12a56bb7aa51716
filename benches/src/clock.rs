//! How long threads have run.
//!
//! Time on the wall counts whatever else the machine does; a thread's own time
//! does not. It is asked of the kernel, at about 200 ns a call: once for hundreds
//! of frames, never for each.

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds since 1970 on the machine's wall clock.
pub fn wall_millis() -> u64 {
    nanos(ClockId::Realtime) / 1_000_000
}

/// Nanoseconds for which this thread has run.
pub fn thread_nanos() -> u64 {
    nanos(ClockId::ThreadCPUTime)
}

/// Nanoseconds for which all threads of this process have run.
pub fn process_nanos() -> u64 {
    nanos(ClockId::ProcessCPUTime)
}

/// Nanoseconds on a clock that all processes of the machine read alike.
pub fn machine_nanos() -> u64 {
    nanos(ClockId::Monotonic)
}

fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    #[test]
    fn it_moves_while_the_thread_works_and_not_while_it_sleeps() {
        let start = thread_nanos();
        let mut at = 0_u64;
        while thread_nanos() == start {
            at = black_box(at + 1);
        }
        let before = thread_nanos();
        // What the sleep costs is a few microseconds of the thread's time.
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(thread_nanos() - before < 25_000_000);
        assert!(process_nanos() >= thread_nanos() - before);
    }
}
