//! Every sequence of inputs up to a length, beside a plain record of what has been said.

use std::collections::BTreeSet;

use super::*;

const GOAL: Timestamp = Timestamp::from_millis(10);

/// One input of each kind, and more where what it carries matters.
fn inputs() -> Vec<Input> {
    use Input::*;
    let void = |goal| WholeVoid {
        reason: StaleReason::Dropped,
        goal,
    };
    vec![
        Whole,
        WholeBehind { goal: GOAL },
        void(None),
        void(Some(GOAL)),
        OtherCopy { is_ahead: true },
        OtherCopy { is_ahead: false },
        Lost(StaleReason::Silent),
        Reached(Timestamp::from_millis(9)),
        Reached(GOAL),
        Proven,
        Contradicted(Cause::Hash),
        Contradicted(Cause::Return),
        Contradicted(Cause::Top),
        Contradicted(Cause::Mirror),
        Contradicted(Cause::Behind),
        Contradicted(Cause::Crossed),
        Cleared(Cause::Return),
        Cleared(Cause::Top),
        Cleared(Cause::Mirror),
        Cleared(Cause::Behind),
        Cleared(Cause::Crossed),
        Refuted(StaleReason::Audit),
        WorkerDied,
        MarketEnded,
    ]
}

/// What has been said of a book, and is not overtaken.
#[derive(Debug, Clone, Default)]
struct Record {
    has_book: bool,
    has_ended: bool,
    /// Nobody keeps it whole, since this was said.
    lost: Option<StaleReason>,
    /// It was found wrong.
    wrong: Option<StaleReason>,
    /// It is whole, and behind; and why it was stale before.
    behind: Option<StaleReason>,
    contradictions: BTreeSet<u8>,
}

impl Record {
    fn is_kept_whole(&self) -> bool {
        let against = [self.lost, self.wrong, self.behind];
        self.has_book && !self.has_ended && against.iter().all(Option::is_none)
    }

    fn reason(&self) -> Option<StaleReason> {
        self.lost.or(self.wrong).or(self.behind)
    }

    fn forget_levels(&mut self) {
        let about_levels = [Cause::Hash, Cause::Return, Cause::Top, Cause::Mirror].map(Cause::bit);
        self.contradictions
            .retain(|bit| !about_levels.contains(bit));
    }

    fn say(&mut self, input: Input) {
        if self.has_ended {
            return;
        }
        let was_live = self.is_kept_whole();
        match input {
            Input::MarketEnded => self.has_ended = true,
            Input::Whole | Input::OtherCopy { .. } => {
                let keeps = Cause::Mirror.bit();
                let lacks = self.contradictions.contains(&keeps)
                    && was_live
                    && input == Input::OtherCopy { is_ahead: false };
                self.replace(None, None);
                if lacks {
                    self.contradictions.insert(keeps);
                }
            }
            Input::WholeBehind { .. } => {
                let reason = self.reason().filter(|_| self.has_book);
                self.replace(None, reason.or(Some(StaleReason::Disconnected)));
            }
            Input::WholeVoid { reason, .. } => self.replace(Some(reason), None),
            _ if !self.has_book => {}
            Input::Lost(reason) => self.replace(Some(reason), None),
            Input::WorkerDied => {
                self.replace(Some(StaleReason::WorkerDied), None);
                self.contradictions.clear();
            }
            Input::Reached(at) if at >= GOAL => self.behind = None,
            Input::Proven => {
                self.wrong = None;
                self.forget_levels();
            }
            Input::Refuted(reason) if was_live => self.wrong = Some(reason),
            Input::Refuted(reason) if self.behind.is_some() => {
                (self.behind, self.lost) = (None, Some(reason));
            }
            Input::Reached(_) | Input::Refuted(_) => {}
            Input::Contradicted(cause) => _ = self.contradictions.insert(cause.bit()),
            Input::Cleared(cause) => _ = self.contradictions.remove(&cause.bit()),
        }
        if self.is_kept_whole() != was_live {
            self.forget_levels();
        }
    }

