//! Gamma's rows that call markets closed, and open again.
//!
//! Gamma can be wrong about all of them at once: a list of open markets was seen
//! that called every row closed. So Gamma alone ends a few markets at a time,
//! as many as close in the venue's busiest minutes. Where it calls more closed,
//! the CLOB is asked: it has no book of a market that has ended, and one that it
//! has a book of stays. A market that Gamma ended, that it lists as open again
//! and that the CLOB has a book of comes back at once.
//!
//! | Gamma | CLOB | the market |
//! |---|---|---|
//! | closed, as few are | not asked | ends |
//! | closed, as many are | no book | ends |
//! | closed, as many are | a book, or no answer | stays, and is asked for again |
//! | open again | a book | comes back |
//! | open again | no book, or no answer | stays ended |
//!
//! One that the feed called resolved does not come back before it is forgotten:
//! Gamma goes on listing such markets for minutes.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use polypy_core::{AssetId, ConditionId, Listed, Purpose, Timestamp};
use tokio::time::{Instant, timeout};

use super::{Shared, stats};
use crate::gamma::Row;

/// The time within which closings are counted together.
const WINDOW: Duration = Duration::from_secs(300);
/// Closings within it that need no confirmation, whatever the catalogue.
const FEW: usize = 3;
/// The share of live markets beyond which closings are many: one in so many.
/// Markets of five minutes and the end of an evening's games stay well below.
const SHARE: usize = 10;
/// The longest wait for the CLOB.
const CLOB_DEADLINE: Duration = Duration::from_secs(30);

/// The markets that Gamma ended.
#[derive(Debug, Default)]
pub(super) struct Closings {
    /// When, of those that needed no confirmation; the oldest first.
    recent: Mutex<VecDeque<Instant>>,
    /// Bounded by the registry: gone once forgotten, or back.
    closed: Mutex<HashSet<ConditionId>>,
}

/// A market that Gamma calls closed.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) condition: ConditionId,
    /// The token that won, if the row leaves no doubt.
    winner: Option<AssetId>,
    /// When it was closed, if the row says so.
    at: Option<Timestamp>,
}

impl Ended {
    /// What a row says of a market that it calls closed.
    pub(super) fn of(row: &Row) -> Option<Self> {
        let condition = row.condition_id.clone().filter(|_| row.closed)?;
        Some(Self {
            condition,
            winner: row.winner.clone(),
            at: row.closed_at,
        })
    }
}

/// What the CLOB says of a market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClobAnswer {
    /// It has a book of one of its tokens.
    HasBook,
    /// It has none of any.
    NoBook,
    /// It did not say.
    Unknown,
}

impl Closings {
    /// Whether so many more closings are no more than usual among `live`
    /// markets; counts them if so.
    fn are_few(&self, closings: usize, live: usize, now: Instant) -> bool {
        let mut recent = self.recent.lock();
        while recent
            .front()
            .is_some_and(|at| now.saturating_duration_since(*at) >= WINDOW)
        {
            recent.pop_front();
        }
        let all = recent.len() + closings;
        let are_few = all <= FEW.max((live + recent.len()) / SHARE);
        if are_few {
            recent.extend(std::iter::repeat_n(now, closings));
        }
        are_few
    }

    /// Whether this market was ended by Gamma alone, so that Gamma can
    /// bring it back.
    pub(super) fn is_closed(&self, condition: &ConditionId) -> bool {
        self.closed.lock().contains(condition)
    }

    /// A market is forgotten, or back.
    pub(super) fn forget(&self, condition: &ConditionId) -> bool {
        self.closed.lock().remove(condition)
    }
}

