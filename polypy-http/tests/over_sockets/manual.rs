//! `docs/http-api.md` against what the server really answers.

use crate::common::*;
use polypy_core::Component;
use polypy_http::{HttpServer, Kind, Parameter, Reply, Route, StatusCode};
use serde_json::Value;

const MANUAL: &str = include_str!("../../../docs/http-api.md");

/// The fenced blocks of one language within a text.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    text.split(&fence)
        .skip(1)
        .map(|rest| rest.split("\n```").next().unwrap_or(""))
        .collect()
}

/// The first JSON block of a route's section.
fn example(path: &str) -> serde_json::Result<Value> {
    let heading = format!("### GET {path}\n");
    let section = MANUAL
        .split_once(&heading)
        .map_or("", |(_, section)| section);
    let block = blocks(section, "json").first().copied().unwrap_or("");
    serde_json::from_str(block)
}

/// Every name in a value, with its place; arrays count by their first element.
fn names(value: &Value, place: &str, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let place = format!("{place}.{name}");
                into.push(place.clone());
                names(field, &place, into);
            }
        }
        Value::Array(elements) => {
            if let Some(first) = elements.first() {
                names(first, &format!("{place}[]"), into);
            }
        }
        _ => {}
    }
}

#[tokio::test]
async fn examples_have_exactly_the_fields_of_real_answers() {
    let (server, address) = full().await;
    for (path, target) in [
        ("/", "/".to_owned()),
        ("/version", "/version".to_owned()),
        ("/health", "/health".to_owned()),
        ("/livez", "/livez".to_owned()),
        ("/markets", "/markets".to_owned()),
        ("/orderbook/{asset_id}", format!("/orderbook/{LIVE}")),
    ] {
        let (mut expected, mut got) = (Vec::new(), Vec::new());
        names(&example(path).unwrap(), "", &mut expected);
        names(&get(address, &target).await.json(), "", &mut got);
        assert_eq!(expected, got, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_example_of_a_failing_probe_has_the_fields_of_one() {
    let probe = Probe::healthy();
    *probe.health.lock() = polypy_core::Health::of(false);
    let (server, address) = started(config(), sources(&probe)).await;
    let (mut expected, mut got) = (Vec::new(), Vec::new());
    names(&example("/readyz").unwrap(), "", &mut expected);
    let answer = get(address, "/readyz?verbose").await;
    names(&answer.json(), "", &mut got);
    assert_eq!(expected, got);
    server.stop().await;
}

#[test]
fn every_json_block_is_json() {
    let blocks = blocks(MANUAL, "json");
    assert!(blocks.len() > 4);
    for block in blocks {
        if let Err(error) = serde_json::from_str::<Value>(block) {
            panic!("{error} in {block}");
        }
    }
}

#[tokio::test]
async fn the_error_shown_is_the_error_sent() {
    let (server, address) = full().await;
    let shown = blocks(MANUAL, "json")[0];
    let mut shown: Value = serde_json::from_str(shown).unwrap();
    let mut sent = get(address, "/orderbook/1?depht=5").await.json();
    shown["request_id"].take();
    sent["request_id"].take();
    assert_eq!(shown, sent);
    server.stop().await;
}

#[tokio::test]
async fn the_problem_shown_is_the_problem_sent() {
    const DEPTH: &[Parameter] = &[Parameter::new("depth", Kind::Flag, "")];
    let route = Route::get("/v1/book", "", |_| Reply::empty(StatusCode::OK));
    let server = HttpServer::builder(config(), sources(&Probe::healthy()))
        .routes([route.with_parameters(DEPTH)])
        .build();
    server.start().await.unwrap();
    let address = server.local_addr().unwrap();
    let mut shown: Value = serde_json::from_str(blocks(MANUAL, "json")[1]).unwrap();
    let mut sent = get(address, "/v1/book?depht=5").await.json();
    for name in ["request_id", "instance"] {
        let start = |value: Value| value.as_str().unwrap()[..9].to_owned();
        let (shown, sent) = (shown[name].take(), sent[name].take());
        assert!(name == "request_id" || start(shown) == start(sent));
    }
    assert_eq!(shown, sent);
    server.stop().await;
}

#[test]
fn every_stale_reason_is_in_the_manual() {
    use polypy_core::StaleReason::*;
    for reason in [
        Disconnected,
        Dropped,
        WorkerDied,
        Undecodable,
        Hash,
        Top,
        Crossed,
        Tick,
        Resubscribing,
        Silent,
    ] {
        let name = serde_json::to_value(reason).unwrap();
        let name = name.as_str().unwrap();
        assert!(MANUAL.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn the_limits_shown_are_the_defaults() {
    let config = polypy_http::HttpConfig::default();
    for (key, shown) in [
        ("max_connections", config.max_connections.to_string()),
        (
            "header_read_timeout",
            format!("{} s", config.header_read_timeout.as_secs()),
        ),
        (
            "idle_timeout",
            format!("{} s", config.idle_timeout.as_secs()),
        ),
        (
            "write_timeout",
            format!("{} s", config.write_timeout.as_secs()),
        ),
        (
            "answer_timeout",
            format!("{} s", config.answer_timeout.as_secs()),
        ),
        (
            "drain_deadline",
            format!("{} s", config.drain_deadline.as_secs()),
        ),
        (
            "max_header_bytes",
            format!("{} KiB", config.max_header_bytes / 1024),
        ),
    ] {
        let row = MANUAL
            .lines()
            .find(|line| line.starts_with(&format!("| `{key}`")))
            .unwrap_or_else(|| panic!("{key} has no row"));
        assert!(row.contains(&format!("| {shown} |")), "{row}");
    }
}
