//! What somebody did to the files of a recording, as its commands tell it: removed one, changed
//! one, broke a line of the manifest. And what they say where there is nothing to say.

use std::path::{Path, PathBuf};

use polypy_tests::recorded;
use polypy_tests::recording::{self, Said, path_of, run};
use serde_json::Value;

/// A recording of two files, our own recording each.
fn recording(name: &str) -> (PathBuf, Vec<PathBuf>) {
    let place = recording::folder(env!("CARGO_TARGET_TMPDIR"), name);
    let (lines, _) = recorded::recording();
    let (whole, half) = (place.join("whole.jsonl"), place.join("half.jsonl"));
    let count = lines.lines().count();
    let few: Vec<_> = lines.lines().take(count / 2).collect();
    std::fs::write(&whole, &lines).expect("a file");
    std::fs::write(&half, few.join("\n")).expect("a file");
    let recording = place.join("recording");
    for lines in [&whole, &half] {
        let said = run(&["import", path_of(lines), path_of(&recording)]);
        assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    }
    let files = files(&recording);
    assert_eq!(files.len(), 2);
    (recording, files)
}

fn files(recording: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(recording).expect("a folder");
    let files = files.map(|file| file.expect("a file").path());
    let mut files: Vec<_> = files
        .filter(|path| path_of(path).ends_with(".mcap"))
        .collect();
    files.sort();
    files
}

/// What `info` and `verify` say, which both end so, on one page each.
fn both(recording: &Path, code: i32) -> [String; 2] {
    ["info", "verify"].map(|command| {
        let said = run(&[command, path_of(recording)]);
        assert_eq!(said.code, code, "{command}: {}{}", said.out, said.err);
        said.out
    })
}

fn json(command: &str, recording: &Path) -> Value {
    run(&[command, "--json", path_of(recording)]).json()
}

fn repaired(recording: &Path, code: i32) -> Said {
    let said = run(&["repair", path_of(recording)]);
    assert_eq!(said.code, code, "{}{}", said.out, said.err);
    said
}

#[test]
fn a_lost_file_is_told_as_a_gap_once_it_was_noted_until_it_is_put_back() {
    let (recording, files) = recording("lost");
    let aside = recording.with_file_name("aside");
    std::fs::rename(&files[0], &aside).expect("it is there");
    for page in both(&recording, 3) {
        assert!(page.contains("damaged      00000001"), "{page}");
    }
    let said = repaired(&recording, 0);
    assert!(said.out.contains(": lost"), "{}", said.out);
    for page in both(&recording, 3) {
        assert!(!page.contains("damaged"), "{page}");
        assert!(page.contains("note         00000001"), "{page}");
        assert!(page.contains("lost"), "{page}");
    }
    for command in ["info", "verify"] {
        let told = json(command, &recording);
        assert_eq!(told["whole"], false, "{told:#}");
        let gap = &told["gaps"][0];
        assert_eq!(
            (&gap["reason"], &gap["owner"]),
            (&"lost".into(), &"us".into())
        );
        let fault = &told["faults"][0];
        assert_eq!(
            (&fault["what"], &fault["noted"]),
            (&"lost".into(), &true.into())
        );
    }
    let again = repaired(&recording, 0);
    assert_eq!(again.out, "", "nothing is left to do");
    assert!(again.err.contains("00000001"), "{}", again.err);
    // Nothing but the manifest is left: it is no error, and not whole.
    let second = recording.with_file_name("second");
    std::fs::rename(&files[1], &second).expect("it is there");
    both(&recording, 3);
    repaired(&recording, 0);
    both(&recording, 3);
    std::fs::rename(&aside, &files[0]).expect("it is there");
    std::fs::rename(&second, &files[1]).expect("it is there");
    both(&recording, 0);
}

#[test]
fn a_recording_without_an_entry_and_a_gap_is_unreadable_to_both() {
    let (recording, files) = recording("nothing");
    for file in files {
        std::fs::remove_file(file).expect("it is there");
    }
    for page in both(&recording, 65) {
        assert!(page.starts_with("not whole: there is no entry"), "{page}");
    }
    assert_eq!(json("info", &recording)["whole"], false);
}

