//! Whose book it is and whether it is live: every rule of the slot by itself.

use std::time::{Duration, Instant};

use polypy_core::{BookControl, BookState, MarketEvent, Side, StaleReason};

use crate::stats::BookCounts;
use crate::testing::{Harness, LIVE, Truth, altered, assets, one_worker, opened, stale};

const GONE: Option<BookState> = Some(BookState::Stale(StaleReason::Disconnected));

#[test]
fn changes_before_the_first_book_are_counted_and_kept_for_it() {
    let bench = Harness::new(one_worker());
    let mut truth = Truth::new(&assets(1)[0]);
    bench.open(1);
    let old = truth.clone();
    bench.send(1, [truth.change(Side::Bid, "0.49", "1")]);
    assert_eq!(bench.state(&truth), Some(BookState::Pending));
    assert!(bench.store.book(truth.key(), 5).is_none());
    assert_eq!(bench.count("deltas_without_book"), 1);
    // The book that follows is older, and by its hash the change comes after it.
    bench.send(1, [old.opening()]);
    assert_eq!(bench.state(&truth), LIVE);
    assert!(truth.equals(&bench.view(&truth)));
    assert_eq!(bench.view(&truth).hash_verified, Some(true));
    // One that has it already is not changed by it.
    bench.open(2);
    let change = truth.change(Side::Bid, "0.48", "2");
    let younger = truth.change(Side::Bid, "0.48", "3");
    bench.send(2, [change, younger, truth.opening()]);
    bench.close(1);
    bench.settle_down();
    assert_eq!(bench.state(&truth), LIVE);
    assert!(truth.equals(&bench.view(&truth)));
}

#[test]
fn a_first_book_that_is_older_than_changes_that_were_not_kept_is_asked_for_again() {
    let bench = Harness::new(one_worker());
    let mut truth = Truth::new(&assets(1)[0]);
    bench.open(1);
    let old = truth.clone();
    for step in 1..=300 {
        let change = truth.change(Side::Bid, "0.49", &step.to_string());
        bench.send(1, [change]);
    }
    bench.send(1, [old.opening()]);
    assert_eq!(bench.state(&truth), stale(StaleReason::Dropped));
    bench.look_after(Duration::from_secs(6));
    assert_eq!(bench.asked.take(), [(truth.key(), StaleReason::Dropped)]);
    bench.send(1, [truth.opening()]);
    assert_eq!(bench.state(&truth), LIVE);
    assert!(truth.equals(&bench.view(&truth)));
}

#[test]
fn epochs_count_recoveries_and_sequences_count_changes_to_apply() {
    let (bench, mut truth) = opened();
    let numbers = |bench: &Harness| {
        let view = bench.view(&truth);
        (view.position.epoch, view.position.sequence)
    };
    assert_eq!(numbers(&bench), (1, 1));
    let mut next = truth.clone();
    bench.send(
        1,
        [
            next.change(Side::Bid, "0.49", "1"),
            next.change(Side::Bid, "0.49", "2"),
        ],
    );
    assert_eq!(numbers(&bench), (1, 3));
    // A whole book that says nothing new changes nothing.
    bench.send(1, [next.snapshot()]);
    assert_eq!(numbers(&bench), (1, 3));
    // Nor does a level that is set to the size it has.
    bench.send(1, [next.change(Side::Bid, "0.49", "2")]);
    assert_eq!(numbers(&bench), (1, 3));
    // One that says what was not sent is as many changes.
    next.change(Side::Bid, "0.49", "4");
    next.change(Side::Ask, "0.53", "0");
    bench.send(1, [next.snapshot()]);
    assert_eq!(numbers(&bench), (1, 5));
    bench.router.mark_stale(&[next.key()], StaleReason::Dropped);
    assert_eq!(numbers(&bench), (1, 5));
    bench.send(1, [next.snapshot()]);
    assert_eq!(numbers(&bench), (2, 6));
    truth = next;
    let view = bench.store.book(truth.key(), 1).unwrap();
    assert_eq!((view.bids.len(), view.bid_levels), (1, 3));
    assert_eq!(view.last_update.millis(), truth.now);
    assert_eq!(view.history.len(), 1);
    assert_eq!(view.spread.unwrap().to_string(), "0.03");
}

