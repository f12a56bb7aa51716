//! The exchange itself: truth, subscriptions and what is to come, under one lock.
//!
//! Everything that changes a book, a subscription or a fault happens here, in
//! one order, so that an opening book and the events after it join without gap
//! or overlap: the book is rendered and the subscription takes effect in the
//! same call. Nothing here waits or touches a socket; frames go to outboxes.
//!
//! The rest of the exchange's behaviour is in files beside this one:
//! `subscription` (what clients ask), `delivery` (how frames reach sockets),
//! `disturbance` (what faults make of that).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use fastrand::Rng;
use hyper::StatusCode;
use polypy_core::{Clock, DecimalText, Price, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::catalogue::Catalogue;
use crate::config::SimConfig;
use crate::delivery::{Frame, FrameKind};
use crate::disturbance::Held;
use crate::fault::FaultKind;
use crate::fault_set::FaultSet;
use crate::flow::{self, Action, Flow};
use crate::outbox::{Ending, Outbox};
use crate::render::{self, Print};
use crate::stats::{Counters, SimStats};
use crate::subscription::Session;
use crate::timeline::Timeline;
use crate::venue::{LevelChange, Phase, TokenRef, Venue};

/// What the exchange and a socket's task share.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: u64,
    pub(crate) outbox: Outbox,
    /// Whether custom events are wanted; the last subscribe frame decides.
    pub(crate) custom_features: AtomicBool,
}

/// One socket's interest in one market.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) link: Arc<Link>,
    /// A bit for each outcome that is subscribed.
    pub(crate) outcomes: u32,
}

/// What is to happen later.
#[derive(Debug)]
pub(crate) enum Due {
    /// A trade is announced.
    Print { market: usize, print: Print },
    /// Opening books are sent and the subscription takes effect.
    Open {
        connection: u64,
        places: Vec<TokenRef>,
    },
    /// A settlement is announced.
    Resolved { market: usize, winner: usize },
    /// One socket gets one frame.
    Deliver { link: Arc<Link>, text: Utf8Bytes },
    /// A frame that waited to change places goes out.
    Release { connection: u64 },
    /// Faults whose time is over are switched off.
    EndFaults,
    /// One socket ends.
    End { link: Arc<Link>, ending: Ending },
}

/// Text of the close after the last settlement, in the venue's own words.
const ALL_RESOLVED: &str = "all subscribed assets resolved";

/// Levels of a settlement's burst in one frame.
const CLEARING_LEVELS: usize = 20;

/// Everything behind the exchange's lock.
pub(crate) struct Exchange {
    pub(crate) config: Arc<SimConfig>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) venue: Venue,
    pub(crate) sessions: BTreeMap<u64, Session>,
    /// By market.
    pub(crate) subscribers: Vec<Vec<Subscriber>>,
    pub(crate) timeline: Timeline<Due>,
    /// Wakes the driver when something became due earlier than it knows.
    pub(crate) wake: Arc<Notify>,
    /// For delays and choices that are not part of the flow.
    pub(crate) rng: Rng,
    pub(crate) paused: bool,
    pub(crate) faults: FaultSet,
    /// By connection.
    pub(crate) held: HashMap<u64, Held>,
    catalogue: Catalogue,
    flow: Flow,
    next_connection: u64,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange")
            .field("markets", &self.venue.markets.len())
            .field("sessions", &self.sessions.len())
            .finish_non_exhaustive()
    }
}

