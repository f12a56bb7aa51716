use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use polypy_core::{Component, FeedId, ResyncSink, Scope, StaleReason, StatsSource};

use super::*;
use crate::connection::testing::{
    PeerBehaviour, Served, SimulatedVenue, Told, config as connection_config, until,
};
use crate::pool::{ConnectionPool, tests::pool};
use crate::registry::ConnectionId;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn market(number: u64) -> ConditionId {
    format!("0x{number:x}").parse().unwrap()
}

#[test]
fn a_market_moves_a_few_times_ever_later_and_starts_over() {
    let config = PoolConfig::default();
    let (mut moves, market, start) = (Moves::new(&config), market(1), Instant::now());
    let mut granted = Vec::new();
    let mut exhausted = 0;
    for minute in 0..9 * 60 {
        let now = start + minute * MINUTE;
        match moves.request(&market, now, &config) {
            MoveVerdict::Granted => granted.push(minute),
            MoveVerdict::NotYet => {}
            MoveVerdict::Exhausted => exhausted += 1,
        }
    }
    // At once, after 5 and 10 minutes with a quarter more at most, then after
    // another 20 and six hours.
    assert_eq!(granted.len(), 6, "{granted:?}");
    assert!((5..=7).contains(&(granted[1] - granted[0])), "{granted:?}");
    assert!(
        (10..=13).contains(&(granted[2] - granted[1])),
        "{granted:?}"
    );
    assert!(
        (380..=386).contains(&(granted[3] - granted[2])),
        "{granted:?}"
    );
    assert_eq!(exhausted, 2);
    moves.tidy(start + 24 * 60 * MINUTE, &config);
    assert!(moves.histories.is_empty());
}

#[test]
fn all_markets_together_move_at_the_rate_of_one_connection() {
    let config = PoolConfig::default();
    let (mut moves, start) = (Moves::new(&config), Instant::now());
    let mut granted = BTreeSet::new();
    for second in 0..120 {
        for number in 0..1_000 {
            let now = start + second * SECOND;
            if moves.request(&market(number), now, &config) == MoveVerdict::Granted {
                assert!(granted.insert(number), "moved twice in two minutes");
            }
        }
    }
    assert!((290..=300).contains(&granted.len()), "{}", granted.len());
}

struct Fixture {
    world: Served,
    behaviour: Arc<Mutex<PeerBehaviour>>,
    pool: Arc<ConnectionPool>,
}

impl Fixture {
    async fn new(markets: u64, target: usize) -> Self {
        let (world, behaviour) = SimulatedVenue::new(markets).serve_all();
        let pool = pool(
            &world,
            PoolConfig {
                target,
                ..PoolConfig::default()
            },
        );
        Self {
            world,
            behaviour,
            pool,
        }
    }

    fn connection_of(&self, asset: u64) -> Option<ConnectionId> {
        let key = self.world.asset(asset).key;
        self.world.registry.connection_of(key)
    }

    fn stat(&self, pointer: &str) -> u64 {
        self.pool
            .stats()
            .pointer(pointer)
            .unwrap()
            .as_u64()
            .unwrap()
    }

    /// Takes assets away on the first sockets, and on no later ones.
    fn withhold(&self, assets: &[u64], sockets: usize) {
        let mut behaviour = self.behaviour.lock();
        behaviour.swallow = assets.iter().map(u64::to_string).collect();
        behaviour.swallowing = Some(sockets);
    }
}

#[tokio::test(start_paused = true)]
async fn a_book_that_stays_away_here_comes_on_another_connection() {
    let fixture = Fixture::new(6, 6).await;
    // Sockets that open later know the book.
    fixture.withhold(&[0], 2);
    fixture.pool.start().await.unwrap();
    until("other books", 5 * SECOND, || {
        fixture.world.sink.books().len() == 11
    })
    .await;
    let (first, second) = (fixture.connection_of(0), fixture.connection_of(6));
    assert_ne!(first, second);
    let took = until("all books", MINUTE, || {
        fixture.world.sink.books().len() == 12
    })
    .await;
    assert!((22..=36).contains(&took.as_secs()), "{took:?}");
    // Both tokens, and to a socket newer than the one that they left.
    assert_eq!(fixture.connection_of(0), fixture.connection_of(1));
    assert_ne!(fixture.connection_of(0), first);
    let keepers = fixture.world.sink.keepers();
    let keepers = &keepers[&fixture.world.asset(0).key];
    assert!(
        !keepers.is_empty() && !keepers.contains(&FeedId(1)),
        "{keepers:?}"
    );
    for (step, count) in [
        ("resubscribed", 1),
        ("asked_rest", 1),
        ("from_rest", 1),
        ("exhausted", 1),
        ("moved", 1),
    ] {
        assert_eq!(
            fixture.stat(&format!("/late_books/{step}")),
            count,
            "{step}"
        );
    }
    assert_eq!(fixture.stat("/markets_moved"), 1);
    tokio::time::sleep(10 * MINUTE).await;
    assert_eq!(fixture.stat("/markets_moved"), 1);
    fixture.pool.stop().await;
}

