//! What the program showed of one asset, held against the truth.
//!
//! The rules, for a book shown as live:
//!
//! - Levels that are the truth at that moment are right.
//! - Levels that were the truth are *behind*. The first word of a later state,
//!   by socket or by REST, is the evidence. From the moment they ceased to be
//!   the truth to the evidence is *wrong before evidence*; the allowance for
//!   delivery follows; what is left is *wrong after evidence*.
//! - Levels that never were the truth came from applying what was told to what
//!   was not right any more. What was told carried the proof: all of it is
//!   wrong after evidence, and there is no allowance. (Where messages carry
//!   none, the evidence is a REST answer that the feed has not overtaken, and for
//!   levels that were the truth word of the very next state.)
//!
//! An observation stands until the next one, so that a span can be too long by
//! one look, never too short.

use std::time::Duration;

use polypy_core::BookState;

use super::truth::Truth;

/// A book that has been stale for longer than this in the end is left so.
const LEFT: Duration = Duration::from_secs(1);

/// What a reader saw from this moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// When.
    pub at: Duration,
    /// The state the book was shown in.
    pub state: BookState,
    /// Its levels as one number.
    pub digest: u64,
    /// Its epoch.
    pub epoch: u64,
    /// Its sequence.
    pub sequence: u64,
    /// Whether its levels did not give the venue's hash at the last check.
    pub refuted: bool,
}

/// How strict the judge is.
#[derive(Debug, Clone)]
pub struct Rules {
    /// From a state's publication to its being readable, at most.
    pub delivery: Duration,
    /// Whether messages can prove anything at all: they state neither hash nor
    /// top when this is false, and then levels that never were are no evidence.
    pub provable: bool,
    /// Times at which the machine did not run the judge, and so, likely, nobody.
    pub pauses: Vec<(Duration, Duration)>,
}

impl Rules {
    /// The allowance from `evidence` on: what the machine slept is added.
    fn allowed_until(&self, evidence: Duration) -> Duration {
        let mut until = evidence + self.delivery;
        for &(from, to) in &self.pauses {
            if from < until && to > evidence {
                until += to.saturating_sub(from.max(evidence));
            }
        }
        until
    }
}

/// What was found of one asset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Time shown as live.
    pub live: Duration,
    /// Of that, wrong after evidence.
    pub after_evidence: Duration,
    /// Spans of it that were wrong before evidence.
    pub before_evidence: Vec<Duration>,
    /// From the beginning of such a wrong to its being shown as stale.
    pub detections: Vec<Duration>,
    /// From live to live again.
    pub outages: Vec<Duration>,
    /// The state each of them, and one that did not end, was shown in at first.
    pub states: Vec<BookState>,
    /// Those of them in which the book was right all the time, to the moment:
    /// when they began, and the state it was shown in at first.
    pub outages_right: Vec<(Duration, BookState)>,
    /// It was not live in the end.
    pub left_stale: bool,
    /// Its sequence or its epoch went back.
    pub regressions: usize,
    /// It was shown as live beside a hash that its levels do not give.
    pub live_refuted: usize,
    /// The first thing that was wrong after evidence, for whoever has to mend it.
    pub first: Option<(Duration, Duration)>,
}

