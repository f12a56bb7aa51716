//! Why the server could not listen, with what to do about it.

use std::io;
use std::net::SocketAddr;

/// Why [`HttpServer`](crate::HttpServer) could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// Another socket has the port.
    #[error(
        "cannot listen on {address}: the port is taken by another process; \
         stop that one or choose another port (HTTP_PORT or --http-port)"
    )]
    PortTaken {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The system reserves the port for privileged processes.
    #[error(
        "cannot listen on {address}: not permitted; ports below 1024 need privileges, \
         choose a higher one (HTTP_PORT or --http-port)"
    )]
    NotPermitted {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The host is no address of this machine.
    #[error(
        "cannot listen on {address}: this machine has no such address; \
         use 0.0.0.0 for all interfaces or 127.0.0.1 for this machine alone"
    )]
    NoSuchAddress {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A socket that the program was given cannot be served.
    #[error("cannot listen on a socket that was handed over: {source}")]
    Given {
        /// What the system said.
        source: io::Error,
    },
    /// TCP is off and no socket was given.
    #[error(
        "there is nowhere to listen: turn TCP on (http.tcp), or name a Unix socket \
         (http.unix_socket)"
    )]
    Nowhere,
    /// Anything else the system refused.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl HttpError {
    /// Whether it may pass by itself: another process may give the port back, and the address
    /// may come with its network.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::PortTaken { .. } | Self::NoSuchAddress { .. } | Self::Bind { .. } => true,
            Self::NotPermitted { .. } | Self::Given { .. } | Self::Nowhere => false,
        }
    }

    /// Sorts what the system said about `address` by cause.
    pub(crate) fn bind(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::PortTaken { address, source },
            io::ErrorKind::PermissionDenied => Self::NotPermitted { address, source },
            io::ErrorKind::AddrNotAvailable => Self::NoSuchAddress { address, source },
            _ => Self::Bind { address, source },
        }
    }
}
