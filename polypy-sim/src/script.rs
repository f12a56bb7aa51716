//! Scripts of faults: which comes when, in TOML.
//!
//! ```toml
//! [[step]]
//! at = "10s"                  # since the start of the exchange
//! fault = "stall_asset"
//! for = "5s"                  # and share, assets, connections, as in requests
//! share = 0.1
//!
//! [[step]]
//! at = "20s"
//! fault = "wrong_hash"
//! for = "10s"
//! with = { rate = 0.1 }       # the fault's own parameters
//! ```
//!
//! A script is read whole or not at all, and every mistake in it is told at
//! once, with its line. The exchange's driver switches the steps on when their
//! time has come, paused or not; each ends by its own `for`.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use toml::de::{DeTable, DeValue};

use crate::exchange::Exchange;
use crate::fault::{self, Fault, FaultError};
use crate::fault_kind::FaultInfo;
use crate::fault_table::FAULTS;

/// What a step may say.
const KEYS: [&str; 7] = [
    "at",
    "fault",
    "for",
    "share",
    "assets",
    "connections",
    "with",
];
/// Most steps of a script; what needs more needs a program.
const STEP_LIMIT: usize = 10_000;

/// One step: a fault and when it comes.
#[derive(Debug, Clone, PartialEq)]
struct Step {
    at: Duration,
    fault: Fault,
    line: usize,
}

/// Faults with the times at which they are switched on.
///
/// ```
/// let script = polypy_sim::Script::parse(
///     "[[step]]\nat = \"1s\"\nfault = \"drop_connection\"\n",
/// )?;
/// assert_eq!(script.len(), 1);
/// # Ok::<(), polypy_sim::ScriptError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Script {
    /// Earliest first; those of one moment as they were written.
    steps: Vec<Step>,
}

/// Something in a script that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptMistake {
    /// Line of the text, counted from one.
    pub line: usize,
    /// The field, or `syntax`.
    pub field: String,
    /// What is wrong with it, with a suggestion if a name is nearly right.
    pub reason: String,
}

/// Every mistake of a script, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptError {
    /// At least one.
    pub mistakes: Vec<ScriptMistake>,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mistake) in self.mistakes.iter().enumerate() {
            let ScriptMistake {
                line,
                field,
                reason,
            } = mistake;
            let parted = if at == 0 { "" } else { "; " };
            write!(f, "{parted}line {line}: {field}: {reason}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ScriptError {}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// [`ScriptError`] holds every mistake.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let mut reader = Reader {
            text,
            mistakes: Vec::new(),
        };
        let mut steps = reader.document();
        if reader.mistakes.is_empty() {
            steps.sort_by_key(|step| step.at);
            Ok(Self { steps })
        } else {
            reader.mistakes.sort_by_key(|mistake| mistake.line);
            Err(ScriptError {
                mistakes: reader.mistakes,
            })
        }
    }

    /// How many steps it has.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

/// A text being read, and what was found wrong so far.
struct Reader<'a> {
    text: &'a str,
    mistakes: Vec<ScriptMistake>,
}

