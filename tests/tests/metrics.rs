//! `/metrics` of the whole program, as Prometheus' own tool sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use polypy_sim::SimConfig;
use polypy_tests::http;
use polypy_tests::world::{SOON, World};
use serde_json::Value;

/// What a scrape without wishes returns.
async fn scrape(world: &World) -> String {
    let answer = http::get(world.http(), "/metrics")
        .await
        .expect("an answer");
    assert_eq!(answer.status, 200);
    String::from_utf8(answer.body.to_vec()).expect("text")
}

/// Names and labels of every sample.
fn series(text: &str) -> Vec<&str> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let split = samples.map(|line| line.rsplit_once(' ').expect("a name and a value"));
    split.map(|(series, _)| series).collect()
}

fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    let value = line.expect("the series is there").trim();
    value.parse().expect("a number")
}

/// What the tool found; `None` where it is not to be had.
fn promtool(text: &str) -> Option<String> {
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            let required = std::env::var("POLYPY_MONITORING").is_ok_and(|how| how == "required");
            assert!(!required, "promtool cannot be run: {error}");
            return None;
        }
    };
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(text.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    Some(if output.status.success() {
        said
    } else {
        format!("{}: {said}", output.status)
    })
}

#[tokio::test]
async fn promtool_finds_nothing() {
    let config = SimConfig {
        markets: 20,
        ..SimConfig::for_tests()
    };
    let world = World::start(config, |builder| builder.num_workers(2)).await;
    let before = scrape(&world).await;
    world.all_live(SOON).await;
    let after = scrape(&world).await;
    for text in [&before, &after] {
        match promtool(text) {
            Some(said) => assert_eq!(said, "", "{text}"),
            None => println!("skipped: promtool cannot be run"),
        }
    }
    // Every series is there from the start, and stays one however much happens.
    let of_workers = |text: &str| -> Vec<String> {
        let all = series(text).into_iter();
        all.filter(|series| series.starts_with("polypy_") && !series.starts_with("polypy_http"))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(of_workers(&before), of_workers(&after));
    let mut unique = series(&after);
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), series(&after).len());
    // No token has strayed into a label.
    let mut digits = 0;
    for letter in after.chars() {
        digits = if letter.is_ascii_digit() {
            digits + 1
        } else {
            0
        };
        assert!(digits < 20, "{after}");
    }
    assert!(value(&after, "polypy_books{state=\"live\"}") >= 40.0);
    assert!(
        value(
            &after,
            "polypy_integrity_checks_total{check=\"hash\",result=\"passed\"}"
        ) > 0.0
    );
    assert!(value(&after, "polypy_receive_to_applied_seconds_count") > 0.0);
    let [one, two] = [0, 1].map(|worker| {
        value(
            &after,
            &format!("polypy_worker_events_total{{worker=\"{worker}\"}}"),
        )
    });
    assert!(one + two >= value(&before, "polypy_worker_events_total{worker=\"0\"}"));
    world.stop().await;
}

/// Where the tables of the manual begin.
const MANUAL: &str = include_str!("../../docs/metrics.md");

/// Fields of `/stats` and families of `/metrics`, each with its labels, that the
/// manual has lines for.
fn documented() -> (BTreeSet<&'static str>, BTreeMap<&'static str, &'static str>) {
    let (_, tables) = MANUAL.split_once("## Every number").expect("the tables");
    let rows = tables.lines().filter(|line| line.starts_with("| "));
    let mut fields = BTreeSet::new();
    let mut families = BTreeMap::new();
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").collect();
        let [field, metric, labels] = [0, 1, 2].map(|at| {
            let cell = cells.get(at).copied().unwrap_or_default();
            cell.trim().trim_matches('`')
        });
        if !field.is_empty() && field != "/stats" {
            fields.insert(field);
        }
        if metric.starts_with("polypy_") || metric.starts_with("process_") {
            families.insert(metric, labels);
        }
    }
    (fields, families)
}

