use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::reading::{Line, Reading};

/// A file that is gone when the test is over.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("polypy-sim-{}-{name}.jsonl", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // What stays is a small file in the temporary folder.
        std::fs::remove_file(&self.0).unwrap_or_default();
    }
}

/// All of a recording.
struct Whole {
    lines: Vec<Line>,
    markets: Vec<RecordedMarket>,
}

fn read(name: &str, lines: &[String]) -> Result<Whole, SimError> {
    let file = File::new(name, &lines.join("\n"));
    let mut recording = Recording::read(&file.0)?;
    let markets = std::mem::take(&mut recording.markets);
    let mut reading = Reading::new(recording, 0..u64::MAX);
    let mut lines = Vec::new();
    loop {
        let batch = reading.next_batch().unwrap();
        if batch.is_empty() {
            return Ok(Whole { lines, markets });
        }
        lines.extend(batch);
    }
}

fn book(asset: &str, stamp: u64) -> Value {
    json!({
        "market": "0x01", "asset_id": asset, "timestamp": stamp.to_string(), "hash": "",
        "bids": [{ "price": "0.4", "size": "5" }], "asks": [], "tick_size": "0.01",
        "event_type": "book", "last_trade_price": "",
    })
}

fn change(assets: &[&str], stamp: u64) -> Value {
    let entries: Vec<Value> = assets
        .iter()
        .map(|asset| json!({ "asset_id": asset, "price": "0.3", "size": "1", "side": "BUY" }))
        .collect();
    json!({
        "market": "0x01", "price_changes": entries, "timestamp": stamp.to_string(),
        "event_type": "price_change",
    })
}

#[test]
fn frames_keep_their_bytes_and_arrays_their_line_feed() {
    let spaced = r#"{"event_type": "price_change",  "market":"0x01", "price_changes":[]}"#;
    let lines = [
        json!([book("1", 5)]).to_string(),
        spaced.to_owned(),
        format!("{{\"t_ms\":10,\"frame\":{spaced}}}"),
        json!({ "t_ms": 11, "frame": "PONG" }).to_string(),
        json!({ "t_ms": 12.5, "frame": "[]\n" }).to_string(),
    ];
    let recording = read("bytes", &lines).unwrap();
    let texts: Vec<&str> = recording
        .lines
        .iter()
        .map(|line| line.text.as_str())
        .collect();
    assert_eq!(
        texts,
        [&format!("{}\n", lines[0]), spaced, spaced, "PONG", "[]\n"]
    );
}

#[test]
fn frames_are_due_by_reception_or_stamp_and_never_run_back() {
    let at = |recording: &Whole| -> Vec<u128> {
        recording
            .lines
            .iter()
            .map(|line| line.at.as_millis())
            .collect()
    };
    let stamps = [
        json!([book("1", 1)]).to_string(),
        change(&["1"], 90_000).to_string(),
        change(&["1"], 90_250).to_string(),
        change(&["1"], 90_100).to_string(),
        change(&["1"], 91_000).to_string(),
    ];
    // The opening book's old stamp opens no gap of 90 seconds.
    assert_eq!(
        at(&read("stamps", &stamps).unwrap()),
        [0, 0, 250, 250, 1_000]
    );
    let received: Vec<String> = [5_000, 5_040, 5_020, 6_000]
        .map(|t_ms| json!({ "t_ms": t_ms, "frame": book("1", 1) }).to_string())
        .to_vec();
    assert_eq!(
        at(&read("received", &received).unwrap()),
        [0, 40, 40, 1_000]
    );
}

#[test]
fn only_assets_with_a_book_are_listed_where_there_are_any() {
    let with_book = [change(&["2", "1"], 1).to_string(), book("1", 2).to_string()];
    let recording = read("with-book", &with_book).unwrap();
    assert_eq!(
        recording.markets[0].tokens,
        ["1".parse::<AssetId>().unwrap()]
    );
    assert_eq!(recording.lines[0].places, [(0, 0)]);
    let without = [change(&["2", "1"], 1).to_string()];
    assert_eq!(
        read("without-book", &without).unwrap().markets[0]
            .tokens
            .len(),
        2
    );
}

#[test]
fn a_recording_of_nothing_but_resolutions_lists_what_they_resolve() {
    let resolved = json!({
        "market": "0x01", "assets_ids": ["2", "1"], "winning_asset_id": "1",
        "timestamp": "5", "event_type": "market_resolved",
    });
    let recording = read("resolved", &[resolved.to_string()]).unwrap();
    assert_eq!(recording.markets[0].tokens.len(), 2);
    assert_eq!(recording.lines[0].markets, [0]);
    assert!(matches!(
        recording.lines[0].effects[..],
        [Effect::Resolved(0, 1)]
    ));
    // Where others are recorded, what is only announced is not listed.
    let with_book = [
        resolved.to_string().replace("0x01", "0x02"),
        book("3", 2).to_string(),
    ];
    assert_eq!(
        read("resolved-and-book", &with_book).unwrap().markets.len(),
        1
    );
}

#[test]
fn what_cannot_be_played_is_named() {
    let error = |name: &str, lines: &[String]| read(name, lines).err().unwrap().to_string();
    let lines = [
        change(&["1"], 1).to_string(),
        String::new(),
        "{\"a\":".to_owned(),
    ];
    assert!(error("broken", &lines).contains("line 3"));
    assert!(error("number", &["7".to_owned()]).contains("line 1"));
    assert!(error("empty", &[]).contains("no frame that names an asset"));
    let missing = Recording::read(Path::new("no-such-recording.jsonl")).unwrap_err();
    assert!(matches!(missing, SimError::Recording { .. }));
}