impl Reader<'_> {
    fn line(&self, offset: usize) -> usize {
        let before = self.text.bytes().take(offset);
        1 + before.filter(|byte| *byte == b'\n').count()
    }

    fn refuse(&mut self, offset: usize, field: &str, reason: impl Into<String>) {
        let mistake = ScriptMistake {
            line: self.line(offset),
            field: field.to_owned(),
            reason: reason.into(),
        };
        self.mistakes.push(mistake);
    }

    fn document(&mut self) -> Vec<Step> {
        let (document, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            let at = error.span().map_or(0, |span| span.start);
            self.refuse(at, "syntax", error.message().replace('\n', ", "));
        }
        if !errors.is_empty() {
            // What was recovered may not be what was meant.
            return Vec::new();
        }
        let mut steps = Vec::new();
        for (name, value) in document.get_ref() {
            let at = name.span().start;
            let (name, rows) = match (name.get_ref().as_ref(), value.get_ref()) {
                ("step", DeValue::Array(rows)) => ("step", rows),
                ("step", _) => {
                    self.refuse(at, "step", "steps are written as [[step]]");
                    continue;
                }
                (other, _) => {
                    self.refuse(at, other, "unknown, a script is a list of [[step]]");
                    continue;
                }
            };
            if rows.len() > STEP_LIMIT {
                self.refuse(at, name, format!("more than {STEP_LIMIT} steps"));
                continue;
            }
            for row in rows {
                let at = row.span().start;
                match row.get_ref() {
                    DeValue::Table(table) => steps.extend(self.step(at, table)),
                    _ => self.refuse(at, name, "not a table"),
                }
            }
        }
        steps
    }

    /// One step; `None` if anything of it is wrong.
    fn step(&mut self, start: usize, table: &DeTable<'_>) -> Option<Step> {
        let before = self.mistakes.len();
        let at = match text(table, "at") {
            Field::Text(offset, text) => {
                let at = fault::parse_duration(text);
                if at.is_none() {
                    self.refuse(offset, "at", "not a duration such as \"10s\"");
                }
                at
            }
            Field::Other(offset) => {
                self.refuse(offset, "at", "not a duration such as \"10s\"");
                None
            }
            Field::Missing => {
                self.refuse(start, "at", "missing");
                None
            }
        };
        let info = match text(table, "fault") {
            Field::Text(offset, name) => {
                let info = FAULTS.iter().find(|info| info.name == name);
                if info.is_none() {
                    self.refuse(offset, "fault", fault::unknown_name(name));
                }
                info
            }
            Field::Other(offset) => {
                self.refuse(offset, "fault", "not a text");
                None
            }
            Field::Missing => {
                self.refuse(start, "fault", "missing");
                None
            }
        };
        let mut fault = info.map(|info| Fault::new(info.kind));
        for (key, value) in table {
            let (offset, name) = (key.span().start, key.get_ref().as_ref());
            match name {
                "at" | "fault" => {}
                "with" => self.parameters(offset, value.get_ref(), &mut fault),
                _ if !KEYS.contains(&name) => self.unknown(offset, name, info),
                _ => {
                    if let (Some(info), Some(so_far)) = (info, fault.take()) {
                        let value = json_value(value.get_ref());
                        let next = so_far.clone().with_field(info, name, &value);
                        fault = Some(self.keep(offset, so_far, next));
                    }
                }
            }
        }
        if self.mistakes.len() > before {
            return None;
        }
        Some(Step {
            at: at?,
            fault: fault?,
            line: self.line(start),
        })
    }

    fn parameters(&mut self, offset: usize, value: &DeValue<'_>, fault: &mut Option<Fault>) {
        let DeValue::Table(table) = value else {
            self.refuse(offset, "with", "not a table such as { rate = 0.1 }");
            return;
        };
        for (key, value) in table {
            if let Some(so_far) = fault.take() {
                let value = json_value(value.get_ref());
                let next = so_far.clone().with(key.get_ref(), value);
                *fault = Some(self.keep(key.span().start, so_far, next));
            }
        }
    }

    /// The fault with a field more, or as it was, and the mistake noted.
    fn keep(&mut self, offset: usize, so_far: Fault, next: Result<Fault, FaultError>) -> Fault {
        match next {
            Ok(fault) => fault,
            Err(FaultError { field, reason }) => {
                self.refuse(offset, &field, reason);
                so_far
            }
        }
    }

    fn unknown(&mut self, offset: usize, name: &str, info: Option<&FaultInfo>) {
        let parameter = info.is_some_and(|info| {
            info.parameters
                .iter()
                .any(|parameter| parameter.name == name)
        });
        let reason = if parameter {
            format!("belongs into with = {{ {name} = .. }}")
        } else {
            match fault::nearest(name, KEYS.into_iter()) {
                Some(near) => format!("unknown, did you mean {near:?}?"),
                None => "unknown".to_owned(),
            }
        };
        self.refuse(offset, name, reason);
    }
}

/// What a table has under a key that should be a text, and where.
enum Field<'a> {
    Text(usize, &'a str),
    Other(usize),
    Missing,
}

fn text<'a>(table: &'a DeTable<'_>, key: &str) -> Field<'a> {
    let found = table.iter().find(|(name, _)| name.get_ref() == key);
    match found.map(|(name, value)| (name.span().start, value.get_ref())) {
        Some((offset, DeValue::String(text))) => Field::Text(offset, text),
        Some((offset, _)) => Field::Other(offset),
        None => Field::Missing,
    }
}

/// A value as a request would have it; null for what no request can hold.
fn json_value(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => json!(text),
        DeValue::Integer(number) => {
            let digits = number.as_str();
            i64::from_str_radix(digits, number.radix()).map_or(Value::Null, |number| json!(number))
        }
        DeValue::Float(number) => number
            .as_str()
            .parse::<f64>()
            .map_or(Value::Null, |number| json!(number)),
        DeValue::Boolean(truth) => json!(truth),
        DeValue::Array(values) => values
            .iter()
            .map(|value| json_value(value.get_ref()))
            .collect(),
        DeValue::Datetime(_) | DeValue::Table(_) => Value::Null,
    }
}

/// A step whose time is to come.
#[derive(Debug)]
pub(crate) struct Cue {
    due: Instant,
    fault: Fault,
    line: usize,
}

impl Exchange {
    /// Lets a script run from now on, beside any that runs already.
    pub(crate) fn begin(&mut self, script: Script) {
        let now = Instant::now();
        let cues = script.steps.into_iter().map(|step| Cue {
            due: now + step.at,
            fault: step.fault,
            line: step.line,
        });
        self.script.extend(cues);
        self.script.make_contiguous().sort_by_key(|cue| cue.due);
    }

    /// Switches on what a script has for this moment.
    pub(crate) fn run_script(&mut self, now: Instant) {
        while let Some(cue) = self.script.pop_front_if(|cue| cue.due <= now) {
            self.add_fault(cue.fault, Some(cue.line));
        }
    }

    /// When a script's next step comes.
    pub(crate) fn next_cue(&self) -> Option<Instant> {
        self.script.front().map(|cue| cue.due)
    }

    /// The steps to come, for people.
    pub(crate) fn cues(&self, now: Instant) -> Vec<Value> {
        self.script
            .iter()
            .map(|cue| {
                let mut row = cue.fault.to_json();
                let left = cue.due.saturating_duration_since(now).as_secs_f64();
                row.insert("script_line".to_owned(), json!(cue.line));
                row.insert("starts_in_seconds".to_owned(), json!(left));
                Value::Object(row)
            })
            .collect()
    }
}

#[cfg(test)]
#[path = "script_tests.rs"]
mod tests;
