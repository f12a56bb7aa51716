//! Questions about single markets, asked in batches.
//!
//! Two kinds: whether an announced market is open by now (Gamma lists it up to
//! minutes after the feed announces it), and whether a market that is missing
//! or silent is closed (Gamma says so up to minutes after the fact). Both are
//! asked a few times, further and further apart, and then left to discovery.
//! One lookup a market and kind is pending at most; the queue is bounded.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use polypy_core::ConditionId;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::closing::Ended;
use super::{Shared, stats};
use crate::backoff::Backoff;
use crate::gamma::{GammaError, MAX_LOOKUP, MarketState, Row, SkipReason};
use crate::reason::chain;

/// Pending questions of one kind at most: an hour of announcements.
const MAX_PENDING: usize = 4_096;
/// Least time between two rounds of questions, so that they gather.
const ROUND: Duration = Duration::from_secs(1);
/// Longest pause while Gamma fails.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// What is asked about a market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lookup {
    /// It was announced: is it listed, and can it be traded?
    IsOpen,
    /// It seems gone: is it closed?
    IsClosed,
}

impl Lookup {
    /// When to ask, counted from the time before. A market is listed within
    /// seconds to minutes, and called closed 51 s to 3 min after it resolved.
    fn delays(self) -> &'static [Duration] {
        const IS_OPEN: [Duration; 5] = [
            Duration::from_secs(1),
            Duration::from_secs(5),
            Duration::from_secs(30),
            Duration::from_secs(90),
            Duration::from_secs(240),
        ];
        const IS_CLOSED: [Duration; 5] = [
            Duration::ZERO,
            Duration::from_secs(15),
            Duration::from_secs(45),
            Duration::from_secs(120),
            Duration::from_secs(300),
        ];
        match self {
            Self::IsOpen => &IS_OPEN,
            Self::IsClosed => &IS_CLOSED,
        }
    }
}

/// The pending questions.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    is_open: Mutex<Queue>,
    is_closed: Mutex<Queue>,
    wake: Notify,
}

/// Questions of one kind, by the moment they are due.
#[derive(Debug, Default)]
struct Queue {
    due: BTreeSet<(Instant, ConditionId)>,
    /// How often each has been asked.
    pending: HashMap<ConditionId, usize>,
}

/// A lookup taken out to be asked.
#[derive(Debug)]
struct Asked {
    condition: ConditionId,
    asked: usize,
}

impl Queue {
    /// Whether there is room; a lookup that is pending already stays as it is.
    fn push(&mut self, condition: ConditionId, due: Instant, asked: usize) -> bool {
        if self.pending.contains_key(&condition) {
            return true;
        }
        if self.pending.len() >= MAX_PENDING {
            return false;
        }
        self.due.insert((due, condition.clone()));
        self.pending.insert(condition, asked);
        true
    }

    /// Takes what is due, the longest due first, one batch at most.
    fn take_due(&mut self, now: Instant) -> Vec<Asked> {
        let mut taken = Vec::new();
        while taken.len() < MAX_LOOKUP
            && let Some((due, _)) = self.due.first()
            && *due <= now
            && let Some((_, condition)) = self.due.pop_first()
        {
            let asked = self.pending.remove(&condition).unwrap_or(0);
            taken.push(Asked { condition, asked });
        }
        taken
    }

    fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }
}

impl Lookups {
    fn queue(&self, lookup: Lookup) -> &Mutex<Queue> {
        match lookup {
            Lookup::IsOpen => &self.is_open,
            Lookup::IsClosed => &self.is_closed,
        }
    }

    /// Questions pending.
    pub(super) fn len(&self, lookup: Lookup) -> usize {
        self.queue(lookup).lock().pending.len()
    }

    fn next_due(&self) -> Option<Instant> {
        let is_open = self.is_open.lock().next_due();
        let is_closed = self.is_closed.lock().next_due();
        is_open.into_iter().chain(is_closed).min()
    }
}

