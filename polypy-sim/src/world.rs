//! What every task of the exchange shares.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::config::SimConfig;
use crate::exchange::Exchange;
use crate::stats::Counters;

/// Shared by the server, the sockets, the driver and the handle.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) config: Arc<SimConfig>,
    pub(crate) counters: Arc<Counters>,
    /// Never held across an await.
    pub(crate) exchange: Mutex<Exchange>,
    /// Wakes the driver.
    pub(crate) wake: Arc<Notify>,
    /// Turns true once, or closes, when everything is to end.
    pub(crate) stop: watch::Receiver<bool>,
    /// Every connection's task; joined by stop.
    pub(crate) tasks: Tasks,
}

/// Tasks that come and go, joined at the end.
#[derive(Debug, Default)]
pub(crate) struct Tasks(Mutex<JoinSet<()>>);

impl Tasks {
    /// Spawns a task and forgets those that are over.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.0.lock();
        while let Some(ended) = tasks.try_join_next() {
            note(ended);
        }
        tasks.spawn(task);
    }

    /// Joins everything, also what is spawned meanwhile.
    pub(crate) async fn join(&self) {
        loop {
            let mut tasks = std::mem::take(&mut *self.0.lock());
            if tasks.is_empty() {
                return;
            }
            while let Some(ended) = tasks.join_next().await {
                note(ended);
            }
        }
    }
}

fn note(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task died");
    }
}
