//! The recorder as a part of the program, and who tells it of what besides the sockets.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use polypy_archive::{Inlet, Recorder, RecorderState, Running, SystemDisk};
use polypy_core::metrics::Sheet;
use polypy_core::recording::Mark;
use polypy_core::{
    AssetKey, BoxFuture, CheckpointSource, Clock, Component, ComponentError, ComponentState,
    Lifecycle, ResyncSink, Scope, StaleReason, StatsSource,
};
use polypy_net::registry::AssetRegistry;

use crate::config::{RecordSection, conversion};

const NAME: &str = "recorder";
/// Tokens that a mark names at most. A worker that died had thousands.
const MOST_NAMED: usize = 500;

/// Records what sockets say, for as long as it runs.
pub(super) struct RecorderPart {
    recorder: Arc<Recorder>,
    clock: Arc<dyn Clock>,
    life: Lifecycle<Running>,
}

impl RecorderPart {
    /// One that records to the configured folder; `None` if there is none.
    pub(super) fn of(section: &RecordSection, clock: &Arc<dyn Clock>) -> Option<Self> {
        let config = conversion::recorder(section)?;
        let recorder = Recorder::new(config, Arc::new(SystemDisk), Arc::clone(clock));
        Some(Self {
            recorder: Arc::new(recorder),
            clock: Arc::clone(clock),
            life: Lifecycle::failing_when(Running::has_ended),
        })
    }

    /// Where sockets and the catalogue speak.
    pub(super) fn inlet(&self) -> Inlet {
        self.recorder.inlet()
    }

    /// These books are copied to its files.
    pub(super) fn copy_books(&self, books: Arc<dyn CheckpointSource>) {
        self.recorder.copy_books(books);
    }

    /// The program ends: that sockets close from now on is no loss.
    pub(super) fn ending(&self) {
        self.recorder.ending();
    }

    /// How well it does.
    pub(super) fn condition(&self) -> RecorderState {
        self.recorder.numbers().state(Instant::now()).0
    }

    /// A line for people.
    pub(super) fn log(&self) {
        let numbers = self.recorder.numbers();
        let (state, _) = numbers.state(Instant::now());
        let (frames, lost) = numbers.frames();
        let (frame_bytes, file_bytes) = numbers.bytes();
        tracing::info!(
            state = state.name(),
            frames,
            lost_frames = lost,
            frame_mib = frame_bytes >> 20,
            file_mib = file_bytes >> 20,
            file = numbers.file(),
            "recording"
        );
    }

    /// A name for this run, which no other run to the folder has.
    fn session(&self) -> String {
        format!("{:x}-{}", self.clock.now_nanos(), std::process::id())
    }
}

impl Component for RecorderPart {
    fn name(&self) -> &'static str {
        NAME
    }

    fn start(&self) -> BoxFuture<'_, Result<(), ComponentError>> {
        Box::pin(async move {
            let starting = match self.life.begin_start() {
                Ok(starting) => starting,
                Err(state) => {
                    let state = state.name();
                    tracing::warn!(component = NAME, state, "start while not stopped");
                    return Ok(());
                }
            };
            let (recorder, session) = (Arc::clone(&self.recorder), self.session());
            let version = env!("CARGO_PKG_VERSION");
            let begin = move || recorder.start((&session, version));
            let begun = tokio::task::spawn_blocking(begin).await;
            let running = begun
                .map_err(|error| ComponentError::new(NAME, error))?
                .map_err(|error| ComponentError::new(NAME, error))?;
            starting.running(running);
            let folder = self.recorder.folder().display();
            tracing::info!(%folder, "recording");
            Ok(())
        })
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let (_stopping, running) = match self.life.begin_stop() {
                Ok(begun) => begun,
                Err(state) => {
                    let state = state.name();
                    tracing::warn!(component = NAME, state, "stop while not running");
                    return;
                }
            };
            let stopped = tokio::task::spawn_blocking(move || running.stop()).await;
            if let Err(error) = stopped {
                tracing::error!(%error, "the recorder could not be stopped");
            }
            self.log();
        })
    }

    fn state(&self) -> ComponentState {
        self.life.state()
    }
}

