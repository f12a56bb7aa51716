//! An event as a line, for people and for machines.
//!
//! ```text
//! 10:30:00.123  INFO subscribed assets=400 connections=2       (polypy_net::pool)
//! {"timestamp":"2025-12-08T10:30:00.123Z","level":"INFO","target":"polypy_net::pool","message":"subscribed","assets":400,"connections":2}
//! ```
//!
//! In lines for people a value is one word as it is; or stands between double quotes,
//! where `\"`, `\\`, `\n`, `\t` and `\u{..}` mean what they do in Rust; or, if it has
//! quotes of its own, between backquotes as it is.
//!
//! A field whose name the JSON object already uses is prefixed with `field_`.
//! Spans are not shown: nothing in the program enters one.

use std::fmt;
use std::sync::Arc;

use polypy_core::Clock;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Lines for people.
pub(super) struct Text {
    clock: Arc<dyn Clock>,
    colour: bool,
}

impl Text {
    pub(super) fn new(clock: Arc<dyn Clock>, colour: bool) -> Self {
        Self { clock, colour }
    }
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let fields = Fields::of(event);
        let now = self.clock.now().to_string();
        let time = now.get(11..23).unwrap_or(&now);
        let level = *event.metadata().level();
        let (on, off) = if self.colour {
            (colour(level), "\u{1b}[0m")
        } else {
            ("", "")
        };
        write!(line, "{time} {on}{level:>5}{off} ")?;
        escape(&mut line, &fields.message)?;
        for (name, value) in &fields.others {
            write!(line, " {name}=")?;
            match value {
                Value::Bare(text) => line.write_str(text)?,
                Value::Text(text) if is_plain(text) => line.write_str(text)?,
                Value::Text(text) if is_quotation(text) => write!(line, "`{text}`")?,
                Value::Text(text) => {
                    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
                    line.write_char('"')?;
                    escape(&mut line, &text)?;
                    line.write_char('"')?;
                }
            }
        }
        if level >= Level::DEBUG {
            write!(line, " ({})", event.metadata().target())?;
        }
        line.write_char('\n')
    }
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\u{1b}[31m",
        Level::WARN => "\u{1b}[33m",
        Level::INFO => "\u{1b}[32m",
        _ => "\u{1b}[2m",
    }
}

/// Whether a value needs no quotes: one word, nothing to escape.
fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| !matches!(c, '"' | '`' | ' ' | '=') && !is_unsafe(c))
}

/// Whether a value has quotes of its own, as JSON has, and reads best as it is: between
/// backquotes, where nothing is escaped.
fn is_quotation(text: &str) -> bool {
    text.contains('"') && !text.contains(|c| c == '`' || is_unsafe(c))
}

/// A JSON object a line.
pub(super) struct Json {
    clock: Arc<dyn Clock>,
}

impl Json {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }
}

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let fields = Fields::of(event);
        let metadata = event.metadata();
        write!(
            line,
            "{{\"timestamp\":\"{}\",\"level\":\"{}\",\"target\":",
            self.clock.now(),
            metadata.level()
        )?;
        json_string(&mut line, metadata.target())?;
        line.write_str(",\"message\":")?;
        json_string(&mut line, &fields.message)?;
        for (name, value) in &fields.others {
            let taken = matches!(*name, "timestamp" | "level" | "target" | "message");
            line.write_char(',')?;
            let prefix = if taken { "field_" } else { "" };
            json_string(&mut line, &format!("{prefix}{name}"))?;
            line.write_char(':')?;
            match value {
                Value::Bare(text) => line.write_str(text)?,
                Value::Text(text) => json_string(&mut line, text)?,
            }
        }
        line.write_str("}\n")
    }
}

fn json_string(line: &mut Writer<'_>, text: &str) -> fmt::Result {
    line.write_char('"')?;
    for letter in text.chars() {
        match letter {
            '"' => line.write_str("\\\"")?,
            '\\' => line.write_str("\\\\")?,
            '\n' => line.write_str("\\n")?,
            '\t' => line.write_str("\\t")?,
            // All of them lie in the basic plane: one unit of UTF-16 each.
            letter if is_unsafe(letter) => write!(line, "\\u{:04x}", u32::from(letter))?,
            letter => line.write_char(letter)?,
        }
    }
    line.write_char('"')
}

fn escape(line: &mut Writer<'_>, text: &str) -> fmt::Result {
    for letter in text.chars() {
        match letter {
            '\n' => line.write_str("\\n")?,
            '\t' => line.write_str("\\t")?,
            letter if is_unsafe(letter) => write!(line, "\\u{{{:x}}}", u32::from(letter))?,
            letter => line.write_char(letter)?,
        }
    }
    Ok(())
}

/// What could forge a line, steer a terminal or turn the direction of writing.
fn is_unsafe(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// An event's fields, in its order.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

enum Value {
    /// Numbers and truths: valid JSON as they are.
    Bare(String),
    Text(String),
}

impl Fields {
    fn of(event: &Event<'_>) -> Self {
        let mut fields = Self::default();
        event.record(&mut fields);
        fields
    }

    fn push(&mut self, field: &Field, value: Value) {
        self.others.push((field.name(), value));
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        let value = if value.is_finite() {
            Value::Bare(short(value))
        } else {
            Value::Text(value.to_string())
        };
        self.push(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, Value::Bare(value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, Value::Bare(value.to_string()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, Value::Bare(value.to_string()));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, Value::Text(value.to_owned()));
    }

    /// With all its causes: "could not connect" alone helps nobody.
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let causes = std::iter::successors(value.source(), |cause| cause.source());
        let text = causes.fold(value.to_string(), |text, cause| format!("{text}: {cause}"));
        self.push(field, Value::Text(text));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.push(field, Value::Text(text));
        }
    }
}

/// A number to three decimals: what is measured here is no more exact.
fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    match text {
        "-0" => "0".to_owned(),
        text => text.to_owned(),
    }
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
