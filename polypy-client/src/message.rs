//! The server's messages, as values.
//!
//! `docs/stream.md` says what they mean. Fields and types that are not known here are
//! ignored, so that a newer server can be read.

use polypy_core::{AssetId, ConditionId, Level, LevelChange, Price, Side, Size};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::text;

/// A message.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Message {
    /// Who serves, and what is allowed. The first message.
    Hello(Hello),
    /// What was accepted.
    Subscribed(Subscribed),
    /// A subscription has ended.
    Unsubscribed(Place),
    /// All opening snapshots of a subscription are through.
    Ready(Place),
    /// Something was refused, or is about to go wrong.
    Error(Refusal),
    /// The connection is alive.
    Heartbeat(Heartbeat),
    /// Why the connection ends. The last message.
    Closing(Closing),
    /// A whole book.
    Snapshot(Box<Snapshot>),
    /// The levels that one state of the venue sets.
    Delta(Delta),
    /// Best prices and sizes.
    Top(Box<Top>),
    /// A trade.
    Trade(Trade),
    /// How far to trust a book.
    State(State),
    /// Something about a market.
    Market(Box<Market>),
    /// Something is missing here.
    Gap(Box<Gap>),
    /// The server's counters.
    Stats(Stats),
    /// The server's verdict on itself, and its newest sample.
    Health(Health),
    /// A message of a type that is not known here.
    Other(String),
}

/// Text that is no message.
#[derive(Debug, thiserror::Error)]
#[error("cannot read a message: {source}: {start}")]
pub struct Unreadable {
    source: serde_json::Error,
    start: String,
}

impl Message {
    /// Reads one message.
    ///
    /// ```
    /// use polypy_client::Message;
    /// let text = r#"{"type":"ready","id":1,"cursor":null}"#;
    /// let Message::Ready(ready) = Message::parse(text)? else { panic!() };
    /// assert_eq!(ready.id, 1);
    /// # Ok::<(), polypy_client::Unreadable>(())
    /// ```
    ///
    /// # Errors
    /// When the text is no JSON object with a `type`, or a field that is known for that
    /// type is missing or is of another kind.
    pub fn parse(text: &str) -> Result<Self, Unreadable> {
        Self::read(text).map_err(|source| Unreadable {
            source,
            start: text.chars().take(200).collect::<String>(),
        })
    }

    fn read(text: &str) -> Result<Self, serde_json::Error> {
        /// Read by itself first: an enum tagged inside would copy every message into a
        /// tree before it reads a field.
        #[derive(Deserialize)]
        struct Type {
            r#type: String,
        }
        let Type { r#type } = serde_json::from_str(text)?;
        Ok(match r#type.as_str() {
            "hello" => Self::Hello(fields(text)?),
            "subscribed" => Self::Subscribed(fields(text)?),
            "unsubscribed" => Self::Unsubscribed(fields(text)?),
            "ready" => Self::Ready(fields(text)?),
            "error" => Self::Error(fields(text)?),
            "heartbeat" => Self::Heartbeat(fields(text)?),
            "closing" => Self::Closing(fields(text)?),
            "snapshot" => Self::Snapshot(fields(text)?),
            "delta" => Self::Delta(fields(text)?),
            "top" => Self::Top(fields(text)?),
            "trade" => Self::Trade(fields(text)?),
            "state" => Self::State(fields(text)?),
            "market" => Self::Market(fields(text)?),
            "gap" => Self::Gap(fields(text)?),
            "stats" => Self::Stats(fields(text)?),
            "health" => Self::Health(fields(text)?),
            _ => Self::Other(r#type),
        })
    }

    /// The token that it is about, if it is about one.
    pub fn token_id(&self) -> Option<&AssetId> {
        match self {
            Self::Snapshot(book) => Some(&book.token_id),
            Self::Delta(delta) => Some(&delta.token_id),
            Self::Top(top) => Some(&top.token_id),
            Self::Trade(trade) => Some(&trade.token_id),
            Self::State(state) => Some(&state.token_id),
            Self::Market(market) => market.token_id.as_ref(),
            Self::Gap(gap) => gap.token_id.as_ref(),
            _ => None,
        }
    }

    /// The connection's place with it, for messages that carry one. Over Server-Sent
    /// Events every message has its own beside it.
    pub fn cursor(&self) -> Option<&str> {
        match self {
            Self::Ready(place) | Self::Unsubscribed(place) => place.cursor.as_deref(),
            Self::Heartbeat(heartbeat) => heartbeat.cursor.as_deref(),
            _ => None,
        }
    }
}

fn fields<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(text)
}

