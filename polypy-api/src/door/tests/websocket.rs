//! `/v1/ws`.

use std::io::ErrorKind;
use std::time::Duration;

use futures_util::SinkExt as _;
use polypy_core::{Component as _, Selector, StatsSource as _};
use polypy_http::HttpConfig;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::common::*;
use super::hub::{NOBODY, SILENCE, beat, long};
use crate::door::ws::SocketLimits;

const PATH: &str = "/v1/ws";

async fn named(client: &mut Client, name: &str) -> Value {
    loop {
        let heard = client.hear().await;
        if heard["type"] == name {
            return heard;
        }
    }
}

/// A server and its client, between which the systems hold little.
async fn narrow_ones() -> (Server, Client) {
    let server = Server::start(HttpConfig {
        send_buffer: NARROW,
        ..config()
    })
    .await;
    let mut client = Client::narrow(server.address, PATH).await;
    client.hear().await;
    server.hub.opened().await;
    (server, client)
}

#[tokio::test]
async fn subscriptions_come_and_go_and_messages_are_the_hubs_own_text() {
    let server = Server::start(config()).await;
    let mut client = Client::connect(server.address, PATH).await;
    assert_eq!(client.hear().await["type"], "hello");
    client
        .say(r#"{"op":"subscribe","id":4,"tokens":["11"]}"#)
        .await;
    let ready = json!({"type": "ready", "id": 4, "cursor": null});
    assert_eq!(client.hear().await, ready);
    let (id, filter, _) = server.hub.asked.lock().subscribed[0].clone();
    assert_eq!(
        (id, filter.selectors),
        (4, vec![Selector::Token("11".into())])
    );
    for time in 1..=100 {
        server.hub.publish(time, beat(time));
    }
    for time in 1..=100 {
        assert_eq!(client.hear().await["ts_us"], time);
    }
    client.say(r#"{"op":"ping"}"#).await;
    assert_eq!(client.hear().await["ts_us"], 0);
    client.say(r#"{"op":"unsubscribe","id":4}"#).await;
    assert_eq!(client.hear().await["type"], "unsubscribed");
    assert_eq!(server.hub.asked.lock().unsubscribed, [4]);
    client.0.close(None).await.unwrap();
    server.until(|stats| stats["active_streams"] == 0).await;
    eventually("the hub hears that a client left", || {
        server.hub.asked.lock().closed > 0
    })
    .await;
    server.http.stop().await;
}

#[tokio::test]
async fn what_is_refused_is_an_error_and_the_connection_stays() {
    let server = Server::start(config()).await;
    let mut client = Client::connect(server.address, PATH).await;
    client.hear().await;
    let unknown = format!(r#"{{"op":"subscribe","id":5,"tokens":["{NOBODY}"]}}"#);
    for (said, id, code) in [
        (Message::text("{"), json!(null), "bad_message"),
        (Message::binary(vec![1]), json!(null), "bad_message"),
        (
            Message::text(r#"{"op":"subscribe","id":5,"depth":3}"#),
            json!(5),
            "bad_parameter",
        ),
        (Message::text(unknown), json!(5), "unknown_token"),
    ] {
        client.0.send(said).await.unwrap();
        let error = client.hear().await;
        assert_eq!([&error["type"], &error["code"]], ["error", code], "{error}");
        assert_eq!(error["id"], id, "{error}");
    }
    client.say(r#"{"op":"ping"}"#).await;
    assert_eq!(client.hear().await["type"], "heartbeat");

    // A message of 512 KiB is the longest.
    client.say(&" ".repeat(512 * 1024)).await;
    assert_eq!(client.hear().await["code"], "bad_message");
    client.say(&" ".repeat(512 * 1024 + 1)).await;
    let last = client.hear().await;
    assert_eq!(
        [&last["type"], &last["code"], &last["retry_ms"]],
        [&json!("closing"), &json!(1009), &json!(null)]
    );
    assert!(last["reason"].as_str().unwrap().contains("message_bytes"));
    assert_eq!(u16::from(client.closed().await.code), 1009);
    server.http.stop().await;
}

#[tokio::test]
async fn who_asks_too_fast_is_told_and_then_sent_away() {
    let server = Server::start(config()).await;
    let mut client = Client::connect(server.address, PATH).await;
    for _ in 0..90 {
        client.0.feed(Message::text("{}")).await.unwrap();
    }
    client.0.flush().await.unwrap();
    let (mut answers, mut warnings) = (0, 0);
    let last = loop {
        let heard = client.hear().await;
        match (heard["type"].as_str().unwrap(), heard["code"].as_str()) {
            ("hello", _) => {}
            ("error", Some("bad_message")) => answers += 1,
            ("error", Some("too_fast")) => {
                assert_eq!(heard["temporary"], true);
                warnings += 1;
            }
            ("closing", _) => break heard,
            _ => panic!("{heard}"),
        }
    };
    assert!((50..70).contains(&answers), "{answers}");
    assert_eq!(warnings % 10, 0, "as many in a row as there are");
    assert_eq!(
        [&last["code"], &last["retry_ms"]],
        [&json!(1008), &json!(null)]
    );
    assert_eq!(u16::from(client.closed().await.code), 1008);
    server.http.stop().await;
}

/// Pings of the protocol are answered by the library, and counted like messages.
#[tokio::test]
async fn who_pings_without_end_is_sent_away() {
    let server = Server::start(config()).await;
    let mut client = Client::connect(server.address, PATH).await;
    assert_eq!(client.hear().await["type"], "hello");
    for _ in 0..200 {
        // The server may have closed already.
        if client.0.feed(Message::Ping("".into())).await.is_err() {
            break;
        }
    }
    let _closed = client.0.flush().await;
    let last = named(&mut client, "closing").await;
    assert_eq!(last["code"], 1008, "{last}");
    server.http.stop().await;
}

#[tokio::test]
async fn a_stop_sends_what_waits_then_the_last_word_then_closes() {
    let server = Server::start(config()).await;
    let mut client = Client::connect(server.address, PATH).await;
    client.hear().await;
    server.hub.opened().await;
    for place in 1..=20 {
        server.hub.publish(place, long(20_000));
    }
    let reading = async {
        let mut long = 0;
        let last = loop {
            let heard = client.hear().await;
            match heard["type"].as_str().unwrap() {
                "error" => long += 1,
                _ => break heard,
            }
        };
        (long, last, client.closed().await)
    };
    let ((long, last, frame), ()) = tokio::join!(reading, server.http.stop());
    assert_eq!((long, &last["type"]), (20, &json!("closing")));
    assert_eq!(last["code"], 1001);
    assert!(last["retry_ms"].is_u64());
    assert_eq!(
        (u16::from(frame.code), &*frame.reason),
        (1001, "the server is stopping")
    );
    assert_eq!(server.http.stats()["aborted_connections"], 0);
}

#[tokio::test]
async fn one_that_does_not_read_holds_up_no_stop() {
    let patient = HttpConfig {
        drain_deadline: Duration::from_secs(300),
        write_timeout: Duration::from_secs(300),
        send_buffer: NARROW,
        ..config()
    };
    let server = Server::start(patient).await;
    let mut client = Client::narrow(server.address, PATH).await;
    client.hear().await;
    server.hub.opened().await;
    server.hub.publish(1, long(1_000_000));
    eventually("what waits is taken", || {
        server.hub.outboxes()[0].queued_bytes() == 0
    })
    .await;
    let stopped = timeout(Duration::from_secs(60), server.http.stop()).await;
    assert!(stopped.is_ok(), "it is cut after a second");
    let left = client.0.into_inner().read_to_end(&mut Vec::new()).await;
    assert_eq!(left.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_hub_that_does_not_answer_holds_up_no_stop() {
    let server = Server::start(config()).await;
    let mut client = Client::connect(server.address, PATH).await;
    client.hear().await;
    let text = format!(r#"{{"op":"subscribe","id":1,"tokens":["{SILENCE}"]}}"#);
    client.say(&text).await;
    server.hub.asked_in_vain().await;
    let (last, ended) = tokio::join!(
        named(&mut client, "closing"),
        timeout(Duration::from_secs(30), server.http.stop())
    );
    assert_eq!(last["code"], 1001);
    assert!(ended.is_ok());
}

#[tokio::test]
async fn a_hub_that_ends_ends_its_clients_and_takes_no_new_ones() {
    let server = Server::start(config()).await;
    let mut client = Client::connect(server.address, PATH).await;
    client.hear().await;
    server.hub.end();
    let last = named(&mut client, "closing").await;
    assert_eq!(last["code"], 1013);
    assert_eq!(u16::from(client.closed().await.code), 1013);
    let refused = Client::with_origin(server.address, PATH, None).await;
    let Err(Error::Http(answer)) = refused.map(|_| ()) else {
        panic!("let in without a hub");
    };
    assert_eq!(answer.status(), 503);
    server.http.stop().await;
}

/// It waits in its queue, whose bounds are the hub's, and not in the socket.
#[tokio::test]
async fn of_what_waits_nothing_is_taken_before_the_socket_is_done_with_the_last() {
    let (server, mut client) = narrow_ones().await;
    let outbox = server.hub.outboxes().remove(0);
    server.hub.publish(1, long(1_000_000));
    eventually("what waits is taken", || outbox.queued_bytes() == 0).await;
    server.hub.publish(2, long(10_000));
    // It is heard all the same, and its queue is left alone.
    for id in 1..=5 {
        let text = format!(r#"{{"op":"subscribe","id":{id},"tokens":["11"]}}"#);
        client.say(&text).await;
        let heard = || server.hub.asked.lock().subscribed.len() == id;
        eventually("the client is heard", heard).await;
        assert!(outbox.queued_bytes() > 10_000);
    }
    // Once it reads, it has all of it.
    assert_eq!(client.hear().await["type"], "error");
    assert_eq!(client.hear().await["type"], "error");
    for id in 1..=5 {
        assert_eq!(client.hear().await["id"], id);
    }
    server.http.stop().await;
}

/// The hub's thread sends, and the client's task answers pings and questions meanwhile:
/// frames come whole, and those of the hub in order, whatever the socket takes at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_threads_write_comes_frame_by_frame() {
    const MESSAGES: u64 = 1_000;
    let (server, mut client) = narrow_ones().await;
    let (mut beats, mut asked, mut answers, mut last) = (0, 0, 0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for place in 1..=MESSAGES {
                // Lengths of one, two and three bytes of a frame's head are among them.
                let bytes = [1, 200, 3_000, 70_000][usize::try_from(place % 4).unwrap()];
                let event = if place % 50 < 4 {
                    long(bytes)
                } else {
                    beat(place)
                };
                server.hub.publish(place, event);
                if place % 20 == 0 {
                    std::thread::yield_now();
                }
            }
        });
        tokio::task::block_in_place(|| {
            let hearing = async {
                while beats < MESSAGES - MESSAGES / 50 * 4 || answers < asked {
                    if asked < 20 && beats >= 40 * asked {
                        asked += 1;
                        client
                            .0
                            .send(Message::Ping("are you there".into()))
                            .await
                            .unwrap();
                        client.say("{}").await;
                    }
                    let heard = client.hear().await;
                    match heard["type"].as_str().unwrap() {
                        "heartbeat" => {
                            let place = heard["ts_us"].as_u64().unwrap();
                            assert!(place > last, "{place} behind {last}");
                            (beats, last) = (beats + 1, place);
                        }
                        _ if heard["code"] == "bad_message" => answers += 1,
                        _ => assert_eq!(heard["code"], "slow", "{heard}"),
                    }
                }
            };
            tokio::runtime::Handle::current().block_on(hearing);
        });
    });
    assert_eq!(answers, 20);
    server.http.stop().await;
}

/// The hub sends what it has for a client whose task waits, or wakes the task: nothing else
/// does, before the first ping.
#[tokio::test]
async fn what_comes_now_and_then_is_sent_each_time_and_whole() {
    let (server, mut client) = narrow_ones().await;
    for place in 1..=3 {
        server.hub.publish(place, beat(place));
        assert_eq!(soon(client.hear()).await["ts_us"], place);
    }
    // More than the system takes at once.
    server.hub.publish(4, long(1_000_000));
    assert_eq!(soon(client.hear()).await["code"], "slow");
    server.http.stop().await;
}

#[tokio::test]
async fn what_is_more_than_the_hub_sends_at_once_follows() {
    let server = Server::start(config()).await;
    let mut client = Client::connect(server.address, PATH).await;
    client.hear().await;
    server.hub.opened().await;
    server
        .hub
        .publish_all((1..=4).map(|place| (place, long(10_000))));
    for _ in 1..=4 {
        assert_eq!(soon(client.hear()).await["code"], "slow");
    }
    server.http.stop().await;
}

/// Before a client is pinged, at which its task would look at everything.
async fn soon<T>(heard: impl Future<Output = T>) -> T {
    let most = SocketLimits::default().ping * 3 / 4;
    timeout(most, heard).await.expect("nothing came")
}

#[tokio::test]
async fn answers_that_nobody_reads_end_the_client() {
    let (server, mut client) = narrow_ones().await;
    let outbox = server.hub.outboxes().remove(0);
    // The socket has enough to do for the rest of the test.
    server.hub.publish(1, long(1_000_000));
    eventually("what waits is taken", || outbox.queued_bytes() == 0).await;
    while outbox.push_own(long(4_000)) {}
    while outbox.push_own(long(1)) {}
    assert!(!outbox.is_closed());
    client.say("{}").await;
    eventually("the client ends", || outbox.is_closed()).await;
    assert_eq!(named(&mut client, "closing").await["code"], 1013);
    server.http.stop().await;
}
