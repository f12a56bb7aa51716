//! Two connections for each token: the second one of a pair carries what the
//! first carries, on a socket of its own, so that the two fail independently.
//!
//! The registry knows the first only. Whatever happens to its set is brought to
//! the second by comparing the two, at every pass; a pair is handed over one
//! connection at a time. The two are measured against each other, and the one
//! that trails is shown as such ([`ConnectionState::is_lagging`]): the recycler
//! replaces it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use polypy_core::{AssetInfo, AssetKey};
use tokio::time::Instant;

use crate::connection::{ConnectionState, LagComparison, LagScore, Replica, Role};
use crate::registry::ConnectionId;

use super::owner::Owner;

/// The pairs, by their first connection.
#[derive(Debug, Default)]
pub(super) struct ReplicaPairs {
    pairs: BTreeMap<ConnectionId, Pair>,
}

#[derive(Debug)]
struct Pair {
    second: ConnectionId,
    lag: Arc<LagComparison>,
}

/// What readers see of the pairs.
#[derive(Debug, Default)]
pub(super) struct ReplicaStats {
    running: BTreeMap<ConnectionId, (ConnectionId, Arc<LagComparison>)>,
    /// Of pairs that are no more.
    before: LagScore,
    lagging: u64,
}

impl ReplicaPairs {
    /// The other connection of a pair.
    pub(super) fn other_of(&self, id: ConnectionId) -> Option<ConnectionId> {
        let pairs = &mut self.pairs.iter();
        pairs.find_map(|(&first, pair)| match id {
            id if id == first => Some(pair.second),
            id if id == pair.second => Some(first),
            _ => None,
        })
    }

    /// Whether it is the second of a pair.
    pub(super) fn is_second(&self, id: ConnectionId) -> bool {
        self.pairs.values().any(|pair| pair.second == id)
    }
}

impl Owner {
    /// Brings every pair's second connection to what the first carries.
    pub(super) fn sync_replicas(&mut self) {
        if self.shared.config.replicas.get() < 2 {
            return;
        }
        self.release_replicas();
        let firsts: Vec<_> = self
            .slots
            .iter()
            .filter(|(id, slot)| !slot.second && !slot.closing && !self.is_incoming(**id))
            .filter(|(_, slot)| !slot.members.is_empty())
            .map(|(id, _)| *id)
            .collect();
        for first in firsts {
            let second = match self.replicas.other_of(first) {
                Some(second) => second,
                None => self.open_replica(first),
            };
            self.mirror(first, second);
        }
    }

    /// Judges every pair.
    pub(super) fn judge_replicas(&mut self, now: Instant) {
        let config = &self.shared.config;
        for (first, pair) in &self.replicas.pairs {
            let slots = [self.slots.get(first), self.slots.get(&pair.second)];
            let is_fit =
                |state: &ConnectionState| state.is_open() && state.retryable().next().is_none();
            let fit = slots.map(|slot| slot.is_some_and(|slot| is_fit(&slot.state)));
            let (limit, window) = (config.lag_limit, config.lag_window);
            let Some(replica) = pair.lag.judge(fit, limit, window, now) else {
                continue;
            };
            let [first, second] = slots;
            let trailing = match replica {
                Replica::First => first,
                Replica::Second => second,
            };
            let Some(trailing) = trailing.map(|slot| slot.connection.view()) else {
                continue;
            };
            let score = pair.lag.score();
            let (its, others) = (replica.index(), 1 - replica.index());
            tracing::warn!(
                connection = %trailing.id(),
                changes_first = score.first[its],
                changes_late = score.late[its],
                other_first = score.first[others],
                other_lead_ms = score.lead_ms[others],
                "connection trails the other one of its pair"
            );
            trailing.set_lagging();
            self.shared.replica_stats.lock().lagging += 1;
            self.shared.trailing.notify_one();
        }
    }

    /// One connection of a pair was replaced by another.
    pub(super) fn hand_replica_over(&mut self, from: ConnectionId, to: ConnectionId) {
        let Some(other) = self.replicas.other_of(from) else {
            return;
        };
        let second = self.replicas.is_second(from);
        self.part(if second { other } else { from });
        if second {
            self.pair(other, to);
        } else {
            self.pair(to, other);
        }
    }

