//! A real Prometheus and a real Alertmanager beside the program and its exchange, each
//! a process of its own: what is shipped in `monitoring/` finds data, and a fault
//! reaches those who have to know of it, and so does its end.
//!
//! Time runs faster in the copies that are used: minutes become seconds.

use std::path::Path;
use std::time::Duration;

use polypy_tests::alerting::Monitoring;
use polypy_tests::inbox::Inbox;
use polypy_tests::monitoring;
use polypy_tests::pair::Pair;
use polypy_tests::wait;
use polypy_tests::world::SOON;
use serde_json::json;

/// What finds no data on a system where nothing is wrong, and why.
const EMPTY: [(&str, &str); 3] = [
    ("Alerts", "annotation: nothing fires"),
    (
        "Starts",
        "annotation: the process was started once, before it was scraped",
    ),
    (
        "The venue's refusals and close codes",
        "a code's series begins with the first of it",
    ),
];
/// Alerts that measure the machine, which tests share with whatever else runs there.
const OF_THE_MACHINE: [&str; 5] = [
    "PolypyApplySlow",
    "PolypyHttpSlow",
    "PolypyQueueFilling",
    "PolypyChecksSkipped",
    "PolypySuspended",
];

#[tokio::test]
async fn every_rule_and_panel_finds_data_and_a_fault_reaches_alertmanager() {
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (folder, recording) = (temporary.join("monitoring"), temporary.join("recording"));
    // What an earlier run recorded.
    drop(std::fs::remove_dir_all(&recording));
    let pair = Pair::start(
        60,
        400.0,
        &[
            ("record", recording.to_str().expect("a path in UTF-8")),
            ("pool-target", "30"),
            ("pool-backoff-cap", "1s"),
            ("lifecycle-discovery-interval", "1s"),
            ("audit-period", "5s"),
        ],
    )
    .await;
    let inbox = Inbox::open().await;
    let Some(monitoring) = Monitoring::start(&folder, pair.server(), inbox.address()) else {
        println!("skipped: Prometheus or Alertmanager cannot be run");
        pair.stop();
        return;
    };
    pair.all_live(SOON).await;
    let questions = everything_finds_data(&monitoring).await;
    println!("{questions} questions had data");
    let quiet = fires(&monitoring, |name| !OF_THE_MACHINE.contains(&name)).await;
    assert_eq!(quiet, Vec::<String>::new(), "nothing is wrong");

    // The venue closes every connection and takes none.
    pair.fault(json!({ "name": "handshake_429" })).await;
    pair.fault(json!({ "name": "close_1013" })).await;
    let shown = shows(
        &monitoring,
        &[
            ("PolypyNoConnection", "active"),
            // Held back: they follow from that.
            ("PolypyUnhealthy", "suppressed"),
            ("PolypyFewBooksLive", "suppressed"),
        ],
    )
    .await;
    let told = wait::until("the pager is told", SOON, async || {
        inbox.has("pager", "PolypyNoConnection", "firing")
    })
    .await;
    let too_much = inbox.has("pager", "PolypyFewBooksLive", "firing");
    assert!(!too_much, "what follows from it was told, too");
    pair.clear_faults().await;
    let resolved = wait::until("the alerts are resolved", SOON, async || {
        let alerts = monitoring.alerts().await;
        let lasts = [
            "PolypyNoConnection",
            "PolypyUnhealthy",
            "PolypyFewBooksLive",
        ];
        let mut names = alerts.iter().map(|(name, _)| name.as_str());
        !names.any(|name| lasts.contains(&name))
    })
    .await;
    let all_clear = wait::until("the pager is told of the end", SOON, async || {
        inbox.has("pager", "PolypyNoConnection", "resolved")
    })
    .await;
    println!("shown after {shown:?}, told after {told:?} more");
    println!("resolved after {resolved:?}, told after {all_clear:?} more");

    let Pair {
        program, exchange, ..
    } = pair;
    program.stop();
    let down = shows(&monitoring, &[("PolypyDown", "active")]).await;
    println!("shown as down after {down:?}");
    exchange.stop();
    monitoring.stop();
}

/// Waits until each rule was evaluated without an error, whatever is recorded is
/// there, whatever an alert asks for exists, and each panel has something to show.
/// How many questions that were.
async fn everything_finds_data(monitoring: &Monitoring) -> usize {
    wait::until("Prometheus gets an answer", SOON, async || {
        let up = monitoring.ask("up{job=\"polypy\"}").await;
        up.iter().any(|series| series["value"][1] == "1")
    })
    .await;
    let rules = monitoring::rules();
    let mut asked: Vec<(String, String)> = Vec::new();
    for rule in &rules {
        if rule.is_alert {
            let selectors = monitoring::selectors(&rule.expr).into_iter();
            // What an alert leaves out by a label may be all that there is here.
            let labels = |labels: String| match labels.contains("!=") {
                true => String::new(),
                false => labels,
            };
            let selectors = selectors.map(|found| found.name + &labels(found.labels));
            asked.extend(selectors.map(|expr| (rule.name.clone(), expr)));
        } else {
            asked.push((rule.name.clone(), rule.name.clone()));
        }
    }
    for query in monitoring::queries() {
        if !EMPTY.iter().any(|(panel, _)| *panel == query.panel) {
            asked.push((format!("{}: {}", query.dashboard, query.panel), query.expr));
        }
    }
    assert!(asked.len() > 100, "rules and dashboards are found");
    // Each is asked until it has found something.
    let mut left = asked.clone();
    let look = Duration::from_millis(500);
    let began = std::time::Instant::now();
    while !left.is_empty() {
        let mut empty = Vec::new();
        for (place, expr) in left {
            if monitoring.ask(&expr).await.is_empty() {
                empty.push((place, expr));
            }
        }
        left = empty;
        assert!(began.elapsed() < SOON, "no data: {left:#?}");
        tokio::time::sleep(look).await;
    }
    let evaluated = monitoring.rules().await;
    assert_eq!(evaluated.len(), rules.len());
    for rule in evaluated {
        assert_eq!(rule["health"], "ok", "{rule:#}");
    }
    asked.len()
}

/// The alerts that fire.
async fn fires(monitoring: &Monitoring, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let alerts = monitoring.alerts().await.into_iter();
    alerts
        .map(|(name, _)| name)
        .filter(|name| wanted(name))
        .collect()
}

/// Waits until Alertmanager has these alerts in these states; how long that took.
async fn shows(monitoring: &Monitoring, expected: &[(&str, &str)]) -> Duration {
    let what = format!("Alertmanager shows {expected:?}");
    wait::until(&what, SOON, async || {
        let alerts = monitoring.alerts().await;
        expected.iter().all(|(name, state)| {
            let mut alerts = alerts.iter();
            alerts.any(|(of, is)| of == name && is == state)
        })
    })
    .await
}
