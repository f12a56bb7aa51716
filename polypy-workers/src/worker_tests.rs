//! The executor: inline, helping and on the worker's thread, and what a panic does
//! in each of them.

use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use polypy_core::{
    BookControl, BookState, Component, EventSink, FeedId, MarketEvent, Side, StaleReason,
    StatsSource,
};

use crate::config::{HashChecking, IntegrityConfig, WorkersConfig};
use crate::testing::{Harness, LIVE, Truth, assets, one_worker, opened_with, stale};

/// Events up to which a delivery is applied inline.
const INLINE: usize = 3;
const QUEUE: usize = 16;

/// An idle worker with one live book, that is never iterated by itself.
fn opened() -> (Harness, Truth) {
    opened_with(WorkersConfig {
        direct_events: INLINE,
        queue_events: NonZeroUsize::new(QUEUE).unwrap(),
        ..one_worker()
    })
}

/// As many changes of one book.
fn changes(truth: &mut Truth, count: usize) -> Vec<MarketEvent> {
    (0..count)
        .map(|step| {
            let (at, to) = (format!("0.4{}", step % 10), (step + 1).to_string());
            truth.change(Side::Bid, &at, &to)
        })
        .collect()
}

/// Queues as many changes as one read brought.
fn bring(harness: &Harness, truth: &mut Truth, count: usize) {
    harness.queue(1, changes(truth, count));
}

#[test]
fn an_idle_workers_events_are_applied_before_the_call_returns_and_counted_alike() {
    let (harness, mut truth) = opened();
    harness.queue(1, [truth.change(Side::Bid, "0.49", "3")]);
    assert!(truth.equals(&harness.view(&truth)));
    assert_eq!(harness.count("hash.passed"), 2);
    let routed = harness.router.stats();
    assert_eq!(routed["messages_routed"], 2);
    assert_eq!(routed["batches_sent"], 2);
    assert_eq!(harness.worker_count("batches_processed"), 2);
    assert_eq!(harness.worker_count("updates_applied"), 1);
}

#[test]
fn a_long_delivery_is_queued_and_so_is_what_comes_behind_it() {
    let (harness, mut truth) = opened();
    bring(&harness, &mut truth, INLINE + 1);
    bring(&harness, &mut truth, 1);
    assert_eq!(harness.depth(), INLINE + 2);
    assert!(!truth.equals(&harness.view(&truth)));
    harness.settle_down();
    assert!(truth.equals(&harness.view(&truth)));
    // It is idle again.
    harness.queue(1, [truth.change(Side::Bid, "0.48", "4")]);
    assert_eq!(harness.depth(), 0);
    assert!(truth.equals(&harness.view(&truth)));
}

#[test]
fn events_are_queued_behind_a_control_message() {
    let (harness, truth) = opened();
    harness
        .router
        .mark_stale(&[truth.key()], StaleReason::Dropped);
    harness.queue(1, [truth.opening()]);
    assert_eq!(harness.depth(), 1);
    assert_eq!(harness.state(&truth), stale(StaleReason::Dropped));
    harness.settle_down();
    assert_eq!(harness.state(&truth), LIVE);
}

#[test]
fn nothing_is_applied_while_a_reader_holds_the_books_and_nobody_waits_for_them() {
    let (harness, mut truth) = opened();
    let held = harness.hold_books();
    // Beyond half of the queue a socket helps, but not for the price of waiting:
    // this thread holds the books itself.
    for read in 1..=QUEUE {
        bring(&harness, &mut truth, 1);
        assert_eq!(harness.depth(), read);
    }
    drop(held);
    harness.settle_down();
    assert!(truth.equals(&harness.view(&truth)));
    assert_eq!(harness.count("suspected"), 0);
}

#[test]
fn a_wrong_books_replacement_is_asked_for_by_the_thread_that_finds_it() {
    let (harness, mut truth) = opened();
    // Lost on the way, and never told again.
    drop(truth.change(Side::Bid, "0.30", "9"));
    bring(&harness, &mut truth, 1);
    assert_eq!(harness.asked.take(), []);
    bring(&harness, &mut truth, 1);
    assert_eq!(harness.state(&truth), stale(StaleReason::Hash));
    assert_eq!(harness.asked.take(), [(truth.key(), StaleReason::Hash)]);

    let (harness, mut truth) = opened();
    drop(truth.change(Side::Bid, "0.30", "9"));
    bring(&harness, &mut truth, 6);
    bring(&harness, &mut truth, 6);
    assert!(harness.depth() < 12, "it was helped");
    assert_eq!(harness.asked.take(), [(truth.key(), StaleReason::Hash)]);
}

