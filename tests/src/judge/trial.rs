//! One scenario, from a quiet beginning to books that equal the truth again.

use std::time::Duration;

use polypy_core::{BookLookup, BookState};
use polypy_sim::{Fault, SimConfig};
use serde_json::Value;

use super::report::Report;
use super::scenario::{Patience, Scenario};
use super::truth::Truth;
use super::verdict::{Rules, judge};
use super::watch::{WHOLE, Watch};
use crate::wait;
use crate::world::{SOON, World};

/// From the making of a state until it can be read: the way through two
/// sockets' buffers, a queue and a lock on a machine that is busy with more
/// than this. The venue itself takes some tens of milliseconds.
pub const DELIVERY: Duration = Duration::from_millis(100);

/// States kept of each asset: more than one can have in any scenario.
const JOURNAL: usize = 200_000;

/// What a trial is made of besides its scenario.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Decides the flow.
    pub seed: u64,
    /// Markets; each has two tokens.
    pub markets: usize,
    /// Events a second over all of them.
    pub events_per_second: f64,
    /// How patient the program is.
    pub patience: Patience,
    /// How long the scenario lasts; by its kind if not given.
    pub lasting: Option<Duration>,
}

/// Runs a scenario beside an exchange of its own.
///
/// # Panics
/// When books do not come to equal the truth before it begins or after it.
pub async fn run(scenario: &Scenario, setting: &Setting) -> Report {
    let per_minute = if scenario.moving { 60.0 } else { 0.0 };
    let config = SimConfig {
        seed: setting.seed,
        markets: setting.markets,
        events_per_second: setting.events_per_second,
        new_markets_per_minute: per_minute,
        resolve_per_minute: per_minute,
        journal: JOURNAL,
        ..SimConfig::for_tests()
    };
    let world = World::start(config, |builder| {
        let program = builder.clone().build().expect("the settings are usable");
        let mut config = program.config().clone();
        setting.patience.apply(&mut config);
        // Few tokens a connection, so that a share of them is some.
        (config.pool.target, config.pool.cap) = (16, 20);
        config.pool.replicas = scenario.replicas;
        config.http.enabled = true;
        config.http.port = 0;
        builder.config(config)
    })
    .await;
    world.all_live(SOON).await;
    // Every book's recipe is proven by its first changes.
    tokio::time::sleep(Duration::from_secs(1)).await;

    let before = world.stats().await;
    let watch = Watch::begin(world.polypy.books(), world.sim.assets());
    let unseen = scenario.unseen.bound(world.polypy.config());
    // Every book is seen once before anything happens to it.
    tokio::time::sleep(Duration::from_millis(200)).await;
    disturb(&world, scenario, setting).await;
    // What nothing has told of is found out in time, too.
    let deadline = 2 * unseen + SOON;
    if !scenario.steady.is_empty() || !scenario.strikes.is_empty() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    world.all_live(deadline).await;
    world.sim.pause();
    wait::until("every live book equals the truth", deadline, async || {
        equals_the_truth(&world)
    })
    .await;
    let record = watch.end().await;
    assert!(
        !world.sim.is_journal_cut(),
        "the exchange's journal is too short"
    );

    let after = world.stats().await;
    let rules = Rules {
        delivery: DELIVERY + scenario.delay,
        provable: scenario.provable,
        pauses: record.pauses,
    };
    let mut report = Report::new(scenario, unseen);
    for (number, (asset, seen)) in record.assets.iter().enumerate() {
        // Both tokens of a market stand in succession.
        let sibling = record.assets.get(number ^ 1).map(|(asset, _)| asset);
        let sibling = sibling.filter(|_| scenario.provable);
        let truth = Truth::of(&world.sim, asset, sibling, record.began);
        report.add(asset, judge(seen, record.end, &truth, &rules));
    }
    report.looks = record.looks;
    let grown = |path: &str| count(&after, path) - count(&before, path);
    report.doubts = grown("/workers/integrity/suspected");
    report.ambiguous = grown("/workers/events/ambiguous_copies");
    report.healed = grown("/workers/integrity/healed");
    report.unrun = rules.pauses.iter().map(|(from, to)| *to - *from).sum();
    report.resyncs = grown("/workers/events/resyncs_requested");
    report.went_stale = grown("/workers/events/went_stale");
    report.applied = applied(&after) - applied(&before);
    world.stop().await;
    report
}

async fn disturb(world: &World, scenario: &Scenario, setting: &Setting) {
    let lasting = setting
        .lasting
        .unwrap_or_else(|| setting.patience.lasting(scenario.unseen));
    let mut round = 0;
    let mut strike = |fault: Fault| {
        let fault = if scenario.single {
            let sockets = world.sim.connections();
            fault.on_connections([sockets[round % sockets.len()]])
        } else {
            fault
        };
        round += 1;
        world.sim.add_fault(fault);
    };
    for fault in &scenario.steady {
        strike(fault.clone().lasting(lasting));
    }
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < lasting {
        for fault in &scenario.strikes {
            strike(fault.clone());
        }
        let left = lasting.saturating_sub(begun.elapsed());
        tokio::time::sleep(setting.patience.pace().min(left)).await;
    }
    world.sim.clear_faults();
}

/// Whether every book that trades is live and has the true levels.
fn equals_the_truth(world: &World) -> bool {
    let books = world.polypy.books();
    world.sim.assets().iter().all(|asset| {
        let truth = world.sim.true_book(asset);
        let truth = truth.expect("the exchange knows its assets");
        let BookLookup::Found(shown) = books.book(asset.as_str(), WHOLE) else {
            return truth.settled;
        };
        let live = shown.state == BookState::Live;
        truth.settled || (live && shown.bids == truth.bids && shown.asks == truth.asks)
    })
}

fn count(stats: &Value, path: &str) -> u64 {
    let figure = stats.pointer(path).and_then(Value::as_u64);
    figure.expect("the statistics have this figure")
}

fn applied(stats: &Value) -> u64 {
    let workers = stats["workers"]["worker_stats"].as_object();
    let workers = workers.expect("the statistics list the workers");
    workers
        .values()
        .map(|worker| count(worker, "/updates_applied"))
        .sum()
}
