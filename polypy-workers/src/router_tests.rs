//! Marks, drops and their order against what is queued.

use std::num::NonZeroUsize;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use polypy_core::{Component, MarketEvent, Side, SuspensionWatch};

use super::*;
use crate::config::WorkersConfig;
use crate::testing::{Harness, LIVE, Truth, assets, one_worker, opened, stale};

fn small(queue_events: usize) -> WorkersConfig {
    WorkersConfig {
        queue_events: NonZeroUsize::new(queue_events).unwrap(),
        ..one_worker()
    }
}

#[test]
fn a_dropped_event_marks_its_book_before_the_call_returns_and_asks_for_it() {
    let bench = Harness::new(small(4));
    let market = assets(1);
    let (mut yes, mut no) = (Truth::new(&market[0]), Truth::new(&market[1]));
    bench.open(1);
    bench.send(1, [yes.opening(), no.opening()]);
    let mut flood: Vec<MarketEvent> = (1..=4)
        .map(|step| yes.change(Side::Bid, "0.49", &step.to_string()))
        .collect();
    flood.push(no.change(Side::Bid, "0.49", "1"));
    flood.push(no.change(Side::Bid, "0.49", "2"));
    bench.queue(1, flood);
    assert_eq!(bench.state(&yes), LIVE);
    assert_eq!(bench.state(&no), stale(StaleReason::Dropped));
    assert_eq!(bench.asked.take(), [(no.key(), StaleReason::Dropped)]);
    let stats = bench.router.stats();
    assert_eq!(stats["messages_dropped"], 2);
    assert_eq!(stats["queue_full_events"], 1);
    assert_eq!(stats["queue_depths"]["worker_0"], 4);
    bench.settle_down();
    assert_eq!(bench.router.stats()["queue_depths"]["worker_0"], 0);
    assert_eq!(bench.state(&no), stale(StaleReason::Dropped));
    bench.send(1, [no.opening()]);
    assert_eq!(bench.state(&no), LIVE);
    assert!(yes.equals(&bench.view(&yes)) && no.equals(&bench.view(&no)));
}

#[test]
fn a_snapshot_queued_before_the_mark_does_not_lift_it() {
    let (bench, truth) = opened();
    let mark = || {
        bench
            .router
            .mark_stale(&[truth.key()], StaleReason::Undecodable);
    };
    bench.queue(1, [truth.opening()]);
    mark();
    bench.settle_down();
    assert_eq!(bench.state(&truth), stale(StaleReason::Undecodable));
    mark();
    bench.queue(1, [truth.opening()]);
    assert_eq!(bench.state(&truth), stale(StaleReason::Undecodable));
    bench.settle_down();
    assert_eq!(bench.state(&truth), LIVE);
}

#[test]
fn a_mark_holds_for_a_book_that_is_still_in_the_queue() {
    let bench = Harness::new(one_worker());
    let truth = Truth::new(&assets(1)[0]);
    bench.open(1);
    bench.queue(1, [truth.opening()]);
    bench
        .router
        .mark_stale(&[truth.key()], StaleReason::Dropped);
    bench.settle_down();
    assert_eq!(bench.state(&truth), stale(StaleReason::Dropped));
}

#[test]
fn a_closed_feed_is_visible_before_any_worker_looks() {
    let (bench, truth) = opened();
    bench
        .router
        .feed_closed(FeedId(1), StaleReason::Resubscribing);
    assert_eq!(bench.state(&truth), stale(StaleReason::Resubscribing));
    bench.settle_down();
    assert_eq!(bench.state(&truth), stale(StaleReason::Resubscribing));
    assert_eq!(bench.router.stats()["feeds_open"], 0);
}

