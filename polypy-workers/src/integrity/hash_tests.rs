//! Hash and top checks through the whole crate, on events hashed as the venue does.

use std::time::{Duration, Instant};

use polypy_core::fingerprint::Form;
use polypy_core::{BookControl, FeedId, Side, StaleReason, Top};

use crate::config::{HashChecking, IntegrityConfig, WorkersConfig};
use crate::testing::{
    Harness, LIVE, Truth, altered, assets, one_worker, opened, price, size, stale, text,
};

fn verified(bench: &Harness, truth: &Truth) -> Option<bool> {
    bench.view(truth).hash_verified
}

#[test]
fn a_verified_book_says_when_its_hash_came_out_and_whose_copy_it_is() {
    let (bench, mut truth) = opened();
    let second = Duration::from_secs(1);
    assert_eq!(bench.view(&truth).feed, Some(FeedId(1)));
    let first = bench.view_after(&truth, second).verified_ago.unwrap();
    assert!(first >= second);
    // The next hash that comes out is the newest.
    let before = Instant::now();
    bench.send(1, [truth.change(Side::Bid, "0.49", "1.5")]);
    let again = bench.view(&truth).verified_ago.unwrap();
    assert!(again <= before.elapsed());
    let wrong = altered(&truth.change(Side::Bid, "0.49", "2.5"), |change| {
        change.size = size("7");
    });
    bench.send(1, [wrong]);
    assert_eq!(verified(&bench, &truth), Some(false));
    assert_eq!(bench.view(&truth).verified_ago, None);
    // The last book that there was goes on being that feed's.
    bench.close(1);
    bench.settle_down();
    assert_eq!(bench.view(&truth).feed, Some(FeedId(1)));
}

#[test]
fn a_state_without_a_hash_is_not_called_verified() {
    let (bench, mut truth) = opened();
    assert_eq!(verified(&bench, &truth), Some(true));
    let without = altered(&truth.change(Side::Bid, "0.49", "1.5"), |change| {
        change.hash = None;
    });
    bench.send(1, [without]);
    assert_eq!(verified(&bench, &truth), None);
    assert_eq!(bench.view(&truth).hash, None);
    assert_eq!(bench.state(&truth), LIVE);
    // The next one confirms it again.
    bench.send(1, [truth.change(Side::Bid, "0.49", "2.5")]);
    assert_eq!(verified(&bench, &truth), Some(true));
}

#[test]
fn every_book_and_every_change_is_verified() {
    let (bench, mut truth) = opened();
    for step in 1..=9 {
        bench.send(1, [truth.change(Side::Bid, "0.49", &format!("{step}.5"))]);
        assert_eq!(verified(&bench, &truth), Some(true));
    }
    bench.send(1, [truth.snapshot()]);
    assert_eq!(bench.count("hash.passed"), 11);
    assert_eq!(bench.count("hash.failed") + bench.count("searches"), 0);
    assert!(truth.equals(&bench.view(&truth)));
}

#[test]
fn a_trade_price_that_runs_ahead_is_found_and_counted() {
    let (bench, mut truth) = opened();
    truth.last_trade_price = "0.137";
    bench.send(1, [truth.change(Side::Bid, "0.49", "7")]);
    assert_eq!(bench.count("hash.passed_with_candidate_price"), 1);
    assert_eq!(bench.count("searches"), 1);
    assert_eq!(bench.hashed_price(&truth), Some(text("0.137")));
    // From then on it is known, and its announcement changes nothing.
    bench.send(1, [truth.trade("0.137")]);
    bench.send(1, [truth.change(Side::Bid, "0.49", "8")]);
    assert_eq!(bench.count("hash.passed"), 2);
    assert_eq!(bench.count("searches"), 1);
}

#[test]
fn a_price_near_the_top_needs_no_search() {
    let (bench, mut truth) = opened();
    truth.last_trade_price = "0.520";
    bench.send(1, [truth.change(Side::Ask, "0.52", "20")]);
    assert_eq!(bench.count("hash.passed_with_candidate_price"), 1);
    assert_eq!(bench.count("searches"), 0);
}

