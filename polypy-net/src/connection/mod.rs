//! One connection to the market channel, over all the sockets it will have.
//!
//! A `Connection` is a task that carries a set of assets. It opens a socket,
//! names its assets, delivers what arrives, and when the socket ends it opens
//! another, for as long as it carries anything and was not told to end.
//!
//! | state | the task |
//! |---|---|
//! | connecting, reconnecting | waits (backoff, `Retry-After`, or until another's socket stays), takes its turn with the pacer, opens |
//! | connected | `session`: reads, pings, probes, subscribes in place |
//! | draining | as connected, and ends with its socket |
//! | idle | carries nothing: waits to be given assets or closed |
//!
//! The pool tells it what to carry (`commands`); `carried` applies that, in one
//! place for a connection with a socket and one without. It shows itself through
//! [`ConnectionView`]: its *state*, on which pool and recycler decide and each
//! change of which wakes the pool's owner, and its *counters*, on which nobody
//! does. It never calls back. Each socket is one feed (see [`polypy_core::feed`]):
//! opened before the first event, closed the moment the socket ends, whichever way
//! it does. It does not decide who carries what (the pool does), when a market has
//! ended (discovery does), nor what a book is.

mod carried;
mod change_log;
mod commands;
mod config;
mod counters;
mod disconnect;
mod event_output;
mod first_book;
mod frame_batcher;
mod lag;
mod outages;
mod pacer;
mod reconnect;
mod recovery;
mod request;
mod seeding;
mod session;
mod shown;
mod socket;
mod state;
mod suspended;
mod tap;
mod task;
mod view;
mod watchdog;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use polypy_core::metrics::{Histogram, Row, Sheet, Span};
use polypy_core::{AssetInfo, AssetKey, FeedId, Interner, SocketId, StaleReason};
use tokio::sync::Semaphore;

use crate::counter::millis;
use crate::registry::ConnectionId;
use crate::venue::Venue;

pub use change_log::Comparison;
pub use config::ConnectionConfig;
pub use reconnect::{OutageOutcome, ReconnectReceipt};
pub use socket::OpenError;
pub use state::{ConnectionState, ConnectionStatus};
pub use view::ConnectionView;

pub(crate) use change_log::{ChangeLog, Opening};
pub(crate) use counters::ConnectionCounters;
pub(crate) use lag::{LagComparison, LagScore, Replica};
pub(crate) use shown::show;
pub(crate) use view::Changes;

use commands::CommandMailbox;
use outages::Outages;
use pacer::Pacer;
use reconnect::Reconnects;
use recovery::Recovery;

/// A [`Venue`] with what its connections share.
pub(crate) struct Context {
    venue: Venue,
    config: ConnectionConfig,
    interner: Arc<RwLock<Interner>>,
    /// The last feed number given out.
    feeds: AtomicU64,
    /// The last socket's number.
    sockets: AtomicU64,
    pacer: Pacer,
    seeds: Semaphore,
    reconnects: Reconnects,
    recovery: Recovery,
    outages: Outages,
    /// From the frame that names an asset until its first book.
    first_book: Histogram,
    /// From the exchange's stamp until the read, once a read.
    exchange_to_receive: Histogram,
    /// Which connections' states the pool's owner has not seen yet.
    changes: Arc<Changes>,
}

static FIRST_BOOK: Row = Row::histogram(
    "polypy_first_book_seconds",
    "From the frame that subscribes a token until the feed's first book of it.",
    Span::NETWORK,
);
static EXCHANGE_TO_RECEIVE: Row = Row::histogram(
    "polypy_exchange_to_receive_seconds",
    "From the exchange's stamp of the newest change of a read until the read, by this \
     machine's clock.",
    Span::NETWORK,
);

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
            sockets: AtomicU64::new(0),
            pacer: Pacer::new(config.pace),
            seeds: Semaphore::new(config.seeds_in_flight.max(1)),
            reconnects: Reconnects::default(),
            recovery: Recovery::default(),
            outages: Outages::default(),
            first_book: Histogram::default(),
            exchange_to_receive: Histogram::default(),
            changes: Arc::default(),
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

    /// Which connections are without a socket.
    pub(crate) fn outages(&self) -> &Outages {
        &self.outages
    }

    /// Shows how long books and frames took.
    pub(crate) fn show_times(&self, sheet: &mut dyn Sheet) {
        sheet.histogram(&FIRST_BOOK, &self.first_book.reading());
        sheet.histogram(&EXCHANGE_TO_RECEIVE, &self.exchange_to_receive.reading());
    }

    /// Which connections' states changed.
    pub(crate) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// The process runs; says so if it has not for a while.
    pub(crate) fn beat(&self) {
        if let Some(stood_still) = self.venue.suspension.beat() {
            tracing::warn!(
                stood_still_ms = millis(stood_still),
                "the process stood still: no book is live before its connection has answered"
            );
        }
    }

    fn next_socket(&self) -> SocketId {
        SocketId(self.sockets.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn next_feed(&self) -> FeedId {
        FeedId(self.feeds.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// The pool's end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    commands: Arc<CommandMailbox>,
    view: Arc<ConnectionView>,
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
        let commands = Arc::new(CommandMailbox::default());
        let (deadline, changes) = (
            context.config.first_book_deadline,
            Arc::clone(&context.changes),
        );
        let view = Arc::new(ConnectionView::new(id, deadline, changes));
        let task = task::Task::new(context, Arc::clone(&commands), Arc::clone(&view), role);
        (Self { commands, view }, task.run())
    }

    /// What it shows of itself.
    pub(crate) fn view(&self) -> &Arc<ConnectionView> {
        &self.view
    }

    /// Carries these assets too.
    pub(crate) fn subscribe(&self, assets: impl IntoIterator<Item = Arc<AssetInfo>>) {
        self.commands.subscribe(assets);
    }

    /// Carries these no longer, so that another connection can; what departed
    /// is in [`ConnectionView::report`].
    pub(crate) fn depart(&self, assets: &[AssetKey]) {
        self.commands.depart(assets);
    }

    /// Carries these no longer: their markets have ended.
    pub(crate) fn unsubscribe(&self, assets: &[AssetKey]) {
        self.commands.unsubscribe(assets);
    }

    /// Gets fresh snapshots of those that it carries.
    pub(crate) fn resubscribe(&self, assets: &[(AssetKey, StaleReason)]) {
        self.commands.resubscribe(assets);
    }

    /// A replacement delivers from now on, beginning with what it held back.
    pub(crate) fn take_over(&self) {
        self.commands.take_over();
    }

    /// Writes down from now on what it brings, for as long as someone holds the
    /// log.
    pub(crate) fn record(&self, log: &Arc<ChangeLog>) {
        self.commands.record(log);
    }

    /// Reports from now on what it brings, for as long as someone holds the
    /// comparison.
    pub(crate) fn compare(&self, comparison: &Arc<LagComparison>, replica: Replica) {
        self.commands.compare(comparison, replica);
    }

    /// Serves on and ends with its socket, at once if it has none.
    pub(crate) fn retire(&self) {
        self.commands.retire();
    }

    /// Ends.
    pub(crate) fn close(&self) {
        self.commands.close();
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
