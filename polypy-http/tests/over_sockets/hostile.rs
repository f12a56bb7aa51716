//! Clients that are slow, wrong, or too many.

use std::sync::Arc;
use std::time::Duration;

use crate::common::*;
use polypy_core::{Component, StatsSource};
use polypy_http::{HttpConfig, Sources};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep};

/// Sends bytes, expects one refusal, and the connection closed after it.
async fn refused(request: &[u8], status: u16) {
    let (server, address) = full().await;
    let text = raw(address, request).await;
    let answers = Answer::all(&text);
    assert_eq!(answers.len(), 1, "{text}");
    assert_eq!(answers[0].status, status, "{text}");
    server.stop().await;
}

#[tokio::test]
async fn the_host_header_must_be_there_once_and_be_a_host() {
    for (headers, status) in [
        ("", 400),
        ("Host: a\r\nHost: b\r\n", 400),
        ("Host: a\r\nHost: a\r\n", 400),
        ("Host: a b\r\n", 400),
        ("Host: user@a\r\n", 400),
        ("Host: a/b\r\n", 400),
        ("Host: x:abc\r\n", 400),
        ("Host: x:99999\r\n", 400),
        ("Host: evil.example\r\n", 421),
        ("Host: evil.example:8080\r\n", 421),
        ("Host: 127.0.0.1.evil.example\r\n", 421),
        ("Host: polypy.monitoring.svc.cluster.local:8080\r\n", 200),
        ("Host: here:8080\r\n", 200),
        ("Host: [::1]:8080\r\n", 200),
        ("Host:\r\n", 200),
    ] {
        let request = format!("GET /health HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
        refused(request.as_bytes(), status).await;
    }
    refused(b"GET /health HTTP/1.0\r\n\r\n", 200).await;
    refused(
        b"GET http://here/health HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n",
        200,
    )
    .await;
}

#[tokio::test]
async fn a_target_is_a_path_or_a_whole_http_one() {
    for (target, status) in [
        ("ftp://here/health", 400),
        ("https://here/health", 400),
        ("http://user@here/health", 400),
        ("http://here:x/health", 400),
        // The name in the target counts, whatever the header says.
        ("http://evil.example/health", 421),
        ("/health#part", 400),
        ("/health?a#part", 400),
        ("http://here/health?a=1", 200),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
        refused(request.as_bytes(), status).await;
    }
}

#[tokio::test]
async fn http2_without_being_asked_is_505() {
    let settings = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    refused(settings, 505).await;
}

#[tokio::test]
async fn names_that_the_configuration_lists_are_answered() {
    let listed = HttpConfig {
        allowed_hosts: vec!["polypy.example.org".to_owned()],
        ..config()
    };
    let (server, address) = started(listed, sources(&Probe::healthy())).await;
    for (host, status) in [("polypy.example.org:443", 200), ("other.example.org", 421)] {
        let request = format!("GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = Answer::all(&raw(address, request.as_bytes()).await).remove(0);
        assert_eq!(answer.status, status, "{host}");
        if status == 421 {
            let body = answer.json();
            assert_eq!(body["host"], host);
            assert!(
                body["error"]
                    .as_str()
                    .unwrap()
                    .contains("http.allowed_hosts")
            );
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn an_expectation_that_cannot_be_met_is_417() {
    for (expect, status) in [("100-continue", 200), ("100-Continue", 200), ("junk", 417)] {
        let request = format!(
            "GET /health HTTP/1.1\r\nHost: here\r\nExpect: {expect}\r\nConnection: close\r\n\r\n"
        );
        refused(request.as_bytes(), status).await;
    }
}

#[tokio::test]
async fn bytes_behind_a_closing_answer_do_not_destroy_it() {
    let (server, address) = full().await;
    for _ in 0..20 {
        let mut client = TcpStream::connect(address).await.unwrap();
        let closing = "GET /health HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";
        client.write_all(closing.as_bytes()).await.unwrap();
        // More than is read with the request, and sent while it is answered.
        client.write_all(&[b'x'; 100_000]).await.unwrap();
        let text = read_all(client).await;
        assert_eq!(Answer::all(&text)[0].status, 200);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_missing_host_is_refused_and_the_connection_closed() {
    // Without `Connection: close`: the server closes by itself.
    refused(b"GET /health HTTP/1.1\r\n\r\n", 400).await;
}

#[tokio::test]
async fn a_long_target_is_414_and_a_long_head_431() {
    let long = format!(
        "GET /health?{} HTTP/1.1\r\nHost: here\r\n\r\n",
        "x".repeat(8 * 1024)
    );
    refused(long.as_bytes(), 414).await;
    let head = format!(
        "GET /health HTTP/1.1\r\nHost: here\r\nX-Padding: {}\r\n\r\n",
        "x".repeat(40 * 1024)
    );
    refused(head.as_bytes(), 431).await;
    let headers = "X-One: 1\r\n".repeat(150);
    let many = format!("GET /health HTTP/1.1\r\nHost: here\r\n{headers}\r\n");
    refused(many.as_bytes(), 431).await;
}

#[tokio::test]
async fn bodies_are_refused_unread_and_the_connection_closed() {
    for framing in [
        "Content-Length: 5\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        // Announced, and never sent.
        "Content-Length: 1000000\r\n\r\n",
        "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n",
        // What follows a body that is not read is never taken for a request.
        "Content-Length: 40\r\n\r\nGET /stats HTTP/1.1\r\nHost: here\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let request = format!("GET /health HTTP/1.1\r\nHost: here\r\n{framing}");
        refused(request.as_bytes(), 413).await;
    }
    refused(
        b"POST /health HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\n{}",
        405,
    )
    .await;
    refused(
        b"GET /health HTTP/1.1\r\nHost: here\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        200,
    )
    .await;
}

#[tokio::test]
async fn a_large_refused_body_does_not_destroy_the_answer() {
    let (server, address) = full().await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client
        .write_all(b"GET /health HTTP/1.1\r\nHost: here\r\nContent-Length: 131072\r\n\r\n")
        .await
        .unwrap();
    // All of it is sent before the answer is read.
    client.write_all(&[b'x'; 131_072]).await.unwrap();
    client.shutdown().await.unwrap();
    let text = read_all(client).await;
    assert_eq!(Answer::all(&text)[0].status, 413, "{text}");
    server.stop().await;
}

#[tokio::test]
async fn ambiguous_framing_is_refused() {
    for headers in [
        "Content-Length: 2\r\nContent-Length: 3\r\n",
        "Content-Length: +2\r\n",
        "Content-Length: 0x2\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "X-Folded: a\r\n b\r\n",
        "X-Nul: \0\r\n",
    ] {
        let request = format!("GET /health HTTP/1.1\r\nHost: here\r\n{headers}\r\n");
        refused(request.as_bytes(), 400).await;
    }
}

#[tokio::test]
async fn what_is_no_http_is_closed() {
    for noise in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"hello\r\n\r\n",
        b"GET /health\r\n\r\n",
    ] {
        let (server, address) = full().await;
        let text = raw(address, noise).await;
        assert!(
            text.is_empty() || text.starts_with("HTTP/1.1 400"),
            "{text}"
        );
        until(&server, |stats| stats["active_connections"] == 0).await;
        server.stop().await;
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (server, address) = full().await;
    let mut requests = String::new();
    for number in 0..200 {
        let target = if number % 2 == 0 { "/health" } else { "/stats" };
        requests +=
            &format!("GET {target} HTTP/1.1\r\nHost: here\r\nX-Request-Id: {number}\r\n\r\n");
    }
    requests += "GET / HTTP/1.1\r\nHost: here\r\nX-Request-Id: 200\r\nConnection: close\r\n\r\n";
    let text = raw(address, requests.as_bytes()).await;
    let answers = Answer::all(&text);
    assert_eq!(answers.len(), 201);
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-request-id"), Some(&*number.to_string()));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_closes_its_sending_side_gets_its_answer() {
    let (server, address) = full().await;
    for target in ["/health", "/stats"] {
        let mut client = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nHost: here\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let text = read_all(client).await;
        assert_eq!(Answer::all(&text)[0].status, 200, "{text}");
    }
    until(&server, |stats| stats["active_connections"] == 0).await;
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_sender_is_closed_at_its_deadline() {
    let (server, address) = full().await;
    let limit = server.config().header_read_timeout;
    let started = Instant::now();

    let silent = TcpStream::connect(address).await.unwrap();
    let mut dripping = TcpStream::connect(address).await.unwrap();
    for byte in KEEP_ALIVE.as_bytes().iter().take(5) {
        dripping.write_all(&[*byte]).await.unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    let text = read_all(dripping).await;
    let elapsed = started.elapsed();
    assert!(
        elapsed >= limit && elapsed < limit + Duration::from_secs(2),
        "{elapsed:?}"
    );
    assert_eq!(Answer::all(&text)[0].status, 408, "{text}");
    assert_eq!(read_all(silent).await, "", "said nothing, is told nothing");
    let stats = until(&server, |stats| stats["active_connections"] == 0).await;
    assert_eq!(stats["head_timeouts"], 2);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_after_the_idle_timeout() {
    let (server, address) = full().await;
    let limit = server.config().idle_timeout;
    let clock = HeldClock::hold();
    let mut client = TcpStream::connect(address).await.unwrap();
    assert_eq!(exchange(&mut client, KEEP_ALIVE).await.status, 200);
    // Longer than a head may take, shorter than idleness may last.
    clock.advance(limit - Duration::from_secs(5)).await;
    assert_eq!(exchange(&mut client, KEEP_ALIVE).await.status, 200);
    drop(clock);

    let started = Instant::now();
    assert_eq!(read_all(client).await, "");
    let elapsed = started.elapsed();
    assert!(
        elapsed >= limit && elapsed < limit + Duration::from_secs(2),
        "{elapsed:?}"
    );
    let stats = until(&server, |stats| stats["active_connections"] == 0).await;
    assert_eq!(stats["idle_timeouts"], 1);
    assert_eq!(stats["head_timeouts"], 0);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_closed_at_its_deadline() {
    let probe = Probe::healthy();
    // More than the system buffers for a connection.
    *probe.stats.lock() = json!({ "padding": "x".repeat(16 << 20) });
    let (server, address) = started(config(), sources(&probe)).await;
    let limit = server.config().write_timeout;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut client = socket.connect(address).await.unwrap();
    client
        .write_all(b"GET /stats HTTP/1.1\r\nHost: here\r\n\r\n")
        .await
        .unwrap();
    until(&server, |stats| stats["requests"]["/stats"]["200"] == 1).await;

    let started = Instant::now();
    // It does read, a little each second.
    let mut sips = 0;
    let mut sip = [0; 16];
    while server.stats()["active_connections"] == 1 && sips < 120 {
        client.read_exact(&mut sip).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        sips += 1;
    }
    let elapsed = started.elapsed();
    assert!(
        elapsed + Duration::from_secs(1) >= limit && elapsed < limit + Duration::from_secs(3),
        "{elapsed:?}"
    );
    assert_eq!(server.stats()["slow_readers_closed"], 1);
    server.stop().await;
}

#[tokio::test]
async fn a_fast_reader_gets_a_large_answer_whole() {
    let probe = Probe::healthy();
    *probe.stats.lock() = json!({ "padding": "x".repeat(16 << 20) });
    // A busy machine may render slowly.
    let patient = HttpConfig {
        answer_timeout: Duration::from_secs(60),
        ..config()
    };
    let (server, address) = started(patient, sources(&probe)).await;
    let answer = get(address, "/stats").await;
    assert_eq!(answer.json(), *probe.stats.lock());
    server.stop().await;
}

#[tokio::test]
async fn a_source_that_hangs_costs_statistics_and_not_health() {
    let slow = Arc::new(SlowStats::default());
    let impatient = HttpConfig {
        answer_timeout: Duration::from_millis(50),
        ..config()
    };
    let probe = Probe::healthy();
    let sources = Sources::new(probe, slow.clone(), Arc::new(FixedClock));
    let (server, address) = started(impatient, sources).await;
    // More than there are threads for it.
    for _ in 0..6 {
        let answer = get(address, "/stats").await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    assert_eq!(get(address, "/health").await.status, 200);
    slow.release();
    let mut status = 503;
    while status == 503 {
        status = get(address, "/stats").await.status;
    }
    assert_eq!(status, 200);
    server.stop().await;
}

#[tokio::test]
async fn many_clients_at_once_are_all_answered() {
    let (server, address) = full().await;
    let clients: Vec<_> = (0..64)
        .map(|_| {
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                for _ in 0..20 {
                    assert_eq!(exchange(&mut stream, KEEP_ALIVE).await.status, 200);
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let stats = until(&server, |stats| stats["active_connections"] == 0).await;
    assert_eq!(stats["requests"]["/health"]["200"], 64 * 20);
    assert_eq!(stats["accepted_connections"], 64);
    server.stop().await;
}
