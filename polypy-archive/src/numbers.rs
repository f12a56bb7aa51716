//! The recorder's numbers, as `/stats` and `/metrics` show them.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use polypy_core::Owner;
use polypy_core::metrics::{Counter, Entry, Gauge, Histogram, Kind, Row, Sheet, Span, Unit};

/// So long after the last loss the recorder counts as behind.
const BEHIND: Duration = Duration::from_secs(60);

/// How well the recorder does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecorderState {
    /// It does not run.
    Off,
    /// All that comes is written.
    Recording,
    /// It has dropped something within the last minute, for its queue was full.
    Behind,
    /// Nothing is written: the disk fails, is full, or does not answer.
    Failed,
}

impl RecorderState {
    /// The state's name as JSON shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Recording => "recording",
            Self::Behind => "behind",
            Self::Failed => "failed",
        }
    }
}

/// What the recorder has done so far. Written by its thread, read by all.
#[derive(Debug, Default)]
pub struct Numbers {
    pub(crate) frames: Counter,
    pub(crate) frame_bytes: Counter,
    pub(crate) control: Counter,
    pub(crate) entries: Counter,
    pub(crate) checkpoints: Counter,
    pub(crate) file_bytes: Counter,
    pub(crate) files: Counter,
    pub(crate) synced: Counter,
    pub(crate) removed: Counter,
    pub(crate) lost_behind: Counter,
    pub(crate) lost_too_long: Counter,
    pub(crate) lost_disk: Counter,
    pub(crate) gaps_venue: Counter,
    pub(crate) gaps_network: Counter,
    pub(crate) gaps_us: Counter,
    pub(crate) errors: Counter,
    pub(crate) panics: Counter,
    pub(crate) clock_steps: Counter,
    pub(crate) queue_bytes: Gauge,
    pub(crate) chunk_bytes: Gauge,
    pub(crate) free_bytes: Gauge,
    pub(crate) followed: Gauge,
    pub(crate) covered: Gauge,
    pub(crate) sync: Histogram,
    /// What the writer has done one by one: while it waits for the disk, none.
    steps: Counter,
    condition: Mutex<Condition>,
}

#[derive(Debug, Default)]
struct Condition {
    is_running: bool,
    /// Why nothing is written, if nothing is.
    failure: Option<String>,
    /// Since when the writer has not come back from the disk, if it is not expected to.
    stalled: Option<Instant>,
    lost: Option<Instant>,
    /// The name of the file that is being written.
    file: String,
}

impl Numbers {
    /// How well it does at the moment, and why, for people, if it does not.
    pub fn state(&self, now: Instant) -> (RecorderState, Option<String>) {
        let condition = self.condition.lock();
        if !condition.is_running {
            return (RecorderState::Off, None);
        }
        if let Some(failure) = &condition.failure {
            return (RecorderState::Failed, Some(failure.clone()));
        }
        if let Some(since) = condition.stalled {
            let waited = now.saturating_duration_since(since).as_secs();
            let reason = format!(
                "the disk has not answered for {waited} s: what comes waits in the queue, and is \
                 dropped once that is full"
            );
            return (RecorderState::Failed, Some(reason));
        }
        let is_recent = |lost: Instant| now.saturating_duration_since(lost) < BEHIND;
        if condition.lost.is_some_and(is_recent) {
            let reason = "the recorder could not keep up and has dropped frames";
            return (RecorderState::Behind, Some(reason.to_owned()));
        }
        (RecorderState::Recording, None)
    }

    /// JSON frames that were written to files, and how many frames of either kind were lost.
    pub fn frames(&self) -> (u64, u64) {
        let lost = [&self.lost_behind, &self.lost_too_long, &self.lost_disk];
        (self.frames.get(), lost.into_iter().map(Counter::get).sum())
    }

    /// Bytes of the JSON frames that were written, and bytes of the files.
    pub fn bytes(&self) -> (u64, u64) {
        (self.frame_bytes.get(), self.file_bytes.get())
    }

    /// The name of the file that is being written; empty while there is none.
    pub fn file(&self) -> String {
        self.condition.lock().file.clone()
    }

    /// Frames that a power cut takes nothing of any more.
    pub fn synced(&self) -> u64 {
        self.synced.get()
    }

    /// Files that were finished.
    pub fn files(&self) -> u64 {
        self.files.get()
    }

    /// Gaps that were opened.
    pub fn gaps(&self) -> u64 {
        self.gaps_venue.get() + self.gaps_network.get() + self.gaps_us.get()
    }

