//! The seeded catalogue: what a market is called and how it trades.
//!
//! Endless: [`Catalogue::next_listing`] makes the start's markets and those
//! announced later. Everything but the dates depends on the seed alone.

use std::sync::Arc;

use fastrand::Rng;
use polypy_core::{AssetId, ConditionId, DecimalText, Timestamp, Token};

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
    /// The market's name among those of its event; empty when alone.
    pub(crate) group_title: String,
    pub(crate) tag: &'static str,
    pub(crate) tick_size: DecimalText,
    pub(crate) min_order_size: DecimalText,
    pub(crate) neg_risk: bool,
    pub(crate) created: Timestamp,
    pub(crate) end: Timestamp,
    /// Dollars traded, in cents.
    pub(crate) volume: u64,
    /// Dollars resting, in cents.
    pub(crate) liquidity: u64,
    /// Where trading starts: the first outcome's price in millionths.
    pub(crate) opening_price: u32,
}

/// What groups markets; negative-risk events hold several.
#[derive(Debug)]
pub(crate) struct EventListing {
    pub(crate) id: u64,
    pub(crate) slug: String,
    pub(crate) title: String,
    pub(crate) neg_risk: bool,
}

/// Gamma ids had reached about 5.23 million in October 2026.
const FIRST_MARKET_ID: u64 = 9_200_001;
const FIRST_EVENT_ID: u64 = 960_001;

/// Shares in percent of markets by tick. Nearly all are 0.01 or 0.001.
const TICKS: [(&str, u32); 6] = [
    ("0.01", 56),
    ("0.001", 32),
    ("0.005", 4),
    ("0.0025", 4),
    ("0.0001", 2),
    ("0.1", 2),
];

const ASSETS: [&str; 6] = ["Bitcoin", "Ethereum", "Solana", "XRP", "Dogecoin", "BNB"];
const PLACES: [&str; 8] = [
    "Zürich",
    "São Paulo",
    "London",
    "Seoul",
    "Łódź",
    "Austin",
    "Québec",
    "Nairobi",
];
const TEAMS: [&str; 8] = [
    "Ravens",
    "Comets",
    "Mariners",
    "Atlético",
    "Harbour",
    "Foxes",
    "Union",
    "Capitals",
];
const NAMES: [&str; 10] = [
    "A. Okafor",
    "B. Lindqvist",
    "C. Moreau",
    "D. Tanaka",
    "E. O'Brien",
    "F. Müller",
    "G. Rossi",
    "H. Novak",
    "I. Haddad",
    "J. Peña",
];

/// Makes listings for ever.
#[derive(Debug)]
pub(crate) struct Catalogue {
    rng: Rng,
    made: u64,
    events: u64,
    /// The negative-risk event being filled and the markets it still lacks.
    open_event: Option<(Arc<EventListing>, usize)>,
}

impl Catalogue {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::with_seed(seed ^ 0x5eed_ca7a_1060_0001),
            made: 0,
            events: 0,
            open_event: None,
        }
    }

    /// Whether the last listing's event has more markets to come.
    pub(crate) fn has_open_event(&self) -> bool {
        self.open_event.is_some()
    }

    /// The next market, created `now`.
    pub(crate) fn next_listing(&mut self, now: Timestamp) -> Listing {
        let number = self.made;
        self.made += 1;
        let (event, question, group_title, outcomes, tag) = self.subject(number);
        let slug = format!("{}-{number}", slug(&question));
        let event = event.unwrap_or_else(|| {
            self.events += 1;
            Arc::new(EventListing {
                id: FIRST_EVENT_ID + self.events,
                slug: slug.clone(),
                title: question.clone(),
                neg_risk: false,
            })
        });
        let tick_size = self.tick();
        let rng = &mut self.rng;
        let hours = rng.u64(1..24 * 90);
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
            group_title,
            tag,
            tick_size,
            min_order_size: DecimalText::new("5").unwrap_or_default(),
            created: Timestamp::from_millis(now.millis().saturating_sub(age)),
            end: Timestamp::from_millis((now.millis() / 1_000 + hours * 3_600) * 1_000),
            volume,
            liquidity: volume / rng.u64(2..20) + 100,
            // One in eight starts near an edge, where the grid soon becomes finer.
            opening_price: match rng.u32(0..16) {
                0 => rng.u32(42_000..60_000),
                1 => rng.u32(940_000..958_000),
                _ => rng.u32(60_000..940_000),
            },
        }
    }

    /// Which event (if it groups several), question, group title, outcomes, tag.
    fn subject(
        &mut self,
        number: u64,
    ) -> (
        Option<Arc<EventListing>>,
        String,
        String,
        [&'static str; 2],
        &'static str,
    ) {
        if let Some((event, left)) = self.open_event.take() {
            let name = NAMES[left % NAMES.len()];
            let question = format!("{}: {name}?", event.title);
            if left > 1 {
                self.open_event = Some((Arc::clone(&event), left - 1));
            }
            return (
                Some(event),
                question,
                name.to_owned(),
                ["Yes", "No"],
                "Politics",
            );
        }
        let rng = &mut self.rng;
        match rng.u32(0..10) {
            0 => {
                self.events += 1;
                let place = PLACES[rng.usize(..PLACES.len())];
                let event = Arc::new(EventListing {
                    id: FIRST_EVENT_ID + self.events,
                    slug: format!("who-will-win-{}-{number}", slug(place)),
                    title: format!("Who will win the {place} election"),
                    neg_risk: true,
                });
                self.open_event = Some((event, rng.usize(3..8)));
                self.subject(number)
            }
            1..=4 => {
                let asset = ASSETS[rng.usize(..ASSETS.len())];
                let question = format!("{asset} Up or Down, round {number}");
                (None, question, String::new(), ["Up", "Down"], "Crypto")
            }
            5 | 6 => {
                let home = TEAMS[rng.usize(..TEAMS.len())];
                let away = TEAMS[rng.usize(..TEAMS.len())];
                let question = format!("Will {home} beat {away} in game {number}?");
                (None, question, String::new(), ["Yes", "No"], "Sports")
            }
            _ => {
                let place = PLACES[rng.usize(..PLACES.len())];
                let degrees = rng.u32(10..40);
                let question = format!("Will it reach {degrees} °C in {place}, day {number}?");
                (None, question, String::new(), ["Yes", "No"], "Weather")
            }
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

/// 76 to 78 digits, as 256-bit numbers have.
fn asset_id(rng: &mut Rng) -> AssetId {
    let digits = rng.usize(76..=78);
    let text: String = (0..digits)
        .map(|at| char::from(b'0' + rng.u8(u8::from(at == 0)..10)))
        .collect();
    AssetId::new(&text).expect("76 to 78 digits are an asset id")
}

fn condition_id(rng: &mut Rng) -> ConditionId {
    ConditionId::new(&hex32(rng)).expect("0x and 64 hexadecimal digits are a condition id")
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

/// Lower-case ASCII words joined by hyphens.
fn slug(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let words: Vec<&str> = lower
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    words.join("-")
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
