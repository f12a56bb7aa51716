//! The server's connections to the venue.

use serde::Deserialize;

/// The server's connections to the venue, in the order that was asked for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Connections {
    /// Those that were asked for.
    pub connections: Vec<Connection>,
    /// How many there are.
    pub matched: u64,
    /// Those whose socket is open.
    pub open: u64,
    /// When the server looked, in milliseconds since 1970.
    pub moment_ms: u64,
}

/// A connection to the venue.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Connection {
    /// Its name; one that is gone leaves it to a later connection.
    pub connection: String,
    /// How it is: `live`, `lost`, `silent` and others.
    pub state: String,
    /// Tokens on it whose market goes on.
    pub tokens: u64,
    /// Tokens on it without a first book.
    pub awaited_books: u64,
    /// Frames of the last second.
    pub messages_per_second: Option<f64>,
    /// Bytes of the last second.
    pub bytes_per_second: Option<f64>,
    /// Sockets after the first one.
    pub reconnects: u64,
    /// When its socket was opened, in milliseconds since 1970.
    pub opened_ms: Option<u64>,
    /// Since it last brought something of its tokens, in milliseconds.
    pub silent_ms: Option<u64>,
    /// Silence after which it is asked for a sign of life, in milliseconds.
    pub silence_limit_ms: Option<u64>,
    /// How its last socket ended, or why none could be opened.
    pub last_end: Option<ConnectionEnd>,
    /// When its next socket is to be opened, in milliseconds since 1970.
    pub next_attempt_ms: Option<u64>,
}

/// How a socket ended, or why it was not opened.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ConnectionEnd {
    /// By what.
    pub cause: String,
    /// What the other side or the system said about it; empty if nothing.
    pub detail: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}
