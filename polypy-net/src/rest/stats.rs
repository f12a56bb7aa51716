//! What a client has asked and what became of it.

use std::sync::atomic::{AtomicU64, Ordering};

use hyper::StatusCode;
use serde_json::{Value, json};

use super::error::RestError;

/// Counters of one client, shared by all who use it.
#[derive(Debug, Default)]
pub(super) struct RestStats {
    pub(super) requests: AtomicU64,
    pub(super) retries: AtomicU64,
    pub(super) connections_opened: AtomicU64,
    /// Requests sent again because a kept connection had gone stale.
    pub(super) stale_connections: AtomicU64,
    pub(super) bytes_received: AtomicU64,
    connect: AtomicU64,
    transport: AtomicU64,
    timeout: AtomicU64,
    too_many_requests: AtomicU64,
    server_error: AtomicU64,
    client_error: AtomicU64,
    other: AtomicU64,
}

/// Adds one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl RestStats {
    /// Counts a failed attempt by class.
    pub(super) fn failed(&self, error: &RestError) {
        count(match error {
            RestError::Connect(_) => &self.connect,
            RestError::Transport(_) => &self.transport,
            RestError::Timeout(_) => &self.timeout,
            RestError::Status { status, .. } => match *status {
                StatusCode::TOO_MANY_REQUESTS => &self.too_many_requests,
                status if status.is_server_error() => &self.server_error,
                _ => &self.client_error,
            },
            RestError::Base(_)
            | RestError::Request(_)
            | RestError::TooLarge { .. }
            | RestError::Encoded => &self.other,
        });
    }

    pub(super) fn to_json(&self) -> Value {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        json!({
            "requests": get(&self.requests),
            "retries": get(&self.retries),
            "connections_opened": get(&self.connections_opened),
            "stale_connections": get(&self.stale_connections),
            "bytes_received": get(&self.bytes_received),
            "failures": {
                "connect": get(&self.connect),
                "transport": get(&self.transport),
                "timeout": get(&self.timeout),
                "too_many_requests": get(&self.too_many_requests),
                "server_error": get(&self.server_error),
                "client_error": get(&self.client_error),
                "other": get(&self.other),
            },
        })
    }
}
