//! The control interface and CLOB REST.

use polypy_sim::SimConfig;
use serde_json::{Value, json};

use crate::client::{Client, eventually, get, post, request, start};

#[tokio::test]
async fn assets_books_and_stats_can_be_asked_for() {
    let sim = start(SimConfig {
        markets: 3,
        ..SimConfig::for_tests()
    })
    .await;
    let assets = sim.assets();
    let (_, listed) = get(&sim, "/sim/assets").await;
    assert_eq!(listed.as_array().unwrap().len(), 6);
    assert_eq!(listed[0]["asset_id"], assets[0].as_str());
    assert_eq!(listed[0]["condition_id"], listed[1]["condition_id"]);
    assert_eq!(listed[0]["status"], "live");
    assert_eq!(
        get(&sim, "/sim/assets?limit=2")
            .await
            .1
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(get(&sim, "/sim/assets?limit=x").await.0, 400);
    sim.pause();
    let truth = sim.true_book(&assets[1]).unwrap();
    let (_, book) = get(&sim, &format!("/sim/book/{}", assets[1])).await;
    assert_eq!(book["sequence"], truth.sequence);
    assert_eq!(book["hash"], truth.hash.to_string());
    assert_eq!(book["bids"][0][0], truth.bids[0].price.to_string());
    assert_eq!(book["bids"].as_array().unwrap().len(), truth.bids.len());
    assert_eq!(get(&sim, "/sim/book/99").await.0, 404);
    assert_eq!(get(&sim, "/sim/book/abc").await.0, 400);
    assert_eq!(get(&sim, "/sim/nothing").await.0, 404);
    assert_eq!(request(&sim, "DELETE", "/sim/stats", "").await.0, 405);
    let mut client = Client::connect(&sim).await;
    client.open(&assets[..4]).await;
    client.text().await;
    let (_, stats) = get(&sim, "/sim/stats").await;
    assert_eq!(stats["connections"], 1);
    assert_eq!(stats["subscriptions"], 4);
    assert_eq!(stats["totals"]["opening_books"], 4);
    sim.stop().await;
}

#[tokio::test]
async fn pause_holds_the_truth_still_and_resume_lets_it_move() {
    let sim = start(SimConfig {
        events_per_second: 1_000.0,
        ..SimConfig::for_tests()
    })
    .await;
    eventually("steps", || sim.stats().totals.steps > 20).await;
    assert_eq!(
        post(&sim, "/sim/pause", &Value::Null).await.1,
        json!({ "paused": true })
    );
    let steps = sim.stats().totals.steps;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert_eq!(sim.stats().totals.steps, steps);
    assert_eq!(
        post(&sim, "/sim/resume", &Value::Null).await.1,
        json!({ "paused": false })
    );
    eventually("steps again", || sim.stats().totals.steps > steps).await;
    sim.stop().await;
}

#[tokio::test]
async fn the_rate_can_be_changed_while_the_flow_runs() {
    let sim = start(SimConfig {
        events_per_second: 0.0,
        ..SimConfig::for_tests()
    })
    .await;
    assert_eq!(sim.stats().totals.steps, 0);
    let wanted = json!({ "events_per_second": 2_000.0 });
    assert_eq!(post(&sim, "/sim/rate", &wanted).await, (200, wanted));
    eventually("steps", || sim.stats().totals.steps > 20).await;
    let none = json!({ "events_per_second": 0.0 });
    assert_eq!(post(&sim, "/sim/rate", &none).await, (200, none));
    for wrong in [
        Value::Null,
        json!({}),
        json!({ "events_per_second": -1 }),
        json!({ "events_per_second": 1e9 }),
        json!({ "events_per_second": "fast" }),
    ] {
        assert_eq!(post(&sim, "/sim/rate", &wrong).await.0, 400, "{wrong}");
    }
    assert!(sim.set_rate(f64::NAN).is_err());
    assert!(sim.set_rate(100.0).is_ok());
    assert_eq!(request(&sim, "GET", "/sim/rate", "").await.0, 405);
    sim.stop().await;
}

#[tokio::test]
async fn clob_answers_from_the_same_truth() {
    let sim = start(SimConfig {
        events_per_second: 0.0,
        ..SimConfig::for_tests()
    })
    .await;
    let assets = sim.assets();
    let asset = &assets[4];
    let truth = sim.true_book(asset).unwrap();
    let (_, text) = request(&sim, "GET", &format!("/book?token_id={asset}"), "").await;
    let book: Value = serde_json::from_str(&text).unwrap();
    let keys: Vec<&String> = book.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "market",
            "asset_id",
            "timestamp",
            "hash",
            "bids",
            "asks",
            "min_order_size",
            "tick_size",
            "neg_risk",
            "last_trade_price"
        ]
    );
    assert_eq!(book["hash"], truth.hash.to_string());
    let (status, missing) = get(&sim, "/book?token_id=7").await;
    assert_eq!(status, 404);
    assert_eq!(
        missing,
        json!({ "error": "No orderbook exists for the requested token id" })
    );
    let wanted = json!([{ "token_id": asset.as_str() }, { "token_id": "7" }]);
    let (_, books) = post(&sim, "/books", &wanted).await;
    assert_eq!(books, json!([book]));
    assert_eq!(get(&sim, "/books").await.0, 400);
    assert_eq!(request(&sim, "POST", "/books", "{}").await.0, 400);
    let best = |at: usize| [&truth.bids, &truth.asks][at][0].price.to_string();
    for (path, answer) in [
        ("price?side=BUY&", json!({ "price": best(0) })),
        ("price?side=sell&", json!({ "price": best(1) })),
        ("last-trade-price?", json!({ "price": "0.5", "side": "" })),
        ("neg-risk?", json!({ "neg_risk": book["neg_risk"] })),
    ] {
        let (_, got) = get(&sim, &format!("/{path}token_id={asset}")).await;
        assert_eq!(got, answer, "{path}");
    }
    let (_, tick) = get(&sim, &format!("/tick-size?token_id={asset}")).await;
    assert!(tick["minimum_tick_size"].is_number());
    let (_, mid) = get(&sim, &format!("/midpoint?token_id={asset}")).await;
    assert!(mid["mid"].is_string());
    let (_, spread) = get(&sim, &format!("/spread?token_id={asset}")).await;
    assert!(spread["spread"].is_string());
    assert_eq!(
        get(&sim, "/tick-size?token_id=7").await.1,
        json!({ "error": "market not found" })
    );
    assert_eq!(
        get(&sim, "/tick-size").await.1,
        json!({ "error": "Invalid token id" })
    );
    assert!(get(&sim, "/time").await.1.is_u64());
    assert_eq!(get(&sim, "/ok").await.1, "OK");
    sim.stop().await;
}
