//! Small connections made one, in calm: a pool that was split, or whose markets have
//! ended, is left with more sockets than its tokens need.
//!
//! ```text
//! idle ──(two that are small, calm for long)──► warming ──(a book for every asset)──► overlapping
//!                                                  │ socket lost, deadline                │ delivered
//!                                                  ▼                                      ▼
//!                                              given up: the smaller one serves on      merged: it closes
//! ```
//!
//! The larger one subscribes to what the smaller one carries and delivers both from
//! then on; a book has a copy of each feed, and is live while there is one. Only when
//! none is missing does the smaller one close: no book is stale for it, as in a
//! replacement ([`super::migration`]).
//!
//! One pair at a time. A close 1013 of a connection's own, and a merge that was given
//! up, put further merging off, ever longer: what was split for being too much, or left
//! a socket that kept its books back, must not be brought together again and again.
//!
//! Decides, and touches no connection: [`super::owner`] does what it says.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::doubled;
use crate::registry::ConnectionId;

use super::config::PoolConfig;
use super::migration::missing;
use super::slot::Slot;

/// The longest that merging is put off.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// Two connections, of which one takes over what the other carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Merge {
    pub(super) from: ConnectionId,
    pub(super) into: ConnectionId,
}

/// What the owner has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Nothing,
    /// Subscribe the one to what the other carries.
    Begin(Merge),
    /// Everything is the one's; close the other.
    Finish(Merge),
    /// The other serves on, and the one lets go of what is not its own.
    GiveUp(Merge),
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Warming { deadline: Instant },
    Overlapping { until: Instant },
}

/// The merging of one pool's connections.
#[derive(Debug, Default)]
pub(super) struct Merges {
    under_way: Option<(Merge, Phase)>,
    /// Times in a row that merging was put off.
    setbacks: u32,
    not_before: Option<Instant>,
}

impl Merges {
    /// A connection was closed for carrying too much, or a merge did not succeed.
    pub(super) fn put_off(&mut self, now: Instant, config: &PoolConfig) {
        let is_long_ago = |at: Instant| now.saturating_duration_since(at) >= LONGEST;
        if self.not_before.is_some_and(is_long_ago) {
            self.setbacks = 0;
        }
        let wait = doubled(config.merge_after, self.setbacks, LONGEST);
        self.setbacks = self.setbacks.saturating_add(1);
        self.not_before = Some(now + wait);
    }

    /// The merge that a connection is part of.
    pub(super) fn of(&self, id: ConnectionId) -> Option<Merge> {
        let (merge, _) = self.under_way?;
        (merge.from == id || merge.into == id).then_some(merge)
    }

    /// What to do now. Each step but [`Step::Nothing`] is given once.
    pub(super) fn next(
        &mut self,
        slots: &BTreeMap<ConnectionId, Slot>,
        now: Instant,
        config: &PoolConfig,
    ) -> Step {
        let Some((merge, phase)) = &mut self.under_way else {
            let is_put_off = self.not_before.is_some_and(|at| now < at);
            let pair = (!is_put_off).then(|| pair(slots, now, config)).flatten();
            let Some(merge) = pair else {
                return Step::Nothing;
            };
            let deadline = now + config.replace_deadline;
            self.under_way = Some((merge, Phase::Warming { deadline }));
            return Step::Begin(merge);
        };
        let merge = *merge;
        let into = slots.get(&merge.into);
        let Some(into) = into.filter(|slot| !slot.closing && slot.state.is_open()) else {
            self.under_way = None;
            self.put_off(now, config);
            return Step::GiveUp(merge);
        };
        let from = slots.get(&merge.from).map(|slot| &slot.state);
        let step = match *phase {
            Phase::Warming { deadline } => {
                // It says what it awaits before it says what it carries.
                let has_begun = into.state.carried() >= into.members.len();
                if has_begun && missing(from, &into.state) == 0 {
                    let until = now + config.overlap;
                    *phase = Phase::Overlapping { until };
                    Step::Nothing
                } else if now >= deadline {
                    Step::GiveUp(merge)
                } else {
                    Step::Nothing
                }
            }
            // What it delivered has to be applied first.
            Phase::Overlapping { until } if now < until => Step::Nothing,
            Phase::Overlapping { .. } => Step::Finish(merge),
        };
        match step {
            Step::Nothing | Step::Begin(_) => {}
            Step::Finish(_) => self.under_way = None,
            Step::GiveUp(_) => {
                self.under_way = None;
                self.put_off(now, config);
            }
        }
        step
    }
}

/// The smallest connection and the fullest that has room for it, if both have been
/// calm for long.
fn pair(slots: &BTreeMap<ConnectionId, Slot>, now: Instant, config: &PoolConfig) -> Option<Merge> {
    if slots.values().any(|slot| slot.migrating) {
        return None;
    }
    let is_calm = |slot: &&Slot| {
        let open = slot.state.open_since();
        let since = open.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let is_whole = slot.state.retryable().next().is_none();
        // One that was too much holds as little as it has for a while.
        let is_any = slot.target >= config.target;
        !slot.closing && !slot.second && is_any && is_whole && since >= config.merge_after
    };
    let mut calm: Vec<_> = slots
        .iter()
        .filter(|(_, slot)| is_calm(slot))
        .map(|(id, slot)| (slot.members.len(), *id))
        .collect();
    calm.sort_unstable();
    let (least, from) = *calm.first()?;
    if least == 0 || least * 2 > config.target {
        return None;
    }
    let fits = |(size, id): &&(usize, ConnectionId)| *id != from && size + least <= config.target;
    let (_, into) = calm.iter().rev().find(fits)?;
    Some(Merge { from, into: *into })
}

#[cfg(test)]
#[path = "merging_tests.rs"]
mod tests;
