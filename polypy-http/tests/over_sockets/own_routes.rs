//! What a program adds: routes, assets, a name, streams, another protocol.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::convert::Infallible;
use std::time::Duration;

use crate::common::*;
use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::StatusCode;
use hyper::body::Frame;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use polypy_core::{Component, StatsSource};
use polypy_http::{
    Answer as Stated, Body, HttpConfig, HttpServer, Kind, Parameter, Reply, Route, RouteError,
};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

const DETAIL: &[Parameter] = &[Parameter::new(
    "detail",
    Kind::Text { most: 100 },
    "how much is told",
)];
const DEPTH: &[Parameter] = &[Parameter::new(
    "depth",
    Kind::Whole { least: 0, most: 9 },
    "how far down",
)];
const EVENTS: &str = "GET /events HTTP/1.1\r\nHost: here\r\n\r\n";
const SWITCH: &str =
    "GET /echo HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";

/// A body that sends what comes through a channel, and its last words at the stop.
fn events(call: &polypy_http::Call, source: mpsc::Receiver<&'static str>) -> Body {
    struct Events {
        source: mpsc::Receiver<&'static str>,
        stopping: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
        over: bool,
    }
    impl hyper::body::Body for Events {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            use std::task::Poll;
            if self.over {
                return Poll::Ready(None);
            }
            if let Poll::Ready(word) = self.source.poll_recv(cx) {
                return Poll::Ready(word.map(|word| Ok(Frame::data(Bytes::from(word)))));
            }
            match self.stopping.as_mut().poll(cx) {
                Poll::Ready(()) => {
                    self.over = true;
                    Poll::Ready(Some(Ok(Frame::data(Bytes::from("closing\n")))))
                }
                Poll::Pending => Poll::Pending,
            }
        }
    }
    Body::stream(Events {
        source,
        stopping: Box::pin(call.stopping()),
        over: false,
    })
}

/// A server with `/events`, the sender of its next stream, and `/echo`.
async fn serving(
    config: HttpConfig,
) -> (
    HttpServer,
    std::net::SocketAddr,
    mpsc::Receiver<mpsc::Sender<&'static str>>,
) {
    let (streams, opened) = mpsc::channel(8);
    let server = HttpServer::builder(config, sources(&Probe::healthy()))
        .route(Route::get("/events", "what happens", move |call| {
            let (sender, source) = mpsc::channel(8);
            streams.try_send(sender).unwrap();
            let content_type = HeaderValue::from_static("text/event-stream");
            Reply::stream(content_type, events(call, source))
        }))
        .unwrap()
        .route(Route::get("/echo", "says it again", |call| {
            let stopping = call.stopping();
            Reply::upgrade(HeaderValue::from_static("echo"), move |mut upgraded| {
                Box::pin(async move {
                    let mut stopping = std::pin::pin!(stopping);
                    let mut chunk = [0; 64];
                    loop {
                        tokio::select! {
                            read = upgraded.read(&mut chunk) => match read {
                                Ok(0) | Err(_) => return,
                                Ok(read) => upgraded.write_all(&chunk[..read]).await.unwrap(),
                            },
                            () = &mut stopping => {
                                upgraded.write_all(b"bye").await.unwrap();
                                return;
                            }
                        }
                    }
                })
            })
        }))
        .unwrap()
        .build();
    server.start().await.unwrap();
    let address = server.local_addr().unwrap();
    (server, address, opened)
}

