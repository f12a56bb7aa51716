//! When connections are replaced, each number with its reason.

use std::time::Duration;

/// When the recycler acts.
#[derive(Debug, Clone)]
pub struct RecyclerConfig {
    /// How often connections are looked at.
    pub check_interval: Duration,
    /// Share of ended markets' assets on a connection that is worth a new one.
    /// Reached only where they are not unsubscribed in place.
    pub pollution: f64,
    /// Age of a connection that is worth a new one: sockets were seen to
    /// degrade over hours.
    pub age: Duration,
    /// Up to this share of `age` is added, a different one for each
    /// connection, so that those opened together are not replaced together.
    pub age_jitter: f64,
    /// How long a connection must be unhealthy before it is replaced: its own
    /// reconnecting, full backoff included, comes first.
    pub unhealthy_for: Duration,
    /// Replacements at a time: each doubles its connection's traffic.
    pub concurrency: usize,
    /// Rest for a connection whose replacement failed.
    pub cool_down: Duration,
}

impl Default for RecyclerConfig {
    fn default() -> Self {
        Self {
            check_interval: Duration::from_secs(60),
            pollution: 0.3,
            age: Duration::from_secs(24 * 3_600),
            age_jitter: 0.1,
            unhealthy_for: Duration::from_secs(90),
            concurrency: 2,
            cool_down: Duration::from_secs(300),
        }
    }
}
