//! One connection handed over to its replacement, as a state machine that the
//! pool's owner drives.
//!
//! ```text
//! warming ──(a book for every asset)──► retiring ──(old will not reopen)──► taking over
//!    │ deadline, setback, overflow                                             │ delivering
//!    ▼                                                                         ▼
//! aborted: the replacement closes, the old one never noticed        overlapping ──► done
//! ```
//!
//! While warming, the replacement holds back everything it receives, so that an
//! abort leaves nothing behind. The old connection is retired before the replacement
//! takes over: should it lose its socket now, another one of it would be opened only
//! to be closed a moment later.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use polypy_core::AssetKey;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::connection::{ChangeLog, Comparison, ConnectionState, Opening};
use crate::registry::ConnectionId;

use super::config::PoolConfig;

/// A hand-over that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// The connection that is gone.
    pub from: ConnectionId,
    /// The one that carries its assets now.
    pub to: ConnectionId,
    /// Assets moved.
    pub assets: usize,
    /// Time from asking to the end of the old connection.
    pub took: Duration,
    /// Time in which both delivered.
    pub overlap: Duration,
    /// Time in which neither delivered: zero, unless the old connection lost
    /// its socket before the new one could take over.
    pub downtime: Duration,
    /// How both told the same books while both did.
    pub comparison: Comparison,
}

/// Why a connection was not replaced. It serves on as before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecycleError {
    /// The pool is not running, or stopped meanwhile.
    #[error("the pool is not running")]
    NotRunning,
    /// There is no such connection.
    #[error("no connection {0}")]
    Unknown(ConnectionId),
    /// It carries nothing.
    #[error("{0} carries no assets")]
    Empty(ConnectionId),
    /// It is being replaced already, or is itself a replacement.
    #[error("{0} is being replaced already")]
    UnderWay(ConnectionId),
    /// The replacement could not be opened, or did not stay open.
    #[error("the replacement lost its socket or never got one")]
    Setback,
    /// The replacement had to hold back more than it may.
    #[error("the replacement held back too many events")]
    Overflow,
    /// Books were missing at the deadline.
    #[error("{missing} books missing at the deadline")]
    Deadline {
        /// How many.
        missing: usize,
    },
    /// The caller no longer waits for it.
    #[error("abandoned by its caller")]
    Abandoned,
}

/// What the owner has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing yet; look again at this time at the latest.
    Wait(Instant),
    /// Tell the old connection that it is retired.
    Retire,
    /// The old one is retired: tell the new one to take over, move the assets.
    TakeOver,
    /// Close the old connection and report.
    Finish(Migration),
    /// Close the new connection and report.
    Abort(RecycleError),
}

#[derive(Debug)]
enum Phase {
    Warming,
    Retiring,
    TakingOver { since: Instant },
    Overlapping { since: Instant, until: Instant },
}

/// A hand-over under way.
#[derive(Debug)]
pub(super) struct HandOver {
    pub(super) from: ConnectionId,
    pub(super) to: ConnectionId,
    pub(super) reply: oneshot::Sender<Result<Migration, RecycleError>>,
    started: Instant,
    deadline: Instant,
    /// What the old connection brings, and the new one.
    logs: [Arc<ChangeLog>; 2],
    phase: Phase,
    /// Since when the old connection has had no socket.
    down_since: Option<Instant>,
    downtime: Duration,
}

impl HandOver {
    pub(super) fn new(
        from: ConnectionId,
        to: ConnectionId,
        reply: oneshot::Sender<Result<Migration, RecycleError>>,
        now: Instant,
        config: &PoolConfig,
    ) -> Self {
        Self {
            from,
            to,
            reply,
            started: now,
            deadline: now + config.replace_deadline,
            logs: [Opening::Given, Opening::Awaited].map(ChangeLog::new),
            phase: Phase::Warming,
            down_since: None,
            downtime: Duration::ZERO,
        }
    }

    /// Where the old connection writes, and where the new one does.
    pub(super) fn logs(&self) -> &[Arc<ChangeLog>; 2] {
        &self.logs
    }

    /// Whether the assets belong to the new connection already.
    pub(super) fn is_committed(&self) -> bool {
        matches!(
            self.phase,
            Phase::TakingOver { .. } | Phase::Overlapping { .. }
        )
    }

    /// What to do now. `old` is `None` once its task has ended. Each move but
    /// [`Step::Wait`] is given once.
    pub(super) fn next(
        &mut self,
        old: Option<&ConnectionState>,
        new: &ConnectionState,
        assets: usize,
        now: Instant,
        config: &PoolConfig,
    ) -> Step {
        if let Some(old) = old {
            self.down_since = old.down_since();
        } else {
            self.down_since.get_or_insert(now);
        }
        match self.phase {
            Phase::Warming => {
                let missing = missing(old, new);
                if self.reply.is_closed() {
                    Step::Abort(RecycleError::Abandoned)
                } else if new.has_overflowed() {
                    Step::Abort(RecycleError::Overflow)
                } else if new.setbacks() > 0 {
                    Step::Abort(RecycleError::Setback)
                } else if new.is_open() && missing == 0 {
                    self.phase = Phase::Retiring;
                    Step::Retire
                } else if now >= self.deadline {
                    Step::Abort(RecycleError::Deadline { missing })
                } else {
                    Step::Wait(self.deadline)
                }
            }
            Phase::Retiring => {
                if old.is_none_or(ConnectionState::is_retired) {
                    self.phase = Phase::TakingOver { since: now };
                    Step::TakeOver
                } else {
                    Step::Wait(now + config.overlap)
                }
            }
            // From here on there is no way back: the assets are the new one's,
            // which reopens by itself should it lose its socket right now.
            Phase::TakingOver { since } => match new.took_over() {
                Some(at) => {
                    self.downtime = self
                        .down_since
                        .map_or(Duration::ZERO, |down| at.saturating_duration_since(down));
                    let until = at + config.overlap;
                    self.phase = Phase::Overlapping { since: at, until };
                    Step::Wait(until)
                }
                None if now >= self.deadline.max(since + config.replace_deadline) => {
                    Step::Finish(self.report(assets, now, now))
                }
                None => Step::Wait(now + config.overlap),
            },
            Phase::Overlapping { since, until } => {
                if now >= until || old.is_none() {
                    Step::Finish(self.report(assets, since, now))
                } else {
                    Step::Wait(until)
                }
            }
        }
    }

    fn report(&self, assets: usize, since: Instant, now: Instant) -> Migration {
        let overlap = if self.downtime.is_zero() {
            now.saturating_duration_since(since)
        } else {
            Duration::ZERO
        };
        Migration {
            from: self.from,
            to: self.to,
            assets,
            took: now.saturating_duration_since(self.started),
            overlap,
            downtime: self.downtime,
            comparison: Comparison::of(&self.logs[0], &self.logs[1]),
        }
    }
}

/// Assets of which the new connection has no book, although the old one has or
/// nobody can say. What neither has is no loss: it goes on being asked for.
pub(super) fn missing(old: Option<&ConnectionState>, new: &ConnectionState) -> usize {
    let neither: BTreeSet<AssetKey> = old.map(|old| old.bookless().collect()).unwrap_or_default();
    let awaited = new.retryable();
    awaited.filter(|key| !neither.contains(key)).count()
}
