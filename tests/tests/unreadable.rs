//! Changes that reach the program and cannot be read: no book may go on as if
//! nothing had been said.

use std::time::Duration;

use polypy_core::{AssetId, BookLookup, BookState, StaleReason};
use polypy_sim::{Fault, FaultKind, SimConfig};
use polypy_tests::judge::{Patience, Setting, run, scenarios};
use polypy_tests::wait;
use polypy_tests::world::{SOON, World};

const SEED: u64 = 20_261_129;

/// The state each of these books is shown in.
fn states(world: &World, assets: &[AssetId]) -> Vec<BookState> {
    let books = world.polypy.books();
    let shown = assets.iter().map(|asset| books.book(asset.as_str(), 1));
    shown
        .filter_map(|shown| match shown {
            BookLookup::Found(view) => Some(view.state),
            _ => None,
        })
        .collect()
}

/// A change that names a followed market, and of whose tokens nothing can be read,
/// may have been of either: both books are stale at once, whatever is wrong with it,
/// and live again from a fresh book. No other market is touched.
#[tokio::test]
async fn both_tokens_of_a_market_are_stale_after_a_change_that_cannot_be_read() {
    let shapes = [
        "object", "null", "missing", "text", "no_id", "null_id", "empty_id", "hex_id",
    ];
    let config = SimConfig {
        markets: shapes.len() + 2,
        ..SimConfig::for_tests()
    };
    let world = World::start(config, |builder| builder).await;
    world.all_live(SOON).await;
    let assets = world.sim.assets();
    let markets: Vec<&[AssetId]> = assets.chunks(2).collect();
    for (market, shape) in markets.iter().zip(shapes) {
        let fault = Fault::new(FaultKind::UnreadableChange)
            .on_assets([market[0].clone()])
            .with("rate", 1.0)
            .and_then(|fault| fault.with("shape", shape));
        let fault = world.sim.add_fault(fault.expect("the exchange knows it"));
        wait::until(shape, SOON, async || {
            states(&world, market) == [BookState::Stale(StaleReason::Undecodable); 2]
        })
        .await;
        assert!(world.sim.remove_fault(fault));
        wait::until("live again", SOON, async || {
            states(&world, market) == [BookState::Live; 2]
        })
        .await;
    }
    let stats = world.stats().await;
    let lost = &stats["workers"]["events"]["went_stale"];
    assert!(lost.as_u64() >= Some(2 * shapes.len() as u64), "{stats:#}");
    let comparison = world.assert_equal_to_truth(SOON).await;
    assert_eq!(comparison.live, assets.len());
    world.stop().await;
}

/// An event under a name that nobody knows says of its market only that something
/// happened. The book is compared a moment later, and not in its turn, which is
/// minutes away under the settings as they come.
#[tokio::test(flavor = "multi_thread")]
async fn a_book_whose_changes_are_renamed_is_compared_at_once() {
    let scenario = scenarios()
        .into_iter()
        .find(|scenario| scenario.name == "renamed_event")
        .expect("each fault has one");
    let setting = Setting {
        seed: SEED,
        markets: 20,
        events_per_second: 100.0,
        patience: Patience::Defaults,
        lasting: Some(Duration::from_secs(10)),
    };
    let report = run(&scenario, &setting).await;
    assert!(!report.before_evidence.is_empty(), "{report:?}");
    assert!(report.failures().is_empty(), "{:#?}", report.failures());
}
