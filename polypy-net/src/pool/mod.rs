//! All connections to the market channel, and who carries what.
//!
//! The pool takes pending markets from the registry, as many or as few as there
//! are, and puts each on one connection with all of its tokens: on one with room
//! first, on a new one else. It takes ended markets off, closes connections
//! that carry nothing, has books resubscribed when someone asked for it
//! ([`crate::resync`]), splits a connection that is too much for one socket, makes
//! small ones one in calm, and replaces one without a gap
//! ([`ConnectionPool::replace`]).
//!
//! One task does all of that; everything else here reads. The pool does not
//! decide when to replace a connection ([`crate::recycler`] does) nor what is a
//! market ([`crate::lifecycle`] does).

mod config;
mod hand_over;
mod merging;
mod migration;
mod moving;
mod owner;
mod placement;
mod replicas;
mod report;
mod slot;
mod slow_consumer;
mod stats;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use polypy_core::{
    BoxFuture, Component, ComponentError, ComponentState, Health, HealthSource, Lifecycle,
};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::connection::{ConnectionConfig, ConnectionView, Context, ReconnectReceipt};
use crate::registry::{AssetRegistry, ConnectionId};
use crate::task::{OwnedTask, not_started, not_stopped};
use crate::venue::Venue;

pub use config::PoolConfig;
pub use migration::{Migration, RecycleError};

use owner::{Owner, Request};
use replicas::ReplicaStats;
use stats::Counts;

const NAME: &str = "pool";

/// Requests to replace a connection that may wait: more than anyone has at once.
const REQUESTS: usize = 16;

/// The component.
#[derive(Debug)]
pub struct ConnectionPool {
    shared: Arc<Shared>,
    life: Lifecycle<Run>,
}

/// What the owner's task and readers share.
struct Shared {
    config: PoolConfig,
    registry: Arc<AssetRegistry>,
    context: Arc<Context>,
    connections: RwLock<BTreeMap<ConnectionId, Arc<ConnectionView>>>,
    counts: Mutex<Counts>,
    replica_stats: Mutex<ReplicaStats>,
    /// Wakes the recycler: a connection was found to trail the other of its
    /// pair.
    trailing: Notify,
}

#[derive(Debug)]
struct Run {
    owner: OwnedTask,
    requests: mpsc::Sender<Request>,
    stop: oneshot::Sender<()>,
}

impl ConnectionPool {
    /// A pool for the assets of `registry`, over `venue`. Feeds are numbered
    /// over all its starts.
    pub fn new(
        config: PoolConfig,
        connection: ConnectionConfig,
        registry: Arc<AssetRegistry>,
        venue: Venue,
    ) -> Self {
        let interner = Arc::clone(registry.interner());
        Self {
            shared: Arc::new(Shared {
                context: Arc::new(Context::new(venue, interner, connection)),
                config,
                registry,
                connections: RwLock::default(),
                counts: Mutex::default(),
                replica_stats: Mutex::default(),
                trailing: Notify::new(),
            }),
            life: Lifecycle::failing_when(|run: &Run| run.owner.is_finished()),
        }
    }

    /// Connections whose socket is open, handshake done.
    pub fn active_connections(&self) -> usize {
        let connections = self.shared.connections.read();
        let open = connections.values().filter(|view| view.is_open());
        open.count()
    }

    /// Whether any connection is open.
    pub fn is_connected(&self) -> bool {
        let connections = self.shared.connections.read();
        connections.values().any(|view| view.is_open())
    }

    /// How many connections there are.
    pub fn connection_count(&self) -> usize {
        self.shared.connections.read().len()
    }

    /// All connections, by number.
    pub fn connections(&self) -> Vec<Arc<ConnectionView>> {
        self.shared.connections.read().values().cloned().collect()
    }

    /// Whether it runs and has an open connection, or nothing to connect for.
    pub fn is_healthy(&self) -> bool {
        let (pending, subscribed, _) = self.shared.registry.counts();
        self.state() == ComponentState::Running
            && (pending + subscribed == 0 || self.active_connections() > 0)
    }

    /// Waits until a connection was found to trail the other one of its pair.
    /// Remembers one wake-up; made for a single waiter, the recycler.
    pub(crate) async fn trailing(&self) {
        self.shared.trailing.notified().await;
    }

    /// What lost sockets cost lately, oldest first.
    pub fn reconnects(&self) -> Vec<ReconnectReceipt> {
        self.shared.context.reconnects().receipts()
    }

    /// Replaces a connection without a gap: a second one opens with the same
    /// live assets and holds everything back until it has a book for each;
    /// then it takes over, and the old one closes a moment later. Dropping the
    /// future before the take-over gives the replacement up.
    ///
    /// # Errors
    /// Why it was given up. The old connection serves on, and nothing of the
    /// replacement is left.
    pub async fn replace(&self, connection: ConnectionId) -> Result<Migration, RecycleError> {
        let requests = self.life.read(|run| run.requests.clone());
        let requests = requests.ok_or(RecycleError::NotRunning)?;
        let (reply, answer) = oneshot::channel();
        // Both fail only because the owner has ended.
        if requests.send(Request { connection, reply }).await.is_err() {
            return Err(RecycleError::NotRunning);
        }
        answer.await.unwrap_or(Err(RecycleError::NotRunning))
    }
}

impl Shared {
    fn count(&self, write: impl FnOnce(&mut Counts)) {
        write(&mut self.counts.lock());
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("config", &self.config)
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

impl Component for ConnectionPool {
    fn name(&self) -> &'static str {
        NAME
    }

    fn start(&self) -> BoxFuture<'_, Result<(), ComponentError>> {
        Box::pin(async {
            let starting = match self.life.begin_start() {
                Ok(starting) => starting,
                Err(state) => {
                    not_started(NAME, state);
                    return Ok(());
                }
            };
            let (requests, receiver) = mpsc::channel(REQUESTS);
            let (stop, stopped) = oneshot::channel();
            let owner = Owner::new(Arc::clone(&self.shared));
            self.shared.context.venue().suspension.begin();
            starting.running(Run {
                owner: OwnedTask::spawn(owner.run(receiver, stopped)),
                requests,
                stop,
            });
            Ok(())
        })
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let (_stopping, run) = match self.life.begin_stop() {
                Ok(begun) => begun,
                Err(state) => return not_stopped(NAME, state),
            };
            let _left = LeaveAll(&self.shared);
            drop(run.stop);
            run.owner.join(NAME).await;
        })
    }

    fn state(&self) -> ComponentState {
        self.life.state()
    }
}

/// Lets go of what was carried, also when the caller of `stop` gave up waiting: the
/// owner's task was aborted then, and its connections with it.
struct LeaveAll<'a>(&'a Shared);

impl Drop for LeaveAll<'_> {
    fn drop(&mut self) {
        let shared = self.0;
        shared.context.venue().suspension.end();
        let left = std::mem::take(&mut *shared.connections.write());
        shared.replica_stats.lock().part_all();
        for id in left.into_keys() {
            let assets = shared.registry.assets_on(id);
            let keys: Vec<_> = assets.iter().map(|info| info.key).collect();
            shared.registry.release(&keys);
        }
    }
}

impl HealthSource for ConnectionPool {
    fn health(&self) -> Health {
        Health::of(self.is_healthy())
    }
}

#[cfg(test)]
pub(crate) mod forgotten_tests;
#[cfg(test)]
mod receipt_tests;
#[cfg(test)]
mod replica_tests;
#[cfg(test)]
pub(crate) mod tests;
