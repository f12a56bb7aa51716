use std::io::Cursor;
use std::path::Path;

use polypy_core::recording::{Frame, GapScope};
use polypy_core::{
    AssetId, AssetInfo, BookOrigin, CatalogueSink, FeedId, FrameSink, Interner, Market,
    MarketChange, Opened, SocketId, SocketSink, StaleReason, Token,
};

use super::*;
use crate::queue::{Inlet, queue};
use crate::scan::{Piece, Scanner};
use crate::testing::{Faults, FaultyDisk};

#[path = "writer_books_tests.rs"]
mod books;
#[path = "writer_full_disk_tests.rs"]
mod full_disk;
#[path = "writer_losses_tests.rs"]
mod losses;

const BEGIN: u64 = 1_795_000_000_000_000_000;
const SECOND: Duration = Duration::from_secs(1);

struct Bench {
    disk: FaultyDisk,
    inlet: Inlet,
    writer: Writer,
    numbers: Arc<Numbers>,
    now: Instant,
    began: Instant,
    /// By how much the wall clock was set.
    set: i64,
}

impl Bench {
    fn new(config: WriterConfig) -> Self {
        Self::with_room(config, 64 << 20)
    }

    fn with_room(config: WriterConfig, room: usize) -> Self {
        Self::with_books(config, room, None)
    }

    fn with_books(
        config: WriterConfig,
        room: usize,
        books: Option<Arc<dyn CheckpointSource>>,
    ) -> Self {
        let disk = FaultyDisk::default();
        let (numbers, now) = (Arc::<Numbers>::default(), Instant::now());
        let (inlet, outlet) = queue(room, Arc::clone(&numbers));
        let folder = Path::new("recording");
        let shared = Arc::new(disk.clone());
        let folder = Folder::open(shared, folder, ("a-session", "0"), BEGIN).unwrap();
        numbers.runs(true);
        let shown = Arc::clone(&numbers);
        let mut writer = Writer::new(config, folder, outlet, books, shown, (now, BEGIN));
        writer.begin(now).unwrap();
        Self {
            disk,
            inlet,
            writer,
            numbers,
            now,
            began: now,
            set: 0,
        }
    }

    fn open(&self, number: u64) -> Box<dyn SocketSink> {
        self.inlet.opened(&Opened {
            socket: SocketId(number),
            connection: "conn-1",
            is_replacement: false,
            at: self.now,
        })
    }

    fn wall(&self) -> u64 {
        let passed = u64::try_from((self.now - self.began).as_nanos()).unwrap();
        (BEGIN + passed).saturating_add_signed(self.set)
    }

    fn step(&mut self) -> Duration {
        let wall = self.wall();
        self.writer.step(self.now, wall) - self.now
    }

    /// Steps whenever a step is due, for so long.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let next = self.step().max(Duration::from_millis(1));
            self.now = end.min(self.now + next);
        }
        self.step();
    }

    fn stop(self) -> FaultyDisk {
        let wall = self.wall();
        self.writer.stop(self.now, wall);
        self.disk
    }

    /// Names of finished files, and of those that are not.
    fn names(&self) -> Vec<String> {
        names(&self.disk)
    }
}

fn names(disk: &FaultyDisk) -> Vec<String> {
    use crate::disk::Disk as _;
    let files = disk.list(Path::new("recording")).unwrap();
    let names = files.into_iter().map(|(name, _)| name);
    names.filter(|name| !name.starts_with('_')).collect()
}

fn read(disk: &FaultyDisk, name: &str) -> Vec<Recorded> {
    let bytes = disk.content(&Path::new("recording").join(name)).unwrap();
    let mut scanner = Scanner::new(Cursor::new(bytes)).unwrap();
    let mut entries = Vec::new();
    while let Some(piece) = scanner.next_piece().unwrap() {
        match piece {
            Piece::Chunk(chunk) => entries.extend(chunk.entries().map(Result::unwrap)),
            Piece::Damaged(damaged) => panic!("{damaged:?}"),
            Piece::Header(_) | Piece::Torn(_) | Piece::Finished => {}
        }
    }
    entries
}

fn all(disk: &FaultyDisk) -> Vec<Recorded> {
    let names = names(disk);
    names.iter().flat_map(|name| read(disk, name)).collect()
}

fn frames(entries: &[Recorded]) -> Vec<Frame> {
    let frames = entries.iter().filter_map(|recorded| match &recorded.entry {
        Entry::Frame(frame) => Some(frame.clone()),
        _ => None,
    });
    frames.collect()
}

fn gaps(entries: &[Recorded]) -> Vec<Gap> {
    let gaps = entries.iter().filter_map(|recorded| match &recorded.entry {
        Entry::Gap(gap) => Some(gap.clone()),
        _ => None,
    });
    gaps.collect()
}