#[test]
fn changes_older_than_the_snapshot_are_skipped_and_those_of_its_time_are_not() {
    let (bench, mut truth) = opened();
    let at = truth.now;
    let older = truth.change_within(Side::Bid, "0.48", "1");
    let older = altered(&older, |change| {
        change.timestamp = polypy_core::Timestamp::from_millis(at - 1);
    });
    bench.send(1, [older]);
    assert_eq!(bench.count("stale_deltas_skipped"), 1);
    assert_eq!(bench.view(&truth).position.sequence, 1);
    let same_time = truth.change_within(Side::Bid, "0.48", "3");
    bench.send(1, [same_time]);
    assert!(truth.equals(&bench.view(&truth)));
    assert_eq!(bench.count("hash.failed"), 0);
}

#[test]
fn a_frame_that_comes_twice_does_not_move_the_book_back() {
    let (bench, mut truth) = opened();
    let first = truth.change(Side::Bid, "0.48", "10");
    let second = truth.change(Side::Bid, "0.48", "20");
    let third = truth.change_within(Side::Bid, "0.48", "30");
    bench.send(1, [first.clone(), second.clone(), third.clone()]);
    bench.send(1, [first, second, third]);
    assert_eq!(bench.count("duplicates"), 2);
    assert_eq!(bench.count("ambiguous_copies"), 1);
    assert!(truth.equals(&bench.view(&truth)));
    assert_eq!(bench.view(&truth).hash_verified, Some(true));
    assert_eq!(bench.state(&truth), LIVE);
}

#[test]
fn a_copy_and_a_return_within_a_millisecond_are_told_apart_by_the_next_change() {
    for returned in [false, true] {
        let (bench, mut truth) = opened();
        let first = truth.change(Side::Bid, "0.48", "10");
        let second = truth.change_within(Side::Bid, "0.48", "20");
        bench.send(1, [first.clone(), second]);
        let again = if returned {
            truth.change_within(Side::Bid, "0.48", "10")
        } else {
            first
        };
        bench.send(1, [again]);
        assert_eq!(bench.count("ambiguous_copies"), 1);
        assert_eq!(
            bench.state(&truth),
            stale(StaleReason::Hash),
            "nobody knows"
        );
        bench.send(1, [truth.change(Side::Bid, "0.47", "5")]);
        assert_eq!(bench.state(&truth), LIVE);
        assert!(truth.equals(&bench.view(&truth)));
        assert_eq!(bench.view(&truth).position.epoch, 1);
        assert!(bench.asked.take().is_empty());
    }
}

#[test]
fn where_nothing_follows_an_ambiguous_copy_the_book_is_fetched() {
    let (bench, mut truth) = opened();
    let first = truth.change(Side::Bid, "0.48", "10");
    let second = truth.change_within(Side::Bid, "0.48", "20");
    bench.send(1, [first.clone(), second, first]);
    bench.look_after(Duration::from_secs(2));
    assert_eq!(bench.asked.take(), [(truth.key(), StaleReason::Hash)]);
    bench.send(1, [truth.snapshot()]);
    assert_eq!(bench.state(&truth), LIVE);
}

#[test]
fn a_change_that_was_overtaken_is_applied_when_it_is_missing() {
    let (bench, mut truth) = opened();
    let first = truth.change(Side::Bid, "0.45", "10");
    let second = truth.change(Side::Bid, "0.49", "20");
    bench.send(1, [second]);
    assert_eq!(bench.view(&truth).hash_verified, Some(false));
    bench.send(1, [first]);
    assert_eq!(bench.view(&truth).hash_verified, Some(true));
    assert!(truth.equals(&bench.view(&truth)));
    assert_eq!(
        (bench.count("out_of_order"), bench.count("hash.late")),
        (1, 1)
    );
}

