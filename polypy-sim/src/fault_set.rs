//! The faults that are switched on, and whom each of them hits.
//!
//! A share is decided by a digest of the exchange's seed, the fault's id and the
//! asset or connection, so that the same asset is hit for as long as the fault
//! lasts, and a seed repeats the choice.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::delivery::{About, Frame};
use crate::fault::Fault;
use crate::fault_kind::{FaultKind, Scope};
use crate::venue::{TokenRef, Venue};

/// Targets of a fault that the listing names; all are counted.
const MOST_LISTED: usize = 20;

/// One fault that is on.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) id: u64,
    pub(crate) fault: Fault,
    /// Where the fault's assets are kept, if it names any.
    places: Option<HashSet<TokenRef>>,
    seed: u64,
    until: Option<Instant>,
    /// Line of the script that switched it on, if one did.
    script_line: Option<usize>,
    /// How often it struck.
    hits: AtomicU64,
    /// Changes omitted so far, by token.
    omitted: HashMap<TokenRef, usize>,
}

impl Active {
    fn chosen(&self, what: u64) -> bool {
        match self.fault.share {
            None => true,
            Some(share) => {
                let mut rng = Rng::with_seed(self.seed ^ what.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                rng.f64() < share
            }
        }
    }

    fn on_connection(&self, connection: u64) -> bool {
        self.fault
            .connections
            .as_ref()
            .is_none_or(|ids| ids.contains(&connection))
    }

    /// Whether it hits a socket, for faults that choose among sockets.
    pub(crate) fn hits_connection(&self, connection: u64) -> bool {
        self.on_connection(connection) && self.chosen(connection)
    }

    /// Whether it hits an asset on any socket, for faults that choose among assets.
    pub(crate) fn hits_asset(&self, place: TokenRef) -> bool {
        let number = u64::try_from(place.market * 64 + place.outcome).unwrap_or(u64::MAX);
        self.places
            .as_ref()
            .is_none_or(|places| places.contains(&place))
            && self.chosen(number)
    }

    /// Whether it hits an asset on one socket.
    pub(crate) fn hits_asset_on(&self, connection: u64, place: TokenRef) -> bool {
        self.on_connection(connection) && self.hits_asset(place)
    }

    /// Whether it hits any asset that a frame is about, on one socket.
    pub(crate) fn hits_frame(&self, connection: u64, frame: &Frame, venue: &Venue) -> bool {
        self.on_connection(connection)
            && match frame.about {
                About::Token(place) => self.hits_asset(place),
                About::Market(market) => (0..venue.markets[market].tokens.len())
                    .any(|outcome| self.hits_asset(TokenRef { market, outcome })),
                About::Connection => self.places.is_none(),
            }
    }

    /// Whom it hits, for people: how many, and the first of them. `None` for
    /// what chooses among nothing, or again each time.
    fn targets<'a>(
        &self,
        venue: &Venue,
        connections: impl Iterator<Item = &'a u64>,
    ) -> Option<Value> {
        let (mut count, mut first) = (0_usize, Vec::new());
        let mut add = |target: Value| {
            count += 1;
            if first.len() < MOST_LISTED {
                first.push(target);
            }
        };
        match self.fault.kind.info().scope {
            Scope::Connection => connections
                .filter(|id| self.hits_connection(**id))
                .for_each(|id| add(json!(id))),
            Scope::Asset => venue
                .tokens()
                .filter(|(place, _)| self.hits_asset(*place))
                .for_each(|(_, token)| add(json!(token.info.asset_id.as_str()))),
            Scope::Request | Scope::Exchange => return None,
        }
        Some(json!({ "count": count, "first": first }))
    }

    /// Whether a fault with a rate hits a published state, told by its hash: so
    /// every frame that shows the state is hit, or none.
    pub(crate) fn hits_state(&self, hash: &str) -> bool {
        let head = hash
            .get(..16)
            .and_then(|head| u64::from_str_radix(head, 16).ok());
        let mut rng = Rng::with_seed(self.seed ^ head.unwrap_or_default());
        rng.f64() < self.fault.number("rate")
    }

