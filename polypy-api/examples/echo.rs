//! A WebSocket server that says everything again, on the socket type of the streams. What
//! speaks WebSocket can be tried against it; `tests/autobahn` does.
//!
//! ```sh
//! cargo run -p polypy-api --example echo -- 127.0.0.1:9002
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use polypy_api::door::ws::{End, Message, Socket, SocketLimits, Turn, upgrade};
use polypy_core::metrics::Sheet;
use polypy_core::{Clock, Component, Health, HealthSource, StatsSource, Timestamp};
use polypy_http::{HttpConfig, HttpServer, Route, Sources, Upgraded};

/// Longest message that is said again. The streams take no such messages.
const MOST_BYTES: usize = 32 << 20;

struct Echo;

impl HealthSource for Echo {
    fn health(&self) -> Health {
        Health::of(true)
    }
}

impl StatsSource for Echo {
    fn show(&self, _sheet: &mut dyn Sheet) {}
}

impl Clock for Echo {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(0)
    }
}

async fn say_again(upgraded: Upgraded, stopping: impl Future<Output = ()> + Send) {
    let limits = SocketLimits {
        most_bytes: MOST_BYTES,
        ..SocketLimits::default()
    };
    let mut socket = Socket::new(upgraded, limits).await;
    let mut stopping = std::pin::pin!(stopping);
    let end = loop {
        let turn = tokio::select! {
            turn = socket.turn() => turn,
            () = &mut stopping => {
                socket.close(1001, "the server is stopping").await;
                return;
            }
        };
        match turn {
            Turn::Text(text) => socket.push([Message::Text(text)]),
            Turn::Binary(bytes) => socket.push([Message::Binary(bytes)]),
            Turn::Control | Turn::Written => {}
            Turn::Ended(end) => break end,
        }
        // One message at a time: what the client sends faster waits in its own system.
        if let Err(end) = socket.flush().await {
            break end;
        }
    };
    let is_slow = end == End::Slow;
    let upgraded = socket.end(end, |_, _| None).await;
    if is_slow {
        upgraded.reset();
    }
}

/// A server that listens there, with `/echo`.
///
/// # Errors
/// When it cannot listen there.
pub(crate) async fn start(address: SocketAddr) -> Result<HttpServer, Box<dyn Error>> {
    let config = HttpConfig {
        host: address.ip(),
        port: address.port(),
        ..HttpConfig::default()
    };
    let echo = Arc::new(Echo);
    let sources = Sources::new(echo.clone(), echo.clone(), echo);
    let route = Route::get("/echo", "says everything again", |call| {
        let stopping = call.stopping();
        upgrade(call, |upgraded| Box::pin(say_again(upgraded, stopping)))
    });
    let server = HttpServer::builder(config, sources).route(route)?.build();
    server.start().await?;
    Ok(server)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:0").parse()?;
    let server = start(address).await?;
    if let Some(address) = server.local_addr() {
        println!("ws://{address}/echo");
    }
    tokio::signal::ctrl_c().await?;
    server.stop().await;
    Ok(())
}
