//! A made listing of the venue's markets: as many a event, and texts as long and as
//! alike, as the real one's.
//!
//! Of the real ones some are "up or down" of five coins every few minutes, each an event
//! of its own; the rest are games with a dozen lines each, and questions with many
//! answers, of which most begin with "Will". A question has some 60 bytes, as has a slug,
//! and an event some seven markets.

use std::sync::Arc;

use polypy_core::{
    AssetId, Cents, ConditionId, DecimalText, EventRef, Figures, Group, Listed, Market, Tag,
    Timestamp, Token,
};

const START: u64 = 1_795_000_000_000;
const COINS: [&str; 5] = ["Bitcoin", "Ethereum", "Solana", "XRP", "Dogecoin"];
const TOPICS: [&str; 8] = [
    "Presidential Election",
    "World Cup",
    "Best Picture",
    "Champions League",
    "Prime Minister",
    "Grand Prix",
    "Player of the Year",
    "Senate Primary",
];
const SYLLABLES: [&str; 20] = [
    "ba", "cor", "de", "fin", "go", "ha", "jo", "ka", "lu", "mar", "ne", "or", "pe", "ri", "sa",
    "to", "ul", "vi", "wen", "zó",
];
/// Markets of one event at most, of those that have several.
const MARKETS: usize = 26;
/// Every so many is "up or down".
const UPS: u64 = 16;
const TAGS: usize = 400;

/// Makes rows one after the other, the same ones for the same seed.
#[derive(Debug)]
pub struct Listing {
    random: fastrand::Rng,
    made: u64,
    several: Option<Several>,
}

/// An event that has markets left to be listed.
#[derive(Debug)]
struct Several {
    event: EventRef,
    topic: String,
    left: usize,
}

fn event(title: &str, slug: &str, number: u64) -> EventRef {
    EventRef {
        id: Some(number.to_string().into()),
        slug: slug.into(),
        title: title.into(),
        neg_risk: false,
        neg_risk_augmented: false,
    }
}

fn slug(text: &str) -> String {
    let words = text.split(|c: char| !c.is_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join("-").to_lowercase()
}

impl Listing {
    /// The rows of a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            made: 0,
            several: None,
        }
    }

    fn name(&mut self) -> String {
        let mut name: String = (0..self.random.usize(2..4))
            .map(|_| SYLLABLES[self.random.usize(..SYLLABLES.len())])
            .collect();
        if let Some(first) = name.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        name
    }

    /// Question, slug, event and what it stands for in there.
    fn words(&mut self) -> (String, String, EventRef, Option<String>) {
        let number = self.made;
        if number.is_multiple_of(UPS) {
            let coin = COINS[self.random.usize(..COINS.len())];
            let (day, hour) = (self.random.u8(1..29), self.random.u8(1..13));
            let from = self.random.u8(0..11) * 5;
            let until = from + 5;
            let question = format!(
                "{coin} Up or Down - June {day}, {hour}:{from:02}PM-{hour}:{until:02}PM ET"
            );
            let slug = format!("{}-updown-5m-{}", slug(coin), START / 1_000 + number);
            let event = event(&question, &slug, number);
            return (question, slug, event, None);
        }
        let several = self.several.take();
        let mut several = several.unwrap_or_else(|| self.event(number));
        let Several { topic, event, left } = &several;
        let left = *left;
        let answer = format!("{} {}", self.name(), self.name());
        let question = if event.neg_risk {
            format!("Will {answer} win the {topic}?")
        } else {
            format!("{topic}: {answer} O/U {left}.5")
        };
        let found = (
            question.clone(),
            slug(&question),
            event.clone(),
            Some(answer),
        );
        several.left -= 1;
        self.several = (several.left > 0).then_some(several);
        found
    }

    /// A game, or a race of many.
    fn event(&mut self, number: u64) -> Several {
        let neg_risk = self.random.bool();
        let topic = if neg_risk {
            let (place, year) = (self.name(), self.random.u16(2026..2030));
            let topic = TOPICS[self.random.usize(..TOPICS.len())];
            format!("{year} {place} {topic}")
        } else {
            format!("{} FC vs. {} United", self.name(), self.name())
        };
        let event = event(&format!("{topic} Winner"), &slug(&topic), number);
        Several {
            event: EventRef { neg_risk, ..event },
            topic,
            left: self.random.usize(1..=MARKETS),
        }
    }

    fn digits(&mut self, count: usize) -> String {
        let first = char::from(self.random.u8(b'1'..=b'9'));
        std::iter::once(first)
            .chain((1..count).map(|_| self.random.digit(10)))
            .collect()
    }
}

impl Iterator for Listing {
    type Item = Listed;

    fn next(&mut self) -> Option<Listed> {
        let (question, slug, event, answer) = self.words();
        self.made += 1;
        let condition: String = (0..64).map(|_| self.random.digit(16)).collect();
        let mut token = |outcome: &str| {
            Some(Token {
                token_id: AssetId::new(&self.digits(77)).ok()?,
                outcome: outcome.into(),
            })
        };
        let tokens = vec![token("Yes")?, token("No")?];
        let end = Timestamp::from_millis(START + self.random.u64(0..90) * 86_400_000);
        // Those of the event; some are on many events, most on few.
        let mut random = fastrand::Rng::with_seed(event.slug.len() as u64 * 31 + 5);
        let mut tag = || {
            let tag = random.usize(..TAGS).min(random.usize(..TAGS));
            Tag {
                slug: format!("tag-{tag}").into(),
                label: format!("Tag {tag}").into(),
            }
        };
        let tags = (0..5).map(|_| tag()).collect();
        let cents = self.random.u64(..100_000_000);
        Some(Listed {
            market: Market {
                question,
                end_date_iso: Some(end.to_string()),
                end_timestamp: Some(end),
                tick_size: DecimalText::new("0.001").ok(),
                min_order_size: DecimalText::new("5").ok(),
                neg_risk: event.neg_risk,
                slug: Some(slug.into()),
                event: Some(Arc::new(event)),
                group: answer.map(|title| {
                    Box::new(Group {
                        title: title.into(),
                        order: Some(0),
                    })
                }),
                start: Some(Timestamp::from_millis(START)),
                ..Market::new(ConditionId::new(&format!("0x{condition}")).ok()?, tokens)
            },
            figures: Figures {
                volume: Some(Cents::new(cents)),
                volume_day: Some(Cents::new(cents / 30)),
                liquidity: Some(Cents::new(cents / 50)),
            },
            tags: Some(tags),
        })
    }
}
