//! The thread that writes, and the one that sees to what earlier runs left.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use polypy_core::recording::Gap;
use polypy_core::{CheckpointSource, Clock, Owner, SuspensionWatch};

use crate::disk::Disk;
use crate::folder::{Folder, FolderError};
use crate::loss::is_full;
use crate::manifest::killed;
use crate::numbers::Numbers;
use crate::queue::{Inlet, Outlet, Waker, queue};
use crate::recovery::{Recovered, Recovery};
use crate::repair::Repaired;
use crate::stall::watch;
use crate::writer::Writer;
use crate::writer_config::WriterConfig;

/// Panics of the writer after which it is left alone, and within which time.
const MOST_PANICS: usize = 5;
const PANICS_WITHIN: Duration = Duration::from_secs(600);
/// Both clocks were read at one moment if no more time than this went by between them.
const AT_ONCE: Duration = Duration::from_millis(1);
const TRIES: usize = 5;
/// The first wait before what earlier runs left is repaired after all, while the disk has no
/// room for that; it doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What a recorder is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct RecorderConfig {
    /// The folder.
    pub folder: PathBuf,
    /// Bytes that may wait for the writer.
    pub queue: usize,
    /// How files are written.
    pub writer: WriterConfig,
}

impl RecorderConfig {
    /// Into this folder, with what suits most.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            queue: 64 << 20,
            writer: WriterConfig::default(),
        }
    }
}

/// Records what sockets say to a folder.
///
/// ```
/// use std::path::Path;
/// use std::sync::Arc;
/// use polypy_archive::testing::FaultyDisk;
/// use polypy_archive::{Recorder, RecorderConfig};
/// use polypy_core::{Clock, Timestamp};
///
/// struct Still;
/// impl Clock for Still {
///     fn now(&self) -> Timestamp {
///         Timestamp::from_millis(1_795_000_000_000)
///     }
/// }
///
/// let disk = Arc::new(FaultyDisk::default());
/// let config = RecorderConfig::new(Path::new("recording"));
/// let recorder = Recorder::new(config, disk.clone(), Arc::new(Still));
/// let running = recorder.start(("a-session", "0.1.0"))?;
/// // Sockets speak through `recorder.inlet()`.
/// assert!(running.stop());
/// assert!(disk.content(Path::new("recording/_manifest.jsonl")).is_some());
/// # Ok::<(), polypy_archive::FolderError>(())
/// ```
pub struct Recorder {
    config: RecorderConfig,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    inlet: Inlet,
    /// Taken by the thread while it runs.
    outlet: Arc<Mutex<Option<Outlet>>>,
    books: OnceLock<Arc<dyn CheckpointSource>>,
    numbers: Arc<Numbers>,
}

impl Recorder {
    /// One that does not run yet. `clock` is the wall's.
    pub fn new(config: RecorderConfig, disk: Arc<dyn Disk>, clock: Arc<dyn Clock>) -> Self {
        let numbers = Arc::<Numbers>::default();
        let (inlet, outlet) = queue(config.queue, Arc::clone(&numbers));
        Self {
            config,
            disk,
            clock,
            inlet,
            outlet: Arc::new(Mutex::new(Some(outlet))),
            books: OnceLock::new(),
            numbers,
        }
    }

    /// Where sockets and the catalogue say what is to be recorded.
    pub fn inlet(&self) -> Inlet {
        self.inlet.clone()
    }

    /// From the next start on these books are copied to its files, so that each stands alone.
    /// Said once; what is said later does not count.
    pub fn copy_books(&self, books: Arc<dyn CheckpointSource>) {
        let _first = self.books.set(books);
    }

    /// What it has done so far.
    pub fn numbers(&self) -> &Arc<Numbers> {
        &self.numbers
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.config.folder
    }

    /// The program ends: that sockets close from now on is no loss.
    pub fn ending(&self) {
        self.inlet.set_ending(true);
    }

