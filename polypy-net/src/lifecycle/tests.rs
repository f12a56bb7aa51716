//! The controller against a Gamma in memory, on paused time.

use polypy_core::catalogue::ResolutionSource;
use polypy_core::{AssetKey, Figures, LifecycleEvent, Listed, Market, MarketResolved};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::harness::{
    ANNOUNCED, CLOSED, Harness, SECOND, announced, at_most, condition, resolved, tokens, won_by,
};
use super::*;
use crate::rest::fake::Reply;

#[tokio::test(start_paused = true)]
async fn finds_all_markets_at_once_and_new_ones_at_the_interval() {
    let harness = Harness::started(1..=5).await;
    assert_eq!(harness.registry.live_market_count(), 5);
    assert_eq!(harness.registry.counts(), (10, 0, 0));
    harness.world.lock().markets.insert(9, false);
    sleep(50 * SECOND).await;
    assert!(!harness.lives(9));
    sleep(12 * SECOND).await;
    assert!(harness.lives(9));
    assert_eq!(harness.stat("/known_market_count"), 6);
    assert_eq!(harness.stat("/discovery/complete_crawls"), 2);
    assert!(harness.controller.health().healthy);
    harness.stop().await;
    assert!(!harness.controller.health().healthy);
}

#[tokio::test(start_paused = true)]
async fn markets_can_be_subscribed_while_the_listing_goes_on() {
    let harness = Harness::new(1..=100, LifecycleConfig::default());
    harness.controller.start().await.unwrap();
    harness.registry.changed().notified().await;
    assert_eq!(harness.registry.live_market_count(), 2);
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_happens_to_a_market_is_told_with_who_won() {
    let harness = Harness::started(1..=3).await;
    let mut told = harness.sink.told();
    told.sort_unstable();
    assert_eq!(told, ["new 0x1", "new 0x2", "new 0x3"]);
    harness.controller.hints().offer(won_by(2, Some("22")));
    harness.controller.hints().offer(won_by(3, None));
    // Of another market.
    harness.controller.hints().offer(won_by(1, Some("22")));
    assert_eq!(harness.registry.winner(&condition(2)), None);
    sleep(SECOND / 10).await;
    assert_eq!(
        harness.sink.told(),
        [
            "resolved 0x2 22",
            "resolved 0x3 nobody",
            "resolved 0x1 nobody"
        ]
    );
    let winner = harness.registry.winner(&condition(2));
    assert_eq!(winner.unwrap().as_str(), "22");
    let found = harness.controller.source().find("0x2").remove(0);
    let resolution = found.resolution.unwrap();
    assert_eq!(resolution.source, ResolutionSource::Feed);
    assert_eq!(resolution.at, Some(ANNOUNCED));
    // Said again, nothing happens again.
    harness.controller.hints().offer(won_by(2, Some("22")));
    sleep(3_700 * SECOND).await;
    let told = harness.sink.told();
    assert_eq!(
        told[..3],
        ["forgotten 0x2 2", "forgotten 0x3 2", "forgotten 0x1 2"]
    );
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_resolved_market_ends_at_once_and_is_forgotten_everywhere_later() {
    let harness = Harness::started(1..=3).await;
    let assets = harness.registry.assets_of(&condition(2));
    harness.controller.hints().offer(resolved(2));
    // Gamma takes minutes to agree: its listing does not bring the market back.
    sleep(SECOND / 10).await;
    assert!(!harness.lives(2));
    assert_eq!(*harness.sink.settled.lock(), assets);
    harness.controller.hints().offer(resolved(2));
    sleep(300 * SECOND).await;
    assert!(!harness.lives(2));
    assert_eq!(harness.sink.settled.lock().len(), 2);
    assert_eq!(harness.registry.counts(), (4, 0, 2));
    assert_eq!(harness.stat("/markets_awaiting_forget"), 1);

    harness.world.lock().markets.insert(2, true);
    sleep(3_400 * SECOND).await;
    assert_eq!(harness.registry.counts().2, 0);
    assert_eq!(*harness.sink.forgotten.lock(), assets);
    assert!(harness.registry.market(&condition(2)).is_none());
    assert!(harness.registry.interner().read().get("21").is_none());
    assert_eq!(harness.stat("/markets_forgotten"), 1);
    assert_eq!(harness.stat("/markets_awaiting_forget"), 0);
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_resolved_market_is_recognised_by_its_tokens_too() {
    let harness = Harness::started([1]).await;
    harness
        .controller
        .hints()
        .offer(LifecycleEvent::Resolved(MarketResolved {
            condition_id: condition(0xffff),
            asset_ids: tokens(1),
            winner: None,
            at: None,
        }));
    sleep(SECOND / 10).await;
    assert!(!harness.lives(1));
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_announced_market_is_looked_up_until_it_is_listed() {
    let harness = Harness::started(1..=2).await;
    let hints = harness.controller.hints();
    {
        let mut world = harness.world.lock();
        world.markets.extend([(7, false), (8, false)]);
        world.unborn.insert(8);
        // Only a look-up can find them.
        world.hidden.extend([7, 8]);
    }
    for market in [7, 8, 7, 1] {
        hints.offer(announced(market));
    }
    sleep(2 * SECOND).await;
    assert!(harness.lives(7) && !harness.lives(8));
    // Both in one request, and no lookup about what is known already.
    assert_eq!(harness.lookups(), 1);
    harness.world.lock().unborn.clear();
    sleep(10 * SECOND).await;
    assert!(harness.lives(8));
    assert_eq!(harness.stat("/lookups/found"), 2);
    assert_eq!(harness.stat("/lookups/pending_open"), 0);
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_market_that_is_never_listed_is_given_up() {
    let harness = Harness::started([1]).await;
    harness.controller.hints().offer(announced(7));
    sleep(900 * SECOND).await;
    assert_eq!(harness.lookups(), 5);
    assert_eq!(harness.stat("/lookups/given_up"), 1);
    assert_eq!(harness.stat("/lookups/pending_open"), 0);
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_market_missing_twice_is_asked_for_and_ended_by_the_answer_alone() {
    let harness = Harness::started(1..=4).await;
    {
        let mut world = harness.world.lock();
        world.markets.insert(3, true);
        // Missing from the listing for another reason: it is open.
        world.hidden.insert(4);
    }
    sleep(62 * SECOND).await;
    assert_eq!(
        (
            harness.lookups(),
            harness.stat("/discovery/missing_markets")
        ),
        (0, 2)
    );
    assert!(harness.lives(3) && harness.lives(4));
    sleep(62 * SECOND).await;
    assert!(!harness.lives(3) && harness.lives(4));
    sleep(3_000 * SECOND).await;
    assert!(harness.lives(4), "only the venue's word ends a market");
    assert_eq!(harness.stat("/expired_closed"), 1);
    assert_eq!(harness.sink.settled.lock().len(), 2);
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_won_is_told_by_gammas_closed_row_where_the_feed_did_not_say() {
    let harness = Harness::started(1..=2).await;
    harness.sink.told();
    {
        let mut world = harness.world.lock();
        world.markets.insert(2, true);
        world.decided.insert(2);
    }
    sleep(130 * SECOND).await;
    assert!(!harness.lives(2));
    assert_eq!(harness.sink.told(), ["resolved 0x2 22"]);
    let winner = harness.registry.winner(&condition(2));
    assert_eq!(winner.unwrap().as_str(), "22");
    let found = harness.controller.source().find("0x2").remove(0);
    let resolution = found.resolution.unwrap();
    assert_eq!(resolution.source, ResolutionSource::Listing);
    assert_eq!(resolution.at, Some(CLOSED));
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_end_date_in_the_past_ends_nothing() {
    // All rows of this world ended in 2020.
    let harness = Harness::started(1..=3).await;
    sleep(7_200 * SECOND).await;
    assert_eq!(harness.registry.live_market_count(), 3);
    assert_eq!(harness.lookups(), 0);
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn failed_and_short_listings_end_nothing_and_are_not_hot() {
    for (fault, stuck) in [
        (Some(Reply::Status(503, Vec::new(), String::new())), false),
        (Some(Reply::Ok("<html>".to_owned())), false),
        (Some(Reply::Break), false),
        (None, true),
    ] {
        let harness = Harness::started(1..=6).await;
        {
            let mut world = harness.world.lock();
            world.fault = fault;
            world.stuck = stuck;
            // What the stuck page one lacks is not missing.
            world.hidden.extend([1, 2, 3]);
        }
        let before = harness.service.seen().len();
        sleep(3_600 * SECOND).await;
        let requests = harness.service.seen().len() - before;
        assert!(requests > 30, "{requests}: it goes on trying");
        assert!(requests < 3_600, "{requests}: not hotter than one a second");
        assert_eq!(harness.registry.live_market_count(), 6);
        assert_eq!(harness.lookups(), 0);
        assert!(harness.stat("/discovery/failures") > 10);
        assert!(
            harness.controller.health().healthy,
            "it has succeeded before"
        );

        {
            let mut world = harness.world.lock();
            world.fault = None;
            world.stuck = false;
            world.hidden.clear();
            world.markets.insert(7, false);
        }
        sleep(70 * SECOND).await;
        assert!(harness.lives(7), "it recovers by itself");
        harness.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_shrank_to_less_than_half_is_not_compared() {
    let harness = Harness::started(1..=9).await;
    harness.world.lock().hidden.extend(2..=9);
    sleep(62 * SECOND).await;
    assert_eq!(harness.stat("/discovery/missing_markets"), 0);
    assert_eq!(harness.registry.live_market_count(), 9);
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_first_success_it_is_not_healthy_once_it_has_failed() {
    let harness = Harness::new([1], LifecycleConfig::default());
    harness.world.lock().fault = Some(Reply::Status(500, Vec::new(), String::new()));
    harness.controller.start().await.unwrap();
    assert!(harness.controller.health().healthy, "it has not failed yet");
    sleep(SECOND / 2).await;
    assert!(!harness.controller.health().healthy);
    harness.world.lock().fault = None;
    sleep(61 * SECOND).await;
    assert!(harness.controller.health().healthy);
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn assets_said_to_be_gone_are_asked_for_until_gamma_agrees() {
    let harness = Harness::started(1..=3).await;
    let assets: Vec<AssetKey> = [1, 2]
        .into_iter()
        .flat_map(|market| harness.registry.assets_of(&condition(market)))
        .collect();
    let hints = harness.controller.hints();
    hints.confirm_gone(&assets);
    hints.confirm_gone(&assets);
    sleep(5 * SECOND).await;
    // Whether they are closed, and whether they are known at all.
    assert_eq!(harness.lookups(), 2);
    assert!(
        harness.lives(1) && harness.lives(2),
        "gamma says they are open"
    );
    // Gamma agrees about one of them, later. Its listing shows neither.
    harness.world.lock().markets.insert(1, true);
    sleep(20 * SECOND).await;
    assert!(!harness.lives(1) && harness.lives(2));
    sleep(900 * SECOND).await;
    assert!(harness.lives(2));
    assert_eq!(harness.stat("/lookups/pending_closed"), 0);
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_market_that_cannot_be_looked_up_holds_up_no_other() {
    let harness = Harness::started([1]).await;
    {
        let mut world = harness.world.lock();
        world.markets.extend((10..20).map(|market| (market, false)));
        world.hidden.extend(10..20);
        world.poisoned.insert(14);
    }
    for market in 10..20 {
        harness.controller.hints().offer(announced(market));
    }
    sleep(5 * SECOND).await;
    let followed = (10..20).filter(|market| harness.lives(*market)).count();
    assert_eq!(followed, 9);
    assert_eq!(harness.stat("/gamma/batches/set_aside"), 1);
    assert_eq!(harness.stat("/lookups/pending_open"), 1);
    // It is asked for alone, ever more seldom, and found once that helps.
    let asked = || {
        let lines = harness.service.lines();
        let names = |line: &&String| line.contains("condition_ids=0xe");
        lines.iter().filter(names).count()
    };
    let before = asked();
    sleep(600 * SECOND).await;
    assert!(
        (1..=5).contains(&(asked() - before)),
        "{}",
        asked() - before
    );
    harness.world.lock().poisoned.clear();
    sleep(600 * SECOND).await;
    assert!(harness.lives(14));
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_left_its_market_ends_once_the_clob_denies_it() {
    let harness = Harness::started(1..=3).await;
    let condition = condition(2);
    let keys = harness.registry.assets_of(&condition);
    harness
        .registry
        .assign(&keys, crate::registry::ConnectionId(0));
    let mut market = Market::clone(&harness.registry.market(&condition).unwrap());
    market.tokens.truncate(1);
    harness.controller.hints().confirm_gone(&keys[1..]);
    assert!(harness.sink.settled.lock().is_empty(), "it is listed");
    harness.controller.shared.hold().take_in(Listed {
        market,
        figures: Figures::default(),
        tags: None,
    });
    assert_eq!(harness.registry.counts().1, 2);
    harness.controller.hints().confirm_gone(&keys[1..]);
    assert_eq!(*harness.sink.settled.lock(), keys[1..]);
    assert!(harness.lives(2));
    assert_eq!(harness.stat("/tokens_delisted"), 1);
    // Listed again, it comes back under a new key.
    sleep(62 * SECOND).await;
    assert_eq!(*harness.sink.forgotten.lock(), keys[1..]);
    let back = harness.registry.assets_of(&condition);
    assert_eq!((back[0], back.len()), (keys[0], 2));
    assert_ne!(back[1], keys[1]);
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn failed_lookups_are_repeated() {
    let harness = Harness::started(1..=2).await;
    let assets = harness.registry.assets_of(&condition(1));
    {
        let mut world = harness.world.lock();
        world.markets.insert(1, true);
        world.fault = Some(Reply::Status(502, Vec::new(), String::new()));
    }
    harness.controller.hints().confirm_gone(&assets);
    sleep(5 * SECOND).await;
    assert!(harness.stat("/lookups/failures") > 0);
    harness.world.lock().fault = None;
    sleep(50 * SECOND).await;
    assert!(!harness.lives(1));
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cap_takes_the_most_traded_and_fills_up_when_markets_end() {
    let harness = Harness::new(
        1..=50,
        LifecycleConfig {
            selection: at_most(5),
            ..LifecycleConfig::default()
        },
    );
    harness.controller.start().await.unwrap();
    sleep(SECOND).await;
    assert_eq!(harness.registry.live_market_count(), 5);
    let lines = harness.service.lines();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].contains("order=volume24hr"));
    harness.controller.hints().offer(announced(40));
    sleep(20 * SECOND).await;
    assert!(!harness.lives(40));
    // One closes without a word on the feed.
    harness.world.lock().markets.insert(3, true);
    sleep(62 * SECOND).await;
    assert!(!harness.lives(3) && harness.lives(6));
    assert_eq!(harness.registry.live_market_count(), 5);
    assert!(harness.controller.health().healthy);
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn announcements_beyond_the_queue_are_dropped_and_counted() {
    let harness = Harness::new(
        [1],
        LifecycleConfig {
            hint_queue: 10,
            ..LifecycleConfig::default()
        },
    );
    let hints = harness.controller.hints();
    for market in 0..25 {
        hints.offer(announced(market));
    }
    assert_eq!(harness.stat("/hints/received"), 10);
    assert_eq!(harness.stat("/hints/dropped"), 15);
    harness.controller.start().await.unwrap();
    sleep(SECOND).await;
    assert_eq!(harness.stat("/hints/new_market"), 10);
    hints.offer(announced(99));
    assert_eq!(harness.stat("/hints/received"), 11);
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn stops_at_once_wherever_it_is_and_starts_again() {
    let hang = Some(Reply::Hang);
    let refuse = Some(Reply::Status(500, Vec::new(), String::new()));
    for (fault, wait) in [
        (None, SECOND / 1_000),
        // Between two listings.
        (None, 30 * SECOND),
        // In the middle of a request.
        (hang, 5 * SECOND),
        // In a pause after failures.
        (refuse, 20 * SECOND),
    ] {
        let harness = Harness::new(1..=20, LifecycleConfig::default());
        harness.world.lock().fault = fault;
        harness.controller.start().await.unwrap();
        harness.controller.start().await.unwrap();
        sleep(wait).await;
        let begin = Instant::now();
        harness.stop().await;
        harness.stop().await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
        let asked = harness.service.seen().len();
        sleep(600 * SECOND).await;
        assert_eq!(harness.service.seen().len(), asked, "nothing goes on");

        harness.world.lock().fault = None;
        harness.controller.start().await.unwrap();
        sleep(2 * SECOND).await;
        assert_eq!(harness.registry.live_market_count(), 20);
        harness.controller.hints().offer(resolved(1));
        sleep(SECOND).await;
        assert!(!harness.lives(1), "announcements are read again");
        harness.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_given_up_half_way_leaves_no_task_behind() {
    let harness = Harness::started([1]).await;
    drop(harness.controller.stop());
    {
        let mut stop = harness.controller.stop();
        let polled = std::future::poll_fn(|context| {
            std::task::Poll::Ready(stop.as_mut().poll(context).is_pending())
        });
        assert!(polled.await);
    }
    assert_eq!(harness.controller.state(), ComponentState::Stopped);
    let asked = harness.service.seen().len();
    sleep(600 * SECOND).await;
    assert_eq!(harness.service.seen().len(), asked);
    assert_eq!(harness.controller.state(), ComponentState::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_ends_by_itself_is_a_failure_and_a_start_repairs_it() {
    let harness = Harness::started([1]).await;
    let has_failed = || {
        let life = &harness.controller.life;
        life.read(|running| Arc::clone(&running.has_failed))
            .unwrap()
    };
    let died = watched(
        has_failed(),
        watch::channel(false).1,
        std::future::pending(),
    );
    // Its sender is gone: that is a stop, not a failure.
    died.await;
    assert_eq!(harness.controller.state(), ComponentState::Running);
    let (_stop, stopped) = watch::channel(false);
    watched(has_failed(), stopped, async {}).await;
    assert_eq!(harness.controller.state(), ComponentState::Failed);
    assert!(!harness.controller.health().healthy);
    harness.stop().await;
    harness.controller.start().await.unwrap();
    let (_stop, stopped) = watch::channel(false);
    let panics = watched(has_failed(), stopped, async {
        panic!("on purpose");
    });
    assert!(tokio::spawn(panics).await.unwrap_err().is_panic());
    assert_eq!(harness.controller.state(), ComponentState::Failed);
    harness.controller.start().await.unwrap();
    sleep(SECOND).await;
    assert!(harness.controller.health().healthy);
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn stats_are_complete_before_the_start_and_after_the_stop() {
    let harness = Harness::new([1], LifecycleConfig::default());
    let before = harness.controller.stats();
    assert_eq!(before["is_running"], false);
    assert_eq!(before["known_market_count"], 0);
    assert_eq!(before["discovery"]["last_success"], Value::Null);
    harness.controller.start().await.unwrap();
    sleep(SECOND).await;
    harness.stop().await;
    let after = harness.controller.stats();
    assert_eq!(after["known_market_count"], 1);
    let stamp = &after["discovery"]["last_success"];
    assert_eq!(stamp, "2026-02-02T02:40:00.000Z");
    assert_eq!(after["discovery"]["last_crawl"]["skipped"]["malformed"], 0);
    let keys =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(keys(&before), keys(&after));
}
