//! A thread that writes finished lines, behind a queue that never blocks.
//!
//! On a terminal there may be a status below the last line. The thread alone writes there:
//! it takes the status away before a line, and puts it back behind it. While it stands there,
//! lines that only say how far a start has come are left out: it says so.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use polypy_net::lifecycle::START_PROGRESS;
use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::OptionalWriter;

/// Lines that wait for the writer. At some 200 bytes a line this is well under
/// a mebibyte, and a second of the busiest start-up.
const QUEUE_LINES: usize = 2_048;

/// How long the end of the program waits for lines that a reader of standard
/// error does not take.
const FLUSH_DEADLINE: Duration = Duration::from_secs(1);

/// Back to the beginning of the line, and nothing behind it.
const CLEARED: &[u8] = b"\r\x1b[K";

/// Something to write.
#[derive(Debug)]
enum Piece {
    Line(Vec<u8>),
    /// What stands below all lines from now on; nothing if it is empty.
    Status(String),
    /// Data for standard output, which is the same terminal.
    Output(String),
}

/// Where formatted lines go: one write is one line.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    queue: SyncSender<Piece>,
    shared: Arc<Shared>,
}

/// The status below the log of a terminal.
#[derive(Debug, Clone)]
pub struct StatusLine(Lines);

impl StatusLine {
    /// Shows this from now on, cut to the terminal's width; nothing if it is empty. One that
    /// finds the queue full is left out: another one comes.
    pub fn show(&self, status: String) {
        let stands = !status.is_empty();
        self.0.shared.has_status.store(stands, Ordering::Relaxed);
        drop(self.0.queue.try_send(Piece::Status(status)));
    }

    /// Writes data to standard output, above the status. False if there is no room for it.
    #[must_use]
    pub fn print(&self, text: String) -> bool {
        self.0.queue.try_send(Piece::Output(text)).is_ok()
    }
}

#[derive(Debug, Default)]
struct Shared {
    lost: AtomicU64,
    closing: AtomicBool,
    /// There is a status, or will be at once.
    has_status: AtomicBool,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = OptionalWriter<&'a Lines>;

