//! Configuration: default < file < environment < flag, checked as a whole.
//!
//! ```text
//! table of keys ─► --help, polypy.example.toml, docs/configuration.md
//!       │
//! file, environment, flags ─► layers ─► merge ─► Loaded (Config + origins) or every mistake
//! ```
//!
//! A value is judged wherever it was written, also where another layer outranks
//! it. Unknown keys are mistakes. What a value needs beyond its own range, such
//! as a target below its cap, is judged on the result.

pub(crate) mod conversion;
mod file_mode;
mod layer;
mod log_targets;
mod markets;
mod mistake;
mod origins;
mod proxy;
mod render;
mod suggest;
mod table;
mod value;

use std::io;
use std::path::{Path, PathBuf};

use polypy_core::catalogue::Bound;

pub use conversion::exchange as exchange_config;
pub use file_mode::FileMode;
pub use layer::Layer;
pub use markets::{Item, List, Name};
pub use mistake::{ConfigError, Mistake, Source};
pub use origins::Origins;
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

/// A valid configuration and where each of its values was written.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// The file that was read, if one was.
    pub file: Option<PathBuf>,
    origins: Vec<Source>,
}

impl Loaded {
    /// Where the key's value was written.
    pub fn origin(&self, key: &Key) -> &Source {
        KEYS.iter()
            .position(|other| std::ptr::eq(other, key))
            .and_then(|index| self.origins.get(index))
            .unwrap_or(&Source::Default)
    }
}

/// Everything that configuration is read from. Nothing is asked of the system
/// but the text of the file.
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
    /// Reads and merges all layers.
    ///
    /// # Errors
    /// Every mistake of every layer.
    pub fn load(self) -> Result<Loaded, ConfigError> {
        let variable = |name: &str| {
            let found = self.variables.iter().find(|(known, _)| known == name);
            found
                .map(|(_, text)| text.as_str())
                .filter(|text| !text.is_empty())
        };
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
                None => read_first(&places(variable("XDG_CONFIG_HOME"), variable("HOME"))),
            },
        };
        let variables = self.variables.iter();
        let environment =
            layer::from_environment(variables.map(|(name, text)| (name.as_str(), text.as_str())));
        merge(file, [self.demo, file_layer, environment, self.flags])
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

