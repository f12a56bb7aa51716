//! A follower that applies what the books emit has the books.
//!
//! A plain model takes in everything that is written of the books it follows, and is
//! compared with what readers see after each step of a random history: changes within a
//! millisecond that come and go, frames that come twice or overtake each other, feeds
//! that open, close, lose something and bring the same book in turns, whole books, a
//! worker that panics in the middle of a batch. It follows and unfollows meanwhile.
//!
//! `POLYPY_HISTORIES` is their number (10,000 unless said).

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use polypy_core::{
    AssetKey, BookChange, BookControl, BookPosition, BookState, BookStatus, BookTop, BookView,
    Checkpoint, EventSink, FeedId, Lane, Level, LevelChange, MarketEvent, Price, Side, Size,
    StaleReason,
};
use proptest::prelude::*;

use crate::config::HashChecking;
use crate::histories::{Call, Step, Venue, histories, step};
use crate::testing::{Harness, Truth, one_worker, timeless};

/// What a consumer makes of what is written.
#[derive(Default)]
struct Follower {
    is_following: bool,
    /// Whether it has what it is to begin with.
    has_begun: bool,
    bids: BTreeMap<Price, Size>,
    asks: BTreeMap<Price, Size>,
    epoch: u64,
    sequence: u64,
    status: Option<BookStatus>,
}

impl Follower {
    fn take(&mut self, change: &BookChange) {
        assert!(self.is_following, "nobody follows it: {change:?}");
        match change {
            BookChange::Level(set) => {
                assert!(self.has_begun, "a level of nothing");
                let LevelChange { side, price, size } = set.level;
                let levels = match side {
                    Side::Bid => &mut self.bids,
                    Side::Ask => &mut self.asks,
                };
                let before = if size == Size::ZERO {
                    levels.remove(&price)
                } else {
                    levels.insert(price, size)
                };
                assert_ne!(before.unwrap_or_default(), size, "written in vain");
                self.sequence += 1;
                assert_eq!(self.sequence, set.sequence);
            }
            BookChange::Whole(whole) => {
                let side = |side| {
                    whole
                        .book
                        .levels(side)
                        .map(|level| (level.price, level.size))
                };
                self.bids = side(Side::Bid).collect();
                self.asks = side(Side::Ask).collect();
                let position = whole.position;
                assert!(position.sequence >= self.sequence, "it never goes back");
                (self.epoch, self.sequence) = (position.epoch, position.sequence);
                self.status = Some(whole.status);
                self.has_begun = true;
            }
            BookChange::Status(change) => {
                assert_ne!(self.status, Some(change.status), "written in vain");
                let position = change.position;
                assert_eq!(self.epoch, position.epoch);
                assert_eq!(self.sequence, position.sequence);
                self.status = Some(change.status);
            }
            BookChange::StateEnd(_) | BookChange::Trade(_) => {}
            BookChange::Gone(_) | BookChange::Reset => unreachable!(),
        }
    }

    fn begin(&mut self) {
        *self = Self {
            is_following: true,
            ..Self::default()
        };
    }

    fn levels(&self) -> (Vec<Level>, Vec<Level>) {
        let level = |(price, size): (&Price, &Size)| Level::new(*price, *size);
        let bids = self.bids.iter().rev().map(level).collect();
        (bids, self.asks.iter().map(level).collect())
    }
}

struct History {
    bench: Harness,
    venue: Venue,
    followers: [Follower; 2],
    /// What readers saw, by what is said to tell it from everything else.
    views: HashMap<(u64, BookPosition, BookState), String>,
    /// Time that has passed.
    now: Instant,
}

impl History {
    fn new(hash: HashChecking) -> Self {
        let mut config = one_worker();
        config.integrity.hash = hash;
        let bench = Harness::new(config);
        let (venue, opening) = Venue::open();
        let mut history = Self {
            bench,
            venue,
            followers: Default::default(),
            views: HashMap::new(),
            now: Instant::now(),
        };
        history.bench.written.take();
        (0..2).for_each(|token| history.follow(token));
        history.read();
        opening.into_iter().for_each(|call| history.apply(call));
        history
    }

    fn follow(&mut self, token: usize) {
        assert!(self.bench.follow(&self.venue.tokens()[token]));
        self.followers[token].begin();
    }

    fn take(&mut self, step: &Step) {
        for call in self.venue.take(step) {
            self.apply(call);
        }
    }

    fn apply(&mut self, call: Call) {
        let bench = &self.bench;
        match call {
            Call::Open(feed) => bench.open(feed),
            Call::Close(feed) => bench.close(feed),
            Call::Deliver(feed, events) => bench.send(feed, events),
            Call::Gap(feed, key) => {
                let reason = StaleReason::Undecodable;
                bench.router.mark_feed_stale(FeedId(feed), &[key], reason);
            }
            Call::Mark(key) => bench.router.mark_stale(&[key], StaleReason::Resubscribing),
            Call::Audit(event) => bench.audit(event),
            Call::Pass(time) => {
                self.now += time;
                bench.look_at(self.now);
            }
            Call::Panic(feed, events) => self.panic(feed, events),
            Call::Settle(key) => bench.router.settle(&[key]),
            Call::Follow(token) => self.follow(token),
            Call::Unfollow(token) => {
                assert!(bench.unfollow(&self.venue.tokens()[token]));
                self.followers[token] = Follower::default();
            }
        }
        self.bench.settle_down();
    }

    /// The worker dies in the middle of what a socket brings, and is replaced.
    fn panic(&mut self, feed: u64, events: Vec<MarketEvent>) {
        if events.is_empty() {
            return;
        }
        self.bench.manager.inject_panic(0);
        self.bench.queue(feed, events);
        self.bench.iterate();
        assert!(!self.bench.is_running());
        let written = self.bench.written.take();
        assert!(written.is_empty(), "half of a change: {written:?}");
        self.bench.restart_worker();
    }

