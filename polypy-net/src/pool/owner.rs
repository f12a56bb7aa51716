//! The one task that decides who carries what.
//!
//! Everything that moves an asset goes through here, one step at a time: that
//! is why placement, expiry, splits, hand-overs and lost connections cannot
//! contradict each other. It never waits for a connection: it tells, and looks
//! again when something changed (see [`Owner::run`]).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use polypy_core::{AssetInfo, AssetKey, FeedId, StaleReason};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::connection::{Connection, ConnectionStats, Role};
use crate::registry::{AssetStatus, ConnectionId, PendingMarket};

use super::Shared;
use super::migration::{HandOver, Migration, Move, RecycleError};
use super::slot::Slot;

/// The safety net under the wake-ups: should one ever be missing, this is how
/// late the change is seen.
const TICK: Duration = Duration::from_secs(1);
/// How often what connections hold is compared with the registry.
const RECONCILE: Duration = Duration::from_secs(30);
/// Markets placed between two looks at everything else.
const ROUND: usize = 1_000;

/// A wish to replace a connection.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) connection: ConnectionId,
    pub(super) reply: oneshot::Sender<Result<Migration, RecycleError>>,
}

/// The owner of all connections.
#[derive(Debug)]
pub(super) struct Owner {
    shared: Arc<Shared>,
    slots: BTreeMap<ConnectionId, Slot>,
    tasks: JoinSet<()>,
    by_task: HashMap<Id, ConnectionId>,
    hand_overs: Vec<HandOver>,
    /// For assets that come from another connection: the last feed that served
    /// them. Gone as soon as they are placed.
    floors: HashMap<AssetKey, FeedId>,
    reconciled: Instant,
}

