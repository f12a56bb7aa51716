//! How far one book may be trusted: a standing, and what contradicts it at present.
//!
//! | input | pending | live | stale | settled |
//! |---|---|---|---|---|
//! | a whole book | live, new epoch | live | live, new epoch | – |
//! | a whole book that is behind what was shown | stale, catching up | stale, catching up | stale, catching up | – |
//! | a whole book that proves nothing: its feed is closed, or lost something since | stale | stale | stale | – |
//! | another feed's copy | live, new epoch | live | live, new epoch | – |
//! | its feed is gone, another keeps it whole | – | live, detached | – | – |
//! | nobody keeps it whole any more | – | stale | stale | – |
//! | the book has come to an exchange time | – | – | catching up, and that was it: live, new epoch | – |
//! | its hash is reproduced | – | live; nothing contradicts the levels | found wrong: live, new epoch | – |
//! | a check contradicts it | – | suspect | noted | – |
//! | that check agrees | – | no longer suspect | noted | – |
//! | a contradiction stands | – | stale, found wrong; asked for | catching up: stale; asked for | – |
//! | its worker died | – | stale, new epoch | stale, new epoch | – |
//! | its market ended | settled | settled | settled | – |
//!
//! *Suspect* is a live book that something contradicts. It is shown as stale, and
//! nothing is asked for yet: usually the rest of a batch or the next change explains
//! it, and it is live again in the same epoch. A contradiction that lasts stands.
//! A *detached* book shows what a feed brought that is gone, until the copy that keeps
//! it whole has come as far, and is shown; or has had its time.
//!
//! [`Trust::on`] is that table. Nothing else changes a standing.

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use polypy_core::{BookState, StaleReason, Timestamp};

use super::checks::Verification;
use super::feed_book::is_shortly_before;
use crate::compact_instant::CompactInstant;
use crate::config::IntegrityConfig;

/// How long a whole book that is behind what was shown before has to catch up.
/// Sockets lag by seconds at most; what is sent whole after that is the truth,
/// whatever its time says.
const CATCH_UP: Duration = Duration::from_secs(5);

/// How long a copy has to come as far as a detached book. Connections that lag by more
/// are replaced.
const FAILOVER: Duration = Duration::from_secs(2);

/// What is the case of a book; at any time one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// No whole book has come yet.
    Pending,
    /// An open feed keeps it whole.
    Live,
    /// Not to be trusted, for this reason, until it recovers.
    Stale(StaleReason, Recovery),
    /// Its market has ended.
    Settled,
}

/// What makes a stale book live again, besides a whole book and another feed's copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recovery {
    Nothing,
    /// We found it wrong, and nothing was lost: what was wrong is often overwritten,
    /// and its hash tells.
    Proof,
    /// It was whole, and behind: coming as far as what was shown before.
    CatchUp,
}

/// What contradicts a book at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Its levels do not give the venue's hash, or a change was left out that may
    /// have been no duplicate.
    Hash,
    /// A change was left out that would lead it to another state of this millisecond: a
    /// duplicate that came late, or the newest.
    Return,
    /// Its best prices are not those that the venue states.
    Top,
    /// The market's other token shows something else.
    Mirror,
    /// A book fetched apart from the feed is ahead of it.
    Behind,
    /// Its best bid is not below its best ask. For a moment that says nothing, so
    /// that it alone does not make a book suspect.
    Crossed,
}

impl Cause {
    /// The weightiest first.
    const ALL: [Self; 6] = [
        Self::Hash,
        Self::Return,
        Self::Top,
        Self::Mirror,
        Self::Behind,
        Self::Crossed,
    ];

    pub(crate) fn reason(self) -> StaleReason {
        match self {
            Self::Hash | Self::Return => StaleReason::Hash,
            Self::Top => StaleReason::Top,
            Self::Mirror => StaleReason::Mirror,
            Self::Behind => StaleReason::Silent,
            Self::Crossed => StaleReason::Crossed,
        }
    }