    /// Takes in what was written, and follows again what is not followed any more.
    fn read(&mut self) {
        let mut is_reset = false;
        for change in self.bench.written.take() {
            assert!(!is_reset, "nobody follows anything: {change:?}");
            let asset = match &change {
                BookChange::Level(set) => set.asset,
                BookChange::StateEnd(asset) | BookChange::Gone(asset) => *asset,
                BookChange::Whole(whole) => whole.info.key,
                BookChange::Status(change) => change.asset,
                BookChange::Trade(trade) => trade.asset,
                BookChange::Reset => {
                    is_reset = true;
                    continue;
                }
            };
            let of = |token: &Truth| token.key() == asset;
            let token = self.venue.tokens().iter().position(of).unwrap();
            self.followers[token].take(&change);
        }
        if is_reset {
            for token in 0..self.followers.len() {
                if self.followers[token].is_following {
                    self.follow(token);
                }
            }
            self.read();
        }
    }

    /// Of what has one position and state readers see one thing, but for its age and whose
    /// copy it is.
    fn check_positions(&mut self) -> Result<(), TestCaseError> {
        for token in self.venue.tokens() {
            let Some(view) = self.bench.store.book(token.key(), usize::MAX) else {
                continue;
            };
            let mut view = timeless(view);
            view.feed = None;
            let named = (view.key_life, view.position, view.state);
            let view = format!("{view:?}");
            let before = self.views.entry(named).or_insert_with(|| view.clone());
            prop_assert_eq!(&*before, &view);
        }
        Ok(())
    }

    /// Books that are read together are those that are read one by one.
    fn check_many(&self) -> Result<(), TestCaseError> {
        let store = &self.bench.store;
        let keys: Vec<_> = self.venue.tokens().iter().rev().map(Truth::key).collect();
        let one = |key: &AssetKey| store.book(*key, 2).map(timeless);
        let one_by_one: Vec<_> = keys.iter().map(one).collect();
        let together = store.books(&keys, 2).into_iter();
        let together: Vec<_> = together.map(|view| view.map(timeless)).collect();
        prop_assert_eq!(format!("{together:?}"), format!("{one_by_one:?}"));
        let top = |(view, key): (Option<BookView>, &AssetKey)| {
            view.map(|view| BookTop {
                asset: *key,
                bid: view.bids.first().copied(),
                ask: view.asks.first().copied(),
                state: view.state,
                verified: view.hash_verified,
                position: view.position,
                last_update: view.last_update,
            })
        };
        let tops: Vec<_> = one_by_one.into_iter().zip(&keys).map(top).collect();
        prop_assert_eq!(store.tops(&keys), tops);
        Ok(())
    }

    /// What is copied for a recorder is what readers see.
    fn check_copies(&self) -> Result<(), TestCaseError> {
        let mut copies = Vec::new();
        let source = self.bench.manager.checkpoints();
        let copied = source.copy(Lane(0), 0, &|_, _| true, &mut copies).unwrap();
        prop_assert_eq!(copied.next, None);
        for token in self.venue.tokens() {
            let is_its = |copy: &&Checkpoint| copy.whole.info.key == token.key();
            let copy = copies.iter().find(is_its);
            let view = self.bench.store.book(token.key(), usize::MAX);
            let Some((copy, view)) = copy.zip(view) else {
                prop_assert!(copy.is_none(), "nobody can read it");
                prop_assert!(self.bench.store.book(token.key(), 0).is_none());
                continue;
            };
            let (whole, event) = (&copy.whole, copy.as_event());
            prop_assert_eq!(whole.position, view.position);
            prop_assert_eq!(whole.status.state, view.state);
            prop_assert_eq!(whole.status.verified, view.hash_verified);
            prop_assert_eq!(event.tick_size, view.tick_size);
            prop_assert_eq!((whole.at, whole.hash), (view.last_update, view.hash));
            let mut levels = (event.bids, event.asks);
            levels.0.reverse();
            levels.1.reverse();
            prop_assert_eq!(levels, (view.bids, view.asks));
        }
        Ok(())
    }

    /// The followers have what readers see.
    fn check(&mut self) -> Result<(), TestCaseError> {
        self.read();
        for (token, follower) in self.venue.tokens().iter().zip(&self.followers) {
            if !follower.is_following {
                continue;
            }
            let status = follower.status.unwrap();
            let Some(view) = self.bench.store.book(token.key(), usize::MAX) else {
                prop_assert_eq!(follower.sequence, 0);
                prop_assert!(matches!(
                    status.state,
                    BookState::Pending | BookState::Settled
                ));
                continue;
            };
            prop_assert_eq!(follower.levels(), (view.bids, view.asks));
            prop_assert_eq!(follower.epoch, view.position.epoch);
            prop_assert_eq!(follower.sequence, view.position.sequence);
            prop_assert_eq!(status.state, view.state);
            prop_assert_eq!(status.verified, view.hash_verified);
            prop_assert_eq!(status.tick_size, view.tick_size);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: histories(), ..ProptestConfig::default() })]

    #[test]
    fn a_follower_of_the_changes_has_the_shown_books(
        steps in prop::collection::vec(step(), 1..60),
        hash in prop::sample::select(vec![HashChecking::All, HashChecking::All, HashChecking::Off]),
    ) {
        let mut history = History::new(hash);
        for step in &steps {
            history.take(step);
            history.check()?;
            history.check_positions()?;
            history.check_many()?;
            history.check_copies()?;
        }
    }
}
