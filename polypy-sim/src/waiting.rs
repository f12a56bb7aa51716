//! Tokens that have no book yet, and what came of them meanwhile.
//!
//! A checkpoint stands in a recording behind changes that are in it, and behind some that are
//! not: these had been recorded, and had not come to the program's book. A book that REST
//! brought is older still. So the changes of a token without a book are kept, and those that are
//! newer follow its book.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::effects::{Effect, Place, RecordedBook};

/// Changes that are kept of a token. The program is behind by a few.
const MOST: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Waiting {
    booked: HashSet<Place>,
    changes: HashMap<Place, VecDeque<Effect>>,
}

impl Waiting {
    /// The token has a book.
    pub(crate) fn has_book(&mut self, place: Place) {
        if self.booked.insert(place) {
            self.changes.remove(&place);
        }
    }

    /// It has none any more.
    pub(crate) fn has_none(&mut self, place: Place) {
        self.booked.remove(&place);
    }

    /// A change of it came.
    pub(crate) fn change(&mut self, place: Place, change: &Effect) {
        if self.booked.contains(&place) {
            return;
        }
        let kept = self.changes.entry(place).or_default();
        if kept.len() == MOST {
            kept.pop_front();
        }
        kept.push_back(change.clone());
    }

    /// What leads to the token's book, if it has none and begins with this one, which no frame
    /// brought.
    pub(crate) fn begin(&mut self, place: Place, book: RecordedBook) -> Option<Vec<Effect>> {
        if self.booked.contains(&place) {
            return None;
        }
        let kept = self.changes.remove(&place).unwrap_or_default();
        self.booked.insert(place);
        let (hash, began) = (book.hash, book.stamp);
        // Of one time stamp what follows the book's own state is newer than it.
        let own = kept.iter().rposition(|change| {
            matches!(change, Effect::Change { hash: of, .. } if of.is_some() && *of == hash)
        });
        let is_newer = |at: usize, change: &Effect| {
            let Effect::Change { stamp, .. } = change else {
                return false;
            };
            *stamp > began || *stamp == began && own.is_some_and(|own| at > own)
        };
        let kept = kept.into_iter().enumerate();
        let newer = kept.filter(|(at, change)| is_newer(*at, change));
        let mut effects = vec![Effect::Book(place, Box::new(book))];
        effects.extend(newer.map(|(_, change)| change));
        Some(effects)
    }
}

#[cfg(test)]
mod tests {
    use polypy_core::{BookHash, Level, Price, Side, Size, Timestamp};

    use super::*;

    const PLACE: Place = (0, 1);

    fn change(stamp: u64, digit: u8, size: &str) -> Effect {
        Effect::Change {
            place: PLACE,
            side: Side::Bid,
            price: "0.4".parse::<Price>().unwrap(),
            size: size.parse::<Size>().unwrap(),
            stamp: Timestamp::from_millis(stamp),
            hash: BookHash::from_hex(&[digit; 40]),
        }
    }

    fn book(timestamp: u64, digit: u8) -> RecordedBook {
        let (price, size) = ("0.4".parse().unwrap(), "1".parse().unwrap());
        RecordedBook {
            bids: vec![Level::new(price, size)],
            stamp: Timestamp::from_millis(timestamp),
            hash: BookHash::from_hex(&[digit; 40]),
            ..RecordedBook::default()
        }
    }

    fn sizes(effects: &[Effect]) -> Vec<String> {
        let changes = effects.iter().filter_map(|effect| match effect {
            Effect::Change { size, .. } => Some(size.to_string()),
            _ => None,
        });
        changes.collect()
    }

    #[test]
    fn what_is_newer_than_the_checkpoint_follows_it() {
        let mut waiting = Waiting::default();
        let came = [
            (9, b'a', "1"),
            (10, b'b', "2"),
            (10, b'c', "3"),
            (10, b'd', "4"),
            (11, b'e', "5"),
        ];
        for (stamp, digit, size) in came {
            waiting.change(PLACE, &change(stamp, digit, size));
        }
        let effects = waiting.begin(PLACE, book(10, b'c')).unwrap();
        assert!(matches!(&effects[0], Effect::Book(PLACE, book) if book.bids.len() == 1));
        assert_eq!(sizes(&effects), ["4", "5"]);
        assert!(waiting.begin(PLACE, book(12, b'f')).is_none(), "it has one");
        waiting.has_none(PLACE);
        waiting.change(PLACE, &change(13, b'a', "6"));
        // Its own state came before all that is kept.
        waiting.change(PLACE, &change(14, b'b', "7"));
        let effects = waiting.begin(PLACE, book(13, b'f')).unwrap();
        assert_eq!(sizes(&effects), ["7"]);
    }

    #[test]
    fn little_is_kept_and_nothing_of_a_token_with_a_book() {
        let mut waiting = Waiting::default();
        for stamp in 0..1_000 {
            waiting.change(PLACE, &change(stamp, b'a', "1"));
        }
        assert_eq!(waiting.changes[&PLACE].len(), MOST);
        waiting.has_book(PLACE);
        waiting.change(PLACE, &change(1_001, b'a', "1"));
        assert!(waiting.changes.is_empty());
    }
}
