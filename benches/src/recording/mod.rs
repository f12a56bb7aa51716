//! Recordings: played by the program to a bare client, and made by it beside its feed.
//!
//! | module | idea |
//! |---|---|
//! | [`folder`] | a recording of the made-up venue, and what the program's commands say of one |
//! | [`replay`] | the program that plays it |
//! | [`bare`] | a WebSocket client that takes frames off what it reads, and does nothing else |
//! | [`packed`] | the same frames as lines of JSON, packed with gzip |

pub mod bare;
pub mod folder;
pub mod packed;
pub mod replay;

pub use crate::loopback::Failure;
