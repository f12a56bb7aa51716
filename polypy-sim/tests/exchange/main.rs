//! The exchange as clients meet it: over real sockets, on ports the system chose.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod client;
mod control;
mod faults;
mod late;
mod lies;
mod market_socket;
mod playback;
mod span;
