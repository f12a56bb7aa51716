//! Which markets are followed, changed while the program runs.
//!
//! ```text
//! file, environment, flags ── reload ──┐
//!                                      ├─► Loaded ─► Selection ─► lifecycle
//! overlay ─────────────────── select ──┘      │
//!                                             └─► markets.overlay_file
//! ```
//!
//! One change is put together at a time, from the layers that are in force at that moment,
//! until the lifecycle has decided it: two that come together cannot lose each other's
//! part. The file is written, and what is in force replaced, when all is decided and
//! before anything is done. How long a change then takes is nobody's matter but of who
//! asked for it: a newer one does not wait for that.

mod empty;
mod keys;
mod program;
mod reload;
mod route;
mod unknown;
mod warnings;

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use polypy_core::Clock;
use polypy_core::catalogue::SelectionSource;
use polypy_net::lifecycle::{Keep, LifecycleController, SelectError};
use tokio::sync::OwnedMutexGuard;

use super::published::Instance;
use crate::config::{ConfigError, Loaded, Overlay, overlay_file};
pub(super) use keys::{Detail, keys};
pub(super) use reload::CONFIGURATION;
pub use reload::Reloaded;
use reload::Reloads;
pub(super) use route::public;
use unknown::Unknown;
pub use warnings::warnings;

/// What a change of the selection came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// How many changes there have been, this one included. An equal selection is none.
    pub generation: u64,
    /// Markets that the venue lists, as far as is known.
    pub listed: usize,
    /// Those followed by it.
    pub followed: usize,
    /// Those of them that were not followed before.
    pub added: usize,
    /// Those that were followed and are not.
    pub released: usize,
    /// What it names and no listed market has, in a sentence each.
    pub warnings: Vec<String>,
}

/// Why the selection was not changed, or a change not brought to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SelectionError {
    /// The keys are not all right.
    #[error(transparent)]
    Mistakes(#[from] ConfigError),
    /// There was another change since.
    #[error("the selection was changed meanwhile, it is at generation {generation}: read it again")]
    Changed {
        /// Which one it is now.
        generation: u64,
    },
    /// A newer change has stopped it.
    #[error("a newer change has replaced this one")]
    Superseded,
    /// Its markets would need more connections to the venue than there may be.
    #[error(
        "{needed} connections to the venue would be needed, and there may be {allowed}: choose \
         fewer markets, such as by max_markets, or raise the limit of open files (ulimit -n, \
         LimitNOFILE=, --ulimit nofile=)"
    )]
    TooManySockets {
        /// Connections that it would need.
        needed: usize,
        /// Connections that there may be.
        allowed: usize,
    },
    /// The overlay could not be kept, and nothing was done.
    #[error("markets.overlay_file: {path}: {source}: nothing was changed", path = path.display())]
    NotKept {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The program has not started, or has stopped.
    #[error("discovery is not running: nothing was changed")]
    Stopped,
}

/// The selection that is in force.
#[derive(Debug, Clone)]
pub struct InForce {
    /// This process: another one counts generations from the start.
    pub instance: Arc<str>,
    /// How many changes there have been.
    pub generation: u64,
    /// Markets that the venue lists, as far as is known.
    pub listed: usize,
    /// Markets that are followed.
    pub followed: usize,
    /// Whether the venue's listing was read to its end.
    pub complete: bool,
    /// What it names and no listed market has, in a sentence each; none before the listing
    /// was read to its end.
    pub warnings: Arc<[String]>,
    /// Its layers, the overlay among them.
    pub loaded: Arc<Loaded>,
}

impl InForce {
    /// What is set above all other layers.
    pub fn overlay(&self) -> &Overlay {
        self.loaded.overlay()
    }

    /// Names this choice and its overlay, of this process, as `ETag` and `If-Match` do.
    pub fn etag(&self) -> String {
        etag(&self.instance, self.generation, self.overlay())
    }
}

/// Overlays that follow the same markets are one generation, and not one tag: whoever has
/// seen one of them is not to replace the other.
pub(super) fn etag(instance: &str, generation: u64, overlay: &Overlay) -> String {
    let mut hasher = DefaultHasher::new();
    overlay.to_string().hash(&mut hasher);
    format!("\"{instance}-{generation}-{:016x}\"", hasher.finish())
}

