//! Every fault, seen from outside.

use std::time::Duration;

use polypy_core::AssetId;
use polypy_sim::{Fault, FaultKind, SimConfig, SimHandle};
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Error;

use crate::client::{Client, Got, Kept, eventually, get, ids, post, request, start};

/// A busy exchange of two markets.
async fn busy() -> (SimHandle, Vec<AssetId>) {
    let config = SimConfig {
        markets: 2,
        events_per_second: 1_000.0,
        ..SimConfig::for_tests()
    };
    let sim = start(config).await;
    let assets = sim.assets();
    (sim, assets)
}

/// A client whose opening books have come.
async fn subscribed(sim: &SimHandle, assets: &[AssetId]) -> Client {
    let mut client = Client::connect(sim).await;
    client.open_custom(assets).await;
    assert!(
        client
            .text_where(|text| text.contains("price"))
            .await
            .starts_with('[')
    );
    client
}

fn is_change(text: &str) -> bool {
    text.contains("\"price_change\"")
}

#[tokio::test]
async fn stall_socket_answers_pings_and_nothing_else() {
    let (sim, assets) = busy().await;
    let mut client = subscribed(&sim, &assets).await;
    let id = sim.add_fault(Fault::new(FaultKind::StallSocket).on_connections(sim.connections()));
    client.until_pong().await;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(client.until_pong().await.is_empty());
    }
    // Another socket is not touched.
    let mut other = subscribed(&sim, &assets).await;
    other.text_where(is_change).await;
    assert!(sim.remove_fault(id));
    client.text_where(is_change).await;
    sim.stop().await;
}

#[tokio::test]
async fn stall_all_answers_not_even_pings_and_ends_by_itself() {
    let (sim, assets) = busy().await;
    let mut client = subscribed(&sim, &assets).await;
    sim.add_fault(Fault::new(FaultKind::StallAll).lasting(Duration::from_millis(300)));
    // What was queued before the fault may still come; the answer cannot.
    client.send("PING").await;
    eventually("the ping is read", || sim.stats().totals.pings == 1).await;
    while get(&sim, "/sim/faults").await.1["active"] != json!([]) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // One answer for two pings: the first was lost.
    client.until_pong().await;
    assert_eq!(sim.stats().totals.pings, 2);
    sim.pause();
    assert!(!client.until_pong().await.contains(&"PONG".to_owned()));
    sim.stop().await;
}

#[tokio::test]
async fn stall_asset_silences_one_token_and_no_sibling() {
    let (sim, assets) = busy().await;
    let stalled = assets[0].clone();
    sim.add_fault(Fault::new(FaultKind::StallAsset).on_assets([stalled.clone()]));
    let mut client = Client::connect(&sim).await;
    client.open_custom(&assets[..2]).await;
    let books: Vec<Value> = serde_json::from_str(&client.text().await).unwrap();
    assert_eq!(books.len(), 1);
    for _ in 0..300 {
        let text = client.text().await;
        assert!(!text.contains(stalled.as_str()), "{text}");
    }
    sim.stop().await;
}

#[tokio::test]
async fn drop_connection_gives_no_close_frame_and_lasts_if_told() {
    let (sim, assets) = busy().await;
    let mut client = subscribed(&sim, &assets).await;
    sim.add_fault(Fault::new(FaultKind::DropConnection));
    assert!(matches!(client.ending().await, Got::End));
    let mut client = subscribed(&sim, &assets).await;
    client.text_where(is_change).await;
    sim.add_fault(Fault::new(FaultKind::DropConnection).lasting(Duration::from_secs(60)));
    assert!(matches!(client.ending().await, Got::End));
    let mut late = Client::connect(&sim).await;
    late.open(&assets).await;
    assert!(matches!(late.ending().await, Got::End));
    assert_eq!(sim.stats().totals.closed_by_fault, 3);
    sim.stop().await;
}

