//! A server of the program's own routes, at which things are changed.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test, and one route panics on demand"
)]

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::access::ask;
use crate::common::*;
use hyper::StatusCode;
use polypy_core::Component;
use polypy_http::header::HeaderValue;
use polypy_http::{Access, HttpConfig, HttpServer, Rendering, Reply, Route};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::Notify;

const TOKEN: &str = "correct-horse-battery";

/// Says when its future is dropped.
struct Gone(Arc<Notify>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// A server with a setting and two actions, and what is heard of the one that never ends.
async fn serving(access: Option<Access>) -> (HttpServer, SocketAddr, Arc<Notify>) {
    let config = HttpConfig {
        answer_timeout: Duration::from_millis(200),
        ..config()
    };
    let gone = Arc::new(Notify::new());
    let told = Arc::clone(&gone);
    let server = HttpServer::bare("admin", config, Arc::new(FixedClock)).own_pages_only();
    let server = match access {
        Some(access) => server.access(Arc::new(access)),
        None => server,
    };
    let server = server
        .route(
            Route::get("/level", "the level", |_| Reply::empty(StatusCode::OK)).with_put(
                16,
                |call, body| match &body[..] {
                    b"panic" => panic!("on demand"),
                    b"" => call.error(StatusCode::BAD_REQUEST, "a level is needed"),
                    level => {
                        let level = String::from_utf8_lossy(level).into_owned();
                        Reply::json(StatusCode::OK, &json!({ "level": level }))
                    }
                },
            ),
        )
        .unwrap()
        .route(Route::action(
            "/things/{id}/turn",
            "turns it",
            16,
            move |call, _body| {
                let gone = Gone(Arc::clone(&told));
                async move {
                    tokio::task::yield_now().await;
                    match call.segment("id") {
                        "panic" => panic!("half-way"),
                        "never" => std::future::pending::<()>().await,
                        _ => {}
                    }
                    drop(gone);
                    Reply::json(StatusCode::OK, &json!({ "turned": call.segment("id") }))
                }
            },
        ))
        .unwrap()
        .route(
            Route::get("/plan", "the plan", |_| Reply::empty(StatusCode::OK)).with_put_action(
                16,
                |call, body| async move {
                    tokio::task::yield_now().await;
                    match &body[..] {
                        b"never" => std::future::pending().await,
                        plan => {
                            let plan = String::from_utf8_lossy(plan);
                            Reply::json(
                                StatusCode::OK,
                                &json!({ "plan": plan, "of": call.request_id() }),
                            )
                        }
                    }
                },
            ),
        )
        .unwrap()
        .build();
    server.start().await.unwrap();
    let address = server.local_addr().unwrap();
    (server, address, gone)
}

#[tokio::test]
async fn a_bare_server_has_its_own_routes_alone() {
    let (server, address, _) = serving(None).await;
    assert_eq!(server.name(), "admin");
    for path in ["/health", "/stats", "/metrics", "/markets", "/login"] {
        assert_eq!(get(address, path).await.status, 404, "{path}");
    }
    let landing = get(address, "/").await.json();
    let methods = |path: &str| {
        let listed = landing["endpoints"].as_array().unwrap().iter();
        let mut found = listed.filter(|one| one["path"] == path);
        found.next().unwrap()["methods"].clone()
    };
    assert_eq!(methods("/level"), "GET, HEAD, OPTIONS, PUT");
    assert_eq!(methods("/things/{id}/turn"), "OPTIONS, POST");

    let set = ask(address, "PUT /level", &[], "debug").await;
    assert_eq!((set.status, set.json()), (200, json!({ "level": "debug" })));
    let done = ask(address, "POST /things/7/turn", &[], "").await;
    assert_eq!(done.json(), json!({ "turned": "7" }));
    let refused = ask(address, "PUT /level", &["X-Request-Id: me"], "").await;
    let error = json!({ "error": "a level is needed", "status": 400, "request_id": "me" });
    assert_eq!((refused.status, refused.json()), (400, error));
    let planned = ask(address, "PUT /plan", &["X-Request-Id: me"], "rest").await;
    assert_eq!(planned.json(), json!({ "plan": "rest", "of": "me" }));
    assert_eq!(ask(address, "PUT /plan", &[], "never").await.status, 503);
    assert_eq!(methods("/plan"), "GET, HEAD, OPTIONS, PUT");
    assert_eq!(ask(address, "POST /level", &[], "x").await.status, 405);
    assert_eq!(
        ask(address, "PUT /things/7/turn", &[], "").await.status,
        405
    );
    // What stands in no body is not done: a dry run would be none.
    for (target, name) in [
        ("PUT /level?dry_run=1", "dry_run"),
        ("PUT /plan?&x", "x"),
        ("POST /things/7/turn?full=true", "full"),
    ] {
        let refused = ask(address, target, &[], "info").await;
        assert_eq!(
            (refused.status, refused.json()["parameter"].as_str()),
            (400, Some(name))
        );
    }
    assert_eq!(ask(address, "PUT /level?", &[], "info").await.status, 200);
    let long = ask(address, "PUT /level", &[], "seventeen letters").await;
    assert_eq!(long.status, 413);
    server.stop().await;
}

#[tokio::test]
async fn an_action_that_panics_or_takes_too_long_is_an_answer() {
    let (server, address, gone) = serving(None).await;
    assert_eq!(ask(address, "PUT /level", &[], "panic").await.status, 500);
    let half_way = ask(address, "POST /things/panic/turn", &[], "").await;
    assert_eq!(half_way.status, 500);
    gone.notified().await;
    let late = ask(address, "POST /things/never/turn", &[], "").await;
    assert_eq!(late.status, 503);
    // It is given up.
    gone.notified().await;
    assert_eq!(ask(address, "PUT /level", &[], "info").await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn only_the_token_counts_and_no_page_of_another_origin() {
    let access = Access::new(TOKEN).unwrap();
    let (server, address, _) = serving(Some(access.without_sessions())).await;
    let token = format!("Authorization: Bearer {TOKEN}");
    for line in ["GET /", "GET /level", "PUT /level", "POST /things/7/turn"] {
        let refused = ask(address, line, &[], "").await;
        assert_eq!(refused.status, 401, "{line}");
        assert!(!refused.body.contains("login"), "{}", refused.body);
    }
    let with = |header: &'static str| {
        let token = token.clone();
        async move {
            ask(address, "PUT /level", &[&token, header], "info")
                .await
                .status
        }
    };
    assert_eq!(with("Accept: */*").await, 200);
    assert_eq!(with("Origin: http://here").await, 200, "its own page");
    for foreign in [
        "Origin: http://elsewhere",
        "Origin: http://here:3000",
        "Origin: null",
        "Origin: here",
    ] {
        assert_eq!(with(foreign).await, 403, "{foreign}");
        let read = ask(address, "GET /level", &[&token, foreign], "").await;
        assert_eq!(read.status, 403, "{foreign}");
        let asked_before = ask(address, "OPTIONS /level", &[foreign], "").await;
        assert_eq!(asked_before.status, 403, "{foreign}");
    }
    // A header for each of two pages: one of them is foreign.
    let two = [token.as_str(), "Origin: http://here", "Origin: http://a"];
    assert_eq!(ask(address, "PUT /level", &two, "info").await.status, 403);
    server.stop().await;
}

#[tokio::test]
async fn a_route_may_be_for_own_pages_alone_whatever_the_server_lists() {
    let config = HttpConfig {
        cors_origins: vec!["*".to_owned()],
        ..config()
    };
    let empty = |_: &polypy_http::Call| Reply::empty(StatusCode::OK);
    let own = Route::get("/own", "", empty)
        .with_put(16, |call, _| {
            Reply::json(StatusCode::OK, &json!(call.request_id()))
        })
        .own_pages_only();
    let server = HttpServer::bare("mixed", config, Arc::new(FixedClock));
    let server = server.routes([own, Route::get("/all", "", empty)]).build();
    server.start().await.unwrap();
    let address = server.local_addr().unwrap();
    for (origin, status) in [
        ("Accept: */*", 200),
        ("Origin: http://here", 200),
        ("Origin: http://here:3000", 403),
        ("Origin: http://elsewhere", 403),
        ("Origin: null", 403),
    ] {
        for line in ["GET /own", "PUT /own"] {
            let answer = ask(address, line, &[origin], "").await;
            assert_eq!(answer.status, status, "{line} with {origin}");
        }
        let other = ask(address, "GET /all", &[origin], "").await;
        assert_eq!(other.status, 200, "{origin}");
    }
    server.stop().await;
}

/// What is asked for, thrice, in memory that is counted.
fn thrice(call: &polypy_http::Call, asked: &[u8]) -> Reply {
    let written = Rendering::new(call.memory(), asked.len()).and_then(|mut rendering| {
        (0..3).try_for_each(|_| rendering.write_all(asked)).ok()?;
        Some(rendering.finish())
    });
    let text = HeaderValue::from_static("text/plain");
    match written {
        Some(body) => body.reply(text, call.headers()),
        None => call.error(StatusCode::SERVICE_UNAVAILABLE, "there is no room"),
    }
}

#[tokio::test]
async fn what_a_target_cannot_hold_is_asked_for_by_a_body_and_computed() {
    let config = HttpConfig {
        answer_memory: 64 << 10,
        ..config()
    };
    let server = HttpServer::bare("reads", config, Arc::new(FixedClock));
    let route = Route::computed("/things", "things", 1, |call| thrice(call, b"all"))
        .with_computed_post(40 << 10, |call, body| match &body[..] {
            b"panic" => panic!("on demand"),
            body => thrice(call, body),
        });
    let server = server.route(route).unwrap().build();
    server.start().await.unwrap();
    let address = server.local_addr().unwrap();
    assert_eq!(get(address, "/things").await.body, "allallall");

    // A body that was read leaves the connection as it was.
    let mut stream = TcpStream::connect(address).await.unwrap();
    for body in ["one", "two"] {
        let request =
            format!("POST /things HTTP/1.1\r\nHost: here\r\nContent-Length: 3\r\n\r\n{body}");
        let answer = exchange(&mut stream, &request).await;
        assert_eq!((answer.status, answer.body), (200, body.repeat(3)));
    }
    let panicked = ask(address, "POST /things", &[], "panic").await;
    assert_eq!(panicked.status, 500);
    let long = ask(address, "POST /things", &[], &"x".repeat((40 << 10) + 1)).await;
    assert_eq!(
        (long.status, long.header("connection")),
        (413, Some("close"))
    );
    let large = ask(address, "POST /things", &[], &"x".repeat(30 << 10)).await;
    assert_eq!(large.status, 503, "{}", large.body);
    until(&server, |stats| stats["answer_memory_bytes"] == 0).await;
    server.stop().await;
}
