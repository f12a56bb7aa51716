//! What the system says of this process: the numbers that every exporter has.
//!
//! Read from `/proc`, where there is one, by a thread that may wait for a disk; shown from
//! the last reading. Elsewhere there are none.

use std::fs::{read_dir, read_to_string};

use parking_lot::Mutex;
use polypy_core::metrics::{Entry, Kind, Part, Sheet, Unit, count};

/// The newest reading.
#[derive(Debug, Default)]
pub(super) struct Process {
    reading: Mutex<Option<Reading>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    cpu_ms: u64,
    resident_bytes: u64,
    virtual_bytes: u64,
    threads: u64,
    open_descriptors: u64,
    /// The system may set none.
    max_descriptors: Option<u64>,
    /// In milliseconds since 1970.
    started_ms: u64,
}

type Own = Entry<Reading>;

static PROCESS: Part = Part::new("process", "This process, as of a second ago.");
static ROWS: &[Own] = &[
    Own::counter(
        "cpu_ms",
        "process_cpu_seconds_total",
        "Processor time spent, up to a second old.",
        |reading| reading.cpu_ms.into(),
    )
    .unit(Unit::Millis),
    Own::gauge(
        "resident_bytes",
        "process_resident_memory_bytes",
        "Memory in use.",
        |reading| reading.resident_bytes.into(),
    )
    .unit(Unit::Bytes),
    Own::gauge(
        "virtual_bytes",
        "process_virtual_memory_bytes",
        "Addresses in use.",
        |reading| reading.virtual_bytes.into(),
    )
    .unit(Unit::Bytes),
    Own::gauge("threads", "process_threads", "Threads.", |reading| {
        reading.threads.into()
    }),
    Own::gauge(
        "open_descriptors",
        "process_open_fds",
        "Open file descriptors.",
        |reading| reading.open_descriptors.into(),
    ),
    Own::gauge(
        "max_descriptors",
        "process_max_fds",
        "File descriptors that may be open.",
        |reading| reading.max_descriptors.into(),
    ),
    Own::exported(
        Kind::Gauge,
        "process_start_time_seconds",
        "When the process began, in seconds since 1970.",
        |reading| reading.started_ms.into(),
    )
    .unit(Unit::Millis),
];

impl Process {
    /// Reads again. May wait for a disk.
    pub(super) fn refresh(&self) {
        let before = *self.reading.lock();
        let reading = read(before.map(|reading| reading.started_ms));
        *self.reading.lock() = reading;
    }

    /// Shows the last reading.
    pub(super) fn show(&self, sheet: &mut dyn Sheet) {
        let reading = *self.reading.lock();
        sheet.optional(&PROCESS, ROWS, reading.as_ref());
    }
}

fn read(started_ms: Option<u64>) -> Option<Reading> {
    let stat = read_to_string("/proc/self/stat").ok()?;
    let status = read_to_string("/proc/self/status").ok()?;
    let times = times(&stat)?;
    let started_ms = started_ms.or_else(|| {
        let boot = boot_ms(&read_to_string("/proc/stat").ok()?)?;
        Some(boot + times.since_boot_ms)
    })?;
    let limits = read_to_string("/proc/self/limits").unwrap_or_default();
    let open = read_dir("/proc/self/fd").map_or(0, Iterator::count);
    Some(Reading {
        cpu_ms: times.cpu_ms,
        resident_bytes: kibibytes(&status, "VmRSS:")? * 1_024,
        virtual_bytes: kibibytes(&status, "VmSize:")? * 1_024,
        threads: kibibytes(&status, "Threads:")?,
        // The folder is open while it is read.
        open_descriptors: count(open).saturating_sub(1),
        max_descriptors: max_descriptors(&limits),
        started_ms,
    })
}

#[derive(Debug, PartialEq, Eq)]
struct Times {
    cpu_ms: u64,
    since_boot_ms: u64,
}

/// Of `/proc/self/stat`. A tick is a hundredth of a second on every Linux.
fn times(stat: &str) -> Option<Times> {
    // The name is in brackets and may have any in itself.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Times {
        cpu_ms: (field(14)? + field(15)?) * 10,
        since_boot_ms: field(22)? * 10,
    })
}

/// Of `/proc/stat`.
fn boot_ms(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    let seconds: u64 = line.trim().parse().ok()?;
    Some(seconds * 1_000)
}

/// A line's number in `/proc/self/status`.
fn kibibytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The soft limit in `/proc/self/limits`; `None` when there is none.
fn max_descriptors(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_moves_no_field() {
        let stat =
            "42 (poly) (py 7) S 1 42 42 0 -1 4194560 9 0 0 0 150 50 0 0 20 0 9 0 3600 8192 512 1";
        let expected = Times {
            cpu_ms: 2_000,
            since_boot_ms: 36_000,
        };
        assert_eq!(times(stat), Some(expected));
        assert_eq!(times("42 (polypy"), None);
        assert_eq!(times("42 (polypy) S 1"), None);
    }

    #[test]
    fn lines_are_found_by_their_names() {
        assert_eq!(
            boot_ms("cpu 1 2\nbtime 1700000000\nprocesses 4"),
            Some(1_700_000_000_000)
        );
        let status = "Name:\tpolypy\nVmSize:\t  2048 kB\nVmRSS:\t 1024 kB\nThreads:\t9\n";
        assert_eq!(kibibytes(status, "VmRSS:"), Some(1_024));
        assert_eq!(kibibytes(status, "Threads:"), Some(9));
        assert_eq!(kibibytes(status, "VmSwap:"), None);
        let limits = "Limit  Soft  Hard  Units\nMax open files            1024                 524288               files\n";
        assert_eq!(max_descriptors(limits), Some(1_024));
        assert_eq!(
            max_descriptors("Max open files  unlimited unlimited files"),
            None
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_can_be_read() {
        let process = Process::default();
        process.refresh();
        let reading = process.reading.lock().unwrap();
        assert!(reading.resident_bytes > 0 && reading.virtual_bytes >= reading.resident_bytes);
        assert!(reading.threads > 0 && reading.open_descriptors > 0);
        process.refresh();
        assert_eq!(
            process.reading.lock().unwrap().started_ms,
            reading.started_ms
        );
    }
}
