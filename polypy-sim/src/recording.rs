//! A recording: frames as they were received, read from a file of JSON lines.
//!
//! Each line is a frame (object or array), or `{"t_ms":..,"frame":..}` with its
//! time of reception; a `frame` that is a string is the frame's text itself.
//! Frames keep their bytes. Everything else here is what the rest of the
//! exchange needs to know of them: which assets they concern, what they do to a
//! book, when they are due. What cannot be read in a frame plays no part in
//! that; the frame is played all the same.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use polypy_core::{
    AssetId, BookHash, ConditionId, DecimalText, Level, Price, Side, Size, Timestamp,
};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::SimError;
use crate::publication::hashed_price;

/// Where a token stands in [`Recording::markets`]: market, token.
pub(crate) type Place = (usize, usize);

/// What is played, and of which markets.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) lines: Vec<Line>,
    pub(crate) markets: Vec<RecordedMarket>,
    /// The earliest time stamp of the events.
    pub(crate) start: Timestamp,
}

/// One frame.
#[derive(Debug)]
pub(crate) struct Line {
    /// Time since the first frame.
    pub(crate) at: Duration,
    pub(crate) text: String,
    /// Whom it concerns; nobody in particular when empty.
    pub(crate) markets: Vec<usize>,
    pub(crate) places: Vec<Place>,
    pub(crate) effects: Vec<Effect>,
}

/// What a frame does to a book.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    Book(Place, Box<RecordedBook>),
    Change {
        place: Place,
        side: Side,
        price: Price,
        size: Size,
        stamp: Timestamp,
        hash: Option<BookHash>,
    },
    LastPrice(usize, DecimalText),
    Tick(usize, DecimalText),
    Resolved(usize, usize),
}

/// A whole book as a frame holds it.
#[derive(Debug, Clone)]
pub(crate) struct RecordedBook {
    pub(crate) bids: Vec<Level>,
    pub(crate) asks: Vec<Level>,
    pub(crate) stamp: Timestamp,
    pub(crate) hash: Option<BookHash>,
    pub(crate) tick_size: Option<DecimalText>,
    pub(crate) last_trade_price: Option<DecimalText>,
    pub(crate) min_order_size: Option<DecimalText>,
    pub(crate) neg_risk: Option<bool>,
    pub(crate) version: Option<String>,
    /// Present when the frame was a REST answer: its text.
    pub(crate) rest: Option<String>,
}

/// A market of the recording.
#[derive(Debug)]
pub(crate) struct RecordedMarket {
    pub(crate) condition_id: ConditionId,
    /// Those of which the recording holds a book; if of none, all that occur.
    pub(crate) tokens: Vec<AssetId>,
    /// The first book with a hash, to infer what the stream does not say.
    pub(crate) first_book: Option<(usize, Box<RecordedBook>)>,
}

#[derive(Deserialize)]
struct Timed<'a> {
    t_ms: f64,
    #[serde(borrow)]
    frame: &'a RawValue,
}

/// A line before its assets are placed.
struct Raw {
    received: Option<f64>,
    text: String,
    events: Vec<Value>,
}

impl Recording {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, SimError> {
        let text = std::fs::read_to_string(path).map_err(|source| SimError::Recording {
            path: path.to_owned(),
            source,
        })?;
        let mut raw = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            raw.push(Raw::parse(line).map_err(|reason| SimError::RecordingLine {
                path: path.to_owned(),
                line: at + 1,
                reason,
            })?);
        }
        Self::build(raw).ok_or_else(|| SimError::EmptyRecording {
            path: path.to_owned(),
        })
    }

    fn build(raw: Vec<Raw>) -> Option<Self> {
        let mut index = Index::of(&raw);
        if index.markets.is_empty() {
            return None;
        }
        let mut clock = Pace::default();
        let lines = raw
            .into_iter()
            .map(|raw| index.line(raw, &mut clock))
            .collect();
        let start = clock.earliest.unwrap_or_default();
        Some(Self {
            lines,
            markets: index.markets,
            start,
        })
    }
}

impl Raw {
    fn parse(line: &str) -> Result<Self, &'static str> {
        if let Ok(timed) = serde_json::from_str::<Timed<'_>>(line) {
            let frame = timed.frame.get();
            return Ok(match serde_json::from_str::<String>(frame) {
                Ok(text) => Self {
                    received: Some(timed.t_ms),
                    events: events(&text),
                    text,
                },
                Err(_) => Self {
                    received: Some(timed.t_ms),
                    ..Self::frame(frame)
                },
            });
        }
        if !line.starts_with(['{', '[']) || serde_json::from_str::<&RawValue>(line).is_err() {
            return Err("neither a frame nor {\"t_ms\":..,\"frame\":..}");
        }
        Ok(Self::frame(line))
    }

    fn frame(text: &str) -> Self {
        // The venue ends opening arrays with a line feed, which lines cannot hold.
        let ending = if text.starts_with('[') { "\n" } else { "" };
        Self {
            received: None,
            events: events(text),
            text: format!("{text}{ending}"),
        }
    }
}

