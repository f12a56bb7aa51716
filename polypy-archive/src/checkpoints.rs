//! Copies of the program's books for a recording: which are made when.
//!
//! | state | by | to |
//! |---|---|---|
//! | resting | a file begins, or frames were lost | walking: of what a reader lacks |
//! | resting | a minute has passed | walking: of what has changed |
//! | walking | all lanes were walked, and no stale book is asked for again | resting |
//! | any | nothing is written | resting, until a file begins |
//!
//! A walk looks at every book, lane by lane, a page at a time. A lane is walked only
//! once its worker has applied all that it was given before a moment: two seconds after
//! the file began, or after frames were lost. What stands before the file, or was lost, had
//! been delivered by then, so that it is in the copies. A reader needs nothing but the
//! file from there.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use polypy_core::{
    AssetId, AssetKey, BookPosition, BookState, Checkpoint, CheckpointSource, Copied, Lane,
};

/// What a thread takes at most from the queue of frames to that of a worker. The program
/// calls itself suspended beyond that.
const DELIVERY: Duration = Duration::from_secs(2);
/// So long a stale book is asked for again, and so often.
const ASKED_AGAIN: Duration = Duration::from_secs(10);
const ASKED_EVERY: Duration = Duration::from_secs(1);
/// Between two walks of what has changed.
const REST: Duration = Duration::from_secs(60);
/// Between two pages, so that the workers have their books to themselves nearly always.
const PAGE: Duration = Duration::from_millis(1);
/// Between two tries where a worker is busy, or does not run.
const BUSY: Duration = Duration::from_millis(20);
/// A worker that is busy for so long is passed over. What it keeps is written when it
/// is next walked.
const PASSED_OVER: Duration = Duration::from_secs(60);
/// From here on there is no book.
const NO_PLACE: usize = usize::MAX;

/// Which books are to be copied, and those that were and are not written yet.
pub(crate) struct Checkpoints {
    source: Option<Arc<dyn CheckpointSource>>,
    /// Where each book stood of which the file has a copy that a reader can go on from.
    written: HashMap<AssetKey, BookPosition>,
    keys: HashMap<AssetId, AssetKey>,
    /// Copies count that have all that was delivered before this.
    whole_from: Instant,
    state: State,
    copies: Vec<Checkpoint>,
}

#[derive(Debug)]
enum State {
    /// Until the next walk; `None`: nothing is written.
    Resting(Option<Instant>),
    Walking(Walk),
}

#[derive(Debug)]
struct Walk {
    goal: Goal,
    /// Each lane's place.
    lanes: Vec<Place>,
    /// The one that is tried next.
    lane: usize,
    since: Instant,
    next: Instant,
}

#[derive(Debug)]
enum Goal {
    /// What a reader lacks. Stale books are put aside, and asked for again till then.
    Whole {
        again: HashSet<AssetKey>,
        until: Instant,
    },
    /// The same: those that were put aside.
    Again {
        only: HashSet<AssetKey>,
        again: HashSet<AssetKey>,
        until: Instant,
    },
    /// What has changed.
    Changes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Its worker may have something from before.
    Waiting,
    At(usize),
    Done,
}

impl Checkpoints {
    /// Of these books, if there are any.
    pub(crate) fn new(source: Option<Arc<dyn CheckpointSource>>, now: Instant) -> Self {
        Self {
            source,
            written: HashMap::new(),
            keys: HashMap::new(),
            whole_from: now,
            state: State::Resting(None),
            copies: Vec::new(),
        }
    }

