//! Which markets are followed, as `[markets]` says at the start.

use std::collections::BTreeSet;
use std::time::Duration;

use polypy::PolyPy;
use polypy::config::{Config, Setting};
use polypy_sim::{SimConfig, SimHandle};
use polypy_tests::wait;
use polypy_tests::world::{SOON, World, exchange};
use polypy_tests::{http, world};
use serde_json::Value;

const MARKETS: usize = 40;

fn quiet() -> SimConfig {
    SimConfig {
        markets: MARKETS,
        events_per_second: 0.0,
        ..SimConfig::for_tests()
    }
}

/// A program that lists every second.
fn config() -> Config {
    let mut config = world::unhurried();
    config.lifecycle.discovery_interval = Duration::from_secs(1);
    config
}

async fn follower(sim: &SimHandle, config: Config) -> PolyPy {
    let builder = PolyPy::builder().config(config);
    let builder = builder.venue(&sim.gamma_url(), &sim.clob_url(), &sim.ws_url());
    let polypy = builder.enable_http(true).http_port(0).build();
    let polypy = polypy.expect("the settings are usable");
    polypy.start().await.expect("the program starts");
    polypy
}

/// Condition ids and slugs, as the exchange lists them.
async fn listed(sim: &SimHandle) -> Vec<(String, String)> {
    let address = sim.gamma_url().trim_start_matches("http://").parse();
    let answer = http::get(
        address.expect("an address"),
        "/markets/keyset?limit=100&closed=false",
    )
    .await;
    let body = answer.expect("the exchange answers").json();
    let rows = body["markets"].as_array().expect("rows").iter();
    let text = |row: &Value, key: &str| row[key].as_str().expect("a text").to_owned();
    rows.map(|row| (text(row, "conditionId"), text(row, "slug")))
        .collect()
}

/// Condition ids of the markets that a program follows.
async fn followed(polypy: &PolyPy) -> Vec<String> {
    let address = polypy.http_addr().expect("the HTTP server runs");
    let body = http::get(address, "/markets").await;
    let body = body.expect("the program answers").json();
    let markets = body["markets"].as_array().expect("a list").iter();
    let mut ids: Vec<_> = markets
        .map(|market| market["condition_id"].as_str().expect("an id").to_owned())
        .collect();
    ids.sort_unstable();
    ids
}

/// Waits for two whole listings: what the first left open, the second has settled.
async fn two_crawls(polypy: &PolyPy) {
    let address = polypy.http_addr().expect("the HTTP server runs");
    wait::until("two listings", SOON, async || {
        let stats = http::get(address, "/stats").await;
        let stats = stats.expect("the program answers").json();
        let crawls = stats.pointer("/lifecycle/discovery/complete_crawls");
        crawls.and_then(Value::as_u64).expect("a figure") >= 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_of_a_pattern_are_followed_and_no_others() {
    let sim = exchange(quiet()).await;
    let listed = listed(&sim).await;
    assert_eq!(listed.len(), MARKETS);
    let mut of_pattern: Vec<_> = listed
        .iter()
        .filter(|(_, slug)| slug.contains("-1"))
        .collect();
    // One of them is left out by its name, and one of the others is followed by its name.
    let (_, left_out) = of_pattern.pop().expect("some are of the pattern");
    let besides = listed.iter().find(|(_, slug)| !slug.contains("-1"));
    let besides = besides.expect("some are not");
    assert!(of_pattern.len() > 5 && of_pattern.len() < MARKETS / 2);
    let mut wanted: Vec<_> = of_pattern.iter().map(|(id, _)| id.clone()).collect();
    wanted.push(besides.0.clone());
    wanted.sort_unstable();

    let mut config = config();
    config.markets.slugs = Setting::parse("*-1*").unwrap();
    config.markets.exclude_slugs = Setting::parse(left_out).unwrap();
    config.markets.also = Setting::parse(&besides.0).unwrap();
    let polypy = follower(&sim, config).await;
    two_crawls(&polypy).await;
    assert_eq!(followed(&polypy).await, wanted);

    let world = World { sim, polypy };
    let live = async || world.stats().await["registry"]["subscribed"] == wanted.len() * 2;
    wait::until("both tokens of each are subscribed", SOON, live).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_shards_follow_every_market_once() {
    let sim = exchange(quiet()).await;
    let listed = listed(&sim).await;
    let mut all = Vec::new();
    for shard in ["0/2", "1/2"] {
        let mut config = config();
        config.markets.shard = Setting::parse(shard).unwrap();
        let polypy = follower(&sim, config).await;
        two_crawls(&polypy).await;
        let own = followed(&polypy).await;
        assert!(own.len() > MARKETS / 8, "{shard}: {}", own.len());
        all.extend(own);
        polypy.stop().await;
    }
    sim.stop().await;
    assert_eq!(all.len(), MARKETS);
    let listed: BTreeSet<_> = listed.into_iter().map(|(id, _)| id).collect();
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), listed);
}
