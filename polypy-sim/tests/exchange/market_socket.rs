//! The rules of the market socket, over real sockets.

use std::time::Duration;

use crate::client::{Client, Got, Kept, eventually, get, ids, start};
use polypy_core::{AssetId, Price};
use polypy_sim::SimConfig;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;

/// An exchange that stands still.
fn still() -> SimConfig {
    SimConfig {
        events_per_second: 0.0,
        ..SimConfig::for_tests()
    }
}

#[tokio::test]
async fn opening_books_come_as_one_array_in_the_order_asked_for() {
    let sim = start(still()).await;
    let assets = sim.assets();
    let wanted = [assets[5].clone(), assets[0].clone(), assets[3].clone()];
    let mut client = Client::connect(&sim).await;
    client.open(&wanted).await;
    let text = client.text().await;
    assert!(text.starts_with("[{\"market\":\"0x") && text.ends_with("\"}]\n"));
    let books: Vec<Value> = serde_json::from_str(&text).unwrap();
    let got: Vec<&str> = books
        .iter()
        .map(|book| book["asset_id"].as_str().unwrap())
        .collect();
    assert_eq!(got, ids(&wanted));
    let keys: Vec<&String> = books[0].as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "market",
            "asset_id",
            "timestamp",
            "hash",
            "bids",
            "asks",
            "tick_size",
            "event_type",
            "last_trade_price"
        ]
    );
    for (book, asset) in books.iter().zip(&wanted) {
        let truth = sim.true_book(asset).unwrap();
        assert_eq!(book["hash"], truth.hash.to_string());
        let mut kept = Kept::default();
        kept.apply(asset, &book.to_string());
        assert!(kept.equals(&truth));
    }
    sim.stop().await;
}

#[tokio::test]
async fn unknown_assets_are_left_out_silently() {
    let sim = start(still()).await;
    let known = sim.assets()[0].clone();
    let unknown: AssetId = "12345".parse().unwrap();
    let mut client = Client::connect(&sim).await;
    client.open(std::slice::from_ref(&unknown)).await;
    assert_eq!(client.text().await, "[]\n");
    client
        .operation("subscribe", &[unknown, known.clone()])
        .await;
    let books: Vec<Value> = serde_json::from_str(&client.text().await).unwrap();
    assert_eq!(books.len(), 1);
    assert_eq!(books[0]["asset_id"], known.as_str());
    sim.stop().await;
}

#[tokio::test]
async fn control_texts_answer_what_is_not_allowed() {
    let sim = start(still()).await;
    let assets = sim.assets();
    let mut client = Client::connect(&sim).await;
    client.send("nonsense").await;
    assert_eq!(client.text().await, "INVALID MESSAGE");
    client.open(&assets[..2]).await;
    assert!(client.text().await.starts_with('['));
    client.open(&assets[..2]).await;
    assert_eq!(client.text().await, "INVALID OPERATION");
    client.operation("subscribe", &assets[..2]).await;
    assert_eq!(client.text().await, "NO NEW ASSETS");
    client.operation("dance", &assets[..2]).await;
    assert_eq!(client.text().await, "INVALID OPERATION");
    // Taking one back and asking again gives a fresh book of it alone.
    client.operation("unsubscribe", &assets[..1]).await;
    client.operation("subscribe", &assets[..2]).await;
    let books: Vec<Value> = serde_json::from_str(&client.text().await).unwrap();
    assert_eq!(books.len(), 1);
    client.send("PING").await;
    assert_eq!(client.text().await, "PONG");
    sim.stop().await;
}

#[tokio::test]
async fn without_initial_dump_only_events_come() {
    let sim = start(SimConfig {
        markets: 1,
        ..SimConfig::for_tests()
    })
    .await;
    let assets = sim.assets();
    let mut client = Client::connect(&sim).await;
    client
        .send(json!({ "type": "market", "assets_ids": ids(&assets), "initial_dump": false }))
        .await;
    assert!(client.text().await.starts_with('{'));
    sim.stop().await;
}

#[tokio::test]
async fn a_frame_of_too_many_ids_brings_no_books_and_of_far_too_many_the_end() {
    let sim = start(SimConfig {
        snapshot_id_limit: 3,
        frame_id_limit: 6,
        ..still()
    })
    .await;
    let assets = sim.assets();
    let mut client = Client::connect(&sim).await;
    client.open(&assets[..4]).await;
    client.operation("subscribe", &assets[4..7]).await;
    let books: Vec<Value> = serde_json::from_str(&client.text().await).unwrap();
    assert_eq!(books.len(), 3, "the first frame's books never came");
    client.operation("subscribe", &assets[7..14]).await;
    assert!(matches!(client.ending().await, Got::End));
    assert_eq!(sim.stats().totals.closed_oversized, 1);
    sim.stop().await;
}

