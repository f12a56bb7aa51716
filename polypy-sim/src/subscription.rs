//! What clients ask of the exchange, and what each socket is subscribed to.
//!
//! | asked | answered |
//! |---|---|
//! | `PING` | `PONG`, behind whatever waits |
//! | a first frame, or `operation: subscribe` | one array of opening books after a delay, `[]` if none is live |
//! | only assets already subscribed | `NO NEW ASSETS`; the custom flag is taken over nevertheless |
//! | a second first frame, an unknown operation | `INVALID OPERATION` |
//! | anything else | `INVALID MESSAGE` |
//! | more ids than [`SimConfig::snapshot_id_limit`](crate::SimConfig) | no books, only events |
//! | more ids than [`SimConfig::frame_id_limit`](crate::SimConfig) | the socket closes 100 to 200 ms later |

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::config;
use crate::delivery::{Frame, FrameKind};
use crate::exchange::{Due, Exchange, Link, Subscriber};
use crate::fault_kind::FaultKind;
use crate::outbox::Ending;
use crate::player::Player;
use crate::render;
use crate::request::{Request, Subscription};
use crate::venue::TokenRef;

/// Where one subscription stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its opening book is due; events come from then on.
    Requested,
    Active,
}

/// One socket's side of the exchange.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) link: Arc<Link>,
    /// Whether its first frame has come.
    opened: bool,
    tokens: HashMap<TokenRef, Stage>,
    /// Unsubscribed, and not silent yet.
    late: HashSet<TokenRef>,
}

impl Session {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self {
            link,
            opened: false,
            tokens: HashMap::new(),
            late: HashSet::new(),
        }
    }

    /// What it may be sent events of, in no order.
    pub(crate) fn places(&self) -> impl Iterator<Item = TokenRef> + '_ {
        self.tokens.keys().chain(&self.late).copied()
    }

    /// Whether it is subscribed to a token.
    pub(crate) fn wants(&self, place: TokenRef) -> bool {
        self.tokens.contains_key(&place)
    }

    pub(crate) fn count(&self) -> usize {
        self.tokens.len()
    }

    /// Whether nothing is subscribed.
    pub(crate) fn is_idle(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Whether it was subscribed to a token of the market.
    pub(crate) fn forget_market(&mut self, market: usize) -> bool {
        let before = self.tokens.len();
        self.tokens.retain(|place, _stage| place.market != market);
        self.late.retain(|place| place.market != market);
        self.tokens.len() < before
    }
}

impl Exchange {
    /// Handles one text frame of a client.
    pub(crate) fn receive(&mut self, connection: u64, text: &str) {
        let Some(session) = self.sessions.get(&connection) else {
            return;
        };
        let link = Arc::clone(&session.link);
        let first = !session.opened;
        let request = Request::parse(text);
        if first && !self.faults.is_empty() && request != Request::Ping {
            self.strike(FaultKind::DropConnection, &link);
            self.strike(FaultKind::Close1013, &link);
            self.strike(FaultKind::Close1000, &link);
        }
        let Some(session) = self.sessions.get_mut(&connection) else {
            return;
        };
        match request {
            Request::Ping => self.answer_ping(&link),
            Request::Open(subscription) if !session.opened => {
                session.opened = true;
                self.subscribe(&link, &subscription, Frames::First);
            }
            Request::Subscribe(subscription) => {
                let frames = if session.opened {
                    Frames::Later
                } else {
                    Frames::First
                };
                session.opened = true;
                self.subscribe(&link, &subscription, frames);
            }
            Request::Unsubscribe(asset_ids) => {
                session.opened = true;
                self.unsubscribe(connection, &asset_ids);
            }
            Request::Open(_) | Request::UnknownOperation => {
                self.answer(&link, "INVALID OPERATION");
            }
            Request::Malformed => self.answer(&link, "INVALID MESSAGE"),
        }
    }

