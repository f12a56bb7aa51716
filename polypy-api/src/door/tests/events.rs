//! `/v1/events` and `/v1/events/{event}`; and the manual's examples of the catalogue.

use polypy_core::catalogue::{MarketFilter, Selection};
use polypy_core::{BookState, Cents, Component as _, StaleReason};
use serde_json::{Value, json};

use super::common::{NOW, ask};
use super::markets::{Server, known};
use crate::read::testing::{of_event, row};

const MANUAL: &str = include_str!("../../../../docs/http-api.md");

#[tokio::test]
async fn an_event_is_shown_with_its_markets_in_order_and_their_sums() {
    let server = Server::start().await;
    let later = of_event(row(8), "what-holds", 1);
    server.listed.take([known(), later, row(9)]);
    let keys: Vec<_> = (0..2).map(|number| server.listed.follow(number)).collect();
    server
        .shelf
        .set(keys[0][0], BookState::Live, "0.489", "0.5025", NOW);
    server
        .shelf
        .set(keys[1][0], BookState::Live, "0.4", "0.41", NOW);
    let event = server.get("/v1/events/what-holds").await;
    let markets = event["markets"].as_array().unwrap();
    let titles: Vec<_> = markets
        .iter()
        .map(|market| &market["group_title"])
        .collect();
    assert_eq!(titles, ["Number 1", "Number 2"], "as the venue shows them");
    assert_eq!(markets[0]["tokens"][0]["top"]["best_bid"], "0.4");
    let mut whole = event.clone();
    whole.as_object_mut().unwrap().remove("markets");
    assert_eq!(
        whole,
        json!({
            "slug": "what-holds", "id": "77", "title": "What of what-holds?",
            "neg_risk": true, "neg_risk_augmented": false,
            "market_count": 2, "open_count": 2, "followed_count": 2,
            "volume": "1321616.85", "volume_day": "0.05", "liquidity": null,
            "end_ms": NOW + 1_000, "end": "2025-12-08T10:30:01.000Z",
            "sum_best_bid": "0.889", "sum_best_ask": "0.9125",
        })
    );
    let short = server
        .get("/v1/events/what-holds?fields=slug,tokens&tops=false")
        .await;
    assert_eq!(
        short["markets"][1],
        json!({
            "slug": "does-7-hold",
            "tokens": [
                { "token_id": "71", "outcome": "Yes" }, { "token_id": "72", "outcome": "No" },
            ],
        })
    );
    assert_eq!(short["sum_best_bid"], "0.889", "whatever is shown");
    let stale = BookState::Stale(StaleReason::Silent);
    server.shelf.set(keys[1][0], stale, "0.4", "0.41", NOW);
    let event = server.get("/v1/events/what-holds").await;
    assert_eq!(
        (&event["sum_best_bid"], &event["sum_best_ask"]),
        (&Value::Null, &Value::Null)
    );

    let list = server.get("/v1/events?q=holds&limit=1").await;
    assert_eq!(
        (&list["matched"], &list["next_cursor"]),
        (&json!(1), &Value::Null)
    );
    assert_eq!(list["events"][0]["matched_count"], 2);
    for (target, status, kind, part) in [
        (
            "/v1/events/nobody",
            404,
            "urn:polypy:problem:unknown_event",
            "?q=",
        ),
        (
            "/v1/events/what-holds?fields=x",
            400,
            "about:blank",
            "some of condition_id",
        ),
        (
            "/v1/events?sort=spread",
            400,
            "about:blank",
            "end or listed",
        ),
        ("/v1/events?tops", 400, "about:blank", "takes q, tags"),
        ("/v1/events?sort=relevance", 400, "about:blank", "add q"),
    ] {
        let (got, body) = server.refused(target).await;
        assert_eq!((got, &body["type"]), (status, &json!(kind)), "{target}");
        assert!(body["error"].as_str().unwrap().contains(part), "{body}");
    }
    server.http.stop().await;
}

#[tokio::test]
async fn a_cursor_of_markets_is_none_of_events() {
    let server = Server::start().await;
    server
        .listed
        .take((0..9).map(|number| of_event(row(number), &format!("e{number}"), 0)));
    let markets = server.get("/v1/markets?followed=any&limit=1").await;
    let cursor = markets["next_cursor"].as_str().unwrap();
    let target = format!("/v1/events?followed=any&limit=1&cursor={cursor}");
    let (status, body) = server.refused(&target).await;
    assert_eq!((status, &body["parameter"]), (400, &json!("cursor")));
    let target = "/v1/events?followed=any";
    let (_, head, _) = ask(server.address, "GET", target, "").await;
    assert!(head.contains("\r\netag: W/"), "{head}");
    server.http.stop().await;
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

/// The JSON blocks of a route's section in the manual.
fn examples(path: &str) -> Vec<Value> {
    let heading = format!("### GET {path}\n");
    let section = MANUAL.split_once(&heading).map_or("", |(_, rest)| rest);
    let section = section.split("\n### ").next().unwrap();
    let blocks = section.split("```json\n").skip(1);
    let block = |rest: &str| serde_json::from_str(rest.split("\n```").next().unwrap()).unwrap();
    blocks.map(block).collect()
}

#[tokio::test]
async fn the_examples_of_the_manual_have_exactly_the_fields_of_answers() {
    let server = Server::start().await;
    server.listed.take([known()]);
    let keys = server.listed.follow(0);
    server
        .shelf
        .set(keys[0], BookState::Live, "0.489", "0.5025", NOW);
    server.listed.select(Selection {
        filter: MarketFilter {
            min_volume: Some(Cents::new(1)),
            ..MarketFilter::default()
        },
        ..Selection::default()
    });
    let list = "/v1/markets?limit=1&tops";
    let market = "/v1/markets/0x7?explain=selection&fields=slug";
    for (path, targets) in [
        ("/v1/markets", &[list][..]),
        ("/v1/markets/{market}", &[market]),
        ("/v1/events", &["/v1/events?q=holds"]),
        (
            "/v1/events/{event}",
            &["/v1/events/what-holds?fields=slug,tokens"],
        ),
        ("/v1/tokens", &["/v1/tokens?begins=71"]),
    ] {
        let examples = examples(path);
        assert_eq!(examples.len(), targets.len(), "{path}");
        for (example, target) in examples.iter().zip(targets) {
            let (mut expected, mut got) = (Vec::new(), Vec::new());
            names(example, "", &mut expected);
            names(&server.get(target).await, "", &mut got);
            assert_eq!(expected, got, "{target}");
        }
    }
    server.http.stop().await;
}
