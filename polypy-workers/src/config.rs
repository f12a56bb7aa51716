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
    /// Events up to which a delivery is applied on the thread that brings it, if
    /// the worker has nothing to do: waking it would take longer. Beyond the
    /// default, 256, applying takes as long as waking does, and reading on
    /// meanwhile makes use of two cores. Zero leaves everything to the worker, a queue that
    /// is half full, too.
    pub direct_events: usize,
    /// Trades kept of each token, the newest. They tell a trade that a second feed brings
    /// again from a new one, too: none kept, and none is written for those who follow
    /// the token. The default, 50, reaches back a minute on the busiest markets.
    pub trades_kept: usize,
    /// How long a stopping router waits until the queues are drained.
    pub drain_deadline: Duration,
    /// Between a worker's failure and its restart. Long enough for a probe to see
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
            direct_events: 256,
            trades_kept: 50,
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
    /// How much of a core each worker may spend on hashes, in hundredths.
    /// Beyond it checks are left out, so that every book is still checked once
    /// a second, once in a hundred changes, and when it falls silent. The
    /// default, half a core, pays for some 150,000 checks a second.
    pub hash_cpu_percent: u32,
    /// Failed checks in a row after which a book whose hashes used to agree is
    /// wrong. One is enough: it has failed twice by then, at once and against
    /// the next change.
    pub hash_failures: NonZeroU32,
    /// Searches for an unannounced last trade price or an unknown attribute a
    /// second and worker. One costs up to 1,001 SHA-1 blocks, about 0.2 ms, on each
    /// price grid, so that the default of 100 takes a tenth of a core at most.
    pub searches_per_second: u32,
    /// How long a book may be in doubt. It is shown as stale meanwhile, and
    /// usually the next change settles it; a second is ten times what the parts
    /// of a batch take to arrive, and short for a book that nothing follows.
    pub doubt_patience: Duration,
    /// How long the feed may be behind a book fetched apart from it. The
    /// longest seen was 1.1 s.
    pub audit_patience: Duration,
    /// How long a book may stay crossed without a hash that proves it right;
    /// transient crossings heal within a few messages.
    pub crossed_patience: Duration,
}

impl Default for IntegrityConfig {
    fn default() -> Self {
        Self {
            hash: HashChecking::All,
            hash_cpu_percent: 50,
            hash_failures: NonZeroU32::MIN,
            searches_per_second: 100,
            doubt_patience: Duration::from_secs(1),
            audit_patience: Duration::from_secs(2),
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
