//! What the market's other token and books fetched apart from the feed say.

use std::time::{Duration, Instant};

use polypy_core::{
    AuditSink, EventSink, FeedId, MarketEvent, Side, StaleReason, StatsSource, Timestamp, Top,
};

use crate::config::{HashChecking, WorkersConfig};
use crate::testing::{
    Harness, LIVE, Truth, altered, assets, one_worker, opened, price, size, stale, text,
};

/// One market, both books of which are open.
struct Pair {
    bench: Harness,
    yes: Truth,
    no: Truth,
}

impl Pair {
    fn new(config: WorkersConfig) -> Self {
        let bench = Harness::new(config);
        let market = assets(1);
        let (yes, mut no) = (Truth::new(&market[0]), Truth::new(&market[1]));
        no.book = yes.book.mirror();
        bench.open(1);
        bench.send(1, [yes.opening(), no.opening()]);
        let pair = Self { bench, yes, no };
        pair.show(LIVE, LIVE);
        pair
    }

    fn without_hashes() -> Self {
        let mut config = one_worker();
        config.integrity.hash = HashChecking::Off;
        Self::new(config)
    }

    /// The second token told by a feed of its own, and no hashes.
    fn apart() -> Self {
        let mut config = one_worker();
        config.integrity.hash = HashChecking::Off;
        let bench = Harness::new(config);
        let market = assets(1);
        let (yes, mut no) = (Truth::new(&market[0]), Truth::new(&market[1]));
        no.book = yes.book.mirror();
        bench.open(1);
        bench.open(2);
        bench.send(1, [yes.opening()]);
        bench.send(2, [no.opening()]);
        let pair = Self { bench, yes, no };
        pair.show(LIVE, LIVE);
        pair
    }

    /// The two entries that an order for the first token makes.
    fn order(&mut self, at: &str, to: &str) -> [MarketEvent; 2] {
        let mirrored = price(at).complement().to_string();
        [
            self.yes.change(Side::Bid, at, to),
            self.no.change(Side::Ask, &mirrored, to),
        ]
    }

    #[track_caller]
    fn show(&self, yes: Option<polypy_core::BookState>, no: Option<polypy_core::BookState>) {
        let states = (self.bench.state(&self.yes), self.bench.state(&self.no));
        assert_eq!(states, (yes, no));
    }
}

/// The same event with no hash and no top in it.
fn bare(event: &MarketEvent) -> MarketEvent {
    altered(event, |change| {
        change.hash = None;
        (change.best_bid, change.best_ask) = (Top::Unstated, Top::Unstated);
    })
}

#[test]
fn tokens_that_mirror_each_other_are_compared_once_an_order() {
    let mut pair = Pair::new(one_worker());
    assert_eq!(pair.bench.count("mirror.passed"), 1);
    for step in 1..=200 {
        let events = pair.order("0.45", &step.to_string());
        pair.bench.send(1, events);
    }
    assert_eq!(pair.bench.count("mirror.passed"), 201);
    let others = ["mirror.failed", "mirror.not_applicable", "suspected"];
    assert!(others.into_iter().all(|name| pair.bench.count(name) == 0));
}

#[test]
fn a_whole_book_that_says_nothing_new_is_compared_all_the_same() {
    let pair = Pair::new(one_worker());
    let passed = pair.bench.count("mirror.passed");
    pair.bench.send(1, [pair.yes.snapshot()]);
    assert_eq!(pair.bench.count("mirror.passed"), passed + 1);
    pair.show(LIVE, LIVE);
}

#[test]
fn tokens_that_are_at_different_times_are_not_compared() {
    let mut pair = Pair::without_hashes();
    let [yes, _] = pair.order("0.45", "7");
    pair.no.now += 1;
    let no = pair.no.say(Side::Ask, "0.55", "7");
    let counts = |pair: &Pair| {
        (
            pair.bench.count("mirror.passed"),
            pair.bench.count("mirror.not_applicable"),
        )
    };
    let (passed, not_applicable) = counts(&pair);
    pair.bench.send(1, [yes, no]);
    assert_eq!(counts(&pair), (passed, not_applicable + 1));
}

