//! The doors over real sockets: a server with nothing but them, and clients as others
//! write them. Books and hub say what the tests have them say.

pub(crate) mod common;
mod hub;

mod events;
mod handshake;
mod manual;
mod markets;
mod openapi;
mod orderbook;
mod own;
mod reads;
mod sse;
mod tokens;
mod websocket;
