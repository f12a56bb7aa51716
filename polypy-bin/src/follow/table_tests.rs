use serde_json::{Value, json};

use super::*;

const NOW: i64 = 1_795_429_800_000;

fn market(change: impl FnOnce(&mut Value)) -> Market {
    let token = |id: &str, outcome: &str, bid: &str, ask: &str| {
        json!({"token_id": id, "outcome": outcome, "top": {
            "state": "live", "reason": null, "epoch": 1, "sequence": 7, "revision": 9,
            "ts_event_ms": NOW, "best_bid": bid, "best_bid_size": "1", "best_ask": ask,
            "best_ask_size": "2"
        }})
    };
    let mut market = json!({
        "condition_id": "0xa", "slug": "rain", "question": "Will it rain in Lisbon on Friday?",
        "event": null, "group_title": null, "category": null, "tags": null, "status": "open",
        "followed": true, "not_followed": null, "volume": null, "volume_day": "12345.67",
        "liquidity": null, "start_ms": null, "end_ms": NOW + 3 * 86_400_000, "end": "?",
        "neg_risk": false, "tick_size": null, "min_order_size": null, "resolution": null,
        "tokens": [
            token("71321045679252212594626385532706912750332728571942", "Yes", "0.489", "0.5025"),
            token("52114319501245915516055106046884209969926127482827", "No", "0.4975", "0.511"),
        ]
    });
    change(&mut market);
    serde_json::from_value(market).unwrap()
}

#[test]
fn a_table_fits_its_terminal_and_has_a_row_for_each_token() {
    let markets = [market(|_| {})];
    let narrow = table(&markets, Paper::Wide(80), NOW);
    assert_eq!(
        narrow,
        "\
QUESTION                       OUTCOME  BID     ASK     TOKEN       ENDS  DAY
Will it rain in Lisbon on      Yes      0.489   0.5025  7132104567  3 d   $12.3k
Friday?                        No       0.4975  0.511   5211431950
"
    );
    assert!(narrow.lines().all(|line| width(line) <= 80));
    let wide = table(&markets, Paper::Wide(200), NOW);
    assert!(
        wide.contains("\nWill it rain in Lisbon on Friday?  Yes "),
        "{wide}"
    );
    let endless = table(&markets, Paper::Endless, NOW);
    let rows = endless.lines().skip(1);
    assert!(
        rows.clone()
            .all(|row| row.starts_with("Will it rain in Lisbon on Friday?  "))
    );
    assert!(
        rows.clone().all(|row| row.ends_with("3 d   $12.3k")),
        "{endless}"
    );
    assert_eq!(rows.count(), 2);
}

#[test]
fn ids_are_as_short_as_they_can_be_told_apart_and_never_shorter_than_ten() {
    assert_eq!(shortest(&[]), 10);
    assert_eq!(shortest(&["1", "2"]), 10);
    assert_eq!(shortest(&["12345678901", "12345678902", "9"]), 11);
    assert_eq!(
        shortest(&["12345678901234", "12345678901299", "12345678901234"]),
        13
    );
    // One is the beginning of another: the shorter one is shown whole.
    let ids = ["123456789012", "1234567890123"];
    let digits = shortest(&ids);
    assert_ne!(ids[0].get(..digits).unwrap_or(ids[0]), &ids[1][..digits]);
    let twins = market(|market| {
        market["tokens"][0]["token_id"] = json!("111111111122222");
        market["tokens"][1]["token_id"] = json!("111111111133333");
    });
    let text = table(&[twins], Paper::Wide(80), NOW);
    assert!(
        text.contains(" 11111111112 ") && text.contains(" 11111111113"),
        "{text}"
    );
}

#[test]
fn what_others_wrote_steers_no_terminal() {
    let steering = "Rain\u{1b}[2J\r\n\u{202e}?\u{9b}31m";
    let market = market(|market| {
        market["question"] = json!(steering);
        market["tokens"][0]["outcome"] = json!("Y\u{1b}]0;x\u{7}es");
        market["status"] = json!("o\u{1b}pen");
        market["volume_day"] = json!("1\u{1b}2");
    });
    for paper in [Paper::Wide(80), Paper::Endless] {
        let text = table(std::slice::from_ref(&market), paper, NOW);
        let steers =
            |c: &char| (c.is_control() && *c != '\n') || ('\u{202a}'..'\u{202f}').contains(c);
        assert_eq!(text.chars().find(steers), None, "{text:?}");
        assert_eq!(text.lines().count(), 3, "{text}");
    }
}

#[test]
fn what_is_not_to_be_traded_on_has_no_prices() {
    let cells = |change: fn(&mut Value)| {
        let market = market(change);
        let (bid, ask) = prices(&market, &market.tokens[0]);
        format!("{bid}/{ask}/{}", ends(&market, NOW))
    };
    assert_eq!(cells(|_| {}), "0.489/0.5025/3 d");
    assert_eq!(
        cells(|market| market["tokens"][0]["top"]["state"] = json!("stale")),
        "stale//3 d"
    );
    assert_eq!(
        cells(|market| market["tokens"][0]["top"] = json!(null)),
        "pending//3 d"
    );
    assert_eq!(
        cells(|market| {
            market["tokens"][0]["top"] = json!(null);
            market["status"] = json!("closed");
        }),
        "settled//closed"
    );
    assert_eq!(
        cells(|market| {
            market["tokens"][0]["top"] = json!(null);
            market["followed"] = json!(false);
        }),
        "-/-/3 d"
    );
    assert_eq!(
        cells(|market| {
            market["status"] = json!("resolved");
            let winner = market["tokens"][0]["token_id"].clone();
            market["resolution"] = json!({"winner": winner, "at_ms": null});
        }),
        "won//resolved"
    );
    assert_eq!(
        cells(|market| market["resolution"] = json!({"winner": "1", "at_ms": null})),
        "lost//3 d"
    );
    assert_eq!(
        cells(|market| market["tokens"][0]["top"]["best_bid"] = json!(null)),
        "-/0.5025/3 d"
    );
}

#[test]
fn times_and_dollars_are_short() {
    for (left, text) in [
        (-1, "overdue"),
        (59 * 60_000, "59 min"),
        (47 * 3_600_000, "47 h"),
        (48 * 3_600_000, "2 d"),
    ] {
        assert_eq!(
            ends(&market(|market| market["end_ms"] = json!(NOW + left)), NOW),
            text
        );
    }
    assert_eq!(
        ends(&market(|market| market["end_ms"] = json!(null)), NOW),
        "-"
    );
    for (exact, text) in [
        ("0.40", "$0"),
        ("999.00", "$999"),
        ("1000.00", "$1.0k"),
        ("999949.99", "$999.9k"),
        ("1321616.85", "$1.3M"),
        ("2500000000.00", "$2.5B"),
    ] {
        assert_eq!(dollars(exact), text);
    }
}