#[test]
fn an_announced_price_counts_for_both_tokens_in_the_form_that_is_hashed() {
    let bench = Harness::new(one_worker());
    let market = assets(1);
    let (mut yes, mut no) = (Truth::new(&market[0]), Truth::new(&market[1]));
    bench.open(1);
    bench.send(1, [yes.opening(), no.opening()]);
    (yes.last_trade_price, no.last_trade_price) = ("0.300", "0.300");
    bench.send(1, [yes.trade("0.3")]);
    bench.send(1, [yes.change(Side::Bid, "0.4", "7")]);
    bench.send(1, [no.change(Side::Ask, "0.6", "7")]);
    assert_eq!(bench.count("hash.passed"), 4);
    assert_eq!(bench.count("searches"), 0);
}

#[test]
fn frames_that_share_time_and_hash_are_one_state() {
    let (bench, mut truth) = opened();
    truth.now += 5;
    let parts = [("0.41", "1"), ("0.42", "2"), ("0.43", "3"), ("0.49", "4")];
    for (at, to) in parts {
        truth
            .book
            .apply_change(Side::Bid, price(at), to.parse().unwrap());
    }
    let frames = parts.map(|(at, to)| truth.say(Side::Bid, at, to));
    for frame in &frames[..3] {
        bench.send(1, [frame.clone()]);
        assert_eq!(verified(&bench, &truth), Some(false));
        // Levels in the middle of a batch are no state of the venue.
        assert_eq!(bench.state(&truth), stale(StaleReason::Hash));
    }
    bench.send(1, [frames[3].clone()]);
    assert_eq!(verified(&bench, &truth), Some(true));
    assert_eq!(bench.state(&truth), LIVE);
    assert_eq!((bench.count("suspected"), bench.count("healed")), (1, 1));
    bench.send(1, [truth.change(Side::Bid, "0.49", "5")]);
    assert_eq!(bench.count("hash.passed"), 3);
    assert_eq!(bench.count("hash.failed") + bench.count("top.failed"), 0);
    // An unfinished batch disagrees with its own top: no search is spent on it.
    assert_eq!(bench.count("searches"), 0);
}

#[test]
fn a_copy_in_the_same_read_does_not_keep_a_change_from_being_checked() {
    let (bench, mut truth) = opened();
    drop(truth.change(Side::Bid, "0.40", "99"));
    let change = truth.change(Side::Bid, "0.45", "1");
    bench.send(1, [change.clone(), change.clone(), change]);
    assert_eq!(bench.count("duplicates"), 2);
    assert_eq!(bench.state(&truth), stale(StaleReason::Hash));
}

#[test]
fn a_hash_that_includes_the_next_change_heals_late() {
    let (bench, mut truth) = opened();
    let first = truth.change(Side::Bid, "0.49", "7");
    truth
        .book
        .apply_change(Side::Ask, price("0.51"), "3".parse().unwrap());
    let early = truth.hash();
    let first = altered(&first, |change| change.hash = Some(early));
    truth.now += 1;
    let second = truth.say(Side::Ask, "0.51", "3");
    bench.send(1, [first]);
    assert_eq!(verified(&bench, &truth), Some(false));
    bench.send(1, [second]);
    assert_eq!(verified(&bench, &truth), Some(true));
    assert_eq!(
        (bench.count("hash.late"), bench.count("hash.failed")),
        (1, 0)
    );
}

#[test]
fn hashes_that_are_always_one_change_ahead_are_never_divergence() {
    let (bench, mut truth) = opened();
    for step in 1..=20_u32 {
        // The hash of the change after this one, under the time of this one.
        let change = truth.change(Side::Bid, "0.45", &step.to_string());
        let mut next = truth.clone();
        next.book
            .apply_change(Side::Bid, price("0.45"), size(&(step + 1).to_string()));
        bench.send(
            1,
            [altered(&change, |change| change.hash = Some(next.hash()))],
        );
        assert_eq!(bench.state(&truth), stale(StaleReason::Hash));
        assert!(truth.equals(&bench.view(&truth)));
    }
    bench.send(1, [truth.change(Side::Bid, "0.45", "21")]);
    assert_eq!(bench.state(&truth), LIVE);
    assert_eq!(
        (bench.count("hash.late"), bench.count("hash.failed")),
        (20, 0)
    );
    assert!(bench.asked.take().is_empty());
}

