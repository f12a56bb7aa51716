//! The truth: every market, its tokens' books, sequences and hashes.
//!
//! A market has one order book, seen from its first outcome; the second
//! outcome's book is the mirror and is kept beside it, because both are
//! published with every change. Recordings differ: there each token's book is
//! whatever was played of it. Nothing here knows sockets or JSON.

use std::collections::HashMap;
use std::sync::Arc;

use polypy_core::fingerprint::{Attributes, Fingerprint, Form};
use polypy_core::{
    AssetId, AssetInfo, BookHash, ConditionId, DecimalText, Interner, Level, OrderBook, Price,
    Side, Size, Timestamp,
};
use tokio::time::Instant;

use crate::catalogue::Listing;
use crate::effects::shifted;
use crate::played::Played;

/// Where a token is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TokenRef {
    pub(crate) market: usize,
    pub(crate) outcome: usize,
}

/// One level's new absolute size, in the first outcome's book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LevelChange {
    pub(crate) side: Side,
    pub(crate) price: Price,
    pub(crate) size: Size,
}

impl LevelChange {
    /// The same change as this outcome's book shows it.
    pub(crate) fn seen_by(self, outcome: usize) -> Self {
        if outcome == 0 {
            self
        } else {
            Self {
                side: self.side.opposite(),
                price: self.price.complement(),
                size: self.size,
            }
        }
    }
}

/// Where a market stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Trading,
    /// Emptied and final; Gamma says so from `closed_at` on.
    Settled {
        winner: usize,
        closed_at: Instant,
    },
}

/// One outcome's book and what is said of it.
#[derive(Debug)]
pub(crate) struct TokenState {
    pub(crate) info: Arc<AssetInfo>,
    pub(crate) book: OrderBook,
    /// Published states since the start; the opening state is 1.
    pub(crate) sequence: u64,
    /// Exchange time of the last change.
    pub(crate) changed: Timestamp,
    /// Of the current state; computed when first asked for.
    hash: Option<BookHash>,
    /// What a recording says of it besides.
    pub(crate) played: Played,
}

/// One market.
#[derive(Debug)]
pub(crate) struct MarketState {
    pub(crate) listing: Listing,
    pub(crate) tokens: Vec<TokenState>,
    /// The grid now; the listing's may be older.
    pub(crate) tick_size: DecimalText,
    /// In the form that is hashed, empty before any trade. One for all tokens.
    pub(crate) last_trade_price: DecimalText,
    /// Taker's side of the last trade.
    pub(crate) last_trade_side: Option<Side>,
    pub(crate) phase: Phase,
    /// Dollars traded since it was opened here, in cents.
    pub(crate) traded: u64,
    /// Dollars resting in its books at its last trade, or at its opening, in cents.
    pub(crate) liquidity: u64,
    /// From when Gamma lists it.
    pub(crate) listed_at: Instant,
    /// Whether books state hashes. Those of a recording that is shifted do not: the venue
    /// has made none for these times, and nobody else can.
    pub(crate) states_hashes: bool,
}

impl MarketState {
    pub(crate) fn is_live(&self) -> bool {
        self.phase == Phase::Trading
    }

    /// The hash of a token's book as it stands.
    pub(crate) fn hash(&mut self, outcome: usize) -> BookHash {
        let token = &self.tokens[outcome];
        if let Some(hash) = token.hash {
            return hash;
        }
        let hash = self.hash_of(outcome, &token.book, token.changed);
        self.tokens[outcome].hash = Some(hash);
        hash
    }

    /// The same as far as it is stated.
    pub(crate) fn stated_hash(&mut self, outcome: usize) -> Option<BookHash> {
        self.states_hashes.then(|| self.hash(outcome))
    }

    /// The hash a token's book would have if it were `book` since `timestamp`.
    pub(crate) fn hash_of(
        &self,
        outcome: usize,
        book: &OrderBook,
        timestamp: Timestamp,
    ) -> BookHash {
        let fingerprint = self.fingerprint(outcome, book, timestamp);
        fingerprint.with_last_trade_price(self.last_trade_price.as_str())
    }

