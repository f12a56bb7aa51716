//! `/v1/stream`.

use std::io::ErrorKind;
use std::time::Duration;

use polypy_core::{Component as _, Selector, StatsSource as _};
use polypy_http::HttpConfig;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::common::*;
use super::hub::{NOBODY, SILENCE, beat, long};
use crate::cursor::{Cursor, Instance};

/// An event as a browser sees it.
#[derive(Debug, Default, PartialEq)]
struct Event {
    name: String,
    id: Option<String>,
    retry: Option<u64>,
    data: Value,
}

/// A client that reads the stream by the rules of `EventSource`.
struct Source {
    stream: TcpStream,
    /// Read, and not yet part of an event.
    text: String,
    head: String,
}

impl Source {
    async fn open(address: std::net::SocketAddr, target: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nHost: polypy\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        Self::over(stream).await
    }

    async fn over(mut stream: TcpStream) -> Self {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let text = String::new();
        Self { stream, text, head }
    }

    /// A piece of the chunked answer; `None` at its end.
    async fn piece(&mut self) -> Option<String> {
        let mut length = Vec::new();
        while !length.ends_with(b"\r\n") {
            length.push(self.stream.read_u8().await.unwrap());
        }
        let length = String::from_utf8(length).unwrap();
        let length = usize::from_str_radix(length.trim(), 16).unwrap();
        let mut piece = vec![0; length + 2];
        self.stream.read_exact(&mut piece).await.unwrap();
        piece.truncate(length);
        (length > 0).then(|| String::from_utf8(piece).unwrap())
    }

    /// The next event; `None` when the answer ends.
    async fn next(&mut self) -> Option<Event> {
        let next = async {
            loop {
                if let Some((event, rest)) = self.text.split_once("\n\n") {
                    let event = read(event);
                    self.text = rest.to_owned();
                    return Some(event);
                }
                let piece = self.piece().await?;
                self.text.push_str(&piece);
            }
        };
        timeout(Duration::from_secs(60), next).await.unwrap()
    }

    async fn named(&mut self, name: &str) -> Event {
        loop {
            let event = self.next().await.unwrap();
            if event.name == name {
                return event;
            }
        }
    }
}

fn read(text: &str) -> Event {
    let mut event = Event::default();
    for line in text.lines() {
        match line.split_once(": ").unwrap() {
            ("event", name) => name.clone_into(&mut event.name),
            ("id", id) => event.id = Some(id.to_owned()),
            ("retry", millis) => event.retry = Some(millis.parse().unwrap()),
            ("data", data) => event.data = serde_json::from_str(data).unwrap(),
            other => panic!("{other:?}"),
        }
    }
    event
}

/// Waits until the server has seen that all clients left: a write to one fails.
async fn left(server: &Server) {
    let tried = |stats: &Value| {
        server.hub.publish(1_000, beat(0));
        stats["active_streams"] == 0
    };
    server.until(tried).await;
}

/// The answer to a request that is refused.
async fn refused(server: &Server, target: &str, headers: &str) -> (u16, Value, String) {
    let request =
        format!("GET {target} HTTP/1.1\r\nHost: polypy\r\nConnection: close\r\n{headers}\r\n");
    let text = raw(server.address, &request).await;
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    let body = text.split_once("\r\n\r\n").unwrap().1;
    (status, serde_json::from_str(body).unwrap(), text)
}

