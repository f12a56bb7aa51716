//! What a client says over `/v1/ws`: operations, read strictly.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::cursor::Cursor;
use crate::filter::{BadParameter, Filter, FilterBuilder};
use crate::message::{ErrorMessage, Event};

/// Greatest id of a subscription: what every JSON reader holds exactly.
const MOST_ID: u64 = (1 << 53) - 1;

/// An operation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Subscribe {
        id: u64,
        filter: Filter,
        cursor: Option<Cursor>,
    },
    Unsubscribe {
        id: u64,
    },
    Ping,
}

/// Why a message is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadOperation {
    id: Option<u64>,
    code: &'static str,
    message: String,
}

impl BadOperation {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            id: None,
            code,
            message: message.into(),
        }
    }

    /// A message that is no text.
    pub(crate) fn binary() -> Self {
        Self::new("bad_message", "messages are text, not bytes")
    }

    /// What the client is told.
    pub(crate) fn into_event(self) -> Event {
        Event::Error(Box::new(ErrorMessage {
            id: self.id,
            code: self.code,
            is_temporary: false,
            message: self.message,
        }))
    }
}

impl From<BadParameter> for BadOperation {
    fn from(error: BadParameter) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl Operation {
    /// Reads a message. A subscription may name so many tokens, markets and events.
    pub(crate) fn read(text: &str, most: usize) -> Result<Self, BadOperation> {
        let bad = |message: String| BadOperation::new("bad_message", message);
        let fields = serde_json::from_str(text).map_err(|error| {
            if error.is_data() {
                let example = r#"such as {"op":"subscribe","id":1}"#;
                return bad(format!("a message is an object, {example}"));
            }
            bad(format!("no JSON: {error}"))
        });
        let Fields {
            all: mut fields,
            doubled,
        } = fields?;
        if let Some(name) = doubled {
            let message = format!("field {} is there twice: leave one out", shown(&name));
            let id = fields.get("id").and_then(Value::as_u64);
            return Err(BadOperation {
                id: id.filter(|_| name != "id"),
                ..BadOperation::new("bad_parameter", message)
            });
        }
        let op = fields.remove("op");
        let known = "op is \"subscribe\", \"unsubscribe\" or \"ping\"";
        let Some(op) = op.as_ref().and_then(Value::as_str) else {
            return Err(bad(known.to_owned()));
        };
        match op {
            "subscribe" => {
                let id = take_id(&mut fields)?;
                Self::subscribe(id, fields, most).map_err(|error| BadOperation {
                    id: Some(id),
                    ..error
                })
            }
            "unsubscribe" => {
                let id = take_id(&mut fields)?;
                let nothing_more = nothing_more(&fields, "unsubscribe takes op and id");
                nothing_more.map_err(|error| BadOperation {
                    id: Some(id),
                    ..error
                })?;
                Ok(Self::Unsubscribe { id })
            }
            "ping" => {
                nothing_more(&fields, "ping takes op alone")?;
                Ok(Self::Ping)
            }
            other => Err(bad(format!("{known}, not {}", shown(other)))),
        }
    }

    fn subscribe(id: u64, fields: Map<String, Value>, most: usize) -> Result<Self, BadOperation> {
        let mut filter = FilterBuilder::default();
        let mut cursor = None;
        for (name, value) in &fields {
            match name.as_str() {
                "tokens" => filter.tokens(texts("tokens", value)?),
                "markets" => filter.markets(texts("markets", value)?),
                "events" => filter.events(texts("events", value)?),
                "channels" => filter.channels(texts("channels", value)?)?,
                "mode" => filter.mode(text("mode", value)?)?,
                "interval_ms" => filter.interval_ms(number("interval_ms", value)?),
                "depth" => filter.depth(number("depth", value)?),
                "cursor" => {
                    let given = text("cursor", value)?.parse();
                    let bad = |error: crate::cursor::BadCursor| {
                        BadParameter::new("cursor", error.to_string())
                    };
                    cursor = Some(given.map_err(bad)?);
                }
                other => {
                    let known = FilterBuilder::NAMES.join(", ");
                    let message = format!(
                        "unknown field {}; subscribe takes op, id, {known} and cursor",
                        shown(other)
                    );
                    return Err(BadOperation::new("bad_parameter", message));
                }
            }
        }
        let filter = filter.build(most)?;
        Ok(Self::Subscribe { id, filter, cursor })
    }
}

/// The fields of an object. JSON lets a name stand twice, and readers take one of the
/// two: that could be the other one than the client means.
#[derive(Debug)]
struct Fields {
    all: Map<String, Value>,
    doubled: Option<String>,
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Fields, A::Error> {
        let mut fields = Fields {
            all: Map::new(),
            doubled: None,
        };
        while let Some((name, value)) = access.next_entry::<String, Value>()? {
            if fields.all.contains_key(&name) {
                fields.doubled.get_or_insert(name);
            } else {
                fields.all.insert(name, value);
            }
        }
        Ok(fields)
    }
}

fn take_id(fields: &mut Map<String, Value>) -> Result<u64, BadOperation> {
    let id = fields.remove("id");
    let id = id.as_ref().and_then(Value::as_u64);
    id.filter(|id| *id <= MOST_ID).ok_or_else(|| {
        let message = format!("id: a whole number from 0 to {MOST_ID} names the subscription");
        BadOperation::new("bad_parameter", message)
    })
}

fn nothing_more(fields: &Map<String, Value>, known: &str) -> Result<(), BadOperation> {
    match fields.keys().next() {
        None => Ok(()),
        Some(name) => {
            let message = format!("unknown field {}; {known}", shown(name));
            Err(BadOperation::new("bad_parameter", message))
        }
    }
}

fn texts<'a>(name: &'static str, value: &'a Value) -> Result<Vec<&'a str>, BadParameter> {
    let list = value.as_array();
    let texts = list.and_then(|list| list.iter().map(Value::as_str).collect());
    texts.ok_or_else(|| BadParameter::new(name, "must be a list of texts, such as [\"...\"]"))
}

fn text<'a>(name: &'static str, value: &'a Value) -> Result<&'a str, BadParameter> {
    let text = value.as_str();
    text.ok_or_else(|| BadParameter::new(name, "must be a text"))
}

fn number(name: &'static str, value: &Value) -> Result<u64, BadParameter> {
    let number = value.as_u64();
    number.ok_or_else(|| BadParameter::new(name, "must be a whole number"))
}

/// A piece of a message as an error repeats it.
fn shown(text: &str) -> String {
    crate::filter::quoted(text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use polypy_core::Selector;
    use proptest::prelude::*;

    use super::*;
    use crate::filter::{Channel, Channels};

    const GOLDEN: &str = include_str!("../../../../polypy-client/tests/data/operations.ndjson");

    proptest! {
        /// Whatever is changed in what was right once is read, or refused with a code.
        #[test]
        fn no_message_panics(
            line in 0..4_usize,
            at in any::<prop::sample::Index>(),
            end in any::<prop::sample::Index>(),
            put in "[\\PC\"\\[\\]{},:0-9-]{0,6}",
        ) {
            let mut text = GOLDEN.lines().nth(line).unwrap().to_owned();
            let (at, end) = (at.index(text.len()), end.index(text.len()));
            text.replace_range(at.min(end)..at.max(end), &put);
            if let Err(error) = Operation::read(&text, 3) {
                prop_assert!(!error.message.is_empty());
                prop_assert!(!error.code.is_empty());
            }
            prop_assert!(Operation::read(&put, 3).is_err());
        }
    }

    fn read(text: &str) -> Result<Operation, (Option<u64>, &'static str, String)> {
        Operation::read(text, 3).map_err(|error| (error.id, error.code, error.message))
    }

    #[test]
    fn the_operations_that_clients_are_tested_with_are_read() {
        let most = 5;
        let read: Vec<_> = GOLDEN
            .lines()
            .map(|line| Operation::read(line, most).unwrap())
            .collect();
        let usual = Filter::everything(Channels::default());
        assert_eq!(
            read[0],
            Operation::Subscribe {
                id: 1,
                filter: usual,
                cursor: None
            }
        );
        let Operation::Subscribe { id, filter, cursor } = &read[1] else {
            panic!("{:?}", read[1]);
        };
        assert_eq!((*id, filter.selectors.len()), (2, most));
        let slug = "will-it-rain-in-lisbon-on-friday".into();
        assert_eq!(filter.selectors[3], Selector::Market(slug));
        assert_eq!(
            filter.selectors[4],
            Selector::Event("weather-in-lisbon".into())
        );
        assert_eq!(filter.channels, Channel::ALL.into_iter().collect());
        assert_eq!(filter.mode.interval, Some(Duration::from_millis(500)));
        assert_eq!(filter.mode.depth, Some(10));
        assert_eq!(cursor.unwrap().to_string(), "5f3a9c1d2b7e4a60-57");
        assert_eq!(
            read[2..],
            [Operation::Unsubscribe { id: 2 }, Operation::Ping]
        );
    }

    #[test]
    fn what_is_none_is_named_with_what_would_be_right() {
        for (text, id, code, part) in [
            ("", None, "bad_message", "no JSON"),
            ("[]", None, "bad_message", "object"),
            ("[", None, "bad_message", "object"),
            (r#""ping""#, None, "bad_message", "object"),
            (
                r#"{"op":"ping","op":"ping"}"#,
                None,
                "bad_parameter",
                "field \"op\" is there twice",
            ),
            (
                r#"{"op":"unsubscribe","id":1,"id":2}"#,
                None,
                "bad_parameter",
                "field \"id\" is there twice",
            ),
            (
                r#"{"op":"subscribe","id":7,"tokens":["1"],"depth":5,"tokens":["2"]}"#,
                Some(7),
                "bad_parameter",
                "field \"tokens\" is there twice",
            ),
            ("{}", None, "bad_message", "op is"),
            (r#"{"op":1}"#, None, "bad_message", "op is"),
            (r#"{"op":"sub"}"#, None, "bad_message", "\"sub\""),
            (r#"{"op":"ping","id":1}"#, None, "bad_parameter", "\"id\""),
            (r#"{"op":"unsubscribe"}"#, None, "bad_parameter", "id:"),
            (
                r#"{"op":"unsubscribe","id":-1}"#,
                None,
                "bad_parameter",
                "id:",
            ),
            (
                r#"{"op":"unsubscribe","id":1,"x":1}"#,
                Some(1),
                "bad_parameter",
                "\"x\"",
            ),
            (
                r#"{"op":"subscribe","id":9007199254740992}"#,
                None,
                "bad_parameter",
                "9007199254740991",
            ),
            (
                r#"{"op":"subscribe","id":7,"token":["1"]}"#,
                Some(7),
                "bad_parameter",
                "tokens, markets",
            ),
            (
                r#"{"op":"subscribe","id":7,"tokens":"1"}"#,
                Some(7),
                "bad_parameter",
                "tokens: must be a list",
            ),
            (
                r#"{"op":"subscribe","id":7,"tokens":[1]}"#,
                Some(7),
                "bad_parameter",
                "tokens: must be a list",
            ),
            (
                r#"{"op":"subscribe","id":7,"tokens":[]}"#,
                Some(7),
                "bad_parameter",
                "tokens: names nothing",
            ),
            (
                r#"{"op":"subscribe","id":7,"events":[]}"#,
                Some(7),
                "bad_parameter",
                "events: names nothing",
            ),
            (
                r#"{"op":"subscribe","id":7,"tokens":["1","2","3","4"]}"#,
                Some(7),
                "too_many_tokens",
                "3 may be",
            ),
            (
                r#"{"op":"subscribe","id":7,"channels":["bok"]}"#,
                Some(7),
                "bad_parameter",
                "no channel \"bok\"",
            ),
            (
                r#"{"op":"subscribe","id":7,"mode":null}"#,
                Some(7),
                "bad_parameter",
                "mode: must be a text",
            ),
            (
                r#"{"op":"subscribe","id":7,"depth":"10"}"#,
                Some(7),
                "bad_parameter",
                "depth: must be a whole number",
            ),
            (
                r#"{"op":"subscribe","id":7,"depth":7}"#,
                Some(7),
                "bad_parameter",
                "depth: must be one of",
            ),
            (
                r#"{"op":"subscribe","id":7,"cursor":"x"}"#,
                Some(7),
                "bad_parameter",
                "cursor: not a cursor",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!((error.0, error.1), (id, code), "{text}");
            assert!(error.2.contains(part), "{text}: {}", error.2);
        }
    }
}
