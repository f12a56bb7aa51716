use std::time::Duration;

use polypy_core::{AuditSink, BookControl, BookHash, BookState, EventSink, Lane, Level, Side};
use proptest::prelude::*;

use super::*;
use crate::config::HashChecking;
use crate::histories::{Call, Step, Venue, histories, steady_step, step};
use crate::testing::{Harness, START, Truth, altered, assets, one_worker};

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLISECOND;
const BEGAN: u64 = START * MILLISECOND;

fn config(hash: HashChecking) -> WorkersConfig {
    let mut config = one_worker();
    config.integrity.hash = hash;
    config
}

fn hashes() -> impl Strategy<Value = HashChecking> {
    use HashChecking::{All, Off};
    prop::sample::select(vec![All, All, Off])
}

/// What was written, but for when.
fn timeless(changes: Vec<BookChange>) -> Vec<String> {
    let moment = RecordedTime::new(0).now();
    let mut told = Vec::new();
    for mut change in changes {
        match &mut change {
            BookChange::Level(set) => set.received = moment,
            BookChange::Whole(whole) => {
                (whole.received, whole.status.since) = (moment, moment);
            }
            BookChange::Status(change) => change.status.since = moment,
            BookChange::Trade(trade) => trade.received = moment,
            BookChange::StateEnd(_) | BookChange::Gone(_) | BookChange::Reset => {}
        }
        told.push(format!("{change:?}"));
    }
    told
}

/// What is kept of a book, but for when.
fn kept(copy: &Checkpoint) -> impl PartialEq + std::fmt::Debug + use<> {
    let (whole, status) = (&copy.whole, copy.whole.status);
    (
        (whole.position, whole.at, whole.hash, whole.book.clone()),
        (status.state, status.verified, status.tick_size),
        (copy.last_trade_price, copy.min_order_size, copy.neg_risk),
    )
}

/// A worker that is given each call at the moment that the books offline are told.
struct Both {
    bench: Harness,
    began: Instant,
    looked: Instant,
    passed: Duration,
    offline: OfflineBooks,
    keys: [AssetKey; 2],
    is_followed: [bool; 2],
}

impl Both {
    fn new(hash: HashChecking, tokens: &[Truth; 2]) -> Self {
        let bench = Harness::new(config(hash));
        bench.written.take();
        let began = Instant::now();
        Self {
            bench,
            began,
            looked: began,
            passed: Duration::ZERO,
            offline: OfflineBooks::new(&config(hash), BEGAN),
            keys: tokens.each_ref().map(Truth::key),
            is_followed: [false; 2],
        }
    }

    fn follow(&mut self, token: usize, is_followed: bool) {
        let keys = [self.keys[token]];
        if is_followed {
            assert!(self.bench.source.follow(Lane(0), &keys));
            self.offline.follow(&keys);
        } else {
            assert!(self.bench.source.unfollow(Lane(0), &keys));
            self.offline.unfollow(&keys);
        }
        self.is_followed[token] = is_followed;
    }

