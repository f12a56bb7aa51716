//! The messages of PolyPy's streams, books that follow them and prove that they missed
//! nothing, and a client that comes back by itself.
//!
//! | module | holds |
//! |---|---|
//! | [`message`] | the server's messages |
//! | [`book`] | one token's book, with every check that the messages allow |
//! | [`books`] | the books and trades of a subscription |
//! | [`filter`] | what a subscription asks for |
//! | [`client`] | subscriptions over either door, with resume |
//! | [`reads`] | markets by their words, events, books and best prices at a moment |
//!
//! `message`, `book` and `books` do no I/O. The client runs on the caller's tokio runtime
//! and starts no task. It speaks no TLS; who does can be handed in ([`Dial`]).

pub mod book;
pub mod books;
pub mod client;
mod door;
pub mod error;
pub mod filter;
pub mod message;
pub mod reads;
mod sse;
mod text;

pub use book::{Book, Broken, Step};
pub use books::Books;
pub use client::{Client, Event, Received, Subscription};
pub use door::{Dial, Dialing, Socket};
pub use error::{Error, Lost};
pub use filter::Filter;
pub use message::{Message, Unreadable};
