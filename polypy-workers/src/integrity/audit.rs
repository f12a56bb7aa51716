//! What a book fetched apart from the feed says of ours.
//!
//! | the fetched book | means | verdict |
//! |---|---|---|
//! | has our hash and our levels | ours is right | proven |
//! | has our hash and other levels | ours is wrong | differs |
//! | has a hash that ours had lately | REST is behind | passed |
//! | has an unknown hash and is not older | the feed is behind | leads: suspect until the feed has come as far; after a while, the token is silent |
//! | has an unknown hash and is older | REST is behind by more than we remember; or, if it stays there, ours is wrong | nothing at first; differs if it keeps that hash |
//!
//! Of states that came without a hash, or with one of an unknown format, the levels
//! are compared instead. The feed
//! has come as far once it shows that state, or a later one whose own hash
//! proves it; a later one that nothing proves has passed it by, and so something
//! was missing.
//!
//! Nothing of it is ever applied.

use std::time::{Duration, Instant};

use polypy_core::{BookEvent, BookHash, OrderBook, Timestamp};

use super::Ours;

/// One book's standing with what was fetched of it. No memory while nothing is open.
#[derive(Debug, Default)]
pub(crate) struct AuditCheck(Option<Box<Open>>);

#[derive(Debug, Default)]
struct Open {
    expected: Option<Expected>,
    /// An older state that we never had, and when REST was first seen in it.
    unknown: Option<(BookHash, Instant)>,
}

/// A state the venue is in and our feed has yet to bring.
#[derive(Debug)]
struct Expected {
    timestamp: Timestamp,
    hash: BookHash,
    levels: OrderBook,
    since: Instant,
}

/// What a fetched book says of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing.
    NotApplicable,
    /// It is what ours was.
    Passed,
    /// It has our levels.
    Proven,
    /// It is in our state, and has other levels.
    Differs,
    /// It keeps a state that we never had.
    NeverReached,
    /// It is ahead of our feed.
    Leads,
}

/// What the state that ours has come to says of the expected one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expectation {
    /// There is none, or it still stands.
    Open,
    Reached,
    /// Ours has gone past it.
    Missed,
}

impl AuditCheck {
    /// Judges a fetched book. `was_in` tells whether ours was in a state lately.
    pub(crate) fn judge(
        &mut self,
        event: &BookEvent,
        ours: &Ours<'_>,
        was_in: impl FnOnce(BookHash) -> bool,
        now: Instant,
        patience: Duration,
    ) -> Verdict {
        let Some(hash) = event.hash else {
            return Verdict::NotApplicable;
        };
        if !ours.is_kept_whole {
            let is_older = event.timestamp < ours.newest || ours.hash == Some(hash);
            return if is_older {
                Verdict::NotApplicable
            } else {
                self.expect(event, hash, now);
                Verdict::Leads
            };
        }
        if ours.hash == Some(hash) {
            self.forget_unknown();
            return same_levels(event, ours);
        }
        if was_in(hash) {
            self.forget_unknown();
            return Verdict::Passed;
        }
        if ours.is_told_by_levels() && whole(event) == *ours.levels {
            return Verdict::Proven;
        }
        if event.timestamp < ours.newest {
            return self.note_unknown(hash, now, patience);
        }
        self.expect(event, hash, now);
        Verdict::Leads
    }

    /// The venue has come to a state that our feed has yet to bring.
    fn expect(&mut self, event: &BookEvent, hash: BookHash, now: Instant) {
        let expected = &mut self.0.get_or_insert_default().expected;
        let known = expected.as_ref();
        if known.is_none_or(|known| known.timestamp < event.timestamp) {
            *expected = Some(Expected {
                timestamp: event.timestamp,
                hash,
                levels: whole(event),
                since: known.map_or(now, |known| known.since),
            });
        }
    }

    /// REST lags by a second at most: what it still shows after that, it will not leave.
    fn note_unknown(&mut self, hash: BookHash, now: Instant, patience: Duration) -> Verdict {
        let unknown = &mut self.0.get_or_insert_default().unknown;
        match unknown {
            Some((known, since)) if *known == hash => {
                if now.saturating_duration_since(*since) < patience {
                    return Verdict::NotApplicable;
                }
                *unknown = None;
                Verdict::NeverReached
            }
            Some(_) | None => {
                *unknown = Some((hash, now));
                Verdict::NotApplicable
            }
        }
    }

    fn forget_unknown(&mut self) {
        if let Some(open) = self.0.as_deref_mut() {
            open.unknown = None;
        }
    }

