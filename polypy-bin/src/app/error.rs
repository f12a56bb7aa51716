//! Why the program could not be put together or started, or did not last.

use polypy_core::ComponentError;

use crate::config::{Loaded, Source, key};

/// A configuration that no program can be built from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A value is out of its range, or two contradict each other.
    #[error("{key}: {reason}")]
    Value {
        /// The key as the configuration names it.
        key: &'static str,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// TLS cannot be set up on this machine.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl BuildError {
    /// The error for people, with the place where the value was written, if somebody wrote it:
    /// as mistakes of the configuration have it.
    pub fn located(&self, loaded: &Loaded) -> String {
        let place = match self {
            Self::Value { key: name, .. } => key(name).map(|key| loaded.origin(key)),
            Self::Tls(_) => None,
        };
        match place.filter(|source| **source != Source::Default) {
            Some(source) => format!("{self} ({source})"),
            None => self.to_string(),
        }
    }
}

/// The program could not start, and nothing of it runs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A part failed; those before it were stopped again.
    #[error(transparent)]
    Component(#[from] ComponentError),
}

/// The program ended without being asked to; nothing of it runs any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// It never came up.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A part died while it ran, which only a defect of the program can cause.
    #[error("{component} ended without being asked to")]
    Ended {
        /// The part.
        component: &'static str,
    },
    /// It ended when it was asked to, and the disk did not take the last of what was to be
    /// recorded.
    #[error("the end of the recording is missing: the disk did not take it")]
    RecordingCut,
}
