//! Selections made at random, and a plain model of what each of them follows.
//!
//! The model reads an overlay and the exchange's own listing, and says of each market
//! whether it must be followed, must not, or may be: volumes move while they are read, and
//! two markets that end at the same time have no order.

use std::collections::BTreeSet;

use fastrand::Rng;
use serde_json::{Map, Value, json};

use crate::listing::Row;

/// Words that questions and slugs begin words with.
const PHRASES: [&str; 8] = [
    "bitcoin",
    "up or down",
    "will",
    "sao paulo",
    "elect",
    "temperature highest",
    "beat game",
    "solana above",
];
const PATTERNS: [&str; 5] = ["*-1*", "*-or-down-*", "will-*", "*day-2*", "*e*7*"];

/// An overlay over a configuration that chooses nothing itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Choice {
    keys: Map<String, Value>,
}

/// What a choice follows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// These.
    pub must: BTreeSet<String>,
    /// Perhaps these.
    pub may: BTreeSet<String>,
}

impl Wanted {
    /// What is wrong with what is followed; nothing if it is as wanted.
    pub fn differences(&self, followed: &BTreeSet<String>) -> Vec<String> {
        let lacks = self
            .must
            .difference(followed)
            .map(|id| format!("lacks {id}"));
        let unwanted = followed.iter().filter(|id| !self.must.contains(*id));
        let unwanted = unwanted.filter(|id| !self.may.contains(*id));
        lacks
            .chain(unwanted.map(|id| format!("has {id}")))
            .collect()
    }
}

/// A verdict of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Yes,
    No,
    Either,
}

impl Choice {
    /// Every market.
    pub fn everything() -> Self {
        Self::default()
    }

    /// None.
    pub fn nothing() -> Self {
        let mut choice = Self::default();
        choice.set("ids", json!("0x1"));
        choice
    }

    /// As a request has it.
    pub fn to_json(&self) -> String {
        Value::from(self.keys.clone()).to_string()
    }

    fn set(&mut self, key: &str, value: Value) {
        self.keys.insert(key.to_owned(), value);
    }

