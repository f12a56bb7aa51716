//! A task that cannot outlive its owner, and the life of a component that is one.

use parking_lot::Mutex;
use polypy_core::ComponentState;
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
#[derive(Debug, Default)]
pub(crate) struct TaskLife(Mutex<Run>);

#[derive(Debug, Default)]
enum Run {
    #[default]
    Stopped,
    Running {
        task: OwnedTask,
        stop: oneshot::Sender<()>,
    },
    Stopping,
}

impl TaskLife {
    /// Spawns what `work` makes; it ends when its receiver resolves, however it
    /// does. A second start is a warning under `name` and changes nothing.
    pub(crate) fn start<F>(&self, name: &str, work: impl FnOnce(oneshot::Receiver<()>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut run = self.0.lock();
        if !matches!(*run, Run::Stopped) {
            tracing::warn!(component = name, "start while not stopped");
            return;
        }
        let (stop, stopped) = oneshot::channel();
        let task = OwnedTask::spawn(work(stopped));
        *run = Run::Running { task, stop };
    }

    /// Asks the task to end and waits for it. A stop while there is none is a
    /// warning.
    pub(crate) async fn stop(&self, name: &'static str) {
        let (task, stop) = {
            let mut run = self.0.lock();
            match std::mem::replace(&mut *run, Run::Stopping) {
                Run::Running { task, stop } => (task, stop),
                idle @ (Run::Stopped | Run::Stopping) => {
                    *run = idle;
                    tracing::warn!(component = name, "stop while not running");
                    return;
                }
            }
        };
        let stopped = Stopped(self);
        drop(stop);
        task.join(name).await;
        drop(stopped);
    }

    pub(crate) fn state(&self) -> ComponentState {
        match &*self.0.lock() {
            Run::Stopped => ComponentState::Stopped,
            Run::Stopping => ComponentState::Stopping,
            Run::Running { task, .. } if task.is_finished() => ComponentState::Failed,
            Run::Running { .. } => ComponentState::Running,
        }
    }
}

/// Ends the stopping, also when the caller of `stop` gave up waiting.
struct Stopped<'a>(&'a TaskLife);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        *self.0.0.lock() = Run::Stopped;
    }
}
