use std::time::Duration;

use polypy_core::{BookState, EventSink, FeedId, MarketEvent, PriceChange, Side, StaleReason, Top};
use proptest::prelude::*;

use crate::config::HashChecking;
use crate::testing::{
    Harness, LIVE, Truth, altered, assets, one_worker, opened, opened_with, size, stale,
};

/// A book told by the feeds 1 to `count`.
pub(super) fn told_by(count: u64) -> (Harness, Truth) {
    let (bench, truth) = opened();
    for feed in 2..=count {
        bench.open(feed);
        bench.send(feed, [truth.opening()]);
    }
    (bench, truth)
}

#[test]
fn the_first_feed_is_shown_in_the_same_epoch() {
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
        assert_eq!(
            (after.position.epoch, after.position.sequence),
            (1, seen.position.sequence)
        );
    }
    assert_eq!(bench.count("first_arrivals"), 9);
    assert_eq!(bench.count("hash.failed"), 0);
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
    assert_eq!(bench.count("suspected"), 0);
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
fn a_feed_that_closes_takes_its_copy_and_its_changes_with_it() {
    let (bench, mut truth) = opened();
    let alone = bench.memory_bytes();
    bench.open(2);
    bench.send(2, [truth.opening()]);
    bench.open(3);
    // A level that there is, so that the book itself takes as much.
    bench.send(3, [truth.change(Side::Bid, "0.48", "1")]);
    assert!(bench.memory_bytes() > alone);
    for feed in [2, 3] {
        bench.close(feed);
        bench.settle_down();
    }
    assert_eq!(bench.memory_bytes(), alone);
    assert_eq!(bench.state(&truth), LIVE);
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
    let asked = [(truth.key(), StaleReason::Disconnected)];
    assert_eq!(bench.asked.take(), asked, "at once");
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

/// No book is live and wrong.
#[track_caller]
pub(super) fn check_never_wrong(harness: &Harness, truth: &Truth) {
    let view = harness.view(truth);
    assert!(
        Some(view.state) != LIVE || truth.equals(&view),
        "{:?}",
        view.bids
    );
}

#[test]
fn a_late_book_of_the_newest_millisecond_moves_no_live_book_back() {
    let (harness, mut truth) = opened();
    let first = truth.change(Side::Bid, "0.45", "1");
    let late = truth.snapshot();
    let second = truth.change_within(Side::Bid, "0.46", "2");
    harness.send(1, [first]);
    harness.send(1, [second]);
    harness.send(1, [late]);
    // It may have come back to that.
    assert_eq!(harness.state(&truth), stale(StaleReason::Hash));
    // The next change proves what is shown.
    harness.send(1, [truth.change(Side::Bid, "0.44", "3")]);
    assert_eq!(harness.state(&truth), LIVE);
    assert!(truth.equals(&harness.view(&truth)));
    assert_eq!(harness.asked.take(), []);
}

#[test]
fn a_change_before_the_first_book_of_its_millisecond_may_not_be_in_it() {
    let harness = Harness::new(one_worker());
    harness.open(1);
    let mut truth = Truth::new(&assets(1)[0]);
    let first = truth.opening();
    let change = truth.change_within(Side::Bid, "0.45", "1");
    harness.send(1, [change]);
    harness.send(1, [first]);
    assert_eq!(harness.state(&truth), stale(StaleReason::Hash));
    harness.send(1, [truth.opening()]);
    assert_eq!(harness.state(&truth), LIVE);
    assert!(truth.equals(&harness.view(&truth)));
}

#[test]
fn a_change_that_was_overtaken_before_the_first_book_is_found_by_hash() {
    let harness = Harness::new(one_worker());
    harness.open(1);
    let mut truth = Truth::new(&assets(1)[0]);
    let known = truth.change(Side::Bid, "0.44", "7");
    let first = truth.opening();
    let overtaken = truth.change(Side::Bid, "0.45", "1");
    let last = truth.change(Side::Bid, "0.46", "2");
    harness.send(1, [known]);
    harness.send(1, [last]);
    harness.send(1, [overtaken]);
    harness.send(1, [first]);
    check_never_wrong(&harness, &truth);
    harness.send(1, [truth.change(Side::Bid, "0.47", "3")]);
    check_never_wrong(&harness, &truth);
}

#[test]
fn a_change_before_the_first_book_that_is_in_it_is_no_reason_for_suspicion() {
    for (level, at_once) in [("0.46", LIVE), ("0.45", stale(StaleReason::Hash))] {
        let harness = Harness::new(one_worker());
        harness.open(1);
        let mut truth = Truth::new(&assets(1)[0]);
        let contained = truth.change(Side::Bid, "0.45", "1");
        let last = truth.change_within(Side::Bid, level, "2");
        harness.send(1, [contained]);
        harness.send(1, [truth.opening()]);
        assert_eq!(harness.state(&truth), at_once);
        // It says that the book has come this far.
        harness.send(1, [last]);
        assert_eq!(harness.state(&truth), LIVE);
        assert!(truth.equals(&harness.view(&truth)));
    }
}

#[test]
fn a_frame_that_comes_again_clears_no_change_that_it_overtook() {
    let mut config = one_worker();
    config.integrity.hash = HashChecking::Off;
    let (harness, mut truth) = opened_with(config);
    let overtaken = truth.change(Side::Bid, "0.40", "9");
    let entries = [
        truth.change(Side::Bid, "0.45", "1"),
        truth.change_within(Side::Bid, "0.46", "2"),
    ];
    let hash = truth.hash();
    let last = |event: &MarketEvent, is_last| {
        altered(event, |change| {
            (change.hash, change.last_in_frame) = (Some(hash), is_last);
        })
    };
    harness.send(1, [last(&entries[0], false), last(&entries[1], true)]);
    harness.send(1, [overtaken]);
    check_never_wrong(&harness, &truth);
    harness.send(1, [last(&entries[1], false), last(&entries[0], true)]);
    check_never_wrong(&harness, &truth);
}

#[test]
fn a_copy_that_left_a_change_out_is_not_shown_unproven() {
    let mut config = one_worker();
    config.integrity.hash = HashChecking::Off;
    let (harness, mut truth) = opened_with(config);
    harness.open(2);
    harness.send(2, [truth.opening()]);
    let overtaken = truth.change(Side::Bid, "0.40", "9");
    let next = truth.change(Side::Bid, "0.45", "1");
    harness.send(1, [overtaken.clone(), next.clone()]);
    harness.send(2, [next, overtaken]);
    harness.close(1);
    harness.settle_down();
    check_never_wrong(&harness, &truth);
}

#[test]
fn what_was_lost_before_a_snapshot_is_missed_by_every_older_one() {
    let (harness, mut truth) = (Harness::new(one_worker()), Truth::new(&assets(1)[0]));
    harness.open(1);
    let oldest = truth.opening();
    let mut between = None;
    for step in 0..600u32 {
        let at = format!("0.{}", 10 + step % 30);
        let change = truth.change(Side::Bid, &at, &(step + 1).to_string());
        harness.send(1, [change]);
        if step == 300 {
            between = Some(truth.opening());
        }
    }
    harness.send(1, [oldest]);
    check_never_wrong(&harness, &truth);
    harness.send(1, [between.unwrap()]);
    check_never_wrong(&harness, &truth);
    harness.send(1, [truth.opening()]);
    assert_eq!(harness.state(&truth), LIVE);
    assert!(truth.equals(&harness.view(&truth)));
}

/// A frame of one token: levels, each with its size.
type Frame = Vec<(u8, u8)>;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Where no hash is checked, frames that overtake each other leave a book that is
    /// right, or not live.
    #[test]
    fn frames_that_overtake_each_other_leave_no_wrong_book_live(
        frames in prop::collection::vec(prop::collection::vec((0..6u8, 0..4u8), 1..3), 1..10),
        late in prop::collection::vec(0..4usize, 10),
        has_hash in any::<bool>(),
    ) {
        let mut config = one_worker();
        config.integrity.hash = HashChecking::Off;
        let (harness, mut truth) = opened_with(config);
        let mut sent: Vec<(usize, Vec<MarketEvent>)> = frames
            .iter()
            .enumerate()
            .map(|(at, frame): (usize, &Frame)| {
                truth.now += 1;
                let last = frame.len() - 1;
                let mut events = Vec::new();
                for (entry, (level, amount)) in frame.iter().enumerate() {
                    let (at, to) = (format!("0.{}", 42 + level), amount.to_string());
                    let change = truth.change_within(Side::Bid, &at, &to);
                    events.push((entry == last, change));
                }
                let hash = has_hash.then(|| truth.hash());
                let best = truth.book.best_price(Side::Bid).map_or(Top::Empty, Top::At);
                let events = events.iter().map(|(is_last, event)| {
                    altered(event, |change| {
                        (change.hash, change.best_bid) = (hash, best);
                        change.last_in_frame = *is_last;
                    })
                });
                (at + late[at], events.collect())
            })
            .collect();
        sent.sort_by_key(|(at, _)| *at);
        for (_, events) in sent {
            harness.send(1, events);
        }
        let view = harness.view(&truth);
        prop_assert!(Some(view.state) != LIVE || truth.equals(&view), "{:?}", view.bids);
    }
}

