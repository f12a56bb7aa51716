//! The server as its clients meet it: over real sockets, on a port that the
//! system chose, with fakes behind the traits.

mod common;

mod endpoints;

mod orderbook;

mod lifecycle;

mod hostile;

mod manual;

mod flood;

mod own_routes;
mod probes;

mod access;

mod page;

mod changes;

mod tls;

mod metrics;
