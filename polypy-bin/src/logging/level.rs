//! Which lines the log has, changed while the program runs.

use std::sync::Arc;

use parking_lot::Mutex;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::reload::{Error, Handle};

use super::LogError;
use crate::config::LogFilter;

/// The log's directives. Clones change the same log.
#[derive(Debug, Clone)]
pub struct LogLevel(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    handle: Handle<Targets, Registry>,
    current: LogFilter,
}

impl LogLevel {
    pub(super) fn new(handle: Handle<Targets, Registry>, current: LogFilter) -> Self {
        Self(Arc::new(Mutex::new(State { handle, current })))
    }

    /// Those in force.
    pub fn current(&self) -> LogFilter {
        self.0.lock().current.clone()
    }

    /// Puts others in force at once, and returns those before.
    ///
    /// # Errors
    /// When the log has ended.
    pub fn replace(&self, filter: LogFilter) -> Result<LogFilter, LogError> {
        let targets: Targets = filter.as_str().parse()?;
        let mut state = self.0.lock();
        let replaced = state.handle.reload(targets);
        replaced.map_err(|error: Error| LogError::Level(error))?;
        Ok(std::mem::replace(&mut state.current, filter))
    }
}
