use polypy_core::Owner;

use super::*;

fn session(at: u64) -> Line {
    Line::Session {
        at,
        session: at.to_string(),
        version: "1".into(),
    }
}

fn file(number: u32) -> String {
    format!("{number:08}-20261201T000000Z.mcap")
}

fn finished(number: u32, times: (u64, u64)) -> Line {
    let file = FileLine {
        file: file(number),
        bytes: 1,
        sha256: String::new(),
        from_ts: Some(times.0),
        to_ts: Some(times.1),
        entries: 1,
        frames: 1,
        chunks: 1,
    };
    Line::File { at: times.1, file }
}

fn gap(from: u64, behind: u32) -> Line {
    lacking(from, Some(file(behind)))
}

/// Of a run that has no file yet.
fn gap_of_all(from: u64) -> Line {
    lacking(from, None)
}

fn lacking(from: u64, file: Option<String>) -> Line {
    let gap = Gap::of_recording("disk_full", Owner::Us, (Some(from), None), from);
    Line::Gap {
        at: from,
        gap,
        file,
    }
}

fn manifest(lines: impl IntoIterator<Item = Line>) -> Manifest {
    Manifest {
        lines: lines.into_iter().collect(),
        ..Manifest::default()
    }
}

/// When a loss ends by these lines, which tell of it alone.
fn ends(lines: impl IntoIterator<Item = Line>) -> Option<u64> {
    let gaps = manifest(lines).gaps();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    gaps[0].to_ts
}

#[test]
fn a_loss_ends_with_the_next_file_that_did_not_begin_before_it() {
    let first = [session(1), finished(1, (2, 10)), gap(10, 1)];
    let next = |files: &[Line]| ends(first.iter().chain(files).cloned());
    assert_eq!(next(&[finished(2, (15, 20))]), Some(15));
    assert_eq!(next(&[finished(2, (10, 20))]), Some(10), "at once");
    // The clock was set back: nobody knows when that was.
    assert_eq!(next(&[finished(2, (8, 20))]), None);
    assert_eq!(next(&[finished(2, (8, 20)), finished(3, (30, 40))]), None);
    // It was set back later, which changes nothing of what was.
    let files = [finished(2, (15, 20)), finished(3, (8, 12))];
    assert_eq!(next(&files), Some(15));
    // What a repair has finished late is the next one all the same.
    let files = [session(50), finished(3, (51, 60)), finished(2, (15, 20))];
    assert_eq!(next(&files), Some(15));
}

#[test]
fn a_loss_of_a_run_without_a_file_ends_with_its_first_one() {
    let first = [finished(1, (10, 10)), session(10), gap_of_all(10)];
    let next = |files: &[Line]| ends(first.iter().chain(files).cloned());
    // What was there before does not end it, nor does that it is made smaller.
    assert_eq!(next(&[]), None);
    assert_eq!(next(&[finished(1, (10, 10))]), None);
    assert_eq!(next(&[finished(3, (15, 20))]), Some(15));
    assert_eq!(next(&[finished(3, (10, 20))]), Some(10), "at once");
    // Nor does what an earlier run left, and a repair has finished since.
    let files = [finished(2, (3, 9)), finished(3, (15, 20))];
    assert_eq!(next(&files), Some(15));
    let files = [finished(3, (15, 20)), finished(4, (12, 30))];
    assert_eq!(next(&files), Some(15), "the clock was set back later");
}

#[test]
fn what_the_run_before_lacks_without_a_file_is_no_more_once_it_had_one() {
    let first = [finished(1, (10, 10)), session(10), gap_of_all(10)];
    let told = |files: &[Line]| {
        let lines = first.iter().chain(files).cloned().chain([session(30)]);
        manifest(lines).gap_of_run_before(2).is_some()
    };
    assert!(told(&[]));
    assert!(told(&[finished(1, (10, 10))]), "it is older");
    assert!(!told(&[finished(2, (10, 20))]));
    assert!(!told(&[finished(2, (15, 20))]));
}

#[test]
fn the_run_before_has_said_what_is_missing_only_if_that_is_behind_the_newest_file() {
    let lines = [session(1), gap(10, 1), finished(2, (15, 20)), session(30)];
    let known = manifest(lines);
    assert_eq!(known.gap_of_run_before(2), None);
    assert_eq!(
        known.gap_of_run_before(1).and_then(|gap| gap.from_ts),
        Some(10)
    );
}

#[test]
fn that_an_earlier_run_was_stopped_says_nothing_of_the_one_behind_it() {
    let stopped = Line::Stopped { at: 5 };
    let runs = [session(1), stopped.clone(), session(6), session(9)];
    assert!(!manifest(runs).was_run_before_stopped());
    let runs = [session(1), session(6), stopped, session(9)];
    assert!(manifest(runs).was_run_before_stopped());
}
