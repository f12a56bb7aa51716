//! Sets of ids that a service may refuse, and how they are divided.
//!
//! A service refuses a set for its size (a firewall that takes no long address)
//! or for one id in it (on which the service itself fails). Nothing tells the
//! two apart but asking for parts, so a refused set is halved down to the id.
//!
//! | outcome of a set | what follows |
//! |---|---|
//! | accepted | the next set |
//! | refused, several ids | its halves; before the first set that is accepted, one of its ids alone |
//! | refused, one id, others accepted | the id is set aside: asked for alone, after a pause that doubles |
//! | two single ids refused, none accepted | the service is at fault: no more is asked, and the next question begins with one id |
//! | no answer | the same; after a time-out the next sets are half as large |
//!
//! What size was refused is remembered, and one twice as large as the present
//! one is tried every ten minutes. No I/O here: the caller says what came.

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;
use std::time::Duration;

use parking_lot::Mutex;
use polypy_core::metrics::{Counter, Entry, Part, Sheet};
use tokio::time::Instant;

use crate::reason::chain;

/// How long an id that was refused alone is left in peace at first. Gamma fails
/// on a market for seconds while it is being listed.
const PAUSE: Duration = Duration::from_secs(30);
/// The longest such pause: an id may be set aside in an outage, too.
const MAX_PAUSE: Duration = Duration::from_secs(600);
/// Between two tries of larger sets.
const GROWTH: Duration = Duration::from_secs(600);
/// Ids set aside at most. Beyond it they are asked for with all others.
const MOST_ASIDE: usize = 4_096;
/// Single ids that must be refused, and none accepted, before the service is
/// at fault and not the ids.
const WITNESSES: usize = 2;

/// Who is to blame for a request that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blame {
    /// What was asked: its size, or one id in it.
    Request,
    /// The service took too long, perhaps because of what was asked.
    Time,
    /// The service, or the way to it.
    Service,
}

/// What one service is known to refuse, shared by all who ask it.
#[derive(Debug)]
pub(crate) struct Batches<Id> {
    service: &'static str,
    /// Ids that a set may have at best.
    most: usize,
    state: Mutex<State<Id>>,
    refused: Counter,
}

#[derive(Debug)]
struct State<Id> {
    /// Ids that a set may have now.
    limit: usize,
    /// The limit to go back to once the service accepts anything again.
    suspended: Option<usize>,
    /// When a larger set may be tried.
    grow_at: Option<Instant>,
    aside: HashMap<Id, Aside>,
}

/// An id that was refused alone.
#[derive(Debug, Clone, Copy)]
struct Aside {
    until: Instant,
    pause: Duration,
}

/// One question while it is being asked, set by set.
#[derive(Debug)]
pub(crate) struct Division<'a, Id> {
    batches: &'a Batches<Id>,
    /// What is still to be asked; the last one is next.
    sets: Vec<Vec<Id>>,
    has_accepted: bool,
    /// Single ids refused before anything was accepted.
    witnesses: Vec<Id>,
    /// The limit to go back to if an id is found to be at fault.
    limit: usize,
    unanswered: Vec<Id>,
    is_told: bool,
}

impl<Id: Clone + Eq + Hash + Display> Batches<Id> {
    /// For a service that takes `most` ids at once by its own word.
    pub(crate) fn new(service: &'static str, most: usize) -> Self {
        let most = most.max(1);
        Self {
            service,
            most,
            state: Mutex::new(State {
                limit: most,
                suspended: None,
                grow_at: None,
                aside: HashMap::new(),
            }),
            refused: Counter::default(),
        }
    }

