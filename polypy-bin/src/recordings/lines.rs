//! Frames that somebody kept as lines of JSON, as entries of a recording: one frame a line,
//! or one with the time at which it came. Gzip is unpacked.
//!
//! | line | is |
//! |---|---|
//! | `{"event_type": ..}`, `[..]` | a frame; when it came is not known, so that it is when the venue says it made it |
//! | `{"t_ms": .., "frame": ..}` | a frame, as text or as JSON, and when it came |
//! | `{"bids": .., "asks": ..}` without `event_type` | a book that the REST interface answered with |
//! | `{"body": ..}` | the same, as text or as JSON |
//!
//! Frames keep their bytes; one that has an end of line in it is a text, in `frame`. What is none of these is left out and counted. A file may also
//! be a single value over many lines.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use polypy_core::recording::{Control, Entry, Frame, Recorded, RestAnswer, SocketEvent};
use polypy_core::{AssetId, Owner};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// All that was kept this way came by one socket.
const SOCKET: u64 = 1;
const MILLISECOND: u64 = 1_000_000;
/// No frame is longer, and no file that is a single value.
const LONGEST_LINE: usize = 48 << 20;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Lines that are no frames and no books.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeftOut {
    /// How many.
    pub lines: u64,
    /// What is wrong with the first one.
    pub first: Option<String>,
    /// Why what is behind some line cannot be read, if so. It counts as one line.
    pub rest: Option<String>,
}

impl LeftOut {
    fn note(&mut self, line: u64, why: &str) {
        self.lines += 1;
        self.first
            .get_or_insert_with(|| format!("line {line} {why}"));
    }

    fn note_rest(&mut self, line: u64, error: &io::Error) {
        self.lines += 1;
        self.rest = Some(format!("from line {line} on it cannot be read: {error}"));
    }
}

/// Entries of a recording, made of lines.
pub struct Lines {
    input: Box<dyn BufRead + Send>,
    connection: Box<str>,
    buffer: Vec<u8>,
    line: u64,
    now: u64,
    sequence: u32,
    ready: VecDeque<Recorded>,
    left_out: LeftOut,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No line was a frame or a book yet.
    Before,
    Within,
    Ended,
}

/// What is looked at of a line. Everything else stays as it is.
#[derive(Deserialize)]
struct Shape<'a> {
    #[serde(borrow)]
    t_ms: Option<&'a RawValue>,
    #[serde(borrow)]
    frame: Option<&'a RawValue>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    event_type: Option<IgnoredAny>,
    price_changes: Option<IgnoredAny>,
    bids: Option<IgnoredAny>,
    asks: Option<IgnoredAny>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Stamped<'a> {
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    asset_id: Option<AssetId>,
}

