//! What the hub counts.

use polypy_core::Owner;
use polypy_core::metrics::{Counter, Gauge};

use crate::message::GapReason;

/// What the hub counts, written by its thread alone.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    /// Messages published.
    pub(crate) published: Counter,
    /// Published messages put into queues of clients.
    pub(crate) delivered: Counter,
    /// Snapshots, tops and states with which tokens were opened for clients.
    pub(crate) openings: Counter,
    /// Clients told that they are slow.
    pub(crate) warned: Counter,
    /// Queues of clients that were emptied.
    pub(crate) overflows: Counter,
    /// Clients closed since they were too slow too often.
    pub(crate) closed_slow: Counter,
    /// Trades that were left out for clients of conflated streams that were behind.
    pub(crate) left_out: Counter,
    /// Gaps told, by whose doing they are.
    pub(crate) gaps_venue: Counter,
    pub(crate) gaps_network: Counter,
    pub(crate) gaps_us: Counter,
    pub(crate) gaps_client: Counter,
    /// Lanes that were fuller than they may be.
    pub(crate) lost_lanes: Counter,
    /// Changes whose sequence was not the expected one.
    pub(crate) mismatches: Counter,
    /// Cursors from which a client went on, and others.
    pub(crate) resumed: Counter,
    pub(crate) resume_refused: Counter,
    /// Messages about markets that came faster than the hub took them.
    pub(crate) lost_markets: Counter,
    /// Times the hub was restarted after a panic.
    pub(crate) restarts: Counter,
    pub(crate) subscriptions: Gauge,
    pub(crate) followed: Gauge,
    pub(crate) ring_bytes: Gauge,
    pub(crate) position: Gauge,
}

impl Numbers {
    pub(super) fn count_gap(&self, reason: GapReason) {
        let gaps = match reason.owner() {
            Owner::Venue => &self.gaps_venue,
            Owner::Network => &self.gaps_network,
            Owner::Us => &self.gaps_us,
            Owner::Client => &self.gaps_client,
        };
        gaps.increment();
    }
}