    fn subscribe(&mut self, link: &Arc<Link>, subscription: &Subscription, frames: Frames) {
        // The flag is applied before duplicates are refused: a client flips it
        // by sending one active asset again.
        link.custom_features
            .store(subscription.custom_features, Ordering::Relaxed);
        let ids = subscription.asset_ids.len();
        let oversized = FaultKind::OversizedSubscribeClose;
        let limit = self
            .faults
            .of(oversized)
            .filter(|active| active.hits_connection(link.id))
            .map(|active| active.fault.count("ids"))
            .fold(self.config.frame_id_limit, usize::min);
        if ids > limit {
            self.faults.on_connection(oversized, link.id);
            self.counters.closed_oversized.increment();
            let due = Instant::now() + Duration::from_millis(self.rng.u64(100..=200));
            self.schedule(
                due,
                Due::End {
                    link: Arc::clone(link),
                    ending: Ending::Drop,
                },
            );
            return;
        }
        let Some(session) = self.sessions.get_mut(&link.id) else {
            return;
        };
        let mut places = Vec::with_capacity(ids);
        let mut missing = 0;
        for id in &subscription.asset_ids {
            match self.venue.find(id) {
                Some(place) if self.venue.markets[place.market].is_live() => {
                    if let std::collections::hash_map::Entry::Vacant(entry) =
                        session.tokens.entry(place)
                    {
                        entry.insert(Stage::Requested);
                        places.push(place);
                    }
                }
                Some(_) | None => missing += 1,
            }
        }
        if places.is_empty() && missing == 0 {
            if frames == Frames::Later || ids > 0 {
                self.answer(link, "NO NEW ASSETS");
            }
            return;
        }
        if let Some(player) = &mut self.player {
            player.subscribed(Instant::now());
            self.wake.notify_one();
        }
        // Before a recording begins its own opening books are still to come.
        let begun = self.player.as_ref().is_none_or(Player::has_begun);
        if begun && subscription.initial_dump && ids <= self.config.snapshot_id_limit {
            let delay = config::pick(&self.config.snapshot_delay, &mut self.rng);
            let due = Instant::now() + delay;
            self.schedule(
                due,
                Due::Open {
                    connection: link.id,
                    places,
                },
            );
        } else {
            for place in places {
                self.activate(link.id, place);
            }
        }
    }

    /// Sends the opening books of what is still wanted, in the order it was
    /// asked for, and lets events follow from this very moment.
    pub(crate) fn open_books(&mut self, connection: u64, places: &[TokenRef]) {
        let mut active = Vec::with_capacity(places.len());
        for &place in places {
            if self.is_requested(connection, place) && self.defers(connection, place) {
                self.is_back(place);
            } else if self.activate(connection, place) {
                active.push(place);
            }
        }
        self.send_books(connection, &active);
    }

    /// Sends the opening books of what is active by now.
    pub(crate) fn send_books(&mut self, connection: u64, places: &[TokenRef]) {
        let mut text = String::from("[");
        let mut opened = Vec::new();
        for &place in places {
            if !self.has_book(place) || self.loses_book(connection, place) {
                continue;
            }
            if text.len() > 1 {
                text.push(',');
            }
            let market = &mut self.venue.markets[place.market];
            if self.player.is_some() {
                market.foresee_price(place.outcome);
            }
            let book = render::opening_book(market, place.outcome);
            text.push_str(&book);
            let twice = FaultKind::OpeningDuplicateToken;
            if self.faults.on_asset(twice, connection, place).is_some() {
                text.push(',');
                text.push_str(&book);
            }
            opened.push(place);
            self.counters.opening_books.increment();
        }
        if text.len() == 1 && self.player.is_some() {
            // Nothing of it has been played: the recording has the word.
            return;
        }
        text.push_str("]\n");
        if let Some(session) = self.sessions.get(&connection) {
            let link = Arc::clone(&session.link);
            self.deliver(&link, &Frame::of_connection(FrameKind::Opening, text));
            self.send_late_deltas(&link, &opened);
        }
    }