#[test]
fn a_first_book_that_is_older_than_what_followed_a_loss_is_asked_for_again() {
    let bench = Harness::new(one_worker());
    let mut truth = Truth::new(&assets(1)[0]);
    bench.open(1);
    let old = truth.clone();
    bench.send(1, [truth.change(Side::Bid, "0.45", "1")]);
    bench
        .router
        .mark_feed_stale(FeedId(1), &[truth.key()], StaleReason::Dropped);
    bench.send(1, [truth.change(Side::Bid, "0.44", "1")]);
    // It lacks what came before the loss, or was lost; nobody can add that.
    bench.send(1, [old.opening()]);
    assert_eq!(bench.state(&truth), stale(StaleReason::Dropped));
    bench.send(1, [truth.opening()]);
    assert_eq!(bench.state(&truth), LIVE);
    assert!(truth.equals(&bench.view(&truth)));
}

#[test]
fn changes_that_wait_for_a_first_book_count_as_memory() {
    let bench = Harness::new(one_worker());
    let mut truth = Truth::new(&assets(1)[0]);
    bench.open(1);
    bench.send(1, [truth.change(Side::Bid, "0.45", "1")]);
    let one = bench.memory_bytes();
    for step in 2..=11 {
        bench.send(1, [truth.change(Side::Bid, "0.45", &step.to_string())]);
    }
    let each = (bench.memory_bytes() - one) / 10;
    let size = u64::try_from(size_of::<PriceChange>()).unwrap();
    let level = u64::try_from(polypy_core::book::LEVEL_BYTES).unwrap();
    assert!(each <= size && each + level > size, "{each} of {size}");
    // They take none once they are in it.
    bench.send(1, [truth.opening()]);
    assert!(bench.memory_bytes() < one + 10 * each);
}

