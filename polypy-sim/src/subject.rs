//! What markets are about: questions, the events that group them, outcomes, and the tags
//! that they are filed under.

use std::sync::Arc;

use fastrand::Rng;

/// What the venue files markets under.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) id: u32,
    pub(crate) label: &'static str,
    pub(crate) slug: &'static str,
}

const fn tag(id: u32, label: &'static str, slug: &'static str) -> Tag {
    Tag { id, label, slug }
}

/// Of everything: no tag is one that few markets have.
const ALL: Tag = tag(100_215, "All", "all");
const CRYPTO: Tag = tag(21, "Crypto", "crypto");
const ELECTIONS: Tag = tag(144, "Elections", "elections");
const GAMES: Tag = tag(100_639, "Games", "games");
const POLITICS: Tag = tag(2, "Politics", "politics");
const RECURRING: Tag = tag(101_757, "Recurring", "recurring");
const SPORTS: Tag = tag(1, "Sports", "sports");
const STRIKES: Tag = tag(102_516, "Multi Strikes", "multi-strikes");
const TEMPERATURE: Tag = tag(103_040, "Daily Temperature", "temperature");
const UP_OR_DOWN: Tag = tag(102_127, "Up or Down", "up-or-down");
const WEATHER: Tag = tag(84, "Weather", "weather");

/// What a recording's markets are filed under.
pub(crate) const RECORDED: Tag = tag(900_001, "Recorded", "recorded");

static ASSETS: [Tag; 6] = [
    tag(235, "Bitcoin", "bitcoin"),
    tag(39, "Ethereum", "ethereum"),
    tag(818, "Solana", "solana"),
    tag(101_267, "XRP", "xrp"),
    tag(100_277, "Dogecoin", "dogecoin"),
    tag(102_321, "BNB", "bnb"),
];
/// Of the first assets: the lowest price that is asked about, and the step to the next.
const PRICES: [(u64, u64); 3] = [(76_000, 2_000), (2_800, 100), (140, 10)];
static PLACES: [Tag; 8] = [
    tag(900_101, "Zürich", "zurich"),
    tag(900_102, "São Paulo", "sao-paulo"),
    tag(900_103, "London", "london"),
    tag(900_104, "Seoul", "seoul"),
    tag(900_105, "Łódź", "lodz"),
    tag(900_106, "Austin", "austin"),
    tag(900_107, "Québec", "quebec"),
    tag(900_108, "Nairobi", "nairobi"),
];
static TEAMS: [Tag; 8] = [
    tag(900_201, "Ravens", "ravens"),
    tag(900_202, "Comets", "comets"),
    tag(900_203, "Mariners", "mariners"),
    tag(900_204, "Atlético", "atletico"),
    tag(900_205, "Harbour", "harbour"),
    tag(900_206, "Foxes", "foxes"),
    tag(900_207, "Union", "union"),
    tag(900_208, "Capitals", "capitals"),
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

/// Gamma's event ids had reached some hundred thousand in 2026.
const FIRST_EVENT_ID: u64 = 960_001;

/// What groups markets.
#[derive(Debug)]
pub(crate) struct EventListing {
    pub(crate) id: u64,
    pub(crate) slug: String,
    pub(crate) title: String,
    /// One of its markets wins, and no other.
    pub(crate) neg_risk: bool,
    /// Markets may be added to it while it trades; one stands for all others.
    pub(crate) neg_risk_augmented: bool,
}

/// A market's place among those of its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) title: String,
    pub(crate) order: usize,
    /// It stands for all others.
    pub(crate) is_other: bool,
}

/// What one market is about.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) question: String,
    /// `None` where the market is an event of its own.
    pub(crate) event: Option<Arc<EventListing>>,
    pub(crate) group: Option<Group>,
    pub(crate) outcomes: [&'static str; 2],
    pub(crate) tags: Vec<&'static Tag>,
    /// Hours until it ends: the same for all of an event.
    pub(crate) hours: u64,
}

