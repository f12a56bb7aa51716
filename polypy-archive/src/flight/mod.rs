//! The flight recorder: what sockets said last, kept in memory, and written to a file once
//! something has gone wrong.
//!
//! | module | idea |
//! |---|---|
//! | `ring` | the last that one socket said |
//! | `copies` | the last live copies of books |
//! | `incident` | the file that is made of both |
//!
//! | state | by | to |
//! |---|---|---|
//! | watching | an incident | waiting: what belongs to it may still come |
//! | waiting | two seconds | watching, with a file, unless there were enough within the hour |
//!
//! Sockets share the memory equally, and each forgets its oldest frames. A file is as much
//! as that, and begins each socket with a gap if something was forgotten: a reader
//! begins with the copies that have all of before in them.

mod copies;
mod incident;
mod ring;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use polypy_core::metrics::{Counter, Entry, Gauge, Sheet, Unit};
use polypy_core::recording::Mark;
use polypy_core::{
    Answer, Asked, AssetId, AssetInfo, AssetKey, BookOrigin, CheckpointSource, Clock, FeedId,
    FrameSink, Opened, Owner, SocketId, SocketSink,
};

use self::copies::Copies;
use self::incident::Incident;
use self::ring::Ring;
use crate::disk::Disk;
use crate::item::{SentText, What};

/// Between two pages of a walk: the workers have their books to themselves nearly always.
const PAGE: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);
/// Incidents that are named in a file.
const MOST_MARKS: usize = 64;

/// What a flight recorder is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlightConfig {
    /// Bytes of frames, and as many of copies of books.
    pub memory: usize,
    /// Where files are written to. It is created with the first.
    pub folder: PathBuf,
    /// What belongs to an incident comes within this time after it.
    pub after: Duration,
    /// Between two walks over the books.
    pub walk: Duration,
    /// Files within an hour.
    pub most_an_hour: usize,
    /// Files that are kept; older ones are removed.
    pub most_kept: usize,
}

impl FlightConfig {
    /// Into this folder, with what suits most.
    pub fn new(folder: &Path) -> Self {
        Self {
            memory: 16 << 20,
            folder: folder.to_owned(),
            after: Duration::from_secs(2),
            walk: Duration::from_secs(10),
            most_an_hour: 4,
            most_kept: 16,
        }
    }
}

/// Keeps what sockets say, for when something goes wrong.
pub struct FlightRecorder {
    config: FlightConfig,
    /// Of this run of the program, and its version.
    session: (String, String),
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    books: OnceLock<Arc<dyn CheckpointSource>>,
    shared: Arc<Shared>,
}

struct Shared {
    memory: usize,
    sockets: Mutex<BTreeMap<SocketId, Arc<Socket>>>,
    /// How many of them there are.
    count: AtomicUsize,
    pending: Mutex<Pending>,
    woken: Condvar,
    numbers: FlightNumbers,
}

/// A socket, and what is kept of it.
struct Socket {
    connection: Arc<str>,
    ring: Mutex<Ring>,
}

#[derive(Default)]
struct Pending {
    marks: Vec<(Instant, Mark)>,
    is_stopping: bool,
}

/// What it has done so far.
#[derive(Debug, Default)]
pub struct FlightNumbers {
    incidents: Counter,
    files: Counter,
    errors: Counter,
    bytes: Gauge,
}

impl FlightRecorder {
    /// One that does not run yet. It keeps what sockets say all the same. `clock` is the
    /// wall's.
    pub fn new(
        config: FlightConfig,
        (session, version): (&str, &str),
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let shared = Shared {
            memory: config.memory,
            sockets: Mutex::default(),
            count: AtomicUsize::new(0),
            pending: Mutex::default(),
            woken: Condvar::new(),
            numbers: FlightNumbers::default(),
        };
        Self {
            config,
            session: (session.to_owned(), version.to_owned()),
            disk,
            clock,
            books: OnceLock::new(),
            shared: Arc::new(shared),
        }
    }

    /// Where sockets say what is to be kept.
    pub fn inlet(&self) -> FlightInlet {
        FlightInlet(Arc::clone(&self.shared))
    }

    /// These books are copied, so that a reader can begin with them. Said once.
    pub fn copy_books(&self, books: Arc<dyn CheckpointSource>) {
        let _first = self.books.set(books);
    }

    /// Shows its rows.
    pub fn show(&self, sheet: &mut dyn Sheet) {
        self.shared.numbers.show(sheet);
    }

    /// Begins to wait for incidents.
    ///
    /// # Errors
    /// There is no thread.
    pub fn start(&self) -> io::Result<FlightRunning> {
        self.shared.pending.lock().is_stopping = false;
        let watch = Watch {
            config: self.config.clone(),
            session: self.session.clone(),
            disk: Arc::clone(&self.disk),
            clock: Arc::clone(&self.clock),
            books: self.books.get().cloned(),
            shared: Arc::clone(&self.shared),
            copies: Copies::new(self.config.memory),
            files: VecDeque::new(),
        };
        let thread = std::thread::Builder::new()
            .name("polypy-flight".to_owned())
            .spawn(move || watch.run())?;
        Ok(FlightRunning {
            thread: Some(thread),
            shared: Arc::clone(&self.shared),
        })
    }
}