#[test]
fn frames_of_one_state_in_one_read_are_checked_once() {
    let (bench, mut truth) = opened();
    truth.now += 5;
    for (at, to) in [("0.41", "1"), ("0.42", "2"), ("0.49", "4")] {
        truth.book.apply_change(Side::Bid, price(at), size(to));
    }
    let frames =
        [("0.41", "1"), ("0.42", "2"), ("0.49", "4")].map(|(at, to)| truth.say(Side::Bid, at, to));
    bench.send(1, frames);
    assert_eq!(
        (bench.count("hash.passed"), bench.count("suspected")),
        (2, 0)
    );
    assert_eq!(bench.count("top.passed"), 1);
    assert!(truth.equals(&bench.view(&truth)));
}

#[test]
fn a_lost_change_is_found_out_by_the_next_and_the_book_fetched_again_by_the_one_after() {
    let (bench, mut truth) = opened();
    bench.send(1, [truth.change(Side::Bid, "0.45", "1")]);
    drop(truth.change(Side::Bid, "0.40", "99"));
    let epoch = bench.view(&truth).position.epoch;
    // The next change contradicts the book: it is not shown as live any more.
    bench.send(1, [truth.change(Side::Bid, "0.45", "2")]);
    assert_eq!(verified(&bench, &truth), Some(false));
    assert_eq!(bench.state(&truth), stale(StaleReason::Hash));
    assert!(bench.asked.take().is_empty(), "it may still heal");
    bench.send(1, [truth.change(Side::Bid, "0.45", "9")]);
    assert_eq!(bench.state(&truth), stale(StaleReason::Hash));
    assert_eq!(bench.asked.take(), [(truth.key(), StaleReason::Hash)]);
    assert_eq!(bench.count("hash.failed"), 1);
    bench.send(1, [truth.snapshot()]);
    assert_eq!(bench.state(&truth), LIVE);
    assert_eq!(bench.view(&truth).position.epoch, epoch + 1);
    assert!(truth.equals(&bench.view(&truth)));
    assert_eq!((bench.count("suspected"), bench.count("healed")), (1, 0));
}

#[test]
fn a_lost_change_that_nothing_follows_but_one_is_fetched_again_after_a_moment() {
    let (bench, mut truth) = opened();
    drop(truth.change(Side::Bid, "0.40", "99"));
    bench.send(1, [truth.change(Side::Bid, "0.45", "2")]);
    bench.look_after(Duration::from_millis(900));
    assert!(bench.asked.take().is_empty());
    bench.look_after(Duration::from_millis(1_300));
    assert_eq!(bench.asked.take(), [(truth.key(), StaleReason::Hash)]);
    assert_eq!(bench.count("hash.failed"), 1);
}

#[test]
fn what_was_lost_and_is_overwritten_is_live_again_without_a_snapshot() {
    let (bench, mut truth) = opened();
    drop(truth.change(Side::Bid, "0.40", "99"));
    for step in 1..=3 {
        bench.send(1, [truth.change(Side::Bid, "0.45", &step.to_string())]);
        assert_eq!(bench.state(&truth), stale(StaleReason::Hash));
    }
    let epoch = bench.view(&truth).position.epoch;
    bench.send(1, [truth.change(Side::Bid, "0.40", "0")]);
    assert_eq!(bench.state(&truth), LIVE);
    assert!(truth.equals(&bench.view(&truth)));
    assert_eq!(
        bench.view(&truth).position.epoch,
        epoch + 1,
        "something was missing"
    );
    // Not so when something was dropped: there a snapshot was promised.
    bench
        .router
        .mark_stale(&[truth.key()], StaleReason::Undecodable);
    bench.send(1, [truth.change(Side::Bid, "0.45", "7")]);
    assert_eq!(bench.state(&truth), stale(StaleReason::Undecodable));
}

