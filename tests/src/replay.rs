//! A second opinion: replays recorded frames without a line of the product.
//!
//! Books are maps from a decimal string to a decimal string, frames are generic
//! JSON values, the hash is SHA-1 over text put together here. Slow and plain on
//! purpose: what the program holds after the same frames is compared with this.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use sha1::{Digest, Sha1};

/// One token's levels: price text to size text, as received.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlainBook {
    /// Bid levels.
    pub bids: BTreeMap<Decimal, String>,
    /// Ask levels.
    pub asks: BTreeMap<Decimal, String>,
}

/// A decimal text that sorts by value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    millionths: u64,
    text: String,
}

impl Decimal {
    /// From decimal text.
    pub fn new(text: &str) -> Self {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = format!("{whole}{fraction:0<6}");
        Self {
            millionths: digits.parse().expect("a recorded price"),
            text: text.to_owned(),
        }
    }

    /// The text as received.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.millionths.cmp(&other.millionths)
    }
}

/// What a replay came to. A *state* is what consecutive frames with one time
/// stamp and one hash lead to: only after the last of them can the hash hold.
#[derive(Debug, Default)]
pub struct Replay {
    /// The final book of every token that had one.
    pub books: HashMap<String, PlainBook>,
    /// States whose hash was reproduced.
    pub verified: usize,
    /// States whose hash was not.
    pub unverified: Vec<String>,
    /// Hashes stated, of books and of frames of changes to known books: as many
    /// as the states or more.
    pub stated: usize,
    /// Whole books that show a state that was complete already.
    pub repeated_books: usize,
    /// Changes that belong to a state that was complete already.
    pub repeated_changes: usize,
    /// Changes older than their book's snapshot, left out.
    pub stale: usize,
    /// Times a market's hashes went over to a last trade price that no event
    /// had told by then.
    pub unannounced: usize,
    /// Changes for tokens of which no book was recorded.
    pub without_book: usize,
}

#[derive(Debug, Default, Clone)]
struct Known {
    market: String,
    tick_size: Option<String>,
    since: u64,
    state: Option<State>,
}

/// The state a token is in, or coming to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    stamp: String,
    hash: String,
    complete: bool,
}

#[derive(Debug, Default)]
struct Replaying {
    replay: Replay,
    known: HashMap<String, Known>,
    /// Each market's last trade price, as far as it has been told or found.
    prices: HashMap<String, String>,
}

/// Replays one recording.
pub fn replay(lines: &str) -> Replay {
    let mut replaying = Replaying::default();
    for line in lines.lines().filter(|line| !line.trim().is_empty()) {
        let frame: Value = serde_json::from_str(line).expect("a recorded frame");
        let events = match frame {
            Value::Array(events) => events,
            event => vec![event],
        };
        for event in &events {
            if event.get("price_changes").is_some() {
                replaying.changes(event);
            } else if event.get("bids").is_some() {
                replaying.book(event);
            } else if event["event_type"] == "last_trade_price" {
                let price = Decimal::new(&text(&event["price"]));
                let thousandths = price.millionths / 1_000;
                replaying
                    .prices
                    .insert(text(&event["market"]), three_decimals(thousandths));
            }
        }
    }
    replaying.end()
}

impl Replaying {
    fn book(&mut self, event: &Value) {
        let asset = text(&event["asset_id"]);
        let side = |name: &str| {
            event[name]
                .as_array()
                .expect("levels")
                .iter()
                .map(|level| (Decimal::new(&text(&level["price"])), text(&level["size"])))
                .collect()
        };
        let book = PlainBook {
            bids: side("bids"),
            asks: side("asks"),
        };
        let known = self.known.entry(asset.clone()).or_default();
        known.market = text(&event["market"]);
        known.since = text(&event["timestamp"]).parse().expect("a timestamp");
        if let Some(tick) = event.get("tick_size") {
            known.tick_size = Some(text(tick));
        }
        if let Some(price) = event.get("last_trade_price") {
            self.prices.insert(known.market.clone(), text(price));
        }
        self.replay.books.insert(asset.clone(), book);
        let stamp = text(&event["timestamp"]);
        self.replay.repeated_books += usize::from(self.is_complete(&asset, &stamp, event));
        self.comes_to(&asset, &stamp, event);
    }

    fn changes(&mut self, event: &Value) {
        let stamp = text(&event["timestamp"]);
        let moment: u64 = stamp.parse().expect("a timestamp");
        let entries = event["price_changes"].as_array().expect("entries");
        for (at, entry) in entries.iter().enumerate() {
            let asset = text(&entry["asset_id"]);
            let Some(known) = self.known.get(&asset) else {
                self.replay.without_book += 1;
                continue;
            };
            if moment < known.since {
                self.replay.stale += 1;
                continue;
            }
            self.replay.repeated_changes += usize::from(self.is_complete(&asset, &stamp, entry));
            let book = self.replay.books.entry(asset.clone()).or_default();
            let levels = if entry["side"] == "BUY" {
                &mut book.bids
            } else {
                &mut book.asks
            };
            let price = Decimal::new(&text(&entry["price"]));
            if text(&entry["size"]) == "0" {
                levels.remove(&price);
            } else {
                levels.insert(price, text(&entry["size"]));
            }
            let last = !entries[at + 1..]
                .iter()
                .any(|later| text(&later["asset_id"]) == asset);
            if last {
                self.comes_to(&asset, &stamp, entry);
            }
        }
    }