impl Exchange {
    /// An exchange with its first markets open.
    pub(crate) fn new(config: Arc<SimConfig>, clock: Arc<dyn Clock>) -> Self {
        let mut exchange = Self {
            counters: Arc::default(),
            venue: Venue::default(),
            sessions: BTreeMap::new(),
            subscribers: Vec::new(),
            timeline: Timeline::default(),
            wake: Arc::new(Notify::new()),
            rng: Rng::with_seed(config.seed ^ 0xde1a_75ee_d000_0003),
            paused: false,
            faults: FaultSet::default(),
            held: HashMap::new(),
            catalogue: Catalogue::new(config.seed),
            flow: Flow::new(&config),
            next_connection: 1,
            config,
            clock,
        };
        let listed_at = Instant::now();
        if exchange.config.playback.is_none() {
            for _ in 0..exchange.config.markets {
                exchange.open_market(listed_at);
            }
        }
        exchange
    }

    fn open_market(&mut self, listed_at: Instant) -> usize {
        let now = self.clock.now();
        let listing = self.catalogue.next_listing(now);
        let book = self.flow.open(self.venue.markets.len(), &listing);
        // An opening book's stamp is that of its last change, some time ago.
        let quiet = self.rng.u64(1_000..600_000);
        let changed = Timestamp::from_millis(now.millis().saturating_sub(quiet));
        let market = self.venue.add(listing, &book, changed, listed_at);
        self.subscribers.push(Vec::new());
        market
    }

    /// Registers a socket.
    pub(crate) fn connect(&mut self) -> Arc<Link> {
        let link = Arc::new(Link {
            id: self.next_connection,
            outbox: Outbox::new(self.config.send_buffer),
            custom_features: AtomicBool::new(false),
        });
        self.next_connection += 1;
        self.counters.connections_opened.increment();
        self.sessions
            .insert(link.id, Session::new(Arc::clone(&link)));
        link
    }

    /// Forgets a socket.
    pub(crate) fn disconnect(&mut self, connection: u64) {
        let Some(session) = self.sessions.remove(&connection) else {
            return;
        };
        self.counters.connections_closed.increment();
        self.held.remove(&connection);
        for place in session.places() {
            self.subscribers[place.market].retain(|subscriber| subscriber.link.id != connection);
        }
    }

    /// Takes one step of the flow.
    pub(crate) fn step(&mut self) {
        let Some(action) = self.flow.next_action(&self.venue) else {
            return;
        };
        self.counters.steps.increment();
        match action {
            Action::Change {
                market,
                changes,
                split,
            } => {
                self.publish_change(market, &changes, split);
                self.refine_tick(market);
            }
            Action::Trade {
                market,
                changes,
                print,
                delay,
            } => {
                self.publish_trade(market, &changes, print, Instant::now() + delay);
                self.refine_tick(market);
            }
            Action::Announce => self.announce(),
            Action::Settle {
                market,
                winner,
                delay,
            } => self.settle(market, winner, delay),
        }
    }

    /// Does everything whose time has come.
    pub(crate) fn run_due(&mut self, now: Instant) {
        while let Some(due) = self.timeline.pop_due(now) {
            match due {
                Due::Print { market, print } => self.publish_print(market, &print),
                Due::Open { connection, places } => self.open_books(connection, &places),
                Due::Resolved { market, winner } => self.publish_resolved(market, winner),
                Due::Deliver { link, text } => self.push(&link, text),
                Due::Release { connection } => self.release(connection),
                Due::EndFaults => self.end_faults(now),
                Due::End { link, ending } => link.outbox.end(ending),
            }
        }
    }

    /// Schedules something, or counts it as given up.
    pub(crate) fn schedule(&mut self, due: Instant, item: Due) {
        if self.timeline.next_due().is_none_or(|next| due < next) {
            self.wake.notify_one();
        }
        if self.timeline.schedule(due, item).is_err() {
            self.counters.timeline_dropped.increment();
        }
    }

