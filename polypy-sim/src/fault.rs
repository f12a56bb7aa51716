//! The faults: what each is called, does and can be told.
//!
//! [`FAULTS`] is the one table: requests are checked against it, `GET
//! /sim/faults` lists it, and `docs/sim.md` is held against it by a test. Each
//! entry has been seen on the real venue or reported by those who trade there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use polypy_core::AssetId;
use serde_json::{Map, Value, json};

/// A fault by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the table beside it says what each does")]
pub enum FaultKind {
    StallSocket,
    StallAll,
    StallAsset,
    DropConnection,
    Close1013,
    MissingFirstBook,
    OmitChange,
    Duplicate,
    Reorder,
    OversizedSubscribeClose,
    UnknownEvent,
    Garbage,
    ControlText,
    PongDelay,
    GiantFrame,
    Whitespace,
    EmptyTops,
    TickChangeTwice,
    Handshake429,
    Gamma5xx,
    Gamma429,
    GammaStuckCursor,
    Clob5xx,
}

/// What a fault's target and share choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Sockets: `connections` or `share` of them; else every one.
    Connection,
    /// Assets: `assets` or `share` of them, on `connections` if given; else
    /// every asset.
    Asset,
    /// Requests: `share` is the probability of each; else every one.
    Request,
}

impl Scope {
    /// Its name in the listing and in the documentation.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Asset => "asset",
            Self::Request => "request",
        }
    }
}

/// One thing a fault can be told beyond its target.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its key in the request.
    pub name: &'static str,
    /// What it is when not given, as text.
    pub default: &'static str,
    /// What values it takes.
    pub values: Values,
}

/// What values a parameter takes.
#[derive(Debug, Clone, Copy)]
pub enum Values {
    /// A number within these bounds.
    Number(f64, f64),
    /// A duration such as `"120ms"`, up to an hour.
    Duration,
    /// Any text.
    Text,
    /// `true` or `false`.
    Flag,
}

/// One row of the table of faults.
#[derive(Debug, Clone, Copy)]
pub struct FaultInfo {
    /// Which it is.
    pub kind: FaultKind,
    /// Its name in requests.
    pub name: &'static str,
    /// What its target chooses from.
    pub scope: Scope,
    /// What it does.
    pub summary: &'static str,
    /// What else it can be told.
    pub parameters: &'static [Parameter],
}

const fn number(name: &'static str, default: &'static str, low: f64, high: f64) -> Parameter {
    Parameter {
        name,
        default,
        values: Values::Number(low, high),
    }
}

const fn duration(name: &'static str, default: &'static str) -> Parameter {
    Parameter {
        name,
        default,
        values: Values::Duration,
    }
}

const fn flag(name: &'static str) -> Parameter {
    Parameter {
        name,
        default: "false",
        values: Values::Flag,
    }
}

const RATE: Parameter = number("rate", "0.05", 0.0, 1.0);

