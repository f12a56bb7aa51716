//! `GET /orderbook/{asset_id}`: exact levels, how far to trust them, and which
//! questions are refused.

use crate::common::*;
use polypy_core::Component;
use serde_json::{Value, json};

#[tokio::test]
async fn a_live_book_is_shown_exactly() {
    let (server, address) = full().await;
    let answer = get(address, &format!("/orderbook/{LIVE}?depth=2")).await;
    assert_eq!(answer.status, 200);
    let mut body = answer.json();
    let history = body["history"].take();
    let imbalance = body["metrics"]["imbalance"].take();
    assert_eq!(
        body,
        json!({
            "request_id": answer.header("x-request-id").unwrap(),
            "asset_id": LIVE,
            "found": true,
            "state": "live",
            "reason": null,
            "epoch": 3,
            "sequence": 4_711,
            "age_ms": 250,
            "since_ms": 1_250,
            "bids": [["0.489", "29.5"], ["0.488", "29.5"]],
            "asks": [["0.5025", "0.29"], ["0.521", "120"]],
            "bid_levels": 60,
            "ask_levels": 40,
            "metrics": { "spread": "0.0135", "mid_price": "0.49575", "imbalance": null },
            "last_update_ts": NOW - 250,
            "tick_size": "0.001",
            "last_trade_price": "0.85",
            "last_trade": {
                "price": "0.85", "size": "219.217767", "side": "BUY", "timestamp": NOW - 750,
            },
            "hash": "0123456789abcdef0123456789abcdef01234567",
            "hash_verified": true,
            "history": null,
            "error": null,
        })
    );
    assert!(imbalance.as_f64().is_some_and(|value| value.abs() <= 1.0));
    // The newest fifty, oldest first.
    let history = history.as_array().unwrap();
    assert_eq!(history.len(), 50);
    assert_eq!(history[49]["timestamp"], 99 * 30_000);
    assert_eq!(
        history[0],
        json!({
            "timestamp": 50 * 30_000, "best_bid": null, "best_ask": null,
            "spread": null, "mid_price": null,
        })
    );
    server.stop().await;
}

#[tokio::test]
async fn depth_defaults_to_ten_and_is_checked() {
    let (server, address) = full().await;
    for (query, levels) in [("", 10), ("?depth=1", 1), ("?depth=1000", 60)] {
        let body = get(address, &format!("/orderbook/{LIVE}{query}"))
            .await
            .json();
        assert_eq!(body["bids"].as_array().unwrap().len(), levels, "{query}");
    }
    for depth in [
        "abc",
        "0",
        "-1",
        "1001",
        "1e3",
        "",
        "1.5",
        "99999999999999999999",
        "5&depth=6",
    ] {
        let answer = get(address, &format!("/orderbook/{LIVE}?depth={depth}")).await;
        assert_eq!(answer.status, 400, "{depth}");
        let body = answer.json();
        assert_eq!(body["parameter"], "depth", "{depth}");
        assert!(body["error"].as_str().unwrap().contains("depth"), "{depth}");
    }
    // A typo is not silently another question.
    let answer = get(address, &format!("/orderbook/{LIVE}?depht=5")).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["parameter"], "depht");
    server.stop().await;
}

#[tokio::test]
async fn how_far_to_trust_a_book_is_said() {
    let (server, address) = full().await;
    for (asset, state, reason) in [
        (LIVE, "live", Value::Null),
        (STALE, "stale", json!("worker_died")),
        (SETTLED, "settled", Value::Null),
    ] {
        let answer = get(address, &format!("/orderbook/{asset}")).await;
        assert_eq!(answer.status, 200, "{asset}");
        assert_eq!(answer.json()["state"], state, "{asset}");
        assert_eq!(answer.json()["reason"], reason, "{asset}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_spread_of_zero_is_zero_and_no_trade_is_null() {
    let (server, address) = full().await;
    let body = get(address, &format!("/orderbook/{LOCKED}")).await.json();
    assert_eq!(body["metrics"]["spread"], "0");
    assert_eq!(body["last_trade_price"], Value::Null);
    assert_eq!(body["last_trade"], Value::Null);
    assert_eq!(body["hash"], Value::Null);
    assert_eq!(body["hash_verified"], Value::Null);
    server.stop().await;
}

#[tokio::test]
async fn books_that_cannot_be_shown_have_the_same_fields() {
    let (server, address) = full().await;
    let shown = get(address, &format!("/orderbook/{LIVE}")).await.json();
    let fields = |body: &Value| {
        body.as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };

    let unknown = get(address, &format!("/orderbook/{UNKNOWN}")).await;
    assert_eq!(unknown.status, 404);
    assert_eq!(unknown.json()["found"], false);
    assert_eq!(unknown.json()["state"], Value::Null);
    assert_eq!(unknown.json()["error"], "unknown asset");
    assert_eq!(fields(&unknown.json()), fields(&shown));

    for (asset, status, retry, state) in [
        (PENDING, 503, Some("1"), "pending"),
        (REQUESTED, 503, Some("1"), "requested"),
        (ENDED, 404, None, "settled"),
    ] {
        let answer = get(address, &format!("/orderbook/{asset}")).await;
        assert_eq!(answer.status, status, "{state}");
        assert_eq!(answer.header("retry-after"), retry, "{state}");
        let missing = answer.json();
        assert_eq!(missing["found"], false, "{state}");
        assert_eq!(missing["state"], state);
        assert_eq!(missing["bids"], json!([]), "{state}");
        assert_eq!(fields(&missing), fields(&shown), "{state}");
    }
    server.stop().await;
}

#[tokio::test]
async fn asset_ids_are_decimal_digits_and_nothing_else() {
    let (server, address) = full().await;
    for id in [
        "..%2f..%2fetc%2fpasswd",
        "%00",
        "12x",
        "0x12",
        "-1",
        "%D9%A1",
        "1;2",
        "",
        &"9".repeat(79),
    ] {
        let answer = get(address, &format!("/orderbook/{id}")).await;
        assert_eq!(answer.status, 400, "{id}");
        assert_eq!(answer.json()["parameter"], "asset_id", "{id}");
    }
    // Percent-encoded digits are digits.
    let encoded = format!("/orderbook/%31{}", &LIVE[1..]);
    assert_eq!(get(address, &encoded).await.json()["asset_id"], LIVE);
    for (target, status) in [
        ("/orderbook/%zz", 400),
        ("/orderbook/%ff", 400),
        ("/orderbook/../health", 404),
        ("/orderbook//1", 404),
        ("/orderbook", 404),
    ] {
        assert_eq!(get(address, target).await.status, status, "{target}");
    }
    server.stop().await;
}
