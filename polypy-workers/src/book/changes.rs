//! What has changed of the shown books, in order.
//!
//! A consumer that applies to a book, at every step, what stands here has the shown book,
//! and has its `sequence`:
//!
//! | entry | sequence | the consumer |
//! |---|---|---|
//! | a level | one more | sets the level; zero removes it |
//! | a new epoch | one more | takes the whole book: something may be missing in between |
//! | a whole book | – | nothing |
//!
//! The partition compares what stands here with the market's other token at the end
//! of each batch, and forgets it. What is [`Published`] to followers of single books is
//! a list of its own: it lives until it is handed over.

use polypy_core::{AssetKey, LevelChange};

use super::published::Published;

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Emitted {
    pub(crate) asset: AssetKey,
    pub(crate) update: Update,
}

/// What it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Update {
    Level(LevelChange),
    NewEpoch,
    /// A whole book was adopted, or a copy. Its levels stand as entries before this.
    Whole,
}

/// What has changed since the last batch.
#[derive(Debug, Default)]
pub(crate) struct ChangeLog {
    entries: Vec<Emitted>,
    /// Entries that were compared with the market's other token.
    compared: usize,
    written: Published,
}

impl ChangeLog {
    /// A level of `asset` was set.
    #[inline]
    pub(crate) fn level(&mut self, asset: AssetKey, level: LevelChange) {
        let update = Update::Level(level);
        self.entries.push(Emitted { asset, update });
    }

    /// An epoch of `asset` begins.
    pub(crate) fn new_epoch(&mut self, asset: AssetKey) {
        let update = Update::NewEpoch;
        self.entries.push(Emitted { asset, update });
    }

    /// A whole book of `asset` was adopted.
    pub(crate) fn whole(&mut self, asset: AssetKey) {
        let update = Update::Whole;
        self.entries.push(Emitted { asset, update });
    }

    /// The next entry to be compared with the market's other token.
    #[inline]
    pub(crate) fn next_to_compare(&mut self) -> Option<Emitted> {
        let entry = self.entries.get(self.compared).copied();
        self.compared += usize::from(entry.is_some());
        entry
    }

    /// The entry after it, if that is the other one of the same order.
    #[inline]
    pub(crate) fn take_other_entry(
        &mut self,
        entry: &Emitted,
        complement: AssetKey,
    ) -> Option<Emitted> {
        let other = self.entries.get(self.compared)?;
        let is_other = repeats(entry, other, complement);
        self.compared += usize::from(is_other);
        is_other.then_some(*other)
    }

    /// The end of a batch: nothing is compared any more.
    pub(crate) fn end_batch(&mut self) {
        self.entries.clear();
        self.compared = 0;
    }

    /// What those are told who follow books.
    pub(crate) fn published(&self) -> &Published {
        &self.written
    }

    #[inline]
    pub(crate) fn published_mut(&mut self) -> &mut Published {
        &mut self.written
    }
}

/// Whether two entries are what one order makes: then comparing one with the market's
/// other token says what comparing the other would.
fn repeats(one: &Emitted, other: &Emitted, complement: AssetKey) -> bool {
    let is_mirrored = match (one.update, other.update) {
        (Update::Level(one), Update::Level(other)) => {
            one.side == other.side.opposite() && one.price == other.price.complement()
        }
        (Update::Level(_), _) | (_, Update::Level(_)) => false,
        (Update::Whole | Update::NewEpoch, Update::Whole | Update::NewEpoch) => true,
    };
    other.asset == complement && is_mirrored
}

#[cfg(test)]
mod tests {
    use polypy_core::Side;

    use super::*;
    use crate::testing::{assets, price, size};

    #[test]
    fn the_two_entries_of_one_order_are_compared_once() {
        let market = assets(1);
        let changed = |at: usize, side, at_price: &str| Emitted {
            asset: market[at].key,
            update: Update::Level(LevelChange {
                side,
                price: price(at_price),
                size: size("5"),
            }),
        };
        let first = changed(0, Side::Bid, "0.48");
        let complement = market[0].key;
        assert!(repeats(&changed(1, Side::Ask, "0.52"), &first, complement));
        assert!(!repeats(&changed(1, Side::Ask, "0.53"), &first, complement));
        assert!(!repeats(&changed(1, Side::Bid, "0.52"), &first, complement));
        assert!(!repeats(&first, &first, market[1].key));
    }

    #[test]
    fn nothing_is_kept_of_a_batch_that_is_over() {
        let asset = assets(1)[0].key;
        let mut log = ChangeLog::default();
        for _ in 0..3 {
            log.whole(asset);
            log.new_epoch(asset);
            assert_eq!(log.next_to_compare().unwrap().update, Update::Whole);
            log.end_batch();
            assert_eq!(log.next_to_compare(), None);
            assert!(log.entries.is_empty());
        }
    }
}