#[test]
fn up_to_half_of_its_queue_a_worker_is_left_alone() {
    let (harness, mut truth) = opened();
    for read in 1..=2 {
        bring(&harness, &mut truth, 4);
        assert_eq!(harness.depth(), read * 4);
    }
    assert!(!truth.equals(&harness.view(&truth)));
}

#[test]
fn deep_books_are_helped_with_before_their_levels_fill_the_queue() {
    let (harness, _) = opened();
    let mut truths: Vec<_> = assets(40).iter().map(Truth::new).collect();
    for truth in &mut truths {
        // Beside the four there are, on the finest grid.
        for tick in 1..=116 {
            let at = format!("0.{:04}", 4_700 - tick);
            truth.change(Side::Bid, &at, "5");
        }
    }
    for few in truths.chunks(4) {
        let openings: Vec<_> = few.iter().map(Truth::opening).collect();
        harness.queue(1, openings);
    }
    assert_eq!(harness.router.stats()["messages_dropped"], 0);
    harness.settle_down();
    for truth in &truths {
        assert!(truth.equals(&harness.view(truth)));
    }
}

#[test]
fn sockets_apply_an_endless_flood_themselves_and_drop_none_of_it() {
    let (harness, mut truth) = opened();
    for _ in 0..100 {
        bring(&harness, &mut truth, 4);
        assert!(harness.depth() <= QUEUE / 2, "{}", harness.depth());
    }
    assert_eq!(harness.router.stats()["messages_dropped"], 0);
    harness.settle_down();
    assert!(truth.equals(&harness.view(&truth)));
    assert_eq!(harness.count("suspected"), 0);
    assert_eq!(harness.worker_count("updates_applied"), 400);
    assert_eq!(harness.worker_count("batches_processed"), 101);
}

#[test]
fn a_helper_applies_a_control_message_before_the_events_behind_it() {
    let (harness, mut truth) = opened();
    bring(&harness, &mut truth, 6);
    harness
        .router
        .mark_stale(&[truth.key()], StaleReason::Undecodable);
    harness.queue(1, [truth.opening()]);
    assert_eq!(harness.state(&truth), stale(StaleReason::Undecodable));
    bring(&harness, &mut truth, 3);
    // The changes of before the mark are applied, the snapshot behind it is not yet.
    assert_eq!(harness.depth(), 4);
    assert_eq!(harness.state(&truth), stale(StaleReason::Undecodable));
    harness.settle_down();
    assert_eq!(harness.state(&truth), LIVE);
    assert!(truth.equals(&harness.view(&truth)));
}

#[test]
fn sockets_that_apply_nothing_do_not_help_either() {
    let (harness, mut truth) = opened_with(WorkersConfig {
        direct_events: 0,
        queue_events: NonZeroUsize::new(QUEUE).unwrap(),
        ..one_worker()
    });
    bring(&harness, &mut truth, QUEUE);
    assert_eq!(harness.depth(), QUEUE);
}

/// Fails the worker in the midst of a batch, and says how many events it had.
type Break = fn(&Harness, &mut Truth) -> usize;

const INLINE_PANIC: Break = |harness, truth| {
    harness.manager.inject_panic(0);
    bring(harness, truth, 2);
    2
};

const HELPER_PANIC: Break = |harness, truth| {
    bring(harness, truth, 7);
    harness.manager.inject_panic(0);
    bring(harness, truth, 2);
    7
};

const THREAD_PANIC: Break = |harness, truth| {
    bring(harness, truth, 5);
    bring(harness, truth, 2);
    harness.manager.inject_panic(0);
    harness.iterate();
    5
};

#[test]
fn a_panic_fails_the_worker_on_whichever_thread_and_one_batch_is_lost_and_counted() {
    for panic in [INLINE_PANIC, HELPER_PANIC, THREAD_PANIC] {
        let (harness, mut truth) = opened();
        let lost = panic(&harness, &mut truth);
        assert!(!harness.is_running());
        assert_eq!(harness.state(&truth), stale(StaleReason::WorkerDied));
        assert_eq!(harness.worker_count("messages_lost"), lost as u64);
        assert_eq!(harness.asked.take(), []);

        // What was queued behind it is left; nobody applies anything.
        let left = harness.depth();
        bring(&harness, &mut truth, 1);
        harness.queue(1, [truth.opening()]);
        harness.iterate();
        assert_eq!(harness.depth(), left + 2);

        // An opening from before the restart proves nothing, one from after it does.
        harness.restart_worker();
        assert_eq!(
            harness.asked.take(),
            [(truth.key(), StaleReason::WorkerDied)]
        );
        harness.settle_down();
        assert_eq!(harness.state(&truth), stale(StaleReason::WorkerDied));
        harness.send(1, [truth.opening()]);
        assert_eq!(harness.state(&truth), LIVE);
        assert!(truth.equals(&harness.view(&truth)));
        // Every event is in one of the two, once; of the lost batch one was counted
        // before it panicked.
        let routed = harness.router.stats()["messages_routed"].as_u64().unwrap();
        let processed = harness.worker_count("messages_processed");
        assert_eq!(routed, processed - 1 + lost as u64);
        assert_eq!(harness.worker_count("messages_lost"), lost as u64);
    }
}