#[tokio::test]
async fn close_1013_uses_the_venues_words() {
    let (sim, assets) = busy().await;
    let mut client = subscribed(&sim, &assets).await;
    sim.add_fault(Fault::new(FaultKind::Close1013));
    match client.ending().await {
        Got::Close(Some(frame)) => {
            assert_eq!(u16::from(frame.code), 1013);
            assert_eq!(frame.reason.as_str(), "slow consumer: send buffer full");
        }
        other => panic!("{other:?}"),
    }
    sim.stop().await;
}

#[tokio::test]
async fn missing_first_book_leaves_the_chosen_share_out_but_lets_events_flow() {
    let config = SimConfig {
        markets: 50,
        events_per_second: 0.0,
        ..SimConfig::for_tests()
    };
    let sim = start(config).await;
    let assets = sim.assets();
    sim.add_fault(Fault::new(FaultKind::MissingFirstBook).on_share(0.3));
    let mut counts = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(&sim).await;
        client.open(&assets).await;
        let books: Vec<Value> = serde_json::from_str(&client.text().await).unwrap();
        counts.push(books.len());
    }
    assert!((50..=90).contains(&counts[0]), "{counts:?}");
    assert_eq!(counts[0], counts[1], "the same assets each time");
    sim.stop().await;

    let (sim, assets) = busy().await;
    sim.add_fault(Fault::new(FaultKind::MissingFirstBook));
    let mut client = Client::connect(&sim).await;
    client.open(&assets).await;
    assert_eq!(client.text().await, "[]\n");
    client.text_where(is_change).await;
    sim.stop().await;
}

#[tokio::test]
async fn omit_change_loses_exactly_one_and_the_hash_shows_it() {
    let config = SimConfig {
        markets: 1,
        events_per_second: 300.0,
        ..SimConfig::for_tests()
    };
    let sim = start(config).await;
    let asset = sim.assets()[0].clone();
    let mut client = subscribed(&sim, std::slice::from_ref(&asset)).await;
    let sequence = sim.true_book(&asset).unwrap().sequence;
    sim.add_fault(Fault::new(FaultKind::OmitChange).on_assets([asset.clone()]));
    eventually("many changes", || {
        sim.true_book(&asset).unwrap().sequence > sequence + 50
    })
    .await;
    sim.pause();
    client.until_pong().await;
    let (_, faults) = get(&sim, "/sim/faults").await;
    assert_eq!(faults["active"][0]["hits"], 1);
    sim.stop().await;
}

#[tokio::test]
async fn duplicates_come_later_with_entries_reversed() {
    let (sim, assets) = busy().await;
    let fault = Fault::new(FaultKind::Duplicate).with("rate", 1.0).unwrap();
    sim.add_fault(fault.with("delay", "5ms").unwrap());
    let mut client = subscribed(&sim, &assets).await;
    let mut seen: Vec<Value> = Vec::new();
    loop {
        let frame: Value = serde_json::from_str(&client.text_where(is_change).await).unwrap();
        let entries = frame["price_changes"].as_array().unwrap();
        let mut reversed = frame.clone();
        reversed["price_changes"] = entries.iter().rev().cloned().collect();
        if seen.contains(&reversed) {
            break;
        }
        seen.push(frame);
        assert!(seen.len() < 2_000);
    }
    sim.stop().await;
}