/// Every fault there is.
pub const FAULTS: &[FaultInfo] = &[
    FaultInfo {
        kind: FaultKind::StallSocket,
        name: "stall_socket",
        scope: Scope::Connection,
        summary: "market data is lost, PING is still answered",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::StallAll,
        name: "stall_all",
        scope: Scope::Connection,
        summary: "everything is lost, PONG too",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::StallAsset,
        name: "stall_asset",
        scope: Scope::Asset,
        summary: "neither opening books nor events of the asset are sent, its siblings flow",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::DropConnection,
        name: "drop_connection",
        scope: Scope::Connection,
        summary: "TCP closes without a close frame; at once, and while it lasts at each first frame",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::Close1013,
        name: "close_1013",
        scope: Scope::Connection,
        summary: "closed as a slow consumer; at once, and while it lasts at each first frame",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::MissingFirstBook,
        name: "missing_first_book",
        scope: Scope::Asset,
        summary: "the opening array leaves the asset out, its events flow",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::OmitChange,
        name: "omit_change",
        scope: Scope::Asset,
        summary: "the next changes of the asset are never sent to anybody",
        parameters: &[number("count", "1", 1.0, 1e6)],
    },
    FaultInfo {
        kind: FaultKind::Duplicate,
        name: "duplicate",
        scope: Scope::Asset,
        summary: "a price_change comes again up to delay later, its entries reversed",
        parameters: &[RATE, duration("delay", "120ms")],
    },
    FaultInfo {
        kind: FaultKind::Reorder,
        name: "reorder",
        scope: Scope::Asset,
        summary: "best_bid_ask and prints come up to delay late; with across_tokens, neighbouring \
                  frames of different markets also change places",
        parameters: &[
            number("rate", "0.5", 0.0, 1.0),
            duration("delay", "600ms"),
            flag("across_tokens"),
        ],
    },
    FaultInfo {
        kind: FaultKind::OversizedSubscribeClose,
        name: "oversized_subscribe_close",
        scope: Scope::Connection,
        summary: "a subscribe frame with more ids than this ends the socket 100 to 200 ms later",
        parameters: &[number("ids", "100", 0.0, 1e6)],
    },
    FaultInfo {
        kind: FaultKind::UnknownEvent,
        name: "unknown_event",
        scope: Scope::Asset,
        summary: "an event of unknown type comes before a frame, or in one array with it",
        parameters: &[RATE],
    },
    FaultInfo {
        kind: FaultKind::Garbage,
        name: "garbage",
        scope: Scope::Connection,
        summary: "a text that is no JSON comes before a frame",
        parameters: &[RATE],
    },
    FaultInfo {
        kind: FaultKind::ControlText,
        name: "control_text",
        scope: Scope::Connection,
        summary: "a plain text comes before a frame",
        parameters: &[
            RATE,
            Parameter {
                name: "text",
                default: "SUBSCRIPTION UPDATED",
                values: Values::Text,
            },
        ],
    },
    FaultInfo {
        kind: FaultKind::PongDelay,
        name: "pong_delay",
        scope: Scope::Connection,
        summary: "PONG comes delay late",
        parameters: &[duration("delay", "11s")],
    },
    FaultInfo {
        kind: FaultKind::GiantFrame,
        name: "giant_frame",
        scope: Scope::Connection,
        summary: "one frame of an unknown event with so many bytes, at once",
        parameters: &[number("bytes", "2097152", 100.0, 67_108_864.0)],
    },
    FaultInfo {
        kind: FaultKind::Whitespace,
        name: "whitespace",
        scope: Scope::Asset,
        summary: "frames have blanks after commas and colons and around them",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::EmptyTops,
        name: "empty_tops",
        scope: Scope::Asset,
        summary: "best_bid and best_ask of a price_change are empty; with missing, they and the \
                  hash are left out",
        parameters: &[flag("missing")],
    },
    FaultInfo {
        kind: FaultKind::TickChangeTwice,
        name: "tick_change_twice",
        scope: Scope::Asset,
        summary: "each tick_size_change is sent twice; markets of named assets change now if \
                  their grid can become finer",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::Handshake429,
        name: "handshake_429",
        scope: Scope::Request,
        summary: "the WebSocket handshake is refused with 429",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::Gamma5xx,
        name: "gamma_5xx",
        scope: Scope::Request,
        summary: "Gamma answers an error",
        parameters: &[number("status", "503", 500.0, 599.0)],
    },
    FaultInfo {
        kind: FaultKind::Gamma429,
        name: "gamma_429",
        scope: Scope::Request,
        summary: "Gamma answers 429",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::GammaStuckCursor,
        name: "gamma_stuck_cursor",
        scope: Scope::Request,
        summary: "every page of Gamma's keyset lists names page one's cursor as the next",
        parameters: &[],
    },
    FaultInfo {
        kind: FaultKind::Clob5xx,
        name: "clob_5xx",
        scope: Scope::Request,
        summary: "CLOB answers an error",
        parameters: &[number("status", "503", 500.0, 599.0)],
    },
];

impl FaultKind {
    /// Its row of the table.
    pub fn info(self) -> &'static FaultInfo {
        // A test holds that every kind has a row.
        FAULTS
            .iter()
            .find(|info| info.kind == self)
            .unwrap_or(&FAULTS[0])
    }
}

/// A parameter's value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Setting {
    Number(f64),
    Duration(Duration),
    Text(String),
    Flag(bool),
}

/// What is wrong with a request for a fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct FaultError {
    /// The field of the request.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

impl FaultError {
    fn new(field: &str, reason: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            reason: reason.into(),
        }
    }
}

/// A fault to be switched on: which, for whom, how long.
///
/// ```
/// use std::time::Duration;
/// use polypy_sim::{Fault, FaultKind};
///
/// let fault = Fault::new(FaultKind::Duplicate)
///     .on_share(0.1)
///     .lasting(Duration::from_secs(10))
///     .with("rate", 0.5)?;
/// # Ok::<(), polypy_sim::FaultError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) connections: Option<BTreeSet<u64>>,
    pub(crate) assets: Option<BTreeSet<AssetId>>,
    pub(crate) share: Option<f64>,
    pub(crate) lasting: Option<Duration>,
    /// Those given; the others have their defaults.
    settings: BTreeMap<&'static str, Setting>,
}

