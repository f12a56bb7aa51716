//! What a feed sent before is not sent again: whole books that lack it, frames that come
//! again, and what nobody would ask for.

use std::time::Duration;

use polypy_core::{BookControl, EventSink, FeedId, MarketEvent, Side, StaleReason};

use super::arrival_tests::{check_never_wrong, told_by};
use crate::config::HashChecking;
use crate::testing::{
    Harness, LIVE, Truth, altered, assets, one_worker, opened, opened_with, stale,
};

/// A book without hashes that the feeds 1 to `count` bring, a whole book of before,
/// and a change that all of them have brought since.
fn unverified_by(count: u64) -> (Harness, Truth, MarketEvent) {
    let mut config = one_worker();
    config.integrity.hash = HashChecking::Off;
    let (bench, mut truth) = opened_with(config);
    let old = truth.opening();
    let change = truth.change(Side::Bid, "0.45", "1");
    bench.send(1, [change.clone()]);
    for feed in 2..=count {
        bench.open(feed);
        bench.send(feed, [old.clone(), change.clone()]);
    }
    assert!(truth.equals(&bench.view(&truth)));
    (bench, truth, old)
}

/// Whatever a feed has brought before is not brought again: with a book of before that,
/// none is live and wrong, and it is asked for.
#[track_caller]
fn check_old_book(bench: &Harness, truth: &mut Truth, feed: u64, old: MarketEvent) {
    bench.asked.take();
    bench.send(feed, [old]);
    check_never_wrong(bench, truth);
    bench.send(feed, [truth.change(Side::Bid, "0.43", "3")]);
    assert_eq!(bench.state(truth), stale(StaleReason::Dropped));
    bench.look_after(Duration::from_secs(6));
    assert_eq!(bench.asked.take(), [(truth.key(), StaleReason::Dropped)]);
    bench.send(feed, [truth.snapshot()]);
    assert_eq!(bench.state(truth), LIVE);
    assert!(truth.equals(&bench.view(truth)));
}

#[test]
fn a_whole_book_older_than_what_its_feed_brought_before_is_asked_for_again() {
    for brings_more in [false, true] {
        let (bench, mut truth, old) = unverified_by(1);
        let MarketEvent::Book(mut fetched) = truth.snapshot() else {
            unreachable!()
        };
        fetched.bids.clear();
        bench.audit(MarketEvent::Book(fetched));
        assert_eq!(bench.state(&truth), stale(StaleReason::Audit));
        if brings_more {
            bench.send(1, [truth.change(Side::Bid, "0.44", "2")]);
        }
        check_old_book(&bench, &mut truth, 1, old);
    }
}

#[test]
fn a_standby_is_not_replaced_by_a_late_whole_book_of_its_own_feed() {
    let (bench, truth, old) = unverified_by(2);
    bench.send(2, [old]);
    bench.close(1);
    bench.settle_down();
    assert_eq!(bench.state(&truth), LIVE);
    assert!(truth.equals(&bench.view(&truth)));
    bench.look_after(Duration::from_secs(3));
    assert_eq!(bench.state(&truth), LIVE, "the other feed keeps it whole");
    assert!(truth.equals(&bench.view(&truth)));
    assert_eq!(bench.asked.take(), []);
}

#[test]
fn a_book_that_is_catching_up_is_not_set_back_by_a_late_one_of_its_own_feed() {
    let (bench, mut truth, _) = unverified_by(1);
    let behind = truth.snapshot();
    let changes = [("0.44", "2"), ("0.43", "3"), ("0.42", "4")]
        .map(|(at, to)| truth.change(Side::Bid, at, to));
    bench.send(1, changes.clone());
    bench.close(1);
    bench.settle_down();
    bench.asked.take();
    bench.open(2);
    let [first, second, last] = changes;
    bench.send(2, [behind.clone(), first, second]);
    bench.send(2, [behind]);
    check_never_wrong(&bench, &truth);
    bench.send(2, [last]);
    assert_eq!(bench.state(&truth), LIVE, "it has come as far as before");
    assert!(truth.equals(&bench.view(&truth)));
    assert_eq!(bench.asked.take(), []);
}

