//! What each route answers, over real sockets.

use std::io::Read as _;

use crate::common::*;
use polypy_core::metrics::Sheet;
use polypy_core::{Component, Health, StatsSource};
use polypy_http::{HttpConfig, HttpServer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test]
async fn health_endpoint_healthy() {
    let (server, address) = full().await;
    let answer = get(address, "/health").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({
            "healthy": true,
            "timestamp": "2025-12-08T10:30:00.000Z",
            "components": {
                "registry": true, "pool": true, "router": true,
                "workers": true, "lifecycle": true, "recycler": true,
            },
            "reasons": [{ "code": "books_not_live", "text": "396 of 400 books are live" }],
            "books": { "wanted": 400, "live": 396, "stale": 3, "awaited": 1 },
        })
    );
    for (name, value) in [
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
        ("server", concat!("polypy/", env!("CARGO_PKG_VERSION"))),
    ] {
        assert_eq!(answer.header(name), Some(value));
    }
    assert!(
        answer
            .header("date")
            .is_some_and(|date| date.ends_with("GMT"))
    );
    server.stop().await;
}

#[tokio::test]
async fn health_endpoint_unhealthy() {
    let probe = Probe::healthy();
    *probe.health.lock() = Health::of(false)
        .with("registry", false)
        .with("pool", false);
    let (server, address) = started(config(), sources(&probe)).await;
    let answer = get(address, "/health").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["healthy"], false);
    assert_eq!(
        answer.json()["components"],
        json!({ "registry": false, "pool": false })
    );

    // The verdict is read again each time.
    *probe.health.lock() = all_healthy();
    assert_eq!(get(address, "/health").await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn health_endpoint_partial_startup() {
    let probe = Probe::healthy();
    *probe.health.lock() = Health::of(false)
        .with("registry", true)
        .with("pool", false)
        .with("workers", false);
    let (server, address) = started(config(), sources(&probe)).await;
    let answer = get(address, "/health").await;
    assert_eq!(answer.status, 503);
    assert_eq!(
        answer.json()["components"],
        json!({ "registry": true, "pool": false, "workers": false })
    );
    server.stop().await;
}

#[tokio::test]
async fn stats_endpoint_returns_data_as_it_is_whatever_the_health() {
    let probe = Probe::healthy();
    *probe.health.lock() = Health::of(false);
    *probe.stats.lock() = json!({
        "running": true,
        "registry": { "total_markets": 100 },
        "pool": { "connection_count": 3 },
        "router": { "messages_routed": 50_000 },
        "workers": { "alive_count": 4 },
        "lifecycle": { "is_running": true },
        "recycler": { "recycles_initiated": 2 },
    });
    let (server, address) = started(config(), sources(&probe)).await;
    let answer = get(address, "/stats").await;
    assert_eq!(answer.status, 200);
    // The very text: names, nesting and order are the source's.
    assert_eq!(answer.body, format!("{}\n", probe.stats.lock()));
    server.stop().await;
}

#[tokio::test]
async fn stats_endpoint_empty_stats() {
    let probe = Probe::healthy();
    *probe.stats.lock() = json!({ "running": false, "registry": {}, "workers": {} });
    let (server, address) = started(config(), sources(&probe)).await;
    let answer = get(address, "/stats").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["running"], false);
    assert_eq!(answer.json()["registry"], json!({}));
    server.stop().await;
}

#[tokio::test]
async fn the_landing_page_lists_the_routes() {
    let (server, address) = full().await;
    let answer = get(address, "/").await;
    assert_eq!(answer.status, 200);
    let body = answer.json();
    assert_eq!(body["service"], "polypy");
    assert_eq!(body["version"], env!("CARGO_PKG_VERSION"));
    let paths: Vec<_> = body["endpoints"]
        .as_array()
        .unwrap()
        .iter()
        .map(|endpoint| endpoint["path"].as_str().unwrap())
        .collect();
    assert_eq!(
        paths,
        [
            "/",
            "/version",
            "/health",
            "/livez",
            "/readyz",
            "/startupz",
            "/stats",
            "/metrics",
            "/markets",
            "/orderbook/{asset_id}"
        ]
    );
    server.stop().await;
}

