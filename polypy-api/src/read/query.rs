//! What a request for markets asks for.

use polypy_core::catalogue::{
    Bound, CatalogueView, EntryRef, Fit, Glob, Ids, Kinds, Label, MarketFilter, Phrase,
    PhraseError, ReadyFilter,
};
use polypy_core::{Cents, ConditionId, MarketEntry, MarketStatus, Timestamp};
use polypy_http::{Kind, Parameter, Query};

use super::cursor::{BadPageEnd, PageEnd};
use super::order::Sort;
use super::render::{Field, Fields, is_followed};
use crate::filter::{BadParameter, quoted};

/// Values of one kind at most: each is compared with each market.
const MOST_VALUES: usize = 50;
const LIST: Kind = Kind::List { most: MOST_VALUES };
/// Phrases are looked for in all texts.
const PHRASES: Kind = Kind::List { most: 8 };
/// What addresses have: no white space, of which U+0085 is not `\s` to everybody.
const SLUG: &str = r"^[^\s\u0085,]{1,512}$";
/// As [`ConditionId`] has them.
const ID: &str = "^0[xX][0-9a-fA-F]{1,64}$";
const MOST_MARKETS: usize = 1_000;
const USUAL_MARKETS: usize = 100;

/// The parameters that say which markets are meant.
pub(crate) const FILTER: [Parameter; 19] = [
    Parameter::new(
        "q",
        Kind::Text { most: 256 },
        "one to eight words; each is the beginning of a word of question, event or slug",
    ),
    Parameter::new("tags", LIST, "slugs or labels of tags"),
    Parameter::new("categories", LIST, "categories"),
    Parameter::new("events", LIST, "slugs of events, with * for any text").like(SLUG),
    Parameter::new("slugs", LIST, "slugs of markets, with * for any text").like(SLUG),
    Parameter::new("ids", LIST, "condition ids").like(ID),
    Parameter::new("exclude_tags", LIST, "none of these tags"),
    Parameter::new("exclude_categories", LIST, "none of these categories"),
    Parameter::new("exclude_events", LIST, "none of these events").like(SLUG),
    Parameter::new("exclude_slugs", LIST, "none of these markets").like(SLUG),
    Parameter::new("exclude_text", PHRASES, "none with these words"),
    Parameter::new("exclude_ids", LIST, "none of these condition ids").like(ID),
    Parameter::new("min_volume", Kind::Dollars, "dollars traded, at least"),
    Parameter::new(
        "min_volume_day",
        Kind::Dollars,
        "dollars traded within a day, at least",
    ),
    Parameter::new(
        "min_liquidity",
        Kind::Dollars,
        "dollars in the books, at least",
    ),
    Parameter::new(
        "ends_after",
        Kind::Moment,
        "a date, a moment, or how long from now (7d, 12h)",
    ),
    Parameter::new(
        "ends_before",
        Kind::Moment,
        "a date, a moment, or how long from now (7d, 12h)",
    ),
    Parameter::new(
        "neg_risk",
        Kind::Flag,
        "whether they are part of a negative-risk event",
    ),
    Parameter::new(
        "status",
        Kind::OneOf(&["open", "resolved", "closed", "any"]),
        "whether they trade",
    )
    .or("open"),
];

/// The orders of markets; those of events are the ones before the last two.
const SORTS: &[&str] = &[
    "relevance",
    "volume_day",
    "volume",
    "liquidity",
    "end",
    "listed",
    "spread",
    "change",
];

const fn sorted_by(words: &'static [&'static str]) -> Parameter {
    Parameter::new("sort", Kind::OneOf(words), "the order").or("relevance with q, else volume_day")
}

/// Whether what is followed is wanted, or what is not.
pub(super) const fn followed() -> Parameter {
    Parameter::new(
        "followed",
        Kind::OneOf(&["true", "false", "any"]),
        "whether their books are kept here",
    )
    .or("true")
}

/// What it says; `None` for any.
pub(super) fn is_followed_wanted(query: &Query) -> Option<bool> {
    match query.text("followed") {
        None | Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) => None,
    }
}