impl fmt::Debug for FlightRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlightRecorder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// A flight recorder that runs. Dropped, it ends as by [`stop`](Self::stop).
pub struct FlightRunning {
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

impl FlightRunning {
    /// Whether its thread has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Writes the file of an incident that is being waited for, and ends.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shared.pending.lock().is_stopping = true;
        self.shared.woken.notify_all();
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            tracing::error!("the flight recorder ended by a panic");
        }
    }
}

impl Drop for FlightRunning {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for FlightRunning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FlightRunning")
    }
}

// ---- what sockets say -------------------------------------------------------

/// The side of the sockets.
#[derive(Clone)]
pub struct FlightInlet(Arc<Shared>);

impl FlightInlet {
    /// Something has gone wrong.
    pub fn incident(&self, mark: Mark, at: Instant) {
        self.0.numbers.incidents.add_shared(1);
        let mut pending = self.0.pending.lock();
        if pending.marks.len() < MOST_MARKS {
            pending.marks.push((at, mark));
        }
        drop(pending);
        self.0.woken.notify_all();
    }
}

impl fmt::Debug for FlightInlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FlightInlet")
    }
}

impl FrameSink for FlightInlet {
    fn opened(&self, opened: &Opened<'_>) -> Box<dyn SocketSink> {
        let socket = Arc::new(Socket {
            connection: opened.connection.into(),
            ring: Mutex::new(Ring::new()),
        });
        let mut sockets = self.0.sockets.lock();
        // Those that closed long ago.
        sockets.retain(|_, socket| !socket.ring.lock().is_over(opened.at));
        sockets.insert(opened.socket, Arc::clone(&socket));
        self.0.count.store(sockets.len(), Ordering::Relaxed);
        drop(sockets);
        let handle = Handle {
            shared: Arc::clone(&self.0),
            socket,
            is_closed: false,
        };
        let what = What::Opened {
            connection: Arc::clone(&handle.socket.connection),
            is_replacement: opened.is_replacement,
        };
        handle.said(what, opened.at);
        Box::new(handle)
    }

    /// Books that REST brought are in the copies soon.
    fn answered(&self, _answer: &Answer<'_>) {}
}

struct Handle {
    shared: Arc<Shared>,
    socket: Arc<Socket>,
    is_closed: bool,
}

impl Shared {
    /// What each socket may take.
    fn share(&self) -> usize {
        self.memory / self.count.load(Ordering::Relaxed).max(1)
    }
}

impl Handle {
    fn said(&self, what: What, at: Instant) {
        let share = self.shared.share();
        self.socket.ring.lock().said(what, (at, share));
    }

    fn close(&mut self, reason: &str, owner: Owner, at: Instant) {
        if !std::mem::replace(&mut self.is_closed, true) {
            self.said(What::Closed(reason.into(), owner), at);
        }
    }
}

impl SocketSink for Handle {
    fn received(&mut self, bytes: &[u8], ends: &[usize], is_text: bool, at: Instant) {
        if !ends.is_empty() {
            let share = self.shared.share();
            let mut ring = self.socket.ring.lock();
            ring.frames(bytes, ends, is_text, (at, share));
        }
    }

    fn sent(&mut self, text: &str, asked: Asked, tokens: &[Arc<AssetInfo>], at: Instant) {
        let named: Vec<_> = tokens
            .iter()
            .map(|token| (token.key, token.asset_id.clone()))
            .collect();
        let ids: Box<[AssetId]> = named.iter().map(|(_, id)| id.clone()).collect();
        let sent = SentText {
            asked,
            tokens: ids,
            text: text.into(),
        };
        let share = self.shared.share();
        let mut ring = self.socket.ring.lock();
        ring.name(asked, &named);
        ring.said(What::Sent(Box::new(sent)), (at, share));
    }

    fn first_books(&mut self, tokens: &[AssetKey], origin: BookOrigin, at: Instant) {
        let share = self.shared.share();
        let mut ring = self.socket.ring.lock();
        let named = ring.named(tokens);
        ring.said(What::FirstBooks(named.into(), origin), (at, share));
    }

    fn delivers(&mut self, feed: FeedId, at: Instant) {
        self.said(What::Delivers(feed), at);
    }

