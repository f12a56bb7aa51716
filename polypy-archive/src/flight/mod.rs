//! The flight recorder: what sockets said last, kept in memory, and written to a file once
//! something has gone wrong.
//!
//! | module | idea |
//! |---|---|
//! | `inlet` | where sockets speak |
//! | `ring` | the last that one socket said |
//! | `lately` | what happened apart from sockets |
//! | `copies` | the last live copies of books |
//! | `watch` | the thread that copies books and waits for incidents |
//! | `incident` | the file that is made of all that |
//! | `gaps` | what the file says is missing |
//! | `numbers` | what it has done so far |
//!
//! | state | by | to |
//! |---|---|---|
//! | watching | an incident | waiting: what belongs to it may still come |
//! | waiting | two seconds, or a socket of it that has forgotten half of what it had kept | watching, with a file, unless there were enough within the hour |
//!
//! Sockets share the memory equally, and each forgets its oldest frames. A file is as much
//! as that, and begins each socket with a gap if something was forgotten: a reader
//! begins with the copies that have all of before in them.

mod copies;
mod gaps;
mod incident;
mod inlet;
mod lately;
mod numbers;
mod ring;
mod watch;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use polypy_core::metrics::Sheet;
use polypy_core::recording::Mark;
use polypy_core::{AssetId, CheckpointSource, Clock, Market, SocketId};

use self::copies::Copies;
pub use self::inlet::FlightInlet;
use self::lately::Lately;
pub use self::numbers::FlightNumbers;
use self::ring::Ring;
use self::watch::Watch;
use crate::audits::Audits;
use crate::disk::Disk;

/// The part of the memory for frames that answers may take beside it.
const ANSWERS: usize = 4;

/// Finds the market of a token that is followed.
pub type MarketLookup = dyn Fn(&AssetId) -> Option<Described> + Send + Sync;

/// A market as a file describes it.
#[derive(Debug, Clone)]
pub struct Described {
    /// The market.
    pub market: Arc<Market>,
    /// It has ended, and is not forgotten: nothing of it can be missing any more.
    pub is_over: bool,
}

/// What a flight recorder is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlightConfig {
    /// Bytes of frames, as many of copies of books, and a quarter of answers that books are
    /// compared with.
    pub memory: usize,
    /// Where files are written to. It is created with the first.
    pub folder: PathBuf,
    /// What belongs to an incident comes within this time after it.
    pub after: Duration,
    /// Between two walks over the books.
    pub walk: Duration,
    /// Files within an hour.
    pub most_an_hour: usize,
    /// Once half of these are there, no other one is made of incidents of the kinds of the last
    /// one for so long, and four times as long after each further one: they mostly have one cause.
    pub apart: Duration,
    /// Files that are kept; older ones are removed.
    pub most_kept: usize,
    /// After a file that could not be written none is tried for so long.
    pub retry: Duration,
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
            apart: Duration::from_secs(30),
            most_kept: 16,
            retry: Duration::from_secs(60),
        }
    }

    /// How long nothing alike becomes a file, after so many files within the hour.
    fn pause(&self, files: usize) -> Duration {
        let Some(more) = files.checked_sub(self.most_an_hour.div_ceil(2)) else {
            return Duration::ZERO;
        };
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        self.apart.saturating_mul(4_u32.saturating_pow(more))
    }

    /// Bytes of memory that it takes once all of it is in use, with what the allocator keeps
    /// beside it: 42 MiB were measured with 16.
    pub fn most_memory(&self) -> usize {
        3 * self.memory
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
    markets: OnceLock<Arc<MarketLookup>>,
    shared: Arc<Shared>,
}

struct Shared {
    memory: usize,
    sockets: Mutex<BTreeMap<SocketId, Arc<Socket>>>,
    /// How many of them there are.
    count: AtomicUsize,
    /// The last answers that books are compared with.
    audits: Mutex<Audits>,
    lately: Mutex<Lately>,
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
    /// Incidents, those among them for which there was no room.
    count: u64,
    is_stopping: bool,
}

impl Pending {
    fn take(&mut self) -> (Vec<(Instant, Mark)>, u64) {
        (
            std::mem::take(&mut self.marks),
            std::mem::take(&mut self.count),
        )
    }
}

impl Shared {
    /// What each socket may take.
    fn share(&self) -> usize {
        self.memory / self.count.load(Ordering::Relaxed).max(1)
    }

    fn all_sockets(&self) -> Vec<(SocketId, Arc<Socket>)> {
        let sockets = self.sockets.lock();
        let all = sockets.iter();
        all.map(|(number, socket)| (*number, Arc::clone(socket)))
            .collect()
    }

    /// Says in the numbers what is kept at the moment.
    fn tell_size(&self) {
        let (mut frames, mut bytes) = (0, self.audits.lock().bytes());
        for (_, socket) in self.all_sockets() {
            let ring = socket.ring.lock();
            frames += ring.frame_count();
            bytes += ring.size();
        }
        let numbers = &self.numbers;
        numbers.frames.set(frames as u64);
        numbers.bytes.set(bytes as u64 + numbers.book_bytes.get());
    }
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
            audits: Mutex::new(Audits::new(config.memory / ANSWERS)),
            lately: Mutex::default(),
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
            markets: OnceLock::new(),
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

    /// Files describe the markets that are found so. Said once.
    pub fn describe_markets(&self, lookup: Arc<MarketLookup>) {
        let _first = self.markets.set(lookup);
    }

    /// The program ends: that sockets close from now on is no loss.
    pub fn ending(&self) {
        self.shared.lately.lock().ending = Some(Instant::now());
    }

    /// Where files are written to.
    pub fn folder(&self) -> &Path {
        &self.config.folder
    }

    /// What it has done so far.
    pub fn numbers(&self) -> &FlightNumbers {
        &self.shared.numbers
    }

    /// Shows its rows.
    pub fn show(&self, sheet: &mut dyn Sheet) {
        self.shared.tell_size();
        self.shared.numbers.show(sheet);
    }

    /// Begins to wait for incidents.
    ///
    /// # Errors
    /// There is no thread.
    pub fn start(&self) -> io::Result<FlightRunning> {
        self.shared.pending.lock().is_stopping = false;
        self.shared.lately.lock().ending = None;
        let watch = Watch {
            config: self.config.clone(),
            session: self.session.clone(),
            disk: Arc::clone(&self.disk),
            clock: Arc::clone(&self.clock),
            books: self.books.get().cloned(),
            markets: self.markets.get().cloned(),
            shared: Arc::clone(&self.shared),
            copies: Copies::new(self.config.memory),
            state: watch::State::default(),
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

#[cfg(test)]
#[path = "../flight_tests.rs"]
mod tests;
