//! A worker thread dies: noticed, replaced, its books fetched again.

use polypy_sim::SimConfig;
use polypy_tests::http;
use polypy_tests::wait;
use polypy_tests::world::{SOON, World};

#[tokio::test]
async fn a_dead_worker_is_unhealthy_at_once_and_its_books_come_back() {
    let config = SimConfig {
        markets: 60,
        events_per_second: 600.0,
        ..SimConfig::for_tests()
    };
    let world = World::start(config, |builder| builder).await;
    world.all_live(SOON).await;
    assert_eq!(
        http::get(world.http(), "/health").await.unwrap().status,
        200
    );

    world.polypy.workers().inject_panic(0);
    let noticed = wait::until("the death is noticed", SOON, async || {
        let health = http::get(world.http(), "/health").await.unwrap();
        health.status == 503 && health.json()["components"]["workers"] == false
    })
    .await;
    let stats = world.stats().await;
    assert_eq!(stats["workers"]["is_healthy"], false);
    let recovered = wait::until("healthy again", SOON, async || {
        http::get(world.http(), "/health").await.unwrap().status == 200
    })
    .await;
    let live = world.all_live(SOON).await;
    println!("noticed after {noticed:?}, healthy after {recovered:?}, all live after {live:?}");
    assert_eq!(world.polypy.stats()["workers"]["restarts"], 1);
    let comparison = world.assert_equal_to_truth(SOON).await;
    assert_eq!(comparison.live, 120);
    world.stop().await;
}
