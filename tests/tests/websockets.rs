//! PyPI's `websockets` takes `polypy replay` for the venue: it is given each recorded frame, byte
//! for byte and in its order. `POLYPY_PYTHON` names an interpreter that has it (`make clients`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use polypy_tests::program::Program;
use polypy_tests::recording::{self, path_of, record_until};
use polypy_tests::tree;
use serde_json::Value;

fn folder(name: &str) -> PathBuf {
    recording::folder(env!("CARGO_TARGET_TMPDIR"), name)
}

/// The tokens of all markets that the recording's catalogue has.
fn tokens(place: &Path) -> BTreeSet<String> {
    let entries = recording::entries(place, "catalogue");
    let tokens = entries.into_iter().flat_map(|entry: Value| {
        let tokens = entry["data"]["market"]["tokens"].as_array().cloned();
        tokens.unwrap_or_default()
    });
    let id = |token: Value| token["token_id"].as_str().expect("an id").to_owned();
    tokens.map(id).collect()
}

#[tokio::test]
async fn the_package_websockets_is_given_each_frame_byte_for_byte() {
    let Some(interpreter) = std::env::var_os("POLYPY_PYTHON") else {
        println!("nothing checked: POLYPY_PYTHON names no interpreter");
        return;
    };
    let place = folder("websockets");
    record_until(&place, 1_000).await.stop();
    let frames = recording::frames(&place, &[]);
    let args = ["replay", path_of(&place), "--speed", "max"];
    let venue = Program::start(&args.map(str::to_owned));
    let line = venue.says("ws_url");
    let url = line.split('"').nth(1).expect("an address");
    let output = Command::new(interpreter)
        .arg(tree::root().join("tests/python/follow_venue.py"))
        .arg(url)
        .arg(frames.len().to_string())
        .args(tokens(&place))
        .output()
        .expect("the interpreter starts");
    venue.stop();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let told = String::from_utf8(output.stdout).expect("text");
    let told: Vec<String> = told
        .lines()
        .map(|line| serde_json::from_str(line).expect("a text"))
        .collect();
    let same = told
        .iter()
        .zip(&frames)
        .take_while(|(told, frame)| told == frame)
        .count();
    assert_eq!(
        (told.len(), same),
        (frames.len(), frames.len()),
        "{:?}",
        told.get(same)
    );
}
