//! How a person writes which markets are followed.

use polypy_core::ConditionId;
use polypy_core::catalogue::{
    Bound, Cents, Glob, GlobError, Label, Phrase, PhraseError, SeatOrder, ShardError, ShardOf,
};

use super::value::{Setting, items};

/// One of several values that are separated by commas.
pub trait Item: Sized {
    /// What a list of them is called.
    const SHAPE: &'static str;
    /// What to write, with an example.
    const WANTED: &'static str;

    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it; empty if [`WANTED`](Self::WANTED) says everything.
    fn read(text: &str) -> Result<Self, String>;

    /// Writes it as it was written.
    fn written(&self) -> String;
}

/// Values separated by commas; blanks around them do not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl<T: Item> Setting for List<T> {
    const SHAPE: &'static str = T::SHAPE;
    const BARE: bool = false;
    const LIST: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        items(text)?
            .into_iter()
            .map(|item| {
                T::read(item).map_err(|why| {
                    let (wanted, before) = (T::WANTED, if why.is_empty() { "" } else { ": " });
                    format!("must be {wanted}, separated by commas, not {item:?}{before}{why}")
                })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn show(&self) -> String {
        let written: Vec<_> = self.0.iter().map(T::written).collect();
        written.join(", ")
    }
}

impl Item for Label {
    const SHAPE: &'static str = "words";
    const WANTED: &'static str = "words such as politics or Middle East";

    fn read(text: &str) -> Result<Self, String> {
        Self::new(text).ok_or_else(|| PhraseError::NoWord.to_string())
    }

    fn written(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Item for Glob {
    const SHAPE: &'static str = "slugs";
    const WANTED: &'static str = "slugs without spaces, with * for any text, such as btc-updown-*";

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: GlobError| error.to_string())
    }

    fn written(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Item for Phrase {
    const SHAPE: &'static str = "phrases";
    const WANTED: &'static str = "one to eight words each, such as fed rate";

    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| error.to_string())
    }

    fn written(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Item for ConditionId {
    const SHAPE: &'static str = "ids";
    const WANTED: &'static str = "condition ids, 0x and hexadecimal digits";

    fn read(text: &str) -> Result<Self, String> {
        Self::new(text).map_err(|_other_form| String::new())
    }

    fn written(&self) -> String {
        self.to_string()
    }
}

/// A market, or all markets of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// A market's condition id.
    Id(ConditionId),
    /// The slug of a market or of an event.
    Slug(Box<str>),
}

impl Item for Name {
    const SHAPE: &'static str = "names";
    const WANTED: &'static str =
        "whole slugs of markets or events, or condition ids of 0x and hexadecimal digits";

    fn read(text: &str) -> Result<Self, String> {
        if let Ok(id) = ConditionId::new(text) {
            return Ok(Self::Id(id));
        }
        let of_slug = |letter: char| !letter.is_whitespace() && letter != '*';
        let is_slug =
            !text.starts_with("0x") && !text.starts_with("0X") && text.chars().all(of_slug);
        if is_slug {
            Ok(Self::Slug(text.into()))
        } else {
            Err(String::new())
        }
    }

    fn written(&self) -> String {
        match self {
            Self::Id(id) => id.to_string(),
            Self::Slug(slug) => slug.to_string(),
        }
    }
}

/// What is not set when nothing is written.
fn if_written<T>(
    text: &str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    Some(text)
        .filter(|text| !text.is_empty())
        .map(read)
        .transpose()
}

impl Setting for Option<Cents> {
    const SHAPE: &'static str = "dollars";
    const BARE: bool = false;

    fn parse(text: &str) -> Result<Self, String> {
        if_written(text, |text| {
            Cents::typed(text).ok_or_else(|| {
                format!("must be dollars in plain digits such as 10000 or 0.5, not {text:?}")
            })
        })
    }

    fn show(&self) -> String {
        let shown = self.map(|dollars| dollars.to_string()).unwrap_or_default();
        shown.strip_suffix(".00").unwrap_or(&shown).to_owned()
    }
}

impl Setting for Option<Bound> {
    const SHAPE: &'static str = "date|duration";
    const BARE: bool = false;

    fn parse(text: &str) -> Result<Self, String> {
        if_written(text, |text| {
            let bound: Result<Bound, _> = text.parse();
            bound.map_err(|error| format!("{error}, not {text:?}"))
        })
    }

    fn show(&self) -> String {
        self.map_or_else(String::new, |bound| bound.to_string())
    }
}

impl Setting for Option<bool> {
    const SHAPE: &'static str = "any|true|false";
    const BARE: bool = false;

    fn parse(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("any") {
            return Ok(None);
        }
        let truth = bool::parse(text);
        truth
            .map(Some)
            .map_err(|_reason| format!("must be any, true or false, not {text:?}"))
    }

    fn show(&self) -> String {
        self.map_or_else(|| "any".to_owned(), |truth| truth.to_string())
    }
}

impl Setting for Option<ShardOf> {
    const SHAPE: &'static str = "i/n";
    const BARE: bool = false;

    fn parse(text: &str) -> Result<Self, String> {
        if_written(text, |text| {
            let shard: Result<ShardOf, _> = text.parse();
            shard.map_err(|error| match error {
                ShardError::Form => format!("{error}, not {text:?}"),
                _ => format!("cannot be {text:?}: {error}"),
            })
        })
    }

    fn show(&self) -> String {
        self.map(|shard| shard.to_string()).unwrap_or_default()
    }
}

impl Setting for SeatOrder {
    const SHAPE: &'static str = "order";
    const BARE: bool = false;

    fn parse(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|order| order.name() == text);
        known.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("must be one of {names}, not {text:?}")
        })
    }

    fn show(&self) -> String {
        self.name().to_owned()
    }
}

#[cfg(test)]
#[path = "markets_tests.rs"]
mod tests;