#[test]
fn a_clock_set_back_does_not_freeze_the_book() {
    let (bench, mut truth) = opened();
    bench.send(1, [truth.change(Side::Bid, "0.45", "10")]);
    truth.now -= 3_600_000;
    bench.send(1, [truth.change(Side::Bid, "0.49", "20")]);
    bench.send(1, [truth.change(Side::Bid, "0.49", "30")]);
    assert!(truth.equals(&bench.view(&truth)));
    assert_eq!(bench.view(&truth).hash_verified, Some(true));
}

#[test]
fn a_clock_set_back_by_a_second_is_followed_where_the_hash_says_so() {
    let (bench, mut truth) = opened();
    for step in 1..=3 {
        truth.now += 1_000;
        bench.send(1, [truth.change(Side::Bid, "0.45", &step.to_string())]);
    }
    truth.now -= 1_000;
    bench.send(1, [truth.change(Side::Bid, "0.45", "500")]);
    assert_eq!(bench.state(&truth), LIVE);
    let view = bench.view(&truth);
    assert!(truth.equals(&view));
    assert_eq!(view.hash_verified, Some(true));
    assert_eq!(view.last_update.millis(), truth.now);
    assert_eq!(view.hash, Some(truth.hash()));
    // One whose hash proves nothing is left out, and the book is suspect.
    truth.now -= 500;
    let unknown = truth.change(Side::Bid, "0.44", "7");
    let other = Truth::new(&assets(1)[1]).hash();
    let unknown = altered(&unknown, |change| change.hash = Some(other));
    let before = bench.view(&truth);
    bench.send(1, [unknown]);
    assert_eq!(bench.state(&truth), stale(StaleReason::Hash));
    assert_eq!(
        bench.view(&truth).position.sequence,
        before.position.sequence
    );
}

#[test]
fn what_was_known_before_a_whole_book_is_known_after_it_unless_something_was_lost() {
    for is_lost in [false, true] {
        let (bench, mut truth) = opened();
        truth.now += 2_000;
        bench.send(1, [truth.change(Side::Bid, "0.45", "1")]);
        if is_lost {
            bench
                .router
                .mark_stale(&[truth.key()], StaleReason::Dropped);
        }
        bench.send(1, [truth.snapshot()]);
        assert_eq!(bench.state(&truth), LIVE);
        // The venue's clock is set back, or this is from before what was lost.
        truth.now -= 1_000;
        bench.send(1, [truth.change(Side::Bid, "0.45", "5")]);
        let expected = if is_lost {
            stale(StaleReason::Hash)
        } else {
            LIVE
        };
        assert_eq!(bench.state(&truth), expected);
        assert_eq!(truth.equals(&bench.view(&truth)), !is_lost);
    }
}

#[test]
fn a_whole_book_stamped_back_that_was_never_shown_makes_the_book_suspect() {
    // By a second, and by an hour: a late opening book may be as old.
    for back in [1_000, 3_600_000] {
        let (bench, mut truth) = opened();
        truth.now += 2_000;
        bench.send(1, [truth.change(Side::Bid, "0.45", "5")]);
        let shown = truth.clone();
        truth.now -= back;
        truth.change(Side::Bid, "0.45", "77");
        bench.send(1, [truth.snapshot()]);
        assert_eq!(bench.state(&truth), stale(StaleReason::Hash));
        assert!(shown.equals(&bench.view(&truth)));
        bench.look_after(Duration::from_secs(2));
        assert_eq!(bench.asked.take(), [(truth.key(), StaleReason::Hash)]);
    }
}