#[test]
fn a_changed_file_that_can_be_read_is_noted_and_stays_marked() {
    let (recording, files) = recording("changed");
    let (other, others) = self::recording("changed-other");
    // The same number, and another run's.
    std::fs::copy(&others[1], &files[1]).expect("a file");
    let said = run(&["verify", path_of(&recording)]);
    assert_eq!(said.code, 3, "{}", said.out);
    assert!(said.out.contains("damaged      00000002"), "{}", said.out);
    let said = repaired(&recording, 0);
    assert!(
        said.out.contains("changed after it was finished"),
        "{}",
        said.out
    );
    for page in both(&recording, 0) {
        assert!(page.contains("note         00000002"), "{page}");
    }
    assert_eq!(repaired(&recording, 0).out, "");
    drop(other);
}

#[test]
fn a_line_of_the_manifest_that_cannot_be_read_is_named_by_all_and_not_whole() {
    let (recording, _) = recording("line");
    let manifest = recording.join("_manifest.jsonl");
    let text = std::fs::read_to_string(&manifest).expect("a manifest");
    let mut lines: Vec<_> = text.lines().collect();
    // The first file's, behind the run's.
    assert!(lines[1].contains("\"file\""), "{text}");
    lines[1] = "{\"kind\":\"file\",";
    std::fs::write(&manifest, lines.join("\n") + "\n").expect("a file");
    for page in both(&recording, 3) {
        assert!(page.contains("_manifest.jsonl: line 2"), "{page}");
    }
    for command in ["info", "verify"] {
        let told = json(command, &recording);
        let fault = &told["faults"][0];
        assert_eq!(
            (&fault["what"], &fault["line"]),
            (&"line".into(), &2.into())
        );
    }
    let said = repaired(&recording, 3);
    assert!(said.out.contains("line 2"), "{}", said.out);
    assert!(said.out.contains("now in the manifest"), "{}", said.out);
    both(&recording, 3);
    // The file's line was written again, and nothing else was in the broken one.
    let text = std::fs::read_to_string(&manifest).expect("a manifest");
    let kept: Vec<_> = text.lines().filter(|line| line.len() > 20).collect();
    std::fs::write(&manifest, kept.join("\n") + "\n").expect("a file");
    both(&recording, 0);
}

#[test]
fn a_token_that_was_asked_for_has_its_line_and_an_unknown_one_has_its_code() {
    let (recording, _) = recording("token");
    let at = path_of(&recording);
    let (lines, _) = recorded::recording();
    let first: Value = serde_json::from_str(lines.lines().next().expect("a line")).expect("JSON");
    let known = first[0]["asset_id"].as_str().expect("a token");
    let said = run(&["verify", at, "--token", known]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let line = said.out.lines().find(|line| line.contains(known));
    assert!(
        line.is_some_and(|line| line.contains("verified")),
        "{}",
        said.out
    );
    assert!(said.out.starts_with("whole: 2 tokens"), "{}", said.out);
    let listed = run(&["verify", "--json", at, "--token", known]).json();
    assert_eq!(listed["tokens"].as_array().map(Vec::len), Some(1));
    // It is known, and nothing of it is wanted.
    let said = run(&["cat", at, "--token", known, "--channel", "mark"]);
    assert_eq!((said.code, &*said.out), (0, ""), "{}", said.err);
    for command in ["cat", "verify", "info"] {
        let said = run(&[command, at, "--token", "12345"]);
        assert_eq!((said.code, &*said.out), (66, ""), "{command}: {}", said.err);
        assert!(said.err.contains("12345"), "{command}: {}", said.err);
    }
}

#[test]
fn a_folder_that_another_process_has_and_one_that_cannot_be_locked_end_a_repair_alike() {
    let (recording, files) = recording("locked");
    let lock = recording.join("_lock");
    let held = std::fs::File::open(&lock).expect("a lock");
    held.lock().expect("nobody has it");
    for place in [&recording, &files[0]] {
        let said = repaired(place, 1);
        assert!(said.err.contains("another process"), "{}", said.err);
    }
    drop(held);
    std::fs::remove_file(&lock).expect("it is there");
    std::fs::create_dir(&lock).expect("a folder in its place");
    let said = repaired(&recording, 1);
    assert!(said.err.contains(path_of(&recording)), "{}", said.err);
    std::fs::remove_dir(&lock).expect("it is empty");
    repaired(&recording, 0);
}
