//! Counters of the exchange.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// One monotonic count.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn increment(&self) {
        self.add(1);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Everything counted since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections_opened: Counter,
    pub(crate) connections_closed: Counter,
    pub(crate) closed_slow: Counter,
    pub(crate) closed_resolved: Counter,
    pub(crate) closed_idle: Counter,
    pub(crate) closed_by_fault: Counter,
    pub(crate) closed_oversized: Counter,
    pub(crate) handshakes_refused: Counter,
    pub(crate) frames_queued: Counter,
    pub(crate) frames_sent: Counter,
    pub(crate) bytes_sent: Counter,
    pub(crate) frames_dropped: Counter,
    pub(crate) pings: Counter,
    pub(crate) opening_books: Counter,
    pub(crate) steps: Counter,
    pub(crate) steps_late: Counter,
    pub(crate) trades: Counter,
    pub(crate) tick_changes: Counter,
    pub(crate) markets_announced: Counter,
    pub(crate) markets_settled: Counter,
    pub(crate) timeline_dropped: Counter,
    pub(crate) http_requests: Counter,
}

/// What `GET /sim/stats` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SimStats {
    /// The seed the exchange runs by.
    pub seed: u64,
    /// Whether the flow is paused.
    pub paused: bool,
    /// Sockets open now.
    pub connections: usize,
    /// Assets subscribed, counted once a socket.
    pub subscriptions: usize,
    /// Markets that trade now.
    pub markets_live: usize,
    /// Assets that ever were.
    pub assets: usize,
    /// Frames that wait in send queues.
    pub queued_frames: usize,
    /// Bytes that wait in send queues.
    pub queued_bytes: usize,
    /// Frames that wait for their time: prints, opening books, delayed repeats.
    pub scheduled: usize,
    /// Counts since the start, by name.
    pub totals: Totals,
    /// How far a recording has been played.
    pub playback: Option<PlaybackStats>,
}

/// Counts since the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Sockets opened.
    pub connections_opened: u64,
    /// Sockets that ended, by whichever side.
    pub connections_closed: u64,
    /// Of these, closed as slow consumers (1013).
    pub closed_slow: u64,
    /// Closed because all their assets were settled (1000).
    pub closed_resolved: u64,
    /// Dropped for want of traffic.
    pub closed_idle: u64,
    /// Ended by a fault.
    pub closed_by_fault: u64,
    /// Closed for a subscribe frame with too many ids.
    pub closed_oversized: u64,
    /// Upgrades refused by a fault.
    pub handshakes_refused: u64,
    /// Frames put into send queues.
    pub frames_queued: u64,
    /// Frames written to sockets.
    pub frames_sent: u64,
    /// Payload bytes written to sockets.
    pub bytes_sent: u64,
    /// Frames that a fault or an ending socket kept from being queued.
    pub frames_dropped: u64,
    /// `PING`s received.
    pub pings: u64,
    /// Opening books sent.
    pub opening_books: u64,
    /// Steps of the flow.
    pub steps: u64,
    /// Steps given up because the machine was too slow for the rate asked.
    pub steps_late: u64,
    /// Trades.
    pub trades: u64,
    /// Price grids changed, counted by market.
    pub tick_changes: u64,
    /// Markets announced after the start.
    pub markets_announced: u64,
    /// Markets settled.
    pub markets_settled: u64,
    /// Scheduled frames given up because too many waited.
    pub timeline_dropped: u64,
    /// HTTP requests answered.
    pub http_requests: u64,
}

/// How far a recording has been played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PlaybackStats {
    /// Lines played.
    pub sent: usize,
    /// Lines of the recording.
    pub total: usize,
    /// Whether all are played.
    pub done: bool,
}

impl Counters {
    pub(crate) fn totals(&self) -> Totals {
        Totals {
            connections_opened: self.connections_opened.get(),
            connections_closed: self.connections_closed.get(),
            closed_slow: self.closed_slow.get(),
            closed_resolved: self.closed_resolved.get(),
            closed_idle: self.closed_idle.get(),
            closed_by_fault: self.closed_by_fault.get(),
            closed_oversized: self.closed_oversized.get(),
            handshakes_refused: self.handshakes_refused.get(),
            frames_queued: self.frames_queued.get(),
            frames_sent: self.frames_sent.get(),
            bytes_sent: self.bytes_sent.get(),
            frames_dropped: self.frames_dropped.get(),
            pings: self.pings.get(),
            opening_books: self.opening_books.get(),
            steps: self.steps.get(),
            steps_late: self.steps_late.get(),
            trades: self.trades.get(),
            tick_changes: self.tick_changes.get(),
            markets_announced: self.markets_announced.get(),
            markets_settled: self.markets_settled.get(),
            timeline_dropped: self.timeline_dropped.get(),
            http_requests: self.http_requests.get(),
        }
    }
}