#[test]
fn each_feed_tells_a_book_of_its_own_and_the_one_that_is_further_is_shown() {
    let (bench, mut truth) = opened();
    bench.open(2);
    bench.send(2, [truth.opening()]);
    let seen = truth.change(Side::Bid, "0.49", "1");
    bench.send(2, [seen]);
    let (before, mut lagging) = (bench.view(&truth), truth.clone());
    bench.send(1, [lagging.change(Side::Bid, "0.44", "9"), truth.opening()]);
    let after = bench.view(&truth);
    // What the older one says of that millisecond changes its own book only.
    assert_eq!(
        (after.position.epoch, after.position.sequence),
        (before.position.epoch, before.position.sequence)
    );
    assert_eq!((before.position.epoch, before.position.sequence), (1, 2));
    assert!(truth.equals(&after));
    assert_eq!(bench.count("other_feed_changes"), 2);
    assert_eq!(bench.count("first_arrivals"), 1);
    bench.close(1);
    assert_eq!(bench.state(&truth), LIVE);
}

#[test]
fn a_younger_feed_that_lags_waits_until_it_has_caught_up() {
    let (bench, mut truth) = opened();
    let old = truth.clone();
    let changes = [
        truth.change(Side::Bid, "0.49", "1"),
        truth.change(Side::Ask, "0.51", "2"),
    ];
    bench.send(1, changes.clone());
    bench.open(2);
    bench.send(2, [old.opening()]);
    assert!(truth.equals(&bench.view(&truth)), "moved back in time");
    bench.send(2, [changes[0].clone()]);
    assert!(truth.equals(&bench.view(&truth)), "moved back in time");
    bench.send(2, [changes[1].clone()]);
    assert_eq!(bench.count("first_arrivals"), 0);
    assert!(truth.equals(&bench.view(&truth)));
    bench.close(1);
    bench.settle_down();
    assert_eq!(bench.count("first_arrivals"), 1);
    assert_eq!(
        (bench.state(&truth), bench.view(&truth).position.epoch),
        (LIVE, 1)
    );
    bench.send(2, [truth.change(Side::Bid, "0.49", "3")]);
    assert!(truth.equals(&bench.view(&truth)));
}

#[test]
fn a_feed_that_lags_when_the_other_closes_has_a_moment_to_catch_up() {
    let (bench, mut truth) = opened();
    let old = truth.clone();
    let change = truth.change(Side::Bid, "0.49", "1");
    bench.send(1, [change.clone()]);
    bench.open(2);
    bench.send(2, [old.opening()]);
    bench.close(1);
    bench.settle_down();
    // What was seen stays: the other feed keeps the book whole, and is behind.
    assert_eq!(bench.state(&truth), LIVE);
    assert!(truth.equals(&bench.view(&truth)));
    bench.look_after(Duration::from_secs(1));
    assert_eq!(bench.state(&truth), LIVE);
    bench.look_after(Duration::from_secs(3));
    // Nobody brings what was seen: it is not to be trusted any more.
    assert_eq!(bench.state(&truth), GONE);
    assert!(truth.equals(&bench.view(&truth)));
    assert_eq!(
        bench.asked.take(),
        [(truth.key(), StaleReason::Disconnected)]
    );
    bench.send(2, [change]);
    assert_eq!(bench.state(&truth), LIVE);
    assert!(truth.equals(&bench.view(&truth)));
}

#[test]
fn an_aborted_hand_over_leaves_the_older_feed_in_charge() {
    let (bench, mut truth) = opened();
    bench.open(2);
    bench.send(2, [truth.opening()]);
    let change = truth.change(Side::Bid, "0.49", "1");
    bench.send(2, [change.clone()]);
    bench.send(1, [change]);
    bench.close(2);
    bench.settle_down();
    assert_eq!(bench.state(&truth), LIVE);
    bench.send(1, [truth.change(Side::Bid, "0.49", "2")]);
    assert!(truth.equals(&bench.view(&truth)));
    assert_eq!(bench.view(&truth).hash_verified, Some(true));
    assert!(bench.asked.take().is_empty());
}

