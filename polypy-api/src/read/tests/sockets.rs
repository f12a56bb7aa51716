//! The routes of books, tops and trades, asked over sockets.

use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::Arc;

use polypy_core::{BookLookup, BookState, Component as _, StaleReason};
use polypy_http::{HttpConfig, HttpServer, Sources};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::forms::mistakes;
use super::world::World;
use crate::door::tests::common::{Program, config};
use crate::read;
use crate::read::testing::{of_event, row};

struct Server {
    http: HttpServer,
    address: SocketAddr,
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

impl Server {
    async fn of(world: &Arc<World>, config: HttpConfig) -> Self {
        let program = Arc::new(Program);
        let sources = Sources::new(program.clone(), program.clone(), program);
        let routes = read::routes(&world.reads());
        let http = HttpServer::builder(config, sources).routes(routes).build();
        http.start().await.unwrap();
        let address = http.local_addr().unwrap();
        Self { http, address }
    }

    async fn ask(&self, line: &str, headers: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = match body.len() {
            0 => String::new(),
            length => format!("Content-Length: {length}\r\n"),
        };
        let request = format!(
            "{line} HTTP/1.1\r\nHost: polypy\r\nConnection: close\r\n{length}{headers}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let body = bytes.split_off(end.unwrap() + 4);
        let head = String::from_utf8(bytes).unwrap();
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head,
            body,
        }
    }

    async fn get(&self, target: &str) -> Answer {
        self.ask(&format!("GET {target}"), "", "").await
    }