#[tokio::test]
async fn a_book_kept_from_the_stream_equals_the_truth_at_every_pause() {
    let config = SimConfig {
        markets: 3,
        events_per_second: 2_000.0,
        resolve_per_minute: 0.0,
        ..SimConfig::for_tests()
    };
    let sim = start(config).await;
    let assets = sim.assets();
    let mut client = Client::connect(&sim).await;
    client.open_custom(&assets[..3]).await;
    let mut kept: Vec<Kept> = assets.iter().map(|_| Kept::default()).collect();
    for round in 0..6 {
        if round == 2 {
            // While events flow: the books must join the stream seamlessly.
            client.operation("unsubscribe", &assets[..1]).await;
            client
                .operation("subscribe", &[assets[0].clone(), assets[4].clone()])
                .await;
        }
        for _ in 0..200 {
            let text = client.text().await;
            for (kept, asset) in kept.iter_mut().zip(&assets) {
                kept.apply(asset, &text);
            }
        }
        sim.pause();
        eventually("all is sent", || {
            sim.stats().scheduled == 0 && sim.stats().queued_frames == 0
        })
        .await;
        for text in client.until_pong().await {
            for (kept, asset) in kept.iter_mut().zip(&assets) {
                kept.apply(asset, &text);
            }
        }
        for (at, (kept, asset)) in kept.iter().zip(&assets).enumerate() {
            if kept.opened && (at < 3 || round >= 2) {
                let truth = sim.true_book(asset).unwrap();
                assert!(kept.equals(&truth), "round {round}, asset {at}");
                assert_eq!(
                    kept.hash,
                    truth.hash.to_string(),
                    "round {round}, asset {at}"
                );
            }
        }
        assert!(kept[0].opened && kept[2].opened);
        sim.resume();
    }
    sim.stop().await;
}

#[tokio::test]
async fn custom_events_come_only_while_the_flag_stands() {
    let config = SimConfig {
        markets: 1,
        events_per_second: 1_000.0,
        ..SimConfig::for_tests()
    };
    let sim = start(config).await;
    let assets = sim.assets();
    let mut client = Client::connect(&sim).await;
    client.open_custom(&assets).await;
    client.event("best_bid_ask").await;
    // The flag is taken over although nothing new is subscribed.
    client.operation("subscribe", &assets).await;
    client.text_where(|text| text == "NO NEW ASSETS").await;
    for _ in 0..300 {
        assert!(!client.text().await.contains("best_bid_ask"));
    }
    sim.stop().await;
}

#[tokio::test]
async fn a_trade_is_changes_then_two_books_then_a_later_print() {
    let config = SimConfig {
        markets: 1,
        events_per_second: 500.0,
        ..SimConfig::for_tests()
    };
    let sim = start(config).await;
    let assets = sim.assets();
    let mut client = Client::connect(&sim).await;
    client.open(&assets).await;
    client.text().await;
    let book = client.event("book").await;
    let keys: Vec<&String> = book.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "market",
            "asset_id",
            "bids",
            "asks",
            "hash",
            "timestamp",
            "event_type"
        ]
    );
    let other = client.event("book").await;
    assert_ne!(book["asset_id"], other["asset_id"]);
    let print = client.event("last_trade_price").await;
    let stamp = |event: &Value| event["timestamp"].as_str().unwrap().parse::<u64>().unwrap();
    assert!(stamp(&print) >= stamp(&book));
    assert_eq!(print["fee_rate_bps"], "0");

    // What books hash as the last trade's price is a price that was printed.
    sim.pause();
    eventually("all is sent", || sim.stats().scheduled == 0).await;
    let mut prices = vec![print["price"].as_str().unwrap().parse::<Price>().unwrap()];
    for text in client.until_pong().await {
        let event: Value = serde_json::from_str(&text).unwrap();
        if event["event_type"] == "last_trade_price" {
            prices.push(event["price"].as_str().unwrap().parse().unwrap());
        }
    }
    let hashed = sim.true_book(&assets[0]).unwrap().last_trade_price;
    assert!(
        prices.contains(&hashed.as_str().parse().unwrap()),
        "{hashed} of {prices:?}"
    );
    sim.stop().await;
}

#[tokio::test]
async fn announcements_reach_every_custom_socket_and_gamma_follows() {
    let config = SimConfig {
        events_per_second: 1_000.0,
        new_markets_per_minute: 600.0,
        listing_lag: Duration::from_millis(300),
        ..SimConfig::for_tests()
    };
    let sim = start(config).await;
    let mut client = Client::connect(&sim).await;
    client.open_custom(&[]).await;
    let new = client.event("new_market").await;
    assert_eq!(new["assets_ids"], new["clob_token_ids"]);
    let path = format!(
        "/markets/keyset?condition_ids={}",
        new["market"].as_str().unwrap()
    );
    let (_, before) = get(&sim, &path).await;
    assert_eq!(before["markets"], json!([]), "listed too early");
    loop {
        let (_, after) = get(&sim, &path).await;
        if after["markets"][0]["conditionId"] == new["market"] {
            break;
        }
    }
    sim.stop().await;
}

