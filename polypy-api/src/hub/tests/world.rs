//! A hub over a [`Model`], on a clock of its own, and what tests ask of it.

use super::*;

/// A hub over a model, on a clock of its own.
pub(super) struct World {
    pub(super) model: Arc<Model>,
    pub(super) hub: Hub,
    pub(super) markets: Arc<Markets>,
    pub(super) shared: Arc<Shared>,
    pub(super) streams: Streams,
    pub(super) numbers: Arc<Numbers>,
    pub(super) began: Instant,
    pub(super) now: Instant,
    pub(super) clock_ms: u64,
}

impl World {
    pub(super) fn new(config: StreamConfig) -> Self {
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
            began: now,
            now,
            clock_ms: 1_795_429_800_000,
        }
    }

    /// A token with a book of two levels, in a market of its own.
    pub(super) fn add_token(&mut self, has_book: bool) -> AssetKey {
        let info = self.add_unannounced(has_book);
        self.markets.changed(MarketChange::New(market(&info)));
        info.key
    }

    /// The same, of which the catalogue knows and has not said so yet.
    pub(super) fn add_unannounced(&mut self, has_book: bool) -> Arc<AssetInfo> {
        let number = self.model.inner.lock().tokens.len() + 1;
        self.add_numbered(number, has_book)
    }

    /// A market that is back: its token has its id, and another key.
    pub(super) fn bring_back(&mut self, number: usize) {
        let info = self.add_numbered(number, true);
        self.markets.changed(MarketChange::New(market(&info)));
    }

    fn add_numbered(&mut self, number: usize, has_book: bool) -> Arc<AssetInfo> {
        let mut inner = self.model.inner.lock();
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
    pub(super) fn write(
        &mut self,
        at: usize,
        change: impl FnOnce(&mut Inner, usize) -> Vec<BookChange>,
    ) {
        let mut inner = self.model.inner.lock();
        let key = inner.tokens[at].info.key;
        let mut changes = change(&mut inner, at);
        if inner.followed.contains(&key) {
            self.model.lanes.append(lane_of(key), &mut changes);
        }
    }

    /// The venue sets levels in one state; `ends` if the worker knows that it is whole.
    pub(super) fn set(&mut self, at: usize, levels: &[(Side, u8, u32)], ends: bool) {
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

    pub(super) fn begin_epoch(&mut self, at: usize, reason: StaleReason) {
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

    pub(super) fn set_state(&mut self, at: usize, state: BookState, verified: Option<bool>) {
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

    pub(super) fn trade(&mut self, at: usize) {
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
    pub(super) fn kill(&mut self, lane: Lane) {
        self.model.inner.lock().is_down[usize::from(lane.0)] = true;
    }

    /// And is back: every book has a new epoch.
    pub(super) fn revive(&mut self, lane: Lane) {
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

    pub(super) fn forget(&mut self, at: usize) {
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

    pub(super) fn step(&mut self) -> bool {
        self.now += Duration::from_micros(500);
        self.hub.step(self.now)
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.hub.step(self.now);
    }

    pub(super) fn open(&mut self) -> Client {
        self.streams.open(Door::Library).unwrap()
    }

    /// A client that has had its openings.
    pub(super) fn following(&mut self, filter: &Filter) -> Client {
        let client = self.open();
        self.subscribe(&client, 0, filter, None).unwrap();
        self.step();
        read(&client);
        client
    }

    /// A client that comes back from a place of this instance, and what it is told.
    pub(super) fn back(&mut self, filter: &Filter, position: u64) -> (Client, Vec<Arc<Published>>) {
        let client = self.open();
        let instance = Instance(7);
        let cursor = Some(Cursor { instance, position });
        self.subscribe(&client, 0, filter, cursor).unwrap();
        self.step();
        self.step();
        let told = read(&client);
        (client, told)
    }

    pub(super) fn subscribe(
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

    pub(super) fn unsubscribe(&mut self, client: &Client, id: u64) -> Result<(), SubscribeError> {
        let (answer, mut answered) = oneshot::channel();
        let client = client.id();
        self.shared.ask(Command::Unsubscribe { client, id, answer });
        self.step();
        answered.try_recv().unwrap()
    }

    /// Rounds until nothing is left to do, and every follower has read everything.
    pub(super) fn settle(&mut self, followers: &mut [Follower]) {
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
pub(super) fn read(client: &Client) -> Vec<Arc<Published>> {
    let mut all = Vec::new();
    while let Some(Batch::Messages(items)) = client.outbox().try_next(usize::MAX) {
        all.extend(items.into_iter().map(|item| item.message));
    }
    all
}

pub(super) fn names(messages: &[Arc<Published>]) -> Vec<&'static str> {
    let events = messages.iter().map(|message| message.event());
    events.map(Event::name).collect()
}

pub(super) fn book_of(ids: &[&str]) -> Filter {
    Filter::tokens(ids.iter().copied(), Channels::NONE.with(Channel::Book))
}

pub(super) fn world() -> World {
    World::new(StreamConfig::default())
}

/// With one token, which has a book.
pub(super) fn one_book() -> World {
    let mut world = world();
    world.add_token(true);
    world
}

pub(super) fn with_mode(mut filter: Filter, interval: Option<u64>, depth: Option<u16>) -> Filter {
    filter.mode = Mode {
        interval: interval.map(Duration::from_millis),
        depth,
    };
    filter
}

/// The texts of deltas, as `previous>sequence changes`.
pub(super) fn deltas(messages: &[Arc<Published>]) -> Vec<String> {
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