/// Holds what was seen of one asset until `end` against the truth.
pub fn judge(seen: &[Seen], end: Duration, truth: &Truth, rules: &Rules) -> Verdict {
    let mut verdict = Verdict::default();
    let mut outage: Option<(Duration, BookState, bool)> = None;
    let mut was_live = false;
    let mut wrong_since: Option<Duration> = None;
    let mut reached = 0;
    for (index, now) in seen.iter().enumerate() {
        let until = seen.get(index + 1).map_or(end, |next| next.at);
        if let Some(before) = index.checked_sub(1).map(|index| seen[index])
            && (now.sequence < before.sequence || now.epoch < before.epoch)
        {
            verdict.regressions += 1;
        }
        if now.state == BookState::Settled {
            // Its market has ended: nothing is to come back.
            outage = None;
            wrong_since = None;
        } else if now.state == BookState::Live {
            if let Some((since, state, right)) = outage.take() {
                verdict.outages.push(now.at.saturating_sub(since));
                if right {
                    verdict.outages_right.push((since, state));
                }
            }
            was_live = true;
            verdict.live_refuted += usize::from(now.refuted);
            verdict.live += until.saturating_sub(now.at);
            if let Some(state) = truth.shown(now.digest, now.at) {
                reached = reached.max(state.sequence);
            }
            let wrong = judge_live(now, until, truth, rules, reached, &mut verdict);
            // A wrong that goes on from look to look is one.
            wrong_since = match (wrong, wrong_since) {
                (Some((from, to)), Some(since)) if from == now.at && to == until => Some(since),
                (Some((from, to)), _) if to == until => Some(from),
                _ => None,
            };
        } else {
            if let Some(since) = wrong_since.take() {
                verdict.detections.push(now.at.saturating_sub(since));
            }
            if was_live {
                let right = truth.wrong(now.digest, now.at, until).is_empty();
                match &mut outage {
                    None => {
                        verdict.states.push(now.state);
                        outage = Some((now.at, now.state, right));
                    }
                    Some((_, _, so_far)) => *so_far &= right,
                }
            }
        }
    }
    // One that has only just begun may be of a moment.
    verdict.left_stale = outage.is_some_and(|(since, ..)| since + LEFT < end);
    verdict
}

/// Judges a span in which the book was live; the last of what was wrong in it
/// and could not be known. `reached`: the newest state that the book has shown so far.
fn judge_live(
    seen: &Seen,
    until: Duration,
    truth: &Truth,
    rules: &Rules,
    reached: u64,
    verdict: &mut Verdict,
) -> Option<(Duration, Duration)> {
    let mut last = None;
    for (from, to) in truth.wrong(seen.digest, seen.at, until) {
        let evidence = match truth.shown(seen.digest, from) {
            shown if !rules.provable => {
                // A book that took a change back looks as it did before that, and is not
                // where it was: what it was told since then it has.
                let shown = shown.filter(|state| state.sequence >= reached);
                truth.evidence_without_proof(shown, from, to, rules.delivery)
            }
            Some(state) => truth.evidence(state.sequence, to),
            None => {
                verdict.condemn(from, to);
                continue;
            }
        };
        let known = evidence.map_or(to, |evidence| evidence.clamp(from, to));
        if known > from {
            verdict.before_evidence.push(known - from);
            last = Some((from, to));
        }
        if let Some(evidence) = evidence {
            let allowed = rules.allowed_until(evidence).max(from);
            if allowed < to {
                verdict.condemn(allowed, to);
            }
        }
    }
    last
}

impl Verdict {
    fn condemn(&mut self, from: Duration, to: Duration) {
        self.after_evidence += to - from;
        self.first.get_or_insert((from, to));
    }
}

#[cfg(test)]
mod tests {
    use polypy_core::StaleReason;

    use super::super::truth::State;
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn rules() -> Rules {
        Rules {
            delivery: ms(20),
            provable: true,
            pauses: Vec::new(),
        }
    }

    fn seen(at: u64, live: bool, digest: u64) -> Seen {
        Seen {
            at: ms(at),
            state: if live {
                BookState::Live
            } else {
                BookState::Stale(StaleReason::Hash)
            },
            digest,
            epoch: 1,
            sequence: at,
            refuted: false,
        }
    }

    /// States 1, 2, 3, .. from 0, 100, 200, ..; those in `withheld` untold.
    fn truth(count: u64, withheld: &[u64]) -> Truth {
        let states = (1..=count).map(|sequence| State {
            sequence,
            digest: sequence,
            from: ms((sequence - 1) * 100),
            until: (sequence < count).then(|| ms(sequence * 100)),
            told: !withheld.contains(&sequence),
        });
        Truth::new(states.collect(), Vec::new())
    }

