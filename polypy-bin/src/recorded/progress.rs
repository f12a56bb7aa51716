//! How far a command has come, on a terminal.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(200);

/// A line on standard error that is written over, if that is a terminal.
pub(crate) struct Progress {
    what: &'static str,
    is_shown: bool,
    said: Option<Instant>,
    began: Instant,
}

impl Progress {
    pub(crate) fn of(what: &'static str) -> Self {
        Self {
            what,
            is_shown: std::io::stderr().is_terminal(),
            said: None,
            began: Instant::now(),
        }
    }

    /// So many bytes of so many are done.
    pub(crate) fn tell(&mut self, done: u64, all: u64) {
        let now = Instant::now();
        // Nobody has to be told of what is over at once.
        let since = self.said.unwrap_or(self.began);
        if !self.is_shown || now.duration_since(since) < INTERVAL {
            return;
        }
        self.said = Some(now);
        let percent = done.saturating_mul(100) / all.max(1);
        let megabytes = |bytes: u64| bytes / 1_000_000;
        let (done, all) = (megabytes(done), megabytes(all));
        // Who has closed standard error does not want to know.
        drop(write!(
            std::io::stderr(),
            "\r\x1b[K{} {percent} % ({done} of {all} MB)",
            self.what
        ));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.said.is_some() {
            drop(write!(std::io::stderr(), "\r\x1b[K"));
        }
    }
}
