//! The flight recorder as a person meets it: something goes wrong, the log names a file, and
//! the commands show in it what went wrong.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use polypy::archive::{Disk as _, SystemDisk};
use polypy::config::{Config, WorkerCount};
use polypy_sim::SimConfig;
use polypy_tests::pair::Pair;
use polypy_tests::program::Program;
use polypy_tests::recording::{self, path_of, run};
use polypy_tests::wait;
use polypy_tests::world::{SOON, World};
use serde_json::{Value, json};

const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();

fn folder(name: &str) -> PathBuf {
    recording::folder(env!("CARGO_TARGET_TMPDIR"), &format!("incidents-{name}"))
}

/// Names of the files of incidents, the oldest first.
fn files(place: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(place).into_iter().flatten();
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    files
}

/// What the flight recorder says of itself.
async fn flight(pair: &Pair) -> Value {
    pair.stats().await["flight_recorder"].clone()
}

/// The file that the log names next.
fn named_in_the_log(program: &Program) -> PathBuf {
    let line = program.logs("before an incident was written to a file");
    let line: Value = serde_json::from_str(&line).expect("a line of JSON");
    assert_eq!(line["level"], "WARN", "{line}");
    PathBuf::from(line["file"].as_str().expect("a path"))
}

/// Both tokens of each market, the busiest market first.
async fn tokens(pair: &Pair) -> Vec<String> {
    let mut client = pair.client().await;
    let answer = client.get("/markets?limit=100").await.expect("an answer");
    let markets = answer.json()["markets"].clone();
    let markets = markets.as_array().expect("a list").iter();
    markets
        .flat_map(|market| market["tokens"].as_array().expect("a list").clone())
        .map(|token| token["token_id"].as_str().expect("an id").to_owned())
        .collect()
}

/// Longer than the limit beyond which a process that stands still is called suspended.
const STOPPED: Duration = Duration::from_secs(4);

/// What a file says that it lacks of tokens: why, and whether that has ended.
fn gaps_of_tokens(file: &Path) -> Vec<(String, bool)> {
    let report = run(&["verify", "--json", path_of(file)]).json();
    let gaps = report["gaps"].as_array().expect("a list").iter();
    let gaps = gaps.filter(|gap| gap["scope"] == "token");
    let reason = |gap: &Value| gap["reason"].as_str().expect("a reason").to_owned();
    gaps.map(|gap| (reason(gap), !gap["to_ts"].is_null()))
        .collect()
}

/// Incidents that a file names, with their tokens.
fn marks(file: &Path) -> Vec<(String, Vec<String>)> {
    let mut marks = all_marks(file);
    marks.retain(|(kind, _)| kind != "suspended");
    marks
}