    fn list(&self, key: &str) -> Vec<&str> {
        match self.keys.get(key) {
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(item)) => vec![item],
            _ => Vec::new(),
        }
    }

    fn date(&self, key: &str) -> Option<String> {
        self.keys.get(key)?.as_str().map(str::to_owned)
    }

    fn seats(&self) -> Option<(u64, &str)> {
        let most = self.keys.get("max_markets")?.as_u64()?;
        Some((most, self.keys.get("order")?.as_str()?))
    }

    /// One of one to three keys, or of everything; never with the seats of `before`.
    pub fn random(rng: &mut Rng, rows: &[Row], before: &Self) -> Self {
        let mut choice = Self::default();
        if rng.u8(0..12) == 0 {
            return choice;
        }
        for _ in 0..rng.usize(1..=3) {
            choice.add_key(rng, rows);
        }
        // A window that ends before it begins is refused.
        if let (Some(after), Some(before)) = (choice.date("ends_after"), choice.date("ends_before"))
            && after > before
        {
            choice.set("ends_after", json!(before));
            choice.set("ends_before", json!(after));
        }
        // The same seats would change hands by who sat before, which no list tells.
        if choice.seats().is_some() && choice.seats() == before.seats() {
            choice.set("max_markets", json!(rows.len() / 2 + rng.usize(1..5)));
        }
        choice
    }

    fn add_key(&mut self, rng: &mut Rng, rows: &[Row]) {
        let row = &rows[rng.usize(..rows.len())];
        let tag = |rng: &mut Rng| {
            let tags = &rows[rng.usize(..rows.len())].tags;
            tags[rng.usize(..tags.len())].clone()
        };
        let some = |rng: &mut Rng, text: fn(&Row) -> String| {
            let count = rng.usize(1..=rows.len() / 4);
            let chosen = (0..count).map(|_| text(&rows[rng.usize(..rows.len())]));
            chosen.collect::<Vec<_>>()
        };
        match rng.u8(0..12) {
            0 => self.set("tags", json!([tag(rng), tag(rng)])),
            1 => self.set("exclude_tags", json!(tag(rng))),
            2 => self.set("slugs", json!(PATTERNS[rng.usize(..PATTERNS.len())])),
            3 => self.set("exclude_slugs", json!(some(rng, |row| row.slug.clone()))),
            4 => self.set("events", json!(some(rng, |row| row.event.clone()))),
            5 => self.set("text", json!(PHRASES[rng.usize(..PHRASES.len())])),
            // In another spelling than the venue's.
            6 => self.set("ids", json!(some(rng, |row| format!("0x{}", row.id)))),
            7 => self.set("neg_risk", json!(["true", "false"][rng.usize(..2)])),
            8 if self.seats().is_none() => {
                self.set("min_volume", json!(format!("{:.0}", row.volume)));
            }
            9 => self.set("ends_before", json!(row.end.to_string())),
            10 => self.set("ends_after", json!(row.end.to_string())),
            11 if !self.keys.contains_key("min_volume") => {
                let order = ["listed", "end", "volume"][rng.usize(..3)];
                self.set("max_markets", json!(rng.usize(5..rows.len())));
                self.set("order", json!(order));
                self.set("also", json!(some(rng, |row| row.event.clone())[0]));
            }
            _ => self.set("also", json!([row.slug])),
        }
    }

    /// What it follows, if `was` was in force before. Markets had the figures of `first`
    /// at first and have those of `now`: the program knows one between them.
    pub fn wanted(&self, was: &Self, first: &[Row], now: &[Row]) -> Wanted {
        let mut wanted = Wanted::default();
        let mut seated = Vec::new();
        for (number, (first, now)) in first.iter().zip(now).enumerate() {
            let also = self.list("also");
            let is_named = also.contains(&&*first.slug) || also.contains(&&*first.event);
            let verdict = match (self.excludes(first), is_named) {
                (true, _) => Verdict::No,
                (false, true) => Verdict::Yes,
                (false, false) => match (self.includes(first, now, was), self.seats()) {
                    (Verdict::Yes, Some((_, order))) => {
                        let rank = rank(order, number, first, now);
                        seated.push((rank, first.id.clone()));
                        continue;
                    }
                    (verdict, _) => verdict,
                },
            };
            match verdict {
                Verdict::Yes => wanted.must.insert(first.id.clone()),
                Verdict::Either => wanted.may.insert(first.id.clone()),
                Verdict::No => false,
            };
        }
        if let Some((most, order)) = self.seats() {
            // Between nine and eleven tenths of the seats nobody moves for a figure's sake.
            let (enters, leaves) = match order {
                "volume" => (most * 9 / 10, most * 11 / 10 + 1),
                _ => (most, most),
            };
            for ((best, worst), id) in &seated {
                let ahead = |is_ahead: &dyn Fn(&(f64, f64)) -> bool| {
                    let others = seated
                        .iter()
                        .filter(|(rank, other)| other != id && is_ahead(rank));
                    others.count() as u64
                };
                if ahead(&|other| other.0 <= *worst) < enters {
                    wanted.must.insert(id.clone());
                } else if ahead(&|other| other.1 < *best) < leaves {
                    wanted.may.insert(id.clone());
                }
            }
        }
        wanted
    }

    fn excludes(&self, row: &Row) -> bool {
        self.list("exclude_tags")
            .iter()
            .any(|tag| has_tag(row, tag))
            || self.list("exclude_slugs").contains(&&*row.slug)
    }

    fn includes(&self, first: &Row, now: &Row, was: &Self) -> Verdict {
        let any = |key: &str, holds: &dyn Fn(&str) -> bool| {
            let values = self.list(key);
            values.is_empty() || values.into_iter().any(holds)
        };
        let by = |key: &str| self.list(key).first().map(|text| (*text).to_owned());
        let end = first.end.to_string();
        let holds = any("tags", &|tag| has_tag(first, tag))
            && any("slugs", &|pattern| fits(pattern, &first.slug))
            && any("events", &|slug| slug == first.event)
            && any("text", &|phrase| says(first, phrase))
            && any("ids", &|id| id.trim_start_matches("0x") == first.id)
            && any("neg_risk", &|flag| flag == first.neg_risk.to_string())
            && by("ends_before").is_none_or(|bound| end <= bound)
            && by("ends_after").is_none_or(|bound| end >= bound);
        let least = by("min_volume").map(|dollars| dollars.parse::<f64>().expect("a number"));
        let Some(least) = least else {
            return if holds { Verdict::Yes } else { Verdict::No };
        };
        let is_same = self.keys.get("min_volume") == was.keys.get("min_volume");
        let enough = if is_same { least / 2.0 } else { least };
        match holds {
            true if first.volume >= least => Verdict::Yes,
            true if now.volume >= enough => Verdict::Either,
            _ => Verdict::No,
        }
    }
}

