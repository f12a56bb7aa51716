//! The messages of the streams, as values of this program. `docs/stream.md` says what
//! they mean; the same text is made of each for all doors.

mod gap;

use std::sync::Arc;

use polypy_core::{
    AssetId, AssetKey, BookHash, BookState, ConditionId, DecimalText, Level, LevelChange, Price,
    Side, Size, Timestamp, TokenInfo,
};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::cursor::{Cursor, Instance};
use crate::filter::{Channels, Mode};
use crate::render;
pub use gap::{Gap, GapReason, GapScope};

/// The messages' version.
pub const VERSION: u32 = 1;

/// A message, with its text: made once, shared by all who get it.
#[derive(Debug)]
pub struct Published {
    position: Option<u64>,
    event: Event,
    text: Utf8Bytes,
}

impl Published {
    /// A message for one client alone, or for those who wait for the same.
    pub fn own(event: Event) -> Self {
        Self::new(None, event)
    }

    /// A message with its place in the stream.
    pub(crate) fn new(position: Option<u64>, event: Event) -> Self {
        let text = render::text(&event);
        Self {
            position,
            event,
            text,
        }
    }

    /// How many messages the hub had published with it; `None` for those that have no
    /// place in the stream, such as the answer to a client.
    pub fn position(&self) -> Option<u64> {
        self.position
    }

    /// The message as a value.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// The message as JSON text.
    pub fn text(&self) -> &Utf8Bytes {
        &self.text
    }

    /// What it is counted as in bounds of memory: its text, and about what the value
    /// takes.
    pub fn bytes(&self) -> usize {
        self.text.as_str().len() + self.event.heap_bytes() + size_of::<Self>()
    }
}

/// A message.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// Who serves, and what is allowed.
    Hello(Box<Hello>),
    /// What was accepted.
    Subscribed(Box<Subscribed>),
    /// A subscription has ended.
    Unsubscribed(Place),
    /// All opening snapshots of a subscription are through.
    Ready(Place),
    /// Something was refused, or is about to go wrong.
    Error(Box<ErrorMessage>),
    /// The connection lives.
    Heartbeat(Heartbeat),
    /// Why the connection ends.
    Closing(Box<Closing>),
    /// A whole book.
    Snapshot(Box<Snapshot>),
    /// The levels that one state of the venue sets.
    Delta(Box<Delta>),
    /// Best prices and sizes.
    Top(Box<Top>),
    /// A trade.
    Trade(Box<Trade>),
    /// How far to trust a book.
    State(Box<State>),
    /// What happened to a market.
    Market(Box<Market>),
    /// Something is missing here.
    Gap(Box<Gap>),
    /// The server's counters.
    Stats(Box<Stats>),
    /// The server's verdict on itself, and its newest sample.
    Health(Box<Health>),
}

impl Event {
    /// The message's `type`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Subscribed(_) => "subscribed",
            Self::Unsubscribed(_) => "unsubscribed",
            Self::Ready(_) => "ready",
            Self::Error(_) => "error",
            Self::Heartbeat(_) => "heartbeat",
            Self::Closing(_) => "closing",
            Self::Snapshot(_) => "snapshot",
            Self::Delta(_) => "delta",
            Self::Top(_) => "top",
            Self::Trade(_) => "trade",
            Self::State(_) => "state",
            Self::Market(_) => "market",
            Self::Gap(_) => "gap",
            Self::Stats(_) => "stats",
            Self::Health(_) => "health",
        }
    }

    /// About what the value takes beside itself.
    fn heap_bytes(&self) -> usize {
        match self {
            Self::Snapshot(book) => {
                size_of::<Snapshot>() + size_of::<Level>() * (book.bids.len() + book.asks.len())
            }
            Self::Delta(delta) => {
                size_of::<Delta>() + size_of::<LevelChange>() * delta.changes.len()
            }
            Self::Stats(stats) => stats.stats.len(),
            Self::Health(health) => health.health.len() + health.sample.len(),
            _ => size_of::<Top>(),
        }
    }
}

/// What a client may ask for, and who tells it.
#[derive(Debug, Clone)]
pub struct Hello {
    /// The hub's life.
    pub instance: Instance,
    /// Name and version of the server.
    pub server: Arc<str>,
    /// What is allowed.
    pub limits: HelloLimits,
}

/// What a client is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HelloLimits {
    /// Subscriptions of a connection.
    pub subscriptions: u64,
    /// Tokens, markets and events that a subscription may name.
    pub tokens: u64,
    /// Operations a second, on average.
    pub operations_per_second: u64,
    /// Operations at once.
    pub operations_burst: u64,
    /// Bytes of an operation.
    pub message_bytes: u64,
    /// Bytes that may wait for a client.
    pub buffer_bytes: u64,
    /// Seconds for which messages are kept for those who come back.
    pub resume_seconds: u64,
}

