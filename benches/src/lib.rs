//! What the benchmarks share.
//!
//! | module | idea |
//! |---|---|
//! | [`corpus`] | frames of a made-up venue in which every statement is true |
//! | [`captured`] | frames of a recording, if there is one |
//! | [`clock`] | how long a thread has run |
//! | [`reads`] | frames as a socket hands them over |
//! | [`runs`] | ways to do the same work, taking turns |
//!
//! The benchmarks are the files beside `src`, one question each. Nothing here is
//! part of the product, and no crate of the product depends on it.

pub mod captured;
pub mod clock;
pub mod corpus;
pub mod reads;
pub mod runs;

mod market;
