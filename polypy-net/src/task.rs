//! A task that cannot outlive its owner, and the life of a component that is one.

use polypy_core::{ComponentState, Lifecycle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Aborts the task when dropped, so that a caller that gives up waiting for a stop
/// leaves nothing behind.
#[derive(Debug)]
pub(crate) struct OwnedTask(JoinHandle<()>);

impl OwnedTask {
    pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(future))
    }

    /// Whether it has ended.
    pub(crate) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits for its end; an end by panic is logged under `name`.
    pub(crate) async fn join(mut self, name: &'static str) {
        if let Err(error) = (&mut self.0).await {
            tracing::error!(component = name, error = %error, "task ended abnormally");
        }
    }
}

impl Drop for OwnedTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A component's one task, from start to stop.
#[derive(Debug)]
pub(crate) struct TaskLife(Lifecycle<Run>);

#[derive(Debug)]
struct Run {
    task: OwnedTask,
    stop: oneshot::Sender<()>,
}

impl Default for TaskLife {
    fn default() -> Self {
        Self(Lifecycle::failing_when(|run: &Run| run.task.is_finished()))
    }
}

impl TaskLife {
    /// Spawns what `work` makes; it ends when its receiver resolves, however it
    /// does. A second start is a warning under `name` and changes nothing.
    pub(crate) fn start<F>(&self, name: &str, work: impl FnOnce(oneshot::Receiver<()>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        match self.0.begin_start() {
            Ok(starting) => {
                let (stop, stopped) = oneshot::channel();
                let task = OwnedTask::spawn(work(stopped));
                starting.running(Run { task, stop });
            }
            Err(state) => not_started(name, state),
        }
    }

    /// Asks the task to end and waits for it. A stop while there is none is a
    /// warning.
    pub(crate) async fn stop(&self, name: &'static str) {
        match self.0.begin_stop() {
            Ok((_stopping, Run { task, stop })) => {
                drop(stop);
                task.join(name).await;
            }
            Err(state) => not_stopped(name, state),
        }
    }

    pub(crate) fn state(&self) -> ComponentState {
        self.0.state()
    }
}

/// Says that the component `name` was not started, for the state it is in.
pub(crate) fn not_started(name: &str, state: ComponentState) {
    let state = state.name();
    tracing::warn!(component = name, state, "start while not stopped");
}

/// Says that the component `name` was not stopped, for the state it is in.
pub(crate) fn not_stopped(name: &str, state: ComponentState) {
    let state = state.name();
    tracing::warn!(component = name, state, "stop while not running");
}
