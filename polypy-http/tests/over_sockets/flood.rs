//! More clients than there are places, and answers that nobody reads.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::common::*;
use polypy_core::{Component, StatsSource};
use polypy_http::{HttpConfig, HttpServer, Sources};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

const MARKETS: &str = "GET /markets HTTP/1.1\r\nHost: here\r\n\r\n";

fn small(places: usize, of_peer: usize, reserved: usize) -> HttpConfig {
    HttpConfig {
        max_connections: places,
        max_connections_per_peer: of_peer,
        reserved_connections: reserved,
        ..config()
    }
}

/// Connects from one of the addresses of the loopback network.
async fn connect_from(last: u8, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, last], 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

/// Takes every place with connections that asked once and stay.
async fn fill(server: &HttpServer, address: SocketAddr, number: usize) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for _ in 0..number {
        let mut client = TcpStream::connect(address).await.unwrap();
        assert_eq!(exchange(&mut client, KEEP_ALIVE).await.status, 200);
        held.push(client);
    }
    until(server, |stats| stats["active_connections"] == number).await;
    held
}

#[tokio::test]
async fn past_the_cap_probes_are_answered_and_everyone_else_told_503() {
    let (server, address) = started(small(2, 2, 4), sources(&Probe::healthy())).await;
    let mut held = fill(&server, address, 2).await;
    for _ in 0..20 {
        let probe = exchange(&mut connect_from(9, address).await, KEEP_ALIVE).await;
        assert_eq!(probe.status, 200);
        assert_eq!(probe.header("connection"), Some("close"));
    }
    for target in ["/", "/stats", "/markets", "/nowhere"] {
        let refused = get(address, target).await;
        assert_eq!(refused.status, 503, "{target}");
        assert_eq!(refused.header("retry-after"), Some("1"));
        assert_eq!(refused.header("connection"), Some("close"));
        assert_eq!(refused.json()["error"], "too many connections");
    }
    assert_eq!(server.stats()["rejected_connections"], 24);

    // Those inside are served on, and a place that becomes free is given out.
    assert_eq!(exchange(&mut held[0], KEEP_ALIVE).await.status, 200);
    held.pop();
    until(&server, |stats| stats["active_connections"] == 1).await;
    assert_eq!(get(address, "/stats").await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn one_address_cannot_take_the_places_of_others() {
    let (server, address) = started(small(8, 3, 4), sources(&Probe::healthy())).await;
    let _held = fill(&server, address, 3).await;
    let refused = get(address, "/stats").await;
    assert_eq!(refused.status, 503);
    assert_eq!(
        refused.json()["error"],
        "too many connections from your address"
    );
    assert_eq!(get(address, "/health").await.status, 200);
    let mut other = connect_from(9, address).await;
    let stats = "GET /stats HTTP/1.1\r\nHost: here\r\n\r\n";
    for _ in 0..3 {
        assert_eq!(exchange(&mut other, stats).await.status, 200);
    }
    server.stop().await;
}

#[tokio::test]
async fn connections_that_say_nothing_give_way_with_an_answer() {
    let (server, address) = started(small(1, 1, 3), sources(&Probe::healthy())).await;
    let mut inside = fill(&server, address, 1).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    // Between and after them probes are heard, from the same address, too.
    for _ in 0..10 {
        assert_eq!(get(address, "/health").await.status, 200);
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    until(&server, |stats| {
        stats["rejected_connections"] == 70 && stats["evicted_connections"].as_u64() >= Some(57)
    })
    .await;
    let mut told = JoinSet::new();
    for client in silent {
        told.spawn(read_all(client));
    }
    let mut refused = 0;
    while let Some(text) = told.join_next().await {
        let text = text.unwrap();
        // The last few are closed at the end of the server's patience.
        refused += usize::from(text.starts_with("HTTP/1.1 503"));
        assert!(text.is_empty() || text.contains("retry-after: 1"), "{text}");
    }
    assert!(refused >= 57, "{refused}");
    assert_eq!(exchange(&mut inside[0], KEEP_ALIVE).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn every_client_of_a_flood_is_answered() {
    let (server, address) = started(small(1, 1, 8), sources(&Probe::healthy())).await;
    let _inside = fill(&server, address, 1).await;
    let mut flood = JoinSet::new();
    for number in 0..300 {
        flood.spawn(async move {
            let target = ["/health", "/stats"][number % 2];
            (target, get(address, target).await.status)
        });
    }
    while let Some(answer) = flood.join_next().await {
        let expected = |target| if target == "/health" { 200 } else { 503 };
        let (target, status) = answer.unwrap();
        assert!(status == expected(target) || status == 503, "{target}");
    }
    assert_eq!(server.stats()["rejected_connections"], 300);
    server.stop().await;
}

#[tokio::test]
async fn clients_that_do_not_read_share_one_list() {
    let sources = sources(&Probe::healthy()).with_markets(markets(5_000));
    // A busy machine may render slowly.
    let patient = HttpConfig {
        answer_timeout: Duration::from_secs(60),
        ..config()
    };
    let (server, address) = started(patient, sources).await;
    let mut silent = Vec::new();
    for number in 0..100 {
        let mut client = connect_from(1 + number % 4, address).await;
        client.write_all(MARKETS.as_bytes()).await.unwrap();
        silent.push(client);
    }
    let stats = until(&server, |stats| stats["requests"]["/markets"]["200"] == 100).await;
    let length = get(address, "/markets").await.body.len();
    let held = usize::try_from(stats["answer_memory_bytes"].as_u64().unwrap()).unwrap();
    assert!(length > 1 << 20, "{length}");
    assert!(held < length + (1 << 18), "{held} for a list of {length}");
    // And all of them get it whole.
    let mut reading = JoinSet::new();
    for mut client in silent {
        reading.spawn(async move {
            client.shutdown().await.unwrap();
            Answer::all(&read_all(client).await)[0].body.len()
        });
    }
    while let Some(read) = reading.join_next().await {
        assert_eq!(read.unwrap(), length);
    }
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_held_is_refused_and_what_is_small_is_not() {
    let probe = Probe::healthy();
    *probe.stats.lock() = serde_json::json!({ "padding": "x".repeat(3 << 20) });
    let tight = HttpConfig {
        answer_memory: 8 << 20,
        ..config()
    };
    let (server, address) = started(tight, sources(&probe)).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = TcpStream::connect(address).await.unwrap();
        client
            .write_all(b"GET /stats HTTP/1.1\r\nHost: here\r\n\r\n")
            .await
            .unwrap();
        held.push(client);
    }
    until(&server, |stats| stats["requests"]["/stats"]["200"] == 2).await;
    let refused = get(address, "/stats").await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(get(address, "/health").await.status, 200);
    drop(held);
    until(&server, |stats| stats["answer_memory_bytes"] == 0).await;
    assert_eq!(get(address, "/stats").await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_list_that_is_being_made_keeps_nothing_else_waiting() {
    let slow = Arc::new(SlowStats::default());
    let sources =
        Sources::new(Probe::healthy(), slow.clone(), Arc::new(FixedClock)).with_markets(markets(3));
    let (server, address) = started(config(), sources).await;
    let mut waiting = JoinSet::new();
    // As many as compute, as may wait behind them, and more.
    for number in 0..100 {
        let mut client = connect_from(1 + number % 4, address).await;
        waiting.spawn(async move {
            let request = "GET /stats HTTP/1.1\r\nHost: here\r\n\r\n";
            exchange(&mut client, request).await.status
        });
    }
    for _ in 0..4 {
        slow.entered().await;
    }
    assert_eq!(get(address, "/markets").await.status, 200);
    assert_eq!(get(address, "/health").await.status, 200);
    slow.release();
    while let Some(status) = waiting.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_and_steady_reader_gets_its_whole_list() {
    let sources = sources(&Probe::healthy()).with_markets(markets(20_000));
    let (server, address) = started(config(), sources).await;
    let clock = HeldClock::hold();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    let mut client = socket.connect(address).await.unwrap();
    client.write_all(MARKETS.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let started = tokio::time::Instant::now();
    let mut text = Vec::new();
    let mut lump = vec![0; 20_000];
    loop {
        match client.read(&mut lump).await.unwrap() {
            0 => break,
            read => text.extend_from_slice(&lump[..read]),
        }
        clock.advance(Duration::from_secs(1)).await;
    }
    drop(clock);
    let answer = Answer::all(std::str::from_utf8(&text).unwrap()).remove(0);
    let length = answer.header("content-length").unwrap();
    assert_eq!(answer.body.len().to_string(), length);
    assert!(started.elapsed() > server.config().write_timeout * 4);
    assert_eq!(server.stats()["slow_readers_closed"], 0);
    server.stop().await;
}
