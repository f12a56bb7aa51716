//! Starts parts in order and stops them under one deadline.
//!
//! Every call into a part runs on a task of its own, joined or aborted here: a
//! part that panics or hangs cannot take the others' end with it. What a part
//! does is not known here, and what a failure means is decided by the caller.

use std::sync::Arc;
use std::time::Duration;

use polypy_core::{Component, ComponentError, ComponentState};
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// Kept back for each part that is still to be stopped, so that one that hangs
/// does not take the others' chance to end in order.
const RESERVE: Duration = Duration::from_millis(250);

/// Starts one part; a panic counts as a failure. Dropping the future aborts the
/// start, and the part has then to be stopped.
pub(super) async fn start(part: &Arc<dyn Component>) -> Result<(), ComponentError> {
    start_on(&Handle::current(), part).await
}

/// The same on a runtime, whose threads the part's tasks then have.
pub(super) async fn start_on(
    runtime: &Handle,
    part: &Arc<dyn Component>,
) -> Result<(), ComponentError> {
    let name = part.name();
    let part = Arc::clone(part);
    let task = Owned(runtime.spawn(async move { part.start().await }));
    match task.join().await {
        Ok(result) => result,
        Err(error) => Err(ComponentError::new(name, error)),
    }
}

/// Starts all parts in order.
///
/// # Errors
/// That of the first part that failed; those before it are stopped again.
pub(super) async fn start_all(
    parts: &[Arc<dyn Component>],
    deadline: Duration,
) -> Result<(), ComponentError> {
    for (index, part) in parts.iter().enumerate() {
        tracing::debug!(component = part.name(), "starting");
        if let Err(error) = start(part).await {
            let started: Vec<_> = parts[..=index].iter().rev().cloned().collect();
            let report = stop_all(&started, deadline).await;
            if !report.is_clean() {
                tracing::warn!(
                    aborted = report.aborted.join(", "),
                    failed = report.failed.join(", "),
                    "parts had to be aborted"
                );
            }
            return Err(error);
        }
        tracing::info!(component = part.name(), "started");
    }
    Ok(())
}

/// How the parts ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct StopReport {
    /// Did not end in time.
    pub(super) aborted: Vec<&'static str>,
    /// Panicked while ending.
    pub(super) failed: Vec<&'static str>,
}

impl StopReport {
    pub(super) fn is_clean(&self) -> bool {
        self.aborted.is_empty() && self.failed.is_empty()
    }
}

/// Stops those of `parts` that run, in this order, all under one deadline.
pub(super) async fn stop_all(parts: &[Arc<dyn Component>], deadline: Duration) -> StopReport {
    let end = Instant::now() + deadline;
    let mut report = StopReport::default();
    for (index, part) in parts.iter().enumerate() {
        if part.state() == ComponentState::Stopped {
            continue;
        }
        let name = part.name();
        let share = share(end.duration_since(Instant::now()), parts.len() - index - 1);
        let stopped = Arc::clone(part);
        let task = Owned(tokio::spawn(async move { stopped.stop().await }));
        match timeout(share, task.join()).await {
            Ok(Ok(())) => tracing::debug!(component = name, "stopped"),
            Ok(Err(error)) => {
                tracing::error!(component = name, %error, "stopping failed");
                report.failed.push(name);
            }
            Err(_elapsed) => {
                tracing::error!(
                    component = name,
                    waited_ms = share.as_secs_f64() * 1e3,
                    "did not stop in time"
                );
                report.aborted.push(name);
            }
        }
    }
    report
}

/// What one part may take of the time left when `later` parts follow it.
fn share(left: Duration, later: usize) -> Duration {
    let later = u32::try_from(later).unwrap_or(u32::MAX);
    left.saturating_sub(RESERVE.saturating_mul(later))
        .max(left / later.saturating_add(1))
}

/// Between two looks for a part that died. A part that dies is a defect of the
/// program; a second more without it makes no difference.
const LOOK: Duration = Duration::from_secs(1);

/// Resolves with the name of the first part that ended without being asked to.
pub(super) async fn failure(parts: &[Arc<dyn Component>]) -> &'static str {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let failed = |part: &&Arc<dyn Component>| part.state() == ComponentState::Failed;
        if let Some(part) = parts.iter().find(failed) {
            return part.name();
        }
    }
}

/// A task that ends with its owner.
struct Owned<T>(JoinHandle<T>);

impl<T> Owned<T> {
    async fn join(mut self) -> Result<T, JoinError> {
        (&mut self.0).await
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
#[path = "sequence_tests.rs"]
mod tests;
