//! `/v1/connections`: the connections to the venue one by one, as they are at this moment.

use std::cmp::{Ordering, Reverse};
use std::sync::Arc;
use std::time::Duration;

use polypy_core::metrics::millis;
use polypy_core::{Clock, ConnectionEnd, ConnectionReport, Timestamp};
use polypy_http::{Answer, Call, Kind, Parameter, Reply, Route, StatusCode};
use serde::Serialize;

use super::render::Text;
use crate::samples::{Rates, Samples};

const SUMMARY: &str = "the connections to the venue: rates, silence, how the last socket ended";
/// Lists computed at once: there may be hundreds of connections.
const THREADS: u32 = 1;
const MOST: usize = 1_000;
const USUAL: usize = 100;
/// The orders, by name. The first is that of those who name none.
const SORTS: &[&str] = &[
    "trouble",
    "name",
    "messages",
    "bytes",
    "silence",
    "tokens",
    "reconnects",
];
const PARAMETERS: &[Parameter] = &[
    Parameter::new(
        "sort",
        Kind::OneOf(SORTS),
        "the order: those in trouble first, by name, or the greatest first",
    )
    .or("trouble"),
    Parameter::new(
        "limit",
        Kind::Whole {
            least: 1,
            most: MOST,
        },
        "so many in the answer at most",
    )
    .or("100"),
];
const ANSWERS: &[Answer] = &[Answer::json("connections", "the connections")];

/// The route.
pub(super) fn route(samples: &Arc<Samples>, clock: &Arc<dyn Clock>) -> Route {
    let (samples, clock) = (Arc::clone(samples), Arc::clone(clock));
    Route::computed("/v1/connections", SUMMARY, THREADS, move |call| {
        answer(&samples, clock.now(), call)
    })
    .with_parameters(PARAMETERS)
    .answers(ANSWERS)
}

/// How a connection is, from the worst to the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// It has no socket, and tries to get one.
    Lost,
    /// It has said nothing since it was opened, and for longer than it may.
    Mute,
    /// It has brought nothing of its tokens for longer than it may.
    Silent,
    /// It trails the other connection of its pair.
    Lagging,
    /// Its first socket is being opened.
    Connecting,
    /// It waits for first books.
    Loading,
    /// It serves until its replacement has settled in.
    Draining,
    /// It carries nothing.
    Idle,
    Live,
}

impl State {
    fn of(report: &ConnectionReport) -> Self {
        let is_beyond = match (report.silent_for, report.silence_limit) {
            (Some(silence), Some(limit)) => silence > limit,
            (None, _) | (_, None) => false,
        };
        match report.status {
            "idle" => Self::Idle,
            "connecting" => Self::Connecting,
            _ if !report.is_open => Self::Lost,
            _ if report.is_draining => Self::Draining,
            _ if !report.is_healthy => Self::Mute,
            _ if is_beyond => Self::Silent,
            _ if report.is_lagging => Self::Lagging,
            _ if report.awaited_books > 0 => Self::Loading,
            _ => Self::Live,
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    connections: Vec<Row<'a>>,
    /// How many there are in all.
    matched: usize,
    /// Those whose socket is open.
    open: usize,
    sort: &'a str,
    moment_ms: Timestamp,
    moment: Text<Timestamp>,
}

#[derive(Serialize)]
struct Row<'a> {
    connection: &'a str,
    state: State,
    feed: Option<u64>,
    tokens: usize,
    ended_tokens: usize,
    awaited_books: usize,
    messages_per_second: Option<f64>,
    bytes_per_second: Option<f64>,
    messages: u64,
    bytes: u64,
    reconnects: u64,
    opened_ms: Option<Timestamp>,
    opened: Option<Text<Timestamp>>,
    silent_ms: Option<u64>,
    silence_limit_ms: Option<u64>,
    last_end: Option<End<'a>>,
    next_attempt_ms: Option<Timestamp>,
    next_attempt: Option<Text<Timestamp>>,
}

#[derive(Serialize)]
struct End<'a> {
    cause: &'static str,
    detail: &'a str,
    close_code: Option<u16>,
    at_ms: Timestamp,
    at: Text<Timestamp>,
}

impl<'a> Row<'a> {
    fn new(report: &'a ConnectionReport, rates: Rates, now: Timestamp) -> Self {
        let ago = |ago: Duration| Timestamp::from_millis(now.millis().saturating_sub(millis(ago)));
        let opened = report.open_for.map(ago);
        let next_attempt = report
            .next_attempt_in
            .map(|wait| Timestamp::from_millis(now.millis().saturating_add(millis(wait))));
        let end = |end: &'a ConnectionEnd| End {
            cause: end.cause,
            detail: &end.detail,
            close_code: end.close_code,
            at_ms: ago(end.ago),
            at: Text(ago(end.ago)),
        };
        Self {
            connection: &report.name,
            state: State::of(report),
            feed: report.feed,
            tokens: report.tokens,
            ended_tokens: report.ended_tokens,
            awaited_books: report.awaited_books,
            messages_per_second: rates.messages.map(rounded),
            bytes_per_second: rates.bytes.map(rounded),
            messages: report.messages,
            bytes: report.bytes,
            reconnects: report.reconnects,
            opened_ms: opened,
            opened: opened.map(Text),
            silent_ms: report.silent_for.map(millis),
            silence_limit_ms: report.silence_limit.map(millis),
            last_end: report.last_end.as_ref().map(end),
            next_attempt_ms: next_attempt,
            next_attempt: next_attempt.map(Text),
        }
    }
}

/// To three digits behind the point.
fn rounded(rate: f64) -> f64 {
    (rate * 1_000.0).round() / 1_000.0
}

fn answer(samples: &Samples, now: Timestamp, call: &Call) -> Reply {
    let query = call.query();
    let sort = query.text("sort").unwrap_or(SORTS[0]);
    let limit = query.whole("limit").unwrap_or(USUAL);
    let mut all = samples.connections();
    order(&mut all, sort);
    let body = Body {
        matched: all.len(),
        open: all.iter().filter(|(report, _)| report.is_open).count(),
        sort,
        moment_ms: now,
        moment: Text(now),
        connections: all
            .iter()
            .take(limit)
            .map(|(report, rates)| Row::new(report, *rates, now))
            .collect(),
    };
    Reply::json(StatusCode::OK, &body)
}

/// Equals stand in the order of their numbers.
fn order(all: &mut [(ConnectionReport, Rates)], sort: &str) {
    let greatest = |one: Option<f64>, other: Option<f64>| {
        let known = |rate: Option<f64>| rate.unwrap_or(-1.0);
        known(other).total_cmp(&known(one))
    };
    all.sort_by(|(one, its), (other, others)| {
        let first = match sort {
            "messages" => greatest(its.messages, others.messages),
            "bytes" => greatest(its.bytes, others.bytes),
            "silence" => other.silent_for.cmp(&one.silent_for),
            "tokens" => Reverse(one.tokens).cmp(&Reverse(other.tokens)),
            "reconnects" => Reverse(one.reconnects).cmp(&Reverse(other.reconnects)),
            "name" => Ordering::Equal,
            _ => State::of(one).cmp(&State::of(other)),
        };
        first.then_with(|| number(&one.name).cmp(&number(&other.name)))
    });
}

/// `conn-2` before `conn-10`.
fn number(name: &str) -> (u64, &str) {
    let digits = name.trim_start_matches(|letter: char| !letter.is_ascii_digit());
    (digits.parse().unwrap_or(u64::MAX), name)
}
