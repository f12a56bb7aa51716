use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use polypy_core::{ResyncSink, Scope, StaleReason};
use tokio::time::Instant;

use polypy_core::StatsSource;

use super::*;
use crate::connection::testing::{
    Answer, PeerBehaviour, Served, SimulatedVenue, Told, config, opening, until,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

pub(crate) fn pool(world: &SimulatedVenue, config_of_pool: PoolConfig) -> Arc<ConnectionPool> {
    Arc::new(ConnectionPool::new(
        config_of_pool,
        config(),
        Arc::clone(&world.registry),
        world.venue(),
    ))
}

async fn started(
    markets: u64,
    target: usize,
) -> (Served, Arc<Mutex<PeerBehaviour>>, Arc<ConnectionPool>) {
    let (world, behaviour) = SimulatedVenue::new(markets).serve_all();
    let pool = pool(
        &world,
        PoolConfig {
            target,
            ..PoolConfig::default()
        },
    );
    pool.start().await.unwrap();
    (world, behaviour, pool)
}

/// Stops it and sees that nothing is left.
async fn stopped(world: &SimulatedVenue, pool: &ConnectionPool) {
    let start = Instant::now();
    pool.stop().await;
    assert!(start.elapsed() < Duration::from_millis(100));
    assert_eq!(pool.state(), ComponentState::Stopped);
    assert!(world.sink.open_feeds().is_empty());
    assert_eq!(pool.connections().len(), 0);
    let (_, subscribed, _) = world.registry.counts();
    assert_eq!(subscribed, 0);
}

fn loads(world: &SimulatedVenue, pool: &ConnectionPool) -> BTreeMap<u32, usize> {
    pool.connections()
        .iter()
        .map(|view| (view.id().0, world.registry.load(view.id()).total()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn four_thousand_tokens_are_live_in_seconds_and_upgrades_are_paced() {
    let (world, _behaviour, pool) = started(2_000, 200).await;
    assert!(!pool.is_healthy());
    let took = until("all books", MINUTE, || world.sink.books().len() == 4_000).await;
    assert!(took < 4 * SECOND, "{took:?}");
    assert_eq!(pool.active_connections(), 20);
    assert!(pool.is_healthy());
    let dials = world.network.dials.lock().clone();
    for pair in dials.windows(2) {
        assert!(pair[1] - pair[0] >= Duration::from_millis(98));
    }
    for (id, load) in loads(&world, &pool) {
        assert_eq!(load, 200, "conn-{id}");
    }
    for market in 0..2_000 {
        let of = |asset| world.registry.connection_of(world.asset(asset).key);
        assert_eq!(of(market * 2), of(market * 2 + 1));
        assert!(of(market * 2).is_some());
    }
    let stats = pool.stats();
    assert_eq!(stats["connection_count"], 20);
    assert_eq!(stats["total_capacity"], 4_000);
    assert_eq!(stats["stats"][3]["connection_id"], "conn-3");
    assert_eq!(stats["stats"][3]["subscribed_markets"], 200);
    stopped(&world, &pool).await;
}

#[tokio::test(start_paused = true)]
async fn a_single_market_is_subscribed_as_promptly_as_many() {
    let (world, _behaviour, pool) = started(1, 200).await;
    until("first", SECOND, || world.sink.books().len() == 2).await;
    // Later ones go in place on what has room, at once.
    for market in 1..10 {
        world.add_market(market);
        let wanted = usize::try_from(market + 1).unwrap() * 2;
        let took = until("next", SECOND, || world.sink.books().len() == wanted).await;
        assert!(took < Duration::from_millis(300), "{took:?}");
    }
    assert_eq!(world.network.dial_count(), 1);
    stopped(&world, &pool).await;
}

#[tokio::test(start_paused = true)]
async fn ended_markets_are_taken_off_in_place_and_their_places_filled() {
    let (world, _behaviour, pool) = started(4, 4).await;
    until("books", 2 * SECOND, || world.sink.books().len() == 8).await;
    assert_eq!(pool.connections().len(), 2);
    world.expire(0);
    until("release", SECOND, || {
        world.registry.load(ConnectionId(0)).total() == 2
    })
    .await;
    world.add_market(10);
    until("refill", SECOND, || {
        world.registry.load(ConnectionId(0)).total() == 4
    })
    .await;
    assert_eq!(world.network.dial_count(), 2);
    assert_eq!(pool.stats()["stats"][0]["pollution_ratio"], 0.0);
    // A connection whose markets have all ended is closed.
    world.expire(2);
    world.expire(3);
    until("close", SECOND, || pool.connections().len() == 1).await;
    assert_eq!(world.sink.open_feeds().len(), 1);
    for market in [1, 10] {
        world.expire(market);
    }
    until("all closed", SECOND, || pool.connections().is_empty()).await;
    // Nothing wanted: nothing wrong.
    assert!(pool.is_healthy());
    stopped(&world, &pool).await;
}

#[tokio::test(start_paused = true)]
async fn a_market_stays_together_even_past_the_target() {
    let (world, _behaviour, pool) = started(3, 3).await;
    until("books", 2 * SECOND, || world.sink.books().len() == 6).await;
    // Three tokens wanted, a market has two: one market each.
    assert_eq!(
        loads(&world, &pool).into_values().collect::<Vec<_>>(),
        [2, 2, 2]
    );
    stopped(&world, &pool).await;
}

#[tokio::test(start_paused = true)]
async fn requests_for_snapshots_reach_the_connection_that_carries_the_asset() {
    let (world, _behaviour, pool) = started(4, 4).await;
    until("books", 2 * SECOND, || world.sink.books().len() == 8).await;
    let keys = [world.asset(0).key, world.asset(7).key];
    let before = world.sink.all().len();
    world
        .resync
        .resync(Scope::AllFeeds, &keys, StaleReason::Dropped);
    let delivered = |told: &Told| match told {
        Told::Delivered(_, books, _) => books.len(),
        _ => 0,
    };
    until("snapshots", SECOND, || {
        world.sink.all()[before..]
            .iter()
            .map(delivered)
            .sum::<usize>()
            == 2
    })
    .await;
    for connection in pool.connections() {
        assert_eq!(pool.shared.registry.load(connection.id()).total(), 4);
        let json = connection.json(Default::default());
        assert_eq!(json["tokens_resubscribed"], 1);
    }
    stopped(&world, &pool).await;
}

#[tokio::test(start_paused = true)]
async fn health_is_about_open_connections() {
    let (world, _behaviour) = SimulatedVenue::new(2).serve_all();
    world.network.script(&[], Answer::Unreachable);
    let pool = pool(&world, PoolConfig::default());
    assert!(!pool.is_healthy());
    pool.start().await.unwrap();
    tokio::time::sleep(MINUTE).await;
    assert!(!pool.health().healthy);
    assert_eq!(pool.stats()["active_connections"], 0);
    assert_eq!(pool.stats()["connection_count"], 1);
    world.network.script(&[], Answer::Accept);
    until("books", MINUTE, || pool.is_healthy()).await;
    stopped(&world, &pool).await;
    assert!(!pool.is_healthy());
    assert_eq!(pool.stats()["connection_count"], 0);
}

#[tokio::test(start_paused = true)]
async fn starts_again_after_a_stop_and_refuses_to_start_or_stop_twice() {
    let (world, _behaviour, pool) = started(2, 2).await;
    pool.start().await.unwrap();
    until("books", 2 * SECOND, || world.sink.books().len() == 4).await;
    assert_eq!(pool.connections().len(), 2);
    stopped(&world, &pool).await;
    pool.stop().await;
    assert_eq!(
        pool.replace(ConnectionId(0)).await,
        Err(RecycleError::NotRunning)
    );
    pool.start().await.unwrap();
    until("books", 2 * SECOND, || world.sink.books().len() == 4).await;
    stopped(&world, &pool).await;
}

#[tokio::test(start_paused = true)]
async fn giving_up_on_a_stop_leaves_no_task_behind() {
    let (world, _behaviour, pool) = started(2, 2).await;
    until("books", 2 * SECOND, || world.sink.books().len() == 4).await;
    // Polled once, then dropped: as by a deadline that has passed already.
    let gave_up = tokio::time::timeout(Duration::ZERO, pool.stop()).await;
    assert!(gave_up.is_err() || pool.state() == ComponentState::Stopped);
    until("end", SECOND, || world.sink.open_feeds().is_empty()).await;
    assert_eq!(pool.state(), ComponentState::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_too_much_for_one_socket_is_split() {
    let mut world = SimulatedVenue::new(8);
    let pool = pool(
        &world,
        PoolConfig {
            target: 16,
            ..PoolConfig::default()
        },
    );
    pool.start().await.unwrap();
    for _ in 0..2 {
        let mut peer = world.accept().await;
        let (_, ids) = peer.request().await.unwrap();
        peer.say(opening(ids.iter())).await;
        tokio::time::sleep(20 * SECOND).await;
        peer.close(1013, "slow consumer: send buffer full").await;
    }
    let (world, _manners) = world.serve_all();
    // A close waits for those of others first.
    tokio::time::sleep(5 * SECOND).await;
    until("books", MINUTE, || world.sink.books().len() == 16).await;
    assert_eq!(
        loads(&world, &pool).into_values().collect::<Vec<_>>(),
        [8, 8]
    );
    assert_eq!(pool.stats()["connections_split"], 1);
    // The two halves cannot touch each other's books: no asset on two feeds.
    tokio::time::sleep(MINUTE).await;
    assert_eq!(world.sink.books().len(), 16);
    for market in 0..8 {
        let of = |asset| world.registry.connection_of(world.asset(asset).key);
        assert_eq!(of(market * 2), of(market * 2 + 1));
    }
    stopped(&world, &pool).await;
}

#[tokio::test(start_paused = true)]
async fn connections_that_are_closed_together_are_not_split() {
    let mut world = SimulatedVenue::new(24);
    let pool = pool(
        &world,
        PoolConfig {
            target: 16,
            ..PoolConfig::default()
        },
    );
    pool.start().await.unwrap();
    for _ in 0..4 {
        let mut peers = Vec::new();
        for _ in 0..3 {
            let mut peer = world.accept().await;
            let (_, ids) = peer.request().await.unwrap();
            peer.say(opening(ids.iter())).await;
            peers.push(peer);
        }
        tokio::time::sleep(20 * SECOND).await;
        for peer in peers {
            peer.close(1013, "slow consumer: send buffer full").await;
        }
    }
    let (world, _manners) = world.serve_all();
    tokio::time::sleep(5 * SECOND).await;
    until("books", MINUTE, || world.sink.books().len() == 48).await;
    assert_eq!(
        loads(&world, &pool).into_values().collect::<Vec<_>>(),
        [16, 16, 16]
    );
    assert_eq!(pool.stats()["connections_split"], 0);
    stopped(&world, &pool).await;
}

/// Each connection has failed so often that it waits for up to half a minute. The first
/// that is let in shows the others that they need not.
#[tokio::test(start_paused = true)]
async fn all_follow_the_first_that_the_venue_takes_again() {
    let (world, _behaviour) = SimulatedVenue::new(80).serve_all();
    world.network.script(&[], Answer::Unreachable);
    let of_four = PoolConfig {
        target: 4,
        ..PoolConfig::default()
    };
    let pool = pool(&world, of_four);
    pool.start().await.unwrap();
    tokio::time::sleep(10 * MINUTE).await;
    let before = world.network.dial_count();
    world.network.script(&[], Answer::Accept);
    let took = until("all books", MINUTE, || world.sink.books().len() == 160).await;
    // The first of forty comes within seconds and stays for three; four seconds of
    // paced dials follow.
    assert!(took < 14 * SECOND, "{took:?}");
    let dials = world.network.dials.lock()[before..].to_vec();
    assert_eq!(dials.len(), 40);
    for pair in dials.windows(2) {
        assert!(pair[1] - pair[0] >= Duration::from_millis(98));
    }
    stopped(&world, &pool).await;
}

#[tokio::test(start_paused = true)]
async fn replacing_overlaps_and_loses_nothing() {
    let (world, behaviour, pool) = started(20, 40).await;
    behaviour.lock().flow = Some(Duration::from_millis(20));
    until("books", 2 * SECOND, || world.sink.books().len() == 40).await;
    let told = world.sink.all().len();
    for round in 0..5 {
        let from = pool.connections()[0].id();
        let migration = pool.replace(from).await.unwrap();
        assert_eq!((migration.from, migration.assets), (from, 40));
        assert_eq!(migration.downtime, Duration::ZERO);
        assert!(migration.overlap >= SECOND, "{:?}", migration.overlap);
        until("old one's end", SECOND, || pool.connections().len() == 1).await;
        assert_eq!(pool.connections()[0].id(), migration.to, "round {round}");
        assert_eq!(world.registry.load(migration.to).subscribed, 40);
        assert_eq!(world.registry.load(from).total(), 0);
        assert_eq!(world.sink.open_feeds().len(), 1);
    }
    let assets: Vec<_> = world.sink.books().into_iter().collect();
    assert_eq!(assets.len(), 40);
    world.sink.assert_kept(&assets, told);
    stopped(&world, &pool).await;
}

#[tokio::test(start_paused = true)]
async fn an_aborted_replacement_leaves_nothing_behind() {
    for case in ["unreachable", "a missing book", "abandoned"] {
        let (world, behaviour, pool) = started(2, 4).await;
        until("books", 2 * SECOND, || world.sink.books().len() == 4).await;
        let told = world.sink.all();
        let id = ConnectionId(0);
        match case {
            "unreachable" => {
                world.network.script(&[], Answer::Unreachable);
                assert_eq!(pool.replace(id).await, Err(RecycleError::Setback));
            }
            "a missing book" => {
                behaviour.lock().swallow.insert("3".to_owned());
                *world.rest.fails.lock() = true;
                let missing = RecycleError::Deadline { missing: 1 };
                assert_eq!(pool.replace(id).await, Err(missing));
            }
            _ => {
                behaviour.lock().stalled = true;
                let replacing = tokio::time::timeout(5 * SECOND, pool.replace(id));
                assert!(replacing.await.is_err());
            }
        }
        until("cleaning up", 2 * SECOND, || pool.connections().len() == 1).await;
        assert_eq!(world.sink.all(), told, "{case}: the sink noticed");
        assert_eq!(pool.connections()[0].id(), id);
        assert!(pool.connections()[0].is_open());
        assert_eq!(world.registry.load(id).subscribed, 4);
        assert_eq!(world.sink.books().len(), 4);
        // And it can be done again.
        world.network.script(&[], Answer::Accept);
        *behaviour.lock() = PeerBehaviour::default();
        assert!(pool.replace(id).await.is_ok(), "{case}");
        stopped(&world, &pool).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_settled_asset_does_not_hold_a_replacement_up() {
    let (world, behaviour, pool) = started(3, 6).await;
    until("books", 2 * SECOND, || world.sink.books().len() == 6).await;
    for id in ["0", "1"] {
        behaviour.lock().swallow.insert(id.to_owned());
        world.rest.unknown.lock().insert(id.to_owned());
    }
    // Gone everywhere, and discovery has not said so yet.
    let migration = pool.replace(ConnectionId(0)).await.unwrap();
    assert!(migration.took < 25 * SECOND);
    assert!(!world.listener.gone.lock().is_empty());
    // Ended while the replacement warms up: taken off both.
    for id in ["2", "3"] {
        behaviour.lock().swallow.insert(id.to_owned());
    }
    let replacing = {
        let pool = Arc::clone(&pool);
        tokio::spawn(async move { pool.replace(migration.to).await })
    };
    tokio::time::sleep(2 * SECOND).await;
    assert!(!replacing.is_finished());
    world.expire(0);
    world.expire(1);
    let migration = replacing.await.unwrap().unwrap();
    assert_eq!(migration.assets, 2);
    assert!(migration.took < 5 * SECOND, "{:?}", migration.took);
    stopped(&world, &pool).await;
}

#[tokio::test(start_paused = true)]
async fn downtime_is_time_without_any_feed() {
    let mut world = SimulatedVenue::new(1);
    let pool = pool(&world, PoolConfig::default());
    pool.start().await.unwrap();
    let mut old = world.accept().await;
    old.request().await.unwrap();
    let books = opening(["0".to_owned(), "1".to_owned()].iter());
    old.say(books.clone()).await;
    until("books", SECOND, || world.sink.books().len() == 2).await;
    let replacing = {
        let pool = Arc::clone(&pool);
        tokio::spawn(async move { pool.replace(ConnectionId(0)).await })
    };
    let mut new = world.accept().await;
    new.request().await.unwrap();
    // The old one is lost, and cannot come back. New markets need a connection
    // meanwhile, which must not be taken for it.
    world.network.script(&[], Answer::Unreachable);
    drop(old);
    tokio::time::sleep(3 * SECOND).await;
    assert!(world.sink.books().is_empty());
    new.say(books).await;
    let migration = replacing.await.unwrap().unwrap();
    let down = migration.downtime.as_millis();
    assert!((3_000..3_200).contains(&down), "{down}");
    assert_eq!(world.sink.books().len(), 2);
    stopped(&world, &pool).await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_replaced_is_refused() {
    let (world, behaviour, pool) = started(1, 2).await;
    until("books", 2 * SECOND, || world.sink.books().len() == 2).await;
    let nobody = ConnectionId(9);
    assert_eq!(
        pool.replace(nobody).await,
        Err(RecycleError::Unknown(nobody))
    );
    behaviour.lock().stalled = true;
    let id = ConnectionId(0);
    let (first, second) = tokio::join!(pool.replace(id), pool.replace(id));
    assert_eq!(second, Err(RecycleError::UnderWay(id)));
    // REST had the books and the replacement never said a word of them.
    assert_eq!(first, Err(RecycleError::Setback));
    stopped(&world, &pool).await;
}

#[tokio::test(start_paused = true)]
async fn stops_at_once_in_the_middle_of_a_replacement() {
    let (world, behaviour, pool) = started(1, 2).await;
    until("books", 2 * SECOND, || world.sink.books().len() == 2).await;
    behaviour.lock().stalled = true;
    let replacing = {
        let pool = Arc::clone(&pool);
        tokio::spawn(async move { pool.replace(ConnectionId(0)).await })
    };
    tokio::time::sleep(3 * SECOND).await;
    assert_eq!(pool.connections().len(), 2);
    stopped(&world, &pool).await;
    assert_eq!(replacing.await.unwrap(), Err(RecycleError::NotRunning));
}

#[tokio::test(start_paused = true)]
async fn assets_that_left_a_socket_go_to_a_newer_one() {
    let mut world = SimulatedVenue::new(10);
    let pool = pool(
        &world,
        PoolConfig {
            target: 16,
            ..PoolConfig::default()
        },
    );
    pool.start().await.unwrap();
    let mut hot = world.accept().await;
    let calm = world.accept().await;
    let calm = tokio::spawn(calm.behave(Arc::default()));
    for _ in 0..2 {
        let (_, ids) = hot.request().await.unwrap();
        hot.say(opening(ids.iter())).await;
        tokio::time::sleep(20 * SECOND).await;
        hot.close(1013, "slow consumer: send buffer full").await;
        hot = world.accept().await;
    }
    let hot = tokio::spawn(hot.behave(Arc::default()));
    let (world, _manners) = world.serve_all();
    tokio::time::sleep(5 * SECOND).await;
    // The calm connection has room, and is older than the one that they left.
    until("books", MINUTE, || world.sink.books().len() == 20).await;
    assert_eq!(
        loads(&world, &pool).into_values().collect::<Vec<_>>(),
        [8, 4, 8]
    );
    stopped(&world, &pool).await;
    hot.await.unwrap();
    calm.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_replaced_connection_does_not_come_back() {
    let mut world = SimulatedVenue::new(1);
    let pool = pool(&world, PoolConfig::default());
    pool.start().await.unwrap();
    let books = opening(["0".to_owned(), "1".to_owned()].iter());
    let mut old = world.accept().await;
    old.request().await.unwrap();
    old.say(books.clone()).await;
    until("books", SECOND, || world.sink.books().len() == 2).await;
    let replacing = {
        let pool = Arc::clone(&pool);
        tokio::spawn(async move { pool.replace(ConnectionId(0)).await })
    };
    let mut new = world.accept().await;
    new.request().await.unwrap();
    new.say(books).await;
    until("take-over", SECOND, || world.sink.feeds() == 2).await;
    // Lost in the overlap: another socket of it would be closed a moment later.
    drop(old);
    let migration = replacing.await.unwrap().unwrap();
    assert_eq!(migration.downtime, Duration::ZERO);
    tokio::time::sleep(5 * SECOND).await;
    assert_eq!(world.network.dial_count(), 2);
    assert_eq!(world.sink.books().len(), 2);
    stopped(&world, &pool).await;
    drop(new);
}
