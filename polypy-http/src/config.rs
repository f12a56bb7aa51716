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
    /// Address to listen on. All interfaces by default: inside a container
    /// nothing else can be reached from outside.
    pub host: IpAddr,
    /// Port to listen on; 0 lets the system choose one.
    pub port: u16,
    /// Connections held at once. Past it a client is told 503 and closed. Half
    /// of the 1,024 descriptors a process usually has: the rest is for sockets
    /// to the venue.
    pub max_connections: usize,
    /// From a request's first byte (or from the connection, for the first
    /// request) to the end of its head. Ten seconds is past any honest network.
    pub header_read_timeout: Duration,
    /// How long an answered connection may stay without a new request. Longer
    /// than the minute at which the slowest common scrapers ask.
    pub idle_timeout: Duration,
    /// From the moment the client stops taking an answer's bytes to the last
    /// one taken. Absolute: reading one byte a second does not extend it.
    pub write_timeout: Duration,
    /// How long a request may wait for a source that computes off the event
    /// loop (`/stats`, `/markets`) before it is told 503.
    pub answer_timeout: Duration,
    /// What requests in flight get to finish when the server stops. Half of
    /// the ten seconds that container runtimes grant a whole process.
    pub drain_deadline: Duration,
    /// Longest request head. Past it hyper answers 431. Values under
    /// [`MIN_HEADER_BYTES`] count as that.
    pub max_header_bytes: usize,
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
            host: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: 8080,
            max_connections: 512,
            header_read_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(5),
            drain_deadline: Duration::from_secs(3),
            max_header_bytes: 32 * 1024,
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
