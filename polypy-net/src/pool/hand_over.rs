//! The owner's work on hand-overs: what [`HandOver::next`] says is done here.

use std::error::Error;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::connection::Role;
use crate::counter::millis;
use crate::registry::AssetStatus;

use super::migration::{HandOver, Migration, RecycleError, Step};
use super::owner::{Owner, Request, TICK};

impl Owner {
    pub(super) fn begin(&mut self, request: Request) {
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
        // One of a pair at a time: the other one keeps the books live.
        let other = self.replicas.other_of(connection);
        let other = other.and_then(|other| self.slots.get(&other));
        if other.is_some_and(|other| other.migrating) {
            self.deferred.push(Request { connection, reply });
            return;
        }
        let to = self.open(Role::Replacement);
        let now = Instant::now();
        let hand_over = HandOver::new(connection, to, reply, now, &self.shared.config);
        let [of_old, of_new] = hand_over.logs();
        let mut target = self.shared.config.target;
        let mut assets = Vec::new();
        let mut second = false;
        if let Some(old) = self.slots.get_mut(&connection) {
            old.migrating = true;
            second = old.second;
            old.connection.record(of_old);
            target = old.target;
            assets.extend(old.members.values().cloned());
        }
        if let (Some(old), Some(new)) = (self.slots.get(&connection), self.slots.get(&to)) {
            new.connection.view().pair_with(old.connection.view());
        }
        // Dead weight stays behind.
        assets
            .retain(|info| self.shared.registry.status(info.key) == Some(AssetStatus::Subscribed));
        if let Some(new) = self.slots.get_mut(&to) {
            new.migrating = true;
            new.second = second;
            new.connection.record(of_new);
            new.target = target;
            new.add(&assets);
        }
        self.hand_overs.push(hand_over);
    }

    /// Begins what had to wait for a hand-over that has ended meanwhile.
    pub(super) fn begin_deferred(&mut self) {
        for request in std::mem::take(&mut self.deferred) {
            // Bounded by those who wait for an answer.
            if !request.reply.is_closed() {
                self.begin(request);
            }
        }
    }

    /// When to look at them again.
    pub(super) fn drive_hand_overs(&mut self, now: Instant) -> Instant {
        let mut again = now + TICK;
        for mut hand_over in std::mem::take(&mut self.hand_overs) {
            let ended = loop {
                let old = self.slots.get(&hand_over.from).map(|slot| &slot.state);
                let Some(new) = self.slots.get(&hand_over.to) else {
                    break Some(Err(RecycleError::Setback));
                };
                let (assets, config) = (new.members.len(), &self.shared.config);
                match hand_over.next(old, &new.state, assets, now, config) {
                    Step::Wait(until) => {
                        again = again.min(until);
                        break None;
                    }
                    Step::Retire => {
                        if let Some(old) = self.slots.get(&hand_over.from) {
                            old.connection.retire();
                        }
                    }
                    Step::TakeOver => self.commit(&hand_over),
                    Step::Finish(migration) => break Some(Ok(migration)),
                    Step::Abort(error) => break Some(Err(error)),
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
            if !new.second {
                self.shared.registry.assign(&new.keys(), hand_over.to);
            }
        }
    }

    fn conclude(&mut self, hand_over: HandOver, result: Result<Migration, RecycleError>) {
        let loser = if hand_over.is_committed() {
            hand_over.from
        } else {
            hand_over.to
        };
        if hand_over.is_committed() {
            self.hand_replica_over(hand_over.from, hand_over.to);
        }
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
                took_ms = millis(migration.took),
                overlap_ms = millis(migration.overlap),
                downtime_ms = millis(migration.downtime),
                compared_ms = migration.comparison.compared_ms,
                old_only = migration.comparison.old_only,
                new_only = migration.comparison.new_only,
                both = migration.comparison.both,
                books_compared = migration.comparison.books_compared,
                books_equal = migration.comparison.books_equal,
                "connection replaced"
            ),
            Err(error) => tracing::warn!(
                connection = %hand_over.from,
                error = error as &dyn Error,
                "connection not replaced"
            ),
        }
        answer(hand_over.reply, result);
    }
}

/// Reports to the caller, if it still waits.
pub(super) fn answer(
    reply: oneshot::Sender<Result<Migration, RecycleError>>,
    result: Result<Migration, RecycleError>,
) {
    if reply.send(result).is_err() {
        tracing::debug!("nobody waits for the replacement any more");
    }
}
