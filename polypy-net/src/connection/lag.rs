//! Two connections that carry the same assets, measured against each other.
//!
//! Each reports the price changes it brings, by fingerprint. What one brings, the
//! other is expected to bring within a *limit*; a change that it brings later,
//! or never, is late. A replica most of whose changes are late over a whole window
//! *trails*: its socket is stuck, or far behind. A replica that has no socket, or
//! waits for books, is not judged.
//!
//! Bounded: changes wait for their counterpart for a while and in a limited
//! number. Costs nothing where there is one connection a token.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use polypy_core::MarketEvent;
use polypy_core::metrics::{Entry, Part, Sheet, Unit};
use tokio::time::Instant;

use crate::counter::millis;

use super::change_log::fingerprint;

/// A change that the other replica has not brought by then, it never will: the
/// longest backlog seen held frames back 11 s.
const NEVER: Duration = Duration::from_secs(30);
/// Changes that wait for their counterpart; the oldest go first.
const MOST_WAITING: usize = 65_536;
/// Changes that make a window worth a verdict.
const ENOUGH: u64 = 10;
/// No verdict so soon after another: a replacement takes its time, and one that
/// is no better must not be replaced over and over.
const REST: Duration = Duration::from_secs(60);

/// Which of the two connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replica {
    First,
    Second,
}

impl Replica {
    fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }

    pub(crate) fn index(self) -> usize {
        match self {
            Self::First => 0,
            Self::Second => 1,
        }
    }
}

/// What each replica brought; the first connection's figure, then the second's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LagScore {
    /// Changes it brought before the other did.
    pub(crate) first: [u64; 2],
    /// Changes the other never brought.
    pub(crate) only: [u64; 2],
    /// Changes it brought past the limit, or never, while it was open.
    pub(crate) late: [u64; 2],
    /// Milliseconds by which it was first, all changes together.
    pub(crate) lead_ms: [u64; 2],
}

impl LagScore {
    pub(crate) fn add(&mut self, other: &Self) {
        let sum = |mine: &mut [u64; 2], theirs: &[u64; 2]| {
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                *mine = mine.saturating_add(*theirs);
            }
        };
        sum(&mut self.first, &other.first);
        sum(&mut self.only, &other.only);
        sum(&mut self.late, &other.late);
        sum(&mut self.lead_ms, &other.lead_ms);
    }

    /// Shows an object for each of the two.
    pub(crate) fn show(&self, sheet: &mut dyn Sheet) {
        sheet.part(&FIRST, |sheet| sheet.table(FIRST_ROWS, self));
        sheet.part(&SECOND, |sheet| sheet.table(SECOND_ROWS, self));
    }
}

type Score = Entry<LagScore>;

const CHANGES: &str = "Changes that each connection of a pair brought, by how it compares.";
const LEAD: &str = "By how much each connection of a pair was first, all changes together.";
static FIRST: Part = Part::new("first_connection", "What the first one brought.");
static SECOND: Part = Part::new("second_connection", "What the second one brought.");

/// The rows of one of the two.
macro_rules! score_rows {
    ($name:ident, $index:literal, $connection:literal) => {
        static $name: &[Score] = &[
            Score::counter(
                "first",
                "polypy_replica_changes_total",
                "Changes it brought before the other did.",
                |score| score.first[$index].into(),
            )
            .label(concat!(
                "connection=\"",
                $connection,
                "\",arrival=\"first\""
            ))
            .family(CHANGES),
            Score::counter(
                "only",
                "polypy_replica_changes_total",
                "Changes the other never brought.",
                |score| score.only[$index].into(),
            )
            .label(concat!("connection=\"", $connection, "\",arrival=\"only\""))
            .family(CHANGES),
            Score::counter(
                "late",
                "polypy_replica_changes_total",
                "Changes it brought too late, or never.",
                |score| score.late[$index].into(),
            )
            .label(concat!("connection=\"", $connection, "\",arrival=\"late\""))
            .family(CHANGES),
            Score::counter(
                "lead_ms",
                "polypy_replica_lead_seconds_total",
                "By how much it was first, all changes together.",
                |score| score.lead_ms[$index].into(),
            )
            .label(concat!("connection=\"", $connection, "\""))
            .family(LEAD)
            .unit(Unit::Millis),
        ];
    };
}
score_rows!(FIRST_ROWS, 0, "first");
score_rows!(SECOND_ROWS, 1, "second");

/// One pair of connections.
#[derive(Debug)]
pub(crate) struct LagComparison(Mutex<State>);

#[derive(Debug)]
struct State {
    waiting: HashMap<u64, Waiting>,
    /// Everything that waits or waited, oldest first.
    order: VecDeque<(Instant, u64)>,
    /// How many at the front of `order` are past the limit.
    past_limit: usize,
    score: LagScore,
    window: Window,
    /// Since when each replica has had its socket and its books.
    fit_since: [Option<Instant>; 2],
    rests_until: Option<Instant>,
}

#[derive(Debug)]
struct Waiting {
    replica: Replica,
    since: Instant,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    /// Changes each replica brought in time.
    timely: [u64; 2],
    late: [u64; 2],
    /// Whether it was fit to be judged all the time.
    fit: [bool; 2],
}

