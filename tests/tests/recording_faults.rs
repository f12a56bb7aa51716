//! What a kill of the program, a full disk and one that fails leave of a recording: the
//! built program records the demo, and its commands judge what is there.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fastrand::Rng;
use polypy_tests::program::{Program, binary};
use polypy_tests::recording::{self, address, path_of, record_demo, recorder, run};
use polypy_tests::world::SOON;
use polypy_tests::{http, tree, wait};
use serde_json::{Value, json};

const SEED: u64 = 20_261_130;

fn folder(name: &str) -> PathBuf {
    recording::folder(env!("CARGO_TARGET_TMPDIR"), name)
}

/// Names of the files that entries are in.
fn files(place: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(place).into_iter().flatten();
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.retain(|path| path_of(path).contains(".mcap"));
    files.sort();
    files
}

/// Frames of each socket of each run follow each other without a hole; how many there are.
fn frames_in_order(place: &Path) -> u64 {
    let mut frames = 0;
    for file in files(place) {
        let said = run(&["cat", path_of(&file), "--channel", "frames,control"]);
        assert_eq!(said.code, 0, "{}", said.err);
        // A file of another run has sockets of its own.
        let mut next = BTreeMap::<String, u64>::new();
        for line in said.out.lines() {
            let entry: Value = serde_json::from_str(line).expect("JSON");
            let channel = entry["channel"].as_str().expect("a channel");
            let (socket, sequence) = match channel.rsplit_once('/') {
                Some((_, socket)) => (socket.to_owned(), &entry["sequence"]),
                None => (
                    entry["data"]["socket"].to_string(),
                    &entry["data"]["sequence"],
                ),
            };
            let sequence = sequence.as_u64().expect("a number");
            if let Some(next) = next.insert(socket, sequence + 1) {
                assert_eq!(sequence, next, "{line}");
            }
            frames += 1;
        }
    }
    frames
}

/// The gaps of a recording that is whole but for them, as `verify` has them.
fn verified(place: &Path) -> Vec<Value> {
    let said = run(&["verify", "--json", path_of(place)]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let report = said.json();
    assert_eq!(report["whole"], true, "{report:#}");
    assert_eq!(report["checks"]["failed"], 0, "{report:#}");
    report["gaps"].as_array().expect("a list").clone()
}

/// The public reader's view of a file, if there is an interpreter that has it: messages of
/// frames read by the index, and from the beginning, and what went wrong with each.
fn read_by_python(file: &Path) -> Option<[(u64, Value); 2]> {
    let interpreter = std::env::var_os("POLYPY_PYTHON")?;
    let script = tree::root().join("polypy-archive/tests/python/read.py");
    let output = Command::new(interpreter).arg(script).arg(file).output();
    let output = output.expect("the interpreter starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    Some(["indexed", "streaming"].map(|way| {
        let topics = said[way]["topics"].as_object().expect("topics");
        let frames = topics
            .iter()
            .filter(|(topic, _)| topic.starts_with("frames/"));
        let frames = frames.filter_map(|(_, of)| of[0].as_u64()).sum();
        (frames, said[way]["error"].clone())
    }))
}

// ---- kills -----------------------------------------------------------------

/// Records, and is killed after a while; frames of which the program had said by then that
/// the disk has them.
async fn record_and_kill(place: &Path, rng: &mut Rng) -> u64 {
    let mut synced = 0;
    let program = Program::start(&record_demo(place));
    // One in five in the middle of its start.
    if rng.u8(..5) == 0 {
        tokio::time::sleep(Duration::from_millis(rng.u64(..400))).await;
    } else {
        let address = address(&program);
        let end = Instant::now() + Duration::from_millis(rng.u64(..1_500));
        while Instant::now() < end {
            let recorder = recorder(address).await;
            synced = recorder["synced_frames"].as_u64().expect("a number");
            assert_eq!(recorder["lost_behind"], 0, "{recorder}");
        }
    }
    // By SIGKILL.
    drop(program);
    synced
}

