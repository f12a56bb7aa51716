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
        Detached(StaleReason::Disconnected),
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
    /// Its feed is gone, and another keeps it whole.
    detached: Option<StaleReason>,
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
            Input::Detached(reason) if was_live => self.detached = Some(reason),
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
            Input::Reached(_) | Input::Refuted(_) | Input::Detached(_) => {}
            Input::Contradicted(cause) => _ = self.contradictions.insert(cause.bit()),
            Input::Cleared(cause) => _ = self.contradictions.remove(&cause.bit()),
        }
        if self.is_kept_whole() != was_live {
            // Catching up says nothing of what contradicts the levels.
            if !matches!(input, Input::Reached(_)) {
                self.forget_levels();
            }
            self.detached = None;
        }
    }

    fn replace(&mut self, lost: Option<StaleReason>, behind: Option<StaleReason>) {
        self.has_book = true;
        (self.lost, self.wrong, self.behind) = (lost, None, behind);
        self.detached = None;
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
        assert_eq!(trust.is_settled(), record.has_ended);
        let is_stale = record.has_book && !record.has_ended && !is_live;
        assert_eq!(trust.is_stale(), is_stale);
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
        assert_eq!(trust.awaits_proof(), proof);
        assert_eq!(trust.detached(), record.detached, "{input:?}: {record:?}");
        // Time alone changes nothing that nobody watches.
        assert!(trust.is_watched() || !is_overdue(&trust, now + DAY));
        if left > 1 {
            count += go_on(&trust, &record, inputs, left - 1, now);
        }
    }
    count
}

const DAY: Duration = Duration::from_secs(86_400);

/// Whether something has lasted too long.
fn is_overdue(trust: &Trust, now: Instant) -> bool {
    let config = IntegrityConfig::default();
    trust.overdue(&config, now).is_some()
        || trust.is_crossed_for_long(&config, now)
        || trust.detached_for_long(now).is_some()
}

#[test]
fn every_sequence_of_inputs_gives_what_was_said_and_not_overtaken() {
    let now = Instant::now();
    let (trust, record) = (Trust::new(), Record::default());
    assert_eq!(trust.state(), record.state());
    let sequences = go_on(&trust, &record, &inputs(), LENGTH, now);
    assert!(sequences > 40_000_000, "{sequences}");
}

/// The longest that takes less than 20 seconds: 49 million sequences take 3, one input more
/// takes a minute.
const LENGTH: u32 = 6;

#[test]
fn what_has_reached_the_process_counts_before_the_worker_knows() {
    let stale = |reason| BookState::Stale(reason);
    let (live, settled) = (BookState::Live, BookState::Settled);
    let against = Some(StaleReason::Dropped);
    for (known, is_ended, against, read) in [
        (live, false, None, live),
        (live, false, against, stale(StaleReason::Dropped)),
        (live, true, against, settled),
        (
            stale(StaleReason::Hash),
            false,
            against,
            stale(StaleReason::Hash),
        ),
        (stale(StaleReason::Hash), true, None, settled),
        (BookState::Pending, false, against, BookState::Pending),
        (settled, false, against, settled),
    ] {
        let found = as_read(known, is_ended, against);
        assert_eq!(found, read, "{known:?} {is_ended} {against:?}");
    }
}

/// A book of which this was said.
fn of(inputs: &[Input]) -> Trust {
    let (mut trust, now) = (Trust::new(), Instant::now());
    for input in inputs {
        say(&mut trust, *input, now);
    }
    trust
}

#[test]
fn another_copy_is_wanted_where_it_knows_more_and_proven_where_ours_is_suspect() {
    use Ordering::*;
    use Verification::*;
    let suspect = |cause| of(&[Input::Whole, Input::Contradicted(cause)]);
    let refuted = |reason| of(&[Input::Whole, Input::Refuted(reason)]);
    let detached = |also: &[Input]| {
        let gone = Input::Detached(StaleReason::Disconnected);
        of(&[&[Input::Whole, gone], also].concat())
    };
    let live = of(&[Input::Whole]);
    let lost = of(&[Input::Whole, Input::Lost(StaleReason::Silent)]);
    let ended = of(&[Input::Whole, Input::MarketEnded]);
    for (trust, progress, wanted) in [
        (&detached(&[]), Less, None),
        (&detached(&[]), Equal, Some(Unknown)),
        (&detached(&[]), Greater, Some(Unknown)),
        (&live, Equal, None),
        (&live, Greater, Some(Unknown)),
        (&suspect(Cause::Hash), Equal, Some(Proven)),
        (&suspect(Cause::Hash), Greater, Some(Proven)),
        (&suspect(Cause::Mirror), Equal, None),
        (&suspect(Cause::Mirror), Greater, Some(Proven)),
        (
            &detached(&[Input::Contradicted(Cause::Mirror)]),
            Equal,
            Some(Proven),
        ),
        (&suspect(Cause::Crossed), Equal, None),
        (&refuted(StaleReason::Hash), Equal, Some(Proven)),
        (&refuted(StaleReason::Audit), Equal, None),
        (&refuted(StaleReason::Audit), Greater, Some(Proven)),
        (&lost, Equal, Some(Unknown)),
        (&lost, Less, None),
        (&ended, Greater, None),
        (&of(&[]), Greater, None),
    ] {
        let found = trust.wants(progress);
        assert_eq!(found, wanted, "{trust:?} {progress:?}");
    }
}

