//! Each token on two connections: one of them may stall or break at any time,
//! and no book is shown as anything but live because of that.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use polypy::config::Config;
use polypy_sim::{Fault, FaultKind, SimConfig};
use polypy_tests::http::Client;
use polypy_tests::wait;
use polypy_tests::world::{SOON, World};
use serde_json::Value;

/// Watchdogs out of the way: what is shown here is the pair's own doing.
fn twofold(config: &mut Config) {
    config.pool.replicas = 2;
    config.pool.target = 100;
    config.recycler.check_interval = Duration::from_secs(1);
    config.http.enabled = true;
    config.http.port = 0;
}

async fn world() -> World {
    let sim = SimConfig {
        markets: 100,
        events_per_second: 2_000.0,
        ..SimConfig::for_tests()
    };
    World::start(sim, |builder| {
        let mut config = builder
            .clone()
            .build()
            .expect("the settings are usable")
            .config()
            .clone();
        twofold(&mut config);
        builder.config(config)
    })
    .await
}

/// The sum of a figure of both connections.
fn sum(score: &Value, name: &str) -> u64 {
    let connections = ["first_connection", "second_connection"].iter();
    connections
        .map(|connection| score[connection][name].as_u64().expect("a count"))
        .sum()
}

/// A book is in doubt while one half of a state has been read and the other has not. On a
/// busy machine that is seen now and then; a connection that is lost has a hundred books.
const DOUBTS: u64 = 20;

/// Whether a book is in doubt, and not for long.
fn is_in_doubt(shown: &Value) -> bool {
    let is_new = shown["since_ms"].as_u64() < Some(1_000);
    shown["state"] == "stale" && shown["reason"] == "hash" && is_new
}

/// Looks at every book for as long, over HTTP; returns how many looks there were.
async fn always_live(world: &World, lasting: Duration) -> u64 {
    let mut client = Client::connect(world.http()).await.expect("a connection");
    let (began, mut looks, mut doubts) = (Instant::now(), 0, 0);
    while began.elapsed() < lasting {
        for asset in world.sim.assets() {
            let answer = client
                .get(&format!("/orderbook/{asset}?depth=1"))
                .await
                .expect("an answer");
            let shown = answer.json();
            doubts += u64::from(is_in_doubt(&shown));
            let is_live = shown["state"] == "live" || is_in_doubt(&shown);
            assert!(is_live, "{asset}: {shown}");
            looks += 1;
        }
    }
    assert!(doubts < DOUBTS, "{doubts} of {looks}");
    looks
}

#[tokio::test(flavor = "multi_thread")]
async fn a_book_stays_live_while_either_of_its_connections_brings_it() {
    let world = world().await;
    world.all_live(SOON).await;
    wait::until(
        "both connections of each pair have every book",
        SOON,
        async || {
            let stats = world.stats().await;
            let pool = &stats["pool"];
            pool["connection_count"] == 4
                && pool["stats"].as_array().unwrap().iter().all(|connection| {
                    connection["awaiting_books"] == 0 && connection["status"] == "connected"
                })
        },
    )
    .await;
    let before = world.stats().await;
    let sockets = world.sim.connections();
    assert_eq!(sockets.len(), 4);

    // One socket is lost, of whichever pair.
    world
        .sim
        .add_fault(Fault::new(FaultKind::DropConnection).on_connections([sockets[0]]));
    let looks = always_live(&world, Duration::from_secs(3)).await;
    let receipt = world.polypy.pool().reconnects().pop().unwrap();
    println!("{looks} looks; {receipt:?}");
    assert_eq!(receipt.covered, receipt.books, "{receipt:?}");
    assert!(receipt.books > 0 && receipt.downtime_ms > 0);

    // Another one keeps answering pings and says nothing any more.
    let old: BTreeSet<_> = sockets.iter().copied().collect();
    world
        .sim
        .add_fault(Fault::new(FaultKind::StallSocket).on_connections([sockets[1]]));
    let stalled = Instant::now();
    while world.stats().await["recycler"]["recycles_completed"] == 0 {
        assert!(stalled.elapsed() < SOON, "{}", world.stats().await["pool"]);
        always_live(&world, Duration::from_secs(1)).await;
    }
    println!("replaced after {:?}", stalled.elapsed());
    let stats = world.stats().await;
    let recycler = &stats["recycler"];
    assert_eq!(recycler["by_reason"]["lagging"], 1, "{recycler}");
    assert_eq!(recycler["receipts"][0]["reason"], "lagging");
    wait::until("the stalled socket is gone", SOON, async || {
        let now = world.sim.connections();
        now.len() == 4 && !now.contains(&sockets[1])
    })
    .await;
    assert!(world.sim.connections().iter().any(|id| !old.contains(id)));
    always_live(&world, Duration::from_secs(2)).await;

    // What it saved.
    let stats = world.stats().await;
    let replicas = &stats["pool"]["replicas"];
    println!("{replicas:#}");
    let total = &replicas["total"];
    assert_eq!(replicas["lagging_found"], 1);
    assert!(sum(total, "first") > 1_000, "{total}");
    assert!(sum(total, "only") > 1_000, "{total}");
    let events = &stats["workers"]["events"];
    let closings = events["closings_covered"].as_u64().unwrap();
    assert!(closings > 0, "{events}");
    let went_stale = |stats: &Value| stats["workers"]["events"]["went_stale"].as_u64().unwrap();
    assert!(
        went_stale(&stats) - went_stale(&before) < DOUBTS,
        "{events}"
    );
    assert!(events["first_arrivals"].as_u64() > Some(100), "{events}");
    assert!(stats["pool"]["reconnects"]["covered_book_ms"].as_u64() > Some(0));
    let comparison = world.assert_equal_to_truth(SOON).await;
    assert!(comparison.live > 150, "{}", comparison.summary());
    let held: u64 = stats["pool"]["stats"]
        .as_array()
        .unwrap()
        .iter()
        .map(|connection| connection["subscribed_markets"].as_u64().unwrap())
        .sum();
    assert_eq!(stats["registry"]["subscribed"], held, "each counts once");
    world.stop().await;
}