#[tokio::test]
async fn reorder_delays_tops_but_never_swaps_changes_of_one_token() {
    let (sim, assets) = busy().await;
    let fault = Fault::new(FaultKind::Reorder).with("rate", 1.0).unwrap();
    let fault = fault
        .with("delay", "40ms")
        .unwrap()
        .with("across_tokens", true)
        .unwrap();
    let mut client = subscribed(&sim, &assets).await;
    sim.add_fault(fault);
    let mut kept: Vec<Kept> = assets.iter().map(|_| Kept::default()).collect();
    client.operation("unsubscribe", &assets).await;
    client
        .send(json!({
            "operation": "subscribe", "assets_ids": ids(&assets), "custom_feature_enabled": true
        }))
        .await;
    let mut last = 0;
    let mut late_tops = 0;
    for _ in 0..600 {
        let text = client.text().await;
        for (kept, asset) in kept.iter_mut().zip(&assets) {
            kept.apply(asset, &text);
        }
        if text.starts_with('{') {
            let frame: Value = serde_json::from_str(&text).unwrap();
            let stamp: u64 = frame["timestamp"].as_str().unwrap().parse().unwrap();
            if frame["event_type"] == "best_bid_ask" && stamp < last {
                late_tops += 1;
            }
            last = last.max(stamp);
        }
    }
    assert!(late_tops > 0);
    sim.pause();
    eventually("all is sent", || sim.stats().scheduled == 0).await;
    for text in client.until_pong().await {
        for (kept, asset) in kept.iter_mut().zip(&assets) {
            kept.apply(asset, &text);
        }
    }
    for (kept, asset) in kept.iter().zip(&assets) {
        assert!(kept.equals(&sim.true_book(asset).unwrap()));
    }
    sim.stop().await;
}

#[tokio::test]
async fn oversized_subscribe_frames_end_the_socket() {
    let (sim, assets) = busy().await;
    let fault = Fault::new(FaultKind::OversizedSubscribeClose)
        .with("ids", 3)
        .unwrap();
    sim.add_fault(fault);
    let mut client = subscribed(&sim, &assets[..3]).await;
    client.operation("subscribe", &assets).await;
    assert!(matches!(client.ending().await, Got::End));
    sim.stop().await;
}

#[tokio::test]
async fn unknown_events_garbage_and_control_texts_come_between() {
    let (sim, assets) = busy().await;
    let mut client = subscribed(&sim, &assets).await;
    let unknown = Fault::new(FaultKind::UnknownEvent)
        .with("rate", 1.0)
        .unwrap();
    let id = sim.add_fault(unknown);
    let mark = "liquidity_weather";
    let beside = |text: &str| text.starts_with('[') && text.contains(mark) && is_change(text);
    client.text_where(beside).await;
    client
        .text_where(|text| text.starts_with('{') && text.contains(mark))
        .await;
    sim.remove_fault(id);
    let id = sim.add_fault(Fault::new(FaultKind::Garbage).with("rate", 1.0).unwrap());
    client
        .text_where(|text| serde_json::from_str::<Value>(text).is_err())
        .await;
    sim.remove_fault(id);
    let fault = Fault::new(FaultKind::ControlText)
        .with("rate", 1.0)
        .unwrap();
    sim.add_fault(fault.with("text", "ALREADY SUBSCRIBED").unwrap());
    client.text_where(|text| text == "ALREADY SUBSCRIBED").await;
    sim.stop().await;
}

#[tokio::test]
async fn pong_delay_lets_data_overtake() {
    let (sim, assets) = busy().await;
    let mut client = subscribed(&sim, &assets).await;
    sim.add_fault(
        Fault::new(FaultKind::PongDelay)
            .with("delay", "200ms")
            .unwrap(),
    );
    let before = std::time::Instant::now();
    let overtaking = client.until_pong().await;
    assert!(before.elapsed() >= Duration::from_millis(190));
    assert!(overtaking.len() > 20);
    sim.stop().await;
}

#[tokio::test]
async fn a_giant_frame_comes_whole() {
    let (sim, assets) = busy().await;
    let mut client = subscribed(&sim, &assets).await;
    sim.add_fault(
        Fault::new(FaultKind::GiantFrame)
            .with("bytes", 3_000_000)
            .unwrap(),
    );
    let giant = client.text_where(|text| text.len() > 1_000_000).await;
    assert_eq!(giant.len(), 3_000_000);
    assert!(serde_json::from_str::<Value>(&giant).is_ok());
    sim.stop().await;
}