    pub(crate) fn fingerprint(
        &self,
        outcome: usize,
        book: &OrderBook,
        timestamp: Timestamp,
    ) -> Fingerprint {
        let attributes = Attributes {
            info: &self.tokens[outcome].info,
            timestamp,
            tick_size: self.tick_size.as_str(),
            min_order_size: self.listing.min_order_size.as_str(),
            neg_risk: self.listing.neg_risk,
            version: None,
            form: Form::Ten,
        };
        Fingerprint::new(book, &attributes)
    }

    /// Applies one batch to every token; each gets one new sequence number.
    /// Exchange time never runs backwards within a market.
    pub(crate) fn apply(&mut self, changes: &[LevelChange], now: Timestamp) {
        for (outcome, token) in self.tokens.iter_mut().enumerate() {
            for change in changes {
                let change = change.seen_by(outcome);
                token
                    .book
                    .apply_change(change.side, change.price, change.size);
            }
            token.touch(now);
        }
    }

    /// Sets a new price grid, which is part of the hashed text.
    pub(crate) fn set_tick(&mut self, tick: DecimalText) {
        self.tick_size = tick;
        self.tokens.iter_mut().for_each(|token| token.hash = None);
    }

    /// Counts a trade of one outcome, whose books are already as it left them.
    pub(crate) fn count_trade(&mut self, price: Price, size: Size) {
        self.traded = self.traded.saturating_add(cents(price, size));
        self.liquidity = resting(&self.tokens);
    }

    /// Every level gone: the changes that empty the first outcome's book.
    pub(crate) fn clearing(&self) -> Vec<LevelChange> {
        let Some(token) = self.tokens.first() else {
            return Vec::new();
        };
        [Side::Bid, Side::Ask]
            .into_iter()
            .flat_map(|side| {
                token.book.levels(side).map(move |level| LevelChange {
                    side,
                    price: level.price,
                    size: Size::ZERO,
                })
            })
            .collect()
    }
}

impl TokenState {
    fn touch(&mut self, now: Timestamp) {
        self.sequence += 1;
        self.changed = self.changed.max(now);
        self.hash = None;
    }

    /// There is no book any more, as before any was played.
    pub(crate) fn forget_recorded(&mut self) {
        self.book = OrderBook::default();
        self.sequence = 1;
        // A recording that is played again is of a time that has passed here.
        self.changed = Timestamp::default();
        self.hash = None;
        self.played.forget();
    }

    /// Takes over what a recording stated: the book after one of its frames.
    pub(crate) fn state_recorded(&mut self, stamp: Timestamp, hash: Option<BookHash>) {
        self.sequence += 1;
        self.changed = stamp;
        self.hash = hash;
    }

    /// It is told with a hash of its own from here on, whatever was stated.
    pub(crate) fn hash_itself(&mut self) {
        self.hash = None;
    }

    /// Its last change was at another time, so many milliseconds later.
    pub(crate) fn shift(&mut self, by: i64) {
        self.changed = shifted(self.changed, by);
        self.hash = None;
        self.played.forget();
    }
}

/// What so many shares cost.
fn cents(price: Price, size: Size) -> u64 {
    let units = u128::from(price.millionths()) * u128::from(size.millionths());
    u64::try_from(units / 10_000_000_000).unwrap_or(u64::MAX)
}

/// What rests in the books of a market: its first outcome's, which the others mirror.
fn resting(tokens: &[TokenState]) -> u64 {
    let Some(token) = tokens.first() else {
        return 0;
    };
    let bids = token.book.levels(Side::Bid);
    let bids = bids.map(|level| cents(level.price, level.size));
    let asks = token.book.levels(Side::Ask);
    let asks = asks.map(|level| cents(level.price.complement(), level.size));
    bids.chain(asks).fold(0, u64::saturating_add)
}

