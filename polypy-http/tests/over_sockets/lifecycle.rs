//! Start, stop, and what happens to connections meanwhile.

use std::sync::Arc;
use std::time::Duration;

use crate::common::*;
use polypy_core::{Component, ComponentState, StatsSource};
use polypy_http::{HttpConfig, HttpServer, Sources};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

fn slow_sources(slow: &Arc<SlowStats>) -> Sources {
    Sources::new(Probe::healthy(), slow.clone(), Arc::new(FixedClock))
}

const GET_STATS: &str = "GET /stats HTTP/1.1\r\nHost: here\r\n\r\n";

#[tokio::test]
async fn start_stop_lifecycle() {
    let server = HttpServer::new(config(), sources(&Probe::healthy()));
    assert_eq!(server.name(), "http");
    assert_eq!(server.state(), ComponentState::Stopped);
    server.start().await.unwrap();
    assert_eq!(server.state(), ComponentState::Running);
    let address = server.local_addr().unwrap();
    assert_eq!(get(address, "/health").await.status, 200);
    server.stop().await;
    assert_eq!(server.state(), ComponentState::Stopped);
    assert_eq!(server.local_addr(), None);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn start_already_running_changes_nothing() {
    let (server, address) = full().await;
    server.start().await.unwrap();
    assert_eq!(server.local_addr(), Some(address));
    assert_eq!(get(address, "/health").await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn stop_not_running_changes_nothing() {
    let server = HttpServer::new(config(), sources(&Probe::healthy()));
    server.stop().await;
    assert_eq!(server.state(), ComponentState::Stopped);
    server.start().await.unwrap();
    server.stop().await;
    server.stop().await;
    assert_eq!(server.state(), ComponentState::Stopped);
}

#[tokio::test]
async fn starts_again_after_a_stop_on_the_same_port() {
    let (server, address) = full().await;
    let fixed = HttpConfig {
        port: address.port(),
        ..config()
    };
    server.stop().await;
    let server = HttpServer::new(fixed, sources(&Probe::healthy()));
    for _ in 0..20 {
        server.start().await.unwrap();
        assert_eq!(server.local_addr(), Some(address));
        assert_eq!(get(address, "/health").await.status, 200);
        server.stop().await;
    }
    // Counters go on over restarts.
    assert_eq!(server.stats()["requests"]["/health"]["200"], 20);
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_names_address_and_remedy() {
    let holder = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = holder.local_addr().unwrap();
    let taken = HttpConfig {
        port: address.port(),
        ..config()
    };
    let server = HttpServer::new(taken, sources(&Probe::healthy()));
    let error = server.start().await.unwrap_err();
    assert_eq!(error.component(), "http");
    let text = error.to_string();
    for part in [&address.to_string(), "taken", "--http-port", "HTTP_PORT"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(server.state(), ComponentState::Stopped);

    // Nothing is left behind: once the port is free, the same server starts.
    drop(holder);
    server.start().await.unwrap();
    assert_eq!(get(address, "/health").await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_foreign_address_is_an_error_that_says_so() {
    // TEST-NET-1: no machine has it.
    let foreign = HttpConfig {
        host: [192, 0, 2, 1].into(),
        ..config()
    };
    let server = HttpServer::new(foreign, sources(&Probe::healthy()));
    let text = server.start().await.unwrap_err().to_string();
    assert!(text.contains("192.0.2.1:0"), "{text}");
    assert!(text.contains("no such address"), "{text}");
}

#[tokio::test]
async fn listens_on_ipv6_where_there_is_one() {
    let local = HttpConfig {
        host: std::net::Ipv6Addr::LOCALHOST.into(),
        ..config()
    };
    let server = HttpServer::new(local, sources(&Probe::healthy()));
    match server.start().await {
        Ok(()) => {
            let address = server.local_addr().unwrap();
            assert!(address.is_ipv6());
            assert_eq!(get(address, "/health").await.status, 200);
            server.stop().await;
        }
        // A machine without IPv6 says so in words.
        Err(error) => assert!(error.to_string().contains("[::1]:0"), "{error}"),
    }
}

#[tokio::test]
async fn stop_closes_idle_and_silent_connections_at_once() {
    let (server, address) = full().await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    assert_eq!(exchange(&mut idle, KEEP_ALIVE).await.status, 200);
    let silent = TcpStream::connect(address).await.unwrap();
    until(&server, |stats| stats["active_connections"] == 2).await;

    let started = Instant::now();
    server.stop().await;
    // Far below every deadline of the server.
    assert!(started.elapsed() < Duration::from_secs(1));
    assert_eq!(read_all(idle).await, "");
    assert_eq!(read_all(silent).await, "");
    let stats = server.stats();
    assert_eq!(stats["active_connections"], 0);
    assert_eq!(stats["drained_connections"], 0);
    assert_eq!(stats["aborted_connections"], 0);
}

#[tokio::test]
async fn stop_lets_a_request_in_flight_finish() {
    let slow = Arc::new(SlowStats::default());
    let (server, address) = started(config(), slow_sources(&slow)).await;
    let server = Arc::new(server);
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(GET_STATS.as_bytes()).await.unwrap();
    slow.entered().await;

    let stopping = tokio::spawn({
        let server = Arc::clone(&server);
        async move { server.stop().await }
    });
    while server.state() != ComponentState::Stopping {
        tokio::task::yield_now().await;
    }
    // Nobody new gets in; a second stop changes nothing.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    server.stop().await;
    server.start().await.unwrap();
    assert_eq!(server.state(), ComponentState::Stopping);

    slow.release();
    let text = read_all(client).await;
    let answer = &Answer::all(&text)[0];
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(answer.json()["slow"], true);
    stopping.await.unwrap();
    assert_eq!(server.state(), ComponentState::Stopped);
    assert_eq!(server.stats()["drained_connections"], 1);
    assert_eq!(server.stats()["aborted_connections"], 0);
}

#[tokio::test]
async fn stop_lets_a_half_sent_request_arrive() {
    let (server, address) = full().await;
    let server = Arc::new(server);
    // One that was never used before, one that was kept alive.
    let fresh = TcpStream::connect(address).await.unwrap();
    let mut kept = TcpStream::connect(address).await.unwrap();
    assert_eq!(exchange(&mut kept, KEEP_ALIVE).await.status, 200);
    let mut clients = [fresh, kept];
    let (first, second) = KEEP_ALIVE.split_at(20);
    until(&server, |stats| stats["active_connections"] == 2).await;
    // The server is told to stop before it has seen these bytes.
    for client in &mut clients {
        client.write_all(first.as_bytes()).await.unwrap();
    }
    let stopping = tokio::spawn({
        let server = Arc::clone(&server);
        async move { server.stop().await }
    });
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    for mut client in clients {
        client.write_all(second.as_bytes()).await.unwrap();
        let text = read_all(client).await;
        let answer = &Answer::all(&text)[0];
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("connection"), Some("close"));
    }
    stopping.await.unwrap();
    assert_eq!(server.stats()["drained_connections"], 2);
}

#[tokio::test]
async fn stop_lets_an_answer_under_way_be_read_and_closes_after_it() {
    let probe = Probe::healthy();
    // More than the system buffers for a connection.
    *probe.stats.lock() = serde_json::json!({ "padding": "x".repeat(16 << 20) });
    // A busy machine may read slowly.
    let patient = HttpConfig {
        drain_deadline: Duration::from_secs(60),
        ..config()
    };
    let (server, address) = started(patient, sources(&probe)).await;
    let server = Arc::new(server);
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(GET_STATS.as_bytes()).await.unwrap();
    // Its head is written, without `Connection: close`, before the stop.
    let mut start = [0; 64];
    client.read_exact(&mut start).await.unwrap();
    let stopping = tokio::spawn({
        let server = Arc::clone(&server);
        async move { server.stop().await }
    });
    while server.state() != ComponentState::Stopping {
        tokio::task::yield_now().await;
    }
    let rest = read_all(client).await;
    assert!(rest.ends_with("x\"}\n"));
    assert!(rest.len() > 16 << 20);
    stopping.await.unwrap();
    assert_eq!(server.stats()["drained_connections"], 1);
    assert_eq!(server.stats()["aborted_connections"], 0);
}

#[tokio::test]
async fn stop_cuts_off_what_outlives_the_deadline() {
    let slow = Arc::new(SlowStats::default());
    let impatient = HttpConfig {
        drain_deadline: Duration::from_millis(50),
        ..config()
    };
    let (server, address) = started(impatient, slow_sources(&slow)).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(GET_STATS.as_bytes()).await.unwrap();
    slow.entered().await;

    let started = Instant::now();
    server.stop().await;
    assert!(started.elapsed() >= Duration::from_millis(50));
    assert_eq!(server.state(), ComponentState::Stopped);
    assert_eq!(server.stats()["aborted_connections"], 1);
    assert_eq!(server.stats()["active_connections"], 0);
    assert_eq!(read_all(client).await, "");
    slow.release();
}

#[tokio::test]
async fn a_stop_that_is_dropped_half_way_leaves_no_task_behind() {
    let slow = Arc::new(SlowStats::default());
    let (server, address) = started(config(), slow_sources(&slow)).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(GET_STATS.as_bytes()).await.unwrap();
    slow.entered().await;

    let cut = tokio::time::timeout(Duration::from_millis(20), server.stop()).await;
    assert!(cut.is_err());
    assert_eq!(server.state(), ComponentState::Stopped);
    assert_eq!(read_all(client).await, "");
    until(&server, |stats| stats["active_connections"] == 0).await;
    slow.release();
    server.start().await.unwrap();
    let address = server.local_addr().unwrap();
    assert_eq!(get(address, "/stats").await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn dropping_the_server_closes_everything() {
    let (server, address) = full().await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    assert_eq!(exchange(&mut idle, KEEP_ALIVE).await.status, 200);
    drop(server);
    assert_eq!(idle.read(&mut [0; 8]).await.unwrap(), 0);
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn fifty_requests_in_flight_all_finish_at_stop() {
    let slow = Arc::new(SlowStats::default());
    let (server, address) = started(config(), slow_sources(&slow)).await;
    let clients: Vec<_> = (0..50)
        .map(|_| tokio::spawn(async move { get(address, "/stats").await }))
        .collect();
    slow.entered().await;
    until(&server, |stats| stats["active_connections"] == 50).await;
    let server = Arc::new(server);
    let stopping = tokio::spawn({
        let server = Arc::clone(&server);
        async move { server.stop().await }
    });
    while server.state() != ComponentState::Stopping {
        tokio::task::yield_now().await;
    }
    slow.release();
    for client in clients {
        assert_eq!(client.await.unwrap().status, 200);
    }
    stopping.await.unwrap();
    assert_eq!(server.stats()["aborted_connections"], 0);
}

#[tokio::test]
async fn clients_that_are_sent_away_are_answered_and_their_connections_closed() {
    let (server, address) = full().await;
    let mut kept = TcpStream::connect(address).await.unwrap();
    let answer = exchange(&mut kept, KEEP_ALIVE).await;
    assert_eq!(answer.header("connection"), None);
    server.send_clients_away();
    let answer = exchange(&mut kept, KEEP_ALIVE).await;
    assert_eq!(
        (answer.status, answer.header("connection")),
        (200, Some("close"))
    );
    assert_eq!(read_all(kept).await, "");
    // Who comes all the same is served.
    assert_eq!(get(address, "/health").await.status, 200);
    server.stop().await;
    // The next life begins without it.
    server.start().await.unwrap();
    let mut kept = TcpStream::connect(server.local_addr().unwrap())
        .await
        .unwrap();
    assert_eq!(
        exchange(&mut kept, KEEP_ALIVE).await.header("connection"),
        None
    );
    server.stop().await;
}
