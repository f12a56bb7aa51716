//! Books against the truth, on an exchange that behaves.

use std::time::Duration;

use polypy_sim::SimConfig;
use polypy_tests::wait;
use polypy_tests::world::{SOON, World};

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
    let integrity = &stats["workers"]["integrity"];
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
