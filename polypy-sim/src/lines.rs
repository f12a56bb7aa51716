//! A recording as lines of JSON: each is a frame (object or array), or
//! `{"t_ms":..,"frame":..}` with its time of reception; a `frame` that is a string is the
//! frame's text itself. Frames keep their bytes.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek};
use std::path::Path;
use std::time::Duration;

use polypy_core::Timestamp;
use polypy_core::recording::{Entry, Frame, Recorded, RecordingError, RecordingSource};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::effects;

/// Lines that are read at once.
const BATCH: usize = 256;

/// A line that is no frame.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {reason}")]
pub(crate) struct LineError {
    pub(crate) line: usize,
    pub(crate) reason: &'static str,
}

#[derive(Deserialize)]
struct Timed<'a> {
    t_ms: f64,
    #[serde(borrow)]
    frame: &'a RawValue,
}

/// Reads such a file from its beginning, again and again.
#[derive(Debug)]
pub(crate) struct Lines {
    input: BufReader<File>,
    text: String,
    line: usize,
    pace: Pace,
}

impl Lines {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            input: BufReader::with_capacity(1 << 18, File::open(path)?),
            text: String::new(),
            line: 0,
            pace: Pace::default(),
        })
    }

    fn parse(&mut self) -> Result<Option<Recorded>, LineError> {
        let line = self.text.trim();
        if line.is_empty() {
            return Ok(None);
        }
        if let Ok(timed) = serde_json::from_str::<Timed<'_>>(line) {
            let frame = timed.frame.get();
            let text = serde_json::from_str::<String>(frame).unwrap_or_else(|_| whole(frame));
            return Ok(Some(recorded(&text, self.pace.due(Some(timed.t_ms), None))));
        }
        if !line.starts_with(['{', '[']) || serde_json::from_str::<&RawValue>(line).is_err() {
            return Err(LineError {
                line: self.line,
                reason: "neither a frame nor {\"t_ms\":..,\"frame\":..}",
            });
        }
        let events = effects::events(line);
        let news = events
            .iter()
            .filter(|event| !event.is_opening(events.len()));
        let stamp = news.filter_map(effects::Event::stamp).next_back();
        let at = self.pace.due(None, stamp);
        Ok(Some(recorded(&whole(line), at)))
    }
}

/// The venue ends opening arrays with a line feed, which lines cannot hold.
fn whole(text: &str) -> String {
    let ending = if text.starts_with('[') { "\n" } else { "" };
    format!("{text}{ending}")
}

fn recorded(text: &str, at: Duration) -> Recorded {
    Recorded {
        at: u64::try_from(at.as_nanos()).unwrap_or(u64::MAX),
        entry: Entry::Frame(Frame {
            socket: 1,
            connection: "".into(),
            sequence: 0,
            bytes: text.as_bytes().into(),
        }),
    }
}

impl RecordingSource for Lines {
    fn rewind(&mut self) -> Result<(), RecordingError> {
        self.input.rewind().map_err(RecordingError::new)?;
        self.line = 0;
        self.pace = Pace::default();
        Ok(())
    }

    fn read(&mut self, out: &mut Vec<Recorded>) -> Result<bool, RecordingError> {
        for _ in 0..BATCH {
            self.text.clear();
            let read = self.input.read_line(&mut self.text);
            if read.map_err(RecordingError::new)? == 0 {
                return Ok(false);
            }
            self.line += 1;
            out.extend(self.parse().map_err(RecordingError::new)?);
        }
        Ok(true)
    }
}

/// When frames are due: by time of reception where it is known, else by the
/// events' stamps; never earlier than the frame before.
#[derive(Debug, Default)]
struct Pace {
    first_received: Option<f64>,
    first_stamp: Option<Timestamp>,
    latest: Duration,
}

impl Pace {
    fn due(&mut self, received: Option<f64>, stamp: Option<Timestamp>) -> Duration {
        let at = match (received, stamp) {
            (Some(received), _) => {
                let first = *self.first_received.get_or_insert(received);
                Duration::try_from_secs_f64((received - first) / 1e3).unwrap_or_default()
            }
            (None, Some(stamp)) => {
                let first = *self.first_stamp.get_or_insert(stamp);
                Duration::from_millis(stamp.millis_since(first))
            }
            (None, None) => Duration::ZERO,
        };
        self.latest = self.latest.max(at);
        self.latest
    }
}