/// Asks what is due, for ever.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut backoff = Backoff::new(ROUND, MAX_PAUSE);
    loop {
        match shared.lookups.next_due() {
            Some(due) => tokio::select! {
                () = sleep_until(due) => {}
                () = shared.lookups.wake.notified() => continue,
            },
            None => {
                shared.lookups.wake.notified().await;
                continue;
            }
        }
        let mut failed = false;
        for lookup in [Lookup::IsClosed, Lookup::IsOpen] {
            failed |= shared.ask_due(lookup).await.is_err();
        }
        if failed {
            sleep(ROUND + backoff.next_delay()).await;
        } else {
            backoff.reset();
            sleep(ROUND).await;
        }
    }
}

impl Shared {
    /// Puts a lookup; where there is no room it is dropped and counted.
    pub(super) fn ask(&self, lookup: Lookup, condition: ConditionId) {
        if self.is_moot(lookup, &condition) {
            return;
        }
        self.put(lookup, condition, 0);
    }

    /// Whether the answer would change nothing.
    fn is_moot(&self, lookup: Lookup, condition: &ConditionId) -> bool {
        match lookup {
            Lookup::IsOpen => {
                self.selecting.knows(condition)
                    && !self.delistings.has_vanished(condition)
                    && !self.closings.is_closed(condition)
            }
            Lookup::IsClosed => !self.registry.is_live(condition),
        }
    }

    fn put(&self, lookup: Lookup, condition: ConditionId, asked: usize) {
        let Some(delay) = lookup.delays().get(asked) else {
            stats::count(&self.stats.lookups_given_up);
            return;
        };
        self.put_at(lookup, condition, asked, Instant::now() + *delay);
    }

    fn put_at(&self, lookup: Lookup, condition: ConditionId, asked: usize, due: Instant) {
        if self
            .lookups
            .queue(lookup)
            .lock()
            .push(condition, due, asked)
        {
            self.lookups.wake.notify_one();
        } else {
            stats::count(&self.stats.lookups_dropped);
        }
    }

    async fn ask_due(&self, lookup: Lookup) -> Result<(), GammaError> {
        let mut due = self.lookups.queue(lookup).lock().take_due(Instant::now());
        due.retain(|asked| !self.is_moot(lookup, &asked.condition));
        due.retain(|asked| {
            let until = self.gamma.set_aside_until(&asked.condition);
            if let Some(until) = until {
                self.put_at(lookup, asked.condition.clone(), asked.asked, until);
            }
            until.is_none()
        });
        if due.is_empty() {
            return Ok(());
        }
        stats::count(&self.stats.lookup_requests);
        let conditions: Vec<ConditionId> =
            due.iter().map(|asked| asked.condition.clone()).collect();
        let state = match lookup {
            Lookup::IsOpen => MarketState::Open,
            Lookup::IsClosed => MarketState::Closed,
        };
        let found = self.gamma.by_condition(&conditions, state).await;
        self.delistings.known(
            found
                .rows
                .iter()
                .filter_map(|row| row.condition_id.as_ref()),
        );
        for condition in self.act_on(lookup, found.rows).await {
            due.retain(|asked| asked.condition != condition);
        }
        let unanswered: HashSet<ConditionId> = found.unanswered.into_iter().collect();
        let (again, mut due): (Vec<Asked>, Vec<Asked>) = due
            .into_iter()
            .partition(|asked| unanswered.contains(&asked.condition));
        let mut failure = found.failure;
        if failure.is_none() && lookup == Lookup::IsClosed {
            failure = self.ask_whether_known(&due).await;
            due.retain(|asked| !self.is_moot(lookup, &asked.condition));
        }
        if failure.is_some() || !again.is_empty() {
            stats::count(&self.stats.lookup_failures);
        }
        if let Some(error) = &failure {
            tracing::warn!(
                error = chain(error),
                markets = again.len(),
                "look-up of markets failed"
            );
        }
        // No answer uses up none of the few times that a market is asked for.
        for Asked { condition, asked } in again {
            match self.gamma.set_aside_until(&condition) {
                Some(until) => self.put_at(lookup, condition, asked, until),
                None => self.put(lookup, condition, asked),
            }
        }
        for Asked { condition, asked } in due {
            self.put(lookup, condition, asked + 1);
        }
        failure.map_or(Ok(()), Err)
    }

