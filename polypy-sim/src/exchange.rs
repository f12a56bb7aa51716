//! The exchange itself: truth, subscriptions and what is to come, under one lock.
//!
//! Everything that changes a book, a subscription or a fault happens here, in
//! one order, so that an opening book and the events after it join without gap
//! or overlap: the book is rendered and the subscription takes effect in the
//! same call. Nothing here waits or touches a socket; frames go to outboxes.
//!
//! The rest of the exchange's behaviour is in files beside this one:
//! `publication` (what happens, as frames), `subscription` (what clients ask),
//! `delivery` (how frames reach sockets), `disturbance` (what faults make of
//! that), `lies` and `lag` (faults of the truth and of time), `journal` and
//! `script`, `player` (a recording in place of the flow).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use fastrand::Rng;
use hyper::StatusCode;
use polypy_core::{Clock, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::catalogue::Catalogue;
use crate::config::SimConfig;
use crate::delivery::Frame;
use crate::disturbance::Held;
use crate::fault::Fault;
use crate::fault_kind::FaultKind;
use crate::fault_set::{Active, FaultSet};
use crate::flow::{Action, Flow};
use crate::journal::Ledger;
use crate::lag::{RestPast, Trail};
use crate::outbox::{Ending, Outbox};
use crate::player::Player;
use crate::render::{self, Print};
use crate::script::Cue;
use crate::stats::{Counters, SimStats};
use crate::subscription::Session;
use crate::timeline::Timeline;
use crate::venue::{TokenRef, Venue};

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
    /// A token that was unsubscribed goes silent.
    LetGo { connection: u64, place: TokenRef },
    /// A settlement is announced.
    Resolved { market: usize, winner: usize },
    /// One socket gets one frame.
    Deliver { link: Arc<Link>, text: Utf8Bytes },
    /// A frame that waited to change places goes out.
    Release { connection: u64 },
    /// The same for what trails behind REST.
    Trailing { link: Arc<Link>, text: Utf8Bytes },
    /// Changes that waited for the next one's hash go out.
    ReleaseChange { market: usize },
    /// Faults whose time is over are switched off.
    EndFaults,
    /// One socket ends.
    End { link: Arc<Link>, ending: Ending },
}

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
    /// Steps of the flow a second, from the driver's next look on.
    pub(crate) rate: f64,
    pub(crate) faults: FaultSet,
    /// By connection.
    pub(crate) held: HashMap<u64, Held>,
    /// Changes that wait for the next one's hash, by market.
    pub(crate) awaiting: HashMap<usize, Vec<Frame>>,
    pub(crate) trails: HashMap<u64, Trail>,
    pub(crate) rest_past: RestPast,
    pub(crate) ledger: Ledger,
    /// Faults to come, earliest first.
    pub(crate) script: VecDeque<Cue>,
    /// Events to follow at once when the engine is back, while it restarts.
    pub(crate) restart: Option<u64>,
    /// Plays a recording in place of the flow.
    pub(crate) player: Option<Player>,
    pub(crate) catalogue: Catalogue,
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
    /// An exchange with its first markets open, unless it is to play a recording.
    pub(crate) fn new(config: Arc<SimConfig>, clock: Arc<dyn Clock>, plays: bool) -> Self {
        let mut exchange = Self {
            counters: Arc::default(),
            venue: Venue::default(),
            sessions: BTreeMap::new(),
            subscribers: Vec::new(),
            timeline: Timeline::default(),
            wake: Arc::new(Notify::new()),
            rng: Rng::with_seed(config.seed ^ 0xde1a_75ee_d000_0003),
            paused: false,
            rate: config.events_per_second,
            faults: FaultSet::default(),
            held: HashMap::new(),
            awaiting: HashMap::new(),
            trails: HashMap::new(),
            rest_past: RestPast::default(),
            ledger: Ledger::new(config.journal),
            script: VecDeque::new(),
            restart: None,
            player: None,
            catalogue: Catalogue::new(config.seed),
            flow: Flow::new(&config),
            next_connection: 1,
            config,
            clock,
        };
        let listed_at = Instant::now();
        if !plays {
            for _ in 0..exchange.config.markets {
                exchange.open_market(listed_at);
            }
        }
        exchange
    }

    pub(crate) fn open_market(&mut self, listed_at: Instant) -> usize {
        let now = self.clock.now();
        let listing = self.catalogue.next_listing(now);
        let book = self.flow.open(self.venue.markets.len(), &listing);
        // An opening book's stamp is that of its last change, some time ago.
        let quiet = self.rng.u64(1_000..600_000);
        let changed = Timestamp::from_millis(now.millis().saturating_sub(quiet));
        let market = self.venue.add(listing, &book, changed, listed_at);
        self.subscribers.push(Vec::new());
        self.enter(market);
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
        self.trails.remove(&connection);
        if let Some(player) = &mut self.player {
            player
                .deferred
                .retain(|deferred| deferred.connection != connection);
        }
        for place in session.places() {
            self.subscribers[place.market].retain(|subscriber| subscriber.link.id != connection);
        }
    }

    /// Lets the flow run at another rate from now on.
    pub(crate) fn set_rate(&mut self, events_per_second: f64) {
        self.rate = events_per_second;
        self.flow.share_out(events_per_second);
        self.wake.notify_one();
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
                Due::LetGo { connection, place } => self.let_go(connection, place),
                Due::Resolved { market, winner } => self.publish_resolved(market, winner),
                Due::Deliver { link, text } => self.push(&link, text),
                Due::Release { connection } => self.release(connection),
                Due::Trailing { link, text } => self.push_trailing(&link, text),
                Due::ReleaseChange { market } => self.release_changes(market),
                Due::EndFaults => self.end_faults(now),
                Due::End { link, ending } => link.outbox.end(ending),
            }
        }
    }

    /// Schedules something; false, and counted, when too much waits already.
    pub(crate) fn schedule(&mut self, due: Instant, item: Due) -> bool {
        if self.timeline.next_due().is_none_or(|next| due < next) {
            self.wake.notify_one();
        }
        let scheduled = self.timeline.schedule(due, item).is_ok();
        if !scheduled {
            self.counters.timeline_dropped.increment();
        }
        scheduled
    }

    /// The status with which a fault refuses this request, if one does.
    pub(crate) fn refuses(&mut self, kind: FaultKind) -> Option<StatusCode> {
        let fault = self.faults.on_request(kind, &mut self.rng)?;
        Some(match kind {
            FaultKind::Gamma5xx | FaultKind::Clob5xx | FaultKind::GammaRefusesTag => {
                status_of(fault)
            }
            FaultKind::Clob425 => StatusCode::TOO_EARLY,
            _ => StatusCode::TOO_MANY_REQUESTS,
        })
    }

    /// The status with which a fault refuses a request for `named` ids at once,
    /// those of these tokens or of their markets among them.
    pub(crate) fn refuses_batch(
        &mut self,
        by_size: FaultKind,
        by_token: FaultKind,
        named: usize,
        places: &[TokenRef],
    ) -> Option<StatusCode> {
        let is_too_large = |active: &Active| named > active.fault.count("ids");
        if self.faults.of(by_size).any(is_too_large)
            && let Some(fault) = self.faults.on_request(by_size, &mut self.rng)
        {
            return Some(status_of(fault));
        }
        let mut places = places.iter();
        let fault = places.find_map(|place| self.faults.on_place(by_token, *place))?;
        Some(status_of(fault))
    }

    fn end_faults(&mut self, now: Instant) {
        self.faults.prune(now);
        if let Some(end) = self.faults.next_end() {
            self.schedule(end, Due::EndFaults);
        }
    }

    /// Whether there is a book of a token: always, but for recordings of which
    /// none has been played.
    pub(crate) fn has_book(&self, place: TokenRef) -> bool {
        self.player.is_none() || self.venue.token(place).sequence > 1
    }

    /// A token's book as REST answers it.
    ///
    /// A recording's own REST answers come before books rebuilt from it; before
    /// any book of the token was played there is none.
    pub(crate) fn rest_book(&mut self, place: TokenRef) -> Option<String> {
        if let Some(player) = &self.player {
            let changed = self.venue.token(place).changed;
            if let Some(recorded) = player.rest_book(place, changed) {
                return Some(recorded.clone());
            }
            if !self.has_book(place) {
                return None;
            }
        }
        if let Some(past) = self.past_book(place) {
            return Some(past);
        }
        self.serve(place);
        Some(render::rest_book(
            &mut self.venue.markets[place.market],
            place.outcome,
        ))
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
            playback: self.player.as_ref().map(Player::stats),
        }
    }
}

/// The status that a fault answers with.
fn status_of(fault: &Fault) -> StatusCode {
    let status = u16::try_from(fault.count("status"));
    let status = status.ok().and_then(|code| StatusCode::from_u16(code).ok());
    status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
}
