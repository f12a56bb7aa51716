//! What was true of one asset, when, and who could know.
//!
//! Times are durations since the judge began. A state is *told* when at least
//! one socket had the asset subscribed as it was published and no fault kept it
//! back; it was *unread* when nobody had, which whoever lost his socket knows.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use polypy_core::AssetId;
use polypy_sim::{FaultKind, JournalEntry, SimHandle, Withheld};

/// One state of the book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The exchange's sequence.
    pub sequence: u64,
    /// Its levels as one number.
    pub digest: u64,
    /// When it became the truth.
    pub from: Duration,
    /// When another took its place.
    pub until: Option<Duration>,
    /// Whether a message or a closed socket spoke of it.
    pub told: bool,
}

/// The states that none of those who had the asset subscribed was told.
fn unheard(states: &[JournalEntry], withheld: &[Withheld]) -> HashSet<u64> {
    let mut deaf: HashMap<u64, HashSet<Option<u64>>> = HashMap::new();
    for event in withheld {
        // An opening book is of a state that was told to those before.
        if event.fault == FaultKind::MissingFirstBook {
            continue;
        }
        let sockets = deaf.entry(event.sequence).or_default();
        sockets.insert(event.connection);
    }
    let unheard = states.iter().filter(|state| {
        let sockets = deaf.get(&state.sequence);
        sockets.is_some_and(|deaf| deaf.contains(&None) || deaf.len() >= state.readers)
    });
    unheard.map(|state| state.sequence).collect()
}

/// All states of one asset, oldest first.
#[derive(Debug, Default)]
pub struct Truth {
    states: Vec<State>,
    by_digest: HashMap<u64, Vec<usize>>,
    /// What REST answered: the state and when.
    served: Vec<(u64, Duration)>,
}

impl Truth {
    /// Of these states and answers.
    pub fn new(states: Vec<State>, served: Vec<(u64, Duration)>) -> Self {
        let mut by_digest: HashMap<u64, Vec<usize>> = HashMap::new();
        for (at, state) in states.iter().enumerate() {
            by_digest.entry(state.digest).or_default().push(at);
        }
        Self {
            states,
            by_digest,
            served,
        }
    }

    /// As the exchange has noted it down. What was before `began` is at zero.
    ///
    /// One message tells an order to both tokens of a market. So a state is
    /// told, too, by what the other token's readers were given of the same time,
    /// if it can be proven: `sibling` names that token then.
    pub fn of(sim: &SimHandle, asset: &AssetId, sibling: Option<&AssetId>, began: Instant) -> Self {
        let since = |at: tokio::time::Instant| at.into_std().saturating_duration_since(began);
        let withheld = |asset: &AssetId| unheard(&sim.journal(asset), &sim.withheld(asset));
        let mut withheld_here = withheld(asset);
        if let Some(sibling) = sibling {
            let withheld = withheld(sibling);
            let states = sim.journal(sibling);
            let told = states
                .iter()
                .filter(|entry| !withheld.contains(&entry.sequence));
            let told: HashSet<_> = told.map(|entry| entry.timestamp).collect();
            for entry in sim.journal(asset) {
                if told.contains(&entry.timestamp) {
                    withheld_here.remove(&entry.sequence);
                }
            }
        }
        let states = sim.journal(asset).into_iter().map(|entry| State {
            sequence: entry.sequence,
            digest: entry.digest,
            from: since(entry.published),
            until: entry.until.map(since),
            told: !withheld_here.contains(&entry.sequence),
        });
        let served = sim.served(asset).into_iter();
        Self::new(
            states.collect(),
            served
                .map(|served| (served.sequence, since(served.at)))
                .collect(),
        )
    }

    /// The parts of a span in which a book with these levels was not the truth.
    pub fn wrong(&self, digest: u64, from: Duration, until: Duration) -> Vec<(Duration, Duration)> {
        let mut wrong = Vec::new();
        let mut at = from;
        for &index in self.by_digest.get(&digest).into_iter().flatten() {
            let state = &self.states[index];
            let end = state.until.unwrap_or(Duration::MAX);
            if end <= at {
                continue;
            }
            if state.from >= until {
                break;
            }
            if state.from > at {
                wrong.push((at, state.from));
            }
            at = end;
            if at >= until {
                return wrong;
            }
        }
        if at < until {
            wrong.push((at, until));
        }
        wrong
    }

    /// The newest state with these levels that had begun by `at`; `None` for
    /// levels that never were the truth.
    pub fn shown(&self, digest: u64, at: Duration) -> Option<&State> {
        let known = self.by_digest.get(&digest)?;
        let begun = known
            .iter()
            .rev()
            .map(|&index| &self.states[index])
            .find(|state| state.from <= at);
        begun.or_else(|| known.first().map(|&index| &self.states[index]))
    }

