//! Where a page of a list ended. Opaque to clients.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::str::FromStr;

use crate::cursor::Instance;

/// The end of a page: what the next one begins behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageEnd {
    /// The process that counted.
    pub(crate) instance: Instance,
    pub(crate) place: Place,
}

/// A place in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Behind the entry of this number of a list, in the order in which they were listed.
    Listed { list: ListName, number: u64 },
    /// Behind the entry of this number that ends then, in the order in which they end.
    End {
        list: ListName,
        key: u64,
        number: u64,
    },
    /// Behind so many of the list that was made at a moment.
    Moment { id: u64, position: usize },
}

/// Tells a list from others: by everything that was asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListName(u64);

impl ListName {
    /// The name of the list of which this was asked.
    pub(crate) fn of(text: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Self(hasher.finish())
    }
}

impl fmt::Display for ListName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for PageEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.place {
            Place::Listed { list, number } => format!("l-{list}-{number}"),
            Place::End { list, key, number } => format!("e-{list}-{key}-{number}"),
            Place::Moment { id, position } => format!("m-{id:016x}-{position}"),
        };
        write!(f, "{}-{place}-{:08x}", self.instance, check(&place))
    }
}

/// What a cursor ends in: with one more digit it would be another place, from which a list
/// goes on as if nothing had been left out.
#[expect(clippy::cast_possible_truncation, reason = "half of the bits will do")]
pub(super) fn check(place: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    place.hash(&mut hasher);
    hasher.finish() as u32
}

/// The text is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor: give next_cursor as the page before had it, or leave it out")]
pub(crate) struct BadPageEnd;

impl FromStr for PageEnd {
    type Err = BadPageEnd;

    fn from_str(text: &str) -> Result<Self, BadPageEnd> {
        let (instance, rest) = text.split_once('-').ok_or(BadPageEnd)?;
        let (place, digits) = rest.rsplit_once('-').ok_or(BadPageEnd)?;
        if digits != format!("{:08x}", check(place)) {
            return Err(BadPageEnd);
        }
        let instance = Instance(hex(instance)?);
        let mut parts = place.split('-');
        let mut next = || parts.next().ok_or(BadPageEnd);
        let place = match next()? {
            "l" => Place::Listed {
                list: ListName(hex(next()?)?),
                number: decimal(next()?)?,
            },
            "e" => Place::End {
                list: ListName(hex(next()?)?),
                key: decimal(next()?)?,
                number: decimal(next()?)?,
            },
            "m" => Place::Moment {
                id: hex(next()?)?,
                position: decimal(next()?)?,
            },
            _ => return Err(BadPageEnd),
        };
        match next() {
            Ok(_) => Err(BadPageEnd),
            Err(_) => Ok(Self { instance, place }),
        }
    }
}

fn hex(text: &str) -> Result<u64, BadPageEnd> {
    let is_plain = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u64::from_str_radix(text, 16).ok().filter(|_| is_plain);
    number.ok_or(BadPageEnd)
}

fn decimal<N: FromStr>(text: &str) -> Result<N, BadPageEnd> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain).ok_or(BadPageEnd)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_reads_as_it_was_written(
            instance: u64, kind in 0..3, list: String, first: u64, second: u64, position: usize,
        ) {
            let list = ListName::of(&list);
            let place = match kind {
                0 => Place::Listed { list, number: first },
                1 => Place::End { list, key: first, number: second },
                _ => Place::Moment { id: first, position },
            };
            let end = PageEnd { instance: Instance(instance), place };
            prop_assert_eq!(end.to_string().parse(), Ok(end));
            for at in 0..end.to_string().len() {
                let mut other = end.to_string();
                other.insert(at, '0');
                prop_assert_eq!(other.parse::<PageEnd>(), Err(BadPageEnd), "{}", other);
            }
            prop_assert_eq!(format!("{end}0").parse::<PageEnd>(), Err(BadPageEnd));
        }

        #[test]
        fn nothing_else_is_a_cursor_and_nothing_panics(
            instance in "([0-9a-f]{15,17}|[+]?[0-9a]{0,22})",
            place in "[lem]?(-[+0-9a-f]{0,21}){0,4}-?",
        ) {
            let text = format!("{instance}-{place}");
            prop_assert_eq!(text.parse::<PageEnd>(), Err(BadPageEnd));
            // Of one whose end is right there is one spelling, but for zeros before numbers.
            let text = format!("{text}-{:08x}", check(&place));
            if let Ok(end) = text.parse::<PageEnd>() {
                prop_assert_eq!(end.to_string().parse(), Ok(end));
                prop_assert!(!text.contains('+'));
            }
        }
    }
}
