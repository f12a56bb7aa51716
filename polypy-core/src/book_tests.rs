use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// The plainest book there could be: two maps from price to size.
#[derive(Debug, Default)]
struct Model {
    bids: BTreeMap<Price, Size>,
    asks: BTreeMap<Price, Size>,
}

impl Model {
    fn set(&mut self, side: Side, price: Price, size: Size) {
        let levels = match side {
            Side::Bid => &mut self.bids,
            Side::Ask => &mut self.asks,
        };
        if size.is_zero() {
            levels.remove(&price);
        } else {
            levels.insert(price, size);
        }
    }

    fn best_first(&self, side: Side) -> Vec<Level> {
        let level = |(price, size): (&Price, &Size)| Level::new(*price, *size);
        match side {
            Side::Bid => self.bids.iter().rev().map(level).collect(),
            Side::Ask => self.asks.iter().map(level).collect(),
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Change(Side, Price, Size),
    Snapshot(Vec<Level>, Vec<Level>),
}

fn price() -> impl Strategy<Value = Price> {
    // Few prices, so that changes meet levels; some are on no grid of the venue's.
    prop_oneof![
        60 => (0u32..=40).prop_map(|tick| Price::from_millionths(tick * 25_000).unwrap()),
        1 => (0u32..40).prop_map(|tick| Price::from_millionths(tick * 25_000 + 1).unwrap()),
    ]
}

fn size() -> impl Strategy<Value = Size> {
    // Some are around the largest that is kept in the short form, and beyond.
    prop_oneof![
        60 => (0u64..4).prop_map(|units| Size::from_millionths(units * 1_500_000)),
        1 => prop::sample::select(vec![(1 << 49) - 1, 1 << 49, 1 << 50, u64::MAX])
            .prop_map(Size::from_millionths),
    ]
}

fn levels() -> impl Strategy<Value = Vec<Level>> {
    prop::collection::vec((price(), size()).prop_map(|(p, s)| Level::new(p, s)), 0..30)
}

fn step() -> impl Strategy<Value = Step> {
    let side = prop_oneof![Just(Side::Bid), Just(Side::Ask)];
    prop_oneof![
        8 => (side, price(), size()).prop_map(|(side, p, s)| Step::Change(side, p, s)),
        1 => (levels(), levels()).prop_map(|(bids, asks)| Step::Snapshot(bids, asks)),
    ]
}

proptest! {
    #[test]
    fn agrees_with_two_maps(steps in prop::collection::vec(step(), 0..200)) {
        let mut book = OrderBook::default();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Change(side, price, size) => {
                    let before = model.best_first(side);
                    model.set(side, price, size);
                    let change = book.apply_change(side, price, size);
                    let moved = before != model.best_first(side);
                    prop_assert_eq!(change != Change::Unchanged, moved);
                }
                Step::Snapshot(bids, asks) => {
                    model = Model::default();
                    for level in &bids { model.set(Side::Bid, level.price, level.size); }
                    for level in &asks { model.set(Side::Ask, level.price, level.size); }
                    // In the model a later zero removes an earlier level; so it does here.
                    book.apply_snapshot(bids, asks);
                }
            }
            for side in [Side::Bid, Side::Ask] {
                prop_assert_eq!(book.levels(side).collect::<Vec<_>>(), model.best_first(side));
                let best = model.best_first(side).first().copied();
                prop_assert_eq!(book.best_price(side), best.map(|best| best.price));
                prop_assert_eq!(book.depth(side), model.best_first(side).len());
            }
            prop_assert_eq!(book.best_bid(), model.best_first(Side::Bid).first().copied());
            prop_assert_eq!(book.best_ask(), model.best_first(Side::Ask).first().copied());
            prop_assert_eq!(&book.mirror().mirror(), &book);
            prop_assert!(book.is_mirror_of(&book.mirror()));
            let is_its_own = book.mirror() == book;
            prop_assert_eq!(book.is_mirror_of(&book), is_its_own);
        }
    }

