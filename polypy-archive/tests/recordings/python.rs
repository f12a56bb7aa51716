//! What the public reader of another language makes of our files. `POLYPY_PYTHON` names an
//! interpreter that has it (`make clients`).

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use fastrand::Rng;
use polypy_archive::repair;
use polypy_archive::testing::FaultyDisk;
use polypy_core::AssetId;
use polypy_core::recording::{Entry, Frame, Recorded, SocketEvent};
use ring::digest::{Context, SHA256};
use serde_json::{Value, json};

use crate::common::{BEGIN, data_of, entries, finished, part, path, read, token};

/// Messages and the SHA-256 of all their data, by topic.
fn expected(entries: &[Recorded]) -> Value {
    let mut topics: BTreeMap<String, (u64, Context)> = BTreeMap::new();
    for entry in entries {
        let (topic, data) = data_of(entry);
        let (count, digest) = topics
            .entry(topic)
            .or_insert_with(|| (0, Context::new(&SHA256)));
        digest.update(&data);
        *count += 1;
    }
    let hex = |digest: Context| -> String {
        let digest = digest.finish();
        digest
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    };
    let shown = topics
        .into_iter()
        .map(|(topic, (count, digest))| (topic, json!([count, hex(digest)])));
    Value::Object(shown.collect())
}

fn read_by_python(interpreter: &str, file: &Path) -> Value {
    let said = run(interpreter, "read.py", &[file.to_str().unwrap()]);
    serde_json::from_str(&said).unwrap()
}

/// What a script of `tests/python` prints.
fn run(interpreter: &str, script: &str, arguments: &[&str]) -> String {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python");
    let mut command = Command::new(interpreter);
    let output = command.arg(scripts.join(script)).args(arguments).output();
    let output = output.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Three sockets: of the first token, of both, and of the second. The third tells of the
/// first token all the same, as no socket of the venue does.
fn carried() -> (AssetId, AssetId, Vec<Recorded>) {
    let mut rng = Rng::with_seed(4);
    let (first, second) = (token(&mut rng), token(&mut rng));
    let both = [first.clone(), second.clone()];
    let mut entries = Vec::new();
    for (socket, tokens) in [(1, &both[..1]), (2, &both[..]), (3, &both[1..])] {
        entries.push(Entry::Socket(SocketEvent::Carries {
            socket,
            tokens: tokens.to_vec(),
        }));
    }
    for sequence in 0..60 {
        for socket in 1..=3 {
            let token = &both[usize::from(sequence % 2 == 0)];
            entries.push(Entry::Frame(Frame {
                socket,
                connection: "a-connection".into(),
                sequence,
                bytes: format!(r#"{{"asset_id":"{token}","sequence":{sequence}}}"#)
                    .into_bytes()
                    .into(),
            }));
        }
    }
    let times = (BEGIN..).step_by(1_000_003);
    let entries = times
        .zip(entries)
        .map(|(at, entry)| Recorded { at, entry })
        .collect();
    (first, second, entries)
}

#[test]
fn the_frames_of_one_token_are_found_by_the_sockets_that_carry_it() {
    let Ok(interpreter) = std::env::var("POLYPY_PYTHON") else {
        println!("skipped: the Python reader, since POLYPY_PYTHON names no interpreter");
        return;
    };
    let place = std::env::temp_dir().join(format!("polypy-token-{}", std::process::id()));
    std::fs::create_dir_all(&place).unwrap();
    let file = place.join("recording.mcap");
    let (first, second, entries) = carried();
    std::fs::write(&file, finished(&entries, 25)).unwrap();
    let unknown = AssetId::new("12").unwrap();
    for (token, sockets) in [(&first, &[1, 2][..]), (&second, &[2, 3]), (&unknown, &[])] {
        let arguments = [file.to_str().unwrap(), token.as_str()];
        let printed = run(&interpreter, "one_token.py", &arguments);
        let found: Vec<Value> = printed
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let expected: Vec<_> = entries
            .iter()
            .filter_map(|recorded| {
                let Entry::Frame(frame) = &recorded.entry else {
                    return None;
                };
                let data: Value = serde_json::from_slice(&frame.bytes).unwrap();
                let is_meant =
                    sockets.contains(&frame.socket) && data["asset_id"] == *token.as_str();
                let topic = format!("frames/a-connection/{}", frame.socket);
                is_meant.then(|| json!({ "at": recorded.at, "topic": topic, "data": data }))
            })
            .collect();
        let (some, all) = (found.len(), expected.len());
        assert!(found == expected, "{token}: {some} frames, {all} expected");
    }
    std::fs::remove_dir_all(&place).unwrap();
}

#[test]
fn the_public_python_reader_reads_what_we_write_and_repair() {
    let Ok(interpreter) = std::env::var("POLYPY_PYTHON") else {
        println!("skipped: the Python reader, since POLYPY_PYTHON names no interpreter");
        return;
    };
    let place = std::env::temp_dir().join(format!("polypy-python-{}", std::process::id()));
    std::fs::create_dir_all(&place).unwrap();
    let ask = |bytes: &[u8]| {
        let file = place.join("recording.mcap");
        std::fs::write(&file, bytes).unwrap();
        let said = read_by_python(&interpreter, &file);
        (said["indexed"].clone(), said["streaming"].clone())
    };
    let all = |entries: &[Recorded]| json!({ "topics": expected(entries), "error": null });

    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/recording.mcap");
    let golden = std::fs::read(golden).unwrap();
    let (indexed, streaming) = ask(&golden);
    assert_eq!(indexed, all(&read(&golden).entries));
    assert_eq!(streaming, indexed);

    let entries = entries(300);
    let bytes = finished(&entries, 25);
    let (indexed, streaming) = ask(&bytes);
    assert_eq!((&indexed, &streaming), (&all(&entries), &all(&entries)));

    // Cut in the eighth chunk: whole chunks before the repair, everything whole after it.
    let chunks = read(&bytes).chunks;
    let cut = &bytes[..usize::try_from(chunks[7]).unwrap() + 500];
    let (_, streaming) = ask(cut);
    assert_eq!(streaming["topics"], expected(&entries[..175]));
    let disk = FaultyDisk::default();
    disk.put(&part(), cut);
    repair(&disk, &part(), BEGIN).unwrap();
    let repaired = disk.content(&path()).unwrap();
    let (indexed, streaming) = ask(&repaired);
    let found = read(&repaired).entries;
    assert_eq!(found.len(), 176, "with the gap");
    assert_eq!((&indexed, &streaming), (&all(&found), &all(&found)));

    // Damaged in the middle.
    let mut broken = bytes.clone();
    broken[usize::try_from(chunks[4]).unwrap() + 200] ^= 1;
    disk.put(&path(), &broken);
    repair(&disk, &path(), BEGIN).unwrap();
    let repaired = disk.content(&path()).unwrap();
    let (indexed, streaming) = ask(&repaired);
    let found = read(&repaired).entries;
    assert_eq!(found.len(), 300 - 25 + 1);
    assert_eq!((&indexed, &streaming), (&all(&found), &all(&found)));
    std::fs::remove_dir_all(&place).unwrap();
}