    fn take(&mut self, call: Call) {
        self.passed += Duration::from_millis(7);
        if let Call::Pass(time) = call {
            self.passed += time;
        }
        let (now, passed) = (self.began + self.passed, self.passed.as_nanos());
        let at = BEGAN + u64::try_from(passed).unwrap();
        // What the worker's thread does between two things that come.
        while self.looked + LOOK_INTERVAL <= now {
            self.looked += LOOK_INTERVAL;
            self.bench.look_at(self.looked);
        }
        let (router, offline) = (&self.bench.router, &mut self.offline);
        match call {
            Call::Open(feed) => {
                self.bench.open(feed);
                offline.open(FeedId(feed));
            }
            Call::Close(feed) => {
                self.bench.close(feed);
                offline.close(FeedId(feed), StaleReason::Disconnected, at);
            }
            Call::Deliver(feed, mut events) => {
                self.bench.queue(feed, events.clone());
                offline.deliver(FeedId(feed), &mut events, at);
            }
            Call::Gap(feed, key) => {
                let (feed, reason) = (FeedId(feed), StaleReason::Undecodable);
                router.mark_feed_stale(feed, &[key], reason);
                offline.mark(Scope::Feed(feed), &[key], reason, at);
            }
            Call::Mark(key) => {
                let reason = StaleReason::Resubscribing;
                router.mark_stale(&[key], reason);
                offline.mark(Scope::AllFeeds, &[key], reason, at);
            }
            Call::Audit(event) => {
                let MarketEvent::Book(book) = event else {
                    unreachable!()
                };
                router.audit(book.clone(), now);
                offline.audit(book, at);
            }
            Call::Pass(_) => offline.look(at),
            Call::Panic(_, events) if events.is_empty() => {}
            Call::Panic(feed, mut events) => {
                self.bench.queue(feed, events.clone());
                self.bench.die_at(now);
                offline.inject_panic();
                offline.deliver(FeedId(feed), &mut events, at);
            }
            Call::Settle(key) => {
                router.settle(&[key]);
                offline.settle(&[key], at);
            }
            Call::Follow(token) => self.follow(token, true),
            Call::Unfollow(token) => self.follow(token, false),
        }
        self.bench.apply_at(now);
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        let mut changes = Vec::new();
        self.offline.changes(&mut changes);
        let written = self.bench.written.take();
        let is_reset = matches!(changes.last(), Some(BookChange::Reset));
        prop_assert_eq!(timeless(changes), timeless(written));
        for token in 0..2 {
            if is_reset && self.is_followed[token] {
                self.follow(token, true);
            }
        }
        let mut copies = Vec::new();
        let source = self.bench.manager.checkpoints();
        source.copy(Lane(0), 0, &|_, _| true, &mut copies).unwrap();
        let live: Vec<_> = copies.iter().map(kept).collect();
        let offline: Vec<_> = self
            .keys
            .iter()
            .filter_map(|key| self.offline.book(*key))
            .collect();
        prop_assert_eq!(live, offline.iter().map(kept).collect::<Vec<_>>());
        let count = |name| self.bench.count(name);
        let found = self.offline.totals();
        prop_assert_eq!(found.failed, count("hash.failed"));
        prop_assert_eq!(found.tops_failed, count("top.failed"));
        prop_assert_eq!(found.audits_agreed, count("audit.passed"));
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: histories(), ..ProptestConfig::default() })]

    #[test]
    fn what_is_recorded_becomes_what_the_workers_made_of_it(
        steps in prop::collection::vec(step(), 1..60),
        hash in hashes(),
    ) {
        let (mut venue, opening) = Venue::open();
        let mut both = Both::new(hash, venue.tokens());
        (0..2).for_each(|token| both.follow(token, true));
        opening.into_iter().for_each(|call| both.take(call));
        both.check()?;
        for step in &steps {
            venue.take(step).into_iter().for_each(|call| both.take(call));
            both.check()?;
        }
    }
}

/// Frames of two sockets as they are recorded, books that lag behind them, and a copy
/// of these at some moment.
struct Recorder {
    bench: Harness,
    /// What was recorded, and how much of it was applied.
    recorded: Vec<(u64, Vec<MarketEvent>)>,
}

impl Recorder {
    fn take(&mut self, call: Call) {
        match call {
            Call::Open(feed) => self.bench.open(feed),
            Call::Deliver(feed, events) => {
                self.recorded.push((feed, events.clone()));
                self.bench.queue(feed, events);
            }
            _ => unreachable!("{call:?}"),
        }
    }

    /// The delivery with the first of the last so many events. A read may have brought none:
    /// so many deliveries would be too few.
    fn first_of_last(&self, events: usize) -> usize {
        let (mut first, mut found) = (self.recorded.len(), 0);
        while found < events {
            first -= 1;
            found += self.recorded[first].1.len();
        }
        first
    }