/// The kind of each entry, with what tells it from its like.
fn kinds(entries: &[Recorded]) -> Vec<String> {
    let kind = |recorded: &Recorded| match &recorded.entry {
        Entry::Frame(frame) => format!("frame {}", frame.sequence),
        Entry::Control(control) => format!("control {}", control.sequence),
        Entry::Socket(event) => {
            let shown = serde_json::to_value(event).unwrap();
            shown["event"].as_str().unwrap().to_owned()
        }
        Entry::Sent(sent) => format!("sent {}", sent.asked),
        Entry::Answer(_) => "answer".to_owned(),
        Entry::Catalogue(event) => {
            let shown = serde_json::to_value(event).unwrap();
            format!("market {}", shown["event"].as_str().unwrap())
        }
        Entry::Gap(gap) => format!("gap {}", gap.reason),
        Entry::Clock(step) => format!("clock {}", step.step),
        Entry::Mark(mark) => format!("mark {}", mark.kind),
        Entry::Checkpoint(book) => format!("checkpoint {} {}", book.token_id, book.state),
    };
    entries.iter().map(kind).collect()
}

fn infos(count: u8) -> Vec<Arc<AssetInfo>> {
    let (mut interner, condition) = (Interner::default(), "0xa1".parse().unwrap());
    (1..=count)
        .map(|id| {
            let id: AssetId = id.to_string().parse().unwrap();
            interner.insert(&id, &condition, |key| {
                AssetInfo::new(key, id.clone(), condition.clone())
            })
        })
        .collect()
}

fn market(infos: &[Arc<AssetInfo>]) -> Arc<Market> {
    let token = |info: &Arc<AssetInfo>| Token {
        token_id: info.asset_id.clone(),
        outcome: "Yes".into(),
    };
    let tokens = infos.iter().map(token).collect();
    Arc::new(Market::new("0xa1".parse().unwrap(), tokens))
}

/// A socket that carries these tokens, which are followed, and has brought the book of each.
fn carrying(bench: &Bench, infos: &[Arc<AssetInfo>]) -> Box<dyn SocketSink> {
    bench.inlet.changed(MarketChange::New(market(infos)));
    let mut socket = bench.open(1);
    socket.sent("{}", Asked::Subscribe, infos, bench.now);
    let keys: Vec<_> = infos.iter().map(|info| info.key).collect();
    socket.first_books(&keys, BookOrigin::Snapshot, bench.now);
    socket
}

fn say(socket: &mut Box<dyn SocketSink>, frames: &[&str], at: Instant) {
    let mut ends = Vec::new();
    let mut bytes = Vec::new();
    for frame in frames {
        bytes.extend_from_slice(frame.as_bytes());
        ends.push(bytes.len());
    }
    socket.received(&bytes, &ends, true, at);
}

