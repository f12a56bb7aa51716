//! Who a client is, as far as a socket can tell.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer(Option<SocketAddr>);

impl Peer {
    /// The other end of a Unix socket, on this machine.
    pub(crate) const LOCAL: Self = Self(None);

    pub(crate) fn new(address: SocketAddr) -> Self {
        let ip = address.ip().to_canonical();
        Self(Some(SocketAddr::new(ip, address.port())))
    }

    /// Its address; none on a Unix socket. An IPv4 address on an IPv6 socket is shown as
    /// the former.
    pub fn address(self) -> Option<SocketAddr> {
        self.0
    }

    /// What counts as one client: an IPv4 address, or the /64 that an IPv6 host
    /// is given whole. All of a Unix socket are one.
    pub(crate) fn group(self) -> PeerGroup {
        PeerGroup(self.0.map(|address| match address.ip() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => {
                let network = u128::from(address) >> 64 << 64;
                IpAddr::V6(Ipv6Addr::from(network))
            }
        }))
    }
}

/// Clients that are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PeerGroup(Option<IpAddr>);

impl fmt::Display for PeerGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("unix"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_client() {
        let group = |text: &str| Peer::new(text.parse().unwrap()).group();
        assert_eq!(group("[2001:db8::1]:1"), group("[2001:db8::ffff:2]:2"));
        assert_ne!(group("[2001:db8::1]:1"), group("[2001:db8:0:1::1]:1"));
        assert_eq!(group("192.0.2.1:1"), group("192.0.2.1:2"));
        assert_eq!(group("192.0.2.1:1"), group("[::ffff:192.0.2.1]:9"));
        assert_ne!(group("192.0.2.1:1"), group("192.0.2.2:1"));
    }
}
