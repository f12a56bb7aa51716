//! Layers laid one over the other, and what that comes to.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use polypy_core::catalogue::Selection;

use super::contradiction::{Contradiction, contradictions};
use super::former::Renamed;
use super::layer::Layer;
use super::mistake::{ConfigError, Mistake, Source};
use super::overlay::{self, Overlay};
use super::table::{Config, KEYS, Key, key};
use super::{conversion, overlay_file};

/// A valid configuration and where each of its values was written.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// The file that was read, if one was.
    pub file: Option<PathBuf>,
    /// Former names of keys that it uses.
    pub renamed: Vec<Renamed>,
    /// Files that may be there, and that this user may not look for.
    pub passed_over: Vec<PassedOver>,
    origins: Vec<Source>,
    overlay: Overlay,
    /// What is in force without the overlay, if there is one.
    below: Option<Arc<Below>>,
}

/// A place where a file is looked for and that cannot be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// The file that may be there.
    pub path: PathBuf,
    /// Why nobody knows, with what to do.
    pub reason: String,
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.to_string_lossy();
        write!(
            f,
            "whether there is {} is not known, and it was passed over: {}",
            path.escape_debug(),
            self.reason
        )
    }
}

/// The layers below the overlay.
#[derive(Debug)]
struct Below {
    config: Config,
    origins: Vec<Source>,
}

impl Loaded {
    /// A configuration that a Rust program has made.
    pub fn of_program(config: Config) -> Self {
        let defaults = Config::default();
        let origin = |key: &Key| {
            if key.show(&config) == key.show(&defaults) {
                Source::Default
            } else {
                Source::Program
            }
        };
        Self {
            origins: KEYS.iter().map(origin).collect(),
            config,
            file: None,
            renamed: Vec::new(),
            passed_over: Vec::new(),
            overlay: Overlay::default(),
            below: None,
        }
    }

    /// Whether somebody has said what a key is, and not only its default.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        key(name).is_some_and(|key| !matches!(self.origin(key), Source::Default))
    }

    /// Where the key's value was written.
    pub fn origin(&self, key: &Key) -> &Source {
        place(key)
            .and_then(|index| self.origins.get(index))
            .unwrap_or(&Source::Default)
    }

    /// What is set above all other layers.
    pub fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    /// The same layers under another overlay.
    ///
    /// # Errors
    /// What the overlay and the layers below it contradict each other in.
    pub fn with_overlay(&self, overlay: Overlay) -> Result<Self, ConfigError> {
        let below = self.below.clone().unwrap_or_else(|| {
            Arc::new(Below {
                config: self.config.clone(),
                origins: self.origins.clone(),
            })
        });
        let mut merged = Merged {
            config: below.config.clone(),
            origins: below.origins.clone(),
            mistakes: Vec::new(),
            renamed: self.renamed.clone(),
            passed_over: self.passed_over.clone(),
        };
        merged.lay(overlay.layer());
        merged.judge();
        let loaded = merged.loaded(self.file.clone())?;
        Ok(Self {
            below: Some(below).filter(|_| !overlay.is_empty()),
            overlay,
            ..loaded
        })
    }

    /// Reads the overlay that is kept in a file, if one is named, and puts it above all
    /// other layers.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn with_overlay_file(&self) -> Result<Self, ConfigError> {
        let overlay = match &self.config.markets.overlay_file {
            Some(path) => overlay_file::read(path)?,
            None => Overlay::default(),
        };
        self.with_overlay(overlay)
    }

    /// Keeps what is settled for as long as the program runs as `before` has it.
    pub(crate) fn settled_as(mut self, before: &Self) -> Self {
        let (own, known) = (&mut self.config.markets, &before.config.markets);
        own.shard = known.shard;
        own.overlay_file.clone_from(&known.overlay_file);
        let fixed = overlay::FIXED.map(|field| format!("markets.{field}"));
        for key in KEYS
            .iter()
            .filter(|key| fixed.iter().any(|name| name == key.name))
        {
            if let Some(at) = place(key) {
                self.origins[at] = before.origin(key).clone();
            }
        }
        self
    }

    /// Which markets are followed, and the layers that say so.
    pub fn selection(&self) -> Selection {
        let keys = KEYS.iter().filter(|key| key.section == "markets");
        let origins = keys.map(|key| (key.field, self.origin(key).layer().into()));
        Selection {
            origins: origins.collect(),
            ..conversion::selection(&self.config)
        }
    }
}

