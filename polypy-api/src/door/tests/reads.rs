//! `/v1/books/{token_id}` and `/v1/trades/{token_id}`.

use std::time::Duration;

use polypy_core::{
    BookLookup, BookState, BookView, Component as _, LastTrade, Side, StaleReason, Timestamp,
    TradeKept, TradesView,
};
use serde_json::{Value, json};

use super::common::{Catalogue, NOW, Server, config, found, moment};

async fn ask(server: &Server, method: &str, target: &str, headers: &str) -> (u16, String, String) {
    super::common::ask(server.address, method, target, headers).await
}

fn etag(head: &str) -> &str {
    let lines = head.lines();
    let mut tags = lines.filter_map(|line| line.strip_prefix("etag: "));
    tags.next().unwrap()
}

/// A book that differs in one thing.
fn other(change: impl FnOnce(&mut BookView)) -> BookLookup {
    let BookLookup::Found(mut view) = found("11", BookState::Live, "0.55") else {
        unreachable!("it is found");
    };
    change(&mut view);
    BookLookup::Found(view)
}

#[tokio::test]
async fn a_book_is_shown_with_its_market_and_times_that_stand_still() {
    let server = Server::start(config()).await;
    server.books.set("11", found("11", BookState::Live, "0.55"));
    let (status, head, body) = ask(&server, "GET", "/v1/books/11?depth=2", "").await;
    assert_eq!(status, 200, "{head}");
    assert!(head.contains("\r\ncache-control: no-cache\r\n"), "{head}");
    let mut book: Value = serde_json::from_str(&body).unwrap();
    let received = book["ts_recv_us"].take().as_u64().unwrap();
    let since = book["since_ms"].take().as_u64().unwrap();
    assert_eq!(received / 1_000 - since, 1_000);
    assert!(book["since"].take().as_str().unwrap().ends_with('Z'));
    assert_eq!(
        book,
        json!({
            "token_id": "11", "condition_id": format!("0x{:064x}", 7), "outcome": "Yes",
            "complement": "12", "question": "Does it hold?", "slug": "does-it-hold",
            "event_slug": "what-holds", "winner": null,
            "state": "live", "reason": null, "verified": null,
            "verified_at_ms": null, "verified_at": null, "feed": null, "since_ms": null, "since": null,
            "epoch": 3, "sequence": 4_711, "revision": 7,
            "ts_event_ms": NOW - 250, "ts_event": "2025-12-08T10:29:59.750Z", "ts_recv_us": null,
            "tick_size": null, "hash": null,
            "depth": 2, "bid_levels": 12, "ask_levels": 12,
            "spread": "0.06", "mid_price": "0.52", "last_trade": null,
            "bids": [["0.49", "29.5"], ["0.48", "29.5"]],
            "asks": [["0.55", "0.29"], ["0.61", "120"]],
        })
    );
    let (_, _, whole) = ask(&server, "GET", "/v1/books/11", "").await;
    let whole: Value = serde_json::from_str(&whole).unwrap();
    assert_eq!(whole["bids"].as_array().unwrap().len(), 12);
    assert_eq!(whole["depth"], Value::Null);
    let again = ask(&server, "GET", "/v1/books/11?depth=2", "").await;
    assert_eq!(again.2, body, "also later");
    let (status, head, body) = ask(&server, "HEAD", "/v1/books/11", "").await;
    assert_eq!((status, body.as_str()), (200, ""));
    assert!(head.contains("\r\netag: W/"), "{head}");
    server.http.stop().await;
}

#[tokio::test]
async fn who_has_the_book_is_spared_it_and_any_change_is_another_one() {
    let server = Server::start(config()).await;
    let books = [
        other(|_| {}),
        other(|view| view.position.epoch += 1),
        other(|view| view.position.sequence += 1),
        other(|view| view.position.revision += 1),
        other(|view| view.key_life += 1),
        // Read ahead of the worker, which has not counted it yet.
        other(|view| view.state = BookState::Stale(StaleReason::Hash)),
        other(|view| view.state = BookState::Stale(StaleReason::Top)),
        other(|view| view.state = BookState::Settled),
    ];
    let mut tags: Vec<String> = Vec::new();
    for book in books {
        server.books.set("11", book);
        for target in [
            "/v1/books/11",
            "/v1/books/11?depth=5",
            "/v1/books/11?depth=1000",
        ] {
            for known in &tags {
                let header = format!("If-None-Match: {known}\r\n");
                let (status, ..) = ask(&server, "GET", target, &header).await;
                assert_eq!(status, 200, "{known}");
            }
            let (_, head, _) = ask(&server, "GET", target, "").await;
            let tag = etag(&head).to_owned();
            let header = format!("If-None-Match: \"x\", {tag}\r\n");
            let (status, head, body) = ask(&server, "GET", target, &header).await;
            assert_eq!((status, body.as_str()), (304, ""), "{head}");
            assert_eq!(etag(&head), tag);
        }
        let (_, head, _) = ask(&server, "GET", "/v1/books/11", "").await;
        tags.push(etag(&head).to_owned());
    }
    server.http.stop().await;
}

