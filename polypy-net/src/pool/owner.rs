//! The one task that decides who carries what.
//!
//! Everything that moves an asset goes through here, one step at a time: that
//! is why placement, expiry, splits, hand-overs and lost connections cannot
//! contradict each other. It never waits for a connection: it tells, and looks
//! again when something changed (see [`Owner::run`]).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use polypy_core::{AssetInfo, AssetKey, FeedId, Scope, StaleReason};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::connection::{Connection, Role};
use crate::registry::{AssetStatus, ConnectionId};

use super::Shared;
use super::hand_over::answer;
use super::merging::{Merge, Merges, Step};
use super::migration::{HandOver, Migration, RecycleError};
use super::moving::Moves;
use super::replicas::ReplicaPairs;
use super::slot::Slot;
use super::slow_consumer::SlowConsumers;

/// The safety net under the wake-ups: should one ever be missing, this is how
/// late the change is seen.
pub(super) const TICK: Duration = Duration::from_secs(1);
/// How often histories that are over are forgotten.
const TIDY: Duration = Duration::from_secs(30);

/// A request to replace a connection.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) connection: ConnectionId,
    pub(super) reply: oneshot::Sender<Result<Migration, RecycleError>>,
}

/// The owner of all connections.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) shared: Arc<Shared>,
    pub(super) slots: BTreeMap<ConnectionId, Slot>,
    tasks: JoinSet<()>,
    by_task: HashMap<Id, ConnectionId>,
    pub(super) hand_overs: Vec<HandOver>,
    /// For assets that left a connection: its last feed, which the one that they go
    /// to has to be newer than. Gone as soon as they are placed.
    pub(super) newer_than: HashMap<AssetKey, FeedId>,
    pub(super) moves: Moves,
    pub(super) replicas: ReplicaPairs,
    pub(super) slow_consumers: SlowConsumers,
    pub(super) merges: Merges,
    /// Requests to replace a connection while the other one of its pair is being
    /// replaced.
    pub(super) deferred: Vec<Request>,
    tidied: Instant,
}

