//! What router, manager, threads and readers hold in common.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use polypy_core::{AssetKey, ResyncSink};
use tokio::sync::Notify;

use crate::config::WorkersConfig;
use crate::counter::Counter;
use crate::feeds::Feeds;
use crate::lane::Lane;
use crate::partition::Partition;
use crate::stats::WorkerStats;

/// One worker as everybody but its thread sees it.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) lane: Lane,
    pub(crate) partition: Mutex<Partition>,
    pub(crate) stats: Arc<WorkerStats>,
}

/// The workers and what they share.
pub(crate) struct Shared {
    pub(crate) config: WorkersConfig,
    pub(crate) workers: Vec<Worker>,
    pub(crate) feeds: Arc<Feeds>,
    pub(crate) resync: Arc<dyn ResyncSink>,
    pub(crate) routing: RoutingStats,
    /// Whether the router takes events.
    pub(crate) accepting: AtomicBool,
    /// Wakes the supervisor; a dying thread's last act.
    pub(crate) died: Notify,
}

/// What the router counts. Written by every socket's task.
#[derive(Debug, Default)]
pub(crate) struct RoutingStats {
    pub(crate) messages_routed: Counter,
    pub(crate) messages_dropped: Counter,
    pub(crate) batches_sent: Counter,
    pub(crate) queue_full_events: Counter,
    pub(crate) routing_errors: Counter,
    pub(crate) audits_routed: Counter,
    /// Books that were not compared, for want of room or of a worker.
    pub(crate) audits_dropped: Counter,
}

impl Shared {
    pub(crate) fn new(config: WorkersConfig, resync: Arc<dyn ResyncSink>) -> Self {
        let count = config.count.get();
        let feeds = Arc::new(Feeds::new(count));
        let workers = (0..count)
            .map(|_| {
                let stats = Arc::new(WorkerStats::default());
                let partition =
                    Partition::new(&config.integrity, Arc::clone(&feeds), Arc::clone(&stats));
                Worker {
                    lane: Lane::new(config.queue_events.get()),
                    partition: Mutex::new(partition),
                    stats,
                }
            })
            .collect();
        Self {
            config,
            workers,
            feeds,
            resync,
            routing: RoutingStats::default(),
            accepting: AtomicBool::new(false),
            died: Notify::new(),
        }
    }

    /// The number of the worker that keeps this asset.
    pub(crate) fn worker_of(&self, asset: AssetKey) -> usize {
        usize::from(asset.shard().index()) % self.workers.len()
    }

    pub(crate) fn is_accepting(&self) -> bool {
        self.accepting.load(Ordering::SeqCst)
    }

    /// Worker threads that run.
    pub(crate) fn alive(&self) -> usize {
        self.workers
            .iter()
            .filter(|worker| worker.lane.is_alive())
            .count()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("workers", &self.workers.len())
            .field("alive", &self.alive())
            .field("accepting", &self.is_accepting())
            .finish_non_exhaustive()
    }
}
