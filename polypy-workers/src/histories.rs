//! Random histories of one market: what the venue does, and what of it two sockets
//! bring, in which order. For tests that hold one way of keeping books against another.

use std::time::Duration;

use polypy_core::{AssetKey, MarketEvent, Side};
use proptest::prelude::*;

use crate::testing::{Truth, assets, price};

const SOCKETS: usize = 2;

#[derive(Debug, Clone)]
pub(crate) enum Step {
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

pub(crate) fn step() -> impl Strategy<Value = Step> {
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

/// Steps of a venue that tells all there is, and of sockets that bring it in order.
pub(crate) fn steady_step() -> impl Strategy<Value = Step> {
    use Step::*;
    let (token, socket) = (0..2usize, 0..SOCKETS);
    prop_oneof![
        16 => prop::collection::vec((40..60u8, 0..4u8), 1..3).prop_map(Orders),
        2 => token.clone().prop_map(Whole),
        20 => (socket.clone(), 1..7usize).prop_map(|(socket, events)| Read(socket, events)),
        2 => (socket, token).prop_map(|(socket, token)| Resync(socket, token)),
        1 => (1..99u8).prop_map(Trade),
    ]
}

/// How many histories are tried: `POLYPY_HISTORIES`, or 10,000.
pub(crate) fn histories() -> u32 {
    let said = std::env::var("POLYPY_HISTORIES");
    said.map_or(10_000, |text| text.parse().expect("is a number"))
}

/// What reaches the books in a step.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    Open(u64),
    Close(u64),
    Deliver(u64, Vec<MarketEvent>),
    Gap(u64, AssetKey),
    Mark(AssetKey),
    Audit(MarketEvent),
    /// So much time passes.
    Pass(Duration),
    /// The worker dies in the middle of what this feed brings.
    Panic(u64, Vec<MarketEvent>),
    Settle(AssetKey),
    Follow(usize),
    Unfollow(usize),
}

#[derive(Default)]
struct Socket {
    feed: u64,
    waiting: Vec<MarketEvent>,
    last: Vec<MarketEvent>,
}

/// A venue with both tokens of one market, and the sockets.
pub(crate) struct Venue {
    tokens: [Truth; 2],
    sockets: [Socket; SOCKETS],
    feeds: u64,
}

impl Venue {
    /// The venue, and what opens the sockets.
    pub(crate) fn open() -> (Self, Vec<Call>) {
        let market = assets(1);
        let yes = Truth::new(&market[0]);
        let mut no = Truth::new(&market[1]);
        no.book = yes.book.mirror();
        let mut venue = Self {
            tokens: [yes, no],
            sockets: Default::default(),
            feeds: 0,
        };
        let opened = (0..SOCKETS).map(|socket| venue.open_socket(socket));
        let calls = opened.collect();
        (venue, calls)
    }

    /// Both tokens as they are.
    pub(crate) fn tokens(&self) -> &[Truth; 2] {
        &self.tokens
    }

    /// The feed that a socket is.
    pub(crate) fn feed(&self, socket: usize) -> u64 {
        self.sockets[socket].feed
    }

    /// What a step brings to the books.
    pub(crate) fn take(&mut self, step: &Step) -> Vec<Call> {
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
                return vec![Call::Deliver(socket.feed, socket.last.clone())];
            }
            Step::Again(socket) => {
                let socket = &self.sockets[socket];
                return vec![Call::Deliver(socket.feed, socket.last.clone())];
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
            Step::Gap(socket) => return vec![Call::Gap(self.feed(socket), self.tokens[0].key())],
            Step::Mark(token) => return vec![Call::Mark(self.tokens[token].key())],
            Step::Reopen(socket) => {
                return vec![Call::Close(self.feed(socket)), self.open_socket(socket)];
            }
            Step::Resync(socket, token) => {
                let event = self.tokens[token].opening();
                self.sockets[socket].waiting.push(event);
            }
            Step::Audit(token) => return vec![Call::Audit(self.tokens[token].snapshot())],
            Step::Trade(cents) => {
                let event = self.tokens[0].trade(&format!("0.{cents:02}"));
                self.tell(&[event]);
            }
            Step::Look(millis) => return vec![Call::Pass(Duration::from_millis(millis))],
            Step::Panic(socket) => {
                let socket = &mut self.sockets[socket];
                let events = std::mem::take(&mut socket.waiting);
                return vec![Call::Panic(socket.feed, events)];
            }
            Step::Settle(token) => return vec![Call::Settle(self.tokens[token].key())],
            Step::Follow(token) => return vec![Call::Follow(token)],
            Step::Unfollow(token) => return vec![Call::Unfollow(token)],
        }
        Vec::new()
    }

    fn open_socket(&mut self, socket: usize) -> Call {
        self.feeds += 1;
        self.sockets[socket] = Socket {
            feed: self.feeds,
            waiting: self.tokens.iter().map(Truth::opening).collect(),
            last: Vec::new(),
        };
        Call::Open(self.feeds)
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
}
