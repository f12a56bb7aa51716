//! A task that cannot outlive its owner.

use tokio::task::JoinHandle;

/// Aborts the task when dropped, so that whoever gives up waiting for a stop
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
