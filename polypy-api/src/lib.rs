//! What PolyPy serves beyond books at a moment: streams of every change, and the reads
//! that go with them.
//!
//! ```text
//! workers ─► lanes ─► hub ─► ring ─► outbox of each client ─► door: SSE, WebSocket, library
//! catalogue ───────────┘
//! ```
//!
//! The workers write what changes into lanes, one each ([`polypy_core::ChangeSink`]).
//! The hub, one thread, keeps a copy of each followed book, gives every message its
//! place, renders it once, and puts the same bytes into the [`Outbox`] of each client
//! that asked for it. Doors take from there at the pace of their socket.

mod anchor;
pub mod client;
mod component;
pub mod config;
pub mod cursor;
pub mod door;
mod failures;
pub mod filter;
mod hub;
pub mod message;
pub mod openapi;
pub mod outbox;
pub mod page;
mod read;
mod render;
mod samples;
mod stats;
pub mod subscription;
mod waker;

pub use client::{Client, Door, OpenError, Streams, SubscribeError};
pub use component::StreamHub;
pub use config::StreamConfig;
pub use cursor::{Cursor, Instance};
pub use failures::FailureLog;
pub use filter::{BadParameter, Channel, Channels, Filter, FilterBuilder, Mode};
pub use message::{Closing, Event, Published};
pub use outbox::{Batch, Item, Outbox};
pub use samples::{Samples, Watched};
pub use subscription::{FollowError, NotLive, Subscription};
