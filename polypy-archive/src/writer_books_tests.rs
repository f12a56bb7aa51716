//! The writer beside the books that are copied to its files.

use parking_lot::Mutex;
use polypy_core::BookState;

use super::*;
use crate::testing_books::Books;

fn bench(config: WriterConfig, room: usize, lanes: &[usize]) -> (Bench, Arc<Books>) {
    let books = Arc::new(Books::new(lanes));
    let source = Arc::clone(&books) as Arc<dyn CheckpointSource>;
    (Bench::with_books(config, room, Some(source)), books)
}

/// A socket that carries all books, and has brought each.
fn carrying(bench: &Bench, books: &Books) -> Box<dyn SocketSink> {
    super::carrying(bench, &books.infos())
}

/// Passes time while the workers apply all there is.
fn pass(bench: &mut Bench, books: &Books, time: Duration) {
    let end = bench.now + time;
    while bench.now < end {
        books.applied(bench.now);
        bench.pass(Duration::from_millis(100));
    }
}

fn checkpoints(entries: &[Recorded]) -> Vec<String> {
    let kinds = kinds(entries).into_iter();
    kinds
        .filter(|kind| kind.starts_with("checkpoint"))
        .collect()
}

/// A frame is queued before it is delivered. Whenever books are copied, some may have come
/// that are in the copies, more than are taken at once.
#[test]
fn nothing_that_stands_behind_a_checkpoint_is_in_it() {
    let (mut bench, books) = bench(WriterConfig::default(), 64 << 20, &[40]);
    let socket = Mutex::new(bench.open(1));
    bench.step();
    let long = format!("[\"{}\"]", "x".repeat(3 << 20));
    let at = bench.now;
    let said = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&said);
    books.before_copies(move || {
        for _ in 0..4 {
            say(&mut socket.lock(), &[&long], at);
            *counted.lock() += 1;
        }
    });
    pass(&mut bench, &books, 3 * SECOND);
    let told = kinds(&all(&bench.stop()));
    // Each page has all that was said until it was copied in front of it: the first look
    // at the lane copies none, and each of the next three does.
    let frames_before = |place: usize| {
        let before = told[..place].iter();
        before.filter(|kind| kind.starts_with("frame")).count()
    };
    let pages: Vec<_> = (0..told.len())
        .filter(|at| told[*at].starts_with("checkpoint"))
        .map(frames_before)
        .collect();
    assert_eq!(pages.len(), 40);
    for (book, frames) in pages.into_iter().enumerate() {
        let page = book / Books::PAGE;
        assert!(frames >= 4 * (page + 2), "{book}: {frames} frames");
    }
    assert!(*said.lock() >= 16);
}

#[test]
fn a_file_ends_only_after_its_opening_books_or_at_twice_its_size() {
    let config = WriterConfig {
        rotate_size: 64 << 10,
        chunk: 8 << 10,
        ..WriterConfig::default()
    };
    let (mut bench, books) = bench(config, 64 << 20, &[3]);
    let mut socket = bench.open(1);
    let mut rng = fastrand::Rng::with_seed(5);
    let mut frame = || -> String {
        let text: String = (0..900).map(|_| rng.alphanumeric()).collect();
        format!("[\"{text}\"]")
    };
    let finished = |bench: &Bench| {
        let names = bench.names().into_iter();
        names.filter(|name| name.ends_with(".mcap")).count()
    };
    let speak = |bench: &mut Bench,
                 socket: &mut Box<dyn SocketSink>,
                 frames: usize,
                 frame: &mut dyn FnMut() -> String| {
        for _ in 0..frames {
            say(socket, &[&frame()], bench.now);
            bench.step();
        }
    };
    speak(&mut bench, &mut socket, 120, &mut frame);
    assert_eq!(finished(&bench), 0, "it is full, and has no books yet");
    pass(&mut bench, &books, 3 * SECOND);
    assert_eq!(finished(&bench), 1);
    // Of the next one the books do not come.
    books.busy_since(0, Some(bench.now));
    speak(&mut bench, &mut socket, 250, &mut frame);
    assert_eq!(finished(&bench), 2);
    let disk = bench.stop();
    let names = names(&disk);
    let first = read(&disk, &names[0]);
    assert_eq!(checkpoints(&first).len(), 3);
    assert_eq!(checkpoints(&read(&disk, &names[1])).len(), 0);
}

