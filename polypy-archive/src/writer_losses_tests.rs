//! What a recorder says that is lost, and what it counts.

use super::*;
use crate::disk::Disk as _;

#[test]
fn each_frame_is_counted_once_as_written_or_as_lost() {
    let mut bench = Bench::new(WriterConfig {
        disk_reserve: 0,
        ..WriterConfig::default()
    });
    let mut socket = bench.open(1);
    // Each time some are on the disk, some are collected, and some come to no file.
    let mut came = 0;
    for _ in 0..3 {
        say(&mut socket, &["[0]", "PONG", "[1]"], bench.now);
        bench.pass(3 * SECOND);
        bench.disk.set(Faults {
            room: Some(0),
            ..Faults::default()
        });
        say(&mut socket, &["[2]", "PONG"], bench.now);
        bench.pass(Duration::from_millis(2_500));
        say(&mut socket, &["[3]"], bench.now);
        bench.pass(SECOND);
        bench.disk.set(Faults::default());
        bench.pass(31 * SECOND);
        came += 6;
    }
    say(&mut socket, &["[4]"; 10], bench.now);
    bench.pass(3 * SECOND);
    assert_eq!(bench.numbers.errors.get(), 3);
    let (written, lost) = bench.numbers.frames();
    assert_eq!((written, lost), (9 + 10, 9), "{came} came, and ten");
    let bytes = 3 * (3 + 4 + 3) + 10 * 3;
    assert_eq!(bench.numbers.bytes().0, bytes);
    let entries = all(&bench.stop());
    assert_eq!(frames(&entries).len(), 6 + 10, "and three of the others");
}

#[test]
fn a_folder_that_is_removed_is_noticed_and_begun_again() {
    for what in ["the folder", "the file"] {
        let mut bench = Bench::new(WriterConfig {
            disk_reserve: 0,
            ..WriterConfig::default()
        });
        let mut socket = bench.open(1);
        bench.pass(SECOND);
        say(&mut socket, &["[0]", "[1]"], bench.now);
        let first = bench.wall();
        bench.pass(5 * SECOND);
        assert_eq!(bench.numbers.errors.get(), 0);
        let folder = Path::new("recording");
        let old = bench.names().remove(0);
        if what == "the folder" {
            bench.disk.remove_folder(folder);
        } else {
            bench.disk.remove(&folder.join(&old)).unwrap();
        }
        say(&mut socket, &["[2]"], bench.now);
        bench.pass(Duration::from_millis(1_100));
        assert_eq!(bench.numbers.errors.get(), 1, "{what} is missed");
        let (state, why) = bench.numbers.state(bench.now);
        assert_eq!(state, crate::RecorderState::Failed, "{why:?}");
        assert!(why.is_some_and(|why| why.contains("removed")));
        say(&mut socket, &["[3]"], bench.now);
        bench.pass(3 * SECOND);
        say(&mut socket, &["[4]"], bench.now);
        bench.pass(SECOND);
        let disk = bench.stop();
        let names = names(&disk);
        assert!(names.len() == 1 && names[0] > old, "{what}: {names:?}");
        let entries = all(&disk);
        let gap = gaps(&entries)
            .into_iter()
            .find(|gap| &*gap.reason == "disk_removed");
        let gap = gap.expect("it says what is missing");
        // All that was in the file, and what came while there was none.
        assert!(gap.from_ts <= Some(micros(first)), "{gap:?}");
        assert_eq!((gap.owner, gap.size), (Owner::Us, Some(4)), "{what}");
        let frames = frames(&entries);
        assert_eq!(frames.len(), 1);
        assert_eq!((frames[0].sequence, &*frames[0].bytes), (4, &b"[4]"[..]));
        let manifest = disk.content(&folder.join("_manifest.jsonl")).unwrap();
        let manifest = String::from_utf8(manifest).unwrap();
        assert!(manifest.contains("\"session\""), "{manifest}");
        assert!(manifest.contains(&names[0]), "{manifest}");
    }
}

#[test]
fn a_higher_level_makes_files_smaller_and_says_the_same() {
    let recorded = |zstd_level| {
        let mut bench = Bench::new(WriterConfig {
            zstd_level,
            ..WriterConfig::default()
        });
        let mut socket = bench.open(1);
        let said: Vec<_> = (0_u64..4_000)
            .map(|at| {
                format!(
                    "{{\"hash\":\"{:x}\",\"size\":\"{}\"}}",
                    at * at * 977,
                    at % 71
                )
            })
            .collect();
        for frames in said.chunks(50) {
            let frames: Vec<_> = frames.iter().map(String::as_str).collect();
            say(&mut socket, &frames, bench.now);
            bench.step();
        }
        let disk = bench.stop();
        let name = names(&disk).remove(0);
        let bytes = disk.content(&Path::new("recording").join(name)).unwrap();
        (bytes.len(), frames(&all(&disk)))
    };
    let ((live, said), (smaller, same)) = (recorded(1), recorded(19));
    assert!(smaller < live, "{smaller} {live}");
    assert_eq!(said, same);
}
