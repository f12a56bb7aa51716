//! What `polypy run --demo` serves of its exchange: faults, flow, true books.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::process::{PATIENCE, Running, get, send};

const JSON: &str = "Content-Type: application/json";

struct Demo {
    _running: Running,
    url: String,
    token: String,
}

impl Demo {
    fn start(more: &[&str]) -> Self {
        // A market that ends while a connection is lost has no book afterwards, and is awaited
        // until the next crawl.
        let own = [
            "run",
            "--demo",
            "--http-port=0",
            "--sim-markets=5",
            "--sim-resolve-per-minute=0",
        ];
        let mut running = Running::start(&[&own[..], more].concat());
        let line = running.stdout_line("/orderbook/");
        let line = &line[line.find("http://").unwrap()..];
        let (url, rest) = line.split_once("/orderbook/").unwrap();
        let token = rest.split('?').next().unwrap().to_owned();
        let url = url.to_owned();
        running.stderr_line("every book is live");
        Self {
            _running: running,
            url,
            token,
        }
    }

    fn get(&self, path: &str) -> (u16, Value) {
        get(&format!("{}{path}", self.url))
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("{}{path}", self.url);
        send(method, &url, &[JSON], &body.to_string())
    }

    /// Asks until the answer is one that is waited for.
    fn wait(&self, path: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let (_, answer) = self.get(path);
            if is_it(&answer) {
                return answer;
            }
            assert!(Instant::now() < end, "{path} stays {answer}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn a_fault_makes_a_book_stale_and_it_comes_back() {
    let demo = Demo::start(&[]);
    let (status, before) = demo.get("/demo/faults");
    assert_eq!((status, &before["active"]), (200, &json!([])));
    let offered = before["offered"].as_array().unwrap();
    assert!(offered.iter().any(|one| one["name"] == "drop_connection"));

    let cut = json!({ "name": "drop_connection", "for_s": 2 });
    let (status, after) = demo.send("POST", "/demo/faults", &cut);
    assert_eq!(status, 200, "{after}");
    let active = &after["active"][0];
    assert_eq!(active["name"], "drop_connection");
    assert!(active["ends_in_s"].as_f64() <= Some(2.0), "{active}");
    assert!(active["hits"].as_u64() >= Some(1), "{active}");

    let book = format!("/orderbook/{}?depth=1", demo.token);
    let stale = demo.wait(&book, |book| book["state"] == "stale");
    assert_eq!(stale["reason"], "disconnected");
    // It ends by itself, and the book is the exchange's again.
    demo.wait("/demo/faults", |faults| faults["active"] == json!([]));
    demo.wait(&book, |book| book["state"] == "live");

    let (status, truth) = demo.get(&format!("/demo/books/{}", demo.token));
    assert_eq!(
        (status, &truth["token_id"]),
        (200, &demo.token.as_str().into())
    );
    assert!(truth["sequence"].is_u64() && truth["ts_event_ms"].is_u64());
    let levels = ["bids", "asks"].map(|side| truth[side].as_array().unwrap().len());
    assert!(levels.iter().all(|levels| *levels > 0), "{truth}");
    assert_eq!(demo.get("/demo/books/1").0, 404);
    assert_eq!(demo.get("/demo/books/x").0, 400);
}

#[test]
fn what_a_fault_may_be_is_bounded() {
    let demo = Demo::start(&[]);
    let token = demo.token.as_str();
    let many = vec![token; 101];
    for (body, field) in [
        (json!({ "name": "giant_frame" }), "name"),
        (json!({ "name": "wrong_hash", "for_s": 0 }), "for_s"),
        (json!({ "name": "wrong_hash", "for_s": 61 }), "for_s"),
        (
            json!({ "name": "wrong_hash", "token_ids": [] }),
            "token_ids",
        ),
        (
            json!({ "name": "wrong_hash", "token_ids": many }),
            "token_ids",
        ),
        (
            json!({ "name": "wrong_hash", "token_ids": ["x"] }),
            "token_ids",
        ),
        (
            json!({ "name": "wrong_hash", "token_ids": ["1"] }),
            "token_ids",
        ),
        (
            json!({ "name": "drop_connection", "token_ids": [token] }),
            "token_ids",
        ),
    ] {
        let (status, answer) = demo.send("POST", "/demo/faults", &body);
        assert_eq!(
            (status, &answer["parameter"]),
            (400, &field.into()),
            "{body}: {answer}"
        );
    }
    for body in ["", "[", "{}", "{\"name\":\"wrong_hash\",\"rate\":1}"] {
        let (status, _) = send("POST", &format!("{}/demo/faults", demo.url), &[JSON], body);
        assert_eq!(status, 400, "{body}");
    }
    let url = format!("{}/demo/faults", demo.url);
    let fault = json!({ "name": "wrong_hash", "token_ids": [token], "for_s": 60 }).to_string();
    assert_eq!(
        send("POST", &url, &["Content-Type: text/plain"], &fault).0,
        415
    );
    assert_eq!(send("POST", &url, &[], &fault).0, 415);
    let long = format!("{{\"name\":\"{}\"}}", "x".repeat(12 * 1024));
    assert_eq!(send("POST", &url, &[JSON], &long).0, 413);
    assert_eq!(demo.get("/demo/faults").1["active"], json!([]));

    for on in 1..=16 {
        let (status, answer) = send("POST", &url, &[JSON], &fault);
        let active = answer["active"].as_array().map(Vec::len);
        assert_eq!((status, active), (200, Some(on)), "{answer}");
    }
    let (status, answer) = send("POST", &url, &[JSON], &fault);
    assert_eq!(
        (status, &answer["parameter"]),
        (400, &"name".into()),
        "{answer}"
    );
    let (_, answer) = demo.get("/demo/faults");
    let first = &answer["active"][0];
    assert_eq!(first["token_ids"], json!([token]));
    let id = first["id"].clone();
    let (status, answer) = demo.send("POST", "/demo/faults/off", &json!({ "id": id }));
    assert_eq!(
        (status, answer["active"].as_array().map(Vec::len)),
        (200, Some(15))
    );
    assert_eq!(
        demo.send("POST", "/demo/faults/off", &json!({ "id": id }))
            .0,
        404
    );
    let (status, answer) = demo.send("POST", "/demo/faults/off", &json!({}));
    assert_eq!((status, &answer["active"]), (200, &json!([])));
}

#[test]
fn the_flow_stands_still_and_goes_on() {
    let demo = Demo::start(&[]);
    let (status, flow) = demo.send("PUT", "/demo/flow", &json!({ "paused": true }));
    assert_eq!((status, &flow["paused"]), (200, &true.into()), "{flow}");
    let rate = flow["events_per_second"].clone();
    let truth = format!("/demo/books/{}", demo.token);
    let (_, still) = demo.get(&truth);
    for rate in [json!(20_001), json!(-1), json!("many")] {
        let body = json!({ "events_per_second": rate });
        assert_eq!(demo.send("PUT", "/demo/flow", &body).0, 400, "{body}");
    }
    assert_eq!(demo.get("/demo/flow").1["events_per_second"], rate);
    // What is shown comes to what is true, and both stay.
    let book = format!("/v1/books/{}", demo.token);
    demo.wait(&book, |book| {
        ["bids", "asks"]
            .iter()
            .all(|side| book[side] == still[side])
    });
    assert_eq!(demo.get(&truth).1, still);
    let faster = json!({ "paused": false, "events_per_second": 5_000 });
    let (status, flow) = demo.send("PUT", "/demo/flow", &faster);
    assert_eq!((status, &flow["events_per_second"]), (200, &json!(5_000.0)));
    demo.wait(&truth, |truth| {
        truth["sequence"].as_u64() > still["sequence"].as_u64()
    });
}

#[test]
fn no_other_page_reaches_the_exchange_and_the_token_applies() {
    let demo = Demo::start(&["--http-cors-origins=*"]);
    let own = demo.url.clone();
    let port: u16 = own.rsplit(':').next().unwrap().parse().unwrap();
    let next_port = format!("http://127.0.0.1:{}", port ^ 1);
    for (origin, expected) in [
        (own.as_str(), 200),
        (next_port.as_str(), 403),
        ("http://example.org", 403),
        ("null", 403),
    ] {
        let origin = format!("Origin: {origin}");
        let read = send("GET", &format!("{own}/demo/faults"), &[&origin], "").0;
        assert_eq!(read, expected, "GET with {origin}");
        let body = "{\"paused\":false}";
        let set = send("PUT", &format!("{own}/demo/flow"), &[JSON, &origin], body).0;
        assert_eq!(set, expected, "PUT with {origin}");
    }
    // Other routes go on answering those whom the operator lists.
    let health = format!("{own}/health");
    assert_eq!(
        send("GET", &health, &["Origin: http://example.org"], "").0,
        200
    );

    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join(format!("demo-routes-{}", std::process::id()));
    std::fs::write(&file, "correct-horse-battery").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, mode).unwrap();
    let guarded = Demo::start(&[&format!("--http-token-file={}", file.display())]);
    let url = format!("{}/demo/faults", guarded.url);
    assert_eq!(get(&url).0, 401);
    let token = "Authorization: Bearer correct-horse-battery";
    assert_eq!(send("GET", &url, &[token], "").0, 200);
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn only_the_demo_has_them() {
    let mut sim = Running::start(&["sim", "--markets=5"]);
    let mut arguments = vec!["run".to_owned(), "--enable-http".to_owned()];
    arguments.extend(["--http-port=0", "--http-host=127.0.0.1"].map(str::to_owned));
    for (line, flag) in [
        ("gamma_url", "--venue-gamma-url"),
        ("clob_url", "--venue-clob-url"),
        ("ws_url", "--venue-ws-url"),
    ] {
        let line = sim.stdout_line(line);
        let url = line.split('"').nth(1).unwrap();
        arguments.push(format!("{flag}={url}"));
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut server = Running::start(&arguments);
    let line = server.stderr_line("http server listening");
    let line: Value = serde_json::from_str(&line).unwrap();
    let url = format!("http://{}", line["address"].as_str().unwrap());
    assert_eq!(
        get(&format!("{url}/health")).1["components"]["registry"],
        true
    );
    for path in ["/demo/faults", "/demo/flow", "/demo/books/1"] {
        assert_eq!(get(&format!("{url}{path}")).0, 404, "{path}");
    }
    let (_, index) = get(&format!("{url}/"));
    assert!(!index.to_string().contains("/demo/"), "{index}");
}

#[test]
fn a_connection_that_was_lost_says_why_and_history_and_health_have_seen_it() {
    let demo = Demo::start(&[]);
    let connections = demo.wait("/v1/connections", |body| {
        let row = &body["connections"][0];
        row["state"] == "live" && row["messages_per_second"].as_f64() > Some(0.0)
    });
    let row = &connections["connections"][0];
    assert_eq!(row["last_end"], Value::Null);
    assert!(row["silence_limit_ms"].as_u64() > Some(1_000), "{row}");
    let cut = json!({ "name": "drop_connection", "for_s": 2 });
    assert_eq!(demo.send("POST", "/demo/faults", &cut).0, 200);
    let lost = demo.wait("/v1/connections", |body| {
        !body["connections"][0]["last_end"].is_null()
    });
    let end = &lost["connections"][0]["last_end"];
    assert!(
        ["closed", "dropped", "broken", "not_opened"].contains(&end["cause"].as_str().unwrap()),
        "{end}"
    );
    let back = demo.wait("/v1/connections", |body| {
        body["connections"][0]["state"] == "live"
    });
    assert_eq!(back["connections"][0]["next_attempt_ms"], Value::Null);
    assert!(
        back["connections"][0]["reconnects"].as_u64() >= Some(1),
        "{back}"
    );
    // A second of the history has fewer live books, and the books are verified again.
    let history = "/v1/history?fields=books_live,books_verified,stale_disconnected";
    demo.wait(history, |body| {
        let rows = body["rows"].as_array().unwrap();
        rows.iter().any(|row| row[3].as_f64() > Some(0.0))
            && rows
                .last()
                .is_some_and(|row| row[1].as_f64() > Some(0.0) && row[2].as_f64() > Some(0.0))
    });
}
