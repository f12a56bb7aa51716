use tokio::time::sleep;

use super::*;
use crate::lifecycle::LifecycleConfig;
use crate::lifecycle::bench::{Bench, SECOND, condition};
use crate::registry::ConnectionId;
use polypy_core::Component;

/// CLOB denies every token of these markets, every five minutes, as the audit
/// finds it.
async fn deny(bench: &Bench, markets: &[u32], minutes: u32) {
    for _ in 0..minutes / 5 {
        for &market in markets {
            let assets = bench.registry.assets_of(&condition(market));
            bench.controller.hints().confirm_gone(&assets);
        }
        sleep(300 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_gamma_calls_closed_is_settled() {
    let bench = Bench::started(1..=3).await;
    bench.world.lock().markets.insert(2, true);
    let assets = bench.registry.assets_of(&condition(2));
    bench.controller.hints().confirm_gone(&assets);
    sleep(2 * SECOND).await;
    assert!(!bench.lives(2));
    assert_eq!(*bench.sink.settled.lock(), assets);
    assert_eq!(bench.stat("/expired_closed"), 1);
    assert_eq!(bench.stat("/expired_unknown"), 0);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_gamma_calls_open_stays_and_is_asked_for_at_a_slow_pace() {
    let bench = Bench::started(1..=3).await;
    // Missing from listings, and known by name.
    bench.world.lock().hidden.insert(2);
    deny(&bench, &[2], 600).await;
    assert!(bench.lives(2));
    assert_eq!(bench.stat("/expired_unknown"), 0);
    let lookups = bench.lookups();
    assert!((100..2_000).contains(&lookups), "{lookups} in ten hours");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_nobody_knows_is_unknown_after_a_while_and_comes_back_when_listed() {
    let bench = Bench::started(1..=3).await;
    let assets = bench.registry.assets_of(&condition(2));
    bench.registry.assign(&assets, ConnectionId(0));
    bench.world.lock().unborn.insert(2);
    deny(&bench, &[2], 30).await;
    assert!(bench.lives(2), "not yet");
    deny(&bench, &[2], 10).await;
    assert!(!bench.lives(2));
    assert_eq!(bench.stat("/expired_unknown"), 1);
    // Off its connection like what has ended, and not called settled.
    assert_eq!(bench.registry.expired_on(ConnectionId(0)).len(), 2);
    assert!(bench.sink.settled.lock().is_empty());
    assert_eq!(bench.stat("/expired_closed"), 0);

    bench.world.lock().unborn.clear();
    sleep(61 * SECOND).await;
    assert!(bench.lives(2), "listed again");
    assert_eq!(bench.stat("/returned"), 1);
    assert_eq!(*bench.sink.forgotten.lock(), assets);
    let back = bench.registry.assets_of(&condition(2));
    assert!(back.iter().all(|key| !assets.contains(key)));
    // Nothing is left that would forget it.
    sleep(7_200 * SECOND).await;
    assert!(bench.lives(2));
    assert_eq!(bench.registry.assets_of(&condition(2)), back);
    assert_eq!(bench.stat("/forgotten"), 0);
    assert_eq!(bench.stat("/awaiting_forget"), 0);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_announcement_brings_it_back_too() {
    let bench = Bench::started(1..=3).await;
    bench.world.lock().unborn.insert(2);
    deny(&bench, &[2], 40).await;
    assert!(!bench.lives(2));
    {
        let mut world = bench.world.lock();
        world.unborn.clear();
        world.hidden.insert(2);
    }
    bench
        .controller
        .hints()
        .offer(crate::lifecycle::bench::announced(2));
    sleep(5 * SECOND).await;
    assert!(bench.lives(2));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_never_comes_back_is_forgotten() {
    let bench = Bench::started(1..=3).await;
    bench.world.lock().unborn.insert(2);
    deny(&bench, &[2], 40).await;
    sleep(3_600 * SECOND).await;
    assert!(bench.registry.market(&condition(2)).is_none());
    assert_eq!(bench.sink.forgotten.lock().len(), 2);
    assert!(!bench.controller.shared.absences.has_vanished(&condition(2)));
    bench.world.lock().unborn.clear();
    sleep(61 * SECOND).await;
    assert!(bench.lives(2));
    assert_eq!(bench.stat("/returned"), 0);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn anything_less_than_all_of_the_evidence_ends_nothing() {
    // One token is denied, the other one has a book.
    let bench = Bench::started(1..=3).await;
    bench.world.lock().unborn.insert(2);
    let assets = bench.registry.assets_of(&condition(2));
    for _ in 0..48 {
        bench.controller.hints().confirm_gone(&assets[..1]);
        sleep(300 * SECOND).await;
    }
    assert!(bench.lives(2));
    bench.stop().await;

    // Denials with long pauses between them.
    let bench = Bench::started(1..=3).await;
    bench.world.lock().unborn.insert(2);
    for _ in 0..6 {
        deny(&bench, &[2], 10).await;
        sleep(PAUSE).await;
    }
    assert!(bench.lives(2));
    bench.stop().await;

    // Gamma lists nothing at all: that says nothing about anyone.
    let bench = Bench::started(1..=3).await;
    bench.world.lock().unborn.extend(1..=3);
    deny(&bench, &[1, 2, 3], 240).await;
    assert_eq!(bench.registry.live_market_count(), 3);
    bench.stop().await;

    // A sign of life in the middle of it.
    let bench = Bench::started(1..=3).await;
    bench.world.lock().unborn.insert(2);
    deny(&bench, &[2], 25).await;
    bench.world.lock().unborn.clear();
    sleep(61 * SECOND).await;
    bench.world.lock().unborn.insert(2);
    deny(&bench, &[2], 25).await;
    assert!(bench.lives(2));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn with_a_cap_no_listing_is_needed() {
    let config = LifecycleConfig {
        max_markets: 2,
        ..LifecycleConfig::default()
    };
    let bench = Bench::new(1..=3, config);
    bench.controller.start().await.unwrap();
    sleep(SECOND).await;
    assert!(bench.lives(1) && bench.lives(2));
    bench.world.lock().unborn.insert(2);
    deny(&bench, &[2], 45).await;
    assert!(!bench.lives(2) && bench.lives(3), "its place is taken");
    bench.stop().await;
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
    let (absences, key, condition) = (Absences::default(), key(), condition(1));
    let start = Instant::now();
    let not_found = |at| absences.not_found(&condition, &[key], at, false);
    let minutes = |minutes: u32| start + 60 * minutes * SECOND;
    absences.denied(&condition, key, start);
    for lookup in 0..LOOKUPS {
        assert!(!not_found(minutes(lookup)), "too soon");
    }
    assert!(!not_found(minutes(30)), "not denied since");
    absences.denied(&condition, key, minutes(30));
    assert!(not_found(minutes(31)));
    // Long enough, and too few look-ups.
    absences.denied(&condition, key, start);
    assert!(!not_found(start));
    absences.denied(&condition, key, minutes(30));
    for lookup in 1..LOOKUPS {
        assert_eq!(not_found(minutes(31)), lookup + 1 == LOOKUPS);
    }
}

#[test]
fn suspects_are_bounded() {
    let (absences, key, now) = (Absences::default(), key(), Instant::now());
    for market in 0..5_000 {
        absences.denied(&condition(market), key, now);
    }
    assert_eq!(absences.suspects.lock().len(), MOST);
    assert!(!absences.is_suspect(&condition(4_999), &[key], now));
    absences.denied(&condition(4_999), key, now + 2 * PAUSE);
    assert_eq!(absences.suspects.lock().len(), 1);
}
