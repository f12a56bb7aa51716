//! What a route says of its query parameters. The parser refuses what is none of them, the
//! landing page and the API's description list them, and the manual is compared with them.

use polypy_core::catalogue::{Bound, Cents};

/// What the value of a query parameter may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A whole number, in plain digits.
    Whole {
        /// The lowest.
        least: usize,
        /// The highest.
        most: usize,
    },
    /// Yes: the name alone, `true` or `1`. No: `false` or `0`.
    Flag,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Values with commas between them, one at least. Empty ones do not count.
    List {
        /// So many at most.
        most: usize,
    },
    /// Some of these words, with commas between them.
    Words(&'static [&'static str]),
    /// Any text.
    Text {
        /// Of so many characters at most.
        most: usize,
    },
    /// Dollars in plain digits, which may have a point in them: what [`Cents::typed`] reads.
    Dollars,
    /// A date, a moment, or how long from now: what [`Bound`] reads.
    Moment,
    /// A place, as an earlier answer gave it.
    Cursor,
}

/// Bytes of a cursor at most.
const LONGEST_CURSOR: usize = 128;

/// A query parameter of a route.
///
/// ```
/// use polypy_http::{Kind, Parameter};
///
/// const PARAMETERS: &[Parameter] = &[
///     Parameter::new("limit", Kind::Whole { least: 1, most: 500 }, "sacks at most").or("100"),
///     Parameter::new("full", Kind::Flag, "full sacks alone"),
/// ];
/// assert_eq!(PARAMETERS[0].default, "100");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What its value may be.
    pub kind: Kind,
    /// What it does, in a line.
    pub about: &'static str,
    /// The value of who leaves it out; empty if there is none.
    pub default: &'static str,
    /// What a text, or each value of a list, looks like, as a regular expression of
    /// ECMA-262; empty if that cannot be said. It is stated to clients; the route refuses
    /// what is not so.
    pub pattern: &'static str,
    /// Whether it has to be given. It is stated to clients; the route refuses to go without.
    pub is_required: bool,
}

impl Parameter {
    /// One without a default.
    pub const fn new(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self {
            name,
            kind,
            about,
            default: "",
            pattern: "",
            is_required: false,
        }
    }

    /// Says what is assumed of who leaves it out.
    #[must_use]
    pub const fn or(self, default: &'static str) -> Self {
        Self { default, ..self }
    }

    /// Has to be given.
    #[must_use]
    pub const fn required(self) -> Self {
        Self {
            is_required: true,
            ..self
        }
    }

    /// Says what a text, or each value of a list, looks like.
    #[must_use]
    pub const fn like(self, pattern: &'static str) -> Self {
        Self { pattern, ..self }
    }
}

impl Kind {
    /// Whether a value is one of these.
    pub(crate) fn has(self, value: &str) -> bool {
        match self {
            Self::Whole { least, most } => {
                whole(value).is_some_and(|number| (least..=most).contains(&number))
            }
            Self::Flag => matches!(value, "" | "true" | "1" | "false" | "0"),
            Self::OneOf(words) => words.contains(&value),
            Self::List { most } => (1..=most).contains(&items(value).count()),
            Self::Words(words) => {
                let is_some = items(value).next().is_some();
                is_some && items(value).all(|item| words.contains(&item))
            }
            Self::Text { most } => value.chars().nth(most).is_none(),
            Self::Dollars => Cents::typed(value).is_some(),
            Self::Moment => value.parse::<Bound>().is_ok(),
            Self::Cursor => {
                let is_plain = value.bytes().all(|byte| byte.is_ascii_graphic());
                (1..=LONGEST_CURSOR).contains(&value.len()) && is_plain
            }
        }
    }

    /// What the value has to be that was given instead of this one, for an error.
    pub(crate) fn wanted(self, given: &str) -> String {
        match self {
            Self::Whole { least, most } => format!("a whole number from {least} to {most}"),
            Self::Flag => "true or false".to_owned(),
            Self::OneOf([others @ .., last]) if !others.is_empty() => {
                format!("{} or {last}", others.join(", "))
            }
            Self::OneOf(words) => words.concat(),
            Self::List { most } => {
                let remedy = match items(given).count() {
                    0 => "name one, or leave it out".to_owned(),
                    count => format!("{count} are too many, ask for them in parts"),
                };
                format!("a list with commas of 1 to {most} values: {remedy}")
            }
            Self::Words(words) => format!("a list with commas of some of {}", words.join(", ")),
            Self::Text { most } => format!("text of at most {most} characters"),
            Self::Dollars => {
                let (whole, places) = Cents::TYPED;
                format!(
                    "dollars in plain digits such as 10000 or 0.5, with at most {whole} before \
                     the point and {places} behind it"
                )
            }
            Self::Moment => "a date such as 2026-12-31, a moment such as 2026-12-31T12:00:00Z, or \
                             how long from now, such as 7d, 12h or 30m"
                .to_owned(),
            Self::Cursor => "a cursor as an answer gave it".to_owned(),
        }
    }
}

