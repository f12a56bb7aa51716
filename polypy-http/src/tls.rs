//! TLS towards clients: one certificate, replaced while the server runs.

use std::fmt;
use std::io;
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// A client's socket that speaks TLS.
pub(crate) type TlsStream = tokio_rustls::server::TlsStream<TcpStream>;

/// The socket below.
pub(crate) fn below(stream: &TlsStream) -> &TcpStream {
    stream.get_ref().0
}

/// The only protocol that is spoken here.
const HTTP_1: &[u8] = b"http/1.1";

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// No certificate in the text.
    #[error("there is no certificate in PEM form")]
    NoCertificate,
    /// No private key in the text.
    #[error("there is no private key in PEM form, without a password")]
    NoKey,
    /// They do not belong together, or are of a kind that is not known.
    #[error("the certificate and the key cannot be used together: {0}")]
    Unusable(#[from] rustls::Error),
}

/// A certificate with its key. New connections get what was set last.
pub struct Tls(RwLock<Arc<ServerConfig>>);

impl Tls {
    /// From the certificate, with those that vouch for it behind it, and its key, both PEM.
    ///
    /// # Errors
    /// When they cannot be read or used.
    pub fn new(certificates: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        Ok(Self(RwLock::new(config(certificates, key)?)))
    }

    /// Uses others from now on.
    ///
    /// # Errors
    /// When they cannot be read or used; the old ones stay then.
    pub fn replace(&self, certificates: &[u8], key: &[u8]) -> Result<(), TlsError> {
        let config = config(certificates, key)?;
        *self.0.write() = config;
        Ok(())
    }

    /// Speaks TLS with a client that has connected.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream> {
        let config = Arc::clone(&self.0.read());
        TlsAcceptor::from(config).accept(stream).await
    }
}

impl fmt::Debug for Tls {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

fn config(certificates: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>, TlsError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(certificates)
        .collect::<Result<_, _>>()
        .map_err(|_unread| TlsError::NoCertificate)?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_unread| TlsError::NoKey)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    config.alpn_protocols = vec![HTTP_1.to_vec()];
    Ok(Arc::new(config))
}
