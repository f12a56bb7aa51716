//! The seeded catalogue: what a market is called and how it trades.
//!
//! Endless: [`Catalogue::next_listing`] makes the start's markets and those
//! announced later. Everything but the dates depends on the seed alone.

use std::sync::Arc;

use fastrand::Rng;
use polypy_core::{AssetId, ConditionId, DecimalText, Timestamp, Token};

use crate::subject::{EventListing, Group, Subject, Subjects, Tag, slug};

/// A market as Gamma lists it.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    /// Gamma's id; grows with creation.
    pub(crate) id: u64,
    pub(crate) condition_id: ConditionId,
    pub(crate) question: String,
    pub(crate) slug: String,
    /// Two; one in recordings that hold one of them only.
    pub(crate) tokens: Vec<Token>,
    pub(crate) event: Arc<EventListing>,
    /// Its place among those of its event; `None` when alone.
    pub(crate) group: Option<Group>,
    pub(crate) tags: Vec<&'static Tag>,
    pub(crate) tick_size: DecimalText,
    pub(crate) min_order_size: DecimalText,
    pub(crate) neg_risk: bool,
    pub(crate) created: Timestamp,
    pub(crate) end: Timestamp,
    /// Dollars traded before it was opened here, in cents.
    pub(crate) volume: u64,
    /// Where trading starts: the first outcome's price in millionths.
    pub(crate) opening_price: u32,
}

/// Gamma ids had reached about 5.23 million in October 2026.
const FIRST_MARKET_ID: u64 = 9_200_001;

/// Shares in percent of markets by tick. Nearly all are 0.01 or 0.001.
const TICKS: [(&str, u32); 6] = [
    ("0.01", 56),
    ("0.001", 32),
    ("0.005", 4),
    ("0.0025", 4),
    ("0.0001", 2),
    ("0.1", 2),
];

/// Makes listings for ever.
#[derive(Debug)]
pub(crate) struct Catalogue {
    rng: Rng,
    made: u64,
    subjects: Subjects,
}

impl Catalogue {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::with_seed(seed ^ 0x5eed_ca7a_1060_0001),
            made: 0,
            subjects: Subjects::default(),
        }
    }

    /// Whether the last listing's event has more markets to come.
    pub(crate) fn has_open_event(&self) -> bool {
        self.subjects.has_open_event()
    }

    /// The next market, created `now`.
    pub(crate) fn next_listing(&mut self, now: Timestamp) -> Listing {
        let number = self.made;
        self.made += 1;
        let Subject {
            question,
            event,
            group,
            outcomes,
            tags,
            hours,
        } = self.subjects.next(&mut self.rng, number);
        let slug = format!("{}-{number}", slug(&question));
        let event = event.unwrap_or_else(|| self.subjects.own_event(&slug, &question));
        let tick_size = self.tick();
        let rng = &mut self.rng;
        let age = rng.u64(1..48) * 3_600_000;
        // Heavy-tailed, as volumes are: 10 dollars to 10 million.
        let volume = 10u64.pow(rng.u32(3..9)) * rng.u64(1..10) + rng.u64(0..1_000);
        Listing {
            id: FIRST_MARKET_ID + number,
            condition_id: condition_id(rng),
            question,
            slug,
            tokens: outcomes
                .into_iter()
                .map(|outcome| Token {
                    token_id: asset_id(rng),
                    outcome: outcome.into(),
                })
                .collect(),
            neg_risk: event.neg_risk,
            event,
            group,
            tags,
            tick_size,
            min_order_size: DecimalText::new("5").unwrap_or_default(),
            created: Timestamp::from_millis(now.millis().saturating_sub(age)),
            end: Timestamp::from_millis((now.millis() / 1_000 + hours * 3_600) * 1_000),
            volume,
            // One in eight starts near an edge, where the grid soon becomes finer.
            opening_price: match rng.u32(0..16) {
                0 => rng.u32(42_000..60_000),
                1 => rng.u32(940_000..958_000),
                _ => rng.u32(60_000..940_000),
            },
        }
    }

    fn tick(&mut self) -> DecimalText {
        let mut at = self.rng.u32(0..100);
        for (tick, share) in TICKS {
            if at < share {
                return DecimalText::new(tick).unwrap_or_default();
            }
            at -= share;
        }
        DecimalText::new(TICKS[0].0).unwrap_or_default()
    }
}

/// 76 to 78 digits, as 256-bit numbers have: clients read one as that.
fn asset_id(rng: &mut Rng) -> AssetId {
    let digits = rng.usize(76..=78);
    let mut text: String = (0..digits)
        .map(|at| char::from(b'0' + rng.u8(u8::from(at == 0)..10)))
        .collect();
    if digits == 78 {
        // The greatest one begins with 115.
        text.replace_range(..2, "10");
    }
    AssetId::new(&text).expect("76 to 78 digits are an asset id")
}

/// Some begin with zeros, which the venue leaves out in some places.
fn condition_id(rng: &mut Rng) -> ConditionId {
    let mut text = hex32(rng);
    if rng.u32(0..8) == 0 {
        text.replace_range(2..4, "00");
    }
    ConditionId::new(&text).expect("0x and 64 hexadecimal digits are a condition id")
}

/// `0x` and 64 hexadecimal digits: a condition id or a transaction hash.
pub(crate) fn hex32(rng: &mut Rng) -> String {
    format!(
        "0x{:016x}{:016x}{:016x}{:016x}",
        rng.u64(..),
        rng.u64(..),
        rng.u64(..),
        rng.u64(..)
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn listings(seed: u64, count: usize) -> Vec<Listing> {
        let mut catalogue = Catalogue::new(seed);
        let now = Timestamp::from_millis(1_795_000_000_000);
        (0..count).map(|_| catalogue.next_listing(now)).collect()
    }

    #[test]
    fn the_same_seed_lists_the_same_markets() {
        let text = |seed| format!("{:?}", listings(seed, 100));
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
    }

    #[test]
    fn ids_and_slugs_are_unique_and_every_tick_occurs() {
        let listings = listings(1, 2_000);
        let unique =
            |key: fn(&Listing) -> String| -> HashSet<String> { listings.iter().map(key).collect() };
        assert_eq!(unique(|l| l.slug.clone()).len(), 2_000);
        assert_eq!(unique(|l| l.condition_id.to_string()).len(), 2_000);
        assert_eq!(unique(|l| l.tokens[0].token_id.to_string()).len(), 2_000);
        assert_eq!(unique(|l| l.tick_size.to_string()).len(), TICKS.len());
        assert!(listings.iter().any(|l| l.neg_risk));
        assert!(listings.iter().any(|l| !l.question.is_ascii()));
    }
}
