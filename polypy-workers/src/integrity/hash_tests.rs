//! Hash and top checks through the whole crate, on events hashed as the venue does.

use std::num::NonZeroU32;

use polypy_core::fingerprint::Form;
use polypy_core::{BookState, MarketEvent, Side, StaleReason};

use crate::config::{HashChecking, IntegrityConfig, WorkersConfig};
use crate::testing::{Bench, LIVE, Truth, altered, assets, one_worker, opened, price, stale, text};

fn verified(bench: &Bench, truth: &Truth) -> Option<bool> {
    bench.view(truth).hash_verified
}

#[test]
fn every_book_and_every_change_is_verified() {
    let (bench, mut truth) = opened();
    for step in 1..=9 {
        bench.send(1, [truth.change(Side::Bid, "0.49", &format!("{step}.5"))]);
        assert_eq!(verified(&bench, &truth), Some(true));
    }
    bench.send(1, [truth.snapshot()]);
    assert_eq!(bench.count("passed"), 11);
    assert_eq!(bench.count("failed") + bench.count("searches"), 0);
    assert!(truth.equals(&bench.view(&truth)));
}

#[test]
fn a_trade_price_that_runs_ahead_is_found_and_counted() {
    let (bench, mut truth) = opened();
    truth.last_trade_price = "0.137";
    bench.send(1, [truth.change(Side::Bid, "0.49", "7")]);
    assert_eq!(bench.count("passed_with_candidate_price"), 1);
    assert_eq!(bench.count("searches"), 1);
    assert_eq!(bench.view(&truth).last_trade_price, Some(text("0.137")));
    // From then on it is known, and its announcement changes nothing.
    bench.send(1, [truth.trade("0.137")]);
    bench.send(1, [truth.change(Side::Bid, "0.49", "8")]);
    assert_eq!(bench.count("passed"), 2);
    assert_eq!(bench.count("searches"), 1);
}

#[test]
fn a_price_near_the_top_needs_no_search() {
    let (bench, mut truth) = opened();
    truth.last_trade_price = "0.520";
    bench.send(1, [truth.change(Side::Ask, "0.52", "20")]);
    assert_eq!(bench.count("passed_with_candidate_price"), 1);
    assert_eq!(bench.count("searches"), 0);
}

#[test]
fn an_announced_price_counts_for_both_tokens_in_the_form_that_is_hashed() {
    let bench = Bench::new(one_worker());
    let market = assets(1);
    let (mut yes, mut no) = (Truth::new(&market[0]), Truth::new(&market[1]));
    bench.open(1);
    bench.send(1, [yes.opening(), no.opening()]);
    (yes.last_trade_price, no.last_trade_price) = ("0.300", "0.300");
    bench.send(1, [yes.trade("0.3")]);
    bench.send(1, [yes.change(Side::Bid, "0.4", "7")]);
    bench.send(1, [no.change(Side::Ask, "0.6", "7")]);
    assert_eq!(bench.count("passed"), 4);
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
        assert_eq!(bench.state(&truth), LIVE);
    }
    bench.send(1, [frames[3].clone()]);
    assert_eq!(verified(&bench, &truth), Some(true));
    bench.send(1, [truth.change(Side::Bid, "0.49", "5")]);
    assert_eq!(bench.count("passed"), 3);
    assert_eq!(bench.count("failed") + bench.count("top_failed"), 0);
    // An unfinished batch disagrees with its own top: no search is spent on it.
    assert_eq!(bench.count("searches"), 0);
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
    assert_eq!((bench.count("late"), bench.count("failed")), (1, 0));
}

#[test]
fn a_lost_change_is_found_out_and_the_book_fetched_anew() {
    let (bench, mut truth) = opened();
    bench.send(1, [truth.change(Side::Bid, "0.45", "1")]);
    drop(truth.change(Side::Bid, "0.40", "99"));
    // The next change already fails; the book stays live until that persists.
    for step in 1..=4 {
        bench.send(
            1,
            [truth.change(Side::Bid, "0.45", &format!("{}", step + 1))],
        );
        assert_eq!(verified(&bench, &truth), Some(false));
        assert_eq!(bench.state(&truth), LIVE, "after {step}");
    }
    bench.send(1, [truth.change(Side::Bid, "0.45", "9")]);
    assert_eq!(bench.state(&truth), stale(StaleReason::Hash));
    assert_eq!(bench.asked.take(), [(truth.key(), StaleReason::Hash)]);
    assert_eq!(bench.count("failed"), 4);
    bench.send(1, [truth.snapshot()]);
    assert_eq!(bench.state(&truth), LIVE);
    assert!(truth.equals(&bench.view(&truth)));
}

#[test]
fn requests_for_the_same_book_back_off() {
    let (bench, mut truth) = opened();
    for _ in 0..5 {
        drop(truth.change(Side::Bid, "0.40", &format!("{}", truth.now)));
        for step in 1..=5 {
            bench.send(1, [truth.change(Side::Bid, "0.45", &format!("{step}"))]);
        }
        assert_eq!(bench.state(&truth), stale(StaleReason::Hash));
        bench.send(1, [truth.snapshot()]);
        assert_eq!(bench.state(&truth), LIVE);
    }
    assert_eq!(bench.asked.take().len(), 1);
}