#[test]
fn tokens_of_which_one_is_stale_are_not_compared() {
    for stale_one in 0..2 {
        let mut pair = Pair::without_hashes();
        let key = [pair.yes.key(), pair.no.key()][stale_one];
        pair.bench
            .router
            .mark_feed_stale(FeedId(1), &[key], StaleReason::Dropped);
        let passed = pair.bench.count("mirror.passed");
        let events = pair.order("0.45", "7");
        pair.bench.send(1, events);
        assert_eq!(pair.bench.count("mirror.passed"), passed, "{stale_one}");
    }
}

#[test]
fn a_token_that_another_feed_has_yet_to_tell_is_not_compared() {
    let mut pair = Pair::apart();
    let not_applicable = pair.bench.count("mirror.not_applicable");
    let passed = pair.bench.count("mirror.passed");
    let [yes, no] = pair.order("0.45", "7");
    pair.bench.send(1, [yes]);
    assert_eq!(
        pair.bench.count("mirror.not_applicable"),
        not_applicable + 1
    );
    pair.show(LIVE, LIVE);
    pair.bench.send(2, [no]);
    assert_eq!(pair.bench.count("mirror.passed"), passed + 1);
    pair.show(LIVE, LIVE);
}

#[test]
fn a_token_that_was_not_told_what_the_other_was_is_in_doubt_at_once() {
    let mut pair = Pair::new(one_worker());
    let [yes, no] = pair.order("0.45", "7");
    pair.bench.send(1, [yes]);
    assert_eq!(pair.bench.count("mirror.behind"), 1);
    pair.show(LIVE, stale(StaleReason::Mirror));
    let reasons = pair.bench.manager.stats()["books"]["stale_by_reason"].clone();
    assert_eq!(reasons, serde_json::json!({ "mirror": 1 }));
    // Another order says nothing of the level that is missing.
    let more = pair.order("0.44", "3");
    pair.bench.send(1, [more[0].clone()]);
    pair.show(LIVE, stale(StaleReason::Mirror));
    // It was only late: same book, same epoch, nothing asked for.
    pair.bench.send(1, [no, more[1].clone()]);
    pair.show(LIVE, LIVE);
    let books = &pair.bench.manager.stats()["books"];
    assert_eq!(books["stale_by_reason"], serde_json::json!({}));
    assert_eq!(pair.bench.view(&pair.no).position.epoch, 1);
    assert!(pair.bench.asked.take().is_empty());
    // It never comes.
    let [yes, _lost] = pair.order("0.43", "9");
    pair.bench.send(1, [yes]);
    pair.bench.look_after(Duration::from_secs(2));
    pair.show(LIVE, stale(StaleReason::Mirror));
    assert_eq!(
        pair.bench.asked.take(),
        [(pair.no.key(), StaleReason::Mirror)]
    );
}

#[test]
fn a_token_that_is_wrong_itself_still_says_what_the_other_was_not_told() {
    let mut pair = Pair::new(one_worker());
    let [_lost, no] = pair.order("0.45", "7");
    pair.bench.send(1, [no]);
    pair.show(stale(StaleReason::Mirror), LIVE);
    let [yes, _lost] = pair.order("0.44", "3");
    pair.bench.send(1, [yes]);
    pair.show(stale(StaleReason::Hash), stale(StaleReason::Mirror));
}

#[test]
fn what_neither_of_two_feeds_was_told_is_not_healed_by_the_other() {
    // The change of the first token comes on either feed first.
    for feed in [1, 2] {
        let mut pair = Pair::new(one_worker());
        pair.bench.open(2);
        pair.bench.send(2, [pair.yes.opening(), pair.no.opening()]);
        let [yes, _lost] = pair.order("0.45", "7");
        pair.bench.send(feed, [yes.clone()]);
        pair.show(LIVE, stale(StaleReason::Mirror));
        pair.bench.send(3 - feed, [yes]);
        pair.show(LIVE, stale(StaleReason::Mirror));
        pair.bench.look_after(Duration::from_secs(2));
        pair.show(LIVE, stale(StaleReason::Mirror));
        assert!(!pair.bench.asked.take().is_empty());
        pair.bench.look_after(Duration::from_secs(3));
        pair.show(LIVE, stale(StaleReason::Mirror));
        // A fresh book has it.
        pair.bench.send(2, [pair.no.snapshot()]);
        pair.show(LIVE, LIVE);
    }
}

