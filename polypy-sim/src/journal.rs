//! What was the truth and when, and what of it nobody was told.
//!
//! For a judge of what a client shows: by a state's digest or hash he finds
//! which truth it was, and by `until` when it stopped being one; what a fault
//! withheld tells him that no evidence of a change ever left the exchange. Both
//! are bounded and neither is kept unless asked for. It judges nothing itself.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use polypy_core::{AssetId, BookHash, DecimalText, Level, Side, Timestamp};
use tokio::time::Instant;

use crate::delivery::{About, Frame, FrameKind};
use crate::exchange::{Exchange, Link, Subscriber};
use crate::fault_kind::FaultKind;
use crate::venue::TokenRef;

/// Most withheld events kept, and as many answers, over all assets: half an hour of
/// a venue a third of which is stalled on two sockets.
const KEPT: usize = 262_144;

/// One state of an asset's book that was the truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    /// As in [`crate::TrueBook`]. A new price grid is a new state with the same
    /// sequence.
    pub sequence: u64,
    /// Exchange time of the change that made it.
    pub timestamp: Timestamp,
    /// The venue's hash of it.
    pub hash: BookHash,
    /// [`digest`] of its levels: what a shown book is compared by.
    pub digest: u64,
    /// The price grid.
    pub tick_size: DecimalText,
    /// As hashed.
    pub last_trade_price: DecimalText,
    /// Sockets that had the asset subscribed then. Of a state without any,
    /// nobody was told, and everybody knew that he would not be.
    pub readers: usize,
    /// When it became the truth.
    pub published: Instant,
    /// When another took its place; `None` while it is the truth.
    pub until: Option<Instant>,
}

/// An event of an asset's book that a fault kept back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withheld {
    /// The asset.
    pub asset_id: AssetId,
    /// The state the event would have told of.
    pub sequence: u64,
    /// The socket that was not told; `None` when nobody was.
    pub connection: Option<u64>,
    /// Which fault it was.
    pub fault: FaultKind,
    /// When.
    pub at: Instant,
}

/// A whole book that was answered over REST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// The state in it.
    pub sequence: u64,
    /// When.
    pub at: Instant,
}

/// A number for the levels of a book, best first: equal for equal books.
pub fn digest(bids: impl IntoIterator<Item = Level>, asks: impl IntoIterator<Item = Level>) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut side = |levels: &mut dyn Iterator<Item = Level>| {
        let mut count: u64 = 0;
        for level in levels {
            (level.price.millionths(), level.size.millionths()).hash(&mut hasher);
            count += 1;
        }
        // The count parts the sides.
        count.hash(&mut hasher);
    };
    side(&mut bids.into_iter());
    side(&mut asks.into_iter());
    hasher.finish()
}

/// The states and the withheld events of every asset.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// States kept of each asset; zero keeps nothing of anything.
    limit: usize,
    states: HashMap<TokenRef, VecDeque<JournalEntry>>,
    withheld: VecDeque<(TokenRef, Withheld)>,
    /// Whether withheld events are missing, because there were too many.
    is_cut: bool,
    served: VecDeque<(TokenRef, Served)>,
}

impl Ledger {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            states: HashMap::new(),
            withheld: VecDeque::new(),
            is_cut: false,
            served: VecDeque::new(),
        }
    }

    fn is_off(&self) -> bool {
        self.limit == 0
    }

    fn push(&mut self, place: TokenRef, entry: JournalEntry) {
        let states = self.states.entry(place).or_default();
        if let Some(last) = states.back_mut() {
            last.until = Some(entry.published);
        }
        if states.len() >= self.limit {
            states.pop_front();
        }
        states.push_back(entry);
    }

    fn withhold(&mut self, place: TokenRef, withheld: Withheld) {
        if self.withheld.len() >= KEPT {
            self.withheld.pop_front();
            self.is_cut = true;
        }
        self.withheld.push_back((place, withheld));
    }
}

