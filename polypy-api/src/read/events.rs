//! `/v1/events`: the events of which a market is asked for, a page at a time; and
//! `/v1/events/{event}`: one with its markets.
//!
//! An event has the number of the first of its markets that is listed, and the figures of all
//! of them.

use std::collections::HashMap;
use std::sync::Arc;

use polypy_core::catalogue::{CatalogueView, Fit};
use polypy_core::{
    BookState, BookTop, Cents, EventRef, MarketEntry, MarketNumber, MarketStatus, Price,
    SignedDecimal, Timestamp,
};
use polypy_http::{Answer as Stated, Call, Kind, Parameter, Reply, Route, StatusCode};
use serde::Serialize;

use super::Reads;
use super::book::NOT_MODIFIED;
use super::lists::{Items, Lists, Page};
use super::order::{Key, Sort, most, relevance};
use super::query::{self, FIELDS, Listing};
use super::render::{Fields, MarketObject, Text, Tops, is_followed};

const PATH: &str = "/v1/events";
const SUMMARY: &str = "the events of the markets that are asked for, a page at a time";
const ANSWERS: &[Stated] = &[
    Stated::json("events", "a page of events"),
    NOT_MODIFIED,
    Stated::error(410, "moment_expired: the order is not kept any more"),
];
const ONE: &str = "/v1/events/{event}";
const SUMMARY_OF_ONE: &str = "one event with its markets, their tops, and the sums of them";
const PARAMETERS: &[Parameter] = &[
    Parameter::new("tops", Kind::Flag, "the tops of its books, too").or("true"),
    FIELDS,
];
const ANSWERS_OF_ONE: &[Stated] = &[
    Stated::json("event", "the event"),
    Stated::error(404, "unknown_event: no market of it is listed"),
];
/// Lists computed at once.
const THREADS: u32 = 2;

/// The routes.
pub(crate) fn routes(lists: &Arc<Lists>) -> [Route; 2] {
    let events = Arc::new(Events(Arc::clone(&lists.reads)));
    let (reads, first) = (Arc::clone(&lists.reads), Arc::clone(&events));
    let (lists, ready) = (Arc::clone(lists), Arc::clone(lists));
    [
        Route::kept(
            PATH,
            SUMMARY,
            THREADS,
            move |call| ready.ready(&*first, call),
            move |call| lists.compute(&*events, call),
        )
        .with_parameters(&query::EVENTS)
        .answers(ANSWERS),
        Route::computed(ONE, SUMMARY_OF_ONE, THREADS, move |call| one(&reads, call))
            .with_parameters(PARAMETERS)
            .answers(ANSWERS_OF_ONE),
    ]
}

/// Lists of events.
pub(crate) struct Events(pub(crate) Arc<Reads>);

/// What the markets of an event come to.
#[derive(Debug, Default)]
struct Sums {
    markets: usize,
    open: usize,
    followed: usize,
    volume: Option<Cents>,
    volume_day: Option<Cents>,
    liquidity: Option<Cents>,
    /// When the last of them ends.
    end: Option<Timestamp>,
}

impl Sums {
    fn add(&mut self, entry: &MarketEntry) {
        self.markets += 1;
        self.open += usize::from(entry.status == MarketStatus::Open);
        self.followed += usize::from(is_followed(entry));
        self.volume = plus(self.volume, entry.figures.volume);
        self.volume_day = plus(self.volume_day, entry.figures.volume_day);
        self.liquidity = plus(self.liquidity, entry.figures.liquidity);
        self.end = self.end.max(entry.market.end_timestamp);
    }
}

fn plus(sum: Option<Cents>, more: Option<Cents>) -> Option<Cents> {
    match (sum, more) {
        (Some(sum), Some(more)) => Some(Cents::new(sum.get().saturating_add(more.get()))),
        (sum, more) => sum.or(more),
    }
}

/// An event while the list is made.
struct Matching {
    fit: Fit,
    /// One of the markets that match is of the kind that is wanted.
    is_wanted: bool,
    first: u64,
    sums: Sums,
}

#[derive(Serialize)]
struct Body<'a> {
    events: Vec<EventObject<'a>>,
    next_cursor: Option<String>,
    matched: usize,
    unfollowed: usize,
    unknown_tags: Vec<String>,
    complete: bool,
    sort: &'static str,
    instance: String,
    version: u64,
    figures_version: u64,
    moment_ms: Option<Timestamp>,
    moment: Option<Text<Timestamp>>,
}

#[derive(Serialize)]
struct EventObject<'a> {
    slug: &'a str,
    id: Option<&'a str>,
    title: &'a str,
    neg_risk: bool,
    neg_risk_augmented: bool,
    market_count: usize,
    open_count: usize,
    followed_count: usize,
    /// Of a list alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    matched_count: Option<usize>,
    volume: Option<Text<Cents>>,
    volume_day: Option<Text<Cents>>,
    liquidity: Option<Text<Cents>>,
    end_ms: Option<Timestamp>,
    end: Option<Text<Timestamp>>,
}

impl<'a> EventObject<'a> {
    fn new(event: &'a EventRef, sums: &Sums, matched: Option<usize>) -> Self {
        Self {
            slug: &event.slug,
            id: event.id.as_deref(),
            title: &event.title,
            neg_risk: event.neg_risk,
            neg_risk_augmented: event.neg_risk_augmented,
            market_count: sums.markets,
            open_count: sums.open,
            followed_count: sums.followed,
            matched_count: matched,
            volume: sums.volume.map(Text),
            volume_day: sums.volume_day.map(Text),
            liquidity: sums.liquidity.map(Text),
            end_ms: sums.end,
            end: sums.end.map(Text),
        }
    }
}

