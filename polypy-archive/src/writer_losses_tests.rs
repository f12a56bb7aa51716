//! What a recorder says that is lost, and what it counts.

use super::*;
use crate::disk::Disk as _;
use crate::listing::Recording;

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
    // What a failed disk has lost is made up for by the next frames, each of its own kind.
    say(&mut socket, &["[4]"; 10], bench.now);
    say(&mut socket, &["PONG"], bench.now);
    bench.pass(3 * SECOND);
    assert_eq!(bench.numbers.errors.get(), 3);
    let (written, lost) = bench.numbers.frames();
    let control = bench.numbers.control.get();
    assert_eq!(
        (written, control, lost),
        (6 + 10, 3 + 1, 9),
        "{came} came, and eleven"
    );
    assert_eq!(bench.numbers.bytes().0, 3 * (3 + 3) + 10 * 3);
    let numbers = Arc::clone(&bench.numbers);
    let entries = all(&bench.stop());
    assert_eq!(frames(&entries).len() as u64, written);
    assert_eq!(numbers.synced(), written, "of one kind, too");
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

#[test]
fn what_has_no_room_is_one_gap_with_its_size_and_the_sequence_goes_on() {
    let mut bench = Bench::with_room(WriterConfig::default(), 4_096);
    let mut socket = carrying(&bench, &infos(2));
    bench.step();
    for _ in 0..100 {
        say(&mut socket, &["[1]", "[2]"], bench.now);
    }
    bench.pass(SECOND);
    say(&mut socket, &["[3]"], bench.now);
    bench.step();
    assert_eq!(
        bench.numbers.state(bench.now).0,
        crate::RecorderState::Behind
    );
    let (written, lost) = bench.numbers.frames();
    assert_eq!(written + lost, 201);
    assert!(lost > 0);
    let later = bench.now + Duration::from_secs(61);
    assert_eq!(
        bench.numbers.state(later).0,
        crate::RecorderState::Recording
    );
    let entries = all(&bench.stop());
    let behind: Vec<_> = gaps(&entries)
        .into_iter()
        .filter(|gap| &*gap.reason == "recorder_behind")
        .collect();
    // Nobody knows which tokens it was about, and no book has come since.
    assert_eq!(behind.len(), 1);
    assert_eq!(behind[0].scope, GapScope::Socket);
    assert_eq!((behind[0].size, behind[0].to_ts), (Some(lost), None));
    let sequences: Vec<_> = frames(&entries)
        .iter()
        .map(|frame| frame.sequence)
        .collect();
    assert_eq!(sequences.last(), Some(&200));
    assert_eq!(sequences.len() as u64, written);
}

#[test]
fn a_disk_that_is_full_costs_a_gap_and_the_recorder_goes_on_when_there_is_room() {
    let mut bench = Bench::new(WriterConfig {
        disk_reserve: 0,
        ..WriterConfig::default()
    });
    let infos = infos(2);
    let mut socket = carrying(&bench, &infos);
    say(&mut socket, &["[0]"], bench.now);
    bench.pass(4 * SECOND);
    let kept = bench.wall();
    bench.disk.set(Faults {
        room: Some(10),
        ..Faults::default()
    });
    say(&mut socket, &["[1]"], bench.now);
    bench.pass(3 * SECOND);
    let (state, reason) = bench.numbers.state(bench.now);
    assert_eq!(state, crate::RecorderState::Failed, "{reason:?}");
    say(&mut socket, &["[2]"], bench.now);
    bench.pass(4 * SECOND);
    bench.disk.set(Faults::default());
    bench.pass(30 * SECOND);
    assert_eq!(
        bench.numbers.state(bench.now).0,
        crate::RecorderState::Recording
    );
    let back = bench.wall();
    say(&mut socket, &["[3]"], bench.now);
    bench.step();
    // A book that comes again ends it.
    socket.sent(
        "{}",
        Asked::Resubscribe(StaleReason::Hash),
        &infos,
        bench.now,
    );
    bench.now += SECOND;
    let keys: Vec<_> = infos.iter().map(|info| info.key).collect();
    socket.first_books(&keys, BookOrigin::Snapshot, bench.now);
    let disk = bench.stop();
    let entries = all(&disk);
    let told: Vec<_> = frames(&entries)
        .iter()
        .map(|frame| frame.sequence)
        .collect();
    assert_eq!(told, [0, 3], "what was synced and what came after");
    let gaps: Vec<_> = gaps(&entries)
        .into_iter()
        .filter(|gap| gap.scope == GapScope::Recording && &*gap.reason != "stopped")
        .collect();
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    let (open, healed) = (&gaps[0], &gaps[1]);
    assert_eq!(&*open.reason, "disk_full");
    assert_eq!(open.from_ts, healed.from_ts);
    assert!(
        open.from_ts.unwrap() <= kept / 1_000,
        "from what was on the disk on"
    );
    assert_eq!((open.to_ts, healed.size), (None, Some(2)));
    assert!(healed.to_ts.unwrap() >= back / 1_000);
    assert_eq!(healed.healed_by.as_deref(), Some("snapshot"));
}

