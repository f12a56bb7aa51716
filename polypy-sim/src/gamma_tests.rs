use std::sync::Arc;

use http_body_util::BodyExt;
use polypy_core::{Clock, Timestamp};

use super::*;
use crate::config::SimConfig;

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_795_000_000_000)
    }
}

fn exchange(markets: usize) -> Exchange {
    Exchange::new(
        Arc::new(SimConfig {
            markets,
            ..SimConfig::for_tests()
        }),
        Arc::new(Fixed),
        false,
    )
}

async fn get(exchange: &mut Exchange, path: &str, query: &str) -> (u16, Value) {
    let reply = answer(exchange, path, &Query::parse(Some(query)));
    let status = reply.status().as_u16();
    let body = reply.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

fn ids(rows: &Value) -> Vec<u64> {
    rows.as_array()
        .unwrap()
        .iter()
        .map(|row| row["id"].as_str().unwrap().parse().unwrap())
        .collect()
}

/// Follows the cursors to the end.
async fn crawl(exchange: &mut Exchange, path: &str, name: &str, filters: &str) -> Vec<u64> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let query = format!("{filters}&after_cursor={cursor}");
        let (status, page) = get(exchange, path, &query).await;
        assert_eq!(status, 200, "{page}");
        all.extend(ids(&page[name]));
        assert!(all.len() < 10_000, "the cursor goes round in circles");
        match page.get("next_cursor") {
            Some(next) => cursor = next.as_str().unwrap().to_owned(),
            None => return all,
        }
    }
}

#[tokio::test]
async fn cursors_visit_every_market_once_in_every_order() {
    let mut exchange = exchange(257);
    for filters in [
        "limit=100",
        "limit=1000",
        "limit=7",
        "",
        "order=volumeNum&ascending=false&limit=33",
        "order=endDate&limit=50",
    ] {
        let mut all = crawl(&mut exchange, "/markets/keyset", "markets", filters).await;
        assert_eq!(all.len(), 257, "{filters}");
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 257, "{filters}: a market came twice");
    }
    let events = crawl(&mut exchange, "/events/keyset", "events", "limit=500").await;
    assert!(events.len() > 100 && events.len() < 257);
}

#[tokio::test]
async fn pages_are_clamped_and_the_last_has_no_cursor() {
    let mut exchange = exchange(150);
    let (_, page) = get(&mut exchange, "/markets/keyset", "limit=1000").await;
    assert_eq!(ids(&page["markets"]).len(), 100);
    let (_, page) = get(&mut exchange, "/markets/keyset", "").await;
    assert_eq!(ids(&page["markets"]).len(), 20);
    let (_, page) = get(&mut exchange, "/markets", "limit=500").await;
    assert_eq!(ids(&page).len(), 100);
    let (_, page) = get(&mut exchange, "/markets", "limit=100&offset=100").await;
    assert_eq!(ids(&page).len(), 50);
}

#[tokio::test]
async fn wrong_names_of_the_cursor_give_page_one_for_ever() {
    let mut exchange = exchange(60);
    let (_, first) = get(&mut exchange, "/markets/keyset", "").await;
    let next = first["next_cursor"].as_str().unwrap();
    for name in ["cursor", "next_cursor"] {
        let (_, page) = get(&mut exchange, "/markets/keyset", &format!("{name}={next}")).await;
        assert_eq!(page, first, "{name}");
    }
}

#[tokio::test]
async fn refusals_are_422_with_the_venues_body() {
    let mut exchange = exchange(60);
    let (_, first) = get(&mut exchange, "/markets/keyset", "").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let of_other_filters = format!("neg_risk=true&after_cursor={cursor}");
    for (path, query) in [
        ("/markets", "offset=2001"),
        ("/events", "offset=2001"),
        ("/markets/keyset", "offset=0"),
        ("/markets/keyset", "limit=0"),
        ("/markets/keyset", "after_cursor=nonsense"),
        ("/markets/keyset", of_other_filters.as_str()),
        ("/markets/keyset", "order=volume_num"),
        ("/markets/keyset", "closed=maybe"),
    ] {
        let (status, body) = get(&mut exchange, path, query).await;
        assert_eq!(status, 422, "{path}?{query}");
        assert_eq!(body["type"], "validation error", "{path}?{query}");
    }
    let (_, body) = get(&mut exchange, "/markets", "offset=2001").await;
    assert_eq!(
        body["error"],
        "offset too large, use /markets/keyset for deeper pagination"
    );
}

