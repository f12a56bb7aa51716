use std::collections::{BTreeMap, HashMap, HashSet};

use parking_lot::Mutex;
use polypy_core::{
    AssetId, AssetInfo, BookChange, BookPosition, BookState, BookStatus, CatalogueSink, ChangeSink,
    ConditionId, Interner, LastTrade, LevelChange, LevelSet, Market, MarketChange, OrderBook,
    Price, Selector, Side, Size, StaleReason, StatusChange, Timestamp, Token, TokenInfo, TradeKept,
    WholeBook,
};
use tokio::sync::oneshot;

use super::*;
use crate::client::{Client, Door, Streams, SubscribeError};
use crate::config::StreamConfig;
use crate::cursor::Cursor;
use crate::filter::{Channel, Channels, Filter, Mode};
use crate::message::{Event, GapReason, GapScope, Published};
use crate::outbox::Batch;

const LANES: u16 = 2;

/// The workers and the catalogue, in small: what is true, and what is written of it.
struct Model {
    lanes: Arc<Lanes>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    interner: Interner,
    tokens: Vec<Truth>,
    /// Every book that there was, by token, epoch and sequence.
    history: HashMap<(String, u64, u64), OrderBook>,
    followed: HashSet<AssetKey>,
    is_busy: bool,
    is_down: [bool; LANES as usize],
    suspended: bool,
    trades: HashMap<AssetKey, u64>,
}

struct Truth {
    info: Arc<AssetInfo>,
    book: OrderBook,
    position: BookPosition,
    status: BookStatus,
    at: Timestamp,
    is_gone: bool,
}

impl Truth {
    fn id(&self) -> String {
        self.info.asset_id.to_string()
    }
}

impl Inner {
    fn find(&self, key: AssetKey) -> Option<usize> {
        let is_it = |truth: &Truth| truth.info.key == key && !truth.is_gone;
        self.tokens.iter().position(is_it)
    }

    fn note(&mut self, at: usize) {
        let truth = &self.tokens[at];
        let place = (truth.id(), truth.position.epoch, truth.position.sequence);
        self.history.insert(place, truth.book.clone());
    }

    fn whole(&self, at: usize) -> BookChange {
        let truth = &self.tokens[at];
        if truth.position.epoch == 0 {
            return BookChange::Status(Box::new(StatusChange {
                asset: truth.info.key,
                position: truth.position,
                status: truth.status,
            }));
        }
        BookChange::Whole(Box::new(WholeBook {
            info: Arc::clone(&truth.info),
            book: truth.book.clone(),
            position: truth.position,
            status: truth.status,
            hash: None,
            at: truth.at,
            received: truth.status.since,
        }))
    }
}

fn lane_of(key: AssetKey) -> Lane {
    Lane(key.shard().index() % LANES)
}

impl ChangeSource for Model {
    fn lanes(&self) -> u16 {
        LANES
    }

    fn lane_of(&self, asset: AssetKey) -> Lane {
        lane_of(asset)
    }

    fn is_running(&self, lane: Lane) -> bool {
        !self.inner.lock().is_down[usize::from(lane.0)]
    }

    fn follow(&self, lane: Lane, assets: &[AssetKey]) -> bool {
        let mut inner = self.inner.lock();
        if inner.is_busy || inner.is_down[usize::from(lane.0)] {
            return false;
        }
        let mut changes = Vec::new();
        for asset in assets {
            assert_eq!(lane_of(*asset), lane);
            changes.push(match inner.find(*asset) {
                Some(at) => {
                    inner.followed.insert(*asset);
                    inner.whole(at)
                }
                None => BookChange::Gone(*asset),
            });
        }
        self.lanes.append(lane, &mut changes);
        true
    }

    fn unfollow(&self, _lane: Lane, assets: &[AssetKey]) -> bool {
        let mut inner = self.inner.lock();
        if inner.is_busy {
            return false;
        }
        for asset in assets {
            inner.followed.remove(asset);
        }
        true
    }

    fn review(&self, lane: Lane) -> Option<bool> {
        let mut inner = self.inner.lock();
        if inner.is_busy {
            return None;
        }
        let is_suspended = inner.suspended;
        let mut changes = Vec::new();
        if is_suspended {
            for truth in &mut inner.tokens {
                if lane_of(truth.info.key) == lane && truth.status.state == BookState::Live {
                    truth.status.state = BookState::Stale(StaleReason::Suspended);
                    changes.push(BookChange::Status(Box::new(StatusChange {
                        asset: truth.info.key,
                        position: truth.position,
                        status: truth.status,
                    })));
                }
            }
            changes.retain(|change| match change {
                BookChange::Status(status) => inner.followed.contains(&status.asset),
                _ => true,
            });
        }
        self.lanes.append(lane, &mut changes);
        Some(is_suspended)
    }
}

impl CatalogueSource for Model {
    fn resolve(&self, selector: &Selector) -> Vec<AssetKey> {
        let inner = self.inner.lock();
        let known = inner.tokens.iter().filter(|truth| !truth.is_gone);
        known
            .filter(|truth| match selector {
                Selector::Everything => true,
                Selector::Token(id) => truth.info.asset_id.as_str() == &**id,
                Selector::Market(id) => truth.info.condition_id.as_str() == &**id,
                _ => false,
            })
            .map(|truth| truth.info.key)
            .collect()
    }

    fn token(&self, asset: AssetKey) -> Option<TokenInfo> {
        let inner = self.inner.lock();
        let truth = &inner.tokens[inner.find(asset)?];
        Some(TokenInfo {
            info: Arc::clone(&truth.info),
            outcome: Some("Yes".into()),
            winner: None,
        })
    }

    fn market(&self, asset: AssetKey) -> Option<Arc<Market>> {
        let inner = self.inner.lock();
        let truth = &inner.tokens[inner.find(asset)?];
        Some(market(&truth.info))
    }
}

fn market(info: &AssetInfo) -> Arc<Market> {
    Arc::new(Market {
        question: "?".to_owned(),
        ..Market::new(
            info.condition_id.clone(),
            vec![Token {
                token_id: info.asset_id.clone(),
                outcome: "Yes".into(),
            }],
        )
    })
}

#[derive(Debug, Default)]
struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_795_429_800_000)
    }
}

fn price(tick: u8) -> Price {
    Price::from_millionths(u32::from(tick) * 10_000).unwrap()
}

/// A hub over a model, on a clock of its own.
struct World {
    model: Arc<Model>,
    hub: Hub,
    markets: Arc<Markets>,
    shared: Arc<Shared>,
    streams: Streams,
    numbers: Arc<Numbers>,
    now: Instant,
    clock_ms: u64,
}

impl World {
    fn new(config: StreamConfig) -> Self {
        let shared = Arc::new(Shared::new(config.clone(), "test"));
        let lanes = Arc::new(Lanes::new(
            LANES,
            config.lane_entries,
            config.lane_book_bytes,
            Arc::clone(&shared.waker),
        ));
        let model = Arc::new(Model {
            lanes: Arc::clone(&lanes),
            inner: Mutex::default(),
        });
        let markets = Arc::new(Markets::new(Arc::clone(&shared.waker)));
        let asked = Asked {
            changes: Arc::clone(&model) as Arc<dyn ChangeSource>,
            catalogue: Arc::clone(&model) as Arc<dyn CatalogueSource>,
            clock: Arc::new(Wall),
            suspension: Arc::default(),
        };
        let brought = Brought {
            lanes,
            markets: Arc::clone(&markets),
            shared: Arc::clone(&shared),
        };
        let now = Instant::now();
        let instance = Instance(7);
        let numbers = Arc::new(Numbers::default());
        let hub = Hub::new(instance, asked, brought, Arc::clone(&numbers), now);
        shared.begin(instance);
        Self {
            model,
            hub,
            markets,
            streams: Streams::new(Arc::clone(&shared)),
            shared,
            numbers,
            now,
            clock_ms: 1_795_429_800_000,
        }
    }

