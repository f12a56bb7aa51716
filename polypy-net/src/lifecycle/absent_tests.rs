use tokio::time::sleep;

use super::*;
use crate::lifecycle::LifecycleConfig;
use crate::lifecycle::harness::{Harness, SECOND, at_most, condition};
use crate::registry::ConnectionId;
use polypy_core::Component;

/// CLOB denies every token of these markets, every five minutes, as the audit
/// finds it.
async fn deny(harness: &Harness, markets: &[u32], minutes: u32) {
    for _ in 0..minutes / 5 {
        for &market in markets {
            let assets = harness.registry.assets_of(&condition(market));
            harness.controller.hints().confirm_gone(&assets);
        }
        sleep(300 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_gamma_calls_closed_is_settled() {
    let harness = Harness::started(1..=3).await;
    harness.world.lock().markets.insert(2, true);
    let assets = harness.registry.assets_of(&condition(2));
    harness.controller.hints().confirm_gone(&assets);
    sleep(2 * SECOND).await;
    assert!(!harness.lives(2));
    assert_eq!(*harness.sink.settled.lock(), assets);
    assert_eq!(harness.stat("/expired_closed"), 1);
    assert_eq!(harness.stat("/expired_unknown"), 0);
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_gamma_calls_open_stays_and_is_asked_for_at_a_slow_pace() {
    let harness = Harness::started(1..=3).await;
    // Missing from listings, and known by name.
    harness.world.lock().hidden.insert(2);
    deny(&harness, &[2], 600).await;
    assert!(harness.lives(2));
    assert_eq!(harness.stat("/expired_unknown"), 0);
    let lookups = harness.lookups();
    assert!((100..2_000).contains(&lookups), "{lookups} in ten hours");
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_nobody_knows_is_unknown_after_a_while_and_comes_back_when_listed() {
    let harness = Harness::started(1..=3).await;
    let assets = harness.registry.assets_of(&condition(2));
    harness.registry.assign(&assets, ConnectionId(0));
    harness.world.lock().unborn.insert(2);
    deny(&harness, &[2], 30).await;
    assert!(harness.lives(2), "not yet");
    deny(&harness, &[2], 10).await;
    assert!(!harness.lives(2));
    assert_eq!(harness.stat("/expired_unknown"), 1);
    // Off its connection like what has ended, and not called settled.
    assert_eq!(harness.registry.expired_on(ConnectionId(0)).len(), 2);
    assert!(harness.sink.settled.lock().is_empty());
    assert_eq!(harness.stat("/expired_closed"), 0);

    harness.world.lock().unborn.clear();
    sleep(61 * SECOND).await;
    assert!(harness.lives(2), "listed again");
    assert_eq!(harness.stat("/markets_returned"), 1);
    assert_eq!(*harness.sink.forgotten.lock(), assets);
    let back = harness.registry.assets_of(&condition(2));
    assert!(back.iter().all(|key| !assets.contains(key)));
    // Nothing is left that would forget it.
    sleep(7_200 * SECOND).await;
    assert!(harness.lives(2));
    assert_eq!(harness.registry.assets_of(&condition(2)), back);
    assert_eq!(harness.stat("/markets_forgotten"), 0);
    assert_eq!(harness.stat("/markets_awaiting_forget"), 0);
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_announcement_brings_it_back_too() {
    let harness = Harness::started(1..=3).await;
    harness.world.lock().unborn.insert(2);
    deny(&harness, &[2], 40).await;
    assert!(!harness.lives(2));
    {
        let mut world = harness.world.lock();
        world.unborn.clear();
        world.hidden.insert(2);
    }
    harness
        .controller
        .hints()
        .offer(crate::lifecycle::harness::announced(2));
    sleep(5 * SECOND).await;
    assert!(harness.lives(2));
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_never_comes_back_is_forgotten() {
    let harness = Harness::started(1..=3).await;
    harness.world.lock().unborn.insert(2);
    deny(&harness, &[2], 40).await;
    sleep(3_600 * SECOND).await;
    assert!(harness.registry.market(&condition(2)).is_none());
    assert_eq!(harness.sink.forgotten.lock().len(), 2);
    assert!(
        !harness
            .controller
            .shared
            .delistings
            .has_vanished(&condition(2))
    );
    harness.world.lock().unborn.clear();
    sleep(61 * SECOND).await;
    assert!(harness.lives(2));
    assert_eq!(harness.stat("/markets_returned"), 0);
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn anything_less_than_all_of_the_evidence_ends_nothing() {
    // One token is denied, the other one has a book.
    let harness = Harness::started(1..=3).await;
    harness.world.lock().unborn.insert(2);
    let assets = harness.registry.assets_of(&condition(2));
    for _ in 0..48 {
        harness.controller.hints().confirm_gone(&assets[..1]);
        sleep(300 * SECOND).await;
    }
    assert!(harness.lives(2));
    harness.stop().await;

    // Denials with long pauses between them.
    let harness = Harness::started(1..=3).await;
    harness.world.lock().unborn.insert(2);
    for _ in 0..6 {
        deny(&harness, &[2], 10).await;
        sleep(PAUSE).await;
    }
    assert!(harness.lives(2));
    harness.stop().await;

    // Gamma lists nothing at all: that says nothing about anyone.
    let harness = Harness::started(1..=3).await;
    harness.world.lock().unborn.extend(1..=3);
    deny(&harness, &[1, 2, 3], 240).await;
    assert_eq!(harness.registry.live_market_count(), 3);
    harness.stop().await;

    // A sign of life in the middle of it.
    let harness = Harness::started(1..=3).await;
    harness.world.lock().unborn.insert(2);
    deny(&harness, &[2], 25).await;
    harness.world.lock().unborn.clear();
    sleep(61 * SECOND).await;
    harness.world.lock().unborn.insert(2);
    deny(&harness, &[2], 25).await;
    assert!(harness.lives(2));
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn with_a_cap_no_listing_is_needed() {
    let config = LifecycleConfig {
        selection: at_most(2),
        ..LifecycleConfig::default()
    };
    let harness = Harness::new(1..=3, config);
    harness.controller.start().await.unwrap();
    sleep(SECOND).await;
    assert!(harness.lives(1) && harness.lives(2));
    harness.world.lock().unborn.insert(2);
    deny(&harness, &[2], 45).await;
    assert!(!harness.lives(2) && harness.lives(3), "its place is taken");
    harness.stop().await;
}

fn key() -> AssetKey {
    let mut interner = polypy_core::Interner::default();
    let (asset, first) = ("1".parse().unwrap(), condition(1));
    interner
        .insert(&asset, &first, |key| {
            polypy_core::AssetInfo::new(key, asset.clone(), first.clone())
        })
        .key
}

#[test]
fn it_takes_a_number_of_lookups_and_a_denial_after_the_while() {
    let (delistings, key, condition) = (Delistings::default(), key(), condition(1));
    let start = Instant::now();
    let not_found = |at| delistings.not_found(&condition, &[key], at, false);
    let minutes = |minutes: u32| start + 60 * minutes * SECOND;
    delistings.denied(&condition, key, start);
    for lookup in 0..LOOKUPS {
        assert!(!not_found(minutes(lookup)), "too soon");
    }
    assert!(!not_found(minutes(30)), "not denied since");
    delistings.denied(&condition, key, minutes(30));
    assert!(not_found(minutes(31)));
    // Long enough, and too few look-ups.
    delistings.denied(&condition, key, start);
    assert!(!not_found(start));
    delistings.denied(&condition, key, minutes(30));
    for lookup in 1..LOOKUPS {
        assert_eq!(not_found(minutes(31)), lookup + 1 == LOOKUPS);
    }
}

#[test]
fn suspects_are_bounded() {
    let (delistings, key, now) = (Delistings::default(), key(), Instant::now());
    for market in 0..5_000 {
        delistings.denied(&condition(market), key, now);
    }
    assert_eq!(delistings.suspects.lock().len(), MOST);
    assert!(!delistings.is_suspect(&condition(4_999), &[key], now));
    delistings.denied(&condition(4_999), key, now + 2 * PAUSE);
    assert_eq!(delistings.suspects.lock().len(), 1);
}
