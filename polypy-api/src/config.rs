//! What bounds the streams.

use std::time::Duration;

use crate::message::HelloLimits;

/// Settings of the streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamConfig {
    /// Clients of all doors together; further ones are refused.
    pub max_clients: usize,
    /// Bytes of shared messages that may wait for a client.
    pub buffer: usize,
    /// Bytes of messages of its own that may wait for a client: snapshots and answers.
    pub own_buffer: usize,
    /// Bytes of messages that are kept for clients that come back.
    pub ring: usize,
    /// Age up to which they are kept. For so long a book that nobody wants stays
    /// followed.
    pub ring_age: Duration,
    /// Time between two heartbeats.
    pub heartbeat: Duration,
    /// Changes that may wait for the hub in each lane.
    pub lane_entries: usize,
    /// Bytes of whole books that may wait for the hub in each lane.
    pub lane_book_bytes: usize,
    /// Subscriptions of a connection.
    pub max_subscriptions: usize,
    /// Tokens, markets and events that a subscription may name.
    pub max_tokens: usize,
    /// Tokens that all subscriptions take in at once: everybody else waits so long.
    pub joined_at_once: usize,
    /// Operations of a client a second, on average.
    pub operations_per_second: u32,
    /// Operations of a client at once.
    pub operations_burst: u32,
    /// Bytes of an operation.
    pub max_message: usize,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            max_clients: 1_024 + Self::LIBRARY_CLIENTS,
            buffer: 4 << 20,
            own_buffer: 256 << 10,
            ring: 64 << 20,
            ring_age: Duration::from_secs(60),
            heartbeat: Duration::from_secs(5),
            lane_entries: 65_536,
            lane_book_bytes: 32 << 20,
            max_subscriptions: 64,
            max_tokens: 5_000,
            joined_at_once: 1_024,
            operations_per_second: 10,
            operations_burst: 50,
            max_message: 512 << 10,
        }
    }
}

impl StreamConfig {
    /// Places for clients inside the process, beside those that come over HTTP.
    pub const LIBRARY_CLIENTS: usize = 64;

    /// What clients are told of it.
    pub fn hello_limits(&self) -> HelloLimits {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        HelloLimits {
            subscriptions: count(self.max_subscriptions),
            tokens: count(self.max_tokens),
            operations_per_second: self.operations_per_second.into(),
            operations_burst: self.operations_burst.into(),
            message_bytes: count(self.max_message),
            buffer_bytes: count(self.buffer),
            resume_seconds: self.ring_age.as_secs(),
        }
    }

    /// Time between two heartbeats in milliseconds.
    pub fn heartbeat_ms(&self) -> u64 {
        u64::try_from(self.heartbeat.as_millis()).unwrap_or(u64::MAX)
    }
}