#[test]
fn what_a_closed_feed_left_in_the_queue_takes_nothing_over() {
    let (bench, mut truth) = opened();
    bench.open(2);
    truth.change(Side::Bid, "0.49", "1");
    bench.queue(2, [truth.opening()]);
    bench.close(2);
    bench.settle_down();
    assert_eq!(bench.state(&truth), LIVE);
    assert_eq!(bench.view(&truth).position.epoch, 1);
    assert_eq!(bench.count("late_frames"), 1);
}

#[test]
fn any_open_feed_is_better_than_a_closed_one() {
    let (bench, truth) = opened();
    bench.open(2);
    bench.open(3);
    bench.send(3, [truth.opening()]);
    bench.close(1);
    bench.close(3);
    bench.settle_down();
    assert_eq!(bench.state(&truth), GONE);
    bench.send(2, [truth.opening()]);
    assert_eq!(bench.state(&truth), LIVE);
}

#[test]
fn a_new_feed_that_shows_less_than_was_seen_is_not_live_yet() {
    let (bench, mut truth) = opened();
    let old = truth.clone();
    let change = truth.change(Side::Bid, "0.49", "1");
    bench.send(1, [change.clone()]);
    bench.close(1);
    bench.open(2);
    bench.send(2, [old.opening()]);
    assert_eq!(bench.state(&truth), GONE);
    bench.send(2, [change]);
    assert_eq!(bench.state(&truth), LIVE);
}

#[test]
fn what_is_sent_whole_long_after_is_believed_whatever_its_time() {
    let (bench, mut truth) = opened();
    let old = truth.clone();
    bench.send(1, [truth.change(Side::Bid, "0.49", "1")]);
    bench.close(1);
    bench.open(2);
    for (seconds, state) in [(0, GONE), (4, GONE), (6, LIVE)] {
        bench.queue(2, [old.opening()]);
        bench.apply_after(Duration::from_secs(seconds));
        assert_eq!(bench.state(&truth), state, "after {seconds} s");
    }
}

#[test]
fn a_first_snapshot_that_was_lost_is_asked_for_again() {
    let bench = Harness::new(one_worker());
    let truth = Truth::new(&assets(1)[0]);
    bench
        .router
        .mark_stale(&[truth.key()], StaleReason::Undecodable);
    bench.settle_down();
    bench.look_after(Duration::from_secs(6));
    assert!(!bench.asked.take().is_empty());
}

#[test]
fn a_feed_that_closed_cannot_catch_up() {
    let (bench, mut truth) = opened();
    let old = truth.clone();
    let change = truth.change(Side::Bid, "0.49", "1");
    bench.send(1, [change.clone()]);
    bench.close(1);
    bench.open(2);
    bench.send(2, [old.opening()]);
    bench.queue(2, [change]);
    bench.close(2);
    bench.settle_down();
    assert_eq!(bench.state(&truth), GONE);
    assert_eq!(bench.store.counts().live, 0);
}

#[test]
fn catching_up_does_not_make_up_for_a_coarser_grid() {
    let (bench, mut truth) = opened();
    bench.send(1, [truth.tick_change("0.001")]);
    truth.tick = "0.001";
    let old = truth.clone();
    let change = truth.change(Side::Bid, "0.49", "1");
    bench.send(1, [change.clone()]);
    bench.close(1);
    bench.open(2);
    bench.send(2, [old.opening(), old.tick_change("0.01"), change]);
    assert_eq!(bench.state(&truth), stale(StaleReason::Tick));
    assert_eq!(bench.asked.take(), [(truth.key(), StaleReason::Tick)]);
}

#[test]
fn a_live_book_ignores_an_older_copy_from_its_own_feed() {
    let (bench, mut truth) = opened();
    let copy = truth.snapshot();
    bench.send(1, [truth.change(Side::Bid, "0.49", "1"), copy]);
    assert_eq!(bench.state(&truth), LIVE);
    assert!(truth.equals(&bench.view(&truth)));
    assert_eq!(bench.count("snapshots_ignored"), 1);
}

