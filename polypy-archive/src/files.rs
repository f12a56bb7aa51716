//! Which file is written, and when it ends: a state machine without a thread or a clock.
//!
//! | state | by | to |
//! |---|---|---|
//! | closed, as at the start | the time to try comes, and a file begins | open |
//! | open | the file is full or old enough, or the clock was set | open, with the next file |
//! | open | a write or a sync fails, or the disk has less than its reserve | closed |
//! | open | the file is gone: somebody has removed it, or its folder | closed |
//!
//! A file that failed is cut behind what is whole and left to a repair; nothing of it is
//! written or synced again, and one in which nothing is whole is removed. Tries to begin
//! another one come ever later, until the disk has taken something: the recorder counts as
//! failed till then, for a full disk has room for a file's first bytes again and again.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use polypy_core::recording::Gap;

use crate::folder::{Folder, Held};
use crate::loss::{Failure, Given, Loss, Lost};
use crate::numbers::Numbers;
use crate::segment::{MOST_SOCKETS, Segment};
use crate::writer_config::WriterConfig;

/// The first wait before the next file after a failure; it doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The file that is written, if there is one. Times on the wall are in nanoseconds since
/// the epoch.
#[derive(Debug)]
pub(crate) struct Files {
    config: WriterConfig,
    folder: Folder,
    numbers: Arc<Numbers>,
    state: State,
    /// The wait after the next failure.
    wait: Duration,
    /// The time of the latest entry that the disk has, of the files before.
    reached: Option<u64>,
    /// The last file of this run that has anything in it: what is missing is behind it.
    behind: Option<String>,
    /// It has failed too often to be tried again.
    is_off: bool,
    /// A file was removed: whose folder it is now is not known, and nothing is written to it.
    is_gone: bool,
    /// What the folder has, beside the file that is written.
    held: Held,
    /// What was removed with the folder, and is not said yet.
    removed: Option<Held>,
}

#[derive(Debug)]
enum State {
    Closed { retry_at: Instant },
    Open(Box<Open>),
}

#[derive(Debug)]
struct Open {
    segment: Segment,
    since: Instant,
    /// When the first entry of the chunk was written to it.
    chunk_since: Option<Instant>,
    synced: Instant,
    /// Chunks were written that the disk may not have.
    is_dirty: bool,
    /// The time of the first entry.
    first: Option<u64>,
    /// The time of the latest entry, of the latest in a chunk that was written, and of the
    /// latest that is on the disk.
    last: Option<u64>,
    last_written: Option<u64>,
    last_synced: Option<u64>,
    /// Frames in the chunks that were written, and in those that are on the disk.
    frames_written: u64,
    frames_synced: u64,
    /// What is in the chunk that is collected.
    waiting: Given,
}

/// What time has brought.
#[derive(Debug)]
pub(crate) enum Turn {
    Nothing,
    /// A file has begun, and is empty.
    Begun,
    Lost(Loss),
}

impl Files {
    /// No file yet.
    pub(crate) fn new(
        config: WriterConfig,
        mut folder: Folder,
        numbers: Arc<Numbers>,
        now: Instant,
    ) -> Self {
        folder.compress_at(config.zstd_level);
        let mut files = Self {
            config,
            folder,
            numbers,
            state: State::Closed { retry_at: now },
            wait: FIRST_WAIT,
            reached: None,
            behind: None,
            is_off: false,
            is_gone: false,
            held: Held::default(),
            removed: None,
        };
        files.note_held();
        files
    }

    /// Keeps in mind what the folder has, for nobody can say so once it is removed.
    pub(crate) fn note_held(&mut self) {
        match self.folder.held() {
            Ok(held) => self.held = held,
            Err(error) => tracing::debug!(%error, "what the recording has is not known"),
        }
    }

    /// What was removed with the folder: said once.
    pub(crate) fn take_removed(&mut self) -> Option<Held> {
        self.removed.take()
    }

    /// Whether what comes is written.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// The time of the latest entry of the file.
    pub(crate) fn last(&self) -> Option<u64> {
        match &self.state {
            State::Open(open) => open.last,
            State::Closed { .. } => None,
        }
    }

    /// Begins a file.
    pub(crate) fn open(&mut self, now: Instant, wall: u64) -> io::Result<()> {
        let segment = self.folder.begin(wall)?;
        self.numbers.writes(&segment.name());
        self.numbers.file_bytes.add(segment.bytes());
        self.state = State::Open(Box::new(Open {
            segment,
            since: now,
            chunk_since: None,
            synced: now,
            is_dirty: false,
            first: None,
            last: None,
            last_written: None,
            last_synced: None,
            frames_written: 0,
            frames_synced: 0,
            waiting: Given::default(),
        }));
        Ok(())
    }