    /// A connection is the replacement of another and not part of a pair yet.
    fn is_incoming(&self, id: ConnectionId) -> bool {
        self.hand_overs.iter().any(|hand_over| hand_over.to == id)
    }

    /// Lets go of pairs of which one is gone; a second without a first closes.
    fn release_replicas(&mut self) {
        let gone = |owner: &Self, id: ConnectionId| {
            let slot = owner.slots.get(&id);
            slot.is_none_or(|slot| slot.closing) && !owner.hand_overs.iter().any(|h| h.from == id)
        };
        let parted: Vec<_> = self
            .replicas
            .pairs
            .iter()
            .filter(|(first, pair)| gone(self, **first) || gone(self, pair.second))
            .map(|(first, _)| *first)
            .collect();
        for first in parted {
            self.part(first);
        }
        for (id, slot) in &mut self.slots {
            let paired = !slot.second || self.replicas.is_second(*id);
            if !paired && !slot.migrating && !slot.closing {
                slot.closing = true;
                slot.members.clear();
                slot.connection.close();
            }
        }
    }

    fn open_replica(&mut self, first: ConnectionId) -> ConnectionId {
        let second = self.open(Role::Serving);
        self.pair(first, second);
        second
    }

    fn pair(&mut self, first: ConnectionId, second: ConnectionId) {
        let (Some(one), Some(other)) = (self.slots.get(&first), self.slots.get(&second)) else {
            return;
        };
        let lag = LagComparison::new(Instant::now());
        one.connection.compare(&lag, Replica::First);
        other.connection.compare(&lag, Replica::Second);
        let [one, other] = [one.connection.view(), other.connection.view()];
        one.pair_with(other);
        other.pair_with(one);
        let pair = Pair {
            second,
            lag: Arc::clone(&lag),
        };
        self.replicas.pairs.insert(first, pair);
        let mut replicas = self.shared.replica_stats.lock();
        replicas.running.insert(first, (second, lag));
        drop(replicas);
        for (id, is_second) in [(first, false), (second, true)] {
            if let Some(slot) = self.slots.get_mut(&id) {
                slot.second = is_second;
            }
        }
    }

    fn part(&mut self, first: ConnectionId) {
        self.replicas.pairs.remove(&first);
        let limit = self.shared.config.lag_limit;
        self.shared.replica_stats.lock().part(first, limit);
    }

    fn mirror(&mut self, first: ConnectionId, second: ConnectionId) {
        let (Some(one), Some(other)) = (self.slots.get(&first), self.slots.get(&second)) else {
            return;
        };
        if other.migrating || other.members.keys().eq(one.members.keys()) {
            return;
        }
        let fresh: Vec<Arc<AssetInfo>> = one
            .members
            .iter()
            .filter(|(key, _)| !other.members.contains_key(key))
            .map(|(_, info)| Arc::clone(info))
            .collect();
        let gone: Vec<AssetKey> = other
            .members
            .keys()
            .copied()
            .filter(|key| !one.members.contains_key(key))
            .collect();
        if let Some(other) = self.slots.get_mut(&second) {
            if !fresh.is_empty() {
                other.add(&fresh);
            }
            if !gone.is_empty() {
                other.depart(&gone);
            }
        }
    }
}

impl ReplicaStats {
    fn part(&mut self, first: ConnectionId, limit: Duration) {
        if let Some((_, lag)) = self.running.remove(&first) {
            self.before.add(&lag.end(limit, Instant::now()));
        }
    }

    /// How often one was found to trail; all scores together; and each pair's.
    pub(super) fn read(&self) -> (u64, LagScore, Vec<([String; 2], LagScore)>) {
        let mut total = self.before;
        let pairs = self.running.iter().map(|(first, (second, lag))| {
            let score = lag.score();
            total.add(&score);
            ([first, second].map(ToString::to_string), score)
        });
        let pairs = pairs.collect();
        (self.lagging, total, pairs)
    }

    /// Nothing runs any more.
    pub(super) fn part_all(&mut self) {
        for (_, lag) in std::mem::take(&mut self.running).into_values() {
            self.before.add(&lag.score());
        }
    }
}
