//! The two tokens of a market against each other.
//!
//! An order on one outcome is shown on the other at the complement of its
//! price, on the opposite side, at the same exchange time. So at one time the
//! two books are mirror images, and each is evidence about the other; and since
//! both changes come in one message, a change of one alone is evidence that the
//! other's was lost. Every change is compared at its own level; now and then,
//! and after a snapshot, the whole books are.

use polypy_core::{OrderBook, Price, Side};

/// What is to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// One level, as the changed book names it.
    Level(Side, Price),
    /// Everything.
    Whole,
}

/// Whether `other` shows at `extent` what `book` does.
pub(crate) fn agrees(book: &OrderBook, other: &OrderBook, extent: Extent) -> bool {
    match extent {
        Extent::Level(side, price) => {
            book.size_at(side, price) == other.size_at(side.opposite(), price.complement())
        }
        Extent::Whole => book.is_mirror_of(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Truth, assets, price, size};

    #[test]
    fn a_book_agrees_with_its_mirror_image_and_with_nothing_else() {
        let book = Truth::new(&assets(1)[0]).book;
        let mirror = book.mirror();
        let (at, elsewhere) = (price("0.48"), price("0.31"));
        assert!(agrees(&book, &mirror, Extent::Whole));
        for side in [Side::Bid, Side::Ask] {
            for price in [at, elsewhere] {
                assert!(agrees(&book, &mirror, Extent::Level(side, price)));
            }
        }
        type Alter = fn(&mut OrderBook);
        let cases: [Alter; 3] = [
            |mirror| _ = mirror.apply_change(Side::Ask, price("0.52"), size("99")),
            |mirror| _ = mirror.apply_change(Side::Ask, price("0.52"), size("0")),
            |mirror| _ = mirror.apply_change(Side::Ask, price("0.69"), size("1")),
        ];
        for (case, alter) in cases.into_iter().enumerate() {
            let mut mirror = mirror.clone();
            alter(&mut mirror);
            assert!(!agrees(&book, &mirror, Extent::Whole), "case {case}");
            let level = |price| agrees(&book, &mirror, Extent::Level(Side::Bid, price));
            assert_eq!(level(at), case == 2, "case {case}");
            assert_eq!(level(elsewhere), case != 2, "case {case}");
        }
    }
}