#[test]
fn a_panic_of_the_resync_sink_fails_the_worker_and_reaches_no_socket() {
    let (harness, mut truth) = opened();
    drop(truth.change(Side::Bid, "0.30", "9"));
    harness.asked.is_broken.store(true, Ordering::SeqCst);
    bring(&harness, &mut truth, 1);
    bring(&harness, &mut truth, 1);
    assert!(!harness.is_running());
    assert_eq!(harness.worker_count("messages_lost"), 0);
    harness.asked.is_broken.store(false, Ordering::SeqCst);
    harness.restart_worker();
    harness.send(1, [truth.opening()]);
    assert_eq!(harness.state(&truth), LIVE);
}

#[test]
fn a_panic_between_control_messages_loses_none_that_is_final() {
    let harness = Harness::new(one_worker());
    harness.open(1);
    let truths: Vec<_> = assets(3).iter().map(Truth::new).collect();
    harness.send(1, truths.iter().map(Truth::opening).collect::<Vec<_>>());
    let keys: Vec<_> = truths.iter().map(Truth::key).collect();
    let (settled, forgotten) = keys.split_at(3);
    harness.router.settle(settled);
    harness.router.forget(forgotten);
    harness.close(1);
    harness.manager.inject_panic(0);
    harness.iterate();
    assert!(!harness.is_running());
    harness.restart_worker();
    for (at, truth) in truths.iter().enumerate() {
        let expected = (at < settled.len()).then_some(BookState::Settled);
        assert_eq!(harness.state(truth), expected);
    }
    assert_eq!(harness.feeds_known(), 0);
}

#[test]
fn a_panic_loses_no_mark_of_books_that_are_still_to_come() {
    let harness = Harness::new(one_worker());
    harness.open(1);
    let truths: Vec<_> = assets(2).iter().map(Truth::new).collect();
    let openings: Vec<_> = truths.iter().map(Truth::opening).collect();
    let keys: Vec<_> = truths.iter().map(Truth::key).collect();
    let (lost, settled) = keys.split_at(2);
    harness.queue(1, openings.clone());
    harness.router.mark_stale(lost, StaleReason::Dropped);
    harness.router.settle(settled);
    harness.manager.inject_panic(0);
    harness.iterate();
    assert!(!harness.is_running());
    harness.restart_worker();
    harness.settle_down();
    // Whole books of before say nothing of what was lost.
    for truth in &truths {
        let state = harness.state(truth);
        match lost.contains(&truth.key()) {
            true => assert!(matches!(state, Some(BookState::Stale(_))), "{state:?}"),
            false => assert_eq!(state, Some(BookState::Settled)),
        }
    }
    harness.asked.take();
    harness.look_after(Duration::from_secs(6));
    let asked = harness.asked.take();
    let is_asked = |key| asked.iter().any(|(asked, _)| asked == key);
    assert!(lost.iter().all(is_asked));
    harness.send(1, openings);
    assert_eq!(harness.state(&truths[0]), LIVE);
}

#[test]
fn a_lost_batch_is_missed_by_whole_books_that_were_queued_behind_it() {
    let harness = Harness::new(one_worker());
    harness.open(1);
    let [first, mut second] = [0, 1].map(|at| Truth::new(&assets(1)[at]));
    let old = second.opening();
    let change = second.change(Side::Bid, "0.45", "1");
    harness.queue(1, [first.opening(), change]);
    harness.queue(1, [old]);
    harness.manager.inject_panic(0);
    harness.iterate();
    harness.restart_worker();
    harness.settle_down();
    assert_eq!(harness.state(&second), stale(StaleReason::WorkerDied));
    assert!(
        harness
            .asked
            .take()
            .contains(&(second.key(), StaleReason::WorkerDied))
    );
}

