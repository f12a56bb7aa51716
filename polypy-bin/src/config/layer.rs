//! What was written where: a TOML file, the environment, the command line.
//!
//! A layer holds text for known keys and mistakes for everything else. Whether
//! the text makes sense is judged when the layers are merged. Nothing here asks
//! the system for anything: text and variables are handed in.

use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue, Error};

use super::mistake::{Mistake, Source};
use super::suggest::nearest;
use super::table::{KEYS, Key, SECTIONS, key};

/// A value that someone wrote.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: &'static Key,
    pub(super) text: String,
    pub(super) source: Source,
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
        });
    }

    /// The flags of the command line among it, as they were typed.
    pub fn flags(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter_map(|entry| match &entry.source {
            Source::Flag { flag } => Some(flag.as_str()),
            _ => None,
        })
    }

    /// Refuses a section. If it is a misspelt one, its keys can be judged as
    /// those of the section that it was meant to be.
    fn refuse_section(&mut self, name: &str, source: &Source) -> Option<&'static str> {
        let names = || SECTIONS.iter().map(|section| section.name);
        let meant = nearest(name, names());
        let reason = match meant {
            Some(meant) => format!("unknown section, did you mean [{meant}]?"),
            None => {
                let all: Vec<_> = names().map(|name| format!("[{name}]")).collect();
                format!("unknown section; there are {}", all.join(", "))
            }
        };
        let written = format!("[{name}]");
        self.mistakes.push(Mistake::new(written, reason, source));
        meant
    }

    fn refuse(&mut self, name: &str, suggestion: Option<String>, source: &Source) {
        let reason = suggestion.map_or_else(
            || "unknown key".to_owned(),
            |name| format!("unknown key, did you mean {name}?"),
        );
        self.mistakes.push(Mistake::new(name, reason, source));
    }
}

/// Reads the text of the TOML file at `path`.
pub(super) fn from_toml(text: &str, path: &Path) -> Layer {
    let mut layer = Layer::default();
    let at = |offset: usize| Source::File {
        path: path.to_owned(),
        line: line_at(text, offset),
    };
    let (document, errors) = DeTable::parse_recoverable(text);
    let broken = broken_parts(text, &errors);
    // What the parser says first where it is lost; the rest follows from that.
    let syntax = broken.iter().filter_map(|lines| {
        let offset = |error: &Error| error.span().map_or(0, |span| span.start);
        let mut errors = errors.iter().map(|error| (offset(error), error));
        let (offset, error) = errors.find(|(offset, _)| lines.contains(&line_at(text, *offset)))?;
        let message = error.message().replace('\n', ", ");
        Some(Mistake::new("syntax", message, &at(offset)))
    });
    let syntax: Vec<_> = syntax.collect();
    // What the parser makes of broken lines is nobody's mistake.
    let is_lost = |span: Range<usize>| {
        let (first, last) = (line_at(text, span.start), line_at(text, span.end));
        broken
            .iter()
            .any(|lines| first < lines.end && lines.start <= last)
    };
    // In the order of the file, not of the alphabet.
    let mut tables: Vec<_> = document.get_ref().iter().collect();
    tables.sort_by_key(|(name, _)| name.span().start);
    for (section, table) in tables {
        let source = at(section.span().start);
        let written: &str = section.get_ref();
        let known = SECTIONS.iter().any(|section| section.name == written);
        let span = table.span();
        let DeValue::Table(table) = table.get_ref() else {
            if is_lost(section.span().start..span.end) {
                continue;
            }
            if known {
                let reason = format!("must be a section, [{written}]");
                layer.mistakes.push(Mistake::new(written, reason, &source));
            } else {
                layer.refuse(written, nearest_name(written), &source);
            }
            continue;
        };
        if is_lost(section.span()) {
            continue;
        }
        let Some(section) = (if known {
            Some(written)
        } else {
            layer.refuse_section(written, &source)
        }) else {
            continue;
        };
        let mut fields: Vec<_> = table.iter().collect();
        fields.sort_by_key(|(name, _)| name.span().start);
        for (field, value) in fields {
            if is_lost(field.span().start..value.span().end) {
                continue;
            }
            let source = at(field.span().start);
            let name = format!("{section}.{}", field.get_ref());
            let Some(key) = key(&name) else {
                layer.refuse(&name, nearest_name(&name), &source);
                continue;
            };
            match text_of(value.get_ref(), key) {
                Some(text) => layer.set(key, text, source),
                None => {
                    let reason = if key.list {
                        format!("must be an array of texts without commas ({})", key.shape)
                    } else {
                        format!("must be a single value ({})", key.shape)
                    };
                    layer.mistakes.push(Mistake::new(name, reason, &source));
                }
            }
        }
    }
    layer.mistakes.splice(0..0, syntax);
    layer
}

/// The line of the byte at `offset`, from one.
fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|b| *b == b'\n').count()
}

/// The lines that errors make unreadable, a part for each error that follows from no
/// other.
fn broken_parts(text: &str, errors: &[Error]) -> Vec<Range<usize>> {
    let begin = |error: &Error| error.span().map_or(0, |span| span.start);
    let mut offsets: Vec<_> = errors.iter().map(begin).collect();
    offsets.sort_unstable();
    let mut parts: Vec<Range<usize>> = Vec::new();
    for offset in offsets {
        let line = line_at(text, offset);
        if !parts.iter().any(|lines| lines.contains(&line)) {
            parts.push(broken_lines(text, offset));
        }
    }
    parts
}

/// The lines that a syntax error makes unreadable: from its own to the next
/// section's. What the parser makes of them is nobody's mistake.
fn broken_lines(text: &str, offset: usize) -> Range<usize> {
    let first = line_at(text, offset);
    let next_section = text
        .lines()
        .enumerate()
        .skip(first)
        .find(|(_, line)| line.starts_with('['));
    first..next_section.map_or(usize::MAX, |(index, _)| index + 1)
}

/// A value as text. An array of texts is what commas would separate.
fn text_of(value: &DeValue<'_>, key: &Key) -> Option<String> {
    let DeValue::Array(values) = value else {
        return scalar(value);
    };
    let texts = values.iter().map(|value| scalar(value.get_ref()));
    let texts = texts.map(|text| text.filter(|text| !text.contains(',')));
    let texts: Option<Vec<_>> = texts.collect();
    texts.filter(|_| key.list).map(|texts| texts.join(","))
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(|number| number.to_string()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        DeValue::Datetime(moment) => Some(moment.to_string()),
        DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// The known name nearest to `wrong`, which may be a whole name or a field alone.
/// A field that one section alone has is meant, whatever section it was written in.
fn nearest_name(wrong: &str) -> Option<String> {
    let field = wrong.rsplit('.').next().unwrap_or(wrong);
    let mut same_field = KEYS.iter().filter(|key| key.field == field);
    let only = match (same_field.next(), same_field.next()) {
        (Some(key), None) => Some(key.name),
        (Some(_), Some(_)) | (None, _) => None,
    };
    only.or_else(|| nearest(wrong, KEYS.iter().map(|key| key.name)))
        .map(str::to_owned)
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
