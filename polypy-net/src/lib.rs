//! Everything that speaks Polymarket, and nothing that keeps a book.
//!
//! ```text
//! gamma ─► lifecycle ─► registry ─► pool ─► connection ×N ─► wire ─► EventSink
//!  clob ─► resync ───────▲            ▲  └─ recycler
//! ```
//!
//! | module | idea |
//! |---|---|
//! | [`gamma`], [`clob`] | what is asked over REST: markets, whole books |
//! | [`lifecycle`] | which markets there are, and when one has ended |
//! | [`registry`] | every asset's status and connection |
//! | [`pool`], [`connection`] | who subscribes to what, one socket each |
//! | [`recycler`], [`resync`] | replacing a connection, refreshing a book |
//! | [`audit`], [`early_audit`] | every book against CLOB's, slowly, for tokens that fell silent; soon, where an event could not be understood |
//! | [`wire`] | bytes to events |
//! | [`venue`] | where to connect, and who takes what comes of it |
//! | [`rest`], [`dial`], [`backoff`], `task`, `counter`, `batch`, `reason` | below all of these: HTTP, streams, waits, owned tasks, sets of ids, errors in words |
//!
//! Network and wall clock are handed in ([`dial::Dial`], `polypy_core::Clock`),
//! so that every part runs in memory on paused time. Nothing here reads
//! configuration; each part takes a plain struct with reasoned defaults.

pub mod audit;
pub mod backoff;
mod batch;
pub mod clob;
pub mod connection;
mod counter;
pub mod dial;
pub mod early_audit;
pub mod gamma;
pub mod lifecycle;
pub mod pool;
mod reason;
pub mod recycler;
pub mod registry;
pub mod rest;
pub mod resync;
mod task;
pub mod venue;
pub mod wire;
