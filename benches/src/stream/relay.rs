//! A relay that opens a connection to the exchange for each of its own, and forwards
//! bytes both ways without looking at them.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::Failure;
use super::helper::{Helper, serve as take_orders};

/// Makes this program the relay.
pub const RELAY: &str = "--serve-relay";

#[derive(Debug, Serialize, Deserialize)]
struct To(SocketAddr);

/// Serves until the standard input ends.
///
/// # Errors
/// When who started it is gone.
pub fn serve() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let mut serving = JoinSet::new();
    take_orders(|To(venue)| {
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        serving.spawn_on(forward(listener, venue), runtime.handle());
        Ok(To(address))
    })
}

async fn forward(listener: TcpListener, venue: SocketAddr) -> std::io::Result<()> {
    let mut pairs = JoinSet::new();
    loop {
        let (mut client, _) = listener.accept().await?;
        pairs.spawn(async move {
            let mut upstream = TcpStream::connect(venue).await?;
            client.set_nodelay(true)?;
            upstream.set_nodelay(true)?;
            copy_bidirectional(&mut client, &mut upstream).await
        });
    }
}

/// This process's end of it.
#[derive(Debug)]
pub struct Relay {
    _helper: Helper,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Relay {
    /// A relay to an exchange.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(venue: SocketAddr) -> Result<Self, Failure> {
        let mut helper = Helper::start(RELAY)?;
        let To(address) = helper.ask(&To(venue))?;
        Ok(Self {
            _helper: helper,
            address,
        })
    }
}
