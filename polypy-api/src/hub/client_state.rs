//! A client as the hub knows it: its subscriptions, and what it is owed.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use polypy_core::AssetKey;

use super::backlog::Backlog;
use super::behind::Merged;
use super::token::{Kind, Watcher};
use crate::filter::{Channel, Filter};
use crate::message::{Cause, Event, Published};
use crate::outbox::Outbox;

/// A client.
#[derive(Debug)]
pub(super) struct ClientState {
    pub(super) outbox: Arc<Outbox>,
    pub(super) subscriptions: Vec<Subscription>,
    /// How many of them have not taken in all their tokens.
    pub(super) joining: usize,
    /// Tokens of which nothing that happens is given: their opening is to come first, or
    /// what happened before.
    pub(super) held: HashMap<u32, Held>,
    /// Tokens whose opening is owed, in order. What is no longer in `held` is not.
    pub(super) due: VecDeque<u32>,
    /// What the client missed while it was away.
    pub(super) replay: Option<Replay>,
    /// What is merged for a client of conflated streams that is behind.
    pub(super) merged: Merged,
    /// What waits for it besides.
    pub(super) backlog: Backlog,
    /// The backlog is given before what is merged: they take turns, since for a client that
    /// is slow for good the first one fills the queue.
    pub(super) is_backlogs_turn: bool,
    /// When its queue was emptied lately.
    overflows: VecDeque<Instant>,
    pub(super) next_heartbeat: Instant,
}

/// A token of which something has to come first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    /// Its opening, for this cause; `None`: what happened before.
    pub(super) cause: Option<Cause>,
    /// The client has heard of it.
    pub(super) is_heard_of: bool,
}

/// A subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) id: u64,
    pub(super) filter: Filter,
    pub(super) tokens: HashSet<u32>,
    /// Those whose opening the client has not had; `None`: it is told that it has had all.
    pub(super) opening: Option<HashSet<u32>>,
    /// It has not taken in all its tokens.
    pub(super) is_joining: bool,
}

/// The messages since a cursor that are given first.
#[derive(Debug)]
pub(super) struct Replay {
    /// The subscription that goes on.
    pub(super) subscription: u64,
    /// Whose they are.
    pub(super) tokens: HashSet<u32>,
    /// Those that came since, and begin with their openings. The client may have heard of
    /// their trades before it went away: these are given, too.
    pub(super) new: HashSet<u32>,
    /// Whose markets' they are.
    pub(super) covered: HashSet<AssetKey>,
    /// It covers every market.
    pub(super) is_of_everything: bool,
    /// Which of them it wants.
    pub(super) watcher: Watcher,
    /// The last one that was looked at.
    pub(super) position: u64,
    /// It is known whose they are.
    pub(super) is_begun: bool,
}

/// So often within [`PATIENCE`] may a client be too slow.
const MOST_OVERFLOWS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);
/// Openings that are owed no longer and still stand in their queue, at most, beside as
/// many again as are owed.
const MOST_OVER: usize = 1_024;

impl Replay {
    /// Whether it gives messages of this kind of a token.
    pub(super) fn gives(&self, token: u32, kind: Kind) -> bool {
        let is_of_trades = matches!(kind, Kind::Trade | Kind::Gap { .. });
        self.tokens.contains(&token) || (is_of_trades && self.new.contains(&token))
    }
}

impl Subscription {
    /// Whether its tokens begin with a message each.
    pub(super) fn opens(&self) -> bool {
        let has = |channel| self.filter.channels.has(channel);
        has(Channel::Book) || has(Channel::Top) || has(Channel::State)
    }
}

impl ClientState {
    pub(super) fn new(outbox: Arc<Outbox>, next_heartbeat: Instant) -> Self {
        Self {
            outbox,
            subscriptions: Vec::new(),
            joining: 0,
            held: HashMap::new(),
            due: VecDeque::new(),
            replay: None,
            merged: Merged::default(),
            backlog: Backlog::default(),
            is_backlogs_turn: false,
            overflows: VecDeque::new(),
            next_heartbeat,
        }
    }

    pub(super) fn subscription(&self, id: u64) -> Option<&Subscription> {
        self.subscriptions.iter().find(|one| one.id == id)
    }

    /// Whether a round has something to give it, if it reads.
    pub(super) fn is_owed_something(&self) -> bool {
        !self.due.is_empty()
            || self.replay.is_some()
            || !self.merged.is_empty()
            || !self.backlog.is_empty()
    }

    /// Whether its place vouches for everything before it.
    pub(super) fn is_owed_nothing(&self) -> bool {
        self.held.is_empty()
            && self.merged.is_empty()
            && self.backlog.is_empty()
            && self.joining == 0
    }

    /// Whether none of its subscriptions can be resumed: what is merged is not kept.
    pub(super) fn is_merged_throughout(&self) -> bool {
        let mut all = self.subscriptions.iter();
        !self.subscriptions.is_empty() && all.all(|one| one.filter.mode.interval.is_some())
    }

    /// Whether it gets the books of any tokens.
    pub(super) fn has_books(&self) -> bool {
        let mut all = self.subscriptions.iter();
        all.any(|one| one.filter.channels.has(Channel::Book))
    }

