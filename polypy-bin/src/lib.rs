//! PolyPy as a library: the whole program as one value, and its configuration.
//!
//! [`PolyPy`] starts and stops everything and gives access to books, health and
//! statistics; [`config`] holds every key. Arguments, the environment and
//! signals are read by the `polypy` command alone, which is a thin layer over
//! this.

pub mod app;
pub mod clock;
pub mod config;
pub mod exit;
pub mod file;
pub mod limits;
pub mod logging;
pub mod recordings;
pub mod secrets;

pub use app::{
    BuildError, InForce, PolyPy, PolyPyBuilder, Preview, Progress, Reloaded, RunError, Selected,
    SelectionError, StartError, preview,
};

/// Recordings as files: written, repaired, read.
pub mod archive {
    pub use polypy_archive::*;
}

/// Streams of changes: filters, messages, subscriptions.
pub use polypy_api as stream;

/// The Rust examples of README.md, compiled with the documentation's tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct ReadmeExamples;