/// A subscription as it was accepted.
#[derive(Debug, Clone)]
pub struct Subscribed {
    /// The subscription.
    pub id: u64,
    /// Tokens that it covers.
    pub tokens: u64,
    /// Names that nobody here knows.
    pub unknown: Vec<Box<str>>,
    /// Its channels.
    pub channels: Channels,
    /// How books are shown.
    pub mode: Mode,
    /// Milliseconds between heartbeats.
    pub heartbeat_ms: u64,
    /// Whether a cursor was given.
    pub was_resuming: bool,
    /// Whether all that was missed follows.
    pub recovered: bool,
    /// The connection's place.
    pub cursor: Option<Cursor>,
}

/// A subscription, and the connection's place.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The subscription.
    pub id: u64,
    /// The place; `None` while the connection owes a snapshot.
    pub cursor: Option<Cursor>,
}

/// An error that leaves the connection open.
#[derive(Debug, Clone)]
pub struct ErrorMessage {
    /// The subscription that it concerns.
    pub id: Option<u64>,
    /// For programs.
    pub code: &'static str,
    /// The same may succeed later.
    pub is_temporary: bool,
    /// For people: what, and what to do.
    pub message: String,
}

/// That the connection lives.
#[derive(Debug, Clone, Copy)]
pub struct Heartbeat {
    /// The connection's place.
    pub cursor: Option<Cursor>,
    /// Now, in microseconds since 1970.
    pub now_us: u64,
    /// Bytes that wait for the client.
    pub queued_bytes: u64,
}

/// Why a connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// The close code of the WebSocket.
    pub code: u16,
    /// For people.
    pub reason: String,
    /// Milliseconds after which to come back; `None`: the same would happen again.
    pub retry_ms: Option<u64>,
}

impl Closing {
    /// The server ends.
    pub const AWAY: u16 = 1001;
    /// The client broke a rule.
    pub const REFUSED: u16 = 1008;
    /// Come back later.
    pub const LATER: u16 = 1013;

    /// An end after which the client is to come back, each client at another time.
    pub fn with_retry(code: u16, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
            retry_ms: Some(fastrand::u64(500..3_000)),
        }
    }

    /// An end after which the same would happen again.
    pub fn refused(reason: impl Into<String>) -> Self {
        Self {
            code: Self::REFUSED,
            reason: reason.into(),
            retry_ms: None,
        }
    }
}

/// Why a snapshot is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A subscription opens.
    Subscribed,
    /// The token had no book yet.
    First,
    /// The book began a new epoch.
    Epoch,
    /// Messages were lost.
    Gap,
    /// The cursor did not serve.
    Resumed,
    /// The client, of a conflated stream, was behind.
    Backlog,
}

impl Cause {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Subscribed => "subscribed",
            Self::First => "first",
            Self::Epoch => "epoch",
            Self::Gap => "gap",
            Self::Resumed => "resumed",
            Self::Backlog => "backlog",
        }
    }
}

/// A whole book.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Whose book.
    pub token: Arc<TokenInfo>,
    /// History without a known hole.
    pub epoch: u64,
    /// The book's sequence.
    pub sequence: u64,
    /// Why it is sent.
    pub cause: Cause,
    /// How far to trust it.
    pub state: BookState,
    /// Whether the venue's hash came out of the levels.
    pub verified: Option<bool>,
    /// The venue's hash of the whole book.
    pub hash: Option<BookHash>,
    /// Price grid.
    pub tick_size: Option<DecimalText>,
    /// Levels a side at most.
    pub depth: Option<u16>,
    /// The venue's time of the last change.
    pub at: Timestamp,
    /// When that reached us, in microseconds since 1970.
    pub received_us: u64,
    /// Best first.
    pub bids: Vec<Level>,
    /// Best first.
    pub asks: Vec<Level>,
}

/// Why states were merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflated {
    /// The mode is so.
    Interval,
    /// The client was behind.
    Backlog,
}

/// The levels that one state of the venue sets.
#[derive(Debug, Clone)]
pub struct Delta {
    /// Whose book.
    pub token: Arc<TokenInfo>,
    /// History without a known hole.
    pub epoch: u64,
    /// The book's sequence before it.
    pub previous: u64,
    /// The book's sequence with it.
    pub sequence: u64,
    /// The venue's time.
    pub at: Timestamp,
    /// When it reached us, in microseconds since 1970.
    pub received_us: u64,
    /// The levels, in order.
    pub changes: Vec<LevelChange>,
    /// Best bid after it.
    pub best_bid: Option<Price>,
    /// Best ask after it.
    pub best_ask: Option<Price>,
    /// Whether states were merged, and why.
    pub conflated: Option<Conflated>,
    /// Levels a side at most.
    pub depth: Option<u16>,
}