    /// Of markets that are not closed and that CLOB denies: whether they are open.
    /// What went wrong, if Gamma is at fault.
    async fn ask_whether_known(&self, due: &[Asked]) -> Option<GammaError> {
        let now = Instant::now();
        let mut suspects: Vec<ConditionId> = due
            .iter()
            .map(|asked| asked.condition.clone())
            .filter(|condition| {
                let tokens = self.registry.assets_of(condition);
                self.delistings.is_suspect(condition, &tokens, now)
            })
            .collect();
        if suspects.is_empty() {
            return None;
        }
        stats::count(&self.stats.lookup_requests);
        let found = self.gamma.by_condition(&suspects, MarketState::Open).await;
        let known: Vec<&ConditionId> = found
            .rows
            .iter()
            .filter_map(|row| row.condition_id.as_ref())
            .collect();
        self.delistings.known(known.iter().copied());
        suspects.retain(|condition| {
            !known.contains(&condition) && !found.unanswered.contains(condition)
        });
        self.not_found(&suspects);
        found.failure
    }

    /// Acts on the rows of an answer; the markets whose lookup they settle.
    async fn act_on(&self, lookup: Lookup, rows: Vec<Row>) -> Vec<ConditionId> {
        let (mut settled, mut closed, mut open_again) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            let Some(condition) = row.condition_id.clone() else {
                continue;
            };
            let ended = Ended::of(&row);
            match (lookup, row.listed()) {
                (Lookup::IsOpen, Ok(listed)) if self.closings.is_closed(&condition) => {
                    open_again.push(listed);
                }
                (Lookup::IsOpen, Ok(listed)) => {
                    if self.hold().take_in(listed) {
                        stats::count(&self.stats.lookups_found);
                    }
                    settled.push(condition);
                }
                (Lookup::IsOpen, Err(SkipReason::Closed)) => settled.push(condition),
                (Lookup::IsClosed, _) => closed.extend(ended),
                (Lookup::IsOpen, Err(_)) => {}
            }
        }
        settled.extend(closed.iter().map(|ended| ended.condition.clone()));
        let stay: HashSet<ConditionId> = self.close(closed).await.into_iter().collect();
        settled.retain(|condition| !stay.contains(condition));
        settled.extend(self.reopen(open_again).await);
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_queue_is_bounded_deduplicated_and_served_in_order() {
        let mut queue = Queue::default();
        let now = Instant::now();
        let condition = |number: usize| ConditionId::new(&format!("0x{number:x}")).unwrap();
        for number in 0..MAX_PENDING + 10 {
            // Later numbers are due earlier.
            let due = now + Duration::from_millis(u64::try_from(9_000 - number).unwrap());
            let has_room = queue.push(condition(number), due, 0);
            assert_eq!(has_room, number < MAX_PENDING);
        }
        assert!(queue.push(condition(0), now, 3));
        assert_eq!(queue.due.len(), MAX_PENDING);
        assert!(queue.take_due(now).is_empty());
        let batch = queue.take_due(now + Duration::from_secs(10));
        assert_eq!(batch.len(), MAX_LOOKUP);
        assert_eq!(batch[0].condition, condition(MAX_PENDING - 1));
        assert_eq!(queue.pending.len(), queue.due.len());
        assert!(queue.push(batch[0].condition.clone(), now, 1));
        assert_eq!(queue.next_due(), Some(now));
        assert_eq!(queue.take_due(now)[0].asked, 1);
    }
}
