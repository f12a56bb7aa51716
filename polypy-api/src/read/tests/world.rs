//! Books of a catalogue, all written by tests.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use polypy_core::catalogue::SelectionSource as _;
use polypy_core::{
    AssetId, AssetInfo, AssetKey, BookLookup, BookPosition, BookSource, BookState, BookTop,
    BookView, CatalogueSource, HistoryPoint, LastTrade, Level, Market, MarketEntry, OrderBook,
    Selector, Side, Timestamp, TokenInfo, TradeKept, TradesLookup, TradesView,
};
use polypy_http::{CachedBody, Memory, Query};

use crate::cursor::Instance;
use crate::read::Reads;
use crate::read::books::NoRoom;
use crate::read::query::Wanted;
use crate::read::resolve::Names;
use crate::read::testing::{Listed, NOW, Running, row};

/// Markets and their books.
pub(super) struct World {
    pub(super) listed: Arc<Listed>,
    books: Mutex<HashMap<AssetKey, BookLookup>>,
    trades: Mutex<HashMap<AssetKey, TradesView>>,
    winners: Mutex<HashMap<AssetKey, AssetId>>,
    /// Keys as they were last asked for.
    pub(super) asked: Mutex<Vec<AssetKey>>,
    at: Instant,
}

impl World {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            listed: Arc::default(),
            books: Mutex::default(),
            trades: Mutex::default(),
            winners: Mutex::default(),
            asked: Mutex::default(),
            at: Instant::now(),
        })
    }

    /// So many markets that are followed, with a live book of each token, and one more that
    /// is listed alone.
    pub(super) fn with(markets: u64) -> Arc<Self> {
        let world = Self::new();
        world.listed.take((0..=markets).map(row));
        for market in 0..markets {
            for key in world.listed.follow(market).iter() {
                world.set(*key, |_| {});
            }
        }
        world
    }

    pub(super) fn reads(self: &Arc<Self>) -> Arc<Reads> {
        Arc::new(Reads::new(
            self.clone(),
            self.clone(),
            self.listed.clone(),
            (Arc::new(Running::new()), Instance::random()),
            1 << 20,
        ))
    }

    /// The keys of a market.
    pub(super) fn keys(&self, market: u64) -> Arc<[AssetKey]> {
        let found = self.listed.find(&format!("0x{market:064x}"));
        found[0].keys.clone().unwrap()
    }

    /// Sets a token's book: a usual one that differs in something.
    pub(super) fn set(&self, key: AssetKey, change: impl FnOnce(&mut BookView)) {
        let mut view = self.view(key);
        change(&mut view);
        self.books
            .lock()
            .insert(key, BookLookup::Found(Box::new(view)));
    }

    /// Changes the book that a token has.
    pub(super) fn change(&self, key: AssetKey, change: impl FnOnce(&mut BookView)) {
        if let Some(BookLookup::Found(view)) = self.books.lock().get_mut(&key) {
            change(view);
        }
    }

    pub(super) fn set_lookup(&self, key: AssetKey, lookup: BookLookup) {
        self.books.lock().insert(key, lookup);
    }

    pub(super) fn win(&self, key: AssetKey) {
        let id = self.id(key).unwrap();
        self.winners.lock().insert(key, id);
    }

    /// Sets a token's newest trades: their numbers, and when each came.
    pub(super) fn trade(&self, key: AssetKey, trades: &[(u64, u64)]) {
        let trades = trades.iter().rev().map(|(sequence, millis)| TradeKept {
            asset: key,
            sequence: *sequence,
            trade: LastTrade {
                timestamp: Timestamp::from_millis(NOW + millis),
                price: "0.5".parse().unwrap(),
                size: "12.5".parse().unwrap(),
                side: (sequence % 2 == 0).then_some(Side::Ask),
            },
            received: self.at + Duration::from_millis(*millis),
        });
        let trades: Vec<_> = trades.collect();
        let view = TradesView {
            key_life: key.life(),
            sequence: trades.first().map_or(0, |trade| trade.sequence),
            trades,
        };
        self.trades.lock().insert(key, view);
    }

    fn view(&self, key: AssetKey) -> BookView {
        let level =
            |price: &str, size: &str| Level::new(price.parse().unwrap(), size.parse().unwrap());
        let mut book = OrderBook::default();
        let bids = (1..=12).map(|cent| level(&format!("0.{:02}", 50 - cent), "29.5"));
        let asks = (1..=12).map(|cent| level(&format!("0.{:02}", 52 + cent), "120"));
        book.apply_snapshot(bids.collect(), asks.collect());
        BookView {
            asset_id: self.id(key).unwrap(),
            state: BookState::Live,
            position: BookPosition {
                epoch: 3,
                sequence: 4_711,
                revision: 7,
            },
            key_life: key.life(),
            bids: book.levels(Side::Bid).collect(),
            asks: book.levels(Side::Ask).collect(),
            bid_levels: 12,
            ask_levels: 12,
            spread: book.spread(),
            mid_price: book.mid(),
            imbalance: None,
            last_update: Timestamp::from_millis(NOW - 250),
            at: self.at,
            received: Duration::from_millis(250),
            lasted: Duration::from_millis(1_250),
            tick_size: None,
            last_trade: None,
            hash: None,
            hash_verified: Some(true),
            verified_ago: Some(Duration::from_millis(750)),
            feed: Some(polypy_core::FeedId(7)),
            history: (1..=3).map(point).collect(),
        }
    }

    fn entry(&self, key: AssetKey) -> Option<(MarketEntry, usize)> {
        let view = self.listed.view();
        view.iter().find_map(|found| {
            let keys = found.entry.keys.as_ref()?;
            let at = keys.iter().position(|own| *own == key)?;
            Some((found.entry.clone(), at))
        })
    }

    fn id(&self, key: AssetKey) -> Option<AssetId> {
        let (entry, at) = self.entry(key)?;
        Some(entry.market.tokens[at].token_id.clone())
    }

    fn key(&self, id: &str) -> Option<AssetKey> {
        let entry = self.listed.of_token(id)?;
        let mut tokens = entry.market.tokens.iter();
        let at = tokens.position(|token| token.token_id.as_str() == id)?;
        entry.keys.map(|keys| keys[at])
    }
}