    /// Whether it says that the levels are wrong, as opposed to not the newest, or odd.
    fn is_about_levels(self) -> bool {
        match self {
            Self::Hash | Self::Return | Self::Top | Self::Mirror => true,
            Self::Behind | Self::Crossed => false,
        }
    }

    fn bit(self) -> u8 {
        const {
            assert!(
                Self::ALL.len() == Self::Crossed as usize + 1,
                "all, in order"
            )
        };
        1 << (self as u8)
    }
}

/// Something that bears on how far the book may be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// A whole book of an open feed that has lost nothing since is shown.
    Whole,
    /// The same, but the book had come as far as `goal` before.
    WholeBehind { goal: Timestamp },
    /// A whole book is shown that cannot be trusted, for this reason. How far the book
    /// had come before, if that was further.
    WholeVoid {
        reason: StaleReason,
        goal: Option<Timestamp>,
    },
    /// Another feed's copy is shown, which is whole and not behind. Whether it has
    /// come further.
    OtherCopy { is_ahead: bool },
    /// The feed that it is shown from is gone, or lost something; another one keeps the
    /// book whole.
    Detached(StaleReason),
    /// No open feed keeps it whole any more.
    Lost(StaleReason),
    /// Its open feed has brought it to this exchange time.
    Reached(Timestamp),
    /// Its levels give the venue's hash.
    Proven,
    /// A check contradicts it.
    Contradicted(Cause),
    /// That check no longer does.
    Cleared(Cause),
    /// A contradiction stands: the book is wrong.
    Refuted(StaleReason),
    /// The thread that wrote it died, and may have left half a change.
    WorkerDied,
    /// Its market has ended.
    MarketEnded,
}

/// What follows from an input besides the new standing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
pub(crate) struct Effects {
    /// The book goes on, and what came before may be incomplete.
    pub(crate) new_epoch: bool,
    /// It was live until now.
    pub(crate) went_stale: bool,
    /// A whole book is to be asked for.
    pub(crate) ask: Option<StaleReason>,
    /// To be looked at again when time has passed.
    pub(crate) watch: bool,
}

/// How far one book may be trusted. What a change reads of it stands first.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
#[repr(C)]
pub(crate) struct Trust {
    standing: Standing,
    /// A bit for each [`Cause`].
    causes: u8,
    /// What became of the feed of a detached book.
    detached_for: StaleReason,
    /// What was shown of a stale book before, and it has to come to again.
    goal: Timestamp,
    /// Since when it has been behind that.
    behind_since: Option<Instant>,
    /// Since when something has contradicted the levels.
    suspect_since: Option<Instant>,
    /// When something last did, if it does still.
    contradicted: CompactInstant,
    crossed_since: Option<Instant>,
    detached_since: Option<Instant>,
}

/// Bytes of a [`Trust`] that a change reads.
#[cfg(test)]
pub(crate) const READ_BYTES: usize = size_of::<Standing>() + 1;

impl Trust {
    pub(crate) fn new() -> Self {
        Self {
            standing: Standing::Pending,
            causes: 0,
            detached_for: StaleReason::Disconnected,
            goal: Timestamp::default(),
            behind_since: None,
            suspect_since: None,
            contradicted: CompactInstant::default(),
            crossed_since: None,
            detached_since: None,
        }
    }