    /// A token with a book of two levels, in a market of its own.
    fn add_token(&mut self, has_book: bool) -> AssetKey {
        let info = self.add_unannounced(has_book);
        self.markets.changed(MarketChange::New(market(&info)));
        info.key
    }

    /// The same, of which the catalogue knows and has not said so yet.
    fn add_unannounced(&mut self, has_book: bool) -> Arc<AssetInfo> {
        let mut inner = self.model.inner.lock();
        let number = inner.tokens.len() + 1;
        let (id, condition) = (
            AssetId::new(&format!("{number}")).unwrap(),
            ConditionId::new(&format!("0x{number:x}")).unwrap(),
        );
        let info = inner.interner.insert(&id, &condition, |key| {
            AssetInfo::new(key, id.clone(), condition.clone())
        });
        let mut book = OrderBook::default();
        let state = if has_book {
            book.apply_change(Side::Bid, price(40), "10".parse().unwrap());
            book.apply_change(Side::Ask, price(60), "10".parse().unwrap());
            BookState::Live
        } else {
            BookState::Pending
        };
        let begun = u64::from(has_book);
        inner.tokens.push(Truth {
            info: Arc::clone(&info),
            book,
            position: BookPosition {
                epoch: begun,
                sequence: begun,
                revision: 0,
            },
            status: BookStatus {
                state,
                verified: None,
                tick_size: None,
                since: self.now,
            },
            at: Timestamp::from_millis(self.clock_ms),
            is_gone: false,
        });
        let at = inner.tokens.len() - 1;
        inner.note(at);
        info
    }

    /// Writes into a token's lane what follows from changing the truth.
    fn write(&mut self, at: usize, change: impl FnOnce(&mut Inner, usize) -> Vec<BookChange>) {
        let mut inner = self.model.inner.lock();
        let key = inner.tokens[at].info.key;
        let mut changes = change(&mut inner, at);
        if inner.followed.contains(&key) {
            self.model.lanes.append(lane_of(key), &mut changes);
        }
    }

    /// The venue sets levels in one state; `ends` if the worker knows that it is whole.
    fn set(&mut self, at: usize, levels: &[(Side, u8, u32)], ends: bool) {
        self.clock_ms += 1;
        let (clock, now) = (self.clock_ms, self.now);
        self.write(at, |inner, at| {
            let mut changes = Vec::new();
            for (side, tick, size) in levels {
                let truth = &mut inner.tokens[at];
                if truth.position.epoch == 0 {
                    continue;
                }
                let size = Size::from_millionths(u64::from(*size) * 1_000_000);
                let level = LevelChange {
                    side: *side,
                    price: price(*tick),
                    size,
                };
                if truth.book.size_at(*side, level.price) == size {
                    continue;
                }
                truth.book.apply_change(*side, level.price, size);
                truth.position.sequence += 1;
                truth.at = Timestamp::from_millis(clock);
                changes.push(BookChange::Level(LevelSet {
                    asset: truth.info.key,
                    level,
                    sequence: truth.position.sequence,
                    at: truth.at,
                    received: now,
                    ends_state: false,
                }));
                inner.note(at);
            }
            if ends && let Some(BookChange::Level(last)) = changes.last_mut() {
                last.ends_state = true;
            }
            changes
        });
    }

    fn begin_epoch(&mut self, at: usize, reason: StaleReason) {
        let key = self.model.inner.lock().tokens[at].info.key;
        self.set_state(at, BookState::Stale(reason), None);
        self.write(at, |inner, at| {
            let truth = &mut inner.tokens[at];
            truth.position.epoch += 1;
            truth.position.sequence += 1;
            truth.status.state = BookState::Live;
            truth
                .book
                .apply_change(Side::Bid, price(45), "7".parse().unwrap());
            truth.book.apply_change(Side::Ask, price(58), Size::ZERO);
            inner.note(at);
            vec![inner.whole(at)]
        });
        assert!(self.model.inner.lock().find(key).is_some());
    }

    fn set_state(&mut self, at: usize, state: BookState, verified: Option<bool>) {
        self.write(at, |inner, at| {
            let truth = &mut inner.tokens[at];
            if truth.position.epoch == 0 {
                return Vec::new();
            }
            truth.status.state = state;
            truth.status.verified = verified;
            vec![BookChange::Status(Box::new(StatusChange {
                asset: truth.info.key,
                position: truth.position,
                status: truth.status,
            }))]
        });
    }

    fn trade(&mut self, at: usize) {
        let (clock, now) = (self.clock_ms, self.now);
        self.write(at, |inner, at| {
            let asset = inner.tokens[at].info.key;
            let sequence = inner.trades.entry(asset).or_default();
            *sequence += 1;
            vec![BookChange::Trade(Box::new(TradeKept {
                asset,
                sequence: *sequence,
                trade: LastTrade {
                    timestamp: Timestamp::from_millis(clock),
                    price: price(50),
                    size: "1".parse().unwrap(),
                    side: None,
                },
                received: now,
            }))]
        });
    }

    /// The worker of a lane dies with what it had not written.
    fn kill(&mut self, lane: Lane) {
        self.model.inner.lock().is_down[usize::from(lane.0)] = true;
    }

    /// And is back: every book has a new epoch.
    fn revive(&mut self, lane: Lane) {
        let mut inner = self.model.inner.lock();
        inner.is_down[usize::from(lane.0)] = false;
        for at in 0..inner.tokens.len() {
            let truth = &inner.tokens[at];
            let key = truth.info.key;
            if lane_of(key) != lane || truth.is_gone {
                continue;
            }
            inner.followed.remove(&key);
            let truth = &mut inner.tokens[at];
            if truth.position.epoch > 0 {
                truth
                    .book
                    .apply_change(Side::Bid, price(41), "3".parse().unwrap());
                truth.position.epoch += 1;
                truth.position.sequence += 1;
                inner.note(at);
            }
        }
        self.model.lanes.append(lane, &mut vec![BookChange::Reset]);
    }

    fn forget(&mut self, at: usize) {
        let info = Arc::clone(&self.model.inner.lock().tokens[at].info);
        self.write(at, |inner, at| {
            inner.tokens[at].is_gone = true;
            vec![BookChange::Gone(inner.tokens[at].info.key)]
        });
        self.model.inner.lock().interner.remove(info.key);
        self.markets.changed(MarketChange::Forgotten {
            market: market(&info),
            keys: vec![info.key],
        });
    }

    fn step(&mut self) -> bool {
        self.now += Duration::from_micros(500);
        self.hub.step(self.now)
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.hub.step(self.now);
    }

    fn open(&mut self) -> Client {
        self.streams.open(Door::Library).unwrap()
    }

    fn subscribe(
        &mut self,
        client: &Client,
        id: u64,
        filter: &Filter,
        cursor: Option<Cursor>,
    ) -> Result<(), SubscribeError> {
        let (answer, mut answered) = oneshot::channel();
        self.shared.ask(Command::Subscribe {
            client: client.id(),
            id,
            filter: filter.clone(),
            cursor,
            answer,
        });
        self.step();
        answered.try_recv().unwrap()
    }

