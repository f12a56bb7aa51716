//! What changes of tokens, merged, wait for a client of conflated streams that is behind.
//!
//! Nothing but where something changed: what it is now the client is told once it reads.

use std::collections::{BTreeMap, HashMap};

use polypy_core::{Price, Side};

use crate::message::{Conflated, Event};

/// Levels of a token that are merged; past it a snapshot is shorter.
const MOST_LEVELS: usize = 256;
/// Levels of all tokens that are merged for one client: half a megabyte.
const MOST_LEVELS_TOGETHER: usize = 65_536;

/// The tokens of a client that wait, and what of each.
#[derive(Debug, Default)]
pub(super) struct Merged {
    tokens: HashMap<u32, Behind>,
    /// The tokens in the order in which they fell behind: each has its turn.
    order: BTreeMap<u64, u32>,
    next: u64,
    levels: usize,
}

/// The changes of a token that wait.
#[derive(Debug, Default)]
pub(super) struct Behind {
    turn: u64,
    /// The sequence that the client has; `None`: no delta waits.
    pub(super) previous: Option<u64>,
    /// Where something changed.
    pub(super) levels: Vec<(Side, Price)>,
    pub(super) deltas: Waiting,
    pub(super) tops: Waiting,
    /// How far to trust it is another answer.
    pub(super) has_state: bool,
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
        self.count = self.count.saturating_add(1);
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

impl Merged {
    pub(super) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Levels that wait.
    #[cfg(test)]
    pub(super) fn levels(&self) -> usize {
        self.levels
    }

    /// Notes what a message says of a token that the client does not get. `false`: these
    /// are more levels than are merged, and a snapshot has to come.
    #[must_use]
    pub(super) fn note(&mut self, token: u32, event: &Event) -> bool {
        let behind = self.tokens.entry(token).or_insert_with(|| {
            self.next += 1;
            self.order.insert(self.next, token);
            Behind {
                turn: self.next,
                ..Behind::default()
            }
        });
        match event {
            Event::Delta(delta) => {
                // What is taken back is older than what waits.
                let previous = behind.previous.unwrap_or(delta.previous);
                behind.previous = Some(previous.min(delta.previous));
                behind.deltas.note(delta.conflated);
                for change in &delta.changes {
                    let level = (change.side, change.price);
                    if !behind.levels.contains(&level) {
                        behind.levels.push(level);
                        self.levels += 1;
                    }
                }
            }
            Event::Top(top) => behind.tops.note(top.conflated),
            Event::State(_) => behind.has_state = true,
            _ => {}
        }
        behind.levels.len() <= MOST_LEVELS && self.levels <= MOST_LEVELS_TOGETHER
    }

    /// What waits of a token, which waits no longer.
    pub(super) fn remove(&mut self, token: u32) -> Option<Behind> {
        let behind = self.tokens.remove(&token)?;
        self.order.remove(&behind.turn);
        self.levels -= behind.levels.len();
        Some(behind)
    }

    /// The token whose turn it is after this one, and that turn.
    pub(super) fn after(&self, turn: u64) -> Option<(u64, u32)> {
        let mut later = self.order.range(turn + 1..);
        later.next().map(|(turn, token)| (*turn, *token))
    }
}
