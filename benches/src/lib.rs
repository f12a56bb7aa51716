//! What the benchmarks share.
//!
//! | module | idea |
//! |---|---|
//! | [`corpus`] | frames of a made-up venue in which every statement is true |
//! | [`captured`] | frames of a recording, if there is one |
//! | [`checksum`] | one number for the levels of all books |
//! | [`ours`] | the program's own way from frames to books |
//! | [`listeners`] | clients of the streams, in this process |
//! | [`typed`] | the way clients commonly go |
//! | [`loopback`] | an exchange in a process of its own, and who listens to it |
//! | [`stream`] | the program, an exchange and a thousand clients in processes of their own |
//! | [`recording`] | the program that records and replays, and a bare client |
//! | [`listing`] | a made listing of the venue's markets |
//! | [`clock`] | how long threads have run |
//! | [`spent`] | processor time, and what was done in it |
//! | [`story`] | the corpus as files, for rivals that share no code with us |
//! | [`reads`] | frames as a socket hands them over |
//! | [`runs`] | ways to do the same work, taking turns |
//!
//! The benchmarks are the files beside `src`, one question each. Nothing here is
//! part of the product, and no crate of the product depends on it.

pub mod captured;
pub mod checksum;
pub mod clock;
pub mod corpus;
pub mod listeners;
pub mod listing;
pub mod loopback;
pub mod ours;
pub mod reads;
pub mod recording;
pub mod runs;
pub mod spent;
pub mod story;
pub mod stream;
pub mod typed;

mod market;
