//! Everything that speaks Polymarket, and nothing that keeps a book.
//!
//! ```text
//! gamma ─► lifecycle ─► registry ─► pool ─► connection ×N ─► wire ─► EventSink
//!  clob ─► resync ───────▲            ▲  └─ recycler
//! ```

pub mod backoff;
pub mod clob;
pub mod connection;
pub mod dial;
pub mod gamma;
pub mod lifecycle;
pub mod pool;
pub mod recycler;
pub mod registry;
pub mod rest;
pub mod resync;
pub mod wire;