#[test]
fn all_that_came_is_in_the_file_as_it_came_and_in_order() {
    let mut bench = Bench::new(WriterConfig::default());
    let infos = infos(2);
    bench.inlet.changed(MarketChange::New(market(&infos)));
    let mut socket = bench.open(1);
    socket.delivers(FeedId(9), bench.now);
    socket.sent("{}", Asked::Subscribe, &infos, bench.now);
    bench.now += SECOND;
    say(&mut socket, &[r#"{"a":1}"#, "PONG", " [2]"], bench.now);
    socket.received(b"\xff\x00", &[2], false, bench.now);
    let keys: Vec<_> = infos.iter().map(|info| info.key).collect();
    socket.first_books(&keys, BookOrigin::Snapshot, bench.now);
    socket.closed("dropped", Owner::Network, bench.now);
    bench.step();
    let entries = all(&bench.stop());
    assert_eq!(
        kinds(&entries),
        [
            "market new",
            "gap starting",
            "gap starting",
            "opened",
            "delivers",
            "carries",
            "sent subscribe",
            "frame 0",
            "control 1",
            "frame 2",
            "control 3",
            "first_books",
            // Healed, and open again.
            "gap starting",
            "gap starting",
            "closed",
            "gap disconnected",
            "gap disconnected",
            "gap stopped",
        ]
    );
    // Those of one group are a nanosecond apart.
    let at: Vec<_> = entries[7..11].iter().map(|entry| entry.at).collect();
    let read = BEGIN + 1_000_000_000;
    assert_eq!(at, [read, read + 1, read + 2, read]);
    let found = frames(&entries);
    assert_eq!(&*found[0].bytes, br#"{"a":1}"#);
    assert_eq!(&*found[1].bytes, b" [2]");
    assert_eq!(&*found[1].connection, "conn-1");
    let Entry::Control(binary) = &entries[10].entry else {
        panic!("{:?}", entries[10]);
    };
    assert_eq!(binary.binary.as_deref(), Some("ff00"));
}

#[test]
fn a_chunk_ends_after_its_time_though_nothing_comes_and_is_synced() {
    let mut bench = Bench::new(WriterConfig::default());
    let mut socket = bench.open(1);
    say(&mut socket, &["{}"], bench.now);
    bench.pass(Duration::from_millis(1_900));
    let part = bench.names().remove(0);
    assert!(read(&bench.disk, &part).is_empty());
    bench.pass(Duration::from_millis(200));
    assert_eq!(frames(&read(&bench.disk, &part)).len(), 1);
    bench.pass(SECOND);
    bench.disk.cut_power();
    assert_eq!(frames(&read(&bench.disk, &part)).len(), 1);
}

#[test]
fn files_end_by_size_and_by_age_and_the_next_one_stands_for_itself() {
    let config = WriterConfig {
        rotate_size: 64 << 10,
        chunk: 8 << 10,
        ..WriterConfig::default()
    };
    let mut bench = Bench::new(config);
    let infos = infos(2);
    let keys: Vec<_> = infos.iter().map(|info| info.key).collect();
    bench.inlet.changed(MarketChange::New(market(&infos)));
    let mut socket = bench.open(1);
    socket.sent("{}", Asked::Subscribe, &infos, bench.now);
    socket.first_books(&keys[..1], BookOrigin::Snapshot, bench.now);
    let mut rng = fastrand::Rng::with_seed(3);
    let mut frame = || -> String { (0..900).map(|_| rng.alphanumeric()).collect() };
    for _ in 0..200 {
        let frame = format!("[\"{}\"]", frame());
        say(&mut socket, &[&frame], bench.now);
        bench.step();
    }
    let finished = |bench: &Bench| {
        let names = bench.names().into_iter();
        names.filter(|name| name.ends_with(".mcap")).count()
    };
    let by_size = finished(&bench);
    assert!((2..=4).contains(&by_size), "{by_size}");
    bench.pass(Duration::from_secs(601));
    assert_eq!(finished(&bench), by_size + 1);
    let disk = bench.stop();
    let names = names(&disk);
    let entries: Vec<_> = names.iter().map(|name| read(&disk, name)).collect();
    let sequences: Vec<_> = frames(&entries.concat())
        .iter()
        .map(|frame| frame.sequence)
        .collect();
    assert_eq!(sequences, (0..200).collect::<Vec<_>>(), "none is missing");
    let last = entries.last().unwrap();
    assert_eq!(
        kinds(last),
        [
            "open",
            "carries",
            "first_books",
            "market followed",
            "gap starting",
            "gap stopped"
        ]
    );
    let Entry::Socket(SocketEvent::Open { next_sequence, .. }) = &last[0].entry else {
        panic!("{:?}", last[0]);
    };
    assert_eq!(*next_sequence, 200);
    let Entry::Gap(gap) = &last[4].entry else {
        panic!("{:?}", last[4]);
    };
    assert_eq!(gap.token_id.as_ref(), Some(&infos[1].asset_id));
}

#[test]
fn what_waits_to_be_compressed_counts_for_nothing_in_the_size_of_a_file() {
    let mut bench = Bench::new(WriterConfig {
        rotate_size: 64 << 10,
        chunk: 1 << 20,
        ..WriterConfig::default()
    });
    let mut socket = bench.open(1);
    let frame = format!("[\"{}\"]", "x".repeat(1_000));
    for _ in 0..500 {
        say(&mut socket, &[&frame], bench.now);
        bench.step();
    }
    assert_eq!(bench.names().len(), 1, "500 kB, which take 3 on the disk");
    let disk = bench.stop();
    let frames = frames(&all(&disk));
    assert_eq!(frames.len(), 500);
}

#[test]
fn a_frame_that_is_larger_than_a_chunk_is_recorded() {
    let mut bench = Bench::new(WriterConfig::default());
    let mut socket = bench.open(1);
    let long = format!("[\"{}\"]", "x".repeat(20 << 20));
    say(&mut socket, &["{}", &long, "[]"], bench.now);
    bench.step();
    let lengths: Vec<_> = frames(&all(&bench.stop()))
        .iter()
        .map(|frame| frame.bytes.len())
        .collect();
    assert_eq!(lengths, [2, long.len(), 2]);
}

#[test]
fn a_clock_that_is_set_is_told_and_if_far_begins_a_file() {
    let mut bench = Bench::new(WriterConfig::default());
    let mut socket = bench.open(1);
    say(&mut socket, &["[0]"], bench.now);
    bench.pass(SECOND);
    bench.set = 50_000_000;
    say(&mut socket, &["[1]"], bench.now);
    bench.pass(SECOND);
    assert_eq!(bench.names().len(), 1, "a small step");
    bench.set -= 3_600_000_000_000;
    bench.pass(SECOND);
    assert_eq!(bench.names().len(), 2);
    say(&mut socket, &["[2]"], bench.now);
    bench.step();
    let expected = bench.wall();
    let entries = all(&bench.stop());
    let told: Vec<_> = kinds(&entries)
        .into_iter()
        .filter(|kind| kind.starts_with("clock") || kind.starts_with("frame"))
        .collect();
    assert_eq!(
        told,
        [
            "frame 0",
            "frame 1",
            "clock 50000000",
            "clock -3600000000000",
            "frame 2"
        ]
    );
    let last = entries
        .iter()
        .rev()
        .find(|entry| matches!(entry.entry, Entry::Frame(_)));
    assert_eq!(last.map(|entry| entry.at), Some(expected));
}