#[test]
fn the_feed_of_a_detached_book_has_sent_what_is_shown_of_it() {
    let (bench, mut truth, old) = unverified_by(2);
    // Ahead of the other feed, on which the book is kept whole.
    let ahead = truth.change(Side::Bid, "0.44", "2");
    bench.send(1, [ahead]);
    let key = truth.key();
    bench
        .router
        .mark_feed_stale(FeedId(1), &[key], StaleReason::Dropped);
    bench.settle_down();
    bench.close(2);
    bench.settle_down();
    assert_ne!(bench.state(&truth), LIVE);
    bench.send(1, [old]);
    check_never_wrong(&bench, &truth);
    bench.send(1, [truth.change(Side::Bid, "0.43", "3")]);
    check_never_wrong(&bench, &truth);
    bench.send(1, [truth.snapshot()]);
    assert_eq!(bench.state(&truth), LIVE);
    assert!(truth.equals(&bench.view(&truth)));
}

#[test]
fn what_a_stale_book_was_sent_completes_a_whole_book_that_is_older() {
    let (bench, mut truth, _) = unverified_by(1);
    bench
        .router
        .mark_stale(&[truth.key()], StaleReason::Dropped);
    bench.send(1, [truth.change(Side::Bid, "0.44", "2")]);
    let between = truth.snapshot();
    bench.send(1, [truth.change(Side::Bid, "0.43", "3")]);
    bench.send(1, [between]);
    assert_eq!(bench.state(&truth), LIVE);
    assert!(truth.equals(&bench.view(&truth)));
}

#[test]
fn a_loss_before_anything_was_sent_is_missed_by_an_older_first_book() {
    let bench = Harness::new(one_worker());
    let mut truth = Truth::new(&assets(1)[0]);
    bench.open(1);
    let old = truth.opening();
    truth.change(Side::Bid, "0.45", "1");
    bench
        .router
        .mark_feed_stale(FeedId(1), &[truth.key()], StaleReason::Dropped);
    bench.send(1, [truth.change(Side::Bid, "0.44", "2")]);
    check_old_book(&bench, &mut truth, 1, old);
}

#[test]
fn a_dead_worker_forgets_no_hole_of_any_feed() {
    for feed in [1, 2] {
        let (bench, mut truth, old) = unverified_by(2);
        bench.manager.inject_panic(0);
        bench.queue(1, [truth.change(Side::Bid, "0.44", "2")]);
        bench.iterate();
        bench.restart_worker();
        bench.send(feed, [truth.change(Side::Bid, "0.44", "3")]);
        check_old_book(&bench, &mut truth, feed, old);
    }
}

#[test]
fn a_copy_that_a_dying_worker_left_half_done_never_fills_in() {
    let (bench, mut truth, _) = unverified_by(1);
    bench.open(2);
    // The worker dies behind the whole book, and the change is lost.
    bench.manager.inject_panic(0);
    let whole = truth.snapshot();
    bench.queue(2, [whole, truth.change(Side::Bid, "0.44", "2")]);
    bench.iterate();
    bench.restart_worker();
    bench.send(1, [truth.snapshot()]);
    assert_eq!(bench.state(&truth), LIVE);
    bench.send(2, [truth.change(Side::Bid, "0.42", "4")]);
    bench.close(1);
    bench.settle_down();
    check_never_wrong(&bench, &truth);
    assert_eq!(bench.state(&truth), stale(StaleReason::Disconnected));
    assert!(!bench.asked.take().is_empty());
}

