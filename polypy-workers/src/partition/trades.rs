//! The trades of each token: the newest few, numbered, each once.
//!
//! Beside the slots and not in them: nothing of a book depends on them, and few tokens
//! trade. (What a hash was made with is the market's last price, which the venue
//! changes before it announces the trade; that is the hash check's alone.)
//!
//! A trade has no name: two of one moment may have the same price, size and transaction.
//! So what several feeds bring is counted: a print is another trade if its feed has
//! brought as many of the same as there are.

use std::collections::{HashMap, VecDeque};
use std::mem::size_of;

use polypy_core::metrics::count;
use polypy_core::{AssetKey, FeedId, LastTrade, Timestamp, Trade, TradeKept};

use crate::book::{Origin, is_shortly_before};
use crate::compact_instant::CompactInstant;

/// Feeds that are remembered to have brought a trade: a token is on two connections.
const FEEDS: usize = 2;

/// Bounded by the slots, one entry at most for each, and by the trades kept of each.
#[derive(Debug)]
pub(super) struct Trades {
    tokens: HashMap<AssetKey, Tape>,
    /// How many are kept of each token.
    most: usize,
    /// How many are kept of all.
    kept: usize,
}

/// One token's.
#[derive(Debug)]
struct Tape {
    /// The one with the latest time, in whatever order they come.
    last: LastTrade,
    /// How many were kept so far.
    sequence: u64,
    /// The newest of them, in the order in which they came.
    kept: VecDeque<Kept>,
    /// The latest time of those before: what is as old may be one of them.
    forgotten_until: Option<Timestamp>,
}

#[derive(Debug)]
struct Kept {
    trade: LastTrade,
    print: u64,
    received: CompactInstant,
    brought_by: [Option<FeedId>; FEEDS],
}

/// What an announcement was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Noted {
    /// Whether the token's last trade is another one with it.
    pub(super) is_last: bool,
    pub(super) what: Announced,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Announced {
    /// A trade that nobody had announced.
    New(TradeKept),
    /// One that is kept already, or may have been.
    Repeated,
    /// None is kept.
    NotKept,
}

impl Kept {
    /// Whether the feed brings this one again, or for the first time after another.
    fn take(&mut self, feed: FeedId) -> bool {
        if self.brought_by.contains(&Some(feed)) {
            return false;
        }
        // A third feed is not remembered: it may bring too few, and none twice.
        if let Some(free) = self.brought_by.iter_mut().find(|known| known.is_none()) {
            *free = Some(feed);
        }
        true
    }
}

impl Tape {
    fn new(first: LastTrade) -> Self {
        Self {
            last: first,
            sequence: 0,
            kept: VecDeque::new(),
            forgotten_until: None,
        }
    }

    /// Whether a trade of this time may be one of those that are kept no longer. What is
    /// much older is none: the venue's clock was set back.
    fn may_be_forgotten(&self, at: Timestamp) -> bool {
        self.forgotten_until
            .is_some_and(|until| at == until || is_shortly_before(at, until))
    }
}

impl Trades {
    /// Keeps the newest `most` trades of each token.
    pub(super) fn new(most: usize) -> Self {
        Self {
            tokens: HashMap::new(),
            most,
            kept: 0,
        }
    }

    /// A trade was announced.
    pub(super) fn note(&mut self, trade: &Trade, origin: Origin) -> Noted {
        let announced = LastTrade {
            timestamp: trade.timestamp,
            price: trade.price,
            size: trade.size,
            side: trade.side,
        };
        let mut is_last = false;
        let tape = self.tokens.entry(trade.asset).or_insert_with(|| {
            is_last = true;
            Tape::new(announced)
        });
        if tape.last.timestamp <= announced.timestamp {
            is_last |= tape.last != announced;
            tape.last = announced;
        }
        let noted = |what| Noted { is_last, what };
        if self.most == 0 {
            return noted(Announced::NotKept);
        }
        let mut same = tape
            .kept
            .iter_mut()
            .filter(|kept| kept.trade == announced && kept.print == trade.print);
        if same.any(|kept| kept.take(origin.feed)) || tape.may_be_forgotten(announced.timestamp) {
            return noted(Announced::Repeated);
        }
        if tape.kept.len() == self.most
            && let Some(oldest) = tape.kept.pop_front()
        {
            self.kept -= 1;
            tape.forgotten_until = tape.forgotten_until.max(Some(oldest.trade.timestamp));
        }
        let mut brought_by = [None; FEEDS];
        brought_by[0] = Some(origin.feed);
        tape.kept.push_back(Kept {
            trade: announced,
            print: trade.print,
            received: origin.received,
            brought_by,
        });
        self.kept += 1;
        tape.sequence += 1;
        noted(Announced::New(TradeKept {
            asset: trade.asset,
            sequence: tape.sequence,
            trade: announced,
            received: origin.received.into(),
        }))
    }

    /// The last trade of a token.
    pub(super) fn last(&self, asset: AssetKey) -> Option<LastTrade> {
        self.tokens.get(&asset).map(|tape| tape.last)
    }

    /// The newest trades of a token, the newest first, and how many were kept so far.
    pub(super) fn newest(&self, asset: AssetKey, limit: usize) -> (u64, Vec<TradeKept>) {
        let Some(tape) = self.tokens.get(&asset) else {
            return (0, Vec::new());
        };
        let numbered = tape.kept.iter().rev().zip(0..);
        let trades = numbered.take(limit).map(|(kept, newer)| TradeKept {
            asset,
            sequence: tape.sequence - newer,
            trade: kept.trade,
            received: kept.received.into(),
        });
        (tape.sequence, trades.collect())
    }

    pub(super) fn forget(&mut self, asset: AssetKey) {
        if let Some(tape) = self.tokens.remove(&asset) {
            self.kept -= tape.kept.len();
        }
    }

    /// Bytes they take, but for what is allocated ahead.
    pub(super) fn bytes(&self) -> u64 {
        let tapes = self.tokens.len() * (size_of::<AssetKey>() + size_of::<Tape>());
        count(tapes + self.kept * size_of::<Kept>())
    }
}

#[cfg(test)]
#[path = "trades_tests.rs"]
mod tests;
