use std::sync::Arc;
use std::time::Duration;

use polypy_core::{Component, StatsSource};
use tokio::time::Instant;

use super::*;
use crate::connection::testing::{Served, SimulatedVenue, opening, until};
use crate::pool::ConnectionPool;
use crate::pool::tests::pool;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn config() -> PoolConfig {
    PoolConfig {
        target: 8,
        merge_after: MINUTE,
        ..PoolConfig::default()
    }
}

/// No token of these markets was without a feed that keeps its book, see the sink.
fn assert_kept(world: &SimulatedVenue, markets: &[u64], from: usize) {
    let tokens = markets
        .iter()
        .flat_map(|market| [market * 2, market * 2 + 1]);
    let assets: Vec<_> = world.assets(tokens).iter().map(|info| info.key).collect();
    world.sink.assert_kept(&assets, from);
}

fn figure(pool: &ConnectionPool, name: &str) -> u64 {
    pool.stats()[name].as_u64().unwrap()
}

/// Connections whose markets have ended but for those that are kept.
async fn left_small(markets: u64, kept: &[u64]) -> (Served, Arc<ConnectionPool>) {
    let (world, behaviour) = SimulatedVenue::new(markets).serve_all();
    behaviour.lock().flow = Some(SECOND);
    let pool = pool(&world, config());
    pool.start().await.unwrap();
    let books = usize::try_from(markets * 2).unwrap();
    until("books", 5 * SECOND, || world.sink.books().len() == books).await;
    for market in (0..markets).filter(|market| !kept.contains(market)) {
        world.expire(market);
    }
    (world, pool)
}

#[tokio::test(start_paused = true)]
async fn connections_left_small_are_made_one_in_calm_and_no_book_is_stale_for_it() {
    let kept = [3, 7, 11];
    let (world, pool) = left_small(12, &kept).await;
    let from = world.sink.all().len();
    tokio::time::sleep(50 * SECOND).await;
    assert_eq!(pool.connections().len(), 3, "not at once");
    until("one connection", MINUTE, || pool.connections().len() == 1).await;
    let id = pool.connections()[0].id();
    assert_eq!(world.registry.load(id).subscribed, 6);
    assert_eq!(figure(&pool, "connections_merged"), 2);
    assert_eq!(world.sink.open_feeds().len(), 1);
    tokio::time::sleep(5 * MINUTE).await;
    assert_eq!(pool.connections().len(), 1);
    assert_eq!(figure(&pool, "merges_given_up"), 0);
    assert_kept(&world, &kept, from);
    pool.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_merge_that_lacks_a_book_leaves_everything_as_it_was_and_is_tried_ever_later() {
    let kept = [0, 4, 5];
    let (world, behaviour) = SimulatedVenue::new(8).serve_all();
    behaviour.lock().flow = Some(SECOND);
    let pool = pool(&world, config());
    pool.start().await.unwrap();
    until("books", 5 * SECOND, || world.sink.books().len() == 16).await;
    for market in (0..8).filter(|market| !kept.contains(market)) {
        world.expire(market);
    }
    let from = world.sink.all().len();
    let before = world.registry.connection_of(world.asset(0).key);
    behaviour.lock().swallow.insert("0".to_owned());
    *world.rest.fails.lock() = true;
    let given_up = || figure(&pool, "merges_given_up");
    until("two of it", 10 * MINUTE, || given_up() == 2).await;
    assert_eq!(pool.connections().len(), 2);
    assert_eq!(world.registry.connection_of(world.asset(0).key), before);
    // Its copies on the other one are gone with it.
    tokio::time::sleep(SECOND).await;
    assert_eq!(world.sink.keepers()[&world.asset(1).key].len(), 1);
    tokio::time::sleep(30 * MINUTE).await;
    assert!(
        (4..=6).contains(&given_up()),
        "{} in half an hour",
        given_up()
    );
    behaviour.lock().swallow.clear();
    let is_one = || pool.connections().len() == 1;
    until("success", 60 * MINUTE, is_one).await;
    assert_kept(&world, &kept, from);
    pool.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_split_is_made_one_again_once_it_was_calm() {
    let mut world = SimulatedVenue::new(8);
    let pool = pool(
        &world,
        PoolConfig {
            target: 16,
            ..config()
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
    let (world, behaviour) = world.serve_all();
    // A silent connection would resubscribe one market now and then.
    behaviour.lock().flow = Some(SECOND);
    tokio::time::sleep(5 * SECOND).await;
    until("books", MINUTE, || world.sink.books().len() == 16).await;
    assert_eq!(pool.connections().len(), 2);
    let from = world.sink.all().len();
    tokio::time::sleep(config().slow_consumer_window - MINUTE).await;
    assert_eq!(pool.connections().len(), 2, "one may still be too much");
    until("one", 5 * MINUTE, || pool.connections().len() == 1).await;
    assert_kept(&world, &(0..8).collect::<Vec<_>>(), from);
    pool.stop().await;
}

#[tokio::test(start_paused = true)]
async fn each_setback_puts_merging_off_for_twice_as_long_and_a_day_forgives() {
    let (mut merges, config) = (Merges::default(), config());
    let wait = |merges: &mut Merges| {
        let now = Instant::now();
        merges.put_off(now, &config);
        merges.not_before.unwrap() - now
    };
    assert_eq!(wait(&mut merges), MINUTE);
    assert_eq!(wait(&mut merges), 2 * MINUTE);
    assert_eq!(wait(&mut merges), 4 * MINUTE);
    for _ in 0..20 {
        wait(&mut merges);
    }
    assert_eq!(wait(&mut merges), LONGEST);
    tokio::time::advance(3 * LONGEST).await;
    assert_eq!(wait(&mut merges), MINUTE);
}
