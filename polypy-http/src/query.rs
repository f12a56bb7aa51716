//! The query part of a request target.
//!
//! Strict on purpose: a misspelt `depht=5` that was ignored would be a right
//! answer to another question. Names and values are percent-decoded once, `+`
//! is a space, a name may stand once, and numbers are plain digits.

use std::ops::RangeInclusive;

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
    /// It may stand once.
    #[error("query parameter {name:?} is given twice")]
    Duplicate {
        /// The parameter.
        name: String,
    },
    /// No number, or one out of its range.
    #[error("query parameter {name:?} must be a whole number from {least} to {most}")]
    Number {
        /// The parameter.
        name: String,
        /// The lowest value.
        least: usize,
        /// The highest value.
        most: usize,
    },
}

impl QueryError {
    /// The parameter at fault.
    pub fn parameter(&self) -> &str {
        match self {
            Self::Encoding { name }
            | Self::Unknown { name, .. }
            | Self::Duplicate { name }
            | Self::Number { name, .. } => name,
        }
    }
}

/// Decoded parameters, each name once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Reads `a=1&b=2`; only names in `known` are accepted. Empty pieces
    /// (`a=1&&`) are skipped.
    pub(crate) fn parse(raw: &str, known: &[&str]) -> Result<Self, QueryError> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for piece in raw.split('&').filter(|piece| !piece.is_empty()) {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            let decoded = decode_form(name).zip(decode_form(value));
            let Some((name, value)) = decoded else {
                return Err(QueryError::Encoding {
                    name: shown(name).to_owned(),
                });
            };
            if !known.contains(&name.as_str()) {
                return Err(QueryError::Unknown {
                    name: shown(&name).to_owned(),
                    known: known.join(", "),
                });
            }
            if pairs.iter().any(|(seen, _)| *seen == name) {
                return Err(QueryError::Duplicate { name });
            }
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    /// The same, without those that are not known or cannot be read; of one that is
    /// given twice the first counts.
    pub(crate) fn parse_known(raw: &str, known: &[&str]) -> Self {
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
        let found = self.pairs.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A whole number in `range`, `None` when the parameter is absent.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn number(
        &self,
        name: &str,
        range: RangeInclusive<usize>,
    ) -> Result<Option<usize>, QueryError> {
        let Some(value) = self.text(name) else {
            return Ok(None);
        };
        // `parse` alone would take "+5".
        let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        value
            .parse()
            .ok()
            .filter(|number| digits && range.contains(number))
            .map(Some)
            .ok_or_else(|| QueryError::Number {
                name: name.to_owned(),
                least: *range.start(),
                most: *range.end(),
            })
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
    use proptest::prelude::*;

    const KNOWN: &[&str] = &["depth", "limit"];

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
                .unwrap()
                .number("depth", 1..=1000)
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
                let number = query.number("depth", 1..=1000);
                prop_assert!(number.is_err() || number.unwrap().is_none_or(|n| n <= 1000));
            }
        }
    }
}
