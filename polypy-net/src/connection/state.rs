//! What a connection is at this moment: all that the pool and the recycler decide on.
//!
//! | changes | of |
//! |---|---|
//! | `open`, `heard`, `ended`, `not_opened`, `too_slow` | its sockets |
//! | `deliver_under`, `take_over`, `overflow` | its feed |
//! | `carry`, `take_departed`, `await_books` | its assets |
//! | `idle`, `reconnect`, `retire`, `close`, `lag` | what it is about to do |
//!
//! Its task alone makes these changes, each through [`super::view::ConnectionView`],
//! which tells the pool's owner that there is one. What is merely counted is in
//! `counters`: nobody decides on that.

use std::sync::Arc;
use std::time::Duration;

use polypy_core::{AssetKey, FeedId};
use tokio::time::Instant;

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionStatus {
    /// Its first socket is being opened.
    Connecting,
    /// Its socket is open.
    Connected,
    /// It lost its socket, or never got one, and tries again.
    Reconnecting,
    /// It serves until its replacement has settled in, and does not reopen.
    Draining,
    /// It carries nothing, so it has no socket.
    Idle,
    /// It has ended.
    Closed,
}

impl ConnectionStatus {
    /// Its name in `/stats`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Reconnecting => "reconnecting",
            Self::Draining => "draining",
            Self::Idle => "idle",
            Self::Closed => "closed",
        }
    }
}

/// An asset whose first book has not come, and how far the search for it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AwaitedBook {
    pub(crate) asset: AssetKey,
    /// REST gave a book that can be read; the feed is silent about it.
    pub(crate) has_snapshot: bool,
    /// REST has no book of it.
    pub(crate) is_denied: bool,
    /// This socket does not bring it, whatever is tried.
    pub(crate) is_exhausted: bool,
}

#[derive(Debug, Clone, Copy)]
enum Socket {
    /// None has been open yet.
    Never,
    Open {
        since: Instant,
        /// It has sent data.
        heard: bool,
    },
    Closed {
        since: Instant,
    },
}

/// One connection's state. Values of one moment: a copy does not change.
#[derive(Debug, Clone)]
pub struct ConnectionState {
    status: ConnectionStatus,
    created: Instant,
    /// How long an open socket may say nothing and be healthy.
    quiet_limit: Duration,
    socket: Socket,
    retired: bool,
    overflowed: bool,
    lagging: bool,
    /// The feed it delivers under.
    feed: Option<FeedId>,
    /// The same, kept after its end.
    last_feed: FeedId,
    took_over: Option<Instant>,
    carried: usize,
    /// Sockets that could not be opened, and those that ended.
    setbacks: u64,
    slow_consumer_closes: u64,
    awaited: Arc<[AwaitedBook]>,
    /// Assets that are free to go elsewhere.
    departed: Vec<AssetKey>,
}

impl ConnectionState {
    pub(super) fn new(now: Instant, quiet_limit: Duration) -> Self {
        Self {
            status: ConnectionStatus::Connecting,
            created: now,
            quiet_limit,
            socket: Socket::Never,
            retired: false,
            overflowed: false,
            lagging: false,
            feed: None,
            last_feed: FeedId::default(),
            took_over: None,
            carried: 0,
            setbacks: 0,
            slow_consumer_closes: 0,
            awaited: Arc::default(),
            departed: Vec::new(),
        }
    }

    /// Where it stands.
    pub fn status(&self) -> ConnectionStatus {
        self.status
    }

    /// Whether its socket is open, handshake done.
    pub fn is_open(&self) -> bool {
        self.open_since().is_some()
    }

    /// Whether its socket is open and has said something since, or has not had
    /// the time to.
    pub fn is_healthy(&self, now: Instant) -> bool {
        match self.socket {
            Socket::Open { heard: true, .. } => true,
            Socket::Open { since, .. } => now.saturating_duration_since(since) <= self.quiet_limit,
            Socket::Never | Socket::Closed { .. } => false,
        }
    }

    /// Whether it serves until its socket ends, and does not reopen.
    pub fn is_retired(&self) -> bool {
        self.retired
    }

    /// Whether it was found to trail the other connection that carries the same
    /// assets.
    pub fn is_lagging(&self) -> bool {
        self.lagging
    }

