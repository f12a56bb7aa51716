//! The flight recorder over a disk in memory.

use std::sync::Arc;

use polypy_core::recording::{CatalogueEvent, Entry, Recorded, SocketEvent};
use polypy_core::{
    Answer, Asked, BookOrigin, ConditionId, FrameSink as _, Opened, Owner, Purpose, SocketSink,
    Timestamp, Token,
};

use super::*;
use crate::Recording;
use crate::reader::{Found, Reader};
use crate::testing::{Faults, FaultyDisk, until};
use crate::testing_books::Books;

const HOUR: Duration = Duration::from_secs(3_600);
const BEGIN: u64 = 1_795_000_000_000_000_000;

/// A millisecond later each time.
#[derive(Default)]
struct Wall(AtomicUsize);

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now_nanos() / 1_000_000)
    }
    fn now_nanos(&self) -> u64 {
        BEGIN + self.0.fetch_add(1, Ordering::SeqCst) as u64 * 1_000_000
    }
}

struct Bench {
    disk: FaultyDisk,
    books: Arc<Books>,
    recorder: FlightRecorder,
    running: Option<FlightRunning>,
}

impl Bench {
    fn new(memory: usize) -> Self {
        let config = FlightConfig {
            memory,
            after: Duration::ZERO,
            walk: Duration::from_millis(1),
            most_an_hour: 3,
            apart: Duration::ZERO,
            most_kept: 2,
            retry: Duration::ZERO,
            ..FlightConfig::new(Path::new("incidents"))
        };
        Self::of(config)
    }

    fn of(config: FlightConfig) -> Self {
        let disk = FaultyDisk::default();
        let session = ("a-session", "0");
        let shared = Arc::new(disk.clone());
        let recorder = FlightRecorder::new(config, session, shared, Arc::<Wall>::default());
        let books = Arc::new(Books::new(&[2]));
        recorder.describe_markets(Arc::new(market_of));
        recorder.copy_books(Arc::clone(&books) as Arc<dyn CheckpointSource>);
        let running = Some(recorder.start().unwrap());
        Self {
            disk,
            books,
            recorder,
            running,
        }
    }

    fn open(&self, number: u64) -> Box<dyn SocketSink> {
        let mut socket = self.recorder.inlet().opened(&Opened {
            socket: SocketId(number),
            connection: "conn-1",
            is_replacement: false,
            at: Instant::now(),
        });
        let infos = self.books.infos();
        let keys: Vec<_> = infos.iter().map(|info| info.key).collect();
        socket.sent("{}", Asked::Subscribe, &infos, Instant::now());
        socket.first_books(&keys, BookOrigin::Snapshot, Instant::now());
        socket
    }

    /// Waits until both books have been copied since.
    fn copied(&self) {
        self.books.applied(Instant::now());
        let before = self.recorder.shared.numbers.bytes.get();
        self.books.change(0);
        self.books.change(1);
        until("a book is copied", || {
            self.recorder.shared.numbers.bytes.get() > before || before > 0
        });
        // A walk that began after the change.
        let walks = self.books.copies();
        until("books are copied again", || self.books.copies() > walks + 4);
    }

    fn incident(&self, kind: &str) {
        self.incident_of(kind, Vec::new());
    }

    fn incident_of(&self, kind: &str, tokens: Vec<AssetId>) {
        let mark = Mark {
            kind: kind.into(),
            tokens,
            text: "a test".into(),
        };
        self.recorder.inlet().incident(mark, Instant::now());
    }

    /// The venue answers with these books, to be compared.
    fn audited(&self, body: &str) {
        self.recorder.inlet().answered(&Answer {
            path: "/books",
            request: "[]",
            status: 200,
            body: body.as_bytes(),
            purpose: Purpose::Audit,
            requested: Instant::now(),
            received: Instant::now(),
        });
    }

    fn files(&self) -> u64 {
        self.recorder.shared.numbers.files.get()
    }

    fn names(&self) -> Vec<String> {
        let listed = self.disk.list(Path::new("incidents")).unwrap();
        listed.into_iter().map(|(name, _)| name).collect()
    }

    fn entries(&self, name: &str) -> Vec<Recorded> {
        let path = Path::new("incidents").join(name);
        let disk = Arc::new(self.disk.clone());
        let mut reader = Reader::new(Recording::open(disk, &path).unwrap());
        let mut entries = Vec::new();
        while let Some(found) = reader.next_found() {
            match found {
                Found::Chunk(chunk) => entries.extend(chunk.entries().map(Result::unwrap)),
                Found::Fault(fault) => panic!("{fault}"),
                _ => {}
            }
        }
        entries
    }
}