/// Who serves, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Hello {
    /// Of the messages.
    pub version: u32,
    /// Of the stream: a cursor of another one cannot be resumed.
    pub instance: String,
    /// Name and version.
    pub server: String,
    /// What is allowed.
    pub limits: Limits,
}

/// What a client may do.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Limits {
    /// Subscriptions of a connection.
    pub subscriptions: u64,
    /// Ids in one subscription.
    pub tokens: u64,
    /// Operations a second.
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

/// What was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Subscribed {
    /// The subscription.
    pub id: u64,
    /// Tokens that it covers now.
    pub tokens: u64,
    /// What the server does not know.
    pub unknown: Vec<String>,
    /// Names of the channels.
    pub channels: Vec<String>,
    /// `every` or `conflated`.
    pub mode: String,
    /// Shortest time between two messages of a token.
    pub interval_ms: Option<u64>,
    /// Levels a side at most.
    pub depth: Option<u32>,
    /// Time between heartbeats.
    pub heartbeat_ms: u64,
    /// A cursor was given.
    pub was_resuming: bool,
    /// All that was missed follows.
    pub recovered: bool,
    /// The connection's place.
    pub cursor: Option<String>,
}

/// A subscription, and the connection's place.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Place {
    /// The subscription.
    pub id: u64,
    /// The connection's place; `None` while it owes a snapshot.
    pub cursor: Option<String>,
}

/// The server's `error`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Refusal {
    /// The subscription, if it is about one.
    pub id: Option<u64>,
    /// For programs.
    pub code: String,
    /// The same may succeed later.
    pub temporary: bool,
    /// For people.
    pub message: String,
}

/// That the connection is alive.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Heartbeat {
    /// The connection's place; `None` while it owes a snapshot.
    pub cursor: Option<String>,
    /// The server's time, microseconds since 1970.
    pub ts_us: u64,
    /// Bytes that wait for this client.
    pub queued_bytes: u64,
}

/// Why the connection ends.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Closing {
    /// The close code of the WebSocket.
    pub code: u16,
    /// For people.
    pub reason: String,
    /// Milliseconds after which to come back; `None`: do not.
    pub retry_ms: Option<u64>,
}

/// How far a book can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Trust {
    /// It has no levels yet.
    Pending,
    /// It is kept, and nothing contradicts it.
    Live,
    /// It is not to be trusted.
    Stale,
    /// It is the last one of a market that is over.
    Settled,
    /// It is gone.
    Forgotten,
    /// A state that is not known here: not to be trusted.
    #[serde(other)]
    Other,
}

impl Trust {
    /// The word of the message.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Live => "live",
            Self::Stale => "stale",
            Self::Settled => "settled",
            Self::Forgotten => "forgotten",
            Self::Other => "unknown",
        }
    }
}