#[tokio::test]
async fn whitespace_and_empty_tops_change_the_form_only() {
    let (sim, assets) = busy().await;
    let mut client = subscribed(&sim, &assets).await;
    let id = sim.add_fault(Fault::new(FaultKind::Whitespace));
    let text = client
        .text_where(|text| text.starts_with(" \n{") && is_change(text))
        .await;
    assert!(serde_json::from_str::<Value>(&text).is_ok());
    sim.remove_fault(id);
    let id = sim.add_fault(Fault::new(FaultKind::EmptyTops));
    client
        .text_where(|text| is_change(text) && text.contains("\"best_bid\":\"\""))
        .await;
    sim.remove_fault(id);
    sim.add_fault(
        Fault::new(FaultKind::EmptyTops)
            .with("missing", true)
            .unwrap(),
    );
    client
        .text_where(|text| is_change(text) && !text.contains("best_bid"))
        .await;
    sim.stop().await;
}

#[tokio::test]
async fn tick_change_twice_makes_named_markets_change_and_says_it_twice() {
    let sim = start(SimConfig {
        events_per_second: 0.0,
        ..SimConfig::for_tests()
    })
    .await;
    let coarse = sim
        .assets()
        .into_iter()
        .find(|asset| sim.true_book(asset).unwrap().tick_size.as_str() == "0.01")
        .unwrap();
    let mut client = subscribed(&sim, std::slice::from_ref(&coarse)).await;
    sim.add_fault(Fault::new(FaultKind::TickChangeTwice).on_assets([coarse.clone()]));
    let first = client.event("tick_size_change").await;
    assert_eq!(first["old_tick_size"], "0.01");
    assert_eq!(first["new_tick_size"], "0.001");
    assert_eq!(client.event("tick_size_change").await, first);
    assert_eq!(sim.true_book(&coarse).unwrap().tick_size.as_str(), "0.001");
    sim.stop().await;
}

#[tokio::test]
async fn requests_are_refused_by_fault() {
    let (sim, assets) = busy().await;
    for (fault, path, status) in [
        (Fault::new(FaultKind::Gamma5xx), "/markets/keyset", 503),
        (
            Fault::new(FaultKind::Gamma5xx).with("status", 502).unwrap(),
            "/events",
            502,
        ),
        (Fault::new(FaultKind::Gamma429), "/markets", 429),
        (Fault::new(FaultKind::Clob5xx), "/book", 503),
    ] {
        let id = sim.add_fault(fault);
        assert_eq!(get(&sim, path).await.0, status, "{path}");
        assert_eq!(get(&sim, "/sim/stats").await.0, 200);
        assert!(sim.remove_fault(id));
    }
    let book = format!("/book?token_id={}", assets[0]);
    assert_eq!(get(&sim, &book).await.0, 200);
    sim.add_fault(Fault::new(FaultKind::Handshake429));
    match connect_async(sim.ws_url()).await {
        Err(Error::Http(answer)) => assert_eq!(answer.status().as_u16(), 429),
        other => panic!("{other:?}"),
    }
    assert_eq!(sim.stats().totals.handshakes_refused, 1);
    sim.stop().await;
}

#[tokio::test]
async fn gamma_names_page_one_for_ever() {
    let sim = start(SimConfig {
        markets: 45,
        ..SimConfig::for_tests()
    })
    .await;
    sim.add_fault(Fault::new(FaultKind::GammaStuckCursor));
    let (_, first) = get(&sim, "/markets/keyset").await;
    let cursor = first["next_cursor"].as_str().unwrap().to_owned();
    let next = format!("/markets/keyset?after_cursor={cursor}");
    for _ in 0..3 {
        let (_, page) = get(&sim, &next).await;
        assert_eq!(page["next_cursor"], cursor.as_str());
    }
    sim.stop().await;
}