#[tokio::test]
async fn markets_are_listed_whole_or_by_page() {
    let (server, address) = full().await;
    let body = get(address, "/markets").await.json();
    assert_eq!(body["total"], 25);
    assert_eq!(body["markets"].as_array().unwrap().len(), 25);
    assert_eq!(
        body["markets"][0],
        json!({
            "condition_id": format!("0x{:064x}", 0),
            "question": "Does \"0\" hold?",
            "outcomes": ["Yes", "No"],
            "tokens": [
                { "token_id": "0", "outcome": "Yes" },
                { "token_id": "1", "outcome": "No" },
            ],
            "end_date_iso": "2026-12-31T00:00:00Z",
            "end_timestamp": 1_798_675_200_000u64,
            "tick_size": "0.01",
            "min_order_size": null,
            "neg_risk": false,
        })
    );

    let page = get(address, "/markets?offset=20&limit=10").await.json();
    assert_eq!(page["offset"], 20);
    assert_eq!(page["total"], 25);
    let page = page["markets"].as_array().unwrap();
    assert_eq!(page.len(), 5);
    assert_eq!(page[0]["tokens"][0]["token_id"], "200");
    assert_eq!(
        get(address, "/markets?offset=1000").await.json()["markets"],
        json!([])
    );

    for (query, parameter) in [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("offset=-1", "offset"),
        ("offset=1&offset=2", "offset"),
        ("page=2", "page"),
    ] {
        let answer = get(address, &format!("/markets?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        assert_eq!(answer.json()["parameter"], parameter, "{query}");
    }
    server.stop().await;
}

#[tokio::test]
async fn large_answers_are_compressed_for_those_who_ask() {
    let probe = Probe::healthy();
    *probe.stats.lock() = json!({ "padding": "1,".repeat(2_000) });
    let sources = sources(&probe).with_markets(markets(200));
    let (server, address) = started(config(), sources).await;
    let ask = async |target: &str, encoding: &str| {
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: here\r\nAccept-Encoding: {encoding}\r\n\
             Connection: close\r\n\r\n"
        );
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let end = bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap()
            + 4;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        (Answer::all(&head).remove(0), bytes.split_off(end))
    };
    for target in ["/markets", "/stats"] {
        let (plain, plain_body) = ask(target, "gzip;q=0").await;
        assert_eq!(plain.header("content-encoding"), None);
        assert_eq!(plain.header("vary"), Some("accept-encoding"));
        for _ in 0..3 {
            let (packed, packed_body) = ask(target, "br, gzip").await;
            assert_eq!(packed.header("content-encoding"), Some("gzip"));
            assert_eq!(packed.header("vary"), Some("accept-encoding"));
            assert!(packed_body.len() * 4 < plain_body.len(), "{target}");
            let mut unpacked = Vec::new();
            flate2::read::GzDecoder::new(&packed_body[..])
                .read_to_end(&mut unpacked)
                .unwrap();
            assert_eq!(unpacked, plain_body, "{target}");
        }
    }
    // What is small is sent as it is.
    let (small, _) = ask("/health", "gzip").await;
    assert_eq!(small.header("content-encoding"), None);
    server.stop().await;
}

#[tokio::test]
async fn without_their_sources_markets_and_books_are_503() {
    let (server, address) = started(config(), sources(&Probe::healthy())).await;
    for target in ["/markets", "/orderbook/1"] {
        let answer = get(address, target).await;
        assert_eq!(answer.status, 503, "{target}");
        assert!(
            answer.json()["error"]
                .as_str()
                .unwrap()
                .contains("not served")
        );
    }
    // What can be said without the source is said.
    assert_eq!(get(address, "/markets?limit=x").await.status, 400);
    assert_eq!(get(address, "/orderbook/x").await.status, 400);
    server.stop().await;
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let (server, address) = full().await;
    for target in [
        "/".to_owned(),
        "/health".to_owned(),
        "/stats".to_owned(),
        "/markets".to_owned(),
        format!("/orderbook/{LIVE}"),
        format!("/orderbook/{UNKNOWN}"),
        "/nowhere".to_owned(),
    ] {
        let get = get(address, &target).await;
        let head = request(address, &format!("HEAD {target}")).await;
        assert_eq!(head.status, get.status, "{target}");
        assert_eq!(head.body, "", "{target}");
        // The two differ in when, and in which request, they were.
        let stable = |answer: &Answer| -> Vec<(String, String)> {
            let mut headers = answer.headers.clone();
            headers.retain(|(name, _)| name != "date" && name != "x-request-id");
            headers
        };
        assert_eq!(stable(&head), stable(&get), "{target}");
        assert!(get.header("content-length").is_some(), "{target}");
    }
    server.stop().await;
}

#[tokio::test]
async fn options_say_what_is_allowed() {
    let (server, address) = full().await;
    for target in ["/", "/health", "/orderbook/1", "*"] {
        let answer = request(address, &format!("OPTIONS {target}")).await;
        assert_eq!(answer.status, 204, "{target}");
        assert_eq!(
            answer.header("allow"),
            Some("GET, HEAD, OPTIONS"),
            "{target}"
        );
        assert_eq!(answer.body, "");
        assert_eq!(answer.header("content-type"), None);
    }
    assert_eq!(request(address, "OPTIONS /nowhere").await.status, 404);
    server.stop().await;
}

#[tokio::test]
async fn other_methods_are_405_with_allow() {
    let (server, address) = full().await;
    for line in [
        "POST /health",
        "PUT /stats",
        "DELETE /orderbook/1",
        "PATCH /",
        "TRACE /health",
        "BREW /health",
        "get /health",
        "CONNECT here:80",
    ] {
        let answer = request(address, line).await;
        assert_eq!(answer.status, 405, "{line}");
        assert_eq!(answer.header("allow"), Some("GET, HEAD, OPTIONS"), "{line}");
        let body = answer.json();
        assert_eq!(body["allow"], "GET, HEAD, OPTIONS");
        assert_eq!(body["method"], line.split(' ').next().unwrap());
    }
    server.stop().await;
}

#[tokio::test]
async fn an_unknown_path_is_404_with_the_routes() {
    let (server, address) = full().await;
    for line in ["GET /nowhere", "POST /nowhere", "GET /health/", "GET *"] {
        let answer = request(address, line).await;
        assert_eq!(answer.status, 404, "{line}");
        let body = answer.json();
        assert_eq!(body["path"], line.split(' ').nth(1).unwrap());
        assert_eq!(body["status"], 404);
        assert!(
            body["routes"]
                .as_array()
                .unwrap()
                .contains(&json!("/health"))
        );
        assert_eq!(body["request_id"], answer.header("x-request-id").unwrap());
    }
    server.stop().await;
}

#[tokio::test]
async fn a_probe_may_add_a_query_to_routes_without_parameters() {
    let (server, address) = full().await;
    assert_eq!(get(address, "/health?probe=1&probe=%zz").await.status, 200);
    assert_eq!(get(address, "/stats?_=123").await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn request_ids_are_echoed_when_sane_and_made_otherwise() {
    let (server, address) = full().await;
    let ask = async |id: &str| {
        let request = format!(
            "GET /orderbook/{LIVE} HTTP/1.1\r\nHost: here\r\nX-Request-Id: {id}\r\n\
             Connection: close\r\n\r\n"
        );
        Answer::all(&raw(address, request.as_bytes()).await).remove(0)
    };
    let echoed = ask("scrape-7:a.b_c").await;
    assert_eq!(echoed.header("x-request-id"), Some("scrape-7:a.b_c"));
    assert_eq!(echoed.json()["request_id"], "scrape-7:a.b_c");
    for odd in ["a b", "<script>", "", &"x".repeat(200)] {
        let made = ask(odd).await;
        let id = made.header("x-request-id").unwrap();
        assert_eq!(id.len(), 17, "{odd:?} became {id}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_panicking_source_costs_its_own_request_only() {
    let (server, address) = full().await;
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let poisoned = format!("GET /orderbook/{POISON} HTTP/1.1\r\nHost: here\r\n\r\n");
    let answer = exchange(&mut stream, &poisoned).await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.json()["status"], 500);
    assert!(
        !answer.body.contains("poisoned"),
        "the panic's text stays in the log"
    );
    // The same connection goes on.
    assert_eq!(exchange(&mut stream, KEEP_ALIVE).await.status, 200);
    assert_eq!(server.stats()["handler_panics"], 1);
    server.stop().await;
}

#[tokio::test]
async fn a_panicking_statistics_source_is_a_500_too() {
    struct Broken;
    impl StatsSource for Broken {
        fn show(&self, _sheet: &mut dyn Sheet) {
            panic!("no numbers today")
        }
    }
    let probe = Probe::healthy();
    let sources = polypy_http::Sources::new(
        probe.clone(),
        std::sync::Arc::new(Broken),
        std::sync::Arc::new(FixedClock),
    );
    let (server, address) = started(config(), sources).await;
    for _ in 0..10 {
        assert_eq!(get(address, "/stats").await.status, 500);
    }
    assert_eq!(get(address, "/health").await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn an_ordinary_client_reuses_its_connection() {
    use http_body_util::{BodyExt, Empty};
    use hyper::client::conn::http1::handshake;
    use hyper_util::rt::TokioIo;

    let (server, address) = full().await;
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut client, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    for target in ["health", "stats", "markets", "nowhere", "health"] {
        // It refuses a request once the server has closed the connection.
        client.ready().await.unwrap();
        let request = hyper::Request::get(format!("/{target}"))
            .header("host", address.to_string())
            .body(Empty::<bytes::Bytes>::new())
            .unwrap();
        let response = client.send_request(request).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(serde_json::from_slice::<Value>(&body).is_ok(), "{target}");
    }
    assert_eq!(server.stats()["accepted_connections"], 1);
    drop(client);
    connection.await.unwrap().unwrap();
    server.stop().await;
}

#[tokio::test]
async fn the_server_counts_what_it_answers() {
    let (server, address) = full().await;
    for target in ["/health", "/health", "/nowhere", "/markets?x=1"] {
        get(address, target).await;
    }
    let stats = until(&server, |stats| stats["active_connections"] == 0).await;
    let requests = stats["requests"].as_object().unwrap().iter();
    let asked: serde_json::Map<_, _> = requests
        .filter(|(_, by_status)| **by_status != json!({}))
        .map(|(path, by_status)| (path.clone(), by_status.clone()))
        .collect();
    assert_eq!(
        Value::Object(asked),
        json!({
            "/health": { "200": 2 },
            "/markets": { "400": 1 },
            "unmatched": { "404": 1 },
        })
    );
    assert_eq!(stats["state"], "running");
    assert_eq!(stats["accepted_connections"], 4);
    assert_eq!(stats["address"], address.to_string());
    server.stop().await;
}

#[test]
fn default_and_custom_configuration_reach_the_server() {
    let probe = Probe::healthy();
    let server = HttpServer::new(HttpConfig::default(), sources(&probe));
    assert_eq!(server.config().port, 8080);
    assert_eq!(server.config().host.to_string(), "0.0.0.0");

    let config = HttpConfig {
        port: 9090,
        host: [127, 0, 0, 1].into(),
        ..HttpConfig::default()
    };
    let server = HttpServer::new(config.clone(), sources(&probe));
    assert_eq!(server.config(), &config);
    // Readable before it ever ran.
    assert_eq!(server.stats()["state"], "stopped");
    assert_eq!(server.local_addr(), None);
}