#[test]
fn a_change_that_is_not_applied_is_found_out_by_the_next_one_of_its_token() {
    // Every kind of change, left out once in the middle of others.
    for (omitted, (side, at, to)) in [
        (Side::Bid, "0.49", "5"),
        (Side::Bid, "0.48", "0"),
        (Side::Ask, "0.53", "1"),
        (Side::Ask, "0.99", "7"),
        (Side::Bid, "0.01", "0.01"),
    ]
    .into_iter()
    .enumerate()
    {
        let (bench, mut truth) = opened();
        bench.send(1, [truth.change(Side::Bid, "0.47", "3")]);
        drop(truth.change(side, at, to));
        assert_eq!(bench.state(&truth), LIVE, "nothing has said so yet");
        bench.send(1, [truth.change(Side::Ask, "0.60", "3")]);
        assert_ne!(bench.state(&truth), LIVE, "case {omitted}");
    }
}

#[test]
fn a_grid_that_another_feed_announced_early_does_not_refute_a_state_of_before() {
    let (bench, mut truth) = opened();
    bench.open(2);
    bench.send(2, [truth.opening()]);
    bench.send(2, [truth.tick_change("0.001")]);
    // A trade at a price that nobody has announced, still on the old grid.
    truth.last_trade_price = "0.123";
    let states = [
        truth.change(Side::Bid, "0.45", "1"),
        truth.change(Side::Bid, "0.46", "2"),
    ];
    for state in states {
        bench.send(1, [state]);
        assert_eq!(bench.state(&truth), LIVE);
        assert_eq!(verified(&bench, &truth), Some(true));
    }
    // From here on the grid is the new one.
    truth.tick = "0.001";
    bench.send(1, [truth.change(Side::Bid, "0.451", "3")]);
    assert_eq!(bench.state(&truth), LIVE);
    assert_eq!(verified(&bench, &truth), Some(true));
    assert_eq!(bench.count("hash.failed"), 0);
}

#[test]
fn a_book_that_cannot_be_hashed_stays_live() {
    let bench = Harness::new(one_worker());
    let mut truth = Truth::new(&assets(1)[0]);
    // A format that nobody knows yet.
    truth.min_order_size = "7777";
    bench.open(1);
    bench.send(1, [truth.opening()]);
    for step in 1..=20 {
        bench.send(1, [truth.change(Side::Bid, "0.45", &format!("{step}"))]);
    }
    assert_eq!(bench.state(&truth), LIVE);
    assert_eq!(verified(&bench, &truth), None);
    assert_eq!(
        (bench.count("hash.failed"), bench.count("hash.unverifiable")),
        (0, 20)
    );
    // Searching for it gets rarer with every failure.
    assert!(bench.count("searches") <= 7, "{}", bench.count("searches"));
}

#[test]
fn unknown_attributes_and_older_forms_are_recognised() {
    type Alter = fn(&mut Truth);
    let cases: [(&str, Alter); 6] = [
        ("negative risk", |truth| truth.neg_risk = true),
        ("smallest order", |truth| truth.min_order_size = "15"),
        ("both", |truth| {
            (truth.min_order_size, truth.neg_risk) = ("1", true);
        }),
        ("nine fields", |truth| truth.form = Form::Nine),
        ("nine fields and risk", |truth| {
            (truth.form, truth.neg_risk) = (Form::Nine, true);
        }),
        ("six fields", |truth| truth.form = Form::Six),
    ];
    for (name, alter) in cases {
        let bench = Harness::new(one_worker());
        let mut truth = Truth::new(&assets(1)[0]);
        alter(&mut truth);
        bench.open(1);
        bench.send(1, [truth.opening()]);
        assert_eq!(bench.count("hash.passed_with_other_format"), 1, "{name}");
        bench.send(1, [truth.change(Side::Bid, "0.45", "1")]);
        bench.send(1, [truth.snapshot()]);
        assert_eq!(bench.count("hash.passed"), 2, "{name}");
        assert_eq!(bench.count("searches"), 1, "{name}");
    }
}

#[test]
fn a_version_is_hashed_once_it_was_said() {
    let bench = Harness::new(one_worker());
    let mut truth = Truth::new(&assets(1)[0]);
    truth.version = Some("v2");
    bench.open(1);
    bench.send(1, [truth.opening()]);
    bench.send(1, [truth.change(Side::Bid, "0.45", "1")]);
    assert_eq!(bench.count("hash.passed"), 2);
}