#[tokio::test]
async fn a_program_adds_routes_assets_and_its_name() {
    let server = HttpServer::builder(config(), sources(&Probe::healthy()))
        .service("mill", "2.1")
        .route(
            Route::get("/sacks/{number}/{of}", "one sack", |call| {
                let body = json!({
                    "number": call.segment("number"),
                    "of": call.segment("of"),
                    "detail": call.query().text("detail"),
                    "accept": call.headers().get("accept").and_then(|value| value.to_str().ok()),
                    "peer": call.peer().address().unwrap().ip(),
                    "request_id": call.request_id(),
                });
                Reply::json(StatusCode::OK, &body)
                    .with_header(CACHE_CONTROL, HeaderValue::from_static("max-age=5"))
            })
            .with_parameters(DETAIL),
        )
        .unwrap()
        .route(Route::computed("/flour", "all of it", 2, |_call| {
            Reply::bytes(
                StatusCode::OK,
                HeaderValue::from_static("text/plain"),
                b"flour".to_vec(),
            )
        }))
        .unwrap()
        .asset("/ui", "text/html; charset=utf-8", "<!doctype html>")
        .unwrap()
        .build();
    server.start().await.unwrap();
    let address = server.local_addr().unwrap();

    let request = "GET /sacks/7/a%2fb?detail=full HTTP/1.1\r\nHost: here\r\nAccept: x/y\r\n\
                   X-Request-Id: me\r\nConnection: close\r\n\r\n";
    let sack = Answer::all(&raw(address, request.as_bytes()).await).remove(0);
    assert_eq!(
        sack.json(),
        json!({
            "number": "7", "of": "a/b", "detail": "full", "accept": "x/y",
            "peer": "127.0.0.1", "request_id": "me",
        })
    );
    assert_eq!(sack.header("cache-control"), Some("max-age=5"));
    assert_eq!(sack.header("server"), Some("mill/2.1"));
    assert_eq!(get(address, "/sacks/7/a?detial=x").await.status, 400);
    assert_eq!(get(address, "/flour").await.body, "flour");
    let page = get(address, "/ui").await;
    assert_eq!(page.body, "<!doctype html>");
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );

    let landing = get(address, "/").await.json();
    assert_eq!(landing["service"], "mill");
    assert_eq!(landing["version"], "2.1");
    let listed = landing["endpoints"].as_array().unwrap();
    assert!(
        listed
            .iter()
            .any(|one| one["path"] == "/sacks/{number}/{of}")
    );
    assert_eq!(listed.len(), 13);
    assert_eq!(server.stats()["requests"]["/flour"]["200"], 1);
    server.stop().await;
}

#[test]
fn a_path_is_given_out_once() {
    let taken = |path: &'static str| {
        HttpServer::builder(config(), sources(&Probe::healthy()))
            .asset(path, "text/plain", "")
            .err()
    };
    assert_eq!(taken("/"), Some(RouteError::Taken { path: "/" }));
    assert_eq!(
        taken("/health"),
        Some(RouteError::Taken { path: "/health" })
    );
    assert_eq!(taken("ui"), Some(RouteError::Relative { path: "ui" }));
    assert_eq!(taken("/ui"), None);
}

#[tokio::test(start_paused = true)]
async fn a_stream_sends_as_it_comes_and_may_be_quiet_for_hours() {
    let (server, address, mut opened) = serving(config()).await;
    let clock = HeldClock::hold();
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(EVENTS.as_bytes()).await.unwrap();
    let sender = opened.recv().await.unwrap();
    sender.send("one\n").await.unwrap();
    let text = read_until(&mut client, "one\n\r\n").await;
    assert!(text.contains("content-type: text/event-stream"), "{text}");
    assert!(text.contains("transfer-encoding: chunked"), "{text}");
    for _ in 0..4 * 3_600 {
        clock.advance(Duration::from_secs(1)).await;
    }
    sender.send("two\n").await.unwrap();
    read_until(&mut client, "two\n\r\n").await;
    drop(clock);
    assert_eq!(server.stats()["active_streams"], 1);
    assert_eq!(server.stats()["active_connections"], 0);
    // Its end is the answer's, and the connection's.
    drop(sender);
    assert_eq!(read_all(client).await, "0\r\n\r\n");
    until(&server, |stats| stats["active_streams"] == 0).await;
    server.stop().await;
}

#[tokio::test]
async fn streams_have_places_of_their_own() {
    let two = HttpConfig {
        max_connections: 1,
        max_streams: 2,
        ..config()
    };
    let (server, address, mut opened) = serving(two).await;
    let mut held = Vec::new();
    for number in 1..=2 {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(EVENTS.as_bytes()).await.unwrap();
        held.push((opened.recv().await.unwrap(), client));
        until(&server, |stats| stats["active_streams"] == number).await;
    }
    let refused = get(address, "/events").await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.json()["error"], "too many streams");
    // They take nothing from others.
    assert_eq!(get(address, "/stats").await.status, 200);
    drop(held);
    server.stop().await;
}