/// Each market has one token, which has a number.
fn market_of(token: &AssetId) -> Option<Described> {
    let market = market(token)?;
    let is_over = false;
    Some(Described { market, is_over })
}

fn market(token: &AssetId) -> Option<Arc<Market>> {
    let id: ConditionId = format!("0x{token}").parse().ok()?;
    let token = Token {
        token_id: token.clone(),
        outcome: "Yes".into(),
    };
    Some(Arc::new(Market::new(id, vec![token])))
}

fn say(socket: &mut Box<dyn SocketSink>, frame: &str) {
    socket.received(frame.as_bytes(), &[frame.len()], true, Instant::now());
}

fn kinds(entries: &[Recorded]) -> Vec<String> {
    let kind = |recorded: &Recorded| match &recorded.entry {
        Entry::Frame(frame) => format!("frame {} {}", frame.socket, frame.sequence),
        Entry::Control(control) => format!("control {} {}", control.socket, control.sequence),
        Entry::Socket(SocketEvent::Open { next_sequence, .. }) => format!("open {next_sequence}"),
        Entry::Socket(event) => {
            let shown = serde_json::to_value(event).unwrap();
            shown["event"].as_str().unwrap().to_owned()
        }
        Entry::Sent(sent) => format!("sent {}", sent.asked),
        Entry::Gap(gap) => format!("gap {}", gap.reason),
        Entry::Mark(mark) => format!("mark {}", mark.kind),
        Entry::Checkpoint(book) => format!("checkpoint {}", book.token_id),
        Entry::Answer(answer) => format!("answer {}", answer.body),
        Entry::Catalogue(CatalogueEvent::Followed { market }) => {
            format!("followed {}", market.condition_id)
        }
        other => format!("{other:?}"),
    };
    entries.iter().map(kind).collect()
}

#[test]
fn an_incident_leaves_what_all_sockets_said_before_it_with_the_books_to_begin_from() {
    let bench = Bench::new(1 << 20);
    let mut first = bench.open(1);
    let mut second = bench.open(2);
    say(&mut first, "[0]");
    say(&mut second, "PONG");
    bench.copied();
    say(&mut second, "[1]");
    say(&mut first, "[1]");
    first.closed("dropped", Owner::Network, Instant::now());
    bench.incident("hash");
    until("the file is written", || bench.files() == 1);
    let names = bench.names();
    assert_eq!(names.len(), 1);
    assert!(
        names[0].starts_with("incident-2026") && names[0].ends_with(".mcap"),
        "{names:?}"
    );
    let mut told = kinds(&bench.entries(&names[0]));
    let mut markets: Vec<_> = told.drain(..2).collect();
    markets.sort();
    assert_eq!(markets, ["followed 0x1", "followed 0x2"]);
    // Followed from when they are asked for, as far as the file knows.
    let starting = ["gap starting"; 2];
    let opened = ["opened", "carries", "sent subscribe"];
    assert_eq!(told.drain(..3).collect::<Vec<_>>(), opened);
    assert_eq!(told.drain(..2).collect::<Vec<_>>(), starting);
    assert_eq!(told.remove(0), "first_books");
    assert_eq!(told.drain(..2).collect::<Vec<_>>(), starting);
    let opened = ["opened", "carries", "sent subscribe", "first_books"];
    assert_eq!(told.drain(..4).collect::<Vec<_>>(), opened);
    assert_eq!(told[..2], ["frame 1 0", "control 2 0"]);
    let mut books = told[2..4].to_vec();
    books.sort();
    assert_eq!(books, ["checkpoint 1", "checkpoint 2"]);
    // The second one carries all of it.
    let after = [
        "frame 2 1",
        "frame 1 1",
        "closed",
        "gap disconnected",
        "mark hash",
    ];
    assert_eq!(told[4..], after);
}

