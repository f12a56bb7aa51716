//! A recording of our own making, in the shapes that real ones have.
//!
//! One market, both tokens, the second one the mirror of the first. It holds
//! what recordings of the venue show and simple flows do not: changes older
//! than the opening book, changes that the opening book already has, several
//! frames that make one state, several states in one millisecond, hashes that
//! know a trade before it is announced or without its ever being, books in the
//! middle of the stream, and frames that come twice. Every hash is the one the
//! venue would give.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::replay::{Decimal, PlainBook, hash};

/// Ids of the market and of its tokens.
const MARKET: &str = "0x00000000000000000000000000000000000000000000000000000000000000c5";
const TOKENS: [&str; 2] = ["1000000000000000000051", "1000000000000000000052"];
/// When the opening books were of.
const OPENING: u64 = 1_795_000_000_000;

/// What the recording holds, counted while it was made.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    /// States of either token.
    pub states: usize,
    /// Changes older than the opening books.
    pub stale: usize,
    /// Whole books of a state that changes had led to.
    pub repeated_books: usize,
    /// Changes of a state that was complete.
    pub repeated_changes: usize,
    /// Trades that hashes knew and no event had told.
    pub unannounced: usize,
}

/// A level of the first token, in cents: `(is a bid, price, size)`; `"0"`
/// removes it.
type Change = (bool, u64, &'static str);

/// The recording's lines, and what they hold.
pub fn recording() -> (String, Contents) {
    let mut venue = Venue::opened();
    venue.opening();
    venue.late_deltas();
    venue.plain(100, &[(true, 45, "120"), (false, 49, "80.5")]);
    venue.two_states_in_a_millisecond(200);
    venue.a_batch_of_four_frames(300);
    venue.a_trade_announced_later(400);
    venue.plain(500, &[(true, 44, "31")]);
    venue.a_trade_never_announced(600);
    venue.plain(700, &[(false, 51, "0"), (true, 40, "7.25")]);
    venue.the_last_frame_again();
    venue.plain(800, &[(true, 41, "1000000.01")]);
    (venue.lines, venue.contents)
}

/// The market as the venue keeps it.
struct Venue {
    bids: BTreeMap<u64, &'static str>,
    asks: BTreeMap<u64, &'static str>,
    price: &'static str,
    stamp: u64,
    lines: String,
    last: Value,
    contents: Contents,
}

impl Venue {
    fn opened() -> Self {
        Self {
            bids: (30..48).map(|cent| (cent, "100")).collect(),
            asks: (48..70).map(|cent| (cent, "55.5")).collect(),
            price: "0.480",
            stamp: OPENING,
            lines: String::new(),
            last: Value::Null,
            contents: Contents::default(),
        }
    }

    /// A token's levels: the second one's bids are the first one's asks.
    fn book(&self, token: usize) -> PlainBook {
        let own = |side: &BTreeMap<u64, &str>| {
            let levels = side.iter();
            levels
                .map(|(cent, size)| (decimal(*cent), (*size).to_owned()))
                .collect()
        };
        let mirrored = |side: &BTreeMap<u64, &str>| {
            let levels = side.iter();
            levels
                .map(|(cent, size)| (decimal(100 - cent), (*size).to_owned()))
                .collect()
        };
        if token == 0 {
            PlainBook {
                bids: own(&self.bids),
                asks: own(&self.asks),
            }
        } else {
            PlainBook {
                bids: mirrored(&self.asks),
                asks: mirrored(&self.bids),
            }
        }
    }

    fn hash(&self, token: usize) -> String {
        let stamp = self.stamp.to_string();
        hash(MARKET, TOKENS[token], &stamp, &self.book(token), self.price)
    }

    fn apply(&mut self, (is_bid, cent, size): Change) {
        let side = if is_bid {
            &mut self.bids
        } else {
            &mut self.asks
        };
        if size == "0" {
            side.remove(&cent);
        } else {
            side.insert(cent, size);
        }
    }

    /// The entries that tell both tokens of a change, as the venue is now.
    fn entries(&self, (is_bid, cent, size): Change) -> [Value; 2] {
        [0, 1].map(|token| {
            let own = token == 0;
            let book = self.book(token);
            let best = |level: Option<&Decimal>| level.map_or("", Decimal::as_str).to_owned();
            json!({
                "asset_id": TOKENS[token],
                "price": decimal(if own { cent } else { 100 - cent }).as_str(),
                "size": size,
                "side": if is_bid == own { "BUY" } else { "SELL" },
                "hash": self.hash(token),
                "best_bid": best(book.bids.keys().next_back()),
                "best_ask": best(book.asks.keys().next()),
            })
        })
    }

    fn frame(&self, stamp: u64, changes: &[Change]) -> Value {
        let entries: Vec<Value> = changes
            .iter()
            .flat_map(|change| self.entries(*change))
            .collect();
        json!({
            "market": MARKET,
            "price_changes": entries,
            "timestamp": stamp.to_string(),
            "event_type": "price_change",
        })
    }

    fn send(&mut self, frame: Value) {
        self.lines.push_str(&frame.to_string());
        self.lines.push('\n');
        self.last = frame;
    }

    fn whole(&self, token: usize) -> Value {
        let book = self.book(token);
        let level =
            |(price, size): (&Decimal, &String)| json!({"price": price.as_str(), "size": size});
        json!({
            "market": MARKET,
            "asset_id": TOKENS[token],
            "timestamp": self.stamp.to_string(),
            "hash": self.hash(token),
            "bids": book.bids.iter().map(level).collect::<Value>(),
            "asks": book.asks.iter().rev().map(level).collect::<Value>(),
            "event_type": "book",
        })
    }

    fn opening(&mut self) {
        let books = [0, 1].map(|token| {
            let mut book = self.whole(token);
            book["tick_size"] = "0.01".into();
            book["last_trade_price"] = self.price.into();
            book
        });
        self.send(books.into_iter().collect());
        self.contents.states += 2;
    }

    /// Two that are 2 and 1 ms older than the opening books, whose sizes the
    /// books have moved on from, and one that the books already hold.
    fn late_deltas(&mut self) {
        for (age, size) in [(2, "999"), (1, "998")] {
            let mut earlier = Self {
                bids: self.bids.clone(),
                asks: self.asks.clone(),
                lines: String::new(),
                last: Value::Null,
                stamp: OPENING - age,
                ..*self
            };
            earlier.apply((true, 47, size));
            let frame = earlier.frame(earlier.stamp, &[(true, 47, size)]);
            self.send(frame);
            self.contents.stale += 2;
        }
        let frame = self.frame(OPENING, &[(true, 47, "100")]);
        self.send(frame);
        self.contents.repeated_changes += 2;
    }

    /// One frame, one state.
    fn plain(&mut self, after: u64, changes: &[Change]) {
        self.stamp = OPENING + after;
        for change in changes {
            self.apply(*change);
        }
        let frame = self.frame(self.stamp, changes);
        self.send(frame);
        self.contents.states += 2;
    }

    /// Two frames with the same time stamp and a hash each.
    fn two_states_in_a_millisecond(&mut self, after: u64) {
        self.plain(after, &[(true, 46, "12")]);
        self.plain(after, &[(true, 46, "0")]);
    }

    /// Each level in a frame of its own, all with the hash after the last.
    fn a_batch_of_four_frames(&mut self, after: u64) {
        let changes = [
            (false, 55, "1"),
            (true, 35, "0"),
            (false, 56, "2"),
            (true, 34, "3.5"),
        ];
        self.stamp = OPENING + after;
        for change in changes {
            self.apply(change);
        }
        for change in changes {
            let frame = self.frame(self.stamp, &[change]);
            self.send(frame);
        }
        self.contents.states += 2;
    }

    /// A trade through several levels: the change and the books after it are
    /// hashed with its price, which is announced 71 ms later.
    fn a_trade_announced_later(&mut self, after: u64) {
        self.price = "0.520";
        self.plain(after, &[(false, 48, "0"), (false, 49, "3")]);
        for token in [0, 1] {
            let book = self.whole(token);
            self.send(book);
            self.contents.repeated_books += 1;
        }
        self.contents.unannounced += 1;
        let announced = json!({
            "market": MARKET,
            "asset_id": TOKENS[0],
            "price": "0.52",
            "size": "133.333333",
            "fee_rate_bps": "0",
            "side": "BUY",
            "timestamp": (self.stamp + 71).to_string(),
            "event_type": "last_trade_price",
            "transaction_hash": "0x0000000000000000000000000000000000000000000000000000000000000001",
        });
        self.send(announced);
    }

    /// At a price far from the top, so that nothing but trying them all finds it.
    fn a_trade_never_announced(&mut self, after: u64) {
        self.price = "0.137";
        self.plain(after, &[(true, 47, "8")]);
        self.contents.unannounced += 1;
    }

    /// The last frame once more, its entries reversed.
    fn the_last_frame_again(&mut self) {
        let mut copy = self.last.clone();
        if let Some(entries) = copy["price_changes"].as_array_mut() {
            entries.reverse();
            self.contents.repeated_changes += entries.len();
        }
        self.send(copy);
    }
}

/// Cents as the venue writes a price: without trailing zeros.
fn decimal(cents: u64) -> Decimal {
    let text = format!("0.{cents:02}");
    Decimal::new(text.trim_end_matches('0'))
}
