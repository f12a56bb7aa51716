//! Configuration: default < file < environment < flag < overlay, checked as a whole.
//!
//! ```text
//! table of keys ─► --help, polypy.example.toml, docs/configuration.md
//!       │
//! file, environment, flags, overlay ─► layers ─► Merged ─► Loaded (Config + origins) or every mistake
//! ```
//!
//! A value is judged wherever it was written, also where another layer outranks
//! it. Unknown keys are mistakes. What a value needs beyond its own range, such
//! as a target below its cap, is judged on the result.

mod contradiction;
pub(crate) mod conversion;
#[cfg(feature = "file")]
mod document;
#[cfg(not(feature = "file"))]
#[path = "document_absent.rs"]
mod document;
mod file_mode;
mod former;
mod key;
mod layer;
mod loaded;
mod log_targets;
mod markets;
mod mistake;
mod origins;
mod overlay;
pub(crate) mod overlay_file;
mod proxy;
mod render;
mod suggest;
mod table;
mod value;

use std::io;
use std::path::{Path, PathBuf};

pub(crate) use contradiction::contradictions;
#[cfg(feature = "sim")]
pub use conversion::exchange as exchange_config;
pub use file_mode::FileMode;
pub use former::{FORMER, Former, Renamed};
pub use layer::Layer;
use loaded::Merged;
pub use loaded::{Loaded, PassedOver};
pub use markets::{Item, List, Name};
pub use mistake::{ConfigError, Mistake, Source};
pub use origins::Origins;
pub use overlay::{MOST_BYTES as MOST_OVERLAY_BYTES, Overlay};
pub use proxy::{NoProxy, ProxyUrl};
pub use render::{documentation, effective, example};
pub use suggest::nearest;
pub use table::*;
pub use value::{
    ByteSize, HostNames, HttpUrl, LogFilter, LogFormat, Setting, Url, WorkerCount, WsUrl,
};

use crate::file;

/// Longest file that is read: some fifty times the one that has every key.
const MOST_BYTES: u64 = 1 << 20;

/// Everything that configuration is read from. Nothing is asked of the system
/// but the text of files.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file that was asked for; it must exist.
    pub named_file: Option<PathBuf>,
    /// The environment.
    pub variables: Vec<(String, String)>,
    /// Values that `--demo` puts above the defaults.
    pub demo: Layer,
    /// The command line.
    pub flags: Layer,
}

impl Sources {
    /// Reads and merges all layers, and the overlay that is kept in a file, if one is
    /// named.
    ///
    /// # Errors
    /// Every mistake of every layer.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let (file, mut merged) = self.merged();
        // Also where others are wrong: all mistakes are told at once.
        let overlay = match &merged.config.markets.overlay_file {
            Some(path) => overlay_file::read(path),
            None => Ok(Overlay::default()),
        };
        merged.judge();
        match overlay {
            Ok(overlay) => match merged.loaded(file) {
                Ok(loaded) if overlay.is_empty() => Ok(loaded),
                Ok(loaded) => loaded.with_overlay(overlay),
                Err(error) => Err(error),
            },
            Err(error) => {
                merged.mistakes.extend(error.into_mistakes());
                merged.loaded(file)
            }
        }
    }

    /// Reads and merges all layers, with this overlay above them; none is read.
    ///
    /// # Errors
    /// Every mistake of every layer.
    pub fn load_with(&self, overlay: Overlay) -> Result<Loaded, ConfigError> {
        let (file, mut merged) = self.merged();
        merged.judge();
        let loaded = merged.loaded(file)?;
        if overlay.is_empty() {
            return Ok(loaded);
        }
        loaded.with_overlay(overlay)
    }

    /// The layers below the overlay, and the file that was read.
    fn merged(&self) -> (Option<PathBuf>, Merged) {
        let variable = |name: &str| {
            let found = self.variables.iter().find(|(known, _)| known == name);
            found
                .map(|(_, text)| text.as_str())
                .filter(|text| !text.is_empty())
        };
        let mut passed_over = Vec::new();
        let (file, file_layer) = match &self.named_file {
            Some(path) => {
                let flag = "--config".to_owned();
                (Some(path.clone()), read_named(path, &Source::Flag { flag }))
            }
            None => match variable("POLYPY_CONFIG") {
                Some(path) => {
                    let path = PathBuf::from(path);
                    let variable = "POLYPY_CONFIG".to_owned();
                    let layer = read_named(&path, &Source::Environment { variable });
                    (Some(path), layer)
                }
                None => {
                    let places = places(variable("XDG_CONFIG_HOME"), variable("HOME"));
                    read_first(&places, &mut passed_over)
                }
            },
        };
        let variables = self.variables.iter();
        let environment =
            layer::from_environment(variables.map(|(name, text)| (name.as_str(), text.as_str())));
        let layers = [
            self.demo.clone(),
            file_layer,
            environment,
            self.flags.clone(),
        ];
        let mut merged = Merged::of(layers);
        merged.passed_over = passed_over;
        let config = &mut merged.config;
        if config.flight_recorder.dir.is_none() && config.record.dir.is_none() {
            config.flight_recorder.dir = Some(incidents_folder(variable));
        }
        (file, merged)
    }
}

