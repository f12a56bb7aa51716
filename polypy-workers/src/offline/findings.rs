//! What the checks have found, by token.
//!
//! A worker counts over all of its books. After each event the difference belongs to the
//! book that the event was about.

use std::collections::HashMap;
use std::sync::Arc;

use polypy_core::{AssetKey, BookHash, Timestamp};

use crate::book::{BookSlot, FeedBook};
use crate::stats::WorkerStats;

/// What the checks have found, of one token or of all.
///
/// A *state* of a book is what consecutive messages with one time stamp and one hash lead
/// to; its hash holds after the last of them. Of the states, those are left over that
/// were replaced before anything could be said of them, and the last one of a book that
/// awaits what would settle it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Findings {
    /// States that were shown.
    pub states: u64,
    /// States whose hash came out of the levels.
    pub verified: u64,
    /// States whose hash did not, of books whose hashes had.
    pub failed: u64,
    /// States whose hash did not, of books none of whose hashes had, or for want of a
    /// search that was not allowed: nothing follows from these.
    pub unverifiable: u64,
    /// States that came without a hash.
    pub unhashed: u64,
    /// Best prices that were as stated.
    pub tops_agreed: u64,
    /// Best prices that were not, once the venue had moved on.
    pub tops_failed: u64,
    /// Best prices that were not, of states whose hash came out: the venue stated false ones.
    pub tops_refuted: u64,
    /// Books to be compared that were as ours is, or was.
    pub audits_agreed: u64,
    /// Books to be compared that ours differed from, or never came to.
    pub audits_failed: u64,
    /// Books to be compared that say nothing of ours, or nothing yet.
    pub audits_open: u64,
}

impl Findings {
    /// States of which nothing could be said.
    pub fn unjudged(&self) -> u64 {
        let judged = self.verified + self.failed + self.unverifiable + self.unhashed;
        self.states.saturating_sub(judged)
    }

    fn add(&mut self, more: &Self) {
        self.states += more.states;
        self.verified += more.verified;
        self.failed += more.failed;
        self.unverifiable += more.unverifiable;
        self.unhashed += more.unhashed;
        self.tops_agreed += more.tops_agreed;
        self.tops_failed += more.tops_failed;
        self.tops_refuted += more.tops_refuted;
        self.audits_agreed += more.audits_agreed;
        self.audits_failed += more.audits_failed;
        self.audits_open += more.audits_open;
    }
}

/// What a worker has counted so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Counted {
    late: u64,
    failed: u64,
    unverifiable: u64,
    tops_agreed: u64,
    tops_failed: u64,
    tops_refuted: u64,
    audits_agreed: u64,
    audits_failed: u64,
    audits_open: u64,
}

/// The state that a book was last seen in.
#[derive(Debug, Clone, Copy, Default)]
struct LastState {
    state: Option<(Timestamp, Option<BookHash>)>,
    is_proven: bool,
    /// Whether the one before was not, and may yet be: the venue's hash may be ahead of
    /// the change that it includes.
    is_one_awaited: bool,
}

#[derive(Debug)]
pub(super) struct Ledger {
    stats: Arc<WorkerStats>,
    counted: Counted,
    all: Findings,
    by_token: HashMap<AssetKey, Findings>,
    last: HashMap<AssetKey, LastState>,
}

impl Ledger {
    pub(super) fn new(stats: Arc<WorkerStats>) -> Self {
        Self {
            stats,
            counted: Counted::default(),
            all: Findings::default(),
            by_token: HashMap::new(),
            last: HashMap::new(),
        }
    }

    pub(super) fn totals(&self) -> Findings {
        self.all
    }

    pub(super) fn by_token(&self) -> &HashMap<AssetKey, Findings> {
        &self.by_token
    }

    /// Something about this book was applied.
    pub(super) fn note(&mut self, slot: &BookSlot) {
        let (mut found, late) = self.count();
        let last = self.last.entry(slot.key()).or_default();
        if let Some(copy) = slot.book().copy() {
            last.note(copy, &mut found);
        }
        if late > 0 && std::mem::take(&mut last.is_one_awaited) {
            found.verified += 1;
        }
        self.by_token.entry(slot.key()).or_default().add(&found);
        self.all.add(&found);
    }

    /// What was counted otherwise is of no one event: where another feed's copy is shown, or
    /// two tokens are compared.
    pub(super) fn note_rest(&mut self) {
        let (found, _) = self.count();
        self.all.add(&found);
    }

    /// What was counted since the last call, and how many hashes of them came out late.
    fn count(&mut self) -> (Findings, u64) {
        let before = std::mem::replace(&mut self.counted, Counted::of(&self.stats));
        let now = self.counted;
        let found = Findings {
            failed: now.failed - before.failed,
            unverifiable: now.unverifiable - before.unverifiable,
            tops_agreed: now.tops_agreed - before.tops_agreed,
            tops_failed: now.tops_failed - before.tops_failed,
            tops_refuted: now.tops_refuted - before.tops_refuted,
            audits_agreed: now.audits_agreed - before.audits_agreed,
            audits_failed: now.audits_failed - before.audits_failed,
            audits_open: now.audits_open - before.audits_open,
            ..Findings::default()
        };
        (found, now.late - before.late)
    }
}

impl LastState {
    fn note(&mut self, copy: &FeedBook, found: &mut Findings) {
        let state = Some((copy.newest(), copy.hash()));
        if self.state != state {
            let is_one_awaited = self.state.is_some() && !self.is_proven;
            *self = Self {
                state,
                is_proven: false,
                is_one_awaited,
            };
            found.states += 1;
            found.unhashed += u64::from(copy.hash().is_none());
        }
        if copy.is_proven() && !self.is_proven {
            self.is_proven = true;
            found.verified += 1;
        }
    }
}

impl Counted {
    fn of(stats: &WorkerStats) -> Self {
        let checks = &stats.integrity;
        let (hash, audit) = (&checks.hash, &checks.audit);
        Self {
            late: hash.late.get(),
            failed: hash.failed.get(),
            unverifiable: hash.unverifiable.get() + hash.ambiguous.get(),
            tops_agreed: checks.top.passed.get(),
            tops_failed: checks.top.failed.get(),
            tops_refuted: checks.top.refuted.get(),
            audits_agreed: audit.passed.get(),
            audits_failed: audit.failed.get(),
            audits_open: audit.not_applicable.get() + audit.leading.get(),
        }
    }
}