    fn unsubscribe(&mut self, client: &Client, id: u64) -> Result<(), SubscribeError> {
        let (answer, mut answered) = oneshot::channel();
        let client = client.id();
        self.shared.ask(Command::Unsubscribe { client, id, answer });
        self.step();
        answered.try_recv().unwrap()
    }

    /// Rounds until nothing is left to do, and every follower has read everything.
    fn settle(&mut self, followers: &mut [Follower]) {
        {
            let mut inner = self.model.inner.lock();
            inner.is_busy = false;
            inner.suspended = false;
        }
        for _ in 0..10_000 {
            let mut did = self.step();
            for follower in followers.iter_mut() {
                did |= follower.read(usize::MAX, &self.model);
            }
            if !did {
                return;
            }
        }
        panic!("it does not come to rest");
    }
}

/// The texts' types of what waits for a client.
fn read(client: &Client) -> Vec<Arc<Published>> {
    let mut all = Vec::new();
    while let Some(Batch::Messages(items)) = client.outbox().try_next(usize::MAX) {
        all.extend(items.into_iter().map(|item| item.message));
    }
    all
}

fn names(messages: &[Arc<Published>]) -> Vec<&'static str> {
    let events = messages.iter().map(|message| message.event());
    events.map(Event::name).collect()
}

fn book_of(ids: &[&str]) -> Filter {
    Filter::tokens(ids.iter().copied(), Channels::NONE.with(Channel::Book))
}

/// What a client makes of its messages. It knows nothing but them.
struct Follower {
    client: Option<Client>,
    filter: Filter,
    books: BTreeMap<String, Followed>,
    cursor: Option<Cursor>,
    is_ready: bool,
    recovered: bool,
    gaps: Vec<GapReason>,
    deltas: u64,
}

#[derive(Default, Clone)]
struct Followed {
    book: OrderBook,
    epoch: u64,
    sequence: u64,
    state: Option<BookState>,
    trades: Option<u64>,
    /// A gap was told: nothing counts before the snapshot.
    has_gap: bool,
    /// Trades may be missing.
    has_trade_gap: bool,
    has_book: bool,
    is_forgotten: bool,
}

impl Follower {
    fn new(client: Client, filter: Filter) -> Self {
        Self {
            client: Some(client),
            filter,
            books: BTreeMap::new(),
            cursor: None,
            is_ready: false,
            recovered: false,
            gaps: Vec::new(),
            deltas: 0,
        }
    }

    /// Reads about so many bytes; whether there were any.
    fn read(&mut self, most: usize, model: &Model) -> bool {
        let Some(client) = &self.client else {
            return false;
        };
        match client.outbox().try_next(most) {
            Some(Batch::Messages(items)) => {
                for item in items {
                    self.take(item.message.event(), model);
                    if item.cursor.is_some() {
                        self.cursor = item.cursor;
                    }
                }
                true
            }
            Some(Batch::End(_)) => {
                self.client = None;
                true
            }
            None => false,
        }
    }

    fn gap_everywhere(&mut self) {
        for followed in self.books.values_mut() {
            followed.has_gap = true;
            followed.has_trade_gap = true;
        }
    }

    fn take(&mut self, event: &Event, model: &Model) {
        match event {
            Event::Subscribed(subscribed) => {
                self.is_ready = false;
                self.recovered = subscribed.recovered;
                if !subscribed.recovered {
                    self.gap_everywhere();
                }
                for unknown in &subscribed.unknown {
                    self.books.remove(&**unknown);
                }
            }
            Event::Ready(_) => self.is_ready = true,
            Event::Snapshot(snapshot) => {
                let id = snapshot.token.info.asset_id.to_string();
                let followed = self.books.entry(id.clone()).or_default();
                let mut book = OrderBook::default();
                book.apply_snapshot(snapshot.bids.clone(), snapshot.asks.clone());
                followed.book = book;
                followed.epoch = snapshot.epoch;
                followed.sequence = snapshot.sequence;
                followed.state = Some(snapshot.state);
                followed.has_gap = false;
                followed.has_book = true;
                self.check(&id, model);
            }
            Event::Delta(delta) => {
                self.deltas += 1;
                let id = delta.token.info.asset_id.to_string();
                let followed = self.books.get_mut(&id).expect("a snapshot comes first");
                assert!(followed.has_book, "{id}: no book yet");
                if delta.sequence <= followed.sequence {
                    // Replayed: of this epoch, or of one before it.
                    return;
                }
                assert!(!followed.has_gap, "{id}: a snapshot follows a gap");
                assert_eq!(delta.epoch, followed.epoch, "{id}");
                if delta.conflated.is_some() {
                    assert!(delta.previous <= followed.sequence, "{id}: {delta:?}");
                } else {
                    assert_eq!(delta.previous, followed.sequence, "{id}");
                }
                if delta.conflated.is_none() && delta.depth.is_none() {
                    let levels = u64::try_from(delta.changes.len()).unwrap();
                    assert_eq!(delta.sequence - delta.previous, levels, "{id}");
                }
                for change in &delta.changes {
                    followed
                        .book
                        .apply_change(change.side, change.price, change.size);
                }
                followed.sequence = delta.sequence;
                let best = |side| followed.book.best_price(side);
                assert_eq!(best(Side::Bid), delta.best_bid, "{id}");
                assert_eq!(best(Side::Ask), delta.best_ask, "{id}");
                self.check(&id, model);
            }
            Event::State(state) => {
                let id = state.token.info.asset_id.to_string();
                let followed = self.books.entry(id).or_default();
                followed.state = state.state;
                followed.is_forgotten = state.state.is_none();
            }
            Event::Trade(trade) => {
                let id = trade.token.info.asset_id.to_string();
                let followed = self.books.entry(id.clone()).or_default();
                if let Some(last) = followed.trades
                    && !followed.has_trade_gap
                {
                    if trade.sequence <= last {
                        return;
                    }
                    assert_eq!(trade.sequence, last + 1, "{id}: lost in silence");
                }
                followed.has_trade_gap = false;
                followed.trades = Some(trade.sequence);
            }
            Event::Gap(gap) => {
                self.gaps.push(gap.reason);
                match &gap.scope {
                    GapScope::Token(token) => {
                        let id = token.info.asset_id.to_string();
                        let followed = self.books.entry(id).or_default();
                        followed.has_gap = true;
                        followed.has_trade_gap = true;
                    }
                    GapScope::Subscription(_) | GapScope::Connection => {
                        self.gap_everywhere();
                        // What it has from now on is not what it had at that place.
                        self.cursor = None;
                    }
                }
            }
            _ => {}
        }
    }

    /// The book is the true one of its epoch and sequence.
    fn check(&self, id: &str, model: &Model) {
        let followed = &self.books[id];
        let place = (id.to_owned(), followed.epoch, followed.sequence);
        let inner = model.inner.lock();
        let Some(truth) = inner.history.get(&place) else {
            panic!("there was no book {place:?}: {:?}", self.filter);
        };
        let depth = self.filter.mode.depth.map_or(usize::MAX, usize::from);
        for side in [Side::Bid, Side::Ask] {
            let levels: Vec<_> = truth.levels(side).take(depth).collect();
            let ours: Vec<_> = followed.book.levels(side).collect();
            assert_eq!(ours, levels, "{id} at {place:?}");
        }
    }