impl Lines {
    /// Opens a file of lines, packed or not.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut begin = [0; GZIP.len()];
        let is_packed = file.read_exact(&mut begin).is_ok() && begin == GZIP;
        file.rewind()?;
        let name = path.file_name().map(|name| name.to_string_lossy());
        let name = name.unwrap_or_default().into_owned();
        Ok(if is_packed {
            Self::new(
                BufReader::new(MultiGzDecoder::new(BufReader::new(file))),
                &name,
            )
        } else {
            Self::new(BufReader::with_capacity(1 << 18, file), &name)
        })
    }

    /// Takes lines from somewhere, which is called so.
    pub fn new(input: impl BufRead + Send + 'static, name: &str) -> Self {
        Self {
            input: Box::new(input),
            connection: name.into(),
            buffer: Vec::new(),
            line: 0,
            now: 0,
            sequence: 0,
            ready: VecDeque::new(),
            left_out: LeftOut::default(),
            state: State::Before,
        }
    }

    /// The lines that were left out so far.
    pub fn left_out(&self) -> &LeftOut {
        &self.left_out
    }

    /// The next entry; `None` at the end, or where it cannot be read on: see [`LeftOut::rest`].
    ///
    /// # Errors
    /// Those of the disk, and of what is packed, as long as nothing could be read.
    pub fn next_entry(&mut self) -> io::Result<Option<Recorded>> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Ok(Some(entry));
            }
            if self.state == State::Ended {
                return Ok(None);
            }
            match self.read_line() {
                Ok(true) => self.take_line()?,
                Ok(false) => self.end(),
                Err(error) if self.state == State::Before => return Err(error),
                Err(error) => {
                    self.left_out.note_rest(self.line, &error);
                    // The line may be whole all the same, but for its end.
                    if serde_json::from_slice::<&RawValue>(&self.buffer).is_ok() {
                        self.take_line()?;
                    }
                    self.end();
                }
            }
        }
    }

    /// Reads a line, if there is one. Of one that is too long the beginning is kept.
    fn read_line(&mut self) -> io::Result<bool> {
        self.buffer.clear();
        let most = LONGEST_LINE as u64 + 1;
        self.line += 1;
        let read = (&mut self.input)
            .take(most)
            .read_until(b'\n', &mut self.buffer)?;
        if read as u64 == most && !self.buffer.ends_with(b"\n") {
            self.input.skip_until(b'\n')?;
        }
        Ok(read > 0)
    }

    fn take_line(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.buffer);
        // Only what ends the line is none of the frame's own bytes.
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = match line.len() - text.len() {
            0 => text,
            _ => text.strip_suffix(b"\r").unwrap_or(text),
        };
        if text.trim_ascii().is_empty() {
        } else if line.len() > LONGEST_LINE {
            self.left_out.note(self.line, "is longer than any frame");
        } else {
            match serde_json::from_slice::<&RawValue>(text) {
                Ok(value) => self.take_value(value, str::from_utf8(text).unwrap_or(value.get())),
                Err(error) if error.is_eof() && self.line == 1 => self.take_all(text)?,
                Err(error) => self
                    .left_out
                    .note(self.line, &format!("is no JSON: {error}")),
            }
        }
        self.buffer = line;
        Ok(())
    }

    /// The file may be a single value over many lines.
    fn take_all(&mut self, begin: &[u8]) -> io::Result<()> {
        let mut all = begin.to_vec();
        all.push(b'\n');
        (&mut self.input)
            .take(LONGEST_LINE as u64)
            .read_to_end(&mut all)?;
        match serde_json::from_slice::<&RawValue>(&all) {
            Ok(value) => self.take_value(value, value.get()),
            // Then the first line was cut, and the others are lines.
            Err(error) => {
                self.left_out.note(1, &format!("is no JSON: {error}"));
                let rest = all.split_off(begin.len() + 1);
                let behind = std::mem::replace(&mut self.input, Box::new(io::empty()));
                self.input = Box::new(BufReader::new(io::Cursor::new(rest).chain(behind)));
            }
        }
        Ok(())
    }

    /// A value, and the line that it is alone in.
    fn take_value(&mut self, value: &RawValue, text: &str) {
        if value.get().starts_with('[') {
            return self.frame(text, stamp(text));
        }
        let Ok(shape) = serde_json::from_str::<Shape<'_>>(value.get()) else {
            return self
                .left_out
                .note(self.line, "is neither a frame nor a book");
        };
        if let Some(frame) = shape.frame {
            let text = unwrapped(frame);
            let at = shape.t_ms.and_then(millis).or_else(|| stamp(&text));
            self.frame(&text, at);
        } else if let Some(body) = shape.body {
            let text = unwrapped(body);
            self.answer(&text);
        } else if shape.event_type.is_some() || shape.price_changes.is_some() {
            self.frame(text, shape.timestamp.and_then(millis));
        } else if shape.bids.is_some() || shape.asks.is_some() {
            self.answer(value.get());
        } else {
            self.left_out
                .note(self.line, "is neither a frame nor a book");
        }
    }

    fn frame(&mut self, text: &str, at: Option<u64>) {
        self.pass(at);
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        let is_json = text.trim_start().starts_with(['{', '[']);
        self.push(if is_json {
            Entry::Frame(Frame {
                socket: SOCKET,
                connection: self.connection.clone(),
                sequence,
                bytes: text.as_bytes().into(),
            })
        } else {
            Entry::Control(Control {
                socket: SOCKET,
                sequence,
                text: Some(text.into()),
                binary: None,
            })
        });
    }

    /// Books that the socket begins with.
    fn answer(&mut self, text: &str) {
        let books = events(text);
        let tokens: Vec<_> = books
            .iter()
            .filter_map(|book| book.asset_id.clone())
            .collect();
        if tokens.is_empty() {
            return self
                .left_out
                .note(self.line, "is neither a frame nor a book");
        }
        self.pass(stamp(text));
        let is_one = !text.trim_start().starts_with('[');
        self.push(Entry::Answer(RestAnswer {
            path: if is_one { "/book" } else { "/books" }.into(),
            request: "".into(),
            status: 200,
            purpose: "seed".into(),
            requested: self.now,
            body: text.into(),
        }));
        self.push(Entry::Socket(SocketEvent::FirstBooks {
            socket: SOCKET,
            tokens,
            origin: "rest".into(),
        }));
    }

    /// Time goes on: without a time of its own something came behind what is before it. No
    /// two came in one read, as far as is known.
    fn pass(&mut self, at: Option<u64>) {
        self.now = self.now.max(at.unwrap_or_default());
        if self.state == State::Before {
            self.state = State::Within;
            let connection = self.connection.clone();
            self.push(Entry::Socket(SocketEvent::Opened {
                socket: SOCKET,
                connection,
                is_replacement: false,
            }));
        }
        self.now += MILLISECOND;
    }

    fn end(&mut self) {
        if self.state == State::Within {
            self.push(Entry::Socket(SocketEvent::Closed {
                socket: SOCKET,
                reason: "end".into(),
                owner: Owner::Us,
            }));
        }
        self.state = State::Ended;
    }

    fn push(&mut self, entry: Entry) {
        let at = self.now;
        self.ready.push_back(Recorded { at, entry });
    }
}

/// A text is what it says; any other value is itself.
fn unwrapped(value: &RawValue) -> String {
    serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned())
}

fn events(text: &str) -> Vec<Stamped<'_>> {
    let all = serde_json::from_str(text);
    all.or_else(|_| serde_json::from_str(text).map(|one| vec![one]))
        .unwrap_or_default()
}

/// When the venue says that it made the newest of these events.
fn stamp(text: &str) -> Option<u64> {
    let events = events(text);
    events
        .iter()
        .filter_map(|event| millis(event.timestamp?))
        .max()
}

/// A number of milliseconds, as a number or as text, in nanoseconds. What is written behind
/// the point counts as far as nanoseconds go.
fn millis(stamp: &RawValue) -> Option<u64> {
    let text = stamp.get().trim_matches('"');
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let whole = whole.parse::<u64>().ok()?.checked_mul(MILLISECOND)?;
    whole.checked_add(fraction.parse().ok()?)
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines")
            .field("connection", &self.connection)
            .field("line", &self.line)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