#[test]
fn a_change_that_was_overtaken_counts_once_it_is_found() {
    let (bench, mut truth) = opened();
    let first = truth.change(Side::Bid, "0.45", "1");
    let second = truth.change(Side::Bid, "0.44", "1");
    let before = bench.view(&truth);
    bench.send(1, [second]);
    assert_eq!(bench.state(&truth), stale(StaleReason::Hash));
    bench.send(1, [first]);
    assert_eq!(bench.state(&truth), LIVE);
    let after = bench.view(&truth);
    assert!(truth.equals(&after));
    assert_eq!(after.position.epoch, before.position.epoch);
    assert_eq!(after.position.sequence, before.position.sequence + 2);
    // It is as new as the newest of both.
    assert_eq!(after.last_update.millis(), truth.now);
    assert_eq!(after.hash, Some(truth.hash()));
}

#[test]
fn a_late_change_that_the_book_has_already_says_nothing_against_it() {
    let (bench, mut truth) = opened();
    let first = truth.change(Side::Bid, "0.45", "1");
    let second = truth.change(Side::Bid, "0.44", "2");
    bench.send(1, [first.clone(), second]);
    bench.send(1, [altered(&first, |change| change.hash = None)]);
    assert_eq!(bench.state(&truth), LIVE);
    assert!(truth.equals(&bench.view(&truth)));
    assert_eq!(bench.count("duplicates"), 1);
}

