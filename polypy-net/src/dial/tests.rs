//! The real dialer against sockets of its own.
//!
//! `testdata` holds a self-signed certificate for `localhost` and its key, made
//! for these tests and trusted by nothing else.

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

const CERTIFICATE: &[u8] = include_bytes!("testdata/localhost.crt.der");
const KEY: &[u8] = include_bytes!("testdata/localhost.key.der");

fn certificate() -> CertificateDer<'static> {
    CertificateDer::from(CERTIFICATE)
}

fn uri(text: &str) -> Uri {
    text.parse().unwrap()
}

/// A TLS server for one connection that echoes four bytes; its address.
async fn tls_echo() -> (SocketAddr, tokio::task::JoinHandle<io::Result<()>>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate()], PrivateKeyDer::try_from(KEY).unwrap())
        .unwrap();
    // On all of loopback, so that a test can reach it under another address.
    let listener = TcpListener::bind(("0.0.0.0", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let server = tokio::spawn(async move {
        let (socket, _) = listener.accept().await?;
        let mut stream = TlsAcceptor::from(Arc::new(config)).accept(socket).await?;
        let mut bytes = [0; 4];
        stream.read_exact(&mut bytes).await?;
        stream.write_all(&bytes).await?;
        stream.shutdown().await
    });
    (address, server)
}

#[test]
fn schemes_choose_port_and_tls() {
    for (text, host, port, tls) in [
        ("http://example.org/a", "example.org", 80, false),
        ("ws://example.org/ws/market", "example.org", 80, false),
        ("https://example.org", "example.org", 443, true),
        ("wss://example.org/ws", "example.org", 443, true),
        ("http://127.0.0.1:8123", "127.0.0.1", 8123, false),
        ("wss://[::1]:9/ws", "::1", 9, true),
    ] {
        let uri = uri(text);
        assert_eq!(Target::of(&uri).unwrap(), Target { host, port, tls });
    }
    for text in ["ftp://example.org", "/only/a/path", "example.org"] {
        let error = Target::of(&uri(text)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{text}");
    }
}

#[tokio::test]
async fn plain_streams_connect() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let dialer = SystemDialer::new(DialConfig::default()).unwrap();
    let address = listener.local_addr().unwrap();
    let uri = uri(&format!("ws://{address}/ws/market"));
    let (stream, accepted) = tokio::join!(dialer.dial(&uri), listener.accept());
    stream.unwrap().write_all(b"ping").await.unwrap();
    let mut bytes = [0; 4];
    accepted.unwrap().0.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"ping");
}

#[tokio::test]
async fn a_refused_connection_is_an_error() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let dialer = SystemDialer::new(DialConfig::default()).unwrap();
    let result = dialer.dial(&uri(&format!("http://{address}"))).await;
    let error = result.err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn tls_speaks_to_a_trusted_certificate() {
    let (address, server) = tls_echo().await;
    let dialer = SystemDialer::with_roots(DialConfig::default(), &[certificate()]).unwrap();
    let mut stream = dialer
        .dial(&uri(&format!("wss://{address}/ws")))
        .await
        .unwrap();
    stream.write_all(b"ping").await.unwrap();
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"ping");
    server.await.unwrap().unwrap();
}

#[tokio::test]
async fn tls_refuses_an_unknown_certificate_and_sends_nothing() {
    let (address, server) = tls_echo().await;
    let dialer = SystemDialer::new(DialConfig::default()).unwrap();
    let result = dialer.dial(&uri(&format!("https://{address}"))).await;
    assert_eq!(result.err().unwrap().kind(), io::ErrorKind::InvalidData);
    assert!(server.await.unwrap().is_err());
}

#[tokio::test]
async fn tls_refuses_a_certificate_for_another_name() {
    let (address, server) = tls_echo().await;
    let dialer = SystemDialer::with_roots(DialConfig::default(), &[certificate()]).unwrap();
    // 127.0.0.2 is the same machine, and not in the certificate.
    let other = uri(&format!("https://127.0.0.2:{}", address.port()));
    let error = dialer.dial(&other).await.err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
    assert!(server.await.unwrap().is_err());
}

#[tokio::test]
async fn a_stalled_handshake_ends_at_its_deadline() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let dialer = SystemDialer::new(DialConfig {
        handshake_deadline: Duration::from_millis(50),
        ..DialConfig::default()
    })
    .unwrap();
    // The kernel accepts; nobody ever answers.
    let result = dialer.dial(&uri(&format!("https://{address}"))).await;
    assert_eq!(result.err().unwrap().kind(), io::ErrorKind::TimedOut);
}