    /// The disk had no room for the first file: that is tried again as after any other failure.
    pub(crate) fn never_began(&mut self, error: io::Error, now: Instant) -> Loss {
        let nothing = Lost::nothing_since(self.since(None));
        self.close(&Failure::Disk(error), nothing, now)
    }

    /// Has `add` add an entry of this time, which holds these frames, to the chunk, which ends
    /// once it is large enough. What the chunk has no room for is the first of the next one.
    /// Does nothing while there is no file.
    pub(crate) fn write(
        &mut self,
        (now, at): (Instant, u64),
        given: Given,
        mut add: impl FnMut(&mut Segment) -> bool,
    ) -> Result<(), Loss> {
        let State::Open(open) = &mut self.state else {
            return Ok(());
        };
        let mut ended = Ok(());
        if !add(&mut open.segment) {
            ended = open.end_chunk(&self.numbers);
            // It is alone in there now: only what is too long for any chunk is left out.
            let _is_too_long = ended.is_ok() && !add(&mut open.segment);
        }
        open.chunk_since.get_or_insert(now);
        open.first.get_or_insert(at);
        open.last = Some(open.last.map_or(at, |last| last.max(at)));
        self.numbers.entries.increment();
        open.waiting.add(given);
        if ended.is_ok() && open.segment.waiting() >= self.config.chunk {
            ended = open.end_chunk(&self.numbers);
        }
        ended.map_err(|error| self.fail(&Failure::Disk(error), now))
    }

    /// Does what time asks. `is_said`: the file has what it has to begin with.
    pub(crate) fn keep_time(&mut self, now: Instant, wall: u64, is_said: bool) -> Turn {
        let done = match &mut self.state {
            State::Open(open) => {
                let kept = open.keep_time(&self.config, &self.numbers, now);
                if let Ok(true) = kept {
                    self.wait = FIRST_WAIT;
                    if self.numbers.recovered() {
                        let folder = self.folder.path().display();
                        tracing::info!(%folder, "recording again");
                    }
                }
                if let Err(error) = kept {
                    Err(self.fail(&Failure::Disk(error), now))
                } else if open.is_full(&self.config, now, is_said) {
                    self.rotate(now, wall).map(|()| true)
                } else {
                    Ok(false)
                }
            }
            State::Closed { retry_at } if now >= *retry_at && !self.is_off => {
                Ok(self.try_open(now, wall))
            }
            State::Closed { .. } => Ok(false),
        };
        match done {
            Ok(false) => Turn::Nothing,
            Ok(true) => Turn::Begun,
            Err(loss) => Turn::Lost(loss),
        }
    }

    /// Gives the file up if it is gone: what is written to it nobody can read.
    pub(crate) fn keep_place(&mut self, now: Instant) -> Result<(), Loss> {
        match &self.state {
            State::Open(open) if !self.folder.has(&open.segment) => {
                Err(self.fail(&Failure::Gone, now))
            }
            State::Open(_) | State::Closed { .. } => Ok(()),
        }
    }

    /// Ends the file where the disk has less left than is reserved.
    pub(crate) fn keep_reserve(&mut self, now: Instant, wall: u64) -> Result<(), Loss> {
        let free = match self.folder.free() {
            Ok(free) => free,
            Err(error) => {
                tracing::debug!(%error, "the disk does not say what is free");
                return Ok(());
            }
        };
        self.numbers.free_bytes.set(free);
        if !self.is_open() || free >= self.config.disk_reserve {
            return Ok(());
        }
        let last = self.last();
        // It can still be finished, and all of it is on the disk then.
        self.end(now, wall)?;
        Err(self.close(&Failure::Reserve { free }, Lost::nothing_since(last), now))
    }

    /// Ends the file and begins the next one.
    pub(crate) fn rotate(&mut self, now: Instant, wall: u64) -> Result<(), Loss> {
        let last = self.last();
        self.end(now, wall)?;
        let begun = self.open(now, wall);
        let nothing = Lost::nothing_since(last);
        begun.map_err(|error| self.close(&Failure::Disk(error), nothing, now))
    }