#[test]
fn a_copy_that_is_behind_within_the_millisecond_moves_no_book_back() {
    let (bench, mut truth) = told_by(2);
    let first = truth.change(Side::Bid, "0.45", "1");
    let second = truth.change_within(Side::Bid, "0.44", "2");
    bench.send(1, [first.clone(), second.clone()]);
    bench.send(2, [first]);
    bench.close(1);
    bench.settle_down();
    assert_eq!(bench.state(&truth), LIVE);
    assert!(truth.equals(&bench.view(&truth)));
    bench.send(2, [second]);
    assert_eq!(bench.state(&truth), LIVE);
    assert!(truth.equals(&bench.view(&truth)));
}

#[test]
fn a_copy_is_not_held_against_a_book_that_no_hash_has_proven() {
    let mut config = one_worker();
    config.integrity.hash = HashChecking::Off;
    let (bench, mut truth) = opened_with(config);
    bench.open(2);
    bench.send(2, [truth.opening()]);
    for to in ["1", "2", "3"] {
        let change = truth.change(Side::Bid, "0.45", to);
        bench.send(1, [change.clone()]);
        bench.send(2, [altered(&change, |change| change.size = size("9"))]);
    }
    // Either of them may be the wrong one.
    assert_eq!(bench.count("other_feed_wrong"), 0);
    assert_eq!(bench.asked.take(), []);
}

#[test]
fn a_copy_whose_state_comes_in_several_frames_is_given_all_of_them() {
    let (bench, mut truth) = told_by(2);
    truth.now += 5;
    let parts = [("0.45", "1"), ("0.44", "2")];
    for (at, to) in parts {
        let (at, to) = (at.parse().unwrap(), to.parse().unwrap());
        truth.book.apply_change(Side::Bid, at, to);
    }
    let [first, second] = parts.map(|(at, to)| truth.say(Side::Bid, at, to));
    bench.send(1, [first.clone(), second.clone()]);
    assert_eq!(bench.state(&truth), LIVE);
    bench.send(2, [first]);
    assert_eq!(bench.count("other_feed_wrong"), 0);
    bench.send(2, [second]);
    bench.close(1);
    bench.settle_down();
    assert_eq!(bench.state(&truth), LIVE);
    assert!(truth.equals(&bench.view(&truth)));
    assert_eq!(bench.asked.take(), []);
}

#[test]
fn another_feeds_copy_whose_hash_was_not_checked_is_unverified() {
    let mut config = one_worker();
    config.integrity.hash = HashChecking::Off;
    let (bench, mut truth) = opened_with(config);
    bench.open(2);
    bench.send(2, [truth.opening()]);
    bench.send(2, [truth.change(Side::Bid, "0.45", "1")]);
    assert_eq!(bench.count("first_arrivals"), 1);
    assert_eq!(bench.state(&truth), LIVE);
    assert_eq!(bench.view(&truth).hash_verified, None);
}

