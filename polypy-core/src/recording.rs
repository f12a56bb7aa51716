//! What a recording says, entry by entry, whatever file it is in.
//!
//! Times are in nanoseconds since the epoch and ids are text: no interner outlives a
//! recording. Reasons are text, too, so that a recording of a later version can be read.

mod book;

use std::error::Error;

use serde::{Deserialize, Serialize};

use crate::feed::Owner;
use crate::id::{AssetId, ConditionId};
use crate::market::Market;

pub use self::book::RecordedBook;

/// An entry and its moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// When it was received or happened, in nanoseconds since the epoch. Order is the
    /// order of the entries, never this.
    pub at: u64,
    /// What there is.
    pub entry: Entry,
}

/// One thing that a recording says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A JSON frame of a socket, untouched.
    Frame(Frame),
    /// A frame that is no JSON.
    Control(Control),
    /// Something became of a socket.
    Socket(SocketEvent),
    /// We sent something.
    Sent(Sent),
    /// The venue's REST interface answered.
    Answer(RestAnswer),
    /// Something became of a market.
    Catalogue(CatalogueEvent),
    /// Something is missing.
    Gap(Gap),
    /// The two clocks parted.
    Clock(ClockStep),
    /// Something happened that a reader should know of.
    Mark(Mark),
    /// A book that the program had.
    Checkpoint(Box<RecordedBook>),
}

/// Where the entries of a recording come from, in their order.
pub trait RecordingSource: Send {
    /// From the beginning again.
    ///
    /// # Errors
    /// It cannot be read.
    fn rewind(&mut self) -> Result<(), RecordingError>;

    /// Appends the next entries to `out`, a part of a megabyte or some of them; `false` once
    /// there are no more.
    ///
    /// # Errors
    /// It cannot be read.
    fn read(&mut self, out: &mut Vec<Recorded>) -> Result<bool, RecordingError>;
}

/// Why a recording cannot be read on.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct RecordingError(Box<dyn Error + Send + Sync>);

impl RecordingError {
    /// For this reason.
    pub fn new(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(reason.into())
    }

    /// The reason.
    pub fn into_inner(self) -> Box<dyn Error + Send + Sync> {
        self.0
    }
}

/// A JSON frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The socket's number.
    pub socket: u64,
    /// The name of the connection whose socket it is.
    pub connection: Box<str>,
    /// How many frames of this socket came before it, also lost ones, to 32 bits.
    pub sequence: u32,
    /// As received.
    pub bytes: Box<[u8]>,
}

/// A frame that is no JSON: a `PONG`, a text, a binary frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// The socket's number.
    pub socket: u64,
    /// As for [`Frame::sequence`].
    pub sequence: u32,
    /// As received, if it was text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Box<str>>,
    /// As received, in hexadecimal digits, if it was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary: Option<Box<str>>,
}

/// What became of a socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum SocketEvent {
    /// It opened.
    Opened {
        /// Its number.
        socket: u64,
        /// The name of the connection whose socket it is.
        connection: Box<str>,
        /// Whether it is to replace a socket that is still open.
        is_replacement: bool,
    },
    /// It was open when the file began.
    Open {
        /// Its number.
        socket: u64,
        /// The name of the connection whose socket it is.
        connection: Box<str>,
        /// The sequence of its next frame.
        next_sequence: u32,
        /// The feed as which it delivers, if it does.
        feed_id: Option<u64>,
    },
    /// What it was asked to bring.
    Carries {
        /// Its number.
        socket: u64,
        /// The tokens.
        tokens: Vec<AssetId>,
    },
    /// It keeps the books of these tokens from now on.
    FirstBooks {
        /// Its number.
        socket: u64,
        /// The tokens.
        tokens: Vec<AssetId>,
        /// Where the books came from: `snapshot` or `rest`; `earlier` where it kept them when
        /// the file began.
        origin: Box<str>,
    },
    /// What it says is delivered as this feed from now on.
    Delivers {
        /// Its number.
        socket: u64,
        /// The feed.
        feed_id: u64,
    },
    /// It is gone.
    Closed {
        /// Its number.
        socket: u64,
        /// Why.
        reason: Box<str>,
        /// Whose doing that is.
        owner: Owner,
    },
}

