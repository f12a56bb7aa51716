//! What the demo serves beside everything else: its exchange's faults, flow and true books.
//!
//! | route | does |
//! |---|---|
//! | `GET /demo/faults` | which are on, and which there are |
//! | `POST /demo/faults` | switches one on: `{"name":"wrong_hash","token_ids":[..],"for_s":10}` |
//! | `POST /demo/faults/off` | switches one off: `{"id":1}`; all of them: `{}` |
//! | `GET`, `PUT /demo/flow` | whether anything happens, and how much: `{"paused":false,"events_per_second":2000}` |
//! | `GET /demo/books/{token_id}` | the true book |
//!
//! They reach the exchange in this process. The server's token applies to them, and no page
//! of another origin is answered. Whatever is sent here, the demo comes back by itself: what
//! a fault lasts, how many there are and what flows is bounded.

use std::time::Duration;

use polypy_core::{AssetId, Level};
use polypy_http::header::CONTENT_TYPE;
use polypy_http::{Answer, Call, Content, Reply, Route, StatusCode};
use polypy_sim::{Fault, FaultError, FaultKind, FlowState, Scope, SimControl};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Faults that are on at once.
const MOST_FAULTS: usize = 16;
/// Seconds that a fault lasts if it is not said.
const LASTING_S: u64 = 10;
const LONGEST_S: u64 = 60;
/// Tokens that a fault names.
const MOST_TOKENS: usize = 100;
/// Ten times what the demo begins with: a machine of two cores keeps up.
const MOST_EVENTS: f64 = 20_000.0;
/// A hundred token ids of 78 digits, and what stands around them.
const MOST_BYTES: usize = 12 * 1024;

const FAULTS: &[Answer] = &[
    Answer::json("demo_faults", "the faults that are on, and those there are"),
    Answer::error(400, "the body is no JSON, or a field cannot be used"),
    Answer::error(415, "the body is not said to be application/json"),
];
const OFF: &[Answer] = &[
    Answer::json("demo_faults", "the faults that are still on"),
    Answer::error(400, "the body is no JSON of this form"),
    Answer::error(404, "no such fault is on"),
    Answer::error(415, "the body is not said to be application/json"),
];
const FLOW: &[Answer] = &[
    Answer::json("demo_flow", "how the flow runs"),
    Answer::error(400, "the body is no JSON, or the rate is too high"),
    Answer::error(415, "the body is not said to be application/json"),
];
const BOOK: &[Answer] = &[
    Answer::json("demo_book", "the true book"),
    Answer::error(400, "no token id"),
    Answer::error(404, "the exchange has no such token"),
];

/// A fault that can be switched on here.
struct Offered {
    kind: FaultKind,
    /// For people who look at one market.
    about: &'static str,
    with: &'static [(&'static str, f64)],
}

const OFFERED: &[Offered] = &[
    offered(FaultKind::WrongHash, "wrong hashes", &[("rate", 1.0)]),
    offered(FaultKind::OmitChange, "a change is lost", &[("count", 1.0)]),
    offered(FaultKind::StallAsset, "no word of this book", &[]),
    offered(
        FaultKind::UnreadableChange,
        "unreadable changes",
        &[("rate", 0.5)],
    ),
    offered(
        FaultKind::MissingFields,
        "no hashes, no best prices",
        &[("rate", 1.0)],
    ),
    offered(FaultKind::Duplicate, "changes come twice", &[("rate", 0.5)]),
    offered(FaultKind::DropConnection, "connections are cut", &[]),
    offered(FaultKind::StallAll, "connections fall silent", &[]),
    offered(FaultKind::Handshake429, "no connection is let in", &[]),
    offered(FaultKind::Clob5xx, "no book can be fetched", &[]),
];

const fn offered(
    kind: FaultKind,
    about: &'static str,
    with: &'static [(&'static str, f64)],
) -> Offered {
    Offered { kind, about, with }
}