#[test]
fn only_the_same_feed_speaks_of_the_other_token() {
    let mut pair = Pair::apart();
    let [yes, _later] = pair.order("0.45", "7");
    pair.bench.send(1, [yes]);
    pair.show(LIVE, LIVE);
    assert_eq!(pair.bench.count("mirror.behind"), 0);
}

#[test]
fn a_token_of_which_the_same_feed_has_brought_as_much_is_not_behind() {
    let mut pair = Pair::new(one_worker());
    pair.bench.open(2);
    pair.bench.send(2, [pair.yes.opening(), pair.no.opening()]);
    // The second feed is first, and was not sent all of the second token.
    let [yes, omitted] = pair.order("0.45", "7");
    pair.bench.send(1, [yes.clone(), omitted]);
    pair.show(LIVE, LIVE);
    let [next, of_no] = pair.order("0.44", "3");
    pair.bench.send(2, [yes, of_no]);
    pair.bench.send(2, [next]);
    pair.show(LIVE, LIVE);
}

#[test]
fn without_hashes_tokens_that_disagree_are_both_in_doubt_and_then_stale() {
    let mut pair = Pair::without_hashes();
    let [yes, no] = pair.order("0.45", "7");
    let wrong = altered(&no, |change| change.size = size("8"));
    let mirror = stale(StaleReason::Mirror);
    pair.bench.send(1, [yes.clone(), wrong]);
    pair.show(mirror, mirror);
    pair.bench.send(1, [no]);
    pair.show(LIVE, LIVE);
    assert_eq!(pair.bench.count("healed"), 2);
    let [yes, no] = pair.order("0.45", "9");
    pair.bench
        .send(1, [yes, altered(&no, |change| change.size = size("8"))]);
    pair.bench.look_after(Duration::from_millis(1_300));
    pair.show(mirror, mirror);
    let mut asked = pair.bench.asked.take();
    asked.sort_unstable_by_key(|(asset, _)| *asset);
    let reason = StaleReason::Mirror;
    assert_eq!(asked, [(pair.yes.key(), reason), (pair.no.key(), reason)]);
}

#[test]
fn the_token_that_its_hash_proves_right_stays_live() {
    let mut pair = Pair::new(one_worker());
    let [yes, no] = pair.order("0.45", "7");
    let wrong = altered(&bare(&no), |change| change.size = size("8"));
    pair.bench.send(1, [yes, wrong]);
    pair.show(LIVE, stale(StaleReason::Mirror));
    pair.bench.look_after(Duration::from_millis(1_300));
    pair.show(LIVE, stale(StaleReason::Mirror));
    let asked = pair.bench.asked.take();
    assert_eq!(asked, [(pair.no.key(), StaleReason::Mirror)]);
}

#[test]
fn a_hash_that_was_left_out_is_looked_at_when_tokens_disagree() {
    let mut config = one_worker();
    config.integrity.hash_cpu_percent = 0;
    let mut pair = Pair::new(config);
    let [yes, no] = pair.order("0.45", "7");
    let wrong = altered(&no, |change| change.size = size("8"));
    pair.bench.send(1, [yes, wrong]);
    assert_eq!(pair.bench.count("hash.skipped"), 2);
    pair.show(LIVE, stale(StaleReason::Hash));
}

