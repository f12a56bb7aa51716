//! The divisions against services that refuse by size, by id, or altogether.

use std::collections::BTreeSet;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// What a service makes of a set.
#[derive(Default)]
struct Service {
    /// Ids in a set at most.
    takes: Option<usize>,
    /// Ids on which it fails.
    bad: BTreeSet<u32>,
    is_down: bool,
    /// Every set asked for, in order.
    asked: Vec<Vec<u32>>,
}

impl Service {
    fn refusing(bad: impl IntoIterator<Item = u32>) -> Self {
        Self {
            bad: bad.into_iter().collect(),
            ..Self::default()
        }
    }

    fn takes(&self, set: &[u32]) -> bool {
        !self.is_down
            && self.takes.is_none_or(|most| set.len() <= most)
            && set.iter().all(|id| !self.bad.contains(id))
    }

    /// Asks it for `ids`: those answered, those not, and how many sets it took.
    fn ask(&mut self, batches: &Batches<u32>, ids: &[u32], now: Instant) -> Outcome {
        let begun = self.asked.len();
        let (mut answered, mut gave_up) = (BTreeSet::new(), false);
        let mut division = batches.divide(ids, now);
        while let Some(set) = division.next() {
            assert!(!gave_up, "asked on after it had given up");
            let mut sorted = set.clone();
            sorted.sort_unstable();
            self.asked.push(sorted);
            if self.takes(&set) {
                division.accepted(&set, now);
                answered.extend(set);
            } else {
                gave_up = division.failed(set, Blame::Request, &std::fmt::Error, now);
            }
        }
        let unanswered: BTreeSet<u32> = division.finish(now).into_iter().collect();
        assert!(answered.is_disjoint(&unanswered));
        assert_eq!(answered.len() + unanswered.len(), ids.len());
        Outcome {
            answered,
            unanswered,
            gave_up,
            sets: self.asked.len() - begun,
        }
    }
}

struct Outcome {
    answered: BTreeSet<u32>,
    unanswered: BTreeSet<u32>,
    gave_up: bool,
    sets: usize,
}

