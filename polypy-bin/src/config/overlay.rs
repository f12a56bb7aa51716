//! The overlay: keys of `[markets]` that are set while the program runs, above all other
//! layers.
//!
//! It is a JSON object of a key to a text, a number, a truth or an array, as TOML would
//! have it:
//!
//! ```json
//! {"tags": ["crypto", "Middle East"], "min_volume_day": 10000, "max_markets": 500}
//! ```
//!
//! Where each process has a part of the venue, and where the overlay is kept, is settled
//! at the start and is no part of it.

use std::fmt;
use std::path::Path;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::layer::{Layer, item};
use super::mistake::{ConfigError, Mistake, Source};
use super::suggest::nearest;
use super::table::{Config, KEYS, Key};

/// Longest overlay, as it is sent and as it is kept: some thousand condition ids.
pub const MOST_BYTES: usize = 256 * 1024;

/// The section that it has keys of.
const SECTION: &str = "markets";
/// Those of its keys that stay what they are for as long as the program runs.
pub(super) const FIXED: [&str; 2] = ["shard", "overlay_file"];
/// What stands for the whole of it in mistakes.
const WHOLE: &str = "overlay";

/// Keys of `[markets]` above all other layers. The default has none.
///
/// ```
/// use polypy::config::Overlay;
///
/// let overlay = Overlay::parse(r#"{"max_markets": 500, "tags": ["crypto"]}"#)?;
/// assert_eq!(overlay.to_string(), r#"{"tags":["crypto"],"max_markets":500}"#);
/// let mistakes = Overlay::parse(r#"{"tgas": "crypto", "max_markets": -1}"#).unwrap_err();
/// assert_eq!(mistakes.mistakes().len(), 2);
/// # Ok::<(), polypy::config::ConfigError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Overlay {
    /// In the order of the table.
    entries: Vec<Entry>,
    source: Option<Source>,
}

/// Wherever they come from: by what they set.
impl PartialEq for Overlay {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

#[derive(Debug, Clone)]
struct Entry {
    key: &'static Key,
    value: Value,
    text: String,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.key, other.key) && self.value == other.value
    }
}

impl Overlay {
    /// Reads a JSON object, and judges each of its values.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn parse(json: &str) -> Result<Self, ConfigError> {
        Self::read(json.as_bytes(), Source::Overlay { file: None })
    }

    /// The same of what a file has.
    pub(super) fn of_file(bytes: &[u8], file: &Path) -> Result<Self, ConfigError> {
        let file = Some(file.to_owned());
        Self::read(bytes, Source::Overlay { file })
    }

    fn read(json: &[u8], source: Source) -> Result<Self, ConfigError> {
        let refused = |reason: String| {
            let mistake = Mistake::new(WHOLE, reason, &source);
            ConfigError::of(vec![mistake])
        };
        let refusal = if json.len() > MOST_BYTES {
            Err(format!("has more than {MOST_BYTES} bytes"))
        } else {
            serde_json::from_slice(json).map_err(|error| {
                format!(
                    "must be a JSON object of keys of [{SECTION}], such as \
                     {{\"tags\": [\"crypto\"]}}: {error}"
                )
            })
        };
        let Members(members) = match refusal {
            Ok(members) => members,
            Err(reason) => return refused(reason).map_or(Ok(Self::default()), Err),
        };
        let mut overlay = Self {
            entries: Vec::with_capacity(members.len()),
            source: None,
        };
        let mut mistakes = Vec::new();
        for (name, value) in members {
            if let Err(reason) = overlay.take_in(&name, value) {
                mistakes.push(Mistake::new(name, reason, &source));
            }
        }
        if mistakes.is_empty() && overlay.to_string().len() > MOST_BYTES {
            let reason =
                format!("has more than {MOST_BYTES} bytes when its numbers are written out");
            mistakes.push(Mistake::new(WHOLE, reason, &source));
        }
        let in_table = |key: &Key| KEYS.iter().position(|other| std::ptr::eq(key, other));
        overlay.entries.sort_by_key(|entry| in_table(entry.key));
        overlay.source = Some(source).filter(|_| !overlay.entries.is_empty());
        ConfigError::of(mistakes).map_or(Ok(overlay), Err)
    }

    /// Takes a member in, or says what is wrong with it.
    fn take_in(&mut self, name: &str, value: Value) -> Result<(), String> {
        if FIXED.contains(&name) {
            return Err("is settled when the program starts: set it in another layer".to_owned());
        }
        let known = KEYS.iter().find(|key| is_key(key) && key.field == name);
        let Some(key) = known else {
            return Err(unknown(name));
        };
        if self
            .entries
            .iter()
            .any(|entry| std::ptr::eq(entry.key, key))
        {
            return Err("stands there twice: leave one of them out".to_owned());
        }
        let text = text_of(&value, key)?;
        key.set(&mut Config::default(), &text)?;
        self.entries.push(Entry { key, value, text });
        Ok(())
    }

    /// Whether it sets nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// As an object of JSON.
    pub fn to_json(&self) -> Value {
        let members = self.entries.iter();
        let members = members.map(|entry| (entry.key.field.to_owned(), entry.value.clone()));
        Value::Object(members.collect())
    }

    /// What it says, as other layers do.
    pub(super) fn layer(&self) -> Layer {
        let mut layer = Layer::default();
        for entry in &self.entries {
            let source = self.source.clone();
            let source = source.unwrap_or(Source::Overlay { file: None });
            layer.set(entry.key, entry.text.clone(), source);
        }
        layer
    }
}

/// As it is kept: one line.
impl fmt::Display for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_json())
    }
}

fn is_key(key: &Key) -> bool {
    key.section == SECTION && !FIXED.contains(&key.field)
}

fn unknown(name: &str) -> String {
    let fields = || KEYS.iter().filter(|key| is_key(key)).map(|key| key.field);
    let bare = name.strip_prefix("markets.").unwrap_or(name);
    match nearest(bare, fields()) {
        Some(meant) => format!("unknown key, did you mean {meant}?"),
        None => format!(
            "unknown key; the overlay has keys of [{SECTION}] without its name, all but {}",
            FIXED.join(" and ")
        ),
    }
}

/// A value as the other layers have it, or what it has to be.
fn text_of(value: &Value, key: &Key) -> Result<String, String> {
    let shape = key.shape;
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Array(values) if key.list => {
            let items = values.iter().map(|one| item(one.as_str(), shape));
            let items: Result<Vec<_>, _> = items.collect();
            items.map(|items| items.join(","))
        }
        // In plain digits, where there may be a fraction.
        Value::Number(number) if !key.list => Ok(match number.as_f64() {
            Some(float) if number.is_f64() => float.to_string(),
            _ => number.to_string(),
        }),
        Value::Bool(truth) if !key.list => Ok(truth.to_string()),
        other if key.list => Err(format!(
            "must be a text ({shape}) or an array of texts, not {other}"
        )),
        other => Err(format!(
            "must be a text, a number or a truth ({shape}), not {other}"
        )),
    }
}

/// The members of an object, one that is there twice as well.
struct Members(Vec<(String, Value)>);

impl<'de> serde::Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
#[path = "overlay_tests.rs"]
mod tests;