#[tokio::test]
async fn what_cannot_be_shown_says_why() {
    let server = Server::start(config()).await;
    server.books.set("13", BookLookup::Pending);
    server.books.set("14", BookLookup::Ended);
    for (target, status, part) in [
        ("/v1/books/12", 404, "/markets"),
        ("/v1/books/14", 404, "over"),
        ("/v1/books/13", 503, "snapshot"),
        ("/v1/books/x", 400, "digits"),
        ("/v1/books/11?depth=0", 400, "depth"),
        ("/v1/books/11?dept=1", 400, "dept"),
    ] {
        for depth in ["", "?depth=500"] {
            if target.contains('?') && !depth.is_empty() {
                continue;
            }
            let (got, head, body) = ask(&server, "GET", &format!("{target}{depth}"), "").await;
            assert_eq!(got, status, "{target}: {body}");
            assert!(body.contains(part), "{target}: {body}");
            assert_eq!(head.contains("retry-after"), status == 503, "{head}");
        }
    }
    server.http.stop().await;
}

/// As many trades as there are numbers, the newest first.
fn trades(numbers: impl DoubleEndedIterator<Item = u64>) -> TradesView {
    let trades: Vec<_> = numbers
        .rev()
        .map(|sequence| TradeKept {
            asset: Catalogue::new().key(),
            sequence,
            trade: LastTrade {
                timestamp: Timestamp::from_millis(NOW + sequence),
                price: "0.5".parse().unwrap(),
                size: "12.5".parse().unwrap(),
                side: (sequence % 2 == 0).then_some(Side::Ask),
            },
            received: moment() + Duration::from_millis(sequence),
        })
        .collect();
    TradesView {
        key_life: 1,
        sequence: trades.first().map_or(0, |trade| trade.sequence),
        trades,
    }
}

#[tokio::test]
async fn trades_are_numbered_newest_first_and_spared_to_who_has_them() {
    let server = Server::start(config()).await;
    server.books.set_trades("11", trades(3..=5));
    let (status, head, body) = ask(&server, "GET", "/v1/trades/11?limit=2", "").await;
    assert_eq!(status, 200, "{body}");
    let mut shown: Value = serde_json::from_str(&body).unwrap();
    let newest = shown["trades"][0]["ts_recv_us"].take().as_u64().unwrap();
    let other = shown["trades"][1]["ts_recv_us"].take().as_u64().unwrap();
    assert_eq!(newest - other, 1_000);
    assert_eq!(
        shown,
        json!({
            "token_id": "11", "condition_id": format!("0x{:064x}", 7), "outcome": "Yes",
            "trade_sequence": 5,
            "trades": [
                {
                    "trade_sequence": 5, "price": "0.5", "size": "12.5", "aggressor_side": null,
                    "ts_event_ms": NOW + 5, "ts_event": "2025-12-08T10:30:00.005Z", "ts_recv_us": null,
                },
                {
                    "trade_sequence": 4, "price": "0.5", "size": "12.5", "aggressor_side": "SELL",
                    "ts_event_ms": NOW + 4, "ts_event": "2025-12-08T10:30:00.004Z", "ts_recv_us": null,
                },
            ],
        })
    );
    let tag = etag(&head).to_owned();
    let header = format!("If-None-Match: {tag}\r\n");
    assert_eq!(
        ask(&server, "GET", "/v1/trades/11?limit=2", &header)
            .await
            .0,
        304
    );
    for (target, view) in [
        ("/v1/trades/11", trades(3..=5)),
        ("/v1/trades/11?limit=2", trades(3..=6)),
        (
            "/v1/trades/11?limit=2",
            TradesView {
                key_life: 2,
                ..trades(3..=5)
            },
        ),
    ] {
        server.books.set_trades("11", view);
        assert_eq!(
            ask(&server, "GET", target, &header).await.0,
            200,
            "{target}"
        );
    }
    server.books.set_trades("11", trades(1..1));
    let (_, _, none) = ask(&server, "GET", "/v1/trades/11", "").await;
    assert!(
        none.contains("\"trade_sequence\":0,\"trades\":[]"),
        "{none}"
    );
    for (target, status) in [
        ("/v1/trades/12", 404),
        ("/v1/trades/x", 400),
        ("/v1/trades/11?limit=1001", 400),
        ("/v1/trades/11?limits=1", 400),
    ] {
        assert_eq!(ask(&server, "GET", target, "").await.0, status, "{target}");
    }
    server.http.stop().await;
}
