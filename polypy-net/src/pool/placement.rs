//! The owner's work on who carries what: ended markets off, pending ones on,
//! connections that carry nothing closed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use polypy_core::{AssetInfo, AssetKey, FeedId};
use tokio::time::Instant;

use crate::connection::Role;
use crate::registry::{ConnectionId, PendingMarket};

use super::config::PoolConfig;
use super::owner::Owner;
use super::slow_consumer::Verdict;

/// Assets that a connection must hold to be split: eight markets. The busiest two
/// of the venue's share a socket without trouble.
const SPLIT_FLOOR: usize = 16;

/// Markets asked of the registry at a time.
const ROUND: usize = 1_000;

impl Owner {
    /// Has all connections let go of what is forgotten: both of a hand-over, of a merge
    /// and of a pair carry it.
    pub(super) fn drop_forgotten(&mut self) {
        let forgotten = self.shared.registry.take_abandoned();
        if forgotten.is_empty() {
            return;
        }
        for slot in self.slots.values_mut() {
            let carried = |key: &&AssetKey| slot.members.contains_key(key);
            let carried: Vec<_> = forgotten.iter().filter(carried).copied().collect();
            if !carried.is_empty() {
                slot.remove(&carried);
            }
        }
        for key in &forgotten {
            self.newer_than.remove(key);
        }
    }

    pub(super) fn drop_expired(&mut self) {
        if !self.shared.config.unsubscribe_expired {
            return;
        }
        let ids: Vec<_> = self.slots.keys().copied().collect();
        for id in ids {
            if self.shared.registry.load(id).expired == 0 {
                continue;
            }
            let expired = self.shared.registry.expired_on(id);
            let keys: Vec<_> = expired.iter().map(|info| info.key).collect();
            self.shared.registry.release(&keys);
            // While a connection is handed over both of them carry the asset.
            let partners = self.hand_overs.iter().filter_map(|hand_over| {
                [
                    (hand_over.from, hand_over.to),
                    (hand_over.to, hand_over.from),
                ]
                .into_iter()
                .find_map(|(one, other)| (one == id).then_some(other))
            });
            // So do two that are made one; and where a token is on two, the other one.
            let merging = self.merges.of(id);
            let merging = merging
                .into_iter()
                .flat_map(|merge| [merge.from, merge.into]);
            let others = self.replicas.other_of(id).into_iter().chain(merging);
            for id in std::iter::once(id).chain(partners).chain(others) {
                if let Some(slot) = self.slots.get_mut(&id) {
                    slot.remove(&keys);
                }
            }
        }
    }

    /// Moves half of the markets off a connection that the venue keeps closing
    /// for being too slow.
    pub(super) fn split_overwhelmed(&mut self, now: Instant) {
        let PoolConfig {
            slow_consumer_window: window,
            target,
            ..
        } = self.shared.config;
        let slots = &self.slots;
        self.slow_consumers.retain(|id| slots.contains_key(&id));
        for (id, slot) in slots {
            let closes = slot.state.slow_consumer_closes();
            self.slow_consumers.note(*id, closes, now);
        }
        for (id, verdict) in self.slow_consumers.judge(slots.len(), window, now) {
            match verdict {
                Verdict::Calm => {}
                Verdict::Full | Verdict::Split => self.merges.put_off(now, &self.shared.config),
            }
            let Some(slot) = self.slots.get_mut(&id) else {
                continue;
            };
            // What it holds already was too much once: nothing more goes on it.
            slot.target = match verdict {
                Verdict::Calm => target,
                Verdict::Full | Verdict::Split => slot.target.min(slot.members.len()),
            };
            if verdict != Verdict::Split || slot.migrating || slot.closing {
                continue;
            }
            let second = slot.second;
            // What is too much for one of a pair is too much for the other.
            let id = match self.replicas.other_of(id).filter(|_| second) {
                Some(first) => first,
                None => id,
            };
            let Some(slot) = self.slots.get_mut(&id) else {
                continue;
            };
            if slot.migrating || slot.closing {
                continue;
            }
            let half = slot.upper_half();
            // As few as that are no load: it is the venue that is slow.
            if half.is_empty() || slot.members.len() < SPLIT_FLOOR {
                continue;
            }
            slot.target = slot.members.len() - half.len();
            tracing::info!(
                connection = %id,
                moved = half.len(),
                kept = slot.target,
                "connection is too much for one socket: splitting it"
            );
            slot.connection.depart(&half);
            self.shared.count(|counts| counts.splits += 1);
        }
    }

