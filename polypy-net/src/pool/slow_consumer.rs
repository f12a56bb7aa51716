//! Closes 1013: which of them mean that a connection carries too much.
//!
//! The venue closes a socket whose send buffer is full. One connection that this
//! happens to again and again is too much for one socket, and is split. When it
//! happens to several at once, it is the venue or the way to it that has too
//! much to do, and smaller connections would only be more of them: they connect
//! again, ever later, as they are.
//!
//! | closes | verdict |
//! |---|---|
//! | of several connections together, a third of all at least | none |
//! | the first of a connection | it takes no more assets |
//! | the second within the window | it is split |
//! | none within the window | it takes as many as any other again |

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::registry::ConnectionId;

/// How long a close waits for others: they come within moments of each other.
const GATHER: Duration = Duration::from_secs(3);
/// Closes up to this long before belong together, too: a connection that has
/// opened again in a bout of them is closed again a backoff later.
const TOGETHER: Duration = Duration::from_secs(10);
/// Connections that make several.
const SEVERAL: usize = 2;

/// What is to be done with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing more goes on it.
    Full,
    /// Half of it goes elsewhere.
    Split,
    /// It has been left alone for long: it is like any other.
    Calm,
}

/// The closes of one pool's connections.
#[derive(Debug, Default)]
pub(super) struct SlowConsumers(BTreeMap<ConnectionId, Closes>);

#[derive(Debug, Default)]
struct Closes {
    count: u64,
    last: Option<Instant>,
    /// The earliest close without a verdict.
    pending: Option<Instant>,
    /// The last close that was this connection's own.
    own: Option<Instant>,
}

impl SlowConsumers {
    /// A connection has been closed so many times in all.
    pub(super) fn note(&mut self, id: ConnectionId, count: u64, now: Instant) {
        let closes = self.0.entry(id).or_default();
        // Numbers are used again: a new connection begins at zero.
        if count < closes.count {
            *closes = Closes::default();
        }
        if count > closes.count {
            closes.count = count;
            closes.last = Some(now);
            closes.pending.get_or_insert(now);
        }
    }

    /// Forgets connections that are gone.
    pub(super) fn retain(&mut self, is_there: impl Fn(ConnectionId) -> bool) {
        self.0.retain(|id, _| is_there(*id));
    }

    /// What is due of `all` connections.
    pub(super) fn judge(
        &mut self,
        all: usize,
        window: Duration,
        now: Instant,
    ) -> Vec<(ConnectionId, Verdict)> {
        let last: Vec<Instant> = self.0.values().filter_map(|closes| closes.last).collect();
        let mut verdicts = Vec::new();
        for (id, closes) in &mut self.0 {
            let is_due = |at: Instant| now.saturating_duration_since(at) >= GATHER;
            let Some(at) = closes.pending.take_if(|at| is_due(*at)) else {
                let is_long_ago = |at: &mut Instant| now.saturating_duration_since(*at) > window;
                if closes.pending.is_none() && closes.own.take_if(is_long_ago).is_some() {
                    verdicts.push((*id, Verdict::Calm));
                }
                continue;
            };
            let is_near = |other: &&Instant| at.saturating_duration_since(**other) <= TOGETHER;
            let together = last.iter().filter(is_near).count();
            if together >= SEVERAL && together * 3 >= all {
                tracing::debug!(connection = %id, together, "closed together with others");
                continue;
            }
            let before = closes.own.replace(at);
            let is_again =
                before.is_some_and(|before| at.saturating_duration_since(before) <= window);
            let verdict = if is_again {
                Verdict::Split
            } else {
                Verdict::Full
            };
            verdicts.push((*id, verdict));
        }
        verdicts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const WINDOW: Duration = Duration::from_secs(600);

    /// Notes one more close of each of `ids` and gives the verdicts after it.
    fn close(
        closes: &mut SlowConsumers,
        ids: &[u32],
        count: u64,
        at: Instant,
    ) -> Vec<(ConnectionId, Verdict)> {
        for id in ids {
            closes.note(ConnectionId(*id), count, at);
        }
        assert_eq!(closes.judge(5, WINDOW, at), [], "others may follow");
        closes.judge(5, WINDOW, at + GATHER)
    }

    #[tokio::test(start_paused = true)]
    async fn one_connection_is_full_then_split_and_calm_at_last() {
        let (mut closes, start) = (SlowConsumers::default(), Instant::now());
        let id = ConnectionId(3);
        assert_eq!(close(&mut closes, &[3], 1, start), [(id, Verdict::Full)]);
        let later = start + 60 * SECOND;
        assert_eq!(close(&mut closes, &[3], 2, later), [(id, Verdict::Split)]);
        assert_eq!(closes.judge(5, WINDOW, later + WINDOW), []);
        let calm = later + WINDOW + SECOND;
        assert_eq!(closes.judge(5, WINDOW, calm), [(id, Verdict::Calm)]);
        assert_eq!(closes.judge(5, WINDOW, calm), []);
        assert_eq!(close(&mut closes, &[3], 3, calm), [(id, Verdict::Full)]);
    }

    #[tokio::test(start_paused = true)]
    async fn closes_of_several_together_split_none_however_often() {
        let (mut closes, start) = (SlowConsumers::default(), Instant::now());
        for bout in 0..6 {
            let at = start + bout * 40 * SECOND;
            let count = u64::from(bout) * 2 + 1;
            assert_eq!(close(&mut closes, &[0, 1, 2, 3, 4], count, at), []);
            // One of them opened and was closed once more.
            assert_eq!(close(&mut closes, &[2], count + 1, at + 4 * SECOND), []);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_of_many_are_not_the_venue() {
        let (mut closes, start) = (SlowConsumers::default(), Instant::now());
        closes.note(ConnectionId(0), 1, start);
        closes.note(ConnectionId(1), 1, start);
        assert_eq!(closes.judge(100, WINDOW, start + GATHER).len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_number_that_is_used_again_begins_again() {
        let (mut closes, start) = (SlowConsumers::default(), Instant::now());
        close(&mut closes, &[0], 4, start);
        closes.retain(|_| false);
        closes.note(ConnectionId(0), 0, start);
        let again = close(&mut closes, &[0], 1, start + SECOND);
        assert_eq!(again, [(ConnectionId(0), Verdict::Full)]);
    }
}