fn ids() -> Vec<u32> {
    (0..100).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_is_asked_for_at_once_in_sets_as_large_as_allowed() {
    let (batches, mut service) = (Batches::new("test", 40), Service::default());
    let outcome = service.ask(&batches, &ids(), Instant::now());
    assert_eq!((outcome.answered.len(), outcome.sets), (100, 3));
}

#[tokio::test(start_paused = true)]
async fn a_size_that_is_refused_is_halved_and_remembered_and_tried_again_later() {
    let (batches, now) = (Batches::new("test", 100), Instant::now());
    let mut service = Service {
        takes: Some(40),
        ..Service::default()
    };
    let outcome = service.ask(&batches, &ids(), now);
    assert_eq!(outcome.answered.len(), 100);
    let outcome = service.ask(&batches, &ids(), now + SECOND);
    assert_eq!((outcome.answered.len(), outcome.sets), (100, 4));
    assert_eq!(batches.figures(now).limit, 25);
    assert_eq!(batches.figures(now).set_aside, 0);
    // Twice as many are tried once; the service still does not take them.
    let later = now + GROWTH;
    let refused = service.asked.len();
    service.ask(&batches, &ids(), later);
    let too_long = |set: &&Vec<u32>| set.len() > 40;
    assert_eq!(service.asked[refused..].iter().filter(too_long).count(), 1);
    assert_eq!(batches.figures(later).limit, 25);
    // And later it does.
    service.takes = None;
    let outcome = service.ask(&batches, &ids(), later + GROWTH);
    assert_eq!(outcome.sets, 2);
    let outcome = service.ask(&batches, &ids(), later + GROWTH + GROWTH);
    assert_eq!(outcome.sets, 1);
}

#[tokio::test(start_paused = true)]
async fn a_bad_id_costs_no_other_its_answer_and_is_left_in_peace_for_ever_longer() {
    for bad in [0, 37, 99] {
        let (batches, now) = (Batches::new("test", 100), Instant::now());
        let mut service = Service::refusing([bad]);
        let outcome = service.ask(&batches, &ids(), now);
        assert_eq!(outcome.unanswered, BTreeSet::from([bad]));
        assert!(outcome.sets <= 17, "{}", outcome.sets);
        assert_eq!(batches.aside_until(&bad, now), Some(now + PAUSE));
        assert_eq!(batches.figures(now).limit, 100);
        // The others go on in one piece.
        let outcome = service.ask(&batches, &ids(), now + SECOND);
        assert_eq!((outcome.answered.len(), outcome.sets), (99, 1));
        // Its pause over, it is asked for alone.
        let outcome = service.ask(&batches, &ids(), now + PAUSE);
        assert_eq!((outcome.answered.len(), outcome.sets), (99, 2));
        let until = batches.aside_until(&bad, now + PAUSE);
        assert_eq!(until, Some(now + PAUSE + 2 * PAUSE));
        // It heals.
        service.bad.clear();
        let outcome = service.ask(&batches, &ids(), now + 3 * PAUSE);
        assert_eq!((outcome.answered.len(), outcome.sets), (100, 2));
        let outcome = service.ask(&batches, &ids(), now + 3 * PAUSE);
        assert_eq!((outcome.answered.len(), outcome.sets), (100, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn several_bad_ids_and_a_limit_are_told_apart() {
    let (batches, now) = (Batches::new("test", 100), Instant::now());
    let mut service = Service {
        takes: Some(30),
        ..Service::refusing([5, 6, 71])
    };
    let outcome = service.ask(&batches, &ids(), now);
    assert_eq!(outcome.unanswered, BTreeSet::from([5, 6, 71]));
    let outcome = service.ask(&batches, &ids(), now + SECOND);
    assert_eq!(outcome.unanswered, BTreeSet::from([5, 6, 71]));
    assert_eq!(batches.figures(now + SECOND).set_aside, 3);
}

#[tokio::test(start_paused = true)]
async fn no_set_is_asked_for_again_as_it_was_refused() {
    for mut service in [
        Service {
            takes: Some(40),
            ..Service::default()
        },
        Service::refusing([41]),
    ] {
        let (batches, now) = (Batches::new("test", 100), Instant::now());
        for round in 0..20 {
            service.ask(&batches, &ids(), now + round * SECOND);
        }
        let refused: Vec<_> = service
            .asked
            .iter()
            .filter(|set| !service.takes(set))
            .collect();
        let distinct: BTreeSet<_> = refused.iter().collect();
        assert_eq!(refused.len(), distinct.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_refuses_everything_is_asked_little_and_blames_no_id() {
    let (batches, now) = (Batches::new("test", 100), Instant::now());
    let mut service = Service {
        is_down: true,
        ..Service::default()
    };
    let outcome = service.ask(&batches, &ids(), now);
    assert!(outcome.gave_up);
    assert!(outcome.sets <= 10, "{}", outcome.sets);
    for round in 1..10 {
        let outcome = service.ask(&batches, &ids(), now + round * SECOND);
        assert_eq!(outcome.sets, 2, "two single ids");
        service.ask(&batches, &[3], now + round * SECOND);
    }
    assert_eq!(batches.figures(now).set_aside, 0);
    // It takes one id and gets all.
    service.is_down = false;
    let outcome = service.ask(&batches, &ids(), now + 20 * SECOND);
    assert_eq!((outcome.answered.len(), outcome.sets), (100, 2));
}

#[tokio::test(start_paused = true)]
async fn two_bad_ids_asked_for_first_do_not_pass_for_a_dead_service_for_long() {
    let (batches, now) = (Batches::new("test", 100), Instant::now());
    let mut service = Service::refusing(0..50);
    let rounds = (0..200).position(|round| {
        let outcome = service.ask(&batches, &ids(), now + round * SECOND);
        outcome.answered.len() == 50
    });
    // Each round has a chance of three quarters.
    assert!(rounds.is_some());
}

#[tokio::test(start_paused = true)]
async fn no_answer_blames_nobody_and_a_slow_one_asks_for_less() {
    for (blame, limit) in [(Blame::Service, 100), (Blame::Time, 50)] {
        let (batches, now) = (Batches::new("test", 100), Instant::now());
        let mut division = batches.divide(&ids(), now);
        let set = division.next().unwrap();
        assert!(division.failed(set, blame, &std::fmt::Error, now));
        assert_eq!(division.next(), None);
        assert_eq!(division.finish(now).len(), 100);
        assert_eq!(batches.figures(now).limit, limit);
        assert_eq!(batches.figures(now).refused, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn ids_set_aside_are_bounded_and_forgotten() {
    let (batches, now) = (Batches::new("test", 1), Instant::now());
    let most = u32::try_from(MOST_ASIDE).unwrap();
    let mut service = Service::refusing(1..most + 50);
    let all: Vec<u32> = (0..most + 50).collect();
    // The first is a good one, so that the service is not to blame.
    service.ask(&batches, &all, now);
    service.ask(&batches, &all, now);
    assert_eq!(batches.figures(now).set_aside, MOST_ASIDE);
    let much_later = now + 3 * MAX_PAUSE;
    batches.divide(&[], much_later);
    assert!(batches.state.lock().aside.is_empty());
}