/// A whole book.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// Whose book.
    #[serde(deserialize_with = "text::parsed")]
    pub token_id: AssetId,
    /// Its market.
    #[serde(deserialize_with = "text::parsed")]
    pub condition_id: ConditionId,
    /// What the token pays for.
    pub outcome: Option<String>,
    /// History without a known hole.
    pub epoch: u64,
    /// Levels set, and epochs begun, since the book was first seen.
    pub sequence: u64,
    /// Why it is sent.
    pub cause: String,
    /// How far to trust it.
    pub state: Trust,
    /// Why it is stale.
    pub reason: Option<String>,
    /// Whether the venue's hash came out of the levels.
    pub verified: Option<bool>,
    /// The venue's hash of the whole book.
    pub hash: Option<String>,
    /// Smallest step of a price, as the venue writes it.
    pub tick_size: Option<String>,
    /// Levels a side at most.
    pub depth: Option<u32>,
    /// The venue's time of the last change, milliseconds since 1970.
    pub ts_event_ms: u64,
    /// When that reached the server, microseconds since 1970.
    pub ts_recv_us: u64,
    /// Best first.
    #[serde(deserialize_with = "text::levels")]
    pub bids: Vec<Level>,
    /// Best first.
    #[serde(deserialize_with = "text::levels")]
    pub asks: Vec<Level>,
}

/// Why states were merged into one delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Conflated {
    /// The mode is so.
    Interval,
    /// The client was behind.
    Backlog,
    /// For a reason that is not known here.
    #[serde(other)]
    Other,
}

/// The levels that one state of the venue sets.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Delta {
    /// Whose book.
    #[serde(deserialize_with = "text::parsed")]
    pub token_id: AssetId,
    /// The book's epoch.
    pub epoch: u64,
    /// The book's sequence before it.
    pub prev_sequence: u64,
    /// The book's sequence with it.
    pub sequence: u64,
    /// The venue's time, milliseconds since 1970.
    pub ts_event_ms: u64,
    /// When it reached the server, microseconds since 1970.
    pub ts_recv_us: u64,
    /// The levels and their new sizes; zero removes one.
    #[serde(deserialize_with = "text::changes")]
    pub changes: Vec<LevelChange>,
    /// The best bid after it.
    #[serde(deserialize_with = "text::optional")]
    pub best_bid: Option<Price>,
    /// The best ask after it.
    #[serde(deserialize_with = "text::optional")]
    pub best_ask: Option<Price>,
    /// Whether states were merged, and why.
    pub conflated: Option<Conflated>,
    /// Levels a side at most.
    pub depth: Option<u32>,
}

/// Best prices and sizes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Top {
    /// Whose book.
    #[serde(deserialize_with = "text::parsed")]
    pub token_id: AssetId,
    /// The book's epoch.
    pub epoch: u64,
    /// The book's sequence.
    pub sequence: u64,
    /// How far to trust it.
    pub state: Trust,
    /// Why it is stale.
    pub reason: Option<String>,
    /// The venue's time of the book's last change, milliseconds since 1970.
    pub ts_event_ms: u64,
    /// When that reached the server, microseconds since 1970.
    pub ts_recv_us: u64,
    /// `None`: no bid.
    #[serde(deserialize_with = "text::optional")]
    pub best_bid: Option<Price>,
    /// Shares at the best bid.
    #[serde(deserialize_with = "text::optional")]
    pub best_bid_size: Option<Size>,
    /// `None`: no ask.
    #[serde(deserialize_with = "text::optional")]
    pub best_ask: Option<Price>,
    /// Shares at the best ask.
    #[serde(deserialize_with = "text::optional")]
    pub best_ask_size: Option<Size>,
    /// Whether states were merged, and why.
    pub conflated: Option<Conflated>,
}

/// A trade.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Trade {
    /// The token.
    #[serde(deserialize_with = "text::parsed")]
    pub token_id: AssetId,
    /// Its market.
    #[serde(deserialize_with = "text::parsed")]
    pub condition_id: ConditionId,
    /// How many trades of the token there were with it.
    pub trade_sequence: u64,
    /// Price of a share.
    #[serde(deserialize_with = "text::parsed")]
    pub price: Price,
    /// Shares.
    #[serde(deserialize_with = "text::parsed")]
    pub size: Size,
    /// The taker's side: [`Side::Bid`] bought. `None`: not stated.
    #[serde(deserialize_with = "text::aggressor")]
    pub aggressor_side: Option<Side>,
    /// The venue's time, milliseconds since 1970.
    pub ts_event_ms: u64,
    /// When it reached the server, microseconds since 1970.
    pub ts_recv_us: u64,
}