    #[test]
    fn the_difference_of_two_books_makes_one_of_the_other(
        both in prop::collection::vec((30..70u8, 0..3u8, any::<bool>()), 0..60),
        are_wide in any::<[bool; 2]>(),
    ) {
        let (mut old, mut new) = (OrderBook::default(), OrderBook::default());
        for (book, is_wide) in [(&mut old, are_wide[0]), (&mut new, are_wide[1])] {
            // A price between ten-thousandths makes a book wide.
            if is_wide {
                book.apply_change(Side::Bid, "0.000001".parse().unwrap(), "1".parse().unwrap());
            }
        }
        for (tick, amount, is_old) in both {
            let side = if tick < 50 { Side::Bid } else { Side::Ask };
            let book = if is_old { &mut old } else { &mut new };
            book.apply_change(side, format!("0.{tick}").parse().unwrap(), amount.to_string().parse().unwrap());
        }
        let (mut made, mut count) = (old.clone(), 0);
        old.for_each_difference(&new, |level| {
            let done = made.apply_change(level.side, level.price, level.size);
            assert_ne!(done, Change::Unchanged, "nothing is emitted in vain");
            count += 1;
        });
        prop_assert_eq!(&made, &new);
        prop_assert_eq!(count == 0, old == new);
    }
}

fn book(bids: &[(&str, &str)], asks: &[(&str, &str)]) -> OrderBook {
    let levels = |side: &[(&str, &str)]| {
        side.iter()
            .map(|(p, s)| Level::new(p.parse().unwrap(), s.parse().unwrap()))
            .collect()
    };
    let mut book = OrderBook::default();
    book.apply_snapshot(levels(bids), levels(asks));
    book
}

#[test]
fn books_are_equal_if_both_sides_are() {
    let plain = book(&[("0.4", "1")], &[("0.6", "2")]);
    assert_eq!(plain, plain.clone());
    assert_ne!(plain, book(&[("0.4", "3")], &[("0.6", "2")]));
    assert_ne!(plain, book(&[("0.4", "1")], &[("0.6", "3")]));
    assert_ne!(plain, book(&[("0.4", "1")], &[]));
    assert_ne!(plain, book(&[("0.4", "1")], &[("0.600001", "2")]));
}

#[test]
fn derived_figures_are_exact() {
    let book = book(
        &[("0.48", "100"), ("0.4925", "50")],
        &[("0.5", "30"), ("0.52", "20")],
    );
    assert_eq!(book.spread().unwrap().to_string(), "0.0075");
    assert_eq!(book.mid().unwrap().to_string(), "0.49625");
    assert_eq!(book.imbalance(10), Some(0.5));
    assert_eq!(book.imbalance(1), Some(0.25));
    assert!(!book.is_crossed());
}

#[test]
fn locked_is_zero_spread_and_crossed_is_negative() {
    let locked = book(&[("0.5", "1")], &[("0.5", "1")]);
    assert_eq!(locked.spread().unwrap().to_string(), "0");
    assert!(!locked.is_crossed());
    let crossed = book(&[("0.53", "1")], &[("0.5", "1")]);
    assert_eq!(crossed.spread().unwrap().to_string(), "-0.03");
    assert!(crossed.is_crossed());
}

#[test]
fn an_empty_side_has_no_top() {
    let book = book(&[("0.4", "1")], &[]);
    assert_eq!(
        (book.best_ask(), book.spread(), book.mid()),
        (None, None, None)
    );
    assert_eq!(OrderBook::default().imbalance(5), None);
}

#[test]
fn the_other_outcome_mirrors() {
    let yes = book(
        &[("0.47", "250"), ("0.48", "100")],
        &[("0.53", "300"), ("0.52", "120")],
    );
    let no = book(
        &[("0.47", "300"), ("0.48", "120")],
        &[("0.53", "250"), ("0.52", "100")],
    );
    assert_eq!(yes.mirror(), no);
    assert!(yes.is_mirror_of(&no) && no.is_mirror_of(&yes));
    // One level more, one fewer, another size, another price: on either side, and with
    // one book or both wide.
    for wide in [false, true] {
        for (side, at, to) in [
            (Side::Bid, "0.4", "1"),
            (Side::Bid, "0.47", "0"),
            (Side::Ask, "0.52", "101"),
            (Side::Ask, "0.61", "1"),
        ] {
            let mut other = no.clone();
            if wide {
                let (at, to) = ("0.600001".parse().unwrap(), "1".parse().unwrap());
                other.apply_change(Side::Ask, at, to);
                other.apply_change(Side::Ask, at, Size::ZERO);
                assert!(yes.is_mirror_of(&other) && other.is_mirror_of(&yes));
            }
            other.apply_change(side, at.parse().unwrap(), to.parse().unwrap());
            assert!(!yes.is_mirror_of(&other), "{side:?} {at} {to} {wide}");
            assert!(!other.is_mirror_of(&yes), "{side:?} {at} {to} {wide}");
        }
    }
}

