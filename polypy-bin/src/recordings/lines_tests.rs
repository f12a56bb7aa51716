use std::io::{Cursor, Write as _};
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::recordings::source::verify_lines;

const AT: u64 = 1_795_000_000_123 * MILLISECOND;

fn read(text: &str) -> (Vec<Recorded>, LeftOut) {
    let mut lines = Lines::new(Cursor::new(text.to_owned()), "kept.jsonl");
    let mut entries = Vec::new();
    while let Some(entry) = lines.next_entry().unwrap() {
        entries.push(entry);
    }
    (entries, lines.left_out().clone())
}

fn frames(entries: &[Recorded]) -> Vec<(u64, String)> {
    let text = |entry: &Recorded| match &entry.entry {
        Entry::Frame(frame) => Some(String::from_utf8(frame.bytes.to_vec()).unwrap()),
        Entry::Control(control) => control.text.clone().map(Into::into),
        Entry::Answer(answer) => Some(answer.body.clone().into()),
        _ => None,
    };
    entries
        .iter()
        .filter_map(|entry| Some((entry.at, text(entry)?)))
        .collect()
}

#[test]
fn what_is_no_frame_is_left_out_and_the_rest_is_there() {
    let (entries, left_out) = read("[]\n\nPONG\n{\"frame\":\n{\"a\":1}\n{\"event_type\":\"x\"}\n");
    let found: Vec<_> = frames(&entries).into_iter().map(|(_, text)| text).collect();
    assert_eq!(found, ["[]", "{\"event_type\":\"x\"}"]);
    assert_eq!(left_out.lines, 3);
    let first = left_out.first.unwrap();
    assert!(first.starts_with("line 3 is no JSON"), "{first}");
    let (entries, left_out) = read("");
    assert_eq!((entries.len(), left_out), (0, LeftOut::default()));
    let (entries, left_out) = read("{\"frame\":\n[]\n");
    assert_eq!((frames(&entries).len(), left_out.lines), (1, 1));
}

#[test]
fn a_line_says_when_its_frame_came_or_the_venue_does() {
    let (entries, left_out) = read(concat!(
        "{\"t_ms\":1795000000123,\"frame\":\"[]\"}\n",
        "{\"t_ms\":1795000000125.25,\"frame\":[ 1.50 ]}\n",
        "{\"t_ms\":\"1795000000127\",\"frame\":\"PONG\"}\n",
        "{\"file\":\"a\",\"body\":{\"asset_id\":\"7\",\"timestamp\":\"1795000000300\"}}\n",
        "{\"event_type\":\"book\",\"timestamp\":\"1795000000100\"}\n",
        "[{\"timestamp\":\"1795000000100\"},{\"timestamp\":1795000000400}]",
    ));
    assert_eq!(left_out.lines, 0);
    let after = |millis: f64| {
        AT + u64::try_from(std::time::Duration::from_secs_f64(millis / 1e3).as_nanos()).unwrap()
    };
    let expected = [
        (1.0, "[]"),
        (3.25, "[ 1.50 ]"),
        (5.0, "PONG"),
        (
            178.0,
            "{\"asset_id\":\"7\",\"timestamp\":\"1795000000300\"}",
        ),
        (
            179.0,
            "{\"event_type\":\"book\",\"timestamp\":\"1795000000100\"}",
        ),
        (
            278.0,
            "[{\"timestamp\":\"1795000000100\"},{\"timestamp\":1795000000400}]",
        ),
    ];
    assert_eq!(
        frames(&entries),
        expected.map(|(at, text)| (after(at), text.to_owned()))
    );
    // A socket that opens, begins with the fetched book, and closes.
    let of_socket = |entry: &&Recorded| matches!(entry.entry, Entry::Socket(_));
    assert_eq!(entries.iter().filter(of_socket).count(), 3);
}

#[test]
fn a_packed_file_and_one_that_is_a_single_value_are_read() {
    let place = std::env::temp_dir().join(format!("polypy-lines-{}", std::process::id()));
    std::fs::create_dir_all(&place).unwrap();
    let path = place.join("book.json");
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    let text = "{\n \"bids\": [],\n \"asks\": [],\n \"asset_id\": \"7\"\n}\n";
    packed.write_all(text.as_bytes()).unwrap();
    for content in [text.as_bytes().to_vec(), packed.finish().unwrap()] {
        std::fs::write(&path, content).unwrap();
        let mut lines = Lines::open(&path).unwrap();
        let mut entries = Vec::new();
        while let Some(entry) = lines.next_entry().unwrap() {
            entries.push(entry);
        }
        assert_eq!(frames(&entries)[0].1, text.trim_end());
        assert_eq!(lines.left_out().lines, 0);
    }
    std::fs::remove_dir_all(&place).unwrap();
}

/// Recordings of the real venue, and how many of their states an independent checker has
/// verified: all that they have.
const CAPTURES: [(&str, u64); 5] = [
    ("polyarb_capture_20260630", 9),
    ("polybotv2_raw_20251223", 5),
    ("polypy_ws_vs_rest_20251023", 3),
    ("ssmd_book_20260212", 10),
    ("tinli_fed_20260720", 25),
];

#[test]
fn every_state_of_the_recordings_of_the_real_venue_is_verified() {
    let Some(folder) = std::env::var_os("POLYPY_CAPTURES").map(PathBuf::from) else {
        eprintln!("nothing checked: POLYPY_CAPTURES names no folder of recordings");
        return;
    };
    for (name, states) in CAPTURES {
        let path = folder.join("frames").join(format!("{name}.jsonl"));
        let report = verify_lines(Lines::open(&path).unwrap()).unwrap();
        assert_eq!(
            report.findings.verified,
            states,
            "{name}\n{}",
            report.page()
        );
        assert_eq!(report.findings.states, states, "{name}\n{}", report.page());
        assert_eq!(report.findings.failed, 0, "{name}");
    }
}

#[test]
fn a_file_without_a_line_is_not_whole() {
    let name = format!("polypy-no-lines-{}.jsonl", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, "").unwrap();
    let report = verify_lines(Lines::open(&path).unwrap()).unwrap();
    assert!(!report.is_whole() && report.is_unreadable());
    std::fs::remove_file(&path).unwrap();
}
