//! Each check by itself: what is let through, and what is named.

use polypy_client::{Books, Broken, Message, Step};
use polypy_core::Side;
use serde_json::{Value, json};

fn take(books: &mut Books, message: &Value) -> Result<Step, Broken> {
    books.take(&Message::parse(&message.to_string()).expect("a message"))
}

fn snapshot() -> Value {
    json!({
        "type": "snapshot", "token_id": "1", "condition_id": "0xa", "outcome": null, "epoch": 2,
        "sequence": 10, "cause": "subscribed", "state": "live", "reason": null, "verified": null,
        "hash": null, "tick_size": null, "depth": null, "ts_event_ms": 1, "ts_recv_us": 1,
        "bids": [["0.48", "5"]], "asks": [["0.52", "5"]],
    })
}

/// Right after that snapshot.
fn delta() -> Value {
    json!({
        "type": "delta", "token_id": "1", "epoch": 2, "prev_sequence": 10, "sequence": 12,
        "ts_event_ms": 2, "ts_recv_us": 2,
        "changes": [["bid", "0.49", "1"], ["ask", "0.52", "0"]],
        "best_bid": "0.49", "best_ask": null, "conflated": null, "depth": null,
    })
}

fn trade(sequence: u64) -> Value {
    json!({
        "type": "trade", "token_id": "1", "condition_id": "0xa", "trade_sequence": sequence,
        "price": "0.5", "size": "1", "aggressor_side": null, "ts_event_ms": 1, "ts_recv_us": 1,
    })
}

fn gap(next: &str) -> Value {
    json!({
        "type": "gap", "scope": "connection", "id": null, "token_id": null, "reason": "slow",
        "owner": "client", "epoch": null, "after_sequence": null, "before_sequence": null,
        "missing": 3, "from_us": null, "to_us": null, "next": next,
    })
}

fn ready() -> Value {
    json!({"type": "ready", "id": 1, "cursor": null})
}

#[test]
fn a_delta_that_does_not_fit_is_named() {
    let price = |text: &str| Some(text.parse().unwrap());
    let sequence = |prev_sequence, sequence| Broken::Sequence {
        ours: 10,
        prev_sequence,
        sequence,
    };
    for (field, value, broken) in [
        ("epoch", json!(3), Broken::Epoch { ours: 2, theirs: 3 }),
        ("epoch", json!(1), Broken::Epoch { ours: 2, theirs: 1 }),
        ("prev_sequence", json!(11), sequence(11, 12)),
        ("prev_sequence", json!(9), sequence(9, 12)),
        ("sequence", json!(10), sequence(10, 10)),
        ("sequence", json!(13), Broken::Length { said: 3, found: 2 }),
        (
            "changes",
            json!([["bid", "0.49", "1"]]),
            Broken::Length { said: 2, found: 1 },
        ),
        (
            "best_bid",
            json!("0.48"),
            Broken::Top {
                side: Side::Bid,
                ours: price("0.49"),
                theirs: price("0.48"),
            },
        ),
        (
            "best_ask",
            json!("0.52"),
            Broken::Top {
                side: Side::Ask,
                ours: None,
                theirs: price("0.52"),
            },
        ),
        ("token_id", json!("2"), Broken::NoBook { sequence: 12 }),
    ] {
        let mut books = Books::default();
        take(&mut books, &snapshot()).unwrap();
        let mut wrong = delta();
        wrong[field] = value.clone();
        assert_eq!(take(&mut books, &wrong), Err(broken), "{field}: {value}");
        if field != "token_id" {
            assert!(!books.get("1").unwrap().is_followed());
            let next = take(&mut books, &delta());
            assert_eq!(
                next,
                Err(Broken::NoBook { sequence: 12 }),
                "until a snapshot"
            );
            assert_eq!(take(&mut books, &snapshot()), Ok(Step::Replaced));
            assert_eq!(take(&mut books, &delta()), Ok(Step::Changed));
        }
    }
}

#[test]
fn merged_levels_are_not_counted() {
    for (field, value) in [("conflated", json!("backlog")), ("depth", json!(10))] {
        let mut books = Books::default();
        take(&mut books, &snapshot()).unwrap();
        let mut merged = delta();
        merged["sequence"] = json!(40);
        merged[field] = value;
        assert_eq!(take(&mut books, &merged), Ok(Step::Changed));
        assert_eq!(books.get("1").unwrap().sequence(), 40);
    }
}

