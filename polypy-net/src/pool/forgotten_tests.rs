//! Markets that are forgotten while connections carry them, and come back.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use tokio::time::sleep;

use super::tests::pool;
use super::*;
use crate::connection::testing::{Answer, Served, SimulatedVenue, until};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Forgets a market, as one that is followed no longer is.
fn forget(world: &SimulatedVenue, market: u64) {
    let condition = world.asset(market * 2).condition_id.clone();
    assert_eq!(world.registry.forget(&condition).len(), 2);
}

/// Whether the venue sends these markets and no others, each token on so many sockets,
/// and each book is kept by as many feeds.
pub(crate) fn is_carried(world: &Served, markets: &BTreeSet<u64>, replicas: usize) -> bool {
    let tokens: Vec<u64> = markets.iter().flat_map(|m| [m * 2, m * 2 + 1]).collect();
    let sent: Vec<String> = {
        let subscribed = world.subscribed.lock();
        subscribed.values().flatten().cloned().collect()
    };
    let on = |id: &u64| sent.iter().filter(|sent| **sent == id.to_string()).count();
    let keepers = world.sink.keepers();
    let kept = |id: &u64| keepers.get(&world.asset(*id).key).map_or(0, BTreeSet::len);
    sent.len() == tokens.len() * replicas
        && tokens
            .iter()
            .all(|id| on(id) == replicas && kept(id) == replicas)
}

#[tokio::test(start_paused = true)]
async fn what_is_forgotten_is_off_at_once_and_what_is_back_begins_again() {
    let (world, behaviour) = SimulatedVenue::new(3).serve_all();
    behaviour.lock().flow = Some(SECOND / 10);
    behaviour.lock().is_late = true;
    let pool = pool(&world, PoolConfig::default());
    pool.start().await.unwrap();
    let is = |markets: &[u64]| is_carried(&world, &markets.iter().copied().collect(), 1);
    until("books", 2 * SECOND, || is(&[0, 1, 2])).await;
    forget(&world, 0);
    until("off", SECOND / 20, || is(&[1, 2])).await;
    // Back at once, with frames of before still under way.
    forget(&world, 1);
    world.add_market(1);
    until("back", SECOND, || is(&[1, 2])).await;
    assert_eq!(world.network.dial_count(), 1);
    for market in [1, 2] {
        forget(&world, market);
    }
    until("no connection", SECOND, || pool.connections().is_empty()).await;
    pool.stop().await;
    assert!(world.registry.take_abandoned().is_empty());
}

/// Whatever the pool is about: replacing, merging, reconnecting, opening, closing.
async fn any_markets_any_time(seed: u64, replicas: usize) {
    let mut random = fastrand::Rng::with_seed(seed);
    let (world, behaviour) = SimulatedVenue::new(12).serve_all();
    behaviour.lock().flow = Some(SECOND / 20);
    behaviour.lock().is_late = true;
    let config = PoolConfig {
        target: 8,
        merge_after: 3 * SECOND,
        replicas: NonZeroUsize::new(replicas).unwrap(),
        ..PoolConfig::default()
    };
    let pool = pool(&world, config);
    pool.start().await.unwrap();
    let mut followed: BTreeSet<u64> = (0..12).collect();
    let mut replacing = tokio::task::JoinSet::new();
    for round in 0..12 {
        for _ in 0..random.usize(1..6) {
            match random.u8(0..12) {
                0..8 => {
                    // One, or as many as another choice of markets would move.
                    for _ in 0..random.u64(1..5) {
                        let market = random.u64(0..12);
                        let is_on = followed.remove(&market);
                        if is_on {
                            forget(&world, market);
                        }
                        if !is_on || random.u8(0..4) == 0 {
                            world.add_market(market);
                            followed.insert(market);
                        }
                    }
                }
                8 | 9 => {
                    if let Some(view) = random.choice(pool.connections()) {
                        let (pool, id) = (Arc::clone(&pool), view.id());
                        replacing.spawn(async move { drop(pool.replace(id).await) });
                    }
                }
                10 => {
                    behaviour.lock().hangs_up = true;
                    sleep(SECOND / 20).await;
                    behaviour.lock().hangs_up = false;
                }
                _ => {
                    let broken = [Answer::Unreachable, Answer::Refuse(503, None)];
                    world.network.script(&broken, Answer::Accept);
                }
            }
            let pause = [0, 3, 40, 200, 900, 2_000][random.usize(0..6)];
            sleep(Duration::from_millis(pause)).await;
        }
        let calm = || is_carried(&world, &followed, replicas);
        until(&format!("round {round} of {seed}"), MINUTE, calm).await;
    }
    while replacing.join_next().await.is_some() {}
    // Back to what its tokens need, and nothing is left of what went.
    for market in std::mem::take(&mut followed) {
        forget(&world, market);
    }
    until("no connection", MINUTE, || pool.connections().is_empty()).await;
    until("no socket", SECOND, || world.subscribed.lock().is_empty()).await;
    assert!(world.sink.open_feeds().is_empty());
    pool.stop().await;
    assert!(world.registry.take_abandoned().is_empty());
}

#[tokio::test(start_paused = true)]
async fn whatever_is_forgotten_and_comes_back_is_carried_as_it_should_be() {
    for seed in 0..30 {
        any_markets_any_time(seed, 1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_holds_where_each_token_is_on_two_connections() {
    for seed in 0..30 {
        any_markets_any_time(seed, 2).await;
    }
}
