use std::sync::atomic::AtomicU64;

use polypy_core::recording::{Entry, GapScope};
use polypy_core::{
    Asked, AssetId, AssetInfo, BookOrigin, CatalogueSink, FrameSink, Interner, Market,
    MarketChange, Opened, SocketId, SocketSink, Timestamp, Token,
};

use super::*;
use crate::listing::Recording;
use crate::numbers::RecorderState;
use crate::scan::{Piece, Scanner};
use crate::testing::{Faults, FaultyDisk, until};

#[path = "recorder_full_disk_tests.rs"]
mod full_disk;
#[path = "recorder_kills_tests.rs"]
mod kills;

const BEGIN: u64 = 1_795_000_000_000_000_000;

/// Stands still unless it is set.
#[derive(Default)]
struct Wall(AtomicU64);

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now_nanos() / 1_000_000)
    }
    fn now_nanos(&self) -> u64 {
        BEGIN + self.0.load(Ordering::SeqCst)
    }
}

fn recorder(disk: &FaultyDisk, wall: &Arc<Wall>) -> Recorder {
    let mut config = RecorderConfig::new(Path::new("recording"));
    config.writer.disk_reserve = 0;
    let clock = Arc::clone(wall) as Arc<dyn Clock>;
    Recorder::new(config, Arc::new(disk.clone()), clock)
}

fn entries(disk: &FaultyDisk) -> Vec<Entry> {
    let folder = Path::new("recording");
    let mut entries = Vec::new();
    for (name, _) in disk.list(folder).unwrap() {
        if name.starts_with('_') {
            continue;
        }
        let bytes = disk.content(&folder.join(&name)).unwrap();
        let mut scanner = Scanner::new(io::Cursor::new(bytes)).unwrap();
        while let Some(piece) = scanner.next_piece().unwrap() {
            if let Piece::Chunk(chunk) = piece {
                entries.extend(chunk.entries().map(|entry| entry.unwrap().entry));
            }
        }
    }
    entries
}

fn open(recorder: &Recorder) -> Box<dyn SocketSink> {
    recorder.inlet().opened(&Opened {
        socket: SocketId(1),
        connection: "conn-1",
        is_replacement: false,
        at: Instant::now(),
    })
}

#[test]
fn that_sockets_close_because_the_program_ends_is_no_loss() {
    let (disk, wall) = (FaultyDisk::default(), Arc::<Wall>::default());
    let recorder = recorder(&disk, &wall);
    let (mut interner, condition) = (Interner::default(), "0xa1".parse().unwrap());
    let id: AssetId = "1".parse().unwrap();
    let info = interner.insert(&id, &condition, |key| {
        AssetInfo::new(key, id.clone(), condition.clone())
    });
    let token = Token {
        token_id: id,
        outcome: "Yes".into(),
    };
    let market = Arc::new(Market::new(condition, vec![token]));
    let running = recorder.start(("a-session", "0")).unwrap();
    recorder.inlet().changed(MarketChange::New(market));
    let mut socket = open(&recorder);
    let infos = [Arc::clone(&info)];
    socket.sent("{}", Asked::Subscribe, &infos, Instant::now());
    socket.first_books(&[info.key], BookOrigin::Snapshot, Instant::now());
    socket.received(b"[0]", &[3], true, Instant::now());
    until("written", || recorder.numbers().frames().0 == 1);
    recorder.ending();
    socket.closed("asked", Owner::Us, Instant::now());
    running.stop();
    let gaps = entries(&disk).into_iter().filter_map(|entry| match entry {
        Entry::Gap(gap) if gap.to_ts.is_none() => Some(gap.reason.to_string()),
        _ => None,
    });
    assert_eq!(gaps.collect::<Vec<_>>(), ["starting", "stopped"]);
}

#[test]
fn a_stop_while_the_disk_has_no_room_is_told_by_the_manifest_and_ends_with_the_next_run() {
    let (disk, wall) = (FaultyDisk::default(), Arc::<Wall>::default());
    let mut config = RecorderConfig::new(Path::new("recording"));
    config.writer.disk_reserve = 1 << 20;
    let clock = Arc::clone(&wall) as Arc<dyn Clock>;
    let recorder = Recorder::new(config, Arc::new(disk.clone()), clock);
    disk.set(Faults {
        room: Some((1 << 20) - 1),
        ..Faults::default()
    });
    let running = recorder.start(("first", "0")).unwrap();
    let is_failed = || recorder.numbers().state(Instant::now()).0 == RecorderState::Failed;
    until("the reserve is kept", is_failed);
    let mut socket = open(&recorder);
    socket.received(b"[0][1]", &[3, 6], true, Instant::now());
    until("counted", || recorder.numbers().frames().1 == 2);
    running.stop();
    let told = || Recording::open(Arc::new(disk.clone()), Path::new("recording")).map(|of| of.gaps);
    let gaps = told().unwrap();
    let of = |gap: &Gap| (gap.reason.to_string(), gap.size, gap.to_ts);
    let gaps: Vec<_> = gaps.iter().map(of).collect();
    assert_eq!(gaps, [("disk_reserve".to_owned(), Some(2), None)]);
    disk.set(Faults::default());
    wall.0.store(60_000_000_000, Ordering::SeqCst);
    recorder.start(("second", "0")).unwrap().stop();
    let restart = Some((BEGIN + 60_000_000_000) / 1_000);
    let gaps: Vec<_> = told().unwrap().iter().map(of).collect();
    assert_eq!(gaps, [("disk_reserve".to_owned(), Some(2), restart)]);
    let in_files = entries(&disk).into_iter().any(|entry| match entry {
        Entry::Gap(gap) => of(&gap) == ("disk_reserve".to_owned(), Some(2), restart),
        _ => false,
    });
    assert!(in_files, "the next run says it in its first file, too");
}