    fn replace(&mut self, lost: Option<StaleReason>, behind: Option<StaleReason>) {
        self.has_book = true;
        (self.lost, self.wrong, self.behind) = (lost, None, behind);
        self.forget_levels();
        self.contradictions.remove(&Cause::Crossed.bit());
    }

    /// What readers are to see.
    fn state(&self) -> BookState {
        let causes = Cause::ALL.into_iter();
        let cause = causes
            .filter(|cause| *cause != Cause::Crossed)
            .find(|cause| self.contradictions.contains(&cause.bit()));
        match (self.has_ended, self.has_book, self.reason(), cause) {
            (true, ..) => BookState::Settled,
            (_, false, ..) => BookState::Pending,
            (.., Some(reason), _) => BookState::Stale(reason),
            (.., Some(cause)) => BookState::Stale(cause.reason()),
            (.., None) => BookState::Live,
        }
    }
}

fn say(trust: &mut Trust, input: Input, now: Instant) {
    let Effects { .. } = trust.on(input, now);
}

/// Goes on with every input, so many more times; how many sequences that makes.
fn go_on(trust: &Trust, record: &Record, inputs: &[Input], left: u32, now: Instant) -> u64 {
    let mut count = 0;
    for &input in inputs {
        count += 1;
        let (mut trust, mut record) = (trust.clone(), record.clone());
        let was_live = record.is_kept_whole();
        let had_book = record.has_book;
        let effects = trust.on(input, now);
        record.say(input);
        let is_live = record.is_kept_whole();
        assert_eq!(trust.state(), record.state(), "{input:?}: {record:?}");
        assert_eq!(trust.is_kept_whole(), is_live);
        let died = input == Input::WorkerDied && had_book && !record.has_ended;
        let new_epoch = died || (is_live && !was_live);
        assert_eq!(effects.new_epoch, new_epoch, "{input:?}: {record:?}");
        let went_stale = was_live && !is_live && !record.has_ended;
        assert_eq!(effects.went_stale, went_stale);
        assert_eq!(
            trust.is_undisturbed(),
            is_live && record.contradictions.is_empty()
        );
        let proof = record.wrong.is_some() && !record.has_ended;
        assert_eq!(trust.check() == Check::Proof, proof);
        assert_eq!(trust.check() == Check::Full, is_live);
        // Time alone changes nothing that nobody watches.
        assert!(trust.is_watched() || trust.overdue(&IntegrityConfig::default(), now) == NOTHING);
        if left > 1 {
            count += go_on(&trust, &record, inputs, left - 1, now);
        }
    }
    count
}

const NOTHING: Overdue = Overdue {
    suspect: None,
    crossed: false,
};

#[test]
fn every_sequence_of_inputs_gives_what_was_said_and_not_overtaken() {
    let now = Instant::now();
    let (trust, record) = (Trust::new(now), Record::default());
    assert_eq!(trust.state(), record.state());
    let sequences = go_on(&trust, &record, &inputs(), LENGTH, now);
    assert!(sequences > 40_000_000, "{sequences}");
}

/// The longest that takes less than 20 seconds: 49 million sequences take 3, one input more
/// takes a minute.
const LENGTH: u32 = 6;

#[test]
fn what_has_reached_the_process_counts_before_the_worker_knows() {
    let unseen = Unseen::default();
    let live = BookState::Live;
    let stale = |reason| BookState::Stale(reason);
    let marked = Some(StaleReason::Dropped);
    let lost = Some(StaleReason::Disconnected);
    for (known, unseen, read) in [
        (live, unseen, live),
        (
            live,
            Unseen {
                marked,
                lost,
                ..unseen
            },
            stale(StaleReason::Dropped),
        ),
        (
            live,
            Unseen {
                lost,
                worker_died: true,
                ..unseen
            },
            stale(StaleReason::Disconnected),
        ),
        (
            live,
            Unseen {
                worker_died: true,
                ..unseen
            },
            stale(StaleReason::WorkerDied),
        ),
        (
            stale(StaleReason::Hash),
            Unseen { marked, ..unseen },
            stale(StaleReason::Hash),
        ),
        (
            live,
            Unseen {
                is_ended: true,
                marked,
                ..unseen
            },
            BookState::Settled,
        ),
        (
            BookState::Pending,
            Unseen { lost, ..unseen },
            BookState::Pending,
        ),
        (
            BookState::Settled,
            Unseen {
                worker_died: true,
                ..unseen
            },
            BookState::Settled,
        ),
    ] {
        assert_eq!(as_read(known, unseen), read, "{known:?} {unseen:?}");
    }
}

