//! Frames over loopback sockets: an exchange in a process of its own, and who
//! listens to it.
//!
//! | module | idea |
//! |---|---|
//! | [`script`] | a venue's frames as they go over the wire, stamped with the time |
//! | [`exchange`] | the other process: takes subscriptions, then sends |
//! | [`venue`] | this process's end of it: starts it, tells it what to do |
//! | [`bare`] | a WebSocket client alone, and one that applies what it reads |
//! | [`product`] | the program's own connections, router and workers |
//! | `records` | a TLS stream with each frame in a record of its own |
//! | [`stamps`] | how old a change is once it is applied |
//! | [`turn`] | one run: connections, a flow, and what it cost |
//!
//! Both processes tell the same seeded venue, and read the same clock. Of every
//! check of the program's only that of hashes is off: the hashes carry the times.

pub mod bare;
pub mod exchange;
pub mod product;
mod records;
pub mod script;
pub mod stamps;
pub mod turn;
pub mod venue;

use serde::{Deserialize, Serialize};

/// Frames that the venue tells before it takes them back.
pub const FRAMES: usize = 20_000;
/// Tokens of the venue.
pub const TOKENS: usize = 2_000;

/// Where a venue's certificate is good for.
pub const HOST: &str = "localhost";
/// Trusted by nothing but these benchmarks.
pub const CERTIFICATE: &[u8] = include_bytes!("../../testdata/localhost.crt.der");
const KEY: &[u8] = include_bytes!("../../testdata/localhost.key.der");

/// What goes wrong is for a reader, who repeats the run.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How a stream is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Security {
    /// Not at all.
    Plain,
    /// By TLS 1.3 with AES-256-GCM, which rustls prefers by itself.
    Aes256,
    /// By TLS 1.3 with AES-128-GCM.
    Aes128,
    /// The same, each frame a record of its own, as a venue sends them that has no
    /// more to say at the moment.
    Aes128Apart,
    /// By TLS 1.3 with ChaCha20-Poly1305.
    ChaCha20,
}

/// Says to the exchange; a line of JSON each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Let go of all connections and take so many new ones.
    Accept {
        /// How many; each is to subscribe to as many tokens as the others.
        connections: usize,
        /// How they are protected.
        security: Security,
    },
    /// Send as fast as is taken, on all connections in turn.
    Blast {
        /// For so long.
        millis: u64,
    },
    /// Send on the one connection by a plan of times, whatever is taken.
    Pace {
        /// Frames a second.
        rate: u64,
        /// For so long.
        millis: u64,
    },
    /// Say how the books stand by what was sent.
    Truth,
}

/// What the exchange says; a line of JSON each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It listens.
    Ready {
        /// Where.
        port: u16,
    },
    /// Every token is subscribed, and its opening sent.
    Subscribed,
    /// All is sent.
    Sent(Sent),
    /// The books by what was sent.
    Truth {
        /// Of [`crate::checksum::Checksum`].
        levels: u64,
        /// Likewise.
        sum: u64,
    },
    /// It cannot go on.
    Failed {
        /// Why.
        reason: String,
    },
}

/// What was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Frames.
    pub frames: u64,
    /// Level changes in them.
    pub changes: u64,
    /// When the first left, on the machine's clock.
    pub start: u64,
    /// How much later than planned frames were sent, in nanoseconds: half of
    /// them, and all but one in a hundred.
    pub late: [u64; 2],
}
