//! Seats in random rounds, against what the rules say.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn seats(most: usize) -> SeatTable {
    SeatTable::new(NonZeroUsize::new(most).unwrap())
}

fn number(market: u64) -> MarketNumber {
    MarketNumber::new(market)
}

/// Candidates 0, 1, 2, ... at these places.
fn at(places: &[u64]) -> Vec<(Rank, MarketNumber)> {
    let places = places.iter().map(|place| Rank::new(*place));
    places.zip((0..).map(number)).collect()
}

fn sitting(table: &SeatTable, of: u64) -> Vec<u64> {
    (0..of)
        .filter(|market| table.has(number(*market)))
        .collect()
}

#[test]
fn free_seats_go_to_who_comes_and_no_further() {
    let mut table = seats(2);
    assert!(table.is_empty());
    assert!(table.admit(number(7)) && table.admit(number(8)) && table.admit(number(7)));
    assert!(!table.admit(number(9)));
    table.free(number(7));
    assert!(table.admit(number(9)));
    assert_eq!(table.len(), 2);
}

#[test]
fn a_seat_changes_hands_only_where_that_is_clear() {
    let mut table = seats(10);
    let order: Vec<u64> = (0..20).collect();
    table.review(at(&order), Round::Fresh);
    assert_eq!(sitting(&table, 20), (0..10).collect::<Vec<_>>());
    // The tenth and the eleventh have changed places, and the ninth with the twelfth
    // but one: within the buffer.
    let mut close = order.clone();
    close.swap(9, 10);
    assert_eq!(
        table.review(at(&close), Round::Steady),
        SeatChanges::default()
    );
    // One who fell behind the eleventh place leaves for one within the first nine.
    let mut far = order.clone();
    far.swap(3, 15);
    let expected = SeatChanges {
        seated: vec![number(15)],
        freed: vec![number(3)],
    };
    assert_eq!(table.review(at(&far), Round::Steady), expected);
    // Beyond eleven tenths, and nobody outside is within nine.
    let mut table = seats(10);
    table.review(at(&order), Round::Fresh);
    let mut behind = order.clone();
    behind[9] = 12;
    behind[12] = 9;
    assert_eq!(
        table.review(at(&behind), Round::Steady),
        SeatChanges::default()
    );
}

#[test]
fn who_sits_is_ahead_of_equals_and_a_single_seat_changes_hands() {
    let mut table = seats(1);
    table.review(at(&[5, 5, 1]), Round::Fresh);
    assert_eq!(sitting(&table, 3), [2]);
    let fresh = table.review(at(&[5, 5, 5]), Round::Fresh);
    assert_eq!(fresh, SeatChanges::default());
    assert_eq!(
        table.review(at(&[1, 2, 3]), Round::Steady).seated,
        [number(0)]
    );
}

#[test]
fn who_is_no_candidate_any_more_frees_the_seat_at_once() {
    let mut table = seats(20);
    let order: Vec<u64> = (0..40).collect();
    table.review(at(&order), Round::Fresh);
    let left: Vec<_> = at(&order).into_iter().skip(10).collect();
    let changes = table.review(left, Round::Steady);
    assert_eq!(changes.freed, (0..10).map(number).collect::<Vec<_>>());
    assert_eq!(changes.seated, (20..30).map(number).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    /// Fifty rounds each: a thousand in all.
    #[test]
    fn every_round_keeps_to_the_rules(
        most in 1..40_usize,
        rounds in prop::collection::vec(
            (prop::collection::btree_map(0..60_u64, 0..30_u64, 0..60), any::<bool>()),
            50,
        ),
    ) {
        let mut table = seats(most);
        let mut before: Vec<u64> = Vec::new();
        for (candidates, is_fresh) in rounds {
            let candidates: BTreeMap<u64, u64> = candidates;
            let given = |(market, place): (&u64, &u64)| (Rank::new(*place), number(*market));
            let all: Vec<_> = candidates.iter().map(given).collect();
            let round = if is_fresh { Round::Fresh } else { Round::Steady };
            let changes = table.review(all.clone(), round);
            let after = sitting(&table, 60);
            // As the changes say, and as many as there can be.
            let mut expected = before.clone();
            expected.retain(|market| !changes.freed.contains(&number(*market)));
            expected.extend(changes.seated.iter().map(|number| number.get()));
            expected.sort_unstable();
            prop_assert_eq!(&after, &expected);
            prop_assert_eq!(after.len(), candidates.len().min(most));
            prop_assert!(after.iter().all(|market| candidates.contains_key(market)));
            // By rank, of equals those who sat first.
            let mut ranked: Vec<_> = candidates.iter().collect();
            ranked.sort_by_key(|(market, place)| (**place, !before.contains(market), **market));
            let ranked: Vec<u64> = ranked.into_iter().map(|(market, _)| *market).collect();
            if is_fresh {
                let mut first: Vec<_> = ranked.iter().take(most).copied().collect();
                first.sort_unstable();
                prop_assert_eq!(&after, &first);
            }
            let lost: Vec<_> = changes.freed.iter().map(|number| number.get())
                .filter(|market| candidates.contains_key(market)).collect();
            let bound = (most / 10).max(1);
            prop_assert!(is_fresh || lost.len() <= bound);
            let place = |market: &u64| ranked.iter().position(|other| other == market).unwrap();
            if !is_fresh {
                for market in &lost {
                    prop_assert!(place(market) * 10 >= most * 11);
                }
                // Where fewer changed hands than may, nothing was clear any more.
                let enters = ranked.iter().position(|market| !after.contains(market));
                let leaves = after.iter().map(place).max();
                let is_clear = enters.is_some_and(|at| at * 10 < most * 9)
                    && leaves.is_some_and(|at| at * 10 >= most * 11);
                prop_assert!(!is_clear || lost.len() == bound);
            }
            before = after;
        }
    }
}