#[tokio::test(start_paused = true)]
async fn those_that_leave_together_share_a_connection() {
    let fixture = Fixture::new(8, 16).await;
    let withheld: Vec<u64> = (0..12).collect();
    fixture.withhold(&withheld, 1);
    fixture.pool.start().await.unwrap();
    until("all books", 2 * MINUTE, || {
        fixture.world.sink.books().len() == 16
    })
    .await;
    assert_eq!(fixture.stat("/markets_moved"), 6);
    assert_eq!(fixture.world.network.dial_count(), 2);
    for market in 0..6 {
        let pair = (
            fixture.connection_of(2 * market),
            fixture.connection_of(2 * market + 1),
        );
        assert_eq!(pair, (Some(ConnectionId(1)), Some(ConnectionId(1))));
    }
    fixture.pool.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_book_that_no_connection_brings_does_not_wander_for_ever() {
    let fixture = Fixture::new(4, 8).await;
    fixture.behaviour.lock().swallow.insert("0".to_owned());
    fixture.pool.start().await.unwrap();
    tokio::time::sleep(5 * 60 * MINUTE).await;
    assert_eq!(fixture.stat("/markets_moved"), 3);
    assert_eq!(fixture.stat("/moves_exhausted"), 1);
    assert!(fixture.world.network.dial_count() <= 4);
    assert!(fixture.pool.connections().len() <= 2);
    assert_eq!(fixture.world.sink.books().len(), 7);
    // REST's book is there to be read, and is not called live.
    let silent = fixture.world.asset(0).key;
    let is_marked = |told: &Told| matches!(told, Told::Stale(_, marked, StaleReason::Silent) if *marked == [silent]);
    assert!(fixture.world.sink.all().iter().any(is_marked));
    // Still asked for in place: when the venue speaks of it again it is live, by
    // the third step at the latest, each after five minutes and a quarter more.
    fixture.behaviour.lock().swallow.clear();
    until("book", 20 * MINUTE, || {
        fixture.world.sink.books().len() == 8
    })
    .await;
    fixture.pool.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_rest_has_no_book_of_stays_where_it_is() {
    let fixture = Fixture::new(4, 8).await;
    fixture.behaviour.lock().swallow = ["0", "1"].map(str::to_owned).into();
    fixture
        .world
        .rest
        .unknown
        .lock()
        .extend(["0", "1"].map(str::to_owned));
    fixture.pool.start().await.unwrap();
    tokio::time::sleep(60 * MINUTE).await;
    assert_eq!(fixture.stat("/markets_moved"), 0);
    assert_eq!(fixture.stat("/late_books/exhausted"), 0);
    assert!(fixture.stat("/late_books/missing") >= 2);
    assert!(!fixture.world.listener.gone.lock().is_empty());
    fixture.pool.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_resync_that_is_never_answered_climbs_to_rest_and_moves() {
    let fixture = Fixture::new(4, 8).await;
    fixture.pool.start().await.unwrap();
    until("books", 5 * SECOND, || {
        fixture.world.sink.books().len() == 8
    })
    .await;
    fixture.withhold(&[2], 1);
    let asset = fixture.world.asset(2).key;
    fixture
        .world
        .resync
        .resync(Scope::AllFeeds, &[asset], StaleReason::Hash);
    until("mark", SECOND, || fixture.world.sink.books().len() == 7).await;
    let seeded = until("rest", MINUTE, || {
        fixture.stat("/late_books/from_rest") == 1
    })
    .await;
    let deadline = connection_config().first_book_deadline;
    assert!(
        seeded < 2 * deadline,
        "the first step was the resync itself"
    );
    assert_eq!(fixture.stat("/late_books/resubscribed"), 0);
    assert_eq!(
        fixture.world.sink.books().len(),
        7,
        "the feed is still silent"
    );
    let moved = until("book", MINUTE, || fixture.world.sink.books().len() == 8).await;
    assert!(moved < 2 * deadline, "{moved:?}");
    assert_eq!(fixture.stat("/late_books/moved"), 1);
    fixture.pool.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_brings_nothing_is_reopened_and_not_emptied() {
    let fixture = Fixture::new(4, 8).await;
    {
        fixture.behaviour.lock().stalled = true;
    }
    *fixture.world.rest.fails.lock() = true;
    fixture.pool.start().await.unwrap();
    tokio::time::sleep(10 * MINUTE).await;
    assert!(fixture.stat("/late_books/exhausted") > 0);
    assert_eq!(fixture.stat("/markets_moved"), 0);
    fixture.pool.stop().await;
}
