//! The life of a part of the program.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use serde::Serialize;

/// A boxed future, so that [`Component`] stays dyn-compatible and a program is
/// one ordered list of parts.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where a component stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ComponentState {
    /// Not started, or stopped again.
    Stopped,
    /// `start` is under way.
    Starting,
    /// Started.
    Running,
    /// `stop` is under way.
    Stopping,
    /// Ended without being asked to.
    Failed,
}

impl ComponentState {
    /// The state's name as JSON and the log show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Failed => "failed",
        }
    }
}

/// Why a component could not start.
#[derive(Debug)]
pub struct ComponentError {
    component: &'static str,
    source: Box<dyn Error + Send + Sync>,
}

impl ComponentError {
    /// An error of `component`, caused by `source`.
    pub fn new(component: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            component,
            source: source.into(),
        }
    }

    /// The component's name.
    pub fn component(&self) -> &'static str {
        self.component
    }
}

impl fmt::Display for ComponentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} could not start: {}", self.component, self.source)
    }
}

impl Error for ComponentError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// A part with a life of its own.
///
/// It owns every task and thread that it starts, and `stop` joins them. A
/// second `start`, or a `stop` while stopped, logs a warning and changes
/// nothing. `stop` has no deadline of its own: its caller sets one, and
/// what is dropped then must not leave a task behind.
pub trait Component: Send + Sync {
    /// The name under which it appears in `/health`, `/stats` and the log.
    fn name(&self) -> &'static str;

    /// Brings it up; returns once it does its work.
    fn start(&self) -> BoxFuture<'_, Result<(), ComponentError>>;

    /// Ends it and joins what it started.
    fn stop(&self) -> BoxFuture<'_, ()>;

    /// Where it stands.
    fn state(&self) -> ComponentState;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_start_names_its_part_and_its_cause() {
        let error = ComponentError::new("router", "no room");
        assert_eq!(error.component(), "router");
        assert_eq!(error.to_string(), "router could not start: no room");
        let source = error.source().expect("its cause");
        assert_eq!(source.to_string(), "no room");
    }
}