#[test]
fn a_loss_is_healed_by_the_books_that_have_what_was_lost() {
    let (mut bench, books) = bench(WriterConfig::default(), 4_096, &[2]);
    let mut socket = carrying(&bench, &books);
    pass(&mut bench, &books, 5 * SECOND);
    for _ in 0..100 {
        say(&mut socket, &["[1]", "[2]"], bench.now);
    }
    let lost = bench.now;
    books.set(1, BookState::Stale(StaleReason::Hash));
    pass(&mut bench, &books, 5 * SECOND);
    books.set(1, BookState::Live);
    pass(&mut bench, &books, 5 * SECOND);
    let since = BEGIN + u64::try_from((lost - bench.began).as_nanos()).unwrap();
    let entries = all(&bench.stop());
    let place = entries.iter().position(
        |entry| matches!(&entry.entry, Entry::Gap(gap) if &*gap.reason == "recorder_behind"),
    );
    let behind = &entries[place.unwrap()..];
    assert_eq!(
        checkpoints(behind),
        ["checkpoint 1 live", "checkpoint 2 live"]
    );
    let gaps: Vec<_> = gaps(behind)
        .into_iter()
        .filter(|gap| &*gap.reason == "recorder_behind")
        .collect();
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    assert_eq!(gaps[1].healed_by.as_deref(), Some("checkpoint"));
    // Not by the one before: nobody knows which tokens were lost.
    let delivered = (since + 5_000_000_000) / 1_000;
    assert!(gaps[1].to_ts.unwrap() >= delivered, "{gaps:?}");
}

#[test]
fn a_copy_in_which_something_is_that_was_dropped_is_not_written() {
    let (mut bench, books) = bench(WriterConfig::default(), 32 << 20, &[2]);
    let socket = Mutex::new(carrying(&bench, &books));
    bench.step();
    let long = format!("[\"{}\"]", "x".repeat(3 << 20));
    let (at, mut calls) = (bench.now, 0);
    books.before_copies(move || {
        calls += 1;
        // The first look at the lane copies none. More waits than is taken at once.
        if calls == 2 {
            for _ in 0..20 {
                say(&mut socket.lock(), &[&long], at);
            }
        }
    });
    pass(&mut bench, &books, 8 * SECOND);
    let told = kinds(&all(&bench.stop()));
    let loss = told.iter().position(|kind| kind == "gap recorder_behind");
    let first = told.iter().position(|kind| kind.starts_with("checkpoint"));
    assert!(first > loss && loss.is_some(), "{told:?}");
}

#[test]
fn a_disk_that_failed_is_healed_by_the_books_of_the_next_file() {
    let (mut bench, books) = bench(
        WriterConfig {
            disk_reserve: 0,
            ..WriterConfig::default()
        },
        64 << 20,
        &[2],
    );
    let mut socket = carrying(&bench, &books);
    pass(&mut bench, &books, 5 * SECOND);
    bench.disk.set(Faults {
        room: Some(0),
        ..Faults::default()
    });
    say(&mut socket, &["[1]"], bench.now);
    pass(&mut bench, &books, 5 * SECOND);
    bench.disk.set(Faults::default());
    pass(&mut bench, &books, 40 * SECOND);
    let entries = all(&bench.stop());
    let healed = gaps(&entries)
        .into_iter()
        .find(|gap| gap.scope == GapScope::Recording && gap.to_ts.is_some());
    let healed = healed.unwrap();
    assert_eq!(&*healed.reason, "disk_full");
    assert_eq!(healed.healed_by.as_deref(), Some("checkpoint"));
}
