//! `/v1/connections` and `/v1/history`: what the program says of itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use polypy_core::{BookState, Component as _, ConnectionEnd, ResyncSink as _, Scope, StaleReason};
use polypy_http::{HttpServer, Sources};
use serde_json::{Value, json};

use super::common::{Books, Catalogue, Listed, NOW, Program, ask, config};
use crate::cursor::Instance;
use crate::door::Doors;
use crate::failures::FailureLog;
use crate::failures::tests::Wishes;
use crate::read::testing::{Running, Shelf};
use crate::read::tests::forms::mistakes;
use crate::samples::Samples;
use crate::samples::tests::{Program as Observed, connection, watched};

/// A log in which nothing stands.
pub(super) fn failures() -> Arc<FailureLog> {
    Arc::new(FailureLog::new(Arc::new(Wishes::default())))
}

struct Server {
    http: HttpServer,
    observed: Arc<Observed>,
    samples: Arc<Samples>,
}

impl Server {
    async fn start() -> Self {
        let (observed, samples) = (Arc::<Observed>::default(), Arc::<Samples>::default());
        samples.watch(watched(&observed));
        let program = Arc::new(Program);
        let doors = Doors::new(&config(), Arc::new(Books::default()))
            .with_samples(Arc::clone(&samples), program.clone());
        let sources = Sources::new(program.clone(), program.clone(), program);
        let http = HttpServer::builder(config(), sources)
            .routes(doors.routes())
            .build();
        http.start().await.unwrap();
        Self {
            http,
            observed,
            samples,
        }
    }

    async fn ask(&self, target: &str, headers: &str) -> (u16, String, Value) {
        let address = self.http.local_addr().unwrap();
        let (status, head, body) = ask(address, "GET", target, headers).await;
        let body = serde_json::from_str(&body).unwrap_or(Value::Null);
        (status, head, body)
    }
}