impl Owner {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let moves = Moves::new(&shared.config);
        Self {
            shared,
            slots: BTreeMap::new(),
            tasks: JoinSet::new(),
            by_task: HashMap::new(),
            hand_overs: Vec::new(),
            newer_than: HashMap::new(),
            moves,
            replicas: ReplicaPairs::default(),
            slow_consumers: SlowConsumers::default(),
            merges: Merges::default(),
            deferred: Vec::new(),
            tidied: Instant::now(),
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
                () = resync.requested() => {}
                () = shared.context.changes().noted() => {}
                () = sleep_until(again) => {}
            }
        }
        self.end().await;
    }

    /// Everything that is to be done now; when to look again at the latest.
    fn pass(&mut self, now: Instant) -> Instant {
        // At least once in a TICK, also without any connection.
        self.shared.context.beat();
        // First: everything below decides on the states as of this moment.
        self.note_changes();
        // Before anything is placed: a token may be back under another key.
        self.drop_forgotten();
        self.drop_expired();
        self.split_overwhelmed(now);
        self.move_exhausted(now);
        self.place_pending();
        if now.saturating_duration_since(self.tidied) >= TIDY {
            self.tidied = now;
            self.moves.tidy(now, &self.shared.config);
        }
        self.merge_small(now);
        self.begin_deferred();
        self.sync_replicas();
        self.judge_replicas(now);
        self.close_empty();
        self.tell_outages(now);
        let again = (now + TICK).min(self.drive_hand_overs(now));
        self.dispatch_resyncs(now)
            .map_or(again, |next| next.min(again))
    }

    fn tell_outages(&self, now: Instant) {
        let connections = self.shared.connections.read();
        let open = connections.values().filter(|view| view.is_open()).count();
        if let Some(report) = self.shared.context.outages().report(open, now) {
            report.log();
        }
    }

    /// Takes in what connections have changed of themselves since the last look.
    fn note_changes(&mut self) {
        for id in self.shared.context.changes().take() {
            let Some(slot) = self.slots.get_mut(&id) else {
                continue;
            };
            let (state, mut departed) = slot.connection.view().report();
            let last = state.last_feed();
            slot.state = state;
            // What the registry has elsewhere stays there: it was carried besides.
            let registry = &self.shared.registry;
            departed.retain(|key| registry.connection_of(*key).is_none_or(|on| on == id));
            // The second of a pair carries what the registry has on the first.
            if departed.is_empty() || slot.second {
                continue;
            }
            for key in &departed {
                slot.members.remove(key);
                self.newer_than.insert(*key, last);
            }
            self.shared.registry.release(&departed);
        }
    }

    fn merge_small(&mut self, now: Instant) {
        match self.merges.next(&self.slots, now, &self.shared.config) {
            Step::Nothing => {}
            Step::Begin(merge) => self.begin_merge(merge),
            Step::Finish(merge) => self.finish_merge(merge),
            Step::GiveUp(merge) => self.give_merge_up(merge),
        }
    }

    fn begin_merge(&mut self, Merge { from, into }: Merge) {
        let Some(small) = self.slots.get_mut(&from) else {
            return;
        };
        small.migrating = true;
        let live = |info: &&Arc<AssetInfo>| {
            self.shared.registry.status(info.key) == Some(AssetStatus::Subscribed)
        };
        let assets: Vec<_> = small.members.values().filter(live).cloned().collect();
        if let Some(large) = self.slots.get_mut(&into) {
            large.migrating = true;
            tracing::debug!(%from, %into, assets = assets.len(), "merging two small connections");
            large.add(&assets);
        }
    }

    fn finish_merge(&mut self, Merge { from, into }: Merge) {
        let keys: Vec<_> = self.shared.registry.assets_on(from);
        let carried = |key: &AssetKey| {
            let large = self.slots.get(&into);
            large.is_some_and(|large| large.members.contains_key(key))
        };
        // What came to an end meanwhile is on neither.
        let keys: Vec<_> = keys.iter().map(|info| info.key).filter(carried).collect();
        self.shared.registry.assign(&keys, into);
        if let Some(small) = self.slots.get_mut(&from) {
            small.migrating = false;
            small.closing = true;
            small.members.clear();
            small.connection.close();
        }
        if let Some(large) = self.slots.get_mut(&into) {
            large.migrating = false;
        }
        tracing::info!(%from, %into, assets = keys.len(), "connections merged");
        self.shared.count(|counts| counts.merged += 1);
    }

    fn give_merge_up(&mut self, Merge { from, into }: Merge) {
        let registry = &self.shared.registry;
        if let Some(large) = self.slots.get_mut(&into) {
            large.migrating = false;
            let is_borrowed = |key: &AssetKey| registry.connection_of(*key) != Some(into);
            let borrowed: Vec<_> = large.keys().into_iter().filter(is_borrowed).collect();
            // Departing, not unsubscribed: its copies of those books go with them.
            large.depart(&borrowed);
        }
        match self.slots.get_mut(&from) {
            Some(small) => small.migrating = false,
            // It ended meanwhile: what it carried waits for another connection.
            None => self.let_go(from),
        }
        tracing::info!(%from, %into, "connections not merged: the larger one did not get every book");
        self.shared.count(|counts| counts.merges_given_up += 1);
    }

    fn dispatch_resyncs(&mut self, now: Instant) -> Option<Instant> {
        let due = self.shared.context.venue().resync.take(now);
        let mut by_slot: BTreeMap<ConnectionId, Vec<(AssetKey, StaleReason)>> = BTreeMap::new();
        for (scope, key, reason) in due.assets {
            let carriers: Vec<ConnectionId> = match scope {
                // On no connection: its next subscription brings a snapshot.
                Scope::AllFeeds => {
                    let first = self.shared.registry.connection_of(key);
                    let second = first.and_then(|first| self.replicas.other_of(first));
                    first.into_iter().chain(second).collect()
                }
                // A feed that has ended took its copy with it: nothing to be done.
                Scope::Feed(feed) => {
                    let is_its = |slot: &Slot| slot.state.feed() == Some(feed);
                    let slot = self.slots.iter().find(|(_, slot)| is_its(slot));
                    slot.map(|(&id, _)| id).into_iter().collect()
                }
            };
            for id in carriers {
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

    /// A new connection.
    pub(super) fn open(&mut self, role: Role) -> ConnectionId {
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
        let (connection, run) = Connection::new(id, context, role);
        self.shared
            .connections
            .write()
            .insert(id, Arc::clone(connection.view()));
        let task = self.tasks.spawn(run);
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
        let gone = self.shared.connections.write().remove(&id);
        self.shared.count(|counts| {
            counts.closed += 1;
            if let Some(view) = gone {
                view.add_to(&mut counts.ended);
            }
        });
        if let Some(slot) = self.slots.remove(&id).filter(|slot| !slot.second) {
            // Its last word, which may have come since the owner's last look.
            let last = slot.connection.view().state().last_feed();
            self.newer_than
                .extend(slot.keys().into_iter().map(|key| (key, last)));
        }
        // Its replacement, if one is warming up, will take them.
        let is_handed_over = |hand_over: &HandOver| hand_over.from == id;
        let is_merged = self.merges.of(id).is_some_and(|merge| merge.from == id);
        if !is_merged && !self.hand_overs.iter().any(is_handed_over) {
            self.let_go(id);
        }
    }

    /// What the registry still has on a connection waits for another one.
    pub(super) fn let_go(&self, id: ConnectionId) {
        let assets = self.shared.registry.assets_on(id);
        let keys: Vec<_> = assets.iter().map(|info| info.key).collect();
        self.shared.registry.release(&keys);
    }

    async fn end(mut self) {
        for slot in self.slots.values() {
            slot.connection.close();
        }
        for request in std::mem::take(&mut self.deferred) {
            answer(request.reply, Err(RecycleError::NotRunning));
        }
        for hand_over in std::mem::take(&mut self.hand_overs) {
            answer(hand_over.reply, Err(RecycleError::NotRunning));
        }
        while let Some(joined) = self.tasks.join_next_with_id().await {
            self.reap(joined);
        }
    }
}
