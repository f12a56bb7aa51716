//! `/ws/orderbook`.

use std::io::ErrorKind;
use std::time::Duration;

use futures_util::SinkExt as _;
use polypy_core::{BookLookup, BookState, Component as _, StaleReason, StatsSource as _};
use polypy_http::HttpConfig;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio_tungstenite::tungstenite::Message;

use super::common::*;

const PATH: &str = "/ws/orderbook";

#[tokio::test]
async fn the_book_asked_for_comes_at_its_interval_until_another_one_is() {
    let server = Server::start(config()).await;
    server.books.set("11", found("11", BookState::Live, "0.55"));
    let stale = BookState::Stale(StaleReason::Hash);
    server.books.set("12", found("12", stale, "0.55"));
    let mut client = Client::connect(server.address, PATH).await;

    client.say(r#"{"subscribe":"11","interval_ms":50}"#).await;
    let book = client.hear().await;
    assert_eq!(book["bids"].as_array().unwrap().len(), 10);
    assert_eq!(book["bids"][0], json!(["0.49", "29.5"]));
    assert_eq!(book["asks"][0], json!(["0.55", "0.29"]));
    assert_eq!(
        book["metrics"],
        json!({"spread": "0.06", "mid_price": "0.52", "imbalance": book["metrics"]["imbalance"]})
    );
    assert_eq!(book["last_update_ts"], json!(NOW - 250));
    let rest = ["type", "asset_id", "state", "reason"].map(|name| book[name].clone());
    assert_eq!(json!(rest), json!(["orderbook", "11", "live", null]));
    assert_eq!(client.hear().await, book);

    // What changes is seen at the next look.
    server.books.set("11", found("11", BookState::Live, "0.54"));
    while client.hear().await["asks"][0][0] != "0.54" {}

    client.say(r#"{"subscribe":"12","interval_ms":50}"#).await;
    let other = loop {
        let heard = client.hear().await;
        if heard["asset_id"] == "12" {
            break heard;
        }
    };
    assert_eq!(
        json!([other["state"], other["reason"]]),
        json!(["stale", "hash"])
    );
    for _ in 0..3 {
        assert_eq!(client.hear().await["asset_id"], "12");
    }

    // After this there is none: what comes next is the answer to the next word.
    client.say(r#"{"unsubscribe":true}"#).await;
    client.say("{}").await;
    while client.hear().await["type"] != "error" {}
    let looks = server.books.looks();
    client.say("[]").await;
    assert_eq!(client.hear().await["type"], "error");
    // The next interval has passed once another client has had a book twice.
    let mut other = Client::connect(server.address, PATH).await;
    other.say(r#"{"subscribe":"11","interval_ms":50}"#).await;
    for _ in 0..3 {
        other.hear().await;
    }
    client.say("[]").await;
    assert_eq!(client.hear().await["type"], "error");
    assert!(server.books.looks() >= looks + 3);
    server.http.stop().await;
}

#[tokio::test]
async fn a_book_without_a_snapshot_is_waited_for_and_an_unknown_one_is_an_error() {
    let server = Server::start(config()).await;
    server.books.set("11", BookLookup::Requested);
    server.books.set("13", BookLookup::Ended);
    let mut client = Client::connect(server.address, PATH).await;
    client.say(r#"{"subscribe":"11","interval_ms":50}"#).await;
    // It is asked for again and again, and nothing is said.
    eventually("it is asked for", || server.books.looks() >= 3).await;
    server.books.set("11", found("11", BookState::Live, "0.55"));
    assert_eq!(client.hear().await["asset_id"], "11");

    for (asset_id, part) in [("12", "unknown"), ("13", "settled"), ("x", "unknown")] {
        client
            .say(&format!(r#"{{"subscribe":"{asset_id}"}}"#))
            .await;
        let error = loop {
            let heard = client.hear().await;
            if heard["type"] == "error" {
                break heard["error"].as_str().unwrap().to_owned();
            }
        };
        assert!(error.contains(part), "{error}");
    }
    server.http.stop().await;
}

#[tokio::test]
async fn what_is_no_request_is_an_error_and_the_book_goes_on() {
    let server = Server::start(config()).await;
    server.books.set("11", found("11", BookState::Live, "0.55"));
    let mut client = Client::connect(server.address, PATH).await;
    client.say(r#"{"subscribe":"11","interval_ms":50}"#).await;
    client.0.send(Message::binary(vec![1])).await.unwrap();
    client.say(r#"{"subscribe":"12","interval_ms":0}"#).await;
    let mut errors = Vec::new();
    while errors.len() < 2 {
        let heard = client.hear().await;
        match heard["error"].as_str() {
            Some(error) => errors.push(error.to_owned()),
            None => assert_eq!(heard["asset_id"], "11"),
        }
    }
    assert!(errors[0].contains("text"), "{errors:?}");
    assert!(errors[1].contains("interval_ms"), "{errors:?}");
    assert_eq!(client.hear().await["asset_id"], "11");

    // A request of 4 KiB is the longest.
    client.say(&" ".repeat(4 * 1024)).await;
    client.say(&" ".repeat(4 * 1024 + 1)).await;
    assert_eq!(u16::from(client.closed().await.code), 1009);
    server.http.stop().await;
}

#[tokio::test]
async fn who_says_too_much_is_told_and_then_sent_away() {
    let server = Server::start(config()).await;
    let mut client = Client::connect(server.address, PATH).await;
    for _ in 0..80 {
        client.0.feed(Message::text("{}")).await.unwrap();
    }
    client.0.flush().await.unwrap();
    let mut errors = Vec::new();
    while errors.last() != Some(&"too many messages: ten a second are heeded".to_owned()) {
        errors.push(client.hear().await["error"].as_str().unwrap().to_owned());
    }
    assert!((51..80).contains(&errors.len()), "{}", errors.len());
    assert_eq!(u16::from(client.closed().await.code), 1008);

    // Pings cost an answer, too.
    let mut client = Client::connect(server.address, PATH).await;
    for _ in 0..80 {
        client
            .0
            .feed(Message::Ping(Vec::new().into()))
            .await
            .unwrap();
    }
    client.0.flush().await.unwrap();
    assert_eq!(u16::from(client.closed().await.code), 1008);
    server.http.stop().await;
}

#[tokio::test]
async fn a_stop_says_so_and_cuts_nobody_off() {
    let server = Server::start(config()).await;
    server.books.set("11", found("11", BookState::Live, "0.55"));
    let mut client = Client::connect(server.address, PATH).await;
    client.say(r#"{"subscribe":"11","interval_ms":50}"#).await;
    client.hear().await;
    let (frame, ()) = tokio::join!(client.closed(), server.http.stop());
    assert_eq!(u16::from(frame.code), 1001);
    assert_eq!(server.http.stats()["aborted_connections"], 0);
    assert_eq!(server.http.stats()["active_streams"], 0);
}

#[tokio::test]
async fn one_that_does_not_read_is_reset() {
    let impatient = HttpConfig {
        write_timeout: Duration::from_millis(200),
        send_buffer: NARROW,
        ..config()
    };
    let server = Server::start(impatient).await;
    server.books.set("11", found("11", BookState::Live, "0.55"));
    let mut client = Client::narrow(server.address, PATH).await;
    client.say(r#"{"subscribe":"11","interval_ms":50}"#).await;
    client.hear().await;
    // From here on the client does not read: its system's buffer fills, then the server's.
    server.until(|stats| stats["active_streams"] == 0).await;
    let mut stream = client.0.into_inner();
    let left = stream.read_to_end(&mut Vec::new()).await;
    assert_eq!(left.unwrap_err().kind(), ErrorKind::ConnectionReset);
    server.http.stop().await;
}