#[tokio::test]
async fn rows_have_the_observed_types_and_filters_find_them() {
    let mut exchange = exchange(60);
    let (_, page) = get(&mut exchange, "/markets/keyset", "limit=60").await;
    let row = &page["markets"][7];
    let held =
        |key: &str| -> Vec<String> { serde_json::from_str(row[key].as_str().unwrap()).unwrap() };
    assert_eq!(held("clobTokenIds").len(), 2);
    assert_eq!(held("outcomes").len(), 2);
    assert_eq!(held("outcomePrices").len(), 2);
    assert!(row["id"].is_string() && row["volume"].is_string());
    assert!(row["volumeNum"].is_number() && row["orderPriceMinTickSize"].is_number());
    assert_eq!(row["orderMinSize"], 5);
    assert!(row["negRisk"].is_boolean() && row["events"].is_array());
    assert!(Timestamp::from_rfc3339(row["endDate"].as_str().unwrap()).is_some());

    let condition = row["conditionId"].as_str().unwrap();
    let other = page["markets"][9]["conditionId"].as_str().unwrap();
    let tokens = held("clobTokenIds");
    let slug = row["slug"].as_str().unwrap();
    let id = row["id"].as_str().unwrap();
    for (query, count) in [
        (
            format!("condition_ids={condition}&condition_ids={other}"),
            2,
        ),
        (
            format!("clob_token_ids={}&clob_token_ids={}", tokens[0], tokens[1]),
            1,
        ),
        (format!("slug={slug}"), 1),
        (format!("id={id}"), 1),
        (format!("condition_ids={condition}&closed=true"), 0),
        ("condition_ids=0x00".to_owned(), 0),
    ] {
        let (_, page) = get(&mut exchange, "/markets/keyset", &query).await;
        assert_eq!(ids(&page["markets"]).len(), count, "{query}");
    }
    assert_eq!(
        get(&mut exchange, &format!("/markets/{id}"), "").await.1["slug"],
        slug
    );
    assert_eq!(
        get(&mut exchange, &format!("/markets/slug/{slug}"), "")
            .await
            .1["id"],
        id
    );
    let event = row["events"][0]["id"].as_str().unwrap();
    let (_, found) = get(&mut exchange, &format!("/events/{event}"), "").await;
    assert!(
        found["markets"]
            .as_array()
            .is_some_and(|markets| !markets.is_empty())
    );
    assert_eq!(get(&mut exchange, "/markets/1", "").await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn settled_markets_become_closed_later() {
    let mut exchange = exchange(3);
    exchange.settle(1, 0, std::time::Duration::from_millis(30));
    let count = async |exchange: &mut Exchange, query: &str| {
        ids(&get(exchange, "/markets/keyset", query).await.1["markets"]).len()
    };
    assert_eq!(count(&mut exchange, "").await, 3, "not yet");
    tokio::time::advance(exchange.config.closing_lag).await;
    assert_eq!(count(&mut exchange, "").await, 2);
    assert_eq!(count(&mut exchange, "closed=true").await, 1);
    let closed = get(&mut exchange, "/markets/keyset", "closed=true").await.1;
    let time = closed["markets"][0]["closedTime"].as_str().unwrap();
    let updated = closed["markets"][0]["updatedAt"].as_str().unwrap();
    assert_eq!(time.len(), "2026-05-28 05:29:05+00".len(), "{time}");
    assert_eq!(time[..10], updated[..10]);
    assert_eq!(time[11..], format!("{}+00", &updated[11..19]));
    let (_, all) = get(&mut exchange, "/markets", "").await;
    assert_eq!(
        ids(&all).len(),
        3,
        "the legacy list shows both when not asked"
    );
}