#[test]
fn a_stale_book_goes_on_but_stays_stale() {
    let (bench, mut truth) = opened();
    bench
        .router
        .mark_stale(&[truth.key()], StaleReason::Undecodable);
    assert_eq!(bench.state(&truth), stale(StaleReason::Undecodable));
    bench.send(1, [truth.change(Side::Bid, "0.49", "1")]);
    assert_eq!(bench.state(&truth), stale(StaleReason::Undecodable));
    assert!(truth.equals(&bench.view(&truth)));
    bench.send(1, [truth.snapshot()]);
    assert_eq!(bench.state(&truth), LIVE);
}

#[test]
fn a_standby_that_may_have_lost_something_never_fills_in() {
    let (bench, mut truth) = opened();
    bench.open(2);
    bench.send(2, [truth.opening()]);
    // Lost on the older feed, which is the standby by now.
    let lost = truth.change(Side::Bid, "0.44", "9");
    bench
        .router
        .mark_stale(&[truth.key()], StaleReason::Undecodable);
    bench.send(2, [lost, truth.snapshot()]);
    let change = truth.change(Side::Bid, "0.49", "1");
    bench.send(1, [change.clone()]);
    bench.send(2, [change]);
    assert_eq!(bench.state(&truth), LIVE);
    bench.close(2);
    bench.settle_down();
    assert_eq!(bench.state(&truth), GONE);
}

#[test]
fn what_was_seen_is_remembered_over_several_feeds() {
    let (bench, mut truth) = opened();
    let old = truth.clone();
    let change = truth.change(Side::Bid, "0.49", "1");
    bench.send(1, [change.clone()]);
    for feed in 2..5 {
        bench.close(feed - 1);
        bench.open(feed);
        bench.send(feed, [old.opening()]);
        assert_eq!(bench.state(&truth), GONE);
    }
    bench.send(4, [change]);
    assert_eq!(bench.state(&truth), LIVE);
}

#[test]
fn a_book_that_stays_stale_is_asked_for_again() {
    let (bench, truth) = opened();
    bench
        .router
        .mark_stale(&[truth.key()], StaleReason::Undecodable);
    bench.settle_down();
    assert!(
        bench.asked.take().is_empty(),
        "the caller that marked it asks"
    );
    let asked_after = |seconds| {
        bench.look_after(Duration::from_secs(seconds));
        bench.asked.take()
    };
    let again = [(truth.key(), StaleReason::Undecodable)];
    assert_eq!(asked_after(4), []);
    assert_eq!(asked_after(6), again);
    assert_eq!(asked_after(8), []);
    assert_eq!(asked_after(12), again);
    bench.send(1, [truth.snapshot()]);
    assert_eq!(asked_after(3_600), []);
}

#[test]
fn a_book_that_is_only_in_doubt_is_not_asked_for_again() {
    let (bench, mut truth) = opened();
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs_f64(seconds);
    bench
        .router
        .mark_stale(&[truth.key()], StaleReason::Dropped);
    bench.apply_at(start);
    bench.queue(1, [truth.snapshot()]);
    bench.apply_at(after(1.0));
    assert_eq!(bench.state(&truth), LIVE);
    truth.change(Side::Bid, "0.45", "1");
    bench.queue(1, [truth.change(Side::Bid, "0.44", "2")]);
    bench.apply_at(after(4.8));
    assert_eq!(bench.state(&truth), stale(StaleReason::Hash));
    // That is when it would be, were it still stale.
    bench.look_at(after(5.2));
    assert_eq!(bench.asked.take(), []);
}

#[test]
fn a_book_that_one_feed_alone_kept_is_asked_for_by_whoever_opens_the_next() {
    let (bench, truth) = opened();
    bench.close(1);
    bench.settle_down();
    assert_eq!(bench.state(&truth), GONE);
    bench.look_after(Duration::from_secs(6));
    assert_eq!(bench.asked.take(), []);
}

