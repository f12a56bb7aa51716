//! Subscriptions over real sockets, through both doors, against a server that plays what
//! it was given.

mod server;

use std::time::Duration;

use polypy_client::{Client, Error, Event, Filter, Lost, Message, Subscription};
use serde_json::{Value, json};

use server::{DOORS, Door, Script, Server};

const TOKEN: &str = "71";

fn subscribed(was_resuming: bool, recovered: bool) -> Value {
    json!({
        "type": "subscribed", "id": 1, "tokens": 1, "unknown": [], "channels": ["book"],
        "mode": "every", "interval_ms": null, "depth": null, "heartbeat_ms": 5_000,
        "was_resuming": was_resuming, "recovered": recovered, "cursor": null,
    })
}

fn snapshot(sequence: u64) -> Value {
    json!({
        "type": "snapshot", "token_id": TOKEN, "condition_id": "0xa", "outcome": null,
        "epoch": 1, "sequence": sequence, "cause": "subscribed", "state": "live", "reason": null,
        "verified": null, "hash": null, "tick_size": null, "depth": null, "ts_event_ms": 1,
        "ts_recv_us": 1, "bids": [["0.48", "1"]], "asks": [],
    })
}

/// The delta that makes the best bid's size the sequence.
fn delta(sequence: u64) -> Value {
    json!({
        "type": "delta", "token_id": TOKEN, "epoch": 1, "prev_sequence": sequence - 1,
        "sequence": sequence, "ts_event_ms": 1, "ts_recv_us": 1,
        "changes": [["bid", "0.48", sequence.to_string()]],
        "best_bid": "0.48", "best_ask": null, "conflated": null, "depth": null,
    })
}

fn trade(sequence: u64) -> Value {
    json!({
        "type": "trade", "token_id": TOKEN, "condition_id": "0xa", "trade_sequence": sequence,
        "price": "0.5", "size": "1", "aggressor_side": null, "ts_event_ms": 1, "ts_recv_us": 1,
    })
}

fn ready(cursor: &str) -> Value {
    json!({"type": "ready", "id": 1, "cursor": cursor})
}

fn heartbeat(cursor: &str) -> Value {
    json!({"type": "heartbeat", "cursor": cursor, "ts_us": 1, "queued_bytes": 0})
}

fn closing(code: u16, retry_ms: Option<u64>) -> Value {
    json!({"type": "closing", "code": code, "reason": "because", "retry_ms": retry_ms})
}

async fn subscribe(door: Door, scripts: Vec<Script>) -> (Server, Subscription) {
    let server = Server::start(door, scripts).await;
    let client = Client::new(&server.url(door)).expect("an address");
    let stream = client
        .with_token("secret")
        .subscribe(Filter::everything().tokens([TOKEN]));
    (server, stream)
}

/// The next event in a word; messages by their type.
async fn next(stream: &mut Subscription) -> String {
    let event = tokio::time::timeout(Duration::from_secs(20), stream.next());
    match event.await.expect("something happens") {
        Ok(Event::Message(received)) => {
            let value: Value = serde_json::from_str(&received.text).expect("JSON");
            value["type"].as_str().expect("a type").to_owned()
        }
        Ok(Event::Lost { cause, .. }) => format!("lost: {cause}"),
        Ok(Event::Resumed { recovered, .. }) => format!("resumed: {recovered}"),
        Ok(Event::Broken { broken, .. }) => format!("broken: {broken}"),
        Ok(other) => format!("{other:?}"),
        Err(error) => format!("error: {error}"),
    }
}

async fn expect(stream: &mut Subscription, words: &[&str]) {
    for word in words {
        assert_eq!(next(stream).await, *word, "{stream:?}");
    }
}

fn size(stream: &Subscription) -> String {
    let book = stream.books().get(TOKEN).expect("a book");
    book.levels().best_bid().expect("a bid").size.to_string()
}

fn is_live(stream: &Subscription) -> bool {
    stream
        .books()
        .get(TOKEN)
        .is_some_and(polypy_client::Book::is_live)
}