impl StatsSource for RecorderPart {
    fn show(&self, sheet: &mut dyn Sheet) {
        self.recorder.numbers().show(sheet, Instant::now());
    }
}

impl fmt::Debug for RecorderPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecorderPart")
            .field("recorder", &self.recorder)
            .finish_non_exhaustive()
    }
}

/// Passes on wishes for fresh books, and has those marked that are about a book found wrong.
pub(super) struct Incidents {
    wishes: Arc<dyn ResyncSink>,
    inlet: Inlet,
    registry: Arc<AssetRegistry>,
}

impl Incidents {
    pub(super) fn new(
        wishes: Arc<dyn ResyncSink>,
        inlet: Inlet,
        registry: Arc<AssetRegistry>,
    ) -> Self {
        Self {
            wishes,
            inlet,
            registry,
        }
    }
}

impl ResyncSink for Incidents {
    fn resync(&self, scope: Scope, assets: &[AssetKey], reason: StaleReason) {
        // First: a mark can wait, a book that is wrong cannot.
        self.wishes.resync(scope, assets, reason);
        let is_incident = matches!(
            reason,
            StaleReason::Hash
                | StaleReason::Top
                | StaleReason::Mirror
                | StaleReason::Audit
                | StaleReason::WorkerDied
        );
        if !is_incident || assets.is_empty() {
            return;
        }
        let names = self.registry.interner().read();
        let named = assets.iter().take(MOST_NAMED);
        let tokens = named.filter_map(|key| Some(names.info(*key)?.asset_id.clone()));
        let mark = Mark {
            kind: reason.name().into(),
            tokens: tokens.collect(),
            text: format!("fresh books of {} tokens were asked for", assets.len()).into(),
        };
        drop(names);
        self.inlet.mark(mark, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use polypy_archive::queue::{What, queue};
    use polypy_core::{Market, Token};

    use super::*;

    #[derive(Default)]
    struct Wishes(Mutex<Vec<StaleReason>>);

    impl ResyncSink for Wishes {
        fn resync(&self, _scope: Scope, _assets: &[AssetKey], reason: StaleReason) {
            self.0.lock().push(reason);
        }
    }

    #[test]
    fn every_wish_is_passed_on_and_incidents_are_marked() {
        let (inlet, mut outlet) = queue(1 << 20);
        let registry = Arc::new(AssetRegistry::default());
        let token = Token {
            token_id: "12".parse().unwrap(),
            outcome: "Yes".into(),
        };
        let other = Token {
            token_id: "13".parse().unwrap(),
            outcome: "No".into(),
        };
        registry.upsert(Market::new("0xa1".parse().unwrap(), vec![token, other]));
        let key = registry.interner().read().get("12").unwrap().key;
        let wishes = Arc::new(Wishes::default());
        let passed_on = Arc::clone(&wishes) as Arc<dyn ResyncSink>;
        let incidents = Incidents::new(passed_on, inlet, registry);
        for reason in StaleReason::ALL {
            incidents.resync(Scope::AllFeeds, &[key], reason);
        }
        assert_eq!(*wishes.0.lock(), StaleReason::ALL);
        let mut items = Vec::new();
        outlet.take(usize::MAX, &mut items);
        let marks: Vec<_> = items
            .into_iter()
            .map(|item| match item.what {
                What::Mark(mark) => (mark.kind.to_string(), mark.tokens),
                other => panic!("{other:?}"),
            })
            .collect();
        let kinds: Vec<_> = marks.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(kinds, ["worker_died", "hash", "top", "mirror", "audit"]);
        assert!(marks.iter().all(|(_, tokens)| tokens.len() == 1));
    }
}