    /// Bytes that wait to be written.
    pub fn waiting(&self) -> u64 {
        self.queue_bytes.get()
    }

    pub(crate) fn runs(&self, is_running: bool) {
        let mut condition = self.condition.lock();
        *condition = Condition {
            is_running,
            ..Condition::default()
        };
    }

    /// A file has begun. After a failure that says nothing yet.
    pub(crate) fn writes(&self, file: &str) {
        file.clone_into(&mut self.condition.lock().file);
    }

    /// The disk takes what is written. Whether it had failed till then.
    pub(crate) fn recovered(&self) -> bool {
        self.condition.lock().failure.take().is_some()
    }

    /// Whether nothing is written.
    pub(crate) fn has_failed(&self) -> bool {
        self.condition.lock().failure.is_some()
    }

    pub(crate) fn failed(&self, failure: String) {
        let mut condition = self.condition.lock();
        condition.failure = Some(failure);
        condition.file.clear();
    }

    /// Frames were dropped for want of room in the queue. Said by the socket that brought them,
    /// for the writer may be waiting for the disk.
    pub(crate) fn dropped(&self, frames: u64, at: Instant) {
        self.lost_behind.add_shared(frames);
        self.condition.lock().lost = Some(at);
    }

    /// A frame was left out, for it is too long.
    pub(crate) fn left_out(&self, at: Instant) {
        self.lost_too_long.add_shared(1);
        self.condition.lock().lost = Some(at);
    }

    /// The writer does something.
    pub(crate) fn step(&self) {
        self.steps.increment();
    }

    /// How often it did.
    pub(crate) fn steps(&self) -> u64 {
        self.steps.get()
    }

    /// Since when it has not come back from the disk; `None` once it has.
    pub(crate) fn stalled(&self, since: Option<Instant>) {
        self.condition.lock().stalled = since;
    }

    pub(crate) fn gap(&self, owner: Owner) {
        match owner {
            Owner::Venue => self.gaps_venue.increment(),
            Owner::Network => self.gaps_network.increment(),
            Owner::Us | Owner::Client => self.gaps_us.increment(),
        }
    }

    /// Shows its rows. `now`: whether it is behind depends on when.
    pub fn show(&self, sheet: &mut dyn Sheet, now: Instant) {
        let (state, reason) = self.state(now);
        let told = Told {
            state,
            reason: reason.unwrap_or_default(),
            file: self.file(),
        };
        sheet.table(CONDITION, &told);
        sheet.table(ROWS, self);
        sheet.histogram(&SYNC, &self.sync.reading());
    }
}

type Shown = Entry<Numbers>;

const LOST: &str = "Frames of both kinds that were not recorded, by cause.";
const GAPS: &str = "Gaps that were written when they opened, by whose doing they are.";

/// How it does at one moment.
struct Told {
    state: RecorderState,
    reason: String,
    file: String,
}

static CONDITION: &[Entry<Told>] = &[
    Entry::<Told>::shown("state", "off, recording, behind or failed.", |told| {
        told.state.name().into()
    }),
    Entry::<Told>::shown(
        "reason",
        "Why it is behind or failed; empty otherwise.",
        |told| told.reason.as_str().into(),
    ),
    Entry::<Told>::shown("file", "The file that is being written.", |told| {
        told.file.as_str().into()
    }),
    Entry::<Told>::exported(
        Kind::Gauge,
        "polypy_recorder_failed",
        "1 while nothing is written, since the disk fails, is full or does not answer.",
        |told| u64::from(told.state == RecorderState::Failed).into(),
    ),
];