/// Where a file is looked for when none is named; the first that exists is read.
fn places(xdg: Option<&str>, home: Option<&str>) -> Vec<PathBuf> {
    let own = xdg
        .map(PathBuf::from)
        .or_else(|| home.map(|home| Path::new(home).join(".config")));
    [
        Some(PathBuf::from("polypy.toml")),
        own.map(|folder| folder.join("polypy/polypy.toml")),
        Some(PathBuf::from("/etc/polypy/polypy.toml")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Where files of incidents are written to when no folder is named, and nothing is recorded
/// either: where programs of this system keep what is no cache and no setting.
fn incidents_folder<'a>(variable: impl Fn(&str) -> Option<&'a str>) -> PathBuf {
    // Of several, which colons part, systemd makes the first one first.
    let of_service = variable("STATE_DIRECTORY").and_then(|names| names.split(':').next());
    let of_service = of_service.map(PathBuf::from);
    let of_user = || {
        let home = variable("HOME").map(|home| Path::new(home).join(".local/state"));
        let state = variable("XDG_STATE_HOME").map(PathBuf::from).or(home);
        state.map(|state| state.join("polypy"))
    };
    let folder = of_service.or_else(of_user).unwrap_or_default();
    folder.join(conversion::INCIDENTS)
}

/// The text of a file, which may be a pipe that brings it soon.
fn read(path: &Path) -> io::Result<String> {
    let bytes = file::read(path, MOST_BYTES)?;
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Reads the file that `asked_by` names.
fn read_named(path: &Path, asked_by: &Source) -> Layer {
    match read(path) {
        Ok(text) => document::from_toml(&text, path),
        Err(error) => unreadable(path, &error, asked_by),
    }
}

/// Reads the first file that there is. Of places where nobody may look it says why.
fn read_first(places: &[PathBuf], passed_over: &mut Vec<PassedOver>) -> (Option<PathBuf>, Layer) {
    for path in places {
        match read(path) {
            Ok(text) => return (Some(path.clone()), document::from_toml(&text, path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {}
            // Somebody else's folder: nothing says that there is a file in it.
            Err(error) if !may_be_there(path) => passed_over.push(PassedOver {
                path: path.clone(),
                reason: error.to_string(),
            }),
            Err(error) => {
                let source = Source::WholeFile { path: path.clone() };
                return (Some(path.clone()), unreadable(path, &error, &source));
            }
        }
    }
    (None, Layer::default())
}

/// Whether a file may be seen at this place, readable or not.
fn may_be_there(path: &Path) -> bool {
    std::fs::metadata(path).is_ok()
}

fn unreadable(path: &Path, error: &io::Error, source: &Source) -> Layer {
    let path = path.to_string_lossy();
    let reason = format!("cannot be read: {}: {error}", path.escape_debug());
    Layer {
        mistakes: vec![Mistake::new("file", reason, source)],
        ..Layer::default()
    }
}

/// What `--demo` puts above the defaults: the server that it is there to show,
/// to the person at this machine.
pub fn demo_defaults() -> Layer {
    let mut layer = Layer::default();
    for (name, text) in [("http.enabled", "true"), ("http.host", "127.0.0.1")] {
        if let Some(key) = key(name) {
            layer.set(key, text, Source::Demo);
        }
    }
    layer
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
