//! The doors over real sockets: a server with nothing but them, and clients as others
//! write them. Books and hub say what the tests have them say.

mod common;
mod hub;

mod handshake;
mod manual;
mod orderbook;
mod reads;
mod sse;
mod websocket;