    /// Time since it was made, over all its sockets.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.created)
    }

    /// Since when its socket is open.
    pub(crate) fn open_since(&self) -> Option<Instant> {
        match self.socket {
            Socket::Open { since, .. } => Some(since),
            Socket::Never | Socket::Closed { .. } => None,
        }
    }

    /// Since when it has been without a socket.
    pub(crate) fn down_since(&self) -> Option<Instant> {
        match self.socket {
            Socket::Never => Some(self.created),
            Socket::Open { .. } => None,
            Socket::Closed { since } => Some(since),
        }
    }

    /// The feed it delivers under.
    pub(crate) fn feed(&self) -> Option<FeedId> {
        self.feed
    }

    /// The last feed that it delivered under.
    pub(crate) fn last_feed(&self) -> FeedId {
        self.last_feed
    }

    /// Whether a replacement held back more than it may.
    pub(crate) fn has_overflowed(&self) -> bool {
        self.overflowed
    }

    /// When a replacement began to deliver.
    pub(crate) fn took_over(&self) -> Option<Instant> {
        self.took_over
    }

    /// Attempts to open a socket that failed, and sockets that ended.
    pub(crate) fn setbacks(&self) -> u64 {
        self.setbacks
    }

    /// Closes for being too slow a reader, ever.
    pub(crate) fn slow_consumer_closes(&self) -> u64 {
        self.slow_consumer_closes
    }

    /// Assets it carries.
    pub(crate) fn carried(&self) -> usize {
        self.carried
    }

    /// Assets for which it has no book at all.
    pub(crate) fn bookless(&self) -> impl Iterator<Item = AssetKey> + '_ {
        let bookless = self.awaited.iter().filter(|book| !book.has_snapshot);
        bookless.map(|book| book.asset)
    }

    /// Those of them that REST has not denied: a book may still come.
    pub(crate) fn retryable(&self) -> impl Iterator<Item = AssetKey> + '_ {
        let hoped = self.awaited.iter().filter(|book| book.is_retryable());
        hoped.map(|book| book.asset)
    }

    /// Assets whose first book this socket does not bring, whatever is tried.
    pub(crate) fn exhausted(&self) -> impl Iterator<Item = AssetKey> + '_ {
        let exhausted = self.awaited.iter().filter(|book| book.is_exhausted);
        exhausted.map(|book| book.asset)
    }

    /// Books that it delivers at this moment.
    pub(super) fn books_delivered(&self) -> usize {
        if self.feed.is_some() && self.is_open() {
            self.carried.saturating_sub(self.bookless().count())
        } else {
            0
        }
    }

    /// A socket is open, and has no book of `awaited` yet.
    pub(super) fn open(&mut self, now: Instant, awaited: Arc<[AwaitedBook]>) {
        self.status = ConnectionStatus::Connected;
        self.socket = Socket::Open {
            since: now,
            heard: false,
        };
        // With the opening, not after it: nobody may see the socket open and think
        // that no book is missing.
        self.awaited = awaited;
    }

    /// The socket has sent data.
    pub(super) fn heard(&mut self) {
        if let Socket::Open { heard, .. } = &mut self.socket {
            *heard = true;
        }
    }

    /// The socket has ended.
    pub(super) fn ended(&mut self, now: Instant) {
        self.socket = Socket::Closed { since: now };
        self.setbacks += 1;
        self.feed = None;
        self.awaited = Arc::default();
    }

    /// The socket was closed for being too slow a reader.
    pub(super) fn too_slow(&mut self) {
        self.slow_consumer_closes += 1;
    }

    /// A socket could not be opened.
    pub(super) fn not_opened(&mut self) {
        self.setbacks += 1;
    }

    pub(super) fn deliver_under(&mut self, feed: FeedId) {
        self.feed = Some(feed);
        self.last_feed = feed;
    }

    /// A replacement begins to deliver.
    pub(super) fn take_over(&mut self, feed: FeedId, now: Instant) {
        self.deliver_under(feed);
        self.took_over = Some(now);
    }

    /// A replacement held back more than it may.
    pub(super) fn overflow(&mut self) {
        self.overflowed = true;
    }

    /// It carries so many assets, and `departed` no longer.
    pub(super) fn carry(&mut self, assets: usize, departed: Vec<AssetKey>) {
        self.carried = assets;
        self.departed.extend(departed);
    }

    /// Assets that departed since the last call.
    pub(super) fn take_departed(&mut self) -> Vec<AssetKey> {
        std::mem::take(&mut self.departed)
    }

    /// These are still without the feed's own book.
    pub(super) fn await_books(&mut self, awaited: Arc<[AwaitedBook]>) {
        self.awaited = awaited;
    }

    pub(super) fn idle(&mut self) {
        self.status = ConnectionStatus::Idle;
    }

    /// It is about to open a socket.
    pub(super) fn reconnect(&mut self) {
        // The first socket is still to come: that is connecting, not reconnecting.
        self.status = match (self.socket, self.setbacks) {
            (Socket::Never, 0) => ConnectionStatus::Connecting,
            (Socket::Never | Socket::Open { .. } | Socket::Closed { .. }, _) => {
                ConnectionStatus::Reconnecting
            }
        };
    }

    /// It does not reopen.
    pub(super) fn retire(&mut self) {
        self.retired = true;
        if self.is_open() {
            self.status = ConnectionStatus::Draining;
        }
    }

    pub(super) fn close(&mut self) {
        self.status = ConnectionStatus::Closed;
    }

    /// It trails the other connection of its pair.
    pub(super) fn lag(&mut self) {
        self.lagging = true;
    }
}

