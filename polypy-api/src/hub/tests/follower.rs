//! What a client makes of its messages. It knows nothing but them.

use super::*;

/// What a client makes of its messages. It knows nothing but them.
pub(super) struct Follower {
    pub(super) client: Option<Client>,
    pub(super) filter: Filter,
    pub(super) books: BTreeMap<String, Followed>,
    pub(super) cursor: Option<Cursor>,
    pub(super) is_ready: bool,
    pub(super) recovered: bool,
    pub(super) gaps: Vec<GapReason>,
    pub(super) left_out: u64,
    pub(super) trades: u64,
    pub(super) deltas: u64,
}

#[derive(Default, Clone)]
pub(super) struct Followed {
    pub(super) book: OrderBook,
    pub(super) epoch: u64,
    pub(super) sequence: u64,
    pub(super) state: Option<BookState>,
    pub(super) trades: Option<u64>,
    /// A gap was told: nothing counts before the snapshot.
    pub(super) has_gap: bool,
    /// Trades may be missing.
    pub(super) has_trade_gap: bool,
    /// Trades that were said to be left out since the last one.
    pub(super) left_out: u64,
    pub(super) has_book: bool,
    pub(super) is_forgotten: bool,
}

impl Follower {
    pub(super) fn new(client: Client, filter: Filter) -> Self {
        Self {
            client: Some(client),
            filter,
            books: BTreeMap::new(),
            cursor: None,
            is_ready: false,
            recovered: false,
            gaps: Vec::new(),
            left_out: 0,
            trades: 0,
            deltas: 0,
        }
    }

    /// Reads about so many bytes; whether there were any.
    pub(super) fn read(&mut self, most: usize, model: &Model) -> bool {
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

    pub(super) fn gap_everywhere(&mut self) {
        for followed in self.books.values_mut() {
            followed.has_gap = true;
            followed.has_trade_gap = true;
        }
    }

    pub(super) fn take(&mut self, event: &Event, model: &Model) {
        match event {
            Event::Subscribed(subscribed) => {
                self.is_ready = false;
                self.recovered = subscribed.recovered;
                // Of what has gone meanwhile the rest comes first, if it goes on exactly.
                if !subscribed.recovered {
                    self.gap_everywhere();
                    for unknown in &subscribed.unknown {
                        self.books.remove(&**unknown);
                    }
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
                let left_out = std::mem::take(&mut followed.left_out);
                if let Some(last) = followed.trades
                    && !followed.has_trade_gap
                {
                    if trade.sequence <= last {
                        return;
                    }
                    let expected = last + left_out + 1;
                    assert_eq!(trade.sequence, expected, "{id}: lost in silence");
                }
                followed.has_trade_gap = false;
                followed.trades = Some(trade.sequence);
                self.trades += 1;
            }
            Event::Gap(gap) => {
                self.gaps.push(gap.reason);
                match &gap.scope {
                    GapScope::Token(token) if gap.reason == GapReason::TradesLeftOut => {
                        assert!(!gap.next_is_snapshot, "the book goes on: {gap:?}");
                        let id = token.info.asset_id.to_string();
                        let followed = self.books.entry(id).or_default();
                        followed.left_out += gap.missing.unwrap();
                        self.left_out += gap.missing.unwrap();
                    }
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
    pub(super) fn check(&self, id: &str, model: &Model) {
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
    pub(super) fn check_all(&self, model: &Model) {
        if self.client.is_none() {
            return;
        }
        assert!(self.is_ready, "every subscription gets ready");
        let has = |channel| self.filter.channels.has(channel);
        let inner = model.inner.lock();
        for truth in &inner.tokens {
            let id = truth.id();
            let is_named = self.filter.selectors.iter().any(|selector| match selector {
                Selector::Token(named) => **named == *id,
                other => model::names(other, &market(&truth.info)),
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