/// Holds the layers, and changes what is followed by them.
pub(super) struct SelectionControl {
    lifecycle: Arc<LifecycleController>,
    source: Arc<dyn SelectionSource>,
    clock: Arc<dyn Clock>,
    instance: Arc<str>,
    /// What was loaded at the start.
    started: Arc<Loaded>,
    /// What is in force.
    current: Mutex<Arc<Loaded>>,
    /// Held from the look at what is in force until a change of it is decided.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// What was in force names what nothing has, as it was last looked at.
    unknown: Unknown,
    /// Keys that wait for a restart, and their values, as far as they were named.
    waiting: Mutex<BTreeSet<(&'static str, String)>>,
    reloads: Reloads,
}

impl fmt::Debug for SelectionControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelectionControl")
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

impl SelectionControl {
    /// `loaded` is what the lifecycle was made with.
    pub(super) fn new(
        loaded: Loaded,
        lifecycle: Arc<LifecycleController>,
        clock: Arc<dyn Clock>,
        instance: Instance,
    ) -> Self {
        let loaded = Arc::new(loaded);
        Self {
            source: lifecycle.source(),
            lifecycle,
            reloads: Reloads::new(clock.now()),
            clock,
            instance: instance.to_string().into(),
            started: Arc::clone(&loaded),
            current: Mutex::new(loaded),
            turn: Arc::default(),
            unknown: Unknown::default(),
            waiting: Mutex::default(),
        }
    }

    /// The layers in force.
    fn current(&self) -> Arc<Loaded> {
        Arc::clone(&self.current.lock())
    }

    /// Where catalogue and selection can be asked.
    pub(super) fn source(&self) -> Arc<dyn SelectionSource> {
        Arc::clone(&self.source)
    }

    /// What is in force.
    pub(super) fn in_force(&self) -> InForce {
        let view = self.source.selection();
        let complete = self.lifecycle.has_listed();
        let warnings = if complete {
            let look = || warnings(&view.selection, &self.source.view());
            self.unknown.of(&view.selection, look)
        } else {
            Arc::default()
        };
        InForce {
            instance: Arc::clone(&self.instance),
            generation: view.generation,
            listed: view.listed,
            followed: view.followed,
            complete,
            warnings,
            loaded: self.current(),
        }
    }

    /// Waits until the venue was listed to its end, and names in the log what the selection
    /// names and nothing has; and says so where it means nothing at all.
    pub(super) async fn name_unknown_once_listed(&self) {
        self.lifecycle.listed().await;
        self.unknown.tell(&self.in_force().warnings);
        self.tell_if_empty();
    }

    /// Says in the log that nothing is followed, though the venue lists markets.
    fn tell_if_empty(&self) {
        let verdicts = self.lifecycle.verdicts();
        if self.lifecycle.has_listed() && verdicts.followed() == 0 && verdicts.open() > 0 {
            empty::tell(&self.current(), &verdicts);
        }
    }

    /// Puts an overlay in the place of the one that is there. If `seen` is given, only
    /// if its generation and its overlay are in force still.
    pub(super) async fn select(
        self: &Arc<Self>,
        overlay: Overlay,
        seen: Option<&InForce>,
    ) -> Result<Selected, SelectionError> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        if seen.is_some_and(|seen| *seen.overlay() != *self.current().overlay()) {
            let generation = self.source.selection().generation;
            return Err(SelectionError::Changed { generation });
        }
        let expected = seen.map(|seen| seen.generation);
        let loaded = self.current().with_overlay(overlay)?;
        let file = loaded.config.markets.overlay_file.clone();
        self.apply(turn, loaded, expected, file).await
    }

    /// Has the lifecycle follow what these layers say. The overlay is written to `file`.
    async fn apply(
        self: &Arc<Self>,
        turn: OwnedMutexGuard<()>,
        loaded: Loaded,
        expected: Option<u64>,
        file: Option<PathBuf>,
    ) -> Result<Selected, SelectionError> {
        let selection = loaded.selection();
        let chosen = selection.clone();
        let (control, path) = (Arc::clone(self), file.clone());
        let keep: Keep = Box::new(move || {
            Box::pin(async move {
                if let Some(path) = path {
                    let overlay = loaded.overlay().clone();
                    let written =
                        tokio::task::spawn_blocking(move || overlay_file::write(&path, &overlay));
                    written.await.map_err(io::Error::other)??;
                }
                *control.current.lock() = Arc::new(loaded);
                // From here on the next one builds on it.
                drop(turn);
                Ok(())
            })
        });
        let selected = self.lifecycle.select(selection, expected, Some(keep)).await;
        let selected = selected.map_err(|error| match error {
            SelectError::Changed { generation } => SelectionError::Changed { generation },
            SelectError::Superseded => SelectionError::Superseded,
            SelectError::TooManySockets { needed, allowed } => {
                SelectionError::TooManySockets { needed, allowed }
            }
            SelectError::NotKept(source) => SelectionError::NotKept {
                path: file.unwrap_or_default(),
                source,
            },
            _ => SelectionError::Stopped,
        })?;
        self.tell_if_empty();
        let warnings = if self.lifecycle.has_listed() {
            warnings(&chosen, &self.source.view())
        } else {
            vec![NOT_LISTED.to_owned()]
        };
        Ok(Selected {
            generation: selected.generation,
            listed: selected.listed,
            followed: selected.followed,
            added: selected.added,
            released: selected.released,
            warnings,
        })
    }
}

/// Nothing can be said yet of what nobody has.
const NOT_LISTED: &str =
    "the venue was not listed to its end yet: markets that match are followed as they are found";

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
