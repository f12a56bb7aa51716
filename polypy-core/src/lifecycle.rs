//! Where a component stands, and what it holds while it runs: the states of
//! [`Component`](crate::Component), kept once.
//!
//! | from | by | to |
//! |---|---|---|
//! | stopped, failed | [`Lifecycle::begin_start`] | starting |
//! | starting | [`Starting::running`] | running |
//! | starting | dropping the [`Starting`]: the start failed, or its caller gave up | stopped |
//! | running | what it holds has ended by itself | failed |
//! | running, failed | [`Lifecycle::begin_stop`] | stopping |
//! | stopping | dropping the [`Stopping`]: done, or its caller gave up | stopped |
//!
//! Whatever else is asked changes nothing, and its caller is told the state that stands
//! in its way, to say so in the log.

use std::fmt;
use std::mem;

use parking_lot::Mutex;

use crate::ComponentState;

/// The life of a component that holds an `R` while it runs: its tasks or threads, and
/// what ends them.
///
/// ```
/// use polypy_core::{ComponentState, Lifecycle};
///
/// let life: Lifecycle<String> = Lifecycle::default();
/// let starting = life.begin_start().expect("it is stopped");
/// starting.running("what runs".to_owned());
/// assert_eq!(life.state(), ComponentState::Running);
/// assert_eq!(life.begin_start().err(), Some(ComponentState::Running));
///
/// let (stopping, running) = life.begin_stop().expect("it runs");
/// assert_eq!(life.state(), ComponentState::Stopping);
/// drop(running);
/// drop(stopping);
/// assert_eq!(life.state(), ComponentState::Stopped);
/// ```
pub struct Lifecycle<R> {
    has_ended: fn(&R) -> bool,
    phase: Mutex<Phase<R>>,
}

enum Phase<R> {
    Stopped,
    Starting,
    Running(R),
    Stopping,
}

impl<R> Lifecycle<R> {
    /// A stopped one, which fails when `has_ended` says so of what runs.
    pub const fn failing_when(has_ended: fn(&R) -> bool) -> Self {
        Self {
            has_ended,
            phase: Mutex::new(Phase::Stopped),
        }
    }

    /// Where it stands.
    pub fn state(&self) -> ComponentState {
        self.state_of(&self.phase.lock())
    }

    /// Whether it runs, and has not failed.
    pub fn is_running(&self) -> bool {
        self.state() == ComponentState::Running
    }

    /// Reads what runs, a failed one too; `None` at any other time.
    pub fn read<T>(&self, read: impl FnOnce(&R) -> T) -> Option<T> {
        match &*self.phase.lock() {
            Phase::Running(running) => Some(read(running)),
            Phase::Stopped | Phase::Starting | Phase::Stopping => None,
        }
    }

    /// Begins a start. What is left of a failed run is dropped.
    ///
    /// # Errors
    /// The state it is in, unless that is stopped or failed.
    pub fn begin_start(&self) -> Result<Starting<'_, R>, ComponentState> {
        let mut phase = self.phase.lock();
        match self.state_of(&phase) {
            ComponentState::Stopped | ComponentState::Failed => {
                let failed = mem::replace(&mut *phase, Phase::Starting);
                drop(phase);
                // Not under the lock: what it holds may ask where the component stands.
                drop(failed);
                Ok(Starting(self))
            }
            state => Err(state),
        }
    }

    /// Begins a stop and hands over what runs, to be ended and joined. Keep the
    /// [`Stopping`] until that is done.
    ///
    /// # Errors
    /// The state it is in, unless that is running or failed.
    pub fn begin_stop(&self) -> Result<(Stopping<'_, R>, R), ComponentState> {
        let mut phase = self.phase.lock();
        let state = self.state_of(&phase);
        match mem::replace(&mut *phase, Phase::Stopping) {
            Phase::Running(running) => Ok((Stopping(self), running)),
            other => {
                *phase = other;
                Err(state)
            }
        }
    }

    fn state_of(&self, phase: &Phase<R>) -> ComponentState {
        match phase {
            Phase::Stopped => ComponentState::Stopped,
            Phase::Starting => ComponentState::Starting,
            Phase::Running(running) if (self.has_ended)(running) => ComponentState::Failed,
            Phase::Running(_) => ComponentState::Running,
            Phase::Stopping => ComponentState::Stopping,
        }
    }
}

