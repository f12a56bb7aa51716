//! What a recorder is told of a connection's sockets.

use polypy_core::{Asked, BookOrigin, Owner, SocketId};

use super::super::testing::{Said, Tapped};
use super::*;

const FIRST: SocketId = SocketId(1);

fn tapped(markets: u64) -> (SimulatedVenue, Arc<Tapped>) {
    let mut world = SimulatedVenue::new(markets);
    let tapped = Tapped::beside(&world.sink);
    world.frames = Some(tapped.clone());
    (world, tapped)
}

#[tokio::test(start_paused = true)]
async fn every_frame_of_a_read_is_recorded_byte_for_byte_and_in_order() {
    let (mut world, tapped) = tapped(1);
    let fixture = Fixture::new(&world, 0..2);
    let mut peer = world.accept().await;
    peer.request().await.unwrap();
    // More than one read takes, with long ones, others' tokens, and no JSON among them.
    let mut wanted = Vec::new();
    for number in 0..300 {
        let frame = match number % 50 {
            7 => format!("{}{}", opening(ids(0..2).iter()), " ".repeat(20_000)),
            8 => "PONG".to_owned(),
            9 => "no JSON \u{1}".to_owned(),
            10 => change("77"),
            _ => format!("{} {number}", change("0")),
        };
        peer.say(frame.clone()).await;
        wanted.push(frame.into_bytes());
    }
    peer.say_binary(b"\xff\0binary").await;
    wanted.push(b"\xff\0binary".to_vec());
    peer.say("after it").await;
    wanted.push(b"after it".to_vec());
    until("frames", SECOND, || tapped.frames(1).len() == wanted.len()).await;
    assert_eq!(tapped.frames(1), wanted);
    let not_text = |said: &&Said| matches!(said, Said::Frame(_, _, false));
    assert_eq!(tapped.all().iter().filter(not_text).count(), 1);
    fixture.stop(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_socket_says_what_it_is_asked_what_it_brings_and_how_it_ends() {
    let (mut world, tapped) = tapped(1);
    let fixture = Fixture::new(&world, 0..2);
    let mut peer = world.accept().await;
    peer.request().await.unwrap();
    peer.say(opening(ids(0..2).iter())).await;
    let (yes, no) = (world.asset(0).key, world.asset(1).key);
    until("books", SECOND, || world.sink.books().len() == 2).await;
    fixture
        .connection
        .resubscribe(&[(yes, StaleReason::Hash), (no, StaleReason::Undecodable)]);
    for _ in 0..4 {
        peer.request().await.unwrap();
    }
    fixture.connection.unsubscribe(&[no]);
    peer.request().await.unwrap();
    peer.close(1013, "slow consumer").await;
    until("the end", SECOND, || {
        matches!(tapped.all().last(), Some(Said::Closed(..)))
    })
    .await;
    let told: Vec<_> = tapped
        .all()
        .into_iter()
        .map(|said| match said {
            // Its text is what the peer got, which the other tests look at.
            Said::Sent(socket, asked, tokens, text) => {
                assert!(text.contains(r#""assets_ids":["#), "{text}");
                Said::Sent(socket, asked, tokens, String::new())
            }
            other => other,
        })
        .collect();
    let sent = |asked, tokens| Said::Sent(FIRST, asked, tokens, String::new());
    let (hash, undecodable) = (
        Asked::Resubscribe(StaleReason::Hash),
        Asked::Resubscribe(StaleReason::Undecodable),
    );
    assert_eq!(
        told,
        [
            Said::Opened(FIRST, false),
            Said::Delivers(FIRST, FeedId(1)),
            sent(Asked::Subscribe, 2),
            Said::Frame(FIRST, opening(ids(0..2).iter()).into_bytes(), true),
            Said::FirstBooks(FIRST, vec![yes, no], BookOrigin::Snapshot),
            sent(hash, 1),
            sent(hash, 1),
            sent(undecodable, 1),
            sent(undecodable, 1),
            sent(Asked::Unsubscribe, 1),
            // Its feed is open still: the end stands before what follows from it.
            Said::Closed(FIRST, "closed: 1013 slow consumer".into(), Owner::Venue, 1),
        ]
    );
    fixture.connection.close();
    fixture.task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_replacement_holds_back_is_recorded_as_it_comes() {
    let (mut world, tapped) = tapped(1);
    let fixture = Fixture::with(&world, 0..2, config(), Role::Replacement);
    let mut peer = world.accept().await;
    peer.request().await.unwrap();
    peer.say(opening(ids(0..2).iter())).await;
    peer.say(change("0")).await;
    until("frames", SECOND, || tapped.frames(1).len() == 2).await;
    assert_eq!(world.sink.all(), [], "nothing is delivered");
    let delivers = |said: &Said| matches!(said, Said::Delivers(..));
    assert!(!tapped.all().iter().any(delivers));
    assert_eq!(tapped.all()[0], Said::Opened(FIRST, true));
    fixture.connection.take_over();
    until("take-over", SECOND, || world.sink.books().len() == 2).await;
    peer.say(change("1")).await;
    until("the next frame", SECOND, || tapped.frames(1).len() == 3).await;
    let all = tapped.all();
    let at = all.iter().position(delivers).unwrap();
    assert_eq!(all[at], Said::Delivers(FIRST, FeedId(1)));
    assert!(matches!(all[at + 1], Said::Frame(..)), "{:?}", all[at + 1]);
    fixture.stop(&world).await;
    let end = Said::Closed(FIRST, "asked".into(), Owner::Us, 1);
    assert_eq!(tapped.all().last(), Some(&end));
}

#[tokio::test(start_paused = true)]
async fn why_a_token_is_asked_for_again_is_recorded_as_its_book_is_marked() {
    let (world, tapped) = tapped(1);
    let (world, _behaviour) = world.serve_all();
    let fixture = Fixture::new(&world, 0..2);
    until("books", MINUTE, || world.sink.books().len() == 2).await;
    let silent = [(world.asset(0).key, StaleReason::Silent)];
    fixture.connection.resubscribe(&silent);
    // A silent socket is asked for a sign of life.
    until("a probe", 60 * MINUTE, || fixture.count("probes") > 0).await;
    let recorded = tapped.all().into_iter().filter_map(|said| match said {
        Said::Sent(_, asked, ..) => asked.reason(),
        _ => None,
    });
    let marked = world.sink.all().into_iter().filter_map(|told| match told {
        Told::Stale(_, _, reason) => Some(reason.name()),
        _ => None,
    });
    let all: [Vec<_>; 2] = [recorded.collect(), marked.collect()];
    for mut reasons in all {
        reasons.dedup();
        assert_eq!(reasons, ["silent", "resubscribing"]);
    }
    fixture.stop(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_without_a_book_is_asked_for_again_because_of_the_silence() {
    let (world, tapped) = tapped(1);
    let (world, behaviour) = world.serve_all();
    behaviour.lock().swallow = ["1".to_owned()].into();
    behaviour.lock().flow = Some(SECOND);
    let fixture = Fixture::new(&world, 0..2);
    let silent = Asked::Resubscribe(StaleReason::Silent);
    until("asking again", MINUTE, || {
        let asked_again =
            |said: &Said| matches!(said, Said::Sent(_, asked, 1, _) if *asked == silent);
        tapped.all().iter().any(asked_again)
    })
    .await;
    // The token is asked for again after 8 to 10 s; the first PING leaves after 10.
    let pings = || -> Vec<_> {
        let sent = tapped.all().into_iter().filter_map(|said| match said {
            Said::Sent(_, Asked::Ping, tokens, text) => Some((tokens, text)),
            _ => None,
        });
        sent.collect()
    };
    until("two pings", MINUTE, || pings().len() == 2).await;
    assert_eq!(pings(), [(0, "PING".to_owned()), (0, "PING".to_owned())]);
    fixture.stop(&world).await;
}

#[tokio::test(start_paused = true)]
async fn sockets_have_numbers_of_their_own_and_one_whose_task_is_gone_says_so() {
    let (mut world, tapped) = tapped(1);
    let fixture = Fixture::new(&world, 0..2);
    drop(world.accept().await);
    let _second = world.accept().await;
    until("the second", SECOND, || {
        tapped.all().contains(&Said::Opened(SocketId(2), false))
    })
    .await;
    let lost = Said::Closed(FIRST, "dropped".into(), Owner::Network, 1);
    assert!(tapped.all().contains(&lost), "{:?}", tapped.all());
    fixture.task.abort();
    assert!(fixture.task.await.unwrap_err().is_cancelled());
    assert_eq!(tapped.all().last(), Some(&Said::Died(SocketId(2))));
}