impl Owner {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            slots: BTreeMap::new(),
            tasks: JoinSet::new(),
            by_task: HashMap::new(),
            hand_overs: Vec::new(),
            floors: HashMap::new(),
            reconciled: Instant::now(),
        }
    }

    /// Works until told to stop, then ends every connection.
    pub(super) async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        mut stop: oneshot::Receiver<()>,
    ) {
        let shared = Arc::clone(&self.shared);
        let resync = &shared.context.venue().resync;
        loop {
            let again = self.pass(Instant::now());
            tokio::select! {
                biased;
                // A dropped sender means the same.
                _ = &mut stop => break,
                joined = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => {
                    if let Some(joined) = joined {
                        self.reap(joined);
                    }
                }
                request = requests.recv() => match request {
                    Some(request) => self.begin(request),
                    None => break,
                },
                () = shared.registry.changed().notified() => {}
                () = resync.wished() => {}
                () = shared.context.progressed() => {}
                () = sleep_until(again) => {}
            }
        }
        self.end().await;
    }

    /// Everything that is to be done now; when to look again at the latest.
    fn pass(&mut self, now: Instant) -> Instant {
        self.drop_expired();
        self.split_overwhelmed(now);
        self.collect_departed();
        self.place_pending();
        if now.saturating_duration_since(self.reconciled) >= RECONCILE {
            self.reconciled = now;
            self.reconcile();
        }
        self.close_empty();
        let again = (now + TICK).min(self.drive_hand_overs(now));
        self.grant_resyncs(now)
            .map_or(again, |next| next.min(again))
    }

    fn drop_expired(&mut self) {
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
            for id in std::iter::once(id).chain(partners) {
                if let Some(slot) = self.slots.get_mut(&id) {
                    slot.remove(&keys);
                }
            }
        }
    }

    /// Moves half of the markets off a connection that the venue keeps closing
    /// for being too slow.
    fn split_overwhelmed(&mut self, now: Instant) {
        let window = self.shared.config.slow_consumer_window;
        for (id, slot) in &mut self.slots {
            if slot.migrating || slot.closing || !slot.is_overwhelmed(now, window) {
                continue;
            }
            let half = slot.upper_half();
            if half.is_empty() {
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

    /// Assets that left their connection wait for another one.
    fn collect_departed(&mut self) {
        for slot in self.slots.values_mut() {
            let (departed, floor) = slot.connection.stats().take_departed();
            if departed.is_empty() {
                continue;
            }
            for key in &departed {
                slot.members.remove(key);
                self.floors.insert(*key, floor);
            }
            self.shared.registry.release(&departed);
        }
    }

    fn place_pending(&mut self) {
        loop {
            let pending = self.shared.registry.pending(ROUND);
            if pending.is_empty() {
                self.floors.clear();
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
                    self.floors.remove(key);
                }
                if let Some(slot) = self.slots.get_mut(&id) {
                    slot.add(&assets);
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
        let floor = part
            .iter()
            .filter_map(|info| self.floors.get(&info.key).copied())
            .max()
            .unwrap_or_default();
        let cap = self.shared.config.cap;
        let sibling = market.connection.filter(|id| {
            let slot = self.slots.get(id);
            slot.is_some_and(|slot| slot.room(cap, floor) >= part.len())
        });
        if let Some(id) = sibling {
            return id;
        }
        if floor == FeedId::default() {
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
                .find(|(_, slot)| slot.room(slot.target, floor) >= part.len());
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

    /// Compares what connections hold with what the registry says: it may have
    /// forgotten assets without expiring them first.
    fn reconcile(&mut self) {
        for (&id, slot) in &mut self.slots {
            if slot.migrating || slot.closing {
                continue;
            }
            let gone: Vec<_> = slot
                .members
                .keys()
                .copied()
                .filter(|key| self.shared.registry.connection_of(*key) != Some(id))
                .collect();
            if !gone.is_empty() {
                slot.remove(&gone);
            }
        }
    }

    fn close_empty(&mut self) {
        for slot in self.slots.values_mut() {
            if slot.members.is_empty() && !slot.migrating && !slot.closing {
                slot.closing = true;
                slot.connection.close();
            }
        }
    }

    fn grant_resyncs(&mut self, now: Instant) -> Option<Instant> {
        let due = self.shared.context.venue().resync.take(now);
        let mut by_slot: BTreeMap<ConnectionId, Vec<(AssetKey, StaleReason)>> = BTreeMap::new();
        for (key, reason) in due.assets {
            // On no connection: its next subscription brings a snapshot.
            if let Some(id) = self.shared.registry.connection_of(key) {
                by_slot.entry(id).or_default().push((key, reason));
            }
        }
        for (id, assets) in by_slot {
            if let Some(slot) = self.slots.get(&id) {
                slot.connection.resubscribe(&assets);
            }
        }
        due.next
    }

    fn begin(&mut self, request: Request) {
        let Request { connection, reply } = request;
        let refusal = match self.slots.get(&connection) {
            None => Some(RecycleError::Unknown(connection)),
            Some(slot) if slot.closing => Some(RecycleError::Unknown(connection)),
            Some(slot) if slot.migrating => Some(RecycleError::UnderWay(connection)),
            Some(slot) if slot.members.is_empty() => Some(RecycleError::Empty(connection)),
            Some(_) => None,
        };
        if let Some(error) = refusal {
            answer(reply, Err(error));
            return;
        }
        let to = self.open(Role::Replacement);
        let mut target = self.shared.config.target;
        let mut assets = Vec::new();
        if let Some(old) = self.slots.get_mut(&connection) {
            old.migrating = true;
            target = old.target;
            assets.extend(old.members.values().cloned());
        }
        // Dead weight stays behind.
        assets
            .retain(|info| self.shared.registry.status(info.key) == Some(AssetStatus::Subscribed));
        if let Some(new) = self.slots.get_mut(&to) {
            new.migrating = true;
            new.target = target;
            new.add(&assets);
        }
        let now = Instant::now();
        let config = &self.shared.config;
        let hand_over = HandOver::new(connection, to, reply, now, config);
        self.hand_overs.push(hand_over);
    }

    /// When to look at them again.
    fn drive_hand_overs(&mut self, now: Instant) -> Instant {
        let mut again = now + TICK;
        for mut hand_over in std::mem::take(&mut self.hand_overs) {
            let ended = loop {
                let stats = |id| {
                    let slot: Option<&Slot> = self.slots.get(id);
                    slot.map(|slot| Arc::clone(slot.connection.stats()))
                };
                let old: Option<Arc<ConnectionStats>> = stats(&hand_over.from);
                let Some(new) = stats(&hand_over.to) else {
                    break Some(Err(RecycleError::Setback));
                };
                let assets = self
                    .slots
                    .get(&hand_over.to)
                    .map_or(0, |slot| slot.members.len());
                let config = &self.shared.config;
                match hand_over.next(old.as_deref(), &new, assets, now, config) {
                    Move::Wait(until) => {
                        again = again.min(until);
                        break None;
                    }
                    Move::Retire => {
                        if let Some(old) = self.slots.get(&hand_over.from) {
                            old.connection.retire();
                        }
                    }
                    Move::TakeOver => self.commit(&hand_over),
                    Move::Finish(migration) => break Some(Ok(migration)),
                    Move::Abort(error) => break Some(Err(error)),
                }
            };
            match ended {
                None => self.hand_overs.push(hand_over),
                Some(result) => self.conclude(hand_over, result),
            }
        }
        again
    }

    fn commit(&self, hand_over: &HandOver) {
        if let Some(new) = self.slots.get(&hand_over.to) {
            new.connection.take_over();
            self.shared.registry.assign(&new.keys(), hand_over.to);
        }
    }

    fn conclude(&mut self, hand_over: HandOver, result: Result<Migration, RecycleError>) {
        let loser = if hand_over.is_committed() {
            hand_over.from
        } else {
            hand_over.to
        };
        for id in [hand_over.from, hand_over.to] {
            if let Some(slot) = self.slots.get_mut(&id) {
                slot.migrating = false;
            }
        }
        if let Some(slot) = self.slots.get_mut(&loser) {
            slot.closing = true;
            slot.members.clear();
            slot.connection.close();
        }
        for id in [hand_over.from, hand_over.to] {
            if self.slots.get(&id).is_none_or(|slot| slot.closing) {
                self.let_go(id);
            }
        }
        match &result {
            Ok(migration) => tracing::info!(
                from = %migration.from,
                to = %migration.to,
                assets = migration.assets,
                took_ms = crate::connection::millis(migration.took),
                downtime_ms = crate::connection::millis(migration.downtime),
                "connection replaced"
            ),
            Err(error) => tracing::warn!(
                connection = %hand_over.from,
                error = error as &dyn std::error::Error,
                "connection not replaced"
            ),
        }
        answer(hand_over.reply, result);
    }

    fn open(&mut self, role: Role) -> ConnectionId {
        // A hand-over names its connections to the end, also one that is gone.
        let free = |id: &ConnectionId| {
            !self.slots.contains_key(id)
                && !self
                    .hand_overs
                    .iter()
                    .any(|hand_over| hand_over.from == *id || hand_over.to == *id)
        };
        let id = (0..=u32::MAX)
            .map(ConnectionId)
            .find(free)
            .unwrap_or(ConnectionId(u32::MAX));
        let context = Arc::clone(&self.shared.context);
        let (connection, life) = Connection::new(id, context, role);
        self.shared
            .connections
            .write()
            .insert(id, Arc::clone(connection.stats()));
        let task = self.tasks.spawn(life);
        self.by_task.insert(task.id(), id);
        self.slots
            .insert(id, Slot::new(connection, self.shared.config.target));
        self.shared.count(|counts| counts.opened += 1);
        id
    }

    /// A connection's task has ended. If it still carried something, that waits
    /// for another connection.
    fn reap(&mut self, joined: Result<(Id, ()), JoinError>) {
        let task = match &joined {
            Ok((task, ())) => *task,
            Err(error) => error.id(),
        };
        let Some(id) = self.by_task.remove(&task) else {
            return;
        };
        if let Err(error) = joined {
            tracing::error!(connection = %id, error = %error, "connection task failed");
            self.shared.count(|counts| counts.failed += 1);
        }
        self.shared.connections.write().remove(&id);
        self.shared.count(|counts| counts.closed += 1);
        if let Some(slot) = self.slots.remove(&id) {
            let floor = slot.connection.stats().last_feed();
            self.floors
                .extend(slot.keys().into_iter().map(|key| (key, floor)));
        }
        // Its replacement, if one is warming up, will take them.
        let is_handed_over = |hand_over: &HandOver| hand_over.from == id;
        if !self.hand_overs.iter().any(is_handed_over) {
            self.let_go(id);
        }
    }

    /// What the registry still has on a connection waits for another one.
    fn let_go(&self, id: ConnectionId) {
        let assets = self.shared.registry.assets_on(id);
        let keys: Vec<_> = assets.iter().map(|info| info.key).collect();
        self.shared.registry.release(&keys);
    }

    async fn end(mut self) {
        for slot in self.slots.values() {
            slot.connection.close();
        }
        for hand_over in std::mem::take(&mut self.hand_overs) {
            answer(hand_over.reply, Err(RecycleError::NotRunning));
        }
        while let Some(joined) = self.tasks.join_next_with_id().await {
            self.reap(joined);
        }
    }
}

fn answer(
    reply: oneshot::Sender<Result<Migration, RecycleError>>,
    result: Result<Migration, RecycleError>,
) {
    if reply.send(result).is_err() {
        tracing::debug!("nobody waits for the replacement any more");
    }
}
