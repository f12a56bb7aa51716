//! How long the hub sleeps after a round.
//!
//! | who is there | it looks at the lanes again |
//! |---|---|
//! | a client that follows each change | after half a millisecond while changes flow, else when one comes |
//! | nobody who does | at the next tick, after 10 ms at the latest: changes wake it not |
//!
//! What a client asks for, and what is owed to one, is done at the first pace in either
//! case.

use std::time::{Duration, Instant};

use super::Tick;
use super::covering::watches_tokens;
use super::publisher::Publisher;

/// Between two rounds while somebody waits for what comes.
const ROUND: Duration = Duration::from_micros(500);
/// So long after the last change the hub goes on looking before it sleeps.
const AWAKE: Duration = Duration::from_millis(2);
/// Longest sleep: the hub looks at workers and at what is due.
const SLEEP: Duration = Duration::from_millis(10);

/// What the hub's thread does before the next round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// It sleeps for so long, whatever comes.
    Sleep(Duration),
    /// It sleeps until something comes, for so long at most.
    UntilChange(Duration),
    /// It sleeps until a client asks for something, for so long at most.
    UntilAsked(Duration),
}

/// What a round had to do.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Round {
    /// Something had come of books or markets.
    pub(super) read: bool,
    /// A client had asked for something, or was owed something.
    pub(super) served: bool,
}

/// How long the hub has been idle.
#[derive(Debug)]
pub(super) struct Pace {
    /// When it last did something that somebody waits for.
    last_work: Instant,
    /// Some client follows each change.
    is_followed: bool,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            last_work: now,
            is_followed: false,
        }
    }

    /// Notes a round, and who is there after it.
    pub(super) fn note(&mut self, round: Round, out: &Publisher, now: Instant) {
        self.is_followed = is_followed(out);
        if round.served || (round.read && self.is_followed) {
            self.last_work = now;
        }
    }

    /// The rest until the next round, from `now` on, which is after the last one.
    pub(super) fn rest(&self, ticks: &[Tick], now: Instant) -> Rest {
        if now.saturating_duration_since(self.last_work) < AWAKE {
            return Rest::Sleep(ROUND);
        }
        if self.is_followed {
            return Rest::UntilChange(SLEEP);
        }
        let ticks = ticks.iter().filter_map(|tick| tick.next(now));
        let until_tick = ticks.map(|at| at.saturating_duration_since(now)).min();
        Rest::UntilAsked(until_tick.map_or(SLEEP, |until| until.min(SLEEP)))
    }
}

/// Whether some client gets something of tokens or markets that is not merged.
fn is_followed(out: &Publisher) -> bool {
    let clients = out.clients.iter();
    let mut subscriptions = clients.flat_map(|(_, client)| &client.subscriptions);
    subscriptions.any(|one| {
        let filter = &one.filter;
        filter.mode.interval.is_none() && watches_tokens(filter.channels)
    })
}