#[tokio::test]
async fn a_program_that_is_killed_has_recorded_all_that_was_synced_and_names_the_rest() {
    let is_full = std::env::var("POLYPY_SOAK").is_ok_and(|value| value == "full");
    let rounds = if is_full { 100 } else { 10 };
    let mut rng = Rng::with_seed(SEED);
    let (mut most, mut left, mut read) = (0, 0, 0);
    for round in 0..rounds {
        let place = folder("killed");
        let synced = record_and_kill(&place, &mut rng).await;
        most = most.max(synced);
        let part = files(&place).pop();
        let at = path_of(&place);
        // As it is: all that is whole is read, and what is not is named.
        let info = run(&["info", "--json", at]);
        if synced > 0 {
            assert_eq!(info.code, 3, "round {round}: {}{}", info.out, info.err);
            let found = info.json()["entries"]["frames"].as_u64();
            assert!(
                found >= Some(synced),
                "round {round}: {found:?} of {synced}"
            );
        }
        let before = part.as_deref().and_then(read_by_python);
        if let Some([_, (frames, _)]) = before {
            assert!(frames >= synced, "round {round}: {frames} of {synced}");
            read += 1;
        }
        // The one or the other repairs it.
        if rng.bool() {
            assert!(
                [0, 66].contains(&run(&["repair", at]).code),
                "round {round}"
            );
            let again = run(&["repair", at]);
            assert_eq!(again.out, "", "round {round}: nothing is left to do");
        }
        let program = Program::start(&record_demo(&place));
        let address = address(&program);
        wait::until("it records again", SOON, async || {
            recorder(address).await["synced_frames"].as_u64() > Some(0)
        })
        .await;
        program.stop();
        let frames = frames_in_order(&place);
        assert!(frames >= synced, "round {round}: {frames} of {synced}");
        let gaps = verified(&place);
        let mut killed = gaps.iter().filter(|gap| gap["reason"] == "killed");
        if synced > 0 {
            let gap = killed.next_back().expect("the kill is a gap");
            assert_eq!(gap["owner"], "us", "round {round}: {gap}");
            assert_eq!(gap["scope"], "recording", "round {round}: {gap}");
            assert!(gap["to_ts"].is_u64(), "round {round}: {gap}");
            left += 1;
        }
        for file in files(&place) {
            assert!(path_of(&file).ends_with(".mcap"), "{}", file.display());
            if let Some([indexed, streaming]) = read_by_python(&file) {
                assert_eq!(indexed, streaming, "round {round}");
                assert_eq!(indexed.1, Value::Null, "round {round}");
            }
        }
    }
    assert!(most > 200 && left * 2 > rounds, "{most} {left}");
    if read == 0 {
        println!("skipped: the Python reader, since POLYPY_PYTHON names no interpreter");
    }
}

// ---- disks -----------------------------------------------------------------

/// A disk of few bytes, which only those see that enter it.
struct SmallDisk {
    holder: Child,
    place: PathBuf,
}

