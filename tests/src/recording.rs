//! Recordings as a person has them: the built program's commands, folders, and programs that
//! record.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::program::{Program, binary};
use crate::world::SOON;
use crate::{http, wait};

/// An empty folder below `base`, the tests' own.
///
/// # Panics
/// When it cannot be written.
pub fn folder(base: &str, name: &str) -> PathBuf {
    let path = Path::new(base).join(format!("recording-{name}"));
    // It may be left of a run that failed.
    drop(std::fs::remove_dir_all(&path));
    std::fs::create_dir_all(&path).expect("the folder of the tests can be written");
    path
}

/// A path as an argument.
///
/// # Panics
/// When it is no text.
pub fn path_of(path: &Path) -> &str {
    path.to_str().expect("a name that is text")
}

/// What the program says, and its exit code.
#[derive(Debug)]
pub struct Said {
    /// 0 if all is well.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Standard output as JSON.
    ///
    /// # Panics
    /// When it is not.
    pub fn json(&self) -> Value {
        let parsed = serde_json::from_str(&self.out);
        assert!(parsed.is_ok(), "{}{}", self.out, self.err);
        parsed.expect("JSON")
    }
}

/// Runs the program to its end.
///
/// # Panics
/// When it does not start, panics, or is killed.
pub fn run(args: &[&str]) -> Said {
    let output = Command::new(binary())
        .args(args)
        .output()
        .expect("the binary starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let said = Said {
        code: output.status.code().expect("it ended by itself"),
        out: text(output.stdout),
        err: text(output.stderr),
    };
    assert!(!said.err.contains("panicked"), "{args:?}: {}", said.err);
    said
}

/// The arguments that record the demo to a folder: chunks and syncs come often.
pub fn record_demo(folder: &Path) -> Vec<String> {
    let args = [
        "record",
        path_of(folder),
        "--demo",
        "--http-port=0",
        "--sim-markets=10",
        "--sim-rate=1000",
        "--record-chunk-after=100ms",
        "--record-sync=100ms",
        "--record-disk-reserve=0B",
    ];
    args.map(str::to_owned).to_vec()
}

/// Where a program that was started answers.
///
/// # Panics
/// When it does not say so.
pub fn address(program: &Program) -> SocketAddr {
    let line = program.says("/health");
    let url = line.split("http://").nth(1).expect("an address");
    let address = url.split('/').next().expect("an address");
    address.parse().expect("an address")
}

/// What a program's recorder says of itself.
///
/// # Panics
/// When the program does not answer.
pub async fn recorder(address: SocketAddr) -> Value {
    let answer = http::get(address, "/stats").await.expect("an answer");
    answer.json()["recorder"].clone()
}

/// Records the demo until so many frames are on the disk. The program still runs.
///
/// # Panics
/// When that never is so.
pub async fn record_until(folder: &Path, frames: u64) -> Program {
    let program = Program::start(&record_demo(folder));
    let address = address(&program);
    wait::until("it records", 2 * SOON, async || {
        recorder(address).await["synced_frames"].as_u64() > Some(frames)
    })
    .await;
    program
}

/// The frames of a recording as they came, in a span if these options of `cat` name one.
///
/// # Panics
/// When it cannot be read.
pub fn frames(recording: &Path, span: &[&str]) -> Vec<String> {
    let mut args = vec!["cat", "--raw", path_of(recording)];
    args.extend(span);
    // One that has an end of line in it is shown as a text, in `{"frame": ".."}`.
    let frame_of = |line: &str| {
        let parsed: Value = serde_json::from_str(line).expect("JSON");
        let frame = parsed.get("frame").and_then(Value::as_str);
        frame.map_or_else(|| line.to_owned(), str::to_owned)
    };
    said_by(&args).lines().map(frame_of).collect()
}

/// The entries of one channel of a recording.
///
/// # Panics
/// When it cannot be read.
pub fn entries(recording: &Path, channel: &str) -> Vec<Value> {
    let said = said_by(&["cat", path_of(recording), "--channel", channel]);
    let entry = |line| serde_json::from_str(line).expect("JSON");
    said.lines().map(entry).collect()
}

fn said_by(args: &[&str]) -> String {
    let said = run(args);
    assert_eq!(said.code, 0, "{}", said.err);
    said.out
}
