//! `/v1/tokens`: the tokens whose ids begin with some digits, for people who type no id of 77
//! digits whole; and where none does, those that begin most alike.

use std::sync::Arc;

use polypy_core::MarketEntry;
use polypy_http::{Answer, Call, Kind, Parameter, Reply, Route, StatusCode};
use serde::Serialize;

use super::Reads;
use super::query::followed;
use super::render::is_followed;

const SUMMARY: &str = "the tokens whose ids begin with these digits";
/// Lists computed at once: each looks at all ids.
const THREADS: u32 = 1;
const MOST_TOKENS: usize = 100;
const USUAL_TOKENS: usize = 10;
/// Digits of an id.
const LONGEST: usize = 78;
/// Digits that are the same from which on ids are alike: fewer are so by chance.
const ALIKE: usize = 3;
const PARAMETERS: &[Parameter] = &[
    Parameter::new(
        "begins",
        Kind::Text { most: LONGEST },
        "the first digits of the ids; have to be given",
    )
    .like("^[0-9]+$")
    .required(),
    followed(),
    Parameter::new(
        "limit",
        Kind::Whole {
            least: 1,
            most: MOST_TOKENS,
        },
        "so many in the answer at most",
    )
    .or("10"),
];
const ANSWERS: &[Answer] = &[Answer::json("tokens", "the tokens, by their ids")];

/// The route.
pub(super) fn route(reads: &Arc<Reads>) -> Route {
    let reads = Arc::clone(reads);
    Route::computed("/v1/tokens", SUMMARY, THREADS, move |call| {
        answer(&reads, call)
    })
    .with_parameters(PARAMETERS)
    .answers(ANSWERS)
}

#[derive(Serialize)]
struct Body<'a> {
    tokens: Vec<Found<'a>>,
    matched: usize,
    nearest: Vec<Found<'a>>,
}

#[derive(Serialize)]
struct Found<'a> {
    token_id: &'a str,
    outcome: &'a str,
    condition_id: &'a str,
    slug: Option<&'a str>,
    question: &'a str,
    followed: bool,
}

/// A token of a market, by its place among the market's.
#[derive(Clone, Copy)]
struct Place<'a> {
    entry: &'a MarketEntry,
    at: usize,
}

impl<'a> Place<'a> {
    fn id(self) -> &'a str {
        self.entry.market.tokens[self.at].token_id.as_str()
    }

    fn found(self) -> Found<'a> {
        let market = &*self.entry.market;
        Found {
            token_id: self.id(),
            outcome: &market.tokens[self.at].outcome,
            condition_id: market.condition_id.as_str(),
            slug: market.slug.as_deref(),
            question: &market.question,
            followed: is_followed(self.entry),
        }
    }
}

fn answer(reads: &Reads, call: &Call) -> Reply {
    let query = call.query();
    let wrong = |why| call.bad_parameter("begins", why);
    let Some(begins) = query.text("begins") else {
        return wrong("begins: give the first digits of an id");
    };
    if begins.is_empty() || !begins.bytes().all(|byte| byte.is_ascii_digit()) {
        return wrong("begins: ids of tokens are decimal digits");
    }
    let limit = query.whole("limit").unwrap_or(USUAL_TOKENS);
    let wanted = super::query::is_followed_wanted(query);
    let view = reads.listed.view();
    let entries = view.iter().map(|found| found.entry);
    let entries = entries.filter(|entry| wanted.is_none_or(|wanted| wanted == is_followed(entry)));
    let all =
        entries.flat_map(|entry| (0..entry.market.tokens.len()).map(move |at| Place { entry, at }));
    let (mut matching, mut alike) = (Vec::new(), Vec::new());
    for place in all {
        match common(place.id(), begins) {
            digits if digits == begins.len() => matching.push(place),
            digits if digits >= ALIKE => alike.push((digits, place)),
            _ => {}
        }
    }
    let matched = matching.len();
    matching.sort_unstable_by_key(|place| place.id());
    matching.truncate(limit);
    if matched > 0 {
        alike.clear();
    }
    alike.sort_unstable_by(|one, other| {
        let ids = || one.1.id().cmp(other.1.id());
        other.0.cmp(&one.0).then_with(ids)
    });
    alike.truncate(limit);
    let body = Body {
        tokens: matching.into_iter().map(Place::found).collect(),
        matched,
        nearest: alike.into_iter().map(|(_, place)| place.found()).collect(),
    };
    Reply::json(StatusCode::OK, &body)
}

/// Digits that both begin with.
fn common(one: &str, other: &str) -> usize {
    let pairs = one.bytes().zip(other.bytes());
    pairs.take_while(|(one, other)| one == other).count()
}
