//! Which markets are followed, changed while it runs.

use std::collections::BTreeSet;

use polypy_core::catalogue::SeatOrder;
use polypy_core::{Cents, Component, ConditionId, MarketStatus, NotFollowed, StatsSource, Verdict};

use super::*;
use crate::lifecycle::LifecycleConfig;
use crate::lifecycle::harness::{Harness, SECOND, announced, at_most, condition, resolved};

const MINUTE: Duration = Duration::from_secs(60);

/// Markets by their numbers.
pub(super) fn these(numbers: impl IntoIterator<Item = ConditionId>) -> Selection {
    let mut selection = Selection::default();
    // No id would be no check.
    let nobody = ["0xdead".parse().unwrap()];
    selection.filter.include.ids = numbers.into_iter().chain(nobody).collect();
    selection
}

fn of(numbers: impl IntoIterator<Item = u32>) -> Selection {
    these(numbers.into_iter().map(condition))
}

/// Those in which so many dollars are traded a day.
fn at_least(dollars: u64) -> Selection {
    let mut selection = Selection::default();
    selection.filter.min_volume_day = Some(Cents::new(dollars * 100));
    selection
}

fn ids(numbers: impl IntoIterator<Item = u32>) -> BTreeSet<String> {
    let ids = numbers.into_iter().map(|number| format!("0x{number:x}"));
    ids.collect()
}

