//! The real dialer against sockets of its own.
//!
//! `testdata` holds a self-signed certificate for `localhost`, another one of the same key that
//! signs others, and the key: made for these tests and trusted by nothing else.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

const CERTIFICATE: &[u8] = include_bytes!("testdata/localhost.crt.der");
/// As `openssl req -x509` makes it without being told otherwise.
const AUTHORITY: &[u8] = include_bytes!("testdata/authority.crt.der");
const KEY: &[u8] = include_bytes!("testdata/localhost.key.der");

fn certificate() -> CertificateDer<'static> {
    CertificateDer::from(CERTIFICATE)
}

fn uri(text: &str) -> Uri {
    text.parse().unwrap()
}

/// A TLS server for one connection that echoes four bytes; its address.
async fn tls_echo() -> (SocketAddr, tokio::task::JoinHandle<io::Result<()>>) {
    tls_echo_as(certificate()).await
}

/// The same with a certificate of its own.
async fn tls_echo_as(
    own: CertificateDer<'static>,
) -> (SocketAddr, tokio::task::JoinHandle<io::Result<()>>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own], PrivateKeyDer::try_from(KEY).unwrap())
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

fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn the_families_take_turns_in_the_systems_order() {
    let given = addresses(&["[::1]:1", "[::2]:1", "1.1.1.1:1", "2.2.2.2:1", "3.3.3.3:1"]);
    let tried = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "3.3.3.3:1"]);
    assert_eq!(alternating(given), tried);
    assert_eq!(alternating(Vec::new()), Vec::new());
}

/// What becomes of an attempt, by the address's port: milliseconds until it
/// answers, with a failure if they are odd. Who has been tried when, and what
/// came of it.
async fn race(ports: &[u16]) -> (Vec<(u16, u64)>, io::Result<u16>, u64) {
    let begun = tokio::time::Instant::now();
    let since = move || u64::try_from(begun.elapsed().as_millis()).unwrap();
    let tried = parking_lot::Mutex::new(Vec::new());
    let given = ports
        .iter()
        .map(|port| SocketAddr::from(([127, 0, 0, 1], *port)));
    let attempt = |to: SocketAddr| {
        tried.lock().push((to.port(), since()));
        async move {
            sleep(Duration::from_millis(to.port().into())).await;
            if to.port() % 2 == 1 {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            Ok(to.port())
        }
    };
    let answer = first_to_answer(given.collect(), Duration::from_millis(250), attempt).await;
    (tried.into_inner(), answer, since())
}

#[tokio::test(start_paused = true)]
async fn addresses_are_tried_one_shortly_after_the_other() {
    // One that answers at once leaves the others alone.
    let (tried, answer, took) = race(&[20, 30]).await;
    assert_eq!((tried, answer.unwrap(), took), (vec![(20, 0)], 20, 20));
    // Black holes cost a quarter of a second each, and not their deadline.
    let (tried, answer, took) = race(&[10_000, 20_000, 30]).await;
    let expected = vec![(10_000, 0), (20_000, 250), (30, 500)];
    assert_eq!((tried, answer.unwrap(), took), (expected, 30, 530));
    // One that is slow still wins if it answers first.
    let (_, answer, took) = race(&[400, 20_000]).await;
    assert_eq!((answer.unwrap(), took), (400, 400));
    // A refusal is not waited out.
    let (tried, answer, _) = race(&[1, 3, 30]).await;
    assert_eq!(tried, [(1, 0), (3, 1), (30, 4)]);
    assert_eq!(answer.unwrap(), 30);
}

#[tokio::test(start_paused = true)]
async fn an_error_names_the_addresses_and_what_became_of_each() {
    let (_, answer, _) = race(&[1, 3]).await;
    let error = answer.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    let text = "127.0.0.1:1: connection refused, 127.0.0.1:3: connection refused";
    assert_eq!(error.to_string(), text);
    let (_, answer, _) = race(&[]).await;
    assert_eq!(answer.unwrap_err().to_string(), "name has no address");
    let (_, answer, _) = race(&[1; 20]).await;
    assert_eq!(
        answer.unwrap_err().to_string().matches("refused").count(),
        4
    );
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
    assert!(error.to_string().contains(&address.to_string()), "{error}");
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
    let error = result.err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let words = "the certificate is vouched for by nobody who is trusted here";
    assert_eq!(error.to_string(), words);
    assert!(server.await.unwrap().is_err());
}

#[tokio::test]
async fn of_a_servers_certificate_that_signs_others_it_is_said_what_to_make() {
    let authority = CertificateDer::from(AUTHORITY);
    let (address, server) = tls_echo_as(authority.clone()).await;
    let dialer = SystemDialer::with_roots(DialConfig::default(), &[authority]).unwrap();
    let result = dialer.dial(&uri(&format!("https://{address}"))).await;
    let error = result.err().unwrap().to_string();
    assert!(
        error.contains("basicConstraints=CA:FALSE"),
        "the remedy: {error}"
    );
    assert!(server.await.unwrap().is_err());
}

#[tokio::test]
async fn one_that_speaks_no_tls_is_said_to() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        stream
    });
    let dialer = SystemDialer::new(DialConfig::default()).unwrap();
    let result = dialer.dial(&uri(&format!("https://{address}"))).await;
    let error = result.err().unwrap().to_string();
    assert_eq!(error, "what answers there speaks no TLS");
    drop(server.await);
}

