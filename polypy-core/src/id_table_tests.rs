//! The table against the interner's map, over random lives of ids.

use proptest::prelude::*;

use super::Bucket;
use crate::intern::{IdMatch, Interner};
use crate::key::AssetKey;
use crate::market::AssetInfo;

/// Ids of all lengths, few enough to meet again, two with the same tail each.
fn id(number: u16) -> String {
    let length = 68 + usize::from(number % 11);
    format!(
        "{:0>width$}{:016}",
        number % 2,
        number / 2,
        width = length - 16
    )
}

fn intern(interner: &mut Interner, asset: &str) -> AssetKey {
    let condition: crate::ConditionId = "0xa1".parse().unwrap();
    let asset_id: crate::AssetId = asset.parse().unwrap();
    interner
        .insert(&asset_id.clone(), &condition.clone(), |key| {
            AssetInfo::new(key, asset_id, condition)
        })
        .key
}

/// An id as an entry shows it.
fn quoted(id: &str) -> Vec<u8> {
    format!("{id}\",\"price\":\"0.5\",{}", "x".repeat(80)).into_bytes()
}

fn found(
    interner: &Interner,
    text: &[u8],
    before: Option<IdMatch<'_>>,
) -> Option<(AssetKey, usize)> {
    let named = interner.match_prefix(text, before)?;
    Some((named.key(), named.length()))
}

fn set_complement(interner: &mut Interner, key: AssetKey, other: AssetKey) {
    let mut info = AssetInfo::clone(interner.info(key).unwrap());
    info.complement = Some(other);
    interner.update(key, info).unwrap();
}

proptest! {
    #[test]
    fn finds_what_the_map_knows_and_nothing_else(
        steps in prop::collection::vec((0..2_000u16, 0..4u8), 1..600)
    ) {
        let mut interner = Interner::default();
        let mut before = None;
        for (number, step) in steps {
            let text = id(number);
            let known = interner.get(&text).map(|info| info.key);
            match (step, known) {
                (0, Some(key)) => {
                    interner.remove(key);
                }
                (0 | 3, _) => {}
                _ => {
                    before = Some(text.clone());
                    intern(&mut interner, &text);
                }
            }
            let other = before.as_ref().and_then(|id| interner.get(id)).map(|info| info.key);
            if step == 2 && let (Some(key), Some(other)) = (known, other) {
                set_complement(&mut interner, key, other);
            }
            let expected = interner
                .get(&text)
                .filter(|_| text.len() >= 72)
                .map(|info| (info.key, text.len()));
            prop_assert_eq!(found(&interner, &quoted(&text), None), expected);
            for before in [before.as_ref(), Some(&text)].into_iter().flatten() {
                let before = interner.match_prefix(&quoted(before), None);
                prop_assert_eq!(found(&interner, &quoted(&text), before), expected);
            }
        }
        let before = before.and_then(|id| interner.match_prefix(&quoted(&id), None));
        for number in (0..2_000).step_by(7) {
            let text = id(number);
            let known = interner.get(&text).filter(|_| text.len() >= 72);
            let found = found(&interner, &quoted(&text), before);
            prop_assert_eq!(found.map(|found| found.0), known.map(|info| info.key));
        }
    }
}

#[test]
fn every_digit_and_the_text_after_it_count() {
    for length in 72..=78 {
        let mut interner = Interner::default();
        let text = "7".repeat(length);
        let key = intern(&mut interner, &text);
        assert_eq!(found(&interner, &quoted(&text), None), Some((key, length)));
        assert_eq!(found(&interner, &quoted(&text)[..79], None), None);
        // Its own complement, so that both ways to it are tried.
        set_complement(&mut interner, key, key);
        let own = interner.match_prefix(&quoted(&text), None);
        for at in 0..80 {
            for byte in [b'8', b'"', b'\\', b'x', 0xff] {
                let mut frame = quoted(&text);
                if frame[at] == byte {
                    continue;
                }
                frame[at] = byte;
                assert_eq!(found(&interner, &frame, None), None, "{at} {byte}");
                assert_eq!(found(&interner, &frame, own), None, "{at} {byte}");
            }
        }
    }
}

#[test]
fn the_other_token_is_found_without_a_bucket_and_not_once_it_is_forgotten() {
    let mut interner = Interner::default();
    let texts = [id(1), id(2)].map(|tail| format!("9{tail:0>76}"));
    let keys = texts.each_ref().map(|text| intern(&mut interner, text));
    set_complement(&mut interner, keys[0], keys[1]);
    let [first, second] = texts.each_ref().map(|text| quoted(text));
    let before = interner.match_prefix(&first, None);
    assert_eq!(found(&interner, &second, before), Some((keys[1], 77)));
    interner.remove(keys[1]);
    let before = interner.match_prefix(&first, None);
    assert_eq!(found(&interner, &second, before), None);
    assert_eq!(found(&interner, &[0; 80], before), None);
    // Another asset in its slot is not the other token.
    let text = format!("9{:0>76}", id(3));
    let key = intern(&mut interner, &text);
    assert_eq!(key.slot(), keys[1].slot());
    let before = interner.match_prefix(&first, None);
    assert_eq!(found(&interner, &second, before), None);
    assert_eq!(found(&interner, &quoted(&text), before), Some((key, 77)));
}

#[test]
fn a_bucket_holds_sixteen_million_slots_and_no_more() {
    for (slot, fits) in [
        (0, true),
        (1, true),
        ((1 << 24) - 2, true),
        ((1 << 24) - 1, false),
        (usize::MAX, false),
    ] {
        for hash in [0, 1 << 56, u64::MAX] {
            let bucket = Bucket::new(hash, slot);
            assert_eq!(bucket.is_some(), fits, "{slot}");
            if let Some(bucket) = bucket {
                assert_eq!(bucket.slot(), Some(slot));
                assert!(bucket.may_match(hash) && !bucket.may_match(!hash));
            }
        }
    }
    assert_eq!(Bucket::EMPTY.slot(), None);
}