#[test]
fn a_level_is_found_by_its_price_on_its_side() {
    let mut book = OrderBook::default();
    for (side, at) in [
        (Side::Bid, "0.4"),
        (Side::Bid, "0.3"),
        (Side::Ask, "0.6"),
        (Side::Ask, "0.7"),
    ] {
        book.apply_change(side, at.parse().unwrap(), "5".parse().unwrap());
    }
    for (side, at, size) in [
        (Side::Bid, "0.3", "5"),
        (Side::Bid, "0.4", "5"),
        (Side::Bid, "0.6", "0"),
        (Side::Ask, "0.6", "5"),
        (Side::Ask, "0.7", "5"),
        (Side::Ask, "0.65", "0"),
    ] {
        let found = book.size_at(side, at.parse().unwrap());
        assert_eq!(found, size.parse().unwrap(), "{side:?} {at}");
    }
}

#[test]
fn a_change_says_what_it_did() {
    // On the venue's grid, and between ten-thousandths, where levels are wide.
    for at in ["0.4", "0.400001"] {
        for side in [Side::Bid, Side::Ask] {
            let mut book = book(&[("0.3", "1"), ("0.2", "1")], &[("0.6", "1"), ("0.7", "1")]);
            let mut set =
                |size: &str| book.apply_change(side, at.parse().unwrap(), size.parse().unwrap());
            assert_eq!(set("0"), Change::Unchanged, "{side:?} {at}");
            assert_eq!(set("5"), Change::Inserted, "{side:?} {at}");
            assert_eq!(set("5"), Change::Unchanged, "{side:?} {at}");
            assert_eq!(set("6"), Change::Resized, "{side:?} {at}");
            assert_eq!(set("0"), Change::Removed, "{side:?} {at}");
            assert_eq!(set("0"), Change::Unchanged, "{side:?} {at}");
            assert_eq!((book.depth(Side::Bid), book.depth(Side::Ask)), (2, 2));
        }
    }
}

#[test]
fn a_book_is_empty_while_neither_side_has_a_level() {
    assert!(OrderBook::default().is_empty());
    assert!(book(&[], &[]).is_empty());
    assert!(!book(&[("0.4", "1")], &[]).is_empty());
    assert!(!book(&[], &[("0.4", "1")]).is_empty());
    assert!(!book(&[("0.4", "1")], &[("0.5", "1")]).is_empty());
}

#[test]
fn the_levels_of_a_snapshot_may_come_in_any_order() {
    let expected = book(
        &[("0.1", "1"), ("0.2", "2"), ("0.3", "3")],
        &[("0.9", "9"), ("0.8", "8"), ("0.7", "7")],
    );
    assert_eq!(expected.best_bid().unwrap().size, "3".parse().unwrap());
    assert_eq!(expected.best_ask().unwrap().size, "7".parse().unwrap());
    let best_first = book(
        &[("0.3", "3"), ("0.2", "2"), ("0.1", "1")],
        &[("0.7", "7"), ("0.8", "8"), ("0.9", "9")],
    );
    let mixed = book(
        &[("0.2", "2"), ("0.3", "3"), ("0.1", "1")],
        &[("0.8", "8"), ("0.7", "7"), ("0.9", "9")],
    );
    let twice = book(
        &[("0.1", "9"), ("0.1", "1"), ("0.2", "2"), ("0.3", "3")],
        &[("0.9", "9"), ("0.8", "8"), ("0.7", "1"), ("0.7", "7")],
    );
    for other in [best_first, mixed, twice] {
        assert_eq!(other, expected);
        let levels = |book: &OrderBook, side| book.levels(side).collect::<Vec<_>>();
        for side in [Side::Bid, Side::Ask] {
            assert_eq!(levels(&other, side), levels(&expected, side));
        }
    }
}

#[test]
fn of_two_levels_at_one_price_the_later_counts() {
    let twice = book(&[("0.1", "9"), ("0.1", "1")], &[("0.9", "9"), ("0.9", "2")]);
    assert_eq!(twice, book(&[("0.1", "1")], &[("0.9", "2")]));
}

#[test]
fn imbalance_is_the_share_by_which_one_side_is_larger() {
    for (bids, asks, expected) in [
        (&[("0.4", "3")][..], &[("0.5", "1")][..], 0.5),
        (&[("0.4", "1")], &[("0.5", "3")], -0.5),
        (&[("0.4", "7")], &[], 1.0),
        (&[], &[("0.5", "7")], -1.0),
        (&[("0.4", "2")], &[("0.5", "2")], 0.0),
    ] {
        assert_eq!(book(bids, asks).imbalance(10), Some(expected));
    }
    assert_eq!(book(&[("0.4", "3")], &[("0.5", "1")]).imbalance(0), None);
}