/// The text of a file, which may be a pipe that brings it soon.
fn read(path: &Path) -> io::Result<String> {
    let bytes = file::read(path, MOST_BYTES)?;
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Reads the file that `asked_by` names.
fn read_named(path: &Path, asked_by: &Source) -> Layer {
    match read(path) {
        Ok(text) => layer::from_toml(&text, path),
        Err(error) => unreadable(path, &error, asked_by),
    }
}

fn read_first(places: &[PathBuf]) -> (Option<PathBuf>, Layer) {
    for path in places {
        match read(path) {
            Ok(text) => return (Some(path.clone()), layer::from_toml(&text, path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {}
            // Somebody else's folder: nothing says that there is a file in it.
            Err(_) if !may_be_there(path) => {}
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

fn merge(file: Option<PathBuf>, layers: [Layer; 4]) -> Result<Loaded, ConfigError> {
    let mut config = Config::default();
    let mut origins = vec![Source::Default; KEYS.len()];
    let mut mistakes = Vec::new();
    for layer in layers {
        mistakes.extend(layer.mistakes);
        for entry in layer.entries {
            match entry.key.set(&mut config, &entry.text) {
                Ok(()) => {
                    if let Some(index) = KEYS.iter().position(|key| std::ptr::eq(key, entry.key)) {
                        origins[index] = entry.source;
                    }
                }
                Err(reason) => {
                    mistakes.push(Mistake::new(entry.key.name, reason, &entry.source));
                }
            }
        }
    }
    let loaded = Loaded {
        config,
        file,
        origins,
    };
    for found in contradictions(&loaded.config) {
        // A value that does not read is not what the other one contradicts.
        let is_judged = |name| !mistakes.iter().any(|mistake| mistake.key == name);
        if is_judged(found.key) && is_judged(found.other) {
            let origin = |name| key(name).map_or(&Source::Default, |key| loaded.origin(key));
            // Of what somebody wrote, where one of the two is missing.
            let source = match origin(found.key) {
                Source::Default => origin(found.other),
                written => written,
            };
            mistakes.push(Mistake::new(found.key, found.reason, source));
        }
    }
    ConfigError::of(mistakes).map_or(Ok(loaded), Err)
}

impl Config {
    /// Most markets to follow, by either of the key's names; 0 for all.
    pub fn max_markets(&self) -> usize {
        self.markets.max_markets.max(self.lifecycle.max_markets)
    }
}

/// What no value shows alone.
#[derive(Debug)]
pub(crate) struct Contradiction {
    /// The key to correct.
    pub(crate) key: &'static str,
    /// The key that it contradicts.
    other: &'static str,
    /// Why.
    pub(crate) reason: String,
}

/// Every pair of keys that cannot both be meant.
pub(crate) fn contradictions(config: &Config) -> Vec<Contradiction> {
    let mut found = Vec::new();
    let mut ordered = |key, value: String, other, least: String, holds: bool| {
        if !holds {
            let reason = format!("must be at least {other} ({least}), not {value}");
            found.push(Contradiction { key, other, reason });
        }
    };
    let pool = &config.pool;
    ordered(
        "pool.cap",
        pool.cap.show(),
        "pool.target",
        pool.target.show(),
        pool.cap >= pool.target,
    );
    ordered(
        "pool.pong_deadline",
        pool.pong_deadline.show(),
        "pool.ping_interval",
        pool.ping_interval.show(),
        pool.pong_deadline >= pool.ping_interval,
    );
    ordered(
        "pool.silence_max",
        pool.silence_max.show(),
        "pool.silence_min",
        pool.silence_min.show(),
        pool.silence_max >= pool.silence_min,
    );
    ordered(
        "pool.backoff_cap",
        pool.backoff_cap.show(),
        "pool.backoff",
        pool.backoff.show(),
        pool.backoff_cap >= pool.backoff,
    );
    let (http, admin) = (&config.http, &config.admin);
    for (key, other, lacks) in [
        (
            "http.tls_key",
            "http.tls_cert",
            http.tls_cert.is_some() && http.tls_key.is_none(),
        ),
        (
            "http.tls_cert",
            "http.tls_key",
            http.tls_key.is_some() && http.tls_cert.is_none(),
        ),
        // Without it everyone who reaches the port could change things.
        (
            "admin.token_file",
            "admin.listen",
            admin.listen.is_some() && admin.token_file.is_none(),
        ),
    ] {
        if lacks {
            let reason = format!("must be set beside {other}");
            found.push(Contradiction { key, other, reason });
        }
    }
    if http.enabled && http.unix_socket.is_some() && http.unix_socket == admin.unix_socket {
        found.push(Contradiction {
            key: "admin.unix_socket",
            other: "http.unix_socket",
            reason: "must be another file than http.unix_socket".to_owned(),
        });
    }
    found.extend(contradictions_of_markets(config));
    found
}

/// Those of the choice of markets.
fn contradictions_of_markets(config: &Config) -> Vec<Contradiction> {
    let mut found = Vec::new();
    let (markets, lifecycle) = (&config.markets, &config.lifecycle);
    if markets.max_markets > 0 && lifecycle.max_markets > 0 {
        found.push(Contradiction {
            key: "lifecycle.max_markets",
            other: "markets.max_markets",
            reason: "is the former name of markets.max_markets, which is set as well: set that \
                     alone"
                .to_owned(),
        });
    }
    let is_empty = match (markets.ends_after, markets.ends_before) {
        (Some(Bound::At(after)), Some(Bound::At(before))) => after > before,
        (Some(Bound::FromNow(after)), Some(Bound::FromNow(before))) => after > before,
        // Of the others the clock says which is later; and one alone is no window.
        (Some(_) | None, Some(_) | None) => false,
    };
    if is_empty {
        found.push(Contradiction {
            key: "markets.ends_before",
            other: "markets.ends_after",
            reason: format!(
                "must not be before markets.ends_after ({}), as {} is",
                markets.ends_after.show(),
                markets.ends_before.show()
            ),
        });
    }
    found
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