#[test]
fn a_feeds_hole_is_remembered_beside_other_feeds_and_whole_books_of_no_use() {
    for others in [0, 3] {
        let (bench, mut truth, old) = unverified_by(2);
        bench.queue(2, [truth.opening()]);
        bench
            .router
            .mark_feed_stale(FeedId(2), &[truth.key()], StaleReason::Dropped);
        bench.settle_down();
        let next = truth.change(Side::Bid, "0.44", "2");
        for feed in 3..3 + others {
            bench.open(feed);
            bench.send(feed, [next.clone()]);
        }
        bench.send(1, [next.clone()]);
        bench.send(2, [next]);
        // The whole book; the changes are kept.
        assert_eq!(bench.count("late_frames"), 1);
        bench.send(2, [old]);
        bench.close(1);
        bench.settle_down();
        check_never_wrong(&bench, &truth);
        bench.send(2, [truth.change(Side::Bid, "0.43", "3")]);
        check_never_wrong(&bench, &truth);
        assert!(!bench.asked.take().is_empty());
    }
}

#[test]
fn a_frame_that_comes_again_behind_a_whole_book_of_its_millisecond_is_ambiguous() {
    for is_stale in [false, true] {
        let (bench, mut truth) = opened();
        let first = truth.change(Side::Bid, "0.48", "10");
        let second = truth.change_within(Side::Bid, "0.48", "20");
        bench.send(1, [first.clone(), second.clone()]);
        if is_stale {
            bench
                .router
                .mark_stale(&[truth.key()], StaleReason::Dropped);
        }
        bench.send(1, [truth.snapshot()]);
        assert_eq!(bench.state(&truth), LIVE);
        bench.send(1, [first]);
        check_never_wrong(&bench, &truth);
        assert_eq!(bench.count("ambiguous_copies"), 1);
        bench.send(1, [second]);
        assert_eq!(bench.state(&truth), LIVE);
        assert!(truth.equals(&bench.view(&truth)));
    }
}

#[test]
fn half_a_frame_that_comes_again_clears_nothing_of_an_unverified_book() {
    let mut config = one_worker();
    config.integrity.hash = HashChecking::Off;
    let bench = Harness::new(config);
    bench.open(1);
    let mut truth = Truth::new(&assets(1)[0]);
    let first = truth.opening();
    bench.send(1, [truth.change_within(Side::Bid, "0.45", "1")]);
    bench.send(1, [first]);
    assert_eq!(bench.state(&truth), stale(StaleReason::Hash));
    let half = truth.change(Side::Bid, "0.46", "2");
    let half = altered(&half, |change| change.last_in_frame = false);
    bench.send(1, [half.clone()]);
    bench.send(1, [half]);
    check_never_wrong(&bench, &truth);
}

#[test]
fn catching_up_says_nothing_of_a_change_that_may_be_missing() {
    for was_looked_at in [false, true] {
        let (bench, mut truth, old) = unverified_by(1);
        bench.close(1);
        bench.open(2);
        let missing = truth.clone();
        let early = altered(&truth.change(Side::Bid, "0.40", "9"), |change| {
            change.timestamp = polypy_core::Timestamp::from_millis(missing.now - 1);
        });
        bench.send(2, [early, old]);
        assert_eq!(bench.state(&truth), stale(StaleReason::Disconnected));
        if was_looked_at {
            bench.look_after(Duration::from_secs(1));
        }
        bench.send(2, [truth.change(Side::Bid, "0.44", "2")]);
        check_never_wrong(&bench, &truth);
        bench.look_after(Duration::from_secs(3));
        assert!(!bench.asked.take().is_empty(), "{was_looked_at}");
    }
}

#[test]
fn a_feed_without_a_copy_is_asked_again_once_the_other_has_closed() {
    let (bench, mut truth) = told_by(2);
    bench
        .router
        .mark_feed_stale(FeedId(2), &[truth.key()], StaleReason::Dropped);
    bench.send(1, [truth.change(Side::Bid, "0.45", "1")]);
    bench.close(1);
    bench.settle_down();
    assert_eq!(bench.state(&truth), stale(StaleReason::Disconnected));
    bench.look_after(Duration::from_secs(6));
    assert_eq!(
        bench.asked.take(),
        [(truth.key(), StaleReason::Disconnected)]
    );
}