/// Something that we sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The socket's number.
    pub socket: u64,
    /// What it asks for: `subscribe`, `resubscribe`, `unsubscribe` or `ping`.
    pub asked: Box<str>,
    /// Why, for what is asked again.
    pub reason: Option<Box<str>>,
    /// The tokens that it is about.
    pub tokens: Vec<AssetId>,
    /// As sent.
    pub text: Box<str>,
}

/// An answer of the venue's REST interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestAnswer {
    /// The path that was asked, with its query.
    pub path: Box<str>,
    /// The body of the request; empty if it had none.
    pub request: Box<str>,
    /// The status of the answer.
    pub status: u16,
    /// What it was asked for: `seed`, `audit` or `lookup`.
    pub purpose: Box<str>,
    /// When it was asked, in nanoseconds since the epoch.
    pub requested: u64,
    /// Its body, as received.
    pub body: Box<str>,
}

/// What became of a market.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum CatalogueEvent {
    /// It is followed from now on.
    New {
        /// The market.
        market: Box<RecordedMarket>,
    },
    /// It was followed when the file began, or is kept since it ended: then that follows.
    Followed {
        /// The market.
        market: Box<RecordedMarket>,
    },
    /// It was decided.
    Resolved {
        /// The market.
        condition_id: ConditionId,
        /// The token that won, if that is known.
        winner: Option<AssetId>,
        /// When, by the venue, in milliseconds since the epoch.
        resolved_ts: Option<u64>,
    },
    /// It is followed no longer.
    Ended {
        /// The market.
        condition_id: ConditionId,
        /// Why: `released` where nothing has ended and it is only wanted no longer.
        reason: Box<str>,
    },
    /// Nothing is kept of it any more.
    Forgotten {
        /// The market.
        condition_id: ConditionId,
    },
}

/// A market as it was followed: what a replay lists, and what hashes are made of besides
/// the levels. Decimals are text, as the venue writes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedMarket {
    /// The market's id.
    pub condition_id: ConditionId,
    /// The question that it settles.
    pub question: Box<str>,
    /// Its name in the venue's addresses.
    pub slug: Option<Box<str>>,
    /// Its tokens, in the venue's order of outcomes.
    pub tokens: Vec<RecordedToken>,
    /// End date as the venue wrote it.
    pub end_date_iso: Option<Box<str>>,
    /// The same in milliseconds since the epoch, if it could be read.
    pub end_ts: Option<u64>,
    /// When it was opened, likewise.
    pub start_ts: Option<u64>,
    /// Smallest price step as discovery knew it.
    pub tick_size: Option<Box<str>>,
    /// Smallest order in shares.
    pub min_order_size: Option<Box<str>>,
    /// Whether it belongs to a negative-risk event.
    pub neg_risk: bool,
    /// What the venue files it under.
    pub category: Option<Box<str>>,
    /// The event that it is part of.
    pub event: Option<RecordedEvent>,
    /// What it stands for within its event.
    pub group: Option<Box<str>>,
}

/// One outcome of a market.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedToken {
    /// The token's id.
    pub token_id: AssetId,
    /// The outcome that it pays for.
    pub outcome: Box<str>,
}

/// What a market is part of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedEvent {
    /// The venue's number of it.
    pub id: Option<Box<str>>,
    /// Its name in the venue's addresses.
    pub slug: Box<str>,
    /// What people read.
    pub title: Box<str>,
    /// Whether exactly one of its markets can be won.
    pub neg_risk: bool,
    /// Whether outcomes may still be added to it.
    pub neg_risk_augmented: bool,
}