/// The path of every leaf; elements of lists as `[]`.
fn leaves(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let separator = if path.is_empty() { "" } else { "." };
                leaves(value, &format!("{path}{separator}{name}"), found);
            }
        }
        Value::Array(elements) => {
            for element in elements {
                leaves(element, &format!("{path}[]"), found);
            }
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

/// Whether a path is the one of the manual, where `*` is any name.
fn is_like(path: &str, pattern: &str) -> bool {
    // A name may have points in it: a route, a closing code.
    match pattern.split_once('*') {
        None => path == pattern,
        Some((before, after)) => path.strip_prefix(before).is_some_and(|rest| {
            let ends = rest
                .char_indices()
                .map(|(at, letter)| at + letter.len_utf8());
            ends.into_iter().any(|end| is_like(&rest[end..], after))
        }),
    }
}

/// What the manual has and a program without mishaps does not show.
fn may_be_absent(field: &str) -> bool {
    let lists = [
        "recycler.receipts",
        "pool.reconnects.receipts",
        "pool.replicas.pairs",
    ];
    let sparse = ["pool.stats[].", "recycler.active_recycles"];
    field.contains('*')
        || lists
            .iter()
            .chain(&sparse)
            .any(|one| field.starts_with(one))
}

#[tokio::test]
async fn every_number_of_a_running_program_has_its_line_and_every_line_its_number() {
    let config = SimConfig {
        markets: 20,
        ..SimConfig::for_tests()
    };
    let mut own = polypy::config::Config::default();
    own.metrics.per_connection = true;
    // The recorder has numbers of its own.
    let recording = Path::new(env!("CARGO_TARGET_TMPDIR")).join("recording-of-metrics");
    drop(std::fs::remove_dir_all(&recording));
    own.record.dir = Some(recording);
    let world = World::configured(config, own).await;
    world.all_live(SOON).await;
    let stats = world.stats().await;
    let text = scrape(&world).await;
    let (fields, families) = documented();
    assert!(
        fields.len() > 150 && families.len() > 100,
        "the manual was read"
    );

    let mut shown = BTreeSet::new();
    leaves(&stats, "", &mut shown);
    for path in &shown {
        let has_line = fields.iter().any(|field| is_like(path, field));
        assert!(has_line, "{path} of /stats is not in docs/metrics.md");
    }
    for field in fields.iter().filter(|field| !may_be_absent(field)) {
        assert!(
            shown.contains(*field),
            "{field} of docs/metrics.md is not in /stats"
        );
    }

    let helped = text.lines().filter_map(|line| line.strip_prefix("# HELP "));
    let mut exposed = BTreeSet::new();
    for line in helped {
        let (family, help) = line.split_once(' ').expect("a help");
        assert!(help.ends_with('.'), "{line}");
        assert!(
            families.contains_key(family),
            "{family} of /metrics is not in docs/metrics.md"
        );
        exposed.insert(family);
    }
    for (family, labels) in &families {
        // Codes and causes are there once they have occurred.
        let is_there = exposed.contains(family) || labels.split(',').any(|label| label == "code");
        assert!(is_there, "{family} of docs/metrics.md is not in /metrics");
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end));
        let is_known = exposed.contains(name) || base.is_some_and(|base| exposed.contains(base));
        assert!(is_known, "{name} has no help");
    }
    // Each connection has its series now, and each histogram that must have something has.
    assert!(value(&text, "polypy_connection_open{connection=\"conn-0\"}") > 0.0);
    for histogram in [
        "polypy_first_book_seconds_count",
        "polypy_exchange_to_receive_seconds_count",
        "polypy_receive_to_applied_seconds_count",
        "polypy_discovery_duration_seconds_count",
        "polypy_rest_request_duration_seconds_count{service=\"gamma\",endpoint=\"/markets/keyset\"}",
        "polypy_http_request_duration_seconds_count{route=\"/stats\"}",
    ] {
        assert!(value(&text, histogram) > 0.0, "{histogram}");
    }
    assert!(value(&text, "polypy_first_book_seconds_count") >= 40.0);
    world.stop().await;
}

