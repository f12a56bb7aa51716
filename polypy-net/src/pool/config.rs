//! Numbers of the pool, each with its reason.

use std::num::NonZeroUsize;
use std::time::Duration;

/// How assets are spread over connections.
#[derive(Debug, Clone)]
pub struct PoolConfig {
    /// Assets per connection. Larger connections were seen to stall silently.
    pub target: usize,
    /// Assets a connection takes at most, where a market's tokens belong
    /// together. Past 500, updates came and opening books did not.
    pub cap: usize,
    /// Whether assets of ended markets are unsubscribed in place. If not, they
    /// stay until their connection is recycled.
    pub unsubscribe_expired: bool,
    /// A second close 1013 of one connection within this time halves it; of several
    /// together none is halved.
    pub slow_consumer_window: Duration,
    /// How long two connections have had their sockets, and every book, before they
    /// are made one; and the least time after a close 1013 of one's own, which doubles
    /// with each further one.
    pub merge_after: Duration,
    /// Times that a market moves because its books stay away: by then it has
    /// been on four connections, and the venue has none for it.
    pub moves: u32,
    /// Least time between a market's first two moves; doubles with each further
    /// one. By then every step was tried several times.
    pub move_backoff: Duration,
    /// This long after the wait that followed its last move a market's moves
    /// are forgotten.
    pub move_backoff_reset: Duration,
    /// Markets that may move within a minute: those of one whole connection.
    pub moves_per_minute: u32,
    /// Longest a replacement may take to have a book for every asset. A
    /// snapshot takes half a second, REST is asked at 16.
    pub replace_deadline: Duration,
    /// How long the old connection serves on after its replacement has begun
    /// to deliver: until what was handed over has been applied, with a margin.
    pub overlap: Duration,
    /// Connections that carry each token: one, or two that fail independently.
    /// More than two are two.
    pub replicas: NonZeroUsize,
    /// How much later than the other a connection of a pair may bring a change.
    /// Sockets run apart by up to a second in good health.
    pub lag_limit: Duration,
    /// Over how long that is looked at before one of them is replaced.
    pub lag_window: Duration,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            target: 200,
            cap: 500,
            unsubscribe_expired: true,
            slow_consumer_window: Duration::from_secs(600),
            merge_after: Duration::from_secs(600),
            moves: 3,
            move_backoff: Duration::from_secs(300),
            move_backoff_reset: Duration::from_secs(6 * 3_600),
            moves_per_minute: 100,
            replace_deadline: Duration::from_secs(30),
            overlap: Duration::from_secs(1),
            replicas: NonZeroUsize::MIN,
            lag_limit: Duration::from_secs(2),
            lag_window: Duration::from_secs(10),
        }
    }
}
