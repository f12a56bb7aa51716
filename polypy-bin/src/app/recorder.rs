//! The recorder as a part of the program.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use polypy_archive::{Inlet, Recorder, RecorderState, Running, SystemDisk};
use polypy_core::metrics::Sheet;
use polypy_core::{
    BoxFuture, CheckpointSource, Clock, Component, ComponentError, ComponentState, Lifecycle,
    StatsSource,
};

use crate::config::{RecordSection, conversion};

const NAME: &str = "recorder";

/// Records what sockets say, for as long as it runs.
pub(super) struct RecorderPart {
    recorder: Arc<Recorder>,
    clock: Arc<dyn Clock>,
    life: Lifecycle<Running>,
    /// The disk did not take the last of what came.
    is_cut: AtomicBool,
}

impl RecorderPart {
    /// One that records to the configured folder; `None` if there is none.
    pub(super) fn of(section: &RecordSection, clock: &Arc<dyn Clock>) -> Option<Self> {
        let config = conversion::recorder(section)?;
        let recorder = Recorder::new(config, Arc::new(SystemDisk), Arc::clone(clock));
        Some(Self::new(recorder, clock))
    }

    fn new(recorder: Recorder, clock: &Arc<dyn Clock>) -> Self {
        Self {
            recorder: Arc::new(recorder),
            clock: Arc::clone(clock),
            life: Lifecycle::failing_when(Running::has_ended),
            is_cut: AtomicBool::new(false),
        }
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

    /// Whether the last run ended while the disk took nothing.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Acquire)
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
}

/// A name for this run, which no other run to a folder has.
pub(super) fn session(clock: &dyn Clock) -> String {
    format!("{:x}-{}", clock.now_nanos(), std::process::id())
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
            let (recorder, session) = (Arc::clone(&self.recorder), session(&*self.clock));
            let version = env!("CARGO_PKG_VERSION");
            let begin = move || recorder.start((&session, version));
            let begun = tokio::task::spawn_blocking(begin).await;
            let running = begun
                .map_err(|error| ComponentError::new(NAME, error))?
                .map_err(|error| ComponentError::new(NAME, error))?;
            starting.running(running);
            // Of a disk without room the recorder has said so itself.
            if self.condition() != RecorderState::Failed {
                let folder = self.recorder.folder().display();
                tracing::info!(%folder, "recording");
            }
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
            // Until the disk has taken it: where that hangs this is not waited for to the end.
            self.is_cut.store(true, Ordering::Release);
            let stopped = tokio::task::spawn_blocking(move || running.stop()).await;
            self.is_cut
                .store(!matches!(stopped, Ok(true)), Ordering::Release);
            match stopped {
                Ok(true) => {}
                Ok(false) => tracing::error!(
                    folder = %self.recorder.folder().display(),
                    "the end of the recording is missing: the disk did not take it"
                ),
                Err(error) => tracing::error!(%error, "the recorder could not be stopped"),
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use polypy_archive::RecorderConfig;
    use polypy_archive::testing::FaultyDisk;
    use polypy_core::Timestamp;

    use super::*;

    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(1_795_000_000_000)
        }
    }

    #[tokio::test]
    async fn a_stop_that_is_given_up_while_the_disk_hangs_leaves_the_recording_cut() {
        let disk = FaultyDisk::default();
        let clock: Arc<dyn Clock> = Arc::new(Still);
        let config = RecorderConfig::new(Path::new("recording"));
        let recorder = Recorder::new(config, Arc::new(disk.clone()), Arc::clone(&clock));
        let part = RecorderPart::new(recorder, &clock);
        for is_hanging in [false, true] {
            part.start().await.unwrap();
            let hanging = is_hanging.then(|| disk.hang());
            // Whole, it is waited for as long as it takes.
            let given = Duration::from_millis(if is_hanging { 50 } else { 60_000 });
            let _elapsed = tokio::time::timeout(given, part.stop()).await;
            assert_eq!(part.is_cut(), is_hanging);
            drop(hanging);
        }
    }
}