fn all_marks(file: &Path) -> Vec<(String, Vec<String>)> {
    let said = run(&["cat", path_of(file), "--channel", "mark"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let marks = said.out.lines().map(|line| {
        let mark = serde_json::from_str::<Value>(line).expect("JSON")["data"].clone();
        let tokens = mark["tokens"].as_array().expect("a list").iter();
        let tokens = tokens.map(|token| token.as_str().expect("an id").to_owned());
        let kind = mark["kind"].as_str().expect("a kind").to_owned();
        (kind, tokens.collect())
    });
    marks.collect()
}

/// What `verify` finds wrong, and of which tokens.
fn contradictions(file: &Path) -> Vec<(String, String)> {
    let said = run(&["verify", "--json", path_of(file)]);
    assert_eq!(said.code, 3, "{}{}", said.out, said.err);
    let report = said.json();
    assert_eq!(report["faults"], json!([]), "the file is not damaged");
    assert_eq!(report["missing_frames"], 0, "{report:#}");
    let tokens = report["tokens"].as_array().expect("a list").clone();
    let wrong = tokens.iter().flat_map(|token| {
        let id = token["token_id"].as_str().expect("an id");
        let found = token["contradictions"].as_array().expect("a list").iter();
        found.map(move |wrong| {
            let reason = wrong["reason"].as_str().expect("a reason");
            (reason.to_owned(), id.to_owned())
        })
    });
    wrong.collect()
}

/// Waits for a file that names this token; all that the log names till then are there.
fn file_about(program: &Program, token: &String) -> PathBuf {
    loop {
        let file = named_in_the_log(program);
        if marks(&file).iter().any(|(_, of)| of.contains(token)) {
            return file;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_book_found_wrong_becomes_a_file_that_the_log_names_and_that_shows_it_again() {
    let place = folder("wrong");
    let flags = [
        ("flight-recorder-dir", path_of(&place)),
        ("flight-recorder-per-hour", "20"),
        ("audit-enabled", "false"),
        ("integrity-hash-cpu-percent", "100"),
    ];
    let pair = Pair::start(8, 400.0, &flags).await;
    pair.all_live(SOON).await;
    let tokens = tokens(&pair).await;
    assert_eq!(flight(&pair).await["files"], 0, "nothing is wrong so far");
    assert!(files(&place).is_empty());

    // All sockets are lost, and the process stands still.
    pair.fault(json!({ "name": "drop_connection", "for": "100ms" }))
        .await;
    pair.program.signal("STOP");
    tokio::time::sleep(STOPPED).await;
    pair.program.signal("CONT");
    pair.all_live(2 * SOON).await;

    // Hashes that no levels give.
    let token = &tokens[0];
    pair.fault(json!({ "name": "wrong_hash", "assets": [token], "rate": 1 }))
        .await;
    let false_hash = file_about(&pair.program, token);
    pair.clear_faults().await;
    assert_eq!(files(&place)[0], false_hash);
    let named = marks(&false_hash);
    assert!(named.iter().all(|(kind, _)| kind == "hash"), "{named:?}");
    let found = contradictions(&false_hash);
    let expected = ("hash".to_owned(), token.clone());
    assert!(found.contains(&expected), "{found:?}");
    let missing = gaps_of_tokens(&false_hash);
    let ended = ("disconnected".to_owned(), true);
    assert!(missing.contains(&ended), "{missing:?}");
    let is_open = |(reason, has_ended): &(String, bool)| reason == "disconnected" && !has_ended;
    assert!(!missing.iter().any(is_open), "{missing:?}");
    let kinds: Vec<_> = all_marks(&false_hash)
        .into_iter()
        .map(|(kind, _)| kind)
        .collect();
    assert!(kinds.contains(&"suspended".to_owned()), "{kinds:?}");
    let info = run(&["info", "--json", path_of(&false_hash)]);
    assert_eq!(info.code, 0, "{}{}", info.out, info.err);
    assert_eq!(info.json()["entries"]["catalogue"], 8, "{}", info.out);

    // Changes that are never sent.
    pair.all_live(2 * SOON).await;
    let token = &tokens[2];
    pair.fault(json!({ "name": "omit_change", "assets": [token], "count": 20 }))
        .await;
    let lost_frame = file_about(&pair.program, token);
    pair.clear_faults().await;
    let found = contradictions(&lost_frame);
    assert!(found.iter().any(|(_, of)| of == token), "{found:?}");

    let told = flight(&pair).await;
    assert_eq!(told["files"], files(&place).len(), "{told}");
    assert_eq!(told["not_written_limit"], 0, "{told}");
    assert_eq!(told["not_written_failed"], 0, "{told}");
    pair.stop();

    plays_again(&false_hash).await;
}

/// Changes of both tokens are lost that nothing else tells of.
#[tokio::test(flavor = "multi_thread")]
async fn the_answer_that_contradicted_a_book_is_in_the_file() {
    let place = folder("audit");
    let flags = [
        ("flight-recorder-dir", path_of(&place)),
        ("audit-period", "2s"),
    ];
    let pair = Pair::start(4, 200.0, &flags).await;
    pair.all_live(SOON).await;
    let tokens = tokens(&pair).await;
    pair.fault(json!({ "name": "missing_fields", "rate": 1 }))
        .await;
    pair.fault(json!({ "name": "omit_change", "assets": tokens[..2], "count": 100 }))
        .await;
    let file = file_about(&pair.program, &tokens[0]);
    pair.stop();
    let named = marks(&file);
    assert_eq!(named[0].0, "audit", "{named:?}");
    let said = run(&["cat", path_of(&file), "--channel", "rest"]);
    // One for each time that it was noticed.
    assert!((1..=2).contains(&said.out.lines().count()), "{}", said.out);
    for line in said.out.lines() {
        let answer = serde_json::from_str::<Value>(line).expect("JSON")["data"].clone();
        assert_eq!(answer["purpose"], "audit");
        let body = answer["body"].as_str().expect("a body");
        assert!(body.contains(&tokens[0]), "{body}");
    }
    let said = run(&["verify", "--json", path_of(&file)]);
    assert_eq!(said.code, 3, "{}", said.out);
    let failed = &said.json()["checks"]["checkpoints_failed"];
    assert!(failed.as_u64() >= Some(1), "{failed}");
}

/// The file is a venue, and a program that follows it finds the same hash wrong.
async fn plays_again(file: &Path) {
    let args = ["replay", path_of(file), "--speed=10x"].map(str::to_owned);
    let venue = Program::start(&args);
    let url = |name: &str| {
        let line = venue.says(name);
        line.split('"').nth(1).expect("an address").to_owned()
    };
    let (gamma, clob, ws) = (url("gamma_url"), url("clob_url"), url("ws_url"));
    let program = polypy::PolyPy::builder().venue(&gamma, &clob, &ws);
    let program = program.build().expect("it can be built");
    program.start().await.expect("it starts");
    wait::until("the same hash fails", SOON, async || {
        let stats = program.stats();
        let is_there = stats["registry"]["markets"] == 8;
        is_there && stats["workers"]["integrity"]["hash"]["failed"].as_u64() > Some(0)
    })
    .await;
    program.stop().await;
    // What a flight recorder writes must not come among what is played.
    let place = file.parent().expect("a folder");
    let is_held = || SystemDisk.is_held(place).expect("a folder");
    assert!(is_held());
    venue.stop();
    assert!(!is_held());
}

#[tokio::test]
async fn a_worker_that_dies_leaves_a_file_beside_the_recording_which_goes_on() {
    let place = folder("panic");
    let recording = place.join("recording");
    let exchange = SimConfig {
        markets: 6,
        events_per_second: 300.0,
        ..SimConfig::for_tests()
    };
    let mut config = Config::default();
    config.workers.count = WorkerCount::Fixed(TWO);
    config.record.dir = Some(recording.clone());
    config.record.disk_reserve.0 = 0;
    config.flight_recorder.per_hour = 1;
    let world = World::configured(exchange, config).await;
    world.all_live(SOON).await;
    world.polypy.workers().inject_panic(0);
    wait::until("a file is written", SOON, async || {
        world.stats().await["flight_recorder"]["files"] == 1
    })
    .await;
    world.all_live(SOON).await;
    let told = world.stats().await["flight_recorder"].clone();
    assert!(told["frames"].as_u64() > Some(0), "{told}");
    assert!(told["bytes"].as_u64() > Some(0), "{told}");
    assert_eq!(told["not_written_limit"], 0, "{told}");

    // There was one within the hour.
    world.polypy.workers().inject_panic(1);
    wait::until("the next one is counted", SOON, async || {
        world.stats().await["flight_recorder"]["not_written_limit"] == 1
    })
    .await;
    world.all_live(SOON).await;
    assert_eq!(world.stats().await["flight_recorder"]["files"], 1);
    world.stop().await;

    let files = files(&recording.join("incidents"));
    assert_eq!(files.len(), 1, "{files:?}");
    let named = marks(&files[0]);
    let (kind, tokens) = &named[0];
    assert_eq!(kind, "worker_died");
    assert!(!tokens.is_empty());
    let said = run(&["verify", "--json", path_of(&files[0])]);
    assert_eq!(said.code, 0, "the venue said nothing wrong: {}", said.out);
    assert!(said.json()["checks"]["verified"].as_u64() > Some(20));
    // The recording does not take it for one of its files.
    let said = run(&["info", "--json", path_of(&recording)]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert_eq!(said.json()["entries"]["mark"], 2, "{}", said.out);
    assert_eq!(run(&["verify", path_of(&recording)]).code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_written_costs_a_line_and_nothing_else() {
    let place = folder("refused");
    let wanted = place.join("incidents");
    let flags = [
        ("flight-recorder-dir", path_of(&wanted)),
        ("audit-enabled", "false"),
        ("integrity-hash-cpu-percent", "100"),
    ];
    let pair = Pair::start(8, 400.0, &flags).await;
    pair.all_live(SOON).await;
    // It could be created when the program began.
    std::fs::write(&wanted, "no folder").expect("a file");
    let tokens = tokens(&pair).await;
    let fault = json!({ "name": "omit_change", "assets": [tokens[0]], "count": 20 });
    pair.fault(fault).await;
    let line = pair
        .program
        .logs("the flight recorder cannot write its file");
    assert!(line.contains(path_of(&wanted)), "{line}");
    let told = flight(&pair).await;
    assert_eq!(told["errors"], 1, "{told}");
    assert!(told["not_written_failed"].as_u64() >= Some(1), "{told}");
    pair.clear_faults().await;
    pair.rest(SOON).await;
    let comparison = pair.assert_equal_to_truth(SOON).await;
    assert_eq!(comparison.live, 16);
    pair.stop();
}

#[tokio::test]
async fn turned_off_it_keeps_nothing_and_writes_nothing() {
    let place = folder("off");
    let exchange = SimConfig {
        markets: 4,
        ..SimConfig::for_tests()
    };
    let mut config = Config::default();
    config.flight_recorder.dir = Some(place.join("incidents"));
    config.flight_recorder.memory.0 = 0;
    let world = World::configured(exchange, config).await;
    world.all_live(SOON).await;
    world.polypy.workers().inject_panic(0);
    wait::until("the worker is back", SOON, async || {
        world.stats().await["workers"]["restarts"] == 1
    })
    .await;
    world.all_live(SOON).await;
    assert_eq!(world.stats().await["flight_recorder"], Value::Null);
    world.stop().await;
    assert!(!place.join("incidents").exists());
}
