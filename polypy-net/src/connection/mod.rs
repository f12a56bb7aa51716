//! One connection to the market channel, over all the sockets it will have.
//!
//! A `Connection` is a task that carries a set of assets. It opens a socket,
//! names its assets, delivers what arrives, and when the socket ends it opens
//! another, for as long as it carries anything and was not told to end.
//!
//! | state | the task |
//! |---|---|
//! | connecting, reconnecting | waits (backoff, `Retry-After`), takes its turn with the pacer, opens |
//! | connected | `life`: reads, pings, probes, subscribes in place |
//! | draining | as connected, and ends with its socket |
//! | idle | carries nothing: waits to be given assets or closed |
//!
//! It is told what to carry through an `inbox` and shows itself through
//! [`ConnectionStats`]; it never calls back. Each socket is one feed (see
//! [`polypy_core::feed`]): opened before the first event, closed the moment the
//! socket ends, whichever way it does. It does not decide who carries what
//! (the pool does), when a market has ended (discovery does), nor what a book is.

mod cause;
mod config;
mod first_book;
mod inbox;
mod intake;
mod join;
mod life;
mod outlet;
mod pacer;
mod race;
mod reconnect;
mod request;
mod rungs;
mod seeding;
mod socket;
mod stats;
mod tally;
mod tape;
mod task;
mod watchdog;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::Uri;
use parking_lot::RwLock;
use polypy_core::{AssetInfo, AssetKey, EventSink, FeedId, Interner, LifecycleEvent, StaleReason};
use tokio::sync::{Notify, Semaphore};

use crate::clob::BookFetch;
use crate::dial::Dial;
use crate::registry::ConnectionId;
use crate::resync::ResyncQueue;
use crate::wire::WireStats;

pub use config::ConnectionConfig;
pub use reconnect::ReconnectReceipt;
pub use socket::OpenError;
pub use stats::{ConnectionStats, ConnectionStatus};

pub use tape::Comparison;

pub(crate) use race::{Race, Score, Side};
pub(crate) use rungs::Rungs;
pub(crate) use stats::{millis, ratio};
pub(crate) use tape::{Opening, Tape};

use inbox::Inbox;
use pacer::Pacer;
use reconnect::Reconnects;

/// Who is told what the feed says about markets, as opposed to books.
/// No call waits; what cannot be taken in is dropped and counted by the listener.
pub trait LifecycleListener: Send + Sync {
    /// A market appeared or ended.
    fn offer(&self, event: LifecycleEvent);

    /// These assets look as if their market had ended: the venue has no book of
    /// them, or closed because all of them are resolved. Worth asking discovery.
    fn confirm_gone(&self, assets: &[AssetKey]);
}

/// What connections work with: handed in once, shared by all.
#[derive(Clone)]
pub struct Venue {
    /// Address of the market channel.
    pub url: Uri,
    /// Opens byte streams.
    pub dialer: Arc<dyn Dial>,
    /// Fetches whole books.
    pub books: Arc<dyn BookFetch>,
    /// Takes the events.
    pub sink: Arc<dyn EventSink>,
    /// Takes what the feed says about markets.
    pub lifecycle: Arc<dyn LifecycleListener>,
    /// Takes wishes for fresh snapshots.
    pub resync: Arc<ResyncQueue>,
    /// Counts what was decoded.
    pub wire: Arc<WireStats>,
}

impl fmt::Debug for Venue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Venue")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// A [`Venue`] with what its connections share.
pub(crate) struct Context {
    venue: Venue,
    config: ConnectionConfig,
    interner: Arc<RwLock<Interner>>,
    /// The last feed number given out.
    feeds: AtomicU64,
    pacer: Pacer,
    seeds: Semaphore,
    reconnects: Reconnects,
    /// Wakes the pool: a connection's state changed in a way it may wait for.
    progress: Notify,
}

impl Context {
    pub(crate) fn new(
        venue: Venue,
        interner: Arc<RwLock<Interner>>,
        config: ConnectionConfig,
    ) -> Self {
        Self {
            venue,
            interner,
            feeds: AtomicU64::new(0),
            pacer: Pacer::new(config.pace),
            seeds: Semaphore::new(config.seeds_in_flight.max(1)),
            reconnects: Reconnects::default(),
            progress: Notify::new(),
            config,
        }
    }

    pub(crate) fn venue(&self) -> &Venue {
        &self.venue
    }

    /// What lost sockets cost.
    pub(crate) fn reconnects(&self) -> &Reconnects {
        &self.reconnects
    }

    /// Waits until some connection's state changed.
    pub(crate) async fn progressed(&self) {
        self.progress.notified().await;
    }

    fn next_feed(&self) -> FeedId {
        FeedId(self.feeds.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// The pool's end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    inbox: Arc<Inbox>,
    stats: Arc<ConnectionStats>,
}

/// How a connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It delivers from its first event on.
    Serving,
    /// It holds back until [`Connection::take_over`].
    Replacement,
}

impl Connection {
    /// A connection and the future that is its life, for the caller to spawn.
    pub(crate) fn new(
        id: ConnectionId,
        context: Arc<Context>,
        role: Role,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let inbox = Arc::new(Inbox::default());
        let stats = Arc::new(ConnectionStats::new(id, context.config.first_book_deadline));
        let task = task::Task::new(context, Arc::clone(&inbox), Arc::clone(&stats), role);
        (Self { inbox, stats }, task.run())
    }

    pub(crate) fn stats(&self) -> &Arc<ConnectionStats> {
        &self.stats
    }

    /// Carries these assets too.
    pub(crate) fn subscribe(&self, assets: impl IntoIterator<Item = Arc<AssetInfo>>) {
        self.inbox.subscribe(assets);
    }

    /// Carries these no longer, so that another connection can; what departed
    /// is shown by [`ConnectionStats::take_departed`].
    pub(crate) fn depart(&self, assets: &[AssetKey]) {
        self.inbox.depart(assets);
    }

    /// Carries these no longer: their markets have ended.
    pub(crate) fn unsubscribe(&self, assets: &[AssetKey]) {
        self.inbox.unsubscribe(assets);
    }

    /// Gets fresh snapshots of those that it carries.
    pub(crate) fn resubscribe(&self, assets: &[(AssetKey, StaleReason)]) {
        self.inbox.resubscribe(assets);
    }

    /// A replacement delivers from now on, beginning with what it held back.
    pub(crate) fn take_over(&self) {
        self.inbox.take_over();
    }

    /// Writes down from now on what it brings, for as long as someone holds the
    /// tape.
    pub(crate) fn record(&self, tape: &Arc<Tape>) {
        self.inbox.record(tape);
    }

    /// Reports from now on what it brings, for as long as someone holds the race.
    pub(crate) fn race(&self, race: &Arc<Race>, side: Side) {
        self.inbox.race(race, side);
    }

    /// Serves on and ends with its socket, at once if it has none.
    pub(crate) fn retire(&self) {
        self.inbox.retire();
    }

    /// Ends.
    pub(crate) fn close(&self) {
        self.inbox.close();
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