#[test]
fn tries_come_ever_later_and_a_file_that_failed_is_not_touched_again() {
    let mut bench = Bench::new(WriterConfig {
        disk_reserve: 0,
        ..WriterConfig::default()
    });
    let mut socket = bench.open(1);
    say(&mut socket, &["[0]"], bench.now);
    bench.disk.set(Faults {
        syncs: Some(0),
        ..Faults::default()
    });
    bench.pass(3 * SECOND);
    assert_eq!(bench.numbers.errors.get(), 1);
    let part = bench.names().remove(0);
    let failed = bench.disk.content(&Path::new("recording").join(&part));
    // No file can begin either.
    bench.disk.set(Faults {
        room: Some(0),
        ..Faults::default()
    });
    let mut tries = Vec::new();
    let began = bench.now;
    let mut before = bench.disk.created();
    while tries.len() < 8 {
        assert!(bench.now - began < 300 * SECOND, "{tries:?}");
        bench.pass(Duration::from_millis(100));
        let created = bench.disk.created();
        if created > before {
            tries.push((bench.now - began).as_secs());
            before = created;
        }
    }
    let waits: Vec<_> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.is_sorted(), "{waits:?}");
    assert_eq!(waits.last(), Some(&30), "{waits:?}");
    assert_eq!(bench.names(), [&*part], "nothing is left of the others");
    assert_eq!(
        bench.disk.content(&Path::new("recording").join(&part)),
        failed
    );
}

#[test]
fn below_the_reserve_the_file_is_finished_and_others_have_the_rest() {
    let mut bench = Bench::new(WriterConfig {
        disk_reserve: 1 << 20,
        ..WriterConfig::default()
    });
    let mut socket = bench.open(1);
    say(&mut socket, &["[0]"], bench.now);
    bench.disk.set(Faults {
        room: Some((1 << 20) - 1),
        ..Faults::default()
    });
    bench.pass(2 * SECOND);
    let names = bench.names();
    assert!(names.len() == 1 && names[0].ends_with(".mcap"), "{names:?}");
    say(&mut socket, &["[1]"], bench.now);
    bench.pass(10 * SECOND);
    assert_eq!(bench.names(), names, "nothing is begun");
    bench.disk.set(Faults::default());
    bench.pass(31 * SECOND);
    let entries = all(&bench.stop());
    let reasons: Vec<_> = gaps(&entries)
        .iter()
        .map(|gap| gap.reason.to_string())
        .collect();
    assert!(reasons.contains(&"disk_reserve".to_owned()), "{reasons:?}");
}

#[test]
fn sockets_and_markets_of_which_nothing_was_told_are_told_after_a_loss() {
    let mut bench = Bench::with_room(WriterConfig::default(), 2_048);
    let infos = infos(2);
    let keys: Vec<_> = infos.iter().map(|info| info.key).collect();
    let mut first = bench.open(1);
    bench.step();
    let long = format!("[{}]", "1,".repeat(2_000));
    say(&mut first, &[&long], bench.now);
    // There is no room for any of this.
    let mut second = bench.open(2);
    second.sent("{}", Asked::Subscribe, &infos, bench.now);
    second.first_books(&keys, BookOrigin::Snapshot, bench.now);
    bench.inlet.changed(MarketChange::New(market(&infos)));
    first.closed("dropped", Owner::Network, bench.now);
    bench.step();
    bench.step();
    say(&mut second, &["[1]"], bench.now);
    let entries = all(&bench.stop());
    let told = kinds(&entries);
    let of = |kind: &str| told.iter().position(|told| told == kind);
    let frame = told
        .iter()
        .rposition(|told| told.starts_with("frame"))
        .unwrap();
    for kind in ["closed", "open", "carries", "first_books", "market new"] {
        assert!(of(kind).is_some_and(|at| at < frame), "{kind}: {told:?}");
    }
}

