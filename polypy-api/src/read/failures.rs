//! `/v1/failures`: the newest books that were asked for again, and how they stand now.

use std::sync::Arc;

use polypy_core::{AssetKey, BookTop, StaleReason, Timestamp};
use polypy_http::{Answer, Call, Kind, Parameter, Reply, Route, StatusCode};
use serde::Serialize;

use super::book::Named;
use super::render::Text;
use super::{Reads, reason};
use crate::failures::{Failure, FailureLog, MOST};

const SUMMARY: &str = "the newest books that were asked for again, and how they stand now";
/// Answers made at once: each looks at some books.
const THREADS: u32 = 1;
const PARAMETERS: &[Parameter] = &[Parameter::new(
    "limit",
    Kind::Whole {
        least: 1,
        most: MOST,
    },
    "books in the answer at most, the newest",
)
.or("64")];
const ANSWERS: &[Answer] = &[Answer::json("failures", "the books")];

/// The route.
pub(super) fn route(reads: &Arc<Reads>, log: &Arc<FailureLog>) -> Route {
    let (reads, log) = (Arc::clone(reads), Arc::clone(log));
    Route::computed("/v1/failures", SUMMARY, THREADS, move |call| {
        answer(&reads, &log, call)
    })
    .with_parameters(PARAMETERS)
    .answers(ANSWERS)
}

#[derive(Serialize)]
struct Body<'a> {
    failures: Vec<Row<'a>>,
    asked: u64,
}

#[derive(Serialize)]
struct Row<'a> {
    token_id: &'a str,
    outcome: Option<&'a str>,
    condition_id: Option<&'a str>,
    slug: Option<&'a str>,
    question: Option<&'a str>,
    reason: StaleReason,
    times: u64,
    first_ms: u64,
    first: Text<Timestamp>,
    last_ms: u64,
    last: Text<Timestamp>,
    now: Now,
}

/// How a book stands.
#[derive(Serialize)]
struct Now {
    state: &'static str,
    reason: Option<StaleReason>,
    verified: Option<bool>,
    epoch: Option<u64>,
}

impl Now {
    fn of(top: Option<&BookTop>) -> Self {
        Self {
            state: top.map_or("pending", |top| top.state.name()),
            reason: top.and_then(|top| reason(top.state)),
            verified: top.and_then(|top| top.verified),
            epoch: top.map(|top| top.position.epoch),
        }
    }
}

fn answer(reads: &Reads, log: &FailureLog, call: &Call) -> Reply {
    let limit = call.query().whole("limit").unwrap_or(MOST);
    let (mut failures, asked) = log.newest();
    failures.truncate(limit);
    let keys: Vec<AssetKey> = failures.iter().map(|one| one.asset).collect();
    let tops = reads.books.tops(&keys);
    let named: Vec<Named> = keys.iter().map(|key| reads.named(*key)).collect();
    let anchor = reads.anchor();
    let rows = failures.iter().zip(&named).zip(&tops);
    let rows = rows.filter_map(|((failure, named), top): ((&Failure, _), _)| {
        // One that is forgotten has no name any more.
        let token = named.token.as_ref()?;
        let (first_ms, last_ms) = (anchor.millis(failure.first), anchor.millis(failure.last));
        Some(Row {
            token_id: token.info.asset_id.as_str(),
            outcome: named.outcome(),
            condition_id: named.condition_id(),
            slug: named.slug(),
            question: named.market.as_ref().map(|market| market.question.as_str()),
            reason: failure.reason,
            times: failure.times,
            first_ms,
            first: Text(Timestamp::from_millis(first_ms)),
            last_ms,
            last: Text(Timestamp::from_millis(last_ms)),
            now: Now::of(top.as_ref()),
        })
    });
    let body = Body {
        failures: rows.collect(),
        asked,
    };
    Reply::json(StatusCode::OK, &body)
}