    /// Counts a strike.
    pub(crate) fn struck(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether one more change of an asset is to be omitted; counts it.
    pub(crate) fn omits(&mut self, place: TokenRef) -> bool {
        let most = self.fault.count("count");
        let omitted = self.omitted.entry(place).or_default();
        let omits = *omitted < most;
        if omits {
            *omitted += 1;
        }
        omits
    }
}

/// Every fault that is on.
#[derive(Debug, Default)]
pub(crate) struct FaultSet {
    active: Vec<Active>,
    made: u64,
}

impl FaultSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.active.is_empty()
    }

    /// Switches a fault on and returns its id.
    pub(crate) fn add(
        &mut self,
        fault: Fault,
        script_line: Option<usize>,
        seed: u64,
        venue: &Venue,
        now: Instant,
    ) -> u64 {
        self.made += 1;
        let id = self.made;
        let places = fault.assets.as_ref().map(|assets| {
            assets
                .iter()
                .filter_map(|id| venue.find(id.as_str()))
                .collect()
        });
        self.active.push(Active {
            id,
            places,
            seed: seed.rotate_left(17) ^ id.wrapping_mul(0xd6e8_feb8_6659_fd93),
            until: fault.lasting.map(|lasting| now + lasting),
            script_line,
            hits: AtomicU64::new(0),
            omitted: HashMap::new(),
            fault,
        });
        id
    }

    /// Switches one off; false if it was not on.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        self.end(|active| active.id == id) > 0
    }

    /// Switches all off and says how many there were.
    pub(crate) fn clear(&mut self) -> usize {
        self.end(|_| true)
    }

    /// Ends those whose time is over.
    pub(crate) fn prune(&mut self, now: Instant) {
        self.end(|active| active.until.is_some_and(|until| until <= now));
    }

    /// Switches off and logs those that are over; how many they are.
    fn end(&mut self, is_over: impl Fn(&Active) -> bool) -> usize {
        let before = self.active.len();
        self.active.retain(|active| {
            let is_over = is_over(active);
            if is_over {
                let hits = active.hits.load(Ordering::Relaxed);
                let fault = active.fault.kind.info().name;
                tracing::info!(fault, id = active.id, hits, "fault off");
            }
            !is_over
        });
        before - self.active.len()
    }

    /// When the next one ends by itself.
    pub(crate) fn next_end(&self) -> Option<Instant> {
        self.active.iter().filter_map(|active| active.until).min()
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Active> {
        self.active.iter()
    }

    /// Those of one kind.
    pub(crate) fn of(&self, kind: FaultKind) -> impl Iterator<Item = &Active> {
        self.active
            .iter()
            .filter(move |active| active.fault.kind == kind)
    }

    /// The same, to count in.
    pub(crate) fn of_mut(&mut self, kind: FaultKind) -> impl Iterator<Item = &mut Active> {
        self.active
            .iter_mut()
            .filter(move |active| active.fault.kind == kind)
    }

    /// The first of a kind that hits a socket; counts the strike.
    pub(crate) fn on_connection(&self, kind: FaultKind, connection: u64) -> Option<&Fault> {
        let active = self
            .of(kind)
            .find(|active| active.hits_connection(connection))?;
        active.struck();
        Some(&active.fault)
    }

    /// The first of a kind that hits an asset on a socket; counts the strike.
    pub(crate) fn on_asset(
        &self,
        kind: FaultKind,
        connection: u64,
        place: TokenRef,
    ) -> Option<&Fault> {
        let active = self
            .of(kind)
            .find(|active| active.hits_asset_on(connection, place))?;
        active.struck();
        Some(&active.fault)
    }

    /// The first of a kind that hits an asset on every socket; counts the strike.
    pub(crate) fn on_place(&self, kind: FaultKind, place: TokenRef) -> Option<&Fault> {
        let active = self.of(kind).find(|active| active.hits_asset(place))?;
        active.struck();
        Some(&active.fault)
    }

    /// The first of a kind, for those that hit the whole exchange; counts the
    /// strike.
    pub(crate) fn on_exchange(&self, kind: FaultKind) -> Option<&Fault> {
        let active = self.of(kind).next()?;
        active.struck();
        Some(&active.fault)
    }

    /// The first of a kind that hits this request; counts the strike.
    pub(crate) fn on_request(&self, kind: FaultKind, rng: &mut Rng) -> Option<&Fault> {
        let active = self
            .of(kind)
            .find(|active| active.fault.share.is_none_or(|share| rng.f64() < share))?;
        active.struck();
        Some(&active.fault)
    }

    /// What is on, for people, and whom it hits now. Looks at every asset for
    /// each fault that chooses among them.
    pub(crate) fn list<'a>(
        &self,
        venue: &Venue,
        connections: impl Iterator<Item = &'a u64> + Clone,
        now: Instant,
    ) -> Vec<Value> {
        self.active
            .iter()
            .map(|active| {
                let mut row = active.fault.to_json();
                if let Some(targets) = active.targets(venue, connections.clone()) {
                    row.insert("targets".to_owned(), targets);
                }
                row.insert("id".to_owned(), json!(active.id));
                row.insert(
                    "hits".to_owned(),
                    json!(active.hits.load(Ordering::Relaxed)),
                );
                if let Some(line) = active.script_line {
                    row.insert("script_line".to_owned(), json!(line));
                }
                if let Some(until) = active.until {
                    let left = until.saturating_duration_since(now).as_secs_f64();
                    row.insert("ends_in_seconds".to_owned(), json!(left));
                }
                Value::Object(row)
            })
            .collect()
    }
}