#[test]
fn a_copy_that_is_behind_what_was_seen_makes_no_stale_book_live() {
    let (bench, mut truth) = told_by(2);
    let old = truth.opening();
    // Without hashes, by which it would be known that their states were shown.
    let changes = [("0.45", "1"), ("0.44", "2"), ("0.43", "3")].map(|(at, to)| {
        altered(&truth.change(Side::Bid, at, to), |change| {
            change.hash = None
        })
    });
    bench.send(1, changes.clone());
    bench.close(1);
    bench.settle_down();
    bench.look_after(Duration::from_secs(3));
    // A third feed opens with what was before; the second goes on, further than that.
    bench.open(3);
    bench.send(3, [old]);
    let [first, second, third] = changes;
    for change in [first, second] {
        bench.send(2, [change]);
        assert_ne!(bench.state(&truth), LIVE);
    }
    bench.send(2, [third]);
    assert_eq!(bench.state(&truth), LIVE);
    assert!(truth.equals(&bench.view(&truth)));
}

#[test]
fn changes_before_the_first_book_are_kept_of_two_feeds_and_what_goes_is_missed() {
    for feed in 1..=3 {
        let bench = Harness::new(one_worker());
        let mut truth = Truth::new(&assets(1)[0]);
        let old = truth.opening();
        let change = truth.change(Side::Bid, "0.45", "1");
        for feed in 1..=3 {
            bench.open(feed);
            bench.send(feed, [change.clone()]);
        }
        bench.send(feed, [old]);
        if feed == 1 {
            assert_eq!(bench.state(&truth), stale(StaleReason::Dropped));
        } else {
            assert_eq!(bench.state(&truth), LIVE);
            assert!(truth.equals(&bench.view(&truth)));
        }
    }
}

#[test]
fn a_first_book_of_the_millisecond_of_the_first_change_kept_has_what_was_lost_before() {
    let bench = Harness::new(one_worker());
    let mut truth = Truth::new(&assets(1)[0]);
    bench.open(1);
    bench
        .router
        .mark_feed_stale(FeedId(1), &[truth.key()], StaleReason::Dropped);
    let kept = truth.change(Side::Bid, "0.45", "1");
    truth.change_within(Side::Bid, "0.44", "2");
    bench.send(1, [kept, truth.opening()]);
    assert_eq!(bench.state(&truth), LIVE);
    assert!(truth.equals(&bench.view(&truth)));
}

#[test]
fn a_copy_that_was_found_wrong_does_not_stand_in() {
    let (bench, mut truth) = told_by(2);
    let change = truth.change(Side::Bid, "0.48", "1");
    bench.send(1, [altered(&change, |change| change.size = size("8"))]);
    assert_eq!(bench.state(&truth), stale(StaleReason::Hash));
    bench.send(2, [change]);
    assert_eq!(bench.state(&truth), LIVE);
    assert!(truth.equals(&bench.view(&truth)));
    bench.close(2);
    bench.settle_down();
    assert_eq!(bench.state(&truth), stale(StaleReason::Disconnected));
}

#[test]
fn changes_kept_while_a_book_was_stale_take_no_memory_once_it_is_live() {
    for by_another_feed in [false, true] {
        let (bench, mut truth) = opened();
        bench.open(2);
        let before = bench.memory_bytes();
        let MarketEvent::Book(mut fetched) = truth.snapshot() else {
            unreachable!()
        };
        fetched.bids.clear();
        bench.audit(MarketEvent::Book(fetched));
        assert_eq!(bench.state(&truth), stale(StaleReason::Audit));
        // A level that there is, so that the book itself takes as much.
        let change = truth.change(Side::Bid, "0.48", "1");
        if by_another_feed {
            bench.send(1, [altered(&change, |change| change.hash = None)]);
            assert!(bench.memory_bytes() > before);
            bench.send(2, [truth.opening()]);
        } else {
            bench.send(1, [change]);
        }
        assert_eq!(bench.state(&truth), LIVE);
        assert!(truth.equals(&bench.view(&truth)));
        assert_eq!(bench.memory_bytes(), before, "{by_another_feed}");
    }
}