#[test]
fn a_level_that_no_change_names_is_found_by_comparing_whole_books() {
    let mut pair = Pair::apart();
    // The second feed loses its half of an order, and nothing says so.
    let [yes, _lost] = pair.order("0.30", "7");
    pair.bench.send(1, [yes]);
    let mut orders = 0;
    while pair.bench.state(&pair.yes) == LIVE {
        orders += 1;
        assert!(orders <= 64);
        let [yes, no] = pair.order("0.45", &orders.to_string());
        pair.bench.send(1, [yes]);
        pair.bench.send(2, [no]);
    }
    assert!(orders > 20, "{orders}");
    // A level that agrees does not settle what the whole books have shown.
    let [yes, no] = pair.order("0.45", "99");
    pair.bench.send(1, [yes]);
    pair.bench.send(2, [no]);
    pair.show(stale(StaleReason::Mirror), stale(StaleReason::Mirror));
}

#[test]
fn a_comparison_that_cannot_be_made_brings_that_of_whole_books_no_nearer() {
    let mut pair = Pair::apart();
    let [yes, _lost] = pair.order("0.30", "7");
    pair.bench.send(1, [yes]);
    assert_eq!(pair.bench.count("mirror.passed"), 1, "the opening books");
    for step in 1..=50 {
        let to = step.to_string();
        pair.bench
            .send(1, [pair.yes.change(Side::Bid, "0.45", &to)]);
        pair.no.now = pair.yes.now;
        let [yes, no] = pair.order("0.45", &(100 + step).to_string());
        pair.bench.send(1, [yes]);
        pair.bench.send(2, [no]);
    }
    pair.show(LIVE, LIVE);
    assert_eq!(pair.bench.count("mirror.passed"), 51);
    assert_eq!(pair.bench.count("mirror.not_applicable"), 102);
}

#[test]
fn a_fetched_book_that_is_the_same_passes() {
    let (bench, mut truth) = opened();
    bench.send(1, [truth.change(Side::Bid, "0.45", "1")]);
    bench.audit(truth.snapshot());
    assert_eq!(bench.count("audit.passed"), 1);
    assert_eq!(bench.view(&truth).position.epoch, 1, "nothing is applied");
}

#[test]
fn a_fetched_book_that_lags_passes_and_a_much_older_one_says_nothing() {
    let (bench, mut truth) = opened();
    let old = truth.snapshot();
    for step in 1..=20 {
        bench.send(1, [truth.change(Side::Bid, "0.45", &step.to_string())]);
    }
    bench.audit(old.clone());
    assert_eq!(bench.count("audit.passed"), 1);
    for step in 1..=40 {
        bench.send(1, [truth.change(Side::Bid, "0.45", &step.to_string())]);
    }
    bench.audit(old);
    assert_eq!(bench.count("audit.not_applicable"), 1);
    assert_eq!(bench.state(&truth), LIVE);
}

#[test]
fn a_fetched_book_that_leads_is_doubt_until_the_feed_has_come_as_far() {
    for reached_by_hash in [true, false] {
        let (bench, mut truth) = opened();
        let change = truth.change(Side::Bid, "0.45", "1");
        bench.audit(truth.snapshot());
        assert_eq!(bench.count("audit.leading"), 1);
        assert_eq!(bench.state(&truth), stale(StaleReason::Silent));
        if reached_by_hash {
            bench.send(1, [change]);
        } else {
            let next = truth.change(Side::Bid, "0.46", "2");
            bench.send(1, [bare(&change), next]);
        }
        assert_eq!(bench.state(&truth), LIVE);
        assert_eq!(bench.count("audit.passed"), 1);
        bench.look_after(Duration::from_secs(60));
        assert_eq!(bench.count("audit.failed"), 0);
        assert!(bench.asked.take().is_empty());
    }
}

#[test]
fn a_silent_token_is_found_out_and_fetched_again() {
    let (bench, mut truth) = opened();
    drop(truth.change(Side::Bid, "0.45", "1"));
    bench.audit(truth.snapshot());
    bench.look_after(Duration::from_millis(1_900));
    assert_eq!(bench.state(&truth), stale(StaleReason::Silent));
    assert!(bench.asked.take().is_empty());
    bench.look_after(Duration::from_millis(2_300));
    assert_eq!(bench.asked.take(), [(truth.key(), StaleReason::Silent)]);
    assert_eq!(bench.count("audit.failed"), 1);
    bench.send(1, [truth.snapshot()]);
    assert_eq!(bench.state(&truth), LIVE);
}