    /// Whether a fault keeps an opening book away.
    fn loses_book(&mut self, connection: u64, place: TokenRef) -> bool {
        let lost = [FaultKind::MissingFirstBook, FaultKind::StallAsset]
            .into_iter()
            .find(|&kind| self.faults.on_asset(kind, connection, place).is_some());
        if let Some(kind) = lost {
            self.withhold(kind, Some(connection), &[place]);
        }
        lost.is_some()
    }

    /// Lets events of a requested token flow; not if the request was taken back
    /// or the market is settled by now.
    pub(crate) fn activate(&mut self, connection: u64, place: TokenRef) -> bool {
        let Some(session) = self.sessions.get_mut(&connection) else {
            return false;
        };
        if !self.venue.markets[place.market].is_live() {
            session.tokens.remove(&place);
            return false;
        }
        match session.tokens.get_mut(&place) {
            Some(stage @ Stage::Requested) => *stage = Stage::Active,
            Some(Stage::Active) | None => return false,
        }
        let bit = 1 << place.outcome;
        let subscribers = &mut self.subscribers[place.market];
        match subscribers
            .iter_mut()
            .find(|subscriber| subscriber.link.id == connection)
        {
            Some(subscriber) => subscriber.outcomes |= bit,
            None => subscribers.push(Subscriber {
                link: Arc::clone(&session.link),
                outcomes: bit,
            }),
        }
        self.is_back(place);
        true
    }

    fn is_requested(&self, connection: u64, place: TokenRef) -> bool {
        let session = self.sessions.get(&connection);
        session.is_some_and(|session| session.tokens.get(&place) == Some(&Stage::Requested))
    }

    /// Somebody has it again: a player that waits for that may go on.
    fn is_back(&mut self, place: TokenRef) {
        if let Some(player) = &mut self.player
            && player.carries(place, Instant::now())
        {
            self.wake.notify_one();
        }
    }

    fn unsubscribe(&mut self, connection: u64, asset_ids: &[String]) {
        let Some(session) = self.sessions.get_mut(&connection) else {
            return;
        };
        let mut late = Vec::new();
        for place in asset_ids.iter().filter_map(|id| self.venue.find(id)) {
            session.tokens.remove(&place);
            let fault = self
                .faults
                .on_asset(FaultKind::LateFrames, connection, place);
            let delay = fault.map(|fault| fault.duration("delay"));
            late.push((place, delay.unwrap_or_default()));
        }
        for (place, delay) in late {
            let due = Instant::now() + delay;
            if !delay.is_zero() && self.schedule(due, Due::LetGo { connection, place }) {
                if let Some(session) = self.sessions.get_mut(&connection) {
                    session.late.insert(place);
                }
            } else {
                self.let_go(connection, place);
            }
        }
    }

    /// Lets no more events of an unsubscribed token flow; one that was subscribed again
    /// meanwhile stays.
    pub(crate) fn let_go(&mut self, connection: u64, place: TokenRef) {
        let Some(session) = self.sessions.get_mut(&connection) else {
            return;
        };
        session.late.remove(&place);
        if session.tokens.get(&place) == Some(&Stage::Active) {
            return;
        }
        let subscribers = &mut self.subscribers[place.market];
        if let Some(subscriber) = subscribers
            .iter_mut()
            .find(|subscriber| subscriber.link.id == connection)
        {
            subscriber.outcomes &= !(1 << place.outcome);
        }
        subscribers.retain(|subscriber| subscriber.outcomes != 0);
    }

    fn answer_ping(&mut self, link: &Arc<Link>) {
        self.counters.pings.increment();
        self.deliver(
            link,
            &Frame::of_connection(FrameKind::Pong, "PONG".to_owned()),
        );
    }

    fn answer(&mut self, link: &Arc<Link>, text: &str) {
        self.deliver(
            link,
            &Frame::of_connection(FrameKind::Control, text.to_owned()),
        );
    }
}

/// Whether a subscription is the socket's first frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frames {
    First,
    Later,
}