/// How a book may stand, as the parameter `state` names it.
pub(super) const STATES: &[&str] = &["pending", "live", "stale", "settled"];
const STATE: Parameter = Parameter::new(
    "state",
    Kind::OneOf(STATES),
    "only markets of which a book stands so",
);

const LISTING: [Parameter; 4] = [
    followed(),
    sorted_by(SORTS),
    Parameter::new(
        "limit",
        Kind::Whole {
            least: 1,
            most: MOST_MARKETS,
        },
        "so many in the answer at most",
    )
    .or("100"),
    Parameter::new("cursor", Kind::Cursor, "next_cursor of the page before"),
];

/// Which fields of markets are wanted.
pub(crate) const FIELDS: Parameter = Parameter::new(
    "fields",
    Kind::Words(&Field::NAMES),
    "names of the fields that are wanted",
)
.or("all");
const TOPS: Parameter =
    Parameter::new("tops", Kind::Flag, "the tops of their books, too").or("false");

/// The parameters of a list of events.
pub(crate) const EVENTS: [Parameter; 23] = {
    let mut all = [TOPS; 23];
    let (mut at, filter, listing) = (0, FILTER, LISTING);
    while at < filter.len() {
        all[at] = filter[at];
        at += 1;
    }
    while at < all.len() {
        all[at] = listing[at - filter.len()];
        at += 1;
    }
    let (of_events, _) = SORTS.split_at(SORTS.len() - 2);
    all[filter.len() + 1] = sorted_by(of_events);
    all
};

/// The parameters of a list of markets.
pub(crate) const MARKETS: [Parameter; 26] = {
    let mut all = [TOPS; 26];
    let (mut at, events) = (0, EVENTS);
    while at < events.len() {
        all[at] = events[at];
        at += 1;
    }
    all[FILTER.len() + 1] = sorted_by(SORTS);
    all[events.len()] = FIELDS;
    all[events.len() + 1] = STATE;
    all
};

/// Which markets are meant.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    phrase: Option<Phrase>,
    filter: MarketFilter,
    /// The filter leaves something out.
    is_filtered: bool,
    status: Option<MarketStatus>,
}

impl Wanted {
    /// Reads the parameters of [`FILTER`].
    pub(crate) fn read(query: &Query) -> Result<Self, BadParameter> {
        let phrase = query.text("q").map(|text| {
            Phrase::parse(text).map_err(|error| BadParameter::new("q", error.to_string()))
        });
        let filter = MarketFilter {
            include: Kinds {
                tags: list(query, "tags", label)?,
                categories: list(query, "categories", label)?,
                events: list(query, "events", parsed::<Glob>)?,
                slugs: list(query, "slugs", parsed::<Glob>)?,
                text: Vec::new(),
                ids: list(query, "ids", id)?.into_iter().collect::<Ids>(),
            },
            exclude: Kinds {
                tags: list(query, "exclude_tags", label)?,
                categories: list(query, "exclude_categories", label)?,
                events: list(query, "exclude_events", parsed::<Glob>)?,
                slugs: list(query, "exclude_slugs", parsed::<Glob>)?,
                text: list(query, "exclude_text", |text| {
                    Phrase::parse(text).map_err(|error| error.to_string())
                })?,
                ids: list(query, "exclude_ids", id)?.into_iter().collect::<Ids>(),
            },
            // What is none was refused with the kind of the parameter.
            min_volume: query.text("min_volume").and_then(Cents::typed),
            min_volume_day: query.text("min_volume_day").and_then(Cents::typed),
            min_liquidity: query.text("min_liquidity").and_then(Cents::typed),
            ends_after: bound(query, "ends_after"),
            ends_before: bound(query, "ends_before"),
            neg_risk: query.flag("neg_risk"),
        };
        Ok(Self {
            phrase: phrase.transpose()?,
            is_filtered: filter != MarketFilter::default(),
            filter,
            status: match query.text("status") {
                None | Some("open") => Some(MarketStatus::Open),
                Some("resolved") => Some(MarketStatus::Resolved),
                Some("closed") => Some(MarketStatus::Closed),
                Some(_) => None,
            },
        })
    }