#[tokio::test]
async fn streams_say_their_last_words_when_the_server_stops() {
    let (server, address, mut opened) = serving(config()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(EVENTS.as_bytes()).await.unwrap();
    let sender = opened.recv().await.unwrap();
    let mut switched = TcpStream::connect(address).await.unwrap();
    let early = format!("{SWITCH}early");
    switched.write_all(early.as_bytes()).await.unwrap();
    let text = read_until(&mut switched, "early").await;
    assert!(text.starts_with("HTTP/1.1 101 "), "{text}");
    until(&server, |stats| stats["active_streams"] == 2).await;

    let started = Instant::now();
    server.stop().await;
    assert!(started.elapsed() < server.config().drain_deadline);
    assert!(read_all(stream).await.ends_with("closing\n\r\n0\r\n\r\n"));
    assert!(read_all(switched).await.ends_with("bye"));
    assert_eq!(server.stats()["aborted_connections"], 0);
    drop(sender);
}

#[tokio::test]
async fn an_upgrade_gets_the_socket_and_what_came_with_the_request() {
    let (server, address, _opened) = serving(config()).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client
        .write_all(format!("{SWITCH}early").as_bytes())
        .await
        .unwrap();
    let text = read_until(&mut client, "early").await;
    assert!(text.contains("connection: upgrade"), "{text}");
    assert!(text.contains("upgrade: echo"), "{text}");
    client.write_all(b"later").await.unwrap();
    assert_eq!(read_until(&mut client, "later").await, "later");
    drop(client);
    until(&server, |stats| stats["active_streams"] == 0).await;

    let refused = get(address, "/echo").await;
    assert_eq!(refused.status, 426);
    assert_eq!(request(address, "HEAD /echo").await.status, 426);
    server.stop().await;
}

#[tokio::test]
async fn a_ready_made_stream_body_fits() {
    let server = HttpServer::builder(config(), sources(&Probe::healthy()))
        .route(Route::get("/two", "two frames", |_call| {
            let frames = ["a", "b"].map(|text| Ok(Frame::data(Bytes::from(text))));
            let body = Body::stream(StreamBody::new(futures_util::stream::iter(frames)));
            Reply::stream(HeaderValue::from_static("text/plain"), body)
        }))
        .unwrap()
        .build();
    server.start().await.unwrap();
    let text = raw(
        server.local_addr().unwrap(),
        b"GET /two HTTP/1.1\r\nHost: here\r\n\r\n",
    )
    .await;
    assert!(text.ends_with("1\r\na\r\n1\r\nb\r\n0\r\n\r\n"), "{text}");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_wait_for_another_part_and_is_given_up_in_time() {
    let word = |text: &'static str| {
        let body = Bytes::from_static(text.as_bytes());
        Reply::bytes(StatusCode::OK, HeaderValue::from_static("text/plain"), body)
    };
    let server = HttpServer::builder(config(), sources(&Probe::healthy()))
        .routes([
            Route::awaited("/soon", "waits", move |call| async move {
                tokio::time::sleep(Duration::from_secs(2)).await;
                match call.query().text("depth") {
                    Some("0") => call.bad_parameter("depth", "depth: more than none"),
                    _ => word("soon"),
                }
            })
            .with_parameters(DEPTH)
            .with_shorter("ask for less"),
            Route::awaited("/never", "waits", |_call| std::future::pending()),
            Route::awaited("/panics", "waits", |_call| async { panic!("at last") }),
            Route::get("/soon", "is there already", |_call| {
                Reply::empty(StatusCode::OK)
            }),
        ])
        .build();
    server.start().await.unwrap();
    let address = server.local_addr().unwrap();
    assert_eq!(get(address, "/soon").await.body, "soon");
    let refused = get(address, "/soon?depth=0").await;
    assert_eq!(
        (refused.status, &refused.json()["parameter"]),
        (400, &json!("depth"))
    );
    let long = get(address, &format!("/soon?depth={}", "9".repeat(9_000))).await;
    assert_eq!(long.status, 414);
    let text = long.json()["error"].as_str().unwrap().to_owned();
    assert!(text.ends_with("8192 bytes: ask for less"), "{text}");

    let before = Instant::now();
    assert_eq!(get(address, "/never").await.status, 503);
    assert_eq!(before.elapsed(), server.config().answer_timeout);
    assert_eq!(get(address, "/panics").await.status, 500);
    server.stop().await;
}

#[tokio::test]
async fn errors_below_v1_are_problems_and_others_stay_as_they_were() {
    let routes = [
        Route::get("/v1/sacks/{number}", "one sack", |call| {
            match call.segment("number") {
                "1" => Reply::json(StatusCode::OK, &json!({ "number": 1 })),
                "2" => call.problem(StatusCode::GONE, "sack_sold", "it was sold"),
                _ => panic!("no such sack"),
            }
        })
        .with_parameters(DETAIL),
        Route::get("/sacks", "as before", |call| {
            call.problem(StatusCode::GONE, "sack_sold", "it was sold")
        }),
    ];
    let server = HttpServer::builder(config(), sources(&Probe::healthy()));
    let server = server.routes(routes).build();
    server.start().await.unwrap();
    let address = server.local_addr().unwrap();
    let head = "Host: here\r\nConnection: close\r\nX-Request-Id: me\r\n";
    let ask = async |line: &str| {
        let request = format!("{line} HTTP/1.1\r\n{head}\r\n");
        Answer::all(&raw(address, request.as_bytes()).await).remove(0)
    };
    let sold = ask("GET /%761/sacks/2").await;
    assert_eq!(
        sold.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(
        sold.json(),
        json!({
            "type": "urn:polypy:problem:sack_sold", "title": "Sack sold", "status": 410,
            "detail": "it was sold", "instance": "urn:polypy:request:me",
            "error": "it was sold", "request_id": "me",
        })
    );
    let head = ask("HEAD /v1/sacks/2").await;
    assert_eq!(head.header("content-length"), sold.header("content-length"));
    for (line, status, title) in [
        ("GET /v1/sacks/1?detal=x", 400, "Bad Request"),
        ("GET /v1/sacks/3", 500, "Internal Server Error"),
        ("POST /v1/sacks/1", 405, "Method Not Allowed"),
        ("GET /v1", 404, "Not Found"),
        ("GET /v1/flour", 404, "Not Found"),
    ] {
        let answer = ask(line).await;
        assert_eq!(answer.status, status, "{line}");
        let body = answer.json();
        let kind = answer.header("content-type");
        assert_eq!(kind, Some("application/problem+json"), "{line}");
        assert_eq!(
            (&body["type"], &body["title"]),
            (&json!("about:blank"), &json!(title))
        );
        assert_eq!(body["error"], body["detail"]);
    }
    assert_eq!(
        ask("GET /v1/sacks/1?detal=x").await.json()["parameter"],
        "detal"
    );
    for line in [
        "GET /sacks",
        "GET /v2",
        "GET /v10",
        "GET /health?%zz",
        "GET /markets?x=1",
    ] {
        let answer = ask(line).await;
        assert_eq!(
            answer.header("content-type"),
            Some("application/json"),
            "{line}"
        );
        assert!(!answer.body.contains("\"type\""), "{line}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_route_is_made_of_what_all_others_say_and_says_that_it_will_go() {
    const ANSWERS: &[Stated] = &[Stated::json("sack", "the sack"), Stated::error(410, "sold")];
    let server = HttpServer::bare("mill", config(), std::sync::Arc::new(FixedClock))
        .routes([
            Route::get("/sacks", "all sacks", |_| Reply::empty(StatusCode::OK))
                .with_parameters(DETAIL)
                .answers(ANSWERS)
                .deprecated(1_795_429_800, "Sun, 06 Nov 2027 08:49:37 GMT"),
        ])
        .describe(|routes| {
            let paths: Vec<_> = routes.iter().map(|route| route.path).collect();
            assert_eq!(paths, ["/", "/version", "/sacks"]);
            let sacks = routes[2];
            assert_eq!((sacks.parameters, sacks.answers), (DETAIL, ANSWERS));
            assert_eq!(
                (sacks.methods, sacks.is_open),
                ("GET, HEAD, OPTIONS", false)
            );
            let text = paths.join(" ");
            Route::get("/described", "them", move |_| {
                Reply::json(StatusCode::OK, &text)
            })
        })
        .build();
    server.start().await.unwrap();
    let address = server.local_addr().unwrap();
    assert_eq!(get(address, "/described").await.json(), "/ /version /sacks");
    let listed = get(address, "/").await.body;
    assert!(listed.contains("/described"), "{listed}");
    let going = get(address, "/sacks").await;
    assert_eq!(going.header("deprecation"), Some("@1795429800"));
    assert_eq!(
        going.header("sunset"),
        Some("Sun, 06 Nov 2027 08:49:37 GMT")
    );
    assert_eq!(get(address, "/described").await.header("deprecation"), None);
    server.stop().await;
}
