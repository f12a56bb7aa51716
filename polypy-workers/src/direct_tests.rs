use std::panic::{AssertUnwindSafe, catch_unwind};

use polypy_core::{BookControl, EventSink, FeedId, Side, StaleReason, StatsSource};

use crate::config::WorkersConfig;
use crate::testing::{Harness, LIVE, Truth, one_worker, opened_with, stale};

const MOST: usize = 3;

/// An idle worker with one live book.
fn opened() -> (Harness, Truth) {
    opened_with(WorkersConfig {
        direct_events: MOST,
        ..one_worker()
    })
}

#[test]
fn an_idle_workers_events_are_applied_before_the_call_returns_and_counted_alike() {
    let (bench, mut truth) = opened();
    bench.queue(1, [truth.change(Side::Bid, "0.49", "3")]);
    assert!(truth.equals(&bench.view(&truth)));
    assert_eq!(bench.count("passed"), 2);
    let (routed, stats) = (bench.router.stats(), bench.manager.stats());
    assert_eq!(routed["messages_routed"], 2);
    assert_eq!(routed["batches_sent"], 2);
    assert_eq!(stats["worker_stats"]["0"]["batches_processed"], 2);
    assert_eq!(stats["worker_stats"]["0"]["updates_applied"], 1);
}

#[test]
fn a_long_delivery_is_queued_and_so_is_what_comes_behind_it() {
    let (bench, mut truth) = opened();
    let mut change = || truth.change(Side::Bid, "0.49", "3");
    bench.queue(1, (0..=MOST).map(|_| change()).collect::<Vec<_>>());
    bench.queue(1, [change()]);
    assert_eq!(bench.depth(), 5);
    assert!(!truth.equals(&bench.view(&truth)));
    bench.settle_down();
    assert!(truth.equals(&bench.view(&truth)));
    // It is idle again.
    bench.queue(1, [truth.change(Side::Bid, "0.48", "4")]);
    assert_eq!(bench.depth(), 0);
    assert!(truth.equals(&bench.view(&truth)));
}

#[test]
fn what_was_said_of_a_book_is_heard_before_what_comes_after_it() {
    let (bench, truth) = opened();
    let stale_by = |reason| bench.router.mark_stale(&[truth.key()], reason);
    stale_by(StaleReason::Dropped);
    bench.queue(1, [truth.opening()]);
    assert_eq!(bench.depth(), 1);
    assert_eq!(bench.state(&truth), stale(StaleReason::Dropped));
    bench.settle_down();
    assert_eq!(bench.state(&truth), LIVE);
}

#[test]
fn nothing_is_applied_while_a_reader_or_the_worker_holds_the_books() {
    let (bench, mut truth) = opened();
    let held = bench.hold_books();
    bench.queue(1, [truth.change(Side::Bid, "0.49", "3")]);
    drop(held);
    assert_eq!(bench.depth(), 1);
    // What comes behind it waits for it.
    bench.queue(1, [truth.change(Side::Bid, "0.49", "4")]);
    assert_eq!(bench.depth(), 2);
}

#[test]
fn a_wrong_books_replacement_is_asked_for_by_the_worker_without_delay() {
    let (bench, mut truth) = opened();
    let lost = truth.change(Side::Bid, "0.40", "9");
    drop(lost);
    bench.queue(1, [truth.change(Side::Bid, "0.45", "7")]);
    bench.queue(1, [truth.change(Side::Bid, "0.44", "7")]);
    assert_eq!(bench.state(&truth), stale(StaleReason::Hash));
    assert!(bench.asked.take().is_empty());
    // Long before its patience ends: the test would take an hour.
    bench.iterate_patiently();
    assert_eq!(bench.asked.take(), [(truth.key(), StaleReason::Hash)]);
}

#[test]
fn a_panic_stays_inside_and_kills_the_worker_instead_of_the_socket() {
    let (bench, mut truth) = opened();
    bench.manager.inject_panic(0);
    bench.queue(1, [truth.change(Side::Bid, "0.49", "3")]);
    assert_eq!(bench.state(&truth), stale(StaleReason::WorkerDied));
    // Nothing more is applied to books that are half done.
    bench.queue(1, [truth.opening()]);
    assert_eq!(bench.depth(), 1);
    assert!(catch_unwind(AssertUnwindSafe(|| bench.iterate())).is_err());
    let lost = &bench.manager.stats()["worker_stats"]["0"]["messages_lost"];
    assert_eq!(*lost, 1);
}

#[test]
fn a_dead_worker_is_not_stood_in_for() {
    let (bench, mut truth) = opened();
    bench.kill_worker();
    let mut events = vec![truth.change(Side::Bid, "0.49", "3")];
    bench.router.deliver(FeedId(1), &mut events);
    assert_eq!(bench.depth(), 1);
}