    fn copies(&self) -> Vec<Checkpoint> {
        let mut copies = Vec::new();
        let source = self.bench.manager.checkpoints();
        source.copy(Lane(0), 0, &|_, _| true, &mut copies).unwrap();
        copies
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: histories() / 4, ..ProptestConfig::default() })]

    /// Frames of before the checkpoint, some of which are in it and some of which are not,
    /// lead to the books that the program had.
    #[test]
    fn a_checkpoint_and_the_frames_around_it_lead_to_the_same_books(
        before in prop::collection::vec(steady_step(), 0..30),
        lag in 0..8usize,
        earlier in 0..12usize,
        after in prop::collection::vec(steady_step(), 0..30),
        hash in hashes(),
    ) {
        let (mut venue, opening) = Venue::open();
        let bench = Harness::new(config(hash));
        let mut recorder = Recorder { bench, recorded: Vec::new() };
        opening.into_iter().for_each(|call| recorder.take(call));
        let feeds = [0, 1].map(|socket| venue.feed(socket));
        for socket in 0..2 {
            venue.take(&Step::Read(socket, 2)).into_iter().for_each(|call| recorder.take(call));
        }
        recorder.bench.settle_down();
        for step in &before {
            venue.take(step).into_iter().for_each(|call| recorder.take(call));
        }
        // The worker has applied all but the last few deliveries.
        while recorder.bench.depth() > lag {
            recorder.bench.iterate();
        }
        let copies = recorder.copies();
        let waiting = recorder.bench.depth();
        // The deliveries that hold those events, and some that are in the copies.
        let from = recorder.first_of_last(waiting).saturating_sub(earlier).max(2);
        recorder.bench.settle_down();
        for step in &after {
            venue.take(step).into_iter().for_each(|call| recorder.take(call));
        }
        // At last all that was said, and a change of each book that its hash proves.
        for step in [Step::Orders(vec![(45, 77), (55, 78)]), Step::Read(0, 1_000), Step::Read(1, 1_000)] {
            venue.take(&step).into_iter().for_each(|call| recorder.take(call));
        }
        recorder.bench.settle_down();

        let mut offline = OfflineBooks::new(&config(hash), BEGAN);
        feeds.iter().for_each(|feed| offline.open(FeedId(*feed)));
        let live = |copy: &&Checkpoint| copy.whole.status.state == BookState::Live;
        let mut begun = Vec::new();
        for copy in copies.iter().filter(live) {
            offline.begin(&copy.as_event(), &feeds.map(FeedId), BEGAN);
            begun.push(copy.whole.info.key);
        }
        let mut at = BEGAN;
        for (feed, events) in &recorder.recorded[from..] {
            at += MILLISECOND;
            offline.deliver(FeedId(*feed), &mut events.clone(), at);
        }
        let shown = |copy: &Checkpoint| {
            let whole = &copy.whole;
            (whole.status.state, whole.at, whole.hash, whole.book.clone())
        };
        for copy in recorder.copies() {
            if begun.contains(&copy.whole.info.key) {
                let ours = offline.book(copy.whole.info.key).unwrap();
                prop_assert_eq!(shown(&ours), shown(&copy));
            }
        }
    }
}

/// Books with one token, that was sent whole a second after they began.
fn opened() -> (OfflineBooks, Truth) {
    opened_with(&one_worker())
}

fn opened_with(config: &WorkersConfig) -> (OfflineBooks, Truth) {
    let mut books = OfflineBooks::new(config, BEGAN);
    let truth = Truth::new(&assets(1)[0]);
    books.open(FeedId(1));
    books.deliver(FeedId(1), &mut vec![truth.opening()], BEGAN + SECOND);
    assert_eq!(state(&books, &truth), Some(BookState::Live));
    (books, truth)
}

fn state(books: &OfflineBooks, truth: &Truth) -> Option<BookState> {
    Some(books.book(truth.key())?.whole.status.state)
}

#[test]
fn an_hours_patience_is_over_after_a_recorded_hour() {
    let mut config = one_worker();
    config.integrity.doubt_patience = Duration::from_secs(3_600);
    config.integrity.searches_per_second = 1_000_000;
    let (mut books, mut truth) = opened_with(&config);
    books.follow(&[truth.key()]);
    let _: MarketEvent = truth.change(Side::Bid, "0.41", "8");
    let at = BEGAN + 2 * SECOND;
    books.deliver(
        FeedId(1),
        &mut vec![truth.change(Side::Bid, "0.42", "9")],
        at,
    );
    let suspect = BookState::Stale(StaleReason::Hash);
    assert_eq!(state(&books, &truth), Some(suspect));
    books.look(at + 3_599 * SECOND);
    assert_eq!(books.totals().failed, 0, "it is patient");
    books.look(at + 3_601 * SECOND);
    assert_eq!(books.totals().failed, 1);
    assert_eq!(state(&books, &truth), Some(suspect));
    let mut changes = Vec::new();
    books.changes(&mut changes);
    let received = changes.iter().find_map(|change| match change {
        BookChange::Level(set) => Some(books.recorded(set.received)),
        _ => None,
    });
    assert_eq!(received, Some(at));
}