    /// The one transition function.
    pub(crate) fn on(&mut self, input: Input, now: Instant) -> Effects {
        use Input::*;
        use Standing::*;
        match (self.standing, input) {
            (Settled, _) => Effects::default(),
            (Pending | Live | Stale(..), MarketEnded) => {
                self.clear_all();
                self.enter(Settled)
            }
            (Pending, Whole | OtherCopy { .. }) => self.enter(Live),
            (Live | Stale(..), Whole) => {
                self.levels_are_new();
                self.enter(Live)
            }
            (Live | Stale(..), OtherCopy { is_ahead }) => {
                // What neither feed was sent is not in a copy that is only as far.
                let lacks = !is_ahead && self.is_kept_whole() && self.has(Cause::Mirror);
                self.levels_are_new();
                if lacks {
                    self.contradict(Cause::Mirror, now);
                }
                self.enter(Live)
            }
            (Pending | Live, WholeBehind { goal }) => {
                self.catch_up(goal, StaleReason::Disconnected, now)
            }
            (Stale(reason, _), WholeBehind { goal }) => self.catch_up(goal, reason, now),
            (Pending | Live | Stale(..), WholeVoid { reason, goal }) => {
                self.levels_are_new();
                if let Some(goal) = goal {
                    self.note_goal(goal, now);
                }
                self.enter(Stale(reason, Recovery::Nothing))
            }
            (Live, Detached(reason)) => {
                (self.detached_since, self.detached_for) = (Some(now), reason);
                Effects {
                    watch: true,
                    ..Effects::default()
                }
            }
            (Live | Stale(..), Lost(reason)) => {
                self.levels_are_new();
                self.enter(Stale(reason, Recovery::Nothing))
            }
            (Live | Stale(..), WorkerDied) => {
                self.clear_all();
                let stale = Stale(StaleReason::WorkerDied, Recovery::Nothing);
                Effects {
                    new_epoch: true,
                    ..self.enter(stale)
                }
            }
            (Stale(_, Recovery::CatchUp), Reached(at)) if at >= self.goal => Effects {
                // What contradicts the levels that it has caught up with still does.
                watch: self.causes != 0,
                ..self.enter(Live)
            },
            (Stale(_, Recovery::Proof), Proven) => {
                // What spoke against the levels while it was stale is why it was.
                self.levels_proven(now);
                self.enter(Live)
            }
            (Live | Stale(..), Proven) => {
                self.levels_proven(now);
                Effects::default()
            }
            (Live | Stale(..), Contradicted(cause)) => {
                self.contradict(cause, now);
                Effects {
                    watch: true,
                    ..Effects::default()
                }
            }
            (Live | Stale(..), Cleared(cause)) => {
                self.clear(cause);
                Effects::default()
            }
            (Live, Refuted(reason)) => {
                self.clear_levels();
                Effects {
                    ask: Some(reason),
                    ..self.enter(Stale(reason, Recovery::Proof))
                }
            }
            // Catching up no longer makes it right.
            (Stale(_, Recovery::CatchUp), Refuted(reason)) => Effects {
                ask: Some(reason),
                ..self.enter(Stale(reason, Recovery::Nothing))
            },
            (Stale(..), Refuted(_) | Reached(_) | Detached(_))
            | (Live, Reached(_))
            | (
                Pending,
                Detached(_) | Lost(_) | Reached(_) | Proven | Contradicted(_) | Cleared(_)
                | Refuted(_) | WorkerDied,
            ) => Effects::default(),
        }
    }

    /// The one place where a standing changes.
    fn enter(&mut self, next: Standing) -> Effects {
        let before = std::mem::replace(&mut self.standing, next);
        self.detached_since = None;
        // What was shown before stays a stale book's goal, over any number of whole books.
        if matches!(next, Standing::Live | Standing::Settled) {
            (self.goal, self.behind_since) = (Timestamp::default(), None);
        }
        Effects {
            // A book that was not live may have missed anything.
            new_epoch: next == Standing::Live && before != Standing::Live,
            went_stale: before == Standing::Live && matches!(next, Standing::Stale(..)),
            ask: None,
            watch: false,
        }
    }

    fn catch_up(&mut self, goal: Timestamp, reason: StaleReason, now: Instant) -> Effects {
        self.levels_are_new();
        self.note_goal(goal, now);
        self.enter(Standing::Stale(reason, Recovery::CatchUp))
    }

    fn note_goal(&mut self, goal: Timestamp, now: Instant) {
        self.goal = self.goal.max(goal);
        self.behind_since.get_or_insert(now);
    }

    /// Whether nothing at all has to be considered: the fast path is for these books.
    #[inline(always)]
    pub(crate) fn is_undisturbed(&self) -> bool {
        self.standing == Standing::Live && self.causes == 0
    }

    /// Whether an open feed keeps it whole: it is live, or suspect.
    pub(crate) fn is_kept_whole(&self) -> bool {
        self.standing == Standing::Live
    }

