//! Recordings, as a person uses them: imported, shown, verified, cut, repaired, compacted,
//! played to the program, each by the built binary or through the library beneath it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use polypy::PolyPy;
use polypy::archive::{Entries, Recording, SystemDisk};
use polypy::clock::SystemClock;
use polypy::recordings::import;
use polypy_core::recording::RecordingSource;
use polypy_sim::{Sim, SimConfig, SimHandle};
use polypy_tests::program::{Program, binary};
use polypy_tests::recorded;
use polypy_tests::recording::{self, path_of, run};
use polypy_tests::replay::replay;
use polypy_tests::tree;
use polypy_tests::world::{SOON, World, unhurried};
use polypy_tests::{http, wait};
use serde_json::{Value, json};

fn folder(name: &str) -> PathBuf {
    recording::folder(env!("CARGO_TARGET_TMPDIR"), name)
}

/// Our own recording as lines, and as a recording.
fn imported(name: &str) -> (PathBuf, PathBuf, String) {
    let place = folder(name);
    let (lines, _) = recorded::recording();
    let file = place.join("frames.jsonl");
    std::fs::write(&file, &lines).expect("a file");
    let recording = place.join("recording");
    let said = run(&["import", path_of(&file), path_of(&recording)]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    (place, recording, lines)
}

fn only_file(recording: &Path) -> PathBuf {
    let files = std::fs::read_dir(recording).expect("a folder");
    let files = files.map(|file| file.expect("a file").path());
    files
        .filter(|path| path_of(path).contains(".mcap"))
        .max()
        .expect("a file of the recording")
}

#[test]
fn a_recording_is_shown_verified_cut_repaired_and_compacted_as_the_manual_says() {
    let (place, recording, lines) = imported("manual");
    let at = path_of(&recording);
    let (_, contents) = recorded::recording();

    let said = run(&["info", at]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("missing      nothing"), "{}", said.out);
    let info = run(&["info", "--json", at]).json();
    let frames = lines.lines().count();
    assert_eq!(info["entries"]["frames"], frames);

    // Byte for byte.
    assert_eq!(run(&["cat", "--raw", at]).out.trim_end(), lines.trim_end());
    let said = run(&["cat", at, "--channel", "frames", "--limit", "1"]);
    let entry = said.json();
    let first: Value = serde_json::from_str(lines.lines().next().expect("a line")).expect("JSON");
    assert_eq!(entry["data"], first);
    let token = first[0]["asset_id"].as_str().expect("a token");
    let said = run(&["cat", at, "--token", token]);
    assert!(said.out.lines().count() > 3 && said.out.lines().all(|line| line.contains(token)));
    let from = entry["at"].as_u64().expect("a time") + 1;
    let said = run(&["cat", "--raw", at, "--from", &from.to_string()]);
    assert_eq!(said.out.lines().count(), frames - 1);

    let said = run(&["verify", at]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(said.out.starts_with("whole: 2 tokens"), "{}", said.out);
    let report = run(&["verify", "--json", at]).json();
    assert_eq!(report["checks"]["verified"], contents.states);
    assert_eq!(report["checks"]["states"], contents.states);
    has_the_schemas_fields(&report);
    // The lines themselves are the same to it.
    let of_lines = run(&["verify", "--json", path_of(&place.join("frames.jsonl"))]).json();
    assert_eq!(of_lines["checks"], report["checks"]);

    // A kill.
    let file = only_file(&recording);
    let bytes = std::fs::read(&file).expect("the file");
    let part = PathBuf::from(format!("{}.part", file.display()));
    std::fs::remove_file(&file).expect("it is there");
    std::fs::write(&part, &bytes[..bytes.len() - 40]).expect("a file");
    for command in ["info", "verify", "cat"] {
        let said = run(&[command, at]);
        assert_eq!(said.code, 3, "{command}: {}{}", said.out, said.err);
        let told = said.out.contains("polypy repair") || said.err.contains("polypy repair");
        assert!(told, "{command}: {}{}", said.out, said.err);
    }
    let said = run(&["repair", at]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(said.out.contains(": ended"), "{}", said.out);
    assert_eq!(run(&["verify", at]).code, 0);
    let again = run(&["repair", at]);
    assert_eq!((again.code, &*again.out), (0, ""));

    let said = run(&["cat", at, "--channel", "gap,frame"]);
    assert_eq!(said.code, 2, "{}", said.out);
    assert!(said.err.contains("frames, control"), "{}", said.err);

    let said = run(&["compact", at]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert_eq!(run(&["cat", "--raw", at]).out.trim_end(), lines.trim_end());
    assert_eq!(run(&["verify", at]).code, 0);

    // Damage in its midst.
    let file = only_file(&recording);
    let mut bytes = std::fs::read(&file).expect("the file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).expect("a file");
    let said = run(&["verify", at]);
    assert!([3, 65].contains(&said.code), "{}", said.out);
    assert!(said.out.contains("damaged"), "{}", said.out);
    let said = run(&["compact", at]);
    assert_eq!(said.code, 3, "{}{}", said.out, said.err);
    assert!(said.err.contains("polypy repair"), "{}", said.err);
    // Nothing of it is left, and a gap says so.
    let said = run(&["repair", at]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(
        said.out.contains("nothing of it can be read"),
        "{}",
        said.out
    );
    assert!(said.out.contains(": damaged"), "{}", said.out);
    assert_eq!(run(&["repair", at]).code, 0);
    let said = run(&["info", "--json", at]).json();
    assert_eq!(said["gaps"][0]["reason"], "damaged", "{said:#}");
    // One that was no recording stays, and is said to stay.
    let foreign = recording.join("00000009-20261129T084300Z.mcap");
    std::fs::write(&foreign, vec![7; 5_000]).expect("a file");
    let said = run(&["repair", at]);
    assert_eq!(said.code, 3, "{}{}", said.out, said.err);
    assert!(said.out.contains("left as it is"), "{}", said.out);
}

#[test]
fn what_is_not_there_and_what_is_no_recording_has_its_own_exit_code() {
    let place = folder("none");
    let empty = place.join("empty");
    std::fs::create_dir(&empty).expect("a folder");
    let garbage = place.join("00000001-20260101T000000Z.mcap");
    std::fs::write(&garbage, b"nothing of the kind").expect("a file");
    let missing = place.join("missing");
    for command in ["info", "cat", "verify", "repair", "compact", "replay"] {
        for path in [&missing, &empty] {
            let said = run(&[command, path_of(path)]);
            assert_eq!(said.code, 66, "{command}: {}{}", said.out, said.err);
            assert!(said.err.contains(path_of(path)), "{command}: {}", said.err);
        }
    }
    for command in ["info", "cat", "verify", "repair"] {
        let said = run(&[command, path_of(&garbage)]);
        assert_eq!(said.code, 65, "{command}: {}{}", said.out, said.err);
        let name = "00000001-20260101T000000Z.mcap";
        let why = "is no recording: it does not begin as an MCAP file";
        let text = said.out + &said.err;
        assert!(text.contains(name), "{command}: {text}");
        let is_told = matches!(command, "info" | "cat" | "verify");
        assert!(!is_told || text.contains(why), "{command}: {text}");
    }
    for command in ["cat", "replay"] {
        let said = run(&[
            command,
            path_of(&garbage),
            "--from",
            "1795000001",
            "--to",
            "1795000000",
        ]);
        assert_eq!(said.code, 2, "{command}: {}{}", said.out, said.err);
        assert!(said.err.contains("later than --to"), "{}", said.err);
    }
    let text = place.join("text.jsonl");
    std::fs::write(&text, "PONG\n").expect("a file");
    let recording = place.join("recording");
    let said = run(&["import", path_of(&text), path_of(&recording)]);
    assert_eq!(said.code, 65, "{}{}", said.out, said.err);
    assert!(!recording.exists(), "nothing was to be recorded");
}

#[test]
fn a_bare_name_is_a_file_of_this_folder_and_an_empty_one_is_no_folder() {
    let (place, recording, _) = imported("bare");
    let file = only_file(&recording);
    let bytes = std::fs::read(&file).expect("the file");
    std::fs::write(place.join("g.mcap"), &bytes[..bytes.len() - 200]).expect("a file");
    let said_of = |args: &[&str]| {
        let mut command = Command::new(binary());
        command.args(args).current_dir(&place).env_clear();
        let said = command.output().expect("the binary runs");
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        let text = text + &String::from_utf8_lossy(&said.stderr);
        (said.status.code(), text)
    };
    let (code, text) = said_of(&["repair", "g.mcap"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("g.mcap: ended"), "{text}");
    let (code, text) = said_of(&["compact", "g.mcap"]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = said_of(&["record", "", "--demo"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("name a folder"), "{text}");
}

#[test]
fn lines_that_were_left_out_are_a_gap_of_what_was_imported() {
    let place = folder("left-out");
    let (lines, _) = recorded::recording();
    let all = lines.lines().count();
    let mut kept: Vec<_> = lines.lines().collect();
    // In the midst, two together, and at the end.
    kept.insert(all / 2, "nonsense");
    kept.insert(all / 2, "{\"frame\":");
    kept.push("{\"event_type\":\"price_ch");
    let file = place.join("frames.jsonl");
    std::fs::write(&file, kept.join("\n")).expect("a file");
    let recording = place.join("recording");
    let at = path_of(&recording);
    let said = run(&["import", path_of(&file), at]);
    assert_eq!(said.code, 3, "{}{}", said.out, said.err);
    let said = run(&["verify", at]);
    // It says so itself, and no state suffers. What the lines were nobody knows: to none is it
    // whole, neither as lines nor as a recording.
    assert_eq!(said.code, 3, "{}", said.out);
    assert!(said.out.starts_with("not whole"), "{}", said.out);
    assert!(said.out.contains("left_out (us)"), "{}", said.out);
    assert_eq!(run(&["verify", path_of(&file)]).code, 3);
    let said = run(&["info", at]);
    assert_eq!(said.code, 3, "{}", said.out);
    assert!(said.out.starts_with("not whole"), "{}", said.out);
    assert_eq!(run(&["info", "--json", at]).json()["whole"], false);
    let refused = run(&["info", path_of(&file)]);
    assert_eq!(refused.code, 65, "{}", refused.out);
    assert!(refused.out.contains("polypy import"), "{}", refused.out);
    let report = run(&["verify", "--json", at]).json();
    let gaps = report["gaps"].as_array().expect("gaps");
    assert_eq!(gaps.len(), 2, "{gaps:#?}");
    assert!(gaps[0]["to_ts"].as_u64() < gaps[1]["from_ts"].as_u64());
    assert_eq!(report["frames"], all);
    let checks = &report["checks"];
    assert_eq!(checks["verified"], checks["states"], "{checks:#}");
}

#[test]
fn of_a_packed_file_that_is_cut_what_is_there_is_imported() {
    let place = folder("cut-gzip");
    let (lines, _) = recorded::recording();
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(lines.as_bytes()).expect("memory");
    let packed = packed.finish().expect("memory");
    let file = place.join("frames.jsonl.gz");
    std::fs::write(&file, &packed[..packed.len() / 2]).expect("a file");
    let recording = place.join("recording");
    let at = path_of(&recording);
    let said = run(&["import", path_of(&file), at]);
    assert_eq!(said.code, 3, "{}{}", said.out, said.err);
    assert!(said.err.contains("cannot be read"), "{}", said.err);
    assert!(
        said.err.contains("what is before that was imported"),
        "{}",
        said.err
    );
    // A finished file, that says what is missing.
    let path = only_file(&recording);
    assert!(path_of(&path).ends_with(".mcap"), "{}", path.display());
    let all = lines.lines().count() as u64;
    let report = run(&["verify", "--json", at]).json();
    let frames = report["frames"].as_u64().expect("a count");
    assert!(frames > 0 && frames < all, "{frames} of {all}");
    assert_eq!(report["gaps"][0]["reason"], "left_out", "{report:#}");
    assert_eq!(report["checks"]["failed"], 0, "{report:#}");
    let raw = run(&["cat", "--raw", at]).out;
    assert!(lines.starts_with(raw.trim_end()));
    let of_lines = run(&["verify", path_of(&file)]);
    assert_eq!(of_lines.code, 3, "{}", of_lines.out);
    assert!(of_lines.out.contains("cannot be read"), "{}", of_lines.out);
    // Where nothing of it can be read nothing is begun.
    std::fs::write(&file, &packed[..12]).expect("a file");
    let nowhere = place.join("nowhere");
    let said = run(&["import", path_of(&file), path_of(&nowhere)]);
    assert_eq!(said.code, 65, "{}{}", said.out, said.err);
    assert!(!nowhere.exists());
}

#[test]
fn frames_keep_each_byte_on_the_way_through_lines() {
    let place = folder("bytes");
    let frames = [
        "[]\n",
        " {\"event_type\":\"x\"} ",
        "[{\"a\":1},\r\n {\"b\":2}]\n\n",
        "[ 1.50 ]",
    ];
    let lines: Vec<_> = frames
        .iter()
        .map(|frame| json!({ "frame": frame }).to_string())
        .collect();
    let (file, first) = (place.join("frames.jsonl"), place.join("first"));
    std::fs::write(&file, lines.join("\n")).expect("a file");
    let imported = run(&["import", path_of(&file), path_of(&first)]);
    assert_eq!(imported.code, 0, "{}", imported.err);
    let raw = run(&["cat", "--raw", path_of(&first)]).out;
    assert_eq!(raw.lines().count(), frames.len(), "{raw}");
    let (again, second) = (place.join("again.jsonl"), place.join("second"));
    std::fs::write(&again, &raw).expect("a file");
    let imported = run(&["import", path_of(&again), path_of(&second)]);
    assert_eq!(imported.code, 0, "{}", imported.err);
    let told = |recording: &Path| {
        let said = run(&["cat", path_of(recording), "--channel", "frames"]);
        let told = said.out.lines().map(|line| {
            let entry: Value = serde_json::from_str(line).expect("JSON");
            entry["data"].clone()
        });
        told.collect::<Vec<_>>()
    };
    assert_eq!(told(&first), told(&second));
    // All of them are JSON, whatever ends of line they have.
    let meant = frames.map(|frame| serde_json::from_str::<Value>(frame).expect("JSON"));
    assert_eq!(told(&first), meant);
    assert_eq!(run(&["cat", "--raw", path_of(&second)]).out, raw);
    assert!(raw.lines().any(|line| line == frames[1]), "{raw}");
}

#[test]
fn a_level_that_was_changed_with_every_checksum_right_is_found_by_the_next_hash() {
    let place = folder("forged");
    let (lines, _) = recorded::recording();
    let forged = lines.replace("\"80.5\"", "\"80.6\"");
    assert_ne!(forged, lines);
    let file = place.join("forged.jsonl");
    std::fs::write(&file, forged).expect("a file");
    let recording = place.join("recording");
    assert_eq!(
        run(&["import", path_of(&file), path_of(&recording)]).code,
        0
    );
    let said = run(&["verify", "--json", path_of(&recording)]);
    assert_eq!(said.code, 3, "{}", said.out);
    let report = said.json();
    assert_eq!(report["faults"], Value::Array(Vec::new()));
    let wrong = &report["tokens"][0]["contradictions"][0];
    assert_eq!(wrong["reason"], "hash", "{report:#}");
}

/// The report has each field of the schema, and no other.
fn has_the_schemas_fields(report: &Value) {
    let schema = tree::root().join("docs/schemas/verify.json");
    let schema = std::fs::read_to_string(schema).expect("a schema");
    let schema: Value = serde_json::from_str(&schema).expect("JSON");
    let fields = |value: &Value| -> Vec<String> {
        let mut fields: Vec<_> = value
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect();
        fields.sort();
        fields
    };
    let token = &schema["properties"]["tokens"]["items"]["properties"];
    for (found, stated) in [
        (report, &schema["properties"]),
        (&report["checks"], &schema["$defs"]["checks"]["properties"]),
        (&report["tokens"][0], token),
    ] {
        assert_eq!(fields(found), fields(stated));
    }
}

#[test]
fn time_stamps_are_shifted_only_where_they_keep_up_with_the_clock() {
    let (place, recording, _) = imported("shifted");
    let lines = place.join("frames.jsonl");
    for (path, speed, why) in [
        (&recording, "max", "--speed 1x"),
        (&recording, "10x", "--speed 1x"),
        (&lines, "1x", "polypy import"),
    ] {
        let said = run(&["replay", path_of(path), "--shift-times", "--speed", speed]);
        assert_eq!(said.code, 2, "{}{}", said.out, said.err);
        assert!(said.err.contains(why), "{}", said.err);
    }
}

// ---- captures of the real venue --------------------------------------------

/// Captures, how many of their states an independent checker has verified, and how many
/// lines they have.
const CAPTURES: [(&str, u64); 8] = [
    ("frames/polyarb_capture_20260630.jsonl", 9),
    ("frames/polybotv2_raw_20251223.jsonl", 5),
    ("frames/polypy_ws_vs_rest_20251023.jsonl", 3),
    ("frames/ssmd_book_20260212.jsonl", 10),
    ("frames/tinli_fed_20260720.jsonl", 25),
    // One of its 22 books is older than the one of its token before it, and left out.
    ("clob/tinli_books.jsonl", 21),
    ("clob/polyarb_clob_book_binary.json", 1),
    ("clob/polycopy_clob_orderbook_sample.json", 1),
];

#[test]
fn captures_become_recordings_of_which_every_state_is_verified() {
    let Some(captures) = std::env::var_os("POLYPY_CAPTURES").map(PathBuf::from) else {
        eprintln!("nothing checked: POLYPY_CAPTURES names no folder of recordings");
        return;
    };
    let place = folder("captures");
    let all = place.join("all");
    for (name, states) in CAPTURES {
        let one = place.join(name.replace('/', "-"));
        let capture = captures.join(name);
        for recording in [&one, &all] {
            let said = run(&["import", path_of(&capture), path_of(recording)]);
            assert_eq!(said.code, 0, "{name}: {}{}", said.out, said.err);
        }
        let said = run(&["verify", "--json", path_of(&one)]);
        let checks = &said.json()["checks"];
        assert_eq!(checks["verified"], states, "{name}: {checks:#}");
        assert_eq!(checks["states"], states, "{name}: {checks:#}");
        let text = std::fs::read_to_string(&capture).expect("a capture");
        let is_of_frames = name.starts_with("frames/");
        if is_of_frames && !text.contains("min_order_size") {
            let raw = run(&["cat", "--raw", path_of(&one)]).out;
            assert_eq!(raw.trim_end(), text.trim_end(), "{name}");
        }
    }
    let checks = run(&["verify", "--json", path_of(&all)]).json()["checks"].clone();
    let sum: u64 = CAPTURES.iter().map(|(_, states)| states).sum();
    assert_eq!(checks["verified"], sum, "{checks:#}");
    let packed = captures.join("events/tickscope_20260607_0130.reframed.jsonl.gz");
    let large = place.join("large");
    let said = run(&["import", path_of(&packed), path_of(&large)]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let unpacked = Command::new("gzip").arg("-dc").arg(&packed).output();
    let raw = Command::new(binary())
        .args(["cat", "--raw"])
        .arg(&large)
        .output();
    let (unpacked, raw) = (unpacked.expect("gzip").stdout, raw.expect("polypy").stdout);
    assert!(
        unpacked == raw,
        "{} and {} bytes",
        unpacked.len(),
        raw.len()
    );
}

// ---- played ----------------------------------------------------------------

/// The exchange plays a folder.
async fn play(recording: &Path, config: SimConfig, span: Range<u64>) -> SimHandle {
    let recording = Recording::open(Arc::new(SystemDisk), recording).expect("a recording");
    let source: Box<dyn RecordingSource> = Box::new(Entries::of(recording));
    Sim::play(config, Arc::new(SystemClock), source, span)
        .await
        .expect("it can be played")
}

#[tokio::test]
async fn a_recording_that_is_played_is_verified_by_the_program_state_by_state() {
    let place = folder("played");
    let (lines, contents) = recorded::recording();
    let file = place.join("frames.jsonl");
    std::fs::write(&file, &lines).expect("a file");
    let recording = place.join("recording");
    import(&file, &recording, 1_795_000_000_000_000_000).expect("it can be imported");
    let sim = play(&recording, SimConfig::for_tests(), 0..u64::MAX).await;
    let world = World::of_exchange(sim, unhurried()).await;
    wait::until("the recording is played", SOON, async || {
        let playback = world.sim.stats().playback;
        playback.is_some_and(|playback| playback.done)
    })
    .await;
    let expected = replay(&lines);
    let verified = u64::try_from(expected.verified + expected.repeated_books).expect("few");
    let mut passed = 0;
    wait::until("all is applied", SOON, async || {
        let stats = world.stats().await;
        let hash = &stats["workers"]["integrity"]["hash"];
        let count = |name: &str| hash[name].as_u64().unwrap_or(0);
        passed = count("passed")
            + count("passed_with_candidate_price")
            + count("passed_with_other_format")
            + count("late");
        passed == verified && count("failed") == 0
    })
    .await;
    assert!(contents.states > 0);
    for asset in expected.books.keys() {
        let answer = http::get(world.http(), &format!("/orderbook/{asset}")).await;
        let shown = answer.expect("an answer").json();
        assert_eq!(shown["state"], "live", "{asset}");
        assert_eq!(shown["hash_verified"], true, "{asset}");
    }
    world.stop().await;
}

/// When the first frame of recordings with times came, in milliseconds since the epoch.
const CAME: u64 = 1_795_000_000_000;

/// Adds our own frames to a recording, each so many milliseconds behind the one before it, as a
/// run and a file of their own. How many there are.
fn import_timed(recording: &Path, began: u64, apart: usize) -> usize {
    let (lines, _) = recorded::recording();
    let times = (began..).step_by(apart);
    let timed = lines.lines().zip(times);
    let timed = timed.map(|(line, at)| format!("{{\"t_ms\":{at},\"frame\":{line}}}"));
    let timed: Vec<_> = timed.collect();
    let file = recording.with_extension("jsonl");
    std::fs::write(&file, timed.join("\n")).expect("a file");
    let said = run(&["import", path_of(&file), path_of(recording)]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    timed.len()
}

/// `polypy replay`, and a program that takes it for the venue until all is played: what the
/// exchange has counted by then, and how long both took.
async fn followed(recording: &Path, options: &[&str]) -> (Value, Duration) {
    let began = Instant::now();
    let mut args = vec!["replay", path_of(recording)];
    args.extend(options);
    let args: Vec<_> = args.into_iter().map(str::to_owned).collect();
    let venue = Program::start(&args);
    let [gamma, clob, ws] = ["gamma_url", "clob_url", "ws_url"].map(|name| {
        let line = venue.says(name);
        line.split('"').nth(1).expect("an address").to_owned()
    });
    let program = PolyPy::builder().venue(&gamma, &clob, &ws);
    let program = program.build().expect("it can be built");
    program.start().await.expect("it starts");
    let address = gamma.trim_start_matches("http://");
    let address: SocketAddr = address.parse().expect("an address");
    let mut stats = Value::Null;
    wait::until("all is played", SOON, async || {
        let answer = http::get(address, "/sim/stats").await;
        stats = answer.expect("an answer").json();
        stats["playback"]["done"] == true
    })
    .await;
    let took = began.elapsed();
    program.stop().await;
    venue.stop();
    (stats, took)
}

#[tokio::test]
async fn a_replay_from_the_midst_reads_no_file_in_vain_and_sends_nothing_of_before() {
    let recording = folder("from").join("recording");
    let later = CAME + 3_600_000;
    let frames = import_timed(&recording, CAME, 1);
    assert_eq!(import_timed(&recording, later, 1), frames);
    let from = (later + frames as u64 - 3).to_string();
    let (stats, _) = followed(&recording, &["--speed", "max", "--from", &from]).await;
    let playback = &stats["playback"];
    assert_eq!(playback["total"], frames, "of the second file alone");
    assert_eq!(playback["sent"], frames, "those of before make books");
    // These, and three frames, on each socket.
    let totals = &stats["totals"];
    assert!(totals["opening_books"].as_u64() > Some(0), "{totals:#}");
    let sent = totals["frames_queued"].as_u64();
    assert!(
        sent > Some(0) && sent < Some(frames as u64 / 2),
        "{totals:#}"
    );
}

#[tokio::test]
async fn a_replay_takes_as_long_as_what_was_recorded() {
    let recording = folder("as-long").join("recording");
    let frames = import_timed(&recording, CAME, 250);
    let recorded = Duration::from_millis(250 * (frames as u64 - 1));
    assert!(recorded > Duration::from_secs(4), "{recorded:?}");
    let (_, took) = followed(&recording, &[]).await;
    assert!(took >= recorded, "{took:?} of {recorded:?}");
}
