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
use std::time::{Duration, Instant};

use polypy_core::{
    AssetKey, BookChange, BookControl, BookPosition, BookState, BookStatus, BookTop, BookView,
    EventSink, FeedId, Level, LevelChange, MarketEvent, Price, Side, Size, StaleReason,
};
use proptest::prelude::*;

use crate::config::HashChecking;
use crate::testing::{Harness, Truth, assets, one_worker, price, timeless};

const SOCKETS: usize = 2;

#[derive(Debug, Clone)]
enum Step {
    /// The venue changes both tokens' books by these orders, in one message.
    Orders(Vec<(u8, u8)>),
    /// It changes a level and changes it back, within a millisecond.
    Flicker(u8),
    /// It changes one and tells nobody.
    Conceal(u8, u8),
    /// It sends a whole book to every socket.
    Whole(usize),
    /// A socket brings so many of the events that wait.
    Read(usize, usize),
    /// What a socket has brought last comes again.
    Again(usize),
    /// The next two events of a socket change places.
    Swap(usize),
    /// A socket is never sent the next event.
    Omit(usize),
    /// Something is lost on a socket, or on all.
    Gap(usize),
    Mark(usize),
    /// A socket closes and opens again.
    Reopen(usize),
    /// A whole book is asked of a socket.
    Resync(usize, usize),
    Audit(usize),
    Trade(u8),
    Look(u64),
    /// The worker dies after the first event of what it applies.
    Panic(usize),
    Settle(usize),
    Follow(usize),
    Unfollow(usize),
}

fn step() -> impl Strategy<Value = Step> {
    use Step::*;
    let (token, socket) = (0..2usize, 0..SOCKETS);
    prop_oneof![
        16 => prop::collection::vec((40..60u8, 0..4u8), 1..3).prop_map(Orders),
        2 => (40..60u8).prop_map(Flicker),
        1 => (40..60u8, 0..4u8).prop_map(|(tick, size)| Conceal(tick, size)),
        2 => token.clone().prop_map(Whole),
        20 => (socket.clone(), 1..7usize).prop_map(|(socket, events)| Read(socket, events)),
        2 => socket.clone().prop_map(Again),
        2 => socket.clone().prop_map(Swap),
        1 => socket.clone().prop_map(Omit),
        1 => socket.clone().prop_map(Gap),
        1 => token.clone().prop_map(Mark),
        2 => socket.clone().prop_map(Reopen),
        2 => (socket.clone(), token.clone()).prop_map(|(socket, token)| Resync(socket, token)),
        1 => token.clone().prop_map(Audit),
        1 => (1..99u8).prop_map(Trade),
        2 => prop::sample::select(vec![300, 1_500, 2_500, 6_000]).prop_map(Look),
        1 => socket.prop_map(Panic),
        2 => token.clone().prop_map(Follow),
        1 => token.clone().prop_map(Unfollow),
        1 => token.prop_map(|token| if token == 0 { Settle(0) } else { Look(300) }),
    ]
}

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

#[derive(Default)]
struct Socket {
    feed: u64,
    waiting: Vec<MarketEvent>,
    last: Vec<MarketEvent>,
}

