//! A server of the program's own routes, at which things are changed.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test, and one route panics on demand"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::access::ask;
use crate::common::*;
use hyper::StatusCode;
use polypy_core::Component;
use polypy_http::{Access, HttpConfig, HttpServer, Reply, Route};
use serde_json::json;
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
    assert_eq!(ask(address, "POST /level", &[], "x").await.status, 405);
    assert_eq!(
        ask(address, "PUT /things/7/turn", &[], "").await.status,
        405
    );
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