impl Exchange {
    /// Enters the state of each token of a market.
    pub(crate) fn enter(&mut self, market: usize) {
        if self.ledger.is_off() {
            return;
        }
        for outcome in 0..self.venue.markets[market].tokens.len() {
            self.enter_token(TokenRef { market, outcome });
        }
    }

    /// Enters the state of one token.
    pub(crate) fn enter_token(&mut self, place: TokenRef) {
        if self.ledger.is_off() {
            return;
        }
        let outcome = 1 << place.outcome;
        let readers = self.subscribers.get(place.market).map_or(0, |subscribers| {
            let reads = |subscriber: &&Subscriber| subscriber.outcomes & outcome != 0;
            subscribers.iter().filter(reads).count()
        });
        let market = &mut self.venue.markets[place.market];
        let hash = market.hash(place.outcome);
        let token = &market.tokens[place.outcome];
        let entry = JournalEntry {
            sequence: token.sequence,
            timestamp: token.changed,
            hash,
            digest: digest(token.book.levels(Side::Bid), token.book.levels(Side::Ask)),
            tick_size: market.tick_size,
            last_trade_price: market.last_trade_price,
            readers,
            published: Instant::now(),
            until: None,
        };
        self.ledger.push(place, entry);
    }

    /// Notes that the current state of some tokens was not told, to one socket
    /// or to anybody.
    pub(crate) fn withhold(
        &mut self,
        fault: FaultKind,
        connection: Option<u64>,
        places: &[TokenRef],
    ) {
        if self.ledger.is_off() {
            return;
        }
        for &place in places {
            let token = self.venue.token(place);
            let withheld = Withheld {
                asset_id: token.info.asset_id.clone(),
                sequence: token.sequence,
                connection,
                fault,
                at: Instant::now(),
            };
            self.ledger.withhold(place, withheld);
        }
    }

    /// The same for the tokens whose book a frame is about.
    pub(crate) fn withhold_frame(&mut self, fault: FaultKind, link: &Arc<Link>, frame: &Frame) {
        if !matches!(frame.kind, FrameKind::Book | FrameKind::PriceChange) {
            return;
        }
        match frame.about {
            About::Token(place) => self.withhold(fault, Some(link.id), &[place]),
            About::Market(market) => {
                for outcome in 0..self.venue.markets[market].tokens.len() {
                    self.withhold(fault, Some(link.id), &[TokenRef { market, outcome }]);
                }
            }
            About::Connection => {}
        }
    }

    /// Notes that REST answers the current state of a token.
    pub(crate) fn serve(&mut self, place: TokenRef) {
        if self.ledger.is_off() {
            return;
        }
        let served = Served {
            sequence: self.venue.token(place).sequence,
            at: Instant::now(),
        };
        if self.ledger.served.len() >= KEPT {
            self.ledger.served.pop_front();
        }
        self.ledger.served.push_back((place, served));
    }

    pub(crate) fn journal(&self, asset_id: &AssetId) -> Vec<JournalEntry> {
        self.venue
            .find(asset_id.as_str())
            .and_then(|place| self.ledger.states.get(&place))
            .map(|states| states.iter().cloned().collect())
            .unwrap_or_default()
    }

    pub(crate) fn is_journal_cut(&self) -> bool {
        self.ledger.is_cut
    }

    pub(crate) fn withheld(&self, asset_id: &AssetId) -> Vec<Withheld> {
        let place = self.venue.find(asset_id.as_str());
        self.ledger
            .withheld
            .iter()
            .filter(|(at, _)| Some(*at) == place)
            .map(|(_, withheld)| withheld.clone())
            .collect()
    }

    pub(crate) fn served(&self, asset_id: &AssetId) -> Vec<Served> {
        let place = self.venue.find(asset_id.as_str());
        self.ledger
            .served
            .iter()
            .filter(|(at, _)| Some(*at) == place)
            .map(|(_, served)| *served)
            .collect()
    }
}