#[test]
fn ids_that_end_alike_cost_no_more_than_a_miss() {
    let mut interner = Interner::default();
    let ids: Vec<String> = (0..200)
        .map(|head| format!("{head:0>60}{:016}", 5))
        .collect();
    for id in &ids {
        intern(&mut interner, id);
    }
    let found = |interner: &Interner| {
        let there = ids.iter().filter(|id| {
            let known = interner.get(id).map(|info| info.key);
            let found = interner.match_prefix(&quoted(id), None).map(IdMatch::key);
            assert!(found.is_none() || found == known);
            found.is_some()
        });
        there.count()
    };
    assert_eq!(found(&interner), super::PROBES);
    for id in &ids[..100] {
        let key = interner.get(id).unwrap().key;
        interner.remove(key);
    }
    assert!(found(&interner) <= super::PROBES);
}

#[test]
fn two_differences_of_one_kind_are_no_equality() {
    let mut interner = Interner::default();
    let text = "7".repeat(76);
    intern(&mut interner, &text);
    let mut frame = quoted(&text);
    // The same difference in two words, in front of those that are hashed.
    (frame[0], frame[8]) = (b'6', b'6');
    assert_eq!(found(&interner, &frame, None), None);
}

/// A 256-bit number's digits, made up.
fn random_ids(number: usize) -> Vec<String> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut digits = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        state >> 24
    };
    let id = |_| {
        let id = (0..8).map(|_| format!("{:010}", digits() % 10_000_000_000));
        format!("7{}", &id.collect::<String>()[..76])
    };
    (0..number).map(id).collect()
}

#[test]
fn ids_spread_over_the_buckets_and_over_their_tags() {
    const IDS: usize = 4_096;
    let counting = (0..IDS).map(|number| format!("{number:0>77}")).collect();
    for ids in [random_ids(IDS), counting] {
        let hashes: Vec<_> = ids
            .iter()
            .map(|id| super::hash(&super::window_of(id).expect("is long enough")))
            .collect();
        let distinct = |part: &dyn Fn(u64) -> u64| {
            let parts = hashes.iter().map(|hash| part(*hash));
            parts.collect::<std::collections::HashSet<_>>().len()
        };
        // By chance 4,096 fall into 3,220 of 8,192 buckets, give or take 30.
        let homes = distinct(&|hash| super::home(hash) as u64 % 8_192);
        assert!((3_100..3_400).contains(&homes), "{homes}");
        assert_eq!(distinct(&|hash| u64::from(super::tag(hash))), 256);
        assert_eq!(distinct(&|hash| hash), IDS);
    }
}

#[test]
fn a_complement_is_found_though_no_bucket_had_room_for_it() {
    let mut interner = Interner::default();
    let ids: Vec<String> = (0..200)
        .map(|head| format!("{head:0>60}{:016}", 5))
        .collect();
    let keys: Vec<_> = ids.iter().map(|id| intern(&mut interner, id)).collect();
    let (known, left_out) = (0, 199);
    assert_eq!(found(&interner, &quoted(&ids[left_out]), None), None);
    set_complement(&mut interner, keys[known], keys[left_out]);
    let previous = interner.match_prefix(&quoted(&ids[known]), None);
    assert_eq!(
        found(&interner, &quoted(&ids[left_out]), previous),
        Some((keys[left_out], 76))
    );
}

#[test]
fn it_grows_once_more_than_half_of_its_buckets_are_taken() {
    let mut table = super::IdTable::default();
    let mut interner = Interner::default();
    let mut seen = Vec::new();
    for id in random_ids(65) {
        let key = intern(&mut interner, &id);
        table.insert(&id, key, None);
        seen.push(table.buckets.len());
    }
    assert_eq!([seen[7], seen[8], seen[63], seen[64]], [16, 32, 128, 256]);
}

#[test]
fn forgetting_one_loses_no_other() {
    let mut table = super::IdTable::default();
    let mut interner = Interner::default();
    let ids = random_ids(100);
    let keys: Vec<_> = ids.iter().map(|id| intern(&mut interner, id)).collect();
    for (id, key) in ids.iter().zip(&keys) {
        table.insert(id, *key, None);
    }
    for gone in 0..ids.len() {
        table.remove(keys[gone].slot());
        for at in gone + 1..ids.len() {
            let found = table
                .match_prefix(&quoted(&ids[at]), None)
                .map(IdMatch::key);
            assert_eq!(found, Some(keys[at]), "{at} after {gone}");
        }
    }
}

#[test]
fn what_a_forgotten_id_took_is_used_again() {
    let mut table = super::IdTable::default();
    let mut interner = Interner::default();
    let ids = random_ids(100);
    let keys: Vec<_> = ids.iter().map(|id| intern(&mut interner, id)).collect();
    for _ in 0..50 {
        for (id, key) in ids.iter().zip(&keys) {
            table.insert(id, *key, None);
        }
        assert_eq!((table.len, table.buckets.len()), (100, 256));
        assert_eq!(table.records.len(), 50);
        for (id, key) in ids.iter().zip(&keys) {
            assert_eq!(
                table.match_prefix(&quoted(id), None).map(IdMatch::key),
                Some(*key)
            );
            table.remove(key.slot());
            table.remove(key.slot());
            assert!(table.match_prefix(&quoted(id), None).is_none());
        }
        let empty = |bucket: &Bucket| *bucket == Bucket::EMPTY;
        assert!(table.len == 0 && table.buckets.iter().all(empty));
    }
}