#[test]
fn long_silence_costs_nothing_and_a_clock_that_is_set_back_stops_no_time_for_good() {
    let (mut books, mut truth) = opened();
    let year = 365 * 24 * 3_600 * SECOND;
    books.look(BEGAN + 300 * year);
    let mut deliver = |at, event| books.deliver(FeedId(1), &mut vec![event], at);
    deliver(BEGAN, truth.change(Side::Bid, "0.42", "9"));
    let _: MarketEvent = truth.change(Side::Bid, "0.41", "8");
    deliver(BEGAN + 1, truth.change(Side::Bid, "0.43", "9"));
    assert_eq!(books.totals().failed, 0);
    books.look(BEGAN + 2 * SECOND);
    assert_eq!(books.totals().failed, 1);
    // It is asked for again and again, and nobody answers.
    books.look(BEGAN + 300 * year);
    books.look(u64::MAX);
}

#[test]
fn a_state_counts_as_verified_only_if_its_own_hash_came_out() {
    let mut books = OfflineBooks::new(&one_worker(), BEGAN);
    let tokens = assets(3);
    // Each of another market.
    let [mut good, mut odd, mut bad] = [0, 2, 4].map(|at| Truth::new(&tokens[at]));
    let unknown = |event: MarketEvent, hash| match event {
        MarketEvent::Book(mut book) => {
            book.hash = hash;
            MarketEvent::Book(book)
        }
        event => altered(&event, |change| change.hash = hash),
    };
    books.open(FeedId(1));
    let mut at = BEGAN;
    let mut deliver = |books: &mut OfflineBooks, event| {
        at += 10 * SECOND;
        books.deliver(FeedId(1), &mut vec![event], at);
    };
    deliver(&mut books, good.opening());
    deliver(&mut books, bad.opening());
    // Nobody can reproduce these, of a book that no hash has proven; this has none.
    let hash = |digit| BookHash::from_hex(&[digit; 40]);
    deliver(&mut books, unknown(odd.opening(), hash(b'1')));
    for digit in [b'2', b'3'] {
        let event = odd.change(Side::Bid, "0.44", &digit.to_string());
        deliver(&mut books, unknown(event, hash(digit)));
    }
    deliver(
        &mut books,
        unknown(odd.change(Side::Bid, "0.40", "1"), None),
    );
    for round in 1..=3 {
        let event = good.change(Side::Bid, "0.44", &round.to_string());
        deliver(&mut books, event);
    }
    // One change is kept from us.
    let _: MarketEvent = bad.change(Side::Bid, "0.41", "8");
    for tick in ["0.43", "0.44", "0.45"] {
        let event = bad.change(Side::Bid, tick, "5");
        deliver(&mut books, event);
    }
    let of = |truth: &Truth| books.by_token()[&truth.key()];
    let found = of(&good);
    assert_eq!((found.states, found.verified, found.failed), (4, 4, 0));
    assert_eq!((found.unverifiable, found.unjudged()), (0, 0));
    let found = of(&odd);
    assert_eq!((found.states, found.verified, found.failed), (4, 0, 0));
    assert_eq!(found.unhashed, 1);
    assert_eq!(found.unverifiable + found.unjudged(), 3);
    assert!(found.unverifiable > 0);
    let found = of(&bad);
    assert_eq!((found.states, found.verified), (4, 1));
    assert!(found.failed > 0, "{found:?}");
    assert_eq!(
        state(&books, &bad),
        Some(BookState::Stale(StaleReason::Hash))
    );
    let all = books.totals();
    let sum = books
        .by_token()
        .values()
        .map(|found| found.states)
        .sum::<u64>();
    assert_eq!((all.states, all.verified), (sum, 5));
}