    /// Another feed brings the book: it has all the time to come as far.
    pub(crate) fn expect_of_another_feed(&mut self, now: Instant) {
        if let Some(expected) = self.expected_mut() {
            expected.since = now;
        }
    }

    /// Ours has come to a state. `awaits_proof`: its hash is yet to be reproduced, and
    /// has the next word.
    pub(crate) fn reached(&mut self, ours: &Ours<'_>, awaits_proof: bool) -> Expectation {
        let Some(expected) = self.expected_mut() else {
            return Expectation::Open;
        };
        let is_later = ours.newest > expected.timestamp;
        let is_reached = ours.hash == Some(expected.hash)
            || (is_later && ours.is_proven)
            || (!is_later && ours.is_told_by_levels() && *ours.levels == expected.levels);
        if is_reached {
            Expectation::Reached
        } else if is_later && !awaits_proof && ours.is_kept_whole {
            Expectation::Missed
        } else {
            Expectation::Open
        }
    }

    /// Whether the feed has had its time.
    pub(crate) fn is_overdue(&self, now: Instant, patience: Duration) -> bool {
        let expected = self.0.as_deref().and_then(|open| open.expected.as_ref());
        expected.is_some_and(|expected| now.saturating_duration_since(expected.since) >= patience)
    }

    /// Whether the feed has yet to come as far.
    #[inline]
    pub(crate) fn is_expecting(&self) -> bool {
        self.0
            .as_deref()
            .is_some_and(|open| open.expected.is_some())
    }

    /// Nothing is expected any more.
    pub(crate) fn forget(&mut self) {
        self.0 = None;
    }

    fn expected_mut(&mut self) -> Option<&mut Expected> {
        self.0.as_deref_mut()?.expected.as_mut()
    }
}

fn same_levels(event: &BookEvent, ours: &Ours<'_>) -> Verdict {
    if whole(event) == *ours.levels {
        Verdict::Proven
    } else {
        Verdict::Differs
    }
}

fn whole(event: &BookEvent) -> OrderBook {
    let mut levels = OrderBook::default();
    levels.apply_snapshot(event.bids.clone(), event.asks.clone());
    levels
}

#[cfg(test)]
mod tests {
    use polypy_core::MarketEvent;

    use super::*;
    use crate::testing::{Truth, assets};

    #[test]
    fn an_older_state_that_rest_keeps_and_ours_never_was_in_counts() {
        let truth = Truth::new(&assets(1)[0]);
        let MarketEvent::Book(event) = truth.snapshot() else {
            panic!("not a book")
        };
        let levels = OrderBook::default();
        let ours = Ours {
            is_verifiable: true,
            levels: &levels,
            newest: Timestamp::from_millis(truth.now + 1),
            hash: Some(BookHash::from_hex(&[b'a'; 40]).unwrap()),
            is_proven: true,
            is_kept_whole: true,
        };
        let (start, patience) = (Instant::now(), Duration::from_secs(2));
        let mut check = AuditCheck::default();
        let mut judge = |seconds, is_known| {
            let now = start + Duration::from_secs(seconds);
            check.judge(&event, &ours, |_| is_known, now, patience)
        };
        assert_eq!(judge(0, false), Verdict::NotApplicable);
        assert_eq!(judge(1, false), Verdict::NotApplicable);
        // A state that ours had: REST only lags, and the time starts again.
        assert_eq!(judge(2, true), Verdict::Passed);
        assert_eq!(judge(3, false), Verdict::NotApplicable);
        assert_eq!(judge(4, false), Verdict::NotApplicable);
        assert_eq!(judge(5, false), Verdict::NeverReached);
    }

    /// A fetched book of this time, and with this digit for its hash.
    fn fetched(millis: u64, digit: u8) -> BookEvent {
        let MarketEvent::Book(mut event) = Truth::new(&assets(1)[0]).snapshot() else {
            panic!("not a book")
        };
        event.timestamp = Timestamp::from_millis(millis);
        event.hash = BookHash::from_hex(&[digit; 40]);
        *event
    }

