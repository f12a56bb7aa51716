//! The only crate that writes books: routing, worker threads, supervision.
//!
//! ```text
//!                               ┌─── inline, while nothing is queued ───┐
//! sockets ─► MessageRouter ─────┴─► queue ──────► executor ─────────────┴─► partition of books
//!            (EventSink)            bounded       the lock's holder      one writer at a time
//! readers ─► BookStore ◄────────────────────────────────────────────────────┘
//! ```
//!
//! Every market belongs to one shard, every shard to one worker. The thread that holds the
//! lock of a worker's books applies its queue: the worker's thread, or the thread
//! that brings events while the worker is idle or behind. [`MessageRouter`] never
//! waits for room: it drops and counts what a full queue cannot take, and the books
//! concerned are shown as stale before the call returns. [`WorkerManager`] starts
//! the threads, restarts a worker that failed and has its books fetched again.
//! [`BookStore`] shows a
//! book as live only while nothing that has reached the process speaks against
//! it: not its feed, not a dropped event, not the venue's own hash.
//!
//! Knows nothing of sockets, JSON or HTTP, and reads no wall clock: exchange
//! time comes with the events, durations come from the monotonic clock.

mod checkpointing;
mod compact_instant;
mod config;
mod feeds;
mod following;
mod queue;

mod book;
mod integrity;
mod partition;

mod manager;
mod offline;
mod router;
mod shared;
mod stats;
mod store;
mod worker;

pub use config::{HashChecking, IntegrityConfig, WorkersConfig};
pub use manager::WorkerManager;
pub use offline::{Findings, OfflineBooks};
pub use router::MessageRouter;
pub use stats::BookCounts;
pub use store::BookStore;

#[cfg(test)]
mod histories;
#[cfg(test)]
mod testing;

#[cfg(test)]
mod model_tests;

#[cfg(test)]
mod follower_tests;