fn events(text: &str) -> Vec<Value> {
    match serde_json::from_str(text) {
        Ok(Value::Array(events)) => events,
        Ok(event @ Value::Object(_)) => vec![event],
        Ok(_) | Err(_) => Vec::new(),
    }
}

/// The assets and markets of a recording, by id.
struct Index {
    markets: Vec<RecordedMarket>,
    by_condition: HashMap<String, usize>,
    by_asset: HashMap<String, Place>,
}

impl Index {
    fn of(raw: &[Raw]) -> Self {
        let mut index = Self {
            markets: Vec::new(),
            by_condition: HashMap::new(),
            by_asset: HashMap::new(),
        };
        // Tokens with a book first; those of the other markets afterwards.
        for event in raw.iter().flat_map(|raw| &raw.events) {
            if event.get("bids").is_some() {
                index.add(event, &event["asset_id"]);
            }
        }
        let booked = index.markets.len();
        for event in raw.iter().flat_map(|raw| &raw.events) {
            let known = event["market"]
                .as_str()
                .and_then(|id| index.by_condition.get(id));
            if known.is_some_and(|&market| market < booked) {
                continue;
            }
            index.add(event, &event["asset_id"]);
            for entry in event["price_changes"].as_array().into_iter().flatten() {
                index.add(event, &entry["asset_id"]);
            }
        }
        if index.markets.is_empty() {
            // Announcements and resolutions name a market's assets all at once.
            for event in raw.iter().flat_map(|raw| &raw.events) {
                for asset_id in event["assets_ids"].as_array().into_iter().flatten() {
                    index.add(event, asset_id);
                }
            }
        }
        index
    }

    fn add(&mut self, event: &Value, asset_id: &Value) {
        let condition = event["market"]
            .as_str()
            .and_then(|id| ConditionId::new(id).ok());
        let asset = asset_id.as_str().and_then(|id| AssetId::new(id).ok());
        let (Some(condition_id), Some(asset)) = (condition, asset) else {
            return;
        };
        if self.by_asset.contains_key(asset.as_str()) {
            return;
        }
        let id = condition_id.to_string();
        let market = *self.by_condition.entry(id).or_insert_with(|| {
            self.markets.push(RecordedMarket {
                condition_id,
                tokens: Vec::new(),
                first_book: None,
            });
            self.markets.len() - 1
        });
        let tokens = &mut self.markets[market].tokens;
        // Subscriptions are bits of 32: more tokens than that no market has.
        if tokens.len() < 32 {
            self.by_asset
                .insert(asset.to_string(), (market, tokens.len()));
            tokens.push(asset);
        }
    }

    fn place(&self, event: &Value) -> Option<Place> {
        self.by_asset.get(event["asset_id"].as_str()?).copied()
    }

    fn line(&mut self, raw: Raw, clock: &mut Pace) -> Line {
        let mut line = Line {
            at: Duration::ZERO,
            markets: Vec::new(),
            places: Vec::new(),
            effects: Vec::new(),
            text: raw.text,
        };
        let mut stamp = None;
        for event in &raw.events {
            let market = event["market"]
                .as_str()
                .and_then(|id| self.by_condition.get(id));
            line.markets.extend(market);
            line.places.extend(self.place(event));
            let entries = event["price_changes"].as_array().into_iter().flatten();
            line.places
                .extend(entries.filter_map(|entry| self.place(entry)));
            self.effects(event, &raw.events, &line.text, &mut line.effects);
            // Opening books bear the stamps of changes long past.
            let opening = raw.events.len() > 1 || event.get("tick_size").is_some();
            if let Some(at) = read_stamp(event) {
                clock.saw(at);
                stamp = if opening { stamp } else { Some(at) };
            }
        }
        line.markets.sort_unstable();
        line.markets.dedup();
        line.places.sort_unstable();
        line.places.dedup();
        line.at = clock.due(raw.received, stamp);
        line
    }