/// One that never ends by itself.
impl<R> Default for Lifecycle<R> {
    fn default() -> Self {
        Self::failing_when(|_| false)
    }
}

impl<R> fmt::Debug for Lifecycle<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lifecycle").field(&self.state()).finish()
    }
}

/// A start under way. Dropped, the component is stopped again.
#[must_use = "dropping it ends the start"]
pub struct Starting<'a, R>(&'a Lifecycle<R>);

impl<R> Starting<'_, R> {
    /// The start has succeeded: this is what runs.
    pub fn running(self, running: R) {
        *self.0.phase.lock() = Phase::Running(running);
    }
}

impl<R> Drop for Starting<'_, R> {
    fn drop(&mut self) {
        let mut phase = self.0.phase.lock();
        if matches!(*phase, Phase::Starting) {
            *phase = Phase::Stopped;
        }
    }
}

impl<R> fmt::Debug for Starting<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Starting")
    }
}

/// A stop under way. Dropped, the component is stopped: also where the caller of the
/// stop gave up waiting, so that nothing waits for ever.
#[must_use = "dropping it ends the stop"]
pub struct Stopping<'a, R>(&'a Lifecycle<R>);

impl<R> Drop for Stopping<'_, R> {
    fn drop(&mut self) {
        *self.0.phase.lock() = Phase::Stopped;
    }
}

impl<R> fmt::Debug for Stopping<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stopping")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    type Flag = Arc<AtomicBool>;

    fn failing() -> Lifecycle<Flag> {
        Lifecycle::failing_when(|ended: &Flag| ended.load(Ordering::Relaxed))
    }

    #[test]
    fn a_start_that_is_given_up_leaves_it_stopped() {
        let life: Lifecycle<u8> = Lifecycle::default();
        let starting = life.begin_start().unwrap();
        assert_eq!(life.state(), ComponentState::Starting);
        assert_eq!(life.begin_start().unwrap_err(), ComponentState::Starting);
        assert_eq!(life.begin_stop().unwrap_err(), ComponentState::Starting);
        drop(starting);
        assert_eq!(life.state(), ComponentState::Stopped);
    }

    #[test]
    fn what_runs_can_be_read_until_the_stop_takes_it() {
        let life = Lifecycle::default();
        assert_eq!(life.read(|number: &u8| *number), None);
        life.begin_start().unwrap().running(7);
        assert_eq!(life.read(|number| *number), Some(7));
        assert!(life.is_running());

        let (stopping, number) = life.begin_stop().unwrap();
        assert_eq!(number, 7);
        assert_eq!(life.read(|number| *number), None);
        assert_eq!(life.begin_start().unwrap_err(), ComponentState::Stopping);
        assert_eq!(life.begin_stop().unwrap_err(), ComponentState::Stopping);
        drop(stopping);
        assert_eq!(life.begin_stop().unwrap_err(), ComponentState::Stopped);
    }

    #[test]
    fn what_has_ended_by_itself_can_be_stopped_or_started_again() {
        let life = failing();
        let ended = Flag::default();
        life.begin_start().unwrap().running(Arc::clone(&ended));
        assert_eq!(life.begin_start().unwrap_err(), ComponentState::Running);
        ended.store(true, Ordering::Relaxed);
        assert_eq!(life.state(), ComponentState::Failed);
        assert!(!life.is_running());

        life.begin_start().unwrap().running(Flag::default());
        assert!(life.is_running());
        assert_eq!(Arc::strong_count(&ended), 1, "the failed run is dropped");

        life.read(|ended| ended.store(true, Ordering::Relaxed));
        let (stopping, _) = life.begin_stop().unwrap();
        drop(stopping);
        assert_eq!(life.state(), ComponentState::Stopped);
    }
}