#[test]
fn an_answer_after_a_suspension_waits_behind_what_each_worker_has_queued() {
    let time = Arc::new(AtomicU64::new(0));
    let clock = Arc::clone(&time);
    let read = move || Duration::from_secs(clock.load(Ordering::SeqCst));
    let watch = Arc::new(SuspensionWatch::new(read));
    watch.begin();
    let two = WorkersConfig {
        count: NonZeroUsize::new(2).unwrap(),
        ..one_worker()
    };
    let bench = Harness::watched(two, Arc::clone(&watch));
    let all: Vec<_> = assets(20).iter().map(Truth::new).collect();
    let of_worker = |number| all.iter().find(|truth| bench.worker_of(truth) == number);
    let mut books = [0, 1].map(|number| of_worker(number).unwrap().clone());
    bench.open(1);
    bench.send(1, books.each_ref().map(Truth::opening));
    let states = |books: &[Truth; 2]| books.each_ref().map(|truth| bench.state(truth));
    assert_eq!(states(&books), [LIVE; 2]);

    time.fetch_add(10, Ordering::SeqCst);
    watch.beat();
    let old = [stale(StaleReason::Suspended); 2];
    assert_eq!(states(&books), old);
    // What the venue had sent meanwhile, and behind it the answer to a PING.
    let missed = books
        .each_mut()
        .map(|truth| truth.change(Side::Bid, "0.49", "1"));
    bench.queue(1, missed);
    bench.router.feed_resumed(FeedId(1), watch.count());
    let iterate = |worker: usize| {
        bench.manager.shared().workers[worker].iterate(Duration::ZERO);
    };
    for worker in [0, 0, 1] {
        assert_eq!(states(&books), old);
        iterate(worker);
    }
    assert_eq!(
        states(&books),
        old,
        "one worker has what was missed, the answer waits"
    );
    assert_eq!(bench.depth(), 0);
    iterate(1);
    assert_eq!(states(&books), [LIVE; 2]);
    assert!(books.iter().all(|truth| truth.equals(&bench.view(truth))));
}

#[test]
fn both_tokens_of_a_market_go_to_one_worker_and_order_is_kept() {
    let bench = Harness::new(WorkersConfig {
        count: NonZeroUsize::new(3).unwrap(),
        ..one_worker()
    });
    let mut truths: Vec<_> = assets(20).iter().map(Truth::new).collect();
    bench.open(1);
    bench.queue(1, truths.iter().map(Truth::opening).collect::<Vec<_>>());
    let changes: Vec<_> = (0..200)
        .map(|step| truths[step % 40].change(Side::Bid, "0.49", &step.to_string()))
        .collect();
    bench.send(1, changes);
    for pair in truths.chunks(2) {
        assert_eq!(bench.worker_of(&pair[0]), bench.worker_of(&pair[1]));
        assert!(pair.iter().all(|truth| truth.equals(&bench.view(truth))));
    }
    assert_eq!(bench.count("hash.passed"), 240);
    let stats = bench.router.stats();
    assert_eq!(stats["messages_routed"], 240);
    assert_eq!(stats["batches_sent"], 6);
}

#[test]
fn the_levels_of_queued_books_are_bounded_too() {
    let bench = Harness::new(small(10));
    let mut truths: Vec<_> = assets(5).iter().map(Truth::new).collect();
    for truth in &mut truths {
        for tick in 1..=45 {
            truth.change(Side::Bid, &format!("0.{tick:02}"), "1");
        }
    }
    bench.open(1);
    // Ten books of 48 levels, where 320 levels are allowed.
    bench.queue(1, truths.iter().map(Truth::opening).collect::<Vec<_>>());
    assert_eq!(bench.router.stats()["queue_depths"]["worker_0"], 6);
    assert_eq!(bench.router.stats()["messages_dropped"], 4);
}

#[tokio::test(start_paused = true)]
async fn a_router_that_does_not_run_refuses_counts_and_marks() {
    let (bench, mut truth) = opened();
    bench.router.start().await.unwrap();
    assert!(bench.router.health().healthy);
    bench.router.stop().await;
    assert!(!bench.router.health().healthy);
    bench.router.stop().await;
    bench.send(1, [truth.change(Side::Bid, "0.49", "1")]);
    assert_eq!(bench.router.stats()["routing_errors"], 1);
    assert_eq!(bench.state(&truth), stale(StaleReason::Dropped));
    assert!(bench.asked.take().is_empty());
    bench.router.start().await.unwrap();
    bench.send(1, [truth.opening()]);
    assert_eq!(bench.state(&truth), LIVE);
}

#[tokio::test(start_paused = true)]
async fn a_stopping_router_waits_for_the_queues_but_not_for_ever() {
    let (bench, mut truth) = opened();
    bench.router.start().await.unwrap();
    bench.queue(1, [truth.change(Side::Bid, "0.49", "1")]);
    // Nobody turns the worker: the deadline is all that ends it.
    let begun = tokio::time::Instant::now();
    bench.router.stop().await;
    assert_eq!(begun.elapsed(), WorkersConfig::default().drain_deadline);
    assert_eq!(bench.router.state(), ComponentState::Stopped);
}
