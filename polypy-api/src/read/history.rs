//! `/v1/history`: what the program has said of itself, second by second for a quarter of an
//! hour, and minute by minute for a day.

use std::sync::{Arc, LazyLock};

use polypy_http::{Answer, Call, Kind, Parameter, Reply, Route, StatusCode};

use super::book::NOT_MODIFIED;
use super::tag::Tagging;
use super::{JSON, has_it, not_modified, with_etag};
use crate::samples::{MINUTES, SECONDS, Sample, Samples, fields, write_value};

const SUMMARY: &str =
    "numbers of the last quarter of an hour by the second, of a day by the minute";
/// Answers written at once: each takes a millisecond or two.
const THREADS: u32 = 1;
const EVERY: &[&str] = &["second", "minute"];
/// Names of the columns, which are made when the program starts.
static COLUMNS: LazyLock<Vec<&str>> = LazyLock::new(|| fields().map(|(name, _)| name).collect());
static PARAMETERS: LazyLock<[Parameter; 3]> = LazyLock::new(|| {
    [
        Parameter::new("every", Kind::OneOf(EVERY), "what each row is of").or("second"),
        Parameter::new(
            "limit",
            Kind::Whole {
                least: 1,
                most: MINUTES,
            },
            "rows at most, the newest",
        )
        .or("all that are kept"),
        Parameter::new(
            "fields",
            Kind::Words(&COLUMNS),
            "the columns that are wanted, by name",
        )
        .or("all"),
    ]
});
const ANSWERS: &[Answer] = &[Answer::json("history", "the numbers"), NOT_MODIFIED];

/// The route.
pub(super) fn route(samples: &Arc<Samples>) -> Route {
    let (samples, instance) = (Arc::clone(samples), fastrand::u64(..));
    Route::computed("/v1/history", SUMMARY, THREADS, move |call| {
        answer(&samples, instance, call)
    })
    .with_parameters(&*PARAMETERS)
    .answers(ANSWERS)
}

fn answer(samples: &Samples, instance: u64, call: &Call) -> Reply {
    let query = call.query();
    let is_by_minute = query.text("every") == Some("minute");
    let limit = query.whole("limit").unwrap_or(MINUTES);
    let mut columns = Vec::new();
    for name in query.list("fields").into_iter().flatten() {
        let column = fields().find(|(known, _)| *known == name);
        columns.extend(column.filter(|column| !columns.contains(column)));
    }
    if columns.is_empty() {
        columns = fields().collect();
    }
    let rows = if is_by_minute {
        samples.minutes(limit)
    } else {
        samples.seconds(limit.min(SECONDS))
    };
    let mut tagging = Tagging::new(instance);
    tagging.add((is_by_minute, rows.first().map(|row| row.at_ms), rows.len()));
    tagging.add((rows.last().map(|row| row.at_ms), &columns));
    let etag = tagging.finish();
    if has_it(call.headers(), &etag) {
        return not_modified(&etag);
    }
    let every = if is_by_minute { EVERY[1] } else { EVERY[0] };
    let body = body(every, &columns, &rows);
    with_etag(Reply::bytes(StatusCode::OK, JSON, body.into_bytes()), &etag)
}

fn body(every: &str, columns: &[(&str, usize)], rows: &[Sample]) -> String {
    let mut out = String::with_capacity(64 + (rows.len() + 2) * (columns.len() + 2) * 7);
    out.push_str("{\"every\":\"");
    out.push_str(every);
    out.push_str("\",\"columns\":[\"ts_ms\"");
    for (name, _) in columns {
        out.push_str(",\"");
        out.push_str(name);
        out.push('"');
    }
    out.push_str("],\"rows\":[");
    for (at, row) in rows.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push('[');
        out.push_str(&row.at_ms.to_string());
        for (_, place) in columns {
            out.push(',');
            write_value(&mut out, row.value(*place));
        }
        out.push(']');
    }
    out.push_str("]}\n");
    out
}