/// Best prices and sizes.
#[derive(Debug, Clone)]
pub struct Top {
    /// Whose book.
    pub token: Arc<TokenInfo>,
    /// History without a known hole.
    pub epoch: u64,
    /// The book's sequence.
    pub sequence: u64,
    /// How far to trust it.
    pub state: BookState,
    /// The venue's time of the last change.
    pub at: Timestamp,
    /// When that reached us, in microseconds since 1970.
    pub received_us: u64,
    /// The best bid.
    pub bid: Option<Level>,
    /// The best ask.
    pub ask: Option<Level>,
    /// Whether states were merged, and why.
    pub conflated: Option<Conflated>,
}

/// A trade of one token.
#[derive(Debug, Clone)]
pub struct Trade {
    /// Whose trade.
    pub token: Arc<TokenInfo>,
    /// The token's trades with it.
    pub sequence: u64,
    /// Price of a share.
    pub price: Price,
    /// Shares.
    pub size: Size,
    /// The taker's side.
    pub side: Option<Side>,
    /// The venue's time.
    pub at: Timestamp,
    /// When it reached us, in microseconds since 1970.
    pub received_us: u64,
}

/// How far a book can be trusted.
#[derive(Debug, Clone)]
pub struct State {
    /// Whose book.
    pub token: Arc<TokenInfo>,
    /// How far; `None`: it is forgotten.
    pub state: Option<BookState>,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// History without a known hole.
    pub epoch: u64,
    /// The book's sequence.
    pub sequence: u64,
    /// Whether the venue's hash came out of the levels.
    pub verified: Option<bool>,
    /// The market's token that won.
    pub winner: Option<AssetId>,
}

/// What may happen to a market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarketHappening {
    /// It is followed from now on.
    New,
    /// The smallest step of a price is another one.
    TickSize,
    /// It was decided.
    Resolved,
    /// It is followed no longer.
    Ended,
    /// Its tokens are gone from here.
    Forgotten,
}

impl MarketHappening {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::TickSize => "tick_size",
            Self::Resolved => "resolved",
            Self::Ended => "ended",
            Self::Forgotten => "forgotten",
        }
    }
}

/// What happened to a market.
#[derive(Debug, Clone)]
pub struct Market {
    /// What.
    pub change: MarketHappening,
    /// The market.
    pub condition_id: ConditionId,
    /// Its name in the venue's addresses.
    pub slug: Option<Arc<str>>,
    /// Its event's.
    pub event_slug: Option<Arc<str>>,
    /// What it asks.
    pub question: Option<Arc<str>>,
    /// Its tokens with their outcomes.
    pub tokens: Vec<(AssetId, Arc<str>)>,
    /// The token that it concerns, if one.
    pub token_id: Option<AssetId>,
    /// Price grid from now on.
    pub tick_size: Option<DecimalText>,
    /// The token that won.
    pub winner: Option<AssetId>,
    /// Why it ended.
    pub reason: Option<&'static str>,
    /// The venue's time.
    pub at: Option<Timestamp>,
    /// When we knew, in microseconds since 1970.
    pub received_us: u64,
}

/// The server's counters.
#[derive(Debug, Clone)]
pub struct Stats {
    /// As of when, in microseconds since 1970.
    pub now_us: u64,
    /// A JSON object.
    pub stats: Arc<str>,
}

/// The server's verdict on itself, and its newest sample.
#[derive(Debug, Clone)]
pub struct Health {
    /// As of when, in microseconds since 1970.
    pub now_us: u64,
    /// The JSON object of `/health`.
    pub health: Arc<str>,
    /// The newest second of `/v1/history`, a JSON object; `null` before the first.
    pub sample: Arc<str>,
}

impl Event {
    /// An answer to the client as it stands where messages before it are lost: without
    /// its place, which would vouch for them. `None` for everything else.
    pub(crate) fn answer_without_place(&self) -> Option<Self> {
        let placeless = |place: &Place| Place {
            id: place.id,
            cursor: None,
        };
        match self {
            Self::Hello(_) | Self::Error(_) => Some(self.clone()),
            Self::Subscribed(subscribed) => {
                let mut subscribed = subscribed.clone();
                subscribed.cursor = None;
                Some(Self::Subscribed(subscribed))
            }
            Self::Unsubscribed(place) => Some(Self::Unsubscribed(placeless(place))),
            Self::Ready(place) => Some(Self::Ready(placeless(place))),
            Self::Gap(gap) if !matches!(gap.scope, GapScope::Token(_)) => Some(self.clone()),
            _ => None,
        }
    }

    /// Whose message it is.
    pub fn token(&self) -> Option<AssetKey> {
        let token = match self {
            Self::Snapshot(message) => &message.token,
            Self::Delta(message) => &message.token,
            Self::Top(message) => &message.token,
            Self::Trade(message) => &message.token,
            Self::State(message) => &message.token,
            Self::Gap(gap) => match &gap.scope {
                GapScope::Token(token) => token,
                GapScope::Subscription(_) | GapScope::Connection => return None,
            },
            _ => return None,
        };
        Some(token.info.key)
    }
}