#[test]
fn what_the_removed_folder_had_is_one_gap_of_the_new_one_and_nothing_is_written_in_between() {
    let mut bench = Bench::new(WriterConfig {
        disk_reserve: 0,
        rotate_after: 10 * SECOND,
        ..WriterConfig::default()
    });
    let mut socket = bench.open(1);
    bench.pass(SECOND);
    let first = bench.wall();
    let mut sent = 0;
    while bench.names().len() < 3 {
        say(&mut socket, &["[0]"], bench.now);
        sent += 1;
        bench.pass(SECOND);
    }
    let folder = Path::new("recording");
    let manifest = folder.join("_manifest.jsonl");
    bench.disk.remove_folder(folder);
    bench.pass(Duration::from_millis(1_100));
    let (state, _) = bench.numbers.state(bench.now);
    assert_eq!(state, crate::RecorderState::Failed);
    // It may be somebody else's by now.
    assert_eq!(bench.disk.content(&manifest), None);
    bench.pass(3 * SECOND);
    assert!(bench.disk.content(&manifest).is_some());
    assert_eq!(bench.numbers.errors.get(), 1);
    assert_eq!(bench.numbers.gaps_us.get(), 1);
    say(&mut socket, &["[1]"], bench.now);
    let disk = bench.stop();
    let of_folder: Vec<_> = gaps(&all(&disk))
        .into_iter()
        .filter(|gap| &*gap.reason == "disk_removed")
        .collect();
    let [gap] = &of_folder[..] else {
        panic!("{of_folder:?}");
    };
    assert!(gap.from_ts <= Some(micros(first)), "{gap:?}");
    assert_eq!((gap.size, gap.to_ts.is_some()), (Some(sent), true));
    let told = Recording::open(Arc::new(disk.clone()), folder).unwrap();
    assert_eq!(told.gaps.len(), 1, "{:?}", told.gaps);
    assert_eq!((told.gaps[0].from_ts, told.lost.len()), (gap.from_ts, 0));
}

#[test]
fn a_folder_that_is_removed_at_the_very_end_is_made_again_to_say_so() {
    let mut bench = Bench::new(WriterConfig::default());
    let mut socket = bench.open(1);
    say(&mut socket, &["[0]"], bench.now);
    bench.pass(3 * SECOND);
    let folder = Path::new("recording");
    bench.disk.remove_folder(folder);
    let disk = bench.stop();
    let manifest = disk.content(&folder.join("_manifest.jsonl")).unwrap();
    let manifest = String::from_utf8(manifest).unwrap();
    let kinds: Vec<_> = manifest.lines().map(|line| &line[..14]).collect();
    assert_eq!(
        kinds,
        [
            r#"{"kind":"sessi"#,
            r#"{"kind":"gap","#,
            r#"{"kind":"stopp"#
        ]
    );
    assert!(manifest.contains("disk_removed"), "{manifest}");
}

#[test]
fn a_file_in_which_nothing_is_on_the_disk_yet_adds_to_the_loss_before_it() {
    let mut bench = Bench::new(WriterConfig {
        disk_reserve: 0,
        ..WriterConfig::default()
    });
    let mut socket = carrying(&bench, &infos(1));
    say(&mut socket, &["[0]"], bench.now);
    bench.pass(4 * SECOND);
    let full = |room| Faults {
        room: Some(room),
        only_parts: true,
        ..Faults::default()
    };
    bench.disk.set(full(0));
    say(&mut socket, &["[1]"], bench.now);
    bench.pass(3 * SECOND);
    // There is room for what a file begins with; and it has to end before its first chunk.
    bench.disk.set(full(60_000));
    while bench.names().len() < 2 {
        bench.pass(Duration::from_millis(100));
    }
    bench.disk.set(full(0));
    bench.set = 3_600_000_000_000;
    bench.pass(SECOND);
    bench.disk.set(Faults::default());
    bench.pass(40 * SECOND);
    assert_eq!(bench.numbers.errors.get(), 2);
    let entries = all(&bench.stop());
    let full: Vec<_> = gaps(&entries)
        .into_iter()
        .filter(|gap| &*gap.reason == "disk_full" && gap.to_ts.is_none())
        .map(|gap| gap.from_ts)
        .collect();
    assert_eq!(full.len(), 1, "{full:?}");
}
