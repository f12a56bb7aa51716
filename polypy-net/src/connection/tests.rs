mod recording;
mod replacement;

use std::sync::Arc;
use std::time::Duration;

use polypy_core::{FeedId, StaleReason};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::testing::{
    Answer, PeerBehaviour, Served, SimulatedVenue, Told, change, config, opening, until,
};
use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

struct Fixture {
    connection: Connection,
    task: JoinHandle<()>,
}

impl Fixture {
    fn new(world: &SimulatedVenue, assets: std::ops::Range<u64>) -> Self {
        Self::with(world, assets, config(), Role::Serving)
    }

    fn with(
        world: &SimulatedVenue,
        assets: std::ops::Range<u64>,
        config: ConnectionConfig,
        role: Role,
    ) -> Self {
        let context = Arc::new(Context::new(
            world.venue(),
            world.registry.interner().clone(),
            config,
        ));
        let (connection, life) = Connection::new(ConnectionId(7), context, role);
        connection.subscribe(world.assets(assets));
        Self {
            connection,
            task: tokio::spawn(life),
        }
    }

    fn json(&self) -> serde_json::Value {
        self.connection.view().json(Default::default())
    }

    fn is_healthy(&self) -> bool {
        self.connection.view().state().is_healthy(Instant::now())
    }

    fn count(&self, name: &str) -> u64 {
        self.json()[name].as_u64().unwrap_or(0)
    }

    fn closes(&self, cause: &str) -> u64 {
        self.json()["closes"][cause].as_u64().unwrap_or(0)
    }

    /// Tells it to end and sees that it does so at once.
    async fn stop(self, world: &SimulatedVenue) {
        let start = Instant::now();
        self.connection.close();
        self.task.await.unwrap();
        assert!(start.elapsed() < Duration::from_millis(100));
        assert_eq!(
            self.connection.view().state().status(),
            ConnectionStatus::Closed
        );
        assert!(world.sink.open_feeds().is_empty());
    }
}

fn served(markets: u64) -> (Served, Arc<parking_lot::Mutex<PeerBehaviour>>) {
    SimulatedVenue::new(markets).serve_all()
}