#[test]
fn what_is_known_is_left_out_only_while_a_connection_comes_back() {
    let mut books = Books::default();
    for message in [snapshot(), delta(), trade(1)] {
        take(&mut books, &message).unwrap();
    }
    books.pause();
    assert!(!books.get("1").unwrap().is_live(), "nobody knows");
    assert_eq!(take(&mut books, &delta()), Ok(Step::Old));
    assert_eq!(take(&mut books, &trade(1)), Ok(Step::Old));
    assert_eq!(take(&mut books, &trade(2)), Ok(Step::Unconcerned));
    assert!(!books.get("1").unwrap().is_live(), "more may come");
    take(&mut books, &ready()).unwrap();
    assert!(books.get("1").unwrap().is_live());
    let again = take(&mut books, &delta()).unwrap_err();
    assert!(matches!(again, Broken::Sequence { ours: 12, .. }));
    let again = take(&mut books, &trade(2)).unwrap_err();
    assert_eq!(
        again,
        Broken::Trade {
            before: 2,
            found: 2
        }
    );
}

#[test]
fn a_replay_has_to_meet_the_book() {
    let mut books = Books::default();
    for message in [snapshot(), delta()] {
        take(&mut books, &message).unwrap();
    }
    books.pause();
    let mut other = delta();
    other["prev_sequence"] = json!(11);
    assert!(matches!(
        take(&mut books, &other),
        Err(Broken::Sequence {
            prev_sequence: 11,
            ..
        })
    ));
}

#[test]
fn a_lost_trade_is_named_unless_a_gap_was() {
    let mut books = Books::default();
    take(&mut books, &trade(7)).expect("the first one counts on");
    take(&mut books, &trade(8)).unwrap();
    let lost = take(&mut books, &trade(10));
    assert_eq!(
        lost,
        Err(Broken::Trade {
            before: 8,
            found: 10
        })
    );
    take(&mut books, &trade(11)).expect("the next ones are right again");
    take(&mut books, &gap("none")).unwrap();
    take(&mut books, &trade(20)).unwrap();
    assert!(take(&mut books, &trade(22)).is_err(), "the gap was before");
}

#[test]
fn trades_of_a_new_subscription_are_counted_anew() {
    let again = |recovered| {
        json!({
            "type": "subscribed", "id": 1, "tokens": 1, "unknown": [], "channels": ["trade"],
            "mode": "every", "interval_ms": null, "depth": null, "heartbeat_ms": 5_000,
            "was_resuming": recovered, "recovered": recovered, "cursor": null,
        })
    };
    let mut books = Books::default();
    take(&mut books, &trade(7)).unwrap();
    // Another subscription of a connection that was not lost.
    take(&mut books, &again(false)).unwrap();
    assert!(take(&mut books, &trade(9)).is_err());
    books.pause();
    take(&mut books, &again(false)).unwrap();
    assert_eq!(
        take(&mut books, &trade(3)),
        Ok(Step::Unconcerned),
        "a restart"
    );
    assert!(take(&mut books, &trade(5)).is_err());
    books.pause();
    take(&mut books, &again(true)).unwrap();
    assert_eq!(take(&mut books, &trade(5)), Ok(Step::Old));
    assert!(take(&mut books, &trade(7)).is_err());
}

#[test]
fn a_gap_interrupts_and_what_it_says_comes_next() {
    for (next, step, is_followed) in [
        ("none", Step::Unconcerned, true),
        ("snapshot", Step::Interrupted, false),
        ("closing", Step::Interrupted, false),
        ("later", Step::Interrupted, false),
    ] {
        let mut books = Books::default();
        take(&mut books, &snapshot()).unwrap();
        assert_eq!(take(&mut books, &gap(next)), Ok(step), "{next}");
        assert_eq!(books.get("1").unwrap().is_followed(), is_followed, "{next}");
        // Coming back from before the gap brings what was missing.
        if !is_followed {
            books.pause();
            assert_eq!(take(&mut books, &delta()), Ok(Step::Changed));
        }
    }
}

#[test]
fn a_forgotten_token_is_gone_with_its_trades() {
    let mut books = Books::default();
    for message in [snapshot(), trade(5)] {
        take(&mut books, &message).unwrap();
    }
    let forgotten = json!({
        "type": "state", "token_id": "1", "state": "forgotten", "reason": null, "since_ms": 1,
        "epoch": 2, "sequence": 10, "verified": null, "winner": null,
    });
    take(&mut books, &forgotten).unwrap();
    assert!(books.is_empty());
    take(&mut books, &trade(1)).expect("a new life of the token");
}
