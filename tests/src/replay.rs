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

/// What a replay came to.
#[derive(Debug, Default)]
pub struct Replay {
    /// The final book of every token that had one.
    pub books: HashMap<String, PlainBook>,
    /// Hashes (of books and of changes to known books) that were reproduced.
    pub verified: usize,
    /// Hashes that were not.
    pub unverified: Vec<String>,
    /// Changes for tokens of which no book was recorded.
    pub without_book: usize,
}

#[derive(Debug, Default, Clone)]
struct Known {
    market: String,
    last_trade_price: String,
    tick_size: Option<String>,
    since: u64,
}

/// Replays one recording.
pub fn replay(lines: &str) -> Replay {
    let mut replay = Replay::default();
    let mut known: HashMap<String, Known> = HashMap::new();
    for line in lines.lines().filter(|line| !line.trim().is_empty()) {
        let frame: Value = serde_json::from_str(line).expect("a recorded frame");
        let events = match frame {
            Value::Array(events) => events,
            event => vec![event],
        };
        for event in &events {
            if event.get("price_changes").is_some() {
                replay.changes(event, &known);
            } else if event.get("bids").is_some() {
                replay.book(event, &mut known);
            }
        }
    }
    replay
}

impl Replay {
    fn book(&mut self, event: &Value, known: &mut HashMap<String, Known>) {
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
        let known = known.entry(asset.clone()).or_default();
        known.market = text(&event["market"]);
        known.since = text(&event["timestamp"]).parse().expect("a timestamp");
        if let Some(price) = event.get("last_trade_price") {
            known.last_trade_price = text(price);
        }
        if let Some(tick) = event.get("tick_size") {
            known.tick_size = Some(text(tick));
        }
        self.check(
            &asset,
            known,
            &text(&event["timestamp"]),
            &text(&event["hash"]),
            &book,
        );
        self.books.insert(asset, book);
    }

    fn changes(&mut self, event: &Value, known: &HashMap<String, Known>) {
        let stamp = text(&event["timestamp"]);
        let moment: u64 = stamp.parse().expect("a timestamp");
        let entries = event["price_changes"].as_array().expect("entries");
        for (at, entry) in entries.iter().enumerate() {
            let asset = text(&entry["asset_id"]);
            let (Some(book), Some(known)) = (self.books.get_mut(&asset), known.get(&asset)) else {
                self.without_book += 1;
                continue;
            };
            if moment < known.since {
                continue;
            }
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
                let book = book.clone();
                self.check(&asset, known, &stamp, &text(&entry["hash"]), &book);
            }
        }
    }

    fn check(&mut self, asset: &str, known: &Known, stamp: &str, hash: &str, book: &PlainBook) {
        if reproduces(asset, known, stamp, hash, book) {
            self.verified += 1;
        } else {
            self.unverified.push(format!("{asset} at {stamp}: {hash}"));
        }
    }
}

/// Whether any of the venue's recipes, with any attribute a recording leaves
/// open, gives `hash`.
fn reproduces(asset: &str, known: &Known, stamp: &str, hash: &str, book: &PlainBook) -> bool {
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
    let head = format!(
        "{{\"market\":\"{}\",\"asset_id\":\"{asset}\",\"timestamp\":\"{stamp}\",\"hash\":\"\",\
         \"bids\":[{bids}],\"asks\":[{asks}]",
        known.market
    );
    let ticks = match &known.tick_size {
        Some(tick) => vec![tick.clone()],
        None => ["0.1", "0.01", "0.005", "0.0025", "0.001", "0.0001"]
            .map(String::from)
            .to_vec(),
    };
    for tick in &ticks {
        for minimum in ["5", "15", "1", "10"] {
            for neg_risk in [false, true] {
                let body = format!(
                    "{head},\"min_order_size\":\"{minimum}\",\"tick_size\":\"{tick}\",\
                     \"neg_risk\":{neg_risk}"
                );
                let with =
                    |price: &str| sha1(&format!("{body},\"last_trade_price\":\"{price}\"}}"));
                if sha1(&format!("{body}}}")) == hash || with(&known.last_trade_price) == hash {
                    return true;
                }
                let mut prices = (0..=1_000).map(|p| format!("{}.{:03}", p / 1_000, p % 1_000));
                if prices.any(|price| with(&price) == hash) {
                    return true;
                }
            }
        }
    }
    sha1(&format!("{head}}}")) == hash
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