/// The best and the worst place that a market can have; the smallest is the first.
fn rank(order: &str, number: usize, first: &Row, now: &Row) -> (f64, f64) {
    #[expect(
        clippy::cast_precision_loss,
        reason = "below the whole numbers that it holds"
    )]
    match order {
        "volume" => (-now.volume, -first.volume),
        "end" => (first.end.millis() as f64, first.end.millis() as f64),
        _ => (number as f64, number as f64),
    }
}

fn has_tag(row: &Row, tag: &str) -> bool {
    row.tags.iter().any(|own| own == tag)
}

/// Whether each word begins one of the market's.
fn says(row: &Row, phrase: &str) -> bool {
    let mut own = row.slug.split('-').chain(row.event.split('-'));
    let own: Vec<_> = own.by_ref().collect();
    let begins = |word: &str| own.iter().any(|own| own.starts_with(word));
    phrase.split(' ').all(begins)
}

/// Whether a text fits a pattern, where `*` stands for any.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|left| {
            let ends = left.char_indices().map(|(at, _)| at).chain([left.len()]);
            ends.into_iter().any(|at| fits(rest, &left[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use polypy_core::Timestamp;

    use super::*;

    fn rows() -> Vec<Row> {
        let row = |number: u64| Row {
            id: format!("a{number}"),
            question: String::new(),
            slug: format!("will-it-rain-{number}"),
            event: format!("rain-{}", number / 2),
            tags: vec![["weather", "sports"][usize::from(number % 2 == 1)].to_owned()],
            #[expect(clippy::cast_precision_loss, reason = "small")]
            volume: 1_000.0 - 100.0 * number as f64,
            end: Timestamp::from_millis(1_000 * (number / 2)),
            neg_risk: false,
            tokens: Vec::new(),
        };
        (0..8).map(row).collect()
    }

    fn of(keys: Value) -> Choice {
        let Value::Object(keys) = keys else {
            panic!("an object");
        };
        Choice { keys }
    }

    fn ids(ids: &BTreeSet<String>) -> String {
        ids.iter().map(|id| &id[1..]).collect()
    }

    #[test]
    fn the_model_reads_every_key() {
        let rows = rows();
        for (keys, must, may) in [
            (json!({}), "01234567", ""),
            (json!({"ids": "0x1"}), "", ""),
            (json!({"tags": ["weather"]}), "0246", ""),
            (
                json!({"exclude_tags": "weather", "also": ["rain-0"]}),
                "1357",
                "",
            ),
            (json!({"slugs": "*-rain-3", "also": ["rain-2"]}), "345", ""),
            (json!({"exclude_slugs": ["will-it-rain-1"]}), "0234567", ""),
            (json!({"events": ["rain-1", "rain-2"]}), "2345", ""),
            (json!({"text": "rai wi"}), "01234567", ""),
            (json!({"text": "snow"}), "", ""),
            (json!({"neg_risk": "true"}), "", ""),
            (json!({"min_volume": "700"}), "0123", ""),
            (json!({"ends_before": rows[2].end.to_string()}), "0123", ""),
            (json!({"ends_after": rows[6].end.to_string()}), "67", ""),
            (json!({"max_markets": 3, "order": "listed"}), "012", ""),
            // The second of two events: one of its two markets.
            (json!({"max_markets": 3, "order": "end"}), "01", "23"),
            (json!({"max_markets": 3, "order": "volume"}), "01", "23"),
            (
                json!({"max_markets": 1, "order": "listed", "also": ["rain-0"]}),
                "012",
                "",
            ),
        ] {
            let wanted = of(keys.clone()).wanted(&Choice::default(), &rows, &rows);
            let got = (ids(&wanted.must), ids(&wanted.may));
            assert_eq!(got, (must.to_owned(), may.to_owned()), "{keys}");
        }
    }

    #[test]
    fn half_is_enough_for_who_is_in_by_the_same_bound() {
        let rows = rows();
        let bound = of(json!({"min_volume": "700"}));
        let wanted = bound.wanted(&bound, &rows, &rows);
        assert_eq!(ids(&wanted.must), "0123");
        assert_eq!(ids(&wanted.may), "456");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let set = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        let wanted = Wanted {
            must: set(&["a"]),
            may: set(&["b"]),
        };
        assert!(wanted.differences(&set(&["a", "b"])).is_empty());
        assert_eq!(wanted.differences(&set(&["b", "c"])), ["lacks a", "has c"]);
    }
}