#[test]
fn a_tick_that_runs_ahead_of_its_announcement_is_found() {
    let (bench, mut truth) = opened();
    truth.tick = "0.001";
    bench.send(1, [truth.change(Side::Bid, "0.481", "1")]);
    assert_eq!(bench.count("hash.passed_with_other_format"), 1);
    assert_eq!(bench.view(&truth).tick_size, Some(text("0.001")));
    bench.send(1, [truth.tick_change("0.001")]);
    assert_eq!(bench.state(&truth), LIVE);
}

#[test]
fn a_finer_tick_keeps_the_book_and_a_coarser_one_does_not() {
    let (bench, mut truth) = opened();
    for _ in 0..2 {
        bench.send(1, [truth.tick_change("0.001")]);
        assert_eq!(bench.state(&truth), LIVE);
    }
    truth.tick = "0.001";
    bench.send(1, [truth.change(Side::Bid, "0.481", "1")]);
    assert_eq!(bench.count("hash.passed"), 2);
    bench.send(1, [truth.tick_change("0.01")]);
    assert_eq!(bench.state(&truth), stale(StaleReason::Tick));
    assert_eq!(bench.asked.take(), [(truth.key(), StaleReason::Tick)]);
}

#[test]
fn want_of_a_search_is_doubt_and_no_divergence_for_a_while() {
    let bench = Harness::new(configured(|config| config.searches_per_second = 0));
    let mut truth = Truth::new(&assets(1)[0]);
    bench.open(1);
    bench.send(1, [truth.opening()]);
    truth.last_trade_price = "0.137";
    for step in 1..=5 {
        bench.send(1, [truth.change(Side::Bid, "0.45", &step.to_string())]);
        assert_eq!(bench.state(&truth), stale(StaleReason::Hash));
    }
    assert_eq!(
        (bench.count("hash.failed"), bench.count("searches")),
        (0, 0)
    );
    assert_eq!(bench.count("hash.ambiguous"), 4);
    bench.look_after(Duration::from_secs(4));
    assert!(bench.asked.take().is_empty());
    // Announced at last: the doubt was for nothing.
    bench.send(1, [truth.trade("0.137")]);
    bench.send(1, [truth.change(Side::Bid, "0.45", "9")]);
    assert_eq!(bench.state(&truth), LIVE);
    // Never announced: in the end, it is fetched.
    truth.last_trade_price = "0.731";
    bench.send(1, [truth.change(Side::Bid, "0.45", "10")]);
    bench.look_after(Duration::from_secs(6));
    assert_eq!(bench.asked.take(), [(truth.key(), StaleReason::Hash)]);
}

#[test]
fn a_search_that_had_to_wait_is_made_when_there_is_time() {
    let bench = Harness::new(configured(|config| config.searches_per_second = 1));
    let mut truths: Vec<_> = assets(3).iter().step_by(2).map(Truth::new).collect();
    bench.open(1);
    for truth in &mut truths {
        bench.send(1, [truth.opening()]);
        truth.last_trade_price = "0.137";
        bench.send(1, [truth.change(Side::Bid, "0.45", "1")]);
    }
    let live = |bench: &Harness| bench.store.counts().live;
    assert_eq!((live(&bench), bench.count("searches_refused")), (1, 2));
    bench.look_after(Duration::from_millis(2_100));
    assert_eq!(live(&bench), 2);
    bench.look_after(Duration::from_millis(3_200));
    assert_eq!(live(&bench), 3);
    assert!(bench.asked.take().is_empty());
    assert_eq!(bench.count("hash.failed"), 0);
}

#[test]
fn a_price_found_for_one_token_is_known_for_the_other() {
    let bench = Harness::new(one_worker());
    let market = assets(1);
    let (mut yes, mut no) = (Truth::new(&market[0]), Truth::new(&market[1]));
    bench.open(1);
    no.book = yes.book.mirror();
    bench.send(1, [yes.opening(), no.opening()]);
    (yes.last_trade_price, no.last_trade_price) = ("0.137", "0.137");
    let order = [
        yes.change(Side::Bid, "0.4", "7"),
        no.change(Side::Ask, "0.6", "7"),
    ];
    bench.send(1, order);
    assert_eq!(bench.count("searches"), 1);
    assert_eq!(bench.count("suspected"), 0);
}

