//! The controller against a Gamma in memory, on paused time.

use polypy_core::{AssetKey, LifecycleEvent, MarketResolved};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::bench::{Bench, SECOND, announced, condition, resolved, tokens};
use super::*;
use crate::rest::fake::Reply;

#[tokio::test(start_paused = true)]
async fn finds_all_markets_at_once_and_new_ones_at_the_interval() {
    let bench = Bench::started(1..=5).await;
    assert_eq!(bench.registry.live_market_count(), 5);
    assert_eq!(bench.registry.counts(), (10, 0, 0));
    bench.world.lock().markets.insert(9, false);
    sleep(50 * SECOND).await;
    assert!(!bench.lives(9));
    sleep(12 * SECOND).await;
    assert!(bench.lives(9));
    assert_eq!(bench.stat("/known_market_count"), 6);
    assert_eq!(bench.stat("/discovery/complete_crawls"), 2);
    assert!(bench.controller.health().healthy);
    bench.stop().await;
    assert!(!bench.controller.health().healthy);
}

#[tokio::test(start_paused = true)]
async fn markets_can_be_subscribed_while_the_listing_goes_on() {
    let bench = Bench::new(1..=100, LifecycleConfig::default());
    bench.controller.start().await.unwrap();
    bench.registry.changed().notified().await;
    assert_eq!(bench.registry.live_market_count(), 2);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_resolved_market_ends_at_once_and_is_forgotten_everywhere_later() {
    let bench = Bench::started(1..=3).await;
    let assets = bench.registry.assets_of(&condition(2));
    bench.controller.hints().offer(resolved(2));
    // Gamma takes minutes to agree: its listing does not bring the market back.
    sleep(SECOND / 10).await;
    assert!(!bench.lives(2));
    assert_eq!(*bench.sink.settled.lock(), assets);
    bench.controller.hints().offer(resolved(2));
    sleep(300 * SECOND).await;
    assert!(!bench.lives(2));
    assert_eq!(bench.sink.settled.lock().len(), 2);
    assert_eq!(bench.registry.counts(), (4, 0, 2));
    assert_eq!(bench.stat("/awaiting_forget"), 1);

    bench.world.lock().markets.insert(2, true);
    sleep(3_400 * SECOND).await;
    assert_eq!(bench.registry.counts().2, 0);
    assert_eq!(*bench.sink.forgotten.lock(), assets);
    assert!(bench.registry.market(&condition(2)).is_none());
    assert!(bench.registry.interner().read().get("21").is_none());
    assert_eq!(bench.stat("/forgotten"), 1);
    assert_eq!(bench.stat("/awaiting_forget"), 0);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_resolved_market_is_recognised_by_its_tokens_too() {
    let bench = Bench::started([1]).await;
    bench
        .controller
        .hints()
        .offer(LifecycleEvent::Resolved(MarketResolved {
            condition_id: condition(0xffff),
            asset_ids: tokens(1),
            winner: None,
        }));
    sleep(SECOND / 10).await;
    assert!(!bench.lives(1));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_announced_market_is_looked_up_until_it_is_listed() {
    let bench = Bench::started(1..=2).await;
    let hints = bench.controller.hints();
    {
        let mut world = bench.world.lock();
        world.markets.extend([(7, false), (8, false)]);
        world.unborn.insert(8);
        // Only a look-up can find them.
        world.hidden.extend([7, 8]);
    }
    for market in [7, 8, 7, 1] {
        hints.offer(announced(market));
    }
    sleep(2 * SECOND).await;
    assert!(bench.lives(7) && !bench.lives(8));
    // Both in one request, and no question about what is known already.
    assert_eq!(bench.lookups(), 1);
    bench.world.lock().unborn.clear();
    sleep(10 * SECOND).await;
    assert!(bench.lives(8));
    assert_eq!(bench.stat("/lookups/found"), 2);
    assert_eq!(bench.stat("/lookups/pending_open"), 0);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_market_that_is_never_listed_is_given_up() {
    let bench = Bench::started([1]).await;
    bench.controller.hints().offer(announced(7));
    sleep(900 * SECOND).await;
    assert_eq!(bench.lookups(), 5);
    assert_eq!(bench.stat("/lookups/given_up"), 1);
    assert_eq!(bench.stat("/lookups/pending_open"), 0);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_market_missing_twice_is_asked_for_and_ended_by_the_answer_alone() {
    let bench = Bench::started(1..=4).await;
    {
        let mut world = bench.world.lock();
        world.markets.insert(3, true);
        // Missing from the listing for another reason: it is open.
        world.hidden.insert(4);
    }
    sleep(62 * SECOND).await;
    assert_eq!(
        (bench.lookups(), bench.stat("/discovery/missing_markets")),
        (0, 2)
    );
    assert!(bench.lives(3) && bench.lives(4));
    sleep(62 * SECOND).await;
    assert!(!bench.lives(3) && bench.lives(4));
    sleep(3_000 * SECOND).await;
    assert!(bench.lives(4), "only the venue's word ends a market");
    assert_eq!(bench.stat("/expired_closed"), 1);
    assert_eq!(bench.sink.settled.lock().len(), 2);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_end_date_in_the_past_ends_nothing() {
    // All rows of this world ended in 2020.
    let bench = Bench::started(1..=3).await;
    sleep(7_200 * SECOND).await;
    assert_eq!(bench.registry.live_market_count(), 3);
    assert_eq!(bench.lookups(), 0);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn failed_and_short_listings_end_nothing_and_are_not_hot() {
    for (fault, stuck) in [
        (Some(Reply::Status(503, Vec::new(), String::new())), false),
        (Some(Reply::Ok("<html>".to_owned())), false),
        (Some(Reply::Break), false),
        (None, true),
    ] {
        let bench = Bench::started(1..=6).await;
        {
            let mut world = bench.world.lock();
            world.fault = fault;
            world.stuck = stuck;
            // What the stuck page one lacks is not missing.
            world.hidden.extend([1, 2, 3]);
        }
        let before = bench.service.seen().len();
        sleep(3_600 * SECOND).await;
        let requests = bench.service.seen().len() - before;
        assert!(requests > 30, "{requests}: it goes on trying");
        assert!(requests < 3_600, "{requests}: not hotter than one a second");
        assert_eq!(bench.registry.live_market_count(), 6);
        assert_eq!(bench.lookups(), 0);
        assert!(bench.stat("/discovery/failures") > 10);
        assert!(bench.controller.health().healthy, "it has succeeded before");

        {
            let mut world = bench.world.lock();
            world.fault = None;
            world.stuck = false;
            world.hidden.clear();
            world.markets.insert(7, false);
        }
        sleep(70 * SECOND).await;
        assert!(bench.lives(7), "it recovers by itself");
        bench.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_shrank_to_less_than_half_is_not_compared() {
    let bench = Bench::started(1..=9).await;
    bench.world.lock().hidden.extend(2..=9);
    sleep(62 * SECOND).await;
    assert_eq!(bench.stat("/discovery/missing_markets"), 0);
    assert_eq!(bench.registry.live_market_count(), 9);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_first_success_it_is_not_healthy_once_it_has_failed() {
    let bench = Bench::new([1], LifecycleConfig::default());
    bench.world.lock().fault = Some(Reply::Status(500, Vec::new(), String::new()));
    bench.controller.start().await.unwrap();
    assert!(bench.controller.health().healthy, "it has not failed yet");
    sleep(SECOND / 2).await;
    assert!(!bench.controller.health().healthy);
    bench.world.lock().fault = None;
    sleep(61 * SECOND).await;
    assert!(bench.controller.health().healthy);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn assets_said_to_be_gone_are_asked_for_until_gamma_agrees() {
    let bench = Bench::started(1..=3).await;
    let assets: Vec<AssetKey> = [1, 2]
        .into_iter()
        .flat_map(|market| bench.registry.assets_of(&condition(market)))
        .collect();
    let hints = bench.controller.hints();
    hints.confirm_gone(&assets);
    hints.confirm_gone(&assets);
    sleep(5 * SECOND).await;
    // Whether they are closed, and whether they are known at all.
    assert_eq!(bench.lookups(), 2);
    assert!(bench.lives(1) && bench.lives(2), "gamma says they are open");
    // Gamma agrees about one of them, later. Its listing shows neither.
    bench.world.lock().markets.insert(1, true);
    sleep(20 * SECOND).await;
    assert!(!bench.lives(1) && bench.lives(2));
    sleep(900 * SECOND).await;
    assert!(bench.lives(2));
    assert_eq!(bench.stat("/lookups/pending_closed"), 0);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_market_that_cannot_be_looked_up_holds_up_no_other() {
    let bench = Bench::started([1]).await;
    {
        let mut world = bench.world.lock();
        world.markets.extend((10..20).map(|market| (market, false)));
        world.hidden.extend(10..20);
        world.poisoned.insert(14);
    }
    for market in 10..20 {
        bench.controller.hints().offer(announced(market));
    }
    sleep(5 * SECOND).await;
    let followed = (10..20).filter(|market| bench.lives(*market)).count();
    assert_eq!(followed, 9);
    assert_eq!(bench.stat("/gamma/batches/set_aside"), 1);
    assert_eq!(bench.stat("/lookups/pending_open"), 1);
    // It is asked for alone, ever more seldom, and found once that helps.
    let asked = || {
        let lines = bench.service.lines();
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
    bench.world.lock().poisoned.clear();
    sleep(600 * SECOND).await;
    assert!(bench.lives(14));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_left_its_market_ends_once_the_clob_denies_it() {
    let bench = Bench::started(1..=3).await;
    let condition = condition(2);
    let keys = bench.registry.assets_of(&condition);
    bench
        .registry
        .assign(&keys, crate::registry::ConnectionId(0));
    let mut market = Market::clone(&bench.registry.market(&condition).unwrap());
    market.tokens.truncate(1);
    bench.controller.hints().confirm_gone(&keys[1..]);
    assert!(bench.sink.settled.lock().is_empty(), "it is listed");
    bench.controller.shared.admit(market);
    assert_eq!(bench.registry.counts().1, 2);
    bench.controller.hints().confirm_gone(&keys[1..]);
    assert_eq!(*bench.sink.settled.lock(), keys[1..]);
    assert!(bench.lives(2));
    assert_eq!(bench.stat("/tokens_delisted"), 1);
    // Listed again, it comes back under a new key.
    sleep(62 * SECOND).await;
    assert_eq!(*bench.sink.forgotten.lock(), keys[1..]);
    let back = bench.registry.assets_of(&condition);
    assert_eq!((back[0], back.len()), (keys[0], 2));
    assert_ne!(back[1], keys[1]);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn failed_lookups_are_repeated() {
    let bench = Bench::started(1..=2).await;
    let assets = bench.registry.assets_of(&condition(1));
    {
        let mut world = bench.world.lock();
        world.markets.insert(1, true);
        world.fault = Some(Reply::Status(502, Vec::new(), String::new()));
    }
    bench.controller.hints().confirm_gone(&assets);
    sleep(5 * SECOND).await;
    assert!(bench.stat("/lookups/failures") > 0);
    bench.world.lock().fault = None;
    sleep(50 * SECOND).await;
    assert!(!bench.lives(1));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cap_takes_the_most_traded_and_fills_up_when_markets_end() {
    let bench = Bench::new(
        1..=50,
        LifecycleConfig {
            max_markets: 5,
            ..LifecycleConfig::default()
        },
    );
    bench.controller.start().await.unwrap();
    sleep(SECOND).await;
    assert_eq!(bench.registry.live_market_count(), 5);
    let lines = bench.service.lines();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].contains("order=volume24hr"));
    bench.controller.hints().offer(announced(40));
    sleep(20 * SECOND).await;
    assert!(!bench.lives(40));
    // One closes without a word on the feed.
    bench.world.lock().markets.insert(3, true);
    sleep(62 * SECOND).await;
    assert!(!bench.lives(3) && bench.lives(6));
    assert_eq!(bench.registry.live_market_count(), 5);
    assert!(bench.controller.health().healthy);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn announcements_beyond_the_queue_are_dropped_and_counted() {
    let bench = Bench::new(
        [1],
        LifecycleConfig {
            hint_queue: 10,
            ..LifecycleConfig::default()
        },
    );
    let hints = bench.controller.hints();
    for market in 0..25 {
        hints.offer(announced(market));
    }
    assert_eq!(bench.stat("/hints/received"), 10);
    assert_eq!(bench.stat("/hints/dropped"), 15);
    bench.controller.start().await.unwrap();
    sleep(SECOND).await;
    assert_eq!(bench.stat("/hints/new_market"), 10);
    hints.offer(announced(99));
    assert_eq!(bench.stat("/hints/received"), 11);
    bench.stop().await;
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
        let bench = Bench::new(1..=20, LifecycleConfig::default());
        bench.world.lock().fault = fault;
        bench.controller.start().await.unwrap();
        bench.controller.start().await.unwrap();
        sleep(wait).await;
        let begin = Instant::now();
        bench.stop().await;
        bench.stop().await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
        let asked = bench.service.seen().len();
        sleep(600 * SECOND).await;
        assert_eq!(bench.service.seen().len(), asked, "nothing goes on");

        bench.world.lock().fault = None;
        bench.controller.start().await.unwrap();
        sleep(2 * SECOND).await;
        assert_eq!(bench.registry.live_market_count(), 20);
        bench.controller.hints().offer(resolved(1));
        sleep(SECOND).await;
        assert!(!bench.lives(1), "announcements are read again");
        bench.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_given_up_half_way_leaves_no_task_behind() {
    let bench = Bench::started([1]).await;
    drop(bench.controller.stop());
    {
        let mut stop = bench.controller.stop();
        let polled = std::future::poll_fn(|context| {
            std::task::Poll::Ready(stop.as_mut().poll(context).is_pending())
        });
        assert!(polled.await);
    }
    assert_eq!(bench.controller.state(), ComponentState::Stopped);
    let asked = bench.service.seen().len();
    sleep(600 * SECOND).await;
    assert_eq!(bench.service.seen().len(), asked);
    assert_eq!(bench.controller.state(), ComponentState::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_ends_by_itself_is_a_failure_and_a_start_repairs_it() {
    let bench = Bench::started([1]).await;
    let died = watched(
        Arc::clone(&bench.controller.shared),
        watch::channel(false).1,
        std::future::pending(),
    );
    // Its sender is gone: that is a stop, not a failure.
    died.await;
    assert_eq!(bench.controller.state(), ComponentState::Running);
    let (_stop, stopped) = watch::channel(false);
    watched(Arc::clone(&bench.controller.shared), stopped, async {}).await;
    assert_eq!(bench.controller.state(), ComponentState::Failed);
    assert!(!bench.controller.health().healthy);
    bench.stop().await;
    bench.controller.start().await.unwrap();
    let (_stop, stopped) = watch::channel(false);
    let panics = watched(Arc::clone(&bench.controller.shared), stopped, async {
        panic!("on purpose");
    });
    assert!(tokio::spawn(panics).await.unwrap_err().is_panic());
    assert_eq!(bench.controller.state(), ComponentState::Failed);
    bench.controller.start().await.unwrap();
    sleep(SECOND).await;
    assert!(bench.controller.health().healthy);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn stats_are_complete_before_the_start_and_after_the_stop() {
    let bench = Bench::new([1], LifecycleConfig::default());
    let before = bench.controller.stats();
    assert_eq!(before["is_running"], false);
    assert_eq!(before["known_market_count"], 0);
    assert_eq!(before["discovery"]["last_success"], Value::Null);
    bench.controller.start().await.unwrap();
    sleep(SECOND).await;
    bench.stop().await;
    let after = bench.controller.stats();
    assert_eq!(after["known_market_count"], 1);
    let stamp = &after["discovery"]["last_success"];
    assert_eq!(stamp, "2026-02-02T02:40:00.000Z");
    assert_eq!(after["discovery"]["last_crawl"]["skipped"]["malformed"], 0);
    let keys =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(keys(&before), keys(&after));
}