    /// Whether a token is already in the state that `event` states.
    fn is_complete(&self, asset: &str, stamp: &str, event: &Value) -> bool {
        let state = self.known.get(asset).and_then(|known| known.state.as_ref());
        state.is_some_and(|state| {
            state.complete && state.stamp == stamp && state.hash == text(&event["hash"])
        })
    }

    /// The last of a frame about a token has been applied.
    fn comes_to(&mut self, asset: &str, stamp: &str, event: &Value) {
        self.replay.stated += 1;
        let (Some(known), Some(book)) = (self.known.get_mut(asset), self.replay.books.get(asset))
        else {
            return;
        };
        let hash = text(&event["hash"]);
        let told = self.prices.get(&known.market).cloned().unwrap_or_default();
        let found = reproduces(asset, known, &told, stamp, &hash, book);
        let now = State {
            stamp: stamp.to_owned(),
            hash,
            complete: found.is_some(),
        };
        if let Some(price) = found.filter(|price| *price != told) {
            self.replay.unannounced += 1;
            self.prices.insert(known.market.clone(), price);
        }
        let same = known
            .state
            .as_ref()
            .is_some_and(|state| (&state.stamp, &state.hash) == (&now.stamp, &now.hash));
        let before = known.state.replace(now);
        if let Some(before) = before.filter(|_| !same) {
            self.replay.count(asset, &before);
        }
    }

    fn end(self) -> Replay {
        let mut replay = self.replay;
        for (asset, known) in &self.known {
            if let Some(state) = &known.state {
                replay.count(asset, state);
            }
        }
        replay
    }
}

impl Replay {
    /// The venue has moved on from a state.
    fn count(&mut self, asset: &str, state: &State) {
        if state.complete {
            self.verified += 1;
        } else {
            let State { stamp, hash, .. } = state;
            self.unverified.push(format!("{asset} at {stamp}: {hash}"));
        }
    }
}

/// The last trade price with which any of the venue's recipes, with any attribute
/// that a recording leaves open, gives `hash`; the one `told` is tried first, and
/// returned where the recipe has none.
fn reproduces(
    asset: &str,
    known: &Known,
    told: &str,
    stamp: &str,
    hash: &str,
    book: &PlainBook,
) -> Option<String> {
    let head = head(&known.market, asset, stamp, book);
    let ticks = match &known.tick_size {
        Some(tick) => vec![tick.clone()],
        None => ["0.1", "0.01", "0.005", "0.0025", "0.001", "0.0001"]
            .map(String::from)
            .to_vec(),
    };
    if sha1(&format!("{head}}}")) == hash {
        return Some(told.to_owned());
    }
    let mut bodies = Vec::new();
    for tick in &ticks {
        for minimum in ["5", "15", "1", "10"] {
            for neg_risk in [false, true] {
                let body = format!(
                    "{head},\"min_order_size\":\"{minimum}\",\"tick_size\":\"{tick}\",\
                     \"neg_risk\":{neg_risk}"
                );
                if sha1(&format!("{body}}}")) == hash || with_price(&body, told) == hash {
                    return Some(told.to_owned());
                }
                bodies.push(body);
            }
        }
    }
    let mut prices = (0..=1_000).map(three_decimals);
    prices.find(|price| bodies.iter().any(|body| with_price(body, price) == hash))
}

/// The hashed text up to the levels.
fn head(market: &str, asset: &str, stamp: &str, book: &PlainBook) -> String {
    let level = |(price, size): (&Decimal, &String)| {
        format!("{{\"price\":\"{}\",\"size\":\"{size}\"}}", price.as_str())
    };
    let bids = book.bids.iter().map(level).collect::<Vec<_>>().join(",");
    let asks = book
        .asks
        .iter()
        .rev()
        .map(level)
        .collect::<Vec<_>>()
        .join(",");
    format!(
        "{{\"market\":\"{market}\",\"asset_id\":\"{asset}\",\"timestamp\":\"{stamp}\",\"hash\":\"\",\
         \"bids\":[{bids}],\"asks\":[{asks}]"
    )
}

/// The hash that the venue gives a book of a market with a grid of 0.01 and
/// orders of at least 5.
pub fn hash(market: &str, asset: &str, stamp: &str, book: &PlainBook, price: &str) -> String {
    let head = head(market, asset, stamp, book);
    let body = format!("{head},\"min_order_size\":\"5\",\"tick_size\":\"0.01\",\"neg_risk\":false");
    with_price(&body, price)
}

fn with_price(body: &str, price: &str) -> String {
    sha1(&format!("{body},\"last_trade_price\":\"{price}\"}}"))
}

fn three_decimals(thousandths: u64) -> String {
    format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000)
}

fn sha1(text: &str) -> String {
    Sha1::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A JSON string's text or a JSON number's digits.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
