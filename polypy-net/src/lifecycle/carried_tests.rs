//! What is chosen, down to the sockets that carry it.

use std::collections::BTreeSet;

use polypy_core::{AssetKey, Component};
use serde_json::{Value, json};

use super::tests::these;
use super::*;
use crate::connection::testing::{SimulatedVenue, until};
use crate::gamma::{GammaClient, GammaConfig};
use crate::lifecycle::LifecycleConfig;
use crate::lifecycle::harness::{SECOND, Sink, StillClock};
use crate::pool::forgotten_tests::is_carried;
use crate::pool::tests::pool;
use crate::pool::{ConnectionPool, PoolConfig};
use crate::rest::RestConfig;
use crate::rest::fake::{FakeService, Reply, Seen};

const MINUTE: Duration = Duration::from_secs(60);
const MARKETS: u32 = 40;
/// Markets that every choice names.
const ALWAYS: std::ops::Range<u32> = 0..5;

/// A Gamma that lists the markets of [`SimulatedVenue`].
fn gamma() -> Arc<FakeService> {
    FakeService::new(|seen: &Seen| {
        let row = |market: u32| {
            json!({
                "id": market.to_string(),
                "conditionId": format!("0x{market:064x}"),
                "clobTokenIds": [(market * 2).to_string(), (market * 2 + 1).to_string()],
            })
        };
        let is_open = seen.line.contains("closed=false");
        let is_asked = |id: &str| !seen.line.contains("condition_ids") || seen.line.contains(id);
        let rows = (0..MARKETS).filter(|_| is_open).map(row);
        let rows = rows.filter(|row| is_asked(row["conditionId"].as_str().unwrap()));
        let rows: Vec<Value> = rows.collect();
        Reply::Ok(json!({ "markets": rows }).to_string())
    })
}

fn discovery(world: &SimulatedVenue) -> LifecycleController {
    let client = gamma().client(RestConfig::default());
    LifecycleController::new(
        LifecycleConfig::default(),
        GammaClient::new(client, GammaConfig::default()),
        world.rest.clone(),
        Arc::clone(&world.registry),
        Arc::new(Sink::default()),
        Vec::new(),
        Arc::new(StillClock::default()),
    )
}

fn selection(markets: &BTreeSet<u32>) -> Selection {
    let id = |market: &u32| format!("0x{market:064x}").parse().unwrap();
    these(markets.iter().map(id))
}

fn keys(world: &SimulatedVenue, markets: impl Iterator<Item = u32>) -> Vec<AssetKey> {
    let tokens = markets.flat_map(|market| [market * 2, market * 2 + 1]);
    let infos = world.assets(tokens.map(u64::from));
    infos.iter().map(|info| info.key).collect()
}

/// A hundred choices, some before the one before is through.
async fn a_hundred_choices(seed: u64, is_calm: bool, replicas: usize) {
    let mut random = fastrand::Rng::with_seed(seed);
    let (world, behaviour) = SimulatedVenue::new(0).serve_all();
    behaviour.lock().flow = Some(SECOND / 20);
    behaviour.lock().is_late = true;
    let config = PoolConfig {
        target: 16,
        merge_after: 3 * SECOND,
        replicas: replicas.try_into().unwrap(),
        ..PoolConfig::default()
    };
    let pool = pool(&world, config);
    let discovery = discovery(&world);
    pool.start().await.unwrap();
    discovery.start().await.unwrap();
    let everything: BTreeSet<u64> = (0..u64::from(MARKETS)).collect();
    let all = || world.registry.counts().1 == 80 && is_carried(&world, &everything, replicas);
    until("everything", MINUTE, all).await;
    let (stay, from) = (keys(&world, ALWAYS), world.sink.all().len());
    let mut replacing = tokio::task::JoinSet::new();
    for round in 0..100 {
        let share = [0, 1, 5, 9, 10][random.usize(0..5)];
        let chosen: BTreeSet<u32> = (0..MARKETS)
            .filter(|market| ALWAYS.contains(market) || random.u8(0..10) < share)
            .collect();
        let change = discovery.select(selection(&chosen), None, None);
        if random.bool() {
            let selected = change.await.unwrap();
            assert_eq!(selected.followed, chosen.len());
        } else {
            drop(tokio::time::timeout(PAUSE / 2, change).await);
        }
        if let (0, Some(view)) = (random.u8(0..8), random.choice(pool.connections())) {
            let (pool, id) = (Arc::clone(&pool), view.id());
            replacing.spawn(async move { drop(ConnectionPool::replace(&pool, id).await) });
        }
        if !is_calm && random.u8(0..10) == 0 {
            behaviour.lock().hangs_up = true;
            sleep(SECOND / 20).await;
            behaviour.lock().hangs_up = false;
        }
        let pause = [0, 0, 2, 40, 300, 2_000][random.usize(0..6)];
        sleep(Duration::from_millis(pause)).await;
        if round % 5 == 4 {
            let chosen = chosen.iter().copied().map(u64::from).collect();
            let what = format!("choice {round} of {seed}");
            until(&what, MINUTE, || is_carried(&world, &chosen, replicas)).await;
            let needed = (chosen.len() * 2).div_ceil(16);
            let at_most = || pool.connections().len() <= (needed * 2 + 1) * replicas;
            until(&format!("{what}: few sockets"), 3 * MINUTE, at_most).await;
        }
    }
    assert_eq!(keys(&world, ALWAYS), stay);
    if is_calm {
        // Whatever else was followed and released: none of these was ever without a feed.
        world.sink.assert_kept(&stay, from);
    }
    while replacing.join_next().await.is_some() {}
    let nothing = selection(&BTreeSet::new());
    discovery.select(nothing, None, None).await.unwrap();
    until("no connection", MINUTE, || pool.connections().is_empty()).await;
    until("no socket", SECOND, || world.subscribed.lock().is_empty()).await;
    assert!(world.sink.open_feeds().is_empty());
    assert_eq!(world.registry.market_count(), 0);
    discovery.stop().await;
    pool.stop().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_hundred_choices_the_sockets_carry_what_is_chosen_and_nothing_else_was_touched() {
    for seed in 0..3 {
        a_hundred_choices(seed, true, 1).await;
    }
    a_hundred_choices(3, true, 2).await;
}

#[tokio::test(start_paused = true)]
async fn the_same_holds_while_sockets_are_lost() {
    for seed in 10..13 {
        a_hundred_choices(seed, false, 1).await;
    }
    a_hundred_choices(13, false, 2).await;
}
