//! Opens byte streams: the one place that knows names, sockets and TLS.
//!
//! [`Dial`] is handed to everything that talks to the venue, so that tests can
//! replace the network. [`SystemDialer`] is the real one: it resolves the name
//! at each attempt (the venue's addresses change), tries its addresses one
//! shortly after the other (RFC 8305), takes the first that answers, and has a
//! deadline for the whole of it. It neither retries nor pools. An error names
//! the addresses and what became of each.
//!
//! | scheme | port | stream |
//! |---|---|---|
//! | `http`, `ws` | 80 | plain |
//! | `https`, `wss` | 443 | TLS 1.2 or 1.3, certificate checked against the name; an error without the feature `tls` |

#[cfg(feature = "tls")]
mod handshake;
mod proxy;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "tls_absent.rs"]
mod tls;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper::Uri;
use polypy_core::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

pub use proxy::Proxy;
use tls::Connector;
pub use tls::{Certificate, TlsSetupError, certificates};

/// A connected byte stream.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Opens streams to `http`, `https`, `ws` and `wss` authorities; handed in, so that tests can replace the network.
pub trait Dial: Send + Sync {
    /// Connects to the authority of `uri`, with TLS when its scheme says so.
    fn dial<'a>(&'a self, uri: &'a Uri) -> BoxFuture<'a, io::Result<Box<dyn Stream>>>;
}

/// Deadlines of [`SystemDialer`].
#[derive(Debug, Clone)]
pub struct DialConfig {
    /// For name look-up and TCP over all addresses together.
    pub connect_deadline: Duration,
    /// For one address: one that is going to answer has done so by then.
    pub address_deadline: Duration,
    /// Before the next address is tried beside one that has not answered yet.
    pub stagger: Duration,
    /// For the TLS handshake.
    pub handshake_deadline: Duration,
    /// The way to `https` and `wss`; straight if there is none.
    pub proxy: Option<Proxy>,
}

impl Default for DialConfig {
    /// A connection that is going to work takes three round trips and a name
    /// look-up: well under a second from anywhere. The rest is retransmission.
    fn default() -> Self {
        Self {
            connect_deadline: Duration::from_secs(10),
            address_deadline: Duration::from_secs(4),
            // What RFC 8305 recommends.
            stagger: Duration::from_millis(250),
            handshake_deadline: Duration::from_secs(10),
            proxy: None,
        }
    }
}

/// Dials real addresses.
pub struct SystemDialer {
    tls: Connector,
    config: DialConfig,
}

impl fmt::Debug for SystemDialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemDialer")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl SystemDialer {
    /// Trusts the root certificates that Mozilla trusts.
    ///
    /// # Errors
    /// When TLS cannot be set up, which depends on the build alone.
    pub fn new(config: DialConfig) -> Result<Self, TlsSetupError> {
        Self::with_roots(config, &[])
    }

    /// Trusts these certificates as well: an exchange of one's own, a proxy.
    ///
    /// # Errors
    /// When TLS cannot be set up or a certificate is malformed.
    pub fn with_roots(config: DialConfig, extra: &[Certificate]) -> Result<Self, TlsSetupError> {
        let tls = Connector::trusting(extra)?;
        Ok(Self { tls, config })
    }

    /// A socket that leads to the target, straight or by the proxy.
    async fn reach(&self, target: &Target<'_>) -> io::Result<TcpStream> {
        let proxy = self.config.proxy.as_ref();
        match proxy.filter(|proxy| target.tls && proxy.leads_to(target.host)) {
            Some(proxy) => {
                let (host, port) = proxy.place();
                let socket = connect(host, port, &self.config).await?;
                proxy.tunnel(socket, target.host, target.port).await
            }
            None => connect(target.host, target.port, &self.config).await,
        }
    }

    async fn open(&self, uri: &Uri) -> io::Result<Box<dyn Stream>> {
        let target = Target::of(uri)?;
        let socket = timeout(self.config.connect_deadline, self.reach(&target))
            .await
            .map_err(|_elapsed| timed_out("no address answered in time"))??;
        // Requests and pings are small and wait for their answers.
        socket.set_nodelay(true)?;
        if !target.tls {
            return Ok(Box::new(socket));
        }
        let handshake = self.tls.connect(target.host, socket);
        timeout(self.config.handshake_deadline, handshake)
            .await
            .map_err(|_elapsed| timed_out("tls handshake deadline passed"))?
    }
}

impl Dial for SystemDialer {
    fn dial<'a>(&'a self, uri: &'a Uri) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(self.open(uri))
    }
}

/// Where a URI leads.
#[derive(Debug, PartialEq, Eq)]
struct Target<'a> {
    host: &'a str,
    port: u16,
    tls: bool,
}

impl<'a> Target<'a> {
    fn of(uri: &'a Uri) -> io::Result<Self> {
        let tls = match uri.scheme_str() {
            Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            _ => return Err(invalid("scheme is none of http, https, ws, wss")),
        };
        let host = uri.host().ok_or_else(|| invalid("uri names no host"))?;
        // An IPv6 address stands in brackets within a URI and nowhere else.
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { host, port, tls })
    }
}

/// Tries the addresses of the name until one answers.
async fn connect(host: &str, port: u16, config: &DialConfig) -> io::Result<TcpStream> {
    let addresses = tokio::net::lookup_host((host, port)).await?;
    let addresses = alternating(addresses.collect());
    let deadline = config.address_deadline;
    let attempt = |address| async move {
        timeout(deadline, TcpStream::connect(address))
            .await
            .map_err(|_elapsed| timed_out("no answer"))?
    };
    first_to_answer(addresses, config.stagger, attempt).await
}

/// The system's order, the two families in turn: one of them may not work here.
fn alternating(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let is_first = addresses.first().map(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| Some(address.is_ipv6()) == is_first);
    let mut second = second.into_iter();
    let mut all = Vec::new();
    for address in first {
        all.push(address);
        all.extend(second.next());
    }
    all.extend(second);
    all
}

/// Failures that an error names; a name may have many addresses.
const MOST_NAMED: usize = 4;

/// Tries the next address once the one before has failed, or has not answered
/// within `stagger`. What has not answered goes on meanwhile.
async fn first_to_answer<T, F: Future<Output = io::Result<T>>>(
    addresses: Vec<SocketAddr>,
    stagger: Duration,
    attempt: impl Fn(SocketAddr) -> F,
) -> io::Result<T> {
    let mut addresses = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut kind = io::ErrorKind::NotFound;
    let mut failures = Vec::new();
    loop {
        if let Some(address) = addresses.next() {
            let answer = attempt(address);
            attempts.push(async move { (address, answer.await) });
        } else if attempts.is_empty() {
            break;
        }
        tokio::select! {
            Some((address, answer)) = attempts.next() => match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    kind = error.kind();
                    failures.push(format!("{address}: {error}"));
                }
            },
            () = sleep(stagger), if addresses.len() > 0 => {}
        }
    }
    if failures.is_empty() {
        failures.push("name has no address".to_owned());
    }
    failures.truncate(MOST_NAMED);
    Err(io::Error::new(kind, failures.join(", ")))
}

fn invalid(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}

fn timed_out(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, reason)
}

#[cfg(test)]
mod tests;
