//! What is right once the venue was listed to its end, and what waits for that.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use polypy_core::catalogue::{MarketStatus, SeatOrder};
use tokio::time::sleep;

use super::harness::{Harness, SECOND, at_most, condition, resolved};
use super::*;
use crate::rest::fake::Reply;

fn ids(markets: impl IntoIterator<Item = u32>) -> BTreeSet<String> {
    let ids = markets.into_iter().map(|market| format!("0x{market:x}"));
    ids.collect()
}

fn of(markets: impl IntoIterator<Item = u32>) -> Selection {
    let mut selection = Selection::default();
    selection.filter.include.ids = markets.into_iter().map(condition).collect();
    selection
}

fn with(selection: Selection) -> LifecycleConfig {
    LifecycleConfig {
        selection,
        ..LifecycleConfig::default()
    }
}

/// Rows come in an order of their own: seats given as they came are given anew, and those
/// who lose theirs are in no doubt.
#[tokio::test(start_paused = true)]
async fn after_the_first_whole_listing_the_first_sit() {
    let mut ending = at_most(20);
    if let Some(rule) = &mut ending.seats {
        rule.order = SeatOrder::End;
    }
    let harness = Harness::new(1..=100, with(ending));
    harness.world.lock().hours_left = (1..=100).map(|n| (n, u64::from(200 - n))).collect();
    harness.controller.start().await.unwrap();
    sleep(5 * SECOND).await;
    assert_eq!(harness.stat("/discovery/complete_crawls"), 1);
    assert_eq!(harness.live(), ids(81..=100));
    assert_eq!(harness.stat("/releases_doubted"), 0);
    // From then on a seat changes hands only where that is clear, and few at once.
    harness.world.lock().hours_left = (1..=100).map(|n| (n, u64::from(n))).collect();
    sleep(61 * SECOND).await;
    assert_eq!(harness.live().intersection(&ids(81..=100)).count(), 18);
    harness.stop().await;
}

/// One that has ended is in nobody's way: no seat is its own, and no number counts it.
#[tokio::test(start_paused = true)]
async fn a_change_seats_nobody_who_has_ended() {
    let harness = Harness::new(1..=9, with(at_most(4)));
    harness.controller.start().await.unwrap();
    sleep(5 * SECOND).await;
    assert_eq!(harness.live(), ids(1..=4));
    harness.controller.hints().offer(resolved(1));
    sleep(SECOND).await;
    let change = harness.controller.select(at_most(3), None, None);
    let selected = change.await.unwrap();
    assert_eq!(
        (selected.followed, selected.added, selected.released),
        (3, 0, 0)
    );
    assert_eq!(harness.live(), ids(2..=4));
    harness.stop().await;
}

/// Two connections of four tokens: four markets.
fn two_sockets(selection: Selection) -> LifecycleConfig {
    let [two, four] = [2, 4].map(|number| NonZeroUsize::new(number).unwrap());
    LifecycleConfig {
        sockets: Some(SocketBudget {
            sockets: two,
            tokens: four,
            replicas: NonZeroUsize::MIN,
        }),
        ..with(selection)
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_may_need_more_connections_waits_for_the_listing_that_tells() {
    let harness = Harness::new(1..=20, two_sockets(at_most(2)));
    let select = |selection| harness.controller.select(selection, None, None);
    harness.controller.start().await.unwrap();
    sleep(SECOND / 2).await;
    assert_eq!(harness.live(), ids(1..=2));
    assert!(!harness.controller.has_listed(), "the seats are taken");
    // What surely has room is not held up.
    assert_eq!(select(at_most(3)).await.unwrap().generation, 1);
    assert!(!harness.controller.has_listed());
    for wide in [Selection::default(), at_most(5)] {
        let refused = select(wide).await;
        let needed = match refused {
            Err(SelectError::TooManySockets { needed, allowed: 2 }) => needed,
            other => panic!("{other:?}"),
        };
        assert!(matches!(needed, 3 | 10), "{needed}");
    }
    assert!(harness.controller.has_listed());
    assert_eq!(harness.live(), ids(1..=3));
    harness.stop().await;
}

/// What is followed as well is not bounded by the seats.
#[tokio::test(start_paused = true)]
async fn a_change_that_names_others_beside_the_seats_waits_too() {
    let harness = Harness::new(1..=20, two_sockets(at_most(2)));
    harness.controller.start().await.unwrap();
    sleep(SECOND / 2).await;
    assert!(!harness.controller.has_listed());
    let mut named = at_most(2);
    named.also.ids = (11..=20).map(condition).collect();
    let refused = harness.controller.select(named, None, None).await;
    assert!(
        matches!(
            refused,
            Err(SelectError::TooManySockets {
                needed: 6,
                allowed: 2
            })
        ),
        "{refused:?}"
    );
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_change_does_not_wait_for_a_venue_that_gives_no_listing() {
    let harness = Harness::new(1..=20, two_sockets(at_most(2)));
    harness.controller.start().await.unwrap();
    sleep(SECOND / 2).await;
    harness.world.lock().fault = Some(Reply::Status(500, Vec::new(), String::new()));
    let begun = Instant::now();
    let select = |selection| harness.controller.select(selection, None, None);
    let selected = select(Selection::default()).await.unwrap();
    assert_eq!(selected.generation, 1);
    let waited = begun.elapsed();
    assert!(waited >= 30 * SECOND && waited < 31 * SECOND, "{waited:?}");
    assert!(!harness.controller.has_listed());
    // Nor is anybody left waiting who asks a controller that stops.
    let begun = Instant::now();
    let (stopped, _) = tokio::join!(select(of([1])), async {
        sleep(SECOND).await;
        harness.stop().await;
    });
    assert!(matches!(stopped, Err(SelectError::Stopped)), "{stopped:?}");
    assert!(begun.elapsed() < 2 * SECOND);
}

/// Nothing is announced of what is not followed, and books of what has ended do not come.
#[tokio::test(start_paused = true)]
async fn what_may_have_ended_while_it_was_not_followed_is_asked_for_at_once() {
    let harness = Harness::new(1..=9, LifecycleConfig::default());
    {
        let mut world = harness.world.lock();
        world.hours_left = [(2, 5), (3, 5)].into();
    }
    harness.controller.start().await.unwrap();
    sleep(SECOND).await;
    let select = |selection| harness.controller.select(selection, None, None);
    select(of(5..=9)).await.unwrap();
    {
        // The first ended long ago, of the second one listing was silent, and the third
        // goes on.
        let mut world = harness.world.lock();
        world.markets.extend([(1, true), (2, true)]);
    }
    sleep(61 * SECOND).await;
    let before = harness.lookups();
    select(of([1, 2, 3, 5])).await.unwrap();
    sleep(2 * SECOND).await;
    assert_eq!(harness.live(), ids([3, 5]));
    assert_eq!(harness.lookups(), before + 1, "all in one request");
    for ended in ["0x1", "0x2"] {
        let found = harness.controller.source().find(ended).remove(0);
        assert_eq!(found.status, MarketStatus::Closed, "{ended}");
    }
    assert_eq!(harness.sink.settled.lock().len(), 4);
    harness.stop().await;
}
