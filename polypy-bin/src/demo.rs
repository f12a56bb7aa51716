//! `polypy run --demo`: the server against an exchange in the same process.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use polypy::PolyPy;
use polypy::config::Config;
use polypy::exit::Exit;
use polypy::limits::Shares;
use polypy_core::{AssetId, BookLookup, BookState};
use polypy_sim::SimHandle;
use tokio::time::{Instant, interval};

use crate::runtime::{Wishes, drive};
use crate::sim;
use crate::systemd;
use crate::terminal;

/// How long a first live book is waited for before the addresses are printed
/// without one. Opening books take half a second after discovery.
const PATIENCE: Duration = Duration::from_secs(8);

/// Between two looks for it.
const LOOK: Duration = Duration::from_millis(50);

/// Starts the exchange, runs the server against it, and stops both.
pub(crate) async fn serve(config: Config, shares: Shares, wishes: Wishes) -> Exit {
    let sim = match sim::start(&config).await {
        Ok(sim) => sim,
        Err(exit) => return exit,
    };
    let app = PolyPy::builder()
        .config(config)
        .shares(shares)
        .listeners(systemd::sockets())
        .log_level(wishes.log_level.clone())
        .venue(&sim.gamma_url(), &sim.clob_url(), &sim.ws_url())
        .build();
    let exit = match app {
        Ok(app) => {
            let mut driven = std::pin::pin!(drive(&app, wishes));
            tokio::select! {
                exit = &mut driven => exit,
                () = welcome(&app, &sim) => driven.await,
            }
        }
        Err(error) => {
            tracing::error!(%error, "polypy cannot be built");
            Exit::Config
        }
    };
    sim.stop().await;
    exit
}

/// Waits for a book worth showing and says where to look. Then it is done.
async fn welcome(app: &PolyPy, sim: &SimHandle) {
    let began = Instant::now();
    let mut looks = interval(LOOK);
    let asset = loop {
        looks.tick().await;
        let found = live_asset(app);
        if found.is_some() || began.elapsed() > PATIENCE {
            break found;
        }
    };
    let text = match app.http_addr() {
        Some(address) => places(address, sim, asset.as_ref()),
        None if !app.config().http.enabled => "the demo runs without its HTTP server\n".to_owned(),
        None if app.http_server().is_some() => {
            "the demo's HTTP server does not listen on TCP; the log says where it does\n".to_owned()
        }
        None => format!(
            "the demo runs without its HTTP server: port {} could not be used.\n\
             Choose another: polypy run --demo --http-port 8090\n",
            app.config().http.port
        ),
    };
    if terminal::print(&text) != Exit::Clean {
        tracing::debug!("nobody reads standard output");
    }
}

fn live_asset(app: &PolyPy) -> Option<AssetId> {
    let books = app.books();
    let markets = app.markets().markets();
    let tokens = markets.iter().flat_map(|market| &market.tokens);
    tokens
        .map(|token| &token.token_id)
        .find(|asset| match books.book(asset.as_str(), 1) {
            BookLookup::Found(book) => {
                book.state == BookState::Live && book.bid_levels > 0 && book.ask_levels > 0
            }
            BookLookup::Pending
            | BookLookup::Requested
            | BookLookup::Ended
            | BookLookup::Unknown => false,
        })
        .cloned()
}

fn places(address: SocketAddr, sim: &SimHandle, asset: Option<&AssetId>) -> String {
    let server = format!("http://{}", reachable(address));
    let exchange = sim.gamma_url();
    let mut text = format!(
        "\nPolyPy keeps the books of an embedded exchange. Look at it:\n\n  \
         curl {server}/health\n  \
         curl {server}/stats\n  \
         curl '{server}/markets?limit=3'\n"
    );
    if let Some(asset) = asset {
        text.push_str(&format!(
            "  curl '{server}/orderbook/{asset}?depth=5'\n\n\
             The exchange knows the truth:\n\n  \
             curl {exchange}/sim/book/{asset}\n"
        ));
    }
    text.push_str("\nCtrl-C ends it.\n\n");
    text
}

/// An address that a client on this machine can use.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_everyone_is_shown_as_one_to_type() {
        for (listening, shown) in [
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:8080", "[::1]:8080"),
            ("10.0.0.7:1", "10.0.0.7:1"),
        ] {
            assert_eq!(reachable(listening.parse().unwrap()).to_string(), shown);
        }
    }
}
