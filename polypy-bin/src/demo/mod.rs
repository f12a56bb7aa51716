//! `polypy run --demo`: the server against an exchange in the same process.

mod routes;

use std::io::IsTerminal;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use polypy::PolyPy;
use polypy::config::{Config, Loaded, Sources};
use polypy::exit::Exit;
use polypy::limits::Shares;
use polypy::logging::StatusLine;
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
pub(crate) async fn serve(
    loaded: Loaded,
    shares: Shares,
    wishes: Wishes,
    sources: &Sources,
) -> Exit {
    let sim = match sim::start(&loaded.config).await {
        Ok(sim) => sim,
        Err(exit) => return exit,
    };
    let app = PolyPy::builder()
        .loaded(loaded.clone())
        .shares(shares)
        .listeners(systemd::sockets())
        .log_level(wishes.log_level.clone())
        .serve_clients_on(wishes.clients.clone())
        .venue(&sim.gamma_url(), &sim.clob_url(), &sim.ws_url())
        .routes(routes::routes(&sim.control()))
        .build();
    let exit = match app {
        Ok(app) => {
            let status = wishes.status.clone();
            let mut driven = std::pin::pin!(drive(&app, wishes, sources));
            tokio::select! {
                exit = &mut driven => exit,
                () = welcome(&app, &sim, status) => driven.await,
            }
        }
        Err(error) => {
            let error = error.located(&loaded);
            tracing::error!(error, "polypy cannot be built");
            Exit::Config
        }
    };
    sim.stop().await;
    exit
}

/// Waits for a book worth showing and says where to look. Then it is done.
async fn welcome(app: &PolyPy, sim: &SimHandle, status: Option<StatusLine>) {
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
        Some(address) => {
            let server = Server::of(address, app.config());
            places(&called(), &server, sim, asset.as_ref())
        }
        None if !app.config().http.enabled => "the demo runs without its HTTP server\n".to_owned(),
        None if app.http_server().is_some() => {
            "the demo's HTTP server does not listen on TCP; the log says where it does\n".to_owned()
        }
        None => match app.http_failure() {
            Some(why) => format!("the demo runs without its HTTP server: {why}\n"),
            None => "the demo runs without its HTTP server; the log says why\n".to_owned(),
        },
    };
    let is_seen = std::io::stdout().is_terminal();
    if let Some(status) = status.filter(|_| is_seen) {
        // Above the status, which the log's thread owns.
        if !status.print(text) {
            tracing::debug!("the terminal takes nothing more");
        }
    } else if terminal::print(&text) != Exit::Clean {
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

/// What it takes to ask the server.
struct Server {
    url: String,
    /// What curl needs behind the address.
    options: String,
    /// What this program needs there.
    flags: String,
    /// What it needs beyond that, for people.
    hint: &'static str,
}

impl Server {
    fn of(address: SocketAddr, config: &Config) -> Self {
        let address = reachable(address);
        let (mut scheme, mut hint) = ("http", "");
        if config.http.tls_cert.is_some() {
            scheme = "https";
            hint = "Where the certificate is not trusted, name who issued it: --cacert FILE \
                    for curl, --ca-file FILE for polypy.\n";
        }
        let token_file = config.http.token_file.as_ref();
        let options = token_file.map_or_else(String::new, |file| {
            format!(" -H \"Authorization: Bearer $(cat '{}')\"", file.display())
        });
        let flags = token_file.map_or_else(String::new, |file| {
            format!(" --token-file '{}'", file.display())
        });
        Self {
            url: format!("{scheme}://{address}"),
            options,
            flags,
            hint,
        }
    }
}

/// What can be pasted, with this program as it was called.
fn places(program: &str, server: &Server, sim: &SimHandle, asset: Option<&AssetId>) -> String {
    let Server {
        url,
        options,
        flags,
        hint,
    } = server;
    let exchange = sim.gamma_url();
    let mut text = format!(
        "\nPolyPy keeps the books of an embedded exchange. Open {url}/ in a browser, or ask:\n\n  \
         curl {url}/health{options}\n  \
         curl {url}/stats{options}\n  \
         curl '{url}/markets?limit=3'{options}\n"
    );
    if let Some(asset) = asset {
        text.push_str(&format!(
            "  curl '{url}/orderbook/{asset}?depth=5'{options}\n"
        ));
    }
    text.push_str("\nFollow every change of it:\n\n");
    if cfg!(feature = "tui") {
        text.push_str(&format!("  {program} top --url {url}{flags}\n"));
    }
    text.push_str(&format!(
        "  {program} tail --url {url}{flags}\n  \
         curl -N '{url}/v1/stream?channels=top'{options}\n"
    ));
    if let Some(asset) = asset {
        text.push_str(&format!(
            "\nThe exchange knows the truth:\n\n  \
             curl {exchange}/sim/book/{asset}\n"
        ));
    }
    text.push_str(&format!("\n{hint}Ctrl-C ends it.\n\n"));
    text
}

/// How this program was called, for the next call.
fn called() -> String {
    let name = std::env::args_os().next();
    let name = name.map_or_else(
        || "polypy".into(),
        |name| name.to_string_lossy().into_owned(),
    );
    if name.contains(|c: char| c.is_whitespace() || "'\"\\$`".contains(c)) {
        return "polypy".to_owned();
    }
    name
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

    #[test]
    fn the_server_is_shown_as_it_has_to_be_asked() {
        let address: SocketAddr = "0.0.0.0:8080".parse().unwrap();
        let mut config = Config::default();
        let plain = Server::of(address, &config);
        assert_eq!((plain.options.as_str(), plain.hint), ("", ""));
        assert_eq!(plain.url, "http://127.0.0.1:8080");
        config.http.tls_cert = Some("cert.pem".into());
        config.http.token_file = Some("my token".into());
        let guarded = Server::of(address, &config);
        assert_eq!(guarded.url, "https://127.0.0.1:8080");
        let header = " -H \"Authorization: Bearer $(cat 'my token')\"";
        assert_eq!(guarded.options, header);
        assert!(guarded.hint.contains("--cacert"));
    }
}
