use tokio::time::sleep;

use super::*;
use crate::lifecycle::LifecycleConfig;
use crate::lifecycle::harness::{Harness, SECOND, announced, at_most, condition, resolved};
use polypy_core::Component;

/// All that trade, in a catalogue of thirty.
fn all(harness: &Harness) -> usize {
    harness.registry.live_market_count()
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_calls_every_market_closed_ends_none() {
    let harness = Harness::started(1..=30).await;
    harness.world.lock().called_closed.extend(1..=30);
    sleep(62 * SECOND).await;
    assert_eq!(all(&harness), 30);
    assert_eq!(
        harness.lookups(),
        0,
        "most of them: the list is what is wrong"
    );
    harness.world.lock().called_closed.clear();
    sleep(62 * SECOND).await;
    assert_eq!(all(&harness), 30);
    // As long as it may last.
    harness.world.lock().called_closed.extend(1..=30);
    sleep(1_800 * SECOND).await;
    assert_eq!(all(&harness), 30);
    assert!(harness.sink.settled.lock().is_empty());
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn single_rows_called_closed_are_asked_for_by_name() {
    let harness = Harness::started(1..=30).await;
    {
        let mut world = harness.world.lock();
        world.called_closed.extend([4, 5]);
        // One of them really is, which its own list says, too.
        world.markets.insert(5, true);
    }
    sleep(65 * SECOND).await;
    assert!(harness.lives(4));
    sleep(62 * SECOND).await;
    assert!(harness.lives(4) && !harness.lives(5));
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn many_closings_need_the_clobs_word() {
    // (whether the CLOB keeps their books, whether it answers, who stays)
    for (kept, clob_is_down, stay) in [(true, false, 30), (false, true, 30), (false, false, 0)] {
        let harness = Harness::started(1..=30).await;
        {
            let mut world = harness.world.lock();
            world.markets.values_mut().for_each(|closed| *closed = true);
            world.clob_is_down = clob_is_down;
            if kept {
                world.kept.extend(1..=30);
            }
        }
        let assets: Vec<_> = (1..=30)
            .flat_map(|market| harness.registry.assets_of(&condition(market)))
            .collect();
        harness.controller.hints().confirm_gone(&assets);
        sleep(10 * SECOND).await;
        assert_eq!(all(&harness), stay, "kept {kept}, down {clob_is_down}");
        assert_eq!(harness.stat("/closings_doubted") > 0, stay > 0);
        // A right word of the CLOB's ends them.
        harness.world.lock().clob_is_down = false;
        harness.world.lock().kept.clear();
        sleep(120 * SECOND).await;
        assert_eq!(all(&harness), 0);
        harness.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_few_closings_need_no_second_word_and_are_counted_together() {
    let harness = Harness::started(1..=30).await;
    let close = |markets: std::ops::RangeInclusive<u32>| {
        let mut world = harness.world.lock();
        world.kept.extend(markets.clone());
        world.clob_is_down = true;
        let mut assets = Vec::new();
        for market in markets {
            world.markets.insert(market, true);
            assets.extend(harness.registry.assets_of(&condition(market)));
        }
        drop(world);
        harness.controller.hints().confirm_gone(&assets);
    };
    close(1..=2);
    sleep(2 * SECOND).await;
    assert_eq!(all(&harness), 28);
    close(3..=3);
    sleep(2 * SECOND).await;
    assert_eq!(all(&harness), 27, "three in all");
    close(4..=4);
    sleep(2 * SECOND).await;
    assert_eq!(all(&harness), 27, "one too many");
    // It is asked for again, at last eight minutes after the first time.
    sleep(WINDOW + 200 * SECOND).await;
    assert_eq!(all(&harness), 26, "those before it are long ago");
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_market_closed_for_a_moment_comes_back_with_the_next_listing() {
    let harness = Harness::started(1..=30).await;
    let before = harness.registry.assets_of(&condition(7));
    harness.world.lock().markets.insert(7, true);
    harness.controller.hints().confirm_gone(&before);
    sleep(8 * SECOND).await;
    assert!(!harness.lives(7));
    harness.world.lock().markets.insert(7, false);
    sleep(62 * SECOND).await;
    assert!(harness.lives(7));
    let back = harness.registry.assets_of(&condition(7));
    assert!(back.iter().all(|key| !before.contains(key)), "as a new one");
    assert_eq!(*harness.sink.forgotten.lock(), before);
    assert_eq!(harness.stat("/markets_returned"), 1);
    assert_eq!(harness.stat("/markets_awaiting_forget"), 0);
    // It ends and is forgotten like any other.
    harness.world.lock().markets.insert(7, true);
    harness.controller.hints().confirm_gone(&back);
    sleep(3_700 * SECOND).await;
    assert!(harness.registry.market(&condition(7)).is_none());
    assert!(!harness.controller.shared.closings.is_closed(&condition(7)));
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_gamma_lists_as_open_and_the_clob_has_no_book_of_stays_ended() {
    let harness = Harness::started(1..=30).await;
    let assets = harness.registry.assets_of(&condition(7));
    harness.world.lock().markets.insert(7, true);
    harness.controller.hints().confirm_gone(&assets);
    sleep(8 * SECOND).await;
    for is_down in [true, false] {
        {
            let mut world = harness.world.lock();
            world.clob_is_down = is_down;
            world.markets.insert(7, false);
            world.denied.insert(7);
        }
        sleep(300 * SECOND).await;
        assert!(!harness.lives(7));
    }
    harness.world.lock().denied.clear();
    sleep(300 * SECOND).await;
    assert!(harness.lives(7));
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_feed_called_resolved_does_not_come_back_while_gamma_lags() {
    let harness = Harness::started(1..=30).await;
    harness.controller.hints().offer(resolved(7));
    sleep(SECOND).await;
    harness.controller.hints().offer(announced(7));
    sleep(1_000 * SECOND).await;
    assert!(!harness.lives(7));
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn all_that_ended_wrongly_comes_back_and_a_cap_holds() {
    let config = LifecycleConfig {
        selection: at_most(5),
        ..LifecycleConfig::default()
    };
    let harness = Harness::new(1..=30, config);
    harness.controller.start().await.unwrap();
    sleep(SECOND).await;
    assert_eq!(all(&harness), 5);
    // Each round asks by name about what is followed.
    for market in 1..=3 {
        harness.world.lock().markets.insert(market, true);
    }
    sleep(62 * SECOND).await;
    assert!(
        !harness.lives(1) && harness.lives(8),
        "others took their places"
    );
    harness.world.lock().markets.insert(1, false);
    sleep(124 * SECOND).await;
    assert!(!harness.lives(1), "there is no place for it");
    harness.world.lock().markets.insert(8, true);
    sleep(186 * SECOND).await;
    assert_eq!(all(&harness), 5);
    harness.stop().await;
}