    /// Begins to ask for `ids`. Those set aside are left out, and unanswered;
    /// those whose pause is over are asked for alone, after the others.
    pub(crate) fn divide(&self, ids: &[Id], now: Instant) -> Division<'_, Id> {
        let mut state = self.state.lock();
        state.begin(self.most, now);
        let (mut together, mut sets, mut unanswered) = (Vec::new(), Vec::new(), Vec::new());
        for id in ids {
            match state.aside.get(id) {
                None => together.push(id.clone()),
                Some(aside) if aside.until > now => unanswered.push(id.clone()),
                Some(_) => sets.push(vec![id.clone()]),
            }
        }
        if !together.is_empty() {
            sets.push(together);
        }
        Division {
            batches: self,
            sets,
            has_accepted: false,
            witnesses: Vec::new(),
            limit: state.limit,
            unanswered,
            is_told: false,
        }
    }

    /// Until when an id is set aside, if it is.
    pub(crate) fn aside_until(&self, id: &Id, now: Instant) -> Option<Instant> {
        let state = self.state.lock();
        let until = state.aside.get(id)?.until;
        (until > now).then_some(until)
    }

    /// Shows an object of its numbers.
    pub(crate) fn show(&self, sheet: &mut dyn Sheet) {
        let figures = self.figures(Instant::now());
        sheet.part(&BATCHES, |sheet| sheet.table(ROWS, &figures));
    }

    fn figures(&self, now: Instant) -> Figures {
        let state = self.state.lock();
        let aside = state.aside.values().filter(|aside| aside.until > now);
        Figures {
            refused: self.refused.get(),
            set_aside: aside.count(),
            limit: state.limit,
        }
    }
}

#[derive(Debug)]
struct Figures {
    refused: u64,
    set_aside: usize,
    limit: usize,
}

type Shown = Entry<Figures>;

static BATCHES: Part = Part::new("batches", "Requests for many ids at once.");
static ROWS: &[Shown] = &[
    Shown::counter(
        "refused",
        "polypy_rest_batches_refused_total",
        "Requests for many ids that the service refused.",
        |figures| figures.refused.into(),
    ),
    Shown::gauge(
        "set_aside",
        "polypy_rest_ids_set_aside",
        "Ids left in peace because the service refuses each request with them.",
        |figures| figures.set_aside.into(),
    ),
    Shown::gauge(
        "limit",
        "polypy_rest_batch_limit_ids",
        "Ids that go into one request now.",
        |figures| figures.limit.into(),
    ),
];

impl<Id: Clone + Eq + Hash + Display> State<Id> {
    fn begin(&mut self, most: usize, now: Instant) {
        if self.grow_at.is_some_and(|at| at <= now) && self.suspended.is_none() {
            self.limit = self.limit.saturating_mul(2).min(most);
            self.grow_at = (self.limit < most).then(|| now + GROWTH);
        }
        // Its caller has long forgotten it.
        self.aside
            .retain(|_, aside| now.saturating_duration_since(aside.until) < MAX_PAUSE);
    }

    fn lower(&mut self, limit: usize, now: Instant) {
        let limit = limit.max(1);
        if limit < self.limit {
            self.limit = limit;
            self.grow_at = Some(now + GROWTH);
        }
    }

    /// How long the id is left in peace; `None` if there is no room to remember it.
    fn set_aside(&mut self, id: &Id, now: Instant) -> Option<Duration> {
        if self.aside.len() >= MOST_ASIDE && !self.aside.contains_key(id) {
            return None;
        }
        let before = self.aside.get(id).map(|aside| aside.pause);
        let pause = before.map_or(PAUSE, |pause| (pause * 2).min(MAX_PAUSE));
        let until = now + pause;
        self.aside.insert(id.clone(), Aside { until, pause });
        Some(pause)
    }
}