    /// Ends the file, if there is one.
    pub(crate) fn end(&mut self, now: Instant, wall: u64) -> Result<(), Loss> {
        self.keep_place(now)?;
        let Some(open) = self.take(now) else {
            return Ok(());
        };
        let (name, last) = (open.segment.name(), open.last);
        let (before, from) = (open.segment.bytes(), open.last_synced);
        let (synced, waiting) = (open.frames_synced, open.waiting);
        let finished = self.folder.finish(open.segment, wall);
        self.behind = Some(name);
        match finished {
            Ok(finished) => {
                self.reached = last.or(self.reached);
                self.numbers.files.increment();
                self.numbers.synced.add(finished.frames - synced);
                self.numbers.file_bytes.add(finished.bytes - before);
                tracing::debug!(
                    file = %finished.path.display(),
                    bytes = finished.bytes,
                    frames = finished.frames,
                    "file of the recording finished"
                );
            }
            Err(error) => {
                self.reached = self.since(from);
                let lost = Lost {
                    from: self.reached,
                    frames: None,
                    goes_on: from.is_none() && self.numbers.has_failed(),
                    unwritten: waiting,
                };
                return Err(self.close(&Failure::Disk(error), lost, now));
            }
        }
        match self.folder.retain(&self.config.retention, wall) {
            Ok(removed) => self.numbers.removed.add(removed.len() as u64),
            Err(error) => tracing::warn!(%error, "old files of the recording stay"),
        }
        self.note_held();
        Ok(())
    }

    /// Says in the manifest what is missing: a line of some 300 bytes, for which the reserve
    /// has room, and a full disk mostly the rest of a block.
    ///
    /// # Errors
    /// Those of the disk, and that the folder is gone or was never taken.
    pub(crate) fn note_gap(&self, gap: Gap, wall: u64) -> io::Result<()> {
        if self.is_gone {
            return Err(io::ErrorKind::NotFound.into());
        }
        if !self.folder.is_taken() {
            // There was no room for that.
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.folder.note_gap(gap, self.behind.clone(), wall)
    }

    /// Whether nothing can be written to the folder, since it is gone or a file in it was.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Says in the manifest that this run ends by itself.
    pub(crate) fn note_stopped(&self, wall: u64) {
        if self.is_gone || !self.folder.is_taken() {
            return;
        }
        if let Err(error) = self.folder.note_stopped(wall) {
            tracing::error!(
                %error,
                folder = %self.folder.path().display(),
                "the recording cannot say that it was stopped: it will count as killed"
            );
        }
    }

    /// The writer panicked: nothing that was being written is trusted.
    pub(crate) fn give_up(&mut self, now: Instant) -> Loss {
        self.fail(&Failure::Panic, now)
    }

    /// No file is tried again.
    pub(crate) fn leave(&mut self) {
        self.is_off = true;
    }

    /// When there is something to do, if nothing comes before.
    pub(crate) fn next(&self) -> Option<Instant> {
        match &self.state {
            State::Open(open) => Some(open.next(&self.config)),
            State::Closed { .. } if self.is_off => None,
            State::Closed { retry_at, .. } => Some(*retry_at),
        }
    }

    // ---- how ----------------------------------------------------------------

    /// The file that was written, which is none any more.
    fn take(&mut self, now: Instant) -> Option<Open> {
        let closed = State::Closed { retry_at: now };
        match std::mem::replace(&mut self.state, closed) {
            State::Open(open) => Some(*open),
            State::Closed { .. } => None,
        }
    }

    /// What the disk has last, if it has this of the file; where it has nothing of this run, the
    /// run's begin.
    fn since(&self, synced: Option<u64>) -> Option<u64> {
        synced.or(self.reached).or(Some(self.folder.began()))
    }

    fn fail(&mut self, failure: &Failure, now: Instant) -> Loss {
        let Some(open) = self.take(now) else {
            return self.close(failure, Lost::default(), now);
        };
        let (all, name) = (open.segment.frames(), open.segment.name());
        let mut lost = Lost {
            from: self.since(open.last_synced),
            frames: (!open.is_dirty).then_some(all - open.frames_written),
            goes_on: false,
            unwritten: open.waiting,
        };
        let (first, is_synced) = (open.first, open.last_synced.is_some());
        let failed = open.segment.fail();
        tracing::debug!(
            file = %failed.path.display(),
            whole = failed.whole,
            lost_bytes = failed.lost_bytes,
            "file of the recording given up"
        );
        if matches!(failure, Failure::Gone) {
            // With all that was in it.
            (lost.from, lost.frames) = (first, Some(all));
            self.behind = Some(name);
        } else if failed.chunks == 0 {
            (lost.frames, lost.goes_on) = (Some(all), true);
            if let Err(error) = self.folder.remove_begun(&failed.path) {
                tracing::debug!(%error, "a file with nothing in it stays");
            }
        } else {
            lost.goes_on = !is_synced && self.numbers.has_failed();
            self.behind = Some(name);
        }
        self.reached = lost.from.or(self.reached);
        self.close(failure, lost, now)
    }

    fn close(&mut self, failure: &Failure, lost: Lost, now: Instant) -> Loss {
        self.numbers.errors.increment();
        let (reason, text) = (failure.reason(), failure.text(self.config.disk_reserve));
        let folder = self.folder.path().display();
        if self.numbers.has_failed() {
            tracing::debug!(reason = text, %folder, "the recording has failed again");
        } else {
            tracing::error!(
                reason = text,
                %folder,
                "nothing is recorded: the books are not concerned"
            );
        }
        self.numbers.failed(text);
        self.is_gone |= matches!(failure, Failure::Gone);
        self.wait_on(now);
        let Lost {
            from,
            frames,
            goes_on,
            unwritten,
        } = lost;
        Loss {
            reason,
            from,
            frames,
            goes_on,
            unwritten,
        }
    }

    /// The next try is after a wait, and the one behind it after a longer one.
    fn wait_on(&mut self, now: Instant) {
        let retry_at = now + self.wait;
        self.wait = LONGEST_WAIT.min(self.wait * 2);
        self.state = State::Closed { retry_at };
    }

    fn begin_again(&mut self, now: Instant, wall: u64) -> io::Result<()> {
        self.take_again(wall)?;
        self.open(now, wall)
    }

    /// Takes the folder again, and creates it, if it or a file in it was removed.
    ///
    /// # Errors
    /// Somebody else records there by now, or the disk fails.
    pub(crate) fn take_again(&mut self, wall: u64) -> io::Result<()> {
        if self.folder.is_removed() {
            self.is_gone = true;
            let held = std::mem::take(&mut self.held);
            self.removed = self
                .removed
                .or(Some(held).filter(|held| *held != Held::default()));
        }
        if self.is_gone || self.folder.is_gone() {
            self.is_gone = true;
            self.folder.take_again(wall)?;
            self.is_gone = false;
        }
        self.folder.note_begun(wall)
    }

    /// Whether a file has begun, after a failure.
    fn try_open(&mut self, now: Instant, wall: u64) -> bool {
        let free = self.folder.free().unwrap_or(u64::MAX);
        let begun = if free < self.config.disk_reserve {
            Err(Failure::Reserve { free }.text(self.config.disk_reserve))
        } else {
            self.begin_again(now, wall)
                .map_err(|error| error.to_string())
        };
        match begun {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(error, "the recording cannot go on yet");
                self.wait_on(now);
                false
            }
        }
    }
}