impl SmallDisk {
    /// `None`, and a message: it cannot be made here.
    #[expect(
        clippy::print_stdout,
        reason = "a test that checks nothing must say so"
    )]
    fn new(name: &str, size: &str) -> Option<Self> {
        let place = folder(name);
        let script = "mount -t tmpfs -o \"size=$1\" tmpfs \"$0\" && echo made && exec cat";
        let holder = Command::new("unshare")
            .args(["-m", "--propagation", "private", "sh", "-c", script])
            .args([path_of(&place), size])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut disk = Self {
            holder: holder.ok()?,
            place,
        };
        let said = disk.holder.stdout.take().expect("piped");
        let line = BufReader::new(said).lines().next();
        if line.is_some_and(|line| line.is_ok_and(|line| line == "made")) {
            return Some(disk);
        }
        println!("skipped: a full disk, since only root can mount one");
        None
    }

    /// A command whose process sees it.
    fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        let holder = self.holder.id().to_string();
        command.args(["-m", "-t", &holder]).arg(binary());
        command.env_clear();
        command
    }

    /// What is on it, for those who do not see it.
    fn seen_from_outside(&self) -> PathBuf {
        let place = path_of(&self.place);
        PathBuf::from(format!("/proc/{}/root{place}", self.holder.id()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Both fail only when it has ended.
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}

/// Every book that the program has is live, none has ever been stale, no hash has failed.
async fn books_are_unaffected(address: std::net::SocketAddr) {
    // One that has just started has not looked at many yet.
    wait::until("hashes are checked", SOON, async || {
        let answer = http::get(address, "/stats").await.expect("an answer");
        answer.json()["workers"]["integrity"]["hash"]["passed"].as_u64() > Some(100)
    })
    .await;
    let answer = http::get(address, "/stats").await.expect("an answer");
    let workers = answer.json()["workers"].clone();
    assert_eq!(workers["books"]["live"], 20, "{workers:#}");
    assert_eq!(workers["events"]["went_stale"], 0, "{workers:#}");
    assert_eq!(workers["integrity"]["hash"]["failed"], 0, "{workers:#}");
}

/// Waits until the disk's failure is said everywhere at once: state, health, metric.
async fn failure_is_said(address: std::net::SocketAddr, reason: &str) {
    wait::until("the failure is said", SOON, async || {
        let recorder = recorder(address).await;
        let health = http::get(address, "/health").await.expect("an answer");
        assert_eq!(health.status, 200, "the books are not concerned");
        let health = health.json().to_string();
        let metrics = http::get(address, "/metrics").await.expect("an answer");
        let metrics = String::from_utf8(metrics.body.to_vec()).expect("text");
        recorder["state"] == "failed"
            && recorder["reason"]
                .as_str()
                .is_some_and(|said| said.contains(reason))
            && health.contains("recorder_failed")
            && metrics.contains("\npolypy_recorder_failed 1\n")
    })
    .await;
}

async fn live(address: std::net::SocketAddr) {
    wait::until("every book is live", SOON, async || {
        let answer = http::get(address, "/stats").await.expect("an answer");
        answer.json()["workers"]["books"]["live"] == 20
    })
    .await;
}

/// The gaps of this reason, of which there is one at least, each of ours; how many healed.
fn healed(gaps: &[Value], reason: &str) -> usize {
    let of = gaps.iter().filter(|gap| gap["reason"] == reason);
    let of: Vec<_> = of.collect();
    assert!(!of.is_empty(), "{gaps:#?}");
    assert!(of.iter().all(|gap| gap["owner"] == json!("us")), "{of:#?}");
    of.iter().filter(|gap| gap["to_ts"].is_u64()).count()
}

#[tokio::test]
async fn a_disk_that_is_full_costs_a_gap_no_book_and_recording_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::new("full", "3m") else {
        return;
    };
    let mut command = disk.enter();
    command.args(record_demo(&disk.place));
    let program = Program::spawn(command);
    let address = address(&program);
    live(address).await;
    wait::until("it records", SOON, async || {
        recorder(address).await["synced_frames"].as_u64() > Some(200)
    })
    .await;
    let place = disk.seen_from_outside();
    let filler = place.join("filler");
    let mut file = std::fs::File::create(&filler).expect("there is room");
    while file.write_all(&[7; 4_096]).is_ok() {}
    drop(file);
    failure_is_said(address, "No space left").await;
    wait::until("what comes is counted as lost", SOON, async || {
        recorder(address).await["lost_disk"].as_u64() > Some(500)
    })
    .await;
    books_are_unaffected(address).await;
    std::fs::remove_file(&filler).expect("it is there");
    let before = recorder(address).await["synced_frames"].as_u64();
    wait::until("it goes on", SOON, async || {
        let recorder = recorder(address).await;
        recorder["state"] == "recording"
            && recorder["synced_frames"].as_u64() > before.map(|before| before + 200)
    })
    .await;
    books_are_unaffected(address).await;
    let synced = recorder(address).await["synced_frames"].as_u64();
    program.stop();
    assert_eq!(run(&["repair", path_of(&place)]).code, 0);
    assert!(healed(&verified(&place), "disk_full") > 0);
    let info = run(&["info", "--json", path_of(&place)]).json();
    assert!(info["entries"]["frames"].as_u64() >= synced);
}

#[tokio::test]
async fn a_disk_that_is_full_when_the_program_starts_costs_a_gap_and_no_start() {
    let Some(disk) = SmallDisk::new("full-at-start", "3m") else {
        return;
    };
    let place = disk.seen_from_outside();
    let filler = place.join("filler");
    let mut file = std::fs::File::create(&filler).expect("there is room");
    while file.write_all(&[7; 4_096]).is_ok() {}
    drop(file);
    let recordings = disk.place.join("recordings");
    let mut command = disk.enter();
    command.args(record_demo(&recordings));
    let program = Program::spawn(command);
    let address = address(&program);
    live(address).await;
    failure_is_said(address, "make room").await;
    books_are_unaffected(address).await;
    std::fs::remove_file(&filler).expect("it is there");
    wait::until("it records", SOON, async || {
        let recorder = recorder(address).await;
        recorder["state"] == "recording" && recorder["synced_frames"].as_u64() > Some(200)
    })
    .await;
    books_are_unaffected(address).await;
    program.stop();
    let recordings = place.join("recordings");
    let gaps = verified(&recordings);
    assert!(healed(&gaps, "disk_full") > 0);
    assert!(
        gaps.iter().all(|gap| gap["reason"] != "killed"),
        "{gaps:#?}"
    );
    let manifest = recordings.join("_manifest.jsonl");
    let manifest = std::fs::read_to_string(manifest).expect("it is there");
    let runs = manifest.matches("\"kind\":\"session\"").count();
    assert_eq!(runs, 1, "{manifest}");
}

/// Each file refuses what is behind its first bytes, as a disk does with a bad block. The
/// system does so to a process that may write no longer files, and anybody may ask for it.
#[tokio::test]
async fn a_disk_that_fails_again_and_again_costs_gaps_and_no_book() {
    let place = folder("failing");
    let mut command = Command::new("sh");
    // In blocks of 512 bytes. The signal that comes with it would end the program.
    let script = "trap '' XFSZ; ulimit -f 200; exec \"$0\" \"$@\"";
    command
        .args(["-c", script])
        .arg(binary())
        .args(record_demo(&place))
        .env_clear();
    let program = Program::spawn(command);
    let address = address(&program);
    live(address).await;
    failure_is_said(address, "too large").await;
    wait::until("it goes on each time", SOON, async || {
        let recorder = recorder(address).await;
        recorder["state"] == "recording" && recorder["errors"].as_u64() > Some(2)
    })
    .await;
    books_are_unaffected(address).await;
    let synced = recorder(address).await["synced_frames"].as_u64();
    // The last file may fail while the program ends, which then says so.
    let ended = program.ended().code();
    assert!(matches!(ended, Some(0 | 1)), "{ended:?}");
    assert_eq!(run(&["repair", path_of(&place)]).code, 0);
    assert!(healed(&verified(&place), "disk_failed") > 1);
    let info = run(&["info", "--json", path_of(&place)]).json();
    assert!(info["entries"]["frames"].as_u64() >= synced);
}

// ---- a folder that is removed ----------------------------------------------

#[tokio::test]
async fn a_folder_that_is_removed_is_made_again_with_one_gap_of_all_it_had_and_one_alarm() {
    let place = folder("removed");
    let synced = async |address, more: u64| {
        wait::until("it records", SOON, async || {
            recorder(address).await["synced_frames"].as_u64() > Some(more)
        })
        .await;
    };
    // An earlier run is in the folder, too.
    let program = Program::start(&record_demo(&place));
    synced(address(&program), 100).await;
    program.stop();
    let earlier = run(&["info", "--json", path_of(&place)]).json();
    let first = earlier["files"][0]["from_ts"].as_u64().expect("a time");

    let program = Program::start(&record_demo(&place));
    let address = address(&program);
    synced(address, 100).await;
    let before = recorder(address).await["synced_frames"].as_u64();
    std::fs::remove_dir_all(&place).expect("it is there");
    let mut alarms = Vec::new();
    loop {
        let line = program.logs("");
        if line.contains("\"ERROR\"") {
            alarms.push(line);
        } else if line.contains("recording again") {
            break;
        }
    }
    assert_eq!(alarms.len(), 1, "{alarms:#?}");
    assert!(alarms[0].contains("removed"), "{alarms:#?}");
    synced(address, before.expect("a number") + 100).await;
    books_are_unaffected(address).await;
    program.stop();

    // A token of which no book has come again has a gap of its own.
    let mut gaps = verified(&place);
    gaps.retain(|gap| gap["scope"] == "recording");
    let removed = gaps.iter().filter(|gap| gap["reason"] == "disk_removed");
    let removed: Vec<_> = removed.collect();
    assert_eq!(removed.len(), 1, "{gaps:#?}");
    assert_eq!(healed(&gaps, "disk_removed"), 1);
    assert_eq!(removed[0]["from_ts"], first, "{:#}", removed[0]);
    let all = earlier["entries"]["frames"].as_u64().zip(before);
    let all = all.map(|(earlier, before)| earlier + before);
    assert!(removed[0]["size"].as_u64() >= all, "{:#}", removed[0]);
}
