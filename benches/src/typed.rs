//! The way a careful client commonly goes: `serde_json` into structs of
//! `String`s, and a `BTreeMap` a side, found by the id's text.
//!
//! Numbers are integers, parsed by our own parser; nothing is checked.

use std::collections::{BTreeMap, HashMap};

use polypy_core::{Price, Size};
use serde::Deserialize;

use crate::checksum::Checksum;

/// An event as structs of strings, whatever its type.
#[derive(Debug, Deserialize)]
pub struct Event {
    /// The market.
    pub market: String,
    /// Exchange time in milliseconds.
    pub timestamp: String,
    /// `book` or `price_change`.
    pub event_type: String,
    /// Of a `price_change`.
    #[serde(default, rename = "price_changes")]
    pub entries: Vec<Entry>,
    /// Of a `book`.
    pub asset_id: Option<String>,
    /// Of a `book`.
    pub hash: Option<String>,
    /// Of a `book`.
    #[serde(default)]
    pub bids: Vec<Level>,
    /// Of a `book`.
    #[serde(default)]
    pub asks: Vec<Level>,
    /// Of an opening `book`.
    pub tick_size: Option<String>,
    /// Of an opening `book`.
    pub last_trade_price: Option<String>,
}

/// One level's change.
#[derive(Debug, Deserialize)]
pub struct Entry {
    /// The token.
    pub asset_id: String,
    /// Decimal text.
    pub price: String,
    /// Decimal text.
    pub size: String,
    /// `BUY` or `SELL`.
    pub side: String,
    /// Of the token's book.
    pub hash: Option<String>,
    /// Decimal text.
    pub best_bid: Option<String>,
    /// Decimal text.
    pub best_ask: Option<String>,
}

/// A level of a whole book.
#[derive(Debug, Deserialize)]
pub struct Level {
    /// Decimal text.
    pub price: String,
    /// Decimal text.
    pub size: String,
}

impl Event {
    /// A frame's events.
    pub fn of(frame: &[u8]) -> Vec<Self> {
        match frame.first() {
            Some(b'[') => serde_json::from_slice(frame).expect("is JSON"),
            _ => vec![serde_json::from_slice(frame).expect("is JSON")],
        }
    }

    /// Changes or levels.
    pub fn weight(&self) -> usize {
        self.entries.len() + self.bids.len() + self.asks.len()
    }
}

type Levels = BTreeMap<Price, Size>;

/// Books by their ids' text.
#[derive(Debug, Default)]
pub struct Books {
    by_id: HashMap<String, (Levels, Levels)>,
}

impl Books {
    /// Decodes a frame and applies it. Says how many changes or levels that was.
    pub fn apply(&mut self, frame: &[u8]) -> usize {
        let events = Event::of(frame);
        let weight = events.iter().map(Event::weight).sum();
        for event in events {
            for entry in &event.entries {
                if let Some((bids, asks)) = self.by_id.get_mut(&entry.asset_id) {
                    let levels = if entry.side == "BUY" { bids } else { asks };
                    set(levels, &entry.price, &entry.size);
                }
            }
            if let Some(id) = event.asset_id {
                let book = self.by_id.entry(id).or_default();
                for (side, levels) in [(&mut book.0, event.bids), (&mut book.1, event.asks)] {
                    side.clear();
                    for level in levels {
                        set(side, &level.price, &level.size);
                    }
                }
            }
        }
        weight
    }

    /// Of all books.
    pub fn checksum(&self) -> Checksum {
        let units = |(price, size): (&Price, &Size)| (price.millionths().into(), size.millionths());
        let mut sum = Checksum::default();
        for (id, (bids, asks)) in &self.by_id {
            sum.add_book(id, bids.iter().map(units), asks.iter().map(units));
        }
        sum
    }
}

fn set(levels: &mut Levels, price: &str, size: &str) {
    let price = price.parse().expect("is a price");
    match size.parse().expect("is a size") {
        Size::ZERO => levels.remove(&price),
        size => levels.insert(price, size),
    };
}