impl Open {
    fn end_chunk(&mut self, numbers: &Numbers) -> io::Result<()> {
        let before = self.segment.bytes();
        self.chunk_since = None;
        let length = self.segment.end_chunk()?;
        numbers.file_bytes.add(length - before);
        self.last_written = self.last;
        self.frames_written = self.segment.frames();
        self.waiting = Given::default();
        self.is_dirty = true;
        Ok(())
    }

    /// Whether the disk has taken something.
    fn keep_time(
        &mut self,
        config: &WriterConfig,
        numbers: &Numbers,
        now: Instant,
    ) -> io::Result<bool> {
        let is_old = |since: Instant| now.saturating_duration_since(since) >= config.chunk_after;
        if self.chunk_since.is_some_and(is_old) {
            self.end_chunk(numbers)?;
        }
        numbers.chunk_bytes.set(self.segment.waiting() as u64);
        let is_due = now.saturating_duration_since(self.synced) >= config.sync;
        if is_due && self.is_dirty {
            let before = Instant::now();
            self.segment.sync()?;
            numbers.sync.record(before.elapsed(), 1);
            self.synced = now;
            self.last_synced = self.last_written;
            self.is_dirty = false;
            numbers.synced.add(self.frames_written - self.frames_synced);
            self.frames_synced = self.frames_written;
            return Ok(true);
        }
        Ok(false)
    }

    fn is_full(&self, config: &WriterConfig, now: Instant, is_said: bool) -> bool {
        let bytes = self.segment.bytes();
        let is_old = now.saturating_duration_since(self.since) >= config.rotate_after;
        let is_large = bytes >= config.rotate_size;
        // What it has to begin with is said in it, unless that is much.
        (is_old || is_large) && (is_said || bytes >= 2 * config.rotate_size)
            || self.segment.sockets() >= MOST_SOCKETS
    }

    fn next(&self, config: &WriterConfig) -> Instant {
        let mut next = self.since + config.rotate_after;
        if let Some(since) = self.chunk_since {
            next = next.min(since + config.chunk_after);
        }
        if self.is_dirty {
            next = next.min(self.synced + config.sync);
        }
        next
    }
}
