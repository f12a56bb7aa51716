//! The soak test: everything that is known to go wrong, one after the other and
//! overlapping, while connections are recycled by age.
//!
//! When the faults have ended, the books must be the exchange's, level for level, and
//! nothing may be left behind by what broke. `make soak` runs it for two minutes on
//! four thousand tokens; `cargo test` runs the same faults for a sixth of that on a
//! tenth of the tokens.

use std::time::Duration;

use polypy::config::Config;
use polypy_sim::{FAULTS, Fault, FaultKind, Scope, SimConfig};
use polypy_tests::judge::Patience;
use polypy_tests::wait;
use polypy_tests::world::{SOON, World};

const SEED: u64 = 20_261_123;

/// How large and how long.
struct Size {
    markets: usize,
    events_per_second: f64,
    /// Time from the first fault to the last.
    lasts: Duration,
    /// How long each fault lasts; the next begins before it ends.
    fault: Duration,
    /// Age at which a connection is recycled.
    age: Duration,
}

const FULL: Size = Size {
    markets: 2_000,
    events_per_second: 3_000.0,
    lasts: Duration::from_secs(120),
    fault: Duration::from_secs(6),
    age: Duration::from_secs(40),
};

const SMALL: Size = Size {
    markets: 200,
    events_per_second: 500.0,
    lasts: Duration::from_secs(20),
    fault: Duration::from_secs(1),
    age: Duration::from_secs(8),
};

fn size() -> Size {
    match std::env::var("POLYPY_SOAK").as_deref() {
        Ok("full") => FULL,
        _ => SMALL,
    }
}

/// Watchdogs of seconds instead of minutes, so that the time is a long life.
fn impatient(mut config: Config, size: &Size) -> Config {
    let seconds = Duration::from_secs;
    Patience::Short.apply(&mut config);
    config.recycler.check_interval = seconds(1);
    config.recycler.age = size.age;
    config.audit.period = seconds(10);
    config.http.enabled = true;
    config.http.port = 0;
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn after_every_fault_every_book_equals_the_truth() {
    let size = size();
    let sim = SimConfig {
        seed: SEED,
        markets: size.markets,
        events_per_second: size.events_per_second,
        new_markets_per_minute: 10.0,
        resolve_per_minute: 10.0,
        ..SimConfig::for_tests()
    };
    println!("seed {SEED}");
    let tasks = tokio::runtime::Handle::current().metrics();
    let world = World::start(sim, |builder| {
        let venue = builder.clone().build().unwrap().config().venue.clone();
        let config = Config {
            venue,
            ..Config::default()
        };
        let config = impatient(config, &size);
        builder.config(config)
    })
    .await;
    let took = world.all_live(Duration::from_secs(60)).await;
    println!("{} markets live after {took:?}", size.markets);

    let pause = size.lasts / u32::try_from(FAULTS.len()).unwrap();
    for info in FAULTS {
        world
            .sim
            .add_fault(fault(info.kind, info.scope, size.fault));
        if matches!(
            info.kind,
            FaultKind::Handshake429 | FaultKind::OversizedSubscribeClose
        ) {
            // These meet only who connects.
            let drop = Fault::new(FaultKind::DropConnection)
                .on_share(0.3)
                .lasting(pause / 4);
            world.sim.add_fault(drop);
        }
        tokio::time::sleep(pause).await;
        let stats = world.stats().await;
        println!(
            "{:<26} {} connections, books {}, healthy {}",
            info.name,
            stats["pool"]["active_connections"],
            stats["workers"]["books"],
            world.polypy.is_healthy(),
        );
    }
    world.sim.clear_faults();

    let clearing = std::time::Instant::now();
    world.all_live(Duration::from_secs(60)).await;
    let comparison = world.assert_equal_to_truth(Duration::from_secs(60)).await;
    let stats = world.stats().await;
    println!(
        "{} books equal to the truth, {} settled, {:?} after the last fault; recycler {:#}",
        comparison.live,
        comparison.settled,
        clearing.elapsed(),
        stats["recycler"],
    );
    assert!(comparison.live > 2 * size.markets * 9 / 10);
    assert!(
        stats["recycler"]["recycles_completed"].as_u64() > Some(0),
        "{}",
        stats["recycler"]
    );
    assert!(world.polypy.is_healthy());
    let held: u64 = stats["pool"]["stats"]
        .as_array()
        .unwrap()
        .iter()
        .map(|connection| connection["subscribed_markets"].as_u64().unwrap())
        .sum();
    assert_eq!(
        stats["registry"]["subscribed"], held,
        "no asset on two connections or on none"
    );
    assert_eq!(
        world.sim.stats().connections as u64,
        stats["pool"]["connection_count"],
        "the exchange sees the connections we know of, and no other"
    );

    world.stop().await;
    wait::until("no task is left", SOON, async || {
        tasks.num_alive_tasks() == 0
    })
    .await;
}

fn fault(kind: FaultKind, scope: Scope, lasting: Duration) -> Fault {
    let share = match scope {
        Scope::Connection | Scope::Asset => 0.3,
        Scope::Request => 0.5,
        Scope::Exchange => 1.0,
    };
    Fault::new(kind).on_share(share).lasting(lasting)
}
