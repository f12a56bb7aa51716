//! What the public reader of another language makes of our files. `POLYPY_PYTHON` names an
//! interpreter that has it (`make clients`).

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use polypy_archive::repair;
use polypy_archive::testing::FaultyDisk;
use polypy_core::recording::Recorded;
use ring::digest::{Context, SHA256};
use serde_json::{Value, json};

use crate::common::{BEGIN, data_of, entries, finished, part, path, read};

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
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/read.py");
    let output = Command::new(interpreter)
        .arg(script)
        .arg(file)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
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