    fn closed(&mut self, reason: &str, owner: Owner, at: Instant) {
        self.close(reason, owner, at);
    }
}

/// Its task died without a word.
impl Drop for Handle {
    fn drop(&mut self) {
        if !self.is_closed {
            self.close("task_died", Owner::Us, Instant::now());
        }
    }
}

// ---- what becomes of it -----------------------------------------------------

/// The thread that waits for incidents.
struct Watch {
    config: FlightConfig,
    session: (String, String),
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    books: Option<Arc<dyn CheckpointSource>>,
    shared: Arc<Shared>,
    copies: Copies,
    /// When files were written, within the last hour.
    files: VecDeque<Instant>,
}

/// What there is to do.
enum Due {
    Walk,
    /// The incidents, of which all has come that belongs to them.
    Write(Vec<(Instant, Mark)>),
    Stop(Vec<(Instant, Mark)>),
}

impl Watch {
    fn run(mut self) {
        let mut walk_at = Instant::now() + self.config.walk;
        loop {
            match self.next(walk_at) {
                Due::Walk => {
                    let shared = &self.shared;
                    let pause = || {
                        std::thread::sleep(PAGE);
                        let pending = shared.pending.lock();
                        !pending.is_stopping && pending.marks.is_empty()
                    };
                    if let Some(books) = &self.books {
                        self.copies.walk(&**books, pause);
                    }
                    self.tell_size();
                    walk_at = Instant::now() + self.config.walk;
                }
                Due::Write(marks) => self.write(marks),
                Due::Stop(marks) => {
                    if !marks.is_empty() {
                        self.write(marks);
                    }
                    return;
                }
            }
        }
    }

    fn next(&self, walk_at: Instant) -> Due {
        let mut pending = self.shared.pending.lock();
        loop {
            if pending.is_stopping {
                return Due::Stop(std::mem::take(&mut pending.marks));
            }
            let now = Instant::now();
            let write_at = pending.marks.first().map(|(at, _)| *at + self.config.after);
            if write_at.is_some_and(|at| now >= at) {
                return Due::Write(std::mem::take(&mut pending.marks));
            }
            if write_at.is_none() && now >= walk_at {
                return Due::Walk;
            }
            let until = write_at.unwrap_or(walk_at);
            let _woken = self.shared.woken.wait_until(&mut pending, until);
        }
    }

    fn tell_size(&self) {
        let sockets = self.shared.sockets.lock();
        let rings: usize = sockets
            .values()
            .map(|socket| socket.ring.lock().size())
            .sum();
        let bytes = rings + self.copies.bytes();
        self.shared.numbers.bytes.set(bytes as u64);
    }

    fn write(&mut self, marks: Vec<(Instant, Mark)>) {
        let now = Instant::now();
        let is_old = |at: &Instant| now.saturating_duration_since(*at) >= HOUR;
        while self.files.front().is_some_and(is_old) {
            self.files.pop_front();
        }
        if self.files.len() >= self.config.most_an_hour {
            tracing::debug!("no file is made of an incident: there were enough within the hour");
            return;
        }
        self.files.push_back(now);
        let (now, wall) = crate::recorder::read_clocks(&*self.clock);
        let mut sockets = Vec::new();
        for (number, socket) in self.shared.sockets.lock().iter() {
            let mut ring = socket.ring.lock();
            if !ring.is_over(now) {
                let carries =
                    |copy: &copies::BookCopy| ring.carries(copy.checkpoint.whole.info.key);
                let copies = self.copies.all().filter(|copy| carries(copy));
                let keys = copies.map(|copy| copy.checkpoint.whole.info.key).collect();
                sockets.push(incident::SocketPart {
                    number: number.0,
                    connection: Arc::clone(&socket.connection),
                    copied: keys,
                    frozen: ring.freeze(),
                });
            }
        }
        let kinds: Vec<_> = marks
            .iter()
            .map(|(_, mark)| mark.kind.to_string())
            .collect();
        let incident = Incident {
            marks,
            sockets,
            copies: self.copies.all().cloned().collect(),
            clocks: (now, wall),
            session: self.session.clone(),
        };
        match incident.write(&*self.disk, &self.config) {
            Ok(finished) => {
                self.shared.numbers.files.increment();
                tracing::warn!(
                    file = %finished.path.display(),
                    incident = kinds.first().map_or("", |kind| kind),
                    frames = finished.frames,
                    "what sockets said before an incident was written to a file"
                );
            }
            Err(error) => {
                self.shared.numbers.errors.increment();
                tracing::warn!(
                    %error,
                    folder = %self.config.folder.display(),
                    "the flight recorder cannot write its file: flight_recorder.dir names another folder"
                );
            }
        }
    }
}

impl FlightNumbers {
    /// Shows its rows.
    pub fn show(&self, sheet: &mut dyn Sheet) {
        sheet.table(ROWS, self);
    }
}

type Shown = Entry<FlightNumbers>;

static ROWS: &[Shown] = &[
    Shown::counter(
        "incidents",
        "polypy_flight_recorder_incidents_total",
        "Books that a check found wrong, and workers that died.",
        |numbers| numbers.incidents.get().into(),
    ),
    Shown::counter(
        "files",
        "polypy_flight_recorder_files_total",
        "Files written after incidents.",
        |numbers| numbers.files.get().into(),
    ),
    Shown::counter(
        "errors",
        "polypy_flight_recorder_errors_total",
        "Files that could not be written.",
        |numbers| numbers.errors.get().into(),
    ),
    Shown::gauge(
        "bytes",
        "polypy_flight_recorder_bytes",
        "Bytes of frames and of copies of books that are kept.",
        |numbers| numbers.bytes.get().into(),
    )
    .unit(Unit::Bytes),
];

#[cfg(test)]
#[path = "../flight_tests.rs"]
mod tests;
