//! Many books at once, while they change.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use polypy_core::{BookTop, Side};

use super::*;
use crate::config::{HashChecking, IntegrityConfig, WorkersConfig};
use crate::testing::{Harness, Truth, assets, one_worker, size};

/// More tokens than one hold reads.
const MARKETS: usize = HELD;
/// Versions that have to be seen, so that there is something to tear.
const VERSIONS: usize = 30;
/// Reads at most.
const READS: usize = 100_000;

fn bench() -> (Harness, Vec<Truth>) {
    let bench = Harness::new(WorkersConfig {
        integrity: IntegrityConfig {
            hash: HashChecking::Off,
            ..one_worker().integrity
        },
        ..one_worker()
    });
    let truths: Vec<_> = assets(MARKETS).iter().map(Truth::new).collect();
    bench.open(1);
    let openings: Vec<_> = truths.iter().map(Truth::opening).collect();
    bench.send(1, openings);
    (bench, truths)
}

#[test]
fn both_tokens_of_a_market_are_read_at_one_moment() {
    let (bench, mut truths) = bench();
    // One token alone in front: a hold of an even number would end within a market.
    let keys: Vec<_> = truths.iter().map(Truth::key).skip(1).collect();
    // A bid for one token is an ask for the other: both have the number of the round.
    let mut round = 0_u64;
    let mut play = || {
        round += 1;
        let lots = round.to_string();
        let markets = truths.chunks_mut(2).flat_map(|market| {
            let bid = market[0].change(Side::Bid, "0.48", &lots);
            let ask = market[1].change(Side::Ask, "0.52", &lots);
            [bid, ask]
        });
        bench.send(1, markets.collect::<Vec<_>>());
    };
    play();
    let is_over = AtomicBool::new(false);
    let mut versions = HashSet::new();
    let mut torn = Vec::new();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                play();
            }
        });
        for _ in 0..READS {
            if versions.len() >= VERSIONS || !torn.is_empty() {
                break;
            }
            let views = bench.store.books(&keys, 1);
            let tops = bench.store.tops(&keys);
            let of_view = |at: usize| {
                let view: &BookView = views[at].as_ref().unwrap();
                (view.bids[0].size, view.asks[0].size)
            };
            let of_top = |at: usize| {
                let top: BookTop = tops[at].unwrap();
                (top.bid.unwrap().size, top.ask.unwrap().size)
            };
            // The first is the second token of the first market.
            for at in (1..keys.len()).step_by(2) {
                versions.insert(of_top(at).0);
                let pairs = [
                    (of_view(at).0, of_view(at + 1).1),
                    (of_top(at).0, of_top(at + 1).1),
                ];
                torn.extend(pairs.into_iter().filter(|(bid, ask)| bid != ask));
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(torn, []);
    assert!(versions.len() >= VERSIONS, "{} versions", versions.len());
}

#[test]
fn books_come_in_the_order_in_which_they_were_asked_for() {
    let (bench, truths) = bench();
    let unknown = Truth::new(&assets(MARKETS + 1)[2 * MARKETS]);
    let mut keys: Vec<_> = truths.iter().map(Truth::key).collect();
    keys.reverse();
    keys.insert(7, unknown.key());
    keys.push(keys[0]);
    let ids: Vec<_> = bench
        .store
        .books(&keys, 0)
        .into_iter()
        .map(|view| view.map(|view| view.key_life))
        .collect();
    let mut expected: Vec<_> = keys.iter().map(|key| Some(key.life())).collect();
    expected[7] = None;
    assert_eq!(ids, expected);
    let tops = bench.store.tops(&keys);
    let of = |top: &Option<BookTop>| top.map(|top| top.asset.life());
    assert_eq!(tops.iter().map(of).collect::<Vec<_>>(), expected);
    let top = tops[0].unwrap();
    assert_eq!(top.bid.unwrap().size, size("100"));
    assert_eq!(bench.store.tops(&[]), []);
}