#[tokio::test]
async fn connections_are_shown_one_by_one_those_in_trouble_first() {
    let server = Server::start().await;
    let well = connection("conn-10", 500, 60);
    let silent = polypy_core::ConnectionReport {
        silent_for: Some(Duration::from_secs(46)),
        tokens: 99,
        ..connection("conn-2", 900, 60)
    };
    let lost = polypy_core::ConnectionReport {
        status: "reconnecting",
        is_open: false,
        is_healthy: false,
        open_for: None,
        last_end: Some(ConnectionEnd {
            ago: Duration::from_secs(2),
            cause: "closed",
            detail: "1013 slow consumer".to_owned(),
            close_code: Some(1013),
        }),
        next_attempt_in: Some(Duration::from_millis(1_250)),
        reconnects: 3,
        ..connection("conn-7", 100, 60)
    };
    server.observed.connect(vec![well, silent, lost]);
    let (status, _, body) = server.ask("/v1/connections", "").await;
    assert_eq!(status, 200);
    assert_eq!(mistakes("connections", &body), Vec::<String>::new());
    assert_eq!((&body["matched"], &body["open"]), (&3.into(), &2.into()));
    let row = &body["connections"][0];
    assert_eq!(
        (&row["connection"], &row["state"]),
        (&"conn-7".into(), &"lost".into())
    );
    assert_eq!(
        row["last_end"],
        json!({
            "cause": "closed", "detail": "1013 slow consumer", "close_code": 1013,
            "at_ms": NOW - 2_000, "at": "2025-12-08T10:29:58.000Z",
        })
    );
    assert_eq!(row["next_attempt_ms"], NOW + 1_250);
    assert_eq!(
        (&row["opened_ms"], &row["messages_per_second"]),
        (&Value::Null, &Value::Null)
    );
    let names = |body: &Value| {
        let rows = body["connections"].as_array().unwrap().iter();
        let names = rows.map(|row| row["connection"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>().join(" ")
    };
    for (query, expected) in [
        ("", "conn-7 conn-2 conn-10"),
        ("?sort=name", "conn-2 conn-7 conn-10"),
        ("?sort=tokens", "conn-2 conn-7 conn-10"),
        ("?sort=silence&limit=1", "conn-2"),
        ("?sort=reconnects&limit=1", "conn-7"),
    ] {
        let (_, _, body) = server.ask(&format!("/v1/connections{query}"), "").await;
        assert_eq!(names(&body), expected, "{query}");
        assert_eq!(body["matched"], 3, "what is cut is said");
    }
    // Rates once there are two samples.
    let start = Instant::now();
    server.samples.take(start);
    server.observed.connect(vec![
        connection("conn-10", 900, 61),
        connection("conn-2", 910, 61),
    ]);
    server.samples.take(start + Duration::from_secs(1));
    let (_, _, body) = server.ask("/v1/connections?sort=messages", "").await;
    assert_eq!(names(&body), "conn-10 conn-2");
    assert_eq!(body["connections"][0]["messages_per_second"], 400.0);
    assert_eq!(body["connections"][1]["bytes_per_second"], 1_000.0);
    for wrong in ["?sort=loud", "?limit=0", "?limit=1001", "?state=lost"] {
        let (status, _, _) = server.ask(&format!("/v1/connections{wrong}"), "").await;
        assert_eq!(status, 400, "{wrong}");
    }
    server.http.stop().await;
}

#[tokio::test]
async fn history_has_the_columns_that_are_asked_for_and_a_tag_until_the_next_second() {
    let server = Server::start().await;
    let (_, _, empty) = server.ask("/v1/history", "").await;
    assert_eq!(mistakes("history", &empty), Vec::<String>::new());
    assert_eq!(empty["rows"], json!([]));
    let start = Instant::now();
    for second in 0..3 {
        server.samples.take(start + Duration::from_secs(second));
    }
    let (_, head, body) = server
        .ask(
            "/v1/history?fields=books_stale,cpu_cores,books_stale&limit=2",
            "",
        )
        .await;
    assert_eq!(
        body["columns"],
        json!(["ts_ms", "books_stale", "cpu_cores"])
    );
    assert_eq!(body["rows"].as_array().unwrap().len(), 2);
    assert_eq!(body["rows"][0][1], 3);
    assert_eq!(body["rows"][0][2], Value::Null);
    let etag = head.lines().find_map(|line| line.strip_prefix("etag: "));
    let same = format!("If-None-Match: {}\r\n", etag.unwrap());
    let target = "/v1/history?fields=books_stale,cpu_cores,books_stale&limit=2";
    assert_eq!(server.ask(target, &same).await.0, 304);
    let other = "/v1/history?fields=books_stale&limit=2";
    assert_eq!(server.ask(other, &same).await.0, 200, "other columns");
    let (_, _, whole) = server.ask("/v1/history", "").await;
    assert_eq!(mistakes("history", &whole), Vec::<String>::new());
    assert_eq!(whole["rows"].as_array().unwrap().len(), 3);
    assert_eq!(
        whole["rows"][2].as_array().unwrap().len(),
        whole["columns"].as_array().unwrap().len()
    );
    let (_, _, minutes) = server.ask("/v1/history?every=minute", "").await;
    assert_eq!(minutes["rows"], json!([]), "the first is not over");
    let (status, _, error) = server.ask("/v1/history?fields=books_dead", "").await;
    assert_eq!((status, &error["parameter"]), (400, &"fields".into()));
    let text = error["detail"].as_str().unwrap();
    assert!(text.contains("books_live"), "what would be right: {text}");
    for wrong in ["?every=hour", "?limit=1441", "?fields="] {
        let (status, _, _) = server.ask(&format!("/v1/history{wrong}"), "").await;
        assert_eq!(status, 400, "{wrong}");
    }
    server.http.stop().await;
}

#[tokio::test]
async fn books_that_were_asked_for_again_say_how_they_stand_now() {
    let (log, shelf) = (failures(), Arc::<Shelf>::default());
    let catalogue = Catalogue::new();
    let key = catalogue.key();
    let program = Arc::new(Program);
    let doors = Doors::new(&config(), shelf.clone())
        .with_reads(
            Arc::new(catalogue),
            Arc::new(Listed::default()),
            Arc::new(Running::new()),
            Instance::random(),
        )
        .with_failures(Arc::clone(&log));
    let sources = Sources::new(program.clone(), program.clone(), program);
    let http = HttpServer::builder(config(), sources)
        .routes(doors.routes())
        .build();
    http.start().await.unwrap();
    let address = http.local_addr().unwrap();
    let get = async |target: &str| {
        let (status, _, body) = ask(address, "GET", target, "").await;
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    let (_, none) = get("/v1/failures").await;
    assert_eq!(none, json!({ "failures": [], "asked": 0 }));
    log.resync(Scope::AllFeeds, &[key], StaleReason::Hash);
    log.resync(Scope::AllFeeds, &[key], StaleReason::Audit);
    let stale = BookState::Stale(StaleReason::Audit);
    shelf.set(key, stale, "0.489", "0.5025", NOW);
    let (_, body) = get("/v1/failures").await;
    assert_eq!(mistakes("failures", &body), Vec::<String>::new());
    let row = &body["failures"][0];
    assert_eq!(
        (&row["token_id"], &row["outcome"]),
        (&"11".into(), &"Yes".into())
    );
    assert_eq!(
        (&row["reason"], &row["times"]),
        (&"audit".into(), &2.into())
    );
    assert_eq!(
        (&row["now"]["state"], &row["now"]["reason"]),
        (&"stale".into(), &"audit".into())
    );
    assert_eq!(body["asked"], 2);
    shelf.set(key, BookState::Live, "0.489", "0.5025", NOW);
    let (_, body) = get("/v1/failures?limit=1").await;
    assert_eq!(body["failures"][0]["now"]["state"], "live");
    for wrong in ["?limit=0", "?limit=65", "?reason=hash"] {
        assert_eq!(get(&format!("/v1/failures{wrong}")).await.0, 400, "{wrong}");
    }
    http.stop().await;
}
