//! The owner's work on assets whose book this socket does not bring: their market
//! goes to another connection.
//!
//! A socket may keep an asset's book back whatever is tried on it, while others
//! have it. Then the whole market leaves, both tokens together, and is placed
//! like any other that departed: on a connection with a younger feed, or on a
//! new one, which all that leave at that time share.
//!
//! That cannot become a habit. A market moves a few times at ever longer
//! intervals and then stays where it is, still asked for in place; and all
//! markets together move at a rate that one broken connection needs, since a
//! fault of the whole venue is not cured by moving.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use polypy_core::{AssetKey, ConditionId, TokenBucket};
use tokio::time::Instant;

use crate::backoff::doubled;
use crate::counter::count;

use super::PoolConfig;
use super::owner::Owner;

/// Who moved, and how much of it there may be.
#[derive(Debug)]
pub(super) struct Moves {
    /// Gone once over: bounded by the moves of that time.
    histories: BTreeMap<ConditionId, MoveHistory>,
    budget: TokenBucket,
}

#[derive(Debug, Clone, Copy)]
struct MoveHistory {
    moves: u32,
    not_before: Instant,
    /// It asked for more than it may have.
    exhausted: bool,
}

/// Whether a market may move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MoveVerdict {
    Granted,
    /// It moved lately, or too many others did.
    NotYet,
    /// It moved often enough; said once.
    Exhausted,
}

impl Moves {
    pub(super) fn new(config: &PoolConfig) -> Self {
        Self {
            histories: BTreeMap::new(),
            budget: TokenBucket::new(config.moves_per_minute, Duration::from_secs(60)),
        }
    }

    /// Requests to move one market; what is granted counts as done.
    pub(super) fn request(
        &mut self,
        market: &ConditionId,
        now: Instant,
        config: &PoolConfig,
    ) -> MoveVerdict {
        let history = self.histories.get(market).copied();
        let history = history.filter(|history| !history.is_over(now, config));
        if let Some(history) = history {
            if history.moves >= config.moves {
                let entry = self.histories.entry(market.clone());
                entry.and_modify(|history| history.exhausted = true);
                return if history.exhausted {
                    MoveVerdict::NotYet
                } else {
                    MoveVerdict::Exhausted
                };
            }
            if now < history.not_before {
                return MoveVerdict::NotYet;
            }
        }
        if config.moves == 0 || !self.budget.take(now.into_std()) {
            return MoveVerdict::NotYet;
        }
        let before = history.map_or(0, |history| history.moves);
        let wait = doubled(config.move_backoff, before, Duration::MAX);
        self.histories.insert(
            market.clone(),
            MoveHistory {
                moves: before + 1,
                // A quarter more at most: what moved together need not again.
                not_before: now + wait.mul_f64(1.0 + fastrand::f64() / 4.0),
                exhausted: false,
            },
        );
        MoveVerdict::Granted
    }

    /// Forgets histories that are over.
    pub(super) fn tidy(&mut self, now: Instant, config: &PoolConfig) {
        self.histories
            .retain(|_, history| !history.is_over(now, config));
    }
}

impl MoveHistory {
    fn is_over(&self, now: Instant, config: &PoolConfig) -> bool {
        let since: Duration = now.saturating_duration_since(self.not_before);
        now >= self.not_before && since >= config.move_backoff_reset
    }
}

impl Owner {
    /// Has exhausted assets leave their connections, whole markets only.
    pub(super) fn move_exhausted(&mut self, now: Instant) {
        let (mut moved, mut exhausted) = (0, 0);
        for (id, slot) in &self.slots {
            // The second of a pair follows the first.
            if slot.migrating || slot.closing || slot.second {
                continue;
            }
            let market = |key| Some(&slot.members.get(&key)?.condition_id);
            let markets: BTreeSet<&ConditionId> =
                slot.state.exhausted().filter_map(market).collect();
            let mut granted = BTreeSet::new();
            for market in markets {
                match self.moves.request(market, now, &self.shared.config) {
                    MoveVerdict::Granted => {
                        granted.insert(market);
                    }
                    MoveVerdict::NotYet => {}
                    MoveVerdict::Exhausted => exhausted += 1,
                }
            }
            if granted.is_empty() {
                continue;
            }
            let leaving: Vec<AssetKey> = slot
                .members
                .values()
                .filter(|info| granted.contains(&info.condition_id))
                .map(|info| info.key)
                .collect();
            tracing::info!(
                connection = %id,
                markets = granted.len(),
                assets = leaving.len(),
                "books stay away on this connection: moving their markets to another"
            );
            slot.connection.depart(&leaving);
            moved += count(granted.len());
        }
        if moved > 0 || exhausted > 0 {
            self.shared.count(|counts| {
                counts.markets_moved += moved;
                counts.moves_exhausted += exhausted;
            });
        }
    }
}

#[cfg(test)]
#[path = "moving_tests.rs"]
mod tests;