#[test]
fn a_book_that_cannot_be_hashed_stays_live() {
    let bench = Bench::new(one_worker());
    let mut truth = Truth::new(&assets(1)[0]);
    // A recipe that nobody knows yet.
    truth.min_order_size = "7777";
    bench.open(1);
    bench.send(1, [truth.opening()]);
    for step in 1..=20 {
        bench.send(1, [truth.change(Side::Bid, "0.45", &format!("{step}"))]);
    }
    assert_eq!(bench.state(&truth), LIVE);
    assert_eq!(verified(&bench, &truth), None);
    assert_eq!(
        (bench.count("failed"), bench.count("unverifiable")),
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
        let bench = Bench::new(one_worker());
        let mut truth = Truth::new(&assets(1)[0]);
        alter(&mut truth);
        bench.open(1);
        bench.send(1, [truth.opening()]);
        assert_eq!(bench.count("passed_with_other_recipe"), 1, "{name}");
        bench.send(1, [truth.change(Side::Bid, "0.45", "1")]);
        bench.send(1, [truth.snapshot()]);
        assert_eq!(bench.count("passed"), 2, "{name}");
        assert_eq!(bench.count("searches"), 1, "{name}");
    }
}

#[test]
fn a_version_is_hashed_once_it_was_said() {
    let bench = Bench::new(one_worker());
    let mut truth = Truth::new(&assets(1)[0]);
    truth.version = Some("v2");
    bench.open(1);
    bench.send(1, [truth.opening()]);
    bench.send(1, [truth.change(Side::Bid, "0.45", "1")]);
    assert_eq!(bench.count("passed"), 2);
}

#[test]
fn a_tick_that_runs_ahead_of_its_announcement_is_found() {
    let (bench, mut truth) = opened();
    truth.tick = "0.001";
    bench.send(1, [truth.change(Side::Bid, "0.481", "1")]);
    assert_eq!(bench.count("passed_with_other_recipe"), 1);
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
    assert_eq!(bench.count("passed"), 2);
    bench.send(1, [truth.tick_change("0.01")]);
    assert_eq!(bench.state(&truth), stale(StaleReason::Tick));
    assert_eq!(bench.asked.take(), [(truth.key(), StaleReason::Tick)]);
}

#[test]
fn the_search_budget_is_kept() {
    let config = WorkersConfig {
        integrity: IntegrityConfig {
            searches_per_second: 0,
            ..IntegrityConfig::default()
        },
        ..one_worker()
    };
    let bench = Bench::new(config);
    let mut truth = Truth::new(&assets(1)[0]);
    bench.open(1);
    bench.send(1, [truth.opening()]);
    truth.last_trade_price = "0.137";
    bench.send(1, [truth.change(Side::Bid, "0.45", "1")]);
    assert_eq!(verified(&bench, &truth), Some(false));
    assert_eq!(bench.count("searches"), 0);
    assert_eq!(bench.count("searches_refused"), 1);
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
    let bench = Bench::new(config);
    let mut truth = Truth::new(&assets(1)[0]);
    bench.open(1);
    bench.send(1, [truth.opening(), truth.change(Side::Bid, "0.45", "1")]);
    assert_eq!(bench.count("not_applicable"), 2);
    assert_eq!(verified(&bench, &truth), None);
}

#[test]
fn a_top_that_disagrees_for_a_moment_changes_nothing() {
    let config = WorkersConfig {
        integrity: IntegrityConfig {
            hash: HashChecking::Off,
            top_patience: std::time::Duration::from_secs(3_600),
            ..IntegrityConfig::default()
        },
        ..one_worker()
    };
    let bench = Bench::new(config);
    let mut truth = Truth::new(&assets(1)[0]);
    bench.open(1);
    bench.send(1, [truth.opening()]);
    drop(truth.change(Side::Bid, "0.50", "5"));
    for step in 1..=30 {
        bench.send(1, [truth.change(Side::Bid, "0.40", &step.to_string())]);
    }
    assert_eq!(bench.state(&truth), LIVE);
    assert_eq!(bench.count("top_failed"), 29);
}

#[test]
fn a_top_that_keeps_disagreeing_makes_the_book_stale() {
    let config = WorkersConfig {
        integrity: IntegrityConfig {
            hash: HashChecking::Off,
            top_failures: NonZeroU32::new(3).unwrap(),
            top_patience: std::time::Duration::ZERO,
            ..IntegrityConfig::default()
        },
        ..one_worker()
    };
    let bench = Bench::new(config);
    let mut truth = Truth::new(&assets(1)[0]);
    bench.open(1);
    bench.send(1, [truth.opening()]);
    // A better bid that never reached us: every top from here on says so.
    drop(truth.change(Side::Bid, "0.50", "5"));
    let change = |truth: &mut Truth, step: u32| -> MarketEvent {
        truth.change(Side::Bid, "0.40", &format!("{step}"))
    };
    for step in 1..=3 {
        bench.send(1, [change(&mut truth, step)]);
        assert_eq!(bench.state(&truth), LIVE);
    }
    bench.send(1, [change(&mut truth, 4)]);
    assert_eq!(bench.state(&truth), stale(StaleReason::Top));
    assert_eq!(bench.count("top_failed"), 3);
    assert_eq!(bench.asked.take(), [(truth.key(), StaleReason::Top)]);
    bench.send(1, [truth.opening()]);
    assert_eq!(bench.state(&truth), Some(BookState::Live));
}