    fn effects(&mut self, event: &Value, all: &[Value], text: &str, effects: &mut Vec<Effect>) {
        let stamp = read_stamp(event).unwrap_or_default();
        let kind = event["event_type"].as_str();
        if let (Some("book") | None, Some(place)) = (kind, self.place(event))
            && let Some(mut book) = read_book(event, stamp)
        {
            if kind.is_none() && all.len() == 1 {
                book.rest = Some(text.trim_end().to_owned());
            }
            let first = &mut self.markets[place.0].first_book;
            if first.is_none() && book.hash.is_some() {
                *first = Some((place.1, Box::new(book.clone())));
            }
            effects.push(Effect::Book(place, Box::new(book)));
            return;
        }
        let market = event["market"]
            .as_str()
            .and_then(|id| self.by_condition.get(id))
            .copied();
        let decimal = |key: &str| {
            event[key]
                .as_str()
                .and_then(|text| DecimalText::new(text).ok())
        };
        match (kind, market) {
            (Some("price_change"), _) => {
                for entry in event["price_changes"].as_array().into_iter().flatten() {
                    effects.extend(self.change(entry, stamp));
                }
            }
            (Some("last_trade_price"), Some(market)) => {
                let price = event["price"].as_str().and_then(|text| text.parse().ok());
                effects.extend(price.map(|price| Effect::LastPrice(market, hashed_price(price))));
            }
            (Some("tick_size_change"), Some(market)) => {
                effects.extend(decimal("new_tick_size").map(|tick| Effect::Tick(market, tick)));
            }
            (Some("market_resolved"), Some(market)) => {
                let winner = event["winning_asset_id"].as_str();
                let winner = winner.and_then(|id| self.by_asset.get(id));
                effects.push(Effect::Resolved(market, winner.map_or(0, |place| place.1)));
            }
            _ => {}
        }
    }

    fn change(&self, entry: &Value, stamp: Timestamp) -> Option<Effect> {
        let side = match entry["side"].as_str()?.to_ascii_uppercase().as_str() {
            "BUY" => Side::Bid,
            "SELL" => Side::Ask,
            _ => return None,
        };
        Some(Effect::Change {
            place: self.place(entry)?,
            side,
            price: entry["price"].as_str()?.parse().ok()?,
            size: entry["size"].as_str()?.parse().ok()?,
            stamp,
            hash: read_hash(entry),
        })
    }
}

fn read_stamp(event: &Value) -> Option<Timestamp> {
    let stamp = &event["timestamp"];
    let millis = stamp.as_u64().or_else(|| stamp.as_str()?.parse().ok())?;
    Some(Timestamp::from_millis(millis))
}

fn read_hash(event: &Value) -> Option<BookHash> {
    BookHash::from_hex(event["hash"].as_str()?.as_bytes())
}

fn read_book(event: &Value, stamp: Timestamp) -> Option<RecordedBook> {
    let levels = |key: &str| -> Option<Vec<Level>> {
        let levels = event[key].as_array()?;
        let level = |level: &Value| {
            let price = level["price"].as_str()?.parse().ok()?;
            Some(Level::new(price, level["size"].as_str()?.parse().ok()?))
        };
        levels.iter().map(level).collect()
    };
    let decimal = |key: &str| DecimalText::new(event[key].as_str()?).ok();
    Some(RecordedBook {
        bids: levels("bids")?,
        asks: levels("asks")?,
        stamp,
        hash: read_hash(event),
        tick_size: decimal("tick_size"),
        last_trade_price: decimal("last_trade_price"),
        min_order_size: decimal("min_order_size"),
        neg_risk: event["neg_risk"].as_bool(),
        version: event["version"].as_str().map(str::to_owned),
        rest: None,
    })
}

/// When frames are due: by time of reception where it is known, else by the
/// events' stamps; never earlier than the frame before.
#[derive(Debug, Default)]
struct Pace {
    first_received: Option<f64>,
    first_stamp: Option<Timestamp>,
    earliest: Option<Timestamp>,
    latest: Duration,
}

impl Pace {
    fn saw(&mut self, stamp: Timestamp) {
        self.earliest = Some(self.earliest.map_or(stamp, |earliest| earliest.min(stamp)));
    }

    fn due(&mut self, received: Option<f64>, stamp: Option<Timestamp>) -> Duration {
        let at = match (received, stamp) {
            (Some(received), _) => {
                let first = *self.first_received.get_or_insert(received);
                Duration::try_from_secs_f64((received - first) / 1e3).unwrap_or_default()
            }
            (None, Some(stamp)) => {
                let first = *self.first_stamp.get_or_insert(stamp);
                Duration::from_millis(stamp.millis_since(first))
            }
            (None, None) => Duration::ZERO,
        };
        self.latest = self.latest.max(at);
        self.latest
    }
}

#[cfg(test)]
#[path = "recording_tests.rs"]
mod tests;
