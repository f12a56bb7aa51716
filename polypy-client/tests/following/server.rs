//! A model of the server: random histories of two tokens, as messages, with the books
//! that a client has to have at their end.

use std::collections::BTreeMap;

use polypy_core::{Level, OrderBook, Price, Side, Size};
use serde_json::{Value, json};

/// The tokens.
pub(crate) const TOKENS: [&str; 2] = ["71", "52"];

/// How the subscription shows books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Each change.
    Every,
    /// Several states as one.
    Conflated,
    /// So many levels a side.
    Depth(usize),
}

/// A token's true book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Truth {
    /// Its levels, as far as the subscription shows them.
    pub(crate) levels: OrderBook,
    /// Its epoch.
    pub(crate) epoch: u64,
    /// Its sequence.
    pub(crate) sequence: u64,
}

/// The server's side of one subscription.
pub(crate) struct Server {
    random: fastrand::Rng,
    mode: Mode,
    tokens: BTreeMap<&'static str, Truth>,
    trades: BTreeMap<&'static str, u64>,
    /// All that was sent.
    pub(crate) sent: Vec<Value>,
    /// What any client of such a subscription gets, and those who come back again.
    shared: Vec<Value>,
}

impl Server {
    /// With the opening snapshots sent.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mode = match seed % 3 {
            0 => Mode::Every,
            1 => Mode::Conflated,
            _ => Mode::Depth(random.usize(1..4)),
        };
        // Far apart, so that no number of one fits the other.
        let truth = |sequence| Truth {
            levels: OrderBook::default(),
            epoch: 1,
            sequence,
        };
        let mut server = Self {
            random,
            mode,
            tokens: TOKENS
                .into_iter()
                .zip([truth(1_000), truth(500_000)])
                .collect(),
            trades: TOKENS.into_iter().map(|token| (token, 0)).collect(),
            sent: Vec::new(),
            shared: Vec::new(),
        };
        for token in TOKENS {
            for _ in 0..4 {
                server.set_level(token);
            }
            let snapshot = server.snapshot(token, "subscribed");
            server.sent.push(snapshot);
        }
        server.sent.push(ready());
        server
    }

    /// How it shows books.
    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// Lets something happen.
    pub(crate) fn step(&mut self) {
        let token = self.token();
        match self.random.u8(0..20) {
            0..12 => self.delta(token),
            12..14 => self.trade(token),
            14 => self.state(token),
            15 => {
                self.sent.push(json!({
                    "type": "heartbeat", "cursor": null, "ts_us": 1, "queued_bytes": 0,
                }));
            }
            16 | 17 => self.epoch(token),
            18 => self.slow(),
            _ => {
                let from = self.random.usize(0..=self.shared.len());
                self.resume(from);
            }
        }
    }

    /// Ends with a delta and a trade of each token, so that what was lost before shows.
    pub(crate) fn finish(&mut self) {
        for token in TOKENS {
            let before = self.sent.len();
            while self.sent.len() == before {
                self.delta(token);
            }
            self.trade(token);
        }
    }

    /// What a client has to have now.
    pub(crate) fn shown(&self, token: &str) -> Truth {
        let truth = &self.tokens[token];
        Truth {
            levels: self.visible(&truth.levels),
            ..*truth
        }
    }

    fn token(&mut self) -> &'static str {
        TOKENS[self.random.usize(0..TOKENS.len())]
    }

    fn visible(&self, book: &OrderBook) -> OrderBook {
        let Mode::Depth(depth) = self.mode else {
            return book.clone();
        };
        let best = |side| book.levels(side).take(depth).collect::<Vec<Level>>();
        let mut visible = OrderBook::default();
        visible.apply_snapshot(best(Side::Bid), best(Side::Ask));
        visible
    }

    /// Sets a level to a size that it does not have.
    fn set_level(&mut self, token: &'static str) {
        let truth = self.tokens.get_mut(token).expect("a token of ours");
        let side = [Side::Bid, Side::Ask][usize::from(self.random.bool())];
        let offset = match side {
            Side::Bid => 0,
            Side::Ask => 500_000,
        };
        let price = Price::from_millionths(offset + self.random.u32(1..9) * 10_000);
        let price = price.expect("below one");
        let old = truth.levels.size_at(side, price);
        let new = match self.random.u64(0..3) {
            0 if !old.is_zero() => Size::ZERO,
            _ => Size::from_millionths(old.millionths() + self.random.u64(1..5_000_000)),
        };
        truth.levels.apply_change(side, price, new);
        truth.sequence += 1;
    }

    fn delta(&mut self, token: &'static str) {
        let before = self.shown(token);
        let mut changes = Vec::new();
        for _ in 0..self.random.usize(1..4) {
            let old = self.tokens[token].levels.clone();
            self.set_level(token);
            let new = &self.tokens[token].levels;
            old.for_each_difference(new, |level| {
                changes.push(json!([level.side, level.price, level.size]));
            });
        }
        let after = self.shown(token);
        if self.mode != Mode::Every {
            changes.clear();
            before.levels.for_each_difference(&after.levels, |level| {
                changes.push(json!([level.side, level.price, level.size]));
            });
            // What changes nothing is not sent, so its numbers are not used up either.
            if changes.is_empty() {
                self.tokens.get_mut(token).expect("ours").sequence = before.sequence;
                return;
            }
        }
        let is_conflated = self.mode == Mode::Conflated;
        self.share(json!({
            "type": "delta", "token_id": token, "epoch": after.epoch,
            "prev_sequence": before.sequence, "sequence": after.sequence,
            "ts_event_ms": 1, "ts_recv_us": 1_000, "changes": changes,
            "best_bid": after.levels.best_price(Side::Bid),
            "best_ask": after.levels.best_price(Side::Ask),
            "conflated": is_conflated.then_some("interval"), "depth": self.depth(),
        }));
    }

    fn depth(&self) -> Option<usize> {
        match self.mode {
            Mode::Depth(depth) => Some(depth),
            Mode::Every | Mode::Conflated => None,
        }
    }

    fn snapshot(&self, token: &str, cause: &str) -> Value {
        let shown = self.shown(token);
        let levels = |side| {
            let levels = shown.levels.levels(side);
            levels
                .map(|level| json!([level.price, level.size]))
                .collect::<Vec<_>>()
        };
        json!({
            "type": "snapshot", "token_id": token, "condition_id": "0xa1", "outcome": "Yes",
            "epoch": shown.epoch, "sequence": shown.sequence, "cause": cause, "state": "live",
            "reason": null, "verified": true, "hash": null, "tick_size": "0.01",
            "depth": self.depth(), "ts_event_ms": 1, "ts_recv_us": 1_000,
            "bids": levels(Side::Bid), "asks": levels(Side::Ask),
        })
    }

    fn trade(&mut self, token: &'static str) {
        let sequence = self.trades.get_mut(token).expect("ours");
        *sequence += 1;
        let sequence = *sequence;
        self.share(json!({
            "type": "trade", "token_id": token, "condition_id": "0xa1",
            "trade_sequence": sequence, "price": "0.5", "size": "1", "aggressor_side": "BUY",
            "ts_event_ms": 1, "ts_recv_us": 1_000,
        }));
    }

    fn state(&mut self, token: &'static str) {
        let truth = &self.tokens[token];
        self.share(json!({
            "type": "state", "token_id": token, "state": "stale", "reason": "hash", "since_ms": 1,
            "epoch": truth.epoch, "sequence": truth.sequence, "verified": false, "winner": null,
        }));
    }

    /// The book begins a new epoch, with other levels.
    fn epoch(&mut self, token: &'static str) {
        self.set_level(token);
        self.tokens.get_mut(token).expect("ours").epoch += 1;
        self.share(gap(Some(token), "disconnected"));
        self.share(self.snapshot(token, "epoch"));
    }

    /// The client was slow: messages are left out, and that is said.
    fn slow(&mut self) {
        let before = self.shared.len();
        let kept = self.sent.len();
        for _ in 0..3 {
            let token = self.token();
            self.delta(token);
            self.trade(token);
        }
        self.sent.truncate(kept);
        self.sent.push(gap(None, "slow"));
        if self.random.u8(0..3) == 0 {
            // The connection was lost before the snapshots came.
            let from = self.random.usize(0..=before);
            self.resume(from);
            return;
        }
        for token in TOKENS {
            let snapshot = self.snapshot(token, "gap");
            self.sent.push(snapshot);
        }
    }

    /// The connection is lost, and resumed from a cursor some messages ago.
    fn resume(&mut self, from: usize) {
        self.sent.push(json!({
            "type": "closing", "code": 1001, "reason": "the server is stopping", "retry_ms": 1,
        }));
        self.sent.extend_from_slice(&self.shared[from..]);
        self.sent.push(ready());
    }

    fn share(&mut self, message: Value) {
        self.shared.push(message.clone());
        self.sent.push(message);
    }
}

fn ready() -> Value {
    json!({"type": "ready", "id": 1, "cursor": null})
}

fn gap(token: Option<&str>, reason: &str) -> Value {
    json!({
        "type": "gap", "scope": if token.is_some() { "token" } else { "connection" },
        "id": null, "token_id": token, "reason": reason, "owner": "network", "epoch": null,
        "after_sequence": null, "before_sequence": null, "missing": null, "from_us": null,
        "to_us": null, "next": "snapshot",
    })
}
