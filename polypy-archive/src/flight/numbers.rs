//! The flight recorder's numbers, as `/stats` and `/metrics` show them.

use parking_lot::Mutex;
use polypy_core::metrics::{Counter, Entry, Gauge, Sheet, Unit};

/// What it has done so far, and what it keeps.
#[derive(Debug, Default)]
pub struct FlightNumbers {
    pub(super) incidents: Counter,
    pub(super) files: Counter,
    /// Incidents of which there is no file: there were enough within the hour, or the disk
    /// failed.
    pub(super) limited: Counter,
    pub(super) failed: Counter,
    pub(super) errors: Counter,
    pub(super) panics: Counter,
    pub(super) frames: Gauge,
    pub(super) books: Gauge,
    pub(super) bytes: Gauge,
    /// Of `bytes`, those of copies of books. Written by the thread that copies them.
    pub(super) book_bytes: Gauge,
    file: Mutex<String>,
}

impl FlightNumbers {
    /// Files written so far.
    pub fn files(&self) -> u64 {
        self.files.get()
    }

    /// The path of the last file; empty while there is none.
    pub fn file(&self) -> String {
        self.file.lock().clone()
    }

    pub(super) fn wrote(&self, file: String) {
        self.files.increment();
        *self.file.lock() = file;
    }

    /// Shows its rows.
    pub fn show(&self, sheet: &mut dyn Sheet) {
        sheet.table(FILE, &self.file());
        sheet.table(ROWS, self);
    }
}

type Shown = Entry<FlightNumbers>;

const NOT_WRITTEN: &str = "Incidents of which there is no file, by reason.";

static FILE: &[Entry<String>] = &[Entry::<String>::shown(
    "file",
    "The last file that was written.",
    |file| file.as_str().into(),
)];
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
        "Files written after incidents. One holds all incidents of two seconds.",
        |numbers| numbers.files.get().into(),
    ),
    Shown::counter(
        "not_written_limit",
        "polypy_flight_recorder_incidents_not_written_total",
        "Incidents without a file, since there were enough files within the hour.",
        |numbers| numbers.limited.get().into(),
    )
    .label("reason=\"limit\"")
    .family(NOT_WRITTEN),
    Shown::counter(
        "not_written_failed",
        "polypy_flight_recorder_incidents_not_written_total",
        "Incidents without a file, since it could not be written.",
        |numbers| numbers.failed.get().into(),
    )
    .label("reason=\"failed\"")
    .family(NOT_WRITTEN),
    Shown::counter(
        "errors",
        "polypy_flight_recorder_errors_total",
        "Files that could not be written.",
        |numbers| numbers.errors.get().into(),
    ),
    Shown::counter(
        "panics",
        "polypy_flight_recorder_panics_total",
        "Panics of the flight recorder.",
        |numbers| numbers.panics.get().into(),
    ),
    Shown::gauge(
        "frames",
        "polypy_flight_recorder_frames",
        "Frames that are kept.",
        |numbers| numbers.frames.get().into(),
    ),
    Shown::gauge(
        "books",
        "polypy_flight_recorder_books",
        "Copies of books that are kept.",
        |numbers| numbers.books.get().into(),
    ),
    Shown::gauge(
        "bytes",
        "polypy_flight_recorder_bytes",
        "Bytes of frames, of copies of books and of answers that are kept.",
        |numbers| numbers.bytes.get().into(),
    )
    .unit(Unit::Bytes),
];