/// A token's true book at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrueBook {
    /// Published states since the start; grows by one with each.
    pub sequence: u64,
    /// Exchange time of the last change.
    pub timestamp: Timestamp,
    /// The venue's hash of this state.
    pub hash: BookHash,
    /// Best first.
    pub bids: Vec<Level>,
    /// Best first.
    pub asks: Vec<Level>,
    /// The price grid.
    pub tick_size: DecimalText,
    /// As hashed; empty before any trade.
    pub last_trade_price: DecimalText,
    /// The market is settled: no socket and no REST call shows this book any more.
    pub settled: bool,
}

/// Every market there ever was.
#[derive(Debug, Default)]
pub(crate) struct Venue {
    interner: Interner,
    /// By the slot of the token's key.
    places: Vec<TokenRef>,
    pub(crate) markets: Vec<MarketState>,
    /// By what all spellings of the id have in common.
    by_condition: HashMap<Box<str>, usize>,
}

impl Venue {
    /// Adds a market whose first outcome's book is `book` and returns its place.
    pub(crate) fn add(
        &mut self,
        listing: Listing,
        book: &OrderBook,
        now: Timestamp,
        listed_at: Instant,
    ) -> usize {
        let market = self.markets.len();
        let condition = listing.condition_id.clone();
        let mut tokens = Vec::with_capacity(listing.tokens.len());
        for (outcome, token) in listing.tokens.iter().enumerate() {
            let id = token.token_id.clone();
            let info = self.interner.insert(&id.clone(), &condition, |key| {
                AssetInfo::new(key, id.clone(), condition.clone())
            });
            let slot = info.key.slot();
            if self.places.len() <= slot {
                self.places.resize(slot + 1, TokenRef { market, outcome });
            }
            self.places[slot] = TokenRef { market, outcome };
            tokens.push(TokenState {
                info,
                book: if outcome == 0 {
                    book.clone()
                } else {
                    book.mirror()
                },
                sequence: 1,
                changed: now,
                hash: None,
                played: Played::default(),
            });
        }
        self.by_condition
            .insert(condition.canonical().into(), market);
        let liquidity = resting(&tokens);
        self.markets.push(MarketState {
            tick_size: listing.tick_size,
            listing,
            tokens,
            last_trade_price: DecimalText::default(),
            last_trade_side: None,
            phase: Phase::Trading,
            traded: 0,
            liquidity,
            listed_at,
            states_hashes: true,
        });
        market
    }

    /// Where an asset is kept.
    pub(crate) fn find(&self, asset_id: &str) -> Option<TokenRef> {
        let info = self.interner.get(asset_id)?;
        self.places.get(info.key.slot()).copied()
    }

    /// Where a market is kept; its id may be in any spelling.
    pub(crate) fn find_condition(&self, condition_id: &str) -> Option<usize> {
        let condition = ConditionId::new(condition_id).ok()?;
        self.by_condition.get(&*condition.canonical()).copied()
    }

    pub(crate) fn token(&self, place: TokenRef) -> &TokenState {
        &self.markets[place.market].tokens[place.outcome]
    }

    pub(crate) fn token_mut(&mut self, place: TokenRef) -> &mut TokenState {
        &mut self.markets[place.market].tokens[place.outcome]
    }

    /// Every token with its place, by market.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = (TokenRef, &TokenState)> {
        self.markets.iter().enumerate().flat_map(|(market, state)| {
            let place = move |outcome| TokenRef { market, outcome };
            state
                .tokens
                .iter()
                .enumerate()
                .map(move |(outcome, token)| (place(outcome), token))
        })
    }

    /// The true book of an asset.
    pub(crate) fn true_book(&mut self, asset_id: &AssetId) -> Option<TrueBook> {
        let place = self.find(asset_id.as_str())?;
        let market = &mut self.markets[place.market];
        let hash = market.hash(place.outcome);
        let token = &market.tokens[place.outcome];
        Some(TrueBook {
            sequence: token.sequence,
            timestamp: token.changed,
            hash,
            bids: token.book.levels(Side::Bid).collect(),
            asks: token.book.levels(Side::Ask).collect(),
            tick_size: market.tick_size,
            last_trade_price: market.last_trade_price,
            settled: !market.is_live(),
        })
    }
}