#[tokio::test]
async fn faults_are_switched_by_http() {
    let (sim, assets) = busy().await;
    let body = json!({ "name": "stall_asset", "assets": ids(&assets[..1]), "for": "30s" });
    let (status, answer) = post(&sim, "/sim/faults", &body).await;
    assert_eq!((status, &answer), (200, &json!({ "id": 1 })));
    let (_, faults) = get(&sim, "/sim/faults").await;
    assert_eq!(faults["active"][0]["name"], "stall_asset");
    assert_eq!(faults["active"][0]["assets"], json!(ids(&assets[..1])));
    assert_eq!(
        faults["active"][0]["targets"],
        json!({ "count": 1, "first": ids(&assets[..1]) })
    );
    assert!(faults["known"].as_array().unwrap().len() > 20);
    assert_eq!(
        faults["known"][0]["target_fields"],
        json!(["connections", "share"])
    );
    let (status, answer) = post(&sim, "/sim/faults", &json!({ "name": "stall_asse" })).await;
    assert_eq!(status, 400);
    assert_eq!(answer["field"], "name");
    assert!(
        answer["error"]
            .as_str()
            .unwrap()
            .contains("did you mean \"stall_asset\"?")
    );
    let body = json!({ "name": "stall_asset", "assets": [assets[0].as_str(), "404404", "404405"] });
    let (status, answer) = post(&sim, "/sim/faults", &body).await;
    assert_eq!((status, &answer["field"]), (400, &json!("assets")));
    assert_eq!(
        answer["error"], "assets: no such asset: 404404, 404405",
        "an asset that does not exist is no target"
    );
    assert_eq!(request(&sim, "POST", "/sim/faults", "{").await.0, 400);
    assert_eq!(request(&sim, "DELETE", "/sim/faults/1", "").await.0, 200);
    assert_eq!(request(&sim, "DELETE", "/sim/faults/1", "").await.0, 404);
    assert_eq!(request(&sim, "DELETE", "/sim/faults/x", "").await.0, 400);
    post(&sim, "/sim/faults", &json!({ "name": "whitespace" })).await;
    let (_, faults) = get(&sim, "/sim/faults").await;
    assert_eq!(faults["active"][0]["targets"]["count"], sim.assets().len());
    assert_eq!(
        request(&sim, "DELETE", "/sim/faults", "").await.1,
        "{\"removed\":1}"
    );
    sim.stop().await;
}

/// A quiet exchange of so many markets, with the condition of each asset's market.
async fn quiet(markets: usize) -> (SimHandle, Vec<(AssetId, String)>) {
    let config = SimConfig {
        markets,
        events_per_second: 0.0,
        ..SimConfig::for_tests()
    };
    let sim = start(config).await;
    let (_, rows) = get(&sim, "/sim/assets").await;
    let rows = rows.as_array().unwrap().iter().map(|row| {
        let text = |key: &str| row[key].as_str().unwrap().to_owned();
        (text("asset_id").parse().unwrap(), text("condition_id"))
    });
    let assets = rows.collect();
    (sim, assets)
}

