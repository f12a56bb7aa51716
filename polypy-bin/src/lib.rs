//! PolyPy as a library: the whole program as one value, and its configuration.
//!
//! [`PolyPy`] starts and stops everything and gives access to books, health and
//! statistics; [`config`] holds every key. Arguments, the environment and
//! signals are read by the `polypy` command alone, which is a thin layer over
//! this.
//!
//! | feature | brings |
//! |---|---|
//! | `cli` | the command `polypy`, with its allocator; the library needs nothing of it |
//! | `file` | configuration files |
//! | `sim` | the embedded exchange |
//! | `api` | `/v1`, the streams, the page: [`stream`] |
//! | `archive` | recordings: [`archive`], [`recordings`] |
//! | `tls` | `https` and `wss` to the venue, TLS to clients |
//! | `tui` | `polypy top` |
//!
//! All are on by default. A program of one's own usually wants
//! `default-features = false, features = ["tls"]`.

pub mod app;
pub mod clock;
pub mod config;
pub mod exit;
pub mod file;
pub mod limits;
pub mod logging;
#[cfg(feature = "archive")]
pub mod recordings;
pub mod secrets;

pub use app::{
    BuildError, InForce, PolyPy, PolyPyBuilder, Preview, Progress, Reloaded, RunError, Selected,
    SelectionError, StartError, preview,
};

/// Recordings as files: written, repaired, read.
#[cfg(feature = "archive")]
pub mod archive {
    pub use polypy_archive::*;
}

/// Streams of changes: filters, messages, subscriptions.
#[cfg(feature = "api")]
pub use polypy_api as stream;

/// The Rust examples of README.md, compiled with the documentation's tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct ReadmeExamples;