#[tokio::test]
async fn messages_come_as_events_with_their_name_and_place() {
    let server = Server::start(config()).await;
    let target = "/v1/stream?tokens=11,12&channels=book,top&mode=conflated&depth=10";
    let mut source = Source::open(server.address, target, "").await;
    for header in [
        "content-type: text/event-stream",
        "cache-control: no-cache",
        "x-accel-buffering: no",
        "transfer-encoding: chunked",
    ] {
        assert!(
            source.head.contains(&format!("{header}\r\n")),
            "{}",
            source.head
        );
    }
    assert!(!source.head.contains("content-encoding"), "{}", source.head);

    // A block of its own for the time would be an empty event to some clients.
    let hello = source.next().await.unwrap();
    assert_eq!((hello.retry, hello.name.as_str()), (Some(2_000), "hello"));
    assert_eq!(hello.data["instance"], "0000000000005f3a");
    assert_eq!(source.next().await.unwrap().name, "ready");
    server.hub.publish(7, beat(70));
    server.hub.publish(8, beat(80));
    for (place, time) in [(7, 70), (8, 80)] {
        let event = source.next().await.unwrap();
        assert_eq!(event.name, "heartbeat");
        assert_eq!(event.id, Some(format!("0000000000005f3a-{place}")));
        assert_eq!(event.data["ts_us"], time);
    }

    let (id, filter, cursor) = server.hub.asked.lock().subscribed[0].clone();
    assert_eq!((id, cursor), (0, None));
    let tokens = ["11", "12"].map(|id| Selector::Token(id.into()));
    assert_eq!(filter.selectors, tokens);
    assert_eq!(
        (filter.mode.depth, filter.mode.interval_ms()),
        (Some(10), Some(500))
    );

    // Its end is the client's.
    drop(source);
    left(&server).await;
    eventually("the hub hears that a client left", || {
        server.hub.asked.lock().closed > 0
    })
    .await;
    server.http.stop().await;
}

#[tokio::test]
async fn the_place_of_a_client_that_comes_back_outranks_the_one_in_its_address() {
    let server = Server::start(config()).await;
    let place = |instance, position| {
        Some(Cursor {
            instance: Instance(instance),
            position,
        })
    };
    let by_address = "/v1/stream?cursor=0000000000005f3a-3";
    for (target, headers, expected) in [
        ("/v1/stream", "", None),
        (by_address, "", place(0x5f3a, 3)),
        (
            by_address,
            "Last-Event-ID: 0000000000005f3a-9\r\n",
            place(0x5f3a, 9),
        ),
        (by_address, "Last-Event-ID:\r\n", place(0x5f3a, 3)),
        // A browser would never come back if this were refused.
        (
            by_address,
            "Last-Event-ID: of another server\r\n",
            place(0, 0),
        ),
        ("/v1/stream", "Last-Event-ID: \u{e9}\r\n", place(0, 0)),
    ] {
        let mut source = Source::open(server.address, target, headers).await;
        source.named("ready").await;
        let asked = server.hub.asked.lock().subscribed.pop().unwrap();
        assert_eq!(asked.2, expected, "{target} {headers}");
        drop(source);
        left(&server).await;
    }
    server.http.stop().await;
}

#[tokio::test]
async fn a_bad_parameter_is_named_with_what_would_be_right() {
    let server = Server::start(config()).await;
    for (query, parameter, part) in [
        ("token=1", "token", "this route takes tokens, markets"),
        ("tokens=1&tokens=2", "tokens", "twice"),
        ("tokens=", "tokens", "leave it out"),
        ("channels=bok", "channels", "some of book, top"),
        ("mode=fast", "mode", "every or conflated"),
        ("interval_ms=100", "interval_ms", "mode=conflated"),
        ("mode=conflated&interval_ms=1", "interval_ms", "16 to 60000"),
        ("depth=7", "depth", "1, 5, 10"),
        ("depth=x", "depth", "whole number"),
        ("cursor=x", "cursor", "not a cursor"),
    ] {
        let (status, body, text) = refused(&server, &format!("/v1/stream?{query}"), "").await;
        assert_eq!(status, 400, "{text}");
        assert_eq!(body["parameter"], parameter, "{text}");
        assert!(body["error"].as_str().unwrap().contains(part), "{text}");
    }
    let (status, body, _) = refused(&server, &format!("/v1/stream?tokens={NOBODY}"), "").await;
    assert_eq!(status, 404, "{body}");
    let tokens = vec!["7".repeat(77); 110].join(",");
    let (status, body, text) = refused(&server, &format!("/v1/stream?tokens={tokens}"), "").await;
    assert_eq!(status, 414, "{text}");
    for part in ["8192", "markets=", "/v1/ws"] {
        assert!(body["error"].as_str().unwrap().contains(part), "{text}");
    }
    // Nobody is left behind by any of them.
    eventually("the hub hears that a client left", || {
        server.hub.asked.lock().closed > 0
    })
    .await;
    assert!(server.hub.outboxes().is_empty());
    server.http.stop().await;
}