    /// A file begins, and has no book yet.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.written.clear();
        self.keys.clear();
        self.walk_whole(now);
    }

    /// Frames were lost till this moment: a reader needs these books again.
    pub(crate) fn lost(&mut self, tokens: impl IntoIterator<Item = AssetId>, now: Instant) {
        for token in tokens {
            if let Some(key) = self.keys.get(&token) {
                self.written.remove(key);
            }
        }
        if !matches!(self.state, State::Resting(None)) {
            self.walk_whole(now);
        }
    }

    /// Nothing is written until a file begins.
    pub(crate) fn stop(&mut self) {
        self.copies.clear();
        self.state = State::Resting(None);
    }

    /// Whether the file has every book that it has to begin with.
    pub(crate) fn are_said(&self) -> bool {
        match &self.state {
            State::Resting(_) => true,
            State::Walking(walk) => matches!(walk.goal, Goal::Changes),
        }
    }

    /// When there is something to do, if there is.
    pub(crate) fn next(&self) -> Option<Instant> {
        let next = match &self.state {
            State::Resting(next) => *next,
            State::Walking(walk) => Some(walk.next.max(self.whole_from)),
        };
        next.filter(|_| self.source.is_some())
    }

    /// Copies the next books, if it is time. They are to be written once the queue was
    /// emptied of what came before.
    pub(crate) fn copy(&mut self, now: Instant) {
        let Some(source) = self.source.clone() else {
            return;
        };
        if self.next().is_none_or(|next| now < next) {
            return;
        }
        if let State::Resting(_) = self.state {
            self.state = State::Walking(Walk::new(Goal::Changes, source.lanes(), now));
        }
        let State::Walking(walk) = &mut self.state else {
            return;
        };
        walk.copy(
            (&*source, self.whole_from),
            &self.written,
            &mut self.copies,
            now,
        );
        if walk.lanes.iter().all(|place| *place == Place::Done) {
            self.end_walk(source.lanes(), now);
        }
    }

    /// Whether copies wait to be written.
    pub(crate) fn are_copied(&self) -> bool {
        !self.copies.is_empty()
    }

    /// They are not to be written: something was lost that is in them.
    pub(crate) fn drop_copies(&mut self) {
        self.copies.clear();
    }

    /// What is to be written now.
    pub(crate) fn take(&mut self) -> Vec<Checkpoint> {
        for copy in &self.copies {
            let info = &copy.whole.info;
            self.written.insert(info.key, copy.whole.position);
            self.keys.insert(info.asset_id.clone(), info.key);
        }
        std::mem::take(&mut self.copies)
    }

    // ---- how ----------------------------------------------------------------

    fn walk_whole(&mut self, now: Instant) {
        self.copies.clear();
        self.whole_from = now + DELIVERY;
        let Some(source) = &self.source else {
            return;
        };
        let goal = Goal::Whole {
            again: HashSet::new(),
            until: self.whole_from + ASKED_AGAIN,
        };
        self.state = State::Walking(Walk::new(goal, source.lanes(), self.whole_from));
    }

    fn end_walk(&mut self, lanes: u16, now: Instant) {
        let rest = State::Resting(Some(now + REST));
        let State::Walking(walk) = std::mem::replace(&mut self.state, rest) else {
            return;
        };
        let (again, until) = match walk.goal {
            Goal::Whole { again, until } | Goal::Again { again, until, .. } => (again, until),
            Goal::Changes => return,
        };
        if !again.is_empty() {
            let goal = Goal::Again {
                only: again,
                again: HashSet::new(),
                until,
            };
            let next = until.min(now + ASKED_EVERY);
            self.state = State::Walking(Walk::new(goal, lanes, next));
        }
    }
}

impl Walk {
    fn new(goal: Goal, lanes: u16, since: Instant) -> Self {
        Self {
            goal,
            lanes: vec![Place::Waiting; usize::from(lanes)],
            lane: 0,
            since,
            next: since,
        }
    }

    /// Looks at the next page.
    fn copy(
        &mut self,
        (source, whole_from): (&dyn CheckpointSource, Instant),
        written: &HashMap<AssetKey, BookPosition>,
        out: &mut Vec<Checkpoint>,
        now: Instant,
    ) {
        let first = self.lane;
        let order = (0..self.lanes.len()).map(|at| (first + at) % self.lanes.len());
        let Some(at) = order.into_iter().find(|at| self.lanes[*at] != Place::Done) else {
            return;
        };
        let lane = Lane(u16::try_from(at).unwrap_or(u16::MAX));
        let is_wanted = |key: AssetKey, position: BookPosition| {
            self.goal.wants(key, position, written.get(&key))
        };
        let copied = match self.lanes[at] {
            Place::Waiting => {
                let looked = source.copy(lane, NO_PLACE, &|_, _| false, out);
                let is_whole = |copied: &Copied| copied.applied_before >= whole_from;
                // From now on it is: what comes is younger.
                looked.filter(is_whole).map(|_| Place::At(0))
            }
            Place::At(from) => {
                let copied = source.copy(lane, from, &is_wanted, out);
                copied.map(|copied| copied.next.map_or(Place::Done, Place::At))
            }
            Place::Done => return,
        };
        self.next = now + PAGE;
        match copied {
            Some(place) => {
                self.lane = at;
                self.lanes[at] = place;
            }
            None if now.saturating_duration_since(self.since) >= PASSED_OVER => {
                tracing::debug!(lane = at, "books of a busy worker are not copied");
                self.lanes[at] = Place::Done;
            }
            None => {
                self.lane = at + 1;
                self.next = now + BUSY;
            }
        }
        self.put_aside(out, now);
    }

    /// Stale books may be live again in a moment.
    fn put_aside(&mut self, out: &mut Vec<Checkpoint>, now: Instant) {
        let is_stale = |copy: &Checkpoint| matches!(copy.whole.status.state, BookState::Stale(_));
        match &mut self.goal {
            Goal::Whole { again, until } | Goal::Again { again, until, .. } => {
                if now < *until {
                    let stale = out.extract_if(.., |copy| is_stale(copy));
                    again.extend(stale.map(|copy| copy.whole.info.key));
                }
            }
            Goal::Changes => out.retain(|copy| !is_stale(copy)),
        }
    }
}

impl Goal {
    /// Whether a book that stands there is to be copied, where it was written so.
    fn wants(&self, key: AssetKey, position: BookPosition, written: Option<&BookPosition>) -> bool {
        match self {
            Self::Whole { .. } => written.is_none(),
            Self::Again { only, .. } => written.is_none() && only.contains(&key),
            Self::Changes => written != Some(&position),
        }
    }
}

impl std::fmt::Debug for Checkpoints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checkpoints")
            .field("written", &self.written.len())
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "checkpoints_tests.rs"]
mod tests;
