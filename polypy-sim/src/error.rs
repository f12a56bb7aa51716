//! Why the exchange could not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why [`crate::Sim::start`] failed. Nothing is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// The address could not be bound.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A setting that cannot be used.
    #[error("{field}: {reason}")]
    Config {
        /// The field of [`crate::SimConfig`].
        field: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The recording could not be read.
    #[error("cannot read the recording {path}")]
    Recording {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The script of faults could not be read.
    #[error("cannot read the script {path}")]
    ScriptFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The script of faults has mistakes.
    #[error("the script {path} has mistakes")]
    Script {
        /// The file.
        path: PathBuf,
        /// All of them.
        source: crate::ScriptError,
    },
    /// The recording has nothing to play.
    #[error("the recording {path} holds no frame that names an asset")]
    EmptyRecording {
        /// The file.
        path: PathBuf,
    },
    /// What is to be played cannot be read.
    #[error("cannot read the recording")]
    Source(#[source] polypy_core::recording::RecordingError),
    /// What is to be played has nothing to play.
    #[error("the recording holds no frame that names an asset")]
    NoTokens,
    /// There can be no thread that reads the recording.
    #[error("no thread for the recording")]
    Thread(#[source] io::Error),
    /// A line of the recording is neither a frame nor a frame with its time.
    #[error("the recording {path}, line {line}: {reason}")]
    RecordingLine {
        /// The file.
        path: PathBuf,
        /// Its line, counted from one.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
}