impl Fault {
    /// A fault for everything it can hit, until it is removed.
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            connections: None,
            assets: None,
            share: None,
            lasting: None,
            settings: BTreeMap::new(),
        }
    }

    /// Only for these sockets.
    #[must_use]
    pub fn on_connections(mut self, connections: impl IntoIterator<Item = u64>) -> Self {
        self.connections = Some(connections.into_iter().collect());
        self
    }

    /// Only for these assets.
    #[must_use]
    pub fn on_assets(mut self, assets: impl IntoIterator<Item = AssetId>) -> Self {
        self.assets = Some(assets.into_iter().collect());
        self
    }

    /// Only for this share, chosen by the exchange's seed and the fault's id.
    #[must_use]
    pub fn on_share(mut self, share: f64) -> Self {
        self.share = Some(share.clamp(0.0, 1.0));
        self
    }

    /// Ends by itself.
    #[must_use]
    pub fn lasting(mut self, duration: Duration) -> Self {
        self.lasting = Some(duration);
        self
    }

    /// Sets a parameter.
    ///
    /// # Errors
    /// [`FaultError`] when the fault has no such parameter or the value is not
    /// one it takes.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Result<Self, FaultError> {
        let info = self.kind.info();
        let parameter = info
            .parameters
            .iter()
            .find(|parameter| parameter.name == name);
        let Some(parameter) = parameter else {
            return Err(FaultError::new(name, unknown_field(info, name)));
        };
        let setting = read_setting(parameter, &value.into())
            .ok_or_else(|| FaultError::new(name, expected(parameter)))?;
        self.settings.insert(parameter.name, setting);
        Ok(self)
    }

    /// Reads a request body: `{"name":..,"assets":[..],"share":0.1,"for":"10s",..}`.
    ///
    /// # Errors
    /// [`FaultError`] names the first field that cannot be used.
    pub fn from_json(body: &Value) -> Result<Self, FaultError> {
        let Value::Object(body) = body else {
            return Err(FaultError::new("body", "not a JSON object"));
        };
        let name = body
            .get("name")
            .and_then(Value::as_str)
            .ok_or_else(|| FaultError::new("name", "missing"))?;
        let info = FAULTS
            .iter()
            .find(|info| info.name == name)
            .ok_or_else(|| FaultError::new("name", unknown_name(name)))?;
        let mut fault = Self::new(info.kind);
        for (field, value) in body {
            fault = fault.with_field(info, field, value)?;
        }
        Ok(fault)
    }

    fn with_field(self, info: &FaultInfo, field: &str, value: &Value) -> Result<Self, FaultError> {
        let wrong = |reason: &str| FaultError::new(field, reason);
        match field {
            "name" => Ok(self),
            "connections" if info.scope != Scope::Request => {
                let ids = value
                    .as_array()
                    .and_then(|ids| ids.iter().map(Value::as_u64).collect());
                let ids: BTreeSet<u64> = ids.ok_or_else(|| wrong("not a list of numbers"))?;
                Ok(self.on_connections(ids))
            }
            "assets" if info.scope == Scope::Asset => {
                let ids: Option<BTreeSet<AssetId>> = value.as_array().and_then(|ids| {
                    ids.iter()
                        .map(|id| AssetId::new(id.as_str()?).ok())
                        .collect()
                });
                let ids = ids.ok_or_else(|| wrong("not a list of asset ids as strings"))?;
                Ok(self.on_assets(ids))
            }
            "connections" | "assets" => Err(wrong(&format!(
                "{} chooses among {}s",
                info.name,
                info.scope.name()
            ))),
            "share" => match value.as_f64() {
                Some(share) if (0.0..=1.0).contains(&share) => Ok(self.on_share(share)),
                _ => Err(wrong("not a number from 0 to 1")),
            },
            "for" => match value.as_str().and_then(parse_duration) {
                Some(duration) => Ok(self.lasting(duration)),
                None => Err(wrong("not a duration such as \"10s\"")),
            },
            _ => self.with(field, value.clone()),
        }
    }

    /// The request that would make it, for the listing.
    pub(crate) fn to_json(&self) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("name".to_owned(), self.kind.info().name.into());
        if let Some(connections) = &self.connections {
            body.insert("connections".to_owned(), json!(connections));
        }
        if let Some(assets) = &self.assets {
            let assets: Vec<&str> = assets.iter().map(AssetId::as_str).collect();
            body.insert("assets".to_owned(), json!(assets));
        }
        if let Some(share) = self.share {
            body.insert("share".to_owned(), json!(share));
        }
        for (name, setting) in &self.settings {
            let value = match setting {
                Setting::Number(number) => json!(number),
                Setting::Duration(duration) => json!(format!("{}ms", duration.as_millis())),
                Setting::Text(text) => json!(text),
                Setting::Flag(flag) => json!(flag),
            };
            body.insert((*name).to_owned(), value);
        }
        body
    }

    fn setting(&self, name: &str) -> Option<Setting> {
        self.settings.get(name).cloned().or_else(|| {
            let parameters = self.kind.info().parameters;
            let parameter = parameters.iter().find(|parameter| parameter.name == name)?;
            read_setting(parameter, &default_value(parameter))
        })
    }

    /// A numeric parameter; zero if the table has none of this name.
    pub(crate) fn number(&self, name: &str) -> f64 {
        match self.setting(name) {
            Some(Setting::Number(number)) => number,
            _ => 0.0,
        }
    }

    /// The same as a count.
    pub(crate) fn count(&self, name: &str) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the table bounds every number from zero to 67 million"
        )]
        let count = self.number(name).max(0.0) as usize;
        count
    }

    /// A duration parameter.
    pub(crate) fn duration(&self, name: &str) -> Duration {
        match self.setting(name) {
            Some(Setting::Duration(duration)) => duration,
            _ => Duration::ZERO,
        }
    }

    /// A text parameter.
    pub(crate) fn text(&self, name: &str) -> String {
        match self.setting(name) {
            Some(Setting::Text(text)) => text,
            _ => String::new(),
        }
    }

    /// A yes-or-no parameter.
    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.setting(name), Some(Setting::Flag(true)))
    }
}