impl<Id: Clone + Eq + Hash + Display> Division<'_, Id> {
    /// The set to ask for next. What came of it must be said before the next one.
    pub(crate) fn next(&mut self) -> Option<Vec<Id>> {
        let (limit, is_suspended) = {
            let state = self.batches.state.lock();
            (state.limit, state.suspended.is_some())
        };
        let mut set = self.sets.pop()?;
        if set.len() > limit {
            if is_suspended {
                // Any of them, lest one bad id always be the one that is tried.
                let any = fastrand::usize(..set.len());
                set.swap(0, any);
            }
            let rest = set.split_off(limit);
            self.sets.push(rest);
        }
        Some(set)
    }

    /// The service has answered for this set.
    pub(crate) fn accepted(&mut self, set: &[Id], now: Instant) {
        self.has_accepted = true;
        {
            let mut state = self.batches.state.lock();
            if let Some(limit) = state.suspended.take() {
                state.limit = limit;
                self.limit = limit;
            }
            for id in set {
                state.aside.remove(id);
            }
        }
        for id in std::mem::take(&mut self.witnesses) {
            self.set_aside(id, now);
        }
    }

    /// The service has not answered for this set. Whether no more is asked,
    /// because the service is at fault.
    pub(crate) fn failed(
        &mut self,
        mut set: Vec<Id>,
        blame: Blame,
        error: &(dyn std::error::Error + 'static),
        now: Instant,
    ) -> bool {
        match blame {
            Blame::Request => self.batches.refused.add_shared(1),
            Blame::Time | Blame::Service => {
                if blame == Blame::Time {
                    self.batches.state.lock().lower(set.len() / 2, now);
                }
                self.unanswered.append(&mut set);
                self.give_up();
                return true;
            }
        };
        if let [id] = set.as_slice() {
            if self.has_accepted {
                self.set_aside(id.clone(), now);
                return false;
            }
            self.witnesses.append(&mut set);
            let is_over = self.witnesses.len() >= WITNESSES;
            if is_over {
                let mut state = self.batches.state.lock();
                state.suspended = state.suspended.or(Some(self.limit));
                state.limit = 1;
                drop(state);
                self.give_up();
            }
            return is_over;
        }
        self.tell_refusal(set.len(), error);
        self.batches.state.lock().lower(set.len().div_ceil(2), now);
        let witness = (!self.has_accepted).then(|| {
            let any = fastrand::usize(..set.len());
            vec![set.swap_remove(any)]
        });
        let second = set.split_off(set.len().div_ceil(2));
        let halves = [second, set].into_iter().filter(|half| !half.is_empty());
        self.sets.extend(halves);
        self.sets.extend(witness);
        false
    }

    /// Ends the question: the ids that have no answer.
    pub(crate) fn finish(mut self, now: Instant) -> Vec<Id> {
        let is_suspended = self.batches.state.lock().suspended.is_some();
        for id in std::mem::take(&mut self.witnesses) {
            if is_suspended {
                self.unanswered.push(id);
            } else {
                // Asked for alone, and nobody there to compare it with.
                self.set_aside(id, now);
            }
        }
        self.unanswered
    }

    fn give_up(&mut self) {
        self.unanswered.append(&mut self.witnesses);
        self.unanswered.extend(self.sets.drain(..).flatten());
    }

    fn set_aside(&mut self, id: Id, now: Instant) {
        let pause = {
            let mut state = self.batches.state.lock();
            // The id was at fault, not the size of the sets it was in.
            state.limit = state.limit.max(self.limit);
            if state.limit >= self.batches.most {
                state.grow_at = None;
            }
            state.set_aside(&id, now)
        };
        if let Some(pause) = pause {
            tracing::warn!(
                service = self.batches.service,
                %id,
                pause_s = pause.as_secs(),
                "service refuses this id, it is set aside"
            );
        }
        self.unanswered.push(id);
    }

    /// One line for a question, however often it is divided.
    fn tell_refusal(&mut self, ids: usize, error: &(dyn std::error::Error + 'static)) {
        if !std::mem::replace(&mut self.is_told, true) {
            tracing::warn!(
                service = self.batches.service,
                ids,
                error = chain(error),
                "service refuses a batch, asking for parts of it"
            );
        }
    }
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
