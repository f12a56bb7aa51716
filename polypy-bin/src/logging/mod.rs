//! The log: one line an event, on standard error.
//!
//! Text for people on a terminal, a JSON object a line otherwise or on request.
//! Text that came from the venue can neither move a cursor nor forge a line:
//! both formats escape control characters. Writing happens on a thread of its
//! own behind a bounded queue, so that a reader of a socket never waits for a
//! terminal; lines that find the queue full are counted, and the count is
//! logged. Nothing here ends the program: a standard error that is closed or
//! full loses the log alone.

mod format;
mod level;
mod writer;

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::sync::Arc;

use polypy_core::Clock;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{LogFormat, LogSection};

use format::{Json, Text};
pub use level::LogLevel;
pub use writer::{LogGuard, StatusLine};

/// Sends the program's events and panics to standard error from here on.
///
/// Which lines the log has can be changed later by the [`LogLevel`]. The guard owns the writing thread: dropping it writes what is queued.
///
/// # Errors
/// When the process has a subscriber already, or no thread can be had.
pub fn init(config: &LogSection, clock: Arc<dyn Clock>) -> Result<Log, LogError> {
    let filter: Targets = config.level.as_str().parse()?;
    let (filter, handle) = reload::Layer::new(filter);
    let terminal = io::stderr().is_terminal();
    let (guard, lines) = writer::spawn(io::stderr(), columns, |lost_lines| {
        tracing::warn!(lost_lines, "log lines were lost");
    })?;
    let is_text = wants_text(config.format, terminal);
    let status = (is_text && terminal && !is_dumb(|name| std::env::var_os(name)))
        .then(|| guard.status_line());
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(lines)
        // A failed write must stay silent: the default reports it on standard
        // error, which is what just failed, and panics there.
        .log_internal_errors(false);
    if is_text {
        let colour = terminal && !no_colour(|name| std::env::var_os(name));
        registry
            .with(layer.event_format(Text::new(clock, colour)))
            .try_init()?;
    } else {
        registry
            .with(layer.event_format(Json::new(clock)))
            .try_init()?;
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let message = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(panic = message, place, "a thread panicked");
    }));
    Ok(Log {
        guard,
        level: LogLevel::new(handle, config.level.clone()),
        status,
    })
}

/// A log that is open.
#[derive(Debug)]
pub struct Log {
    /// Dropping it writes what is queued, and ends the log.
    pub guard: LogGuard,
    /// Which lines it has.
    pub level: LogLevel,
    /// What stands below its lines, where people read them on a terminal.
    pub status: Option<StatusLine>,
}

/// The columns of the terminal; 80 where it does not say.
fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stderr());
    let columns = size.map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { 80 } else { columns }
}

fn wants_text(format: LogFormat, terminal: bool) -> bool {
    match format {
        LogFormat::Auto => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    }
}

/// Whether colours are unwanted: <https://no-color.org> (any value but the empty
/// one), or a terminal that shows their codes as text.
fn no_colour(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    variable("NO_COLOR").is_some_and(|value| !value.is_empty()) || is_dumb(variable)
}

/// Whether the terminal shows codes as text.
fn is_dumb(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    variable("TERM").is_some_and(|value| value == "dumb")
}

/// Why the log could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The directives do not read.
    #[error("log.level cannot be used: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The directives cannot be changed.
    #[error("the log's level cannot be changed: {0}")]
    Level(#[source] reload::Error),
    /// Another subscriber was there first.
    #[error("the log is open already: {0}")]
    Open(#[from] TryInitError),
    /// No thread to write with.
    #[error("no thread to write the log with: {0}")]
    Thread(#[from] io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_left_out_where_they_are_unwanted() {
        for (name, value, unwanted) in [
            ("NO_COLOR", "1", true),
            ("NO_COLOR", "", false),
            ("TERM", "dumb", true),
            ("TERM", "xterm-256color", false),
        ] {
            let variable = |asked: &str| (asked == name).then(|| OsString::from(value));
            assert_eq!(no_colour(variable), unwanted, "{name}={value}");
        }
    }
}
