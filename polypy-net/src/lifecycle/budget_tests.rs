//! What is followed where connections are few, and what is known of them.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use polypy_core::catalogue::{NotFollowed, Verdict};
use tokio::time::sleep;

use super::harness::{Harness, SECOND, announced, condition, resolved};
use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// Two connections of four tokens: four markets.
fn two_sockets(markets: impl IntoIterator<Item = u32>) -> LifecycleConfig {
    let [two, four] = [2, 4].map(|number| NonZeroUsize::new(number).unwrap());
    LifecycleConfig {
        selection: of(markets),
        sockets: Some(SocketBudget {
            sockets: two,
            tokens: four,
            replicas: NonZeroUsize::MIN,
        }),
        ..LifecycleConfig::default()
    }
}

fn of(markets: impl IntoIterator<Item = u32>) -> Selection {
    let mut selection = Selection::default();
    selection.filter.include.ids = markets.into_iter().map(condition).collect();
    selection
}

fn ids(markets: impl IntoIterator<Item = u32>) -> BTreeSet<String> {
    let ids = markets.into_iter().map(|market| format!("0x{market:x}"));
    ids.collect()
}

async fn started(markets: impl IntoIterator<Item = u32>, config: LifecycleConfig) -> Harness {
    let harness = Harness::new(markets, config);
    harness.controller.start().await.unwrap();
    sleep(SECOND).await;
    harness
}

#[tokio::test(start_paused = true)]
async fn a_change_that_needs_more_connections_is_refused_with_the_numbers() {
    let harness = started(1..=20, two_sockets(1..=3)).await;
    let is_kept = Arc::<AtomicBool>::default();
    let keep = || -> Keep {
        let is_kept = Arc::clone(&is_kept);
        Box::new(move || {
            is_kept.store(true, Ordering::Relaxed);
            Box::pin(async { Ok(()) })
        })
    };
    let refused = harness
        .controller
        .select(of(1..=5), None, Some(keep()))
        .await;
    match refused {
        Err(SelectError::TooManySockets { needed, allowed }) => {
            assert_eq!((needed, allowed), (3, 2));
        }
        other => panic!("{other:?}"),
    }
    assert!(
        !is_kept.load(Ordering::Relaxed),
        "nothing is kept of what is refused"
    );
    assert_eq!(harness.live(), ids(1..=3));
    assert_eq!(harness.controller.source().selection().generation, 0);
    let selected = harness
        .controller
        .select(of(4..=7), None, Some(keep()))
        .await
        .unwrap();
    assert_eq!((selected.added, selected.released), (4, 3));
    assert!(is_kept.load(Ordering::Relaxed));
    assert_eq!(harness.live(), ids(4..=7));
    harness.stop().await;
}

/// What goes makes room for what comes, wherever the two are listed.
#[tokio::test(start_paused = true)]
async fn no_change_has_more_connections_on_its_way_than_there_may_be() {
    let harness = started(1..=8, two_sockets(5..=8)).await;
    harness.sink.told();
    harness
        .controller
        .select(of(1..=4), None, None)
        .await
        .unwrap();
    let told = harness.sink.told();
    let first_new = told
        .iter()
        .position(|word| word.starts_with("new"))
        .unwrap();
    let last_gone = told
        .iter()
        .rposition(|word| word.starts_with("forgotten"))
        .unwrap();
    assert!(last_gone < first_new, "{told:?}");
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn where_connections_are_used_up_nothing_more_is_followed_until_some_are_left() {
    let harness = started(1..=6, two_sockets(1..=9)).await;
    assert_eq!(harness.live(), ids(1..=4));
    let source = harness.controller.source();
    let left_out = |market: u32| source.find(&format!("0x{market:x}"))[0].clone();
    for market in [5, 6] {
        let found = left_out(market);
        assert_eq!(found.verdict, Verdict::NotFollowed(NotFollowed::Sockets));
        let checks = source.explain(found.number).unwrap().checks;
        let last = checks.last().unwrap();
        assert_eq!((last.key, last.holds), ("sockets", false), "{checks:?}");
    }
    assert_eq!(
        harness
            .controller
            .verdicts()
            .not_followed(NotFollowed::Sockets),
        2
    );
    // Neither by an announcement nor by rounds.
    harness.world.lock().markets.insert(7, false);
    harness.controller.hints().offer(announced(7));
    sleep(5 * MINUTE).await;
    assert_eq!(harness.live(), ids(1..=4));
    harness.world.lock().markets.insert(2, true);
    harness.controller.hints().offer(resolved(2));
    sleep(2 * MINUTE).await;
    assert_eq!(harness.live(), ids([1, 3, 4, 5]));
    assert_eq!(
        left_out(6).verdict,
        Verdict::NotFollowed(NotFollowed::Sockets)
    );
    harness.stop().await;
}

/// One that lists all is as good as an announcement, and the only way while none comes.
#[tokio::test(start_paused = true)]
async fn while_no_connection_is_open_each_round_is_a_listing() {
    let harness = Harness::new(
        1..=40,
        LifecycleConfig {
            selection: of([1]),
            ..LifecycleConfig::default()
        },
    );
    harness.controller.start().await.unwrap();
    sleep(SECOND).await;
    let listings = || harness.stat("/discovery/complete_crawls");
    let at_first = listings();
    sleep(5 * MINUTE).await;
    assert_eq!(listings(), at_first, "announcements bring what is new");
    // Something is followed all the same.
    harness.is_silent.store(true, Ordering::Relaxed);
    sleep(5 * MINUTE).await;
    assert_eq!(harness.live(), ids([1]));
    assert!(
        listings() >= at_first + 4,
        "{} then {}",
        at_first,
        listings()
    );
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_change_has_added_is_new_for_a_minute() {
    let harness = Harness::started(1..=20).await;
    assert_eq!(
        harness.controller.recently_added(),
        0,
        "the first listing is no change"
    );
    harness
        .controller
        .select(of(1..=5), None, None)
        .await
        .unwrap();
    assert_eq!(harness.controller.recently_added(), 0);
    harness
        .controller
        .select(of(3..=9), None, None)
        .await
        .unwrap();
    assert_eq!(harness.controller.recently_added(), 8);
    sleep(MINUTE).await;
    assert_eq!(harness.controller.recently_added(), 0);
    let verdicts = harness.controller.verdicts();
    assert_eq!((verdicts.followed(), verdicts.open()), (7, 20));
    assert_eq!(verdicts.not_followed(NotFollowed::Id), 13);
    harness.stop().await;
}
