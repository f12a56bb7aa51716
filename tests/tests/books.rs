//! Books against the truth, on an exchange that behaves.

use std::collections::BTreeMap;
use std::time::Duration;

use polypy_sim::{Fault, FaultKind, SimConfig};
use polypy_tests::world::{SOON, World};
use polypy_tests::{http, wait};

#[tokio::test]
async fn every_book_equals_the_exchanges_when_the_flow_rests() {
    let config = SimConfig {
        markets: 150,
        events_per_second: 1_500.0,
        ..SimConfig::for_tests()
    };
    let world = World::start(config, |builder| builder).await;
    world.all_live(SOON).await;
    wait::until("thousands of changes", SOON, async || {
        world.polypy.stats()["router"]["messages_routed"].as_u64() > Some(5_000)
    })
    .await;
    let comparison = world.assert_equal_to_truth(SOON).await;
    assert_eq!(comparison.live, 300);
    let stats = world.polypy.stats();
    let integrity = &stats["workers"]["integrity"]["hash"];
    assert!(integrity["passed"].as_u64() > Some(1_000), "{integrity}");
    let failed = integrity["failed"].as_u64().unwrap();
    assert!(
        failed * 200 < integrity["passed"].as_u64().unwrap(),
        "{integrity}"
    );
    assert_eq!(
        stats["workers"]["events"]["resyncs_requested"], 0,
        "{:#}",
        stats["workers"]
    );
    world.stop().await;
}

/// How many books are shown with each state and each `hash_verified`.
async fn shown(world: &World) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for asset in world.sim.assets() {
        let path = format!("/orderbook/{asset}?depth=1");
        let answer = http::get(world.http(), &path).await.expect("an answer");
        let book = answer.json();
        let both = format!("{} {}", book["state"], book["hash_verified"]);
        *counts.entry(both).or_default() += 1;
    }
    counts
}

/// Waits until all books are shown in this way. On the way no book is shown as live
/// beside a hash that contradicts it.
async fn all_shown(world: &World, wanted: &str) {
    wait::until(wanted, SOON, async || {
        let shown = shown(world).await;
        assert!(!shown.contains_key("\"live\" false"), "{shown:?}");
        shown.len() == 1 && shown.contains_key(wanted)
    })
    .await;
}

/// Where no hash of the socket is any state's, it is what is hashed that is unknown,
/// and not the levels that are wrong: live, and unverified for as long as that lasts.
#[tokio::test]
async fn a_book_none_of_whose_hashes_can_be_reproduced_is_live_and_unverified() {
    let world = World::start(SimConfig::for_tests(), |builder| builder).await;
    world.all_live(SOON).await;
    all_shown(&world, "\"live\" true").await;

    let fault = Fault::new(FaultKind::WrongHash).with("rate", 1.0);
    let fault = world.sim.add_fault(fault.expect("it has a rate"));
    all_shown(&world, "\"live\" null").await;
    wait::until("hundreds of such hashes", SOON, async || {
        let stats = world.stats().await;
        stats["workers"]["integrity"]["hash"]["unverifiable"].as_u64() > Some(500)
    })
    .await;
    let unverified = shown(&world).await;
    assert_eq!(
        unverified,
        BTreeMap::from([("\"live\" null".to_owned(), 40)])
    );

    // The levels are right all the time; and once hashes fit again, they are verified.
    world.sim.remove_fault(fault);
    all_shown(&world, "\"live\" true").await;
    let comparison = world.assert_equal_to_truth(SOON).await;
    assert_eq!(comparison.live, 40);
    world.stop().await;
}

/// Three pending assets are served as promptly as many: no minimum batch.
#[tokio::test]
async fn a_single_market_is_subscribed_at_once() {
    let config = SimConfig {
        markets: 1,
        ..SimConfig::for_tests()
    };
    let world = World::start(config, |builder| builder).await;
    let took = world.all_live(SOON).await;
    assert!(took < Duration::from_secs(5), "{took:?}");
    world.stop().await;
}

#[tokio::test]
async fn new_markets_join_and_resolved_ones_leave() {
    let config = SimConfig {
        markets: 20,
        new_markets_per_minute: 120.0,
        resolve_per_minute: 60.0,
        ..SimConfig::for_tests()
    };
    let world = World::start(config, |builder| builder).await;
    wait::until(
        "markets came and went",
        Duration::from_secs(40),
        async || {
            let comparison = world.compare().await;
            comparison.settled >= 6 && comparison.live + comparison.settled >= 52
        },
    )
    .await;
    let comparison = world.assert_equal_to_truth(SOON).await;
    assert!(comparison.live > 0);
    world.stop().await;
}

/// Both tokens of a market are on one connection, and connections hold no more
/// than their target.
#[tokio::test]
async fn assets_are_spread_by_the_target() {
    let config = SimConfig {
        markets: 55,
        ..SimConfig::for_tests()
    };
    let world = World::start(config, |builder| {
        let mut config = polypy::config::Config::default();
        config.pool.target = 20;
        config.http.enabled = true;
        config.http.port = 0;
        let sim = builder.build().unwrap().config().venue.clone();
        config.venue = sim;
        polypy::PolyPy::builder().config(config)
    })
    .await;
    world.all_live(SOON).await;
    let stats = world.stats().await;
    let held: Vec<u64> = stats["pool"]["stats"]
        .as_array()
        .unwrap()
        .iter()
        .map(|connection| connection["subscribed_markets"].as_u64().unwrap())
        .collect();
    assert_eq!(held.iter().sum::<u64>(), 110);
    assert_eq!(held.len(), 6, "{held:?}");
    assert!(
        held.iter().all(|held| *held <= 20 && held % 2 == 0),
        "{held:?}"
    );
    world.stop().await;
}
