//! `/metrics` of the whole program, as Prometheus' own tool sees it.

use std::io::Write;
use std::process::{Command, Stdio};

use polypy_sim::SimConfig;
use polypy_tests::http;
use polypy_tests::world::{SOON, World};

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