    pub(crate) fn is_stale(&self) -> bool {
        matches!(self.standing, Standing::Stale(..))
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.standing == Standing::Settled
    }

    /// As readers see it, as far as the worker knows.
    #[inline]
    pub(crate) fn state(&self) -> BookState {
        match self.standing {
            Standing::Pending => BookState::Pending,
            Standing::Live => match self.suspicion() {
                Some(cause) => BookState::Stale(cause.reason()),
                None => BookState::Live,
            },
            Standing::Stale(reason, _) => BookState::Stale(reason),
            Standing::Settled => BookState::Settled,
        }
    }

    /// Whether it was found wrong, and its hash tells once it is right again.
    pub(crate) fn awaits_proof(&self) -> bool {
        matches!(self.standing, Standing::Stale(_, Recovery::Proof))
    }

    /// What became of the feed of a detached book.
    pub(crate) fn detached(&self) -> Option<StaleReason> {
        self.detached_since.map(|_| self.detached_for)
    }

    /// What has to be known, at least, of another feed's copy to show it instead;
    /// `None` if it is not wanted. `progress`: how far it has come beside the shown one.
    pub(crate) fn wants(&self, progress: Ordering) -> Option<Verification> {
        let is_suspect = self.suspect_levels().is_some();
        let is_as_far = progress == Ordering::Equal;
        if progress == Ordering::Less {
            return None;
        }
        match self.standing {
            Standing::Pending | Standing::Settled => None,
            Standing::Live if is_as_far && self.detached_since.is_none() => {
                (is_suspect && !self.lacks_a_change()).then_some(Verification::Proven)
            }
            Standing::Live if is_suspect => Some(Verification::Proven),
            Standing::Stale(_, Recovery::Proof) => {
                (!is_as_far || !self.lacks_a_change()).then_some(Verification::Proven)
            }
            Standing::Live | Standing::Stale(..) => Some(Verification::Unknown),
        }
    }

    /// The same as it is found wrong: a copy that stays wrong with it is no remedy.
    pub(crate) fn wants_instead(
        &self,
        reason: StaleReason,
        progress: Ordering,
    ) -> Option<Verification> {
        let is_remedy = match progress {
            // A book that is right and behind is not healed by another copy of it.
            _ if reason == StaleReason::Silent => false,
            Ordering::Greater => true,
            Ordering::Equal => !is_of_missing_change(reason),
            Ordering::Less => false,
        };
        (is_remedy && self.is_kept_whole()).then_some(Verification::Proven)
    }

    /// What a copy must not be behind, if the book is catching up.
    pub(crate) fn goal(&self) -> Timestamp {
        self.goal
    }

    /// What a whole book of time `at` has to catch up with, of `shown` and of what was
    /// shown before that; `None` if it is not behind, or has had its time.
    pub(crate) fn goal_beyond(
        &self,
        at: Timestamp,
        shown: Timestamp,
        now: Instant,
    ) -> Option<Timestamp> {
        let goal = self.goal.max(shown);
        let since = self.behind_since.unwrap_or(now);
        let is_patient = now.saturating_duration_since(since) < CATCH_UP;
        (is_shortly_before(at, goal) && is_patient).then_some(goal)
    }

    /// Whether it has yet to come as far as it was shown before, and has time for that.
    pub(crate) fn is_catching_up(&self, now: Instant) -> bool {
        matches!(self.standing, Standing::Stale(_, Recovery::CatchUp))
            && lasted(self.behind_since, now) < CATCH_UP
    }

    /// Whether what contradicts it is that a change is missing.
    fn lacks_a_change(&self) -> bool {
        let reason = match self.standing {
            Standing::Live => self.suspect_levels().map(Cause::reason),
            Standing::Stale(reason, _) => Some(reason),
            Standing::Pending | Standing::Settled => None,
        };
        reason.is_some_and(is_of_missing_change)
    }

    pub(crate) fn has(&self, cause: Cause) -> bool {
        self.causes & cause.bit() != 0
    }