#[test]
fn a_whole_book_of_a_lost_batch_is_lost_with_it_though_no_number_was_given_out_since() {
    let (harness, mut truth) = opened_with(WorkersConfig {
        direct_events: INLINE,
        integrity: IntegrityConfig {
            hash: HashChecking::Off,
            ..one_worker().integrity
        },
        ..one_worker()
    });
    harness.open(2);
    let whole = truth.opening();
    let lost = truth.change(Side::Bid, "0.45", "1");
    harness.manager.inject_panic(0);
    harness.queue(2, [whole, lost]);
    harness.restart_worker();
    // Its feed goes on, and its copy has a hole.
    harness.queue(2, [truth.change(Side::Bid, "0.46", "1")]);
    assert_eq!(harness.state(&truth), stale(StaleReason::WorkerDied));
}

#[test]
fn a_worker_that_stays_down_keeps_nothing_of_what_it_is_told() {
    let (harness, truth) = opened();
    harness.give_up_worker();
    for feed in 2..1_000 {
        harness.open(feed);
        harness.queue(feed, [truth.opening()]);
        let scope = FeedId(feed);
        harness
            .router
            .mark_feed_stale(scope, &[truth.key()], StaleReason::Dropped);
        harness.close(feed);
        harness.iterate();
        assert_eq!(harness.depth(), 0);
    }
    assert_eq!(harness.feeds_known(), 1);
    assert_eq!(harness.state(&truth), stale(StaleReason::WorkerDied));
    harness.router.settle(&[truth.key()]);
    harness.iterate();
    assert_eq!(harness.state(&truth), Some(BookState::Settled));
    harness.router.forget(&[truth.key()]);
    harness.iterate();
    assert_eq!(harness.state(&truth), None);
}

#[test]
fn nor_does_it_lose_what_is_final_by_a_panic() {
    let harness = Harness::new(one_worker());
    harness.open(1);
    let truths: Vec<_> = assets(3).iter().map(Truth::new).collect();
    harness.send(1, truths.iter().map(Truth::opening).collect::<Vec<_>>());
    let keys: Vec<_> = truths.iter().map(Truth::key).collect();
    harness.give_up_worker();
    harness.router.settle(&keys);
    harness.close(1);
    harness.manager.inject_panic(0);
    harness.iterate();
    harness.router.mark_stale(&keys, StaleReason::Dropped);
    harness.iterate();
    for truth in &truths {
        assert_eq!(harness.state(truth), Some(BookState::Settled));
    }
    assert_eq!(harness.feeds_known(), 0);
}

#[test]
fn a_failed_workers_queue_fills_and_what_does_not_fit_is_dropped() {
    let (harness, mut truth) = opened();
    harness.manager.inject_panic(0);
    bring(&harness, &mut truth, 1);
    for _ in 0..4 {
        bring(&harness, &mut truth, 5);
    }
    assert_eq!(harness.depth(), QUEUE);
    assert_eq!(harness.router.stats()["messages_dropped"], 4);
}

#[tokio::test]
async fn batches_keep_their_order_whichever_thread_applies_them() {
    const SOCKETS: u64 = 4;
    let harness = Harness::start(WorkersConfig {
        direct_events: INLINE,
        // Short enough for helping to begin, and so long that nothing is dropped if
        // the machine gives a helper's turn to others.
        queue_events: NonZeroUsize::new(4_096).unwrap(),
        ..one_worker()
    })
    .await;
    // A book a socket, of markets of their own: one that is overtaken by its own
    // past is refuted by its hash.
    let tokens = assets(2 * usize::try_from(SOCKETS).unwrap());
    let mut truths: Vec<_> = tokens.iter().step_by(4).map(Truth::new).collect();
    std::thread::scope(|scope| {
        for (feed, truth) in (1..=SOCKETS).zip(&mut truths) {
            let router = &harness.router;
            scope.spawn(move || {
                router.feed_opened(FeedId(feed));
                router.deliver(FeedId(feed), &mut vec![truth.opening()]);
                for read in 0..2_000 {
                    let mut events = changes(truth, 1 + read % 7);
                    router.deliver(FeedId(feed), &mut events);
                }
            });
        }
    });
    harness.router.stop().await;
    assert_eq!(harness.router.stats()["messages_dropped"], 0);
    assert_eq!(harness.count("suspected"), 0);
    for truth in &truths {
        assert_eq!(harness.state(truth), LIVE);
        assert!(truth.equals(&harness.view(truth)));
    }
    harness.manager.stop().await;
}
