//! What can be set, with the reason of every default.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

/// More workers than this gain nothing: decoding feeds at most a few of them.
const MOST_WORKERS: usize = 4;

/// Settings of the router, the workers and their manager.
#[derive(Debug, Clone)]
pub struct WorkersConfig {
    /// Worker threads. By default one fewer than there are cores, so that the
    /// sockets have one to themselves; at least one and at most four.
    pub count: NonZeroUsize,
    /// Events one worker's queue holds, those being applied included. The
    /// default, 65,536, is half a second of the heaviest traffic one worker can
    /// apply and under 8 MB. Levels of queued snapshots are bounded with it, at
    /// 32 an event.
    pub queue_events: NonZeroUsize,
    /// How long a stopping router waits for the queues to run dry.
    pub drain_deadline: Duration,
    /// Between a worker's death and its restart. Long enough for a probe to see
    /// it and for a crash loop to stay cheap; its books need new snapshots anyway.
    pub restart_delay: Duration,
    /// Restarts within [`Self::restart_window`] after which a worker stays down:
    /// what fails that often will fail again.
    pub restart_limit: NonZeroU32,
    /// The time over which restarts are counted.
    pub restart_window: Duration,
    /// How books are checked.
    pub integrity: IntegrityConfig,
}

impl Default for WorkersConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let count = cores.saturating_sub(1).clamp(1, MOST_WORKERS);
        Self {
            count: NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN),
            queue_events: const { NonZeroUsize::new(65_536).expect("is not zero") },
            drain_deadline: Duration::from_secs(2),
            restart_delay: Duration::from_millis(250),
            restart_limit: const { NonZeroU32::new(5).expect("is not zero") },
            restart_window: Duration::from_secs(10),
            integrity: IntegrityConfig::default(),
        }
    }
}

/// Whether the venue's hashes are recomputed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HashChecking {
    /// Never.
    Off,
    /// After every batch of every book.
    #[default]
    All,
}

/// How books are checked, and when a disagreement makes one stale.
#[derive(Debug, Clone)]
pub struct IntegrityConfig {
    /// Whether hashes are recomputed.
    pub hash: HashChecking,
    /// Failed checks in a row, none of which the next change healed, after
    /// which a book whose hashes used to agree is stale. Single failures are
    /// normal: some 50 in 20,000 checks of a quiet hour.
    pub hash_failures: NonZeroU32,
    /// Searches for an unannounced last trade price or an unknown attribute a
    /// second and worker. One costs up to 1,001 SHA-1 blocks, about 0.2 ms, so
    /// that the default of 100 takes two hundredths of a core at most.
    pub searches_per_second: u32,
    /// Disagreements with the stated best prices in a row after which a book
    /// is stale, if they also lasted [`Self::top_patience`].
    pub top_failures: NonZeroU32,
    /// How long the top must disagree; a few messages are normal.
    pub top_patience: Duration,
    /// How long a book may stay crossed without a hash that proves it right;
    /// transient crossings heal within a few messages.
    pub crossed_patience: Duration,
}

impl Default for IntegrityConfig {
    fn default() -> Self {
        Self {
            hash: HashChecking::All,
            hash_failures: const { NonZeroU32::new(4).expect("is not zero") },
            searches_per_second: 100,
            top_failures: const { NonZeroU32::new(8).expect("is not zero") },
            top_patience: Duration::from_secs(1),
            crossed_patience: Duration::from_secs(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_worker_on_one_core_and_never_too_many() {
        let count = WorkersConfig::default().count.get();
        assert!((1..=MOST_WORKERS).contains(&count));
    }
}
