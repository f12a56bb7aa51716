//! Connections without a socket, told together.
//!
//! What takes one socket usually takes many, and each tries again every few
//! seconds: a line for each loss and attempt would bury the log. So they are
//! noted here, and the pool's owner logs a line when an outage begins, once a
//! minute while it lasts, and when every connection has its books again. A line of
//! its own for each loss and attempt is there at level debug.

use std::collections::BTreeSet;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::counter::{count, millis};
use crate::registry::ConnectionId;

/// How long losses gather before the first line.
const GATHER: Duration = Duration::from_secs(1);
/// Between two lines while it lasts.
const AGAIN: Duration = Duration::from_secs(60);

/// The connections of one pool that are without a socket.
#[derive(Debug, Default)]
pub(crate) struct Outages(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    without: BTreeSet<ConnectionId>,
    outage: Option<Outage>,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    told_at: Option<Instant>,
    /// That none is open has been told.
    is_total_told: bool,
    sockets_lost: u64,
    attempts_failed: u64,
    /// Why: what was said last.
    cause: String,
}

/// What is worth a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    stage: Stage,
    /// Connections without a socket.
    without: usize,
    /// Connections that have one.
    open: usize,
    sockets_lost: u64,
    attempts_failed: u64,
    lasted: Duration,
    cause: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Begins,
    Lasts,
    IsOver,
}

impl Outages {
    /// A socket ended unasked.
    pub(super) fn lost(&self, id: ConnectionId, cause: String, now: Instant) {
        self.0.lock().note(id, cause, now).sockets_lost += 1;
    }

    /// A socket could not be opened.
    pub(super) fn not_opened(&self, id: ConnectionId, cause: String, now: Instant) {
        self.0.lock().note(id, cause, now).attempts_failed += 1;
    }

    /// A connection has a socket and every book that exists, or is gone. To be open
    /// is not enough: what the venue drops at its first frame is open for a moment.
    pub(super) fn settled(&self, id: ConnectionId) {
        self.0.lock().without.remove(&id);
    }

    /// What is to be told now, `open` being the connections that have a socket.
    pub(crate) fn report(&self, open: usize, now: Instant) -> Option<Report> {
        self.0.lock().report(open, now)
    }
}

impl State {
    fn note(&mut self, id: ConnectionId, cause: String, now: Instant) -> &mut Outage {
        self.without.insert(id);
        let outage = self.outage.get_or_insert_with(|| Outage {
            since: now,
            told_at: None,
            is_total_told: false,
            sockets_lost: 0,
            attempts_failed: 0,
            cause: String::new(),
        });
        outage.cause = cause;
        outage
    }

    fn report(&mut self, open: usize, now: Instant) -> Option<Report> {
        let outage = self.outage.as_mut()?;
        let since = |at: Instant| now.saturating_duration_since(at);
        let is_over = self.without.is_empty();
        let is_total = open == 0 && !outage.is_total_told;
        let stage = match outage.told_at {
            _ if is_over => Stage::IsOver,
            None if since(outage.since) >= GATHER => Stage::Begins,
            Some(told_at) if is_total || since(told_at) >= AGAIN => Stage::Lasts,
            None | Some(_) => return None,
        };
        outage.told_at = Some(now);
        outage.is_total_told |= open == 0;
        let report = Report {
            stage,
            without: self.without.len(),
            open,
            sockets_lost: outage.sockets_lost,
            attempts_failed: outage.attempts_failed,
            lasted: since(outage.since),
            cause: outage.cause.clone(),
        };
        if is_over {
            self.outage = None;
        }
        Some(report)
    }
}

impl Report {
    /// Losing some sockets is everyday, losing all of them is not.
    pub(crate) fn log(&self) {
        let (without, open) = (count(self.without), count(self.open));
        let (sockets_lost, attempts_failed) = (self.sockets_lost, self.attempts_failed);
        let lasted_ms = millis(self.lasted);
        let cause = self.cause.as_str();
        match self.stage {
            Stage::IsOver => tracing::info!(
                sockets_lost,
                attempts_failed,
                lasted_ms,
                cause,
                "every connection has its books again"
            ),
            Stage::Begins | Stage::Lasts if self.open == 0 => tracing::warn!(
                without,
                sockets_lost,
                attempts_failed,
                lasted_ms,
                cause,
                "no connection has a socket"
            ),
            Stage::Begins | Stage::Lasts => tracing::info!(
                without,
                open,
                sockets_lost,
                attempts_failed,
                lasted_ms,
                cause,
                "connections are without a socket"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn stage(report: Option<Report>) -> Option<(Stage, usize, u64, u64)> {
        report.map(|r| (r.stage, r.without, r.sockets_lost, r.attempts_failed))
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_of_many_connections_is_a_line_at_its_beginning_a_minute_and_its_end() {
        let (outages, start) = (Outages::default(), Instant::now());
        assert_eq!(outages.report(5, start), None);
        for id in 0..5 {
            outages.lost(ConnectionId(id), "dropped".to_owned(), start);
        }
        assert_eq!(outages.report(0, start), None, "others may follow");
        let begun = outages.report(0, start + SECOND).unwrap();
        assert_eq!((begun.without, begun.open, begun.sockets_lost), (5, 0, 5));
        assert_eq!(begun.cause, "dropped");
        let mut told = 0;
        for second in 2..=180 {
            let now = start + second * SECOND;
            for id in 0..5 {
                outages.not_opened(ConnectionId(id), "refused".to_owned(), now);
            }
            if let Some(report) = outages.report(0, now) {
                assert_eq!((report.stage, &*report.cause), (Stage::Lasts, "refused"));
                told += 1;
            }
        }
        assert_eq!(told, 2);
        for id in 0..5 {
            outages.settled(ConnectionId(id));
        }
        let over = outages.report(5, start + 181 * SECOND);
        assert_eq!(stage(over), Some((Stage::IsOver, 0, 5, 895)));
        assert_eq!(outages.report(5, start + 182 * SECOND), None);
    }

    #[tokio::test(start_paused = true)]
    async fn losing_the_last_socket_is_told_at_once() {
        let (outages, start) = (Outages::default(), Instant::now());
        outages.lost(ConnectionId(0), String::new(), start);
        let begun = outages.report(1, start + SECOND);
        assert_eq!(stage(begun), Some((Stage::Begins, 1, 1, 0)));
        outages.lost(ConnectionId(1), String::new(), start + 2 * SECOND);
        let total = outages.report(0, start + 2 * SECOND);
        assert_eq!(stage(total), Some((Stage::Lasts, 2, 2, 0)));
        assert_eq!(outages.report(0, start + 3 * SECOND), None, "once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_loss_is_one_line() {
        let (outages, start) = (Outages::default(), Instant::now());
        outages.lost(ConnectionId(3), "1013 slow consumer".to_owned(), start);
        outages.settled(ConnectionId(3));
        let over = outages.report(2, start + SECOND / 2);
        assert_eq!(stage(over), Some((Stage::IsOver, 0, 1, 0)));
        assert_eq!(outages.report(2, start + SECOND), None);
    }
}