/// A key's place in the table.
fn place(key: &Key) -> Option<usize> {
    KEYS.iter().position(|other| std::ptr::eq(other, key))
}

/// Layers that were laid one over the other, and what is wrong with them.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) config: Config,
    origins: Vec<Source>,
    pub(super) mistakes: Vec<Mistake>,
    renamed: Vec<Renamed>,
    pub(super) passed_over: Vec<PassedOver>,
}

impl Merged {
    /// These layers above the defaults, the later ones above the earlier ones.
    pub(super) fn of(layers: [Layer; 4]) -> Self {
        let mut merged = Self {
            config: Config::default(),
            origins: vec![Source::Default; KEYS.len()],
            mistakes: Vec::new(),
            renamed: Vec::new(),
            passed_over: Vec::new(),
        };
        layers.into_iter().for_each(|layer| merged.lay(layer));
        merged
    }

    fn lay(&mut self, layer: Layer) {
        self.mistakes.extend(layer.mistakes);
        let own = layer.entries.iter().filter(|entry| entry.former.is_none());
        let own: Vec<_> = own.map(|entry| entry.key.name).collect();
        for entry in layer.entries {
            if let Some(former) = entry.former {
                if own.contains(&former.key) {
                    let reason = format!(
                        "is the former name of {}, which is set as well: set that alone",
                        former.key
                    );
                    let mistake = Mistake::new(former.name, reason, &entry.source);
                    self.mistakes.push(mistake);
                    continue;
                }
                let source = entry.source.clone();
                self.renamed.push(Renamed { former, source });
            }
            match entry.key.set(&mut self.config, &entry.text) {
                Ok(()) => {
                    if let Some(at) = place(entry.key) {
                        self.origins[at] = entry.source;
                    }
                }
                Err(reason) => {
                    let mistake = Mistake::new(entry.key.name, reason, &entry.source);
                    self.mistakes.push(mistake);
                }
            }
        }
    }

    /// Notes what values contradict each other in.
    pub(super) fn judge(&mut self) {
        let mistakes = std::mem::take(&mut self.mistakes);
        let origin = |name| {
            let at = key(name).and_then(place);
            at.and_then(|at| self.origins.get(at))
                .unwrap_or(&Source::Default)
        };
        let mut found = Vec::new();
        for Contradiction { key, other, reason } in contradictions(&self.config) {
            // A value that does not read is not what the other one contradicts.
            let is_judged = |name| !mistakes.iter().any(|mistake| mistake.key == name);
            if is_judged(key) && is_judged(other) {
                // Of what somebody wrote, where one of the two is missing; and what was
                // written last is what to change.
                let source = match (origin(key), origin(other)) {
                    (Source::Default, source) | (_, source @ Source::Overlay { .. }) => source,
                    (source, _) => source,
                };
                found.push(Mistake::new(key, reason, source));
            }
        }
        self.mistakes = mistakes;
        self.mistakes.extend(found);
    }

    /// What it comes to, without an overlay.
    pub(super) fn loaded(self, file: Option<PathBuf>) -> Result<Loaded, ConfigError> {
        let loaded = Loaded {
            config: self.config,
            file,
            renamed: self.renamed,
            passed_over: self.passed_over,
            origins: self.origins,
            overlay: Overlay::default(),
            below: None,
        };
        ConfigError::of(self.mistakes).map_or(Ok(loaded), Err)
    }
}
