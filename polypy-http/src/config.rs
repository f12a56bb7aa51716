//! Where the server listens and how patient it is.
//!
//! Every bound has a default that holds without tuning; each says where its
//! number comes from. Reading these from files or the environment is not done
//! here.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Smallest read buffer hyper accepts, and so the smallest limit on a head.
pub const MIN_HEADER_BYTES: usize = 8 * 1024;

/// Settings of [`HttpServer`](crate::HttpServer).
///
/// ```
/// use polypy_http::HttpConfig;
///
/// let config = HttpConfig { port: 9090, ..HttpConfig::default() };
/// assert_eq!(config.address().to_string(), "0.0.0.0:9090");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// Whether it opens a TCP socket of its own, on `host` and `port`. It listens on those
    /// that the builder was given in any case.
    pub tcp: bool,
    /// Address to listen on. All interfaces by default: inside a container
    /// nothing else can be reached from outside.
    pub host: IpAddr,
    /// Port to listen on; 0 lets the system choose one.
    pub port: u16,
    /// Connections held at once. Half of the 1,024 descriptors a process usually
    /// has: the rest is for sockets to the venue. Past it only probes are answered,
    /// in the reserved places, and everyone else is told 503.
    pub max_connections: usize,
    /// The same for one client: an IPv4 address, or an IPv6 /64. A quarter of all,
    /// so that no single one takes them; a proxy in front counts as one client.
    pub max_connections_per_peer: usize,
    /// Places beyond those, for probes and for refusals; each is held for a moment.
    /// Under a flood the oldest that has not asked yet gives way.
    pub reserved_connections: usize,
    /// Streams held at once, beside `max_connections`. As many as one thread that makes
    /// what they are sent keeps up with.
    pub max_streams: usize,
    /// Names answered to beside addresses, names without a dot, and names under
    /// domains that nobody can own; `*.example.org` stands for all below it, `*`
    /// for any name.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may read the answers in a browser, as `https://example.org`;
    /// `*` for every one. None by default.
    pub cors_origins: Vec<String>,
    /// From a request's first byte (or from the connection, for the first
    /// request) to the end of its head. Ten seconds is past any honest network.
    pub header_read_timeout: Duration,
    /// How long an answered connection may stay without a new request. Longer
    /// than the minute at which the slowest common scrapers ask.
    pub idle_timeout: Duration,
    /// The window in which `min_send_rate` is measured, from the first moment at
    /// which a client takes no more bytes of its answer. As long as a client whose
    /// receive buffer is full may say nothing although it reads.
    pub write_timeout: Duration,
    /// Bytes a second that a client takes at least, over `write_timeout`. A fifth
    /// of what a modem takes; slower ones are reset.
    pub min_send_rate: usize,
    /// Memory that rendered answers may hold, with those that slow clients still
    /// read. Two lists of the venue's whole catalogue (some 46,500 markets of about
    /// 450 bytes each), plain and compressed, and room for everything else.
    pub answer_memory: usize,
    /// Bytes that the system may hold for a client that does not read; it takes
    /// twice this in memory. Enough for a megabyte a second over an ocean.
    pub send_buffer: usize,
    /// How long a request may wait for an answer that is computed (`/stats`,
    /// `/markets`) before it is told 503.
    pub answer_timeout: Duration,
    /// What requests in flight get to finish when the server stops. Half of
    /// the ten seconds that container runtimes grant a whole process.
    pub drain_deadline: Duration,
    /// Longest request head. Past it hyper answers 431. Values under
    /// [`MIN_HEADER_BYTES`] count as that.
    pub max_header_bytes: usize,
    /// Whether `/metrics` has series for each member of lists that may be long
    /// ([`List::detail`](polypy_core::metrics::List::detail)).
    pub metric_details: bool,
}

impl HttpConfig {
    /// The address to bind.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            tcp: true,
            host: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: 8080,
            max_connections: 512,
            max_connections_per_peer: 128,
            reserved_connections: 64,
            max_streams: 1_024,
            allowed_hosts: Vec::new(),
            cors_origins: Vec::new(),
            header_read_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            min_send_rate: 4 * 1024,
            answer_memory: 96 * 1024 * 1024,
            send_buffer: 64 * 1024,
            answer_timeout: Duration::from_secs(5),
            drain_deadline: Duration::from_secs(3),
            max_header_bytes: 32 * 1024,
            metric_details: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_configuration_listens_everywhere_on_8080() {
        let config = HttpConfig::default();
        assert_eq!(config.address().to_string(), "0.0.0.0:8080");
    }

    #[test]
    fn custom_configuration_is_kept() {
        let config = HttpConfig {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 9090,
            ..HttpConfig::default()
        };
        assert_eq!(config.address().to_string(), "127.0.0.1:9090");
    }
}
