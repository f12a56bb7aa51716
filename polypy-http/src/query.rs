//! The query part of a request target.
//!
//! Strict on purpose: a misspelt `depht=5` that was ignored would be a right
//! answer to another question. Names and values are percent-decoded once, `+`
//! is a space, a name may stand once, and a value is of its parameter's kind.

use crate::parameter::{Parameter, items, whole};

/// Why a query was refused. Every variant names the parameter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// A `%` without two hexadecimal digits, or bytes that are not UTF-8.
    #[error("query is not valid percent-encoded UTF-8 near {name:?}")]
    Encoding {
        /// What could not be read.
        name: String,
    },
    /// The route takes others.
    #[error("unknown query parameter {name:?}; this route takes {known}")]
    Unknown {
        /// The parameter.
        name: String,
        /// Those that the route takes.
        known: String,
    },
    /// What is sent says everything.
    #[error(
        "query parameter {name:?}: {method} takes none here, what it is to do stands in its body"
    )]
    None {
        /// The parameter.
        name: String,
        /// The method.
        method: String,
    },
    /// It may stand once.
    #[error("query parameter {name:?} is given twice")]
    Duplicate {
        /// The parameter.
        name: String,
    },
    /// Its value is not of its kind.
    #[error("query parameter {name:?} must be {wanted}")]
    Value {
        /// The parameter.
        name: String,
        /// What it may be.
        wanted: String,
    },
}

impl QueryError {
    /// The parameter at fault.
    pub fn parameter(&self) -> &str {
        match self {
            Self::Encoding { name }
            | Self::Unknown { name, .. }
            | Self::None { name, .. }
            | Self::Duplicate { name }
            | Self::Value { name, .. } => name,
        }
    }
}

/// Decoded parameters, each name once and with a value of its kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    pairs: Vec<(&'static str, String)>,
}

impl Query {
    /// Reads `a=1&b=2`; only parameters in `known` are accepted. Empty pieces
    /// (`a=1&&`) are skipped.
    ///
    /// # Errors
    /// For the first thing that is wrong.
    pub fn parse(raw: &str, known: &[Parameter]) -> Result<Self, QueryError> {
        let mut query = Self::default();
        for piece in raw.split('&').filter(|piece| !piece.is_empty()) {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            let decoded = decode_form(name).zip(decode_form(value));
            let Some((name, value)) = decoded else {
                return Err(QueryError::Encoding {
                    name: shown(name).to_owned(),
                });
            };
            let Some(parameter) = known.iter().find(|known| known.name == name) else {
                let names: Vec<_> = known.iter().map(|known| known.name).collect();
                return Err(QueryError::Unknown {
                    name: shown(&name).to_owned(),
                    known: names.join(", "),
                });
            };
            if query.text(&name).is_some() {
                return Err(QueryError::Duplicate { name });
            }
            if !parameter.kind.has(&value) {
                let wanted = parameter.kind.wanted(&value);
                return Err(QueryError::Value { name, wanted });
            }
            query.pairs.push((parameter.name, value));
        }
        Ok(query)
    }

    /// Refuses the query of a request that says everything in its body.
    ///
    /// # Errors
    /// For the first parameter.
    pub(crate) fn none(raw: &str, method: &str) -> Result<Self, QueryError> {
        let Some(piece) = raw.split('&').find(|piece| !piece.is_empty()) else {
            return Ok(Self::default());
        };
        let (name, _) = piece.split_once('=').unwrap_or((piece, ""));
        let name = decode_form(name).unwrap_or_else(|| name.to_owned());
        Err(QueryError::None {
            name: shown(&name).to_owned(),
            method: method.to_owned(),
        })
    }

    /// The same, without those that are not known or cannot be read; of one that is
    /// given twice the first counts.
    pub(crate) fn parse_known(raw: &str, known: &[Parameter]) -> Self {
        let mut query = Self::default();
        for piece in raw.split('&') {
            if let Ok(Self { pairs }) = Self::parse(piece, known) {
                query.pairs.extend(pairs);
            }
        }
        query
    }

