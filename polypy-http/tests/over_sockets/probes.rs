//! `/livez`, `/readyz`, `/startupz`, `/version`, and the second form of `/health`.

use std::sync::Arc;

use crate::common::*;
use parking_lot::Mutex;
use polypy_core::probe::{self, Check, ProbeSource};
use polypy_core::{Component, Health};
use polypy_http::{HttpConfig, HttpServer};
use serde_json::json;
use tokio::net::TcpStream;

/// Checks that tests set, for each probe.
#[derive(Default)]
struct Checks {
    live: Mutex<Vec<Check>>,
    ready: Mutex<Vec<Check>>,
    started: Mutex<Vec<Check>>,
}

impl ProbeSource for Checks {
    fn checks(&self, probe: probe::Probe) -> Vec<Check> {
        match probe {
            probe::Probe::Live => self.live.lock().clone(),
            probe::Probe::Ready => self.ready.lock().clone(),
            probe::Probe::Started => self.started.lock().clone(),
        }
    }
}

#[tokio::test]
async fn each_probe_is_yes_while_all_of_its_own_checks_hold() {
    let checks = Arc::new(Checks::default());
    *checks.ready.lock() = vec![
        Check::new("first_crawl", true, "the catalogue has been crawled"),
        Check::new("live_books", false, "3 of 400 books are live"),
    ];
    let sources = sources(&Probe::healthy()).with_probes(checks.clone());
    let (server, address) = started(config(), sources).await;
    for (target, status) in [("/livez", 200), ("/readyz", 503), ("/startupz", 200)] {
        assert_eq!(get(address, target).await.status, status, "{target}");
        let head = request(address, &format!("HEAD {target}")).await;
        assert_eq!((head.status, head.body.as_str()), (status, ""), "{target}");
    }
    assert_eq!(
        get(address, "/readyz").await.json(),
        json!({
            "ok": false,
            "reasons": [{ "code": "live_books", "text": "3 of 400 books are live" }],
        })
    );
    assert_eq!(
        get(address, "/readyz?verbose").await.json()["checks"],
        json!([
            { "name": "first_crawl", "ok": true, "text": "the catalogue has been crawled" },
            { "name": "live_books", "ok": false, "text": "3 of 400 books are live" },
        ])
    );

    checks.ready.lock().pop();
    checks
        .live
        .lock()
        .push(Check::new("parts", false, "ended: router"));
    assert_eq!(get(address, "/readyz").await.status, 200);
    assert_eq!(get(address, "/livez").await.status, 503);
    server.stop().await;
}

#[tokio::test]
async fn a_probe_does_not_fail_for_its_query() {
    let (server, address) = full().await;
    for query in [
        "?verbose",
        "?verbose=1",
        "?verbose&exclude=etcd",
        "?%zz&verbose",
        "?verbose&verbose",
    ] {
        let answer = get(address, &format!("/livez{query}")).await;
        assert_eq!(answer.status, 200, "{query}");
        assert!(answer.json()["checks"].is_array(), "{query}");
    }
    for query in ["", "?", "?verbose=0", "?verbos", "?a=b"] {
        let answer = get(address, &format!("/livez{query}")).await;
        assert_eq!(answer.status, 200, "{query}");
        assert!(answer.json().get("checks").is_none(), "{query}");
    }
    server.stop().await;
}

#[tokio::test]
async fn without_probes_of_its_own_a_component_is_ready_while_it_is_healthy() {
    let probe = Probe::healthy();
    let (server, address) = started(config(), sources(&probe)).await;
    for target in ["/livez", "/readyz", "/startupz"] {
        assert_eq!(get(address, target).await.status, 200, "{target}");
    }
    *probe.health.lock() = Health::of(false).because("no_live_books", "no book is live");
    assert_eq!(get(address, "/livez").await.status, 200);
    let answer = get(address, "/readyz").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["reasons"][0]["text"], "no book is live");
    server.stop().await;
}

#[tokio::test]
async fn probes_are_answered_where_every_place_is_taken() {
    let config = HttpConfig {
        max_connections: 1,
        ..config()
    };
    let (server, address) = started(config, sources(&Probe::healthy())).await;
    let mut taken = TcpStream::connect(address).await.unwrap();
    exchange(&mut taken, KEEP_ALIVE).await;
    for target in ["/livez", "/readyz?verbose", "/startupz", "/health"] {
        assert_eq!(get(address, target).await.status, 200, "{target}");
    }
    assert_eq!(get(address, "/version").await.status, 503);
    server.stop().await;
}

#[tokio::test]
async fn the_version_says_what_the_program_says_of_itself() {
    let server = HttpServer::builder(config(), sources(&Probe::healthy()))
        .service("mill", "2.1")
        .detail("revision", "0123abc")
        .build();
    server.start().await.unwrap();
    let address = server.local_addr().unwrap();
    let answer = get(address, "/version").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({ "name": "mill", "version": "2.1", "revision": "0123abc" })
    );
    server.stop().await;
}

#[tokio::test]
async fn health_has_the_drafts_form_for_those_who_ask_for_it() {
    let probe = Probe::healthy();
    let (server, address) = started(config(), sources(&probe)).await;
    let ask = async |accept: &str| {
        let request = format!(
            "GET /health HTTP/1.1\r\nHost: here\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        );
        Answer::all(&raw(address, request.as_bytes()).await).remove(0)
    };
    let answer = ask("application/health+json").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some("application/health+json")
    );
    assert_eq!(answer.header("vary"), Some("accept"));
    let time = "2025-12-08T10:30:00.000Z";
    let body = answer.json();
    assert_eq!(body["status"], "warn");
    assert_eq!(body["output"], "396 of 400 books are live");
    assert_eq!(
        body["checks"]["pool"],
        json!([{ "componentType": "component", "status": "pass", "time": time }])
    );
    assert_eq!(
        body["checks"]["books:live"],
        json!([{ "observedValue": 396, "observedUnit": "books", "time": time }])
    );

    *probe.health.lock() = Health::of(true);
    assert_eq!(
        ask("application/health+json").await.json()["status"],
        "pass"
    );
    *probe.health.lock() = Health::of(false);
    let answer = ask("application/health+json").await;
    assert_eq!(
        (answer.status, &answer.json()["status"]),
        (503, &json!("fail"))
    );

    // Everyone else gets our own form, with the same status.
    for accept in [
        "*/*",
        "application/json",
        "text/html",
        "application/health+json;q=0.1, */*",
    ] {
        let answer = ask(accept).await;
        assert_eq!(answer.status, 503, "{accept}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/json"),
            "{accept}"
        );
        assert_eq!(answer.json()["healthy"], false, "{accept}");
    }
    server.stop().await;
}