static SYNC: Row = Row::histogram(
    "polypy_recorder_sync_seconds",
    "What the disk took for a sync of the recording.",
    Span::NETWORK,
);
static ROWS: &[Shown] = &[
    Shown::counter(
        "frames",
        "polypy_recorder_frames_total",
        "JSON frames written to files: what info and verify count as frames.",
        |numbers| numbers.frames.get().into(),
    ),
    Shown::counter(
        "frame_bytes",
        "polypy_recorder_frame_bytes_total",
        "Bytes of these frames.",
        |numbers| numbers.frame_bytes.get().into(),
    )
    .unit(Unit::Bytes),
    Shown::counter(
        "control_frames",
        "polypy_recorder_control_frames_total",
        "Frames that are no JSON, such as PONG, written to files.",
        |numbers| numbers.control.get().into(),
    ),
    Shown::counter(
        "entries",
        "polypy_recorder_entries_total",
        "Entries written to files, frames of both kinds among them.",
        |numbers| numbers.entries.get().into(),
    ),
    Shown::counter(
        "checkpoints",
        "polypy_recorder_checkpoints_total",
        "Copies of books written to files.",
        |numbers| numbers.checkpoints.get().into(),
    ),
    Shown::counter(
        "file_bytes",
        "polypy_recorder_file_bytes_total",
        "Bytes written to files.",
        |numbers| numbers.file_bytes.get().into(),
    )
    .unit(Unit::Bytes),
    Shown::counter(
        "files",
        "polypy_recorder_files_total",
        "Files finished.",
        |numbers| numbers.files.get().into(),
    ),
    Shown::counter(
        "synced_frames",
        "polypy_recorder_synced_frames_total",
        "JSON frames of which the disk has said that it has them.",
        |numbers| numbers.synced.get().into(),
    ),
    Shown::counter(
        "removed_files",
        "polypy_recorder_removed_files_total",
        "Files removed because of their age or of what all take.",
        |numbers| numbers.removed.get().into(),
    ),
    Shown::counter(
        "lost_behind",
        "polypy_recorder_lost_frames_total",
        "Frames dropped because the queue to the writer was full.",
        |numbers| numbers.lost_behind.get().into(),
    )
    .label("cause=\"behind\"")
    .family(LOST),
    Shown::counter(
        "lost_too_long",
        "polypy_recorder_lost_frames_total",
        "Frames left out because they were longer than 48 MiB.",
        |numbers| numbers.lost_too_long.get().into(),
    )
    .label("cause=\"too_long\"")
    .family(LOST),
    Shown::counter(
        "lost_disk",
        "polypy_recorder_lost_frames_total",
        "Frames that came while the disk failed or was full.",
        |numbers| numbers.lost_disk.get().into(),
    )
    .label("cause=\"disk\"")
    .family(LOST),
    Shown::counter(
        "gaps_venue",
        "polypy_recorder_gaps_total",
        "Gaps of the venue's doing.",
        |numbers| numbers.gaps_venue.get().into(),
    )
    .label("owner=\"venue\"")
    .family(GAPS),
    Shown::counter(
        "gaps_network",
        "polypy_recorder_gaps_total",
        "Gaps because a connection to the venue failed.",
        |numbers| numbers.gaps_network.get().into(),
    )
    .label("owner=\"network\"")
    .family(GAPS),
    Shown::counter(
        "gaps_us",
        "polypy_recorder_gaps_total",
        "Gaps of this program's doing.",
        |numbers| numbers.gaps_us.get().into(),
    )
    .label("owner=\"us\"")
    .family(GAPS),
    Shown::counter(
        "errors",
        "polypy_recorder_errors_total",
        "Files given up because the disk failed.",
        |numbers| numbers.errors.get().into(),
    ),
    Shown::counter(
        "panics",
        "polypy_recorder_panics_total",
        "Panics of the writer.",
        |numbers| numbers.panics.get().into(),
    ),
    Shown::counter(
        "clock_steps",
        "polypy_recorder_clock_steps_total",
        "Times that the wall clock was set.",
        |numbers| numbers.clock_steps.get().into(),
    ),
    Shown::gauge(
        "queue_bytes",
        "polypy_recorder_queue_bytes",
        "Bytes that wait for the writer.",
        |numbers| numbers.queue_bytes.get().into(),
    )
    .unit(Unit::Bytes),
    Shown::gauge(
        "chunk_bytes",
        "polypy_recorder_chunk_bytes",
        "Bytes that wait for the end of the chunk.",
        |numbers| numbers.chunk_bytes.get().into(),
    )
    .unit(Unit::Bytes),
    Shown::gauge(
        "free_bytes",
        "polypy_recorder_free_bytes",
        "Bytes that can still be written to the disk.",
        |numbers| numbers.free_bytes.get().into(),
    )
    .unit(Unit::Bytes),
    Shown::gauge(
        "followed_tokens",
        "polypy_recorder_followed_tokens",
        "Tokens that are followed.",
        |numbers| numbers.followed.get().into(),
    ),
    Shown::gauge(
        "covered_tokens",
        "polypy_recorder_covered_tokens",
        "Tokens among them that the recording covers at the moment.",
        |numbers| numbers.covered.get().into(),
    ),
];
