use std::time::Duration;

use polypy_core::{BookState, EventSink, FeedId, Side, StaleReason};

use crate::testing::{Harness, LIVE, Truth, altered, opened, stale};

/// A book told by the feeds 1 to `count`.
fn told_by(count: u64) -> (Harness, Truth) {
    let (bench, truth) = opened();
    for feed in 2..=count {
        bench.open(feed);
        bench.send(feed, [truth.opening()]);
    }
    (bench, truth)
}

#[test]
fn whoever_is_first_is_shown_in_the_same_epoch() {
    let (bench, mut truth) = told_by(2);
    for turn in 0..10 {
        let change = truth.change(Side::Bid, "0.4", &format!("{turn}"));
        let first = 1 + turn % 2;
        bench.send(first, [change.clone()]);
        let seen = bench.view(&truth);
        assert!(truth.equals(&seen), "turn {turn}");
        assert_eq!(seen.hash_verified, Some(true));
        bench.send(3 - first, [change]);
        let after = bench.view(&truth);
        assert_eq!((after.epoch, after.sequence), (1, seen.sequence));
    }
    assert_eq!(bench.count("first_arrivals"), 9);
    assert_eq!(bench.count("failed"), 0);
}

#[test]
fn what_one_feed_was_not_sent_is_not_shown_from_it() {
    let (bench, mut truth) = told_by(2);
    let omitted = truth.change(Side::Bid, "0.45", "1");
    let next = truth.change(Side::Bid, "0.46", "2");
    // The second feed is first, and wrong: its hash says so.
    bench.send(2, [next.clone()]);
    assert_eq!(bench.state(&truth), LIVE);
    assert_eq!(bench.view(&truth).last_update.millis() + 2, truth.now);
    bench.send(1, [omitted, next]);
    assert!(truth.equals(&bench.view(&truth)));
    // Found wrong against a proven book, and asked for on its own feed.
    for tick in ["0.4", "0.41", "0.42"] {
        let change = truth.change(Side::Bid, tick, "1");
        bench.send(1, [change.clone()]);
        bench.send(2, [change]);
        assert_eq!(bench.state(&truth), LIVE);
    }
    assert_eq!(bench.count("other_feed_wrong"), 1);
    assert_eq!(bench.asked.take(), [(truth.key(), StaleReason::Hash)]);
    assert_eq!(bench.count("doubts"), 0);
}

#[test]
fn a_shown_book_that_is_wrong_is_set_right_by_the_other_feed() {
    let (bench, mut truth) = told_by(2);
    let omitted = truth.change(Side::Bid, "0.45", "1");
    let next = truth.change(Side::Bid, "0.46", "2");
    bench.send(1, [next.clone()]);
    assert_eq!(bench.state(&truth), stale(StaleReason::Hash));
    bench.send(2, [omitted, next]);
    assert_eq!(bench.state(&truth), LIVE);
    assert!(truth.equals(&bench.view(&truth)));
    assert_eq!(bench.count("went_stale"), 0);
}

#[test]
fn a_third_feed_takes_the_place_of_one_of_two_and_both_left_tell_the_book() {
    let (bench, mut truth) = told_by(3);
    bench.close(1);
    bench.settle_down();
    assert_eq!(bench.state(&truth), LIVE);
    for order in [[2, 3], [3, 2]] {
        let change = truth.change(Side::Ask, "0.6", &format!("{}", order[0]));
        for feed in order {
            bench.send(feed, [change.clone()]);
        }
        assert!(truth.equals(&bench.view(&truth)));
    }
    bench.close(3);
    bench.settle_down();
    assert_eq!(bench.state(&truth), LIVE);
    bench.send(2, [truth.change(Side::Ask, "0.61", "1")]);
    assert!(truth.equals(&bench.view(&truth)));
    bench.close(2);
    assert_eq!(bench.state(&truth), stale(StaleReason::Disconnected));
}

#[test]
fn what_is_lost_on_one_feed_leaves_the_other_alone() {
    let (bench, mut truth) = told_by(2);
    let reason = StaleReason::Undecodable;
    let lose = |feed| {
        let assets = [truth.key()];
        bench.router.mark_feed_stale(FeedId(feed), &assets, reason);
    };
    lose(1);
    assert_eq!(bench.state(&truth), LIVE);
    bench.settle_down();
    assert_eq!(bench.state(&truth), LIVE);
    lose(2);
    assert_eq!(bench.state(&truth), stale(reason));
    bench.settle_down();
    assert_eq!(bench.state(&truth), stale(reason));
    // Each is trusted again from its own next snapshot on.
    let change = truth.change(Side::Bid, "0.4", "1");
    bench.send(1, [change.clone()]);
    assert_eq!(bench.state(&truth), stale(reason));
    bench.send(2, [truth.opening()]);
    assert_eq!(bench.state(&truth), LIVE);
    bench.close(1);
    bench.settle_down();
    assert_eq!(bench.state(&truth), LIVE);
    assert!(truth.equals(&bench.view(&truth)));
}

#[test]
fn a_held_book_is_stale_once_nobody_tells_it() {
    let (bench, mut truth) = told_by(2);
    let change = truth.change(Side::Bid, "0.4", "1");
    bench.send(1, [change]);
    bench.close(1);
    bench.settle_down();
    assert_eq!(bench.state(&truth), LIVE);
    bench.close(2);
    assert_eq!(bench.state(&truth), stale(StaleReason::Disconnected));
    bench.settle_down();
    bench.look_after(Duration::from_secs(3));
    assert_eq!(bench.state(&truth), stale(StaleReason::Disconnected));
    assert_eq!(bench.count("went_stale"), 1);
}

#[test]
fn a_lag_of_any_length_moves_no_book_back() {
    let (bench, mut truth) = told_by(2);
    let early = truth.change(Side::Bid, "0.4", "1");
    bench.send(1, [early.clone()]);
    truth.now += 60_000;
    bench.send(1, [truth.change(Side::Bid, "0.41", "1")]);
    bench.send(2, [early]);
    assert!(truth.equals(&bench.view(&truth)));
    let odd = altered(&truth.say(Side::Bid, "0.44", "7"), |change| {
        change.timestamp = polypy_core::Timestamp::from_millis(truth.now - 50_000);
    });
    bench.send(2, [odd]);
    assert!(truth.equals(&bench.view(&truth)));
    assert_eq!(bench.view(&truth).state, BookState::Live);
}