#[test]
fn what_was_forgotten_is_a_gap_behind_the_copies_that_lack_it() {
    let bench = Bench::new(8_192);
    let mut socket = bench.open(1);
    bench.copied();
    for frame in 0..1_000 {
        say(&mut socket, &format!("[{frame}]"));
    }
    bench.incident("hash");
    until("the file is written", || bench.files() == 1);
    let entries = bench.entries(&bench.names()[0]);
    // The copies are of before what was forgotten: nobody knows the books till the next ones.
    let unknown = entries.iter().filter_map(|recorded| match &recorded.entry {
        Entry::Gap(gap) if gap.to_ts.is_none() => gap.token_id.clone(),
        _ => None,
    });
    let mut unknown: Vec<_> = unknown.collect();
    unknown.sort();
    assert_eq!(unknown, [bench.books.token(0), bench.books.token(1)]);
    let told = kinds(&entries);
    assert!(
        told[0].starts_with("open ") && told[0] != "open 0",
        "{told:?}"
    );
    assert_eq!(told[1..3], ["carries", "first_books"]);
    assert!(told[3].starts_with("followed") && told[4].starts_with("followed"));
    let gap = told.iter().position(|kind| kind == "gap not_kept").unwrap();
    let last_book = told.iter().rposition(|kind| kind.starts_with("checkpoint"));
    let first_frame = told.iter().position(|kind| kind.starts_with("frame"));
    assert!(
        last_book.unwrap() < gap && gap < first_frame.unwrap(),
        "{told:?}"
    );
    assert!(told.contains(&"frame 1 999".to_owned()));
}

#[test]
fn files_are_few_an_hour_and_the_oldest_go() {
    let mut bench = Bench::new(1 << 20);
    let mut socket = bench.open(1);
    for round in 1..=3u64 {
        say(&mut socket, "[1]");
        bench.incident("worker_died");
        until("the file is written", || bench.files() == round);
    }
    let names = bench.names();
    bench.incident("hash");
    bench.incident("hash");
    drop(bench.running.take());
    let numbers = &bench.recorder.shared.numbers;
    assert_eq!(numbers.incidents.get(), 5);
    assert_eq!(numbers.files.get(), 3, "no more an hour");
    assert_eq!(numbers.limited.get(), 2);
    assert!(numbers.file().ends_with(names.last().unwrap()));
    assert_eq!(names.len(), 2);
    let listed = bench.disk.list(Path::new("incidents")).unwrap();
    assert_eq!(listed.len(), 2);
}

#[test]
fn a_disk_that_fails_costs_a_line_and_the_next_incident_is_written() {
    let bench = Bench::new(1 << 20);
    let mut socket = bench.open(1);
    say(&mut socket, "[0]");
    bench.disk.set(Faults {
        room: Some(10),
        ..Faults::default()
    });
    bench.incident("hash");
    until("the error is counted", || {
        bench.recorder.shared.numbers.errors.get() == 1
    });
    bench.disk.set(Faults::default());
    say(&mut socket, "[1]");
    assert!(bench.names().is_empty(), "nothing is left of it");
    bench.incident("hash");
    until("the file is written", || bench.files() == 1);
    let told = kinds(&bench.entries(&bench.names()[0]));
    for frame in ["frame 1 0", "frame 1 1"] {
        assert!(told.contains(&frame.to_owned()), "{told:?}");
    }
    assert_eq!(bench.recorder.shared.numbers.failed.get(), 1);
}

#[test]
fn no_file_is_put_where_a_replay_plays() {
    let bench = Bench::new(1 << 20);
    let mut socket = bench.open(1);
    say(&mut socket, "[0]");
    bench.disk.hold(true);
    bench.incident("hash");
    until("the error is counted", || {
        bench.recorder.shared.numbers.errors.get() == 1
    });
    assert!(bench.names().is_empty());
    bench.disk.hold(false);
    bench.incident("hash");
    until("the file is written", || bench.files() == 1);
}

#[test]
fn a_disk_that_fails_is_left_alone_for_a_while() {
    let bench = Bench::of(FlightConfig {
        after: Duration::ZERO,
        retry: HOUR,
        ..FlightConfig::new(Path::new("incidents"))
    });
    bench.disk.set(Faults {
        room: Some(10),
        ..Faults::default()
    });
    for round in 1..=3 {
        bench.incident("hash");
        until("the incident is counted", || {
            bench.recorder.shared.numbers.failed.get() == round
        });
    }
    assert_eq!(bench.recorder.shared.numbers.errors.get(), 1);
    assert_eq!(bench.files(), 0);
}

