//! Fault by fault: what was called live and was not right.
//!
//! `make integrity` prints the table of `docs/integrity.md`. Watchdogs are short
//! in it and so are the faults, so that all of them are met in two minutes;
//! `make integrity-defaults` has the patience for the default settings.

use std::sync::Arc;
use std::time::Duration;

use polypy_tests::judge::{Patience, Report, Scenario, Setting, report, run, scenarios};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};

const SEED: u64 = 20_261_124;

/// The seed that is asked for with `POLYPY_INTEGRITY_SEED`, or the usual one.
fn seed() -> u64 {
    match std::env::var("POLYPY_INTEGRITY_SEED") {
        Ok(seed) => seed.parse().expect("POLYPY_INTEGRITY_SEED is a number"),
        Err(_) => SEED,
    }
}

/// Trials at a time. Each takes a small part of a core.
const AT_A_TIME: usize = 6;

async fn all(scenarios: Vec<Scenario>, setting: Setting) -> Vec<Report> {
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    let mut trials = JoinSet::new();
    for (number, scenario) in scenarios.into_iter().enumerate() {
        let places = Arc::clone(&places);
        let setting = Setting {
            seed: setting.seed + number as u64,
            ..setting.clone()
        };
        trials.spawn_local(async move {
            let _place = places.acquire_owned().await.expect("it is never closed");
            (number, run(&scenario, &setting).await)
        });
    }
    let mut reports = trials.join_all().await;
    reports.sort_unstable_by_key(|(number, _)| *number);
    reports.into_iter().map(|(_, report)| report).collect()
}

/// What is asked for: `table` or `defaults`; a quick answer if nothing is.
fn asked() -> Option<String> {
    std::env::var("POLYPY_INTEGRITY").ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_book_is_wrong_while_live_once_anything_speaks_against_it() {
    let patience = if asked().as_deref() == Some("defaults") {
        Patience::Defaults
    } else {
        Patience::Short
    };
    let setting = Setting {
        seed: seed(),
        markets: 30,
        events_per_second: 150.0,
        patience,
        lasting: None,
    };
    let mut list = scenarios();
    if let Ok(only) = std::env::var("POLYPY_INTEGRITY_ONLY") {
        list.retain(|scenario| only.split(';').any(|name| scenario.name == name));
        assert!(!list.is_empty(), "POLYPY_INTEGRITY_ONLY names no scenario");
    }
    println!("seed {}", seed());
    let reports = LocalSet::new().run_until(all(list, setting)).await;
    conclude(&reports);
}

/// An hour of a hundred events a second, sixty times as fast, with as many
/// changes in each millisecond; a third of it if only a quick answer is wanted.
#[tokio::test(flavor = "multi_thread")]
async fn a_clean_hour_raises_no_alarm() {
    let seconds = if asked().is_some() { 60 } else { 20 };
    let setting = Setting {
        seed: seed(),
        markets: 100,
        events_per_second: 6_000.0,
        patience: Patience::Short,
        lasting: Some(Duration::from_secs(seconds)),
    };
    let report = run(&Scenario::clean(), &setting).await;
    assert!(report.applied > 5_000 * seconds, "{report:?}");
    // A doubt is no alarm where the book was not right: at this pace the parts of
    // a batch come in two reads now and then, and a level goes and comes back
    // within a millisecond, which nothing tells from a copy.
    let alarms = (
        report.doubts - report.healed,
        report.went_stale,
        report.resyncs,
    );
    conclude(&[report]);
    assert_eq!(
        alarms,
        (0, 0, 0),
        "doubts that stayed, stale books, resyncs"
    );
}

#[expect(clippy::print_stdout, reason = "the table is what is asked for")]
fn conclude(reports: &[Report]) {
    print!("{}", report::HEAD);
    for report in reports {
        println!("{}", report::row(report));
    }
    println!();
    for report in reports {
        println!(
            "{}: {} looks, {} changes, {} doubts ({} ambiguous copies), {} went stale, {} probed, not run for {:?}, {:?}",
            report.name,
            report.looks,
            report.applied,
            report.doubts,
            report.ambiguous,
            report.went_stale,
            report.probed,
            report.unrun,
            report.reasons
        );
    }
    let failures: Vec<_> = reports.iter().flat_map(Report::failures).collect();
    assert!(failures.is_empty(), "{failures:#?}");
}
