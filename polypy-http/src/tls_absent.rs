//! What stands in for TLS in a build without it: there is no certificate.

use std::io;

use tokio::net::TcpStream;

/// Never there.
pub(crate) type TlsStream = TcpStream;

/// The socket below.
pub(crate) fn below(stream: &TlsStream) -> &TcpStream {
    stream
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// No private key in the text.
    #[error("there is no private key in PEM form, without a password")]
    NoKey,
    /// The build has no TLS.
    #[error("this build speaks no TLS: build it with the feature tls")]
    Absent,
}

/// A certificate with its key, of which a build without TLS has none.
#[derive(Debug)]
pub enum Tls {}

impl Tls {
    /// Refused in this build.
    ///
    /// # Errors
    /// Always.
    pub fn new(_certificates: &[u8], _key: &[u8]) -> Result<Self, TlsError> {
        Err(TlsError::Absent)
    }

    /// Never called: there is none.
    ///
    /// # Errors
    /// Never.
    pub fn replace(&self, _certificates: &[u8], _key: &[u8]) -> Result<(), TlsError> {
        match *self {}
    }

    pub(crate) async fn accept(&self, _stream: TcpStream) -> io::Result<TlsStream> {
        match *self {}
    }
}
