//! TLS to the venue: which certificates are trusted, and the handshake.

use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Stream, handshake, invalid};

/// Bytes read at once from under TLS: as many as its largest record has. rustls asks
/// for 4 KiB at a time, each of which would be a call of the system; with frames in
/// records of their own that is a tenth of the processor time of their whole way.
const TLS_READ_BUFFER: usize = 16 << 10;

/// A certificate that is to be trusted.
pub type Certificate = CertificateDer<'static>;

/// Why a [`SystemDialer`](super::SystemDialer) could not be made.
#[derive(Debug, thiserror::Error)]
#[error("tls could not be set up")]
pub struct TlsSetupError(#[from] rustls::Error);

/// The certificates in a text in PEM form.
///
/// # Errors
/// The reason, when there is none, or one that cannot be read.
pub fn certificates(text: &[u8]) -> Result<Vec<Certificate>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err("there is no certificate in PEM form".to_owned()),
        Err(error) => Err(format!("not certificates in PEM form: {error}")),
    }
}

/// Makes plain sockets TLS.
pub(super) struct Connector(TlsConnector);

impl Connector {
    /// One that trusts what Mozilla trusts, and these.
    pub(super) fn trusting(extra: &[Certificate]) -> Result<Self, TlsSetupError> {
        let mut roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        for certificate in extra {
            roots.add(certificate.clone())?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(tls))))
    }

    /// Speaks TLS with whom the certificate must name `host`.
    pub(super) async fn connect(
        &self,
        host: &str,
        socket: TcpStream,
    ) -> io::Result<Box<dyn Stream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(invalid)?;
        let socket = BufReader::with_capacity(TLS_READ_BUFFER, socket);
        let stream = self.0.connect(name, socket).await;
        Ok(Box::new(stream.map_err(handshake::explained)?))
    }
}