    /// The status with which a fault refuses this request, if one does.
    pub(crate) fn refuses(&mut self, kind: FaultKind) -> Option<StatusCode> {
        let fault = self.faults.on_request(kind, &mut self.rng)?;
        let status = match kind {
            FaultKind::Gamma5xx | FaultKind::Clob5xx => fault.count("status"),
            _ => 429,
        };
        let status = u16::try_from(status)
            .ok()
            .and_then(|code| StatusCode::from_u16(code).ok());
        Some(status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE))
    }

    fn end_faults(&mut self, now: Instant) {
        self.faults.prune(now);
        if let Some(end) = self.faults.next_end() {
            self.schedule(end, Due::EndFaults);
        }
    }

    fn publish_change(&mut self, market: usize, changes: &[LevelChange], split: bool) {
        let before = self.tops(market);
        let now = self.clock.now();
        self.venue.markets[market].apply(changes, now);
        if self.subscribers[market].is_empty() {
            return;
        }
        self.publish_tops(market, &before);
        let frames = if split { 1 } else { changes.len().max(1) };
        for part in changes.chunks(frames) {
            let text = render::price_change(&mut self.venue.markets[market], part);
            self.publish(&Frame::of_market(FrameKind::PriceChange, market, text));
        }
    }

    fn publish_trade(
        &mut self,
        market: usize,
        changes: &[LevelChange],
        print: Print,
        printed_at: Instant,
    ) {
        self.counters.trades.increment();
        let state = &mut self.venue.markets[market];
        // The hash shows the trade's price before anything announces it.
        state.last_trade_price = hashed_price(print.price);
        state.last_trade_side = Some(print.side);
        self.publish_change(market, changes, false);
        if self.subscribers[market].is_empty() {
            return;
        }
        for outcome in 0..self.venue.markets[market].tokens.len() {
            let text = render::later_book(&mut self.venue.markets[market], outcome);
            let place = TokenRef { market, outcome };
            self.publish(&Frame::of_token(FrameKind::Book, place, text));
        }
        self.schedule(printed_at, Due::Print { market, print });
    }

    fn publish_print(&mut self, market: usize, print: &Print) {
        let stamp = self.stamp(market);
        let text = render::last_trade_price(&self.venue.markets[market], print, stamp);
        let place = TokenRef {
            market,
            outcome: print.outcome,
        };
        self.publish(&Frame::of_token(FrameKind::Trade, place, text));
    }

    /// The tops of a market's tokens.
    fn tops(&self, market: usize) -> Vec<(Price, Price)> {
        let tokens = &self.venue.markets[market].tokens;
        tokens
            .iter()
            .map(|token| render::tops(&token.book))
            .collect()
    }

    /// Says the tops that moved, ahead of the changes that moved them: so the
    /// venue does.
    fn publish_tops(&mut self, market: usize, before: &[(Price, Price)]) {
        for (outcome, (old, new)) in before.iter().zip(self.tops(market)).enumerate() {
            if *old != new {
                let text = render::best_bid_ask(&self.venue.markets[market], outcome);
                let place = TokenRef { market, outcome };
                self.publish(&Frame::of_token(FrameKind::BestBidAsk, place, text));
            }
        }
    }

    fn refine_tick(&mut self, market: usize) {
        if let Some(tick) = flow::refined(&self.venue.markets[market]) {
            // Half of all tick changes reach clients twice on the venue.
            let twice = self.rng.bool();
            self.change_tick(market, tick, twice);
        }
    }

    /// Gives a market a new price grid and says so for each token.
    pub(crate) fn change_tick(&mut self, market: usize, tick: DecimalText, twice: bool) {
        let state = &mut self.venue.markets[market];
        let old = state.tick_size;
        state.set_tick(tick);
        self.counters.tick_changes.increment();
        let stamp = self.stamp(market);
        for outcome in 0..self.venue.markets[market].tokens.len() {
            let text = render::tick_size_change(&self.venue.markets[market], outcome, old, stamp);
            let place = TokenRef { market, outcome };
            let frame = Frame::of_token(FrameKind::TickSize, place, text);
            self.publish(&frame);
            if twice {
                self.publish(&frame);
            }
        }
    }

    /// Opens a market, or all of a new event's, and tells every socket with
    /// custom features. Gamma learns of it later.
    fn announce(&mut self) {
        loop {
            let market = self.open_market(Instant::now() + self.config.listing_lag);
            self.counters.markets_announced.increment();
            let text = render::new_market(&self.venue.markets[market], self.clock.now());
            self.broadcast(&Frame::of_market(FrameKind::NewMarket, market, text));
            if !self.catalogue.has_open_event() {
                return;
            }
        }
    }

    /// Empties a market's books. The word of it follows after `delay`.
    pub(crate) fn settle(&mut self, market: usize, winner: usize, delay: std::time::Duration) {
        self.counters.markets_settled.increment();
        let clearing = self.venue.markets[market].clearing();
        let before = self.tops(market);
        let now = self.clock.now();
        let state = &mut self.venue.markets[market];
        state.apply(&clearing, now);
        let instant = Instant::now();
        state.phase = Phase::Settled {
            winner,
            closed_at: instant + self.config.closing_lag,
        };
        if !self.subscribers[market].is_empty() {
            self.publish_tops(market, &before);
            for part in clearing.chunks(CLEARING_LEVELS) {
                let text = render::price_change(&mut self.venue.markets[market], part);
                self.publish(&Frame::of_market(FrameKind::PriceChange, market, text));
            }
        }
        self.schedule(instant + delay, Due::Resolved { market, winner });
    }

    fn publish_resolved(&mut self, market: usize, winner: usize) {
        let stamp = self.stamp(market);
        let text = render::market_resolved(&self.venue.markets[market], winner, stamp);
        self.publish(&Frame::of_market(FrameKind::Resolved, market, text));
        for subscriber in std::mem::take(&mut self.subscribers[market]) {
            let Some(session) = self.sessions.get_mut(&subscriber.link.id) else {
                continue;
            };
            session.forget_market(market);
            if session.is_idle() {
                self.counters.closed_resolved.increment();
                let ending = Ending::CloseAfterQueue(1000, ALL_RESOLVED.into());
                subscriber.link.outbox.end(ending);
            }
        }
    }

    /// A token's book as REST answers it.
    pub(crate) fn rest_book(&mut self, place: TokenRef) -> Option<String> {
        Some(render::rest_book(
            &mut self.venue.markets[place.market],
            place.outcome,
        ))
    }

    /// A stamp of now that is not before the market's last change.
    fn stamp(&self, market: usize) -> Timestamp {
        let changed = self.venue.markets[market]
            .tokens
            .first()
            .map(|token| token.changed);
        self.clock.now().max(changed.unwrap_or_default())
    }

    /// The figures of this moment.
    pub(crate) fn stats(&self) -> SimStats {
        let (mut queued_frames, mut queued_bytes) = (0, 0);
        for session in self.sessions.values() {
            let (frames, bytes) = session.link.outbox.waiting();
            queued_frames += frames;
            queued_bytes += bytes;
        }
        SimStats {
            seed: self.config.seed,
            paused: self.paused,
            connections: self.sessions.len(),
            subscriptions: self.sessions.values().map(Session::count).sum(),
            markets_live: self
                .venue
                .markets
                .iter()
                .filter(|market| market.is_live())
                .count(),
            assets: self.venue.tokens().count(),
            queued_frames,
            queued_bytes,
            scheduled: self.timeline.len(),
            totals: self.counters.totals(),
            playback: None,
        }
    }
}

/// A trade's price in the form that books state and hash: three decimals, more
/// only where the grid is finer.
pub(crate) fn hashed_price(price: Price) -> DecimalText {
    let millionths = price.millionths();
    let text = if millionths.is_multiple_of(1_000) {
        format!(
            "{}.{:03}",
            millionths / 1_000_000,
            millionths % 1_000_000 / 1_000
        )
    } else {
        price.to_string()
    };
    DecimalText::new(&text).unwrap_or_default()
}