#[test]
fn incidents_of_one_cause_leave_half_of_the_hours_files_to_others() {
    let bench = Bench::of(FlightConfig {
        after: Duration::ZERO,
        apart: HOUR,
        ..FlightConfig::new(Path::new("incidents"))
    });
    let mut socket = bench.open(1);
    say(&mut socket, "[0]");
    // Two of four at once.
    for files in 1..=2 {
        bench.incident("hash");
        until("the file is written", || bench.files() == files);
    }
    for round in 1..=5 {
        bench.incident("hash");
        until("the incident is counted", || {
            bench.recorder.shared.numbers.limited.get() == round
        });
    }
    assert_eq!(bench.files(), 2);
    bench.incident("worker_died");
    until("the file is written", || bench.files() == 3);
    let pauses = [0, 1, 2, 3, 4].map(|files| bench.recorder.config.pause(files));
    let [none, _, first, second, third] = pauses;
    assert_eq!((none, first), (Duration::ZERO, HOUR));
    assert_eq!((second, third), (4 * HOUR, 16 * HOUR));
}

#[test]
fn the_answer_that_contradicted_a_book_is_in_the_file_and_no_other() {
    let bench = Bench::new(1 << 20);
    let mut socket = bench.open(1);
    say(&mut socket, "[0]");
    let token = bench.books.token(0);
    bench.audited(&format!("[\"{token}\",\"old\"]"));
    bench.audited(&format!("[\"{token}\"]"));
    bench.audited("[\"99\"]");
    bench.incident_of("hash", vec![token.clone()]);
    until("the file is written", || bench.files() == 1);
    bench.incident_of("audit", vec![token.clone()]);
    until("the file is written", || bench.files() == 2);
    let answers = |name: &str| -> Vec<String> {
        let told = kinds(&bench.entries(name)).into_iter();
        told.filter(|kind| kind.starts_with("answer")).collect()
    };
    let names = bench.names();
    assert!(answers(&names[0]).is_empty(), "a hash needs none");
    assert_eq!(answers(&names[1]), [format!("answer [\"{token}\"]")]);
}

#[test]
fn what_comes_afterwards_does_not_push_out_what_came_before() {
    let bench = Bench::of(FlightConfig {
        memory: 65_536,
        after: HOUR,
        ..FlightConfig::new(Path::new("incidents"))
    });
    let mut socket = bench.open(1);
    let mut other = bench.recorder.inlet().opened(&Opened {
        socket: SocketId(2),
        connection: "conn-2",
        is_replacement: false,
        at: Instant::now(),
    });
    let long = format!("[\"{}\"]", "x".repeat(500));
    // More than there is room for.
    for _ in 0..100 {
        say(&mut socket, &long);
    }
    bench.incident_of("hash", vec![bench.books.token(0)]);
    let mut said = 0;
    until("the file is written", || {
        // One that carries none of its tokens does not count.
        for _ in 0..100 {
            say(&mut other, &long);
        }
        // As a busy socket does. What is looked at every tenth of a second has time.
        std::thread::sleep(Duration::from_millis(30));
        say(&mut socket, &long);
        said += 1;
        bench.files() == 1
    });
    let told = kinds(&bench.entries(&bench.names()[0]));
    assert!(said > 20, "it waited for what came afterwards: {said}");
    assert!(told.contains(&"frame 1 99".to_owned()), "{told:?}");
    assert!(told.contains(&"mark hash".to_owned()), "{told:?}");
}

#[test]
fn what_is_waited_for_is_written_when_it_stops() {
    let mut bench = Bench::new(1 << 20);
    let mut socket = bench.open(1);
    say(&mut socket, "[0]");
    bench.incident("hash");
    bench.running.take().unwrap().stop();
    assert_eq!(bench.files(), 1);
}

#[test]
fn a_panic_of_its_own_is_counted_and_the_next_incident_is_written() {
    let bench = Bench::new(1 << 20);
    let mut socket = bench.open(1);
    say(&mut socket, "[0]");
    let mut left = 2;
    bench.books.before_copies(move || {
        if left > 0 {
            left -= 1;
            panic!("of the test");
        }
    });
    let panics = &bench.recorder.shared.numbers.panics;
    until("the panics are counted", || panics.get() == 2);
    bench.incident("hash");
    until("the file is written", || bench.files() == 1);
    assert_eq!(panics.get(), 2);
}

#[test]
fn it_leaves_the_others_alone_once_it_has_panicked_too_often() {
    let mut bench = Bench::new(1 << 20);
    let mut socket = bench.open(1);
    bench.books.before_copies(|| panic!("of the test"));
    let panics = &bench.recorder.shared.numbers.panics;
    until("the panics are counted", || panics.get() == 5);
    say(&mut socket, "[0]");
    bench.incident("hash");
    bench.running.take().unwrap().stop();
    assert_eq!((panics.get(), bench.files()), (5, 0));
}

#[path = "flight_gaps_tests.rs"]
mod missing;
