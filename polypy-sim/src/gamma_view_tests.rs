use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use polypy_core::{AssetId, Clock};
use serde_json::Value;

use super::*;
use crate::config::SimConfig;
use crate::fault::Fault;
use crate::gamma;
use crate::http::Query;

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_795_000_000_000)
    }
}

const TAGGED: &str = "limit=100&closed=false&include_tag=true";

fn exchange() -> Exchange {
    Exchange::new(
        Arc::new(SimConfig {
            markets: 80,
            ..SimConfig::for_tests()
        }),
        Arc::new(Fixed),
        false,
    )
}

async fn ask(exchange: &mut Exchange, query: &str) -> (u16, Value) {
    let answer = gamma::answer(exchange, "/markets/keyset", &Query::parse(Some(query)));
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

async fn rows(exchange: &mut Exchange, query: &str) -> Vec<Value> {
    let (status, body) = ask(exchange, query).await;
    assert_eq!(status, 200, "{body}");
    body["markets"].as_array().unwrap().clone()
}

/// A fault on one market's first token.
fn on(exchange: &mut Exchange, kind: FaultKind, market: usize) {
    let asset: AssetId = exchange.venue.markets[market].tokens[0]
        .info
        .asset_id
        .clone();
    exchange.add_fault(Fault::new(kind).on_assets([asset]), None);
}

fn trade(exchange: &mut Exchange, market: usize) {
    let state = &exchange.venue.markets[market];
    let ask = state.tokens[0].book.best_ask().unwrap();
    let taken = crate::venue::LevelChange {
        side: polypy_core::Side::Ask,
        price: ask.price,
        size: polypy_core::Size::ZERO,
    };
    let print = crate::render::Print {
        outcome: 0,
        price: ask.price,
        size: ask.size,
        side: polypy_core::Side::Bid,
        transaction_hash: String::new(),
    };
    exchange.publish_trade(market, &[taken], print, Instant::now());
}

#[tokio::test]
async fn tags_come_only_when_they_are_asked_for() {
    let mut exchange = exchange();
    let without = rows(&mut exchange, "limit=100&closed=false").await;
    assert!(without.iter().all(|row| row.get("tags").is_none()));
    let with = rows(&mut exchange, TAGGED).await;
    assert_eq!(with.len(), 80);
    for row in &with {
        let tags = row["tags"].as_array().unwrap();
        assert!(tags.len() >= 3, "{row}");
        let named = |tag: &Value| tag["slug"].is_string() && tag["label"].is_string();
        assert!(tags.iter().all(|tag| named(tag) && tag["id"].is_string()));
    }
    assert_eq!(ask(&mut exchange, "include_tag=yes").await.0, 422);
    exchange.add_fault(Fault::new(FaultKind::GammaRefusesTag), None);
    assert_eq!(ask(&mut exchange, TAGGED).await.0, 422);
    assert_eq!(ask(&mut exchange, "limit=100&closed=false").await.0, 200);
}

#[tokio::test]
async fn markets_of_an_event_say_their_place_in_it() {
    let mut exchange = exchange();
    let rows = rows(&mut exchange, TAGGED).await;
    let event = |row: &Value| row["events"][0]["slug"].as_str().unwrap().to_owned();
    let groups: Vec<_> = rows
        .chunk_by(|one, other| event(one) == event(other))
        .collect();
    // The last may be listed in part.
    let whole = groups.iter().rev().skip(1).filter(|group| group.len() > 1);
    let mut strikes = 0;
    for group in whole {
        for (at, row) in group.iter().enumerate() {
            assert_eq!(row["groupItemThreshold"], at.to_string());
            assert!(row["groupItemTitle"].is_string());
            assert_eq!(row["endDate"], group[0]["endDate"]);
            assert_eq!(row["negRisk"], row["events"][0]["negRisk"]);
        }
        strikes += usize::from(group[0]["negRisk"] == false);
    }
    assert!(
        strikes > 0,
        "some events have markets that may all come true"
    );
    let alone = groups.iter().find(|group| group.len() == 1).unwrap();
    assert!(alone[0]["groupItemTitle"].is_null());
}

#[tokio::test]
async fn figures_move_with_trades_and_every_order_goes_by_them() {
    let mut exchange = exchange();
    let before = rows(&mut exchange, TAGGED).await;
    for _ in 0..3 {
        trade(&mut exchange, 5);
    }
    let after = rows(&mut exchange, TAGGED).await;
    let figure = |row: &Value, key: &str| row[key].as_f64().unwrap();
    for key in ["volumeNum", "volume24hr"] {
        assert!(figure(&after[5], key) > figure(&before[5], key), "{key}");
    }
    assert!(figure(&after[5], "liquidityNum") < figure(&before[5], "liquidityNum"));
    assert_eq!(before[6], after[6]);
    for (order, key) in [
        ("volumeNum", "volumeNum"),
        ("volume24hr", "volume24hr"),
        ("liquidityNum", "liquidityNum"),
    ] {
        let query = format!("{TAGGED}&order={order}&ascending=false");
        let rows = rows(&mut exchange, &query).await;
        assert!(rows.is_sorted_by(|one, other| figure(one, key) >= figure(other, key)));
    }
    let ends = rows(&mut exchange, "limit=100&order=endDate&ascending=true").await;
    assert!(ends.is_sorted_by_key(|row| row["endDate"].as_str().unwrap().to_owned()));
}

#[tokio::test]
async fn tags_are_left_out_or_denied_of_whom_the_fault_hits() {
    let mut exchange = exchange();
    on(&mut exchange, FaultKind::GammaTagsMissing, 3);
    on(&mut exchange, FaultKind::GammaTagsEmpty, 4);
    let rows = rows(&mut exchange, TAGGED).await;
    assert!(rows[3].get("tags").is_none());
    assert_eq!(rows[4]["tags"], serde_json::json!([]));
    assert!(rows[5]["tags"].as_array().unwrap().len() >= 3);
}

#[tokio::test]
async fn wild_figures_are_others_in_each_answer_and_bounded() {
    let mut exchange = exchange();
    let truth = rows(&mut exchange, TAGGED).await[7].clone();
    on(&mut exchange, FaultKind::GammaVolumeWild, 7);
    let (mut more, mut less) = (0, 0);
    for _ in 0..50 {
        let rows = rows(&mut exchange, TAGGED).await;
        let ratio = |key: &str| rows[7][key].as_f64().unwrap() / truth[key].as_f64().unwrap();
        for key in ["volumeNum", "volume24hr", "liquidityNum"] {
            assert!((0.000_9..=1_001.0).contains(&ratio(key)), "{}", ratio(key));
        }
        more += usize::from(ratio("volumeNum") > 10.0);
        less += usize::from(ratio("volumeNum") < 0.1);
    }
    assert!(more > 5 && less > 5, "{more}, {less}");
}

#[tokio::test]
async fn a_moved_end_and_a_slug_of_two_markets_are_what_rows_say() {
    let mut exchange = exchange();
    let truth = rows(&mut exchange, TAGGED).await;
    on(&mut exchange, FaultKind::GammaEndMoved, 8);
    on(&mut exchange, FaultKind::GammaSlugTwice, 9);
    let lie = rows(&mut exchange, TAGGED).await;
    let end = |row: &Value| Timestamp::from_rfc3339(row["endDate"].as_str().unwrap()).unwrap();
    let moved = end(&truth[8]).millis() - end(&lie[8]).millis();
    assert_eq!(
        Duration::from_millis(moved),
        Duration::from_secs(4_800 * 3_600)
    );
    assert_eq!(lie[9]["slug"], truth[0]["slug"]);
    let named = format!("slug={}", truth[0]["slug"].as_str().unwrap());
    assert_eq!(rows(&mut exchange, &named).await.len(), 2);
    assert_eq!(lie[10], truth[10]);
}

#[tokio::test]
async fn ids_in_another_spelling_are_of_the_same_markets() {
    let mut exchange = exchange();
    let truth = rows(&mut exchange, TAGGED).await;
    let id = |row: &Value| row["conditionId"].as_str().unwrap().to_owned();
    let zeros = truth
        .iter()
        .position(|row| id(row).starts_with("0x00"))
        .unwrap();
    let asset: AssetId = exchange.venue.markets[zeros].tokens[0]
        .info
        .asset_id
        .clone();
    let without = Fault::new(FaultKind::GammaIdSpelling).on_assets([asset]);
    let without = without.with("spelling", "without_zeros").unwrap();
    exchange.add_fault(without, None);
    let upper = usize::from(zeros == 0);
    on(&mut exchange, FaultKind::GammaIdSpelling, upper);
    let spelled = rows(&mut exchange, TAGGED).await;
    assert_eq!(
        id(&spelled[zeros]).replacen("0x", "0x00", 1),
        id(&truth[zeros])
    );
    assert_eq!(id(&spelled[upper]).to_lowercase(), id(&truth[upper]));
    assert_ne!(id(&spelled[upper]), id(&truth[upper]));
    for at in [zeros, upper] {
        for spelling in [id(&truth[at]), id(&spelled[at])] {
            let found = rows(&mut exchange, &format!("condition_ids={spelling}")).await;
            assert_eq!(found, [without_tags(&spelled[at])]);
        }
    }
}

fn without_tags(row: &Value) -> Value {
    let mut row = row.clone();
    row.as_object_mut().unwrap().remove("tags");
    row
}
