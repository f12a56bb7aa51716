use super::*;

fn level(at: u32, size: u64) -> Level {
    Level::new(
        Price::from_millionths(at).unwrap(),
        Size::from_millionths(size),
    )
}

fn capacity(levels: &Levels) -> usize {
    match levels {
        Levels::Packed(cells) => cells.cells.len(),
        Levels::Wide(cells) => cells.cells.len(),
    }
}

#[test]
fn a_book_has_four_spare_levels_in_whole_cache_lines() {
    for (number, cells) in [
        (0, 8),
        (4, 8),
        (5, 16),
        (28, 32),
        (29, 40),
        (60, 64),
        (61, 72),
    ] {
        let all: Vec<_> = (0..number).map(|at| level((at + 1) * 100, 1)).collect();
        for split in [0, all.len() / 2, all.len()] {
            let (bids, asks) = all.split_at(split);
            let levels = Levels::of(bids.iter().copied(), asks.iter().rev().copied());
            assert_eq!(
                capacity(&levels),
                cells,
                "{number} levels, {split} of them bids"
            );
        }
    }
    assert_eq!(
        capacity(&Levels::default()),
        0,
        "an empty book has no memory"
    );
}

#[test]
fn a_full_book_grows_by_a_sixteenth_or_four_levels() {
    let mut levels = Levels::default();
    let mut seen = vec![0];
    for at in 1..=400_u32 {
        let side = if at % 2 == 0 { Side::Bid } else { Side::Ask };
        let change = levels.set(side, level(at * 100, 1).price, Size::from_millionths(1));
        assert_eq!(change, Change::Inserted);
        if seen.last() != Some(&capacity(&levels)) {
            seen.push(capacity(&levels));
        }
    }
    assert!(matches!(levels, Levels::Packed(_)), "all of it fits");
    let expected: Vec<usize> = [
        0, 8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 96, 112, 128, 144, 160, 176, 192, 208, 232, 256,
        280, 304, 328, 352, 384, 416,
    ]
    .into();
    assert_eq!(seen, expected);
}

#[test]
fn equal_levels_are_equal_whatever_room_and_form_they_have() {
    let wide_price = Price::from_millionths(500_001).unwrap();
    let one = [level(400_000, 5)];
    let plain = Levels::of(one.into_iter(), [].into_iter());
    assert!(matches!(plain, Levels::Packed(_)));
    let mut wide = plain.clone();
    wide.set(Side::Ask, wide_price, Size::from_millionths(1));
    assert!(matches!(wide, Levels::Wide(_)));
    assert_ne!(plain, wide);
    wide.set(Side::Ask, wide_price, Size::ZERO);
    assert_eq!(plain, wide);
    wide.set(Side::Bid, one[0].price, Size::from_millionths(6));
    assert_ne!(plain, wide);
}

#[test]
fn they_are_listed_for_people() {
    let levels = Levels::of(
        [level(400_000, 5)].into_iter(),
        [level(600_000, 7)].into_iter(),
    );
    let text = format!("{levels:?}");
    assert_eq!(
        text,
        "[Level { price: Price(0.4), size: Size(0.000005) }, \
         Level { price: Price(0.6), size: Size(0.000007) }]"
    );
}

#[test]
fn the_largest_packed_size_does_not_reach_into_the_price() {
    const LARGEST: u64 = (1 << 49) - 1;
    for side in [Side::Bid, Side::Ask] {
        let mut levels = Levels::default();
        // Neighbours on the finest grid, whose prices differ in the lowest bit.
        for at in [400_000, 400_100, 400_200] {
            levels.set(side, level(at, 1).price, Size::from_millionths(LARGEST));
        }
        let middle = level(400_100, 1).price;
        for size in [LARGEST - 1, 1, LARGEST] {
            let change = levels.set(side, middle, Size::from_millionths(size));
            assert_eq!(change, Change::Resized, "{side:?} {size}");
            assert_eq!(levels.len(side), 3);
        }
        assert!(matches!(levels, Levels::Packed(_)));
        let sizes = levels
            .worst_first(side)
            .map(|level| level.size.millionths());
        assert!(sizes.eq([LARGEST; 3]));
    }
}