    /// Everything that it follows is as it is in truth.
    fn check_all(&self, model: &Model) {
        if self.client.is_none() {
            return;
        }
        assert!(self.is_ready, "every subscription gets ready");
        let has = |channel| self.filter.channels.has(channel);
        let inner = model.inner.lock();
        for truth in &inner.tokens {
            let id = truth.id();
            let is_named = self.filter.selectors.iter().any(|selector| match selector {
                Selector::Everything => true,
                Selector::Token(named) => **named == *id,
                _ => false,
            });
            if !is_named {
                continue;
            }
            if truth.is_gone {
                if let Some(followed) = self.books.get(&id) {
                    let is_known = followed.is_forgotten || followed.has_gap;
                    assert!(!has(Channel::Book) || is_known, "{id} is forgotten");
                }
                continue;
            }
            if has(Channel::Book) {
                let followed = self
                    .books
                    .get(&id)
                    .unwrap_or_else(|| panic!("{id} is missing"));
                assert_eq!(followed.state, Some(truth.status.state), "{id}");
                if truth.position.epoch == 0 {
                    continue;
                }
                assert!(!followed.has_gap, "{id}: a snapshot follows");
                assert_eq!(followed.epoch, truth.position.epoch, "{id}");
                let is_whole = self.filter.mode == Mode::default();
                if is_whole {
                    assert_eq!(followed.sequence, truth.position.sequence, "{id}");
                }
                let depth = self.filter.mode.depth.map_or(usize::MAX, usize::from);
                for side in [Side::Bid, Side::Ask] {
                    let levels: Vec<_> = truth.book.levels(side).take(depth).collect();
                    let ours: Vec<_> = followed.book.levels(side).collect();
                    assert_eq!(ours, levels, "{id}");
                }
            }
        }
    }
}

fn random_filter(random: &mut fastrand::Rng, tokens: usize) -> Filter {
    let mut channels = Channels::NONE;
    for channel in [Channel::Book, Channel::Trade, Channel::State, Channel::Top] {
        if random.u8(..4) > 0 {
            channels = channels.with(channel);
        }
    }
    if channels.is_empty() {
        channels = channels.with(Channel::Book);
    }
    let mut filter = if random.bool() {
        Filter::everything(channels)
    } else {
        let ids: Vec<_> = (1..=tokens).filter(|_| random.bool()).collect();
        let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
        if ids.is_empty() {
            Filter::everything(channels)
        } else {
            Filter::tokens(ids.iter().map(String::as_str), channels)
        }
    };
    filter.mode = match random.u8(..5) {
        0 => Mode {
            interval: Some(Duration::from_millis(100)),
            depth: None,
        },
        1 => Mode {
            interval: Some(Duration::from_millis(50)),
            depth: Some(1),
        },
        2 => Mode {
            interval: None,
            depth: Some(1),
        },
        _ => Mode::default(),
    };
    filter
}

/// Whatever happens to books, workers, lanes and clients: each client that applies what
/// it is given has the true book, at every sequence; and each loss is said.
#[test]
fn whoever_applies_what_it_is_given_has_the_true_books() {
    let histories: u64 = 400;
    let (mut deltas, mut slow, mut lost, mut resumed, mut merged) = (0, 0, 0, 0, 0);
    for seed in 0..histories {
        let mut random = fastrand::Rng::with_seed(seed);
        let is_tight = random.bool();
        let mut config = StreamConfig {
            lane_entries: if is_tight { 40 } else { 65_536 },
            ..StreamConfig::default()
        };
        if random.bool() {
            config.buffer = 16 << 10;
            config.own_buffer = 4 << 10;
        }
        if random.u8(..3) == 0 {
            config.ring = 20 << 10;
        }
        println!("seed {seed}: {config:?}");
        let mut world = World::new(config);
        for _ in 0..4 {
            let has_book = random.u8(..4) > 0;
            world.add_token(has_book);
        }
        let mut followers: Vec<Follower> = Vec::new();
        for _ in 0..150 {
            let tokens = world.model.inner.lock().tokens.len();
            let at = random.usize(..tokens);
            let is_gone = world.model.inner.lock().tokens[at].is_gone;
            let is_down = {
                let inner = world.model.inner.lock();
                inner.is_down[usize::from(lane_of(inner.tokens[at].info.key).0)]
            };
            match random.u8(..60) {
                _ if is_gone => {}
                0..=24 if !is_down => {
                    let levels: Vec<_> = (0..random.u8(1..4))
                        .map(|_| {
                            let side = if random.bool() { Side::Bid } else { Side::Ask };
                            let tick = match side {
                                Side::Bid => random.u8(36..46),
                                Side::Ask => random.u8(55..65),
                            };
                            (side, tick, random.u32(..3))
                        })
                        .collect();
                    let ends = random.u8(..4) > 0;
                    world.set(at, &levels, ends);
                }
                25 if !is_down => {
                    // A burst that a tight lane does not hold.
                    for round in 0..60u8 {
                        world.set(at, &[(Side::Bid, 36 + round % 9, u32::from(round))], true);
                    }
                }
                26..=28 if !is_down => world.trade(at),
                29..=30 if !is_down => world.begin_epoch(at, StaleReason::Disconnected),
                31..=32 if !is_down => {
                    let state = if random.bool() {
                        BookState::Live
                    } else {
                        BookState::Stale(StaleReason::Hash)
                    };
                    world.set_state(at, state, Some(random.bool()));
                }
                33 if !is_down => {
                    let lane = lane_of(world.model.inner.lock().tokens[at].info.key);
                    world.kill(lane);
                    world.step();
                    world.revive(lane);
                }
                34 if !is_down && tokens < 8 => {
                    let has_book = random.bool();
                    world.add_token(has_book);
                }
                35 if !is_down && tokens > 3 => world.forget(at),
                36 => {
                    let busy = random.bool();
                    world.model.inner.lock().is_busy = busy;
                }
                37 => world.pass(Duration::from_secs(random.u64(1..90))),
                38..=40 => world.pass(Duration::from_millis(60)),
                41..=43 if followers.len() < 5 => {
                    let filter = random_filter(&mut random, 3);
                    let client = world.open();
                    if world.subscribe(&client, 0, &filter, None).is_ok() {
                        followers.push(Follower::new(client, filter));
                    }
                }
                44..=46 if !followers.is_empty() => {
                    // Goes away, and comes back with its cursor.
                    let number = random.usize(..followers.len());
                    let follower = &mut followers[number];
                    follower.client = None;
                    for _ in 0..random.u8(..4) {
                        world.set(at, &[(Side::Bid, 40, random.u32(1..100))], true);
                        world.trade(at);
                        world.step();
                    }
                    let client = world.open();
                    let cursor = follower.cursor;
                    if cursor.is_none() {
                        // Nothing vouches for what it had.
                        follower.books.clear();
                    }
                    let filter = follower.filter.clone();
                    if world.subscribe(&client, 0, &filter, cursor).is_ok() {
                        follower.client = Some(client);
                        follower.is_ready = false;
                    }
                }
                _ => {
                    world.step();
                    for follower in &mut followers {
                        if random.u8(..3) > 0 {
                            let most = random.usize(1..4_000);
                            follower.read(most, &world.model);
                            resumed += u32::from(std::mem::take(&mut follower.recovered));
                        }
                    }
                }
            }
        }
        world.settle(&mut followers);
        world.pass(Duration::from_millis(200));
        world.settle(&mut followers);
        for follower in &followers {
            follower.check_all(&world.model);
            deltas += follower.deltas;
            slow += u32::from(follower.gaps.contains(&GapReason::Slow));
            lost += u32::from(follower.gaps.contains(&GapReason::Internal));
        }
        assert_eq!(world.numbers.mismatches.get(), 0, "seed {seed}");
        merged += world.hub.out.modes.len();
    }
    // The histories hold what they are there for.
    assert!(
        deltas > 5_000 && slow > 100 && lost > 100,
        "{deltas} {slow} {lost}"
    );
    assert!(resumed > 50 && merged > 100, "{resumed} {merged}");
}