    /// When REST first answered after `sequence` and since `from`, before `until`,
    /// with a state that the feed did not overtake on the way: no later one was
    /// told before `delivery` had passed. To a book without hashes an answer that
    /// is older than its newest change says nothing, since REST lags.
    fn newest_served(
        &self,
        sequence: u64,
        from: Duration,
        until: Duration,
        delivery: Duration,
    ) -> Option<Duration> {
        let overtaken = |served: u64, at: Duration| {
            let mut later = self.after(served).iter();
            later.any(|state| state.told && state.from <= at + delivery)
        };
        let answers = self.served.iter();
        let answers =
            answers.filter(|(served, at)| *served > sequence && (from..until).contains(at));
        let newest = answers.filter(|&&(served, at)| !overtaken(served, at));
        newest.map(|(_, at)| *at).min()
    }

    fn after(&self, sequence: u64) -> &[State] {
        let begin = self
            .states
            .partition_point(|state| state.sequence <= sequence);
        &self.states[begin..]
    }

    /// What can be known where messages prove nothing, between `from` and `until`,
    /// of a book that shows the state `shown` or one that never was.
    ///
    /// A change says nothing of one before it that was withheld: the book that
    /// applies it is wrong in a new way, and one that then takes it back looks as
    /// it did before the loss. So word of the very next state counts, and REST.
    pub fn evidence_without_proof(
        &self,
        shown: Option<&State>,
        from: Duration,
        until: Duration,
        delivery: Duration,
    ) -> Option<Duration> {
        let next = shown.and_then(|shown| self.after(shown.sequence).first());
        let told = next.filter(|next| next.told).map(|next| next.from);
        let sequence = shown.map_or(0, |shown| shown.sequence);
        let served = self.newest_served(sequence, from, until, delivery);
        let first = [told, served].into_iter().flatten().min();
        first.filter(|at| *at < until)
    }

    /// When the first word of a state after `sequence` set out, before `until`:
    /// by socket or by REST.
    pub fn evidence(&self, sequence: u64, until: Duration) -> Option<Duration> {
        let told = self.after(sequence).iter().find(|state| state.told);
        let told = told.map(|state| state.from);
        let begin = self.served.iter().filter(|(served, _)| *served > sequence);
        let served = begin.map(|(_, at)| *at).min();
        [told, served]
            .into_iter()
            .flatten()
            .min()
            .filter(|at| *at < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// 1 at 0, 2 at 100 (withheld), 1 again at 200, 3 at 300.
    fn truth() -> Truth {
        let state = |sequence, digest, from, until, told| State {
            sequence,
            digest,
            from: ms(from),
            until,
            told,
        };
        Truth::new(
            vec![
                state(1, 11, 0, Some(ms(100)), true),
                state(2, 12, 100, Some(ms(200)), false),
                state(3, 11, 200, Some(ms(300)), true),
                state(4, 13, 300, None, true),
            ],
            vec![(2, ms(150))],
        )
    }

    #[test]
    fn a_book_is_wrong_whenever_its_levels_are_not_the_truth() {
        let truth = truth();
        let wrong = |digest, from, until| truth.wrong(digest, ms(from), ms(until));
        assert_eq!(wrong(11, 0, 100), []);
        assert_eq!(wrong(11, 50, 400), [(ms(100), ms(200)), (ms(300), ms(400))]);
        assert_eq!(wrong(13, 250, 500), [(ms(250), ms(300))]);
        assert_eq!(wrong(99, 10, 20), [(ms(10), ms(20))]);
        assert_eq!(wrong(12, 120, 130), []);
    }

    #[test]
    fn what_is_shown_is_the_newest_state_that_fits() {
        let truth = truth();
        let shown = |digest, at| truth.shown(digest, ms(at)).map(|state| state.sequence);
        assert_eq!(shown(11, 150), Some(1));
        assert_eq!(shown(11, 250), Some(3));
        assert_eq!(shown(99, 250), None);
    }

    #[test]
    fn an_answer_that_the_feed_overtook_is_no_evidence() {
        let truth = truth();
        let served = |sequence, from, until, delivery| {
            truth.newest_served(sequence, ms(from), ms(until), ms(delivery))
        };
        assert_eq!(served(0, 100, 200, 20), Some(ms(150)));
        assert_eq!(served(2, 100, 200, 20), None, "the book has that state");
        assert_eq!(served(0, 100, 200, 50), None, "state 3 was told at 200");
        assert_eq!(served(0, 100, 150, 20), None, "not yet answered");
    }

    #[test]
    fn without_proof_a_change_is_no_evidence_of_one_withheld_before_it() {
        let truth = truth();
        let known = |sequence: u64, from| {
            let shown = truth.states.iter().find(|state| state.sequence == sequence);
            truth.evidence_without_proof(shown, ms(from), ms(400), ms(20))
        };
        assert_eq!(known(1, 160), None, "2 was withheld, 3 says nothing of it");
        assert_eq!(known(1, 110), Some(ms(150)), "REST showed 2");
        assert_eq!(known(2, 160), Some(ms(200)), "3 follows");
        assert_eq!(known(0, 110), Some(ms(150)), "never the truth: REST alone");
    }

    #[test]
    fn the_first_word_of_a_later_state_is_the_evidence() {
        let truth = truth();
        assert_eq!(truth.evidence(1, ms(400)), Some(ms(150)), "REST's");
        assert_eq!(truth.evidence(1, ms(140)), None, "not yet");
        assert_eq!(truth.evidence(2, ms(400)), Some(ms(200)));
        assert_eq!(truth.evidence(4, ms(400)), None);
    }
}
