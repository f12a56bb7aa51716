//! The table against the interner's map, over random lives of ids.

use proptest::prelude::*;

use crate::intern::{AssetKey, Interner};
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

fn quoted(id: &str) -> Vec<u8> {
    format!("{id}\",{}", "x".repeat(80)).into_bytes()
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
                _ => before = Some(intern(&mut interner, &text)),
            }
            if step == 2 && let (Some(key), Some(other)) = (known, before) {
                set_complement(&mut interner, key, other);
            }
            let expected = interner
                .get(&text)
                .filter(|_| text.len() >= 72)
                .map(|info| (info.key, text.len()));
            prop_assert_eq!(interner.at_front(&quoted(&text), None), expected);
            prop_assert_eq!(interner.at_front(&quoted(&text), before), expected);
            prop_assert_eq!(interner.at_front(&quoted(&text), known), expected);
        }
        for number in 0..2_000 {
            let text = id(number);
            let known = interner.get(&text).filter(|_| text.len() >= 72);
            let found = interner.at_front(&quoted(&text), before);
            prop_assert_eq!(found.map(|found| found.0), known.map(|info| info.key));
        }
    }
}

#[test]
fn every_digit_and_the_quote_count() {
    for length in 72..=78 {
        let mut interner = Interner::default();
        let text = "7".repeat(length);
        let key = intern(&mut interner, &text);
        assert_eq!(interner.at_front(&quoted(&text), None), Some((key, length)));
        assert_eq!(interner.at_front(&quoted(&text)[..79], None), None);
        for at in 0..=length {
            for byte in [b'8', b'"', b'\\', b'x', 0xff] {
                let mut frame = quoted(&text);
                if frame[at] == byte {
                    continue;
                }
                frame[at] = byte;
                assert_eq!(interner.at_front(&frame, None), None, "{at} {byte}");
                assert_eq!(interner.at_front(&frame, Some(key)), None, "{at} {byte}");
            }
        }
    }
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
            let found = interner.at_front(&quoted(id), None);
            assert!(found.is_none() || found.map(|found| found.0) == known);
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