#[test]
fn a_disk_that_hangs_is_told_while_it_does_and_what_is_dropped_is_counted_then() {
    let (disk, wall) = (FaultyDisk::default(), Arc::<Wall>::default());
    let mut config = RecorderConfig::new(Path::new("recording"));
    (config.writer.disk_reserve, config.queue) = (0, 4_096);
    let clock = Arc::clone(&wall) as Arc<dyn Clock>;
    let recorder = Recorder::new(config, Arc::new(disk.clone()), clock);
    let numbers = recorder.numbers();
    let state = || numbers.state(Instant::now());
    let running = recorder.start(("a-session", "0")).unwrap();
    let mut socket = open(&recorder);
    let frame = format!("[{}]", "0".repeat(1_000));
    socket.received(frame.as_bytes(), &[frame.len()], true, Instant::now());
    until("written", || numbers.frames() == (1, 0));
    let hanging = disk.hang();
    socket.received(frame.as_bytes(), &[frame.len()], true, Instant::now());
    until("told", || state().0 == RecorderState::Failed);
    // Nothing is taken from the queue.
    for _ in 0..10 {
        socket.received(frame.as_bytes(), &[frame.len()], true, Instant::now());
    }
    let lost = numbers.frames().1;
    assert!(
        (1..=10).contains(&lost),
        "{lost} counted as they were dropped"
    );
    until("what waits is shown", || numbers.waiting() > 1_000);
    let reason = state().1.unwrap();
    assert!(reason.starts_with("the disk has not answered"), "{reason}");
    drop(hanging);
    until("over", || state().0 == RecorderState::Behind);
    assert!(running.stop());
    assert_eq!(numbers.frames().1, lost, "counted once");
}

#[test]
fn what_sockets_say_from_many_threads_is_recorded_to_the_last_frame() {
    let (disk, wall) = (FaultyDisk::default(), Arc::<Wall>::default());
    let recorder = recorder(&disk, &wall);
    for round in 0..2 {
        let running = recorder.start(("a-session", "0")).unwrap();
        std::thread::scope(|scope| {
            for number in 1..=4 {
                let inlet = recorder.inlet();
                scope.spawn(move || {
                    let mut socket = inlet.opened(&Opened {
                        socket: SocketId(round * 10 + number),
                        connection: "conn-1",
                        is_replacement: false,
                        at: Instant::now(),
                    });
                    for frame in 0..1_000 {
                        let frame = format!("[{frame}]");
                        socket.received(frame.as_bytes(), &[frame.len()], true, Instant::now());
                    }
                    socket.closed("asked", Owner::Us, Instant::now());
                });
            }
        });
        running.stop();
    }
    assert_eq!(recorder.numbers().frames(), (8_000, 0));
    let mut next = std::collections::BTreeMap::<u64, u32>::new();
    for entry in entries(&disk) {
        if let Entry::Frame(frame) = entry {
            let next = next.entry(frame.socket).or_default();
            assert_eq!(frame.sequence, *next, "of {}", frame.socket);
            assert_eq!(*frame.bytes, *format!("[{next}]").as_bytes());
            *next += 1;
        }
    }
    assert_eq!(next.len(), 8);
    assert!(next.values().all(|count| *count == 1_000), "{next:?}");
}