    pub(super) fn place_pending(&mut self) {
        loop {
            let pending = self.shared.registry.pending(ROUND);
            if pending.is_empty() {
                self.newer_than.clear();
                return;
            }
            let mut free: VecDeque<_> = self
                .slots
                .iter()
                .map(|(id, slot)| (*id, slot.room(slot.target, FeedId::default())))
                .filter(|(_, room)| *room > 0)
                .collect();
            let mut plan: BTreeMap<ConnectionId, Vec<Arc<AssetInfo>>> = BTreeMap::new();
            for market in pending {
                for part in market.assets.chunks(self.shared.config.cap.max(1)) {
                    let id = self.choose(&market, part, &mut free);
                    if let Some(slot) = self.slots.get_mut(&id) {
                        for info in part {
                            slot.members.insert(info.key, Arc::clone(info));
                        }
                    }
                    plan.entry(id).or_default().extend(part.iter().cloned());
                }
            }
            for (id, assets) in plan {
                let keys: Vec<_> = assets.iter().map(|info| info.key).collect();
                self.shared.registry.assign(&keys, id);
                for key in &keys {
                    self.newer_than.remove(key);
                }
                if let Some(slot) = self.slots.get_mut(&id) {
                    slot.add(&assets);
                    // Forgotten since they were found pending: nobody would ever say so.
                    let registry = &self.shared.registry;
                    let mut gone = keys;
                    gone.retain(|key| registry.status(*key).is_none());
                    if !gone.is_empty() {
                        slot.remove(&gone);
                    }
                }
            }
        }
    }

    /// The connection for some tokens of one market: where its other tokens
    /// are, else the first with room, else a new one.
    fn choose(
        &mut self,
        market: &PendingMarket,
        part: &[Arc<AssetInfo>],
        free: &mut VecDeque<(ConnectionId, usize)>,
    ) -> ConnectionId {
        let newer_than = part
            .iter()
            .filter_map(|info| self.newer_than.get(&info.key).copied())
            .max()
            .unwrap_or_default();
        let cap = self.shared.config.cap;
        let sibling = market.connection.filter(|id| {
            let slot = self.slots.get(id);
            slot.is_some_and(|slot| slot.room(cap, newer_than) >= part.len())
        });
        if let Some(id) = sibling {
            return id;
        }
        if newer_than == FeedId::default() {
            while let Some((id, room)) = free.front_mut() {
                if *room >= part.len() {
                    *room -= part.len();
                    return *id;
                }
                free.pop_front();
            }
        } else {
            let young = self
                .slots
                .iter()
                .find(|(_, slot)| slot.room(slot.target, newer_than) >= part.len());
            if let Some((&id, _)) = young {
                if let Some((_, room)) = free.iter_mut().find(|(other, _)| *other == id) {
                    *room = room.saturating_sub(part.len());
                }
                return id;
            }
        }
        let id = self.open(Role::Serving);
        let room = self.shared.config.target.saturating_sub(part.len());
        free.push_back((id, room));
        id
    }

    pub(super) fn close_empty(&mut self) {
        for slot in self.slots.values_mut() {
            if slot.members.is_empty() && !slot.migrating && !slot.closing {
                slot.closing = true;
                slot.connection.close();
            }
        }
    }
}
