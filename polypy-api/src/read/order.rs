//! In which order markets are listed, and lists of which only the beginning is wanted.

use polypy_core::catalogue::Fit;
use polypy_core::{BookState, BookTop, Cents, MarketEntry};

use super::cursor::{ListName, Place};

/// An order of markets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Those that fit the words best; of equals the most traded within a day.
    Relevance,
    /// The most traded within a day.
    VolumeDay,
    /// The most traded.
    Volume,
    /// The most in their books.
    Liquidity,
    /// Those that end first; those that do not say when, last.
    End,
    /// Those that were listed first.
    Listed,
    /// The tightest live books.
    Spread,
    /// The books that changed last.
    Change,
}

/// A market's place in an order: the smallest is the first, of equals the smaller number.
pub(crate) type Key = u64;

impl Sort {
    pub(crate) const ALL: [Self; 8] = [
        Self::Relevance,
        Self::VolumeDay,
        Self::Volume,
        Self::Liquidity,
        Self::End,
        Self::Listed,
        Self::Spread,
        Self::Change,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Relevance => "relevance",
            Self::VolumeDay => "volume_day",
            Self::Volume => "volume",
            Self::Liquidity => "liquidity",
            Self::End => "end",
            Self::Listed => "listed",
            Self::Spread => "spread",
            Self::Change => "change",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sort| sort.name() == name)
    }

    /// Whether what stays in the list stays where it is.
    pub(crate) fn holds_still(self) -> bool {
        matches!(self, Self::End | Self::Listed)
    }

    /// Whether it is an order of books.
    pub(crate) fn is_of_books(self) -> bool {
        matches!(self, Self::Spread | Self::Change)
    }

    /// Where a market stands in an order that is none of books.
    pub(crate) fn key(self, entry: &MarketEntry, fit: Fit) -> Key {
        let figures = &entry.figures;
        match self {
            Self::Relevance => relevance(fit, figures.volume_day),
            Self::VolumeDay => most(figures.volume_day),
            Self::Volume => most(figures.volume),
            Self::Liquidity => most(figures.liquidity),
            Self::End => {
                let end = entry.market.end_timestamp;
                end.map_or(Key::MAX, |end| end.millis())
            }
            Self::Listed => entry.number.get(),
            Self::Spread | Self::Change => Key::MAX,
        }
    }

    /// Where a market with these tops stands in an order of books.
    pub(crate) fn key_of_books<'a>(self, tops: impl Iterator<Item = &'a BookTop>) -> Key {
        let key = |top: &BookTop| match self {
            Self::Spread if top.state == BookState::Live => {
                // A crossed book is no tighter than a locked one.
                let spread = top.spread()?.ten_millionths();
                Some(u64::try_from(spread).unwrap_or(0))
            }
            Self::Change => Some(Key::MAX - 1 - top.last_update.millis()),
            _ => None,
        };
        tops.filter_map(key).min().unwrap_or(Key::MAX)
    }

    /// Behind which place of a list in a stable order the market with this key and number
    /// stands; `None` for one that moves.
    pub(crate) fn place(self, list: ListName, key: Key, number: u64) -> Option<Place> {
        match self {
            Self::Listed => Some(Place::Listed { list, number }),
            Self::End => Some(Place::End { list, key, number }),
            _ => None,
        }
    }
}

/// What fits best first; of equals the most traded.
pub(crate) fn relevance(fit: Fit, volume_day: Option<Cents>) -> Key {
    let fit = match fit {
        Fit::Beginning => 0,
        Fit::Phrase => 1,
        Fit::Words => 2,
    };
    fit << 62 | most(volume_day)
}

/// The greatest first; what is not stated last. Two bits are left for other things.
pub(crate) fn most(figure: Option<Cents>) -> Key {
    const LAST: Key = Key::MAX >> 2;
    figure.map_or(LAST, |cents| (LAST - 1).saturating_sub(cents.get()))
}

/// A list of which the beginning is in order; the rest is brought into order when somebody
/// asks for it.
#[derive(Debug)]
pub(crate) struct Ranked {
    list: Vec<(Key, u64)>,
    in_order: usize,
}

impl Ranked {
    /// Brings the first so many into order.
    pub(crate) fn new(mut list: Vec<(Key, u64)>, first: usize) -> Self {
        let in_order = first.min(list.len());
        if in_order < list.len() && in_order > 0 {
            list.select_nth_unstable(in_order - 1);
        }
        list[..in_order].sort_unstable();
        Self { list, in_order }
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// So many from this place on.
    pub(crate) fn page(&mut self, position: usize, limit: usize) -> &[(Key, u64)] {
        let end = position.saturating_add(limit).min(self.list.len());
        if end > self.in_order {
            self.list[self.in_order..].sort_unstable();
            self.in_order = self.list.len();
        }
        self.list.get(position..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_traded_most_is_first_and_what_is_not_stated_last() {
        let [none, little, much] =
            [None, Some(1), Some(u64::MAX)].map(|it| most(it.map(Cents::new)));
        assert!(much < little && little < none);
        assert_eq!(none >> 62, 0);
        assert_eq!(
            Sort::ALL.map(|sort| Sort::named(sort.name())),
            Sort::ALL.map(Some)
        );
    }

    proptest! {
        #[test]
        fn pages_of_a_list_are_the_list_in_order(
            keys in prop::collection::vec(0..5_u64, 0..40), first in 0..50_usize, limit in 1..20_usize,
        ) {
            let list: Vec<_> = keys.into_iter().zip(0..).collect();
            let mut expected = list.clone();
            expected.sort_unstable();
            let mut ranked = Ranked::new(list, first);
            let mut found = Vec::new();
            loop {
                let page = ranked.page(found.len(), limit).to_vec();
                if page.is_empty() {
                    break;
                }
                found.extend(page);
            }
            prop_assert_eq!(found, expected);
            prop_assert!(ranked.page(usize::MAX, 1).is_empty());
        }
    }
}
