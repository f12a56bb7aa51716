//! A configuration file: TOML, read for everything that is in it, and for every mistake.

use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue, Error};

use super::former::FORMER;
use super::layer::{Layer, item};
use super::mistake::{Mistake, Source};
use super::suggest::nearest;
use super::table::{KEYS, Key, SECTIONS, key};

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
            refuse_section(&mut layer, written, &source)
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
            let former = FORMER.iter().find(|former| former.name == name);
            let Some(key) = key(former.map_or(&*name, |former| former.key)) else {
                layer.refuse(&name, nearest_name(&name), &source);
                continue;
            };
            match (text_of(value.get_ref(), key), former) {
                (Ok(text), None) => layer.set(key, text, source),
                (Ok(text), Some(former)) => layer.set_former(former, text, source),
                (Err(reason), _) => layer.mistakes.push(Mistake::new(name, reason, &source)),
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

/// A value as text, or what it has to be. An array of texts is what commas would separate.
fn text_of(value: &DeValue<'_>, key: &Key) -> Result<String, String> {
    let shape = key.shape;
    if !key.list {
        return scalar(value).ok_or_else(|| format!("must be a single value ({shape})"));
    }
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Array(values) => {
            let items = values.iter();
            let items = items.map(|value| item(value.get_ref().as_str(), shape));
            let items: Result<Vec<_>, _> = items.collect();
            items.map(|items| items.join(","))
        }
        _ => Err(format!("must be a text ({shape}) or an array of texts")),
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().replace('_', "")),
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(|number| number.to_string()),
        // A number, however it is written: in plain digits, as JSON's are.
        DeValue::Float(number) => {
            let value: Option<f64> = number.as_str().replace('_', "").parse().ok();
            let plain = value.filter(|value| value.is_finite());
            Some(plain.map_or_else(|| number.as_str().to_owned(), |plain| plain.to_string()))
        }
        DeValue::Boolean(truth) => Some(truth.to_string()),
        DeValue::Datetime(moment) => Some(moment.to_string()),
        DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// Refuses a section. If it is a misspelt one, its keys can be judged as
/// those of the section that it was meant to be.
fn refuse_section(layer: &mut Layer, name: &str, source: &Source) -> Option<&'static str> {
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
    layer.mistakes.push(Mistake::new(written, reason, source));
    meant
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