#[tokio::test]
async fn settlement_empties_books_is_announced_and_ends_the_socket() {
    let config = SimConfig {
        markets: 6,
        events_per_second: 1_000.0,
        resolve_per_minute: 1_200.0,
        ..SimConfig::for_tests()
    };
    let sim = start(config).await;
    let assets = sim.assets();
    let mut client = Client::connect(&sim).await;
    client.open_custom(&assets).await;
    let resolved = client.event("market_resolved").await;
    let asset: AssetId = resolved["winning_asset_id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let truth = sim.true_book(&asset).unwrap();
    assert!(truth.settled && truth.bids.is_empty() && truth.asks.is_empty());
    let (status, body) = get(&sim, &format!("/book?token_id={asset}")).await;
    assert_eq!(status, 404);
    assert_eq!(
        body["error"],
        "No orderbook exists for the requested token id"
    );
    // Alone on a socket, it is not even listed.
    let mut late = Client::connect(&sim).await;
    late.open(&[asset]).await;
    assert_eq!(late.text().await, "[]\n");
    sim.stop().await;
}

#[tokio::test]
async fn a_socket_whose_assets_are_all_settled_is_closed_with_1000() {
    let config = SimConfig {
        markets: 8,
        events_per_second: 1_000.0,
        resolve_per_minute: 3_000.0,
        ..SimConfig::for_tests()
    };
    let sim = start(config).await;
    let assets = sim.assets();
    // Of any two markets one settles sooner or later: only one stays.
    let mut first = Client::connect(&sim).await;
    first.open(&assets[..2]).await;
    let mut second = Client::connect(&sim).await;
    second.open(&assets[2..4]).await;
    let end = tokio::select! {
        end = first.ending() => end,
        end = second.ending() => end,
    };
    match end {
        Got::Close(Some(frame)) => {
            assert_eq!(u16::from(frame.code), 1000);
            assert_eq!(frame.reason.as_str(), "all subscribed assets resolved");
        }
        other => panic!("{other:?}"),
    }
    sim.stop().await;
}

#[tokio::test]
async fn a_slow_consumer_is_closed_with_1013() {
    let config = SimConfig {
        markets: 40,
        events_per_second: 20_000.0,
        send_buffer: 64 << 10,
        kernel_send_buffer: Some(16 << 10),
        ..SimConfig::for_tests()
    };
    let sim = start(config).await;
    let mut client = Client::connect(&sim).await;
    client.open(&sim.assets()).await;
    eventually("the buffer is full", || sim.stats().totals.closed_slow == 1).await;
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
async fn a_silent_socket_is_dropped_without_a_close_frame() {
    let config = SimConfig {
        idle_timeout: Duration::from_millis(100),
        ..still()
    };
    let sim = start(config).await;
    let mut client = Client::connect(&sim).await;
    assert!(matches!(client.ending().await, Got::End));
    assert_eq!(sim.stats().totals.closed_idle, 1);
    sim.stop().await;
}

#[tokio::test]
async fn only_one_path_is_a_socket() {
    let sim = start(still()).await;
    for path in ["/ws", "/ws/", "/ws/user", "/"] {
        let url = format!("ws://{}{path}", sim.local_addr());
        assert!(connect_async(url).await.is_err(), "{path}");
        assert_eq!(get(&sim, path).await.0, 404, "{path}");
    }
    sim.stop().await;
}

#[tokio::test]
async fn stop_ends_every_socket_and_frees_the_port() {
    let sim = start(SimConfig::for_tests()).await;
    let address = sim.local_addr();
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = Client::connect(&sim).await;
        client.open(&sim.assets()).await;
        clients.push(client);
    }
    let reading = tokio::spawn(async move {
        for client in &mut clients {
            match client.ending().await {
                Got::Close(Some(frame)) => assert_eq!(u16::from(frame.code), 1001),
                other => panic!("{other:?}"),
            }
        }
    });
    sim.stop().await;
    reading.await.unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

/// Sizes that say when they were set are what everybody is shown, and what is removed is.
#[tokio::test]
async fn changes_have_the_size_that_a_stamp_gives() {
    let config = SimConfig {
        stamp: Some(|| 1_234_567_890),
        ..SimConfig::for_tests()
    };
    let sim = start(config).await;
    let assets = sim.assets();
    let mut client = Client::connect(&sim).await;
    client.open(&assets).await;
    let (mut set, mut removed) = (0, 0);
    while set < 20 || removed < 5 {
        let frame = client.event("price_change").await;
        for change in frame["price_changes"].as_array().unwrap() {
            match change["size"].as_str().unwrap() {
                "0" => removed += 1,
                size => {
                    assert_eq!(size, "1234.56789");
                    set += 1;
                }
            }
        }
    }
    sim.stop().await;
}
