//! A client as the hub knows it: its subscriptions, and what it is owed.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use polypy_core::{AssetKey, Price, Side};

use super::token::{Kind, Watcher};
use crate::filter::{Channel, Filter};
use crate::message::{Cause, Conflated, Event};
use crate::outbox::Outbox;

/// A client.
#[derive(Debug)]
pub(super) struct ClientState {
    pub(super) outbox: Arc<Outbox>,
    pub(super) subscriptions: Vec<Subscription>,
    /// Tokens of which nothing that happens is given: their opening, or what happened
    /// before, is to come first.
    pub(super) held: HashSet<u32>,
    /// Tokens whose opening is owed, and why. What is no longer in `held` is not.
    pub(super) due: VecDeque<(u32, Cause)>,
    /// What the client missed while it was away.
    pub(super) replay: Option<Replay>,
    /// What is merged for a client of conflated streams that is behind.
    pub(super) behind: HashMap<u32, Behind>,
    /// When its queue was emptied lately.
    overflows: VecDeque<Instant>,
    pub(super) next_heartbeat: Instant,
    /// Something was put into the outbox in this round.
    pub(super) is_touched: bool,
}

/// A subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) id: u64,
    pub(super) filter: Filter,
    pub(super) tokens: HashSet<u32>,
    /// Those whose opening the client has not had; `None`: it is told that it has had all.
    pub(super) opening: Option<HashSet<u32>>,
}

/// The messages since a cursor that are given first.
#[derive(Debug)]
pub(super) struct Replay {
    /// The subscription that goes on.
    pub(super) subscription: u64,
    /// Whose they are.
    pub(super) tokens: HashSet<u32>,
    /// Whose markets' they are.
    pub(super) covered: HashSet<AssetKey>,
    /// It covers every market.
    pub(super) is_of_everything: bool,
    /// Which of them it wants.
    pub(super) watcher: Watcher,
    /// The last one that was looked at.
    pub(super) position: u64,
}

/// The changes of a token that wait for a client that is behind.
#[derive(Debug, Default)]
pub(super) struct Behind {
    /// The sequence that the client has; `None`: no delta waits.
    pub(super) previous: Option<u64>,
    /// Where something changed.
    pub(super) levels: Vec<(Side, Price)>,
    pub(super) deltas: Waiting,
    pub(super) tops: Waiting,
}

/// Messages of which the client gets one.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    count: u32,
    /// As the newest says of itself.
    conflated: Option<Conflated>,
}

impl Waiting {
    fn note(&mut self, conflated: Option<Conflated>) {
        self.count += 1;
        self.conflated = conflated;
    }

    pub(super) fn is_any(&self) -> bool {
        self.count > 0
    }

    /// What the one is told to be: the only one is what it was.
    pub(super) fn conflated(&self) -> Option<Conflated> {
        match self.count {
            0 | 1 => self.conflated,
            _ => Some(Conflated::Backlog),
        }
    }
}

/// Levels that are merged for a client; past it a snapshot is shorter.
const MOST_MERGED: usize = 256;
/// So often within [`PATIENCE`] may a client be too slow.
const MOST_OVERFLOWS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

impl Subscription {
    /// Whether its tokens begin with a message each.
    pub(super) fn opens(&self) -> bool {
        let has = |channel| self.filter.channels.has(channel);
        has(Channel::Book) || has(Channel::Top) || has(Channel::State)
    }
}

impl Behind {
    /// Notes what a message says that the client does not get.
    fn note(&mut self, event: &Event) {
        match event {
            Event::Delta(delta) => {
                self.previous.get_or_insert(delta.previous);
                self.deltas.note(delta.conflated);
                for change in &delta.changes {
                    let level = (change.side, change.price);
                    if !self.levels.contains(&level) {
                        self.levels.push(level);
                    }
                }
            }
            Event::Top(top) => self.tops.note(top.conflated),
            _ => {}
        }
    }
}

impl ClientState {
    pub(super) fn new(outbox: Arc<Outbox>, next_heartbeat: Instant) -> Self {
        Self {
            outbox,
            subscriptions: Vec::new(),
            held: HashSet::new(),
            due: VecDeque::new(),
            replay: None,
            behind: HashMap::new(),
            overflows: VecDeque::new(),
            next_heartbeat,
            is_touched: false,
        }
    }

    pub(super) fn subscription(&self, id: u64) -> Option<&Subscription> {
        self.subscriptions.iter().find(|one| one.id == id)
    }

    /// Whether its place vouches for everything before it.
    pub(super) fn is_owed_nothing(&self) -> bool {
        self.held.is_empty() && self.behind.is_empty()
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
    pub(super) fn holds(&self, token: u32, kind: Kind) -> bool {
        let is_replayed = || {
            let replay = self.replay.as_ref();
            replay.is_some_and(|replay| replay.tokens.contains(&token))
        };
        let needs_opening = !matches!(kind, Kind::Trade | Kind::Gap { .. });
        self.held.contains(&token) && (needs_opening || is_replayed())
    }

    /// The token's opening is owed from now on.
    pub(super) fn owe(&mut self, token: u32, cause: Cause) {
        self.held.insert(token);
        self.behind.remove(&token);
        self.due.push_back((token, cause));
    }

    /// A message of a conflated stream: whether it is merged, because the client is
    /// behind.
    pub(super) fn merges(&mut self, token: u32, event: &Event) -> bool {
        if matches!(event, Event::Snapshot(_)) {
            // It replaces what waits.
            self.behind.remove(&token);
            return false;
        }
        if self.behind.is_empty() && self.outbox.asks_for_more() {
            return false;
        }
        let behind = self.behind.entry(token).or_default();
        behind.note(event);
        if behind.levels.len() > MOST_MERGED {
            self.owe(token, Cause::Backlog);
        }
        true
    }

    /// What waits was thrown away: everything begins again. `false`: that has happened
    /// too often.
    pub(super) fn begin_again(&mut self, now: Instant) -> bool {
        self.replay = None;
        self.behind.clear();
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
        self.behind.remove(&token);
        if let Some(replay) = &mut self.replay {
            replay.tokens.remove(&token);
        }
    }
}