fn ids(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|id| id.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn names_assets_in_chunks_and_introduces_itself_once() {
    let mut world = SimulatedVenue::new(120);
    let fixture = Fixture::new(&world, 0..240);
    let mut peer = world.accept().await;
    let open = peer.request().await.unwrap();
    assert_eq!((open.0.as_str(), open.1.len()), ("open", 100));
    let mut named = open.1;
    for expected in [100, 40] {
        let (operation, ids) = peer.request().await.unwrap();
        assert_eq!((operation.as_str(), ids.len()), ("subscribe", expected));
        named.extend(ids);
    }
    named.sort_by_key(|id| id.parse::<u64>().unwrap());
    assert_eq!(named, ids(0..240));
    fixture.stop(&world).await;
}

#[tokio::test(start_paused = true)]
async fn subscribes_and_unsubscribes_in_place() {
    let mut world = SimulatedVenue::new(3);
    let fixture = Fixture::new(&world, 0..2);
    let mut peer = world.accept().await;
    assert_eq!(peer.request().await.unwrap().0, "open");
    let before = Instant::now();
    fixture.connection.subscribe(world.assets(2..4));
    assert_eq!(
        peer.request().await.unwrap(),
        ("subscribe".to_owned(), ids(2..4))
    );
    fixture.connection.unsubscribe(&[world.asset(0).key]);
    assert_eq!(
        peer.request().await.unwrap(),
        ("unsubscribe".to_owned(), ids(0..1))
    );
    assert!(before.elapsed() < Duration::from_millis(50));
    assert_eq!(fixture.count("total_markets"), 3);
    // Frames that were on their way concern nobody here any more.
    peer.say(opening(ids(0..2).iter())).await;
    until("the other book", SECOND, || world.sink.books().len() == 1).await;
    assert!(world.sink.books().contains(&world.asset(1).key));
    fixture.stop(&world).await;
}

/// Forgets a market and lists it again: its tokens have new keys.
fn reborn(world: &SimulatedVenue, market: u64) -> Vec<AssetKey> {
    let condition = world.asset(market * 2).condition_id.clone();
    world.registry.forget(&condition);
    world.add_market(market);
    let assets = world.assets(market * 2..market * 2 + 2);
    assets.iter().map(|info| info.key).collect()
}

/// Whether anything was delivered of one of these, and how many events but whole books.
fn heard_of(world: &SimulatedVenue, assets: &[AssetKey]) -> (bool, usize) {
    let (mut is_any, mut others) = (false, 0);
    for told in world.sink.all() {
        if let Told::Delivered(_, books, changes) = told {
            is_any |= books.iter().any(|book| assets.contains(book));
            others += changes;
        }
    }
    (is_any, others)
}

/// Frames under way when a token was taken off are decoded under the key that it has by
/// then: were they passed on, its book would seem fed by a socket that does not have it.
#[tokio::test(start_paused = true)]
async fn late_frames_of_a_token_that_left_reach_no_book_of_its_next_life() {
    for is_taken_off in [true, false] {
        let mut world = SimulatedVenue::new(2);
        let fixture = Fixture::new(&world, 0..4);
        let mut peer = world.accept().await;
        peer.request().await.unwrap();
        peer.say(opening(ids(0..4).iter())).await;
        until("books", SECOND, || world.sink.books().len() == 4).await;
        if is_taken_off {
            let keys = [0, 1].map(|id| world.asset(id).key);
            fixture.connection.unsubscribe(&keys);
            assert_eq!(peer.request().await.unwrap().0, "unsubscribe");
        }
        let back = reborn(&world, 0);
        peer.say(opening(ids(0..2).iter())).await;
        peer.say(change("0")).await;
        peer.say(change("1")).await;
        // What comes behind them has come: nothing is on its way any more.
        peer.say(change("2")).await;
        until("the change behind", SECOND, || {
            heard_of(&world, &back).1 == 1
        })
        .await;
        assert_eq!(heard_of(&world, &back), (false, 1), "{is_taken_off}");
        assert_eq!(fixture.connection.view().strays(), 4);
        fixture.stop(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_comes_back_to_its_socket_begins_with_its_opening_book() {
    let mut world = SimulatedVenue::new(2);
    let fixture = Fixture::new(&world, 0..4);
    let mut peer = world.accept().await;
    peer.request().await.unwrap();
    peer.say(opening(ids(0..4).iter())).await;
    until("books", SECOND, || world.sink.books().len() == 4).await;
    fixture
        .connection
        .unsubscribe(&[0, 1].map(|id| world.asset(id).key));
    assert_eq!(peer.request().await.unwrap().0, "unsubscribe");
    let back = reborn(&world, 0);
    fixture.connection.subscribe(world.assets(0..2));
    assert_eq!(peer.request().await.unwrap().0, "subscribe");
    let opening_books = opening(ids(0..2).iter());
    let later = opening_books.replace(r#""tick_size":"0.01","#, "");
    peer.say(later).await;
    peer.say(change("2")).await;
    until("what comes behind", SECOND, || {
        heard_of(&world, &back).1 == 1
    })
    .await;
    assert_eq!(heard_of(&world, &back), (false, 1));
    peer.say(opening_books).await;
    until("their books", SECOND, || heard_of(&world, &back).0).await;
    fixture.stop(&world).await;
}

/// The venue knows tokens by their ids: taking one off under its old key would end what
/// is carried under its new one, silently.
#[tokio::test(start_paused = true)]
async fn taking_off_an_earlier_key_subscribes_the_token_again_under_the_later_one() {
    for has_book in [true, false] {
        let mut world = SimulatedVenue::new(1);
        let fixture = Fixture::new(&world, 0..2);
        let mut peer = world.accept().await;
        peer.request().await.unwrap();
        let before = [0, 1].map(|id| world.asset(id).key);
        let back = reborn(&world, 0);
        fixture.connection.subscribe(world.assets(0..2));
        assert_eq!(peer.request().await.unwrap().0, "subscribe");
        if has_book {
            peer.say(opening(ids(0..2).iter())).await;
            until("their books", SECOND, || heard_of(&world, &back).0).await;
        }
        fixture.connection.unsubscribe(&before);
        let told = Instant::now();
        let mut named: Vec<_> = Vec::new();
        for _ in 0..3 {
            let (operation, ids) = peer.request().await.unwrap();
            assert_eq!(ids.len(), 2);
            named.push(operation);
        }
        assert_eq!(named, ["unsubscribe", "unsubscribe", "subscribe"]);
        assert!(told.elapsed() < SECOND, "not when its book is overdue");
        assert!(world.sink.books().is_empty(), "it has no feed now");
        // One from before was on its way.
        let opening_books = opening(ids(0..2).iter());
        peer.say(opening_books.replace(r#""tick_size":"0.01","#, ""))
            .await;
        tokio::time::sleep(SECOND).await;
        assert!(world.sink.books().is_empty());
        peer.say(opening_books).await;
        until("new books", SECOND, || world.sink.books().len() == 2).await;
        fixture.stop(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_resubscription_takes_off_first_and_trusts_nothing_before_the_opening_book() {
    let mut world = SimulatedVenue::new(1);
    let fixture = Fixture::new(&world, 0..2);
    let mut peer = world.accept().await;
    peer.request().await.unwrap();
    peer.say(opening(ids(0..2).iter())).await;
    until("books", SECOND, || world.sink.books().len() == 2).await;
    let asset = world.asset(0).key;
    fixture.connection.resubscribe(&[(asset, StaleReason::Top)]);
    assert_eq!(peer.request().await.unwrap().0, "unsubscribe");
    assert_eq!(peer.request().await.unwrap().0, "subscribe");
    assert!(!world.sink.books().contains(&asset));
    // A later book, without a tick size, was on its way: not the snapshot.
    let opening_book = opening(ids(0..1).iter());
    let later = opening_book.replace(r#""tick_size":"0.01","#, "");
    assert_ne!(later, opening_book);
    peer.say(change("0")).await;
    peer.say(later).await;
    tokio::time::sleep(SECOND).await;
    assert!(!world.sink.books().contains(&asset));
    peer.say(opening_book).await;
    until("snapshot", SECOND, || world.sink.books().len() == 2).await;
    assert!(
        world
            .sink
            .all()
            .contains(&Told::Stale(FeedId(1), vec![asset], StaleReason::Top))
    );
    fixture.stop(&world).await;
}

#[tokio::test(start_paused = true)]
async fn pings_in_text_and_a_silent_socket_is_dead() {
    let (world, behaviour) = served(1);
    behaviour.lock().no_pong = true;
    let fixture = Fixture::new(&world, 0..2);
    until("first socket", SECOND, || world.sink.feeds() == 1).await;
    let lived = until("its end", MINUTE, || fixture.closes("no_pong") == 1).await;
    assert!(lived >= 29 * SECOND && lived <= 32 * SECOND, "{lived:?}");
    assert!(fixture.count("pings") >= 2);
    until("another", MINUTE, || world.sink.feeds() == 2).await;
    fixture.stop(&world).await;
}

/// Sleeps as a machine does, which paused time knows nothing of.
fn sleep_as_machine(world: &SimulatedVenue, seconds: u64) {
    let slept = &world.slept;
    slept.fetch_add(seconds * 1_000, Ordering::SeqCst);
}

#[tokio::test(start_paused = true)]
async fn after_a_suspension_the_feed_resumes_with_the_answer_to_a_later_ping() {
    let mut world = SimulatedVenue::new(1);
    world.suspension.begin();
    let fixture = Fixture::new(&world, 0..2);
    let mut peer = world.accept().await;
    peer.request().await.unwrap();
    peer.say(opening(ids(0..2).iter())).await;
    until("books", SECOND, || world.sink.books().len() == 2).await;
    let resumed = |world: &SimulatedVenue| {
        let told = world.sink.all();
        let is_resumed = |told: &&Told| matches!(told, Told::Resumed(..));
        told.iter().filter(is_resumed).cloned().collect::<Vec<_>>()
    };
    // The answer to a ping of before is still on its way.
    until("a ping", MINUTE, || fixture.count("pings") == 1).await;
    sleep_as_machine(&world, 60);
    assert!(world.suspension.is_late());
    until("another ping", SECOND, || fixture.count("pings") == 2).await;
    assert_eq!(world.suspension.count(), 1);
    peer.say("PONG").await;
    peer.say(change("0")).await;
    tokio::time::sleep(SECOND).await;
    assert_eq!(resumed(&world), []);
    peer.say(change("0")).await;
    peer.say("PONG").await;
    until("its answer", SECOND, || !resumed(&world).is_empty()).await;
    let told = world.sink.all();
    assert_eq!(told.last(), Some(&Told::Resumed(FeedId(1), 1)));
    let delivered = &told[told.len() - 2];
    assert_eq!(*delivered, Told::Delivered(FeedId(1), Vec::new(), 1));
    assert_eq!(world.sink.feeds(), 1);
    fixture.stop(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_does_not_answer_after_a_suspension_is_given_up() {
    let (world, behaviour) = served(1);
    world.suspension.begin();
    let fixture = Fixture::new(&world, 0..2);
    until("books", SECOND, || world.sink.books().len() == 2).await;
    // Data alone may be what waited in the system's buffers.
    *behaviour.lock() = PeerBehaviour {
        no_pong: true,
        flow: Some(SECOND / 10),
        ..PeerBehaviour::default()
    };
    tokio::time::sleep(MINUTE).await;
    assert_eq!(world.sink.feeds(), 1);
    sleep_as_machine(&world, 5);
    let took = until("its end", MINUTE, || fixture.closes("no_pong") == 1).await;
    assert!(took >= 2 * SECOND && took <= 3 * SECOND, "{took:?}");
    until("another", MINUTE, || world.sink.feeds() == 2).await;
    tokio::time::sleep(MINUTE).await;
    assert_eq!(world.sink.feeds(), 2, "it was opened afterwards");
    fixture.stop(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_replacement_that_a_suspension_met_never_delivers() {
    let (world, behaviour) = served(1);
    behaviour.lock().no_pong = true;
    world.suspension.begin();
    let fixture = Fixture::with(&world, 0..2, config(), Role::Replacement);
    tokio::time::sleep(SECOND).await;
    sleep_as_machine(&world, 5);
    until("notice", SECOND, || world.suspension.count() == 1).await;
    fixture.connection.take_over();
    until("its end", SECOND, || fixture.closes("overflowed") == 1).await;
    until("another", MINUTE, || world.sink.books().len() == 2).await;
    fixture.stop(&world).await;
}

#[tokio::test(start_paused = true)]
async fn data_without_pong_is_life() {
    let (world, behaviour) = served(1);
    *behaviour.lock() = PeerBehaviour {
        no_pong: true,
        flow: Some(SECOND),
        ..PeerBehaviour::default()
    };
    let fixture = Fixture::new(&world, 0..2);
    tokio::time::sleep(5 * MINUTE).await;
    assert_eq!(world.sink.feeds(), 1);
    fixture.stop(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_stalled_feed_is_found_out_although_it_pongs() {
    let (world, behaviour) = served(2);
    behaviour.lock().flow = Some(Duration::from_millis(100));
    let fixture = Fixture::new(&world, 0..4);
    tokio::time::sleep(MINUTE).await;
    assert_eq!(fixture.count("probes"), 0);
    behaviour.lock().stalled = true;
    let found = until("detection", 2 * MINUTE, || fixture.closes("stalled") == 1).await;
    assert!(found >= 55 * SECOND && found <= 65 * SECOND, "{found:?}");
    assert!(world.sink.books().is_empty());
    behaviour.lock().stalled = false;
    until("recovery", MINUTE, || world.sink.books().len() == 4).await;
    fixture.stop(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_busy_connection_that_goes_mute_is_given_up_by_its_own_past() {
    let (world, behaviour) = served(2);
    behaviour.lock().flow = Some(Duration::from_millis(100));
    let fixture = Fixture::new(&world, 0..4);
    tokio::time::sleep(MINUTE).await;
    let pings = fixture.count("pings");
    *behaviour.lock() = PeerBehaviour {
        stalled: true,
        no_pong: true,
        ..PeerBehaviour::default()
    };
    let found = until("detection", MINUTE, || fixture.closes("unresponsive") == 1).await;
    assert!(found >= 14 * SECOND && found <= 17 * SECOND, "{found:?}");
    assert!(fixture.count("pings") > pings);
    assert!(world.sink.books().is_empty());
    *behaviour.lock() = PeerBehaviour::default();
    until("recovery", MINUTE, || world.sink.books().len() == 4).await;
    fixture.stop(&world).await;
}

#[tokio::test(start_paused = true)]
async fn announcements_of_the_platform_prove_nothing_about_data() {
    let mut world = SimulatedVenue::new(1);
    let fixture = Fixture::new(&world, 0..2);
    let mut peer = world.accept().await;
    peer.request().await.unwrap();
    peer.say(opening(ids(0..2).iter())).await;
    for _ in 0..600 {
        peer.say(change("0")).await;
        tokio::time::sleep(SECOND / 10).await;
    }
    let announcement = r#"{"event_type":"new_market","id":"9","question":"?","market":"0x99","slug":"s","assets_ids":["991","992"],"outcomes":["Yes","No"],"timestamp":"1780000000000"}"#;
    let start = Instant::now();
    while fixture.closes("stalled") == 0 {
        assert!(start.elapsed() < 2 * MINUTE, "never found out");
        peer.say(announcement).await;
        peer.say("PONG").await;
        tokio::time::sleep(SECOND).await;
    }
    assert!(start.elapsed() >= 59 * SECOND);
    assert_eq!(fixture.count("probes"), 1);
    assert!(!world.listener.offered.lock().is_empty());
    fixture.stop(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_market_with_moods_that_answers_pings_is_never_reconnected() {
    let (world, behaviour) = served(1);
    let fixture = Fixture::new(&world, 0..2);
    // Bursts, then minutes of nothing.
    for _ in 0..10 {
        behaviour.lock().flow = Some(Duration::from_millis(5));
        tokio::time::sleep(SECOND).await;
        behaviour.lock().flow = None;
        tokio::time::sleep(3 * MINUTE).await;
    }
    assert_eq!(fixture.json()["closes"], serde_json::Value::Null);
    assert_eq!(world.sink.feeds(), 1);
    fixture.stop(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_quiet_market_is_never_reconnected() {
    let (world, _behaviour) = served(2);
    let fixture = Fixture::new(&world, 0..4);
    tokio::time::sleep(Duration::from_secs(24 * 3_600)).await;
    assert_eq!(world.sink.feeds(), 1);
    assert_eq!(fixture.json()["closes"], serde_json::Value::Null);
    let probes = fixture.count("probes");
    assert!((200..300).contains(&probes), "{probes}");
    assert_eq!(world.sink.books().len(), 4);
    fixture.stop(&world).await;
}

#[tokio::test(start_paused = true)]
async fn every_way_to_end_is_followed_by_another_socket_and_a_closed_feed() {
    for (code, cause) in [
        (None, "dropped"),
        (Some(1000), "closed"),
        (Some(1001), "closed"),
        (Some(1008), "closed"),
        (Some(1011), "closed"),
        (Some(1012), "closed"),
    ] {
        let mut world = SimulatedVenue::new(1);
        let fixture = Fixture::new(&world, 0..2);
        let mut peer = world.accept().await;
        peer.request().await.unwrap();
        match code {
            None => drop(peer),
            Some(code) => peer.close(code, "bye").await,
        }
        until("end", SECOND, || fixture.closes(cause) == 1).await;
        assert!(world.sink.open_feeds().is_empty());
        let mut peer = world.accept().await;
        assert_eq!(peer.request().await.unwrap().0, "open");
        assert_eq!(
            world.sink.open_feeds().into_iter().collect::<Vec<_>>(),
            [FeedId(2)]
        );
        assert_eq!(fixture.count("reconnect_count"), 1);
        fixture.stop(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_consumer_close_is_answered_at_once() {
    let (world, _behaviour) = served(1);
    drop(world);
    let mut world = SimulatedVenue::new(1);
    let fixture = Fixture::new(&world, 0..2);
    let mut peer = world.accept().await;
    peer.request().await.unwrap();
    tokio::time::sleep(10 * SECOND).await;
    peer.close(1013, "slow consumer: send buffer full").await;
    let start = Instant::now();
    let _peer = world.accept().await;
    assert!(start.elapsed() < Duration::from_millis(20));
    assert_eq!(fixture.connection.view().state().slow_consumer_closes(), 1);
    assert_eq!(fixture.json()["close_codes"]["1013"], 1);
    fixture.stop(&world).await;
}

#[tokio::test(start_paused = true)]
async fn resolved_assets_are_not_named_again_once_discovery_agrees() {
    let mut world = SimulatedVenue::new(2);
    let fixture = Fixture::new(&world, 0..4);
    let mut peer = world.accept().await;
    peer.request().await.unwrap();
    peer.close(1000, "all subscribed assets resolved").await;
    until("question", SECOND, || world.listener.gone.lock().len() == 4).await;
    // Discovery confirms the first market only.
    fixture
        .connection
        .unsubscribe(&[world.asset(0).key, world.asset(1).key]);
    let start = Instant::now();
    let mut peer = world.accept().await;
    assert!(start.elapsed() >= 4 * SECOND);
    assert_eq!(peer.request().await.unwrap().1, ids(2..4));
    peer.close(1000, "all subscribed assets resolved").await;
    until("end", SECOND, || fixture.closes("closed") == 2).await;
    // Something new is carried: no reason to wait.
    world.add_market(2);
    fixture.connection.subscribe(world.assets(4..6));
    let start = Instant::now();
    let mut peer = world.accept().await;
    assert!(start.elapsed() < SECOND);
    assert_eq!(peer.request().await.unwrap().1.len(), 4);
    peer.close(1000, "all subscribed assets resolved").await;
    until("end", SECOND, || fixture.closes("closed") == 3).await;
    let all: Vec<_> = (2..6).map(|id| world.asset(id).key).collect();
    fixture.connection.unsubscribe(&all);
    tokio::time::sleep(30 * MINUTE).await;
    assert_eq!(
        fixture.connection.view().state().status(),
        ConnectionStatus::Idle
    );
    assert_eq!(world.network.dial_count(), 3);
    fixture.stop(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_upgrade_waits_as_long_as_it_is_told() {
    let (world, _behaviour) = served(1);
    world.network.script(
        &[
            Answer::Refuse(429, Some(7)),
            Answer::Refuse(503, None),
            Answer::Refuse(403, Some(86_400)),
        ],
        Answer::Accept,
    );
    let fixture = Fixture::new(&world, 0..2);
    until("books", 2 * MINUTE, || world.sink.books().len() == 2).await;
    let dials = world.network.dials.lock().clone();
    assert_eq!(dials.len(), 4);
    assert!(dials[1] - dials[0] >= 7 * SECOND);
    assert!(dials[2] - dials[1] <= SECOND);
    let clamped = dials[3] - dials[2];
    assert!(
        clamped >= MINUTE && clamped <= MINUTE + SECOND,
        "{clamped:?}"
    );
    let json = fixture.json();
    assert_eq!(
        json["refusals"],
        serde_json::json!({"403": 1, "429": 1, "503": 1})
    );
    assert_eq!(json["open_failures"], 3);
    fixture.stop(&world).await;
}

#[tokio::test(start_paused = true)]
async fn flapping_does_not_reset_the_backoff() {
    let mut world = SimulatedVenue::new(1);
    let fixture = Fixture::new(&world, 0..2);
    let flap = async {
        loop {
            let mut peer = world.accept().await;
            peer.request().await.unwrap();
            peer.say(opening(ids(0..2).iter())).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(tokio::time::timeout(10 * MINUTE, flap).await.is_err());
    // Eight quick ones, then one in 15 s on average.
    let dials = world.network.dial_count();
    assert!(dials <= 90, "{dials}");
    assert!(dials >= 20, "{dials}");
    fixture.stop(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_stable_connection_starts_its_backoff_over() {
    let mut world = SimulatedVenue::new(1);
    let fixture = Fixture::new(&world, 0..2);
    for life in 0..20 {
        let start = Instant::now();
        let mut peer = world.accept().await;
        assert!(start.elapsed() <= SECOND, "life {life}");
        peer.request().await.unwrap();
        peer.say(opening(ids(0..2).iter())).await;
        // Until something stable has answered, jitter decides: leave it out.
        peer.say(change("0")).await;
        tokio::time::sleep(31 * SECOND).await;
        drop(peer);
    }
    assert!(fixture.count("reconnect_count") >= 19);
    fixture.stop(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_first_book_is_asked_for_again_then_of_rest() {
    let (world, behaviour) = served(2);
    behaviour.lock().swallow = ["0", "1"].map(str::to_owned).into();
    world.rest.unknown.lock().insert("1".to_owned());
    let fixture = Fixture::new(&world, 0..4);
    let resubscribed = until("resubscription", MINUTE, || {
        fixture.count("tokens_resubscribed") == 2
    })
    .await;
    assert!(
        (8..=11).contains(&resubscribed.as_secs()),
        "{resubscribed:?}"
    );
    assert!(world.rest.asked.lock().is_empty());
    until("rest", MINUTE, || fixture.count("tokens_from_rest") == 1).await;
    // The asset REST knows has a readable book, and is not called live, since
    // the feed says nothing of it; the other one is discovery's question.
    let told = world.sink.all();
    let silent = Told::Stale(FeedId(1), vec![world.asset(0).key], StaleReason::Silent);
    assert!(told.contains(&silent));
    assert_eq!(*world.listener.gone.lock(), [world.asset(1).key]);
    assert_eq!(fixture.count("awaiting_books"), 1);
    assert_eq!(world.sink.books().len(), 2);
    // Never a storm: ever fewer attempts for the two of them.
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert!(fixture.count("tokens_resubscribed") - 2 * fixture.count("probes") <= 20);
    assert!(world.rest.asked.lock().len() <= 20);
    assert_eq!(world.sink.feeds(), 1);
    // The venue comes to its senses.
    behaviour.lock().swallow.clear();
    until("books", 30 * MINUTE, || world.sink.books().len() == 4).await;
    assert_eq!(fixture.count("awaiting_books"), 0);
    fixture.stop(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_book_of_rest_is_live_where_the_feed_speaks_of_it() {
    let mut world = SimulatedVenue::new(1);
    let fixture = Fixture::new(&world, 0..2);
    let mut peer = world.accept().await;
    peer.request().await.unwrap();
    peer.say(opening(ids(1..2).iter())).await;
    // The feed speaks of the asset, in the state that REST shows, and never
    // brings its opening book.
    let state = change("0")
        .replace("1780000000001", "1780000000000")
        .replace("0000000000002", "0000000000001");
    let start = Instant::now();
    while world.sink.books().len() < 2 {
        assert!(start.elapsed() < MINUTE, "never kept");
        peer.say(state.clone()).await;
        tokio::time::sleep(SECOND).await;
    }
    assert_eq!(fixture.count("tokens_from_rest"), 1);
    assert_eq!(fixture.count("awaiting_books"), 0);
    assert!(
        !world
            .sink
            .all()
            .iter()
            .any(|told| matches!(told, Told::Stale(_, _, StaleReason::Silent)))
    );
    fixture.stop(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_never_says_anything_is_unhealthy_and_replaced() {
    let (world, behaviour) = served(1);
    behaviour.lock().stalled = true;
    let fixture = Fixture::new(&world, 0..2);
    assert!(!fixture.is_healthy());
    tokio::time::sleep(5 * SECOND).await;
    assert!(fixture.is_healthy());
    tokio::time::sleep(4 * SECOND).await;
    assert!(!fixture.is_healthy());
    until("end", MINUTE, || fixture.closes("never_fed") == 1).await;
    behaviour.lock().stalled = false;
    until("books", MINUTE, || world.sink.books().len() == 2).await;
    assert!(fixture.is_healthy());
    fixture.stop(&world).await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_decoded_is_stale_and_asked_for_again() {
    let mut world = SimulatedVenue::new(1);
    let fixture = Fixture::new(&world, 0..2);
    let mut peer = world.accept().await;
    peer.request().await.unwrap();
    peer.say(opening(ids(0..2).iter())).await;
    until("books", SECOND, || world.sink.books().len() == 2).await;
    peer.say(change("0").replace("0.41", "four")).await;
    until("mark", SECOND, || world.sink.books().len() == 1).await;
    assert_eq!(world.resync.stats().waiting, 1);
    assert!(fixture.count("parse_errors") >= 1);
    peer.say("PONG").await;
    peer.say("NO NEW ASSETS").await;
    peer.say(change("1")).await;
    tokio::time::sleep(SECOND).await;
    assert_eq!(fixture.count("parse_errors"), 1);
    fixture.stop(&world).await;
}

#[tokio::test(start_paused = true)]
async fn an_event_of_an_unknown_type_has_the_books_that_it_names_audited_soon() {
    let mut world = SimulatedVenue::new(2);
    let fixture = Fixture::new(&world, 0..2);
    let mut peer = world.accept().await;
    peer.request().await.unwrap();
    peer.say(opening(ids(0..2).iter())).await;
    peer.say(change("0").replace("price_change\"", "price_delta\""))
        .await;
    // Of the other market, which this connection does not carry.
    peer.say(change("2").replace("price_change\"", "price_delta\""))
        .await;
    let due = world.early_audits.due(10).await;
    assert_eq!(due, [world.asset(0).key, world.asset(1).key]);
    assert_eq!(world.early_audits.requested(), 2);
    assert_eq!(fixture.count("parse_errors"), 0);
    fixture.stop(&world).await;
}

#[tokio::test(start_paused = true)]
async fn ends_at_once_whatever_it_is_doing() {
    let cases: [(&str, Answer, Duration); 4] = [
        ("backing off", Answer::Unreachable, 20 * SECOND),
        ("told to wait", Answer::Refuse(429, Some(50)), SECOND),
        ("in the handshake", Answer::Silence, 3 * SECOND),
        ("waiting for books", Answer::Accept, 3 * SECOND),
    ];
    for (what, answer, after) in cases {
        let (world, behaviour) = served(1);
        behaviour.lock().stalled = true;
        world.network.script(&[], answer);
        let fixture = Fixture::new(&world, 0..2);
        tokio::time::sleep(after).await;
        assert!(!fixture.task.is_finished(), "{what}");
        fixture.stop(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_mute_handshake_ends_at_its_deadline() {
    let (world, _behaviour) = served(1);
    world.network.script(&[Answer::Silence], Answer::Accept);
    let fixture = Fixture::new(&world, 0..2);
    let took = until("books", MINUTE, || world.sink.books().len() == 2).await;
    assert!((15..=17).contains(&took.as_secs()), "{took:?}");
    assert_eq!(fixture.count("open_failures"), 1);
    fixture.stop(&world).await;
}