/// A parameter's default as a request would state it.
pub(crate) fn default_value(parameter: &Parameter) -> Value {
    match parameter.values {
        Values::Number(..) => json!(parameter.default.parse::<f64>().unwrap_or_default()),
        Values::Duration | Values::Text => json!(parameter.default),
        Values::Flag => json!(parameter.default == "true"),
    }
}

fn read_setting(parameter: &Parameter, value: &Value) -> Option<Setting> {
    match parameter.values {
        Values::Number(low, high) => {
            let number = value
                .as_f64()
                .filter(|number| (low..=high).contains(number))?;
            Some(Setting::Number(number))
        }
        Values::Duration => value
            .as_str()
            .and_then(parse_duration)
            .map(Setting::Duration),
        Values::Text => value.as_str().map(|text| Setting::Text(text.to_owned())),
        Values::Flag => value.as_bool().map(Setting::Flag),
    }
}

fn expected(parameter: &Parameter) -> String {
    match parameter.values {
        Values::Number(low, high) => format!("not a number from {low} to {high}"),
        Values::Duration => "not a duration such as \"120ms\"".to_owned(),
        Values::Text => "not a text".to_owned(),
        Values::Flag => "not true or false".to_owned(),
    }
}

/// Longest duration taken; a fault without end is given no duration.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// Reads `"250ms"`, `"10s"`, `"1.5s"`, `"2m"` or `"1h"`.
fn parse_duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit_at);
    let number: f64 = number.trim().parse().ok()?;
    let seconds = match unit {
        "ms" => number / 1e3,
        "s" => number,
        "m" => number * 60.0,
        "h" => number * 3_600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| *duration <= LONGEST)
}

fn unknown_name(name: &str) -> String {
    let near = nearest(name, FAULTS.iter().map(|info| info.name));
    match near {
        Some(near) => format!("no fault {name:?}, did you mean {near:?}?"),
        None => format!("no fault {name:?}; GET /sim/faults lists them"),
    }
}

fn unknown_field(info: &FaultInfo, field: &str) -> String {
    let common = ["connections", "assets", "share", "for"];
    let own = info.parameters.iter().map(|parameter| parameter.name);
    match nearest(field, common.into_iter().chain(own)) {
        Some(near) => format!("{} takes no such field, did you mean {near:?}?", info.name),
        None => format!("{} takes no such field", info.name),
    }
}

/// The candidate with the fewest edits, if they are few.
fn nearest<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (edits(text, candidate), candidate))
        .min()
        .filter(|(edits, candidate)| *edits <= candidate.len() / 3 + 1)
        .map(|(_, candidate)| candidate)
}

/// The Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let cost = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
#[path = "fault_tests.rs"]
mod tests;