impl AwaitedBook {
    /// Nothing is known of it but that it was asked for.
    pub(super) fn new(asset: AssetKey) -> Self {
        Self {
            asset,
            has_snapshot: false,
            is_denied: false,
            is_exhausted: false,
        }
    }

    pub(super) fn is_retryable(&self) -> bool {
        !self.has_snapshot && !self.is_denied
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_socket_has_its_time_to_say_something_and_is_healthy_once_it_has() {
        let start = Instant::now();
        let mut state = ConnectionState::new(start, 8 * SECOND);
        let healthy = |state: &ConnectionState| {
            [1, 8, 9].map(|second| state.is_healthy(start + second * SECOND))
        };
        assert_eq!(healthy(&state), [false; 3]);
        state.open(start, Arc::default());
        assert_eq!(healthy(&state), [true, true, false]);
        state.heard();
        assert_eq!(healthy(&state), [true; 3]);
        state.ended(start + SECOND);
        // What the last socket said is not the next one's merit.
        state.heard();
        assert_eq!(healthy(&state), [false; 3]);
        state.open(start + SECOND, Arc::default());
        assert_eq!(healthy(&state), [true, true, true]);
        assert!(!state.is_healthy(start + 10 * SECOND));
    }

    #[test]
    fn only_before_anything_has_failed_it_connects_for_the_first_time() {
        let now = Instant::now();
        let status = |before: &dyn Fn(&mut ConnectionState)| {
            let mut state = ConnectionState::new(now, SECOND);
            before(&mut state);
            state.reconnect();
            state.status()
        };
        let opened = |state: &mut ConnectionState| {
            state.open(now, Arc::default());
            state.ended(now);
        };
        assert_eq!(status(&|_| {}), ConnectionStatus::Connecting);
        assert_eq!(status(&ConnectionState::idle), ConnectionStatus::Connecting);
        let failed = status(&ConnectionState::not_opened);
        assert_eq!(failed, ConnectionStatus::Reconnecting);
        assert_eq!(status(&opened), ConnectionStatus::Reconnecting);
    }

    #[test]
    fn the_end_of_a_socket_takes_its_feed_and_what_it_waited_for() {
        let now = Instant::now();
        let mut state = ConnectionState::new(now, SECOND);
        assert_eq!(state.down_since(), Some(now));
        state.carry(3, Vec::new());
        state.open(now, Arc::default());
        assert_eq!((state.books_delivered(), state.down_since()), (0, None));
        state.deliver_under(FeedId(4));
        assert_eq!(
            (state.books_delivered(), state.feed()),
            (3, Some(FeedId(4)))
        );
        state.retire();
        assert_eq!(state.status(), ConnectionStatus::Draining);
        state.ended(now + SECOND);
        assert_eq!((state.books_delivered(), state.feed()), (0, None));
        assert_eq!(state.last_feed(), FeedId(4));
        assert_eq!(state.down_since(), Some(now + SECOND));
        assert_eq!(state.setbacks(), 1);
    }
}