#[test]
fn an_unannounced_price_of_four_decimals_is_found_on_the_finest_grid() {
    let bench = Harness::new(one_worker());
    let mut truth = Truth::new(&assets(1)[0]);
    truth.tick = "0.0001";
    bench.open(1);
    bench.send(1, [truth.opening()]);
    truth.last_trade_price = "0.4937";
    bench.send(1, [truth.change(Side::Bid, "0.4801", "1")]);
    assert_eq!(bench.state(&truth), LIVE);
    assert_eq!(bench.count("hash.passed_with_candidate_price"), 1);
    assert_eq!(bench.hashed_price(&truth), Some(text("0.4937")));
}

#[test]
fn a_format_that_changes_overnight_costs_every_book_one_request() {
    let (bench, mut truth) = opened();
    truth.min_order_size = "7777";
    for step in 1..=3 {
        bench.send(1, [truth.change(Side::Bid, "0.45", &step.to_string())]);
        assert_eq!(bench.state(&truth), stale(StaleReason::Hash));
    }
    assert_eq!(bench.asked.take().len(), 1);
    bench.send(1, [truth.opening()]);
    assert_eq!(bench.state(&truth), stale(StaleReason::Hash));
    bench.send(1, [truth.opening()]);
    // What was just sent is right: it is the format that is not known.
    assert_eq!(bench.state(&truth), LIVE);
    assert_eq!(bench.count("formats_lost"), 1);
    bench.send(1, [truth.change(Side::Bid, "0.45", "9")]);
    assert_eq!(bench.state(&truth), LIVE);
    assert!(bench.asked.take().is_empty());
    truth.min_order_size = "5";
    bench.send(1, [truth.change(Side::Bid, "0.45", "10")]);
    assert_eq!(verified(&bench, &truth), Some(true));
}

/// Whole books are right. When those of many tokens fail and no hash of any is
/// reproduced, no failure says anything of levels, until one is.
#[test]
fn while_no_hash_of_any_book_is_reproduced_the_format_is_to_blame() {
    let bench = Harness::new(one_worker());
    // One token of each market: the other would miss the change.
    let infos = assets(10);
    let mut truths: Vec<_> = infos.iter().step_by(2).map(Truth::new).collect();
    bench.open(1);
    for truth in &truths {
        bench.send(1, [truth.opening()]);
        assert_eq!(verified(&bench, truth), Some(true));
    }
    for truth in &mut truths {
        truth.min_order_size = "7777";
    }
    for truth in &truths[..7] {
        bench.send(1, [truth.opening()]);
        assert_eq!(bench.state(truth), stale(StaleReason::Hash));
    }
    bench.send(1, [truths[7].opening()]);
    assert_eq!(bench.state(&truths[7]), LIVE);
    assert_eq!(verified(&bench, &truths[7]), None);
    // So it is with a change, for which nothing is asked, ...
    let change = truths[8].change(Side::Bid, "0.45", "1");
    bench.send(1, [change]);
    assert_eq!(bench.state(&truths[8]), LIVE);
    assert_eq!(bench.count("formats_lost"), 2);
    assert_eq!(bench.count("formats_unknown"), 2);
    assert!(bench.asked.take().is_empty());
    // ... and no more once the hash of a book is reproduced.
    truths[8].min_order_size = "5";
    let change = truths[8].change(Side::Bid, "0.45", "2");
    bench.send(1, [change]);
    assert_eq!(verified(&bench, &truths[8]), Some(true));
    assert_eq!(bench.count("formats_unknown"), 1);
    let change = truths[9].change(Side::Bid, "0.45", "1");
    bench.send(1, [change]);
    assert_eq!(bench.state(&truths[9]), stale(StaleReason::Hash));
    // Nor is one counted that nobody follows any more.
    bench.router.forget(&[truths[7].key()]);
    bench.settle_down();
    assert_eq!(bench.count("formats_unknown"), 0);
}