#[tokio::test]
async fn tls_refuses_a_certificate_for_another_name() {
    let (address, server) = tls_echo().await;
    let dialer = SystemDialer::with_roots(DialConfig::default(), &[certificate()]).unwrap();
    // 127.0.0.2 is the same machine, and not in the certificate.
    let other = uri(&format!("https://127.0.0.2:{}", address.port()));
    let error = dialer.dial(&other).await.err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
    assert_eq!(error.to_string(), "the certificate is for another name");
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

/// A proxy for one client, which answers with `status`, and leads to `server` if that is
/// 200. The head that it was sent.
async fn proxy_of(
    server: SocketAddr,
    status: &'static str,
) -> (SocketAddr, tokio::task::JoinHandle<io::Result<String>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await?);
        }
        client
            .write_all(format!("HTTP/1.1 {status}\r\nVia: x\r\n\r\n").as_bytes())
            .await?;
        if status.starts_with('2') {
            let mut server = TcpStream::connect(server).await?;
            tokio::io::copy_bidirectional(&mut client, &mut server).await?;
        }
        Ok(String::from_utf8(head).unwrap())
    });
    (address, task)
}

fn by(proxy: SocketAddr, except: &[&str]) -> SystemDialer {
    let except: Vec<_> = except.iter().map(|name| (*name).to_owned()).collect();
    let config = DialConfig {
        proxy: Some(Proxy::new(&format!("http://user:word@{proxy}"), &except).unwrap()),
        ..DialConfig::default()
    };
    SystemDialer::with_roots(config, &[certificate()]).unwrap()
}

#[tokio::test]
async fn tls_goes_through_the_proxy_to_the_name_that_was_asked_for() {
    let (server, _) = tls_echo().await;
    let (proxy, sent) = proxy_of(server, "200 Connection established").await;
    // Nobody looks the name up here: it is the proxy's to know.
    let target = uri(&format!("wss://localhost:{}/ws", server.port()));
    let mut stream = by(proxy, &[]).dial(&target).await.unwrap();
    stream.write_all(b"ping").await.unwrap();
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"ping");
    drop(stream);
    let head = sent.await.unwrap().unwrap();
    let place = format!("localhost:{}", server.port());
    assert!(
        head.starts_with(&format!("CONNECT {place} HTTP/1.1\r\n")),
        "{head}"
    );
    assert!(
        head.contains("Proxy-Authorization: Basic dXNlcjp3b3Jk\r\n"),
        "{head}"
    );
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_with_its_reason() {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let (proxy, _sent) = proxy_of(nowhere, "407 Proxy Authentication Required").await;
    let result = by(proxy, &[]).dial(&uri("https://localhost:9/")).await;
    let error = result.err().unwrap().to_string();
    assert!(error.contains(&proxy.to_string()), "{error}");
    assert!(
        error.contains("407 Proxy Authentication Required"),
        "{error}"
    );
}

#[tokio::test]
async fn exceptions_and_plain_streams_go_straight() {
    let (server, _) = tls_echo().await;
    // Nobody listens there.
    let closed = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let proxy = closed.local_addr().unwrap();
    drop(closed);
    let target = uri(&format!("https://localhost:{}/", server.port()));
    assert!(by(proxy, &[]).dial(&target).await.is_err());
    assert!(by(proxy, &["localhost"]).dial(&target).await.is_ok());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let target = uri(&format!("http://{}", listener.local_addr().unwrap()));
    assert!(by(proxy, &[]).dial(&target).await.is_ok());
}