    #[test]
    fn a_book_that_follows_in_time_is_right() {
        let all = [seen(5, true, 1), seen(110, true, 2), seen(215, true, 3)];
        let verdict = judge(&all, ms(400), &truth(3, &[]), &rules());
        assert_eq!(verdict.live, ms(395));
        assert_eq!(verdict.after_evidence, Duration::ZERO);
        assert!(verdict.before_evidence.is_empty());
    }

    #[test]
    fn a_told_change_that_is_not_shown_in_time_is_wrong_after_evidence() {
        let verdict = judge(&[seen(0, true, 1)], ms(300), &truth(2, &[]), &rules());
        assert_eq!(verdict.after_evidence, ms(180));
        assert_eq!(verdict.first, Some((ms(120), ms(300))));
        assert!(verdict.before_evidence.is_empty());
        let mut slept = rules();
        slept.pauses.push((ms(90), ms(150)));
        let verdict = judge(&[seen(0, true, 1)], ms(300), &truth(2, &[]), &slept);
        assert_eq!(verdict.after_evidence, ms(130));
    }

    #[test]
    fn an_untold_change_is_wrong_before_evidence_until_the_next_is_told() {
        let all = [seen(0, true, 1), seen(205, false, 1), seen(300, true, 3)];
        let verdict = judge(&all, ms(400), &truth(3, &[2]), &rules());
        assert_eq!(verdict.before_evidence, [ms(100)]);
        assert_eq!(verdict.after_evidence, Duration::ZERO);
        assert_eq!(verdict.detections, [ms(105)]);
        assert_eq!(verdict.outages, [ms(95)]);
        assert!(verdict.outages_right.is_empty());
    }

    #[test]
    fn levels_that_never_were_are_wrong_after_evidence_at_once() {
        let all = [seen(0, true, 1), seen(50, true, 99), seen(57, false, 99)];
        let verdict = judge(&all, ms(100), &truth(1, &[]), &rules());
        assert_eq!(verdict.after_evidence, ms(7));
        assert!(!verdict.left_stale, "for {LEFT:?} yet");
        let later = judge(&all, ms(1_100), &truth(1, &[]), &rules());
        assert!(later.left_stale);
        let silent = Rules {
            provable: false,
            ..rules()
        };
        let verdict = judge(&all, ms(100), &truth(1, &[]), &silent);
        assert_eq!(verdict.after_evidence, Duration::ZERO);
        assert_eq!(verdict.before_evidence, [ms(7)]);
    }

    #[test]
    fn without_proof_a_book_that_looks_as_it_did_long_before_is_not_where_it_was() {
        let silent = Rules {
            provable: false,
            ..rules()
        };
        // 2 follows 1, 3 is withheld, and 4 takes back what 2 did.
        let all = [seen(0, true, 1), seen(105, true, 2), seen(305, true, 1)];
        let verdict = judge(&all, ms(400), &truth(4, &[3]), &silent);
        assert_eq!(verdict.after_evidence, Duration::ZERO);
        // One that was never told of 2 is where it was.
        let verdict = judge(&all[..1], ms(400), &truth(4, &[3]), &silent);
        assert_eq!(verdict.after_evidence, ms(280));
    }

    #[test]
    fn an_outage_of_a_right_book_is_told_apart() {
        let all = [
            seen(0, true, 1),
            seen(10, false, 1),
            seen(60, true, 1),
            seen(70, false, 7),
            seen(80, true, 1),
        ];
        let verdict = judge(&all, ms(100), &truth(1, &[]), &rules());
        assert_eq!(verdict.outages, [ms(50), ms(10)]);
        assert_eq!(verdict.outages_right.len(), 1);
        assert!(!verdict.left_stale);
    }

    #[test]
    fn a_sequence_that_goes_back_is_noticed() {
        let mut all = [seen(0, true, 1), seen(10, true, 1)];
        all[1].sequence = 0;
        all[0].sequence = 1;
        assert_eq!(judge(&all, ms(20), &truth(1, &[]), &rules()).regressions, 1);
    }
}