/// How far to trust a book from now on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct State {
    /// Whose book.
    #[serde(deserialize_with = "text::parsed")]
    pub token_id: AssetId,
    /// How far.
    pub state: Trust,
    /// Why it is stale.
    pub reason: Option<String>,
    /// Since when, milliseconds since 1970.
    pub since_ms: u64,
    /// The book's epoch.
    pub epoch: u64,
    /// The book's sequence.
    pub sequence: u64,
    /// Whether the venue's hash came out of the levels.
    pub verified: Option<bool>,
    /// The token of the market that won.
    #[serde(deserialize_with = "text::optional")]
    pub winner: Option<AssetId>,
}

/// Something about a market.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Market {
    /// `new`, `tick_size`, `resolved`, `ended`, `forgotten`, or what is not known here.
    pub change: String,
    /// The market.
    #[serde(deserialize_with = "text::parsed")]
    pub condition_id: ConditionId,
    /// Its name in the venue's addresses.
    pub slug: Option<String>,
    /// Its event's.
    pub event_slug: Option<String>,
    /// What it asks. Written by others: not to be trusted by what displays it.
    pub question: Option<String>,
    /// Its tokens and their outcomes.
    pub tokens: Vec<(String, String)>,
    /// The token that it is about, if one.
    #[serde(deserialize_with = "text::optional")]
    pub token_id: Option<AssetId>,
    /// Smallest step of a price from now on.
    pub tick_size: Option<String>,
    /// The token that won.
    #[serde(deserialize_with = "text::optional")]
    pub winner: Option<AssetId>,
    /// Why it ended.
    pub reason: Option<String>,
    /// The venue's time, milliseconds since 1970.
    pub ts_event_ms: Option<u64>,
    /// When the server knew, microseconds since 1970.
    pub ts_recv_us: u64,
}

/// What a gap concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Scope {
    /// One token.
    Token,
    /// One subscription.
    Subscription,
    /// The connection.
    Connection,
    /// Something that is not known here.
    #[serde(other)]
    Other,
}

/// What comes for what is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Next {
    /// A snapshot of each token concerned.
    Snapshot,
    /// The connection's end.
    Closing,
    /// Nothing.
    None,
    /// Something that is not known here.
    #[serde(other)]
    Other,
}

/// Something is missing here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Gap {
    /// What it concerns.
    pub scope: Scope,
    /// The subscription, if it concerns one.
    pub id: Option<u64>,
    /// The token, if it concerns one.
    #[serde(deserialize_with = "text::optional")]
    pub token_id: Option<AssetId>,
    /// What happened.
    pub reason: String,
    /// Whose doing it is: `venue`, `network`, `us` (the server) or `client`.
    pub owner: String,
    /// The last epoch before it.
    pub epoch: Option<u64>,
    /// The last sequence before it.
    pub after_sequence: Option<u64>,
    /// The first sequence after it.
    pub before_sequence: Option<u64>,
    /// Messages that are missing; `None`: nobody can know.
    pub missing: Option<u64>,
    /// When it began, microseconds since 1970.
    pub from_us: Option<u64>,
    /// When it ended, microseconds since 1970.
    pub to_us: Option<u64>,
    /// What comes for what is missing.
    pub next: Next,
}

/// The server's counters.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Stats {
    /// When they were read, microseconds since 1970.
    pub ts_us: u64,
    /// The object of `/stats`.
    pub stats: serde_json::Value,
}

/// The server's verdict on itself, and its newest sample.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Health {
    /// When they were read, microseconds since 1970.
    pub ts_us: u64,
    /// The object of `/health`.
    pub health: serde_json::Value,
    /// The newest second of `/v1/history`; null before the first.
    pub sample: serde_json::Value,
}