#[test]
fn without_hashes_a_fetched_book_is_met_by_its_levels_or_something_is_missing() {
    for lost in [false, true] {
        let (bench, mut truth) = opened();
        bench.send(1, [bare(&truth.change(Side::Bid, "0.45", "1"))]);
        bench.audit(truth.snapshot());
        assert_eq!(bench.count("audit.passed"), 1, "the levels are the same");
        let change = truth.change(Side::Bid, "0.45", "2");
        bench.audit(truth.snapshot());
        assert_eq!(bench.state(&truth), stale(StaleReason::Silent));
        if !lost {
            bench.send(1, [bare(&change)]);
            assert_eq!(bench.state(&truth), LIVE);
        }
        bench.send(1, [bare(&truth.change(Side::Bid, "0.46", "3"))]);
        assert_eq!(bench.state(&truth) == LIVE, !lost);
        let asked = bench.asked.take();
        assert_eq!(asked.len(), usize::from(lost), "{asked:?}");
        assert_eq!(bench.count("audit.failed"), u64::from(lost));
    }
}

/// One whose hash nobody can reproduce may be hashed otherwise where it is fetched.
#[test]
fn a_book_with_an_unknown_hash_is_met_by_its_levels_or_something_is_missing() {
    for lost in [false, true] {
        let bench = Harness::new(one_worker());
        let mut truth = Truth::new(&assets(1)[0]);
        bench.open(1);
        let (told, fetched) = ("7777", "8888");
        truth.min_order_size = told;
        bench.send(1, [truth.opening()]);
        bench.send(1, [truth.change(Side::Bid, "0.45", "1")]);
        assert_eq!(bench.state(&truth), LIVE);
        assert_eq!(bench.view(&truth).hash_verified, None);
        truth.min_order_size = fetched;
        bench.audit(truth.snapshot());
        assert_eq!(bench.count("audit.passed"), 1, "the levels are the same");
        truth.min_order_size = told;
        let change = truth.change(Side::Bid, "0.45", "2");
        truth.min_order_size = fetched;
        bench.audit(truth.snapshot());
        assert_eq!(bench.state(&truth), stale(StaleReason::Silent));
        truth.min_order_size = told;
        if !lost {
            bench.send(1, [change]);
            assert_eq!(bench.state(&truth), LIVE);
        }
        bench.send(1, [truth.change(Side::Bid, "0.46", "3")]);
        assert_eq!(bench.state(&truth) == LIVE, !lost);
        let asked = bench.asked.take();
        assert_eq!(asked.len(), usize::from(lost), "{asked:?}");
        assert_eq!(bench.count("audit.failed"), u64::from(lost));
    }
}

#[test]
fn what_was_fetched_is_expected_of_every_feed_that_follows() {
    let (bench, mut truth) = opened();
    let old = truth.clone();
    let change = truth.change(Side::Bid, "0.45", "1");
    bench.audit(truth.snapshot());
    bench.close(1);
    bench.open(2);
    bench.send(2, [old.opening()]);
    assert_eq!(bench.state(&truth), stale(StaleReason::Silent));
    bench.send(2, [change]);
    assert_eq!(bench.state(&truth), LIVE);
    bench.look_after(Duration::from_secs(60));
    assert_eq!(bench.count("audit.failed"), 0);
}

#[test]
fn a_fetched_book_with_our_hash_and_other_levels_proves_us_wrong() {
    let mut config = one_worker();
    config.integrity.hash = HashChecking::Off;
    let bench = Harness::new(config);
    let mut truth = Truth::new(&assets(1)[0]);
    bench.open(1);
    bench.send(1, [truth.opening()]);
    drop(truth.change(Side::Bid, "0.40", "99"));
    bench.send(1, [truth.change(Side::Bid, "0.45", "1")]);
    assert_eq!(bench.state(&truth), LIVE, "hashes are not looked at");
    bench.audit(truth.snapshot());
    assert_eq!(bench.state(&truth), stale(StaleReason::Audit));
    assert_eq!(bench.count("audit.failed"), 1);
    assert_eq!(bench.asked.take(), [(truth.key(), StaleReason::Audit)]);
}

