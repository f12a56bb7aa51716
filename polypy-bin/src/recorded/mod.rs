//! The commands that read recordings: `info`, `cat`, `verify`, `import`, `repair`, `compact`, `replay`.

mod cat;
mod compact;
mod import;
mod info;
mod progress;
mod repair;
#[cfg(feature = "sim")]
mod replay;
mod token_filter;
mod verify;

use std::path::Path;
use std::sync::Arc;

use polypy::archive::{OpenError, Recording, SystemDisk};
use polypy::clock::SystemClock;
use polypy::exit::Exit;
use polypy_core::Clock as _;

use crate::terminal;

pub(crate) use cat::cat;
pub(crate) use compact::compact;
pub(crate) use import::import;
pub(crate) use info::info;
pub(crate) use repair::repair;
#[cfg(feature = "sim")]
pub(crate) use replay::replay;
pub(crate) use verify::verify;

/// Opens a recording, or says why there is none.
fn open(path: &Path) -> Result<Recording, Exit> {
    Recording::open(Arc::new(SystemDisk), path).map_err(|error| {
        terminal::say(&error);
        match error {
            OpenError::NotFound { .. } | OpenError::Empty { .. } => Exit::NoInput,
            _ => Exit::Unreadable,
        }
    })
}

/// Nanoseconds since the epoch.
fn now() -> u64 {
    SystemClock.now().millis().saturating_mul(1_000_000)
}
