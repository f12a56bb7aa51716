//! How a person writes which markets are followed.

use std::time::Duration;

use polypy_core::catalogue::{Bound, Cents, Folded, Glob, Phrase, SeatOrder, ShardError, ShardOf};
use polypy_core::{ConditionId, Timestamp};

use super::value::Setting;

/// One of several values that are separated by commas.
pub trait Item: Sized {
    /// What a list of them is called.
    const SHAPE: &'static str;
    /// What to write, with an example.
    const WANTED: &'static str;

    /// Reads one; `None` if it is none.
    fn read(text: &str) -> Option<Self>;

    /// Writes it as a person would.
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
        let items = text.split(',').map(str::trim).filter(|it| !it.is_empty());
        items
            .map(|item| {
                T::read(item).ok_or_else(|| {
                    format!("must be {}, separated by commas, not {item:?}", T::WANTED)
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

impl Item for Folded {
    const SHAPE: &'static str = "words";
    const WANTED: &'static str = "words such as politics or Middle East";

    fn read(text: &str) -> Option<Self> {
        Self::new(text)
    }

    fn written(&self) -> String {
        self.to_string()
    }
}

impl Item for Glob {
    const SHAPE: &'static str = "slugs";
    const WANTED: &'static str = "slugs without spaces, with * for any text, such as btc-updown-*";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn written(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Item for Phrase {
    const SHAPE: &'static str = "phrases";
    const WANTED: &'static str = "one to eight words each, such as fed rate";

    fn read(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }

    fn written(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Item for ConditionId {
    const SHAPE: &'static str = "ids";
    const WANTED: &'static str = "condition ids, 0x and hexadecimal digits";

    fn read(text: &str) -> Option<Self> {
        Self::new(text).ok()
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

    fn read(text: &str) -> Option<Self> {
        if let Ok(id) = ConditionId::new(text) {
            return Some(Self::Id(id));
        }
        let of_slug = |letter: char| !letter.is_whitespace() && letter != '*';
        let is_slug =
            !text.starts_with("0x") && !text.starts_with("0X") && text.chars().all(of_slug);
        is_slug.then(|| Self::Slug(text.to_ascii_lowercase().into()))
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
            let digits = text.replace('_', "");
            let dollars = digits.parse();
            dollars.map_err(|_error| format!("must be dollars such as 10000, not {text:?}"))
        })
    }

    fn show(&self) -> String {
        let shown = self.map(|dollars| dollars.to_string()).unwrap_or_default();
        shown.strip_suffix(".00").unwrap_or(&shown).to_owned()
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Setting for Option<Bound> {
    const SHAPE: &'static str = "date|duration";
    const BARE: bool = false;

    fn parse(text: &str) -> Result<Self, String> {
        if_written(text, |text| {
            bound(text).ok_or_else(|| {
                format!(
                    "must be a date such as 2026-12-31, a moment such as 2026-12-31T12:00:00Z, \
                     or how long from now, such as 7d or 12h, not {text:?}"
                )
            })
        })
    }

    fn show(&self) -> String {
        match self {
            None => String::new(),
            Some(Bound::At(moment)) => moment.to_string(),
            Some(Bound::FromNow(ahead)) => {
                let (whole, day) = (ahead.as_nanos(), DAY.as_nanos());
                if whole > 0 && whole.is_multiple_of(day) {
                    format!("{}d", whole / day)
                } else {
                    ahead.show()
                }
            }
        }
    }
}

fn bound(text: &str) -> Option<Bound> {
    if let Some(days) = text.strip_suffix('d') {
        let days: u32 = days.trim().parse().ok()?;
        return Some(Bound::FromNow(DAY.checked_mul(days)?));
    }
    if let Ok(ahead) = Duration::parse(text) {
        return Some(Bound::FromNow(ahead));
    }
    // A date is its first moment.
    let moment = Timestamp::from_rfc3339(text)
        .or_else(|| Timestamp::from_rfc3339(&format!("{text}T00:00:00Z")));
    moment.map(Bound::At)
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