    fn make_writer(&'a self) -> Self::Writer {
        OptionalWriter::some(self)
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Self::Writer {
        let has_status = self.shared.has_status.load(Ordering::Relaxed);
        if has_status && event.name() == START_PROGRESS {
            return OptionalWriter::none();
        }
        self.make_writer()
    }
}

impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Piece::Line(line.to_vec())).is_err() {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Owns the writing thread. Dropping it writes what is queued, for a second at
/// most, and ends the log.
#[derive(Debug)]
pub struct LogGuard {
    lines: Lines,
    done: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl LogGuard {
    /// The status below the log. For a log that is written to a terminal.
    pub(super) fn status_line(&self) -> StatusLine {
        StatusLine(self.lines.clone())
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.lines.shared.closing.store(true, Ordering::SeqCst);
        // An empty line wakes a writer that waits. When the queue is full the
        // writer is not waiting, and sees the flag after its next line.
        drop(self.lines.queue.try_send(Piece::Line(Vec::new())));
        let ended = self.done.recv_timeout(FLUSH_DEADLINE);
        let finished = ended != Err(RecvTimeoutError::Timeout);
        if let Some(thread) = self.thread.take().filter(|_| finished) {
            // A writer that panicked has no one left to tell.
            drop(thread.join());
        }
    }
}

/// Starts the writer. `report` is called on its thread, after a line could be
/// written again, with the number of lines that could not. A status is cut to `columns`.
pub(super) fn spawn(
    output: impl Write + Send + 'static,
    columns: impl Fn() -> usize + Send + 'static,
    report: impl Fn(u64) + Send + 'static,
) -> io::Result<(LogGuard, Lines)> {
    let (queue, received) = sync_channel::<Piece>(QUEUE_LINES);
    let (finished, done) = sync_channel::<()>(1);
    let shared = Arc::<Shared>::default();
    let lines = Lines {
        queue,
        shared: Arc::clone(&shared),
    };
    let thread = std::thread::Builder::new()
        .name("polypy-log".to_owned())
        .spawn(move || {
            let paper = Paper {
                output,
                columns,
                status: String::new(),
            };
            write_pieces(paper, &received, &shared, report);
            drop(finished);
        })?;
    let guard = LogGuard {
        lines: lines.clone(),
        done,
        thread: Some(thread),
    };
    Ok((guard, lines))
}

/// What is written on, and the status that stands there.
struct Paper<O, C> {
    output: O,
    columns: C,
    status: String,
}

impl<O: Write, C: Fn() -> usize> Paper<O, C> {
    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        if self.status.is_empty() || line.is_empty() {
            return self.output.write_all(line);
        }
        // One write: nothing of others comes between.
        let text = [CLEARED, line, self.shown().as_bytes()].concat();
        self.output.write_all(&text)
    }

    fn status(&mut self, status: String) -> io::Result<()> {
        if status == self.status {
            return Ok(());
        }
        self.status = status;
        let text = [CLEARED, self.shown().as_bytes()].concat();
        self.output.write_all(&text)
    }

    /// The status as it fits into a line: the last column stays free, or some terminals
    /// would begin another one.
    fn shown(&self) -> String {
        let most = (self.columns)().saturating_sub(1);
        self.status.chars().take(most).collect()
    }

    fn output(&mut self, text: &str) -> io::Result<()> {
        let status = std::mem::take(&mut self.status);
        if !status.is_empty() {
            self.output.write_all(CLEARED)?;
        }
        let mut output = io::stdout().lock();
        let written = output
            .write_all(text.as_bytes())
            .and_then(|()| output.flush());
        self.status(status)?;
        written
    }
}

fn write_pieces<O: Write, C: Fn() -> usize>(
    mut paper: Paper<O, C>,
    received: &Receiver<Piece>,
    shared: &Shared,
    report: impl Fn(u64),
) {
    loop {
        let piece = if shared.closing.load(Ordering::SeqCst) {
            received.try_recv().ok()
        } else {
            received.recv().ok()
        };
        let written = match piece {
            None => break,
            // Who has closed the terminal does not want to know.
            Some(Piece::Status(status)) => {
                drop(paper.status(status));
                continue;
            }
            Some(Piece::Output(text)) => {
                drop(paper.output(&text));
                continue;
            }
            Some(Piece::Line(line)) => paper.line(&line).map(|()| line.is_empty()),
        };
        match written {
            Err(_) => {
                shared.lost.fetch_add(1, Ordering::Relaxed);
            }
            Ok(true) => {}
            Ok(false) => match shared.lost.swap(0, Ordering::Relaxed) {
                0 => {}
                lost => report(lost),
            },
        }
    }
    // What comes after the log begins in a line of its own.
    drop(paper.status(String::new()));
}

#[cfg(test)]
mod tests {
    use parking_lot::{Condvar, Mutex};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// An output that can refuse and block.
    #[derive(Clone, Default)]
    struct Pipe(Arc<(Mutex<State>, Condvar)>);

    #[derive(Default)]
    struct State {
        text: Vec<u8>,
        broken: bool,
        blocked: bool,
    }

    impl Pipe {
        fn change(&self, change: impl FnOnce(&mut State)) {
            change(&mut self.0.0.lock());
            self.0.1.notify_all();
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.0.lock().text.clone()).unwrap()
        }
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut state = self.0.0.lock();
            while state.blocked {
                self.0.1.wait(&mut state);
            }
            if state.broken {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            state.text.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Adds up what is reported as lost.
    fn counter() -> (Arc<AtomicU64>, impl Fn(u64) + Send + 'static) {
        let lost = Arc::<AtomicU64>::default();
        let counter = Arc::clone(&lost);
        (lost, move |lines| {
            counter.fetch_add(lines, Ordering::SeqCst);
        })
    }

    #[test]
    fn dropping_the_guard_writes_what_is_queued() {
        let pipe = Pipe::default();
        let (lost, report) = counter();
        let (guard, mut lines) = spawn(pipe.clone(), || 80, report).map(by_line).unwrap();
        for number in 0..100 {
            lines(number);
        }
        drop(guard);
        let expected: String = (0..100).map(|number| format!("{number}\n")).collect();
        assert_eq!(pipe.text(), expected);
        assert_eq!(lost.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_blocked_output_blocks_nobody_and_losses_are_told() {
        const OVER: usize = 10;
        let pipe = Pipe::default();
        let (lost, report) = counter();
        pipe.change(|state| state.blocked = true);
        let (guard, mut lines) = spawn(pipe.clone(), || 80, report).map(by_line).unwrap();
        for number in 0..QUEUE_LINES + OVER {
            lines(number);
        }
        pipe.change(|state| state.blocked = false);
        drop(guard);
        // One line may have been taken out of the queue before the block.
        let lost = usize::try_from(lost.load(Ordering::SeqCst)).unwrap();
        assert!((OVER - 1..=OVER).contains(&lost), "{lost}");
        assert_eq!(pipe.text().lines().count(), QUEUE_LINES + OVER - lost);
    }

    #[test]
    fn a_status_stands_below_every_line_until_the_end() {
        let pipe = Pipe::default();
        let (_, report) = counter();
        let (guard, lines) = spawn(pipe.clone(), || 8, report).unwrap();
        let status = guard.status_line();
        let line = |text: &str| (&lines).write_all(text.as_bytes()).unwrap();
        line("one\n");
        status.show("2 of 9 books".to_owned());
        status.show("2 of 9 books".to_owned());
        line("two\n");
        status.show("9 of 9".to_owned());
        drop(guard);
        let cleared = "\r\x1b[K";
        assert_eq!(
            pipe.text(),
            format!("one\n{cleared}2 of 9 {cleared}two\n2 of 9 {cleared}9 of 9{cleared}")
        );
    }

    #[test]
    fn what_the_status_says_is_no_line_beside_it() {
        let pipe = Pipe::default();
        let (_, report) = counter();
        let (guard, lines) = spawn(pipe.clone(), || 80, report).unwrap();
        let status = guard.status_line();
        let log = || {
            tracing::info!(name: START_PROGRESS, "waiting for books");
            tracing::info!("a market has ended");
        };
        let layer = tracing_subscriber::fmt::layer().with_writer(lines);
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            log();
            status.show("2 of 9 books".to_owned());
            log();
            status.show(String::new());
            log();
        });
        drop(guard);
        let text = pipe.text();
        let lines = |words| text.matches(words).count();
        assert_eq!(lines("a market has ended"), 3, "{text}");
        assert_eq!(lines("waiting for books"), 2, "{text}");
    }

    #[test]
    fn a_broken_output_ends_nothing() {
        let pipe = Pipe::default();
        let (_, report) = counter();
        pipe.change(|state| state.broken = true);
        let (guard, mut lines) = spawn(pipe.clone(), || 80, report).map(by_line).unwrap();
        lines(1);
        drop(guard);
        assert_eq!(pipe.text(), "");
    }

    /// A whole line is one write, as the subscriber makes it.
    fn by_line((guard, lines): (LogGuard, Lines)) -> (LogGuard, impl FnMut(usize)) {
        (guard, move |number| {
            (&lines)
                .write_all(format!("{number}\n").as_bytes())
                .unwrap();
        })
    }
}