#[test]
fn a_book_requested_before_a_change_was_lost_does_not_heal_the_loss() {
    let mut pair = Pair::new(one_worker());
    let requested = Instant::now();
    let before = pair.no.snapshot();
    let [yes, _lost] = pair.order("0.45", "7");
    pair.bench.send(1, [yes]);
    pair.show(LIVE, stale(StaleReason::Mirror));
    // REST answers only now, with the book of before.
    pair.bench.audit_requested(before.clone(), requested);
    assert_eq!(pair.bench.count("audit.passed"), 1);
    pair.show(LIVE, stale(StaleReason::Mirror));
    // What is requested after it settles it.
    pair.bench.audit(before);
    assert_eq!(pair.bench.count("audit.passed"), 2);
    pair.show(LIVE, LIVE);
}

#[test]
fn a_fetched_book_settles_a_doubt_that_only_the_format_was_to_blame_for() {
    for is_requested_before in [false, true] {
        let (bench, mut truth) = opened();
        truth.min_order_size = "7777";
        let before = Instant::now();
        bench.send(1, [truth.change(Side::Bid, "0.45", "1")]);
        assert_eq!(bench.state(&truth), stale(StaleReason::Hash));
        let MarketEvent::Book(mut fetched) = truth.opening() else {
            unreachable!()
        };
        fetched.min_order_size = Some(text("7777"));
        // It is of the state that is in doubt, whenever it was requested.
        let requested = if is_requested_before {
            before
        } else {
            Instant::now()
        };
        bench.audit_requested(MarketEvent::Book(fetched), requested);
        assert_eq!(bench.state(&truth), LIVE);
        bench.send(1, [truth.change(Side::Bid, "0.45", "2")]);
        assert_eq!(bench.view(&truth).hash_verified, Some(true));
        assert_eq!(bench.count("formats_lost"), 1);
    }
}

#[test]
fn nothing_is_concluded_where_there_is_nothing_to_compare() {
    let (bench, truth) = opened();
    let other = Truth::new(&assets(2)[2]);
    bench.audit(other.snapshot());
    let MarketEvent::Book(mut unhashed) = truth.snapshot() else {
        unreachable!()
    };
    unhashed.hash = None;
    unhashed.timestamp = Timestamp::from_millis(truth.now + 9);
    bench.audit(MarketEvent::Book(unhashed));
    bench.close(1);
    bench.audit(truth.snapshot());
    assert_eq!(bench.count("audit.not_applicable"), 3);
    assert_eq!(bench.state(&truth), stale(StaleReason::Disconnected));
}

#[test]
fn fetched_books_never_crowd_events_out() {
    let mut config = one_worker();
    config.queue_events = std::num::NonZeroUsize::new(4).unwrap();
    let bench = Harness::new(config);
    let truth = Truth::new(&assets(1)[0]);
    for _ in 0..6 {
        let MarketEvent::Book(book) = truth.snapshot() else {
            unreachable!()
        };
        bench.router.audit(book, Instant::now());
    }
    let stats = bench.router.stats();
    assert_eq!(
        (&stats["audits_routed"], &stats["audits_dropped"]),
        (&4.into(), &2.into())
    );
    assert_eq!(bench.depth(), 4);
    bench.settle_down();
    assert_eq!(bench.depth(), 0);
    assert_eq!(bench.state(&truth), None);
}

#[test]
fn how_long_a_book_has_been_stale_does_not_depend_on_the_reason() {
    let (bench, mut truth) = opened();
    let since = |bench: &Harness, truth: &Truth, seconds| {
        let view = bench.view_after(truth, Duration::from_secs(seconds));
        view.lasted.as_secs()
    };
    assert_eq!(since(&bench, &truth, 30), 30);
    drop(truth.change(Side::Bid, "0.40", "99"));
    bench.send(1, [truth.change(Side::Bid, "0.45", "1")]);
    bench.look_after(Duration::from_secs(10));
    // In doubt, then given up: not live for all of it.
    assert_eq!(since(&bench, &truth, 30), 30);
}
