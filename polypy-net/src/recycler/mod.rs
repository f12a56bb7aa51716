//! When a connection is replaced by a new one, and what came of it.
//!
//! | reason | condition |
//! |---|---|
//! | pollution | the share of ended markets' assets on it reaches a limit |
//! | age | it is older than a limit, with jitter |
//! | unhealthy | it has been so for longer than reconnecting takes |
//! | lagging | it trails the other connection that carries the same assets |
//! | request | [`ConnectionRecycler::recycle_now`] |
//!
//! A quiet connection is none of them: silence is the connection's own to
//! judge, by probing. How a connection is replaced is the pool's
//! ([`ConnectionPool::replace`]); one that could not be is left alone for a
//! while. At most so many are replaced at a time, requests included.
//!
//! The figures mean what they say: `markets_migrated` counts assets that moved,
//! `avg_downtime_ms` is the mean time per moved asset without a live feed (zero
//! when old and new overlapped), `success_rate` is of those that ended, and
//! null before the first has.

mod config;
mod receipt;
mod stats;
mod watch;

use std::sync::Arc;

use parking_lot::Mutex;
use polypy_core::metrics::Sheet;
use polypy_core::{
    BoxFuture, Component, ComponentError, ComponentState, Health, HealthSource, StatsSource,
};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::counter::millis;
use crate::pool::{ConnectionPool, RecycleError};
use crate::registry::{AssetRegistry, ConnectionId};
use crate::task::TaskLife;

pub use config::RecyclerConfig;
pub use receipt::{Receipt, RecycleReason};

use stats::Record;
use watch::Watch;

/// The component.
#[derive(Debug)]
pub struct ConnectionRecycler {
    work: Arc<Work>,
    life: TaskLife,
}

/// What the task and requests share.
#[derive(Debug)]
struct Work {
    config: RecyclerConfig,
    pool: Arc<ConnectionPool>,
    registry: Arc<AssetRegistry>,
    places: Semaphore,
    record: Mutex<Record>,
}

impl ConnectionRecycler {
    /// A recycler of `pool`'s connections.
    pub fn new(
        config: RecyclerConfig,
        pool: Arc<ConnectionPool>,
        registry: Arc<AssetRegistry>,
    ) -> Self {
        Self {
            work: Arc::new(Work {
                places: Semaphore::new(config.concurrency.max(1)),
                config,
                pool,
                registry,
                record: Mutex::default(),
            }),
            life: TaskLife::default(),
        }
    }

    /// Replaces a connection now, whatever its state; waits for a free place.
    ///
    /// # Errors
    /// Why it was not replaced; it serves on.
    pub async fn recycle_now(&self, connection: ConnectionId) -> Result<Receipt, RecycleError> {
        self.work.recycle(connection, RecycleReason::Request).await
    }

    /// Whether a request would be begun at once, rather than wait for a free place.
    pub fn has_room(&self) -> bool {
        self.work.places.available_permits() > 0
    }

    /// The newest replacements, oldest first.
    pub fn receipts(&self) -> Vec<Receipt> {
        self.work.record.lock().receipts.all()
    }
}

impl Work {
    async fn recycle(
        &self,
        connection: ConnectionId,
        reason: RecycleReason,
    ) -> Result<Receipt, RecycleError> {
        let Ok(_place) = self.places.acquire().await else {
            return Err(RecycleError::NotRunning);
        };
        let started = Instant::now();
        let Some(active) = Active::begin(self, connection, reason) else {
            return Err(RecycleError::UnderWay(connection));
        };
        tracing::info!(connection = %connection, reason = reason.name(), "replacing connection");
        let result = self.pool.replace(connection).await;
        drop(active);
        let took = Instant::now().saturating_duration_since(started);
        let receipt = Receipt::new(connection, reason, &result, millis(took));
        let mut record = self.record.lock();
        record.end(result.as_ref().ok(), receipt.clone());
        result.map(|_| receipt)
    }

    /// Looks at the connections until told to stop. Replacements under way are
    /// given up then: the pool undoes them.
    async fn watch(self: Arc<Self>, mut stop: oneshot::Receiver<()>) {
        let mut under_way: JoinSet<(ConnectionId, bool)> = JoinSet::new();
        let mut watch = Watch::default();
        let mut check = interval(self.config.check_interval);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                // A dropped sender means the same.
                _ = &mut stop => break,
                joined = under_way.join_next(), if !under_way.is_empty() => match joined {
                    Some(Ok((connection, replaced))) => {
                        watch.ended(connection, replaced, Instant::now() + self.config.cool_down);
                    }
                    Some(Err(error)) => {
                        tracing::error!(error = %error, "replacement task failed");
                    }
                    None => {}
                },
                () = self.pool.trailing() => check.reset_immediately(),
                _ = check.tick() => {
                    let connections = self.pool.connections();
                    let room = self.config.concurrency.saturating_sub(under_way.len());
                    let due = watch.due(&connections, &self.registry, &self.config, Instant::now());
                    for (connection, reason) in due.into_iter().take(room) {
                        watch.begun(connection);
                        let work = Arc::clone(&self);
                        under_way.spawn(async move {
                            let result = work.recycle(connection, reason).await;
                            (connection, result.is_ok())
                        });
                    }
                }
            }
        }
        under_way.shutdown().await;
    }
}

/// Shows a replacement as under way; one that is given up half-way counts as failed.
struct Active<'a> {
    work: &'a Work,
    connection: ConnectionId,
}

impl<'a> Active<'a> {
    /// `None` if it is being replaced already: whose replacement that is shows it.
    fn begin(work: &'a Work, connection: ConnectionId, reason: RecycleReason) -> Option<Self> {
        let begun = work.record.lock().begin(connection, reason);
        begun.then(|| Self { work, connection })
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.work.record.lock().leave(self.connection);
    }
}

impl Component for ConnectionRecycler {
    fn name(&self) -> &'static str {
        "recycler"
    }

    fn start(&self) -> BoxFuture<'_, Result<(), ComponentError>> {
        Box::pin(async {
            self.life
                .start("recycler", |stop| Arc::clone(&self.work).watch(stop));
            Ok(())
        })
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.life.stop("recycler"))
    }

    fn state(&self) -> ComponentState {
        self.life.state()
    }
}

impl HealthSource for ConnectionRecycler {
    fn health(&self) -> Health {
        Health::of(self.state() == ComponentState::Running)
    }
}

impl StatsSource for ConnectionRecycler {
    fn show(&self, sheet: &mut dyn Sheet) {
        self.work.record.lock().show(sheet);
    }
}

#[cfg(test)]
mod tests;