    /// Why a live book is suspect, if it is.
    fn suspicion(&self) -> Option<Cause> {
        if self.causes == 0 {
            return None;
        }
        let mut causes = Cause::ALL.into_iter();
        causes.find(|cause| *cause != Cause::Crossed && self.has(*cause))
    }

    /// What contradicts the levels.
    pub(crate) fn suspect_levels(&self) -> Option<Cause> {
        let mut causes = Cause::ALL.into_iter();
        causes.find(|cause| cause.is_about_levels() && self.has(*cause))
    }

    /// Whether something has contradicted the levels after `at`, and does still.
    pub(crate) fn was_contradicted_after(&self, at: Instant) -> bool {
        self.suspect_since.is_some() && self.contradicted > at.into()
    }

    /// What has contradicted the levels of a live book for longer than it may, and for
    /// how long something has.
    pub(crate) fn overdue(
        &self,
        config: &IntegrityConfig,
        now: Instant,
    ) -> Option<(Cause, Duration)> {
        let cause = self.suspect_levels().filter(|_| self.is_kept_whole())?;
        let lasted = lasted(self.suspect_since, now);
        (lasted >= config.doubt_patience).then_some((cause, lasted))
    }

    /// Whether a live book has been crossed for longer than it may.
    pub(crate) fn is_crossed_for_long(&self, config: &IntegrityConfig, now: Instant) -> bool {
        self.is_kept_whole() && lasted(self.crossed_since, now) > config.crossed_patience
    }

    /// Why a book is lost that has been detached for longer than it may.
    pub(crate) fn detached_for_long(&self, now: Instant) -> Option<StaleReason> {
        self.detached()
            .filter(|_| lasted(self.detached_since, now) >= FAILOVER)
    }

    /// Whether time alone may change it.
    pub(crate) fn is_watched(&self) -> bool {
        let is_open = self.causes != 0 || self.detached_since.is_some();
        self.has(Cause::Crossed) || (self.is_kept_whole() && is_open)
    }

    fn contradict(&mut self, cause: Cause, now: Instant) {
        self.causes |= cause.bit();
        if cause.is_about_levels() {
            self.suspect_since.get_or_insert(now);
            self.contradicted = now.into();
        } else if cause == Cause::Crossed {
            self.crossed_since.get_or_insert(now);
        }
    }

    fn clear(&mut self, cause: Cause) {
        self.causes &= !cause.bit();
        if self.suspect_levels().is_none() {
            self.suspect_since = None;
        }
        if !self.has(Cause::Crossed) {
            self.crossed_since = None;
        }
    }

    /// Its hash says that the levels are right.
    fn levels_proven(&mut self, now: Instant) {
        self.clear_levels();
        // A book that is proven crossed has all its time again after that.
        self.crossed_since = self.crossed_since.map(|_| now);
    }

    /// Nothing contradicts the levels any more.
    fn clear_levels(&mut self) {
        let causes = Cause::ALL.into_iter();
        causes
            .filter(|cause| cause.is_about_levels())
            .for_each(|cause| self.clear(cause));
    }

    /// The levels are others. What the venue has come to stays true, on any feed.
    fn levels_are_new(&mut self) {
        self.clear_levels();
        self.clear(Cause::Crossed);
    }

    fn clear_all(&mut self) {
        Cause::ALL.into_iter().for_each(|cause| self.clear(cause));
    }
}

fn lasted(since: Option<Instant>, now: Instant) -> Duration {
    since.map_or(Duration::ZERO, |at| now.saturating_duration_since(at))
}

/// Whether a book that is stale for this reason may be a right one of before.
fn is_of_missing_change(reason: StaleReason) -> bool {
    matches!(
        reason,
        StaleReason::Mirror | StaleReason::Silent | StaleReason::Audit
    )
}

/// What readers see: what the worker knows, with what has reached the process and not
/// the worker. `against`: why that makes a live book stale.
pub(crate) fn as_read(known: BookState, is_ended: bool, against: Option<StaleReason>) -> BookState {
    match (known, against) {
        _ if is_ended => BookState::Settled,
        (BookState::Live, Some(reason)) => BookState::Stale(reason),
        (known, _) => known,
    }
}

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;