    /// The decoded value, `None` when the parameter is absent.
    pub fn text(&self, name: &str) -> Option<&str> {
        let found = self.pairs.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The whole number that a parameter of that kind has, `None` when it is absent.
    pub fn whole(&self, name: &str) -> Option<usize> {
        self.text(name).and_then(whole)
    }

    /// What a flag says, `None` when it is absent.
    pub fn flag(&self, name: &str) -> Option<bool> {
        let value = self.text(name)?;
        Some(!matches!(value, "0" | "false"))
    }

    /// The values of a list, `None` when it is absent.
    pub fn list(&self, name: &str) -> Option<impl Iterator<Item = &str>> {
        self.text(name).map(items)
    }
}

fn decode_form(text: &str) -> Option<String> {
    percent_decode(&text.replace('+', " "))
}

/// Undoes percent-encoding once. `None` for a `%` without two hexadecimal
/// digits, or for bytes that are not UTF-8.
pub(crate) fn percent_decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = hex(bytes.next()?)?;
            let low = hex(bytes.next()?)?;
            decoded.push(high << 4 | low);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// At most 64 characters of what a client sent, for an error text.
pub(crate) fn shown(text: &str) -> &str {
    match text.char_indices().nth(64) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameter::Kind;
    use proptest::prelude::*;

    const KNOWN: &[Parameter] = &[
        Parameter::new(
            "depth",
            Kind::Whole {
                least: 1,
                most: 1_000,
            },
            "",
        ),
        Parameter::new(
            "limit",
            Kind::Whole {
                least: 1,
                most: 1_000,
            },
            "",
        ),
        Parameter::new("tops", Kind::Flag, ""),
        Parameter::new("tags", Kind::List { most: 2 }, ""),
    ];

    #[test]
    fn numbers_are_plain_digits_in_range() {
        for (raw, expected) in [
            ("", Ok(None)),
            ("depth=5", Ok(Some(5))),
            ("limit=2&depth=1000", Ok(Some(1000))),
            ("depth=%31%30", Ok(Some(10))),
            ("depth=007", Ok(Some(7))),
            ("&depth=5&", Ok(Some(5))),
            ("depth=0", Err(())),
            ("depth=1001", Err(())),
            ("depth=-1", Err(())),
            ("depth=%2B5", Err(())),
            ("depth=+5", Err(())),
            ("depth=1.0", Err(())),
            ("depth=1e2", Err(())),
            ("depth=abc", Err(())),
            ("depth=", Err(())),
            ("depth", Err(())),
            ("depth=%d9%a1", Err(())),
            ("depth=100000000000000000000", Err(())),
        ] {
            let got = Query::parse(raw, KNOWN)
                .map(|query| query.whole("depth"))
                .map_err(|error| assert_eq!(error.parameter(), "depth"));
            assert_eq!(got, expected, "{raw}");
        }
    }

    #[test]
    fn refuses_what_it_does_not_know_twice_or_badly_encoded() {
        let parse = |raw| Query::parse(raw, KNOWN).unwrap_err();
        assert!(matches!(parse("depht=5"), QueryError::Unknown { .. }));
        assert!(matches!(
            parse("depth=1&depth=2"),
            QueryError::Duplicate { .. }
        ));
        for raw in ["depth=%", "depth=%1", "depth=%zz", "depth=%ff"] {
            assert!(matches!(parse(raw), QueryError::Encoding { .. }), "{raw}");
        }
        let error = parse("limit=0").to_string();
        assert!(error.ends_with("\"limit\" must be a whole number from 1 to 1000"));
    }

    #[test]
    fn a_body_has_no_parameters_beside_it() {
        for raw in ["", "&", "&&"] {
            assert_eq!(Query::none(raw, "PUT"), Ok(Query::default()), "{raw}");
        }
        for (raw, name) in [("dry%5Frun", "dry_run"), ("&a=1&b", "a"), ("%zz=1", "%zz")] {
            let error = Query::none(raw, "PUT").unwrap_err();
            assert_eq!(error.parameter(), name);
            assert!(error.to_string().contains("PUT takes none here"), "{error}");
        }
    }

    #[test]
    fn flags_stand_alone_and_lists_are_cut_at_commas() {
        let query = Query::parse("tops&tags=a%2Cb,", KNOWN).unwrap();
        assert_eq!(query.flag("tops"), Some(true));
        assert_eq!(query.list("tags").unwrap().collect::<Vec<_>>(), ["a", "b"]);
        let query = Query::parse("tops=false", KNOWN).unwrap();
        assert_eq!(query.flag("tops"), Some(false));
        assert!(query.list("tags").is_none() && query.flag("depth").is_none());
        for (raw, remedy) in [
            (
                "tags=a,b,c",
                "of 1 to 2 values: 3 are too many, ask for them in parts",
            ),
            ("tags=,", "of 1 to 2 values: name one, or leave it out"),
        ] {
            let error = Query::parse(raw, KNOWN).unwrap_err().to_string();
            assert!(error.ends_with(remedy), "{error}");
        }
        let query = Query::parse_known("tops=yes&depth=7&depth=8&more=1", KNOWN);
        assert_eq!((query.flag("tops"), query.whole("depth")), (None, Some(7)));
    }

    #[test]
    fn what_is_echoed_is_short() {
        let long = "é".repeat(500);
        assert_eq!(shown(&long).chars().count(), 64);
    }

    proptest! {
        #[test]
        fn encoding_every_byte_then_decoding_is_identity(text in ".{0,40}") {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            prop_assert_eq!(percent_decode(&encoded), Some(text));
        }

        #[test]
        fn no_query_panics(raw in "[%&=+a-f0-9dehpt\u{e9}]{0,60}") {
            if let Ok(query) = Query::parse(&raw, KNOWN) {
                prop_assert!(query.whole("depth").is_none_or(|n| (1..=1_000).contains(&n)));
            }
        }
    }
}