#[test]
fn beyond_its_share_of_a_core_every_book_is_checked_now_and_then() {
    let bench = Harness::new(configured(|config| config.hash_cpu_percent = 0));
    let mut truth = Truth::new(&assets(1)[0]);
    bench.open(1);
    bench.send(1, [truth.opening()]);
    for step in 1..=1_010 {
        bench.send(1, [truth.change(Side::Bid, "0.45", &step.to_string())]);
    }
    // The opening and every 101st change, and one for every second it took.
    let passed = bench.count("hash.passed");
    assert_eq!(passed + bench.count("hash.skipped"), 1_011);
    assert!((11..100).contains(&passed), "{passed}");
    // The last one before a silence is checked, too.
    drop(truth.change(Side::Bid, "0.40", "99"));
    bench.send(1, [truth.change(Side::Bid, "0.45", "7")]);
    assert_eq!(bench.state(&truth), LIVE);
    bench.look_after(Duration::from_millis(1_200));
    assert_eq!(bench.state(&truth), stale(StaleReason::Hash));
    // A book in doubt is checked at every change, whatever it costs.
    bench.send(1, [truth.change(Side::Bid, "0.40", "0")]);
    assert_eq!(bench.state(&truth), LIVE);
    assert_eq!(bench.count("healed"), 1);
}

#[test]
fn checking_can_be_turned_off() {
    let config = WorkersConfig {
        integrity: IntegrityConfig {
            hash: HashChecking::Off,
            ..IntegrityConfig::default()
        },
        ..one_worker()
    };
    let bench = Harness::new(config);
    let mut truth = Truth::new(&assets(1)[0]);
    bench.open(1);
    bench.send(1, [truth.opening(), truth.change(Side::Bid, "0.45", "1")]);
    assert_eq!(bench.count("hash.not_applicable"), 2);
    assert_eq!(verified(&bench, &truth), None);
}

#[test]
fn a_top_that_disagrees_is_doubt_until_it_agrees() {
    let bench = Harness::new(configured(|config| config.hash = HashChecking::Off));
    let mut truth = Truth::new(&assets(1)[0]);
    bench.open(1);
    bench.send(1, [truth.opening()]);
    // A better bid that never reached us: every top from here on says so.
    drop(truth.change(Side::Bid, "0.50", "5"));
    for step in 1..=30 {
        bench.send(1, [truth.change(Side::Bid, "0.40", &step.to_string())]);
        assert_eq!(bench.state(&truth), stale(StaleReason::Top));
    }
    assert_eq!(bench.count("top.failed"), 29);
    bench.send(1, [truth.change(Side::Bid, "0.50", "0")]);
    assert_eq!(bench.state(&truth), LIVE);
    assert_eq!((bench.count("suspected"), bench.count("healed")), (1, 1));
    assert!(bench.asked.take().is_empty());
}

#[test]
fn a_top_that_keeps_disagreeing_makes_the_book_stale() {
    let bench = Harness::new(configured(|config| config.hash = HashChecking::Off));
    let mut truth = Truth::new(&assets(1)[0]);
    bench.open(1);
    bench.send(1, [truth.opening()]);
    drop(truth.change(Side::Bid, "0.50", "5"));
    bench.send(1, [truth.change(Side::Bid, "0.40", "1")]);
    bench.look_after(Duration::from_millis(1_300));
    assert_eq!(bench.state(&truth), stale(StaleReason::Top));
    assert_eq!(bench.asked.take(), [(truth.key(), StaleReason::Top)]);
    // With no hash to prove it, only a snapshot helps from here on.
    bench.send(1, [truth.change(Side::Bid, "0.50", "0")]);
    assert_eq!(bench.state(&truth), stale(StaleReason::Top));
    bench.send(1, [truth.opening()]);
    assert_eq!(bench.state(&truth), LIVE);
}

#[test]
fn a_top_that_was_stated_wrongly_is_no_doubt_of_a_proven_book() {
    let (bench, mut truth) = opened();
    let change = truth.change(Side::Bid, "0.45", "1");
    let change = altered(&change, |change| change.best_bid = Top::At(price("0.99")));
    bench.send(1, [change]);
    assert_eq!(bench.state(&truth), LIVE);
    assert_eq!(bench.count("suspected"), 0);
}

fn configured(alter: impl FnOnce(&mut IntegrityConfig)) -> WorkersConfig {
    let mut config = one_worker();
    alter(&mut config.integrity);
    config
}