#[test]
fn a_run_that_goes_on_was_not_killed() {
    let folder = std::env::temp_dir().join(format!("polypy-goes-on-{}", std::process::id()));
    let disk: Arc<dyn Disk> = Arc::new(crate::SystemDisk);
    let mut run = Folder::open(Arc::clone(&disk), &folder, ("first", "0"), BEGIN).unwrap();
    let mut file = run.begin(BEGIN).unwrap();
    file.frame(("conn-1", 1), 0, BEGIN, b"[0]");
    run.finish(file, BEGIN).unwrap();
    let killed = || {
        Recording::open(Arc::clone(&disk), &folder)
            .unwrap()
            .untold_kill
    };
    assert_eq!(killed(), None, "it holds the lock");
    drop(run);
    assert!(killed().is_some());
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_folder_that_another_one_records_to_is_refused_by_name() {
    let folder = std::env::temp_dir().join(format!("polypy-recorder-{}", std::process::id()));
    let config = RecorderConfig::new(&folder);
    let new = |config: &RecorderConfig| {
        let disk = Arc::new(crate::SystemDisk);
        Recorder::new(config.clone(), disk, Arc::new(Wall::default()))
    };
    let running = new(&config).start(("one", "0")).unwrap();
    let refused = new(&config).start(("two", "0")).unwrap_err();
    let text = refused.to_string();
    assert!(matches!(refused, FolderError::InUse { .. }), "{text}");
    assert!(text.contains(&*folder.to_string_lossy()), "{text}");
    running.stop();
    new(&config).start(("three", "0")).unwrap().stop();
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_folder_that_another_one_has_taken_meanwhile_stays_its() {
    let name = format!("polypy-archive-removed-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let open = || {
        let disk = Arc::new(crate::SystemDisk);
        Folder::open(disk, &path, ("a-session", "0"), 1)
    };
    let mut ours = open().unwrap();
    let segment = ours.begin(1).unwrap();
    assert!(ours.has(&segment) && !ours.is_gone());
    std::fs::remove_dir_all(&path).unwrap();
    assert!(!ours.has(&segment) && ours.is_gone());
    let theirs = open().unwrap();
    let refused = ours.take_again(1).unwrap_err().to_string();
    assert!(refused.contains("another process records to"), "{refused}");
    assert!(ours.is_gone(), "it is not ours");
    drop(theirs);
    ours.take_again(1).unwrap();
    let segment = ours.begin(1).unwrap();
    assert!(ours.has(&segment) && !ours.is_gone());
    assert!(open().is_err(), "it is locked again");
    drop(ours);
    std::fs::remove_dir_all(&path).unwrap();
}

/// A disk whose first file panics when it is written to a second time.
#[derive(Debug)]
struct Panicking {
    disk: FaultyDisk,
    files: AtomicU64,
}

struct PanickingFile(Box<dyn crate::DiskFile>, u64);

impl io::Read for PanickingFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl io::Seek for PanickingFile {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

impl io::Write for PanickingFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.1 += 1;
        assert!(self.1 != 2, "on purpose");
        self.0.write(buffer)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl crate::DiskFile for PanickingFile {
    fn sync_data(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn set_len(&mut self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }
    fn try_lock(&mut self) -> io::Result<bool> {
        self.0.try_lock()
    }
    fn lock(&mut self) -> io::Result<()> {
        self.0.lock()
    }
}

impl Disk for Panicking {
    fn create(&self, path: &Path) -> io::Result<Box<dyn crate::DiskFile>> {
        let file = self.disk.create(path)?;
        let is_recording = path.extension().is_some_and(|name| name == "part");
        if is_recording && self.files.fetch_add(1, Ordering::SeqCst) == 0 {
            return Ok(Box::new(PanickingFile(file, 0)));
        }
        Ok(file)
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn crate::DiskFile>> {
        self.disk.open(path)
    }
    fn read(&self, path: &Path) -> io::Result<Box<dyn crate::DiskFile>> {
        self.disk.read(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        self.disk.create_folder(folder)
    }
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.disk.sync_folder(folder)
    }
    fn free(&self, folder: &Path) -> io::Result<u64> {
        self.disk.free(folder)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<(String, u64)>> {
        self.disk.list(folder)
    }
}

#[test]
fn a_writer_that_panics_gives_its_file_up_and_goes_on_in_another() {
    let disk = FaultyDisk::default();
    let panicking = Panicking {
        disk: disk.clone(),
        files: AtomicU64::new(0),
    };
    let mut config = RecorderConfig::new(Path::new("recording"));
    config.writer.chunk = 1;
    config.writer.disk_reserve = 0;
    let recorder = Recorder::new(config, Arc::new(panicking), Arc::<Wall>::default());
    let running = recorder.start(("a-session", "0")).unwrap();
    let inlet = recorder.inlet();
    let mut socket = inlet.opened(&Opened {
        socket: SocketId(1),
        connection: "conn-1",
        is_replacement: false,
        at: Instant::now(),
    });
    // It waits a second for its next file: whatever comes till then is lost, and said to be.
    until("it goes on", || {
        socket.received(b"[0]", &[3], true, Instant::now());
        recorder.numbers().frames().0 > 0
    });
    drop(socket);
    assert!(!running.has_ended());
    running.stop();
    assert_eq!(recorder.numbers().panics.get(), 1);
    let died = |entry: &Entry| {
        matches!(entry, Entry::Gap(gap)
            if gap.scope == GapScope::Recording && &*gap.reason == "recorder_died")
    };
    assert!(entries(&disk).iter().any(died));
}