    /// Takes the folder and begins to write to it, as this run of this version. Waits for
    /// the disk, and not for room on it: without any the recorder has failed, and goes on once
    /// there is some.
    ///
    /// # Errors
    /// Another process has the folder, the disk fails otherwise, or this recorder runs.
    pub fn start(&self, (session, version): (&str, &str)) -> Result<Running, FolderError> {
        let failed = |error| FolderError::Disk {
            folder: self.config.folder.clone(),
            error,
        };
        let (now, wall) = read_clocks(&*self.clock);
        let path = &self.config.folder;
        let disk = Arc::clone(&self.disk);
        let (mut folder, full) = Folder::open_or_wait(disk, path, (session, version), wall)?;
        let before = Before {
            last: folder.last_entry().map_err(failed)?,
            gap: folder.open_gap().map_err(failed)?,
            began: folder.run_before_began().map_err(failed)?,
            was_stopped: folder.was_run_before_stopped().map_err(failed)?,
        };
        let recovery = folder.recovery();
        let outlet = self.outlet.lock().take();
        let outlet = outlet.ok_or_else(|| FolderError::InUse {
            folder: path.clone(),
        })?;
        let waker = outlet.waker();
        self.inlet.set_ending(false);
        let numbers = Arc::clone(&self.numbers);
        numbers.runs(true);
        let config = self.config.writer.clone();
        let books = self.books.get().cloned();
        let mut writer = Writer::new(config, folder, outlet, books, numbers, (now, wall));
        if let Some(error) = full {
            writer.await_room(error, now);
        } else if let Err(error) = writer.begin(now) {
            *self.outlet.lock() = Some(writer.abandon());
            self.numbers.runs(false);
            return Err(failed(error));
        }
        let stop = Arc::new(AtomicBool::new(false));
        let is_cut = Arc::new(AtomicBool::new(false));
        let earlier = Earlier::default();
        let thread = Thread {
            clock: Arc::clone(&self.clock),
            numbers: Arc::clone(&self.numbers),
            outlet: Arc::clone(&self.outlet),
            stop: Arc::clone(&stop),
            is_cut: Arc::clone(&is_cut),
            earlier: Arc::clone(&earlier),
        };
        let writing = spawn("polypy-record", move || thread.run(writer)).map_err(failed)?;
        let mut running = Running {
            writing: Some(writing),
            recovering: None,
            watching: None,
            stop,
            is_cut,
            waker: waker.clone(),
        };
        let queue = waker.clone();
        let (end, ended) = mpsc::sync_channel(1);
        let recovering = move || {
            if let Some(done) = run_recovery(recovery, wall, &ended) {
                tell(done, (before, wall), &earlier, &waker);
            }
        };
        // Where that fails, what was begun ends as it is dropped.
        let thread = spawn("polypy-recover", recovering).map_err(failed)?;
        running.recovering = Some((end, thread));
        let (end, ended) = mpsc::sync_channel(1);
        let (numbers, folder) = (Arc::clone(&self.numbers), self.config.folder.clone());
        let watching = move || watch(&numbers, &queue, &folder, &ended);
        let thread = spawn("polypy-rec-watch", watching).map_err(failed)?;
        running.watching = Some((end, thread));
        Ok(running)
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("folder", &self.config.folder)
            .finish_non_exhaustive()
    }
}

/// A recorder that runs. Dropped, it ends as by [`stop`](Self::stop).
#[derive(Debug)]
pub struct Running {
    writing: Option<JoinHandle<()>>,
    /// These end once the sender is dropped; the first one does what it can before.
    recovering: Option<(SyncSender<()>, JoinHandle<()>)>,
    watching: Option<(SyncSender<()>, JoinHandle<()>)>,
    stop: Arc<AtomicBool>,
    is_cut: Arc<AtomicBool>,
    waker: Waker,
}

impl Running {
    /// Whether the writer has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.writing.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Writes what has come, ends the file, and waits for that. `false`: the disk did not
    /// take the last of it.
    pub fn stop(mut self) -> bool {
        self.end()
    }

    fn end(&mut self) -> bool {
        // First: the writer says what it finds.
        let is_recovered = self.recovering.take().is_none_or(|(end, recovering)| {
            drop(end);
            join(Some(recovering))
        });
        self.stop.store(true, Ordering::Release);
        self.waker.wake();
        let is_ended = join(self.writing.take());
        // Last: it sees whether the disk takes the end.
        if let Some((end, watching)) = self.watching.take() {
            drop(end);
            let _is_whole = join(Some(watching));
        }
        is_recovered && is_ended && !self.is_cut.load(Ordering::Acquire)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _is_whole = self.end();
    }
}

/// What was found out about earlier runs, and the writer has not said yet.
type Earlier = Arc<Mutex<Vec<Gap>>>;

struct Thread {
    clock: Arc<dyn Clock>,
    numbers: Arc<Numbers>,
    outlet: Arc<Mutex<Option<Outlet>>>,
    stop: Arc<AtomicBool>,
    is_cut: Arc<AtomicBool>,
    earlier: Earlier,
}

impl Thread {
    fn run(self, mut writer: Writer) {
        let mut panics = Vec::new();
        while !self.stop.load(Ordering::Acquire) {
            let stepped = catch_unwind(AssertUnwindSafe(|| self.step(&mut writer)));
            if stepped.is_ok() {
                continue;
            }
            let (now, _) = read_clocks(&*self.clock);
            panics.retain(|at| now.saturating_duration_since(*at) < PANICS_WITHIN);
            panics.push(now);
            tracing::error!("the writer of the recording panicked: its file is given up");
            writer.give_up(now);
            if panics.len() >= MOST_PANICS {
                writer.leave();
            }
        }
        let earlier = std::mem::take(&mut *self.earlier.lock());
        let (now, wall) = read_clocks(&*self.clock);
        writer.tell(earlier, now);
        let stopped = writer.stop(now, wall);
        self.is_cut.store(stopped.is_cut, Ordering::Release);
        self.numbers.runs(false);
        *self.outlet.lock() = Some(stopped.outlet);
    }