impl Shared {
    /// Gamma calls these closed: ends them, or asks the CLOB first if they are
    /// many. Those that stay.
    pub(super) async fn close(&self, mut ended: Vec<Ended>) -> Vec<ConditionId> {
        ended.retain(|ended| self.registry.is_live(&ended.condition));
        if ended.is_empty() {
            return Vec::new();
        }
        let live = self.registry.live_market_count();
        let mut stay = Vec::new();
        if !self.closings.are_few(ended.len(), live, Instant::now()) {
            let conditions: Vec<_> = ended.iter().map(|one| one.condition.clone()).collect();
            let answers = self.ask_clob(&conditions).await;
            let has_none = |one: &Ended| answers.get(&one.condition) == Some(&ClobAnswer::NoBook);
            ended.retain(has_none);
            let ended: HashSet<_> = ended.iter().map(|one| &one.condition).collect();
            stay.extend(conditions.into_iter().filter(|one| !ended.contains(one)));
        }
        for Ended {
            condition,
            winner,
            at,
        } in ended
        {
            if self.hold().close(&condition, winner.as_ref(), at) {
                self.closings.closed.lock().insert(condition);
            }
        }
        if !stay.is_empty() {
            stats::add(&self.stats.closings_doubted, stay.len());
            tracing::warn!(
                markets = stay.len(),
                live,
                "gamma calls many markets closed and the clob does not agree: they stay"
            );
        }
        stay
    }

    /// Gamma calls these open, which it had ended: brings back those of
    /// which the CLOB has a book. Those brought back.
    pub(super) async fn reopen(&self, mut markets: Vec<Listed>) -> Vec<ConditionId> {
        markets.retain(|listed| self.closings.is_closed(&listed.market.condition_id));
        if markets.is_empty() {
            return Vec::new();
        }
        let conditions: Vec<_> = markets
            .iter()
            .map(|listed| listed.market.condition_id.clone())
            .collect();
        let answers = self.ask_clob(&conditions).await;
        let mut back = Vec::new();
        for listed in markets {
            let condition = listed.market.condition_id.clone();
            let has_book = answers.get(&condition) == Some(&ClobAnswer::HasBook);
            let mut held = self.hold();
            if has_book && !held.is_full() && self.closings.forget(&condition) {
                held.take_back(&condition);
                held.take_in(listed);
                back.push(condition);
            }
        }
        back
    }

    /// What the CLOB says of each of these markets.
    async fn ask_clob(&self, conditions: &[ConditionId]) -> HashMap<ConditionId, ClobAnswer> {
        let tokens: Vec<(&ConditionId, AssetId)> = {
            let interner = self.registry.interner().read();
            let of = |condition| {
                let keys = self.registry.assets_of(condition);
                let infos = keys.into_iter().filter_map(|key| interner.info(key));
                infos
                    .map(|info| (condition, info.asset_id.clone()))
                    .collect::<Vec<_>>()
            };
            conditions.iter().flat_map(of).collect()
        };
        let ids: Vec<AssetId> = tokens.iter().map(|(_, id)| id.clone()).collect();
        let asking = self
            .clob
            .books(&ids, self.registry.interner(), Purpose::Lookup);
        let Ok(fetched) = timeout(CLOB_DEADLINE, asking).await else {
            return HashMap::new();
        };
        let unanswered: HashSet<AssetId> = fetched.unanswered.into_iter().collect();
        let there: HashSet<&AssetId> = fetched.books.iter().map(|b| &b.info.asset_id).collect();
        let mut answers = HashMap::new();
        for (condition, id) in tokens {
            let answer = if there.contains(&id) {
                ClobAnswer::HasBook
            } else if unanswered.contains(&id) {
                ClobAnswer::Unknown
            } else {
                ClobAnswer::NoBook
            };
            // One book is enough; and no answer for one token is none for both.
            answers
                .entry(condition.clone())
                .and_modify(|known| {
                    *known = match (*known, answer) {
                        (ClobAnswer::HasBook, _) | (_, ClobAnswer::HasBook) => ClobAnswer::HasBook,
                        (ClobAnswer::Unknown, _) | (_, ClobAnswer::Unknown) => ClobAnswer::Unknown,
                        (ClobAnswer::NoBook, ClobAnswer::NoBook) => ClobAnswer::NoBook,
                    };
                })
                .or_insert(answer);
        }
        answers
    }
}

#[cfg(test)]
#[path = "closing_tests.rs"]
mod tests;
