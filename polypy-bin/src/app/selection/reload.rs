//! The layers below the overlay, read again.
//!
//! All of them or none: of a configuration with a mistake in it nothing is taken. Where
//! this process has its part of the venue, where its overlay is kept, and all that is no
//! choice of markets waits for a restart, and is named once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use polypy_core::catalogue::ShardOf;
use polypy_core::metrics::{Entry, Kind, Part, Row, Sheet, Unit};
use polypy_core::{Clock, Timestamp};

use super::{Selected, SelectionControl, SelectionError};
use crate::config::{ConfigError, KEYS, Key, Loaded, Overlay, Sources};

/// What reading the configuration again came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// What became of the selection.
    pub selected: Selected,
    /// Keys of which what runs has another value, and which wait for a restart.
    pub waiting: Vec<&'static str>,
}

/// How the newest reading went.
#[derive(Debug)]
pub(super) struct Reloads {
    is_good: AtomicBool,
    /// When the newest good one was, in milliseconds since 1970.
    good_at: AtomicU64,
}

impl Reloads {
    /// The start is the first reading, and was a good one.
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            is_good: AtomicBool::new(true),
            good_at: AtomicU64::new(now.millis()),
        }
    }

    fn note(&self, is_good: bool, clock: &dyn Clock) {
        if is_good {
            self.good_at.store(clock.now().millis(), Ordering::Relaxed);
        }
        self.is_good.store(is_good, Ordering::Relaxed);
    }
}

type Shown = Entry<SelectionControl>;

/// Its part of `/stats`.
pub(in crate::app) static CONFIGURATION: Part =
    Part::new("configuration", "The configuration, as it was last read.");
static RELOADS: &[Shown] = &[
    Shown::gauge(
        "last_reload_successful",
        "polypy_config_last_reload_successful",
        "Whether the configuration was in order when it was last read, at the start or again.",
        |control| control.reloads.is_good.load(Ordering::Relaxed).into(),
    ),
    Shown::exported(
        Kind::Gauge,
        "polypy_config_last_reload_success_timestamp_seconds",
        "When it was last read and in order, in seconds since 1970.",
        |control| control.reloads.good_at.load(Ordering::Relaxed).into(),
    )
    .unit(Unit::Millis),
];

static SHARDS: &[Shown] = &[Shown::gauge(
    "shards",
    "polypy_selection_shards",
    "Processes that divide the venue between them, this one included.",
    |control| u32::from(control.shard().map_or(1, ShardOf::parts)).into(),
)];
static SHARD: Row = Row::by(
    Kind::Gauge,
    "shard",
    "polypy_selection_shard",
    "shard",
    "One for the part of the venue that this process has.",
);

/// Whether a key is a choice of markets that may change while the program runs.
fn is_choice(key: &Key) -> bool {
    let is_fixed = matches!(key.name, "markets.shard" | "markets.overlay_file");
    key.section == "markets" && !is_fixed
}

impl SelectionControl {
    /// Shows how the configuration was last read, and what part of the venue it gives.
    pub(in crate::app) fn show(&self, sheet: &mut dyn Sheet) {
        sheet.table(RELOADS, self);
        sheet.table(SHARDS, self);
        let shard = self.shard();
        let shard = shard.map_or_else(|| "0/1".to_owned(), |shard| shard.to_string());
        sheet.members(&SHARD, &mut std::iter::once((shard.as_str(), 1)));
    }

    fn shard(&self) -> Option<ShardOf> {
        self.started.config.markets.shard
    }

    /// Reads all layers below the overlay again, and says in the log what came of it.
    pub(in crate::app) async fn reload_from(self: &Arc<Self>, sources: Sources) {
        let read = tokio::task::spawn_blocking(move || sources.load_with(Overlay::default()));
        let reloaded = match read.await {
            Ok(Ok(loaded)) => {
                let file = loaded.file.clone();
                self.reload(loaded).await.map(|reloaded| (reloaded, file))
            }
            Ok(Err(error)) => {
                self.reloads.note(false, &*self.clock);
                Err(error.into())
            }
            Err(error) => {
                tracing::error!(%error, "configuration not read again, the old one stays");
                return;
            }
        };
        match reloaded {
            Ok((Reloaded { selected, .. }, file)) => {
                let file = file.map(|file| file.display().to_string());
                tracing::info!(
                    file,
                    generation = selected.generation,
                    followed = selected.followed,
                    added = selected.added,
                    released = selected.released,
                    "configuration read again"
                );
                // Before there is a whole listing they are named when there is one.
                if self.lifecycle.has_listed() {
                    self.unknown.tell(&selected.warnings);
                }
            }
            Err(SelectionError::Superseded) => {
                tracing::info!("configuration read again, and a newer change has followed");
            }
            Err(SelectionError::Mistakes(error)) => log_mistakes(&error),
            Err(SelectionError::Stopped) => {
                tracing::info!("configuration not read again: the program does not run yet");
            }
            Err(error) => {
                tracing::error!(%error, "configuration not read again, the old one stays");
            }
        }
    }

    /// Puts these layers below the overlay that is in force.
    pub(in crate::app) async fn reload(
        self: &Arc<Self>,
        loaded: Loaded,
    ) -> Result<Reloaded, SelectionError> {
        let result = self.reload_layers(loaded).await;
        match &result {
            Ok(_) | Err(SelectionError::Superseded) => self.reloads.note(true, &*self.clock),
            // Nobody is there yet, or any more: that says nothing of the configuration.
            Err(SelectionError::Stopped) => {}
            Err(_) => self.reloads.note(false, &*self.clock),
        }
        result
    }

    async fn reload_layers(self: &Arc<Self>, loaded: Loaded) -> Result<Reloaded, SelectionError> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let current = self.current();
        let differing = self.differing(&loaded);
        let loaded = loaded.settled_as(&current);
        let loaded = loaded.with_overlay(current.overlay().clone())?;
        let selected = self.apply(turn, loaded, None, None).await?;
        let waiting = self.name_waiting(differing);
        Ok(Reloaded { selected, waiting })
    }

    /// Keys that wait for a restart, with the values that they would have.
    fn differing(&self, loaded: &Loaded) -> Vec<(&'static str, String)> {
        let keys = KEYS.iter().filter(|key| !is_choice(key));
        let values = keys.map(|key| (key, key.show(&loaded.config)));
        values
            .filter(|(key, value)| key.show(&self.started.config) != *value)
            .map(|(key, value)| (key.name, value))
            .collect()
    }

    /// Names those keys in the log, each value once.
    fn name_waiting(&self, differing: Vec<(&'static str, String)>) -> Vec<&'static str> {
        let names = differing.iter().map(|(name, _)| *name).collect();
        let mut known = self.waiting.lock();
        let new = differing.iter().filter(|one| !known.contains(*one));
        let new: Vec<_> = new.map(|(name, _)| *name).collect();
        if !new.is_empty() {
            tracing::warn!(
                keys = new.join(", "),
                "keys have other values than those that run: they wait for a restart"
            );
        }
        *known = differing.into_iter().collect();
        names
    }
}

fn log_mistakes(error: &ConfigError) {
    for mistake in error.mistakes() {
        tracing::error!(%mistake, "mistake in the configuration");
    }
    tracing::error!(
        mistakes = error.mistakes().len(),
        "configuration not read again, the old one stays: nothing of it was taken"
    );
}