#[test]
fn a_hash_that_is_ahead_of_its_change_is_verified_with_that() {
    let (mut books, mut truth) = opened();
    let early = truth.change(Side::Bid, "0.44", "5");
    let next = truth.change_within(Side::Bid, "0.45", "6");
    let hash = truth.hash();
    let early = altered(&early, |change| change.hash = Some(hash));
    let other = truth.change(Side::Bid, "0.46", "1");
    for (event, at) in [(early, 1), (next, 2), (other, 3)] {
        let at = BEGAN + SECOND + at * MILLISECOND;
        books.deliver(FeedId(1), &mut vec![event], at);
    }
    let found = books.totals();
    assert_eq!((found.states, found.verified, found.failed), (3, 3, 0));
}

#[test]
fn a_checkpoint_is_compared_and_never_applied() {
    let (mut books, mut truth) = opened();
    let book = |truth: &Truth| match truth.snapshot() {
        MarketEvent::Book(book) => book,
        _ => unreachable!(),
    };
    books.audit(book(&truth), BEGAN + 2 * SECOND);
    assert_eq!(books.totals().audits_agreed, 1);
    let before = truth.book.clone();
    // Of our state, with other levels.
    let mut other = book(&truth);
    other
        .bids
        .push(Level::new("0.11".parse().unwrap(), "7".parse().unwrap()));
    books.audit(other, BEGAN + 3 * SECOND);
    let found = books.by_token()[&truth.key()];
    assert_eq!((found.audits_agreed, found.audits_failed), (1, 1));
    assert_eq!(
        state(&books, &truth),
        Some(BookState::Stale(StaleReason::Audit))
    );
    // Ahead of all that the sockets have brought.
    let _: MarketEvent = truth.change(Side::Bid, "0.44", "1");
    books.audit(book(&truth), BEGAN + 4 * SECOND);
    assert_eq!(books.totals().audits_open, 1);
    let held = books.book(truth.key()).unwrap().whole.book;
    assert_eq!(held, before);
}

#[test]
fn a_book_that_begins_with_a_checkpoint_goes_on_by_each_of_its_sockets() {
    let truth = Truth::new(&assets(1)[0]);
    let mut books = OfflineBooks::new(&one_worker(), BEGAN);
    let [one, other, third] = [1, 2, 3].map(FeedId);
    books.open(one);
    books.open(other);
    let MarketEvent::Book(book) = truth.opening() else {
        unreachable!()
    };
    books.begin(&book, &[one, other], BEGAN);
    assert_eq!(state(&books, &truth), Some(BookState::Live));
    let mut now = truth.clone();
    let first = now.change(Side::Bid, "0.44", "5");
    let second = now.change(Side::Bid, "0.45", "6");
    books.deliver(one, &mut vec![first.clone()], BEGAN + SECOND);
    books.close(one, StaleReason::Disconnected, BEGAN + 2 * SECOND);
    books.deliver(other, &mut vec![first, second], BEGAN + 2 * SECOND);
    let held = books.book(truth.key()).unwrap();
    assert_eq!(held.whole.status.state, BookState::Live);
    assert_eq!(held.whole.book, now.book);
    books.close(other, StaleReason::Silent, BEGAN + 3 * SECOND);
    let gone = BookState::Stale(StaleReason::Silent);
    assert_eq!(state(&books, &truth), Some(gone));
    // Of a socket that is not open nothing is known.
    books.begin(&book, &[third], BEGAN + 4 * SECOND);
    let closed = BookState::Stale(StaleReason::Disconnected);
    assert_eq!(state(&books, &truth), Some(closed));
    books.forget(&[truth.key()], BEGAN + 5 * SECOND);
    assert!(books.book(truth.key()).is_none());
    assert_eq!(books.by_token()[&truth.key()].verified, 4);
}

#[test]
fn what_breaks_the_books_is_counted_and_leaves_none_that_is_trusted() {
    let (mut books, mut truth) = opened();
    books.inject_panic();
    books.deliver(
        FeedId(1),
        &mut vec![truth.change(Side::Bid, "0.44", "5")],
        BEGAN + 2 * SECOND,
    );
    assert_eq!(books.panics(), 1);
    let died = BookState::Stale(StaleReason::WorkerDied);
    assert_eq!(state(&books, &truth), Some(died));
    books.deliver(FeedId(1), &mut vec![truth.opening()], BEGAN + 3 * SECOND);
    assert_eq!(state(&books, &truth), Some(BookState::Live));
}
