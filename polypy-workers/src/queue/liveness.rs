//! Whether a worker runs.

/// A worker's state. Its books are stale in every state but [`Self::Running`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Liveness {
    /// It has no thread, or one that is to end.
    Stopped,
    Running,
    /// A panic left its books half done. The supervisor restarts it.
    Failed,
    /// It failed too often. It applies control messages, and drops what else is queued.
    GivenUp,
}

/// What happens to a worker.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Transition {
    Start,
    Fail,
    Restart,
    GiveUp,
    Stop,
}

impl Liveness {
    /// The state that follows. A transition that a state does not know changes
    /// nothing: a worker that is stopped meanwhile is not restarted.
    pub(super) fn after(self, transition: Transition) -> Self {
        match (self, transition) {
            (Self::Stopped, Transition::Start) | (Self::Failed, Transition::Restart) => {
                Self::Running
            }
            (Self::Running, Transition::Fail) => Self::Failed,
            (Self::Failed, Transition::GiveUp) => Self::GivenUp,
            (_, Transition::Stop) => Self::Stopped,
            (
                state,
                Transition::Start | Transition::Fail | Transition::Restart | Transition::GiveUp,
            ) => state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_runs_only_when_started_or_restarted() {
        use Liveness::{Failed, GivenUp, Running, Stopped};
        use Transition::{Fail, GiveUp, Restart, Start, Stop};
        let states = [Stopped, Running, Failed, GivenUp];
        for (transition, after) in [
            (Start, [Running, Running, Failed, GivenUp]),
            (Fail, [Stopped, Failed, Failed, GivenUp]),
            (Restart, [Stopped, Running, Running, GivenUp]),
            (GiveUp, [Stopped, Running, GivenUp, GivenUp]),
            (Stop, [Stopped; 4]),
        ] {
            assert_eq!(states.map(|state| state.after(transition)), after);
        }
    }
}