#[tokio::test]
async fn the_original_programs_metrics_are_there_by_a_key() {
    let (before, _) = MANUAL.split_once("## Every number").expect("the tables");
    let (_, table) = before
        .split_once("| original | now |")
        .expect("a table of old names");
    let old: BTreeSet<_> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    assert_eq!(old.len(), 35);
    let (_, now) = documented();
    let config = SimConfig {
        markets: 4,
        ..SimConfig::for_tests()
    };
    for (legacy, is_there) in [
        (true, (|_| true) as fn(bool) -> bool),
        (false, |has_kept_its_name| has_kept_its_name),
    ] {
        let mut own = polypy::config::Config::default();
        own.metrics.legacy = legacy;
        let world = World::configured(config.clone(), own).await;
        world.all_live(SOON).await;
        let connection = world.polypy.pool().connections()[0].id();
        let replaced = world.polypy.recycler().recycle_now(connection).await;
        assert!(replaced.is_ok());
        let text = scrape(&world).await;
        let series: BTreeSet<_> = series(&text).into_iter().collect();
        for name in &old {
            let of_name = series.iter().any(|one| {
                let name_of_one = one.split('{').next().unwrap_or_default();
                let summary = ["_sum", "_count"].map(|end| format!("{name}{end}"));
                name_of_one == *name || summary.iter().any(|one| one == name_of_one)
            });
            let kept = now
                .get(name)
                .is_some_and(|labels| !labels.starts_with("connection"));
            assert_eq!(of_name, is_there(kept), "{name} with legacy = {legacy}");
        }
        if legacy {
            let tokens = value(&text, "polypy_registry_markets_total{status=\"total\"}");
            assert!((tokens - value(&text, "polypy_tokens{state=\"subscribed\"}")).abs() < 0.5);
            assert!(
                value(
                    &text,
                    "polypy_connection_healthy{connection_id=\"conn-1\",status=\"connected\"}"
                ) > 0.0
            );
            assert!(value(&text, "polypy_worker_memory_bytes{worker_id=\"0\"}") > 0.0);
            assert!(value(&text, "polypy_recycler_success_rate") > 0.0);
        }
        world.stop().await;
    }
}

const FOUR: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// The numbers of 100,000 tokens on 500 connections take what those of 40 on one do,
/// but for the digits.
#[tokio::test]
async fn the_size_does_not_grow_with_tokens_and_connections() {
    let mut texts = Vec::new();
    for (markets, target) in [(2, 200), (60, 2)] {
        let exchange = SimConfig {
            markets,
            ..SimConfig::for_tests()
        };
        let mut config = polypy::config::Config::default();
        config.pool.target = target;
        config.pool.pace = Duration::from_millis(1);
        config.workers.count = polypy::config::WorkerCount::Fixed(FOUR);
        let world = World::configured(exchange, config).await;
        world.all_live(SOON).await;
        texts.push(scrape(&world).await);
        world.stop().await;
    }
    let [small, large] = [0, 1].map(|at| &texts[at]);
    assert!(value(small, "polypy_connections") <= 2.0);
    assert!(value(large, "polypy_connections") >= 60.0);
    // Codes of answers and their times come as they occur, the process is read from time
    // to time.
    let comes_by_itself =
        |series: &str| series.starts_with("process_") || series.starts_with("polypy_http_request");
    let [few, many] = [small, large].map(|text| series(text).into_iter().collect::<BTreeSet<_>>());
    let of_one_alone = few.symmetric_difference(&many);
    let of_one_alone: Vec<_> = of_one_alone
        .filter(|series| !comes_by_itself(series))
        .collect();
    assert!(of_one_alone.is_empty(), "{of_one_alone:?}");
    // Each series may still become longer by digits: twice their room is left.
    println!("{} and {} bytes", small.len(), large.len());
    let room = 8 * series(large).len();
    assert!(large.len() + room < 64 * 1024, "{} bytes", large.len());
}