impl From<&Market> for RecordedMarket {
    fn from(market: &Market) -> Self {
        let decimal = |value: Option<crate::decimal::DecimalText>| {
            value.map(|value| value.to_string().into_boxed_str())
        };
        let tokens = market.tokens.iter().map(|token| RecordedToken {
            token_id: token.token_id.clone(),
            outcome: (*token.outcome).into(),
        });
        let event = market.event.as_deref().map(|event| RecordedEvent {
            id: event.id.clone(),
            slug: event.slug.clone(),
            title: event.title.clone(),
            neg_risk: event.neg_risk,
            neg_risk_augmented: event.neg_risk_augmented,
        });
        Self {
            condition_id: market.condition_id.clone(),
            question: market.question.as_str().into(),
            slug: market.slug.clone(),
            tokens: tokens.collect(),
            end_date_iso: market.end_date_iso.as_deref().map(Into::into),
            end_ts: market.end_timestamp.map(crate::time::Timestamp::millis),
            start_ts: market.start.map(crate::time::Timestamp::millis),
            tick_size: decimal(market.tick_size),
            min_order_size: decimal(market.min_order_size),
            neg_risk: market.neg_risk,
            category: market.category.as_deref().map(Into::into),
            event,
            group: market.group.as_ref().map(|group| group.title.clone()),
        }
    }
}

/// What a gap is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapScope {
    /// All that was to be recorded.
    Recording,
    /// What one socket said.
    Socket,
    /// What any socket said of one token.
    Token,
}

/// Something that a recording does not hold, and why. `None` is unknown, and never none.
///
/// It is said when it opens, and again with its end when it has healed: of two with the
/// same scope, token, socket and `from_ts` the later one counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// What it is about.
    pub scope: GapScope,
    /// The token, of a gap of a token.
    pub token_id: Option<AssetId>,
    /// The connection whose socket it was, if it was one.
    pub slot: Option<Box<str>>,
    /// That socket's number.
    pub socket: Option<u64>,
    /// The feed as which it delivered.
    pub feed_id: Option<u64>,
    /// The last moment from which something is there, in microseconds since the epoch.
    pub from_ts: Option<u64>,
    /// The first moment from which everything is there again; open while unknown.
    pub to_ts: Option<u64>,
    /// When it was noticed.
    pub detected_ts: u64,
    /// Why.
    pub reason: Box<str>,
    /// Whose doing that is.
    pub owner: Owner,
    /// How many frames are missing.
    pub size: Option<u64>,
    /// What ended it.
    pub healed_by: Option<Box<str>>,
    /// Further causes, while it was open.
    pub also: Vec<Box<str>>,
}

impl Gap {
    /// All that was to be recorded is missing from one moment, in microseconds, to
    /// another.
    pub fn of_recording(
        reason: &str,
        owner: Owner,
        (from_ts, to_ts): (Option<u64>, Option<u64>),
        detected_ts: u64,
    ) -> Self {
        Self {
            scope: GapScope::Recording,
            token_id: None,
            slot: None,
            socket: None,
            feed_id: None,
            from_ts,
            to_ts,
            detected_ts,
            reason: reason.into(),
            owner,
            size: None,
            healed_by: None,
            also: Vec::new(),
        }
    }
}

/// The wall clock went another way than the monotonic one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockStep {
    /// How far the wall clock moved, in nanoseconds: back if it is negative.
    pub step: i64,
}

/// Something to know of where one reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// What kind of thing: `hash`, `worker_died`, `suspended` and others.
    pub kind: Box<str>,
    /// The tokens concerned.
    pub tokens: Vec<AssetId>,
    /// For people.
    pub text: Box<str>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json, to_value};

    use super::*;

    #[test]
    fn unknown_is_null_and_a_gap_comes_back_as_it_was() {
        let gap = Gap::of_recording("killed", Owner::Us, (Some(1), None), 2);
        let shown = to_value(&gap).unwrap();
        assert_eq!(shown["to_ts"], Value::Null);
        assert_eq!(
            (&shown["scope"], &shown["owner"]),
            (&json!("recording"), &json!("us"))
        );
        assert_eq!(from_value::<Gap>(shown).unwrap(), gap);
    }

    #[test]
    fn an_id_that_is_none_is_refused() {
        let carries = |token: &str| {
            let shown = json!({ "event": "carries", "socket": 1, "tokens": [token] });
            from_value::<SocketEvent>(shown)
        };
        assert!(carries("123").is_ok());
        assert!(carries("0x123").is_err());
    }
}
