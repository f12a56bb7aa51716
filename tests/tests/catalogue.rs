//! The catalogue when Gamma or the CLOB refuse batches, end lists early, or are
//! wrong about which markets are open.

use std::time::Duration;

use polypy::config::Config;
use polypy_core::AssetId;
use polypy_sim::{Fault, FaultKind, SimConfig};
use polypy_tests::wait;
use polypy_tests::world::{SOON, World};

/// A program that lists every second and audits in a round of two.
async fn world(markets: usize) -> World {
    let exchange = SimConfig {
        markets,
        ..SimConfig::for_tests()
    };
    let mut config = Config::default();
    config.lifecycle.discovery_interval = Duration::from_secs(1);
    config.audit.period = Duration::from_secs(2);
    let world = World::configured(exchange, config).await;
    world.all_live(SOON).await;
    world
}

/// One figure of `/stats`.
async fn figure(world: &World, pointer: &str) -> u64 {
    let stats = world.stats().await;
    let figure = stats.pointer(pointer).and_then(serde_json::Value::as_u64);
    figure.expect(pointer)
}

fn with(kind: FaultKind, parameter: &str, value: impl Into<serde_json::Value>) -> Fault {
    let fault = Fault::new(kind).with(parameter, value);
    fault.expect("the fault knows it")
}

/// Gamma and the CLOB both know these as ended, and the feed has not said so.
fn end(world: &World, assets: &[AssetId]) {
    for kind in [FaultKind::ClobDenies, FaultKind::GammaCallsClosed] {
        let fault = Fault::new(kind).on_assets(assets.iter().cloned());
        world.sim.add_fault(fault);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_gamma_refuses_is_asked_for_in_parts() {
    let world = world(60).await;
    world.sim.add_fault(with(FaultKind::GammaBatch, "ids", 10));
    let assets = world.sim.assets();
    end(&world, &assets[..100]);
    wait::until("fifty markets have ended", SOON, async || {
        figure(&world, "/registry/expired").await == 100
    })
    .await;
    assert!(figure(&world, "/lifecycle/gamma/batches/limit").await <= 10);
    assert!(figure(&world, "/lifecycle/gamma/batches/refused").await <= 8);
    assert_eq!(
        figure(&world, "/lifecycle/gamma/batches/set_aside").await,
        0
    );
    assert_eq!(figure(&world, "/registry/subscribed").await, 20);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_market_that_gamma_fails_on_holds_up_no_other() {
    let world = world(20).await;
    let assets = world.sim.assets();
    let poisoned = Fault::new(FaultKind::GammaPoisoned).on_assets([assets[7].clone()]);
    world.sim.add_fault(poisoned);
    end(&world, &assets[..20]);
    wait::until("nine of ten have ended", SOON, async || {
        figure(&world, "/registry/expired").await == 18
    })
    .await;
    assert_eq!(
        figure(&world, "/lifecycle/gamma/batches/set_aside").await,
        1
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_compares_all_but_what_the_clob_refuses() {
    let world = world(20).await;
    let assets = world.sim.assets();
    world.sim.add_fault(with(FaultKind::ClobBatch, "ids", 9));
    let poisoned = Fault::new(FaultKind::ClobPoisoned).on_assets([assets[5].clone()]);
    world.sim.add_fault(poisoned);
    wait::until("one token is set aside", SOON, async || {
        figure(&world, "/clob/batches/set_aside").await == 1
    })
    .await;
    // From here on nothing but that one lacks its comparison.
    let (sweeps, compared) = (
        figure(&world, "/audit/sweeps").await,
        figure(&world, "/audit/books_compared").await,
    );
    wait::until("two more rounds", SOON, async || {
        figure(&world, "/audit/sweeps").await >= sweeps + 2
    })
    .await;
    assert!(figure(&world, "/audit/books_compared").await >= compared + 39);
    assert_eq!(figure(&world, "/audit/books_missing").await, 0);
    assert_eq!(figure(&world, "/audit/failures").await, 0);
    assert!(figure(&world, "/audit/books_unanswered").await > 0);
    world.all_live(SOON).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_and_repeated_pages_are_not_the_end_of_a_listing() {
    for fault in ["gamma_empty_page", "gamma_repeated_page"] {
        // From the first page of the first listing on.
        let name = format!("{}/{fault}.toml", env!("CARGO_TARGET_TMPDIR"));
        let step = format!("[[step]]\nat = \"0s\"\nfault = \"{fault}\"\nshare = 0.5\n");
        std::fs::write(&name, step).unwrap();
        let exchange = SimConfig {
            markets: 450,
            events_per_second: 0.0,
            script: Some(name.into()),
            ..SimConfig::for_tests()
        };
        let world = World::start(exchange, |builder| builder).await;
        wait::until("every market is known", SOON, async || {
            figure(&world, "/lifecycle/known_market_count").await == 450
        })
        .await;
        assert!(world.sim.clear_faults() == 1);
        world.all_live(SOON).await;
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gamma_wrong_about_every_market_ends_none() {
    for in_open_lists in [true, false] {
        let world = world(60).await;
        let before = figure(&world, "/lifecycle/discovery/complete_crawls").await;
        let fault = with(FaultKind::GammaCallsClosed, "in_open_lists", in_open_lists);
        world.sim.add_fault(fault);
        wait::until("five listings", SOON, async || {
            figure(&world, "/lifecycle/discovery/complete_crawls").await >= before + 5
        })
        .await;
        if !in_open_lists {
            wait::until("the CLOB has disagreed", SOON, async || {
                figure(&world, "/lifecycle/closings_doubted").await > 0
            })
            .await;
        }
        assert_eq!(figure(&world, "/registry/subscribed").await, 120);
        assert_eq!(figure(&world, "/lifecycle/expired_closed").await, 0);
        world.all_live(SOON).await;
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_market_that_is_closed_for_a_moment_comes_back() {
    let world = world(30).await;
    let assets = world.sim.assets();
    let fault = Fault::new(FaultKind::GammaCallsClosed).on_assets(assets[..2].iter().cloned());
    let id = world.sim.add_fault(fault);
    wait::until("it has ended", SOON, async || {
        figure(&world, "/lifecycle/expired_closed").await == 1
    })
    .await;
    world.sim.remove_fault(id);
    wait::until("it is back", SOON, async || {
        figure(&world, "/lifecycle/markets_returned").await == 1
    })
    .await;
    world.all_live(SOON).await;
    assert_eq!(figure(&world, "/registry/subscribed").await, 60);
    world.assert_equal_to_truth(SOON).await;
    world.stop().await;
}