#[test]
fn a_book_that_stays_crossed_is_stale_unless_its_hash_says_so_too() {
    for hashed in [false, true] {
        let (bench, mut truth) = opened();
        let crossing = truth.change(Side::Bid, "0.55", "1");
        bench.send(
            1,
            [altered(&crossing, |change| {
                if !hashed {
                    change.hash = None;
                }
                (change.best_bid, change.best_ask) = Default::default();
            })],
        );
        assert_eq!(bench.state(&truth), LIVE);
        bench.look_after(Duration::from_secs(2));
        let expected = if hashed {
            LIVE
        } else {
            stale(StaleReason::Crossed)
        };
        assert_eq!(bench.state(&truth), expected, "hashed: {hashed}");
    }
}

#[test]
fn a_settled_book_stays_readable_and_is_never_live_again() {
    let (bench, mut truth) = opened();
    bench.router.settle(&[truth.key()]);
    assert_eq!(bench.state(&truth), Some(BookState::Settled));
    bench.send(1, [truth.change(Side::Bid, "0.49", "1"), truth.snapshot()]);
    bench.open(2);
    bench.send(2, [truth.opening()]);
    bench.close(2);
    bench.settle_down();
    assert_eq!(bench.state(&truth), Some(BookState::Settled));
    assert!(truth.equals(&bench.view(&truth)));
}

#[test]
fn a_settled_book_takes_the_last_word_of_younger_feeds_alone() {
    let bench = Harness::new(one_worker());
    let mut truth = Truth::new(&assets(1)[0]);
    bench.open(1);
    bench.open(2);
    let opening = truth.opening();
    bench.send(1, [opening.clone()]);
    let alone = bench.memory_bytes();
    bench.send(2, [opening]);
    // A level that there is, so that the book itself takes as much.
    bench.send(2, [truth.change(Side::Bid, "0.48", "1")]);
    assert_eq!(bench.count("first_arrivals"), 1);
    assert!(bench.memory_bytes() > alone);
    bench.router.settle(&[truth.key()]);
    bench.settle_down();
    assert_eq!(bench.memory_bytes(), alone, "copies are of no use any more");
    let shown = truth.clone();
    truth.change(Side::Bid, "0.45", "1");
    bench.send(1, [truth.snapshot()]);
    assert!(shown.equals(&bench.view(&shown)));
    bench.open(3);
    bench.send(3, [truth.opening()]);
    assert!(truth.equals(&bench.view(&truth)));
    assert_eq!(bench.state(&truth), Some(BookState::Settled));
}

#[test]
fn an_elder_feed_that_is_open_brings_a_stale_book_back() {
    let bench = Harness::new(one_worker());
    let mut truth = Truth::new(&assets(1)[0]);
    bench.open(1);
    bench.open(2);
    bench.send(2, [truth.opening()]);
    bench.close(2);
    bench.settle_down();
    assert_eq!(bench.state(&truth), GONE);
    truth.change(Side::Bid, "0.45", "1");
    bench.send(1, [truth.opening()]);
    assert_eq!(bench.state(&truth), LIVE);
    assert!(truth.equals(&bench.view(&truth)));
}

#[test]
fn what_a_closed_feed_left_is_shown_where_nothing_better_is() {
    let left_by = |bench: &Harness, feed, left: &Truth| {
        bench.queue(feed, [left.snapshot()]);
        bench.close(feed);
    };
    let other = |truth: &Truth| {
        let mut other = truth.clone();
        other.change(Side::Bid, "0.45", "1");
        other
    };
    // The feed of the stale book is open: that will bring it back.
    let (bench, truth) = opened();
    bench
        .router
        .mark_stale(&[truth.key()], StaleReason::Dropped);
    bench.open(2);
    left_by(&bench, 2, &other(&truth));
    bench.settle_down();
    assert_eq!(bench.state(&truth), stale(StaleReason::Dropped));
    assert!(truth.equals(&bench.view(&truth)));
    // An elder feed's may be from before what is shown.
    let bench = Harness::new(one_worker());
    bench.open(1);
    bench.open(2);
    bench.send(2, [truth.opening()]);
    left_by(&bench, 1, &other(&truth));
    bench.close(2);
    bench.settle_down();
    assert_eq!(bench.state(&truth), GONE);
    assert!(truth.equals(&bench.view(&truth)));
    // A younger feed's is the last that is known.
    let (bench, truth) = opened();
    bench.open(2);
    let last = other(&truth);
    left_by(&bench, 2, &last);
    bench.close(1);
    bench.settle_down();
    assert_eq!(bench.state(&truth), GONE);
    assert!(last.equals(&bench.view(&last)));
}

