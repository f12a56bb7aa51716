//! What was written where: a TOML file, the environment, the command line.
//!
//! A layer holds text for known keys and mistakes for everything else. Whether
//! the text makes sense is judged when the layers are merged. Nothing here asks
//! the system for anything: variables are handed in. A file is read by `document`.

use super::former::{self, Former};
use super::mistake::{Mistake, Source};
use super::suggest::nearest;
use super::table::{KEYS, Key};

/// A value that someone wrote.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: &'static Key,
    pub(super) text: String,
    pub(super) source: Source,
    /// The name that it was written under, if that is not its own any more.
    pub(super) former: Option<&'static Former>,
}

/// All that one place says.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    pub(super) entries: Vec<Entry>,
    pub(super) mistakes: Vec<Mistake>,
}

impl Layer {
    /// Adds a value for a known key.
    pub fn set(&mut self, key: &'static Key, text: impl Into<String>, source: Source) {
        self.entries.push(Entry {
            key,
            text: text.into(),
            source,
            former: None,
        });
    }

    /// Adds a value for a key under its former name.
    pub fn set_former(&mut self, former: &'static Former, text: impl Into<String>, source: Source) {
        self.entries.extend(former.now().map(|key| Entry {
            key,
            text: text.into(),
            source,
            former: Some(former),
        }));
    }

    /// The flags of the command line among it, as they were typed.
    pub fn flags(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter_map(|entry| match &entry.source {
            Source::Flag { flag } => Some(flag.as_str()),
            _ => None,
        })
    }

    pub(super) fn refuse(&mut self, name: &str, suggestion: Option<String>, source: &Source) {
        let reason = suggestion.map_or_else(
            || "unknown key".to_owned(),
            |name| format!("unknown key, did you mean {name}?"),
        );
        self.mistakes.push(Mistake::new(name, reason, source));
    }
}

/// A text of an array, which is one value of several; `None` is none.
pub(super) fn item<'a>(text: Option<&'a str>, shape: &str) -> Result<&'a str, String> {
    match text {
        None => Err(format!(
            "must have nothing but texts in its array ({shape})"
        )),
        Some(text) if text.trim().is_empty() => Err(
            "has an empty text in its array: leave it out; [] alone leaves the key unset"
                .to_owned(),
        ),
        Some(text) if text.contains(',') => Err(format!(
            "has a text with a comma in its array, {text:?}: make it several texts"
        )),
        Some(text) => Ok(text),
    }
}

/// Variables of ours that are not keys: where the file is, and where the test
/// suite finds recorded traffic.
const RESERVED: [&str; 2] = ["POLYPY_CONFIG", "POLYPY_CAPTURES"];

/// Reads the environment. An empty variable counts as absent, as Compose files
/// produce them. Where a key has a name of its own and both are set, that counts; in
/// lower case it counts less.
pub(super) fn from_environment<'a>(
    variables: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Layer {
    let mut layer = Layer::default();
    let (mut own, mut lower_case) = (Vec::new(), Vec::new());
    for (variable, text) in variables {
        let source = Source::Environment {
            variable: variable.to_owned(),
        };
        if let Some(key) = KEYS.iter().find(|key| key.env() == variable) {
            own.push((key, text, source));
        } else if let Some(key) = KEYS.iter().find(|key| key.has_env(variable)) {
            lower_case.push((key, text, source));
        } else if let Some(key) = KEYS.iter().find(|key| key.long_env() == variable) {
            if !text.is_empty() {
                layer.set(key, text, source);
            }
        } else if let Some(former) = former::called_by_variable(variable) {
            if !text.is_empty() {
                layer.set_former(former, text, source);
            }
        } else if variable.starts_with("POLYPY_")
            && !RESERVED.contains(&variable)
            && !is_service_link(variable, text)
        {
            layer.refuse(variable, nearest_variable(variable), &source);
        }
    }
    // The last of them counts.
    let named = lower_case.into_iter().chain(own);
    for (key, text, source) in named.filter(|(_, text, _)| !text.is_empty()) {
        layer.set(key, text, source);
    }
    layer
}

/// The variable that `wrong` was meant to be.
fn nearest_variable(wrong: &str) -> Option<String> {
    let names: Vec<_> = KEYS
        .iter()
        .flat_map(|key| [(key.env(), key), (key.long_env(), key)])
        .collect();
    let spelt = KEYS.iter().find(|key| is_spelling_of(wrong, key));
    let key = spelt.or_else(|| {
        let near = nearest(wrong, names.iter().map(|(name, _)| name.as_str()))?;
        names
            .iter()
            .find(|(name, _)| name == near)
            .map(|(_, key)| *key)
    });
    key.map(Key::env)
}

/// Whether the variable's words are the key's name, or the name of its variable.
fn is_spelling_of(variable: &str, key: &Key) -> bool {
    let words = |name: &str| -> String {
        let letters = name.chars().filter(char::is_ascii_alphanumeric);
        letters.collect::<String>().to_ascii_lowercase()
    };
    let wrong = words(variable.trim_start_matches("POLYPY_"));
    wrong == words(key.name) || wrong == words(&key.env())
}

/// Whether Kubernetes put the variable there, as it does in every pod beside a
/// service whose name begins with `polypy`: `POLYPY_SERVICE_HOST`,
/// `POLYPY_PORT=tcp://10.0.0.1:8080`, `POLYPY_PORT_8080_TCP_ADDR` and so on.
fn is_service_link(variable: &str, text: &str) -> bool {
    let numbered = |tail: &str| tail.starts_with(|digit: char| digit.is_ascii_digit());
    !variable.contains("__")
        && (variable.ends_with("_SERVICE_HOST")
            || variable.contains("_SERVICE_PORT")
            || variable.ends_with("_PORT") && text.contains("://")
            || variable
                .split_once("_PORT_")
                .is_some_and(|(_, tail)| numbered(tail)))
}

#[cfg(test)]
#[path = "layer_tests.rs"]
mod tests;