impl Window {
    fn new(now: Instant) -> Self {
        Self {
            since: now,
            timely: [0; 2],
            late: [0; 2],
            fit: [true; 2],
        }
    }
}

impl LagComparison {
    pub(crate) fn new(now: Instant) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            waiting: HashMap::new(),
            order: VecDeque::new(),
            past_limit: 0,
            score: LagScore::default(),
            window: Window::new(now),
            fit_since: [None; 2],
            rests_until: None,
        })))
    }

    /// One replica brought these.
    pub(crate) fn report(&self, replica: Replica, events: &[MarketEvent], now: Instant) {
        let mut state = self.0.lock();
        for event in events {
            if let MarketEvent::PriceChange(change) = event {
                state.brought(replica, fingerprint(change), now);
            }
        }
    }

    /// Looks at what has waited; the replica that trails, if one does. `fit` says
    /// who has a socket and its books.
    pub(crate) fn judge(
        &self,
        fit: [bool; 2],
        limit: Duration,
        window: Duration,
        now: Instant,
    ) -> Option<Replica> {
        let mut state = self.0.lock();
        for (at, fit) in fit.into_iter().enumerate() {
            state.window.fit[at] &= fit;
            let since = state.fit_since[at].unwrap_or(now);
            state.fit_since[at] = fit.then_some(since);
        }
        state.age(limit, now);
        if now.saturating_duration_since(state.window.since) < window + limit {
            return None;
        }
        let judged = std::mem::replace(&mut state.window, Window::new(now));
        if state.rests_until.is_some_and(|until| now < until) {
            return None;
        }
        let trails = |replica: &Replica| {
            let at = replica.index();
            let late = judged.late[at];
            judged.fit[at] && late >= ENOUGH && late > judged.timely[at]
        };
        let found = [Replica::First, Replica::Second].into_iter().find(trails)?;
        state.rests_until = Some(now + REST);
        Some(found)
    }

    /// The comparison is over: what has waited past the limit comes no more.
    pub(crate) fn end(&self, limit: Duration, now: Instant) -> LagScore {
        let mut state = self.0.lock();
        while let Some((since, _)) = state.order.front()
            && now.saturating_duration_since(*since) >= limit
        {
            state.drop_oldest();
        }
        state.score
    }

    pub(crate) fn score(&self) -> LagScore {
        self.0.lock().score
    }
}

impl State {
    fn brought(&mut self, replica: Replica, fingerprint: u64, now: Instant) {
        match self.waiting.get(&fingerprint) {
            // A copy on the same socket.
            Some(waiting) if waiting.replica == replica => {}
            Some(waiting) => {
                let lead = millis(now.saturating_duration_since(waiting.since));
                let first = replica.other().index();
                self.score.first[first] += 1;
                self.score.lead_ms[first] = self.score.lead_ms[first].saturating_add(lead);
                self.waiting.remove(&fingerprint);
                self.window.timely[first] += 1;
                // Late ones were counted when they became late.
                self.window.timely[replica.index()] += 1;
            }
            None => {
                while self.waiting.len() >= MOST_WAITING && !self.order.is_empty() {
                    self.drop_oldest();
                }
                self.waiting.insert(
                    fingerprint,
                    Waiting {
                        replica,
                        since: now,
                    },
                );
                self.order.push_back((now, fingerprint));
            }
        }
        // Those that were matched leave their place in the order for later.
        while self.order.len() > 2 * MOST_WAITING {
            self.drop_oldest();
        }
    }

    /// Counts those past the limit, and lets go of those past hope.
    fn age(&mut self, limit: Duration, now: Instant) {
        while let Some((since, fingerprint)) = self.order.get(self.past_limit).copied()
            && now.saturating_duration_since(since) >= limit
        {
            self.past_limit += 1;
            let waiting = self.waiting.get(&fingerprint);
            if let Some(waiting) = waiting.filter(|waiting| waiting.since == since) {
                let missing = waiting.replica.other().index();
                if self.fit_since[missing].is_some_and(|fit| fit <= since) {
                    self.window.late[missing] += 1;
                    self.score.late[missing] += 1;
                }
            }
        }
        while let Some((since, _)) = self.order.front()
            && now.saturating_duration_since(*since) >= NEVER
        {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some((since, fingerprint)) = self.order.pop_front() else {
            return;
        };
        self.past_limit = self.past_limit.saturating_sub(1);
        let waiting = self.waiting.get(&fingerprint);
        if let Some(waiting) = waiting.filter(|waiting| waiting.since == since) {
            self.score.only[waiting.replica.index()] += 1;
            self.waiting.remove(&fingerprint);
        }
    }
}

/// A connection's replica of a comparison, for as long as someone holds it.
#[derive(Debug, Default)]
pub(super) struct LagReporter(Option<(Weak<LagComparison>, Replica)>);

impl LagReporter {
    pub(super) fn begin(&mut self, comparison: &Arc<LagComparison>, replica: Replica) {
        self.0 = Some((Arc::downgrade(comparison), replica));
    }

    pub(super) fn report(&mut self, events: &[MarketEvent], now: Instant) {
        let Some((comparison, replica)) = &self.0 else {
            return;
        };
        match comparison.upgrade() {
            Some(comparison) => comparison.report(*replica, events, now),
            None => self.0 = None,
        }
    }
}

#[cfg(test)]
#[path = "lag_tests.rs"]
mod tests;
