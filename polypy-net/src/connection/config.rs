//! Numbers of one connection, each with its reason.

use std::time::Duration;

/// How a connection opens, keeps itself alive and judges the other side.
#[derive(Debug, Clone)]
pub struct ConnectionConfig {
    /// Ids per subscribe frame. Past 750 the venue sends no snapshots, at a few
    /// thousand it closes; frames of 100 have always worked.
    pub chunk: usize,
    /// Least time between two upgrades of the whole pool. Bursts of upgrades
    /// are answered with 429.
    pub pace: Duration,
    /// Name look-up, TCP, TLS and upgrade together.
    pub handshake_deadline: Duration,
    /// Between text `PING`s, as the venue documents. A socket without any
    /// traffic dies at about 125 s.
    pub ping_interval: Duration,
    /// Without `PONG` and without data for this long the socket is dead. `PONG`
    /// queues behind data: 9 to 11 s under backlog are no death.
    pub pong_deadline: Duration,
    /// Shortest silence of everything, `PONG` included, after which a connection
    /// that used to have data is sent a `PING` ahead of its time. `PONG` takes
    /// 3.5 s at most while no data is in its way.
    pub idle_min: Duration,
    /// Without anything for this long after that `PING` the socket is
    /// unresponsive.
    /// Together 15 s: the longest backlog seen held frames back 11 s.
    pub early_ping_deadline: Duration,
    /// Shortest silence of subscribed tokens that is worth a probe.
    pub silence_min: Duration,
    /// Longest silence without a probe, for connections of quiet markets.
    pub silence_max: Duration,
    /// Silence worth a probe, in mean gaps between this connection's own data.
    pub silence_factor: u32,
    /// A probe asks for one snapshot, which takes up to 0.5 s, behind a backlog
    /// of up to 11 s.
    pub probe_deadline: Duration,
    /// First delay of the full-jitter backoff, as in the official client.
    pub backoff: Duration,
    /// Longest delay of the backoff.
    pub backoff_cap: Duration,
    /// A connection that lived this long and had data starts its backoff over.
    pub stable_after: Duration,
    /// Clamp on the venue's `Retry-After`.
    pub retry_after_cap: Duration,
    /// A close 1013 later than this after opening is answered at once; earlier
    /// it takes the backoff, or a flapping venue would be hammered.
    pub slow_consumer_grace: Duration,
    /// First wait before asking again for assets that the venue called resolved
    /// while discovery did not agree; doubles up to `first_book_cap`.
    pub resolved_wait: Duration,
    /// An asset without a book this long after the frame that named it is asked
    /// for again; snapshots take 0.13 to 0.52 s.
    pub first_book_deadline: Duration,
    /// Longest wait between two attempts to get an asset's first book.
    pub first_book_cap: Duration,
    /// Assets per REST request for missing books.
    pub seed_chunk: usize,
    /// REST requests for missing books in flight, over the whole pool.
    pub seeds_in_flight: usize,
    /// Largest message accepted. A snapshot of 600 tokens exceeds 1 MiB.
    pub max_message_bytes: usize,
    /// Events that a replacement may hold back until it takes over.
    pub held_back_events: usize,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            chunk: 100,
            pace: Duration::from_millis(100),
            handshake_deadline: Duration::from_secs(15),
            ping_interval: Duration::from_secs(10),
            pong_deadline: Duration::from_secs(30),
            idle_min: Duration::from_secs(5),
            early_ping_deadline: Duration::from_secs(10),
            silence_min: Duration::from_secs(45),
            silence_max: Duration::from_secs(300),
            silence_factor: 20,
            probe_deadline: Duration::from_secs(15),
            backoff: Duration::from_millis(250),
            backoff_cap: Duration::from_secs(30),
            stable_after: Duration::from_secs(30),
            retry_after_cap: Duration::from_secs(60),
            slow_consumer_grace: Duration::from_secs(5),
            resolved_wait: Duration::from_secs(5),
            first_book_deadline: Duration::from_secs(8),
            first_book_cap: Duration::from_secs(300),
            seed_chunk: 100,
            seeds_in_flight: 4,
            max_message_bytes: 16 << 20,
            // Half of the workers' default queue: the hand-over fits in at once.
            held_back_events: 32_768,
        }
    }
}