/// A fault as it is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: String,
    token_ids: Option<Vec<String>>,
    for_s: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unwanted {
    id: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Flow {
    paused: Option<bool>,
    events_per_second: Option<f64>,
}

/// The routes, over this exchange.
pub(super) fn routes(exchange: &SimControl) -> [Route; 4] {
    let (listed, switched) = (exchange.clone(), exchange.clone());
    let faults = Route::get(
        "/demo/faults",
        "the faults of the demo's exchange; POST one to switch it on",
        move |_call| Reply::json(StatusCode::OK, &faults(&listed)),
    )
    .with_post(MOST_BYTES, move |call, body| {
        answered(switch_on(&switched, call, body))
    })
    .takes(Content::Json("demo_fault"))
    .answers(FAULTS);

    let switched = exchange.clone();
    let off = Route::post(
        "/demo/faults/off",
        "switches a fault of the demo's exchange off, or all",
        MOST_BYTES,
        move |call, body| answered(switch_off(&switched, call, body)),
    )
    .takes(Content::Json("demo_fault_off"))
    .answers(OFF);

    let (shown, set) = (exchange.clone(), exchange.clone());
    let flow = Route::get(
        "/demo/flow",
        "how the flow of the demo's exchange runs; PUT to change it",
        move |_call| Reply::json(StatusCode::OK, &flow(&shown)),
    )
    .with_put(MOST_BYTES, move |call, body| {
        answered(set_flow(&set, call, body))
    })
    .takes(Content::Json("demo_flow_wanted"))
    .answers(FLOW);

    let known = exchange.clone();
    let book = Route::get(
        "/demo/books/{token_id}",
        "the true book of a token, as the demo's exchange has it",
        move |call| answered(book(&known, call)),
    )
    .answers(BOOK);
    [faults, off, flow, book].map(Route::own_pages_only)
}

/// What is asked for, or why not.
type Answered = Result<Reply, Box<Reply>>;

fn answered(answer: Answered) -> Reply {
    answer.unwrap_or_else(|refusal| *refusal)
}

fn faults(exchange: &SimControl) -> Value {
    let active: Vec<Value> = exchange.faults().iter().map(shown).collect();
    let offered: Vec<Value> = OFFERED
        .iter()
        .map(|offered| {
            let info = offered.kind.info();
            json!({
                "name": info.name,
                "about": offered.about,
                "summary": info.summary,
                "of_tokens": info.scope == Scope::Asset,
            })
        })
        .collect();
    json!({ "active": active, "offered": offered, "most": MOST_FAULTS, "longest_s": LONGEST_S })
}

/// A fault that is on, in the words of this API.
fn shown(row: &Value) -> Value {
    json!({
        "id": row["id"],
        "name": row["name"],
        "token_ids": row["assets"],
        "targets": row["targets"]["count"],
        "hits": row["hits"],
        "ends_in_s": row["ends_in_seconds"],
    })
}

fn switch_on(exchange: &SimControl, call: &Call, body: &[u8]) -> Answered {
    let wanted: Wanted = read(call, body)?;
    let fault = fault(&wanted).map_err(|error| refusal(call, &error))?;
    let id = exchange.add_fault(fault, MOST_FAULTS);
    let id = id.map_err(|error| refusal(call, &error))?;
    tracing::info!(id, fault = wanted.name, "fault switched on by the page");
    Ok(Reply::json(StatusCode::OK, &faults(exchange)))
}

/// The fault that is wanted, within the bounds.
fn fault(wanted: &Wanted) -> Result<Fault, FaultError> {
    let wrong = |field: &str, reason: String| FaultError {
        field: field.to_owned(),
        reason,
    };
    let mut names = OFFERED.iter();
    let Some(offered) = names.find(|offered| offered.kind.info().name == wanted.name) else {
        let reason = format!(
            "{:?} is none of those that GET /demo/faults offers",
            wanted.name
        );
        return Err(wrong("name", reason));
    };
    let seconds = wanted.for_s.unwrap_or(LASTING_S);
    if !(1..=LONGEST_S).contains(&seconds) {
        return Err(wrong("for_s", format!("not from 1 to {LONGEST_S}")));
    }
    let mut fault = Fault::new(offered.kind).lasting(Duration::from_secs(seconds));
    for (name, value) in offered.with {
        fault = fault.with(name, *value)?;
    }
    let Some(named) = &wanted.token_ids else {
        return Ok(fault);
    };
    if offered.kind.info().scope != Scope::Asset {
        let reason = format!("{} is not about single tokens", wanted.name);
        return Err(wrong("token_ids", reason));
    }
    if named.is_empty() || named.len() > MOST_TOKENS {
        return Err(wrong("token_ids", format!("not 1 to {MOST_TOKENS} ids")));
    }
    let ids: Option<Vec<AssetId>> = named.iter().map(|id| AssetId::new(id).ok()).collect();
    let ids = ids.ok_or_else(|| wrong("token_ids", "not all are 1 to 78 digits".to_owned()))?;
    Ok(fault.on_assets(ids))
}

fn switch_off(exchange: &SimControl, call: &Call, body: &[u8]) -> Answered {
    let unwanted: Unwanted = read(call, body)?;
    match unwanted.id {
        Some(id) if !exchange.remove_fault(id) => {
            let text = "no such fault is on: its time may be over";
            return Err(Box::new(call.error(StatusCode::NOT_FOUND, text)));
        }
        Some(_) => {}
        None => {
            exchange.clear_faults();
        }
    }
    Ok(Reply::json(StatusCode::OK, &faults(exchange)))
}

fn flow(exchange: &SimControl) -> Value {
    let flow = exchange.flow();
    json!({
        "paused": flow.is_paused,
        "events_per_second": flow.events_per_second,
        "most_events_per_second": MOST_EVENTS,
    })
}

fn set_flow(exchange: &SimControl, call: &Call, body: &[u8]) -> Answered {
    let wanted: Flow = read(call, body)?;
    let now = exchange.flow();
    let next = FlowState {
        is_paused: wanted.paused.unwrap_or(now.is_paused),
        events_per_second: wanted.events_per_second.unwrap_or(now.events_per_second),
    };
    let is_bounded = (0.0..=MOST_EVENTS).contains(&next.events_per_second);
    let is_refused = wanted.events_per_second.is_some() && !is_bounded;
    if is_refused || exchange.set_flow(next).is_err() {
        let reason = format!("not a number from 0 to {MOST_EVENTS}");
        return Err(Box::new(call.bad_parameter("events_per_second", &reason)));
    }
    Ok(Reply::json(StatusCode::OK, &flow(exchange)))
}

fn book(exchange: &SimControl, call: &Call) -> Answered {
    let named = call.segment("token_id");
    let Ok(id) = AssetId::new(named) else {
        let reason = "not 1 to 78 decimal digits";
        return Err(Box::new(call.bad_parameter("token_id", reason)));
    };
    let Some(book) = exchange.true_book(&id) else {
        let text = "the exchange has no such token";
        return Err(Box::new(call.error(StatusCode::NOT_FOUND, text)));
    };
    let levels = |levels: &[Level]| -> Vec<Value> {
        let pair = |level: &Level| json!([level.price, level.size]);
        levels.iter().map(pair).collect()
    };
    let body = json!({
        "token_id": named,
        "settled": book.settled,
        "sequence": book.sequence,
        "ts_event_ms": book.timestamp.millis(),
        "hash": book.hash.to_string(),
        "tick_size": book.tick_size,
        "bids": levels(&book.bids),
        "asks": levels(&book.asks),
    });
    Ok(Reply::json(StatusCode::OK, &body))
}

/// The JSON that was sent. A browser sends this type across origins only after a question,
/// which is not answered here.
fn read<T: DeserializeOwned>(call: &Call, body: &[u8]) -> Result<T, Box<Reply>> {
    let kind = call.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let text = "send JSON, with Content-Type: application/json";
        let reply = call.error(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
        return Err(Box::new(reply));
    }
    serde_json::from_slice(body).map_err(|error| {
        let text = format!("the body cannot be used: {error}");
        Box::new(call.error(StatusCode::BAD_REQUEST, &text))
    })
}

fn refusal(call: &Call, error: &FaultError) -> Box<Reply> {
    let field = match error.field.as_str() {
        "assets" => "token_ids",
        field => field,
    };
    Box::new(call.bad_parameter(field, &error.reason))
}