/// A number in plain digits: `parse` alone would take "+5".
pub(crate) fn whole(value: &str) -> Option<usize> {
    let is_digits = value.bytes().all(|byte| byte.is_ascii_digit());
    value.parse().ok().filter(|_| is_digits)
}

/// The values of a list.
pub(crate) fn items(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').filter(|item| !item.is_empty())
}

/// What is wrong with the table of parameters that a manual has in the section of a route:
/// Markdown, with the heading `### GET /path`, whose first column is called `parameter`.
/// Each has to stand there with its default, and nothing else may.
///
/// For tests of manuals.
pub fn manual_mistakes(manual: &str, path: &str, parameters: &[Parameter]) -> Vec<String> {
    let heading = format!("### GET {path}\n");
    let section = manual.split_once(&heading).map_or("", |(_, rest)| rest);
    let section = section.split("\n### ").next().unwrap_or("");
    let mut table = section
        .lines()
        .skip_while(|line| !line.starts_with("| parameter |"))
        .take_while(|line| line.starts_with('|'));
    let columns: Vec<_> = table.next().map(cells).unwrap_or_default();
    let mut column = columns.iter().copied();
    let default = column.position(|name| name == "default");
    let mut mistakes = Vec::new();
    let mut seen = Vec::new();
    for row in table.skip(1).map(cells) {
        for name in row.first().into_iter().flat_map(|names| names.split(", ")) {
            let name = name.trim_matches('`');
            let Some(known) = parameters.iter().find(|known| known.name == name) else {
                mistakes.push(format!("{path} takes no {name}"));
                continue;
            };
            seen.push(name);
            let shown = default.and_then(|at| row.get(at)).copied().unwrap_or("");
            if shown.trim_matches('`') != known.default {
                let default = known.default;
                mistakes.push(format!(
                    "{path}: the default of {name} is {default:?}, not {shown:?}"
                ));
            }
        }
    }
    let missing = parameters
        .iter()
        .filter(|known| !seen.contains(&known.name));
    mistakes.extend(missing.map(|known| format!("{path}: {} is missing", known.name)));
    mistakes
}

fn cells(row: &str) -> Vec<&str> {
    row.trim_matches('|').split('|').map(str::trim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_takes_its_values_and_no_other() {
        let long = "c".repeat(LONGEST_CURSOR + 1);
        let (whole, words) = (Kind::Whole { least: 1, most: 10 }, Kind::OneOf(&["a", "b"]));
        let (list, text) = (Kind::List { most: 2 }, Kind::Text { most: 3 });
        for (kind, fine, bad) in [
            (
                whole,
                &["1", "10", "007"][..],
                &["0", "11", "", "+5", "1.0", "٣"][..],
            ),
            (
                Kind::Flag,
                &["", "true", "false", "1", "0"],
                &["yes", "TRUE", "2"],
            ),
            (words, &["a", "b"], &["", "c", "a,b", "A"]),
            (list, &["a", "a,b", ",a,,b,"], &["", ",", "a,b,c"]),
            (
                Kind::Words(&["a", "b"]),
                &["a", "b,a", "a,a", ",a,"],
                &["", ",", "c", "a,c", "A"],
            ),
            (text, &["", "abc", "ééé"], &["abcd", "éééé"]),
            (
                Kind::Dollars,
                &["0", "007", "100.5", "999999999999.999999"],
                &[
                    "",
                    "1000000000000",
                    "1.0000005",
                    ".5",
                    "5.",
                    "-1",
                    "+1",
                    "1e6",
                    "1_000",
                    "1,5",
                    "٣",
                    "1.2.3",
                ],
            ),
            (
                Kind::Moment,
                &["2026-12-31", "2026-12-31T12:00:00+01:00", "7d", "12h"],
                &["", "soon", "7", "2026-02-30", "1969-12-31"],
            ),
            (Kind::Cursor, &["a-1", &long[1..]], &["", "a 1", "é", &long]),
        ] {
            for value in fine {
                assert!(kind.has(value), "{kind:?} {value:?}");
            }
            for value in bad {
                assert!(!kind.has(value), "{kind:?} {value:?}");
            }
        }
    }
    #[test]
    fn a_manual_without_a_parameter_or_with_another_default_is_found_out() {
        const PARAMETERS: &[Parameter] = &[
            Parameter::new("full", Kind::Flag, ""),
            Parameter::new("of", Kind::Text { most: 9 }, "").or("all"),
        ];
        let manual = |rows: &str| {
            let table = "| parameter | default | meaning |\n|---|---|---|\n";
            format!("### GET /sacks\n\nAll.\n\n{table}{rows}\n### GET /flour\n")
        };
        let mistakes = |rows: &str| manual_mistakes(&manual(rows), "/sacks", PARAMETERS);
        let of = "| `of` | `all` | whose |\n";
        assert_eq!(mistakes(&format!("| `full` | | full |\n{of}")), [""; 0]);
        assert_eq!(mistakes(of), ["/sacks: full is missing"]);
        let more = format!("| `full`, `big` | | which |\n{of}");
        assert_eq!(mistakes(&more), ["/sacks takes no big"]);
        assert_eq!(
            mistakes("| `full` | | full |\n| `of` | none | whose |\n").len(),
            1
        );
    }
}