async fn select(harness: &Harness, choice: Selection) -> Selected {
    harness.controller.select(choice, None, None).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_change_follows_and_releases_what_it_says_and_nothing_else() {
    let harness = Harness::started(1..=20).await;
    harness.sink.told();
    let stays = harness.registry.assets_of(&condition(3));
    let selected = select(&harness, of(1..=5)).await;
    let expected = Selected {
        generation: 1,
        listed: 20,
        followed: 5,
        added: 0,
        released: 15,
    };
    assert_eq!(selected, expected);
    assert_eq!(harness.live(), ids(1..=5));
    let mut told = harness.sink.told();
    told.sort();
    let mut expected: Vec<_> = (6..=20)
        .flat_map(|n| {
            [
                format!("ended 0x{n:x} released"),
                format!("forgotten 0x{n:x} 2"),
            ]
        })
        .collect();
    expected.sort();
    assert_eq!(told, expected);
    // Books first: none is shown that is not fed.
    assert_eq!(harness.sink.forgotten_first.load(Ordering::Relaxed), 30);
    assert_eq!(harness.sink.settled.lock().len(), 0, "nothing has ended");
    assert_eq!(harness.stat("/markets_released"), 15);
    assert_eq!(harness.stat("/markets_awaiting_forget"), 0);
    // An equal one is no other: nothing happens at all.
    let again = select(&harness, of(1..=5)).await;
    assert_eq!((again.generation, again.added, again.released), (1, 0, 0));
    assert_eq!(harness.sink.told(), Vec::<String>::new());
    // Listed again and again, and not followed for that.
    sleep(5 * MINUTE).await;
    assert_eq!(harness.live(), ids(1..=5));
    let selected = select(&harness, of(3..=8)).await;
    assert_eq!((selected.added, selected.released), (3, 2));
    assert_eq!(harness.live(), ids(3..=8));
    assert_eq!(harness.registry.assets_of(&condition(3)), stays);
    assert_eq!(harness.registry.market_count(), 6);
    assert!(harness.sink.told().contains(&"new 0x6".to_owned()));
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn readers_see_what_is_listed_and_why_it_is_followed_or_not() {
    let harness = Harness::started(1..=6).await;
    select(&harness, of([2])).await;
    let source = harness.controller.source();
    let view = source.view();
    assert_eq!((view.len(), source.selection().followed), (6, 1));
    let followed = &source.find("0x2")[0];
    assert_eq!(followed.verdict, Verdict::Followed);
    let keys = harness.registry.assets_of(&condition(2));
    assert_eq!(followed.keys.as_deref(), Some(&keys[..]));
    let other = &source.find("0x3")[0];
    assert_eq!(other.verdict, Verdict::NotFollowed(NotFollowed::Id));
    assert_eq!(other.keys, None);
    let explained = source.explain(other.number).unwrap();
    assert_eq!(explained.generation, 1);
    let checks: Vec<_> = explained.checks.iter().map(|c| (c.key, c.holds)).collect();
    assert_eq!(checks, [("ids", false)]);
    harness.controller.hints().offer(resolved(2));
    sleep(SECOND).await;
    let ended = &source.find("0x2")[0];
    assert_eq!(ended.status, MarketStatus::Resolved);
    // One that has ended is not released: it is kept for a while, as any other.
    select(&harness, of([3])).await;
    assert!(harness.registry.market(&condition(2)).is_some());
    harness.stop().await;
}

/// A process has its part of the venue, and its parts are all of it.
#[tokio::test(start_paused = true)]
async fn every_market_is_followed_by_one_of_the_processes_that_divide_the_venue() {
    let harness = Harness::started(1..=50).await;
    let mut all = BTreeSet::new();
    for part in 0..4 {
        let shard = format!("{part}/4").parse().unwrap();
        let selection = Selection {
            shard: Some(shard),
            ..Selection::default()
        };
        let selected = select(&harness, selection).await;
        let live = harness.live();
        assert_eq!(selected.followed, live.len());
        assert!(live.iter().all(|id| all.insert(id.clone())));
    }
    assert_eq!(all, ids(1..=50));
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn rows_are_judged_by_the_choice_of_their_moment() {
    let harness = Harness::started(1..=4).await;
    select(&harness, of([2, 5])).await;
    harness
        .world
        .lock()
        .markets
        .extend([(5, false), (6, false)]);
    for market in [5, 6] {
        harness.controller.hints().offer(announced(market));
    }
    sleep(5 * SECOND).await;
    assert_eq!(harness.live(), ids([2, 5]));
    // Known by now: nobody asks for it again.
    let before = harness.lookups();
    harness.controller.hints().offer(announced(6));
    sleep(10 * SECOND).await;
    assert_eq!(harness.lookups(), before);
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_newer_change_stops_an_older_one_and_is_carried_out() {
    let harness = Harness::new(1..=1_500, LifecycleConfig::default());
    harness.world.lock().page = 100;
    harness.controller.start().await.unwrap();
    sleep(5 * SECOND).await;
    assert_eq!(harness.live().len(), 1_500);
    let (older, newer) = tokio::join!(harness.controller.select(of(1..=10), None, None), async {
        sleep(2 * PAUSE).await;
        harness.controller.select(of(700..=720), None, None).await
    });
    assert!(matches!(older, Err(SelectError::Superseded)), "{older:?}");
    assert_eq!(newer.unwrap().generation, 2);
    assert_eq!(harness.live(), ids(700..=720));
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_change_whose_maker_has_gone_is_carried_out() {
    let harness = Harness::started(1..=600).await;
    sleep(MINUTE).await;
    {
        let change = harness.controller.select(of([7]), None, None);
        let gave_up = tokio::time::timeout(PAUSE / 2, change).await;
        assert!(gave_up.is_err());
    }
    sleep(SECOND).await;
    assert_eq!(harness.live(), ids([7]));
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_change_that_cannot_be_kept_or_comes_too_late_changes_nothing() {
    let harness = Harness::started(1..=5).await;
    let fails: Keep = Box::new(|| Box::pin(async { Err(io::ErrorKind::StorageFull.into()) }));
    let refused = harness.controller.select(of([1]), None, Some(fails)).await;
    assert!(
        matches!(refused, Err(SelectError::NotKept(_))),
        "{refused:?}"
    );
    assert_eq!(harness.controller.source().selection().generation, 0);
    let (sender, kept) = oneshot::channel();
    let keep: Keep = Box::new(|| {
        Box::pin(async {
            sender.send(()).unwrap();
            Ok(())
        })
    });
    let late = harness
        .controller
        .select(of([1]), Some(7), Some(keep))
        .await;
    let is_late = matches!(late, Err(SelectError::Changed { generation: 0 }));
    assert!(is_late, "{late:?}");
    assert!(kept.await.is_err(), "nothing was kept");
    assert_eq!(harness.live(), ids(1..=5));
    let keep: Keep = Box::new(|| Box::pin(async { Ok(()) }));
    let made = harness
        .controller
        .select(of([1]), Some(0), Some(keep))
        .await;
    assert_eq!(made.unwrap().generation, 1);
    assert_eq!(harness.live(), ids([1]));
    harness.stop().await;
    let stopped = harness.controller.select(of([2]), None, None).await;
    assert!(matches!(stopped, Err(SelectError::Stopped)), "{stopped:?}");
}

#[tokio::test(start_paused = true)]
async fn seats_go_to_the_most_traded_at_a_change_and_stay_until_the_next() {
    let harness = Harness::new(1..=30, LifecycleConfig::default());
    harness.world.lock().traded = (1..=30).map(|n| (n, u64::from(n))).collect();
    harness.controller.start().await.unwrap();
    sleep(2 * SECOND).await;
    select(&harness, at_most(10)).await;
    assert_eq!(harness.live(), ids(21..=30));
    // One ends, and the next one follows; none gets up for one that is traded more.
    harness.world.lock().traded.insert(1, 1_000);
    harness.controller.hints().offer(resolved(25));
    sleep(3 * MINUTE).await;
    assert_eq!(harness.live().len(), 10);
    assert!(harness.live().is_superset(&ids((21..=24).chain(26..=30))));
    let selected = select(&harness, at_most(3)).await;
    assert_eq!(selected.followed, 3);
    assert_eq!(harness.live(), ids([1, 29, 30]));
    // And all at once where there are no seats.
    select(&harness, of(1..=30)).await;
    sleep(2 * SECOND).await;
    assert_eq!(harness.live(), ids((1..=30).filter(|n| *n != 25)));
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_ceases_to_match_is_released_after_a_round_and_many_at_once_after_two() {
    let harness = Harness::new(1..=20, LifecycleConfig::default());
    harness.world.lock().traded = (1..=20).map(|n| (n, 100)).collect();
    harness.controller.start().await.unwrap();
    sleep(2 * SECOND).await;
    select(&harness, at_least(50)).await;
    assert_eq!(harness.live().len(), 20);
    harness.world.lock().traded.insert(20, 1);
    sleep(MINUTE + 5 * SECOND).await;
    assert_eq!(harness.live(), ids(1..=19));
    // Many: once is not believed, and forgotten where the next round says otherwise.
    let before = harness.world.lock().traded.clone();
    let fall = |harness: &Harness| {
        for n in 5..=19 {
            harness.world.lock().traded.insert(n, 0);
        }
    };
    fall(&harness);
    sleep(MINUTE + 2 * SECOND).await;
    assert_eq!(harness.live(), ids(1..=19));
    assert_eq!(harness.stat("/releases_doubted"), 15);
    harness.world.lock().traded = before;
    sleep(MINUTE + 2 * SECOND).await;
    fall(&harness);
    sleep(MINUTE + 2 * SECOND).await;
    assert_eq!(harness.live(), ids(1..=19));
    sleep(MINUTE + 2 * SECOND).await;
    assert_eq!(harness.live(), ids(1..=4));
    // What matches again is followed after a round.
    harness.world.lock().traded.insert(9, 70);
    sleep(MINUTE + 2 * SECOND).await;
    assert_eq!(harness.live(), ids([1, 2, 3, 4, 9]));
    // A change of the choice is never doubted.
    select(&harness, at_least(80)).await;
    assert_eq!(harness.live(), ids(1..=4));
    select(&harness, of([])).await;
    assert_eq!(harness.live(), ids([]));
    assert!(harness.controller.stats().is_object());
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_nobody_follows_is_dropped_once_two_listings_lack_it() {
    let harness = Harness::started(1..=10).await;
    select(&harness, of([1, 2])).await;
    harness.world.lock().hidden.extend([2, 3]);
    sleep(MINUTE).await;
    assert_eq!(harness.stat("/listed_markets"), 10);
    sleep(2 * MINUTE).await;
    assert_eq!(harness.stat("/listed_markets"), 9);
    assert_eq!(harness.live(), ids([1, 2]), "that one is asked for by name");
    harness.stop().await;
}

/// What happens while a change is being kept: it was planned before, and is made after.
fn meanwhile(harness: &Harness, act: impl FnOnce(&Shared) + Send + 'static) -> Option<Keep> {
    let shared = Arc::clone(&harness.controller.shared);
    Some(Box::new(move || {
        act(&shared);
        Box::pin(async { Ok(()) })
    }))
}

#[tokio::test(start_paused = true)]
async fn what_is_listed_between_plan_and_change_is_judged_by_the_change() {
    let harness = Harness::started(1..=4).await;
    let keep = meanwhile(&harness, |shared| {
        for market in [7, 8] {
            assert!(
                shared.hold().take_in(listed(market)),
                "all are followed yet"
            );
        }
    });
    let change = harness.controller.select(of([1, 8]), None, keep);
    change.await.unwrap();
    assert_eq!(harness.live(), ids([1, 8]));
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_seat_of_one_that_ends_between_plan_and_change_is_free() {
    let harness = Harness::new(1..=10, LifecycleConfig::default());
    harness.world.lock().traded = (1..=10).map(|n| (n, u64::from(n))).collect();
    harness.controller.start().await.unwrap();
    sleep(2 * SECOND).await;
    let keep = meanwhile(&harness, |shared| {
        for market in [3, 10] {
            assert!(shared.hold().resolve(&condition(market), None, None));
        }
    });
    let change = harness.controller.select(at_most(3), None, keep);
    change.await.unwrap();
    assert_eq!(harness.live(), ids([8, 9]));
    assert!(!harness.controller.shared.hold().is_full());
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_never_listed_is_listed_at_once_when_more_is_wanted() {
    let config = LifecycleConfig {
        selection: at_most(4),
        ..LifecycleConfig::default()
    };
    let harness = Harness::new(1..=40, config);
    harness.controller.start().await.unwrap();
    sleep(SECOND).await;
    assert_eq!(harness.live().len(), 4);
    select(&harness, Selection::default()).await;
    sleep(5 * SECOND).await;
    assert_eq!(harness.live(), ids(1..=40));
    harness.stop().await;
}

fn listings(harness: &Harness) -> usize {
    let lines = harness.service.lines();
    let is_first = |line: &&String| {
        line.contains("closed=false")
            && !line.contains("condition_ids")
            && !line.contains("after_cursor")
    };
    lines.iter().filter(is_first).count()
}

#[tokio::test(start_paused = true)]
async fn few_markets_are_asked_for_by_name_and_listings_come_every_ten_minutes() {
    let harness = Harness::started(1..=40).await;
    select(&harness, of([1, 2])).await;
    sleep(MINUTE).await;
    let before = listings(&harness);
    sleep(30 * MINUTE).await;
    let made = listings(&harness) - before;
    assert!((2..=4).contains(&made), "{made} in half an hour");
    // One that ends without a word is found out all the same.
    harness.world.lock().markets.insert(2, true);
    sleep(2 * MINUTE).await;
    assert_eq!(harness.live(), ids([1]));
    // Many are listed at each round.
    select(&harness, of(1..=20)).await;
    sleep(MINUTE).await;
    let before = listings(&harness);
    sleep(10 * MINUTE).await;
    assert!(listings(&harness) - before >= 9);
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_followed_each_round_is_a_listing() {
    // Something matches after an hour, whenever a listing was.
    for minutes in [60, 63, 66] {
        let harness = Harness::started(1..=40).await;
        select(&harness, at_least(50)).await;
        assert_eq!(harness.live(), ids([]));
        sleep(minutes * MINUTE).await;
        harness.world.lock().traded.insert(7, 51);
        sleep(2 * MINUTE).await;
        assert_eq!(harness.live(), ids([7]), "{minutes}");
        harness.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn many_releases_are_confirmed_by_another_listing_and_not_by_time() {
    let harness = Harness::new(1..=100, LifecycleConfig::default());
    harness.world.lock().page = 100;
    harness.world.lock().traded = (1..=9).map(|n| (n, 100)).collect();
    harness.controller.start().await.unwrap();
    sleep(2 * SECOND).await;
    select(&harness, at_least(50)).await;
    assert_eq!(harness.live(), ids(1..=9));
    let before = harness.world.lock().traded.clone();
    harness.world.lock().traded = (1..=5).map(|n| (n, 0)).collect();
    for _ in 0..15 {
        if harness.stat("/releases_doubted") == 0 {
            sleep(MINUTE).await;
        }
    }
    assert_eq!(harness.stat("/releases_doubted"), 5);
    // By now they would be asked for by name a few times.
    sleep(4 * MINUTE).await;
    assert_eq!(harness.live(), ids(1..=9));
    harness.world.lock().traded = before;
    sleep(15 * MINUTE).await;
    assert_eq!(harness.live(), ids(1..=9));
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn with_seats_the_first_listing_ends_when_they_are_taken_and_the_next_is_whole() {
    let config = LifecycleConfig {
        selection: at_most(4),
        ..LifecycleConfig::default()
    };
    let harness = Harness::new(1..=40, config);
    harness.controller.start().await.unwrap();
    sleep(SECOND).await;
    assert_eq!(harness.live().len(), 4);
    assert_eq!(harness.stat("/listed_markets"), 4);
    let is_complete = || harness.controller.source().view().is_complete();
    assert!(!is_complete());
    // Nobody waits for the next round to know what else there is.
    sleep(2 * SECOND).await;
    assert_eq!(listings(&harness), 2);
    assert_eq!(harness.stat("/listed_markets"), 40);
    assert!(is_complete());
    assert_eq!(harness.live(), ids(1..=4));
    // One is clearly ahead: it gets a seat after the next listing, and one alone does.
    harness.world.lock().traded = (1..=40).map(|n| (n, u64::from(n))).collect();
    sleep(11 * MINUTE).await;
    let moved = harness.live();
    assert!(moved.contains("0x28"), "{moved:?}");
    assert_eq!(moved.len(), 4);
    harness.stop().await;
}

/// However often a seat is free again: a listing is cut short once.
#[tokio::test(start_paused = true)]
async fn a_seat_that_is_free_again_does_not_cut_the_second_listing_short() {
    let config = LifecycleConfig {
        selection: at_most(4),
        ..LifecycleConfig::default()
    };
    let harness = Harness::new(1..=40, config);
    harness.controller.start().await.unwrap();
    sleep(SECOND / 2).await;
    assert_eq!((listings(&harness), harness.live().len()), (1, 4));
    harness.controller.hints().offer(resolved(1));
    sleep(3 * SECOND).await;
    assert_eq!(listings(&harness), 2);
    assert!(harness.controller.source().view().is_complete());
    assert_eq!(harness.live().len(), 4);
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_first_listing_is_read_to_its_end_for_what_may_stand_there() {
    let mut named = at_most(4);
    named.also.ids = [condition(39)].into_iter().collect();
    let mut ending = at_most(4);
    if let Some(rule) = &mut ending.seats {
        rule.order = SeatOrder::End;
    }
    for (selection, followed) in [(named, 5), (ending, 4)] {
        let is_named = !selection.also.is_empty();
        let config = LifecycleConfig {
            selection,
            ..LifecycleConfig::default()
        };
        let harness = Harness::new(1..=40, config);
        harness.controller.start().await.unwrap();
        sleep(5 * SECOND).await;
        assert_eq!(harness.stat("/listed_markets"), 40);
        assert!(harness.controller.source().view().is_complete());
        assert_eq!(harness.live().len(), followed);
        assert_eq!(harness.lives(39), is_named);
        assert_eq!(listings(&harness), 1);
        harness.stop().await;
    }
}

/// What the venue does and what is chosen, at random, and what must come of it.
#[tokio::test(start_paused = true)]
async fn after_any_changes_the_followed_are_those_that_are_chosen_and_open() {
    for seed in 0..10 {
        let mut random = fastrand::Rng::with_seed(seed);
        let harness = Harness::new(1..=40, LifecycleConfig::default());
        harness.world.lock().page = 10;
        harness.controller.start().await.unwrap();
        let mut chosen: BTreeSet<u32> = (1..=80).collect();
        let mut open: BTreeSet<u32> = (1..=40).collect();
        for _ in 0..30 {
            match random.u8(0..4) {
                0 if open.len() > 10 => {
                    let market = *random.choice(&open).unwrap();
                    open.remove(&market);
                    harness.world.lock().markets.insert(market, true);
                    harness.controller.hints().offer(resolved(market));
                }
                1 => {
                    let market = random.u32(41..=80);
                    if harness.world.lock().markets.insert(market, false).is_none() {
                        open.insert(market);
                    } else {
                        // It was there, and may have ended: it goes on as it was.
                        let is_closed = !open.contains(&market);
                        harness.world.lock().markets.insert(market, is_closed);
                    }
                    harness.controller.hints().offer(announced(market));
                }
                _ => {
                    let share = [0, 1, 4, 10][random.usize(0..4)];
                    chosen = (1..=80).filter(|_| random.u8(0..10) < share).collect();
                    let choice = of(chosen.iter().copied());
                    if random.bool() {
                        select(&harness, choice).await;
                    } else {
                        let change = harness.controller.select(choice, None, None);
                        drop(tokio::time::timeout(PAUSE / 2, change).await);
                    }
                }
            }
            sleep(Duration::from_millis(random.u64(0..1_500))).await;
        }
        // What was announced is listed by the next round.
        sleep(3 * MINUTE).await;
        let expected = chosen.intersection(&open).copied();
        assert_eq!(harness.live(), ids(expected), "seed {seed}");
        harness.stop().await;
    }
}

fn listed(market: u32) -> polypy_core::Listed {
    let json = crate::lifecycle::harness::row(market, false).to_string();
    crate::gamma::Row::parse(&json).listed().unwrap()
}

/// However many take markets in and end them at the same time.
#[test]
fn seats_are_never_exceeded() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let config = LifecycleConfig {
        selection: at_most(5),
        ..LifecycleConfig::default()
    };
    let harness = Harness::new([], config);
    let shared = &harness.controller.shared;
    std::thread::scope(|scope| {
        for thread in 0..2 {
            scope.spawn(move || {
                let handle = runtime_handle();
                let _inside = handle.enter();
                for round in 0..1_000_u32 {
                    let market = thread * 10_000 + round;
                    shared.hold().take_in(listed(market));
                    assert!(shared.registry.live_market_count() <= 5);
                    if round % 3 == 0 {
                        let one = shared.registry.live_conditions().pop();
                        if let Some(one) = one {
                            shared.hold().resolve(&one, None, None);
                        }
                    }
                }
            });
        }
    });
    // Seats that were left are taken, and no more.
    for market in 90_000..90_010 {
        shared.hold().take_in(listed(market));
    }
    assert_eq!(shared.registry.live_market_count(), 5);
}

/// The timers of what ends need one.
fn runtime_handle() -> tokio::runtime::Handle {
    static RUNTIME: std::sync::OnceLock<tokio::runtime::Runtime> = std::sync::OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    });
    runtime.handle().clone()
}
