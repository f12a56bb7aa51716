//! Four processes divide the venue between them: each market is followed by exactly one
//! of them, those too that are announced meanwhile, however its id is spelled.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use polypy_core::ConditionId;
use polypy_sim::{Fault, FaultKind, SimConfig, SimHandle};
use polypy_tests::http;
use polypy_tests::pair;
use polypy_tests::program::Program;
use polypy_tests::wait;
use polypy_tests::world::{SOON, exchange};
use serde_json::Value;

const MARKETS: usize = 200;
const PARTS: usize = 4;
/// Announced while all of them run, before the flow is stopped.
const ANNOUNCED: u64 = 40;

/// A process that follows its part of the exchange.
fn part(sim: &SimHandle, number: usize) -> (Program, SocketAddr) {
    let shard = format!("{number}/{PARTS}");
    let (gamma, ws) = (sim.gamma_url(), sim.ws_url());
    pair::follow(&gamma, &ws, &[("shard", &shard), ("workers-count", "1")])
}

async fn get(address: SocketAddr, path: &str) -> Value {
    let answer = http::get(address, path).await.expect("an answer");
    answer.json()
}

/// What all spellings of these ids have in common.
fn canonical<'a>(ids: impl Iterator<Item = &'a Value>) -> Vec<String> {
    let id = |id: &Value| ConditionId::new(id.as_str().expect("an id")).expect("a condition id");
    let mut ids: Vec<_> = ids.map(|it| id(it).canonical().into_owned()).collect();
    ids.sort_unstable();
    ids
}

/// The markets that a process follows.
async fn followed(address: SocketAddr) -> Vec<String> {
    let body = get(address, "/markets").await;
    let markets = body["markets"].as_array().expect("a list").iter();
    canonical(markets.map(|market| &market["condition_id"]))
}

/// The markets of the exchange.
async fn listed(sim: &SimHandle) -> Vec<String> {
    let body = get(sim.local_addr(), "/sim/assets").await;
    let assets = body.as_array().expect("a list").iter();
    let mut ids = canonical(assets.map(|asset| &asset["condition_id"]));
    ids.dedup();
    ids
}

/// Waits until a process has listed everything once.
async fn has_crawled(address: SocketAddr) {
    wait::until("a whole listing", SOON, async || {
        let stats = get(address, "/stats").await;
        let crawls = stats.pointer("/lifecycle/discovery/complete_crawls");
        crawls.and_then(Value::as_u64) >= Some(1)
    })
    .await;
}

/// From now on Gamma spells the ids of markets another way than the feed.
fn spell_otherwise(sim: &SimHandle) {
    let spelling = |spelling: &str, share| {
        let fault = Fault::new(FaultKind::GammaIdSpelling).on_share(share);
        fault.with("spelling", spelling).expect("one it knows")
    };
    sim.add_fault(spelling("upper_case", 0.5));
    // Where both hit, this one counts.
    sim.add_fault(spelling("without_zeros", 0.3));
}

#[tokio::test(flavor = "multi_thread")]
async fn four_processes_follow_each_market_exactly_once() {
    let sim = exchange(SimConfig {
        markets: MARKETS,
        events_per_second: 200.0,
        new_markets_per_minute: 600.0,
        ..SimConfig::for_tests()
    })
    .await;
    sim.pause();
    // Two of them know Gamma's ids in one spelling, and two in another.
    let mut parts: Vec<_> = (0..PARTS / 2).map(|number| part(&sim, number)).collect();
    for (_, address) in &parts {
        has_crawled(*address).await;
    }
    spell_otherwise(&sim);
    parts.extend((PARTS / 2..PARTS).map(|number| part(&sim, number)));
    for (_, address) in &parts {
        has_crawled(*address).await;
        // Whoever has a connection hears what is announced.
        wait::until("its books are live", SOON, async || {
            let stats = get(*address, "/stats").await;
            let books = &stats["workers"]["books"];
            books["live"].as_u64() > Some(0) && books["pending"] == 0 && books["stale"] == 0
        })
        .await;
    }

    sim.resume();
    wait::until("markets are announced", SOON, async || {
        sim.stats().totals.markets_announced >= ANNOUNCED
    })
    .await;
    sim.pause();

    let all = listed(&sim).await;
    assert!(all.len() >= MARKETS + usize::try_from(ANNOUNCED).expect("a small number"));
    let mut own = Vec::new();
    let took = wait::until("each market is followed", SOON, async || {
        own.clear();
        for (_, address) in &parts {
            own.push(followed(*address).await);
        }
        own.iter().map(Vec::len).sum::<usize>() >= all.len()
    })
    .await;
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for id in own.iter().flatten() {
        *times.entry(id).or_default() += 1;
    }
    let twice: Vec<_> = times.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "not followed by one of them: {twice:?}");
    assert!(times.keys().eq(&all), "others than the exchange has");
    let counts: Vec<_> = own.iter().map(Vec::len).collect();
    assert!(
        counts.iter().all(|count| *count > MARKETS / 8),
        "{counts:?}"
    );
    println!(
        "{} markets in four parts {counts:?}, {} of them announced; all followed {:.1} s later",
        all.len(),
        all.len() - MARKETS,
        took.as_secs_f64()
    );
    for (program, _) in parts {
        program.stop();
    }
    sim.stop().await;
}