#[tokio::test]
async fn batches_are_refused_for_their_size_and_for_one_id() {
    let (sim, assets) = quiet(3).await;
    let look_up = async |markets: usize| {
        let mut path = "/markets/keyset?limit=100".to_owned();
        for (_, condition) in assets.iter().step_by(2).take(markets) {
            path.push_str(&format!("&condition_ids={condition}"));
        }
        get(&sim, &path).await.0
    };
    let books = async |tokens: &[(AssetId, String)]| {
        let body: Vec<Value> = tokens
            .iter()
            .map(|(id, _)| json!({ "token_id": id.as_str() }))
            .collect();
        let (status, answer) = post(&sim, "/books", &body.into()).await;
        (status, answer.as_array().map_or(0, Vec::len))
    };
    let on = |kind: FaultKind| Fault::new(kind).on_assets([assets[5].0.clone()]);
    for kind in [FaultKind::GammaBatch, FaultKind::ClobBatch] {
        sim.add_fault(Fault::new(kind).with("ids", 2).unwrap());
    }
    assert_eq!([look_up(2).await, look_up(3).await], [200, 403]);
    assert_eq!(books(&assets[..2]).await, (200, 2));
    assert_eq!(books(&assets[..3]).await.0, 413);
    sim.clear_faults();
    sim.add_fault(on(FaultKind::GammaPoisoned));
    sim.add_fault(on(FaultKind::ClobPoisoned));
    assert_eq!([look_up(2).await, look_up(3).await], [200, 500]);
    assert_eq!(books(&assets[..5]).await, (200, 5));
    assert_eq!(books(&assets).await.0, 400);
    sim.clear_faults();
    sim.add_fault(on(FaultKind::ClobDenies));
    assert_eq!(books(&assets).await, (200, 5));
    for (at, status) in [(5, 404), (4, 200)] {
        let path = format!("/book?token_id={}", assets[at].0);
        assert_eq!(get(&sim, &path).await.0, status);
    }
    sim.stop().await;
}

#[tokio::test]
async fn later_pages_are_empty_or_come_again_under_a_new_cursor() {
    for (kind, rows) in [
        (FaultKind::GammaEmptyPage, 0),
        (FaultKind::GammaRepeatedPage, 20),
    ] {
        let (sim, _) = quiet(45).await;
        let id = sim.add_fault(Fault::new(kind));
        let page = async |cursor: &Value| {
            let cursor = cursor.as_str().unwrap();
            let path = format!("/markets/keyset?after_cursor={cursor}");
            get(&sim, &path).await.1
        };
        let (_, first) = get(&sim, "/markets/keyset").await;
        assert_eq!(first["markets"].as_array().map(Vec::len), Some(20));
        let mut cursors = vec![first["next_cursor"].clone()];
        for _ in 0..3 {
            let again = page(cursors.last().unwrap()).await;
            assert_eq!(again["markets"].as_array().map(Vec::len), Some(rows));
            assert!(!cursors.contains(&again["next_cursor"]), "{again}");
            cursors.push(again["next_cursor"].clone());
        }
        sim.remove_fault(id);
        let second = page(cursors.last().unwrap()).await;
        assert_eq!(second["markets"].as_array().map(Vec::len), Some(20));
        let third = page(&second["next_cursor"]).await;
        assert_eq!(third["markets"].as_array().map(Vec::len), Some(5));
        assert_eq!(third.get("next_cursor"), None);
        sim.stop().await;
    }
}

#[tokio::test]
async fn gamma_calls_a_market_closed_everywhere_or_in_lists_of_open_ones() {
    let (sim, assets) = quiet(4).await;
    let (asset, condition) = assets[2].clone();
    let count = async |query: &str| {
        let (_, page) = get(&sim, &format!("/markets/keyset?limit=100&{query}")).await;
        let rows = page["markets"].as_array().unwrap().clone();
        let closed = rows.iter().filter(|row| row["closed"] == true).count();
        (rows.len(), closed)
    };
    let by_name = format!("closed=true&condition_ids={condition}");
    let wrong = Fault::new(FaultKind::GammaCallsClosed).on_assets([asset]);
    let id = sim.add_fault(wrong.clone());
    assert_eq!(count("closed=false").await, (3, 0));
    assert_eq!(count("closed=true").await, (1, 1));
    assert_eq!(count(&by_name).await, (1, 1));
    sim.remove_fault(id);
    sim.add_fault(wrong.with("in_open_lists", true).unwrap());
    assert_eq!(count("closed=false").await, (4, 1));
    assert_eq!(count("closed=true").await, (0, 0));
    assert_eq!(count(&by_name).await, (0, 0));
    sim.stop().await;
}
