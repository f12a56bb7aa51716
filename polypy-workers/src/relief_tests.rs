use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};

use polypy_core::{BookControl, Side, StaleReason, StatsSource};

use crate::config::WorkersConfig;
use crate::testing::{Harness, LIVE, Truth, assets, one_worker, opened_with, stale};

const QUEUE: usize = 16;

/// A worker with a short queue and one live book, that is never turned by itself.
fn opened() -> (Harness, Truth) {
    opened_with(WorkersConfig {
        direct_events: 1,
        queue_events: NonZeroUsize::new(QUEUE).unwrap(),
        ..one_worker()
    })
}

/// Queues as many changes as one read brought.
fn bring(bench: &Harness, truth: &mut Truth, events: usize) {
    let at = |step: usize| format!("0.4{}", step % 10);
    let changes: Vec<_> = (0..events)
        .map(|step| truth.change(Side::Bid, &at(step), &(step + 1).to_string()))
        .collect();
    bench.queue(1, changes);
}

#[test]
fn up_to_half_of_its_queue_a_worker_is_left_alone() {
    let (bench, mut truth) = opened();
    for read in 1..=4 {
        bring(&bench, &mut truth, 2);
        assert_eq!(bench.depth(), read * 2);
    }
    assert!(!truth.equals(&bench.view(&truth)));
}

#[test]
fn deep_books_are_helped_with_before_their_levels_fill_the_queue() {
    let (bench, _) = opened();
    let mut truths: Vec<_> = assets(20).iter().map(Truth::new).collect();
    for truth in &mut truths {
        // Beside the four there are, on the finest grid.
        for tick in 1..=116 {
            let at = format!("0.{:04}", 4_700 - tick);
            truth.change(Side::Bid, &at, "5");
        }
    }
    for pair in truths.chunks(2) {
        let openings: Vec<_> = pair.iter().map(Truth::opening).collect();
        bench.queue(1, openings);
    }
    assert_eq!(bench.router.stats()["messages_dropped"], 0);
    bench.settle_down();
    for truth in &truths {
        assert!(truth.equals(&bench.view(truth)));
    }
}

#[test]
fn what_comes_without_end_is_applied_by_who_brings_it_and_none_of_it_is_shed() {
    let (bench, mut truth) = opened();
    for _ in 0..100 {
        bring(&bench, &mut truth, 3);
        assert!(bench.depth() <= QUEUE / 2, "{}", bench.depth());
    }
    assert_eq!(bench.router.stats()["messages_dropped"], 0);
    bench.settle_down();
    assert!(truth.equals(&bench.view(&truth)));
    assert_eq!(bench.count("doubts"), 0);
    let stats = bench.manager.stats();
    assert_eq!(stats["worker_stats"]["0"]["updates_applied"], 300);
    assert_eq!(stats["worker_stats"]["0"]["batches_processed"], 101);
}

#[test]
fn what_was_said_of_a_book_is_heard_before_what_is_applied_in_its_workers_place() {
    let (bench, mut truth) = opened();
    bring(&bench, &mut truth, 6);
    bench
        .router
        .mark_stale(&[truth.key()], StaleReason::Undecodable);
    bench.queue(1, [truth.opening()]);
    assert_eq!(bench.state(&truth), stale(StaleReason::Undecodable));
    bring(&bench, &mut truth, 3);
    // The changes of before the mark are applied, the snapshot behind it is not yet.
    assert!(bench.depth() < 10);
    bench.settle_down();
    assert_eq!(bench.state(&truth), LIVE);
    assert!(truth.equals(&bench.view(&truth)));
}

#[test]
fn a_panic_stays_inside_and_kills_the_worker_instead_of_the_socket() {
    let (bench, mut truth) = opened();
    bring(&bench, &mut truth, 8);
    bench.manager.inject_panic(0);
    bring(&bench, &mut truth, 2);
    assert_eq!(bench.state(&truth), stale(StaleReason::WorkerDied));
    // Nothing more is applied to books that are half done.
    let before = bench.depth();
    bring(&bench, &mut truth, 2);
    assert_eq!(bench.depth(), before + 2);
    assert!(catch_unwind(AssertUnwindSafe(|| bench.iterate())).is_err());
    // The batch that was lost is known to whoever heals.
    assert_eq!(bench.abandoned(), 8);
}

#[test]
fn a_dead_workers_queue_fills_and_is_shed_by_the_rule() {
    let (bench, mut truth) = opened();
    bench.kill_worker();
    for _ in 0..4 {
        bring(&bench, &mut truth, 5);
    }
    assert_eq!(bench.depth(), QUEUE);
    assert_eq!(bench.router.stats()["messages_dropped"], 4);
}

#[test]
fn a_wrong_books_replacement_is_asked_for_by_the_worker_without_delay() {
    let (bench, mut truth) = opened();
    // Lost on the way, and never told again.
    drop(truth.change(Side::Bid, "0.30", "9"));
    bring(&bench, &mut truth, 6);
    bring(&bench, &mut truth, 6);
    assert!(bench.depth() < 12);
    assert_eq!(bench.state(&truth), stale(StaleReason::Hash));
    assert!(bench.asked.take().is_empty());
    bench.iterate_patiently();
    assert_eq!(bench.asked.take(), [(truth.key(), StaleReason::Hash)]);
}

#[test]
fn where_sockets_apply_nothing_they_do_not_help_either() {
    let bench = Harness::new(WorkersConfig {
        direct_events: 0,
        queue_events: NonZeroUsize::new(QUEUE).unwrap(),
        ..one_worker()
    });
    let mut truth = Truth::new(&assets(1)[0]);
    bench.open(1);
    bench.send(1, [truth.opening()]);
    bring(&bench, &mut truth, QUEUE);
    assert_eq!(bench.depth(), QUEUE);
}
