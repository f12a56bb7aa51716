//! What readers may ask of the connections to the venue.

use std::time::Duration;

/// One connection to the venue at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionReport {
    /// Its name. One that is gone leaves it to a later connection.
    pub name: String,
    /// Where it stands, as `/stats` calls it.
    pub status: &'static str,
    /// Its socket is open.
    pub is_open: bool,
    /// It serves until its replacement has settled in.
    pub is_draining: bool,
    /// Its socket is open and has said something since.
    pub is_healthy: bool,
    /// It trails the other connection of its pair.
    pub is_lagging: bool,
    /// Since it was made, over all its sockets.
    pub age: Duration,
    /// For how long its socket has been open.
    pub open_for: Option<Duration>,
    /// The number of the feed it delivers under.
    pub feed: Option<u64>,
    /// Tokens on it whose market goes on.
    pub tokens: usize,
    /// Tokens on it whose market has ended.
    pub ended_tokens: usize,
    /// Tokens on it without a first book.
    pub awaited_books: usize,
    /// Frames it has received, over all its sockets.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Sockets after the first one.
    pub reconnects: u64,
    /// Since it last brought something of its tokens.
    pub silent_for: Option<Duration>,
    /// Silence after which it is asked for a sign of life.
    pub silence_limit: Option<Duration>,
    /// How its last socket ended, or why none could be opened.
    pub last_end: Option<ConnectionEnd>,
    /// Until its next socket is to be opened, while it waits for that.
    pub next_attempt_in: Option<Duration>,
}

/// How a socket ended, or why it was not opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionEnd {
    /// How long ago.
    pub ago: Duration,
    /// By what, as `/stats` counts it; `not_opened` where none was open.
    pub cause: &'static str,
    /// What the other side or the system said about it; empty if nothing.
    pub detail: String,
    /// The venue's close code.
    pub close_code: Option<u16>,
}

/// Where the connections to the venue can be looked at.
pub trait ConnectionSource: Send + Sync {
    /// All of them, by their numbers. Costs some microseconds for each.
    fn connections(&self) -> Vec<ConnectionReport>;
}
