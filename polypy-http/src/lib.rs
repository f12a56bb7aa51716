//! A small HTTP/1 server for health, statistics and order books.
//!
//! It is raw hyper under a table of routes, and it knows the traits of
//! `polypy-core` and nothing behind them: whatever implements [`HealthSource`]
//! and [`StatsSource`] can be served. Markets and books are optional, and a
//! program adds its own routes and assets with [`HttpServer::builder`].
//!
//! | route | source | answer |
//! |---|---|---|
//! | `GET /` | | the routes |
//! | `GET /health` | [`HealthSource`] | 200 or 503 |
//! | `GET /livez`, `/readyz`, `/startupz` | [`ProbeSource`] | 200 or 503 |
//! | `GET /version` | | what runs |
//! | `GET /stats` | [`StatsSource`] | 200 |
//! | `GET /metrics` | [`StatsSource`] | 200 |
//! | `GET /markets` | [`MarketSource`] | 200, 503 without a source |
//! | `GET /orderbook/{asset_id}` | [`BookSource`] | 200, 404, 503 |
//!
//! With an [`Access`] it answers those who have the token. Deliberately absent: HTTP/2,
//! and bodies where nothing is to be done. Everything
//! is bounded: connections in all and of one client, heads, time to send a
//! request, the rate at which an answer is read, memory for answers and what the
//! system holds of them, time to stop. Probes are answered even when all of that
//! is used up.
//!
//! [`HealthSource`]: polypy_core::HealthSource
//! [`ProbeSource`]: polypy_core::probe::ProbeSource
//! [`StatsSource`]: polypy_core::StatsSource
//! [`MarketSource`]: polypy_core::MarketSource
//! [`BookSource`]: polypy_core::BookSource
//!
//! # A component of one's own
//!
//! `examples/own_component.rs` is the same with a life of its own and a signal.
//!
//! ```
//! use std::net::Ipv4Addr;
//! use std::sync::Arc;
//!
//! use polypy_core::metrics::{Counter, Entry, Sheet};
//! use polypy_core::{Clock, Component, Health, HealthSource, StatsSource, Timestamp};
//! use polypy_http::{HttpConfig, HttpServer, Sources};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! #[derive(Default)]
//! struct Mill {
//!     sacks: Counter,
//! }
//!
//! type Shown = Entry<Mill>;
//! static ROWS: &[Shown] = &[Shown::counter(
//!     "sacks",
//!     "mill_sacks_total",
//!     "Sacks of flour that were filled.",
//!     |mill| mill.sacks.get().into(),
//! )];
//!
//! impl HealthSource for Mill {
//!     fn health(&self) -> Health {
//!         Health::of(true).with("stones", true).with("sails", true)
//!     }
//! }
//!
//! impl StatsSource for Mill {
//!     fn show(&self, sheet: &mut dyn Sheet) {
//!         sheet.table(ROWS, self);
//!     }
//! }
//!
//! struct Noon;
//!
//! impl Clock for Noon {
//!     fn now(&self) -> Timestamp {
//!         Timestamp::from_millis(1_765_195_200_000)
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mill = Arc::new(Mill::default());
//! let sources = Sources::new(mill.clone(), mill.clone(), Arc::new(Noon));
//! let config = HttpConfig {
//!     host: Ipv4Addr::LOCALHOST.into(),
//!     port: 0,
//!     ..HttpConfig::default()
//! };
//! let server = HttpServer::new(config, sources);
//! server.start().await?;
//! mill.sacks.add(3);
//!
//! let address = server.local_addr().ok_or("not listening")?;
//! let mut client = tokio::net::TcpStream::connect(address).await?;
//! client
//!     .write_all(b"GET /stats HTTP/1.1\r\nHost: mill\r\nConnection: close\r\n\r\n")
//!     .await?;
//! let mut answer = String::new();
//! client.read_to_string(&mut answer).await?;
//! assert!(answer.starts_with("HTTP/1.1 200 OK"));
//! assert!(answer.ends_with("{\"sacks\":3}\n"));
//!
//! server.stop().await;
//! # Ok(())
//! # }
//! ```

mod server;

mod builder;

mod config;

mod error;

mod sources;

mod route;

mod handler;

mod parameter;

mod describe;

mod query;

mod reply;

mod body;

mod cached;

mod assets;

mod rendering;

mod call;

mod market_list;

mod encoding;

mod responder;

mod change;

mod service;

mod refusal;

mod access;

mod cors;

mod hex;

mod host;

mod request_id;

mod connection;

mod accept;

mod socket;

#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "tls_absent.rs"]
mod tls;

mod peer;

mod places;

mod reserve;

mod queue;

mod io;

mod activity;

mod budget;

mod counters;

mod exposition;

mod negotiate;

pub use access::{Access, TokenError};
pub use assets::Assets;
pub use body::Body;
pub use budget::{Memory, Share};
pub use builder::HttpServerBuilder;
pub use cached::CachedBody;
pub use call::Call;
pub use config::{HttpConfig, MIN_HEADER_BYTES};
pub use connection::Upgraded;
pub use describe::{Answer, Content, Deprecation, Description};
pub use error::HttpError;
pub use handler::health_json;
pub use hyper::{StatusCode, header};
pub use parameter::{Kind, Parameter, manual_mistakes};
pub use peer::Peer;
pub use query::{Query, QueryError};
pub use rendering::Rendering;
pub use reply::Reply;
pub use route::{Route, RouteError};
pub use server::HttpServer;
pub use socket::{DirectWriter, Listener};
pub use sources::Sources;
pub use tls::{Tls, TlsError};
