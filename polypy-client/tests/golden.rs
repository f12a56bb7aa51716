//! The golden messages as values.

use polypy_client::message::{Conflated, Next, Scope, Trust};
use polypy_client::{Book, Message, Step};
use polypy_core::Side;
use serde_json::{Value, json};

const MESSAGES: &str = include_str!("data/messages.ndjson");

fn messages() -> Vec<Message> {
    let messages = MESSAGES.lines().map(Message::parse);
    messages.collect::<Result<_, _>>().expect("all can be read")
}

/// The one message for which `wanted` has something to say.
fn one<T>(wanted: impl FnMut(&Message) -> Option<T>) -> T {
    let mut found: Vec<T> = messages().iter().filter_map(wanted).collect();
    assert_eq!(found.len(), 1);
    found.remove(0)
}

#[test]
fn every_type_is_known_with_its_values() {
    for message in messages() {
        assert!(!matches!(message, Message::Other(_)), "{message:?}");
    }
    let hello = one(|message| match message {
        Message::Hello(hello) => Some(hello.clone()),
        _ => None,
    });
    assert_eq!(hello.version, 1);
    assert_eq!(hello.limits.buffer_bytes, 4 << 20);
    let sides: Vec<_> = messages()
        .iter()
        .filter_map(|message| match message {
            Message::Trade(trade) => Some((trade.trade_sequence, trade.aggressor_side)),
            _ => None,
        })
        .collect();
    assert_eq!(sides, [(31, Some(Side::Bid)), (32, None)]);
    let merged: Vec<_> = messages()
        .iter()
        .filter_map(|message| match message {
            Message::Delta(delta) => Some((delta.conflated, delta.depth, delta.changes.len())),
            _ => None,
        })
        .collect();
    assert_eq!(
        merged,
        [
            (None, None, 2),
            (Some(Conflated::Interval), None, 2),
            (Some(Conflated::Backlog), Some(10), 2),
        ]
    );
    let gaps: Vec<_> = messages()
        .iter()
        .filter_map(|message| match message {
            Message::Gap(gap) => Some((gap.scope, gap.id, gap.missing, gap.next)),
            _ => None,
        })
        .collect();
    assert_eq!(
        gaps,
        [
            (Scope::Token, None, None, Next::Snapshot),
            (Scope::Connection, None, Some(5_210), Next::Snapshot),
            (Scope::Subscription, Some(3), None, Next::Snapshot),
        ]
    );
    let cursors: Vec<_> = messages()
        .iter()
        .filter_map(|message| message.cursor().map(str::to_owned))
        .collect();
    assert_eq!(
        cursors.len(),
        3,
        "of a ready, a heartbeat and an unsubscribed"
    );
}

#[test]
fn a_book_follows_them() {
    let token = "71321045679252212594626385532706912750332728571942532289631379312455583992563";
    let mut book = Book::default();
    let mut steps = Vec::new();
    for message in messages() {
        let is_its = message.token_id().is_some_and(|id| id.as_str() == token);
        if is_its {
            steps.push(book.take(&message).unwrap());
        }
        if let [.., Step::Changed] = steps[..] {
            assert!(book.is_live());
        }
    }
    let steps: Vec<_> = steps
        .into_iter()
        .filter(|step| *step != Step::Unconcerned)
        .collect();
    assert_eq!(
        steps,
        [
            Step::Replaced,
            Step::Changed,
            Step::Changed,
            Step::Changed,
            Step::Trusted,
            Step::Interrupted,
            Step::Replaced,
        ]
    );
    assert_eq!((book.epoch(), book.sequence()), (2, 4735));
    assert_eq!((book.state(), book.reason()), (Trust::Stale, Some("hash")));
    assert!(book.is_followed() && !book.is_live());
    assert_eq!(book.levels().best_ask().unwrap().price.to_string(), "0.6");
}

#[test]
fn what_a_newer_server_adds_is_ignored() {
    for line in MESSAGES.lines() {
        let mut newer: Value = serde_json::from_str(line).unwrap();
        newer["added"] = json!({"later": [1]});
        let newer = Message::parse(&newer.to_string()).unwrap();
        assert_eq!(newer, Message::parse(line).unwrap());
    }
    let other = Message::parse(r#"{"type":"weather","rain":true}"#).unwrap();
    assert_eq!(other, Message::Other("weather".to_owned()));
    let line = MESSAGES
        .lines()
        .find(|line| line.contains("\"disconnected\",\"since_ms\""))
        .unwrap();
    let line = line.replace("\"state\":\"stale\"", "\"state\":\"suspended\"");
    let Message::State(state) = Message::parse(&line).unwrap() else {
        unreachable!("it is a state");
    };
    assert_eq!(state.state, Trust::Other, "which is not live");
}

#[test]
fn what_is_no_message_is_named() {
    for (text, error) in [
        ("{}", "missing field `type`"),
        ("[]", "invalid length 0"),
        (
            r#"{"type":"ready","id":"1","cursor":null}"#,
            "invalid type: string \"1\"",
        ),
        (
            r#"{"type":"heartbeat","cursor":null,"ts_us":1}"#,
            "missing field `queued_bytes`",
        ),
    ] {
        let found = Message::parse(text).unwrap_err().to_string();
        assert!(found.contains(error) && found.ends_with(text), "{found}");
    }
    let delta = MESSAGES
        .lines()
        .find(|line| line.contains("\"delta\""))
        .unwrap();
    for (right, wrong, error) in [
        ("\"0.5025\"", "\"0.50000001\"", "finer than one millionth"),
        ("\"0.5025\"", "\"1.5\"", "out of range"),
        ("\"ask\"", "\"buy\"", "no side \"buy\""),
        ("\"71321", "\"x71321", "id"),
    ] {
        let found = Message::parse(&delta.replace(right, wrong)).unwrap_err();
        assert!(found.to_string().contains(error), "{found}");
    }
}