fn world() -> World {
    World::new(StreamConfig::default())
}

fn with_mode(mut filter: Filter, interval: Option<u64>, depth: Option<u16>) -> Filter {
    filter.mode = Mode {
        interval: interval.map(Duration::from_millis),
        depth,
    };
    filter
}

/// The texts of deltas, as `previous>sequence changes`.
fn deltas(messages: &[Arc<Published>]) -> Vec<String> {
    let deltas = messages.iter().filter_map(|message| match message.event() {
        Event::Delta(delta) => Some(delta),
        _ => None,
    });
    deltas
        .map(|delta| {
            let changes = delta.changes.iter().map(|change| {
                let side = if change.side == Side::Bid { 'b' } else { 'a' };
                format!(" {side}{}={}", change.price, change.size)
            });
            let changes: String = changes.collect();
            format!("{}>{}{changes}", delta.previous, delta.sequence)
        })
        .collect()
}

#[test]
fn a_subscription_opens_with_each_book_and_goes_on_with_whole_states() {
    let mut world = world();
    world.add_token(true);
    world.add_token(false);
    let client = world.open();
    let mut filter = book_of(&["1", "2", "3"]);
    filter.channels = filter.channels.with(Channel::Top).with(Channel::State);
    world.subscribe(&client, 5, &filter, None).unwrap();
    world.step();
    let opening = read(&client);
    assert_eq!(
        names(&opening),
        [
            "hello",
            "subscribed",
            "snapshot",
            "top",
            "state",
            "state",
            "ready"
        ]
    );
    let subscribed = opening[1].text().as_str();
    assert!(
        subscribed.contains(r#""tokens":2,"unknown":["3"]"#),
        "{subscribed}"
    );

    // Two levels of one state, of which the second ends it.
    world.set(0, &[(Side::Bid, 42, 5), (Side::Ask, 60, 0)], true);
    world.step();
    let told = read(&client);
    assert_eq!(names(&told), ["delta", "top"]);
    assert_eq!(deltas(&told), ["1>3 b0.42=5 a0.6=0"]);

    // The worker does not know whether more of the state comes: it does not wait.
    world.set(0, &[(Side::Bid, 42, 6)], false);
    world.step();
    assert_eq!(deltas(&read(&client)), ["3>4 b0.42=6"]);
    // The state before was not ended, and the next one is of another time.
    world.write(0, |_, _| Vec::new());
    world.set(0, &[(Side::Bid, 42, 7)], false);
    world.set(0, &[(Side::Bid, 42, 8)], true);
    world.step();
    assert_eq!(deltas(&read(&client)), ["4>5 b0.42=7", "5>6 b0.42=8"]);
}

#[test]
fn what_one_append_brings_of_two_times_is_two_states() {
    let mut world = world();
    let key = world.add_token(true);
    let client = world.open();
    world.subscribe(&client, 0, &book_of(&["1"]), None).unwrap();
    world.step();
    read(&client);
    let level = |sequence, at, size: &str| {
        BookChange::Level(LevelSet {
            asset: key,
            level: LevelChange {
                side: Side::Bid,
                price: price(40),
                size: size.parse().unwrap(),
            },
            sequence,
            at: Timestamp::from_millis(at),
            received: world.now,
            ends_state: false,
        })
    };
    let mut changes = vec![level(2, 10, "1"), level(3, 10, "2"), level(4, 11, "3")];
    world.model.lanes.append(lane_of(key), &mut changes);
    world.step();
    assert_eq!(deltas(&read(&client)), ["1>3 b0.4=1 b0.4=2", "3>4 b0.4=3"]);
}

#[test]
fn a_change_that_does_not_follow_is_a_gap_and_the_book_is_read_again() {
    let mut world = world();
    let key = world.add_token(true);
    let client = world.open();
    world.subscribe(&client, 0, &book_of(&["1"]), None).unwrap();
    world.step();
    read(&client);
    let mut unwritten = Vec::new();
    {
        let mut inner = world.model.inner.lock();
        inner.followed.remove(&key);
    }
    world.set(0, &[(Side::Bid, 43, 1)], true);
    world.model.inner.lock().followed.insert(key);
    world.set(0, &[(Side::Bid, 44, 1)], true);
    world.model.lanes.append(lane_of(key), &mut unwritten);
    world.step();
    world.step();
    let told = read(&client);
    assert_eq!(names(&told), ["gap", "snapshot", "state"]);
    assert!(
        told[0]
            .text()
            .as_str()
            .contains(r#""reason":"internal","owner":"us""#)
    );
    assert!(
        told[1]
            .text()
            .as_str()
            .contains(r#""sequence":3,"cause":"gap""#)
    );
    assert_eq!(world.numbers.mismatches.get(), 1);
}

#[test]
fn a_new_epoch_is_a_gap_with_its_reason_before_the_snapshot() {
    let mut world = world();
    world.add_token(true);
    let client = world.open();
    world.subscribe(&client, 0, &book_of(&["1"]), None).unwrap();
    world.step();
    read(&client);
    world.begin_epoch(0, StaleReason::Disconnected);
    world.step();
    let told = read(&client);
    assert_eq!(names(&told), ["state", "gap", "snapshot", "state"]);
    let gap = told[1].text().as_str();
    assert!(gap.contains(r#""reason":"disconnected","owner":"network","epoch":1,"after_sequence":1,"before_sequence":2"#), "{gap}");
    assert!(
        told[2]
            .text()
            .as_str()
            .contains(r#""epoch":2,"sequence":2,"cause":"epoch""#)
    );
}

#[test]
fn books_of_a_dead_worker_are_stale_at_once_and_come_back_by_a_gap() {
    let mut world = world();
    let key = world.add_token(true);
    let client = world.open();
    world.subscribe(&client, 0, &book_of(&["1"]), None).unwrap();
    world.step();
    read(&client);
    world.kill(lane_of(key));
    world.step();
    let told = read(&client);
    assert_eq!(names(&told), ["state"]);
    assert!(
        told[0]
            .text()
            .as_str()
            .contains(r#""state":"stale","reason":"worker_died""#)
    );
    world.step();
    assert_eq!(names(&read(&client)), [""; 0], "said once");
    world.revive(lane_of(key));
    world.step();
    world.step();
    let told = read(&client);
    assert_eq!(names(&told), ["gap", "snapshot", "state"]);
    assert!(
        told[0]
            .text()
            .as_str()
            .contains(r#""reason":"worker_died","owner":"us""#)
    );
}

#[test]
fn after_a_suspension_states_are_read_before_what_lay_in_the_lanes() {
    let mut world = world();
    world.add_token(true);
    let client = world.open();
    world.subscribe(&client, 0, &book_of(&["1"]), None).unwrap();
    world.step();
    read(&client);
    world.hub.is_suspended = true;
    {
        let mut inner = world.model.inner.lock();
        inner.suspended = true;
        inner.is_busy = true;
    }
    world.set(0, &[(Side::Bid, 41, 1)], true);
    world.step();
    assert_eq!(
        names(&read(&client)),
        [""; 0],
        "the states are not known yet"
    );
    world.model.inner.lock().is_busy = false;
    world.step();
    let told = read(&client);
    // The lane is in its own order; nobody was told a live book without the word.
    assert_eq!(names(&told), ["delta", "state"]);
    assert!(told[1].text().as_str().contains("suspended"));
    assert!(world.hub.is_suspended, "until every feed has answered");
    world.model.inner.lock().suspended = false;
    world.step();
    assert!(!world.hub.is_suspended);
}

#[test]
fn depth_sends_what_falls_out_and_nothing_of_what_is_below() {
    let mut world = world();
    world.add_token(true);
    let client = world.open();
    let filter = with_mode(book_of(&["1"]), None, Some(1));
    world.subscribe(&client, 0, &filter, None).unwrap();
    world.step();
    read(&client);
    world.set(0, &[(Side::Bid, 39, 1)], true);
    world.step();
    assert_eq!(deltas(&read(&client)), [""; 0], "below the depth");
    world.set(0, &[(Side::Bid, 41, 2)], true);
    world.step();
    let told = read(&client);
    assert_eq!(
        deltas(&told),
        ["1>3 b0.4=0 b0.41=2"],
        "the old best falls out"
    );
    world.set(0, &[(Side::Bid, 41, 0)], true);
    world.step();
    assert_eq!(
        deltas(&read(&client)),
        ["3>4 b0.4=10 b0.41=0"],
        "and comes back"
    );
}

#[test]
fn conflated_tells_the_latest_state_once_an_interval_to_those_who_joined_since_too() {
    let mut world = world();
    world.add_token(true);
    let first = world.open();
    let filter = with_mode(book_of(&["1"]), Some(100), None);
    world.subscribe(&first, 0, &filter, None).unwrap();
    world.step();
    read(&first);
    world.set(0, &[(Side::Bid, 41, 1)], true);
    world.step();
    assert_eq!(
        deltas(&read(&first)).len(),
        1,
        "the first change waits for nothing"
    );
    world.set(0, &[(Side::Bid, 41, 2)], true);
    world.set(0, &[(Side::Bid, 42, 1)], true);
    world.set(0, &[(Side::Bid, 42, 0)], true);
    world.step();
    let second = world.open();
    world.subscribe(&second, 0, &filter, None).unwrap();
    world.step();
    let joined = read(&second);
    assert!(
        joined[2].text().as_str().contains(r#""sequence":2,"#),
        "what the others have"
    );
    assert_eq!(names(&read(&first)), [""; 0]);
    world.pass(Duration::from_millis(100));
    for client in [&first, &second] {
        let told = read(client);
        assert_eq!(deltas(&told), ["2>5 b0.41=2"]);
        assert!(
            told[0]
                .text()
                .as_str()
                .contains(r#""conflated":"interval""#)
        );
    }
}

#[test]
fn a_conflated_client_that_is_behind_gets_the_states_merged_and_no_gap() {
    let mut world = World::new(StreamConfig {
        buffer: 8 << 10,
        heartbeat: Duration::from_hours(1),
        ..StreamConfig::default()
    });
    world.add_token(true);
    let client = world.open();
    let filter = with_mode(book_of(&["1"]), Some(50), None);
    world.subscribe(&client, 0, &filter, None).unwrap();
    world.step();
    read(&client);
    for round in 1..30 {
        world.set(
            0,
            &[(Side::Bid, 30 + round % 4, 10 + u32::from(round))],
            true,
        );
        world.pass(Duration::from_millis(60));
    }
    let waiting = read(&client);
    assert!(names(&waiting).iter().all(|name| *name == "delta"));
    assert!(waiting.len() < 10, "{}", waiting.len());
    world.step();
    let told = read(&client);
    assert_eq!(names(&told), ["delta"]);
    assert!(told[0].text().as_str().contains(r#""conflated":"backlog""#));
    let told = deltas(&told);
    assert!(
        told[0].contains("b0.31=39") && told[0].contains(">30 "),
        "{told:?}"
    );
}

#[test]
fn a_slow_client_is_warned_then_begins_again_and_is_closed_the_third_time() {
    let mut world = World::new(StreamConfig {
        buffer: 8 << 10,
        ..StreamConfig::default()
    });
    world.add_token(true);
    let (slow, healthy) = (world.open(), world.open());
    world.subscribe(&slow, 0, &book_of(&["1"]), None).unwrap();
    world
        .subscribe(&healthy, 0, &book_of(&["1"]), None)
        .unwrap();
    world.step();
    read(&slow);
    read(&healthy);
    let mut healthy_deltas = 0;
    for overflow in 1..=3 {
        for _ in 0..40 {
            let size = 11 + world.clock_ms % 1_000;
            world.set(0, &[(Side::Bid, 41, u32::try_from(size).unwrap())], true);
            world.step();
            let told = read(&healthy);
            assert_eq!(names(&told), ["delta"]);
            healthy_deltas += 1;
        }
        assert_eq!(world.numbers.overflows.get(), overflow);
        if overflow < 3 {
            let told = read(&slow);
            assert_eq!(
                names(&told),
                ["error", "gap"],
                "nothing before the snapshot"
            );
            assert!(
                told[1]
                    .text()
                    .as_str()
                    .contains(r#""reason":"slow","owner":"client""#)
            );
            assert!(told[1].text().as_str().contains(r#""next":"snapshot""#));
            world.step();
            let told = read(&slow);
            assert_eq!(names(&told), ["snapshot"]);
        }
    }
    while let Some(Batch::Messages(_)) = slow.outbox().try_next(usize::MAX) {}
    let Some(Batch::End(closing)) = slow.outbox().try_next(usize::MAX) else {
        panic!("it goes on");
    };
    assert_eq!(closing.code, 1_013);
    assert!(closing.retry_ms.is_some());
    assert_eq!(healthy_deltas, 120);
}

/// The ends of the ring: a place is good as long as nothing after it is gone.
#[test]
fn a_client_comes_back_to_what_is_kept_and_to_nothing_else() {
    let mut world = world();
    world.add_token(true);
    let first = world.open();
    let filter = book_of(&["1"]);
    world.subscribe(&first, 0, &filter, None).unwrap();
    world.step();
    let place = |position| {
        let instance = Instance(7);
        Some(Cursor { instance, position })
    };
    let begun = world.hub.out.position;
    for size in 1..=3 {
        world.pass(Duration::from_secs(20));
        world.set(0, &[(Side::Bid, 41, size)], true);
        world.step();
    }
    let back = |world: &mut World, position| {
        let client = world.open();
        world
            .subscribe(&client, 0, &filter, place(position))
            .unwrap();
        world.step();
        let told = read(&client);
        let recovered = told[1].text().as_str().contains(r#""recovered":true"#);
        let names = names(&told[2..]).join(" ");
        let last = told.last().unwrap().text().as_str().to_owned();
        drop(client);
        world.step();
        (recovered, names, last)
    };
    let (recovered, names, last) = back(&mut world, begun);
    assert!(recovered);
    assert_eq!(names, "delta delta delta ready");
    let now = world.hub.out.position;
    assert!(last.contains(&format!("-{now}\"")), "{last}");
    assert_eq!(back(&mut world, begun + 1).1, "delta delta ready");
    assert_eq!(back(&mut world, now).1, "ready", "it had everything");
    let (recovered, names, _) = back(&mut world, now + 1);
    assert!(!recovered, "a place that there was not");
    assert_eq!(names, "gap snapshot ready");
    assert!(
        !back(&mut world, begun.saturating_sub(1)).0,
        "before it was followed"
    );

    // The oldest of the three is gone.
    world.pass(Duration::from_secs(21));
    assert_eq!(world.hub.out.ring.evicted(), begun + 1);
    let (recovered, names, _) = back(&mut world, begun);
    assert!(!recovered);
    assert_eq!(names, "gap snapshot ready");
    assert_eq!(back(&mut world, begun + 1).1, "delta delta ready");
    let other = Cursor {
        instance: Instance(8),
        position: now,
    };
    let client = world.open();
    world.subscribe(&client, 0, &filter, Some(other)).unwrap();
    assert!(read(&client)[2].text().as_str().contains("restarted"));
}

#[test]
fn a_book_that_was_not_followed_all_the_time_cannot_be_resumed() {
    let mut world = world();
    world.add_token(true);
    let filter = book_of(&["1"]);
    let first = world.open();
    world.subscribe(&first, 0, &filter, None).unwrap();
    world.step();
    let position = world.hub.out.position;
    drop(first);
    world.step();
    world.pass(Duration::from_secs(30));
    assert_eq!(world.model.inner.lock().followed.len(), 1, "it lingers");
    world.pass(Duration::from_secs(40));
    world.pass(Duration::from_secs(2));
    assert!(world.model.inner.lock().followed.is_empty());
    world.set(0, &[(Side::Bid, 41, 1)], true);
    let second = world.open();
    world.subscribe(&second, 0, &filter, None).unwrap();
    world.step();
    let third = world.open();
    let instance = Instance(7);
    let cursor = Some(Cursor { instance, position });
    world.subscribe(&third, 0, &filter, cursor).unwrap();
    world.step();
    let told = read(&third);
    let accepted = told[1].text().as_str();
    assert!(accepted.contains(r#""recovered":false"#), "{accepted}");
    assert!(
        told[2].text().as_str().contains("not_followed"),
        "{}",
        told[2].text()
    );
}

#[test]
fn subscriptions_come_and_go_and_agree() {
    let mut world = world();
    world.add_token(true);
    world.add_token(true);
    let client = world.open();
    world.subscribe(&client, 1, &book_of(&["1"]), None).unwrap();
    let code = |result: Result<(), SubscribeError>| result.unwrap_err().code;
    assert_eq!(
        code(world.subscribe(&client, 1, &book_of(&["2"]), None)),
        "id_in_use"
    );
    assert_eq!(
        code(world.subscribe(&client, 2, &book_of(&["9"]), None)),
        "unknown_token"
    );
    assert_eq!(code(world.unsubscribe(&client, 9)), "unknown_id");
    let deep = with_mode(book_of(&["1", "2"]), None, Some(5));
    let refused = world.subscribe(&client, 2, &deep, None).unwrap_err();
    assert_eq!(refused.code, "conflict");
    assert!(
        refused.message.starts_with("token 1 is covered"),
        "{refused}"
    );
    // What was refused has left nothing.
    world
        .subscribe(&client, 2, &book_of(&["1", "2"]), None)
        .unwrap();
    world.step();
    read(&client);
    world.unsubscribe(&client, 1).unwrap();
    world.set(0, &[(Side::Bid, 41, 1)], true);
    world.step();
    assert_eq!(
        names(&read(&client)),
        ["unsubscribed", "delta"],
        "once, and still covered"
    );
    world.unsubscribe(&client, 2).unwrap();
    world.set(0, &[(Side::Bid, 41, 2)], true);
    world.step();
    assert_eq!(names(&read(&client)), ["unsubscribed"]);
    let most = world.hub.out.config.max_subscriptions;
    for id in 0..most {
        let id = u64::try_from(id).unwrap();
        world
            .subscribe(&client, id, &book_of(&["1"]), None)
            .unwrap();
    }
    let one_more = world.subscribe(&client, 99, &book_of(&["1"]), None);
    assert_eq!(code(one_more), "too_many_subscriptions");
}

#[test]
fn a_subscription_to_everything_takes_in_new_markets_and_hears_of_forgotten_ones() {
    let mut world = world();
    world.add_token(true);
    let client = world.open();
    let channels = Channels::default();
    world
        .subscribe(&client, 0, &Filter::everything(channels), None)
        .unwrap();
    world.step();
    read(&client);
    world.add_token(true);
    world.step();
    world.step();
    let told = read(&client);
    assert_eq!(names(&told), ["market", "snapshot", "state"]);
    assert!(told[0].text().as_str().contains(r#""change":"new""#));
    world.forget(1);
    world.step();
    let told = read(&client);
    assert_eq!(names(&told), ["state", "market"]);
    assert!(told[0].text().as_str().contains(r#""state":"forgotten""#));
    assert!(told[1].text().as_str().contains(r#""change":"forgotten""#));
    world.pass(Duration::from_secs(70));
    world.pass(Duration::from_secs(2));
    assert_eq!(world.hub.tokens.len(), 1, "nothing of it is left");
}

#[test]
fn heartbeats_come_and_a_place_only_while_nothing_is_owed() {
    let mut world = world();
    world.add_token(true);
    let client = world.open();
    world.model.inner.lock().is_busy = true;
    world.subscribe(&client, 0, &book_of(&["1"]), None).unwrap();
    world.pass(Duration::from_secs(6));
    let told = read(&client);
    assert_eq!(names(&told).last(), Some(&"heartbeat"));
    let last = told.last().unwrap().text().as_str();
    assert!(
        last.contains(r#""cursor":null"#),
        "the snapshot is owed: {last}"
    );
    world.model.inner.lock().is_busy = false;
    world.step();
    world.step();
    assert_eq!(names(&read(&client)), ["snapshot", "ready"]);
    client.ask_heartbeat();
    world.step();
    let told = read(&client);
    let position = world.hub.out.position;
    let expected = format!(r#""cursor":"0000000000000007-{position}""#);
    assert!(told[0].text().as_str().contains(&expected));
}

#[test]
fn a_market_whose_announcement_is_lost_is_covered_all_the_same() {
    let mut world = world();
    let key = world.add_token(true);
    let client = world.open();
    let filter = Filter::everything(Channels::NONE.with(Channel::Book));
    world.subscribe(&client, 0, &filter, None).unwrap();
    world.step();
    read(&client);
    let known = world.model.market(key).unwrap();
    for _ in 0..20_000 {
        let market = Arc::clone(&known);
        let reason = "closed";
        world
            .markets
            .changed(MarketChange::Ended { market, reason });
    }
    world.add_token(true);
    world.step();
    world.step();
    assert!(world.numbers.lost_markets.get() > 0);
    let told = read(&client);
    assert_eq!(names(&told), ["snapshot"]);
    assert_eq!(
        told[0].event().token(),
        world.model.resolve(&Selector::Token("2".into())).pop()
    );
}

/// Whatever markets come and go, announced early, late or never, while a client comes and
/// goes: it is shown each token, or told that it has not gone on.
#[test]
fn whoever_comes_back_to_everything_lacks_no_token() {
    let (mut recovered, mut joined) = (0, 0);
    for seed in 0..300 {
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = world();
        world.add_token(true);
        let channels = Channels::NONE.with(Channel::Book).with(Channel::Trade);
        let mut everything = Filter::everything(channels);
        everything.mode.depth = (random.u8(..4) == 0).then_some(1);
        let client = world.open();
        world.subscribe(&client, 0, &everything, None).unwrap();
        let mut followers = vec![Follower::new(client, everything.clone())];
        let mut unannounced = Vec::new();
        let mut others = Vec::new();
        for _ in 0..80 {
            let tokens = world.model.inner.lock().tokens.len();
            let at = random.usize(..tokens);
            let is_gone = world.model.inner.lock().tokens[at].is_gone;
            match random.u8(..40) {
                0..=3 if tokens < 20 => unannounced.push(world.add_unannounced(random.bool())),
                4..=6 if !unannounced.is_empty() => {
                    let info = unannounced.swap_remove(random.usize(..unannounced.len()));
                    world.markets.changed(MarketChange::New(market(&info)));
                }
                7..=9 => {
                    let other = world.open();
                    let filter = if random.bool() {
                        everything.clone()
                    } else {
                        book_of(&[&format!("{}", at + 1)])
                    };
                    if world.subscribe(&other, 0, &filter, None).is_ok() {
                        others.push(other);
                    }
                }
                10 => others.clear(),
                11 if !is_gone && tokens > 2 => world.forget(at),
                12..=19 if !is_gone => {
                    world.set(at, &[(Side::Bid, 41, random.u32(1..100))], true);
                    world.trade(at);
                }
                20..=23 => {
                    let follower = &mut followers[0];
                    follower.client = None;
                    if random.bool() {
                        world.step();
                    }
                    if random.u8(..3) == 0 {
                        world.add_token(true);
                    }
                    if random.u8(..3) == 0 {
                        world.step();
                    }
                    let cursor = follower.cursor;
                    if cursor.is_none() {
                        follower.books.clear();
                    }
                    let client = world.open();
                    world.subscribe(&client, 0, &everything, cursor).unwrap();
                    follower.client = Some(client);
                    follower.is_ready = false;
                }
                24 => world.pass(Duration::from_secs(random.u64(1..20))),
                25 => {
                    let busy = random.bool();
                    world.model.inner.lock().is_busy = busy;
                }
                _ => {
                    world.step();
                    followers[0].read(random.usize(1..4_000), &world.model);
                    recovered += u32::from(std::mem::take(&mut followers[0].recovered));
                }
            }
        }
        for info in unannounced {
            world.markets.changed(MarketChange::New(market(&info)));
        }
        world.settle(&mut followers);
        followers[0].check_all(&world.model);
        joined += world.model.inner.lock().tokens.len();
    }
    assert!(recovered > 300 && joined > 2_000, "{recovered} {joined}");
}

/// A token that others had long followed is new to who had not heard of it.
#[test]
fn what_was_followed_unannounced_is_shown_to_who_comes_back() {
    let mut world = world();
    world.add_token(true);
    let everything = Filter::everything(Channels::NONE.with(Channel::Book));
    let first = world.open();
    world.subscribe(&first, 0, &everything, None).unwrap();
    world.step();
    read(&first);
    world.add_unannounced(true);
    let second = world.open();
    world.subscribe(&second, 0, &book_of(&["2"]), None).unwrap();
    world.step();
    assert_eq!(names(&read(&first)), ["snapshot"], "covered at once");

    // One that comes while it is away, and is never announced.
    let instance = Instance(7);
    let position = world.hub.out.position;
    drop(first);
    world.step();
    world.add_unannounced(true);
    let other = world.open();
    world.subscribe(&other, 0, &book_of(&["3"]), None).unwrap();
    world.step();
    world.set(0, &[(Side::Bid, 41, 1)], true);
    world.add_unannounced(true);
    let back = world.open();
    let cursor = Some(Cursor { instance, position });
    world.subscribe(&back, 0, &everything, cursor).unwrap();
    world.step();
    world.step();
    let told = read(&back);
    assert!(told[1].text().as_str().contains(r#""recovered":true"#));
    assert_eq!(
        names(&told[2..]),
        ["gap", "gap", "delta", "snapshot", "snapshot", "ready"],
        "the first goes on, the others begin"
    );
    assert!(told[2].text().as_str().contains(r#""scope":"token""#));
}

#[test]
fn a_conflated_top_is_told_once_and_says_whether_it_was_merged() {
    let mut world = world();
    world.add_token(true);
    // The book is there already.
    let every = world.open();
    world.subscribe(&every, 0, &book_of(&["1"]), None).unwrap();
    world.step();
    let channels = Channels::NONE.with(Channel::Top).with(Channel::Book);
    let filter = with_mode(Filter::tokens(["1"], channels), Some(100), None);
    let first = world.open();
    world.subscribe(&first, 0, &filter, None).unwrap();
    world.step();
    let opening = read(&first);
    assert_eq!(names(&opening)[2..], ["snapshot", "top", "ready"]);
    let ready = opening.last().unwrap().text().as_str();
    assert!(
        ready.contains(r#""cursor":null"#),
        "it cannot be resumed: {ready}"
    );
    world.set_state(0, BookState::Live, Some(true));
    world.pass(Duration::from_millis(100));
    assert_eq!(names(&read(&first)), ["state"], "the top is no other one");

    world.set(0, &[(Side::Bid, 41, 1)], true);
    world.pass(Duration::from_millis(100));
    let told = read(&first);
    assert_eq!(names(&told), ["delta", "top"]);
    for one in told {
        let text = one.text().as_str();
        assert!(text.contains(r#""conflated":null"#), "one state: {text}");
    }

    // Two states, and somebody who joins between them and the interval's end.
    world.set(0, &[(Side::Bid, 42, 1)], true);
    world.set(0, &[(Side::Bid, 43, 1)], true);
    world.step();
    let second = world.open();
    world.subscribe(&second, 0, &filter, None).unwrap();
    world.step();
    let joined = read(&second);
    let top = joined[3].text().as_str();
    assert!(
        top.contains(r#""sequence":2,"#),
        "what the others have: {top}"
    );
    world.pass(Duration::from_millis(100));
    for client in [&first, &second] {
        let told = read(client);
        assert_eq!(names(&told), ["delta", "top"]);
        for one in told {
            let text = one.text().as_str();
            assert!(text.contains(r#""conflated":"interval""#), "{text}");
        }
    }
    client_has_no_place(&world, &second);
}

fn client_has_no_place(world: &World, client: &Client) {
    let at = world.hub.out.by_id[&client.id()];
    assert_eq!(world.hub.out.place(at), None);
}

#[test]
fn a_gap_promises_a_snapshot_to_those_alone_who_get_books() {
    let mut world = world();
    world.add_token(true);
    let mut clients = Vec::new();
    for channel in [Channel::Book, Channel::Top, Channel::Trade] {
        let client = world.open();
        let filter = Filter::tokens(["1"], Channels::NONE.with(channel));
        world.subscribe(&client, 0, &filter, None).unwrap();
        clients.push(client);
    }
    world.step();
    let place = world.hub.out.position;
    let told = |client: &Client| {
        let told = read(client);
        let gap = told.iter().find(|one| names(&[Arc::clone(one)]) == ["gap"]);
        let gap = gap.unwrap().text().as_str().to_owned();
        let next = gap.split(r#""next":""#).nth(1).unwrap().to_owned();
        let gaps = names(&told).iter().filter(|name| **name == "gap").count();
        (
            next.trim_end_matches("\"}").to_owned(),
            gaps,
            names(&told).last().copied(),
        )
    };
    for client in &clients {
        read(client);
    }
    world.begin_epoch(0, StaleReason::Disconnected);
    world.step();
    assert_eq!(told(&clients[0]), ("snapshot".to_owned(), 1, Some("state")));
    assert_eq!(told(&clients[1]), ("none".to_owned(), 1, Some("top")));
    assert_eq!(told(&clients[2]), ("none".to_owned(), 1, Some("gap")));

    // The same for who comes back.
    let filter = Filter::tokens(["1"], Channels::NONE.with(Channel::Trade));
    let instance = Instance(7);
    let position = place;
    for (cursor, gaps) in [
        (Cursor { instance, position }, 1),
        (
            Cursor {
                instance: Instance(8),
                position,
            },
            1,
        ),
    ] {
        let back = world.open();
        world.subscribe(&back, 0, &filter, Some(cursor)).unwrap();
        world.step();
        let (next, found, last) = told(&back);
        assert_eq!((next.as_str(), found, last), ("none", gaps, Some("ready")));
    }
}
