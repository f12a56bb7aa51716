//! Who gets as far as a WebSocket.

use polypy_core::Component as _;
use polypy_http::HttpConfig;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Error;

use super::common::*;

const PATH: &str = "/ws/orderbook";

/// The status, the body, and the whole answer.
async fn answer(server: &Server, method: &str, headers: &str) -> (u16, Value, String) {
    let request =
        format!("{method} {PATH} HTTP/1.1\r\nHost: polypy\r\nConnection: close\r\n{headers}\r\n");
    let text = raw(server.address, &request).await;
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    let body = text.split_once("\r\n\r\n").unwrap().1;
    (status, serde_json::from_str(body).unwrap_or_default(), text)
}

#[tokio::test]
async fn what_is_no_handshake_is_told_what_is_missing() {
    let server = Server::start(config()).await;
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let version = "Sec-WebSocket-Version: 13\r\n";
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    for (method, headers, status, part) in [
        ("GET", String::new(), 426, "ws://"),
        (
            "GET",
            format!("Upgrade: h2c\r\n{key}{version}"),
            426,
            "ws://",
        ),
        (
            "GET",
            format!("{upgrade}{key}"),
            426,
            "Sec-WebSocket-Version",
        ),
        (
            "GET",
            format!("{upgrade}{key}Sec-WebSocket-Version: 8\r\n"),
            426,
            "Sec-WebSocket-Version",
        ),
        (
            "GET",
            format!("{upgrade}{version}"),
            400,
            "Sec-WebSocket-Key",
        ),
        (
            "GET",
            format!("{upgrade}{version}{key}{key}"),
            400,
            "Sec-WebSocket-Key",
        ),
        (
            "GET",
            format!("{upgrade}{version}Sec-WebSocket-Key: short\r\n"),
            400,
            "Sec-WebSocket-Key",
        ),
        ("POST", format!("{upgrade}{version}{key}"), 405, "method"),
    ] {
        let (got, body, text) = answer(&server, method, &headers).await;
        assert_eq!(got, status, "{text}");
        assert!(body["error"].as_str().unwrap().contains(part), "{text}");
        if status == 426 {
            assert!(text.contains("\r\nupgrade: websocket\r\n"), "{text}");
            assert!(text.contains("\r\nsec-websocket-version: 13\r\n"), "{text}");
        }
    }
    assert_eq!(answer(&server, "HEAD", "").await.0, 426);
    server.http.stop().await;
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_unless_they_are_listed() {
    let server = Server::start(HttpConfig {
        cors_origins: vec!["https://app.example.org".to_owned()],
        ..config()
    })
    .await;
    let own = format!("http://{}", server.address);
    for path in [PATH, "/v1/ws"] {
        for origin in [None, Some(own.as_str()), Some("https://app.example.org")] {
            let connected = Client::with_origin(server.address, path, origin).await;
            assert!(connected.is_ok(), "{origin:?}");
        }
        server.until(|stats| stats["active_streams"] == 0).await;
    }
    for (path, origin) in [
        (PATH, "http://evil.example"),
        (PATH, "null"),
        (PATH, "http://127.0.0.1"),
        ("/v1/ws", "http://evil.example"),
    ] {
        let refused = Client::with_origin(server.address, path, Some(origin)).await;
        let Err(Error::Http(answer)) = refused.map(|_| ()) else {
            panic!("{origin} is let in");
        };
        assert_eq!(answer.status(), 403, "{origin}");
        let body = String::from_utf8(answer.into_body().unwrap()).unwrap();
        assert!(body.contains("http.cors_origins"), "{body}");
    }
    server.http.stop().await;
}

#[tokio::test]
async fn past_the_cap_of_streams_there_is_no_place() {
    let server = Server::start(HttpConfig {
        max_streams: 1,
        ..config()
    })
    .await;
    let held = Client::connect(server.address, PATH).await;
    let refused = Client::with_origin(server.address, PATH, None).await;
    let Err(Error::Http(answer)) = refused.map(|_| ()) else {
        panic!("a second one is let in");
    };
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "1");
    drop(held);
    server.until(|stats| stats["active_streams"] == 0).await;
    Client::connect(server.address, PATH).await;
    server.http.stop().await;
}