    fn ours(levels: &OrderBook, millis: u64, digit: u8) -> Ours<'_> {
        Ours {
            levels,
            newest: Timestamp::from_millis(millis),
            hash: BookHash::from_hex(&[digit; 40]),
            is_proven: true,
            is_verifiable: true,
            is_kept_whole: true,
        }
    }

    /// A check that expects the state `b` of the time 10, since `now`.
    fn expecting(now: Instant) -> AuditCheck {
        let (levels, mut check) = (OrderBook::default(), AuditCheck::default());
        // Of the same time as ours, and another state: the feed is behind.
        let ours = ours(&levels, 10, b'a');
        let verdict = check.judge(&fetched(10, b'b'), &ours, |_| false, now, PATIENCE);
        assert_eq!(verdict, Verdict::Leads);
        check
    }

    const PATIENCE: Duration = Duration::from_secs(2);

    #[test]
    fn a_stale_book_learns_of_a_state_that_is_not_older() {
        let (now, levels) = (Instant::now(), OrderBook::default());
        let stale = |digit| Ours {
            is_kept_whole: false,
            ..ours(&levels, 10, digit)
        };
        for (millis, digit, verdict) in [
            (9, b'a', Verdict::NotApplicable),
            (10, b'b', Verdict::NotApplicable),
            (10, b'a', Verdict::Leads),
            (11, b'a', Verdict::Leads),
        ] {
            let mut check = AuditCheck::default();
            let found = check.judge(
                &fetched(millis, b'b'),
                &stale(digit),
                |_| false,
                now,
                PATIENCE,
            );
            assert_eq!(found, verdict, "{millis} {digit}");
            assert_eq!(check.is_expecting(), verdict == Verdict::Leads);
        }
    }

    #[test]
    fn an_expected_state_is_reached_by_hash_or_by_a_later_one_that_is_proven() {
        let levels = OrderBook::default();
        let mut check = expecting(Instant::now());
        let mut reached = |millis, digit, is_proven| {
            let ours = Ours {
                is_proven,
                ..ours(&levels, millis, digit)
            };
            check.reached(&ours, false)
        };
        assert_eq!(reached(10, b'a', true), Expectation::Open);
        assert_eq!(reached(10, b'b', false), Expectation::Reached);
        assert_eq!(reached(11, b'c', true), Expectation::Reached);
        assert_eq!(reached(11, b'c', false), Expectation::Missed);
    }

    #[test]
    fn levels_tell_only_of_a_state_without_a_hash_that_is_not_later() {
        let mut check = expecting(Instant::now());
        let (other, expected) = (OrderBook::default(), whole(&fetched(10, b'b')));
        let mut reached = |levels, millis, hash| {
            let ours = Ours {
                hash,
                is_proven: false,
                ..ours(levels, millis, b'a')
            };
            check.reached(&ours, true)
        };
        let hash = BookHash::from_hex(&[b'a'; 40]);
        assert_eq!(reached(&other, 10, None), Expectation::Open);
        assert_eq!(reached(&expected, 10, hash), Expectation::Open);
        assert_eq!(reached(&expected, 11, None), Expectation::Open);
        assert_eq!(reached(&expected, 10, None), Expectation::Reached);
    }

    #[test]
    fn each_older_state_that_rest_shows_has_its_own_time() {
        let (start, levels) = (Instant::now(), OrderBook::default());
        let (ours, mut check) = (ours(&levels, 10, b'a'), AuditCheck::default());
        let mut judge = |digit, seconds| {
            let now = start + Duration::from_secs(seconds);
            check.judge(&fetched(9, digit), &ours, |_| false, now, PATIENCE)
        };
        assert_eq!(judge(b'b', 0), Verdict::NotApplicable);
        assert_eq!(judge(b'c', 3), Verdict::NotApplicable);
        assert_eq!(judge(b'c', 5), Verdict::NeverReached);
    }

    #[test]
    fn what_is_expected_has_its_time_and_another_feed_all_of_it() {
        let (start, levels) = (Instant::now(), OrderBook::default());
        let at = |millis| start + Duration::from_millis(millis);
        let mut check = expecting(start);
        assert!(!check.is_overdue(at(1_999), PATIENCE));
        assert!(check.is_overdue(at(2_000), PATIENCE));
        // A later state is expected instead, and has no more time; another one of that
        // time is not.
        let ours = ours(&levels, 10, b'a');
        for digit in [b'c', b'd'] {
            let event = fetched(11, digit);
            let verdict = check.judge(&event, &ours, |_| false, at(1_000), PATIENCE);
            assert_eq!(verdict, Verdict::Leads);
        }
        assert!(check.is_overdue(at(2_000), PATIENCE));
        check.expect_of_another_feed(at(1_500));
        assert!(!check.is_overdue(at(3_499), PATIENCE));
        assert!(check.is_overdue(at(3_500), PATIENCE));
        let come = Ours {
            hash: BookHash::from_hex(&[b'c'; 40]),
            newest: Timestamp::from_millis(11),
            is_proven: false,
            ..ours
        };
        assert_eq!(check.reached(&come, false), Expectation::Reached);
        check.forget();
        assert!(!check.is_expecting() && !check.is_overdue(at(9_000), PATIENCE));
    }
}