#[tokio::test]
async fn pages_of_others_too_many_clients_and_a_hub_that_is_away_are_refused() {
    let server = Server::start(config()).await;
    let (status, body, _) = refused(&server, "/v1/stream", "Origin: http://evil.example\r\n").await;
    assert_eq!(status, 403, "{body}");
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut source = Source::open(server.address, "/v1/stream", "").await;
        source.named("ready").await;
        held.push(source);
    }
    let (status, body, text) = refused(&server, "/v1/stream", "").await;
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("\r\nretry-after: 1\r\n"), "{text}");
    assert!(body["error"].as_str().unwrap().contains("http.max_streams"));

    server.hub.end();
    for source in &mut held {
        let last = source.named("closing").await;
        assert_eq!(last.data["code"], 1013);
        assert_eq!(last.data["retry_ms"].as_u64(), last.retry);
        assert!(last.retry.is_some());
        assert_eq!(source.next().await, None);
    }
    let (status, body, _) = refused(&server, "/v1/stream", "").await;
    assert_eq!(status, 503, "{body}");
    server.http.stop().await;
}

#[tokio::test]
async fn a_stop_sends_what_waits_and_says_when_to_come_back() {
    let server = Server::start(config()).await;
    let mut source = Source::open(server.address, "/v1/stream", "").await;
    source.named("ready").await;
    server.hub.publish(1, beat(10));
    let stopping = async {
        server.http.stop().await;
        // What is published from here on is for nobody.
        server.hub.publish(2, beat(20));
    };
    let reading = async {
        let mut events = Vec::new();
        while let Some(event) = source.next().await {
            events.push(event);
        }
        events
    };
    let ((), events) = tokio::join!(stopping, reading);
    let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["heartbeat", "closing"]);
    let last = &events[1];
    assert_eq!((last.data["code"].as_u64(), &last.id), (Some(1001), &None));
    assert_eq!(last.data["retry_ms"].as_u64(), last.retry);
    assert_eq!(server.http.stats()["aborted_connections"], 0);
}

#[tokio::test]
async fn a_hub_that_does_not_answer_holds_up_no_stop() {
    let server = Server::start(config()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = format!("GET /v1/stream?tokens={SILENCE} HTTP/1.1\r\nHost: polypy\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    server.hub.asked_in_vain().await;
    let ended = timeout(Duration::from_secs(30), server.http.stop()).await;
    assert!(ended.is_ok());
}

#[tokio::test]
async fn one_that_does_not_read_is_reset() {
    let impatient = HttpConfig {
        write_timeout: Duration::from_millis(200),
        send_buffer: NARROW,
        ..config()
    };
    let server = Server::start(impatient).await;
    let mut stream = narrow(server.address).await;
    let request = b"GET /v1/stream HTTP/1.1\r\nHost: polypy\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut source = Source::over(stream).await;
    source.named("ready").await;
    server.hub.publish(1, long(1_000_000));
    server.until(|stats| stats["active_streams"] == 0).await;
    assert_eq!(server.http.stats()["slow_readers_closed"], 1);
    let left = source.stream.read_to_end(&mut Vec::new()).await;
    assert_eq!(left.unwrap_err().kind(), ErrorKind::ConnectionReset);
    server.http.stop().await;
}

#[tokio::test]
async fn one_that_does_not_read_holds_up_no_stop() {
    let patient = HttpConfig {
        drain_deadline: Duration::from_secs(300),
        write_timeout: Duration::from_secs(300),
        send_buffer: NARROW,
        ..config()
    };
    let server = Server::start(patient).await;
    let mut stream = narrow(server.address).await;
    let request = b"GET /v1/stream HTTP/1.1\r\nHost: polypy\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut source = Source::over(stream).await;
    source.named("ready").await;
    server.hub.publish(1, long(1_000_000));
    eventually("what waits is taken", || {
        server.hub.outboxes()[0].queued_bytes() == 0
    })
    .await;
    let stopped = timeout(Duration::from_secs(60), server.http.stop()).await;
    assert!(stopped.is_ok(), "it is cut after a second");
    assert_eq!(server.http.stats()["aborted_connections"], 1);
    let left = source.stream.read_to_end(&mut Vec::new()).await;
    assert_eq!(left.unwrap_err().kind(), ErrorKind::ConnectionReset);
}
