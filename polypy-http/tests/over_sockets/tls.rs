//! TLS towards clients. `testdata` holds two self-signed certificates for `localhost` and
//! their keys, made for these tests and trusted by nothing else.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::common::*;
use polypy_core::Component;
use polypy_http::{Access, HttpConfig, HttpServer, Tls, TlsError};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const FIRST: (&[u8], &[u8]) = (
    include_bytes!("../testdata/first.crt.pem"),
    include_bytes!("../testdata/first.key.pem"),
);
const SECOND: (&[u8], &[u8]) = (
    include_bytes!("../testdata/second.crt.pem"),
    include_bytes!("../testdata/second.key.pem"),
);
const TOKEN: &str = "correct-horse-battery";

async fn encrypted(config: HttpConfig) -> (HttpServer, SocketAddr, Arc<Tls>) {
    let tls = Arc::new(Tls::new(FIRST.0, FIRST.1).unwrap());
    let server = HttpServer::builder(config, sources(&Probe::healthy()))
        .tls(Arc::clone(&tls))
        .access(Arc::new(Access::new(TOKEN).unwrap()))
        .build();
    server.start().await.unwrap();
    let address = server.local_addr().unwrap();
    (server, address, tls)
}

/// Sends a request to a server that must have this certificate.
async fn ask(address: SocketAddr, certificate: &[u8], request: &str) -> io::Result<String> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(certificate).unwrap();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(name, stream).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

const HEALTH: &str = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn requests_are_answered_over_tls_and_plain_ones_are_not() {
    let (server, address, _) = encrypted(config()).await;
    let answer = ask(address, FIRST.0, HEALTH).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    // A whole target may say what it came over.
    let whole = HEALTH.replace("/health", "https://localhost/health");
    let answer = ask(address, FIRST.0, &whole).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    // The cookie of a session does not leave over plain HTTP.
    let body = format!("{{\"token\":\"{TOKEN}\"}}");
    let login = format!(
        "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    let answer = ask(address, FIRST.0, &login).await.unwrap();
    assert!(answer.contains("SameSite=Strict; Secure"), "{answer}");

    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(HEALTH.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // An alert of TLS, and a close or a reset.
    drop(plain.read_to_end(&mut answer).await);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_certificate_is_replaced_and_a_bad_one_is_not_taken() {
    let (server, address, tls) = encrypted(config()).await;
    assert!(ask(address, SECOND.0, HEALTH).await.is_err());
    for (certificates, key) in [
        (SECOND.0, FIRST.1),
        (b"nothing".as_slice(), SECOND.1),
        (SECOND.0, b"nothing"),
        (SECOND.1, SECOND.0),
    ] {
        assert!(tls.replace(certificates, key).is_err());
        assert!(ask(address, FIRST.0, HEALTH).await.is_ok());
    }
    tls.replace(SECOND.0, SECOND.1).unwrap();
    assert!(ask(address, SECOND.0, HEALTH).await.is_ok());
    assert!(ask(address, FIRST.0, HEALTH).await.is_err());
    let error = Tls::new(b"", FIRST.1).unwrap_err();
    assert!(matches!(error, TlsError::NoCertificate), "{error}");
    server.stop().await;
}

#[tokio::test]
async fn clients_that_never_finish_their_handshake_keep_no_probe_waiting() {
    let few = HttpConfig {
        max_connections: 1,
        reserved_connections: 2,
        ..config()
    };
    let (server, address, _) = encrypted(few).await;
    let mut silent = Vec::new();
    for _ in 0..10 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let asked = tokio::time::Instant::now();
    let answer = ask(address, FIRST.0, HEALTH).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(asked.elapsed() < std::time::Duration::from_secs(2));
    server.stop().await;
}
