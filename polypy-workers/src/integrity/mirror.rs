//! The two tokens of a market against each other.
//!
//! An order on one outcome is shown on the other at the complement of its
//! price, on the opposite side, at the same exchange time. So at one time the
//! two books are mirror images, and each is evidence about the other; and since
//! both changes come in one message, a change of one alone is evidence that the
//! other's was lost. Every change is compared at its own level; now and then,
//! and after a snapshot, the whole books are.

use polypy_core::{OrderBook, Price, Side};

use super::Ours;

/// What is to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// One level, as the changed book names it.
    Level(Side, Price),
    /// Everything.
    Whole,
}

/// How the two tokens of a market compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mirrored {
    Agrees,
    /// At the same exchange time they differ: one of them is wrong.
    Disagrees,
    /// The other one was not sent what this one was.
    OtherBehind,
    NotApplicable,
}

/// Whether a book shows at `extent` what the market's other token does. `of_one_feed`:
/// what brought the one brings the other, too.
///
/// The venue sends both tokens of an order in one message. So a level that this one
/// was given is missing in the other one if one feed brings both; whatever else may be
/// wrong with this one.
pub(crate) fn compare(
    ours: &Ours<'_>,
    its: &Ours<'_>,
    of_one_feed: bool,
    extent: Extent,
) -> Mirrored {
    if !its.is_kept_whole {
        return Mirrored::NotApplicable;
    }
    let is_live = ours.is_kept_whole;
    let is_at_one_time = ours.newest == its.newest;
    let leads = ours.newest > its.newest && of_one_feed;
    let is_whole = extent == Extent::Whole;
    match (agrees(ours.levels, its.levels, extent), leads) {
        (true, false) if is_live && is_at_one_time => Mirrored::Agrees,
        (false, false) if is_live && is_at_one_time => Mirrored::Disagrees,
        // What one level shows at another time says nothing of the rest.
        (true, true) if is_live && ours.is_proven && is_whole => Mirrored::Agrees,
        (false, true) if !is_whole || (is_live && ours.is_proven) => Mirrored::OtherBehind,
        (true | false, true | false) => Mirrored::NotApplicable,
    }
}

/// Whether `other` shows at `extent` what `book` does.
fn agrees(book: &OrderBook, other: &OrderBook, extent: Extent) -> bool {
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