#[tokio::test]
async fn a_lost_connection_is_resumed_from_the_last_place() {
    for door in DOORS {
        let opening = vec![
            subscribed(false, false),
            snapshot(5),
            ready("r-5"),
            delta(6),
            delta(7),
        ];
        // Over a WebSocket the last place is older than the last message.
        let again = vec![
            subscribed(true, true),
            delta(6),
            delta(7),
            delta(8),
            ready("r-8"),
        ];
        let again = match door {
            Door::Socket => again,
            Door::Events => [&again[..1], &again[3..]].concat(),
        };
        let scripts = vec![Script::Send(opening), Script::Hold(again)];
        let (server, mut stream) = subscribe(door, scripts).await;
        expect(
            &mut stream,
            &["subscribed", "snapshot", "ready", "delta", "delta"],
        )
        .await;
        assert!(is_live(&stream));
        let place = match door {
            Door::Socket => "r-5",
            Door::Events => "place-4",
        };
        assert_eq!(stream.cursor(), Some(place));
        assert!(next(&mut stream).await.starts_with("lost: "));
        assert!(!is_live(&stream), "nobody knows what happens meanwhile");
        expect(&mut stream, &["resumed: true"]).await;
        if door == Door::Socket {
            expect(&mut stream, &["delta", "delta"]).await;
            assert_eq!(size(&stream), "7", "known already");
        }
        expect(&mut stream, &["delta"]).await;
        assert!(!is_live(&stream), "more may follow");
        expect(&mut stream, &["ready"]).await;
        assert_eq!((size(&stream).as_str(), is_live(&stream)), ("8", true));

        let [first, second] = &server.asked().await[..] else {
            panic!("two connections");
        };
        match door {
            Door::Events => {
                assert!(
                    first.starts_with("GET /v1/stream?tokens=71 HTTP/1.1\r\n"),
                    "{first}"
                );
                assert!(
                    first.contains("authorization: Bearer secret\r\n"),
                    "{first}"
                );
                assert!(!first.contains("last-event-id"), "{first}");
                assert!(second.contains("last-event-id: place-4\r\n"), "{second}");
            }
            Door::Socket => {
                assert_eq!(first, r#"{"op":"subscribe","id":1,"tokens":["71"]}"#);
                assert!(second.ends_with(r#""cursor":"r-5"}"#), "{second}");
            }
        }
    }
}

#[tokio::test]
async fn a_connection_can_be_dropped_on_purpose() {
    for door in DOORS {
        let opening = vec![snapshot(5), ready("r-5")];
        let again = vec![subscribed(true, true), delta(6), ready("r-6")];
        let scripts = vec![Script::Hold(opening), Script::Hold(again)];
        let (_server, mut stream) = subscribe(door, scripts).await;
        expect(&mut stream, &["snapshot", "ready"]).await;
        stream.reconnect();
        assert!(!is_live(&stream));
        expect(&mut stream, &["resumed: true", "delta", "ready"]).await;
        assert!(is_live(&stream));
    }
}

#[tokio::test]
async fn a_resume_that_is_refused_begins_again() {
    let gap = json!({
        "type": "gap", "scope": "subscription", "id": 1, "token_id": null, "reason": "expired",
        "owner": "client", "epoch": null, "after_sequence": null, "before_sequence": null,
        "missing": null, "from_us": null, "to_us": null, "next": "snapshot",
    });
    for door in DOORS {
        let opening = vec![snapshot(5), ready("r-5"), delta(6)];
        let again = vec![
            subscribed(true, false),
            gap.clone(),
            snapshot(90),
            ready("r"),
            delta(91),
        ];
        let scripts = vec![Script::Send(opening), Script::Hold(again)];
        let (_server, mut stream) = subscribe(door, scripts).await;
        expect(&mut stream, &["snapshot", "ready", "delta"]).await;
        assert!(next(&mut stream).await.starts_with("lost: "));
        expect(
            &mut stream,
            &["resumed: false", "gap", "snapshot", "ready", "delta"],
        )
        .await;
        assert_eq!((size(&stream).as_str(), is_live(&stream)), ("91", true));
    }
}

/// As conflated subscriptions always do, which have no place to come back to.
#[tokio::test]
async fn of_what_was_told_before_a_new_subscription_nothing_is_trusted() {
    let mut gone = snapshot(5);
    gone["token_id"] = json!("72");
    for door in DOORS {
        let first = subscribed(false, false);
        let opening = vec![first.clone(), snapshot(5), gone.clone(), ready("r-5")];
        let again = vec![first, snapshot(1), ready("r-1")];
        let scripts = vec![Script::Send(opening), Script::Hold(again)];
        let (_server, mut stream) = subscribe(door, scripts).await;
        let live = |stream: &Subscription, token| {
            let book = stream.books().get(token);
            book.map(polypy_client::Book::is_live)
        };
        expect(
            &mut stream,
            &["subscribed", "snapshot", "snapshot", "ready"],
        )
        .await;
        assert_eq!(live(&stream, "72"), Some(true));
        assert!(next(&mut stream).await.starts_with("lost: "));
        expect(&mut stream, &["resumed: false"]).await;
        assert_eq!(
            (live(&stream, TOKEN), live(&stream, "72")),
            (Some(false), Some(false))
        );
        expect(&mut stream, &["snapshot"]).await;
        assert_eq!(
            (live(&stream, TOKEN), live(&stream, "72")),
            (Some(true), Some(false))
        );
        expect(&mut stream, &["ready"]).await;
        assert_eq!(
            (live(&stream, TOKEN), live(&stream, "72")),
            (Some(true), None)
        );
    }
}

#[tokio::test]
async fn the_server_says_whether_and_when_to_come_back() {
    for door in DOORS {
        let scripts = vec![
            Script::Hold(vec![ready("a"), closing(1001, Some(7))]),
            Script::Hold(vec![closing(1008, None)]),
        ];
        let (_server, mut stream) = subscribe(door, scripts).await;
        expect(&mut stream, &["ready"]).await;
        match stream.next().await {
            Ok(Event::Lost { cause, retry }) => {
                assert!(matches!(cause, Lost::Closing(_)), "{cause}");
                assert_eq!(retry, Duration::from_millis(7));
            }
            other => panic!("{other:?}"),
        }
        let ended = stream.next().await;
        assert!(matches!(ended, Err(Error::Closed(_))), "{ended:?}");
    }
}

#[tokio::test]
async fn books_that_are_broken_are_had_again_without_a_cursor() {
    for door in DOORS {
        let opening = vec![snapshot(5), ready("r-5"), delta(7)];
        let scripts = vec![
            Script::Hold(opening),
            Script::Hold(vec![snapshot(9), ready("r-9")]),
        ];
        let (server, mut stream) = subscribe(door, scripts).await;
        expect(&mut stream, &["snapshot", "ready"]).await;
        let broken = "broken: a delta from 6 to 7 came for a book at 5";
        expect(&mut stream, &[broken]).await;
        assert!(!is_live(&stream));
        expect(&mut stream, &["snapshot", "ready"]).await;
        assert!(is_live(&stream));
        let second = &server.asked().await[1];
        let names_a_place = second.contains("cursor") || second.contains("last-event-id");
        assert!(!names_a_place, "{second}");
    }
}

#[tokio::test]
async fn a_lost_trade_is_told_and_the_connection_goes_on() {
    for door in DOORS {
        let sent = vec![trade(1), trade(3), trade(4)];
        let (_server, mut stream) = subscribe(door, vec![Script::Hold(sent)]).await;
        expect(
            &mut stream,
            &["trade", "broken: trade 3 came after trade 1", "trade"],
        )
        .await;
    }
}

#[tokio::test]
async fn a_refusal_is_told_and_a_busy_server_asked_again() {
    for door in DOORS {
        let scripts = vec![
            Script::Status("503 Service Unavailable", r#"{"error":"no place left"}"#),
            Script::Status("401 Unauthorized", r#"{"error":"a token is needed"}"#),
            Script::Hold(vec![ready("r")]),
        ];
        let (_server, mut stream) = subscribe(door, scripts).await;
        let busy = "lost: the server answered 503 Service Unavailable: no place left";
        let token = "error: the server wants a token, or another one (401 Unauthorized): a token \
                     is needed";
        expect(&mut stream, &[busy, token, "ready"]).await;
    }
}

#[tokio::test]
async fn a_subscription_refused_over_the_websocket_is_told() {
    let refusal = |temporary: bool| {
        json!({
            "type": "error", "id": 1, "code": "unknown_token", "temporary": temporary,
            "message": "no token \"71\"",
        })
    };
    let slow = json!({
        "type": "error", "id": null, "code": "slow", "temporary": true, "message": "read faster",
    });
    let scripts = vec![
        Script::Hold(vec![slow, refusal(true)]),
        Script::Hold(vec![refusal(false)]),
    ];
    let (_server, mut stream) = subscribe(Door::Socket, scripts).await;
    let later = "lost: the server refused the subscription for now: no token \"71\"";
    let never = "error: the server refused the subscription: no token \"71\"";
    expect(&mut stream, &["error", later, never]).await;
}

#[tokio::test]
async fn messages_of_another_version_are_not_guessed_at() {
    let golden = include_str!("../data/messages.ndjson");
    let mut hello: Value = serde_json::from_str(golden.lines().next().unwrap()).unwrap();
    let first = hello.clone();
    hello["version"] = json!(2);
    for door in DOORS {
        let scripts = vec![Script::Hold(vec![first.clone(), hello.clone()])];
        let (_server, mut stream) = subscribe(door, scripts).await;
        expect(&mut stream, &["hello"]).await;
        assert!(matches!(stream.next().await, Err(Error::Version(2))));
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_left() {
    for door in DOORS {
        let mut quick = subscribed(false, false);
        quick["heartbeat_ms"] = json!(100);
        let scripts = vec![
            Script::Hold(vec![quick, heartbeat("h-1")]),
            Script::Hold(vec![]),
        ];
        let (server, mut stream) = subscribe(door, scripts).await;
        expect(&mut stream, &["subscribed", "heartbeat"]).await;
        match stream.next().await {
            Ok(Event::Lost { cause, .. }) => {
                assert!(matches!(cause, Lost::Silent(after) if after.as_millis() == 300));
            }
            other => panic!("{other:?}"),
        }
        drop(tokio::time::timeout(Duration::from_secs(1), stream.next()).await);
        assert!(server.asked().await[1].contains("h-1"));
    }
}

#[tokio::test]
async fn nobody_there_is_told_and_asked_again_less_and_less_often() {
    // A port that was free a moment ago.
    let server = Server::start(Door::Events, vec![]).await;
    let url = server.url(Door::Events);
    server.asked().await;
    let mut stream = Client::new(&url).unwrap().subscribe(Filter::everything());
    let mut waits = Vec::new();
    for _ in 0..3 {
        match stream.next().await {
            Ok(Event::Lost {
                cause: Lost::Dial(_),
                retry,
            }) => waits.push(retry.as_millis()),
            other => panic!("{other:?}"),
        }
    }
    for (wait, most) in waits.iter().zip([250, 500, 1_000]) {
        assert!((most / 2..=most).contains(wait), "{waits:?}");
    }
}

/// What a `select!` drops loses nothing, be it in the middle of a message.
#[tokio::test]
async fn an_abandoned_wait_loses_nothing() {
    for door in DOORS {
        let mut sent = vec![subscribed(false, false), snapshot(5), ready("r")];
        sent.extend((6..30).map(delta));
        let (_server, mut stream) = subscribe(door, vec![Script::Drip(sent)]).await;
        let mut abandoned = 0;
        let mut messages = 0;
        while messages < 27 {
            tokio::select! {
                biased;
                event = stream.next() => match event {
                    Ok(Event::Message(received)) => {
                        messages += 1;
                        assert!(!matches!(received.message, Message::Other(_)));
                    }
                    other => panic!("{other:?}"),
                },
                () = tokio::task::yield_now() => abandoned += 1,
            }
        }
        assert_eq!(size(&stream), "29");
        assert!(abandoned > 0);
    }
}