    /// Whether words are looked for.
    pub(crate) fn has_words(&self) -> bool {
        self.phrase.is_some()
    }

    /// The tags that are named and that nothing has; none while the venue gives no tags at all.
    pub(crate) fn unknown_tags(&self, view: &CatalogueView) -> Vec<String> {
        if view.tags().is_empty() {
            return Vec::new();
        }
        let unknown = self.filter.unknown_tags(view.tags());
        unknown.map(|name| name.as_str().to_owned()).collect()
    }

    /// Whether it means other markets by and by, though no market changes.
    pub(crate) fn moves_with_time(&self) -> bool {
        let bounds = [self.filter.ends_after, self.filter.ends_before];
        bounds
            .into_iter()
            .flatten()
            .any(|bound| matches!(bound, Bound::FromNow(_)))
    }

    /// Shows each market that is meant, in the order in which they were listed.
    pub(crate) fn each<'a>(
        &'a self,
        view: &'a CatalogueView,
        now: Timestamp,
        mut show: impl FnMut(EntryRef<'a>, Fit),
    ) {
        let filter = self.filter.ready(None, view.tags(), now);
        let mut look = |found: EntryRef<'a>, fit| {
            if self.has(&filter, found) {
                show(found, fit);
            }
        };
        match &self.phrase {
            Some(phrase) => view
                .search(phrase)
                .for_each(|(found, fit)| look(found, fit)),
            None => view.iter().for_each(|found| look(found, Fit::Beginning)),
        }
    }
}

impl Wanted {
    /// Whether a market that has the words is meant. Where nothing is filtered no check is
    /// gone through: there are tens of thousands of markets.
    fn has(&self, filter: &ReadyFilter<'_>, found: EntryRef<'_>) -> bool {
        let is_of_status = self
            .status
            .is_none_or(|status| found.entry.status == status);
        is_of_status && (!self.is_filtered || filter.matches(found, &mut ()).is_ok())
    }
}

/// What is asked of a list of markets, or of events.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    pub(crate) wanted: Wanted,
    /// Whether only those are wanted that are followed, or that are not.
    pub(crate) followed: Option<bool>,
    /// How a book of theirs has to stand: a place in [`STATES`].
    pub(crate) state: Option<usize>,
    pub(crate) sort: Sort,
    pub(crate) limit: usize,
    pub(crate) after: Option<PageEnd>,
    pub(crate) fields: Fields,
    pub(crate) tops: bool,
    /// What all pages of one list have in common.
    pub(crate) text: String,
}

impl Listing {
    /// Reads the parameters of [`MARKETS`] or of [`EVENTS`], for a list of this name.
    pub(crate) fn read(of: &'static str, query: &Query) -> Result<Self, BadParameter> {
        let wanted = Wanted::read(query)?;
        let sort = match query.text("sort").and_then(Sort::named) {
            Some(Sort::Relevance) if !wanted.has_words() => {
                let reason = "relevance is to the words of q: add q, or sort by another order";
                return Err(BadParameter::new("sort", reason));
            }
            Some(sort) => sort,
            None if wanted.has_words() => Sort::Relevance,
            None => Sort::VolumeDay,
        };
        let after = query.text("cursor").map(|text| {
            text.parse::<PageEnd>()
                .map_err(|error: BadPageEnd| BadParameter::new("cursor", error.to_string()))
        });
        let mut text = format!("{of} sort={}", sort.name());
        let listing = LISTING.iter().take(1);
        for Parameter { name, .. } in FILTER.iter().chain(listing).chain([&STATE]) {
            if let Some(value) = query.text(name) {
                text.push_str(&format!(" {name}={value:?}"));
            }
        }
        Ok(Self {
            wanted,
            followed: is_followed_wanted(query),
            state: query
                .text("state")
                .and_then(|name| STATES.iter().position(|state| *state == name)),
            sort,
            limit: query.whole("limit").unwrap_or(USUAL_MARKETS),
            after: after.transpose()?,
            fields: Fields::named(query),
            tops: query.flag("tops").unwrap_or(false),
            text,
        })
    }

