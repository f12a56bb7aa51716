//! `/v1/markets/{market}`: one market by condition id or slug, and why it is followed or not.

use std::sync::Arc;

use polypy_core::catalogue::{Check, Explanation, Tags};
use polypy_core::{BookTop, MarketEntry};
use polypy_http::{Answer as Stated, Call, Kind, Parameter, Reply, Route, StatusCode};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::Reads;
use super::query::FIELDS;
use super::render::{Fields, MarketObject, Tops, is_followed, not_followed};

const PATH: &str = "/v1/markets/{market}";
const SUMMARY: &str = "one market by condition id or slug, and why it is followed or not";
/// The catalogue's lock may be held for milliseconds.
const THREADS: u32 = 2;
const SELECTION: &str = "selection";
const PARAMETERS: &[Parameter] = &[
    Parameter::new("tops", Kind::Flag, "the tops of its books, too").or("false"),
    FIELDS,
    Parameter::new(
        "explain",
        Kind::OneOf(&[SELECTION]),
        "selection: each check that led to its being followed or not",
    ),
];
const ANSWERS: &[Stated] = &[
    Stated::json("market", "the market"),
    Stated::error(404, "unknown_market: nobody lists it"),
];

/// The route.
pub(crate) fn route(reads: &Arc<Reads>) -> Route {
    let reads = Arc::clone(reads);
    Route::computed(PATH, SUMMARY, THREADS, move |call| answer(&reads, call))
        .with_parameters(PARAMETERS)
        .answers(ANSWERS)
}

fn answer(reads: &Reads, call: &Call) -> Reply {
    let fields = Fields::named(call.query());
    let found = reads.listed.find(call.segment("market"));
    let Some((entry, others)) = found.split_first() else {
        let text = "no such market: give a condition id or a slug; /v1/markets?q= finds markets by their words";
        return call.problem(
            StatusCode::NOT_FOUND,
            "unknown_market",
            &reads.unlisted(text),
        );
    };
    let is_explained = call.query().text("explain") == Some(SELECTION);
    let explanation = is_explained.then(|| reads.listed.explain(entry.number));
    let explanation = explanation.flatten();
    // What was judged is what is shown.
    let entry = explanation.as_ref().map_or(entry, |it| &it.entry);
    let tops = call.query().flag("tops").unwrap_or(false);
    let tops = tops.then(|| Tops::read(&*reads.books, std::iter::once(entry)));
    // Behind the market: it has no tags that these have not.
    let view = reads.listed.view();
    let body = Body {
        entry,
        tags: view.tags(),
        tops: tops.as_ref().map(|tops| tops.of(0)),
        fields,
        others,
        explanation: explanation.as_ref(),
    };
    Reply::json(StatusCode::OK, &body)
}

struct Body<'a> {
    entry: &'a MarketEntry,
    tags: &'a Tags,
    tops: Option<&'a [Option<BookTop>]>,
    fields: Fields,
    /// Others of the same name.
    others: &'a [MarketEntry],
    explanation: Option<&'a Explanation>,
}

#[derive(Serialize)]
struct Selection<'a> {
    followed: bool,
    not_followed: Option<&'static str>,
    generation: u64,
    checks: Vec<CheckObject<'a>>,
}

#[derive(Serialize)]
struct CheckObject<'a> {
    key: &'static str,
    holds: bool,
    wanted: &'a str,
    found: &'a str,
    origin: Option<&'a str>,
}

impl<'a> From<&'a Check> for CheckObject<'a> {
    fn from(check: &'a Check) -> Self {
        Self {
            key: check.key,
            holds: check.holds,
            wanted: &check.wanted,
            found: &check.found,
            origin: check.origin.as_deref(),
        }
    }
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let market = MarketObject {
            entry: self.entry,
            tags: self.tags,
            tops: self.tops,
            fields: self.fields,
        };
        market.write_into(&mut map)?;
        let others = self.others.iter().map(|other| &other.market.condition_id);
        map.serialize_entry("same_slug", &others.collect::<Vec<_>>())?;
        if let Some(explanation) = self.explanation {
            let selection = Selection {
                followed: is_followed(&explanation.entry),
                not_followed: not_followed(&explanation.entry),
                generation: explanation.generation,
                checks: explanation.checks.iter().map(CheckObject::from).collect(),
            };
            map.serialize_entry(SELECTION, &selection)?;
        }
        map.end()
    }
}