fn point(number: u64) -> HistoryPoint {
    HistoryPoint {
        timestamp: Timestamp::from_millis(NOW - 30_000 * (4 - number)),
        best_bid: Some(format!("0.4{number}").parse().unwrap()),
        best_ask: None,
        spread: None,
        mid_price: None,
    }
}

impl BookSource for World {
    fn book(&self, asset_id: &str, depth: usize) -> BookLookup {
        match self.key(asset_id) {
            Some(key) => self.books(&[key], depth).remove(0),
            None => BookLookup::Unknown,
        }
    }

    fn trades(&self, asset_id: &str, limit: usize) -> TradesLookup {
        let Some(key) = self.key(asset_id) else {
            return TradesLookup::Unknown;
        };
        let none = TradesView {
            key_life: key.life(),
            sequence: 0,
            trades: Vec::new(),
        };
        let mut view = self.trades.lock().get(&key).cloned().unwrap_or(none);
        view.trades.truncate(limit);
        TradesLookup::Found(view)
    }

    fn books(&self, assets: &[AssetKey], depth: usize) -> Vec<BookLookup> {
        *self.asked.lock() = assets.to_vec();
        let books = self.books.lock();
        let one = |key: &AssetKey| match books.get(key) {
            None => BookLookup::Requested,
            Some(BookLookup::Found(view)) => {
                let mut view = view.clone();
                view.bids.truncate(depth);
                view.asks.truncate(depth);
                BookLookup::Found(view)
            }
            Some(other) => other.clone(),
        };
        assets.iter().map(one).collect()
    }

    fn tops(&self, assets: &[AssetKey]) -> Vec<Option<BookTop>> {
        let books = self.books(assets, 1).into_iter().zip(assets);
        let top = |(lookup, asset): (_, &AssetKey)| match lookup {
            BookLookup::Found(view) => Some(BookTop {
                asset: *asset,
                bid: view.bids.first().copied(),
                ask: view.asks.first().copied(),
                state: view.state,
                verified: view.hash_verified,
                position: view.position,
                last_update: view.last_update,
            }),
            _ => None,
        };
        books.map(top).collect()
    }
}

impl CatalogueSource for World {
    fn resolve(&self, selector: &Selector) -> Vec<AssetKey> {
        match selector {
            Selector::Token(id) => self.key(id).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn token(&self, asset: AssetKey) -> Option<TokenInfo> {
        let (entry, at) = self.entry(asset)?;
        let token = &entry.market.tokens[at];
        let condition = entry.market.condition_id.clone();
        Some(TokenInfo {
            info: Arc::new(AssetInfo::new(asset, token.token_id.clone(), condition)),
            outcome: Some(Arc::clone(&token.outcome)),
            winner: self.winners.lock().get(&asset).cloned(),
        })
    }

    fn market(&self, asset: AssetKey) -> Option<Arc<Market>> {
        Some(self.entry(asset)?.0.market)
    }
}

/// What is answered, without a server.
impl Reads {
    /// The books that are named: their tag, and the answer.
    pub(super) fn read_books(
        &self,
        names: &Names,
        depth: Option<usize>,
        memory: &Memory,
    ) -> (String, String) {
        let resolved = self.resolve(names).unwrap();
        let shelf = self.shelf(&resolved, depth.unwrap_or(100));
        let (rendering, _share) = shelf.room(depth, memory).unwrap();
        let body = self.write_shelf(&shelf, depth, rendering).unwrap();
        let text = String::from_utf8(body.bytes().to_vec()).unwrap();
        (self.shelf_etag(&shelf), text)
    }

    pub(super) fn write_all_tops(&self, memory: &Memory) -> Result<(CachedBody, String), NoRoom> {
        self.write_tops(&Wanted::read(&Query::default()).unwrap(), memory)
    }

    /// The tops of all that is followed: the answer, and its tag.
    pub(super) fn read_tops(&self, memory: &Memory) -> (Vec<u8>, String) {
        let (body, tag) = self.write_all_tops(memory).unwrap();
        (body.bytes().to_vec(), tag)
    }
}
