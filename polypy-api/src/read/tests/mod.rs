//! Reads of books, in memory and over sockets.

mod books;
pub(crate) mod forms;
mod sockets;
mod tops;
mod world;