#[test]
fn a_copy_is_shown_instead_of_a_wrong_book_if_it_may_lack_what_is_wrong() {
    use Ordering::*;
    let live = of(&[Input::Whole]);
    let stale = of(&[Input::Whole, Input::Refuted(StaleReason::Hash)]);
    let proven = Some(Verification::Proven);
    for (trust, reason, progress, wanted) in [
        (&live, StaleReason::Hash, Less, None),
        (&live, StaleReason::Hash, Equal, proven),
        (&live, StaleReason::Hash, Greater, proven),
        (&live, StaleReason::Audit, Equal, None),
        (&live, StaleReason::Audit, Greater, proven),
        (&live, StaleReason::Silent, Greater, None),
        (&stale, StaleReason::Hash, Greater, None),
    ] {
        let found = trust.wants_instead(reason, progress);
        assert_eq!(found, wanted, "{trust:?} {reason:?} {progress:?}");
    }
}

#[test]
fn a_detached_book_has_its_time_and_says_why_it_is_lost() {
    let (mut trust, start) = (Trust::new(), Instant::now());
    let gone = Input::Detached(StaleReason::Disconnected);
    say(&mut trust, Input::Whole, start);
    assert!(trust.on(gone, start).watch);
    assert!(trust.is_watched());
    let at = |tenths: u64| start + Duration::from_millis(100 * tenths);
    assert_eq!(trust.detached_for_long(at(19)), None);
    let reason = Some(StaleReason::Disconnected);
    assert_eq!(trust.detached_for_long(at(20)), reason);
    say(&mut trust, Input::OtherCopy { is_ahead: true }, at(20));
    assert_eq!(trust.detached_for_long(at(90)), None);
    assert!(!trust.is_watched());
}

#[test]
fn a_contradiction_is_overdue_once_it_has_lasted_and_a_new_one_has_its_own_time() {
    let config = IntegrityConfig::default();
    let start = Instant::now();
    let at = |tenths: u64| start + Duration::from_millis(100 * tenths);
    let mut trust = Trust::new();
    say(&mut trust, Input::Whole, start);
    let watched = trust.on(Input::Contradicted(Cause::Behind), at(0));
    assert!(watched.watch);
    // Being behind does not begin the time of what contradicts the levels.
    say(&mut trust, Input::Contradicted(Cause::Top), at(10));
    say(&mut trust, Input::Contradicted(Cause::Hash), at(15));
    assert_eq!(trust.overdue(&config, at(19)), None);
    let overdue = trust.overdue(&config, at(20));
    assert_eq!(overdue, Some((Cause::Hash, Duration::from_secs(1))));
    say(&mut trust, Input::Proven, at(20));
    say(&mut trust, Input::Contradicted(Cause::Hash), at(21));
    assert_eq!(trust.overdue(&config, at(30)), None);
    say(&mut trust, Input::Contradicted(Cause::Crossed), at(30));
    assert!(!trust.is_crossed_for_long(&config, at(40)));
    assert!(trust.is_crossed_for_long(&config, at(41)));
    say(&mut trust, Input::Cleared(Cause::Crossed), at(41));
    say(&mut trust, Input::Contradicted(Cause::Crossed), at(42));
    assert!(!trust.is_crossed_for_long(&config, at(52)));
    say(&mut trust, Input::Lost(StaleReason::Silent), at(60));
    assert!(!is_overdue(&trust, at(90)));
}

#[test]
fn what_was_contradicted_after_a_moment_is_known_until_it_is_cleared() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut trust = Trust::new();
    say(&mut trust, Input::Whole, start);
    say(&mut trust, Input::Contradicted(Cause::Behind), at(9));
    assert!(!trust.was_contradicted_after(start), "its levels were not");
    say(&mut trust, Input::Contradicted(Cause::Hash), at(1));
    say(&mut trust, Input::Contradicted(Cause::Mirror), at(3));
    // The last one counts, and a moment is not after itself.
    assert!(trust.was_contradicted_after(at(2)));
    assert!(!trust.was_contradicted_after(at(3)));
    say(&mut trust, Input::Cleared(Cause::Mirror), at(4));
    assert!(trust.was_contradicted_after(at(2)), "the hash does still");
    say(&mut trust, Input::Proven, at(4));
    assert!(!trust.was_contradicted_after(start));
}

#[test]
fn a_book_that_is_behind_has_its_time_to_come_as_far_as_what_was_shown() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let [older, shown, beyond] = [9, 10, 11].map(Timestamp::from_millis);
    let mut trust = Trust::new();
    say(&mut trust, Input::Whole, start);
    assert_eq!(trust.goal_beyond(older, shown, start), Some(shown));
    assert_eq!(trust.goal_beyond(shown, shown, start), None);
    say(&mut trust, Input::WholeBehind { goal: GOAL }, start);
    assert_eq!(trust.goal(), GOAL);
    // What it has to come to does not shrink, and its time runs from the first one.
    assert_eq!(trust.goal_beyond(older, older, at(4)), Some(GOAL));
    say(&mut trust, Input::WholeBehind { goal: older }, at(4));
    assert_eq!(trust.goal(), GOAL);
    assert_eq!(trust.goal_beyond(older, beyond, at(4)), Some(beyond));
    let almost = at(5) - Duration::from_nanos(1);
    assert_eq!(trust.goal_beyond(older, older, almost), Some(GOAL));
    assert_eq!(trust.goal_beyond(older, older, at(5)), None);
    say(&mut trust, Input::Reached(GOAL), at(6));
    assert_eq!(trust.goal(), Timestamp::default());
}

#[test]
fn a_book_that_is_proven_crossed_has_all_its_time_again() {
    let (config, began) = (IntegrityConfig::default(), Instant::now());
    let mut trust = of(&[Input::Whole, Input::Refuted(StaleReason::Hash)]);
    say(&mut trust, Input::Contradicted(Cause::Crossed), began);
    let later = began + config.crossed_patience * 2;
    say(&mut trust, Input::Proven, later);
    assert_eq!(trust.state(), BookState::Live);
    assert!(!trust.is_crossed_for_long(&config, later));
}