impl Items for Events {
    fn name(&self) -> &'static str {
        "events"
    }

    fn matching(&self, listing: &Listing, view: &CatalogueView) -> (Vec<(Key, u64)>, usize) {
        let mut events: HashMap<&str, Matching> = HashMap::new();
        listing.wanted.each(view, self.0.clock.now(), |found, fit| {
            let Some(event) = &found.entry.market.event else {
                return;
            };
            let followed = is_followed(found.entry);
            let is_wanted = listing.followed.is_none_or(|wanted| wanted == followed);
            let matching = events.entry(&event.slug).or_insert_with(|| Matching {
                fit,
                is_wanted: false,
                first: u64::MAX,
                sums: Sums::default(),
            });
            matching.is_wanted |= is_wanted;
            matching.fit = matching.fit.min(fit);
        });
        let all = events.len();
        events.retain(|_, matching| matching.is_wanted);
        let unfollowed = if listing.followed == Some(true) {
            all - events.len()
        } else {
            0
        };
        for found in view.iter() {
            let slug = found.entry.market.event.as_ref().map(|event| &*event.slug);
            if let Some(matching) = slug.and_then(|slug| events.get_mut(slug)) {
                matching.first = matching.first.min(found.entry.number.get());
                matching.sums.add(found.entry);
            }
        }
        let key = |matching: &Matching| {
            let sums = &matching.sums;
            match listing.sort {
                Sort::Relevance => relevance(matching.fit, sums.volume_day),
                Sort::Volume => most(sums.volume),
                Sort::Liquidity => most(sums.liquidity),
                Sort::End => sums.end.map_or(Key::MAX, Timestamp::millis),
                Sort::Listed => matching.first,
                Sort::VolumeDay | Sort::Spread | Sort::Change => most(sums.volume_day),
            }
        };
        let list = events.values().map(|it| (key(it), it.first)).collect();
        (list, unfollowed)
    }

    fn write(&self, listing: &Listing, page: &Page<'_>) -> serde_json::Result<Vec<u8>> {
        let view = page.view;
        let numbers = page.numbers.iter().map(|number| MarketNumber::new(*number));
        let events = numbers.filter_map(|number| view.get(number)?.market.event.as_deref());
        let now = self.0.clock.now();
        let object = |event: &'_ EventRef| {
            let mut sums = Sums::default();
            let entries = self.0.listed.event(&event.slug);
            entries.iter().for_each(|entry| sums.add(entry));
            let matched = listing.count(view, &entries, now);
            (sums, matched)
        };
        let body = Body {
            events: events
                .map(|event| {
                    let (sums, matched) = object(event);
                    EventObject::new(event, &sums, Some(matched))
                })
                .collect(),
            next_cursor: page.next_cursor(),
            matched: page.matched,
            unfollowed: page.unfollowed,
            unknown_tags: listing.wanted.unknown_tags(page.view),
            complete: view.is_complete(),
            sort: listing.sort.name(),
            instance: page.instance.to_string(),
            version: view.version(),
            figures_version: view.figures_version(),
            moment_ms: page.moment,
            moment: page.moment.map(Text),
        };
        let mut json = serde_json::to_vec(&body)?;
        json.push(b'\n');
        Ok(json)
    }
}

#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    event: EventObject<'a>,
    sum_best_bid: Option<SignedDecimal>,
    sum_best_ask: Option<SignedDecimal>,
    markets: Vec<MarketObject<'a>>,
}

fn one(reads: &Reads, call: &Call) -> Reply {
    let fields = Fields::named(call.query());
    let entries = reads.listed.event(call.segment("event"));
    let event = entries
        .first()
        .and_then(|entry| entry.market.event.as_ref());
    let Some(event) = event else {
        let text = "no market of such an event is listed: give its slug; /v1/events?q= finds it";
        return call.problem(
            StatusCode::NOT_FOUND,
            "unknown_event",
            &reads.unlisted(text),
        );
    };
    // Behind the markets: they have no tags that these have not.
    let view = reads.listed.view();
    let tops = Tops::read(&*reads.books, entries.iter());
    let shows_tops = call.query().flag("tops").unwrap_or(true);
    let mut sums = Sums::default();
    entries.iter().for_each(|entry| sums.add(entry));
    let price = |price: fn(&BookTop) -> Option<Price>| sum_of_first(&entries, &tops, price);
    let body = Whole {
        event: EventObject::new(event, &sums, None),
        sum_best_bid: price(|top| Some(top.bid?.price)),
        sum_best_ask: price(|top| Some(top.ask?.price)),
        markets: entries
            .iter()
            .enumerate()
            .map(|(at, entry)| MarketObject {
                entry,
                tags: view.tags(),
                tops: shows_tops.then(|| tops.of(at)),
                fields,
            })
            .collect(),
    };
    Reply::json(StatusCode::OK, &body)
}

/// The sum of a price over the first outcomes of all markets that trade; `None` unless the
/// book of each is live and has it: a sum of what is left would look like a bargain.
fn sum_of_first(
    entries: &[MarketEntry],
    tops: &Tops,
    price: fn(&BookTop) -> Option<Price>,
) -> Option<SignedDecimal> {
    let open = entries.iter().enumerate();
    let mut open = open.filter(|(_, entry)| entry.status == MarketStatus::Open);
    let mut sum = None;
    open.try_for_each(|(at, _)| {
        let top = tops.of(at).first().copied().flatten();
        let top = top.filter(|top| top.state == BookState::Live)?;
        *sum.get_or_insert(0) += i64::from(price(&top)?.millionths()) * 10;
        Some(())
    })?;
    sum.map(SignedDecimal::from_ten_millionths)
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
