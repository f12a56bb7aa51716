//! A recording of the demo: written, killed, gone on with, and read.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use polypy::recordings::Verifier;
use polypy_archive::{Piece, Scanner};
use polypy_core::recording::{CatalogueEvent, Entry, Gap, Recorded, SocketEvent};
use serde_json::Value;

use crate::process::{PATIENCE, Running, get, output, polypy};

/// A folder of this test alone.
fn folder(name: &str) -> PathBuf {
    let folder = format!("record-{name}-{}", std::process::id());
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(folder);
    // It may be left of a run that failed.
    drop(std::fs::remove_dir_all(&folder));
    folder
}

fn record(folder: &Path) -> Running {
    let args = [
        "record",
        folder.to_str().unwrap(),
        "--demo",
        "--http-port=0",
        "--sim-markets=5",
        "--sim-rate=500",
        "--record-chunk-after=100ms",
        "--record-sync=100ms",
        "--record-disk-reserve=0B",
    ];
    Running::start(&args)
}

fn stats_url(line: &str) -> String {
    let url = line
        .split_whitespace()
        .find(|word| word.starts_with("http://"));
    url.unwrap().replace("/health", "/stats")
}

/// What the recorder says of itself once it has synced so many frames.
fn recorded(url: &str, frames: u64) -> Value {
    let begun = Instant::now();
    loop {
        let (_, stats) = get(url);
        let recorder = stats["recorder"].clone();
        if recorder["synced_frames"].as_u64() >= Some(frames) {
            return recorder;
        }
        assert!(begun.elapsed() < PATIENCE, "{recorder}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// The session of each file, and its entries.
fn read(folder: &Path) -> Vec<(String, Vec<Recorded>)> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('_'))
        .collect();
    names.sort();
    let read = names.iter().map(|name| {
        assert!(name.ends_with(".mcap"), "{name} is not finished");
        let mut scanner = Scanner::new(File::open(folder.join(name)).unwrap()).unwrap();
        let (mut session, mut entries) = (String::new(), Vec::new());
        while let Some(piece) = scanner.next_piece().unwrap() {
            match piece {
                Piece::Header(header) => session = header.session,
                Piece::Chunk(chunk) => {
                    entries.extend(chunk.entries().map(Result::unwrap));
                }
                Piece::Finished => {}
                other => panic!("{name}: {other:?}"),
            }
        }
        (session, entries)
    });
    read.collect()
}

#[test]
fn a_recording_of_the_demo_survives_a_kill_and_is_gone_on_with() {
    let folder = folder("kill");
    let mut demo = record(&folder);
    let url = stats_url(&demo.stdout_line("/health"));
    let recorder = recorded(&url, 200);
    assert_eq!(recorder["state"], "recording", "{recorder}");
    assert_eq!(recorder["lost_behind"], 0);
    demo.signal("KILL");
    demo.end();

    let mut demo = record(&folder);
    let url = stats_url(&demo.stdout_line("/health"));
    recorded(&url, 100);
    // Two write to no folder.
    let place = folder.to_str().unwrap();
    let args = [
        "run",
        "--demo",
        "--http-port=0",
        "--sim-markets=5",
        "--record",
        place,
    ];
    let (code, _, log) = output(&mut polypy(&args));
    assert_ne!(code, 0, "{log}");
    assert!(log.contains("another process records to"), "{log}");
    demo.signal("TERM");
    assert_eq!(demo.end().code(), Some(0), "{:#?}", demo.seen);

    let files = read(&folder);
    assert!(files.len() >= 2, "{}", files.len());
    let mut next = BTreeMap::<(String, u64), u32>::new();
    let mut gaps = Vec::<Gap>::new();
    let mut seen = BTreeMap::<&str, usize>::new();
    let mut verifiers = BTreeMap::<String, Verifier>::new();
    for (session, entries) in files {
        for recorded in entries {
            verifiers
                .entry(session.clone())
                .or_insert_with(|| Verifier::new(recorded.at))
                .take(&recorded);
            let (kind, numbered) = match recorded.entry {
                Entry::Frame(frame) => ("frame", Some((frame.socket, frame.sequence))),
                Entry::Control(control) => ("control", Some((control.socket, control.sequence))),
                Entry::Socket(SocketEvent::Opened { .. }) => ("opened", None),
                Entry::Socket(SocketEvent::Carries { .. }) => ("carries", None),
                Entry::Socket(SocketEvent::FirstBooks { .. }) => ("first books", None),
                Entry::Socket(SocketEvent::Delivers { .. }) => ("delivers", None),
                Entry::Socket(SocketEvent::Closed { .. }) => ("closed", None),
                Entry::Sent(_) => ("sent", None),
                Entry::Catalogue(CatalogueEvent::New { .. }) => ("market", None),
                Entry::Gap(gap) => {
                    gaps.push(gap);
                    ("gap", None)
                }
                _ => ("other", None),
            };
            *seen.entry(kind).or_default() += 1;
            if let Some((socket, sequence)) = numbered {
                let next = next.entry((session.clone(), socket)).or_default();
                assert_eq!(sequence, *next, "of socket {socket}: none is missing");
                *next += 1;
            }
        }
    }
    let kinds = [
        "frame",
        "opened",
        "carries",
        "first books",
        "delivers",
        "closed",
        "sent",
        "market",
        "gap",
    ];
    for kind in kinds {
        assert!(seen.contains_key(kind), "{kind}: {seen:?}");
    }
    assert!(seen["frame"] >= 300, "{seen:?}");
    // What was recorded makes the venue's own hashes.
    assert_eq!(verifiers.len(), 2, "two runs");
    for verifier in verifiers.into_values() {
        let report = verifier.finish();
        assert!(report.is_whole(), "{report:?}");
        assert!(report.findings.verified > 50, "{:?}", report.findings);
    }
    let of = |reason: &str, is_open: bool| {
        let mut gaps = gaps.iter();
        gaps.any(|gap| &*gap.reason == reason && gap.to_ts.is_none() == is_open)
    };
    // The second run had begun when it ended the first one's file: it knows until when.
    assert!(of("killed", false) && !of("killed", true), "{gaps:?}");
    assert!(of("stopped", true), "{gaps:?}");
    std::fs::remove_dir_all(&folder).unwrap();
}
