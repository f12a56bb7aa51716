//! What stands in for TLS in a build without it: what asks for it is refused.

use std::convert::Infallible;
use std::io;

use tokio::net::TcpStream;

use super::Stream;

const ABSENT: &str = "this build speaks no TLS: build it with the feature tls";

/// A certificate that is to be trusted; there is none in this build.
pub type Certificate = Infallible;

/// Why a [`SystemDialer`](super::SystemDialer) could not be made; nothing fails in this build.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {}

/// The certificates in a text in PEM form.
///
/// # Errors
/// In this build always.
pub fn certificates(_text: &[u8]) -> Result<Vec<Certificate>, String> {
    Err(ABSENT.to_owned())
}

/// Would make plain sockets TLS.
pub(super) struct Connector;

impl Connector {
    pub(super) fn trusting(_extra: &[Certificate]) -> Result<Self, TlsSetupError> {
        Ok(Self)
    }

    pub(super) async fn connect(
        &self,
        _host: &str,
        _socket: TcpStream,
    ) -> io::Result<Box<dyn Stream>> {
        Err(io::Error::new(io::ErrorKind::Unsupported, ABSENT))
    }
}