    fn step(&self, writer: &mut Writer) {
        let (now, wall) = read_clocks(&*self.clock);
        let earlier = std::mem::take(&mut *self.earlier.lock());
        writer.tell(earlier, now);
        let next = writer.step(now, wall);
        if next > now {
            writer.wait(next);
            let (now, _) = read_clocks(&*self.clock);
            if now.saturating_duration_since(next) > SuspensionWatch::LIMIT {
                writer.note_suspended(now);
            }
        }
    }
}

/// Both clocks at one moment, as nearly as this thread is left alone.
pub(crate) fn read_clocks(clock: &dyn Clock) -> (Instant, u64) {
    let mut tries = 0;
    loop {
        let before = Instant::now();
        let wall = clock.now_nanos();
        tries += 1;
        if before.elapsed() < AT_ONCE || tries == TRIES {
            return (before, wall);
        }
    }
}

/// `false`: the thread panicked.
fn join(thread: Option<JoinHandle<()>>) -> bool {
    let has_panicked = thread.is_some_and(|thread| thread.join().is_err());
    if has_panicked {
        tracing::error!("a thread of the recorder ended by a panic");
    }
    !has_panicked
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
}

/// What was known of earlier runs at the start.
#[derive(Debug)]
struct Before {
    /// The latest time of an entry, in microseconds since the epoch.
    last: Option<u64>,
    /// What a repair has found missing behind it.
    gap: Option<Gap>,
    /// When the last of them began, in microseconds since the epoch.
    began: Option<u64>,
    /// Whether it ended by itself.
    was_stopped: bool,
}

/// Repairs what earlier runs left, once the disk has room for that. `began` is the time of
/// this run; `ended` has its sender dropped when the run is to end. `None`: not all could be
/// repaired.
fn run_recovery(
    mut recovery: Recovery,
    began: u64,
    ended: &Receiver<()>,
) -> Option<Vec<Recovered>> {
    let (mut done, mut wait) = (Vec::new(), FIRST_WAIT);
    while let Err(error) = recovery.go_on(began, &mut done) {
        if is_full(&error) {
            if wait == FIRST_WAIT {
                tracing::warn!(%error, "files that an earlier run left wait for room on the disk");
            }
            if ended.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                wait = LONGEST_WAIT.min(wait * 2);
                continue;
            }
        }
        tracing::error!(%error, "files that an earlier run left stay as they are");
        return None;
    }
    Some(done)
}

/// Says until when nothing was recorded: earlier runs knew only from when on. `last` is the
/// time of the latest entry that they finished, `began` that of this run.
fn tell(
    done: Vec<Recovered>,
    (before, began): (Before, u64),
    earlier: &Mutex<Vec<Gap>>,
    waker: &Waker,
) {
    let began_ts = began / 1_000;
    let (mut gaps, mut last) = (Vec::new(), before.last);
    for recovered in done {
        match recovered {
            Recovered::Removed(file) => {
                tracing::info!(file, "file of an earlier run removed");
            }
            Recovered::Repaired(repaired) => {
                // Of a file that was whole, or nearly, the manifest knew nothing.
                let times = repaired.file().and_then(|file| file.times);
                last = last.max(times.map(|(_, last)| last / 1_000));
                let gap = match &*repaired {
                    Repaired::Ended { file, cut, gap } => {
                        tracing::info!(
                            file = %file.path.display(),
                            cut_bytes = cut,
                            frames = file.frames,
                            "file of an earlier run repaired"
                        );
                        gap.clone()
                    }
                    Repaired::Copied {
                        file,
                        damaged,
                        gaps,
                    } => {
                        tracing::warn!(
                            file = %file.path.display(),
                            damaged = %damaged.display(),
                            "file of an earlier run was damaged: a copy has what could be read"
                        );
                        gaps.last().cloned()
                    }
                    Repaired::CopyOf(file) => {
                        tracing::warn!(file, "a copy of it in the recording is left out");
                        None
                    }
                    Repaired::Whole(_)
                    | Repaired::Changed { .. }
                    | Repaired::Empty
                    | Repaired::Lost(_)
                    | Repaired::Noted(_) => None,
                };
                gaps.extend(gap.filter(|gap| gap.to_ts.is_none()));
            }
        }
    }
    // One that was stopped has said so; one that was killed when its file was empty, or
    // between two files, has said nothing; and of one that was killed and repaired since
    // the repair has said it.
    if gaps.is_empty() {
        let gap = if before.was_stopped {
            let stopped = |last| {
                let times = (Some(last), None);
                Gap::of_recording("stopped", Owner::Us, times, began_ts)
            };
            last.map(stopped)
        } else {
            last.or(before.began).map(|from| killed(from, began_ts))
        };
        gaps.extend(before.gap.or(gap));
    }
    for gap in &mut gaps {
        gap.to_ts = Some(began_ts);
        gap.healed_by = Some("restart".into());
    }
    earlier.lock().extend(gaps);
    waker.wake();
}

#[cfg(test)]
#[path = "recorder_tests.rs"]
mod tests;
