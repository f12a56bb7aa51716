//! A fault to be switched on: which, for whom, how long; and how a request for
//! one is read. What is refused is named, and a misspelt name gets a suggestion.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use polypy_core::AssetId;
use serde_json::{Map, Value, json};

use crate::fault_kind::{FaultInfo, FaultKind, Parameter, Scope, Values};
use crate::fault_table::FAULTS;
use crate::venue::Venue;

/// Unknown assets that an answer names; the others are counted.
const MOST_NAMED: usize = 5;

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

    pub(crate) fn too_many(most: usize) -> Self {
        Self::new(
            "name",
            format!("{most} faults are on: switch one off first"),
        )
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

    pub(crate) fn with_field(
        self,
        info: &FaultInfo,
        field: &str,
        value: &Value,
    ) -> Result<Self, FaultError> {
        let wrong = |reason: &str| FaultError::new(field, reason);
        match field {
            "name" => Ok(self),
            "connections" if matches!(info.scope, Scope::Connection | Scope::Asset) => {
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
            "connections" | "assets" | "share" if info.scope == Scope::Exchange => {
                Err(wrong(&format!("{} hits the whole exchange", info.name)))
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

    /// Which of the assets it names the venue does not have, if any.
    pub(crate) fn unknown_assets(&self, venue: &Venue) -> Option<FaultError> {
        let named = self.assets.iter().flatten();
        let unknown: Vec<&str> = named
            .map(AssetId::as_str)
            .filter(|id| venue.find(id).is_none())
            .collect();
        let shown = unknown.iter().take(MOST_NAMED).copied();
        let mut list = shown.collect::<Vec<_>>().join(", ");
        if let more @ 1.. = unknown.len().saturating_sub(MOST_NAMED) {
            list.push_str(&format!(" and {more} more"));
        }
        (!unknown.is_empty()).then(|| FaultError::new("assets", format!("no such asset: {list}")))
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
        Values::Duration | Values::Text | Values::OneOf(_) => json!(parameter.default),
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
        Values::OneOf(known) => {
            let text = value.as_str().filter(|text| known.contains(text))?;
            Some(Setting::Text(text.to_owned()))
        }
        Values::Flag => value.as_bool().map(Setting::Flag),
    }
}

fn expected(parameter: &Parameter) -> String {
    match parameter.values {
        Values::Number(low, high) => format!("not a number from {low} to {high}"),
        Values::Duration => "not a duration such as \"120ms\"".to_owned(),
        Values::Text => "not a text".to_owned(),
        Values::OneOf(known) => format!("not one of {}", known.join(", ")),
        Values::Flag => "not true or false".to_owned(),
    }
}

/// Longest duration taken; a fault without end is given no duration.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// Reads `"250ms"`, `"10s"`, `"1.5s"`, `"2m"` or `"1h"`.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
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

pub(crate) fn unknown_name(name: &str) -> String {
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
pub(crate) fn nearest<'a>(
    text: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
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
