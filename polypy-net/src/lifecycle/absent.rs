//! Markets that nobody at the venue knows any more.
//!
//! A market can vanish without having ended: CLOB has no book of any of its
//! tokens, and Gamma lists it neither as open nor as closed. One such answer is
//! no proof, for either service fails that way for a while. It takes
//!
//! - denials by CLOB, of each of the market's tokens, that never pause long,
//! - a number of look-ups by name that find nothing, over a good while,
//! - a complete listing, made meanwhile, that lacks it (unless listings are
//!   capped, and never complete), and
//! - a denial after that while.
//!
//! Any sign of life starts it all over. A market that has vanished is off its
//! connection like one that ended, but it is not settled, and comes back the
//! moment Gamma lists it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use parking_lot::Mutex;
use polypy_core::{AssetKey, ConditionId};
use tokio::time::Instant;

use super::{EndReason, Shared};

/// Look-ups that must find nothing: one series of questions and one more.
const LOOKUPS: u32 = 6;
/// The time over which they must find nothing. Gamma lists a market minutes
/// late and closes it minutes late; nothing was seen to take longer.
const WHILE: Duration = Duration::from_secs(1_800);
/// Denials further apart than this are not one delisting; a missing book is asked
/// for every 13 minutes at the slowest.
const PAUSE: Duration = Duration::from_secs(1_800);
/// Markets watched at most.
const MOST: usize = 4_096;

/// The markets that seem to be absent, and those that have vanished.
#[derive(Debug, Default)]
pub(super) struct Delistings {
    suspects: Mutex<HashMap<ConditionId, DelistingEvidence>>,
    /// Bounded by the registry: gone once forgotten, or back.
    vanished: Mutex<HashSet<ConditionId>>,
}

#[derive(Debug, Default)]
struct DelistingEvidence {
    /// When CLOB last had no book, by token.
    denied: BTreeMap<AssetKey, Instant>,
    /// When Gamma first knew nothing.
    since: Option<Instant>,
    lookups: u32,
    is_unlisted: bool,
}

impl DelistingEvidence {
    fn last_denied(&self) -> Option<Instant> {
        self.denied.values().max().copied()
    }

    fn is_stale(&self, now: Instant) -> bool {
        self.last_denied()
            .is_none_or(|at| now.saturating_duration_since(at) > PAUSE)
    }

    /// Whether each of `tokens` was denied lately.
    fn covers(&self, tokens: &[AssetKey], now: Instant) -> bool {
        let lately = |at: &Instant| now.saturating_duration_since(*at) <= PAUSE;
        !tokens.is_empty()
            && tokens
                .iter()
                .all(|token| self.denied.get(token).is_some_and(lately))
    }
}

impl Delistings {
    /// CLOB has no book of this token.
    pub(super) fn denied(&self, condition: &ConditionId, token: AssetKey, now: Instant) {
        let mut suspects = self.suspects.lock();
        if suspects.len() >= MOST {
            suspects.retain(|_, evidence| !evidence.is_stale(now));
        }
        if suspects.len() >= MOST && !suspects.contains_key(condition) {
            return;
        }
        let evidence = suspects.entry(condition.clone()).or_default();
        if evidence.is_stale(now) {
            *evidence = DelistingEvidence::default();
        }
        evidence.denied.insert(token, now);
    }

    /// Gamma knows these.
    pub(super) fn known<'a>(&self, conditions: impl IntoIterator<Item = &'a ConditionId>) {
        let mut suspects = self.suspects.lock();
        if suspects.is_empty() {
            return;
        }
        for condition in conditions {
            suspects.remove(condition);
        }
    }

    /// A complete listing lacked this one.
    pub(super) fn unlisted(&self, condition: &ConditionId) {
        if let Some(evidence) = self.suspects.lock().get_mut(condition)
            && evidence.since.is_some()
        {
            evidence.is_unlisted = true;
        }
    }

    /// Whether CLOB denies this market, so that Gamma should be asked whether
    /// it is open.
    pub(super) fn is_suspect(
        &self,
        condition: &ConditionId,
        tokens: &[AssetKey],
        now: Instant,
    ) -> bool {
        let suspects = self.suspects.lock();
        let evidence = suspects.get(condition);
        evidence.is_some_and(|evidence| evidence.covers(tokens, now))
    }

    /// A look-up of both kinds found nothing. Whether that was enough.
    fn not_found(
        &self,
        condition: &ConditionId,
        tokens: &[AssetKey],
        now: Instant,
        needs_listing: bool,
    ) -> bool {
        let mut suspects = self.suspects.lock();
        let Some(evidence) = suspects.get_mut(condition) else {
            return false;
        };
        if !evidence.covers(tokens, now) {
            return false;
        }
        let since = *evidence.since.get_or_insert(now);
        evidence.lookups = evidence.lookups.saturating_add(1);
        let denied_again = evidence
            .last_denied()
            .is_some_and(|at| at.saturating_duration_since(since) >= WHILE);
        let is_enough =
            denied_again && evidence.lookups >= LOOKUPS && (evidence.is_unlisted || !needs_listing);
        if is_enough {
            suspects.remove(condition);
        }
        is_enough
    }

    /// Whether this market vanished and has not come back.
    pub(super) fn has_vanished(&self, condition: &ConditionId) -> bool {
        self.vanished.lock().contains(condition)
    }

    /// A market is forgotten.
    pub(super) fn forget(&self, condition: &ConditionId) {
        self.vanished.lock().remove(condition);
    }
}

impl Shared {
    /// Look-ups of both kinds found nothing of these.
    pub(super) fn not_found(&self, conditions: &[ConditionId]) {
        let now = Instant::now();
        let needs_listing = self.selecting.selection().0.seats.is_none();
        for condition in conditions {
            let tokens = self.registry.assets_of(condition);
            if !self
                .delistings
                .not_found(condition, &tokens, now, needs_listing)
            {
                continue;
            }
            self.delistings.vanished.lock().insert(condition.clone());
            if self.hold().expire(condition, EndReason::Vanished, None) {
                tracing::warn!(
                    %condition,
                    "market is unknown: neither a book nor a listing has it any more"
                );
            } else {
                self.delistings.forget(condition);
            }
        }
    }
}

#[cfg(test)]
#[path = "absent_tests.rs"]
mod tests;