struct History {
    bench: Harness,
    tokens: [Truth; 2],
    sockets: [Socket; SOCKETS],
    feeds: u64,
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
        let market = assets(1);
        let yes = Truth::new(&market[0]);
        let mut no = Truth::new(&market[1]);
        no.book = yes.book.mirror();
        let mut history = Self {
            bench,
            tokens: [yes, no],
            sockets: Default::default(),
            feeds: 0,
            followers: Default::default(),
            views: HashMap::new(),
            now: Instant::now(),
        };
        history.bench.written.take();
        (0..2).for_each(|token| history.follow(token));
        history.read();
        (0..SOCKETS).for_each(|socket| history.open(socket));
        history
    }

    fn follow(&mut self, token: usize) {
        assert!(self.bench.follow(&self.tokens[token]));
        self.followers[token].begin();
    }

    fn open(&mut self, socket: usize) {
        self.feeds += 1;
        self.bench.open(self.feeds);
        let whole = self.tokens.iter().map(Truth::opening).collect();
        self.sockets[socket] = Socket {
            feed: self.feeds,
            waiting: whole,
            last: Vec::new(),
        };
    }

    fn tell(&mut self, events: &[MarketEvent]) {
        for socket in &mut self.sockets {
            socket.waiting.extend_from_slice(events);
        }
    }

    /// Changes a level of both tokens, and says so.
    fn order(&mut self, tick: u8, size: u8) -> [MarketEvent; 2] {
        let side = if tick < 50 { Side::Bid } else { Side::Ask };
        let (at, to) = (format!("0.{tick}"), size.to_string());
        let other = price(&at).complement().to_string();
        let [yes, no] = &mut self.tokens;
        [
            yes.change_within(side, &at, &to),
            no.change_within(side.opposite(), &other, &to),
        ]
    }

    fn next_moment(&mut self) {
        self.tokens.iter_mut().for_each(|token| token.now += 1);
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Orders(ref orders) => {
                for (tick, size) in orders {
                    self.next_moment();
                    let events = self.order(*tick, *size);
                    self.tell(&events);
                }
            }
            Step::Flicker(tick) => {
                self.next_moment();
                for size in [9, 8, 9] {
                    let events = self.order(tick, size);
                    self.tell(&events);
                }
            }
            Step::Conceal(tick, size) => {
                self.next_moment();
                let _: [MarketEvent; 2] = self.order(tick, size);
            }
            Step::Whole(token) => {
                let event = self.tokens[token].snapshot();
                self.tell(&[event]);
            }
            Step::Read(socket, events) => {
                let socket = &mut self.sockets[socket];
                let events = events.min(socket.waiting.len());
                socket.last = socket.waiting.drain(..events).collect();
                self.bench.send(socket.feed, socket.last.clone());
            }
            Step::Again(socket) => {
                let socket = &self.sockets[socket];
                self.bench.send(socket.feed, socket.last.clone());
            }
            Step::Swap(socket) => {
                if let [one, other, ..] = &mut *self.sockets[socket].waiting {
                    std::mem::swap(one, other);
                }
            }
            Step::Omit(socket) => {
                let waiting = &mut self.sockets[socket].waiting;
                drop(waiting.drain(..1.min(waiting.len())));
            }
            Step::Gap(socket) => {
                let feed = FeedId(self.sockets[socket].feed);
                let key = self.tokens[0].key();
                let reason = StaleReason::Undecodable;
                self.bench.router.mark_feed_stale(feed, &[key], reason);
                self.bench.settle_down();
            }
            Step::Mark(token) => {
                let key = self.tokens[token].key();
                self.bench
                    .router
                    .mark_stale(&[key], StaleReason::Resubscribing);
                self.bench.settle_down();
            }
            Step::Reopen(socket) => {
                self.bench.close(self.sockets[socket].feed);
                self.bench.settle_down();
                self.open(socket);
            }
            Step::Resync(socket, token) => {
                let event = self.tokens[token].opening();
                self.sockets[socket].waiting.push(event);
            }
            Step::Audit(token) => self.bench.audit(self.tokens[token].snapshot()),
            Step::Trade(cents) => {
                let event = self.tokens[0].trade(&format!("0.{cents:02}"));
                self.tell(&[event]);
            }
            Step::Look(millis) => {
                self.now += Duration::from_millis(millis);
                self.bench.look_at(self.now);
            }
            Step::Panic(socket) => self.panic(socket),
            Step::Settle(token) => {
                self.bench.router.settle(&[self.tokens[token].key()]);
                self.bench.settle_down();
            }
            Step::Follow(token) => self.follow(token),
            Step::Unfollow(token) => {
                assert!(self.bench.unfollow(&self.tokens[token]));
                self.followers[token] = Follower::default();
            }
        }
    }

    /// The worker dies in the middle of what a socket brings, and is replaced.
    fn panic(&mut self, socket: usize) {
        let socket = &mut self.sockets[socket];
        let events = std::mem::take(&mut socket.waiting);
        if events.is_empty() {
            return;
        }
        self.bench.manager.inject_panic(0);
        self.bench.queue(socket.feed, events);
        self.bench.iterate();
        assert!(!self.bench.is_running());
        let written = self.bench.written.take();
        assert!(written.is_empty(), "half of a change: {written:?}");
        self.bench.restart_worker();
        self.bench.settle_down();
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
            let token = self.tokens.iter().position(of).unwrap();
            self.followers[token].take(&change);
        }
        if is_reset {
            for token in 0..self.tokens.len() {
                if self.followers[token].is_following {
                    self.follow(token);
                }
            }
            self.read();
        }
    }

    /// Of what has one position and state readers see one thing, but for its age.
    fn check_positions(&mut self) -> Result<(), TestCaseError> {
        for token in &self.tokens {
            let Some(view) = self.bench.store.book(token.key(), usize::MAX) else {
                continue;
            };
            let view = timeless(view);
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
        let keys: Vec<_> = self.tokens.iter().rev().map(Truth::key).collect();
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
                position: view.position,
                last_update: view.last_update,
            })
        };
        let tops: Vec<_> = one_by_one.into_iter().zip(&keys).map(top).collect();
        prop_assert_eq!(store.tops(&keys), tops);
        Ok(())
    }

    /// The followers have what readers see.
    fn check(&mut self) -> Result<(), TestCaseError> {
        self.read();
        for (token, follower) in self.tokens.iter().zip(&self.followers) {
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

fn histories() -> u32 {
    let said = std::env::var("POLYPY_HISTORIES");
    said.map_or(10_000, |text| text.parse().expect("is a number"))
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
        }
    }
}
