//! The messages of PolyPy's streams, and books that follow them and prove that they
//! missed nothing.
//!
//! | module | holds |
//! |---|---|
//! | [`message`] | the server's messages |
//! | [`book`] | one token's book, with every check that the messages allow |
//! | [`books`] | the books and trades of a subscription |

pub mod book;
pub mod books;
pub mod message;
mod text;

pub use book::{Book, Broken, Step};
pub use books::Books;
pub use message::{Message, Unreadable};