    async fn post(&self, body: &str) -> Answer {
        self.ask("POST /v1/books", "", body).await
    }
}

fn known(answer: &Answer) -> String {
    format!("If-None-Match: {}\r\n", answer.header("etag").unwrap())
}

#[tokio::test]
async fn many_books_are_those_that_are_read_one_by_one() {
    let world = World::with(3);
    world.set_lookup(world.keys(2)[1], BookLookup::Requested);
    let server = Server::of(&world, config()).await;
    for depth in ["", "&depth=5"] {
        let target = format!("/v1/books?tokens=12,1&markets=does-2-hold,does-3-hold{depth}");
        let answer = server.get(&target).await;
        assert_eq!(answer.status, 200, "{target}");
        let many = answer.json();
        assert_eq!(many["consistent"], "market");
        let shown = many["books"].as_array().unwrap();
        let mut ids = Vec::new();
        for book in shown {
            let id = book["token_id"].as_str().unwrap();
            let one = server
                .get(&format!("/v1/books/{id}?{}", depth.trim_start_matches('&')))
                .await;
            assert_eq!(one.json(), *book);
            ids.push(id);
        }
        assert_eq!(ids, ["12", "1", "21"]);
        let missing = many["missing"].as_array().unwrap().iter();
        let missing: Vec<_> = missing.map(|one| (&one["name"], &one["code"])).collect();
        let expected = [
            (json!("does-3-hold"), json!("not_followed")),
            (json!("22"), json!("no_snapshot")),
        ];
        let expected: Vec<_> = expected.iter().map(|(name, code)| (name, code)).collect();
        assert_eq!(missing, expected);
        // The same by a body, of which no client can say that it has the answer.
        let body = match depth {
            "" => r#"{"tokens":["12","1"],"markets":["does-2-hold","does-3-hold"]}"#,
            _ => r#"{"tokens":["12","1"],"markets":["does-2-hold","does-3-hold"],"depth":5.0}"#,
        };
        let posted = server.post(body).await;
        assert_eq!((posted.status, posted.body), (200, answer.body));
        assert!(!posted.head.contains("etag"), "{}", posted.head);
    }
    server.http.stop().await;
}

#[tokio::test]
async fn who_has_the_answer_is_spared_it_until_a_book_changes() {
    let world = World::with(20);
    let server = Server::of(&world, config()).await;
    let ids = |order: &[u64]| {
        let ids = order.iter().map(|market| format!("{}", market * 10 + 1));
        ids.collect::<Vec<_>>().join(",")
    };
    let many = (1..20).collect::<Vec<u64>>();
    for (target, other) in [
        (format!("/v1/books?tokens={}", ids(&[1, 2])), ids(&[2, 1])),
        (
            format!("/v1/books?tokens={}", ids(&many)),
            ids(&[2, 1, 3, 4]),
        ),
    ] {
        let answer = server.get(&target).await;
        let known = known(&answer);
        let again = server.ask(&format!("GET {target}"), &known, "").await;
        assert_eq!((again.status, again.body), (304, Vec::new()), "{target}");
        let other = format!("GET /v1/books?tokens={other}");
        assert_eq!(server.ask(&other, &known, "").await.status, 200, "{target}");
        world.change(world.keys(1)[0], |view| view.position.revision += 1);
        let changed = server.ask(&format!("GET {target}"), &known, "").await;
        assert_eq!(changed.status, 200, "{target}");
        let head = server.ask(&format!("HEAD {target}"), "", "").await;
        assert_eq!((head.status, &*head.body), (200, &[][..]));
        assert_eq!(head.header("etag"), changed.header("etag"));
    }
    server.http.stop().await;
}

#[tokio::test]
async fn a_request_that_cannot_be_meant_says_what_would_be() {
    let world = World::with(1);
    let server = Server::of(&world, config()).await;
    let ids = (0..501).map(|id| format!("\"{id}\"")).collect::<Vec<_>>();
    let too_many = format!("{{\"tokens\":[{}]}}", ids.join(","));
    for (body, parameter, part) in [
        ("", "body", "object such as"),
        ("[]", "body", "object such as"),
        (r#"[["1"]]"#, "body", "object such as"),
        ("{", "body", "EOF"),
        ("{}", "tokens", "by tokens, markets or events"),
        (r#"{"tokens":[]}"#, "tokens", "by tokens, markets or events"),
        (r#"{"token":["1"]}"#, "body", "unknown field `token`"),
        (
            r#"{"tokens":["1"],"tokens":["2"]}"#,
            "body",
            "duplicate field",
        ),
        (r#"{"tokens":"1"}"#, "body", "invalid type"),
        (r#"{"tokens":[1]}"#, "body", "invalid type"),
        (
            r#"{"tokens":["1","x7"]}"#,
            "tokens",
            "\"x7\": asset id must",
        ),
        (r#"{"tokens":["1"],"depth":0}"#, "depth", "from 1 to 10000"),
        (r#"{"tokens":["1"],"depth":-1}"#, "depth", "from 1 to 10000"),
        (
            r#"{"tokens":["1"],"depth":1.5}"#,
            "depth",
            "from 1 to 10000",
        ),
        (r#"{"tokens":["1"],"depth":"5"}"#, "body", "invalid type"),
        (&too_many, "tokens", "500"),
    ] {
        let answer = server.post(body).await;
        let error = answer.json();
        assert_eq!(
            (answer.status, &error["parameter"]),
            (400, &json!(parameter)),
            "{body}"
        );
        let text = error["error"].as_str().unwrap();
        assert!(text.contains(part), "{body}: {text}");
    }
    for (target, parameter) in [
        ("/v1/books", "tokens"),
        ("/v1/books?tokens=", "tokens"),
        ("/v1/books?tokens=x", "tokens"),
        ("/v1/books?tokens=1&depth=0", "depth"),
        ("/v1/books?tokens=1&dept=1", "dept"),
        ("/v1/tops?depth=1", "depth"),
        ("/v1/tops/x", "token_id"),
        ("/v1/tops/1?limit=101", "limit"),
        ("/v1/trades", "market"),
        ("/v1/trades?market=", "market"),
        ("/v1/trades?market=does-0-hold&limit=0", "limit"),
    ] {
        let answer = server.get(target).await;
        assert_eq!(
            (answer.status, &answer.json()["parameter"]),
            (400, &json!(parameter)),
            "{target}"
        );
    }
    let long = format!("{{\"markets\":[\"{}\"]}}", "x".repeat(64 << 10));
    assert_eq!(server.post(&long).await.status, 413);
    server.http.stop().await;
}

#[tokio::test]
async fn of_a_market_that_is_not_followed_each_route_says_where_to_read_why() {
    let world = World::with(1);
    world.listed.take([of_event(row(7), "cup", 1)]);
    let server = Server::of(&world, config()).await;
    let explain = |market: u64| format!("/v1/markets/0x{market:064x}?explain=selection");
    for (target, path) in [
        ("/v1/books/11", explain(1)),
        ("/v1/books/11?depth=500", explain(1)),
        ("/v1/tops/12", explain(1)),
        ("/v1/trades/12", explain(1)),
        ("/v1/trades?market=does-1-hold", explain(1)),
        ("/v1/books?tokens=11,777", explain(1)),
        ("/v1/books?markets=does-7-hold", explain(7)),
        ("/v1/books?events=cup", "/v1/events/cup".to_owned()),
    ] {
        let answer = server.get(target).await;
        let error = answer.json();
        assert_eq!(answer.status, 404, "{target}");
        assert_eq!(error["type"], "urn:polypy:problem:not_followed", "{target}");
        assert_eq!(error["explain"], json!(path), "{target}");
        assert!(error["detail"].as_str().unwrap().contains(&path), "{error}");
    }
    for (target, kind) in [
        ("/v1/books/777", "unknown_token"),
        ("/v1/tops/777", "unknown_token"),
        ("/v1/trades/777", "unknown_token"),
        ("/v1/trades?market=nothing", "unknown_market"),
        ("/v1/books?tokens=777", "unknown_token"),
        ("/v1/books?markets=nothing", "unknown_market"),
        ("/v1/books?events=nothing", "unknown_event"),
    ] {
        let answer = server.get(target).await;
        let error = answer.json();
        assert_eq!(answer.status, 404, "{target}");
        assert_eq!(
            error["type"],
            format!("urn:polypy:problem:{kind}"),
            "{target}"
        );
        assert!(error.get("explain").is_none(), "{target}");
    }
    world.set_lookup(world.keys(0)[0], BookLookup::Requested);
    world.set_lookup(world.keys(0)[1], BookLookup::Ended);
    for (target, status) in [
        ("/v1/books/1", 503),
        ("/v1/tops/1", 503),
        ("/v1/books?tokens=1", 503),
        ("/v1/books/2", 404),
        ("/v1/books?markets=does-0-hold", 404),
    ] {
        let answer = server.get(target).await;
        assert_eq!(answer.status, status, "{target}");
        assert_eq!(
            answer.header("retry-after").is_some(),
            status == 503,
            "{target}"
        );
    }
    server.http.stop().await;
}

#[tokio::test]
async fn the_tops_of_all_are_sent_as_they_are_and_packed() {
    let world = World::with(30);
    let server = Server::of(&world, config()).await;
    let plain = server.get("/v1/tops").await;
    assert_eq!(plain.status, 200);
    assert_eq!(plain.json()["markets"], 30);
    let gzip = "Accept-Encoding: gzip\r\n";
    let packed = server.ask("GET /v1/tops", gzip, "").await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(&*packed.body)
        .read_to_end(&mut text)
        .unwrap();
    assert_eq!(text, plain.body);
    assert!(packed.body.len() * 3 < text.len());
    let again = server.ask("GET /v1/tops", &known(&plain), "").await;
    assert_eq!((again.status, again.body), (304, Vec::new()));
    world.change(world.keys(3)[1], |view| view.position.sequence += 1);
    // Those from before may still be new enough.
    let changed = loop {
        let answer = server.ask("GET /v1/tops", &known(&plain), "").await;
        if answer.status != 304 {
            break answer;
        }
    };
    assert_eq!(changed.status, 200);
    assert_ne!(changed.body, plain.body);
    server.http.stop().await;
}

#[tokio::test]
async fn what_does_not_fit_beside_other_answers_says_so() {
    let world = World::with(200);
    let small = HttpConfig {
        answer_memory: 64 << 10,
        ..config()
    };
    let server = Server::of(&world, small).await;
    let markets = (0..200).map(|market| format!("\"does-{market}-hold\""));
    let all = format!(
        "{{\"markets\":[{}]}}",
        markets.collect::<Vec<_>>().join(",")
    );
    for answer in [
        server.post(&all).await,
        server.get("/v1/tops").await,
        server.post(&all).await,
    ] {
        assert_eq!(answer.status, 503);
        assert!(answer.header("retry-after").is_some());
        let text = answer.json();
        let text = text["error"].as_str().unwrap();
        assert!(text.contains("http.answer_memory"), "{text}");
    }
    assert_eq!(
        server.get("/v1/books?markets=does-3-hold").await.status,
        200
    );
    server.http.stop().await;
}

#[tokio::test]
async fn a_top_comes_with_what_it_was_before() {
    let world = World::with(1);
    let server = Server::of(&world, config()).await;
    let answer = server.get("/v1/tops/1?limit=2").await;
    let mut top = answer.json();
    let history = top["history"].take();
    assert_eq!(
        top,
        json!({
            "token_id": "1", "condition_id": format!("0x{:064x}", 0), "outcome": "Yes",
            "slug": "does-0-hold", "state": "live", "reason": null, "verified": true,
            "epoch": 3, "sequence": 4_711, "revision": 7,
            "best_bid": "0.49", "best_bid_size": "29.5", "best_ask": "0.53", "best_ask_size": "120",
            "spread": "0.04", "mid_price": "0.51",
            "ts_event_ms": 1_765_189_799_750_u64, "ts_event": "2025-12-08T10:29:59.750Z",
            "history": null,
        })
    );
    let points = history.as_array().unwrap();
    let bids: Vec<_> = points.iter().map(|point| &point["best_bid"]).collect();
    assert_eq!(bids, ["0.42", "0.43"]);
    assert_eq!(points[1]["ts_event"], "2025-12-08T10:29:30.000Z");
    let known = known(&answer);
    assert_eq!(server.ask("GET /v1/tops/1", &known, "").await.status, 304);
    world.change(world.keys(0)[0], |view| view.position.sequence += 1);
    assert_eq!(server.ask("GET /v1/tops/1", &known, "").await.status, 200);
    server.http.stop().await;
}

#[tokio::test]
async fn trades_of_a_market_stand_in_the_order_in_which_they_came() {
    let world = World::with(1);
    let (yes, no) = (world.keys(0)[0], world.keys(0)[1]);
    world.trade(yes, &[(4, 10), (5, 30), (6, 30)]);
    world.trade(no, &[(1, 20), (2, 40)]);
    let server = Server::of(&world, config()).await;
    let answer = server.get("/v1/trades?market=does-0-hold").await;
    let shown = answer.json();
    assert_eq!(shown["slug"], "does-0-hold");
    assert_eq!(
        shown["tokens"],
        json!([
            { "token_id": "1", "outcome": "Yes", "trade_sequence": 6 },
            { "token_id": "2", "outcome": "No", "trade_sequence": 2 },
        ])
    );
    let order = |shown: &Value| -> Vec<(String, u64)> {
        let trades = shown["trades"].as_array().unwrap().iter();
        let of = |trade: &Value| {
            let outcome = trade["outcome"].as_str().unwrap().to_owned();
            (outcome, trade["trade_sequence"].as_u64().unwrap())
        };
        trades.map(of).collect()
    };
    let yes_and_no = |order: &[(&str, u64)]| -> Vec<(String, u64)> {
        let owned = order
            .iter()
            .map(|(name, number)| ((*name).to_owned(), *number));
        owned.collect()
    };
    let expected = yes_and_no(&[("No", 2), ("Yes", 6), ("Yes", 5), ("No", 1), ("Yes", 4)]);
    assert_eq!(order(&shown), expected);
    let two = server.get("/v1/trades?limit=2&market=0x0").await.json();
    assert_eq!(order(&two), expected[..2]);
    let known = known(&answer);
    let target = "GET /v1/trades?market=does-0-hold";
    assert_eq!(server.ask(target, &known, "").await.status, 304);
    world.trade(no, &[(1, 20), (2, 40), (3, 50)]);
    assert_eq!(server.ask(target, &known, "").await.status, 200);
    server.http.stop().await;
}

#[tokio::test]
async fn bodies_have_the_forms_that_are_written_down() {
    let world = World::with(3);
    let key = world.keys(0)[1];
    world.change(key, |view| view.state = BookState::Stale(StaleReason::Hash));
    world.set_lookup(world.keys(2)[0], BookLookup::Requested);
    world.trade(key, &[(1, 10), (2, 20)]);
    world.listed.take([of_event(row(7), "cup", 1)]);
    let server = Server::of(&world, config()).await;
    for (target, form) in [
        ("/v1/books/1", "book"),
        ("/v1/books/2", "book"),
        (
            "/v1/books?tokens=1,777,21&events=cup,none&markets=x",
            "books",
        ),
        ("/v1/tops", "tops"),
        ("/v1/tops/2", "top"),
        ("/v1/trades/2", "trades"),
        ("/v1/trades?market=does-0-hold", "market_trades"),
        ("/v1/books/777", "error"),
        ("/v1/books?tokens=x", "error"),
        ("/v1/books/71", "error"),
        ("/v1/nothing", "error"),
    ] {
        let answer = server.get(target).await;
        assert_eq!(
            mistakes(form, &answer.json()),
            Vec::<String>::new(),
            "{target}"
        );
    }
    server.http.stop().await;
}
