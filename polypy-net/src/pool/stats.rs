//! What the pool and its connections have done, in numbers.

use std::sync::Arc;

use polypy_core::StatsSource;
use polypy_core::metrics::{Entry, List, Part, Row, Sheet};
use tokio::time::Instant;

use super::{ConnectionPool, Shared};
use crate::connection::{ConnectionCounters, ConnectionView, LagScore, show};

/// What happened to connections since the program began.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    pub(super) opened: u64,
    pub(super) closed: u64,
    pub(super) failed: u64,
    pub(super) splits: u64,
    pub(super) merged: u64,
    pub(super) merges_given_up: u64,
    /// Markets moved because their books stayed away.
    pub(super) markets_moved: u64,
    /// Markets that would have moved once more than they may.
    pub(super) moves_exhausted: u64,
    /// Of connections that have ended.
    pub(super) ended: ConnectionCounters,
}

/// The connections as of now.
#[derive(Debug)]
struct Present {
    connections: usize,
    open: usize,
    healthy: usize,
    capacity: usize,
    suspensions: u64,
}

type Now = Entry<Present>;
type Counted = Entry<Counts>;

static PRESENT: &[Now] = &[
    Now::gauge(
        "connection_count",
        "polypy_connections",
        "Connections there are.",
        |now| now.connections.into(),
    ),
    Now::gauge(
        "active_connections",
        "polypy_connections_open",
        "Connections whose socket is open.",
        |now| now.open.into(),
    ),
    Now::gauge(
        "healthy_connections",
        "polypy_connections_healthy",
        "Connections whose socket is open and has said something since.",
        |now| now.healthy.into(),
    ),
    Now::gauge(
        "total_capacity",
        "polypy_connection_capacity_tokens",
        "Tokens that the present connections can carry.",
        |now| now.capacity.into(),
    ),
    Now::counter(
        "suspensions",
        "polypy_suspensions_total",
        "Times that this process did not run for seconds: stopped, or the machine slept.",
        |now| now.suspensions.into(),
    ),
];
static COUNTS: &[Counted] = &[
    Counted::counter(
        "connections_opened",
        "polypy_connections_opened_total",
        "Connections made.",
        |counts| counts.opened.into(),
    ),
    Counted::counter(
        "connections_closed",
        "polypy_connections_closed_total",
        "Connections that ended.",
        |counts| counts.closed.into(),
    ),
    Counted::counter(
        "connections_failed",
        "polypy_connections_failed_total",
        "Connections whose task failed.",
        |counts| counts.failed.into(),
    ),
    Counted::counter(
        "connections_split",
        "polypy_connections_split_total",
        "Connections that were too much for one socket and were divided.",
        |counts| counts.splits.into(),
    ),
    Counted::counter(
        "connections_merged",
        "polypy_connections_merged_total",
        "Small connections made one with another.",
        |counts| counts.merged.into(),
    ),
    Counted::counter(
        "merges_given_up",
        "polypy_connection_merges_given_up_total",
        "Those that were not, since the other one did not get every book.",
        |counts| counts.merges_given_up.into(),
    ),
    Counted::counter(
        "markets_moved",
        "polypy_markets_moved_total",
        "Markets moved to another connection for a book that stayed away.",
        |counts| counts.markets_moved.into(),
    ),
    Counted::counter(
        "moves_exhausted",
        "polypy_market_moves_exhausted_total",
        "Markets that have moved as often as they may.",
        |counts| counts.moves_exhausted.into(),
    ),
];
static RESYNC: Part = Part::new("resync", "Requests for fresh books.");
static RECONNECTS: Part = Part::new("reconnects", "Sockets that were lost.");
static REPLICAS: Part = Part::new("replicas", "Two connections for each token, if so set.");

/// What is said of the replicas apart from their scores.
#[derive(Debug)]
struct Replicas {
    per_token: usize,
    lagging: u64,
}

static REPLICA_ROWS: &[Entry<Replicas>] = &[
    Entry::<Replicas>::gauge(
        "per_token",
        "polypy_replicas_per_token",
        "Connections for each token.",
        |replicas| replicas.per_token.into(),
    ),
    Entry::<Replicas>::counter(
        "lagging_found",
        "polypy_replica_lagging_total",
        "Connections found to trail the other of their pair.",
        |replicas| replicas.lagging.into(),
    ),
];
static TOTAL: Part = Part::new("total", "All pairs there ever were, together.");
static PAIRS: List = List::array("pairs", "The pairs there are.");
static NAMES: Row = Row::text("connections", "The pair's first and second connection.");
static NOTHING: &[Entry<[String; 2]>] = &[];

impl Shared {
    fn present(&self, connections: &[Arc<ConnectionView>], now: Instant) -> Present {
        let states = || connections.iter().map(|view| view.is_open_and_healthy(now));
        Present {
            connections: connections.len(),
            open: states().filter(|(is_open, _)| *is_open).count(),
            healthy: states().filter(|(_, is_healthy)| *is_healthy).count(),
            capacity: connections.len() * self.config.target,
            suspensions: self.context.venue().suspension.count(),
        }
    }

    /// How the connections of each pair compare.
    fn show_replicas(&self, sheet: &mut dyn Sheet) {
        let (lagging, total, pairs) = self.replica_stats.lock().read();
        let replicas = Replicas {
            per_token: self.config.replicas.get().min(2),
            lagging,
        };
        sheet.table(REPLICA_ROWS, &replicas);
        sheet.part(&TOTAL, |sheet| total.show(sheet));
        let mut scores = pairs.iter().map(|(_, score)| *score);
        let names = pairs.iter().map(|(names, _)| ("", names.clone()));
        sheet.each_with(&PAIRS, NOTHING, names, |sheet, names| {
            let names =
                names.map_or_else(Vec::new, |names| names.iter().map(|name| &**name).collect());
            sheet.words(&NAMES, &mut names.into_iter());
            let score = scores.next().unwrap_or_default();
            LagScore::show(&score, sheet);
        });
    }
}

impl StatsSource for ConnectionPool {
    fn show(&self, sheet: &mut dyn Sheet) {
        let shared = &self.shared;
        let now = Instant::now();
        let connections = self.connections();
        let counts = shared.counts.lock().clone();
        let mut sum = counts.ended.clone();
        for view in &connections {
            view.add_to(&mut sum);
        }
        sheet.table(PRESENT, &shared.present(&connections, now));
        sheet.table(COUNTS, &counts);
        sum.show(sheet);
        shared.context.show_times(sheet);
        sheet.part(&RESYNC, |sheet| shared.context.venue().resync.show(sheet));
        sheet.part(&RECONNECTS, |sheet| shared.context.reconnects().show(sheet));
        sheet.part(&REPLICAS, |sheet| shared.show_replicas(sheet));
        let each = connections.iter();
        let each = each.map(|view| view.shown(shared.registry.load(view.id()), now));
        show(each, sheet);
    }
}
