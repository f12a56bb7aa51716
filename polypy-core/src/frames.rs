//! How what sockets say leaves them, before any of it is decoded.
//!
//! A socket that is recorded hands over each group of frames as it was received. No call
//! waits: what the taker has no room for it drops and counts, and the socket reads on.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::feed::{FeedId, Owner, StaleReason};
use crate::key::AssetKey;
use crate::market::AssetInfo;

/// One life of one socket, from 1 in the order in which they opened.
///
/// Not the number of a feed: a socket that is to replace another one speaks before it
/// delivers, and one that never delivers has no feed at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub u64);

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A socket that has opened.
#[derive(Debug, Clone, Copy)]
pub struct Opened<'a> {
    /// Its number.
    pub socket: SocketId,
    /// The name of the connection whose socket it is.
    pub connection: &'a str,
    /// Whether it is to replace a socket that is still open.
    pub is_replacement: bool,
    /// When it opened.
    pub at: Instant,
}

/// What we ask a socket for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// To bring these tokens from now on.
    Subscribe,
    /// To bring these tokens' books again, for this reason.
    Resubscribe(StaleReason),
    /// To bring these tokens no longer.
    Unsubscribe,
    /// Whether it is alive.
    Ping,
}

impl Asked {
    /// Its name in recordings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Resubscribe(_) => "resubscribe",
            Self::Unsubscribe => "unsubscribe",
            Self::Ping => "ping",
        }
    }

    /// Why it is asked, where that is not plain from what is asked.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Resubscribe(reason) => Some(reason.name()),
            Self::Subscribe | Self::Unsubscribe | Self::Ping => None,
        }
    }
}

/// Where the first book of a token on a socket came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BookOrigin {
    /// The socket sent it.
    Snapshot,
    /// It was fetched over REST.
    Rest,
}

impl BookOrigin {
    /// Its name in recordings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Rest => "rest",
        }
    }
}

/// What books were fetched over REST for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To begin a socket's copies with.
    Seed,
    /// To compare them with ours.
    Audit,
    /// Because somebody asked for them.
    Lookup,
}

impl Purpose {
    /// Its name in recordings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seed => "seed",
            Self::Audit => "audit",
            Self::Lookup => "lookup",
        }
    }
}

/// An answer of the venue's REST interface.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The path that was asked, with its query.
    pub path: &'a str,
    /// The body of the request; empty if it had none.
    pub request: &'a str,
    /// The status of the answer.
    pub status: u16,
    /// Its body, untouched.
    pub body: &'a [u8],
    /// What it was asked for.
    pub purpose: Purpose,
    /// When it was asked.
    pub requested: Instant,
    /// When it had come.
    pub received: Instant,
}

/// Takes what sockets say and what the venue answers.
pub trait FrameSink: Send + Sync {
    /// A socket opened; it says the rest through what is returned.
    fn opened(&self, opened: &Opened<'_>) -> Box<dyn SocketSink>;

    /// The venue answered.
    fn answered(&self, answer: &Answer<'_>);
}

/// Takes what one socket says. Dropped without [`closed`](Self::closed), its task died.
pub trait SocketSink: Send {
    /// A group of frames came, all within `at`: `ends` says where in `bytes` each of them
    /// ends. Called before any of it is decoded, so that a frame that breaks the decoder is
    /// there. `is_text`: it came as text, and not as binary.
    fn received(&mut self, bytes: &[u8], ends: &[usize], is_text: bool, at: Instant);

    /// We sent `text`, which asks for something about these tokens.
    fn sent(&mut self, text: &str, asked: Asked, tokens: &[Arc<AssetInfo>], at: Instant);

    /// From now on the socket keeps these tokens' books. They are among those that
    /// [`sent`](Self::sent) named.
    fn first_books(&mut self, tokens: &[AssetKey], origin: BookOrigin, at: Instant);

    /// From now on what the socket says is delivered as this feed.
    fn delivers(&mut self, feed: FeedId, at: Instant);

    /// The socket is gone.
    fn closed(&mut self, reason: &str, owner: Owner, at: Instant);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_asking_again_has_a_reason_of_its_own() {
        let again = Asked::Resubscribe(StaleReason::Hash);
        assert_eq!(
            (again.name(), again.reason()),
            ("resubscribe", Some("hash"))
        );
        for asked in [Asked::Subscribe, Asked::Unsubscribe, Asked::Ping] {
            assert_eq!(asked.reason(), None, "{}", asked.name());
        }
        assert_eq!(SocketId(7).to_string(), "7");
    }
}