#[test]
fn another_copy_is_wanted_where_it_knows_more_and_proven_where_ours_is_suspect() {
    use Progress::*;
    let now = Instant::now();
    let of = |inputs: &[Input]| {
        let mut trust = Trust::new(now);
        for input in inputs {
            say(&mut trust, *input, now);
        }
        trust
    };
    let suspect = |cause| of(&[Input::Whole, Input::Contradicted(cause)]);
    let refuted = |reason| of(&[Input::Whole, Input::Refuted(reason)]);
    let live = of(&[Input::Whole]);
    let lost = of(&[Input::Whole, Input::Lost(StaleReason::Silent)]);
    let ended = of(&[Input::Whole, Input::MarketEnded]);
    for (trust, progress, is_detached, want) in [
        (&live, Behind, true, Want::No),
        (&live, Level, false, Want::No),
        (&live, Level, true, Want::Unrefuted),
        (&live, Ahead, false, Want::Unrefuted),
        (&suspect(Cause::Hash), Level, false, Want::Proven),
        (&suspect(Cause::Hash), Ahead, false, Want::Proven),
        (&suspect(Cause::Mirror), Level, false, Want::No),
        (&suspect(Cause::Mirror), Level, true, Want::Proven),
        (&suspect(Cause::Crossed), Level, false, Want::No),
        (&refuted(StaleReason::Hash), Level, false, Want::Proven),
        (&refuted(StaleReason::Audit), Level, false, Want::No),
        (&refuted(StaleReason::Audit), Ahead, false, Want::Proven),
        (&lost, Level, false, Want::Unrefuted),
        (&lost, Behind, false, Want::No),
        (&ended, Ahead, true, Want::No),
        (&of(&[]), Ahead, false, Want::No),
    ] {
        let found = trust.want(progress, is_detached);
        assert_eq!(found, want, "{trust:?} {progress:?} {is_detached}");
    }
}

#[test]
fn a_contradiction_is_overdue_once_it_has_lasted_and_a_new_one_begins_anew() {
    let config = IntegrityConfig::default();
    let start = Instant::now();
    let at = |tenths: u64| start + Duration::from_millis(100 * tenths);
    let mut trust = Trust::new(start);
    say(&mut trust, Input::Whole, start);
    let watched = trust.on(Input::Contradicted(Cause::Behind), at(0));
    assert!(watched.watch);
    // Being behind does not begin the time of what contradicts the levels.
    say(&mut trust, Input::Contradicted(Cause::Top), at(10));
    say(&mut trust, Input::Contradicted(Cause::Hash), at(15));
    assert_eq!(trust.overdue(&config, at(19)).suspect, None);
    let overdue = trust.overdue(&config, at(20)).suspect;
    assert_eq!(overdue, Some((Cause::Hash, Duration::from_secs(1))));
    say(&mut trust, Input::Proven, at(20));
    say(&mut trust, Input::Contradicted(Cause::Hash), at(21));
    assert_eq!(trust.overdue(&config, at(30)).suspect, None);
    say(&mut trust, Input::Contradicted(Cause::Crossed), at(30));
    assert!(!trust.overdue(&config, at(40)).crossed);
    assert!(trust.overdue(&config, at(41)).crossed);
    say(&mut trust, Input::Cleared(Cause::Crossed), at(41));
    say(&mut trust, Input::Contradicted(Cause::Crossed), at(42));
    assert!(!trust.overdue(&config, at(52)).crossed);
    say(&mut trust, Input::Lost(StaleReason::Silent), at(60));
    assert_eq!(trust.overdue(&config, at(90)), NOTHING);
}
