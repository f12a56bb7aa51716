//! What other sources and time do to a shown book.

use std::time::{Duration, Instant};

use polypy_core::{BestBidAsk, BookState, MarketEvent, Side, StaleReason, Timestamp, Top};

use crate::config::HashChecking;
use crate::testing::{
    Harness, LIVE, Truth, altered, assets, one_worker, opened, opened_with, price, size, stale,
};

/// The best prices, stated apart from changes so long after the book.
fn best_prices(truth: &Truth, later_ms: u64, bid: &str) -> MarketEvent {
    MarketEvent::BestBidAsk(BestBidAsk {
        asset: truth.key(),
        timestamp: Timestamp::from_millis(truth.now + later_ms),
        best_bid: Top::At(price(bid)),
        best_ask: Top::At(price("0.52")),
    })
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[test]
fn best_prices_that_are_stated_apart_count_once_they_have_lasted() {
    let (bench, truth) = opened();
    let start = Instant::now();
    let state = |bid, later_ms, after| {
        bench.queue(1, [best_prices(&truth, later_ms, bid)]);
        bench.apply_at(start + seconds(after));
        bench.state(&truth)
    };
    assert_eq!(state("0.49", 1, 0.0), LIVE);
    assert_eq!(state("0.49", 2, 1.9), LIVE);
    // They agreed in between: the time begins again.
    assert_eq!(state("0.48", 3, 2.0), LIVE);
    assert_eq!(state("0.49", 4, 2.1), LIVE);
    // Of a time that the book has come to, they say nothing.
    assert_eq!(state("0.49", 0, 9.0), LIVE);
    assert_eq!(state("0.49", 5, 4.2), stale(StaleReason::Top));
}

#[test]
fn best_prices_say_nothing_of_a_book_that_no_feed_keeps() {
    let (bench, truth) = opened();
    bench.close(1);
    bench.settle_down();
    let start = Instant::now();
    for after in [0.0, 2.5] {
        bench.queue(1, [best_prices(&truth, 1, "0.49")]);
        bench.apply_at(start + seconds(after));
    }
    assert_eq!(bench.state(&truth), stale(StaleReason::Disconnected));
    assert_eq!(bench.count("suspected"), 0);
}

#[test]
fn a_fetched_book_says_nothing_more_of_one_that_is_known_to_lack_a_change() {
    let (bench, mut truth) = opened();
    truth.now += 5;
    let parts = [("0.41", "1"), ("0.49", "4")];
    for (at, to) in parts {
        let size = to.parse().unwrap();
        truth.book.apply_change(Side::Bid, price(at), size);
    }
    let frames = parts.map(|(at, to)| truth.say(Side::Bid, at, to));
    bench.send(1, [frames[0].clone()]);
    assert_eq!(bench.state(&truth), stale(StaleReason::Hash));
    let not_applicable = bench.count("audit.not_applicable");
    bench.audit(truth.snapshot());
    assert_eq!(bench.count("audit.not_applicable"), not_applicable + 1);
    assert_eq!(bench.count("audit.failed"), 0);
    assert!(bench.asked.take().is_empty());
    // What it lacked comes: the same book goes on.
    bench.send(1, [frames[1].clone()]);
    assert_eq!(bench.state(&truth), LIVE);
    assert_eq!(bench.view(&truth).position.epoch, 1);
}

/// The first part of a state comes in one read, the last one in the next, together with
/// another state and the way back to the first.
#[test]
fn a_state_that_is_completed_and_left_and_come_back_to_in_one_read_is_proven() {
    let (bench, mut truth) = opened();
    truth.now += 5;
    let parts = [("0.41", "1"), ("0.42", "4")];
    for (at, to) in parts {
        truth.book.apply_change(Side::Bid, price(at), size(to));
    }
    let [first, last] = parts.map(|(at, to)| truth.say(Side::Bid, at, to));
    bench.send(1, [first]);
    assert_eq!(bench.state(&truth), stale(StaleReason::Hash));
    let there = truth.change_within(Side::Bid, "0.43", "9");
    let back = truth.change_within(Side::Bid, "0.43", "0");
    bench.send(1, [last, there, back]);
    assert_eq!(bench.state(&truth), LIVE);
    assert_eq!(bench.count("hash.failed"), 0);
    assert!(truth.equals(&bench.view(&truth)));
}

#[test]
fn a_doubt_is_looked_at_until_it_is_decided() {
    let (bench, mut truth) = opened();
    assert_eq!(bench.watched_books(), 0);
    let lost = truth.change(Side::Bid, "0.49", "7");
    drop(lost);
    bench.send(1, [truth.change(Side::Bid, "0.45", "1")]);
    assert_eq!(bench.state(&truth), stale(StaleReason::Hash));
    assert_eq!(bench.watched_books(), 1);
    let start = Instant::now();
    bench.look_at(start + seconds(0.1));
    assert_eq!(bench.watched_books(), 1);
    assert!(bench.asked.take().is_empty());
    bench.look_at(start + seconds(20.0));
    assert_eq!(bench.asked.take(), [(truth.key(), StaleReason::Hash)]);
    bench.send(1, [truth.snapshot()]);
    bench.look_at(start + seconds(21.0));
    assert_eq!(bench.state(&truth), LIVE);
    assert_eq!(bench.watched_books(), 0, "nothing is open any more");
}

#[test]
fn a_check_that_was_left_out_is_made_at_a_later_look() {
    let mut config = one_worker();
    config.integrity.hash_cpu_percent = 1;
    let (bench, mut truth) = opened_with(config);
    // The budget of the first moments goes, and the clock stands still meanwhile.
    let start = Instant::now();
    while bench.count("hash.skipped") == 0 {
        let change = truth.change(Side::Bid, "0.49", &truth.now.to_string());
        bench.queue(1, [change]);
        bench.apply_at(start);
        assert!(bench.count("hash.passed") < 100_000, "nothing is left out");
    }
    assert_eq!(bench.watched_books(), 1);
    let passed = bench.count("hash.passed");
    bench.look_at(start + seconds(10.0));
    assert_eq!(bench.count("hash.passed"), passed + 1);
    assert_eq!(bench.view(&truth).hash_verified, Some(true));
    bench.look_at(start + seconds(11.0));
    assert_eq!(bench.watched_books(), 0);
}

#[test]
fn what_was_expected_ends_with_the_thread_that_expected_it() {
    let mut config = one_worker();
    config.integrity.hash = HashChecking::Off;
    let (bench, mut truth) = opened_with(config);
    let mut ahead = truth.clone();
    drop(ahead.change(Side::Bid, "0.49", "7"));
    bench.audit(ahead.snapshot());
    assert_eq!(bench.count("audit.leading"), 1);
    bench.manager.inject_panic(0);
    bench.queue(1, [truth.snapshot()]);
    bench.iterate();
    bench.restart_worker();
    bench.settle_down();
    // Another book, of a later time: nothing can prove that it went through the expected one.
    truth.now += 9;
    bench.send(1, [truth.change(Side::Ask, "0.60", "3"), truth.snapshot()]);
    assert_eq!(bench.state(&truth), LIVE);
    assert_eq!(bench.count("audit.failed"), 0);
}

#[test]
fn only_a_coarser_grid_moves_levels() {
    for (first, then, state) in [
        ("0.001", "0.001", LIVE),
        ("0.001", "0.01", stale(StaleReason::Tick)),
        ("0.1", "0.1", stale(StaleReason::Tick)),
    ] {
        let (bench, truth) = opened();
        bench.send(1, [truth.tick_change(first)]);
        bench.send(1, [truth.tick_change(then)]);
        assert_eq!(bench.state(&truth), state, "{first}, {then}");
    }
}

#[test]
fn a_grid_that_the_book_has_already_moves_nothing() {
    let (bench, mut truth) = opened();
    truth.tick = "0.1";
    bench.send(1, [truth.opening()]);
    truth.tick = "0.01";
    // It says that the grid was finer before, which the book knows better.
    bench.send(1, [truth.tick_change("0.1")]);
    assert_eq!(bench.state(&truth), LIVE);
}

/// Two feeds with the same book.
fn two_feeds() -> (Harness, Truth) {
    let bench = Harness::new(one_worker());
    let truth = Truth::new(&assets(1)[0]);
    bench.open(1);
    bench.open(2);
    bench.send(1, [truth.opening()]);
    bench.send(2, [truth.opening()]);
    assert_eq!(bench.state(&truth), LIVE);
    (bench, truth)
}

#[test]
fn a_copy_is_not_the_worse_for_a_hash_that_nobody_checks() {
    let mut config = one_worker();
    config.integrity.hash = HashChecking::Off;
    let bench = Harness::new(config);
    let truth = Truth::new(&assets(1)[0]);
    bench.open(1);
    bench.open(2);
    bench.send(1, [truth.opening()]);
    bench.send(2, [truth.opening()]);
    bench.close(1);
    bench.settle_down();
    assert_eq!(bench.state(&truth), LIVE);
    // It has taken the place of the one that is gone, and is not only waited for.
    bench.look_after(seconds(5.0));
    assert_eq!(bench.state(&truth), LIVE);
    assert_eq!(bench.view(&truth).position.epoch, 1);
}

#[test]
fn a_copy_that_is_only_as_far_makes_a_book_no_younger() {
    let (bench, truth) = two_feeds();
    bench.close(1);
    bench.apply_after(seconds(1.0));
    assert_eq!(bench.state(&truth), LIVE, "from the other feed");
    let age = |after| bench.view_after(&truth, seconds(after)).received;
    assert!(age(5.0) >= seconds(5.0), "{:?}", age(5.0));
}

#[test]
fn a_copy_that_is_ahead_was_received_now() {
    let (bench, mut truth) = two_feeds();
    let change = truth.change(Side::Bid, "0.49", "7");
    bench.queue(2, [change]);
    bench.apply_after(seconds(4.0));
    assert!(truth.equals(&bench.view(&truth)));
    let age = bench.view_after(&truth, seconds(4.5)).received;
    assert!(age < seconds(4.0), "{age:?}");
}

#[test]
fn a_book_of_the_same_feed_is_no_takeover() {
    let (bench, truth) = opened();
    bench.send(1, [truth.snapshot()]);
    assert_eq!(bench.count("takeovers"), 0);
    bench.open(2);
    bench.close(1);
    bench.send(2, [truth.opening()]);
    assert_eq!(bench.count("takeovers"), 1);
    assert_eq!(bench.state(&truth), LIVE);
}

/// A late frame that sets a level and sets it back: its levels are there already, and
/// its time and hash are others.
#[test]
fn a_state_that_is_found_among_what_was_left_out_has_a_position_of_its_own() {
    let (bench, mut truth) = opened();
    truth.now += 1_000;
    bench.send(1, [truth.change(Side::Bid, "0.45", "1")]);
    let before = bench.view(&truth);
    // The venue's clock is set back.
    truth.now -= 500;
    let last = truth.say(Side::Bid, "0.48", "100");
    let first = altered(&last, |change| {
        change.size = size("7");
        change.last_in_frame = false;
    });
    bench.send(1, [first, last]);
    let view = bench.view(&truth);
    assert!(truth.equals(&view));
    assert_eq!(view.state, BookState::Live);
    assert_eq!(view.last_update.millis(), truth.now);
    assert_eq!(view.hash, Some(truth.hash()));
    assert_eq!(view.position.sequence, before.position.sequence);
    assert_ne!(view.position, before.position, "readers see another hash");
}