    /// Whether it takes a look at books.
    pub(crate) fn is_of_books(&self) -> bool {
        self.sort.is_of_books() || self.state.is_some()
    }

    /// Whether equal versions of the catalogue mean equal lists.
    pub(crate) fn has_lasting_order(&self) -> bool {
        !self.is_of_books() && !self.wanted.moves_with_time()
    }

    /// Whether they mean equal answers.
    pub(crate) fn is_lasting(&self) -> bool {
        self.has_lasting_order() && !self.tops
    }

    /// How many of these markets match.
    pub(crate) fn count(
        &self,
        view: &CatalogueView,
        entries: &[MarketEntry],
        now: Timestamp,
    ) -> usize {
        let filter = self.wanted.filter.ready(None, view.tags(), now);
        let phrase = self.wanted.phrase.as_ref();
        let found = entries.iter().filter_map(|entry| {
            let found = view.from(entry.number).next()?;
            (found.entry.number == entry.number).then_some(found)
        });
        let matching = found.filter(|found| {
            let is_wanted = |wanted| wanted == is_followed(found.entry);
            self.followed.is_none_or(is_wanted)
                && phrase.is_none_or(|phrase| phrase.fit(found.words).is_some())
                && self.wanted.has(&filter, *found)
        });
        matching.count()
    }

    /// What answers to this are kept under.
    pub(crate) fn key(&self) -> String {
        let after = self.after.map(|after| after.to_string());
        let (limit, fields, text) = (self.limit, self.fields.bits(), &self.text);
        let (after, tops) = (after.unwrap_or_default(), u8::from(self.tops));
        format!("{limit} {fields:x} {tops} {after} {text}")
    }
}

fn list<T>(
    query: &Query,
    name: &'static str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, BadParameter> {
    let Some(values) = query.list(name) else {
        return Ok(Vec::new());
    };
    let read = |value| {
        read(value)
            .map_err(|reason| BadParameter::new(name, format!("{}: {reason}", quoted(value))))
    };
    values.map(str::trim).map(read).collect()
}

fn label(text: &str) -> Result<Label, String> {
    Label::new(text).ok_or_else(|| PhraseError::NoWord.to_string())
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

fn id(text: &str) -> Result<ConditionId, String> {
    ConditionId::new(text).map_err(|error| error.to_string())
}

fn bound(query: &Query, name: &str) -> Option<Bound> {
    query.text(name)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::string::string_regex;
    use proptest::test_runner::TestRunner;

    use super::*;

    #[test]
    fn what_the_pattern_of_a_parameter_allows_is_read() {
        let mut runner = TestRunner::deterministic();
        let stated = MARKETS.iter().filter(|one| !one.pattern.is_empty());
        let mut held = 0;
        for parameter in stated {
            let pattern = parameter.pattern.trim_matches(['^', '$']);
            let value = string_regex(pattern).unwrap();
            let read = |values: Vec<String>| {
                let values = values.join(",");
                let encoded: String = values.bytes().map(|byte| format!("%{byte:02x}")).collect();
                let raw = format!("{}={encoded}", parameter.name);
                let query = Query::parse(&raw, &MARKETS).map_err(|error| error.to_string());
                let read = query.map(|query| Wanted::read(&query));
                proptest::prop_assert!(matches!(read, Ok(Ok(_))), "{values:?}: {read:?}");
                Ok(())
            };
            runner.run(&vec(value, 1..4), read).unwrap();
            held += 1;
        }
        assert_eq!(held, 6);
    }

    #[test]
    fn what_no_pattern_allows_is_refused() {
        for (name, value) in [
            ("slugs", "a+b"),
            ("exclude_events", "a%09b"),
            ("ids", "7"),
            ("ids", "0x"),
            ("exclude_ids", "0xg"),
            ("q", "!"),
            ("tags", "-"),
        ] {
            let query = Query::parse(&format!("{name}={value}"), &MARKETS).unwrap();
            let error = Wanted::read(&query).unwrap_err();
            assert_eq!(error.name, name, "{value}");
        }
    }
}
