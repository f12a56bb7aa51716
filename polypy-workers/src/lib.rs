//! The only crate that writes books: routing, worker threads, supervision.
//!
//! ```text
//!                                ┌─ direct, while the worker is idle; ──┐
//!                                │  relief, while it is behind          │
//! sockets ─► MessageRouter ──────┴─► lane ────────► worker thread ──────┴─► partition of books
//!            (EventSink)             bounded                                one writer at a time
//! readers ─► BookStore ◄───────────────────────────────────────────────────┘
//! ```
//!
//! Every market belongs to one shard, every shard to one worker, and a book is
//! written by that worker's thread, or in its place while it is idle or behind.
//! [`MessageRouter`] never waits: what a full queue cannot take is dropped,
//! counted, and the books concerned are shown
//! as stale before the call returns. [`WorkerManager`] starts the threads,
//! restarts one that died and has its books fetched anew. [`BookStore`] shows a
//! book as live only while nothing that has reached the process speaks against
//! it: not its feed, not a dropped event, not the venue's own hash.
//!
//! Knows nothing of sockets, JSON or HTTP, and reads no wall clock: exchange
//! time comes with the events, durations come from the monotonic clock.

mod config;
mod counter;
mod direct;

mod feeds;
mod lane;
mod moment;
mod relief;

mod book_slot;
mod integrity;
mod partition;
mod stream;

mod manager;
mod router;
mod shared;
mod stats;
mod store;
mod worker;

pub use config::{HashChecking, IntegrityConfig, WorkersConfig};
pub use manager::WorkerManager;
pub use router::MessageRouter;
pub use stats::BookCounts;
pub use store::BookStore;

#[cfg(test)]
mod testing;

#[cfg(test)]
mod model_tests;
