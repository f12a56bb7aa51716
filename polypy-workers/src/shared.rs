//! What router, manager, threads and readers hold in common.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use polypy_core::metrics::{Counter, DROPPED, Entry, Kind};
use polypy_core::{AssetKey, ChangeSink, ResyncSink, SuspensionWatch};
use tokio::sync::Notify;

use crate::config::WorkersConfig;
use crate::feeds::Feeds;
use crate::worker::Worker;

/// The workers and what they share.
pub(crate) struct Shared {
    pub(crate) config: WorkersConfig,
    pub(crate) workers: Vec<Arc<Worker>>,
    pub(crate) feeds: Arc<Feeds>,
    pub(crate) resync: Arc<dyn ResyncSink>,
    pub(crate) routing: RoutingStats,
    /// Whether the router takes events.
    pub(crate) accepting: AtomicBool,
    /// Wakes the supervisor.
    pub(crate) failed: Arc<Notify>,
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

type Routing = Entry<RoutingStats>;

impl RoutingStats {
    /// The first fields of `router` in `/stats`, whose order is older than the rest.
    pub(crate) const ROWS: &'static [Routing] = &[
        Routing::counter(
            "messages_routed",
            "polypy_router_events_routed_total",
            "Events handed to a worker.",
            |stats| stats.messages_routed.get().into(),
        ),
        Routing::shown(
            "messages_dropped",
            "Events dropped for want of room in a queue, or because nothing was to be routed.",
            |stats| stats.messages_dropped.get().into(),
        ),
        Routing::exported(
            Kind::Counter,
            "polypy_events_dropped_total",
            "Events dropped for want of room in a worker's queue.",
            |stats| {
                let dropped = stats.messages_dropped.get();
                dropped.saturating_sub(stats.routing_errors.get()).into()
            },
        )
        .label("stage=\"router_queue\"")
        .family(DROPPED),
        Routing::counter(
            "batches_sent",
            "polypy_router_batches_total",
            "Deliveries handed to a worker.",
            |stats| stats.batches_sent.get().into(),
        ),
        Routing::counter(
            "queue_full_events",
            "polypy_router_queue_full_total",
            "Deliveries that did not fit into a worker's queue as a whole.",
            |stats| stats.queue_full_events.get().into(),
        ),
        Routing::counter(
            "routing_errors",
            "polypy_events_dropped_total",
            "Events that came while the router was not running.",
            |stats| stats.routing_errors.get().into(),
        )
        .label("stage=\"router_stopped\"")
        .family(DROPPED),
    ];

    /// Books fetched to be compared.
    pub(crate) const AUDIT_ROWS: &'static [Routing] = &[
        Routing::counter(
            "audits_routed",
            "polypy_router_audits_total",
            "Fetched books handed to a worker to be compared.",
            |stats| stats.audits_routed.get().into(),
        ),
        Routing::counter(
            "audits_dropped",
            "polypy_events_dropped_total",
            "Fetched books that were not compared, for want of room or of a worker.",
            |stats| stats.audits_dropped.get().into(),
        )
        .label("stage=\"audit_queue\"")
        .family(DROPPED),
    ];
}

impl Shared {
    pub(crate) fn new(
        config: WorkersConfig,
        resync: Arc<dyn ResyncSink>,
        suspension: Arc<SuspensionWatch>,
        changes: Option<&Arc<dyn ChangeSink>>,
    ) -> Self {
        let count = config.count.get();
        let feeds = Arc::new(Feeds::new(count, suspension));
        let failed = Arc::new(Notify::new());
        let workers = (0..count)
            .map(|number| Worker::new(number, &config, &feeds, &resync, changes, &failed))
            .map(Arc::new)
            .collect();
        Self {
            config,
            workers,
            feeds,
            resync,
            routing: RoutingStats::default(),
            accepting: AtomicBool::new(false),
            failed,
        }
    }

    /// The number of the worker that keeps this asset.
    pub(crate) fn worker_of(&self, asset: AssetKey) -> usize {
        usize::from(asset.shard().index()) % self.workers.len()
    }

    pub(crate) fn is_accepting(&self) -> bool {
        self.accepting.load(Ordering::SeqCst)
    }

    /// Books whose hashes were reproduced once and are not now.
    pub(crate) fn formats_unknown(&self) -> u64 {
        let workers = self.workers.iter();
        let unknown = workers.map(|worker| worker.stats().integrity.formats_unknown.get());
        unknown.sum()
    }

    /// Workers that run.
    pub(crate) fn alive(&self) -> usize {
        self.workers
            .iter()
            .filter(|worker| worker.queue().is_running())
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