/// How the markets of an event differ.
#[derive(Debug, Clone, Copy)]
enum Several {
    /// By name.
    Election(&'static Tag),
    /// By price, each above the one before: any number of them may come true.
    Strikes(usize),
    /// By temperature.
    Temperatures { place: &'static Tag, lowest: usize },
}

/// An event that has markets left to be listed.
#[derive(Debug)]
struct Open {
    event: Arc<EventListing>,
    several: Several,
    number: u64,
    hours: u64,
    listed: usize,
    left: usize,
}

/// Makes subjects for ever.
#[derive(Debug, Default)]
pub(crate) struct Subjects {
    events: u64,
    open: Option<Open>,
}

const YES_NO: [&str; 2] = ["Yes", "No"];

impl Subjects {
    /// Whether the last subject's event has more markets to come.
    pub(crate) fn has_open_event(&self) -> bool {
        self.open.is_some()
    }

    /// The next one, of market `number`.
    pub(crate) fn next(&mut self, rng: &mut Rng, number: u64) -> Subject {
        if self.open.is_none() {
            let hours = rng.u64(1..24 * 90);
            let (question, outcomes, tags) = match rng.u32(0..10) {
                0 => return self.begin_election(rng, number, hours),
                1 => return self.begin_strikes(rng, number, hours),
                2 => return self.begin_temperatures(rng, number, hours),
                3..=5 => {
                    let asset = &ASSETS[rng.usize(..ASSETS.len())];
                    let question = format!("{} Up or Down, round {number}", asset.label);
                    let tags = vec![&CRYPTO, asset, &UP_OR_DOWN, &RECURRING, &ALL];
                    (question, ["Up", "Down"], tags)
                }
                6 | 7 => {
                    let home = &TEAMS[rng.usize(..TEAMS.len())];
                    let away = &TEAMS[rng.usize(..TEAMS.len())];
                    let (one, other) = (home.label, away.label);
                    let question = format!("Will {one} beat {other} in game {number}?");
                    let mut tags = vec![&SPORTS, &GAMES, home, &ALL];
                    if away != home {
                        tags.push(away);
                    }
                    (question, YES_NO, tags)
                }
                _ => {
                    let place = &PLACES[rng.usize(..PLACES.len())];
                    let degrees = rng.u32(10..40);
                    let place_name = place.label;
                    let question =
                        format!("Will it reach {degrees} °C in {place_name}, day {number}?");
                    (question, YES_NO, vec![&WEATHER, place, &ALL])
                }
            };
            return Subject {
                question,
                event: None,
                group: None,
                outcomes,
                tags,
                hours,
            };
        }
        self.next_of_event()
    }

    /// The event of a market that is one of its own.
    pub(crate) fn own_event(&mut self, slug: &str, title: &str) -> Arc<EventListing> {
        Arc::new(EventListing {
            id: self.next_event_id(),
            slug: slug.to_owned(),
            title: title.to_owned(),
            neg_risk: false,
            neg_risk_augmented: false,
        })
    }

    fn next_event_id(&mut self) -> u64 {
        self.events += 1;
        FIRST_EVENT_ID + self.events
    }

    fn begin_election(&mut self, rng: &mut Rng, number: u64, hours: u64) -> Subject {
        let place = &PLACES[rng.usize(..PLACES.len())];
        let event = EventListing {
            id: self.next_event_id(),
            slug: format!("who-will-win-{}-{number}", place.slug),
            title: format!("Who will win the {} election", place.label),
            neg_risk: true,
            neg_risk_augmented: rng.bool(),
        };
        let left = rng.usize(3..8);
        self.begin(event, Several::Election(place), number, hours, left)
    }

    fn begin_strikes(&mut self, rng: &mut Rng, number: u64, hours: u64) -> Subject {
        let at = rng.usize(..PRICES.len());
        let asset = &ASSETS[at];
        let event = EventListing {
            id: self.next_event_id(),
            slug: format!("{}-above-on-day-{number}", asset.slug),
            title: format!("{} above ___ on day {number}?", asset.label),
            neg_risk: false,
            neg_risk_augmented: false,
        };
        let left = rng.usize(4..8);
        self.begin(event, Several::Strikes(at), number, hours, left)
    }

    fn begin_temperatures(&mut self, rng: &mut Rng, number: u64, hours: u64) -> Subject {
        let place = &PLACES[rng.usize(..PLACES.len())];
        let event = EventListing {
            id: self.next_event_id(),
            slug: format!("highest-temperature-in-{}-on-day-{number}", place.slug),
            title: format!("Highest temperature in {} on day {number}?", place.label),
            neg_risk: true,
            neg_risk_augmented: false,
        };
        let lowest = rng.usize(5..30);
        let left = rng.usize(4..7);
        let several = Several::Temperatures { place, lowest };
        self.begin(event, several, number, hours, left)
    }

    fn begin(
        &mut self,
        event: EventListing,
        several: Several,
        number: u64,
        hours: u64,
        left: usize,
    ) -> Subject {
        self.open = Some(Open {
            event: Arc::new(event),
            several,
            number,
            hours,
            listed: 0,
            left,
        });
        self.next_of_event()
    }

    /// # Panics
    /// Without an event that has markets left.
    fn next_of_event(&mut self) -> Subject {
        let mut open = self.open.take().expect("an event has markets left");
        let subject = open.next();
        self.open = (open.left > 0).then_some(open);
        subject
    }
}

impl Open {
    fn next(&mut self) -> Subject {
        let order = self.listed;
        self.listed += 1;
        self.left -= 1;
        let day = self.number;
        let mut is_other = false;
        let (question, title, tags) = match self.several {
            Several::Election(place) => {
                is_other = self.event.neg_risk_augmented && self.left == 0;
                let name = if is_other {
                    "Other"
                } else {
                    NAMES[order % NAMES.len()]
                };
                let question = format!("{}: {name}?", self.event.title);
                let tags = vec![&POLITICS, &ELECTIONS, place, &ALL];
                (question, name.to_owned(), tags)
            }
            Several::Strikes(at) => {
                let (lowest, step) = PRICES[at];
                let price = grouped(lowest + step * order as u64);
                let asset = &ASSETS[at];
                let name = asset.label;
                let question = format!("Will {name} be above ${price} on day {day}?");
                let tags = vec![&CRYPTO, asset, &STRIKES, &RECURRING, &ALL];
                (question, price, tags)
            }
            Several::Temperatures { place, lowest } => {
                let title = format!("{} °C", lowest + order);
                let name = place.label;
                let question =
                    format!("Will the highest temperature in {name} be {title} on day {day}?");
                let tags = vec![&WEATHER, &TEMPERATURE, place, &RECURRING, &ALL];
                (question, title, tags)
            }
        };
        Subject {
            question,
            event: Some(Arc::clone(&self.event)),
            group: Some(Group {
                title,
                order,
                is_other,
            }),
            outcomes: YES_NO,
            tags,
            hours: self.hours,
        }
    }
}

/// Digits in threes: 84,000.
fn grouped(number: u64) -> String {
    if number < 1_000 {
        number.to_string()
    } else {
        format!("{},{:03}", grouped(number / 1_000), number % 1_000)
    }
}

/// Lower-case ASCII words joined by hyphens; letters lose their marks.
pub(crate) fn slug(text: &str) -> String {
    let lower = text.to_lowercase();
    let folded: String = lower.chars().map(without_mark).collect();
    let words: Vec<&str> = folded
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    words.join("-")
}

/// Of the letters that occur in names here.
fn without_mark(letter: char) -> char {
    match letter {
        'ã' => 'a',
        'é' => 'e',
        'ł' => 'l',
        'ñ' => 'n',
        'ó' => 'o',
        'ü' => 'u',
        'ź' => 'z',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subjects(count: u64) -> Vec<Subject> {
        let (mut subjects, mut rng) = (Subjects::default(), Rng::with_seed(3));
        let next = |number| subjects.next(&mut rng, number);
        (0..count).map(next).collect()
    }

    #[test]
    fn the_markets_of_an_event_stand_in_order_and_share_its_end() {
        let all = subjects(2_000);
        let groups = all.chunk_by(|one, other| {
            let id = |subject: &Subject| subject.event.as_ref().map(|event| event.id);
            id(one).is_some() && id(one) == id(other)
        });
        let groups: Vec<_> = groups.filter(|group| group.len() > 1).collect();
        assert!(groups.len() > 100);
        let (mut strikes, mut others) = (0, 0);
        for group in groups {
            let event = group[0].event.as_ref().expect("grouped by it");
            for (at, subject) in group.iter().enumerate() {
                let own = subject.group.as_ref().expect("several have a place each");
                assert_eq!((own.order, subject.hours), (at, group[0].hours));
                assert_eq!(subject.tags, group[0].tags);
                others += usize::from(own.is_other);
                assert!(!own.is_other || (event.neg_risk_augmented && at + 1 == group.len()));
            }
            strikes += usize::from(event.title.contains("above ___") && !event.neg_risk);
        }
        assert!(strikes > 20 && others > 20, "{strikes}, {others}");
    }

    #[test]
    fn every_market_is_filed_under_several_tags_of_different_names() {
        for subject in subjects(2_000) {
            let mut slugs: Vec<_> = subject.tags.iter().map(|tag| tag.slug).collect();
            assert!(slugs.len() >= 3, "{}", subject.question);
            slugs.sort_unstable();
            slugs.dedup();
            assert_eq!(slugs.len(), subject.tags.len(), "{}", subject.question);
        }
        for tag in ASSETS.iter().chain(&PLACES).chain(&TEAMS) {
            assert_eq!(tag.slug, slug(tag.label));
        }
    }

    #[test]
    fn numbers_and_names_are_written_as_the_venue_writes_them() {
        assert_eq!(grouped(84_000), "84,000");
        assert_eq!(grouped(140), "140");
        assert_eq!(
            slug("Will F. Müller win in Łódź?"),
            "will-f-muller-win-in-lodz"
        );
    }
}