#[test]
fn a_forgotten_asset_is_gone_with_everything_and_late_events_do_not_bring_it_back() {
    let (bench, mut truth) = opened();
    let full = bench.memory_bytes();
    bench.router.forget(&[truth.key()]);
    assert_eq!(bench.state(&truth), None);
    let event: MarketEvent = truth.change(Side::Bid, "0.49", "1");
    bench.send(1, [event, truth.opening()]);
    bench
        .router
        .mark_stale(&[truth.key()], StaleReason::Dropped);
    bench.settle_down();
    assert_eq!(bench.state(&truth), None);
    assert_eq!(bench.store.counts(), BookCounts::default());
    assert_eq!(bench.count("events_for_forgotten"), 3);
    let left = bench.memory_bytes();
    // Nothing but the table of a few entries.
    assert!(left < 100 && left < full, "{left} of {full} bytes left");
}

#[test]
fn books_are_counted_by_state() {
    let bench = Harness::new(one_worker());
    let truths: Vec<_> = assets(3).iter().map(Truth::new).collect();
    bench.open(1);
    bench.open(2);
    for truth in &truths[..4] {
        bench.send(1, [truth.opening()]);
    }
    bench.send(2, [truths[4].opening()]);
    bench.router.settle(&[truths[0].key()]);
    bench
        .router
        .mark_stale(&[truths[5].key()], StaleReason::Dropped);
    bench.close(2);
    bench.settle_down();
    let mut counts = BookCounts {
        pending: 1,
        live: 3,
        stale: 1,
        settled: 1,
        verified: 3,
        ..BookCounts::default()
    };
    counts.by_reason[StaleReason::Disconnected as usize] = 1;
    assert_eq!(bench.store.counts(), counts);
}

#[test]
fn verified_books_and_those_in_doubt_are_counted_until_that_is_decided() {
    let (bench, mut truth) = opened();
    let counts = || {
        let counts = bench.store.counts();
        (counts.live, counts.stale, counts.verified, counts.suspect)
    };
    assert_eq!(counts(), (1, 0, 1, 0));
    // Proven by the fast path, and by the slow one.
    bench.send(1, [truth.change(Side::Bid, "0.45", "10")]);
    assert_eq!(counts(), (1, 0, 1, 0));
    // A change that is not told: the next one's hash speaks against the book.
    drop(truth.change(Side::Bid, "0.30", "9"));
    bench.send(1, [truth.change(Side::Bid, "0.45", "11")]);
    assert_eq!(counts(), (0, 1, 0, 1), "nobody knows");
    bench.send(1, [truth.change(Side::Bid, "0.45", "12")]);
    assert_eq!(counts(), (0, 1, 0, 0), "it is wrong");
    bench.send(1, [truth.snapshot()]);
    assert_eq!(counts(), (1, 0, 1, 0));
    // A state without a hash says nothing either way.
    let silent = altered(&truth.change(Side::Bid, "0.45", "13"), |change| {
        change.hash = None;
    });
    bench.send(1, [silent]);
    let verified = bench.view(&truth).hash_verified == Some(true);
    assert_eq!(counts(), (1, 0, u64::from(verified), 0));
    bench.router.forget(&[truth.key()]);
    bench.settle_down();
    assert_eq!(counts(), (0, 0, 0, 0));
}
