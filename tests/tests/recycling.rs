//! Replacing a connection by a fresh one, while its books move.

use polypy_sim::SimConfig;
use polypy_tests::wait;
use polypy_tests::world::{SOON, World, unhurried};

#[tokio::test(flavor = "multi_thread")]
async fn recycling_every_connection_loses_nothing() {
    let config = SimConfig {
        markets: 150,
        events_per_second: 3_000.0,
        ..SimConfig::for_tests()
    };
    // On a busy machine the rest of a batch may take longer than a doubt is given. What
    // is lost for good is not live in the end, however long that is.
    let world = World::configured(config, unhurried()).await;
    world.all_live(SOON).await;
    let assets: u64 = world.stats().await["registry"]["subscribed"]
        .as_u64()
        .unwrap();

    for round in 1..=3u64 {
        let before: Vec<_> = world.polypy.pool().connections();
        for connection in &before {
            let receipt = world
                .polypy
                .recycler()
                .recycle_now(connection.id())
                .await
                .unwrap();
            println!("{receipt:?}");
            let told = &receipt.comparison;
            assert!(told.both > 0 && told.compared_ms > 0, "{receipt:?}");
            assert_eq!(told.digests_equal, Some(true), "{receipt:?}");
            assert_eq!((told.old_only, told.new_only), (0, 0), "{receipt:?}");
        }
        let stats = world.stats().await;
        let recycler = &stats["recycler"];
        assert_eq!(
            recycler["recycles_completed"],
            round * before.len() as u64,
            "{recycler}"
        );
        assert_eq!(recycler["recycles_failed"], 0, "{recycler}");
        assert_eq!(recycler["markets_migrated"], round * assets, "{recycler}");
        assert_eq!(recycler["avg_downtime_ms"], 0.0, "{recycler}");
        assert_eq!(
            recycler["active_recycles"].as_array().map(Vec::len),
            Some(0)
        );
        // The old ones say good-bye after their books are somebody else's.
        wait::until("the old ones' end", SOON, async || {
            world.polypy.pool().connections().len() == before.len()
        })
        .await;
    }
    world.all_live(SOON).await;
    let stats = world.stats().await;
    let (events, integrity) = (&stats["workers"]["events"], &stats["workers"]["integrity"]);
    assert_eq!(
        events["went_stale"], 0,
        "no book was without a feed for a moment: {events} {integrity}"
    );
    assert_eq!(
        events["resyncs_requested"], 0,
        "{}",
        stats["workers"]["integrity"]
    );
    assert!(
        events["snapshots_awaited"].as_u64() >= Some(3 * assets),
        "each connection told every book before the one before it closed: {events}"
    );
    world.assert_equal_to_truth(SOON).await;
    world.stop().await;
}