    /// Whether a message of the token has to wait: for its opening, or for what happened
    /// before. A trade needs no opening, and so does a gap, in which trades may be.
    pub(super) fn holds(&mut self, token: u32, kind: Kind) -> bool {
        let Some(held) = self.held.get_mut(&token) else {
            return false;
        };
        let needs_opening = !matches!(kind, Kind::Trade | Kind::Gap { .. });
        let is_replayed = || {
            let replay = self.replay.as_ref();
            replay.is_some_and(|replay| replay.gives(token, kind))
        };
        let holds = needs_opening || is_replayed();
        held.is_heard_of |= !holds;
        holds
    }

    /// The token's opening is owed from now on.
    pub(super) fn owe(&mut self, token: u32, cause: Cause) {
        let before = self.held.get(&token);
        let was_heard_of = before.is_some_and(|held| held.is_heard_of);
        let held = Held {
            cause: Some(cause),
            is_heard_of: was_heard_of || cause != Cause::Subscribed,
        };
        self.held.insert(token, held);
        self.merged.remove(token);
        if self.due.len() > 2 * self.held.len() + MOST_OVER {
            // A client that reads nothing for long sees many tokens come and go.
            let held = &self.held;
            let mut seen = HashSet::new();
            let is_due = |token: &u32| held.contains_key(token) && seen.insert(*token);
            self.due.retain(is_due);
        }
        self.due.push_back(token);
    }

    /// Whether it is behind, so that a message of conflated streams has to wait.
    pub(super) fn is_behind(&self, message: &Published) -> bool {
        !self.merged.is_empty()
            || !self.backlog.is_empty()
            || !self.outbox.asks_for(message.bytes())
    }

    /// Keeps, of a message of conflated streams, what the client has to be told once it
    /// reads. How many trades, of which so many bytes may wait, are left out for it.
    pub(super) fn keep(&mut self, token: u32, message: &Arc<Published>, most: usize) -> u64 {
        match message.event() {
            // It stands for all that waits.
            Event::Snapshot(snapshot) => self.owe(token, snapshot.cause),
            Event::State(state) if state.state.is_none() => {
                self.merged.remove(token);
                return self.backlog.add(message, most);
            }
            event @ (Event::Delta(_) | Event::Top(_) | Event::State(_)) => {
                if !self.merged.note(token, event) {
                    self.owe(token, Cause::Backlog);
                }
            }
            event @ Event::Gap(gap) => {
                if let Some(key) = event.token() {
                    self.backlog.miss(key, gap);
                }
            }
            _ => return self.backlog.add(message, most),
        }
        0
    }

    /// The word that a subscription has had its openings was taken back.
    pub(super) fn is_not_ready(&mut self, id: u64) {
        let mut its = self.subscriptions.iter_mut();
        if let Some(one) = its.find(|one| one.id == id) {
            one.opening.get_or_insert_default();
        }
    }

    /// Openings that were taken back are owed by those subscriptions that are not ready.
    pub(super) fn open_again(&mut self) {
        let held = &self.held;
        for one in &mut self.subscriptions {
            if let Some(opening) = &mut one.opening {
                let its = one.tokens.iter().filter(|token| held.contains_key(token));
                opening.extend(its);
            }
        }
    }

    /// What waits was thrown away: everything begins again. `false`: that has happened
    /// too often.
    pub(super) fn begin_again(&mut self, now: Instant) -> bool {
        self.replay = None;
        self.merged = Merged::default();
        self.backlog = Backlog::default();
        self.due.clear();
        self.held.clear();
        let opening = self.subscriptions.iter().filter(|one| one.opens());
        let tokens: HashSet<u32> = opening.flat_map(|one| one.tokens.iter().copied()).collect();
        for token in tokens {
            self.owe(token, Cause::Gap);
        }
        self.overflows
            .retain(|at| now.saturating_duration_since(*at) < PATIENCE);
        self.overflows.push_back(now);
        self.overflows.len() < MOST_OVERFLOWS
    }

    /// The client has had a token's opening.
    pub(super) fn opened(&mut self, token: u32) {
        self.held.remove(&token);
        let opening = self.subscriptions.iter_mut();
        for opening in opening.filter_map(|one| one.opening.as_mut()) {
            opening.remove(&token);
        }
    }

    /// The subscriptions that have had all their openings since the last time.
    pub(super) fn take_ready(&mut self) -> Vec<u64> {
        let is_through = |opening: &HashSet<u32>| opening.is_empty();
        let through = self.subscriptions.iter_mut();
        through
            .filter(|one| !one.is_joining)
            .filter_map(|one| {
                one.opening
                    .take_if(|opening| is_through(opening))
                    .map(|_| one.id)
            })
            .collect()
    }

    /// Nothing of the token is wanted any more.
    pub(super) fn forget(&mut self, token: u32) {
        self.held.remove(&token);
        self.merged.remove(token);
        if let Some(replay) = &mut self.replay {
            replay.tokens.remove(&token);
            replay.new.remove(&token);
        }
    }
}
